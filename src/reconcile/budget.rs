//! How many questions a service allows, kept by us so that it need not refuse.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::timestamp::Timestamp;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    /// A page of Azure's list: 100 a minute and subscription, of which some are left to others.
    /// <https://learn.microsoft.com/azure/azure-monitor/service-limits#alerts-api>
    List,
    /// Any read of Azure's: 25 a second and subscription, of which deliveries need some.
    /// <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>
    Read,
    /// Any REST call of SIGNL4's: 150 in 15 s and account, of which deliveries need some.
    /// <https://support.signl4.com/hc/en-us/articles/4404459248657-Event-Throttling>
    Signl4,
}

impl Question {
    const fn limit(self) -> (usize, Duration) {
        match self {
            Self::List => (90, Duration::from_mins(1)),
            Self::Read => (20, Duration::from_secs(1)),
            Self::Signl4 => (75, Duration::from_secs(15)),
        }
    }
}

/// When whom was asked last: never more than the limit within any span of its length.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    asked: Mutex<BTreeMap<(String, Question), VecDeque<Timestamp>>>,
}

impl Budgets {
    /// Takes leave for one question, or says when to come again.
    pub(super) fn take(&self, whom: &str, question: Question, now: Timestamp) -> Result<(), Timestamp> {
        let (most, span) = question.limit();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let times = asked.entry((whom.to_owned(), question)).or_default();
        while times.front().is_some_and(|first| first.plus(span) <= now) {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= most => Err(first.plus(span)),
            Some(_) | None => {
                times.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_holds_more_questions_than_the_limit() {
        let budgets = Budgets::default();
        let mut asked: Vec<Timestamp> = Vec::new();
        for millis in (0..180_000).step_by(100) {
            let now = Timestamp::from_millis(millis);
            match budgets.take("a", Question::List, now) {
                Ok(()) => asked.push(now),
                Err(again) => assert!(again > now && again <= now.plus(Duration::from_mins(1))),
            }
        }
        assert!(budgets.take("b", Question::List, Timestamp::from_millis(0)).is_ok(), "each has its own");
        for first in &asked {
            let within = asked.iter().filter(|at| *at >= first && **at < first.plus(Duration::from_mins(1))).count();
            assert!(within <= 100, "{within} in a minute");
        }
        assert!(asked.len() >= 180, "and hardly less: {}", asked.len());
    }
}
