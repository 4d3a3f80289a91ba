//! What holds after every step, by the names that the design gives it.

use signl4_azure_bridge::domain::decide::Reason;
use signl4_azure_bridge::domain::delivery::{Call, Delivery};
use signl4_azure_bridge::domain::digest::is_digest;
use signl4_azure_bridge::domain::event::{Condition, EventKind, Happened, Notification, TimerKind};
use signl4_azure_bridge::domain::id::ExternalId;
use signl4_azure_bridge::domain::page::{Ending, Page, Phase};
use signl4_azure_bridge::store::{Claimed, Receipt};

use super::mail::Mail;
use super::rows::{CONFIRMED, DeliveryRow, Rows};
use super::rules::{PAGES_PER_MINUTE, id, policy, rule, stage};
use super::services::SignlPage;
use super::violation::{Checked, holds};
use super::world::World;

const NOTHING_DROPPED: &str = "nothing_silently_dropped";
const IN_ORDER: &str = "in_order_one_at_a_time_per_lane";
const ONE_PAGE: &str = "one_page_when_it_can_be_known";
const EVERY_OPEN_ROW: &str = "every_open_row_is_due_leased_or_behind";
const DIGESTS_END: &str = "digests_end_with_their_last_member";
const LOAD: &str = "load_stays_within_its_limits";

/// The longest wish of a destination and the longest backoff on top, and clocks that were set back.
const FAR_AWAY: i64 = 90 * 60_000;

/// After an event was stored.
pub(super) fn heard(world: &World, before: &Rows, mail: &Mail, kind: &EventKind, receipt: Receipt) -> Checked {
    if let EventKind::Azure { notification, .. } = kind
        && notification.condition == Condition::Fired
    {
        nothing_silently_dropped(world, before, mail, notification, receipt)?;
    }
    let beside_the_storm = receipt.reason == Reason::Worse
        || matches!(kind, EventKind::Signl4 { change, .. } if change.happened == Happened::NobodyOnDuty)
        || matches!(mail, Mail::Test { .. });
    if !beside_the_storm {
        load_stays_within_its_limits(world, before)?;
    }
    standing(world, before)
}

/// After timers rang, an attempt was recorded, or an operator changed something.
pub(super) fn rung(world: &World, before: &Rows) -> Checked {
    load_stays_within_its_limits(world, before)?;
    standing(world, before)
}

fn standing(world: &World, before: &Rows) -> Checked {
    let rows = &world.rows;
    for page in rows.pages.iter().filter(|page| page.is_ended() || before.page(&page.id) != Some(page)) {
        every_page_is_somewhere(world, page)?;
    }
    for page in rows.pages.iter().filter(|page| !page.is_ended()) {
        every_page_is_somewhere(world, page)?;
        every_held_page_has_a_timer(rows, page)?;
        digests_end_with_their_last_member(world, page)?;
    }
    for page in rows.pages.iter().filter(|page| before.page(&page.id).is_none()) {
        one_page_of_an_alert_in_a_team(rows, page)?;
    }
    every_open_row_is_due_leased_or_behind(world)?;
    one_at_a_time(world)
}

/// What a Fired came to, by the reason that is kept with it.
fn nothing_silently_dropped(
    world: &World,
    before: &Rows,
    mail: &Mail,
    notification: &Notification,
    receipt: Receipt,
) -> Checked {
    let rows = &world.rows;
    let key = notification.id.key();
    let fired_at = notification.fired_at.unwrap();
    let told = |fired: bool| {
        world
            .past
            .heard
            .iter()
            .any(|(alert, of, at, _)| Some(*alert) == mail.alert() && *of == fired && *at >= fired_at)
    };
    let lives = || rows.pages_of(rows.home(key)).any(|page| !page.is_ended());
    let is_new = rows.pages_of(key).any(|page| before.page(&page.id).is_none());
    let recorded = mail.alert().is_some_and(|alert| policy(rule(alert)).records_only);
    let ends = mail.alert().is_some_and(|alert| stage(alert) == Some("Resolved"));
    let because = |reasons: &[Reason]| reasons.contains(&receipt.reason);
    let justified = because(&[Reason::Raised, Reason::Unrouted, Reason::Held, Reason::JoinedDigest]) && is_new
        || because(&[Reason::RecordedByRoute]) && recorded
        || because(&[Reason::Repeat]) && (told(true) || rows.joined.contains_key(key) || mail.alert().is_none())
        || because(&[Reason::Joined, Reason::Worse]) && rows.joined.contains_key(key) && lives()
        || because(&[Reason::AlreadyPaged]) && lives()
        || because(&[Reason::InHand]) && rows.alerts.get(key).is_some_and(|alert| alert.recorded.is_some())
        || because(&[Reason::SupersededByResolved]) && told(false)
        || because(&[Reason::ResolvedWithoutPage, Reason::Resolved]) && ends;
    holds(NOTHING_DROPPED, justified, || format!("{key}, fired at {fired_at}, is `{}`", receipt.reason.as_str()))
}

