//! What the targets share: two routes to be judged by, the rows that follow from a verdict, and what holds of every page.
//!
//! A target panics where a promise is broken; the fuzzer then keeps the input and ends with an error.

use std::fmt::Debug;
use std::sync::LazyLock;

use serde::Serialize;
use serde::de::DeserializeOwned;
use signl4_azure_bridge::azure::parse::parse;
use signl4_azure_bridge::config::read_routes;
use signl4_azure_bridge::domain::decide::{Verdict, decide};
use signl4_azure_bridge::domain::delivery::Call;
use signl4_azure_bridge::domain::event::{Event, EventKind, Notification};
use signl4_azure_bridge::domain::id::{AccountName, ConnectionName, DeliveryId, EventId, SubscriptionId, TeamName};
use signl4_azure_bridge::domain::page::{Known, OpenDelivery};
use signl4_azure_bridge::domain::render::{Rendered, TEXT_KEYS, TITLE_CHARS};
use signl4_azure_bridge::domain::route::{Comments, ConnectionTraits, Rules, TeamTraits};
use signl4_azure_bridge::domain::timestamp::Timestamp;

pub const NOW: Timestamp = Timestamp::from_millis(1_795_489_200_000);

/// The public cloud's portal and that of another cloud.
pub const PORTALS: [&str; 2] = ["https://portal.azure.com", "https://portal.azure.us/"];

/// The subscription that the fixtures name.
const SUBSCRIPTION: &str = "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604";

/// One route with a grace and an API key to annotate with, one that takes the rest at once.
const ROUTES: &str = r#"
[[route]]
name = "urgent"
match = { severity = ["Sev0", "Sev1"], not = { custom = { purpose = "load-*" } } }
team = "payments"
service = { Sev0 = "Payments", default = "Other" }
scenario = "multi_ack"
grace = "2m"
on_resolved = "annotate"
close_in_azure = "on_resolve_too"
continue = true

[[route]]
name = "rest"
team = "ops"
system_close = "close"
"#;

/// Two teams and one connection, without routes.
pub static BARE: LazyLock<Rules> = LazyLock::new(|| {
    let team = |name: &str| {
        let account = AccountName::parse(name).expect("a name");
        let own_user_id = Some("bridge".to_owned());
        let traits = TeamTraits { account, has_api: name == "payments", own_user_id, storm: None };
        (TeamName::parse(name).expect("a name"), traits)
    };
    let traits = ConnectionTraits {
        subscriptions: [SubscriptionId::new(SUBSCRIPTION)].into(),
        comments: Comments::All,
        can_write: true,
        portal: PORTALS[0].to_owned(),
    };
    Rules {
        routes: Vec::new(),
        fallback_team: TeamName::parse("ops").expect("a name"),
        teams: [team("ops"), team("payments")].into(),
        connections: [(contoso(), traits)].into(),
        windows: Vec::new(),
    }
});

/// The same with the two routes.
pub static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let (routes, warnings) = read_routes("fuzz.toml", ROUTES, &BARE).expect("the routes above");
    assert_eq!((routes.len(), warnings.len()), (2, 0));
    Rules { routes, ..BARE.clone() }
});

/// Alerts to try routes on: a metric with everything, a text with HTML, one without anything.
pub static ALERTS: LazyLock<[Notification; 3]> = LazyLock::new(|| {
    let fixtures: [&[u8]; 3] = [
        include_bytes!("../../fixtures/azure/metric-static-fired.json"),
        include_bytes!("../../fixtures/azure/service-health-incident-fired.json"),
        include_bytes!("../../fixtures/azure/essentials-with-nulls-fired.json"),
    ];
    fixtures.map(|body| parse(body).expect("a fixture"))
});

pub fn contoso() -> ConnectionName {
    ConnectionName::parse("contoso").expect("a name")
}

/// Judges an event and writes what follows into `known`, as the store would.
pub fn judge(known: &mut Known, kind: &EventKind) -> Verdict {
    let event = Event::new(EventId::parse(&row_id(0)).expect("an id"), NOW, kind.clone());
    let verdict = decide(&RULES, known, &event, NOW);
    assert_eq!(verdict, decide(&RULES, known, &event, NOW), "the same rows, event and time give the same verdict");
    check_verdict(&verdict);
    known.alert = verdict.alert.clone().or(known.alert.take());
    for page in &verdict.pages {
        match known.pages.iter_mut().find(|known| known.id == page.id) {
            Some(known) => *known = page.clone(),
            None => known.pages.push(page.clone()),
        }
    }
    known.open.retain(|open| !verdict.finished.iter().any(|(id, _)| *id == open.id));
    for owed in &verdict.owed {
        let id = DeliveryId::parse(&row_id(known.open.len() + 1)).expect("an id");
        known.open.push(OpenDelivery { id, call: owed.call.clone(), attempt: 0, leased: false, uncertain: false });
    }
    verdict
}

fn row_id(number: usize) -> String {
    format!("0198a5b0-0000-7000-8000-{number:012}")
}

fn check_verdict(verdict: &Verdict) {
    check_stored(&verdict.alert);
    check_stored(&verdict.pages);
    for owed in &verdict.owed {
        check_stored(&owed.call);
        if let Call::Raise { body, .. } = &owed.call {
            let members = body.as_object().expect("one object");
            assert!(members.values().all(serde_json::Value::is_string), "not flat: {body}");
        }
    }
}

/// The rows are JSON: what is read back is what was written.
fn check_stored<T: Serialize + DeserializeOwned + PartialEq + Debug>(row: &T) {
    let stored = serde_json::to_string(row).expect("a row");
    assert_eq!(&serde_json::from_str::<T>(&stored).expect("the same row"), row);
}

/// What holds of every page whatsoever that comes from `input`.
pub fn check_page(page: &Rendered, input: &[u8]) {
    let length = page.title.chars().count();
    assert!((1..=TITLE_CHARS).contains(&length) && !page.title.trim().is_empty(), "title: {:?}", page.title);
    assert!(!page.title.contains(char::is_control), "title: {:?}", page.title);
    assert!((1..=2_000).contains(&page.message.chars().count()), "message: {:?}", page.message);
    // The mark of a cut may stand in the input itself.
    let input = String::from_utf8_lossy(input).to_lowercase();
    let has_mark = ["…", "\\u2026", "\\x", "hellip", "8230"].iter().any(|mark| input.contains(mark));
    let mut names: Vec<String> = page.parameters.iter().map(|(name, _)| name.to_lowercase()).collect();
    for ((name, value), lower) in page.parameters.iter().zip(&names) {
        assert!(!TEXT_KEYS.contains(&lower.as_str()) && !lower.starts_with("x-s4-"), "parameter {name:?}");
        assert!(!value.trim().is_empty() && !value.contains(char::is_control), "{name}: {value:?}");
        let is_link = ["https://", "http://"].iter().any(|scheme| value.to_lowercase().starts_with(scheme))
            && !value.contains(char::is_whitespace);
        assert!(is_link || value.chars().count() <= 120, "{name}: {value:?}");
        assert!(!is_link || !value.contains('…') || has_mark, "a link was cut: {value:?}");
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), page.parameters.len(), "a parameter's name came twice: {names:?}");
}
