//! Acknowledged, closed, taken back, annotated: what people do in SIGNL4.

use super::*;
use crate::domain::reading::{Found, Polled};

#[test]
fn a_persons_acknowledgement_reaches_azure_once_with_the_name() {
    let mut world = World::one_team().paged();
    assert_eq!(world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10), Reason::Acknowledged);
    assert_eq!(world.owed(), ["Acknowledged: Acknowledged by Jane Doe in SIGNL4"]);
    assert_eq!(world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10), Reason::Repeat);
    world.deliver();
    assert_eq!(world.take_sent().len(), 1);
    assert_eq!(world.azure(), AzureState::Acknowledged);
}

#[test]
fn a_persons_close_closes_azure_and_the_other_pages() {
    let mut world =
        World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())])).paged();
    assert_eq!(world.known.pages.len(), 2);
    assert_eq!(world.signl4(1, Happened::Closed, Some("Jane Doe"), 10), Reason::Closed);
    assert_eq!(world.owed(), ["resolve dba", "Closed: Closed by Jane Doe in SIGNL4"]);
    world.deliver();
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ClosedByPerson });
    assert_eq!(world.phase(2), Phase::Ended { why: Ending::ClosedElsewhere });
    assert_eq!(world.signl4(2, Happened::Closed, None, 12), Reason::Confirmed, "our own resolve coming back");
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn a_close_that_is_heard_late_ends_no_page_of_a_later_firing() {
    let mut world = World::one_team().paged();
    world.now = at(60);
    world.resolved(0);
    world.now = at(600);
    world.fired(600);
    world.deliver();
    // Opened again after our own close, and closed by hand.
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 40);
    assert_eq!(world.signl4(1, Happened::Closed, Some("Jane Doe"), 50), Reason::Closed);
    assert_eq!((world.phase(2), world.azure()), (Phase::Raised, AzureState::New));
    world.signl4(2, Happened::Closed, Some("Jane Doe"), 610);
    assert_eq!(world.azure(), AzureState::Closed);
}

#[test]
fn a_close_before_a_firing_that_was_heard_first_leads_to_a_page_of_that_firing() {
    for (by, reason) in [(Some("Jane Doe"), Reason::Closed), (None, Reason::WithoutPerson)] {
        let mut world = World::one_team().paged();
        world.now = at(600);
        assert_eq!(world.fired(600), Reason::AlreadyPaged);
        world.now = at(610);
        assert_eq!(world.signl4(1, Happened::Closed, by, 590), reason);
        let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::PageAgain };
        assert_eq!(world.timers, [(World::id(1), at(610))]);
        assert_eq!(world.hear(timer), Reason::PagedAgain);
        world.deliver();
        assert_eq!((world.phase(2), world.azure()), (Phase::Raised, AzureState::New));
    }
    let mut reopened = World::one_team().paged();
    reopened.resolved(0);
    reopened.deliver();
    reopened.signl4(1, Happened::Closed, None, 70);
    reopened.signl4(1, Happened::Reopened, Some("Jane Doe"), 80);
    reopened.now = at(600);
    assert_eq!(reopened.fired(600), Reason::AlreadyPaged);
    reopened.signl4(1, Happened::Closed, Some("Jane Doe"), 590);
    let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::PageAgain };
    assert_eq!(reopened.hear(timer), Reason::PagedAgain, "with the text of the new firing");

    let mut world = World::one_team().paged();
    world.now = at(600);
    world.fired(600);
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 605);
    assert_eq!((world.timers.len(), world.azure()), (0, AzureState::Closed), "the close is for both firings");
}

#[test]
fn unsent_state_changes_give_way_to_newer_ones_and_keep_their_words() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.signl4(1, Happened::Closed, Some("John Roe"), 20);
    assert_eq!(world.owed(), ["Closed: Acknowledged by Jane Doe in SIGNL4\nClosed by John Roe in SIGNL4"]);
}

