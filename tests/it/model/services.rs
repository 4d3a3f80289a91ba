//! The model of the protocol: both services as they really are. What a call does to an alert or a page, what the service
//! then says by webhook and by poll, and what people may do to it.
//!
//! The exhaustive search and the arbitrary days step this same model. It knows nothing of the bridge's rows.

use std::collections::{BTreeMap, BTreeSet};

use signl4_azure_bridge::domain::delivery::{AzureState, Call, Learned};
use signl4_azure_bridge::domain::event::{Condition, Happened};
use signl4_azure_bridge::domain::id::{AlertKey, ExternalId, TeamName};
use signl4_azure_bridge::domain::page::{Page, PageState, Phase};
use signl4_azure_bridge::domain::reading::SAME_FIRING_WITHIN;
use signl4_azure_bridge::domain::timestamp::Timestamp;

use super::mail::{Entry, Mail, Telling};
use super::rules::{START, id, is_of_a_matter};

/// How Azure names whoever changed an alert.
const AZURE_ITSELF: &str = "System";
const JANE: &str = "jane";
const US: &str = "bridge";

/// An alert in Azure.
#[derive(Clone, Debug)]
pub(super) struct AzureAlert {
    pub(super) number: usize,
    pub(super) state: AzureState,
    pub(super) condition: Condition,
    pub(super) fired_at: Timestamp,
    pub(super) resolved_at: Option<Timestamp>,
    modified_at: Timestamp,
    modified_by: &'static str,
    /// It is in this state by the hand of a person.
    pub(super) by_person: bool,
    /// What a person did last since it fired: to it, or to a page that shows it.
    pub(super) last: Option<Human>,
    pub(super) reopened: Reopened,
    /// A person acted on a page of an earlier firing while the news of this one was on its way: the accepted race.
    pub(super) raced: bool,
}

/// A page in SIGNL4.
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
    /// A person opened it again after it had been closed.
    pub(super) reopened: bool,
    /// Every change of its state.
    timeline: Vec<Entry>,
}

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// On the phone, to the page of that place among all that were raised.
    Phone { page: usize, does: Happened },
    /// In Azure's portal, which tells nobody.
    Portal { alert: usize, state: AzureState },
}

/// What a person did, and whether all that was said before had been heard and followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Human {
    pub(super) act: Act,
    pub(super) at_rest: bool,
}

/// Where somebody has opened again since all was at rest: it may be that the other side has not heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reopened {
    pub(super) on_phone: bool,
    pub(super) in_portal: bool,
}

#[derive(Clone, Debug, Default)]
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
    /// Somebody polls Azure before all of its webhooks have arrived.
    pub(super) is_polled: bool,
}

