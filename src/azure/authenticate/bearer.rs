//! The Entra token of Azure's caller, judged without asking anybody: bytes, keys and the time go in, a yes or the name of
//! the claim that is wrong comes out.
//!
//! RS256 and nothing else. The key is one of the tenant's own, found by `kid`; whatever the token itself says of keys
//! (`jku`, `jwk`, `x5u`, `x5c`) is not even read. What costs least is looked at first and the signature last, so that a
//! flood of wrong tokens is cheap. <https://learn.microsoft.com/entra/identity-platform/access-tokens>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::timestamp::Timestamp;

/// A token of an application has one or two thousand bytes.
pub const LONGEST: usize = 16 * 1024;

/// How far Entra's clock and ours may differ.
pub const SKEW: Duration = Duration::from_mins(5);

/// The application role that lets Azure's caller call.
/// <https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook>
pub const ROLE: &str = "ActionGroupsSecureWebhook";

/// Entra's two kinds of access token. The app registration that the token is for decides which one it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V1,
    V2,
}

/// What one of the tenant's two metadata documents says: who signs tokens of this version, and with which keys.
#[derive(Clone)]
pub struct Issuer {
    pub version: Version,
    /// `iss`, letter by letter.
    pub name: String,
    /// `tid`
    pub tenant: String,
    /// By `kid`.
    pub keys: BTreeMap<String, DecodingKey>,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issuer({:?}, {}, {} keys)", self.version, self.name, self.keys.len())
    }
}

/// What the configuration demands of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectations {
    /// Allowed `aud`; a slash at the end does not count.
    pub audiences: BTreeSet<String>,
    /// `appid` or `azp`, lower-case: the application id of Azure's caller.
    pub caller: String,
}

/// A token that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Valid {
    pub expires_at: Timestamp,
}

/// What is wrong with a token: for our log, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Not a token at all, or far too long for one.
    Form,
    /// `alg` is not RS256.
    Algorithm,
    /// A `crit` header: something that a reader must understand, and we do not.
    Critical,
    /// `ver` is neither 1.0 nor 2.0.
    Version,
    Issuer,
    Audience,
    Tenant,
    Expired,
    NotYetValid,
    /// `appid` (1.0) or `azp` (2.0).
    Caller,
    Roles,
    /// No `kid`, or none of the tenant's: perhaps a key newer than those we know.
    Key,
    Signature,
}

impl Claim {
    /// As the log names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "the bearer token is no token",
            Self::Algorithm => "alg of the bearer token is not RS256",
            Self::Critical => "the bearer token has a crit header",
            Self::Version => "ver of the bearer token is neither 1.0 nor 2.0",
            Self::Issuer => "iss of the bearer token is not the tenant's issuer for its version",
            Self::Audience => "aud of the bearer token is not one of secure_webhook.audience",
            Self::Tenant => "tid of the bearer token is another tenant",
            Self::Expired => "exp of the bearer token is past or missing",
            Self::NotYetValid => "nbf of the bearer token is still to come",
            Self::Caller => "appid or azp of the bearer token is not Azure's caller",
            Self::Roles => "roles of the bearer token lacks ActionGroupsSecureWebhook",
            Self::Key => "kid of the bearer token is no key of the tenant",
            Self::Signature => "the signature of the bearer token is wrong",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

/// Of each claim only what is needed; a claim of a wrong kind makes the token unreadable.
#[derive(Deserialize)]
struct Claims {
    ver: Option<String>,
    iss: Option<String>,
    aud: Option<String>,
    tid: Option<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    appid: Option<String>,
    azp: Option<String>,
    roles: Option<Vec<String>>,
}

/// Which kind a token says it is: tells whose keys are needed. Nothing is proven by it.
pub fn version(token: &[u8]) -> Result<Version, Claim> {
    read(token).map(|token| token.version)
}

/// Whether `token` is Azure's, for one of our audiences, now.
///
/// [`Claim::Key`] and [`Claim::Signature`] come only after everything else was right.
pub fn validate(token: &[u8], issuers: &[Issuer], expected: &Expectations, now: Timestamp) -> Result<Valid, Claim> {
    let version = version(token)?;
    let issuer = issuers.iter().find(|issuer| issuer.version == version).ok_or(Claim::Issuer)?;
    judge(token, issuer, expected, now)?.prove()
}

/// The cheap part of [`validate`]: everything but the signature.
pub fn judge<'t>(
    token: &'t [u8],
    issuer: &'t Issuer,
    expected: &Expectations,
    now: Timestamp,
) -> Result<Unproven<'t>, Claim> {
    let Read { version, header, claims, message, signature } = read(token)?;
    if version != issuer.version || claims.iss.as_deref() != Some(issuer.name.as_str()) {
        return Err(Claim::Issuer);
    }
    let audience = claims.aud.as_deref().map(without_slash).ok_or(Claim::Audience)?;
    if !expected.audiences.iter().any(|allowed| without_slash(allowed) == audience) {
        return Err(Claim::Audience);
    }
    if claims.tid.as_deref() != Some(issuer.tenant.as_str()) {
        return Err(Claim::Tenant);
    }
    let expires_at = claims.exp.map(seconds).ok_or(Claim::Expired)?;
    if now >= expires_at.plus(SKEW) {
        return Err(Claim::Expired);
    }
    if claims.nbf.is_some_and(|begin| now.plus(SKEW) < seconds(begin)) {
        return Err(Claim::NotYetValid);
    }
    let caller = match version {
        Version::V1 => claims.appid,
        Version::V2 => claims.azp,
    };
    if !caller.is_some_and(|caller| caller.eq_ignore_ascii_case(&expected.caller)) {
        return Err(Claim::Caller);
    }
    if !claims.roles.is_some_and(|roles| roles.iter().any(|role| role == ROLE)) {
        return Err(Claim::Roles);
    }
    let key = header.kid.as_ref().and_then(|kid| issuer.keys.get(kid)).ok_or(Claim::Key)?;
    Ok(Unproven { message, signature, key, expires_at })
}

