//! What a destination may be sent now: one state machine for everything that holds one back.
//!
//! - An operator's **pause**: no new pages, everything else passes.
//! - A **denial**: our credential, or our right, is refused. One probe a minute, until one is taken.
//! - A **wish** of the destination to wait.
//! - The **breaker**: after some attempts in a row that did not get through, the destination counts as out of reach. Nothing
//!   goes out but one probe at a time, after a rest that grows from 5 seconds to a minute. So an outage costs the deliveries
//!   behind it no attempts, and a page goes out within a minute of the other side's return.
//! - **Caution**: a destination that has not taken anything lately gets few attempts at once, because SIGNL4 allows ten
//!   erroneous requests a minute and a secret may be wrong.
//!
//! Pure. What must outlive the process is in the public fields, and the store keeps them.

use std::time::Duration;

use serde::Serialize;

use super::after::SETTLE;
use super::delivery::{CallKind, Class, Destination, Outcome};
use super::id::Side;
use super::timestamp::{Timestamp, readable};

/// A denied destination is tried again this often: SIGNL4 allows ten erroneous requests a minute.
/// <https://support.signl4.com/hc/en-us/articles/4404459248657-Event-Throttling>
const PROBE_EVERY: Duration = Duration::from_mins(1);

/// A destination's wish to wait is honoured up to here where pages wait.
const LONGEST_WAIT_OF_PAGES: Duration = Duration::from_mins(5);

/// So many attempts in a row that did not get through, and the destination is out of reach.
const FAILURES: u32 = 5;
/// Even a probe that was hanging for longer than its rest is followed by a breath.
const SHORTEST_REST: Duration = Duration::from_secs(1);
/// Longer than any attempt: a probe of which nothing was heard by then is lost.
const PROBE_LOST: Duration = Duration::from_secs(90);

/// Attempts at once towards a destination that has not shown that it takes us: enough to open the breaker when all of
/// them hang, and half of the errors that SIGNL4 allows.
pub const FEW: usize = 5;
/// A success shows that for so long; it is as long as the window in which SIGNL4 counts errors.
const PROVEN_FOR: Duration = Duration::from_mins(1);

/// How long a destination that is out of reach is left alone between two probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rests {
    /// Before the first probe; it doubles with each further one.
    pub first: Duration,
    /// A page is never later than this after the destination's return.
    pub longest: Duration,
}

impl Default for Rests {
    fn default() -> Self {
        Self { first: Duration::from_secs(5), longest: Duration::from_mins(1) }
    }
}

/// A destination and what holds it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hold {
    pub destination: Destination,
    #[serde(serialize_with = "readable::optional")]
    pub paused_until: Option<Timestamp>,
    #[serde(serialize_with = "readable::optional")]
    pub denied_since: Option<Timestamp>,
    /// Out of reach since then.
    #[serde(serialize_with = "readable::optional")]
    pub open_since: Option<Timestamp>,
    /// The end of the destination's wish; where it is denied or out of reach, the next probe.
    #[serde(serialize_with = "readable::optional")]
    pub waits_until: Option<Timestamp>,
    pub why: Option<String>,
    #[serde(skip)]
    rests: Rests,
    #[serde(skip)]
    seen: Seen,
}

/// What this process has seen of a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Attempts in a row that did not get through.
    failures: u32,
    /// Probes in a row that did not get through.
    probes: u32,
    /// When the probe under way began.
    probing_since: Option<Timestamp>,
    taken_at: Option<Timestamp>,
}

/// How an attempt ended, as far as its destination is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    pub kind: CallKind,
    pub outcome: &'a Outcome,
    pub note: &'a str,
    pub begun_at: Timestamp,
}

impl Heard<'_> {
    /// Annotations go by the API key: they say nothing of the webhook and its secret.
    fn is_telling(&self) -> bool {
        self.kind != CallKind::Annotate
    }
}

/// What a destination may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// All of it, without pages while an operator has paused the team; so many `at_once` at most.
    Open {
        pages: bool,
        at_once: Option<usize>,
    },
    /// One delivery, to see whether the destination takes us again.
    Probe {
        pages: bool,
    },
    Nothing {
        until: Timestamp,
    },
}

impl Leave {
    pub fn allows(self, class: Class) -> bool {
        match self {
            Self::Open { pages, .. } | Self::Probe { pages } => pages || class != Class::Page,
            Self::Nothing { .. } => false,
        }
    }

