//! Rows in and out: what is known of an alert, and a verdict written down. Used inside the writer's transaction.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{StoreError, numbers};
use crate::domain::decide::{Finished, Owed, Verdict};
use crate::domain::delivery::{CallKind, Delivery};
use crate::domain::event::{EventKind, TimerKind};
use crate::domain::id::{AlertKey, DeliveryId, EventId, ExternalId};
use crate::domain::page::{Alert, Known, OpenDelivery, Page};
use crate::domain::timestamp::Timestamp;

/// States of a delivery row.
pub(super) mod state {
    pub(crate) const DUE: i64 = 0;
    pub(crate) const LEASED: i64 = 1;
    pub(crate) const DONE: i64 = 2;
    pub(crate) const DEAD: i64 = 3;
    pub(crate) const SUPERSEDED: i64 = 4;
    pub(crate) const CONFIRMED: i64 = 5;
    pub(crate) const DROPPED: i64 = 6;

    pub(crate) const ALL: [(&str, i64); 7] = [
        ("due", DUE),
        ("leased", LEASED),
        ("done", DONE),
        ("dead", DEAD),
        ("superseded", SUPERSEDED),
        ("confirmed", CONFIRMED),
        ("dropped", DROPPED),
    ];

    pub(crate) fn name(number: i64) -> &'static str {
        ALL.iter().find(|(_, known)| *known == number).map_or("unknown", |(name, _)| name)
    }

    pub(crate) fn number(name: &str) -> Option<i64> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
    }
}

/// All rows that bear on an alert: its own, or those of the alert that it has joined.
pub(super) fn known(connection: &Connection, key: &AlertKey) -> Result<Known, StoreError> {
    let own = known_of(connection, key)?;
    if own.alert.is_some() {
        return Ok(own);
    }
    head(connection, key)?.map_or(Ok(own), |head| known_of(connection, &head))
}

/// The rows of the alert that a thread begins with.
pub(super) fn known_of_thread(connection: &Connection, thread: &str) -> Result<Known, StoreError> {
    let head: Option<String> = connection
        .prepare_cached("SELECT alert FROM thread WHERE key = ?1")?
        .query_row([thread], |row| row.get(0))
        .optional()?;
    head.map_or(Ok(Known::default()), |head| known_of(connection, &AlertKey::stored(head)))
}

/// An alert's own row, or that of the alert that it has joined.
pub(super) fn alert(connection: &Connection, key: &AlertKey) -> Result<Option<Alert>, StoreError> {
    let own = own_alert(connection, key)?;
    if own.is_some() {
        return Ok(own);
    }
    head(connection, key)?.map_or(Ok(None), |head| own_alert(connection, &head))
}

fn own_alert(connection: &Connection, key: &AlertKey) -> Result<Option<Alert>, StoreError> {
    Ok(numbered(connection, key)?.map(|(_, alert)| alert))
}

/// An alert's own row, with its number.
fn numbered(connection: &Connection, key: &AlertKey) -> Result<Option<(i64, Alert)>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id, state FROM alert WHERE hash = ?1 AND key = ?2")?
        .query_row(params![numbers::hash(key.as_str()), key.as_str()], |row| Ok((row.get(0)?, json(row, 1)?)))
        .optional()?)
}

fn head(connection: &Connection, key: &AlertKey) -> Result<Option<AlertKey>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT head FROM joined WHERE alert = ?1")?
        .query_row([key.as_str()], |row| row.get(0))
        .optional()?
        .map(AlertKey::stored))
}

fn known_of(connection: &Connection, key: &AlertKey) -> Result<Known, StoreError> {
    let Some((number, alert)) = numbered(connection, key)? else { return Ok(Known::default()) };
    let pages: Vec<Page> = connection
        .prepare_cached("SELECT state FROM page WHERE alert_id = ?1 ORDER BY number")?
        .query_map([number], |row| json(row, 0))?
        .collect::<Result<_, _>>()?;
    let mut open = open_of_lane(connection, &azure_lane(key))?;
    for member in &alert.members {
        open.extend(open_of_lane(connection, &azure_lane(&member.key))?);
    }
    for page in &pages {
        open.extend(open_of_lane(connection, &signl4_lane(&page.id))?);
    }
    Ok(Known { alert: Some(alert), pages, open, ..Known::default() })
}

/// The alert that a page belongs to.
pub(super) fn alert_of(connection: &Connection, page: &ExternalId) -> Result<Option<AlertKey>, StoreError> {
    Ok(numbers::of_page(connection, page)?.map(|(_, key)| key))
}

fn azure_lane(key: &AlertKey) -> String {
    format!("azure {key}")
}

fn signl4_lane(page: &ExternalId) -> String {
    format!("signl4 {page}")
}

/// What is owed to Azure for an alert.
pub(super) fn open_in_azure(connection: &Connection, key: &AlertKey) -> Result<Vec<OpenDelivery>, StoreError> {
    open_of_lane(connection, &azure_lane(key))
}

