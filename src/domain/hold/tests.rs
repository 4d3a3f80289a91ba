//! The state machine by table, and what it promises whatever happens.

use proptest::prelude::*;

use super::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000).plus(Duration::from_secs(seconds))
}

fn hold() -> Hold {
    Hold::new(Destination::stored("signl4:ops".to_owned()), Rests::default())
}

fn heard(hold: &mut Hold, kind: CallKind, outcome: &Outcome, begun: u64, now: u64) -> News {
    hold.heard(&Heard { kind, outcome, note: "note", begun_at: at(begun) }, at(now))
}

/// One that went out of reach at second 0.
fn open() -> Hold {
    let mut hold = hold();
    for failure in 1..FAILURES {
        assert_eq!(heard(&mut hold, CallKind::Raise, &Outcome::Unsent, 0, 0), News::None, "failure {failure}");
    }
    assert_eq!(heard(&mut hold, CallKind::Raise, &Outcome::Unknown, 0, 0), News::OutOfReach);
    hold
}

const ALL: Leave = Leave::Open { pages: true, at_once: None };
const CAREFUL: Leave = Leave::Open { pages: true, at_once: Some(FEW) };
const PROBE: Leave = Leave::Probe { pages: true };

#[test]
fn few_at_once_until_something_was_taken_lately() {
    let mut hold = hold();
    assert_eq!(hold.leave(at(0)), CAREFUL);
    heard(&mut hold, CallKind::Annotate, &Outcome::Accepted, 0, 0);
    heard(&mut hold, CallKind::Raise, &Outcome::Refused { status: 400 }, 0, 0);
    assert_eq!(hold.leave(at(0)), CAREFUL, "neither shows that the secret is right");
    heard(&mut hold, CallKind::Raise, &Outcome::Accepted, 0, 1);
    assert_eq!(hold.leave(at(60)), ALL);
    assert_eq!(hold.leave(at(61)), CAREFUL, "after a minute without any");
    heard(&mut hold, CallKind::Resolve, &Outcome::Accepted, 70, 70);
    assert!(!hold.try_again());
    assert_eq!(hold.leave(at(70)), CAREFUL, "after a reload");
}

#[test]
fn the_limits_of_the_rest_interface_hold_up_no_page() {
    let mut hold = hold();
    heard(&mut hold, CallKind::Raise, &Outcome::Accepted, 0, 0);
    let busy = Outcome::Busy { after: Some(Duration::from_mins(5)) };
    heard(&mut hold, CallKind::Annotate, &busy, 1, 1);
    assert_eq!(hold.leave(at(1)), ALL);
    heard(&mut hold, CallKind::Resolve, &busy, 1, 1);
    assert_eq!(hold.leave(at(1)), Leave::Nothing { until: at(301) }, "the webhook's concern them all");

    let mut open = open();
    open.probing(at(5));
    heard(&mut open, CallKind::Annotate, &busy, 5, 6);
    assert_eq!(open.open_since, Some(at(0)), "it says nothing of the webhook");
    assert_eq!(open.leave(at(10)), PROBE, "and the next probe comes as soon");
}

#[test]
fn a_change_that_only_its_alert_is_not_ready_for_is_an_answer() {
    let mut hold = open();
    hold.probing(at(5));
    let conflict = Outcome::NotYet { after: Duration::from_secs(1) };
    assert_eq!(heard(&mut hold, CallKind::ChangeState, &conflict, 5, 6), News::Back);
    for _ in 0..2 * FAILURES {
        assert_eq!(heard(&mut hold, CallKind::ChangeState, &conflict, 7, 7), News::None);
    }
}

#[test]
fn failures_in_a_row_open_it_and_the_rest_grows_to_a_minute() {
    let mut hold = open();
    assert_eq!((hold.open_since, hold.why.as_deref()), (Some(at(0)), Some("note")));
    let mut now = 0;
    for rest in [5, 10, 20, 40, 60, 60, 60] {
        assert_eq!(hold.leave(at(now)), Leave::Nothing { until: at(now + rest) });
        now += rest;
        assert_eq!(hold.leave(at(now)), PROBE);
        hold.probing(at(now));
        assert!(matches!(hold.leave(at(now)), Leave::Nothing { .. }), "one at a time");
        heard(&mut hold, CallKind::Raise, &Outcome::Unsent, now, now);
    }
}

