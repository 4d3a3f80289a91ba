//! The integration tests, one binary. See CONTRIBUTING.md for how they are made.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod both_ways;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod egress;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod log;
#[cfg(test)]
mod model;
#[cfg(test)]
mod official_clients;
#[cfg(test)]
mod outages;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod payloads;
#[cfg(test)]
mod polling;
#[cfg(test)]
mod proxies;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod signing_in;
#[cfg(test)]
mod storms;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod town;
#[cfg(test)]
mod vitals;
#[cfg(test)]
mod windows;
