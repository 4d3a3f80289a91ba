//! What SIGNL4's REST answers say of an alert, and which events of the outbound webhook they stand for.
//!
//! Pure and lenient: enumerations come as numbers, as text that holds a number, or as words.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Listed;
use crate::domain::event::{Happened, Person, Signl4Change};
use crate::domain::id::ExternalId;
use crate::domain::page::{Page, PageState, Phase};
use crate::domain::timestamp::Timestamp;
use crate::lenient::{self, Json, Object, cut};

/// Longest note that is taken over, in characters.
const NOTE_CHARS: usize = 2_000;
const STATES: [(&str, i64); 6] =
    [("open", 1), ("acknowledged", 2), ("closed", 4), ("noreply", 8), ("failed", 16), ("error", 32)];
/// `alertDeliveryStatus`: nobody was on duty, nobody was notified.
const NOBODY: [(&str, i64); 2] = [("noononduty", 30), ("noonenotified", 31)];
const ENTRIES: [(&str, i64); 8] = [
    ("alertopened", 1),
    ("alertacknowledged", 2),
    ("annotation", 3),
    ("alertclosed", 5),
    ("alertacknowledgeundo", 6),
    ("alertcloseundo", 7),
    ("alertescalatedtomanager", 9),
    ("alertescalatedtoteam", 10),
];

/// An alert of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    pub id: String,
    pub page: ExternalId,
    pub state: Option<PageState>,
    pub nobody_on_duty: bool,
    pub modified_at: Option<Timestamp>,
    acknowledged_at: Option<Timestamp>,
    acknowledged_by: Vec<String>,
    closed_at: Option<Timestamp>,
    closed_by: Option<String>,
    /// As it came.
    pub body: String,
}

/// Something that happened to an alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Empty where SIGNL4 gives none.
    id: String,
    pub kind: EntryKind,
    at: Timestamp,
    pub user: Option<String>,
    text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Opened,
    Acknowledged,
    Annotated,
    Closed,
    AcknowledgeUndone,
    CloseUndone,
    Escalated,
}

/// `None` if the body is no list.
pub(super) fn list(body: &[u8]) -> Option<Listed> {
    let text = lenient::utf8(body);
    let value = lenient::read(&text).ok()?;
    let root = Object::of(&value)?;
    let alerts = match root.value("results") {
        Some(results) => results.as_array()?.iter().filter_map(info).collect(),
        None if root.has("hasMore") => Vec::new(),
        None => return None,
    };
    let more = root.text("hasMore").is_none_or(|more| more.eq_ignore_ascii_case("true"));
    Some(Listed {
        alerts,
        next: root.value("continuationToken").filter(|_| more).and_then(|token| serde_json::to_value(token).ok()),
    })
}

fn info(entry: &Json<'_>) -> Option<Info> {
    let root = Object::of(entry)?;
    let (status, history) = (root.object("status"), root.object("history"));
    let code = number(status.value("statusCode").or_else(|| root.value("statusCode"))?, &STATES);
    let has = |flag: i64| code.is_some_and(|code| code > 0 && code & flag != 0);
    let state = if has(4) {
        Some(PageState::Closed)
    } else if has(2) {
        Some(PageState::Acknowledged)
    } else {
        has(1).then_some(PageState::Open)
    };
    let delivery = status.object("alertDeliveryStatus");
    let reached = delivery.value("statusCode").or_else(|| status.value("alertDeliveryStatus"));
    let reached = reached.and_then(|value| number(value, &NOBODY));
    Some(Info {
        id: root.text("id")?,
        page: ExternalId::returned(&root.text("externalId")?)?,
        state,
        nobody_on_duty: has(8) || has(16) || NOBODY.iter().any(|(_, known)| reached == Some(*known)),
        modified_at: root.time("lastModified"),
        acknowledged_at: history.time("acknowledgedAt"),
        acknowledged_by: history.list("acknowledgements").iter().filter_map(|entry| user(entry)).collect(),
        closed_at: history.time("closedAt"),
        closed_by: history.text("closedBy"),
        body: serde_json::to_string(entry).unwrap_or_default(),
    })
}

