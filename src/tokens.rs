//! The shared token cache of both sides: Azure's bearer tokens, SIGNL4's webhook secrets and API keys.
//!
//! An entry that is fetched has at most one request on its way, however many wait for it; it is renewed in the
//! background before it ends, and a failed renewal keeps the token that is still valid. A permanent failure is
//! answered from memory for a minute, so that a wrong secret does not hammer Entra. A token that was refused is
//! forgotten once, by the generation that failed: of two who saw it fail, the second finds a new one.
//!
//! It knows no side: what is fetched, and how, is a [`Source`]. It shows no secret: [`Tokens::status`] has names, dates
//! and problems.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use tokio_util::task::TaskTracker;

use self::entry::{Entry, Look};
use crate::clock::Clock;
use crate::domain::delivery::Outcome;
use crate::domain::id::{ConnectionName, Side, TeamName, digest};
use crate::domain::timestamp::{Timestamp, readable};
use crate::secret::Secret;

/// Which credential an entry holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKey {
    /// The bearer token for one connection's calls to Azure.
    Azure(ConnectionName),
    /// A team's inbound webhook secret.
    Signl4Secret(TeamName),
    /// A team's REST API key.
    Signl4ApiKey(TeamName),
}

/// Where an entry's value comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A secret of the configuration.
    Fixed { value: Secret, expires_at: Option<Timestamp> },
    /// A token that a source fetches with a secret of the configuration.
    Fetched {
        source: Arc<dyn Source>,
        /// Equal for equal configurations: a reload keeps the token of an entry that did not change.
        fingerprint: String,
        /// When the secret behind it ends, as far as that is known.
        secret_end: Option<SecretEnd>,
    },
}

/// When a secret ends, and how a person makes a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretEnd {
    pub at: Timestamp,
    pub renewal: String,
}

/// Fetches a token: by client secret, certificate, federation, managed identity.
pub trait Source: fmt::Debug + Send + Sync {
    /// One request, no repeat.
    fn fetch(&self) -> Fetching<'_>;
}

/// A fetch on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, TokenError>> + Send + 'a>>;

/// A token as it was given to us. The spans count from the moment of asking.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub value: Secret,
    pub expires_in: Duration,
    pub refresh_in: Option<Duration>,
}

/// A value to send, and which one it is.
#[derive(Clone, Debug)]
pub struct Token {
    pub value: Secret,
    generation: u64,
}

/// No token. The texts hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Only a person can mend it, and `mend` says how. `status` is the answer's, 0 if nothing was asked.
    #[error("{code}: {mend}")]
    Denied { status: u16, code: String, mend: String },
    #[error("throttled for another {} s", after.as_secs())]
    Throttled { after: Duration },
    #[error("no token for now: {why}")]
    Transient { why: String },
}

impl TokenError {
    /// What it means for the call that wanted the token: that call was surely not sent.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Denied { status, .. } => Outcome::Denied { status: *status },
            Self::Throttled { after } => Outcome::Busy { after: Some(*after) },
            Self::Transient { .. } => Outcome::Unsent,
        }
    }
}

/// How an entry stands, for `/readyz`, the metrics and `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    pub name: String,
    pub side: Side,
    pub standing: Standing,
    /// End of the token, or of the fixed secret where the operator gave a date.
    #[serde(serialize_with = "readable::optional")]
    pub expires_at: Option<Timestamp>,
    /// End of the secret that fetches the token.
    #[serde(serialize_with = "readable::optional")]
    pub secret_expires_at: Option<Timestamp>,
    /// Whole days until then, negative afterwards.
    pub secret_expires_in_days: Option<i64>,
    /// How a person makes a new one.
    #[serde(skip)]
    pub renewal: Option<String>,
    pub problem: Option<Problem>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not fetched yet.
    Unused,
    Valid,
    /// By its date; a fixed secret is still used, because the date may be wrong and SIGNL4 has the last word.
    Expired,
    /// No token for now; it is asked for again by itself.
    Failing,
    /// A person must act.
    Denied,
}

impl Standing {
    /// Whether a call can be made with it, as far as is known.
    pub const fn is_usable(self) -> bool {
        match self {
            Self::Unused | Self::Valid => true,
            Self::Expired | Self::Failing | Self::Denied => false,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Failing => "failing",
            Self::Denied => "denied",
        }
    }
}

/// What went wrong last, with the mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(serialize_with = "readable::time")]
    pub at: Timestamp,
    pub text: String,
}

/// The cache.
#[derive(Debug)]
pub struct Tokens {
    entries: RwLock<BTreeMap<CredentialKey, Arc<Entry>>>,
    clock: Clock,
    renewals: TaskTracker,
}

