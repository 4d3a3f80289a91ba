//! Rounds of crashes: the real binary under load from both sides, killed at random moments and at every point around a commit, a send
//! and a record, started again, and at the end compared with both services' own logs, id by id.
//!
//! `./dev faults --rounds 300 --seed 7` plays a long run; a seed that failed plays the same decisions again.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Fault};
use tokio_util::sync::CancellationToken;

use super::books::{Tally, compare};
use super::life::live;
use super::process::{Ground, Process};

/// After so many crashes the books are compared, because what was under way at one is settled only 15 seconds later.
const ROUNDS_OF_A_SERIES: u32 = 20;
const POINTS: [&str; 5] = ["before_commit", "after_commit", "before_send", "after_send", "after_record"];
/// In so many rounds each of these is met, or the rounds would say little.
const MANY: u32 = 40;
const TO_BE_MET: [&str; 5] = ["raised", "held", "joined_digest", "acknowledged: acknowledged", "closed: closed"];
/// For a failpoint that is not passed often enough.
const LONGEST_ROUND: Duration = Duration::from_millis(900);
/// Two of the bridge's own waits for what may have arrived, and some work.
const DRAINED_WITHIN: Duration = Duration::from_mins(2);

struct Series {
    /// An odd one has pages that are held and digests.
    seed: u64,
    rounds: u32,
}

impl Series {
    /// How often the process ended in which way, and what the books say; or what is wrong with them.
    async fn play(&self) -> Result<(BTreeMap<String, u32>, Tally), Vec<String>> {
        let mut chance = Rng::with_seed(self.seed);
        // Without an API key nobody can look a page up: then some may be doubled.
        let api = chance.u8(0..3) > 0;
        let ground = Ground::with_ports(api, self.seed % 2 == 1).await;
        patient(&ground);
        let (mut ends, mut doubts, mut unsaid) = (BTreeMap::new(), 0, 0);
        for number in 1..=self.rounds {
            // Whatever panics in it: this was printed before.
            report(&format!("round {number} of: ./dev faults --rounds {} --seed {}", self.rounds, self.seed));
            let end = round(&ground, api, &mut chance, &mut doubts).await;
            if end != "stopped" {
                unsaid += cut_off_in_doubt(&ground);
            }
            *ends.entry(end).or_default() += 1;
        }
        ground.scene.azure.faults().clear();
        ground.scene.signl4.faults().clear();
        ground.scene.signl4.webhooks().lose_next(0);
        let mut last = ground.start();
        let drained = tokio::time::timeout(DRAINED_WITHIN, drained(&ground, &last)).await;
        if drained.is_err() {
            let (_, ready) = last.readyz(&ground.http).await;
            return Err(vec![format!("not drained: {ready}")]);
        }
        let said = last.said("WARN").iter().filter(|line| line.contains("may be doubled")).count();
        let counted = last.metric(&ground.http, "bridge_pages_possibly_doubled_total").await;
        doubts += said;
        let audit: Vec<serde_json::Value> =
            ground.http.get(format!("{}/api/audit", last.admin)).send().await.unwrap().json().await.unwrap();
        let mut wrong: Vec<String> = audit.iter().map(ToString::to_string).collect();
        if last.stop() != Some(0) {
            wrong.push("the last stop was not orderly".to_owned());
        }
        if counted != u64::try_from(said).unwrap() {
            wrong.push(format!("{counted} pages counted as possibly doubled, and {said} said"));
        }
        let tally = compare(&ground, api, &mut wrong);
        // What was sent again just before a kill may have arrived and not have been said.
        if tally.doubled > doubts + unsaid {
            wrong.push(format!("{} pages doubled, {doubts} said to be in doubt, {unsaid} cut off", tally.doubled));
        }
        if wrong.is_empty() { Ok((ends, Tally { doubts, ..tally })) } else { Err(wrong) }
    }
}

/// Azure comes again until the bridge is back, SIGNL4 as often as is assumed of it.
fn patient(ground: &Ground) {
    let mut schedule = ground.scene.azure.webhooks().schedule();
    schedule.delays = vec![Duration::from_millis(150); 400];
    schedule.blackout = None;
    ground.scene.azure.webhooks().set_schedule(schedule);
}

