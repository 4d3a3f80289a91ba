//! When secrets end: how soon, in which words, and at which of the warnings that is.

use std::time::Duration;

use crate::domain::timestamp::Timestamp;

const DAY: Duration = Duration::from_hours(24);

/// Warnings before a secret's end, each told once: the earliest that its end is near enough for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    Month,
    Week,
    Day,
    Over,
}

impl Warning {
    /// The latest warning that is due; none while the end is far.
    pub fn due(end: Timestamp, now: Timestamp) -> Option<Self> {
        let within = |days: u32| end <= now.plus(DAY * days);
        if within(0) {
            Some(Self::Over)
        } else if within(1) {
            Some(Self::Day)
        } else if within(7) {
            Some(Self::Week)
        } else if within(30) {
            Some(Self::Month)
        } else {
            None
        }
    }

    /// A part of the alarm's key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Month => "30 days",
            Self::Week => "7 days",
            Self::Day => "1 day",
            Self::Over => "over",
        }
    }
}

/// Whole days until `end`, negative once it has passed.
pub fn days_left(end: Timestamp, now: Timestamp) -> i64 {
    let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
    end.as_millis().saturating_sub(now.as_millis()).div_euclid(day)
}

/// Seconds until `end`, negative once it has passed.
pub fn seconds_left(end: Timestamp, now: Timestamp) -> i64 {
    end.as_millis().saturating_sub(now.as_millis()).div_euclid(1_000)
}

/// `ends in 6 days (2027-05-01)`, `ends in 5 hours (…)`, `ended on 2027-05-01`.
pub fn in_words(end: Timestamp, now: Timestamp) -> String {
    let left = end.since(now);
    let day = end.day();
    if end <= now {
        return format!("ended on {day}");
    }
    let hours = left.as_secs() / 3_600;
    match (hours / 24, hours) {
        (0, 0) => format!("ends within the hour ({end})"),
        (0, 1) => format!("ends in 1 hour ({end})"),
        (0, hours) => format!("ends in {hours} hours ({end})"),
        (1, _) => format!("ends in 1 day ({day})"),
        (days, _) => format!("ends in {days} days ({day})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_30_7_and_1_days_before_and_at_the_end() {
        let end = Timestamp::parse("2027-05-01T00:00:00Z").unwrap();
        for (now, warning, days, words) in [
            ("2027-03-31T23:59:59Z", None, 30, "ends in 30 days (2027-05-01)"),
            ("2027-04-01T00:00:00Z", Some(Warning::Month), 30, "ends in 30 days (2027-05-01)"),
            ("2027-04-23T23:00:00Z", Some(Warning::Month), 7, "ends in 7 days (2027-05-01)"),
            ("2027-04-24T00:00:00Z", Some(Warning::Week), 7, "ends in 7 days (2027-05-01)"),
            ("2027-04-29T12:00:00Z", Some(Warning::Week), 1, "ends in 1 day (2027-05-01)"),
            ("2027-04-30T00:00:00Z", Some(Warning::Day), 1, "ends in 1 day (2027-05-01)"),
            ("2027-04-30T19:00:00Z", Some(Warning::Day), 0, "ends in 5 hours (2027-05-01T00:00:00Z)"),
            ("2027-04-30T23:00:00Z", Some(Warning::Day), 0, "ends in 1 hour (2027-05-01T00:00:00Z)"),
            ("2027-04-30T23:30:00Z", Some(Warning::Day), 0, "ends within the hour (2027-05-01T00:00:00Z)"),
            ("2027-05-01T00:00:00Z", Some(Warning::Over), 0, "ended on 2027-05-01"),
            ("2027-05-01T00:00:01Z", Some(Warning::Over), -1, "ended on 2027-05-01"),
            ("2028-01-01T00:00:00Z", Some(Warning::Over), -245, "ended on 2027-05-01"),
        ] {
            let now = Timestamp::parse(now).unwrap();
            assert_eq!(Warning::due(end, now), warning, "{now}");
            assert_eq!(days_left(end, now), days, "{now}");
            assert_eq!(in_words(end, now), words, "{now}");
        }
        assert_eq!(seconds_left(end, end.minus(Duration::from_secs(90))), 90);
        assert_eq!(seconds_left(end, end.plus(Duration::from_secs(1))), -1);
    }
}