/// A token that says the right things; whether they are true only its signature tells.
pub struct Unproven<'t> {
    message: &'t [u8],
    signature: &'t str,
    key: &'t DecodingKey,
    expires_at: Timestamp,
}

impl Unproven<'_> {
    /// The costly part of [`validate`].
    pub fn prove(self) -> Result<Valid, Claim> {
        match jsonwebtoken::crypto::verify(self.signature, self.message, self.key, Algorithm::RS256) {
            Ok(true) => Ok(Valid { expires_at: self.expires_at }),
            Ok(false) | Err(_) => Err(Claim::Signature),
        }
    }
}

impl fmt::Debug for Unproven<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unproven(until {})", self.expires_at)
    }
}

/// A token taken apart, nothing of it proven.
struct Read<'t> {
    version: Version,
    header: Header,
    claims: Claims,
    /// What was signed.
    message: &'t [u8],
    signature: &'t str,
}

fn read(token: &[u8]) -> Result<Read<'_>, Claim> {
    if token.len() > LONGEST {
        return Err(Claim::Form);
    }
    let mut dots = token.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(at, _)| at);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(Claim::Form);
    };
    let (message, signature) = token.split_at_checked(second).ok_or(Claim::Form)?;
    let signature = signature.strip_prefix(b".").and_then(|text| std::str::from_utf8(text).ok()).ok_or(Claim::Form)?;
    let (header, claims) = message.split_at_checked(first).ok_or(Claim::Form)?;
    let header: Header = part(header)?;
    if header.alg != "RS256" {
        return Err(Claim::Algorithm);
    }
    if header.crit.is_some() {
        return Err(Claim::Critical);
    }
    let claims: Claims = part(claims.strip_prefix(b".").ok_or(Claim::Form)?)?;
    let version = match claims.ver.as_deref() {
        Some("1.0") => Version::V1,
        Some("2.0") => Version::V2,
        Some(_) | None => return Err(Claim::Version),
    };
    Ok(Read { version, header, claims, message, signature })
}

fn part<T: DeserializeOwned>(encoded: &[u8]) -> Result<T, Claim> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(encoded).map_err(|_| Claim::Form)?;
    serde_json::from_slice(&json).map_err(|_| Claim::Form)
}

fn seconds(epoch: i64) -> Timestamp {
    Timestamp::from_millis(epoch.saturating_mul(1_000))
}

fn without_slash(audience: &str) -> &str {
    audience.strip_suffix('/').unwrap_or(audience)
}

#[cfg(test)]
mod tests;
