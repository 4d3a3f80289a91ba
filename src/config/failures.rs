//! What is wrong with a configuration that can be read: examples that go elsewhere, templates
//! that fail, and routes that never match.
//!
//! `check` reports them, and a reload with one of them changes nothing: its routes would not do what their owner says.

use super::{Config, Problem};

impl Config {
    /// In the order of the routes; none if all is well.
    pub fn failures(&self) -> Vec<Problem> {
        let rules = &self.rules;
        let mut failures = Vec::new();
        let mut fail = |file: &str, line: usize, message: String| {
            failures.push(Problem { place: format!("{}:{line}", self.routes.join(file).display()), message });
        };
        for route in &rules.routes {
            for example in &route.examples {
                if let Err(surprise) = rules.run(route, example) {
                    fail(&route.file, example.line, format!("example of route `{}`: {surprise}", route.name));
                }
            }
            for failure in rules.try_templates(route) {
                fail(&route.file, failure.line, failure.text);
            }
        }
        for shadow in rules.shadowed() {
            let name = &shadow.route.name;
            let message = match shadow.by {
                Some(by) => format!(
                    "route `{name}` never gets an alert: `{}` ({}:{}) takes all of them before; move it up, narrow the \
                     other, or give the other `continue = true`",
                    by.name, by.file, by.line
                ),
                None => format!("route `{name}` never matches: its `not` leaves out all that it takes"),
            };
            fail(&shadow.route.file, shadow.route.line, message);
        }
        failures
    }
}
