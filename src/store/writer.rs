//! The one writer: gathers what waits into one transaction, judges inside it, commits, and only then answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::answer::{Done, chain};
use super::care::Care;
use super::claim::{self, LEASE};
use super::file::OpenFile;
use super::holds::Holds;
use super::operate;
use super::rows::{self, EventFields, state};
use super::slots::Place;
use super::trouble::Failure;
use super::{Arrival, Command, Duties, Finish, Receipt, Recorded, Slots, StoreError, Waiting, polls, retention};
use super::{clock_jump, digests};
use crate::clock::Clock;
use crate::domain::after::Next;
use crate::domain::decide::{Owed, Reason, Verdict};
use crate::domain::delivery::{Delivery, Outcome};
use crate::domain::event::{Event, EventKind, TimerKind};
use crate::domain::hold::{Heard as HeardOf, Hold, Leave};
use crate::domain::id::{AlertKey, DeliveryId, EventId, Side, digest};
use crate::domain::load::Load;
use crate::domain::page::Known;
use crate::domain::reading::Found;
use crate::domain::timestamp::Timestamp;
use crate::failpoint;

/// Commands of one transaction at most: a batch must not outlast the patience of those who wait.
const BATCH: usize = 512;

pub(super) struct Writer {
    clock: Clock,
    slots: Arc<Slots>,
    duties: Duties,
    holds: Holds,
    load: Arc<Load>,
    leased_out: UnboundedSender<Vec<Delivery>>,
    /// Leased with this batch's commit; handed over after it.
    pub(super) handed: Vec<Delivery>,
    waiting: Arc<Waiting>,
    care: Care,
    /// The latest time there was.
    latest: Timestamp,
    /// This batch made work that a claim must find.
    pub(super) nudge: bool,
}

/// Whether each command runs in a savepoint of its own, which costs a copy of every page that it touches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    No,
    Yes,
}

/// What an event comes to.
struct Judged {
    /// What was judged in its place, after a fault in judging it.
    instead: Option<Event>,
    key: Option<AlertKey>,
    verdict: Verdict,
}

/// Where an event came from, and what of it is kept.
pub(super) struct Heard<'a> {
    pub(super) side: Side,
    pub(super) source: &'a str,
    pub(super) repeat_key: Option<&'a str>,
    pub(super) headers: &'a str,
    pub(super) body: &'a [u8],
}

pub(super) fn spawn(
    opened: OpenFile,
    clock: Clock,
    slots: Arc<Slots>,
    duties: Duties,
    queue: Receiver<Command>,
    waiting: Arc<Waiting>,
    leased_out: UnboundedSender<Vec<Delivery>>,
) -> std::io::Result<JoinHandle<()>> {
    let unreadable = |error| std::io::Error::other(chain(&error));
    let holds = Holds::load(&opened.connection, slots.rests()).map_err(unreadable)?;
    let load = Arc::new(digests::load(&opened.connection, clock.now()).map_err(unreadable)?);
    let latest = clock_jump::latest(&opened.connection).map_err(std::io::Error::other)?;
    std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        let OpenFile { mut connection, lock, path, condition, .. } = opened;
        let mut care = Care::new(path, condition);
        care.take_over(&mut connection);
        let latest = latest.unwrap_or_default();
        let handed = Vec::new();
        let mut writer =
            Writer { clock, slots, duties, holds, load, leased_out, handed, waiting, care, latest, nudge: false };
        writer.run(&mut connection, &queue);
        writer.care.let_go(&mut connection);
        // A copy of the file alone, made while nothing runs, is then a whole one.
        if let Err(error) = connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(())) {
            tracing::warn!(error = %error, "the write-ahead log stays beside the store; copy both");
        }
        // The lock outlives the connection: nobody else may open the file before it is closed.
        drop(connection);
        drop(lock);
    })
}

impl Writer {
    fn run(&mut self, connection: &mut Connection, queue: &Receiver<Command>) {
        while let Ok(first) = queue.recv() {
            let mut stop = matches!(first, Command::Stop);
            let mut batch = vec![first];
            while !stop && batch.len() < BATCH {
                match queue.try_recv() {
                    Ok(command) => {
                        stop = matches!(command, Command::Stop);
                        batch.push(command);
                    }
                    Err(_) => break,
                }
            }
            self.commit(connection, batch);
            if stop {
                return;
            }
        }
    }

