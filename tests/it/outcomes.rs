//! How attempts end, and what follows: retried, settled, paused, dead, replayed. Against simulators that fail on demand.

use std::time::Duration;

use signl4_azure_bridge::domain::id::DeliveryId;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric, Role};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Door, Fault, RetryAfter};
use signl4_azure_bridge::simulator::scene::{JANE, TEAM, TEAM_SECRET};
use signl4_azure_bridge::simulator::signl4::AlertStatus;
use signl4_azure_bridge::store::{Change, Changed};

use crate::town::{Plan, Town, set_role};

fn alert() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

/// Inbound webhook requests that SIGNL4 got.
fn raises(town: &Town) -> usize {
    town.scene.signl4.calls().iter().filter(|call| call.path.starts_with("/webhook/")).count()
}

#[tokio::test]
async fn at_least_once_a_busy_signl4_is_asked_again_when_it_said() {
    for (wish, seconds) in
        [(RetryAfter::Seconds(30), 30), (RetryAfter::Date(30), 30), (RetryAfter::Raw("1e300".into()), 0)]
    {
        let town = Town::new().await;
        town.scene.signl4.faults().plan(Fault::throttled(wish.clone()).on(Operation::Webhook));
        let id = town.scene.azure.fire(alert()).unwrap();
        town.settle().await;
        assert_eq!(town.pages(&id).len(), 0, "{wish:?}");
        if seconds > 0 {
            town.after(Duration::from_secs(seconds - 2)).await;
            assert_eq!(raises(&town), 1, "{wish:?}: not before its time");
        }
        town.after(Duration::from_mins(1)).await;
        town.page(&id);
        town.close().await;
    }
}

#[tokio::test]
async fn an_outage_of_signl4_ends_with_the_page_and_wakes_nobody_for_what_resolved() {
    let town = Town::new().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    let lasting = town.scene.azure.fire(alert()).unwrap();
    let passing = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    for _ in 0..10 {
        town.after(Duration::from_mins(3)).await;
    }
    town.scene.azure.resolve(&passing).unwrap();
    town.settle().await;
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(Duration::from_mins(6)).await;
    town.page(&lasting);
    assert_eq!(town.pages(&passing).len(), 0);
    town.close().await;
}

#[tokio::test]
async fn one_page_when_it_can_be_known_a_raise_cut_after_it_arrived_is_settled_by_look_up() {
    let town = Town::new().await;
    // The outbound event is lost as well: only the look-up can tell.
    town.scene.signl4.webhooks().lose_next(1);
    town.scene.signl4.faults().plan(Fault::new(Action::CutProcessed).on(Operation::Webhook));
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.after(Duration::from_mins(2)).await;
    assert_eq!(raises(&town), 1, "not sent again");
    town.page(&id);
    town.close().await;
}

#[tokio::test]
async fn one_page_when_it_can_be_known_signl4s_own_event_settles_a_raise() {
    let town = Town::with(Plan { api: false, ..Plan::default() }).await;
    town.scene.signl4.faults().plan(Fault::new(Action::CutProcessed).on(Operation::Webhook));
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.after(Duration::from_mins(2)).await;
    assert_eq!(raises(&town), 1);
    town.page(&id);
    assert_eq!(town.deliveries("confirmed").await.len(), 1);
    town.close().await;
}

