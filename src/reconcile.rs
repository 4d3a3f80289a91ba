//! Polls both services, so that what a webhook lost is found and what no webhook tells is known.
//!
//! Each subscription of a connection and each team is a source of its own: asked at its own time, in a task of its own,
//! with its own failures. What a poll finds is compared with the ledger; only the differences become events, through the
//! same intake as webhooks, and only when they are durable the source counts as read. A poll that is lost, cut off or
//! repeated costs nothing but its calls.

mod azure;
mod budget;
mod catch_up;
mod gaps;
mod signl4;
mod source;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::gaps::Outages;
pub use self::source::{PollStatus, SourceName};

use self::azure::Sweep;
use self::budget::Lists;
use self::catch_up::CatchUps;
use self::gaps::Alive;
use self::signl4::Handled;
use self::source::{Due, Schedule};
use crate::alarm::Alarms;
use crate::clock::{Clock, Stopwatch};
use crate::config::Config;
use crate::domain::delivery::{Attempted, Outcome};
use crate::domain::timestamp::Timestamp;
use crate::egress::outcome::attempted;
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::worker::Outbound;

/// How often the loop looks which sources are due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A step of a source that takes longer is cut off; the source is asked again at its next time.
const LONGEST_STEP: Duration = Duration::from_secs(90);
/// Sources that are asked at once.
const AT_ONCE: usize = 32;
/// Pages of them that are read and compared with the ledger at once.
const COMPARED_AT_ONCE: usize = 8;
/// Of steps by hand: a source that never comes to rest is a fault.
const ROUNDS: usize = 1_000;

/// Polls all sources. Clones share everything.
#[derive(Clone, Debug)]
pub struct Reconciler {
    pub store: Store,
    pub outbound: Arc<ArcSwap<Outbound>>,
    pub config: Arc<ArcSwap<Config>>,
    pub telemetry: Arc<Telemetry>,
    pub alarms: Alarms,
    pub clock: Clock,
    pub outages: Arc<Outages>,
    shared: Arc<Shared>,
}

/// What the tasks of one reconciler share. It is memory only: lost, a sweep begins anew.
#[derive(Debug, Default)]
struct Shared {
    schedule: Mutex<Schedule>,
    sweeps: Mutex<BTreeMap<SourceName, Sweep>>,
    /// When the last poll that was read to its end began.
    read: Mutex<BTreeMap<SourceName, Timestamp>>,
    /// What of a team's list was read already.
    handled: Mutex<BTreeMap<SourceName, Handled>>,
    lists: Lists,
    compares: Compares,
    catch_ups: CatchUps,
    alive: Alive,
}

/// Pages that are read and compared with the ledger at the same time. They wait for nothing but the store, which more of them
/// would not hasten; each is in memory meanwhile, with all that it tells anew.
#[derive(Debug)]
struct Compares(Semaphore);

impl Default for Compares {
    fn default() -> Self {
        Self(Semaphore::new(COMPARED_AT_ONCE))
    }
}

/// How a step of a source ended.
#[derive(Debug)]
enum Stepped {
    /// Read to its end. `again`: something waits for its webhook until then.
    Read {
        again: Option<Timestamp>,
    },
    /// To be gone on with, because a limit of the service is reached.
    Parked {
        until: Timestamp,
    },
    Failed(Attempted),
}

impl Reconciler {
    pub fn new(
        store: Store,
        outbound: Arc<ArcSwap<Outbound>>,
        config: Arc<ArcSwap<Config>>,
        telemetry: Arc<Telemetry>,
        alarms: Alarms,
        clock: Clock,
    ) -> Self {
        Self { store, outbound, config, telemetry, alarms, clock, outages: Arc::default(), shared: Arc::default() }
    }

