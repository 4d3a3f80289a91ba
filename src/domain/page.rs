//! Alerts, pages and their ledgers: what the bridge knows, and what it last decided.
//!
//! A ledger keeps two states per side: `seen`, the last one read or confirmed, and `wanted`, the last one decided, sent
//! or not. The ledger towards Azure belongs to the alert, because several pages of one alert share Azure's one state.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::delivery::{AzureState, AzureTarget, Call};
use super::digest::Gathered;
use super::event::{Condition, Severity};
use super::id::{AlertKey, ConnectionName, DeliveryId, ExternalId, TeamName};
use super::load::Load;
use super::reading::Raises;
use super::render::Rendered;
use super::route::{Policy, Scenario};
use super::timestamp::Timestamp;

/// Last state read or confirmed, and last state decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger<T> {
    pub seen: Option<T>,
    pub wanted: Option<T>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self { seen: None, wanted: None }
    }
}

impl<T: Copy> Ledger<T> {
    /// What the side shows once everything decided has arrived.
    pub fn settled(&self) -> Option<T> {
        self.wanted.or(self.seen)
    }

    /// Decided by the other side, on its way.
    pub fn want(&mut self, state: T) {
        self.wanted = Some(state);
    }

    /// Happened on this side: seen, and from now on what we want.
    pub fn happened(&mut self, state: T) {
        self.seen = Some(state);
        self.wanted = Some(state);
    }
}

/// One Azure alert, or something that is paged like one (a notice, an unreadable body).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    pub key: AlertKey,
    pub connection: ConnectionName,
    /// `None`: the alert cannot be changed in Azure.
    pub target: Option<AzureTarget>,
    pub condition: Condition,
    /// Begin of the episode that is known last.
    pub fired_at: Option<Timestamp>,
    /// It is not the first of this id.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anew: bool,
    pub resolved_at: Option<Timestamp>,
    pub azure: Ledger<AzureState>,
    /// `lastModifiedDateTime` of our last changestate answer, or of the last reading that we took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_modified_at: Option<Timestamp>,
    /// How Azure names whoever makes our changes, learned from its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure_by: Option<String>,
    /// Found by a poll and never paged, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Raises>,
    /// A poll heard of it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub polled: bool,
    /// Comments that Azure refused alone: they join the next real change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsaid: Vec<String>,
    /// SIGNL4's time of the last close by a person: it applies to every page on which nothing has happened since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// Later alerts that joined the pages of this one, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// How many joined, those included that are no members any more.
    #[serde(default)]
    pub joined: u32,
    /// How bad the thread was at its worst, in its own degrees.
    #[serde(default)]
    pub rank: u8,
    /// Body digest of the last notification: tells one test notification from the next.
    pub digest: String,
    pub heard_at: Timestamp,
}

/// Something that has no state to show that it was told: an annotation, an escalation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Of who and what.
    pub digest: String,
    pub polled: bool,
}

/// So many of a page are remembered.
pub const TOLD: usize = 50;

/// So many refused comments wait for the next change at most.
pub const UNSAID: usize = 20;

impl Alert {
    /// One that has begun to fire at that time, and of which nothing else is known.
    pub fn begun(key: AlertKey, connection: ConnectionName, at: Timestamp) -> Self {
        Self {
            key,
            connection,
            target: None,
            condition: Condition::Fired,
            fired_at: Some(at),
            anew: false,
            resolved_at: None,
            azure: Ledger::default(),
            azure_modified_at: None,
            azure_by: None,
            recorded: None,
            polled: false,
            unsaid: Vec::new(),
            closed_at: None,
            members: Vec::new(),
            joined: 0,
            rank: 0,
            digest: String::new(),
            heard_at: at,
        }
    }

    /// Whether what was done at that time was done to an earlier episode.
    pub fn is_of_before(&self, at: Option<Timestamp>) -> bool {
        self.anew && at.zip(self.fired_at).is_some_and(|(at, fired_at)| at < fired_at)
    }

