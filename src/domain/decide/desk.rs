//! The desk on which a verdict is written: a working copy of the rows, and the few moves that every rule is made of.

use serde_json::Value;

use super::{Finished, Owed, Reason, Timer, Verdict};
use crate::domain::delivery::{AzureState, Call, CallKind};
use crate::domain::event::TimerKind;
use crate::domain::id::{DeliveryId, ExternalId, TeamName};
use crate::domain::page::{Alert, Ending, Known, OpenDelivery, Page, PageState, Phase};
use crate::domain::route::{Comments, Rules};
use crate::domain::timestamp::Timestamp;

pub(super) struct Desk<'a> {
    pub(super) rules: &'a Rules,
    pub(super) known: &'a Known,
    pub(super) now: Timestamp,
    pub(super) alert: Option<Alert>,
    pub(super) pages: Vec<Page>,
    owed: Vec<Owed>,
    finished: Vec<(DeliveryId, Finished)>,
    timers: Vec<Timer>,
    cancelled: Vec<ExternalId>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(rules: &'a Rules, known: &'a Known, now: Timestamp) -> Self {
        Self {
            rules,
            known,
            now,
            alert: known.alert.clone(),
            pages: known.pages.clone(),
            owed: Vec::new(),
            finished: Vec::new(),
            timers: Vec::new(),
            cancelled: Vec::new(),
        }
    }

    /// What changed, as the verdict.
    pub(super) fn verdict(self, reason: Reason) -> Verdict {
        let before = self.known;
        let alert = if self.alert == before.alert { None } else { self.alert };
        let pages = self.pages.into_iter().filter(|page| !before.pages.contains(page)).collect();
        Verdict {
            reason,
            alert,
            pages,
            owed: self.owed,
            finished: self.finished,
            timers: self.timers,
            cancelled: self.cancelled,
        }
    }

    pub(super) fn page(&self, id: &ExternalId) -> Option<&Page> {
        self.pages.iter().find(|page| page.id == *id)
    }

    pub(super) fn page_mut(&mut self, id: &ExternalId) -> Option<&mut Page> {
        self.pages.iter_mut().find(|page| page.id == *id)
    }

    /// Ids of the pages that are not ended.
    pub(super) fn live(&self) -> Vec<ExternalId> {
        self.pages.iter().filter(|page| !page.is_ended()).map(|page| page.id.clone()).collect()
    }

    pub(super) fn owe(&mut self, call: Call) {
        self.owed.push(Owed { call, due: self.now });
    }

    /// Holds a page until then.
    pub(super) fn hold(&mut self, id: &ExternalId, until: Timestamp) {
        if let Some(page) = self.page_mut(id) {
            page.phase = Phase::Held { until };
        }
        self.timers.push(Timer { page: id.clone(), kind: TimerKind::GraceEnded, due: until });
    }

    /// Owes the Raise of a page, with the body that the page carries.
    pub(super) fn raise(&mut self, id: &ExternalId) {
        let Some(page) = self.page_mut(id) else { return };
        page.phase = Phase::Raising;
        page.signl4.want(PageState::Open);
        let (team, page_id) = (page.team.clone(), page.id.clone());
        let body = page.body.clone().unwrap_or(Value::Null);
        self.owe(Call::Raise { team, page: page_id, body });
    }

    /// Ends a page without a call.
    pub(super) fn end(&mut self, id: &ExternalId, why: Ending) {
        let held = self.page(id).is_some_and(Page::is_held);
        if held {
            self.cancelled.push(id.clone());
        }
        if let Some(page) = self.page_mut(id) {
            page.phase = Phase::Ended { why };
            page.body = None;
        }
    }

    /// Ends a page in SIGNL4 by whatever that takes: nothing while nobody has it, else a Resolve.
    ///
    /// A Raise that was surely not received is cancelled and nobody is woken. One that may have been received is not
    /// repeated; the Resolve goes out alone. One under way is followed by the Resolve in its lane.
    pub(super) fn withdraw(&mut self, id: &ExternalId, why: Ending) {
        let Some(page) = self.page(id) else { return };
        if page.is_ended() {
            return;
        }
        let untouched = if page.is_held() {
            Some(Ending::ResolvedWhileHeld)
        } else {
            let raise = self.open_of(id).find(|open| open.call.kind() == CallKind::Raise);
            raise
                .filter(|raise| !raise.leased && !raise.uncertain)
                .filter(|_| page.phase == Phase::Raising)
                .map(|_| Ending::ResolvedBeforeSent)
        };
        self.supersede(id, |_| true);
        if let Some(instead) = untouched {
            self.end(id, if why == Ending::Resolved { instead } else { why });
            return;
        }
        let team = page_team(self, id);
        self.end(id, why);
        if let (Some(page), Some(team)) = (self.page_mut(id), team)
            && page.signl4.seen != Some(PageState::Closed)
        {
            page.signl4.want(PageState::Closed);
            self.owe(Call::Resolve { team, page: id.clone() });
        }
    }

    /// Marks the open deliveries of a page's lane that are not under way, and that `which` picks, as superseded.
    pub(super) fn supersede(&mut self, id: &ExternalId, which: impl Fn(&Call) -> bool) {
        let known = self.known;
        for open in known.open.iter().filter(|open| open.call.page() == Some(id)) {
            if !open.leased && which(&open.call) {
                self.finish(open.id, Finished::Superseded);
            }
        }
    }

    pub(super) fn finish(&mut self, id: DeliveryId, how: Finished) {
        if !self.is_finished(id) {
            self.finished.push((id, how));
        }
    }

    fn is_finished(&self, id: DeliveryId) -> bool {
        self.finished.iter().any(|(finished, _)| *finished == id)
    }

    /// Open deliveries of a page's lane that this verdict has not finished.
    pub(super) fn open_of(&self, id: &ExternalId) -> impl Iterator<Item = &'a OpenDelivery> {
        self.known
            .open
            .iter()
            .filter(move |open| open.call.page() == Some(id))
            .filter(|open| !self.is_finished(open.id))
    }

    /// Marks a delivery of the page's lane as arrived, once an attempt of it has begun.
    pub(super) fn confirm(&mut self, id: &ExternalId, kind: CallKind) -> bool {
        let found = self.open_of(id).find(|open| open.call.kind() == kind && open.attempt > 0).map(|open| open.id);
        if let Some(delivery) = found {
            self.finish(delivery, Finished::Confirmed);
        }
        found.is_some()
    }

    /// Decides Azure's state, with the words that go with it. False: the alert cannot be changed, or it is so already.
    ///
    /// Unsent older state changes are superseded and their words join this one, so that the history in Azure is whole.
    pub(super) fn change_azure(&mut self, state: AzureState, words: &str) -> bool {
        let Some((mut alert, target)) = self.writable() else { return false };
        if alert.azure_state() == state {
            return false;
        }
        let mut said: Vec<String> = std::mem::take(&mut alert.unsaid);
        let mut may_have_arrived = false;
        for open in &self.known.open {
            let Call::ChangeState { comment, state: older, .. } = &open.call else { continue };
            // An acknowledgement alone does not re-open what Azure shows as Closed: the re-opening goes out before it.
            let opens_the_way = state == AzureState::Acknowledged && *older == AzureState::New;
            may_have_arrived |= open.leased || open.uncertain || opens_the_way;
            if !open.leased && !opens_the_way && !self.is_finished(open.id) {
                said.extend(comment.clone());
                self.finish(open.id, Finished::Superseded);
            }
        }
        if may_have_arrived {
            alert.azure.seen = None;
        }
        let needless = alert.azure.seen == Some(state);
        // Nothing but New leads from Closed to Acknowledged.
        let by_way_of_new = state == AzureState::Acknowledged && alert.azure_state() == AzureState::Closed && !needless;
        if by_way_of_new {
            self.owe(Call::ChangeState { target: target.clone(), state: AzureState::New, comment: None });
        }
        alert.azure.want(state);
        said.push(words.to_owned());
        let comments = self.comments(&alert);
        self.alert = Some(alert);
        let comment = match comments {
            Comments::All | Comments::WithChanges => Some(said.join("\n")),
            Comments::Off => None,
        };
        match (needless, comment) {
            (false, comment) => self.owe(Call::ChangeState { target, state, comment }),
            (true, Some(text)) if comments == Comments::All => self.owe(Call::Comment { target, text }),
            (true, _) => {}
        }
        true
    }

    /// Owes a comment in Azure where comments alone are wanted and possible.
    pub(super) fn comment(&mut self, text: String) {
        let Some((alert, target)) = self.writable() else { return };
        if self.comments(&alert) == Comments::All {
            self.owe(Call::Comment { target, text });
        }
    }

    /// Annotates the other live pages of the alert, where their teams allow it.
    pub(super) fn tell_other_pages(&mut self, but: &ExternalId, text: &str) {
        for id in self.live() {
            let Some(page) = self.page(&id).filter(|page| page.id != *but && !page.is_held()) else { continue };
            let team = page.team.clone();
            if self.has_api(&team) {
                self.owe(Call::Annotate { team, page: id, text: text.to_owned() });
            }
        }
    }

    pub(super) fn has_api(&self, team: &TeamName) -> bool {
        self.rules.teams.get(team).is_some_and(|traits| traits.has_api)
    }

    fn writable(&self) -> Option<(Alert, crate::domain::delivery::AzureTarget)> {
        let alert = self.alert.clone()?;
        let target = alert.target.clone()?;
        self.rules.connections.get(&alert.connection).is_some_and(|traits| traits.can_write).then_some((alert, target))
    }

    fn comments(&self, alert: &Alert) -> Comments {
        self.rules.connections.get(&alert.connection).map_or(Comments::Off, |traits| traits.comments)
    }
}

fn page_team(desk: &Desk<'_>, id: &ExternalId) -> Option<TeamName> {
    desk.page(id).map(|page| page.team.clone())
}