    fn commit(&mut self, connection: &mut Connection, mut batch: Vec<Command>) {
        self.handed.clear();
        self.nudge = false;
        let mut done = Vec::with_capacity(batch.len());
        let outcome = self.transact(connection, &mut batch, &mut done);
        self.care.ended(&outcome, self.clock.now());
        // Counted until here: what is being committed is in memory too.
        for command in &batch {
            self.waiting.leave(command.place());
        }
        if let Err(failure) = &outcome {
            self.undo(connection, &done);
            for command in batch {
                command.refuse(failure);
            }
            return;
        }
        if !self.handed.is_empty() {
            let handed = std::mem::take(&mut self.handed);
            if let Err(lost) = self.leased_out.send(handed) {
                for delivery in &lost.0 {
                    self.slots.take_back(&Place::of(delivery), self.clock.now());
                }
            }
        }
        if self.nudge {
            self.slots.work().notify_one();
        }
        for (command, done) in batch.into_iter().zip(done) {
            command.answer(done);
        }
    }

    /// One transaction over the batch. What goes wrong with one command undoes nothing of the others, unless it is the
    /// store's trouble: it is seldom, so that the batch is tried as a whole first, and then command by command.
    fn transact(
        &mut self,
        connection: &mut Connection,
        batch: &mut [Command],
        done: &mut Vec<Done>,
    ) -> Result<(), Failure> {
        if self.care.ready(connection)? {
            self.remember(connection);
        }
        if !self.run_all(connection, batch, done, Apart::No)? {
            self.undo(connection, done);
            done.clear();
            self.run_all(connection, batch, done, Apart::Yes)?;
        }
        self.care.in_place()
    }

