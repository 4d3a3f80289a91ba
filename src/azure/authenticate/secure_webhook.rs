//! The secure webhook of each connection: who may post with an Entra token.
//!
//! A token that was found right is remembered by its hash until it ends, because Azure uses one for an hour and checking
//! the signature costs more than everything else that a webhook does. Only right tokens are remembered, so strangers
//! cannot fill the memory; keys that were fetched anew make it forget.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::bearer::{self, Claim, Expectations, Version};
use super::keys::{KeySet, KeysUnavailable};
use crate::caller::Budget;
use crate::clock::Clock;
use crate::config::{Connection, SecureWebhook};
use crate::domain::id::ConnectionName;
use crate::domain::timestamp::{Timestamp, readable};
use crate::egress::Http;

/// Azure's caller has a token or two at a time.
const REMEMBERED: usize = 256;

/// Why a bearer token opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    #[error("{}", .0.as_str())]
    Wrong(Claim),
    #[error(transparent)]
    Keys(#[from] KeysUnavailable),
    /// The source sends too much that is wrong: it must come again.
    #[error("too many wrong credentials from this source for another signature to be checked now")]
    Busy,
}

/// The entrances of all connections that have one.
#[derive(Debug, Default)]
pub struct SecureWebhooks {
    entrances: BTreeMap<ConnectionName, Arc<Entrance>>,
}

/// How the keys of one connection stand, for `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeysStatus {
    pub connection: String,
    pub version: &'static str,
    #[serde(serialize_with = "readable::optional")]
    pub fetched_at: Option<Timestamp>,
    pub problem: Option<String>,
}

/// Where the tokens of one connection are checked.
#[derive(Debug)]
pub struct Entrance {
    settings: SecureWebhook,
    authority: String,
    expected: Expectations,
    v1: Arc<KeySet>,
    v2: Arc<KeySet>,
    clock: Clock,
    right: Mutex<BTreeMap<[u8; 32], Right>>,
}

#[derive(Clone, Copy, Debug)]
struct Right {
    expires_at: Timestamp,
    version: Version,
    /// Of the keys that it was checked with.
    generation: u64,
}

impl SecureWebhooks {
    /// The entrances of `connections`; one whose settings did not change keeps its keys.
    pub fn new(connections: &BTreeMap<ConnectionName, Connection>, former: &Self, http: &Http, clock: &Clock) -> Self {
        let entrances = connections.iter().filter_map(|(name, connection)| {
            let settings = connection.secure_webhook.as_ref()?;
            let authority = &connection.cloud.authority;
            let kept = former.entrances.get(name).filter(|former| former.is_for(settings, authority));
            let entrance = kept.map_or_else(|| Arc::new(Entrance::new(settings, authority, http, clock)), Arc::clone);
            Some((name.clone(), entrance))
        });
        Self { entrances: entrances.collect() }
    }

    pub fn get(&self, connection: &ConnectionName) -> Option<&Arc<Entrance>> {
        self.entrances.get(connection)
    }

    /// One to do the same work at where a name is unknown.
    pub fn any(&self) -> Option<&Arc<Entrance>> {
        self.entrances.values().next()
    }

    /// Keys ahead of their use.
    pub fn tend(&self) {
        for entrance in self.entrances.values() {
            entrance.v1.tend();
            entrance.v2.tend();
        }
    }

    pub fn status(&self) -> Vec<KeysStatus> {
        let of = |name: &ConnectionName, version, keys: &KeySet| KeysStatus {
            connection: name.to_string(),
            version,
            fetched_at: keys.fetched_at(),
            problem: keys.problem(),
        };
        let both = |(name, entrance): (&ConnectionName, &Arc<Entrance>)| {
            [of(name, "1.0", &entrance.v1), of(name, "2.0", &entrance.v2)]
        };
        self.entrances.iter().flat_map(both).collect()
    }
}

impl Entrance {
    fn new(settings: &SecureWebhook, authority: &str, http: &Http, clock: &Clock) -> Self {
        let keys = |version| KeySet::new(authority, &settings.tenant, version, http.clone(), clock.clone());
        Self {
            settings: settings.clone(),
            authority: authority.to_owned(),
            expected: Expectations { audiences: settings.audience.clone(), caller: settings.caller.clone() },
            v1: keys(Version::V1),
            v2: keys(Version::V2),
            clock: clock.clone(),
            right: Mutex::default(),
        }
    }

    fn is_for(&self, settings: &SecureWebhook, authority: &str) -> bool {
        self.settings == *settings && self.authority == authority
    }

    /// Whether the token is right. `budget` is asked before each signature.
    pub async fn check(&self, token: &[u8], budget: &Budget<'_>) -> Result<(), BearerError> {
        let now = self.clock.now();
        let version = bearer::version(token).map_err(BearerError::Wrong)?;
        let keys = match version {
            Version::V1 => &self.v1,
            Version::V2 => &self.v2,
        };
        let known = keys.get().await?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        if self.remembers(&digest, version, known.generation, now) {
            return Ok(());
        }
        let mut generation = known.generation;
        let newer;
        let judged = match bearer::judge(token, &known.issuer, &self.expected, now) {
            Err(Claim::Key) => {
                newer = keys.newer(generation).await?.ok_or(BearerError::Wrong(Claim::Key))?;
                generation = newer.generation;
                bearer::judge(token, &newer.issuer, &self.expected, now)
            }
            judged => judged,
        };
        let unproven = judged.map_err(BearerError::Wrong)?;
        if !budget.allows_a_signature(now) {
            return Err(BearerError::Busy);
        }
        let valid = unproven.prove().map_err(BearerError::Wrong)?;
        self.remember(digest, Right { expires_at: valid.expires_at, version, generation }, now);
        Ok(())
    }

    fn remembers(&self, digest: &[u8; 32], version: Version, generation: u64, now: Timestamp) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right
            .get(digest)
            .is_some_and(|right| now < right.expires_at && right.version == version && right.generation == generation)
    }

    fn remember(&self, digest: [u8; 32], new: Right, now: Timestamp) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= REMEMBERED {
            right.retain(|_, right| now < right.expires_at);
        }
        if right.len() >= REMEMBERED {
            right.pop_first();
        }
        right.insert(digest, new);
    }
}

#[cfg(test)]
mod tests;
