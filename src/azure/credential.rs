//! How a connection signs in to Azure, as sources of the token cache: at Entra with a client secret, a certificate or a
//! federated token (`entra`), or with an identity that the platform gave to this machine (`managed_identity`).

pub mod aadsts;
mod arc;
mod assertion;
mod entra;
mod managed_identity;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use self::entra::{ClientCredentials, Endpoint, Proof};
use self::managed_identity::ManagedIdentity;
use crate::clock::Clock;
use crate::config::{Connection, Credential};
use crate::domain::id::ConnectionName;
use crate::egress::Http;
use crate::tokens::{CredentialKey, Origin, SecretEnd};

/// The cache entries of all connections that have a credential.
pub fn origins(
    connections: &BTreeMap<ConnectionName, Connection>,
    http: &Http,
    clock: &Clock,
) -> BTreeMap<CredentialKey, Origin> {
    let entry = |(name, connection): (&ConnectionName, &Connection)| {
        Some((CredentialKey::Azure(name.clone()), origin(name, connection, http, clock)?))
    };
    connections.iter().filter_map(entry).collect()
}

fn origin(name: &ConnectionName, connection: &Connection, http: &Http, clock: &Clock) -> Option<Origin> {
    let credential = connection.credential.as_ref()?;
    let proof = match credential {
        Credential::ClientSecret { secrets, .. } => {
            Proof::ClientSecrets { secrets: secrets.clone(), taken: AtomicUsize::new(0) }
        }
        Credential::Certificate(certificate) => Proof::Certificate(Arc::clone(certificate)),
        Credential::FederatedToken { file } => Proof::FederatedToken(file.clone()),
        Credential::ManagedIdentity { identity, endpoint } => {
            let source = ManagedIdentity {
                connection: name.clone(),
                http: http.direct(),
                clock: clock.clone(),
                resource: connection.cloud.audience.clone(),
                identity: identity.clone(),
                endpoint: endpoint.clone(),
            };
            return Some(Origin::Fetched {
                fingerprint: source.fingerprint(),
                source: Arc::new(source),
                secret_end: None,
            });
        }
    };
    let source = ClientCredentials {
        endpoint: Endpoint { connection: name.clone(), http: http.clone(), clock: clock.clone() },
        tenant: connection.tenant_id.clone(),
        client: connection.client_id.clone(),
        authority: connection.cloud.authority.trim_end_matches('/').to_owned(),
        scope: format!("{}/.default", connection.cloud.audience),
        proof,
    };
    let secret_end =
        credential.ends_at().map(|at| SecretEnd { at, renewal: credential.renewal(&connection.client_id) });
    Some(Origin::Fetched { fingerprint: source.fingerprint(), source: Arc::new(source), secret_end })
}

#[cfg(test)]
mod tests;
