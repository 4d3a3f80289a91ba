//! `title`, `message`, `parameters`, `runbook` and `location` of a route: read, compiled, and refused where no alert could
//! ever satisfy them.

use super::problem::{Findings, nearest};
use super::section::{Item, Section};
use crate::domain::render::TEXT_KEYS;
use crate::domain::render::template::{
    Coordinates, DETAILS, Location, NAMES, Position, RUNBOOK, Template, TemplateError, Templates,
};
use crate::domain::route::Glob;

/// A person reads them on a phone.
const MOST_PARAMETERS: usize = 20;
const NAME_CHARS: usize = 40;
/// SIGNL4's own members of the body begin so.
const SIGNL4_PREFIX: &str = "x-s4-";

/// The templates of a route; `None` where it has none.
pub(super) fn templates(section: &mut Section<'_>, findings: &mut Findings) -> Option<Templates> {
    let templates = Templates {
        title: section.take("title").and_then(|item| template(&item, findings)),
        message: section.take("message").and_then(|item| template(&item, findings)),
        runbook: section.take("runbook").and_then(|item| template(&item, findings)),
        parameters: section.take("parameters").map(|item| parameters(&item, findings)).unwrap_or_default(),
        location: section.take("location").and_then(|item| location(&item, findings)),
    };
    let named = templates.parameters.iter().any(|(name, _)| name.eq_ignore_ascii_case(RUNBOOK));
    if let (true, Some(item)) = (named && templates.runbook.is_some(), section.take("parameters")) {
        item.error(format_args!("names `{RUNBOOK}`, and `runbook` gives it already; leave one"), findings);
    }
    (!templates.is_empty()).then_some(templates)
}

fn template(item: &Item, findings: &mut Findings) -> Option<Template> {
    let text = item.text(findings)?.to_owned();
    compile(item, &text, findings)
}

fn compile(item: &Item, text: &str, findings: &mut Findings) -> Option<Template> {
    let (line, is_multiline) = item.place().text_lines();
    match Template::compile(text, Position { line, is_multiline }) {
        Ok(template) => Some(template),
        Err(TemplateError { line, problem, unknown }) => {
            let near = unknown.as_deref().and_then(near).map(|near| format!("; did you mean `{near}`?"));
            let hint = near.unwrap_or_else(|| match &unknown {
                Some(_) => format!("; there are {}", NAMES.join(", ")),
                None => String::new(),
            });
            let message = format!("`{}` in {} is no template: {problem}{hint}", item.key, item.section);
            let place = if is_multiline { item.place().on_line(line) } else { item.place().clone() };
            findings.error(&place, message);
            None
        }
    }
}

fn near(unknown: &str) -> Option<String> {
    match unknown.strip_prefix("detail.") {
        Some(fact) => nearest(fact, DETAILS).map(|near| format!("detail.{near}")),
        None => nearest(unknown, NAMES).map(str::to_owned),
    }
}

/// `{ Owner = "{{ custom.owner }}" }`; the empty text leaves a built-in parameter out.
fn parameters(item: &Item, findings: &mut Findings) -> Vec<(String, Template)> {
    let mut parameters: Vec<(String, Template)> = Vec::new();
    let Some(table) = item.table("a table such as { Owner = \"{{ custom.owner | default('nobody') }}\" }", findings)
    else {
        return parameters;
    };
    if table.entries().len() > MOST_PARAMETERS {
        item.error(format_args!("has more than {MOST_PARAMETERS} parameters; nobody reads so many"), findings);
    }
    for entry in table.entries() {
        let value = Item::new(entry, &entry.key, &table.name);
        let lower = entry.key.to_lowercase();
        let problem = if TEXT_KEYS.contains(&lower.as_str()) {
            Some(
                "is a name under which SIGNL4 looks for title and text; take another, or the key `title` or `message` of the route",
            )
        } else if lower.starts_with(SIGNL4_PREFIX) {
            Some("begins like SIGNL4's own members; take another name")
        } else if entry.key.trim().is_empty()
            || entry.key.chars().count() > NAME_CHARS
            || entry.key.chars().any(char::is_control)
        {
            Some("must be a name of one line and 1 to 40 characters")
        } else if parameters.iter().any(|(name, _)| name.to_lowercase() == lower) {
            Some("stands there twice; case does not count")
        } else {
            None
        };
        if let Some(problem) = problem {
            findings.error(&entry.key_place, format!("`{}` in {} {problem}", entry.key, table.name));
            continue;
        }
        let text = match value.as_text() {
            Some(text) => Some(text.to_owned()),
            None => value.text(findings).map(str::to_owned),
        };
        if let Some(template) = text.and_then(|text| compile(&value, &text, findings)) {
            parameters.push((entry.key.clone(), template));
        }
    }
    parameters
}

/// A text or template `"52.52,13.40"`, or `{ property = "site", table = { west = "52.52,13.40" } }`; without `property`
/// the table goes by the names of resources.
fn location(item: &Item, findings: &mut Findings) -> Option<Location> {
    if item.as_text().is_some() {
        let found = template(item, findings)?;
        let text = item.as_text().unwrap_or_default();
        if !text.contains(['{', '}']) && Coordinates::parse(text).is_none() {
            item.error(NO_PLACE, findings);
            return None;
        }
        return Some(Location::Template(found));
    }
    let mut section = item.table(
        "a text such as \"52.52,13.40\" or a table such as { table = { \"*-west\" = \"52.52,13.40\" } }",
        findings,
    )?;
    let property = section.take("property").and_then(|item| item.text(findings).map(str::to_owned));
    let table = section.demand("table", "{ west = \"52.52,13.40\" }", findings);
    section.finish(findings);
    let table = table?;
    let entries = table.table("a table such as { west = \"52.52,13.40\" }", findings)?;
    if entries.entries().is_empty() {
        table.error("is empty; name at least one place or leave `location` out", findings);
    }
    let mut places = Vec::new();
    for entry in entries.entries() {
        let value = Item::new(entry, &entry.key, &entries.name);
        let Some(text) = value.text(findings) else { continue };
        match Coordinates::parse(text) {
            Some(coordinates) => places.push((Glob::new(&entry.key), coordinates)),
            None => value.error(NO_PLACE, findings),
        }
    }
    Some(Location::Table { property, table: places })
}

const NO_PLACE: &str = "must be a latitude and a longitude in degrees, such as \"52.52,13.40\"";
