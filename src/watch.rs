//! Says when the configuration should be read again: a watched file changed, or SIGHUP came.
//!
//! The files are looked at every second and not subscribed to: whatever replaces them is seen, renaming editors, swapped
//! links of Kubernetes and network file systems included, and the store, which often lies beside the configuration and is
//! written thousands of times a second, costs nothing. Several changes close together count as one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tracing::warn;

/// Between two looks. After a change one look must find nothing new.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After so long a change is told even if it is never quiet.
const LONGEST: Duration = Duration::from_secs(5);

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
    paths: BTreeSet<PathBuf>,
    seen: Seen,
    every: Duration,
    hangup: Hangup,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    path: PathBuf,
    first: Instant,
}

/// The files that are there, each with what tells it from its earlier and later self.
type Seen = BTreeMap<PathBuf, Print>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    modified: Option<SystemTime>,
    bytes: u64,
    /// Another file of that name, or other rights.
    identity: (u64, i64, i64),
}

impl Print {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let identity = (0, 0, 0);
        Self { modified: metadata.modified().ok(), bytes: metadata.len(), identity }
    }
}

/// Begins to watch `paths` (files or folders, see [`crate::config::Config::watched`]). Needs a Tokio runtime.
pub fn watch(paths: &BTreeSet<PathBuf>) -> Watch {
    let mut watch = Watch {
        paths: BTreeSet::new(),
        seen: Seen::new(),
        every: LOOK_EVERY,
        hangup: Hangup::install(),
        pending: None,
    };
    watch.follow(paths);
    watch
}

impl Watch {
    /// Watches these paths from now on: after a reload they may be others.
    pub fn follow(&mut self, paths: &BTreeSet<PathBuf>) {
        self.paths.clone_from(paths);
        self.seen = look(paths);
    }

    /// Waits for the next reason to reload. Dropping the future loses nothing.
    pub async fn wanted(&mut self) -> Reload {
        loop {
            tokio::select! {
                // What is pending stays: a file may be half written at this moment.
                () = self.hangup.received() => return Reload::Hangup,
                () = tokio::time::sleep(self.every) => {}
            }
            let paths = self.paths.clone();
            // A folder of another machine may be slow to answer.
            let Ok(now) = tokio::task::spawn_blocking(move || look(&paths)).await else { continue };
            let change = first_difference(&self.seen, &now);
            let quiet = change.is_none();
            self.seen = now;
            if let (None, Some(path)) = (&self.pending, change) {
                self.pending = Some(Pending { path, first: Instant::now() });
            }
            if let Some(pending) = self.pending.take_if(|pending| quiet || pending.first.elapsed() >= LONGEST) {
                return Reload::Changed(pending.path);
            }
        }
    }
}

/// Of a folder, the `*.toml` in it; hidden files are editors' and Kubernetes' own.
fn look(paths: &BTreeSet<PathBuf>) -> Seen {
    let mut seen = Seen::new();
    for path in paths {
        let Ok(metadata) = path.metadata() else { continue };
        if !metadata.is_dir() {
            seen.insert(path.clone(), Print::of(&metadata));
            continue;
        }
        for entry in path.read_dir().into_iter().flatten().flatten() {
            let path = entry.path();
            if counts(&path)
                && let Ok(metadata) = path.metadata()
            {
                seen.insert(path, Print::of(&metadata));
            }
        }
    }
    seen
}

fn counts(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    !hidden && path.extension().is_some_and(|extension| extension == "toml")
}

/// The first file that is new, gone or another.
fn first_difference(before: &Seen, now: &Seen) -> Option<PathBuf> {
    let changed = now.iter().find(|(path, print)| before.get(*path) != Some(print));
    let gone = before.keys().find(|path| !now.contains_key(*path));
    changed.map(|(path, _)| path).into_iter().chain(gone).min().cloned()
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
