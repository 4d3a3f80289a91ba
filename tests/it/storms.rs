//! More alerts than a person can read: they share a digest, and follow it in Azure.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Door, Fault};
use signl4_azure_bridge::simulator::scene::JANE;
use signl4_azure_bridge::simulator::signl4::{Alert as Signl, AlertStatus, Scenario};
use signl4_azure_bridge::store::{Change, Changed};

use crate::town::{Plan, Town};

pub(crate) const STORM: &str = "{ pages_per_minute = 3, digest_every = \"1m\" }";
const URGENT: &str = r#"
[[route]]
name = "all"
team = "ops"
service = "Machines"
scenario = { Sev0 = "emergency", default = "single_ack" }
"#;
const MINUTE: Duration = Duration::from_mins(1);

fn alert(number: usize) -> AlertSpec {
    AlertSpec::metric(&format!("Rule {}", number % 3), &format!("vm-{number}"), Metric::default())
}

async fn town(routes: &'static str) -> Town {
    Town::with(Plan { routes, storm: STORM, ..Plan::default() }).await
}

/// Fires so many at once and lets their webhooks arrive.
async fn fire(town: &Town, count: usize) -> Vec<String> {
    let ids = (0..count).map(|number| town.scene.azure.fire(alert(number)).unwrap()).collect();
    town.settle().await;
    ids
}

pub(crate) fn digests(town: &Town) -> Vec<Signl> {
    let is_digest = |page: &Signl| page.external_id.as_deref().is_some_and(|id| id.starts_with("azmon:digest:"));
    town.scene.signl4.alerts().into_iter().filter(is_digest).collect()
}

pub(crate) fn digest(town: &Town) -> Signl {
    let mut found = digests(town);
    assert_eq!(found.len(), 1, "one digest: {found:?}");
    found.remove(0)
}

/// Those that SIGNL4 has no page of their own for.
fn joined(town: &Town, ids: &[String]) -> Vec<String> {
    ids.iter().filter(|id| town.pages(id).is_empty()).cloned().collect()
}

fn states(town: &Town, ids: &[String]) -> Vec<AlertState> {
    let mut states: Vec<AlertState> = ids.iter().map(|id| town.azure_state(id)).collect();
    states.dedup();
    states
}

#[tokio::test]
async fn a_storm_is_three_pages_and_a_digest_that_stands_for_the_rest() {
    let town = town(URGENT).await;
    let worst = town.scene.azure.fire(alert(1).severity(1)).unwrap();
    let mut ids = fire(&town, 8).await;
    ids.push(town.scene.azure.fire(alert(9).severity(0)).unwrap());
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), 3, "within the minute");
    town.page(&worst);
    town.after(MINUTE).await;
    let page = digest(&town);
    let members = joined(&town, &ids);
    assert_eq!((town.scene.signl4.alerts().len(), members.len()), (4, 7));
    assert_eq!(page.title, "7 alerts, 3 rules, worst Sev0");
    assert_eq!(page.scenario, Scenario::Emergency, "the most urgent of its members");
    assert_eq!(page.service.as_deref(), Some("Machines"));
    let lines: Vec<&str> = page.text.lines().collect();
    assert_eq!(lines.len(), 8, "{}", page.text);
    assert!(lines[0].contains("vm-9") && lines[0].contains("Sev0"), "the worst first: {}", page.text);

    town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(states(&town, &members), [AlertState::Acknowledged]);
    assert_eq!(town.azure_state(&worst), AlertState::New, "it has a page of its own");
    for id in &members {
        assert_eq!(town.azure_comments(id), ["Acknowledged by Jane Doe in SIGNL4"]);
    }
    let (last, others) = members.split_last().unwrap();
    for id in others {
        town.scene.azure.resolve(id).unwrap();
    }
    town.settle().await;
    assert_ne!(digest(&town).status, AlertStatus::Closed, "one member still fires");
    town.scene.azure.resolve(last).unwrap();
    town.settle().await;
    assert_eq!(digest(&town).status, AlertStatus::Closed, "its last member ended");
    town.close().await;
}

#[tokio::test]
async fn a_late_digest_says_how_late_it_is_and_asks_nothing() {
    let town = town(URGENT).await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let ids = fire(&town, 8).await;
    for _ in 0..22 {
        town.after(MINUTE).await;
    }
    town.scene.azure.take_calls();
    town.scene.signl4.faults().set_door(Door::Open).await;
    for _ in 0..6 {
        town.after(MINUTE).await;
    }
    let page = digest(&town);
    assert!(
        page.title.starts_with("[delayed 2") && page.title.ends_with("5 alerts, 3 rules, worst Sev1"),
        "{}",
        page.title
    );
    assert_eq!((town.scene.signl4.alerts().len(), joined(&town, &ids).len()), (4, 5));
    let asked = town.scene.azure.read(|state| state.calls_of(Operation::GetAlert).count());
    assert_eq!(asked, 3, "for the pages of one alert each");
    town.close().await;
}

