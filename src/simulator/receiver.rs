//! A bare webhook receiver for the tests of the senders: answers 200, logs, and obeys a fault plan.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::calls::{Answer, Asked, Call, Operation};
use super::faults::Faults;
use super::front::{self, Service};
use super::watched::Watched;
use crate::clock::Clock;

pub(super) struct Receiver {
    pub(super) url: String,
    pub(super) faults: Faults,
    calls: Arc<Watched<Vec<Call>>>,
    _running: DropGuard,
}

struct Desk(Arc<Watched<Vec<Call>>>);

impl Receiver {
    pub(super) async fn start() -> io::Result<Self> {
        let stop = CancellationToken::new();
        let calls = Arc::new(Watched::new(Vec::new()));
        let faults = Faults::default();
        let address = front::start(([127, 0, 0, 1], 0).into(), Clock::System, faults.clone(), stop.clone(), |_| {
            Desk(Arc::clone(&calls))
        })
        .await?;
        Ok(Self { url: format!("http://{address}"), faults, calls, _running: stop.drop_guard() })
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.read(Clone::clone)
    }

    /// Waits for the `count`th call.
    pub(super) async fn called(&self, count: usize) -> Vec<Call> {
        self.calls
            .wait_for(&format!("call {count}"), Duration::from_secs(10), |calls| {
                (calls.len() >= count).then(|| calls.clone())
            })
            .await
            .unwrap()
    }
}

impl Service for Desk {
    fn operation(&self, _asked: &Asked) -> Operation {
        Operation::Webhook
    }

    async fn answer(&self, _operation: Operation, _asked: &Asked) -> Answer {
        Answer::ok(&json!({ "ok": true }))
    }

    async fn control(&self, _asked: &Asked) -> Answer {
        Answer::empty(StatusCode::NOT_FOUND)
    }

    fn error(&self, _operation: Operation, status: StatusCode) -> Answer {
        Answer::text(status, "no")
    }

    fn log(&self, call: Call) {
        self.0.change(|calls| calls.push(call));
    }
}
