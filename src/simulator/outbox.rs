//! Webhooks that a simulator sends, with retries, and with losses, duplicates and reordering on demand.

mod schedule;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use schedule::{Attempt, RetriedAnswers, Schedule, Sent};

use super::calls::{readable, redact_url};
use super::watched::TimedOut;
use crate::clock::Clock;

/// A webhook to be sent.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) about: String,
    pub(super) number: u64,
}

/// In which order held webhooks go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    AsHeld,
    Reversed,
}

#[derive(Default)]
struct Desk {
    next_number: u64,
    duplicate: u32,
    lose: u32,
    holds: bool,
    held: Vec<Letter>,
    queues: BTreeMap<String, mpsc::UnboundedSender<Letter>>,
    silent_until: BTreeMap<String, Instant>,
}

type Record = dyn Fn(Attempt) + Send + Sync;

struct Inner {
    client: reqwest::Client,
    clock: Clock,
    schedule: Mutex<Schedule>,
    desk: Mutex<Desk>,
    in_flight: watch::Sender<usize>,
    stop: CancellationToken,
    record: Box<Record>,
}

/// The sender of a simulator's webhooks; clones share it.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({} in flight)", self.in_flight())
    }
}

impl Outbox {
    pub(super) fn new(
        clock: Clock,
        schedule: Schedule,
        stop: CancellationToken,
        record: impl Fn(Attempt) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        // No proxy: the endpoints are the bridge's, mostly on this very host.
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(io::Error::other)?;
        Ok(Self(Arc::new(Inner {
            client,
            clock,
            schedule: Mutex::new(schedule),
            desk: Mutex::default(),
            in_flight: watch::Sender::new(0),
            stop,
            record: Box::new(record),
        })))
    }

    /// Each of the next `webhooks` is sent twice, with the same id.
    pub fn duplicate_next(&self, webhooks: u32) {
        self.desk(|desk| desk.duplicate = webhooks);
    }

    /// Each of the next `webhooks` is lost on the way.
    pub fn lose_next(&self, webhooks: u32) {
        self.desk(|desk| desk.lose = webhooks);
    }

    /// Keeps webhooks back until [`release`](Self::release).
    pub fn hold(&self) {
        self.desk(|desk| desk.holds = true);
    }

    /// Sends what was held, one webhook accepted or given up before the next, and holds no more.
    pub async fn release(&self, order: Order) {
        let mut held = self.desk(|desk| {
            desk.holds = false;
            std::mem::take(&mut desk.held)
        });
        if order == Order::Reversed {
            held.reverse();
        }
        for letter in held {
            self.enter();
            self.deliver(letter).await;
            self.leave();
        }
    }

    /// How many webhooks are held back.
    pub fn held(&self) -> usize {
        self.desk(|desk| desk.held.len())
    }

    pub fn in_flight(&self) -> usize {
        *self.0.in_flight.borrow()
    }

    /// Waits until every webhook that is not held was accepted or given up; `within` is real time.
    pub async fn settled(&self, within: Duration) -> Result<(), TimedOut> {
        let mut in_flight = self.0.in_flight.subscribe();
        match tokio::time::timeout(within, in_flight.wait_for(|count| *count == 0)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(TimedOut::new("the end of all outgoing webhooks", within)),
        }
    }

    pub fn set_schedule(&self, schedule: Schedule) {
        *self.0.schedule.lock().unwrap_or_else(PoisonError::into_inner) = schedule;
    }

