//! Teams, people, events and alerts of the simulated SIGNL4.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::redact_url;

#[derive(Clone, Serialize)]
pub struct Team {
    pub id: String,
    pub name: String,
    /// Of the inbound webhook.
    #[serde(skip)]
    pub secret: String,
    /// Ids of people.
    pub members: Vec<String>,
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Team({} {}, {} members)", self.name, self.id, self.members.len())
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Person {
    pub id: String,
    /// `username` in outbound events.
    pub name: String,
    /// `mailaddress` in outbound events.
    pub mail: String,
    pub on_duty: bool,
    pub habit: Option<Habit>,
}

/// What a person does without being told, while on duty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Habit {
    /// Real time after an alert was raised.
    pub acknowledge_after_ms: Option<u64>,
    /// Real time after the acknowledgement, or after the alert was raised if there is none.
    pub close_after_ms: Option<u64>,
    pub note: Option<String>,
}

/// An outbound webhook.
#[derive(Clone)]
pub struct Hook {
    pub url: String,
    /// The whole account if absent.
    pub team: Option<String>,
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hook({}, {:?})", redact_url(&self.url), self.team)
    }
}

/// `alert.statusCode`, a flag each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertStatus {
    Open,
    Acknowledged,
    Closed,
}

impl AlertStatus {
    pub const fn code(self) -> u32 {
        match self {
            Self::Open => 1,
            Self::Acknowledged => 2,
            Self::Closed => 4,
        }
    }
}

/// `X-S4-AlertingScenario`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    #[default]
    SingleAck,
    MultiAck,
    Emergency,
}

impl Scenario {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "single_ack" => Some(Self::SingleAck),
            "multi_ack" => Some(Self::MultiAck),
            "emergency" => Some(Self::Emergency),
            _ => None,
        }
    }
}

/// `entrytype` of an entry of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum EntryKind {
    AlertOpened,
    AlertAcknowledged,
    Annotation,
    AlertClosed,
    AlertAcknowledgeUndo,
    AlertCloseUndo,
    AlertEscalatedToManager,
}

impl EntryKind {
    pub const fn code(self) -> u32 {
        match self {
            Self::AlertOpened => 1,
            Self::AlertAcknowledged => 2,
            Self::Annotation => 3,
            Self::AlertClosed => 5,
            Self::AlertAcknowledgeUndo => 6,
            Self::AlertCloseUndo => 7,
            Self::AlertEscalatedToManager => 9,
        }
    }
}

/// One entry of an alert's timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub id: String,
    pub kind: EntryKind,
    pub at: Timestamp,
    pub by: Option<String>,
    pub text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Annotation {
    pub id: String,
    pub text: String,
    pub by: Option<String>,
    pub at: Timestamp,
}

/// What SIGNL4 calls a Signl.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alert {
    pub id: String,
    pub event_id: String,
    pub external_id: Option<String>,
    pub team: String,
    pub title: String,
    pub text: String,
    /// What is shown as tiles, in the order of the body.
    pub parameters: Map<String, Value>,
    pub service: Option<String>,
    /// As it was sent: `52.52,13.405`.
    pub location: Option<String>,
    pub scenario: Scenario,
    pub status: AlertStatus,
    /// Ids of people; a system acknowledgement adds none.
    pub acknowledged_by: Vec<String>,
    pub required_acknowledgements: usize,
    /// Nobody was on duty when it was raised.
    pub nobody_on_duty: bool,
    pub escalated: bool,
    pub annotations: Vec<Annotation>,
    /// What happened, oldest first.
    pub timeline: Vec<Entry>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub acknowledged_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// The id of a person; absent for the system.
    pub closed_by: Option<String>,
}

impl Alert {
    pub(super) fn happened(&mut self, kind: EntryKind, by: Option<&str>, at: Timestamp) {
        let id = Uuid::new_v4().to_string();
        self.timeline.push(Entry { id, kind, at, by: by.map(str::to_owned), text: None });
    }

    /// The texts of all annotations, oldest first.
    pub fn notes(&self) -> Vec<&str> {
        self.annotations.iter().map(|annotation| annotation.text.as_str()).collect()
    }
}

/// How the processing of an incoming event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventStatus {
    Processing,
    Signled,
    Resolved,
    Discarded,
    Acknowledged,
    DuplicateSuppressed,
}

impl EventStatus {
    pub const fn code(self) -> u32 {
        match self {
            Self::Processing => 1,
            Self::Signled => 2,
            Self::Resolved => 4,
            Self::Discarded => 5,
            Self::Acknowledged => 6,
            Self::DuplicateSuppressed => 23,
        }
    }
}

/// What came in by webhook or REST.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub id: String,
    pub team: String,
    pub status: EventStatus,
    pub body: Map<String, Value>,
    pub alert: Option<String>,
    pub acknowledged_alerts: Vec<String>,
    pub closed_alerts: Vec<String>,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
}

/// An id such as SIGNL4 makes: the .NET ticks that are left until the year 10000, so that newer ids sort first, and a
/// GUID.
pub(super) fn new_id(now: Timestamp) -> String {
    const LAST_TICK: i64 = 3_155_378_975_999_999_999;
    const EPOCH_TICKS: i64 = 621_355_968_000_000_000;
    let ticks = now.as_millis().saturating_mul(10_000).saturating_add(EPOCH_TICKS);
    format!("{:019}_{}", LAST_TICK.saturating_sub(ticks).max(0), Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_ids_sort_first() {
        let older = new_id(Timestamp::from_millis(1_800_000_000_000));
        let newer = new_id(Timestamp::from_millis(1_800_000_000_001));
        assert!(newer < older);
        let (digits, guid) = older.split_once('_').unwrap();
        assert_eq!((digits.len(), guid.len()), (19, 36));
    }
}
