//! Who may post as SIGNL4: the team's token, as last path segment or as Basic password.

use std::collections::BTreeMap;

use crate::caller::{Presented, Verified};
use crate::config::Team;
use crate::domain::id::TeamName;

/// `None` for a wrong or missing token and for an unknown team alike, after the same work.
pub fn authenticate<'a>(
    teams: &'a BTreeMap<TeamName, Team>,
    name: &str,
    presented: &Presented,
) -> Option<Verified<(&'a TeamName, &'a Team)>> {
    let found = TeamName::parse(name).ok().and_then(|name| teams.get_key_value(&name));
    presented.verify(found.map(|(name, team)| ((name, team), team.tokens.as_slice())))
}
