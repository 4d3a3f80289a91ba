//! Comparing the books: what both services say happened, against the bridge's own rows, id by id.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rusqlite::Connection;
use serde_json::Value;
use signl4_azure_bridge::simulator::azure::AlertState;
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::outbox::Attempt;
use signl4_azure_bridge::simulator::scene::{JANE, JOHN};
use signl4_azure_bridge::simulator::signl4::AlertStatus;

use super::process::Ground;

/// What a comparison that found nothing wrong has counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Fired that were answered 200.
    pub(super) fired: usize,
    pub(super) resolved: usize,
    /// Acknowledgements and closes by people that were answered 200.
    pub(super) acknowledged: usize,
    pub(super) closed: usize,
    pub(super) pages: usize,
    /// Alerts that a digest shows at the end.
    pub(super) joined: usize,
    /// Pages that SIGNL4 has twice, all of which were in doubt and could not be looked up.
    pub(super) doubled: usize,
    /// Times that the bridge said and counted that a page may be doubled.
    pub(super) doubts: usize,
    /// What became of the alerts, and of what people did.
    pub(super) reasons: BTreeMap<String, usize>,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.fired += other.fired;
        self.resolved += other.resolved;
        self.acknowledged += other.acknowledged;
        self.closed += other.closed;
        self.pages += other.pages;
        self.joined += other.joined;
        self.doubled += other.doubled;
        self.doubts += other.doubts;
        for (reason, times) in &other.reasons {
            *self.reasons.entry(reason.clone()).or_default() += times;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fired, resolved, acknowledged, closed, pages, joined, doubled, doubts, reasons } = self;
        writeln!(f, "answered 200: {fired} fired, {resolved} resolved, {acknowledged} acknowledged, {closed} closed")?;
        writeln!(
            f,
            "{pages} pages, {joined} alerts in digests, 0 lost, {doubled} doubled where nobody could know, {doubts} times said to be in doubt"
        )?;
        write!(f, "{reasons:?}")
    }
}

/// Bodies of webhooks that were answered 2xx.
fn answered(attempts: &[Attempt]) -> impl Iterator<Item = &Value> {
    attempts.iter().filter(|attempt| attempt.accepted()).map(|attempt| &attempt.body)
}

/// The last segment of an Azure alert id, or the alert's part of an external id.
fn alert_of(id: &str) -> String {
    id.split(['/', ':']).rfind(|part| part.len() == 36).unwrap_or(id).to_owned()
}

struct Raise {
    state: i64,
    uncertain: bool,
}

struct Page {
    id: String,
    phase: String,
    /// External id of the digest that shows it.
    digest: Option<String>,
}

struct Rows {
    /// Reason by alert and kind of event.
    events: BTreeMap<(String, String), Vec<String>>,
    /// By alert.
    pages: BTreeMap<String, Vec<Page>>,
    /// By external id.
    raises: BTreeMap<String, Vec<Raise>>,
    open: Vec<String>,
}

impl Rows {
    fn read(store: &Connection) -> rusqlite::Result<Self> {
        let (mut events, mut pages, mut raises) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut query = store.prepare("SELECT coalesce(alert, page, ''), kind, reason FROM event")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let key = (alert_of(&row.get::<_, String>(0)?), row.get(1)?);
            events.entry(key).or_insert_with(Vec::new).push(row.get(2)?);
        }
        let mut query = store.prepare(
            "SELECT alert, id, json_extract(state, '$.phase'),
                    (SELECT id FROM page AS shown WHERE shown.alert = page.digest) FROM page",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let page = Page { id: row.get(1)?, phase: row.get(2)?, digest: row.get(3)? };
            pages.entry(alert_of(&row.get::<_, String>(0)?)).or_insert_with(Vec::new).push(page);
        }
        let mut query = store.prepare("SELECT page, state, uncertain FROM delivery WHERE kind = 'raise'")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let raise = Raise { state: row.get(1)?, uncertain: row.get(2)? };
            raises.entry(row.get(0)?).or_insert_with(Vec::new).push(raise);
        }
        let mut query =
            store.prepare("SELECT lane || ' ' || kind || ' ' || state FROM delivery WHERE state < 2 OR state = 3")?;
        let open = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Self { events, pages, raises, open })
    }
}

/// Finds what is lost, doubled, out of order or not taken to the other side.
pub(super) fn compare(ground: &Ground, api: bool, wrong: &mut Vec<String>) -> Tally {
    let rows = Rows::read(&Connection::open(ground.database()).unwrap()).unwrap();
    let mut tally = Tally::default();
    wrong.extend(rows.open.iter().map(|open| format!("left over: {open}")));
    alerts(ground, &rows, api, &mut tally, wrong);
    people(ground, &rows, &mut tally, wrong);
    order_in_signl4(ground, &rows, wrong);
    order_in_azure(ground, wrong);
    tally
}

