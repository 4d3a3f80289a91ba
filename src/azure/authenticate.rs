//! Who may post as Azure: the connection's token, as last path segment or as Basic password.

use std::collections::BTreeMap;

use crate::caller::{Presented, Verified};
use crate::config::Connection;
use crate::domain::id::ConnectionName;

/// `None` for a wrong or missing token and for an unknown connection alike, after the same work.
pub fn authenticate<'a>(
    connections: &'a BTreeMap<ConnectionName, Connection>,
    name: &str,
    presented: &Presented,
) -> Option<Verified<(&'a ConnectionName, &'a Connection)>> {
    let found = ConnectionName::parse(name).ok().and_then(|name| connections.get_key_value(&name));
    presented.verify(found.map(|(name, connection)| ((name, connection), connection.tokens.as_slice())))
}
