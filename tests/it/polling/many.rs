//! Ten connections with fifty subscriptions and 100,000 open alerts: within Azure's limits, and page by page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use signl4_azure_bridge::domain::timestamp::Timestamp;
use signl4_azure_bridge::simulator::azure::Role;
use signl4_azure_bridge::simulator::calls::{Call, Operation};
use signl4_azure_bridge::simulator::scene::{CLIENT, CLIENT_SECRET, TENANT};

use super::cpu;
use crate::town::{Plan, Town};

const CONNECTIONS: usize = 10;
const EACH: usize = 5;

fn subscription(connection: usize, number: usize) -> String {
    format!("00000000-0000-4000-8000-{connection:06}{number:06}")
}

/// By default a part of it, which takes seconds; `BRIDGE_MANY=100000` is all of it, and prints how long it took.
fn alerts() -> usize {
    std::env::var("BRIDGE_MANY").ok().and_then(|many| many.parse().ok()).unwrap_or(2_000)
}

fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "whoever runs it for its numbers wants to see them")]
async fn many_subscriptions_and_alerts_stay_within_the_limits() {
    let town = Town::with(Plan {
        edit: |toml| {
            let arm = toml.lines().find(|line| line.starts_with("cloud")).unwrap().to_owned();
            let mut all = toml.clone();
            for connection in 0..CONNECTIONS {
                let list: Vec<String> =
                    (0..EACH).map(|number| format!("\"{}\"", subscription(connection, number))).collect();
                write!(
                    all,
                    "\n[azure.c{connection}]\ntenant_id = \"{TENANT}\"\nclient_id = \"{CLIENT}\"\n\
                     credential = {{ client_secret = \"{CLIENT_SECRET}\" }}\nsubscriptions = [{}]\n{arm}\n\
                     token = \"simulated-azure-webhook-token-{connection}\"\n",
                    list.join(", ")
                )
                .unwrap();
            }
            all
        },
        ..Plan::default()
    })
    .await;
    town.scene.azure.remove_webhooks();
    for connection in 0..CONNECTIONS {
        for number in 0..EACH {
            let id = subscription(connection, number);
            town.scene.azure.add_subscription(TENANT, &id);
            town.scene.azure.assign_role(CLIENT, &id, Some(Role::Reader));
        }
    }
    for number in 0..alerts() {
        let id = subscription(number % CONNECTIONS, number / CONNECTIONS % EACH);
        town.scene.azure.fire(cpu().subscription(&id)).unwrap();
    }
    town.clock.advance(Duration::from_hours(2));
    let (begun, before) = (Instant::now(), resident_kib());
    // The first cycle fills the ledger, in as many steps as the limits ask for.
    for _ in 0..600 {
        town.clock.advance(Duration::from_secs(1));
        town.bridge.reconciler.step().await;
        let all = town.bridge.reconciler.status();
        if all.len() > CONNECTIONS * EACH
            && all.iter().all(|poll| poll.read_at.is_some() || poll.failing_since.is_some())
        {
            break;
        }
    }
    let (took, grown) = (begun.elapsed(), resident_kib().saturating_sub(before));
    println!(
        "{} alerts: the first cycle took {took:?}, memory grew by {grown} KiB, the simulator's log included",
        alerts()
    );
    let rows = town.bridge.store.events(200_000).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.reason == "recorded_by_poll").count(), alerts());
    within_limits(&town.scene.azure.calls());

    // A cycle that finds all as it was: a list for each subscription, and no row.
    town.scene.azure.take_calls();
    let begun = Instant::now();
    for _ in 0..60 {
        town.clock.advance(Duration::from_secs(1));
        town.bridge.reconciler.step().await;
    }
    println!("the next cycle took {:?}", begun.elapsed());
    let calls = town.scene.azure.calls();
    within_limits(&calls);
    let lists = calls.iter().filter(|call| call.operation == Operation::ListAlerts).count();
    assert!((50..=52).contains(&lists), "{lists} lists");
    assert_eq!(town.bridge.store.events(200_000).await.unwrap().len(), rows.len());
    assert_eq!(town.scene.signl4.alerts().len(), 0, "nobody is woken");
    town.close().await;
}

/// 100 lists a minute and 25 reads a second, for each subscription.
fn within_limits(calls: &[Call]) {
    let mut asked: BTreeMap<String, Vec<Timestamp>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.operation == Operation::ListAlerts) {
        let subscription = call.path.split('/').nth(2).unwrap().to_owned();
        asked.entry(subscription).or_default().push(call.at);
    }
    for (subscription, times) in asked {
        for first in &times {
            let within = |span: Duration| times.iter().filter(|at| *at >= first && **at < first.plus(span)).count();
            assert!(within(Duration::from_mins(1)) <= 100, "{subscription}");
            assert!(within(Duration::from_secs(1)) <= 25, "{subscription}");
        }
    }
}
