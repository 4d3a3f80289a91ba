//! Alerts that are one matter share a page: a later one joins while a page of the thread is open, or ends it.

use std::time::Duration;

use super::Reason;
use super::azure::{close_too, replace_page, resolve_page, target};
use super::desk::Desk;
use crate::domain::delivery::{AzureState, Call};
use crate::domain::event::Notification;
use crate::domain::id::{AlertKey, ConnectionName};
use crate::domain::page::{Alert, MEMBERS, Member};
use crate::domain::render::Rendered;
use crate::domain::thread::{Step, Thread};

/// Long enough for the repeats of a rule that is evaluated every half hour.
const QUIET_BY_NATURE: Duration = Duration::from_hours(1);

/// Whether the rows on the desk are those of another alert that this one has joined, or might join.
pub(super) fn is_of_another(desk: &Desk<'_>, key: &AlertKey) -> bool {
    desk.alert.as_ref().is_some_and(|alert| alert.key != *key)
}

/// Whether the alert has joined the one on the desk before.
pub(super) fn is_member(alert: &Alert, key: &AlertKey) -> bool {
    alert.members.iter().any(|member| member.key == *key)
}

/// Judges an alert of a thread that has a beginning. `None`: it is a matter of its own and gets pages of its own.
pub(super) fn joins(
    desk: &mut Desk<'_>,
    connection: &ConnectionName,
    notification: &Notification,
    thread: &Thread,
    rendered: &Rendered,
) -> Option<Reason> {
    let head = desk.alert.clone()?;
    let live = desk.live();
    let by_default = if thread.by_nature { QUIET_BY_NATURE } else { Duration::ZERO };
    let quiet = desk
        .pages
        .iter()
        .filter(|page| !page.is_ended())
        .map(|page| page.policy.quiet_period.unwrap_or(by_default))
        .max()
        .unwrap_or_default();
    match thread.step {
        Step::Ends | Step::Reverses if !live.is_empty() => {
            join(desk, connection, notification, head);
            for id in live {
                resolve_page(desk, &id, notification.fired_at.unwrap_or(desk.now));
            }
            close_too(desk);
            Some(Reason::Resolved)
        }
        Step::Ends | Step::Reverses => None,
        Step::Fires if quiet.is_zero() || live.is_empty() => None,
        // Degrees are stages of one matter, however long that takes.
        Step::Fires if thread.rank == 0 && desk.now.since(head.heard_at) > quiet => None,
        Step::Fires => {
            let worse = thread.rank > head.rank;
            if worse {
                // Whoever acknowledged what it was before has not seen this.
                desk.change_azure(AzureState::New, "Worse than before: paged anew");
            }
            let head = desk.alert.clone()?;
            join(desk, connection, notification, head);
            if let Some(alert) = &mut desk.alert {
                alert.rank = alert.rank.max(thread.rank);
            }
            follow_state(desk, connection, notification);
            if worse {
                for id in live {
                    replace_page(desk, &id, rendered);
                }
                return Some(Reason::Worse);
            }
            if thread.tells {
                tell(desk, &rendered.title);
            }
            Some(Reason::Joined)
        }
    }
}

fn join(desk: &mut Desk<'_>, connection: &ConnectionName, notification: &Notification, mut head: Alert) {
    let key = notification.id.key().clone();
    desk.joined = Some((key.clone(), head.key.clone()));
    head.members.push(Member { key, target: target(connection, &notification.id) });
    let beyond = head.members.len().saturating_sub(MEMBERS);
    head.members.drain(..beyond);
    head.joined = head.joined.saturating_add(1);
    head.heard_at = desk.now;
    desk.alert = Some(head);
}

/// The page is acknowledged already: so is what joins it.
fn follow_state(desk: &mut Desk<'_>, connection: &ConnectionName, notification: &Notification) {
    let acknowledged = desk.alert.as_ref().map(Alert::azure_state) == Some(AzureState::Acknowledged);
    let can_write = desk.rules.connections.get(connection).is_some_and(|traits| traits.can_write);
    if let Some(target) = target(connection, &notification.id).filter(|_| acknowledged && can_write) {
        let by = desk.pages.iter().find_map(|page| page.acknowledged_by.clone());
        let words = by.map(|by| format!("Joined to a page that {by} has acknowledged in SIGNL4"));
        desk.owe(Call::ChangeState { target, state: AzureState::Acknowledged, comment: words, keeps_closed: false });
    }
}

/// Tells those who have the page, where their team allows it.
fn tell(desk: &mut Desk<'_>, text: &str) {
    for id in desk.live() {
        let Some(page) = desk.page(&id).filter(|page| page.is_own()) else { continue };
        let team = page.team.clone();
        if desk.has_api(&team) {
            desk.owe(Call::Annotate { team, page: id, text: text.to_owned() });
        }
    }
}