    /// Runs and commits all, or nothing: false, if a command failed that could have been undone alone.
    fn run_all(
        &mut self,
        connection: &mut Connection,
        batch: &mut [Command],
        done: &mut Vec<Done>,
        apart: Apart,
    ) -> Result<bool, Failure> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now = self.clock.now();
        if clock_jump::follow(&transaction, self.latest, now)? {
            self.remember(&transaction);
        }
        for command in batch {
            let handed = self.handed.len();
            if apart == Apart::Yes {
                transaction.prepare_cached("SAVEPOINT command")?.execute([])?;
            }
            let one = self.run_one(&transaction, command);
            let failed = one.failed().map(|error| (Failure::of_store(error), chain(error)));
            done.push(one);
            if let Some((failure, why)) = failed {
                if let Some(failure) = failure {
                    return Err(failure);
                }
                if apart == Apart::No {
                    return Ok(false);
                }
                tracing::error!(error = %why, "a command of the store failed and was undone");
                transaction.prepare_cached("ROLLBACK TO command")?.execute([])?;
                self.take_back(handed);
                self.remember(&transaction);
            }
            if apart == Apart::Yes {
                transaction.prepare_cached("RELEASE command")?.execute([])?;
            }
        }
        failpoint::pass(failpoint::BEFORE_COMMIT);
        transaction.commit()?;
        self.latest = now;
        failpoint::pass(failpoint::AFTER_COMMIT);
        Ok(true)
    }

    /// What was not committed has changed nothing in memory either.
    fn undo(&mut self, connection: &Connection, done: &[Done]) {
        for done in done {
            self.give_back(done);
        }
        self.take_back(0);
        self.remember(connection);
    }

    /// What is kept in memory beside the rows, as the rows have it.
    pub(super) fn remember(&mut self, connection: &Connection) {
        if let Ok(holds) = Holds::load(connection, self.slots.rests()) {
            self.holds = holds;
        }
        if let Ok(load) = digests::load(connection, self.clock.now()) {
            self.load = Arc::new(load);
        }
    }

    /// Deliveries that were to be handed over and are not: their slots are free again.
    pub(super) fn take_back(&mut self, from: usize) {
        for delivery in self.handed.drain(from..) {
            self.slots.take_back(&Place::of(&delivery), self.clock.now());
        }
    }

    /// A claim that was not committed has taken no slots.
    fn give_back(&self, done: &Done) {
        if let Done::Claim(Ok(claim)) = done {
            for delivery in &claim.deliveries {
                self.slots.take_back(&Place::of(delivery), self.clock.now());
            }
        }
    }

    fn run_one(&mut self, transaction: &Transaction<'_>, command: &mut Command) -> Done {
        let now = self.clock.now();
        match command {
            Command::Intake(arrival, ..) => Done::Intake(self.intake(transaction, arrival, now)),
            Command::Claim { limit, .. } => {
                Done::Claim(claim::claim(transaction, &mut self.holds, &self.slots, *limit, now))
            }
            Command::Record(finish, _) => Done::Record(self.record(transaction, finish, now)),
            Command::Timers { .. } => Done::Count(self.ring(transaction, now)),
            Command::Change(change, _) => {
                self.nudge = true;
                Done::Change(operate::change(transaction, &mut self.holds, change, now))
            }
            Command::Poll(change, _) => Done::Poll(polls::change(transaction, change, now)),
            Command::Retain { older_than, .. } => Done::Count(retention::retain(transaction, now.minus(*older_than))),
            Command::Stop => Done::Stopped,
        }
    }

    fn intake(
        &mut self,
        connection: &Connection,
        arrival: &mut Arrival,
        now: Timestamp,
    ) -> Result<Receipt, StoreError> {
        let Arrival { event, side, source, repeat_key, headers, body } = arrival;
        polls::heard_by_webhook(connection, &event.kind, now)?;
        if let Some(key) = repeat_key
            && let Some(event) = rows::earlier(connection, &event.kind, key, now)?
        {
            return Ok(Receipt { event, seen_before: true, reason: Reason::Repeat });
        }
        let heard = Heard { side: *side, source, repeat_key: repeat_key.as_deref(), headers, body };
        event.id = EventId::new(Uuid::now_v7());
        event.received_at = now;
        let reason = self.judge_and_write(connection, event, &heard, now)?;
        Ok(Receipt { event: event.id, seen_before: false, reason })
    }

    pub(super) fn judge_and_write(
        &mut self,
        connection: &Connection,
        event: &Event,
        heard: &Heard<'_>,
        now: Timestamp,
    ) -> Result<Reason, StoreError> {
        let Judged { instead, key, verdict } = self.judge(connection, event, now)?;
        let is_as_it_came = instead.is_none();
        let event = instead.as_ref().unwrap_or(event);
        let page = match &event.kind {
            EventKind::Signl4 { page, .. } | EventKind::Timer { page, .. } => Some(page),
            EventKind::Azure { .. }
            | EventKind::Polled { .. }
            | EventKind::Foreign { .. }
            | EventKind::Unreadable { .. }
            | EventKind::Alarm { .. }
            | EventKind::Ignored { .. } => None,
        };
        let alert_id = rows::apply(connection, key.as_ref(), &verdict, now)?;
        let row = rows::insert_event(
            connection,
            &EventFields {
                id: event.id,
                received_at: now,
                side: heard.side.as_str(),
                source: heard.source,
                kind: event.kind.name(),
                reason: verdict.reason.as_str(),
                alert: key.as_ref(),
                // A repeat is looked for by what came.
                alert_id: alert_id.filter(|_| is_as_it_came),
                page,
                repeat_key: heard.repeat_key.filter(|_| !may_be_told_again(&event.kind, verdict.reason)),
                headers: heard.headers,
                body: heard.body,
            },
        )?;
        self.weigh(connection, event, &verdict, now)?;
        // A finished delivery may free its lane, a timer may be the next thing that is due.
        self.nudge |= !verdict.finished.is_empty() || !verdict.timers.is_empty();
        self.owe(connection, &verdict.owed, Some(row), now)?;
        Ok(verdict.reason)
    }

    /// Takes a verdict into the teams' load and to the digests that it bears on.
    fn weigh(
        &mut self,
        connection: &Connection,
        event: &Event,
        verdict: &Verdict,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let load = Arc::make_mut(&mut self.load);
        if let EventKind::Timer { page, timer: TimerKind::DigestDue } = &event.kind
            && let Some(digest) = rows::alert_of(connection, page)?
        {
            load.gathered(&digest);
        }
        digests::weigh(load, verdict, now);
        self.nudge |= !verdict.left.is_empty();
        digests::follow(connection, verdict, now)
    }

    /// Judges an event. A panic in there costs only this event: it is kept, and paged as one that nobody could read.
    fn judge(&self, connection: &Connection, came: &Event, now: Timestamp) -> Result<Judged, StoreError> {
        let mut instead: Option<Event> = None;
        for _ in 0..2 {
            let event = instead.as_ref().unwrap_or(came);
            let key = match &event.kind {
                EventKind::Signl4 { page, .. } | EventKind::Timer { page, .. } => rows::alert_of(connection, page)?,
                EventKind::Azure { .. }
                | EventKind::Polled { .. }
                | EventKind::Foreign { .. }
                | EventKind::Unreadable { .. }
                | EventKind::Alarm { .. }
                | EventKind::Ignored { .. } => event.kind.alert_key(now),
            };
            let mut known = match key.as_ref().map(|key| rows::known(connection, key)).transpose() {
                Ok(known) => known.unwrap_or_default(),
                // Better a second page than none.
                Err(StoreError::Sqlite(rusqlite::Error::FromSqlConversionFailure(..))) => {
                    tracing::error!(
                        alert.id = key.as_ref().map(AlertKey::as_str),
                        "stored rows of this alert cannot be read by this version; it is judged as new"
                    );
                    Known::default()
                }
                Err(error) => return Err(error),
            };
            if known.alert.is_none()
                && let Some(thread) = event.thread_key()
            {
                known = rows::known_of_thread(connection, thread)?;
            }
            known.load = Arc::clone(&self.load);
            if let (EventKind::Timer { timer, .. }, Some(key)) = (&event.kind, &key)
                && digests::needs_gathering(timer)
            {
                known.gathered = Some(digests::gather(connection, key)?);
            }
            if let Ok(verdict) = catch_unwind(AssertUnwindSafe(|| (self.duties.judge)(&known, event, now))) {
                return Ok(Judged { instead, key, verdict });
            }
            tracing::error!(event.id = %event.id, kind = event.kind.name(), "a fault in the bridge: this event could not be judged; it is kept");
            instead = Some(Event::new(event.id, event.received_at, without_judgement(event.kind.clone(), event.id)));
        }
        Ok(Judged { instead, key: None, verdict: nothing(Reason::Unreadable) })
    }

    /// Inserts deliveries; the first of a free lane, with a free slot, already leased.
    fn owe(
        &mut self,
        connection: &Connection,
        owed: &[Owed],
        event: Option<i64>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for owed in owed {
            let uuid = Uuid::now_v7();
            let delivery = self.hand_over(connection, DeliveryId::new(uuid), owed, now)?;
            let lease_until = delivery.is_some().then(|| now.plus(LEASE));
            self.nudge |= delivery.is_none();
            self.handed.extend(delivery);
            rows::insert_delivery(connection, uuid, owed, event, lease_until, now)?;
        }
        Ok(())
    }

    /// A delivery that nothing holds back: its lane is free, nobody of its account waits before it, and it has its slot.
    fn hand_over(
        &self,
        connection: &Connection,
        id: DeliveryId,
        owed: &Owed,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let destination = owed.call.destination();
        let leave = self.holds.leave(&destination, now);
        if !self.slots.hands_over()
            || owed.due > now
            || matches!(leave, Leave::Probe { .. })
            || !leave.allows(owed.call.class())
            || self.slots.paces().is_waiting(&destination)
            || rows::lane_is_busy(connection, &owed.call.lane())?
        {
            return Ok(None);
        }
        let delivery = Delivery { id, call: owed.call.clone(), attempt: 1, uncertain: false, created_at: now };
        let taken = self.slots.take(&Place::of(&delivery), leave.at_once(), now);
        Ok(taken.is_ok().then_some(delivery))
    }

    fn record(&mut self, connection: &Connection, finish: &Finish, now: Timestamp) -> Result<Recorded, StoreError> {
        let delivery = &finish.delivery;
        let outcome = &finish.attempted.outcome;
        let (destination, kind) = (delivery.call.destination(), delivery.call.kind());
        let heard = HeardOf { kind, outcome, note: &finish.attempted.note, begun_at: finish.begun_at };
        self.nudge |= self.holds.heard(connection, &destination, &heard, now)?;
        let next_attempt =
            |hold: Option<&Hold>, due| hold.map_or(due, |hold| hold.next_attempt(kind, outcome, due, now));
        let (state, due, finished_at) = match &finish.next {
            Next::Done => (state::DONE, now, Some(now)),
            Next::Dead { .. } => (state::DEAD, now, Some(now)),
            Next::Again { due } => (state::DUE, next_attempt(self.holds.get(&destination), *due), None),
        };
        let uncertain = delivery.uncertain || *outcome == Outcome::Unknown;
        let changed = connection
            .prepare_cached(
                "UPDATE delivery SET state = ?3, due = ?4, finished_at = ?5, uncertain = ?6, outcome = ?7, note = ?8
                 WHERE id = ?1 AND attempt = ?2 AND state = 1",
            )?
            .execute(params![
                delivery.id.uuid(),
                delivery.attempt,
                state,
                due.as_millis(),
                finished_at.map(Timestamp::as_millis),
                uncertain,
                outcome.name(),
                finish.attempted.note
            ])?;
        if changed == 0 {
            return Ok(Recorded::Overtaken);
        }
        self.nudge |= state == state::DUE || rows::lane_is_busy(connection, &delivery.call.lane())?;
        let key = match delivery.call.page() {
            Some(page) => rows::alert_of(connection, page)?,
            None => delivery.call.alert().cloned(),
        };
        if let Some(key) = key {
            // Gone before the load is changed: what is known of it would be a copy.
            let judged = {
                let known = Known { load: Arc::clone(&self.load), ..rows::known(connection, &key)? };
                catch_unwind(AssertUnwindSafe(|| (self.duties.record)(&known, finish, now)))
            };
            match judged {
                Ok(verdict) => {
                    rows::apply(connection, Some(&key), &verdict, now)?;
                    digests::weigh(Arc::make_mut(&mut self.load), &verdict, now);
                    self.nudge |= !verdict.left.is_empty();
                    digests::follow(connection, &verdict, now)?;
                    self.owe(connection, &verdict.owed, None, now)?;
                }
                Err(_) => {
                    tracing::error!(delivery.id = %delivery.id, "a fault in the bridge: the ledger did not take this outcome");
                }
            }
        }
        Ok(Recorded::Ours)
    }
}

