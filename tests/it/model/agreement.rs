//! The end of the day: both services can be reached and take everything, every webhook arrives, and then the sides agree.

use std::time::Duration;

use signl4_azure_bridge::domain::backoff::Roll;
use signl4_azure_bridge::domain::delivery::AzureState;
use signl4_azure_bridge::domain::digest::is_digest;
use signl4_azure_bridge::domain::event::Condition;
use signl4_azure_bridge::domain::id::{AlertKey, ExternalId};
use signl4_azure_bridge::domain::page::{Ending, Page, PageState, Phase};
use signl4_azure_bridge::domain::route::{CloseInAzure, OnResolved};

use super::invariants::{key, reached_people};
use super::rows::{DEAD, DROPPED};
use super::rules::{policy, stage};
use super::services::AzureAlert;
use super::steps::Luck;
use super::violation::{Checked, holds};
use super::world::World;

const REST: &str = "it_comes_to_rest";
const NOTHING_DROPPED: &str = "nothing_silently_dropped";
const AGREE: &str = "the_sides_come_to_agree";

/// Rounds until everything must be done: holds, digests, backoffs, leases, times to live, each takes a few.
const ROUNDS: usize = 1_000;
const CLAIM: usize = 128;

/// Everything arrives, time goes by, and nothing is left to do.
pub(super) fn it_comes_to_rest(world: &mut World) -> Checked {
    for _ in 0..ROUNDS {
        let mut moved = false;
        while !world.services.mail.is_empty() {
            let mail = world.services.mail.remove(0);
            world.hear(&mail)?;
            moved = true;
        }
        while !world.flights.is_empty() {
            world.send(0, Luck::Good)?;
            world.record(0, Roll::HIGHEST)?;
            moved = true;
        }
        let claimed = world.claim(CLAIM, true)?;
        if moved || !claimed.deliveries.is_empty() {
            continue;
        }
        let is_done = world.rows.open().next().is_none() && world.rows.timers.is_empty();
        if is_done {
            let found = world.audit();
            return holds(REST, found.is_empty(), || format!("the store's own audit finds {found:?}"));
        }
        // The worker sleeps until then, and no longer.
        let now = world.now();
        let due = claimed.next_due.filter(|due| *due > now);
        holds(REST, due.is_some(), || format!("nothing is due after {now}: {:?}", claimed.next_due))?;
        world.wait(due.map_or(Duration::ZERO, |due| due.since(now)))?;
    }
    let left: Vec<&str> = world.rows.open().map(|row| row.lane.as_str()).collect();
    holds(REST, false, || format!("there is no end of {left:?}, {:?}", world.rows.timers))
}

/// Whoever should have been told of an alert that fires has been.
pub(super) fn nothing_silently_dropped(world: &World) -> Checked {
    for (number, (alert, fired, at, told_at)) in world.past.heard.iter().enumerate() {
        let key = key(*alert);
        let azure = &world.services.azure[&key];
        let heard_over = world.past.heard.iter().any(|(other, fired, of, _)| other == alert && !fired && of >= at);
        let repeats =
            world.past.heard.iter().take(number).any(|(other, fired, of, _)| other == alert && *fired && of == at);
        let to_nobody = policy(azure.rule()).records_only || stage(*alert) == Some("Resolved");
        // Of the alerts of one matter, the newest speaks for all: it may end what an earlier one began.
        let home = world.rows.alerts.get(world.rows.home(&key));
        let spoken_for = home.is_some_and(|head| head.joined > 0 && head.condition == Condition::Resolved);
        let to_nobody = to_nobody || spoken_for || stage(*alert).is_some() && ended(world);
        if !fired
            || repeats
            || heard_over
            || to_nobody
            || azure.fired_at != *at
            || azure.condition == Condition::Resolved
        {
            continue;
        }
        let mut pages = world.rows.pages_of(world.rows.home(&key));
        // The accepted race: who opens a page again while the end of one firing and the begin of the next are on their way
        // may have it closed under his hands.
        let reopened = |page: &Page| world.services.signl4.get(&page.id).is_some_and(|page| page.reopened);
        // Seen by somebody in Azure, or older than its route lets it become.
        let handled =
            |page: &Page| matches!(page.phase, Phase::Ended { why: Ending::HandledInAzure | Ending::Expired });
        let open_since = |id: &ExternalId| {
            let page = world.services.signl4.get(id);
            page.is_some_and(|page| page.closed_at.is_none_or(|closed_at| closed_at >= *told_at))
        };
        let has = pages.any(|page| {
            let shown = page.digest.as_ref().map(|digest| ExternalId::of(digest, 1));
            let view = shown.as_ref().unwrap_or(&page.id);
            open_since(view)
                || handled(page)
                || reopened(page)
                || (reached_people(world, page) && world.rows.gave_up_raise(view))
        });
        holds(NOTHING_DROPPED, has, || format!("nobody was told that {key} fires since {at}"))?;
    }
    Ok(())
}

