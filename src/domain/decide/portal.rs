//! What a poll of Azure obliges us to: alerts that no webhook brought, and what people do in the portal, which Azure tells
//! nobody.
//!
//! Azure's `lastModifiedDateTime` orders what happens on its side. Across the sides Closed beats Acknowledged, and while
//! a change of ours is on its way only a close is taken over: the next poll shows what came of the rest. Our own changes
//! are told from others' by the ledger, and by the name that Azure gave us in its answers.

use serde_json::Value;

use super::azure::{self, end_all_pages, heard, replace_page};
use super::desk::Desk;
use super::{Finished, Reason};
use crate::domain::delivery::{AzureState, AzureTarget, Call, CallKind};
use crate::domain::event::{Condition, Notification};
use crate::domain::id::{AlertKey, ConnectionName};
use crate::domain::page::{Alert, Ending, Ledger, Page, PageState, Phase};
use crate::domain::reading::{Found, Polled, Raises, SAME_FIRING_WITHIN};
use crate::domain::render::{Rendered, compose};
use crate::domain::route::{CloseInAzure, OnReopened};
use crate::domain::timestamp::Timestamp;

pub(super) fn polled(desk: &mut Desk<'_>, connection: &ConnectionName, polled: &Polled) -> Reason {
    let notification = &polled.notification;
    match polled.found {
        // Taken in hand since it was read.
        Found::Fired(raises)
            if raises.pages()
                && desk.alert.as_ref().is_some_and(azure::is_in_hand)
                && is_known(desk, polled.modified_at) =>
        {
            Reason::Stale
        }
        Found::Fired(raises) if raises.pages() => {
            // Recorded when a person had it in hand, and free again now.
            if let Some(alert) = desk.alert.as_mut().filter(|alert| alert.recorded.is_some()) {
                alert.azure = Ledger { seen: Some(polled.state), wanted: None };
            }
            desk.found_late = true;
            let reason = azure::fired(desk, connection, notification);
            if let Some(alert) = desk.alert.as_mut().filter(|alert| alert.key == *notification.id.key()) {
                let known = desk.known.alert.as_ref().filter(|known| known.key == alert.key);
                alert.polled = known.is_none_or(|known| known.polled);
                alert.azure_modified_at = alert.azure_modified_at.max(polled.modified_at);
            }
            reason
        }
        Found::Fired(raises) => recorded(desk, connection, polled, raises),
        Found::Resolved => {
            let is_new = desk.alert.is_none();
            let reason = azure::resolved(desk, connection, notification, SAME_FIRING_WITHIN);
            if let Some(alert) = desk.alert.as_mut().filter(|_| is_new) {
                alert.polled = true;
            }
            reason
        }
        Found::State => state(desk, connection, polled),
    }
}

/// Whether the ledger knows of that change in Azure, or of a later one.
fn is_known(desk: &Desk<'_>, modified_at: Option<Timestamp>) -> bool {
    let known = desk.alert.as_ref().and_then(|alert| alert.azure_modified_at);
    modified_at.zip(known).is_some_and(|(at, known)| at <= known)
}

/// Keeps the alert in the ledger, and wakes nobody.
fn recorded(desk: &mut Desk<'_>, connection: &ConnectionName, polled: &Polled, raises: Raises) -> Reason {
    let notification = &polled.notification;
    let key = notification.id.key();
    if desk.alert.as_ref().is_some_and(|alert| alert.key != *key) {
        // It has joined another alert meanwhile.
        return Reason::Repeat;
    }
    if let Some(alert) = &desk.alert {
        let times = notification.fired_at.zip(alert.fired_at);
        if times.is_none_or(|(fired, known)| fired <= known.plus(SAME_FIRING_WITHIN)) {
            return Reason::Repeat;
        }
    }
    // What was decided for an earlier firing is nothing for this one.
    withdraw_unsent_changes(desk, key, |_| true);
    let before = desk.alert.take();
    // What is on its way gives way as soon as its attempt has ended.
    let is_arriving = desk.known.open.iter().any(|open| open.leased && changes(&open.call, key));
    desk.alert = Some(Alert {
        azure: Ledger { seen: Some(polled.state), wanted: is_arriving.then_some(polled.state) },
        azure_modified_at: polled.modified_at,
        azure_by: before.as_ref().and_then(|before| before.azure_by.clone()),
        anew: before.is_some(),
        recorded: Some(raises),
        polled: true,
        ..heard(desk, connection, notification)
    });
    // Pages of an earlier firing that still live are in the same hands.
    match polled.state {
        AzureState::Acknowledged => acknowledge_pages(desk, polled.modified_by.as_deref()),
        AzureState::Closed => end_all_pages(desk),
        AzureState::New => {}
    }
    Reason::RecordedByPoll
}

