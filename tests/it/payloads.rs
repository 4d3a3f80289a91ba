//! Every payload through the real door: what SIGNL4 holds afterwards is what the renderer said, and a spoiled payload is
//! a page or has a verdict with a name.
//!
//! `BRIDGE_SAMPLES` may name a folder of further payloads of Azure; each `.json` below it goes the same ways.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use signl4_azure_bridge::azure::parse::parse;
use signl4_azure_bridge::domain::id::{AlertKey, SubscriptionId};
use signl4_azure_bridge::domain::page::{Ending, Phase};
use signl4_azure_bridge::domain::render::render;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::scene::SUBSCRIPTION;
use signl4_azure_bridge::store::EventRow;

use crate::requirements::skipped;
use crate::town::Town;

#[path = "../../src/lenient/mutate.rs"]
mod mutate;

/// The subscription of our fixtures; the simulated Azure has another one.
const FIXTURES: &str = "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604";
const PORTAL: &str = "https://portal.azure.com";
/// Azure posts no more than this: <https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook>
const AZURE_BYTES: usize = 256 * 1024;
/// Spoiled bodies of each side in one run.
const CASES: usize = 300;
/// Posted at the same time.
const AT_ONCE: usize = 25;

/// A body and where it is from.
#[derive(Clone, Debug)]
struct Payload {
    name: String,
    body: String,
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// The fixtures of one side by name, in the subscription that the connection lists.
fn fixtures(side: &str) -> Vec<Payload> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(side);
    let payload = |path: PathBuf| Payload {
        name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
        body: std::fs::read_to_string(path).unwrap().replace(FIXTURES, SUBSCRIPTION),
    };
    below(&folder).into_iter().map(payload).collect()
}

/// Payloads from elsewhere, whatever their subscription; a bare context is put into an envelope.
fn samples() -> Vec<Payload> {
    let Some(folder) = std::env::var_os("BRIDGE_SAMPLES") else {
        skipped("SKIPPED: BRIDGE_SAMPLES names no folder of further payloads");
        return Vec::new();
    };
    let payload = |path: PathBuf| {
        let name = path.display().to_string();
        let mut value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).expect(&name);
        if let Some(context) = value.get("alertContext") {
            let rule = path.file_stem().unwrap().to_str().unwrap();
            let id = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{rule}");
            value = json!({"schemaId": "azureMonitorCommonAlertSchema", "data": {
                "essentials": {"alertId": id, "alertRule": rule, "severity": "Sev2"}, "alertContext": context}});
        }
        let mut body = value.to_string();
        let parsed = parse(body.as_bytes()).expect(&name);
        let of_somebody = |id: &&SubscriptionId| id.as_str() != SubscriptionId::TEST;
        if let Some(id) = parsed.id.subscription().filter(of_somebody) {
            body = replace_ignoring_case(&body, id.as_str(), SUBSCRIPTION);
        }
        Payload { name, body }
    };
    let samples: Vec<Payload> = below(Path::new(&folder)).into_iter().map(payload).collect();
    assert!(!samples.is_empty(), "no payload in {}", folder.display());
    samples
}

fn replace_ignoring_case(text: &str, from: &str, to: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::new();
    let mut end = 0;
    for (at, _) in lower.match_indices(from) {
        out.push_str(text.get(end..at).unwrap());
        out.push_str(to);
        end = at + from.len();
    }
    out + text.get(end..).unwrap()
}

async fn azure_events(town: &Town) -> Vec<EventRow> {
    let mut events = town.bridge.store.events(100_000).await.unwrap();
    events.retain(|event| event.side == "azure");
    events.reverse();
    events
}

/// The alert that one which ends something ends.
fn beginning(name: &str) -> String {
    let name = name.replace("classic-metric-resolved", "classic-metric-activated");
    let name = name.replace("-resolved", "-fired").replace("-deactivated", "-activated");
    name.replace("incident-mitigated", "incident").replace("health-available", "health-unavailable")
}

