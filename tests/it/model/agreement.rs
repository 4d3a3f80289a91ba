//! The rule of agreement: what both sides must show once everything has been heard and followed, and which act of a
//! person must stand then. The exhaustive search and the arbitrary days judge by this same rule.
//!
//! Admitted: where people act on both sides before the one has heard of the other, any of them may win; but a close loses
//! to nothing except an explicit re-opening on the other side. Who acts on a page while the next firing of its alert is on
//! its way acts on either firing.

use signl4_azure_bridge::domain::delivery::AzureState;
use signl4_azure_bridge::domain::digest::is_digest;
use signl4_azure_bridge::domain::event::{Condition, Happened};
use signl4_azure_bridge::domain::id::ExternalId;
use signl4_azure_bridge::domain::page::{Alert, Ending, Page, PageState, Phase};
use signl4_azure_bridge::domain::route::{CloseInAzure, OnResolved};

use super::rules::{is_of_a_matter, policy, rule};
use super::services::{Act, AzureAlert, Services, state_of};
use super::violation::{Checked, holds};

pub(super) const AGREE: &str = "the_sides_come_to_agree";
pub(super) const STANDS: &str = "no_later_act_is_undone";

/// One alert at rest: as both services have it, and as the bridge's rows have it.
pub(super) struct Rest<'a> {
    pub(super) services: &'a Services,
    pub(super) azure: &'a AzureAlert,
    /// Of the alert, or of the one whose pages it has joined.
    pub(super) row: Option<&'a Alert>,
    /// It has joined the pages of another, or another has joined its own: of one matter the newest speaks for all.
    pub(super) shares: bool,
    pub(super) pages: Vec<Shown<'a>>,
}

/// A page of the bridge's, and what people see of it.
pub(super) struct Shown<'a> {
    pub(super) page: &'a Page,
    /// Itself, or the pages of the digest that shows it.
    pub(super) by: Vec<ExternalId>,
}

/// Whether both sides say the same of an alert, and what a person did last to it stands.
pub(super) fn holds_at_rest(rest: &Rest<'_>) -> Checked {
    if rest.azure.raced {
        return Ok(());
    }
    rest.states_agree()?;
    rest.somebody_is_told()?;
    rest.ledger_tells_the_truth()?;
    for shown in &rest.pages {
        rest.resolved_is_over(shown.page)?;
    }
    rest.last_act_stands()
}

