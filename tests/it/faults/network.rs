//! Faults of the network between the bridge and each service: whatever breaks at whichever call, the page comes once, and what
//! people do reaches Azure once.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Fault};
use signl4_azure_bridge::simulator::scene::JANE;
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use crate::town::Town;

fn breaks() -> impl Iterator<Item = Fault> {
    let actions = [
        Action::CutUnprocessed,
        Action::CutProcessed,
        Action::CutMidBody,
        Action::Garbage,
        Action::Html { status: 200 },
        Action::Html { status: 502 },
        Action::Status { status: 500, retry_after: None },
        Action::Status { status: 503, retry_after: None },
        Action::Huge { bytes: 3 * 1024 * 1024 },
    ];
    actions.into_iter().map(Fault::new)
}

/// One alert's whole life while two calls of one kind go wrong in one way.
async fn check(operation: Operation, fault: Fault) {
    let said = format!("{operation:?} {fault:?}");
    let town = Town::new().await;
    let fault = fault.on(operation).times(2);
    let of_signl4 = matches!(operation, Operation::Webhook | Operation::PagedAlerts);
    let side = if of_signl4 { town.scene.signl4.faults() } else { town.scene.azure.faults() };
    side.plan(fault);
    if operation == Operation::PagedAlerts {
        // Only a page of unknown fate is looked up.
        town.scene.signl4.faults().plan(Fault::new(Action::CutProcessed).on(Operation::Webhook));
        town.scene.signl4.webhooks().lose_next(1);
    }
    let id = town.scene.azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    for _ in 0..8 {
        town.after(Duration::from_mins(1)).await;
    }
    assert_eq!(town.pages(&id).len(), 1, "{said}");
    let page = town.page(&id);
    town.scene.signl4.acknowledge(&page.id, JANE, None).unwrap();
    town.settle().await;
    for _ in 0..8 {
        town.after(Duration::from_mins(1)).await;
    }
    assert_eq!(town.azure_state(&id), AlertState::Acknowledged, "{said}");
    assert_eq!(town.azure_comments(&id), ["Acknowledged by Jane Doe in SIGNL4"], "{said}: once");
    town.scene.azure.resolve(&id).unwrap();
    town.settle().await;
    for _ in 0..4 {
        town.after(Duration::from_mins(1)).await;
    }
    assert_eq!(town.page(&id).status, AlertStatus::Closed, "{said}");
    assert_eq!(town.deliveries("dead").await.len(), 0, "{said}");
    assert_eq!(town.bridge.store.audit(town.clock.now()).await.unwrap(), [], "{said}");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_once_whatever_breaks_on_the_way_to_signl4() {
    for fault in breaks() {
        check(Operation::Webhook, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_once_whatever_breaks_while_it_is_looked_up() {
    for fault in breaks() {
        check(Operation::PagedAlerts, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_arrives_once_whatever_breaks_on_the_way_to_azure() {
    for fault in breaks() {
        check(Operation::ChangeState, fault.clone()).await;
        check(Operation::GetAlert, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_arrives_whatever_breaks_on_the_way_to_a_token() {
    for fault in breaks() {
        check(Operation::Token, fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_never_answered_ends() {
    for operation in [Operation::Webhook, Operation::ChangeState] {
        check(operation, Fault::new(Action::Hang)).await;
    }
}

/// Within the time that a call has, and after it: then nobody knows that it was done.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_answered_late_is_done_once() {
    for operation in [Operation::Webhook, Operation::ChangeState] {
        for millis in [300, 3_000] {
            check(operation, Fault::late_answer(Duration::from_millis(millis))).await;
        }
    }
}
