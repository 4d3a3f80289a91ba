//! How Azure is asked: pages, limits, refusals, and answers that are not as documented.

use std::time::Duration;

use signl4_azure_bridge::domain::delivery::Destination;
use signl4_azure_bridge::domain::id::{ConnectionName, SubscriptionId};
use signl4_azure_bridge::simulator::azure::{AlertState, RangeOf, Role};
use signl4_azure_bridge::simulator::calls::{Call, Operation};
use signl4_azure_bridge::simulator::faults::{Action, Fault, RetryAfter};
use signl4_azure_bridge::simulator::scene::{CLIENT, CLIENT_SECRET, SUBSCRIPTION, TENANT};
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use super::{MINUTE, behind_a_firewall, cpu, disk, events};
use crate::town::{Plan, Town, set_role};

const SECOND: &str = "eeeeeeee-1111-4222-8333-444444444444";

fn lists(town: &Town) -> Vec<Call> {
    town.scene.azure.read(|state| state.calls_of(Operation::ListAlerts).cloned().collect())
}

async fn with_two_subscriptions() -> Town {
    let town = super::town_with(Plan {
        edit: |toml| {
            let both = format!("subscriptions = [\"{SUBSCRIPTION}\", \"{SECOND}\"]");
            let lines = toml.lines().filter(|line| !line.starts_with("token         ="));
            let lines = lines.map(|line| if line.starts_with("subscriptions") { both.as_str() } else { line });
            lines.collect::<Vec<_>>().join("\n")
        },
        ..Plan::default()
    })
    .await;
    town.scene.azure.remove_webhooks();
    town.scene.azure.add_subscription(TENANT, SECOND);
    town
}

#[tokio::test]
async fn a_poll_asks_for_the_newest_changes_and_stops_where_it_has_read() {
    for range_of in [RangeOf::StartDateTime, RangeOf::LastModifiedDateTime] {
        let town = behind_a_firewall().await;
        town.scene.azure.knobs(|knobs| knobs.range_of = range_of);
        for _ in 0..600 {
            town.scene.azure.fire(cpu().suppressed()).unwrap();
        }
        town.scene.azure.take_calls();
        town.poll_after(Duration::from_mins(10)).await;
        let first = lists(&town);
        assert_eq!(first.len(), 3, "600 alerts are three pages");
        for (name, value) in [
            ("api-version", "2019-05-05-preview"),
            ("sortBy", "lastModifiedDateTime"),
            ("sortOrder", "desc"),
            ("pageCount", "250"),
            ("timeRange", "30d"),
        ] {
            assert!(first.iter().all(|call| call.query(name).as_deref() == Some(value)), "{name}");
        }
        town.scene.azure.take_calls();
        town.clock.advance(Duration::from_mins(10));
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.poll().await;
        assert_eq!(lists(&town).len(), 1, "the first page reaches back to what was read");
        town.page(&alert);
        town.close().await;
    }
}

#[tokio::test]
async fn the_next_page_is_fetched_from_no_other_host() {
    let town = behind_a_firewall().await;
    town.scene.azure.knobs(|knobs| knobs.next_link_base = Some("https://attacker.example.com".to_owned()));
    for _ in 0..300 {
        town.scene.azure.fire(cpu().suppressed()).unwrap();
    }
    town.poll_after(MINUTE).await;
    assert_eq!(lists(&town).len(), 2, "one for each poll");
    let readyz: serde_json::Value =
        town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap().json().await.unwrap();
    let problem = readyz["polls"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("attacker.example.com"), "it is told: {problem}");
    assert!(town.scene.signl4.alerts().iter().any(|page| page.title.contains("cannot be polled")), "and alarmed");
    // Mended, it goes on where it was.
    town.scene.azure.knobs(|knobs| knobs.next_link_base = None);
    town.poll_after(MINUTE).await;
    let recorded = events(&town).await.into_iter().filter(|(_, reason)| reason == "recorded_by_poll").count();
    assert_eq!(recorded, 300);
    town.close().await;
}

#[tokio::test]
async fn a_forbidden_subscription_stops_no_other_and_is_told_once() {
    let town = with_two_subscriptions().await;
    town.poll_after(MINUTE).await;
    for _ in 0..5 {
        town.poll_after(MINUTE).await;
    }
    let alert = town.scene.azure.fire(cpu().subscription(SUBSCRIPTION)).unwrap();
    town.poll_after(MINUTE).await;
    town.page(&alert);
    let alarms: Vec<String> = town
        .scene
        .signl4
        .alerts()
        .into_iter()
        .filter(|page| page.title.starts_with("Bridge:"))
        .map(|page| page.title)
        .collect();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    // Allowed, it is read at its next time.
    town.scene.azure.assign_role(CLIENT, SECOND, Some(Role::Reader));
    let other = town.scene.azure.fire(disk().subscription(SECOND)).unwrap();
    town.poll_after(MINUTE).await;
    let of_second = |id: &str| town.scene.signl4.alert(&format!("azmon:{SECOND}:{id}")).is_some();
    assert!(of_second(&other));
    town.close().await;
}

