//! What a poll reads of an Azure alert, and what of it is news beside the ledger.
//!
//! Pure. Nothing is news that the ledger knows already: a poll that finds all as it was leaves no row behind. Whether
//! an alert that no webhook brought may wake somebody is decided here too, from facts that the poll gathers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delivery::{AzureState, Call};
use super::event::{Condition, Notification};
use super::page::{Alert, OpenDelivery};
use super::timestamp::Timestamp;

/// An alert as a list of Azure's shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What the essentials say, in the words of the webhook; without the context, which a list leaves out.
    pub notification: Notification,
    /// Names under which the alert's rule may have called by webhook; see [`rule_names`].
    pub rules: Vec<String>,
    pub state: AzureState,
    /// `lastModifiedDateTime`
    pub modified_at: Option<Timestamp>,
    /// `lastModifiedUserName`
    pub modified_by: Option<String>,
    /// An alert processing rule keeps its webhooks back.
    pub suppressed: bool,
}

/// What a poll may raise: `poll_raises`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PollRaises {
    All,
    /// What a webhook should have brought, or nothing else could bring.
    #[default]
    Auto,
    None,
}

/// Why a poll raises an alert that no webhook brought, or only records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raises {
    /// Raised: the connection hears nothing by webhook.
    NoWebhook,
    /// Raised: its rule has called before and did not call now.
    WebhookMissing,
    /// Raised: it fired while the bridge could not be reached.
    Gap,
    /// Raised: `poll_raises = "all"`.
    All,
    /// Recorded: it fired before the first poll looks back to.
    BeforeLookBack,
    /// Recorded: its rule has never called, so nobody asked to be woken by it.
    RuleUnheard,
    /// Recorded: an alert processing rule suppresses it.
    Suppressed,
    /// Recorded: when it was found a person had taken care of it in Azure already.
    InHand,
    /// Recorded: `poll_raises = "none"`.
    NotWanted,
}

impl Raises {
    /// Whether somebody is woken.
    pub const fn pages(self) -> bool {
        match self {
            Self::NoWebhook | Self::WebhookMissing | Self::Gap | Self::All => true,
            Self::BeforeLookBack | Self::RuleUnheard | Self::Suppressed | Self::InHand | Self::NotWanted => false,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoWebhook => "no_webhook",
            Self::WebhookMissing => "webhook_missing",
            Self::Gap => "gap",
            Self::All => "all",
            Self::BeforeLookBack => "before_look_back",
            Self::RuleUnheard => "rule_unheard",
            Self::Suppressed => "suppressed",
            Self::InHand => "in_hand",
            Self::NotWanted => "not_wanted",
        }
    }
}

/// One thing that a poll found and the ledger does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Fired, and no webhook told of it.
    Fired(Raises),
    /// Resolved, and no webhook told of it.
    Resolved,
    /// A state that no call of ours has brought about, as far as the ledger knows.
    State,
}

/// What a poll found, for the judgement.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled {
    pub found: Found,
    /// With the context where something is to be paged.
    pub notification: Notification,
    pub state: AzureState,
    pub modified_at: Option<Timestamp>,
    pub modified_by: Option<String>,
}

impl Polled {
    pub fn new(found: Found, reading: &Reading, notification: Notification) -> Self {
        Self {
            found,
            notification,
            state: reading.state,
            modified_at: reading.modified_at,
            modified_by: reading.modified_by.clone(),
        }
    }

    /// A name for logs, metrics and the store.
    pub const fn name(&self) -> &'static str {
        match (self.found, self.state) {
            (Found::Fired(_), _) => "fired",
            (Found::Resolved, _) => "resolved",
            (Found::State, AzureState::New) => "new_in_azure",
            (Found::State, AzureState::Acknowledged) => "acknowledged_in_azure",
            (Found::State, AzureState::Closed) => "closed_in_azure",
        }
    }
}

/// A span in which the bridge could not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Gap {
    /// When the first alert fired whose webhook may have come within the gap.
    pub fn since(&self) -> Timestamp {
        self.from.minus(CALLED_WITHIN)
    }

    /// Whether the webhook of an alert that fired then may have been lost for it.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.since() <= at && at <= self.to.plus(SILENCE)
    }
}