    /// Polls until told to stop. What is cut off then is found again at the next start.
    pub async fn run(self, stop: CancellationToken) {
        let mut steps: JoinSet<()> = JoinSet::new();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => {}
            }
            self.live(true).await;
            while steps.try_join_next().is_some() {}
            for due in self.due(AT_ONCE.saturating_sub(steps.len())) {
                let reconciler = self.clone();
                steps.spawn(async move { reconciler.poll(due).await });
            }
        }
    }

    /// One round by hand: what is due is polled, to its end. Says how many steps that took.
    pub async fn step(&self) -> usize {
        self.live(false).await;
        let mut count = 0;
        for _ in 0..ROUNDS {
            let due = self.due(usize::MAX);
            if due.is_empty() {
                break;
            }
            let mut steps: JoinSet<()> = JoinSet::new();
            for due in due {
                count += 1;
                let reconciler = self.clone();
                steps.spawn(async move { reconciler.poll(due).await });
            }
            steps.join_all().await;
        }
        count
    }

    /// How the polls of all sources stand.
    pub fn status(&self) -> Vec<PollStatus> {
        self.schedule(|schedule| schedule.status())
    }

    fn due(&self, most: usize) -> Vec<Due> {
        let (config, now) = (self.config.load_full(), self.clock.now());
        self.schedule(|schedule| {
            schedule.follow(&config, now);
            schedule.take_due(now, most)
        })
    }

    fn schedule<T>(&self, act: impl FnOnce(&mut Schedule) -> T) -> T {
        act(&mut self.shared.schedule.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn last_read(&self, source: &SourceName) -> Option<Timestamp> {
        self.shared.read.lock().unwrap_or_else(PoisonError::into_inner).get(source).copied()
    }

    fn was_read(&self, source: &SourceName, begun_at: Timestamp) {
        self.shared.read.lock().unwrap_or_else(PoisonError::into_inner).insert(source.clone(), begun_at);
    }

    /// One step of one source, and when it comes next.
    async fn poll(&self, due: Due) {
        let watch = Stopwatch::start();
        let source = due.source.clone();
        let reconciler = self.clone();
        let owned = due.clone();
        // A task of its own, so that a fault in there costs this step and not the source.
        let step = tokio::spawn(async move { reconciler.step_of(&owned).await });
        let abort = step.abort_handle();
        let stepped = match tokio::time::timeout(LONGEST_STEP, step).await {
            Ok(Ok(stepped)) => stepped,
            Ok(Err(_)) => Stepped::Failed(attempted(Outcome::OurFault, "a fault in the bridge")),
            Err(_) => {
                abort.abort();
                Stepped::Failed(attempted(Outcome::Unknown, "the poll took too long and was cut off"))
            }
        };
        self.ended(&source, due.every, stepped, watch).await;
    }

    async fn step_of(&self, due: &Due) -> Stepped {
        match &due.source {
            SourceName::Azure { connection, subscription } => self.sweep(due, connection, subscription).await,
            SourceName::Signl4 { team } => self.ask_team(due, team).await,
        }
    }

    async fn ended(&self, source: &SourceName, every: Duration, stepped: Stepped, watch: Stopwatch) {
        let (now, side) = (self.clock.now(), source.side().as_str());
        match stepped {
            Stepped::Read { again } => {
                self.telemetry.polled(side, "read", watch.elapsed());
                let back = self.schedule(|schedule| schedule.read(source, every, again, now));
                if let Some(since) = back {
                    tracing::info!(source = %source, since = %since, "polls succeed again");
                }
            }
            Stepped::Parked { until } => {
                self.schedule(|schedule| schedule.parked(source, until, now));
            }
            Stepped::Failed(failed) => {
                self.telemetry.polled(side, failed.outcome.name(), watch.elapsed());
                self.failed(source, every, &failed, now).await;
            }
        }
    }

    /// Only this source waits. The first failure is told; the others are counted.
    async fn failed(&self, source: &SourceName, every: Duration, failed: &Attempted, now: Timestamp) {
        let wait = match &failed.outcome {
            Outcome::Busy { after } => after.unwrap_or(every),
            Outcome::Accepted
            | Outcome::NotYet { .. }
            | Outcome::Unsent
            | Outcome::Unknown
            | Outcome::Refused { .. }
            | Outcome::Denied { .. }
            | Outcome::OurFault => every,
        };
        let (note, denied) = (&failed.note, matches!(failed.outcome, Outcome::Denied { .. }));
        let news = self.schedule(|schedule| schedule.failed(source, note, denied, wait, now));
        let Some(since) = news else {
            tracing::debug!(source = %source, note, "a poll fails still");
            return;
        };
        if denied {
            tracing::error!(
                source = %source, note,
                "a poll is refused: what happens there is known by webhook only, until it succeeds again"
            );
            self.alarms.not_polled(&source.to_string(), note, since).await;
        } else {
            tracing::warn!(source = %source, note, "a poll failed; it is repeated");
        }
    }
}
