//! When a page may go out: still true, no window open, no storm.

use std::time::Duration;

use super::Reason;
use super::desk::Desk;
use crate::domain::delivery::AzureState;
use crate::domain::digest::is_digest;
use crate::domain::event::Condition;
use crate::domain::id::ExternalId;
use crate::domain::load::Storm;
use crate::domain::page::{Ending, Known, Page, Phase};
use crate::domain::route::Rules;
use crate::domain::timestamp::Timestamp;

/// What becomes of a page when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    Raise,
    /// One digest page for it and others, which is raised after so long.
    Join(Duration),
    Keep(Timestamp),
    Drop(Ending),
}

/// What a window has held is gathered for so long at its end: all of it is due at the same moment.
const WINDOW_GATHERS: Duration = Duration::from_secs(5);

/// Judges a held page, or one that need not be held, in this order: still true, hold over, window over, storm.
///
/// Whether a late page is still true in Azure is asked by the worker, right before it sends.
pub fn release(rules: &Rules, page: &Page, known: &Known, now: Timestamp) -> Release {
    let until = match page.phase {
        Phase::Held { until } => until,
        Phase::Raising | Phase::Raised | Phase::Joined => return Release::Drop(Ending::NotRaised),
        Phase::Ended { why } => return Release::Drop(why),
    };
    if let Some(alert) = &known.alert {
        if alert.condition == Condition::Resolved {
            return Release::Drop(Ending::ResolvedWhileHeld);
        }
        if alert.azure_state() != AzureState::New {
            return Release::Drop(Ending::HandledInAzure);
        }
    }
    if until > now {
        return Release::Keep(until);
    }
    if let Some((end, _)) = rules.held_by(&page.windows, now) {
        return Release::Keep(end);
    }
    if known.alert.as_ref().is_some_and(|alert| is_digest(&alert.key)) {
        return Release::Raise;
    }
    let storm = rules.teams.get(&page.team).and_then(|traits| traits.storm);
    match storm.filter(|_| !page.policy.always_alone) {
        Some(Storm { digest_every, .. }) if page.window.is_some() => Release::Join(WINDOW_GATHERS.min(digest_every)),
        Some(Storm { pages_per_minute, digest_every }) => {
            let full = known.load.pages_within_span(&page.team, now) >= pages_per_minute;
            if full || known.load.gathering(&page.team).is_some() {
                Release::Join(digest_every)
            } else {
                Release::Raise
            }
        }
        None => Release::Raise,
    }
}

/// Carries out what `release` says of a page on the desk.
pub(super) fn released(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    let Some(page) = desk.page(id).filter(|page| page.is_held()).cloned() else { return Reason::TimerVoid };
    let judged = Known { alert: desk.alert.clone(), load: std::sync::Arc::clone(&desk.known.load), ..Known::default() };
    match release(desk.rules, &page, &judged, desk.now) {
        Release::Raise => {
            desk.raise_held(id);
            Reason::GraceEnded
        }
        Release::Join(gathers) => {
            desk.join_digest(id, gathers);
            Reason::JoinedDigest
        }
        Release::Keep(until) => {
            let window = desk.rules.held_by(&page.windows, desk.now).map(|(_, window)| window.name.clone());
            if let (Some(page), Some(window)) = (desk.page_mut(id), window) {
                page.window = Some(window);
            }
            desk.hold(id, until);
            Reason::Held
        }
        Release::Drop(why) => {
            desk.end(id, why);
            if why == Ending::HandledInAzure { Reason::HandledInAzure } else { Reason::ResolvedBeforePaged }
        }
    }
}
