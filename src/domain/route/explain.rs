//! Why an alert goes where it goes, route by route; and what a route takes, in words.

use std::fmt;

use super::{Criteria, Mismatch, Route, Rules};
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

impl Decision {
    pub const fn takes(&self) -> bool {
        match self {
            Self::Takes | Self::TakesAndContinues => true,
            Self::Leaves(_) | Self::NotAsked => false,
        }
    }
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

impl fmt::Display for Criteria {
    /// `severity Sev0, Sev1; rule cpu*`, or `everything`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut add = |name: &str, values: Vec<String>| {
            if !values.is_empty() {
                parts.push(format!("{name} {}", values.join(", ")));
            }
        };
        add("severity", self.severity.iter().map(|severity| severity.as_str().to_owned()).collect());
        add("connection", self.connection.iter().map(ToString::to_string).collect());
        add("target in", self.scope.clone());
        for (name, globs) in [
            ("rule", &self.rule),
            ("resource", &self.resource),
            ("resource type", &self.resource_type),
            ("monitoring service", &self.monitoring_service),
            ("signal", &self.signal),
        ] {
            add(name, globs.iter().map(ToString::to_string).collect());
        }
        for (key, globs) in &self.custom {
            add(&format!("custom property {key}"), globs.iter().map(ToString::to_string).collect());
        }
        if let Some(not) = &self.not {
            parts.push(format!("not ({not})"));
        }
        if parts.is_empty() { f.write_str("everything") } else { f.write_str(&parts.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Glob;
    use super::*;
    use crate::domain::event::Severity;

    #[test]
    fn criteria_are_said_in_words() {
        assert_eq!(Criteria::default().to_string(), "everything");
        let criteria = Criteria {
            severity: vec![Severity::Sev0, Severity::Sev1],
            rule: vec![Glob::new("cpu*")],
            not: Some(Box::new(Criteria { resource: vec![Glob::new("test?")], ..Criteria::default() })),
            ..Criteria::default()
        };
        assert_eq!(criteria.to_string(), "severity Sev0, Sev1; rule cpu*; not (resource test?)");
    }
}
