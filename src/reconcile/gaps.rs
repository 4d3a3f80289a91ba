//! When nobody could call: the bridge was down, stood still, or answered 503 for longer than Azure has patience.
//!
//! A gap is on the disk while it lasts, so that no crash forgets it. That a proxy or a firewall let nobody through is not
//! told from rules that call no more: where several webhooks are missing, each is made up for, and no gap is made of them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Reconciler;
use crate::domain::reading::Gap;
use crate::domain::timestamp::Timestamp;
use crate::store::{Before, PollChange};

/// Azure tries a webhook for 75 s and then drops it.
/// <https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook>
const PATIENCE: Duration = Duration::from_secs(75);
/// A sign of life goes to the disk this often.
const ALIVE_EVERY: Duration = Duration::from_secs(20);
/// Azure's tries lie up to 40 s apart: 503 answers further apart than this are two troubles.
const ONE_TROUBLE: Duration = Duration::from_mins(2);
/// After so long without another 503 the trouble is over.
const QUIET: Duration = Duration::from_secs(45);
/// So long after its end a gap has been stored.
pub(super) const STORED_WITHIN: Duration = ONE_TROUBLE;
const REFUSED: &str = "answered 503";

/// Azure's calls that were answered 503.
#[derive(Debug, Default)]
pub struct Outages {
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    first: Timestamp,
    last: Timestamp,
    /// Up to when it is stored as a gap.
    stored: Option<Timestamp>,
}

impl Trouble {
    fn gap(&self) -> Gap {
        Gap { from: self.first, to: self.last }
    }

    /// The last of Azure's tries begins its last wait before the trouble has lasted that long.
    fn is_gap(&self) -> bool {
        self.last.since(self.first).saturating_add(Duration::from_secs(5)) >= PATIENCE
    }

    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.last) >= QUIET
    }
}

impl Outages {
    /// A webhook of Azure's was answered 503.
    pub fn unavailable(&self, now: Timestamp) {
        let mut trouble = self.lock();
        *trouble = match *trouble {
            Some(trouble) if now.since(trouble.last) <= ONE_TROUBLE => Some(Trouble { last: now, ..trouble }),
            Some(_) | None => Some(Trouble { first: now, last: now, stored: None }),
        };
    }

    /// Refusals that are no gap yet, and may become one.
    pub(super) fn begun(&self) -> Option<Gap> {
        self.lock().filter(|trouble| trouble.stored.is_none()).map(|trouble| trouble.gap())
    }

    /// A trouble that lasts longer than Azure has patience and is not stored so far; and whether it is new.
    fn to_store(&self, now: Timestamp) -> Option<(Gap, bool)> {
        let trouble = self.lock().filter(Trouble::is_gap)?;
        let due = trouble.stored.is_none_or(|stored| {
            trouble.last.since(stored) >= ALIVE_EVERY || trouble.is_over(now) && stored < trouble.last
        });
        due.then(|| (trouble.gap(), trouble.stored.is_none()))
    }

    fn stored(&self, gap: Gap) {
        if let Some(trouble) = &mut *self.lock() {
            trouble.stored = Some(gap.to);
        }
    }

    /// A gap that is over. What was too short for one is forgotten.
    fn over(&self, now: Timestamp) -> Option<Gap> {
        let mut trouble = self.lock();
        let ended = (*trouble).filter(|trouble| trouble.is_over(now))?;
        if ended.is_gap() && ended.stored.is_none_or(|stored| stored < ended.last) {
            return None;
        }
        *trouble = None;
        ended.is_gap().then(|| ended.gap())
    }

