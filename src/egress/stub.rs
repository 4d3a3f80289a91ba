//! A tiny HTTP server for the tests of what goes out: it keeps what it is sent and answers by a closure.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, Once};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Gets the requests so far, the newest last.
type Script = dyn Fn(&[Seen]) -> Response + Send + Sync;

#[derive(Clone)]
struct Shared {
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<Script>,
}

/// A running server; it ends with the test's runtime.
pub(crate) struct Stub {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Stub {
    pub(crate) async fn start(script: impl Fn(&[Seen]) -> Response + Send + Sync + 'static) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(record).with_state(Shared { seen: seen.clone(), script: Arc::new(script) });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

async fn record(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let seen = Seen {
        method,
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let all = {
        let mut all = shared.seen.lock().unwrap();
        all.push(seen);
        all.clone()
    };
    (shared.script)(&all)
}

/// A JSON answer.
pub(crate) fn answer(status: u16, body: &Value) -> Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, [("content-type", "application/json")], body.to_string()).into_response()
}

/// A JSON answer with one more header.
pub(crate) fn answer_with(status: u16, header: (&'static str, &str), body: &Value) -> Response {
    let mut response = answer(status, body);
    response.headers_mut().insert(header.0, header.1.parse().unwrap());
    response
}

/// The address of a server that reads a request, writes `start` of an answer, and closes the connection.
pub(crate) async fn cutting(start: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut buffer = [0_u8; 16 * 1024];
            if connection.read(&mut buffer).await.is_ok() {
                connection.write_all(start.as_bytes()).await.unwrap();
            }
        }
    });
    url
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

thread_local! {
    static CAPTURING: RefCell<Option<Log>> = const { RefCell::new(None) };
}

/// All that is logged on this thread from [`Log::capture`] on, by every crate, at every level.
///
/// The subscriber is the process's and asks for the thread's log, because the interest of a call site is the process's
/// too: with a subscriber for one thread alone, a test on another thread could switch a call site off for good.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn capture() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let capturing = || CAPTURING.with_borrow(Option::is_some);
            let layer = tracing_subscriber::fmt::layer()
                .with_span_events(FmtSpan::CLOSE)
                .with_ansi(false)
                .with_writer(|| CAPTURING.with_borrow(|log| log.clone().unwrap_or_default()))
                .with_filter(dynamic_filter_fn(move |_, _| capturing()));
            tracing_subscriber::registry().with(layer).init();
        });
        let log = Self::default();
        CAPTURING.set(Some(log.clone()));
        log
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
