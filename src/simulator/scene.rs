//! Both simulators, furnished: a tenant with an app and a subscription, a team with people. What `simulate` shows, and
//! what a demo or a test starts from.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use super::azure::{Azure, Role};
use super::signl4::{ActionError, Signl4};
use crate::clock::Clock;

pub const TENANT: &str = "aaaaaaaa-1111-4222-8333-444444444444";
pub const CLIENT: &str = "bbbbbbbb-1111-4222-8333-444444444444";
pub const CLIENT_SECRET: &str = "simulated~client~secret";
pub const SUBSCRIPTION: &str = "cccccccc-1111-4222-8333-444444444444";
/// The bridge's token in the webhook URL that Azure calls.
pub const AZURE_TOKEN: &str = "simulated-azure-webhook-token";
pub const TEAM: &str = "ops";
pub const TEAM_SECRET: &str = "opssecret1";
/// The bridge's token in the webhook URL that SIGNL4 calls.
pub const SIGNL4_TOKEN: &str = "simulated-signl4-webhook-token";
pub const API_KEY: &str = "simulated-api-key";
/// On duty.
pub const JANE: &str = "Jane Doe";
/// On duty.
pub const JOHN: &str = "John Doe";
/// Off duty: the user under which the bridge writes by REST.
pub const BRIDGE_USER: &str = "Azure Bridge";
pub const BRIDGE_USER_ID: &str = "dddddddd-1111-4222-8333-444444444444";

/// Both simulators, furnished.
#[derive(Clone, Debug)]
pub struct Scene {
    pub azure: Azure,
    pub signl4: Signl4,
}

impl Scene {
    /// Starts both; port 0 takes a free one.
    pub async fn start(azure: SocketAddr, signl4: SocketAddr, clock: Clock) -> io::Result<Self> {
        let azure = Azure::start(azure, clock.clone()).await.map_err(|error| at(azure, &error))?;
        azure.register_app(TENANT, CLIENT, CLIENT_SECRET);
        azure.add_subscription(TENANT, SUBSCRIPTION);
        azure.assign_role(CLIENT, SUBSCRIPTION, Some(Role::Bridge));
        let signl4 = Signl4::start(signl4, clock).await.map_err(|error| at(signl4, &error))?;
        signl4.add_team(TEAM, TEAM_SECRET);
        signl4.add_api_key(API_KEY);
        furnish(&signl4).map_err(io::Error::other)?;
        Ok(Self { azure, signl4 })
    }

    /// Registers the webhooks of a bridge that listens at `bridge_url`, with Basic credentials in their URLs.
    pub fn connect(&self, bridge_url: &str) {
        let with_user = |token: &str| match bridge_url.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://bridge:{token}@{}", rest.trim_end_matches('/')),
            None => bridge_url.to_owned(),
        };
        self.azure.add_webhook(&format!("{}/azure/contoso", with_user(AZURE_TOKEN)), None);
        let hook = format!("{}/signl4/{TEAM}", with_user(SIGNL4_TOKEN));
        if let Err(error) = self.signl4.add_hook(&hook, None) {
            tracing::warn!(%error, "the outbound webhook was not registered");
        }
    }

    /// The part of `bridge.toml` that connects a bridge to this scene.
    pub fn bridge_toml(&self) -> String {
        let azure = self.azure.url();
        let mut toml = String::new();
        // Writing to a string cannot fail.
        if write!(
            toml,
            r#"[azure.contoso]
tenant_id     = "{TENANT}"
client_id     = "{CLIENT}"
credential    = {{ client_secret = "{CLIENT_SECRET}" }}
subscriptions = ["{SUBSCRIPTION}"]
cloud         = {{ authority = "{azure}", arm = "{azure}", audience = "https://management.azure.com" }}
token         = "{AZURE_TOKEN}"

[signl4.{TEAM}]
secret   = "{TEAM_SECRET}"
token    = "{SIGNL4_TOKEN}"
base_url = "{}"
api_key  = "{API_KEY}"
user_id  = "{BRIDGE_USER_ID}"
"#,
            self.signl4.url()
        )
        .is_err()
        {
            toml.clear();
        }
        toml
    }
}

/// Which address it was that could not be taken.
fn at(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

fn furnish(signl4: &Signl4) -> Result<(), ActionError> {
    signl4.add_person(TEAM, JANE, "jane.doe@example.com")?;
    signl4.add_person(TEAM, JOHN, "john.doe@example.com")?;
    signl4.add_person_as(BRIDGE_USER_ID, TEAM, BRIDGE_USER, "bridge@example.com")?;
    signl4.set_duty(BRIDGE_USER_ID, false)
}
