//! Whether a file is a store, and whole: asked before anything is written to it, and again when damage was found.
//!
//! What is cheap is asked at every start: the header, the length, the schema. A look at every page takes time that grows
//! with the file, so a small file has it before it is used, and a large one while it is used.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::trouble::{Failure, Fault};
use super::{OpenError, schema};

const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
/// Looked at page by page in less than the time that nobody notices at a start.
pub(super) const SMALL_BYTES: u64 = 16 * 1024 * 1024;

/// What stands beside a database under SQLite's own names.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Looks at the bytes of the file, before SQLite does: it would begin anew on an empty file and throw its log away.
pub(super) fn bytes(path: &Path) -> Result<(), OpenError> {
    let shown = || path.display().to_string();
    let failed = |source| OpenError::File { path: shown(), source };
    let damaged = |problem: String| Err(OpenError::Damaged { path: shown(), problem });
    let length = |path: &Path| match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    };
    let log = length(&beside(path, "-wal"))?.unwrap_or(0);
    let Some(found) = length(path)?.filter(|bytes| *bytes > 0) else {
        if log > 0 {
            return damaged(format!("it is missing or empty, but its log {}-wal holds {log} bytes", shown()));
        }
        return Ok(());
    };
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let file = File::open(path).map_err(failed)?;
    file.take(u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX)).read_to_end(&mut header).map_err(failed)?;
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return damaged("it is no SQLite database".to_owned());
    }
    match promised(&header).filter(|promised| log == 0 && *promised > found) {
        Some(promised) => damaged(format!("it has {found} bytes of {promised}: the rest is cut off")),
        None => Ok(()),
    }
}

/// The length that the header tells of, where it can be relied on. <https://www.sqlite.org/fileformat2.html>
fn promised(header: &[u8]) -> Option<u64> {
    let big_endian = |at: usize| -> Option<u32> {
        let bytes = header.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    if big_endian(24)? != big_endian(92)? {
        return None;
    }
    let page = match u16::from_be_bytes(header.get(16..18)?.try_into().ok()?) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    Some(page.saturating_mul(u64::from(big_endian(28)?)))
}

/// Looks at what tables there are: a database of another program is left alone, and one that lacks a table is damaged.
pub(super) fn tables(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let shown = path.display().to_string();
    let sqlite = |source| OpenError::of(&shown, source);
    let version = schema::version(connection).map_err(sqlite)?;
    if version > schema::latest() {
        return Err(OpenError::Newer { path: shown, found: version, known: schema::latest() });
    }
    let found = schema::objects(connection).map_err(sqlite)?;
    if version == 0 {
        return if found.is_empty() { Ok(()) } else { Err(OpenError::Foreign { path: shown }) };
    }
    let wanted = schema::objects_of(version).map_err(sqlite)?;
    match wanted.iter().find(|wanted| !found.contains(wanted)) {
        Some((name, _)) if found.iter().any(|(found, _)| found == name) => {
            Err(OpenError::Damaged { path: shown, problem: format!("`{name}` is not as this version makes it") })
        }
        Some((name, _)) => Err(OpenError::Damaged { path: shown, problem: format!("`{name}` is missing") }),
        None => Ok(()),
    }
}

/// Looks at every page; says what is wrong.
pub(super) fn pages(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then(|| said.trim().replace('\n', " ")))
}

/// The same on a connection of its own, beside whatever runs.
pub(super) fn pages_of(path: &Path) -> Result<(), Failure> {
    match pages(&Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?)? {
        None => Ok(()),
        Some(problem) => Err(Failure::new(Fault::Damaged, problem)),
    }
}

/// Which file it is, whatever its name.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}