#[tokio::test]
async fn subscriptions_are_asked_one_after_the_other() {
    let town = with_two_subscriptions().await;
    town.scene.azure.assign_role(CLIENT, SECOND, Some(Role::Reader));
    town.bridge.reconciler.step().await;
    assert_eq!(lists(&town).len(), 1, "the second comes a little later");
    town.poll_after(Duration::from_secs(1)).await;
    assert_eq!(lists(&town).len(), 2);
    town.close().await;
}

#[tokio::test]
async fn a_slow_subscription_stops_no_other() {
    let town = with_two_subscriptions().await;
    town.scene.azure.assign_role(CLIENT, SECOND, Some(Role::Reader));
    town.poll_after(MINUTE).await;
    let hang = Fault::new(Action::Hang).on(Operation::ListAlerts).on_path(SECOND).always();
    town.scene.azure.faults().plan(hang);
    let alert = town.scene.azure.fire(cpu().subscription(SUBSCRIPTION)).unwrap();
    town.poll_after(MINUTE).await;
    town.page(&alert);
    town.scene.azure.faults().clear();
    town.close().await;
}

#[tokio::test]
async fn a_wish_to_wait_is_honoured() {
    let town = behind_a_firewall().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.scene.azure.faults().plan(Fault::throttled(RetryAfter::Seconds(180)).on(Operation::ListAlerts));
    town.scene.azure.take_calls();
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    assert_eq!(lists(&town).len(), 1, "Azure is not asked while it asks us to wait");
    town.poll_after(MINUTE).await;
    assert_eq!(lists(&town).len(), 2);
    town.page(&alert);
    town.close().await;
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let town = behind_a_firewall().await;
    town.scene.azure.revoke_tokens();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    town.page(&alert);
    town.close().await;
}

#[tokio::test]
async fn trouble_on_the_way_is_waited_out() {
    for fault in [
        Fault::status(500),
        Fault::new(Action::Garbage),
        Fault::new(Action::Html { status: 200 }),
        Fault::new(Action::Body { status: 200, body: serde_json::json!({ "value": null }) }),
    ] {
        let town = behind_a_firewall().await;
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.scene.azure.faults().plan(fault.clone().on(Operation::ListAlerts));
        town.poll_after(MINUTE).await;
        assert_eq!(town.pages(&alert).len(), 0, "{fault:?}");
        town.poll_after(MINUTE).await;
        town.page(&alert);
        town.close().await;
    }
}

#[tokio::test]
async fn a_list_that_comes_cut_off_is_asked_for_in_smaller_pages() {
    let town = behind_a_firewall().await;
    for _ in 0..60 {
        town.scene.azure.fire(cpu().suppressed()).unwrap();
    }
    town.scene.azure.faults().plan(Fault::new(Action::CutMidBody).on(Operation::ListAlerts));
    town.scene.azure.take_calls();
    town.poll_after(Duration::from_mins(10)).await;
    let counts: Vec<_> = lists(&town).iter().map(|call| call.query("pageCount").unwrap()).collect();
    assert_eq!(counts, ["250", "50", "50"]);
    town.close().await;
}

#[tokio::test]
async fn a_context_that_cannot_be_read_is_asked_for_again() {
    let town = behind_a_firewall().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.scene.azure.faults().plan(Fault::status(500).on(Operation::GetAlert));
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&alert).len(), 0);
    town.poll_after(MINUTE).await;
    assert!(town.page(&alert).title.contains("97.4"), "{}", town.page(&alert).title);
    town.close().await;
}

#[tokio::test]
async fn an_alert_that_cannot_be_read_holds_up_no_other_and_is_paged_as_it_is_listed() {
    for status in [500, 503, 403] {
        let town = behind_a_firewall().await;
        let (unread, other) = (town.scene.azure.fire(cpu()).unwrap(), town.scene.azure.fire(disk()).unwrap());
        let fault = Fault::status(status).on(Operation::GetAlert).on_path(&unread).always();
        town.scene.azure.faults().plan(fault);
        let problem = async || {
            let readyz = town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap();
            readyz.json::<serde_json::Value>().await.unwrap()["polls"][0]["problem"].clone()
        };
        town.poll_after(MINUTE).await;
        if status != 503 {
            town.page(&other);
        }
        let mut told = Vec::new();
        for _ in 0..6 {
            town.poll_after(Duration::from_secs(20)).await;
            told.extend(problem().await.as_str().map(str::to_owned));
        }
        town.page(&other);
        assert!(town.page(&unread).title.starts_with("Sev1 "), "{status}: {}", town.page(&unread).title);
        assert!(
            told.iter().any(|problem| problem.contains(&unread) && problem.contains("as it is listed")),
            "{told:?}"
        );
        // Everything was told: the list is read from there on.
        town.scene.azure.take_calls();
        town.poll_after(MINUTE).await;
        town.poll_after(MINUTE).await;
        assert_eq!(problem().await, serde_json::Value::Null);
        assert_eq!(town.scene.azure.read(|state| state.calls_of(Operation::GetAlert).count()), 0);
        town.page(&unread);
        town.close().await;
    }
}

