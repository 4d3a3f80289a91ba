//! The webhook bodies of an action group, in the common alert schema.
//! <https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-common-schema>

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::alert::{Alert, MonitorCondition};
use super::spec::{Activity, Health, Incident, Log, Metric, Signal};
use crate::domain::timestamp::Timestamp;

/// Subscription and alert of the portal's "Test action group": the same for every test.
pub(super) const TEST_SUBSCRIPTION: &str = "11111111-1111-1111-1111-111111111111";
pub(super) const TEST_ALERT: &str = "12345678-1234-1234-1234-1234567890ab";

/// The body that tells that `alert` fired, or was resolved.
pub(super) fn common_schema(alert: &Alert, condition: MonitorCondition) -> Value {
    let spec = &alert.spec;
    let (name, _, _) = alert.target_parts();
    let mut essentials = json!({
        "alertId": alert.arm_id(),
        "alertRule": spec.rule,
        "alertRuleId": alert.rule_id(),
        "severity": alert.severity(),
        "signalType": spec.signal.signal_type(),
        "monitorCondition": condition.as_str(),
        "monitoringService": spec.signal.monitoring_service(),
        "alertTargetIDs": [alert.target()],
        "originAlertId": origin(alert),
        "firedDateTime": ticks(alert.fired_at),
        "description": spec.description,
        "essentialsVersion": "1.0",
        "alertContextVersion": "1.0",
    });
    if let Value::Object(essentials) = &mut essentials {
        if !matches!(spec.signal, Signal::ServiceHealth(_)) {
            essentials.insert("configurationItems".to_owned(), json!([name]));
        }
        // Only metric alerts carry it: a resolved log alert may come without.
        if condition == MonitorCondition::Resolved
            && matches!(spec.signal, Signal::Metric(_))
            && let Some(resolved_at) = alert.resolved_at
        {
            essentials.insert("resolvedDateTime".to_owned(), json!(ticks(resolved_at)));
        }
    }
    let mut data = Map::new();
    data.insert("essentials".to_owned(), essentials);
    data.insert("alertContext".to_owned(), context(alert, condition));
    match &spec.signal {
        Signal::Metric(_) => {
            data.insert("customProperties".to_owned(), properties(&spec.custom_properties));
        }
        Signal::Log(_) | Signal::ActivityLog(_) | Signal::ServiceHealth(_) | Signal::ResourceHealth(_) => {
            if !spec.custom_properties.is_empty() {
                data.insert("customProperties".to_owned(), properties(&spec.custom_properties));
            }
        }
    }
    json!({ "schemaId": "azureMonitorCommonAlertSchema", "data": data })
}

/// `alertContext` of the webhook, `properties.context` of the REST API.
pub(super) fn context(alert: &Alert, condition: MonitorCondition) -> Value {
    match &alert.spec.signal {
        Signal::Metric(metric) => metric_context(alert, metric, condition),
        Signal::Log(log) => log_context(alert, log),
        Signal::ActivityLog(activity) => activity_context(alert, activity),
        Signal::ServiceHealth(incident) => incident_context(alert, incident),
        Signal::ResourceHealth(health) => health_context(alert, health),
    }
}

fn metric_context(alert: &Alert, metric: &Metric, condition: MonitorCondition) -> Value {
    let end = match condition {
        MonitorCondition::Fired => alert.fired_at,
        MonitorCondition::Resolved => alert.resolved_at.unwrap_or(alert.fired_at),
    };
    json!({
        "properties": properties(&alert.spec.custom_properties),
        "conditionType": "SingleResourceMultipleMetricCriteria",
        "condition": {
            "windowSize": "PT5M",
            "allOf": [{
                "metricName": metric.name,
                "metricNamespace": metric.namespace.as_ref().unwrap_or(&alert.spec.resource_type),
                "operator": metric.operator,
                // A string on the wire, while the value is a number.
                "threshold": metric.threshold.to_string(),
                "timeAggregation": metric.aggregation,
                "dimensions": dimensions(&metric.dimensions),
                "metricValue": match condition {
                    MonitorCondition::Fired => metric.value,
                    MonitorCondition::Resolved => metric.resolved_value,
                },
                "webTestName": null,
            }],
            "windowStartTime": ticks(end.minus(Duration::from_mins(5))),
            "windowEndTime": ticks(end),
        },
    })
}

