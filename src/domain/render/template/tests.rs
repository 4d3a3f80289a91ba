//! What templates give for alerts of every kind, and that none of them can lose a page.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::samples::samples;
use super::*;
use crate::domain::event::{Detail, Severity};
use crate::domain::id::{AccountName, AlertId, SubscriptionId, TeamName};
use crate::domain::render::{compose, render};
use crate::domain::route::{
    BySeverity, Comments, ConnectionTraits, Criteria, Example, Expected, Glob, Policy, Rules, TeamTraits,
};

const PORTAL: &str = "https://portal.azure.com";

fn contoso() -> ConnectionName {
    ConnectionName::parse("contoso").unwrap()
}

fn ops() -> TeamName {
    TeamName::parse("ops").unwrap()
}

fn compiled(source: &str) -> Template {
    Template::compile(source, Position { line: 7, is_multiline: true }).unwrap()
}

fn route(templates: Templates) -> Route {
    Route {
        name: "payments".to_owned(),
        file: "payments.toml".to_owned(),
        line: 3,
        criteria: Criteria::default(),
        team: ops(),
        service: BySeverity::default(),
        scenario: BySeverity::default(),
        policy: Policy::default(),
        templates: Some(templates),
        continues: false,
        examples: Vec::new(),
    }
}

fn rules() -> Rules {
    let team =
        TeamTraits { account: AccountName::parse("acme").unwrap(), has_api: false, own_user_id: None, storm: None };
    let connection = ConnectionTraits {
        subscriptions: BTreeSet::new(),
        comments: Comments::All,
        can_write: true,
        portal: PORTAL.to_owned(),
    };
    Rules {
        windows: Vec::new(),
        routes: Vec::new(),
        fallback_team: ops(),
        teams: BTreeMap::from([(ops(), team)]),
        connections: BTreeMap::from([(contoso(), connection)]),
    }
}

fn sample(kind: &str) -> Notification {
    samples().into_iter().find(|(name, _)| *name == kind).unwrap().1
}

/// The metric alert, with custom properties.
fn metric() -> Notification {
    let mut alert = sample("metric alert");
    let custom = [("Owner", "web"), ("Run Book", "https://wiki.contoso.com/cpu"), ("empty", "  ")];
    alert.custom = custom.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    alert
}

fn page(templates: Templates, notification: &Notification) -> (Rendered, Vec<Fault>) {
    route(templates).page(&contoso(), notification, &compose(notification, PORTAL))
}

fn titled(source: &str) -> Templates {
    Templates { title: Some(compiled(source)), ..Templates::default() }
}

fn parameters(parameters: &[(&str, &str)]) -> Templates {
    let compiled = parameters.iter().map(|(name, source)| ((*name).to_owned(), compiled(source))).collect();
    Templates { parameters: compiled, ..Templates::default() }
}

/// The title that a template gives for the metric alert.
fn title(source: &str) -> String {
    let (page, faults) = page(titled(source), &metric());
    assert_eq!(faults, [], "{source}");
    page.title
}