/// What nobody was told of because a person had it in hand may be somebody's page when it is free again.
fn may_be_told_again(kind: &EventKind, reason: Reason) -> bool {
    let is_polled =
        |kind: &EventKind| matches!(kind, EventKind::Polled { polled, .. } if matches!(polled.found, Found::Fired(_)));
    reason == Reason::InHand || reason == Reason::Stale && is_polled(kind)
}

fn without_judgement(kind: EventKind, id: EventId) -> EventKind {
    const PROBLEM: &str = "the bridge failed while judging it; the body is kept";
    match kind {
        // The next poll finds it again: one page a day is enough.
        EventKind::Polled { connection, polled } => {
            let digest = digest(polled.notification.id.key().as_str().as_bytes());
            EventKind::Unreadable { connection, digest, problem: PROBLEM.to_owned() }
        }
        EventKind::Azure { connection, .. }
        | EventKind::Foreign { connection, .. }
        | EventKind::Unreadable { connection, .. } => {
            EventKind::Unreadable { connection, digest: id.to_string(), problem: PROBLEM.to_owned() }
        }
        EventKind::Signl4 { team, .. } | EventKind::Alarm { team, .. } | EventKind::Ignored { team, .. } => {
            EventKind::Ignored { team, why: PROBLEM }
        }
        EventKind::Timer { page, timer } => EventKind::Timer { page, timer },
    }
}

pub(super) fn nothing(reason: Reason) -> Verdict {
    Verdict {
        reason,
        alert: None,
        pages: Vec::new(),
        owed: Vec::new(),
        finished: Vec::new(),
        timers: Vec::new(),
        cancelled: Vec::new(),
        opened: Vec::new(),
        left: Vec::new(),
        thread: None,
        joined: None,
        amended: Vec::new(),
        template_faults: Vec::new(),
    }
}
