//! The keys that a tenant signs with, read from its own metadata and kept for a day.
//!
//! One fetch is under way at a time, and it goes on when whoever asked for it has left. Keys that could not be renewed
//! serve on for a second day: Entra's trouble must not cost alerts. A `kid` that is not among the keys asks for a fetch,
//! but for one a minute at most, whatever strangers send. Nothing but the tenant's metadata says where keys are, and its
//! `jwks_uri` must lie at the configured authority.
//! <https://learn.microsoft.com/entra/identity-platform/access-tokens#validate-the-signature>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bearer::{Issuer, Version};
use crate::clock::Clock;
use crate::domain::id::Side;
use crate::domain::timestamp::Timestamp;
use crate::egress::{Aim, Http};

/// Keys this old are fetched anew.
const FRESH: Duration = Duration::from_hours(24);
/// Keys this old prove nothing any more.
const USABLE: Duration = Duration::from_hours(48);
/// Between two fetches for keys that we have not, or that are old.
const RETRY: Duration = Duration::from_secs(5);
/// Between two fetches for a `kid` that we do not know.
const UNKNOWN: Duration = Duration::from_mins(1);
/// A caller waits this long for the first keys, and is then asked to come again.
const PATIENCE: Duration = Duration::from_secs(4);
/// A tenant has a handful.
const MOST_KEYS: usize = 100;

const METADATA: Aim =
    Aim { side: Side::Azure, purpose: "metadata", path: "/{tenant}/.well-known/openid-configuration" };
const KEYS: Aim = Aim { side: Side::Azure, purpose: "keys", path: "/{tenant}/discovery/keys" };

const NO_TENANT: &str = "the metadata names no single tenant as issuer";

/// No keys to check a token with: the caller must come again, because a refusal would be final for its alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tenant's keys cannot be had: {why}")]
pub struct KeysUnavailable {
    why: String,
}

/// Keys, and which fetch they came from.
#[derive(Clone, Debug)]
pub struct Known {
    pub issuer: Arc<Issuer>,
    pub generation: u64,
}

/// The keys of one tenant for one version of tokens.
#[derive(Debug)]
pub struct KeySet {
    /// `https://login.microsoftonline.com`, without trailing slash.
    authority: String,
    /// Id or domain.
    tenant: String,
    version: Version,
    http: Http,
    clock: Clock,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    fetched_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
    /// Of the last try; `None` after a good one.
    problem: Option<KeysUnavailable>,
    /// Fetches that came to an end, well or not.
    rounds: u64,
    under_way: bool,
}

impl State {
    fn usable(&self, now: Timestamp) -> Option<Known> {
        self.fetched_at.filter(|at| now.since(*at) < USABLE)?;
        self.known.clone()
    }

    fn tried_within(&self, span: Duration, now: Timestamp) -> bool {
        self.tried_at.is_some_and(|at| now.since(at) < span)
    }
}

