//! Requests that only look: what `doctor` asks of Entra and of Azure Resource Manager.

use reqwest::{Method, Request, Url};
use serde::Deserialize;

use super::deliver::request::API_VERSION;
use crate::config::Connection;
use crate::domain::id::{Side, SubscriptionId};
use crate::domain::route::Glob;
use crate::egress::draft::{Draft, Place};
use crate::egress::outcome::code;
use crate::egress::{Aim, Answer};

/// <https://learn.microsoft.com/rest/api/authorization/permissions>
const PERMISSIONS_VERSION: &str = "2022-04-01";

/// What reading an alert needs, what changing its state needs, and what finding one's own comment needs.
pub const READ: &str = "Microsoft.AlertsManagement/alerts/read";
pub const CHANGE_STATE: &str = "Microsoft.AlertsManagement/alerts/changestate/action";
pub const READ_HISTORY: &str = "Microsoft.AlertsManagement/alerts/history/read";
/// What asking for one's own permissions needs.
pub const READ_PERMISSIONS: &str = "Microsoft.Authorization/permissions/read";

/// One alert of the last hour: the cheapest list there is.
pub fn list(connection: &Connection, subscription: &SubscriptionId) -> Draft {
    const AIM: Aim = Aim {
        side: Side::Azure,
        purpose: "list",
        path: "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts",
    };
    let mut draft = draft(connection, subscription, AIM, ["Microsoft.AlertsManagement", "alerts"], API_VERSION);
    draft.query.extend([("pageCount", "1".to_owned()), ("timeRange", "1h".to_owned())]);
    draft
}

/// What the caller may do in the subscription.
pub fn permissions(connection: &Connection, subscription: &SubscriptionId) -> Draft {
    const AIM: Aim = Aim {
        side: Side::Azure,
        purpose: "permissions",
        path: "/subscriptions/{subscription}/providers/Microsoft.Authorization/permissions",
    };
    draft(connection, subscription, AIM, ["Microsoft.Authorization", "permissions"], PERMISSIONS_VERSION)
}

fn draft(
    connection: &Connection,
    subscription: &SubscriptionId,
    aim: Aim,
    provider: [&str; 2],
    version: &str,
) -> Draft {
    let [provider, kind] = provider;
    Draft {
        aim,
        method: Method::GET,
        base: connection.cloud.arm.clone(),
        path: ["subscriptions", subscription.as_str(), "providers", provider, kind].map(str::to_owned).to_vec(),
        query: vec![("api-version", version.to_owned())],
        place: Place::Bearer,
        body: None,
    }
}

/// The tenant's public description: needs no credential. `None` if the configuration names no tenant.
pub fn tenant(connection: &Connection) -> Option<(Aim, Request)> {
    const AIM: Aim =
        Aim { side: Side::Azure, purpose: "tenant", path: "/{tenant}/v2.0/.well-known/openid-configuration" };
    if connection.tenant_id.is_empty() {
        return None;
    }
    let url = format!(
        "{}/{}/v2.0/.well-known/openid-configuration",
        connection.cloud.authority.trim_end_matches('/'),
        connection.tenant_id
    );
    Some((AIM, Request::new(Method::GET, Url::parse(&url).ok()?)))
}

/// The tenant's id from that description: its issuer has it where the configuration may have a domain.
pub fn tenant_id(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    struct Body {
        issuer: String,
    }
    let issuer = answer.json::<Body>().filter(|_| answer.is_success())?.issuer;
    issuer.split('/').find(|segment| uuid::Uuid::try_parse(segment).is_ok()).map(str::to_lowercase)
}

/// Reads and changes that Azure's buckets still hold for the subscription, as an answer says.
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling#remaining-requests>
pub fn buckets_left(answer: &Answer) -> (Option<u32>, Option<u32>) {
    let left = |of: &str| answer.header(&format!("x-ms-ratelimit-remaining-subscription-{of}"))?.trim().parse().ok();
    (left("reads"), left("writes"))
}

/// `error.code` of Azure's error body; empty if it has none.
pub fn error_code(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: String,
    }
    answer.json::<Body>().map_or_else(String::new, |body| code(&body.error.code))
}

/// What an identity may do, as the permissions API says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    value: Vec<Permission>,
    next_link: Option<String>,
}

/// Of one role assignment.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    actions: Option<Vec<String>>,
    not_actions: Option<Vec<String>>,
}

impl Permissions {
    /// Whether some assignment grants the action: what another one leaves out takes nothing away.
    /// <https://learn.microsoft.com/azure/role-based-access-control/role-definitions#notactions>
    pub fn allow(&self, action: &str) -> bool {
        let any = |patterns: &Option<Vec<String>>| {
            patterns.iter().flatten().any(|pattern| Glob::new(pattern).matches(action))
        };
        self.value.iter().any(|permission| any(&permission.actions) && !any(&permission.not_actions))
    }

    /// Whether this is all of it.
    pub fn is_whole(&self) -> bool {
        self.next_link.as_deref().is_none_or(str::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_action_is_allowed_by_one_assignment_that_grants_it_and_does_not_leave_it_out() {
        for (value, reads, changes) in [
            (json!([]), false, false),
            (json!([{ "actions": ["*/read"], "notActions": [] }]), true, false),
            (json!([{ "actions": ["*"], "notActions": [] }]), true, true),
            (json!([{ "actions": ["*"], "notActions": ["Microsoft.AlertsManagement/*"] }]), false, false),
            (
                json!([
                    { "actions": ["*"], "notActions": ["Microsoft.AlertsManagement/alerts/changestate/action"] },
                    { "actions": ["microsoft.alertsmanagement/ALERTS/changestate/action"], "notActions": null }
                ]),
                true,
                true,
            ),
            (json!([{ "actions": ["Microsoft.AlertsManagement/alerts/*"] }]), true, true),
            (json!([{ "actions": ["Microsoft.AlertsManagement/alerts/changestate"] }]), false, false),
            (json!([{ "actions": ["Microsoft.AlertsManagement/alerts/changestate/*"] }]), false, true),
            (json!([{ "notActions": [], "dataActions": ["*"] }]), false, false),
        ] {
            let permissions: Permissions = serde_json::from_value(json!({ "value": value })).unwrap();
            assert_eq!((permissions.allow(READ), permissions.allow(CHANGE_STATE)), (reads, changes), "{value}");
            assert!(permissions.is_whole());
        }
        let paged: Permissions = serde_json::from_value(json!({ "value": [], "nextLink": "https://x/" })).unwrap();
        assert!(!paged.is_whole());
    }

    #[test]
    fn the_tenants_id_is_in_its_issuer() {
        let answer = |issuer: &str| Answer {
            status: 200,
            headers: reqwest::header::HeaderMap::new(),
            body: json!({ "issuer": issuer }).to_string().into(),
            whole: true,
        };
        for (issuer, id) in [
            (
                "https://login.microsoftonline.com/AAAAAAAA-1111-4222-8333-444444444444/v2.0",
                Some("aaaaaaaa-1111-4222-8333-444444444444"),
            ),
            ("https://login.microsoftonline.com/{tenantid}/v2.0", None),
            ("", None),
        ] {
            assert_eq!(tenant_id(&answer(issuer)).as_deref(), id, "{issuer}");
        }
    }
}