/// Every alert that was answered 200 became what its row says, and SIGNL4 has just the pages that the rows tell of.
fn alerts(ground: &Ground, rows: &Rows, api: bool, tally: &mut Tally, wrong: &mut Vec<String>) {
    let attempts = ground.scene.azure.attempts();
    let heard = |condition: &str| -> BTreeSet<String> {
        answered(&attempts)
            .filter(|body| body["data"]["essentials"]["monitorCondition"] == condition)
            .map(|body| alert_of(body["data"]["essentials"]["alertId"].as_str().unwrap()))
            .collect()
    };
    let (fired, resolved) = (heard("Fired"), heard("Resolved"));
    (tally.fired, tally.resolved) = (fired.len(), resolved.len());
    let mut shown: BTreeMap<String, Vec<AlertStatus>> = BTreeMap::new();
    for page in ground.scene.signl4.alerts() {
        shown.entry(page.external_id.unwrap()).or_default().push(page.status);
    }
    for id in &fired {
        let reasons = rows.events.get(&(id.clone(), "fired".to_owned())).map_or(&[][..], Vec::as_slice);
        // What a poll has found stands beside what the webhook tells, and one of them decides.
        let beside = |reason: &&String| reasons.len() > 1 && ["recorded_by_poll", "repeat"].contains(&reason.as_str());
        let reasons: Vec<&String> = reasons.iter().filter(|reason| !beside(reason)).collect();
        let [reason] = reasons[..] else {
            wrong.push(format!("{id}: answered 200 and stored {} times: {reasons:?}", reasons.len()));
            continue;
        };
        *tally.reasons.entry(reason.clone()).or_default() += 1;
        let pages = rows.pages.get(id).map_or(&[][..], Vec::as_slice);
        match (reason.as_str(), pages) {
            ("raised" | "held" | "joined_digest", [page]) => paged(id, page, rows, &shown, api, tally, wrong),
            ("superseded_by_resolved", []) => {}
            _ => wrong.push(format!("{id}: {reason} with {} pages", pages.len())),
        }
    }
    for (id, pages) in &rows.pages {
        for page in pages.iter().filter(|page| page.id.starts_with("azmon:digest:")) {
            if rows.raises.contains_key(&page.id) {
                raised(id, &page.id, rows, &shown, api, tally, wrong);
            } else if page.phase != "ended" {
                wrong.push(format!("{}: {} and never raised", page.id, page.phase));
            }
        }
    }
    for id in &resolved {
        if !rows.events.contains_key(&(id.clone(), "resolved".to_owned())) {
            wrong.push(format!("{id}: its Resolved was answered 200 and is not stored"));
        }
        for page in rows.pages.get(id).into_iter().flatten() {
            if shown.get(&page.id).is_some_and(|states| states.iter().any(|state| *state != AlertStatus::Closed)) {
                wrong.push(format!("{}: resolved in Azure, and open in SIGNL4", page.id));
            }
        }
    }
    let known: BTreeSet<&String> = rows.pages.values().flatten().map(|page| &page.id).collect();
    wrong.extend(shown.keys().filter(|page| !known.contains(page)).map(|page| format!("{page}: of no row")));
    tally.pages = shown.values().map(Vec::len).sum();
}

/// A page of its own, shown by a digest, or ended before anybody needed it.
fn paged(
    id: &str,
    page: &Page,
    rows: &Rows,
    shown: &BTreeMap<String, Vec<AlertStatus>>,
    api: bool,
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) {
    let is_shown = |id: &String| shown.get(id).is_some_and(|states| !states.contains(&AlertStatus::Closed));
    match (&page.digest, page.phase.as_str()) {
        _ if rows.raises.contains_key(&page.id) => raised(id, &page.id, rows, shown, api, tally, wrong),
        (_, "ended") => {}
        (Some(digest), "joined") if is_shown(digest) => tally.joined += 1,
        (digest, phase) => wrong.push(format!("{}: {phase}, shown by {digest:?}, and nobody has it", page.id)),
    }
}