fn open_of_lane(connection: &Connection, lane: &str) -> Result<Vec<OpenDelivery>, StoreError> {
    let rows = connection
        .prepare_cached(
            "SELECT id, call, attempt, state, uncertain FROM delivery
             WHERE lane_hash = ?1 AND lane = ?2 AND state < 2 ORDER BY words, seq",
        )?
        .query_map(params![numbers::hash(lane), lane], |row| {
            Ok(OpenDelivery {
                id: DeliveryId::new(row.get(0)?),
                call: json(row, 1)?,
                attempt: row.get(2)?,
                leased: row.get::<_, i64>(3)? == state::LEASED,
                uncertain: row.get(4)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The stored event that says the same.
pub(super) fn earlier(
    connection: &Connection,
    kind: &EventKind,
    repeat_key: &str,
    now: Timestamp,
) -> Result<Option<EventId>, StoreError> {
    let number = if let EventKind::Signl4 { page, .. } = kind {
        numbers::of_page(connection, page)?.map(|(number, _)| number)
    } else if let Some(key) = kind.alert_key(now) {
        numbers::of_alert(connection, &key)?
    } else {
        None
    };
    let of_alert = match number {
        Some(number) => connection
            .prepare_cached("SELECT uuid FROM event WHERE alert_id = ?1 AND repeat_key = ?2")?
            .query_row(params![number, repeat_key], |row| row.get(0))
            .optional()?,
        None => None,
    };
    let of_none = || {
        connection
            .prepare_cached("SELECT uuid FROM event WHERE alert_id IS NULL AND repeat_key = ?1")?
            .query_row([repeat_key], |row| row.get(0))
            .optional()
    };
    Ok(of_alert.map_or_else(of_none, |uuid| Ok(Some(uuid)))?.map(EventId::new))
}

/// An event row, written after its verdict is applied.
pub(super) struct EventFields<'a> {
    pub(super) id: EventId,
    pub(super) received_at: Timestamp,
    pub(super) side: &'a str,
    pub(super) source: &'a str,
    pub(super) kind: &'a str,
    pub(super) reason: &'a str,
    pub(super) alert: Option<&'a AlertKey>,
    pub(super) alert_id: Option<i64>,
    pub(super) page: Option<&'a ExternalId>,
    pub(super) repeat_key: Option<&'a str>,
    pub(super) headers: &'a str,
    pub(super) body: &'a [u8],
}

pub(super) fn insert_event(connection: &Connection, event: &EventFields<'_>) -> Result<i64, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO event (uuid, received_at, side, source, kind, reason, alert, alert_id, page, repeat_key, headers, body)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            event.id.uuid(),
            event.received_at.as_millis(),
            event.side,
            event.source,
            event.kind,
            event.reason,
            event.alert.map(AlertKey::as_str),
            event.alert_id,
            event.page.map(ExternalId::as_str),
            event.repeat_key,
            event.headers,
            event.body,
        ])?;
    Ok(connection.last_insert_rowid())
}

/// Writes all of a verdict but the deliveries, which the writer may hand over at once. Gives the number of the alert `key`.
pub(super) fn apply(
    connection: &Connection,
    key: Option<&AlertKey>,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let number = verdict.alert.as_ref().map(|alert| put_alert(connection, alert)).transpose()?;
    for alert in &verdict.opened {
        put_alert(connection, alert)?;
    }
    for page in &verdict.pages {
        let is_of_alert = verdict.alert.as_ref().is_some_and(|alert| alert.key == page.alert);
        match number.filter(|_| is_of_alert) {
            Some(number) => put_page_of(connection, number, page)?,
            None => put_page(connection, page)?,
        }
    }
    if let Some((thread, alert)) = &verdict.thread {
        connection
            .prepare_cached(
                "INSERT INTO thread (key, alert) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET alert = excluded.alert",
            )?
            .execute([thread.as_str(), alert.as_str()])?;
    }
    if let Some((alert, head)) = &verdict.joined {
        connection
            .prepare_cached("INSERT INTO joined (alert, head) VALUES (?1, ?2) ON CONFLICT (alert) DO NOTHING")?
            .execute([alert.as_str(), head.as_str()])?;
    }
    for (id, how) in &verdict.finished {
        let state = match how {
            Finished::Superseded => state::SUPERSEDED,
            Finished::Confirmed => state::CONFIRMED,
        };
        connection
            .prepare_cached("UPDATE delivery SET state = ?2, finished_at = ?3 WHERE id = ?1 AND state < 2")?
            .execute(params![id.uuid(), state, now.as_millis()])?;
    }
    for (id, call) in &verdict.amended {
        connection
            .prepare_cached(
                "UPDATE delivery SET call = ?2, due = min(due, ?3) WHERE id = ?1 AND state < 2 AND state = 0",
            )?
            .execute(params![id.uuid(), serde_json::to_string(call)?, now.as_millis()])?;
    }
    for page in &verdict.cancelled {
        if let Some((number, _)) = numbers::of_page(connection, page)? {
            connection
                .prepare_cached("DELETE FROM timer WHERE alert_id = ?1 AND page = ?2")?
                .execute(params![number, page.as_str()])?;
        }
    }
    for timer in &verdict.timers {
        set_timer(connection, key, &timer.page, &timer.kind, timer.due)?;
    }
    match key {
        Some(key) if verdict.alert.as_ref().is_none_or(|alert| alert.key != *key) => {
            Ok(numbers::of_alert(connection, key)?)
        }
        Some(_) => Ok(number),
        None => Ok(None),
    }
}

pub(super) fn set_timer(
    connection: &Connection,
    alert: Option<&AlertKey>,
    page: &ExternalId,
    kind: &TimerKind,
    due: Timestamp,
) -> Result<(), StoreError> {
    let number = numbers::of_page(connection, page)?.map(|(number, _)| number);
    connection
        .prepare_cached("INSERT INTO timer (page, alert, alert_id, kind, due) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            page.as_str(),
            alert.map_or("", AlertKey::as_str),
            number,
            serde_json::to_string(kind)?,
            due.as_millis()
        ])?;
    Ok(())
}

/// Gives the alert's number.
pub(super) fn put_alert(connection: &Connection, alert: &Alert) -> Result<i64, StoreError> {
    let (heard_at, state) = (alert.heard_at.as_millis(), serde_json::to_string(alert)?);
    if let Some(number) = numbers::of_alert(connection, &alert.key)? {
        connection
            .prepare_cached("UPDATE alert SET heard_at = ?2, state = ?3 WHERE id = ?1")?
            .execute(params![number, heard_at, state])?;
        return Ok(number);
    }
    let key = alert.key.as_str();
    connection
        .prepare_cached("INSERT INTO alert (key, hash, heard_at, state) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key, numbers::hash(key), heard_at, state])?;
    Ok(connection.last_insert_rowid())
}

pub(super) fn put_page(connection: &Connection, page: &Page) -> Result<(), StoreError> {
    // Its alert is written first.
    let number = numbers::of_alert(connection, &page.alert)?.ok_or(StoreError::NoAlert)?;
    put_page_of(connection, number, page)
}

fn put_page_of(connection: &Connection, number: i64, page: &Page) -> Result<(), StoreError> {
    let (id, ended, state) = (page.id.as_str(), page.is_ended(), serde_json::to_string(page)?);
    let digest = page.digest.as_ref().map(AlertKey::as_str);
    let changed = connection
        .prepare_cached("UPDATE page SET ended = ?3, state = ?4, digest = ?5 WHERE alert_id = ?1 AND id = ?2")?
        .execute(params![number, id, ended, state, digest])?;
    if changed == 0 {
        connection
            .prepare_cached(
                "INSERT INTO page (id, alert, alert_id, number, ended, state, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![id, page.alert.as_str(), number, page.number, ended, state, digest])?;
    }
    Ok(())
}

/// A delivery row; leased with attempt 1 where a worker takes it with the commit.
pub(super) fn insert_delivery(
    connection: &Connection,
    id: Uuid,
    owed: &Owed,
    event: Option<i64>,
    lease_until: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let call = &owed.call;
    let (kind, lane) = (call.kind(), call.lane());
    connection
        .prepare_cached(
            "INSERT INTO delivery (id, lane, words, destination, class, kind, state, due, attempt, uncertain, alert, page,
                                   event, created_at, call, lane_hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            id,
            lane,
            matches!(kind, CallKind::Annotate | CallKind::Comment),
            call.destination().as_str(),
            call.class().number(),
            kind.as_str(),
            if lease_until.is_some() { state::LEASED } else { state::DUE },
            lease_until.unwrap_or(owed.due).as_millis(),
            i64::from(lease_until.is_some()),
            call.alert().map(AlertKey::as_str),
            call.page().map(ExternalId::as_str),
            event,
            now.as_millis(),
            serde_json::to_string(call)?,
            numbers::hash(&lane),
        ])?;
    Ok(())
}

/// Whether anything of the lane is open.
pub(super) fn lane_is_busy(connection: &Connection, lane: &str) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM delivery WHERE lane_hash = ?1 AND lane = ?2 AND state < 2 LIMIT 1")?
        .exists(params![numbers::hash(lane), lane])?)
}

/// Columns `id, call, attempt, uncertain, created_at` as a delivery.
pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId::new(row.get(0)?),
        call: json(row, 1)?,
        attempt: row.get(2)?,
        uncertain: row.get(3)?,
        created_at: Timestamp::from_millis(row.get(4)?),
    })
}

pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into()))
}
