//! Who calls: the credential that a request presents, compared in constant time, and the proof that it was right.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::secret::Secret;

/// Proof that a caller has authenticated; only [`Presented::verify`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// The tokens that a request presents: the last path segment, the Basic password.
pub struct Presented {
    digests: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Presented({})", self.digests.len())
    }
}

impl Presented {
    /// `path_token` is the last path segment, decoded. The Basic user name is ignored.
    pub fn new(path_token: Option<&str>, headers: &HeaderMap) -> Self {
        let tokens = path_token.map(str::to_owned).into_iter().chain(basic_password(headers));
        Self { digests: tokens.map(|token| Sha256::digest(token.as_bytes()).into()).collect() }
    }

    /// Whether no token was presented at all.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Proves `value` if a presented token is one of `expected`. `None` is an unknown name: it costs the same work.
    pub fn verify<T>(&self, value: Option<(T, &[Secret])>) -> Option<Verified<T>> {
        let unknown = [Secret::new("an unknown name".to_owned(), "nowhere")];
        let (value, expected) = match value {
            Some((value, expected)) if !expected.is_empty() => (Some(value), expected),
            Some(_) | None => (None, unknown.as_slice()),
        };
        let mut right = Choice::from(0);
        for secret in expected {
            let digest: [u8; 32] = Sha256::digest(secret.expose().as_bytes()).into();
            for presented in &self.digests {
                right |= presented.ct_eq(&digest);
            }
        }
        value.filter(|_| right.into()).map(Verified)
    }
}

fn basic_password(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(pair: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)).parse().unwrap());
        headers
    }

    #[test]
    fn path_token_and_basic_password_open_and_nothing_else() {
        let tokens = [Secret::new("new-token".into(), "test"), Secret::new("old-token".into(), "test")];
        let none = HeaderMap::new();
        for (path, headers, opens) in [
            (Some("new-token"), &none, true),
            (Some("old-token"), &none, true),
            (Some("new-toke"), &none, false),
            (Some(""), &none, false),
            (None, &none, false),
            (None, &basic("anybody:old-token"), true),
            (None, &basic(":new-token"), true),
            (None, &basic("new-token:"), false),
            (None, &basic("new-token"), false),
            (Some("wrong"), &basic("x:new-token"), true),
        ] {
            let presented = Presented::new(path, headers);
            assert_eq!(presented.verify(Some(((), tokens.as_slice()))).is_some(), opens, "{path:?} {headers:?}");
            assert!(presented.verify::<()>(None).is_none(), "an unknown name opens nothing");
            assert!(presented.verify(Some(((), [].as_slice()))).is_none(), "no token opens nothing");
        }
        let dummy = Presented::new(Some("an unknown name"), &none);
        assert!(dummy.verify::<()>(None).is_none());
    }
}