#[tokio::test]
async fn an_alert_that_the_list_shows_late_is_found() {
    let town = behind_a_firewall().await;
    let late = town.scene.azure.fire(cpu()).unwrap();
    town.scene.azure.list_late(&late, town.clock.now().plus(Duration::from_secs(90))).unwrap();
    // More than a page of later changes lie above it when it appears.
    town.clock.advance(Duration::from_secs(30));
    for _ in 0..300 {
        town.scene.azure.fire(disk().suppressed()).unwrap();
    }
    town.poll_after(Duration::from_secs(30)).await;
    assert_eq!(town.pages(&late).len(), 0);
    town.poll_after(MINUTE).await;
    town.page(&late);
    town.close().await;
}

#[tokio::test]
async fn the_context_may_lie_deeper_or_be_missing_from_the_alert_alone() {
    for nested in [false, true] {
        let town = behind_a_firewall().await;
        town.scene.azure.knobs(|knobs| knobs.nested_context = nested);
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.poll_after(MINUTE).await;
        assert!(town.page(&alert).title.contains("97.4"), "{}", town.page(&alert).title);
        town.close().await;
    }
}

#[tokio::test]
async fn an_alert_that_comes_alone_without_its_context_is_found_in_a_list_with_it() {
    let town = behind_a_firewall().await;
    town.scene.azure.knobs(|knobs| knobs.context_only_in_lists = true);
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    assert!(town.page(&alert).title.contains("97.4"), "{}", town.page(&alert).title);
    town.close().await;
}

#[tokio::test]
async fn fields_that_are_missing_and_numbers_that_are_text_cost_no_page() {
    let town = super::town_with(Plan {
        edit: |toml| toml.lines().filter(|line| !line.starts_with("token         =")).collect::<Vec<_>>().join("\n"),
        ..Plan::default()
    })
    .await;
    town.scene.azure.remove_webhooks();
    town.scene.azure.knobs(|knobs| {
        knobs.sparse = true;
        knobs.next_link_with_port = true;
    });
    // More than a page, from before the first poll looks back to.
    for _ in 0..300 {
        town.scene.azure.fire(disk()).unwrap();
    }
    town.poll_after(Duration::from_hours(2)).await;
    let lists = lists(&town);
    assert_eq!(lists.len(), 2);
    let link = lists[0].answer_json()["nextLink"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("{}/", town.scene.azure.url())), "an address with its port: {link}");
    assert!(link.ends_with(&lists[1].path), "followed as it is: {link}");
    let recorded = events(&town).await.into_iter().filter(|(_, reason)| reason == "recorded_by_poll").count();
    assert_eq!(recorded, 300);
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    assert!(town.page(&alert).title.starts_with("Sev1 "), "{}", town.page(&alert).title);
    town.scene.azure.set_state(&alert, AlertState::Acknowledged, "anna@example.com", "").unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Acknowledged);
    town.scene.azure.resolve(&alert).unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Closed);
    town.close().await;
}

#[tokio::test]
async fn a_role_taken_away_and_given_back_loses_nothing() {
    let town = behind_a_firewall().await;
    set_role(&town.scene, None);
    let alert = town.scene.azure.fire(cpu()).unwrap();
    for _ in 0..30 {
        town.poll_after(MINUTE).await;
    }
    set_role(&town.scene, Some(Role::Bridge));
    town.poll_after(MINUTE).await;
    assert_eq!(town.page(&alert).status, AlertStatus::Open);
    assert_eq!(town.azure_state(&alert), AlertState::New);
    town.close().await;
}

#[tokio::test]
async fn what_azure_says_of_its_bucket_in_answer_to_a_poll_is_followed() {
    let town = behind_a_firewall().await;
    town.clock.advance(MINUTE);
    let azure = town.scene.azure.url();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("client_secret", CLIENT_SECRET),
        ("scope", "https://management.azure.com/.default"),
    ];
    let token = town.http.post(format!("{azure}/{TENANT}/oauth2/v2.0/token")).form(&form).send().await.unwrap();
    let token: serde_json::Value = token.json().await.unwrap();
    // Another tool with the same identity.
    let unknown = format!("{azure}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/unknown");
    for _ in 0..240 {
        let read = town.http.get(&unknown).query(&[("api-version", "2019-05-05-preview")]);
        let read = read.bearer_auth(token["access_token"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(read.status(), 404);
    }
    town.poll().await;
    let subscription =
        Destination::subscription(&ConnectionName::parse("contoso").unwrap(), &SubscriptionId::new(SUBSCRIPTION));
    let left = (0..20).filter(|_| town.bridge.paces.take_read(&subscription, town.clock.now()).is_ok()).count();
    assert_eq!(left, 9, "of 250 that the bucket holds");
    town.close().await;
}
