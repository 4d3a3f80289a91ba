//! The pace: SIGNL4's documented limits are never exceeded, all teams of an account share them, and what SIGNL4 says of its
//! own count is followed. The simulator counts as SIGNL4 documents it, and refuses what is too much for a whole window.

use std::time::Duration;

use signl4_azure_bridge::domain::delivery::Destination;
use signl4_azure_bridge::domain::id::{ConnectionName, SubscriptionId};
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::calls::{Answered, Operation};
use signl4_azure_bridge::simulator::scene::{JANE, SUBSCRIPTION};
use signl4_azure_bridge::simulator::signl4::{AlertStatus, Limits};

use crate::town::{Plan, Town, without_pace};

fn storm(town: &Town, count: usize) -> Vec<String> {
    let alert = |number| AlertSpec::metric(&format!("rule {number}"), &format!("vm-{number}"), Metric::default());
    (0..count).map(|number| town.scene.azure.fire(alert(number)).unwrap()).collect()
}

fn limited(town: &Town, limits: Limits) {
    town.scene.signl4.knobs(|knobs| knobs.limits = limits);
}

/// What SIGNL4 answered to events: how many, and whether it ever was too much.
fn events(town: &Town) -> usize {
    let calls = town.scene.signl4.calls();
    let events: Vec<_> = calls.iter().filter(|call| call.operation == Operation::Webhook).collect();
    assert!(events.iter().all(|call| call.answered != Answered::Status(429)), "SIGNL4 was sent too much");
    events.len()
}

#[tokio::test]
async fn a_storm_goes_out_at_the_documented_pace_and_is_never_refused() {
    let town = Town::new().await;
    limited(&town, Limits::Commercial);
    let ids = storm(&town, 400);
    town.settle().await;
    assert_eq!(events(&town), 150, "in the first instant");
    town.after(Duration::from_millis(14_900)).await;
    assert_eq!(events(&town), 150, "and not before a quarter of a minute is over");
    let (_, ready) = crate::admin::get(&town, "/readyz").await;
    let pace = &ready["paces"].as_array().unwrap().iter().find(|pace| pace["account"] == "signl4:ops").unwrap().clone();
    assert_eq!((&pace["waiting"], &pace["left"]), (&true.into(), &0.into()), "{ready}");
    let (_, due) = crate::admin::get(&town, "/api/deliveries?state=due").await;
    assert_eq!(due[0]["waits"], "its account has been sent as much as it takes for now", "{}", due[0]);
    let metrics = crate::admin::metrics(&town).await;
    assert!(metrics.contains("bridge_pace_waiting{account=\"signl4:ops\"} 1\n"), "{metrics}");
    assert!(metrics.contains("bridge_pace_waits_total{account=\"signl4:ops\"} 1\n"), "{metrics}");
    town.after(Duration::from_millis(100)).await;
    assert_eq!(events(&town), 300);
    town.after(Duration::from_secs(15)).await;
    assert_eq!(events(&town), 400);
    for id in &ids {
        town.page(id);
    }
    town.close().await;
}

