//! What a poll may raise, and what it only records.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::AlertState;
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use super::{MINUTE, behind_a_firewall, cpu, disk, events, metrics};
use crate::town::Plan;

#[tokio::test]
async fn the_same_alert_by_webhook_and_by_poll_is_one_page() {
    let town = super::town().await;
    let first = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.poll().await;
    town.poll_after(MINUTE * 5).await;
    let by_webhook = town.page(&first);

    // The rule has called before: its lost webhook is waited for, and then made up for.
    town.scene.azure.webhooks().lose_next(1);
    let second = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&second).len(), 0, "its webhook may still come");
    town.poll_after(MINUTE).await;
    let by_poll = town.page(&second);
    town.scene.azure.repeat(&second).unwrap();
    town.settle().await;
    town.page(&second);
    assert_eq!(by_poll.title, by_webhook.title);
    assert_eq!(by_poll.text, by_webhook.text);
    let shown = |page: &signl4_azure_bridge::simulator::signl4::Alert| {
        page.parameters
            .iter()
            .filter(|(name, _)| *name != "Link" && *name != "Fired")
            .map(|(n, v)| format!("{n}={v}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(shown(&by_poll), shown(&by_webhook), "the page reads the same either way");
    town.close().await;
}

#[tokio::test]
async fn five_hundred_alerts_of_other_rules_wake_nobody() {
    let town = super::town().await;
    town.scene.azure.remove_webhooks();
    for number in 0..500 {
        let mut spec = cpu();
        spec.rule = format!("rule of somebody else {}", number % 50);
        town.scene.azure.fire(spec).unwrap();
    }
    // Fired before the first poll, and found by it; then as many that fire afterwards.
    town.poll_after(Duration::from_mins(10)).await;
    for number in 0..500 {
        let mut spec = cpu();
        spec.rule = format!("rule of somebody else {}", number % 50);
        town.scene.azure.fire(spec).unwrap();
    }
    town.poll_after(Duration::from_mins(10)).await;
    assert_eq!(town.scene.signl4.alerts().len(), 0);
    let recorded = events(&town).await.into_iter().filter(|(_, reason)| reason == "recorded_by_poll").count();
    assert_eq!(recorded, 1_000, "each is kept, and visible");
    let metrics = metrics(&town).await;
    assert!(
        metrics.contains("bridge_alerts_found_by_poll_total{connection=\"contoso\",rule=\"rule of somebody else 7\",why=\"rule_unheard\"} 20"),
        "a rule without the action group is seen: {metrics}"
    );
    town.close().await;
}

#[tokio::test]
async fn the_webhook_of_an_alert_that_was_only_recorded_still_pages() {
    let town = super::town().await;
    town.scene.azure.webhooks().hold();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&alert).len(), 0, "its rule has never called");
    town.scene.azure.webhooks().release(signl4_azure_bridge::simulator::outbox::Order::AsHeld).await;
    town.settle().await;
    town.page(&alert);
    town.poll_after(MINUTE).await;
    town.page(&alert);
    town.close().await;
}

#[tokio::test]
async fn the_first_poll_looks_back_an_hour_and_no_further() {
    let town = super::town_with(Plan {
        edit: |toml| toml.lines().filter(|line| !line.starts_with("token         =")).collect::<Vec<_>>().join("\n"),
        ..Plan::default()
    })
    .await;
    town.scene.azure.remove_webhooks();
    let old = town.scene.azure.fire(cpu()).unwrap();
    town.clock.advance(Duration::from_mins(61));
    let young = town.scene.azure.fire(disk()).unwrap();
    town.poll_after(Duration::from_mins(30)).await;
    assert_eq!(town.pages(&old).len(), 0);
    town.page(&young);
    // What people then do to the old one is nobody's page either.
    town.scene.azure.set_state(&old, AlertState::Acknowledged, "anna@example.com", "").unwrap();
    town.poll_after(MINUTE).await;
    town.scene.azure.set_state(&old, AlertState::New, "anna@example.com", "").unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&old).len(), 0);
    town.close().await;
}

#[tokio::test]
async fn what_a_processing_rule_suppresses_wakes_nobody() {
    let town = behind_a_firewall().await;
    let alert = town.scene.azure.fire(cpu().suppressed()).unwrap();
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE * 5).await;
    assert_eq!(town.pages(&alert).len(), 0);
    assert!(metrics(&town).await.contains("why=\"suppressed\"} 1"));
    town.close().await;
}

