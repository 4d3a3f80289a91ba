//! Both services in a box: for trying the bridge out, for the demo and for tests.
//!
//! The simulators are the other side: they know nothing of the product and share only its time stamps and clock. They
//! speak real HTTP, keep state, log every request and can fail on demand. Where the real services' behaviour is not
//! documented, a knob stands in its place, and its default is what the bridge must at least survive.

pub mod azure;
pub mod calls;
pub mod control;
pub mod faults;
mod front;
pub mod outbox;
#[cfg(test)]
mod receiver;
pub mod scene;
pub mod server;
pub mod signl4;
pub mod simulate;
pub mod watched;
