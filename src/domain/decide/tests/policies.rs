//! What routes and connections may set otherwise, and what an attempt teaches.

use super::*;

#[test]
fn comments_obey_the_connection() {
    for (comments, change, alone) in [
        (Comments::All, "Acknowledged: Acknowledged by Jane Doe in SIGNL4", 1),
        (Comments::WithChanges, "Acknowledged: Acknowledged by Jane Doe in SIGNL4", 0),
        (Comments::Off, "Acknowledged: -", 0),
    ] {
        let mut rules = rules(vec![route("all", "ops", Policy::default())]);
        rules.connections.get_mut(&contoso()).unwrap().comments = comments;
        let mut world = World::new(rules).paged();
        world.signl4(1, Happened::Annotated, Some("Jane Doe"), 5);
        assert_eq!(world.owed().len(), alone, "{comments:?}");
        world.deliver();
        world.take_sent();
        world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 6);
        assert_eq!(world.owed(), [change], "{comments:?}");
    }
}

#[test]
fn policies_for_resolved_and_for_close() {
    let keep = Policy { on_resolved: OnResolved::Ignore, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", keep)])).paged();
    world.resolved(0);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.phase(1), Phase::Raised);

    let annotate = Policy { on_resolved: OnResolved::Annotate, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "dba", annotate)])).paged();
    world.resolved(0);
    assert_eq!(world.owed(), [format!("annotate dba: Resolved in Azure at {}", at(60))]);

    let close_too = Policy { close_in_azure: CloseInAzure::OnResolveToo, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", close_too)])).paged();
    world.resolved(0);
    assert_eq!(
        world.owed(),
        ["Closed: Resolved; closed by the SIGNL4 bridge as its route says", "resolve ops"]
            .map(String::from)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );

    let never = Policy { close_in_azure: CloseInAzure::Never, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", never)])).paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    assert_eq!(world.owed(), ["comment: Closed by Jane Doe in SIGNL4"]);
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn a_resolved_closes_in_azure_also_what_has_no_page_any_more() {
    let close_too = Policy { close_in_azure: CloseInAzure::OnResolveToo, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", close_too)])).paged();
    world.signl4(1, Happened::Closed, None, 5);
    world.deliver();
    world.take_sent();
    assert_eq!(world.azure(), AzureState::New, "SIGNL4 closed it by itself");
    assert_eq!(world.resolved(0), Reason::ResolvedWithoutPage);
    assert_eq!(world.owed(), ["Closed: Resolved; closed by the SIGNL4 bridge as its route says"]);
    world.deliver();
    world.take_sent();
    assert_eq!(world.resolved(0), Reason::Repeat);
    assert_eq!(world.owed(), [""; 0]);
}

#[test]
fn a_comment_that_azure_refuses_joins_the_next_change() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Annotated, Some("Jane Doe"), 5);
    world.begin(CallKind::Comment);
    world.end(CallKind::Comment, &Outcome::Refused { status: 400 }, Next::Dead { why: Why::Refused { status: 400 } });
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 6);
    assert_eq!(world.owed(), ["Acknowledged: Jane Doe in SIGNL4: on it\nAcknowledged by Jane Doe in SIGNL4"]);
}

#[test]
fn an_alert_found_closed_in_the_portal_ends_its_pages() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    let open = world.known.open.remove(0);
    let attempted = Attempted {
        outcome: Outcome::Accepted,
        learned: Learned { azure: Some((AzureState::Closed, None)), ..Learned::default() },
        note: String::new(),
        possibly_doubled: false,
    };
    let verdict = record(&world.rules, &world.known, &open.call, &attempted, &Next::Done, world.now);
    world.apply(verdict);
    assert_eq!(world.owed(), ["resolve ops"]);
    assert_eq!(world.azure(), AzureState::Closed);
    assert_eq!(world.known.pages[0].signl4.settled(), Some(PageState::Closed));
}
