//! Whether a route takes an alert, and if not, by which criterion.

use std::fmt;

use super::resource::{lies_in, name, resource_type};
use super::{Criteria, Glob, Route, Rules};
use crate::domain::event::{Notification, Severity};
use crate::domain::id::ConnectionName;

/// The first criterion that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    Differs {
        criterion: String,
        found: Vec<String>,
        wanted: Vec<String>,
    },
    /// The alert says nothing that could be compared.
    Missing {
        criterion: String,
        wanted: Vec<String>,
    },
    /// All of `not` fits.
    Excluded,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs { criterion, found, wanted } => {
                write!(f, "{criterion} is {}, the route takes {}", found.join(", "), wanted.join(", "))
            }
            Self::Missing { criterion, wanted } => {
                write!(f, "the alert has no {criterion}, the route takes {}", wanted.join(", "))
            }
            Self::Excluded => f.write_str("the route leaves it out by `not`"),
        }
    }
}

impl Route {
    /// `Ok` if this route takes the alert when it is asked.
    pub fn judge(&self, connection: &ConnectionName, notification: &Notification) -> Result<(), Mismatch> {
        self.criteria.judge(connection, notification)
    }
}

impl Rules {
    /// The routes that take the alert, in order: the first that matches, and those after it that a `continue` lets
    /// match too. None: the alert is the fallback team's.
    pub fn matching(&self, connection: &ConnectionName, notification: &Notification) -> Vec<&Route> {
        let mut taking = Vec::new();
        for route in &self.routes {
            if route.judge(connection, notification).is_ok() {
                taking.push(route);
                if !route.continues {
                    break;
                }
            }
        }
        taking
    }
}

impl Criteria {
    /// `Ok` if every given criterion fits; a list fits if one of its entries does.
    pub fn judge(&self, connection: &ConnectionName, notification: &Notification) -> Result<(), Mismatch> {
        let places = places(notification);
        compare("target", &self.scope, &places, |scope, place| lies_in(place, scope))?;
        let severity: Vec<&str> = notification.severity.map(Severity::as_str).into_iter().collect();
        let severities: Vec<&str> = self.severity.iter().map(|severity| severity.as_str()).collect();
        compare("severity", &severities, &severity, |wanted, found| *wanted == found)?;
        let connections: Vec<&str> = self.connection.iter().map(ConnectionName::as_str).collect();
        compare("connection", &connections, &[connection.as_str()], |wanted, found| *wanted == found)?;
        compare("rule", &self.rule, notification.rule.as_slice(), Glob::matches)?;
        let names: Vec<&str> = if self.resource.is_empty() {
            Vec::new()
        } else {
            let targets = notification.targets.iter().filter_map(|id| name(id));
            targets.chain(notification.items.iter().map(String::as_str)).collect()
        };
        compare("resource", &self.resource, &names, Glob::matches)?;
        let types: Vec<String> = if self.resource_type.is_empty() {
            Vec::new()
        } else {
            places.iter().filter_map(|id| resource_type(id)).collect()
        };
        compare("resource type", &self.resource_type, &types, Glob::matches)?;
        let service = notification.monitoring_service.as_slice();
        compare("monitoring service", &self.monitoring_service, service, Glob::matches_loosely)?;
        compare("signal", &self.signal, notification.signal.as_slice(), Glob::matches_loosely)?;
        for (key, globs) in &self.custom {
            let values: Vec<&String> = notification
                .custom
                .iter()
                .filter(|(name, _)| name.to_lowercase() == key.to_lowercase())
                .map(|(_, value)| value)
                .collect();
            compare(&format!("custom property {key}"), globs, &values, Glob::matches)?;
        }
        match &self.not {
            Some(not) if not.judge(connection, notification).is_ok() => Err(Mismatch::Excluded),
            Some(_) | None => Ok(()),
        }
    }

    /// No criterion at all: everything fits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the alert is: its targets, else its rule, else its subscription.
fn places(notification: &Notification) -> Vec<String> {
    if !notification.targets.is_empty() {
        return notification.targets.clone();
    }
    match (&notification.rule_id, notification.id.subscription()) {
        (Some(rule), _) => vec![rule.clone()],
        (None, Some(subscription)) => vec![format!("/subscriptions/{subscription}")],
        (None, None) => Vec::new(),
    }
}

fn compare<W: fmt::Display, F: AsRef<str>>(
    criterion: &str,
    wanted: &[W],
    found: &[F],
    fits: impl Fn(&W, &str) -> bool,
) -> Result<(), Mismatch> {
    if wanted.is_empty() || found.iter().any(|found| wanted.iter().any(|wanted| fits(wanted, found.as_ref()))) {
        return Ok(());
    }
    let criterion = criterion.to_owned();
    let wanted = wanted.iter().map(ToString::to_string).collect();
    if found.is_empty() {
        return Err(Mismatch::Missing { criterion, wanted });
    }
    Err(Mismatch::Differs { criterion, found: found.iter().map(|found| found.as_ref().to_owned()).collect(), wanted })
}

#[cfg(test)]
mod tests;
