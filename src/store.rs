//! The durable memory: events, alerts, pages, deliveries, timers. It knows no side and makes no network call.
//!
//! All writes go through one writer thread that gathers what waits together into one transaction and one fsync (group
//! commit). It judges each event inside that transaction, one after another, against rows that earlier events of the
//! same batch have written. An answer is given only after the commit. If the commit fails, everything in the batch is
//! told so, and nothing of it happened.

mod answer;
mod audit;
mod backup;
mod care;
mod checkpoints;
mod claim;
mod clock_jump;
mod digests;
mod examine;
mod file;
mod holds;
mod numbers;
mod operate;
mod polls;
mod read;
mod recent;
mod retention;
mod rows;
mod schema;
mod slots;
mod timers;
mod trouble;
mod waiting;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::after::Next;
use crate::domain::decide::{Reason, Verdict};
use crate::domain::delivery::{Attempted, Delivery};
use crate::domain::event::{Event, EventKind};
use crate::domain::hold::Hold;
use crate::domain::id::{AlertKey, EventId, ExternalId, Side};
use crate::domain::page::{Known, Page};
use crate::domain::reading;
use crate::domain::timestamp::Timestamp;

pub use audit::Violation;
pub use backup::BackupError;
pub(crate) use file::private as private_file;
pub use operate::{Change, Changed};
pub use polls::{Before, PollChange, Polled};
pub use read::{Caller, DeliveryRow, EventRow, Health, OpenPage, StoredEvent, delivery_states};
pub use slots::{Place, Slots};
use trouble::Condition;
pub use trouble::{Fault, Trouble};
use waiting::Waiting;

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
    #[error("a page without its alert")]
    NoAlert,
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
    #[error("{path} is damaged ({problem}): restore a backup, or move it and its -wal away to start empty")]
    Damaged { path: String, problem: String },
    #[error("{path} is a database of another program: set `[store] url` to a file of its own")]
    Foreign { path: String },
    #[error("another program holds a lock on {path}: end it (`fuser {path}` names it), then start again")]
    Locked { path: String },
    #[error("cannot prepare {path}")]
    Sqlite { path: String, source: rusqlite::Error },
}

impl OpenError {
    fn of(path: &str, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match Fault::of(&source) {
            Fault::Damaged => Self::Damaged { path, problem: source.to_string() },
            Fault::Locked => Self::Locked { path },
            Fault::Full | Fault::ReadOnly | Fault::Failing | Fault::Moved | Fault::Other => {
                Self::Sqlite { path, source }
            }
        }
    }
}

/// An event made ready for the writer, which gives it its id and its time.
struct Arrival {
    event: Event,
    side: Side,
    source: String,
    repeat_key: Option<String>,
    /// As JSON.
    headers: String,
    /// Compressed.
    body: Vec<u8>,
}

impl Arrival {
    fn of(incoming: Incoming) -> Result<Self, StoreError> {
        let Incoming { kind, side, source, body, headers } = incoming;
        Ok(Self {
            repeat_key: kind.repeat_key(),
            event: Event::new(EventId::new(Uuid::nil()), Timestamp::default(), kind),
            side,
            source,
            headers: serde_json::to_string(&headers)?,
            body: lz4_flex::compress_prepend_size(&body),
        })
    }
}

enum Command {
    /// With the bytes that it takes of the queue's room.
    Intake(Box<Arrival>, usize, oneshot::Sender<Result<Receipt, StoreError>>),
    Claim {
        limit: usize,
        reply: oneshot::Sender<Result<Claimed, StoreError>>,
    },
    Record(Box<Finish>, oneshot::Sender<Result<Recorded, StoreError>>),
    Timers {
        reply: oneshot::Sender<Result<usize, StoreError>>,
    },
    Change(Change, oneshot::Sender<Result<Changed, StoreError>>),
    Poll(PollChange, oneshot::Sender<Result<Before, StoreError>>),
    Retain {
        older_than: Duration,
        reply: oneshot::Sender<Result<usize, StoreError>>,
    },
    Stop,
}

