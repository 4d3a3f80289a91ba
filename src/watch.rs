//! Says when the configuration should be read again: a watched file changed, or SIGHUP came.
//!
//! Folders are watched and not files, because editors and Kubernetes replace files by renaming: a watch on the file
//! itself would follow the old one into the bin. Several changes close together count as one. What this does not see:
//! changes behind network file systems, and a symbolic link further up that is turned elsewhere; SIGHUP is for those.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

/// So long must it be quiet after a change.
const QUIET: Duration = Duration::from_millis(300);

/// After so long a change is told even if it is never quiet.
const LONGEST: Duration = Duration::from_secs(3);

/// Why the configuration should be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The first of the files that changed.
    Changed(PathBuf),
    Hangup,
}

impl std::fmt::Display for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Changed(path) => write!(f, "{} changed", path.display()),
            Self::Hangup => f.write_str("SIGHUP"),
        }
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// `None`: files cannot be watched here, SIGHUP still works.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    interest: Arc<Mutex<Interest>>,
    changes: mpsc::Receiver<PathBuf>,
    /// Keeps `changes` open without a watcher.
    _sender: mpsc::Sender<PathBuf>,
    hangup: Hangup,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    path: PathBuf,
    first: Instant,
    last: Instant,
}

/// Which paths matter; the folders hold other files too, the store's among them.
#[derive(Debug, Default)]
struct Interest {
    paths: BTreeSet<PathBuf>,
    parents: BTreeSet<PathBuf>,
}

/// Begins to watch `paths` (files or folders, see [`crate::config::Config::watched`]). Needs a Tokio runtime.
pub fn watch(paths: &BTreeSet<PathBuf>) -> Watch {
    // A full channel loses nothing: what waits in it already asks for a reload.
    let (sender, changes) = mpsc::channel(64);
    let interest = Arc::new(Mutex::new(Interest::default()));
    let watcher = {
        let (sender, interest) = (sender.clone(), Arc::clone(&interest));
        notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
            Ok(event) => {
                if let Some(path) = relevant(&event, &interest) {
                    // Full or closed: nothing to do in either case.
                    drop(sender.try_send(path));
                }
            }
            Err(error) => warn!(%error, "watching the configuration had an error; send SIGHUP to reload"),
        })
    };
    let watcher = watcher
        .inspect_err(|error| warn!(%error, "files cannot be watched; send SIGHUP to reload the configuration"))
        .ok();
    let mut watch = Watch {
        watcher,
        folders: BTreeSet::new(),
        interest,
        changes,
        _sender: sender,
        hangup: Hangup::install(),
        pending: None,
    };
    watch.follow(paths);
    watch
}

impl Watch {
    /// Watches these paths from now on: after a reload they may be others.
    pub fn follow(&mut self, paths: &BTreeSet<PathBuf>) {
        let interest = Interest::of(paths);
        let mut folders = interest.parents.clone();
        folders.extend(interest.paths.iter().filter(|path| path.is_dir()).cloned());
        *self.interest.lock().unwrap_or_else(PoisonError::into_inner) = interest;
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.folders.difference(&folders) {
            // A folder that was deleted is not watched any more anyway.
            drop(watcher.unwatch(gone));
        }
        // Watched anew although it was watched before: the folder may have been replaced by another of its name.
        for folder in &folders {
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => debug!(folder = %folder.display(), "watching"),
                Err(error) => warn!(
                    folder = %folder.display(),
                    %error,
                    "this folder cannot be watched; send SIGHUP to reload the configuration"
                ),
            }
        }
        self.folders = folders;
    }

    /// Waits for the next reason to reload. Dropping the future loses nothing.
    pub async fn wanted(&mut self) -> Reload {
        loop {
            let quiet = self.pending.as_ref().map(|pending| (pending.last + QUIET).min(pending.first + LONGEST));
            tokio::select! {
                // What is pending stays: a file may be half written at this moment.
                () = self.hangup.received() => return Reload::Hangup,
                path = self.changes.recv() => {
                    let now = Instant::now();
                    match (&mut self.pending, path) {
                        (Some(pending), Some(_)) => pending.last = now,
                        (None, Some(path)) => self.pending = Some(Pending { path, first: now, last: now }),
                        (_, None) => {}
                    }
                }
                () = until(quiet) => {
                    if let Some(pending) = self.pending.take() {
                        return Reload::Changed(pending.path);
                    }
                }
            }
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

impl Interest {
    /// Also what a symbolic link points to, so that a change of the file behind it is seen.
    fn of(paths: &BTreeSet<PathBuf>) -> Self {
        let mut interest = Self::default();
        for path in paths {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let real = absolute.canonicalize().ok();
            for path in std::iter::once(absolute).chain(real) {
                if let Some(parent) = path.parent().filter(|parent| parent.is_dir()) {
                    interest.parents.insert(parent.to_path_buf());
                }
                interest.paths.insert(path);
            }
        }
        interest
    }

    fn covers(&self, path: &Path) -> bool {
        let Some(parent) = path.parent() else { return false };
        // Kubernetes mounts files as links through `..data` and swaps that link.
        let swapped = path.file_name().is_some_and(|name| name == "..data");
        self.paths.contains(path)
            || (self.paths.contains(parent) && path.extension().is_some_and(|extension| extension == "toml"))
            || (swapped && (self.parents.contains(parent) || self.paths.contains(parent)))
    }
}

/// The first path of the event that matters. Reading is no change: otherwise each reload would ask for the next one.
fn relevant(event: &notify::Event, interest: &Mutex<Interest>) -> Option<PathBuf> {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Any
        | EventKind::Other => {}
        EventKind::Access(_) => return None,
    }
    let interest = interest.lock().unwrap_or_else(PoisonError::into_inner);
    event.paths.iter().find(|path| interest.covers(path)).cloned()
}

/// SIGHUP, where there is such a thing.
#[derive(Debug)]
struct Hangup {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangup {
    #[cfg(unix)]
    fn install() -> Self {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())
            .inspect_err(|error| warn!(%error, "SIGHUP cannot be received"))
            .ok();
        Self { signal }
    }

    #[cfg(not(unix))]
    fn install() -> Self {
        Self {}
    }

    /// Never returns without a signal.
    async fn received(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
