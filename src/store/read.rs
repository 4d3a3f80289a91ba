//! Questions to the store that change nothing: listings, health, one alert's rows. On a connection of their own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::types::Type;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::Serialize;

use super::rows::{self, state};
use super::{StoreError, audit, holds, numbers};
use crate::domain::delivery::Destination;
use crate::domain::hold::{Hold, Rests};
use crate::domain::id::{AlertKey, DeliveryId, EventId, ExternalId, Side, TeamName};
use crate::domain::page::{Known, Page, PageState, Phase};
use crate::domain::timestamp::{Timestamp, readable};

/// A delivery as an operator sees it; `call` is as stored, also where this version cannot read it, and holds no secret.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryRow {
    pub id: DeliveryId,
    pub state: &'static str,
    pub kind: String,
    pub destination: Destination,
    pub attempt: u32,
    #[serde(serialize_with = "readable::time")]
    pub created_at: Timestamp,
    #[serde(serialize_with = "readable::time")]
    pub due: Timestamp,
    #[serde(serialize_with = "readable::optional")]
    pub finished_at: Option<Timestamp>,
    pub outcome: Option<String>,
    pub note: Option<String>,
    /// Title of the page that it is about; of the latest page, where it is about an alert.
    pub title: Option<String>,
    /// What holds it back, as of the listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    pub call: serde_json::Value,
}

/// An event with what was received.
#[derive(Clone, Debug, Serialize)]
pub struct StoredEvent {
    #[serde(flatten)]
    pub row: EventRow,
    /// The few that are kept; never credentials.
    pub headers: BTreeMap<String, String>,
    pub body_bytes: usize,
    /// As text; bytes that are no UTF-8 are replaced.
    pub body: String,
}

/// An event as an operator sees it, without its body.
#[derive(Clone, Debug, Serialize)]
pub struct EventRow {
    pub id: EventId,
    #[serde(serialize_with = "readable::time")]
    pub received_at: Timestamp,
    pub side: String,
    pub source: String,
    pub kind: String,
    pub reason: String,
    pub alert: Option<String>,
    pub page: Option<String>,
}

/// Somebody who may call us, and when its last webhook came that is still stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caller {
    pub side: Side,
    /// Connection or team.
    pub source: String,
    #[serde(serialize_with = "readable::optional")]
    pub last_received_at: Option<Timestamp>,
}

/// A page that is not ended, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct OpenPage {
    pub id: ExternalId,
    pub alert: AlertKey,
    pub team: TeamName,
    pub route: Option<String>,
    pub title: String,
    pub phase: &'static str,
    /// A held page: until when.
    #[serde(serialize_with = "readable::optional", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    pub signl4: Option<PageState>,
    pub acknowledged_by: Option<String>,
    #[serde(serialize_with = "readable::time")]
    pub created_at: Timestamp,
}

impl From<Page> for OpenPage {
    fn from(page: Page) -> Self {
        let (phase, until) = match page.phase {
            Phase::Held { until } => ("held", Some(until)),
            Phase::Raising => ("raising", None),
            Phase::Joined => ("joined_digest", None),
            Phase::Raised => ("raised", None),
            Phase::Ended { .. } => ("ended", None),
        };
        Self {
            signl4: page.signl4.settled(),
            id: page.id,
            alert: page.alert,
            team: page.team,
            route: page.route,
            title: page.title,
            phase,
            until,
            acknowledged_by: page.acknowledged_by,
            created_at: page.created_at,
        }
    }
}

/// How the work stands.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Health {
    pub due: u64,
    pub leased: u64,
    pub dead: u64,
    pub open_pages: u64,
    pub timers: u64,
    /// When the oldest delivery was decided whose time has come, whatever it waits for but an operator's pause.
    #[serde(serialize_with = "readable::optional")]
    pub oldest_due: Option<Timestamp>,
    pub holds: Vec<Hold>,
}

/// Opens its connection at the first question and again after an error.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    connection: Mutex<Option<Connection>>,
}

