//! A body of an Action Group webhook: parsed, rendered for two clouds, judged where nothing is known and once more
//! where everything is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signl4_azure_bridge::azure::parse::parse;
use signl4_azure_bridge::domain::decide::Reason;
use signl4_azure_bridge::domain::event::{Condition, EventKind};
use signl4_azure_bridge::domain::id::{AlertId, digest};
use signl4_azure_bridge::domain::page::Known;
use signl4_azure_bridge::domain::render::{render, render_unreadable};
use signl4_azure_bridge::domain::thread::{Step, thread};
use signl4_azure_bridge_fuzz::{PORTALS, check_page, contoso, judge};

fuzz_target!(|body: &[u8]| {
    let connection = contoso();
    let mut known = Known::default();
    let notification = match parse(body) {
        Ok(notification) => Box::new(notification),
        Err(error) => {
            let problem = error.to_string();
            check_page(&render_unreadable(&problem, &connection), body);
            let verdict = judge(&mut known, &EventKind::Unreadable { connection, digest: digest(body), problem });
            assert_eq!((verdict.reason, verdict.owed.len()), (Reason::Unreadable, 1), "it is paged");
            return;
        }
    };
    for portal in PORTALS {
        check_page(&render(&notification, portal), body);
    }
    let kind = EventKind::Azure { connection: connection.clone(), notification: notification.clone() };
    let first = judge(&mut known, &kind);
    let again = judge(&mut known, &kind);
    match notification.condition {
        Condition::Fired => {
            // A recovery of something that is not open here wakes nobody.
            let ends = thread(&notification).is_some_and(|thread| thread.step == Step::Ends);
            if ends {
                assert_eq!((first.reason, first.pages.len()), (Reason::ResolvedWithoutPage, 0));
            } else {
                assert!(matches!(first.reason, Reason::Raised | Reason::Held), "{:?}", first.reason);
                assert!(!first.pages.is_empty());
            }
            assert_eq!(again.reason, Reason::Repeat);
        }
        Condition::Resolved => {
            assert_eq!(first.reason, Reason::ResolvedUnknown);
            assert!(matches!(again.reason, Reason::Repeat | Reason::ResolvedWithoutPage), "{:?}", again.reason);
        }
    }
    assert!(again.owed.is_empty(), "told twice, done once");
    // Another alert that may be the same matter, and the opposite of this one.
    let mut other = notification.clone();
    other.id = AlertId::parse("/subscriptions/4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604/another");
    judge(&mut known.clone(), &EventKind::Azure { connection: connection.clone(), notification: other });
    let mut opposite = notification;
    opposite.condition = match opposite.condition {
        Condition::Fired => Condition::Resolved,
        Condition::Resolved => Condition::Fired,
    };
    judge(&mut known, &EventKind::Azure { connection, notification: opposite });
});