    /// A change was given up: what is still on its way is wanted, else what was seen.
    pub fn want_what_is_left(&mut self, open: &[OpenDelivery]) {
        let last = open.iter().rev().find_map(|open| match &open.call {
            Call::ChangeState { target, state, .. } if target.key == self.key => Some(*state),
            Call::ChangeState { .. }
            | Call::Raise { .. }
            | Call::Acknowledge { .. }
            | Call::Resolve { .. }
            | Call::Annotate { .. }
            | Call::Comment { .. } => None,
        });
        self.azure.wanted = last.or(self.azure.seen);
    }

    /// Azure's state as far as we know and want it; a new alert is `New`.
    pub fn azure_state(&self) -> AzureState {
        self.azure.settled().unwrap_or(AzureState::New)
    }
}

/// A later alert of the same thread: it has no page of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub key: AlertKey,
    /// `None`: it cannot be changed in Azure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<AzureTarget>,
}

/// So many later alerts of a thread are changed in Azure together with the first; of more, the newest.
pub const MEMBERS: usize = 50;

/// State of a page in SIGNL4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    Open,
    Acknowledged,
    Closed,
}

/// Where a page stands on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Waits; if Azure resolves it meanwhile, nobody is woken. A digest that gathers is held, too.
    Held {
        until: Timestamp,
    },
    /// Shown by a digest and not by a page of its own in SIGNL4.
    Joined,
    /// The Raise is decided and not confirmed.
    Raising,
    Raised,
    Ended {
        why: Ending,
    },
}

/// Why a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Azure resolved the alert while the page was held: nobody was woken.
    ResolvedWhileHeld,
    /// Azure resolved the alert before the Raise was sent: nobody was woken.
    ResolvedBeforeSent,
    /// Somebody took care of the alert in Azure before it was paged: nobody was woken.
    HandledInAzure,
    Resolved,
    ClosedByPerson,
    /// SIGNL4 closed it without a person.
    ClosedBySystem,
    /// A person closed another page of the same alert, or the alert in Azure.
    ClosedElsewhere,
    /// Things got worse, and a new page took its place.
    Replaced,
    /// Its route's time to live was over.
    Expired,
    /// The Raise is dead, its own or that of the digest that shows it.
    NotRaised,
    /// Of a digest: only one member was left, and it was raised as a page of its own.
    Dissolved,
}

