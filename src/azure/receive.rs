//! A body from an Action Group, of an authenticated caller: whatever it is, it becomes an event that is kept.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use bytes::Bytes;

use super::parse::ParseError;
use crate::caller::Verified;
use crate::config::Connection;
use crate::domain::event::{EventKind, Notification};
use crate::domain::id::{ConnectionName, Side, digest};
use crate::store::Incoming;

/// Reads a body; [`super::parse::parse`], or a test's own.
pub type Parse = fn(&[u8]) -> Result<Notification, ParseError>;

/// Never fails: what cannot be read is an unreadable event, and a fault in the parser costs only this body.
pub fn receive(
    caller: &Verified<(&ConnectionName, &Connection)>,
    body: Bytes,
    headers: BTreeMap<String, String>,
    parse: Parse,
) -> Incoming {
    let (name, connection) = *caller.get();
    let unreadable =
        |problem: String| EventKind::Unreadable { connection: name.clone(), digest: digest(&body), problem };
    let kind = match catch_unwind(|| parse(&body)) {
        Ok(Ok(notification)) => judge_subscription(name, connection, notification),
        Ok(Err(error)) => unreadable(error.to_string()),
        Err(_) => {
            tracing::error!(source = %name, "a fault in the bridge: this body could not be read; it is kept");
            unreadable("the bridge failed while reading it; the body is kept".to_owned())
        }
    };
    Incoming { kind, side: Side::Azure, source: name.to_string(), body, headers }
}

/// Another tenant's alert must page nobody. Test notifications name a subscription of Azure's own.
fn judge_subscription(name: &ConnectionName, connection: &Connection, notification: Notification) -> EventKind {
    let subscription = notification.id.subscription();
    let ours = notification.is_test()
        || subscription.is_none_or(|subscription| connection.subscriptions.contains(subscription));
    if ours {
        EventKind::Azure { connection: name.clone(), notification: Box::new(notification) }
    } else {
        EventKind::Foreign { connection: name.clone(), subscription: subscription.cloned() }
    }
}