    /// What was answered within a gap of another kind belongs to that.
    fn are_of(&self, gap: Gap) {
        let mut trouble = self.lock();
        *trouble = trouble.filter(|trouble| trouble.last > gap.to || trouble.first < gap.from);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The signs of life of this process.
#[derive(Debug, Default)]
pub(super) struct Alive {
    last: Mutex<Option<Sign>>,
}

#[derive(Clone, Copy, Debug)]
struct Sign {
    at: Timestamp,
    /// It is not on the disk.
    failed: bool,
}

impl Reconciler {
    /// Gives a sign of life, and finds out when there was none. `watches`: a sign that comes late tells that the process
    /// stood still; by hand that would say something of the hand only.
    pub(super) async fn live(&self, watches: bool) {
        let now = self.clock.now();
        self.give_sign(watches, now).await;
        if let Some((gap, is_new)) = self.outages.to_store(now)
            && self.keep(gap, REFUSED).await
        {
            self.outages.stored(gap);
            if is_new {
                self.catch_up(gap, REFUSED, true);
            }
        }
        if let Some(gap) = self.outages.over(now) {
            self.catch_up(gap, REFUSED, false);
        }
    }

    async fn give_sign(&self, watches: bool, now: Timestamp) {
        let before = *self.shared.alive.last.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back begins anew.
        if before.is_some_and(|sign| !sign.failed && sign.at <= now && now.since(sign.at) < ALIVE_EVERY) {
            return;
        }
        let written = self.store.poll(PollChange::Alive).await;
        let failed = written.is_err();
        *self.shared.alive.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sign { at: now, failed });
        let why = match before {
            None => "was not running",
            Some(sign) if sign.failed => "could store nothing",
            Some(_) if watches => "stood still",
            Some(_) => return,
        };
        if let Ok(Before::Alive(at)) = written
            && now.since(at) > PATIENCE
        {
            let gap = Gap { from: at, to: now };
            self.outages.are_of(gap);
            self.keep(gap, why).await;
            self.catch_up(gap, why, false);
        }
    }

    async fn keep(&self, gap: Gap, why: &'static str) -> bool {
        let kept = self.store.poll(PollChange::Gap { gap, why }).await;
        if let Err(error) = &kept {
            tracing::debug!(error = %error, "an outage could not be stored");
        }
        kept.is_ok()
    }

    /// Nobody could call in that time: everything is polled at once. `lasts`: and once more, when it is over.
    fn catch_up(&self, gap: Gap, why: &'static str, lasts: bool) {
        let (config, now) = (self.config.load_full(), self.clock.now());
        let sources = self.schedule(|schedule| {
            schedule.follow(&config, now);
            schedule.hurry(now);
            schedule.sources().cloned().collect()
        });
        self.shared.catch_ups.begin(gap, why, sources, lasts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn gap((from, to): (i64, i64)) -> Gap {
        Gap { from: at(from), to: at(to) }
    }

    #[test]
    fn a_trouble_that_azure_has_no_patience_for_is_a_gap_that_is_stored_while_it_lasts() {
        for (answers, expected) in [
            (&[0, 5, 25, 30, 70, 75][..], Some((0, 75))),
            (&[0, 30, 60, 90, 120][..], Some((0, 120))),
            (&[0, 5, 25][..], None),
            (&[0][..], None),
            (&[0, 600, 1_200][..], None),
        ] {
            let outages = Outages::default();
            for seconds in answers {
                assert_eq!(outages.over(at(*seconds)), None);
                outages.unavailable(at(*seconds));
                if let Some((gap, _)) = outages.to_store(at(*seconds)) {
                    outages.stored(gap);
                }
            }
            let last = *answers.last().unwrap();
            assert_eq!(outages.over(at(last + 10)), None, "it may go on");
            assert_eq!(outages.begun().is_some(), expected.is_none(), "{answers:?}");
            if let Some((rest, is_new)) = outages.to_store(at(last + 60)) {
                assert!(!is_new && outages.over(at(last + 60)).is_none(), "not before it is stored");
                outages.stored(rest);
            }
            assert_eq!(outages.over(at(last + 60)), expected.map(gap), "{answers:?}");
            assert_eq!(outages.over(at(last + 120)), None, "told once");
        }
    }

    #[test]
    fn refusals_within_another_outage_belong_to_it() {
        let outages = Outages::default();
        for seconds in [0, 60, 120] {
            outages.unavailable(at(seconds));
        }
        outages.are_of(gap((10, 130)));
        assert!(outages.begun().is_some(), "begun before that");
        outages.are_of(gap((-5, 130)));
        assert_eq!((outages.begun(), outages.over(at(600))), (None, None));
    }
}
