//! Claims: which deliveries go out now. Over all lanes of an account pages go before state changes before words, with a
//! small share against that order, and the oldest first within a class. No attempt begins without a slot and without its
//! part of the account's pace.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::holds::Holds;
use super::rows::{self, state};
use super::slots::Place;
use super::{Claimed, Slots, StoreError};
use crate::domain::delivery::{Class, Delivery, Destination};
use crate::domain::hold::Leave;
use crate::domain::pace::Cost;
use crate::domain::timestamp::Timestamp;

/// Longer than any attempt: the client's total time limit, a token, two look-ups.
pub(super) const LEASE: Duration = Duration::from_secs(90);

/// What the pace gives back call by call is claimed in groups: each claim is a commit.
const TOGETHER: Duration = Duration::from_millis(50);

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
            slots.take_back(&Place::of(delivery), now);
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
    let mut accounts: BTreeMap<Arc<str>, Vec<Destination>> = BTreeMap::new();
    for destination in destinations(connection)? {
        let account = slots.paces().account(&destination);
        accounts.entry(account.unwrap_or_else(|| destination.as_str().into())).or_default().push(destination);
    }
    for destinations in accounts.into_values() {
        let mut account = Account { connection, holds, slots, limit, now, doors: Vec::new(), waits: false };
        account.open(destinations, claimed)?;
        account.lease_all(claimed)?;
    }
    claimed.next_due = earlier(claimed.next_due, next_timer(connection)?);
    Ok(())
}

/// The destinations of one account while its part of a claim is made.
struct Account<'c> {
    connection: &'c Connection,
    holds: &'c mut Holds,
    slots: &'c Slots,
    limit: usize,
    now: Timestamp,
    doors: Vec<Door>,
    /// Somebody has to wait for the pace.
    waits: bool,
}

/// One destination of it, and what is due there.
struct Door {
    destination: Destination,
    leave: Leave,
    /// By class, the oldest first.
    due: [VecDeque<Due>; 3],
}

struct Due {
    /// Due and sequence.
    age: (i64, i64),
    delivery: Delivery,
}

impl Account<'_> {
    fn open(&mut self, destinations: Vec<Destination>, claimed: &mut Claimed) -> Result<(), StoreError> {
        for destination in destinations {
            let leave = self.holds.leave(&destination, self.now);
            if let Leave::Nothing { until } = leave {
                claimed.next_due = earlier(claimed.next_due, Some(until));
                continue;
            }
            claimed.next_due = earlier(claimed.next_due, self.holds.paused_until(&destination, self.now));
            claimed.next_due = earlier(claimed.next_due, next_due(self.connection, &destination, self.now)?);
            let mut due = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
            for (class, queue) in Class::ALL.into_iter().zip(&mut due).filter(|(class, _)| leave.allows(*class)) {
                // One more than the pace has room for, so that it is known whether somebody waits for it.
                let least = Cost::least(destination.side(), class);
                let room = self.slots.paces().room(&destination, least, self.now).unwrap_or(0).saturating_add(1);
                let free = self.limit.saturating_sub(claimed.deliveries.len()).min(leave.of_one_claim());
                let free = free.min(usize::try_from(room).unwrap_or(usize::MAX));
                *queue = self::due(self.connection, &destination, class, free, self.now)?;
            }
            self.doors.push(Door { destination, leave, due });
        }
        Ok(())
    }

    fn lease_all(&mut self, claimed: &mut Claimed) -> Result<(), StoreError> {
        let Some(any) = self.doors.first().map(|door| door.destination.clone()) else { return Ok(()) };
        while claimed.deliveries.len() < self.limit {
            let order = self.slots.paces().order(&any);
            let Some((class, number)) = order.into_iter().find_map(|class| Some((class, self.oldest(class)?))) else {
                break;
            };
            let Some(door) = self.doors.get_mut(number) else { break };
            let Some(Due { delivery, .. }) = door.due.get_mut(index(class)).and_then(VecDeque::pop_front) else {
                break;
            };
            let place = Place::of(&delivery);
            match self.slots.take(&place, door.leave.at_once(), self.now) {
                Ok(()) => {
                    // From here on the slot is the claim's to give back.
                    claimed.deliveries.push(delivery.clone());
                    lease(self.connection, &delivery, self.now)?;
                    if matches!(door.leave, Leave::Probe { .. }) {
                        door.due = Default::default();
                        self.holds.probing(self.connection, &door.destination, self.now)?;
                        if let Leave::Nothing { until } = self.holds.leave(&door.destination, self.now) {
                            claimed.next_due = earlier(claimed.next_due, Some(until));
                        }
                    }
                }
                Err(None) => door.due = Default::default(),
                Err(Some(until)) => {
                    self.waits = true;
                    claimed.next_due = earlier(claimed.next_due, Some(until.max(self.now.plus(TOGETHER))));
                    for door in &mut self.doors {
                        if let Some(queue) = door.due.get_mut(index(class)) {
                            queue.clear();
                        }
                    }
                }
            }
        }
        if !self.waits && claimed.deliveries.len() < self.limit {
            self.slots.paces().caught_up(&any);
        }
        Ok(())
    }

    /// Which door has the oldest delivery of the class.
    fn oldest(&self, class: Class) -> Option<usize> {
        let ages = self.doors.iter().enumerate().filter_map(|(number, door)| {
            let first = door.due.get(index(class))?.front()?;
            Some((first.age, number))
        });
        ages.min().map(|(_, number)| number)
    }
}

const fn index(class: Class) -> usize {
    match class {
        Class::Page => 0,
        Class::State => 1,
        Class::Words => 2,
    }
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
) -> Result<VecDeque<Due>, StoreError> {
    let rows: Vec<Result<Due, Uuid>> = connection
        .prepare_cached(
            "SELECT id, call, attempt + 1, CASE state WHEN 1 THEN 1 ELSE uncertain END, created_at, due, seq
             FROM delivery AS this
             WHERE destination = ?1 AND class = ?2 AND due <= ?3 AND state < 2
               AND NOT EXISTS (
                   SELECT 1 FROM delivery AS other
                   WHERE other.lane_hash = this.lane_hash AND other.lane = this.lane AND other.state < 2 AND other.seq <> this.seq
                     AND ((other.words, other.seq) < (this.words, this.seq) OR (other.state = 1 AND other.due > ?3)))
             ORDER BY due, seq LIMIT ?4",
        )?
        .query_map(
            params![destination.as_str(), class.number(), now.as_millis(), i64::try_from(limit).unwrap_or(i64::MAX)],
            |row| match rows::delivery(row) {
                Err(rusqlite::Error::FromSqlConversionFailure(..)) => Ok(Err(row.get(0)?)),
                other => Ok(Ok(Due { delivery: other?, age: (row.get(5)?, row.get(6)?) })),
            },
        )?
        .collect::<Result<_, _>>()?;
    let mut readable = VecDeque::with_capacity(rows.len());
    for row in rows {
        match row {
            Ok(due) => readable.push_back(due),
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
