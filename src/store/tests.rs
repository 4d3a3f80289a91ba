//! The contract of the store: one attempt at a time in a lane, a fence that nobody passes twice, and trouble that stays
//! with the one command or row that has it.

mod holding;
mod plans;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::domain::decide::Owed;
use crate::domain::delivery::{AzureState, Call, Learned, Outcome};
use crate::domain::event::Notification;
use crate::domain::id::{AlertId, ConnectionName, ExternalId, TeamName};
use crate::domain::page::Alert;
use crate::domain::reading::{Found, Polled, Raises};

const LEASE: Duration = Duration::from_secs(91);

struct Bench {
    store: Store,
    leased: mpsc::UnboundedReceiver<Vec<Delivery>>,
    clock: Clock,
    folder: tempfile::TempDir,
}

impl Bench {
    /// A store whose judge owes a Raise for each event, and a Resolve behind it where the event says `both`.
    fn open() -> Self {
        Self::with(Slots::stepped(64, 64))
    }

    fn with(slots: Slots) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_millis(1_790_000_000_000));
        let duties = Duties {
            judge: Box::new(|_, event, now| {
                if matches!(event.kind, EventKind::Timer { .. }) {
                    return writer::nothing(Reason::TimerVoid);
                }
                let EventKind::Ignored { team, why } = &event.kind else { panic!("only these are sent") };
                assert_ne!(*why, "panic", "a planted fault");
                let page = ExternalId::of(&AlertKey::synthetic("test", &event.id.to_string()), 1);
                let raise =
                    Call::Raise { team: team.clone(), page: page.clone(), body: serde_json::json!({}), origin: None };
                let mut owed = vec![Owed { call: raise, due: now }];
                if *why == "both" {
                    owed.push(Owed { call: Call::Resolve { team: team.clone(), page }, due: now });
                }
                Verdict { owed, ..writer::nothing(Reason::NoConsequence) }
            }),
            record: Box::new(|_, _, _| writer::nothing(Reason::Confirmed)),
        };
        let opened = Store::open(&folder.path().join("bridge.db"), clock.clone(), slots, duties).unwrap();
        Self { store: opened.store, leased: opened.leased, clock, folder }
    }

    async fn hear(&self, team: &str, why: &'static str) -> Receipt {
        self.try_hear(team, why).await.unwrap()
    }

    async fn try_hear(&self, team: &str, why: &'static str) -> Result<Receipt, StoreError> {
        let team = TeamName::parse(team).unwrap();
        let incoming = Incoming {
            kind: EventKind::Ignored { team, why },
            side: Side::Signl4,
            source: "test".to_owned(),
            body: Bytes::from_static(b"body"),
            headers: BTreeMap::new(),
        };
        self.store.intake(incoming).await
    }

    async fn claim(&self) -> Vec<Delivery> {
        self.store.claim(100).await.unwrap().deliveries
    }

    async fn record(&self, delivery: &Delivery, outcome: Outcome, begun_at: Timestamp) -> Recorded {
        let taken = matches!(outcome, Outcome::Accepted);
        let next = if taken { Next::Done } else { Next::Again { due: self.clock.now() } };
        let attempted =
            Attempted { outcome, learned: Learned::default(), note: String::new(), possibly_doubled: false };
        self.store.slots().give_back(&Place::of(delivery), self.clock.now());
        self.store.record(Finish { delivery: delivery.clone(), attempted, next, begun_at }).await.unwrap()
    }
}

