//! `[azure.NAME]`: tenant, credential, subscriptions, cloud, tokens.

use std::collections::BTreeSet;

use super::credential::{self, Ids, azure_variable};
use super::problem::Findings;
use super::secrets::Origins;
use super::section::{Item, Section};
use super::value::{is_safe_address, parse_url, trimmed};
use super::{Cloud, Connection, callers, polling};
use crate::domain::id::SubscriptionId;
use crate::domain::route::Comments;

const COMMENTS: [(&str, Comments); 3] =
    [("all", Comments::All), ("with_changes", Comments::WithChanges), ("off", Comments::Off)];

/// `None` after an error that leaves nothing to go on with.
pub(super) fn connection(
    mut section: Section<'_>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<Connection> {
    let credential_item = section.take("credential");
    // Without a credential nobody asks Entra for a token, and the ids may be left out.
    let ids = credential_item.as_ref().map_or(Ids::Platform, credential::ids);
    let tenant_id = id(&mut section, "tenant_id", "AZURE_TENANT_ID", ids, &tenant, origins, findings);
    let client_id = id(&mut section, "client_id", "AZURE_CLIENT_ID", ids, &Item::guid, origins, findings);
    if let Some(item) = credential_item.as_ref().filter(|_| ids == Ids::Platform)
        && client_id.as_ref().is_some_and(|id| !id.is_empty())
    {
        item.error(
            "is a managed identity, for which `client_id` does not count; \
             write { managed_identity = { client_id = \"…\" } }, or leave `client_id` out",
            findings,
        );
    }
    let credential = credential_item.as_ref().map(|item| credential::credential(item, origins, findings));
    if credential_item.is_none() {
        findings.warn(
            &section.place,
            format_args!(
                "{} has no `credential`: its alerts are paged, and nothing that is done on the phone reaches Azure",
                section.name
            ),
        );
    }
    let subscriptions = subscriptions(&mut section, findings);
    let cloud_item = section.take("cloud");
    let authority =
        (ids == Ids::Environment).then(|| azure_variable(&section.name, "AZURE_AUTHORITY_HOST", origins.env)).flatten();
    let cloud = match (authority, &cloud_item) {
        (Some(authority), cloud) => told_by(&authority, cloud.as_ref(), findings),
        (None, Some(item)) => cloud(item, findings),
        (None, None) => Some(Cloud::public()),
    };
    let (poll, poll_raises, look_back) = polling::of_connection(&mut section, credential_item.is_some(), findings);
    let (tokens, secure_webhook, networks) =
        callers::of_connection(&mut section, tenant_id.as_deref(), poll.is_some(), origins, findings);
    let comments = section.take("comments").and_then(|item| item.word(&COMMENTS, findings)).unwrap_or_default();
    section.finish(findings);
    Some(Connection {
        tenant_id: tenant_id?,
        client_id: client_id?,
        credential: credential.map_or(Some(None), |credential| credential.map(Some))?,
        subscriptions,
        cloud: cloud?,
        tokens,
        secure_webhook,
        networks,
        comments,
        poll,
        poll_raises,
        look_back,
    })
}

