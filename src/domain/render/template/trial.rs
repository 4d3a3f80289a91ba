//! Every template of a route tried on samples of all kinds of alerts and on the route's examples, before an alert comes.

use super::super::{Composed, compose};
use super::engine::Template;
use super::samples::samples;
use super::{About, Problem};
use crate::domain::event::{Notification, Severity};
use crate::domain::id::ConnectionName;
use crate::domain::route::{Expected, Route, Rules};

/// A template that fails for an alert as it may come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the route's file.
    pub line: usize,
    /// ``title of route `payments`: the alert has no `custom.ower` …``
    pub text: String,
}

/// One alert to try, and how it is called.
struct Subject {
    name: String,
    notification: Notification,
    connection: ConnectionName,
    /// A custom property holds a pattern of the route instead of a value.
    is_sketch: bool,
}

impl Rules {
    /// The failures of a route's templates, each once, with the first sample that shows it.
    pub fn try_templates(&self, route: &Route) -> Vec<Failure> {
        let Some(templates) = &route.templates else { return Vec::new() };
        let mut failures = misspelt(route, &templates.parts());
        let mut found: Vec<(Problem, String, usize)> = Vec::new();
        for subject in self.subjects(route) {
            let Subject { name, notification, connection, is_sketch } = subject;
            let composed: Composed = compose(&notification, self.portal(&connection));
            let about =
                About { notification: &notification, connection: &connection, team: &route.team, route: &route.name };
            let (_, problems) = templates.page(&about, &composed);
            for problem in problems.into_iter().filter(|problem| !(is_sketch && problem.of_form)) {
                let same = |(known, ..): &&mut (Problem, String, usize)| {
                    known.part == problem.part && known.error.line == problem.error.line
                };
                match found.iter_mut().find(same) {
                    Some((.., more)) => *more = more.saturating_add(1),
                    None => found.push((problem, name.clone(), 0)),
                }
            }
        }
        failures.extend(found.into_iter().map(|(problem, name, more)| {
            let more = match more {
                0 => String::new(),
                1 => " and one more".to_owned(),
                more => format!(" and {more} more"),
            };
            let Problem { part, error, .. } = problem;
            Failure {
                line: error.line,
                text: format!("{part} of route `{}`: {}; seen with {name}{more}", route.name, error.problem),
            }
        }));
        failures
    }

    fn portal(&self, connection: &ConnectionName) -> &str {
        self.connections.get(connection).map_or("https://portal.azure.com", |traits| &traits.portal)
    }

    /// The samples, once for each severity that the route takes and with the custom properties that it asks for, then
    /// the examples.
    fn subjects(&self, route: &Route) -> Vec<Subject> {
        let mut subjects = Vec::new();
        let first = route.criteria.connection.first().or_else(|| self.connections.keys().next());
        let Some(connection) = first else { return subjects };
        let custom = &route.criteria.custom;
        let is_pattern = |text: &str| text.contains(['*', '?']);
        for (kind, sample) in samples() {
            let severities: Vec<Option<Severity>> = if route.criteria.severity.is_empty() {
                vec![sample.severity]
            } else {
                route.criteria.severity.iter().copied().map(Some).collect()
            };
            for severity in severities {
                let mut notification = Notification { severity, ..sample.clone() };
                let wanted = custom.iter().filter_map(|(name, globs)| Some((name, globs.first()?.as_str())));
                notification.custom.extend(wanted.map(|(name, value)| (name.clone(), value.to_owned())));
                let severity = severity.map_or("no severity", Severity::as_str);
                subjects.push(Subject {
                    name: format!("the sample {kind} ({severity})"),
                    notification,
                    connection: connection.clone(),
                    is_sketch: custom.values().flatten().any(|glob| is_pattern(glob.as_str())),
                });
            }
        }
        let examples = route.examples.iter().filter(|example| example.expected != Expected::Left);
        subjects.extend(examples.map(|example| Subject {
            name: format!("the example in line {}", example.line),
            notification: example.notification.clone(),
            connection: example.connection.clone().unwrap_or_else(|| connection.clone()),
            is_sketch: false,
        }));
        subjects
    }
}

/// Custom properties that look like one that the route asks for or an example has, and are none of them.
fn misspelt(route: &Route, parts: &[(super::Part, &Template)]) -> Vec<Failure> {
    let examples = route.examples.iter().flat_map(|example| example.notification.custom.keys());
    let known: Vec<&String> = route.criteria.custom.keys().chain(examples).collect();
    let mut failures = Vec::new();
    for (part, template) in parts {
        for name in template.names() {
            let Some(property) = name.strip_prefix("custom.") else { continue };
            if known.iter().any(|known| known.to_lowercase() == property.to_lowercase()) {
                continue;
            }
            if let Some(near) =
                known.iter().find(|known| strsim::damerau_levenshtein(known, property) <= 1 + known.len() / 4)
            {
                failures.push(Failure {
                    line: template.line_of(&name),
                    text: format!(
                        "{part} of route `{}`: no example of the route has `{name}`; did you mean `custom.{near}`?",
                        route.name
                    ),
                });
            }
        }
    }
    failures
}
