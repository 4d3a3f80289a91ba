//! What the end of an attempt changes in the rows: the ledger learns, a dead Raise ends its page.

use super::desk::Desk;
use super::portal;
use super::{Finished, Reason, Verdict};
use crate::domain::after::Next;
use crate::domain::delivery::{Attempted, AzureState, Call, CallKind};
use crate::domain::event::Condition;
use crate::domain::id::ExternalId;
use crate::domain::page::{Ending, Known, PageState, Phase, UNSAID};
use crate::domain::route::Rules;
use crate::domain::timestamp::Timestamp;

/// Takes an attempt's outcome into the rows. `next` is what `after` made of it.
pub fn record(
    rules: &Rules,
    known: &Known,
    call: &Call,
    attempted: &Attempted,
    next: &Next,
    now: Timestamp,
) -> Verdict {
    let mut desk = Desk::new(rules, known, now);
    match (call, next) {
        (Call::Raise { page, .. }, Next::Done) => raised(&mut desk, page, attempted),
        (Call::Raise { page, .. }, Next::Dead { .. }) => {
            // Nobody has this page: what stands behind it has nothing to change.
            desk.supersede(page, |call| call.kind() != CallKind::Raise);
            if desk.page(page).is_some_and(|page| !page.is_ended()) {
                desk.end(page, Ending::NotRaised);
            }
        }
        (Call::Raise { page, .. }, Next::Again { .. }) => {
            if is_over(attempted) {
                // Azure may say the same for as long as it is asked.
                if is_of_before(&desk, attempted) || is_our_own(&desk, attempted) {
                    go_unasked(&mut desk, page);
                } else {
                    over(&mut desk, attempted);
                }
            }
            spare(&mut desk, page);
        }
        (Call::Acknowledge { page, .. }, Next::Done) => changed(&mut desk, page, PageState::Acknowledged),
        (Call::Resolve { page, .. }, Next::Done) => changed(&mut desk, page, PageState::Closed),
        // The ledger is that of the thread's first alert; those that joined follow it.
        (Call::ChangeState { target, .. } | Call::Comment { target, .. }, Next::Done | Next::Dead { .. })
            if known.alert.as_ref().is_some_and(|alert| alert.key != target.key) => {}
        (Call::ChangeState { .. } | Call::Comment { .. }, Next::Done) => learned(&mut desk, call, attempted),
        (Call::ChangeState { target, state, .. }, Next::Again { .. }) => portal::give_way(&mut desk, target, *state),
        (Call::ChangeState { .. }, Next::Dead { .. }) => {
            if let Some(alert) = &mut desk.alert {
                alert.want_what_is_left(&known.open);
            }
        }
        (Call::Comment { text, .. }, Next::Dead { .. }) => {
            // Azure takes no comment of its own here: it joins the next real change.
            if let Some(alert) = desk.alert.as_mut().filter(|alert| alert.unsaid.len() < UNSAID) {
                alert.unsaid.push(text.clone());
            }
        }
        (Call::Annotate { page, .. }, Next::Done) => {
            if let (Some(page), Some(id)) = (desk.page_mut(page), &attempted.learned.signl4_alert_id) {
                page.signl4_alert_id = Some(id.clone());
            }
        }
        (Call::Acknowledge { .. } | Call::Resolve { .. } | Call::Annotate { .. }, Next::Dead { .. })
        | (
            Call::Acknowledge { .. } | Call::Resolve { .. } | Call::Annotate { .. } | Call::Comment { .. },
            Next::Again { .. },
        ) => {}
    }
    desk.verdict(Reason::Confirmed)
}

fn raised(desk: &mut Desk<'_>, id: &ExternalId, attempted: &Attempted) {
    let Some(page) = desk.page_mut(id) else { return };
    if page.phase == Phase::Raising {
        page.phase = Phase::Raised;
    }
    if page.signl4.seen.is_none() {
        page.signl4.seen = Some(PageState::Open);
    }
    if let Some(alert_id) = &attempted.learned.signl4_alert_id {
        page.signl4_alert_id = Some(alert_id.clone());
    }
}

/// The page ended while its Raise was under way, and the attempt failed: it is not tried again only to be taken back.
/// If nobody can have the page, what stands behind the Raise has nothing to change either.
fn spare(desk: &mut Desk<'_>, id: &ExternalId) {
    let Some(Phase::Ended { why }) = desk.page(id).map(|page| page.phase) else { return };
    let raise = desk.open_of(id).find(|open| open.call.kind() == CallKind::Raise);
    let Some(raise) = raise.filter(|raise| !raise.leased) else { return };
    if raise.uncertain {
        desk.finish(raise.id, Finished::Superseded);
        return;
    }
    desk.supersede(id, |_| true);
    desk.end(id, if why == Ending::Resolved { Ending::ResolvedBeforeSent } else { why });
}