#[test]
fn the_rest_counts_from_the_begin_of_a_probe_that_was_hanging() {
    let mut hold = open();
    hold.probing(at(5));
    assert_eq!(hold.leave(at(24)), Leave::Nothing { until: at(95) }, "still under way");
    heard(&mut hold, CallKind::Raise, &Outcome::Unknown, 5, 25);
    assert_eq!(hold.leave(at(25)), Leave::Nothing { until: at(26) });
}

#[test]
fn a_success_in_between_starts_the_count_anew() {
    let mut hold = hold();
    for _ in 0..3 {
        for _ in 1..FAILURES {
            heard(&mut hold, CallKind::Raise, &Outcome::Busy { after: None }, 0, 0);
        }
        heard(&mut hold, CallKind::Raise, &Outcome::Accepted, 0, 0);
    }
    for _ in 0..FAILURES {
        heard(&mut hold, CallKind::Annotate, &Outcome::Unknown, 0, 0);
    }
    assert_eq!(hold.leave(at(0)), ALL, "nor do annotations count, which go elsewhere");
}

#[test]
fn whoever_answers_a_probe_is_back() {
    for (kind, outcome, back) in [
        (CallKind::Raise, Outcome::Accepted, true),
        (CallKind::Raise, Outcome::Refused { status: 422 }, true),
        (CallKind::Raise, Outcome::Refused { status: 0 }, false),
        (CallKind::Raise, Outcome::NotYet { after: SETTLE }, false),
        (CallKind::Raise, Outcome::Busy { after: Some(SETTLE) }, false),
        (CallKind::Raise, Outcome::OurFault, false),
        (CallKind::Annotate, Outcome::Accepted, true),
        (CallKind::Annotate, Outcome::NotYet { after: SETTLE }, true),
    ] {
        let mut hold = open();
        hold.probing(at(5));
        let expected = if back { News::Back } else { News::None };
        assert_eq!(heard(&mut hold, kind, &outcome, 5, 5), expected, "{kind:?} {outcome:?}");
        assert_eq!(hold.open_since.is_none(), back, "{kind:?} {outcome:?}");
        assert_eq!(hold.is_empty(), back, "{kind:?} {outcome:?}");
    }
}

#[test]
fn a_probe_that_turned_out_not_to_be_needed_is_followed_by_another_at_once() {
    let mut hold = open();
    hold.probing(at(5));
    let over = Outcome::NotYet { after: Duration::ZERO };
    assert_eq!(heard(&mut hold, CallKind::Raise, &over, 5, 6), News::None);
    assert_eq!(hold.leave(at(6)), PROBE);
}

#[test]
fn what_began_before_it_opened_prolongs_nothing() {
    let mut hold = open();
    let before = hold.clone();
    assert_eq!(heard(&mut hold, CallKind::Raise, &Outcome::Unknown, 0, 3), News::None);
    assert_eq!(hold, before);
    assert_eq!(heard(&mut hold, CallKind::Raise, &Outcome::Accepted, 0, 4), News::Back, "but good news are good news");
}

#[test]
fn a_denial_is_probed_once_a_minute_and_ends_by_what_it_refused() {
    let mut hold = hold();
    let denied = Outcome::Denied { status: 404 };
    heard(&mut hold, CallKind::Raise, &denied, 0, 1);
    assert_eq!(hold.leave(at(1)), Leave::Nothing { until: at(61) });
    assert_eq!(heard(&mut hold, CallKind::Raise, &Outcome::Accepted, 0, 2), News::None, "it began before");
    assert_eq!(hold.leave(at(61)), PROBE);
    hold.probing(at(61));
    assert_eq!(heard(&mut hold, CallKind::Annotate, &Outcome::Accepted, 61, 61), News::None);
    heard(&mut hold, CallKind::Raise, &denied, 61, 61);
    assert_eq!((hold.leave(at(62)), hold.denied_since), (Leave::Nothing { until: at(121) }, Some(at(1))));
    hold.probing(at(121));
    assert_eq!(heard(&mut hold, CallKind::Raise, &Outcome::Accepted, 121, 122), News::Back);
    assert_eq!(hold.leave(at(122)), ALL);
}

