//! The worker: claim → deliver → after → record.
//!
//! Everything it does is safe to lose: a claim is a lease with an attempt number, and every record carries that number as
//! a fence. If the process dies between sending and recording, the lease ends and the next claim knows that an earlier
//! attempt may have been received.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarm::Alarms;
use crate::azure::deliver::Azure;
use crate::clock::{Clock, Stopwatch};
use crate::domain::after::{Next, RetryPolicy, after};
use crate::domain::backoff::Roll;
use crate::domain::delivery::{Attempted, AzureState, AzureTarget, Call, Delivery, Destination, Learned, Outcome};
use crate::domain::id::{AlertKey, ExternalId, Side};
use crate::domain::late::{lateness, marked};
use crate::domain::timestamp::Timestamp;
use crate::failpoint;
use crate::signl4::deliver::Signl4;
use crate::store::{Claimed, Finish, Place, Recorded, Store, StoreError};
use crate::telemetry::Telemetry;

mod unrecorded;

pub use unrecorded::Unrecorded;

/// Deliveries of one claim.
const CLAIM: usize = 128;
/// Rounds of timers before the next claim.
const RINGS: usize = 8;
/// Without any sign of work the store is asked this often: a belt beside the braces.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Shorter than a lease, so that no second attempt begins beside the first.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(75);
const RECORD_REST: Duration = Duration::from_millis(100);
const RECORD_REST_AT_LAST: Duration = Duration::from_secs(1);
const RECORD_PATIENCE: Duration = Duration::from_secs(10);
/// An error of the store is waited out this long.
const STORE_REST: Duration = Duration::from_secs(1);

/// The two sides as destinations; swapped whole by a reload.
#[derive(Debug)]
pub struct Outbound {
    pub azure: Azure,
    pub signl4: Signl4,
}

/// Carries out deliveries.
#[derive(Clone, Debug)]
pub struct Worker {
    pub store: Store,
    pub outbound: Arc<ArcSwap<Outbound>>,
    pub telemetry: Arc<Telemetry>,
    pub alarms: Alarms,
    pub clock: Clock,
    pub policy: RetryPolicy,
    pub tasks: TaskTracker,
    pub unrecorded: Unrecorded,
}

