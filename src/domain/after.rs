//! What follows from an attempt: done, again, or dead.
//!
//! A refusal is final. A denial never is: it says nothing of the delivery, only of the credential, so the delivery
//! stays due while its destination is paused. All else is repeated until the delivery is too old to be of use.

use std::fmt;
use std::time::Duration;

use super::backoff::{Backoff, Roll};
use super::delivery::{Call, Delivery, Outcome};
use super::hold::Rests;
use super::timestamp::Timestamp;

/// A Raise that may have arrived waits this long at least before it is repeated.
pub const SETTLE: Duration = Duration::from_secs(15);

/// How long, and how patiently, a delivery is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub backoff: Backoff,
    /// A page older than this wakes nobody to any use.
    pub raise_ttl: Duration,
    /// Azure keeps an alert for 30 days; after that there is nothing left to change.
    pub change_ttl: Duration,
    /// How long a Raise of unknown outcome waits at least, so that SIGNL4's own event can settle it first.
    pub settle: Duration,
    /// A destination's wish to wait is honoured up to here where a page waits.
    pub longest_wait_of_a_page: Duration,
    /// Between two probes of a destination that denies us.
    pub probe: Duration,
    /// Between two probes of one that is out of reach.
    pub rests: Rests,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            backoff: Backoff::default(),
            raise_ttl: Duration::from_hours(24),
            change_ttl: Duration::from_hours(30 * 24),
            settle: SETTLE,
            longest_wait_of_a_page: Duration::from_mins(5),
            probe: Duration::from_mins(1),
            rests: Rests::default(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Done,
    Again { due: Timestamp },
    Dead { why: Why },
}

/// Why a delivery was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The destination will never take it.
    Refused { status: u16 },
    /// It is older than its time to live.
    Expired,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status: 0 } => f.write_str("refused before sending"),
            Self::Refused { status } => write!(f, "refused with status {status}"),
            Self::Expired => f.write_str("older than its time to live"),
        }
    }
}

