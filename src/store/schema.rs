//! Migrations: files in order, each applied once, in one transaction with the version number.

use rusqlite::Connection;

/// Oldest first. A migration that has shipped is never edited.
const MIGRATIONS: [&str; 5] = [
    include_str!("../../migrations/0001_init.sql"),
    include_str!("../../migrations/0002_digests.sql"),
    include_str!("../../migrations/0003_polling.sql"),
    include_str!("../../migrations/0004_hold_open_since.sql"),
    include_str!("../../migrations/0005_leased.sql"),
];

/// What this version knows.
pub(super) fn latest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Names and definitions of all tables and indexes.
pub(super) fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Those that a store of this version has.
pub(super) fn objects_of(version: i64) -> rusqlite::Result<Vec<(String, String)>> {
    let mut connection = Connection::open_in_memory()?;
    migrate_to(&mut connection, version)?;
    objects(&connection)
}

/// Applies what is missing.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_to(connection, latest())
}

fn migrate_to(connection: &mut Connection, wanted: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    for (index, migration) in MIGRATIONS.iter().enumerate().take(wanted).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index.saturating_add(1)).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    Ok(())
}
