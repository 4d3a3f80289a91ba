//! The only `now()`. Everything else takes the time as a parameter or asks this clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::timestamp::Timestamp;

/// The system's clock, or one that a test or the demo moves by hand.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// UTC milliseconds, shared by all clones.
    Manual(Arc<AtomicI64>),
    /// Goes like the system's, so many milliseconds ahead of it, shared by all clones.
    Ahead(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_millis())))
    }

    /// A clock that goes like the system's until it is put forward.
    pub fn ahead() -> Self {
        Self::Ahead(Arc::default())
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system(),
            Self::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
            Self::Ahead(millis) => {
                Timestamp::from_millis(system().as_millis().saturating_add(millis.load(Ordering::SeqCst)))
            }
        }
    }

    /// Moves a clock on that may be moved; the system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(millis) | Self::Ahead(millis) = self {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that may ask the system for the time")]
fn system() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Measures how long something took, for logs and metrics; never decides anything.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_put_forward_goes_on_from_there() {
        let clock = Clock::ahead();
        let (copy, before) = (clock.clone(), Clock::System.now());
        clock.advance(Duration::from_mins(2));
        assert!(copy.now() >= before.plus(Duration::from_mins(2)));
        assert!(copy.now() < before.plus(Duration::from_mins(4)), "it goes no faster than the system's");
    }
}
