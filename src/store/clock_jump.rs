//! A clock that was set back. What waits for a time would wait that much longer, held pages among it: it all moves along.
//!
//! A clock that was set forward needs nothing: what waits is due sooner. The race that is accepted: an attempt under way at
//! that moment seems to have outlived its lease.

use rusqlite::{Connection, OptionalExtension, params};

use crate::domain::timestamp::Timestamp;

/// Smaller steps are corrections, as every clock has them.
const STEP_MS: i64 = 60 * 1000;
/// So many of the latest deliveries count for how busy a team was.
const LATEST: i64 = 5_000;

/// The latest time that the store knows of.
pub(super) fn latest(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let at: Option<Option<i64>> =
        connection.prepare_cached("SELECT max(received_at) FROM event")?.query_row([], |row| row.get(0)).optional()?;
    Ok(at.flatten().map(Timestamp::from_millis))
}

/// Follows a clock that has come from one time to an earlier one. True: something moved.
pub(super) fn follow(connection: &Connection, from: Timestamp, to: Timestamp) -> rusqlite::Result<bool> {
    let back = from.as_millis().saturating_sub(to.as_millis());
    if back < STEP_MS {
        return Ok(false);
    }
    tracing::warn!(seconds = back / 1000, "the clock was set back: what waits for a time moves along");
    connection.execute("UPDATE delivery SET due = due - ?1 WHERE state < 2", [back])?;
    connection.execute(
        "UPDATE delivery SET created_at = created_at - ?1
         WHERE created_at > ?2 AND seq > (SELECT max(seq) FROM delivery) - ?3",
        params![back, to.as_millis(), LATEST],
    )?;
    // What was heard in a time that is to come again: the next start would take the clock for set back once more.
    connection.execute(
        "UPDATE event SET received_at = received_at - ?1 WHERE received_at > ?2",
        params![back, to.as_millis()],
    )?;
    connection.execute("UPDATE timer SET due = due - ?1", [back])?;
    connection.execute(
        "UPDATE page SET state = json_set(state, '$.until', json_extract(state, '$.until') - ?1)
         WHERE ended = 0 AND json_extract(state, '$.phase') = 'held'",
        [back],
    )?;
    connection.execute(
        "UPDATE hold SET waits_until = waits_until - ?1, paused_until = paused_until - ?1,
                         denied_since = denied_since - ?1, open_since = open_since - ?1",
        [back],
    )?;
    Ok(true)
}
