//! An alert in the simulated Azure Monitor: its two states, its names and its history.

use serde::{Deserialize, Serialize};

use super::spec::{AlertSpec, Signal};
use crate::domain::timestamp::Timestamp;

/// Azure's user response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlertState {
    New,
    Acknowledged,
    Closed,
}

impl AlertState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Acknowledged => "Acknowledged",
            Self::Closed => "Closed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::New, Self::Acknowledged, Self::Closed]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text))
    }
}

/// The system's side of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonitorCondition {
    Fired,
    Resolved,
}

impl MonitorCondition {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "Fired",
            Self::Resolved => "Resolved",
        }
    }
}

/// One entry of an alert's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Modification {
    /// `AlertCreated`, `StateChange`, `MonitorConditionChange`
    pub event: &'static str,
    pub old: String,
    pub new: String,
    pub at: Timestamp,
    pub by: String,
    pub comments: String,
}

/// One alert instance.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// The GUID at the end of its ARM id.
    pub id: String,
    pub subscription: String,
    pub spec: AlertSpec,
    pub state: AlertState,
    pub condition: MonitorCondition,
    pub fired_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub modified_at: Timestamp,
    pub modified_by: String,
    pub history: Vec<Modification>,
    /// Lists do not show it before then.
    #[serde(skip)]
    pub listed_from: Option<Timestamp>,
}

impl Alert {
    /// The id as webhooks carry it.
    pub fn arm_id(&self) -> String {
        format!("/subscriptions/{}/providers/Microsoft.AlertsManagement/alerts/{}", self.subscription, self.id)
    }

    /// The id as the REST API shows it: an extension of the target.
    pub fn extension_id(&self) -> String {
        format!("{}/providers/Microsoft.AlertsManagement/alerts/{}", self.target(), self.id)
    }

    /// The target's ARM id; lower-case from the resource group on, as most signals spell it.
    pub fn target(&self) -> String {
        if let Some(target) = &self.spec.target {
            return target.clone();
        }
        if matches!(self.spec.signal, Signal::ServiceHealth(_)) {
            return format!("/subscriptions/{}", self.subscription);
        }
        format!(
            "/subscriptions/{}/resourcegroups/{}/providers/{}/{}",
            self.subscription,
            self.spec.resource_group.to_lowercase(),
            self.spec.resource_type.to_lowercase(),
            self.spec.resource.to_lowercase()
        )
    }

    /// Name, group and type of the target, read from its ARM id.
    pub(super) fn target_parts(&self) -> (String, String, String) {
        let target = self.target();
        let segments: Vec<&str> = target.split('/').filter(|segment| !segment.is_empty()).collect();
        let after = |name: &str| {
            segments
                .iter()
                .position(|segment| segment.eq_ignore_ascii_case(name))
                .and_then(|at| segments.get(at + 1))
                .map_or_else(String::new, |segment| (*segment).to_owned())
        };
        let kind = segments.len().checked_sub(2).and_then(|at| segments.get(at)).copied().unwrap_or_default();
        let name = segments.last().copied().unwrap_or_default();
        (name.to_owned(), after("resourcegroups"), kind.to_owned())
    }

    /// The rule's ARM id.
    pub fn rule_id(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/microsoft.insights/{}/{}",
            self.subscription,
            self.spec.resource_group,
            self.spec.signal.rule_type(),
            self.spec.rule
        )
    }

    pub fn severity(&self) -> String {
        format!("Sev{}", self.spec.severity)
    }

    /// The comments of all state changes, oldest first.
    pub fn comments(&self) -> Vec<&str> {
        self.history.iter().map(|entry| entry.comments.as_str()).filter(|text| !text.is_empty()).collect()
    }

    pub(super) fn change_state(&mut self, state: AlertState, by: &str, comments: &str, now: Timestamp) {
        self.history.push(Modification {
            event: "StateChange",
            old: self.state.as_str().to_owned(),
            new: state.as_str().to_owned(),
            at: now,
            by: by.to_owned(),
            comments: comments.to_owned(),
        });
        self.state = state;
        self.modified_at = now;
        by.clone_into(&mut self.modified_by);
    }

    pub(super) fn resolve(&mut self, now: Timestamp) {
        self.history.push(Modification {
            event: "MonitorConditionChange",
            old: self.condition.as_str().to_owned(),
            new: MonitorCondition::Resolved.as_str().to_owned(),
            at: now,
            by: "System".to_owned(),
            comments: String::new(),
        });
        self.condition = MonitorCondition::Resolved;
        self.resolved_at = Some(now);
        self.modified_at = now;
        "System".clone_into(&mut self.modified_by);
    }
}
