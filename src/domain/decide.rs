//! The product, in one pure function: what an event obliges us to.
//!
//! `decide` sees the rows that bear on the event as they stand inside the writer's transaction and says what to change:
//! the alert, its pages, deliveries to make, deliveries to finish, timers. An event is judged against what is `wanted`:
//! equal means echo or repeat, and no call. It accepts one race: two people acting on both sides within one round trip.

mod azure;
mod desk;
mod digests;
mod portal;
mod record;
mod release;
mod signl4;
mod threads;

use super::delivery::Call;
use super::event::{Event, EventKind, TimerKind};
use super::id::{AlertKey, DeliveryId, ExternalId};
use super::page::{Alert, Ending, Known, Page};
use super::render::template::Fault;
use super::route::{Rules, Scenario};
use super::timestamp::Timestamp;
use desk::Desk;

pub use record::record;
pub use release::{Release, release};

/// What follows from an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub reason: Reason,
    /// The alert's row, if it changed.
    pub alert: Option<Alert>,
    /// The pages that are new or changed.
    pub pages: Vec<Page>,
    pub owed: Vec<Owed>,
    /// Open deliveries that end here, unsent or confirmed.
    pub finished: Vec<(DeliveryId, Finished)>,
    /// Open deliveries that go out at once, and as these calls.
    pub amended: Vec<(DeliveryId, Call)>,
    pub timers: Vec<Timer>,
    /// Pages whose timers are void.
    pub cancelled: Vec<ExternalId>,
    /// Digests that begin here; their pages are among `pages`.
    pub opened: Vec<Alert>,
    /// Digests of which a member ended here.
    pub left: Vec<AlertKey>,
    /// The thread and the alert that it now begins with.
    pub thread: Option<(String, AlertKey)>,
    /// An alert without pages of its own, and the one whose pages it joined.
    pub joined: Option<(AlertKey, AlertKey)>,
    /// Templates that failed; their pages have the built-in text instead.
    pub template_faults: Vec<Fault>,
}

/// A delivery to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    pub call: Call,
    pub due: Timestamp,
}

/// A row that becomes an event when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub page: ExternalId,
    pub kind: TimerKind,
    pub due: Timestamp,
}

/// How an open delivery ends without an attempt of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// A newer decision made it needless.
    Superseded,
    /// An event showed that it has arrived.
    Confirmed,
}

/// Why the verdict is what it is: shown in the history, counted in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Raised,
    Held,
    /// One of many at once, or held by a window that is over: shown by a digest.
    JoinedDigest,
    RecordedByRoute,
    /// No route takes the alert: the fallback team is paged.
    Unrouted,
    Repeat,
    /// Of the same thread as an open page: counted there, nobody is paged again.
    Joined,
    /// Of the same thread, and worse: paged anew.
    Worse,
    /// The alert fired anew and every team already has an open page of it.
    AlreadyPaged,
    /// Fired, but its Resolved is stored already.
    SupersededByResolved,
    ResolvedBeforePaged,
    /// Somebody took care of it in Azure before it was paged.
    HandledInAzure,
    Resolved,
    ResolvedWithoutPage,
    /// Resolved of an alert that is not known: remembered.
    ResolvedUnknown,
    /// Found by a poll, and only recorded.
    RecordedByPoll,
    /// Told by webhook after a poll had found that a person had taken care of it in Azure.
    InHand,
    AcknowledgedInAzure,
    ClosedInAzure,
    ReopenedInAzure,
    /// Belongs to an earlier episode or state than the one known.
    Stale,
    ForeignSubscription,
    Unreadable,
    /// Trouble of the bridge's own.
    Alarm,
    Acknowledged,
    Closed,
    Reopened,
    Annotated,
    Escalated,
    NobodyOnDuty,
    /// Confirms what we decided: our own change coming back.
    Confirmed,
    /// SIGNL4 changed the page without a person and without us.
    WithoutPerson,
    UnknownPage,
    OtherAccount,
    NoConsequence,
    GraceEnded,
    TimeToLiveEnded,
    DigestRaised,
    /// A digest's only member goes out by itself.
    DigestDissolved,
    /// Closed on the phone a while ago, and Azure still fires.
    PagedAgain,
    TimerVoid,
}