#[tokio::test]
async fn a_raise_that_nothing_can_settle_is_repeated_and_counted() {
    let town = Town::with(Plan { api: false, ..Plan::default() }).await;
    town.scene.signl4.faults().plan(Fault::new(Action::CutUnprocessed).on(Operation::Webhook));
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.after(Duration::from_mins(2)).await;
    town.page(&id);
    let metrics = town.http.get(format!("{}/metrics", town.admin)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bridge_pages_possibly_doubled_total 1\n"), "{metrics}");
    town.close().await;
}

#[tokio::test]
async fn a_refused_raise_is_dead_and_can_be_replayed_or_dropped() {
    let town = Town::new().await;
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook).times(2));
    let replayed = town.scene.azure.fire(alert()).unwrap();
    let dropped = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let dead = town.deliveries("dead").await;
    assert_eq!(dead.len(), 2);
    assert_eq!(town.deliveries("due").await.len(), 0);
    let find =
        |alert: &str| -> DeliveryId { dead.iter().find(|row| format!("{:?}", row.call).contains(alert)).unwrap().id };
    town.bridge.store.change(Change::Replay { id: find(&replayed), force: false }).await.unwrap();
    town.bridge.store.change(Change::Drop(find(&dropped))).await.unwrap();
    town.settle().await;
    town.page(&replayed);
    assert_eq!(town.pages(&dropped).len(), 0);
    assert_eq!(town.deliveries("dropped").await.len(), 1);
    town.close().await;
}

#[tokio::test]
async fn somebody_is_told_once_an_hour_of_pages_that_nobody_got() {
    let town = Town::new().await;
    let alarms = |town: &Town| -> Vec<String> {
        let titles = town.scene.signl4.alerts().into_iter().map(|page| page.title);
        titles.filter(|title| title.starts_with("Not paged: ")).collect()
    };
    let refuse = async |times: u32| {
        town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook).times(times));
        for _ in 0..times {
            town.scene.azure.fire(alert()).unwrap();
        }
        town.settle().await;
    };
    refuse(20).await;
    assert_eq!(town.deliveries("dead").await.len(), 20);
    assert_eq!(alarms(&town).len(), 1, "one for all of them");
    assert!(alarms(&town)[0].starts_with("Not paged: Sev1 "), "by its title: {:?}", alarms(&town));
    refuse(3).await;
    assert_eq!(alarms(&town).len(), 1, "within the hour");
    town.after(Duration::from_hours(1)).await;
    town.bridge.tell_of_others().await;
    town.settle().await;
    assert_eq!(alarms(&town)[1..], ["Not paged: 22 alerts"], "the rest, when the hour is over");
    refuse(1).await;
    assert_eq!(alarms(&town).len(), 2, "that was the one of this hour");
    for _ in 0..2 {
        town.after(Duration::from_hours(1)).await;
        town.bridge.tell_of_others().await;
        town.settle().await;
    }
    let after: Vec<String> = alarms(&town).split_off(2);
    assert!(after.len() == 1 && after[0].starts_with("Not paged: Sev1 "), "{after:?}");
    town.close().await;
}

#[tokio::test]
async fn somebody_is_told_once_an_hour_of_changes_that_are_given_up() {
    let town = Town::new().await;
    let ids: Vec<String> = (0..3).map(|_| town.scene.azure.fire(alert()).unwrap()).collect();
    town.settle().await;
    town.scene.azure.faults().plan(Fault::status(400).on(Operation::ChangeState).times(3));
    for id in &ids {
        town.scene.signl4.acknowledge(&town.page(id).id, JANE, None).unwrap();
    }
    town.settle().await;
    assert_eq!(town.deliveries("dead").await.len(), 3);
    let alarms = |town: &Town| -> Vec<String> {
        let titles = town.scene.signl4.alerts().into_iter().map(|page| page.title);
        titles.filter(|title| title.starts_with("Bridge: ")).collect()
    };
    assert_eq!(alarms(&town), ["Bridge: a change is given up"]);
    town.after(Duration::from_hours(1)).await;
    town.bridge.tell_of_others().await;
    town.settle().await;
    assert_eq!(alarms(&town), ["Bridge: a change is given up", "Bridge: 2 changes are given up"]);
    town.close().await;
}

#[tokio::test]
async fn somebody_is_told_once_an_hour_of_a_credential_that_azure_refuses() {
    let town = Town::new().await;
    let alarms = |town: &Town| -> Vec<String> {
        let titles = town.scene.signl4.alerts().into_iter().map(|page| page.title);
        titles.filter(|title| title.starts_with("Bridge: ")).collect()
    };
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    set_role(&town.scene, None);
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    for _ in 0..5 {
        town.after(Duration::from_mins(1)).await;
    }
    assert_eq!(alarms(&town).len(), 1, "{:?}", alarms(&town));
    town.after(Duration::from_hours(1)).await;
    assert_eq!(alarms(&town).len(), 2, "still denied an hour later: told again");
    set_role(&town.scene, Some(Role::Bridge));
    town.after(Duration::from_mins(2)).await;
    town.close().await;
}

