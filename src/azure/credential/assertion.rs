//! The client assertion: a short-lived token, signed with the application's certificate, instead of a client secret.
//!
//! It is made for each request: a signature costs a millisecond or two, a request to Entra a hundred.
//! <https://learn.microsoft.com/entra/identity-platform/certificate-credentials>

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::certificate::{Certificate, SignError};
use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

/// Entra asks for 5 to 10 minutes.
const LIFE: Duration = Duration::from_mins(10);

/// An assertion of `client` for the token endpoint `audience`.
pub(super) fn signed(
    certificate: &Certificate,
    audience: &str,
    client: &str,
    now: Timestamp,
) -> Result<Secret, SignError> {
    let seconds = |at: Timestamp| at.as_millis().div_euclid(1_000);
    let algorithm = certificate.algorithm();
    let mut header = serde_json::Map::new();
    header.insert("alg".to_owned(), json!(algorithm.as_str()));
    header.insert("typ".to_owned(), json!("JWT"));
    header.insert(algorithm.thumbprint_member().to_owned(), json!(certificate.encoded_thumbprint()));
    let claims = json!({
        "aud": audience,
        "iss": client,
        "sub": client,
        "jti": Uuid::new_v4().to_string(),
        "iat": seconds(now),
        "nbf": seconds(now),
        "exp": seconds(now.plus(LIFE)),
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&Value::Object(header)), part(&claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(certificate.sign(message.as_bytes())?);
    Ok(Secret::new(format!("{message}.{signature}"), "an assertion signed with the certificate"))
}
