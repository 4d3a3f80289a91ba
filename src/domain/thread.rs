//! Which alerts are one matter to a person: a service issue and its later stages, a resource that fails and recovers, a
//! rule that fires again for the same target.
//!
//! Azure gives each of them an alert of its own and most of them no end. A thread joins them on one page.
//! <https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-overview>

use super::event::{Criterion, Detail, Notification};
use super::id::digest;

/// Where a notification belongs, and what it says of the matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The same for all alerts of one matter; looked up, never parsed.
    pub key: String,
    pub step: Step,
    /// How bad it is, among the steps of this thread; 0 where there are no degrees.
    pub rank: u8,
    /// Such alerts repeat by their nature, and joining them needs no wish of the route's.
    pub by_nature: bool,
    /// Whether a later step is news to those who have the page, and not only the same again.
    pub tells: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Begins, goes on, or fires again.
    Fires,
    /// Ends, although `monitorCondition` says Fired. Where nothing is open it is only recorded.
    Ends,
    /// Ends what its opposite began. Where that is not open it fires like any other.
    Reverses,
}

/// Operations of the activity log that undo one another: what the second does ends what the first began.
const OPPOSITES: [(&str, &str); 4] = [
    ("/deallocate/action", "/start/action"),
    ("/poweroff/action", "/start/action"),
    ("/stop/action", "/start/action"),
    ("/disable/action", "/enable/action"),
];

/// `None`: the notification stands alone (tests, older payloads, alerts of no rule).
pub fn thread(notification: &Notification) -> Option<Thread> {
    if notification.is_test() || notification.legacy.is_some() {
        return None;
    }
    match &notification.detail {
        Detail::ServiceHealth { tracking_id: Some(id), stage, status, incident_type, .. } => {
            Some(service_health(notification, id, stage.as_deref(), status.as_deref(), incident_type.as_deref()))
        }
        Detail::ResourceHealth { current, .. } => resource_health(notification, current.as_deref()?),
        Detail::ActivityLog { operation: Some(operation), resource, .. } => {
            let resource = resource.as_deref().or(notification.targets.first().map(String::as_str))?;
            Some(activity(operation, resource))
        }
        Detail::Metric { criteria, .. } | Detail::Log { criteria, .. } => {
            same_again(notification, criteria.iter().flat_map(dimensions).collect(), false)
        }
        Detail::Prometheus { labels, .. } => {
            same_again(notification, labels.iter().map(|(name, value)| format!("{name}={value}")).collect(), true)
        }
        Detail::SmartDetector { .. } | Detail::Generic { .. } | Detail::Other => {
            same_again(notification, Vec::new(), false)
        }
        Detail::ServiceHealth { .. } | Detail::ActivityLog { .. } | Detail::Budget { .. } => None,
    }
}

fn key(kind: &str, parts: &[&str]) -> String {
    format!("{kind}:{}", digest(parts.join("\n").to_ascii_lowercase().as_bytes()))
}

fn is(text: Option<&str>, words: &[&str]) -> bool {
    text.is_some_and(|text| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word)))
}

fn service_health(
    notification: &Notification,
    tracking_id: &str,
    stage: Option<&str>,
    status: Option<&str>,
    incident_type: Option<&str>,
) -> Thread {
    let subscription = notification.id.subscription().map_or("", |subscription| subscription.as_str());
    let over = is(status, &["resolved"]) || is(stage, &["resolved", "complete", "completed", "canceled", "rca"]);
    let kind = if is(incident_type, &["incident", "security"]) {
        20
    } else if is(incident_type, &["informational"]) {
        0
    } else {
        10
    };
    let degree = if is(stage, &["active"]) {
        3
    } else if is(stage, &["inprogress", "in progress"]) {
        2
    } else {
        u8::from(!is(stage, &["mitigated"]))
    };
    Thread {
        key: key("service-health", &[subscription, tracking_id]),
        step: if over { Step::Ends } else { Step::Fires },
        rank: kind + degree,
        by_nature: true,
        tells: true,
    }
}

fn resource_health(notification: &Notification, current: &str) -> Option<Thread> {
    let target = notification.targets.first()?;
    let rank = match current.trim().to_ascii_lowercase().as_str() {
        "unavailable" => 3,
        "degraded" => 2,
        "available" => 0,
        _ => 1,
    };
    let step = if rank == 0 { Step::Ends } else { Step::Fires };
    Some(Thread { key: key("resource-health", &[target]), step, rank, by_nature: true, tells: true })
}

fn activity(operation: &str, resource: &str) -> Thread {
    let operation = operation.to_ascii_lowercase();
    let (family, step) = OPPOSITES
        .iter()
        .find_map(|(begins, ends)| {
            if let Some(family) = operation.strip_suffix(begins) {
                Some((family.to_owned(), Step::Fires))
            } else {
                operation.strip_suffix(ends).map(|family| (family.to_owned(), Step::Reverses))
            }
        })
        .unwrap_or((operation, Step::Fires));
    Thread { key: key("activity", &[resource, &family]), step, rank: 0, by_nature: true, tells: false }
}

/// The same rule for the same target and dimensions. Prometheus rules may fire anew with each evaluation.
/// <https://github.com/microsoft/AzureMonitorCommunity/issues/213>
fn same_again(notification: &Notification, mut dimensions: Vec<String>, by_nature: bool) -> Option<Thread> {
    let rule = notification.rule_id.as_deref().or(notification.rule.as_deref())?;
    let subscription = notification.id.subscription().map_or("", |subscription| subscription.as_str());
    dimensions.sort();
    dimensions.dedup();
    let targets = notification.targets.join(" ");
    let parts = [subscription, rule, &targets, &dimensions.join("\n")];
    Some(Thread { key: key("rule", &parts), step: Step::Fires, rank: 0, by_nature, tells: false })
}

fn dimensions(criterion: &Criterion) -> Vec<String> {
    let metric = criterion.metric.as_deref().unwrap_or("");
    criterion.dimensions.iter().map(|(name, value)| format!("{metric}.{name}={value}")).collect()
}
