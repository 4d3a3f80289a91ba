//! The running bridge, asked over its admin listener as an operator would: how it stands, and who called it when.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde_json::Value;

use super::Desk;
use super::finding::Finding;
use super::outside::cause;
use crate::app::admin_token_path;
use crate::check::webhook;
use crate::config::Config;
use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

/// A delivery that waits longer than this waits for something.
const OLD: Duration = Duration::from_mins(5);
const LATELY: Duration = Duration::from_hours(24);

#[derive(Debug, Default)]
pub(super) struct Running {
    pub(super) findings: Vec<Finding>,
    /// Somebody called it in the last day.
    pub(super) heard_lately: bool,
}

pub(super) async fn examine(desk: &Desk, config: &Config) -> Running {
    let mut address = config.server.admin_listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            IpAddr::V4(Ipv4Addr::LOCALHOST)
        } else {
            IpAddr::V6(Ipv6Addr::LOCALHOST)
        });
    }
    let admin = Admin { desk, url: format!("http://{address}"), token: token(config) };
    let target = "running bridge";
    let (ready, callers, audited) =
        tokio::join!(admin.get("/readyz"), admin.get("/api/callers"), admin.get("/api/audit"));
    let (status, standing) = match ready {
        Ok(answer) => answer,
        Err(why) => {
            let detail = format!("none answers on {address} (`[server] admin_listen`): {why}");
            let finding = Finding::warn("ready", target, detail, "signl4-azure-bridge serve");
            return Running { findings: vec![finding], heard_lately: false };
        }
    };
    let mut findings = vec![ready_or_not(target, status, &standing)];
    findings.extend(holds(target, &standing));
    findings.extend(credentials(target, &standing));
    findings.extend(polls(target, &standing));
    findings.extend(deliveries(target, &standing));
    // What an older bridge does not know is no finding.
    if let Ok((200, Value::Array(violations))) = audited {
        findings.push(audit(target, &violations));
    }
    let mut heard_lately = false;
    match callers {
        Ok((200, Value::Array(rows))) => {
            let rows: Vec<Row> = rows.iter().filter_map(Row::read).collect();
            let now = desk.clock.now();
            heard_lately = rows.iter().filter_map(|row| row.last).any(|last| now.since(last) < LATELY);
            findings.extend(last_webhooks(config, &rows, now));
        }
        Ok((401, _)) => findings.push(Finding::untested(
            "last_webhook",
            target,
            "the bridge does not take this admin token",
            Some("run `doctor` with the configuration that the bridge runs with, as its user".to_owned()),
        )),
        Ok((status, _)) => {
            let detail = format!("the bridge answers {status}: it is of another version");
            findings.push(Finding::untested("last_webhook", target, detail, None));
        }
        Err(why) => findings.push(Finding::untested("last_webhook", target, why, None)),
    }
    Running { findings, heard_lately }
}

struct Admin<'a> {
    desk: &'a Desk,
    url: String,
    token: Option<String>,
}

