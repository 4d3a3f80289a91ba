//! A route's own words, through the front door: templated pages arrive, and a template that fails loses none.

use std::collections::BTreeMap;
use std::path::Path;

use signl4_azure_bridge::azure::parse::parse;
use signl4_azure_bridge::config::Config;
use signl4_azure_bridge::domain::id::{ConnectionName, TeamName};
use signl4_azure_bridge::domain::render::template::{Position, Template, Templates};
use signl4_azure_bridge::domain::render::{TITLE_CHARS, compose};
use signl4_azure_bridge::domain::route::{BySeverity, Criteria, Policy, Route};
use signl4_azure_bridge::explain::explain;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::signl4::Alert;

use crate::town::{Plan, Town, start_of_time};

fn cpu() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default()).severity(1)
}

fn parameter<'p>(page: &'p Alert, name: &str) -> Option<&'p str> {
    page.parameters.get(name).and_then(|value| value.as_str())
}

#[tokio::test]
async fn a_page_arrives_in_the_words_of_its_route() {
    let routes = r#"
[[route]]
name       = "shop"
team       = "ops"
title      = "Shop: {{ metric }} {{ value }} on {{ resource }}"
message    = """
Look at the board first.
{% if custom.owner %}
Owner: {{ custom.owner }}
{% endif %}
{{ message }}
"""
parameters = { Owner = "{{ custom.owner | default('nobody') }}", Rule = "" }
runbook    = "https://wiki.contoso.com/{{ rule | urlencode }}"
location   = { table = { "vm-web-*" = "52.52, 13.405" } }
"#;
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert);
    assert!(page.title.starts_with("Shop: CPU ") && page.title.ends_with(" on vm-web-1"), "{}", page.title);
    assert!(page.text.starts_with("Look at the board first.\nCPU: "), "{}", page.text);
    assert_eq!(parameter(&page, "Owner"), Some("nobody"));
    assert_eq!(parameter(&page, "Runbook"), Some("https://wiki.contoso.com/CPU%20above%2090%20%25"));
    assert_eq!(parameter(&page, "Rule"), None);
    assert_eq!(page.location.as_deref(), Some("52.52,13.405"));
    town.close().await;
}

#[tokio::test]
async fn a_place_comes_from_a_tag_or_from_a_table() {
    let routes = r#"
[[route]]
name     = "by tag"
match    = { severity = "Sev1" }
team     = "ops"
location = "{{ custom.place | default('') }}"

[[route]]
name     = "by table"
team     = "ops"
location = { property = "site", table = { west = "52.52,13.40", "north-*" = "53.55, 9.99" } }
"#;
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    for (severity, name, value, place) in [
        (1, "place", "48.14, 11.58", Some("48.14,11.58")),
        (1, "place", "on the moon", None),
        (1, "other", "48.14,11.58", None),
        (2, "site", "west", Some("52.52,13.40")),
        (2, "site", "North-3", Some("53.55,9.99")),
        (2, "site", "south", None),
    ] {
        let alert = town.scene.azure.fire(cpu().severity(severity).custom_property(name, value)).unwrap();
        town.settle().await;
        assert_eq!(town.page(&alert).location.as_deref(), place, "{name} = {value}");
    }
    town.close().await;
}

#[tokio::test]
async fn a_template_that_fails_pages_in_the_built_in_words_and_is_counted() {
    let routes = r#"
[[route]]
name    = "brittle"
team    = "ops"
title   = "{{ custom.owner }} must act"
message = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"
"#;
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    let page = town.page(&alert);
    assert!(page.title.starts_with("Sev1 CPU ") && page.title.contains("vm-web-1"), "{}", page.title);
    assert!(page.text.contains("CPU: average"), "{}", page.text);
    let metrics = town.http.get(format!("{}/metrics", town.admin)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("bridge_template_failures_total{route=\"brittle\"} 2"), "{metrics}");
    town.close().await;
}

#[tokio::test]
async fn a_reload_with_a_bad_template_changes_nothing() {
    let routes = "[[route]]\nname = \"all\"\nteam = \"ops\"\ntitle = \"First: {{ rule }}\"\n";
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    let file = town.folder.path().join("routes/10-test.toml");
    std::fs::write(&file, routes.replace("First: {{ rule }}", "Second: {{ ruel }}")).unwrap();
    assert!(town.bridge.reload().await.is_err());
    let first = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    assert_eq!(town.page(&first).title, "First: CPU above 90 %");
    std::fs::write(&file, routes.replace("First", "Second")).unwrap();
    town.bridge.reload().await.unwrap();
    let second = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    assert_eq!(town.page(&second).title, "Second: CPU above 90 %");
    town.close().await;
}

