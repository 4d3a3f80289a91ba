//! Retention removes what is finished and nothing else, however old it is.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::Fault;

use crate::town::{Plan, Town};

const ROUTES: &str = "[[route]]\nname = \"patient\"\nteam = \"ops\"\nmatch = { rule = [\"patient\"] }\ngrace = \"90d\"\n\n\
                      [[route]]\nname = \"all\"\nteam = \"ops\"\n";

async fn retain_all(town: &Town) {
    while town.bridge.store.retain(Duration::from_hours(24)).await.unwrap() > 0 {}
}

#[tokio::test]
async fn only_what_is_finished_goes() {
    let town = Town::with(Plan { routes: ROUTES, ..Plan::default() }).await;
    let fire = |rule: &str| town.scene.azure.fire(AlertSpec::metric(rule, "vm-web-1", Metric::default())).unwrap();
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    let dead = fire("dead");
    town.settle().await;
    let (open, held, finished) = (fire("open"), fire("patient"), fire("finished"));
    town.settle().await;
    town.clock.advance(Duration::from_mins(1));
    town.scene.azure.resolve(&finished).unwrap();
    town.settle().await;
    town.clock.advance(Duration::from_hours(60 * 24));
    retain_all(&town).await;

    let events = town.bridge.store.events(100).await.unwrap();
    let kept = |id: &str| events.iter().any(|event| event.alert.as_ref().is_some_and(|alert| alert.contains(id)));
    assert!(kept(&dead) && kept(&open) && kept(&held) && !kept(&finished));
    assert_eq!(town.deliveries("dead").await.len(), 1, "it waits for a person");
    // What is left works on: the open page is resolved, the held one raised, the dead one replayed.
    town.scene.azure.resolve(&open).unwrap();
    town.settle().await;
    assert_eq!(town.page(&open).status, signl4_azure_bridge::simulator::signl4::AlertStatus::Closed);
    town.after(Duration::from_hours(31 * 24)).await;
    town.page(&held);
    let id = town.deliveries("dead").await[0].id;
    town.bridge.store.change(signl4_azure_bridge::store::Change::Replay { id, force: false }).await.unwrap();
    town.settle().await;
    town.page(&dead);
    town.close().await;
}