fn state(desk: &mut Desk<'_>, connection: &ConnectionName, polled: &Polled) -> Reason {
    let Some(alert) = desk.alert.clone() else { return Reason::NoConsequence };
    let key = polled.notification.id.key().clone();
    // Known already, or done to an earlier firing.
    if is_known(desk, polled.modified_at) || alert.is_of_before(polled.modified_at) {
        return Reason::Stale;
    }
    let ours = polled.modified_by.is_some() && polled.modified_by == alert.azure_by;
    let own = alert.key == key;
    let (state, before) = (polled.state, alert.azure_state());
    if !own && (ours || state <= before || is_changing(desk, &key)) {
        return Reason::Repeat;
    }
    // What is on its way comes later than what was read, unless it could open again what a person has closed. Should it
    // have been there before, the next poll tells this once more.
    let is_arriving = is_arriving(desk, &key, state);
    // A close of ours of an earlier firing may have arrived after this one began, and is being taken back; by which name
    // Azure calls us is not known yet.
    let may_be_ours = alert.azure_by.is_none() && opens_again(desk, &key);
    let is_earlier = is_changing(desk, &key)
        && (state != AzureState::Closed || is_arriving || may_be_ours)
        && !ours
        && state != before;
    if let Some(alert) = desk.alert.as_mut().filter(|_| own) {
        alert.azure.seen = Some(state);
        if !is_earlier {
            alert.azure_modified_at = alert.azure_modified_at.max(polled.modified_at);
        }
    }
    if is_earlier {
        return Reason::Stale;
    }
    if ours || state == before {
        confirm(desk, &key, state);
        if own && state != before && before == AzureState::Closed && !is_changing(desk, &key) {
            overran(desk, state, state == AzureState::Acknowledged);
        }
        return Reason::Confirmed;
    }
    let by = polled.modified_by.as_deref();
    follow(desk, state, polled.modified_at, by, Some((connection, &polled.notification)))
}

/// Takes over what a person has done in Azure at that time or later, unless a close on the phone has come after it.
fn follow(
    desk: &mut Desk<'_>,
    state: AzureState,
    at: Option<Timestamp>,
    by: Option<&str>,
    told: Option<(&ConnectionName, &Notification)>,
) -> Reason {
    let is_closed = desk.alert.as_ref().is_some_and(|alert| alert.azure_state() == AzureState::Closed);
    if state == AzureState::Closed || !is_closed || !closed_since(desk, at) {
        return take_over(desk, state, by, told);
    }
    if let Some(alert) = &mut desk.alert {
        alert.azure.happened(state);
    }
    desk.change_azure(AzureState::Closed, "Closed in SIGNL4");
    Reason::Stale
}

/// Whether a person has closed a page in SIGNL4 later than that, and the close is for Azure, too.
fn closed_since(desk: &Desk<'_>, at: Option<Timestamp>) -> bool {
    let closes = |page: &Page| page.closed_by.is_some() && page.policy.close_in_azure != CloseInAzure::Never;
    let closed_at = desk.alert.as_ref().and_then(|alert| alert.closed_at);
    desk.pages.iter().any(closes) && closed_at.zip(at).is_some_and(|(closed_at, at)| closed_at > at)
}

/// A change that is to be sent again is not, where a person in Azure has made it needless and nothing stands behind it.
pub(super) fn give_way(desk: &mut Desk<'_>, target: &AzureTarget, state: AzureState) {
    let Some(alert) = desk.alert.as_ref().filter(|alert| alert.key == target.key) else { return };
    if alert.azure.wanted.is_none_or(|wanted| wanted == state) {
        return;
    }
    let key = alert.key.clone();
    let mut open = desk.known.open.iter().filter(|open| changes(&open.call, &key));
    let (first, second) = (open.next(), open.next());
    if let (Some(only), None) = (first.filter(|open| !open.leased), second) {
        desk.finish(only.id, Finished::Superseded);
    }
}

/// Whether an attempt of ours is under way to that very state, to be followed by another: it has arrived.
fn is_arriving(desk: &Desk<'_>, key: &AlertKey, shown: AzureState) -> bool {
    let brings = |call: &Call| matches!(call, Call::ChangeState { state, .. } if *state == shown);
    desk.known.open.iter().any(|open| open.leased && changes(&open.call, key) && brings(&open.call))
}

/// Whether we are opening again what a close of ours may have closed after the alert fired anew.
fn opens_again(desk: &Desk<'_>, key: &AlertKey) -> bool {
    let is_anew = desk.alert.as_ref().is_some_and(|alert| alert.anew);
    let opens = |call: &Call| matches!(call, Call::ChangeState { state: AzureState::New, keeps_closed: false, .. });
    is_anew && desk.known.open.iter().any(|open| changes(&open.call, key) && opens(&open.call))
}