#[tokio::test]
async fn a_digest_whose_members_end_while_signl4_is_away_wakes_nobody() {
    let town = town(URGENT).await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let ids = fire(&town, 8).await;
    for _ in 0..3 {
        town.after(MINUTE).await;
    }
    for id in &ids {
        town.scene.azure.resolve(id).unwrap();
    }
    town.settle().await;
    town.scene.signl4.faults().set_door(Door::Open).await;
    for _ in 0..6 {
        town.after(MINUTE).await;
    }
    assert_eq!(town.scene.signl4.alerts().len(), 0, "neither by themselves nor together");
    assert!(town.bridge.store.open_pages(10).await.unwrap().is_empty(), "and nothing is left");
    town.close().await;
}

#[tokio::test]
async fn a_digest_names_the_worst_and_of_these_the_first() {
    let town = town(URGENT).await;
    let mut resources = Vec::new();
    for number in 0..12 {
        town.scene.azure.fire(alert(number).severity(u8::from(number != 11))).unwrap();
        town.after(Duration::from_secs(1)).await;
        resources.push(format!("vm-{number}"));
    }
    town.after(MINUTE).await;
    let page = digest(&town);
    let named: Vec<&str> = page.text.lines().filter_map(|line| line.split_once(" on ")).map(|(_, vm)| vm).collect();
    let worst = ["vm-11"].into_iter().chain(resources.iter().skip(3).take(8).map(String::as_str));
    assert_eq!(named, worst.collect::<Vec<_>>(), "{}", page.text);
    town.close().await;
}

#[tokio::test]
async fn closing_and_reopening_a_digest_reaches_hundreds_of_members_over_a_restart() {
    let town = town(URGENT).await;
    let ids = fire(&town, 203).await;
    town.after(MINUTE).await;
    let page = digest(&town).id;
    let members = joined(&town, &ids);
    assert_eq!(members.len(), 200);
    town.scene.signl4.close(&page, JANE, None).unwrap();
    town.scene.signl4.webhooks().settled(Duration::from_secs(10)).await.unwrap();
    // The change is stored and has reached nobody.
    let town = town.restart().await;
    reach_all(&town).await;
    assert_eq!(states(&town, &members), [AlertState::Closed]);
    town.scene.signl4.reopen(&page, JANE).unwrap();
    reach_all(&town).await;
    assert_eq!(states(&town, &members), [AlertState::New]);
    let town = town.restart().await;
    town.scene.signl4.close(&page, JANE, None).unwrap();
    reach_all(&town).await;
    assert_eq!(states(&town, &members), [AlertState::Closed]);
    assert_eq!(digest(&town).status, AlertStatus::Closed);
    town.close().await;
}

/// Azure takes ten changes a second.
async fn reach_all(town: &Town) {
    for _ in 0..4 {
        town.after(Duration::from_secs(20)).await;
    }
}

#[tokio::test]
async fn a_digest_of_one_is_a_page_of_its_own_and_of_none_no_page() {
    let town = town(URGENT).await;
    let ids = fire(&town, 5).await;
    let joined_ids = joined(&town, &ids);
    let (passing, lasting) = (&joined_ids[0], &joined_ids[1]);
    town.scene.azure.resolve(passing).unwrap();
    town.settle().await;
    town.after(MINUTE).await;
    assert_eq!(digests(&town).len(), 0);
    assert_eq!(town.page(lasting).status, AlertStatus::Open);
    assert_eq!(town.pages(passing).len(), 0, "nobody was woken for it");

    town.after(MINUTE).await;
    let more = fire(&town, 4).await;
    let only = joined(&town, &more).remove(0);
    town.scene.azure.resolve(&only).unwrap();
    town.after(MINUTE).await;
    assert_eq!((digests(&town).len(), town.pages(&only).len()), (0, 0));
    town.close().await;
}

#[tokio::test]
async fn each_interval_with_new_members_is_one_digest() {
    let town = town(URGENT).await;
    fire(&town, 8).await;
    town.after(MINUTE).await;
    assert_eq!(digests(&town).len(), 1);
    // The digest counts as a page itself: two more go out alone.
    let ids = fire(&town, 6).await;
    assert_eq!(joined(&town, &ids).len(), 4);
    let town = town.restart().await;
    let later = fire(&town, 2).await;
    assert_eq!(joined(&town, &later).len(), 2, "the load and the digest that gathers are known after a restart");
    town.after(MINUTE).await;
    let titles: Vec<String> = digests(&town).into_iter().map(|page| page.title).collect();
    assert_eq!(titles, ["5 alerts, 3 rules, worst Sev1", "6 alerts, 3 rules, worst Sev1"]);
    town.close().await;
}

#[tokio::test]
async fn a_route_may_stay_out_of_digests() {
    let routes = "[[route]]\nname = \"vital\"\nteam = \"ops\"\nstorm = false\n";
    let town = town(routes).await;
    let ids = fire(&town, 6).await;
    assert_eq!(joined(&town, &ids).len(), 0);
    town.after(MINUTE).await;
    assert_eq!(digests(&town).len(), 0);
    town.close().await;
}