/// The service issue is over.
fn ended(world: &World) -> bool {
    world.past.heard.iter().any(|(alert, _, _, _)| stage(*alert) == Some("Resolved"))
}

/// Open ~ New, Acknowledged ~ Acknowledged, closed by a person ~ Closed. A page ended by Resolved agrees with anything.
pub(super) fn the_sides_come_to_agree(world: &World) -> Checked {
    for (key, azure) in &world.services.azure {
        let home = world.rows.home(key);
        let pages: Vec<&Page> = world.rows.pages_of(home).collect();
        if azure.raced || is_excused(world, key, home, &pages) {
            continue;
        }
        let views: Vec<PageState> = pages.iter().filter_map(|page| view(world, page)).collect();
        let any = |state| views.contains(&state);
        let never = pages.iter().any(|page| page.policy.close_in_azure == CloseInAzure::Never);
        let agree = if any(PageState::Acknowledged) {
            azure.state == AzureState::Acknowledged
        } else if any(PageState::Open) {
            azure.state == AzureState::New
        } else {
            let closed = matches!(azure.last_human, Some((PageState::Closed, _)));
            !closed || never || azure.state == AzureState::Closed
        };
        let last = azure.last_human;
        holds(AGREE, agree, || format!("{key} is {:?}, its pages are {views:?}, last by {last:?}", azure.state))?;
        if home == key
            && let Some(alert) = world.rows.alerts.get(key).filter(|alert| alert.target.is_some())
        {
            holds(AGREE, alert.azure_state() == azure.state, || {
                format!("{key} is {:?}, and the ledger says {:?}", azure.state, alert.azure)
            })?;
        }
        for page in pages {
            the_ledger_tells_the_truth(world, page)?;
            resolved_is_over(world, azure, page)?;
        }
    }
    Ok(())
}

/// How people see a page: by itself, or by the digest that shows it, which may have been passed on to another team.
fn view(world: &World, page: &Page) -> Option<PageState> {
    let state = |id: &ExternalId| world.services.signl4.get(id).map(|page| page.state);
    let Some(digest) = &page.digest else { return state(&page.id) };
    if page.is_ended() {
        return Some(PageState::Closed);
    }
    let states: Vec<PageState> = world.rows.pages_of(digest).filter_map(|page| state(&page.id)).collect();
    [PageState::Acknowledged, PageState::Open, PageState::Closed].into_iter().find(|state| states.contains(state))
}

/// The exceptions that the design admits: calls that were given up, pages that may be doubled, what SIGNL4 did by itself,
/// alerts that Azure does not let us change.
fn is_excused(world: &World, key: &AlertKey, home: &AlertKey, pages: &[&Page]) -> bool {
    let digests = pages.iter().filter_map(|page| page.digest.as_ref()).map(|digest| ExternalId::of(digest, 1));
    let ids: Vec<ExternalId> = pages.iter().map(|page| page.id.clone()).chain(digests).collect();
    let lanes: Vec<String> = ids.iter().map(|id| format!("signl4 {id}")).collect();
    let given_up = world.rows.deliveries.iter().any(|row| {
        let concerns =
            lanes.contains(&row.lane) || row.lane == format!("azure {key}") || row.lane == format!("azure {home}");
        concerns && !row.words && (row.state == DEAD || row.state == DROPPED)
    });
    let excused = |id: &ExternalId| {
        let page = world.services.signl4.get(id);
        page.is_some_and(|page| page.by_system || page.raised > 1) || world.past.replayed.contains(id)
    };
    let is_writable = world.rows.alerts.get(home).is_some_and(|alert| alert.target.is_some());
    let replayed = world.past.replayed_to.contains(key) || world.past.replayed_to.contains(home);
    given_up || replayed || !is_writable || ids.iter().any(excused)
}

fn the_ledger_tells_the_truth(world: &World, page: &Page) -> Checked {
    let truth = world.services.signl4.get(&page.id).map(|page| page.state);
    let Some(truth) = truth.filter(|_| page.phase == Phase::Raised) else { return Ok(()) };
    let settled = page.signl4.settled();
    holds(AGREE, settled == Some(truth), || format!("{} is {truth:?}, and the ledger says {settled:?}", page.id))
}

/// What Azure resolved ends on the phone, unless a person opened it again.
fn resolved_is_over(world: &World, azure: &AzureAlert, page: &Page) -> Checked {
    let resolves = page.policy.on_resolved == OnResolved::Resolve && !is_digest(&page.alert);
    let alert = world.rows.alerts.get(&page.alert);
    let heard = alert.is_some_and(|alert| alert.condition == Condition::Resolved && alert.members.is_empty());
    let Some(found) = world.services.signl4.get(&page.id) else { return Ok(()) };
    if !resolves || !heard || azure.condition != Condition::Resolved || found.reopened {
        return Ok(());
    }
    holds(AGREE, found.state == PageState::Closed, || {
        format!("{} is {:?}, and Azure has resolved its alert: {:?}", page.id, found.state, page.phase)
    })
}