/// One life of the process; how it ended.
async fn round(ground: &Ground, api: bool, chance: &mut Rng, doubts: &mut usize) -> String {
    disturb(ground, api, chance);
    let mut command = ground.command();
    let manner = chance.u8(0..10);
    let point = (4..9).contains(&manner).then(|| POINTS[chance.usize(0..POINTS.len())]);
    if let Some(point) = point {
        command.env("BRIDGE_FAILPOINT", format!("{point}:{}", chance.u32(1..30)));
    }
    let mut process = ground.start_as(command);
    let over = CancellationToken::new();
    let life = tokio::spawn(live(ground.scene.clone(), Rng::with_seed(chance.u64(..)), over.clone()));
    let moment = Duration::from_millis(chance.u64(10..700));
    let end = match point {
        Some(point) => {
            let died = async {
                while !process.has_ended() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            match tokio::time::timeout(LONGEST_ROUND, died).await {
                Ok(()) => point.to_owned(),
                Err(_) => "killed".to_owned(),
            }
        }
        None if manner == 9 => {
            tokio::time::sleep(moment).await;
            assert_eq!(process.stop(), Some(0));
            "stopped".to_owned()
        }
        None => {
            tokio::time::sleep(moment).await;
            "killed".to_owned()
        }
    };
    process.kill();
    over.cancel();
    life.await.unwrap();
    *doubts += process.said("WARN").iter().filter(|line| line.contains("may be doubled")).count();
    end
}

/// Raises that were under way when the process died, and that may have arrived before.
fn cut_off_in_doubt(ground: &Ground) -> usize {
    let store = rusqlite::Connection::open(ground.database()).unwrap();
    let sql = "SELECT count(*) FROM delivery WHERE kind = 'raise' AND state = 1 AND uncertain = 1";
    let count: i64 = store.query_row(sql, [], |row| row.get(0)).unwrap();
    usize::try_from(count).unwrap()
}

/// In some rounds the network has faults of its own.
fn disturb(ground: &Ground, api: bool, chance: &mut Rng) {
    ground.scene.signl4.webhooks().lose_next(0);
    let (azure, signl4) = (ground.scene.azure.faults(), ground.scene.signl4.faults());
    let times = chance.u32(1..6);
    match chance.u8(0..20) {
        0 => signl4.plan(Fault::new(Action::CutProcessed).on(Operation::Webhook).times(times)),
        1 => signl4.plan(Fault::new(Action::CutUnprocessed).on(Operation::Webhook).times(times)),
        2 => signl4.plan(Fault::status(503).on(Operation::Webhook).times(times)),
        3 => signl4.plan(Fault::late_answer(Duration::from_millis(300)).times(20)),
        4 => azure.plan(Fault::new(Action::CutProcessed).on(Operation::ChangeState).times(times)),
        5 => azure.plan(Fault::status(500).on(Operation::ChangeState).times(times)),
        6 => azure.plan(Fault::new(Action::CutMidBody).on(Operation::GetAlert).times(times)),
        7 | 8 => ground.scene.signl4.webhooks().lose_next(10 * times),
        // Without its events and without a key nobody can know whether a page arrived.
        9..14 if !api => ground.scene.signl4.webhooks().lose_next(u32::MAX),
        _ => {}
    }
}

/// Nothing is under way any more, on either side.
async fn drained(ground: &Ground, process: &Process) {
    let quiet = || ground.scene.azure.webhooks().in_flight() + ground.scene.signl4.webhooks().in_flight() == 0;
    loop {
        let before = quiet();
        let (_, ready) = process.readyz(&ground.http).await;
        if before && quiet() && ready["due"] == 0 && ready["leased"] == 0 && ready["timers"] == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn wished<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_doubled_over_crashes_at_any_moment() {
    let rounds: u32 = wished("BRIDGE_FAULT_ROUNDS").unwrap_or(12);
    let seed: u64 = wished("BRIDGE_FAULT_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut seeds = Rng::with_seed(seed);
    // A seed that was asked for plays the series that it was printed for; without one, both kinds of series are played.
    let longest = if wished::<u64>("BRIDGE_FAULT_SEED").is_some() { rounds } else { rounds.div_ceil(2) };
    let longest = longest.min(ROUNDS_OF_A_SERIES);
    let mut number = seed;
    let (mut ends, mut sum) = (BTreeMap::<String, u32>::new(), Tally::default());
    let mut left = rounds;
    while left > 0 {
        // The first series has the seed that was asked for, so that its own seed plays it again.
        let seed = if left == rounds { seed } else { seeds.u64(..) & !1 | number & 1 };
        number = number.wrapping_add(1);
        let series = Series { seed, rounds: left.min(longest) };
        match series.play().await {
            Ok((ended, tally)) => {
                for (how, times) in ended {
                    *ends.entry(how).or_default() += times;
                }
                sum.add(&tally);
            }
            Err(wrong) => panic!(
                "again with: ./dev faults --rounds {} --seed {seed}\n{} things are wrong:\n{}",
                series.rounds,
                wrong.len(),
                wrong.join("\n")
            ),
        }
        left -= series.rounds;
    }
    report(&format!("{rounds} rounds, seed {seed}, ended: {ends:?}\n{sum}"));
    if rounds >= MANY {
        let met = |reason: &&str| sum.reasons.contains_key(*reason);
        let missing: Vec<&str> = TO_BE_MET.into_iter().filter(|reason| !met(reason)).collect();
        assert!(missing.is_empty() && sum.joined > 0, "the rounds are not what they were: none of {missing:?}\n{sum}");
    }
}

#[expect(clippy::print_stdout, reason = "what `./dev faults` is asked for")]
fn report(text: &str) {
    println!("{text}");
}