fn log_context(alert: &Alert, log: &Log) -> Value {
    let link = format!("https://portal.azure.com#@/blade/Microsoft_Azure_Monitoring_Logs/LogsBlade/q/{}", alert.id);
    let api = format!("https://api.loganalytics.io/v1/workspaces/{}/query", alert.spec.resource);
    json!({
        "properties": if alert.spec.custom_properties.is_empty() { Value::Null } else {
            properties(&alert.spec.custom_properties)
        },
        "conditionType": "LogQueryCriteria",
        "condition": {
            "windowSize": "PT10M",
            "allOf": [{
                "searchQuery": log.query,
                "metricMeasureColumn": null,
                "targetResourceTypes": format!("['{}']", alert.spec.resource_type),
                "operator": log.operator,
                "threshold": log.threshold.to_string(),
                "timeAggregation": "Count",
                "dimensions": dimensions(&log.dimensions),
                "metricValue": log.value,
                "failingPeriods": { "numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1 },
                "linkToSearchResultsUI": link,
                "linkToFilteredSearchResultsUI": format!("{link}/filtered"),
                "linkToSearchResultsAPI": api,
                "linkToFilteredSearchResultsAPI": format!("{api}?filtered=true"),
            }],
            "windowStartTime": ticks(alert.fired_at.minus(Duration::from_mins(10))),
            "windowEndTime": ticks(alert.fired_at),
        },
    })
}

fn activity_context(alert: &Alert, activity: &Activity) -> Value {
    let mut context = activity_log(alert, "Administrative", &activity.operation, &activity.status, &activity.level);
    if let Value::Object(context) = &mut context {
        context.insert("authorization".to_owned(), json!({ "action": activity.operation, "scope": alert.target() }));
        context.insert("channels".to_owned(), json!("Operation"));
        // JSON within a string, as Azure sends it.
        context.insert("claims".to_owned(), json!("{\"ver\":\"1.0\"}"));
        context.insert("caller".to_owned(), json!(activity.caller));
        context.insert("Activity Log Event Description".to_owned(), json!(""));
        context.insert(
            "properties".to_owned(),
            json!({ "eventCategory": "Administrative", "entity": alert.target(), "message": activity.operation }),
        );
    }
    context
}

fn incident_context(alert: &Alert, incident: &Incident) -> Value {
    let operation = format!("Microsoft.ServiceHealth/{}/action", incident.incident_type.to_lowercase());
    let status = if incident.stage == "Resolved" { "Resolved" } else { "Active" };
    let mut context = activity_log(alert, "ServiceHealth", &operation, status, "Informational");
    if let Value::Object(context) = &mut context {
        for absent in ["authorization", "claims", "caller", "httpRequest", "ResourceType"] {
            context.insert(absent.to_owned(), Value::Null);
        }
        context.insert("subStatus".to_owned(), Value::Null);
        // A number here, where other activity logs have a name.
        context.insert("channels".to_owned(), json!(1));
        let services = json!([{
            "ImpactedRegions": [{ "RegionName": incident.region }],
            "ServiceName": incident.service,
        }]);
        context.insert(
            "properties".to_owned(),
            json!({
                "title": incident.title,
                "service": incident.service,
                "region": incident.region,
                "communication": incident.communication,
                "incidentType": incident.incident_type,
                "trackingId": incident.tracking_id,
                "impactStartTime": ticks(alert.fired_at.minus(Duration::from_mins(15))),
                "impactMitigationTime": if status == "Resolved" { ticks(alert.fired_at) } else { String::new() },
                "impactedServices": services.to_string(),
                "defaultLanguageTitle": incident.title,
                "defaultLanguageContent": incident.communication,
                "stage": incident.stage,
                "communicationId": "10000000000001",
                "isHIR": "false",
                "version": "0.1.1",
            }),
        );
    }
    context
}

fn health_context(alert: &Alert, health: &Health) -> Value {
    let status = if health.current == "Available" { "Resolved" } else { "Active" };
    let mut context = activity_log(
        alert,
        "ResourceHealth",
        "Microsoft.Resourcehealth/healthevent/Activated/action",
        status,
        "Critical",
    );
    if let Value::Object(context) = &mut context {
        context.insert("channels".to_owned(), json!("Admin, Operation"));
        context.insert(
            "properties".to_owned(),
            json!({
                "title": health.title,
                "details": health.details,
                "currentHealthStatus": health.current,
                "previousHealthStatus": health.previous,
                "type": "Downtime",
                "cause": health.cause,
            }),
        );
    }
    context
}

/// What all kinds of activity log events share.
fn activity_log(alert: &Alert, source: &str, operation: &str, status: &str, level: &str) -> Value {
    json!({
        "correlationId": derived(alert, "correlation"),
        "eventSource": source,
        "eventTimestamp": ticks(alert.fired_at),
        "eventDataId": derived(alert, "event"),
        "level": level,
        "operationName": operation,
        "operationId": derived(alert, "operation"),
        "status": status,
        "subStatus": "",
        "submissionTimestamp": ticks(alert.fired_at.plus(Duration::from_secs(12))),
    })
}

fn origin(alert: &Alert) -> String {
    match &alert.spec.signal {
        // Of the rule and its time series, not of the firing: it repeats.
        Signal::Metric(_) => format!(
            "{}_{}_microsoft.insights_metricAlerts_{}_-1234567890",
            alert.subscription, alert.spec.resource_group, alert.spec.rule
        ),
        Signal::Log(_) => derived(alert, "origin"),
        Signal::ActivityLog(_) | Signal::ServiceHealth(_) | Signal::ResourceHealth(_) => {
            format!("{}_{}", derived(alert, "event"), derived(alert, "origin").replace('-', ""))
        }
    }
}

/// A GUID that is the same each time the same alert is told.
fn derived(alert: &Alert, purpose: &str) -> String {
    let digest = crate::domain::id::digest(format!("{} {purpose}", alert.id).as_bytes());
    Uuid::try_parse(&digest).map_or(digest, |uuid| uuid.to_string())
}

fn properties(pairs: &BTreeMap<String, String>) -> Value {
    if pairs.is_empty() { Value::Null } else { json!(pairs) }
}

fn dimensions(pairs: &BTreeMap<String, String>) -> Value {
    pairs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// RFC 3339 with seven fraction digits, as .NET writes it.
pub(super) fn ticks(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string())
}