#[test]
fn an_acknowledgement_taken_back_before_it_was_sent_needs_no_state_change() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 20), Reason::Reopened);
    assert_eq!(
        world.owed(),
        ["comment: Acknowledged by Jane Doe in SIGNL4\nAcknowledgement withdrawn by Jane Doe in SIGNL4"]
    );
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn taking_back_an_acknowledgement_makes_azure_new_unless_another_page_is_acknowledged() {
    let mut world =
        World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())])).paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    assert_eq!(
        world.owed(),
        [
            "Acknowledged: Acknowledged by Jane Doe in SIGNL4",
            "annotate dba: Acknowledged by Jane Doe in SIGNL4 (team ops)"
        ],
        "told to the other team, never acknowledged for it"
    );
    world.signl4(2, Happened::Acknowledged, Some("John Roe"), 20);
    world.deliver();
    world.take_sent();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 30);
    assert_eq!(world.owed(), ["comment: Acknowledgement withdrawn by Jane Doe in SIGNL4"]);
    world.deliver();
    world.take_sent();
    world.signl4(2, Happened::Reopened, Some("John Roe"), 40);
    assert_eq!(world.owed(), ["New: Acknowledgement withdrawn by John Roe in SIGNL4"]);
}

#[test]
fn an_earlier_action_that_comes_late_undoes_nothing() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 20);
    assert_eq!(world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10), Reason::Stale);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 15), Reason::Stale);
    assert_eq!(world.azure(), AzureState::Closed);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 30), Reason::Reopened);
    assert_eq!(world.azure(), AzureState::New);
    assert_eq!(world.phase(1), Phase::Raised);
}

#[test]
fn signl4_events_without_a_person_change_no_state_in_azure() {
    let mut world = World::one_team().paged();
    assert_eq!(world.signl4(1, Happened::Closed, None, 10), Reason::WithoutPerson);
    assert_eq!(world.owed(), ["comment: Closed in SIGNL4 without a person"]);
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ClosedBySystem });
    assert_eq!(world.azure(), AzureState::New);

    let policy = Policy { system_close: SystemClose::Close, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)])).paged();
    world.signl4(1, Happened::Closed, None, 10);
    assert_eq!(world.owed(), ["Closed: Closed in SIGNL4 without a person"]);
}

#[test]
fn our_own_resolve_coming_back_causes_no_call() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.begin(CallKind::Resolve);
    assert_eq!(world.signl4(1, Happened::Closed, None, 70), Reason::Confirmed, "before its own answer");
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn signl4s_own_event_settles_a_raise_of_unknown_fate() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Unknown, Next::Again { due: at(15) });
    assert_eq!(world.signl4(1, Happened::Created, None, 1), Reason::Confirmed);
    assert_eq!(world.owed(), Vec::<String>::new(), "no second page");
    assert_eq!(world.phase(1), Phase::Raised);
}

#[test]
fn nobody_on_duty_pages_the_fallback_team_once() {
    let mut world = World::new(rules(vec![route("db", "dba", Policy::default())])).paged();
    assert_eq!(world.signl4(1, Happened::NobodyOnDuty, None, 5), Reason::NobodyOnDuty);
    assert_eq!(
        world.owed(),
        ["comment: Nobody is on duty in the SIGNL4 team dba; passed to the team ops", "raise ops"]
    );
    assert_eq!(world.signl4(1, Happened::NobodyOnDuty, None, 6), Reason::Repeat);
    world.deliver();
    assert_eq!(world.known.pages.len(), 2);

    let mut own = World::one_team().paged();
    own.signl4(1, Happened::NobodyOnDuty, None, 5);
    assert_eq!(own.owed(), ["comment: Nobody is on duty in the SIGNL4 team ops"], "there is nobody else");
}

#[test]
fn annotations_and_escalations_become_comments() {
    let mut world = World::one_team().paged();
    assert_eq!(world.signl4(1, Happened::Annotated, Some("Jane Doe"), 5), Reason::Annotated);
    assert_eq!(world.signl4(1, Happened::Escalated, None, 6), Reason::Escalated);
    assert_eq!(
        world.owed(),
        ["comment: Jane Doe in SIGNL4: on it", "comment: Escalated in SIGNL4: nobody acknowledged in time"]
    );
    assert_eq!(world.signl4(1, Happened::Annotated, None, 7), Reason::Confirmed, "our own annotation coming back");
}

