//! The bodies of outbound webhooks.
//! <https://docs.signl4.com/integrations/outbound-webhook/outbound-webhook.html>

use bytes::Bytes;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::alert::Alert;
use super::{Signl4, State, SystemUser};
use crate::domain::timestamp::Timestamp;

/// The user that the audit trail shows for what SIGNL4 does by itself.
const SYSTEM: (&str, &str, &str) = ("00000000-0000-0000-0000-000000000000", "System", "system@signl4.com");

/// What brought an event about.
#[derive(Clone, Debug)]
pub(super) enum Cause {
    /// The id of a person.
    Person(String),
    /// SIGNL4 by itself, or a call of the inbound webhook.
    System,
    /// Nothing that has an actor: a raised alert, an escalation, a duty period.
    Event,
}

/// An event that goes out.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) event_type: u32,
    /// The team whose webhooks are called.
    pub(super) team: String,
    pub(super) cause: Cause,
    pub(super) alert: Option<(Alert, u32)>,
    pub(super) annotation: Option<(String, String)>,
}

impl Notice {
    /// About an alert, with the status code that is told.
    pub(super) fn of(alert: &Alert, event_type: u32, status_code: u32, cause: Cause) -> Self {
        Self {
            event_type,
            team: alert.team.clone(),
            cause,
            alert: Some((alert.clone(), status_code)),
            annotation: None,
        }
    }

    /// About a team: duty periods and people who come and go.
    pub(super) fn duty(event_type: u32, team: &str, cause: Cause) -> Self {
        Self { event_type, team: team.to_owned(), cause, alert: None, annotation: None }
    }

    pub(super) fn annotated(mut self, id: &str, text: &str) -> Self {
        self.annotation = Some((id.to_owned(), text.to_owned()));
        self
    }

    fn about(&self) -> String {
        match &self.alert {
            Some((alert, code)) => format!("{} (status {code}) {}", self.event_type, alert.title),
            None => format!("{}", self.event_type),
        }
    }
}

/// The body of an event.
pub(super) fn body(state: &State, notice: &Notice, now: Timestamp) -> Value {
    let mut body = Map::new();
    body.insert("eventType".to_owned(), json!(notice.event_type));
    body.insert("eventRaisedUtc".to_owned(), json!(ticks(now)));
    // Duty events name the team and no subscription.
    let is_duty = (300..400).contains(&notice.event_type);
    if !is_duty {
        body.insert("subscription".to_owned(), json!({ "id": state.subscription }));
    }
    if is_duty || notice.event_type == 202 {
        body.insert("team".to_owned(), json!({ "id": notice.team }));
    }
    match &notice.cause {
        Cause::Person(id) => {
            let user = if is_duty {
                json!({ "id": id })
            } else if let Some(person) = state.person(id) {
                json!({ "username": person.name, "mailaddress": person.mail, "id": person.id })
            } else {
                json!({ "id": id })
            };
            body.insert("user".to_owned(), user);
        }
        Cause::System => match state.knobs.system_user {
            SystemUser::Absent => {}
            SystemUser::Null => {
                body.insert("user".to_owned(), Value::Null);
            }
            SystemUser::ZeroGuid => {
                let (id, name, mail) = SYSTEM;
                body.insert("user".to_owned(), json!({ "username": name, "mailaddress": mail, "id": id }));
            }
        },
        Cause::Event => {}
    }
    if let Some((alert, status_code)) = &notice.alert {
        body.insert(
            "alert".to_owned(),
            json!({
                "statusCode": status_code,
                "eventId": alert.event_id,
                "externalEventId": alert.external_id.clone().unwrap_or_default(),
                "acknowledgedUserIds": alert.acknowledged_by,
                "id": alert.id,
            }),
        );
    }
    if let Some((id, message)) = &notice.annotation {
        body.insert("annotation".to_owned(), json!({ "id": id, "message": message }));
    }
    body.insert("id".to_owned(), json!(Uuid::new_v4().to_string()));
    Value::Object(body)
}

impl Signl4 {
    /// Sends events to the webhooks that want them, in this order.
    pub(super) fn notify(&self, notices: Vec<Notice>) {
        let now = self.clock.now();
        for notice in notices {
            let (body, urls) = self.read(|state| {
                let wanted =
                    state.hooks.iter().filter(|hook| hook.team.as_ref().is_none_or(|team| *team == notice.team));
                let urls: Vec<String> = wanted.map(|hook| hook.url.clone()).collect();
                (body(state, &notice, now), urls)
            });
            let bytes = Bytes::from(body.to_string());
            for url in urls {
                let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
                self.outbox.post(&url, headers, bytes.clone(), &notice.about());
            }
        }
    }
}

/// RFC 3339 with seven fraction digits, as .NET writes it.
pub(super) fn ticks(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map_or_else(|_| at.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S.%3f0000Z").to_string())
}
