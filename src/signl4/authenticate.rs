//! Who may post as SIGNL4: the team's token, as last path segment or as Basic password.

use std::collections::BTreeMap;

use crate::caller::{Presented, Refusal, Source, Verified};
use crate::config::Team;
use crate::domain::id::TeamName;

/// The same refusal, after the same work, for a wrong or missing token and for an unknown team.
pub fn authenticate<'a>(
    teams: &'a BTreeMap<TeamName, Team>,
    name: &str,
    presented: &Presented,
    source: Source,
) -> Result<Verified<(&'a TeamName, &'a Team)>, Refusal> {
    let found = TeamName::parse(name).ok().and_then(|name| teams.get_key_value(&name));
    let by_token = presented.verify(found.map(|(name, team)| ((name, team), team.tokens.as_slice())));
    let Some((_, team)) = found else { return Err(Refusal::UnknownName) };
    if !source.is_within(&team.networks) {
        return Err(Refusal::Network);
    }
    by_token.ok_or_else(|| presented.refusal())
}
