//! Secrets that cannot be printed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A secret value and where it came from. `Debug` and `Display` show only the source.
#[derive(Clone)]
pub struct Secret {
    value: SecretString,
    source: String,
}

impl Secret {
    /// `source` is for people: `file /run/secrets/azure`, `environment variable X`, `bridge.toml`.
    pub fn new(value: String, source: &str) -> Self {
        Self { value: SecretString::from(value), source: source.to_owned() }
    }

    /// The value itself: for a request or a comparison, never for a log.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.source)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "•••• (from {})", self.source)
    }
}
