//! Questions to the store that change nothing: listings, health, one alert's rows. On a connection of their own.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use serde::Serialize;

use super::rows::{self, state};
use super::{Hold, StoreError, holds};
use crate::domain::delivery::{Call, Destination};
use crate::domain::id::{AlertKey, DeliveryId, EventId, ExternalId, TeamName};
use crate::domain::page::{Known, Page, PageState, Phase};
use crate::domain::timestamp::{Timestamp, readable};

/// A delivery as an operator sees it; `call` holds no secret.
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
    pub call: Call,
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

/// A page that is not ended, as an operator sees it.
#[derive(Clone, Debug, Serialize)]
pub struct OpenPage {
    pub id: ExternalId,
    pub alert: AlertKey,
    pub team: TeamName,
    pub route: Option<String>,
    pub title: String,
    #[serde(flatten)]
    pub phase: Phase,
    pub signl4: Option<PageState>,
    pub acknowledged_by: Option<String>,
    #[serde(serialize_with = "readable::time")]
    pub created_at: Timestamp,
}

impl From<Page> for OpenPage {
    fn from(page: Page) -> Self {
        Self {
            signl4: page.signl4.settled(),
            id: page.id,
            alert: page.alert,
            team: page.team,
            route: page.route,
            title: page.title,
            phase: page.phase,
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
    /// When the oldest delivery that waits was decided, whatever it waits for.
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

    fn with<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut slot = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
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
                    "SELECT id, state, kind, destination, attempt, created_at, due, finished_at, outcome, note, call
                     FROM delivery WHERE {which} ORDER BY seq DESC LIMIT ?2",
                ))?
                .query_map(params![wanted, i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                    Ok(DeliveryRow {
                        id: DeliveryId::new(row.get(0)?),
                        state: state::name(row.get(1)?),
                        kind: row.get(2)?,
                        destination: Destination::stored(row.get(3)?),
                        attempt: row.get(4)?,
                        created_at: Timestamp::from_millis(row.get(5)?),
                        due: Timestamp::from_millis(row.get(6)?),
                        finished_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
                        outcome: row.get(8)?,
                        note: row.get(9)?,
                        call: rows::json(row, 10)?,
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
                .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
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
                })?
                .collect::<Result<_, _>>()?;
            Ok(rows)
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

    pub(super) fn health(&self) -> Result<Health, StoreError> {
        self.with(|connection| {
            let count = |query: &str| -> Result<u64, StoreError> {
                let number: i64 = connection.prepare_cached(query)?.query_row([], |row| row.get(0))?;
                Ok(u64::try_from(number).unwrap_or(0))
            };
            let oldest_due: Option<i64> = connection
                .prepare_cached("SELECT created_at FROM delivery WHERE state < 2 ORDER BY seq LIMIT 1")?
                .query_row([], |row| row.get(0))
                .optional()?;
            Ok(Health {
                due: count("SELECT count(*) FROM delivery WHERE state < 2 AND state = 0")?,
                leased: count("SELECT count(*) FROM delivery WHERE state < 2 AND state = 1")?,
                dead: count("SELECT count(*) FROM delivery WHERE state = 3")?,
                open_pages: count("SELECT count(*) FROM page WHERE ended = 0")?,
                timers: count("SELECT count(*) FROM timer")?,
                oldest_due: oldest_due.map(Timestamp::from_millis),
                holds: holds::all(connection)?,
            })
        })
    }
}

/// Names of the delivery states, for the command line and the API.
pub fn delivery_states() -> impl Iterator<Item = &'static str> {
    state::ALL.iter().map(|(name, _)| *name)
}
