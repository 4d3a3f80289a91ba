//! A durable two-way bridge between Azure Monitor and SIGNL4. `ARCHITECTURE.md` has the map.

pub mod azure;
pub mod clock;
pub mod config;
pub mod domain;
pub mod egress;
pub mod secret;
pub mod signl4;
pub mod simulator;
pub mod store;
pub mod tokens;
