//! Removes what is finished and old, a bounded number of rows at a time. An alert stays as long as a page of it is open.

use rusqlite::{Connection, params};

use super::StoreError;
use crate::domain::timestamp::Timestamp;

const ROWS_AT_ONCE: i64 = 500;

/// Removes rows last touched before `before`; says how many.
pub(super) fn retain(connection: &Connection, before: Timestamp) -> Result<usize, StoreError> {
    let before = before.as_millis();
    let mut removed = connection
        .prepare_cached(
            "DELETE FROM delivery WHERE seq IN (
                 SELECT seq FROM delivery WHERE finished_at < ?1 AND state <> 3 LIMIT ?2)",
        )?
        .execute(params![before, ROWS_AT_ONCE])?;
    let alerts: Vec<(i64, String)> = connection
        .prepare_cached(
            "SELECT id, key FROM alert WHERE heard_at < ?1
               AND NOT EXISTS (SELECT 1 FROM page WHERE page.alert_id = alert.id AND +page.ended = 0)
               AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.lane_hash = bridge_hash('azure ' || alert.key)
                               AND delivery.lane = 'azure ' || alert.key AND delivery.state < 2)
               AND NOT EXISTS (SELECT 1 FROM page JOIN delivery ON delivery.lane_hash = bridge_hash('signl4 ' || page.id)
                               WHERE page.alert_id = alert.id AND delivery.lane = 'signl4 ' || page.id
                                 AND delivery.state < 2)
               AND NOT EXISTS (SELECT 1 FROM page JOIN delivery ON delivery.page = page.id
                               WHERE page.alert_id = alert.id AND delivery.state = 3)
             LIMIT ?2",
        )?
        .query_map(params![before, ROWS_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (number, key) in &alerts {
        connection.prepare_cached("DELETE FROM page WHERE alert_id = ?1")?.execute([number])?;
        connection.prepare_cached("DELETE FROM thread WHERE alert = ?1")?.execute([key])?;
        connection.prepare_cached("DELETE FROM joined WHERE head = ?1")?.execute([key])?;
        connection.prepare_cached("DELETE FROM alert WHERE id = ?1")?.execute([number])?;
    }
    removed = removed.saturating_add(alerts.len());
    removed = removed.saturating_add(
        connection
            .prepare_cached(
                "DELETE FROM event WHERE id IN (
                     SELECT id FROM event WHERE received_at < ?1
                       AND (alert IS NULL OR NOT EXISTS (SELECT 1 FROM alert WHERE alert.hash = bridge_hash(event.alert)
                                                                               AND alert.key = event.alert)) LIMIT ?2)",
            )?
            .execute(params![before, ROWS_AT_ONCE])?,
    );
    Ok(removed)
}