impl Tokens {
    pub fn new(clock: Clock) -> Self {
        Self { entries: RwLock::default(), clock, renewals: TaskTracker::new() }
    }

    /// Makes `origins` the entries of `side`; those that did not change keep their token.
    pub fn set(&self, side: Side, origins: BTreeMap<CredentialKey, Origin>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let mut kept = std::mem::take(&mut *entries);
        *entries = origins
            .into_iter()
            .map(|(key, origin)| {
                let entry = kept
                    .remove(&key)
                    .filter(|entry| entry.origin.is_same(&origin))
                    .unwrap_or_else(|| Arc::new(Entry::new(key.clone(), origin)));
                (key, entry)
            })
            .collect();
        entries.extend(kept.into_iter().filter(|(key, _)| key.side() != side));
    }

    /// The value to send now. Waits for a fetch only if there is no valid one.
    pub async fn get(&self, key: &CredentialKey) -> Result<Token, TokenError> {
        let Some(entry) = self.entry(key) else {
            return Err(TokenError::Denied {
                status: 0,
                code: "no credential".to_owned(),
                mend: format!("configure one for {key}"),
            });
        };
        match entry.look(self.clock.now()) {
            Look::Ready { token, renew: None } => Ok(token),
            Look::Ready { token, renew: Some(round) } => {
                self.renew(entry, round);
                Ok(token)
            }
            Look::Failed(error) => Err(error),
            Look::Fetch { round } => entry.fetch_once(round, &self.clock).await,
        }
    }

    /// Drops a token that was refused, unless a newer one is there already. Says whether it did. A fixed secret cannot
    /// be fetched anew and stays.
    pub fn forget(&self, key: &CredentialKey, token: &Token) -> bool {
        self.entry(key).is_some_and(|entry| entry.forget(token.generation))
    }

    /// Notes that the other side takes this value no more, and what a person can do: for [`Tokens::status`] only.
    pub fn reject(&self, key: &CredentialKey, token: &Token, mend: &str) {
        if let Some(entry) = self.entry(key) {
            entry.reject(token.generation, Problem { at: self.clock.now(), text: mend.to_owned() });
        }
    }

    /// Notes that the other side took this value.
    pub fn confirm(&self, key: &CredentialKey, token: &Token) {
        if let Some(entry) = self.entry(key) {
            entry.confirm(token.generation);
        }
    }

    /// Fetches in the background what is missing or due for renewal. Called at start and now and then, so that a wrong
    /// secret shows before the first alert needs it, and no delivery waits for a token.
    pub fn tend(&self) {
        let entries: Vec<_> =
            self.entries.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        for entry in entries {
            match entry.look(self.clock.now()) {
                Look::Ready { renew: Some(round), .. } | Look::Fetch { round } => self.renew(entry, round),
                Look::Ready { renew: None, .. } | Look::Failed(_) => {}
            }
        }
    }

    /// Waits until no background fetch is on its way.
    pub async fn settled(&self) {
        self.renewals.close();
        self.renewals.wait().await;
        self.renewals.reopen();
    }

    /// Every entry by name.
    pub fn status(&self) -> Vec<Status> {
        let now = self.clock.now();
        self.entries.read().unwrap_or_else(PoisonError::into_inner).values().map(|entry| entry.status(now)).collect()
    }

    fn entry(&self, key: &CredentialKey) -> Option<Arc<Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).map(Arc::clone)
    }

    fn renew(&self, entry: Arc<Entry>, round: u64) {
        let clock = self.clock.clone();
        // The result is in the entry, and its failure has been logged there.
        self.renewals.spawn(async move { entry.fetch_once(round, &clock).await.is_ok() });
    }
}

impl CredentialKey {
    pub const fn side(&self) -> Side {
        match self {
            Self::Azure(_) => Side::Azure,
            Self::Signl4Secret(_) | Self::Signl4ApiKey(_) => Side::Signl4,
        }
    }
}

impl fmt::Display for CredentialKey {
    /// As the configuration names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Azure(connection) => write!(f, "[azure.{connection}] credential"),
            Self::Signl4Secret(team) => write!(f, "[signl4.{team}] secret"),
            Self::Signl4ApiKey(team) => write!(f, "[signl4.{team}] api_key"),
        }
    }
}

impl Origin {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed { value, expires_at }, Self::Fixed { value: other, expires_at: others }) => {
                digest(value.expose().as_bytes()) == digest(other.expose().as_bytes()) && expires_at == others
            }
            (
                Self::Fetched { fingerprint, secret_end, .. },
                Self::Fetched { fingerprint: other, secret_end: others, .. },
            ) => fingerprint == other && secret_end == others,
            (Self::Fixed { .. }, Self::Fetched { .. }) | (Self::Fetched { .. }, Self::Fixed { .. }) => false,
        }
    }
}
