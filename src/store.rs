//! The durable memory: events, alerts, pages, deliveries, timers. It knows no side and makes no network call.
//!
//! All writes go through one writer thread that gathers what waits together into one transaction and one fsync (group
//! commit). It judges each event inside that transaction, one after another, against rows that earlier events of the
//! same batch have written. An answer is given only after the commit. If the commit fails, everything in the batch is
//! told so, and nothing of it happened.

mod claim;
mod digests;
mod file;
mod holds;
mod operate;
mod polls;
mod read;
mod retention;
mod rows;
mod schema;
mod slots;
mod timers;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::domain::after::Next;
use crate::domain::decide::{Reason, Verdict};
use crate::domain::delivery::{Attempted, Delivery, Destination};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{AlertKey, EventId, ExternalId, Side};
use crate::domain::page::{Known, Page};
use crate::domain::reading::Standing;
use crate::domain::timestamp::{Timestamp, readable};

pub(crate) use file::private as private_file;
pub use operate::{Change, Changed};
pub use polls::{Before, PollChange, Polled};
pub use read::{Caller, DeliveryRow, EventRow, Health, OpenPage, StoredEvent, delivery_states};
pub use slots::Slots;

/// How many events, and how much of them, may wait for the writer; beyond that the caller hears `Overloaded` at once.
/// Claims and records are not counted: they make room.
const EVENTS_WAITING: usize = 4096;
const BYTES_WAITING: usize = 64 * 1024 * 1024;

/// What `receive` hands over for storing.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub kind: EventKind,
    pub side: Side,
    /// Connection or team whose endpoint it came through.
    pub source: String,
    pub body: Bytes,
    /// Headers worth keeping; never credentials.
    pub headers: BTreeMap<String, String>,
}

/// Proof that an event is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub event: EventId,
    /// The same event was stored before; nothing new follows from it.
    pub seen_before: bool,
    pub reason: Reason,
}

/// How an attempt ended, for the writer to record.
#[derive(Clone, Debug)]
pub struct Finish {
    pub delivery: Delivery,
    pub attempted: Attempted,
    pub next: Next,
    pub begun_at: Timestamp,
}

/// Whether the record was ours to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Ours,
    /// Somebody overtook us: the lease ended, or an event confirmed the delivery meanwhile.
    Overtaken,
}

/// What a claim yields.
#[derive(Debug, Default)]
pub struct Claimed {
    pub deliveries: Vec<Delivery>,
    /// When something will be due next, if nothing else happens.
    pub next_due: Option<Timestamp>,
}

/// Judges an event inside the transaction. The store does not know how.
pub type Judge = Box<dyn Fn(&Known, &Event, Timestamp) -> Verdict + Send>;
/// Takes an outcome into the rows.
pub type Recorder = Box<dyn Fn(&Known, &Finish, Timestamp) -> Verdict + Send>;

/// What the writer asks of the rest of the house.
pub struct Duties {
    pub judge: Judge,
    pub record: Recorder,
}

impl std::fmt::Debug for Duties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Duties")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("too many events wait for the store")]
    Overloaded,
    #[error("the store did not answer in time")]
    TooSlow,
    #[error("the store has stopped")]
    Stopped,
    #[error("the batch was not committed: {0}")]
    NotCommitted(String),
    #[error("sqlite")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a stored row cannot be read")]
    Row(#[from] serde_json::Error),
}

/// Why a store could not be opened; each names the file and the mend.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open {path}")]
    File { path: String, source: std::io::Error },
    #[error("another process uses {path}: stop it first, or give this one a store of its own (`[store] url`)")]
    InUse { path: String },
    #[error("{path} lies on a network file system ({kind}): SQLite needs a local disk; set `[store] url` to one")]
    NetworkFileSystem { path: String, kind: String },
    #[error("{path} was written by a newer version (schema {found}, this version knows {known}): run that version")]
    Newer { path: String, found: i64, known: i64 },
    #[error("{path} is damaged ({problem}): restore a backup, or move it away to start empty")]
    Damaged { path: String, problem: String },
    #[error("cannot prepare {path}")]
    Sqlite { path: String, source: rusqlite::Error },
}

