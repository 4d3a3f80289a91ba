//! From files and environment to a [`Config`], or to everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::document::{self, Entry, Table, Value};
use super::environment::{self, SECTIONS};
use super::problem::{Findings, Place, shown};
use super::routes::{self, Named};
use super::secrets::Origins;
use super::section::Section;
use super::{Config, ConfigError, Connection, Team, azure, care, fixed_severity, maintenance, server, signl4};
use crate::domain::id::{ConnectionName, TeamName};
use crate::domain::route::{ConnectionTraits, Rules, TeamTraits};

/// Set where a person has named the file, on the command line or with this variable itself: then it must be there.
pub const NAMED: &str = "BRIDGE_CONFIG";

impl Config {
    /// Reads `path` (or only the environment, if the file is not there and `env` has no `BRIDGE_CONFIG`), the routes folder (`routes`, else the folder
    /// `routes` beside the configuration) and every secret file. Blocks on the file system.
    pub fn load(path: &Path, routes: Option<&Path>, env: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut findings = Findings::default();
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
        let routes_folder = routes.map_or_else(|| folder.join("routes"), Path::to_path_buf);
        findings.watched.insert(path.to_path_buf());
        findings.watched.insert(routes_folder.clone());
        let files = routes::read(&routes_folder, routes.is_some(), &mut findings);
        let Some(mut table) = read(path, env, &mut findings) else {
            return Err(ConfigError { problems: findings.problems });
        };
        environment::overlay(&mut table, env, &mut findings);
        let config = build(path, &routes_folder, &table, &files, env, &mut findings);
        match config {
            Some(config) if findings.problems.is_empty() => {
                Ok(Self { warnings: findings.warnings, watched: findings.watched, ..config })
            }
            Some(_) | None => Err(ConfigError { problems: findings.problems }),
        }
    }
}

/// `None` if there is nothing to go on with.
fn read(path: &Path, env: &BTreeMap<String, String>, findings: &mut Findings) -> Option<Table> {
    let whole = Place::Whole { name: shown(path) };
    match document::read(path, shown(path)) {
        Ok(source) => {
            let before = findings.problems.len();
            let table = document::parse(&source, findings);
            (findings.problems.len() == before).then_some(table)
        }
        Err(document::ReadError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            if env.contains_key(NAMED) {
                findings.error(&whole, "there is no such file, and --config or BRIDGE_CONFIG names it");
                return None;
            }
            if env.keys().any(|name| name.starts_with(environment::PREFIX)) {
                return Some(Table::default());
            }
            findings.error(
                &whole,
                "there is no such file; the README shows one, --config names another, BRIDGE__… variables can take its \
                 place, and `demo` needs none",
            );
            None
        }
        Err(error) => {
            findings.error(&whole, error.to_string());
            None
        }
    }
}