#[tokio::test]
async fn teams_of_one_account_share_its_pace_and_an_acknowledgement_is_not_kept_waiting() {
    let routes = "[[route]]\nname = \"rest\"\nmatch = { severity = [\"Sev4\"] }\nteam = \"rest\"\n\
                  [[route]]\nname = \"all\"\nteam = \"ops\"\n";
    let edit = |toml: String| {
        let base_url = toml.lines().find(|line| line.starts_with("base_url")).unwrap().to_owned();
        let toml = toml.replace("[signl4.ops]\n", "[signl4.ops]\npace = { per_15s = 20 }\naccount = \"acme\"\n");
        format!("{toml}[signl4.rest]\nstorm = \"off\"\nsecret = \"restsecret1\"\naccount = \"acme\"\n{base_url}\n")
    };
    let town = Town::with(Plan { routes, edit, ..Plan::default() }).await;
    limited(&town, Limits::Custom { per_15s: 20, per_minute: 600 });
    town.scene.signl4.add_team("rest", "restsecret1");
    town.scene.signl4.add_person("rest", "Rita Roe", "rita@example.com").unwrap();
    let first = storm(&town, 1).remove(0);
    town.settle().await;
    let storm = storm(&town, 60);
    let others: Vec<String> = (0..10)
        .map(|number| {
            let spec = AlertSpec::metric(&format!("quiet {number}"), "vm-x", Metric::default()).severity(4);
            town.scene.azure.fire(spec).unwrap()
        })
        .collect();
    town.settle().await;
    assert_eq!(events(&town), 20, "over both teams");
    town.clock.advance(Duration::from_secs(1));
    town.scene.azure.resolve(&first).unwrap();
    town.after(Duration::from_secs(14)).await;
    assert_eq!(events(&town), 40);
    assert_eq!(town.page(&first).status, AlertStatus::Closed, "one in ten is a state change's, also in a storm");
    for _ in 0..4 {
        town.after(Duration::from_secs(15)).await;
    }
    assert_eq!(events(&town), 72);
    for id in storm.iter().chain(&others) {
        town.page(id);
    }
    town.close().await;
}

#[tokio::test]
async fn what_signl4_says_is_left_is_followed_and_never_exceeded() {
    let town = Town::new().await;
    limited(&town, Limits::Free);
    let ids = storm(&town, 25);
    town.settle().await;
    assert_eq!(events(&town), 10, "our own limit is wider");
    for _ in 0..3 {
        town.after(Duration::from_secs(15)).await;
    }
    assert_eq!(events(&town), 25);
    for id in &ids {
        town.page(id);
    }
    town.close().await;
}

#[tokio::test]
async fn neither_a_reload_nor_a_restart_is_a_way_around_the_pace() {
    let edit = |toml: String| toml.replace("[signl4.ops]\n", "[signl4.ops]\npace = { per_15s = 8 }\n");
    let town = Town::with(Plan { edit, ..Plan::default() }).await;
    storm(&town, 20);
    town.settle().await;
    assert_eq!(events(&town), 8);
    town.bridge.reload().await.unwrap();
    town.settle().await;
    assert_eq!(events(&town), 8, "after a reload");
    let town = town.restart().await;
    town.settle().await;
    assert_eq!(events(&town), 8, "after a restart");
    town.after(Duration::from_secs(15)).await;
    assert_eq!(events(&town), 16);
    let toml = town.folder.path().join("bridge.toml");
    let wider = std::fs::read_to_string(&toml).unwrap().replace("{ per_15s = 8 }", "\"off\"");
    std::fs::write(&toml, wider).unwrap();
    town.bridge.reload().await.unwrap();
    town.settle().await;
    assert_eq!(events(&town), 20, "off is at once");
    town.close().await;
}

#[tokio::test]
async fn azures_changes_have_a_pace_of_their_own_and_share_it_with_whoever_reads() {
    let town = Town::with(Plan { edit: |toml| without_pace(&toml), ..Plan::default() }).await;
    let ids = storm(&town, 200);
    town.settle().await;
    for id in &ids {
        town.scene.signl4.acknowledge(&town.page(id).id, JANE, None).unwrap();
    }
    town.settle().await;
    let acknowledged = |town: &Town| {
        ids.iter().filter(|id| town.scene.azure.alert(id).unwrap().state == AlertState::Acknowledged).count()
    };
    assert_eq!(acknowledged(&town), 150, "200 is what Azure's bucket holds, and some of it is our margin");
    let subscription =
        Destination::subscription(&ConnectionName::parse("contoso").unwrap(), &SubscriptionId::new(SUBSCRIPTION));
    assert!(town.bridge.paces.take_read(&subscription, town.clock.now()).is_err(), "each change read first");
    town.clock.advance(Duration::from_secs(1));
    assert!(town.bridge.paces.take_read(&subscription, town.clock.now()).is_ok());
    town.settle().await;
    assert_eq!(acknowledged(&town), 160, "ten more a second");
    town.after(Duration::from_secs(4)).await;
    assert_eq!(acknowledged(&town), 200);
    town.close().await;
}
