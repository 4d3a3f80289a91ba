//! Fired, Resolved, held pages, tests, notices: what Azure says.

use super::*;

#[test]
fn fired_raises_one_page_and_a_repeat_none() {
    let mut world = World::one_team();
    assert_eq!(world.fired(0), Reason::Raised);
    assert_eq!(world.owed(), ["raise ops"]);
    assert_eq!(world.fired(0), Reason::Repeat);
    assert_eq!(world.owed(), ["raise ops"], "the repeat owes nothing");
    world.deliver();
    assert_eq!(world.phase(1), Phase::Raised);
}

#[test]
fn a_later_firing_is_a_new_episode_with_a_new_external_id() {
    let mut world = World::one_team().paged();
    assert_eq!(world.resolved(0), Reason::Resolved);
    world.deliver();
    assert_eq!(world.take_sent(), ["resolve ops"]);
    assert_eq!(world.fired(0), Reason::SupersededByResolved, "the same firing, doubled late");
    assert_eq!(world.fired(600), Reason::Raised);
    world.deliver();
    assert_eq!(world.known.pages.len(), 2);
    assert_eq!(world.phase(2), Phase::Raised);
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn what_people_did_to_an_episode_is_not_done_to_the_next() {
    let again = |sent: bool| {
        let mut world = World::one_team().paged();
        world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
        if sent {
            world.begin(CallKind::ChangeState);
        }
        world.resolved(0);
        world.fired(600);
        world.owed()
    };
    assert_eq!(again(false), ["resolve ops", "raise ops"], "the unsent acknowledgement is superseded");
    let taken_back = ["Acknowledged: Acknowledged by Jane Doe in SIGNL4", "resolve ops", "New: -", "raise ops"];
    assert_eq!(again(true), taken_back, "one under way may arrive after the new firing");

    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 10);
    world.deliver();
    assert_eq!(world.resolved(600), Reason::ResolvedWithoutPage, "of a firing that is not heard of yet");
    assert_eq!(world.azure(), AzureState::New, "Azure has begun anew");

    let policy = Policy { on_resolved: OnResolved::Ignore, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)])).paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.deliver();
    world.resolved(600);
    assert_eq!(world.azure(), AzureState::Acknowledged, "as the page that outlives it");

    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 10);
    world.begin(CallKind::ChangeState);
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 20);
    let landed = Learned { azure: Some((AzureState::Closed, Some(at(601)))), ..Learned::default() };
    world.end_learning(CallKind::ChangeState, &Outcome::Accepted, Next::Done, landed);
    world.fired(600);
    assert_eq!(world.owed(), ["New: -"], "the close arrived after the new firing, and before we heard of that");
    world.resolved(600);
    world.fired(601);
    assert_eq!(world.owed(), ["resolve ops", "New: -", "raise ops"], "and perhaps after the one after that");

    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.resolved(0);
    world.fired(600);
    world.signl4(2, Happened::Acknowledged, Some("John Roe"), 610);
    let words = "Acknowledged: Acknowledged by Jane Doe in SIGNL4\nAcknowledged by John Roe in SIGNL4";
    assert_eq!(world.owed().last().unwrap(), words, "its words are not lost");
}

#[test]
fn resolved_before_fired_is_remembered_and_wakes_nobody() {
    let mut world = World::one_team();
    assert_eq!(world.resolved(0), Reason::ResolvedUnknown);
    assert_eq!(world.fired(0), Reason::SupersededByResolved);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.fired(120), Reason::Raised, "a later firing is news");
}

#[test]
fn resolved_while_held_wakes_nobody() {
    let policy = Policy { grace: Duration::from_mins(2), ..Policy::default() };
    let mut world = World::new(rules(vec![route("patient", "ops", policy)]));
    assert_eq!(world.fired(0), Reason::Held);
    assert_eq!(world.phase(1), Phase::Held { until: at(120) });
    assert_eq!(world.timers, [(World::id(1), at(120))]);
    assert_eq!(world.resolved(0), Reason::ResolvedBeforePaged);
    assert_eq!(world.timers, []);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ResolvedWhileHeld });
    let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::GraceEnded };
    assert_eq!(world.hear(timer), Reason::TimerVoid);
}

