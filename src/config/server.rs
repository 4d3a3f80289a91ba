//! `[server]`, `[store]`, `[routing]` and `[alarm]`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::problem::{Findings, nearest, shown};
use super::secrets::Origins;
use super::section::{Item, Section};
use super::value::{is_safe_address, parse_url, trimmed};
use super::{Alarm, Server, Store, callers};
use crate::domain::id::TeamName;
use crate::secret::Secret;

const RETENTION: Duration = Duration::from_hours(35 * 24);

/// Azure forgets an alert after 30 days; until then its Resolved may come.
const SHORTEST_RETENTION: Duration = Duration::from_hours(31 * 24);

pub(super) fn server(mut section: Section<'_>, origins: &Origins<'_>, findings: &mut Findings) -> Server {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listen_item = section.take("listen");
    let admin_item = section.take("admin_listen");
    let listen = listen_item.as_ref().and_then(|item| item.socket(findings)).unwrap_or_else(|| local(8080));
    let admin_listen = admin_item.as_ref().and_then(|item| item.socket(findings)).unwrap_or_else(|| local(9090));
    let public_url = section.take("public_url").and_then(|item| {
        let url = item.url(findings)?;
        if url.scheme() != "https" {
            item.warn("does not begin with https://: Azure and SIGNL4 would send tokens in the clear", findings);
        }
        Some(trimmed(&url))
    });
    let token_item = section.take("admin_token");
    let admin_token = token_item.as_ref().and_then(|item| item.admin_token(origins, findings));
    if let Some(item) =
        admin_item.as_ref().or(listen_item.as_ref()).filter(|_| listen == admin_listen && listen.port() != 0)
    {
        item.error("is the address of both `listen` and `admin_listen`; give them different ports", findings);
    }
    if let Some(item) = admin_item.filter(|_| !admin_listen.ip().is_loopback() && token_item.is_none()) {
        item.error(
            format_args!(
                "is {admin_listen}, which other machines reach; set `admin_token` or listen on 127.0.0.1:{}",
                admin_listen.port()
            ),
            findings,
        );
    }
    let trusted_proxies = callers::networks(&mut section, "trusted_proxies", findings);
    let certificates = section.take("ca_file").and_then(|item| certificates(&item, origins, findings));
    section.finish(findings);
    Server { listen, admin_listen, public_url, admin_token, trusted_proxies, certificates }
}

/// A PEM file with one certificate at least, and none that is broken.
fn certificates(item: &Item, origins: &Origins<'_>, findings: &mut Findings) -> Option<Vec<u8>> {
    let path = origins.folder.join(item.text(findings)?);
    findings.watched.insert(path.clone());
    let pem = match std::fs::read(&path) {
        Ok(pem) => pem,
        Err(error) => {
            item.error(format_args!("{} cannot be read: {error}", shown(&path)), findings);
            return None;
        }
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let mut roots = RootCertStore::empty();
    let all_fit = found.is_ok_and(|found| found.into_iter().all(|certificate| roots.add(certificate).is_ok()));
    if !all_fit || roots.is_empty() {
        item.error(
            format_args!(
                "{} is no PEM file of certificates; each begins with -----BEGIN CERTIFICATE-----",
                shown(&path)
            ),
            findings,
        );
        return None;
    }
    Some(pem)
}

pub(super) fn store(mut section: Section<'_>, origins: &Origins<'_>, findings: &mut Findings) -> Store {
    let path = section.take("url").and_then(|item| store_path(&item, findings));
    let retention = section.take("retention").and_then(|item| {
        let retention = item.duration(findings)?;
        if retention < SHORTEST_RETENTION {
            item.error("must be at least \"31d\": Azure may resolve an alert that is 30 days old", findings);
        }
        Some(retention)
    });
    section.finish(findings);
    Store {
        path: origins.folder.join(path.unwrap_or_else(|| PathBuf::from("bridge.db"))),
        retention: retention.unwrap_or(RETENTION),
    }
}

/// The URL is not repeated in messages: one of PostgreSQL may hold a password.
fn store_path(item: &Item, findings: &mut Findings) -> Option<PathBuf> {
    let text = item.text(findings)?.trim();
    if text.starts_with("postgres:") || text.starts_with("postgresql:") {
        item.error("names PostgreSQL, which is not available yet; use \"sqlite:bridge.db\"", findings);
        return None;
    }
    let Some(path) = text.strip_prefix("sqlite:") else {
        item.error("must begin with sqlite:, for example \"sqlite:bridge.db\"", findings);
        return None;
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.ends_with('/') || path == ":memory:" || path.contains('?') {
        item.error("must name a file on a local disk, for example \"sqlite:bridge.db\"", findings);
        return None;
    }
    Some(PathBuf::from(path))
}

/// `None` after an error.
pub(super) fn fallback(
    mut section: Section<'_>,
    teams: &BTreeMap<TeamName, bool>,
    findings: &mut Findings,
) -> Option<TeamName> {
    let item = section.take("fallback_team");
    let place = section.place.clone();
    section.finish(findings);
    match item {
        Some(item) => item.team(teams.keys(), findings),
        None if teams.len() > 1 => {
            let names: Vec<&str> = teams.keys().map(TeamName::as_str).collect();
            findings.error(
                &place,
                format!(
                    "`fallback_team` is missing in [routing]; with several teams ({}) say who gets what no route takes",
                    names.join(", ")
                ),
            );
            None
        }
        None => teams.keys().next().cloned(),
    }
}

/// `None` after an error.
pub(super) fn alarm(
    mut section: Section<'_>,
    teams: &BTreeMap<TeamName, bool>,
    fallback: Option<&TeamName>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<Alarm> {
    let team = match section.take("team") {
        Some(item) => item.team(teams.keys(), findings),
        None => fallback.cloned(),
    };
    let heartbeat = section.take("heartbeat").and_then(|item| heartbeat(&item, origins, findings));
    section.finish(findings);
    Some(Alarm { team: team?, heartbeat })
}

fn heartbeat(item: &Item, origins: &Origins<'_>, findings: &mut Findings) -> Option<Secret> {
    let secret = item.secret(origins, findings)?;
    match parse_url(secret.expose()) {
        Ok(url) if is_safe_address(&url) => {}
        Ok(_) => {
            let origin = item.origin(&secret);
            item.warn(
                format_args!("{origin}does not begin with https://: it goes through the network in the clear"),
                findings,
            );
        }
        Err(problem) => {
            item.error(format_args!("{}{problem}", item.origin(&secret)), findings);
            return None;
        }
    }
    Some(secret)
}

impl Item {
    /// The name of a configured team.
    pub(super) fn team<'t>(
        &self,
        teams: impl Iterator<Item = &'t TeamName> + Clone,
        findings: &mut Findings,
    ) -> Option<TeamName> {
        let text = self.text(findings)?;
        let found = teams.clone().find(|team| team.as_str() == text).cloned();
        if found.is_none() {
            let hint = match nearest(text, teams.clone().map(TeamName::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "add [signl4.{text}] or name one of {}",
                    teams.map(TeamName::as_str).collect::<Vec<_>>().join(", ")
                ),
            };
            self.error(format_args!("names the team `{text}`, which is not configured; {hint}"), findings);
        }
        found
    }
}
