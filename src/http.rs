//! The webhook listener: two endpoints, each with and without a token in its path, and nothing else.
//!
//! The order is credential, size, time, body, store. Nobody without a credential has a body read. Our own trouble is
//! always 503, never 500 or 502: Azure tries again only on 408, 429, 503, 504 and connection failures.

mod bodies;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;

use self::bodies::Room;
use crate::app::Bridge;
use crate::caller::floods::Pace;
use crate::caller::{Presented, Refusal, Source, Verified};
use crate::config::{Config, Connection};
use crate::domain::id::ConnectionName;
use crate::problem::Problem;
use crate::store::Receipt;
use crate::{azure, intake, signl4};

pub(crate) use self::bodies::Bodies;

/// Azure's own cap is 256 KB.
const BODY_BYTES: usize = 1024 * 1024;
/// A body beyond the limit is read on up to here before it is refused.
const DISCARDED_BYTES: usize = 4 * BODY_BYTES;
/// Of a caller's headers these are kept; none is a credential.
const KEPT_HEADERS: [&str; 5] =
    ["content-type", "user-agent", "x-ms-request-id", "x-correlationcontext", "x-request-id"];

pub(crate) fn router(bridge: Arc<Bridge>) -> Router {
    Router::new()
        .route("/azure/{connection}", post(azure_by_header))
        .route("/azure/{connection}/{token}", post(azure_by_path))
        .route("/signl4/{team}", post(signl4_by_header))
        .route("/signl4/{team}/{token}", post(signl4_by_path))
        .fallback(no_endpoint)
        .method_not_allowed_fallback(no_method)
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a fault in the bridge while answering a request; the caller is asked to come again");
            Problem::Unavailable.into_response()
        }))
        .with_state(bridge)
}

async fn no_endpoint(State(bridge): State<Arc<Bridge>>, request: Request) -> Problem {
    // The path is not logged: what is misspelt may still hold a token.
    let first = request.uri().path().split('/').nth(1).unwrap_or("");
    tracing::warn!(
        begins_with = shown(first),
        "no such endpoint: it is /azure/CONNECTION or /signl4/TEAM, without a slash at the end"
    );
    bridge.telemetry.request("other", Problem::NotFound.status().as_u16());
    Problem::NotFound
}

async fn no_method(State(bridge): State<Arc<Bridge>>, request: Request) -> Problem {
    tracing::warn!(method = %request.method(), "a webhook is a POST");
    bridge.telemetry.request("other", Problem::MethodNotAllowed.status().as_u16());
    Problem::MethodNotAllowed
}

/// What the path says; one that is no UTF-8 names nobody, and is refused as every other stranger is.
fn named<T: Default>(path: Result<Path<T>, PathRejection>) -> T {
    path.map(|Path(said)| said).unwrap_or_default()
}

async fn azure_by_path(
    State(bridge): State<Arc<Bridge>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (connection, token) = named(path);
    let answer = azure_webhook(&bridge, &connection, Some(&token), request).await;
    respond(&bridge, "azure", answer)
}

async fn azure_by_header(
    State(bridge): State<Arc<Bridge>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let connection = named(path);
    let answer = azure_webhook(&bridge, &connection, None, request).await;
    respond(&bridge, "azure", answer)
}

async fn signl4_by_path(
    State(bridge): State<Arc<Bridge>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let (team, token) = named(path);
    let answer = signl4_webhook(&bridge, &team, Some(&token), request).await;
    respond(&bridge, "signl4", answer)
}

async fn signl4_by_header(
    State(bridge): State<Arc<Bridge>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let team = named(path);
    let answer = signl4_webhook(&bridge, &team, None, request).await;
    respond(&bridge, "signl4", answer)
}

async fn azure_webhook(
    bridge: &Bridge,
    connection: &str,
    token: Option<&str>,
    request: Request,
) -> Result<Receipt, Problem> {
    let config = bridge.config.load_full();
    let entrances = bridge.secure_webhooks.load_full();
    let source = source(&request, &config);
    let presented = Presented::new(token, request.headers());
    let budget = bridge.floods.budget(source, bridge.clock.now());
    let caller =
        azure::authenticate::authenticate(&config.connections, &entrances, connection, &presented, source, &budget)
            .await
            .map_err(|refusal| {
                if matches!(refusal, Refusal::Unavailable(_)) {
                    bridge.reconciler.outages.unavailable(bridge.clock.now());
                }
                refused(bridge, "azure", connection, source, &refusal)
            })?;
    bridge.runs.let_in("azure", connection);
    let taken = take_azure(bridge, &caller, connection, request).await;
    // Only who was let in may say that Azure was sent away: a stranger must not make the polls page more than they should.
    if taken == Err(Problem::Unavailable) {
        bridge.reconciler.outages.unavailable(bridge.clock.now());
    }
    taken
}

