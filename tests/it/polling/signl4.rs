//! SIGNL4 polled: what people do on the phone reaches Azure without any outbound webhook.

use signl4_azure_bridge::simulator::azure::{AlertState, Role};
use signl4_azure_bridge::simulator::calls::{Answered, Call, Operation};
use signl4_azure_bridge::simulator::faults::{Fault, RetryAfter};
use signl4_azure_bridge::simulator::scene::{JANE, JOHN};
use signl4_azure_bridge::simulator::signl4::{AlertStatus, NoteIn};

use super::{MINUTE, behind_a_firewall, cpu, events};
use crate::town::{Plan, Town, set_role};

fn lists(town: &Town) -> Vec<Call> {
    town.scene.signl4.read(|state| state.calls_of(Operation::PagedAlerts).cloned().collect())
}

type Act = fn(&Town, &str);

/// Webhooks and polls on both sides.
async fn with_both() -> Town {
    let town = super::town_with(Plan { edit: |toml| format!("{toml}\npoll = \"1m\"\n"), ..Plan::default() }).await;
    town.poll().await;
    town
}

#[tokio::test]
async fn the_whole_story_passes_by_polling_alone() {
    for (enums_as_text, without_details) in [(false, false), (true, false), (true, true)] {
        let town = behind_a_firewall().await;
        town.scene.signl4.knobs(|knobs| {
            knobs.enums_as_text = enums_as_text;
            knobs.without_details = without_details;
        });
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.poll_after(MINUTE).await;
        let page = town.page(&alert);
        assert!(page.title.contains("97.4 %"), "{}", page.title);

        town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.azure_state(&alert), AlertState::Acknowledged);
        assert_eq!(town.azure_comments(&alert), ["Acknowledged by Jane Doe in SIGNL4"]);

        if !without_details {
            town.scene.signl4.annotate(&page.id, JOHN, "restarting the worker").unwrap();
            town.poll_after(MINUTE).await;
            assert_eq!(town.azure_comments(&alert).last().unwrap(), "John Doe in SIGNL4: restarting the worker");
            town.scene.signl4.escalate(&page.id).unwrap();
            town.poll_after(MINUTE).await;
            let escalated = "Escalated in SIGNL4: nobody acknowledged in time";
            assert_eq!(town.azure_comments(&alert).last().unwrap(), escalated);
        }

        town.scene.signl4.unacknowledge(&page.id, JANE).unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.azure_state(&alert), AlertState::New);

        town.clock.advance(MINUTE);
        town.scene.azure.set_state(&alert, AlertState::Acknowledged, "anna@example.com", "").unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.page(&alert).status, AlertStatus::Acknowledged);
        assert_eq!(town.azure_state(&alert), AlertState::Acknowledged);

        town.clock.advance(MINUTE);
        town.scene.signl4.close(&page.id, JOHN, None).unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.azure_state(&alert), AlertState::Closed);
        assert_eq!(town.azure_comments(&alert).last().unwrap(), "Closed by John Doe in SIGNL4");

        town.clock.advance(MINUTE);
        town.scene.signl4.reopen(&page.id, JANE).unwrap();
        town.poll_after(MINUTE).await;
        let reopened = town.page(&alert).status;
        assert_ne!(reopened, AlertStatus::Closed);
        let state = if reopened == AlertStatus::Open { AlertState::New } else { AlertState::Acknowledged };
        assert_eq!(town.azure_state(&alert), state, "re-opened on the phone");
        town.clock.advance(MINUTE);
        town.scene.signl4.close(&page.id, JOHN, None).unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.azure_state(&alert), AlertState::Closed);

        town.clock.advance(MINUTE);
        town.scene.azure.set_state(&alert, AlertState::New, "anna@example.com", "").unwrap();
        town.poll_after(MINUTE).await;
        let pages = town.pages(&alert);
        assert_eq!(pages.len(), 2, "set back to New in the portal: whoever is on duty is paged anew");
        assert_eq!((pages[0].status, pages[1].status), (AlertStatus::Closed, AlertStatus::Open));

        let resolved = town.scene.azure.fire(cpu()).unwrap();
        town.poll_after(MINUTE).await;
        town.scene.azure.resolve(&resolved).unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.page(&resolved).status, AlertStatus::Closed);

        let closed = town.scene.azure.fire(cpu()).unwrap();
        town.poll_after(MINUTE).await;
        town.scene.azure.set_state(&closed, AlertState::Closed, "anna@example.com", "").unwrap();
        town.poll_after(MINUTE).await;
        assert_eq!(town.page(&closed).status, AlertStatus::Closed);

        let before = events(&town).await.len();
        let changes = |town: &Town| town.scene.azure.read(|state| state.calls_of(Operation::ChangeState).count());
        let made = changes(&town);
        for _ in 0..15 {
            town.poll_after(MINUTE).await;
        }
        assert_eq!(events(&town).await.len(), before, "and then nothing moves any more");
        assert_eq!(changes(&town), made);
        town.close().await;
    }
}

