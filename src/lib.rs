//! A durable two-way bridge between Azure Monitor and SIGNL4. `ARCHITECTURE.md` has the map.

mod admin;
pub mod alarm;
pub mod app;
pub mod azure;
pub mod caller;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod domain;
pub mod egress;
pub mod explain;
mod http;
pub mod intake;
pub mod lenient;
pub mod problem;
pub mod secret;
pub mod signl4;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod watch;
pub mod worker;
