//! `credential = …` of `[azure.NAME]`: every way to sign in to Azure, and the variables by which Azure's own libraries
//! are told of it.
//!
//! What stands in the environment is read here, once: afterwards a credential is a value that no longer depends on it.

mod managed_identity;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::document::{Node, Value};
use super::problem::{Findings, Place, one_of, shown};
use super::secrets::Origins;
use super::section::{Item, Section};
use super::{Credential, Identity, IdentityEndpoint};
use crate::certificate::{Algorithm, Certificate};
use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

const EXAMPLE: &str = "{ client_secret = { file = \"…\" } }";
const KINDS: [&str; 4] = ["client_secret", "certificate", "federated_token_file", "managed_identity"];
const WORDS: [&str; 3] = ["managed_identity", "workload_identity", "environment"];

/// Where the ids of tenant and application come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// `tenant_id` and `client_id` must be there.
    Configured,
    /// They may be, else `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` are taken; `AZURE_AUTHORITY_HOST` counts, too.
    Environment,
    /// The platform knows them.
    Platform,
}

pub(super) fn ids(item: &Item) -> Ids {
    match item.as_text() {
        Some("workload_identity" | "environment") => Ids::Environment,
        Some("managed_identity") => Ids::Platform,
        Some(_) => Ids::Configured,
        None => match item.node.value.as_table().and_then(|table| table.get("managed_identity")) {
            Some(_) => Ids::Platform,
            None => Ids::Configured,
        },
    }
}

pub(super) fn credential(item: &Item, origins: &Origins<'_>, findings: &mut Findings) -> Option<Credential> {
    match item.as_text() {
        Some("managed_identity") => {
            let endpoint = managed_identity::endpoint(item, origins.env, findings)?;
            return Some(Credential::ManagedIdentity { identity: Identity::SystemAssigned, endpoint });
        }
        Some("workload_identity") => {
            let file = variable(origins.env, "AZURE_FEDERATED_TOKEN_FILE");
            if file.is_none() {
                item.error(
                    "is \"workload_identity\", but the environment variable AZURE_FEDERATED_TOKEN_FILE is not set; \
                     label the pod azure.workload.identity/use: \"true\"",
                    findings,
                );
            }
            return Some(federated(item, origins.folder.join(file?), findings));
        }
        Some("environment") => return environment(item, origins, findings),
        Some(text) => {
            if let Some(near) = super::problem::nearest(text, WORDS) {
                item.error(format_args!("must be {EXAMPLE} or one of {}; did you mean \"{near}\"?", words()), findings);
            } else {
                item.error(
                    format_args!("must be {EXAMPLE} or one of {}; a secret does not stand there by itself", words()),
                    findings,
                );
            }
            return None;
        }
        None => {}
    }
    let mut section = item.table(EXAMPLE, findings)?;
    let found: Vec<Item> = KINDS.iter().filter_map(|kind| section.take(kind)).collect();
    let [kind] = found.as_slice() else {
        section.take("expires");
        section.take("key");
        section.take("algorithm");
        section.finish(findings);
        match found.as_slice() {
            [one, other, ..] => {
                item.error(format_args!("has both `{}` and `{}`; leave one", one.key, other.key), findings);
            }
            [] | [_] => {
                item.error(
                    format_args!("names no secret; write {EXAMPLE}, or another of {}", one_of(&KINDS)),
                    findings,
                );
            }
        }
        return None;
    };
    let credential = match kind.key.as_str() {
        "client_secret" => client_secret(kind, &mut section, origins, findings),
        "certificate" => certificate(kind, &mut section, origins, findings),
        "federated_token_file" => kind.text(findings).map(|file| federated(kind, origins.folder.join(file), findings)),
        _ => managed_identity::credential(kind, origins.env, findings),
    };
    section.finish(findings);
    credential
}

fn words() -> String {
    WORDS.map(|word| format!("\"{word}\"")).join(", ")
}

