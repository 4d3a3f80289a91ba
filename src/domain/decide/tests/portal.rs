//! What polls of Azure find: alerts without a webhook, and what people do in the portal.

use super::*;
use crate::domain::reading::{Facts, Found, Gap, News, PollRaises, Polled, Raises, Reading, Standing, news};
use crate::domain::route::OnReopened;

pub(super) const ANNA: &str = "anna@example.com";

impl World {
    pub(super) fn polled(&mut self, found: Found, state: AzureState, modified: i64, by: &str) -> Reason {
        let condition = if found == Found::Resolved { Condition::Resolved } else { Condition::Fired };
        let polled = Polled {
            found,
            notification: notification(condition, 0),
            state,
            modified_at: Some(at(modified)),
            modified_by: Some(by.to_owned()),
        };
        self.hear(EventKind::Polled { connection: contoso(), polled: Box::new(polled) })
    }

    pub(super) fn portal(&mut self, state: AzureState, modified: i64) -> Reason {
        self.polled(Found::State, state, modified, ANNA)
    }
}

#[test]
fn what_a_poll_may_raise_is_paged_and_its_webhook_is_a_repeat() {
    let mut world = World::one_team();
    assert_eq!(world.polled(Found::Fired(Raises::NoWebhook), AzureState::New, 0, "System"), Reason::Raised);
    assert_eq!(world.owed(), ["raise ops"]);
    assert_eq!(world.fired(0), Reason::Repeat);
    assert_eq!(world.fired(1), Reason::Repeat, "the webhook may name another moment of the same firing");
    assert_eq!(world.owed(), ["raise ops"]);
}

#[test]
fn what_a_poll_only_records_is_paged_when_its_webhook_comes() {
    for raises in [Raises::RuleUnheard, Raises::BeforeLookBack, Raises::Suppressed, Raises::NotWanted] {
        let mut world = World::one_team();
        assert_eq!(world.polled(Found::Fired(raises), AzureState::New, 0, "System"), Reason::RecordedByPoll);
        assert_eq!(world.polled(Found::Fired(raises), AzureState::New, 0, "System"), Reason::Repeat);
        assert_eq!(world.owed(), [""; 0]);
        assert_eq!(world.fired(0), Reason::Raised, "{raises:?}");
        assert_eq!(world.fired(0), Reason::Repeat);
    }
}

#[test]
fn what_a_person_had_in_hand_is_not_paged_by_a_late_webhook() {
    let mut world = World::one_team();
    world.polled(Found::Fired(Raises::InHand), AzureState::Acknowledged, 5, ANNA);
    assert_eq!(world.fired(0), Reason::InHand);
    assert_eq!(world.owed(), [""; 0]);
    assert_eq!(world.polled(Found::Fired(Raises::NoWebhook), AzureState::New, 9, ANNA), Reason::Raised);
}

#[test]
fn a_resolved_that_was_polled_ends_the_page_and_its_webhook_is_a_repeat() {
    let mut world = World::one_team().paged();
    assert_eq!(world.polled(Found::Resolved, AzureState::New, 60, "System"), Reason::Resolved);
    assert_eq!(world.owed(), ["resolve ops"]);
    assert_eq!(world.resolved(0), Reason::Repeat);
}

#[test]
fn acknowledged_in_the_portal_goes_to_every_page() {
    let routes = vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())];
    let mut world = World::new(rules(routes)).paged();
    assert_eq!(world.portal(AzureState::Acknowledged, 5), Reason::AcknowledgedInAzure);
    assert_eq!(
        world.owed(),
        ["acknowledge ops", "acknowledge dba", "annotate dba: Acknowledged in Azure by anna@example.com"]
    );
    assert_eq!(world.portal(AzureState::Acknowledged, 5), Reason::Stale);
    world.deliver();
    for number in [1, 2] {
        assert_eq!(world.signl4(number, Happened::Acknowledged, None, 6), Reason::Confirmed, "our own, coming back");
    }
    assert_eq!(world.owed(), [""; 0]);
}

#[test]
fn a_raise_that_was_not_sent_is_not_sent_for_what_is_in_hand() {
    for state in [AzureState::Acknowledged, AzureState::Closed] {
        let mut world = World::one_team();
        world.fired(0);
        world.portal(state, 5);
        assert_eq!(world.owed(), [""; 0], "{state:?}");
        assert!(matches!(world.phase(1), Phase::Ended { .. }));
    }
}

