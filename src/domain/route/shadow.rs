//! Routes that can never match: an earlier one takes all of theirs, or their own `not` leaves nothing.
//!
//! Only what is certain from the text of the criteria is said; two earlier routes that take everything together are
//! not noticed.

use super::resource::lies_in;
use super::{Criteria, Glob, Route, Rules};
use crate::domain::id::ConnectionName;

/// A route that never gets an alert.
#[derive(Clone, Copy, Debug)]
pub struct Shadow<'r> {
    pub route: &'r Route,
    /// The earlier route that takes everything this one could; `None`: its own `not` does.
    pub by: Option<&'r Route>,
}

impl Rules {
    pub fn shadowed(&self) -> Vec<Shadow<'_>> {
        let connections: Vec<&ConnectionName> = self.connections.keys().collect();
        let mut shadowed = Vec::new();
        for (at, route) in self.routes.iter().enumerate() {
            let criteria = &route.criteria;
            if criteria.not.as_deref().is_some_and(|not| criteria.lies_within(not, &connections)) {
                shadowed.push(Shadow { route, by: None });
                continue;
            }
            let by = self
                .routes
                .iter()
                .take(at)
                .find(|earlier| !earlier.continues && criteria.lies_within(&earlier.criteria, &connections));
            if by.is_some() {
                shadowed.push(Shadow { route, by });
            }
        }
        shadowed
    }
}

impl Criteria {
    /// Whether everything that fits here surely fits `wider` too.
    fn lies_within(&self, wider: &Self, connections: &[&ConnectionName]) -> bool {
        let connection = if self.connection.is_empty() {
            wider.connection.is_empty()
                || (!connections.is_empty() && connections.iter().all(|name| wider.connection.contains(name)))
        } else {
            within(&wider.connection, &self.connection, |wide, narrow| wide == narrow)
        };
        connection
            && within(&wider.scope, &self.scope, |wide, narrow| lies_in(narrow, wide))
            && within(&wider.severity, &self.severity, |wide, narrow| wide == narrow)
            && within(&wider.rule, &self.rule, Glob::covers)
            && within(&wider.resource, &self.resource, Glob::covers)
            && within(&wider.resource_type, &self.resource_type, Glob::covers)
            && within(&wider.monitoring_service, &self.monitoring_service, Glob::covers_loosely)
            && within(&wider.signal, &self.signal, Glob::covers_loosely)
            && wider
                .custom
                .iter()
                .all(|(key, globs)| self.custom.get(key).is_some_and(|narrow| within(globs, narrow, Glob::covers)))
            && match (&wider.not, &self.not) {
                (None, _) => true,
                // What the wider one leaves out must be left out here too.
                (Some(wide), Some(narrow)) => wide.lies_within(narrow, connections),
                (Some(_), None) => false,
            }
    }
}

/// An empty list takes everything, also alerts that say nothing of the criterion.
fn within<T>(wide: &[T], narrow: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    wide.is_empty() || (!narrow.is_empty() && narrow.iter().all(|narrow| wide.iter().any(|wide| covers(wide, narrow))))
}

#[cfg(test)]
mod tests;