#[tokio::test]
async fn what_webhook_and_poll_both_tell_is_one_change_and_one_comment() {
    for webhook_first in [true, false] {
        for note_in in [NoteIn::StatusEvent, NoteIn::OwnEvent] {
            let town = with_both().await;
            town.scene.signl4.knobs(|knobs| knobs.note_in = note_in);
            let alert = town.scene.azure.fire(cpu()).unwrap();
            town.settle().await;
            let page = town.page(&alert).id;
            let acts: [Act; 4] = [
                |town, page| drop(town.scene.signl4.acknowledge(page, JANE, None).unwrap()),
                |town, page| drop(town.scene.signl4.annotate(page, JOHN, "on it").unwrap()),
                |town, page| drop(town.scene.signl4.unacknowledge(page, JANE).unwrap()),
                |town, page| drop(town.scene.signl4.close(page, JOHN, None).unwrap()),
            ];
            for act in acts {
                if webhook_first {
                    act(&town, &page);
                    town.settle().await;
                    town.poll_after(MINUTE).await;
                } else {
                    town.scene.signl4.webhooks().hold();
                    act(&town, &page);
                    town.poll_after(MINUTE).await;
                    let order = signl4_azure_bridge::simulator::outbox::Order::AsHeld;
                    town.scene.signl4.webhooks().release(order).await;
                    town.settle().await;
                }
            }
            assert_eq!(
                town.azure_comments(&alert),
                [
                    "Acknowledged by Jane Doe in SIGNL4",
                    "John Doe in SIGNL4: on it",
                    "Acknowledgement withdrawn by Jane Doe in SIGNL4",
                    "Closed by John Doe in SIGNL4",
                ],
                "webhook first: {webhook_first}"
            );
            town.close().await;
        }
    }
}

#[tokio::test]
async fn a_note_typed_while_acknowledging_is_told_once_when_the_webhook_was_first() {
    for note_in in [NoteIn::StatusEvent, NoteIn::OwnEvent] {
        let town = with_both().await;
        town.scene.signl4.knobs(|knobs| knobs.note_in = note_in);
        let alert = town.scene.azure.fire(cpu()).unwrap();
        town.settle().await;
        town.scene.signl4.acknowledge(&town.page(&alert).id, JANE, Some("on it")).unwrap();
        town.settle().await;
        town.poll_after(MINUTE).await;
        let told = town.azure_comments(&alert).iter().filter(|comment| comment.contains("on it")).count();
        assert_eq!(told, 1, "{:?}", town.azure_comments(&alert));
        town.close().await;
    }
}

#[tokio::test]
async fn one_page_that_cannot_be_read_holds_up_no_other() {
    for status in [500, 503] {
        let town = behind_a_firewall().await;
        let (unread, other) = (town.scene.azure.fire(cpu()).unwrap(), town.scene.azure.fire(cpu()).unwrap());
        town.poll_after(MINUTE).await;
        town.poll_after(MINUTE).await;
        let pages = [town.page(&unread).id, town.page(&other).id];
        let fault = Fault::status(status).on(Operation::AlertDetails).on_path(&pages[0]).always();
        town.scene.signl4.faults().plan(fault);
        for page in &pages {
            town.scene.signl4.acknowledge(page, JANE, None).unwrap();
        }
        let problem = async || {
            let readyz = town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap();
            readyz.json::<serde_json::Value>().await.unwrap()["polls"][1]["problem"].clone()
        };
        for poll in 0..3 {
            if status == 500 && poll > 0 {
                assert_eq!(town.azure_state(&other), AlertState::Acknowledged);
                assert_eq!(town.azure_state(&unread), AlertState::New);
            }
            town.poll_after(MINUTE).await;
            assert!(problem().await.as_str().unwrap().contains("500") || status != 500, "it is told");
        }
        for alert in [&unread, &other] {
            assert_eq!(town.azure_state(alert), AlertState::Acknowledged, "{status}: the list tells its state");
        }
        let before = events(&town).await.len();
        town.poll_after(MINUTE).await;
        town.poll_after(MINUTE).await;
        assert_eq!(problem().await, serde_json::Value::Null);
        assert_eq!(events(&town).await.len(), before);
        town.close().await;
    }
}