fn raised(
    id: &str,
    page: &str,
    rows: &Rows,
    shown: &BTreeMap<String, Vec<AlertStatus>>,
    api: bool,
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) {
    let raises = rows.raises.get(page).map_or(&[][..], Vec::as_slice);
    let [raise] = raises else {
        wrong.push(format!("{id}: {} raises of one page", raises.len()));
        return;
    };
    let times = shown.get(page).map_or(0, Vec::len);
    match (raise.state, times) {
        // Done or confirmed, and there; superseded because Azure resolved it, and not there.
        (2 | 5, 1) | (4, 0) => {}
        // It was under way when Azure resolved it.
        (4, 1) if raise.uncertain => {}
        (2 | 5 | 4, 2..) if raise.uncertain && !api => tally.doubled += times - 1,
        (state, times) => wrong.push(format!(
            "{page}: the raise is in state {state}{}, and SIGNL4 has it {times} times",
            if raise.uncertain { " (uncertain)" } else { "" }
        )),
    }
}

/// What people did and SIGNL4 was told 200 for is in Azure, with their names.
fn people(ground: &Ground, rows: &Rows, tally: &mut Tally, wrong: &mut Vec<String>) {
    let attempts = ground.scene.signl4.attempts();
    for body in answered(&attempts).filter(|body| body["eventType"] == 201) {
        let Some(person) = body["user"]["username"].as_str().filter(|name| [JANE, JOHN].contains(name)) else {
            continue;
        };
        let page = body["alert"]["externalEventId"].as_str().unwrap();
        let (kind, words) = match body["alert"]["statusCode"].as_u64() {
            Some(2) => ("acknowledged", format!("Acknowledged by {person} in SIGNL4")),
            Some(4) => ("closed", format!("Closed by {person} in SIGNL4")),
            _ => continue,
        };
        let count = if kind == "closed" { &mut tally.closed } else { &mut tally.acknowledged };
        *count += 1;
        let id = alert_of(page);
        let Some(reasons) = rows.events.get(&(id.clone(), kind.to_owned())) else {
            wrong.push(format!("{page}: {kind} by {person} was answered 200 and is not stored"));
            continue;
        };
        for reason in reasons {
            *tally.reasons.entry(format!("{kind}: {reason}")).or_default() += 1;
        }
        if !reasons.iter().any(|reason| reason == kind) {
            continue;
        }
        // What people do to a digest they do to all that it shows.
        let members = rows.pages.iter().filter(|(_, pages)| pages.iter().any(|it| it.digest.as_deref() == Some(page)));
        let ids: Vec<&String> =
            if page.starts_with("azmon:digest:") { members.map(|(id, _)| id).collect() } else { vec![&id] };
        for id in ids {
            reached(ground, id, kind, person, &words, wrong);
        }
    }
}

/// What a person did is in Azure.
fn reached(ground: &Ground, id: &str, kind: &str, person: &str, words: &str, wrong: &mut Vec<String>) {
    let alert = ground.scene.azure.alert(id).unwrap();
    if !alert.comments().iter().any(|comment| comment.contains(words)) {
        wrong.push(format!("{id}: `{words}` is not in Azure: {:?}", alert.comments()));
    }
    if kind == "closed" && alert.state != AlertState::Closed {
        wrong.push(format!("{id}: closed by {person}, and {} in Azure", alert.state.as_str()));
    }
    if alert.state == AlertState::New {
        wrong.push(format!("{id}: {kind} by {person}, and New in Azure"));
    }
}

/// A page is raised before it is resolved, and not again afterwards. What may have arrived is resolved without being raised again.
fn order_in_signl4(ground: &Ground, rows: &Rows, wrong: &mut Vec<String>) {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for call in ground.scene.signl4.calls() {
        if call.operation != Operation::Webhook || !call.processed {
            continue;
        }
        let body = call.json();
        let (page, status) = (body["X-S4-ExternalID"].as_str().unwrap(), body["X-S4-Status"].as_str().unwrap());
        let before = last.insert(page.to_owned(), status.to_owned());
        let spared =
            || rows.raises.get(page).is_some_and(|raises| raises.iter().all(|it| it.state == 4 && it.uncertain));
        let fits = match (before.as_deref(), status) {
            (None | Some("new"), "new") | (Some(_), "resolved" | "acknowledged") => true,
            (None, "resolved") => spared(),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{page}: `{status}` after {before:?}"));
        }
    }
}

/// A state is never lowered by an older wish.
fn order_in_azure(ground: &Ground, wrong: &mut Vec<String>) {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for call in ground.scene.azure.calls() {
        if call.operation != Operation::ChangeState || !call.processed || call.answer_json().get("error").is_some() {
            continue;
        }
        let path = call.path.split('?').next().unwrap();
        let id = alert_of(path.trim_end_matches("/changestate"));
        let state = call.query("newState").unwrap();
        let before = last.insert(id.clone(), state.clone());
        if before.as_deref() == Some("Closed") && state == "Acknowledged" {
            wrong.push(format!("{id}: acknowledged after it was closed"));
        }
    }
}
