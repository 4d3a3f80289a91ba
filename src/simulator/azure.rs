//! Azure in a box: Entra's token endpoint, the Alerts Management API, and action groups that call webhooks.

mod actions;
mod alert;
mod alerts;
mod arm;
mod assertion;
mod entra;
mod list;
mod payload;
mod platform;
mod rights;
mod signing;
mod spec;
mod tenancy;
mod throttle;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

pub use actions::{ActionError, Webhook};
pub use alert::{Alert, AlertState, Modification, MonitorCondition};
pub use alerts::Alerts;
pub use platform::{ArcKey, Identity, Platform};
pub use signing::{AZURE_CALLER, SecureWebhook, SigningKey, Version};
pub use spec::{Activity, AlertSpec, Health, Incident, Log, Metric, Signal};
pub use tenancy::{App, AppCertificate, AppSecret, Federation, NoCertificate, Role, Subscription, Tenant};

use super::calls::{Answer, Asked, Call, Operation, append};
use super::control;
use super::front::Service;
use super::outbox::{Attempt, Schedule};
use super::server::Server;
use crate::clock::Clock;
use crate::domain::timestamp::Timestamp;

/// What a changestate to the state that an alert already has is answered with; Azure's documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SameState {
    /// 200, with an entry in the history.
    #[default]
    Accepted,
    /// 409.
    Conflict,
}

/// What the list's time range is compared with; Azure's documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RangeOf {
    #[default]
    StartDateTime,
    LastModifiedDateTime,
}

/// How `lastModifiedUserName` names a service principal; Azure's documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalName {
    #[default]
    ObjectId,
    ClientId,
    DisplayName,
}

/// A refusal of Entra's by its AADSTS code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenError {
    pub code: u32,
    /// `invalid_client`, `temporarily_unavailable` …
    pub error: String,
    pub status: u16,
    #[serde(default)]
    pub text: String,
}

/// What the documentation leaves open, and what a test wants to vary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "these are switches, each of its own")]
pub struct Knobs {
    /// `expires_in` of new tokens.
    pub token_seconds: u64,
    /// `refresh_in` of new tokens, which only long-lived ones have.
    pub refresh_seconds: Option<u64>,
    /// Every request for a token is refused so.
    pub token_error: Option<TokenError>,
    pub same_state: SameState,
    pub range_of: RangeOf,
    pub principal_name: PrincipalName,
    /// `nextLink` names the port even where it is the scheme's own, as `https://management.azure.com:443/…`.
    pub next_link_with_port: bool,
    /// `nextLink` points to another server: a client must not send its token there.
    pub next_link_base: Option<String>,
    /// The tenant's metadata names this address of its keys.
    pub jwks_uri: Option<String>,
    /// With `includeContext`, the context stands one level deeper, as in Azure Resource Graph.
    pub nested_context: bool,
    /// Where the list leaves fields out, and writes others as text.
    pub sparse: bool,
    /// Lists and single alerts name times in whole seconds, as Microsoft's examples do; webhooks never.
    pub whole_seconds: bool,
    /// An alert that is asked for alone comes without its context.
    pub context_only_in_lists: bool,
    /// Lists a minute and subscription; more are refused with 429.
    pub lists_per_minute: u32,
    /// A principal may ask for its own permissions.
    pub permissions_readable: bool,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            token_seconds: 3599,
            refresh_seconds: None,
            token_error: None,
            same_state: SameState::default(),
            range_of: RangeOf::default(),
            principal_name: PrincipalName::default(),
            next_link_with_port: false,
            next_link_base: None,
            jwks_uri: None,
            nested_context: false,
            sparse: false,
            whole_seconds: false,
            context_only_in_lists: false,
            lists_per_minute: 100,
            permissions_readable: true,
        }
    }
}

/// An access token that was handed out.
#[derive(Clone)]
struct Token {
    tenant: String,
    client_id: String,
    expires_at: Timestamp,
}

