//! `check`: reads the configuration as `serve` would, says what it means, runs the examples of the routes, and tries
//! their templates on samples of every kind of alert.
//!
//! Nothing is sent and no port is opened. Secrets are named by where they come from, never by value.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use crate::config::{Config, Connection, Credential, Team};
use crate::domain::id::{ConnectionName, SubscriptionId};
use crate::domain::route::{BySeverity, OnResolved, Route};
use crate::domain::timestamp::Timestamp;
use crate::expiry::{Warning, in_words};

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
    now: Timestamp,
    out: &mut dyn Write,
) -> io::Result<CheckStatus> {
    let config = match Config::load(path, routes, env) {
        Ok(mut config) => {
            config.warnings.extend(endings(&config, now));
            config
        }
        Err(error) => {
            writeln!(out, "{error}")?;
            writeln!(out, "\n{}; nothing else was checked", counted(error.problems.len(), "error"))?;
            return Ok(CheckStatus::Unusable);
        }
    };
    describe(&config, out)?;
    let failures = config.failures();
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

/// Secrets that have ended or soon will, and certificates that are not valid yet.
fn endings(config: &Config, now: Timestamp) -> Vec<String> {
    let soon = |(name, connection): (&ConnectionName, &Connection)| {
        let credential = connection.credential.as_ref()?;
        if let Credential::Certificate(certificate) = credential
            && certificate.starts_at() > now
        {
            let start = certificate.starts_at();
            return Some(format!("`credential` in [azure.{name}] is not valid before {start}: use another until then"));
        }
        let end = credential.ends_at()?;
        Warning::due(end, now)?;
        let (words, renewal) = (in_words(end, now), credential.renewal(&connection.client_id));
        Some(format!("`credential` in [azure.{name}] {words}: {renewal}"))
    };
    config.connections.iter().filter_map(soon).collect()
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
        for (kind, address) in addresses(public, name.as_str(), connection) {
            writeln!(out, "    for the action group{kind}: {address}")?;
        }
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

/// What to register in the action group: as webhook, as secure webhook.
fn addresses(public: &str, name: &str, connection: &Connection) -> Vec<(&'static str, String)> {
    let plain = format!("{}/azure/{name}", public.trim_end_matches('/'));
    match &connection.secure_webhook {
        None if connection.tokens.is_empty() => Vec::new(),
        None => vec![("", webhook(public, "azure", name))],
        Some(_) if connection.tokens.is_empty() => vec![(", as secure webhook", plain)],
        // The header has room for one of both, so the token goes into the path.
        Some(secure) if secure.require => vec![(", as secure webhook", format!("{plain}/TOKEN"))],
        Some(_) => vec![(", as secure webhook", plain), (", or as webhook", webhook(public, "azure", name))],
    }
}

/// The URL to register, with its token left to the reader: `https://azure:TOKEN@bridge.example.com/azure/contoso`.
pub(crate) fn webhook(public: &str, side: &str, name: &str) -> String {
    let (scheme, rest) = public.split_once("://").unwrap_or(("https", public));
    format!("{scheme}://{side}:TOKEN@{}/{side}/{name}", rest.trim_end_matches('/'))
}

fn connection_in_words(connection: &Connection) -> String {
    let subscriptions: Vec<&str> = connection.subscriptions.iter().map(SubscriptionId::as_str).collect();
    let access = match &connection.credential {
        Some(credential) => {
            let tenant = match connection.tenant_id.as_str() {
                "" => String::new(),
                tenant => format!("tenant {tenant}, "),
            };
            let expires = credential.ends_at().map(|end| format!(", expires {end}")).unwrap_or_default();
            format!("{tenant}{}{expires}", credential.in_words())
        }
        None => "no credential, nothing is written back".to_owned(),
    };
    let secure = connection.secure_webhook.as_ref().map_or_else(String::new, |secure| {
        let and = if secure.require { " required" } else { "" };
        let audience: Vec<&str> = secure.audience.iter().map(String::as_str).collect();
        format!(", secure webhook{and} for {} from tenant {}", audience.join(", "), secure.tenant)
    });
    format!(
        "{access}; subscriptions {}; {}; {}{secure}{}{}",
        subscriptions.join(", "),
        connection.cloud.arm,
        counted(connection.tokens.len(), "token"),
        only_from(&connection.networks),
        polled(connection.poll)
    )
}

/// `; polled every 1m`
fn polled(every: Option<Duration>) -> String {
    every.map_or_else(String::new, |every| format!("; polled every {}", span(every)))
}

/// `, only from 192.0.2.0/24`
fn only_from(networks: &[IpNet]) -> String {
    let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
    if networks.is_empty() { String::new() } else { format!(", only from {}", networks.join(", ")) }
}

fn team_in_words(team: &Team) -> String {
    let api = if team.has_api() { "API key" } else { "no API key" };
    format!(
        "account {}; {}; secret from {}; {api}; {}{}{}",
        team.account,
        team.base_url,
        team.secret.source(),
        counted(team.tokens.len(), "token"),
        only_from(&team.networks),
        polled(team.poll)
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
