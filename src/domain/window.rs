//! Maintenance windows: while one is open, pages of the alerts that it names are held.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use super::event::Notification;
use super::id::ConnectionName;
use super::route::{Criteria, Rules};
use super::timestamp::Timestamp;

/// More windows one after another are not followed: the end of the last is looked at again when it has come.
const CHAINED: usize = 16;

/// One `[[maintenance]]` of the routes' files.
#[derive(Clone, Debug)]
pub struct Window {
    pub name: String,
    /// File name within the routes folder, and line.
    pub file: String,
    pub line: usize,
    /// The alerts whose pages it holds; without criteria all.
    pub criteria: Criteria,
    pub times: Times,
}

#[derive(Clone, Debug)]
pub enum Times {
    /// Each week on these days, on the clock of a place. An end that is not later than the start lies on the next day;
    /// `days` are those on which it starts.
    Weekly { days: BTreeSet<Day>, from: Time, to: Time, zone: TimeZone },
    /// Once.
    Once { start: Timestamp, end: Timestamp },
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    pub const ALL: [(&str, Self); 7] = [
        ("Mon", Self::Mon),
        ("Tue", Self::Tue),
        ("Wed", Self::Wed),
        ("Thu", Self::Thu),
        ("Fri", Self::Fri),
        ("Sat", Self::Sat),
        ("Sun", Self::Sun),
    ];

    const fn of(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Mon,
            Weekday::Tuesday => Self::Tue,
            Weekday::Wednesday => Self::Wed,
            Weekday::Thursday => Self::Thu,
            Weekday::Friday => Self::Fri,
            Weekday::Saturday => Self::Sat,
            Weekday::Sunday => Self::Sun,
        }
    }
}

impl Times {
    /// The end of the window if it is open at `at`.
    pub fn open_until(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { start, end } => (*start <= at && at < *end).then_some(*end),
            Self::Weekly { days, from, to, zone } => {
                let today = zone.to_datetime(jiff::Timestamp::from_millisecond(at.as_millis()).ok()?).date();
                let overnight = if to <= from { 1.day() } else { Span::new() };
                // One that began the day before may still be open.
                [today.yesterday().ok(), Some(today)]
                    .into_iter()
                    .flatten()
                    .filter(|date| days.contains(&Day::of(date.weekday())))
                    .filter_map(|date| {
                        let start = instant(date, *from, zone)?;
                        let end = instant(date.checked_add(overnight).ok()?, *to, zone)?;
                        (start <= at && at < end).then_some(end)
                    })
                    .max()
            }
        }
    }
}

/// What the clock of a place shows, as a point in time. What it never shows on that day, because it was put forward, is
/// taken as that much later; of what it shows twice, the first.
fn instant(date: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    let timestamp = zone.to_timestamp(date.to_datetime(time)).ok()?;
    Some(Timestamp::from_millis(timestamp.as_millisecond()))
}

impl Rules {
    /// The names of the windows that concern an alert, open or not.
    pub fn windows_of(&self, connection: &ConnectionName, notification: &Notification) -> Vec<String> {
        let concerns = |window: &&Window| window.criteria.judge(connection, notification).is_ok();
        self.windows.iter().filter(concerns).map(|window| window.name.clone()).collect()
    }

    /// Until when windows of these names hold what would go out at `at`, and the one that ends last.
    pub fn held_by(&self, names: &[String], at: Timestamp) -> Option<(Timestamp, &Window)> {
        let concerned = || self.windows.iter().filter(|window| names.contains(&window.name));
        let mut last = None;
        let mut at = at;
        for _ in 0..CHAINED {
            let open = concerned().filter_map(|window| Some((window.times.open_until(at)?, window)));
            let Some((end, window)) = open.max_by_key(|(end, _)| *end) else { break };
            last = Some((end, window));
            at = end;
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn weekly(days: &[Day], from: (i8, i8), to: (i8, i8), zone: &str) -> Times {
        Times::Weekly {
            days: days.iter().copied().collect(),
            from: Time::constant(from.0, from.1, 0, 0),
            to: Time::constant(to.0, to.1, 0, 0),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    fn check(times: &Times, at: &str, end: Option<&str>) {
        assert_eq!(times.open_until(time(at)), end.map(time), "{times:?} at {at}");
    }

    #[test]
    fn a_window_is_open_from_its_first_to_before_its_last_minute() {
        let times = weekly(&[Day::Sun], (22, 0), (23, 30), "Europe/Berlin");
        // 2026-11-29 is a Sunday; Berlin is an hour ahead.
        check(&times, "2026-11-29T20:59:59Z", None);
        check(&times, "2026-11-29T21:00:00Z", Some("2026-11-29T22:30:00Z"));
        check(&times, "2026-11-29T22:29:59Z", Some("2026-11-29T22:30:00Z"));
        check(&times, "2026-11-29T22:30:00Z", None);
        check(&times, "2026-11-30T21:30:00Z", None);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_starts() {
        let times = weekly(&[Day::Sat], (22, 0), (2, 0), "UTC");
        check(&times, "2026-11-28T23:00:00Z", Some("2026-11-29T02:00:00Z"));
        check(&times, "2026-11-29T01:59:59Z", Some("2026-11-29T02:00:00Z"));
        check(&times, "2026-11-29T23:00:00Z", None);
        check(&times, "2026-11-28T01:00:00Z", None);
        // From and to alike: the whole day round.
        let day = weekly(&[Day::Sat], (8, 0), (8, 0), "UTC");
        check(&day, "2026-11-29T07:59:00Z", Some("2026-11-29T08:00:00Z"));
    }

    #[test]
    fn a_window_follows_the_clock_of_its_place_when_it_changes() {
        let times = weekly(&[Day::Sat], (23, 0), (5, 0), "Europe/Berlin");
        // On 2026-10-25 the clock is put back at three: the night has an hour more.
        check(&times, "2026-10-24T21:00:00Z", Some("2026-10-25T04:00:00Z"));
        // On 2027-03-28 it is put forward at two.
        check(&times, "2027-03-27T22:00:00Z", Some("2027-03-28T03:00:00Z"));
        // A start that the clock never shows is as much later.
        let skipped = weekly(&[Day::Sun], (2, 30), (4, 0), "Europe/Berlin");
        check(&skipped, "2027-03-28T01:30:00Z", Some("2027-03-28T02:00:00Z"));
    }

    #[test]
    fn a_window_that_is_open_once_is_open_once() {
        let times = Times::Once { start: time("2026-12-01T20:00:00Z"), end: time("2026-12-02T02:00:00Z") };
        check(&times, "2026-12-01T19:59:59Z", None);
        check(&times, "2026-12-01T20:00:00Z", Some("2026-12-02T02:00:00Z"));
        check(&times, "2026-12-02T02:00:00Z", None);
    }
}