enum Command {
    Intake(Box<Incoming>, oneshot::Sender<Result<Receipt, StoreError>>),
    Claim { limit: usize, reply: oneshot::Sender<Result<Claimed, StoreError>> },
    Record(Box<Finish>, oneshot::Sender<Result<Recorded, StoreError>>),
    Timers { reply: oneshot::Sender<Result<usize, StoreError>> },
    Change(Change, oneshot::Sender<Result<Changed, StoreError>>),
    Poll(PollChange, oneshot::Sender<Result<Before, StoreError>>),
    Retain { older_than: Duration, reply: oneshot::Sender<Result<usize, StoreError>> },
    Stop,
}

/// What waits for the writer.
#[derive(Debug, Default)]
struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// Counts an event in, unless there are too many already.
    fn enter(&self, incoming: &Incoming) -> bool {
        let bytes = self.bytes.fetch_add(incoming.body.len(), Ordering::SeqCst);
        let events = self.events.fetch_add(1, Ordering::SeqCst);
        if events < EVENTS_WAITING && bytes < BYTES_WAITING {
            return true;
        }
        self.count_out(incoming);
        false
    }

    fn leave(&self, command: &Command) {
        if let Command::Intake(incoming, _) = command {
            self.count_out(incoming);
        }
    }

    fn count_out(&self, incoming: &Incoming) {
        self.bytes.fetch_sub(incoming.body.len(), Ordering::SeqCst);
        self.events.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The handle that everybody holds.
#[derive(Clone, Debug)]
pub struct Store {
    commands: Sender<Command>,
    waiting: Arc<Waiting>,
    /// For health: no listing holds it up.
    reader: Arc<read::Reader>,
    listings: Arc<read::Reader>,
    polling: Arc<read::Reader>,
    slots: Arc<Slots>,
}

/// What `open` gives besides the store.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    /// Deliveries that were committed already leased, because a worker was free.
    pub leased: mpsc::UnboundedReceiver<Vec<Delivery>>,
    /// The writer thread; it ends after `Store::stop`.
    pub writer: std::thread::JoinHandle<()>,
    /// Attempts that were under way when the last process died.
    pub interrupted: usize,
}

