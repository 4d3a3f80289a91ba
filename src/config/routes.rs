//! The routes folder: `*.toml` in name order, `[[route]]` in file order.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::rc::Rc;

use super::document::{self, Table, Value};
use super::examples;
use super::problem::{ConfigError, Findings, Place, Source, nearest, shown};
use super::section::{Item, Section};
use super::templates;
use crate::domain::event::Severity;
use crate::domain::id::{ConnectionName, SubscriptionId, TeamName};
use crate::domain::route::{
    BySeverity, CloseInAzure, Criteria, Glob, OnReopened, OnResolved, Policy, Route, Rules, Scenario, SystemClose,
};

const SCENARIOS: [(&str, Scenario); 3] =
    [("single_ack", Scenario::SingleAck), ("multi_ack", Scenario::MultiAck), ("emergency", Scenario::Emergency)];

const ON_RESOLVED: [(&str, OnResolved); 3] =
    [("resolve", OnResolved::Resolve), ("annotate", OnResolved::Annotate), ("ignore", OnResolved::Ignore)];

const CLOSE_IN_AZURE: [(&str, CloseInAzure); 3] = [
    ("on_close", CloseInAzure::OnClose),
    ("on_resolve_too", CloseInAzure::OnResolveToo),
    ("never", CloseInAzure::Never),
];

const ON_REOPENED: [(&str, OnReopened); 3] =
    [("page", OnReopened::Page), ("annotate", OnReopened::Annotate), ("ignore", OnReopened::Ignore)];

const SYSTEM_CLOSE: [(&str, SystemClose); 2] = [("comment", SystemClose::Comment), ("close", SystemClose::Close)];

/// One file of the folder, parsed.
pub(super) struct File {
    /// Within the folder.
    pub(super) name: String,
    pub(super) source: Rc<Source>,
    pub(super) table: Table,
}

/// Reads the text of one routes file against the teams and connections of `rules`, with warnings; touches no file.
pub fn read_routes(name: &str, text: &str, rules: &Rules) -> Result<(Vec<Route>, Vec<String>), ConfigError> {
    let teams = rules.teams.iter().map(|(name, team)| (name.clone(), team.has_api)).collect();
    let connections =
        rules.connections.iter().map(|(name, traits)| (name.clone(), Some(traits.subscriptions.clone()))).collect();
    let names = Named { teams: &teams, fallback: Some(&rules.fallback_team), connections: &connections };
    let mut findings = Findings::default();
    let source = Source::new(name.to_owned(), text.to_owned());
    let table = document::parse(&source, &mut findings);
    let routes = routes(&[File { name: name.to_owned(), source, table }], &names, &mut findings);
    if findings.problems.is_empty() {
        Ok((routes, findings.warnings))
    } else {
        Err(ConfigError { problems: findings.problems })
    }
}

/// What a route may refer to.
#[derive(Debug)]
pub(super) struct Named<'n> {
    /// With whether the team has an API key and a user id.
    pub(super) teams: &'n BTreeMap<TeamName, bool>,
    pub(super) fallback: Option<&'n TeamName>,
    /// With the subscriptions; `None` for a connection that has errors of its own.
    pub(super) connections: &'n BTreeMap<ConnectionName, Option<BTreeSet<SubscriptionId>>>,
}

impl Named<'_> {
    /// Whether some connection lists the subscription, or might.
    pub(super) fn has_subscription(&self, subscription: &SubscriptionId) -> bool {
        self.connections.values().any(|list| list.as_ref().is_none_or(|list| list.contains(subscription)))
    }
}

/// Reads the folder. `demanded`: it was named on the command line and must be there.
pub(super) fn read(folder: &Path, demanded: bool, findings: &mut Findings) -> Vec<File> {
    let whole = Place::Whole { name: shown(folder) };
    let mut paths = Vec::new();
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                match entry {
                    Ok(entry) => paths.push(entry.path()),
                    Err(error) => findings.error(&whole, format!("cannot be read: {error}")),
                }
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !demanded => {
            findings.warn(&whole, "there is no such folder: every alert goes to the fallback team");
        }
        Err(error) => findings.error(&whole, format!("cannot be read as the routes folder: {error}")),
    }
    let there = folder.is_dir();
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        // Editors and Kubernetes keep hidden copies beside the real files.
        if name.starts_with('.') || path.extension().is_none_or(|extension| extension != "toml") || path.is_dir() {
            continue;
        }
        match document::read(&path, shown(&path)) {
            Ok(source) => {
                let before = findings.problems.len();
                let table = document::parse(&source, findings);
                // What is left of a broken file would only be said to lack what the break has swallowed.
                if findings.problems.len() == before {
                    files.push(File { name, source, table });
                }
            }
            Err(error) => findings.error(&Place::Whole { name: shown(&path) }, error.to_string()),
        }
    }
    if there && files.is_empty() && findings.problems.is_empty() {
        findings.warn(&whole, "holds no file *.toml: every alert goes to the fallback team");
    }
    files
}

