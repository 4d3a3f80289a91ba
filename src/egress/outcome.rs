//! What an answer, or none, means for a delivery, as far as HTTP says it. Each side refines this by what it knows of
//! its own service.

use super::draft::DraftError;
use super::retry_after::retry_after;
use super::{Answer, SendError};
use crate::domain::delivery::{Attempted, Learned, Outcome};
use crate::domain::timestamp::Timestamp;

impl Answer {
    pub fn outcome(&self, now: Timestamp) -> Outcome {
        let status = self.status;
        match status {
            // A page for people is the answer of some proxy in between, not of the service.
            200..300 if self.is_html() => Outcome::Unknown,
            200..300 => Outcome::Accepted,
            // Redirects are not followed, so the configured address is wrong; 407 is the proxy's own denial.
            300..400 | 401 | 403 | 407 => Outcome::Denied { status },
            408 | 425 => Outcome::Busy { after: None },
            429 | 503 => Outcome::Busy { after: retry_after(&self.headers, now) },
            400..500 => Outcome::Refused { status },
            _ => Outcome::Unknown,
        }
    }

    fn is_html(&self) -> bool {
        self.header("content-type").is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
    }
}

impl SendError {
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unsent(_) => Outcome::Unsent,
            Self::Unknown(_) => Outcome::Unknown,
            Self::Malformed(_) => Outcome::Denied { status: 0 },
        }
    }
}

impl DraftError {
    /// The address or the secret of the configuration is wrong: nothing that this one delivery could be blamed for.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Url | Self::Secret => Outcome::Denied { status: 0 },
        }
    }
}

/// An attempt that taught nothing.
pub fn attempted(outcome: Outcome, note: impl Into<String>) -> Attempted {
    Attempted { outcome, learned: Learned::default(), note: note.into(), possibly_doubled: false }
}

/// A code from outside, fit for a note: only what codes are made of, and not long.
pub fn code(text: &str) -> String {
    text.chars().filter(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')).take(64).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};

    use super::*;

    #[test]
    fn every_status_has_its_outcome() {
        let answer = |status| Answer { status, headers: HeaderMap::new(), body: Bytes::new(), whole: true };
        for (status, outcome) in [
            (200, Outcome::Accepted),
            (201, Outcome::Accepted),
            (204, Outcome::Accepted),
            (301, Outcome::Denied { status: 301 }),
            (307, Outcome::Denied { status: 307 }),
            (400, Outcome::Refused { status: 400 }),
            (401, Outcome::Denied { status: 401 }),
            (403, Outcome::Denied { status: 403 }),
            (404, Outcome::Refused { status: 404 }),
            (405, Outcome::Refused { status: 405 }),
            (407, Outcome::Denied { status: 407 }),
            (408, Outcome::Busy { after: None }),
            (410, Outcome::Refused { status: 410 }),
            (413, Outcome::Refused { status: 413 }),
            (422, Outcome::Refused { status: 422 }),
            (429, Outcome::Busy { after: None }),
            (500, Outcome::Unknown),
            (502, Outcome::Unknown),
            (503, Outcome::Busy { after: None }),
            (504, Outcome::Unknown),
            (599, Outcome::Unknown),
            (999, Outcome::Unknown),
        ] {
            assert_eq!(answer(status).outcome(Timestamp::default()), outcome, "{status}");
        }
        let mut waits = answer(503);
        waits.headers.insert(RETRY_AFTER, HeaderValue::from_static("8"));
        assert_eq!(waits.outcome(Timestamp::default()), Outcome::Busy { after: Some(Duration::from_secs(8)) });
        let mut page = answer(200);
        page.headers.insert(CONTENT_TYPE, HeaderValue::from_static("Text/HTML; charset=utf-8"));
        assert_eq!(page.outcome(Timestamp::default()), Outcome::Unknown);
    }

    #[test]
    fn a_code_is_short_and_plain() {
        assert_eq!(code("SubscriptionNotFound"), "SubscriptionNotFound");
        assert_eq!(code("a\nb <c>\u{1b}[31m"), "abc31m");
        assert_eq!(code(&"x".repeat(100)).len(), 64);
    }
}
