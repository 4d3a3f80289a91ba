//! Destinations that are out of reach, hang, or refuse: what waits behind them costs nothing, goes out soon after their
//! return, and slows no other.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Door, Fault};
use signl4_azure_bridge::simulator::scene::{CLIENT, JANE, SUBSCRIPTION, TEAM, TEAM_SECRET, TENANT};
use signl4_azure_bridge::simulator::signl4::Limits;

use crate::admin::{get, metrics};
use crate::town::{Plan, Town};

const OTHER_SUBSCRIPTION: &str = "eeeeeeee-1111-4222-8333-444444444444";

/// Sev4 goes to the team `slow`.
const TWO_TEAMS: &str = "[[route]]\nname = \"slow\"\nmatch = { severity = [\"Sev4\"] }\nteam = \"slow\"\n\
                         [[route]]\nname = \"all\"\nteam = \"ops\"\n";

fn with_slow_team(toml: String) -> String {
    let base_url = toml.lines().find(|line| line.starts_with("base_url")).unwrap().to_owned();
    toml + &format!("[signl4.slow]\nstorm = \"off\"\nsecret = \"slowsecret1\"\n{base_url}\n")
}

fn alert(number: usize) -> AlertSpec {
    AlertSpec::metric(&format!("rule {number}"), &format!("vm-{number}"), Metric::default())
}

fn fire(town: &Town, count: usize) -> Vec<String> {
    (0..count).map(|number| town.scene.azure.fire(alert(number)).unwrap()).collect()
}

fn attempts_of(rows: &[signl4_azure_bridge::store::DeliveryRow]) -> u32 {
    rows.iter().map(|row| row.attempt).sum()
}

#[tokio::test]
async fn an_outage_costs_no_attempts_and_drains_at_once_after_it() {
    let town = Town::new().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let ids = fire(&town, 100);
    town.settle().await;
    let rows = town.deliveries("due").await;
    assert_eq!((rows.len(), attempts_of(&rows)), (100, 5), "the rest was not tried");
    for _ in 0..120 {
        town.after(Duration::from_secs(15)).await;
    }
    let rows = town.deliveries("due").await;
    let attempts = attempts_of(&rows);
    assert!((30..=45).contains(&attempts), "in half an hour one a minute: {attempts}");

    let (_, ready) = get(&town, "/readyz").await;
    assert_eq!(ready["holds"][0]["open_since"], "2026-11-24T03:00:00Z", "{ready}");
    let (_, due) = get(&town, "/api/deliveries?state=due").await;
    assert!(due[0]["waits"].as_str().unwrap().starts_with("its destination is out of reach since "), "{}", due[0]);
    let text = metrics(&town).await;
    assert!(text.contains("bridge_destination_out_of_reach{destination=\"signl4:ops\"} 1\n"), "{text}");

    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(Duration::from_mins(1)).await;
    for id in &ids {
        town.page(id);
    }
    assert!(metrics(&town).await.contains("bridge_destination_out_of_reach{destination=\"signl4:ops\"} 0\n"));
    town.close().await;
}

#[tokio::test]
async fn a_page_is_never_later_than_a_minute_after_the_return() {
    for outage in [7_u64, 65, 333, 7_201] {
        let town = Town::new().await;
        town.scene.signl4.faults().set_door(Door::Unavailable).await;
        let id = fire(&town, 1).remove(0);
        town.settle().await;
        let mut left = outage;
        while left > 0 {
            town.after(Duration::from_secs(left.min(5))).await;
            left -= left.min(5);
        }
        town.scene.signl4.faults().set_door(Door::Open).await;
        for _ in 0..12 {
            town.after(Duration::from_secs(5)).await;
        }
        town.page(&id);
        town.close().await;
    }
}

#[tokio::test]
async fn an_outage_over_a_restart_goes_on_as_one() {
    let town = Town::new().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let ids = fire(&town, 8);
    town.settle().await;
    town.after(Duration::from_mins(3)).await;
    let before = attempts_of(&town.deliveries("due").await);
    let town = town.restart().await;
    town.settle().await;
    assert_eq!(attempts_of(&town.deliveries("due").await), before, "no burst of attempts by a restart");
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(Duration::from_mins(1)).await;
    for id in &ids {
        town.page(id);
    }
    town.close().await;
}

