//! Invariant 5 searched whole: two services, the bridge between them, and people on both sides.
//!
//! Every state within so many moves is looked at: webhooks that are lost, doubled and reordered, polls at any time that are
//! judged later than they were read, calls that fail, arrive without an answer or are cut off by a crash, and people who
//! act on both sides at once. From each of them the sides must come to rest, agree, and show what a person did last.

mod search;
mod town;

use super::*;
use search::{Searched, search};
use town::{Act, Budget, JANE, Judge, State};

/// What is wrong once everything that is on its way has arrived; `None`: nothing.
fn disagreement(state: &State) -> Option<String> {
    let Some(rested) = state.rested() else { return Some("it never comes to rest".to_owned()) };
    sides(&rested).or_else(|| undone(&rested))
}

/// Open ~ New, Acknowledged ~ Acknowledged, closed ~ Closed; what Azure has resolved has no page left.
fn sides(rested: &State) -> Option<String> {
    let States { open, acknowledged } = States::of(rested);
    for signl in &rested.signls {
        let page = rested.known.pages.iter().find(|page| page.id == signl.id)?;
        let known = if page.is_ended() {
            PageState::Closed
        } else if page.signl4.settled() == Some(PageState::Acknowledged) {
            PageState::Acknowledged
        } else {
            PageState::Open
        };
        if known != signl.status {
            return Some(format!("the ledger holds {} for {known:?}, and SIGNL4 has it {:?}", signl.id, signl.status));
        }
    }
    if rested.condition == town::Condition2::Resolved {
        // What a person has opened again stays open.
        let left = open + acknowledged > 0 && !rested.reopened;
        return left.then(|| "resolved, and a page is left".to_owned());
    }
    if rested.signls.is_empty() && rested.azure == AzureState::New {
        return Some("it fires, and nobody was paged".to_owned());
    }
    let expected = match (open, acknowledged) {
        (_, 1..) => AzureState::Acknowledged,
        (1.., 0) => AzureState::New,
        // Taken care of in Azure before anybody was paged.
        (0, 0) if rested.signls.is_empty() => return None,
        // Opened again in the portal and taken in hand at once: nobody need be woken.
        (0, 0) if rested.azure == AzureState::Acknowledged && rested.modified_by == JANE => return None,
        (0, 0) => AzureState::Closed,
    };
    (rested.azure != expected).then(|| format!("Azure is {:?}, the pages are {:?}", rested.azure, rested.signls))
}

struct States {
    open: usize,
    acknowledged: usize,
}

impl States {
    fn of(state: &State) -> Self {
        let count = |status| state.signls.iter().filter(|signl| signl.status == status).count();
        Self { open: count(PageState::Open), acknowledged: count(PageState::Acknowledged) }
    }
}

/// What a person did last, when nothing else was on its way, stands; and a close stands whatever was on its way.
fn undone(rested: &State) -> Option<String> {
    let (act, at_rest) = rested.last?;
    if rested.condition == town::Condition2::Resolved {
        return None;
    }
    let States { open, acknowledged } = States::of(rested);
    let closes = matches!(act, Act::Phone(_, PageState::Closed) | Act::Portal(AzureState::Closed));
    if !at_rest && !closes {
        return None;
    }
    let stands = match act {
        Act::Phone(page, status) => {
            let shown = rested.signls.get(page).map(|signl| signl.status);
            shown == Some(status) && (!closes || rested.azure == AzureState::Closed)
        }
        Act::Portal(AzureState::Closed) => rested.azure == AzureState::Closed && open + acknowledged == 0,
        Act::Portal(AzureState::Acknowledged) => rested.azure == AzureState::Acknowledged && open == 0,
        Act::Portal(AzureState::New) => rested.azure == AzureState::New,
    };
    (!stands).then(|| format!("{act:?} was undone: Azure is {:?}, the pages are {:?}", rested.azure, rested.signls))
}

fn one_team() -> Rules {
    rules(vec![route("all", "ops", Policy::default())])
}

fn two_teams() -> Rules {
    rules(vec![route("all", "ops", Policy::default()), route("too", "dba", Policy::default())])
}

fn check(rules: Rules, budget: Budget, depth: usize, most: usize) -> Searched {
    // More at leisure: `BRIDGE_MODEL_STATES=2000000 cargo nextest run --release agreement`.
    let most = option_env!("BRIDGE_MODEL_STATES").and_then(|text| text.parse().ok()).unwrap_or(most);
    let searched = search(State::new(rules, decide, budget), depth, most);
    if let Some((way, fault)) = &searched.fault {
        panic!("{fault}\nafter {way:?}\n{} states, {} moves deep", searched.states, searched.depth);
    }
    searched
}

#[test]
fn the_sides_come_to_agree_whatever_two_people_do_at_once() {
    let budget = Budget { acts: 2, faults: 0, polls: 1, resolves: 1 };
    let searched = check(one_team(), budget, 12, 4_000);
    assert!(searched.states >= 4_000, "{searched:?}");
}

#[test]
fn the_sides_come_to_agree_whatever_is_lost_doubled_cut_or_crashes() {
    let budget = Budget { acts: 1, faults: 2, polls: 1, resolves: 1 };
    let searched = check(one_team(), budget, 12, 4_000);
    assert!(searched.states >= 4_000, "{searched:?}");
}

#[test]
fn the_sides_come_to_agree_with_several_pages_of_one_alert() {
    let budget = Budget { acts: 2, faults: 0, polls: 0, resolves: 0 };
    let searched = check(two_teams(), budget, 14, 4_000);
    assert!(searched.states >= 4_000, "{searched:?}");
}

/// Rules that are broken on purpose, and what the search must say of them.
#[test]
fn a_broken_rule_is_found() {
    fn deaf_to_the_portal(rules: &Rules, known: &Known, event: &Event, now: Timestamp) -> Verdict {
        let verdict = decide(rules, known, event, now);
        let is_polled = matches!(event.kind, EventKind::Polled { .. });
        if is_polled { Verdict { owed: Vec::new(), ..verdict } } else { verdict }
    }
    fn the_last_heard_wins(rules: &Rules, known: &Known, event: &Event, now: Timestamp) -> Verdict {
        let mut known = known.clone();
        for page in &mut known.pages {
            page.changed_at = None;
        }
        decide(rules, &known, event, now)
    }
    fn closes_nothing_in_azure(rules: &Rules, known: &Known, event: &Event, now: Timestamp) -> Verdict {
        let mut verdict = decide(rules, known, event, now);
        verdict.owed.retain(|owed| !matches!(owed.call, Call::ChangeState { state: AzureState::Closed, .. }));
        verdict
    }
    let budget = Budget { acts: 2, faults: 0, polls: 1, resolves: 0 };
    let broken: [(&str, Judge); 3] = [
        ("deaf to the portal", deaf_to_the_portal),
        ("the last heard wins", the_last_heard_wins),
        ("closes nothing in Azure", closes_nothing_in_azure),
    ];
    for (name, judge) in broken {
        let searched = search(State::new(one_team(), judge, budget), 12, 20_000);
        assert!(searched.fault.is_some(), "{name}: nothing was found in {} states", searched.states);
    }
}
