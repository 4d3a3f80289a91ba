//! The environment form of every key: `BRIDGE__SERVER__LISTEN`, `BRIDGE__AZURE__CONTOSO__TENANT_ID`.
//!
//! A variable wins over the file. Names of connections and teams are compared without regard to case and with `-` as
//! `_`; a name that the file does not have makes a new section. A value may be a TOML or JSON list or table.

use std::collections::BTreeMap;

use super::document::{Entry, Node, Table, Value, parse_value};
use super::problem::{Findings, Place, nearest, one_of};

pub(super) const PREFIX: &str = "BRIDGE__";
pub(super) const SECTIONS: [&str; 6] = ["server", "store", "routing", "alarm", "azure", "signl4"];

/// Lays the variables over what the file says.
pub(super) fn overlay(table: &mut Table, env: &BTreeMap<String, String>, findings: &mut Findings) {
    for (name, text) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let place = Place::Variable { name: name.clone() };
        if let Some(path) = path(table, rest, &place, findings) {
            set(table, &path, &Node { value: value(text, &place), place });
        }
    }
}

/// The variables' beginning for a section's keys: `BRIDGE__AZURE__CONTOSO__`.
pub(super) fn prefix(parts: &[&str]) -> String {
    let mut prefix = PREFIX.to_owned();
    for part in parts {
        prefix.push_str(&part.to_uppercase().replace('-', "_"));
        prefix.push_str("__");
    }
    prefix
}

fn path(table: &Table, rest: &str, place: &Place, findings: &mut Findings) -> Option<Vec<String>> {
    let lower = rest.to_lowercase();
    let (section, rest) = lower.split_once("__").unwrap_or((lower.as_str(), ""));
    if !SECTIONS.contains(&section) {
        let hint = match nearest(section, SECTIONS) {
            Some(near) => format!("did you mean `{PREFIX}{}__{}`?", near.to_uppercase(), rest.to_uppercase()),
            None => format!("the sections are {}", one_of(&SECTIONS).replace(" or ", " and ")),
        };
        findings.error(place, format!("there is no section [{section}]; {hint}"));
        return None;
    }
    let mut path = vec![section.to_owned()];
    let rest = if matches!(section, "azure" | "signl4") {
        let (name, rest) = named(table, section, rest);
        path.push(name);
        rest
    } else {
        rest
    };
    path.extend(rest.split("__").map(str::to_owned));
    if path.iter().any(String::is_empty) {
        let form = if path.len() > 2 { "NAME__KEY" } else { "KEY" };
        findings.error(
            place,
            format!("names no key of [{section}]; write it as `{PREFIX}{}__{form}`", section.to_uppercase()),
        );
        return None;
    }
    Some(path)
}

/// The configured name that the text begins with, and what follows it.
fn named<'r>(table: &Table, section: &str, rest: &'r str) -> (String, &'r str) {
    let configured = table.get(section).and_then(|entry| entry.node.value.as_table());
    let configured = configured.map_or(&[][..], |names| names.entries.as_slice());
    configured
        .iter()
        .filter_map(|entry| {
            let rest = rest.strip_prefix(&entry.key.to_lowercase().replace('-', "_"))?.strip_prefix("__")?;
            Some((entry.key.clone(), rest))
        })
        .max_by_key(|(name, _)| name.len())
        .unwrap_or_else(|| {
            let (name, rest) = rest.split_once("__").unwrap_or((rest, ""));
            (name.to_owned(), rest)
        })
}

fn value(text: &str, place: &Place) -> Value {
    let structured = text.trim_start().starts_with(['[', '{']);
    structured.then(|| parse_value(text.trim(), place)).flatten().unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn set(table: &mut Table, path: &[String], node: &Node) {
    let Some((key, rest)) = path.split_first() else { return };
    // A secret has one origin: the one that the environment names replaces the file's.
    if rest.is_empty() && matches!(key.as_str(), "file" | "env") {
        table.entries.retain(|entry| !matches!(entry.key.as_str(), "file" | "env") || entry.node.place.is_variable());
    }
    let at = table.entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        let empty = Node { value: Value::Table(Table::default()), place: node.place.clone() };
        table.entries.push(Entry { key: key.clone(), key_place: node.place.clone(), node: empty });
        table.entries.len() - 1
    });
    let Some(entry) = table.entries.get_mut(at) else { return };
    if rest.is_empty() {
        entry.key_place = node.place.clone();
        entry.node = node.clone();
        return;
    }
    if let Value::Table(inner) = &mut entry.node.value {
        set(inner, rest, node);
    } else {
        let mut inner = Table::default();
        set(&mut inner, rest, node);
        entry.node = Node { value: Value::Table(inner), place: node.place.clone() };
    }
}
