//! Somebody is told: what an operator must mend becomes a page to the alarm team, once an hour for the same trouble.
//!
//! An alarm goes through the store like everything else, so it survives a crash and is retried. One that could only go
//! to the very team that is out of reach is not made; the log has it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::config::Config;
use crate::domain::delivery::Destination;
use crate::domain::event::EventKind;
use crate::domain::id::Side;
use crate::intake;
use crate::store::{Incoming, Store};
use crate::telemetry::Telemetry;

/// Where alarms go in.
#[derive(Clone, Debug)]
pub struct Alarms {
    pub store: Store,
    pub telemetry: Arc<Telemetry>,
    pub config: Arc<ArcSwap<Config>>,
}

impl Alarms {
    /// A delivery was given up.
    pub async fn dead(&self, kind: &str, note: &str) {
        let text = format!(
            "A {kind} is given up: {note}.\n`signl4-azure-bridge deliveries list` shows all that are; replay or drop each."
        );
        self.raise("dead delivery", "Bridge: a delivery is given up", &text).await;
    }

    /// A destination refuses our credential: its deliveries wait.
    pub async fn denied(&self, destination: &Destination, note: &str) {
        if *destination == Destination::team(&self.config.load().alarm.team) {
            return;
        }
        let text = format!("{note}.\nIts deliveries wait and one is tried each minute; nothing is lost.");
        self.raise(&format!("denied {destination}"), &format!("Bridge: {destination} refuses its credential"), &text)
            .await;
    }

    /// A body was refused for its size: the one loss there is.
    pub async fn too_large(&self, source: &str) {
        let text = format!("A webhook body over 1 MiB came through {source} and is lost. Its sender must send less.");
        self.raise(&format!("too large {source}"), "Bridge: a webhook was too large and is lost", &text).await;
    }

    async fn raise(&self, about: &str, title: &str, text: &str) {
        let team = self.config.load().alarm.team.clone();
        let kind = EventKind::Alarm { team, about: about.to_owned(), title: title.to_owned(), text: text.to_owned() };
        let incoming = Incoming {
            kind,
            side: Side::Signl4,
            source: "bridge".to_owned(),
            body: Bytes::new(),
            headers: std::collections::BTreeMap::new(),
        };
        if intake::take(&self.store, &self.telemetry, incoming).await.is_err() {
            tracing::error!(about, "an alarm could not be stored");
        }
    }
}