#[test]
fn every_body_of_the_fixtures_has_a_page_in_the_words_of_a_route() {
    let compiled = |source: &str| Template::compile(source, Position { line: 1, is_multiline: false }).unwrap();
    let everything = "{{ severity | default('Sev?') }} {{ rule | default(title) }} {{ resource }} {{ value }} {{ threshold }} \
                      {{ resources | join(',') }} {% for n, v in dimensions | items %}{{ n }}={{ v }} {% endfor %}\
                      {% for n, v in facts | items %}{{ n }}={{ v }} {% endfor %}{{ detail.status }}";
    let (connection, team) = (ConnectionName::parse("contoso").unwrap(), TeamName::parse("ops").unwrap());
    let route = Route {
        name: "all".to_owned(),
        file: "all.toml".to_owned(),
        line: 1,
        criteria: Criteria::default(),
        team,
        service: BySeverity::default(),
        scenario: BySeverity::default(),
        policy: Policy::default(),
        templates: Some(Templates {
            title: Some(compiled(everything)),
            message: Some(compiled("Hello.\n{{ message }}")),
            parameters: vec![("All".to_owned(), compiled(everything))],
            ..Templates::default()
        }),
        continues: false,
        examples: Vec::new(),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azure");
    let mut bodies = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let notification = parse(&std::fs::read(&path).unwrap()).unwrap();
        let composed = compose(&notification, "https://portal.azure.com");
        let (page, faults) = route.page(&connection, &notification, &composed);
        assert_eq!(faults, [], "{}", path.display());
        assert!((1..=TITLE_CHARS).contains(&page.title.chars().count()), "{}", page.title);
        assert_eq!(page.title.starts_with("[Test] "), notification.is_test(), "{}", page.title);
        assert!(page.message.starts_with("Hello.\n"), "{}", page.message);
        let (built_in, own) = (composed.page().message, page.message.len());
        assert!(page.message.ends_with(&built_in) || own >= 1_500, "the whole message, closing note included");
        bodies += 1;
    }
    assert!(bodies >= 45, "only {bodies} bodies");
}

#[test]
fn explain_shows_the_variables_and_what_fails() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = "[azure.contoso]\nsubscriptions = [\"4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604\"]\n[signl4.ops]\nsecret = \"opssecret99\"\n";
    std::fs::write(folder.path().join("bridge.toml"), bridge).unwrap();
    std::fs::create_dir(folder.path().join("routes")).unwrap();
    let routes = "[[route]]\nname = \"shop\"\ntitle = \"Shop: {{ title }}\"\nmessage = \"{{ custom.desk }}\"\n";
    std::fs::write(folder.path().join("routes/a.toml"), routes).unwrap();
    let config = Config::load(&folder.path().join("bridge.toml"), None, &BTreeMap::new()).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let body = std::fs::read(root.join("fixtures/azure/metric-static-fired.json")).unwrap();
    let mut out = Vec::new();
    explain(&config, &body, None, start_of_time(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for line in [
        "  title = \"Sev1 CPU 97.2 % > 90 % on vm-web-03\"\n",
        "  value_number = 97.2318\n",
        "  custom = {\"owner\": \"web\", \"runbook\": \"https://wiki.contoso.com/runbooks/web-cpu\"}\n",
        "  route = \"shop\"\n",
        "  empty: dimensions, facts, link\n",
        "  shop (a.toml:1): title, message\n",
        "    a.toml:4: message of route `shop` failed and the built-in text stands in its place: the alert has no `custom.desk`",
        "  \"Title\": \"Shop: Sev1 CPU 97.2 % > 90 % on vm-web-03\",\n",
        "  \"Message\": \"Web tier is short of processor; orders slow down.",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn explain_shows_route_variables_verdict_and_page_of_every_body() {
    let folder = tempfile::tempdir().unwrap();
    let bridge = "[azure.contoso]\nsubscriptions = [\"4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604\"]\n[signl4.ops]\nsecret = \"opssecret99\"\n";
    std::fs::write(folder.path().join("bridge.toml"), bridge).unwrap();
    std::fs::create_dir(folder.path().join("routes")).unwrap();
    std::fs::write(folder.path().join("routes/a.toml"), "[[route]]\nname = \"all\"\nteam = \"ops\"\n").unwrap();
    let config = Config::load(&folder.path().join("bridge.toml"), None, &BTreeMap::new()).unwrap();
    let explained = |body: &[u8]| {
        let mut out = Vec::new();
        explain(&config, body, None, start_of_time(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azure");
    for entry in std::fs::read_dir(fixtures).unwrap() {
        let path = entry.unwrap().path();
        let body = std::fs::read(&path).unwrap();
        let text = explained(&body);
        let title = compose(&parse(&body).unwrap(), "https://portal.azure.com").title;
        let name = path.file_stem().unwrap().to_str().unwrap();
        // What ends a page has none of its own.
        let ends = text.contains("\nVerdict     resolved");
        let sent = text.contains(&format!("  \"Title\": {},\n", serde_json::json!(title)));
        assert!(sent || ends, "{name}\n{text}");
        for line in
            ["Alert       ", "\nRoutes\n  → all (a.toml:1): takes it\n", "\nVerdict     ", "Variables for templates\n"]
        {
            assert!(text.contains(line), "{name}: {line:?}\n{text}");
        }
        let own_words = serde_json::json!(title.trim_start_matches("[Test] "));
        assert!(text.contains(&format!("  title = {own_words}\n")), "{name}\n{text}");
    }
    for unreadable in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"data\": {}}"] {
        let text = explained(unreadable);
        assert!(
            text.starts_with("Unreadable: ") && text.contains("POST https://connect.signl4.com/webhook/"),
            "{text}"
        );
    }
}