impl Store {
    /// Opens or creates the file, migrates it, and starts the writer.
    pub fn open(path: &Path, clock: Clock, slots: Slots, duties: Duties) -> Result<Opened, OpenError> {
        let opened = file::open(path, clock.now())?;
        let slots = Arc::new(slots);
        let (commands, queue) = channel();
        let waiting = Arc::new(Waiting::default());
        let (leased_out, leased) = mpsc::unbounded_channel();
        let reader = Arc::new(read::Reader::new(path.to_owned()));
        let listings = Arc::new(read::Reader::new(path.to_owned()));
        let polling = Arc::new(read::Reader::new(path.to_owned()));
        let interrupted = opened.interrupted;
        let writer = writer::spawn(opened, clock, Arc::clone(&slots), duties, queue, Arc::clone(&waiting), leased_out)
            .map_err(|source| OpenError::File { path: path.display().to_string(), source })?;
        Ok(Opened { store: Self { commands, waiting, reader, listings, polling, slots }, leased, writer, interrupted })
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Stores an event with all that follows from it; the receipt means that it is on stable storage.
    pub async fn intake(&self, incoming: Incoming) -> Result<Receipt, StoreError> {
        // Compressed here and not by the writer, which has one core for everybody.
        let body = Bytes::from(lz4_flex::compress_prepend_size(&incoming.body));
        let incoming = Incoming { body, ..incoming };
        if !self.waiting.enter(&incoming) {
            return Err(StoreError::Overloaded);
        }
        self.ask(|reply| Command::Intake(Box::new(incoming), reply)).await
    }

    /// Leases up to `limit` deliveries that are due, at most as many as there are free slots.
    pub async fn claim(&self, limit: usize) -> Result<Claimed, StoreError> {
        self.ask(|reply| Command::Claim { limit, reply }).await
    }

    pub async fn record(&self, finish: Finish) -> Result<Recorded, StoreError> {
        self.ask(|reply| Command::Record(Box::new(finish), reply)).await
    }

    /// Turns every timer that is due into an event; says how many.
    pub async fn ring_timers(&self) -> Result<usize, StoreError> {
        self.ask(|reply| Command::Timers { reply }).await
    }

    /// An operator's change.
    pub async fn change(&self, change: Change) -> Result<Changed, StoreError> {
        self.ask(|reply| Command::Change(change, reply)).await
    }

    /// Writes down what a poll has to remember.
    pub async fn poll(&self, change: PollChange) -> Result<Before, StoreError> {
        self.ask(|reply| Command::Poll(change, reply)).await
    }

    /// How far a source was read, and when nobody could call.
    pub async fn polled(&self, source: String) -> Result<Polled, StoreError> {
        Self::read(&self.polling, move |reader| reader.with(|connection| polls::polled(connection, &source))).await
    }

    /// What the ledger knows of these alerts.
    pub async fn standings(&self, keys: Vec<AlertKey>) -> Result<BTreeMap<AlertKey, Standing>, StoreError> {
        Self::read(&self.polling, move |reader| reader.with(|connection| polls::standings(connection, &keys))).await
    }

    /// Those of the rules whose webhooks have come.
    pub async fn heard(&self, name: String, rules: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
        Self::read(&self.polling, move |reader| reader.with(|connection| polls::heard(connection, &name, &rules))).await
    }

    pub async fn pages(&self, ids: Vec<ExternalId>) -> Result<BTreeMap<ExternalId, Page>, StoreError> {
        Self::read(&self.polling, move |reader| reader.with(|connection| polls::pages(connection, &ids))).await
    }

    /// Removes a bounded number of finished rows older than that; says how many.
    pub async fn retain(&self, older_than: Duration) -> Result<usize, StoreError> {
        self.ask(|reply| Command::Retain { older_than, reply }).await
    }

    pub async fn deliveries(&self, state: Option<&'static str>, limit: usize) -> Result<Vec<DeliveryRow>, StoreError> {
        Self::read(&self.listings, move |reader| reader.deliveries(state, limit)).await
    }

    pub async fn events(&self, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        Self::read(&self.listings, move |reader| reader.events(limit)).await
    }

    /// When each of these was heard last.
    pub async fn callers(&self, callers: Vec<(Side, String)>) -> Result<Vec<Caller>, StoreError> {
        Self::read(&self.listings, move |reader| reader.callers(callers)).await
    }

    /// One event with its body.
    pub async fn event(&self, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        Self::read(&self.listings, move |reader| reader.event(id)).await
    }

    pub async fn known(&self, alert: AlertKey) -> Result<Known, StoreError> {
        Self::read(&self.listings, move |reader| reader.known(&alert)).await
    }

    pub async fn open_pages(&self, limit: usize) -> Result<Vec<OpenPage>, StoreError> {
        Self::read(&self.listings, move |reader| reader.open_pages(limit)).await
    }

    pub async fn health(&self) -> Result<Health, StoreError> {
        Self::read(&self.reader, read::Reader::health).await
    }

    /// The writer commits what waits and ends.
    pub fn stop(&self) {
        // A writer that is gone already has nothing left to stop.
        if self.commands.send(Command::Stop).is_err() {
            tracing::debug!("the writer had stopped before");
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    async fn read<T: Send + 'static>(
        reader: &Arc<read::Reader>,
        query: impl FnOnce(&read::Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = Arc::clone(reader);
        tokio::task::spawn_blocking(move || query(&reader)).await.map_err(|_| StoreError::Stopped)?
    }
}

/// A destination and what holds it back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Hold {
    pub destination: Destination,
    #[serde(serialize_with = "readable::optional")]
    pub paused_until: Option<Timestamp>,
    #[serde(serialize_with = "readable::optional")]
    pub denied_since: Option<Timestamp>,
    #[serde(serialize_with = "readable::optional")]
    pub waits_until: Option<Timestamp>,
    pub why: Option<String>,
}

#[cfg(test)]
mod tests;
