//! How many attempts may be under way: towards one side, so that a slow Azure takes none of the pages' slots, and towards
//! one destination, so that a slow one does not take all of its side. With a slot goes the part of the account's pace that the
//! attempt costs (`paces`): it is paid when the slot is taken, and has ended when the slot is given back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::domain::delivery::{Delivery, Destination};
use crate::domain::hold::Rests;
use crate::domain::id::Side;
use crate::domain::pace::Cost;
use crate::domain::timestamp::Timestamp;
use crate::paces::Paces;

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
    paces: Arc<Paces>,
    rests: Rests,
}

/// What an attempt occupies.
#[derive(Clone, Debug)]
pub struct Place {
    destination: Destination,
    cost: Cost,
}

impl Place {
    pub fn of(delivery: &Delivery) -> Self {
        let call = &delivery.call;
        Self { destination: call.destination(), cost: Cost::of(call, delivery.uncertain) }
    }
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
        Self {
            taken: Mutex::default(),
            total,
            each,
            hands_over: true,
            work: Notify::new(),
            paces: Arc::default(),
            rests: Rests::default(),
        }
    }

    /// Slots for a worker that is stepped by hand: every delivery waits in the store until it is claimed.
    pub fn stepped(total: usize, each: usize) -> Self {
        Self { hands_over: false, ..Self::new(total, each) }
    }

    /// With these paces; without this nothing is paced.
    #[must_use]
    pub fn paced(self, paces: Arc<Paces>) -> Self {
        Self { paces, ..self }
    }

    /// With other rests for destinations that are out of reach.
    #[must_use]
    pub fn resting(self, rests: Rests) -> Self {
        Self { rests, ..self }
    }

    pub(super) fn rests(&self) -> Rests {
        self.rests
    }

    pub fn paces(&self) -> &Paces {
        &self.paces
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

    /// Takes a slot if there is one, `at_once` to the destination at most, and pays the pace for it. An error without a time
    /// is for want of a slot, and `work` tells when one comes back; one with a time says when the pace has room again.
    pub(super) fn take(&self, place: &Place, at_once: usize, now: Timestamp) -> Result<(), Option<Timestamp>> {
        let Place { destination, cost } = place;
        let mut taken = self.lock();
        let side = *taken.side(destination);
        let each = taken.by_destination.get(destination).copied().unwrap_or(0);
        if taken.closed || side >= self.total || each >= self.each.min(at_once) {
            taken.wanted = true;
            return Err(None);
        }
        self.paces.take(destination, *cost, now).map_err(Some)?;
        match taken.by_destination.get_mut(destination) {
            Some(each) => *each = each.saturating_add(1),
            None => {
                taken.by_destination.insert(destination.clone(), 1);
            }
        }
        let side = taken.side(destination);
        *side = side.saturating_add(1);
        Ok(())
    }

    /// Gives a slot back; every taken slot is given back once, by this or by `take_back`.
    pub fn give_back(&self, place: &Place, now: Timestamp) {
        self.paces.ended(&place.destination, place.cost, now);
        self.free(&place.destination);
    }

    /// Takes a slot back from an attempt that did not begin, and returns what was paid for it.
    pub(super) fn take_back(&self, place: &Place, now: Timestamp) {
        self.paces.not_begun(&place.destination, place.cost, now);
        self.free(&place.destination);
    }

    fn free(&self, destination: &Destination) {
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

    fn place(destination: &str) -> Place {
        Place { destination: Destination::stored(destination.to_owned()), cost: Cost::default() }
    }

    #[test]
    fn one_destination_does_not_take_all_slots() {
        let now = Timestamp::EPOCH;
        let slots = Slots::new(3, 2);
        let (slow, other, azure) = (place("signl4:slow"), place("signl4:other"), place("azure:contoso/x"));
        let takes = |place: &Place| slots.take(place, usize::MAX, now).is_ok();
        assert!(takes(&slow) && takes(&slow));
        assert!(!takes(&slow), "a third towards one destination");
        assert!(takes(&other));
        assert!(!takes(&other), "a fourth of the side");
        assert!(takes(&azure), "the other side has slots of its own");
        slots.give_back(&azure, now);
        slots.give_back(&slow, now);
        assert!(takes(&other));
        slots.close();
        slots.give_back(&other, now);
        assert!(!takes(&other), "after closing");
        assert_eq!(slots.in_flight(), 2);
    }

    #[test]
    fn a_destination_that_must_show_itself_first_gets_few() {
        let now = Timestamp::EPOCH;
        let slots = Slots::new(64, 48);
        let ops = place("signl4:ops");
        for _ in 0..3 {
            assert_eq!(slots.take(&ops, 3, now), Ok(()));
        }
        assert_eq!(slots.take(&ops, 3, now), Err(None));
        assert_eq!(slots.take(&ops, usize::MAX, now), Ok(()), "once it has");
    }
}
