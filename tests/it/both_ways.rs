//! The bridge in both directions, through the front door: what Azure fires pages, what people do reaches Azure, what
//! Azure resolves ends on the phone.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::outbox::Order;
use signl4_azure_bridge::simulator::scene::{JANE, JOHN, SUBSCRIPTION};
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use crate::town::{Plan, Town};

fn cpu() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default()).severity(1)
}

#[tokio::test]
async fn an_alert_pages_with_a_title_a_person_can_act_on() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert);
    assert_eq!(page.external_id.as_deref(), Some(format!("azmon:{SUBSCRIPTION}:{alert}").as_str()));
    assert!(page.title.starts_with("Sev1 "), "{}", page.title);
    assert!(page.title.contains("vm-web-1"), "{}", page.title);
    assert!(page.title.chars().count() <= 80, "{}", page.title);
    assert!(!page.text.is_empty());
    town.close().await;
}

#[tokio::test]
async fn a_day_on_the_phone_is_in_azure_with_the_names() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert).id;

    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&alert), AlertState::Acknowledged);
    assert_eq!(town.azure_comments(&alert), ["Acknowledged by Jane Doe in SIGNL4"]);

    town.scene.signl4.annotate(&page, JOHN, "restarting the worker").unwrap();
    town.settle().await;
    assert_eq!(town.azure_comments(&alert).last().unwrap(), "John Doe in SIGNL4: restarting the worker");
    assert_eq!(town.azure_state(&alert), AlertState::Acknowledged, "a comment changes no state");

    town.scene.signl4.close(&page, JOHN, Some("fixed")).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&alert), AlertState::Closed);
    assert_eq!(town.azure_comments(&alert).last().unwrap(), "Closed by John Doe in SIGNL4: fixed");
    town.close().await;
}

#[tokio::test]
async fn an_acknowledgement_taken_back_makes_the_alert_new_again() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert).id;
    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.after(Duration::from_secs(5)).await;
    town.scene.signl4.unacknowledge(&page, JANE).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&alert), AlertState::New);
    town.close().await;
}

#[tokio::test]
async fn what_azure_resolves_ends_on_the_phone_and_its_echo_causes_no_call() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.clock.advance(Duration::from_mins(3));
    town.scene.azure.resolve(&alert).unwrap();
    town.settle().await;
    assert_eq!(town.page(&alert).status, AlertStatus::Closed);
    assert_eq!(town.azure_state(&alert), AlertState::New, "resolving changes no user response");
    let azure_calls = town.scene.azure.calls().into_iter().filter(|call| call.path.contains("changestate")).count();
    assert_eq!(azure_calls, 0, "our own resolve, coming back from SIGNL4, changes nothing in Azure");
    town.close().await;
}

#[tokio::test]
async fn the_same_alert_told_twice_is_one_page() {
    let town = Town::new().await;
    town.scene.azure.webhooks().duplicate_next(1);
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.scene.azure.repeat(&alert).unwrap();
    town.settle().await;
    town.page(&alert);
    town.close().await;
}

#[tokio::test]
async fn a_resolved_that_overtakes_its_fired_wakes_nobody() {
    let town = Town::new().await;
    town.scene.azure.webhooks().hold();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.clock.advance(Duration::from_mins(1));
    town.scene.azure.resolve(&alert).unwrap();
    town.scene.azure.webhooks().release(Order::Reversed).await;
    town.settle().await;
    assert_eq!(town.pages(&alert).len(), 0);
    town.close().await;
}

#[tokio::test]
async fn people_who_act_out_of_order_leave_the_last_word_standing() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert).id;
    town.scene.signl4.webhooks().hold();
    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.clock.advance(Duration::from_secs(30));
    town.scene.signl4.close(&page, JOHN, None).unwrap();
    town.scene.signl4.webhooks().release(Order::Reversed).await;
    town.settle().await;
    assert_eq!(town.azure_state(&alert), AlertState::Closed);
    town.close().await;
}

#[tokio::test]
async fn a_flapping_alert_held_by_grace_wakes_nobody_and_a_lasting_one_does() {
    let routes = "[[route]]\nname = \"patient\"\nteam = \"ops\"\ngrace = \"2m\"\n";
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    let flapping = town.scene.azure.fire(cpu()).unwrap();
    let lasting = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.after(Duration::from_mins(1)).await;
    town.scene.azure.resolve(&flapping).unwrap();
    town.settle().await;
    assert_eq!(town.pages(&lasting).len(), 0, "still held");
    town.after(Duration::from_secs(61)).await;
    assert_eq!(town.pages(&flapping).len(), 0);
    town.page(&lasting);
    town.close().await;
}

#[tokio::test]
async fn nobody_on_duty_pages_the_fallback_team() {
    let routes = "[[route]]\nname = \"all\"\nteam = \"dba\"\n";
    let town = Town::new().await;
    town.scene.signl4.add_team("dba", "dbasecret1");
    let toml = std::fs::read_to_string(town.folder.path().join("bridge.toml")).unwrap();
    let team = format!(
        "{toml}\n[signl4.dba]\nsecret = \"dbasecret1\"\ntoken = \"simulated-dba-token-0001\"\nbase_url = \"{}\"\n",
        town.scene.signl4.url()
    );
    std::fs::write(town.folder.path().join("bridge.toml"), team).unwrap();
    std::fs::write(town.folder.path().join("routes/10-test.toml"), routes).unwrap();
    town.bridge.reload().await.unwrap();
    let hook = format!("{}/signl4/dba/simulated-dba-token-0001", town.url);
    town.scene.signl4.add_hook(&hook, Some("dba")).unwrap();

    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let pages = town.pages(&alert);
    assert_eq!(pages.len(), 2, "the team without anybody on duty, and the fallback team");
    assert!(town.azure_comments(&alert).iter().any(|text| text.contains("Nobody is on duty")), "told in Azure");
    town.close().await;
}
