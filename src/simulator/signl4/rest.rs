//! SIGNL4's REST API v2, as far as the bridge uses it.
//! <https://connect.signl4.com/api/docs/index.html>

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::actions::{ActionError, Change};
use super::alert::{Alert, AlertStatus, Entry, Event, Person, Scenario};
use super::inbound;
use super::outbound::ticks;
use super::{Signl4, State};
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::{Answer, Asked, Operation};

const PAGE_MAX: usize = 100;

pub(super) fn operation(asked: &Asked) -> Option<Operation> {
    let segments = asked.segments();
    let ["api", "v2", rest @ ..] = segments.as_slice() else { return None };
    match (asked.method.clone(), rest) {
        (Method::GET, ["teams"]) => Some(Operation::ListTeams),
        (Method::GET, ["users"]) => Some(Operation::ListUsers),
        (Method::GET, ["users", _]) => Some(Operation::ReadUser),
        (Method::POST, ["alerts", "paged"]) => Some(Operation::PagedAlerts),
        (Method::GET, ["alerts", _]) => Some(Operation::ReadAlert),
        (Method::GET, ["alerts", _, "details"]) => Some(Operation::AlertDetails),
        (Method::POST, ["alerts", _, "acknowledge"]) => Some(Operation::Acknowledge),
        (Method::POST, ["alerts", _, "close"]) => Some(Operation::Close),
        (Method::POST, ["alerts", _, "annotate"]) => Some(Operation::Annotate),
        (Method::POST, ["alerts", _, "undoAcknowledge"]) => Some(Operation::UndoAcknowledge),
        (Method::POST, ["alerts", _, "undoClose"]) => Some(Operation::UndoClose),
        (Method::POST, ["events", _]) => Some(Operation::CreateEvent),
        (Method::GET, ["events", _, "overview"]) => Some(Operation::EventOverview),
        _ => None,
    }
}

/// SIGNL4's error body.
pub(super) fn error(status: StatusCode, code: i32, message: &str, details: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "requestId": Uuid::new_v4().to_string(), "code": code, "details": details, "message": message }),
    )
}

pub(super) fn answer(signl4: &Signl4, operation: Operation, asked: &Asked) -> Answer {
    let authentic = asked
        .header("x-s4-api-key")
        .is_some_and(|key| signl4.read(|state| state.api_keys.iter().any(|known| known == key)));
    if !authentic {
        return error(StatusCode::UNAUTHORIZED, 401, "Unauthorized.", "The API key is missing or invalid.");
    }
    let exceeded = signl4.shared.change(|state| {
        let limits = state.knobs.limits;
        let (throttle, windows) = if operation == Operation::CreateEvent {
            (&mut state.throttle, limits.of_events())
        } else {
            (&mut state.rest_throttle, limits.of_rest())
        };
        throttle.count(&windows, asked.at).exceeded
    });
    if exceeded {
        let details = "Too many requests were sent. Receiving is blocked for the period that was exceeded.";
        return error(StatusCode::TOO_MANY_REQUESTS, 429, "Throttled.", details);
    }
    match operation {
        Operation::ListTeams => Answer::ok(&signl4.read(teams)),
        Operation::ListUsers => Answer::ok(&signl4.read(users)),
        Operation::ReadUser => signl4.read(|state| read_user(state, third(asked))),
        Operation::PagedAlerts => paged(signl4, asked),
        Operation::ReadAlert => read_alert(signl4, asked),
        Operation::AlertDetails => details(signl4, asked),
        Operation::Acknowledge => change(signl4, asked, Change::Acknowledge),
        Operation::Close => change(signl4, asked, Change::Close),
        Operation::UndoAcknowledge => change(signl4, asked, Change::UndoAcknowledge),
        Operation::UndoClose => change(signl4, asked, Change::UndoClose),
        Operation::Annotate => annotate(signl4, asked),
        Operation::CreateEvent => create_event(signl4, asked),
        Operation::EventOverview => overview(signl4, third(asked)),
        Operation::Token
        | Operation::IdentityToken
        | Operation::Discovery
        | Operation::ListAlerts
        | Operation::GetAlert
        | Operation::AlertHistory
        | Operation::ChangeState
        | Operation::Permissions
        | Operation::Webhook
        | Operation::Other => error(StatusCode::NOT_FOUND, 404, "Not found.", "No such route."),
    }
}

