//! Pages that wait: maintenance windows, pages that went out late, pages that come again.

use std::time::Duration;

use signl4_azure_bridge::app::Options;
use signl4_azure_bridge::egress::Limits;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Door, Fault};
use signl4_azure_bridge::simulator::scene::{JANE, SUBSCRIPTION};
use signl4_azure_bridge::simulator::signl4::AlertStatus;
use signl4_azure_bridge::store::{Change, Changed};

use crate::storms::{STORM, digest, digests};
use crate::town::{Plan, Town};

/// The town's clock begins at three in the morning of Tuesday, 2026-11-24.
const PATCHING: &str = r#"
[[route]]
name = "all"
team = "ops"

[[maintenance]]
name      = "tuesday patching"
match     = { resource = ["vm-*"] }
days      = ["Mon"]
from      = "23:00"
to        = "05:00"
time_zone = "Europe/Berlin"
"#;
const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

fn alert(resource: &str) -> AlertSpec {
    AlertSpec::metric(&format!("{resource} is hot"), resource, Metric::default())
}

async fn fire(town: &Town, resource: &str) -> String {
    let id = town.scene.azure.fire(alert(resource)).unwrap();
    town.settle().await;
    id
}

#[tokio::test]
async fn a_window_holds_pages_and_ends_with_one_digest_of_what_still_fires() {
    let town = Town::with(Plan { routes: PATCHING, storm: STORM, ..Plan::default() }).await;
    let (a, b, passing, handled) =
        (fire(&town, "vm-a").await, fire(&town, "vm-b").await, fire(&town, "vm-c").await, fire(&town, "vm-d").await);
    let other = fire(&town, "db-1").await;
    town.page(&other);
    let open = town.bridge.store.open_pages(10).await.unwrap();
    let held: Vec<&str> = open.iter().filter(|page| page.phase == "held").map(|page| page.title.as_str()).collect();
    assert_eq!(held.len(), 4, "{open:?}");
    town.scene.azure.resolve(&passing).unwrap();
    town.settle().await;
    let town = town.restart().await;
    // Four in the morning in UTC is five in Berlin.
    town.after(MINUTE * 59).await;
    assert_eq!(town.scene.signl4.alerts().len(), 1);
    town.scene.azure.resolve(&handled).unwrap();
    town.after(MINUTE).await;
    town.after(Duration::from_secs(5)).await;
    let page = digest(&town);
    assert_eq!(page.title, "2 alerts, 2 rules still fire after tuesday patching, worst Sev1");
    assert!(page.text.contains("vm-a") && page.text.contains("vm-b"), "{}", page.text);
    for id in [&a, &b, &passing, &handled] {
        assert_eq!(town.pages(id).len(), 0, "{id} has no page of its own");
    }
    town.scene.azure.resolve(&a).unwrap();
    town.scene.azure.resolve(&b).unwrap();
    town.settle().await;
    assert_eq!(digest(&town).status, AlertStatus::Closed);
    town.close().await;
}

#[tokio::test]
async fn a_window_holds_what_its_scope_takes_and_nothing_else() {
    let scope =
        r#"match     = { scope = "/subscriptions/SUB/resourceGroups/rg-patched" }"#.replace("SUB", SUBSCRIPTION);
    let routes = PATCHING.replace(r#"match     = { resource = ["vm-*"] }"#, &scope);
    let town = Town::with(Plan { routes: routes.leak(), ..Plan::default() }).await;
    let in_group = |group: &str| AlertSpec { resource_group: group.to_owned(), ..alert("vm-a") };
    let held = town.scene.azure.fire(in_group("RG-Patched")).unwrap();
    let other = town.scene.azure.fire(in_group("rg-patched-too")).unwrap();
    town.settle().await;
    assert_eq!(town.pages(&held).len(), 0);
    town.page(&other);
    town.after(HOUR).await;
    town.page(&held);
    town.close().await;
}

#[tokio::test]
async fn what_is_out_before_a_window_begins_is_resolved_and_acknowledged_within_it() {
    let routes = PATCHING.replace("23:00", "04:30").replace("[\"Mon\"]", "[\"Tue\"]");
    let town = Town::with(Plan { routes: routes.leak(), ..Plan::default() }).await;
    let (a, b) = (fire(&town, "vm-a").await, fire(&town, "vm-b").await);
    town.after(MINUTE * 40).await;
    let held = fire(&town, "vm-c").await;
    assert_eq!(town.pages(&held).len(), 0, "the window is open");
    town.scene.signl4.acknowledge(&town.page(&a).id, JANE, None).unwrap();
    town.scene.azure.resolve(&b).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&a), AlertState::Acknowledged);
    assert_eq!(town.page(&b).status, AlertStatus::Closed);
    town.after(HOUR).await;
    assert_eq!(town.page(&held).status, AlertStatus::Open, "alone after the window: a page of its own");
    assert_eq!(digests(&town).len(), 0);
    town.close().await;
}

#[tokio::test]
async fn a_late_page_asks_azure_first_and_says_how_late_it_is() {
    let town = Town::new().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let (fires, resolved, closed, gone) =
        (fire(&town, "vm-a").await, fire(&town, "vm-b").await, fire(&town, "vm-c").await, fire(&town, "vm-d").await);
    town.after(MINUTE * 22).await;
    // Nobody tells the bridge of these.
    town.scene.azure.remove_webhooks();
    town.scene.azure.resolve(&resolved).unwrap();
    town.scene.azure.set_state(&closed, AlertState::Closed, "Jane", "").unwrap();
    town.scene.azure.forget(&gone).unwrap();
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(MINUTE).await;
    for _ in 0..6 {
        town.after(MINUTE).await;
    }
    let title = town.page(&fires).title;
    assert!(title.starts_with("[delayed 2") && title.contains(" min] "), "{title}");
    assert!(town.page(&gone).title.starts_with("[delayed 2"), "what Azure does not know is paged");
    assert_eq!((town.pages(&resolved).len(), town.pages(&closed).len()), (0, 0), "nobody is woken for these");
    let open = town.bridge.store.open_pages(10).await.unwrap();
    assert_eq!(open.len(), 2, "{open:?}");
    town.scene.connect(&town.url);
    town.close().await;
}