#[test]
fn closed_in_the_portal_beats_what_is_on_its_way() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.deliver();
    world.take_sent();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 6);
    assert_eq!(world.owed(), ["New: Acknowledgement withdrawn by Jane Doe in SIGNL4"]);
    assert_eq!(world.portal(AzureState::Closed, 7), Reason::ClosedInAzure);
    assert_eq!(world.owed(), ["resolve ops"], "nothing opens again what was closed there");
    assert_eq!(world.azure(), AzureState::Closed);
}

#[test]
fn what_is_on_its_way_is_later_than_an_acknowledgement_in_the_portal() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    assert_eq!(world.portal(AzureState::Acknowledged, 4), Reason::Stale);
    assert_eq!(world.owed(), ["Closed: Closed by Jane Doe in SIGNL4"]);
    world.deliver();
    assert_eq!(world.azure(), AzureState::Closed);
}

#[test]
fn a_reading_older_than_our_last_change_is_ignored() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.deliver();
    if let Some(alert) = &mut world.known.alert {
        alert.azure_modified_at = Some(at(9));
    }
    assert_eq!(world.portal(AzureState::New, 9), Reason::Stale);
    assert_eq!(world.portal(AzureState::New, 8), Reason::Stale);
    assert_eq!(world.azure(), AzureState::Acknowledged);
}

#[test]
fn a_change_without_an_answer_is_confirmed_by_what_azure_shows() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(60) });
    assert_eq!(world.polled(Found::State, AzureState::Acknowledged, 6, "our own id"), Reason::Confirmed);
    assert_eq!(world.owed(), [""; 0]);
}

#[test]
fn a_change_by_the_name_that_azure_gave_us_is_nobody_elses() {
    let mut world = World::one_team().paged();
    if let Some(alert) = &mut world.known.alert {
        alert.azure_by = Some("our own id".to_owned());
    }
    assert_eq!(world.polled(Found::State, AzureState::Closed, 6, "our own id"), Reason::Confirmed);
    assert_eq!(world.owed(), [""; 0]);
}

#[test]
fn set_back_to_new_pages_anew_annotates_or_does_nothing() {
    for (on_reopened, owed) in [
        (OnReopened::Page, &["resolve dba", "raise dba"][..]),
        (OnReopened::Annotate, &["annotate dba: Set back to New in Azure by anna@example.com"][..]),
        (OnReopened::Ignore, &[][..]),
    ] {
        let policy = Policy { on_reopened, ..Policy::default() };
        let mut world = World::new(rules(vec![route("all", "dba", policy)])).paged();
        world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
        world.deliver();
        assert_eq!(world.portal(AzureState::New, 9), Reason::ReopenedInAzure);
        assert_eq!(world.owed(), owed, "{on_reopened:?}");
        assert_eq!(world.azure(), AzureState::New);
    }
}

#[test]
fn a_closed_alert_set_back_to_new_pages_anew_unless_it_is_resolved() {
    for resolved in [false, true] {
        let mut world = World::one_team().paged();
        world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
        world.deliver();
        if resolved {
            world.resolved(0);
        }
        world.take_sent();
        world.portal(AzureState::New, 9);
        assert_eq!(world.owed(), if resolved { &[][..] } else { &["raise ops"][..] });
        assert_eq!(world.azure(), AzureState::New);
        assert_eq!(world.known.alert.as_ref().unwrap().members.len(), 0);
    }
}

pub(super) fn reading(condition: Condition, state: AzureState) -> Reading {
    Reading {
        notification: notification(condition, 0),
        rules: vec!["sub/rule".to_owned()],
        state,
        modified_at: Some(at(0)),
        modified_by: None,
        suppressed: false,
    }
}

