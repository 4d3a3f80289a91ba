//! Claims: which deliveries go out now. Pages before state changes before words, oldest first within a class.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::holds::{Holds, Leave};
use super::rows::{self, state};
use super::{Claimed, Slots, StoreError};
use crate::domain::delivery::{Class, Delivery, Destination};
use crate::domain::timestamp::Timestamp;

/// Longer than any attempt: the client's total time limit, a token, two look-ups.
pub(super) const LEASE: Duration = Duration::from_secs(90);

/// Leases what is due, not held back, first in its lane, and has a slot.
pub(super) fn claim(
    connection: &Connection,
    holds: &mut Holds,
    slots: &Slots,
    limit: usize,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    let mut claimed = Claimed::default();
    for destination in destinations(connection)? {
        let leave = holds.leave(&destination, now);
        if let Leave::Nothing { until } = leave {
            claimed.next_due = earlier(claimed.next_due, Some(until));
            continue;
        }
        claimed.next_due = earlier(claimed.next_due, holds.paused_until(&destination, now));
        for class in Class::ALL {
            if !leave.allows(class) {
                continue;
            }
            let due = due(connection, &destination, class, limit.saturating_sub(claimed.deliveries.len()), now)?;
            for delivery in due {
                if !slots.take(&destination) {
                    break;
                }
                lease(connection, &delivery, now)?;
                let probe = leave == Leave::Probe;
                claimed.deliveries.push(delivery);
                if probe {
                    holds.probing(connection, &destination, now)?;
                    break;
                }
            }
            if leave == Leave::Probe && holds.leave(&destination, now) != Leave::Probe {
                break;
            }
        }
        claimed.next_due = earlier(claimed.next_due, next_due(connection, &destination, now)?);
    }
    claimed.next_due = earlier(claimed.next_due, next_timer(connection)?);
    Ok(claimed)
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
    let rows = connection
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
            rows::delivery,
        )?
        .collect::<Result<_, _>>()?;
    Ok(rows)
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
