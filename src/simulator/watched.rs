//! State that several tasks change and a test waits for.
//!
//! Every change is announced, so waiting needs no sleeping and no polling.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// The condition that was waited for did not come about in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} did not happen within {} s", within.as_secs_f32())]
pub struct TimedOut {
    what: String,
    within: Duration,
}

impl TimedOut {
    pub(super) fn new(what: &str, within: Duration) -> Self {
        Self { what: what.to_owned(), within }
    }
}

/// A simulator's state and the announcement of its changes.
#[derive(Debug)]
pub struct Watched<S> {
    state: Mutex<S>,
    changed: watch::Sender<u64>,
}

impl<S> Watched<S> {
    pub fn new(state: S) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }

    pub fn read<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the state and wakes everybody who waits for it.
    pub fn change<T>(&self, act: impl FnOnce(&mut S) -> T) -> T {
        let result = act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_modify(|revision| *revision = revision.wrapping_add(1));
        result
    }

    /// Waits until `look` finds what it looks for; `within` is real time, whatever the simulated clock says.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&S) -> Option<T>,
    ) -> Result<T, TimedOut> {
        let mut changed = self.changed.subscribe();
        let found = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = self.read(&mut look) {
                    return found;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, found).await.map_err(|_| TimedOut::new(what, within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_change_wakes_the_waiting() {
        let shared = Arc::new(Watched::new(0));
        let waiting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.wait_for("two", Duration::from_secs(10), |count| (*count == 2).then_some("two")).await }
        });
        shared.change(|count| *count += 1);
        shared.change(|count| *count += 1);
        assert_eq!(waiting.await.unwrap(), Ok("two"));
    }

    #[tokio::test]
    async fn waiting_in_vain_names_what_was_missing() {
        let shared = Watched::new(());
        let error = shared.wait_for("a page", Duration::from_millis(1), |()| None::<()>).await.unwrap_err();
        assert_eq!(error.to_string(), "a page did not happen within 0.001 s");
    }
}
