//! A tree of values, each of which knows where it stands: the common form of a TOML file and of the environment.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use toml::de::{DeTable, DeValue};

use super::problem::{Findings, Place, Source};

/// No `Debug`: values may be secrets.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
}

#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    /// A TOML date or time, as text.
    Date(String),
    /// Numbers that no key takes.
    Other(&'static str),
    List(Vec<Node>),
    Table(Table),
}

/// Keys in file order.
#[derive(Clone, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<Entry>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_place: Place,
    pub(super) node: Node,
}

impl Table {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Value {
    /// What it is, for `must be … and not …`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "true or false",
            Self::Date(_) => "a date",
            Self::Other(kind) => kind,
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    pub(super) fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(super) fn as_table(&self) -> Option<&Table> {
        if let Self::Table(table) = self { Some(table) } else { None }
    }
}

/// Reads a TOML file; syntax errors are reported and what could be read is returned.
pub(super) fn parse(source: &Rc<Source>, findings: &mut Findings) -> Table {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let offset = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    // What the parser stumbles over after the first error mostly follows from it.
    if let Some(error) = errors.iter().min_by_key(|error| offset(error)) {
        let offset = offset(error);
        // Only the message: the error's own form quotes the line, which may hold a secret.
        let place = Place::File { source: Rc::clone(source), offset };
        findings.error(&place, format!("this is not TOML: {}", error.message()));
    }
    let place = |offset| Place::File { source: Rc::clone(source), offset };
    to_table(table.get_ref(), &place)
}

/// Reads one value as TOML or JSON, as an environment variable may hold it; `None` if it is neither.
pub(super) fn parse_value(text: &str, place: &Place) -> Option<Value> {
    if let Ok(value) = DeValue::parse(text) {
        return Some(to_value(value.get_ref(), &|_| place.clone()));
    }
    serde_json::from_str(text).ok().map(|value| from_json(&value, place))
}

pub(super) fn read(path: &Path, name: String) -> Result<Rc<Source>, ReadError> {
    let bytes = std::fs::read(path).map_err(ReadError::Io)?;
    String::from_utf8(bytes).map(|text| Source::new(name, text)).map_err(|_| ReadError::NotUtf8)
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("cannot be read: {0}")]
    Io(#[source] std::io::Error),
    #[error("is not UTF-8 text; save it as UTF-8")]
    NotUtf8,
}

fn to_table(table: &DeTable<'_>, place: &dyn Fn(usize) -> Place) -> Table {
    let mut entries: Vec<(usize, Entry)> = table
        .iter()
        .map(|(key, value)| {
            let entry = Entry {
                key: key.get_ref().clone().into_owned(),
                key_place: place(key.span().start),
                node: Node { value: to_value(value.get_ref(), place), place: place(value.span().start) },
            };
            (key.span().start, entry)
        })
        .collect();
    entries.sort_by_key(|(offset, _)| *offset);
    Table { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
}

fn to_value(value: &DeValue<'_>, place: &dyn Fn(usize) -> Place) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("an integer out of range"), Value::Integer),
        DeValue::Float(_) => Value::Other("a number"),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| Node { value: to_value(item.get_ref(), place), place: place(item.span().start) })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(to_table(table, place)),
    }
}

fn from_json(value: &serde_json::Value, place: &Place) -> Value {
    let node = |value| Node { value: from_json(value, place), place: place.clone() };
    match value {
        serde_json::Value::Null => Value::Other("null"),
        serde_json::Value::Bool(boolean) => Value::Boolean(*boolean),
        serde_json::Value::Number(number) => number.as_i64().map_or(Value::Other("a number"), Value::Integer),
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(node).collect()),
        serde_json::Value::Object(entries) => Value::Table(Table {
            entries: entries
                .iter()
                .map(|(key, value)| Entry { key: key.clone(), key_place: place.clone(), node: node(value) })
                .collect(),
        }),
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.value.kind(), self.place)
    }
}
