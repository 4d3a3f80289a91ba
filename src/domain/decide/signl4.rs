//! What SIGNL4's outbound events oblige us to: acknowledged, closed, re-opened, annotated, escalated, nobody on duty.
//!
//! SIGNL4's own time stamps order the events of its side; an older one that comes late changes no state.

use super::Reason;
use super::azure::page_fallback_team;
use super::desk::Desk;
use super::digests;
use crate::domain::delivery::{AzureState, CallKind};
use crate::domain::event::{Condition, Happened, Signl4Change, TimerKind};
use crate::domain::id::{ExternalId, TeamName, digest};
use crate::domain::page::{Alert, Ending, Page, PageState, Phase, TOLD, Told};
use crate::domain::render::Rendered;
use crate::domain::route::{CloseInAzure, SystemClose};
use crate::domain::timestamp::Timestamp;

pub(super) fn changed(desk: &mut Desk<'_>, team: &TeamName, id: &ExternalId, change: &Signl4Change) -> Reason {
    let Some(page) = desk.page(id) else { return Reason::UnknownPage };
    let account = |team: &TeamName| desk.rules.teams.get(team).map(|traits| traits.account.clone());
    if page.team != *team && account(&page.team) != account(team) {
        return Reason::OtherAccount;
    }
    exists(desk, id, change);
    if let (Some(note), Some(person), false) = (&change.note, &change.person, change.happened == Happened::Annotated) {
        // A poll finds the note as an annotation of its own.
        told_the_other_way(desk, id, change, &format!("{}: {note}", person.id));
    }
    let reason = happened(desk, id, change);
    digests::spread(desk, change, reason);
    reason
}

fn happened(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    match change.happened {
        Happened::Created => Reason::Confirmed,
        Happened::Acknowledged | Happened::Closed | Happened::Reopened if is_stale(desk, id, change.raised_at) => {
            late(desk, id, change);
            Reason::Stale
        }
        Happened::Acknowledged => acknowledged(desk, id, change),
        Happened::Closed => closed(desk, id, change),
        Happened::Reopened => reopened(desk, id, change),
        Happened::Annotated => annotated(desk, id, change),
        Happened::Escalated if told_the_other_way(desk, id, change, "escalated") => Reason::Repeat,
        Happened::Escalated => {
            desk.comment("Escalated in SIGNL4: nobody acknowledged in time".to_owned());
            Reason::Escalated
        }
        Happened::NobodyOnDuty if is_stale(desk, id, change.raised_at) => Reason::Stale,
        Happened::NobodyOnDuty => nobody_on_duty(desk, id),
    }
}

/// Whatever SIGNL4 says of a page proves that the page exists there: a Raise without an answer is done.
fn exists(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) {
    desk.confirm(id, CallKind::Raise);
    if let Some(page) = desk.page_mut(id) {
        if let Some(alert_id) = &change.alert_id {
            page.signl4_alert_id = Some(alert_id.clone());
        }
        if page.phase == Phase::Raising {
            page.phase = Phase::Raised;
        }
        if page.signl4.seen.is_none() {
            page.signl4.seen = Some(PageState::Open);
        }
    }
}

fn is_stale(desk: &Desk<'_>, id: &ExternalId, raised_at: Timestamp) -> bool {
    desk.page(id).and_then(|page| page.changed_at).is_some_and(|changed_at| raised_at < changed_at)
}

/// A change older than the last one on its page. It changes no state, but a close tells that whatever came after it found
/// the page open again.
fn late(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) {
    let Some(page) = desk.page_mut(id).filter(|_| change.happened == Happened::Closed) else { return };
    page.closed_at = page.closed_at.max(Some(change.raised_at));
    if page.is_ended() && page.closed_by.is_none() && page.closed_at < page.changed_at {
        found_open(desk, id);
        follow_people(desk, String::new(), false);
    }
}

/// People act on a page that we hold for ended: it is not, unless a later close on another page applies to it too.
fn found_open(desk: &mut Desk<'_>, id: &ExternalId) {
    let Some(page) = desk.page_mut(id) else { return };
    page.phase = page.in_view();
    page.ended_at = None;
    page.closed_by = None;
    page.signl4.happened(if page.acknowledged_by.is_some() { PageState::Acknowledged } else { PageState::Open });
    let acted_at = page.changed_at;
    if acted_at.is_some_and(|at| closed_after(desk, at)) {
        desk.withdraw(id, Ending::ClosedElsewhere);
    }
}

