//! Payloads of action groups whose common alert schema is switched off, recognised by shape.
//!
//! They carry no alert id that Azure would let us change, so the identity is made of what Azure repeats when it resolves
//! the same thing: never of dimensions, which it spells differently then.

use std::collections::BTreeMap;

use super::{ParseError, common_schema, context, measured, name_of, subscription_of};
use crate::domain::event::{Condition, Detail, Notification, Severity};
use crate::domain::id::{AlertId, SubscriptionId};
use crate::lenient::{self, Object};

/// Members under which a custom payload of an old log alert has its rule.
const RULE_NAMES: [&str; 4] = ["alertname", "alertrulename", "alertrule", "alert_name"];
/// Members of a custom payload that tell a person nothing: what Azure is asked to add, and the subscription.
const SILENT: [&str; 3] = ["includesearchresults", "subscription", "subscriptionid"];

pub(super) fn notification(root: &Object<'_>, schema: Option<String>) -> Result<Notification, ParseError> {
    let data = root.object("data");
    let wrapped = !data.is_empty();
    let body = if wrapped { &data } else { root };
    let context = body.object("context");
    if context.has("activityLog") {
        return activity_log(body, &context.object("activityLog"));
    }
    if !context.is_empty() && (body.has("status") || context.has("condition")) {
        return metric(body, &context, if wrapped { "metric alert" } else { "classic metric alert" });
    }
    if body.has("AlertRuleName") && (body.has("SearchQuery") || body.has("ResultCount")) {
        return log(body);
    }
    if body.has("BudgetName") {
        return budget(body);
    }
    if let Some(schema) = schema {
        return Err(ParseError::UnknownSchema { schema: lenient::cut(&schema, 100) });
    }
    if let Some(rule) = root.first_text(&RULE_NAMES) {
        return Ok(custom(root, rule));
    }
    let names: Vec<String> = root.names().take(12).map(|name| lenient::cut(name, 40)).collect();
    Err(ParseError::UnknownShape { members: if names.is_empty() { "none".to_owned() } else { names.join(", ") } })
}

/// A notification with nothing but its identity.
fn bare(id: AlertId, shape: &str) -> Notification {
    Notification {
        id,
        condition: Condition::Fired,
        fired_at: None,
        resolved_at: None,
        rule: None,
        rule_id: None,
        severity: None,
        signal: None,
        monitoring_service: None,
        targets: Vec::new(),
        items: Vec::new(),
        description: None,
        custom: BTreeMap::new(),
        detail: Detail::Other,
        legacy: Some(shape.to_owned()),
        investigation_link: None,
        digest: String::new(),
    }
}

/// The id made of those parts that are there; the first part names the shape and does not count.
fn derived(subscription: Option<SubscriptionId>, shape: &str, parts: &[Option<&str>]) -> Result<AlertId, ParseError> {
    let given: Vec<&str> = parts.iter().flatten().copied().collect();
    if given.is_empty() {
        return Err(ParseError::NoAlertId);
    }
    let name = subscription.as_ref().map_or("", SubscriptionId::as_str).to_owned();
    let parts: Vec<&str> = [shape, &name].into_iter().chain(given).collect();
    Ok(AlertId::derived(subscription, &parts))
}

fn subscription(object: &Object<'_>, ids: &[Option<&str>]) -> Option<SubscriptionId> {
    object
        .text("subscriptionId")
        .map(|id| SubscriptionId::new(&id))
        .or_else(|| ids.iter().flatten().find_map(|id| subscription_of(id)))
}

fn lower(text: Option<&str>) -> Option<String> {
    text.map(str::to_ascii_lowercase)
}

/// `AzureMonitorMetricAlert` (under `data`) and the classic metric alert (at the top).
fn metric(body: &Object<'_>, context: &Object<'_>, shape: &str) -> Result<Notification, ParseError> {
    let rule_id = context.text("id");
    let rule = context.text("name").or_else(|| name_of(rule_id.as_deref()?));
    let resource = context.text("resourceId");
    let subscription = subscription(context, &[rule_id.as_deref(), resource.as_deref()]);
    let id = derived(subscription, shape, &[rule_id.as_deref().or(rule.as_deref()), resource.as_deref()])?;
    let condition = common_schema::condition(body.text("status").as_deref());
    let at = context.time("timestamp");
    let fired = condition == Condition::Fired;
    Ok(Notification {
        condition,
        // The time of a resolution says nothing of when the alert fired.
        fired_at: at.filter(|_| fired),
        resolved_at: at.filter(|_| !fired),
        rule,
        rule_id: lower(rule_id.as_deref()),
        severity: context.text("severity").and_then(|text| Severity::parse(&text)),
        signal: Some("Metric".to_owned()),
        monitoring_service: Some("Platform".to_owned()),
        items: context.text("resourceName").or_else(|| name_of(resource.as_deref()?)).into_iter().collect(),
        targets: lower(resource.as_deref()).into_iter().collect(),
        description: context.text("description"),
        custom: body.object("properties").entries().into_iter().collect(),
        detail: measured::metric_or_log(context),
        ..bare(id, shape)
    })
}