#[test]
fn templates_say_what_the_alert_has() {
    for (source, expected) in [
        ("{{ title }}", "Sev1 CPU 97.2 % > 90 % (web-1) on vm-web-03"),
        ("{{ severity }} {{ rule }} {{ resource }}", "Sev1 cpu-high vm-web-03"),
        ("{{ value }} of {{ threshold }} {{ metric }}", "97.2 % of 90 % CPU"),
        ("{% if value_number > 95 %}hot{% else %}warm{% endif %}", "hot"),
        ("{{ condition }}", "Average CPU > 90 % over 5 min"),
        ("{{ service }}/{{ signal }}/{{ resource_type }}", "Platform/Metric/microsoft.example/things"),
        ("{{ resource_group }} {{ subscription | truncate(9) }}", "rg-shop 4b7d9c12…"),
        ("{{ resources | join('+') }}", "vm-web-03"),
        ("{{ dimensions.instance }} {{ dimensions['Instance'] }}", "web-1 web-1"),
        ("{{ custom.owner }} {{ custom['run book'] }}", "web https://wiki.contoso.com/cpu"),
        ("{{ custom.team | default('nobody') }}", "nobody"),
        ("{{ custom.empty | default('nobody') }}", "nobody"),
        ("{% if custom.team %}{{ custom.team }}{% else %}no team{% endif %}", "no team"),
        ("{{ detail.window }} {{ detail.tracking_id | default('-') }}", "5 min -"),
        ("{{ fired_at }}", "2026-11-24 03:00 UTC"),
        ("{{ connection }} {{ team }} {{ route }}{% if test %} test{% endif %}", "contoso ops payments"),
        ("{% for name, value in custom | items %}{{ name }} {% endfor %}", "Owner Run Book empty"),
        ("{{ rule | upper | replace('-', ' ') }}", "CPU HIGH"),
        ("{{ 'a b&c' | urlencode }}", "a%20b%26c"),
        ("one\n  two\u{202e}three", "one two three"),
    ] {
        assert_eq!(title(source), expected, "{source}");
    }
}

#[test]
fn a_long_title_ends_at_a_word() {
    let long = title("{{ title }} because {{ description }} {{ description }} {{ description }}");
    assert_eq!(long, "Sev1 CPU 97.2 % > 90 % (web-1) on vm-web-03 because Orders slow down. Orders…");
    assert!(long.chars().count() <= TITLE_CHARS);
}

#[test]
fn words_beside_the_built_in_title_shorten_it_where_it_hurts_least() {
    let mut alert = sample("log alert");
    alert.rule = Some("orders that failed in the last quarter of an hour in all regions".to_owned());
    assert_eq!(
        render(&alert, PORTAL).title,
        "Sev1 orders that failed in the last quarter of…: 17 rows > 5 (west) on log-shop"
    );
    let of = |source: &str| page(titled(source), &alert).0.title;
    assert_eq!(of("Shop: {{ title }}"), "Shop: Sev1 orders that failed in the last…: 17 rows > 5 (west) on log-shop");
    assert_eq!(of("{{ title }} 🚨"), "Sev1 orders that failed in the last quarter…: 17 rows > 5 (west) on log-shop 🚨");
    let wordy = of("The shop of contoso in the west of the country has a problem: {{ title }}");
    assert_eq!(wordy, "The shop of contoso in the west of the country has a problem: Sev1 orders that…");
}

#[test]
fn what_gives_nothing_leaves_the_built_in_text() {
    let alert = metric();
    let nothing = "{{ custom.nobody | default('') }}";
    let templates = Templates {
        title: Some(compiled(nothing)),
        message: Some(compiled(nothing)),
        runbook: Some(compiled(nothing)),
        location: Some(Location::Template(compiled(nothing))),
        parameters: vec![("Owner".to_owned(), compiled(nothing))],
    };
    assert_eq!(page(templates, &alert), (render(&alert, PORTAL), Vec::new()));
}

#[test]
fn a_message_keeps_its_closing_note() {
    let mut alert = metric();
    alert.id = AlertId::parse(
        "/subscriptions/4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604/providers/Microsoft.CostManagement/alerts/b",
    );
    let source = "Call {{ custom.owner }}.\n\n\n{% if true %}\n{{ message }}\n{% endif %}\n";
    let (page, faults) = page(Templates { message: Some(compiled(source)), ..Templates::default() }, &alert);
    assert_eq!(faults, []);
    assert!(page.message.starts_with("Call web.\n\nOrders slow down.\n"), "{}", page.message);
    assert_eq!(page.message.matches("Acknowledging will not reach Azure").count(), 1, "{}", page.message);
    assert!(page.message.ends_with("this alert cannot be changed there."));
}

