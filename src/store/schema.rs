//! Migrations: files in order, each applied once, in one transaction with the version number.

use rusqlite::Connection;

use super::numbers;

/// Oldest first. A migration that has shipped is never edited.
const MIGRATIONS: [&str; 6] = [
    include_str!("../../migrations/0001_init.sql"),
    include_str!("../../migrations/0002_digests.sql"),
    include_str!("../../migrations/0003_polling.sql"),
    include_str!("../../migrations/0004_hold_open_since.sql"),
    include_str!("../../migrations/0005_leased.sql"),
    include_str!("../../migrations/0006_numbers.sql"),
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
    numbers::teach(connection)?;
    let done = usize::try_from(version(connection)?).unwrap_or(usize::MAX);
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    if done < wanted {
        // What a migration of a large store might have to put back does not fit into memory.
        connection.pragma_update(None, "temp_store", "FILE")?;
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().take(wanted).skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", i64::try_from(index.saturating_add(1)).unwrap_or(i64::MAX))?;
        transaction.commit()?;
    }
    connection.pragma_update(None, "temp_store", "MEMORY")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{EventKind, Happened, Signl4Change};
    use crate::domain::id::{AlertKey, ExternalId, TeamName};
    use crate::domain::timestamp::Timestamp;
    use crate::store::rows;

    #[test]
    fn what_belongs_to_an_alert_is_found_by_its_number_after_the_migration() {
        let mut store = Connection::open_in_memory().unwrap();
        migrate_to(&mut store, 5).unwrap();
        store
            .execute_batch(
                "INSERT INTO alert VALUES ('sub:b', 20, '{}'), ('sub:a', 10, '{}');
                 INSERT INTO page (id, alert, number, ended, state, digest) VALUES
                     ('azmon:sub:b', 'sub:b', 1, 1, '{}', NULL), ('azmon:sub:b:2', 'sub:b', 2, 0, '{}', 'digest:x');
                 INSERT INTO timer (page, alert, kind, due) VALUES ('azmon:sub:b:2', 'another', '\"time_to_live\"', 30);
                 INSERT INTO event (uuid, received_at, side, source, kind, reason, alert, repeat_key, headers, body) VALUES
                     (x'01020304050607080102030405060708', 1, 'azure', 'contoso', 'fired', 'paged', 'sub:b', 'fired@1', '{}', x''),
                     (x'02020304050607080102030405060708', 2, 'azure', 'contoso', 'foreign', 'foreign', 'sub:gone', 'foreign@2', '{}', x'');
                 INSERT INTO delivery (id, lane, words, destination, class, kind, state, due, attempt, uncertain, created_at, call)
                     VALUES (x'03', 'signl4 azmon:sub:b:2', 0, 'signl4 ops', 0, 'raise', 0, 5, 0, 0, 5, '{}');",
            )
            .unwrap();
        migrate(&mut store).unwrap();
        let number = |query: &str| -> Option<i64> { store.query_row(query, [], |row| row.get(0)).unwrap() };
        let alert = numbers::of_alert(&store, &AlertKey::stored("sub:b".to_owned())).unwrap();
        assert!(alert.is_some());
        for page in ["azmon:sub:b", "azmon:sub:b:2"] {
            let found = numbers::of_page(&store, &ExternalId::stored(page.to_owned())).unwrap();
            assert_eq!(found, alert.map(|number| (number, AlertKey::stored("sub:b".to_owned()))), "{page}");
        }
        assert_eq!(number("SELECT alert_id FROM timer"), alert);
        let kind = EventKind::Signl4 {
            team: TeamName::parse("ops").unwrap(),
            page: ExternalId::stored("azmon:sub:b".to_owned()),
            change: Signl4Change {
                notification_id: None,
                happened: Happened::Created,
                raised_at: Timestamp::EPOCH,
                person: None,
                alert_id: None,
                note: None,
                polled: false,
            },
        };
        let heard_before = |key: &str| rows::earlier(&store, &kind, key, Timestamp::EPOCH).unwrap().is_some();
        assert!(heard_before("fired@1") && heard_before("foreign@2") && !heard_before("fired@2"));
        assert_eq!(number("SELECT count(*) FROM page WHERE digest = 'digest:x' AND ended = 0"), Some(1));
        assert_eq!(number("SELECT lane_hash FROM delivery"), Some(numbers::hash("signl4 azmon:sub:b:2")));
    }
}
