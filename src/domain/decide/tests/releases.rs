//! `release`, pair by pair: truth, grace, window, storm; and since when a page that was held is late.

use std::sync::Arc;

use super::*;
use crate::domain::decide::{Release, release};
use crate::domain::load::{self, Load};
use crate::domain::page::{Alert, Page};
use crate::domain::window::{Times, Window};
use Way::{Alone, Grace, Handled, NoStorms, OpenWindow, Resolved, Storm, WindowOver};

/// What stands in a page's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Resolved,
    /// The state in Azure is not New.
    Handled,
    Grace,
    OpenWindow,
    /// A window held it, and is over.
    WindowOver,
    Storm,
    /// The route stays out of storms.
    Alone,
    /// The team has `storm = "off"`.
    NoStorms,
}

const NOW: i64 = 10_000;
const GRACE_END: i64 = 10_060;
const WINDOW_END: i64 = 10_600;

fn judged(ways: &[Way]) -> Release {
    let has = |way| ways.contains(&way);
    let mut world =
        World::new(rules(vec![route("all", "ops", Policy { always_alone: has(Alone), ..Policy::default() })]));
    let storm = load::Storm { pages_per_minute: 3, digest_every: Duration::from_mins(1) };
    for traits in world.rules.teams.values_mut() {
        traits.storm = Some(storm).filter(|_| !has(NoStorms));
    }
    world.fired(0);
    let page: Page = world.known.pages[0].clone();
    let until = at(if has(Grace) { GRACE_END } else { NOW });
    let held = Page {
        phase: Phase::Held { until },
        window: has(WindowOver).then(|| "patching".to_owned()),
        windows: vec!["patching".to_owned()],
        ..page
    };
    let end = if has(OpenWindow) { WINDOW_END } else { NOW };
    world.rules.windows = vec![Window {
        name: "patching".to_owned(),
        file: "test.toml".to_owned(),
        line: 1,
        criteria: Criteria::default(),
        times: Times::Once { start: at(0), end: at(end) },
    }];
    let mut recent = Load::default();
    for second in 0..if has(Storm) { 3 } else { 2 } {
        recent.raised(&team("ops"), at(NOW - second));
    }
    let alert = world.known.alert.clone().unwrap();
    let alert = Alert {
        condition: if has(Resolved) { Condition::Resolved } else { Condition::Fired },
        azure: crate::domain::page::Ledger {
            seen: Some(if has(Handled) { AzureState::Acknowledged } else { AzureState::New }),
            wanted: None,
        },
        ..alert
    };
    let known = Known { alert: Some(alert), load: Arc::new(recent), ..Known::default() };
    release(&world.rules, &held, &known, at(NOW))
}

#[test]
fn truth_comes_before_grace_before_window_before_storm() {
    let minute = Duration::from_mins(1);
    let keep = |seconds| Release::Keep(at(seconds));
    let (resolved, handled) = (Release::Drop(Ending::ResolvedWhileHeld), Release::Drop(Ending::HandledInAzure));
    let gathers = Release::Join(Duration::from_secs(5));
    for (ways, expected) in [
        (&[][..], Release::Raise),
        (&[Resolved], resolved),
        (&[Handled], handled),
        (&[Grace], keep(GRACE_END)),
        (&[OpenWindow], keep(WINDOW_END)),
        (&[WindowOver], gathers),
        (&[Storm], Release::Join(minute)),
        (&[Alone], Release::Raise),
        (&[Resolved, Handled], resolved),
        (&[Resolved, Grace], resolved),
        (&[Resolved, OpenWindow], resolved),
        (&[Resolved, WindowOver], resolved),
        (&[Resolved, Storm], resolved),
        (&[Resolved, Alone], resolved),
        (&[Handled, Grace], handled),
        (&[Handled, OpenWindow], handled),
        (&[Handled, WindowOver], handled),
        (&[Handled, Storm], handled),
        (&[Handled, Alone], handled),
        (&[Grace, OpenWindow], keep(GRACE_END)),
        (&[Grace, WindowOver], keep(GRACE_END)),
        (&[Grace, Storm], keep(GRACE_END)),
        (&[OpenWindow, WindowOver], keep(WINDOW_END)),
        (&[OpenWindow, Storm], keep(WINDOW_END)),
        (&[WindowOver, Storm], gathers),
        (&[Alone, Grace], keep(GRACE_END)),
        (&[Alone, OpenWindow], keep(WINDOW_END)),
        (&[Alone, WindowOver], Release::Raise),
        (&[Alone, Storm], Release::Raise),
        (&[NoStorms, Resolved], resolved),
        (&[NoStorms, Handled], handled),
        (&[NoStorms, Grace], keep(GRACE_END)),
        (&[NoStorms, OpenWindow], keep(WINDOW_END)),
        (&[NoStorms, WindowOver], Release::Raise),
        (&[NoStorms, Storm], Release::Raise),
        (&[NoStorms, Alone], Release::Raise),
    ] {
        assert_eq!(judged(ways), expected, "{ways:?}");
    }
}

/// Nobody was there to raise it at its time; the wait that was wanted makes no page late.
#[test]
fn a_page_that_was_held_is_late_from_the_end_of_its_grace_or_window() {
    let minutes = Duration::from_mins;
    let window = |end| Window {
        name: "patching".to_owned(),
        file: "test.toml".to_owned(),
        line: 1,
        criteria: Criteria::default(),
        times: Times::Once { start: at(0), end: at(end) },
    };
    for (grace, windows, released, since) in [
        (minutes(2), vec![], 120, 120),
        (minutes(2), vec![], 1_500, 120),
        (minutes(0), vec![window(600)], 600, 600),
        (minutes(0), vec![window(600)], 1_500, 600),
        (minutes(2), vec![window(600)], 1_500, 600),
        (minutes(20), vec![window(600)], 1_500, 1_200),
    ] {
        let mut world = World::new(rules(vec![route("all", "ops", Policy { grace, ..Policy::default() })]));
        world.rules.windows = windows;
        assert_eq!(world.fired(0), Reason::Held);
        world.now = at(released);
        let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::GraceEnded };
        assert_eq!(world.hear(timer), Reason::GraceEnded, "{grace:?} {released}");
        let Call::Raise { origin: Some(origin), .. } = &world.known.open[0].call else { panic!("{:?}", world.owed()) };
        assert_eq!(origin.since, at(since), "{grace:?} {released}");
    }
}

#[test]
fn a_page_in_grace_that_a_window_catches_waits_for_the_window() {
    let grace = Duration::from_mins(2);
    let mut world = World::new(rules(vec![route("all", "ops", Policy { grace, ..Policy::default() })]));
    // Open when the grace ends, and not before; another follows it without a gap.
    for (name, start, end) in [("first", 60, 600), ("second", 600, 900)] {
        world.rules.windows.push(Window {
            name: name.to_owned(),
            file: "test.toml".to_owned(),
            line: 1,
            criteria: Criteria::default(),
            times: Times::Once { start: at(start), end: at(end) },
        });
    }
    assert_eq!(world.fired(0), Reason::Held);
    assert_eq!(world.phase(1), Phase::Held { until: at(900) });
    assert_eq!(world.known.pages[0].window.as_deref(), Some("second"));
    assert_eq!(world.resolved(0), Reason::ResolvedBeforePaged, "Resolved passes");
    assert_eq!(world.owed(), [""; 0]);
}
