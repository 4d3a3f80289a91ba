//! Moves the write-ahead log into the database beside the writer: no commit, and nobody who is paged, waits for that.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::file;

/// Pages in the log, of 4 KiB. So many more, and they are moved.
const SOME: i32 = 1_000;
/// The log begins anew only once all of it has been moved, which beside a busy writer may never be. At this length the
/// writer moves the rest itself.
const MANY: i32 = 8_000;

/// Starts with the writer's connection and ends with it.
pub(super) fn beside(writer: &mut Connection, path: &Path) -> rusqlite::Result<JoinHandle<()>> {
    let connection = file::open_beside(path)?;
    let (wake, woken) = sync_channel::<()>(1);
    let mut moved = 0;
    writer.wal_hook(Some(move |log: &mut Wal, pages: i32| {
        if pages < moved {
            moved = 0;
        }
        if pages >= MANY {
            moved = pages;
            // It may be under way beside us; then the next commit tries again.
            return log.checkpoint().or(Ok(()));
        }
        if pages.saturating_sub(moved) >= SOME && wake.try_send(()).is_ok() {
            moved = pages;
        }
        Ok(())
    }))?;
    let moves = move || {
        while woken.recv().is_ok() {
            if let Err(error) = connection.pragma_query(None, "wal_checkpoint", |_| Ok(())) {
                tracing::warn!(error = %error, "the write-ahead log cannot be moved beside the writer; the writer does it");
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("store-checkpoints".to_owned())
        .spawn(moves)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
