//! Somebody is told: what an operator must mend becomes a page to the alarm team, once an hour for the same trouble, and
//! once for each warning ahead of a secret's end.
//!
//! An alarm goes through the store like everything else, so it survives a crash and is retried. Only word of the store's own
//! trouble goes past it (`direct`). One that could only go to the very team that is out of reach is not made; the log has it.

mod direct;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::caller::Runs;
use crate::caller::runs::Told;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::decide::Reason;
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
    /// What was given up since it was last told.
    untold: Arc<Mutex<BTreeMap<GivenUp, Untold>>>,
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
        Self {
            store,
            telemetry,
            config,
            tokens,
            clock,
            told: Arc::default(),
            untold: Arc::default(),
            past_the_store: Arc::default(),
        }
    }

    /// A delivery was given up: pages that nobody got, and all the rest. Of each kind the first is told at once, and those
    /// after it, with their number, when an hour has passed.
    pub async fn dead(&self, call: &Call, note: &str) {
        let (kind, first) = if let Call::Raise { team, page, body, .. } = call {
            // An alarm that was refused must not raise another about itself.
            if page.as_str().starts_with(ALARM_PAGES) {
                return;
            }
            let title = body.get("Title").and_then(serde_json::Value::as_str).unwrap_or("an alert").to_owned();
            let text = format!("Nobody of team {team} was paged for: {title}\nReason: {note}.");
            (GivenUp::Page, First { title, text })
        } else {
            let title = call.kind().as_str().to_owned();
            let text = format!("A call ({title}) is given up: {note}.");
            (GivenUp::Change, First { title, text })
        };
        self.untold().entry(kind).or_insert(Untold { count: 0, first }).count += 1;
        self.given_up().await;
    }

    /// Tells of what was given up, once an hour for each kind. What this process has not told when it ends is in the list
    /// of dead deliveries all the same.
    pub async fn given_up(&self) {
        for kind in [GivenUp::Page, GivenUp::Change] {
            let Some(news) = self.news(kind.about(), "", self.clock.now().hour()) else { continue };
            let Some(untold) = self.untold().remove(&kind) else { continue };
            let (title, text) = kind.in_words(&untold);
            let is_first = self.raise_first(kind.about(), &title, &text, false).await;
            if is_first.is_some() {
                self.was_told(news);
            }
            // Not stored, or told in this hour by another task or before a restart: the next time.
            if is_first != Some(true) {
                let mut later = self.untold();
                let count = later.get(&kind).map_or(0, |later| later.count).saturating_add(untold.count);
                later.insert(kind, Untold { count, ..untold });
            }
        }
    }

    fn untold(&self) -> MutexGuard<'_, BTreeMap<GivenUp, Untold>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.raise_first(about, title, text, once).await.is_some()
    }

    /// Whether it is the first of the same trouble and time; `None`: the store does not have it.
    async fn raise_first(&self, about: &str, title: &str, text: &str, once: bool) -> Option<bool> {
        let team = self.config.load().alarm.team.clone();
        let (about, title, text) = (about.to_owned(), title.to_owned(), text.to_owned());
        let kind = EventKind::Alarm { team, about: about.clone(), title, text, once, paged: None };
        let stored = self.keep(kind).await;
        if stored.is_none() && self.store.trouble().is_none() {
            tracing::error!(about, "an alarm could not be stored");
        }
        stored.map(|reason| reason != Reason::Repeat)
    }

    async fn keep(&self, kind: EventKind) -> Option<Reason> {
        let incoming = Incoming {
            kind,
            side: Side::Signl4,
            source: "bridge".to_owned(),
            body: Bytes::new(),
            headers: std::collections::BTreeMap::new(),
        };
        intake::take(&self.store, &self.telemetry, incoming).await.ok().map(|receipt| receipt.reason)
    }
}

/// What can be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GivenUp {
    /// Nobody was paged.
    Page,
    /// An acknowledgement, a close, an annotation: the sides do not agree.
    Change,
}

/// Given up and not told yet.
#[derive(Clone, Debug)]
struct Untold {
    count: usize,
    first: First,
}

#[derive(Clone, Debug)]
struct First {
    title: String,
    text: String,
}

impl GivenUp {
    const fn about(self) -> &'static str {
        match self {
            Self::Page => "not paged",
            Self::Change => "dead delivery",
        }
    }

    /// Title and text.
    fn in_words(self, untold: &Untold) -> (String, String) {
        let Untold { count, first: First { title, text } } = untold;
        let title = match (self, count) {
            (Self::Page, 0..=1) => format!("Not paged: {title}"),
            (Self::Page, _) => format!("Not paged: {count} alerts"),
            (Self::Change, 0..=1) => "Bridge: a change is given up".to_owned(),
            (Self::Change, _) => format!("Bridge: {count} changes are given up"),
        };
        let first = if *count > 1 { "The first of them: " } else { "" };
        let text = format!(
            "{first}{text}\n`signl4-azure-bridge deliveries list` shows all that are given up; replay or drop each. More of \
             them within this hour are told together when it is over."
        );
        (title, text)
    }
}

fn is_denied(status: &Status) -> bool {
    status.standing == Standing::Denied
}