fn acknowledged(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let Some(person) = &change.person else {
        let for_azure = page.acknowledged_for_azure;
        if page.signl4.wanted == Some(PageState::Acknowledged) {
            page.signl4.seen = Some(PageState::Acknowledged);
            page.changed_at = Some(change.raised_at);
            desk.confirm(id, CallKind::Acknowledge);
            return Reason::Confirmed;
        }
        // Of a page that we hold for ended it is told again, should it be open.
        if !page.is_ended() {
            page.signl4.happened(PageState::Acknowledged);
            page.changed_at = Some(change.raised_at);
            page.acknowledged_for_azure = false;
        }
        if for_azure {
            // Whoever took an acknowledgement back did so before somebody acknowledged in Azure: SIGNL4's order tells.
            follow_people(desk, "Acknowledged in Azure".to_owned(), false);
            return Reason::Confirmed;
        }
        desk.comment(with_note("Acknowledged in SIGNL4 without a person", change));
        return Reason::WithoutPerson;
    };
    let repeat = page.acknowledged_by.is_some() && page.signl4.seen == Some(PageState::Acknowledged);
    // A poll tells a known thing again only if the page is so still: our close came before it.
    let is_still = change.polled && page.changed_at == Some(change.raised_at);
    page.changed_at = Some(change.raised_at);
    page.acted_at = Some(change.raised_at);
    page.acknowledged_by = Some(person.name.clone());
    // Whoever acknowledges what was closed has found it open: the word of its re-opening is late or lost.
    let team = page.team.clone();
    if !page.is_ended() {
        page.signl4.happened(PageState::Acknowledged);
    } else if page.closed_at.is_some() || is_still && page.signl4.seen == Some(PageState::Closed) {
        found_open(desk, id);
    }
    desk.confirm(id, CallKind::Acknowledge);
    let words = with_note(&format!("Acknowledged by {} in SIGNL4", person.name), change);
    follow_people(desk, words.clone(), !repeat);
    if repeat {
        return Reason::Repeat;
    }
    desk.tell_other_pages(id, &format!("{words} (team {team})"));
    Reason::Acknowledged
}

fn closed(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let (policy, ended_at) = (page.policy.clone(), page.ended_at);
    page.closed_at = Some(change.raised_at);
    // The page had ended before we heard of the close, or its alert has fired anew since: what came after that is another
    // matter.
    let fired_later = desk.alert.as_ref().and_then(|alert| alert.fired_at).filter(|at| *at > change.raised_at);
    let matter = ended_at.into_iter().chain(fired_later).min();
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let Some(person) = &change.person else {
        page.changed_at = Some(change.raised_at);
        if page.signl4.wanted == Some(PageState::Closed) {
            page.signl4.seen = Some(PageState::Closed);
            desk.confirm(id, CallKind::Resolve);
            return Reason::Confirmed;
        }
        let others = desk.live().iter().any(|live| live != id);
        let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
        page.signl4.happened(PageState::Closed);
        desk.supersede(id, |_| true);
        end_closed(desk, id, Ending::ClosedBySystem, change.raised_at);
        let words = with_note("Closed in SIGNL4 without a person", change);
        let of_before = desk.alert.as_ref().is_some_and(|alert| alert.is_of_before(Some(change.raised_at)));
        match policy.system_close {
            SystemClose::Close if policy.close_in_azure != CloseInAzure::Never && !of_before => {
                end_pages(desk, None, matter);
                // A page of another matter is no less open for it.
                if desk.live().is_empty() {
                    desk.change_azure(AzureState::Closed, &words);
                } else {
                    follow_people(desk, words, true);
                }
            }
            // Azure stays as it is, unless another page lives and none that does is acknowledged.
            SystemClose::Close | SystemClose::Comment if others => follow_people(desk, words, true),
            SystemClose::Close | SystemClose::Comment => desk.comment(words),
        }
        return Reason::WithoutPerson;
    };
    let repeat = page.closed_by.is_some() && page.signl4.settled() == Some(PageState::Closed);
    page.signl4.happened(PageState::Closed);
    page.changed_at = Some(change.raised_at);
    page.acted_at = Some(change.raised_at);
    page.closed_by = Some(person.name.clone());
    desk.confirm(id, CallKind::Resolve);
    desk.supersede(id, |_| true);
    if desk.page(id).is_some_and(|page| !page.is_ended()) {
        let fires = desk.alert.as_ref().is_some_and(|alert| alert.condition == Condition::Fired);
        let paged_again = end_closed(desk, id, Ending::ClosedByPerson, change.raised_at);
        if let Some(span) = policy.page_again.filter(|_| fires && !paged_again) {
            desk.ring_after(id, TimerKind::PageAgain, span);
        }
    }
    if let Some(alert) = &mut desk.alert {
        alert.closed_at = alert.closed_at.max(Some(change.raised_at));
    }
    // A close applies to every page on which no person has acted since.
    end_pages(desk, Some(change.raised_at), matter);
    follow_people(desk, with_note(&format!("Closed by {} in SIGNL4", person.name), change), !repeat);
    if repeat { Reason::Repeat } else { Reason::Closed }
}

