//! A bridge that breaks a rule on purpose, to show that the check of the rule can fail: in the search and in the days.

use std::sync::Arc;

use signl4_azure_bridge::domain::after::Next;
use signl4_azure_bridge::domain::decide::{Finished, Owed, Verdict, decide, record};
use signl4_azure_bridge::domain::delivery::{Attempted, AzureState, Call, CallKind};
use signl4_azure_bridge::domain::event::{Event, EventKind, Happened};
use signl4_azure_bridge::domain::load::Load;
use signl4_azure_bridge::domain::page::Known;
use signl4_azure_bridge::domain::route::Rules;
use signl4_azure_bridge::domain::timestamp::Timestamp;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// A page is decided, and its Raise is not owed.
    Raises,
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
    /// What people do in the portal is no matter for the phone.
    Portal,
    /// What was heard last counts, whenever it happened.
    Order,
    /// Our own annotations are answered.
    Echo,
    /// The store forgets who is under way. No judgement: the days do it.
    Leases,
}

/// `decide`, but for the breach.
pub(super) fn judged(rules: &Rules, known: &Known, event: &Event, now: Timestamp, breach: Option<Breach>) -> Verdict {
    let Some(breach) = breach else { return decide(rules, known, event, now) };
    let mut verdict = broken(decide(rules, &seen(known, breach), event, now), breach);
    match (&event.kind, breach) {
        (EventKind::Polled { .. }, Breach::Portal) => verdict.owed.clear(),
        (EventKind::Signl4 { team, page, change }, Breach::Echo) if change.happened == Happened::Annotated => {
            let call = Call::Annotate { team: team.clone(), page: page.clone(), text: "noted".to_owned() };
            verdict.owed.push(Owed { call, due: now });
        }
        _ => {}
    }
    verdict
}

/// `record`, but for the breach.
pub(super) fn recorded(
    rules: &Rules,
    known: &Known,
    call: &Call,
    attempted: &Attempted,
    next: &Next,
    now: Timestamp,
    breach: Option<Breach>,
) -> Verdict {
    let verdict = record(rules, known, call, attempted, next, now);
    match breach {
        Some(breach) => broken(verdict, breach),
        None => verdict,
    }
}

fn seen(known: &Known, breach: Breach) -> Known {
    let mut known = known.clone();
    if breach == Breach::Load {
        known.load = Arc::new(Load::default());
    }
    if breach == Breach::Order {
        known.pages.iter_mut().for_each(|page| page.changed_at = None);
    }
    known
}

fn broken(mut verdict: Verdict, breach: Breach) -> Verdict {
    match breach {
        Breach::Raises => verdict.owed.retain(|owed| owed.call.kind() != CallKind::Raise),
        Breach::Confirmed => verdict.finished.retain(|(_, how)| *how != Finished::Confirmed),
        Breach::Timers => verdict.timers.clear(),
        Breach::Left => verdict.left.clear(),
        Breach::Closes => {
            verdict.owed.retain(|owed| !matches!(&owed.call, Call::ChangeState { state: AzureState::Closed, .. }));
        }
        Breach::Load | Breach::Portal | Breach::Order | Breach::Echo | Breach::Leases => {}
    }
    verdict
}