#[test]
fn a_test_notification_stays_marked() {
    let mut alert = metric();
    alert.id = AlertId::parse(&format!(
        "/subscriptions/{}/providers/Microsoft.AlertsManagement/alerts/a1c3e5f7-0b2d-4c6e-8f90-1a3b5c7d9e02",
        SubscriptionId::TEST
    ));
    for (source, expected) in [("Shop down", "[Test] Shop down"), ("Shop: {{ rule }}", "[Test] Shop: cpu-high")] {
        assert_eq!(page(titled(source), &alert).0.title, expected);
    }
    assert_eq!(page(titled("{{ title }}"), &alert).0.title, render(&alert, PORTAL).title);
    assert_eq!(page(titled("Shop {{ title }}"), &alert).0.title.matches("[Test]").count(), 1);
}

#[test]
fn parameters_replace_join_and_leave_out() {
    let templates = parameters(&[
        ("severity", "{{ severity | replace('Sev', 'P') }}"),
        ("Rule", ""),
        ("Owner", "{{ custom.owner }}"),
        ("Wiki", "https://wiki.contoso.com/{{ 'x' * 300 }}"),
        ("Long", "{{ 'word ' * 100 }}"),
    ]);
    let (page, faults) = page(templates, &metric());
    assert_eq!(faults, []);
    let names: Vec<&str> = page.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["severity", "Resource", "Condition", "Fired", "Link", "Owner", "Wiki", "Long"]);
    let value = |name: &str| page.parameters.iter().find(|(known, _)| known == name).unwrap().1.as_str();
    assert_eq!((value("severity"), value("Owner")), ("P1", "web"));
    assert_eq!(value("Wiki").len(), "https://wiki.contoso.com/".len() + 300, "links are whole");
    assert!(value("Long").chars().count() <= PARAMETER_CHARS && value("Long").ends_with("word…"));
}

