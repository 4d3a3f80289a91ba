//! What a side told us, after parsing and before judgement.

use std::collections::BTreeMap;

use super::id::{AlertId, AlertKey, ConnectionName, EventId, ExternalId, SubscriptionId, TeamName};
use super::reading::{Found, Polled, Raises};
use super::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// One event, stored before it is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: EventId,
    pub received_at: Timestamp,
    pub kind: EventKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// An alert fired or resolved.
    Azure { connection: ConnectionName, notification: Box<Notification> },
    /// A poll found something of an alert that the ledger did not know.
    Polled { connection: ConnectionName, polled: Box<Polled> },
    /// An authenticated body that names a subscription outside the connection's allow-list.
    Foreign { connection: ConnectionName, subscription: Option<SubscriptionId> },
    /// An authenticated Azure body that could not be understood. `digest` tells bodies apart.
    Unreadable { connection: ConnectionName, digest: String, problem: String },
    /// Something happened to a page in SIGNL4. `team` is the endpoint's; the page is found by its external id.
    Signl4 { team: TeamName, page: ExternalId, change: Signl4Change },
    /// Trouble of the bridge's own that a person must mend. Told once an hour, or `once` for all and with the quietest
    /// scenario: what is not urgent yet. `paged` is when its page went out past the store, which could not take it then.
    Alarm { team: TeamName, about: String, title: String, text: String, once: bool, paged: Option<Timestamp> },
    /// Authenticated, understood, and of no consequence: duty events, the test event, alerts of other systems.
    Ignored { team: TeamName, why: &'static str },
    /// A stored timer of a page is due.
    Timer { page: ExternalId, timer: TimerKind },
}

/// Why a page wakes us later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// The page's hold (grace, maintenance window) is over.
    GraceEnded,
    /// The route's time to live of the page is over.
    TimeToLive,
    /// A person closed the page a while ago, and its route pages again while Azure still fires.
    PageAgain,
    /// Of a digest: it has gathered long enough.
    DigestDue,
    /// Of a digest: a member ended, and no live one is left.
    LastMemberEnded,
    /// Of a digest's only member: it is raised as a page of its own.
    Alone,
    /// Of a digest: what happened to it in SIGNL4 happens to each member. The store spreads it, a few members at a time;
    /// `beyond` is the member that heard it last.
    ToMembers { change: Box<Signl4Change>, beyond: Option<ExternalId> },
}

/// Azure's `monitorCondition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    Fired,
    Resolved,
}

/// Azure's severity, `Sev0` the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    Sev0,
    Sev1,
    Sev2,
    Sev3,
    Sev4,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Sev0, Self::Sev1, Self::Sev2, Self::Sev3, Self::Sev4];

    /// Reads `Sev1`, `sev1`, `1`, and the words of old log alerts (`Critical`, `Error`, `Warning`, `Informational`).
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "sev0" | "0" | "critical" => Some(Self::Sev0),
            "sev1" | "1" | "error" => Some(Self::Sev1),
            "sev2" | "2" | "warning" => Some(Self::Sev2),
            "sev3" | "3" | "informational" | "information" => Some(Self::Sev3),
            "sev4" | "4" | "verbose" => Some(Self::Sev4),
            _ => None,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sev0 => "Sev0",
            Self::Sev1 => "Sev1",
            Self::Sev2 => "Sev2",
            Self::Sev3 => "Sev3",
            Self::Sev4 => "Sev4",
        }
    }
}

/// What Azure says of one alert: the common alert schema's essentials, tolerant of every field that may be missing,
/// and the facts of its context that a page needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    pub id: AlertId,
    pub condition: Condition,
    pub fired_at: Option<Timestamp>,
    pub resolved_at: Option<Timestamp>,
    /// Name of the rule.
    pub rule: Option<String>,
    /// ARM id of the rule, lower-case.
    pub rule_id: Option<String>,
    pub severity: Option<Severity>,
    /// `Metric`, `Log`, `Activity Log`: an open set.
    pub signal: Option<String>,
    /// `Platform`, `Log Alerts V2`, `ServiceHealth` …: an open set, as Azure spells it.
    pub monitoring_service: Option<String>,
    /// ARM ids, lower-case.
    pub targets: Vec<String>,
    /// Names of what is affected, with Azure's spelling.
    pub items: Vec<String>,
    pub description: Option<String>,
    pub custom: BTreeMap<String, String>,
    pub detail: Detail,
    /// `None` for the common alert schema; else the name of the legacy shape, which cannot be written back.
    pub legacy: Option<String>,
    pub investigation_link: Option<String>,
    /// SHA-256 prefix of the body: tells one test notification from the next.
    pub digest: String,
}

impl Notification {
    /// A test notification of the portal: paged each time, marked, never written back.
    pub fn is_test(&self) -> bool {
        self.id.is_test()
    }
}

