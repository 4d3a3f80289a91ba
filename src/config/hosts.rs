//! Which hosts the configuration names: nothing else is ever called.

use std::collections::BTreeSet;

use super::{Config, Credential, IdentityEndpoint};

impl Config {
    /// Every address that an outgoing call may go to. What a server answers adds none.
    pub fn called(&self) -> BTreeSet<String> {
        let azure = self.connections.values().map(|connection| &connection.cloud);
        let azure = azure.flat_map(|cloud| [cloud.authority.clone(), cloud.arm.clone()]);
        let signl4 = self.teams.values().map(|team| team.base_url.clone());
        let heartbeat = self.alarm.heartbeat.iter().map(|url| url.expose().to_owned());
        let identity = self.connections.values().filter_map(|connection| match connection.credential.as_ref()? {
            Credential::ManagedIdentity { endpoint, .. } => Some(match endpoint {
                IdentityEndpoint::Imds { host } => host.clone(),
                IdentityEndpoint::AppService { endpoint, .. } | IdentityEndpoint::Arc { endpoint, .. } => {
                    endpoint.clone()
                }
            }),
            Credential::ClientSecret { .. } | Credential::Certificate(_) | Credential::FederatedToken { .. } => None,
        });
        azure.chain(identity).chain(signl4).chain(heartbeat).collect()
    }
}
