//! Alerts by number. What belongs to an alert has its number, so that rows that come together lie together; only the
//! alert itself is looked up by a name, through a hash of it. Hashes say where to look: names are compared as well.

use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest, Sha256};

use crate::domain::id::{AlertKey, ExternalId};

/// Of a name, the same for ever: it is stored.
pub(super) fn hash(name: &str) -> i64 {
    Sha256::digest(name.as_bytes()).iter().take(8).fold(0, |hash, byte| (hash << 8) | i64::from(*byte))
}

/// Makes [`hash`] known to statements, as `bridge_hash`.
pub(super) fn teach(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("bridge_hash", 1, flags, |context| {
        let name = context.get_raw(0).as_str_or_null()?;
        Ok(name.map(hash))
    })
}

/// The number of an alert that has a row.
pub(super) fn of_alert(connection: &Connection, key: &AlertKey) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM alert WHERE hash = ?1 AND key = ?2")?
        .query_row(params![hash(key.as_str()), key.as_str()], |row| row.get(0))
        .optional()
}

/// The number of a page's alert, and its key.
pub(super) fn of_page(connection: &Connection, page: &ExternalId) -> rusqlite::Result<Option<(i64, AlertKey)>> {
    let mut query = connection.prepare_cached(
        "SELECT alert.id, page.alert FROM alert JOIN page ON page.alert_id = alert.id WHERE alert.hash = ?1 AND page.id = ?2",
    )?;
    for name in page.made_of() {
        let found = query
            .query_row(params![hash(name), page.as_str()], |row| Ok((row.get(0)?, AlertKey::stored(row.get(1)?))))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
