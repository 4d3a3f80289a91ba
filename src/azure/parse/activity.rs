//! Contexts that are an event of the activity log: administrative and its kin, service health, resource health.

use super::html;
use crate::domain::event::Detail;
use crate::lenient::{Json, Object, cut};

/// Properties that repeat what stands elsewhere, or that tell a person nothing.
const NOISE: [&str; 15] = [
    "eventcategory",
    "entity",
    "hierarchy",
    "message",
    "servicerequestid",
    "statuscode",
    "subscriptionid",
    "correlationid",
    "requestid",
    "activitylogeventdescription",
    "policies",
    "iscompliancecheck",
    "recommendationschemaversion",
    "recommendationtype",
    "threatid",
];
const FACTS: usize = 12;

pub(super) fn activity_log(category: Option<&str>, event: &Object<'_>) -> Detail {
    let properties = event.object("properties");
    let authorization = event.object("authorization");
    let category = event
        .text("eventSource")
        .filter(|source| source.parse::<f64>().is_err())
        .or_else(|| category.filter(|category| !category.is_empty()).map(str::to_owned));
    let operation = event.text("operationName").or_else(|| authorization.text("action"));
    let message = event
        .first_text(&["Activity Log Event Description", "description"])
        .or_else(|| properties.first_text(&["message", "statusMessage", "description"]))
        .filter(|message| Some(message) != operation.as_ref());
    Detail::ActivityLog {
        category,
        status: event.text("status"),
        sub_status: event.text("subStatus"),
        level: event.text("level").map(level),
        caller: event.text("caller"),
        message,
        resource: authorization
            .text("scope")
            .or_else(|| event.text("resourceId"))
            .or_else(|| properties.first_text(&["entity", "resourceId", "ResourceName"])),
        facts: policies(&properties)
            .into_iter()
            .chain(properties.entries())
            .filter(|(name, _)| !NOISE.iter().any(|noise| name.eq_ignore_ascii_case(noise)))
            .map(|(name, value)| (name, cut(&value, 500)))
            .take(FACTS)
            .collect(),
        operation,
    }
}

/// `policies`, a JSON string or an array: which policy it was.
fn policies(properties: &Object<'_>) -> Option<(String, String)> {
    let names: Vec<String> = properties
        .list("policies")
        .iter()
        .filter_map(|policy| Object::of(policy)?.first_text(&["policyDefinitionDisplayName", "policyDefinitionName"]))
        .take(3)
        .collect();
    (!names.is_empty()).then(|| ("Policy".to_owned(), names.join(", ")))
}

/// Numbers where the level came as one: the event levels of the activity log.
fn level(text: String) -> String {
    match text.as_str() {
        "1" => "Critical".to_owned(),
        "2" => "Error".to_owned(),
        "3" => "Warning".to_owned(),
        "4" => "Informational".to_owned(),
        _ => text,
    }
}

pub(super) fn service_health(event: &Object<'_>) -> Detail {
    let properties = event.object("properties");
    let (services, regions) = impacted(&properties);
    let communication = ["communication", "defaultLanguageContent"]
        .iter()
        .find_map(|name| properties.whole_text(name))
        .map(html::to_text)
        .filter(|text| !text.is_empty());
    Detail::ServiceHealth {
        title: properties.first_text(&["title", "defaultLanguageTitle"]).map(|title| html::to_text(&title)),
        service: properties.text("service").or(services),
        region: properties.text("region").or(regions),
        stage: properties.text("stage"),
        status: event.text("status"),
        incident_type: properties.text("incidentType").or_else(|| incident_type(&event.text("operationName")?)),
        tracking_id: properties.text("trackingId"),
        impact_start: properties.text("impactStartTime"),
        impact_end: properties.text("impactMitigationTime"),
        communication,
    }
}

/// `Microsoft.ServiceHealth/incident/action`.
fn incident_type(operation: &str) -> Option<String> {
    operation.split('/').nth(1).map(str::to_owned).filter(|kind| !kind.is_empty())
}

/// `impactedServices`, a JSON string or an array: names of services and of regions.
fn impacted(properties: &Object<'_>) -> (Option<String>, Option<String>) {
    let mut services: Vec<String> = Vec::new();
    let mut regions: Vec<String> = Vec::new();
    for entry in properties.list("impactedServices") {
        let Some(entry) = Object::of(&entry) else { continue };
        services.extend(entry.text("ServiceName"));
        for region in entry.list("ImpactedRegions") {
            let name = Object::of(&region).and_then(|region| region.text("RegionName"));
            regions.extend(name.filter(|name| !regions.contains(name)));
        }
    }
    let joined = |names: Vec<String>| (!names.is_empty()).then(|| cut(&names.join(", "), 500));
    (joined(services), joined(regions))
}

pub(super) fn resource_health(event: &Object<'_>) -> Detail {
    let properties = event.object("properties");
    Detail::ResourceHealth {
        title: properties.text("title"),
        details: properties
            .value("details")
            .and_then(Json::as_str)
            .map(html::to_text)
            .filter(|details| !details.is_empty() && !details.eq_ignore_ascii_case("null")),
        current: properties.text("currentHealthStatus"),
        previous: properties.text("previousHealthStatus"),
        cause: properties.text("cause"),
        status: event.text("status"),
    }
}
