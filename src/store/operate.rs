//! What an operator may change: send a dead delivery again, drop one, pause a team, resume it.

use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::holds::Holds;
use super::rows::state;
use crate::domain::delivery::Destination;
use crate::domain::id::DeliveryId;
use crate::domain::timestamp::Timestamp;

/// An operator's wish.
#[derive(Clone, Debug)]
pub enum Change {
    /// A dead delivery becomes due again.
    Replay(DeliveryId),
    /// A delivery that is not under way is given up for good.
    Drop(DeliveryId),
    /// Raises to a destination wait until then.
    Pause {
        destination: Destination,
        until: Timestamp,
    },
    Resume {
        destination: Destination,
    },
    /// Credential or configuration changed: denied destinations are tried at once.
    ProbeAll,
    /// Writes and commits one row, to show that the store can.
    Pulse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    Done,
    NotFound,
    /// The delivery's state does not allow it; what it is.
    Not {
        state: &'static str,
    },
}

pub(super) fn change(
    connection: &Connection,
    holds: &mut Holds,
    change: &Change,
    now: Timestamp,
) -> Result<Changed, StoreError> {
    match change {
        Change::Replay(id) => move_from(connection, *id, &[state::DEAD], |id| {
            connection
                .prepare_cached(
                    "UPDATE delivery SET state = ?2, due = ?3, finished_at = NULL, created_at = ?3 WHERE id = ?1",
                )?
                .execute(params![id.uuid(), state::DUE, now.as_millis()])
        }),
        Change::Drop(id) => move_from(connection, *id, &[state::DEAD, state::DUE], |id| {
            connection
                .prepare_cached("UPDATE delivery SET state = ?2, finished_at = ?3 WHERE id = ?1")?
                .execute(params![id.uuid(), state::DROPPED, now.as_millis()])
        }),
        Change::Pause { destination, until } => {
            holds.pause(connection, destination, Some(*until))?;
            Ok(Changed::Done)
        }
        Change::Resume { destination } => {
            holds.pause(connection, destination, None)?;
            Ok(Changed::Done)
        }
        Change::ProbeAll => {
            holds.probe_all(connection)?;
            Ok(Changed::Done)
        }
        Change::Pulse => {
            connection
                .prepare_cached(
                    "INSERT INTO pulse (id, at) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET at = excluded.at",
                )?
                .execute([now.as_millis()])?;
            Ok(Changed::Done)
        }
    }
}

fn move_from(
    connection: &Connection,
    id: DeliveryId,
    from: &[i64],
    update: impl FnOnce(DeliveryId) -> rusqlite::Result<usize>,
) -> Result<Changed, StoreError> {
    let found: Option<i64> = connection
        .prepare_cached("SELECT state FROM delivery WHERE id = ?1")?
        .query_row([id.uuid()], |row| row.get(0))
        .optional()?;
    match found {
        None => Ok(Changed::NotFound),
        Some(now) if from.contains(&now) => {
            update(id)?;
            Ok(Changed::Done)
        }
        Some(other) => Ok(Changed::Not { state: state::name(other) }),
    }
}
