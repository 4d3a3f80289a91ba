//! So many calls in so many seconds, whichever seconds one looks at.
//!
//! A bucket of that capacity that refills within the window would let twice as many through in the worst window: all that
//! was saved, and what came in meanwhile. So each call is remembered until it can no longer be in a window with a new one.
//! A call under way counts, and one that has ended counts from its end: it arrived at some time before that.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::timestamp::Timestamp;

/// Whatever the other side says, after this long it is asked again: its clock may be wrong.
const LONGEST_WORD: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
pub struct Window {
    limit: u32,
    span: Duration,
    under_way: u32,
    /// When calls ended, the oldest first, as far as they still count.
    ended: VecDeque<Timestamp>,
    told: Option<Told>,
}

/// What the other side said of its own count, in force until its reset.
#[derive(Clone, Copy, Debug)]
struct Told {
    left: u32,
    limit: u32,
    reset: Timestamp,
    /// Its next window begins as the last did, until an answer tells.
    guessed: bool,
}

impl Window {
    pub const fn new(limit: u32, seconds: u64) -> Self {
        Self { limit, span: Duration::from_secs(seconds), under_way: 0, ended: VecDeque::new(), told: None }
    }

    pub(super) fn room(&mut self, wanted: u32, now: Timestamp) -> Result<u32, Timestamp> {
        self.forget(now);
        let used = self.under_way.saturating_add(u32::try_from(self.ended.len()).unwrap_or(u32::MAX));
        let own = self.limit.saturating_sub(used);
        let told = self.told.map_or(u32::MAX, |told| told.left);
        let room = own.min(told);
        if room >= wanted {
            return Ok(room);
        }
        let mut until = now;
        if let Some(told) = self.told.filter(|told| told.left < wanted) {
            until = until.max(told.reset);
        }
        if own < wanted {
            // Beside what ends of itself, so many that have ended must leave the window.
            let too_many = usize::try_from(wanted.saturating_sub(own)).unwrap_or(usize::MAX);
            let last = too_many.saturating_sub(1).min(self.ended.len().saturating_sub(1));
            // With all under way nobody knows when; whoever ends is at least a window before its place is free.
            until = until.max(self.ended.get(last).copied().unwrap_or(now).plus(self.span));
        }
        Err(until)
    }

    pub(super) fn begin(&mut self, number: u32) {
        self.under_way = self.under_way.saturating_add(number);
        if let Some(told) = &mut self.told {
            told.left = told.left.saturating_sub(number);
        }
    }

    pub(super) fn not_begun(&mut self, number: u32) {
        self.under_way = self.under_way.saturating_sub(number);
        if let Some(told) = &mut self.told {
            told.left = told.left.saturating_add(number);
        }
    }

    pub(super) fn end(&mut self, number: u32, now: Timestamp) {
        let number = number.min(self.under_way);
        self.under_way = self.under_way.saturating_sub(number);
        self.ended.extend(std::iter::repeat_n(now, usize::try_from(number).unwrap_or(0)));
    }

    /// `left` more calls until `reset`, as the answer to a call that is under way says. The others that are may not be counted
    /// there yet.
    pub(super) fn told(&mut self, left: u32, limit: u32, reset: Timestamp, now: Timestamp) {
        self.forget(now);
        let former = self.told.filter(|told| !told.guessed);
        if left >= self.limit || reset <= now {
            self.told = former;
            return;
        }
        let left = left.saturating_sub(self.under_way.saturating_sub(1));
        let reset = reset.min(now.plus(LONGEST_WORD));
        let limit = limit.max(1);
        self.told = match former {
            // Answers may overtake each other: of the same window the lower number is the later one.
            Some(former) if former.reset == reset => Some(Told { left: left.min(former.left), ..former }),
            Some(former) if former.reset > reset => Some(former),
            Some(_) | None => Some(Told { left, limit, reset, guessed: false }),
        };
    }

    pub(super) fn is_as_long_as(&self, other: &Self) -> bool {
        self.span == other.span
    }

    pub(super) fn take_over(&mut self, former: &Self) {
        self.under_way = former.under_way;
        self.ended.clone_from(&former.ended);
        self.told = former.told;
    }

    fn forget(&mut self, now: Timestamp) {
        // A clock that was put back must not hold anything up for as long as it was put back.
        let latest = now.plus(self.span);
        if self.ended.back().is_some_and(|end| *end > latest) {
            for end in &mut self.ended {
                *end = (*end).min(now);
            }
        }
        while self.ended.front().is_some_and(|end| end.plus(self.span) <= now) {
            self.ended.pop_front();
        }
        if let Some(told) = self.told.filter(|told| told.reset <= now || told.reset > now.plus(LONGEST_WORD)) {
            // Of a tighter limit than ours nobody knows how long its windows are: so many at once, and the answer tells.
            self.told = (told.limit < self.limit).then(|| Told {
                left: told.limit.saturating_sub(self.under_way).max(u32::from(self.under_way == 0)),
                reset: now.plus(self.span),
                guessed: true,
                ..told
            });
        }
    }
}