#[tokio::test]
async fn a_lane_gives_one_delivery_at_a_time_in_order() {
    let bench = Bench::open();
    bench.hear("ops", "both").await;
    let first = bench.claim().await;
    assert_eq!(first.iter().map(|it| it.call.kind().as_str()).collect::<Vec<_>>(), ["raise"]);
    assert!(bench.claim().await.is_empty(), "while it is under way");
    assert_eq!(bench.record(&first[0], Outcome::Accepted, bench.clock.now()).await, Recorded::Ours);
    assert_eq!(bench.claim().await[0].call.kind().as_str(), "resolve");
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_its_old_holder_records_nothing() {
    let bench = Bench::open();
    bench.hear("ops", "").await;
    let first = bench.claim().await.remove(0);
    assert_eq!((first.attempt, first.uncertain), (1, false));
    bench.clock.advance(LEASE);
    let second = bench.claim().await.remove(0);
    assert_eq!((second.attempt, second.uncertain), (2, true), "the first may have arrived");
    assert_eq!(bench.record(&first, Outcome::Accepted, bench.clock.now()).await, Recorded::Overtaken);
    assert_eq!(bench.record(&second, Outcome::Accepted, bench.clock.now()).await, Recorded::Ours);
    assert_eq!(bench.record(&second, Outcome::Accepted, bench.clock.now()).await, Recorded::Overtaken, "once");
}

#[tokio::test]
async fn a_fault_while_judging_costs_only_its_own_event() {
    let bench = Bench::open();
    let (bad, good) = tokio::join!(bench.hear("ops", "panic"), bench.hear("ops", ""));
    assert_ne!(bad.event, good.event);
    assert_eq!(bench.store.events(10).await.unwrap().len(), 2, "both are kept");
    assert!(!bench.claim().await.is_empty());
}

fn notification() -> Notification {
    let text = serde_json::json!({
        "id": AlertId::parse("/subscriptions/4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604/providers/Microsoft.AlertsManagement/alerts/1"),
        "condition": "fired", "fired_at": Timestamp::from_millis(5), "targets": [], "items": [], "custom": {},
        "detail": {"kind": "other"}, "digest": "",
    });
    serde_json::from_value(text).unwrap()
}

/// A store with this judge hears the same event twice.
async fn twice(
    judge: impl Fn(&Known, &Event, Timestamp) -> Verdict + Send + 'static,
    kind: impl Fn(ConnectionName, Box<Notification>) -> EventKind,
) -> (Receipt, Receipt) {
    let duties = Duties { judge: Box::new(judge), record: Box::new(|_, _, _| writer::nothing(Reason::Confirmed)) };
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_790_000_000_000));
    let store = Store::open(&folder.path().join("bridge.db"), clock, Slots::stepped(4, 4), duties).unwrap().store;
    let incoming = Incoming {
        kind: kind(ConnectionName::parse("contoso").unwrap(), Box::new(notification())),
        side: Side::Azure,
        source: "contoso".to_owned(),
        body: Bytes::from_static(b"body"),
        headers: BTreeMap::new(),
    };
    (store.intake(incoming.clone()).await.unwrap(), store.intake(incoming).await.unwrap())
}

/// Whoever had it in hand may let go of it, and then the next poll tells of the same firing.
#[tokio::test]
async fn what_a_poll_told_too_late_is_no_repeat_when_it_is_told_again() {
    let polled = |connection, notification: Box<Notification>| {
        let found = Found::Fired(Raises::WebhookMissing);
        let state = AzureState::New;
        let notification = *notification;
        let polled = Polled { found, notification, state, modified_at: None, modified_by: None };
        EventKind::Polled { connection, polled: Box::new(polled) }
    };
    for (reason, seen_before) in [(Reason::Stale, false), (Reason::InHand, false), (Reason::Raised, true)] {
        let (_, again) = twice(move |_, _, _| writer::nothing(reason), polled).await;
        assert_eq!(again.seen_before, seen_before, "{reason:?}");
    }
    let called = |connection, notification| EventKind::Azure { connection, notification };
    let (_, again) = twice(|_, _, _| writer::nothing(Reason::Stale), called).await;
    assert!(again.seen_before, "a webhook that Azure repeats");
}

/// It is kept as one that nobody could read, and its repeat is still known by what came.
#[tokio::test]
async fn a_repeat_of_what_could_not_be_judged_is_one() {
    let judge = |_: &Known, event: &Event, now: Timestamp| {
        let EventKind::Unreadable { connection, .. } = &event.kind else { panic!("a planted fault") };
        let alert = Alert::begun(event.kind.alert_key(now).unwrap(), connection.clone(), now);
        Verdict { alert: Some(alert), ..writer::nothing(Reason::Unreadable) }
    };
    let (first, again) = twice(judge, |connection, notification| EventKind::Azure { connection, notification }).await;
    assert_eq!((first.reason, first.seen_before), (Reason::Unreadable, false));
    assert_eq!((again.event, again.seen_before), (first.event, true));
}

