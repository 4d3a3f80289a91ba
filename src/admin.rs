//! The admin listener: health, metrics, and what an operator asks and changes. Never published.
//!
//! Reads are open on loopback; on any other address, and for every write, the admin token is asked for in a header.

mod backup;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::Bridge;
use crate::caller::Presented;
use crate::configured::Configured;
use crate::domain::delivery::Destination;
use crate::domain::hold::Hold;
use crate::domain::id::{DeliveryId, EventId, Side, TeamName};
use crate::domain::timestamp::Timestamp;
use crate::paces::PaceStatus;
use crate::problem::Problem;
use crate::store::{Change, Changed, DeliveryRow, Health, delivery_states};

/// A state that takes longer than this to read is no state to be ready in.
const PATIENCE: Duration = Duration::from_secs(5);
const ROWS: usize = 200;

pub(crate) fn router(bridge: Arc<Bridge>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/deliveries", get(deliveries))
        .route("/api/deliveries/{id}/replay", post(replay))
        .route("/api/deliveries/{id}/drop", post(drop_delivery))
        .route("/api/events", get(events))
        .route("/api/events/{id}", get(event))
        .route("/api/pages", get(pages))
        .route("/api/callers", get(callers))
        .route("/api/audit", get(audit))
        .route("/api/backup", post(backup::back_up))
        .route("/api/teams/{team}/pause", post(pause))
        .route("/api/teams/{team}/resume", post(resume))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::MethodNotAllowed })
        .with_state(bridge)
}

async fn index() -> &'static str {
    "signl4-azure-bridge\n\n\
     GET  /healthz                     the process lives\n\
     GET  /readyz                      200 exactly when an event can be stored; how the rest stands\n\
     GET  /metrics                     Prometheus\n\
     GET  /api/deliveries?state=dead   deliveries, newest first\n\
     GET  /api/events                  events and their verdicts, newest first\n\
     GET  /api/events/{id}             one event with the body that was received\n\
     GET  /api/pages                   pages that are not ended\n\
     GET  /api/callers                 when each connection and team called last\n\
     GET  /api/audit                   rows that break a promise: none, as an empty list\n\
     POST /api/deliveries/{id}/replay  send a dead delivery again; ?force=true although resolved  (admin token)\n\
     POST /api/deliveries/{id}/drop    give a delivery up                  (admin token)\n\
     POST /api/backup?file=/abs/FILE   a whole copy of the store, while it runs        (admin token)\n\
     POST /api/teams/{team}/pause?for=1h   hold Raises, 7d at most; Resolved passes    (admin token)\n\
     POST /api/teams/{team}/resume                                         (admin token)\n\n\
     The admin token goes in the header `Authorization: Bearer …`.\n"
}

#[derive(Serialize)]
struct Standing {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(flatten)]
    health: Option<Health>,
    oldest_due_age_seconds: u64,
    heartbeat: String,
    paces: Vec<PaceStatus>,
    configuration: Configured,
    credentials: Vec<crate::tokens::Status>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    polls: Vec<crate::reconcile::PollStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secure_webhooks: Vec<crate::azure::authenticate::secure_webhook::KeysStatus>,
}

/// 200 exactly when an event can be stored: a row is written and committed for it. Nothing else makes it 503.
async fn readyz(State(bridge): State<Arc<Bridge>>) -> Response {
    let problem = if bridge.stopping.load(Ordering::SeqCst) {
        Some("stopping".to_owned())
    } else {
        match tokio::time::timeout(PATIENCE, bridge.store.change(Change::Pulse)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(bridge.store.trouble().map_or_else(|| error.to_string(), |trouble| trouble.text)),
            Err(_) => {
                let text = || "the store did not answer in time".to_owned();
                Some(bridge.store.trouble().map_or_else(text, |trouble| trouble.text))
            }
        }
    };
    let health = bridge.store.health().await.ok();
    let now = bridge.clock.now();
    let age = health.as_ref().and_then(|health| health.oldest_due).map_or(0, |due| now.since(due).as_secs());
    let status = if problem.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = Standing {
        ready: problem.is_none(),
        problem,
        health,
        oldest_due_age_seconds: age,
        heartbeat: bridge.heartbeat.standing(bridge.config.load().alarm.heartbeat.is_some()),
        paces: bridge.paces.status(now),
        configuration: Configured::clone(&bridge.configured.load()),
        credentials: bridge.tokens.status(),
        polls: bridge.reconciler.status(),
        secure_webhooks: bridge.secure_webhooks.load().status(),
    };
    said(status, &body)
}

