//! One template: compiled once, rendered within limits.
//!
//! The engine reads nothing but the variables that it is given: there is no loader, and includes, imports and macros are
//! not built in. Work and output are limited by fuel, so that no template can hold the store's writer up.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::super::text;
use super::variables::{NAMES, Variable};

/// One unit is an instruction, or 64 bytes of what is read or written: half a megabyte at the very most.
const FUEL: u64 = 10_000;
/// Loops within loops and the like.
const DEPTH: usize = 40;
/// The name of every template in its own environment.
const NAME: &str = "template";
/// Functions of the engine that a template may call.
const FUNCTIONS: [&str; 3] = ["range", "dict", "namespace"];

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(DEPTH);
    // Names the variable that is not there; the cost comes with an error only.
    engine.set_debug(true);
    engine.remove_global("debug");
    // A line that holds a tag alone leaves no blank line behind.
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        engine.set_syntax(syntax);
    }
    engine.add_filter("default", default);
    engine.add_filter("d", default);
    engine.add_filter("truncate", |value: String, chars: usize| text::clip(&value, chars));
    engine
});

/// Stands in for what is missing or empty: Azure sends both for the same thing.
fn default(value: Value, other: Option<Value>) -> Value {
    let empty = value.is_undefined() || value.is_none() || value.as_str().is_some_and(|text| text.trim().is_empty());
    if empty { other.unwrap_or_else(|| Value::from("")) } else { value }
}

/// A compiled template, and where it stands.
#[derive(Clone)]
pub struct Template {
    engine: Arc<Environment<'static>>,
    source: String,
    position: Position,
}

/// Where a template stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line of the file with the template's first line.
    pub line: usize,
    /// Each line of the template is a line of the file.
    pub is_multiline: bool,
}

impl Position {
    /// Line of the file with a line of the template, counted from 1.
    fn of(self, line: usize) -> usize {
        if self.is_multiline { self.line.saturating_add(line.saturating_sub(1)) } else { self.line }
    }
}

/// What is wrong with a template, or with what it gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct TemplateError {
    /// Line of the file.
    pub line: usize,
    pub problem: String,
    /// A name that nothing has: for `did you mean`.
    pub unknown: Option<String>,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template")
            .field("source", &self.source)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.position == other.position
    }
}

impl Template {
    /// Compiles a template; a variable that no alert has is an error.
    pub fn compile(source: &str, position: Position) -> Result<Self, TemplateError> {
        let mut engine = ENGINE.clone();
        if let Err(error) = engine.add_template_owned(NAME, source.to_owned()) {
            return Err(TemplateError {
                line: position.of(error.line().unwrap_or(1)),
                problem: words(&error),
                unknown: None,
            });
        }
        let template = Self { engine: Arc::new(engine), source: source.to_owned(), position };
        let unknown = template.names().into_iter().find(|name| {
            let mut parts = name.split('.');
            let (first, second) = (parts.next().unwrap_or_default(), parts.next());
            let detail = first == "detail" && second.is_some_and(|fact| !super::variables::DETAILS.contains(&fact));
            detail || !(NAMES.contains(&first) || FUNCTIONS.contains(&first))
        });
        match unknown {
            Some(name) => Err(template.unknown(&name)),
            None => Ok(template),
        }
    }

    fn unknown(&self, name: &str) -> TemplateError {
        let known = name.split('.').next().is_some_and(|first| NAMES.contains(&first));
        let name = if known { name } else { name.split('.').next().unwrap_or(name) };
        TemplateError {
            line: self.line_of(name),
            problem: format!("there is no variable `{name}`"),
            unknown: Some(name.to_owned()),
        }
    }

    /// `custom.owner`, `severity`: what it reads, in the order of names.
    pub(super) fn names(&self) -> Vec<String> {
        let Ok(template) = self.engine.get_template(NAME) else { return Vec::new() };
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.sort();
        names
    }

    /// Line of the file on which the name's last part stands first.
    pub(super) fn line_of(&self, name: &str) -> usize {
        let word = name.rsplit('.').next().unwrap_or(name);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let found = self.source.lines().position(|line| line.split(|c| !is_part(c)).any(|part| part == word));
        self.position.of(found.unwrap_or(0).saturating_add(1))
    }

    /// Line of the file on which it begins.
    pub fn line(&self) -> usize {
        self.position.line
    }

    /// Whether it says the same of every alert.
    pub(super) fn is_constant(&self) -> bool {
        self.names().is_empty()
    }

    /// The text that the template makes of these variables.
    pub(super) fn render(&self, variables: &Value) -> Result<String, TemplateError> {
        let failed = |line, problem| TemplateError { line: self.position.of(line), problem, unknown: None };
        let rendered = catch_unwind(AssertUnwindSafe(|| self.engine.get_template(NAME)?.render(variables.clone())));
        match rendered {
            Ok(Ok(text)) => Ok(text),
            Ok(Err(error)) => Err(failed(error.line().unwrap_or(1), words(&error))),
            Err(_) => Err(failed(1, "the template engine failed".to_owned())),
        }
    }
}

/// An error of the engine in the words of this project.
fn words(error: &Error) -> String {
    let detail = error.detail().unwrap_or_default();
    let kind = error.kind();
    if kind == ErrorKind::OutOfFuel {
        return "it takes too much work or gives too much text; shorten its loops".to_owned();
    }
    let missing = detail.strip_prefix('`').and_then(|rest| rest.split_once("` is undefined")).map(|(name, _)| name);
    if let (ErrorKind::UndefinedError, Some(name)) = (kind, missing) {
        return format!(
            "the alert has no `{name}`; say what stands there then: `{name} | default(\"…\")` or `{{% if {name} %}}`"
        );
    }
    if detail.is_empty() { kind.to_string() } else { format!("{kind}: {detail}") }
}

/// The variables as the engine reads them.
pub(super) fn context(variables: &[(&'static str, Variable)]) -> Value {
    Value::from_pairs(variables.iter().map(|(name, variable)| (*name, value(variable))))
}

fn value(variable: &Variable) -> Value {
    match variable {
        Variable::Text(text) => Value::from(text.as_str()),
        Variable::Number(Some(number)) => Value::from(*number),
        Variable::Number(None) => Value::from(""),
        Variable::Truth(truth) => Value::from(*truth),
        Variable::Texts(texts) => texts.iter().map(|text| Value::from(text.as_str())).collect(),
        Variable::Named(named) => Value::from_object(Named(named.clone())),
    }
}

/// Texts by name, found without regard to case, as the routes compare custom properties.
#[derive(Debug)]
struct Named(BTreeMap<String, String>);

impl Object for Named {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let same = || self.0.iter().find(|(name, _)| name.to_lowercase() == key.to_lowercase()).map(|(_, text)| text);
        self.0.get(key).or_else(same).map(|text| Value::from(text.as_str()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|name| Value::from(name.as_str())).collect())
    }
}
