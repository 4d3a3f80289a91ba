//! The product as pure functions and the words they use.
//!
//! No async, no input or output, no clock: time, chance and configuration are parameters. Nothing of the rest of the
//! house is imported here; `tests/it/tidy.rs` checks it.

pub mod after;
pub mod backoff;
pub mod decide;
pub mod delivery;
pub mod digest;
pub mod event;
pub mod hold;
pub mod id;
pub mod late;
pub mod load;
pub mod pace;
pub mod page;
pub mod reading;
pub mod render;
pub mod route;
pub mod thread;
pub mod timestamp;
pub mod vitals;
pub mod window;
