//! All alerts of the simulated Azure, found by their id and by subscription: a list looks at no other subscription's.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::alert::Alert;

/// By the GUID at the end of the alert's id. To look at, it is a map.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    all: BTreeMap<String, Alert>,
    /// Ids by subscription, lower-case: the alert's own, and its target's where that is another.
    of: BTreeMap<String, BTreeSet<String>>,
}

impl Deref for Alerts {
    type Target = BTreeMap<String, Alert>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Alerts {
    pub(super) fn insert(&mut self, alert: Alert) {
        for subscription in subscriptions(&alert) {
            self.of.entry(subscription).or_default().insert(alert.id.clone());
        }
        self.all.insert(alert.id.clone(), alert);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Alert> {
        let alert = self.all.remove(id)?;
        for subscription in subscriptions(&alert) {
            if let Some(ids) = self.of.get_mut(&subscription) {
                ids.remove(id);
            }
        }
        Some(alert)
    }

    /// To change its state: where it belongs stays as it is.
    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Alert> {
        self.all.get_mut(id)
    }

    /// Those in the subscription, lower-case; without one, all.
    pub(super) fn below(&self, subscription: Option<&str>) -> Vec<&Alert> {
        match subscription {
            None => self.all.values().collect(),
            Some(subscription) => {
                let ids = self.of.get(subscription).into_iter().flatten();
                ids.filter_map(|id| self.all.get(id)).collect()
            }
        }
    }
}

fn subscriptions(alert: &Alert) -> BTreeSet<String> {
    let target = alert.target().to_lowercase();
    let of_target = target.strip_prefix("/subscriptions/").and_then(|rest| rest.split('/').next());
    of_target.map(str::to_owned).into_iter().chain([alert.subscription.to_lowercase()]).collect()
}
