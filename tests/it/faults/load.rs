//! Over load: a store that stalls, and more events than may wait for it. What does not fit is answered 503 before memory grows;
//! what is answered 200 is there.

use std::time::Duration;

use bytes::Bytes;
use signl4_azure_bridge::domain::event::EventKind;
use signl4_azure_bridge::domain::id::{Side, TeamName};
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::store::{Incoming, StoreError};

use crate::town::{Plan, Town};

/// Holds the store's lock until it is dropped.
fn stall(town: &Town) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(town.folder.path().join("bridge.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[tokio::test(flavor = "multi_thread")]
async fn more_events_than_may_wait_are_turned_away_and_the_rest_is_stored() {
    let town = Town::new().await;
    let stalled = stall(&town);
    let one = |number: usize| {
        let (store, team) = (town.bridge.store.clone(), TeamName::parse("ops").unwrap());
        let incoming = Incoming {
            kind: EventKind::Ignored { team, why: "test" },
            side: Side::Signl4,
            source: "ops".to_owned(),
            body: Bytes::from(format!("event {number}")),
            headers: std::collections::BTreeMap::new(),
        };
        tokio::spawn(async move { store.intake(incoming).await })
    };
    let asked: Vec<_> = (0..5_000).map(one).collect();
    // The last to be asked has been refused, or counted.
    let standing = loop {
        let standing = town.bridge.store.standing();
        let refused = asked.iter().filter(|task| task.is_finished()).count();
        if refused + standing.waiting_events == 5_000 {
            break standing;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(standing.waiting_events, 4_096, "what is being committed counts too");
    drop(stalled);
    let (mut stored, mut refused) = (0, 0);
    for task in asked {
        match task.await.unwrap() {
            Ok(_) => stored += 1,
            Err(StoreError::Overloaded) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((stored, refused), (4_096, 904));
    assert_eq!(town.bridge.store.events(10_000).await.unwrap().len(), 4_096);
    let standing = town.bridge.store.standing();
    assert_eq!((standing.waiting_events, standing.waiting_bytes), (0, 0));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_bytes_than_may_wait_are_answered_503_and_what_is_answered_200_is_there() {
    let mut plan = Plan::default();
    // On a busy machine megabytes take their time.
    plan.options.body_time = Duration::from_mins(2);
    let town = Town::with(plan).await;
    let sample = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    let body = town.scene.azure.webhook_body(&sample).unwrap().to_string();
    // A megabyte less what is needed beside the alert.
    let padding = " ".repeat(1024 * 1024 - body.len());
    let stalled = stall(&town);
    let one = |_| {
        let id = uuid::Uuid::new_v4().to_string();
        let sent = town.http.post(town.azure_url()).body(format!("{}{padding}", body.replace(&sample, &id)));
        tokio::spawn(async move { (id, sent.send().await.unwrap()) })
    };
    let asked: Vec<_> = (0..80).map(one).collect();
    while asked.iter().filter(|task| task.is_finished()).count() < 16 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let metrics = town.http.get(format!("{}/metrics", town.admin)).send().await.unwrap().text().await.unwrap();
    let metric = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    };
    assert!(metric("bridge_request_bodies_bytes") <= 64 * 1024 * 1024);
    assert!(metric("bridge_store_waiting_bytes") <= 65 * 1024 * 1024);
    drop(stalled);
    let (mut stored, mut refused) = (Vec::new(), 0);
    for task in asked {
        let (id, answer) = task.await.unwrap();
        match answer.status().as_u16() {
            200 => stored.push(id),
            503 => {
                assert_eq!(answer.headers()["retry-after"], "5");
                refused += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(refused >= 16 && stored.len() + refused == 80, "{} {refused}", stored.len());
    town.settle().await;
    town.after(Duration::from_secs(1)).await;
    for id in &stored {
        town.page(id);
    }
    town.close().await;
}
