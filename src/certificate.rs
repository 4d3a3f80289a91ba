//! An application's certificate with its private key: read from PEM, when it ends, and what is signed with it.
//!
//! The key is parsed once and checked to belong to the certificate, so that a mix-up shows where the configuration is
//! read and not in a refusal at night. Encrypted keys and PKCS #12 files are refused by name. No `Debug` shows the key.

pub mod made;

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::Decode;

use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

/// How assertions are signed, and by which thumbprint the certificate is named in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// PS256, the certificate named by its SHA-256 thumbprint: what Entra documents.
    Ps256,
    /// RS256, the certificate named by its SHA-1 thumbprint: the older form.
    Rs256,
}

/// A certificate and the key that belongs to it.
pub struct Certificate {
    key: RsaKeyPair,
    algorithm: Algorithm,
    sha1: Vec<u8>,
    sha256: Vec<u8>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    source: String,
}

/// Why a certificate is of no use. The texts continue the name of a configuration key, and hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("holds no certificate; it needs a block `BEGIN CERTIFICATE`, as `openssl x509` writes it")]
    NoCertificate,
    #[error("holds a certificate that cannot be read ({0}); export it again as PEM")]
    Malformed(String),
    #[error("holds no private key; put the key into the same file, or name its own with `key`")]
    NoKey,
    #[error(
        "holds an encrypted private key, which is not supported; decrypt it with `openssl pkey -in FILE -out NEW` \
         and let only the bridge read it"
    )]
    Encrypted,
    #[error("holds a key that is no RSA key of 2048 bits or more; Entra takes certificates with RSA keys only")]
    NotRsa,
    #[error("holds a key that belongs to another certificate")]
    Mismatch,
}

/// The key would not sign: a fault of the machine, such as no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot sign")]
pub struct SignError;

impl Certificate {
    /// Reads PEM: `certificate` holds the certificate, perhaps with its chain, and the key where `key` is absent.
    pub fn read(certificate: &Secret, key: Option<&Secret>, algorithm: Algorithm) -> Result<Self, CertificateError> {
        let pair = private_key(key.unwrap_or(certificate).expose())?;
        let mut found = false;
        for der in CertificateDer::pem_slice_iter(certificate.expose().as_bytes()) {
            let der = der.map_err(|_| CertificateError::Malformed("broken PEM".to_owned()))?;
            found = true;
            let parsed = x509_cert::Certificate::from_der(&der)
                .map_err(|error| CertificateError::Malformed(error.kind().to_string()))?;
            let body = parsed.tbs_certificate();
            // A chain holds further certificates: ours is the one with the key's other half.
            if body.subject_public_key_info().subject_public_key.raw_bytes() != pair.public_key().as_ref() {
                continue;
            }
            let validity = body.validity();
            return Ok(Self {
                key: pair,
                algorithm,
                sha1: digest(&SHA1_FOR_LEGACY_USE_ONLY, &der).as_ref().to_vec(),
                sha256: digest(&SHA256, &der).as_ref().to_vec(),
                starts_at: Timestamp::EPOCH.plus(validity.not_before.to_unix_duration()),
                ends_at: Timestamp::EPOCH.plus(validity.not_after.to_unix_duration()),
                source: certificate.source().to_owned(),
            });
        }
        Err(if found { CertificateError::Mismatch } else { CertificateError::NoCertificate })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// First moment of its validity.
    pub fn starts_at(&self) -> Timestamp {
        self.starts_at
    }

    /// Last second of its validity.
    pub fn ends_at(&self) -> Timestamp {
        self.ends_at
    }

    /// Where it came from, for people.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// SHA-1 thumbprint as the Azure portal shows it: upper-case hexadecimal.
    pub fn thumbprint(&self) -> String {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or_default().to_ascii_uppercase();
        self.sha1.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    /// The thumbprint that goes with the algorithm, base64url.
    pub fn encoded_thumbprint(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(match self.algorithm {
            Algorithm::Ps256 => &self.sha256,
            Algorithm::Rs256 => &self.sha1,
        })
    }

    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let padding = match self.algorithm {
            Algorithm::Ps256 => &RSA_PSS_SHA256,
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
        };
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(padding, &SystemRandom::new(), message, &mut signature).map_err(|_| SignError)?;
        Ok(signature)
    }
}

impl Algorithm {
    /// As JSON Web Signatures name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ps256 => "PS256",
            Self::Rs256 => "RS256",
        }
    }

    /// The member of the header that names the certificate.
    pub const fn thumbprint_member(self) -> &'static str {
        match self {
            Self::Ps256 => "x5t#S256",
            Self::Rs256 => "x5t",
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} from {}, ends {})", self.thumbprint(), self.source, self.ends_at)
    }
}

