//! Azure Resource Manager with the Alerts Management provider.
//! <https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts>

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::alert::{Alert, AlertState, MonitorCondition};
use super::spec::Signal;
use super::tenancy::Role;
use super::{Azure, PrincipalName, SameState, State, list, payload, rights, throttle};
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::{Answer, Asked, Operation};

/// Where a request goes: the scope before the provider, and what follows it.
pub(super) struct Route<'a> {
    pub(super) subscription: Option<&'a str>,
    /// ARM id before `/providers/Microsoft.AlertsManagement`, lower-case.
    pub(super) scope: String,
    pub(super) tail: Vec<&'a str>,
}

fn route<'a>(segments: &[&'a str]) -> Option<Route<'a>> {
    let at = segments.windows(3).rposition(|window| {
        matches!(window, [providers, provider, alerts]
            if providers.eq_ignore_ascii_case("providers")
                && provider.eq_ignore_ascii_case("Microsoft.AlertsManagement")
                && alerts.eq_ignore_ascii_case("alerts"))
    })?;
    let scope = segments.get(..at)?;
    let subscription = match scope {
        [first, second, ..] if first.eq_ignore_ascii_case("subscriptions") => Some(*second),
        _ => None,
    };
    let scope = scope.iter().fold(String::new(), |scope, segment| scope + "/" + &segment.to_lowercase());
    Some(Route { subscription, scope, tail: segments.get(at + 3..)?.to_vec() })
}

pub(super) fn operation(asked: &Asked) -> Option<Operation> {
    let segments = asked.segments();
    let Some(route) = route(&segments) else { return rights::operation(asked) };
    let last = route.tail.get(1).map(|segment| segment.to_lowercase());
    match (asked.method.clone(), route.tail.len(), last.as_deref()) {
        (Method::GET, 0, _) => Some(Operation::ListAlerts),
        (Method::GET, 1, _) => Some(Operation::GetAlert),
        (Method::GET, 2, Some("history")) => Some(Operation::AlertHistory),
        (Method::POST, 2, Some("changestate")) => Some(Operation::ChangeState),
        _ => None,
    }
}

/// An ARM error: status, code, message.
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str, pub(super) String);

/// Who asks.
struct Caller {
    name: String,
    object_id: String,
    client_id: String,
    tenant: String,
}

pub(super) fn answer(azure: &Azure, operation: Operation, asked: &Asked) -> Answer {
    let own = asked.base_url(&azure.url());
    let mut left = throttle::full(&asked.method);
    let result = azure.shared.change(|state| serve(state, operation, asked, &own, &mut left));
    let answer = match result {
        Ok(body) => Answer::ok(&body),
        Err(Refusal(status @ StatusCode::TOO_MANY_REQUESTS, code, message)) => {
            refuse(status, code, &message).with("retry-after", "30".to_owned())
        }
        Err(Refusal(status, code, message)) => {
            let answer = refuse(status, code, &message);
            if status == StatusCode::UNAUTHORIZED {
                let challenge = format!(
                    "Bearer authorization_uri=\"{own}/common\", error=\"invalid_token\", error_description=\"{message}\""
                );
                answer.with("www-authenticate", challenge)
            } else {
                answer
            }
        }
    };
    let remaining = if asked.method == Method::GET {
        "x-ms-ratelimit-remaining-subscription-reads"
    } else {
        "x-ms-ratelimit-remaining-subscription-writes"
    };
    answer.with(remaining, left.to_string()).with("x-ms-correlation-request-id", Uuid::new_v4().to_string())
}

