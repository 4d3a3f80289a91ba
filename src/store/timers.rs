//! Timers that are due: each becomes an event, or goes on to the next members of a digest.

use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Uuid;

use super::answer::chain;
use super::trouble::Failure;
use super::writer::{Heard, Writer};
use super::{StoreError, digests, numbers, rows};
use crate::domain::decide::Reason;
use crate::domain::event::{Event, EventKind, Signl4Change, TimerKind};
use crate::domain::id::{EventId, ExternalId, Side};
use crate::domain::timestamp::Timestamp;

const TIMERS_AT_ONCE: usize = 256;
/// A timer that could not be judged rings again after this.
const RING_AGAIN: Duration = Duration::from_mins(5);

impl Writer {
    /// Every timer that is due becomes an event. One that cannot be judged rings again later.
    pub(super) fn ring(&mut self, connection: &Connection, now: Timestamp) -> Result<usize, StoreError> {
        let due: Vec<(i64, String, String)> = connection
            .prepare_cached("SELECT id, page, kind FROM timer WHERE due <= ?1 ORDER BY due LIMIT ?2")?
            .query_map(params![now.as_millis(), i64::try_from(TIMERS_AT_ONCE).unwrap_or(i64::MAX)], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        for (id, of, kind) in &due {
            self.ring_apart(connection, *id, of, kind, now)?;
        }
        Ok(due.len())
    }

    /// Rings one timer in a savepoint of its own: what goes wrong with it keeps no other from ringing, unless it is the
    /// store's trouble.
    fn ring_apart(
        &mut self,
        connection: &Connection,
        id: i64,
        of: &str,
        kind: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let handed = self.handed.len();
        connection.prepare_cached("SAVEPOINT timer")?.execute([])?;
        if let Err(error) = self.ring_one(connection, id, of, kind, now) {
            if Failure::of_store(&error).is_some() {
                return Err(error);
            }
            tracing::error!(page.id = of, error = %chain(&error), "a timer could not ring; it rings again later");
            connection.prepare_cached("ROLLBACK TO timer")?.execute([])?;
            self.take_back(handed);
            self.remember(connection);
            connection
                .prepare_cached("UPDATE timer SET due = ?2 WHERE id = ?1")?
                .execute([id, now.plus(RING_AGAIN).as_millis()])?;
        }
        connection.prepare_cached("RELEASE timer")?.execute([])?;
        Ok(())
    }

    fn ring_one(
        &mut self,
        connection: &Connection,
        id: i64,
        of: &str,
        kind: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // One that rang before it may have removed it, and its number may be another's by now.
        let still_there = connection
            .prepare_cached("UPDATE timer SET due = ?2 WHERE id = ?1 AND page = ?3 AND kind = ?4")?
            .execute(params![id, now.plus(RING_AGAIN).as_millis(), of, kind])?;
        if still_there == 0 {
            return Ok(());
        }
        let Ok(timer) = serde_json::from_str::<TimerKind>(kind) else {
            tracing::error!(page.id = of, "a stored timer cannot be read by this version; it rings again later");
            return Ok(());
        };
        // What people did to a digest reaches its members before their end reaches it: they may live again.
        if let Some(spreads_at) = spreads_at(connection, of)?.filter(|_| timer == TimerKind::LastMemberEnded) {
            // Later than now, if the clock was set back: nothing comes of looking again before then.
            connection
                .prepare_cached("UPDATE timer SET due = ?2 WHERE id = ?1")?
                .execute(params![id, spreads_at.max(now).as_millis()])?;
            self.nudge |= spreads_at <= now;
            return Ok(());
        }
        let page = ExternalId::stored(of.to_owned());
        let over = match timer {
            TimerKind::ToMembers { change, beyond } => {
                self.spread(connection, id, &page, &change, beyond.as_ref(), now)?
            }
            TimerKind::GraceEnded
            | TimerKind::TimeToLive
            | TimerKind::PageAgain
            | TimerKind::DigestDue
            | TimerKind::LastMemberEnded
            | TimerKind::Alone => {
                let reason = self.hear(connection, EventKind::Timer { page, timer }, now)?;
                reason != Reason::Unreadable
            }
        };
        if over {
            connection
                .prepare_cached("DELETE FROM timer WHERE id = ?1 AND page = ?2 AND kind = ?3")?
                .execute(params![id, of, kind])?;
        }
        Ok(())
    }

    /// An event of our own making.
    fn hear(&mut self, connection: &Connection, kind: EventKind, now: Timestamp) -> Result<Reason, StoreError> {
        let event = Event::new(EventId::new(Uuid::now_v7()), now, kind);
        let heard = Heard { side: Side::Azure, source: "timer", repeat_key: None, headers: "{}", body: &[] };
        self.judge_and_write(connection, &event, &heard, now)
    }

    /// A change of a digest reaches the next few of its members. True: it has reached all.
    fn spread(
        &mut self,
        connection: &Connection,
        timer: i64,
        digest: &ExternalId,
        change: &Signl4Change,
        beyond: Option<&ExternalId>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(key) = rows::alert_of(connection, digest)? else { return Ok(true) };
        let members = digests::members_beyond(connection, &key, beyond)?;
        let Some((last, _)) = members.last().cloned() else { return Ok(true) };
        for (page, team) in members {
            // One that cannot be read keeps the change from no other.
            let Some(team) = team else { continue };
            self.hear(connection, EventKind::Signl4 { team, page, change: change.clone() }, now)?;
        }
        let next = TimerKind::ToMembers { change: Box::new(change.clone()), beyond: Some(last) };
        connection.prepare_cached("UPDATE timer SET kind = ?2, due = ?3 WHERE id = ?1")?.execute(params![
            timer,
            serde_json::to_string(&next)?,
            now.as_millis()
        ])?;
        self.nudge = true;
        Ok(false)
    }
}

/// When a change of the digest that has not reached all its members goes on; `None`: there is none.
fn spreads_at(connection: &Connection, digest: &str) -> Result<Option<Timestamp>, StoreError> {
    let number = numbers::of_page(connection, &ExternalId::stored(digest.to_owned()))?.map(|(number, _)| number);
    let timers: Vec<(String, i64)> = connection
        .prepare_cached("SELECT kind, due FROM timer WHERE alert_id = ?1 AND page = ?2")?
        .query_map(params![number, digest], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    let changes = |kind: &str| matches!(serde_json::from_str(kind), Ok(TimerKind::ToMembers { .. }));
    Ok(timers.iter().filter(|(kind, _)| changes(kind)).map(|(_, due)| Timestamp::from_millis(*due)).min())
}
