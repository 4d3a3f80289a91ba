//! How fast calls may go out to one account: limits that the services document, kept so that they are never exceeded.
//!
//! Pure: the time is a parameter. An attempt takes all that it may cost before it begins, and gives word when it has ended,
//! because a call counts at the other side at some moment between the two and nobody here knows at which.

mod bucket;
mod turns;
mod window;

pub use self::bucket::Bucket;
pub use self::turns::Turns;
pub use self::window::Window;

use super::delivery::{Call, Class};
use super::id::Side;
use super::timestamp::Timestamp;

/// What an attempt may cost. A call that turns out not to be made was paid for all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Towards Azure reads, towards SIGNL4 calls of its REST API.
    pub reads: u32,
    /// Towards Azure changes, towards SIGNL4 events through the inbound webhook.
    pub writes: u32,
}

impl Cost {
    /// One look, as polling makes them.
    pub const READ: Self = Self { reads: 1, writes: 0 };

    /// Of one attempt. One that follows an attempt of unknown fate looks first whether that one has arrived. A token that
    /// Azure refuses and a conflict add a call now and then; the margins of [`Pace::azure`] have room for those.
    pub const fn of(call: &Call, uncertain: bool) -> Self {
        let settling = if uncertain { 1 } else { 0 };
        match call {
            Call::Raise { .. } => Self { reads: 2 * settling, writes: 1 },
            Call::Acknowledge { .. } | Call::Resolve { .. } => Self { reads: 0, writes: 1 },
            Call::Annotate { .. } => Self { reads: 2, writes: 0 },
            Call::ChangeState { .. } | Call::Comment { .. } => Self { reads: 1 + settling, writes: 1 },
        }
    }

    /// The least that an attempt of this class costs.
    pub const fn least(side: Side, class: Class) -> Self {
        match (side, class) {
            (Side::Azure, _) => Self { reads: 1, writes: 1 },
            (Side::Signl4, Class::Page | Class::State) => Self { reads: 0, writes: 1 },
            (Side::Signl4, Class::Words) => Self { reads: 2, writes: 0 },
        }
    }
}

/// Which calls a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counts {
    Reads,
    Writes,
    Both,
}

impl Counts {
    const fn of(self, cost: Cost) -> u32 {
        match self {
            Self::Reads => cost.reads,
            Self::Writes => cost.writes,
            Self::Both => cost.reads.saturating_add(cost.writes),
        }
    }
}

#[derive(Clone, Debug)]
enum Limit {
    Window(Window),
    Bucket(Bucket),
}

impl Limit {
    /// How many may go out now; if not `wanted`, when so many may.
    fn room(&mut self, wanted: u32, now: Timestamp) -> Result<u32, Timestamp> {
        match self {
            Self::Window(window) => window.room(wanted, now),
            Self::Bucket(bucket) => bucket.room(wanted, now),
        }
    }
}

/// What SIGNL4 takes of one account, as its owner says or as SIGNL4 documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Events {
    pub per_15s: u32,
    pub per_minute: u32,
}

/// What SIGNL4 says of its own count: `left` of `limit` events until `reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub left: u32,
    pub limit: u32,
    pub reset: Timestamp,
}

impl Default for Events {
    /// <https://support.signl4.com/hc/en-us/articles/4404459248657-Event-Throttling>, commercial plans.
    fn default() -> Self {
        Self { per_15s: 150, per_minute: 600 }
    }
}

/// The limits of one account, and what of them is used.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    limits: Vec<(Counts, Limit)>,
}

impl Pace {
    /// No limit at all.
    pub const fn off() -> Self {
        Self { limits: Vec::new() }
    }

    /// Events as given; other REST calls have a limit of their own, 150 in 15 seconds on commercial plans.
    pub fn signl4(events: Events) -> Self {
        let window = |limit, seconds| Limit::Window(Window::new(limit, seconds));
        Self {
            limits: vec![
                (Counts::Writes, window(events.per_15s, 15)),
                (Counts::Writes, window(events.per_minute, 60)),
                (Counts::Reads, window(150, 15)),
            ],
        }
    }