impl Services {
    /// The true time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(START + self.elapsed + self.ticks)
    }

    /// The true time, and never the same twice.
    fn stamp(&mut self) -> Timestamp {
        self.ticks += 1;
        self.now()
    }

    /// An alert fires, or Azure repeats its webhook.
    pub(super) fn fire(&mut self, number: usize) {
        let at = self.stamp();
        let new = AzureAlert {
            number,
            state: AzureState::New,
            condition: Condition::Fired,
            fired_at: at,
            resolved_at: None,
            modified_at: at,
            modified_by: AZURE_ITSELF,
            by_person: false,
            last: None,
            reopened: Reopened::default(),
            raced: false,
        };
        let alert = self.azure.entry(id(number).key().clone()).or_insert_with(|| new.clone());
        // A new episode. Alerts of one matter have an id each. To a poll, firings of one id within a minute are one.
        let is_told_apart = !self.is_polled || at.since(alert.fired_at) > SAME_FIRING_WITHIN;
        if alert.condition == Condition::Resolved && !is_of_a_matter(number) && is_told_apart {
            *alert = AzureAlert { reopened: alert.reopened, ..new };
        }
        // The webhook that is repeated is that of the begin.
        let telling = Telling { condition: Condition::Fired, resolved_at: None, ..alert.telling() };
        self.mail.push(Mail::Azure(telling));
    }

    /// The condition is over. False: it does not fire.
    pub(super) fn resolve(&mut self, number: usize) -> bool {
        let at = self.stamp();
        let alert = self.azure.get_mut(id(number).key()).filter(|alert| alert.condition == Condition::Fired);
        let Some(alert) = alert else { return false };
        alert.condition = Condition::Resolved;
        alert.resolved_at = Some(at);
        alert.touch(at, AZURE_ITSELF);
        self.mail.push(Mail::Azure(alert.telling()));
        true
    }

    pub(super) fn test(&mut self, same: bool) {
        self.tests += u32::from(!same);
        let at = self.stamp();
        self.mail.push(Mail::Test { number: self.tests, at });
    }

    /// What people could do now.
    pub(super) fn acts(&self) -> Vec<Act> {
        let on_pages = self.raised.iter().enumerate().flat_map(|(page, id)| {
            let state = self.signl4[id].state;
            let all = [Happened::Acknowledged, Happened::Closed, Happened::Reopened];
            all.into_iter().filter(move |does| then(state, *does).is_some()).map(move |does| Act::Phone { page, does })
        });
        let in_portal = self.azure.values().flat_map(|alert| {
            let all = [AzureState::New, AzureState::Acknowledged, AzureState::Closed];
            let others = all.into_iter().filter(|state| *state != alert.state);
            others.map(|state| Act::Portal { alert: alert.number, state })
        });
        on_pages.chain(in_portal).collect()
    }

    /// A person acts. False: the service does not let it happen.
    pub(super) fn act(&mut self, act: Act) -> bool {
        let at = self.stamp();
        match act {
            Act::Phone { page, does } => {
                let id = self.raised[page].clone();
                let Some(found) = self.signl4.get_mut(&id) else { return false };
                let Some(state) = then(found.state, does) else { return false };
                found.reopened |= found.state == PageState::Closed && does == Happened::Reopened;
                found.state = state;
                if state_of(does).is_some() {
                    found.closed_at = (state == PageState::Closed).then_some(at);
                }
                self.tell(&id, Entry { happened: does, by_person: true, at });
                true
            }
            Act::Portal { alert, state } => {
                // Not to alerts that share a page with others: an act in the portal says nothing of the others there.
                let is_possible = id(alert).is_writable() && !is_of_a_matter(alert);
                let found = self.azure.get_mut(id(alert).key()).filter(|alert| is_possible && alert.state != state);
                let Some(alert) = found else { return false };
                alert.state = state;
                alert.by_person = true;
                alert.touch(at, JANE);
                true
            }
        }
    }

    /// An act is meant for these alerts.
    pub(super) fn remember(&mut self, act: Act, at_rest: bool, alerts: &[AlertKey]) {
        for key in alerts {
            if let Some(alert) = self.azure.get_mut(key) {
                if at_rest {
                    alert.reopened = Reopened::default();
                }
                alert.reopened.on_phone |= matches!(act, Act::Phone { does: Happened::Reopened, .. });
                alert.reopened.in_portal |= matches!(act, Act::Portal { state: AzureState::New, .. });
                alert.last = Some(Human { act, at_rest });
            }
        }
    }

    /// SIGNL4 acts on a page by itself. False: it would not.
    pub(super) fn system(&mut self, page: usize, does: Happened) -> bool {
        let at = self.stamp();
        let id = self.raised[page].clone();
        let Some(found) = self.signl4.get_mut(&id) else { return false };
        match (does, found.state) {
            (Happened::Acknowledged, PageState::Open) => found.state = PageState::Acknowledged,
            (Happened::Closed, PageState::Open | PageState::Acknowledged) => {
                found.state = PageState::Closed;
                found.closed_at = Some(at);
            }
            (Happened::Escalated | Happened::NobodyOnDuty, PageState::Open) | (Happened::Annotated, _) => {}
            _ => return false,
        }
        found.by_system |= matches!(does, Happened::Acknowledged | Happened::Closed);
        self.tell(&id, Entry { happened: does, by_person: false, at });
        true
    }

    /// SIGNL4 calls by webhook.
    fn tell(&mut self, page: &ExternalId, entry: Entry) {
        self.notices += 1;
        let name = Some(format!("notice {}", self.notices));
        let Some(found) = self.signl4.get_mut(page) else { return };
        if matches!(entry.happened, Happened::Acknowledged | Happened::Closed | Happened::Reopened) {
            found.timeline.push(entry);
        }
        let team = found.team.clone();
        self.mail.push(Mail::Signl4 { team, page: page.clone(), entry, name, polled: false });
    }

    /// The same webhook again, by the caller who repeats it or with a new name.
    pub(super) fn double(&mut self, which: usize) {
        let mut mail = self.mail[which].clone();
        self.notices += 1;
        if let Mail::Signl4 { name, .. } = &mut mail
            && self.notices.is_multiple_of(2)
        {
            *name = Some(format!("notice {} once more", self.notices));
        }
        self.mail.push(mail);
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
                    timeline: Vec::new(),
                });
                found.raised += 1;
                if found.raised == 1 {
                    self.raised.push(page.clone());
                }
                self.tell(page, Entry { happened: Happened::Created, by_person: false, at });
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
                self.tell(page, Entry { happened: Happened::Annotated, by_person: false, at });
                Learned { signl4_alert_id: Some(format!("in SIGNL4: {page}")), ..Learned::default() }
            }
            Call::ChangeState { target, state, keeps_closed, comment } => {
                let alert = self.azure.get_mut(&target.key).expect("only what Azure has is changed");
                // As `azure::deliver` reads before it changes: what is so already is not changed, at most commented on.
                let stays = *keeps_closed || *state == AzureState::Acknowledged;
                let is_so = alert.state == *state || stays && alert.state == AzureState::Closed;
                if is_so && (alert.state != *state || comment.is_none()) {
                    return alert.learned();
                }
                alert.by_person &= alert.state == *state;
                alert.state = *state;
                alert.touch(at, US);
                Learned { azure_by: Some(US.into()), ..alert.learned() }
            }
            Call::Comment { target, .. } => {
                // There is no call that only comments: it is a change to the state that was just read.
                let alert = self.azure.get_mut(&target.key).expect("only what Azure has is commented on");
                alert.touch(at, US);
                Learned { azure_by: Some(US.into()), ..alert.learned() }
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
        self.tell(page, Entry { happened, by_person: false, at });
    }

    /// How an alert stands, for a page that goes out late.
    pub(super) fn standing(&self, key: &AlertKey) -> Option<Learned> {
        let alert = self.azure.get(key)?;
        Some(Learned { resolved_at: alert.resolved_at, ..alert.learned() })
    }

    /// What a poll of Azure reads.
    pub(super) fn read_azure(&self) -> Vec<Mail> {
        let listed = self.azure.values().filter(|alert| id(alert.number).is_writable());
        let read = |alert: &AzureAlert| Mail::Reading {
            telling: alert.telling(),
            state: alert.state,
            modified_at: alert.modified_at,
            modified_by: alert.modified_by,
        };
        listed.map(read).collect()
    }

    /// What a poll of SIGNL4 tells of a page, beside what the bridge knows of it: as `signl4::poll::changes`.
    pub(super) fn read_signl4(&self, page: &Page) -> Vec<Mail> {
        let Some(found) = self.signl4.get(&page.id) else { return Vec::new() };
        let created = Entry { happened: Happened::Created, by_person: false, at: found.raised_at };
        let mut told: Vec<Entry> = (page.phase == Phase::Raising).then_some(created).into_iter().collect();
        let mut shown = page.signl4.seen;
        for entry in &found.timeline {
            let Some(state) = state_of(entry.happened) else { continue };
            let is_known = page.changed_at.is_some_and(|changed_at| entry.at <= changed_at);
            if is_known || !entry.by_person && shown == Some(state) {
                continue;
            }
            shown = Some(state);
            told.push(*entry);
        }
        // The state alone says that something happened meanwhile.
        if shown.is_some_and(|shown| shown != found.state) {
            let last = found.timeline.last().filter(|last| page.changed_at.is_none_or(|at| last.at >= at));
            told.extend(last);
        }
        let mail = |entry: Entry| Mail::Signl4 {
            team: found.team.clone(),
            page: page.id.clone(),
            entry,
            name: Some(format!("poll {} {:?} {}", page.id, entry.happened, entry.at.as_millis())),
            polled: true,
        };
        told.into_iter().map(mail).collect()
    }
}

