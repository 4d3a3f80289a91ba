//! Why an alert goes where it goes, route by route.

use std::fmt;

use super::{Mismatch, Route, Rules};
use crate::domain::event::Notification;
use crate::domain::id::ConnectionName;

/// What one route makes of an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Takes,
    /// Takes it and lets later routes match too.
    TakesAndContinues,
    Leaves(Mismatch),
    /// An earlier route has taken the alert.
    NotAsked,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Takes => f.write_str("takes it"),
            Self::TakesAndContinues => f.write_str("takes it, later routes may too"),
            Self::Leaves(mismatch) => write!(f, "no: {mismatch}"),
            Self::NotAsked => f.write_str("not asked, an earlier route has taken it"),
        }
    }
}

impl Rules {
    /// Every route in order, with its decision.
    pub fn explain(&self, connection: &ConnectionName, notification: &Notification) -> Vec<(&Route, Decision)> {
        let mut taken = false;
        self.routes
            .iter()
            .map(|route| {
                let decision = if taken {
                    Decision::NotAsked
                } else {
                    match route.judge(connection, notification) {
                        Ok(()) if route.continues => Decision::TakesAndContinues,
                        Ok(()) => Decision::Takes,
                        Err(mismatch) => Decision::Leaves(mismatch),
                    }
                };
                taken |= decision == Decision::Takes;
                (route, decision)
            })
            .collect()
    }
}
