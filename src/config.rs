//! The configuration, parsed whole and checked before anything uses it.
//!
//! The file becomes a tree of values that know their place, the environment is laid over it, and each section is read
//! key by key: what is left is unknown, what is wrong is collected, and only a configuration without errors exists.

mod azure;
mod callers;
mod care;
mod credential;
mod document;
mod environment;
mod examples;
mod failures;
mod fixed_severity;
mod hosts;
mod load;
mod maintenance;
mod polling;
mod problem;
mod routes;
mod secrets;
mod section;
mod server;
mod signl4;
mod templates;
mod value;

pub use load::NAMED;
pub use problem::{ConfigError, Problem};
pub use routes::read_routes;
pub use value::parse_duration;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::certificate::Certificate;
use crate::domain::id::{AccountName, ConnectionName, SubscriptionId, TeamName};
use crate::domain::load::Storm;
use crate::domain::pace::Events;
use crate::domain::reading::PollRaises;
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
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Certificate authorities besides the system's, as PEM; taken at start.
    pub certificates: Option<Vec<u8>>,
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
    /// Id or domain of the tenant. Empty only without a credential and with a managed identity, as `client_id`.
    pub tenant_id: String,
    pub client_id: String,
    /// `None`: alerts are paged and nothing is written to Azure.
    pub credential: Option<Credential>,
    pub subscriptions: BTreeSet<SubscriptionId>,
    pub cloud: Cloud,
    /// Accepted as last path segment or Basic password; several while one is rotated.
    pub tokens: Vec<Secret>,
    /// Whose Entra tokens are accepted besides or instead of `tokens`.
    pub secure_webhook: Option<SecureWebhook>,
    /// Only from there; from everywhere if there are none.
    pub networks: Vec<IpNet>,
    pub comments: Comments,
    /// Between two polls of a subscription; `None`: it is not polled.
    pub poll: Option<Duration>,
    pub poll_raises: PollRaises,
    /// With an empty ledger, what fired earlier than this wakes nobody.
    pub look_back: Duration,
}

/// What an Entra token of Azure's caller must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecureWebhook {
    /// Id or domain of the tenant that the token is from.
    pub tenant: String,
    /// `aud`
    pub audience: BTreeSet<String>,
    /// `appid` or `azp`, lower-case.
    pub caller: String,
    /// The token is asked for besides one of the connection's `tokens`.
    pub require: bool,
}

/// How a connection signs in to Azure.
#[derive(Clone, Debug)]
pub enum Credential {
    ClientSecret {
        /// One, or two while it is rotated: the second is shown where Entra refuses the first.
        secrets: Vec<Secret>,
        /// When the last of them ends, as the operator says.
        expires: Option<Timestamp>,
    },
    Certificate(Arc<Certificate>),
    /// A token of another issuer whom Entra trusts, such as a Kubernetes cluster; the file is read for each request.
    FederatedToken {
        file: PathBuf,
    },
    ManagedIdentity {
        identity: Identity,
        endpoint: IdentityEndpoint,
    },
}

/// Which of the identities that Azure gave to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    SystemAssigned,
    ClientId(String),
    ObjectId(String),
    ResourceId(String),
}

/// Where the platform hands out tokens for its identities.
#[derive(Clone, Debug)]
pub enum IdentityEndpoint {
    /// The metadata service of virtual machines, scale sets and Kubernetes nodes; without trailing slash.
    Imds { host: String },
    /// App Service, Functions, Container Apps.
    AppService { endpoint: String, header: Secret },
    /// The agent of Azure Arc on a machine elsewhere; `keys` is the only folder that its challenges may point into.
    Arc { endpoint: String, keys: PathBuf },
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
    /// Only from there; from everywhere if there are none.
    pub networks: Vec<IpNet>,
    /// Without trailing slash.
    pub base_url: String,
    pub api_key: Option<Secret>,
    pub user_id: Option<String>,
    /// `None`: each alert is a page.
    pub storm: Option<Storm>,
    /// Between two polls; `None`: it is not polled.
    pub poll: Option<Duration>,
    /// What the team says of its account's pace.
    pub pace: Option<Pacing>,
}

/// How many events an account of SIGNL4 is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// As many as there are: a private gateway has no limits.
    Off,
    Events(Events),
}

#[cfg(test)]
mod tests;
