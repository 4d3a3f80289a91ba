//! One attempt of a delivery, as the worker and the steps of both sides make it, with the luck that it has.

use std::time::Duration;

use signl4_azure_bridge::domain::delivery::{Attempted, AzureState, Call, Delivery, Learned, Outcome};
use signl4_azure_bridge::domain::late::lateness;
use signl4_azure_bridge::domain::route::Rules;
use signl4_azure_bridge::domain::timestamp::Timestamp;

use super::services::Services;
use super::steps::Luck;
use super::violation::{Checked, holds};

/// As in `signl4::deliver`.
const AGAIN: Duration = Duration::from_secs(15);
const LOOK_UPS: u32 = 8;
const ANNOTATES: u32 = 5;

pub(super) fn attempt(
    services: &mut Services,
    rules: &Rules,
    delivery: &Delivery,
    luck: Luck,
    now: Timestamp,
) -> Result<Attempted, super::violation::Violation> {
    match &delivery.call {
        Call::Raise { team, page, origin, .. } => {
            // A late page asks Azure first.
            let late = origin.as_ref().filter(|origin| lateness(origin, now).is_some());
            let learned = late.and_then(|origin| services.standing(&origin.alert.as_ref()?.key));
            if let Some(learned) = learned.filter(|_| luck != Luck::OurFault)
                && (learned.resolved_at.is_some() || learned.azure.is_some_and(|(state, _)| state != AzureState::New))
            {
                return Ok(ended(Outcome::NotYet { after: Duration::ZERO }, learned));
            }
            let has_api = rules.teams[team].has_api;
            if delivery.uncertain && has_api {
                match luck {
                    Luck::Busy { .. } | Luck::Unsent if delivery.attempt < LOOK_UPS => {
                        return Ok(ended(Outcome::NotYet { after: AGAIN }, Learned::default()));
                    }
                    Luck::Good | Luck::Unheard | Luck::Vanished if services.signl4.contains_key(page) => {
                        return Ok(ended(Outcome::Accepted, Learned::default()));
                    }
                    // Nothing is found, or nobody may look: it is sent again.
                    Luck::Good
                    | Luck::Busy { .. }
                    | Luck::Unsent
                    | Luck::Unheard
                    | Luck::Vanished
                    | Luck::Refused
                    | Luck::Denied
                    | Luck::OurFault => {}
                }
            }
            let arrives = matches!(luck, Luck::Good | Luck::Unheard);
            if arrives {
                one_page_when_it_can_be_known(services, delivery)?;
                in_order(services, delivery)?;
            }
            let mut attempted = sent(services, &delivery.call, luck);
            attempted.possibly_doubled =
                delivery.uncertain && matches!(attempted.outcome, Outcome::Accepted | Outcome::Unknown);
            Ok(attempted)
        }
        Call::Annotate { page, .. } if !services.signl4.contains_key(page) && luck == Luck::Good => {
            let again = delivery.attempt < ANNOTATES;
            let outcome = if again { Outcome::NotYet { after: AGAIN } } else { Outcome::Refused { status: 404 } };
            Ok(ended(outcome, Learned::default()))
        }
        Call::Annotate { page, .. } if !services.signl4.contains_key(page) && luck == Luck::Unheard => {
            Ok(ended(Outcome::Unsent, Learned::default()))
        }
        Call::Annotate { .. } if luck == Luck::Denied => {
            Ok(ended(Outcome::Refused { status: 403 }, Learned::default()))
        }
        call @ (Call::Acknowledge { .. }
        | Call::Resolve { .. }
        | Call::Annotate { .. }
        | Call::ChangeState { .. }
        | Call::Comment { .. }) => Ok(sent(services, call, luck)),
    }
}

fn sent(services: &mut Services, call: &Call, luck: Luck) -> Attempted {
    let nothing = Learned::default;
    match luck {
        Luck::Good => ended(Outcome::Accepted, services.take(call)),
        Luck::Unheard => {
            services.take(call);
            ended(Outcome::Unknown, nothing())
        }
        Luck::Vanished => ended(Outcome::Unknown, nothing()),
        Luck::Busy { seconds } => {
            let after = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            ended(Outcome::Busy { after }, nothing())
        }
        Luck::Unsent => ended(Outcome::Unsent, nothing()),
        Luck::Refused => ended(Outcome::Refused { status: 422 }, nothing()),
        Luck::Denied => ended(Outcome::Denied { status: 403 }, nothing()),
        Luck::OurFault => ended(Outcome::OurFault, nothing()),
    }
}

pub(super) fn ended(outcome: Outcome, learned: Learned) -> Attempted {
    Attempted { outcome, learned, note: String::new(), possibly_doubled: false }
}

/// A page that SIGNL4 has is raised again only where nobody could know; the attempt then counts as possibly doubled.
fn one_page_when_it_can_be_known(services: &Services, delivery: &Delivery) -> Checked {
    let Some(page) = delivery.call.page().filter(|page| services.signl4.contains_key(page)) else { return Ok(()) };
    holds("one_page_when_it_can_be_known", delivery.uncertain, || format!("{page} is raised again without a doubt"))
}

/// No Resolve reaches SIGNL4 before the Raise of its page.
fn in_order(services: &Services, delivery: &Delivery) -> Checked {
    let Some(page) = delivery.call.page() else { return Ok(()) };
    // Of a Raise whose first attempt vanished, a Resolve may have gone out alone; the Raise is not repeated then.
    let resolved = services.resolved_unraised.contains(page);
    holds("in_order_one_at_a_time_per_lane", !resolved, || format!("{page} was resolved before it was raised"))
}