#[test]
fn what_may_wake_somebody_depends_on_what_has_called() {
    let gap = [Gap { from: at(-10), to: at(10) }];
    let facts = |has_webhook, heard, gaps| Facts {
        now: at(600),
        raises: PollRaises::Auto,
        has_webhook,
        heard,
        gaps,
        trouble: None,
        earliest: None,
    };
    let reading = reading(Condition::Fired, AzureState::New);
    let fired = |raises| News::Found(vec![Found::Fired(raises)]);
    for (facts, expected) in [
        (facts(false, false, &[]), fired(Raises::NoWebhook)),
        (facts(true, false, &[]), fired(Raises::RuleUnheard)),
        (facts(true, true, &[]), fired(Raises::WebhookMissing)),
        (facts(true, false, &gap), fired(Raises::Gap)),
        (Facts { now: at(60), ..facts(true, true, &[]) }, News::Wait(at(120))),
        (Facts { now: at(60), trouble: Some(gap[0]), ..facts(true, false, &[]) }, News::Wait(at(110))),
        (Facts { now: at(110), trouble: Some(gap[0]), ..facts(true, false, &[]) }, fired(Raises::RuleUnheard)),
        (Facts { raises: PollRaises::All, ..facts(true, false, &[]) }, fired(Raises::All)),
        (Facts { raises: PollRaises::None, ..facts(false, true, &gap) }, fired(Raises::NotWanted)),
        (Facts { earliest: Some(at(1)), ..facts(false, true, &gap) }, fired(Raises::BeforeLookBack)),
    ] {
        assert_eq!(news(&reading, None, &facts), expected, "{facts:?}");
    }
}

#[test]
fn a_gap_holds_whoever_may_have_been_called_in_it_or_in_the_silence_after_it() {
    let gap = Gap { from: at(1_000), to: at(2_000) };
    for (fired, holds) in [(699, false), (700, true), (1_500, true), (2_900, true), (2_901, false)] {
        assert_eq!(gap.holds(at(fired)), holds, "{fired}");
    }
}

#[test]
fn what_was_recorded_is_somebodys_page_once_a_gap_is_known_that_holds_it() {
    let gap = [Gap { from: at(60), to: at(200) }];
    let nothing = News::Found(Vec::new());
    let new = reading(Condition::Fired, AzureState::New);
    for raises in [Raises::RuleUnheard, Raises::BeforeLookBack, Raises::Suppressed, Raises::NotWanted] {
        let mut world = World::one_team();
        world.polled(Found::Fired(raises), AzureState::New, 0, "System");
        let standing = Standing::new(world.known.alert.clone().unwrap(), false, &[]);
        for heard in [false, true] {
            assert_eq!(
                news(&new, Some(&standing), &facts(heard, &[])),
                nothing,
                "{raises:?}: nobody asked to be woken"
            );
        }
        let expected =
            if raises == Raises::RuleUnheard { News::Found(vec![Found::Fired(Raises::Gap)]) } else { nothing.clone() };
        assert_eq!(news(&new, Some(&standing), &facts(false, &gap)), expected, "{raises:?}");
        let acknowledged = reading(Condition::Fired, AzureState::Acknowledged);
        assert_eq!(news(&acknowledged, Some(&standing), &facts(false, &gap)), nothing, "in hand");
        if raises == Raises::RuleUnheard {
            assert_eq!(world.polled(Found::Fired(Raises::Gap), AzureState::New, 0, "System"), Reason::Raised);
            assert!(world.known.alert.as_ref().unwrap().polled, "nobody was called");
            assert_eq!(world.hear(exactly(Condition::Fired)), Reason::Repeat, "its late webhook");
        }
    }
}

#[test]
fn an_alert_in_hand_that_is_free_again_is_told_once_where_its_rule_wakes_nobody() {
    let mut world = World::one_team();
    world.polled(Found::Fired(Raises::InHand), AzureState::Acknowledged, 5, ANNA);
    let new = Reading { modified_at: Some(at(9)), ..reading(Condition::Fired, AzureState::New) };
    for none in [false, true] {
        let facts = Facts { raises: if none { PollRaises::None } else { PollRaises::Auto }, ..facts(false, &[]) };
        let mut world = World { known: world.known.clone(), ..World::one_team() };
        let standing = |world: &World| Standing::new(world.known.alert.clone().unwrap(), false, &[]);
        assert_eq!(news(&new, Some(&standing(&world)), &facts), News::Found(vec![Found::State]));
        assert_eq!(world.portal(AzureState::New, 9), Reason::ReopenedInAzure);
        assert_eq!(world.owed(), [""; 0]);
        assert_eq!(news(&new, Some(&standing(&world)), &facts), News::Found(Vec::new()), "the ledger knows it");
        let gap = [Gap { from: at(0), to: at(200) }];
        let expected = if none { News::Found(Vec::new()) } else { News::Found(vec![Found::Fired(Raises::Gap)]) };
        assert_eq!(
            news(&new, Some(&standing(&world)), &Facts { gaps: &gap, ..facts }),
            expected,
            "its webhook was lost"
        );
        assert_eq!(world.fired(0), Reason::Raised, "its late webhook finds nobody who has it in hand");
    }
}

