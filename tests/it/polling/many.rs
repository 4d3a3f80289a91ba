//! Ten connections with fifty subscriptions and 100,000 open alerts: within Azure's limits, and page by page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use signl4_azure_bridge::domain::timestamp::Timestamp;
use signl4_azure_bridge::simulator::azure::Role;
use signl4_azure_bridge::simulator::calls::{Answered, Call, Operation};
use signl4_azure_bridge::simulator::scene::{CLIENT, CLIENT_SECRET, TENANT};

use super::cpu;
use crate::town::Plan;

const CONNECTIONS: usize = 10;
const EACH: usize = 5;
/// More than a bucket of Azure's holds.
const WAKING: usize = 400;

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
    let town = super::town_with(Plan {
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
                     token = \"simulated-azure-webhook-token-{connection}\"\npoll_raises = \"{}\"\n",
                    list.join(", "),
                    if connection == CONNECTIONS - 1 { "all" } else { "auto" }
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
    let single = |calls: &[Call]| calls.iter().filter(|call| call.operation == Operation::GetAlert).count();
    assert_eq!(single(&town.scene.azure.calls()), 0, "what is only recorded needs no context");

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

    // Whoever is paged is told more than a list says, and each of these is a question of its own.
    town.scene.azure.take_calls();
    let waking = subscription(CONNECTIONS - 1, 0);
    for _ in 0..WAKING {
        town.scene.azure.fire(cpu().subscription(&waking)).unwrap();
    }
    let mut calls = Vec::new();
    for _ in 0..120 {
        town.clock.advance(Duration::from_secs(1));
        town.bridge.reconciler.step().await;
        calls.extend(town.scene.azure.take_calls());
        if single(&calls) >= WAKING {
            break;
        }
    }
    within_limits(&calls);
    assert_eq!(single(&calls), WAKING);
    // They would page a whole night.
    for row in town.bridge.store.deliveries(Some("due"), 1_000).await.unwrap() {
        town.bridge.store.change(signl4_azure_bridge::store::Change::Drop(row.id)).await.unwrap();
    }
    town.settle().await;
    town.close().await;
}

/// For each subscription 100 lists a minute, and a bucket of 250 reads that 25 flow into in a second.
fn within_limits(calls: &[Call]) {
    let mut asked: BTreeMap<String, Vec<(Timestamp, Operation)>> = BTreeMap::new();
    for call in calls.iter().filter(|call| matches!(call.operation, Operation::ListAlerts | Operation::GetAlert)) {
        assert_eq!(call.answered, Answered::Status(200), "{}", call.path);
        let subscription = call.path.split('/').nth(2).unwrap().to_owned();
        asked.entry(subscription).or_default().push((call.at, call.operation));
    }
    for (subscription, reads) in asked {
        for (index, (first, _)) in reads.iter().enumerate() {
            let lists = reads.iter().skip(index).filter(|(_, operation)| *operation == Operation::ListAlerts);
            let lists = lists.filter(|(at, _)| *at < first.plus(Duration::from_mins(1))).count();
            assert!(lists <= 100, "{subscription}");
            for (further, (at, _)) in reads.iter().enumerate().skip(index) {
                let seconds = usize::try_from(at.since(*first).as_secs()).unwrap();
                assert!(further - index < 250 + 25 * seconds, "{subscription}");
            }
        }
    }
}
