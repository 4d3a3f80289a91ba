//! The rows as they stand after a commit, read beside the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde::de::DeserializeOwned;
use signl4_azure_bridge::domain::delivery::Call;
use signl4_azure_bridge::domain::event::TimerKind;
use signl4_azure_bridge::domain::id::{AlertKey, DeliveryId, EventId, ExternalId};
use signl4_azure_bridge::domain::page::{Alert, Page};
use signl4_azure_bridge::domain::timestamp::Timestamp;

pub(super) const DUE: i64 = 0;
pub(super) const LEASED: i64 = 1;
pub(super) const DEAD: i64 = 3;
pub(super) const CONFIRMED: i64 = 5;
pub(super) const DROPPED: i64 = 6;

#[derive(Clone, Debug)]
pub(super) struct DeliveryRow {
    pub(super) seq: i64,
    pub(super) id: DeliveryId,
    pub(super) lane: String,
    /// A comment or an annotation.
    pub(super) words: bool,
    pub(super) state: i64,
    /// Of a leased row: the end of its lease.
    pub(super) due: Timestamp,
    pub(super) attempt: u32,
    pub(super) created_at: Timestamp,
    pub(super) call: Call,
}

impl DeliveryRow {
    pub(super) fn is_open(&self) -> bool {
        self.state == DUE || self.state == LEASED
    }

    /// Whether an attempt may be under way.
    pub(super) fn is_leased(&self, now: Timestamp) -> bool {
        self.state == LEASED && self.due > now
    }

    pub(super) fn is_raise_of(&self, page: &ExternalId) -> bool {
        matches!(&self.call, Call::Raise { page: raised, .. } if raised == page)
    }
}

#[derive(Clone, Debug)]
pub(super) struct TimerRow {
    pub(super) page: ExternalId,
    pub(super) kind: TimerKind,
    pub(super) due: Timestamp,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) alerts: BTreeMap<AlertKey, Alert>,
    pub(super) pages: Vec<Page>,
    /// In the order of decision.
    pub(super) deliveries: Vec<DeliveryRow>,
    pub(super) timers: Vec<TimerRow>,
    /// Alerts without pages of their own, and whose pages they joined.
    pub(super) joined: BTreeMap<AlertKey, AlertKey>,
    /// Each with its kind and reason.
    pub(super) events: BTreeMap<EventId, String>,
}

impl Rows {
    pub(super) fn connect(path: &Path) -> Connection {
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }

    pub(super) fn read(connection: &Connection) -> Self {
        let each = |query: &str, take: &mut dyn FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>| {
            let mut query = connection.prepare_cached(query).unwrap();
            let mut rows = query.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                take(row).unwrap();
            }
        };
        let mut read = Self::default();
        each("SELECT state FROM alert", &mut |row| {
            let alert: Alert = json(row, 0)?;
            read.alerts.insert(alert.key.clone(), alert);
            Ok(())
        });
        each("SELECT state FROM page ORDER BY alert, number", &mut |row| {
            read.pages.push(json(row, 0)?);
            Ok(())
        });
        each(
            "SELECT seq, id, lane, words, state, due, attempt, created_at, call FROM delivery ORDER BY seq",
            &mut |row| {
                read.deliveries.push(DeliveryRow {
                    seq: row.get(0)?,
                    id: DeliveryId::new(row.get(1)?),
                    lane: row.get(2)?,
                    words: row.get(3)?,
                    state: row.get(4)?,
                    due: Timestamp::from_millis(row.get(5)?),
                    attempt: row.get(6)?,
                    created_at: Timestamp::from_millis(row.get(7)?),
                    call: json(row, 8)?,
                });
                Ok(())
            },
        );
        each("SELECT page, kind, due FROM timer", &mut |row| {
            let page = ExternalId::stored(row.get(0)?);
            read.timers.push(TimerRow { page, kind: json(row, 1)?, due: Timestamp::from_millis(row.get(2)?) });
            Ok(())
        });
        each("SELECT alert, head FROM joined", &mut |row| {
            read.joined.insert(AlertKey::stored(row.get(0)?), AlertKey::stored(row.get(1)?));
            Ok(())
        });
        each("SELECT uuid, kind || ' ' || reason FROM event", &mut |row| {
            read.events.insert(EventId::new(row.get(0)?), row.get(1)?);
            Ok(())
        });
        read
    }

    pub(super) fn page(&self, id: &ExternalId) -> Option<&Page> {
        self.pages.iter().find(|page| page.id == *id)
    }

    /// The alert whose pages show this one: itself, or the one that it joined.
    pub(super) fn home<'a>(&'a self, key: &'a AlertKey) -> &'a AlertKey {
        self.joined.get(key).unwrap_or(key)
    }

    pub(super) fn pages_of<'a>(&'a self, alert: &'a AlertKey) -> impl Iterator<Item = &'a Page> {
        self.pages.iter().filter(move |page| page.alert == *alert)
    }

    /// The alerts of a page, or of all that a digest shows; those that joined them included.
    pub(super) fn alerts_on(&self, page: &ExternalId) -> BTreeSet<AlertKey> {
        let Some(page) = self.page(page) else { return BTreeSet::new() };
        let shown = self.pages.iter().filter(|member| member.digest.as_ref() == Some(&page.alert));
        let heads: BTreeSet<&AlertKey> = shown.map(|member| &member.alert).chain([&page.alert]).collect();
        let joined = self.joined.iter().filter(|(_, head)| heads.contains(head)).map(|(key, _)| key.clone());
        joined.chain(heads.iter().map(|head| (*head).clone())).collect()
    }

    pub(super) fn delivery(&self, id: DeliveryId) -> Option<&DeliveryRow> {
        self.deliveries.iter().find(|row| row.id == id)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &DeliveryRow> {
        self.deliveries.iter().filter(|row| row.is_open())
    }

    pub(super) fn has_timer(&self, page: &ExternalId, is: impl Fn(&TimerKind) -> bool) -> bool {
        self.timers.iter().any(|timer| timer.page == *page && is(&timer.kind))
    }

    /// Whether the Raise of a page was given up: the row waits for a person, or a person dropped it.
    pub(super) fn gave_up_raise(&self, page: &ExternalId) -> bool {
        self.deliveries.iter().any(|row| row.is_raise_of(page) && (row.state == DEAD || row.state == DROPPED))
    }
}

fn json<T: DeserializeOwned>(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<T> {
    Ok(serde_json::from_str(row.get_ref(index)?.as_str()?).unwrap())
}