/// The webhook of the same alert: it names the moment more exactly than the list.
fn exactly(condition: Condition) -> EventKind {
    let listed = notification(condition, 0);
    let fired_at = listed.fired_at.map(|at| at.plus(Duration::from_millis(437)));
    EventKind::Azure { connection: contoso(), notification: Box::new(Notification { fired_at, ..listed }) }
}

#[test]
fn the_list_and_the_webhook_mean_one_firing_though_they_name_it_differently() {
    let annotate = Policy { on_resolved: OnResolved::Annotate, ..Policy::default() };
    for (policy, team, ends) in [
        (Policy::default(), "ops", "resolve ops".to_owned()),
        (annotate, "dba", format!("annotate dba: Resolved in Azure at {}", at(60))),
    ] {
        for polled_first in [false, true] {
            let mut world = World::new(rules(vec![route("all", team, policy.clone())]));
            let called = |world: &mut World| world.hear(exactly(Condition::Fired));
            for (step, reason) in [Reason::Raised, Reason::Repeat].into_iter().enumerate() {
                let told = if polled_first == (step == 0) {
                    world.polled(Found::Fired(Raises::All), AzureState::New, 0, "System")
                } else {
                    called(&mut world)
                };
                assert_eq!(told, reason, "polled first: {polled_first}, step {step}");
            }
            world.deliver();
            world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
            world.deliver();
            world.take_sent();
            for (step, reason) in [Reason::Resolved, Reason::Repeat].into_iter().enumerate() {
                let by_poll = polled_first == (step == 1);
                let told = if by_poll {
                    world.polled(Found::Resolved, AzureState::Acknowledged, 60, "System")
                } else {
                    world.hear(exactly(Condition::Resolved))
                };
                assert_eq!(told, reason, "polled first: {polled_first}, step {step}");
                assert_eq!(world.azure(), AzureState::Acknowledged, "nobody undoes it");
            }
            assert_eq!(world.owed(), [ends.as_str()], "polled first: {polled_first}");
            assert_eq!(called(&mut world), Reason::SupersededByResolved);
        }
    }
}

pub(super) fn facts(heard: bool, gaps: &[Gap]) -> Facts<'_> {
    Facts { now: at(600), raises: PollRaises::Auto, has_webhook: true, heard, gaps, trouble: None, earliest: None }
}

#[test]
fn nothing_is_news_that_the_ledger_knows() {
    let mut world = World::one_team().paged();
    let facts = facts(true, &[]);
    let standing = |world: &World| Standing::new(world.known.alert.clone().unwrap(), true, &[]);
    let nothing = News::Found(Vec::new());
    let new = reading(Condition::Fired, AzureState::New);
    assert_eq!(news(&new, Some(&standing(&world)), &facts), nothing);
    // Our acknowledgement is on its way, and Azure does not show it yet.
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    assert_eq!(news(&new, Some(&standing(&world)), &facts), nothing);
    world.deliver();
    let acknowledged = reading(Condition::Fired, AzureState::Acknowledged);
    assert_eq!(news(&acknowledged, Some(&standing(&world)), &facts), nothing);
    let resolved = reading(Condition::Resolved, AzureState::Acknowledged);
    assert_eq!(news(&resolved, Some(&standing(&world)), &facts), News::Found(vec![Found::Resolved]));
    world.resolved(0);
    assert_eq!(news(&resolved, Some(&standing(&world)), &facts), nothing);
    assert_eq!(news(&acknowledged, Some(&standing(&world)), &facts), nothing, "read late");
}

#[test]
fn an_acknowledgement_taken_back_leaves_closed_what_was_closed_in_the_portal_meanwhile() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.deliver();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 6);
    let call = world.known.open[0].call.clone();
    assert!(matches!(call, Call::ChangeState { state: AzureState::New, keeps_closed: true, .. }), "{call:?}");
    world.known.open.clear();
    let learned = Learned { azure: Some((AzureState::Closed, Some(at(7)))), ..Learned::default() };
    let attempted = Attempted { outcome: Outcome::Accepted, learned, note: String::new(), possibly_doubled: false };
    let verdict = record(&world.rules, &world.known, &call, &attempted, &Next::Done, world.now);
    world.apply(verdict);
    assert_eq!(world.owed(), ["resolve ops"]);
    assert_eq!(world.azure(), AzureState::Closed);
}

