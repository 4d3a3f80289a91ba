//! Secrets that cannot be printed, and new ones that cannot be guessed.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
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

/// The machine gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no random numbers")]
pub struct NoRandomness;

/// A new token of 256 random bits, in characters that a URL carries as they are.
pub fn fresh_token() -> Result<String, NoRandomness> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_fresh_token_is_256_bits_and_never_the_same() {
        let tokens: BTreeSet<String> = (0..100).map(|_| fresh_token().unwrap()).collect();
        assert_eq!(tokens.len(), 100);
        for token in tokens {
            assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap().len(), 32, "{token}");
            let in_urls = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            assert!(token.bytes().all(in_urls), "{token}");
        }
    }
}
