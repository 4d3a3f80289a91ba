//! What Azure's list says of an alert, in the words of the webhook: the same alert is the same page either way.
//!
//! Lenient as the webhook's parser, which reads the result. The list spells some names otherwise and leaves the context out.

use std::fmt;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
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
    let List { value: Entries { readings, unreadable }, next_link } = serde_json::from_str(&text).ok()?;
    let link = next_link.as_ref().and_then(Json::as_str);
    Some(Listed { readings, unreadable, next: follow::next(link, arm) })
}

#[derive(Deserialize)]
struct List<'a> {
    value: Entries,
    #[serde(borrow, rename = "nextLink")]
    next_link: Option<Json<'a>>,
}

/// The entries of a page. Each is read before the next one is parsed: as a tree, a page takes megabytes.
#[derive(Default)]
struct Entries {
    readings: Vec<Listing>,
    unreadable: usize,
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneByOne;

        impl<'de> Visitor<'de> for OneByOne {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of alerts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Entries, A::Error> {
                let mut entries = Entries::default();
                while let Some(entry) = sequence.next_element::<Json<'_>>()? {
                    let text = serde_json::to_string(&entry).map_err(serde::de::Error::custom)?;
                    match reading(&entry, &text) {
                        Some(reading) => entries.readings.push(Listing { reading, body: Bytes::from(text) }),
                        None => entries.unreadable = entries.unreadable.saturating_add(1),
                    }
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_seq(OneByOne)
    }
}

pub(super) fn alert(body: &[u8]) -> Option<Reading> {
    let text = lenient::utf8(body);
    let entry = lenient::read(&text).ok()?;
    reading(&entry, &serde_json::to_string(&entry).ok()?)
}

/// `text` is the entry's.
fn reading(entry: &Json<'_>, text: &str) -> Option<Reading> {
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
    notification.digest = digest(text.as_bytes());
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