#[test]
fn pages_are_told_apart_by_account_and_unknown_ones_are_left_alone() {
    let mut world = World::one_team().paged();
    let page = World::id(1);
    assert_eq!(
        world.signl4_at(team("other"), page.clone(), Happened::Acknowledged, Some("Eve"), 5),
        Reason::OtherAccount
    );
    assert_eq!(
        world.signl4_at(team("dba"), page, Happened::Acknowledged, Some("Jane Doe"), 5),
        Reason::Acknowledged,
        "the account's webhook may come through another team of it"
    );
    let mut empty = World::one_team();
    assert_eq!(empty.signl4(1, Happened::Closed, Some("Jane Doe"), 5), Reason::UnknownPage);
}

#[test]
fn our_own_close_on_its_way_is_no_close_in_the_portal() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 10);
    world.begin(CallKind::ChangeState);
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 20);
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 30);
    world.end(CallKind::ChangeState, &Outcome::Accepted, Next::Done);
    assert_eq!(world.phase(1), Phase::Raised, "what the person did last stands");
    world.deliver();
    assert_eq!(world.azure(), AzureState::Acknowledged);
}

#[test]
fn a_change_that_was_given_up_leaves_the_newer_one_wanted() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.begin(CallKind::ChangeState);
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 20);
    let dead = Next::Dead { why: Why::Refused { status: 400 } };
    world.end(CallKind::ChangeState, &Outcome::Refused { status: 400 }, dead);
    assert_eq!(world.azure(), AzureState::Closed, "it is still on its way");
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 30);
    world.deliver();
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn nobody_on_duty_wakes_nobody_who_need_not() {
    let mut world = World::new(rules(vec![route("db", "dba", Policy::default())])).paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 30);
    world.deliver();
    assert_eq!(world.signl4(1, Happened::NobodyOnDuty, None, 10), Reason::Stale, "told late");
    assert_eq!(world.owed(), Vec::<String>::new());
    let both = vec![route("db", "dba", Policy::default()), route("ops", "ops", Policy::default())];
    let mut world = World::new(rules(both)).paged();
    world.signl4(1, Happened::NobodyOnDuty, None, 10);
    assert!(!world.owed().contains(&"raise ops".to_owned()), "the fallback team has a page of it: {:?}", world.owed());
}

fn acknowledged_in_azure(world: &mut World, modified: i64) {
    let polled = Polled {
        found: Found::State,
        notification: notification(Condition::Fired, 0),
        state: AzureState::Acknowledged,
        modified_at: Some(at(modified)),
        modified_by: Some("anna@example.com".to_owned()),
    };
    world.hear(EventKind::Polled { connection: contoso(), polled: Box::new(polled) });
}

#[test]
fn our_own_acknowledgement_of_another_page_keeps_no_close_from_it() {
    let two = vec![route("all", "ops", Policy::default()), route("too", "dba", Policy::default())];
    let mut world = World::new(rules(two)).paged();
    // Acknowledged in Azure, and so by us on every page: SIGNL4 says so of the second at 7.
    acknowledged_in_azure(&mut world, 5);
    world.deliver();
    world.signl4(2, Happened::Acknowledged, None, 7);
    world.deliver();
    world.take_sent();
    // The first was closed at 6, which is heard last.
    assert_eq!(world.signl4(1, Happened::Closed, Some("Jane Doe"), 6), Reason::Closed);
    assert_eq!(world.owed(), ["resolve dba", "Closed: Closed by Jane Doe in SIGNL4"]);
}

#[test]
fn who_opens_a_page_again_before_we_know_that_our_close_has_arrived_finds_it_open() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.begin(CallKind::Resolve);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 61), Reason::Reopened);
    assert_eq!(world.phase(1), Phase::Raised, "nobody opens what is open");
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 62);
    world.end(CallKind::Resolve, &Outcome::Accepted, Next::Done);
    assert_eq!(world.known.pages[0].signl4.settled(), Some(PageState::Acknowledged));
}

