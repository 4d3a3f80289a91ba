//! SIGNL4 in a box: the inbound webhook, the REST API v2 as far as the bridge uses it, outbound webhooks, and teams with
//! people who act.

mod actions;
mod alert;
mod inbound;
mod outbound;
mod rest;
mod throttle;

use std::fmt;
use std::io;
use std::net::SocketAddr;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use actions::ActionError;
pub use alert::{
    Alert, AlertStatus, Annotation, Entry, EntryKind, Event, EventStatus, Habit, Hook, Person, Scenario, Team,
};
pub use throttle::Limits;

use super::calls::{Answer, Asked, Call, Operation, append};
use super::control;
use super::front::Service;
use super::outbox::{Attempt, Schedule};
use super::server::Server;
use crate::clock::Clock;

/// A second `new` with an external id that was used before; SIGNL4's documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewAgain {
    #[default]
    NewAlert,
    /// Suppressed as a duplicate while an alert with that id is not closed.
    MergedWhileOpen,
    /// Suppressed as a duplicate for ever.
    MergedAlways,
}

/// Who is named in outbound events that no person caused; SIGNL4's documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemUser {
    /// No `user` at all.
    #[default]
    Absent,
    /// `"user": null`
    Null,
    /// The zero GUID and `system@signl4.com`.
    ZeroGuid,
}

/// Where the note goes that a person types while acknowledging or closing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoteIn {
    /// Into the `annotation` of the 201.
    #[default]
    StatusEvent,
    /// Into a 203 of its own, after the 201.
    OwnEvent,
    Both,
}

/// What the documentation leaves open, and what a test wants to vary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches, each of its own")]
pub struct Knobs {
    pub new_again: NewAgain,
    /// An acknowledgement or resolution that came in by webhook goes out as an event.
    pub echo: bool,
    pub system_user: SystemUser,
    pub note_in: NoteIn,
    /// Real time between the 201 of an event and its effect.
    pub processing_ms: u64,
    /// Enumerations in REST answers are words or text with a number in it.
    pub enums_as_text: bool,
    /// The details of an alert cannot be read.
    pub without_details: bool,
    /// REST reads of alerts without `userId` are refused.
    pub user_id_required: bool,
    /// With `multi_ack`, an event goes out for each acknowledgement, not only for the last that was needed.
    pub each_acknowledgement: bool,
    /// An open alert cannot be closed by REST or in the app before it was acknowledged.
    pub close_needs_acknowledgement: bool,
    pub limits: Limits,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            new_again: NewAgain::default(),
            echo: true,
            system_user: SystemUser::default(),
            note_in: NoteIn::default(),
            processing_ms: 0,
            enums_as_text: false,
            without_details: false,
            user_id_required: false,
            each_acknowledgement: true,
            close_needs_acknowledgement: false,
            limits: Limits::Off,
        }
    }
}

/// Everything that the simulated SIGNL4 knows.
pub struct State {
    /// The account.
    pub subscription: String,
    pub teams: Vec<Team>,
    pub people: Vec<Person>,
    pub api_keys: Vec<String>,
    pub hooks: Vec<Hook>,
    /// Oldest first.
    pub alerts: Vec<Alert>,
    /// What came in by webhook or REST, oldest first.
    pub events: Vec<Event>,
    /// All requests but those to the control endpoints, oldest first.
    pub calls: Vec<Call>,
    /// All tries of all outbound webhooks, oldest first.
    pub attempts: Vec<Attempt>,
    pub knobs: Knobs,
    throttle: throttle::Throttle,
    rest_throttle: throttle::Throttle,
}

impl State {
    fn new() -> Self {
        Self {
            subscription: Uuid::new_v4().to_string(),
            teams: Vec::new(),
            people: Vec::new(),
            api_keys: Vec::new(),
            hooks: Vec::new(),
            alerts: Vec::new(),
            events: Vec::new(),
            calls: Vec::new(),
            attempts: Vec::new(),
            knobs: Knobs::default(),
            throttle: throttle::Throttle::default(),
            rest_throttle: throttle::Throttle::default(),
        }
    }

