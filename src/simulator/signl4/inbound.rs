//! The inbound webhook: raise, acknowledge, resolve.
//! <https://docs.signl4.com/integrations/webhook/webhook.html>
//!
//! `X-S4-*` parameters are members of the body; HTTP headers of these names are ignored. The answer only says that the
//! event was taken; what became of it, its overview tells.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use uuid::Uuid;

use super::alert::{Alert, AlertStatus, Entry, EntryKind, Event, EventStatus, Scenario, new_id};
use super::outbound::{Cause, Notice};
use super::{NewAgain, Signl4, State, rest};
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::{Answer, Asked, Operation, pairs};

const TITLE_KEYS: [&str; 7] = ["subject", "title", "task", "job", "case", "incident", "x-s4-subject"];
const TEXT_KEYS: [&str; 6] = ["text", "message", "messagetext", "description", "body", "content"];

pub(super) fn operation(asked: &Asked) -> Option<Operation> {
    match (asked.method.clone(), asked.segments().as_slice()) {
        (Method::POST, ["webhook", _]) => Some(Operation::Webhook),
        _ => None,
    }
}

/// `POST /webhook/{secret}`
pub(super) fn webhook(signl4: &Signl4, asked: &Asked) -> Answer {
    let secret = asked.segments().get(1).copied().unwrap_or_default().to_owned();
    let (answer, accepted) = signl4.shared.change(|state| {
        let allowance = state.throttle.count(&state.knobs.limits.of_events(), asked.at);
        let limited = |answer: Answer| {
            answer
                .with("x-ratelimit-limit", allowance.limit.to_string())
                .with("x-ratelimit-remaining", allowance.remaining.to_string())
                .with("x-ratelimit-reset", (allowance.reset.as_millis() / 1000).to_string())
        };
        if allowance.exceeded {
            let details = "Too many events were sent. Receiving is blocked for the period that was exceeded.";
            return (limited(rest::error(StatusCode::TOO_MANY_REQUESTS, 429, "Throttled.", details)), None);
        }
        match take(state, &secret, asked) {
            Ok(id) => {
                let answer = Answer::json(StatusCode::CREATED, &json!({ "eventId": id }));
                (limited(answer), Some(id))
            }
            Err(answer) => {
                state.throttle.count_error(state.knobs.limits, asked.at);
                (limited(answer), None)
            }
        }
    });
    if let Some(event_id) = accepted {
        process_later(signl4, event_id);
    }
    answer
}

fn take(state: &mut State, secret: &str, asked: &Asked) -> Result<String, Answer> {
    let Some(team) = state.teams.iter().find(|team| team.secret == secret) else {
        let details = format!("An event source with ID {secret} was not found.");
        return Err(rest::error(StatusCode::NOT_FOUND, 3004, "Error raising event.", &details));
    };
    let team = team.id.clone();
    let body = read_body(asked)
        .map_err(|details| rest::error(StatusCode::BAD_REQUEST, 3000, "Error raising event.", &details))?;
    Ok(keep(state, team, body, asked.at))
}

/// Keeps an event for processing; returns its id.
pub(super) fn keep(state: &mut State, team: String, body: Map<String, Value>, now: Timestamp) -> String {
    let id = new_id(now);
    state.events.push(Event {
        id: id.clone(),
        team,
        status: EventStatus::Processing,
        body,
        alert: None,
        acknowledged_alerts: Vec::new(),
        closed_alerts: Vec::new(),
        created_at: now,
        modified_at: now,
    });
    id
}

/// The members of the body, with the query's parameters applied.
pub(super) fn read_body(asked: &Asked) -> Result<Map<String, Value>, String> {
    let kind = asked.header("content-type").unwrap_or_default().to_lowercase();
    let mut body = if kind.starts_with("application/x-www-form-urlencoded") {
        pairs(&String::from_utf8_lossy(&asked.body)).into_iter().map(|(key, value)| (key, Value::from(value))).collect()
    } else if kind.is_empty() || kind.starts_with("text/") {
        Map::from_iter([("Message".to_owned(), Value::from(String::from_utf8_lossy(&asked.body).into_owned()))])
    } else {
        match serde_json::from_slice(&asked.body) {
            Ok(Value::Object(body)) => body,
            Ok(_) => return Err("The body is no JSON object.".to_owned()),
            Err(error) => return Err(format!("The body is no JSON: {error}")),
        }
    };
    if let Some(name) = asked.query("ExtIDParam")
        && let Some(id) = body.get(name).cloned()
    {
        body.insert("X-S4-ExternalID".to_owned(), id);
    }
    if let Some(name) = asked.query("ExtStatusParam") {
        let given = body.get(name).map(plain).unwrap_or_default();
        let status = [("ResolvedStatus", "resolved"), ("AckStatus", "acknowledged"), ("NewStatus", "new")]
            .into_iter()
            .find(|(parameter, _)| asked.query(parameter) == Some(given.as_str()))
            .map(|(_, status)| status);
        // Without `NewStatus`, everything that is neither resolved nor acknowledged is new.
        let otherwise = if asked.query("NewStatus").is_some() { "discard" } else { "new" };
        body.insert("X-S4-Status".to_owned(), Value::from(status.unwrap_or(otherwise)));
    }
    Ok(body)
}

/// Lets an event take effect, at once or after the time that the knob says.
pub(super) fn process_later(signl4: &Signl4, event_id: String) {
    let wait = signl4.read(|state| state.knobs.processing_ms);
    if wait == 0 {
        process(signl4, &event_id);
        return;
    }
    let task = signl4.for_task();
    tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(wait)) => process(&task, &event_id),
            () = task.stop.cancelled() => {}
        }
    });
}

