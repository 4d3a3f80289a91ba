//! A bucket of calls that fills up again, as the other side has one: what is kept below its size is the margin for calls
//! that arrive together although they were sent apart.

use std::time::Duration;

use super::super::timestamp::Timestamp;

/// A thousandth of a call, so that whole numbers are exact: `n` calls a second are `n` thousandths a millisecond.
const CALL: u64 = 1_000;

#[derive(Clone, Debug)]
pub struct Bucket {
    capacity: u32,
    per_second: u32,
    /// In thousandths of a call, as of `at`.
    level: u64,
    at: Timestamp,
}

impl Bucket {
    /// A full one. It gives at least one call a second.
    pub fn new(capacity: u32, per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Self { capacity, per_second, level: u64::from(capacity).saturating_mul(CALL), at: Timestamp::EPOCH }
    }

    pub(super) fn room(&mut self, wanted: u32, now: Timestamp) -> Result<u32, Timestamp> {
        self.fill(now);
        let wanted = u64::from(wanted).saturating_mul(CALL);
        if self.level >= wanted {
            return Ok(u32::try_from(self.level.checked_div(CALL).unwrap_or(0)).unwrap_or(u32::MAX));
        }
        let lacking = wanted.saturating_sub(self.level);
        Err(now.plus(Duration::from_millis(lacking.div_ceil(u64::from(self.per_second)))))
    }

    /// After `room` said that there is some.
    pub(super) fn pay(&mut self, number: u32) {
        self.level = self.level.saturating_sub(u64::from(number).saturating_mul(CALL));
    }

    pub(super) fn pay_back(&mut self, number: u32, now: Timestamp) {
        self.fill(now);
        self.level = self.level.saturating_add(u64::from(number).saturating_mul(CALL)).min(self.full());
    }

    /// The other side's bucket has `left`: ours never has more. It can only be emptied by that, and fills up as ever.
    pub(super) fn told(&mut self, left: u32, now: Timestamp) {
        self.fill(now);
        self.level = self.level.min(u64::from(left).saturating_mul(CALL));
    }

    pub(super) fn take_over(&mut self, former: &Self) {
        self.level = former.level.min(self.full());
        self.at = former.at;
    }

    fn full(&self) -> u64 {
        u64::from(self.capacity).saturating_mul(CALL)
    }

    fn fill(&mut self, now: Timestamp) {
        let millis = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        self.level = self.level.saturating_add(millis.saturating_mul(u64::from(self.per_second))).min(self.full());
        // Also where a clock was put back: what it says from now on counts.
        self.at = now;
    }
}
