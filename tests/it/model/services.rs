//! Both services as they really are, and the mail between them and the bridge. They know nothing of the bridge's rows.

use std::collections::{BTreeMap, BTreeSet};

use signl4_azure_bridge::domain::delivery::{AzureState, Call, Learned};
use signl4_azure_bridge::domain::event::{Condition, EventKind, Happened, Person, Signl4Change};
use signl4_azure_bridge::domain::id::{AlertKey, ExternalId, TeamName};
use signl4_azure_bridge::domain::page::PageState;
use signl4_azure_bridge::domain::timestamp::Timestamp;

use super::rules::{START, contoso, id, is_of_a_matter, notification, rule, test_notification};

/// A webhook on its way.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) kind: EventKind,
    /// The alert that Azure tells of.
    pub(super) alert: Option<usize>,
}

/// An alert in Azure.
#[derive(Clone, Debug)]
pub(super) struct AzureAlert {
    pub(super) number: usize,
    pub(super) state: AzureState,
    pub(super) condition: Condition,
    pub(super) fired_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
    modified_at: Timestamp,
    /// What a person did last on a page of it, or on a digest that shows it.
    pub(super) last_human: Option<(PageState, Timestamp)>,
    /// A person acted on a page of an earlier firing while the news of this one was on its way: the accepted race.
    pub(super) raced: bool,
}

/// An alert in SIGNL4.
#[derive(Clone, Debug)]
pub(super) struct SignlPage {
    pub(super) team: TeamName,
    pub(super) state: PageState,
    pub(super) raised_at: Timestamp,
    pub(super) closed_at: Option<Timestamp>,
    /// How often it was raised.
    pub(super) raised: u32,
    /// SIGNL4 itself closed or acknowledged it, and the bridge had no part in it.
    pub(super) by_system: bool,
    /// A person opened it again.
    pub(super) reopened: bool,
}

#[derive(Debug, Default)]
pub(super) struct Services {
    /// How long the day has lasted, in milliseconds; clocks that are set back do not touch it.
    pub(super) elapsed: i64,
    ticks: i64,
    notices: u32,
    tests: u32,
    pub(super) azure: BTreeMap<AlertKey, AzureAlert>,
    pub(super) signl4: BTreeMap<ExternalId, SignlPage>,
    /// In the order of their first Raise.
    pub(super) raised: Vec<ExternalId>,
    pub(super) resolved_unraised: BTreeSet<ExternalId>,
    pub(super) mail: Vec<Mail>,
}

impl Services {
    /// The true time, and never the same twice.
    fn stamp(&mut self) -> Timestamp {
        self.ticks += 1;
        Timestamp::from_millis(START + self.elapsed + self.ticks)
    }

    pub(super) fn fire(&mut self, number: usize) -> Mail {
        let at = self.stamp();
        let alert = self.azure.entry(id(number).key().clone()).or_insert_with(|| AzureAlert {
            number,
            state: AzureState::New,
            condition: Condition::Fired,
            fired_at: at,
            resolved_at: None,
            modified_at: at,
            last_human: None,
            raced: false,
        });
        // A new episode. Alerts of one matter have an id each.
        if alert.condition == Condition::Resolved && !is_of_a_matter(number) {
            *alert = AzureAlert {
                state: AzureState::New,
                condition: Condition::Fired,
                fired_at: at,
                resolved_at: None,
                modified_at: at,
                last_human: None,
                raced: false,
                ..alert.clone()
            };
        }
        Mail::of_alert(alert, Condition::Fired)
    }

    /// `None`: it does not fire.
    pub(super) fn resolve(&mut self, number: usize) -> Option<Mail> {
        let at = self.stamp();
        let alert = self.azure.get_mut(id(number).key()).filter(|alert| alert.condition == Condition::Fired)?;
        alert.condition = Condition::Resolved;
        alert.resolved_at = Some(at);
        Some(Mail::of_alert(alert, Condition::Resolved))
    }

    pub(super) fn test(&mut self, same: bool) -> Mail {
        self.tests += u32::from(!same);
        let at = self.stamp();
        let notification = Box::new(test_notification(self.tests, at));
        Mail { kind: EventKind::Azure { connection: contoso(), notification }, alert: None }
    }

    /// A person does what the page in SIGNL4 allows; `None`: it does not allow it.
    pub(super) fn person(&mut self, page: &ExternalId, does: Happened) -> Option<Mail> {
        let at = self.stamp();
        let found = self.signl4.get_mut(page)?;
        found.state = match (does, found.state) {
            (Happened::Acknowledged, PageState::Open) => PageState::Acknowledged,
            (Happened::Closed, PageState::Open | PageState::Acknowledged) => PageState::Closed,
            (Happened::Reopened, PageState::Acknowledged | PageState::Closed) => PageState::Open,
            (Happened::Annotated, state) => state,
            _ => return None,
        };
        found.closed_at = (found.state == PageState::Closed).then_some(at);
        found.reopened |= does == Happened::Reopened;
        Some(self.notice(page, does, true, at))
    }

