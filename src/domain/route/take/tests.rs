//! Tables for matching, and the property that narrowing a route never widens what it takes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{BySeverity, Decision, Policy};
use super::*;
use crate::domain::event::{Condition, Detail};
use crate::domain::id::{AlertId, TeamName};

const SUB: &str = "4e1b7a90-5c1d-4f7e-9a0b-2f6c3d8e1a57";

fn connection(name: &str) -> ConnectionName {
    ConnectionName::parse(name).unwrap()
}

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::new(pattern)).collect()
}

fn notification() -> Notification {
    Notification {
        id: AlertId::parse(&format!(
            "/subscriptions/{SUB}/providers/Microsoft.AlertsManagement/alerts/7c0e0f6a-93f5-4b7e-8a42-0d6d1c1f9e11"
        )),
        condition: Condition::Fired,
        fired_at: None,
        resolved_at: None,
        rule: Some("CPU high on orders".to_owned()),
        rule_id: Some(format!(
            "/subscriptions/{SUB}/resourcegroups/rg-rules/providers/microsoft.insights/metricalerts/cpu"
        )),
        severity: Some(Severity::Sev1),
        signal: Some("Metric".to_owned()),
        monitoring_service: Some("Platform".to_owned()),
        targets: vec![format!(
            "/subscriptions/{SUB}/resourcegroups/rg-orders/providers/microsoft.sql/servers/sql1/databases/orders"
        )],
        items: vec!["Orders-DB".to_owned()],
        description: None,
        custom: BTreeMap::from([("Env".to_owned(), "production".to_owned())]),
        detail: Detail::Other,
        legacy: None,
        investigation_link: None,
        digest: String::new(),
    }
}

fn said(criteria: &Criteria) -> Result<(), String> {
    criteria.judge(&connection("contoso"), &notification()).map_err(|mismatch| mismatch.to_string())
}

#[test]
fn every_criterion_takes_and_leaves() {
    let scope = |path: &str| Criteria { scope: vec![path.to_owned()], ..Criteria::default() };
    let custom = |key: &str, pattern: &str| Criteria {
        custom: BTreeMap::from([(key.to_owned(), globs(&[pattern]))]),
        ..Criteria::default()
    };
    for (criteria, expected) in [
        (Criteria::default(), None),
        (scope(&format!("/subscriptions/{SUB}/resourceGroups/RG-Orders")), None),
        (
            scope(&format!("/subscriptions/{SUB}/resourceGroups/rg")),
            Some(format!(
                "target is /subscriptions/{SUB}/resourcegroups/rg-orders/providers/microsoft.sql/servers/sql1/databases/\
                 orders, the route takes /subscriptions/{SUB}/resourceGroups/rg"
            )),
        ),
        (Criteria { severity: vec![Severity::Sev0, Severity::Sev1], ..Criteria::default() }, None),
        (
            Criteria { severity: vec![Severity::Sev3, Severity::Sev4], ..Criteria::default() },
            Some("severity is Sev1, the route takes Sev3, Sev4".to_owned()),
        ),
        (Criteria { connection: vec![connection("contoso")], ..Criteria::default() }, None),
        (
            Criteria { connection: vec![connection("fabrikam")], ..Criteria::default() },
            Some("connection is contoso, the route takes fabrikam".to_owned()),
        ),
        (Criteria { rule: globs(&["cpu *"]), ..Criteria::default() }, None),
        (Criteria { resource: globs(&["orders"]), ..Criteria::default() }, None),
        (Criteria { resource: globs(&["orders-db"]), ..Criteria::default() }, None),
        (
            Criteria { resource: globs(&["sql1"]), ..Criteria::default() },
            Some("resource is orders, Orders-DB, the route takes sql1".to_owned()),
        ),
        (Criteria { resource_type: globs(&["Microsoft.Sql/servers/databases"]), ..Criteria::default() }, None),
        (
            Criteria { resource_type: globs(&["Microsoft.Sql/servers"]), ..Criteria::default() },
            Some("resource type is microsoft.sql/servers/databases, the route takes Microsoft.Sql/servers".to_owned()),
        ),
        (Criteria { monitoring_service: globs(&["platform"]), ..Criteria::default() }, None),
        (
            Criteria { signal: globs(&["Log", "ActivityLog"]), ..Criteria::default() },
            Some("signal is Metric, the route takes Log, ActivityLog".to_owned()),
        ),
        (custom("env", "prod*"), None),
        (custom("env", "test"), Some("custom property env is production, the route takes test".to_owned())),
        (custom("owner", "*"), Some("the alert has no custom property owner, the route takes *".to_owned())),
        (
            Criteria {
                not: Some(Box::new(Criteria { rule: globs(&["*orders"]), ..Criteria::default() })),
                ..Criteria::default()
            },
            Some("the route leaves it out by `not`".to_owned()),
        ),
        (
            Criteria {
                not: Some(Box::new(Criteria {
                    rule: globs(&["*orders"]),
                    severity: vec![Severity::Sev4],
                    ..Criteria::default()
                })),
                ..Criteria::default()
            },
            None,
        ),
    ] {
        assert_eq!(said(&criteria).err(), expected, "{criteria:?}");
    }
}

