//! What must be true of the rows at any moment, whatever crashed when: nothing that is owed is forgotten.

use rusqlite::Connection;
use serde::Serialize;

use super::StoreError;
use crate::domain::timestamp::Timestamp;

/// The worker comes for what is due within seconds; what is overdue by this much is forgotten.
const OVERDUE_MS: i64 = 5 * 60 * 1000;
/// Of each kind so many are named.
const NAMED: usize = 20;

/// A row that breaks a promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub what: &'static str,
    /// Of the delivery's lane, or the page.
    pub id: String,
}

/// Each asks for rows that there must not be. `?1` is now, `?2` what is overdue.
///
/// A destination holds back what is its own for as long as it said, and an operator's pause holds back pages. One that
/// denies us or is out of reach always says when it is probed next. Attempts under way, and what has just ended, excuse what is
/// due behind them, but for those that were decided after it was due: they have overtaken it.
const QUESTIONS: [(&str, &str); 6] = [
    (
        "a delivery is due, first in its lane, held back by nothing, and nobody comes for it",
        "SELECT lane FROM delivery AS this WHERE state < 2 AND state = 0 AND due < ?2
           AND NOT EXISTS (SELECT 1 FROM delivery AS other WHERE other.lane_hash = this.lane_hash AND other.lane = this.lane
                             AND other.state < 2 AND other.seq <> this.seq
                             AND ((other.words, other.seq) < (this.words, this.seq) OR other.state = 1))
           AND NOT EXISTS (SELECT 1 FROM hold WHERE hold.destination = this.destination
                             AND (hold.waits_until >= ?2 OR (this.class = 0 AND hold.paused_until >= ?2)))
           AND NOT EXISTS (SELECT 1 FROM delivery AS busy WHERE busy.destination = this.destination AND busy.state < 2
                             AND busy.state = 1 AND busy.due >= ?1
                             AND (busy.class <> this.class OR busy.created_at <= this.due))
           AND NOT EXISTS (SELECT 1 FROM delivery AS ahead WHERE ahead.finished_at >= ?2
                             AND ahead.destination = this.destination AND ahead.class = this.class
                             AND ahead.created_at <= this.due)",
    ),
    (
        "the lease of an attempt has ended and nobody takes it over",
        "SELECT lane FROM delivery AS this WHERE state < 2 AND state = 1 AND due < ?2
           AND NOT EXISTS (SELECT 1 FROM hold WHERE hold.destination = this.destination
                             AND (hold.waits_until >= ?2 OR (this.class = 0 AND hold.paused_until >= ?2)))",
    ),
    ("a timer is due and does not ring", "SELECT page FROM timer WHERE due < ?2"),
    (
        "a held page has no timer",
        "SELECT id FROM page WHERE ended = 0 AND json_extract(state, '$.phase') = 'held'
           AND NOT EXISTS (SELECT 1 FROM timer WHERE timer.alert_id = page.alert_id AND timer.page = page.id)",
    ),
    (
        "a page is to be raised and no delivery raises it",
        "SELECT id FROM page WHERE ended = 0 AND json_extract(state, '$.phase') = 'raising'
           AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.lane_hash = bridge_hash('signl4 ' || page.id)
                             AND delivery.lane = 'signl4 ' || page.id AND delivery.state < 2 AND delivery.kind = 'raise')",
    ),
    (
        "a page is shown by a digest that has ended",
        "SELECT id FROM page AS this WHERE ended = 0 AND json_extract(state, '$.phase') = 'joined'
           AND NOT EXISTS (SELECT 1 FROM alert JOIN page AS digest ON digest.alert_id = alert.id
                           WHERE alert.hash = bridge_hash(this.digest) AND alert.key = this.digest AND +digest.ended = 0)
           AND NOT EXISTS (SELECT 1 FROM timer WHERE timer.alert_id = this.alert_id AND timer.page = this.id)
           AND NOT EXISTS (SELECT 1 FROM alert JOIN timer ON timer.alert_id = alert.id
                           WHERE alert.hash = bridge_hash(this.digest) AND alert.key = this.digest)",
    ),
];

pub(super) fn audit(connection: &Connection, now: Timestamp) -> Result<Vec<Violation>, StoreError> {
    let (now, overdue) = (now.as_millis(), now.as_millis().saturating_sub(OVERDUE_MS));
    let mut found = Vec::new();
    for (what, question) in QUESTIONS {
        // Every question may use both.
        let mut query = connection.prepare_cached(&format!("{question} AND (?1 IS NOT NULL AND ?2 IS NOT NULL)"))?;
        let mut rows = query.query([now, overdue])?;
        let mut named: usize = 0;
        while let Some(row) = rows.next()?.filter(|_| named < NAMED) {
            found.push(Violation { what, id: row.get(0)? });
            named = named.saturating_add(1);
        }
    }
    Ok(found)
}