/// The id in `/api/v2/alerts/{id}` and the like.
fn third(asked: &Asked) -> &str {
    asked.segments().get(3).copied().unwrap_or_default()
}

fn teams(state: &State) -> Value {
    state
        .teams
        .iter()
        .map(|team| {
            json!({
                "id": team.id,
                "name": team.name,
                "timezone": "Europe/Berlin",
                "memberIds": team.members,
                "subscriptionId": state.subscription,
                "setupProgressEnabled": false,
                "imageLastModified": null,
            })
        })
        .collect()
}

fn users(state: &State) -> Value {
    state.people.iter().map(|person| user(state, person)).collect()
}

fn read_user(state: &State, id: &str) -> Answer {
    match state.people.iter().find(|person| person.id == id) {
        Some(person) => Answer::ok(&user(state, person)),
        None => error(StatusCode::NOT_FOUND, 404, "The user was not found.", id),
    }
}

fn user(state: &State, person: &Person) -> Value {
    let duty: Vec<Value> = state
        .teams
        .iter()
        .filter(|team| team.members.contains(&person.id))
        .map(|team| json!({ "teamId": team.id, "dutyMode": i32::from(person.on_duty) }))
        .collect();
    json!({ "id": person.id, "name": person.name, "mail": person.mail, "dutyInfos": duty })
}

fn needs_user(signl4: &Signl4, asked: &Asked) -> Option<Answer> {
    let required = signl4.read(|state| state.knobs.user_id_required);
    let given = asked.query("userId").is_some_and(|user| signl4.read(|state| state.person(user).is_some()));
    (required && !given).then(|| {
        let details = "userId is required when an API key is used.";
        error(StatusCode::BAD_REQUEST, 400, "Required parameters could not be found.", details)
    })
}

/// `POST /api/v2/alerts/paged`: newest first.
fn paged(signl4: &Signl4, asked: &Asked) -> Answer {
    if let Some(refusal) = needs_user(signl4, asked) {
        return refusal;
    }
    let bad = |details: &str| error(StatusCode::BAD_REQUEST, 400, "The filter is invalid.", details);
    let filter: Value = if asked.body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&asked.body) {
            Ok(filter) => filter,
            Err(error) => return bad(&error.to_string()),
        }
    };
    let max = match asked.query("maxResults").map(str::parse::<usize>) {
        None => PAGE_MAX,
        Some(Ok(max)) if (1..=PAGE_MAX).contains(&max) => max,
        Some(Ok(_) | Err(_)) => return bad("maxResults must be from 1 to 100."),
    };
    let list = |name: &str| -> Option<Vec<String>> {
        let values = filter.get(name)?.as_array()?;
        Some(values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect())
    };
    let time = |name: &str| filter.get(name).and_then(Value::as_str).and_then(Timestamp::parse);
    let (teams, ids) = (list("teamIds"), list("alertIds"));
    let (since, min, max_created) = (time("modifiedSince"), time("minCreated"), time("maxCreated"));
    let external_id = filter.get("externalId").and_then(Value::as_str).filter(|id| !id.is_empty());
    let codes = filter.get("alertStatusCodes").and_then(Value::as_u64).unwrap_or(0);
    let offset = filter
        .pointer("/continuationToken/nextRowKey")
        .and_then(Value::as_str)
        .and_then(|key| key.parse::<usize>().ok())
        .unwrap_or(0);
    signl4.read(|state| {
        let any = |wanted: &Option<Vec<String>>, id: &String| {
            wanted.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted.contains(id))
        };
        let found: Vec<&Alert> = state
            .alerts
            .iter()
            .rev()
            .filter(|alert| {
                any(&teams, &alert.team)
                    && any(&ids, &alert.id)
                    && external_id.is_none_or(|id| alert.external_id.as_deref() == Some(id))
                    && since.is_none_or(|since| alert.modified_at >= since)
                    && min.is_none_or(|min| alert.created_at >= min)
                    && max_created.is_none_or(|max| alert.created_at <= max)
                    && (codes == 0 || codes & u64::from(alert.status.code()) != 0)
            })
            .collect();
        let results: Vec<Value> = found.iter().skip(offset).take(max).map(|alert| info(state, alert)).collect();
        if results.is_empty() {
            return Answer::empty(StatusCode::NO_CONTENT);
        }
        let next = offset + results.len();
        let has_more = next < found.len();
        let token = if has_more {
            json!({
                "nextPartitionKey": state.subscription, "nextRowKey": next.to_string(), "nextTableName": "alerts",
            })
        } else {
            Value::Null
        };
        Answer::ok(&json!({ "results": results, "hasMore": has_more, "continuationToken": token }))
    })
}

