//! What a list and a timeline say, and which events that makes.

use serde_json::{Value, json};

use super::parse::{list, timeline};
use super::*;
use crate::domain::event::{Happened, Signl4Change};
use crate::domain::id::{AlertKey, ExternalId};
use crate::domain::page::{Ledger, Page, PageState, Phase};
use crate::domain::route::Policy;

const JANE: &str = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c01";
const BRIDGE: &str = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + seconds * 1_000)
}

fn page(seen: Option<PageState>) -> Page {
    Page {
        id: ExternalId::of(&AlertKey::synthetic("test", "a"), 1),
        alert: AlertKey::synthetic("test", "a"),
        number: 1,
        team: TeamName::parse("ops").unwrap(),
        route: None,
        policy: Policy::default(),
        phase: Phase::Raised,
        signl4: Ledger { seen, wanted: seen },
        signl4_alert_id: Some("s1".to_owned()),
        acknowledged_by: None,
        closed_by: None,
        closed_at: None,
        changed_at: None,
        acted_at: None,
        nobody_on_duty: false,
        acknowledged_for_azure: false,
        told: Vec::new(),
        title: String::new(),
        severity: None,
        rule: None,
        digest: None,
        window: None,
        windows: Vec::new(),
        body: None,
        created_at: at(0),
        ended_at: None,
    }
}

fn alert(code: &Value) -> Value {
    json!({
        "id": "s1", "externalId": "AZMON:test:A", "lastModified": at(30).to_string(),
        "status": { "statusCode": code, "alertDeliveryStatus": { "statusCode": 6 } },
        "history": {
            "created": at(0).to_string(), "acknowledgedAt": at(10).to_string(), "acknowledgements": [JANE],
            "closedAt": at(20).to_string(), "closedBy": "00000000-0000-0000-0000-000000000000",
        },
    })
}

fn read(code: &Value) -> Info {
    let body = json!({ "results": [alert(code)], "hasMore": false, "continuationToken": null }).to_string();
    list(body.as_bytes()).unwrap().alerts.remove(0)
}

fn entries(of: &[(&str, Value, i64, Option<&str>)]) -> Vec<Entry> {
    let entries: Vec<Value> = of
        .iter()
        .map(|(id, kind, seconds, by)| {
            json!({ "id": id, "entrytype": kind, "timestamp": at(*seconds).to_string(), "userId": by, "text": "note" })
        })
        .collect();
    timeline(json!({ "timelineEntries": entries }).to_string().as_bytes())
}

fn told(info: &Info, entries: &[Entry], page: &Page) -> Vec<Signl4Change> {
    let names = BTreeMap::from([(JANE.to_owned(), "Jane Doe".to_owned())]);
    changes(info, entries, &names, Some(BRIDGE), page, at(60))
}

fn shown(changes: &[Signl4Change]) -> Vec<String> {
    let by = |change: &Signl4Change| change.person.as_ref().map_or("nobody".to_owned(), |person| person.name.clone());
    changes.iter().map(|change| format!("{} by {}", change.happened.as_str(), by(change))).collect()
}

#[test]
fn a_status_is_a_number_a_text_or_a_word() {
    for (code, state) in [
        (json!(1), Some(PageState::Open)),
        (json!(2), Some(PageState::Acknowledged)),
        (json!("4"), Some(PageState::Closed)),
        (json!("Acknowledged"), Some(PageState::Acknowledged)),
        (json!(4.0), Some(PageState::Closed)),
        (json!(6), Some(PageState::Closed)),
        (json!(0), None),
        (json!("unheard of"), None),
    ] {
        let info = read(&code);
        assert_eq!(info.state, state, "{code}");
        assert_eq!(info.page, page(None).id, "without regard to case");
    }
    assert!(read(&json!(16)).nobody_on_duty);
}