#[test]
fn the_scope_falls_back_to_rule_and_subscription() {
    let scope = |path: String| Criteria { scope: vec![path], ..Criteria::default() };
    let in_rules = scope(format!("/subscriptions/{SUB}/resourceGroups/rg-rules"));
    let in_subscription = scope(format!("/subscriptions/{SUB}"));
    let mut alert = notification();
    assert!(in_rules.judge(&connection("contoso"), &alert).is_err(), "a target wins over the rule");
    alert.targets.clear();
    assert!(in_rules.judge(&connection("contoso"), &alert).is_ok());
    alert.rule_id = None;
    assert!(in_rules.judge(&connection("contoso"), &alert).is_err());
    assert!(in_subscription.judge(&connection("contoso"), &alert).is_ok());
}

#[test]
fn one_of_several_targets_is_enough() {
    let mut alert = notification();
    alert.targets.push(format!("/subscriptions/{SUB}/resourcegroups/rg-web/providers/microsoft.web/sites/shop"));
    let criteria = Criteria { resource_type: globs(&["microsoft.web/sites"]), ..Criteria::default() };
    assert_eq!(criteria.judge(&connection("contoso"), &alert), Ok(()));
}

#[test]
fn an_alert_without_severity_is_left_by_a_severity_route() {
    let mut alert = notification();
    alert.severity = None;
    let criteria = Criteria { severity: Severity::ALL.to_vec(), ..Criteria::default() };
    assert_eq!(
        criteria.judge(&connection("contoso"), &alert).unwrap_err().to_string(),
        "the alert has no severity, the route takes Sev0, Sev1, Sev2, Sev3, Sev4"
    );
}

fn route(name: &str, criteria: Criteria, continues: bool) -> Route {
    Route {
        name: name.to_owned(),
        file: "routes.toml".to_owned(),
        line: 1,
        criteria,
        team: TeamName::parse("ops").unwrap(),
        service: BySeverity::default(),
        scenario: BySeverity::default(),
        policy: Policy::default(),
        templates: None,
        continues,
        examples: Vec::new(),
    }
}

fn rules(routes: Vec<Route>) -> Rules {
    Rules {
        windows: Vec::new(),
        routes,
        fallback_team: TeamName::parse("ops").unwrap(),
        teams: BTreeMap::new(),
        connections: BTreeMap::new(),
    }
}

