//! When nobody could call: the bridge was down, stood still, or answered 503 for longer than Azure has patience.

use std::sync::{Mutex, PoisonError};
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

/// The 503 answers of the webhook listener.
#[derive(Debug, Default)]
pub struct Outages {
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Clone, Copy, Debug)]
struct Trouble {
    first: Timestamp,
    last: Timestamp,
}

impl Outages {
    /// A webhook was answered 503.
    pub fn unavailable(&self, now: Timestamp) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        *trouble = match *trouble {
            Some(trouble) if now.since(trouble.last) <= ONE_TROUBLE => Some(Trouble { last: now, ..trouble }),
            Some(_) | None => Some(Trouble { first: now, last: now }),
        };
    }

    /// A trouble that lasted longer than Azure has patience, once it is over.
    fn over(&self, now: Timestamp) -> Option<Gap> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Trouble { first, last } = (*trouble).filter(|trouble| now.since(trouble.last) >= QUIET)?;
        *trouble = None;
        // The last of Azure's tries begins its last wait before the trouble has lasted that long.
        (last.since(first).saturating_add(Duration::from_secs(5)) >= PATIENCE).then_some(Gap { from: first, to: last })
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
        if let Some(gap) = self.outages.over(now) {
            self.gap(gap, "answered 503").await;
        }
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
            self.gap(Gap { from: at, to: now }, why).await;
        }
    }

    /// Nobody could call in that time: everything is polled at once.
    async fn gap(&self, gap: Gap, why: &'static str) {
        if let Err(error) = self.store.poll(PollChange::Gap { gap, why }).await {
            tracing::error!(error = %error, "an outage could not be stored");
        }
        let (config, now) = (self.config.load_full(), self.clock.now());
        let sources = self.schedule(|schedule| {
            schedule.follow(&config, now);
            schedule.hurry(now);
            schedule.sources().cloned().collect()
        });
        self.shared.catch_ups.begin(gap, why, sources);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_trouble_that_azure_has_no_patience_for_is_a_gap_once_it_is_over() {
        for (answers, gap) in [
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
            }
            let last = *answers.last().unwrap();
            assert_eq!(outages.over(at(last + 10)), None, "it may go on");
            let expected = gap.map(|(from, to)| Gap { from: at(from), to: at(to) });
            assert_eq!(outages.over(at(last + 60)), expected, "{answers:?}");
            assert_eq!(outages.over(at(last + 120)), None, "told once");
        }
    }
}
