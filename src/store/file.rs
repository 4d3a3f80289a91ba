//! The database file: one process at a time, on a local disk, readable by its owner only, whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::trouble::{Condition, Failure, Fault};
use super::{OpenError, examine, numbers, schema};
use crate::domain::timestamp::Timestamp;

/// A file ready for the writer.
pub(super) struct OpenFile {
    pub(super) connection: Connection,
    /// Held as long as the process uses the file.
    pub(super) lock: File,
    pub(super) interrupted: usize,
    pub(super) path: PathBuf,
    pub(super) condition: Arc<Condition>,
    /// Too large to be looked at page by page before it is used.
    pub(super) unexamined: bool,
}

/// After a crash, a Raise that was under way waits this long for SIGNL4's own event before it is settled.
const SETTLE: Duration = Duration::from_secs(15);

/// Another program's lock is waited for so long: less than callers wait, so that they hear why.
pub(super) const BUSY: Duration = Duration::from_secs(4);

const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

const LOCK_TRIES: u32 = 10;
const LOCK_REST: Duration = Duration::from_millis(100);

const NETWORK_FILE_SYSTEMS: [&str; 12] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "lustre",
    "afs",
];

pub(super) fn open(path: &Path, now: Timestamp) -> Result<OpenFile, OpenError> {
    let shown = path.display().to_string();
    let file = |source| OpenError::File { path: shown.clone(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(kind) = file_system(folder).filter(|kind| NETWORK_FILE_SYSTEMS.contains(&kind.as_str())) {
        return Err(OpenError::NetworkFileSystem { path: shown, kind });
    }
    let lock = private(&examine::beside(path, ".lock")).map_err(file)?;
    take(&lock).map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse { path: shown.clone() },
        TryLockError::Error(source) => file(source),
    })?;
    examine::bytes(path)?;
    // Created here and not by SQLite, so that the file and its WAL are born private.
    let bytes = private(path).and_then(|file| file.metadata()).map_err(file)?.len();
    let sqlite = |source| OpenError::of(&shown, source);
    let mut connection = Connection::open_with_flags(path, FLAGS).map_err(sqlite)?;
    connection.busy_timeout(BUSY).map_err(sqlite)?;
    // Until it is known to be whole, nothing is written to it, not even what its log holds.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    examine::tables(&connection, path)?;
    let unexamined = bytes > examine::SMALL_BYTES;
    if !unexamined && let Some(problem) = examine::pages(&connection).map_err(sqlite)? {
        return Err(OpenError::Damaged { path: shown, problem });
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(sqlite)?;
    prepare(&connection).map_err(sqlite)?;
    schema::migrate(&mut connection).map_err(sqlite)?;
    let interrupted = recover(&connection, now).map_err(sqlite)?;
    let condition = Arc::new(Condition::new(path.to_owned()));
    Ok(OpenFile { connection, lock, interrupted, path: path.to_owned(), condition, unexamined })
}

/// Opens the file of a running bridge anew. It must be there: nothing is created.
pub(super) fn reopen(path: &Path) -> Result<Connection, Failure> {
    let connection = Connection::open_with_flags(path, FLAGS)?;
    connection.busy_timeout(BUSY)?;
    let found = schema::version(&connection)?;
    if found != schema::latest() {
        return Err(Failure::new(Fault::Damaged, format!("its schema is {found}")));
    }
    prepare(&connection)?;
    // What commits that failed have left in the log is nobody's: it is not to be found there after a crash.
    connection.pragma_update_and_check(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()))?;
    Ok(connection)
}

/// A further connection of the bridge's own to the file that it has open.
pub(super) fn open_beside(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, FLAGS)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

/// Takes the lock; a process that was just killed may take a moment to let go of it.
fn take(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_REST),
            other => return other,
        }
    }
    lock.try_lock()
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    numbers::teach(connection)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // FULL: a commit is on the disk when it returns. NORMAL would lose answered events with the power.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    // What a savepoint would put back stays in memory: in files, it costs as much as the write-ahead log itself.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Plans do not follow the values that are bound. SQLite would else plan anew, each time that it runs, every statement
    // whose value meets an index with a condition: a tenth of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Attempts that were under way when the last process died: nobody knows whether they arrived.
fn recover(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection.execute(
        "UPDATE delivery SET state = 0, uncertain = 1, due = CASE kind WHEN 'raise' THEN ?1 ELSE ?2 END WHERE state = 1",
        [now.plus(SETTLE).as_millis(), now.as_millis()],
    )
}

/// Opens or creates a file that only its owner can read.
pub(crate) fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// The kind of file system that holds the folder, from the longest mount point above it.
fn file_system(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    kind_of(&mounts, &folder)
}

fn kind_of(mounts: &str, folder: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((fields.next()?.replace("\\040", " "), fields.next()?))
        })
        .filter(|(point, _)| folder.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_tells_the_file_system() {
        let mounts =
            "/dev/vda / ext4 rw 0 0\nserver:/x /var/lib nfs4 rw 0 0\n/dev/vdb /var/lib/local\\040disk xfs rw 0 0\n";
        for (folder, kind) in [("/etc", "ext4"), ("/var/lib/bridge", "nfs4"), ("/var/lib/local disk/b", "xfs")] {
            assert_eq!(kind_of(mounts, Path::new(folder)).as_deref(), Some(kind), "{folder}");
        }
    }

    #[test]
    fn a_second_process_a_newer_schema_and_damage_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.db");
        let now = Timestamp::from_millis(0);
        let first = open(&path, now).unwrap();
        assert!(matches!(open(&path, now), Err(OpenError::InUse { .. })));
        first.connection.pragma_update(None, "user_version", 99).unwrap();
        drop(first);
        assert!(matches!(open(&path, now), Err(OpenError::Newer { found: 99, .. })));
        let damaged = folder.path().join("damaged.db");
        std::fs::write(&damaged, b"this is no database, and long enough to have a header of one hundred bytes or more, as a real file would have it").unwrap();
        assert!(matches!(open(&damaged, now), Err(OpenError::Damaged { .. })));
    }

    #[test]
    fn a_commit_is_on_the_disk_when_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let opened = open(&folder.path().join("bridge.db"), Timestamp::from_millis(0)).unwrap();
        let pragma = |name: &str| -> String {
            let value = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
            format!("{:?}", opened.connection.query_row(&format!("PRAGMA {name}"), [], value).unwrap())
        };
        assert_eq!(pragma("synchronous"), "Integer(2)", "FULL");
        assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
    }

    #[test]
    fn files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridge.db");
        let opened = open(&path, Timestamp::from_millis(0)).unwrap();
        opened.connection.execute("DELETE FROM event", []).unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
        }
    }
}