fn private_key(pem: &str) -> Result<RsaKeyPair, CertificateError> {
    // PKCS #8 has a block of its own for it, the older PKCS #1 a line within the block.
    if pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::Encrypted);
    }
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertificateError::NoKey)?;
    let pair = if let PrivateKeyDer::Pkcs1(key) = &der {
        RsaKeyPair::from_der(key.secret_pkcs1_der())
    } else {
        RsaKeyPair::from_pkcs8(der.secret_der())
    };
    pair.map_err(|_| CertificateError::NotRsa)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::made::Made;
    use super::*;

    fn start() -> Timestamp {
        Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
    }

    fn made(days: u64) -> Made {
        Made::new(start(), start().plus(Duration::from_hours(24 * days))).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned(), "file app.pem")
    }

    fn read(certificate: &str, key: Option<&str>) -> Result<Certificate, CertificateError> {
        Certificate::read(&secret(certificate), key.map(secret).as_ref(), Algorithm::Ps256)
    }

    #[test]
    fn certificate_and_key_may_lie_in_one_file_or_two() {
        let (made, other) = (made(90), made(90));
        for (certificate, key) in [
            (made.both(), None),
            (format!("{}{}", made.key, made.certificate), None),
            (format!("Bag Attributes\n  friendlyName: x\n{}", made.both()), None),
            (made.certificate.clone(), Some(made.key.as_str())),
            // A chain, ours not first.
            (format!("{}{}", other.certificate, made.both()), None),
            // The key that is named counts.
            (format!("{}{}", made.certificate, other.key), Some(made.key.as_str())),
        ] {
            let read = read(&certificate, key).unwrap();
            assert_eq!(read.starts_at(), start());
            assert_eq!(read.ends_at().to_string(), "2027-02-22T03:00:00Z");
            assert_eq!(read.thumbprint().len(), 40);
            assert_eq!(format!("{read:?}").lines().count(), 1);
        }
    }

    #[test]
    fn ends_after_2049_are_read_too() {
        assert_eq!(read(&made(365 * 30).both(), None).unwrap().ends_at().day(), "2056-11-16");
    }

    #[test]
    fn what_is_no_use_is_refused_with_the_mend() {
        let (made, other) = (made(90), made(90));
        let encrypted = made.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let old = format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{}", made.key);
        let curve = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
        let curve = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&curve).unwrap();
        let curve = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64::prelude::BASE64_STANDARD.encode(curve.as_ref())
        );
        let broken = made.certificate.replacen("MII", "MIJ", 1);
        for (certificate, key, error, words) in [
            (made.certificate.as_str(), None, CertificateError::NoKey, "`key`"),
            ("no PEM", None, CertificateError::NoKey, "`key`"),
            (made.key.as_str(), None, CertificateError::NoCertificate, "BEGIN CERTIFICATE"),
            (made.certificate.as_str(), Some(other.key.as_str()), CertificateError::Mismatch, "another certificate"),
            (made.certificate.as_str(), Some(encrypted.as_str()), CertificateError::Encrypted, "openssl pkey"),
            (made.certificate.as_str(), Some(old.as_str()), CertificateError::Encrypted, "openssl pkey"),
            (made.certificate.as_str(), Some(curve.as_str()), CertificateError::NotRsa, "RSA"),
        ] {
            let refused = read(certificate, key).unwrap_err();
            assert_eq!(refused, error);
            assert!(refused.to_string().contains(words), "{refused}");
        }
        assert!(matches!(read(&broken, Some(&made.key)), Err(CertificateError::Malformed(_))));
    }

    #[test]
    fn the_key_is_not_shown() {
        let made = made(1);
        let shown = format!("{:?} {made:?}", read(&made.both(), None).unwrap());
        let line = made.key.lines().nth(3).unwrap();
        assert!(!shown.contains(line) && !shown.contains("PRIVATE"), "{shown}");
    }
}