fn client_secret(
    item: &Item,
    section: &mut Section<'_>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<Credential> {
    let expires = section.take("expires");
    // A text is one secret, whatever commas it holds.
    let items = if matches!(item.node.value, Value::List(_)) { item.list() } else { vec![item.clone()] };
    let secrets: Vec<Secret> = items.iter().filter_map(|item| item.secret(origins, findings)).collect();
    if items.is_empty() || items.len() > 2 {
        item.error("takes one secret, or a list of two while it is rotated: the new one and the old one", findings);
        return None;
    }
    let dates = expires.as_ref().map(Item::list).unwrap_or_default();
    let ends: Vec<_> = dates.iter().filter_map(|date| date.date(findings)).collect();
    if let Some(expires) = &expires
        && dates.len() > items.len()
    {
        expires.error("has more dates than there are secrets; give one for each, in the same order", findings);
    }
    // While one of two works, the bridge does: the later date counts, and one date alone is that of both.
    let expires = ends.iter().max().copied();
    (secrets.len() == items.len()).then_some(Credential::ClientSecret { secrets, expires })
}

fn certificate(
    item: &Item,
    section: &mut Section<'_>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<Credential> {
    let key = section.take("key");
    let algorithm = section.take("algorithm");
    if let Some(expires) = section.take("expires") {
        expires.error("is not needed with a certificate, which has its own date; leave it out", findings);
    }
    let algorithm = match algorithm {
        Some(item) => item.word(&[("PS256", Algorithm::Ps256), ("RS256", Algorithm::Rs256)], findings),
        None => Some(Algorithm::Ps256),
    };
    let certificate = item.secret(origins, findings);
    let key_secret = key.as_ref().map(|item| item.secret(origins, findings));
    let (certificate, key_secret) = (certificate?, key_secret.map_or(Some(None), |secret| secret.map(Some))?);
    read_certificate(item, &certificate, key_secret.as_ref(), algorithm?, findings)
}

fn read_certificate(
    item: &Item,
    certificate: &Secret,
    key: Option<&Secret>,
    algorithm: Algorithm,
    findings: &mut Findings,
) -> Option<Credential> {
    match Certificate::read(certificate, key, algorithm) {
        Ok(certificate) => Some(Credential::Certificate(Arc::new(certificate))),
        Err(error) => {
            let source = key.map_or_else(
                || certificate.source().to_owned(),
                |key| format!("{}, {}", certificate.source(), key.source()),
            );
            item.error(format_args!("({source}) {error}"), findings);
            None
        }
    }
}

/// The file is read for every token: here it is only looked for, and may come later.
fn federated(item: &Item, file: PathBuf, findings: &mut Findings) -> Credential {
    if !file.is_file() {
        item.warn(
            format_args!("names the token file {}, which is not there; the platform must put it there", shown(&file)),
            findings,
        );
    }
    Credential::FederatedToken { file }
}

/// Secret, certificate, federated token: the first whose variable is set.
/// <https://learn.microsoft.com/python/api/azure-identity/azure.identity.environmentcredential>
fn environment(item: &Item, origins: &Origins<'_>, findings: &mut Findings) -> Option<Credential> {
    const SECRET: &str = "AZURE_CLIENT_SECRET";
    const CERTIFICATE: &str = "AZURE_CLIENT_CERTIFICATE_PATH";
    const TOKEN_FILE: &str = "AZURE_FEDERATED_TOKEN_FILE";
    if let Some(secret) = variable(origins.env, SECRET) {
        let secret = Secret::new(secret.to_owned(), &format!("environment variable {SECRET}"));
        return Some(Credential::ClientSecret { secrets: vec![secret], expires: None });
    }
    if let Some(path) = variable(origins.env, CERTIFICATE) {
        if variable(origins.env, "AZURE_CLIENT_CERTIFICATE_PASSWORD").is_some() {
            item.error(
                "is \"environment\", and AZURE_CLIENT_CERTIFICATE_PASSWORD is set: encrypted keys are not supported; \
                 decrypt it with `openssl pkey -in FILE -out NEW`, or a PKCS #12 file with \
                 `openssl pkcs12 -in FILE -nodes -out NEW`, and unset that variable",
                findings,
            );
            return None;
        }
        let path = origins.folder.join(path);
        findings.watched.insert(path.clone());
        let text = match super::secrets::read(&path) {
            Ok(text) => text,
            Err(problem) => {
                item.error(
                    format_args!(
                        "is \"environment\", and {} of {CERTIFICATE} {problem}; it must be PEM: a PKCS #12 file becomes \
                         that with `openssl pkcs12 -in FILE -nodes -out NEW`",
                        shown(&path)
                    ),
                    findings,
                );
                return None;
            }
        };
        let certificate = Secret::new(text, &format!("file {}", shown(&path)));
        return read_certificate(item, &certificate, None, Algorithm::Ps256, findings);
    }
    if let Some(file) = variable(origins.env, TOKEN_FILE) {
        return Some(federated(item, origins.folder.join(file), findings));
    }
    item.error(
        format_args!("is \"environment\", but none of {SECRET}, {CERTIFICATE} and {TOKEN_FILE} is set; set one"),
        findings,
    );
    None
}

