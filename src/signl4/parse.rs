//! Reads the body of a SIGNL4 outbound webhook.
//!
//! Pure, and never panics. One webhook tells of every alert of the team or the account, ours or not, and of duties
//! besides: most of what comes is of no consequence, and says so by name. Everything but the event type may be missing.

use std::time::Duration;

use uuid::Uuid;

use crate::domain::event::{EventKind, Happened, Person, Signl4Change};
use crate::domain::id::{ExternalId, TeamName};
use crate::domain::timestamp::Timestamp;
use crate::lenient::{self, Object, cut};

/// Longest note and name that are taken over, in characters.
const NOTE_CHARS: usize = 2_000;
const NAME_CHARS: usize = 100;
/// How far SIGNL4's clock may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// What a body says.
#[derive(Clone, Debug, PartialEq)]
pub enum Signl4Parsed {
    /// Something happened to a page of this bridge.
    Ours { page: ExternalId, change: Signl4Change },
    /// Something happened to an alert that another system raised.
    Foreign,
    /// Understood, and of no consequence.
    NoConsequence { why: &'static str },
}

impl Signl4Parsed {
    /// The event that it is to the domain.
    pub fn into_kind(self, team: TeamName) -> EventKind {
        match self {
            Self::Ours { page, change } => EventKind::Signl4 { team, page, change },
            Self::Foreign => EventKind::Ignored { team, why: "an alert of another system" },
            Self::NoConsequence { why } => EventKind::Ignored { team, why },
        }
    }
}

/// Why a body is no event that we can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("the body is not JSON: {problem}")]
    NotJson { problem: String },
    #[error("the body is JSON, but not an object")]
    NotAnObject,
    #[error("no `eventType`, so this is not a notification of SIGNL4's outbound webhook")]
    NoEventType,
}

/// Reads one webhook body. `own_user_id` is the SIGNL4 user under which this bridge writes: never a person.
pub fn parse(body: &[u8], received_at: Timestamp, own_user_id: Option<&str>) -> Result<Signl4Parsed, ParseError> {
    let text = lenient::utf8(body);
    let value = lenient::read(&text).map_err(|error| ParseError::NotJson { problem: error.to_string() })?;
    let root = Object::of(&value).ok_or(ParseError::NotAnObject)?;
    let event_type = root.whole_number("eventType").ok_or(ParseError::NoEventType)?;
    let alert = root.object("alert");
    let person = person(&root.object("user"), own_user_id);
    let happened = match event_type {
        200 => Some(Happened::Created),
        201 => status_change(alert.whole_number("statusCode").unwrap_or(0), person.is_some()),
        202 => Some(Happened::Escalated),
        203 => Some(Happened::Annotated),
        1 => return Ok(Signl4Parsed::NoConsequence { why: "the test event" }),
        300..=303 => return Ok(Signl4Parsed::NoConsequence { why: "a duty event" }),
        _ => return Ok(Signl4Parsed::NoConsequence { why: "an event type that is not known" }),
    };
    let Some(external_id) = alert.text("externalEventId") else {
        return Ok(Signl4Parsed::NoConsequence { why: "an alert without an external id" });
    };
    let Some(page) = ExternalId::returned(&external_id) else {
        return Ok(Signl4Parsed::Foreign);
    };
    let Some(happened) = happened else {
        return Ok(Signl4Parsed::NoConsequence { why: "a status that is not known" });
    };
    let change = Signl4Change {
        notification_id: root.text("id").map(|id| cut(&id, NAME_CHARS).to_ascii_lowercase()),
        happened,
        raised_at: raised_at(&root, received_at),
        person,
        alert_id: alert.text("id").map(|id| cut(&id, NAME_CHARS)),
        note: root.object("annotation").text("message").map(|note| cut(&note, NOTE_CHARS)),
        polled: false,
    };
    Ok(Signl4Parsed::Ours { page, change })
}

/// A time from the future would stand before every later event: beyond what clocks may differ, the time of receipt
/// takes its place.
fn raised_at(root: &Object<'_>, received_at: Timestamp) -> Timestamp {
    root.time("eventRaisedUtc").filter(|time| time.since(received_at) <= CLOCKS_DIFFER).unwrap_or(received_at)
}

/// `alert.statusCode` is a set of flags: 1 open, 2 acknowledged, 4 closed, 8 no reply, 16 nobody on duty.
///
/// What a person did counts before a flag that says that nobody answered earlier; without a person, that nobody was
/// reached counts before the state, because somebody else must hear of it.
fn status_change(status: i64, by_person: bool) -> Option<Happened> {
    let has = |flag: i64| status > 0 && status & flag != 0;
    let state = if has(4) {
        Some(Happened::Closed)
    } else if has(2) {
        Some(Happened::Acknowledged)
    } else {
        None
    };
    let unreached = (has(8) || has(16)).then_some(Happened::NobodyOnDuty);
    let open = has(1).then_some(Happened::Reopened);
    if by_person { state.or(unreached) } else { unreached.or(state) }.or(open)
}

fn person(user: &Object<'_>, own_user_id: Option<&str>) -> Option<Person> {
    let id = cut(&user.text("id")?, NAME_CHARS);
    let nobody = Uuid::try_parse(&id).is_ok_and(|id| id.is_nil());
    let own = own_user_id.is_some_and(|own| own.trim().eq_ignore_ascii_case(&id));
    if nobody || own {
        return None;
    }
    let name = user
        .first_text(&["username", "mailaddress"])
        .map_or_else(|| "a SIGNL4 user".to_owned(), |name| name.split_whitespace().collect::<Vec<_>>().join(" "));
    Some(Person { id, name: cut(&name, NAME_CHARS) })
}

#[cfg(test)]
mod tests;
