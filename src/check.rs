//! `check`: reads the configuration as `serve` would, says what it means, runs the examples of the routes, and tries
//! their templates on samples of every kind of alert.
//!
//! Nothing is sent and no port is opened. Secrets are named by where they come from, never by value.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::config::{Config, Connection, Credential, Team};
use crate::domain::id::SubscriptionId;
use crate::domain::route::{BySeverity, OnResolved, Route, Rules};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    Well,
    /// An example went elsewhere, a template failed for a sample, or a route never matches.
    Failed,
    /// The configuration has errors.
    Unusable,
}

impl CheckStatus {
    /// The process's exit status.
    pub const fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Unusable => 2,
        }
    }
}

/// Writes the report to `out`.
pub fn run(
    path: &Path,
    routes: Option<&Path>,
    env: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> io::Result<CheckStatus> {
    let config = match Config::load(path, routes, env) {
        Ok(config) => config,
        Err(error) => {
            writeln!(out, "{error}")?;
            writeln!(out, "\n{}; nothing else was checked", counted(error.problems.len(), "error"))?;
            return Ok(CheckStatus::Unusable);
        }
    };
    describe(&config, out)?;
    let failures = failures(&config);
    if !config.warnings.is_empty() {
        writeln!(out, "\nWarnings")?;
        for warning in &config.warnings {
            writeln!(out, "  {warning}")?;
        }
    }
    let examples: usize = config.rules.routes.iter().map(|route| route.examples.len()).sum();
    if failures.is_empty() {
        writeln!(
            out,
            "\nWell: {}, {}, {}",
            counted(config.rules.routes.len(), "route"),
            if examples == 0 {
                "no examples".to_owned()
            } else {
                format!("{} as expected", counted(examples, "example"))
            },
            counted(config.warnings.len(), "warning")
        )?;
        return Ok(CheckStatus::Well);
    }
    writeln!(out, "\nFailures")?;
    for failure in &failures {
        writeln!(out, "  {failure}")?;
    }
    writeln!(
        out,
        "\nFailed: {} in {} and {}",
        counted(failures.len(), "failure"),
        counted(config.rules.routes.len(), "route"),
        counted(examples, "example")
    )?;
    Ok(CheckStatus::Failed)
}

fn describe(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "Configuration {}", config.path.display())?;
    let public = config.server.public_url.as_deref().unwrap_or("no public_url");
    writeln!(out, "  webhooks on {} ({public}), admin on {}", config.server.listen, config.server.admin_listen)?;
    writeln!(out, "  store {}, finished rows kept {}", config.store.path.display(), span(config.store.retention))?;
    writeln!(out, "  alarms to team {}", config.alarm.team)?;
    writeln!(out, "\nConnections")?;
    let public = config.server.public_url.as_deref().unwrap_or("https://PUBLIC_URL");
    for (name, connection) in &config.connections {
        writeln!(out, "  {name}: {}", connection_in_words(connection))?;
        writeln!(out, "    for the action group: {}", webhook(public, "azure", name.as_str()))?;
    }
    writeln!(out, "\nTeams")?;
    for (name, team) in &config.teams {
        writeln!(out, "  {name}: {}", team_in_words(team))?;
        if !team.tokens.is_empty() {
            writeln!(out, "    for SIGNL4's outbound webhook: {}", webhook(public, "signl4", name.as_str()))?;
        }
    }
    writeln!(out, "\nRoutes in {}", config.routes.display())?;
    for (at, route) in config.rules.routes.iter().enumerate() {
        writeln!(out, "  {}. {} ({}:{}): {}", at + 1, route.name, route.file, route.line, route_in_words(route))?;
    }
    writeln!(out, "  what no route takes: to the fallback team {}", config.rules.fallback_team)
}

/// The URL to register, with its token left to the reader: `https://azure:TOKEN@bridge.example.com/azure/contoso`.
fn webhook(public: &str, side: &str, name: &str) -> String {
    let (scheme, rest) = public.split_once("://").unwrap_or(("https", public));
    format!("{scheme}://{side}:TOKEN@{}/{side}/{name}", rest.trim_end_matches('/'))
}

