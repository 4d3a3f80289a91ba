//! Polling, through the front door: what a webhook lost is found, what people do in the portal is known, and nobody is
//! woken who should not be.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};

use crate::town::{Plan, Town};

mod catching_up;
mod lists;
mod many;
mod portal;
mod raises;
mod signl4;

const MINUTE: Duration = Duration::from_mins(1);

fn cpu() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default()).severity(1)
}

fn disk() -> AlertSpec {
    AlertSpec::metric("Disk almost full", "vm-db-1", Metric::default()).severity(2)
}

/// Azure's lists name times in whole seconds and its webhooks exactly, and nothing happens at a whole second.
async fn town_with(plan: Plan) -> Town {
    let town = Town::with(plan).await;
    town.scene.azure.knobs(|knobs| knobs.whole_seconds = true);
    town.clock.advance(Duration::from_millis(437));
    town
}

async fn town() -> Town {
    town_with(Plan::default()).await
}

/// A bridge that nobody can call: no token, no public address.
async fn behind_a_firewall() -> Town {
    let town = town_with(Plan {
        edit: |toml| {
            let lines = toml.lines().filter(|line| !line.starts_with("token"));
            lines.collect::<Vec<_>>().join("\n") + "\npoll = \"1m\"\n"
        },
        ..Plan::default()
    })
    .await;
    town.without_webhooks();
    town.poll().await;
    town
}

/// `(kind, reason)` of all events, oldest first.
async fn events(town: &Town) -> Vec<(String, String)> {
    let mut rows = town.bridge.store.events(100_000).await.unwrap();
    rows.reverse();
    rows.into_iter().map(|row| (row.kind, row.reason)).collect()
}

async fn metrics(town: &Town) -> String {
    town.http.get(format!("{}/metrics", town.admin)).send().await.unwrap().text().await.unwrap()
}