/// Whether a change of ours to that alert is neither done nor given up.
pub(super) fn is_changing(desk: &Desk<'_>, key: &AlertKey) -> bool {
    desk.known.open.iter().any(|open| changes(&open.call, key))
}

fn changes(call: &Call, key: &AlertKey) -> bool {
    call.kind() == CallKind::ChangeState && call.alert() == Some(key)
}

/// An attempt whose state Azure shows has arrived.
fn confirm(desk: &mut Desk<'_>, key: &AlertKey, shown: AzureState) {
    let arrived: Vec<_> = desk
        .known
        .open
        .iter()
        .filter(|open| open.attempt > 0 && !open.leased && open.call.alert() == Some(key))
        .filter(|open| matches!(&open.call, Call::ChangeState { state, .. } if *state == shown))
        .map(|open| open.id)
        .collect();
    for id in arrived {
        desk.finish(id, Finished::Confirmed);
    }
}

/// A person has changed the alert in Azure: the pages follow.
fn take_over(
    desk: &mut Desk<'_>,
    state: AzureState,
    by: Option<&str>,
    told: Option<(&ConnectionName, &Notification)>,
) -> Reason {
    let Some(alert) = &mut desk.alert else { return Reason::NoConsequence };
    alert.azure.happened(state);
    match state {
        AzureState::Closed => {
            let key = alert.key.clone();
            // A close in the portal is not undone by what was decided before it.
            withdraw_unsent_changes(desk, &key, |state| state != AzureState::Closed);
            end_all_pages(desk);
            // Nor do the pages come again that were closed before it.
            desk.silence_ended();
            Reason::ClosedInAzure
        }
        // Re-opened and taken in hand at once: nobody need be woken.
        AzureState::Acknowledged => {
            acknowledge_pages(desk, by);
            Reason::AcknowledgedInAzure
        }
        AzureState::New => {
            if desk.live().is_empty() {
                page_anew(desk, told);
            } else {
                reopen_pages(desk, by, told);
            }
            Reason::ReopenedInAzure
        }
    }
}

fn withdraw_unsent_changes(desk: &mut Desk<'_>, key: &AlertKey, which: impl Fn(AzureState) -> bool) {
    let known = desk.known;
    for open in &known.open {
        if let Call::ChangeState { target, state, .. } = &open.call
            && target.key == *key
            && which(*state)
            && !open.leased
        {
            desk.finish(open.id, Finished::Superseded);
        }
    }
}

fn acknowledge_pages(desk: &mut Desk<'_>, by: Option<&str>) {
    for id in desk.live() {
        let Some(page) = desk.page(&id).cloned() else { continue };
        let unsent = page.phase == Phase::Raising
            && desk.open_of(&id).any(|open| open.call.kind() == CallKind::Raise && !open.leased && !open.uncertain);
        let gathers = page.digest.as_ref().is_some_and(|digest| desk.known.load.is_gathering(digest));
        if page.is_held() || unsent || page.is_joined() && gathers {
            desk.withdraw(&id, Ending::HandledInAzure);
            continue;
        }
        if page.signl4.settled() == Some(PageState::Acknowledged) {
            continue;
        }
        // A digest that shows it stays as it is: the others on it are not in hand.
        if page.is_joined() {
            if let Some(page) = desk.page_mut(&id) {
                page.signl4.happened(PageState::Acknowledged);
            }
            continue;
        }
        if let Some(page) = desk.page_mut(&id) {
            page.signl4.want(PageState::Acknowledged);
            page.acknowledged_for_azure = true;
        }
        desk.owe(Call::Acknowledge { team: page.team.clone(), page: id.clone() });
        say(desk, &page, &by_whom("Acknowledged", by));
    }
}

/// Set back to New: whoever had acknowledged it may have put it aside.
fn reopen_pages(desk: &mut Desk<'_>, by: Option<&str>, told: Option<(&ConnectionName, &Notification)>) {
    for id in desk.live() {
        let Some(page) = desk.page(&id).filter(|page| !page.is_held()).cloned() else { continue };
        if page.signl4.settled() != Some(PageState::Acknowledged) {
            continue;
        }
        match page.policy.on_reopened {
            OnReopened::Page => {
                let rendered = as_paged(&page).unwrap_or_else(|| as_told(desk, &page, told));
                replace_page(desk, &id, &rendered);
            }
            OnReopened::Annotate => say(desk, &page, &by_whom("Set back to New", by)),
            OnReopened::Ignore => {}
        }
    }
}

