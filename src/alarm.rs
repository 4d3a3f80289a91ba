//! Somebody is told: what an operator must mend becomes a page to the alarm team, once an hour for the same trouble, and
//! once for each warning ahead of a secret's end.
//!
//! An alarm goes through the store like everything else, so it survives a crash and is retried. Only word of the store's own
//! trouble goes past it (`direct`). One that could only go to the very team that is out of reach is not made; the log has it.

mod direct;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::caller::Runs;
use crate::caller::runs::Told;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::delivery::{Call, Destination};
use crate::domain::event::EventKind;
use crate::domain::hold::Hold;
use crate::domain::id::Side;
use crate::domain::timestamp::Timestamp;
use crate::domain::vitals::PATIENCE;
use crate::expiry::{Warning, in_words};
use crate::intake;
use crate::paces::Paces;
use crate::store::{Incoming, Store};
use crate::telemetry::Telemetry;
use crate::tokens::{CredentialKey, Standing, Status, Tokens};

/// How the external ids of alarm pages begin.
const ALARM_PAGES: &str = "azmon:alarm:";

/// Where alarms go in.
#[derive(Clone, Debug)]
pub struct Alarms {
    pub store: Store,
    pub telemetry: Arc<Telemetry>,
    pub config: Arc<ArcSwap<Config>>,
    pub tokens: Arc<Tokens>,
    pub clock: Clock,
    /// What was told of credentials, and when: spares the store a row for each look at them. The store has the last word.
    told: Arc<Mutex<BTreeMap<String, String>>>,
    /// What went past the store, until the store has it.
    past_the_store: Arc<Mutex<Vec<direct::Told>>>,
}

impl Alarms {
    pub fn new(
        store: Store,
        telemetry: Arc<Telemetry>,
        config: Arc<ArcSwap<Config>>,
        tokens: Arc<Tokens>,
        clock: Clock,
    ) -> Self {
        Self { store, telemetry, config, tokens, clock, told: Arc::default(), past_the_store: Arc::default() }
    }

    /// A delivery was given up. Each page that nobody got is told of by its title; of the rest one an hour.
    pub async fn dead(&self, call: &Call, note: &str) {
        let list = "`signl4-azure-bridge deliveries list` shows all that are given up; replay or drop each.";
        if let Call::Raise { team, page, body, .. } = call {
            // An alarm that was refused must not raise another about itself.
            if page.as_str().starts_with(ALARM_PAGES) {
                return;
            }
            let title = body.get("Title").and_then(serde_json::Value::as_str).unwrap_or("an alert");
            let text = format!("Nobody of team {team} was paged for: {title}\nReason: {note}.\n{list}");
            self.raise(&format!("not paged {page}"), &format!("Not paged: {title}"), &text, false).await;
            return;
        }
        let text = format!("A call ({}) is given up: {note}.\n{list}", call.kind().as_str());
        self.raise("dead delivery", "Bridge: a change is given up", &text, false).await;
    }

    /// A destination refuses our credential: its deliveries wait. Where the trouble is the credential's itself, that is
    /// what is told, once for all destinations that need it.
    pub async fn denied(&self, call: &Call, note: &str) {
        let destination = call.destination();
        let Some(news) = self.news("refuses", destination.as_str(), self.clock.now().hour()) else { return };
        tracing::error!(
            destination = %destination, note,
            "the destination refuses us (credential, permission or address): its deliveries wait and one is tried each minute"
        );
        if self.tell_of_denial(call, &destination, note).await {
            self.was_told(news);
        }
    }

    /// Whether nothing is left to tell.
    async fn tell_of_denial(&self, call: &Call, destination: &Destination, note: &str) -> bool {
        if *destination == Destination::team(&self.config.load().alarm.team) {
            return true;
        }
        if let Call::ChangeState { target, .. } | Call::Comment { target, .. } = call {
            let key = CredentialKey::Azure(target.connection.clone()).to_string();
            let statuses = self.tokens.status();
            if let Some(status) = statuses.iter().find(|status| status.name == key && is_denied(status)) {
                return self.credential_denied(status).await;
            }
        }
        let text = format!("{note}.\nIts deliveries wait and one is tried each minute; nothing is lost.");
        let about = format!("denied {destination}");
        let title = match call {
            Call::ChangeState { target, .. } | Call::Comment { target, .. } => {
                format!("Bridge: Azure refuses [azure.{}]: acknowledgements wait", target.connection)
            }
            Call::Raise { team, .. }
            | Call::Acknowledge { team, .. }
            | Call::Resolve { team, .. }
            | Call::Annotate { team, .. } => format!("Bridge: SIGNL4 refuses [signl4.{team}]: its pages wait"),
        };
        self.raise(&about, &title, &text, false).await
    }

    /// Looks at the credentials of Azure: tells of those that are refused, also while no delivery needs them, and of
    /// secrets that end. Called every few seconds.
    pub async fn credentials(&self) {
        let now = self.clock.now();
        for status in self.tokens.status() {
            if status.side == Side::Azure
                && is_denied(&status)
                && let Some(news) = self.news("denied", &status.name, now.hour())
                && self.credential_denied(&status).await
            {
                self.was_told(news);
            }
            let Some(end) = status.secret_expires_at else { continue };
            if let Some(warning) = Warning::due(end, now)
                && let Some(news) = self.news("ends", &status.name, format!("{end} {}", warning.as_str()))
                && self.ending(&status, end, warning, now).await
            {
                self.was_told(news);
            }
        }
    }