#[test]
fn alerts_of_others_are_left_out_and_what_is_no_list_is_told_from_an_empty_one() {
    let foreign = json!({ "id": "x", "externalId": "ZabbixEventID: 222", "status": { "statusCode": 1 } });
    let body = json!({ "results": [foreign, alert(&json!(1)), 5, {}], "hasMore": true, "continuationToken": { "nextRowKey": "2" } });
    let listed = list(body.to_string().as_bytes()).unwrap();
    assert_eq!((listed.alerts.len(), listed.next), (1, Some(json!({ "nextRowKey": "2" }))));
    assert!(list(br#"{"results": null, "hasMore": false}"#).unwrap().alerts.is_empty());
    for body in ["", "<html>", "{}", "[]", "{\"results\": 5}"] {
        assert!(list(body.as_bytes()).is_none(), "{body}");
    }
}

#[test]
fn a_timeline_tells_what_happened_in_order_and_by_whom() {
    let entries = entries(&[
        ("e3", json!(6), 20, Some(JANE)),
        ("e1", json!(1), 0, None),
        ("e2", json!("AlertAcknowledged"), 10, Some(JANE)),
        ("e4", json!("3"), 25, Some(JANE)),
        ("e5", json!(3), 26, Some(BRIDGE)),
        ("e6", json!(17), 27, Some(JANE)),
    ]);
    let changes = told(&read(&json!(1)), &entries, &page(Some(PageState::Open)));
    assert_eq!(shown(&changes), ["acknowledged by Jane Doe", "reopened by Jane Doe", "annotated by Jane Doe"]);
    assert_eq!(changes[2].note.as_deref(), Some("note"));
    assert!(changes.iter().all(|change| change.polled && change.alert_id.as_deref() == Some("s1")));
    assert_eq!(changes[0].notification_id.as_deref(), Some("poll s1 e2"));
}

#[test]
fn what_is_known_is_not_told() {
    let entries = entries(&[("e2", json!(2), 10, Some(JANE))]);
    let mut page = page(Some(PageState::Acknowledged));
    page.changed_at = Some(at(10));
    assert_eq!(shown(&told(&read(&json!(2)), &entries, &page)), [""; 0]);
}

#[test]
fn our_own_changes_are_nobodys() {
    let entries = entries(&[("e2", json!(2), 10, None), ("e3", json!(5), 20, Some(BRIDGE))]);
    let changes = told(&read(&json!(4)), &entries, &page(Some(PageState::Open)));
    assert_eq!(shown(&changes), ["acknowledged by nobody", "closed by nobody"]);
    assert_eq!(shown(&told(&read(&json!(4)), &entries[1..], &page(Some(PageState::Closed)))), [""; 0]);
}

#[test]
fn without_a_timeline_the_list_tells_the_state() {
    for (code, seen, expected) in [
        (2, PageState::Open, "acknowledged by Jane Doe"),
        (4, PageState::Acknowledged, "closed by nobody"),
        (1, PageState::Acknowledged, "reopened by a SIGNL4 user"),
    ] {
        assert_eq!(shown(&told(&read(&json!(code)), &[], &page(Some(seen)))), [expected]);
    }
    let mut closed = page(Some(PageState::Closed));
    closed.changed_at = Some(at(20));
    assert_eq!(shown(&told(&read(&json!(2)), &[], &closed)), ["acknowledged by a SIGNL4 user"], "re-opened since then");
    closed.changed_at = Some(at(35));
    assert_eq!(shown(&told(&read(&json!(2)), &[], &closed)), [""; 0], "listed before it was closed");
    let mut other = page(Some(PageState::Acknowledged));
    other.signl4_alert_id = Some("s0".to_owned());
    assert_eq!(shown(&told(&read(&json!(1)), &[], &other)), [""; 0], "the open one of two with this id");
}

#[test]
fn a_page_without_an_answer_is_shown_to_be_there() {
    let mut raising = page(None);
    raising.phase = Phase::Raising;
    let changes = told(&read(&json!(1)), &[], &raising);
    assert_eq!(changes.iter().map(|change| change.happened).collect::<Vec<_>>(), [Happened::Created]);
}
