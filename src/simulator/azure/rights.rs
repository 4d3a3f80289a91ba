//! What a service principal may do, as the permissions API of Azure Resource Manager tells it about itself.
//! <https://learn.microsoft.com/rest/api/authorization/permissions>

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::State;
use super::arm::{Refusal, Route};
use super::tenancy::Role;
use crate::simulator::calls::{Asked, Operation};

pub(super) fn operation(asked: &Asked) -> Option<Operation> {
    (asked.method == Method::GET && route(&asked.segments()).is_some()).then_some(Operation::Permissions)
}

/// `/subscriptions/{subscription}/providers/Microsoft.Authorization/permissions`
pub(super) fn route<'a>(segments: &[&'a str]) -> Option<Route<'a>> {
    let [subscriptions, subscription, providers, provider, permissions] = segments else { return None };
    let is_ours = subscriptions.eq_ignore_ascii_case("subscriptions")
        && providers.eq_ignore_ascii_case("providers")
        && provider.eq_ignore_ascii_case("Microsoft.Authorization")
        && permissions.eq_ignore_ascii_case("permissions");
    let scope = format!("/subscriptions/{}", subscription.to_lowercase());
    is_ours.then(|| Route { subscription: Some(subscription), scope, tail: Vec::new() })
}

impl Role {
    const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Reader => &["*/read"],
            Self::Bridge => &[
                "Microsoft.AlertsManagement/alerts/read",
                "Microsoft.AlertsManagement/alerts/changestate/action",
                "Microsoft.AlertsManagement/alerts/history/read",
                "Microsoft.Authorization/permissions/read",
            ],
        }
    }
}

/// Who may not even ask is refused, as with a custom role that lacks `Microsoft.Authorization/permissions/read`.
pub(super) fn permissions(state: &State, role: Option<Role>) -> Result<Value, Refusal> {
    let role = role.filter(|_| state.knobs.permissions_readable).ok_or_else(|| {
        let message = "The client does not have authorization to perform action \
                       'Microsoft.Authorization/permissions/read'.";
        Refusal(StatusCode::FORBIDDEN, "AuthorizationFailed", message.to_owned())
    })?;
    Ok(json!({
        "value": [{ "actions": role.actions(), "notActions": [], "dataActions": [], "notDataActions": [] }],
    }))
}
