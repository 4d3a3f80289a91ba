//! Every fixture through the parser, and every fixture spoiled.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::samples::{Sample, samples};
use super::*;
use crate::domain::event::{Condition, Detail, Severity};
use crate::domain::render::render;
use crate::lenient::mutate::{Mutation, mutations, places, spoil};

const PORTAL: &str = "https://portal.azure.com";

static FIXTURES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(read_fixtures);
/// The fixtures, and the published payloads where they are at hand.
static BODIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let samples = samples().into_iter().map(|sample| sample.body.to_string().into_bytes());
    fixtures().iter().map(|(_, body)| body.clone()).chain(samples).collect()
});

fn fixtures() -> &'static [(String, Vec<u8>)] {
    &FIXTURES
}

fn read_fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azure");
    let mut fixtures: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    fixtures.sort();
    fixtures
}

/// The page, and what correlates it.
fn shown(body: &[u8]) -> String {
    let mut out = String::new();
    let notification = match parse(body) {
        Ok(notification) => notification,
        Err(error) => return format!("error: {error}\n"),
    };
    let page = render(&notification, PORTAL);
    let severity = notification.severity.map_or("none", crate::domain::event::Severity::as_str);
    writeln!(out, "key:       {}", notification.id.key()).unwrap();
    writeln!(out, "writable:  {}", notification.id.is_writable()).unwrap();
    writeln!(out, "condition: {:?}", notification.condition).unwrap();
    writeln!(out, "severity:  {severity}").unwrap();
    writeln!(out, "\n{}\n{}\n{}\n", page.title, "=".repeat(page.title.chars().count()), page.message).unwrap();
    for (name, value) in page.parameters {
        writeln!(out, "[{name}] {value}").unwrap();
    }
    out
}

#[test]
fn fixtures_are_paged_as_golden() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 45, "only {} fixtures", fixtures.len());
    for (name, body) in fixtures {
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name.as_str(), shown(body));
        });
    }
}

#[test]
fn every_golden_file_has_its_fixture() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/azure/parse/snapshots");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(fixtures().iter().any(|(name, _)| *name == stem), "{stem} has no fixture");
    }
}

fn common(essentials: &Value, context: &Value) -> Vec<u8> {
    json!({"schemaId": "azureMonitorCommonAlertSchema", "data": {"essentials": essentials, "alertContext": context}})
        .to_string()
        .into_bytes()
}

const ALERT: &str = "/subscriptions/4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604/providers/Microsoft.AlertsManagement/alerts/\
     a1c3e5f7-0b2d-4c6e-8f90-1a3b5c7d9e02";

#[test]
fn fired_and_resolved_of_every_pair_have_one_key() {
    let fixtures = fixtures();
    let mut pairs = 0;
    for (name, body) in fixtures {
        let fired_name = name.replace("-resolved", "-fired").replace("-deactivated", "-activated");
        let fired_name = fired_name.replace("legacy-classic-metric-fired", "legacy-classic-metric-activated");
        if *name == fired_name {
            continue;
        }
        let (_, fired) = fixtures.iter().find(|(name, _)| *name == fired_name).unwrap();
        let (fired, resolved) = (parse(fired).unwrap(), parse(body).unwrap());
        assert_eq!(fired.id, resolved.id, "{name}");
        assert_eq!((fired.condition, resolved.condition), (Condition::Fired, Condition::Resolved), "{name}");
        pairs += 1;
    }
    assert!(pairs >= 8, "only {pairs} pairs");
}

#[test]
fn only_ids_of_the_normal_form_are_written_back() {
    for (name, body) in fixtures() {
        let notification = parse(body).unwrap();
        let expected = !(name.starts_with("legacy") || name.starts_with("test") || name.starts_with("cost"));
        assert_eq!(notification.id.is_writable(), expected, "{name}");
        assert_eq!(notification.legacy.is_some(), name.starts_with("legacy"), "{name}");
        assert_eq!(notification.is_test(), name.starts_with("test"), "{name}");
        let page = render(&notification, PORTAL);
        assert_eq!(page.message.contains("will not reach Azure"), !expected, "{name}");
        // A budget of the common alert schema cannot be changed either.
        let mendable = notification.legacy.is_some() && name != "legacy-budget";
        assert_eq!(page.message.contains("common alert schema"), mendable, "{name}");
    }
}

