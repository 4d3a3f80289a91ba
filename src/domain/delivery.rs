//! What we owe a side, how an attempt can end, and what follows from it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::{AlertKey, ConnectionName, DeliveryId, ExternalId, Side, SubscriptionId, TeamName};
use super::timestamp::Timestamp;

/// One call we owe a side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// `POST {base_url}/webhook/{secret}` with the whole page. `body` is flat JSON, complete but for nothing.
    Raise {
        team: TeamName,
        page: ExternalId,
        body: Value,
        /// `None`: however late it is, it goes out as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// The same webhook with `X-S4-Status: acknowledged`.
    Acknowledge { team: TeamName, page: ExternalId },
    /// The same webhook with `X-S4-Status: resolved`.
    Resolve { team: TeamName, page: ExternalId },
    /// REST v2 `annotate`, with API key and user id; the SIGNL4 alert id is looked up when it is not known yet.
    Annotate { team: TeamName, page: ExternalId, text: String },
    /// `changestate`, after a read.
    ChangeState {
        target: AzureTarget,
        state: AzureState,
        comment: Option<String>,
        /// It takes an acknowledgement back: what a person has closed meanwhile stays closed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        keeps_closed: bool,
    },
    /// A changestate to the state that the read returns, for the sake of its comment.
    Comment { target: AzureTarget, text: String },
}

/// What a call does, for metrics, listings and the order of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallKind {
    Raise,
    Acknowledge,
    Resolve,
    ChangeState,
    Annotate,
    Comment,
}

impl CallKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
            Self::ChangeState => "change_state",
            Self::Annotate => "annotate",
            Self::Comment => "comment",
        }
    }
}

/// Order of claims over all lanes of a destination: pages, then state changes, then words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    Page,
    State,
    Words,
}

impl Class {
    pub const ALL: [Self; 3] = [Self::Page, Self::State, Self::Words];

    pub const fn number(self) -> i64 {
        match self {
            Self::Page => 0,
            Self::State => 1,
            Self::Words => 2,
        }
    }
}

impl Call {
    pub const fn kind(&self) -> CallKind {
        match self {
            Self::Raise { .. } => CallKind::Raise,
            Self::Acknowledge { .. } => CallKind::Acknowledge,
            Self::Resolve { .. } => CallKind::Resolve,
            Self::Annotate { .. } => CallKind::Annotate,
            Self::ChangeState { .. } => CallKind::ChangeState,
            Self::Comment { .. } => CallKind::Comment,
        }
    }

    pub const fn class(&self) -> Class {
        match self.kind() {
            CallKind::Raise => Class::Page,
            CallKind::Acknowledge | CallKind::Resolve | CallKind::ChangeState => Class::State,
            CallKind::Annotate | CallKind::Comment => Class::Words,
        }
    }

    pub const fn side(&self) -> Side {
        match self {
            Self::Raise { .. } | Self::Acknowledge { .. } | Self::Resolve { .. } | Self::Annotate { .. } => {
                Side::Signl4
            }
            Self::ChangeState { .. } | Self::Comment { .. } => Side::Azure,
        }
    }

    /// The lane: calls of one page to SIGNL4, or of one alert to Azure, go out in order, one at a time.
    pub fn lane(&self) -> String {
        match self {
            Self::Raise { page, .. }
            | Self::Acknowledge { page, .. }
            | Self::Resolve { page, .. }
            | Self::Annotate { page, .. } => format!("signl4 {page}"),
            Self::ChangeState { target, .. } | Self::Comment { target, .. } => format!("azure {}", target.key),
        }
    }

    pub fn destination(&self) -> Destination {
        match self {
            Self::Raise { team, .. }
            | Self::Acknowledge { team, .. }
            | Self::Resolve { team, .. }
            | Self::Annotate { team, .. } => Destination::team(team),
            Self::ChangeState { target, .. } | Self::Comment { target, .. } => {
                Destination::subscription(&target.connection, &target.subscription)
            }
        }
    }

