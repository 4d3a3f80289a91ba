//! What becomes of a digest: raised when it has gathered, spread to its members, resolved with its last.

use super::Reason;
use super::desk::Desk;
use crate::domain::digest::is_digest;
use crate::domain::event::{Condition, Happened, Signl4Change, TimerKind};
use crate::domain::id::ExternalId;
use crate::domain::page::{Alert, Ending, raise_body};

/// It has gathered long enough: one page for all that are still true, none for none, and a lone one goes out by itself.
pub(super) fn due(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    let Some(page) = desk.page(id).filter(|page| page.is_held()).cloned() else { return Reason::TimerVoid };
    let gathered = desk.known.gathered.clone().unwrap_or_default();
    if gathered.live == 0 {
        desk.end(id, Ending::ResolvedWhileHeld);
        end_alert(desk);
        return Reason::ResolvedBeforePaged;
    }
    if let Some(member) = &gathered.alone {
        desk.end(id, Ending::Dissolved);
        end_alert(desk);
        desk.ring(member, TimerKind::Alone);
        return Reason::DigestDissolved;
    }
    let portal = desk
        .alert
        .as_ref()
        .and_then(|alert| desk.rules.connections.get(&alert.connection))
        .map_or("https://portal.azure.com", |traits| &traits.portal);
    let rendered = gathered.rendered(page.window.as_deref(), portal);
    if let Some(page) = desk.page_mut(id) {
        page.title.clone_from(&rendered.title);
        page.severity = gathered.worst;
        page.body = Some(raise_body(&rendered, id, gathered.service.as_deref(), gathered.scenario));
    }
    desk.raise_held(id);
    Reason::DigestRaised
}

/// A member ended, and no live one is left: nobody need look at the digest any more.
pub(super) fn last_member_ended(desk: &mut Desk<'_>) -> Reason {
    // Another may have joined since.
    if desk.known.gathered.as_ref().is_none_or(|gathered| gathered.live > 0) {
        return Reason::TimerVoid;
    }
    // One that still gathers is looked at when it is due.
    let live: Vec<ExternalId> =
        desk.live().into_iter().filter(|id| desk.page(id).is_some_and(|page| !page.is_held())).collect();
    if live.is_empty() {
        return Reason::TimerVoid;
    }
    for id in live {
        desk.withdraw(&id, Ending::Resolved);
    }
    end_alert(desk);
    Reason::Resolved
}

/// Its digest had no other: it goes out by itself.
pub(super) fn alone(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    let Some(page) = desk.page_mut(id).filter(|page| page.is_joined()) else { return Reason::TimerVoid };
    page.digest = None;
    desk.raise(id, desk.now);
    Reason::Raised
}

/// What people do to a digest they do to each of its members.
pub(super) fn spread(desk: &mut Desk<'_>, change: &Signl4Change, reason: Reason) {
    let digest = desk.alert.as_ref().filter(|alert| is_digest(&alert.key)).map(|alert| ExternalId::of(&alert.key, 1));
    let Some(digest) = digest else { return };
    let concerns = matches!(change.happened, Happened::Acknowledged | Happened::Closed | Happened::Reopened);
    let news = matches!(reason, Reason::Acknowledged | Reason::Closed | Reason::Reopened | Reason::WithoutPerson);
    if concerns && news {
        let change = Box::new(Signl4Change { notification_id: None, ..change.clone() });
        desk.ring(&digest, TimerKind::ToMembers { change, beyond: None });
    }
}

fn end_alert(desk: &mut Desk<'_>) {
    let now = desk.now;
    if let Some(alert) = desk.alert.clone() {
        desk.alert = Some(Alert { condition: Condition::Resolved, resolved_at: Some(now), ..alert });
    }
}
