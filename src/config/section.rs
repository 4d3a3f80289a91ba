//! Reading a table key by key. What nobody asked for is an unknown key, named with the nearest known one.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::document::{Entry, Node, Table, Value};
use super::problem::{Findings, Place, nearest, one_of};

/// A table while it is read.
pub(super) struct Section<'d> {
    /// `[server]`, `[azure.contoso]`, `[[route]]`: as people know it.
    pub(super) name: String,
    pub(super) place: Place,
    table: Cow<'d, Table>,
    known: BTreeSet<&'static str>,
    /// Begin of the environment variables of this section: `BRIDGE__SERVER__`.
    prefix: Option<String>,
}

impl<'d> Section<'d> {
    pub(super) fn new(name: String, place: Place, table: &'d Table) -> Self {
        Self { name, place, table: Cow::Borrowed(table), known: BTreeSet::new(), prefix: None }
    }

    pub(super) fn with_prefix(self, prefix: String) -> Self {
        Self { prefix: Some(prefix), ..self }
    }

    pub(super) fn empty(name: &str, place: Place) -> Self {
        Self { name: name.to_owned(), place, table: Cow::Owned(Table::default()), known: BTreeSet::new(), prefix: None }
    }

    /// The value of a key, which is thereby known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item> {
        self.known.insert(key);
        self.table.get(key).map(|entry| Item::new(entry, key, &self.name))
    }

    /// A key that must be there.
    pub(super) fn demand(&mut self, key: &'static str, example: &str, findings: &mut Findings) -> Option<Item> {
        let item = self.take(key);
        if item.is_none() {
            let message = match &self.prefix {
                Some(prefix) => format!(
                    "`{key}` is missing in {}; add `{key} = {example}` (or set {prefix}{})",
                    self.name,
                    key.to_uppercase()
                ),
                None => format!("`{key}` is missing in {}; add `{key} = {example}`", self.name),
            };
            findings.error(&self.place, message);
        }
        item
    }

    /// All entries, for tables whose keys are names.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.table.entries
    }

    /// Reports what was not asked for.
    pub(super) fn finish(self, findings: &mut Findings) {
        for entry in &self.table.entries {
            if self.known.contains(entry.key.as_str()) {
                continue;
            }
            let hint = match (nearest(&entry.key, self.known.iter().copied()), &entry.key_place, &self.prefix) {
                (Some(known), Place::Variable { .. }, Some(prefix)) => {
                    format!("; did you mean `{prefix}{}`?", known.to_uppercase())
                }
                (Some(known), _, _) => format!("; did you mean `{known}`?"),
                (None, _, _) => {
                    format!(
                        "; known are {}",
                        one_of(&self.known.iter().copied().collect::<Vec<_>>()).replace(" or ", " and ")
                    )
                }
            };
            findings.error(&entry.key_place, format!("unknown key `{}` in {}{hint}", entry.key, self.name));
        }
    }
}

/// A value with its key, for messages.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) node: Node,
    /// `listen` in `[server]`.
    pub(super) key: String,
    pub(super) section: String,
}

impl Item {
    pub(super) fn new(entry: &Entry, key: &str, section: &str) -> Self {
        Self { node: entry.node.clone(), key: key.to_owned(), section: section.to_owned() }
    }

    /// The same key, another value: an element of its list.
    pub(super) fn element(&self, node: Node) -> Self {
        Self { node, ..self.clone() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.node.place
    }

    /// Reports ``listen` in [server] MESSAGE``.
    pub(super) fn error(&self, message: impl std::fmt::Display, findings: &mut Findings) {
        findings.error(self.place(), format!("`{}` in {} {message}", self.key, self.section));
    }

    pub(super) fn warn(&self, message: impl std::fmt::Display, findings: &mut Findings) {
        let message = format!("`{}` in {} {message}", self.key, self.section);
        findings.warn(self.place(), message);
    }

    fn wrong_kind(&self, expected: &str, findings: &mut Findings) {
        self.error(format_args!("must be {expected} and not {}", self.node.value.kind()), findings);
    }

    pub(super) fn text(&self, findings: &mut Findings) -> Option<&str> {
        let Some(text) = self.as_text() else {
            self.wrong_kind("a text in quotes", findings);
            return None;
        };
        if text.trim().is_empty() {
            self.error("is empty; give it a value or leave the key out", findings);
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self, findings: &mut Findings) -> Option<bool> {
        let boolean = if let Value::Boolean(boolean) = &self.node.value {
            Some(*boolean)
        } else {
            self.as_variable().and_then(|text| text.trim().to_ascii_lowercase().parse().ok())
        };
        if boolean.is_none() {
            self.wrong_kind("true or false (without quotes)", findings);
        }
        boolean
    }

    /// A whole number from 1.
    pub(super) fn count(&self, findings: &mut Findings) -> Option<u32> {
        let integer = if let Value::Integer(integer) = &self.node.value {
            u32::try_from(*integer).ok()
        } else if let Some(text) = self.as_variable() {
            text.trim().parse().ok()
        } else {
            self.wrong_kind("a whole number", findings);
            return None;
        };
        if integer.is_none_or(|integer| integer == 0) {
            self.error("must be a whole number from 1", findings);
            return None;
        }
        integer
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let text = self.text(findings)?.to_owned();
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = nearest(&text, known.iter().copied())
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            self.error(format_args!("is `{text}`, but must be {}{hint}", one_of(&known)), findings);
        }
        found
    }

    /// A list, or one value instead of a list of one. Text of an environment variable is split at commas.
    pub(super) fn list(&self) -> Vec<Self> {
        if let Value::List(items) = &self.node.value {
            items.iter().map(|node| self.element(node.clone())).collect()
        } else if let Some(text) = self.as_variable() {
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| self.element(Node { value: Value::Text(part.to_owned()), place: self.place().clone() }))
                .collect()
        } else {
            vec![self.clone()]
        }
    }

    /// [`Self::list`] of texts; an empty list is an error.
    pub(super) fn texts(&self, findings: &mut Findings) -> Vec<Self> {
        let items = self.list();
        if items.is_empty() {
            self.error("is an empty list; name at least one or leave the key out", findings);
        }
        items.into_iter().filter(|item| item.text(findings).is_some()).collect()
    }

    pub(super) fn table(&self, expected: &str, findings: &mut Findings) -> Option<Section<'_>> {
        let Some(table) = self.node.value.as_table() else {
            self.wrong_kind(expected, findings);
            return None;
        };
        Some(Section::new(format!("`{}` of {}", self.key, self.section), self.place().clone(), table))
    }

    /// The text without checks: for telling a text from a table.
    pub(super) fn as_text(&self) -> Option<&str> {
        self.node.value.as_text()
    }

    /// The text of an environment variable, which is all that one can hold.
    fn as_variable(&self) -> Option<&str> {
        self.as_text().filter(|_| self.place().is_variable())
    }
}