    /// The alert that the call changes, on the Azure side.
    pub const fn alert(&self) -> Option<&AlertKey> {
        match self {
            Self::ChangeState { target, .. } | Self::Comment { target, .. } => Some(&target.key),
            Self::Raise { .. } | Self::Acknowledge { .. } | Self::Resolve { .. } | Self::Annotate { .. } => None,
        }
    }

    /// The page that the call belongs to, on the SIGNL4 side.
    pub const fn page(&self) -> Option<&ExternalId> {
        match self {
            Self::Raise { page, .. }
            | Self::Acknowledge { page, .. }
            | Self::Resolve { page, .. }
            | Self::Annotate { page, .. } => Some(page),
            Self::ChangeState { .. } | Self::Comment { .. } => None,
        }
    }
}

/// Which alert to change in Azure, and with whose credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AzureTarget {
    pub connection: ConnectionName,
    pub subscription: SubscriptionId,
    /// Last segment of the alert id.
    pub alert: String,
    pub key: AlertKey,
}

/// What a page that goes out late needs to know of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// When it should have gone out.
    pub since: Timestamp,
    /// The alert, where Azure can be asked whether it still fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<AzureTarget>,
}

/// Azure's user response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AzureState {
    New,
    Acknowledged,
    Closed,
}

impl AzureState {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Acknowledged => "Acknowledged",
            Self::Closed => "Closed",
        }
    }

    /// Reads Azure's spelling without regard to case.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::New, Self::Acknowledged, Self::Closed]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(text))
    }
}

/// Where a call goes: what can be slow, denied or paused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Destination(String);

impl Destination {
    pub fn team(team: &TeamName) -> Self {
        Self(format!("signl4:{team}"))
    }

    pub fn subscription(connection: &ConnectionName, subscription: &SubscriptionId) -> Self {
        Self(format!("azure:{connection}/{subscription}"))
    }

    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn side(&self) -> Side {
        if self.0.starts_with("signl4:") { Side::Signl4 } else { Side::Azure }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How an attempt ended, and what the answer taught us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempted {
    pub outcome: Outcome,
    pub learned: Learned,
    /// One line for the log and for `deliveries list`; no secrets.
    pub note: String,
    /// A Raise of unknown fate was sent again without proof that the first had not arrived: the page may be doubled.
    pub possibly_doubled: bool,
}

/// What an answer taught us, for the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// SIGNL4's event id from a 201.
    pub signl4_event_id: Option<String>,
    /// SIGNL4's alert id, from a look-up.
    pub signl4_alert_id: Option<String>,
    /// The state that Azure's alert has now, and when it was last modified.
    pub azure: Option<(AzureState, Option<Timestamp>)>,
    /// Azure was asked before a late page went out, and the alert is resolved since then.
    pub resolved_at: Option<Timestamp>,
    /// How Azure names whoever made the change: ourselves.
    pub azure_by: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or already so.
    Accepted,
    /// 429 or 503: surely not done; wait at least that long.
    Busy { after: Option<Duration> },
    /// Surely not done, and only this delivery waits: what it concerns is not there yet.
    NotYet { after: Duration },
    /// Surely not received: no connection, DNS, TLS.
    Unsent,
    /// Sent, and no answer, or one that says nothing (5xx, cut).
    Unknown,
    /// 400, 405, 410, 413, 422, 404 of one alert: final for this delivery.
    Refused { status: u16 },
    /// 401 after one refresh, 403, SIGNL4's 404 with code 3004, a permanent token error: pauses the destination.
    Denied { status: u16 },
    /// Something on our own side: a bug, a full disk.
    OurFault,
}

impl Outcome {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Busy { .. } => "busy",
            Self::NotYet { .. } => "not_yet",
            Self::Unsent => "unsent",
            Self::Unknown => "unknown",
            Self::Refused { .. } => "refused",
            Self::Denied { .. } => "denied",
            Self::OurFault => "our_fault",
        }
    }
}

/// A delivery claimed for one attempt; only the store's claim makes one.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: DeliveryId,
    pub call: Call,
    /// Counted from 1; the fence that every later update carries.
    pub attempt: u32,
    /// An earlier attempt may have been received.
    pub uncertain: bool,
    pub created_at: Timestamp,
}
