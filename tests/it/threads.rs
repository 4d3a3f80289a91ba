//! Alerts that are one matter, through the front door and the real store: they share a page, and follow it in Azure.

use std::time::Duration;

use signl4_azure_bridge::domain::id::AlertKey;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Health, Incident, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::scene::{JANE, SUBSCRIPTION};
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
async fn what_fires_again_is_counted_until_it_was_quiet() {
    let town = Town::with(Plan { routes: COUNTING, ..Plan::default() }).await;
    let first = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    for joined in 1..=3 {
        town.after(Duration::from_mins(29)).await;
        town.scene.azure.fire(cpu()).unwrap();
        town.settle().await;
        let known = town.bridge.store.known(AlertKey::stored(format!("{SUBSCRIPTION}:{first}"))).await.unwrap();
        assert_eq!(known.alert.unwrap().joined, joined);
    }
    assert_eq!(town.scene.signl4.alerts().len(), 1, "the quiet period counts from the last of them");
    town.after(Duration::from_mins(31)).await;
    let news = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    assert_eq!(town.page(&news).title, town.page(&first).title, "after it the same is news");
    town.close().await;
}

#[tokio::test]
async fn a_service_issue_is_one_page_through_its_stages() {
    let town = Town::new().await;
    let stage = |stage: &str| {
        let incident = Incident { stage: stage.to_owned(), ..Incident::default() };
        AlertSpec::service_health("Azure service issues", incident)
    };
    let first = town.scene.azure.fire(stage("Active")).unwrap();
    town.settle().await;
    let title = town.page(&first).title;
    assert_eq!(title, "Service issue: SQL Database, West Europe – Connection failures in West Europe");
    town.after(Duration::from_hours(3)).await;
    town.scene.azure.fire(stage("Mitigated")).unwrap();
    town.settle().await;
    let notes: Vec<String> = town.page(&first).notes().iter().map(|note| (*note).to_owned()).collect();
    assert!(
        matches!(notes.as_slice(), [note] if note.starts_with("Mitigated: service issue: SQL Database")),
        "{notes:?}"
    );
    assert_eq!(town.page(&first).status, AlertStatus::Open);
    town.after(Duration::from_hours(3)).await;
    town.scene.azure.fire(stage("Resolved")).unwrap();
    town.settle().await;
    assert_eq!(town.page(&first).status, AlertStatus::Closed, "although Azure calls it Fired");
    town.after(Duration::from_hours(48)).await;
    town.scene.azure.fire(stage("RCA")).unwrap();
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), 1, "the report wakes nobody");
    town.close().await;
}

#[tokio::test]
async fn a_service_issue_that_gets_worse_is_paged_anew() {
    let town = Town::new().await;
    let stage = |stage: &str| {
        let incident =
            Incident { stage: stage.to_owned(), incident_type: "Maintenance".to_owned(), ..Incident::default() };
        AlertSpec::service_health("Azure service issues", incident)
    };
    let planned = town.scene.azure.fire(stage("Planned")).unwrap();
    town.settle().await;
    town.after(Duration::from_hours(24)).await;
    town.scene.azure.fire(stage("InProgress")).unwrap();
    town.settle().await;
    let pages = town.pages(&planned);
    let states: Vec<AlertStatus> = pages.iter().map(|page| page.status).collect();
    assert_eq!(states, [AlertStatus::Closed, AlertStatus::Open]);
    assert!(pages[0].title.starts_with("Maintenance 2026-11-24 "), "{}", pages[0].title);
    assert!(pages[1].title.starts_with("Started: planned maintenance: "), "{}", pages[1].title);
    town.close().await;
}

#[tokio::test]
async fn each_test_of_an_action_group_is_a_page_and_none_goes_back() {
    let town = Town::new().await;
    town.scene.azure.fire_test();
    town.settle().await;
    town.after(Duration::from_mins(5)).await;
    town.scene.azure.fire_test();
    town.settle().await;
    let pages = town.scene.signl4.alerts();
    assert_eq!(pages.len(), 2, "the ids of tests are the same each time");
    for page in &pages {
        assert!(page.title.starts_with("[Test] "), "{}", page.title);
        assert!(page.text.ends_with("Test notification: acknowledging it will not reach Azure."), "{}", page.text);
        town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
    }
    town.settle().await;
    let changes = town.scene.azure.read(|state| state.calls_of(Operation::ChangeState).count());
    assert_eq!(changes, 0, "no such alert exists");
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