/// Everything that the simulated Azure knows.
#[derive(Default)]
pub struct State {
    /// By tenant id, lower-case.
    pub tenants: BTreeMap<String, Tenant>,
    /// By subscription id, lower-case.
    pub subscriptions: BTreeMap<String, Subscription>,
    pub webhooks: Vec<Webhook>,
    pub alerts: Alerts,
    /// All requests but those to the control endpoints, oldest first.
    pub calls: Vec<Call>,
    /// All tries of all webhooks, oldest first.
    pub attempts: Vec<Attempt>,
    pub knobs: Knobs,
    pub platform: Platform,
    tokens: BTreeMap<String, Token>,
    /// When each subscription was listed, for the limit.
    listed: BTreeMap<String, Vec<Timestamp>>,
    buckets: throttle::Buckets,
    /// What Entra signs with, the newest last; made when first needed.
    keys: Vec<SigningKey>,
}

impl State {
    /// The calls of one operation, oldest first.
    pub fn calls_of(&self, operation: Operation) -> impl Iterator<Item = &Call> {
        self.calls.iter().filter(move |call| call.operation == operation)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("subscriptions", &self.subscriptions)
            .field("alerts", &self.alerts)
            .field("calls", &self.calls)
            .field("attempts", &self.attempts)
            .field("knobs", &self.knobs)
            .finish_non_exhaustive()
    }
}

/// A running simulator of Azure.
pub type Azure = Server<State>;

impl Azure {
    /// Listens on `listen` (port 0 for a free one) with an empty state.
    pub async fn start(listen: SocketAddr, clock: Clock) -> io::Result<Self> {
        let record = |state: &mut State, attempt| append(&mut state.attempts, attempt);
        Self::listen(listen, clock, State::default(), Schedule::azure(), record).await
    }

    pub fn knobs(&self, turn: impl FnOnce(&mut Knobs)) {
        self.shared.change(|state| turn(&mut state.knobs));
    }

    /// The request log.
    pub fn calls(&self) -> Vec<Call> {
        self.read(|state| state.calls.clone())
    }

    /// The request log, which is empty afterwards.
    pub fn take_calls(&self) -> Vec<Call> {
        self.shared.change(|state| std::mem::take(&mut state.calls))
    }

    /// The log of webhooks that were sent.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.read(|state| state.attempts.clone())
    }

    pub fn alert(&self, id: &str) -> Option<Alert> {
        self.read(|state| state.alerts.get(id).cloned())
    }
}

impl Service for Azure {
    fn operation(&self, asked: &Asked) -> Operation {
        entra::operation(asked)
            .or_else(|| platform::operation(asked))
            .or_else(|| arm::operation(asked))
            .unwrap_or(Operation::Other)
    }

    async fn answer(&self, operation: Operation, asked: &Asked) -> Answer {
        match operation {
            Operation::Token => entra::token(self, asked),
            Operation::IdentityToken => platform::token(self, asked),
            Operation::Discovery => entra::discovery(self, asked),
            Operation::ListAlerts
            | Operation::GetAlert
            | Operation::AlertHistory
            | Operation::ChangeState
            | Operation::Permissions
            | Operation::Other => arm::answer(self, operation, asked),
            Operation::Webhook
            | Operation::CreateEvent
            | Operation::EventOverview
            | Operation::ListTeams
            | Operation::ListUsers
            | Operation::ReadUser
            | Operation::PagedAlerts
            | Operation::ReadAlert
            | Operation::AlertDetails
            | Operation::Acknowledge
            | Operation::Close
            | Operation::Annotate
            | Operation::UndoAcknowledge
            | Operation::UndoClose => Answer::empty(StatusCode::NOT_FOUND),
        }
    }

    async fn control(&self, asked: &Asked) -> Answer {
        control::azure::answer(self, asked).await
    }

    fn error(&self, operation: Operation, status: StatusCode) -> Answer {
        if operation == Operation::Token {
            entra::trouble(status, self.clock.now())
        } else if operation == Operation::IdentityToken {
            platform::trouble(status)
        } else {
            arm::trouble(status)
        }
    }

    fn log(&self, call: Call) {
        self.shared.change(|state| append(&mut state.calls, call));
    }
}

#[cfg(test)]
mod tests;
