//! The HTTP front of a simulator: listens, applies the fault plan, logs, answers.
//!
//! A request that takes effect does so in a task of its own: a caller that gives up does not undo it. Connections can be
//! cut at will because the listener hands out its own stream type.

mod listener;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use self::listener::{Cut, Line, Listener};
use super::calls::{Answer, Answered, Asked, Call, Operation, pairs};
use super::faults::{Action, Door, Fault, Faults, RetryAfter};
use crate::clock::Clock;
use crate::domain::timestamp::Timestamp;

/// Larger than anything that either service takes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a simulator does with requests.
pub(super) trait Service: Send + Sync + 'static {
    fn operation(&self, asked: &Asked) -> Operation;
    /// The service itself.
    fn answer(&self, operation: Operation, asked: &Asked) -> impl Future<Output = Answer> + Send;
    /// The simulator's own endpoints below `/_simulator`; they are neither logged nor struck by faults.
    fn control(&self, asked: &Asked) -> impl Future<Output = Answer> + Send;
    /// The service's error body for a status that a fault demands.
    fn error(&self, operation: Operation, status: StatusCode) -> Answer;
    fn log(&self, call: Call);
}

struct Inner<S> {
    service: S,
    faults: Faults,
    clock: Clock,
    stop: CancellationToken,
}

/// Starts listening; returns the address once connections are accepted. Ends when `stop` is cancelled.
pub(super) async fn start<S: Service>(
    listen: SocketAddr,
    clock: Clock,
    faults: Faults,
    stop: CancellationToken,
    make: impl FnOnce(SocketAddr) -> S,
) -> io::Result<SocketAddr> {
    let listener = Listener::bind(listen, faults.clone(), stop.clone()).await?;
    let address = listener.address();
    let inner = Arc::new(Inner { service: make(address), faults, clock, stop: stop.clone() });
    let router = Router::new().fallback(handle::<S>).with_state(inner);
    let serve = axum::serve(listener, router.into_make_service_with_connect_info::<Line>());
    tokio::spawn(async move {
        tokio::select! {
            ended = serve.into_future() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the simulator stopped serving");
                }
            }
            () = stop.cancelled() => {}
        }
    });
    Ok(address)
}

async fn handle<S: Service>(
    State(inner): State<Arc<Inner<S>>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return respond(Answer::text(StatusCode::PAYLOAD_TOO_LARGE, "too large"));
    };
    let asked = Asked {
        at: inner.clock.now(),
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: pairs(parts.uri.query().unwrap_or_default()),
        path_and_query: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: parts.headers,
        body,
    };
    if asked.segments().first() == Some(&"_simulator") {
        return respond(inner.service.control(&asked).await);
    }
    let operation = inner.service.operation(&asked);
    if inner.faults.door() == Door::Unavailable {
        let answer = inner.service.error(operation, StatusCode::SERVICE_UNAVAILABLE);
        inner.service.log(call(operation, &asked, &answer, Answered::Status(503), false));
        return respond(answer);
    }
    let fault = inner.faults.strike(operation, &asked).unwrap_or_default();
    if fault.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    if fault.action == Action::Hang {
        inner.service.log(call(operation, &asked, &Answer::empty(StatusCode::OK), Answered::Hung, false));
        inner.stop.cancelled().await;
        line.cut(Cut::Now);
        return respond(Answer::empty(StatusCode::SERVICE_UNAVAILABLE));
    }
    let effect = tokio::spawn({
        let inner = Arc::clone(&inner);
        let line = line.clone();
        async move { take_effect(&inner, operation, &asked, &fault, &line).await }
    });
    let (answer, late) = effect.await.unwrap_or_else(|error| {
        (Answer::text(StatusCode::INTERNAL_SERVER_ERROR, &format!("the simulator failed: {error}")), 0)
    });
    if late > 0 {
        tokio::time::sleep(Duration::from_millis(late)).await;
    }
    respond(answer)
}

/// Lets the request take effect as far as the fault lets it, and logs it; returns the answer and how late it is in ms.
async fn take_effect<S: Service>(
    inner: &Inner<S>,
    operation: Operation,
    asked: &Asked,
    fault: &Fault,
    line: &Line,
) -> (Answer, u64) {
    let service = &inner.service;
    let unavailable = || Answer::empty(StatusCode::SERVICE_UNAVAILABLE);
    let (answer, answered, processed) = match &fault.action {
        Action::Answer => normal(service.answer(operation, asked).await),
        Action::Status { status, retry_after } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = service.error(operation, status);
            if let Some(retry_after) = retry_after {
                answer.headers.push(("retry-after", retry_after_value(retry_after, &inner.clock)));
            }
            (answer, Answered::Status(status.as_u16()), false)
        }
        Action::Body { status, body } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (Answer::json(status, body), Answered::Status(status.as_u16()), false)
        }
        Action::Html { status } => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY);
            let page = format!(
                "<!DOCTYPE html>\n<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
            );
            let mut answer = Answer::text(status, &page);
            answer.headers = vec![("content-type", "text/html".to_owned())];
            (answer, Answered::Status(status.as_u16()), false)
        }
        Action::CutUnprocessed | Action::Hang => {
            line.cut(Cut::Now);
            (unavailable(), Answered::Cut, false)
        }
        Action::CutProcessed => {
            let answer = service.answer(operation, asked).await;
            line.cut(Cut::Now);
            (answer, Answered::Cut, true)
        }
        Action::CutMidBody => {
            let answer = service.answer(operation, asked).await;
            line.cut(Cut::MidBody);
            let status = answer.status.as_u16();
            (answer, Answered::CutMidBody(status), true)
        }
        Action::Garbage => {
            let mut answer = service.answer(operation, asked).await;
            answer.body = Bytes::from_static(b"{\"value\": [\xff\xfe, }");
            normal(answer)
        }
        Action::Huge { bytes } => {
            let mut answer = service.answer(operation, asked).await;
            answer.body = Bytes::from(vec![b' '; *bytes]);
            normal(answer)
        }
    };
    service.log(call(operation, asked, &answer, answered, processed));
    // By the simulator's clock, which a test may set otherwise than ours.
    (answer.with("date", http_date(inner.clock.now())), fault.answer_delay_ms)
}

fn normal(answer: Answer) -> (Answer, Answered, bool) {
    let status = answer.status.as_u16();
    (answer, Answered::Status(status), true)
}

fn call(operation: Operation, asked: &Asked, answer: &Answer, answered: Answered, processed: bool) -> Call {
    Call {
        at: asked.at,
        operation,
        method: asked.method.to_string(),
        path: asked.path_and_query.clone(),
        headers: asked.headers.clone(),
        body: asked.body.clone(),
        answered,
        answer: if answered == Answered::Cut || answered == Answered::Hung {
            Bytes::new()
        } else {
            answer.body.clone()
        },
        processed,
    }
}

fn respond(answer: Answer) -> Response {
    let mut headers = HeaderMap::new();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            let name = HeaderName::from_static(name);
            if name == RETRY_AFTER {
                headers.remove(&name);
            }
            headers.append(name, value);
        }
    }
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    response
}

/// RFC 9110, section 5.6.7.
fn http_date(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .map_or_else(|_| String::new(), |at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

/// The value of `Retry-After`; a date is an IMF-fixdate as in RFC 9110, section 5.6.7.
fn retry_after_value(retry_after: &RetryAfter, clock: &Clock) -> String {
    match retry_after {
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(seconds) => http_date(clock.now().plus(Duration::from_secs(*seconds))),
        RetryAfter::Raw(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests;
