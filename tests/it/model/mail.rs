//! What is on its way from the services to the bridge: webhooks, and what a poll has read. It may arrive late, in any
//! order, twice, or never.

use std::time::Duration;

use signl4_azure_bridge::domain::delivery::AzureState;
use signl4_azure_bridge::domain::event::{Condition, EventKind, Happened, Person, Signl4Change};
use signl4_azure_bridge::domain::id::{ExternalId, TeamName};
use signl4_azure_bridge::domain::reading::{Facts, News, PollRaises, Polled, Reading, Standing, news};
use signl4_azure_bridge::domain::timestamp::Timestamp;

use super::rules::{contoso, notification, test_notification};

#[derive(Clone, Debug)]
pub(super) enum Mail {
    /// Azure's webhook of an alert.
    Azure(Telling),
    /// Azure's portal tries the webhook out.
    Test { number: u32, at: Timestamp },
    /// SIGNL4 tells what happened to a page.
    Signl4 {
        team: TeamName,
        page: ExternalId,
        entry: Entry,
        /// By which the bridge knows it again.
        name: Option<String>,
        polled: bool,
    },
    /// How an alert stood in Azure when a poll read it.
    Reading { telling: Telling, state: AzureState, modified_at: Timestamp, modified_by: &'static str },
}

/// What Azure says of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    pub(super) alert: usize,
    pub(super) condition: Condition,
    pub(super) fired_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
}

/// What happened to a page in SIGNL4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) happened: Happened,
    pub(super) by_person: bool,
    pub(super) at: Timestamp,
}

impl Mail {
    /// The alert that Azure tells of.
    pub(super) fn alert(&self) -> Option<usize> {
        match self {
            Self::Azure(telling) | Self::Reading { telling, .. } => Some(telling.alert),
            Self::Test { .. } | Self::Signl4 { .. } => None,
        }
    }

    /// As the bridge hears it: of a reading only what is news beside what the ledger knows by then, which may wait until
    /// a webhook has had its time.
    pub(super) fn heard(&self, standing: Option<&Standing>, now: Timestamp) -> Result<Vec<EventKind>, Timestamp> {
        let kind = match self {
            Self::Azure(telling) => {
                EventKind::Azure { connection: contoso(), notification: Box::new(telling.notification()) }
            }
            Self::Test { number, at } => {
                EventKind::Azure { connection: contoso(), notification: Box::new(test_notification(*number, *at)) }
            }
            Self::Signl4 { team, page, entry, name, polled } => {
                let change = Signl4Change {
                    notification_id: name.clone(),
                    happened: entry.happened,
                    raised_at: entry.at,
                    person: entry.by_person.then(|| Person { id: "jane".to_owned(), name: "Jane Doe".to_owned() }),
                    alert_id: Some(format!("in SIGNL4: {page}")),
                    note: (entry.happened == Happened::Annotated).then(|| "on it".to_owned()),
                    polled: *polled,
                };
                EventKind::Signl4 { team: team.clone(), page: page.clone(), change }
            }
            Self::Reading { telling, state, modified_at, modified_by } => {
                let reading = Reading {
                    notification: telling.notification(),
                    rules: Vec::new(),
                    state: *state,
                    modified_at: Some(*modified_at),
                    modified_by: Some((*modified_by).to_owned()),
                    suppressed: false,
                };
                return polled(&reading, standing, now);
            }
        };
        Ok(vec![kind])
    }
}

fn polled(reading: &Reading, standing: Option<&Standing>, now: Timestamp) -> Result<Vec<EventKind>, Timestamp> {
    let facts = Facts {
        now,
        raises: PollRaises::Auto,
        has_webhook: true,
        heard: true,
        gaps: &[],
        trouble: None,
        earliest: None,
    };
    match news(reading, standing, &facts) {
        News::Wait(until) => Err(until),
        News::Found(found) => Ok(found
            .into_iter()
            .map(|found| Box::new(Polled::new(found, reading, reading.notification.clone())))
            .map(|polled| EventKind::Polled { connection: contoso(), polled })
            .collect()),
    }
}

impl Telling {
    fn notification(&self) -> signl4_azure_bridge::domain::event::Notification {
        notification(self.alert, self.condition, self.fired_at, self.resolved_at)
    }
}

/// So long after its begin an alert that no webhook brought is paged for by a poll.
pub(super) const WEBHOOK_WITHIN: Duration = signl4_azure_bridge::domain::reading::WEBHOOK_WITHIN;