/// All routes of all files, names checked.
pub(super) fn routes(files: &[File], names: &Named<'_>, findings: &mut Findings) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for file in files {
        let start = Place::File { source: Rc::clone(&file.source), offset: 0 };
        let mut section = Section::new(format!("the routes file {}", file.name), start, &file.table);
        let item = section.take("route");
        // Read by `maintenance`.
        section.take("maintenance");
        section.finish(findings);
        for item in item.iter().flat_map(Item::list) {
            let Some(section) = item.table("written as [[route]]", findings) else { continue };
            let Some(route) = route(section, &file.name, names, findings) else { continue };
            let here = format!("{}:{}", file.name, route.line);
            if let Some(earlier) = seen.insert(route.name.clone(), here) {
                findings.error(
                    item.place(),
                    format!("there is a route `{}` already in {earlier}; give this one another name", route.name),
                );
            }
            routes.push(route);
        }
    }
    routes
}

fn route(mut section: Section<'_>, file: &str, names: &Named<'_>, findings: &mut Findings) -> Option<Route> {
    "[[route]]".clone_into(&mut section.name);
    let name = section.demand("name", "\"payments\"", findings).and_then(|item| one_line(&item, findings));
    if let Some(name) = &name {
        section.name = format!("route `{name}`");
    }
    let criteria = section.take("match").map(|item| criteria(&item, names, findings)).unwrap_or_default();
    let page = section.take("page").and_then(|item| item.boolean(findings)).unwrap_or(true);
    let team = match section.take("team") {
        Some(item) => item.team(names.teams.keys(), findings),
        // Nobody is paged, or there is nobody else.
        None if !page || names.teams.len() == 1 => names.fallback.cloned(),
        None => {
            section.demand("team", "\"…\"", findings);
            None
        }
    };
    let text = |item: &Item, findings: &mut Findings| item.text(findings).map(str::to_owned);
    let service = section.take("service").map(|item| by_severity(&item, text, findings)).unwrap_or_default();
    let scenario = section
        .take("scenario")
        .map(|item| by_severity(&item, |item, findings| item.word(&SCENARIOS, findings), findings))
        .unwrap_or_default();
    let resolved = section.take("on_resolved");
    let reopened = section.take("on_reopened");
    let policy = Policy {
        grace: section.take("grace").and_then(|item| item.duration(findings)).unwrap_or_default(),
        records_only: !page,
        on_resolved: resolved.as_ref().and_then(|item| item.word(&ON_RESOLVED, findings)).unwrap_or_default(),
        close_in_azure: word(&mut section, "close_in_azure", &CLOSE_IN_AZURE, findings),
        system_close: word(&mut section, "system_close", &SYSTEM_CLOSE, findings),
        on_reopened: reopened.as_ref().and_then(|item| item.word(&ON_REOPENED, findings)).unwrap_or_default(),
        quiet_period: section.take("quiet_period").map(|item| item.duration_or_off(findings).unwrap_or_default()),
        time_to_live: section.take("time_to_live").and_then(|item| item.duration_or_off(findings)),
        always_alone: !section.take("storm").and_then(|item| item.boolean(findings)).unwrap_or(true),
        page_again: section.take("page_again").and_then(|item| item.duration_or_off(findings)),
    };
    let annotates = [
        (resolved, policy.on_resolved == OnResolved::Annotate, "resolve"),
        (reopened, policy.on_reopened == OnReopened::Annotate, "page"),
    ];
    for (item, annotates, instead) in annotates {
        if let (Some(item), Some(team), true) = (item, &team, annotates)
            && names.teams.get(team) == Some(&false)
        {
            item.error(
                format_args!(
                    "is \"annotate\", which needs `api_key` and `user_id` in [signl4.{team}]; add them or use \"{instead}\""
                ),
                findings,
            );
        }
    }
    let templates = templates::templates(&mut section, findings);
    let continues = section.take("continue").and_then(|item| item.boolean(findings)).unwrap_or_default();
    let examples = section
        .take("example")
        .iter()
        .flat_map(Item::list)
        .filter_map(|item| examples::example(&item, names, findings))
        .collect();
    let line = section.place.line();
    section.finish(findings);
    Some(Route {
        name: name?,
        file: file.to_owned(),
        line,
        criteria,
        team: team?,
        service,
        scenario,
        policy,
        templates,
        continues,
        examples,
    })
}

/// It stands in logs, metrics and on pages.
pub(super) fn one_line(item: &Item, findings: &mut Findings) -> Option<String> {
    let text = item.text(findings)?.trim();
    if text.chars().count() > 100 || text.chars().any(char::is_control) {
        item.error("must be one line of at most 100 characters", findings);
        return None;
    }
    Some(text.to_owned())
}

fn word<T: Copy + Default>(
    section: &mut Section<'_>,
    key: &'static str,
    words: &[(&str, T)],
    findings: &mut Findings,
) -> T {
    section.take(key).and_then(|item| item.word(words, findings)).unwrap_or_default()
}

