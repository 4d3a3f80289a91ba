//! Tenants, app registrations, subscriptions and role assignments.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use x509_cert::der::Decode;

use super::Azure;
use super::platform::{Identity, Platform};
use crate::domain::timestamp::Timestamp;

/// One Entra tenant.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// By client id, lower-case.
    pub apps: BTreeMap<String, App>,
}

/// An app registration with its service principal.
#[derive(Clone, Debug)]
pub struct App {
    pub name: String,
    /// Of the service principal.
    pub object_id: String,
    pub secrets: Vec<AppSecret>,
    pub certificates: Vec<AppCertificate>,
    pub federations: Vec<Federation>,
    pub disabled: bool,
    /// By subscription id, lower-case.
    pub roles: BTreeMap<String, Role>,
}

#[derive(Clone)]
pub struct AppSecret {
    pub value: String,
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppSecret(expires {:?})", self.expires_at)
    }
}

/// The public half of a certificate that is registered for an app.
#[derive(Clone, Debug)]
pub struct AppCertificate {
    /// Thumbprints as assertions name it: base64url.
    pub sha256: String,
    pub sha1: String,
    pub expires_at: Timestamp,
    /// PKCS #1.
    pub public_key: Vec<u8>,
}

/// A federated identity credential: whose tokens are taken in the place of a secret.
#[derive(Clone, Debug)]
pub struct Federation {
    pub issuer: String,
    pub subject: String,
    pub audience: String,
}

/// It is no certificate in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no certificate in PEM")]
pub struct NoCertificate;

impl AppCertificate {
    fn read(pem: &str) -> Result<Self, NoCertificate> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| NoCertificate)?;
        let parsed = x509_cert::Certificate::from_der(&der).map_err(|_| NoCertificate)?;
        let body = parsed.tbs_certificate();
        let thumbprint = |algorithm| BASE64_URL_SAFE_NO_PAD.encode(digest(algorithm, &der));
        Ok(Self {
            sha256: thumbprint(&SHA256),
            sha1: thumbprint(&SHA1_FOR_LEGACY_USE_ONLY),
            expires_at: Timestamp::EPOCH.plus(body.validity().not_after.to_unix_duration()),
            public_key: body.subject_public_key_info().subject_public_key.raw_bytes().to_vec(),
        })
    }
}

/// What a service principal may do in a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads alerts.
    Reader,
    /// Reads alerts and changes their state.
    Bridge,
}

#[derive(Clone, Debug, Serialize)]
pub struct Subscription {
    pub tenant: String,
    pub name: String,
}

impl Azure {
    pub fn add_tenant(&self, tenant: &str) {
        self.shared.change(|state| {
            state.tenants.entry(tenant.to_lowercase()).or_default();
        });
    }

    /// Registers an app; the tenant is made if there is none.
    pub fn register_app(&self, tenant: &str, client_id: &str, secret: &str) {
        let app = App {
            name: "SIGNL4 Azure Monitor Bridge".to_owned(),
            object_id: Uuid::new_v4().to_string(),
            secrets: vec![AppSecret { value: secret.to_owned(), expires_at: None }],
            certificates: Vec::new(),
            federations: Vec::new(),
            disabled: false,
            roles: BTreeMap::new(),
        };
        self.shared.change(|state| {
            state.tenants.entry(tenant.to_lowercase()).or_default().apps.insert(client_id.to_lowercase(), app);
        });
    }

    /// Registers a certificate for an app, besides those that it has.
    pub fn register_certificate(&self, client_id: &str, pem: &str) -> Result<(), NoCertificate> {
        let certificate = AppCertificate::read(pem)?;
        self.change_app(client_id, |app| app.certificates.push(certificate));
        Ok(())
    }

    /// Lets an app be proven by tokens of another issuer.
    pub fn federate(&self, client_id: &str, issuer: &str, subject: &str, audience: &str) {
        let (issuer, subject, audience) = (issuer.to_owned(), subject.to_owned(), audience.to_owned());
        self.change_app(client_id, |app| app.federations.push(Federation { issuer, subject, audience }));
    }

    /// Gives the machine an identity: its own, or by `resource_id` one that stands for itself. It has no role yet.
    pub fn assign_identity(&self, tenant: &str, client_id: &str, object_id: &str, resource_id: Option<&str>) {
        let (tenant, client_id) = (tenant.to_lowercase(), client_id.to_lowercase());
        let app = App {
            name: "Managed identity".to_owned(),
            object_id: object_id.to_owned(),
            secrets: Vec::new(),
            certificates: Vec::new(),
            federations: Vec::new(),
            disabled: false,
            roles: BTreeMap::new(),
        };
        let identity = Identity {
            tenant: tenant.clone(),
            client_id: client_id.clone(),
            object_id: object_id.to_owned(),
            resource_id: resource_id.map(str::to_owned),
        };
        self.shared.change(|state| {
            state.tenants.entry(tenant).or_default().apps.insert(client_id, app);
            state.platform.identities.push(identity);
        });
    }

    /// Makes the machine an App Service with this header, or an Arc machine with this key.
    pub fn platform(&self, change: impl FnOnce(&mut Platform)) {
        self.shared.change(|state| change(&mut state.platform));
    }

    /// Changes an app registration: its secrets, whether it is disabled. Nothing happens to one that is unknown.
    pub fn change_app(&self, client_id: &str, change: impl FnOnce(&mut App)) {
        let client_id = client_id.to_lowercase();
        self.shared.change(|state| {
            if let Some(app) = state.tenants.values_mut().find_map(|tenant| tenant.apps.get_mut(&client_id)) {
                change(app);
            }
        });
    }

    /// Puts a new secret in place of all others, as an operator does who rotates at once.
    pub fn rotate_secret(&self, client_id: &str, secret: &str) {
        self.change_app(client_id, |app| {
            app.secrets = vec![AppSecret { value: secret.to_owned(), expires_at: None }];
        });
    }

    /// Lets the app's secrets expire at `at`.
    pub fn expire_secrets(&self, client_id: &str, at: Timestamp) {
        self.change_app(client_id, |app| {
            for secret in &mut app.secrets {
                secret.expires_at = Some(at);
            }
        });
    }

    pub fn add_subscription(&self, tenant: &str, subscription: &str) {
        let entry = Subscription { tenant: tenant.to_lowercase(), name: "Payments".to_owned() };
        self.shared.change(|state| state.subscriptions.insert(subscription.to_lowercase(), entry));
    }

    /// Assigns a role to an app's service principal, or takes it away.
    pub fn assign_role(&self, client_id: &str, subscription: &str, role: Option<Role>) {
        let subscription = subscription.to_lowercase();
        self.change_app(client_id, |app| {
            if let Some(role) = role {
                app.roles.insert(subscription, role);
            } else {
                app.roles.remove(&subscription);
            }
        });
    }

    /// Makes every token that was handed out invalid, though it has not expired.
    pub fn revoke_tokens(&self) {
        self.shared.change(|state| state.tokens.clear());
    }
}