/// A page is with people, on its way to them, waiting for a time, shown by a digest, or ended for a reason that is seen.
fn every_page_is_somewhere(world: &World, page: &Page) -> Checked {
    let rows = &world.rows;
    let somewhere = match page.phase {
        Phase::Raising => rows.open().any(|row| row.is_raise_of(&page.id)),
        Phase::Raised => world.services.signl4.contains_key(&page.id),
        Phase::Joined => is_shown(rows, page),
        Phase::Ended { why: Ending::NotRaised } => views(page).iter().any(|id| rows.gave_up_raise(id)),
        Phase::Held { .. } | Phase::Ended { .. } => true,
    };
    holds(NOTHING_DROPPED, somewhere, || format!("{} is {:?} and nothing comes of it", page.id, page.phase))
}

fn is_shown(rows: &Rows, page: &Page) -> bool {
    let digest = page.digest.as_ref().and_then(|digest| rows.page(&ExternalId::of(digest, 1)));
    let Some(digest) = digest else { return false };
    match digest.phase {
        Phase::Held { .. } | Phase::Raising | Phase::Raised => true,
        Phase::Ended { why: Ending::Dissolved } => rows.has_timer(&page.id, |kind| *kind == TimerKind::Alone),
        Phase::Ended { why: Ending::ClosedByPerson | Ending::ClosedBySystem | Ending::ClosedElsewhere } => {
            rows.has_timer(&digest.id, |kind| matches!(kind, TimerKind::ToMembers { .. }))
        }
        Phase::Joined | Phase::Ended { .. } => false,
    }
}

fn every_held_page_has_a_timer(rows: &Rows, page: &Page) -> Checked {
    if !page.is_held() {
        return Ok(());
    }
    let kind = if is_digest(&page.alert) { TimerKind::DigestDue } else { TimerKind::GraceEnded };
    holds(EVERY_OPEN_ROW, rows.has_timer(&page.id, |timer| *timer == kind), || {
        format!("{} is {:?} and has no timer {kind:?}", page.id, page.phase)
    })
}

fn every_open_row_is_due_leased_or_behind(world: &World) -> Checked {
    let limit = world.now().as_millis() + FAR_AWAY;
    for row in world.rows.open() {
        holds(EVERY_OPEN_ROW, row.due.as_millis() < limit, || format!("{} is not due before {}", row.lane, row.due))?;
    }
    Ok(())
}

/// After a claim that had room for more: the worker knows when to come again.
pub(super) fn nothing_is_left_lying(world: &World, claimed: &Claimed, limit: usize) -> Checked {
    if claimed.deliveries.len() >= limit {
        return Ok(());
    }
    let now = world.now();
    // Of what begins now the worker hears when it ends.
    let begins = |row: &&DeliveryRow| claimed.deliveries.iter().any(|delivery| delivery.id == row.id);
    let rows = world.rows.open().filter(|row| !begins(row)).map(|row| row.due).filter(|due| *due > now);
    let due = rows.chain(world.rows.timers.iter().map(|timer| timer.due)).min();
    // A destination that asked us to wait is looked at when its wait is over: later than a row of it, or earlier.
    let is_held_back = world.rows.open().any(|row| !row.is_leased(now) && !begins(&row));
    let known = match (due, claimed.next_due) {
        (Some(due), Some(next)) => next <= due || is_held_back,
        // Everything waits for an attempt that is under way: its end wakes the worker.
        (Some(_), None) => !world.flights.is_empty(),
        (None, next) => !is_held_back || next.is_some() || !world.flights.is_empty(),
    };
    holds(EVERY_OPEN_ROW, known, || {
        format!("something is due at {due:?}, and the worker would look at {:?}", claimed.next_due)
    })
}

/// Before an attempt begins; `before` has the rows as they were.
pub(super) fn claimed(world: &World, before: &Rows, delivery: &Delivery) -> Checked {
    let now = world.now();
    let lane = delivery.call.lane();
    let row = before.delivery(delivery.id).expect("only what is there is claimed");
    let of_lane = || before.open().filter(|other| other.lane == lane && other.id != row.id);
    let in_the_way = |other: &DeliveryRow| (other.words, other.seq) < (row.words, row.seq) || other.is_leased(now);
    let ahead = of_lane().find(|other| in_the_way(other));
    holds(IN_ORDER, ahead.is_none() && !row.is_leased(now), || format!("{row:?} was claimed before {ahead:?}"))?;
    // Whatever the rows say: no attempt begins beside another. One that an event confirmed has arrived.
    let flying = world.flights.iter().find(|flight| {
        let id = flight.delivery.id;
        flight.delivery.call.lane() == lane
            && flight.may_be_on_its_way(world.services.elapsed)
            && before.delivery(id).is_none_or(|row| row.state != CONFIRMED)
    });
    holds(IN_ORDER, flying.is_none(), || format!("{row:?} was claimed while {flying:?} is under way"))?;
    if let Call::Raise { page, .. } = &delivery.call {
        let may_go = !world.past.told_of.contains(page) || world.past.replayed.contains(page);
        holds(ONE_PAGE, may_go, || format!("SIGNL4 has told of {page}, and it is raised once more"))?;
    }
    Ok(())
}