/// Decides what becomes of `delivery` after an attempt that ended at `now` with `outcome`.
pub fn after(delivery: &Delivery, outcome: &Outcome, policy: &RetryPolicy, now: Timestamp, roll: Roll) -> Next {
    let is_raise = matches!(delivery.call, Call::Raise { .. });
    let floor = match outcome {
        Outcome::Accepted => return Next::Done,
        Outcome::Refused { status } => return Next::Dead { why: Why::Refused { status: *status } },
        Outcome::Denied { .. } => return Next::Again { due: now.plus(policy.probe) },
        // A page is not laid by for an hour because a proxy said so.
        Outcome::Busy { after } if is_raise => after.map(|after| after.min(policy.longest_wait_of_a_page)),
        Outcome::Busy { after } => *after,
        Outcome::NotYet { after } => Some(*after),
        Outcome::Unknown if is_raise => Some(policy.settle),
        Outcome::Unknown | Outcome::Unsent | Outcome::OurFault => None,
    };
    let time_to_live = if is_raise { policy.raise_ttl } else { policy.change_ttl };
    if now >= delivery.created_at.plus(time_to_live) {
        return Next::Dead { why: Why::Expired };
    }
    Next::Again { due: now.plus(policy.backoff.delay(delivery.attempt, floor, roll)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use uuid::Uuid;

    use super::super::backoff::LONGEST_WISH;
    use super::super::delivery::{AzureState, AzureTarget};
    use super::super::id::{AlertKey, ConnectionName, DeliveryId, ExternalId, SubscriptionId, TeamName};
    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn raise() -> Call {
        let page = ExternalId::of(&AlertKey::synthetic("test", "a"), 1);
        Call::Raise { team: TeamName::parse("ops").unwrap(), page, body: json!({}), origin: None }
    }

    fn resolve() -> Call {
        let page = ExternalId::of(&AlertKey::synthetic("test", "a"), 1);
        Call::Resolve { team: TeamName::parse("ops").unwrap(), page }
    }

    fn target() -> AzureTarget {
        AzureTarget {
            connection: ConnectionName::parse("contoso").unwrap(),
            subscription: SubscriptionId::new("9e261de7-c804-4b9d-9ebf-6f50fe350a9a"),
            alert: "66114d64-d9d9-478b-95c9-b789d6502100".to_owned(),
            key: AlertKey::synthetic("test", "a"),
        }
    }

    fn change() -> Call {
        Call::ChangeState { target: target(), state: AzureState::Acknowledged, comment: None, keeps_closed: false }
    }

    fn comment() -> Call {
        Call::Comment { target: target(), text: "Escalated".to_owned() }
    }

    fn delivery(call: Call, attempt: u32) -> Delivery {
        Delivery {
            id: DeliveryId::new(Uuid::nil()),
            call,
            attempt,
            uncertain: false,
            created_at: Timestamp::from_millis(0),
        }
    }

    fn check(call: Call, attempt: u32, outcome: &Outcome, now: i64, roll: Roll, expected: Next) {
        let delivery = delivery(call, attempt);
        let next = after(&delivery, outcome, &RetryPolicy::default(), Timestamp::from_millis(now), roll);
        assert_eq!(next, expected, "{delivery:?} after {outcome:?} at {now}");
    }

    fn again(millis: i64) -> Next {
        Next::Again { due: Timestamp::from_millis(millis) }
    }

    #[test]
    fn accepted_is_done_and_refused_is_dead_whatever_the_age() {
        for now in [0, 40 * DAY] {
            check(raise(), 1, &Outcome::Accepted, now, Roll::HIGHEST, Next::Done);
            let dead = Next::Dead { why: Why::Refused { status: 422 } };
            check(raise(), 1, &Outcome::Refused { status: 422 }, now, Roll::HIGHEST, dead);
        }
    }

    #[test]
    fn denied_is_probed_once_a_minute_and_never_dead() {
        for (attempt, now) in [(1, 0), (500, 3 * DAY), (5_000, 400 * DAY)] {
            for call in [raise(), resolve(), change(), comment()] {
                check(call, attempt, &Outcome::Denied { status: 403 }, now, Roll::LOWEST, again(now + 60_000));
            }
        }
    }

    #[test]
    fn first_retries_are_quick() {
        for outcome in [Outcome::Unsent, Outcome::OurFault, Outcome::Busy { after: None }] {
            check(raise(), 1, &outcome, 500, Roll::HIGHEST, again(1_500));
            check(change(), 2, &outcome, 500, Roll::HIGHEST, again(2_500));
            check(resolve(), 12, &outcome, 500, Roll::HIGHEST, again(300_500));
        }
        // A state change may go twice without harm, so an unknown outcome needs no pause.
        check(change(), 1, &Outcome::Unknown, 500, Roll::HIGHEST, again(1_500));
    }

    #[test]
    fn an_unknown_raise_waits_for_signl4_to_settle_it() {
        check(raise(), 1, &Outcome::Unknown, 0, Roll::LOWEST, again(15_000));
        check(raise(), 1, &Outcome::Unknown, 0, Roll::HIGHEST, again(16_000));
        check(raise(), 9, &Outcome::Unknown, 0, Roll::HIGHEST, again(15_000 + 256_000));
    }

    #[test]
    fn the_destinations_wish_is_honoured_up_to_an_hour() {
        for (wish, due) in [(0, 1_000), (30, 31_000), (60 * 60, HOUR + 1_000), (u64::MAX, HOUR + 1_000)] {
            let busy = Outcome::Busy { after: Some(Duration::from_secs(wish)) };
            check(change(), 1, &busy, 0, Roll::HIGHEST, again(due));
            check(raise(), 1, &busy, 0, Roll::HIGHEST, again(due.min(5 * 60_000 + 1_000)));
        }
    }

    #[test]
    fn each_kind_lives_as_long_as_it_is_of_use() {
        let dead = Next::Dead { why: Why::Expired };
        for outcome in [Outcome::Unsent, Outcome::Unknown, Outcome::OurFault, Outcome::Busy { after: None }] {
            check(raise(), 30, &outcome, DAY, Roll::LOWEST, dead);
            for call in [resolve(), change(), comment()] {
                check(call.clone(), 30, &outcome, DAY, Roll::LOWEST, again(DAY));
                check(call.clone(), 30, &outcome, 30 * DAY - 1, Roll::LOWEST, again(30 * DAY - 1));
                check(call, 30, &outcome, 30 * DAY, Roll::LOWEST, dead);
            }
        }
        check(raise(), 30, &Outcome::Unsent, DAY - 1, Roll::LOWEST, again(DAY - 1));
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Accepted),
            proptest::option::of(any::<u64>())
                .prop_map(|seconds| Outcome::Busy { after: seconds.map(Duration::from_secs) }),
            Just(Outcome::Unsent),
            Just(Outcome::Unknown),
            any::<u16>().prop_map(|status| Outcome::Refused { status }),
            any::<u16>().prop_map(|status| Outcome::Denied { status }),
            Just(Outcome::OurFault),
        ]
    }

    proptest! {
        #[test]
        fn a_retry_is_never_in_the_past_nor_further_away_than_wish_and_cap_allow(
            outcome in outcomes(),
            attempt in any::<u32>(),
            call in prop_oneof![Just(raise()), Just(resolve()), Just(change()), Just(comment())],
            now in any::<i64>(),
            created in any::<i64>(),
            chance in any::<f64>(),
        ) {
            let mut delivery = delivery(call, attempt);
            delivery.created_at = Timestamp::from_millis(created);
            let now = Timestamp::from_millis(now);
            if let Next::Again { due } = after(&delivery, &outcome, &RetryPolicy::default(), now, Roll::new(chance)) {
                prop_assert!(due >= now);
                prop_assert!(due <= now.plus(LONGEST_WISH + RetryPolicy::default().backoff.cap));
            }
        }

        #[test]
        fn without_an_answer_a_delivery_ends_after_its_time_to_live(chance in 0.0_f64..=1.0, raised in any::<bool>()) {
            let policy = RetryPolicy { backoff: Backoff { base: Duration::from_mins(1), ..Backoff::default() }, ..RetryPolicy::default() };
            let (call, ttl) = if raised { (raise(), policy.raise_ttl) } else { (change(), policy.change_ttl) };
            let mut delivery = delivery(call, 1);
            let mut now = Timestamp::from_millis(0);
            // Each attempt itself takes up to the client's time limit.
            while let Next::Again { due } = after(&delivery, &Outcome::Unknown, &policy, now, Roll::new(chance)) {
                now = due.plus(Duration::from_secs(20));
                delivery.attempt += 1;
            }
            let late = now.since(Timestamp::from_millis(0));
            prop_assert!(late >= ttl);
            prop_assert!(late <= ttl + policy.settle + policy.backoff.cap + Duration::from_secs(21));
        }
    }
}