async fn hear_beginning(town: &Town, name: &str) {
    let beginning = beginning(name);
    if beginning != name
        && let Some(fixture) = fixtures("azure").into_iter().find(|fixture| fixture.name == beginning)
    {
        assert_eq!(town.post(&town.azure_url(), fixture.body).await.status(), 200);
        town.settle().await;
    }
}

/// Posts one payload to a town of its own; returns what the store and SIGNL4 then have of it.
async fn arrive(payload: &Payload) -> String {
    let town = Town::new().await;
    town.scene.azure.remove_webhooks();
    hear_beginning(&town, &payload.name).await;
    let expected = render(&parse(payload.body.as_bytes()).unwrap(), PORTAL);
    assert_eq!(town.post(&town.azure_url(), payload.body.clone()).await.status(), 200, "{}", payload.name);
    town.settle().await;

    let event = azure_events(&town).await.pop().unwrap();
    let alert = event.alert.clone().unwrap();
    let mut shown = format!("{}\n  {} → {}, {alert}\n", payload.name, event.kind, event.reason);
    for page in town.scene.signl4.alerts() {
        if event.reason == "raised" {
            assert_eq!(page.external_id, Some(format!("azmon:{alert}")), "{}", payload.name);
            let parameters: Map<String, Value> =
                expected.parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            assert_eq!((&page.title, &page.text), (&expected.title, &expected.message), "{}", payload.name);
            assert_eq!(page.parameters, parameters, "{}", payload.name);
        }
        let names: Vec<&str> = page.parameters.keys().map(String::as_str).collect();
        writeln!(shown, "  {}: {}\n  {}", json!(page.status).as_str().unwrap(), page.title, names.join(", ")).unwrap();
    }
    town.close().await;
    shown
}

#[tokio::test]
async fn every_fixture_arrives_in_signl4_as_golden() {
    let mut table = String::new();
    for fixture in fixtures("azure") {
        table.push_str(&arrive(&fixture).await);
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("every_fixture_arrives_in_signl4_as_golden", table);
    });
}

#[tokio::test]
async fn samples_from_elsewhere_arrive_in_signl4() {
    for sample in samples() {
        let shown = arrive(&sample).await;
        assert!(["→ raised", "→ resolved"].iter().any(|verdict| shown.contains(verdict)), "{shown}");
    }
}

/// As many spoiled bodies as a run has, always the same: some with members changed, some with bytes changed.
fn spoiled(payloads: &[Payload]) -> Vec<Vec<u8>> {
    let mut dice = TestRunner::deterministic();
    let mutations = mutate::mutations();
    let mut bodies = Vec::new();
    while bodies.len() < CASES {
        let payload = &payloads[bodies.len() % payloads.len()];
        let mutations = mutations.new_tree(&mut dice).unwrap().current();
        let body = if bodies.len() % 5 == 4 {
            let mut body = payload.body.clone().into_bytes();
            for mutation in &mutations {
                let at = mutation.at % body.len();
                body[at] = mutation.other.to_le_bytes()[0];
            }
            body.truncate(1 + mutations[0].other % body.len());
            body
        } else {
            let mut value = serde_json::from_str(&payload.body).unwrap();
            mutate::spoil(&mut value, &mutations);
            value.to_string().into_bytes()
        };
        if body.len() <= AZURE_BYTES {
            bodies.push(body);
        }
    }
    bodies
}

/// Posts the bodies and returns each one's event id.
async fn post_all(town: &Town, url: &str, bodies: &[Vec<u8>]) -> Vec<String> {
    let mut ids = Vec::new();
    for some in bodies.chunks(AT_ONCE) {
        let posted: Vec<_> = some
            .iter()
            .map(|body| {
                let request = town.http.post(url).body(body.clone());
                tokio::spawn(async move { request.send().await.unwrap() })
            })
            .collect();
        for (body, answer) in some.iter().zip(posted) {
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(body));
            let answer: Value = answer.json().await.unwrap();
            ids.push(answer["event"].as_str().unwrap().to_owned());
        }
        town.settle().await;
    }
    ids
}