/// One value, or a table of them by severity.
fn by_severity<T>(
    item: &Item,
    read: impl Fn(&Item, &mut Findings) -> Option<T>,
    findings: &mut Findings,
) -> BySeverity<T> {
    if item.as_text().is_some() {
        return BySeverity { default: read(item, findings), table: BTreeMap::new() };
    }
    let mut found = BySeverity::default();
    let Some(section) = item.table("a text or a table such as { Sev0 = \"…\", default = \"…\" }", findings) else {
        return found;
    };
    for entry in section.entries() {
        let value = Item::new(entry, &entry.key, &section.name);
        if entry.key == "default" {
            found.default = read(&value, findings);
        } else if let Some(severity) = severity_key(&entry.key) {
            if let Some(value) = read(&value, findings) {
                found.table.insert(severity, value);
            }
        } else {
            findings.error(
                &entry.key_place,
                format!("unknown key `{}` in {}; known are `Sev0` to `Sev4` and `default`", entry.key, section.name),
            );
        }
    }
    found
}

fn severity_key(text: &str) -> Option<Severity> {
    Severity::ALL.into_iter().find(|severity| severity.as_str().eq_ignore_ascii_case(text))
}

/// `Sev0` … `Sev4`, in any case.
pub(super) fn severity(item: &Item, findings: &mut Findings) -> Option<Severity> {
    let text = item.text(findings)?;
    let severity = severity_key(text.trim());
    if severity.is_none() {
        item.error(format_args!("is \"{text}\", but must be Sev0, Sev1, Sev2, Sev3 or Sev4"), findings);
    }
    severity
}

/// The name of a configured connection.
pub(super) fn connection(item: &Item, names: &Named<'_>, findings: &mut Findings) -> Option<ConnectionName> {
    let text = item.text(findings)?;
    let found = names.connections.keys().find(|name| name.as_str() == text).cloned();
    if found.is_none() {
        let hint = match nearest(text, names.connections.keys().map(ConnectionName::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add [azure.{text}] or name a connection that there is"),
        };
        item.error(format_args!("names the connection `{text}`, which is not configured; {hint}"), findings);
    }
    found
}

pub(super) fn criteria(item: &Item, names: &Named<'_>, findings: &mut Findings) -> Criteria {
    let mut criteria = Criteria::default();
    let Some(mut section) = item.table("a table such as { severity = [\"Sev0\", \"Sev1\"] }", findings) else {
        return criteria;
    };
    for (key, globs) in [
        ("rule", &mut criteria.rule),
        ("resource", &mut criteria.resource),
        ("resource_type", &mut criteria.resource_type),
        ("monitoring_service", &mut criteria.monitoring_service),
        ("signal", &mut criteria.signal),
    ] {
        if let Some(item) = section.take(key) {
            *globs = patterns(&item, findings);
        }
    }
    if let Some(item) = section.take("scope") {
        criteria.scope = item.texts(findings).iter().filter_map(|item| scope(item, names, findings)).collect();
    }
    if let Some(item) = section.take("severity") {
        criteria.severity = item.texts(findings).iter().filter_map(|item| severity(item, findings)).collect();
    }
    if let Some(item) = section.take("connection") {
        criteria.connection =
            item.texts(findings).iter().filter_map(|item| connection(item, names, findings)).collect();
    }
    if let Some(item) = section.take("custom")
        && let Some(table) = item.table("a table such as { owner = \"payments\" }", findings)
    {
        for entry in table.entries() {
            criteria.custom.insert(entry.key.clone(), patterns(&Item::new(entry, &entry.key, &table.name), findings));
        }
    }
    if let Some(item) = section.take("not") {
        let not = self::criteria(&item, names, findings);
        if matches!(&item.node.value, Value::Table(table) if table.entries.is_empty()) {
            item.error("is empty and would leave out every alert; name what it leaves out", findings);
        }
        criteria.not = Some(Box::new(not));
    }
    section.finish(findings);
    criteria
}

fn patterns(item: &Item, findings: &mut Findings) -> Vec<Glob> {
    item.texts(findings).iter().filter_map(Item::as_text).map(Glob::new).collect()
}

/// An ARM id, lower-case, without a trailing slash.
fn scope(item: &Item, names: &Named<'_>, findings: &mut Findings) -> Option<String> {
    let text = item.text(findings)?;
    let lower = text.trim().trim_end_matches('/').to_lowercase();
    let mut segments = lower.split('/');
    let (Some(""), Some("subscriptions"), Some(subscription)) = (segments.next(), segments.next(), segments.next())
    else {
        item.error(
            format_args!("is \"{text}\", but must be a resource id: /subscriptions/… as the Azure portal shows it"),
            findings,
        );
        return None;
    };
    let subscription = SubscriptionId::new(subscription);
    if lower.contains('*') {
        item.error("holds a `*`; a scope takes everything below it by itself, and `resource` takes patterns", findings);
        return None;
    }
    if !names.has_subscription(&subscription) {
        item.warn(
            format_args!("names the subscription {subscription}, which no [azure.NAME] lists: it never matches"),
            findings,
        );
    }
    Some(lower)
}