impl Admin<'_> {
    async fn get(&self, path: &str) -> Result<(u16, Value), String> {
        let _permit = self.desk.permit().await;
        let mut request = self.desk.plain.get(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(cause)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(cause)?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn token(config: &Config) -> Option<String> {
    match &config.server.admin_token {
        Some(token) => Some(token.expose().to_owned()),
        None => std::fs::read_to_string(admin_token_path(&config.store.path)).ok().map(|token| token.trim().to_owned()),
    }
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn ready_or_not(target: &str, status: u16, standing: &Value) -> Finding {
    if status == 200 && standing.get("ready") == Some(&Value::Bool(true)) {
        return Finding::pass("ready", target, "ready: events are stored");
    }
    let problem = match text(standing, "problem") {
        "" => format!("status {status}, as no bridge answers"),
        problem => problem.to_owned(),
    };
    let mend = "journalctl -u signl4-azure-bridge -n 50";
    Finding::fail("ready", target, format!("cannot store events: {problem}"), mend)
}

fn holds(target: &str, standing: &Value) -> Vec<Finding> {
    const CHECK: &str = "destinations";
    let mut findings = Vec::new();
    for hold in list(standing, "holds") {
        let (destination, why) = (text(hold, "destination"), text(hold, "why"));
        let (paused, denied, open, waits) = (
            text(hold, "paused_until"),
            text(hold, "denied_since"),
            text(hold, "open_since"),
            text(hold, "waits_until"),
        );
        if !denied.is_empty() {
            let detail = format!("{destination} refuses our credential since {denied}");
            let mend = if why.is_empty() { "see the findings of this connection or team" } else { why };
            findings.push(Finding::fail(CHECK, target, detail, mend));
        } else if !open.is_empty() {
            let detail = format!("{destination} is out of reach since {open}: {why}");
            let mend = "check the network, the proxy and the service's status; it is tried again each minute at least";
            findings.push(Finding::fail(CHECK, target, detail, mend));
        } else if !paused.is_empty() {
            let team = destination.strip_prefix("signl4:").unwrap_or(destination);
            let detail = format!("{destination} is paused until {paused}");
            findings.push(Finding::warn(CHECK, target, detail, format!("signl4-azure-bridge resume --team {team}")));
        } else if !waits.is_empty() {
            let detail = format!("{destination} asked us to wait until {waits} {why}").trim_end().to_owned();
            findings.push(Finding::warn(CHECK, target, detail, "wait: it ends by itself"));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::pass(CHECK, target, "none is paused, out of reach, refuses us or asked us to wait"));
    }
    findings
}

/// What the process that runs has seen of the credentials, which may be older than the files that were read just now.
fn credentials(target: &str, standing: &Value) -> Vec<Finding> {
    const CHECK: &str = "credentials";
    let troubled = list(standing, "credentials")
        .iter()
        .filter(|status| matches!(text(status, "standing"), "denied" | "failing" | "expired"));
    let findings: Vec<Finding> = troubled
        .map(|status| {
            let (name, standing) = (text(status, "name"), text(status, "standing"));
            let problem = status.pointer("/problem/text").and_then(Value::as_str).unwrap_or("by its date");
            Finding::fail(CHECK, target, format!("{name} is {standing}: {problem}"), "mend it as its own findings say")
        })
        .collect();
    if findings.is_empty() { vec![Finding::pass(CHECK, target, "none was refused")] } else { findings }
}

/// How the polls stand; nothing where nothing is polled.
fn polls(target: &str, standing: &Value) -> Vec<Finding> {
    const CHECK: &str = "polls";
    let all = list(standing, "polls");
    let failing = all.iter().filter(|poll| !text(poll, "failing_since").is_empty());
    let findings: Vec<Finding> = failing
        .map(|poll| {
            let (source, since, problem) = (text(poll, "source"), text(poll, "failing_since"), text(poll, "problem"));
            let detail = format!("{source} cannot be polled since {since}: {problem}");
            Finding::fail(CHECK, target, detail, "mend it as the findings of this connection or team say")
        })
        .collect();
    if findings.is_empty() && !all.is_empty() {
        return vec![Finding::pass(CHECK, target, format!("none fails; sources: {}", all.len()))];
    }
    findings
}

fn deliveries(target: &str, standing: &Value) -> Vec<Finding> {
    const CHECK: &str = "deliveries";
    let number = |name: &str| standing.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (dead, due, age) = (number("dead"), number("due"), number("oldest_due_age_seconds"));
    let mut findings = Vec::new();
    if dead > 0 {
        let detail = format!("dead, waiting for a person: {dead}");
        findings.push(Finding::warn(CHECK, target, detail, "signl4-azure-bridge deliveries list"));
    }
    if age > OLD.as_secs() {
        let detail = format!("due: {due}, the oldest since {} min", age / 60);
        findings.push(Finding::warn(CHECK, target, detail, "signl4-azure-bridge deliveries list --state due"));
    }
    if findings.is_empty() {
        findings.push(Finding::pass(CHECK, target, format!("dead: 0, due: {due}")));
    }
    findings
}

fn audit(target: &str, violations: &[Value]) -> Finding {
    const CHECK: &str = "audit";
    let Some(first) = violations.first() else {
        return Finding::pass(CHECK, target, "nothing that is owed is forgotten");
    };
    let detail = format!("{}: {} ({} such rows)", text(first, "what"), text(first, "id"), violations.len());
    Finding::fail(CHECK, target, detail, "restart the bridge; if it stays, report it with what /api/audit says")
}

/// A line of `/api/callers`.
struct Row {
    side: String,
    source: String,
    last: Option<Timestamp>,
}

impl Row {
    fn read(value: &Value) -> Option<Self> {
        let (side, source) = (text(value, "side").to_owned(), text(value, "source").to_owned());
        let last = value.get("last_received_at").and_then(Value::as_str).and_then(Timestamp::parse);
        (!source.is_empty()).then_some(Self { side, source, last })
    }
}

fn last_webhooks(config: &Config, rows: &[Row], now: Timestamp) -> Vec<Finding> {
    let last = |side: &str, source: &str| {
        rows.iter().find(|row| row.side == side && row.source == source).and_then(|row| row.last)
    };
    let public = config.server.public_url.as_deref().unwrap_or("https://PUBLIC_URL");
    let mut findings = Vec::new();
    for (name, connection) in &config.connections {
        let at = last("azure", name.as_str());
        let url = webhook(public, "azure", name.as_str());
        let url = match file(&connection.tokens) {
            Some(file) => url.replacen("TOKEN", &format!("$(cat {file})"), 1),
            None => url,
        };
        let mend = format!(
            "az monitor action-group create --resource-group RG --name signl4 --short-name signl4 --action webhook \
             bridge \"{url}\" usecommonalertschema"
        );
        findings.push(last_webhook(
            &format!("azure.{name}"),
            at,
            now,
            &connection.tokens,
            connection.poll.is_some(),
            mend,
        ));
    }
    for (name, team) in &config.teams {
        // One outbound webhook is enough for an account.
        let siblings = config.teams.iter().filter(|(_, other)| other.account == team.account);
        let at = siblings.filter_map(|(name, _)| last("signl4", name.as_str())).max();
        let url = webhook(public, "signl4", name.as_str());
        let token = file(&team.tokens).map(|file| format!(" with TOKEN from {file}")).unwrap_or_default();
        let mend = format!("SIGNL4 portal, Integrations → Gallery → Webhook (Outbound): {url}{token}");
        findings.push(last_webhook(&format!("signl4.{name}"), at, now, &team.tokens, team.poll.is_some(), mend));
    }
    findings
}

fn last_webhook(
    target: &str,
    at: Option<Timestamp>,
    now: Timestamp,
    tokens: &[Secret],
    is_polled: bool,
    mend: String,
) -> Finding {
    const CHECK: &str = "last_webhook";
    match at {
        Some(at) => Finding::pass(CHECK, target, format!("{at}, {} ago", span(now.since(at)))),
        None if tokens.is_empty() && is_polled => {
            Finding::pass(CHECK, target, "none can come: there is no `token`, and it is polled instead")
        }
        None if tokens.is_empty() => {
            Finding::warn(CHECK, target, "none can come: there is no `token`", format!("set `token` in [{target}]"))
        }
        None => Finding::warn(CHECK, target, "never called, or refused: then the log has `refused a webhook`", mend),
    }
}

/// The file that holds the token to register.
fn file(tokens: &[Secret]) -> Option<&str> {
    tokens.first()?.source().strip_prefix("file ")
}

fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
