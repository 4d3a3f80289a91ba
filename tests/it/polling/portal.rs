//! From the portal to the phone: acknowledged, closed and re-opened in Azure, which no webhook tells.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertState, PrincipalName};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::scene::JANE;
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use super::{MINUTE, cpu, events};
use crate::town::{Plan, Town};

type Act = fn(&Town, &str);

const ANNA: &str = "anna@example.com";

fn changes(town: &Town) -> usize {
    town.scene.azure.read(|state| state.calls_of(Operation::ChangeState).count())
}

#[tokio::test]
async fn acknowledged_in_the_portal_is_acknowledged_on_the_phone() {
    let town = super::town().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.clock.advance(MINUTE);
    town.scene.azure.set_state(&alert, AlertState::Acknowledged, ANNA, "").unwrap();
    town.poll().await;
    let page = town.page(&alert);
    assert_eq!(page.status, AlertStatus::Acknowledged);
    assert_eq!(page.notes(), ["Acknowledged in Azure by anna@example.com"]);
    assert_eq!(changes(&town), 0, "it is so in Azure already");
    let before = events(&town).await.len();
    for _ in 0..5 {
        town.poll_after(MINUTE).await;
    }
    assert_eq!(events(&town).await.len(), before, "a poll that finds all as it was leaves no row");
    town.close().await;
}

#[tokio::test]
async fn closed_in_the_portal_ends_on_the_phone() {
    let town = super::town().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.scene.signl4.acknowledge(&town.page(&alert).id, JANE, None).unwrap();
    town.settle().await;
    town.clock.advance(MINUTE);
    town.scene.azure.set_state(&alert, AlertState::Closed, ANNA, "fixed").unwrap();
    town.poll().await;
    assert_eq!(town.page(&alert).status, AlertStatus::Closed);
    town.poll_after(MINUTE).await;
    assert_eq!(town.azure_state(&alert), AlertState::Closed);
    assert_eq!(changes(&town), 1, "only the acknowledgement was ours");
    town.close().await;
}

#[tokio::test]
async fn set_back_to_new_in_the_portal_pages_anew() {
    for closed in [false, true] {
        let town = super::town().await;
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.settle().await;
        let first = town.page(&alert).id;
        if closed {
            town.scene.signl4.close(&first, JANE, None).unwrap();
        } else {
            town.scene.signl4.acknowledge(&first, JANE, None).unwrap();
        }
        town.settle().await;
        town.poll_after(MINUTE).await;
        town.clock.advance(MINUTE);
        town.scene.azure.set_state(&alert, AlertState::New, ANNA, "not fixed").unwrap();
        town.poll().await;
        town.poll_after(MINUTE).await;
        let pages = town.pages(&alert);
        assert_eq!(pages.len(), 2, "closed: {closed}");
        assert_eq!(pages[0].status, AlertStatus::Closed);
        assert_eq!((pages[1].status, pages[1].title.as_str()), (AlertStatus::Open, pages[0].title.as_str()));
        assert_eq!(pages[1].text, pages[0].text);
        assert_eq!(town.azure_state(&alert), AlertState::New, "nobody undoes what was done there");
        town.close().await;
    }
}

#[tokio::test]
async fn a_route_says_what_setting_back_to_new_means() {
    for (policy, notes) in [("annotate", &["Set back to New in Azure by anna@example.com"][..]), ("ignore", &[][..])] {
        let routes: &'static str =
            Box::leak(format!("[[route]]\nname = \"all\"\nteam = \"ops\"\non_reopened = \"{policy}\"\n").into());
        let town = super::town_with(Plan { routes, ..Plan::default() }).await;
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.settle().await;
        town.scene.signl4.acknowledge(&town.page(&alert).id, JANE, None).unwrap();
        town.settle().await;
        town.clock.advance(MINUTE);
        town.scene.azure.set_state(&alert, AlertState::New, ANNA, "").unwrap();
        town.poll().await;
        let page = town.page(&alert);
        assert_eq!(page.status, AlertStatus::Acknowledged, "{policy}");
        assert_eq!(page.notes(), notes, "{policy}");
        town.close().await;
    }
}

#[tokio::test]
async fn taken_in_hand_in_the_portal_while_the_page_is_held_wakes_nobody() {
    for state in [AlertState::Acknowledged, AlertState::Closed] {
        let routes = "[[route]]\nname = \"patient\"\nteam = \"ops\"\ngrace = \"5m\"\n";
        let town = super::town_with(Plan { routes, ..Plan::default() }).await;
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.settle().await;
        town.clock.advance(MINUTE);
        town.scene.azure.set_state(&alert, state, ANNA, "").unwrap();
        town.poll().await;
        town.poll_after(Duration::from_mins(10)).await;
        assert_eq!(town.pages(&alert).len(), 0, "{state:?}");
        town.close().await;
    }
}

#[tokio::test]
async fn our_own_changes_do_not_come_back_whatever_azure_calls_us() {
    for name in [PrincipalName::ObjectId, PrincipalName::ClientId, PrincipalName::DisplayName] {
        let town = super::town().await;
        town.scene.azure.knobs(|knobs| knobs.principal_name = name);
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.settle().await;
        let page = town.page(&alert).id;
        let acts: [Act; 3] = [
            |town, page| drop(town.scene.signl4.acknowledge(page, JANE, None).unwrap()),
            |town, page| drop(town.scene.signl4.unacknowledge(page, JANE).unwrap()),
            |town, page| drop(town.scene.signl4.close(page, JANE, None).unwrap()),
        ];
        for act in acts {
            act(&town, &page);
            // The poll comes before, between and after our own call.
            town.bridge.reconciler.step().await;
            town.settle().await;
            town.poll_after(MINUTE).await;
            town.poll_after(MINUTE).await;
        }
        assert_eq!(changes(&town), 3, "{name:?}");
        assert_eq!(town.pages(&alert).len(), 1);
        let polled: Vec<_> = events(&town).await.into_iter().filter(|(kind, _)| kind.ends_with("_in_azure")).collect();
        assert_eq!(polled, [], "{name:?}");
        town.close().await;
    }
}

#[tokio::test]
async fn an_old_alert_acknowledged_today_is_seen() {
    let town = super::town().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.poll().await;
    for _ in 0..5 {
        town.poll_after(Duration::from_hours(24)).await;
    }
    town.scene.azure.set_state(&alert, AlertState::Acknowledged, ANNA, "").unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Acknowledged);
    town.close().await;
}

#[tokio::test]
async fn an_acknowledgement_on_the_way_does_not_hide_a_close_in_the_portal() {
    let town = super::town().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert).id;
    town.clock.advance(MINUTE);
    town.scene.azure.set_state(&alert, AlertState::Closed, ANNA, "").unwrap();
    town.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    town.scene.signl4.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    town.bridge.reconciler.step().await;
    town.settle().await;
    assert_eq!(town.azure_state(&alert), AlertState::Closed);
    assert_eq!(town.page(&alert).status, AlertStatus::Closed);
    town.close().await;
}
