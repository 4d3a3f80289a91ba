//! Routes: which Azure alerts go to which team, and how.
//!
//! The first route that matches takes the alert; a route with `continue` lets later ones match too. What no route
//! takes is the fallback team's. This module never looks at SIGNL4 and never decides whether somebody is woken.

mod explain;
mod glob;
mod resource;
mod shadow;
mod take;
mod trial;

pub use explain::Decision;
pub use glob::Glob;
pub(super) use resource::{name as resource_name, resource_group, resource_type};
pub use shadow::Shadow;
pub use take::Mismatch;
pub use trial::Surprise;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::{Notification, Severity};
use super::id::{AccountName, ConnectionName, SubscriptionId, TeamName};
use super::load::Storm;
use super::render::template::Templates;
use super::window::Window;

/// All that a judgement needs of the configuration.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Files in name order, routes in file order.
    pub routes: Vec<Route>,
    pub fallback_team: TeamName,
    pub teams: BTreeMap<TeamName, TeamTraits>,
    pub connections: BTreeMap<ConnectionName, ConnectionTraits>,
    pub windows: Vec<Window>,
}

#[derive(Clone, Debug)]
pub struct TeamTraits {
    pub account: AccountName,
    /// An API key and a user id are configured: pages can be annotated and looked up.
    pub has_api: bool,
    /// The SIGNL4 user under which we write by REST: never a person.
    pub own_user_id: Option<String>,
    /// `None`: each alert is a page.
    pub storm: Option<Storm>,
}

#[derive(Clone, Debug)]
pub struct ConnectionTraits {
    pub subscriptions: BTreeSet<SubscriptionId>,
    pub comments: Comments,
    /// A credential is configured: alerts can be changed in Azure.
    pub can_write: bool,
    /// `https://portal.azure.com`, or the portal of the connection's cloud.
    pub portal: String,
}

/// Which comments are written to Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comments {
    #[default]
    All,
    WithChanges,
    Off,
}

/// One `[[route]]`.
#[derive(Clone, Debug)]
pub struct Route {
    pub name: String,
    /// File name within the routes folder, and line of the `[[route]]`.
    pub file: String,
    pub line: usize,
    pub criteria: Criteria,
    pub team: TeamName,
    pub service: BySeverity<String>,
    pub scenario: BySeverity<Scenario>,
    pub policy: Policy,
    /// `title`, `message`, `parameters`, `runbook` and `location`, where any is given.
    pub templates: Option<Templates>,
    /// Later routes may match too.
    pub continues: bool,
    pub examples: Vec<Example>,
}

/// How a page of this route behaves; a page keeps it as it was when raised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    #[serde(default)]
    pub grace: Duration,
    /// `page = false`: recorded only.
    pub records_only: bool,
    pub on_resolved: OnResolved,
    pub close_in_azure: CloseInAzure,
    pub system_close: SystemClose,
    #[serde(default)]
    pub on_reopened: OnReopened,
    /// Alerts of the same thread join its open page while no longer than this has passed since the last of them; zero:
    /// never. `None`: an hour for what repeats by its nature, and never for the rest.
    #[serde(default)]
    pub quiet_period: Option<Duration>,
    /// A page that is still open then ends by itself.
    #[serde(default)]
    pub time_to_live: Option<Duration>,
    /// `storm = false`: its alerts never join a digest.
    #[serde(default)]
    pub always_alone: bool,
    /// A page that a person closed is paged again after so long, if Azure still fires then.
    #[serde(default)]
    pub page_again: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnResolved {
    #[default]
    Resolve,
    /// Needs the API key and a user id.
    Annotate,
    Ignore,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseInAzure {
    /// When a person closes the page.
    #[default]
    OnClose,
    /// Also when Azure itself resolves the alert.
    OnResolveToo,
    Never,
}

/// What a close in SIGNL4 without a person means for Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemClose {
    #[default]
    Comment,
    Close,
}

/// What it means for the people on duty that somebody sets the alert back to New in Azure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnReopened {
    /// A new page: whoever had it may have put it aside.
    #[default]
    Page,
    /// Needs the API key and a user id.
    Annotate,
    Ignore,
}

/// `X-S4-AlertingScenario`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scenario {
    SingleAck,
    MultiAck,
    Emergency,
}

impl Scenario {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SingleAck => "single_ack",
            Self::MultiAck => "multi_ack",
            Self::Emergency => "emergency",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::SingleAck, Self::MultiAck, Self::Emergency].into_iter().find(|scenario| scenario.as_str() == text)
    }
}

/// One value for all severities, or a table with a default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BySeverity<T> {
    pub default: Option<T>,
    pub table: BTreeMap<Severity, T>,
}

impl<T> Default for BySeverity<T> {
    fn default() -> Self {
        Self { default: None, table: BTreeMap::new() }
    }
}

impl<T> BySeverity<T> {
    pub fn get(&self, severity: Option<Severity>) -> Option<&T> {
        severity.and_then(|severity| self.table.get(&severity)).or(self.default.as_ref())
    }
}

/// `match = { … }`: a list matches if any of its entries does, the whole if every given criterion does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Criteria {
    /// ARM ids, lower-case: the target, or the rule where there is no target, lies in or below one of them.
    pub scope: Vec<String>,
    pub severity: Vec<Severity>,
    pub connection: Vec<ConnectionName>,
    pub rule: Vec<Glob>,
    pub resource: Vec<Glob>,
    pub resource_type: Vec<Glob>,
    pub monitoring_service: Vec<Glob>,
    pub signal: Vec<Glob>,
    pub custom: BTreeMap<String, Vec<Glob>>,
    pub not: Option<Box<Criteria>>,
}

/// `[[route.example]]`: run by `check`.
#[derive(Clone, Debug)]
pub struct Example {
    pub line: usize,
    pub notification: Notification,
    pub connection: Option<ConnectionName>,
    pub expected: Expected,
}

/// What an example says of its route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// `team = "ops"`: the route takes the alert and this team is paged.
    Paged(TeamName),
    /// `matches = true`: the route takes the alert.
    Taken,
    /// `matches = false`: the route leaves the alert to others.
    Left,
}
