//! What went out shortly before this process began, for the pace: a restart is no way around a limit.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::rows;
use crate::domain::pace::Cost;
use crate::domain::timestamp::Timestamp;
use crate::paces::Paces;

/// The longest window of any limit that has no memory of its own on the other side.
const LOOK_BACK: Duration = Duration::from_mins(1);

/// Counts the deliveries that ended lately, and those that were under way when the last process died. Attempts that
/// failed and wait for another are not known by their time: there are few of them where the other side takes anything.
pub(super) fn remember(connection: &Connection, paces: &Paces, now: Timestamp) -> rusqlite::Result<()> {
    let mut query = connection.prepare(
        "SELECT id, call, attempt, uncertain, created_at, finished_at FROM delivery
         WHERE finished_at > ?1 AND finished_at IS NOT NULL AND attempt > 0
         UNION ALL
         SELECT id, call, attempt, 0, created_at, ?2 FROM delivery
         WHERE state < 2 AND state = 0 AND attempt > 0 AND uncertain = 1 AND due > ?2 - 1
         ORDER BY 6",
    )?;
    let mut found = query.query(params![now.minus(LOOK_BACK).as_millis(), now.as_millis()])?;
    while let Some(row) = found.next()? {
        // A row that this version cannot read is of no account here.
        let Ok(delivery) = rows::delivery(row) else { continue };
        let at = Timestamp::from_millis(row.get(5)?).min(now);
        paces.remember(&delivery.call.destination(), Cost::of(&delivery.call, false), at);
    }
    Ok(())
}
