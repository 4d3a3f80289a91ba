//! What is polled, when it is due, and how its last poll went.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::domain::id::{ConnectionName, Side, SubscriptionId, TeamName};
use crate::domain::timestamp::{Timestamp, readable};

/// One thing to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceName {
    Azure { connection: ConnectionName, subscription: SubscriptionId },
    Signl4 { team: TeamName },
}

impl SourceName {
    pub const fn side(&self) -> Side {
        match self {
            Self::Azure { .. } => Side::Azure,
            Self::Signl4 { .. } => Side::Signl4,
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Azure { connection, subscription } => write!(f, "azure:{connection}/{subscription}"),
            Self::Signl4 { team } => write!(f, "signl4:{team}"),
        }
    }
}

/// Between the first polls of two sources after a start, at most: they stay as far apart.
const APART: Duration = Duration::from_millis(200);

/// When the source with this number of so many is asked first: all within the interval, and none at once with another.
fn offset(number: usize, count: usize, every: Duration) -> Duration {
    let parts = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
    APART.min(every.checked_div(parts(count)).unwrap_or(every)).saturating_mul(parts(number))
}

/// A service's wish to wait is honoured up to an hour.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// A source whose time has come; nobody else takes it before it has ended.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) source: SourceName,
    pub(super) every: Duration,
}

#[derive(Clone, Debug)]
struct Entry {
    every: Duration,
    due: Timestamp,
    under_way: bool,
    read_at: Option<Timestamp>,
    failing_since: Option<Timestamp>,
    denied: bool,
    problem: Option<String>,
}

/// How the polls of a source stand, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PollStatus {
    pub source: String,
    pub every_seconds: u64,
    /// When it was last read to its end, since the start.
    #[serde(serialize_with = "readable::optional")]
    pub read_at: Option<Timestamp>,
    #[serde(serialize_with = "readable::optional", skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// All sources.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    entries: BTreeMap<SourceName, Entry>,
}

impl Schedule {
    /// Takes over what the configuration says now; new sources are spread over their interval.
    pub(super) fn follow(&mut self, config: &Config, now: Timestamp) {
        let mut wanted: BTreeMap<SourceName, Duration> = BTreeMap::new();
        for (name, connection) in &config.connections {
            let Some(every) = connection.poll.filter(|_| connection.credential.is_some()) else { continue };
            for subscription in &connection.subscriptions {
                let (connection, subscription) = (name.clone(), subscription.clone());
                wanted.insert(SourceName::Azure { connection, subscription }, every);
            }
        }
        for (name, team) in &config.teams {
            if let Some(every) = team.poll.filter(|_| team.has_api()) {
                wanted.insert(SourceName::Signl4 { team: name.clone() }, every);
            }
        }
        self.entries.retain(|source, _| wanted.contains_key(source));
        // A clock that was set back must not keep the polls from their turn for long.
        for entry in self.entries.values_mut() {
            entry.due = entry.due.min(now.plus(entry.every.max(LONGEST_WAIT)));
        }
        let new = wanted.len().saturating_sub(self.entries.len());
        let mut number = 0;
        for (source, every) in wanted {
            if let Some(entry) = self.entries.get_mut(&source) {
                if entry.every != every {
                    entry.due = entry.due.min(now.plus(every));
                    entry.every = every;
                }
                continue;
            }
            let entry = Entry {
                every,
                due: now.plus(offset(number, new, every)),
                under_way: false,
                read_at: None,
                failing_since: None,
                denied: false,
                problem: None,
            };
            self.entries.insert(source, entry);
            number += 1;
        }
    }

    /// Those whose time has come, the longest waiting first.
    pub(super) fn take_due(&mut self, now: Timestamp, most: usize) -> Vec<Due> {
        let mut due: Vec<(Timestamp, SourceName)> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.under_way && entry.due <= now)
            .map(|(source, entry)| (entry.due, source.clone()))
            .collect();
        due.sort();
        due.truncate(most);
        due.into_iter()
            .filter_map(|(_, source)| {
                let entry = self.entries.get_mut(&source)?;
                entry.under_way = true;
                Some(Due { every: entry.every, source })
            })
            .collect()
    }

    /// Everything is due at once.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        for entry in self.entries.values_mut() {
            entry.due = entry.due.min(now);
        }
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = &SourceName> {
        self.entries.keys()
    }

    /// Read to its end. Says since when that had failed.
    pub(super) fn read(
        &mut self,
        source: &SourceName,
        every: Duration,
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let entry = self.entries.get_mut(source)?;
        entry.under_way = false;
        let regular = now.plus(every);
        entry.due = again.map_or(regular, |again| again.max(now).min(regular));
        entry.read_at = Some(now);
        entry.problem = None;
        entry.denied = false;
        entry.failing_since.take()
    }

    pub(super) fn parked(&mut self, source: &SourceName, until: Timestamp, now: Timestamp) {
        if let Some(entry) = self.entries.get_mut(source) {
            entry.under_way = false;
            entry.due = until.max(now);
        }
    }

    /// Not read. Says since when, if this is news: the first failure, or the first refusal.
    pub(super) fn failed(
        &mut self,
        source: &SourceName,
        problem: &str,
        denied: bool,
        wait: Duration,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let entry = self.entries.get_mut(source)?;
        entry.under_way = false;
        entry.due = now.plus(wait);
        entry.problem = Some(problem.to_owned());
        let is_news = entry.failing_since.is_none() || denied && !entry.denied;
        entry.denied |= denied;
        let since = *entry.failing_since.get_or_insert(now);
        is_news.then_some(since)
    }

    pub(super) fn status(&self) -> Vec<PollStatus> {
        self.entries
            .iter()
            .map(|(source, entry)| PollStatus {
                source: source.to_string(),
                every_seconds: entry.every.as_secs(),
                read_at: entry.read_at,
                failing_since: entry.failing_since,
                problem: entry.problem.clone(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_polls_are_apart_and_within_the_interval() {
        for (count, every, between) in [(1, 60, 200), (50, 60, 200), (500, 60, 120), (5_000, 60, 12), (500, 10, 20)] {
            let every = Duration::from_secs(every);
            let times: Vec<Duration> = (0..count).map(|number| offset(number, count, every)).collect();
            assert_eq!(times[0], Duration::ZERO);
            assert!(times.windows(2).all(|two| two[1] == two[0] + Duration::from_millis(between)), "{count}");
            assert!(times[count - 1] < every);
        }
    }
}