#[tokio::test]
async fn a_replayed_page_takes_part_in_the_life_of_its_alert_again() {
    let town = Town::new().await;
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let dead = town.deliveries("dead").await.remove(0).id;
    town.bridge.store.change(Change::Replay { id: dead, force: false }).await.unwrap();
    town.settle().await;
    town.clock.advance(Duration::from_mins(1));
    town.scene.azure.resolve(&id).unwrap();
    town.settle().await;
    assert_eq!(town.page(&id).status, AlertStatus::Closed);
    town.close().await;
}

#[tokio::test]
async fn a_dead_page_of_a_resolved_alert_is_replayed_only_by_force() {
    let town = Town::new().await;
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.clock.advance(Duration::from_mins(1));
    town.scene.azure.resolve(&id).unwrap();
    town.settle().await;
    let dead = town.deliveries("dead").await.remove(0).id;
    let refused = town.bridge.store.change(Change::Replay { id: dead, force: false }).await.unwrap();
    assert_eq!(refused, Changed::Not { state: "resolved" });
    town.settle().await;
    assert_eq!(town.pages(&id).len(), 0);
    town.bridge.store.change(Change::Replay { id: dead, force: true }).await.unwrap();
    town.settle().await;
    town.page(&id);
    town.close().await;
}

#[tokio::test]
async fn a_wrong_team_secret_pauses_the_team_keeps_its_pages_due_and_probes_once_a_minute() {
    let town = Town::new().await;
    town.scene.signl4.rotate_secret(TEAM, "rotated");
    let ids: Vec<String> = (0..5).map(|_| town.scene.azure.fire(alert()).unwrap()).collect();
    town.settle().await;
    assert!(raises(&town) <= 5);
    let before = raises(&town);
    for _ in 0..6 {
        town.after(Duration::from_secs(10)).await;
    }
    assert_eq!(raises(&town) - before, 1, "one probe in a minute, not one a delivery");
    let ready: serde_json::Value =
        town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap().json().await.unwrap();
    assert_eq!(ready["ready"], true, "a paused destination stores events all the same");
    assert!(ready["holds"][0]["denied_since"].is_string(), "{ready}");
    assert_eq!(town.deliveries("dead").await.len(), 0, "nothing is dead for it");
    town.scene.signl4.rotate_secret(TEAM, TEAM_SECRET);
    town.after(Duration::from_mins(2)).await;
    for id in &ids {
        town.page(id);
    }
    town.close().await;
}

#[tokio::test]
async fn azure_that_denies_gets_its_changes_once_it_allows() {
    let town = Town::new().await;
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    set_role(&town.scene, None);
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&id), AlertState::New);
    let other = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.page(&other);
    set_role(&town.scene, Some(Role::Bridge));
    town.after(Duration::from_mins(2)).await;
    assert_eq!(town.azure_state(&id), AlertState::Acknowledged);
    town.close().await;
}

#[tokio::test]
async fn a_conflict_in_azure_is_waited_out_for_days_and_holds_up_no_other_alert() {
    let town = Town::new().await;
    let ids: Vec<String> = (0..6).map(|_| town.scene.azure.fire(alert()).unwrap()).collect();
    town.settle().await;
    let (free, busy) = ids.split_last().unwrap();
    for id in busy {
        town.scene.azure.faults().plan(Fault::status(409).on(Operation::ChangeState).on_path(id).always());
        town.scene.signl4.acknowledge(&town.page(id).id, JANE, None).unwrap();
    }
    for _ in 0..200 {
        town.after(Duration::from_hours(1)).await;
    }
    assert_eq!(town.deliveries("dead").await.len(), 0, "not before the alert's 30 days end");
    assert_eq!(town.bridge.store.holds().await.unwrap(), [], "Azure answers: it is not out of reach");
    town.scene.signl4.acknowledge(&town.page(free).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(free), AlertState::Acknowledged);
    town.scene.azure.faults().clear();
    town.after(Duration::from_mins(10)).await;
    for id in busy {
        assert_eq!(town.azure_state(id), AlertState::Acknowledged);
    }
    town.close().await;
}

