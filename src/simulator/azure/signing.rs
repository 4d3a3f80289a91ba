//! What Entra signs: its key set, and the tokens that Azure's caller brings to secure webhooks.
//!
//! Written without the library that the bridge checks tokens with, so that the two do not share a mistake.
//! <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Azure;
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::Answer;

/// `AzNS AAD Webhook`, the application that calls secure webhooks.
pub const AZURE_CALLER: &str = "461e8683-5575-4561-ac7f-899cc907d62a";

const LIFE: Duration = Duration::from_hours(1);

/// Entra's kinds of access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    #[default]
    #[serde(rename = "1.0")]
    V1,
    #[serde(rename = "2.0")]
    V2,
}

impl Version {
    /// `iss` of a tenant: only that of version 2.0 lies at the authority.
    pub fn issuer(self, authority: &str, tenant: &str) -> String {
        match self {
            Self::V1 => format!("https://sts.windows.net/{tenant}/"),
            Self::V2 => format!("{authority}/{tenant}/v2.0"),
        }
    }
}

/// A secure webhook as the action group has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecureWebhook {
    pub tenant: String,
    /// Identifier URI of the app registration, or its client id with version 2.0.
    pub audience: String,
    #[serde(default)]
    pub version: Version,
}

impl SecureWebhook {
    /// The claims that Entra puts into a token for Azure's caller.
    pub fn claims(&self, authority: &str, now: Timestamp) -> Value {
        let seconds = |at: Timestamp| at.as_millis().div_euclid(1_000);
        let mut claims = json!({
            "aud": self.audience,
            "iss": self.version.issuer(authority, &self.tenant),
            "iat": seconds(now),
            "nbf": seconds(now),
            "exp": seconds(now.plus(LIFE)),
            "idtyp": "app",
            "oid": "8f2f4e6a-0000-4000-8000-0000000000a5",
            "roles": ["ActionGroupsSecureWebhook"],
            "sub": "8f2f4e6a-0000-4000-8000-0000000000a5",
            "tid": self.tenant,
            "uti": Uuid::new_v4().simple().to_string(),
        });
        if let Value::Object(claims) = &mut claims {
            let (version, caller) = match self.version {
                Version::V1 => ("1.0", "appid"),
                Version::V2 => ("2.0", "azp"),
            };
            claims.insert("ver".to_owned(), json!(version));
            claims.insert(caller.to_owned(), json!(AZURE_CALLER));
        }
        claims
    }
}

/// An RSA key of 2048 bits and its name.
#[derive(Clone)]
pub struct SigningKey {
    pub kid: String,
    pair: Arc<KeyPair>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

/// The machine has no randomness, or the key is none: nothing to simulate with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key can be made")]
pub struct SigningError;

impl SigningKey {
    pub fn generate() -> Result<Self, SigningError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SigningError)?;
        Ok(Self { kid: Uuid::new_v4().simple().to_string(), pair: Arc::new(pair) })
    }

    /// A token with any header and any claims.
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        if self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).is_err() {
            signature.clear();
        }
        format!("{message}.{}", encoded(signature))
    }

    /// The header that Entra writes.
    pub fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "RS256", "x5t": self.kid, "kid": self.kid })
    }

    /// Modulus and exponent, as a key set has them.
    pub fn components(&self) -> (String, String) {
        let key = self.pair.public_key();
        let number = |digits: &[u8]| encoded(digits);
        (
            number(key.modulus().big_endian_without_leading_zero()),
            number(key.exponent().big_endian_without_leading_zero()),
        )
    }

    /// The public key, which an attacker has too.
    pub fn public_der(&self) -> Vec<u8> {
        let der: Result<PublicKeyX509Der<'_>, _> = self.pair.public_key().as_der();
        der.map(|der| der.as_ref().to_vec()).unwrap_or_default()
    }
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

impl Azure {
    /// The key that Entra signs with now.
    pub fn signing_key(&self) -> Option<SigningKey> {
        self.shared.change(|state| {
            if state.keys.is_empty() {
                state.keys.extend(SigningKey::generate());
            }
            state.keys.last().cloned()
        })
    }

    /// Entra signs with a new key from now on; returns its name. The old ones stay in the key set.
    pub fn rotate_keys(&self) -> Option<String> {
        let fresh = SigningKey::generate().ok()?;
        let kid = fresh.kid.clone();
        self.shared.change(|state| state.keys.push(fresh));
        Some(kid)
    }

    /// Takes all but the newest key out of the key set.
    pub fn retire_keys(&self) {
        self.shared.change(|state| {
            let newest = state.keys.pop();
            state.keys = newest.into_iter().collect();
        });
    }

    /// What Azure's caller brings now.
    pub fn webhook_token(&self, secure: &SecureWebhook) -> String {
        let claims = secure.claims(&self.url(), self.clock.now());
        self.signing_key().map(|key| key.token(&key.header(), &claims)).unwrap_or_default()
    }

    /// `GET /{tenant}/discovery/keys`
    pub(super) fn key_set(&self, authority: &str, tenant: &str, version: Version) -> Answer {
        // The first key is made when it is first asked for.
        let _newest = self.signing_key();
        let keys: Vec<Value> = self.read(|state| {
            let entry = |key: &SigningKey| {
                let (modulus, exponent) = key.components();
                let mut entry = json!({
                    "kty": "RSA", "use": "sig", "kid": key.kid, "x5t": key.kid, "n": modulus, "e": exponent,
                });
                if let (Version::V2, Value::Object(entry)) = (version, &mut entry) {
                    entry.insert("issuer".to_owned(), json!(version.issuer(authority, tenant)));
                }
                entry
            };
            state.keys.iter().map(entry).collect()
        });
        Answer::ok(&json!({ "keys": keys }))
    }
}