#[test]
fn a_runbook_is_the_one_link_besides_the_alert() {
    let alert = sample("log alert");
    let of = |source: &str| page(Templates { runbook: Some(compiled(source)), ..Templates::default() }, &alert);
    let links = |page: &Rendered| -> Vec<String> {
        page.parameters.iter().filter(|(_, value)| value.starts_with("http")).map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(links(&render(&alert, PORTAL)), ["Link", "Results"]);
    let (page, faults) = of("https://wiki.contoso.com/{{ rule | urlencode }}");
    assert_eq!((links(&page), faults), (vec!["Link".to_owned(), "Runbook".to_owned()], Vec::new()));
    assert_eq!(page.parameters.last().unwrap().1, "https://wiki.contoso.com/failed-orders");
    let (page, faults) = of("see the wiki");
    assert_eq!(links(&page), ["Link", "Results"], "what is no address changes nothing");
    assert_eq!(
        faults.first().unwrap().to_string(),
        "payments.toml:7: runbook of route `payments` failed and what the bridge says by itself stands in its place: \
         gives \"see the wiki\", which is not the address of a page, such as https://…"
    );
}

#[test]
fn places_come_from_templates_and_tables() {
    let place = |text: &str| Coordinates::parse(text).unwrap();
    let table = vec![(Glob::new("west*"), place("52.52, 13.405")), (Glob::new("*"), place("0,0"))];
    let by_property = Location::Table { property: Some("SITE".to_owned()), table };
    let by_name = Location::Table { property: None, table: vec![(Glob::new("vm-web-*"), place("-33.86,151.2"))] };
    let of = |location: &Location, alert: &Notification| {
        page(Templates { location: Some(location.clone()), ..Templates::default() }, alert)
    };
    let mut alert = metric();
    assert_eq!(of(&by_name, &alert).0.location.as_deref(), Some("-33.86,151.2"));
    assert_eq!(of(&by_name, &sample("log alert")).0.location, None);
    assert_eq!(of(&by_property, &alert), (Rendered { location: None, ..render(&alert, PORTAL) }, Vec::new()));
    alert.custom.insert("site".to_owned(), "West-2".to_owned());
    assert_eq!(of(&by_property, &alert).0.location.as_deref(), Some("52.52,13.405"));
    alert.custom.insert("site".to_owned(), "north".to_owned());
    assert_eq!(of(&by_property, &alert).0.location.as_deref(), Some("0,0"));
    let template = Location::Template(compiled("{{ custom.at | default('') }}"));
    assert_eq!(of(&template, &alert).1, []);
    alert.custom.insert("at".to_owned(), "48.1, 11.5".to_owned());
    assert_eq!(of(&template, &alert).0.location.as_deref(), Some("48.1,11.5"));
    alert.custom.insert("at".to_owned(), "Munich".to_owned());
    let (page, faults) = of(&template, &alert);
    assert_eq!(page.location, None);
    assert!(faults.first().unwrap().problem.contains("gives \"Munich\", which is not a latitude"), "{faults:?}");
}

#[test]
fn a_template_that_fails_leaves_the_built_in_page_and_says_why() {
    let alert = metric();
    let built_in = render(&alert, PORTAL);
    for (source, problem) in [
        ("{{ custom.ower }}", "the alert has no `custom.ower`"),
        ("{{ resources[3] }}", "the alert has no `resources[3]`"),
        ("{{ title | shorten }}", "unknown filter"),
        ("{{ dimensions.instance.zone.name }}", "`dimensions.instance.zone`"),
        ("{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}", "too much work"),
        ("{{ 'x' * 100000000 }}", "too much work"),
        ("{% for a in range(100) %}{{ description * 500 }}{% endfor %}", "too much work"),
        ("{{ 1 / 0 }}", ""),
    ] {
        let (page, faults) = page(titled(source), &alert);
        assert_eq!(page, built_in, "{source}");
        let fault = faults.first().unwrap();
        assert_eq!((faults.len(), &fault.part, fault.place.as_str()), (1, &Part::Title, "payments.toml:7"), "{source}");
        assert!(fault.problem.contains(problem), "{source}: {fault}");
    }
}

#[test]
fn one_fault_leaves_the_other_templates_alone() {
    let templates = Templates {
        title: Some(compiled("{{ custom.ower }}")),
        message: Some(compiled("ok\n{{ rule }}")),
        parameters: vec![("Rule".to_owned(), compiled("{{ custom.ower }}")), ("Owner".to_owned(), compiled("web"))],
        ..Templates::default()
    };
    let alert = metric();
    let (page, faults) = page(templates, &alert);
    assert_eq!(
        faults.iter().map(|fault| &fault.part).collect::<Vec<_>>(),
        [&Part::Title, &Part::Parameter("Rule".to_owned())]
    );
    assert_eq!((page.title, page.message.as_str()), (render(&alert, PORTAL).title, "ok\ncpu-high"));
    assert!(page.parameters.contains(&("Rule".to_owned(), "cpu-high".to_owned())));
    assert!(page.parameters.contains(&("Owner".to_owned(), "web".to_owned())));
}

#[test]
fn what_no_alert_can_have_does_not_compile() {
    for (source, line, problem) in [
        ("{{ sevrity }}", 7, "there is no variable `sevrity`"),
        ("ok\n{% if tilte %}x{% endif %}", 8, "there is no variable `tilte`"),
        ("{{ detail.traking_id }}", 7, "there is no variable `detail.traking_id`"),
        ("{{ title", 7, "syntax error"),
        ("a\nb\n{% for x in %}", 9, "syntax error"),
        ("{% include 'x' %}", 7, "syntax error"),
        ("{% macro x() %}{% endmacro %}", 7, "syntax error"),
        ("{{ debug() }}", 7, "there is no variable `debug`"),
    ] {
        let error = Template::compile(source, Position { line: 7, is_multiline: true }).unwrap_err();
        assert_eq!(error.line, line, "{source}: {error}");
        assert!(error.problem.contains(problem), "{source}: {error}");
    }
    assert!(
        Template::compile("{% set x = 1 %}{{ x }}{{ range(2) }}", Position { line: 1, is_multiline: false }).is_ok()
    );
}

#[test]
fn the_lists_of_names_are_those_of_the_variables() {
    let mut seen = BTreeSet::new();
    for (kind, alert) in samples() {
        let (connection, team) = (contoso(), ops());
        let about = About { notification: &alert, connection: &connection, team: &team, route: "r" };
        let found = variables(&about, &compose(&alert, PORTAL));
        assert_eq!(found.iter().map(|(name, _)| *name).collect::<Vec<_>>(), NAMES, "{kind}");
        let detail = found.into_iter().find(|(name, _)| *name == "detail").unwrap().1;
        let Variable::Named(detail) = detail else { panic!("{kind}") };
        assert_eq!(detail.keys().map(String::as_str).collect::<Vec<_>>(), DETAILS, "{kind}");
        seen.extend(detail.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name));
    }
    let unseen: Vec<&str> = DETAILS.into_iter().filter(|name| !seen.contains(*name)).collect();
    assert_eq!(unseen, ["forecast_total", "impact_end", "sub_status"], "a sample has every other one");
}