/// Log alerts of the first generation: flat on a workspace, under `data` on Application Insights.
fn log(body: &Object<'_>) -> Result<Notification, ParseError> {
    let shape = "log alert";
    let rule = body.text("AlertRuleName");
    let resource = body.text("ResourceId");
    let source = body.first_text(&["WorkspaceId", "ApplicationId"]).or_else(|| resource.clone());
    let subscription = subscription(body, &[resource.as_deref()]);
    let id = derived(subscription, shape, &[rule.as_deref(), source.as_deref()])?;
    let service = if body.has("ApplicationId") { "Application Insights" } else { "Log Analytics" };
    Ok(Notification {
        fired_at: body.time("SearchIntervalEndtimeUtc"),
        rule,
        severity: body.text("Severity").and_then(|text| Severity::parse(&text)),
        signal: Some("Log".to_owned()),
        monitoring_service: Some(service.to_owned()),
        items: resource.as_deref().and_then(name_of).into_iter().collect(),
        targets: lower(resource.as_deref()).into_iter().collect(),
        description: body.text("Description"),
        detail: measured::log_v1(body),
        ..bare(id, shape)
    })
}

/// `Microsoft.Insights/activityLogs`: one event, without rule and severity, and always `Activated`.
fn activity_log(body: &Object<'_>, event: &Object<'_>) -> Result<Notification, ParseError> {
    let shape = "activity log alert";
    let detail = context::activity(None, event);
    let resource = event.text("resourceId").or_else(|| event.object("authorization").text("scope"));
    let subscription = subscription(event, &[resource.as_deref()]);
    let own_id = event.first_text(&["eventDataId", "operationId", "correlationId"]);
    let operation = event.text("operationName");
    let status = event.text("status");
    let parts = match &detail {
        // What Azure tells of one incident, or of one resource, belongs together.
        Detail::ServiceHealth { tracking_id: Some(tracking_id), .. } => [Some(tracking_id.as_str()), None, None],
        Detail::ResourceHealth { .. } if resource.is_some() => [resource.as_deref(), None, None],
        Detail::ActivityLog { .. }
        | Detail::ServiceHealth { .. }
        | Detail::ResourceHealth { .. }
        | Detail::Metric { .. }
        | Detail::Log { .. }
        | Detail::Prometheus { .. }
        | Detail::SmartDetector { .. }
        | Detail::Budget { .. }
        | Detail::Generic { .. }
        | Detail::Other => [own_id.as_deref(), operation.as_deref(), status.as_deref()],
    };
    let service = match &detail {
        Detail::ServiceHealth { .. } => "ServiceHealth".to_owned(),
        Detail::ResourceHealth { .. } => "Resource Health".to_owned(),
        Detail::ActivityLog { category: Some(category), .. } => format!("Activity Log - {category}"),
        Detail::ActivityLog { category: None, .. }
        | Detail::Metric { .. }
        | Detail::Log { .. }
        | Detail::Prometheus { .. }
        | Detail::SmartDetector { .. }
        | Detail::Budget { .. }
        | Detail::Generic { .. }
        | Detail::Other => "Activity Log".to_owned(),
    };
    let notification = Notification {
        condition: common_schema::condition(body.text("status").as_deref()),
        fired_at: event.time("eventTimestamp").or_else(|| event.time("submissionTimestamp")),
        signal: Some("Activity Log".to_owned()),
        monitoring_service: Some(service),
        items: resource.as_deref().and_then(name_of).into_iter().collect(),
        targets: lower(resource.as_deref()).into_iter().collect(),
        custom: body.object("properties").entries().into_iter().collect(),
        ..bare(derived(subscription, shape, &parts)?, shape)
    };
    Ok(Notification { detail, ..notification })
}

/// `AIP Budget Notification`. It has no time: the amount spent tells one from the next, and nothing resolves it.
fn budget(body: &Object<'_>) -> Result<Notification, ParseError> {
    let shape = "budget notification";
    let name = body.text("BudgetName");
    let threshold = body.text("NotificationThresholdAmount");
    let spent = body.text("SpendingAmount");
    let parts = [name.as_deref(), threshold.as_deref(), spent.as_deref()];
    Ok(Notification {
        rule: name.clone(),
        monitoring_service: Some("CostAlerts".to_owned()),
        detail: context::budget(body),
        ..bare(derived(subscription(body, &[]), shape, &parts)?, shape)
    })
}

/// The custom JSON that an old log alert may have; it is what somebody once typed.
fn custom(root: &Object<'_>, rule: String) -> Notification {
    let facts = root.entries();
    let in_facts = facts.iter().find_map(|(_, value)| subscription_of(value));
    let subscription = root.text("subscriptionId").map(|id| SubscriptionId::new(&id)).or(in_facts);
    let parts: Vec<&str> =
        ["custom log alert"].into_iter().chain(facts.iter().map(|(_, value)| value.as_str())).collect();
    Notification {
        severity: root.text("severity").and_then(|text| Severity::parse(&text)),
        signal: Some("Log".to_owned()),
        rule: Some(rule),
        detail: context::generic(root, &[RULE_NAMES.as_slice(), &SILENT].concat()),
        ..bare(AlertId::derived(subscription, &parts), "custom JSON of a log alert")
    }
}
