//! What SIGNL4's outbound events oblige us to: acknowledged, closed, re-opened, annotated, escalated, nobody on duty.
//!
//! SIGNL4's own time stamps order the events of its side; an older one that comes late changes no state.

use super::Reason;
use super::azure::{acknowledged_elsewhere, end_all_pages, page_fallback_team};
use super::desk::Desk;
use crate::domain::delivery::{AzureState, CallKind};
use crate::domain::event::{Happened, Signl4Change};
use crate::domain::id::{ExternalId, TeamName};
use crate::domain::page::{Ending, Page, PageState, Phase};
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
    match change.happened {
        Happened::Created => Reason::Confirmed,
        Happened::Acknowledged | Happened::Closed | Happened::Reopened if is_stale(desk, id, change.raised_at) => {
            Reason::Stale
        }
        Happened::Acknowledged => acknowledged(desk, id, change),
        Happened::Closed => closed(desk, id, change),
        Happened::Reopened => reopened(desk, id, change),
        Happened::Annotated => annotated(desk, change),
        Happened::Escalated => {
            desk.comment("Escalated in SIGNL4: nobody acknowledged in time".to_owned());
            Reason::Escalated
        }
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

fn acknowledged(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let ours = page.signl4.wanted == Some(PageState::Acknowledged);
    let repeat = ours && page.signl4.seen == Some(PageState::Acknowledged);
    let Some(person) = &change.person else {
        if ours {
            page.signl4.seen = Some(PageState::Acknowledged);
            desk.confirm(id, CallKind::Acknowledge);
            return Reason::Confirmed;
        }
        if !page.is_ended() {
            page.signl4.happened(PageState::Acknowledged);
            page.changed_at = Some(change.raised_at);
        }
        desk.comment(with_note("Acknowledged in SIGNL4 without a person", change));
        return Reason::WithoutPerson;
    };
    page.changed_at = Some(change.raised_at);
    page.acknowledged_by = Some(person.name.clone());
    if !page.is_ended() {
        page.signl4.happened(PageState::Acknowledged);
    }
    let team = page.team.clone();
    desk.confirm(id, CallKind::Acknowledge);
    acted(desk, change.raised_at);
    if repeat {
        return Reason::Repeat;
    }
    let words = with_note(&format!("Acknowledged by {} in SIGNL4", person.name), change);
    match desk.alert.as_ref().map(crate::domain::page::Alert::azure_state) {
        Some(AzureState::New) => {
            desk.change_azure(AzureState::Acknowledged, &words);
        }
        Some(AzureState::Acknowledged) => desk.comment(words.clone()),
        // Across sides Closed beats Acknowledged.
        Some(AzureState::Closed) | None => {}
    }
    desk.tell_other_pages(id, &format!("{words} (team {team})"));
    Reason::Acknowledged
}

fn closed(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let reopened_later =
        desk.alert.as_ref().and_then(|alert| alert.reopened_at).is_some_and(|at| change.raised_at < at);
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let ours = page.signl4.wanted == Some(PageState::Closed);
    let repeat = ours && page.signl4.seen == Some(PageState::Closed);
    let policy = page.policy.clone();
    if change.person.is_none() {
        if ours {
            page.signl4.seen = Some(PageState::Closed);
            desk.confirm(id, CallKind::Resolve);
            return Reason::Confirmed;
        }
        page.signl4.happened(PageState::Closed);
        page.changed_at = Some(change.raised_at);
        desk.supersede(id, |_| true);
        desk.end(id, Ending::ClosedBySystem);
        let words = with_note("Closed in SIGNL4 without a person", change);
        match policy.system_close {
            SystemClose::Close if policy.close_in_azure != CloseInAzure::Never => {
                desk.change_azure(AzureState::Closed, &words);
                end_all_pages(desk, Some(id));
            }
            SystemClose::Close | SystemClose::Comment => desk.comment(words),
        }
        return Reason::WithoutPerson;
    }
    page.signl4.happened(PageState::Closed);
    page.changed_at = Some(change.raised_at);
    desk.confirm(id, CallKind::Resolve);
    desk.supersede(id, |_| true);
    if desk.page(id).is_some_and(|page| !page.is_ended()) {
        desk.end(id, Ending::ClosedByPerson);
    }
    acted(desk, change.raised_at);
    if repeat {
        return Reason::Repeat;
    }
    if reopened_later {
        return Reason::Stale;
    }
    let who = change.person.as_ref().map_or("somebody", |person| &person.name);
    let words = with_note(&format!("Closed by {who} in SIGNL4"), change);
    match policy.close_in_azure {
        CloseInAzure::Never => desk.comment(words),
        CloseInAzure::OnClose | CloseInAzure::OnResolveToo => {
            desk.change_azure(AzureState::Closed, &words);
        }
    }
    end_all_pages(desk, Some(id));
    Reason::Closed
}

fn reopened(desk: &mut Desk<'_>, id: &ExternalId, change: &Signl4Change) -> Reason {
    let acted_later = desk.alert.as_ref().and_then(|alert| alert.acted_at).is_some_and(|at| change.raised_at < at);
    let elsewhere = acknowledged_elsewhere(desk, id);
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    let before = page.signl4.settled();
    if before == Some(PageState::Open) {
        return Reason::Repeat;
    }
    let Some(person) = &change.person else {
        page.signl4.seen = Some(PageState::Open);
        return Reason::WithoutPerson;
    };
    page.signl4.happened(PageState::Open);
    page.changed_at = Some(change.raised_at);
    page.acknowledged_by = None;
    page.phase = Phase::Raised;
    // Our own unsent acknowledgement or resolve would undo what the person just did.
    desk.supersede(id, |call| matches!(call.kind(), CallKind::Acknowledge | CallKind::Resolve));
    acted(desk, change.raised_at);
    if acted_later {
        return Reason::Stale;
    }
    if let Some(alert) = &mut desk.alert {
        alert.reopened_at = Some(change.raised_at);
    }
    let verb = if before == Some(PageState::Closed) { "Re-opened" } else { "Acknowledgement withdrawn" };
    let words = with_note(&format!("{verb} by {} in SIGNL4", person.name), change);
    if elsewhere {
        desk.comment(words);
    } else {
        desk.change_azure(AzureState::New, &words);
    }
    Reason::Reopened
}

fn annotated(desk: &mut Desk<'_>, change: &Signl4Change) -> Reason {
    let Some(note) = &change.note else { return Reason::NoConsequence };
    // Without a person it is our own annotation coming back.
    let Some(person) = &change.person else { return Reason::Confirmed };
    desk.comment(format!("{} in SIGNL4: {note}", person.name));
    Reason::Annotated
}

fn nobody_on_duty(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    let fallback = desk.rules.fallback_team.clone();
    let Some(page) = desk.page_mut(id) else { return Reason::UnknownPage };
    if std::mem::replace(&mut page.nobody_on_duty, true) {
        return Reason::Repeat;
    }
    let page = page.clone();
    let has_fallback = page.team != fallback && !page.is_ended();
    let words = format!("Nobody is on duty in the SIGNL4 team {}", page.team);
    if has_fallback {
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
    Rendered { title, message: format!("{why}.\n{}", text("Message").unwrap_or_default()), parameters }
}

fn with_note(words: &str, change: &Signl4Change) -> String {
    change.note.as_ref().map_or_else(|| words.to_owned(), |note| format!("{words}: {note}"))
}

fn acted(desk: &mut Desk<'_>, at: Timestamp) {
    if let Some(alert) = &mut desk.alert {
        alert.acted_at = alert.acted_at.max(Some(at));
    }
}