#[test]
fn there_is_a_sample_of_every_kind() {
    let kind = |detail: &Detail| match detail {
        Detail::Metric { .. } => 0,
        Detail::Log { .. } => 1,
        Detail::ActivityLog { .. } => 2,
        Detail::ServiceHealth { .. } => 3,
        Detail::ResourceHealth { .. } => 4,
        Detail::Prometheus { .. } => 5,
        Detail::SmartDetector { .. } => 6,
        Detail::Budget { .. } => 7,
        Detail::Generic { .. } => 8,
        Detail::Other => 9,
    };
    assert_eq!(samples().iter().map(|(_, alert)| kind(&alert.detail)).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
}

fn failures(route: &Route) -> Vec<String> {
    rules().try_templates(route).into_iter().map(|failure| format!("{}: {}", failure.line, failure.text)).collect()
}

#[test]
fn a_trial_names_line_route_and_sample() {
    assert_eq!(failures(&route(titled("{{ title }}: {{ custom.owner | default('nobody') }}"))), [""; 0]);
    assert_eq!(
        failures(&route(titled("{{ title }}\n{{ custom.owner }}"))),
        ["8: title of route `payments`: the alert has no `custom.owner`; say what stands there then: \
          `custom.owner | default(\"…\")` or `{% if custom.owner %}`; seen with the sample metric alert (Sev1) and 9 more"]
    );
    let hot = "{% if detail.tracking_id %}{{ facts.x }}{% endif %}";
    let found = failures(&route(titled(hot)));
    assert!(found.len() == 1 && found[0].ends_with("seen with the sample service health alert (Sev1)"), "{found:?}");
    let found = failures(&route(Templates { runbook: Some(compiled("wiki")), ..Templates::default() }));
    assert!(found.len() == 1 && found[0].contains("gives \"wiki\", which is not the address"), "{found:?}");
}

#[test]
fn a_property_that_the_route_asks_for_needs_no_default() {
    let mut route = route(Templates {
        title: Some(compiled("{{ custom.Owner }}")),
        runbook: Some(compiled("{{ custom.wiki }}")),
        ..Templates::default()
    });
    route.criteria.custom.insert("owner".to_owned(), vec![Glob::new("web")]);
    route.criteria.custom.insert("wiki".to_owned(), vec![Glob::new("*")]);
    assert_eq!(failures(&route), [""; 0]);
}

#[test]
fn every_severity_of_the_route_is_tried() {
    let mut route = route(titled("{% if severity == 'Sev0' %}{{ facts.x }}{% endif %}"));
    assert_eq!(failures(&route), [""; 0], "the samples are Sev1");
    route.criteria.severity = vec![Severity::Sev0, Severity::Sev1];
    let found = failures(&route);
    assert!(found.len() == 1 && found[0].contains("the sample metric alert (Sev0) and"), "{found:?}");
}

#[test]
fn examples_are_tried_and_tell_misspelt_properties() {
    let mut route = route(titled("{{ custom.ower | default('nobody') }}"));
    let mut alert = sample("alert without details");
    alert.custom.insert("owner".to_owned(), "web".to_owned());
    let example = |notification: &Notification, expected| Example {
        line: 21,
        notification: notification.clone(),
        connection: None,
        expected,
    };
    route.examples = vec![example(&alert, Expected::Taken)];
    assert_eq!(
        failures(&route),
        ["7: title of route `payments`: no example of the route has `custom.ower`; did you mean `custom.owner`?"]
    );
    route.templates = Some(titled("{% if custom.owner %}{{ custom.desk }}{% endif %}"));
    let found = failures(&route);
    assert!(found.len() == 1 && found[0].ends_with("seen with the example in line 21"), "{found:?}");
    route.examples = vec![example(&alert, Expected::Left)];
    assert_eq!(failures(&route), [""; 0], "what the route leaves is not tried");
}

fn any_template() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        "{{ ",
        " }}",
        "{% if ",
        " %}",
        "{% endif %}",
        "{% else %}",
        "{% for x in ",
        "{% endfor %}",
        "{% set x = ",
        "x",
        "title",
        "custom",
        "dimensions",
        ".owner",
        "resources",
        "[0]",
        "[-1:]",
        "message",
        "value_number",
        " | upper",
        " | join(',')",
        " | default('-')",
        " | length",
        " | truncate(3)",
        " | truncate(-1)",
        " | items",
        " | list",
        " | sort",
        " | reverse",
        " | batch(2)",
        " | round(400)",
        " | urlencode",
        " | replace('', 'yy')",
        " | indent(99999)",
        " * 99999",
        " ~ ",
        " + ",
        " / 0",
        " % 0",
        " ** 999",
        "range(99999)",
        "(",
        ")",
        "'é…'",
        "1e308",
        "-9223372036854775808",
        "{%- ",
        " -%}",
        "\n",
        "[Test] ",
        "https://example.com/",
        "52.5,13.4",
        " not in ",
        " is defined",
        "loop.index",
        "{% for y in x recursive %}{{ loop(y) }}{% endfor %}",
        "\u{202e}",
        "🚨",
    ]);
    prop_oneof![
        3 => proptest::collection::vec(pieces, 0..14).prop_map(|pieces| pieces.concat()),
        1 => "\\PC{0,40}",
        1 => "\\{\\{ [a-z_.|() '\\[\\]0-9*]{0,30} \\}\\}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_template_loses_a_page_or_breaks_its_limits(
        sources in proptest::collection::vec(any_template(), 5),
        at in 0..10_usize,
        owner in "\\PC{0,200}",
    ) {
        let compiled = |at: usize| Template::compile(&sources[at], Position { line: 1, is_multiline: false }).ok();
        let templates = Templates {
            title: compiled(0),
            message: compiled(1),
            runbook: compiled(2),
            location: compiled(3).map(Location::Template),
            parameters: compiled(4).map(|template| ("Owner".to_owned(), template)).into_iter().collect(),
        };
        let mut alert = samples().swap_remove(at).1;
        alert.custom.insert("owner".to_owned(), owner);
        let (page, faults) = page(templates, &alert);
        prop_assert!(!page.title.is_empty() && page.title.chars().count() <= TITLE_CHARS, "{}", page.title);
        let hidden = page.title.contains(['\n', '\u{202e}']);
        prop_assert!(!hidden);
        prop_assert!(!page.message.is_empty() && page.message.chars().count() <= MESSAGE_CHARS + 200);
        for (name, value) in &page.parameters {
            let short = value.chars().count() <= PARAMETER_CHARS;
            prop_assert!(!value.is_empty() && (short || text::is_web_address(value)), "{name}: {value}");
        }
        prop_assert!(page.location.is_none_or(|location| Coordinates::parse(&location).is_some()));
        prop_assert!(faults.len() <= 5);
        prop_assert!(faults.iter().all(|fault| !fault.problem.is_empty() && !fault.problem.contains("engine failed")), "{faults:?}");
    }
}