/// The facts of `alertContext`, by kind. Texts are as Azure spells them, trimmed, never empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Detail {
    Metric {
        criteria: Vec<Criterion>,
        /// ISO 8601 duration, `PT5M`.
        window: Option<String>,
        /// The thresholds are computed by Azure, not set by a person.
        dynamic: bool,
    },
    Log {
        criteria: Vec<Criterion>,
        window: Option<String>,
        query: Option<String>,
        /// The results in the portal, filtered by the dimensions where Azure gives such a link.
        link: Option<String>,
        /// The first few rows, where the alert embeds any: names and values.
        rows: Vec<Vec<(String, String)>>,
    },
    ActivityLog {
        /// `Administrative`, `Policy`, `Autoscale`, `Security`, `Recommendation`: an open set.
        category: Option<String>,
        operation: Option<String>,
        status: Option<String>,
        sub_status: Option<String>,
        level: Option<String>,
        caller: Option<String>,
        message: Option<String>,
        /// What the operation was done to: an ARM id with its own spelling.
        resource: Option<String>,
        /// The event's own properties that have a text.
        facts: Vec<(String, String)>,
    },
    ServiceHealth {
        title: Option<String>,
        service: Option<String>,
        region: Option<String>,
        /// `Active`, `Planned`, `InProgress`, `Mitigated`, `Resolved`, `RCA` …
        stage: Option<String>,
        /// `Active` or `Resolved`; `condition` stays `Fired` throughout.
        status: Option<String>,
        incident_type: Option<String>,
        tracking_id: Option<String>,
        impact_start: Option<String>,
        impact_end: Option<String>,
        /// Plain text: HTML is stripped while parsing.
        communication: Option<String>,
    },
    ResourceHealth {
        title: Option<String>,
        details: Option<String>,
        current: Option<String>,
        previous: Option<String>,
        cause: Option<String>,
        /// `Active`, `Resolved` …; `condition` stays `Fired` throughout.
        status: Option<String>,
    },
    Prometheus {
        expression: Option<String>,
        value: Option<String>,
        summary: Option<String>,
        description: Option<String>,
        labels: BTreeMap<String, String>,
        /// How long the expression must hold, ISO 8601.
        holds: Option<String>,
        /// A `runbook_url` annotation or the like.
        link: Option<String>,
    },
    SmartDetector {
        detector: Option<String>,
        summary: Option<String>,
        detected: Option<String>,
        normal: Option<String>,
        occurred: Option<String>,
    },
    Budget {
        name: Option<String>,
        /// The forecast passed the threshold, not the money spent.
        forecast: bool,
        /// The whole budget.
        limit: Option<String>,
        /// The amount at which the notification goes out.
        threshold: Option<String>,
        spent: Option<String>,
        forecast_total: Option<String>,
        unit: Option<String>,
        scope: Option<String>,
    },
    /// A context of a form that we do not know: its members that have a text.
    Generic { facts: Vec<(String, String)> },
    #[default]
    Other,
}

/// One line of `condition.allOf`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Metric name, or measured column.
    pub metric: Option<String>,
    pub namespace: Option<String>,
    /// Name of an availability test; the value counts the locations that fail.
    pub web_test: Option<String>,
    /// `GreaterThan` …, as Azure spells it.
    pub operator: Option<String>,
    pub threshold: Option<String>,
    pub aggregation: Option<String>,
    /// `Percent`, `Bytes` …, where Azure says it: classic alerts only.
    pub unit: Option<String>,
    pub value: Option<f64>,
    pub dimensions: Vec<(String, String)>,
    /// How many of how many periods must fail.
    pub failing_periods: Option<(i64, i64)>,
}

/// What happened in SIGNL4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signl4Change {
    /// The notification's own id within its account, for saying whether it was seen before.
    pub notification_id: Option<String>,
    pub happened: Happened,
    /// `eventRaisedUtc`, or the time of receipt when it is absent.
    pub raised_at: Timestamp,
    /// Who did it; `None` for the system and for our own `user_id` seen as a machine.
    pub person: Option<Person>,
    /// SIGNL4's own id of the alert.
    pub alert_id: Option<String>,
    /// Text of an annotation, also one typed while acknowledging or closing.
    pub note: Option<String>,
    /// Found by a poll: the webhook may tell the same, by another id.
    #[serde(default)]
    pub polled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// 200: SIGNL4 raised the alert.
    Created,
    /// 201 with status 1.
    Reopened,
    /// 201 with status 2.
    Acknowledged,
    /// 201 with status 4.
    Closed,
    /// 201 with status 16 or 8: nobody on duty, nobody answered.
    NobodyOnDuty,
    /// 202.
    Escalated,
    /// 203.
    Annotated,
}

impl Happened {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Reopened => "reopened",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::NobodyOnDuty => "nobody_on_duty",
            Self::Escalated => "escalated",
            Self::Annotated => "annotated",
        }
    }
}

/// A SIGNL4 user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub id: String,
    /// Name to show: `username`, else the mail address, else `a SIGNL4 user`.
    pub name: String,
}

