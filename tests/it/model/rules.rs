//! The configuration that the model runs under, and the alerts that fire in it: one for each policy that matters.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use signl4_azure_bridge::domain::event::{Condition, Detail, Notification, Severity};
use signl4_azure_bridge::domain::id::{AccountName, AlertId, ConnectionName, SubscriptionId, TeamName};
use signl4_azure_bridge::domain::load::Storm;
use signl4_azure_bridge::domain::route::{
    BySeverity, CloseInAzure, Comments, ConnectionTraits, Criteria, Glob, OnResolved, Policy, Route, Rules,
    SystemClose, TeamTraits,
};
use signl4_azure_bridge::domain::timestamp::Timestamp;
use signl4_azure_bridge::domain::window::{Day, Times, Window};

/// Two o'clock in the morning of a Tuesday, in UTC.
pub(super) const START: i64 = 1_790_042_400_000;
pub(super) const PAGES_PER_MINUTE: u32 = 2;

const SUBSCRIPTION: &str = "7f3b0c52-2f6e-4a57-9a1b-0c8e5a1d9e11";
const MINUTE: Duration = Duration::from_mins(1);

/// Names of the rules, one alert for each; those of `health` and `quiet` are one matter.
pub(super) const ALERTS: [&str; 22] = [
    "ops-1", "ops-2", "ops-3", "ops-4", "both-1", "both-2", "dba-1", "dba-2", "grace", "window", "nightly", "alone",
    "recorded", "stray", "lives", "again", "told", "kept", "closes", "quiet", "quiet", "legacy",
];
/// Stages of one service issue.
pub(super) const HEALTH: [&str; 3] = ["Active", "InProgress", "Resolved"];

/// How many different alerts there are.
pub(super) const KINDS: usize = ALERTS.len() + HEALTH.len();

pub(super) fn team(name: &str) -> TeamName {
    TeamName::parse(name).unwrap()
}

pub(super) fn contoso() -> ConnectionName {
    ConnectionName::parse("contoso").unwrap()
}

pub(super) fn subscription() -> SubscriptionId {
    SubscriptionId::new(SUBSCRIPTION)
}

/// The stage of a service issue, if the alert is one.
pub(super) fn stage(alert: usize) -> Option<&'static str> {
    alert.checked_sub(ALERTS.len()).and_then(|stage| HEALTH.get(stage)).copied()
}

/// Whether the alert shares a page with others of the same matter.
pub(super) fn is_of_a_matter(alert: usize) -> bool {
    matches!(rule(alert), "health" | "quiet")
}

pub(super) fn rule(alert: usize) -> &'static str {
    ALERTS.get(alert).copied().unwrap_or("health")
}

pub(super) fn id(alert: usize) -> AlertId {
    if rule(alert) == "legacy" {
        return AlertId::derived(Some(subscription()), &["legacy"]);
    }
    AlertId::parse(&format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/c0ffee00-1111-4222-8333-{alert:012}"
    ))
}

pub(super) fn policy(rule: &str) -> Policy {
    let plain = Policy::default();
    match rule {
        "grace" => Policy { grace: 2 * MINUTE, ..plain },
        "alone" => Policy { always_alone: true, ..plain },
        "recorded" => Policy { records_only: true, ..plain },
        "lives" => Policy { time_to_live: Some(30 * MINUTE), ..plain },
        "again" => Policy { page_again: Some(10 * MINUTE), ..plain },
        "told" => Policy { on_resolved: OnResolved::Annotate, ..plain },
        "kept" => Policy { on_resolved: OnResolved::Ignore, close_in_azure: CloseInAzure::Never, ..plain },
        "closes" => Policy { close_in_azure: CloseInAzure::OnResolveToo, system_close: SystemClose::Close, ..plain },
        "quiet" => Policy { quiet_period: Some(10 * MINUTE), ..plain },
        _ => plain,
    }
}