    pub fn schedule(&self) -> Schedule {
        self.0.schedule.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Retry delays and the blackout are divided by `scale`.
    pub fn set_time_scale(&self, scale: u32) {
        self.set_schedule(Schedule { time_scale: scale, ..self.schedule() });
    }

    /// Ends the blackout of all endpoints.
    pub fn lift_blackouts(&self) {
        self.desk(|desk| desk.silent_until.clear());
    }

    /// Sends a webhook; returns its number at once.
    pub(super) fn post(&self, url: &str, headers: Vec<(&'static str, String)>, body: Bytes, about: &str) -> u64 {
        let (letter, copies, lost) = self.desk(|desk| {
            desk.next_number += 1;
            let letter =
                Letter { url: url.to_owned(), headers, body, about: about.to_owned(), number: desk.next_number };
            let lost = desk.lose > 0;
            desk.lose = desk.lose.saturating_sub(1);
            let copies = if !lost && desk.duplicate > 0 { 2 } else { 1 };
            if copies == 2 {
                desk.duplicate -= 1;
            }
            (letter, copies, lost)
        });
        let number = letter.number;
        if lost {
            self.record(&letter, 1, Sent::Lost);
            return number;
        }
        for _ in 0..copies {
            self.dispatch(letter.clone());
        }
        number
    }

    fn dispatch(&self, letter: Letter) {
        let in_order = self.schedule().in_order;
        let waiting = self.desk(|desk| {
            if desk.holds {
                desk.held.push(letter);
                return None;
            }
            self.enter();
            if !in_order {
                return Some(letter);
            }
            let queue = desk.queues.entry(letter.url.clone()).or_insert_with(|| self.start_queue());
            queue.send(letter).err().map(|returned| returned.0)
        });
        if let Some(letter) = waiting {
            let outbox = self.clone();
            tokio::spawn(async move {
                outbox.deliver(letter).await;
                outbox.leave();
            });
        }
    }

    fn start_queue(&self) -> mpsc::UnboundedSender<Letter> {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Letter>();
        // A weak handle: the queue's sender lives in the desk, and must not keep the desk alive.
        let inner = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            while let Some(letter) = receiver.recv().await {
                let Some(inner) = inner.upgrade() else { return };
                let outbox = Self(inner);
                outbox.deliver(letter).await;
                outbox.leave();
            }
        });
        sender
    }

    async fn deliver(&self, letter: Letter) {
        tokio::select! {
            () = self.attempts(&letter) => {}
            () = self.0.stop.cancelled() => {}
        }
    }

    async fn attempts(&self, letter: &Letter) {
        let mut delays = VecDeque::from(self.schedule().delays);
        let mut number = 1;
        loop {
            let now = Instant::now();
            if self.desk(|desk| desk.silent_until.get(&letter.url).is_some_and(|until| now < *until)) {
                self.record(letter, number, Sent::Blackout);
                return;
            }
            let sent = self.attempt(letter).await;
            let schedule = self.schedule();
            let repeats = schedule.repeats(&sent);
            // The blackout stands before the attempt is announced: who saw the last attempt may rely on it.
            if repeats
                && delays.is_empty()
                && let Some(blackout) = schedule.blackout
            {
                let until = Instant::now() + schedule.scaled(blackout);
                self.desk(|desk| desk.silent_until.insert(letter.url.clone(), until));
            }
            self.record(letter, number, sent);
            let Some(delay) = delays.pop_front().filter(|_| repeats) else { return };
            tokio::time::sleep(schedule.scaled(delay)).await;
            number += 1;
        }
    }

    async fn attempt(&self, letter: &Letter) -> Sent {
        // Credentials in the URL become a Basic `Authorization` header: reqwest does that, as Azure does.
        let mut request =
            self.0.client.post(&letter.url).timeout(self.schedule().answer_timeout).body(letter.body.clone());
        for (name, value) in &letter.headers {
            request = request.header(*name, value);
        }
        match request.send().await {
            Ok(response) => Sent::Answered(response.status().as_u16()),
            Err(error) => Sent::Failed(
                if error.is_timeout() {
                    "no answer in time"
                } else if error.is_connect() {
                    "no connection"
                } else if error.is_builder() {
                    "not a usable URL"
                } else {
                    "the connection was cut"
                }
                .to_owned(),
            ),
        }
    }

    fn record(&self, letter: &Letter, number: u32, sent: Sent) {
        (self.0.record)(Attempt {
            at: self.0.clock.now(),
            webhook: letter.number,
            number,
            target: redact_url(&letter.url),
            about: letter.about.clone(),
            body: readable(&letter.body),
            sent,
        });
    }

    fn enter(&self) {
        self.0.in_flight.send_modify(|count| *count += 1);
    }

    fn leave(&self) {
        self.0.in_flight.send_modify(|count| *count = count.saturating_sub(1));
    }

    fn desk<T>(&self, act: impl FnOnce(&mut Desk) -> T) -> T {
        act(&mut self.0.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For people, on the control endpoints.
    pub(super) fn describe(&self) -> Value {
        json!({ "in_flight": self.in_flight(), "held": self.held(), "time_scale": self.schedule().time_scale })
    }
}

#[cfg(test)]
mod tests;