impl Reason {
    /// Whether anything followed that was not known before.
    pub const fn is_news(self) -> bool {
        !matches!(self, Self::Repeat | Self::Stale | Self::Confirmed | Self::NoConsequence | Self::UnknownPage)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Held => "held",
            Self::JoinedDigest => "joined_digest",
            Self::RecordedByRoute => "recorded_by_route",
            Self::Unrouted => "unrouted",
            Self::Repeat => "repeat",
            Self::Joined => "joined",
            Self::Worse => "worse",
            Self::AlreadyPaged => "already_paged",
            Self::SupersededByResolved => "superseded_by_resolved",
            Self::ResolvedBeforePaged => "resolved_before_paged",
            Self::HandledInAzure => "handled_in_azure",
            Self::Resolved => "resolved",
            Self::ResolvedWithoutPage => "resolved_without_page",
            Self::ResolvedUnknown => "resolved_unknown",
            Self::RecordedByPoll => "recorded_by_poll",
            Self::InHand => "in_hand",
            Self::AcknowledgedInAzure => "acknowledged_in_azure",
            Self::ClosedInAzure => "closed_in_azure",
            Self::ReopenedInAzure => "reopened_in_azure",
            Self::Stale => "stale",
            Self::ForeignSubscription => "foreign_subscription",
            Self::Unreadable => "unreadable",
            Self::Alarm => "alarm",
            Self::Acknowledged => "acknowledged",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Annotated => "annotated",
            Self::Escalated => "escalated",
            Self::NobodyOnDuty => "nobody_on_duty",
            Self::Confirmed => "confirmed",
            Self::WithoutPerson => "without_person",
            Self::UnknownPage => "unknown_page",
            Self::OtherAccount => "other_account",
            Self::NoConsequence => "no_consequence",
            Self::GraceEnded => "grace_ended",
            Self::TimeToLiveEnded => "time_to_live_ended",
            Self::DigestRaised => "digest_raised",
            Self::DigestDissolved => "digest_dissolved",
            Self::PagedAgain => "paged_again",
            Self::TimerVoid => "timer_void",
        }
    }
}

/// Judges one event. Pure: the same rows, event and time give the same verdict.
pub fn decide(rules: &Rules, known: &Known, event: &Event, now: Timestamp) -> Verdict {
    let mut desk = Desk::new(rules, known, now).hearing(event);
    let reason = match &event.kind {
        EventKind::Azure { connection, notification } => azure::notified(&mut desk, connection, notification),
        EventKind::Polled { connection, polled } => portal::polled(&mut desk, connection, polled),
        EventKind::Foreign { connection, subscription } => azure::foreign(&mut desk, connection, subscription.as_ref()),
        EventKind::Unreadable { connection, digest, problem } => {
            azure::unreadable(&mut desk, connection, digest, problem)
        }
        EventKind::Signl4 { team, page, change } => signl4::changed(&mut desk, team, page, change),
        EventKind::Alarm { team, about, title, text, once, paged } => {
            let key = EventKind::alarm_key(about, *once, paged.unwrap_or(now));
            let reason = azure::alarm(&mut desk, team, &key, title, text, once.then_some(Scenario::SingleAck));
            if paged.is_some() && reason == Reason::Alarm {
                desk.was_raised();
            }
            reason
        }
        EventKind::Ignored { .. } => Reason::NoConsequence,
        EventKind::Timer { page, timer } => rung(&mut desk, page, timer),
    };
    desk.verdict(reason)
}

fn rung(desk: &mut Desk<'_>, id: &ExternalId, timer: &TimerKind) -> Reason {
    match timer {
        TimerKind::GraceEnded => release::released(desk, id),
        TimerKind::TimeToLive => time_to_live_ended(desk, id),
        TimerKind::PageAgain => azure::page_again(desk, id),
        TimerKind::DigestDue => digests::due(desk, id),
        TimerKind::LastMemberEnded => digests::last_member_ended(desk),
        TimerKind::Alone => digests::alone(desk, id),
        // The store spreads it itself, member by member.
        TimerKind::ToMembers { .. } => Reason::NoConsequence,
    }
}

fn time_to_live_ended(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    if desk.page(id).is_none_or(Page::is_ended) {
        return Reason::TimerVoid;
    }
    desk.withdraw(id, Ending::Expired);
    Reason::TimeToLiveEnded
}

#[cfg(test)]
mod tests;
