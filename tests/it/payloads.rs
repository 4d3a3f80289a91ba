//! Every payload through the real door: what SIGNL4 holds afterwards is what the renderer said, and a spoiled payload is
//! a page or has a verdict with a name.
//!
//! Published payloads go the same ways, where their folder is at hand; `payloads/samples.toml` says what is expected of
//! each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use signl4_azure_bridge::azure::parse::parse;
use signl4_azure_bridge::domain::event::Condition;
use signl4_azure_bridge::domain::id::{AlertKey, SubscriptionId};
use signl4_azure_bridge::domain::page::{Ending, Phase};
use signl4_azure_bridge::domain::render::{Rendered, render};
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::scene::SUBSCRIPTION;
use signl4_azure_bridge::simulator::signl4::Alert;
use signl4_azure_bridge::store::EventRow;

use self::published::{Sample, missing};
use crate::town::{Plan, Town, without_pace};

#[path = "../../src/lenient/mutate.rs"]
mod mutate;
#[path = "../../src/azure/parse/samples.rs"]
mod published;

/// What is expected of each published payload, by its name.
const EXPECTED: &str = include_str!("payloads/samples.toml");

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

/// Published payloads, moved into the subscription that the connection lists.
fn samples() -> Vec<Payload> {
    let moved = |Sample { name, body }: Sample| {
        let mut body = body.to_string();
        let parsed = parse(body.as_bytes()).expect(&name);
        let of_somebody = |id: &&SubscriptionId| id.as_str() != SubscriptionId::TEST;
        if let Some(id) = parsed.id.subscription().filter(of_somebody) {
            body = replace_ignoring_case(&body, id.as_str(), SUBSCRIPTION);
        }
        Payload { name, body }
    };
    published::samples().into_iter().map(moved).collect()
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

async fn hear_beginning(town: &Town, payload: &Payload) {
    let beginning = beginning(&payload.name);
    let fixture = fixtures("azure").into_iter().find(|fixture| fixture.name == beginning);
    let began = fixture.map(|fixture| fixture.body).or_else(|| {
        let mut body: Value = serde_json::from_str(&payload.body).unwrap();
        *body.pointer_mut("/data/essentials/monitorCondition")? = json!("Fired");
        Some(body.to_string())
    });
    let ends = beginning != payload.name
        || parse(payload.body.as_bytes()).is_ok_and(|parsed| parsed.condition == Condition::Resolved);
    if let Some(body) = began.filter(|_| ends) {
        assert_eq!(town.post(&town.azure_url(), body).await.status(), 200);
        town.settle().await;
    }
}

/// What the bridge and SIGNL4 have of one payload.
struct Arrived {
    /// `fired → raised`
    verdict: String,
    alert: String,
    rendered: Rendered,
    pages: Vec<Alert>,
}

/// Posts one payload to a town of its own.
async fn arrive(payload: &Payload) -> Arrived {
    let town = Town::new().await;
    town.scene.azure.remove_webhooks();
    hear_beginning(&town, payload).await;
    let rendered = render(&parse(payload.body.as_bytes()).unwrap(), PORTAL);
    assert_eq!(town.post(&town.azure_url(), payload.body.clone()).await.status(), 200, "{}", payload.name);
    town.settle().await;

    let event = azure_events(&town).await.pop().unwrap();
    let alert = event.alert.clone().unwrap();
    let pages = town.scene.signl4.alerts();
    for page in pages.iter().filter(|_| event.reason == "raised") {
        assert_eq!(page.external_id, Some(format!("azmon:{alert}")), "{}", payload.name);
        let parameters: Map<String, Value> =
            rendered.parameters.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        assert_eq!((&page.title, &page.text), (&rendered.title, &rendered.message), "{}", payload.name);
        assert_eq!(page.parameters, parameters, "{}", payload.name);
    }
    town.close().await;
    Arrived { verdict: format!("{} → {}", event.kind, event.reason), alert, rendered, pages }
}

#[tokio::test]
async fn every_fixture_arrives_in_signl4_as_golden() {
    let mut table = String::new();
    for fixture in fixtures("azure") {
        let arrived = arrive(&fixture).await;
        writeln!(table, "{}\n  {}, {}", fixture.name, arrived.verdict, arrived.alert).unwrap();
        for page in arrived.pages {
            let names: Vec<&str> = page.parameters.keys().map(String::as_str).collect();
            let status = json!(page.status);
            writeln!(table, "  {}: {}\n  {}", status.as_str().unwrap(), page.title, names.join(", ")).unwrap();
        }
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("every_fixture_arrives_in_signl4_as_golden", table);
    });
}

/// What a person who has read a published payload expects of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Which `Detail` it is.
    kind: String,
    verdict: String,
    /// `SUBSCRIPTION:` and the last segment of the alert's id; `digest` where there is no such id.
    key: String,
    write_back: bool,
    /// How the page in SIGNL4 is at the end; `none` where nobody is paged.
    page: String,
    title: String,
    parameters: Vec<String>,
}

impl Expected {
    fn compare(&self, sample: &Payload, arrived: &Arrived) {
        let name = &sample.name;
        let parsed = parse(sample.body.as_bytes()).unwrap();
        assert_eq!(json!(parsed.detail)["kind"], json!(self.kind), "{name}");
        assert_eq!(parsed.id.is_writable(), self.write_back, "{name}");
        if self.key == "digest" {
            assert!(arrived.alert.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {}", arrived.alert);
        } else {
            assert_eq!(arrived.alert, self.key.replace("SUBSCRIPTION", SUBSCRIPTION), "{name}");
        }
        let page = match arrived.pages.as_slice() {
            [] => json!("none"),
            [page] => json!(page.status),
            several => panic!("{name}: {} pages", several.len()),
        };
        let shown: Vec<&str> = arrived.rendered.parameters.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            (arrived.verdict.as_str(), page, arrived.rendered.title.as_str(), shown),
            (
                self.verdict.as_str(),
                json!(self.page),
                self.title.as_str(),
                self.parameters.iter().map(String::as_str).collect()
            ),
            "{name}"
        );
    }
}

#[tokio::test]
async fn published_payloads_arrive_in_signl4_as_expected() {
    let mut expected: BTreeMap<String, Expected> = toml::from_str(EXPECTED).unwrap();
    let samples = samples();
    for sample in &samples {
        let arrived = arrive(sample).await;
        if let Some(expected) = expected.remove(&sample.name) {
            expected.compare(sample, &arrived);
            continue;
        }
        missing(&format!("nothing is expected of {} in tests/it/payloads/samples.toml", sample.name));
        let known = ["fired → raised", "fired → resolved_without_page", "resolved → resolved"];
        assert!(known.contains(&arrived.verdict.as_str()), "{}: {}", sample.name, arrived.verdict);
    }
    for name in expected.keys().filter(|_| !samples.is_empty()) {
        missing(&format!("the payload {name} is not among those at hand"));
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
    let town = Town::with(Plan { edit: |toml| without_pace(&toml), ..Plan::default() }).await;
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
        let of_alert =
            |page: &&Alert| known.pages.iter().any(|known| page.external_id.as_deref() == Some(known.id.as_str()));
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