#[test]
fn the_first_match_takes_the_alert_unless_it_continues() {
    let severe = || Criteria { severity: vec![Severity::Sev1], ..Criteria::default() };
    let mild = || Criteria { severity: vec![Severity::Sev4], ..Criteria::default() };
    let rules = rules(vec![
        route("mild", mild(), false),
        route("copy", severe(), true),
        route("mild too", mild(), true),
        route("severe", severe(), false),
        route("rest", Criteria::default(), false),
    ]);
    let (contoso, alert) = (connection("contoso"), notification());
    let taking: Vec<&str> = rules.matching(&contoso, &alert).iter().map(|route| route.name.as_str()).collect();
    assert_eq!(taking, ["copy", "severe"]);
    let left = Decision::Leaves(Mismatch::Differs {
        criterion: "severity".to_owned(),
        found: vec!["Sev1".to_owned()],
        wanted: vec!["Sev4".to_owned()],
    });
    let explained: Vec<Decision> = rules.explain(&contoso, &alert).into_iter().map(|(_, decision)| decision).collect();
    assert_eq!(explained, [left.clone(), Decision::TakesAndContinues, left, Decision::Takes, Decision::NotAsked]);
}

#[test]
fn no_route_takes_what_none_names() {
    let rules = rules(vec![route("web", Criteria { resource: globs(&["web*"]), ..Criteria::default() }, false)]);
    assert!(rules.matching(&connection("contoso"), &notification()).is_empty());
}

prop_compose! {
    fn any_criteria()(
        severity in prop::collection::vec(prop::sample::select(Severity::ALL.to_vec()), 0..3),
        rule in prop::collection::vec("[a-c*?]{1,3}", 0..3),
        scope in prop::collection::vec("/subscriptions/[a-b](/resourceGroups/[a-b])?", 0..2),
    ) -> Criteria {
        Criteria {
            severity,
            rule: rule.iter().map(|pattern| Glob::new(pattern)).collect(),
            scope,
            ..Criteria::default()
        }
    }
}

prop_compose! {
    fn any_notification()(
        severity in prop::option::of(prop::sample::select(Severity::ALL.to_vec())),
        rule in prop::option::of("[a-c]{0,3}"),
        targets in prop::collection::vec("/subscriptions/[a-b](/resourceGroups/[a-b])?(/providers/x/y/z)?", 0..2),
    ) -> Notification {
        Notification { severity, rule, targets, rule_id: None, ..notification() }
    }
}

proptest! {
    #[test]
    fn a_further_criterion_never_takes_more(one in any_criteria(), other in any_criteria(), alert in any_notification()) {
        let contoso = connection("contoso");
        let both = Criteria {
            rule: if one.rule.is_empty() { other.rule } else { one.rule.clone() },
            severity: if one.severity.is_empty() { other.severity } else { one.severity.clone() },
            scope: if one.scope.is_empty() { other.scope } else { one.scope.clone() },
            ..Criteria::default()
        };
        if both.judge(&contoso, &alert).is_ok() {
            prop_assert_eq!(one.judge(&contoso, &alert), Ok(()));
        }
    }

    #[test]
    fn not_turns_a_judgement_round(criteria in any_criteria(), alert in any_notification()) {
        let contoso = connection("contoso");
        let taken = criteria.judge(&contoso, &alert).is_ok();
        let not = Criteria { not: Some(Box::new(criteria)), ..Criteria::default() };
        prop_assert_eq!(not.judge(&contoso, &alert).is_err(), taken);
    }

    #[test]
    fn a_shadowed_route_is_never_reached(criteria in prop::collection::vec(any_criteria(), 1..4), not in prop::option::of(any_criteria()), alert in any_notification()) {
        let mut routes: Vec<Route> =
            criteria.into_iter().enumerate().map(|(at, criteria)| route(&at.to_string(), criteria, false)).collect();
        routes[0].criteria.not = not.map(Box::new);
        let rules = rules(routes);
        let taking: Vec<&str> =
            rules.matching(&connection("contoso"), &alert).iter().map(|route| route.name.as_str()).collect();
        for shadow in rules.shadowed() {
            prop_assert!(!taking.contains(&shadow.route.name.as_str()), "{}", shadow.route.name);
        }
    }
}