impl SignlPage {
    /// A person has opened it again, or has taken an acknowledgement back.
    pub(super) fn was_opened(&self) -> bool {
        self.timeline.iter().any(|entry| entry.happened == Happened::Reopened)
    }
}

impl AzureAlert {
    fn touch(&mut self, at: Timestamp, by: &'static str) {
        self.modified_at = at;
        self.modified_by = by;
    }

    fn telling(&self) -> Telling {
        let Self { number: alert, condition, fired_at, resolved_at, .. } = *self;
        Telling { alert, condition, fired_at, resolved_at }
    }

    fn learned(&self) -> Learned {
        Learned { azure: Some((self.state, Some(self.modified_at))), ..Learned::default() }
    }
}

/// What a page is when this has happened to it.
pub(super) const fn state_of(happened: Happened) -> Option<PageState> {
    match happened {
        Happened::Acknowledged => Some(PageState::Acknowledged),
        Happened::Closed => Some(PageState::Closed),
        Happened::Reopened => Some(PageState::Open),
        Happened::Created | Happened::NobodyOnDuty | Happened::Escalated | Happened::Annotated => None,
    }
}

/// What becomes of a page on which a person does that; `None`: SIGNL4 does not offer it.
const fn then(state: PageState, does: Happened) -> Option<PageState> {
    match (does, state) {
        (Happened::Acknowledged, PageState::Open) => Some(PageState::Acknowledged),
        (Happened::Closed, PageState::Open | PageState::Acknowledged) => Some(PageState::Closed),
        (Happened::Reopened, PageState::Acknowledged | PageState::Closed) => Some(PageState::Open),
        (Happened::Annotated, state) => Some(state),
        _ => None,
    }
}
