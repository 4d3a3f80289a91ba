//! What an operator may change: send a dead delivery again, drop one, pause a team, resume it.

use rusqlite::{Connection, OptionalExtension, params};

use super::holds::Holds;
use super::rows::{self, state};
use super::{StoreError, digests, numbers};
use crate::domain::delivery::{Call, Destination};
use crate::domain::digest::is_digest;
use crate::domain::event::{Condition, TimerKind};
use crate::domain::id::DeliveryId;
use crate::domain::page::{Ending, Page, Phase};
use crate::domain::timestamp::Timestamp;

/// An operator's wish.
#[derive(Clone, Debug)]
pub enum Change {
    /// A dead delivery becomes due again; a Raise of an alert that Azure has resolved only by force.
    Replay {
        id: DeliveryId,
        force: bool,
    },
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
        Change::Replay { id, force } => replay(connection, *id, *force, now),
        Change::Drop(id) => give_up(connection, *id, now),
        Change::Pause { destination, until } => {
            holds.pause(connection, destination, Some(*until))?;
            Ok(Changed::Done)
        }
        Change::Resume { destination } => {
            holds.pause(connection, destination, None)?;
            Ok(Changed::Done)
        }
        Change::ProbeAll => {
            holds.probe_all(connection, now)?;
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

/// A dead Raise comes back with its page: what happens to the alert from now on reaches it again. It goes through the same
/// release as a page whose hold is over; by force it goes out as it is.
fn replay(connection: &Connection, id: DeliveryId, force: bool, now: Timestamp) -> Result<Changed, StoreError> {
    let found: Option<(Call, bool)> = connection
        .prepare_cached("SELECT call, uncertain FROM delivery WHERE id = ?1")?
        .query_row([id.uuid()], |row| Ok((rows::json(row, 0)?, row.get(1)?)))
        .optional()?;
    let (call, is_uncertain) = found.map_or((None, false), |(call, is_uncertain)| (Some(call), is_uncertain));
    let (mut page, mut members) = (None, Vec::new());
    if let Some(Call::Raise { page: raised, body, .. }) = &call
        && let Some(key) = rows::alert_of(connection, raised)?
    {
        let known = rows::known(connection, &key)?;
        if known.alert.as_ref().is_some_and(|alert| alert.condition == Condition::Resolved) && !force {
            return Ok(Changed::Not { state: "resolved" });
        }
        if is_digest(&key) {
            members = digests::shown_again(connection, &key)?;
            if !members.is_empty() && !members.iter().any(Page::is_joined) && !force {
                return Ok(Changed::Not { state: "resolved" });
            }
        }
        page = known.pages.into_iter().find(|page| page.id == *raised).map(|page| page.revived(body.clone()));
    }
    // A page that somebody may have got is settled by its delivery, which knows of its attempts.
    let released = page.clone().filter(|page| !force && page.phase == Phase::Raising && !is_uncertain);
    let changed = move_from(connection, id, &[state::DEAD], |id| {
        if released.is_some() {
            return connection
                .prepare_cached("UPDATE delivery SET state = ?2, note = ?3 WHERE id = ?1")?
                .execute(params![id.uuid(), state::SUPERSEDED, "replayed: released anew"]);
        }
        connection
            .prepare_cached(
                "UPDATE delivery SET state = ?2, due = ?3, finished_at = NULL, created_at = ?3 WHERE id = ?1",
            )?
            .execute(params![id.uuid(), state::DUE, now.as_millis()])
    })?;
    if changed == Changed::Done {
        digests::put_members(connection, &members, now)?;
        if let Some(page) = &released {
            rows::put_page(connection, &Page { phase: Phase::Held { until: now }, ..page.clone() })?;
            // A digest gathers anew: its members may have ended meanwhile.
            let rings = if is_digest(&page.alert) { TimerKind::DigestDue } else { TimerKind::GraceEnded };
            rows::set_timer(connection, Some(&page.alert), &page.id, &rings, now)?;
        } else if let Some(page) = page {
            rows::put_page(connection, &page)?;
        }
        if let Some(Call::ChangeState { target, .. }) = &call {
            let known = rows::known(connection, &target.key)?;
            if let Some(mut alert) = known.alert {
                alert.want_what_is_left(&known.open);
                rows::put_alert(connection, &alert)?;
            }
        }
    }
    Ok(changed)
}

/// A dropped Raise ends its page: what stands behind it has nothing to change.
fn give_up(connection: &Connection, id: DeliveryId, now: Timestamp) -> Result<Changed, StoreError> {
    let changed =
        move_from(connection, id, &[state::DEAD, state::DUE], |id| {
            connection
                .prepare_cached("UPDATE delivery SET state = ?2, finished_at = ?3 WHERE id = ?1")?
                .execute(params![id.uuid(), state::DROPPED, now.as_millis()])
        })?;
    if changed != Changed::Done {
        return Ok(changed);
    }
    let call: Call = connection
        .prepare_cached("SELECT call FROM delivery WHERE id = ?1")?
        .query_row([id.uuid()], |row| rows::json(row, 0))?;
    if let Call::ChangeState { target, .. } = &call {
        let known = rows::known(connection, &target.key)?;
        if let Some(mut alert) = known.alert {
            alert.want_what_is_left(&known.open);
            rows::put_alert(connection, &alert)?;
        }
    }
    if let Call::Raise { page: raised, .. } = &call
        && let Some(key) = rows::alert_of(connection, raised)?
    {
        let known = rows::known(connection, &key)?;
        if let Some(mut page) = known.pages.into_iter().find(|page| page.id == *raised && !page.is_ended()) {
            page.phase = Phase::Ended { why: Ending::NotRaised };
            rows::put_page(connection, &page)?;
            if is_digest(&key) {
                digests::end_members(connection, &key, now)?;
            }
        }
        let lane = call.lane();
        connection
            .prepare_cached(
                "UPDATE delivery SET state = ?3, finished_at = ?4
                 WHERE lane_hash = ?1 AND lane = ?2 AND state < 2 AND state = 0",
            )?
            .execute(params![numbers::hash(&lane), lane, state::SUPERSEDED, now.as_millis()])?;
    }
    Ok(changed)
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
