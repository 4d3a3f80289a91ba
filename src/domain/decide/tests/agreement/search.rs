//! Breadth first, each state once.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::disagreement;
use super::town::{Move, State};

/// What a search has seen.
#[derive(Debug, Default)]
pub(super) struct Searched {
    pub(super) states: usize,
    pub(super) depth: usize,
    /// The shortest way to a state from which the sides do not come to agree, and what is wrong there.
    pub(super) fault: Option<(Vec<Move>, String)>,
}

/// Looks at every state within so many moves, or at so many states.
pub(super) fn search(first: State, depth: usize, most: usize) -> Searched {
    let mut searched = Searched::default();
    let mut seen = HashSet::from([fingerprint(&first)]);
    let mut waiting = VecDeque::from([(first, Vec::new())]);
    while let Some((state, way)) = waiting.pop_front() {
        searched.states += 1;
        searched.depth = way.len();
        if let Some(fault) = disagreement(&state) {
            searched.fault = Some((way, fault));
            return searched;
        }
        if way.len() >= depth || searched.states >= most {
            continue;
        }
        for what in state.moves() {
            let mut next = state.clone();
            next.make(what);
            if seen.insert(fingerprint(&next)) {
                let way: Vec<Move> = way.iter().copied().chain([what]).collect();
                waiting.push_back((next, way));
            }
        }
    }
    searched
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.key().hash(&mut hasher);
    hasher.finish()
}