#[tokio::test]
async fn a_row_that_nobody_can_read_holds_up_nothing_else() {
    let bench = Bench::open();
    bench.hear("ops", "").await;
    bench.hear("dba", "").await;
    let other = rusqlite::Connection::open(bench.folder.path().join("bridge.db")).unwrap();
    other.execute("UPDATE delivery SET call = '{\"call\":\"of a later version\"}' WHERE seq = 1", []).unwrap();
    other
        .execute("INSERT INTO timer (page, alert, kind, due) VALUES ('p', 'a', '\"of_a_later_version\"', 0)", [])
        .unwrap();
    bench.store.ring_timers().await.unwrap();
    assert_eq!(bench.claim().await.len(), 1);
    assert_eq!(bench.store.slots().in_flight(), 1, "no slot is lost");
    assert_eq!(bench.store.health().await.unwrap().dead, 1, "it waits for a person");
    assert_eq!(bench.store.deliveries(Some("dead"), 10).await.unwrap().len(), 1, "who can see it");
}

#[tokio::test]
async fn a_timer_that_fails_keeps_no_other_from_ringing() {
    let bench = Bench::open();
    let other = rusqlite::Connection::open(bench.folder.path().join("bridge.db")).unwrap();
    let plant = |page: &str, due: i64| {
        let sql = "INSERT INTO timer (page, alert, kind, due) VALUES (?1, 'a', '\"grace_ended\"', ?2)";
        other.execute(sql, (page, due)).unwrap();
    };
    // What it would write is refused.
    other
        .execute_batch(
            "CREATE TRIGGER fails BEFORE INSERT ON event WHEN new.page = 'bad' BEGIN SELECT raise(ABORT, 'planted'); END",
        )
        .unwrap();
    plant("bad", 0);
    plant("good", 1);
    bench.store.ring_timers().await.unwrap();
    let left: Vec<(String, i64)> = other
        .prepare("SELECT page, due FROM timer")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].0 == "bad" && left[0].1 > bench.clock.now().as_millis(), "it rings again later: {left:?}");
    assert_eq!(bench.store.events(10).await.unwrap().len(), 1, "the other has rung");
    assert_eq!(bench.store.ring_timers().await.unwrap(), 0);
}

#[tokio::test]
async fn a_wish_to_wait_is_not_lifted_by_an_attempt_that_began_before_it() {
    let bench = Bench::open();
    for _ in 0..3 {
        bench.hear("ops", "").await;
    }
    let begun_at = bench.clock.now();
    let claimed = bench.claim().await;
    bench.clock.advance(Duration::from_secs(1));
    bench.record(&claimed[0], Outcome::Busy { after: Some(Duration::from_mins(1)) }, begun_at).await;
    bench.record(&claimed[1], Outcome::Accepted, begun_at).await;
    bench.record(&claimed[2], Outcome::Unsent, begun_at).await;
    assert!(bench.claim().await.is_empty(), "the destination asked us to wait");
    bench.clock.advance(Duration::from_mins(1));
    assert_eq!(bench.claim().await.len(), 2);
}

#[tokio::test]
async fn a_paused_team_gets_no_page_by_way_of_a_probe() {
    let bench = Bench::open();
    bench.hear("ops", "both").await;
    let raise = bench.claim().await.remove(0);
    bench.record(&raise, Outcome::Accepted, bench.clock.now()).await;
    bench.hear("ops", "").await;
    let destination = raise.call.destination();
    let until = bench.clock.now().plus(Duration::from_hours(1));
    bench.store.change(Change::Pause { destination, until }).await.unwrap();
    let resolve = bench.claim().await.remove(0);
    bench.record(&resolve, Outcome::Denied { status: 404 }, bench.clock.now()).await;
    bench.clock.advance(Duration::from_mins(2));
    let probe = bench.claim().await;
    assert_eq!(probe.iter().map(|it| it.call.kind().as_str()).collect::<Vec<_>>(), ["resolve"]);
}

#[tokio::test]
async fn a_hiccup_of_one_command_undoes_nothing_of_the_others() {
    let bench = Bench::open();
    bench.hear("ops", "").await;
    let other = rusqlite::Connection::open(bench.folder.path().join("bridge.db")).unwrap();
    other.execute_batch("ALTER TABLE pulse RENAME TO hidden").unwrap();
    let (pulse, claimed) = tokio::join!(bench.store.change(Change::Pulse), bench.store.claim(10));
    assert!(pulse.is_err());
    assert_eq!(claimed.unwrap().deliveries.len(), 1);
}
