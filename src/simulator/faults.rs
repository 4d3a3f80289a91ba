//! What a simulator does wrong on demand: a plan of faults for its next requests, and a door that can be shut.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::calls::{Asked, Operation};

/// `Retry-After` in the forms that HTTP knows, and in one that it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAfter {
    Seconds(u64),
    /// An HTTP date that many seconds from now.
    Date(u64),
    /// As it stands: for values that no client may stumble over.
    Raw(String),
}

/// What happens to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The usual answer; of use with a delay.
    #[default]
    Answer,
    /// This status in place of processing.
    Status {
        status: u16,
        #[serde(default)]
        retry_after: Option<RetryAfter>,
    },
    /// The connection is cut; the request had no effect.
    CutUnprocessed,
    /// The request takes effect and the connection is cut before the answer.
    CutProcessed,
    /// The request takes effect and the connection is cut in the middle of the answer's body.
    CutMidBody,
    /// The request takes effect; the answer has the usual status and a body that is no JSON.
    Garbage,
    /// This status and JSON in place of processing.
    Body { status: u16, body: Value },
    /// A proxy's HTML error page in place of processing.
    Html { status: u16 },
    /// The request takes effect; the answer has the usual status and a body of that many bytes.
    Huge { bytes: usize },
    /// The request has no effect and is never answered.
    Hang,
}

/// One fault and the requests that it strikes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only requests of this operation; all if absent.
    pub operation: Option<Operation>,
    pub method: Option<String>,
    /// Only requests whose path contains this.
    pub path: Option<String>,
    /// So many matching requests pass first.
    pub skip: u32,
    /// So many matching requests are struck.
    pub times: u32,
    /// Waited before the request takes effect, in real time.
    pub delay_ms: u64,
    /// Waited after the request took effect and before the answer, in real time.
    pub answer_delay_ms: u64,
    pub action: Action,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            operation: None,
            method: None,
            path: None,
            skip: 0,
            times: 1,
            delay_ms: 0,
            answer_delay_ms: 0,
            action: Action::Answer,
        }
    }
}

impl Fault {
    /// One matching request is struck, until said otherwise.
    pub fn new(action: Action) -> Self {
        Self { action, ..Self::default() }
    }

    pub fn status(status: u16) -> Self {
        Self::new(Action::Status { status, retry_after: None })
    }

    /// 429 with `Retry-After`.
    pub fn throttled(retry_after: RetryAfter) -> Self {
        Self::new(Action::Status { status: 429, retry_after: Some(retry_after) })
    }

    /// The usual answer, `delay` late; the request takes effect at once.
    pub fn late_answer(delay: Duration) -> Self {
        Self { answer_delay_ms: millis(delay), ..Self::default() }
    }

    /// The usual answer; the request takes effect after `delay`.
    pub fn latency(delay: Duration) -> Self {
        Self { delay_ms: millis(delay), ..Self::default() }
    }

    #[must_use]
    pub fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    #[must_use]
    pub fn on_path(mut self, part: &str) -> Self {
        self.path = Some(part.to_owned());
        self
    }

    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Strikes until the plan is cleared.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(u32::MAX)
    }

    #[must_use]
    pub fn skip(mut self, requests: u32) -> Self {
        self.skip = requests;
        self
    }

    fn matches(&self, operation: Operation, asked: &Asked) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation)
            && self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(asked.method.as_str()))
            && self.path.as_ref().is_none_or(|part| asked.path.contains(part))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether a simulator can be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    #[default]
    Open,
    /// Every request is answered 503 and has no effect.
    Unavailable,
    /// Nobody listens: connections are refused, and those that stood are cut.
    Refused,
}

/// The fault plan of one simulator; clones share it.
#[derive(Clone, Debug)]
pub struct Faults {
    plan: Arc<Mutex<Vec<Fault>>>,
    door: watch::Sender<Door>,
    /// What the listener has made of the door.
    listening: watch::Sender<bool>,
}

impl Default for Faults {
    fn default() -> Self {
        Self { plan: Arc::default(), door: watch::Sender::new(Door::Open), listening: watch::Sender::new(true) }
    }
}

impl Faults {
    /// Adds a fault behind those that are planned; a request is struck by the first that matches.
    pub fn plan(&self, fault: Fault) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Forgets all planned faults; the door stays as it is.
    pub fn clear(&self) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What is still planned.
    pub fn planned(&self) -> Vec<Fault> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn door(&self) -> Door {
        *self.door.borrow()
    }

    /// Sets the door; returns when the listener has followed.
    pub async fn set_door(&self, door: Door) {
        let mut listening = self.listening.subscribe();
        self.door.send_replace(door);
        let wanted = door != Door::Refused;
        // A simulator that was stopped follows no more.
        let followed = listening.wait_for(|listens| *listens == wanted);
        if tokio::time::timeout(Duration::from_secs(5), followed).await.is_err() {
            tracing::warn!("the simulator's listener did not follow its door");
        }
    }

    /// Takes the fault that strikes this request, counting it down.
    pub(super) fn strike(&self, operation: Operation, asked: &Asked) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let position = plan.iter_mut().position(|fault| {
            let hit = fault.times > 0 && fault.matches(operation, asked);
            if hit && fault.skip > 0 {
                fault.skip -= 1;
                return false;
            }
            hit
        })?;
        let fault = plan.get_mut(position)?;
        if fault.times != u32::MAX {
            fault.times -= 1;
        }
        let struck = fault.clone();
        plan.retain(|fault| fault.times > 0);
        Some(struck)
    }

    pub(super) fn watch_door(&self) -> watch::Receiver<Door> {
        self.door.subscribe()
    }

    pub(super) fn report_listening(&self, listens: bool) {
        self.listening.send_replace(listens);
    }
}