#[test]
fn every_legacy_body_names_its_subscription() {
    for (name, body) in fixtures() {
        let subscription = parse(body).unwrap().id.subscription().map(|id| id.as_str().to_owned());
        let expected =
            if name.starts_with("test") { SubscriptionId::TEST } else { "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604" };
        assert_eq!(subscription.as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    for (body, error) in [
        ("", "the body is empty"),
        (" \n ", "the body is empty"),
        ("hello", "the body is not JSON: expected value at line 1 column 1"),
        ("{\"a\": 1", "the body is not JSON: EOF while parsing an object at line 1 column 7"),
        ("[1]", "the body is JSON, but an array where an object was expected"),
        ("null", "the body is JSON, but null where an object was expected"),
        ("{}", "no known alert shape; its members are: none. Turn on the common alert schema in the action group"),
        (
            "{\"hello\": \"world\", \"n\": 1}",
            "no known alert shape; its members are: hello, n. Turn on the common alert schema in the action group",
        ),
        (
            "{\"schemaId\": \"Contoso/1\", \"data\": {}}",
            "the schema `Contoso/1` is not one that Azure Monitor is known to send",
        ),
        (
            "{\"schemaId\": \"azureMonitorCommonAlertSchema\", \"data\": null}",
            "the common alert schema without its part `data.essentials`",
        ),
        (
            "{\"data\": {\"essentials\": {\"severity\": \"Sev1\"}}}",
            "an alert without an id, a rule or a target, so nothing tells it from another one",
        ),
        (
            "{\"status\": \"Activated\", \"context\": {\"condition\": {}}}",
            "an alert without an id, a rule or a target, so nothing tells it from another one",
        ),
    ] {
        assert_eq!(parse(body.as_bytes()).unwrap_err().to_string(), error, "{body}");
    }
}

#[test]
fn depth_is_an_error_and_no_overflow() {
    for deep in ["[".repeat(10_000), "{\"a\":".repeat(10_000), format!("{}{}", "[".repeat(5_000), "]".repeat(5_000))] {
        assert!(matches!(parse(deep.as_bytes()), Err(ParseError::NotJson { .. })));
    }
}

#[test]
fn an_alert_without_an_id_is_known_by_rule_and_target() {
    let body = |condition: &str, fired: &str| {
        let target = "/subscriptions/4B7D9C12-6e0f-4a58-b3c1-92f5d8e7a604/resourceGroups/rg/providers/x/y/Z";
        let essentials = json!({"alertRule": "r", "alertTargetIDs": [target], "monitorCondition": condition,
            "firedDateTime": fired});
        parse(&common(&essentials, &Value::Null)).unwrap()
    };
    let fired = body("Fired", "2026-11-24T03:00:00Z");
    let resolved = body("RESOLVED", "2026-11-24T03:00:00.0Z");
    assert_eq!(fired.id, resolved.id);
    assert_eq!(resolved.condition, Condition::Resolved);
    assert!(!fired.id.is_writable());
    assert_eq!(fired.id.subscription().map(SubscriptionId::as_str), Some("4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604"));
}

#[test]
fn marks_bytes_and_doubled_members_are_forgiven() {
    let essentials = format!("{{\"alertId\": \"x\", \"alertRule\": \"caf\u{fffd}\", \"alertId\": \"{ALERT}\"}}");
    let mut body = b"\xef\xbb\xbf{\"data\": {\"essentials\": ".to_vec();
    body.extend(essentials.replace('\u{fffd}', "\u{1}").bytes().map(|byte| if byte == 1 { 0xe9 } else { byte }));
    body.extend(b"}}");
    let notification = parse(&body).unwrap();
    assert_eq!(notification.rule.as_deref(), Some("caf\u{fffd}"));
    assert!(notification.id.is_writable());
}

#[test]
fn the_context_is_known_by_its_shape_when_the_service_is_not() {
    let detail = |service: Value, context: Value| {
        parse(&common(&json!({"alertId": ALERT, "monitoringService": service}), &context)).unwrap().detail
    };
    let line = json!({"condition": {"allOf": [{"metricName": "x", "metricValue": 1}]}});
    assert!(matches!(detail(json!("Contoso.Custom"), line), Detail::Metric { dynamic: false, .. }));
    let line = json!({"condition": "{\"allOf\": [{\"searchQuery\": \"x\"}]}"});
    assert!(matches!(detail(Value::Null, line), Detail::Log { .. }));
    assert!(matches!(detail(json!(5), json!({"operationName": "x/y/z/write"})), Detail::ActivityLog { .. }));
    assert!(matches!(
        detail(json!("Service Health"), json!({"properties": "{\"stage\": \"Active\"}"})),
        Detail::ServiceHealth { stage: Some(stage), .. } if stage == "Active"
    ));
    assert!(matches!(detail(Value::Null, json!({"eventSource": "ResourceHealth"})), Detail::ResourceHealth { .. }));
    assert!(matches!(detail(json!("x"), json!({"labels": {}, "expression": "up"})), Detail::Prometheus { .. }));
    assert!(matches!(detail(Value::Null, json!({"a": {"b": 1}})), Detail::Other));
    assert!(matches!(detail(Value::Null, json!([1, 2])), Detail::Other));
}

#[test]
fn custom_properties_come_from_either_place() {
    let context = json!({"condition": {"allOf": []}, "properties": {"runbook": "r1"}});
    let with = |own: Value| {
        let body = json!({"data": {"essentials": {"alertId": ALERT, "severity": "3"}, "alertContext": context,
            "customProperties": own}});
        let notification = parse(body.to_string().as_bytes()).unwrap();
        assert_eq!(notification.severity, Some(Severity::Sev3));
        notification.custom.get("runbook").cloned()
    };
    assert_eq!(with(Value::Null).as_deref(), Some("r1"));
    assert_eq!(with(json!({"runbook": "r2"})).as_deref(), Some("r2"));
}

/// What holds of every body whatsoever.
fn check(body: &[u8]) {
    let notification = match parse(body) {
        Ok(notification) => notification,
        Err(error) => {
            let shown = error.to_string();
            assert!(!shown.is_empty() && shown.chars().count() < 800, "{shown}");
            return;
        }
    };
    let page = render(&notification, PORTAL);
    let stored: Notification = serde_json::from_str(&serde_json::to_string(&notification).unwrap()).unwrap();
    assert_eq!(stored.id, notification.id);
    assert_eq!(render(&stored, PORTAL), page);
    let length = page.title.chars().count();
    assert!((1..=80).contains(&length), "{length}: {}", page.title);
    assert!(!page.title.trim().is_empty() && !page.title.contains(char::is_control), "{:?}", page.title);
    assert!((1..=2_000).contains(&page.message.chars().count()), "{}", page.message);
    let mut names: Vec<&str> = page.parameters.iter().map(|(name, _)| name.as_str()).collect();
    for (name, value) in &page.parameters {
        assert!(!crate::domain::render::TEXT_KEYS.contains(&name.to_ascii_lowercase().as_str()), "{name}");
        assert!(!name.to_ascii_lowercase().starts_with("x-s4-"), "{name}");
        assert!(!value.trim().is_empty() && !value.contains(char::is_control), "{name}: {value:?}");
        let scheme = value.to_ascii_lowercase();
        let link = scheme.starts_with("https://") || scheme.starts_with("http://");
        assert!(link || value.chars().count() <= 120, "{name}: {value}");
        assert!(!link || !value.contains('…'), "a link was cut: {value}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), page.parameters.len(), "a name came twice");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spoiled_fixtures_are_pages_or_named_errors(at in any::<usize>(), mutations in mutations()) {
        let mut value: Value = serde_json::from_slice(&BODIES[at % BODIES.len()]).unwrap();
        spoil(&mut value, &mutations);
        check(value.to_string().as_bytes());
    }

    #[test]
    fn truncated_and_overwritten_bodies_never_panic(
        at in any::<usize>(),
        end in any::<usize>(),
        bytes in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..8),
    ) {
        let mut body = BODIES[at % BODIES.len()].clone();
        for (at, byte) in bytes {
            let length = body.len();
            body[at % length] = byte;
        }
        check(&body);
        body.truncate(end % body.len());
        check(&body);
    }

    #[test]
    fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&body);
    }
}

/// Every single member of every fixture dropped and nulled: what property tests may miss by chance.
#[test]
fn no_single_member_is_needed() {
    for (name, body) in fixtures() {
        let original: Value = serde_json::from_slice(body).unwrap();
        for kind in [0, 1, 2, 5, 8] {
            for at in 0..places(&original).len() {
                let mut value = original.clone();
                spoil(&mut value, &[Mutation { kind, at, other: 7 }]);
                check(value.to_string().as_bytes());
            }
        }
        assert!(parse(body).is_ok(), "{name}");
    }
}

/// Published payloads; `BRIDGE_SAMPLES_PAGES` names a file to write their pages to, for reading.
#[test]
fn samples_from_elsewhere_are_pages() {
    let mut pages = String::new();
    for Sample { name, body } in samples() {
        let body = body.to_string().into_bytes();
        check(&body);
        writeln!(pages, "##### {name}\n{}", shown(&body)).unwrap();
        assert!(parse(&body).is_ok(), "{name}");
    }
    if let Some(file) = std::env::var_os("BRIDGE_SAMPLES_PAGES") {
        std::fs::write(file, pages).unwrap();
    }
}
