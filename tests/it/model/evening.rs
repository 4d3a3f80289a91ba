//! The end of the day: both services can be reached and take everything, every webhook arrives, and then the sides agree.

use std::time::Duration;

use signl4_azure_bridge::domain::backoff::Roll;
use signl4_azure_bridge::domain::delivery::AzureState;
use signl4_azure_bridge::domain::event::Condition;
use signl4_azure_bridge::domain::id::{AlertKey, ExternalId};
use signl4_azure_bridge::domain::page::{Ending, Page, Phase};

use super::agreement::{self, Rest, Shown};
use super::invariants::{key, reached_people};
use super::rows::{DEAD, DROPPED};
use super::rules::{policy, rule, stage};
use super::steps::Luck;
use super::violation::{Checked, holds};
use super::world::World;

pub(super) const REST: &str = "it_comes_to_rest";
const NOTHING_DROPPED: &str = "nothing_silently_dropped";

/// Rounds until everything must be done: holds, digests, backoffs, leases, times to live, each takes a few.
const ROUNDS: usize = 1_000;
const CLAIM: usize = 128;

/// Everything arrives, both sides are polled, time goes by, and nothing is left to do.
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
        let now = world.now();
        let mut due = claimed.next_due;
        if is_done {
            let before = world.rows.clone();
            let again = world.poll()?;
            let is_news = (&before.alerts, &before.pages) != (&world.rows.alerts, &world.rows.pages);
            if is_news || world.rows.open().next().is_some() || !world.rows.timers.is_empty() {
                continue;
            }
            if again.is_none() {
                let found = world.audit();
                return holds(REST, found.is_empty(), || format!("the store's own audit finds {found:?}"));
            }
            due = again;
        }
        // The worker sleeps until then, and no longer.
        let due = due.filter(|due| *due > now);
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
        let to_nobody = policy(rule(*alert)).records_only || stage(*alert) == Some("Resolved");
        // Of the alerts of one matter, the newest speaks for all: it may end what an earlier one began.
        let home = world.rows.alerts.get(world.rows.home(&key));
        let spoken_for = home.is_some_and(|head| head.joined > 0 && head.condition == Condition::Resolved);
        let to_nobody = to_nobody || spoken_for || stage(*alert).is_some() && ended(world);
        // Somebody has it in hand in Azure.
        let in_hand = azure.by_person && azure.state != AzureState::New;
        if !fired
            || repeats
            || heard_over
            || to_nobody
            || in_hand
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

/// Every alert by the rule of agreement, but for those that are excused.
pub(super) fn the_sides_come_to_agree(world: &World) -> Checked {
    for (key, azure) in &world.services.azure {
        let home = world.rows.home(key);
        let pages: Vec<&Page> = world.rows.pages_of(home).collect();
        if is_excused(world, key, home, &pages) {
            continue;
        }
        let row = world.rows.alerts.get(home);
        let shares = home != key || row.is_some_and(|row| !row.members.is_empty());
        let pages = pages.into_iter().map(|page| Shown { page, by: shown_by(world, page) }).collect();
        agreement::holds_at_rest(&Rest { services: &world.services, azure, row, shares, pages })?;
    }
    Ok(())
}

/// The pages in SIGNL4 that show a page: itself, or the digest, which may have been passed on to another team.
fn shown_by(world: &World, page: &Page) -> Vec<ExternalId> {
    match &page.digest {
        Some(digest) => world.rows.pages_of(digest).map(|page| page.id.clone()).collect(),
        None => vec![page.id.clone()],
    }
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
