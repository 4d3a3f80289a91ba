//! A store as a long life leaves it. A bridge writes the first alerts itself; the rest are its own rows over and over,
//! each time with another alert's id, so that the filler need not know what the product writes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::alert::{self, Template};
use crate::load::{self, Aim};
use crate::served::{PATH, Route, Served, store_of, this_build};
use crate::sink::Sink;

/// Of ids in a filled store; no measured run has it.
const RUN: u16 = 0xfff;
const DAY: i64 = 24 * 60 * 60 * 1000;
const YEAR: i64 = 365 * DAY;

/// One row that tells of the alert with this number.
struct Sample {
    table: String,
    columns: Vec<(String, Value)>,
}

/// Makes a store with so many finished deliveries (two of each alert: raised, resolved) and so many that wait.
pub(crate) fn fill(folder: &Path, finished: u64, open: u64) {
    fs::create_dir_all(folder).expect("a folder");
    live_two_alerts(folder);
    let mut store = Connection::open(store_of(folder)).expect("the store");
    for (pragma, value) in [("journal_mode", "OFF"), ("synchronous", "OFF"), ("cache_size", "-400000")] {
        store.pragma_update_and_check(None, pragma, value, |_| Ok(())).or_else(ignore_silence).expect("a pragma");
    }
    let (now, open_samples, finished_samples): (i64, _, _) = (
        store.query_row("SELECT unixepoch() * 1000", [], |row| row.get(0)).expect("the time"),
        samples(&store, 0),
        samples(&store, 1),
    );
    let alerts = finished / 2;
    let work = store.transaction().expect("a transaction");
    for number in 0..alerts + open {
        let is_open = number >= alerts;
        let samples = if is_open { &open_samples } else { &finished_samples };
        // Over thirty days, the open ones of the last hour.
        let age = if is_open { DAY / 24 } else { 30 * DAY * (alerts - number) as i64 / alerts as i64 };
        let told = Told { sample: u64::from(!is_open), number: number + 2, now, age, is_open };
        let mut alert_id = 0;
        for sample in samples {
            told.insert(&work, sample, alert_id);
            if sample.table == "alert" {
                alert_id = work.last_insert_rowid();
            }
        }
    }
    work.commit().expect("a disk with room");
    store.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).expect("a pragma");
}

/// Some pragmas answer and some do not.
fn ignore_silence(error: rusqlite::Error) -> rusqlite::Result<()> {
    if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Ok(()) } else { Err(error) }
}

/// Alert 0 is paged and stays open, alert 1 is paged and resolved.
fn live_two_alerts(folder: &Path) {
    let sink = Sink::start(RUN, Instant::now());
    let bridge = Served::start(this_build(), folder, Route::Pages, sink.address, None);
    let mut aim = Aim { address: bridge.address, template: Template::azure(PATH), run: RUN, connections: 1 };
    assert_eq!(load::closed(&aim, 10.0, 2).accepted.len(), 2, "two alerts are taken");
    assert!(sink.has(2, Duration::from_secs(20)), "two alerts are paged");
    aim.template = Template::azure_resolved(PATH);
    load::single(&aim, 1);
    let start = Instant::now();
    while sink.arrivals.doubled() == 0 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(5));
    }
    bridge.server.stop();
}

/// All rows that name the alert.
fn samples(store: &Connection, number: u64) -> Vec<Sample> {
    let name = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    let tables: Vec<String> = store
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table'")
        .and_then(|mut query| query.query_map([], name)?.collect())
        .expect("tables");
    let id = text_of(number);
    let mut found = Vec::new();
    for table in tables {
        let mut query = store.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
        let columns: Vec<String> = query.column_names().map(str::to_owned).collect();
        let key = number_key(store, &table);
        let mut rows = query.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            let values = columns.iter().enumerate().map(|(at, name)| (name.clone(), row.get(at).expect("a value")));
            let columns: Vec<(String, Value)> =
                values.filter(|(name, _): &(String, Value)| Some(name) != key.as_ref()).collect();
            if columns.iter().any(|(_, value)| matches!(value, Value::Text(text) if text.contains(&id))) {
                found.push(Sample { table: table.clone(), columns });
            }
        }
    }
    assert!(found.len() >= 4, "an event, an alert, a page and a delivery at least");
    // The others have its number.
    found.sort_by_key(|sample| sample.table != "alert");
    found
}

/// The column that numbers the rows by itself.
fn number_key(store: &Connection, table: &str) -> Option<String> {
    store
        .query_row(
            "SELECT name FROM pragma_table_info(?1) WHERE pk = 1 AND type = 'INTEGER'
             AND (SELECT max(pk) FROM pragma_table_info(?1)) = 1",
            [table],
            |row| row.get(0),
        )
        .ok()
}

/// As the store's `bridge_hash`: the first eight bytes of SHA-256.
fn hash(text: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    i64::from_be_bytes(digest[..8].try_into().expect("eight bytes"))
}

fn text_of(number: u64) -> String {
    String::from_utf8(alert::id(RUN, number).to_vec()).expect("a GUID")
}

/// What a sample becomes.
struct Told {
    sample: u64,
    number: u64,
    now: i64,
    /// In milliseconds.
    age: i64,
    is_open: bool,
}

impl Told {
    fn insert(&self, work: &Connection, sample: &Sample, alert_id: i64) {
        let (from, to) = (text_of(self.sample), text_of(self.number));
        let waits = self.is_open && sample.table == "delivery";
        let hash_of = |column: &str| {
            let text = sample.columns.iter().find(|(name, _)| name == column).map(|(_, value)| value);
            let Some(Value::Text(text)) = text else { return Value::Null };
            Value::Integer(hash(&text.replace(&from, &to)))
        };
        let values = sample.columns.iter().map(|(name, value)| match (name.as_str(), value) {
            ("alert_id", _) => Value::Integer(alert_id),
            ("hash", _) => hash_of("key"),
            ("lane_hash", _) => hash_of("lane"),
            // After an attempt that failed: it waits for its next one.
            ("state", Value::Integer(_)) if waits => Value::Integer(0),
            ("finished_at" | "outcome" | "note", _) if waits => Value::Null,
            ("due", _) if waits => Value::Integer(self.now + 10 * YEAR),
            (_, Value::Text(text)) => Value::Text(text.replace(&from, &to)),
            (_, Value::Integer(time)) if (time - self.now).abs() < YEAR => Value::Integer(time - self.age),
            (_, Value::Blob(bytes)) if bytes.len() == 16 => Value::Blob(self.uuid().into_bytes().to_vec()),
            (_, other) => other.clone(),
        });
        let names: Vec<&str> = sample.columns.iter().map(|(name, _)| name.as_str()).collect();
        let places = vec!["?"; names.len()].join(", ");
        let insert = format!("INSERT OR IGNORE INTO \"{}\" ({}) VALUES ({places})", sample.table, names.join(", "));
        work.prepare_cached(&insert).and_then(|mut insert| insert.execute(params_from_iter(values))).expect("a row");
    }

    /// Of the time that the row tells of.
    fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now - self.age).expect("a time after 1970");
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, millis / 1000, (millis % 1000) as u32 * 1_000_000))
    }
}
