//! Alerts that are one matter, through the front door and the real store: they share a page, and follow it in Azure.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Health, Metric};
use signl4_azure_bridge::simulator::scene::JANE;
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use crate::town::{Plan, Town};

const COUNTING: &str = "[[route]]\nname = \"counting\"\nteam = \"ops\"\nquiet_period = \"30m\"\n";

fn cpu() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

#[tokio::test]
async fn repeats_share_a_page_over_a_restart_and_follow_it_in_azure() {
    let town = Town::with(Plan { routes: COUNTING, ..Plan::default() }).await;
    let first = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let town = town.restart().await;
    town.after(Duration::from_mins(10)).await;
    let second = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), 1, "one page for both");
    let page = town.page(&first).id;
    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.settle().await;
    for alert in [&first, &second] {
        assert_eq!(town.azure_state(alert), AlertState::Acknowledged);
        assert_eq!(town.azure_comments(alert), ["Acknowledged by Jane Doe in SIGNL4"]);
    }
    town.after(Duration::from_mins(10)).await;
    let third = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&third), AlertState::Acknowledged, "it joined an acknowledged page");
    town.scene.azure.resolve(&first).unwrap();
    town.settle().await;
    assert_eq!(town.page(&first).status, AlertStatus::Acknowledged, "the newest speaks for the matter");
    town.scene.azure.resolve(&third).unwrap();
    town.settle().await;
    assert_eq!(town.page(&first).status, AlertStatus::Closed);
    let fourth = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.page(&fourth);
    town.close().await;
}

#[tokio::test]
async fn a_resource_that_recovers_ends_its_page() {
    let town = Town::new().await;
    let health = |current: &str| {
        let health = Health { current: current.to_owned(), ..Health::default() };
        AlertSpec::resource_health("Machine health", "vm-db-1", health)
    };
    let down = town.scene.azure.fire(health("Unavailable")).unwrap();
    town.settle().await;
    assert_eq!(town.page(&down).status, AlertStatus::Open);
    town.after(Duration::from_hours(5)).await;
    let up = town.scene.azure.fire(health("Available")).unwrap();
    town.settle().await;
    assert_eq!(town.page(&down).status, AlertStatus::Closed);
    assert_eq!(town.pages(&up).len(), 0, "a recovery wakes nobody");
    town.close().await;
}

#[tokio::test]
async fn a_page_ends_when_its_time_to_live_is_over() {
    let routes = "[[route]]\nname = \"short\"\nteam = \"ops\"\ntime_to_live = \"4h\"\n";
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.after(Duration::from_hours(3)).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Open);
    town.after(Duration::from_hours(1)).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Closed);
    assert_eq!(town.azure_state(&alert), AlertState::New, "the end of a page says nothing of the alert");
    town.close().await;
}
