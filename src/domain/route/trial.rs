//! The examples of the routes: whether each goes where its author says.

use std::fmt;

use super::{Example, Expected, Mismatch, Route, Rules};
use crate::domain::id::{ConnectionName, TeamName};

/// Why an example does not go where its author says.
#[derive(Clone, Debug)]
pub enum Surprise<'r> {
    /// The route does not fit; `taker` is the route that takes the alert, `None` if it goes to the fallback team.
    Left {
        mismatch: Mismatch,
        taker: Option<&'r Route>,
        fallback: &'r TeamName,
    },
    /// The route fits, and an earlier one takes the alert.
    Earlier {
        taker: &'r Route,
    },
    /// The route takes it and must not.
    Taken,
    /// The route records only, and a team was expected to be paged.
    RecordsOnly,
    OtherTeam {
        found: Vec<&'r TeamName>,
    },
    /// There is no connection that it could come from.
    NoConnection,
}

impl fmt::Display for Surprise<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Left { mismatch, taker: Some(taker), .. } => {
                write!(f, "{mismatch}; `{}` ({}:{}) takes it instead", taker.name, taker.file, taker.line)
            }
            Self::Left { mismatch, taker: None, fallback } => {
                write!(f, "{mismatch}; no route takes it, it would go to the fallback team {fallback}")
            }
            Self::Earlier { taker } => {
                write!(f, "the route fits, but `{}` ({}:{}) takes it before", taker.name, taker.file, taker.line)
            }
            Self::Taken => f.write_str("the route takes it, and the example says that it must not"),
            Self::RecordsOnly => f.write_str(
                "the route takes it and pages nobody (`page = false`); write `matches = true` instead of `team`",
            ),
            Self::OtherTeam { found } => {
                let found: Vec<&str> = found.iter().map(|team| team.as_str()).collect();
                write!(f, "it pages {}", found.join(", "))
            }
            Self::NoConnection => f.write_str("no connection is configured that it could come from"),
        }
    }
}

impl Rules {
    /// Judges an example of `route`, one of these rules' routes.
    pub fn run<'r>(&'r self, route: &'r Route, example: &Example) -> Result<(), Surprise<'r>> {
        let connection = self.connection_of(example).ok_or(Surprise::NoConnection)?;
        let taking = self.matching(connection, &example.notification);
        let taken = taking.iter().any(|taker| std::ptr::eq(*taker, route));
        if example.expected == Expected::Left {
            return if taken { Err(Surprise::Taken) } else { Ok(()) };
        }
        if !taken {
            let taker = taking.last().copied();
            return Err(match (route.judge(connection, &example.notification), taker) {
                (Ok(()), Some(taker)) => Surprise::Earlier { taker },
                (Ok(()), None) => return Ok(()),
                (Err(mismatch), taker) => Surprise::Left { mismatch, taker, fallback: &self.fallback_team },
            });
        }
        let Expected::Paged(team) = &example.expected else { return Ok(()) };
        let paged: Vec<&TeamName> =
            taking.iter().filter(|taker| !taker.policy.records_only).map(|taker| &taker.team).collect();
        if paged.contains(&team) {
            Ok(())
        } else if route.policy.records_only {
            Err(Surprise::RecordsOnly)
        } else {
            Err(Surprise::OtherTeam { found: paged })
        }
    }

    /// The connection that the example names, else the one that lists its subscription, else the first.
    fn connection_of<'r>(&'r self, example: &'r Example) -> Option<&'r ConnectionName> {
        let subscription = example.notification.id.subscription();
        example
            .connection
            .as_ref()
            .or_else(|| {
                let lists = |name: &&ConnectionName| {
                    subscription
                        .zip(self.connections.get(*name))
                        .is_some_and(|(id, traits)| traits.subscriptions.contains(id))
                };
                self.connections.keys().find(lists)
            })
            .or_else(|| self.connections.keys().next())
    }
}
