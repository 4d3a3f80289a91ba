//! How far this machine's clock is from another's, by the `Date` of an answer.
//!
//! A date has whole seconds and the answer took its time, so what is told is the least that the clocks surely differ.

use std::time::Duration;

use reqwest::header::{DATE, HeaderMap};

use super::finding::Finding;
use crate::domain::timestamp::Timestamp;

/// Entra and Azure allow five minutes; a clock that is a minute off is going there.
const NOTABLE: Duration = Duration::from_mins(1);
const TOO_MUCH: Duration = Duration::from_mins(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skew {
    /// This machine is ahead.
    Ahead(Duration),
    Behind(Duration),
}

/// `None` if the answer has no date.
pub(super) fn skew(headers: &HeaderMap, asked_at: Timestamp, answered_at: Timestamp) -> Option<Skew> {
    let text = headers.get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let date = Timestamp::from_millis(date.as_millisecond());
    let behind = date.since(answered_at);
    let ahead = asked_at.since(date.plus(Duration::from_secs(1)));
    Some(if behind > ahead { Skew::Behind(behind) } else { Skew::Ahead(ahead) })
}

pub(super) fn finding(target: &str, whose: &str, skew: Option<Skew>) -> Finding {
    const CHECK: &str = "clock";
    const MEND: &str = "sudo timedatectl set-ntp true";
    let (by, word) = match skew {
        None => return Finding::untested(CHECK, target, format!("no answer of {whose} told its time"), None),
        Some(Skew::Ahead(by)) => (by, "ahead of"),
        Some(Skew::Behind(by)) => (by, "behind"),
    };
    let detail = format!("this machine's clock is {} s {word} {whose}'s", by.as_secs());
    if by > TOO_MUCH {
        Finding::fail(CHECK, target, detail, MEND)
    } else if by > NOTABLE {
        Finding::warn(CHECK, target, detail, MEND)
    } else {
        Finding::pass(CHECK, target, format!("agrees with {whose}'s within {} s", by.as_secs().saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn the_sure_part_of_the_difference_is_told() {
        let now = Timestamp::parse("2026-11-24T03:00:00Z").unwrap();
        let later = now.plus(Duration::from_secs(2));
        let seconds = Duration::from_secs;
        for (date, expected) in [
            ("Tue, 24 Nov 2026 03:00:00 GMT", Some(Skew::Ahead(seconds(0)))),
            ("Tue, 24 Nov 2026 02:59:59 GMT", Some(Skew::Ahead(seconds(0)))),
            ("Tue, 24 Nov 2026 02:58:59 GMT", Some(Skew::Ahead(seconds(60)))),
            ("Tue, 24 Nov 2026 03:00:02 GMT", Some(Skew::Ahead(seconds(0)))),
            ("Tue, 24 Nov 2026 03:01:03 GMT", Some(Skew::Behind(seconds(61)))),
            ("yesterday", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, date.parse().unwrap());
            assert_eq!(skew(&headers, now, later), expected, "{date}");
        }
        assert_eq!(skew(&HeaderMap::new(), now, later), None);
    }

    #[test]
    fn above_a_minute_warns_and_above_five_fails() {
        for (seconds, outcome) in
            [(0, Outcome::Pass), (60, Outcome::Pass), (61, Outcome::Warn), (300, Outcome::Warn), (301, Outcome::Fail)]
        {
            for skew in [Skew::Ahead(Duration::from_secs(seconds)), Skew::Behind(Duration::from_secs(seconds))] {
                assert_eq!(finding("x", "Azure", Some(skew)).outcome, outcome, "{skew:?}");
            }
        }
        assert_eq!(finding("x", "Azure", None).outcome, Outcome::Untested);
    }
}