    async fn credential_denied(&self, status: &Status) -> bool {
        let problem = status.problem.as_ref().map_or("it is refused", |problem| problem.text.as_str());
        let text = format!(
            "{problem}.\nUntil then nothing that people do on the phone reaches Azure. It waits and is not lost; the \
             credential is tried again each minute, and at once when it is changed."
        );
        let about = format!("denied {}", status.name);
        self.raise(&about, &format!("Bridge: {} is refused", status.name), &text, false).await
    }

    /// Each warning of each end is told once, also over restarts: the store knows it by `about`.
    async fn ending(&self, status: &Status, end: Timestamp, warning: Warning, now: Timestamp) -> bool {
        let renewal = status.renewal.as_deref().unwrap_or("renew it");
        let words = in_words(end, now);
        tracing::warn!(credential = status.name, end = %end, "a secret {words}: {renewal}");
        let text = format!(
            "To do: {renewal}.\nAfter its end nothing that people do on the phone reaches Azure until it is renewed."
        );
        let about = format!("{} of {end}: {}", status.name, warning.as_str());
        self.raise(&about, &format!("Bridge: {} {words}", status.name), &text, true).await
    }

    /// What was not told since this process began: its key and when.
    fn news(&self, what: &str, name: &str, when: String) -> Option<(String, String)> {
        let key = format!("{what} {name}");
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        (told.get(&key) != Some(&when)).then_some((key, when))
    }

    fn was_told(&self, (key, when): (String, String)) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(key, when);
    }

    /// A source refuses to be polled. Told once for each time that this begins.
    pub async fn not_polled(&self, source: &str, note: &str, since: Timestamp) {
        let text = format!(
            "{note}.\nUntil then the bridge knows of this source only what webhooks tell: no lost alert is found there, and \
             nothing that people do in the portal."
        );
        let title = format!("Bridge: {source} cannot be polled");
        self.raise(&format!("not polled {source} since {since}"), &title, &text, true).await;
    }

    /// Destinations that have been out of reach for a while. Where the alarm itself goes to the same account it waits for the
    /// return as everything does, and one of them is enough.
    pub async fn out_of_reach(&self, holds: &[Hold], paces: &Paces) {
        let now = self.clock.now();
        let own = paces.account(&Destination::team(&self.config.load().alarm.team));
        for hold in holds {
            let Some(since) = hold.open_since.filter(|since| now.since(*since) > PATIENCE) else { continue };
            let destination = &hold.destination;
            let is_own = paces.account(destination) == own;
            let when = if is_own { since.to_string() } else { now.hour() };
            let Some(news) = self.news("out of reach", destination.as_str(), when) else { continue };
            let why = hold.why.as_deref().unwrap_or("no answer");
            tracing::error!(destination = %destination, since = %since, why, "a destination stays out of reach");
            let what = match destination.side() {
                Side::Azure => "What people do on the phone does not reach Azure",
                Side::Signl4 => "Its pages do not go out",
            };
            let text = format!(
                "Out of reach since {since}: {why}.\n{what}; all of it waits and goes out within a minute of the return. \
                 Check the network, the proxy and the service's status page."
            );
            let about = if is_own {
                format!("out of reach {destination} {since}")
            } else {
                format!("out of reach {destination}")
            };
            if self.raise(&about, &format!("Bridge: {destination} is out of reach"), &text, is_own).await {
                self.was_told(news);
            }
        }
    }

    /// Endpoints that have refused one call after another.
    pub async fn refusing(&self, runs: &Runs) {
        let now = self.clock.now();
        for run in runs.to_tell() {
            let Told { side, name, count, since } = &run;
            let endpoint = format!("/{side}/{name}");
            let Some(news) = self.news("refusing", &endpoint, now.hour()) else { continue };
            tracing::error!(endpoint, count, since = %since, "one call after another is refused for its credential");
            let lost = match *side {
                "azure" => "Azure does not repeat what is answered 401: those alerts are lost.",
                _ => "Acknowledgements on the phone may not have arrived.",
            };
            let text = format!(
                "{count} calls to {endpoint} in a row had a wrong credential since {since}, none a right one.\n{lost} \
                 The log has their addresses. If they are not a stranger's, give the caller the token of [{side}.{name}]."
            );
            let title = format!("Bridge: {endpoint} refuses its caller");
            if self.raise(&format!("refusing {endpoint}"), &title, &text, false).await {
                self.was_told(news);
                runs.was_told(&run);
            }
        }
    }

    /// A body was refused for its size: the one loss there is.
    pub async fn too_large(&self, source: &str) {
        let text = format!("A webhook body over 1 MiB came through {source} and is lost. Its sender must send less.");
        self.raise(&format!("too large {source}"), "Bridge: a webhook was too large and is lost", &text, false).await;
    }

    /// Whether the store has it.
    async fn raise(&self, about: &str, title: &str, text: &str, once: bool) -> bool {
        let team = self.config.load().alarm.team.clone();
        let (about, title, text) = (about.to_owned(), title.to_owned(), text.to_owned());
        let kind = EventKind::Alarm { team, about: about.clone(), title, text, once, paged: None };
        let stored = self.keep(kind).await;
        if !stored && self.store.trouble().is_none() {
            tracing::error!(about, "an alarm could not be stored");
        }
        stored
    }

    async fn keep(&self, kind: EventKind) -> bool {
        let incoming = Incoming {
            kind,
            side: Side::Signl4,
            source: "bridge".to_owned(),
            body: Bytes::new(),
            headers: std::collections::BTreeMap::new(),
        };
        intake::take(&self.store, &self.telemetry, incoming).await.is_ok()
    }
}

fn is_denied(status: &Status) -> bool {
    status.standing == Standing::Denied
}