fn one_at_a_time(world: &World) -> Checked {
    let now = world.now();
    let mut lanes: Vec<&str> = Vec::new();
    for row in world.rows.deliveries.iter().filter(|row| row.is_leased(now)) {
        holds(IN_ORDER, !lanes.contains(&row.lane.as_str()), || format!("two attempts of {} at once", row.lane))?;
        lanes.push(&row.lane);
    }
    Ok(())
}

fn one_page_of_an_alert_in_a_team(rows: &Rows, page: &Page) -> Checked {
    let is_test = rows.alerts.get(&page.alert).is_some_and(|alert| alert.digest.starts_with("test "));
    let twin = rows
        .pages_of(&page.alert)
        .find(|other| other.id != page.id && other.team == page.team && !other.is_ended() && !page.is_ended());
    holds(ONE_PAGE, is_test || twin.is_none(), || {
        format!("{} came although the team has {:?}", page.id, twin.map(|twin| &twin.id))
    })
}

fn digests_end_with_their_last_member(world: &World, page: &Page) -> Checked {
    if !is_digest(&page.alert) || page.number > 1 {
        return Ok(());
    }
    let rows = &world.rows;
    let lives = rows.pages.iter().any(|member| member.digest.as_ref() == Some(&page.alert) && !member.is_ended());
    let hears = rows.has_timer(&page.id, |kind| matches!(kind, TimerKind::LastMemberEnded | TimerKind::DigestDue));
    // People may open again whatever they like, and operators send what they like by force.
    let by_people =
        world.past.forced.contains(&page.id) || world.services.signl4.get(&page.id).is_some_and(SignlPage::was_opened);
    holds(DIGESTS_END, lives || hears || by_people, || format!("{} shows nothing any more", page.id))
}

/// Single pages of a team within a minute, but for those that go out whatever the load is.
fn load_stays_within_its_limits(world: &World, before: &Rows) -> Checked {
    const A_MINUTE: i64 = 60_000;
    let recently = |at: i64| world.services.elapsed - at < 3 * A_MINUTE;
    if world.past.set_back.is_some_and(recently) {
        return Ok(());
    }
    let rows = &world.rows;
    for row in rows.deliveries.iter().filter(|row| before.delivery(row.id).is_none()) {
        let Call::Raise { team, page, .. } = &row.call else { continue };
        let Some(raised) = rows.page(page) else { continue };
        let was_joined = before.page(page).is_some_and(Page::is_joined);
        let goes_unasked = before.deliveries.iter().any(|row| row.is_raise_of(page));
        let alert = world.services.azure.get(&raised.alert);
        let opened_again = alert.is_some_and(|alert| alert.reopened.in_portal);
        if opened_again || is_digest(&raised.alert) || raised.policy.always_alone || was_joined || goes_unasked {
            continue;
        }
        let counts = |other: &&DeliveryRow| {
            let Call::Raise { team: to, page, .. } = &other.call else { return false };
            let age = row.created_at.as_millis() - other.created_at.as_millis();
            to == team && other.seq < row.seq && age < A_MINUTE && !world.past.replayed.contains(page)
        };
        let pages = rows.deliveries.iter().filter(counts).count();
        holds(LOAD, pages < usize::try_from(PAGES_PER_MINUTE).unwrap(), || {
            format!("{page} is one more than {pages} pages of {team} within a minute")
        })?;
    }
    Ok(())
}

/// For the end of the day: whether a page can be seen by people, or given up where an operator sees it.
pub(super) fn reached_people(world: &World, page: &Page) -> bool {
    views(page).iter().any(|id| world.services.signl4.contains_key(id) || world.rows.gave_up_raise(id))
}

/// How people see a page: by itself, or by the digest that shows it.
fn views(page: &Page) -> Vec<ExternalId> {
    [page.id.clone()].into_iter().chain(page.digest.as_ref().map(|digest| ExternalId::of(digest, 1))).collect()
}

/// The key of the model's alert.
pub(super) fn key(alert: usize) -> signl4_azure_bridge::domain::id::AlertKey {
    id(alert).key().clone()
}
