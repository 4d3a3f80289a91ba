//! SIGNL4's credentials: fixed secrets, entries of the same cache as Azure's tokens.
//!
//! SIGNL4 has no token exchange. A webhook secret has no end; an API key may have one, chosen in the portal, that no
//! API tells.

use std::collections::BTreeMap;

use crate::config::Team;
use crate::domain::id::TeamName;
use crate::tokens::{CredentialKey, Origin};

/// The cache entries of all teams: the webhook secret of each, and the API key where there is one.
pub fn origins(teams: &BTreeMap<TeamName, Team>) -> BTreeMap<CredentialKey, Origin> {
    let mut origins = BTreeMap::new();
    for (name, team) in teams {
        let secret = Origin::Fixed { value: team.secret.clone(), expires_at: None };
        origins.insert(CredentialKey::Signl4Secret(name.clone()), secret);
        if let Some(api_key) = &team.api_key {
            let api_key = Origin::Fixed { value: api_key.clone(), expires_at: None };
            origins.insert(CredentialKey::Signl4ApiKey(name.clone()), api_key);
        }
    }
    origins
}
