//! What people and SIGNL4 itself do: acknowledge, close, annotate, escalate, come and go.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::alert::{Alert, AlertStatus, Annotation, Entry, EntryKind, Habit, Hook, Person, Team};
use super::outbound::{Cause, Notice};
use super::{NoteIn, Signl4, State};
use crate::domain::timestamp::Timestamp;

/// Why an action has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    #[error("there is no alert `{0}`")]
    UnknownAlert(String),
    #[error("there is no person `{0}`")]
    UnknownPerson(String),
    #[error("there is no team `{0}`")]
    UnknownTeam(String),
    #[error("this is against the life cycle of the alert, which is {0:?}")]
    LifeCycle(AlertStatus),
}

/// What is done to an alert, by a person or by SIGNL4 itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Acknowledge,
    Close,
    UndoAcknowledge,
    UndoClose,
}

impl Signl4 {
    /// Adds a team; returns its id.
    pub fn add_team(&self, name: &str, secret: &str) -> String {
        let id = Uuid::new_v4().to_string();
        let team = Team { id: id.clone(), name: name.to_owned(), secret: secret.to_owned(), members: Vec::new() };
        self.shared.change(|state| state.teams.push(team));
        id
    }

    /// Adds a person who is on duty in the team (its id or name); returns the person's id.
    pub fn add_person(&self, team: &str, name: &str, mail: &str) -> Result<String, ActionError> {
        self.add_person_as(&Uuid::new_v4().to_string(), team, name, mail)
    }

    /// The same with an id that is known beforehand.
    pub fn add_person_as(&self, id: &str, team: &str, name: &str, mail: &str) -> Result<String, ActionError> {
        let id = id.to_owned();
        let person =
            Person { id: id.clone(), name: name.to_owned(), mail: mail.to_owned(), on_duty: true, habit: None };
        self.shared.change(|state| {
            let team = state
                .teams
                .iter_mut()
                .find(|known| known.id == team || known.name.eq_ignore_ascii_case(team))
                .ok_or_else(|| ActionError::UnknownTeam(team.to_owned()))?;
            team.members.push(id.clone());
            state.people.push(person);
            Ok(id)
        })
    }

    /// Puts a new inbound secret in place of a team's old one.
    pub fn rotate_secret(&self, team: &str, secret: &str) {
        self.shared.change(|state| {
            for known in &mut state.teams {
                if known.id == team || known.name.eq_ignore_ascii_case(team) {
                    secret.clone_into(&mut known.secret);
                }
            }
        });
    }

    pub fn add_api_key(&self, key: &str) {
        self.shared.change(|state| state.api_keys.push(key.to_owned()));
    }

    pub fn remove_api_keys(&self) {
        self.shared.change(|state| state.api_keys.clear());
    }

    /// Registers an outbound webhook of a team (id or name), or of the whole account.
    pub fn add_hook(&self, url: &str, team: Option<&str>) -> Result<(), ActionError> {
        self.shared.change(|state| {
            let team = match team {
                Some(which) => {
                    let known = state.team(which).ok_or_else(|| ActionError::UnknownTeam(which.to_owned()))?;
                    Some(known.id.clone())
                }
                None => None,
            };
            state.hooks.push(Hook { url: url.to_owned(), team });
            Ok(())
        })
    }

    pub fn remove_hooks(&self) {
        self.shared.change(|state| state.hooks.clear());
    }

    /// What the person does without being told from now on.
    pub fn set_habit(&self, person: &str, habit: Option<Habit>) -> Result<(), ActionError> {
        self.change_person(person, |person| person.habit = habit).map(|_| ())
    }

    /// The person punches in or out (302, 303).
    pub fn set_duty(&self, person: &str, on_duty: bool) -> Result<(), ActionError> {
        let id = self.change_person(person, |person| person.on_duty = on_duty)?;
        let event_type = if on_duty { 302 } else { 303 };
        let teams: Vec<String> = self.read(|state| {
            state.teams.iter().filter(|team| team.members.contains(&id)).map(|team| team.id.clone()).collect()
        });
        self.notify(teams.iter().map(|team| Notice::duty(event_type, team, Cause::Person(id.clone()))).collect());
        Ok(())
    }

    /// A duty period of the team starts or ends (300, 301).
    pub fn duty_period(&self, team: &str, starts: bool) -> Result<(), ActionError> {
        let team = self.team_id(team)?;
        self.notify(vec![Notice::duty(if starts { 300 } else { 301 }, &team, Cause::Event)]);
        Ok(())
    }

    /// The test event of an outbound webhook (1).
    pub fn send_test_event(&self) {
        let teams = self.read(|state| state.teams.first().map(|team| team.id.clone()).unwrap_or_default());
        self.notify(vec![Notice::duty(1, &teams, Cause::Event)]);
    }

    /// Sends any JSON to all outbound webhooks.
    pub fn send_body(&self, body: &Value) {
        let hooks = self.read(|state| state.hooks.clone());
        for hook in hooks {
            let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
            self.outbox.post(&hook.url, headers, bytes::Bytes::from(body.to_string()), "a body of the caller's");
        }
    }