impl EventKind {
    /// Which alert's rows the judgement needs; `None` when it is found by the page's external id or not needed.
    pub fn alert_key(&self, now: Timestamp) -> Option<AlertKey> {
        let day = now.day();
        match self {
            Self::Azure { notification, .. } => Some(notification.id.key().clone()),
            Self::Polled { polled, .. } => Some(polled.notification.id.key().clone()),
            Self::Foreign { connection, subscription } => {
                Some(Self::foreign_key(connection, subscription.as_ref(), &day))
            }
            Self::Unreadable { digest, .. } => Some(AlertKey::synthetic("unreadable", digest)),
            Self::Alarm { about, once, paged, .. } => Some(Self::alarm_key(about, *once, paged.unwrap_or(now))),
            Self::Signl4 { .. } | Self::Ignored { .. } | Self::Timer { .. } => None,
        }
    }

    /// One notice a day for each foreign subscription.
    pub fn foreign_key(connection: &ConnectionName, subscription: Option<&SubscriptionId>, day: &str) -> AlertKey {
        let name = subscription.map_or("none", SubscriptionId::as_str);
        AlertKey::synthetic("notice", &format!("foreign:{connection}:{}:{day}", super::id::digest(name.as_bytes())))
    }

    /// The thread that an alert belongs to, for looking up the alert that it began with.
    pub fn thread_key(&self) -> Option<String> {
        match self {
            Self::Azure { notification, .. } if notification.condition == Condition::Fired => {
                super::thread::thread(notification).map(|thread| thread.key)
            }
            Self::Polled { polled, .. } if matches!(polled.found, Found::Fired(raises) if raises.pages()) => {
                super::thread::thread(&polled.notification).map(|thread| thread.key)
            }
            Self::Azure { .. }
            | Self::Polled { .. }
            | Self::Foreign { .. }
            | Self::Unreadable { .. }
            | Self::Signl4 { .. }
            | Self::Alarm { .. }
            | Self::Ignored { .. }
            | Self::Timer { .. } => None,
        }
    }

    /// One alarm an hour for the same trouble, or one for all.
    pub fn alarm_key(about: &str, once: bool, now: Timestamp) -> AlertKey {
        let when = if once { "once".to_owned() } else { now.hour() };
        AlertKey::synthetic("alarm", &format!("{}:{when}", super::id::digest(about.as_bytes())))
    }

    /// The alert, page, subscription or trouble that it is about, for the log.
    pub fn about(&self) -> String {
        match self {
            Self::Azure { notification, .. } => notification.id.key().to_string(),
            Self::Polled { polled, .. } => polled.notification.id.key().to_string(),
            Self::Foreign { subscription, .. } => {
                subscription.as_ref().map_or_else(|| "no subscription".to_owned(), SubscriptionId::to_string)
            }
            Self::Unreadable { problem, .. } => problem.clone(),
            Self::Signl4 { page, .. } | Self::Timer { page, .. } => page.to_string(),
            Self::Alarm { about, .. } => about.clone(),
            Self::Ignored { why, .. } => (*why).to_owned(),
        }
    }

    /// The name of the alert's rule.
    pub fn rule(&self) -> Option<String> {
        match self {
            Self::Azure { notification, .. } => notification.rule.clone(),
            Self::Polled { polled, .. } => polled.notification.rule.clone(),
            Self::Foreign { .. }
            | Self::Unreadable { .. }
            | Self::Signl4 { .. }
            | Self::Alarm { .. }
            | Self::Ignored { .. }
            | Self::Timer { .. } => None,
        }
    }

    /// A name for logs, metrics and the store.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Azure { notification, .. } => match notification.condition {
                Condition::Fired => "fired",
                Condition::Resolved => "resolved",
            },
            Self::Polled { polled, .. } => polled.name(),
            Self::Foreign { .. } => "foreign",
            Self::Unreadable { .. } => "unreadable",
            Self::Signl4 { change, .. } => change.happened.as_str(),
            Self::Alarm { .. } => "alarm",
            Self::Ignored { .. } => "ignored",
            Self::Timer { .. } => "timer",
        }
    }

    /// The same key means the same event, told again. `None`: each is an event of its own, and the judgement decides.
    pub fn repeat_key(&self) -> Option<String> {
        match self {
            Self::Azure { notification, .. } => told(notification),
            // By webhook or by poll, it is one event. What is only recorded stands in no webhook's way.
            Self::Polled { polled, .. } => match polled.found {
                // The webhook may have been heard while somebody had the alert in hand, and has paged nobody then.
                Found::Fired(raises) if !raises.pages() || raises == Raises::FreeAgain => None,
                Found::Fired(_) | Found::Resolved => told(&polled.notification),
                Found::State => None,
            },
            Self::Signl4 { change, .. } => change.notification_id.as_ref().map(|id| format!("signl4 {id}")),
            Self::Foreign { .. }
            | Self::Unreadable { .. }
            | Self::Alarm { .. }
            | Self::Ignored { .. }
            | Self::Timer { .. } => None,
        }
    }
}

fn told(notification: &Notification) -> Option<String> {
    if notification.is_test() {
        return None;
    }
    let at = notification
        .fired_at
        .map_or_else(|| format!("body {}", notification.digest), |fired_at| fired_at.as_millis().to_string());
    let condition = match notification.condition {
        Condition::Fired => "fired",
        Condition::Resolved => "resolved",
    };
    Some(format!("azure {} {condition} {at}", notification.id.key()))
}