fn process(signl4: &Signl4, event_id: &str) {
    let now = signl4.clock.now();
    let (notices, raised) = signl4.shared.change(|state| take_effect(state, event_id, now));
    signl4.notify(notices);
    if let Some(alert_id) = raised {
        signl4.follow_habits(&alert_id);
    }
}

/// Returns what goes out, and the id of the alert if one was raised.
fn take_effect(state: &mut State, event_id: &str, now: Timestamp) -> (Vec<Notice>, Option<String>) {
    let Some(event) = state.events.iter().find(|event| event.id == event_id).cloned() else {
        return (Vec::new(), None);
    };
    let mut done = event.clone();
    done.modified_at = now;
    let external_id = member(&event.body, "X-S4-ExternalID").map(plain).filter(|id| !id.is_empty());
    let status = member(&event.body, "X-S4-Status").map(plain).unwrap_or_default().to_lowercase();
    let mut notices = Vec::new();
    let mut raised = None;
    match status.as_str() {
        "" | "new" => {
            let same =
                |alert: &&Alert| external_id.is_some() && alert.external_id == external_id && alert.team == event.team;
            let merged = match state.knobs.new_again {
                NewAgain::NewAlert => None,
                NewAgain::MergedWhileOpen => {
                    state.alerts.iter().filter(same).find(|alert| alert.status != AlertStatus::Closed)
                }
                NewAgain::MergedAlways => state.alerts.iter().find(same),
            };
            if let Some(merged) = merged {
                done.alert = Some(merged.id.clone());
                done.status = EventStatus::DuplicateSuppressed;
            } else {
                let alert = raise(state, &event, external_id, now);
                done.alert = Some(alert.id.clone());
                done.status = EventStatus::Signled;
                notices.push(Notice::of(&alert, 200, alert.status.code(), Cause::Event));
                if alert.nobody_on_duty {
                    notices.push(Notice::of(&alert, 201, 16, Cause::System));
                }
                raised = Some(alert.id.clone());
                state.alerts.push(alert);
            }
        }
        "acknowledged" | "resolved" => {
            let echo = state.knobs.echo;
            let closes = status == "resolved";
            let matching = state.alerts.iter_mut().filter(|alert| {
                external_id.is_some()
                    && alert.external_id == external_id
                    && alert.team == event.team
                    && if closes { alert.status != AlertStatus::Closed } else { alert.status == AlertStatus::Open }
            });
            for alert in matching {
                alert.modified_at = now;
                if closes {
                    alert.status = AlertStatus::Closed;
                    alert.happened(EntryKind::AlertClosed, None, now);
                    alert.closed_at = Some(now);
                    done.closed_alerts.push(alert.id.clone());
                } else {
                    alert.status = AlertStatus::Acknowledged;
                    alert.happened(EntryKind::AlertAcknowledged, None, now);
                    alert.acknowledged_at = Some(now);
                    done.acknowledged_alerts.push(alert.id.clone());
                }
                if echo {
                    notices.push(Notice::of(alert, 201, alert.status.code(), Cause::System));
                }
            }
            done.status = match (closes, done.closed_alerts.is_empty() && done.acknowledged_alerts.is_empty()) {
                (_, true) => EventStatus::Discarded,
                (true, false) => EventStatus::Resolved,
                (false, false) => EventStatus::Acknowledged,
            };
        }
        _ => done.status = EventStatus::Discarded,
    }
    if let Some(event) = state.events.iter_mut().find(|event| event.id == event_id) {
        *event = done;
    }
    (notices, raised)
}

fn raise(state: &State, event: &Event, external_id: Option<String>, now: Timestamp) -> Alert {
    let body = &event.body;
    let scenario =
        member(body, "X-S4-AlertingScenario").and_then(|value| Scenario::parse(&plain(value))).unwrap_or_default();
    let on_duty = state.on_duty(&event.team).len();
    let parameters: Map<String, Value> = body
        .iter()
        .filter(|(name, _)| {
            let name = name.to_lowercase();
            !name.starts_with("x-s4-") && !TITLE_KEYS.contains(&name.as_str()) && !TEXT_KEYS.contains(&name.as_str())
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let title = first_of(body, &TITLE_KEYS).or_else(|| parameters.values().next().map(plain)).unwrap_or_default();
    Alert {
        id: new_id(now),
        event_id: event.id.clone(),
        external_id,
        team: event.team.clone(),
        title,
        text: first_of(body, &TEXT_KEYS).unwrap_or_default(),
        parameters,
        service: member(body, "X-S4-Service").map(plain),
        location: member(body, "X-S4-Location").map(plain),
        scenario,
        status: AlertStatus::Open,
        acknowledged_by: Vec::new(),
        required_acknowledgements: match scenario {
            Scenario::SingleAck => 1,
            Scenario::MultiAck => on_duty.max(1),
            Scenario::Emergency => state.team(&event.team).map_or(1, |team| team.members.len().max(1)),
        },
        // An emergency reaches the whole team, on duty or not.
        nobody_on_duty: on_duty == 0 && scenario != Scenario::Emergency,
        escalated: false,
        annotations: Vec::new(),
        timeline: vec![Entry {
            id: Uuid::new_v4().to_string(),
            kind: EntryKind::AlertOpened,
            at: now,
            by: None,
            text: None,
        }],
        created_at: now,
        modified_at: now,
        acknowledged_at: None,
        closed_at: None,
        closed_by: None,
    }
}

/// A member of the body, by name without regard to case.
pub(super) fn member<'a>(body: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn first_of(body: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| member(body, name)).map(plain)
}

/// A value as text, strings without quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
