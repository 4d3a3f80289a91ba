//! What is wrong with the store while it takes nothing: found by the writer, shown by `/readyz`, told by an alarm.
//!
//! A trouble begins with the first commit that fails and ends with the first that succeeds. It is one error line in the
//! log, not one for each event that it turns away.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;
use serde::Serialize;

use super::StoreError;
use crate::domain::timestamp::{Timestamp, readable};

/// The same fault that comes and goes is an error line this often at most.
const SAY_AGAIN: Duration = Duration::from_mins(1);

/// Kinds of trouble, by what mends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    Full,
    ReadOnly,
    Locked,
    /// The disk answers with errors.
    Failing,
    Damaged,
    /// The file lies no more where it was opened.
    Moved,
    Other,
}

impl Fault {
    pub(super) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
                Self::Locked
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Self::Failing,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
            Some(_) | None => Self::Other,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Locked => "locked",
            Self::Failing => "failing",
            Self::Damaged => "damaged",
            Self::Moved => "moved",
            Self::Other => "other",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Full => "the disk is full",
            Self::ReadOnly => "the store cannot be written",
            Self::Locked => "another program locks the store",
            Self::Failing => "the disk of the store fails",
            Self::Damaged => "the store is damaged",
            Self::Moved => "the store's file was moved, removed or replaced",
            Self::Other => "the store does not commit",
        }
    }

    const fn mend(self) -> &'static str {
        match self {
            Self::Full => "free space on its file system; the bridge then goes on by itself",
            Self::ReadOnly => {
                "make it, its -wal, its -shm and their folder writable for the bridge's user; the bridge then goes on by itself"
            }
            Self::Locked => "end what else has it open (`fuser` names it); the bridge then goes on by itself",
            Self::Failing => "look at the disk and the kernel's log; the bridge goes on by itself once the disk does",
            Self::Damaged => {
                "stop the bridge and restore a backup, or recover what can be read (README, Backup); nothing is stored until then"
            }
            Self::Moved => "put the file back, or restart the bridge on the one that lies there now",
            Self::Other => "restart the bridge; if that does not help, restore a backup",
        }
    }
}

/// Why a batch was not committed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) said: String,
}

impl Failure {
    pub(super) fn new(fault: Fault, said: impl Into<String>) -> Self {
        Self { fault, said: said.into() }
    }

    /// What of a command's error is the whole store's trouble and not the command's own.
    pub(super) fn of_store(error: &StoreError) -> Option<Self> {
        let StoreError::Sqlite(error) = error else { return None };
        match Fault::of(error) {
            Fault::Locked | Fault::Other => None,
            fault @ (Fault::Full | Fault::ReadOnly | Fault::Failing | Fault::Damaged | Fault::Moved) => {
                Some(Self::new(fault, error.to_string()))
            }
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::new(Fault::of(&error), error.to_string())
    }
}

/// A trouble that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    pub fault: Fault,
    #[serde(serialize_with = "readable::time")]
    pub since: Timestamp,
    /// What is wrong and its mend, in a sentence.
    pub text: String,
}

/// How the store stands, for everybody who holds it.
#[derive(Debug)]
pub(super) struct Condition {
    path: PathBuf,
    now: Mutex<Now>,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Now {
    trouble: Option<Trouble>,
    said: Option<(Fault, Instant)>,
}

impl Condition {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, now: Mutex::default(), failures: AtomicU64::new(0) }
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.lock().trouble.clone()
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.lock().trouble.as_ref().is_some_and(|trouble| trouble.fault == Fault::Damaged)
    }

    /// Commits that failed since the start.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self, failure: &Failure, at: Timestamp) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut now = self.lock();
        let fault = failure.fault;
        if now.trouble.as_ref().is_some_and(|trouble| trouble.fault == fault) {
            return;
        }
        let since = now.trouble.as_ref().map_or(at, |trouble| trouble.since);
        let text = format!("{} ({}: {}): {}", fault.what(), self.path.display(), failure.said, fault.mend());
        let is_new = now.said.is_none_or(|(said, when)| said != fault || when.elapsed() >= SAY_AGAIN);
        if is_new {
            tracing::error!(
                fault = fault.as_str(),
                "nothing can be stored, and webhooks are answered 503 until it can: {text}"
            );
            now.said = Some((fault, Instant::now()));
        }
        now.trouble = Some(Trouble { fault, since, text });
    }

    pub(super) fn well(&self, at: Timestamp) {
        let mut now = self.lock();
        if let Some(trouble) = now.trouble.take() {
            let seconds = at.since(trouble.since).as_secs();
            tracing::warn!(fault = trouble.fault.as_str(), seconds, "the store takes events again");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_lasts_from_its_first_failure_to_the_first_success() {
        let condition = Condition::new("bridge.db".into());
        let at = Timestamp::from_millis;
        condition.failed(&Failure::new(Fault::Full, "database or disk is full"), at(1_000));
        condition.failed(&Failure::new(Fault::Full, "database or disk is full"), at(2_000));
        condition.failed(&Failure::new(Fault::Failing, "disk I/O error"), at(3_000));
        let trouble = condition.trouble().unwrap();
        assert_eq!((trouble.fault, trouble.since, condition.failures()), (Fault::Failing, at(1_000), 3));
        assert!(trouble.text.starts_with("the disk of the store fails (bridge.db: disk I/O error): look at the disk"));
        condition.well(at(4_000));
        assert_eq!(condition.trouble(), None);
    }

    #[test]
    fn what_is_a_commands_own_trouble_is_not_the_stores() {
        let sqlite = |code| StoreError::Sqlite(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        assert!(Failure::of_store(&sqlite(rusqlite::ffi::SQLITE_CONSTRAINT)).is_none());
        assert!(Failure::of_store(&StoreError::Overloaded).is_none());
        for (code, fault) in [
            (rusqlite::ffi::SQLITE_FULL, Fault::Full),
            (rusqlite::ffi::SQLITE_IOERR_FSYNC, Fault::Failing),
            (rusqlite::ffi::SQLITE_CORRUPT, Fault::Damaged),
            (rusqlite::ffi::SQLITE_READONLY, Fault::ReadOnly),
        ] {
            assert_eq!(Failure::of_store(&sqlite(code)).unwrap().fault, fault);
        }
    }
}
