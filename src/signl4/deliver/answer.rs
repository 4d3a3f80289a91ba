//! What SIGNL4's answers say.

use std::time::Duration;

use serde::Deserialize;

use crate::domain::delivery::Outcome;
use crate::domain::id::ExternalId;
use crate::domain::pace::Told;
use crate::domain::timestamp::Timestamp;
use crate::egress::Answer;
use crate::egress::retry_after::until_epoch;

/// "An event source with this id was not found": the webhook secret is wrong.
const UNKNOWN_SECRET: i64 = 3004;

/// SIGNL4's shortest window: who exceeds it is blocked for as long.
/// <https://support.signl4.com/hc/en-us/articles/4404459248657-Event-Throttling>
const WINDOW: Duration = Duration::from_secs(15);

/// What SIGNL4's answer means, webhook and REST alike.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Outcome {
    match answer.outcome(now) {
        Outcome::Refused { status: 404 } => match error_code(answer) {
            // Without an error number it is not SIGNL4 that answers: the address is wrong, and no page is to blame.
            Some(UNKNOWN_SECRET) | None => Outcome::Denied { status: 404 },
            Some(_) => Outcome::Refused { status: 404 },
        },
        Outcome::Busy { after: None } if answer.status == 429 => {
            let reset = until_epoch(&answer.headers, "X-RateLimit-Reset", now);
            Outcome::Busy { after: Some(reset.unwrap_or(WINDOW)) }
        }
        outcome @ (Outcome::Accepted
        | Outcome::Busy { .. }
        | Outcome::NotYet { .. }
        | Outcome::Unsent
        | Outcome::Unknown
        | Outcome::Refused { .. }
        | Outcome::Denied { .. }
        | Outcome::OurFault) => outcome,
    }
}

/// How many more events SIGNL4 takes of the account, and until when that counts. Nothing where the headers make no sense.
pub(super) fn events_left(answer: &Answer, outcome: &Outcome, now: Timestamp) -> Option<Told> {
    let number = |name: &str| answer.header(name)?.trim().parse::<u32>().ok();
    let limit = number("X-RateLimit-Limit").filter(|limit| *limit > 0);
    if let (429, Outcome::Busy { after: Some(after) }) = (answer.status, outcome) {
        return Some(Told { left: 0, limit: limit.unwrap_or(u32::MAX), reset: now.plus(*after) });
    }
    let (limit, left) = (limit?, number("X-RateLimit-Remaining")?);
    let until = until_epoch(&answer.headers, "X-RateLimit-Reset", now)?;
    (left <= limit).then(|| Told { left, limit, reset: now.plus(until) })
}

/// SIGNL4's own error number. The texts beside it quote the secret and are never read.
pub(super) fn error_code(answer: &Answer) -> Option<i64> {
    #[derive(Deserialize)]
    struct Body {
        code: i64,
    }
    answer.json::<Body>().map(|body| body.code)
}

pub(super) fn event_id(answer: &Answer) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        event_id: String,
    }
    answer.json::<Body>().map(|body| body.event_id).filter(|id| !id.is_empty())
}

/// An alert that a look-up found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) event_id: Option<String>,
    external_id: Option<String>,
}

/// The first alert of the page among the answer's: SIGNL4 may find similar ids, too. An error if the answer is none.
pub(super) fn found(answer: &Answer, page: &ExternalId) -> Result<Option<Found>, ()> {
    #[derive(Deserialize)]
    struct Body {
        results: Vec<Found>,
    }
    if answer.status == 204 {
        return Ok(None);
    }
    let body: Body = answer.json().filter(|_| answer.is_success() && answer.whole).ok_or(())?;
    let is_ours =
        |found: &Found| found.external_id.as_deref().is_some_and(|id| id.trim().eq_ignore_ascii_case(page.as_str()));
    Ok(body.results.into_iter().find(is_ours))
}
