//! Keys and certificates for trying out: made on the spot, so that no private key lies in the repository.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::domain::timestamp::Timestamp;

/// A self-signed certificate with its RSA key, both as PEM.
#[derive(Clone)]
pub struct Made {
    pub certificate: String,
    /// PKCS #8.
    pub key: String,
}

/// The key could not be made: a fault of the machine, such as no randomness.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no key could be made")]
pub struct MakeError;

impl Made {
    /// Makes a key of 2048 bits and a certificate that is valid from `from` to `to`.
    pub fn new(from: Timestamp, to: Timestamp) -> Result<Self, MakeError> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| MakeError)?;
        let pkcs8 = key.as_der().map_err(|_| MakeError)?;
        let sha256_with_rsa = sequence(&[&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b], NULL]);
        let rsa = sequence(&[&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01], NULL]);
        // CN=signl4-azure-bridge
        let common_name = sequence(&[&[0x06, 0x03, 0x55, 0x04, 0x03], &tagged(0x0c, &[b"signl4-azure-bridge"])]);
        let name = sequence(&[&tagged(0x31, &[&common_name])]);
        let public_key = tagged(0x03, &[&[0], key.public_key().as_ref()]);
        let body = sequence(&[
            // Version 3.
            &tagged(0xa0, &[&[0x02, 0x01, 0x02]]),
            // The first byte keeps the number positive and without a leading zero.
            &tagged(0x02, &[&[0x01], uuid::Uuid::new_v4().as_bytes()]),
            &sha256_with_rsa,
            &name,
            &sequence(&[&time(from), &time(to)]),
            &name,
            &sequence(&[&rsa, &public_key]),
        ]);
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &body, &mut signature).map_err(|_| MakeError)?;
        let certificate = sequence(&[&body, &sha256_with_rsa, &tagged(0x03, &[&[0], &signature])]);
        Ok(Self { certificate: pem("CERTIFICATE", &certificate), key: pem("PRIVATE KEY", pkcs8.as_ref()) })
    }

    /// Certificate and key in one file, as an operator keeps them.
    pub fn both(&self) -> String {
        format!("{}{}", self.certificate, self.key)
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

const NULL: &[u8] = &[0x05, 0x00];

/// A DER value: tag, length, content.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let bytes = length.to_be_bytes();
    let significant: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    let mut value = vec![tag];
    match significant.as_slice() {
        [] => value.push(0),
        [short @ 0..0x80] => value.push(*short),
        long => {
            value.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            value.extend_from_slice(long);
        }
    }
    for part in parts {
        value.extend_from_slice(part);
    }
    value
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, parts)
}

/// `UTCTime` up to 2049, `GeneralizedTime` after: RFC 5280, section 4.1.2.5.
fn time(at: Timestamp) -> Vec<u8> {
    let digits: String = at.to_string().chars().take(19).filter(char::is_ascii_digit).collect();
    let text = format!("{digits}Z");
    match text.strip_prefix("20") {
        Some(short) if text.as_str() < "2050" => tagged(0x17, &[short.as_bytes()]),
        Some(_) | None => tagged(0x18, &[text.as_bytes()]),
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
