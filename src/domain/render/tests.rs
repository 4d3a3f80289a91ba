//! What a person would read, by hand: limits, numbers, links.

use std::collections::BTreeMap;

use super::super::event::Criterion;
use super::super::id::AlertId;
use super::*;

const PORTAL: &str = "https://portal.azure.us/";
const SUBSCRIPTION: &str = "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604";

fn alert(rule: &str, item: &str, detail: Detail) -> Notification {
    Notification {
        id: AlertId::parse(&format!(
            "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/\
             a1c3e5f7-0b2d-4c6e-8f90-1a3b5c7d9e02"
        )),
        condition: Condition::Fired,
        fired_at: Timestamp::parse("2026-11-24T03:00:12.4713213Z"),
        resolved_at: None,
        rule: Some(rule.to_owned()),
        rule_id: None,
        severity: Some(Severity::Sev1),
        signal: None,
        monitoring_service: None,
        targets: Vec::new(),
        items: vec![item.to_owned()],
        description: None,
        custom: BTreeMap::new(),
        detail,
        legacy: None,
        investigation_link: None,
        digest: String::new(),
    }
}

fn rows(value: f64) -> Detail {
    let criterion = Criterion {
        operator: Some("GreaterThan".to_owned()),
        threshold: Some("5".to_owned()),
        aggregation: Some("Count".to_owned()),
        value: Some(value),
        ..Criterion::default()
    };
    Detail::Log { criteria: vec![criterion], window: None, query: None, link: None, rows: Vec::new() }
}

fn parameter<'a>(page: &'a Rendered, name: &str) -> Option<&'a str> {
    page.parameters.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_measured_value_survives_long_names() {
    for (rule, item, title) in [
        ("orders-failed", "log-contoso", "Sev1 orders-failed: 17 rows > 5 on log-contoso"),
        (
            "failed orders of the shop in the last quarter of an hour, all regions",
            "log-contoso",
            "Sev1 failed orders of the shop in the last quarter…: 17 rows > 5 on log-contoso",
        ),
        (
            "orders-failed",
            "a-very-long-workspace-name-that-nobody-can-read-on-a-telephone-at-night",
            "Sev1 orders-failed: 17 rows > 5 on a-very-long-workspace-name-that-nobody-can-r…",
        ),
        (
            "failed orders of the shop in the last quarter of an hour, all regions",
            "a-very-long-workspace-name-that-nobody-can-read-on-a-telephone-at-night",
            "Sev1 failed orders of the shop in…: 17 rows > 5 on a-very-long-workspace-name-t…",
        ),
    ] {
        let page = render(&alert(rule, item, rows(17.0)), PORTAL);
        assert_eq!(page.title, title);
        assert!(page.title.chars().count() <= TITLE_CHARS);
    }
}

#[test]
fn parameters_are_short_and_in_order() {
    let page = render(&alert("orders-failed", "log-contoso", rows(17.0)), PORTAL);
    let names: Vec<&str> = page.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Severity", "Resource", "Condition", "Fired", "Rule", "Link"]);
    assert_eq!(parameter(&page, "Fired"), Some("2026-11-24 03:00 UTC"));
    assert_eq!(parameter(&page, "Condition"), Some("Rows > 5"));
    let link = parameter(&page, "Link").unwrap();
    assert!(link.starts_with("https://portal.azure.us/#view/Microsoft_Azure_Monitoring_Alerts/"), "{link}");
}