impl KeySet {
    pub fn new(authority: &str, tenant: &str, version: Version, http: Http, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            authority: authority.trim_end_matches('/').to_owned(),
            tenant: tenant.to_owned(),
            version,
            http,
            clock,
            state: Mutex::default(),
            flight: tokio::sync::Mutex::new(()),
        })
    }

    /// The keys to check with now. Waits only while there are none.
    pub async fn get(self: &Arc<Self>) -> Result<Known, KeysUnavailable> {
        let now = self.clock.now();
        let (known, rounds, problem) = {
            let state = self.state();
            let recent = state.tried_within(RETRY, now);
            (state.usable(now), state.rounds, state.problem.clone().filter(|_| recent))
        };
        match (known, problem) {
            (Some(known), _) => {
                self.tend();
                Ok(known)
            }
            (None, Some(problem)) => Err(problem),
            (None, None) => self.fetch_patiently(rounds).await,
        }
    }

    /// Keys newer than those of `generation`, for a `kid` that is not among them. `None`: there are none, as far as is
    /// known since less than a minute.
    pub async fn newer(self: &Arc<Self>, generation: u64) -> Result<Option<Known>, KeysUnavailable> {
        let now = self.clock.now();
        let rounds = {
            let state = self.state();
            if let Some(newer) = state.usable(now).filter(|known| known.generation > generation) {
                return Ok(Some(newer));
            }
            // A fetch that is under way may bring it.
            if state.tried_within(UNKNOWN, now) && !state.under_way {
                return state.problem.clone().map_or(Ok(None), Err);
            }
            state.rounds
        };
        self.fetch_patiently(rounds).await.map(Some)
    }

    /// Fetches in the background what is missing or a day old. Called at start and now and then, so that a wrong tenant
    /// shows before the first alert, and no alert waits.
    pub fn tend(self: &Arc<Self>) {
        let now = self.clock.now();
        let rounds = {
            let mut state = self.state();
            let old = state.fetched_at.is_none_or(|at| now.since(at) >= FRESH);
            let pause = if state.known.is_some() { UNKNOWN } else { RETRY };
            if !old || state.tried_within(pause, now) {
                return;
            }
            state.tried_at = Some(now);
            state.under_way = true;
            state.rounds
        };
        let keys = Arc::clone(self);
        // How it ended stands in the state, and was logged.
        tokio::spawn(async move { keys.fetch_once(rounds).await.is_ok() });
    }

    /// What went wrong with the last fetch.
    pub fn problem(&self) -> Option<String> {
        self.state().problem.as_ref().map(ToString::to_string)
    }

    pub fn fetched_at(&self) -> Option<Timestamp> {
        self.state().fetched_at
    }

    async fn fetch_patiently(self: &Arc<Self>, rounds: u64) -> Result<Known, KeysUnavailable> {
        let keys = Arc::clone(self);
        let fetch = tokio::spawn(async move { keys.fetch_once(rounds).await });
        match tokio::time::timeout(PATIENCE, fetch).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(KeysUnavailable { why: "the fetch was stopped".to_owned() }),
            Err(_) => Err(KeysUnavailable { why: format!("none within {} s", PATIENCE.as_secs()) }),
        }
    }

    /// Fetches, unless another did since `rounds`, and gives what came of it.
    async fn fetch_once(&self, rounds: u64) -> Result<Known, KeysUnavailable> {
        let _flight = self.flight.lock().await;
        {
            let state = self.state();
            if state.rounds != rounds {
                let known = state.usable(self.clock.now());
                return match (&state.problem, known) {
                    (None, Some(known)) => Ok(known),
                    (Some(problem), _) => Err(problem.clone()),
                    (None, None) => Err(KeysUnavailable { why: "they are too old".to_owned() }),
                };
            }
        }
        let asked_at = self.clock.now();
        self.state().under_way = true;
        let fetched = self.fetch().await;
        let mut state = self.state();
        state.rounds = state.rounds.saturating_add(1);
        state.under_way = false;
        state.tried_at = Some(asked_at);
        match fetched {
            Ok(issuer) => {
                tracing::debug!(tenant = self.tenant, version = ?self.version, keys = issuer.keys.len(), "read the tenant's keys");
                let known = Known { issuer: Arc::new(issuer), generation: state.rounds };
                state.known = Some(known.clone());
                state.fetched_at = Some(asked_at);
                state.problem = None;
                Ok(known)
            }
            Err(why) => {
                let problem = KeysUnavailable { why };
                if state.problem.as_ref() != Some(&problem) {
                    tracing::warn!(tenant = self.tenant, version = ?self.version, %problem, "secure webhook");
                }
                state.problem = Some(problem.clone());
                Err(problem)
            }
        }
    }

    async fn fetch(&self) -> Result<Issuer, String> {
        let path = match self.version {
            Version::V1 => "",
            Version::V2 => "/v2.0",
        };
        let address = format!("{}/{}{path}/.well-known/openid-configuration", self.authority, self.tenant);
        let metadata: Metadata = self.read(METADATA, &address).await?;
        let tenant = tenant_of(&metadata.issuer).ok_or(NO_TENANT)?;
        if uuid::Uuid::try_parse(&self.tenant).is_ok() && !self.tenant.eq_ignore_ascii_case(&tenant) {
            return Err("the metadata is that of another tenant".to_owned());
        }
        if !same_origin(&self.authority, &metadata.jwks_uri) {
            return Err("the metadata's jwks_uri does not lie at the authority, and is not called".to_owned());
        }
        let keys: Keys = self.read(KEYS, &metadata.jwks_uri).await?;
        Ok(keys.of(self.version, metadata.issuer)?)
    }

    async fn read<T: DeserializeOwned>(&self, aim: Aim, address: &str) -> Result<T, String> {
        let url = Url::parse(address).map_err(|_| "the authority and the tenant make no URL")?;
        let answer =
            self.http.send(aim, reqwest::Request::new(Method::GET, url)).await.map_err(|error| error.to_string())?;
        if answer.status != 200 {
            return Err(format!("{} was answered {}", aim.path, answer.status));
        }
        answer.json().filter(|_| answer.whole).ok_or_else(|| format!("{} is not what it should be", aim.path))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

impl Keys {
    fn of(self, version: Version, issuer: String) -> Result<Issuer, &'static str> {
        let tenant = tenant_of(&issuer).ok_or(NO_TENANT)?;
        let keys: BTreeMap<String, DecodingKey> =
            self.keys.into_iter().take(MOST_KEYS).filter_map(|key| key.usable(&tenant)).collect();
        if keys.is_empty() {
            return Err("there is no RSA key among them");
        }
        Ok(Issuer { version, name: issuer, tenant, keys })
    }
}

/// An issuer from the text of its key set.
pub fn issuer(version: Version, name: &str, key_set: &[u8]) -> Result<Issuer, &'static str> {
    let keys: Keys = serde_json::from_slice(key_set).map_err(|_| "it is no key set")?;
    keys.of(version, name.to_owned())
}

/// One entry of the key set; others than RSA have no `n`.
#[derive(Deserialize)]
struct Key {
    kty: Option<String>,
    r#use: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    issuer: Option<String>,
}

impl Key {
    /// A key that Entra lists for one certain other tenant signs nothing for ours.
    fn usable(self, tenant: &str) -> Option<(String, DecodingKey)> {
        let foreign = self.issuer.as_deref().and_then(tenant_of).is_some_and(|named| named != tenant);
        if self.kty.as_deref() != Some("RSA") || self.r#use.is_some_and(|for_what| for_what != "sig") || foreign {
            return None;
        }
        let key = DecodingKey::from_rsa_components(&self.n?, &self.e?).ok()?;
        Some((self.kid?, key))
    }
}

/// The tenant's id in an issuer such as `https://sts.windows.net/{id}/`; none in the metadata that all tenants share.
fn tenant_of(issuer: &str) -> Option<String> {
    let url = Url::parse(issuer).ok()?;
    let first = url.path_segments()?.next()?;
    (first.len() == 36 && uuid::Uuid::try_parse(first).is_ok()).then(|| first.to_ascii_lowercase())
}

fn same_origin(one: &str, other: &str) -> bool {
    match (Url::parse(one), Url::parse(other)) {
        (Ok(one), Ok(other)) => one.origin() == other.origin(),
        (Ok(_) | Err(_), _) => false,
    }
}

#[cfg(test)]
mod tests;