/// The id of a user, bare or in an object.
fn user(value: &Json<'_>) -> Option<String> {
    match Object::of(value) {
        Some(object) => object.first_text(&["userId", "id"]),
        None => lenient::text(value),
    }
}

/// An enumeration's number, or the word for it.
fn number(value: &Json<'_>, words: &[(&str, i64)]) -> Option<i64> {
    let text = lenient::text(value)?;
    let plain = text.replace([' ', '_'], "").to_ascii_lowercase();
    let word = words.iter().find(|(word, _)| *word == plain).map(|(_, number)| *number);
    word.or_else(|| format!("{:.0}", text.trim().parse::<f64>().ok()?).parse().ok())
}

/// The entries of a timeline that mean something here, oldest first.
pub(super) fn timeline(body: &[u8]) -> Vec<Entry> {
    let text = lenient::utf8(body);
    let Ok(value) = lenient::read(&text) else { return Vec::new() };
    let root = Object::of(&value).unwrap_or_else(Object::empty);
    let entries = root.value("timelineEntries").and_then(Json::as_array);
    let mut found: Vec<Entry> = entries.into_iter().flatten().filter_map(entry).collect();
    found.sort_by_key(|entry| entry.at);
    found
}

fn entry(entry: &Json<'_>) -> Option<Entry> {
    let root = Object::of(entry)?;
    let kind = match number(root.value("entrytype").or_else(|| root.value("type"))?, &ENTRIES)? {
        1 => EntryKind::Opened,
        2 => EntryKind::Acknowledged,
        3 => EntryKind::Annotated,
        5 => EntryKind::Closed,
        6 => EntryKind::AcknowledgeUndone,
        7 => EntryKind::CloseUndone,
        9 | 10 => EntryKind::Escalated,
        _ => return None,
    };
    Some(Entry {
        id: root.text("id").map(|id| cut(&id, 100)).unwrap_or_default(),
        kind,
        at: root.time("timestamp")?,
        user: root.text("userId"),
        text: root.text("text").map(|text| cut(&text, NOTE_CHARS)),
    })
}

impl Info {
    /// The users whose names the events need.
    pub fn users(&self, entries: &[Entry]) -> Vec<String> {
        let named: BTreeSet<String> = entries
            .iter()
            .filter_map(|entry| entry.user.clone())
            .chain(self.acknowledged_by.iter().cloned())
            .chain(self.closed_by.clone())
            .filter(|id| !is_nobody(id))
            .collect();
        named.into_iter().collect()
    }
}

fn is_nobody(id: &str) -> bool {
    Uuid::try_parse(id.trim()).is_ok_and(|id| id.is_nil())
}

