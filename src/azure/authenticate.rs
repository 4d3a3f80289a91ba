//! Who may post as Azure: whoever has the connection's token, as last path segment or as Basic password, or an Entra
//! token of Azure's caller where the connection has a secure webhook; both where it says so.

pub mod bearer;
pub mod keys;
pub mod secure_webhook;

use std::collections::BTreeMap;

use self::secure_webhook::{BearerError, Entrance, SecureWebhooks};
use crate::caller::{Budget, Presented, Refusal, Source, Verified};
use crate::config::Connection;
use crate::domain::id::ConnectionName;

/// The same refusal, after the same work, for a wrong or missing credential and for an unknown connection.
pub async fn authenticate<'a>(
    connections: &'a BTreeMap<ConnectionName, Connection>,
    entrances: &SecureWebhooks,
    name: &str,
    presented: &Presented,
    source: Source,
    budget: &Budget<'_>,
) -> Result<Verified<(&'a ConnectionName, &'a Connection)>, Refusal> {
    let found = ConnectionName::parse(name).ok().and_then(|name| connections.get_key_value(&name));
    let by_token = presented.verify(found.map(|(name, connection)| ((name, connection), connection.tokens.as_slice())));
    let Some((name, connection)) = found else {
        if let Some(entrance) = entrances.any()
            && let Err(unavailable @ (Refusal::Unavailable(_) | Refusal::Busy)) =
                check(entrance, presented, budget).await
        {
            return Err(unavailable);
        }
        return Err(Refusal::UnknownName);
    };
    if !source.is_within(&connection.networks) {
        return Err(Refusal::Network);
    }
    let Some((settings, entrance)) = connection.secure_webhook.as_ref().zip(entrances.get(name)) else {
        return by_token.ok_or_else(|| presented.refusal());
    };
    match by_token {
        Some(verified) if !settings.require => return Ok(verified),
        None if settings.require && !connection.tokens.is_empty() => return Err(presented.refusal()),
        Some(_) | None => {}
    }
    check(entrance, presented, budget).await?;
    Ok(Verified::by_bearer((name, connection)))
}

async fn check(entrance: &Entrance, presented: &Presented, budget: &Budget<'_>) -> Result<(), Refusal> {
    let Some(token) = presented.bearer() else { return Err(presented.refusal()) };
    entrance.check(token, budget).await.map_err(|error| match error {
        BearerError::Wrong(claim) => Refusal::Bearer(claim.as_str()),
        BearerError::Keys(_) => Refusal::Unavailable(error.to_string()),
        BearerError::Busy => Refusal::Busy,
    })
}
