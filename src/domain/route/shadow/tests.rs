//! When a route surely lies behind an earlier one, and when it is not certain.

use std::collections::BTreeMap;

use super::super::{BySeverity, Comments, ConnectionTraits, Policy};
use super::*;
use crate::domain::event::Severity;
use crate::domain::id::TeamName;

fn globs(patterns: &[&str]) -> Vec<Glob> {
    patterns.iter().map(|pattern| Glob::new(pattern)).collect()
}

fn rules(criteria: Vec<(Criteria, bool)>) -> Rules {
    let traits = ConnectionTraits {
        subscriptions: std::collections::BTreeSet::new(),
        comments: Comments::All,
        can_write: false,
        portal: String::new(),
    };
    Rules {
        windows: Vec::new(),
        routes: criteria
            .into_iter()
            .enumerate()
            .map(|(at, (criteria, continues))| Route {
                name: at.to_string(),
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
            })
            .collect(),
        fallback_team: TeamName::parse("ops").unwrap(),
        teams: BTreeMap::new(),
        connections: [("contoso", traits.clone()), ("fabrikam", traits)]
            .into_iter()
            .map(|(name, traits)| (ConnectionName::parse(name).unwrap(), traits))
            .collect(),
    }
}

fn check(earlier: &Criteria, later: &Criteria, expected: bool) {
    let shadowed = |continues| rules(vec![(earlier.clone(), continues), (later.clone(), false)]).shadowed().len();
    assert_eq!(shadowed(false) == 1, expected, "{later:?} behind {earlier:?}");
    assert_eq!(shadowed(true), 0, "a route that continues hides nothing");
}

#[test]
fn a_wider_earlier_route_shadows() {
    let all = Criteria::default();
    let severe = Criteria { severity: vec![Severity::Sev0, Severity::Sev1], ..Criteria::default() };
    let worst = Criteria { severity: vec![Severity::Sev0], ..Criteria::default() };
    let group = Criteria { scope: vec!["/subscriptions/s/resourceGroups/g".to_owned()], ..Criteria::default() };
    let server = Criteria {
        scope: vec!["/subscriptions/s/resourceGroups/G/providers/Microsoft.Sql/servers/db1".to_owned()],
        ..Criteria::default()
    };
    let production = Criteria { rule: globs(&["prod-*"]), ..Criteria::default() };
    let databases = Criteria { rule: globs(&["prod-db-*"]), severity: vec![Severity::Sev2], ..Criteria::default() };
    let owner = |pattern: &str| Criteria {
        custom: BTreeMap::from([("owner".to_owned(), globs(&[pattern]))]),
        ..Criteria::default()
    };
    for (earlier, later, expected) in [
        (&all, &severe, true),
        (&all, &all, true),
        (&severe, &all, false),
        (&severe, &worst, true),
        (&worst, &severe, false),
        (&group, &server, true),
        (&server, &group, false),
        (&production, &databases, true),
        (&databases, &production, false),
        (&owner("*"), &owner("payments"), true),
        (&owner("payments"), &owner("*"), false),
        (&owner("*"), &severe, false),
    ] {
        check(earlier, later, expected);
    }
}

#[test]
fn all_severities_still_leave_alerts_without_one() {
    check(&Criteria { severity: Severity::ALL.to_vec(), ..Criteria::default() }, &Criteria::default(), false);
}

#[test]
fn the_connections_are_a_closed_set() {
    let connections = |names: &[&str]| Criteria {
        connection: names.iter().map(|name| ConnectionName::parse(name).unwrap()).collect(),
        ..Criteria::default()
    };
    check(&connections(&["contoso", "fabrikam"]), &Criteria::default(), true);
    check(&connections(&["contoso"]), &Criteria::default(), false);
    check(&connections(&["contoso"]), &connections(&["contoso"]), true);
}

#[test]
fn what_an_earlier_route_leaves_out_may_reach_a_later_one() {
    let not = |pattern: &str| Criteria {
        not: Some(Box::new(Criteria { rule: globs(&[pattern]), ..Criteria::default() })),
        ..Criteria::default()
    };
    check(&not("test-*"), &Criteria::default(), false);
    check(&not("test-*"), &not("test-*"), true);
    check(&not("test-db"), &not("test-*"), true);
    check(&not("test-*"), &not("test-db"), false);
}

#[test]
fn a_route_that_leaves_out_all_it_takes_never_matches() {
    let criteria = Criteria {
        rule: globs(&["prod-db-*"]),
        not: Some(Box::new(Criteria { rule: globs(&["prod-*"]), ..Criteria::default() })),
        ..Criteria::default()
    };
    let rules = rules(vec![(criteria, false)]);
    let shadowed = rules.shadowed();
    assert_eq!(shadowed.len(), 1);
    assert!(shadowed[0].by.is_none());
}
