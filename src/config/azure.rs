//! `[azure.NAME]`: tenant, credential, subscriptions, cloud, tokens.

use std::collections::BTreeSet;

use super::problem::Findings;
use super::secrets::Origins;
use super::section::{Item, Section};
use super::{Cloud, Connection, Credential};
use crate::domain::id::SubscriptionId;
use crate::domain::route::Comments;
use crate::secret::Secret;

/// Ways to prove who we are that come later; their form is known.
const LATER: [&str; 3] = ["managed_identity", "workload_identity", "environment"];

const COMMENTS: [(&str, Comments); 3] =
    [("all", Comments::All), ("with_changes", Comments::WithChanges), ("off", Comments::Off)];

/// `None` after an error that leaves nothing to go on with.
pub(super) fn connection(
    mut section: Section<'_>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<Connection> {
    let credential_item = section.take("credential");
    let needs_ids = credential_item.is_some();
    let mut id = |key, read: &dyn Fn(&Item, &mut Findings) -> Option<String>, findings: &mut Findings| {
        let example = "\"00000000-0000-0000-0000-000000000000\"";
        let item = if needs_ids { section.demand(key, example, findings) } else { section.take(key) };
        item.map(|item| read(&item, findings))
    };
    // Without a credential nobody asks Entra for a token, and the ids may be left out.
    let tenant_id = id("tenant_id", &tenant, findings).unwrap_or_else(|| (!needs_ids).then(String::new));
    let client_id = id("client_id", &Item::guid, findings).unwrap_or_else(|| (!needs_ids).then(String::new));
    let credential = credential_item.as_ref().and_then(|item| credential(item, origins, findings));
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
    let cloud = section.take("cloud").map_or_else(|| Some(Cloud::public()), |item| cloud(&item, findings));
    let tokens = tokens(&mut section, origins, findings);
    let comments = section.take("comments").and_then(|item| item.word(&COMMENTS, findings)).unwrap_or_default();
    later(&mut section, findings);
    section.finish(findings);
    Some(Connection {
        tenant_id: tenant_id?,
        client_id: client_id?,
        credential,
        subscriptions,
        cloud: cloud?,
        tokens,
        comments,
    })
}

/// A tenant is named by its id or by one of its domains.
fn tenant(item: &Item, findings: &mut Findings) -> Option<String> {
    let text = item.text(findings)?.trim();
    let domain = text.contains('.')
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if domain { Some(text.to_ascii_lowercase()) } else { item.guid(findings) }
}

fn credential(item: &Item, origins: &Origins<'_>, findings: &mut Findings) -> Option<Credential> {
    const ONLY: &str = "only { client_secret = … } is available in this version";
    if let Some(text) = item.as_text() {
        if LATER.contains(&text) {
            item.error(format_args!("is \"{text}\"; {ONLY}"), findings);
        } else {
            item.error(
                "must be { client_secret = { file = \"…\" } }; a secret does not stand there by itself",
                findings,
            );
        }
        return None;
    }
    let mut section = item.table("{ client_secret = { file = \"…\" } }", findings)?;
    let client_secret = section.take("client_secret");
    let expires = section.take("expires").and_then(|item| item.date(findings));
    let others = [section.take("certificate"), section.take("federated_token_file")];
    section.finish(findings);
    let mut others = others.into_iter().flatten();
    match (client_secret, others.next()) {
        (Some(secret), None) => Some(Credential::ClientSecret { secret: secret.secret(origins, findings)?, expires }),
        (Some(_), Some(other)) => {
            item.error(format_args!("has both `client_secret` and `{}`; leave one", other.key), findings);
            None
        }
        (None, Some(other)) => {
            if other.key == "certificate" {
                other.secret_form(findings);
            } else {
                other.text(findings);
            }
            item.error(format_args!("is of the kind `{}`; {ONLY}", other.key), findings);
            None
        }
        (None, None) => {
            item.error("names no secret; write { client_secret = { file = \"…\" } }", findings);
            None
        }
    }
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

fn tokens(section: &mut Section<'_>, origins: &Origins<'_>, findings: &mut Findings) -> Vec<Secret> {
    let token = section.take("token");
    let secure_webhook = section.take("secure_webhook");
    let tokens = token.as_ref().map(|item| item.tokens(origins, findings)).unwrap_or_default();
    if let Some(item) = &secure_webhook {
        if let Some(mut table) = item.table("{ audience = [\"api://…\"] }", findings) {
            let audience = table.demand("audience", "[\"api://…\"]", findings);
            table.finish(findings);
            if let Some(audience) = audience {
                audience.texts(findings);
            }
        }
        if token.is_none() {
            item.error(
                "is not in effect in this version, and without `token` nothing could call; add `token`",
                findings,
            );
        } else {
            item.not_in_effect(findings);
        }
    } else if token.is_none() {
        findings.warn(
            &section.place,
            format_args!("{} has no `token`: Azure cannot call its webhook, and nothing arrives", section.name),
        );
    }
    tokens
}

/// Keys of the polling side: their form is checked, they are not in effect yet.
fn later(section: &mut Section<'_>, findings: &mut Findings) {
    if let Some(item) = section.take("poll")
        && item.duration_or_off(findings).is_some()
    {
        item.not_in_effect(findings);
    }
    if let Some(item) = section.take("poll_raises")
        && item.word(&[("all", ()), ("auto", ()), ("none", ())], findings).is_some()
    {
        item.not_in_effect(findings);
    }
    if let Some(item) = section.take("look_back")
        && item.duration(findings).is_some()
    {
        item.not_in_effect(findings);
    }
}

impl Item {
    /// Whether it has the form of a secret, without reading one.
    fn secret_form(&self, findings: &mut Findings) {
        if self.as_text().is_some() {
            self.text(findings);
        } else if let Some(mut section) = self.table("a text, { file = \"…\" } or { env = \"…\" }", findings) {
            section.take("file");
            section.take("env");
            section.finish(findings);
        }
    }
}
