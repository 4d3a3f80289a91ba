//! Logs and metrics: how they are set up, and the names of all metrics in one place.
//!
//! A log line is a sentence for people with fields for machines: `event.id`, `delivery.id`, `page.id`, `attempt`, `side`,
//! `outcome`, `duration_ms`. One `info` line per event and per attempt; `error` only when a person must act.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tracing_subscriber::EnvFilter;

use crate::domain::delivery::{Call, Destination};
use crate::domain::reading::Raises;
use crate::domain::timestamp::Timestamp;
use crate::expiry::seconds_left;
use crate::paces::PaceStatus;
use crate::reconcile::PollStatus;
use crate::store::{Health, Standing};
use crate::tokens::Status;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    side: &'static str,
    kind: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    side: &'static str,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CredentialLabels {
    credential: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PollLabels {
    side: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FoundLabels {
    connection: String,
    rule: String,
    why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabels {
    source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccountLabels {
    account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabels {
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

/// All metrics of one bridge; nothing is global.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    events: Family<EventLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    dead: Family<KindLabels, Counter>,
    possibly_doubled: Counter,
    overtaken: Counter,
    reloads_refused: Counter,
    template_failures: Family<RouteLabels, Counter>,
    configuration_well: Gauge,
    polls: Family<PollLabels, Counter>,
    poll_seconds: Histogram,
    poll_age: Family<SourceLabels, Gauge>,
    found_by_poll: Family<FoundLabels, Counter>,
    /// Labels of `found_by_poll` that were given: rules are many, and their names come from outside.
    found: Mutex<BTreeSet<(String, String)>>,
    intake_seconds: Histogram,
    delivery_seconds: Histogram,
    store_well: Gauge,
    store_failures: Counter,
    store_waiting: Gauge,
    store_waiting_bytes: Gauge,
    bodies_bytes: Gauge,
    deliveries: Family<StateLabels, Gauge>,
    open_pages: Gauge,
    oldest_due_age: Gauge,
    paused: Gauge,
    denied: Gauge,
    out_of_reach: Family<DestinationLabels, Gauge>,
    pace_waiting: Family<AccountLabels, Gauge>,
    pace_waits: Family<AccountLabels, Counter>,
    token_valid: Family<CredentialLabels, Gauge>,
    secret_ends: Family<CredentialLabels, Gauge>,
}

/// Rules that `alerts_found_by_poll` names; the others are one.
const RULES: usize = 1_000;
const MILLISECONDS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("bridge");
        let metrics = Self {
            registry: Registry::default(),
            requests: Family::default(),
            events: Family::default(),
            attempts: Family::default(),
            dead: Family::default(),
            possibly_doubled: Counter::default(),
            overtaken: Counter::default(),
            reloads_refused: Counter::default(),
            template_failures: Family::default(),
            configuration_well: Gauge::default(),
            polls: Family::default(),
            poll_seconds: Histogram::new(MILLISECONDS),
            poll_age: Family::default(),
            found_by_poll: Family::default(),
            found: Mutex::default(),
            intake_seconds: Histogram::new(MILLISECONDS),
            delivery_seconds: Histogram::new(MILLISECONDS),
            store_well: Gauge::default(),
            store_failures: Counter::default(),
            store_waiting: Gauge::default(),
            store_waiting_bytes: Gauge::default(),
            bodies_bytes: Gauge::default(),
            deliveries: Family::default(),
            open_pages: Gauge::default(),
            oldest_due_age: Gauge::default(),
            paused: Gauge::default(),
            denied: Gauge::default(),
            out_of_reach: Family::default(),
            pace_waiting: Family::default(),
            pace_waits: Family::default(),
            token_valid: Family::default(),
            secret_ends: Family::default(),
        };
        registry.register("requests", "Webhook requests by endpoint and status", metrics.requests.clone());
        registry.register(
            "events",
            "Stored events by side, kind and the reason of the verdict",
            metrics.events.clone(),
        );
        registry.register("attempts", "Attempts of deliveries by kind and outcome", metrics.attempts.clone());
        registry.register("deliveries_dead", "Deliveries given up; each waits for a person", metrics.dead.clone());
        registry.register(
            "pages_possibly_doubled",
            "Raises repeated although an earlier one may have arrived",
            metrics.possibly_doubled.clone(),
        );
        registry.register(
            "attempts_overtaken",
            "Attempts whose record came after an event or another attempt had settled the delivery",
            metrics.overtaken.clone(),
        );
        registry.register("reloads_refused", "Reloads that changed nothing", metrics.reloads_refused.clone());
        registry.register(
            "template_failures",
            "Templates that failed for an alert, which got the built-in text",
            metrics.template_failures.clone(),
        );
        registry.register(
            "configuration_well",
            "1 while what the files say is in force and the examples of the routes pass",
            metrics.configuration_well.clone(),
        );
        registry.register("polls", "Polls that were read to their end, or how they failed", metrics.polls.clone());
        registry.register_with_unit("poll", "Duration of a poll's step", Unit::Seconds, metrics.poll_seconds.clone());
        registry.register_with_unit(
            "poll_age",
            "Since a source was last read to its end",
            Unit::Seconds,
            metrics.poll_age.clone(),
        );
        registry.register(
            "alerts_found_by_poll",
            "Alerts that no webhook brought, by rule and by why they were paged or only recorded",
            metrics.found_by_poll.clone(),
        );
        registry.register_with_unit(
            "intake",
            "From the whole body to the commit",
            Unit::Seconds,
            metrics.intake_seconds.clone(),
        );
        registry.register_with_unit(
            "delivery",
            "From the decision to the accepted attempt",
            Unit::Seconds,
            metrics.delivery_seconds.clone(),
        );
        registry.register("store_well", "1 while the last commit went well", metrics.store_well.clone());
        registry.register("store_failures", "Commits that failed", metrics.store_failures.clone());
        registry.register("store_waiting", "Events that wait for the store", metrics.store_waiting.clone());
        registry.register_with_unit(
            "store_waiting",
            "Bodies of the events that wait for the store",
            Unit::Bytes,
            metrics.store_waiting_bytes.clone(),
        );
        registry.register_with_unit(
            "request_bodies",
            "Bodies of requests that are not answered yet",
            Unit::Bytes,
            metrics.bodies_bytes.clone(),
        );
        registry.register("deliveries", "Deliveries in the store by state", metrics.deliveries.clone());
        registry.register("pages_open", "Pages that are not ended", metrics.open_pages.clone());
        registry.register_with_unit(
            "oldest_due_age",
            "Age of the oldest delivery that is due; the metric to alarm on",
            Unit::Seconds,
            metrics.oldest_due_age.clone(),
        );
        registry.register("destinations_paused", "Destinations paused by an operator", metrics.paused.clone());
        registry.register("destinations_denied", "Destinations that refuse our credential", metrics.denied.clone());
        registry.register(
            "destination_out_of_reach",
            "1 while attempts do not get through and only probes are made",
            metrics.out_of_reach.clone(),
        );
        registry.register(
            "pace_waiting",
            "1 while deliveries wait because the account has been sent as much as it takes",
            metrics.pace_waiting.clone(),
        );
        registry.register("pace_waits", "How often deliveries began to wait for the pace", metrics.pace_waits.clone());
        registry.register(
            "credential_usable",
            "1 while the credential is valid or not yet used",
            metrics.token_valid.clone(),
        );
        registry.register_with_unit(
            "credential_expires",
            "Until the secret or certificate behind the credential ends, where that is known; negative afterwards",
            Unit::Seconds,
            metrics.secret_ends.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Telemetry {
    pub fn request(&self, endpoint: &'static str, status: u16) {
        self.requests.get_or_create(&RequestLabels { endpoint, status }).inc();
    }

    pub fn event(&self, side: &'static str, kind: &'static str, reason: &'static str, took: Duration) {
        self.events.get_or_create(&EventLabels { side, kind, reason }).inc();
        self.intake_seconds.observe(took.as_secs_f64());
    }

    pub fn attempt(&self, call: &Call, outcome: &'static str) {
        let labels = AttemptLabels { side: call.side().as_str(), kind: call.kind().as_str(), outcome };
        self.attempts.get_or_create(&labels).inc();
    }

    pub fn delivered(&self, after: Duration) {
        self.delivery_seconds.observe(after.as_secs_f64());
    }

    pub fn dead(&self, kind: &'static str) {
        self.dead.get_or_create(&KindLabels { kind }).inc();
    }

    pub fn possibly_doubled(&self) {
        self.possibly_doubled.inc();
    }

    pub fn overtaken(&self) {
        self.overtaken.inc();
    }

    pub fn template_failed(&self, route: &str) {
        self.template_failures.get_or_create(&RouteLabels { route: route.to_owned() }).inc();
    }

    /// A step of a poll has ended.
    pub fn polled(&self, side: &'static str, outcome: &'static str, took: Duration) {
        self.polls.get_or_create(&PollLabels { side, outcome }).inc();
        self.poll_seconds.observe(took.as_secs_f64());
    }

    /// An alert that no webhook brought.
    pub fn found_by_poll(&self, connection: &str, rule: &str, raises: Raises) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut label = (connection.to_owned(), rule.chars().take(100).collect::<String>());
        if found.len() >= RULES && !found.contains(&label) {
            "(others)".clone_into(&mut label.1);
        }
        found.insert(label.clone());
        let (connection, rule) = label;
        self.found_by_poll.get_or_create(&FoundLabels { connection, rule, why: raises.as_str() }).inc();
    }

    /// How old what the sources last said is, for the next rendering.
    pub fn poll_ages(&self, polls: &[PollStatus], now: Timestamp) {
        self.poll_age.clear();
        for poll in polls {
            if let Some(read_at) = poll.read_at.or(poll.failing_since) {
                let age = i64::try_from(now.since(read_at).as_secs()).unwrap_or(i64::MAX);
                self.poll_age.get_or_create(&SourceLabels { source: poll.source.clone() }).set(age);
            }
        }
    }

    pub fn reload_refused(&self) {
        self.reloads_refused.inc();
    }

    pub fn configured(&self, well: bool) {
        self.configuration_well.set(i64::from(well));
    }

    pub fn store(&self, standing: &Standing, bodies_bytes: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.store_well.set(i64::from(standing.trouble.is_none()));
        self.store_failures.inner().store(standing.failures, Ordering::Relaxed);
        self.store_waiting.set(number(standing.waiting_events));
        self.store_waiting_bytes.set(number(standing.waiting_bytes));
        self.bodies_bytes.set(number(bodies_bytes));
    }

    /// The pace of each account, before `render`; all destinations count as reached until that says otherwise.
    pub fn paces(&self, paces: &[PaceStatus], destinations: &[Destination]) {
        self.out_of_reach.clear();
        for destination in destinations {
            let labels = DestinationLabels { destination: destination.to_string() };
            self.out_of_reach.get_or_create(&labels).set(0);
        }
        self.pace_waiting.clear();
        for pace in paces {
            let labels = AccountLabels { account: pace.account.clone() };
            self.pace_waiting.get_or_create(&labels).set(i64::from(pace.waiting));
            self.pace_waits.get_or_create(&labels).inner().store(pace.waits, Ordering::Relaxed);
        }
    }

    /// The text of `/metrics`, with the gauges as of now.
    pub fn render(&self, health: Option<&Health>, credentials: &[Status], now: Timestamp) -> String {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if let Some(health) = health {
            for (state, count) in [("due", health.due), ("leased", health.leased), ("dead", health.dead)] {
                self.deliveries.get_or_create(&StateLabels { state }).set(number(count));
            }
            self.open_pages.set(number(health.open_pages));
            let age = health.oldest_due.map_or(0, |due| now.since(due).as_secs());
            self.oldest_due_age.set(number(age));
            let paused = health.holds.iter().filter(|hold| hold.paused_until.is_some_and(|until| until > now)).count();
            self.paused.set(i64::try_from(paused).unwrap_or(i64::MAX));
            let denied = health.holds.iter().filter(|hold| hold.denied_since.is_some()).count();
            self.denied.set(i64::try_from(denied).unwrap_or(i64::MAX));
            for hold in health.holds.iter().filter(|hold| hold.open_since.is_some()) {
                let labels = DestinationLabels { destination: hold.destination.to_string() };
                self.out_of_reach.get_or_create(&labels).set(1);
            }
        }
        // A credential that is no longer configured is no longer told of.
        self.token_valid.clear();
        self.secret_ends.clear();
        for status in credentials {
            if let Some(end) = status.secret_expires_at {
                let labels = CredentialLabels { credential: status.name.clone() };
                self.secret_ends.get_or_create(&labels).set(seconds_left(end, now));
            }
            let labels = CredentialLabels { credential: status.name.clone() };
            self.token_valid.get_or_create(&labels).set(i64::from(status.standing.is_usable()));
        }
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# {error}\n"),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for a person.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Sends the log to standard error. `RUST_LOG` chooses; without it the bridge speaks at `info`.
pub fn start_log(format: LogFormat, quiet: bool) {
    let default = if quiet { "off" } else { "info" };
    let wish = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|wish| !wish.trim().is_empty());
    let wished = wish.as_deref().map(EnvFilter::try_new).transpose();
    let refused = wished.as_ref().err().map(ToString::to_string);
    let filter = wished.ok().flatten().unwrap_or_else(|| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("the log was started before");
    }
    if let Some(error) = refused {
        tracing::warn!(
            error,
            "RUST_LOG is not understood and has no effect; write such as `info` or `signl4_azure_bridge=debug`"
        );
    }
}
