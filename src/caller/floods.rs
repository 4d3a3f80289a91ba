//! Wrong credentials, counted by where they come from, so that a flood of them costs little.
//!
//! A right credential always opens, whatever else came from the same address: Azure's callers share their addresses with
//! everybody else's action groups, and a bridge behind a proxy may see one address only. So nothing is refused because
//! of its source. What a source that floods loses is what costs: a line in the log for each refusal, and signatures
//! checked without limit. Beyond that limit the answer is 503, which Azure repeats, and never 401, which would be final.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Source;
use crate::domain::timestamp::Timestamp;

const WINDOW: Duration = Duration::from_mins(1);
/// More refusals than these within a window are a flood.
const PATIENCE: u32 = 20;
/// Signatures checked within a window for all sources that flood together; one costs some 20 µs.
const SIGNATURES: u32 = 600;
/// Sources beyond these share one count.
const SOURCES: usize = 4096;

/// Who floods.
#[derive(Debug, Default)]
pub struct Floods(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_party: BTreeMap<IpAddr, Count>,
    others: Count,
    signatures: Count,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    since: Timestamp,
    number: u32,
}

impl Count {
    fn within(self, now: Timestamp) -> u32 {
        if now.since(self.since) < WINDOW { self.number } else { 0 }
    }

    /// How many there are now.
    fn one_more(&mut self, now: Timestamp) -> u32 {
        if self.within(now) == 0 {
            *self = Self { since: now, number: 0 };
        }
        self.number = self.number.saturating_add(1);
        self.number
    }
}

/// What a refusal is to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Said in the log.
    Ordinary,
    /// The first too many: said in the log, with a word on those that follow.
    BeginsToFlood,
    /// Only counted.
    Floods,
}

impl Floods {
    /// Counts a refusal.
    pub fn refused(&self, source: Source, now: Timestamp) -> Pace {
        let mut state = self.state();
        let party = source.party();
        if state.by_party.len() >= SOURCES && !state.by_party.contains_key(&party) {
            state.by_party.retain(|_, count| count.within(now) > 0);
        }
        let is_full = state.by_party.len() >= SOURCES;
        let count = match state.by_party.get_mut(&party) {
            Some(count) => count,
            None if is_full => &mut state.others,
            None => state.by_party.entry(party).or_default(),
        };
        match count.one_more(now) {
            ..=PATIENCE => Pace::Ordinary,
            number if number == PATIENCE + 1 => Pace::BeginsToFlood,
            _ => Pace::Floods,
        }
    }

    /// What may still be spent on a call from there.
    pub fn budget(&self, source: Source, now: Timestamp) -> Budget<'_> {
        let state = self.state();
        let party = source.party();
        let is_full = state.by_party.len() >= SOURCES;
        let count = state.by_party.get(&party).copied().or(is_full.then_some(state.others)).unwrap_or_default();
        let floods = count.within(now) > PATIENCE;
        drop(state);
        Budget { all: self, floods }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What may be spent on one call before its caller is known.
#[derive(Debug)]
pub struct Budget<'f> {
    all: &'f Floods,
    floods: bool,
}

impl Budget<'_> {
    /// Whether a signature may be checked; counts it where the source floods.
    pub fn allows_a_signature(&self, now: Timestamp) -> bool {
        !self.floods || self.all.state().signatures.one_more(now) <= SIGNATURES
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::*;

    fn source(number: u32) -> Source {
        Source::new(IpAddr::from(number.to_be_bytes()), &HeaderMap::new(), &[])
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
    }

    #[test]
    fn a_flood_begins_with_the_first_too_many_and_ends_with_the_minute() {
        let floods = Floods::default();
        for number in 0..PATIENCE {
            assert_eq!(floods.refused(source(1), at(0)), Pace::Ordinary, "{number}");
        }
        assert_eq!(floods.refused(source(1), at(59)), Pace::BeginsToFlood);
        assert_eq!(floods.refused(source(1), at(59)), Pace::Floods);
        assert_eq!(floods.refused(source(2), at(59)), Pace::Ordinary, "another source");
        assert_eq!(floods.refused(source(1), at(60)), Pace::Ordinary, "another minute");
    }

    #[test]
    fn signatures_are_limited_for_floods_and_for_nobody_else() {
        let floods = Floods::default();
        for _ in 0..=PATIENCE {
            floods.refused(source(1), at(0));
        }
        for number in 0..SIGNATURES {
            assert!(floods.budget(source(1), at(0)).allows_a_signature(at(0)), "{number}");
        }
        assert!(!floods.budget(source(1), at(30)).allows_a_signature(at(30)));
        assert!(floods.budget(source(2), at(30)).allows_a_signature(at(30)), "a source that does not flood");
        assert!(floods.budget(source(1), at(60)).allows_a_signature(at(60)), "the next minute");
    }

    #[test]
    fn the_table_is_bounded_and_forgets_what_is_over() {
        let floods = Floods::default();
        let many = u32::try_from(SOURCES).unwrap();
        for number in 0..many {
            floods.refused(source(number), at(0));
        }
        for number in 0..=PATIENCE {
            floods.refused(source(many + number), at(1));
        }
        assert_eq!(floods.state().by_party.len(), SOURCES);
        assert_eq!(floods.refused(source(many + 99), at(1)), Pace::Floods, "the others share one count");
        assert!(floods.budget(source(many + 100), at(1)).floods);
        assert!(!floods.budget(source(5), at(1)).floods, "one that was there before has its own");
        assert_eq!(floods.refused(source(many + 99), at(61)), Pace::Ordinary);
        assert_eq!(floods.state().by_party.len(), 1, "what is over was forgotten");
    }
}
