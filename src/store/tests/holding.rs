//! What keeps a delivery from going out: the pace of its account, a destination that is out of reach, one that has not
//! shown yet that it takes us.

use super::*;
use crate::domain::delivery::Destination;
use crate::domain::hold::FEW;
use crate::domain::pace::{Events, Pace};
use crate::paces::Paces;

fn team(name: &str) -> Destination {
    Destination::team(&TeamName::parse(name).unwrap())
}

/// Of the account of `ops` and `dba`.
fn paced(per_15s: u32) -> Arc<Paces> {
    let pace = Pace::signl4(Events { per_15s, per_minute: 600 });
    Arc::new(Paces::of(pace, &[team("ops"), team("dba")]))
}

impl Bench {
    /// Shows the store that the team takes us.
    async fn prove(&mut self, name: &str) {
        self.hear(name, "").await;
        let delivery = match self.leased.try_recv() {
            Ok(mut handed) => handed.remove(0),
            Err(_) => self.claim().await.remove(0),
        };
        self.record(&delivery, Outcome::Accepted, self.clock.now()).await;
    }

    fn after(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    fn handed(&mut self) -> Vec<Delivery> {
        std::iter::from_fn(|| self.leased.try_recv().ok()).flatten().collect()
    }
}

fn kinds(deliveries: &[Delivery]) -> Vec<&'static str> {
    deliveries.iter().map(|it| it.call.kind().as_str()).collect()
}

#[tokio::test]
async fn no_attempt_begins_without_its_part_of_the_accounts_pace() {
    let mut bench = Bench::with(Slots::stepped(64, 64).paced(paced(10)));
    bench.prove("ops").await;
    bench.prove("dba").await;
    for number in 0..20 {
        bench.hear(if number % 2 == 0 { "ops" } else { "dba" }, "").await;
    }
    let first = bench.store.claim(100).await.unwrap();
    assert_eq!(first.deliveries.len(), 8, "ten less the two that went before, over both teams");
    assert!(first.next_due.is_some_and(|due| due > bench.clock.now()));
    for delivery in &first.deliveries {
        bench.record(delivery, Outcome::Accepted, bench.clock.now()).await;
    }
    bench.after(14);
    assert!(bench.claim().await.is_empty());
    let due = bench.store.claim(100).await.unwrap().next_due.unwrap();
    assert_eq!(due, bench.clock.now().plus(Duration::from_secs(1)), "when the first comes back");
    bench.after(1);
    assert_eq!(bench.claim().await.len(), 10);
}

#[tokio::test]
async fn whoever_waits_for_the_pace_is_overtaken_by_nobody_who_comes_later() {
    let mut bench = Bench::with(Slots::new(64, 64).paced(paced(3)));
    bench.prove("ops").await;
    for _ in 0..3 {
        bench.hear("ops", "").await;
    }
    let handed = bench.handed();
    assert_eq!(handed.len(), 2, "with the commit");
    for delivery in &handed {
        bench.record(delivery, Outcome::Accepted, bench.clock.now()).await;
    }
    bench.after(15);
    bench.hear("dba", "").await;
    assert_eq!(bench.handed().len(), 0, "another of the account was there before");
    let claimed = bench.claim().await;
    assert_eq!(claimed.iter().map(|it| it.call.destination()).collect::<Vec<_>>(), [team("ops"), team("dba")]);
    for delivery in &claimed {
        bench.record(delivery, Outcome::Accepted, bench.clock.now()).await;
    }
    bench.after(60);
    assert!(bench.claim().await.is_empty());
    bench.hear("dba", "").await;
    assert_eq!(bench.handed().len(), 1, "and when all have gone, it is handed over as ever");
}

#[tokio::test]
async fn under_pace_pages_go_before_resolves_but_for_one_in_ten() {
    let mut bench = Bench::with(Slots::stepped(200, 200).paced(paced(100)));
    bench.prove("ops").await;
    bench.prove("dba").await;
    for _ in 0..30 {
        bench.hear("ops", "both").await;
    }
    let raised = bench.claim().await;
    assert_eq!(raised.len(), 30);
    for delivery in &raised {
        bench.record(delivery, Outcome::Accepted, bench.clock.now()).await;
    }
    for _ in 0..200 {
        bench.hear("dba", "").await;
    }
    bench.after(15);
    let mut sent = Vec::new();
    for _ in 0..5 {
        let claimed = bench.claim().await;
        for delivery in &claimed {
            bench.record(delivery, Outcome::Accepted, bench.clock.now()).await;
        }
        sent.extend(kinds(&claimed));
        bench.after(15);
    }
    let last_resolve = sent.iter().rposition(|kind| *kind == "resolve").unwrap();
    let before = sent.iter().take(100).filter(|kind| **kind == "resolve").count();
    assert!((8..=12).contains(&before), "{before} of the first hundred");
    assert!(last_resolve > 200, "and not more than their share while pages wait");
    assert_eq!(sent.len(), 230);
}