fn read_alert(signl4: &Signl4, asked: &Asked) -> Answer {
    if let Some(refusal) = needs_user(signl4, asked) {
        return refusal;
    }
    let id = third(asked);
    signl4.read(|state| match state.alerts.iter().find(|alert| alert.id == id) {
        Some(alert) => Answer::ok(&info(state, alert)),
        None => refuse(&ActionError::UnknownAlert(id.to_owned())),
    })
}

/// `AlertDetails`: the alert with its timeline.
fn details(signl4: &Signl4, asked: &Asked) -> Answer {
    if let Some(refusal) = needs_user(signl4, asked) {
        return refusal;
    }
    let id = third(asked);
    signl4.read(|state| match state.alerts.iter().find(|alert| alert.id == id) {
        Some(_) if state.knobs.without_details => {
            error(StatusCode::FORBIDDEN, 403, "Authorization failed.", "The key cannot read details.")
        }
        Some(alert) => {
            let mut body = info(state, alert);
            if let Value::Object(body) = &mut body {
                body.insert("parameters".to_owned(), json!([]));
                body.insert("escalations".to_owned(), json!([]));
                let entries: Vec<Value> = alert.timeline.iter().map(|entry| timeline_entry(state, entry)).collect();
                body.insert("timelineEntries".to_owned(), json!(entries));
            }
            Answer::ok(&body)
        }
        None => refuse(&ActionError::UnknownAlert(id.to_owned())),
    })
}

fn timeline_entry(state: &State, entry: &Entry) -> Value {
    let kind = if state.knobs.enums_as_text { json!(entry.kind) } else { json!(entry.kind.code()) };
    let mut value = json!({ "id": entry.id, "entrytype": kind, "timestamp": ticks(entry.at), "order": 0 });
    if let Value::Object(value) = &mut value {
        if let Some(by) = &entry.by {
            value.insert("userId".to_owned(), json!(by));
        }
        if let Some(text) = &entry.text {
            value.insert("text".to_owned(), json!(text));
        }
    }
    value
}

fn change(signl4: &Signl4, asked: &Asked, change: Change) -> Answer {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let Some(uid) = body.get("uid").and_then(Value::as_str) else {
        return error(StatusCode::BAD_REQUEST, 400, "Required information could not be found.", "uid is missing.");
    };
    let id = third(asked);
    if signl4.read(|state| state.alerts.iter().all(|alert| alert.id != id)) {
        return refuse(&ActionError::UnknownAlert(id.to_owned()));
    }
    let text = body.get("descr").and_then(Value::as_str);
    match signl4.act(id, Some(uid), change, text) {
        Ok(alert) => Answer::ok(&signl4.read(|state| info(state, &alert))),
        Err(ActionError::LifeCycle(status)) if matches!(change, Change::UndoAcknowledge | Change::UndoClose) => {
            let details = format!("The alert is {status:?}.");
            error(StatusCode::FORBIDDEN, 403, "The change cannot be undone.", &details)
        }
        Err(reason) => refuse(&reason),
    }
}

fn annotate(signl4: &Signl4, asked: &Asked) -> Answer {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(message), Some(user)) = (text("text"), text("userId")) else {
        let details = "text or userId is missing.";
        return error(StatusCode::BAD_REQUEST, 400, "Required information could not be found.", details);
    };
    let id = third(asked);
    if signl4.read(|state| state.alerts.iter().all(|alert| alert.id != id)) {
        return refuse(&ActionError::UnknownAlert(id.to_owned()));
    }
    match signl4.annotate(id, user, message) {
        Ok(annotation) => Answer::ok(&json!({
            "id": annotation.id,
            "teamId": signl4.alert(id).map(|alert| alert.team),
            "userId": user,
            "text": annotation.text,
            "type": 1,
            "timestamp": ticks(annotation.at),
        })),
        Err(reason) => refuse(&reason),
    }
}

