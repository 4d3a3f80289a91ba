//! `managed_identity`: which identity, and where the platform hands out its tokens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::variable;
use crate::config::problem::Findings;
use crate::config::section::Item;
use crate::config::value::{parse_url, trimmed};
use crate::config::{Credential, Identity, IdentityEndpoint};
use crate::secret::Secret;

/// Present where the agent of Azure Arc is installed.
const ARC_AGENT: &str = "/opt/azcmagent/bin/himds";
/// Where that agent puts the keys of its challenges.
/// <https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication>
const ARC_KEYS: &str = "/var/opt/azcmagent/tokens";
const ARC_ENDPOINT: &str = "http://localhost:40342/metadata/identity/oauth2/token";
/// The metadata service of virtual machines.
const IMDS: &str = "http://169.254.169.254";

pub(super) fn credential(item: &Item, env: &BTreeMap<String, String>, findings: &mut Findings) -> Option<Credential> {
    const FORM: &str = "{ client_id = \"…\" }, { object_id = \"…\" } or { resource_id = \"…\" }";
    let mut section = item.table(FORM, findings)?;
    let found: Vec<Item> =
        ["client_id", "object_id", "resource_id"].into_iter().filter_map(|key| section.take(key)).collect();
    section.finish(findings);
    let identity = match found.as_slice() {
        [id] if id.key == "client_id" => id.guid(findings).map(Identity::ClientId),
        [id] if id.key == "object_id" => id.guid(findings).map(Identity::ObjectId),
        [id] => id.text(findings).and_then(|text| {
            let lower = text.to_lowercase();
            if lower.starts_with("/subscriptions/") && lower.contains("/userassignedidentities/") {
                return Some(Identity::ResourceId(text.to_owned()));
            }
            id.error(
                "must be the identity's whole resource id: \
                 /subscriptions/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/NAME",
                findings,
            );
            None
        }),
        _ => {
            item.error(
                format_args!(
                    "names the identity by one of {FORM}; without any, write credential = \"managed_identity\""
                ),
                findings,
            );
            None
        }
    };
    let endpoint = endpoint(item, env, findings);
    Some(Credential::ManagedIdentity { identity: identity?, endpoint: endpoint? })
}

/// Where the platform hands out tokens, found as Azure's own libraries find it.
pub(super) fn endpoint(
    item: &Item,
    env: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<IdentityEndpoint> {
    let identity = variable(env, "IDENTITY_ENDPOINT");
    match (identity, variable(env, "IDENTITY_HEADER")) {
        (Some(_), Some(_)) if variable(env, "IDENTITY_SERVER_THUMBPRINT").is_some() => {
            item.error(
                "is a managed identity on Service Fabric (IDENTITY_SERVER_THUMBPRINT is set), which is not supported; \
                 use a certificate",
                findings,
            );
            return None;
        }
        (Some(endpoint), Some(header)) => {
            let endpoint = url(item, "IDENTITY_ENDPOINT", endpoint, findings)?;
            let header = Secret::new(header.to_owned(), "environment variable IDENTITY_HEADER");
            return Some(IdentityEndpoint::AppService { endpoint, header });
        }
        _ => {}
    }
    if variable(env, "MSI_ENDPOINT").is_some() {
        item.error(
            "is a managed identity of Azure Machine Learning or Cloud Shell (MSI_ENDPOINT is set), which is not \
             supported; use a certificate",
            findings,
        );
        return None;
    }
    let arc = |endpoint| IdentityEndpoint::Arc { endpoint, keys: PathBuf::from(ARC_KEYS) };
    match (identity, variable(env, "IMDS_ENDPOINT")) {
        (Some(endpoint), Some(_)) => url(item, "IDENTITY_ENDPOINT", endpoint, findings).map(arc),
        _ if Path::new(ARC_AGENT).exists() => Some(arc(ARC_ENDPOINT.to_owned())),
        _ => {
            let host = match variable(env, "AZURE_POD_IDENTITY_AUTHORITY_HOST") {
                Some(host) => url(item, "AZURE_POD_IDENTITY_AUTHORITY_HOST", host, findings)?,
                None => IMDS.to_owned(),
            };
            Some(IdentityEndpoint::Imds { host })
        }
    }
}

fn url(item: &Item, name: &str, text: &str, findings: &mut Findings) -> Option<String> {
    match parse_url(text) {
        Ok(url) => Some(trimmed(&url)),
        Err(problem) => {
            item.error(format_args!("is told by {name}, which {problem}"), findings);
            None
        }
    }
}
