//! Calls to a known endpoint that were refused one after another, none in between that was let in: most likely the other
//! side has another token than we, and what it sends is lost, because a 401 is final for Azure.
//!
//! A stranger who knows the name of an endpoint can cause such a run, and an alarm an hour with it; a caller with the
//! right token ends the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Refusal;
use crate::domain::timestamp::Timestamp;

/// So many in a row are no accident.
const RUN: u32 = 5;
/// A run ends when nothing comes for so long.
const FORGOTTEN: Duration = Duration::from_hours(1);

/// Runs by side and name; only names of the configuration are counted.
#[derive(Debug, Default)]
pub struct Runs(Mutex<BTreeMap<&'static str, BTreeMap<String, Run>>>);

#[derive(Clone, Copy, Debug)]
struct Run {
    since: Timestamp,
    last: Timestamp,
    count: u32,
    /// Somebody was told of so many.
    told: u32,
}

/// A run that somebody must hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub side: &'static str,
    pub name: String,
    pub count: u32,
    pub since: Timestamp,
}

impl Runs {
    /// A call with a credential that is wrong. One without any is a stranger's, and one from elsewhere than `networks` is
    /// what they are for.
    pub fn refused(&self, side: &'static str, name: &str, refusal: &Refusal, now: Timestamp) {
        match refusal {
            Refusal::WrongCredential | Refusal::Bearer(_) => {}
            Refusal::NoCredential
            | Refusal::UnknownName
            | Refusal::Network
            | Refusal::Unavailable(_)
            | Refusal::Busy => return,
        }
        let mut runs = self.lock();
        let fresh = Run { since: now, last: now, count: 0, told: 0 };
        let run = runs.entry(side).or_default().entry(name.to_owned()).or_insert(fresh);
        if now.since(run.last) > FORGOTTEN {
            *run = fresh;
        }
        run.last = now;
        run.count = run.count.saturating_add(1);
    }

    /// A call was let in.
    pub fn let_in(&self, side: &'static str, name: &str) {
        if let Some(of_side) = self.lock().get_mut(side) {
            of_side.remove(name);
        }
    }

    /// Runs that have grown since somebody was told of them.
    pub fn to_tell(&self) -> Vec<Told> {
        let runs = self.lock();
        let all = runs.iter().flat_map(|(side, runs)| runs.iter().map(|(name, run)| (*side, name, run)));
        all.filter(|(_, _, run)| run.count >= RUN && run.count > run.told)
            .map(|(side, name, run)| Told { side, name: name.clone(), count: run.count, since: run.since })
            .collect()
    }

    pub fn was_told(&self, told: &Told) {
        if let Some(run) = self.lock().get_mut(told.side).and_then(|runs| runs.get_mut(&told.name)) {
            run.told = told.count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, BTreeMap<String, Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + minutes * 60_000)
    }

    #[test]
    fn five_in_a_row_are_told_and_again_when_there_are_more() {
        let runs = Runs::default();
        let refuse = |minute| runs.refused("azure", "contoso", &Refusal::WrongCredential, at(minute));
        (0..4).for_each(refuse);
        assert_eq!(runs.to_tell(), []);
        refuse(4);
        let told = runs.to_tell().remove(0);
        assert_eq!(told, Told { side: "azure", name: "contoso".to_owned(), count: 5, since: at(0) });
        runs.was_told(&told);
        assert_eq!(runs.to_tell(), []);
        refuse(5);
        assert_eq!(runs.to_tell()[0].count, 6);
    }

    #[test]
    fn a_right_call_an_hours_quiet_and_strangers_make_no_run() {
        let runs = Runs::default();
        for minute in 0..20 {
            runs.refused("signl4", "ops", &Refusal::NoCredential, at(minute));
            runs.refused("signl4", "ops", &Refusal::Network, at(minute));
            runs.refused("azure", "nobody", &Refusal::UnknownName, at(minute));
            runs.refused("azure", "contoso", &Refusal::Bearer("audience"), at(minute * 61));
            runs.refused("azure", "fabrikam", &Refusal::WrongCredential, at(minute));
            if minute % 4 == 3 {
                runs.let_in("azure", "fabrikam");
            }
        }
        assert_eq!(runs.to_tell(), []);
    }
}
