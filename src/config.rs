//! The configuration, parsed whole and checked before anything uses it.
//!
//! The file becomes a tree of values that know their place, the environment is laid over it, and each section is read
//! key by key: what is left is unknown, what is wrong is collected, and only a configuration without errors exists.

mod azure;
mod document;
mod environment;
mod examples;
mod load;
mod problem;
mod routes;
mod secrets;
mod section;
mod server;
mod signl4;
mod templates;
mod value;

pub use problem::{ConfigError, Problem};
pub use routes::read_routes;
pub use value::parse_duration;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::id::{AccountName, ConnectionName, SubscriptionId, TeamName};
use crate::domain::route::{Comments, Rules};
use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

/// Everything that `bridge.toml`, the routes folder and the environment say.
#[derive(Clone, Debug)]
pub struct Config {
    /// The configuration file.
    pub path: PathBuf,
    /// The routes folder.
    pub routes: PathBuf,
    pub server: Server,
    pub store: Store,
    pub alarm: Alarm,
    pub connections: BTreeMap<ConnectionName, Connection>,
    pub teams: BTreeMap<TeamName, Team>,
    /// What the judgement needs: routes, and the traits of teams and connections.
    pub rules: Rules,
    /// What `check` warns of; each a sentence that names the place and the mend.
    pub warnings: Vec<String>,
    /// Files whose change asks for a reload: the configuration, the routes, every secret file.
    pub watched: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub public_url: Option<String>,
    pub admin_token: Option<Secret>,
}

#[derive(Clone, Debug)]
pub struct Store {
    /// Path of the SQLite file, relative paths taken from the configuration's folder.
    pub path: PathBuf,
    pub retention: Duration,
}

#[derive(Clone, Debug)]
pub struct Alarm {
    pub team: TeamName,
    pub heartbeat: Option<Secret>,
}

/// `[azure.NAME]`: one Entra tenant and its credential.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Id or domain of the tenant. Empty only without a credential, as `client_id`.
    pub tenant_id: String,
    pub client_id: String,
    /// `None`: alerts are paged and nothing is written to Azure.
    pub credential: Option<Credential>,
    pub subscriptions: BTreeSet<SubscriptionId>,
    pub cloud: Cloud,
    /// Accepted as last path segment or Basic password; several while one is rotated.
    pub tokens: Vec<Secret>,
    pub comments: Comments,
}

#[derive(Clone, Debug)]
pub enum Credential {
    ClientSecret { secret: Secret, expires: Option<Timestamp> },
}

/// Addresses of one Azure cloud, without trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// `https://login.microsoftonline.com`
    pub authority: String,
    /// `https://management.azure.com`
    pub arm: String,
    /// Scope = audience + `/.default`.
    pub audience: String,
    /// `https://portal.azure.com`
    pub portal: String,
}

/// `[signl4.NAME]`: one SIGNL4 team.
#[derive(Clone, Debug)]
pub struct Team {
    pub account: AccountName,
    /// The team's inbound webhook secret.
    pub secret: Secret,
    /// Accepted as last path segment or Basic password of the outbound webhook.
    pub tokens: Vec<Secret>,
    /// Without trailing slash.
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub user_id: Option<String>,
}

#[cfg(test)]
mod tests;