/// A variable that is set to something: platforms set some to nothing.
fn variable<'e>(env: &'e BTreeMap<String, String>, name: &str) -> Option<&'e str> {
    env.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// A variable of Azure's libraries as a value that knows its place.
pub(super) fn azure_variable(section: &str, name: &str, env: &BTreeMap<String, String>) -> Option<Item> {
    variable(env, name).map(|value| Item {
        node: Node { value: Value::Text(value.to_owned()), place: Place::Variable { name: name.to_owned() } },
        key: name.to_owned(),
        section: format!("the environment, for {section},"),
    })
}

impl Credential {
    /// When it ends: by the certificate, or as the operator says.
    pub fn ends_at(&self) -> Option<Timestamp> {
        match self {
            Self::ClientSecret { expires, .. } => *expires,
            Self::Certificate(certificate) => Some(certificate.ends_at()),
            Self::FederatedToken { .. } | Self::ManagedIdentity { .. } => None,
        }
    }

    /// What a person does before it ends.
    pub fn renewal(&self, client_id: &str) -> String {
        match self {
            Self::ClientSecret { .. } => format!(
                "create another client secret (`az ad app credential reset --append --id {client_id}`), put it in front \
                 of the old one in `client_secret` and change `expires`"
            ),
            Self::Certificate(certificate) => format!(
                "make a new certificate, register it (`az ad app credential reset --append --id {client_id} \
                 --cert @NEW.pem`) and put it with its key in the place of the old one ({})",
                certificate.source()
            ),
            Self::FederatedToken { .. } | Self::ManagedIdentity { .. } => "the platform renews it".to_owned(),
        }
    }

    /// `client secret from file secrets/azure`, for `check`.
    pub fn in_words(&self) -> String {
        match self {
            Self::ClientSecret { secrets, .. } => {
                let sources: Vec<&str> = secrets.iter().map(Secret::source).collect();
                format!("client secret from {}", sources.join(", then "))
            }
            Self::Certificate(certificate) => format!(
                "certificate {} from {}, {}",
                certificate.thumbprint(),
                certificate.source(),
                certificate.algorithm().as_str()
            ),
            Self::FederatedToken { file } => format!("federated token from file {}", shown(file)),
            Self::ManagedIdentity { identity, endpoint } => {
                let place = match endpoint {
                    IdentityEndpoint::Imds { host } => format!("the metadata service {host}"),
                    IdentityEndpoint::AppService { endpoint, .. } | IdentityEndpoint::Arc { endpoint, .. } => {
                        endpoint.clone()
                    }
                };
                let which = match identity {
                    Identity::SystemAssigned => "the machine's own".to_owned(),
                    Identity::ClientId(id) => format!("client id {id}"),
                    Identity::ObjectId(id) => format!("object id {id}"),
                    Identity::ResourceId(id) => id.clone(),
                };
                format!("managed identity ({which}) by {place}")
            }
        }
    }
}
