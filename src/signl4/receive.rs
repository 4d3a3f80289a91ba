//! A body from SIGNL4's outbound webhook, of an authenticated caller: it becomes an event that is kept.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use bytes::Bytes;

use super::parse::{ParseError, Signl4Parsed};
use crate::caller::Verified;
use crate::config::Team;
use crate::domain::event::EventKind;
use crate::domain::id::{Side, TeamName};
use crate::domain::timestamp::Timestamp;
use crate::store::Incoming;

/// Reads a body; [`super::parse::parse`], or a test's own.
pub type Parse = fn(&[u8], Timestamp, Option<&str>) -> Result<Signl4Parsed, ParseError>;

/// Never fails: what cannot be read is counted, logged and kept.
pub fn receive(
    caller: &Verified<(&TeamName, &Team)>,
    body: Bytes,
    headers: BTreeMap<String, String>,
    now: Timestamp,
    parse: Parse,
) -> Incoming {
    let (name, team) = *caller.get();
    let kind = match catch_unwind(|| parse(&body, now, team.user_id.as_deref())) {
        Ok(Ok(parsed)) => once_for_the_account(parsed.into_kind(name.clone()), team),
        Ok(Err(error)) => {
            tracing::warn!(source = %name, problem = %error, "an event from SIGNL4 could not be understood; it is kept");
            EventKind::Ignored { team: name.clone(), why: "unreadable" }
        }
        Err(_) => {
            tracing::error!(source = %name, "a fault in the bridge: this event could not be read; it is kept");
            EventKind::Ignored { team: name.clone(), why: "unreadable" }
        }
    };
    Incoming { kind, side: Side::Signl4, source: name.to_string(), body, headers }
}

/// A team's webhook and its account's tell the same event with the same id: it is one event.
fn once_for_the_account(kind: EventKind, team: &Team) -> EventKind {
    match kind {
        EventKind::Signl4 { team: name, page, mut change } => {
            change.notification_id = change.notification_id.map(|id| format!("{} {id}", team.account));
            EventKind::Signl4 { team: name, page, change }
        }
        other @ (EventKind::Azure { .. }
        | EventKind::Polled { .. }
        | EventKind::Foreign { .. }
        | EventKind::Unreadable { .. }
        | EventKind::Alarm { .. }
        | EventKind::Ignored { .. }
        | EventKind::Timer { .. }) => other,
    }
}