fn connection_in_words(connection: &Connection) -> String {
    let subscriptions: Vec<&str> = connection.subscriptions.iter().map(SubscriptionId::as_str).collect();
    let access = match &connection.credential {
        Some(Credential::ClientSecret { secret, expires }) => {
            let expires = expires.map(|expires| format!(", expires {expires}")).unwrap_or_default();
            format!("tenant {}, client secret from {}{expires}", connection.tenant_id, secret.source())
        }
        None => "no credential, nothing is written back".to_owned(),
    };
    format!(
        "{access}; subscriptions {}; {}; {}",
        subscriptions.join(", "),
        connection.cloud.arm,
        counted(connection.tokens.len(), "token")
    )
}

fn team_in_words(team: &Team) -> String {
    let api = if team.has_api() { "API key" } else { "no API key" };
    format!(
        "account {}; {}; secret from {}; {api}; {}",
        team.account,
        team.base_url,
        team.secret.source(),
        counted(team.tokens.len(), "token")
    )
}

/// `severity Sev0, Sev1 -> page ops after 2m as "Payments"`.
fn route_in_words(route: &Route) -> String {
    let mut parts = Vec::new();
    if route.policy.records_only {
        parts.push("record only, page nobody".to_owned());
    } else {
        parts.push(format!("page {}", route.team));
        if !route.policy.grace.is_zero() {
            parts.push(format!("hold {}", span(route.policy.grace)));
        }
        if let Some(service) = values(&route.service, Clone::clone) {
            parts.push(format!("service {service}"));
        }
        if let Some(scenario) = values(&route.scenario, |scenario| scenario.as_str().to_owned()) {
            parts.push(format!("scenario {scenario}"));
        }
        if let Some(templates) = &route.templates {
            parts.push(format!("own {}", templates.in_words()));
        }
        match route.policy.on_resolved {
            OnResolved::Resolve => {}
            OnResolved::Annotate => parts.push("resolved: annotate".to_owned()),
            OnResolved::Ignore => parts.push("resolved: ignore".to_owned()),
        }
    }
    if route.continues {
        parts.push("then go on".to_owned());
    }
    format!("{} -> {}", route.criteria, parts.join(", "))
}

fn values<T>(by: &BySeverity<T>, text: impl Fn(&T) -> String) -> Option<String> {
    let mut parts: Vec<String> =
        by.table.iter().map(|(severity, value)| format!("{} {}", severity.as_str(), text(value))).collect();
    match &by.default {
        Some(value) if parts.is_empty() => return Some(text(value)),
        Some(value) => parts.push(format!("else {}", text(value))),
        None => {}
    }
    (!parts.is_empty()).then(|| parts.join(" / "))
}

/// Examples that go elsewhere, templates that fail, and routes that never match.
fn failures(config: &Config) -> Vec<String> {
    let rules: &Rules = &config.rules;
    let mut failures = Vec::new();
    let place = |file: &str, line: usize| format!("{}:{line}", config.routes.join(file).display());
    for route in &rules.routes {
        for example in &route.examples {
            if let Err(surprise) = rules.run(route, example) {
                failures.push(format!(
                    "{}: example of route `{}`: {surprise}",
                    place(&route.file, example.line),
                    route.name
                ));
            }
        }
        for failure in rules.try_templates(route) {
            failures.push(format!("{}: {}", place(&route.file, failure.line), failure.text));
        }
    }
    for shadow in rules.shadowed() {
        let here = place(&shadow.route.file, shadow.route.line);
        let name = &shadow.route.name;
        failures.push(match shadow.by {
            Some(by) => format!(
                "{here}: route `{name}` never gets an alert: `{}` ({}:{}) takes all of them before; move it up, narrow \
                 the other, or give the other `continue = true`",
                by.name, by.file, by.line
            ),
            None => format!("{here}: route `{name}` never matches: its `not` leaves out all that it takes"),
        });
    }
    failures
}

/// `35d`, `1h30m`, `2m`.
fn span(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut parts = Vec::new();
    for (unit, length) in [("d", 24 * 60 * 60), ("h", 60 * 60), ("m", 60), ("s", 1)] {
        if seconds >= length {
            parts.push(format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.concat() }
}

fn counted(number: usize, noun: &str) -> String {
    match number {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests;