pub(super) fn rules() -> Rules {
    let route = |pattern: &str, to: &str, continues| Route {
        name: format!("{pattern} to {to}"),
        file: "model.toml".to_owned(),
        line: 1,
        criteria: Criteria { rule: vec![Glob::new(pattern)], ..Criteria::default() },
        team: team(to),
        service: BySeverity::default(),
        scenario: BySeverity::default(),
        policy: policy(pattern),
        templates: None,
        continues,
        examples: Vec::new(),
    };
    let to_dba = ["dba-*", "window", "again", "told"].map(|pattern| route(pattern, "dba", false));
    let to_ops =
        ["ops-*", "grace", "nightly", "alone", "recorded", "lives", "kept", "closes", "quiet", "health", "legacy"]
            .map(|pattern| route(pattern, "ops", false));
    let both = [route("both-*", "ops", true), route("both-*", "dba", false)];
    let traits = |has_api, minutes: u32| TeamTraits {
        storm: Some(Storm { pages_per_minute: PAGES_PER_MINUTE, digest_every: minutes * MINUTE }),
        account: AccountName::parse("acme").unwrap(),
        has_api,
        own_user_id: None,
    };
    Rules {
        routes: to_dba.into_iter().chain(to_ops).chain(both).collect(),
        fallback_team: team("ops"),
        teams: BTreeMap::from([(team("ops"), traits(false, 1)), (team("dba"), traits(true, 2))]),
        connections: BTreeMap::from([(
            contoso(),
            ConnectionTraits {
                subscriptions: BTreeSet::from([subscription()]),
                comments: Comments::All,
                can_write: true,
                portal: "https://portal.azure.com".to_owned(),
            },
        )]),
        windows: windows(),
    }
}

fn windows() -> Vec<Window> {
    let window = |name: &str, times| Window {
        name: name.to_owned(),
        file: "model.toml".to_owned(),
        line: 1,
        criteria: Criteria { rule: vec![Glob::new(name)], ..Criteria::default() },
        times,
    };
    let at = |minutes: u32| Timestamp::from_millis(START).plus(minutes * MINUTE);
    vec![
        window("window", Times::Once { start: at(5), end: at(25) }),
        window(
            "nightly",
            Times::Weekly {
                days: Day::ALL.into_iter().map(|(_, day)| day).collect(),
                from: Time::constant(1, 0, 0, 0),
                to: Time::constant(3, 0, 0, 0),
                zone: TimeZone::UTC,
            },
        ),
    ]
}

pub(super) fn notification(
    alert: usize,
    condition: Condition,
    fired_at: Timestamp,
    resolved_at: Option<Timestamp>,
) -> Notification {
    let rule = rule(alert);
    let detail = match stage(alert) {
        None => Detail::Other,
        Some(stage) => Detail::ServiceHealth {
            title: Some("A service issue".to_owned()),
            service: None,
            region: None,
            stage: Some(stage.to_owned()),
            status: Some(if stage == "Resolved" { "Resolved" } else { "Active" }.to_owned()),
            incident_type: Some("Incident".to_owned()),
            tracking_id: Some("ABCD-123".to_owned()),
            impact_start: None,
            impact_end: None,
            communication: None,
        },
    };
    let target = if rule == "quiet" { "vm-quiet".to_owned() } else { format!("vm-{alert}") };
    let [worst, bad, middling] = [Severity::Sev0, Severity::Sev1, Severity::Sev2];
    Notification {
        id: id(alert),
        condition,
        fired_at: Some(fired_at),
        resolved_at,
        rule: Some(rule.to_owned()),
        rule_id: None,
        severity: Some([worst, bad, middling][alert % 3]),
        signal: Some("Metric".to_owned()),
        monitoring_service: Some("Platform".to_owned()),
        targets: vec![target],
        items: Vec::new(),
        description: None,
        custom: BTreeMap::new(),
        detail,
        legacy: (rule == "legacy").then(|| "classic".to_owned()),
        investigation_link: None,
        digest: format!("{alert} {condition:?} {fired_at}"),
    }
}

/// What the portal's "Test action group" sends; `number` tells one body from the next.
pub(super) fn test_notification(number: u32, fired_at: Timestamp) -> Notification {
    Notification {
        id: AlertId::parse(&format!(
            "/subscriptions/{}/providers/Microsoft.AlertsManagement/alerts/12345678-1234-1234-1234-1234567890ab",
            SubscriptionId::TEST
        )),
        digest: format!("test {number}"),
        ..notification(0, Condition::Fired, fired_at, None)
    }
}
