//! A whole copy of the store while it is in use. It is read in one transaction, beside the writer and without holding it up,
//! looked at page by page, and gets its name last: a file that bears the name is a whole one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use uuid::Uuid;

use super::examine;
use super::file::BUSY;

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path} exists already")]
    Exists { path: String },
    #[error("cannot make {path}")]
    File { path: String, source: io::Error },
    #[error("the store was not copied")]
    Store(#[from] rusqlite::Error),
    #[error("the copy is not whole: {problem}")]
    NotWhole { problem: String },
    #[error("another backup is under way")]
    UnderWay,
}

/// Writes a copy that only its owner can read, and says how many bytes it has. Nothing is overwritten.
pub(super) fn write(store: &Path, to: &Path) -> Result<u64, BackupError> {
    let failed = |source| BackupError::File { path: to.display().to_string(), source };
    let exists = || BackupError::Exists { path: to.display().to_string() };
    if fs::symlink_metadata(to).is_ok() {
        return Err(exists());
    }
    let partial = Partial::make(to).map_err(failed)?;
    let connection = Connection::open_with_flags(store, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    connection.execute("VACUUM INTO ?1", [partial.0.to_string_lossy()])?;
    let copy = Connection::open_with_flags(&partial.0, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // What is open now may have been sent by the time that the copy is restored.
    copy.execute("UPDATE delivery SET uncertain = 1 WHERE state < 2", [])?;
    if let Some(problem) = examine::pages(&copy)? {
        return Err(BackupError::NotWhole { problem });
    }
    drop(copy);
    let file = File::open(&partial.0).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    // Unlike a rename this replaces nothing that has come to lie there meanwhile.
    fs::hard_link(&partial.0, to)
        .map_err(|error| if error.kind() == io::ErrorKind::AlreadyExists { exists() } else { failed(error) })?;
    drop(partial);
    File::open(folder_of(to)).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(file.metadata().map_err(failed)?.len())
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A copy that is being made; gone with this value.
struct Partial(PathBuf);

impl Partial {
    fn make(to: &Path) -> io::Result<Self> {
        let path = folder_of(to).join(format!(".backup-{}.partial", Uuid::now_v7().simple()));
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(error = %error, file = %self.0.display(), "a file of a backup is left behind");
        }
    }
}
