//! How much waits for the writer. What does not fit is turned away before memory grows.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many events, and how much of them, may wait for the writer; beyond that the caller hears `Overloaded` at once.
/// Claims and records are not counted: they make room.
const EVENTS_WAITING: usize = 4096;
const BYTES_WAITING: usize = 64 * 1024 * 1024;

/// What waits for the writer.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    events: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    /// Counts an event in, unless there are too many already.
    pub(super) fn enter(&self, place: usize) -> bool {
        let bytes = self.bytes.fetch_add(place, Ordering::SeqCst);
        let events = self.events.fetch_add(1, Ordering::SeqCst);
        if events < EVENTS_WAITING && bytes < BYTES_WAITING {
            return true;
        }
        self.leave(Some(place));
        false
    }

    /// Counts an event out; other commands have no place.
    pub(super) fn leave(&self, place: Option<usize>) {
        if let Some(place) = place {
            self.bytes.fetch_sub(place, Ordering::SeqCst);
            self.events.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Events, and the bytes of their bodies.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.events.load(Ordering::SeqCst), self.bytes.load(Ordering::SeqCst))
    }
}