#[tokio::test]
async fn a_late_page_goes_out_where_azure_says_no_more_than_before_the_alert_fired_anew() {
    let town = Town::new().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let id = fire(&town, "vm-a").await;
    town.after(MINUTE).await;
    town.scene.azure.set_state(&id, AlertState::Acknowledged, "Jane", "").unwrap();
    town.clock.advance(MINUTE);
    let mut body = town.scene.azure.webhook_body(&id).unwrap();
    body["data"]["essentials"]["firedDateTime"] = town.clock.now().to_string().into();
    town.scene.azure.send_body(&body);
    town.scene.azure.take_calls();
    town.after(MINUTE * 20).await;
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(MINUTE).await;
    let title = town.page(&id).title;
    assert!(title.starts_with("[delayed 2"), "{title}");
    let asked = town.scene.azure.read(|state| state.calls_of(Operation::GetAlert).count());
    assert_eq!(asked, 1, "it asked once");
    town.close().await;
}

#[tokio::test]
async fn a_late_page_goes_out_where_azure_does_not_answer() {
    // Nothing else ends a call that hangs.
    let limits = Limits { total: HOUR * 24, ..Plan::default().options.limits };
    let town = Town::with(Plan { options: Options { limits, ..Plan::default().options }, ..Plan::default() }).await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let id = fire(&town, "vm-a").await;
    town.after(MINUTE * 22).await;
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.scene.azure.faults().plan(Fault::new(Action::Hang).on(Operation::GetAlert).always());
    town.scene.azure.take_calls();
    town.after(MINUTE).await;
    let title = town.page(&id).title;
    assert!(title.starts_with("[delayed 2"), "{title}");
    assert_eq!(town.scene.azure.read(|state| state.calls_of(Operation::GetAlert).count()), 1, "Azure was asked");
    town.scene.azure.faults().clear();
    town.close().await;
}

#[tokio::test]
async fn a_page_closed_on_the_phone_comes_again_while_azure_still_fires() {
    let routes = "[[route]]\nname = \"all\"\nteam = \"ops\"\npage_again = \"30m\"\n";
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    let (lasting, passing) = (fire(&town, "vm-a").await, fire(&town, "vm-b").await);
    for id in [&lasting, &passing] {
        town.scene.signl4.close(&town.page(id).id, JANE, None).unwrap();
    }
    town.settle().await;
    assert_eq!(town.azure_state(&lasting), AlertState::Closed);
    town.scene.azure.resolve(&passing).unwrap();
    town.after(MINUTE * 29).await;
    assert_eq!(town.pages(&lasting).len(), 1);
    town.after(MINUTE).await;
    assert_eq!(town.pages(&passing).len(), 1, "it does not fire any more");
    let pages = town.pages(&lasting);
    let again = pages.iter().find(|page| page.status == AlertStatus::Open).unwrap();
    assert_eq!(pages.len(), 2);
    assert!(again.title.starts_with("[still firing] ") && again.title.contains("vm-a"), "{}", again.title);
    assert!(again.text.starts_with("Closed in SIGNL4 30 min ago, and Azure still fires.\n"), "{}", again.text);
    assert_eq!(town.azure_state(&lasting), AlertState::New, "its page is open again");
    town.scene.signl4.close(&again.id, JANE, None).unwrap();
    town.settle().await;
    town.after(MINUTE * 30).await;
    let pages = town.pages(&lasting);
    let third = pages.iter().find(|page| page.status == AlertStatus::Open).unwrap();
    assert_eq!(third.title, again.title);
    assert_eq!(third.text, again.text, "the same reason once, not twice");
    town.scene.azure.resolve(&lasting).unwrap();
    town.settle().await;
    assert!(town.pages(&lasting).iter().all(|page| page.status == AlertStatus::Closed));
    town.close().await;
}

#[tokio::test]
async fn a_replayed_page_is_released_like_one_whose_hold_is_over() {
    let routes = PATCHING.replace("23:00", "04:30").replace("[\"Mon\"]", "[\"Tue\"]");
    let town = Town::with(Plan { routes: routes.leak(), ..Plan::default() }).await;
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook).times(2));
    let (held, forced) = (town.scene.azure.fire(alert("vm-a")).unwrap(), fire(&town, "vm-b").await);
    let dead = town.deliveries("dead").await;
    let find = |alert: &str| dead.iter().find(|row| row.call.to_string().contains(alert)).unwrap().id;
    town.after(MINUTE * 40).await;
    let replay = async |alert: &str, force| {
        let changed = town.bridge.store.change(Change::Replay { id: find(alert), force }).await.unwrap();
        assert_eq!(changed, Changed::Done);
    };
    replay(&held, false).await;
    replay(&forced, true).await;
    town.settle().await;
    assert_eq!(town.page(&forced).status, AlertStatus::Open, "by force it goes out as it is");
    assert_eq!(town.pages(&held).len(), 0, "the window is open");
    assert_eq!(town.deliveries("dead").await.len(), 0);
    town.after(HOUR).await;
    assert_eq!(town.page(&held).status, AlertStatus::Open);
    town.close().await;
}
