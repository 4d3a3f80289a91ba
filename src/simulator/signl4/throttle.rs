//! SIGNL4's event throttling: counted in fixed windows, and closed for a whole window once one is full.
//! <https://support.signl4.com/hc/en-us/articles/4404459248657-Event-Throttling>

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::timestamp::Timestamp;

/// Which limits hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limits {
    #[default]
    Off,
    Commercial,
    Free,
    /// Events in 15 seconds and in a minute.
    Custom {
        per_15s: u32,
        per_minute: u32,
    },
}

impl Limits {
    /// Of events.
    pub(super) fn of_events(self) -> Vec<(Duration, u32)> {
        let limits = |counts: [u32; 4]| {
            [15, 60, 3_600, 86_400].into_iter().map(Duration::from_secs).zip(counts).collect::<Vec<_>>()
        };
        match self {
            Self::Off => Vec::new(),
            Self::Commercial => limits([150, 600, 36_000, 864_000]),
            Self::Free => limits([10, 240, 1_200, 4_800]),
            Self::Custom { per_15s, per_minute } => limits([per_15s, per_minute, u32::MAX, u32::MAX]),
        }
    }

    /// Of all other calls of the REST API.
    pub(super) fn of_rest(self) -> Vec<(Duration, u32)> {
        let limits =
            |a_quarter, an_hour| vec![(Duration::from_secs(15), a_quarter), (Duration::from_hours(1), an_hour)];
        match self {
            Self::Off | Self::Custom { .. } => Vec::new(),
            Self::Commercial => limits(150, 36_000),
            Self::Free => limits(10, 1_200),
        }
    }
}

/// Erroneous requests in a minute.
const ERRORS: (Duration, u32) = (Duration::from_mins(1), 10);

#[derive(Clone, Copy, Debug)]
struct Window {
    length: Duration,
    since: Timestamp,
    count: u32,
}

/// The counters of one account.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    windows: Vec<Window>,
    errors: Option<Window>,
    blocked_until: Option<Timestamp>,
}

/// What the `X-RateLimit-*` headers tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub(super) limit: u32,
    pub(super) remaining: u32,
    pub(super) reset: Timestamp,
    /// The request must be refused.
    pub(super) exceeded: bool,
}

impl Throttle {
    /// Counts one request.
    pub(super) fn count(&mut self, limits: &[(Duration, u32)], now: Timestamp) -> Allowance {
        if limits.is_empty() {
            *self = Self::default();
            // The documented limit stands in the headers even where it does not hold.
            let reset = now.plus(Duration::from_secs(15));
            return Allowance { limit: 150, remaining: 149, reset, exceeded: false };
        }
        if let Some(until) = self.blocked_until.filter(|until| now < *until) {
            let limit = limits.first().map_or(0, |(_, limit)| *limit);
            return Allowance { limit, remaining: 0, reset: until, exceeded: true };
        }
        self.blocked_until = None;
        if self.windows.len() != limits.len() {
            self.windows = limits.iter().map(|(length, _)| Window { length: *length, since: now, count: 0 }).collect();
        }
        let mut tightest = Allowance { limit: 0, remaining: u32::MAX, reset: now, exceeded: false };
        for (window, (_, limit)) in self.windows.iter_mut().zip(limits) {
            window.add(now);
            let remaining = limit.saturating_sub(window.count);
            let exceeded = window.count > *limit;
            if exceeded {
                self.blocked_until = Some(now.plus(window.length));
            }
            if remaining < tightest.remaining || exceeded {
                let reset = if exceeded { now.plus(window.length) } else { window.since.plus(window.length) };
                tightest = Allowance { limit: *limit, remaining, reset, exceeded: exceeded || tightest.exceeded };
            }
        }
        tightest
    }

    /// Counts one erroneous request: ten a minute, then everything is refused for a minute.
    pub(super) fn count_error(&mut self, limits: Limits, now: Timestamp) {
        if limits == Limits::Off {
            return;
        }
        let (length, limit) = ERRORS;
        let window = self.errors.get_or_insert(Window { length, since: now, count: 0 });
        window.add(now);
        if window.count > limit {
            self.blocked_until = Some(now.plus(length));
        }
    }
}

impl Window {
    fn add(&mut self, now: Timestamp) {
        if now.since(self.since) >= self.length {
            self.since = now;
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_closes_for_its_whole_length() {
        let mut throttle = Throttle::default();
        let limits = &Limits::Custom { per_15s: 2, per_minute: 100 }.of_events();
        let start = Timestamp::from_millis(0);
        let at = |seconds: u64| start.plus(Duration::from_secs(seconds));
        assert!(!throttle.count(limits, at(0)).exceeded);
        let second = throttle.count(limits, at(14));
        assert_eq!(second, Allowance { limit: 2, remaining: 0, reset: at(15), exceeded: false });
        let third = throttle.count(limits, at(14));
        assert_eq!(third, Allowance { limit: 2, remaining: 0, reset: at(29), exceeded: true });
        // A new window has begun, but the block has not ended.
        assert!(throttle.count(limits, at(28)).exceeded);
        assert!(!throttle.count(limits, at(29)).exceeded);
    }

    #[test]
    fn the_eleventh_error_in_a_minute_closes_for_a_minute() {
        let mut throttle = Throttle::default();
        let start = Timestamp::from_millis(0);
        for _ in 0..10 {
            throttle.count_error(Limits::Commercial, start);
        }
        assert!(!throttle.count(&Limits::Commercial.of_events(), start).exceeded);
        throttle.count_error(Limits::Commercial, start);
        assert!(throttle.count(&Limits::Commercial.of_events(), start).exceeded);
        assert!(!throttle.count(&Limits::Commercial.of_events(), start.plus(Duration::from_mins(1))).exceeded);
    }
}
