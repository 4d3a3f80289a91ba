//! Who calls: where from, with which credential, compared in constant time, and the proof that it was right.

pub mod floods;
pub mod runs;
pub mod source;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

pub use self::floods::{Budget, Floods};
pub use self::runs::Runs;
pub use self::source::Source;
use crate::secret::Secret;

/// Longer ones are wrong without being hashed; the configuration takes none.
pub const LONGEST_TOKEN: usize = 1024;

/// Proof that a caller has authenticated: made by [`Presented::verify`], and where a bearer token was checked.
#[derive(Clone, Copy, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// For `azure::authenticate` alone, once the bearer token was found right.
    pub(crate) fn by_bearer(value: T) -> Self {
        Self(value)
    }

    pub fn get(&self) -> &T {
        &self.0
    }
}

/// Why a caller is not let in: for our log. The caller hears the same of all but the last two, which are 503.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    NoCredential,
    WrongCredential,
    UnknownName,
    /// The source is outside the configured networks.
    Network,
    /// The sentence names the claim of the bearer token that is wrong.
    Bearer(&'static str),
    /// It could not be judged: our trouble.
    Unavailable(String),
    /// Its source sends too much that is wrong: this one is not judged now.
    Busy,
}

impl Refusal {
    pub fn as_str(&self) -> &str {
        match self {
            Self::NoCredential => "no credential",
            Self::WrongCredential => "wrong credential",
            Self::UnknownName => "unknown name",
            Self::Network => "its address is not in `networks`",
            Self::Bearer(claim) => claim,
            Self::Unavailable(why) => why,
            Self::Busy => "too many wrong credentials from its address for another signature to be checked now",
        }
    }
}

/// The credentials that a request presents: the last path segment, the Basic password, the bearer token.
pub struct Presented {
    digests: Vec<[u8; 32]>,
    too_long: bool,
    /// The whole header, never shown.
    bearer: Option<HeaderValue>,
}

impl std::fmt::Debug for Presented {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Presented({})", self.digests.len())
    }
}

impl Presented {
    /// `path_token` is the last path segment, decoded. The Basic user name is ignored.
    pub fn new(path_token: Option<&str>, headers: &HeaderMap) -> Self {
        let tokens: Vec<String> = path_token.map(str::to_owned).into_iter().chain(basic_password(headers)).collect();
        let fits = |token: &&String| token.len() <= LONGEST_TOKEN;
        Self {
            too_long: !tokens.iter().all(|token| fits(&token)),
            digests: tokens.iter().filter(fits).map(|token| Sha256::digest(token.as_bytes()).into()).collect(),
            bearer: credentials(headers, "bearer").cloned(),
        }
    }

    /// Whether no token was presented at all.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty() && !self.too_long && self.bearer.is_none()
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

    /// The bearer token as it came.
    pub fn bearer(&self) -> Option<&[u8]> {
        let (_, token) = self.bearer.as_ref()?.to_str().ok()?.split_once(' ')?;
        Some(token.trim().as_bytes())
    }

    /// Why these credentials open nothing.
    pub fn refusal(&self) -> Refusal {
        if self.is_empty() { Refusal::NoCredential } else { Refusal::WrongCredential }
    }
}

/// The `Authorization` header, if it is of this scheme.
fn credentials<'h>(headers: &'h HeaderMap, scheme: &str) -> Option<&'h HeaderValue> {
    let value = headers.get(header::AUTHORIZATION)?;
    let (named, _) = value.to_str().ok()?.split_once(' ')?;
    named.eq_ignore_ascii_case(scheme).then_some(value)
}

fn basic_password(headers: &HeaderMap) -> Option<String> {
    let (_, encoded) = credentials(headers, "basic")?.to_str().ok()?.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok()?;
    let pair = String::from_utf8(decoded).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests;
