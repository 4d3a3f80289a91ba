//! The writer's care for its connection: a file that was moved away is noticed, a connection that met a fault of the disk is
//! opened anew, and a store in which damage was found takes nothing until every page of it has been looked at and is well.
//!
//! After a failed fsync the system may have dropped what it could not write. SQLite takes such a commit back and writes
//! its pages again; the connection is opened anew all the same, because nothing in memory is then left of the failure.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::trouble::{Condition, Failure, Fault};
use super::{checkpoints, examine, file};
use crate::domain::timestamp::Timestamp;

/// Between two looks at every page of a damaged store, at first and at last.
const EXAMINE_AGAIN: Duration = Duration::from_secs(1);
const EXAMINE_AGAIN_AT_LAST: Duration = Duration::from_mins(10);

pub(super) struct Care {
    path: PathBuf,
    /// Of the file that was opened.
    identity: Option<(u64, u64)>,
    condition: Arc<Condition>,
    /// The connection met a fault: it is opened anew before it is used.
    suspect: bool,
    examination: Examination,
    pause: Duration,
    moves: Option<JoinHandle<()>>,
}

enum Examination {
    Idle { not_before: Option<Instant> },
    Running(Receiver<Result<(), Failure>>),
}

impl Care {
    pub(super) fn new(path: PathBuf, condition: Arc<Condition>) -> Self {
        let identity = std::fs::metadata(&path).ok().as_ref().map(examine::identity);
        let examination = Examination::Idle { not_before: None };
        Self { path, identity, condition, suspect: false, examination, pause: EXAMINE_AGAIN, moves: None }
    }

    /// Makes the connection fit for a batch, or says why it is not. True: it is a new one.
    pub(super) fn ready(&mut self, connection: &mut Connection) -> Result<bool, Failure> {
        if self.condition.is_damaged() {
            self.examined()?;
            self.suspect = true;
        }
        self.in_place()?;
        if !self.suspect {
            return Ok(false);
        }
        // Else what moves the old one's log would be in the way of the new one.
        self.let_go(connection);
        *connection = file::reopen(&self.path)?;
        self.take_over(connection);
        self.suspect = false;
        Ok(true)
    }

    /// Begins to move its log beside it.
    pub(super) fn take_over(&mut self, connection: &mut Connection) {
        match checkpoints::beside(connection, &self.path) {
            Ok(moves) => self.moves = Some(moves),
            Err(error) => {
                self.moves = None;
                tracing::warn!(error = %error, "the writer moves the write-ahead log itself");
            }
        }
    }

    /// Ends what `take_over` began.
    pub(super) fn let_go(&mut self, connection: &mut Connection) {
        let nothing = None::<fn(&mut Wal, i32) -> rusqlite::Result<()>>;
        let removed = connection.wal_hook(nothing);
        if removed.is_ok() && self.moves.take().is_some_and(|moves| moves.join().is_err()) {
            tracing::error!("a fault in the bridge: the thread that moves the write-ahead log has failed");
        }
    }

    /// The file lies where it was opened: what is committed now is found after a restart.
    pub(super) fn in_place(&self) -> Result<(), Failure> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if self.identity.is_none_or(|known| known == examine::identity(&metadata)) => Ok(()),
            Ok(_) => Err(Failure::new(Fault::Moved, "another file lies in its place")),
            Err(error) => Err(Failure::new(Fault::Moved, error.to_string())),
        }
    }

    /// Takes note of how a batch ended.
    pub(super) fn ended(&mut self, outcome: &Result<(), Failure>, now: Timestamp) {
        match outcome {
            Ok(()) => {
                self.pause = EXAMINE_AGAIN;
                self.condition.well(now);
            }
            Err(failure) => {
                self.suspect |= !matches!(failure.fault, Fault::Locked | Fault::Moved);
                self.condition.failed(failure, now);
            }
        }
    }

    /// Whether every page of a damaged store is well by now. The look takes its time, in a thread of its own.
    fn examined(&mut self) -> Result<(), Failure> {
        let again = || Failure::new(Fault::Damaged, "being looked at");
        match &self.examination {
            Examination::Idle { not_before: Some(time) } if Instant::now() < *time => Err(again()),
            Examination::Idle { .. } => {
                let (tell, told) = sync_channel(1);
                let path = self.path.clone();
                let look = move || {
                    if tell.send(examine::pages_of(&path)).is_err() {
                        tracing::debug!("the writer has ended meanwhile");
                    }
                };
                let begun = std::thread::Builder::new().name("store-examination".to_owned()).spawn(look);
                begun.map_err(|error| Failure::new(Fault::Damaged, error.to_string()))?;
                self.examination = Examination::Running(told);
                Err(again())
            }
            Examination::Running(told) => {
                let found = match told.try_recv() {
                    Err(TryRecvError::Empty) => return Err(again()),
                    Err(TryRecvError::Disconnected) => Err(again()),
                    Ok(found) => found,
                };
                self.examination = Examination::Idle { not_before: Instant::now().checked_add(self.pause) };
                self.pause = self.pause.saturating_mul(2).min(EXAMINE_AGAIN_AT_LAST);
                found.map_err(|failure| Failure { fault: Fault::Damaged, ..failure })
            }
        }
    }
}

/// Looks at every page of a store that is too large for a look before it is used.
pub(super) fn look_through(path: PathBuf, condition: Arc<Condition>, now: Timestamp) {
    let look = move || match examine::pages_of(&path) {
        Ok(()) => tracing::debug!("every page of the store is well"),
        Err(failure) if failure.fault == Fault::Damaged => condition.failed(&failure, now),
        Err(failure) => tracing::warn!(error = failure.said, "the store could not be looked through"),
    };
    if let Err(error) = std::thread::Builder::new().name("store-examination".to_owned()).spawn(look) {
        tracing::warn!(error = %error, "the store could not be looked through");
    }
}
