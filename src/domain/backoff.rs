//! When to try again: exponential backoff with full jitter, and the destination's own wish honoured.
//!
//! Full jitter (any delay between nothing and the ceiling of the step) spreads the retries of many deliveries that
//! failed together better than a delay with a little noise does.
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>

use std::time::Duration;

/// The longest wait that a destination may ask of us; a larger wish is cut to this.
pub const LONGEST_WISH: Duration = Duration::from_hours(1);

/// Chance as a parameter: a number from 0 to 1, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roll(f64);

impl Roll {
    /// The ceiling of the step: the longest delay.
    pub const HIGHEST: Self = Self(1.0);
    /// No delay but what was asked for.
    pub const LOWEST: Self = Self(0.0);

    /// Anything that is not a number from 0 to 1 is brought into that range, so that no caller can cause a panic.
    pub fn new(chance: f64) -> Self {
        if chance.is_nan() { Self::HIGHEST } else { Self(chance.clamp(0.0, 1.0)) }
    }
}

/// How delays grow from one attempt to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Ceiling of the delay after the first attempt; it doubles with each further one.
    pub base: Duration,
    /// No ceiling is higher than this.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: Duration::from_secs(1), cap: Duration::from_mins(5) }
    }
}

impl Backoff {
    /// The delay after attempt `attempt` (counted from 1). `wish` is what the destination asked for: a floor, cut to
    /// [`LONGEST_WISH`]. Chance comes on top of it, or all whom it told to wait would come back in the same instant.
    pub fn delay(&self, attempt: u32, wish: Option<Duration>, roll: Roll) -> Duration {
        let floor = wish.unwrap_or_default().min(LONGEST_WISH);
        floor.saturating_add(self.ceiling(attempt).mul_f64(roll.0))
    }

    /// The largest delay that chance can give after attempt `attempt`.
    pub fn ceiling(&self, attempt: u32) -> Duration {
        // A day is beyond any sensible cap, and keeps the multiplication by a roll far from overflow.
        let cap = self.cap.min(Duration::from_hours(24));
        1_u32
            .checked_shl(attempt.saturating_sub(1))
            .and_then(|factor| self.base.checked_mul(factor))
            .map_or(cap, |ceiling| ceiling.min(cap))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ceilings_double_up_to_the_cap() {
        let backoff = Backoff::default();
        for (attempt, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (33, 300), (u32::MAX, 300)] {
            assert_eq!(backoff.ceiling(attempt), Duration::from_secs(seconds), "attempt {attempt}");
        }
    }

    #[test]
    fn a_wish_is_a_floor_and_is_cut_to_an_hour() {
        let backoff = Backoff::default();
        for (wish, roll, seconds) in [
            (None, Roll::LOWEST, 0),
            (None, Roll::HIGHEST, 4),
            (None, Roll::new(0.5), 2),
            (Some(1), Roll::HIGHEST, 5),
            (Some(60), Roll::HIGHEST, 64),
            (Some(60), Roll::LOWEST, 60),
            (Some(u64::MAX), Roll::LOWEST, 3_600),
        ] {
            let delay = backoff.delay(3, wish.map(Duration::from_secs), roll);
            assert_eq!(delay, Duration::from_secs(seconds), "wish {wish:?}, {roll:?}");
        }
    }

    #[test]
    fn no_number_is_a_bad_roll() {
        for chance in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.5, 1.5, f64::MAX] {
            let Roll(inside) = Roll::new(chance);
            assert!((0.0..=1.0).contains(&inside), "{chance}");
        }
    }

    proptest! {
        #[test]
        fn a_delay_lies_between_the_wish_and_the_wish_plus_the_ceiling(
            base in any::<u64>(),
            cap in any::<u64>(),
            attempt in any::<u32>(),
            wish in proptest::option::of(any::<u64>()),
            chance in any::<f64>(),
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            let wish = wish.map(Duration::from_secs);
            let delay = backoff.delay(attempt, wish, Roll::new(chance));
            let floor = wish.unwrap_or_default().min(LONGEST_WISH);
            prop_assert!(delay >= floor);
            // One microsecond of room for the rounding of a product with 1.0.
            prop_assert!(delay <= floor + backoff.ceiling(attempt) + Duration::from_micros(1));
        }
    }
}
