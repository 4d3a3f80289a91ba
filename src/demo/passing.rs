//! Minutes that the story does not sit out: the one clock of the bridge and of both simulators is put forward.

use std::time::Duration;

use super::DemoError;
use super::stage::Stage;
use crate::domain::timestamp::Timestamp;

/// At once: after a leap of 75 s the bridge would take itself for having stood still.
const LEAP: Duration = Duration::from_secs(40);
/// As in the demo's `bridge.toml`.
const POLLED_EVERY: Duration = Duration::from_secs(30);
/// A poll that may be under way, or come in the middle of a leap.
const NEARLY: Duration = Duration::from_secs(29);

const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(20);

impl Stage {
    /// Puts the clock forward. When this returns, Azure has been polled since, if the time was long enough for that.
    pub(super) async fn later(&self, by: Duration) -> Result<(), DemoError> {
        let leaps = u32::try_from(by.as_secs().div_ceil(LEAP.as_secs())).unwrap_or(u32::MAX).max(1);
        let leap = by / leaps;
        for _ in 0..leaps {
            self.at_rest().await?;
            self.clock().advance(leap);
            let now = self.clock().now();
            let bridge = self.bridge()?;
            // Its worker sleeps until the next thing is due, by a clock that went on steadily.
            bridge.store.slots().work().notify_one();
            // Which also shows that the bridge has noticed the leap, before there is another.
            if leap >= POLLED_EVERY {
                self.until("the next poll of Azure", async || Ok(self.polled_at()?.is_some_and(|at| at >= now)))
                    .await?;
            }
        }
        Ok(())
    }

    /// Until nothing is on its way that a leap would make late.
    async fn at_rest(&self) -> Result<(), DemoError> {
        self.until("the end of what is on its way", async || {
            let now = self.clock().now();
            let polls_now = self.polled_at()?.is_none_or(|at| now.since(at) >= NEARLY);
            let health = self.bridge()?.store.health().await?;
            Ok(!polls_now && health.leased == 0)
        })
        .await
    }

    /// When Azure was read to its end last.
    fn polled_at(&self) -> Result<Option<Timestamp>, DemoError> {
        Ok(self.bridge()?.reconciler.status().into_iter().find_map(|poll| poll.read_at))
    }

    /// Until the bridge is so.
    pub(super) async fn until(
        &self,
        what: &str,
        is_so: impl AsyncFn() -> Result<bool, DemoError>,
    ) -> Result<(), DemoError> {
        let looks = async {
            while !is_so().await? {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok(())
        };
        match tokio::time::timeout(PATIENCE, looks).await {
            Ok(ended) => ended,
            Err(_) => Err(DemoError::Unexpected(format!("{what} did not come about within {} s", PATIENCE.as_secs()))),
        }
    }
}