impl Reader {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, connection: Mutex::new(None) }
    }

    pub(super) fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = if let Some(connection) = slot.take() {
            connection
        } else {
            let connection = Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            numbers::teach(&connection)?;
            connection
        };
        let answer = query(&connection);
        if answer.is_ok() {
            *slot = Some(connection);
        }
        answer
    }

    pub(super) fn deliveries(
        &self,
        wanted: Option<&'static str>,
        limit: usize,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        let wanted = wanted.and_then(state::number);
        // One query for each partial index: SQLite does not infer `state < 2` from `state = 0`.
        let which = match wanted {
            Some(state::DUE | state::LEASED) => "state < 2 AND state = ?1",
            Some(state::DEAD) => "state = 3 AND state = ?1",
            Some(_) => "state = ?1",
            None => "?1 IS NULL",
        };
        self.with(|connection| {
            let rows = connection
                .prepare_cached(&format!(
                    "SELECT id, state, kind, destination, attempt, created_at, due, finished_at, outcome, note, call,
                            page, alert
                     FROM delivery WHERE {which} ORDER BY seq DESC LIMIT ?2",
                ))?
                .query_map(params![wanted, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                    let number: i64 = row.get(1)?;
                    let note: Option<String> = row.get(9)?;
                    Ok(DeliveryRow {
                        id: DeliveryId::new(row.get(0)?),
                        state: state::name(number),
                        kind: row.get(2)?,
                        destination: Destination::stored(row.get(3)?),
                        attempt: row.get(4)?,
                        created_at: Timestamp::from_millis(row.get(5)?),
                        due: Timestamp::from_millis(row.get(6)?),
                        finished_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
                        outcome: row.get(8)?,
                        note: if number == state::CONFIRMED { Some(confirmed(note.as_deref())) } else { note },
                        call: rows::json(row, 10)?,
                        title: title(connection, row.get_ref(11)?.as_str_or_null()?, row.get(12)?)?,
                        waits: None,
                    })
                })?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    pub(super) fn events(&self, limit: usize) -> Result<Vec<EventRow>, StoreError> {
        self.with(|connection| {
            let rows = connection
                .prepare_cached(
                    "SELECT uuid, received_at, side, source, kind, reason, alert, page FROM event ORDER BY id DESC LIMIT ?1",
                )?
                .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], event)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// One look into an index for each caller. Our own events do not count, should somebody be called as their source is.
    pub(super) fn callers(&self, callers: Vec<(Side, String)>) -> Result<Vec<Caller>, StoreError> {
        self.with(|connection| {
            let mut query = connection.prepare_cached(
                "SELECT received_at FROM event WHERE side = ?1 AND source = ?2 AND kind NOT IN ('timer', 'alarm')
                 ORDER BY received_at DESC LIMIT 1",
            )?;
            let mut found = Vec::with_capacity(callers.len());
            for (side, source) in callers {
                let last: Option<i64> = query.query_row([side.as_str(), &source], |row| row.get(0)).optional()?;
                found.push(Caller { side, source, last_received_at: last.map(Timestamp::from_millis) });
            }
            Ok(found)
        })
    }

    pub(super) fn event(&self, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        self.with(|connection| {
            let found = connection
                .prepare_cached(
                    "SELECT uuid, received_at, side, source, kind, reason, alert, page, headers, body FROM event WHERE uuid = ?1",
                )?
                .query_row([id.uuid()], |row| {
                    let kept = row.get_ref(9)?.as_blob()?;
                    let body = lz4_flex::decompress_size_prepended(kept)
                        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(9, Type::Blob, error.into()))?;
                    Ok(StoredEvent {
                        row: event(row)?,
                        headers: rows::json(row, 8)?,
                        body_bytes: body.len(),
                        body: String::from_utf8_lossy(&body).into_owned(),
                    })
                })
                .optional()?;
            Ok(found)
        })
    }

    pub(super) fn known(&self, alert: &AlertKey) -> Result<Known, StoreError> {
        self.with(|connection| rows::known(connection, alert))
    }

    pub(super) fn open_pages(&self, limit: usize) -> Result<Vec<OpenPage>, StoreError> {
        self.with(|connection| {
            let rows = connection
                .prepare_cached("SELECT state FROM page WHERE ended = 0 LIMIT ?1")?
                .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                    rows::json::<Page>(row, 0).map(OpenPage::from)
                })?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    pub(super) fn audit(&self, now: Timestamp) -> Result<Vec<audit::Violation>, StoreError> {
        self.with(|connection| audit::audit(connection, now))
    }

    pub(super) fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        self.with(|connection| holds::all(connection, Rests::default()))
    }

    pub(super) fn health(&self, now: Timestamp) -> Result<Health, StoreError> {
        self.with(|connection| {
            let count = |query: &str| -> Result<u64, StoreError> {
                let number: i64 = connection.prepare_cached(query)?.query_row([], |row| row.get(0))?;
                Ok(u64::try_from(number).unwrap_or(0))
            };
            // What waits for its next attempt counts, what was never to go out yet does not; nor does what an operator holds
            // back: a page of a paused team, and what stands behind one in its lane.
            let oldest_due: Option<i64> = connection
                .prepare_cached(
                    "WITH paused AS (SELECT destination FROM hold WHERE paused_until > ?1)
                     SELECT created_at FROM delivery AS this WHERE state < 2 AND (attempt > 0 OR due <= ?1)
                       AND (destination NOT IN (SELECT destination FROM paused) OR class <> 0 AND NOT EXISTS (
                           SELECT 1 FROM delivery AS page
                           WHERE page.lane_hash = this.lane_hash AND page.lane = this.lane AND page.state < 2
                             AND page.class = 0))
                     ORDER BY seq LIMIT 1",
                )?
                .query_row([now.as_millis()], |row| row.get(0))
                .optional()?;
            // Both from indexes alone: the rows of all that waits would take long to read.
            let open = count("SELECT count(*) FROM delivery WHERE state < 2")?;
            let leased = count("SELECT count(*) FROM delivery WHERE state = 1")?;
            Ok(Health {
                due: open.saturating_sub(leased),
                leased,
                dead: count("SELECT count(*) FROM delivery WHERE state = 3")?,
                open_pages: count("SELECT count(*) FROM page WHERE ended = 0")?,
                timers: count("SELECT count(*) FROM timer")?,
                oldest_due: oldest_due.map(Timestamp::from_millis),
                holds: holds::all(connection, Rests::default())?,
            })
        })
    }
}

/// Title of a page; else of the latest page of an alert.
fn title(connection: &Connection, page: Option<&str>, alert: Option<String>) -> rusqlite::Result<Option<String>> {
    let number = match (page, alert) {
        (Some(page), _) => {
            numbers::of_page(connection, &ExternalId::stored(page.to_owned()))?.map(|(number, _)| number)
        }
        (None, Some(alert)) => numbers::of_alert(connection, &AlertKey::stored(alert))?,
        (None, None) => None,
    };
    let title = connection
        .prepare_cached(
            "SELECT json_extract(state, '$.title') FROM page WHERE alert_id = ?1 AND (?2 IS NULL OR id = ?2)
             ORDER BY number DESC LIMIT 1",
        )?
        .query_row(params![number, page], |row| row.get(0))
        .optional()?;
    Ok(title.flatten())
}

fn event(row: &Row<'_>) -> rusqlite::Result<EventRow> {
    Ok(EventRow {
        id: EventId::new(row.get(0)?),
        received_at: Timestamp::from_millis(row.get(1)?),
        side: row.get(2)?,
        source: row.get(3)?,
        kind: row.get(4)?,
        reason: row.get(5)?,
        alert: row.get(6)?,
        page: row.get(7)?,
    })
}

/// The note of an attempt is out of date once an event has shown that the call arrived.
fn confirmed(note: Option<&str>) -> String {
    let by = "an event of the other side shows that it arrived";
    match note.filter(|note| !note.is_empty()) {
        Some(note) => format!("{by}; the last attempt said: {note}"),
        None => by.to_owned(),
    }
}

/// Names of the delivery states, for the command line and the API.
pub fn delivery_states() -> impl Iterator<Item = &'static str> {
    state::ALL.iter().map(|(name, _)| *name)
}
