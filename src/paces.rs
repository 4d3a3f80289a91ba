//! The pace of every account that is called, shared by all who call: the claim before an attempt begins, polling before a
//! look, and the two sides, which hear from the answers what is left.
//!
//! An account is what the other service counts together: all teams of one SIGNL4 account; a subscription of Azure, also
//! where two connections list it. What is counted survives a reload. After a start the calls of the last minute come from
//! the store (`remember`), so that a restart is no way around a limit.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::config::{Config, Pacing};
use crate::domain::delivery::{Class, Destination};
use crate::domain::id::AccountName;
use crate::domain::pace::{Cost, Events, Pace, Told, Turns};
use crate::domain::timestamp::Timestamp;

/// A look is not waited for here: it counts as under way for this long.
const A_LOOK: Duration = Duration::from_secs(2);

/// All paces. Without a configuration nothing is limited.
#[derive(Debug, Default)]
pub struct Paces(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<Destination, Arc<str>>,
    paces: HashMap<Arc<str>, Paced>,
}

#[derive(Debug, Default)]
struct Paced {
    pace: Pace,
    turns: Turns,
    /// Somebody was sent away, and no claim since has found enough for all.
    waiting: bool,
    /// How often that began.
    waits: u64,
}

/// How an account stands, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaceStatus {
    /// `signl4:NAME` or `azure:SUBSCRIPTION`
    pub account: String,
    /// Deliveries wait only because more would be too many.
    pub waiting: bool,
    pub waits: u64,
    /// Events (SIGNL4) or changes (Azure) that may go out now; without a limit `None`.
    pub left: Option<u32>,
}

impl Paces {
    pub fn new(config: &Config) -> Self {
        let paces = Self::default();
        paces.follow(config);
        paces
    }

    /// One account with these destinations.
    #[cfg(test)]
    pub(crate) fn of(pace: Pace, destinations: &[Destination]) -> Self {
        let account: Arc<str> = "test".into();
        let accounts = destinations.iter().map(|it| (it.clone(), Arc::clone(&account))).collect();
        let paces = HashMap::from([(account, Paced { pace, ..Paced::default() })]);
        Self(Mutex::new(State { accounts, paces }))
    }

    /// Takes over a configuration; what was counted stays counted.
    pub fn follow(&self, config: &Config) {
        let mut fresh = State::default();
        for (account, pacing) in signl4_accounts(config) {
            let pace = match pacing {
                Pacing::Off => Pace::off(),
                Pacing::Events(events) => Pace::signl4(events),
            };
            fresh.paces.insert(format!("signl4:{account}").into(), Paced { pace, ..Paced::default() });
        }
        for (name, team) in &config.teams {
            fresh.accounts.insert(Destination::team(name), format!("signl4:{}", team.account).into());
        }
        for (name, connection) in &config.connections {
            for subscription in &connection.subscriptions {
                let account: Arc<str> = format!("azure:{subscription}").into();
                fresh.accounts.insert(Destination::subscription(name, subscription), Arc::clone(&account));
                fresh.paces.insert(account, Paced { pace: Pace::azure(), ..Paced::default() });
            }
        }
        let mut state = self.lock();
        for (account, paced) in &mut fresh.paces {
            let Some(former) = state.paces.get(account) else { continue };
            let pace = std::mem::take(&mut paced.pace).after(&former.pace);
            *paced = Paced { pace, turns: former.turns, waiting: former.waiting, waits: former.waits };
        }
        *state = fresh;
    }

    /// The account that a destination belongs to; `None` where the configuration does not know it any more.
    pub fn account(&self, destination: &Destination) -> Option<Arc<str>> {
        self.lock().accounts.get(destination).cloned()
    }

    /// How often `cost` may be paid now; if not once, when it may be.
    pub fn room(&self, destination: &Destination, cost: Cost, now: Timestamp) -> Result<u32, Timestamp> {
        self.with(destination, Ok(u32::MAX), |paced| paced.pace.room(cost, now))
    }

