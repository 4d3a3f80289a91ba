//! An alert that fires anew: what was done to an earlier firing is nothing for this one.

use super::portal::{ANNA, facts, reading};
use super::*;
use crate::domain::reading::{Found, News, Polled, Raises, Reading, Standing, news};

impl World {
    /// A poll finds a second firing that Anna has acknowledged or closed before it was read.
    fn polled_anew(&mut self, state: AzureState) {
        let polled = Polled {
            found: Found::Fired(Raises::InHand),
            notification: notification(Condition::Fired, 120),
            state,
            modified_at: Some(at(130)),
            modified_by: Some(ANNA.to_owned()),
        };
        let reason = self.hear(EventKind::Polled { connection: contoso(), polled: Box::new(polled) });
        assert_eq!(reason, Reason::RecordedByPoll);
    }
}

#[test]
fn our_own_close_of_an_earlier_firing_is_no_hand_that_takes_the_next() {
    let mut world = World::one_team().paged();
    let alert = world.known.alert.as_mut().unwrap();
    alert.azure_by = Some("our own id".to_owned());
    let standing = Standing::new(alert.clone(), true, &[]);
    let facts = facts(true, &[]);
    let by = |by: &str| Reading {
        notification: notification(Condition::Fired, 90),
        modified_by: Some(by.to_owned()),
        ..reading(Condition::Fired, AzureState::Closed)
    };
    let fired = |raises| News::Found(vec![Found::Fired(raises)]);
    assert_eq!(news(&by("our own id"), Some(&standing), &facts), fired(Raises::WebhookMissing));
    assert_eq!(news(&by(ANNA), Some(&standing), &facts), fired(Raises::InHand));
}

#[test]
fn our_own_close_of_an_earlier_firing_closes_no_page_of_the_next() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.resolved(0);
    assert_eq!(world.fired(100), Reason::Raised);
    // It has arrived after the new firing, and its answer has not.
    assert_eq!(world.portal(AzureState::Closed, 101), Reason::Stale);
    assert!(world.owed().contains(&"raise ops".to_owned()), "{:?}", world.owed());
}

#[test]
fn our_own_close_of_an_earlier_firing_whose_answer_was_lost_closes_no_page_of_the_next() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.resolved(0);
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(60) });
    assert_eq!(world.fired(100), Reason::Raised);
    assert!(world.owed().iter().any(|owed| owed.starts_with("New")), "it is taken back: {:?}", world.owed());
    assert_eq!(world.portal(AzureState::Closed, 101), Reason::Stale, "by a name that nobody here knows");
    assert!(world.owed().contains(&"raise ops".to_owned()), "{:?}", world.owed());
}

#[test]
fn our_own_acknowledgement_of_an_earlier_firing_whose_answer_was_lost_takes_no_later_one_in_hand() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.resolved(0);
    let standing = |world: &World| Standing::new(world.known.alert.clone().unwrap(), true, &world.known.open);
    let anew = Reading {
        notification: notification(Condition::Fired, 90),
        ..reading(Condition::Fired, AzureState::Acknowledged)
    };
    let paged = News::Found(vec![Found::Fired(Raises::WebhookMissing)]);
    assert_eq!(news(&anew, Some(&standing(&world)), &facts(true, &[])), paged, "under way");
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(60) });
    assert_eq!(news(&anew, Some(&standing(&world)), &facts(true, &[])), paged, "nobody knows");
    world.begin(CallKind::ChangeState);
    world.end(CallKind::ChangeState, &Outcome::Accepted, Next::Done);
    let in_hand = News::Found(vec![Found::Fired(Raises::InHand)]);
    assert_eq!(news(&anew, Some(&standing(&world)), &facts(true, &[])), in_hand, "it was there before");
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 6);
    world.begin(CallKind::ChangeState);
    let mut standing = standing(&world);
    standing.alert.azure_by = Some("our own id".to_owned());
    let closed = Reading { state: AzureState::Closed, modified_by: Some(ANNA.to_owned()), ..anew };
    assert_eq!(standing.arriving, Some(AzureState::Closed));
    assert_eq!(news(&closed, Some(&standing), &facts(true, &[])), in_hand, "Azure names somebody else");
}

