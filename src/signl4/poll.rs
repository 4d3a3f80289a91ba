//! Asks SIGNL4 what no webhook told: SIGNL4 documents no repeat of an outbound webhook, and may have no way to call.
//!
//! A list names the alerts that have changed; what happened to one of ours stands in its details. Both are asked on behalf
//! of the team's `user_id`. This module changes nothing, neither in SIGNL4 nor in the store.

mod parse;
mod request;

use std::collections::BTreeMap;
use std::sync::PoisonError;

use serde_json::Value;

use super::deliver::Signl4;
use super::inspect;
use crate::config::Team;
use crate::domain::delivery::{Attempted, Outcome};
use crate::domain::id::TeamName;
use crate::domain::timestamp::Timestamp;
use crate::egress::outcome::attempted;
use crate::tokens::CredentialKey;

pub use parse::{Entry, EntryKind, Info, changes};

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Alerts that a bridge like this one has raised.
    pub alerts: Vec<Info>,
    /// What to ask with for the next page.
    pub next: Option<Value>,
}

impl Signl4 {
    /// Alerts that were changed since then, one page of them.
    pub async fn list(&self, name: &TeamName, since: Timestamp, next: Option<&Value>) -> Result<Listed, Attempted> {
        let (team, user) = self.asking(name)?;
        let answer = self.call(name, &api_key(name), &request::list(team, user, since, next)).await?;
        if answer.status == 204 {
            return Ok(Listed { alerts: Vec::new(), next: None });
        }
        parse::list(&answer.body)
            .filter(|_| answer.whole)
            .ok_or_else(|| attempted(Outcome::Unknown, "SIGNL4's list of alerts is unreadable"))
    }

    /// What happened to an alert, oldest first; nothing where SIGNL4 does not tell.
    pub async fn timeline(&self, name: &TeamName, alert: &str) -> Result<Vec<Entry>, Attempted> {
        let (team, user) = self.asking(name)?;
        match self.call(name, &api_key(name), &request::details(team, user, alert)).await {
            Ok(answer) => Ok(parse::timeline(&answer.body)),
            // The list tells the state, if not how it came about.
            Err(failed) if matches!(failed.outcome, Outcome::Refused { .. } | Outcome::Denied { status: 403 }) => {
                Ok(Vec::new())
            }
            Err(failed) => Err(failed),
        }
    }

    /// How many of these users' names are still to be asked for.
    pub fn unnamed(&self, name: &TeamName, ids: &[String]) -> usize {
        let Some(team) = self.teams.get(name) else { return 0 };
        let known = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        ids.iter().filter(|id| !known.contains_key(&(team.account.to_string(), id.to_ascii_lowercase()))).count()
    }

    /// The names of these users. One that cannot be asked for is called a SIGNL4 user, for now.
    pub async fn names(&self, name: &TeamName, ids: &[String]) -> BTreeMap<String, String> {
        let Some(team) = self.teams.get(name) else { return BTreeMap::new() };
        let mut names = BTreeMap::new();
        for id in ids {
            let key = (team.account.to_string(), id.to_ascii_lowercase());
            let known = self.people.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            let found = match known {
                Some(known) => Some(known),
                None => self.name_of(name, team, id).await,
            };
            if let Some(found) = found {
                self.people.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
                names.insert(id.clone(), found);
            }
        }
        names
    }

    async fn name_of(&self, name: &TeamName, team: &Team, id: &str) -> Option<String> {
        let answer = self.call(name, &api_key(name), &inspect::user(team, id)).await.ok()?;
        let known = inspect::known_user(&answer)?.name?;
        let known = known.split_whitespace().collect::<Vec<_>>().join(" ");
        (!known.is_empty()).then(|| known.chars().take(100).collect())
    }

    fn asking(&self, name: &TeamName) -> Result<(&Team, &str), Attempted> {
        let team = self.teams.get(name);
        let user = team.and_then(|team| team.user_id.as_deref().filter(|_| team.api_key.is_some()));
        team.zip(user).ok_or_else(|| {
            let note = format!("[signl4.{name}] has no api_key and user_id: configure both to poll it");
            attempted(Outcome::Denied { status: 0 }, note)
        })
    }
}

fn api_key(name: &TeamName) -> CredentialKey {
    CredentialKey::Signl4ApiKey(name.clone())
}

#[cfg(test)]
mod tests;