/// What happened to an alert and the page's row does not know, as the outbound webhook would have told it, in order.
///
/// The entries of the timeline tell it best. Where they do not explain the state, the list's own history does.
pub fn changes(
    info: &Info,
    entries: &[Entry],
    names: &BTreeMap<String, String>,
    own_user: Option<&str>,
    page: &Page,
    now: Timestamp,
) -> Vec<Signl4Change> {
    let teller = Teller { info, names, own_user };
    let mut found: Vec<Signl4Change> = Vec::new();
    if page.phase == Phase::Raising {
        found.push(teller.change(Happened::Created, "created", now, None));
    }
    let mut shown = page.signl4.seen;
    for entry in entries {
        let (happened, state) = match entry.kind {
            EntryKind::Opened => continue,
            EntryKind::Acknowledged => (Happened::Acknowledged, PageState::Acknowledged),
            EntryKind::Closed => (Happened::Closed, PageState::Closed),
            // Whoever re-opens what was acknowledged finds it acknowledged.
            EntryKind::CloseUndone if info.state == Some(PageState::Acknowledged) => {
                (Happened::Acknowledged, PageState::Acknowledged)
            }
            EntryKind::AcknowledgeUndone | EntryKind::CloseUndone => (Happened::Reopened, PageState::Open),
            EntryKind::Annotated | EntryKind::Escalated => {
                let by = entry.user.as_deref();
                let happened =
                    if entry.kind == EntryKind::Annotated { Happened::Annotated } else { Happened::Escalated };
                let told = Signl4Change {
                    note: entry.text.clone().filter(|_| happened == Happened::Annotated),
                    ..teller.change(happened, &entry.key(), entry.at, by)
                };
                // Our own notes are no news, and neither is what was noted before the page was known.
                if (told.person.is_some() || happened == Happened::Escalated) && entry.at >= page.created_at {
                    found.push(told);
                }
                continue;
            }
        };
        // Told before, by a webhook or by us.
        let known = page.changed_at.is_some_and(|changed_at| entry.at <= changed_at);
        let told = teller.change(happened, &entry.key(), entry.at, entry.user.as_deref());
        if known || told.person.is_none() && shown == Some(state) {
            continue;
        }
        shown = Some(state);
        found.push(told);
    }
    if info.state.is_some() && info.state != shown {
        found.extend(teller.by_history(page, now));
    }
    if info.nobody_on_duty && !page.nobody_on_duty && info.state != Some(PageState::Closed) {
        found.push(teller.change(Happened::NobodyOnDuty, "nobody on duty", now, None));
    }
    found
}

impl Entry {
    fn key(&self) -> String {
        if self.id.is_empty() { format!("{:?} {}", self.kind, self.at.as_millis()) } else { self.id.clone() }
    }
}

struct Teller<'a> {
    info: &'a Info,
    names: &'a BTreeMap<String, String>,
    own_user: Option<&'a str>,
}

impl Teller<'_> {
    fn change(&self, happened: Happened, key: &str, at: Timestamp, by: Option<&str>) -> Signl4Change {
        Signl4Change {
            notification_id: Some(format!("poll {} {}", self.info.id, key.to_ascii_lowercase())),
            happened,
            raised_at: at,
            person: by.and_then(|by| self.person(by)),
            alert_id: Some(self.info.id.clone()),
            note: None,
            polled: true,
        }
    }

    fn person(&self, id: &str) -> Option<Person> {
        let own = self.own_user.is_some_and(|own| own.trim().eq_ignore_ascii_case(id.trim()));
        if own || is_nobody(id) || id.trim().is_empty() {
            return None;
        }
        let name = self.names.get(id).cloned().unwrap_or_else(|| "a SIGNL4 user".to_owned());
        Some(Person { id: id.to_owned(), name })
    }

    /// The state alone, with what the list says of how it came about.
    fn by_history(&self, page: &Page, now: Timestamp) -> Option<Signl4Change> {
        let info = self.info;
        let modified_at = info.modified_at.unwrap_or(now);
        // Of two alerts with this id one may be put aside while the other is open.
        let other = page.signl4_alert_id.as_ref().is_some_and(|known| *known != info.id);
        let closed_since = page.signl4.seen == Some(PageState::Closed) && info.acknowledged_at < page.changed_at;
        let (happened, at, by) = match info.state? {
            // Whoever re-opens what was acknowledged finds it acknowledged.
            PageState::Acknowledged if closed_since && !other => (Happened::Acknowledged, modified_at, Some("unknown")),
            PageState::Acknowledged => {
                let by = info.acknowledged_by.last().map(String::as_str);
                (Happened::Acknowledged, info.acknowledged_at.unwrap_or(modified_at), by)
            }
            PageState::Closed => (Happened::Closed, info.closed_at.unwrap_or(modified_at), info.closed_by.as_deref()),
            PageState::Open if other || page.signl4.seen.is_none() => return None,
            // Nobody but a person opens an alert again; SIGNL4 does not say who.
            PageState::Open => (Happened::Reopened, modified_at, Some("unknown")),
        };
        let key = format!("{} {}", happened.as_str(), at.as_millis());
        let told = self.change(happened, &key, at, by);
        let known = page.changed_at.is_some_and(|changed_at| at < changed_at);
        (!known).then_some(told)
    }
}