#[test]
fn our_acknowledgement_of_a_page_that_was_opened_again_unheard_reaches_azure_once_it_is_heard() {
    let mut world = World::one_team().paged();
    acknowledged_in_azure(&mut world, 8);
    world.deliver();
    world.take_sent();
    // Closed at 6 and opened again at 7; our acknowledgement comes at 9 and is heard before that.
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 6);
    world.signl4(1, Happened::Acknowledged, None, 9);
    world.deliver();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 7);
    world.deliver();
    world.take_sent();
    // A poll finds it acknowledged.
    assert_eq!(world.signl4(1, Happened::Acknowledged, None, 9), Reason::Confirmed);
    assert_eq!(world.owed(), ["Acknowledged: Acknowledged in Azure"]);
}

#[test]
fn our_acknowledgement_that_goes_out_twice_around_its_withdrawal_reaches_azure() {
    let mut world = World::one_team().paged();
    acknowledged_in_azure(&mut world, 5);
    world.begin(CallKind::Acknowledge);
    world.end(CallKind::Acknowledge, &Outcome::Unknown, Next::Again { due: at(60) });
    world.begin(CallKind::Acknowledge);
    assert_eq!(world.signl4(1, Happened::Acknowledged, None, 6), Reason::Confirmed);
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 7);
    world.deliver();
    world.take_sent();
    // The second attempt was under way, and acknowledges once more.
    assert_eq!(world.signl4(1, Happened::Acknowledged, None, 8), Reason::Confirmed);
    assert_eq!(world.owed(), ["Acknowledged: Acknowledged in Azure"]);
}

#[test]
fn a_page_that_a_poll_still_finds_acknowledged_after_our_close_is_open() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.begin(CallKind::Resolve);
    // Closed by us, opened again, which nobody has heard, and acknowledged.
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 62);
    world.end(CallKind::Resolve, &Outcome::Accepted, Next::Done);
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::Resolved });
    let change = Signl4Change {
        notification_id: None,
        happened: Happened::Acknowledged,
        raised_at: at(62),
        person: Some(Person { id: "id of Jane Doe".to_owned(), name: "Jane Doe".to_owned() }),
        alert_id: None,
        note: None,
        polled: true,
    };
    world.hear(EventKind::Signl4 { team: team("ops"), page: World::id(1), change });
    assert_eq!(world.phase(1), Phase::Raised);
    assert_eq!(world.known.pages[0].signl4.settled(), Some(PageState::Acknowledged));
}

#[test]
fn a_close_without_a_person_leaves_open_what_fired_later() {
    let policy = Policy { system_close: SystemClose::Close, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)])).paged();
    world.resolved(0);
    world.deliver();
    world.fired(100);
    world.deliver();
    world.take_sent();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 90);
    world.signl4(1, Happened::Closed, None, 95);
    assert_eq!(world.azure(), AzureState::New);
    assert_eq!(world.phase(2), Phase::Raised);
}

#[test]
fn a_clock_behind_azures_makes_no_page_older_than_its_firing() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.deliver();
    world.fired(100);
    world.deliver();
    world.take_sent();
    // It is at(0) here; the first page was closed at 50, which is heard now.
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 50);
    assert_eq!(world.phase(2), Phase::Raised, "the second firing is another matter");
}

#[test]
fn nobody_else_is_woken_for_what_is_resolved() {
    let policy = Policy { on_resolved: OnResolved::Ignore, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "dba", policy)])).paged();
    world.resolved(0);
    world.deliver();
    assert_eq!(world.signl4(1, Happened::NobodyOnDuty, None, 61), Reason::NobodyOnDuty);
    assert_eq!(world.owed(), ["comment: Nobody is on duty in the SIGNL4 team dba"]);
}

#[test]
fn who_closes_a_page_of_a_firing_closes_what_an_older_close_would_have_paged_again() {
    let two = vec![route("all", "ops", Policy::default()), route("too", "dba", Policy::default())];
    let mut world = World::new(rules(two)).paged();
    world.fired(100);
    world.signl4(2, Happened::Closed, Some("Jane Doe"), 90);
    let (page, _) = world.timers.last().cloned().expect("nobody there knows of the new firing");
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 110);
    assert_eq!(world.hear(EventKind::Timer { page, timer: TimerKind::PageAgain }), Reason::TimerVoid);
}
