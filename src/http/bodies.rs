//! How much of all bodies is in memory between their first byte and their answer. Beyond the limit a caller hears 503, before
//! memory grows.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all requests together; a body is a few kilobytes as a rule.
const BYTES: usize = 64 * 1024 * 1024;

/// What is held for requests that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Bodies(AtomicUsize);

/// What one request holds; given back when it is answered.
#[derive(Debug)]
pub(super) struct Room<'a> {
    of: &'a Bodies,
    bytes: usize,
}

impl Bodies {
    pub(super) fn room(&self) -> Room<'_> {
        Room { of: self, bytes: 0 }
    }

    /// What all requests hold.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Room<'_> {
    /// Takes so many bytes more, unless there is no room for them.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let before = self.of.0.fetch_add(bytes, Ordering::SeqCst);
        if before.saturating_add(bytes) > BYTES {
            self.of.0.fetch_sub(bytes, Ordering::SeqCst);
            return false;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        true
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_with_the_answer() {
        let bodies = Bodies::default();
        let mut first = bodies.room();
        assert!(first.take(BYTES - 1) && first.take(1) && !first.take(1));
        assert_eq!(bodies.bytes(), BYTES, "what there was no room for is not held");
        drop(first);
        assert_eq!(bodies.bytes(), 0);
        assert!(bodies.room().take(BYTES));
    }
}