/// Ends a page that was closed in SIGNL4. True: its alert fired anew after the close and before we heard of that, so that
/// nobody has been told, and somebody is now.
fn end_closed(desk: &mut Desk<'_>, id: &ExternalId, why: Ending, closed_at: Timestamp) -> bool {
    let Some(page) = desk.page(id).cloned() else { return false };
    desk.end(id, why);
    let firing = desk.alert.as_ref().filter(|alert| alert.condition == Condition::Fired && !page.is_ended());
    if !firing.and_then(|alert| alert.fired_at).is_some_and(|at| at > closed_at && at > page.created_at) {
        return false;
    }
    if let Some(closed) = desk.page_mut(id) {
        closed.body = page.body;
    }
    desk.ring(id, TimerKind::PageAgain);
    true
}

fn reopened(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let closed_later = closed_after(desk, change.raised_at);
    // Nobody opens what is open: our close has arrived, and its answer has not.
    let is_closing = desk.open_of(id).any(|open| open.call.kind() == CallKind::Resolve && open.leased);
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let was_closed = match page.signl4.seen {
        Some(PageState::Closed) => true,
        Some(PageState::Open) => page.is_ended() && is_closing && page.acknowledged_by.is_none(),
        Some(PageState::Acknowledged) | None => false,
    };
    // Even where it changes nothing: what happened before it and is heard after it must not count.
    page.changed_at = Some(change.raised_at);
    if change.person.is_some() {
        page.acted_at = Some(change.raised_at);
    }
    if page.signl4.settled() == Some(PageState::Open) {
        return Reason::Repeat;
    }
    let Some(person) = &change.person else {
        page.signl4.seen = Some(PageState::Open);
        return Reason::WithoutPerson;
    };
    page.acknowledged_by = None;
    page.closed_by = None;
    if page.is_ended() && !was_closed {
        // The end of the page is on its way: taking back an acknowledgement does not hold it up.
        page.signl4.seen = Some(PageState::Open);
    } else {
        page.signl4.happened(PageState::Open);
        page.phase = page.in_view();
        page.ended_at = None;
        // Our own unsent acknowledgement or resolve would undo what the person just did.
        desk.supersede(id, |call| matches!(call.kind(), CallKind::Acknowledge | CallKind::Resolve));
    }
    if closed_later {
        // Closed on another page since then: that close applies to this page too.
        desk.withdraw(id, Ending::ClosedElsewhere);
    }
    let verb = if was_closed { "Re-opened" } else { "Acknowledgement withdrawn" };
    follow_people(desk, with_note(&format!("{verb} by {} in SIGNL4", person.name), change), true);
    Reason::Reopened
}

/// What people have done on all pages of the alert, as one state of Azure: acknowledged while a live page is, new while
/// one lives and none is acknowledged, closed when a person closed the last. Pages that only Azure or SIGNL4 itself ended
/// leave it as it is.
///
/// It looks at where the pages stand and not at what came last, so that the order in which events are heard is no matter.
fn follow_people(desk: &mut Desk<'_>, words: String, news: bool) {
    let live = || desk.pages.iter().filter(|page| !page.is_ended());
    // Not what was closed before the alert fired anew.
    let fired_at = desk.alert.as_ref().and_then(|alert| alert.fired_at);
    let is_of_this = |page: &Page| page.closed_at.is_none_or(|at| Some(at) >= fired_at);
    let closes =
        |page: &Page| page.closed_by.is_some() && page.policy.close_in_azure != CloseInAzure::Never && is_of_this(page);
    let state = if live().any(|page| page.signl4.settled() == Some(PageState::Acknowledged)) {
        Some(AzureState::Acknowledged)
    } else if live().next().is_some() {
        Some(AzureState::New)
    } else if desk.pages.iter().any(closes) {
        Some(AzureState::Closed)
    } else {
        // An alert whose pages Azure's Resolved has ended may still be acknowledged.
        let of_this = || desk.pages.iter().filter(|page| is_of_this(page));
        let last = of_this().filter(|page| page.changed_at.is_some()).max_by_key(|page| page.changed_at);
        last.map(|page| if page.acknowledged_by.is_some() { AzureState::Acknowledged } else { AzureState::New })
            .filter(|_| desk.alert.as_ref().map(Alert::azure_state) != Some(AzureState::Closed))
            .filter(|_| !of_this().any(|page| page.closed_by.is_some()))
    };
    let changed = state.is_some_and(|state| desk.change_azure(state, &words));
    if !changed && news {
        desk.comment(words);
    }
}

