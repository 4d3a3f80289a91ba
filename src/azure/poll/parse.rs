//! What Azure's list says of an alert, in the words of the webhook: the same alert is the same page either way.
//!
//! Lenient as the webhook's parser, which reads the result. The list spells some names otherwise and leaves the context out.

use serde_json::{Value, json};

use super::{Listed, Listing, follow};
use crate::azure::parse::{notification_of, subscription_of};
use crate::domain::delivery::AzureState;
use crate::domain::id::digest;
use crate::domain::reading::{Reading, rule_names};
use crate::lenient::{self, Json, Object};

/// `None` if the body is no list.
pub(super) fn list(body: &[u8], arm: &str) -> Option<Listed> {
    let text = lenient::utf8(body);
    let value = lenient::read(&text).ok()?;
    let root = Object::of(&value)?;
    let entries = root.value("value")?.as_array()?;
    let count = entries.len();
    let readings: Vec<Listing> = entries
        .iter()
        .filter_map(|entry| Some(Listing { reading: reading(entry)?, body: serde_json::to_string(entry).ok()? }))
        .collect();
    let link = root.value("nextLink").and_then(Json::as_str);
    Some(Listed { unreadable: count.saturating_sub(readings.len()), readings, next: follow::next(link, arm) })
}

pub(super) fn alert(body: &[u8]) -> Option<Reading> {
    reading(&lenient::read(&lenient::utf8(body)).ok()?)
}

fn reading(entry: &Json<'_>) -> Option<Reading> {
    let root = Object::of(entry)?;
    let properties = root.object("properties");
    let essentials = properties.object("essentials");
    let id = root.text("id")?;
    if essentials.is_empty() {
        return None;
    }
    let alert_rule = essentials.text("alertRule");
    let rule_id = alert_rule.clone().filter(|rule| subscription_of(rule).is_some());
    let rule = root.text("name").or_else(|| named(alert_rule.as_deref()?));
    let service = essentials.text("monitorService").map(|service| service_name(&service));
    let target = essentials.text("targetResource");
    let item = essentials.text("targetResourceName").filter(|_| target.as_deref().is_some_and(is_resource));
    let about = json!({
        "essentials": {
            "alertId": id,
            "alertRule": rule,
            "alertRuleId": rule_id,
            "severity": essentials.text("severity"),
            "signalType": signal(essentials.text("signalType"), service.as_deref()),
            "monitorCondition": essentials.text("monitorCondition"),
            "monitoringService": service,
            "alertTargetIDs": target.into_iter().collect::<Vec<_>>(),
            "configurationItems": item.into_iter().collect::<Vec<_>>(),
            "originAlertId": essentials.text("sourceCreatedId"),
            "firedDateTime": essentials.text("startDateTime"),
            "resolvedDateTime": essentials.text("monitorConditionResolvedDateTime"),
            "description": essentials.text("description"),
        },
        "alertContext": context(&properties),
        "customProperties": properties.value("customProperties"),
    });
    let mut notification = notification_of(&Object::of(&Json::from(&about))?)?;
    notification.digest = digest(&serde_json::to_vec(entry).ok()?);
    let mut rules = rule_names(&notification);
    // The rule has a name of its own where the entry's name is something else.
    if let (Some(subscription), Some(name)) = (notification.id.subscription(), alert_rule.as_deref().and_then(named)) {
        rules.push(format!("{subscription}/{}", name.to_lowercase()));
    }
    Some(Reading {
        rules,
        state: essentials.text("alertState").and_then(|state| AzureState::parse(&state)).unwrap_or(AzureState::New),
        modified_at: essentials.time("lastModifiedDateTime"),
        modified_by: essentials.text("lastModifiedUserName"),
        suppressed: essentials
            .object("actionStatus")
            .text("isSuppressed")
            .is_some_and(|is| is.eq_ignore_ascii_case("true")),
        notification,
    })
}

/// Azure Resource Graph has it one level deeper, and perhaps the list, too.
fn context(properties: &Object<'_>) -> Option<Value> {
    let context = properties.value("context")?;
    let outer = Object::of(context)?;
    let inner = outer.value("context").filter(|inner| inner.is_object());
    serde_json::to_value(inner.unwrap_or(context)).ok()
}

fn named(rule: &str) -> Option<String> {
    // Old rules have an address of the portal there.
    let last = rule.rsplit('/').find(|part| !part.trim().is_empty())?;
    (!rule.contains("://")).then(|| last.trim().to_owned())
}

fn is_resource(target: &str) -> bool {
    target.to_ascii_lowercase().contains("/providers/")
}

/// `ActivityLog Administrative` is `Activity Log - Administrative` in a webhook.
fn service_name(service: &str) -> String {
    match service.split_once(' ') {
        Some((activity, category)) if activity.eq_ignore_ascii_case("ActivityLog") => {
            format!("Activity Log - {category}")
        }
        Some(_) | None => service.to_owned(),
    }
}

/// The list does not know the activity log as a signal.
fn signal(signal: Option<String>, service: Option<&str>) -> Option<String> {
    let known = signal.filter(|signal| !signal.eq_ignore_ascii_case("Unknown"));
    known.or_else(|| {
        let service = service?.replace(' ', "").to_ascii_lowercase();
        let is_activity =
            service.starts_with("activitylog") || service == "servicehealth" || service == "resourcehealth";
        is_activity.then(|| "Activity Log".to_owned())
    })
}
