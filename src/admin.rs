//! The admin listener: health, metrics, and what an operator asks and changes. Never published.
//!
//! Reads are open on loopback; on any other address, and for every write, the admin token is asked for in a header.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::Bridge;
use crate::caller::Presented;
use crate::domain::delivery::Destination;
use crate::domain::id::{DeliveryId, TeamName};
use crate::domain::timestamp::Timestamp;
use crate::problem::Problem;
use crate::store::{Change, Changed, Health, delivery_states};

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
        .route("/api/pages", get(pages))
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
     GET  /api/pages                   pages that are not ended\n\
     POST /api/deliveries/{id}/replay  send a dead delivery again; ?force=true although resolved  (admin token)\n\
     POST /api/deliveries/{id}/drop    give a delivery up                  (admin token)\n\
     POST /api/teams/{team}/pause?for=1h   hold Raises; Resolved passes    (admin token)\n\
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
    credentials: Vec<crate::tokens::Status>,
}

/// 200 exactly when an event can be stored: a row is written and committed for it. Nothing else makes it 503.
async fn readyz(State(bridge): State<Arc<Bridge>>) -> Response {
    let problem = if bridge.stopping.load(Ordering::SeqCst) {
        Some("stopping".to_owned())
    } else {
        match tokio::time::timeout(PATIENCE, bridge.store.change(Change::Pulse)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the store did not answer in time".to_owned()),
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
        credentials: bridge.tokens.status(),
    };
    (status, Json(body)).into_response()
}

async fn metrics(State(bridge): State<Arc<Bridge>>) -> Response {
    let health = bridge.store.health().await.ok();
    let text = bridge.telemetry.render(health.as_ref(), &bridge.tokens.status(), bridge.clock.now());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

#[derive(Deserialize)]
struct Listing {
    state: Option<String>,
    limit: Option<usize>,
}

async fn deliveries(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Query(listing): Query<Listing>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let state =
        match listing.state.as_deref() {
            None | Some("" | "all") => None,
            Some(name) => Some(delivery_states().find(|known| *known == name).ok_or(Problem::BadRequest(
                "state is one of due, leased, done, dead, superseded, confirmed, dropped",
            ))?),
        };
    let rows = bridge.store.deliveries(state, listing.limit.unwrap_or(ROWS)).await.map_err(|_| Problem::Unavailable)?;
    Ok(Json(rows).into_response())
}

async fn events(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Query(listing): Query<Listing>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let rows = bridge.store.events(listing.limit.unwrap_or(ROWS)).await.map_err(|_| Problem::Unavailable)?;
    Ok(Json(rows).into_response())
}

async fn pages(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Query(listing): Query<Listing>,
) -> Result<Response, Problem> {
    may_read(&bridge, &headers)?;
    let rows = bridge.store.open_pages(listing.limit.unwrap_or(ROWS)).await.map_err(|_| Problem::Unavailable)?;
    Ok(Json(rows).into_response())
}

#[derive(Deserialize)]
struct Replay {
    force: Option<bool>,
}

async fn replay(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Query(how): Query<Replay>,
) -> Result<Response, Problem> {
    may_write(&bridge, &headers)?;
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

#[derive(Deserialize)]
struct Span {
    r#for: Option<String>,
}

async fn pause(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    Path(team): Path<String>,
    Query(span): Query<Span>,
) -> Result<Response, Problem> {
    may_write(&bridge, &headers)?;
    let destination = known_team(&bridge, &team)?;
    let span = span.r#for.as_deref().and_then(crate::config::parse_duration);
    let until = bridge.clock.now().plus(span.ok_or(Problem::BadRequest("say for how long: ?for=1h"))?);
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
            Ok(Json(json!({ "done": true, "until": until.map(|until| until.to_string()) })).into_response())
        }
        Changed::NotFound => Err(Problem::NotFound),
        Changed::Not { state: "resolved" } => {
            Err(Problem::Conflict("Azure has resolved this alert meanwhile; page all the same with force"))
        }
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