/// How long after it fired an alert's webhook may come for the first time. Microsoft documents no time; it is mostly
/// seconds, and nobody has been seen to wait longer than a few minutes.
const CALLED_WITHIN: Duration = Duration::from_mins(5);
/// After its last try has failed, Azure calls the endpoint for nobody for so long.
/// <https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook>
const SILENCE: Duration = Duration::from_mins(15);

/// What the ledger knows of an alert, or of the alert whose pages it has joined.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub alert: Alert,
    /// It has or had a page.
    pub paged: bool,
    /// What a call of ours, of whose fate nothing is known yet, may have brought about in Azure.
    pub arriving: Option<AzureState>,
}

impl Standing {
    /// `open`: what is owed to Azure for the alert.
    pub fn new(alert: Alert, paged: bool, open: &[OpenDelivery]) -> Self {
        let brings = |open: &OpenDelivery| match &open.call {
            Call::ChangeState { target, state, .. } => (target.key == alert.key).then_some(*state),
            Call::Raise { .. }
            | Call::Acknowledge { .. }
            | Call::Resolve { .. }
            | Call::Annotate { .. }
            | Call::Comment { .. } => None,
        };
        let arriving = open.iter().rev().filter(|open| open.leased || open.uncertain).find_map(brings);
        Self { alert, paged, arriving }
    }
}

/// What decides whether an unknown alert may wake somebody.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub now: Timestamp,
    pub raises: PollRaises,
    /// The connection can be called by webhook.
    pub has_webhook: bool,
    /// The alert's rule has called before.
    pub heard: bool,
    pub gaps: &'a [Gap],
    /// Webhooks are refused just now, for too short a time to be a gap. It may become one.
    pub trouble: Option<Gap>,
    /// On the first poll: what fired earlier wakes nobody.
    pub earliest: Option<Timestamp>,
}

/// What of a reading is news.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing, mostly.
    Found(Vec<Found>),
    /// Its webhook may be on its way: the next poll judges it, not before then.
    Wait(Timestamp),
}

impl News {
    /// Whether somebody is woken by it, or may be when it has waited.
    fn wakes(&self) -> bool {
        match self {
            Self::Found(found) => found.iter().any(|found| matches!(found, Found::Fired(raises) if raises.pages())),
            Self::Wait(_) => true,
        }
    }
}

/// How long the webhook of an alert is waited for: Azure gives up after 75 s of trouble.
pub const WEBHOOK_WITHIN: Duration = Duration::from_mins(2);
/// A webhook may come later than the poll that finds its alert resolved already, but not much.
const LATE_WEBHOOK: Duration = Duration::from_hours(1);
/// Nothing says that the list and the webhook name the time of firing to the same millisecond.
pub const SAME_FIRING_WITHIN: Duration = Duration::from_mins(1);

pub fn news(reading: &Reading, standing: Option<&Standing>, facts: &Facts<'_>) -> News {
    let Some(standing) = standing else { return unknown(reading, facts) };
    let (notification, alert) = (&reading.notification, &standing.alert);
    let own = alert.key == *notification.id.key();
    let fires = notification.condition == Condition::Fired;
    if own && fires && fires_later(notification, alert) {
        // What we did to an earlier firing and arrived after the new one began is nobody's hand.
        let is_nameless = alert.azure_by.is_none() || reading.modified_by.is_none();
        let ours = is_ours(reading, alert) || is_nameless && standing.arriving == Some(reading.state);
        let state = if ours { AzureState::New } else { reading.state };
        return unknown(&Reading { state, ..reading.clone() }, facts);
    }
    if own && fires && is_judged_again(reading, alert, facts) {
        let again = unknown(reading, facts);
        if again.wakes() {
            return again;
        }
    }
    let mut found = Vec::new();
    let newest = alert.members.last().is_some_and(|member| member.key == *notification.id.key());
    if !fires && alert.condition == Condition::Fired && (newest || own && alert.members.is_empty()) {
        found.push(Found::Resolved);
    }
    let is_followed = standing.paged || alert.recorded == Some(Raises::InHand);
    if is_followed && state_is_news(reading, alert, own) {
        found.push(Found::State);
    }
    News::Found(found)
}

