//! Every fixture through the parser, and every fixture spoiled.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::lenient::mutate::{mutations, spoil};

const NOW: Timestamp = Timestamp::from_millis(1_795_600_000_000);

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/signl4");
    let mut fixtures: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    fixtures.sort();
    fixtures
}

fn read(value: &Value) -> Signl4Parsed {
    parse(value.to_string().as_bytes(), NOW, None).unwrap()
}

fn change(value: &Value) -> Signl4Change {
    match read(value) {
        Signl4Parsed::Ours { change, .. } => change,
        other @ (Signl4Parsed::Foreign | Signl4Parsed::NoConsequence { .. }) => panic!("not ours: {other:?}"),
    }
}

fn event(event_type: i64, status: i64) -> Value {
    json!({"eventType": event_type, "alert": {"statusCode": status, "externalEventId": "azmon:x"},
        "user": {"id": "u1", "username": "Jane Doe"}})
}

fn shown(parsed: &Signl4Parsed) -> String {
    let mut out = String::new();
    match parsed {
        Signl4Parsed::Ours { page, change } => {
            let Signl4Change { notification_id, happened, raised_at, person, alert_id, note, .. } = change;
            writeln!(out, "page:         {page}\nhappened:     {}\nraised at:    {raised_at}", happened.as_str())
                .unwrap();
            let person = person.as_ref().map_or("none".to_owned(), |person| format!("{} ({})", person.name, person.id));
            writeln!(out, "person:       {person}").unwrap();
            writeln!(out, "note:         {}", note.as_deref().unwrap_or("none")).unwrap();
            writeln!(out, "alert:        {}", alert_id.as_deref().unwrap_or("none")).unwrap();
            writeln!(out, "notification: {}", notification_id.as_deref().unwrap_or("none")).unwrap();
        }
        Signl4Parsed::Foreign => out.push_str("foreign\n"),
        Signl4Parsed::NoConsequence { why } => writeln!(out, "no consequence: {why}").unwrap(),
    }
    out
}

#[test]
fn fixtures_are_read_as_golden() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 15, "only {} fixtures", fixtures.len());
    for (name, body) in fixtures {
        let parsed = parse(&body, NOW, None).unwrap();
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown(&parsed));
        });
    }
}

#[test]
fn every_golden_file_has_its_fixture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/signl4/parse/snapshots");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(fixtures().iter().any(|(name, _)| *name == stem), "{stem} has no fixture");
    }
}

#[test]
fn every_status_has_its_meaning() {
    for (status, by_person, alone) in [
        (0, None, None),
        (1, Some(Happened::Reopened), Some(Happened::Reopened)),
        (2, Some(Happened::Acknowledged), Some(Happened::Acknowledged)),
        (3, Some(Happened::Acknowledged), Some(Happened::Acknowledged)),
        (4, Some(Happened::Closed), Some(Happened::Closed)),
        (6, Some(Happened::Closed), Some(Happened::Closed)),
        (8, Some(Happened::NobodyOnDuty), Some(Happened::NobodyOnDuty)),
        (16, Some(Happened::NobodyOnDuty), Some(Happened::NobodyOnDuty)),
        (2 + 8, Some(Happened::Acknowledged), Some(Happened::NobodyOnDuty)),
        (4 + 16, Some(Happened::Closed), Some(Happened::NobodyOnDuty)),
        (32, None, None),
        (-2, None, None),
        (i64::MIN, None, None),
    ] {
        assert_eq!(status_change(status, true), by_person, "{status} by a person");
        assert_eq!(status_change(status, false), alone, "{status} without a person");
    }
}

#[test]
fn only_a_person_is_a_person() {
    let with_user = |user: Value| {
        let mut event = event(201, 2);
        event["user"] = user;
        event
    };
    for (user, person) in [
        (json!(null), None),
        (json!({}), None),
        (json!({"username": "System"}), None),
        (json!({"id": ""}), None),
        (json!({"id": "00000000-0000-0000-0000-000000000000", "username": "System"}), None),
        (json!({"id": "BRIDGE-1", "username": "Bridge"}), None),
        (json!({"id": "u1", "username": " Jane\n Doe "}), Some("Jane Doe")),
        (json!({"ID": "u1", "mailaddress": "jane.doe@example.com"}), Some("jane.doe@example.com")),
        (json!({"id": 5}), Some("a SIGNL4 user")),
    ] {
        let body = with_user(user.clone()).to_string();
        let Signl4Parsed::Ours { change, .. } = parse(body.as_bytes(), NOW, Some("bridge-1")).unwrap() else {
            panic!("not ours: {body}");
        };
        assert_eq!(change.person.map(|person| person.name).as_deref(), person, "{user}");
    }
}