/// Begins all that can begin, as the worker's own loop does, and leaves what hangs to itself.
async fn begin_all(town: &Town) -> Vec<tokio::task::JoinHandle<()>> {
    let mut begun = Vec::new();
    for _ in 0..10 {
        for delivery in town.bridge.store.claim(128).await.unwrap().deliveries {
            let worker = town.worker.clone();
            begun.push(tokio::spawn(async move { worker.carry_out(delivery).await }));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    begun
}

#[tokio::test]
async fn a_hanging_team_slows_no_other() {
    let town = Town::with(Plan { routes: TWO_TEAMS, edit: with_slow_team, ..Plan::default() }).await;
    town.scene.signl4.add_team("slow", "slowsecret1");
    town.scene.signl4.faults().plan(Fault::new(Action::Hang).on_path("slowsecret1").always());
    for number in 0..60 {
        town.scene.azure.fire(alert(number).severity(4)).unwrap();
    }
    let quick = fire(&town, 20);
    town.scene.azure.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    let begun = begin_all(&town).await;
    for id in &quick {
        town.page(id);
    }
    let hanging = begun.iter().filter(|attempt| !attempt.is_finished()).count();
    assert!((1..=5).contains(&hanging), "{hanging} of the other team are still under way");
    for attempt in begun {
        attempt.await.unwrap();
    }
    assert_eq!(attempts_of(&town.deliveries("due").await), 5, "and open its breaker when they end");
    town.scene.signl4.faults().clear();
    town.after(Duration::from_mins(1)).await;
    town.close().await;
}

#[tokio::test]
async fn a_hanging_subscription_slows_neither_another_nor_the_pages() {
    let edit = |toml: String| {
        toml.replace(&format!("[\"{SUBSCRIPTION}\"]"), &format!("[\"{SUBSCRIPTION}\", \"{OTHER_SUBSCRIPTION}\"]"))
    };
    let town = Town::with(Plan { edit, ..Plan::default() }).await;
    town.scene.azure.add_subscription(TENANT, OTHER_SUBSCRIPTION);
    let role = Some(signl4_azure_bridge::simulator::azure::Role::Bridge);
    town.scene.azure.assign_role(CLIENT, OTHER_SUBSCRIPTION, role);
    let slow: Vec<String> =
        (0..10).map(|number| town.scene.azure.fire(alert(number).subscription(OTHER_SUBSCRIPTION)).unwrap()).collect();
    let quick = fire(&town, 3);
    town.settle().await;
    for page in town.scene.signl4.alerts() {
        town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
    }
    town.scene.signl4.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    town.scene.azure.faults().plan(Fault::new(Action::Hang).on_path(OTHER_SUBSCRIPTION).always());
    let late = fire(&town, 1).remove(0);
    town.scene.azure.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    let begun = begin_all(&town).await;
    town.page(&late);
    for id in &quick {
        assert_eq!(town.azure_state(id), AlertState::Acknowledged);
    }
    assert!(begun.iter().any(|attempt| !attempt.is_finished()), "the other subscription still hangs");
    for attempt in begun {
        attempt.await.unwrap();
    }
    town.scene.azure.faults().clear();
    town.after(Duration::from_mins(1)).await;
    for id in &slow {
        assert_eq!(town.azure_state(id), AlertState::Acknowledged);
    }
    town.close().await;
}

#[tokio::test]
async fn a_wrong_secret_costs_fewer_requests_than_signl4_allows_errors() {
    let town = Town::new().await;
    town.scene.signl4.knobs(|knobs| knobs.limits = Limits::Commercial);
    town.scene.signl4.rotate_secret(TEAM, "rotated");
    let ids = fire(&town, 60);
    let asked =
        |town: &Town| town.scene.signl4.calls().iter().filter(|call| call.operation == Operation::Webhook).count();
    for handle in begin_all(&town).await {
        handle.await.unwrap();
    }
    assert_eq!(asked(&town), 5, "of sixty");
    for _ in 0..6 {
        town.after(Duration::from_secs(10)).await;
    }
    assert_eq!(asked(&town), 6);
    town.scene.signl4.rotate_secret(TEAM, TEAM_SECRET);
    town.after(Duration::from_mins(1)).await;
    for id in &ids {
        town.page(id);
    }
    town.close().await;
}
