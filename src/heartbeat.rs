//! The heartbeat: a URL of some monitor is fetched each minute, and only while the whole chain is well (`domain::vitals`).
//! Who watches the bridge hears of its death, of its machine's, and of everything that the bridge itself can no longer page.
//!
//! The URL is a secret as a whole and never shown. Redirects are not followed. What the answer says is of no account.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::Bridge;
use crate::domain::timestamp::Timestamp;
use crate::domain::vitals::{Ailment, Vitals, examine};
use crate::egress::Http;
use crate::secret::Secret;
use crate::store::Change;

const EVERY: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// An answer that takes longer is none.
const LIMIT: Duration = Duration::from_secs(10);
const STORE_PATIENCE: Duration = Duration::from_secs(5);

/// When it beat last, and how that went.
#[derive(Debug, Default)]
pub struct Heartbeat {
    /// Held while it beats: nobody beats twice in a minute.
    last: tokio::sync::Mutex<Option<Timestamp>>,
    standing: Mutex<Standing>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Standing {
    #[default]
    NotYet,
    Beats,
    Silent(String),
    NotTaken(String),
}

/// Beats until told to stop.
pub(crate) async fn keep(bridge: Arc<Bridge>, idle: CancellationToken) {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = idle.cancelled() => return,
            _ = look.tick() => {}
        }
        tokio::select! {
            () = idle.cancelled() => return,
            () = bridge.beat() => {}
        }
    }
}

impl Bridge {
    /// Looks whether all is well, once a minute, and fetches the URL if it is.
    pub async fn beat(&self) {
        let Some(url) = self.config.load().alarm.heartbeat.clone() else { return };
        let mut last = self.heartbeat.last.lock().await;
        let now = self.clock.now();
        // A clock that was set back does not silence it for as long.
        if last.is_some_and(|last| last <= now && now.since(last) < EVERY) {
            return;
        }
        *last = Some(now);
        let standing = match examine(&self.vitals().await, now) {
            Ok(()) => fetch(&self.http, &url).await,
            Err(ailments) => Standing::Silent(told(&ailments)),
        };
        self.heartbeat.tell(standing);
    }

    /// How the chain stands. A pulse is written and committed for it.
    pub(crate) async fn vitals(&self) -> Vitals {
        let pulse = tokio::time::timeout(STORE_PATIENCE, self.store.change(Change::Pulse)).await;
        let mut store = match pulse {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the store did not answer in time".to_owned()),
        };
        // It knows best itself what keeps it from storing.
        store = store.map(|problem| self.store.trouble().map_or(problem, |trouble| trouble.text));
        let health = self.store.health().await;
        if let Err(error) = &health {
            store = store.or_else(|| Some(error.to_string()));
        }
        let health = health.unwrap_or_default();
        let polls_fail_since = self.reconciler.status().iter().filter_map(|poll| poll.failing_since).min();
        Vitals { store, holds: health.holds, oldest_due: health.oldest_due, polls_fail_since }
    }
}

async fn fetch(http: &Http, url: &Secret) -> Standing {
    match tokio::time::timeout(LIMIT, http.fetch("heartbeat", url)).await {
        Ok(Ok(answer)) if answer.is_success() => Standing::Beats,
        Ok(Ok(answer)) => Standing::NotTaken(format!("its URL answers {}", answer.status)),
        Ok(Err(error)) => Standing::NotTaken(error.to_string()),
        Err(_) => Standing::NotTaken(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

fn told(ailments: &[Ailment]) -> String {
    ailments.iter().map(Ailment::to_string).collect::<Vec<_>>().join("; ")
}

impl Heartbeat {
    /// In words, for `/readyz`.
    pub fn standing(&self, is_configured: bool) -> String {
        if !is_configured {
            return "off".to_owned();
        }
        match &*self.standing.lock().unwrap_or_else(PoisonError::into_inner) {
            Standing::NotYet => "not yet".to_owned(),
            Standing::Beats => "beats".to_owned(),
            Standing::Silent(why) => format!("silent because {why}"),
            Standing::NotTaken(why) => format!("not taken: {why}"),
        }
    }

    /// One line when it changes.
    fn tell(&self, fresh: Standing) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        if *standing == fresh {
            return;
        }
        match &fresh {
            Standing::Beats => tracing::info!("the heartbeat beats: the whole chain is well"),
            Standing::Silent(why) => tracing::warn!(why, "the heartbeat is silent, so that its monitor speaks"),
            Standing::NotTaken(why) => tracing::warn!(why, "the heartbeat was sent and not taken"),
            Standing::NotYet => {}
        }
        *standing = fresh;
    }
}