fn serve(state: &mut State, operation: Operation, asked: &Asked, own: &str, left: &mut u32) -> Result<Value, Refusal> {
    let caller = authenticate(state, asked)?;
    let segments = asked.segments();
    let route = if operation == Operation::Permissions { rights::route(&segments) } else { route(&segments) };
    let Some(route) = route.filter(|_| operation != Operation::Other) else {
        return other(state, &caller, asked);
    };
    if asked.query("api-version").is_none_or(str::is_empty) {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(Refusal(StatusCode::BAD_REQUEST, "MissingApiVersionParameter", message.to_owned()));
    }
    if operation == Operation::Permissions {
        return rights::permissions(state, role_in(state, &caller, &route)?);
    }
    let action = if operation == Operation::ChangeState {
        "Microsoft.AlertsManagement/alerts/changestate/action"
    } else if operation == Operation::AlertHistory {
        "Microsoft.AlertsManagement/alerts/history/read"
    } else {
        "Microsoft.AlertsManagement/alerts/read"
    };
    authorize(state, &caller, &route, action)?;
    let account = format!("{} {}", caller.client_id, route.subscription.unwrap_or_default().to_lowercase());
    *left = state.buckets.take(&account, &asked.method, asked.at).ok_or_else(|| {
        let message = "Number of requests for the subscription has exceeded the limit of its bucket.".to_owned();
        Refusal(StatusCode::TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", message)
    })?;
    if operation == Operation::ListAlerts {
        list::throttle(state, &route, asked.at)?;
        return list::list(state, asked, &route, own);
    }
    let id = route.tail.first().copied().unwrap_or_default().to_lowercase();
    let knobs = state.knobs.clone();
    let found = state.alerts.get_mut(&id).filter(|alert| {
        route.subscription.is_none_or(|subscription| alert.subscription.eq_ignore_ascii_case(subscription))
    });
    let Some(alert) = found else {
        let message = format!("The alert '{id}' was not found.");
        return Err(Refusal(StatusCode::NOT_FOUND, "ResourceNotFound", message));
    };
    if operation == Operation::AlertHistory {
        return Ok(history(alert));
    }
    if operation == Operation::GetAlert {
        let context = (!knobs.context_only_in_lists).then_some(knobs.nested_context);
        return Ok(show(alert, &Shown { context, whole_seconds: knobs.whole_seconds, ..Shown::of(asked) }));
    }
    let (new_state, comments) = requested_change(asked)?;
    if alert.state == new_state && knobs.same_state == SameState::Conflict {
        let message = format!("The alert is already in state '{}'.", new_state.as_str());
        return Err(Refusal(StatusCode::CONFLICT, "Conflict", message));
    }
    let by = match knobs.principal_name {
        PrincipalName::ObjectId => &caller.object_id,
        PrincipalName::ClientId => &caller.client_id,
        PrincipalName::DisplayName => &caller.name,
    };
    alert.change_state(new_state, by, &comments, asked.at);
    Ok(show(alert, &Shown::of(asked)))
}

fn requested_change(asked: &Asked) -> Result<(AlertState, String), Refusal> {
    let bad = |message: String| Refusal(StatusCode::BAD_REQUEST, "BadRequest", message);
    let new_state = asked.query("newState").unwrap_or_default();
    let new_state = AlertState::parse(new_state)
        .ok_or_else(|| bad(format!("The value '{new_state}' of newState is none of New, Acknowledged, Closed.")))?;
    let version = asked.query("api-version").unwrap_or_default();
    // The stable versions know no body.
    if asked.body.is_empty() || !version.ends_with("-preview") {
        return Ok((new_state, String::new()));
    }
    let body: Value = serde_json::from_slice(&asked.body)
        .map_err(|error| bad(format!("The request content was invalid and could not be deserialized: {error}")))?;
    let comments = match body.get("comments") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Err(bad("The value of 'comments' must be a string.".to_owned())),
    };
    Ok((new_state, comments))
}

fn authenticate(state: &State, asked: &Asked) -> Result<Caller, Refusal> {
    let denied = |code, message: &str| Refusal(StatusCode::UNAUTHORIZED, code, message.to_owned());
    let Some(bearer) = asked.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) else {
        return Err(denied(
            "InvalidAuthenticationToken",
            "The authentication token is missing: the 'Authorization' header has no bearer token.",
        ));
    };
    let Some(token) = state.tokens.get(bearer) else {
        return Err(denied("InvalidAuthenticationToken", "The access token is invalid."));
    };
    if token.expires_at <= asked.at {
        let message = format!(
            "The access token expiry UTC time '{}' is earlier than current UTC time '{}'.",
            token.expires_at, asked.at
        );
        return Err(denied("ExpiredAuthenticationToken", &message));
    }
    let app = state.tenants.get(&token.tenant).and_then(|tenant| tenant.apps.get(&token.client_id));
    Ok(Caller {
        name: app.map_or_else(String::new, |app| app.name.clone()),
        object_id: app.map_or_else(String::new, |app| app.object_id.clone()),
        client_id: token.client_id.clone(),
        tenant: token.tenant.clone(),
    })
}

