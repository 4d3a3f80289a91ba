//! Invariant 5 searched whole, over the pure core: every state within so many moves of the services, the bridge between
//! them, and people on both sides, each state once and the nearest first.
//!
//! Webhooks are lost, doubled, late and out of order; polls are read at any time and judged later; calls fail, arrive
//! without an answer or are cut off by a crash; people act on both sides at once. From each state the sides must come to
//! rest, agree, and show what a person did last.
//!
//! `BRIDGE_MODEL_STATES=300000 cargo test --release --test it model::search -- --nocapture` looks at that many states in
//! each search, and says how deep it came.

mod state;

use std::collections::{HashSet, VecDeque};

use super::breaches::Breach;
use super::violation::Violation;
use state::{Budget, Move, State};

/// In each search, unless told otherwise.
const STATES: usize = 1_500;

/// What a search has seen.
#[derive(Debug, Default)]
struct Searched {
    states: usize,
    /// Every state within so many moves was looked at.
    whole: usize,
    /// The furthest that was looked at.
    furthest: usize,
    /// The shortest way to a state from which the sides do not come to agree, and what is wrong there.
    fault: Option<(Vec<Move>, Violation)>,
}

/// Looks at so many states, or at all that there are.
fn search(first: State, most: usize) -> Searched {
    let mut searched = Searched::default();
    let mut seen = HashSet::from([first.fingerprint()]);
    let mut waiting = VecDeque::from([(first, Vec::new())]);
    let mut left_out = None;
    while let Some((state, way)) = waiting.pop_front() {
        searched.states += 1;
        searched.furthest = way.len();
        if let Err(violation) = state.comes_to_agree() {
            searched.fault = Some((way, violation));
            return searched;
        }
        if seen.len() >= most {
            left_out = left_out.or(Some(way.len()));
            continue;
        }
        for what in state.moves() {
            let mut next = state.clone();
            next.make(what);
            if seen.insert(next.fingerprint()) {
                waiting.push_back((next, way.iter().copied().chain([what]).collect()));
            }
        }
    }
    searched.whole = left_out.unwrap_or(searched.furthest);
    searched
}

#[expect(clippy::print_stdout, reason = "whoever runs it at large wants to see how far it came")]
fn check(name: &str, first: State) {
    let most = std::env::var("BRIDGE_MODEL_STATES").ok().and_then(|most| most.parse().ok()).unwrap_or(STATES);
    let Searched { states, whole, furthest, fault } = search(first, most);
    println!("{name}: {states} states, all within {whole} moves, the furthest after {furthest}");
    if let Some((way, violation)) = fault {
        panic!("{name}: {violation}\nafter {way:#?}");
    }
    assert!(states >= most.min(STATES), "{name}: only {states} states, {whole} moves deep");
}

/// `dba-1` of the model's rules: to one team, which has a key for look-ups.
const ONE_PAGE: usize = 6;
/// `both-1`: to two teams.
const TWO_PAGES: usize = 4;

const ACTS: Budget = Budget { acts: 0, faults: 0, polls: 0, resolves: 0 };

#[test]
fn the_sides_agree_whatever_happens_to_a_new_alert() {
    check("a new alert", State::fired(ONE_PAGE, Budget { acts: 1, faults: 2, polls: 1, resolves: 1 }, None));
}

#[test]
fn the_sides_agree_whatever_two_people_do_at_once() {
    check("two people", State::paged(ONE_PAGE, Budget { acts: 3, polls: 1, resolves: 1, ..ACTS }, None));
}

#[test]
fn the_sides_agree_whatever_is_lost_doubled_cut_or_crashes() {
    check("faults", State::paged(ONE_PAGE, Budget { acts: 2, faults: 2, polls: 1, resolves: 1 }, None));
}

#[test]
fn the_sides_agree_with_several_pages_of_one_alert() {
    check("several pages", State::paged(TWO_PAGES, Budget { acts: 3, polls: 1, faults: 1, ..ACTS }, None));
}

/// Further than can be searched whole: walks of so many moves, each by chance.
const LONG: usize = 60;
const WALKS: u64 = 1_000;

#[test]
fn the_sides_agree_after_long_walks() {
    let walks = std::env::var("BRIDGE_MODEL_WALKS").ok().and_then(|walks| walks.parse().ok()).unwrap_or(WALKS);
    let budget = Budget { acts: 3, faults: 2, polls: 3, resolves: 1 };
    for (seed, alert) in (0..walks).flat_map(|seed| [(seed, ONE_PAGE), (seed, TWO_PAGES)]) {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut state = State::fired(alert, budget, None);
        let mut way = Vec::new();
        while let Some(what) = chance.choice(state.moves()).filter(|_| way.len() < LONG) {
            state.make(what);
            way.push(what);
        }
        if let Err(violation) = state.comes_to_agree() {
            panic!("{violation}\nafter {way:#?}");
        }
    }
}

/// A bridge that breaks a rule on purpose is found out.
fn is_found(breach: Breach, alert: usize, invariant: &str) {
    let budget = Budget { acts: 2, faults: 1, polls: 1, resolves: 0 };
    let found = search(State::fired(alert, budget, Some(breach)), 100).fault.or_else(|| {
        let paged = State::paged(alert, budget, Some(breach));
        search(paged, 20_000).fault
    });
    let Some((_, violation)) = found else { panic!("{breach:?} was not found") };
    assert_eq!(violation.invariant, invariant, "{breach:?} was found as {violation}");
}

#[test]
fn a_forgotten_raise_is_found() {
    is_found(Breach::Raises, ONE_PAGE, "the_sides_come_to_agree");
}

#[test]
fn a_forgotten_close_is_found() {
    is_found(Breach::Closes, ONE_PAGE, "the_sides_come_to_agree");
}

#[test]
fn a_forgotten_portal_is_found() {
    is_found(Breach::Portal, ONE_PAGE, "the_sides_come_to_agree");
}

#[test]
fn a_forgotten_order_is_found() {
    is_found(Breach::Order, ONE_PAGE, "the_sides_come_to_agree");
}

#[test]
fn an_echo_without_end_is_found() {
    is_found(Breach::Echo, TWO_PAGES, "it_comes_to_rest");
}