    /// Pays for an attempt that begins now; every payment is followed by `ended` or `not_begun`. If there is not enough left, says when
    /// there will be.
    pub fn take(&self, destination: &Destination, cost: Cost, now: Timestamp) -> Result<(), Timestamp> {
        self.with(destination, Ok(()), |paced| {
            let taken = paced.pace.take(cost, now);
            if taken.is_ok() {
                paced.turns.used();
            } else if !paced.waiting {
                paced.waiting = true;
                paced.waits = paced.waits.saturating_add(1);
            }
            taken
        })
    }

    /// An attempt that was paid for has ended.
    pub fn ended(&self, destination: &Destination, cost: Cost, now: Timestamp) {
        self.with(destination, (), |paced| paced.pace.ended(cost, now));
    }

    /// An attempt that was paid for is not made.
    pub fn not_begun(&self, destination: &Destination, cost: Cost, now: Timestamp) {
        self.with(destination, (), |paced| paced.pace.not_begun(cost, now));
    }

    /// Pays for one look into a subscription or by SIGNL4's REST API, as polling makes them; else says when to come again.
    pub fn take_read(&self, destination: &Destination, now: Timestamp) -> Result<(), Timestamp> {
        self.with(destination, Ok(()), |paced| {
            paced.pace.take(Cost::READ, now)?;
            paced.pace.ended(Cost::READ, now.plus(A_LOOK));
            Ok(())
        })
    }

    /// Attempts that ended before this process began.
    pub fn remember(&self, destination: &Destination, cost: Cost, at: Timestamp) {
        self.with(destination, (), |paced| paced.pace.remember(cost, at));
    }

    /// Whose turn it is towards the account.
    pub fn order(&self, destination: &Destination) -> [Class; 3] {
        self.with(destination, Class::ALL, |paced| paced.turns.order())
    }

    /// Whether others were sent away before: then nobody may overtake them.
    pub fn is_waiting(&self, destination: &Destination) -> bool {
        self.with(destination, false, |paced| paced.waiting)
    }

    /// A claim found enough for all of the account.
    pub fn caught_up(&self, destination: &Destination) {
        self.with(destination, (), |paced| paced.waiting = false);
    }

    /// SIGNL4 says how many events it still takes, and until when that counts.
    pub fn told_of_events(&self, destination: &Destination, told: Told, now: Timestamp) {
        self.with(destination, (), |paced| paced.pace.told_of_events(told, now));
    }

    /// Azure says how many reads or changes it still takes.
    pub fn told_of_buckets(&self, destination: &Destination, reads: Option<u32>, writes: Option<u32>, now: Timestamp) {
        if reads.is_some() || writes.is_some() {
            self.with(destination, (), |paced| paced.pace.told_of_buckets(reads, writes, now));
        }
    }

    pub fn status(&self, now: Timestamp) -> Vec<PaceStatus> {
        let mut state = self.lock();
        let mut all: Vec<PaceStatus> = state
            .paces
            .iter_mut()
            .map(|(account, paced)| {
                let left = paced.pace.room(Cost { reads: 0, writes: 1 }, now).unwrap_or(0);
                let left = Some(left).filter(|left| *left < u32::MAX);
                PaceStatus { account: account.to_string(), waiting: paced.waiting, waits: paced.waits, left }
            })
            .collect();
        all.sort_by(|one, other| one.account.cmp(&other.account));
        all
    }

    /// All destinations that the configuration knows.
    pub fn destinations(&self) -> Vec<Destination> {
        let mut all: Vec<Destination> = self.lock().accounts.keys().cloned().collect();
        all.sort();
        all
    }

    fn with<T>(&self, destination: &Destination, otherwise: T, ask: impl FnOnce(&mut Paced) -> T) -> T {
        let state = &mut *self.lock();
        let paced = state.accounts.get(destination).and_then(|account| state.paces.get_mut(account));
        paced.map_or(otherwise, ask)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one team of an account says of its pace counts for all of them.
fn signl4_accounts(config: &Config) -> BTreeMap<AccountName, Pacing> {
    let mut accounts: BTreeMap<AccountName, Option<Pacing>> = BTreeMap::new();
    for team in config.teams.values() {
        let pacing = accounts.entry(team.account.clone()).or_default();
        *pacing = pacing.or(team.pace);
    }
    accounts
        .into_iter()
        .map(|(account, pacing)| (account, pacing.unwrap_or(Pacing::Events(Events::default()))))
        .collect()
}
