//! What a check says: the name of the invariant, and how it is broken.

use std::fmt;

#[derive(Clone, Debug)]
pub(super) struct Violation {
    pub(super) invariant: &'static str,
    what: String,
}

pub(super) type Checked = Result<(), Violation>;

pub(super) fn holds(invariant: &'static str, holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}
