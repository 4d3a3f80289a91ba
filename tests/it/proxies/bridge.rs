//! A stand-in for the bridge: remembers what it was asked and answers as told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::serve::ListenerExt;
use tokio::net::TcpSocket;

/// A port on which nobody listens until somebody does: connections are refused, and nobody else can take it.
pub(super) struct Reserved {
    socket: TcpSocket,
    pub(super) address: SocketAddr,
}

impl Reserved {
    pub(super) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        Self { socket, address }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Status(u16),
    /// 413 to a longer body, else 200. It is read to its end all the same: a proxy that is still writing would take the
    /// closed connection for a failure and might never see the answer.
    LimitBody(usize),
    /// Never.
    Silence,
    /// The connection ends without an answer.
    Cut,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) authorization: Option<String>,
    pub(super) forwarded_for: Option<String>,
    pub(super) body: Vec<u8>,
}

#[derive(Clone)]
pub(super) struct Bridge {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Bridge {
    pub(super) fn start(reserved: Reserved, answer: Answer) -> Self {
        let address = reserved.address;
        let bridge = Self { address, answer: Arc::new(Mutex::new(answer)), seen: Arc::default() };
        let listener = reserved.socket.listen(64).unwrap().tap_io(|stream| stream.set_nodelay(true).unwrap());
        let router = Router::new().fallback(respond).with_state(bridge.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        bridge
    }

    pub(super) fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn respond(State(bridge): State<Bridge>, request: Request) -> Response<Body> {
    let answer = *bridge.answer.lock().unwrap();
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let status = match answer {
        Answer::Status(status) => status,
        Answer::LimitBody(limit) => {
            if body.len() > limit {
                413
            } else {
                200
            }
        }
        Answer::Silence | Answer::Cut => 0,
    };
    let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    bridge.seen.lock().unwrap().push(Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        authorization: text("authorization"),
        forwarded_for: text("x-forwarded-for"),
        body: body.to_vec(),
    });
    match answer {
        Answer::Silence => std::future::pending().await,
        // hyper ends the connection of a handler that panics; nothing else on this level does.
        Answer::Cut => std::panic::resume_unwind(Box::new("the connection is cut")),
        Answer::Status(_) | Answer::LimitBody(_) => {
            let mut response = Response::new(Body::from(format!("the bridge says {status}")));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("17"));
            response
        }
    }
}
