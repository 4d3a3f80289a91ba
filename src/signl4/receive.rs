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
        Ok(Ok(parsed)) => parsed.into_kind(name.clone()),
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