    /// Azure's limits of a subscription, each below what is documented: by the calls that can be under way at once, which may
    /// arrive together, and by the few that no attempt pays for.
    ///
    /// Azure Resource Manager has a bucket of 250 reads and 25 more a second, and one of 200 changes and 10 more a second.
    /// <https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>
    /// Alerts Management takes 1,000 calls a minute.
    /// <https://learn.microsoft.com/azure/azure-monitor/fundamentals/service-limits#alerts>
    pub fn azure() -> Self {
        Self {
            limits: vec![
                (Counts::Reads, Limit::Bucket(Bucket::new(150, 25))),
                (Counts::Writes, Limit::Bucket(Bucket::new(150, 10))),
                (Counts::Both, Limit::Window(Window::new(900, 60))),
            ],
        }
    }

    /// How often `cost` may be paid now; if not once, when it may be.
    pub fn room(&mut self, cost: Cost, now: Timestamp) -> Result<u32, Timestamp> {
        let mut times = u32::MAX;
        let mut until = None;
        for (counts, limit) in &mut self.limits {
            let wanted = counts.of(cost);
            match limit.room(wanted, now) {
                Ok(room) => times = times.min(room.checked_div(wanted).unwrap_or(u32::MAX)),
                Err(time) => until = until.max(Some(time)),
            }
        }
        until.map_or(Ok(times), Err)
    }

    /// Pays for an attempt that begins now, or says when it may begin.
    pub fn take(&mut self, cost: Cost, now: Timestamp) -> Result<(), Timestamp> {
        self.room(cost, now)?;
        for (counts, limit) in &mut self.limits {
            let number = counts.of(cost);
            match limit {
                Limit::Window(window) => window.begin(number),
                Limit::Bucket(bucket) => bucket.pay(number),
            }
        }
        Ok(())
    }

    /// The attempt that paid this has ended.
    pub fn ended(&mut self, cost: Cost, now: Timestamp) {
        for (counts, limit) in &mut self.limits {
            if let Limit::Window(window) = limit {
                window.end(counts.of(cost), now);
            }
        }
    }

    /// The attempt that paid this is not made.
    pub fn not_begun(&mut self, cost: Cost, now: Timestamp) {
        for (counts, limit) in &mut self.limits {
            match limit {
                Limit::Window(window) => window.not_begun(counts.of(cost)),
                Limit::Bucket(bucket) => bucket.pay_back(counts.of(cost), now),
            }
        }
    }

    /// Calls that were made before this was there to be asked.
    pub fn remember(&mut self, cost: Cost, at: Timestamp) {
        for (counts, limit) in &mut self.limits {
            if let Limit::Window(window) = limit {
                window.begin(counts.of(cost));
                window.end(counts.of(cost), at);
            }
        }
    }

    /// The other side says how many more events may come. More than we know of is no news.
    pub fn told_of_events(&mut self, told: Told, now: Timestamp) {
        for (counts, limit) in &mut self.limits {
            if let (Counts::Writes, Limit::Window(window)) = (counts, limit) {
                window.told(told.left, told.limit, told.reset, now);
            }
        }
    }

    /// Azure says what is left of its buckets.
    pub fn told_of_buckets(&mut self, reads_left: Option<u32>, writes_left: Option<u32>, now: Timestamp) {
        for (counts, limit) in &mut self.limits {
            let left = match counts {
                Counts::Reads => reads_left,
                Counts::Writes => writes_left,
                Counts::Both => None,
            };
            if let (Some(left), Limit::Bucket(bucket)) = (left, limit) {
                bucket.told(left, now);
            }
        }
    }

    /// Takes over what `former` has counted, as far as the kinds of limits agree: a reload forgives nothing.
    #[must_use]
    pub fn after(mut self, former: &Self) -> Self {
        let alike = |(counts, limit): &&(Counts, Limit), own: &(Counts, Limit)| {
            *counts == own.0
                && match (limit, &own.1) {
                    (Limit::Window(former), Limit::Window(own)) => former.is_as_long_as(own),
                    (Limit::Bucket(_), Limit::Bucket(_)) => true,
                    (Limit::Window(_), Limit::Bucket(_)) | (Limit::Bucket(_), Limit::Window(_)) => false,
                }
        };
        for own in &mut self.limits {
            let Some((_, former)) = former.limits.iter().find(|former| alike(former, own)) else { continue };
            match (&mut own.1, former) {
                (Limit::Window(own), Limit::Window(former)) => own.take_over(former),
                (Limit::Bucket(own), Limit::Bucket(former)) => own.take_over(former),
                (Limit::Window(_), Limit::Bucket(_)) | (Limit::Bucket(_), Limit::Window(_)) => {}
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;