#[test]
fn a_held_page_is_raised_when_its_grace_ends() {
    let policy = Policy { grace: Duration::from_mins(2), ..Policy::default() };
    let mut world = World::new(rules(vec![route("patient", "ops", policy.clone())]));
    world.fired(0);
    let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::GraceEnded };
    world.now = at(119);
    assert_eq!(world.hear(timer.clone()), Reason::Held, "too early: kept");
    world.now = at(120);
    assert_eq!(world.hear(timer), Reason::GraceEnded);
    assert_eq!(world.owed(), ["raise ops"]);

    let mut late = World::new(rules(vec![route("patient", "ops", policy.clone())]));
    late.now = at(300);
    assert_eq!(late.fired(0), Reason::Raised, "the grace counts from the firing, not from the hearing");
    let mut ahead = World::new(rules(vec![route("patient", "ops", policy)]));
    ahead.now = at(-3600);
    ahead.fired(0);
    assert_eq!(ahead.phase(1), Phase::Held { until: at(-3600 + 120) }, "a clock ahead of ours holds no longer");
}

#[test]
fn resolved_before_the_raise_was_sent_wakes_nobody() {
    let mut world = World::one_team();
    world.fired(0);
    assert_eq!(world.resolved(0), Reason::ResolvedBeforePaged);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ResolvedBeforeSent });

    let mut busy = World::one_team();
    busy.fired(0);
    busy.begin(CallKind::Raise);
    busy.end(CallKind::Raise, &Outcome::Busy { after: None }, Next::Again { due: at(5) });
    busy.resolved(0);
    assert_eq!(busy.owed(), Vec::<String>::new(), "surely not received: nothing to resolve");
}

#[test]
fn a_raise_that_failed_while_azure_resolved_is_not_tried_again() {
    let ended_meanwhile = |outcome: &Outcome| {
        let mut world = World::one_team();
        world.fired(0);
        world.begin(CallKind::Raise);
        world.resolved(0);
        world.end(CallKind::Raise, outcome, Next::Again { due: at(5) });
        world
    };
    for outcome in [Outcome::Busy { after: None }, Outcome::Unsent] {
        let world = ended_meanwhile(&outcome);
        assert_eq!(world.owed(), Vec::<String>::new(), "{outcome:?}: nobody has the page");
        assert_eq!(world.phase(1), Phase::Ended { why: Ending::ResolvedBeforeSent });
    }
    assert_eq!(ended_meanwhile(&Outcome::Unknown).owed(), ["resolve ops"], "it may have arrived: the resolve goes out");
}

#[test]
fn a_late_raise_whose_alert_resolved_while_azure_was_asked_is_not_tried_again() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.resolved(0);
    assert_eq!(world.owed(), ["raise ops", "resolve ops"]);
    let learned = Learned { resolved_at: Some(at(60)), azure: Some((AzureState::New, None)), ..Learned::default() };
    let outcome = Outcome::NotYet { after: Duration::ZERO };
    world.end_learning(CallKind::Raise, &outcome, Next::Again { due: at(400) }, learned);
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn what_a_late_page_finds_in_azure_is_older_than_what_is_on_its_way_there() {
    let mut world = World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())]));
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Accepted, Next::Done);
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.begin(CallKind::Raise);
    let learned = Learned { azure: Some((AzureState::Closed, Some(at(5)))), ..Learned::default() };
    let outcome = Outcome::NotYet { after: Duration::ZERO };
    world.end_learning(CallKind::Raise, &outcome, Next::Again { due: at(400) }, learned);
    assert_eq!(world.azure(), AzureState::Acknowledged);
}

