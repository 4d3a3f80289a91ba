//! Client assertions: one that the application signed with a registered certificate, or one of another issuer whom the
//! application trusts. The signature of the other issuer is not checked: its keys are fetched from the issuer, and there
//! is none here.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use super::entra::Refusal;
use super::tenancy::{App, AppCertificate};
use crate::domain::timestamp::Timestamp;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Clocks may differ by this much.
const SKEW: Duration = Duration::from_mins(5);

pub(super) fn check(
    app: &App,
    client_id: &str,
    assertion: &str,
    audience: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let malformed = || refuse(50_027, "invalid_request", "JWT token is invalid or malformed.");
    let parts: Vec<&str> = assertion.split('.').collect();
    let [header, claims, _] = parts.as_slice() else { return Err(malformed()) };
    let part = |text: &str| serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (Some(header), Some(claims)) = (part(header), part(claims)) else { return Err(malformed()) };
    in_time(&claims, now)?;
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if !claim("iss").eq_ignore_ascii_case(client_id) {
        return federated(app, claim("iss"), claim("sub"), &claims);
    }
    let certificate = named(app, &header).ok_or_else(|| {
        refuse(
            700_027,
            "invalid_client",
            "The certificate with identifier used to sign the client assertion is not registered on application.",
        )
    })?;
    if !is_signed(certificate, &header, assertion) {
        let text = "Client assertion failed signature validation. Key was found, but use of the key to verify the signature failed.";
        return Err(refuse(700_027, "invalid_client", text));
    }
    if certificate.expires_at <= now {
        let text = "The provided certificate is not within its specified validity period.";
        return Err(refuse(1_000_502, "invalid_client", text));
    }
    if !claim("sub").eq_ignore_ascii_case(client_id) || claim("jti").is_empty() {
        let text = "Client assertion application identifier doesn't match 'client_id' parameter.";
        return Err(refuse(700_021, "invalid_client", text));
    }
    if claim("aud") != audience {
        let text = format!("Client assertion audience claim does not match Realm issuer. It must be {audience}.");
        return Err(refuse(700_023, "invalid_client", &text));
    }
    Ok(())
}

fn refuse(code: u32, error: &str, text: &str) -> Refusal {
    let status = if code == 50_027 { StatusCode::BAD_REQUEST } else { StatusCode::UNAUTHORIZED };
    Refusal::new(code, error, status, text)
}

/// Times may have fractions: some clients write them so.
fn in_time(claims: &Value, now: Timestamp) -> Result<(), Refusal> {
    let at = |name: &str| {
        let seconds = claims.get(name)?.as_f64()?;
        format!("{:.0}", seconds * 1_000.0).parse().ok().map(Timestamp::from_millis)
    };
    let begun = at("nbf").or_else(|| at("iat")).is_none_or(|begin| begin <= now.plus(SKEW));
    let goes_on = at("exp").is_some_and(|end| end > now.minus(SKEW));
    if begun && goes_on {
        return Ok(());
    }
    let text = format!("Client assertion is not within its valid time range. Current time: {now}.");
    Err(refuse(700_024, "invalid_client", &text))
}

fn named<'a>(app: &'a App, header: &Value) -> Option<&'a AppCertificate> {
    // Microsoft's own clients pad it, which JSON Web Signatures do not.
    let member = |name: &str| header.get(name).and_then(Value::as_str).map(|text| text.trim_end_matches('='));
    let (sha256, sha1) = (member("x5t#S256"), member("x5t"));
    app.certificates.iter().find(|certificate| match (sha256, sha1) {
        (Some(sha256), _) => certificate.sha256 == sha256,
        (None, Some(sha1)) => certificate.sha1 == sha1,
        (None, None) => false,
    })
}

fn is_signed(certificate: &AppCertificate, header: &Value, assertion: &str) -> bool {
    let algorithm = match header.get("alg").and_then(Value::as_str) {
        Some("PS256") => Algorithm::PS256,
        Some("RS256") => Algorithm::RS256,
        Some(_) | None => return false,
    };
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    let key = DecodingKey::from_rsa_der(&certificate.public_key);
    jsonwebtoken::decode::<Value>(assertion, &key, &validation).is_ok()
}

/// Issuer, subject and audience must be those of one registration, to the letter.
fn federated(app: &App, issuer: &str, subject: &str, claims: &Value) -> Result<(), Refusal> {
    let is_audience = |wanted: &str| match claims.get("aud") {
        Some(Value::String(audience)) => audience == wanted,
        Some(Value::Array(audiences)) => audiences.iter().any(|audience| audience == wanted),
        Some(_) | None => false,
    };
    let of_issuer: Vec<_> = app.federations.iter().filter(|known| known.issuer == issuer).collect();
    let of_subject: Vec<_> = of_issuer.iter().filter(|known| known.subject == subject).collect();
    let (code, what) = if of_issuer.is_empty() {
        (700_211, format!("issuer '{issuer}'"))
    } else if of_subject.is_empty() {
        (700_213, format!("subject '{subject}'"))
    } else if of_subject.iter().any(|known| is_audience(&known.audience)) {
        return Ok(());
    } else {
        (70_021, "audience".to_owned())
    };
    let text = format!("No matching federated identity record found for presented assertion {what}.");
    Err(refuse(code, "invalid_request", &text))
}
