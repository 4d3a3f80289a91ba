//! What polling has made up for after an outage: one line in the log, when every source has been asked.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::source::SourceName;
use crate::domain::reading::Gap;
use crate::domain::timestamp::Timestamp;

/// What one poll of a source brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Alerts that were paged, though no webhook had brought them.
    pub(super) paged: usize,
    /// Those among them whose rule has called before and did not call now.
    pub(super) missing: usize,
    pub(super) oldest_missing: Option<Timestamp>,
    pub(super) resolved: usize,
    /// Changes of state, by people on either side.
    pub(super) changed: usize,
    /// Alerts that were kept and paged nobody.
    pub(super) recorded: usize,
    /// When the oldest of those that were paged had fired.
    pub(super) oldest: Option<Timestamp>,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.paged += other.paged;
        self.missing += other.missing;
        self.resolved += other.resolved;
        self.changed += other.changed;
        self.recorded += other.recorded;
        let older = |one: Option<Timestamp>, two: Option<Timestamp>| one.into_iter().chain(two).min();
        self.oldest = older(self.oldest, other.oldest);
        self.oldest_missing = older(self.oldest_missing, other.oldest_missing);
    }
}

#[derive(Debug)]
struct CatchUp {
    gap: Gap,
    why: &'static str,
    /// It goes on: what is found meanwhile counts, and each source is asked once more when it is over.
    lasts: bool,
    left: BTreeSet<SourceName>,
    unread: usize,
    tally: Tally,
}

/// Outages that are being made up for.
#[derive(Debug, Default)]
pub(super) struct CatchUps {
    open: Mutex<Vec<CatchUp>>,
}

impl CatchUps {
    /// An outage began, or is over. Outages that overlap are one.
    pub(super) fn begin(&self, gap: Gap, why: &'static str, sources: BTreeSet<SourceName>, lasts: bool) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let overlaps = |one: &CatchUp| one.gap.from <= gap.to && gap.from <= one.gap.to;
        let mut catch_up = CatchUp { gap, why, lasts, left: sources, unread: 0, tally: Tally::default() };
        if let Some(at) = open.iter().position(|one| one.lasts || overlaps(one)) {
            let former = open.remove(at);
            catch_up.gap = Gap { from: former.gap.from.min(gap.from), to: former.gap.to.max(gap.to) };
            catch_up.why = former.why;
            catch_up.tally = former.tally;
        }
        if catch_up.left.is_empty() && !lasts {
            return tell(&catch_up, catch_up.gap.to);
        }
        open.push(catch_up);
    }

    /// A source has ended a poll that it began at `begun_at`; `None`: it could not be read.
    pub(super) fn ended(&self, source: &SourceName, begun_at: Timestamp, tally: Option<Tally>, now: Timestamp) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for catch_up in open.iter_mut().filter(|catch_up| catch_up.lasts || catch_up.gap.to <= begun_at) {
            if catch_up.lasts {
                catch_up.tally.add(tally.unwrap_or_default());
                continue;
            }
            if !catch_up.left.remove(source) {
                continue;
            }
            match tally {
                Some(tally) => catch_up.tally.add(tally),
                None => catch_up.unread += 1,
            }
        }
        open.retain(|catch_up| {
            let is_done = catch_up.left.is_empty() && !catch_up.lasts;
            if is_done {
                tell(catch_up, now);
            }
            !is_done
        });
    }
}

fn tell(catch_up: &CatchUp, now: Timestamp) {
    let CatchUp { gap, why, unread, tally, .. } = catch_up;
    let late_seconds = tally.oldest.map_or(0, |oldest| now.since(oldest).as_secs());
    tracing::warn!(
        from = %gap.from,
        to = %gap.to,
        outage_seconds = gap.to.since(gap.from).as_secs(),
        recovered = tally.paged + tally.resolved + tally.changed,
        paged = tally.paged,
        resolved = tally.resolved,
        changed = tally.changed,
        oldest_late_seconds = late_seconds,
        sources_not_read = unread,
        "the bridge {why} and has caught up with what nobody could tell it"
    );
}
