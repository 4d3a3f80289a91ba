//! Whose turn it is where not all can go: pages, then state changes, then words, and a small share against that order.
//!
//! Pages first means that a storm of pages, which may last for hours, would keep every acknowledgement and every resolve
//! waiting for as long, and a page that is resolved in Azure and open on the phone wakes people for nothing. So of ten turns
//! one belongs to state changes, and of a hundred one to words; if they have nothing to send, the turn is the pages'. A
//! page is later by a tenth at most.

use super::super::delivery::Class;

const SHARE_OF_STATES: u32 = 10;
const SHARE_OF_WORDS: u32 = 100;

#[derive(Clone, Copy, Debug, Default)]
pub struct Turns(u32);

impl Turns {
    /// Who comes first now, who if there is none of those, and who last.
    pub const fn order(self) -> [Class; 3] {
        if self.0 % SHARE_OF_WORDS == SHARE_OF_WORDS - 1 {
            [Class::Words, Class::State, Class::Page]
        } else if self.0 % SHARE_OF_STATES == SHARE_OF_STATES - 1 {
            [Class::State, Class::Words, Class::Page]
        } else {
            Class::ALL
        }
    }

    /// A turn was used.
    pub const fn used(&mut self) {
        self.0 = self.0.wrapping_add(1) % SHARE_OF_WORDS;
    }
}
