//! Claims: which deliveries go out now. Pages before state changes before words, oldest first within a class.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::holds::{Holds, Leave};
use super::rows::{self, state};
use super::{Claimed, Slots, StoreError};
use crate::domain::delivery::{Class, Delivery, Destination};
use crate::domain::timestamp::Timestamp;

/// Longer than any attempt: the client's total time limit, a token, two look-ups.
pub(super) const LEASE: Duration = Duration::from_secs(90);

/// Leases what is due, not held back, first in its lane, and has a slot. On an error the slots are given back.
pub(super) fn claim(
    connection: &Connection,
    holds: &mut Holds,
    slots: &Slots,
    limit: usize,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    let mut claimed = Claimed::default();
    let done = gather(connection, holds, slots, limit, now, &mut claimed);
    if let Err(error) = done {
        for delivery in &claimed.deliveries {
            slots.give_back(&delivery.call.destination());
        }
        return Err(error);
    }
    Ok(claimed)
}

fn gather(
    connection: &Connection,
    holds: &mut Holds,
    slots: &Slots,
    limit: usize,
    now: Timestamp,
    claimed: &mut Claimed,
) -> Result<(), StoreError> {
    for destination in destinations(connection)? {
        let leave = holds.leave(&destination, now);
        if let Leave::Nothing { until } = leave {
            claimed.next_due = earlier(claimed.next_due, Some(until));
            continue;
        }
        claimed.next_due = earlier(claimed.next_due, holds.paused_until(&destination, now));
        let probe = matches!(leave, Leave::Probe { .. });
        let mut begun = false;
        for class in Class::ALL.into_iter().filter(|class| leave.allows(*class)) {
            let free = limit.saturating_sub(claimed.deliveries.len());
            for delivery in due(connection, &destination, class, free, now)? {
                if (probe && begun) || !slots.take(&destination) {
                    break;
                }
                // From here on the slot is the claim's to give back.
                claimed.deliveries.push(delivery.clone());
                lease(connection, &delivery, now)?;
                begun = true;
            }
        }
        if probe && begun {
            holds.probing(connection, &destination, now)?;
        }
        claimed.next_due = earlier(claimed.next_due, next_due(connection, &destination, now)?);
    }
    claimed.next_due = earlier(claimed.next_due, next_timer(connection)?);
    Ok(())
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Destinations with open deliveries, by hops over the index and not by a scan of it.
fn destinations(connection: &Connection) -> Result<Vec<Destination>, StoreError> {
    let rows = connection
        .prepare_cached(
            "WITH RECURSIVE hop (name) AS (
                 SELECT min(destination) FROM delivery WHERE state < 2
                 UNION ALL
                 SELECT (SELECT min(destination) FROM delivery WHERE state < 2 AND destination > hop.name)
                 FROM hop WHERE hop.name IS NOT NULL
             ) SELECT name FROM hop WHERE name IS NOT NULL",
        )?
        .query_map([], |row| row.get(0).map(Destination::stored))?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The first open row of its lane only; while an attempt of the lane is under way, none. Words wait for state changes.
fn due(
    connection: &Connection,
    destination: &Destination,
    class: Class,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Delivery>, StoreError> {
    let rows: Vec<Result<Delivery, Uuid>> = connection
        .prepare_cached(
            "SELECT id, call, attempt + 1, CASE state WHEN 1 THEN 1 ELSE uncertain END, created_at
             FROM delivery AS this
             WHERE destination = ?1 AND class = ?2 AND due <= ?3 AND state < 2
               AND NOT EXISTS (
                   SELECT 1 FROM delivery AS other
                   WHERE other.lane = this.lane AND other.state < 2 AND other.seq <> this.seq
                     AND ((other.words, other.seq) < (this.words, this.seq) OR (other.state = 1 AND other.due > ?3)))
             ORDER BY due LIMIT ?4",
        )?
        .query_map(
            params![destination.as_str(), class.number(), now.as_millis(), i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| match rows::delivery(row) {
                Err(rusqlite::Error::FromSqlConversionFailure(..)) => Ok(Err(row.get(0)?)),
                other => other.map(Ok),
            },
        )?
        .collect::<Result<_, _>>()?;
    let mut readable = Vec::with_capacity(rows.len());
    for row in rows {
        match row {
            Ok(delivery) => readable.push(delivery),
            Err(id) => bury(connection, id, now)?,
        }
    }
    Ok(readable)
}

/// A row that this version cannot read holds up nothing else: it is dead and waits for a person.
fn bury(connection: &Connection, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
    tracing::error!(delivery.id = %id, "a stored delivery cannot be read by this version; it is dead");
    connection
        .prepare_cached("UPDATE delivery SET state = ?2, finished_at = ?3, note = ?4 WHERE id = ?1")?
        .execute(params![id, state::DEAD, now.as_millis(), "this version cannot read it"])?;
    Ok(())
}

fn lease(connection: &Connection, delivery: &Delivery, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached("UPDATE delivery SET state = ?2, due = ?3, attempt = ?4, uncertain = ?5 WHERE id = ?1")?
        .execute(params![
            delivery.id.uuid(),
            state::LEASED,
            now.plus(LEASE).as_millis(),
            delivery.attempt,
            delivery.uncertain
        ])?;
    Ok(())
}

fn next_due(
    connection: &Connection,
    destination: &Destination,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let mut next = None;
    for class in Class::ALL {
        let due = connection
            .prepare_cached(
                "SELECT min(due) FROM delivery WHERE destination = ?1 AND class = ?2 AND due > ?3 AND state < 2",
            )?
            .query_row(params![destination.as_str(), class.number(), now.as_millis()], |row| {
                row.get::<_, Option<i64>>(0)
            })
            .optional()?
            .flatten();
        next = earlier(next, due.map(Timestamp::from_millis));
    }
    Ok(next)
}

fn next_timer(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let due: Option<i64> = connection.prepare_cached("SELECT min(due) FROM timer")?.query_row([], |row| row.get(0))?;
    Ok(due.map(Timestamp::from_millis))
}