#[test]
fn an_alert_that_cannot_be_changed_says_so_after_a_long_message() {
    let mut alert = alert("r", "vm", Detail::Other);
    alert.id = AlertId::parse(&format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.CostManagement/alerts/b"));
    alert.targets = vec![format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/x/y/vm")];
    alert.description = Some("word ".repeat(1_000));
    alert.custom = (0..30).map(|at| (format!("name {at}"), "value ".repeat(100))).collect();
    let page = render(&alert, PORTAL);
    assert!(page.message.ends_with("Acknowledging will not reach Azure: this alert cannot be changed there."));
    assert!(page.message.chars().count() < 1_800, "{}", page.message.chars().count());
    let resource =
        format!("https://portal.azure.us/#resource/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/x/y/vm");
    assert_eq!(parameter(&page, "Link"), Some(resource.as_str()));
    alert.legacy = Some("metric alert".to_owned());
    assert!(render(&alert, PORTAL).message.ends_with("Turn on its common alert schema."));
}

#[test]
fn several_items_are_counted() {
    let mut alert = alert("r", "vm-1", Detail::Other);
    alert.items.extend(["vm-2".to_owned(), "vm-3".to_owned()]);
    assert_eq!(render(&alert, PORTAL).title, "Sev1 r on vm-1 +2");
}

#[test]
fn an_unreadable_alert_names_its_problem_and_connection() {
    let connection = ConnectionName::parse("contoso").unwrap();
    let page = render_unreadable("the body is not JSON: expected value at line 1 column 1", &connection);
    assert_eq!(page.title, "Unreadable Azure alert on connection contoso");
    assert!(page.message.contains("the body is not JSON: expected value at line 1 column 1."), "{}", page.message);
    assert_eq!(parameter(&page, "Connection"), Some("contoso"));
    let long = render_unreadable(&"long ".repeat(1_000), &ConnectionName::parse(&"c".repeat(64)).unwrap());
    assert_eq!(long.title.chars().count(), TITLE_CHARS);
    assert!(long.message.chars().count() < 800);
}

#[test]
fn a_foreign_subscription_is_named_with_the_mend_and_no_alert_text() {
    let connection = ConnectionName::parse("contoso").unwrap();
    let page = render_foreign(Some(&SubscriptionId::new(SUBSCRIPTION)), &connection);
    assert_eq!(page.title, format!("Alerts of subscription {SUBSCRIPTION} are not paged"));
    assert!(page.title.chars().count() <= TITLE_CHARS);
    assert!(page.message.contains("Add it to `subscriptions` of [azure.contoso], or detach the action group"));
    assert_eq!(parameter(&page, "Subscription"), Some(SUBSCRIPTION));
    let nameless = render_foreign(None, &connection);
    assert_eq!(nameless.title, "Alerts without a subscription are not paged (contoso)");
    assert_eq!(parameter(&nameless, "Subscription"), None);
}

fn restarted(severity: Severity, caller: &str) -> Notification {
    let detail = Detail::ActivityLog {
        category: Some("Administrative".to_owned()),
        operation: Some("Microsoft.Compute/virtualMachines/restart/action".to_owned()),
        status: Some("Succeeded".to_owned()),
        sub_status: None,
        level: None,
        caller: Some(caller.to_owned()),
        message: None,
        resource: None,
        facts: Vec::new(),
    };
    Notification { severity: Some(severity), ..alert("restarted", "vm-web-03", detail) }
}

#[test]
fn a_severity_that_azure_sets_on_everything_is_not_shown() {
    let page = render(&restarted(Severity::Sev4, ""), PORTAL);
    assert_eq!(page.title, "Restart virtual machine succeeded: vm-web-03");
    assert_eq!(parameter(&page, "Severity"), None);
    // Should a rule's author be able to choose one some day, it says something.
    let page = render(&restarted(Severity::Sev1, ""), PORTAL);
    assert_eq!(page.title, "Sev1 Restart virtual machine succeeded: vm-web-03");
    assert_eq!(parameter(&page, "Severity"), Some("Sev1"));
}

#[test]
fn who_did_it_stands_in_the_title_where_there_is_room() {
    for (caller, title) in [
        ("jane.doe@contoso.com", "Restart virtual machine succeeded: vm-web-03, by jane.doe@contoso.com"),
        ("jane.doe@operations.contoso.example.com", "Restart virtual machine succeeded: vm-web-03, by jane.doe"),
        ("a-pipeline-with-a-very-long-name-of-its-own@contoso.com", "Restart virtual machine succeeded: vm-web-03"),
        ("9c3b5a17-4d60-4e82-8f2a-1b7c9d0e3f54", "Restart virtual machine succeeded: vm-web-03"),
    ] {
        let page = render(&restarted(Severity::Sev4, caller), PORTAL);
        assert_eq!(page.title, title);
        assert!(page.message.starts_with(&format!("By: {caller}")), "{}", page.message);
    }
}

#[test]
fn too_few_words_are_left_out() {
    let pods = |pod: &str, summary: &str| {
        let detail = Detail::Prometheus {
            expression: Some("restarts > 3".to_owned()),
            value: Some("6".to_owned()),
            summary: Some(summary.to_owned()),
            description: None,
            labels: [("pod".to_owned(), pod.to_owned())].into(),
            holds: None,
            link: None,
        };
        render(&alert("apps/PodRestarts", "", detail), PORTAL).title
    };
    assert_eq!(
        pods("api-1", "Restarts again and again"),
        "Sev1 PodRestarts: Restarts again and again (6 > 3) on api-1"
    );
    assert_eq!(
        pods("payments-api-shop-6c9f7d8b5-x2x4q", "Restarts again and again"),
        "Sev1 PodRestarts: Restarts again… (6 > 3) on payments-api-shop-6c9f7d8b5-x2x4q"
    );
    assert_eq!(
        pods("payments-api-of-the-shop-6c9f7d8b5-x2x4q", "Restarts again and again"),
        "Sev1 PodRestarts (6 > 3) on payments-api-of-the-shop-6c9f7d8b5-x2x4q"
    );
    assert_eq!(pods("api-1", "PodRestarts: api-1"), "Sev1 PodRestarts: api-1 (6 > 3)");
}

#[test]
fn what_is_over_is_told_as_over() {
    let mut over = alert("orders-failed", "log-contoso", rows(0.0));
    over.condition = Condition::Resolved;
    over.resolved_at = Timestamp::parse("2026-11-24T05:05:12Z");
    over.description = Some("Orders fail.".to_owned());
    let page = render(&over, PORTAL);
    assert_eq!(page.title, "Resolved: Sev1 orders-failed: 0 rows (limit > 5) on log-contoso");
    assert_eq!(page.message, "Resolved 2026-11-24 05:05 UTC, after 2 h 4 min");
    let bare = Notification { resolved_at: None, detail: Detail::Other, ..over };
    assert_eq!(render(&bare, PORTAL).message, "Azure says that it is over.");
}