#[tokio::test]
async fn a_busy_rest_interface_holds_up_no_page() {
    let town = Town::new().await;
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.scene.signl4.faults().plan(Fault::throttled(RetryAfter::Seconds(200)).on_path("/api/v2/").always());
    town.scene.azure.set_state(&id, AlertState::Acknowledged, "someone@example.com", "").unwrap();
    town.poll_after(Duration::from_mins(1)).await;
    let other = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.page(&other);
    town.scene.signl4.faults().clear();
    town.after(Duration::from_mins(10)).await;
    town.close().await;
}

#[tokio::test]
async fn a_revoked_token_is_fetched_anew_once() {
    let town = Town::new().await;
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let page = town.page(&id).id;
    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.settle().await;
    town.scene.azure.revoke_tokens();
    town.clock.advance(Duration::from_secs(5));
    town.scene.signl4.close(&page, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&id), AlertState::Closed);
    let tokens = town.scene.azure.calls().iter().filter(|call| call.path.ends_with("/token")).count();
    assert_eq!(tokens, 2);
    town.close().await;
}

#[tokio::test]
async fn an_acknowledgement_never_reopens_what_was_closed_in_the_portal() {
    let town = Town::new().await;
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.scene.azure.set_state(&id, AlertState::Closed, "someone@example.com", "").unwrap();
    let page = town.page(&id).id;
    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&id), AlertState::Closed);
    assert_eq!(town.page(&id).status, AlertStatus::Closed, "and the page ends");
    town.close().await;
}

#[tokio::test]
async fn a_paused_team_is_not_paged_until_it_is_resumed_and_resolved_passes() {
    let town = Town::new().await;
    let before = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let destination = signl4_azure_bridge::domain::delivery::Destination::team(
        &signl4_azure_bridge::domain::id::TeamName::parse(TEAM).unwrap(),
    );
    let until = town.clock.now().plus(Duration::from_hours(1));
    town.bridge.store.change(Change::Pause { destination: destination.clone(), until }).await.unwrap();
    let kept = town.scene.azure.fire(alert()).unwrap();
    let passing = town.scene.azure.fire(alert()).unwrap();
    town.clock.advance(Duration::from_mins(1));
    town.scene.azure.resolve(&before).unwrap();
    town.scene.azure.resolve(&passing).unwrap();
    town.settle().await;
    assert_eq!(town.page(&before).status, AlertStatus::Closed, "Resolved passes");
    assert_eq!(town.pages(&kept).len() + town.pages(&passing).len(), 0);
    town.bridge.store.change(Change::Resume { destination }).await.unwrap();
    town.settle().await;
    town.page(&kept);
    assert_eq!(town.pages(&passing).len(), 0, "resolved meanwhile: nobody is woken");
    town.close().await;
}

#[tokio::test]
async fn in_order_a_slow_lane_does_not_let_resolved_overtake_its_fired() {
    let town = Town::new().await;
    town.scene.signl4.faults().plan(Fault::new(Action::CutProcessed).on(Operation::Webhook));
    town.scene.signl4.webhooks().hold();
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.clock.advance(Duration::from_secs(1));
    town.scene.azure.resolve(&id).unwrap();
    town.settle().await;
    assert_eq!(town.page(&id).status, AlertStatus::Closed, "the resolve went out alone, behind what may have arrived");
    town.scene.signl4.webhooks().release(signl4_azure_bridge::simulator::outbox::Order::AsHeld).await;
    town.after(Duration::from_mins(2)).await;
    assert_eq!(raises(&town), 2, "one raise, one resolve");
    town.close().await;
}