#[tokio::test]
async fn spoiled_alerts_are_pages_or_have_a_named_verdict() {
    let town = Town::new().await;
    town.scene.azure.remove_webhooks();
    let payloads: Vec<Payload> = fixtures("azure").into_iter().chain(samples()).collect();
    let bodies = spoiled(&payloads);
    let ids = post_all(&town, &town.azure_url(), &bodies).await;

    let pages = town.scene.signl4.alerts();
    let events = azure_events(&town).await;
    let mut paged = 0;
    for (id, body) in ids.iter().zip(&bodies) {
        let event = events.iter().find(|event| event.id.to_string() == *id).unwrap();
        let shown = format!("{event:?}\n{}", String::from_utf8_lossy(body));
        let alert = event.alert.clone().unwrap_or_default();
        let known = town.bridge.store.known(AlertKey::stored(alert)).await.unwrap();
        let of_alert = |page: &&signl4_azure_bridge::simulator::signl4::Alert| {
            known.pages.iter().any(|known| page.external_id.as_deref() == Some(known.id.as_str()))
        };
        let pages: Vec<_> = pages.iter().filter(of_alert).collect();
        // Fired and Resolved may come in the same instant: then nobody is woken.
        let overtaken = Phase::Ended { why: Ending::ResolvedBeforeSent };
        match event.reason.as_str() {
            "raised" | "unreadable" | "already_paged" | "foreign_subscription" => {
                let spared = known.pages.iter().any(|page| page.phase == overtaken);
                assert!(!pages.is_empty() || spared, "no page of {shown}");
                paged += 1;
            }
            // Its Fired may have been spoiled beyond recognition, or never come; or another alert's page has it.
            "repeat"
            | "joined"
            | "worse"
            | "resolved"
            | "resolved_before_paged"
            | "resolved_unknown"
            | "resolved_without_page"
            | "superseded_by_resolved"
            | "stale" => {}
            reason => panic!("`{reason}` is no verdict on an alert where one route takes all: {shown}"),
        }
        for page in pages {
            assert!((1..=80).contains(&page.title.chars().count()) && !page.text.is_empty(), "{page:?}");
        }
    }
    assert!(paged > CASES / 2, "only {paged} pages");
    assert_eq!(town.deliveries("dead").await.len(), 0);
    town.close().await;
}

#[tokio::test]
async fn spoiled_events_of_signl4_are_taken_and_have_a_named_verdict() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-1", Metric::default())).unwrap();
    town.settle().await;
    let page = town.page(&alert).external_id.unwrap();
    let payloads: Vec<Payload> = fixtures("signl4")
        .into_iter()
        .map(|Payload { name, body }| {
            let mut value: Value = serde_json::from_str(&body).unwrap();
            let of_ours = |id: &Value| id.as_str().is_some_and(|id| id.starts_with("azmon:"));
            if let Some(id) = value.pointer_mut("/alert/externalEventId").filter(|id| of_ours(id)) {
                *id = json!(page);
            }
            Payload { name, body: value.to_string() }
        })
        .collect();
    let bodies = spoiled(&payloads);
    let ids = post_all(&town, &town.signl4_url(), &bodies).await;

    let events = town.bridge.store.events(100_000).await.unwrap();
    let mut of_page = 0;
    for (id, body) in ids.iter().zip(&bodies) {
        let event = events.iter().find(|event| event.id.to_string() == *id).unwrap();
        let shown = format!("{event:?}\n{}", String::from_utf8_lossy(body));
        match event.reason.as_str() {
            "acknowledged" | "closed" | "reopened" | "annotated" | "escalated" | "nobody_on_duty" | "confirmed"
            | "without_person" | "repeat" | "stale" => of_page += 1,
            "no_consequence" | "unknown_page" => {}
            reason => panic!("`{reason}` is no verdict on an event of SIGNL4: {shown}"),
        }
    }
    assert!(of_page > CASES / 10, "only {of_page} were about the page");
    assert_eq!(town.deliveries("dead").await.len(), 0);
    town.close().await;
}
