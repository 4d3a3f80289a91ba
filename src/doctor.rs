//! `doctor`: tries out what the bridge depends on, from this machine: credentials, permissions, addresses, clocks, and
//! the running bridge. It pages nobody and changes nothing: all it sends are reads, and webhooks without a credential,
//! which are refused.
//!
//! Each request has five seconds, all of them run at once but for a bound, and the findings come in the order of the
//! configuration. Tokens and secrets are used and never shown.

mod claims;
mod connection;
mod finding;
mod outside;
mod report;
mod running;
mod skew;
mod strength;
mod subscription;
mod team;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use finding::{Finding, Outcome};
pub use report::{Style, report};

use self::skew::Skew;
use crate::app;
use crate::check::{self, CheckStatus};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::timestamp::Timestamp;
use crate::egress::{Aim, Answer, Draft, Http, HttpError, Limits, SendError};
use crate::secret::Secret;
use crate::tokens::Tokens;

/// Of each request, and of each look-up and connection.
const PATIENCE: Duration = Duration::from_secs(5);
const CONNECT: Duration = Duration::from_secs(4);
/// Requests under way.
const AT_ONCE: usize = 16;

/// What `doctor` found.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// Whether there was a configuration to go by.
    pub is_usable: bool,
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    pub fn has_failures(&self) -> bool {
        self.findings.iter().any(|finding| finding.outcome == Outcome::Fail)
    }
}

/// Reads the configuration as `serve` would and tries out all that it names.
pub async fn diagnose(
    path: &Path,
    routes: Option<&Path>,
    env: &BTreeMap<String, String>,
    clock: &Clock,
) -> Result<Diagnosis, HttpError> {
    let config = match Config::load(path, routes, env) {
        Ok(config) => config,
        Err(error) => {
            let findings = error
                .problems
                .into_iter()
                .map(|problem| Finding {
                    check: "configuration",
                    target: problem.place,
                    outcome: Outcome::Fail,
                    detail: problem.message,
                    mend: None,
                })
                .collect();
            return Ok(Diagnosis { is_usable: false, findings });
        }
    };
    let mut findings = vec![configuration(&config, path, routes, env, clock.now())];
    findings.extend(examine(&config, clock).await?);
    Ok(Diagnosis { is_usable: true, findings })
}

/// `check` has said it in detail.
fn configuration(
    config: &Config,
    path: &Path,
    routes: Option<&Path>,
    env: &BTreeMap<String, String>,
    now: Timestamp,
) -> Finding {
    const CHECK: &str = "configuration";
    let target = path.display().to_string();
    let mend = "signl4-azure-bridge check";
    match check::run(path, routes, env, now, &mut std::io::sink()) {
        Ok(CheckStatus::Failed) => {
            Finding::fail(CHECK, &target, "an example of a route goes elsewhere, or a route never matches", mend)
        }
        Ok(CheckStatus::Well) | Err(_) if config.warnings.is_empty() => Finding::pass(
            CHECK,
            &target,
            format!("routes: {}, and their examples go where they should", config.rules.routes.len()),
        ),
        Ok(CheckStatus::Well | CheckStatus::Unusable) | Err(_) => {
            Finding::warn(CHECK, &target, format!("warnings: {}", config.warnings.len()), mend)
        }
    }
}

/// Everything but the configuration itself.
async fn examine(config: &Config, clock: &Clock) -> Result<Vec<Finding>, HttpError> {
    let limits = Limits { connect: CONNECT, total: PATIENCE, ..Limits::default() };
    let http = Http::trusting(limits, config.server.certificates.as_deref())?;
    let tokens = Arc::new(Tokens::new(clock.clone()));
    // For their side effect: the credentials become entries of `tokens`, by the code that `serve` runs.
    drop(app::outbound(config, &http, &tokens, &Arc::default(), clock));
    let plain = reqwest::Client::builder()
        .user_agent(concat!("signl4-azure-bridge/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT)
        .timeout(PATIENCE)
        .build()?;
    let desk = Desk { http, plain, tokens, clock: clock.clone(), permits: Arc::new(Semaphore::new(AT_ONCE)) };

    let connections = config.connections.iter().map(|(name, connection)| {
        let (desk, name, connection) = (desk.clone(), name.clone(), connection.clone());
        tokio::spawn(async move { connection::examine(&desk, &name, &connection).await })
    });
    let teams = config.teams.iter().map(|(name, team)| {
        let (desk, name, team) = (desk.clone(), name.clone(), team.clone());
        tokio::spawn(async move { team::examine(&desk, &name, &team).await })
    });
    let sides: Vec<_> = connections.chain(teams).collect();
    // What the bridge has heard says whether an address that cannot be reached from here is reached from outside.
    let ours = {
        let (desk, config) = (desk.clone(), config.clone());
        tokio::spawn(async move {
            let running = running::examine(&desk, &config).await;
            let mut findings = outside::examine(&desk, &config, running.heard_lately).await;
            findings.extend(running.findings);
            findings
        })
    };
    let mut findings = Vec::new();
    for examined in sides.into_iter().chain([ours]) {
        // A fault in one check costs only that check, and is not passed over.
        findings.extend(examined.await.unwrap_or_else(|_| vec![fault("doctor")]));
    }
    group(&mut findings);
    Ok(findings)
}

/// What the running bridge says of a connection or team belongs to the other findings of it.
fn group(findings: &mut [Finding]) {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for finding in &*findings {
        let next = places.len();
        places.entry(finding.target.clone()).or_insert(next);
    }
    findings.sort_by_key(|finding| places.get(&finding.target).copied());
}

fn fault(target: &str) -> Finding {
    let mend = "report it with the output of `doctor --json`";
    Finding::fail("doctor", target, "a check ended by a fault of this program", mend)
}

/// What all checks share.
#[derive(Clone, Debug)]
struct Desk {
    http: Http,
    /// For our own addresses: neither Azure's nor SIGNL4's proxy has a say there.
    plain: reqwest::Client,
    tokens: Arc<Tokens>,
    clock: Clock,
    permits: Arc<Semaphore>,
}

/// An answer, and what its date says of our clock.
#[derive(Debug)]
struct Heard {
    answer: Answer,
    skew: Option<Skew>,
}

impl Desk {
    /// One request with its secret.
    async fn send(&self, draft: &Draft, secret: &Secret) -> Result<Heard, String> {
        let request = draft.request(secret).map_err(|error| error.to_string())?;
        self.ask(draft.aim, request).await.map_err(|error| error.to_string())
    }

    async fn ask(&self, aim: Aim, request: reqwest::Request) -> Result<Heard, SendError> {
        let _permit = self.permit().await;
        let asked_at = self.clock.now();
        let answer = self.http.send(aim, request).await?;
        let skew = skew::skew(&answer.headers, asked_at, self.clock.now());
        Ok(Heard { answer, skew })
    }

    /// Our turn among all that want to send. Nobody closes the semaphore, so that there is one in time.
    async fn permit(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }
}
