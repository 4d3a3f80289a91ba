//! What holds destinations back (`domain::hold`), kept in memory by the writer and written through.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::StoreError;
use crate::domain::after::SETTLE;
use crate::domain::delivery::Destination;
use crate::domain::hold::{FEW, Heard, Hold, Leave, News, Rests};
use crate::domain::timestamp::Timestamp;

pub(super) struct Holds {
    rests: Rests,
    by_destination: HashMap<Destination, Hold>,
}

impl Holds {
    pub(super) fn load(connection: &Connection, rests: Rests) -> Result<Self, StoreError> {
        let rows = all(connection, rests)?;
        Ok(Self { rests, by_destination: rows.into_iter().map(|hold| (hold.destination.clone(), hold)).collect() })
    }

    pub(super) fn get(&self, destination: &Destination) -> Option<&Hold> {
        self.by_destination.get(destination)
    }

    pub(super) fn leave(&self, destination: &Destination, now: Timestamp) -> Leave {
        // Nothing is known of it, so nothing shows that it takes us.
        let unknown = Leave::Open { pages: true, at_once: Some(FEW) };
        self.get(destination).map_or(unknown, |hold| hold.leave(now))
    }

    /// When an operator's pause of the destination ends.
    pub(super) fn paused_until(&self, destination: &Destination, now: Timestamp) -> Option<Timestamp> {
        self.get(destination)?.pause_ends(now)
    }

    /// The probe of a destination that is denied or out of reach begins.
    pub(super) fn probing(
        &mut self,
        connection: &Connection,
        destination: &Destination,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(connection, destination, |hold| hold.probing(now))
    }

    /// What the outcome of an attempt says of its destination. Whether that may have made work for a claim.
    pub(super) fn heard(
        &mut self,
        connection: &Connection,
        destination: &Destination,
        heard: &Heard<'_>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        match self.change(connection, destination, |hold| hold.heard(heard, now))? {
            News::None => Ok(false),
            News::OutOfReach => {
                tracing::warn!(
                    destination = %destination, note = heard.note,
                    "a destination is out of reach: its deliveries wait, and one is tried each minute at least"
                );
                due_at_once(connection, destination, now)?;
                Ok(true)
            }
            News::Back => {
                tracing::info!(destination = %destination, "a destination takes us again: what waited goes out");
                due_at_once(connection, destination, now)?;
                Ok(true)
            }
        }
    }

    pub(super) fn pause(
        &mut self,
        connection: &Connection,
        destination: &Destination,
        until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        self.change(connection, destination, |hold| hold.paused_until = until)
    }

    /// Credential or configuration changed: what is denied or out of reach is tried at once.
    pub(super) fn probe_all(&mut self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        let all: Vec<Destination> = self.by_destination.keys().cloned().collect();
        for destination in all {
            if self.change(connection, &destination, Hold::try_again)? {
                due_at_once(connection, &destination, now)?;
            }
        }
        Ok(())
    }

    /// Changes a hold, and its row where the row has part in the change.
    fn change<T>(
        &mut self,
        connection: &Connection,
        destination: &Destination,
        change: impl FnOnce(&mut Hold) -> T,
    ) -> Result<T, StoreError> {
        let rests = self.rests;
        let fresh = || Hold::new(destination.clone(), rests);
        let hold = self.by_destination.entry(destination.clone()).or_insert_with(fresh);
        let kept = |hold: &Hold| (hold.paused_until, hold.denied_since, hold.open_since, hold.waits_until);
        let before = kept(hold);
        let changed = change(hold);
        if kept(hold) == before {
            return Ok(changed);
        }
        if hold.is_empty() {
            connection.prepare_cached("DELETE FROM hold WHERE destination = ?1")?.execute([destination.as_str()])?;
            return Ok(changed);
        }
        connection
            .prepare_cached(
                "INSERT INTO hold (destination, paused_until, denied_since, open_since, waits_until, why)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (destination) DO UPDATE SET paused_until = excluded.paused_until,
                 denied_since = excluded.denied_since, open_since = excluded.open_since,
                 waits_until = excluded.waits_until, why = excluded.why",
            )?
            .execute(params![
                destination.as_str(),
                hold.paused_until.map(Timestamp::as_millis),
                hold.denied_since.map(Timestamp::as_millis),
                hold.open_since.map(Timestamp::as_millis),
                hold.waits_until.map(Timestamp::as_millis),
                hold.why
            ])?;
        Ok(changed)
    }
}

/// What waits because of its destination need not: the next probe decides for all. As old as they are, so that the oldest
/// goes first; a Raise that may have arrived still waits for SIGNL4's own word.
fn due_at_once(connection: &Connection, destination: &Destination, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE delivery
             SET due = CASE WHEN kind = 'raise' AND outcome = 'unknown' THEN min(due, ?3) ELSE min(created_at, ?2) END
             WHERE destination = ?1 AND state < 2 AND state = 0 AND attempt > 0
               AND outcome IN ('denied', 'unsent', 'unknown', 'busy')",
        )?
        .execute(params![destination.as_str(), now.as_millis(), now.plus(SETTLE).as_millis()])?;
    Ok(())
}

/// All holds, as stored.
pub(super) fn all(connection: &Connection, rests: Rests) -> Result<Vec<Hold>, StoreError> {
    let rows = connection
        .prepare_cached(
            "SELECT destination, paused_until, denied_since, open_since, waits_until, why FROM hold ORDER BY destination",
        )?
        .query_map([], |row| {
            let time = |index| row.get::<_, Option<i64>>(index).map(|millis| millis.map(Timestamp::from_millis));
            let mut hold = Hold::new(Destination::stored(row.get(0)?), rests);
            hold.paused_until = time(1)?;
            hold.denied_since = time(2)?;
            hold.open_since = time(3)?;
            hold.waits_until = time(4)?;
            hold.why = row.get(5)?;
            Ok(hold)
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