    /// `alert` is SIGNL4's own id or the external id (then the newest); `person` an id or a name.
    pub fn acknowledge(&self, alert: &str, person: &str, note: Option<&str>) -> Result<Alert, ActionError> {
        self.act(alert, Some(person), Change::Acknowledge, note)
    }

    pub fn close(&self, alert: &str, person: &str, note: Option<&str>) -> Result<Alert, ActionError> {
        self.act(alert, Some(person), Change::Close, note)
    }

    /// 201 with status 1.
    pub fn unacknowledge(&self, alert: &str, person: &str) -> Result<Alert, ActionError> {
        self.act(alert, Some(person), Change::UndoAcknowledge, None)
    }

    /// 201 with the status that the alert had before.
    pub fn reopen(&self, alert: &str, person: &str) -> Result<Alert, ActionError> {
        self.act(alert, Some(person), Change::UndoClose, None)
    }

    /// SIGNL4 itself closes the alert, as its automatic closing does.
    pub fn close_by_system(&self, alert: &str) -> Result<Alert, ActionError> {
        self.act(alert, None, Change::Close, None)
    }

    /// 203.
    pub fn annotate(&self, alert: &str, person: &str, text: &str) -> Result<Annotation, ActionError> {
        let now = self.clock.now();
        let (annotation, notice) = self.shared.change(|state| {
            let person = person_id(state, person)?;
            let alert = state.alert_mut(alert).ok_or_else(|| ActionError::UnknownAlert(alert.to_owned()))?;
            let annotation = note(alert, text, Some(person.clone()), now);
            // SIGNL4's own sample of a 203 has status code 0.
            let notice = Notice::of(alert, 203, 0, Cause::Person(person)).annotated(&annotation.id, &annotation.text);
            Ok((annotation, notice))
        })?;
        self.notify(vec![notice]);
        Ok(annotation)
    }

    /// Nobody confirmed in time (202).
    pub fn escalate(&self, alert: &str) -> Result<(), ActionError> {
        let now = self.clock.now();
        let notice = self.shared.change(|state| {
            let alert = state.alert_mut(alert).ok_or_else(|| ActionError::UnknownAlert(alert.to_owned()))?;
            alert.escalated = true;
            alert.happened(EntryKind::AlertEscalatedToManager, None, now);
            alert.modified_at = now;
            Ok(Notice::of(alert, 202, alert.status.code(), Cause::Event))
        })?;
        self.notify(vec![notice]);
        Ok(())
    }

    /// SIGNL4 finds nobody on duty for the alert (201 with status 16).
    pub fn nobody_on_duty(&self, alert: &str) -> Result<(), ActionError> {
        self.tell_status(alert, 16)
    }

    /// Nobody answered until the alert expired (201 with status 8).
    pub fn no_reply(&self, alert: &str) -> Result<(), ActionError> {
        self.tell_status(alert, 8)
    }

    fn tell_status(&self, alert: &str, code: u32) -> Result<(), ActionError> {
        let notice = self
            .read(|state| state.alert(alert).map(|alert| Notice::of(alert, 201, code, Cause::System)))
            .ok_or_else(|| ActionError::UnknownAlert(alert.to_owned()))?;
        self.notify(vec![notice]);
        Ok(())
    }