/// Ends the other live pages of the alert, all or those on which no person has acted since. Pages that were made from
/// `another_matter` on are spared.
fn end_pages(desk: &mut Desk<'_>, since: Option<Timestamp>, another_matter: Option<Timestamp>) {
    for id in desk.live() {
        let Some(page) = desk.page(&id) else { continue };
        let acted_since = page.acted_at.zip(since).is_some_and(|(at, since)| at > since);
        let came_later = another_matter.is_some_and(|from| page.created_at >= from);
        if !acted_since && !came_later {
            desk.withdraw(&id, Ending::ClosedElsewhere);
        }
    }
}

/// Whether a person has closed a page of the alert later than that.
fn closed_after(desk: &Desk<'_>, at: Timestamp) -> bool {
    desk.alert.as_ref().and_then(|alert| alert.closed_at).is_some_and(|closed_at| closed_at > at)
}

fn annotated(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let Some(note) = &change.note else { return Reason::NoConsequence };
    // Without a person it is our own annotation coming back.
    let Some(person) = &change.person else { return Reason::Confirmed };
    if told_the_other_way(desk, id, change, &format!("{}: {note}", person.id)) {
        return Reason::Repeat;
    }
    desk.comment(format!("{} in SIGNL4: {note}", person.name));
    Reason::Annotated
}

/// Whether a poll has told what a webhook tells now, or the other way round: each tells a thing once.
fn told_the_other_way(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change, what: &str) -> bool {
    let Some(page) = desk.page_mut(id) else { return false };
    let digest = digest(what.as_bytes());
    if let Some(at) = page.told.iter().position(|told| told.digest == digest && told.polled != change.polled) {
        page.told.remove(at);
        return true;
    }
    page.told.push(Told { digest, polled: change.polled });
    let beyond = page.told.len().saturating_sub(TOLD);
    page.told.drain(..beyond);
    false
}

fn nobody_on_duty(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    let fallback = desk.rules.fallback_team.clone();
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    if std::mem::replace(&mut page.nobody_on_duty, true) {
        return Reason::Repeat;
    }
    let page = page.clone();
    let words = format!("Nobody is on duty in the SIGNL4 team {}", page.team);
    // What is over needs nobody, and nothing would end the other team's page.
    let is_over = desk.alert.as_ref().is_some_and(|alert| alert.condition == Condition::Resolved);
    let taken_care_of = is_over || page.is_ended() || page.signl4.settled() == Some(PageState::Acknowledged);
    let has_it = desk.pages.iter().any(|page| page.team == fallback && !page.is_ended());
    if !taken_care_of && !has_it {
        desk.comment(format!("{words}; passed to the team {fallback}"));
        let rendered = passed_on(&page, &words);
        page_fallback_team(desk, &page.alert, &rendered);
    } else {
        desk.comment(words);
    }
    Reason::NobodyOnDuty
}

/// The page's own text, for another team.
fn passed_on(page: &Page, why: &str) -> Rendered {
    let members = page.body.as_ref().and_then(serde_json::Value::as_object);
    let text = |name: &str| members.and_then(|members| members.get(name)).and_then(serde_json::Value::as_str);
    let parameters = members
        .into_iter()
        .flatten()
        .filter(|(name, _)| !name.starts_with("X-S4-") && *name != "Title" && *name != "Message")
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let title: String = page.title.chars().take(80).collect();
    let location = text("X-S4-Location").map(str::to_owned);
    Rendered { title, message: format!("{why}.\n{}", text("Message").unwrap_or_default()), parameters, location }
}

fn with_note(words: &str, change: &Signl4Change) -> String {
    change.note.as_ref().map_or_else(|| words.to_owned(), |note| format!("{words}: {note}"))
}