#[tokio::test]
async fn a_test_notification_pages_in_the_midst_of_a_storm() {
    let town = town(URGENT).await;
    fire(&town, 6).await;
    town.scene.azure.fire_test();
    town.settle().await;
    let tests = town.scene.signl4.alerts().into_iter().filter(|page| page.title.starts_with("[Test]")).count();
    assert_eq!(tests, 1);
    town.after(MINUTE).await;
    town.close().await;
}

/// Five alerts of different matters, three of which have pages of their own and two a digest that SIGNL4 refuses: the two.
async fn refused(town: &Town) -> Vec<String> {
    let ids: Vec<String> = (0..5).map(|number| town.scene.azure.fire(alert(number)).unwrap()).collect();
    town.settle().await;
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    town.after(MINUTE).await;
    assert_eq!(digests(town).len(), 0);
    joined(town, &ids)
}

async fn replay(town: &Town, force: bool) -> Changed {
    let dead = town.deliveries("dead").await.remove(0).id;
    let changed = town.bridge.store.change(Change::Replay { id: dead, force }).await.unwrap();
    town.settle().await;
    changed
}

const COUNTING: &str = "[[route]]\nname = \"all\"\nteam = \"ops\"\nquiet_period = \"2h\"\n";

#[tokio::test]
async fn nothing_joins_a_page_whose_digest_nobody_got() {
    for drops in [false, true] {
        let town = town(COUNTING).await;
        let members = refused(&town).await;
        assert_eq!(members.len(), 2);
        if drops {
            let dead = town.deliveries("dead").await.remove(0).id;
            town.bridge.store.change(Change::Drop(dead)).await.unwrap();
        }
        town.after(MINUTE * 5).await;
        // The same rule and machine again, as Azure does it: another alert of the same matter.
        let again: Vec<String> =
            [3, 4].into_iter().map(|number| town.scene.azure.fire(alert(number)).unwrap()).collect();
        town.settle().await;
        for id in &again {
            assert_eq!(town.page(id).status, AlertStatus::Open, "nobody had a page of it (dropped: {drops})");
        }
        assert!(town.bridge.store.audit(town.clock.now()).await.unwrap().is_empty());
        town.close().await;
    }
}

#[tokio::test]
async fn a_replayed_digest_shows_again_what_still_fires_and_has_no_page_since() {
    let town = town(URGENT).await;
    let ids: Vec<String> = (0..7).map(|number| town.scene.azure.fire(alert(number)).unwrap()).collect();
    town.settle().await;
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    town.after(MINUTE).await;
    let members = joined(&town, &ids);
    assert_eq!(members.len(), 4);
    let (over, fires) = members.split_first().unwrap();
    town.scene.azure.resolve(over).unwrap();
    town.after(MINUTE).await;
    assert_eq!(replay(&town, false).await, Changed::Done);
    let page = digest(&town);
    assert!(page.title.starts_with("3 alerts"), "{}", page.title);
    town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(states(&town, fires), [AlertState::Acknowledged]);
    for id in fires {
        town.scene.azure.resolve(id).unwrap();
    }
    town.settle().await;
    assert_eq!(digest(&town).status, AlertStatus::Closed, "its last member ended");
    assert!(town.bridge.store.audit(town.clock.now()).await.unwrap().is_empty());
    town.close().await;
}

#[tokio::test]
async fn a_digest_of_which_nothing_fires_any_more_is_replayed_only_by_force() {
    let town = town(URGENT).await;
    let members = refused(&town).await;
    for id in &members {
        town.scene.azure.resolve(id).unwrap();
    }
    town.after(MINUTE).await;
    assert_eq!(replay(&town, false).await, Changed::Not { state: "resolved" });
    assert_eq!(digests(&town).len(), 0);
    assert_eq!(replay(&town, true).await, Changed::Done);
    assert_eq!(digest(&town).status, AlertStatus::Open);
    town.close().await;
}

#[tokio::test]
async fn a_member_that_cannot_be_read_keeps_a_change_from_no_other() {
    let town = town(URGENT).await;
    let ids = fire(&town, 7).await;
    town.after(MINUTE).await;
    let members = joined(&town, &ids);
    let other = rusqlite::Connection::open(town.folder.path().join("bridge.db")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    let mut sorted = members.clone();
    sorted.sort();
    let (unreadable, readable) = sorted.split_first().unwrap();
    let sql = "UPDATE page SET state = json_remove(state, '$.policy') WHERE id LIKE ?1";
    assert_eq!(other.execute(sql, [format!("%{unreadable}")]).unwrap(), 1);
    town.scene.signl4.acknowledge(&digest(&town).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(states(&town, readable), [AlertState::Acknowledged]);
    assert_eq!(town.azure_state(unreadable), AlertState::New);
    town.close().await;
}
