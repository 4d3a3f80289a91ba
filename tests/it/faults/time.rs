//! Clocks that jump, and services that are away for a day.

use std::sync::atomic::Ordering;
use std::time::Duration;

use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Door, Fault};
use signl4_azure_bridge::simulator::scene::{JANE, Scene};
use signl4_azure_bridge::simulator::signl4::AlertStatus;
use signl4_azure_bridge::store::Place;

use crate::town::{Plan, Town, start_of_time, write_configuration};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn alert() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

fn jump(clock: &Clock, by: i64) {
    let Clock::Manual(millis) = clock else { panic!("a clock that is moved by hand") };
    millis.fetch_add(by, Ordering::SeqCst);
}

/// A town whose bridge has a clock of its own: the services' clocks do not jump with it.
async fn with_own_clock(routes: &'static str) -> Town {
    let free = "127.0.0.1:0".parse().unwrap();
    signl4_azure_bridge::egress::install_provider();
    let scene = Scene::start(free, free, Clock::manual(start_of_time())).await.unwrap();
    scene.azure.webhooks().set_time_scale(1_000);
    scene.signl4.webhooks().set_time_scale(1_000);
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { routes, ..Plan::default() };
    write_configuration(&scene, folder.path(), &plan, None);
    Town::on(scene, Clock::manual(start_of_time()), folder, plan.options).await
}

const ROUTES: &str = "[[route]]\nname = \"patient\"\nteam = \"ops\"\nmatch = { rule = [\"patient\"] }\ngrace = \"2m\"\n\n\
                      [[route]]\nname = \"all\"\nteam = \"ops\"\n";

#[tokio::test]
async fn a_clock_that_jumps_loses_doubles_and_delays_nothing() {
    for by in [DAY, -DAY, -3_600_000] {
        let town = with_own_clock(ROUTES).await;
        let fire = |rule: &str| town.scene.azure.fire(AlertSpec::metric(rule, "vm-web-1", Metric::default())).unwrap();
        // Before the jump: a page that stands, one whose first attempt failed, one that is held, one leased by a dead process.
        let open = fire("open");
        town.settle().await;
        town.scene.signl4.faults().plan(Fault::status(503).on(Operation::Webhook));
        let failed = fire("failed");
        town.settle().await;
        let held = fire("patient");
        town.settle().await;
        let leased = fire("leased");
        town.scene.azure.webhooks().settled(Duration::from_secs(20)).await.unwrap();
        let claimed = town.bridge.store.claim(1).await.unwrap().deliveries;
        assert_eq!(claimed.len(), 1);
        town.bridge.store.slots().give_back(&Place::of(&claimed[0]), town.clock.now());

        jump(&town.clock, by);
        town.scene.signl4.acknowledge(&town.page(&open).id, JANE, None).unwrap();
        let later = fire("later");
        town.settle().await;
        for _ in 0..5 {
            town.after(Duration::from_mins(1)).await;
        }
        // Five minutes after the jump everything is where it belongs.
        assert_eq!(town.azure_state(&open), AlertState::Acknowledged, "{by}");
        for id in [&open, &failed, &held, &leased, &later] {
            assert_eq!(town.pages(id).len(), 1, "{by}: {id}");
        }
        for id in [&open, &failed, &held, &leased, &later] {
            town.scene.azure.resolve(id).unwrap();
        }
        town.settle().await;
        town.after(Duration::from_mins(1)).await;
        for id in [&open, &failed, &held, &leased, &later] {
            assert_eq!(town.page(id).status, AlertStatus::Closed, "{by}: {id}");
        }
        assert_eq!(town.deliveries("dead").await.len(), 0, "{by}");
        assert_eq!(town.bridge.store.audit(town.clock.now()).await.unwrap(), [], "{by}");
        town.close().await;
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_while_the_bridge_was_away_delays_nothing() {
    let town = with_own_clock(ROUTES).await;
    let held = town.scene.azure.fire(AlertSpec::metric("patient", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    jump(&town.clock, -DAY);
    let town = town.restart().await;
    town.after(Duration::from_mins(3)).await;
    town.page(&held);
    town.close().await;
}

#[tokio::test]
async fn what_happens_while_both_services_are_away_for_a_day_is_made_good_afterwards() {
    let town = Town::new().await;
    let acknowledged = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    town.scene.azure.faults().set_door(Door::Refused).await;
    // SIGNL4's own events still come, and Azure's webhooks.
    town.scene.signl4.acknowledge(&town.page(&acknowledged).id, JANE, None).unwrap();
    let (mut lasting, mut passing) = (Vec::new(), Vec::new());
    for hour in 0..23 {
        lasting.push(town.scene.azure.fire(alert()).unwrap());
        passing.push(town.scene.azure.fire(alert()).unwrap());
        if hour > 0 {
            town.scene.azure.resolve(&passing[hour - 1]).unwrap();
        }
        town.after(Duration::from_mins(20)).await;
        town.after(Duration::from_mins(20)).await;
        town.after(Duration::from_mins(20)).await;
    }
    town.scene.azure.resolve(&passing[22]).unwrap();
    town.settle().await;
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.scene.azure.faults().set_door(Door::Open).await;
    for _ in 0..8 {
        town.after(Duration::from_mins(4)).await;
    }
    assert_eq!(town.azure_state(&acknowledged), AlertState::Acknowledged);
    for id in &lasting {
        town.page(id);
    }
    for id in &passing {
        assert_eq!(town.pages(id).len(), 0, "resolved before anybody could be paged");
    }
    assert_eq!(town.deliveries("dead").await.len(), 0);
    assert_eq!(town.bridge.store.audit(town.clock.now()).await.unwrap(), []);
    town.close().await;
}