    pub(super) fn system(&mut self, page: &ExternalId, does: Happened) -> Option<Mail> {
        let at = self.stamp();
        let found = self.signl4.get_mut(page)?;
        match (does, found.state) {
            (Happened::Acknowledged, PageState::Open) => found.state = PageState::Acknowledged,
            (Happened::Closed, PageState::Open | PageState::Acknowledged) => {
                found.state = PageState::Closed;
                found.closed_at = Some(at);
            }
            (Happened::Escalated | Happened::NobodyOnDuty, PageState::Open) | (Happened::Annotated, _) => {}
            _ => return None,
        }
        found.by_system |= matches!(does, Happened::Acknowledged | Happened::Closed);
        Some(self.notice(page, does, false, at))
    }

    fn notice(&mut self, page: &ExternalId, happened: Happened, by_person: bool, at: Timestamp) -> Mail {
        self.notices += 1;
        let change = Signl4Change {
            notification_id: Some(format!("notice {}", self.notices)),
            happened,
            raised_at: at,
            person: by_person.then(|| Person { id: "jane".to_owned(), name: "Jane Doe".to_owned() }),
            alert_id: Some(format!("in SIGNL4: {page}")),
            note: (happened == Happened::Annotated).then(|| "on it".to_owned()),
            polled: false,
        };
        let team = self.signl4[page].team.clone();
        Mail { kind: EventKind::Signl4 { team, page: page.clone(), change }, alert: None }
    }

    /// The same webhook again, by the caller who repeats it or with a new name.
    pub(super) fn doubled(&mut self, mail: &Mail) -> Mail {
        let mut mail = mail.clone();
        self.notices += 1;
        if let EventKind::Signl4 { change, .. } = &mut mail.kind
            && self.notices.is_multiple_of(2)
        {
            change.notification_id = Some(format!("notice {} once more", self.notices));
        }
        mail
    }

    /// A call arrives, and does what it does there.
    pub(super) fn take(&mut self, call: &Call) -> Learned {
        let at = self.stamp();
        match call {
            Call::Raise { team, page, .. } => {
                let found = self.signl4.entry(page.clone()).or_insert_with(|| SignlPage {
                    team: team.clone(),
                    state: PageState::Open,
                    raised_at: at,
                    closed_at: None,
                    raised: 0,
                    by_system: false,
                    reopened: false,
                });
                found.raised += 1;
                if found.raised == 1 {
                    self.raised.push(page.clone());
                }
                let created = self.notice(page, Happened::Created, false, at);
                self.mail.push(created);
                Learned::default()
            }
            Call::Acknowledge { page, .. } => {
                self.change(page, PageState::Acknowledged, Happened::Acknowledged, at);
                Learned::default()
            }
            Call::Resolve { page, .. } => {
                self.change(page, PageState::Closed, Happened::Closed, at);
                Learned::default()
            }
            Call::Annotate { page, .. } => {
                let echo = self.notice(page, Happened::Annotated, false, at);
                self.mail.push(echo);
                Learned { signl4_alert_id: Some(format!("in SIGNL4: {page}")), ..Learned::default() }
            }
            Call::ChangeState { target, state, keeps_closed, .. } => {
                let alert = self.azure.get_mut(&target.key).expect("only what Azure has is changed");
                let stays = *keeps_closed || *state == AzureState::Acknowledged;
                let reopens = alert.state == AzureState::Closed && stays;
                if !reopens && alert.state != *state {
                    alert.state = *state;
                    alert.modified_at = at;
                }
                Learned { azure: Some((alert.state, Some(alert.modified_at))), ..Learned::default() }
            }
            Call::Comment { target, .. } => {
                let alert = &self.azure[&target.key];
                Learned { azure: Some((alert.state, Some(alert.modified_at))), ..Learned::default() }
            }
        }
    }

    /// What the bridge asked of a page; SIGNL4 tells of it without a person.
    fn change(&mut self, page: &ExternalId, to: PageState, happened: Happened, at: Timestamp) {
        let Some(found) = self.signl4.get_mut(page) else {
            self.resolved_unraised.insert(page.clone());
            return;
        };
        if found.state >= to {
            return;
        }
        found.state = to;
        found.closed_at = (to == PageState::Closed).then_some(at);
        let echo = self.notice(page, happened, false, at);
        self.mail.push(echo);
    }

    /// How an alert stands, for a page that goes out late.
    pub(super) fn standing(&self, key: &AlertKey) -> Option<Learned> {
        let alert = self.azure.get(key)?;
        let azure = Some((alert.state, Some(alert.modified_at)));
        Some(Learned { azure, resolved_at: alert.resolved_at, ..Learned::default() })
    }
}

impl Mail {
    fn of_alert(alert: &AzureAlert, condition: Condition) -> Self {
        let resolved_at = alert.resolved_at.filter(|_| condition == Condition::Resolved);
        let notification = Box::new(notification(alert.number, condition, alert.fired_at, resolved_at));
        Self { kind: EventKind::Azure { connection: contoso(), notification }, alert: Some(alert.number) }
    }
}

impl AzureAlert {
    pub(super) fn rule(&self) -> &'static str {
        rule(self.number)
    }
}
