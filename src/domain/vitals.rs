//! Whether the whole chain is well: what the heartbeat tells by coming or staying away.
//!
//! It answers one question: would an alert that fires now become a page, and an acknowledgement a state in Azure? What an
//! operator has paused on purpose is no trouble; what mends itself within five minutes is none yet.

use std::fmt;
use std::time::Duration;

use super::delivery::Destination;
use super::hold::Hold;
use super::timestamp::Timestamp;

/// Trouble that lasts longer than this is told.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// Why nothing can be stored.
    pub store: Option<String>,
    pub holds: Vec<Hold>,
    /// When the oldest delivery was decided whose time has come and that no operator holds back.
    pub oldest_due: Option<Timestamp>,
    /// Since when polling has not succeeded.
    pub polls_fail_since: Option<Timestamp>,
}

/// One thing that is not well. The text of an ailment stays the same as long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ailment {
    Store(String),
    Denied { destination: Destination, since: Timestamp },
    OutOfReach { destination: Destination, since: Timestamp },
    Late,
    Polls { since: Timestamp },
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(problem) => write!(f, "nothing can be stored: {problem}"),
            Self::Denied { destination, since } => write!(f, "{destination} refuses us since {since}"),
            Self::OutOfReach { destination, since } => write!(f, "{destination} is out of reach since {since}"),
            Self::Late => write!(f, "a delivery waits for more than {} minutes", PATIENCE.as_secs() / 60),
            Self::Polls { since } => write!(f, "polling fails since {since}"),
        }
    }
}

/// All that ails at `now`.
pub fn examine(vitals: &Vitals, now: Timestamp) -> Result<(), Vec<Ailment>> {
    let lasts = |since: Timestamp| now.since(since) > PATIENCE;
    let mut ailments: Vec<Ailment> = vitals.store.iter().cloned().map(Ailment::Store).collect();
    for hold in &vitals.holds {
        let destination = || hold.destination.clone();
        if let Some(since) = hold.denied_since {
            ailments.push(Ailment::Denied { destination: destination(), since });
        }
        if let Some(since) = hold.open_since.filter(|since| lasts(*since)) {
            ailments.push(Ailment::OutOfReach { destination: destination(), since });
        }
    }
    if vitals.oldest_due.is_some_and(lasts) {
        ailments.push(Ailment::Late);
    }
    if let Some(since) = vitals.polls_fail_since.filter(|since| lasts(*since)) {
        ailments.push(Ailment::Polls { since });
    }
    if ailments.is_empty() { Ok(()) } else { Err(ailments) }
}

#[cfg(test)]
mod tests {
    use super::super::hold::Rests;
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + seconds * 1_000)
    }

    fn hold(change: impl FnOnce(&mut Hold)) -> Hold {
        let mut hold = Hold::new(Destination::stored("signl4:ops".to_owned()), Rests::default());
        change(&mut hold);
        hold
    }

    #[test]
    fn each_ailment_is_told_once_it_is_one() {
        let ops = || Destination::stored("signl4:ops".to_owned());
        let with = |hold| Vitals { holds: vec![hold], ..Vitals::default() };
        for (vitals, expected) in [
            (Vitals::default(), vec![]),
            (
                Vitals { store: Some("disk full".to_owned()), ..Vitals::default() },
                vec![Ailment::Store("disk full".to_owned())],
            ),
            (with(hold(|it| it.paused_until = Some(at(9_999)))), vec![]),
            (with(hold(|it| it.waits_until = Some(at(9_999)))), vec![]),
            (
                with(hold(|it| it.denied_since = Some(at(1_000)))),
                vec![Ailment::Denied { destination: ops(), since: at(1_000) }],
            ),
            (with(hold(|it| it.open_since = Some(at(700)))), vec![]),
            (
                with(hold(|it| it.open_since = Some(at(699)))),
                vec![Ailment::OutOfReach { destination: ops(), since: at(699) }],
            ),
            (Vitals { oldest_due: Some(at(700)), ..Vitals::default() }, vec![]),
            (Vitals { oldest_due: Some(at(699)), ..Vitals::default() }, vec![Ailment::Late]),
            (Vitals { polls_fail_since: Some(at(700)), ..Vitals::default() }, vec![]),
            (Vitals { polls_fail_since: Some(at(0)), ..Vitals::default() }, vec![Ailment::Polls { since: at(0) }]),
        ] {
            let found = examine(&vitals, at(1_000)).err().unwrap_or_default();
            assert_eq!(found, expected, "{vitals:?}");
        }
    }

    #[test]
    fn all_that_ails_is_told() {
        let vitals = Vitals {
            store: Some("disk full".to_owned()),
            oldest_due: Some(at(0)),
            holds: vec![hold(|it| it.denied_since = Some(at(0)))],
            polls_fail_since: None,
        };
        let said: Vec<String> = examine(&vitals, at(1_000)).unwrap_err().iter().map(Ailment::to_string).collect();
        assert_eq!(
            said,
            [
                "nothing can be stored: disk full",
                "signl4:ops refuses us since 2026-09-21T14:13:20Z",
                "a delivery waits for more than 5 minutes"
            ]
        );
    }
}
