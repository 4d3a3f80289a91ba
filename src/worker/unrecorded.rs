//! Outcomes that the store has not taken yet. Their deliveries look like attempts that died: nobody may take those over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// Counts outcomes that are being recorded late; clones share it.
#[derive(Clone, Debug)]
pub struct Unrecorded(Arc<watch::Sender<usize>>);

impl Default for Unrecorded {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

/// One of them; over when it is dropped.
#[derive(Debug)]
pub(super) struct Late(Arc<watch::Sender<usize>>);

impl Unrecorded {
    pub(super) fn begin(&self) -> Late {
        self.0.send_modify(|count| *count = count.saturating_add(1));
        Late(Arc::clone(&self.0))
    }

    /// Waits until there is none, `patience` at most: one that never comes holds up nobody for ever.
    pub(super) async fn none(&self, patience: Duration) {
        let mut count = self.0.subscribe();
        if tokio::time::timeout(patience, count.wait_for(|count| *count == 0)).await.is_err() {
            tracing::warn!("outcomes are still not recorded; going on without them");
        }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_goes_on_before_the_last_is_recorded() {
        let unrecorded = Unrecorded::default();
        let (one, other) = (unrecorded.begin(), unrecorded.begin());
        let waiting = tokio::spawn({
            let unrecorded = unrecorded.clone();
            async move { unrecorded.none(Duration::from_mins(10)).await }
        });
        drop(one);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(other);
        waiting.await.unwrap();
        let _never = unrecorded.begin();
        unrecorded.none(Duration::from_millis(1)).await;
    }
}