impl Command {
    /// How much of the queue's room it takes, if it is an event.
    fn place(&self) -> Option<usize> {
        if let Self::Intake(_, bytes, _) = self { Some(*bytes) } else { None }
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
    clock: Clock,
    condition: Arc<Condition>,
    path: Arc<Path>,
    backing_up: Arc<tokio::sync::Mutex<()>>,
}

/// How the store itself stands, whatever is in it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Nothing can be stored while there is one.
    pub trouble: Option<Trouble>,
    /// Commits that failed since the start.
    pub failures: u64,
    pub waiting_events: usize,
    pub waiting_bytes: usize,
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
        let condition = Arc::clone(&opened.condition);
        let (unexamined, now) = (opened.unexamined, clock.now());
        recent::remember(&opened.connection, slots.paces(), now)
            .map_err(|source| OpenError::of(&path.display().to_string(), source))?;
        let spawned =
            writer::spawn(opened, clock.clone(), Arc::clone(&slots), duties, queue, Arc::clone(&waiting), leased_out);
        let writer = spawned.map_err(|source| OpenError::File { path: path.display().to_string(), source })?;
        if unexamined {
            care::look_through(path.to_owned(), Arc::clone(&condition), now);
        }
        let store = Self {
            commands,
            waiting,
            reader,
            listings,
            polling,
            slots,
            clock,
            condition,
            path: path.into(),
            backing_up: Arc::default(),
        };
        Ok(Opened { store, leased, writer, interrupted })
    }

    pub fn standing(&self) -> Standing {
        let (waiting_events, waiting_bytes) = self.waiting.count();
        let (trouble, failures) = (self.condition.trouble(), self.condition.failures());
        Standing { trouble, failures, waiting_events, waiting_bytes }
    }

    /// What keeps everything from being stored, while something does.
    pub fn trouble(&self) -> Option<Trouble> {
        self.condition.trouble()
    }

    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Stores an event with all that follows from it; the receipt means that it is on stable storage.
    pub async fn intake(&self, incoming: Incoming) -> Result<Receipt, StoreError> {
        // What was understood of a body is as long as the body, however well that compresses.
        let place = incoming.body.len();
        // Made ready here and not by the writer, which has one core for everybody.
        let arrival = Arrival::of(incoming)?;
        if !self.waiting.enter(place) {
            return Err(StoreError::Overloaded);
        }
        self.ask(|reply| Command::Intake(Box::new(arrival), place, reply)).await
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
    pub async fn standings(&self, keys: Vec<AlertKey>) -> Result<BTreeMap<AlertKey, reading::Standing>, StoreError> {
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

    /// Rows that break a promise; there are none.
    pub async fn audit(&self, now: Timestamp) -> Result<Vec<Violation>, StoreError> {
        Self::read(&self.listings, move |reader| reader.audit(now)).await
    }

    pub async fn health(&self) -> Result<Health, StoreError> {
        let now = self.clock.now();
        Self::read(&self.reader, move |reader| reader.health(now)).await
    }

    /// Writes a whole copy of the store to a new file, while everything goes on; says how many bytes it has.
    pub async fn back_up(&self, to: PathBuf) -> Result<u64, BackupError> {
        let one = Arc::clone(&self.backing_up).try_lock_owned().map_err(|_| BackupError::UnderWay)?;
        let path = Arc::clone(&self.path);
        let write = move || {
            let _one = one;
            backup::write(&path, &to)
        };
        let written = tokio::task::spawn_blocking(write).await;
        written.unwrap_or_else(|_| Err(BackupError::NotWhole { problem: "a fault in the bridge".to_owned() }))
    }

    /// What holds destinations back.
    pub async fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        Self::read(&self.reader, read::Reader::holds).await
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

#[cfg(test)]
mod tests;