/// `OpenMetrics` for those who ask for it, else the older text format, which reads the same lines.
async fn metrics(State(bridge): State<Arc<Bridge>>, headers: HeaderMap) -> Response {
    let accepts = |kind: &str| {
        headers.get_all(header::ACCEPT).iter().any(|value| value.to_str().is_ok_and(|value| value.contains(kind)))
    };
    let kind = if accepts("application/openmetrics-text") {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let health = bridge.store.health().await.ok();
    bridge.telemetry.configured(bridge.configured.load().well);
    bridge.telemetry.store(&bridge.store.standing(), bridge.bodies.bytes());
    bridge.telemetry.poll_ages(&bridge.reconciler.status(), bridge.clock.now());
    bridge.telemetry.paces(&bridge.paces.status(bridge.clock.now()), &bridge.paces.destinations());
    let text = bridge.telemetry.render(health.as_ref(), &bridge.tokens.status(), bridge.clock.now());
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// JSON that ends its line, for those who read it in a terminal.
fn said(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => {
            tracing::error!(error = %error, "an answer could not be written as JSON");
            Problem::Unavailable.into_response()
        }
    }
}

/// The query of a request, or why it is none that is understood.
type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>, takes: &'static str) -> Result<T, Problem> {
    query.map(|Query(query)| query).map_err(|_| Problem::BadRequest(takes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    state: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Newest {
    limit: Option<usize>,
}

impl Newest {
    const TAKES: &str = "the query takes `limit`, a whole number, and nothing else";
}

async fn deliveries(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    query: Asked<Listing>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let listing = asked(query, "the query takes `state` and `limit`, a whole number, and nothing else")?;
    let state =
        match listing.state.as_deref() {
            None | Some("" | "all") => None,
            Some(name) => Some(delivery_states().find(|known| *known == name).ok_or(Problem::BadRequest(
                "state is one of due, leased, done, dead, superseded, confirmed, dropped",
            ))?),
        };
    let limit = listing.limit.unwrap_or(ROWS);
    let mut rows = bridge.store.deliveries(state, limit).await.map_err(|_| Problem::Unavailable)?;
    let holds = bridge.store.health().await.map_err(|_| Problem::Unavailable)?.holds;
    let now = bridge.clock.now();
    for row in rows.iter_mut().filter(|row| row.state == "due") {
        let hold = holds.iter().find(|hold| hold.destination == row.destination);
        row.waits = hold.and_then(|hold| waits(row, hold, now)).or_else(|| {
            let is_paced = row.due <= now && bridge.paces.is_waiting(&row.destination);
            is_paced.then(|| "its account has been sent as much as it takes for now".to_owned())
        });
    }
    Ok(said(StatusCode::OK, &rows))
}

/// What of a destination's standing holds this delivery back.
fn waits(row: &DeliveryRow, hold: &Hold, now: Timestamp) -> Option<String> {
    let paused = hold.paused_until.filter(|until| *until > now && row.kind == "raise");
    let next = hold.waits_until.filter(|until| *until > now);
    match (paused, hold.denied_since, hold.open_since, next) {
        (Some(until), _, _, _) => Some(format!("the team is paused until {until}")),
        (None, Some(since), _, _) => Some(format!("its destination refuses us since {since}")),
        (None, None, Some(since), Some(next)) => {
            Some(format!("its destination is out of reach since {since} and is tried again at {next}"))
        }
        (None, None, Some(since), None) => Some(format!("its destination is out of reach since {since}")),
        (None, None, None, Some(until)) => Some(format!("its destination asked us to wait until {until}")),
        (None, None, None, None) => None,
    }
}

async fn events(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    query: Asked<Newest>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let limit = asked(query, Newest::TAKES)?.limit.unwrap_or(ROWS);
    let rows = bridge.store.events(limit).await.map_err(|_| Problem::Unavailable)?;
    Ok(said(StatusCode::OK, &rows))
}

async fn event(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let id = EventId::parse(&id).ok_or(Problem::NotFound)?;
    let event = bridge.store.event(id).await.map_err(|_| Problem::Unavailable)?.ok_or(Problem::NotFound)?;
    Ok(said(StatusCode::OK, &event))
}

async fn pages(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    query: Asked<Newest>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let limit = asked(query, Newest::TAKES)?.limit.unwrap_or(ROWS);
    let rows = bridge.store.open_pages(limit).await.map_err(|_| Problem::Unavailable)?;
    Ok(said(StatusCode::OK, &rows))
}

async fn callers(State(bridge): State<Arc<Bridge>>, headers: HeaderMap) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let config = bridge.config.load_full();
    let connections = config.connections.keys().map(|name| (Side::Azure, name.to_string()));
    let teams = config.teams.keys().map(|name| (Side::Signl4, name.to_string()));
    let rows = bridge.store.callers(connections.chain(teams).collect()).await.map_err(|_| Problem::Unavailable)?;
    Ok(said(StatusCode::OK, &rows))
}

async fn audit(State(bridge): State<Arc<Bridge>>, headers: HeaderMap) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let found = bridge.store.audit(bridge.clock.now()).await.map_err(|_| Problem::Unavailable)?;
    Ok(said(StatusCode::OK, &found))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replay {
    force: Option<bool>,
}

async fn replay(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    query: Asked<Replay>,
) -> Result<Response, Problem> {
    may_write(&bridge, &headers)?;
    let how = asked(query, "the query takes `force`, true or false, and nothing else")?;
    let id = DeliveryId::parse(&id).ok_or(Problem::NotFound)?;
    let change = Change::Replay { id, force: how.force.unwrap_or(false) };
    changed(&bridge, change, "only a dead delivery can be replayed").await
}

async fn drop_delivery(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    may_write(&bridge, &headers)?;
    let id = DeliveryId::parse(&id).ok_or(Problem::NotFound)?;
    changed(&bridge, Change::Drop(id), "only a dead or due delivery can be dropped").await
}

/// A longer pause is a mistake or a team that should not be configured.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_hours(7 * 24);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Span {
    r#for: Option<String>,
}

async fn pause(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(team): Path<String>,
    query: Asked<Span>,
) -> Result<Response, Problem> {
    may_write(&bridge, &headers)?;
    let destination = known_team(&bridge, &team)?;
    let takes = "say for how long: ?for=1h, 7d at most";
    let span = asked(query, takes)?.r#for.as_deref().and_then(crate::config::parse_duration);
    let span = span.filter(|span| *span <= LONGEST_PAUSE).ok_or(Problem::BadRequest(takes))?;
    let until = bridge.clock.now().plus(span);
    tracing::warn!(destination = %destination, until = %until, "an operator paused a team: its pages wait");
    changed(&bridge, Change::Pause { destination, until }, "").await
}

async fn resume(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(team): Path<String>,
) -> Result<Response, Problem> {
    may_write(&bridge, &headers)?;
    let destination = known_team(&bridge, &team)?;
    tracing::warn!(destination = %destination, "an operator resumed a team");
    changed(&bridge, Change::Resume { destination }, "").await
}

fn known_team(bridge: &Bridge, team: &str) -> Result<Destination, Problem> {
    let team = TeamName::parse(team).map_err(|_| Problem::NotFound)?;
    let known = bridge.config.load().teams.contains_key(&team);
    if known { Ok(Destination::team(&team)) } else { Err(Problem::NotFound) }
}

async fn changed(bridge: &Bridge, change: Change, refusal: &'static str) -> Result<Response, Problem> {
    let until: Option<Timestamp> = match &change {
        Change::Pause { until, .. } => Some(*until),
        Change::Replay { .. } | Change::Drop(_) | Change::Resume { .. } | Change::ProbeAll | Change::Pulse => None,
    };
    match bridge.store.change(change).await.map_err(|_| Problem::Unavailable)? {
        Changed::Done => {
            let body = json!({ "done": true, "until": until.map(|until| until.to_string()) });
            Ok(said(StatusCode::OK, &body))
        }
        Changed::NotFound => Err(Problem::NotFound),
        Changed::Not { state: "resolved" } => Err(Problem::Conflict(
            "Azure has resolved this alert meanwhile: `--force` (in the API `?force=true`) pages all the same",
        )),
        Changed::Not { .. } => Err(Problem::Conflict(refusal)),
    }
}

fn may_read(bridge: &Bridge, headers: &HeaderMap) -> Result<(), Problem> {
    if bridge.admin_address.ip().is_loopback() { Ok(()) } else { may_write(bridge, headers) }
}

fn may_write(bridge: &Bridge, headers: &HeaderMap) -> Result<(), Problem> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let presented = Presented::new(bearer, &HeaderMap::new());
    presented
        .verify(Some(((), std::slice::from_ref(&**bridge.admin_token.load()))))
        .map(|_| ())
        .ok_or(Problem::Unauthorized)
}