/// The caller's role in the subscription that it asks about.
fn role_in(state: &State, caller: &Caller, route: &Route<'_>) -> Result<Option<Role>, Refusal> {
    let subscription = route.subscription.map(str::to_lowercase).unwrap_or_default();
    let known = state.subscriptions.get(&subscription).filter(|known| known.tenant == caller.tenant);
    if known.is_none() {
        let message = format!("The subscription '{subscription}' could not be found.");
        return Err(Refusal(StatusCode::NOT_FOUND, "SubscriptionNotFound", message));
    }
    let app = state.tenants.get(&caller.tenant).and_then(|tenant| tenant.apps.get(&caller.client_id));
    Ok(app.and_then(|app| app.roles.get(&subscription)).copied())
}

fn authorize(state: &State, caller: &Caller, route: &Route<'_>, action: &str) -> Result<(), Refusal> {
    if route.subscription.is_none() {
        return Ok(());
    }
    let allowed = match role_in(state, caller, route)? {
        Some(Role::Bridge) => true,
        Some(Role::Reader) => !action.ends_with("/action"),
        None => false,
    };
    if allowed {
        return Ok(());
    }
    let message = format!(
        "The client '{}' with object id '{}' does not have authorization to perform action '{action}' over scope '{}' \
         or the scope is invalid. If access was recently granted, please refresh your credentials.",
        caller.client_id, caller.object_id, route.scope
    );
    Err(Refusal(StatusCode::FORBIDDEN, "AuthorizationFailed", message))
}

/// Subscriptions, which clients read to see whether they have access; everything else is not simulated.
fn other(state: &State, caller: &Caller, asked: &Asked) -> Result<Value, Refusal> {
    let describe = |id: &String, name: &str| {
        json!({
            "id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": caller.tenant,
            "displayName": name, "state": "Enabled",
        })
    };
    let visible = state.subscriptions.iter().filter(|(_, subscription)| subscription.tenant == caller.tenant);
    match asked.segments().as_slice() {
        ["subscriptions"] => {
            let value: Vec<Value> = visible.map(|(id, subscription)| describe(id, &subscription.name)).collect();
            Ok(json!({ "value": value }))
        }
        ["subscriptions", wanted] => visible
            .into_iter()
            .find(|(id, _)| id.eq_ignore_ascii_case(wanted))
            .map(|(id, subscription)| describe(id, &subscription.name))
            .ok_or_else(|| {
                let message = format!("The subscription '{wanted}' could not be found.");
                Refusal(StatusCode::NOT_FOUND, "SubscriptionNotFound", message)
            }),
        _ => {
            let message = format!("No route of the simulator matches '{}'.", asked.path);
            Err(Refusal(StatusCode::NOT_FOUND, "InvalidResourceType", message))
        }
    }
}

/// How much of an alert is shown.
pub(super) struct Shown {
    /// With its context, and whether that stands one level deeper.
    pub(super) context: Option<bool>,
    /// With the members that only the 2025 preview has.
    pub(super) custom_properties: bool,
    /// Without fractions of seconds.
    pub(super) whole_seconds: bool,
}

impl Shown {
    pub(super) fn of(asked: &Asked) -> Self {
        let custom_properties = asked.query("api-version").is_some_and(|version| version >= "2025");
        Self { context: None, custom_properties, whole_seconds: false }
    }
}