fn build(
    path: &Path,
    routes_folder: &Path,
    table: &Table,
    files: &[routes::File],
    env: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> Option<Config> {
    let whole = Place::Whole { name: shown(path) };
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let origins = Origins { folder, env };
    for entry in table.entries.iter().filter(|entry| !SECTIONS.contains(&entry.key.as_str())) {
        let hint = match super::problem::nearest(&entry.key, SECTIONS) {
            Some(near) => format!("did you mean [{near}]?"),
            None => "known are [server], [store], [routing], [alarm], [azure.NAME] and [signl4.NAME]".to_owned(),
        };
        findings.error(&entry.key_place, format!("unknown section `{}`; {hint}", entry.key));
    }
    let server = server::server(section(table, "server", &whole, findings), &origins, findings);
    let store = server::store(section(table, "store", &whole, findings), &origins, findings);

    let mut connections: BTreeMap<ConnectionName, Option<Connection>> = BTreeMap::new();
    for (entry, section) in named(table, "azure", &whole, findings) {
        match ConnectionName::parse(&entry.key) {
            Ok(name) => {
                let connection = azure::connection(section, &origins, findings);
                connections.insert(name, connection);
            }
            Err(error) => findings.error(&entry.key_place, error.to_string()),
        }
    }
    let mut teams: BTreeMap<TeamName, Option<Team>> = BTreeMap::new();
    for (entry, section) in named(table, "signl4", &whole, findings) {
        match TeamName::parse(&entry.key) {
            Ok(name) => {
                let team = signl4::team(&name, section, &origins, findings);
                teams.insert(name, team);
            }
            Err(error) => findings.error(&entry.key_place, error.to_string()),
        }
    }

    // A team that has errors of its own counts as one with everything, so that no error follows from it.
    let with_api: BTreeMap<TeamName, bool> =
        teams.iter().map(|(name, team)| (name.clone(), team.as_ref().is_none_or(Team::has_api))).collect();
    let fallback = server::fallback(section(table, "routing", &whole, findings), &with_api, findings);
    let alarm =
        server::alarm(section(table, "alarm", &whole, findings), &with_api, fallback.as_ref(), &origins, findings);
    let subscriptions = connections
        .iter()
        .map(|(name, connection)| {
            (name.clone(), connection.as_ref().map(|connection| connection.subscriptions.clone()))
        })
        .collect();
    let names = Named { teams: &with_api, fallback: fallback.as_ref(), connections: &subscriptions };
    let routes = routes::routes(files, &names, findings);
    let windows = maintenance::windows(files, &names, findings);
    fixed_severity::warn(&routes, routes_folder, findings);

    let connections = complete(connections)?;
    let teams = complete(teams)?;
    if server.listen.ip().is_loopback() && server.trusted_proxies.is_empty() {
        let azure = connections.iter().map(|(name, connection)| (format!("[azure.{name}]"), &connection.networks));
        let signl4 = teams.iter().map(|(name, team)| (format!("[signl4.{name}]"), &team.networks));
        for (section, _) in azure.chain(signl4).filter(|(_, networks)| !networks.is_empty()) {
            findings.warn(
                &whole,
                format_args!(
                    "`networks` in {section} sees only the proxy on this machine; name it in [server]: \
                     `trusted_proxies = [\"127.0.0.1\"]`"
                ),
            );
        }
    }
    let place_of_pace = |team: &TeamName| {
        let team = table.get("signl4")?.node.value.as_table()?.get(team.as_str())?;
        Some(team.node.value.as_table()?.get("pace")?.node.place.clone())
    };
    signl4::one_pace_an_account(&teams, &|team| place_of_pace(team).unwrap_or_else(|| whole.clone()), findings);
    care::warn_of_shared_tokens(&connections, &teams, findings);
    care::warn_of_files(path, routes_folder, findings);
    let rules = Rules {
        routes,
        fallback_team: fallback?,
        teams: teams.iter().map(|(name, team)| (name.clone(), team.traits())).collect(),
        connections: connections.iter().map(|(name, connection)| (name.clone(), connection.traits())).collect(),
        windows,
    };
    Some(Config {
        path: path.to_path_buf(),
        routes: routes_folder.to_path_buf(),
        server,
        store,
        alarm: alarm?,
        connections,
        teams,
        rules,
        warnings: Vec::new(),
        watched: BTreeSet::new(),
    })
}

fn complete<N: Ord, T>(parts: BTreeMap<N, Option<T>>) -> Option<BTreeMap<N, T>> {
    parts.into_iter().map(|(name, part)| part.map(|part| (name, part))).collect()
}

/// A section that may be absent: then every key has its default.
fn section<'d>(table: &'d Table, key: &'static str, whole: &Place, findings: &mut Findings) -> Section<'d> {
    let name = format!("[{key}]");
    let section = match table.get(key) {
        Some(Entry { node, key_place, .. }) => {
            if let Some(table) = node.value.as_table() {
                Section::new(name, key_place.clone(), table)
            } else {
                findings.error(key_place, format!("`{key}` must be a section; write {name} on a line of its own"));
                Section::empty(&name, whole.clone())
            }
        }
        None => Section::empty(&name, whole.clone()),
    };
    section.with_prefix(environment::prefix(&[key]))
}

/// `[azure.NAME]` and `[signl4.NAME]`; there must be one at least.
fn named<'d>(
    table: &'d Table,
    key: &'static str,
    whole: &Place,
    findings: &mut Findings,
) -> Vec<(&'d Entry, Section<'d>)> {
    let mut found = Vec::new();
    let entry = table.get(key);
    let entries = entry.and_then(|entry| entry.node.value.as_table()).map_or(&[][..], |table| &table.entries);
    for entry in entries {
        let name = format!("[{key}.{}]", entry.key);
        if let Value::Table(table) = &entry.node.value {
            let section = Section::new(name, entry.key_place.clone(), table);
            found.push((entry, section.with_prefix(environment::prefix(&[key, &entry.key]))));
        } else {
            findings.error(
                &entry.key_place,
                format!("`{}` stands in [{key}] itself; put it under [{key}.NAME]", entry.key),
            );
        }
    }
    if entries.is_empty() {
        let place = entry.map_or(whole, |entry| &entry.key_place);
        findings.error(
            place,
            format!(
                "there is no [{key}.NAME]; add one, for example [{key}.{}]",
                if key == "azure" { "contoso" } else { "ops" }
            ),
        );
    }
    found
}

impl Team {
    /// An API key and a user id: pages can be annotated and looked up.
    pub fn has_api(&self) -> bool {
        self.api_key.is_some() && self.user_id.is_some()
    }

    fn traits(&self) -> TeamTraits {
        TeamTraits {
            account: self.account.clone(),
            has_api: self.has_api(),
            own_user_id: self.user_id.clone(),
            storm: self.storm,
        }
    }
}

impl Connection {
    fn traits(&self) -> ConnectionTraits {
        ConnectionTraits {
            subscriptions: self.subscriptions.clone(),
            comments: self.comments,
            can_write: self.credential.is_some(),
            portal: self.cloud.portal.clone(),
        }
    }
}