async fn take_azure(
    bridge: &Bridge,
    caller: &Verified<(&ConnectionName, &Connection)>,
    connection: &str,
    request: Request,
) -> Result<Receipt, Problem> {
    let mut room = bridge.bodies.room();
    let (headers, body) = read(bridge, request, &format!("/azure/{connection}"), &mut room).await?;
    let incoming = azure::receive::receive(caller, body, headers, bridge.parse_azure);
    intake::take(&bridge.store, &bridge.telemetry, incoming).await
}

async fn signl4_webhook(
    bridge: &Bridge,
    team: &str,
    token: Option<&str>,
    request: Request,
) -> Result<Receipt, Problem> {
    let config = bridge.config.load_full();
    let source = source(&request, &config);
    let presented = Presented::new(token, request.headers());
    let caller = signl4::authenticate::authenticate(&config.teams, team, &presented, source)
        .map_err(|refusal| refused(bridge, "signl4", team, source, &refusal))?;
    bridge.runs.let_in("signl4", team);
    let mut room = bridge.bodies.room();
    let (headers, body) = read(bridge, request, &format!("/signl4/{team}"), &mut room).await?;
    let incoming = signl4::receive::receive(&caller, body, headers, bridge.clock.now(), bridge.parse_signl4);
    intake::take(&bridge.store, &bridge.telemetry, incoming).await
}

fn source(request: &Request, config: &Config) -> Source {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    // Every connection has a peer; without one it would be nobody's.
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip());
    Source::new(peer, request.headers(), &config.server.trusted_proxies)
}

/// The log says what was wrong; the caller does not learn it.
fn refused(bridge: &Bridge, side: &'static str, name: &str, address: Source, refusal: &Refusal) -> Problem {
    let (source, why) = (shown(name), refusal.as_str());
    let now = bridge.clock.now();
    let pace = bridge.floods.refused(address, now);
    bridge.runs.refused(side, name, refusal, now);
    if matches!(refusal, Refusal::Unavailable(_) | Refusal::Busy) {
        if pace != Pace::Floods {
            tracing::error!(side, source, %address, why, "a caller could not be judged; it is asked to come again");
        }
        return Problem::Unavailable;
    }
    match pace {
        Pace::Ordinary => tracing::warn!(side, source, %address, why, "refused a webhook"),
        Pace::BeginsToFlood => {
            tracing::warn!(
                side, source, %address, why,
                "refused a webhook, one of many from this address: more of them are only counted for a minute"
            );
        }
        Pace::Floods => {}
    }
    Problem::Unauthorized
}

/// A name that a stranger sent, safe for a log: it may be a token in the wrong place.
fn shown(name: &str) -> &str {
    let is_name = crate::domain::id::ConnectionName::parse(name).is_ok() && name.len() <= 20;
    if is_name { name } else { "(not a name)" }
}

async fn read(
    bridge: &Bridge,
    request: Request,
    endpoint: &str,
    room: &mut Room<'_>,
) -> Result<(BTreeMap<String, String>, Bytes), Problem> {
    if bridge.stopping.load(Ordering::SeqCst) {
        return Err(Problem::Unavailable);
    }
    let headers = kept(request.headers());
    let body = tokio::time::timeout(bridge.body_time, gather(request.into_body(), room))
        .await
        .unwrap_or(Err(Problem::BodyTimeout));
    if body == Err(Problem::BodyTooLarge) {
        tracing::error!(endpoint, "a webhook body over 1 MiB was refused and is lost: its sender must send less");
        bridge.alarms.too_large(endpoint).await;
    }
    Ok((headers, body?))
}

/// Reads a body to its end. One that is too large is read on and discarded for a while, because a proxy that is still
/// sending when the answer comes and the connection closes tells its caller something else than 413.
async fn gather(mut body: Body, room: &mut Room<'_>) -> Result<Bytes, Problem> {
    let mut gathered = BytesMut::new();
    let mut read: usize = 0;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| Problem::BodyBroken)?.into_data() else { continue };
        read = read.saturating_add(data.len());
        if read > DISCARDED_BYTES {
            break;
        }
        if read <= BODY_BYTES {
            if !room.take(data.len()) {
                return Err(Problem::Unavailable);
            }
            gathered.extend_from_slice(&data);
        } else {
            gathered.clear();
        }
    }
    if read > BODY_BYTES { Err(Problem::BodyTooLarge) } else { Ok(gathered.freeze()) }
}

fn kept(headers: &HeaderMap) -> BTreeMap<String, String> {
    KEPT_HEADERS
        .iter()
        .filter_map(|name| {
            let value: String = headers.get(*name)?.to_str().ok()?.chars().take(200).collect();
            Some(((*name).to_owned(), value))
        })
        .collect()
}

fn respond(bridge: &Bridge, endpoint: &'static str, answer: Result<Receipt, Problem>) -> Response {
    let response = match answer {
        Ok(receipt) => {
            let body = json!({ "event": receipt.event, "seen_before": receipt.seen_before });
            (StatusCode::OK, Json(body)).into_response()
        }
        Err(problem) => problem.into_response(),
    };
    bridge.telemetry.request(endpoint, response.status().as_u16());
    response
}
