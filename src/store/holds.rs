//! What holds destinations back, kept in memory by the writer and written through.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::{Hold, StoreError};
use crate::domain::delivery::{Class, Destination, Outcome};
use crate::domain::id::Side;
use crate::domain::timestamp::Timestamp;

/// A denied destination is tried again this often: SIGNL4 allows ten erroneous requests a minute.
const PROBE_EVERY: Duration = Duration::from_mins(1);

/// A destination's wish to wait is honoured up to here where pages wait.
const LONGEST_WAIT_OF_PAGES: Duration = Duration::from_mins(5);

pub(super) struct Holds {
    by_destination: HashMap<Destination, Hold>,
}

/// How an attempt ended, as far as its destination is concerned.
pub(super) struct Heard<'a> {
    pub(super) destination: &'a Destination,
    pub(super) outcome: &'a Outcome,
    pub(super) note: &'a str,
    pub(super) begun_at: Timestamp,
    /// It was made with the credential that the destination's other calls need.
    pub(super) proves_credential: bool,
}

/// What a destination may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    All,
    /// An operator's pause: no Raise.
    NoPages,
    /// One delivery, to see whether the destination takes us again; no Raise while an operator has paused the team.
    Probe {
        pages: bool,
    },
    Nothing {
        until: Timestamp,
    },
}

impl Leave {
    pub(super) fn allows(self, class: Class) -> bool {
        match self {
            Self::All | Self::Probe { pages: true } => true,
            Self::NoPages | Self::Probe { pages: false } => class != Class::Page,
            Self::Nothing { .. } => false,
        }
    }
}

impl Holds {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let rows = all(connection)?;
        Ok(Self { by_destination: rows.into_iter().map(|hold| (hold.destination.clone(), hold)).collect() })
    }

    pub(super) fn leave(&self, destination: &Destination, now: Timestamp) -> Leave {
        let Some(hold) = self.by_destination.get(destination) else { return Leave::All };
        if let Some(until) = hold.waits_until.filter(|until| *until > now) {
            return Leave::Nothing { until };
        }
        let paused = hold.paused_until.is_some_and(|until| until > now);
        match (hold.denied_since, paused) {
            (Some(_), paused) => Leave::Probe { pages: !paused },
            (None, true) => Leave::NoPages,
            (None, false) => Leave::All,
        }
    }

    /// When an operator's pause of the destination ends.
    pub(super) fn paused_until(&self, destination: &Destination, now: Timestamp) -> Option<Timestamp> {
        self.by_destination.get(destination)?.paused_until.filter(|until| *until > now)
    }

    /// The probe of a denied destination begins: the next one is a minute away.
    pub(super) fn probing(
        &mut self,
        connection: &Connection,
        destination: &Destination,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.change(connection, destination, |hold| hold.waits_until = Some(now.plus(PROBE_EVERY)))
    }

    /// What the outcome of an attempt says of its destination. An attempt that began before the destination denied us, or
    /// asked us to wait, says nothing of it now.
    pub(super) fn heard(
        &mut self,
        connection: &Connection,
        heard: &Heard<'_>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let destination = heard.destination;
        match heard.outcome {
            Outcome::Denied { .. } => self.change(connection, destination, |hold| {
                hold.denied_since = hold.denied_since.or(Some(now));
                hold.waits_until = Some(now.plus(PROBE_EVERY));
                hold.why = Some(heard.note.to_owned());
            }),
            Outcome::Busy { after: Some(after) } => {
                let longest = match destination.side() {
                    Side::Azure => *after,
                    // Pages are not laid by for an hour because a proxy said so.
                    Side::Signl4 => (*after).min(LONGEST_WAIT_OF_PAGES),
                };
                self.change(connection, destination, |hold| {
                    hold.waits_until = hold.waits_until.max(Some(now.plus(longest)));
                })
            }
            Outcome::Accepted => {
                let Some(hold) = self.by_destination.get(destination) else { return Ok(()) };
                let denied_before = hold.denied_since.is_some_and(|since| since <= heard.begun_at);
                if denied_before && heard.proves_credential {
                    due_at_once(connection, destination, now)?;
                    return self.change(connection, destination, |hold| {
                        hold.denied_since = None;
                        hold.waits_until = None;
                        hold.why = None;
                    });
                }
                if hold.denied_since.is_none() && hold.waits_until.is_some_and(|until| until <= now) {
                    return self.change(connection, destination, |hold| hold.waits_until = None);
                }
                Ok(())
            }
            Outcome::Busy { after: None }
            | Outcome::NotYet { .. }
            | Outcome::Refused { .. }
            | Outcome::Unsent
            | Outcome::Unknown
            | Outcome::OurFault => Ok(()),
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

    /// Credential or configuration changed: denied destinations are tried at once.
    pub(super) fn probe_all(&mut self, connection: &Connection, now: Timestamp) -> Result<(), StoreError> {
        let denied: Vec<Destination> = self
            .by_destination
            .values()
            .filter(|hold| hold.denied_since.is_some())
            .map(|hold| hold.destination.clone())
            .collect();
        for destination in denied {
            due_at_once(connection, &destination, now)?;
            self.change(connection, &destination, |hold| hold.waits_until = None)?;
        }
        Ok(())
    }

    fn change(
        &mut self,
        connection: &Connection,
        destination: &Destination,
        change: impl FnOnce(&mut Hold),
    ) -> Result<(), StoreError> {
        let hold = self.by_destination.entry(destination.clone()).or_insert_with(|| Hold {
            destination: destination.clone(),
            paused_until: None,
            denied_since: None,
            waits_until: None,
            why: None,
        });
        change(hold);
        if hold.paused_until.is_none() && hold.denied_since.is_none() && hold.waits_until.is_none() {
            connection.prepare_cached("DELETE FROM hold WHERE destination = ?1")?.execute([destination.as_str()])?;
            self.by_destination.remove(destination);
            return Ok(());
        }
        connection
            .prepare_cached(
                "INSERT INTO hold (destination, paused_until, denied_since, waits_until, why) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (destination) DO UPDATE SET paused_until = excluded.paused_until,
                 denied_since = excluded.denied_since, waits_until = excluded.waits_until, why = excluded.why",
            )?
            .execute(params![
                destination.as_str(),
                hold.paused_until.map(Timestamp::as_millis),
                hold.denied_since.map(Timestamp::as_millis),
                hold.waits_until.map(Timestamp::as_millis),
                hold.why
            ])?;
        Ok(())
    }
}

/// What was denied waits for the next probe: it need not, once the destination may take us again.
fn due_at_once(connection: &Connection, destination: &Destination, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE delivery SET due = ?2 WHERE destination = ?1 AND state < 2 AND state = 0 AND due > ?2 AND outcome = 'denied'",
        )?
        .execute(params![destination.as_str(), now.as_millis()])?;
    Ok(())
}

/// All holds, as stored.
pub(super) fn all(connection: &Connection) -> Result<Vec<Hold>, StoreError> {
    let rows = connection
        .prepare_cached(
            "SELECT destination, paused_until, denied_since, waits_until, why FROM hold ORDER BY destination",
        )?
        .query_map([], |row| {
            let time = |index| row.get::<_, Option<i64>>(index).map(|millis| millis.map(Timestamp::from_millis));
            Ok(Hold {
                destination: Destination::stored(row.get(0)?),
                paused_until: time(1)?,
                denied_since: time(2)?,
                waits_until: time(3)?,
                why: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
