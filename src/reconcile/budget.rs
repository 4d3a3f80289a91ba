//! What a poll may ask, kept by us so that a service need not refuse: reads by the pace that all callers share, and Azure's
//! lists, of which nobody else asks for many, by a limit of their own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Reconciler;
use crate::domain::delivery::Destination;
use crate::domain::id::SubscriptionId;
use crate::domain::timestamp::Timestamp;

/// Azure lists a subscription's alerts 100 times a minute, whoever asks; some are left to others.
/// <https://learn.microsoft.com/azure/azure-monitor/service-limits#alerts-api>
const LISTS: usize = 90;
const MINUTE: Duration = Duration::from_mins(1);

/// When each subscription was listed last: never more often than the limit within any minute.
#[derive(Debug, Default)]
pub(super) struct Lists {
    asked: Mutex<BTreeMap<SubscriptionId, VecDeque<Timestamp>>>,
}

impl Lists {
    /// Takes leave for one list, or says when to come again.
    fn take(&self, subscription: &SubscriptionId, now: Timestamp) -> Result<(), Timestamp> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry(subscription.clone()).or_default();
        // A clock that was set back begins anew.
        while times.front().is_some_and(|first| first.plus(MINUTE) <= now || *first > now) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= LISTS => Err(first.plus(MINUTE)),
            Some(_) | None => {
                times.push_back(now);
                Ok(())
            }
        }
    }
}

impl Reconciler {
    /// Leave for one read of a subscription, or of a SIGNL4 account by its REST API.
    pub(super) fn may_read(&self, of: &Destination) -> Result<(), Timestamp> {
        self.store.slots().paces().take_read(of, self.clock.now())
    }

    /// Leave for one list of a subscription.
    pub(super) fn may_list(&self, of: &Destination, subscription: &SubscriptionId) -> Result<(), Timestamp> {
        self.shared.lists.take(subscription, self.clock.now())?;
        self.may_read(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_holds_more_lists_than_azure_gives() {
        let lists = Lists::default();
        let (one, other) = (SubscriptionId::new("a"), SubscriptionId::new("b"));
        let mut asked: Vec<Timestamp> = Vec::new();
        for millis in (0..180_000).step_by(100) {
            let now = Timestamp::from_millis(millis);
            match lists.take(&one, now) {
                Ok(()) => asked.push(now),
                Err(again) => assert!(again > now && again <= now.plus(MINUTE)),
            }
        }
        assert!(lists.take(&other, Timestamp::from_millis(0)).is_ok(), "each has its own");
        for first in &asked {
            let within = asked.iter().filter(|at| *at >= first && **at < first.plus(MINUTE)).count();
            assert!(within <= 100, "{within} in a minute");
        }
        assert!(asked.len() >= 180, "and hardly less: {}", asked.len());
    }
}