#[test]
fn an_answer_that_was_given_before_an_alert_fired_anew_says_nothing_of_the_new_firing() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.deliver();
    world.signl4(1, Happened::Annotated, Some("Jane Doe"), 20);
    world.begin(CallKind::Comment);
    world.resolved(0);
    world.fired(600);
    let learned = Learned { azure: Some((AzureState::Acknowledged, Some(at(15)))), ..Learned::default() };
    world.end_learning(CallKind::Comment, &Outcome::Accepted, Next::Done, learned);
    assert_eq!((world.phase(2), world.azure()), (Phase::Raising, AzureState::New), "no person has taken it in hand");

    let mut late = World::one_team();
    late.fired(0);
    late.begin(CallKind::Raise);
    assert_eq!(late.fired(600), Reason::AlreadyPaged);
    let learned =
        Learned { resolved_at: Some(at(500)), azure: Some((AzureState::New, Some(at(500)))), ..Learned::default() };
    let outcome = Outcome::NotYet { after: Duration::ZERO };
    late.end_learning(CallKind::Raise, &outcome, Next::Again { due: at(610) }, learned);
    assert_eq!(late.owed(), ["raise ops"], "the page is that of the new firing, too");
}

#[test]
fn a_late_page_asks_once_where_azure_says_no_more_than_before_its_firing() {
    for uncertain in [false, true] {
        let mut world = World::one_team();
        world.fired(600);
        world.begin(CallKind::Raise);
        if uncertain {
            world.end(CallKind::Raise, &Outcome::Unknown, Next::Again { due: at(620) });
            world.begin(CallKind::Raise);
        }
        let before = world.known.open[0].clone();
        let learned = Learned { azure: Some((AzureState::Acknowledged, Some(at(15)))), ..Learned::default() };
        let outcome = Outcome::NotYet { after: Duration::ZERO };
        world.end_learning(CallKind::Raise, &outcome, Next::Again { due: at(1000) }, learned);
        let [raise] = &world.known.open[..] else { panic!("{:?}", world.owed()) };
        let Call::Raise { origin: Some(origin), .. } = &raise.call else { panic!("{raise:?}") };
        assert_eq!(origin.alert, None, "without asking again");
        assert_eq!(
            (raise.id, raise.attempt, raise.uncertain),
            (before.id, before.attempt, uncertain),
            "it is the same"
        );
    }
}

#[test]
fn a_late_page_is_not_held_back_by_what_we_did_to_an_earlier_firing() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.begin(CallKind::ChangeState);
    world.resolved(0);
    world.fired(600);
    world.begin(CallKind::Raise);
    let learned = Learned { azure: Some((AzureState::Acknowledged, Some(at(605)))), ..Learned::default() };
    let outcome = Outcome::NotYet { after: Duration::ZERO };
    world.end_learning(CallKind::Raise, &outcome, Next::Again { due: at(910) }, learned);
    let Some(Call::Raise { origin: Some(origin), .. }) = world.known.open.last().map(|open| &open.call) else {
        panic!("the page goes out: {:?}", world.owed())
    };
    assert_eq!(origin.alert, None, "without asking again");
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn a_raise_of_unknown_fate_is_not_repeated_after_resolved() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Unknown, Next::Again { due: at(15) });
    assert_eq!(world.resolved(0), Reason::Resolved);
    assert_eq!(world.owed(), ["resolve ops"], "the resolve goes out alone");

    let mut under_way = World::one_team();
    under_way.fired(0);
    under_way.begin(CallKind::Raise);
    under_way.resolved(0);
    assert_eq!(under_way.owed(), ["raise ops", "resolve ops"], "behind the raise, in its lane");
    under_way.end(CallKind::Raise, &Outcome::Accepted, Next::Done);
    assert_eq!(
        under_way.phase(1),
        Phase::Ended { why: Ending::Resolved },
        "the late success does not bring the page back"
    );
}