#[tokio::test]
async fn what_somebody_took_in_hand_before_it_was_found_wakes_nobody_until_it_is_new_again() {
    let town = behind_a_firewall().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.scene.azure.set_state(&alert, AlertState::Acknowledged, "anna@example.com", "").unwrap();
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&alert).len(), 0);
    town.scene.azure.set_state(&alert, AlertState::New, "anna@example.com", "").unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Open);
    town.close().await;
}

#[tokio::test]
async fn poll_raises_all_or_none() {
    for (raises, pages) in [("all", 1), ("none", 0)] {
        let edit: fn(String) -> String = if raises == "all" {
            |toml| toml.replacen("[azure.contoso]", "[azure.contoso]\npoll_raises = \"all\"", 1)
        } else {
            |toml| toml.replacen("[azure.contoso]", "[azure.contoso]\npoll_raises = \"none\"", 1)
        };
        let town = super::town_with(Plan { edit, ..Plan::default() }).await;
        town.poll().await;
        town.scene.azure.remove_webhooks();
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.poll_after(MINUTE).await;
        town.poll_after(MINUTE * 5).await;
        assert_eq!(town.pages(&alert).len(), pages, "{raises}");
        town.close().await;
    }
}

#[tokio::test]
async fn a_lost_resolved_is_made_up_for() {
    let town = super::town().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.clock.advance(MINUTE);
    town.scene.azure.webhooks().lose_next(1);
    town.scene.azure.resolve(&alert).unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Closed);
    let before = events(&town).await.len();
    town.scene.azure.repeat(&alert).unwrap();
    town.settle().await;
    let told = events(&town).await.split_off(before);
    assert!(told.iter().all(|(_, reason)| reason == "repeat"), "the webhook tells the same event: {told:?}");
    town.close().await;
}

#[tokio::test]
async fn what_was_over_before_it_was_found_wakes_nobody() {
    let town = behind_a_firewall().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.clock.advance(Duration::from_secs(30));
    town.scene.azure.resolve(&alert).unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&alert).len(), 0);
    town.close().await;
}

#[tokio::test]
async fn what_was_in_hand_when_its_webhook_came_late_is_paged_once_it_is_free_again() {
    for whole_seconds in [false, true] {
        let town = super::town().await;
        town.scene.azure.knobs(|knobs| knobs.whole_seconds = whole_seconds);
        town.poll().await;
        town.scene.azure.webhooks().hold();
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.scene.azure.set_state(&alert, AlertState::Acknowledged, "anna@example.com", "").unwrap();
        town.poll_after(MINUTE).await;
        town.scene.azure.webhooks().release(signl4_azure_bridge::simulator::outbox::Order::AsHeld).await;
        town.settle().await;
        assert_eq!(town.pages(&alert).len(), 0, "somebody has it in hand");
        town.clock.advance(MINUTE);
        town.scene.azure.set_state(&alert, AlertState::New, "anna@example.com", "").unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.page(&alert).status, AlertStatus::Open);
        town.scene.azure.repeat(&alert).unwrap();
        town.poll_after(MINUTE).await;
        town.page(&alert);
        town.close().await;
    }
}

#[tokio::test]
async fn a_poll_that_wakes_nobody_leaves_no_row_again_and_again() {
    for none in [false, true] {
        let edit: fn(String) -> String = if none {
            |toml| toml.replacen("[azure.contoso]", "[azure.contoso]\npoll_raises = \"none\"", 1)
        } else {
            |toml| toml
        };
        let town = super::town_with(Plan { edit, ..Plan::default() }).await;
        town.poll().await;
        town.scene.azure.remove_webhooks();
        let alert = town.scene.azure.fire(cpu()).unwrap();
        for state in [AlertState::Acknowledged, AlertState::New, AlertState::Closed, AlertState::New] {
            town.scene.azure.set_state(&alert, state, "anna@example.com", "").unwrap();
            town.poll_after(MINUTE).await;
        }
        let before = events(&town).await;
        for _ in 0..5 {
            town.poll_after(MINUTE).await;
        }
        assert_eq!(events(&town).await, before);
        assert_eq!(before.len(), 4, "one for each change: {before:?}");
        assert_eq!(town.pages(&alert).len(), 0);
        town.close().await;
    }
}