#[tokio::test]
async fn a_list_is_read_to_its_end_and_then_only_what_changed() {
    let town = behind_a_firewall().await;
    town.scene.signl4.knobs(|knobs| knobs.limits = signl4_azure_bridge::simulator::signl4::Limits::Commercial);
    for _ in 0..150 {
        town.scene.azure.fire(cpu()).unwrap();
    }
    for _ in 0..20 {
        town.poll_after(MINUTE).await;
    }
    assert_eq!(town.scene.signl4.alerts().len(), 150);
    // A page that was not touched for long, and the last of the list.
    town.scene.signl4.take_calls();
    for page in town.scene.signl4.alerts() {
        town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
    }
    for _ in 0..5 {
        town.poll_after(MINUTE).await;
    }
    assert!(lists(&town).iter().any(|call| call.json()["continuationToken"].is_object()), "two pages");
    assert!(lists(&town).iter().all(|call| call.query("maxResults").as_deref() == Some("100")));
    let open = town
        .scene
        .azure
        .read(|state| state.alerts.values().filter(|alert| alert.state != AlertState::Acknowledged).count());
    assert_eq!(open, 0);
    let calls = town.scene.signl4.read(|state| state.calls.len());
    for _ in 0..10 {
        town.poll_after(MINUTE).await;
    }
    let details = town.scene.signl4.read(|state| state.calls_of(Operation::AlertDetails).count());
    assert_eq!(details, 150, "each is looked at once");
    let refused = town
        .scene
        .signl4
        .read(|state| state.calls.iter().filter(|call| call.answered == Answered::Status(429)).count());
    assert_eq!(refused, 0, "within SIGNL4's limits");
    assert!(town.scene.signl4.read(|state| state.calls.len()) < calls + 40);
    town.close().await;
}

#[tokio::test]
async fn signl4s_wish_to_wait_is_honoured() {
    let town = behind_a_firewall().await;
    town.scene.signl4.faults().plan(Fault::throttled(RetryAfter::Seconds(150)).on(Operation::PagedAlerts));
    town.scene.signl4.take_calls();
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    assert_eq!(lists(&town).len(), 1);
    town.poll_after(MINUTE).await;
    assert_eq!(lists(&town).len(), 2);
    town.close().await;
}

#[tokio::test]
async fn a_refused_key_stops_no_page_and_is_told_once() {
    let town = behind_a_firewall().await;
    town.scene.signl4.remove_api_keys();
    for _ in 0..5 {
        town.poll_after(MINUTE).await;
    }
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    town.page(&alert);
    let alarms = town.scene.signl4.alerts().into_iter().filter(|page| page.title.starts_with("Bridge:")).count();
    assert_eq!(alarms, 1);
    town.close().await;
}

#[tokio::test]
async fn nobody_on_duty_is_found() {
    let town = behind_a_firewall().await;
    for person in [JANE, JOHN] {
        town.scene.signl4.set_duty(person, false).unwrap();
    }
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    assert!(town.azure_comments(&alert).iter().any(|text| text.contains("Nobody is on duty")));
    town.poll_after(MINUTE).await;
    assert_eq!(town.azure_comments(&alert).len(), 1, "told once");
    town.close().await;
}

#[tokio::test]
async fn an_escalation_is_told_once_whoever_tells_it() {
    let town = with_both().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.clock.advance(MINUTE);
    town.scene.signl4.escalate(&town.page(&alert).id).unwrap();
    town.settle().await;
    town.poll_after(MINUTE).await;
    assert_eq!(town.azure_comments(&alert), ["Escalated in SIGNL4: nobody acknowledged in time"]);
    town.close().await;
}

#[tokio::test]
async fn what_azure_does_not_take_for_now_is_not_lost() {
    let town = behind_a_firewall().await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.poll_after(MINUTE).await;
    set_role(&town.scene, Some(Role::Reader));
    town.scene.signl4.acknowledge(&town.page(&alert).id, JANE, None).unwrap();
    town.poll_after(MINUTE).await;
    for _ in 0..5 {
        town.poll_after(MINUTE).await;
    }
    set_role(&town.scene, Some(Role::Bridge));
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    assert_eq!(town.azure_state(&alert), AlertState::Acknowledged);
    assert_eq!(town.page(&alert).status, AlertStatus::Acknowledged, "a reading of New undoes nothing");
    town.close().await;
}
