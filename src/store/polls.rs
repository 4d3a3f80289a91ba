//! What polling keeps: how far each source was read, when nobody could call, whose webhooks have come; and what the
//! ledger knows of many alerts at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, numbers, rows};
use crate::domain::event::{Condition, EventKind};
use crate::domain::id::{AlertKey, ExternalId};
use crate::domain::page::Page;
use crate::domain::reading::{Gap, Standing, rule_names};
use crate::domain::timestamp::Timestamp;

/// Azure keeps alerts for 30 days: a gap older than that has nothing to tell.
const GAPS_KEPT: Duration = Duration::from_hours(31 * 24);

/// What a poll writes down.
#[derive(Clone, Debug)]
pub enum PollChange {
    /// A source was read up to `at`.
    Read { source: String, at: Timestamp, polled_at: Timestamp },
    /// The bridge could not be called. One that was stored before and overlaps becomes one with it.
    Gap { gap: Gap, why: &'static str },
    /// The bridge is alive and can write.
    Alive,
    /// These rules call by webhook.
    Heard { connection: String, rules: Vec<String> },
}

/// What was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Nothing,
    /// When the bridge was last alive.
    Alive(Timestamp),
}

pub(super) fn change(connection: &Connection, change: &PollChange, now: Timestamp) -> Result<Before, StoreError> {
    match change {
        PollChange::Read { source, at, polled_at } => {
            connection
                .prepare_cached(
                    "INSERT INTO watermark (source, at, polled_at) VALUES (?1, ?2, ?3)
                     ON CONFLICT (source) DO UPDATE SET at = excluded.at, polled_at = excluded.polled_at",
                )?
                .execute(params![source, at.as_millis(), polled_at.as_millis()])?;
        }
        PollChange::Gap { gap, why } => {
            connection
                .prepare_cached(
                    "INSERT INTO gap (from_at, to_at, why)
                     SELECT min(?1, coalesce(min(from_at), ?1)), max(?2, coalesce(max(to_at), ?2)), ?3
                     FROM gap WHERE from_at <= ?2 AND to_at >= ?1",
                )?
                .execute(params![gap.from.as_millis(), gap.to.as_millis(), why])?;
            connection
                .prepare_cached("DELETE FROM gap WHERE id < last_insert_rowid() AND from_at <= ?2 AND to_at >= ?1")?
                .execute([gap.from.as_millis(), gap.to.as_millis()])?;
            connection
                .prepare_cached("DELETE FROM gap WHERE to_at < ?1")?
                .execute([now.minus(GAPS_KEPT).as_millis()])?;
        }
        PollChange::Alive => {
            let before = alive(connection)?;
            connection
                .prepare_cached(
                    "INSERT INTO alive (id, at) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET at = excluded.at",
                )?
                .execute([now.as_millis()])?;
            return Ok(before.map_or(Before::Nothing, Before::Alive));
        }
        PollChange::Heard { connection: name, rules } => {
            for rule in rules {
                hear(connection, name, rule, now)?;
            }
        }
    }
    Ok(Before::Nothing)
}

fn alive(connection: &Connection) -> Result<Option<Timestamp>, StoreError> {
    let at = connection.prepare_cached("SELECT at FROM alive")?.query_row([], |row| row.get(0)).optional()?;
    Ok(at.map(Timestamp::from_millis))
}

/// A webhook that tells of a firing shows that its rule calls.
pub(super) fn heard_by_webhook(connection: &Connection, kind: &EventKind, now: Timestamp) -> Result<(), StoreError> {
    let EventKind::Azure { connection: name, notification } = kind else { return Ok(()) };
    if notification.condition != Condition::Fired || notification.is_test() {
        return Ok(());
    }
    for rule in rule_names(notification) {
        hear(connection, name.as_str(), &rule, now)?;
    }
    Ok(())
}

fn hear(connection: &Connection, name: &str, rule: &str, now: Timestamp) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO rule_heard (connection, rule, first_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute(params![name, rule, now.as_millis()])?;
    Ok(())
}

/// What a poll of a source begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// The newest change that was read, by the source's clock. `None`: it was never read to its end.
    pub at: Option<Timestamp>,
    /// When that poll began, by ours.
    pub polled_at: Option<Timestamp>,
    pub gaps: Vec<Gap>,
}

pub(super) fn polled(connection: &Connection, source: &str) -> Result<Polled, StoreError> {
    let mark: Option<(i64, i64)> = connection
        .prepare_cached("SELECT at, polled_at FROM watermark WHERE source = ?1")?
        .query_row([source], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (at, polled_at) = mark.unzip();
    let gaps = connection
        .prepare_cached("SELECT from_at, to_at FROM gap")?
        .query_map([], |row| {
            Ok(Gap { from: Timestamp::from_millis(row.get(0)?), to: Timestamp::from_millis(row.get(1)?) })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Polled { at: at.map(Timestamp::from_millis), polled_at: polled_at.map(Timestamp::from_millis), gaps })
}

/// What the ledger knows of these alerts; unknown ones are left out.
pub(super) fn standings(
    connection: &Connection,
    keys: &[AlertKey],
) -> Result<BTreeMap<AlertKey, Standing>, StoreError> {
    let mut found = BTreeMap::new();
    let mut paged = connection.prepare_cached("SELECT 1 FROM page WHERE alert_id = ?1 LIMIT 1")?;
    for key in keys {
        let alert = match rows::alert(connection, key) {
            Ok(alert) => alert,
            // The writer judges such an alert as new, too.
            Err(StoreError::Sqlite(rusqlite::Error::FromSqlConversionFailure(..))) => None,
            Err(error) => return Err(error),
        };
        if let Some(alert) = alert {
            let paged = paged.exists([numbers::of_alert(connection, &alert.key)?])?;
            // Nothing can be on its way where nothing was ever wanted, as with most of a long list.
            let wanted = alert.azure.wanted.is_some();
            let open = if wanted { rows::open_in_azure(connection, &alert.key)? } else { Vec::new() };
            found.insert(key.clone(), Standing::new(alert, paged, &open));
        }
    }
    Ok(found)
}

/// Those of the names that have called.
pub(super) fn heard(connection: &Connection, name: &str, rules: &[String]) -> Result<BTreeSet<String>, StoreError> {
    let mut query = connection.prepare_cached("SELECT 1 FROM rule_heard WHERE connection = ?1 AND rule = ?2")?;
    let mut heard = BTreeSet::new();
    for rule in rules {
        if !heard.contains(rule) && query.exists([name, rule])? {
            heard.insert(rule.clone());
        }
    }
    Ok(heard)
}

/// These pages; unknown ones are left out.
pub(super) fn pages(connection: &Connection, ids: &[ExternalId]) -> Result<BTreeMap<ExternalId, Page>, StoreError> {
    let mut query = connection.prepare_cached("SELECT state FROM page WHERE alert_id = ?1 AND id = ?2")?;
    let mut found = BTreeMap::new();
    for id in ids {
        let Some((number, _)) = numbers::of_page(connection, id)? else { continue };
        let page = query.query_row(params![number, id.as_str()], |row| rows::json::<Page>(row, 0));
        if let Some(page) = page.optional()? {
            found.insert(id.clone(), page);
        }
    }
    Ok(found)
}