/// The id, empty where none is needed. `None` after an error.
fn id(
    section: &mut Section<'_>,
    key: &'static str,
    variable: &str,
    ids: Ids,
    read: &dyn Fn(&Item, &mut Findings) -> Option<String>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<String> {
    let item = match ids {
        Ids::Configured => Some(section.demand(key, "\"00000000-0000-0000-0000-000000000000\"", findings)?),
        Ids::Environment => {
            let told = section.take(key).or_else(|| azure_variable(&section.name, variable, origins.env));
            if told.is_none() {
                let message = format!("`{key}` is missing in {}, and {variable} is not set; set one", section.name);
                findings.error(&section.place, message);
            }
            Some(told?)
        }
        Ids::Platform => section.take(key),
    };
    item.map_or_else(|| Some(String::new()), |item| read(&item, findings))
}

/// A tenant is named by its id or by one of its domains.
pub(super) fn tenant(item: &Item, findings: &mut Findings) -> Option<String> {
    let text = item.text(findings)?.trim();
    let domain = text.contains('.')
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if domain { Some(text.to_ascii_lowercase()) } else { item.guid(findings) }
}

fn subscriptions(section: &mut Section<'_>, findings: &mut Findings) -> BTreeSet<SubscriptionId> {
    let example = "[\"00000000-0000-0000-0000-000000000000\"]";
    let Some(item) = section.demand("subscriptions", example, findings) else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for item in item.texts(findings) {
        if let Some(guid) = item.guid(findings) {
            let id = SubscriptionId::new(&guid);
            if !found.insert(id) {
                item.error(format_args!("has {guid} twice; leave one"), findings);
            }
        }
    }
    found
}

fn cloud(item: &Item, findings: &mut Findings) -> Option<Cloud> {
    if item.as_text().is_some() {
        return item.word(&[("public", 0), ("usgov", 1), ("china", 2)], findings).map(|cloud| match cloud {
            1 => Cloud::usgov(),
            2 => Cloud::china(),
            _ => Cloud::public(),
        });
    }
    let mut section = item.table("a name or { authority = \"…\", arm = \"…\", audience = \"…\" }", findings)?;
    let authority = section.demand("authority", "\"https://login.example.com\"", findings);
    let arm = section.demand("arm", "\"https://management.example.com\"", findings);
    let audience = section.take("audience");
    let portal = section.take("portal");
    section.finish(findings);
    let authority = authority.and_then(|item| item.address(findings));
    let arm = arm.and_then(|item| item.address(findings));
    let audience = match audience {
        Some(item) => item.text(findings).map(str::to_owned),
        None => arm.clone(),
    };
    let portal = match portal {
        Some(item) => item.address(findings),
        None => Some(Cloud::public().portal),
    };
    Some(Cloud { authority: authority?, arm: arm?, audience: audience?, portal: portal? })
}

/// The cloud that `AZURE_AUTHORITY_HOST` belongs to: the configured one with this authority, else the one known by it.
/// Platforms write it with a slash at its end, and people without a scheme.
fn told_by(item: &Item, configured: Option<&Item>, findings: &mut Findings) -> Option<Cloud> {
    let text = item.text(findings)?.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let authority = match parse_url(&whole) {
        Ok(url) if is_safe_address(&url) => trimmed(&url),
        Ok(_) | Err(_) => {
            item.error("is no https URL; write it as https://login.microsoftonline.com", findings);
            return None;
        }
    };
    if let Some(configured) = configured {
        let configured = cloud(configured, findings)?;
        if configured.authority != authority {
            item.warn(format_args!("is {authority} and counts instead of the authority of `cloud`"), findings);
        }
        return Some(Cloud { authority, ..configured });
    }
    let known = match authority.as_str() {
        "https://login.microsoftonline.us" => Some(Cloud::usgov()),
        "https://login.partner.microsoftonline.cn" | "https://login.chinacloudapi.cn" => Some(Cloud::china()),
        public if public == Cloud::public().authority => Some(Cloud::public()),
        _ => None,
    };
    if known.is_none() {
        item.error(format_args!("is {authority}, of which the other addresses are not known; set `cloud`"), findings);
    }
    known.map(|cloud| Cloud { authority, ..cloud })
}

impl Cloud {
    /// Addresses from the national clouds' pages of the Azure documentation:
    /// <https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud>
    pub fn public() -> Self {
        Self::named(
            "https://login.microsoftonline.com",
            "https://management.azure.com",
            "https://management.azure.com",
            "https://portal.azure.com",
        )
    }

    pub fn usgov() -> Self {
        Self::named(
            "https://login.microsoftonline.us",
            "https://management.usgovcloudapi.net",
            "https://management.core.usgovcloudapi.net",
            "https://portal.azure.us",
        )
    }

    pub fn china() -> Self {
        Self::named(
            "https://login.partner.microsoftonline.cn",
            "https://management.chinacloudapi.cn",
            "https://management.core.chinacloudapi.cn",
            "https://portal.azure.cn",
        )
    }

    fn named(authority: &str, arm: &str, audience: &str, portal: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            arm: arm.to_owned(),
            audience: audience.to_owned(),
            portal: portal.to_owned(),
        }
    }
}