    pub(super) fn act(
        &self,
        alert: &str,
        person: Option<&str>,
        change: Change,
        text: Option<&str>,
    ) -> Result<Alert, ActionError> {
        let now = self.clock.now();
        let (alert, notices) = self.shared.change(|state| {
            let person = person.map(|person| person_id(state, person)).transpose()?;
            let knobs = state.knobs.clone();
            let alert = state.alert_mut(alert).ok_or_else(|| ActionError::UnknownAlert(alert.to_owned()))?;
            let complete = apply(alert, person.as_deref(), change, knobs.close_needs_acknowledgement, now)?;
            let cause = person.clone().map_or(Cause::System, Cause::Person);
            let mut notices = Vec::new();
            if complete || knobs.each_acknowledgement {
                let code = if change == Change::Acknowledge { 2 } else { alert.status.code() };
                notices.push(Notice::of(alert, 201, code, cause.clone()));
            }
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                let annotation = note(alert, text, person, now);
                let own = || Notice::of(alert, 203, 0, cause.clone()).annotated(&annotation.id, &annotation.text);
                let in_status = knobs.note_in != NoteIn::OwnEvent;
                match notices.pop().filter(|_| in_status) {
                    Some(status) => notices.push(status.annotated(&annotation.id, &annotation.text)),
                    None => notices.push(Notice::of(alert, 201, alert.status.code(), cause.clone())),
                }
                if knobs.note_in != NoteIn::StatusEvent {
                    notices.push(own());
                }
            }
            Ok((alert.clone(), notices))
        })?;
        self.notify(notices);
        Ok(alert)
    }

    /// Starts what the people on duty do by habit with a new alert.
    pub(super) fn follow_habits(&self, alert: &str) {
        let people: Vec<(String, Habit)> = self.read(|state| {
            let Some(alert) = state.alert(alert) else { return Vec::new() };
            let on_duty = state.on_duty(&alert.team);
            on_duty.iter().filter_map(|person| Some((person.id.clone(), person.habit.clone()?))).collect()
        });
        for (person, habit) in people {
            let task = self.for_task();
            let alert = alert.to_owned();
            tokio::spawn(async move {
                tokio::select! {
                    () = task.live(&alert, &person, &habit) => {}
                    () = task.stop.cancelled() => {}
                }
            });
        }
    }

    async fn live(&self, alert: &str, person: &str, habit: &Habit) {
        let steps = [(habit.acknowledge_after_ms, Change::Acknowledge), (habit.close_after_ms, Change::Close)];
        let mut note = habit.note.as_deref();
        for (wait, change) in steps {
            let Some(wait) = wait else { continue };
            tokio::time::sleep(Duration::from_millis(wait)).await;
            // Somebody else, or Azure, may have been quicker.
            if let Err(error) = self.act(alert, Some(person), change, note.take()) {
                tracing::debug!(%error, "a simulated person had nothing to do");
            }
        }
    }

    fn change_person(&self, who: &str, change: impl FnOnce(&mut Person)) -> Result<String, ActionError> {
        self.shared.change(|state| {
            let id = person_id(state, who)?;
            if let Some(person) = state.people.iter_mut().find(|person| person.id == id) {
                change(person);
            }
            Ok(id)
        })
    }

    fn team_id(&self, which: &str) -> Result<String, ActionError> {
        self.read(|state| state.team(which).map(|team| team.id.clone()))
            .ok_or_else(|| ActionError::UnknownTeam(which.to_owned()))
    }
}

/// Changes the alert; false if an acknowledgement was one of several that are still needed.
fn apply(
    alert: &mut Alert,
    person: Option<&str>,
    change: Change,
    close_needs_acknowledgement: bool,
    now: Timestamp,
) -> Result<bool, ActionError> {
    let against = ActionError::LifeCycle(alert.status);
    let mut complete = true;
    match (change, alert.status) {
        (Change::Acknowledge, AlertStatus::Open) => {
            if let Some(person) = person {
                if alert.acknowledged_by.iter().any(|known| known == person) {
                    return Err(against);
                }
                alert.acknowledged_by.push(person.to_owned());
            }
            complete = alert.acknowledged_by.len() >= alert.required_acknowledgements || person.is_none();
            if complete {
                alert.status = AlertStatus::Acknowledged;
                alert.acknowledged_at = Some(now);
            }
        }
        (Change::Close, AlertStatus::Open) if close_needs_acknowledgement => return Err(against),
        (Change::Close, AlertStatus::Open | AlertStatus::Acknowledged) => {
            alert.status = AlertStatus::Closed;
            alert.closed_at = Some(now);
            alert.closed_by = person.map(str::to_owned);
        }
        (Change::UndoAcknowledge, AlertStatus::Acknowledged) => {
            alert.status = AlertStatus::Open;
            alert.acknowledged_at = None;
            alert.acknowledged_by.clear();
        }
        (Change::UndoClose, AlertStatus::Closed) => {
            alert.status = if alert.acknowledged_at.is_some() { AlertStatus::Acknowledged } else { AlertStatus::Open };
            alert.closed_at = None;
            alert.closed_by = None;
        }
        (Change::Acknowledge, AlertStatus::Acknowledged | AlertStatus::Closed)
        | (Change::Close, AlertStatus::Closed)
        | (Change::UndoAcknowledge, AlertStatus::Open | AlertStatus::Closed)
        | (Change::UndoClose, AlertStatus::Open | AlertStatus::Acknowledged) => return Err(against),
    }
    let kind = match change {
        Change::Acknowledge => EntryKind::AlertAcknowledged,
        Change::Close => EntryKind::AlertClosed,
        Change::UndoAcknowledge => EntryKind::AlertAcknowledgeUndo,
        Change::UndoClose => EntryKind::AlertCloseUndo,
    };
    alert.happened(kind, person, now);
    alert.modified_at = now;
    Ok(complete)
}

fn note(alert: &mut Alert, text: &str, by: Option<String>, now: Timestamp) -> Annotation {
    let annotation = Annotation { id: Uuid::new_v4().to_string(), text: text.to_owned(), by, at: now };
    alert.annotations.push(annotation.clone());
    let Annotation { id, text, by, at } = annotation.clone();
    alert.timeline.push(Entry { id, kind: EntryKind::Annotation, at, by, text: Some(text) });
    alert.modified_at = now;
    annotation
}

fn person_id(state: &State, who: &str) -> Result<String, ActionError> {
    state.person(who).map(|person| person.id.clone()).ok_or_else(|| ActionError::UnknownPerson(who.to_owned()))
}
