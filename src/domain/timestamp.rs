//! A point in time: UTC milliseconds since 1970, the form in which the store keeps it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// UTC milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self(0);

    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 with 0 to 9 fraction digits; a time without an offset is taken as UTC, as Azure sends some.
    ///
    /// Returns `None` for anything else, out-of-range years included.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse::<jiff::Timestamp>()
            .ok()
            .or_else(|| jiff::tz::TimeZone::UTC.to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok())
            .map(|timestamp| Self(timestamp.as_millisecond()))
    }

    /// Later by `span`; stops at the largest value instead of overflowing.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// `2026-11-24`, in UTC.
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// `2026-11-24T03`, in UTC.
    pub fn hour(self) -> String {
        self.to_string().chars().take(13).collect()
    }

    /// Earlier by `span`; stops at the smallest value instead of overflowing.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long ago `earlier` was, zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds only where there are any: `2026-11-24T03:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// Times for people and their tools: RFC 3339, where the store keeps milliseconds. For `#[serde(serialize_with = …)]`.
pub mod readable {
    use serde::Serializer;

    use super::Timestamp;

    pub fn time<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(time)
    }

    pub fn optional<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraction_digits_from_none_to_nine_are_read() {
        for (text, millis) in [
            ("1970-01-01T00:00:01Z", Some(1_000)),
            ("1970-01-01T00:00:01.5Z", Some(1_500)),
            ("1970-01-01T00:00:01.49964Z", Some(1_499)),
            ("1970-01-01T00:00:01.3713213Z", Some(1_371)),
            ("1970-01-01T00:00:01.123456789Z", Some(1_123)),
            ("1970-01-01T02:00:01+02:00", Some(1_000)),
            ("1970-01-01T00:00:01", Some(1_000)),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(Timestamp::parse(text).map(Timestamp::as_millis), millis, "{text}");
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last.plus(Duration::MAX), last);
        assert_eq!(Timestamp::from_millis(5).since(last), Duration::ZERO);
    }

    #[test]
    fn display_is_rfc3339() {
        assert_eq!(Timestamp::from_millis(1_500).to_string(), "1970-01-01T00:00:01.5Z");
    }
}