impl Worker {
    /// Works until told to stop; what is under way then goes on in `tasks`.
    pub async fn run(self, mut leased: UnboundedReceiver<Vec<Delivery>>, stop: CancellationToken) {
        loop {
            let next_due = match self.claim_all().await {
                Ok(next_due) => next_due,
                Err(error) => {
                    if self.store.trouble().is_none() {
                        tracing::error!(error = %error, "the store gave no deliveries");
                    }
                    Some(self.clock.now().plus(STORE_REST))
                }
            };
            let wait = next_due.map_or(LOOK_AGAIN, |due| due.since(self.clock.now()).min(LOOK_AGAIN));
            let sleep = tokio::time::sleep(wait);
            tokio::pin!(sleep);
            loop {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {
                        // What is leased already goes out: nobody else would take it before its lease ends.
                        leased.close();
                        while let Ok(handed) = leased.try_recv() {
                            for delivery in handed {
                                self.spawn(delivery);
                            }
                        }
                        return;
                    }
                    handed = leased.recv() => match handed {
                        Some(handed) => handed.into_iter().for_each(|delivery| self.spawn(delivery)),
                        None => return,
                    },
                    () = self.store.slots().work().notified() => break,
                    () = &mut sleep => break,
                }
            }
        }
    }

    /// Rings due timers, claims what is due, begins it. Says when something is due next.
    async fn claim_all(&self) -> Result<Option<Timestamp>, StoreError> {
        // A lease that ended while the store was away is not taken over before its holder could say how it went.
        self.unrecorded.none(RECORD_PATIENCE).await;
        // Asked for together, so that one commit does both; what rings is there for the claim behind it.
        let (rung, claimed) = tokio::join!(biased; self.store.ring_timers(), self.store.claim(CLAIM));
        let mut claimed = self.begin(claimed?);
        if rung? > 0 {
            self.ring().await?;
            claimed = self.begin(self.store.claim(CLAIM).await?);
        }
        while claimed.count >= CLAIM {
            claimed = self.begin(self.store.claim(CLAIM).await?);
        }
        Ok(claimed.next_due)
    }

    fn begin(&self, claimed: Claimed) -> Begun {
        let begun = Begun { count: claimed.deliveries.len(), next_due: claimed.next_due };
        claimed.deliveries.into_iter().for_each(|delivery| self.spawn(delivery));
        begun
    }

    /// Rings what is due. A timer may set another; a change of a large digest goes on when the worker comes again.
    async fn ring(&self) -> Result<(), StoreError> {
        for _ in 0..RINGS {
            if self.store.ring_timers().await? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn spawn(&self, delivery: Delivery) {
        let worker = self.clone();
        self.tasks.spawn(async move { worker.carry_out(delivery).await });
    }

    /// One round by hand: what the loop does, awaited. Says how many deliveries were attempted.
    pub async fn step(&self) -> Result<usize, StoreError> {
        self.ring().await?;
        let claimed = self.store.claim(CLAIM).await?;
        let count = claimed.deliveries.len();
        for delivery in claimed.deliveries {
            self.carry_out(delivery).await;
        }
        Ok(count)
    }

    /// One attempt of a leased delivery, and its record.
    pub async fn carry_out(&self, delivery: Delivery) {
        let slot = Slot { store: &self.store, clock: &self.clock, place: Place::of(&delivery) };
        let begun_at = self.clock.now();
        failpoint::pass(failpoint::BEFORE_SEND);
        let attempted = self.attempt(&delivery).await;
        failpoint::pass(failpoint::AFTER_SEND);
        self.finish(delivery, attempted, begun_at, slot).await;
        failpoint::pass(failpoint::AFTER_RECORD);
    }

    async fn attempt(&self, delivery: &Delivery) -> Attempted {
        let watch = Stopwatch::start();
        let outbound = self.outbound.load_full();
        let owned = match self.unless_over(&outbound, delivery.clone()).await {
            Ok(owned) => owned,
            Err(over) => {
                tell(delivery, &over, watch.elapsed_ms());
                return over;
            }
        };
        // A task of its own, so that a fault in there ends as an outcome and not as a lease that nobody gives back.
        let attempt = tokio::spawn(async move {
            match owned.call.side() {
                Side::Azure => outbound.azure.attempt(&owned).await,
                Side::Signl4 => outbound.signl4.attempt(&owned).await,
            }
        });
        let abort = attempt.abort_handle();
        let attempted = match tokio::time::timeout(LONGEST_ATTEMPT, attempt).await {
            Ok(Ok(attempted)) => attempted,
            Ok(Err(_)) => ended(Outcome::OurFault, "a fault in the bridge"),
            Err(_) => {
                abort.abort();
                ended(Outcome::Unknown, "the attempt took too long and was cut off")
            }
        };
        tell(delivery, &attempted, watch.elapsed_ms());
        attempted
    }

    /// A late page first asks Azure whether its alert still fires, and then says how late it is. `Err`: nobody need be
    /// woken any more.
    async fn unless_over(&self, outbound: &Outbound, mut delivery: Delivery) -> Result<Delivery, Attempted> {
        let Call::Raise { body, origin: Some(origin), .. } = &mut delivery.call else { return Ok(delivery) };
        let Some(late) = lateness(origin, self.clock.now()) else { return Ok(delivery) };
        if let Some(target) = &origin.alert
            && self.may_look(target)
            && let Some(learned) = outbound.azure.standing(target).await
            && let Some(why) = over(&learned)
        {
            let note = format!("not paged: {why} in Azure meanwhile");
            return Err(Attempted { learned, ..ended(Outcome::NotYet { after: Duration::ZERO }, &note) });
        }
        *body = marked(std::mem::take(body), late);
        Ok(delivery)
    }

    /// A look into Azure has its part of the pace, or is left out: the page goes out all the same.
    fn may_look(&self, target: &AzureTarget) -> bool {
        let subscription = Destination::subscription(&target.connection, &target.subscription);
        self.store.slots().paces().take_read(&subscription, self.clock.now()).is_ok()
    }

    async fn finish(&self, delivery: Delivery, attempted: Attempted, begun_at: Timestamp, slot: Slot<'_>) {
        let now = self.clock.now();
        let next = after(&delivery, &attempted.outcome, &self.policy, now, Roll::new(fastrand::f64()));
        let kind = delivery.call.kind().as_str();
        self.telemetry.attempt(&delivery.call, attempted.outcome.name());
        if attempted.possibly_doubled {
            self.telemetry.possibly_doubled();
            tracing::warn!(delivery.id = %delivery.id, "nothing could tell whether an earlier attempt arrived: the page may be doubled");
        }
        let (id, created_at) = (delivery.id, delivery.created_at);
        let denied = matches!(attempted.outcome, Outcome::Denied { .. });
        // For those whom an alarm must tell; nobody else needs a copy.
        let call = (denied || matches!(next, Next::Dead { .. })).then(|| delivery.call.clone());
        let finish = Finish { delivery, attempted: attempted.clone(), next, begun_at };
        let recorded = if finish.attempted.outcome == Outcome::Accepted {
            // The attempt is over, and its slot is free as soon as the record is on its way.
            let (recorded, ()) = tokio::join!(biased; self.record(&finish), async { drop(slot) });
            recorded
        } else {
            // A claim that waits in the store's queue before this record must not find the slot of an attempt that may
            // hold its destination back: with a wrong secret it would take more and more of them.
            let recorded = self.record(&finish).await;
            drop(slot);
            recorded
        };
        match recorded {
            Ok(Recorded::Ours) => match next {
                Next::Done => self.telemetry.delivered(now.since(created_at)),
                Next::Again { .. } => {
                    if let Some(call) = call.filter(|_| denied) {
                        self.alarms.denied(&call, &attempted.note).await;
                    }
                }
                Next::Dead { why } => {
                    self.telemetry.dead(kind);
                    tracing::error!(
                        delivery.id = %id, kind, why = %why, note = attempted.note,
                        "a delivery is given up and waits for a person: `deliveries list`, then replay or drop it"
                    );
                    if let Some(call) = call {
                        self.alarms.dead(&call, &attempted.note).await;
                    }
                }
            },
            Ok(Recorded::Overtaken) => self.telemetry.overtaken(),
            Err(error) => tracing::error!(
                delivery.id = %id, error = %error,
                "an outcome was not recorded; when its lease ends the delivery is taken up again"
            ),
        }
    }

    /// Records an outcome, again and again while the store has a hiccup, and as long as it takes while it stores nothing:
    /// what is not recorded would be sent twice.
    async fn record(&self, finish: &Finish) -> Result<Recorded, StoreError> {
        let mut rest = RECORD_REST;
        let mut waited = Duration::ZERO;
        let mut late = None;
        loop {
            match self.store.record(finish.clone()).await {
                Err(error) if !matches!(error, StoreError::Stopped) => {
                    let troubled = self.store.trouble().is_some();
                    if !troubled && waited >= RECORD_PATIENCE {
                        return Err(error);
                    }
                    if late.is_none() {
                        tracing::warn!(delivery.id = %finish.delivery.id, error = %error, "an outcome is not recorded yet; trying again");
                        late = Some(self.unrecorded.begin());
                    }
                    tokio::time::sleep(rest).await;
                    waited = if troubled { Duration::ZERO } else { waited.saturating_add(rest) };
                    rest = rest.saturating_mul(2).min(RECORD_REST_AT_LAST);
                }
                recorded => return recorded,
            }
        }
    }
}

/// One line for each attempt; a warning where the other side was not reached or did not take it.
fn tell(delivery: &Delivery, attempted: &Attempted, duration_ms: u64) {
    let call = &delivery.call;
    let (page, alert) = (call.page().map(ExternalId::as_str), call.alert().map(AlertKey::as_str));
    let title = match call {
        Call::Raise { body, .. } => body.get("Title").and_then(serde_json::Value::as_str),
        Call::Acknowledge { .. }
        | Call::Resolve { .. }
        | Call::Annotate { .. }
        | Call::ChangeState { .. }
        | Call::Comment { .. } => None,
    };
    let (side, kind) = (call.side().as_str(), call.kind().as_str());
    let (id, attempt, outcome, note) = (delivery.id, delivery.attempt, attempted.outcome.name(), &attempted.note);
    if attempted.outcome == Outcome::Accepted {
        tracing::info!(
            delivery.id = %id, page.id = page, alert.id = alert, attempt, side, kind, title, outcome, duration_ms, note,
            "made an attempt"
        );
    } else {
        tracing::warn!(
            delivery.id = %id, page.id = page, alert.id = alert, attempt, side, kind, title, outcome, duration_ms, note,
            "an attempt did not succeed"
        );
    }
}

/// Why a page has become needless, by what Azure says of its alert.
fn over(learned: &Learned) -> Option<&'static str> {
    match (learned.resolved_at, learned.azure) {
        (Some(_), _) => Some("resolved"),
        (None, Some((AzureState::Closed, _))) => Some("closed"),
        (None, Some((AzureState::Acknowledged, _))) => Some("acknowledged"),
        (None, Some((AzureState::New, _)) | None) => None,
    }
}

fn ended(outcome: Outcome, note: &str) -> Attempted {
    Attempted { outcome, learned: Learned::default(), note: note.to_owned(), possibly_doubled: false }
}

/// What a claim has begun.
struct Begun {
    count: usize,
    /// When something is due next, if nothing else happens.
    next_due: Option<Timestamp>,
}

/// A slot under way; given back whatever happens.
struct Slot<'a> {
    store: &'a Store,
    clock: &'a Clock,
    place: Place,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.store.slots().give_back(&self.place, self.clock.now());
    }
}
