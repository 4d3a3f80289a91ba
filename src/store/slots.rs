//! How many attempts may be under way: towards one side, so that a slow Azure takes none of the pages' slots, and towards
//! one destination, so that a slow one does not take all of its side.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::delivery::Destination;
use crate::domain::id::Side;

/// Counts attempts under way.
#[derive(Debug)]
pub struct Slots {
    taken: Mutex<Taken>,
    /// Of each side.
    total: usize,
    each: usize,
    /// Whether a new delivery may be handed to a worker with the commit that stores it.
    hands_over: bool,
    work: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    azure: usize,
    signl4: usize,
    by_destination: HashMap<Destination, usize>,
    closed: bool,
    /// Somebody was sent away since the last slot came back.
    wanted: bool,
}

impl Taken {
    fn side(&mut self, destination: &Destination) -> &mut usize {
        match destination.side() {
            Side::Azure => &mut self.azure,
            Side::Signl4 => &mut self.signl4,
        }
    }
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
        let taken = self.lock();
        taken.azure.saturating_add(taken.signl4)
    }

    /// Takes a slot if there is one.
    pub(super) fn take(&self, destination: &Destination) -> bool {
        let mut taken = self.lock();
        let side = *taken.side(destination);
        if taken.closed || side >= self.total {
            taken.wanted = true;
            return false;
        }
        let each = taken.by_destination.entry(destination.clone()).or_default();
        if *each >= self.each {
            taken.wanted = true;
            return false;
        }
        *each = each.saturating_add(1);
        let side = taken.side(destination);
        *side = side.saturating_add(1);
        true
    }

    /// Gives a slot back; every taken slot is given back once.
    pub fn give_back(&self, destination: &Destination) {
        let mut taken = self.lock();
        let side = taken.side(destination);
        *side = side.saturating_sub(1);
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
        let (slow, other) = (Destination::stored("signl4:slow".into()), Destination::stored("signl4:other".into()));
        assert!(slots.take(&slow) && slots.take(&slow));
        assert!(!slots.take(&slow), "a third towards one destination");
        assert!(slots.take(&other));
        assert!(!slots.take(&other), "a fourth of the side");
        let azure = Destination::stored("azure:contoso/x".into());
        assert!(slots.take(&azure), "the other side has slots of its own");
        slots.give_back(&azure);
        slots.give_back(&slow);
        assert!(slots.take(&other));
        slots.close();
        slots.give_back(&other);
        assert!(!slots.take(&other), "after closing");
        assert_eq!(slots.in_flight(), 2);
    }
}