/// An alert as the REST API shows it.
pub(super) fn show(alert: &Alert, shown: &Shown) -> Value {
    let (name, group, kind) = alert.target_parts();
    let time = |at: Timestamp| {
        let whole = Timestamp::from_millis(at.as_millis() - at.as_millis().rem_euclid(1_000));
        if shown.whole_seconds { whole.to_string() } else { payload::ticks(at) }
    };
    let mut properties = json!({
        "essentials": {
            "severity": alert.severity(),
            "signalType": match alert.spec.signal {
                Signal::Metric(_) => "Metric",
                Signal::Log(_) => "Log",
                Signal::ActivityLog(_) | Signal::ServiceHealth(_) | Signal::ResourceHealth(_) => "Unknown",
            },
            "alertState": alert.state.as_str(),
            "monitorCondition": alert.condition.as_str(),
            "monitorService": alert.spec.signal.monitor_service(),
            "targetResource": alert.target(),
            "targetResourceName": name,
            "targetResourceGroup": group,
            "targetResourceType": kind,
            "sourceCreatedId": format!("{}_{}", alert.subscription, alert.spec.rule),
            "smartGroupId": "",
            "smartGroupingReason": "",
            "alertRule": alert.rule_id(),
            "startDateTime": time(alert.fired_at),
            "lastModifiedDateTime": time(alert.modified_at),
            "lastModifiedUserName": alert.modified_by,
            "actionStatus": { "isSuppressed": alert.spec.suppressed },
            "description": alert.spec.description,
        },
        "egressConfig": {},
        "context": {},
    });
    if let Some(at) = alert.resolved_at
        && let Some(Value::Object(essentials)) = properties.get_mut("essentials")
    {
        essentials.insert("monitorConditionResolvedDateTime".to_owned(), json!(time(at)));
    }
    if let Value::Object(properties) = &mut properties {
        if let Some(nested) = shown.context {
            let context = payload::context(alert, MonitorCondition::Fired);
            let context = if nested { json!({ "context": context }) } else { context };
            properties.insert("context".to_owned(), context);
        }
        if shown.custom_properties {
            properties.insert("customProperties".to_owned(), json!(alert.spec.custom_properties));
        }
    }
    json!({
        "properties": properties,
        "id": alert.extension_id(),
        "type": "Microsoft.AlertsManagement/alerts",
        // The rule's name, not the alert's GUID.
        "name": alert.spec.rule,
    })
}

fn history(alert: &Alert) -> Value {
    let modifications: Vec<Value> = alert
        .history
        .iter()
        .map(|entry| {
            json!({
                "modificationEvent": entry.event,
                "oldValue": entry.old,
                "newValue": entry.new,
                "modifiedAt": payload::ticks(entry.at),
                "modifiedBy": entry.by,
                "comments": entry.comments,
                "description": describe(entry),
            })
        })
        .collect();
    json!({
        "properties": { "alertId": alert.id, "modifications": modifications },
        "id": alert.extension_id(),
        "type": "Microsoft.AlertsManagement/alerts",
        "name": alert.spec.rule,
    })
}

fn describe(entry: &super::alert::Modification) -> String {
    match entry.event {
        "AlertCreated" => "The alert was created.".to_owned(),
        "StateChange" => format!("The state was changed from '{}' to '{}'.", entry.old, entry.new),
        _ => format!("The condition was changed from '{}' to '{}'.", entry.old, entry.new),
    }
}

fn refuse(status: StatusCode, code: &str, message: &str) -> Answer {
    Answer::json(status, &json!({ "error": { "code": code, "message": message } }))
}

/// The body for a status that a fault demands.
pub(super) fn trouble(status: StatusCode) -> Answer {
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => "SubscriptionRequestsThrottled",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::BAD_GATEWAY => "BadGateway",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        StatusCode::GATEWAY_TIMEOUT => "GatewayTimeout",
        StatusCode::UNAUTHORIZED => "InvalidAuthenticationToken",
        StatusCode::FORBIDDEN => "AuthorizationFailed",
        StatusCode::NOT_FOUND => "ResourceNotFound",
        StatusCode::BAD_REQUEST => "BadRequest",
        _ => "InternalServerError",
    };
    refuse(status, code, "A fault that was asked for.")
}

/// The time of a request in the form of `customTimeRange`.
pub(super) fn parse_range(text: &str) -> Option<(Timestamp, Timestamp)> {
    let (start, end) = text.split_once('/')?;
    Some((Timestamp::parse(start)?, Timestamp::parse(end)?)).filter(|(start, end)| start <= end)
}