    /// The calls of one operation, oldest first.
    pub fn calls_of(&self, operation: Operation) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.operation == operation)
    }

    /// By SIGNL4's own id, or the newest with that external id.
    pub fn alert(&self, id: &str) -> Option<&Alert> {
        self.alerts.iter().rev().find(|alert| alert.id == id || alert.external_id.as_deref() == Some(id))
    }

    fn alert_mut(&mut self, id: &str) -> Option<&mut Alert> {
        self.alerts.iter_mut().rev().find(|alert| alert.id == id || alert.external_id.as_deref() == Some(id))
    }

    /// By id, or by name without regard to case.
    pub fn person(&self, who: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.id == who || person.name.eq_ignore_ascii_case(who))
    }

    pub fn team(&self, which: &str) -> Option<&Team> {
        self.teams.iter().find(|team| team.id == which || team.name.eq_ignore_ascii_case(which))
    }

    /// The people of a team who are on duty.
    pub fn on_duty(&self, team: &str) -> Vec<&Person> {
        let members = self.team(team).map(|team| team.members.as_slice()).unwrap_or_default();
        self.people.iter().filter(|person| person.on_duty && members.contains(&person.id)).collect()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("teams", &self.teams)
            .field("people", &self.people)
            .field("alerts", &self.alerts)
            .field("events", &self.events)
            .field("calls", &self.calls)
            .field("attempts", &self.attempts)
            .field("knobs", &self.knobs)
            .finish_non_exhaustive()
    }
}

/// A running simulator of SIGNL4.
pub type Signl4 = Server<State>;

impl Signl4 {
    /// Listens on `listen` (port 0 for a free one) with an empty account.
    pub async fn start(listen: SocketAddr, clock: Clock) -> io::Result<Self> {
        let record = |state: &mut State, attempt| append(&mut state.attempts, attempt);
        Self::listen(listen, clock, State::new(), Schedule::signl4(), record).await
    }

    pub fn knobs(&self, turn: impl FnOnce(&mut Knobs)) {
        self.shared.change(|state| turn(&mut state.knobs));
    }

    /// The request log.
    pub fn calls(&self) -> Vec<Call> {
        self.read(|state| state.calls.clone())
    }

    /// The request log, which is empty afterwards.
    pub fn take_calls(&self) -> Vec<Call> {
        self.shared.change(|state| std::mem::take(&mut state.calls))
    }

    /// The log of outbound webhooks.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.read(|state| state.attempts.clone())
    }

    /// All alerts, oldest first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.read(|state| state.alerts.clone())
    }

    /// By SIGNL4's own id, or the newest with that external id.
    pub fn alert(&self, id: &str) -> Option<Alert> {
        self.read(|state| state.alert(id).cloned())
    }
}

impl Service for Signl4 {
    fn operation(&self, asked: &Asked) -> Operation {
        inbound::operation(asked).or_else(|| rest::operation(asked)).unwrap_or(Operation::Other)
    }

    async fn answer(&self, operation: Operation, asked: &Asked) -> Answer {
        match operation {
            Operation::Webhook => inbound::webhook(self, asked),
            Operation::CreateEvent
            | Operation::EventOverview
            | Operation::ListTeams
            | Operation::ListUsers
            | Operation::ReadUser
            | Operation::PagedAlerts
            | Operation::ReadAlert
            | Operation::AlertDetails
            | Operation::Acknowledge
            | Operation::Close
            | Operation::Annotate
            | Operation::UndoAcknowledge
            | Operation::UndoClose => rest::answer(self, operation, asked),
            Operation::Token
            | Operation::IdentityToken
            | Operation::Discovery
            | Operation::ListAlerts
            | Operation::GetAlert
            | Operation::AlertHistory
            | Operation::ChangeState
            | Operation::Permissions
            | Operation::Other => rest::error(StatusCode::NOT_FOUND, 1004, "Not found.", "No such route."),
        }
    }

    async fn control(&self, asked: &Asked) -> Answer {
        control::signl4::answer(self, asked).await
    }

    fn error(&self, _operation: Operation, status: StatusCode) -> Answer {
        rest::error(status, i32::from(status.as_u16()), "A fault that was asked for.", "")
    }

    fn log(&self, call: Call) {
        self.shared.change(|state| append(&mut state.calls, call));
    }
}

#[cfg(test)]
mod tests;
