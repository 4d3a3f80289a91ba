//! A route's own words: templates for title, message, parameters, runbook and location, laid over the page as the bridge
//! writes it.
//!
//! A page is never lost to a template. What fails, or gives nothing, leaves the built-in text in its place, and the
//! fault is told. Lengths are those of the built-in page; `[Test]` and the closing note stay, whoever wrote the rest.

mod engine;
mod location;
mod samples;
mod trial;
mod variables;

use std::fmt;

use minijinja::value::Value;

use super::super::event::Notification;
use super::super::id::ConnectionName;
use super::super::route::Route;
use super::{Composed, MESSAGE_CHARS, PARAMETER_CHARS, Rendered, TEST_MARK, TITLE_CHARS, text};

pub use engine::{Position, Template, TemplateError};
pub use location::{Coordinates, Location};
pub use trial::Failure;
pub use variables::{About, DETAILS, NAMES, Variable, variables};

/// Name of the parameter that holds the link of `runbook`.
pub const RUNBOOK: &str = "Runbook";

/// Below this many characters the built-in title says too little to be shortened further.
const TITLE_ROOM: usize = 32;

/// What a route says in its own words; at least one of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Templates {
    pub title: Option<Template>,
    pub message: Option<Template>,
    /// In file order. A built-in parameter of the same name is replaced, others stand behind.
    pub parameters: Vec<(String, Template)>,
    /// The one link besides the alert's own page.
    pub runbook: Option<Template>,
    pub location: Option<Location>,
}

/// A template that failed for an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub route: String,
    /// `payments.toml:12`
    pub place: String,
    pub part: Part,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, place, part, problem } = self;
        write!(f, "{place}: {part} of route `{route}` failed and {}: {problem}", part.instead())
    }
}

/// Which template of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Title,
    Message,
    Parameter(String),
    Runbook,
    Location,
}

impl Part {
    fn instead(&self) -> &'static str {
        match self {
            Self::Title | Self::Message => "the built-in text stands in its place",
            Self::Parameter(_) | Self::Runbook => "what the bridge says by itself stands in its place",
            Self::Location => "the page has none",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Title => f.write_str("title"),
            Self::Message => f.write_str("message"),
            Self::Parameter(name) => write!(f, "parameter `{name}`"),
            Self::Runbook => f.write_str("runbook"),
            Self::Location => f.write_str("location"),
        }
    }
}

/// Why a part has no text of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    part: Part,
    error: TemplateError,
    /// The template works, and what it gives for this alert is no address or no place.
    of_form: bool,
}

impl Route {
    /// The page of this route for an alert that it takes, and the templates that failed for it.
    pub fn page(
        &self,
        connection: &ConnectionName,
        notification: &Notification,
        composed: &Composed,
    ) -> (Rendered, Vec<Fault>) {
        let Some(templates) = &self.templates else { return (composed.page(), Vec::new()) };
        let about = About { notification, connection, team: &self.team, route: &self.name };
        let (page, problems) = templates.page(&about, composed);
        let fault = |problem: Problem| Fault {
            route: self.name.clone(),
            place: format!("{}:{}", self.file, problem.error.line),
            part: problem.part,
            problem: problem.error.problem,
        };
        (page, problems.into_iter().map(fault).collect())
    }
}

impl Templates {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn page(&self, about: &About<'_>, composed: &Composed) -> (Rendered, Vec<Problem>) {
        let mut writing = Writing { context: engine::context(&variables(about, composed)), problems: Vec::new() };
        let built_in = composed.page();
        let title = self.title.as_ref().and_then(|template| writing.title(template, about, composed));
        let message = self.message.as_ref().and_then(|template| writing.text(template, &Part::Message));
        let mut page = Rendered {
            title: title.unwrap_or(built_in.title),
            message: message
                .and_then(|text| message_of(&text))
                .map_or(built_in.message, |message| composed.closed(&message)),
            parameters: composed.parameters.clone(),
            location: self.location.as_ref().and_then(|location| writing.location(location, about.notification)),
        };
        let mut deeper = composed.deeper.clone();
        if let Some(link) = self.runbook.as_ref().and_then(|template| writing.runbook(template)) {
            deeper = Some((RUNBOOK.to_owned(), link));
        }
        page.parameters.extend(deeper);
        for (name, template) in &self.parameters {
            let Some(text) = writing.text(template, &Part::Parameter(name.clone())) else { continue };
            let value = parameter_of(&text);
            let same = page.parameters.iter().position(|(built_in, _)| built_in.eq_ignore_ascii_case(name));
            match (same.and_then(|at| page.parameters.get_mut(at)), value) {
                (Some(parameter), Some(value)) => *parameter = (name.clone(), value),
                (Some(_), None) => page.parameters.retain(|(built_in, _)| !built_in.eq_ignore_ascii_case(name)),
                (None, Some(value)) => page.parameters.push((name.clone(), value)),
                (None, None) => {}
            }
        }
        (page, writing.problems)
    }

