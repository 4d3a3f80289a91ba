//! `Retry-After` in both of its forms. No text that a server can send makes this panic.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::domain::backoff::LONGEST_WISH;
use crate::domain::timestamp::Timestamp;

/// How long the answer asks us to wait, from nothing to an hour; `None` if it does not say so, or not in a form that
/// HTTP knows.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    parse(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

/// How long until `header`, seconds since the Unix epoch, from nothing to an hour. SIGNL4 sends `X-RateLimit-Reset`.
pub fn until_epoch(headers: &HeaderMap, header: &str, now: Timestamp) -> Option<Duration> {
    let seconds = headers.get(header)?.to_str().ok()?.trim().parse::<i64>().ok()?;
    let reset = Timestamp::from_millis(seconds.checked_mul(1_000)?);
    Some(reset.since(now).min(LONGEST_WISH))
}

fn parse(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits beyond u64 still mean "very long".
        return Some(text.parse().map_or(LONGEST_WISH, Duration::from_secs).min(LONGEST_WISH));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_millis(date.as_millisecond()).since(now).min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    /// Tue, 24 Nov 2026 03:00:00 GMT
    fn now() -> Timestamp {
        Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
    }

    #[test]
    fn both_forms_are_read_and_clamped() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("3600", Some(3_600)),
            ("3601", Some(3_600)),
            ("99999999999999999999999999", Some(3_600)),
            ("Tue, 24 Nov 2026 03:00:30 GMT", Some(30)),
            ("Tue, 24 Nov 2026 02:59:00 GMT", Some(0)),
            ("Wed, 24 Nov 2027 03:00:00 GMT", Some(3_600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("1e300", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
            ("NaN", None),
            ("inf", None),
            ("Tue, 99 Nov 2026 03:00:30 GMT", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers, now()), seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_header_that_is_no_text_is_no_wish() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers, now()), None);
        headers.insert(RETRY_AFTER, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
        assert_eq!(retry_after(&headers, now()), None);
    }

    #[test]
    fn a_reset_time_is_counted_from_now() {
        let at = now().as_millis() / 1_000;
        for (text, seconds) in [
            ((at + 9).to_string(), Some(9)),
            ((at - 9).to_string(), Some(0)),
            (i64::MAX.to_string(), None),
            ((at + 999_999).to_string(), Some(3_600)),
            ("soon".to_owned(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-ratelimit-reset", HeaderValue::from_str(&text).unwrap());
            let wait = until_epoch(&headers, "X-RateLimit-Reset", now());
            assert_eq!(wait, seconds.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_nothing_is_beyond_an_hour(text in any::<String>(), millis in any::<i64>()) {
            let wait = parse(&text, Timestamp::from_millis(millis));
            prop_assert!(wait.is_none_or(|wait| wait <= LONGEST_WISH));
        }
    }
}