#[tokio::test]
async fn out_of_reach_only_probes_go_out_and_then_all_at_once_the_oldest_first() {
    let mut bench = Bench::open();
    bench.prove("ops").await;
    for _ in 0..20 {
        bench.hear("ops", "").await;
        bench.after(1);
    }
    let claimed = bench.store.claim(5).await.unwrap().deliveries;
    for delivery in &claimed {
        bench.record(delivery, Outcome::Unsent, bench.clock.now()).await;
    }
    assert!(bench.claim().await.is_empty(), "out of reach");
    let hold = bench.store.health().await.unwrap().holds.remove(0);
    assert_eq!(hold.open_since, Some(bench.clock.now()));
    bench.after(5);
    let probe = bench.claim().await;
    assert_eq!(probe.len(), 1);
    assert!(bench.claim().await.is_empty(), "one at a time");
    bench.record(&probe[0], Outcome::Unsent, bench.clock.now()).await;
    bench.after(10);
    let probe = bench.claim().await;
    bench.record(&probe[0], Outcome::Accepted, bench.clock.now()).await;
    let rest = bench.claim().await;
    assert_eq!(rest.len(), 19, "none of them waits for a backoff of its own");
    let ages: Vec<Timestamp> = rest.iter().map(|it| it.created_at).collect();
    assert!(ages.is_sorted(), "{ages:?}");
    let untried = rest.iter().filter(|it| it.attempt == 1).count();
    assert!(untried >= 14, "what waited behind it was not tried: {untried}");
}

#[tokio::test]
async fn one_delivery_that_never_gets_through_does_not_keep_its_destination_out_of_reach() {
    let mut bench = Bench::open();
    bench.prove("ops").await;
    bench.hear("ops", "").await;
    let mut bad = bench.claim().await.remove(0);
    for _ in 0..4 {
        bench.record(&bad, Outcome::Busy { after: None }, bench.clock.now()).await;
        bad = bench.claim().await.remove(0);
    }
    bench.record(&bad, Outcome::Busy { after: None }, bench.clock.now()).await;
    bench.hear("ops", "").await;
    for _ in 0..3 {
        bench.after(10);
        for delivery in bench.claim().await {
            let outcome = if delivery.id == bad.id { Outcome::Busy { after: None } } else { Outcome::Accepted };
            bench.record(&delivery, outcome, bench.clock.now()).await;
        }
    }
    assert_eq!(bench.store.deliveries(Some("done"), 10).await.unwrap().len(), 2, "the other got through");
}

#[tokio::test]
async fn a_raise_that_may_have_arrived_waits_for_signl4s_word_also_where_all_else_goes_at_once() {
    let mut bench = Bench::open();
    bench.prove("ops").await;
    for _ in 0..5 {
        bench.hear("ops", "").await;
    }
    for delivery in bench.claim().await {
        let next = Next::Again { due: bench.clock.now().plus(Duration::from_mins(5)) };
        let outcome = Outcome::Unknown;
        let attempted =
            Attempted { outcome, learned: Learned::default(), note: String::new(), possibly_doubled: false };
        bench.store.slots().give_back(&Place::of(&delivery), bench.clock.now());
        bench.store.record(Finish { delivery, attempted, next, begun_at: bench.clock.now() }).await.unwrap();
    }
    bench.hear("ops", "").await;
    bench.after(5);
    let probe = bench.claim().await;
    assert_eq!((probe.len(), probe[0].uncertain), (1, false));
    bench.record(&probe[0], Outcome::Accepted, bench.clock.now()).await;
    bench.after(9);
    assert!(bench.claim().await.is_empty(), "14 s after their attempt");
    bench.after(1);
    assert_eq!(bench.claim().await.len(), 5, "and not after the five minutes of their backoff");
}

#[tokio::test]
async fn a_destination_that_has_not_shown_that_it_takes_us_gets_few_at_once() {
    for slots in [Slots::stepped(64, 48), Slots::new(64, 48)] {
        let mut bench = Bench::with(slots);
        for _ in 0..60 {
            bench.hear("ops", "").await;
        }
        let mut begun = bench.handed();
        begun.extend(bench.claim().await);
        assert_eq!(begun.len(), FEW);
        bench.record(&begun[0], Outcome::Accepted, bench.clock.now()).await;
        assert_eq!(bench.claim().await.len(), 48 - (FEW - 1), "it has");
    }
}