    /// How many a claim looks at: one more than can go, so that it is known whether somebody waits.
    pub const fn of_one_claim(self) -> usize {
        match self {
            Self::Probe { .. } => 1,
            Self::Open { .. } | Self::Nothing { .. } => self.at_once().saturating_add(1),
        }
    }

    /// How many attempts may be under way when another begins. A probe does not wait for those that began before.
    pub const fn at_once(self) -> usize {
        match self {
            Self::Open { at_once: Some(at_once), .. } => at_once,
            Self::Open { at_once: None, .. } | Self::Probe { .. } => usize::MAX,
            Self::Nothing { .. } => 0,
        }
    }
}

/// What follows for the deliveries that wait for their next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    None,
    /// The destination went out of reach: from now on it decides when there is a next attempt, and not each delivery.
    OutOfReach,
    /// It takes us again: nothing needs to wait any longer.
    Back,
}

impl Hold {
    pub fn new(destination: Destination, rests: Rests) -> Self {
        Self {
            destination,
            rests,
            paused_until: None,
            denied_since: None,
            open_since: None,
            waits_until: None,
            why: None,
            seen: Seen::default(),
        }
    }

    /// Nothing of it must outlive the process.
    pub const fn is_empty(&self) -> bool {
        self.paused_until.is_none()
            && self.denied_since.is_none()
            && self.open_since.is_none()
            && self.waits_until.is_none()
    }

    pub fn leave(&self, now: Timestamp) -> Leave {
        if let Some(until) = self.waits_until.filter(|until| *until > now) {
            return Leave::Nothing { until };
        }
        let pages = self.paused_until.is_none_or(|until| until <= now);
        if self.denied_since.is_none() && self.open_since.is_none() {
            let is_proven = self.seen.taken_at.is_some_and(|at| now.since(at) < PROVEN_FOR);
            return Leave::Open { pages, at_once: (!is_proven).then_some(FEW) };
        }
        match self.seen.probing_since.map(|begun| begun.plus(PROBE_LOST)).filter(|until| *until > now) {
            Some(until) => Leave::Nothing { until },
            None => Leave::Probe { pages },
        }
    }

    /// When an operator's pause ends.
    pub fn pause_ends(&self, now: Timestamp) -> Option<Timestamp> {
        self.paused_until.filter(|until| *until > now)
    }

    /// The one delivery of a [`Leave::Probe`] begins.
    pub fn probing(&mut self, now: Timestamp) {
        self.seen.probing_since = Some(now);
        self.waits_until = Some(now.plus(self.rest()));
    }

    /// What the outcome of an attempt says of its destination.
    pub fn heard(&mut self, heard: &Heard<'_>, now: Timestamp) -> News {
        let was_probe = self.seen.probing_since.is_some_and(|begun| begun <= heard.begun_at);
        if was_probe {
            self.seen.probing_since = None;
        }
        match heard.outcome {
            Outcome::Denied { .. } => {
                self.denied_since = self.denied_since.or(Some(now));
                self.open_since = None;
                self.waits_until = Some(now.plus(PROBE_EVERY));
                self.why = Some(heard.note.to_owned());
                self.seen = Seen { probing_since: self.seen.probing_since, ..Seen::default() };
                News::None
            }
            // The REST interface has limits of its own: whoever asked it waits, and no page.
            Outcome::Busy { after: Some(_) } if !heard.is_telling() => News::None,
            Outcome::Busy { after: Some(after) } => {
                let longest = match self.destination.side() {
                    Side::Azure => *after,
                    // Pages are not laid by for an hour because a proxy said so.
                    Side::Signl4 => (*after).min(LONGEST_WAIT_OF_PAGES),
                };
                self.waits_until = self.waits_until.max(Some(now.plus(longest)));
                News::None
            }
            Outcome::Accepted => self.taken(heard, now),
            // Nobody was asked: the next one is the probe.
            Outcome::NotYet { after } if after.is_zero() => {
                if was_probe && self.open_since.is_some() {
                    self.waits_until = None;
                }
                News::None
            }
            Outcome::Refused { status: 0 } | Outcome::OurFault => News::None,
            // It answers, which says nothing of the credential.
            Outcome::Refused { .. } => self.answered(heard, was_probe),
            // Only what it concerns is not ready.
            Outcome::NotYet { .. } if heard.kind != CallKind::Raise => self.answered(heard, was_probe),
            // A page of unknown fate that could not be looked up was not sent.
            Outcome::NotYet { .. } => {
                if was_probe {
                    self.probe_failed(heard, now);
                }
                News::None
            }
            Outcome::Busy { after: None } | Outcome::Unsent | Outcome::Unknown => self.failed(heard, was_probe, now),
        }
    }

