//! Alerts that are one matter: later stages, recoveries, repeats, opposites.

use super::*;

const OTHER: &str = "c0ffee00-1111-4222-8333-7777777777";

/// A world whose route counts repeats on the open page.
fn counting() -> World {
    let policy = Policy { quiet_period: Some(Duration::from_hours(1)), ..Policy::default() };
    World::new(rules(vec![route("all", "ops", policy)]))
}

/// The `number`th alert of a rule, fired then.
fn of_rule(number: u32, condition: Condition, fired: i64, detail: Detail) -> EventKind {
    let mut notification = notification(condition, fired);
    notification.id =
        AlertId::parse(&format!("/subscriptions/{SUB}/providers/Microsoft.AlertsManagement/alerts/{OTHER}{number:02}"));
    notification.targets = vec![format!("/subscriptions/{SUB}/resourcegroups/rg/providers/microsoft.sql/servers/db1")];
    notification.detail = detail;
    EventKind::Azure { connection: contoso(), notification: Box::new(notification) }
}

fn fires(number: u32, fired: i64) -> EventKind {
    of_rule(number, Condition::Fired, fired, Detail::Other)
}

fn issue(number: u32, fired: i64, stage: &str) -> EventKind {
    let detail = Detail::ServiceHealth {
        title: Some("Connectivity".to_owned()),
        service: None,
        region: None,
        stage: Some(stage.to_owned()),
        status: None,
        incident_type: Some("Incident".to_owned()),
        tracking_id: Some("ABC1-DE2".to_owned()),
        impact_start: None,
        impact_end: None,
        communication: None,
    };
    of_rule(number, Condition::Fired, fired, detail)
}

fn health(number: u32, fired: i64, current: &str) -> EventKind {
    let detail = Detail::ResourceHealth {
        title: None,
        details: None,
        current: Some(current.to_owned()),
        previous: None,
        cause: None,
        status: None,
    };
    of_rule(number, Condition::Fired, fired, detail)
}

fn operation(number: u32, fired: i64, operation: &str) -> EventKind {
    let detail = Detail::ActivityLog {
        category: None,
        operation: Some(operation.to_owned()),
        status: None,
        sub_status: None,
        level: None,
        caller: None,
        message: None,
        resource: None,
        facts: Vec::new(),
    };
    of_rule(number, Condition::Fired, fired, detail)
}

fn states(world: &World) -> Vec<Phase> {
    world.known.pages.iter().map(|page| page.phase).collect()
}

/// A world whose route goes to a team with the REST API.
fn with_api() -> World {
    World::new(rules(vec![route("all", "dba", Policy::default())]))
}

#[test]
fn a_rule_that_fires_again_is_counted_on_its_open_page_until_it_was_quiet() {
    let mut world = counting();
    assert_eq!(world.hear(fires(1, 0)), Reason::Raised);
    world.deliver();
    world.take_sent();
    world.now = at(1800);
    assert_eq!(world.hear(fires(2, 1800)), Reason::Joined);
    world.now = at(1800 + 3600);
    assert_eq!(world.hear(fires(3, 5400)), Reason::Joined, "the quiet period counts from the last of them");
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.known.alert.as_ref().unwrap().joined, 2);
    assert_eq!(world.hear(fires(2, 1800)), Reason::Repeat);
    world.now = at(5400 + 3601);
    assert_eq!(world.hear(fires(4, 9001)), Reason::Raised, "after a quiet period it is news");
}

#[test]
fn what_joined_is_acknowledged_and_closed_with_the_page() {
    let mut world = counting();
    world.hear(fires(1, 0));
    world.deliver();
    world.take_sent();
    world.hear(fires(2, 60));
    let page = world.known.pages[0].id.clone();
    world.signl4_at(team("ops"), page.clone(), Happened::Acknowledged, Some("Jane Doe"), 70);
    assert_eq!(world.owed(), ["Acknowledged: Acknowledged by Jane Doe in SIGNL4"; 2]);
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(fires(3, 120)), Reason::Joined);
    assert_eq!(world.owed(), ["Acknowledged: Joined to a page that Jane Doe has acknowledged in SIGNL4"]);
    world.deliver();
    world.take_sent();
    world.signl4_at(team("ops"), page, Happened::Closed, Some("Jane Doe"), 130);
    assert_eq!(world.owed(), ["Closed: Closed by Jane Doe in SIGNL4"; 3]);
}

#[test]
fn the_newest_of_a_thread_resolves_its_page() {
    let mut world = counting();
    world.hear(fires(1, 0));
    world.hear(fires(2, 60));
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(of_rule(1, Condition::Resolved, 0, Detail::Other)), Reason::Stale);
    assert_eq!(world.hear(of_rule(2, Condition::Resolved, 60, Detail::Other)), Reason::Resolved);
    assert_eq!(world.owed(), ["resolve ops"]);
}

