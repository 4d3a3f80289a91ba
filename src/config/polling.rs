//! `poll`, `poll_raises` and `look_back`: how often the services are asked what no webhook told, and what that may raise.

use std::time::Duration;

use super::problem::Findings;
use super::section::Section;
use crate::domain::reading::PollRaises;

const RAISES: [(&str, PollRaises); 3] =
    [("auto", PollRaises::Auto), ("all", PollRaises::All), ("none", PollRaises::None)];

/// Azure takes 100 lists a minute and subscription, and SIGNL4 150 calls in 15 seconds.
const SHORTEST: Duration = Duration::from_secs(10);
/// A later poll would hardly find anything in time.
const LONGEST: Duration = Duration::from_hours(24);
const EVERY: Duration = Duration::from_mins(1);
const LOOK_BACK: Duration = Duration::from_hours(1);

/// Of a connection. It is polled wherever it has a credential, unless the configuration says otherwise.
pub(super) fn of_connection(
    section: &mut Section<'_>,
    has_credential: bool,
    findings: &mut Findings,
) -> (Option<Duration>, PollRaises, Duration) {
    let item = section.take("poll");
    let default = has_credential.then_some(EVERY);
    let every = match &item {
        Some(item) => item.duration_or_off(findings).map(|every| every.clamp(SHORTEST, LONGEST)),
        None => default,
    };
    if let Some(item) = item.filter(|_| every.is_some() && !has_credential) {
        item.error("needs a `credential`: without one nobody may ask Azure; add it or write \"off\"", findings);
    }
    let raises = section.take("poll_raises").and_then(|item| item.word(&RAISES, findings)).unwrap_or_default();
    let look_back = section.take("look_back").and_then(|item| item.duration(findings)).unwrap_or(LOOK_BACK);
    (every, raises, look_back)
}

/// Of a team. SIGNL4 answers an API key only on behalf of a user.
pub(super) fn of_team(
    section: &mut Section<'_>,
    has_key: bool,
    has_user: bool,
    findings: &mut Findings,
) -> Option<Duration> {
    let item = section.take("poll")?;
    let every = item.duration_or_off(findings)?.clamp(SHORTEST, LONGEST);
    let missing = match (has_key, has_user) {
        (true, true) => return Some(every),
        (true, false) => "`user_id`, the id of the SIGNL4 user under whom it asks",
        (false, true) => "`api_key`",
        (false, false) => "`api_key` and `user_id`, the id of the SIGNL4 user under whom it asks",
    };
    item.error(format_args!("needs {missing}; add it or write \"off\""), findings);
    None
}