/// Azure was asked before a late page went out, and nobody need be woken any more.
fn is_over(attempted: &Attempted) -> bool {
    attempted.learned.resolved_at.is_some()
        || attempted.learned.azure.is_some_and(|(state, _)| state != AzureState::New)
}

/// Whether Azure answered before the alert fired anew: that says nothing of the new firing.
fn is_of_before(desk: &Desk<'_>, attempted: &Attempted) -> bool {
    let modified_at = attempted.learned.azure.and_then(|(_, modified_at)| modified_at);
    let answered = attempted.learned.resolved_at.max(modified_at);
    let fired_at = desk.alert.as_ref().and_then(|alert| alert.fired_at);
    answered.zip(fired_at).is_some_and(|(at, fired)| at < fired)
}

/// What Azure shows is what we did to an earlier firing, and our taking it back is still on its way: nobody has taken care
/// of this one.
fn is_our_own(desk: &Desk<'_>, attempted: &Attempted) -> bool {
    let Some(alert) = desk.alert.as_ref().filter(|_| attempted.learned.resolved_at.is_none()) else { return false };
    let taken_back = |call: &Call| matches!(call, Call::ChangeState { target, state: AzureState::New, .. } if target.key == alert.key);
    let on_its_way = desk.known.open.iter().any(|open| taken_back(&open.call));
    alert.azure.wanted == Some(AzureState::New) && on_its_way
}

/// The page goes out without asking Azure again.
fn go_unasked(desk: &mut Desk<'_>, id: &ExternalId) {
    let raise = desk.open_of(id).find(|open| open.call.kind() == CallKind::Raise && !open.leased);
    let Some((delivery, mut call)) = raise.map(|raise| (raise.id, raise.call.clone())) else { return };
    if let Call::Raise { origin: Some(origin), .. } = &mut call
        && desk.page(id).is_some_and(|page| !page.is_ended())
    {
        origin.alert = None;
        desk.amend(delivery, call);
    }
}

fn over(desk: &mut Desk<'_>, attempted: &Attempted) {
    let why = if attempted.learned.resolved_at.is_some() { Ending::Resolved } else { Ending::HandledInAzure };
    let unsent: Vec<ExternalId> =
        desk.live().into_iter().filter(|id| desk.page(id).is_some_and(|page| page.signl4.seen.is_none())).collect();
    for id in unsent {
        desk.withdraw(&id, why);
    }
    // A page that is out follows the webhook or the poll, which must find this to be news.
    if !desk.live().is_empty() {
        return;
    }
    // What is on its way from us comes later than what Azure shows.
    let is_changing = desk.alert.as_ref().is_some_and(|alert| portal::is_changing(desk, &alert.key));
    let Some(alert) = &mut desk.alert else { return };
    if let Some((state, modified_at)) = attempted.learned.azure {
        if !is_changing {
            alert.azure.happened(state);
        }
        alert.azure_modified_at = alert.azure_modified_at.max(modified_at);
    }
    if let Some(at) = attempted.learned.resolved_at {
        alert.condition = Condition::Resolved;
        alert.resolved_at = Some(at);
    }
}

fn changed(desk: &mut Desk<'_>, id: &ExternalId, state: PageState) {
    if let Some(page) = desk.page_mut(id)
        && page.signl4.wanted == Some(state)
    {
        page.signl4.seen = Some(state);
    }
}

/// Azure's answer is the newest word on its state. What we did not ask for was a person in the portal.
fn learned(desk: &mut Desk<'_>, call: &Call, attempted: &Attempted) {
    if is_of_before(desk, attempted) {
        return;
    }
    let Some((state, modified_at)) = attempted.learned.azure else { return };
    let Some(alert) = &mut desk.alert else { return };
    if let Some(by) = &attempted.learned.azure_by {
        alert.azure_by = Some(by.to_string());
    }
    // A poll has read a later change meanwhile.
    if modified_at.is_some() && modified_at < alert.azure_modified_at {
        return;
    }
    let since = alert.azure_modified_at;
    if modified_at.is_some() {
        alert.azure_modified_at = modified_at;
    }
    portal::shown(desk, call, state, since);
    if let Some(alert) = &mut desk.alert {
        alert.azure.seen = Some(state);
    }
}
