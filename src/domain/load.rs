//! How many pages a team has been sent lately, and where its storm is gathered.
//!
//! SIGNL4 silences a person for a minute after five notifications within one, and nothing that was raised can be edited:
//! what comes faster than a person can read is gathered into one page. The store keeps the load beside its rows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::id::{AlertKey, TeamName};
use super::timestamp::Timestamp;

/// The span over which pages are counted.
pub const SPAN: Duration = Duration::from_mins(1);
/// More are not remembered: no limit is higher.
pub const MOST_PAGES: u32 = 1_000;

/// `storm = { pages_per_minute = 3, digest_every = "1m" }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// New pages beyond it join a digest.
    pub pages_per_minute: u32,
    /// How long a digest gathers before it is raised.
    pub digest_every: Duration,
}

impl Default for Storm {
    fn default() -> Self {
        Self { pages_per_minute: 3, digest_every: Duration::from_mins(1) }
    }
}

/// The load of all teams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    by_team: BTreeMap<TeamName, TeamLoad>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TeamLoad {
    /// When the latest pages were decided, oldest first.
    raised: VecDeque<Timestamp>,
    /// The digest that gathers now.
    gathering: Option<AlertKey>,
}

impl Load {
    /// A page of the team was decided.
    pub fn raised(&mut self, team: &TeamName, at: Timestamp) {
        let load = self.of(team);
        while load.raised.front().is_some_and(|first| at.since(*first) >= SPAN) {
            load.raised.pop_front();
        }
        let most = usize::try_from(MOST_PAGES).unwrap_or(usize::MAX);
        if load.raised.len() >= most {
            load.raised.pop_front();
        }
        load.raised.push_back(at);
    }

    pub fn gathers(&mut self, team: &TeamName, digest: AlertKey) {
        self.of(team).gathering = Some(digest);
    }

    /// The digest gathers no longer.
    pub fn gathered(&mut self, digest: &AlertKey) {
        for load in self.by_team.values_mut() {
            if load.gathering.as_ref() == Some(digest) {
                load.gathering = None;
            }
        }
    }

    /// The digest that further pages of the team join.
    pub fn gathering(&self, team: &TeamName) -> Option<&AlertKey> {
        self.by_team.get(team)?.gathering.as_ref()
    }

    pub fn is_gathering(&self, digest: &AlertKey) -> bool {
        self.by_team.values().any(|load| load.gathering.as_ref() == Some(digest))
    }

    /// How many pages of the team were decided within the last minute. One dated in the future counts: a clock was set
    /// back.
    pub fn pages_within_span(&self, team: &TeamName, now: Timestamp) -> u32 {
        let recent = self.by_team.get(team).map_or(0, |load| {
            load.raised.iter().rev().take_while(|at| now.since(**at) < SPAN && at.since(now) < SPAN).count()
        });
        u32::try_from(recent).unwrap_or(u32::MAX)
    }

    /// Entries borrow nothing: a team is cloned the first time only.
    fn of(&mut self, team: &TeamName) -> &mut TeamLoad {
        if !self.by_team.contains_key(team) {
            self.by_team.insert(team.clone(), TeamLoad::default());
        }
        self.by_team.entry(team.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_count_for_a_minute_and_digests_until_they_are_raised() {
        let (ops, dba) = (TeamName::parse("ops").unwrap(), TeamName::parse("dba").unwrap());
        let mut load = Load::default();
        for second in [0, 30, 59] {
            load.raised(&ops, Timestamp::from_millis(second * 1_000));
        }
        let seen =
            |load: &Load, team, second: i64| load.pages_within_span(team, Timestamp::from_millis(second * 1_000));
        assert_eq!([seen(&load, &ops, 59), seen(&load, &ops, 60), seen(&load, &ops, 90)], [3, 2, 1]);
        assert_eq!(seen(&load, &dba, 59), 0, "another team");
        assert_eq!(seen(&load, &ops, -3_600), 0, "the clock was set back by an hour: nobody waits for it");

        let digest = AlertKey::synthetic("digest", "1");
        load.gathers(&ops, digest.clone());
        assert_eq!((load.gathering(&ops), load.gathering(&dba)), (Some(&digest), None));
        load.gathered(&AlertKey::synthetic("digest", "2"));
        assert!(load.is_gathering(&digest), "another digest was raised");
        load.gathered(&digest);
        assert!(!load.is_gathering(&digest));
    }
}