/// Whether what was only recorded may be somebody's page by now: whoever had it in hand has let go of it, or its webhook
/// was lost in a gap that was not known then.
fn is_judged_again(reading: &Reading, alert: &Alert, facts: &Facts<'_>) -> bool {
    let in_a_gap = || alert.fired_at.is_some_and(|at| facts.gaps.iter().any(|gap| gap.holds(at)));
    reading.state == AzureState::New
        && match alert.recorded {
            Some(Raises::InHand) => !is_known(reading, alert) || alert.azure_state() == AzureState::New && in_a_gap(),
            Some(Raises::RuleUnheard) => in_a_gap(),
            Some(_) | None => false,
        }
}

/// Azure names a new firing by a new id; should it not, a clearly later time tells.
fn fires_later(notification: &Notification, alert: &Alert) -> bool {
    let times = notification.fired_at.zip(alert.fired_at);
    times.is_some_and(|(fired, known)| fired > known.plus(SAME_FIRING_WITHIN))
}

fn state_is_news(reading: &Reading, alert: &Alert, own: bool) -> bool {
    let stale = is_known(reading, alert) || alert.is_of_before(reading.modified_at);
    if own {
        return !stale && alert.azure.seen != Some(reading.state);
    }
    // Of an alert that joined another the ledger has no state of its own: only what a person added to it is news.
    !stale && !is_ours(reading, alert) && reading.state > alert.azure_state()
}

/// Whether nothing has changed in Azure since what the ledger knows last.
fn is_known(reading: &Reading, alert: &Alert) -> bool {
    reading.modified_at.is_some_and(|at| Some(at) <= alert.azure_modified_at)
}

/// Whether the last change in Azure was ours, by the name that Azure gives us.
fn is_ours(reading: &Reading, alert: &Alert) -> bool {
    reading.modified_by.is_some() && reading.modified_by == alert.azure_by
}

fn unknown(reading: &Reading, facts: &Facts<'_>) -> News {
    let notification = &reading.notification;
    if notification.condition == Condition::Resolved {
        let recent = reading.modified_at.is_none_or(|at| facts.now.since(at) < LATE_WEBHOOK);
        return News::Found(if recent { vec![Found::Resolved] } else { Vec::new() });
    }
    let fired_at = notification.fired_at.unwrap_or(facts.now);
    let raises = if reading.suppressed {
        Raises::Suppressed
    } else if reading.state != AzureState::New {
        Raises::InHand
    } else if facts.earliest.is_some_and(|earliest| fired_at < earliest) {
        Raises::BeforeLookBack
    } else if facts.raises == PollRaises::None {
        Raises::NotWanted
    } else if facts.has_webhook && facts.heard && fired_at.plus(WEBHOOK_WITHIN) > facts.now {
        return News::Wait(fired_at.plus(WEBHOOK_WITHIN));
    } else if facts.raises == PollRaises::All {
        Raises::All
    } else if !facts.has_webhook {
        Raises::NoWebhook
    } else if facts.gaps.iter().any(|gap| gap.holds(fired_at)) {
        Raises::Gap
    } else if facts.heard {
        Raises::WebhookMissing
    } else if let Some(trouble) = facts.trouble.filter(|trouble| trouble.holds(fired_at))
        && trouble.from.plus(WEBHOOK_WITHIN) > facts.now
    {
        return News::Wait(trouble.from.plus(WEBHOOK_WITHIN));
    } else {
        Raises::RuleUnheard
    };
    News::Found(vec![Found::Fired(raises)])
}

/// The names under which a rule is known, as `{subscription}/{name}` in lower case: the end of its ARM id and its name,
/// of which the webhook and the list each give one or the other.
pub fn rule_names(notification: &Notification) -> Vec<String> {
    let subscription = notification.id.subscription().map_or("", |subscription| subscription.as_str());
    let last = |text: &str| text.rsplit('/').find(|part| !part.trim().is_empty()).map(str::to_owned);
    let id = notification.rule_id.as_deref().and_then(last);
    // Prometheus rules are called `group/alert`.
    let ending = notification.rule.as_deref().and_then(last);
    let mut names: Vec<String> = [id, ending, notification.rule.clone()]
        .into_iter()
        .flatten()
        .map(|name| format!("{subscription}/{}", name.trim().to_lowercase()))
        .collect();
    names.dedup();
    names
}
