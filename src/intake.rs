//! From a side's event to the store: the one door through which everything that is heard comes in.
//!
//! The answer never waits for anything that sending needs: routes, tokens, destinations.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Stopwatch;
use crate::domain::decide::{Reason, decide, record};
use crate::domain::route::Rules;
use crate::problem::Problem;
use crate::store::{Duties, Incoming, Receipt, Store, StoreError};
use crate::telemetry::Telemetry;

/// An event that is not stored by then is answered 503, and the caller comes again.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the writer does inside its transaction, with the rules as they are at that moment.
pub fn duties(rules: &Arc<ArcSwap<Rules>>, telemetry: &Arc<Telemetry>) -> Duties {
    let (for_judge, for_record) = (Arc::clone(rules), Arc::clone(rules));
    let telemetry = Arc::clone(telemetry);
    Duties {
        judge: Box::new(move |known, event, now| {
            let verdict = decide(&for_judge.load(), known, event, now);
            for digest in &verdict.opened {
                let page = verdict.pages.iter().find(|page| page.alert == digest.key);
                tracing::warn!(
                    event.id = %event.id,
                    page.id = page.map(|page| page.id.as_str()),
                    team = page.map(|page| page.team.as_str()),
                    window = page.and_then(|page| page.window.as_deref()),
                    "more pages than a person can read at once: a digest gathers them"
                );
            }
            for fault in &verdict.template_faults {
                telemetry.template_failed(&fault.route);
                tracing::warn!(event.id = %event.id, route = fault.route, "{fault}; run `check`");
            }
            verdict
        }),
        record: Box::new(move |known, finish, now| {
            record(&for_record.load(), known, &finish.delivery.call, &finish.attempted, &finish.next, now)
        }),
    }
}

/// Stores one event and says so in the log and the metrics.
pub async fn take(store: &Store, telemetry: &Telemetry, incoming: Incoming) -> Result<Receipt, Problem> {
    let watch = Stopwatch::start();
    let (side, kind, source) = (incoming.side.as_str(), incoming.kind.name(), incoming.source.clone());
    let about = incoming.kind.about();
    // An id says little to whoever reads the log at night.
    let rule = incoming.kind.rule();
    let rule = rule.as_deref();
    let stored = tokio::time::timeout(PATIENCE, store.intake(incoming)).await.unwrap_or(Err(StoreError::TooSlow));
    match stored {
        Ok(receipt) => {
            let reason = receipt.reason.as_str();
            telemetry.event(side, kind, reason, watch.elapsed());
            let duration_ms = watch.elapsed_ms();
            if let Some(loud) = loud(receipt.reason) {
                tracing::warn!(event.id = %receipt.event, about, rule, side, kind, source, reason, duration_ms, "{loud}");
            } else if receipt.reason == Reason::RecordedByPoll {
                // The first poll of a subscription records hundreds: it says how many.
                tracing::debug!(event.id = %receipt.event, about, rule, side, kind, source, reason, "recorded an alert");
            } else {
                tracing::info!(
                    event.id = %receipt.event, about, rule, side, kind, source, reason, duration_ms,
                    seen_before = receipt.seen_before, "stored an event"
                );
            }
            Ok(receipt)
        }
        // The trouble itself has its line in the log.
        Err(_) if store.trouble().is_some() => Err(Problem::Unavailable),
        Err(error) => {
            tracing::error!(about, rule, side, kind, source, error = %error, "an event was not stored; the caller is asked to come again");
            Err(Problem::Unavailable)
        }
    }
}

/// What an operator should mend.
fn loud(reason: Reason) -> Option<&'static str> {
    if reason == Reason::Unrouted {
        Some("no route takes this alert and the fallback team is paged: add a route for it")
    } else if reason == Reason::ForeignSubscription {
        Some("an alert of a subscription that the connection does not list; kept, not paged")
    } else if reason == Reason::Unreadable {
        Some("a body that could not be understood; kept, and paged as unreadable")
    } else if reason == Reason::NobodyOnDuty {
        Some("SIGNL4 found nobody on duty: this page woke nobody of its team")
    } else {
        None
    }
}
