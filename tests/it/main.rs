//! The integration tests, one binary. See CONTRIBUTING.md for how they are made.

#[cfg(test)]
mod proxies;
#[cfg(test)]
mod requirements;
#[cfg(test)]
mod tidy;