#[test]
fn a_dead_raise_takes_its_lane_with_it() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.resolved(0);
    world.end(CallKind::Raise, &Outcome::Refused { status: 400 }, Next::Dead { why: Why::Refused { status: 400 } });
    assert_eq!(world.owed(), Vec::<String>::new());

    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Refused { status: 400 }, Next::Dead { why: Why::Refused { status: 400 } });
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::NotRaised });
}

#[test]
fn unrouted_alerts_go_to_the_fallback_team_and_recorded_ones_to_nobody() {
    let mut world = World::new(rules(Vec::new()));
    assert_eq!(world.fired(0), Reason::Unrouted);
    assert_eq!(world.owed(), ["raise ops"]);
    let quiet = Policy { records_only: true, ..Policy::default() };
    let mut world = World::new(rules(vec![route("quiet", "ops", quiet)]));
    assert_eq!(world.fired(0), Reason::RecordedByRoute);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.resolved(0), Reason::ResolvedWithoutPage);
}

#[test]
fn two_routes_to_one_team_make_one_page() {
    let mut world = World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "ops", Policy::default())]));
    assert_eq!(world.fired(0), Reason::Raised);
    assert_eq!(world.owed(), ["raise ops"]);
}

#[test]
fn test_notifications_page_each_time_and_never_write_back() {
    let test = |digest: &str| {
        let mut notification = notification(Condition::Fired, 0);
        notification.id = AlertId::parse(&format!(
            "/subscriptions/{}/providers/Microsoft.AlertsManagement/alerts/12345678-1234-1234-1234-1234567890ab",
            SubscriptionId::TEST
        ));
        notification.digest = digest.to_owned();
        EventKind::Azure { connection: contoso(), notification: Box::new(notification) }
    };
    let quiet = Policy { records_only: true, ..Policy::default() };
    let mut world = World::new(rules(vec![route("quiet", "ops", quiet)]));
    assert_eq!(world.hear(test("one")), Reason::Raised, "also where the route would only record");
    let mut world = World::one_team();
    assert_eq!(world.hear(test("one")), Reason::Raised);
    assert_eq!(world.hear(test("one")), Reason::Repeat);
    assert_eq!(world.hear(test("two")), Reason::Raised, "another body is another test");
    world.now = at(121);
    assert_eq!(world.hear(test("two")), Reason::Raised, "after two minutes it is a new test");
    world.deliver();
    assert_eq!(world.take_sent(), ["raise ops"; 3]);
    let first = world.known.pages[0].id.clone();
    world.signl4_at(team("ops"), first, Happened::Acknowledged, Some("Jane Doe"), 200);
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn foreign_and_unreadable_bodies_make_one_notice() {
    let mut world = World::one_team();
    let foreign = EventKind::Foreign { connection: contoso(), subscription: Some(SubscriptionId::new("x")) };
    assert_eq!(world.hear(foreign.clone()), Reason::ForeignSubscription);
    assert_eq!(world.hear(foreign), Reason::ForeignSubscription);
    assert_eq!(world.owed(), ["raise ops"], "one notice a day");
    let mut world = World::one_team();
    let unreadable = |digest: &str| EventKind::Unreadable {
        connection: contoso(),
        digest: digest.to_owned(),
        problem: "not JSON".to_owned(),
    };
    assert_eq!(world.hear(unreadable("a")), Reason::Unreadable);
    assert_eq!(world.hear(unreadable("a")), Reason::Repeat);
    assert_eq!(world.owed(), ["raise ops"]);
}

#[test]
fn a_new_firing_wakes_whoever_has_put_the_old_one_aside() {
    let keep = Policy { on_resolved: OnResolved::Ignore, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", keep)])).paged();
    assert_eq!(world.fired(60), Reason::AlreadyPaged, "nobody has answered the open page yet");
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 70);
    world.deliver();
    world.take_sent();
    assert_eq!(world.fired(600), Reason::Raised);
    assert_eq!(world.owed(), ["resolve ops", "raise ops"]);
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::Replaced });
}