impl Rest<'_> {
    fn fires(&self) -> bool {
        self.azure.condition == Condition::Fired
    }

    /// What people see of a page; `None`: nothing.
    fn view(&self, shown: &Shown<'_>) -> Option<PageState> {
        let states: Vec<PageState> =
            shown.by.iter().filter_map(|id| self.services.signl4.get(id)).map(|page| page.state).collect();
        if shown.page.digest.is_some() {
            // Of the alerts on a digest one may be over, or in hand in Azure, and the others not.
            if shown.page.is_ended() {
                return Some(PageState::Closed);
            }
            if shown.page.signl4.settled() == Some(PageState::Acknowledged) {
                return Some(PageState::Acknowledged);
            }
        }
        [PageState::Acknowledged, PageState::Open, PageState::Closed].into_iter().find(|state| states.contains(state))
    }

    fn views(&self) -> Vec<PageState> {
        self.pages.iter().filter_map(|shown| self.view(shown)).collect()
    }

    /// A person closed it last, nobody had opened it again on the other side meanwhile, and no route pages it again.
    fn is_closed_last(&self) -> bool {
        !self.is_paged_again()
            && self.azure.last.is_some_and(|last| match last.act {
                Act::Phone { does, .. } => does == Happened::Closed && !self.azure.reopened.in_portal,
                Act::Portal { state, .. } => state == AzureState::Closed && !self.azure.reopened.on_phone,
            })
    }

    /// Our close for the one on the phone is there or on its way: a close in the portal beside it looks the same.
    fn is_paged_again(&self) -> bool {
        self.pages.iter().any(|shown| shown.page.policy.page_again.is_some())
    }

    /// Ended for a reason that says nothing of the alert's state in Azure.
    fn is_ended_otherwise(&self, why: &[Ending]) -> bool {
        let ended = |page: &Page| matches!(page.phase, Phase::Ended { why: of } if why.contains(&of));
        self.pages.iter().any(|shown| ended(shown.page))
    }

    /// Open ~ New, Acknowledged ~ Acknowledged, closed by a person ~ Closed. A page ended by Resolved agrees with anything.
    fn states_agree(&self) -> Checked {
        let (state, views) = (self.azure.state, self.views());
        let expected = if views.contains(&PageState::Acknowledged) {
            Some(AzureState::Acknowledged)
        } else if views.contains(&PageState::Open) {
            Some(AzureState::New)
        } else {
            self.of_closed_pages(!views.is_empty())
        };
        holds(AGREE, expected.is_none_or(|expected| expected == state), || {
            let last = self.azure.last;
            format!("{} is {state:?}, its pages are {views:?}, last by {last:?}", self.name())
        })?;
        let is_followed = |row: &&Alert| row.target.is_some() && !self.shares && !self.pages.is_empty();
        let Some(row) = self.row.filter(is_followed) else { return Ok(()) };
        holds(AGREE, row.azure_state() == state && row.condition == self.azure.condition, || {
            let Alert { condition, azure, .. } = row;
            let truth = (self.azure.condition, state);
            format!("{} is {truth:?}, and the ledger says {:?}", self.name(), (condition, azure))
        })
    }

    /// What Azure must show where nobody has an open page.
    fn of_closed_pages(&self, any: bool) -> Option<AzureState> {
        if self.pages.iter().any(|shown| shown.page.policy.close_in_azure == CloseInAzure::Never) {
            return None;
        }
        // Opened again in the portal and taken in hand at once: nobody need be woken.
        let reopened = self.azure.by_person || self.azure.reopened.in_portal;
        let in_hand = self.azure.state == AzureState::Acknowledged && reopened;
        let other = [Ending::Expired, Ending::HandledInAzure, Ending::NotRaised, Ending::ClosedBySystem];
        let by_people = self.fires() && any && !self.shares && !in_hand && !self.is_ended_otherwise(&other);
        (by_people || self.is_closed_last()).then_some(AzureState::Closed)
    }

    /// An alert that fires, and that nobody has in hand, has a page.
    fn somebody_is_told(&self) -> Checked {
        let wakes =
            self.fires() && self.azure.state == AzureState::New && !policy(rule(self.azure.number)).records_only;
        let told = is_of_a_matter(self.azure.number)
            || self.views().iter().any(|state| *state != PageState::Closed)
            || self.is_ended_otherwise(&[Ending::Expired, Ending::NotRaised, Ending::ClosedBySystem])
            || self.pages.iter().any(|shown| shown.page.policy.close_in_azure == CloseInAzure::Never);
        holds(AGREE, !wakes || told, || format!("{} fires, and nobody has a page of it", self.name()))
    }

    fn ledger_tells_the_truth(&self) -> Checked {
        for Shown { page, .. } in self.pages.iter().filter(|shown| shown.page.digest.is_none()) {
            let Some(found) = self.services.signl4.get(&page.id) else { continue };
            let settled = if page.is_ended() { Some(PageState::Closed) } else { page.signl4.settled() };
            holds(AGREE, settled == Some(found.state), || {
                format!("{} is {:?}, and the ledger says {settled:?} of {:?}", page.id, found.state, page.phase)
            })?;
        }
        Ok(())
    }

    /// What Azure resolved ends on the phone, unless a person opened it again.
    fn resolved_is_over(&self, page: &Page) -> Checked {
        let Some(found) = self.services.signl4.get(&page.id) else { return Ok(()) };
        let resolves = page.policy.on_resolved == OnResolved::Resolve && !is_digest(&page.alert);
        // On a page, or in the portal.
        let reopened = found.reopened || self.azure.by_person && self.azure.state == AzureState::New;
        if !resolves || self.shares || self.fires() || reopened {
            return Ok(());
        }
        holds(AGREE, found.state == PageState::Closed, || {
            format!("{} is {:?}, and Azure has resolved its alert: {:?}", page.id, found.state, page.phase)
        })
    }

    /// What a person did when nothing else was on its way stands, and a close stands whatever was on its way.
    fn last_act_stands(&self) -> Checked {
        let Some(last) = self.azure.last.filter(|_| self.fires() && !self.shares) else { return Ok(()) };
        let must_stand = last.at_rest || self.is_closed_last();
        if !must_stand || self.is_ended_otherwise(&[Ending::Expired, Ending::NotRaised]) {
            return Ok(());
        }
        let (state, views) = (self.azure.state, self.views());
        let never = |shown: &Shown<'_>| shown.page.policy.close_in_azure == CloseInAzure::Never;
        let stands = match last.act {
            // Their routes say otherwise.
            Act::Phone { does: Happened::Closed, .. } if self.pages.iter().any(never) => true,
            Act::Phone { does: Happened::Closed, .. } | Act::Portal { state: AzureState::Closed, .. }
                if self.is_paged_again() =>
            {
                true
            }
            Act::Phone { page, does } => {
                let found = self.services.raised.get(page).and_then(|id| self.services.signl4.get(id));
                state_of(does).is_none_or(|done| found.is_some_and(|found| found.state == done))
                    && (does != Happened::Closed || state == AzureState::Closed)
            }
            Act::Portal { state: AzureState::Closed, .. } => {
                state == AzureState::Closed && views.iter().all(|view| *view == PageState::Closed)
            }
            Act::Portal { state: AzureState::Acknowledged, .. } => {
                state == AzureState::Acknowledged && !views.contains(&PageState::Open)
            }
            Act::Portal { state: AzureState::New, .. } => state == AzureState::New,
        };
        holds(STANDS, stands, || format!("{last:?}: {} is {state:?}, its pages are {views:?}", self.name()))
    }

    fn name(&self) -> String {
        format!("{} (the alert {})", rule(self.azure.number), self.azure.number)
    }
}