/// One alert raised in one team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    pub id: ExternalId,
    pub alert: AlertKey,
    /// Counted from 1 over all pages of the alert.
    pub number: u32,
    pub team: TeamName,
    /// `None`: the fallback team got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The route's policy as it was when the page was made.
    pub policy: Policy,
    #[serde(flatten)]
    pub phase: Phase,
    pub signl4: Ledger<PageState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signl4_alert_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
    /// SIGNL4's time of the last close that it told us of, whoever closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// SIGNL4's time of the last change that we took over: older ones come late and change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
    /// SIGNL4's time of the last change by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acted_at: Option<Timestamp>,
    /// The fallback team was told that nobody is on duty: once per page.
    #[serde(default)]
    pub nobody_on_duty: bool,
    /// We acknowledged it because a person did so in Azure: SIGNL4 will tell of that, or of that call once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub acknowledged_for_azure: bool,
    /// What SIGNL4 told by webhook or by poll and may tell the other way, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The digest that shows or showed it, instead of a page of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<AlertKey>,
    /// The maintenance window that holds or held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// The maintenance windows that concern its alert, open or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
    /// The Raise's body while the page is held or nobody has it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl Page {
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }

    pub fn is_held(&self) -> bool {
        matches!(self.phase, Phase::Held { .. })
    }

    /// Shown by a digest: no call to SIGNL4 bears its own id.
    pub fn is_joined(&self) -> bool {
        self.phase == Phase::Joined
    }

    /// SIGNL4 has it, or will have it, under its own id.
    pub fn is_own(&self) -> bool {
        matches!(self.phase, Phase::Raising | Phase::Raised)
    }

    /// How it lives on once it is found to be open.
    pub fn in_view(&self) -> Phase {
        if self.digest.is_some() { Phase::Joined } else { Phase::Raised }
    }

    /// The page as it is when an operator sends its dead Raise again.
    #[must_use]
    pub fn revived(mut self, body: Value) -> Self {
        if matches!(self.phase, Phase::Ended { why: Ending::NotRaised }) {
            self.phase = Phase::Raising;
            self.ended_at = None;
            self.signl4 = Ledger { seen: None, wanted: Some(PageState::Open) };
            self.body = Some(body);
        }
        self
    }

    /// The page as it is when the Raise of the digest that shows it is given up. It keeps its text: the digest may be sent again.
    #[must_use]
    pub fn shown_to_nobody(mut self, now: Timestamp) -> Self {
        self.phase = Phase::Ended { why: Ending::NotRaised };
        self.ended_at = Some(now);
        self
    }

    /// The page as it is when the digest that showed it is sent again. `known`: the rows of its alert. One that need not be
    /// shown any more has another reason to be over.
    #[must_use]
    pub fn shown_again(mut self, known: &Known) -> Self {
        let alert = known.alert.as_ref();
        let has_another = known.pages.iter().any(|other| other.team == self.team && !other.is_ended());
        self.phase = if alert.is_none_or(|alert| alert.condition == Condition::Resolved) {
            Phase::Ended { why: Ending::ResolvedBeforeSent }
        } else if alert.is_some_and(|alert| alert.azure_state() != AzureState::New) {
            Phase::Ended { why: Ending::HandledInAzure }
        } else if has_another {
            Phase::Ended { why: Ending::Replaced }
        } else {
            Phase::Joined
        };
        if self.is_joined() {
            self.ended_at = None;
        }
        self
    }
}

/// A stored delivery that is neither done nor given up.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenDelivery {
    pub id: DeliveryId,
    pub call: Call,
    /// Attempts begun; 0: surely not sent.
    pub attempt: u32,
    /// An attempt is under way.
    pub leased: bool,
    /// An earlier attempt may have been received.
    pub uncertain: bool,
}

/// The rows that bear on one alert, as they stand inside the writer's transaction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub alert: Option<Alert>,
    /// All pages of the alert, by number.
    pub pages: Vec<Page>,
    /// Open deliveries of these pages and of the alert, in lane order.
    pub open: Vec<OpenDelivery>,
    /// Of all teams.
    pub load: Arc<Load>,
    /// Of a digest that is due or has lost a member.
    pub gathered: Option<Gathered>,
}

/// How long the same test notification or unreadable body counts as a repeat.
pub const SAME_TEST_WITHIN: Duration = Duration::from_mins(2);

/// The Raise's body: one flat JSON object. Every name is a member of the body, never an HTTP header.
pub fn raise_body(rendered: &Rendered, page: &ExternalId, service: Option<&str>, scenario: Option<Scenario>) -> Value {
    let mut body = Map::new();
    let mut put = |name: &str, value: &str| {
        body.insert(name.to_owned(), Value::String(value.to_owned()));
    };
    put("Title", &rendered.title);
    put("Message", &rendered.message);
    for (name, value) in &rendered.parameters {
        put(name, value);
    }
    put("X-S4-ExternalID", page.as_str());
    put("X-S4-Status", "new");
    put("X-S4-SourceSystem", SOURCE_SYSTEM);
    if let Some(location) = &rendered.location {
        put("X-S4-Location", location);
    }
    if let Some(service) = service {
        put("X-S4-Service", service);
    }
    if let Some(scenario) = scenario {
        put("X-S4-AlertingScenario", scenario.as_str());
    }
    Value::Object(body)
}

/// `X-S4-SourceSystem` of all that we send.
pub const SOURCE_SYSTEM: &str = "AzureMonitor";
