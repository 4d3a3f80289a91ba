//! A bridge that breaks a rule on purpose, to show that the check of the rule can fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use signl4_azure_bridge::domain::decide::{Finished, Verdict, decide, record};
use signl4_azure_bridge::domain::delivery::{AzureState, Call};
use signl4_azure_bridge::domain::load::Load;
use signl4_azure_bridge::domain::page::Known;
use signl4_azure_bridge::domain::route::Rules;
use signl4_azure_bridge::store::Duties;

/// What is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// Every third verdict that owes something owes nothing.
    Owed,
    /// Confirmed deliveries stay open.
    Confirmed,
    /// No page is held to any time.
    Timers,
    /// Nobody tells a digest that a member has left it.
    Left,
    /// No team has had any page yet.
    Load,
    /// A close is no matter for Azure.
    Closes,
    /// The store forgets who is under way. Not a duty: the world does it.
    Leases,
}

/// What the product does (`intake::duties`), but for the breach.
pub(super) fn duties(rules: &Arc<Rules>, breach: Option<Breach>) -> Duties {
    let (for_judge, for_record) = (Arc::clone(rules), Arc::clone(rules));
    let verdicts = AtomicU32::new(0);
    Duties {
        judge: Box::new(move |known, event, now| {
            let known = seen(known, breach);
            broken(decide(&for_judge, &known, event, now), breach, &verdicts)
        }),
        record: Box::new(move |known, finish, now| {
            let call = &finish.delivery.call;
            broken(record(&for_record, known, call, &finish.attempted, &finish.next, now), breach, &AtomicU32::new(0))
        }),
    }
}

fn seen(known: &Known, breach: Option<Breach>) -> Known {
    let mut known = known.clone();
    if breach == Some(Breach::Load) {
        known.load = Arc::new(Load::default());
    }
    known
}

fn broken(mut verdict: Verdict, breach: Option<Breach>, verdicts: &AtomicU32) -> Verdict {
    match breach {
        Some(Breach::Owed) => {
            if !verdict.owed.is_empty() && verdicts.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
                verdict.owed.clear();
            }
        }
        Some(Breach::Confirmed) => verdict.finished.retain(|(_, how)| *how != Finished::Confirmed),
        Some(Breach::Timers) => verdict.timers.clear(),
        Some(Breach::Left) => verdict.left.clear(),
        Some(Breach::Closes) => {
            verdict.owed.retain(|owed| !matches!(&owed.call, Call::ChangeState { state: AzureState::Closed, .. }));
        }
        Some(Breach::Load | Breach::Leases) | None => {}
    }
    verdict
}
