//! Word of a store that takes nothing reaches somebody although nothing can be stored.

use std::time::Duration;

use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::Fault;
use signl4_azure_bridge::store::Change;

use crate::town::Town;

/// What housekeeping does every few seconds.
async fn tick(town: &Town) {
    let (rules, outbound) = (town.bridge.rules.load_full(), town.bridge.outbound.load_full());
    town.bridge.alarms.store(&rules, &outbound.signl4).await;
}

fn told(town: &Town) -> Vec<String> {
    let alerts = town.scene.signl4.alerts();
    alerts.into_iter().filter(|page| page.title == "Bridge: alerts are not stored").map(|page| page.text).collect()
}

#[tokio::test]
async fn a_failing_store_is_told_past_the_store_once_an_hour_and_recorded_later() {
    let town = Town::new().await;
    let (path, away) = (town.folder.path().join("bridge.db"), town.folder.path().join("away"));
    std::fs::rename(&path, &away).unwrap();
    assert!(town.bridge.store.change(Change::Pulse).await.is_err());
    town.clock.advance(Duration::from_secs(20));
    tick(&town).await;
    assert_eq!(told(&town).len(), 0, "what is over in a moment wakes nobody");
    // The first try is in vain, and made again after a minute.
    town.scene.signl4.faults().plan(Fault::status(503).on(Operation::Webhook));
    town.clock.advance(Duration::from_secs(20));
    tick(&town).await;
    tick(&town).await;
    assert_eq!(told(&town).len(), 0);
    town.clock.advance(Duration::from_mins(1));
    tick(&town).await;
    tick(&town).await;
    assert_eq!(told(&town).len(), 1);
    assert!(told(&town)[0].contains("moved, removed or replaced") && told(&town)[0].contains("answered 503"));
    for _ in 0..59 {
        town.clock.advance(Duration::from_mins(1));
        tick(&town).await;
    }
    assert_eq!(told(&town).len(), 2, "once an hour");

    std::fs::rename(&away, &path).unwrap();
    town.bridge.store.change(Change::Pulse).await.unwrap();
    tick(&town).await;
    tick(&town).await;
    town.settle().await;
    assert_eq!(told(&town).len(), 2, "what was told is recorded and not told again");
    let alarms = town.bridge.store.events(100).await.unwrap().into_iter().filter(|event| event.kind == "alarm").count();
    assert_eq!(alarms, 2);
    // The page lives on: what people do to it is taken.
    let page = town.scene.signl4.alerts().into_iter().find(|page| page.title.starts_with("Bridge")).unwrap();
    town.scene.signl4.close(&page.id, signl4_azure_bridge::simulator::scene::JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.bridge.store.open_pages(10).await.unwrap().len(), 1, "the other one");
    town.close().await;
}