#[test]
fn repeats_are_pages_of_their_own_unless_the_route_or_their_nature_says_otherwise() {
    let mut world = World::one_team();
    world.hear(fires(1, 0));
    assert_eq!(world.hear(fires(2, 60)), Reason::Raised);
    let prometheus = |number, fired| {
        let detail = Detail::Prometheus {
            expression: None,
            value: None,
            summary: None,
            description: None,
            labels: BTreeMap::from([("pod".to_owned(), "shop-1".to_owned())]),
            holds: None,
            link: None,
        };
        of_rule(number, Condition::Fired, fired, detail)
    };
    let mut world = World::one_team();
    world.hear(prometheus(1, 0));
    assert_eq!(world.hear(prometheus(2, 60)), Reason::Joined);
    let policy = Policy { quiet_period: Some(Duration::ZERO), ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)]));
    world.hear(prometheus(1, 0));
    assert_eq!(world.hear(prometheus(2, 60)), Reason::Raised, "switched off");
}

#[test]
fn a_service_issue_is_one_page_from_its_first_stage_to_its_last() {
    let mut world = with_api();
    assert_eq!(world.hear(issue(1, 0, "Planned")), Reason::Raised);
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(issue(2, 60, "Active")), Reason::Worse);
    assert_eq!(world.owed().iter().filter(|call| *call == "raise dba").count(), 1, "paged anew");
    assert!(world.owed().contains(&"resolve dba".to_owned()), "in place of the first page");
    world.deliver();
    world.take_sent();
    world.now = at(7 * 3600);
    assert_eq!(world.hear(issue(3, 7 * 3600, "Mitigated")), Reason::Joined, "a stage, however late");
    assert_eq!(world.owed().len(), 1);
    assert!(world.owed()[0].starts_with("annotate dba: "), "{:?}", world.owed());
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(issue(4, 8 * 3600, "Resolved")), Reason::Resolved, "although monitorCondition says Fired");
    assert_eq!(world.owed(), ["resolve dba"]);
    world.deliver();
    assert_eq!(world.hear(issue(5, 20 * 3600, "RCA")), Reason::ResolvedWithoutPage, "the report wakes nobody");
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn an_acknowledged_issue_that_gets_worse_is_new_again() {
    let mut world = with_api();
    world.hear(issue(1, 0, "InProgress"));
    world.deliver();
    world.take_sent();
    let page = world.known.pages[0].id.clone();
    world.signl4_at(team("dba"), page, Happened::Acknowledged, Some("Jane Doe"), 30);
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(issue(2, 60, "Active")), Reason::Worse);
    assert_eq!(world.owed(), ["New: Worse than before: paged anew", "resolve dba", "raise dba"]);
    assert_eq!(world.azure(), AzureState::New, "as the page that nobody has acknowledged");
}

#[test]
fn a_resource_that_recovers_ends_its_page_and_a_recovery_alone_wakes_nobody() {
    let mut world = World::one_team();
    assert_eq!(world.hear(health(1, 0, "Available")), Reason::ResolvedWithoutPage);
    assert_eq!(world.owed(), Vec::<String>::new());
    let mut world = World::one_team();
    assert_eq!(world.hear(health(1, 0, "Degraded")), Reason::Raised);
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(health(2, 60, "Unavailable")), Reason::Worse);
    world.deliver();
    world.take_sent();
    assert_eq!(states(&world), [Phase::Ended { why: Ending::Replaced }, Phase::Raised]);
    assert_eq!(world.hear(health(3, 120, "Degraded")), Reason::Joined);
    assert_eq!(world.hear(health(4, 180, "Available")), Reason::Resolved);
    assert_eq!(world.owed(), ["resolve ops"]);
}

#[test]
fn an_operation_ends_what_its_opposite_began_and_else_fires() {
    let stop = "Microsoft.Compute/virtualMachines/deallocate/action";
    let start = "Microsoft.Compute/virtualMachines/start/action";
    let mut world = World::one_team();
    assert_eq!(world.hear(operation(1, 0, start)), Reason::Raised, "nothing is open that it could end");
    let mut world = World::one_team();
    assert_eq!(world.hear(operation(1, 0, stop)), Reason::Raised);
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(operation(2, 60, start)), Reason::Resolved);
    assert_eq!(world.owed(), ["resolve ops"]);
}

#[test]
fn the_end_of_a_thread_closes_all_of_it_in_azure_where_the_route_says_so() {
    let policy = Policy { close_in_azure: CloseInAzure::OnResolveToo, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)]));
    assert_eq!(world.hear(health(1, 0, "Unavailable")), Reason::Raised);
    world.deliver();
    world.take_sent();
    assert_eq!(world.hear(health(2, 60, "Available")), Reason::Resolved);
    let closed = "Closed: Resolved; closed by the SIGNL4 bridge as its route says";
    assert_eq!(world.owed(), ["resolve ops", closed, closed], "what began it and what ended it");
}

#[test]
fn a_page_ends_by_itself_when_its_time_to_live_is_over() {
    let policy = Policy { time_to_live: Some(Duration::from_hours(4)), ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)]));
    world.fired(0);
    assert_eq!(world.timers, [(World::id(1), at(4 * 3600))]);
    world.deliver();
    world.take_sent();
    let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::TimeToLive };
    assert_eq!(world.hear(timer.clone()), Reason::TimeToLiveEnded);
    assert_eq!(world.owed(), ["resolve ops"]);
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::Expired });
    assert_eq!(world.hear(timer), Reason::TimerVoid);
}