    /// `title, runbook, 2 parameters`: what the route says in its own words.
    pub fn in_words(&self) -> String {
        let location = self.location.is_some().then_some("location");
        let single = [
            self.title.as_ref().map(|_| "title"),
            self.message.as_ref().map(|_| "message"),
            self.runbook.as_ref().map(|_| "runbook"),
            location,
        ];
        let mut words: Vec<String> = single.into_iter().flatten().map(str::to_owned).collect();
        match self.parameters.len() {
            0 => {}
            1 => words.push("1 parameter".to_owned()),
            more => words.push(format!("{more} parameters")),
        }
        words.join(", ")
    }

    /// Every template with its part, in the order in which they are read.
    fn parts(&self) -> Vec<(Part, &Template)> {
        let location = match &self.location {
            Some(Location::Template(template)) => Some(template),
            Some(Location::Table { .. }) | None => None,
        };
        let single = [
            (Part::Title, self.title.as_ref()),
            (Part::Message, self.message.as_ref()),
            (Part::Runbook, self.runbook.as_ref()),
            (Part::Location, location),
        ];
        let single = single.into_iter().filter_map(|(part, template)| Some((part, template?)));
        single.chain(self.parameters.iter().map(|(name, template)| (Part::Parameter(name.clone()), template))).collect()
    }
}

/// One page while its templates are rendered.
struct Writing {
    context: Value,
    problems: Vec<Problem>,
}

impl Writing {
    fn text(&mut self, template: &Template, part: &Part) -> Option<String> {
        match template.render(&self.context) {
            Ok(text) => Some(text),
            Err(error) => {
                self.problems.push(Problem { part: part.clone(), error, of_form: false });
                None
            }
        }
    }

    /// One line within the limit. Where the template puts words beside the built-in title, that title is made shorter in
    /// its own way, so that what is measured and where stay readable.
    fn title(&mut self, template: &Template, about: &About<'_>, composed: &Composed) -> Option<String> {
        let line = title_of(&self.text(template, &Part::Title)?, about.notification)?;
        let over = line.chars().count().saturating_sub(TITLE_CHARS);
        let room = composed.title.chars().count().saturating_sub(over);
        if over > 0 && room >= TITLE_ROOM && template.names().iter().any(|name| name == "title") {
            let shorter = Composed { title: composed.title_within(about.notification, room), ..composed.clone() };
            let again = template.render(&engine::context(&variables(about, &shorter))).ok();
            if let Some(line) = again.and_then(|text| title_of(&text, about.notification)) {
                return Some(text::clip(&line, TITLE_CHARS));
            }
        }
        Some(text::clip(&line, TITLE_CHARS))
    }

    /// A text of a given form; nothing is no error.
    fn formed<T>(
        &mut self,
        template: &Template,
        part: &Part,
        expected: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(template, part)?;
        let text = text.trim();
        let found = read(text);
        if found.is_none() && !text.is_empty() {
            let problem = format!("gives \"{}\", which is not {expected}", text::clip(&text::one_line(text), 60));
            let error = TemplateError { line: template.line(), problem, unknown: None };
            self.problems.push(Problem { part: part.clone(), error, of_form: !template.is_constant() });
        }
        found
    }

    fn runbook(&mut self, template: &Template) -> Option<String> {
        self.formed(template, &Part::Runbook, "the address of a page, such as https://…", |text| {
            text::is_web_address(text).then(|| text.to_owned())
        })
    }

    fn location(&mut self, location: &Location, notification: &Notification) -> Option<String> {
        match location {
            Location::Template(template) => self
                .formed(
                    template,
                    &Part::Location,
                    "a latitude and a longitude, such as 52.52,13.40",
                    Coordinates::parse,
                )
                .map(|found| found.to_string()),
            Location::Table { property, table } => {
                location::look_up(property.as_deref(), table, notification).map(ToString::to_string)
            }
        }
    }
}

/// One line, marked if it is a test.
fn title_of(text: &str, notification: &Notification) -> Option<String> {
    let line = text::one_line(text);
    if line.is_empty() {
        return None;
    }
    let needs_mark = notification.is_test() && !line.starts_with(TEST_MARK);
    Some(if needs_mark { format!("{TEST_MARK} {line}") } else { line })
}

/// Lines without hidden characters, never two empty ones in a row.
fn message_of(text: &str) -> Option<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.trim().lines().map(str::trim_end) {
        if !line.is_empty() || lines.last().is_some_and(|before| !before.is_empty()) {
            lines.push(line.to_owned());
        }
    }
    let message = text::clip(&text::lines(&lines), MESSAGE_CHARS);
    (!message.is_empty()).then_some(message)
}

/// One line within the limit; an address is whole.
fn parameter_of(text: &str) -> Option<String> {
    let line = text::one_line(text);
    if text::is_web_address(&line) {
        return Some(line);
    }
    Some(text::clip(&line, PARAMETER_CHARS)).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests;