#[test]
fn a_paused_team_gets_no_page_in_any_state() {
    let mut hold = hold();
    hold.paused_until = Some(at(1_000));
    assert!(!hold.leave(at(0)).allows(Class::Page) && hold.leave(at(0)).allows(Class::State));
    heard(&mut hold, CallKind::Resolve, &Outcome::Denied { status: 401 }, 0, 0);
    assert_eq!(hold.leave(at(60)), Leave::Probe { pages: false });
    assert_eq!(hold.leave(at(1_000)), PROBE);
}

#[test]
fn behind_an_open_breaker_it_says_when_there_is_a_next_attempt() {
    let hold = open();
    let late = at(300);
    for (kind, outcome, expected) in [
        (CallKind::Raise, Outcome::Unsent, at(5)),
        (CallKind::Raise, Outcome::Unknown, at(15)),
        (CallKind::ChangeState, Outcome::Unknown, at(5)),
        (CallKind::Raise, Outcome::Busy { after: Some(SETTLE) }, late),
        (CallKind::Raise, Outcome::NotYet { after: SETTLE }, late),
    ] {
        assert_eq!(hold.next_attempt(kind, &outcome, late, at(0)), expected, "{kind:?} {outcome:?}");
        assert_eq!(hold.next_attempt(kind, &outcome, at(1), at(0)), at(1), "never later than it was to be");
        assert_eq!(self::hold().next_attempt(kind, &outcome, late, at(0)), late, "{kind:?}: in reach");
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Accepted),
        5 => Just(Outcome::Unsent),
        5 => Just(Outcome::Unknown),
        2 => Just(Outcome::Busy { after: None }),
        1 => any::<u64>().prop_map(|seconds| Outcome::Busy { after: Some(Duration::from_secs(seconds)) }),
        1 => Just(Outcome::NotYet { after: SETTLE }),
        1 => any::<u16>().prop_map(|status| Outcome::Refused { status }),
        1 => any::<u16>().prop_map(|status| Outcome::Denied { status }),
        1 => Just(Outcome::OurFault),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_is_tried_again_soon_and_one_success_opens_it(
        steps in proptest::collection::vec((0_u64..30, outcomes(), any::<bool>(), 0_u64..25, any::<bool>()), 1..120),
    ) {
        let mut hold = hold();
        let mut now = 0;
        let mut wish_ends = at(0);
        for (pause, outcome, annotates, lasts, reloads) in steps {
            now += pause;
            let kind = if annotates { CallKind::Annotate } else { CallKind::Raise };
            if reloads && pause == 7 {
                hold.try_again();
            }
            let held = hold.denied_since.is_some() || hold.open_since.is_some();
            let begun = now;
            match hold.leave(at(now)) {
                Leave::Nothing { until } => {
                    prop_assert!(until > at(now));
                    // A minute, but for the destination's own wish and for a probe that was lost.
                    let soon = at(now).plus(PROBE_EVERY).max(wish_ends).max(at(now).plus(PROBE_LOST));
                    prop_assert!(until <= soon, "{until} after {}", at(now));
                    continue;
                }
                Leave::Probe { .. } => {
                    prop_assert!(held);
                    hold.probing(at(now));
                    let one_at_a_time = matches!(hold.leave(at(now + 89)), Leave::Nothing { .. });
                    prop_assert!(one_at_a_time);
                }
                Leave::Open { .. } => prop_assert!(!held),
            }
            now += lasts;
            let news = heard(&mut hold, kind, &outcome, begun, now);
            if let Outcome::Busy { after: Some(after) } = outcome {
                wish_ends = wish_ends.max(at(now).plus(after.min(LONGEST_WAIT_OF_PAGES)));
            }
            match (&outcome, news) {
                (Outcome::Accepted, _) if !annotates => {
                    prop_assert_eq!(hold.leave(at(now).max(wish_ends)).at_once() >= FEW, true);
                    prop_assert!(hold.open_since.is_none() && hold.denied_since.is_none());
                }
                (_, News::OutOfReach) => prop_assert!(!annotates && hold.open_since == Some(at(now))),
                _ => {}
            }
            if hold.open_since.is_some() {
                // After a probe has ended, the next begins at most a minute after its begin.
                let next = hold.waits_until.unwrap();
                prop_assert!(next <= at(begun).plus(PROBE_EVERY).max(at(now).plus(Rests::default().first)).max(wish_ends));
                let due = hold.next_attempt(CallKind::Raise, &Outcome::Unknown, at(now + 300), at(now));
                prop_assert!(due >= at(now).plus(SETTLE), "a Raise that may have arrived waits");
            }
        }
    }
}
