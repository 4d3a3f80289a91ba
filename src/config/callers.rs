//! Who may call: tokens, the secure webhook, networks.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::SecureWebhook;
use super::azure::tenant;
use super::problem::Findings;
use super::secrets::Origins;
use super::section::{Item, Section};
use crate::secret::Secret;

/// Azure's caller in the public cloud, `AzNS AAD Webhook`; the ids in other clouds are not documented.
/// <https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#configure-authentication-for-secure-webhook>
const AZURE_CALLER: &str = "461e8683-5575-4561-ac7f-899cc907d62a";

/// `token`, `secure_webhook` and `networks` of a connection. `tenant_id` is that of the connection:
/// empty if it has none, `None` if it is wrong. One that is polled need not be called.
pub(super) fn of_connection(
    section: &mut Section<'_>,
    tenant_id: Option<&str>,
    is_polled: bool,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> (Vec<Secret>, Option<SecureWebhook>, Vec<IpNet>) {
    let token = section.take("token");
    let item = section.take("secure_webhook");
    let tokens = token.as_ref().map(|item| item.tokens(origins, findings)).unwrap_or_default();
    let settings = item.as_ref().and_then(|item| secure_webhook(item, tenant_id, findings));
    match (&token, &item) {
        (None, None) if is_polled => {}
        (None, None) => findings.warn(
            &section.place,
            format_args!(
                "{} has neither `token` nor `secure_webhook`: Azure cannot call its webhook, and nothing arrives",
                section.name
            ),
        ),
        (None, Some(item)) if settings.as_ref().is_some_and(|settings| settings.require) => item.warn(
            "has `require`, which asks for the Entra token besides `token`; there is no `token`, so it changes nothing",
            findings,
        ),
        (None | Some(_), _) => {}
    }
    let networks = networks(section, "networks", findings);
    (tokens, settings, networks)
}

/// `None` after an error.
fn secure_webhook(item: &Item, tenant_id: Option<&str>, findings: &mut Findings) -> Option<SecureWebhook> {
    let mut table = item.table("{ audience = [\"api://…\"] }", findings)?;
    let audience = table.demand("audience", "[\"api://…\"]", findings);
    let tenant_item = table.take("tenant");
    let caller = table.take("caller").map_or_else(|| Some(AZURE_CALLER.to_owned()), |item| item.guid(findings));
    let require = table.take("require").map_or(Some(false), |item| item.boolean(findings));
    table.finish(findings);
    let tenant = match (&tenant_item, tenant_id) {
        (Some(item), _) => tenant(item, findings),
        (None, Some("")) => {
            item.error("does not say whose tokens it takes; add `tenant_id` to the connection", findings);
            None
        }
        (None, tenant_id) => tenant_id.map(str::to_owned),
    };
    let texts: Vec<Item> = audience?.texts(findings);
    let audience: BTreeSet<String> =
        texts.iter().filter_map(|item| item.as_text()).map(|text| text.trim().to_owned()).collect();
    if audience.is_empty() {
        return None;
    }
    Some(SecureWebhook { tenant: tenant?, audience, caller: caller?, require: require? })
}

/// A list of networks such as `192.0.2.0/24`; a single address is one of its own.
pub(super) fn networks(section: &mut Section<'_>, key: &'static str, findings: &mut Findings) -> Vec<IpNet> {
    let Some(item) = section.take(key) else { return Vec::new() };
    item.texts(findings).iter().filter_map(|item| network(item, findings)).collect()
}

fn network(item: &Item, findings: &mut Findings) -> Option<IpNet> {
    let text = item.text(findings)?.trim();
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from)).ok();
    if network.is_none() {
        item.error(
            format_args!("is \"{text}\", which is no network; write one such as \"192.0.2.0/24\" or \"2001:db8::/32\""),
            findings,
        );
    }
    network.map(|network| network.trunc())
}