#[test]
fn what_was_done_to_an_earlier_firing_is_not_done_to_the_next() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.deliver();
    world.fired(100);
    world.deliver();
    assert_eq!(world.portal(AzureState::Acknowledged, 50), Reason::Stale);
    assert_eq!(world.portal(AzureState::Acknowledged, 110), Reason::AcknowledgedInAzure);
}

#[test]
fn what_was_decided_for_an_earlier_firing_does_not_reach_one_that_is_in_hand() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.deliver();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 61);
    assert_eq!(world.owed(), ["Closed: Closed by Jane Doe in SIGNL4"]);
    world.polled_anew(AzureState::Acknowledged);
    assert_eq!(world.owed(), [""; 0]);
}

#[test]
fn a_close_of_an_earlier_firing_closes_none_that_is_in_hand() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.deliver();
    world.polled_anew(AzureState::Acknowledged);
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 50);
    assert_eq!(world.owed(), ["comment: Closed by Jane Doe in SIGNL4"]);
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

#[test]
fn a_person_closes_what_fired_anew_while_an_acknowledgement_of_ours_may_arrive() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.resolved(0);
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(60) });
    world.fired(100);
    let opens = |open: &OpenDelivery| matches!(open.call, Call::ChangeState { state: AzureState::New, keeps_closed, .. } if keeps_closed);
    assert!(world.known.open.iter().any(opens), "no close of ours can be there: {:?}", world.owed());
    assert_eq!(world.portal(AzureState::Closed, 101), Reason::ClosedInAzure);
}

#[test]
fn a_page_that_still_lives_goes_with_the_next_firing_into_the_hands_of_whoever_has_that() {
    for (state, owed) in [(AzureState::Acknowledged, "acknowledge dba"), (AzureState::Closed, "resolve dba")] {
        let keep =
            Policy { on_resolved: OnResolved::Ignore, page_again: Some(Duration::from_mins(30)), ..Policy::default() };
        let mut world = World::new(rules(vec![route("all", "dba", keep)])).paged();
        world.resolved(0);
        world.polled_anew(state);
        assert!(world.owed().contains(&owed.to_owned()), "{state:?}: {:?}", world.owed());
        world.deliver();
        world.signl4(1, Happened::Closed, Some("Jane Doe"), 50);
        let again = EventKind::Timer { page: World::id(1), timer: TimerKind::PageAgain };
        assert_eq!(world.hear(again), Reason::TimerVoid, "{state:?}: somebody has it in hand");
    }
}

#[test]
fn what_is_under_way_for_an_earlier_firing_is_not_sent_again_to_one_that_is_in_hand() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.deliver();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 61);
    world.begin(CallKind::ChangeState);
    world.polled_anew(AzureState::Acknowledged);
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(200) });
    assert_eq!(world.owed(), [""; 0]);
}

#[test]
fn a_close_in_the_portal_ends_also_the_wish_to_page_again() {
    let policy =
        Policy { page_again: Some(Duration::from_mins(30)), close_in_azure: CloseInAzure::Never, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)])).paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 10);
    assert_eq!(world.timers.len(), 1, "as long as Azure fires");
    assert_eq!(world.portal(AzureState::Closed, 20), Reason::ClosedInAzure);
    assert_eq!(world.timers, []);
}

#[test]
fn a_close_by_signl4_of_an_earlier_firing_closes_none_that_is_in_hand() {
    for (raised, owed) in
        [(50, "comment: Closed in SIGNL4 without a person"), (140, "Closed: Closed in SIGNL4 without a person")]
    {
        let policy = Policy { system_close: SystemClose::Close, on_resolved: OnResolved::Ignore, ..Policy::default() };
        let mut world = World::new(rules(vec![route("all", "ops", policy)])).paged();
        world.resolved(0);
        world.polled_anew(AzureState::Acknowledged);
        world.deliver();
        world.signl4(1, Happened::Closed, None, raised);
        assert_eq!(world.owed(), [owed]);
    }
}