/// `POST /api/v2/events/{team id or webhook secret}`
fn create_event(signl4: &Signl4, asked: &Asked) -> Answer {
    let source = third(asked);
    let body = match inbound::read_body(asked) {
        Ok(body) => body,
        Err(details) => return error(StatusCode::BAD_REQUEST, 3000, "Error raising event.", &details),
    };
    let kept = signl4.shared.change(|state| {
        let team = state.teams.iter().find(|team| team.id == source || team.secret == source)?.id.clone();
        Some(inbound::keep(state, team, body, asked.at))
    });
    let Some(id) = kept else {
        let details = format!("An event source with ID {source} was not found.");
        return error(StatusCode::NOT_FOUND, 3004, "Error raising event.", &details);
    };
    inbound::process_later(signl4, id.clone());
    let mut answer = overview(signl4, &id);
    answer.status = StatusCode::CREATED;
    answer
}

fn overview(signl4: &Signl4, id: &str) -> Answer {
    signl4.read(|state| match state.events.iter().find(|event| event.id == id) {
        Some(event) => Answer::ok(&overview_event(state, event)),
        None => error(StatusCode::NOT_FOUND, 404, "The event was not found.", id),
    })
}

fn overview_event(state: &State, event: &Event) -> Value {
    let alert = event.alert.as_ref().and_then(|id| state.alerts.iter().find(|alert| alert.id == *id));
    json!({
        "id": event.id,
        "alertId": event.alert,
        "eventStatus": event.status.code(),
        "acknowledgedAlerts": event.acknowledged_alerts,
        "closedAlerts": event.closed_alerts,
        "teamId": event.team,
        "categoryId": null,
        "severity": 0,
        "title": alert.map(|alert| alert.title.as_str()),
        "text": alert.map(|alert| alert.text.as_str()),
        "creationTime": ticks(event.created_at),
        "lastModified": ticks(event.modified_at),
        "eventSourceId": event.team,
        "eventSourceType": 2,
        "eventSourceTeamId": event.team,
    })
}

/// `AlertInfo`
fn info(state: &State, alert: &Alert) -> Value {
    json!({
        "id": alert.id,
        "eventId": alert.event_id,
        "externalId": alert.external_id,
        "teamId": alert.team,
        "subscriptionId": state.subscription,
        "categoryId": null,
        "title": alert.title,
        "text": alert.text,
        "severity": 0,
        "flags": if alert.annotations.is_empty() { 0 } else { 2 },
        "workflowType": match alert.scenario {
            Scenario::SingleAck => 2,
            Scenario::MultiAck => 4,
            Scenario::Emergency => 5,
        },
        "requiredAcknowledgements": alert.required_acknowledgements,
        "lastModified": ticks(alert.modified_at),
        "status": {
            "statusCode": if state.knobs.enums_as_text { json!(alert.status.code().to_string()) } else { json!(alert.status.code()) },
            "alertDeliveryStatus": { "alertId": alert.id, "statusCode": if alert.nobody_on_duty { 30 } else { 6 } },
        },
        "history": {
            "created": ticks(alert.created_at),
            "acknowledgedAt": alert.acknowledged_at.map(ticks),
            "acknowledgements": alert.acknowledged_by,
            "closedAt": alert.closed_at.map(ticks),
            "closedBy": match (&alert.closed_by, alert.status) {
                (None, AlertStatus::Closed) => Some("00000000-0000-0000-0000-000000000000"),
                (closed_by, _) => closed_by.as_deref(),
            },
        },
    })
}

fn refuse(reason: &ActionError) -> Answer {
    let details = reason.to_string();
    match reason {
        ActionError::UnknownAlert(_) => error(StatusCode::NOT_FOUND, 404, "The alert was not found.", &details),
        ActionError::UnknownPerson(_) | ActionError::UnknownTeam(_) => {
            error(StatusCode::FORBIDDEN, 403, "Authorization failed.", &details)
        }
        ActionError::LifeCycle(_) => {
            error(StatusCode::CONFLICT, 409, "This is against the defined alert lifecycle.", &details)
        }
    }
}