#[test]
fn types_and_spelling_are_forgiven() {
    let change = change(&json!({
        "EventType": "201",
        "Id": "AB-1",
        "alert": "{\"StatusCode\": \"4\", \"externalEventID\": \" AZMON:Sub:Alert \"}",
        "annotation": {"message": " done "},
        "eventRaisedUtc": "yesterday",
    }));
    assert_eq!(change.happened, Happened::Closed);
    assert_eq!(change.notification_id.as_deref(), Some("ab-1"));
    assert_eq!(change.note.as_deref(), Some("done"));
    assert_eq!(change.raised_at, NOW);
    assert_eq!(change.person, None);
}

#[test]
fn an_event_from_the_future_is_taken_as_raised_now() {
    for (ahead, raised_at) in
        [(-5_000, NOW.as_millis() - 5_000), (60_000, NOW.as_millis() + 60_000), (61_000, NOW.as_millis())]
    {
        let mut event = event(201, 2);
        event["eventRaisedUtc"] = json!(Timestamp::from_millis(NOW.as_millis() + ahead).to_string());
        assert_eq!(change(&event).raised_at.as_millis(), raised_at, "{ahead} ms ahead");
    }
}

#[test]
fn what_does_not_concern_us_says_why() {
    let team = TeamName::parse("ops").unwrap();
    for (event, why) in [
        (json!({"eventType": 1}), "the test event"),
        (json!({"eventType": 302, "alert": null}), "a duty event"),
        (json!({"eventType": 204}), "an event type that is not known"),
        (json!({"eventType": 201, "alert": null}), "an alert without an external id"),
        (
            json!({"eventType": 201, "alert": {"statusCode": 2, "externalEventId": "other"}}),
            "an alert of another system",
        ),
        (event(201, 32), "a status that is not known"),
    ] {
        let kind = read(&event).into_kind(team.clone());
        assert_eq!(kind, EventKind::Ignored { team: team.clone(), why }, "{event}");
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let error = |body: &[u8]| parse(body, NOW, None).unwrap_err();
    assert!(matches!(error(b""), ParseError::NotJson { .. }));
    assert!(matches!(error(b"{\"eventType\": 201"), ParseError::NotJson { .. }));
    assert!(matches!(error("[".repeat(10_000).as_bytes()), ParseError::NotJson { .. }));
    assert_eq!(error(b"[201]"), ParseError::NotAnObject);
    assert_eq!(error(b"{}"), ParseError::NoEventType);
    assert_eq!(error(b"{\"eventType\": \"many\"}"), ParseError::NoEventType);
    assert_eq!(error(b"{\"eventType\": 201.5}"), ParseError::NoEventType);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoiled_fixtures_are_read_or_named_errors(at in any::<usize>(), mutations in mutations()) {
        let fixtures = fixtures();
        let mut value: Value = serde_json::from_slice(&fixtures[at % fixtures.len()].1).unwrap();
        spoil(&mut value, &mutations);
        match parse(value.to_string().as_bytes(), NOW, Some("own")) {
            Ok(Signl4Parsed::Ours { page, change }) => {
                prop_assert!(page.as_str().starts_with("azmon:"));
                prop_assert!(change.note.is_none_or(|note| !note.is_empty() && note.chars().count() <= 2_000));
                prop_assert!(change.person.is_none_or(|person| !person.id.is_empty() && !person.name.is_empty()));
            }
            Ok(Signl4Parsed::Foreign) => {}
            Ok(Signl4Parsed::NoConsequence { why }) => prop_assert!(!why.is_empty()),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(parse(&body, NOW, None).is_err() || !body.is_empty());
    }
}