#[test]
fn a_change_that_a_close_in_the_portal_made_needless_is_not_sent_again() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.portal(AzureState::Closed, 9);
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(60) });
    assert_eq!(world.owed(), ["resolve ops"]);
    assert_eq!(world.portal(AzureState::New, 11), Reason::ReopenedInAzure);
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn a_close_on_the_phone_beats_an_older_acknowledgement_in_the_portal() {
    let mut world = World::one_team().paged();
    world.portal(AzureState::Closed, 5);
    world.deliver();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 8);
    world.take_sent();
    world.portal(AzureState::Acknowledged, 7);
    assert_eq!(world.owed(), ["comment: Closed by Jane Doe in SIGNL4", "Closed: Closed in SIGNL4"]);
}

#[test]
fn a_close_on_the_phone_beats_an_older_re_opening_in_the_portal() {
    let mut world = World::one_team().paged();
    assert_eq!(world.portal(AzureState::Closed, 10), Reason::ClosedInAzure);
    world.deliver();
    world.take_sent();
    // Set back to New at 20, which no poll has read when somebody closes the page at 30.
    assert_eq!(world.signl4(1, Happened::Closed, Some("Jane"), 30), Reason::Closed);
    world.deliver();
    world.take_sent();
    assert_eq!(world.portal(AzureState::New, 20), Reason::Stale);
    world.deliver();
    assert_eq!(world.take_sent(), ["Closed: Closed in SIGNL4"], "and nobody is paged for it");
}

#[test]
fn the_name_that_azure_gives_us_is_learned_from_its_answers() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    let azure = Some((AzureState::Acknowledged, Some(at(6))));
    let learned = Learned { azure, azure_by: Some("our own id".into()), ..Learned::default() };
    world.end_learning(CallKind::ChangeState, &Outcome::Accepted, Next::Done, learned);
    assert_eq!(world.known.alert.unwrap().azure_by.as_deref(), Some("our own id"));
}

#[test]
fn an_acknowledgement_in_the_portal_that_was_later_than_our_change_is_told_again() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    // Closed by us at 6, which nobody here knows yet, and acknowledged there at 7.
    assert_eq!(world.portal(AzureState::Acknowledged, 7), Reason::Stale);
    let learned = Learned { azure: Some((AzureState::Closed, Some(at(6)))), ..Learned::default() };
    world.end_learning(CallKind::ChangeState, &Outcome::Accepted, Next::Done, learned);
    assert_eq!(world.portal(AzureState::Acknowledged, 7), Reason::AcknowledgedInAzure);
    assert_eq!(world.azure(), AzureState::Acknowledged);
}

/// A comment of ours goes out, and Azure's answer shows another state.
fn commented(world: &mut World, state: AzureState, modified: i64) {
    world.begin(CallKind::Comment);
    let learned = Learned { azure: Some((state, Some(at(modified)))), ..Learned::default() };
    world.end_learning(CallKind::Comment, &Outcome::Accepted, Next::Done, learned);
}

#[test]
fn a_close_on_the_phone_beats_what_only_the_answer_to_its_comment_shows() {
    let mut world = World::one_team().paged();
    world.portal(AzureState::Closed, 5);
    world.deliver();
    world.take_sent();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 30);
    assert_eq!(world.owed(), ["comment: Closed by Jane Doe in SIGNL4"]);
    // Set back to New at some time between: nothing says that it was after the close.
    commented(&mut world, AzureState::New, 31);
    assert_eq!(world.owed(), ["Closed: Closed in SIGNL4"]);
}

#[test]
fn what_only_an_answer_shows_as_set_back_to_new_is_paged_anew() {
    let mut world = World::one_team().paged();
    world.portal(AzureState::Closed, 5);
    world.deliver();
    world.take_sent();
    world.signl4(1, Happened::Annotated, Some("Jane Doe"), 30);
    commented(&mut world, AzureState::New, 31);
    assert_eq!(world.owed(), ["raise ops"]);
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn an_acknowledgement_taken_back_while_it_is_on_its_way_re_opens_nothing() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 6);
    let calls: Vec<&Call> = world.known.open.iter().map(|open| &open.call).collect();
    assert!(
        matches!(calls[..], [_, Call::ChangeState { state: AzureState::New, keeps_closed: true, .. }]),
        "somebody may have closed it in the portal: {calls:?}"
    );
}