/// Set back to New, and nobody has a page of it: by its routes, as if it had fired now, if it still fires.
fn page_anew(desk: &mut Desk<'_>, told: Option<(&ConnectionName, &Notification)>) {
    let last = desk.pages.iter().max_by_key(|page| page.number).cloned();
    let Some(before) = desk.alert.clone().filter(|alert| alert.condition == Condition::Fired) else { return };
    let Some(last) = last else { return };
    match (last.policy.on_reopened, told) {
        (OnReopened::Page, Some((connection, notification))) => {
            desk.alert = None;
            azure::fired(desk, connection, notification);
            desk.alert = Some(before);
            desk.thread = None;
        }
        // Nothing but an answer has shown it.
        (OnReopened::Page, None) => {
            let rendered = as_told(desk, &last, None);
            replace_page(desk, &last.id, &rendered);
        }
        (OnReopened::Annotate, _) => say(desk, &last, "Set back to New in Azure"),
        (OnReopened::Ignore, _) => {}
    }
}

/// Tells those who have the page, where their team allows it.
fn say(desk: &mut Desk<'_>, page: &Page, text: &str) {
    if desk.has_api(&page.team) && !page.is_joined() {
        desk.owe(Call::Annotate { team: page.team.clone(), page: page.id.clone(), text: text.to_owned() });
    }
}

fn by_whom(what: &str, by: Option<&str>) -> String {
    let by = by.map(|by| by.chars().take(100).collect::<String>());
    by.map_or_else(|| format!("{what} in Azure"), |by| format!("{what} in Azure by {by}"))
}

/// The text of a page that is not ended, for another page of the same.
fn as_paged(page: &Page) -> Option<Rendered> {
    let members = page.body.as_ref()?.as_object()?;
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let parameters = members
        .iter()
        .filter(|(name, _)| !name.starts_with("X-S4-") && *name != "Title" && *name != "Message")
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    Some(Rendered {
        title: page.title.clone(),
        message: text("Message").unwrap_or_default(),
        parameters,
        location: text("X-S4-Location"),
    })
}

/// The text for a page that was ended once, and has not kept its own.
fn as_told(desk: &Desk<'_>, page: &Page, told: Option<(&ConnectionName, &Notification)>) -> Rendered {
    let Some((connection, notification)) = told else {
        return Rendered {
            title: page.title.clone(),
            message: "Set back to New in Azure".to_owned(),
            ..Rendered::default()
        };
    };
    let portal = desk.rules.connections.get(connection).map_or("https://portal.azure.com", |traits| &traits.portal);
    compose(notification, portal).page()
}

/// A change of ours has arrived although the alert was closed in Azure while it was on its way. `opens_nothing`: closed it
/// would have stayed so, and a person has opened it again meanwhile.
fn overran(desk: &mut Desk<'_>, state: AzureState, opens_nothing: bool) {
    if let Some(alert) = &mut desk.alert {
        alert.azure.happened(state);
    }
    if opens_nothing {
        page_anew(desk, None);
        desk.change_azure(AzureState::New, "Opened again in Azure");
    } else {
        desk.change_azure(AzureState::Closed, "Closed in Azure");
    }
}

/// What an answer to a call of ours shows and no call of ours has brought about was a person in Azure, after `since`.
pub(super) fn shown(desk: &mut Desk<'_>, call: &Call, state: AzureState, since: Option<Timestamp>) {
    let Some(alert) = &desk.alert else { return };
    let is_overrun = alert.azure.wanted == Some(AzureState::Closed) && state != AzureState::Closed;
    if let Call::ChangeState { state: brought, keeps_closed, .. } = call
        && is_overrun
        && *brought == state
        && !is_changing(desk, &alert.key)
    {
        overran(desk, state, *keeps_closed || state == AzureState::Acknowledged);
    }
    let Some(alert) = &desk.alert else { return };
    let is_news = match call {
        Call::ChangeState { state: AzureState::Acknowledged, .. } => {
            state == AzureState::Closed && alert.azure.wanted == Some(AzureState::Acknowledged)
        }
        Call::ChangeState { state: AzureState::New, keeps_closed: true, .. } => {
            state == AzureState::Closed && alert.azure.wanted == Some(AzureState::New)
        }
        Call::Comment { .. } => {
            let differs = alert.azure.seen.is_some_and(|seen| seen != state) && alert.azure_state() != state;
            differs && (state == AzureState::Closed || !is_changing(desk, &alert.key))
        }
        Call::ChangeState { .. }
        | Call::Raise { .. }
        | Call::Acknowledge { .. }
        | Call::Resolve { .. }
        | Call::Annotate { .. } => false,
    };
    if is_news {
        follow(desk, state, since, None, None);
    }
}