    /// When the next attempt of a delivery may begin that was to be repeated at `due`: the breaker knows better than a
    /// backoff when there is a chance. A Raise that may have arrived waits for SIGNL4's own word all the same.
    pub fn next_attempt(&self, kind: CallKind, outcome: &Outcome, due: Timestamp, now: Timestamp) -> Timestamp {
        let earliest = match outcome {
            Outcome::Unknown if kind == CallKind::Raise => now.plus(SETTLE),
            Outcome::Busy { after: None } | Outcome::Unsent | Outcome::Unknown => now,
            Outcome::Accepted
            | Outcome::Busy { .. }
            | Outcome::NotYet { .. }
            | Outcome::Refused { .. }
            | Outcome::Denied { .. }
            | Outcome::OurFault => return due,
        };
        match (self.open_since, self.waits_until) {
            (Some(_), probe) => due.min(earliest.max(probe.unwrap_or(now))),
            (None, _) => due,
        }
    }

    /// Credential or configuration changed: everything is tried at once, carefully. Says whether anything was held.
    pub fn try_again(&mut self) -> bool {
        let is_held = self.denied_since.is_some() || self.open_since.is_some();
        if is_held {
            self.waits_until = None;
        }
        self.seen = Seen { failures: self.seen.failures, ..Seen::default() };
        is_held
    }

    fn rest(&self) -> Duration {
        if self.denied_since.is_some() {
            return PROBE_EVERY;
        }
        let factor = 1_u32.checked_shl(self.seen.probes).unwrap_or(u32::MAX);
        self.rests.first.saturating_mul(factor).min(self.rests.longest)
    }

    fn taken(&mut self, heard: &Heard<'_>, now: Timestamp) -> News {
        if self.denied_since.is_some() {
            // An attempt that began before the denial says nothing of it.
            if heard.is_telling() && self.denied_since.is_some_and(|since| since <= heard.begun_at) {
                self.seen.taken_at = Some(now);
                return self.back();
            }
            return News::None;
        }
        if heard.is_telling() {
            self.seen.taken_at = Some(now);
        }
        let news = self.answered(heard, true);
        if self.waits_until.is_some_and(|until| until <= now) {
            self.waits_until = None;
        }
        news
    }

    fn answered(&mut self, heard: &Heard<'_>, was_probe: bool) -> News {
        if heard.is_telling() {
            self.seen.failures = 0;
        }
        // The webhook's word counts whenever it comes; an annotation's only if there was nothing else to probe with.
        if self.denied_since.is_none() && self.open_since.is_some() && (heard.is_telling() || was_probe) {
            return self.back();
        }
        News::None
    }

    fn back(&mut self) -> News {
        self.denied_since = None;
        self.open_since = None;
        self.waits_until = None;
        self.why = None;
        self.seen.failures = 0;
        self.seen.probes = 0;
        News::Back
    }

    fn failed(&mut self, heard: &Heard<'_>, was_probe: bool, now: Timestamp) -> News {
        if self.denied_since.is_some() {
            return News::None;
        }
        if self.open_since.is_some() {
            if was_probe {
                self.probe_failed(heard, now);
            }
            return News::None;
        }
        if !heard.is_telling() {
            return News::None;
        }
        self.seen.failures = self.seen.failures.saturating_add(1);
        if self.seen.failures < FAILURES {
            return News::None;
        }
        self.open_since = Some(now);
        self.why = Some(heard.note.to_owned());
        self.waits_until = self.waits_until.max(Some(now.plus(self.rests.first)));
        self.seen.probes = 0;
        News::OutOfReach
    }

    /// The rest counts from the probe's begin, so that one that was hanging does not make it longer.
    fn probe_failed(&mut self, heard: &Heard<'_>, now: Timestamp) {
        self.why = Some(heard.note.to_owned());
        self.seen.probes = self.seen.probes.saturating_add(1);
        self.waits_until = Some(heard.begun_at.plus(self.rest()).max(now.plus(SHORTEST_REST)));
    }
}

#[cfg(test)]
mod tests;