/// An attempt of a change ends, and Azure's answer shows what it has brought.
fn changed(world: &mut World, state: AzureState, modified: i64) {
    let learned = Learned { azure: Some((state, Some(at(modified)))), ..Learned::default() };
    world.end_learning(CallKind::ChangeState, &Outcome::Accepted, Next::Done, learned);
}

#[test]
fn an_acknowledgement_that_finds_open_again_what_was_closed_leaves_nobody_without_a_page() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.portal(AzureState::Closed, 6);
    // Set back to New at 7, which nobody has heard: else it would have stayed closed.
    changed(&mut world, AzureState::Acknowledged, 8);
    assert_eq!(world.owed(), ["resolve ops", "raise ops", "New: Opened again in Azure"]);
}

#[test]
fn a_re_opening_on_its_way_does_not_undo_a_close_in_the_portal() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    world.deliver();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 8);
    world.begin(CallKind::ChangeState);
    world.portal(AzureState::Closed, 9);
    changed(&mut world, AzureState::New, 10);
    assert_eq!(world.owed(), ["resolve ops", "Closed: Closed in Azure"]);
}

#[test]
fn what_a_late_page_learns_from_azure_is_still_news_for_the_pages_that_are_out() {
    let two = vec![route("all", "ops", Policy::default()), route("too", "dba", Policy::default())];
    let mut world = World::new(rules(two));
    world.fired(0);
    // The page of the first team is held up; that of the second goes out.
    let raise = |open: &&mut OpenDelivery| matches!(&open.call, Call::Raise { team: to, .. } if *to == team("dba"));
    let second = world.known.open.iter_mut().find(raise).unwrap();
    (second.attempt, second.leased) = (1, true);
    world.end(CallKind::Raise, &Outcome::Accepted, Next::Done);
    world.begin(CallKind::Raise);
    let learned = Learned { azure: Some((AzureState::Acknowledged, Some(at(5)))), ..Learned::default() };
    let not_yet = Outcome::NotYet { after: Duration::ZERO };
    world.end_learning(CallKind::Raise, &not_yet, Next::Again { due: at(301) }, learned);
    assert_eq!(world.owed(), [""; 0], "nobody is woken any more");
    assert_eq!(world.portal(AzureState::Acknowledged, 5), Reason::AcknowledgedInAzure);
    assert_eq!(world.owed(), ["acknowledge dba", "annotate dba: Acknowledged in Azure by anna@example.com"]);
}

#[test]
fn an_acknowledgement_whose_answer_was_lost_and_that_a_poll_shows_leaves_nobody_without_a_page() {
    let mut world = World::one_team().paged();
    world.known.alert.as_mut().unwrap().azure_by = Some("our own id".to_owned());
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    world.portal(AzureState::Closed, 6);
    world.end(CallKind::ChangeState, &Outcome::Unknown, Next::Again { due: at(60) });
    assert_eq!(world.polled(Found::State, AzureState::Acknowledged, 8, "our own id"), Reason::Confirmed);
    assert_eq!(world.owed(), ["resolve ops", "raise ops", "New: Opened again in Azure"]);
}

#[test]
fn what_was_read_before_it_was_taken_in_hand_frees_nothing() {
    let mut world = World::one_team();
    world.polled(Found::Fired(Raises::InHand), AzureState::Acknowledged, 5, ANNA);
    let standing = Standing::new(world.known.alert.clone().unwrap(), false, &[]);
    let facts = facts(true, &[]);
    let reading = |modified| Reading { modified_at: Some(at(modified)), ..reading(Condition::Fired, AzureState::New) };
    let found = Found::Fired(Raises::WebhookMissing);
    assert_eq!(news(&reading(4), Some(&standing), &facts), News::Found(Vec::new()));
    assert_eq!(world.polled(found, AzureState::New, 4, ANNA), Reason::Stale);
    assert_eq!(news(&reading(9), Some(&standing), &facts), News::Found(vec![found]));
    assert_eq!(world.polled(found, AzureState::New, 9, ANNA), Reason::Raised);
    assert_eq!(world.polled(found, AzureState::New, 9, ANNA), Reason::Repeat);
}
