//! How many attempts may be under way: in all, and towards one destination, so that a slow one does not take them all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::delivery::Destination;

/// Counts attempts under way.
#[derive(Debug)]
pub struct Slots {
    taken: Mutex<Taken>,
    total: usize,
    each: usize,
    /// Whether a new delivery may be handed to a worker with the commit that stores it.
    hands_over: bool,
    work: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_destination: HashMap<Destination, usize>,
    closed: bool,
    /// Somebody was sent away since the last slot came back.
    wanted: bool,
}

impl Slots {
    pub fn new(total: usize, each: usize) -> Self {
        Self { taken: Mutex::default(), total, each, hands_over: true, work: Notify::new() }
    }

    /// Slots for a worker that is stepped by hand: every delivery waits in the store until it is claimed.
    pub fn stepped(total: usize, each: usize) -> Self {
        Self { hands_over: false, ..Self::new(total, each) }
    }

    pub(super) fn hands_over(&self) -> bool {
        self.hands_over
    }

    /// Told when a claim may find something: new work, or a slot for work that was sent away.
    pub fn work(&self) -> &Notify {
        &self.work
    }

    /// No further attempts begin: the process is stopping.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    pub fn in_flight(&self) -> usize {
        self.lock().all
    }

    /// Takes a slot if there is one.
    pub(super) fn take(&self, destination: &Destination) -> bool {
        let mut taken = self.lock();
        if taken.closed || taken.all >= self.total {
            taken.wanted = true;
            return false;
        }
        let each = taken.by_destination.entry(destination.clone()).or_default();
        if *each >= self.each {
            taken.wanted = true;
            return false;
        }
        *each = each.saturating_add(1);
        taken.all = taken.all.saturating_add(1);
        true
    }

    /// Gives a slot back; every taken slot is given back once.
    pub fn give_back(&self, destination: &Destination) {
        let mut taken = self.lock();
        taken.all = taken.all.saturating_sub(1);
        if let Some(each) = taken.by_destination.get_mut(destination) {
            *each = each.saturating_sub(1);
            if *each == 0 {
                taken.by_destination.remove(destination);
            }
        }
        if std::mem::take(&mut taken.wanted) {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_destination_does_not_take_all_slots() {
        let slots = Slots::new(3, 2);
        let (slow, other) = (Destination::stored("slow".into()), Destination::stored("other".into()));
        assert!(slots.take(&slow) && slots.take(&slow));
        assert!(!slots.take(&slow), "a third towards one destination");
        assert!(slots.take(&other));
        assert!(!slots.take(&other), "a fourth in all");
        slots.give_back(&slow);
        assert!(slots.take(&other));
        slots.close();
        slots.give_back(&other);
        assert!(!slots.take(&other), "after closing");
        assert_eq!(slots.in_flight(), 2);
    }
}