#[tokio::test]
async fn a_claim_is_asked_for_when_a_destination_is_back_or_has_shown_that_it_takes_us() {
    let bench = Bench::open();
    for _ in 0..8 {
        bench.hear("ops", "").await;
    }
    let asked_for = async |bench: &Bench| {
        tokio::time::timeout(Duration::from_millis(10), bench.store.slots().work().notified()).await.is_ok()
    };
    assert!(asked_for(&bench).await, "there is something new");
    let mut begun = bench.claim().await;
    assert_eq!(begun.len(), FEW);
    bench.record(&begun.remove(0), Outcome::Accepted, bench.clock.now()).await;
    // The store's answer comes before the slot is given back, and that asks.
    bench.store.slots().give_back(&Place::of(&begun[0]), bench.clock.now());
    assert!(asked_for(&bench).await, "more than a few may go now");
    for delivery in bench.claim().await.iter().chain(&begun) {
        bench.record(delivery, Outcome::Unsent, bench.clock.now()).await;
    }
    assert!(asked_for(&bench).await);
    bench.after(5);
    let claimed = bench.store.claim(100).await.unwrap();
    assert_eq!((claimed.deliveries.len(), claimed.next_due), (1, Some(bench.clock.now().plus(Duration::from_secs(5)))));
    bench.record(&claimed.deliveries[0], Outcome::Accepted, bench.clock.now()).await;
    assert!(asked_for(&bench).await, "it is back");
}

#[tokio::test]
async fn a_restart_is_no_way_around_the_pace() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::manual(Timestamp::from_millis(1_790_000_000_000));
    let open = |slots: Slots| {
        let judge: Judge = Box::new(|_, event, now| {
            let page = ExternalId::of(&AlertKey::synthetic("test", &event.id.to_string()), 1);
            let (team, body) = (TeamName::parse("ops").unwrap(), serde_json::json!({}));
            let call = Call::Raise { team, page, body, origin: None };
            Verdict { owed: vec![Owed { call, due: now }], ..writer::nothing(Reason::NoConsequence) }
        });
        let duties = Duties { judge, record: Box::new(|_, _, _| writer::nothing(Reason::Confirmed)) };
        Store::open(&folder.path().join("bridge.db"), clock.clone(), slots, duties).unwrap()
    };
    let stepped = || Slots::stepped(64, 64).paced(paced(6));
    let opened = open(stepped());
    let mut bench = Bench { store: opened.store, leased: opened.leased, clock: clock.clone(), folder };
    bench.prove("ops").await;
    for _ in 0..10 {
        bench.hear("ops", "").await;
    }
    let claimed = bench.claim().await;
    assert_eq!(claimed.len(), 5);
    bench.after(1);
    for delivery in claimed.iter().skip(1) {
        bench.record(delivery, Outcome::Accepted, clock.now()).await;
    }
    bench.store.stop();
    opened.writer.join().unwrap();
    let folder = bench.folder;
    let duties = Duties {
        judge: Box::new(|_, _, _| writer::nothing(Reason::NoConsequence)),
        record: Box::new(|_, _, _| writer::nothing(Reason::Confirmed)),
    };
    let opened = Store::open(&folder.path().join("bridge.db"), clock.clone(), stepped(), duties).unwrap();
    assert_eq!(opened.interrupted, 1);
    assert!(opened.store.claim(100).await.unwrap().deliveries.is_empty(), "five ended a second ago, one was under way");
    clock.advance(Duration::from_secs(14));
    assert_eq!(opened.store.claim(100).await.unwrap().deliveries.len(), 1, "the one of before");
}

/// What fails is tried once more, apart from what came with it.
#[tokio::test]
async fn a_delivery_that_could_not_be_stored_has_cost_nothing_of_the_pace() {
    let mut bench = Bench::with(Slots::new(64, 64).paced(paced(3)));
    bench.prove("ops").await;
    let other = rusqlite::Connection::open(bench.folder.path().join("bridge.db")).unwrap();
    let planted = "CREATE TRIGGER fails BEFORE INSERT ON delivery BEGIN SELECT raise(ABORT, 'planted'); END";
    other.execute_batch(planted).unwrap();
    assert!(bench.try_hear("ops", "").await.is_err());
    other.execute_batch("DROP TRIGGER fails").unwrap();
    for _ in 0..3 {
        bench.hear("ops", "").await;
    }
    assert_eq!(bench.handed().len(), 2, "three less the one that went before");
}
