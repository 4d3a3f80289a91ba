//! The desk on which a verdict is written: a working copy of the rows, and the few moves that every rule is made of.

use serde_json::Value;

use std::time::Duration;

use super::{Finished, Owed, Reason, Timer, Verdict};
use crate::domain::delivery::{AzureState, AzureTarget, Call, CallKind, Origin};
use crate::domain::digest;
use crate::domain::event::{Event, TimerKind};
use crate::domain::id::{AlertKey, DeliveryId, ExternalId, TeamName};
use crate::domain::page::{Alert, Ending, Known, Ledger, OpenDelivery, Page, PageState, Phase, UNSAID};
use crate::domain::render::template::Fault;
use crate::domain::route::{Comments, Policy, Rules};
use crate::domain::thread::Thread;
use crate::domain::timestamp::Timestamp;

pub(super) struct Desk<'a> {
    pub(super) rules: &'a Rules,
    pub(super) known: &'a Known,
    pub(super) now: Timestamp,
    pub(super) alert: Option<Alert>,
    pub(super) pages: Vec<Page>,
    owed: Vec<Owed>,
    finished: Vec<(DeliveryId, Finished)>,
    amended: Vec<(DeliveryId, Call)>,
    timers: Vec<Timer>,
    cancelled: Vec<ExternalId>,
    /// What is judged; of an attempt's end there is none.
    event: Option<&'a Event>,
    /// A poll found the alert, and no webhook had told of it: its page is as late as the alert is old.
    pub(super) found_late: bool,
    opened: Vec<Alert>,
    left: Vec<AlertKey>,
    pub(super) thread: Option<(String, AlertKey)>,
    pub(super) joined: Option<(AlertKey, AlertKey)>,
    pub(super) template_faults: Vec<Fault>,
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
            amended: Vec::new(),
            timers: Vec::new(),
            cancelled: Vec::new(),
            event: None,
            found_late: false,
            opened: Vec::new(),
            left: Vec::new(),
            thread: None,
            joined: None,
            template_faults: Vec::new(),
        }
    }

    pub(super) fn hearing(self, event: &'a Event) -> Self {
        Self { event: Some(event), ..self }
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
            amended: self.amended,
            timers: self.timers,
            cancelled: self.cancelled,
            opened: self.opened,
            left: self.left,
            thread: self.thread,
            joined: self.joined,
            template_faults: self.template_faults,
        }
    }

    pub(super) fn page(&self, id: &ExternalId) -> Option<&Page> {
        self.pages.iter().find(|page| page.id == *id)
    }

    pub(super) fn page_mut(&mut self, id: &ExternalId) -> Option<&mut Page> {
        self.pages.iter_mut().find(|page| page.id == *id)
    }

    /// The thread of the alert that is heard of.
    pub(super) fn heard_thread(&self) -> Option<&'a Thread> {
        self.event?.thread.as_ref()
    }

    /// When a page that is made now begins: not before its alert fired, should a clock of ours be behind Azure's.
    pub(super) fn begins(&self) -> Timestamp {
        self.alert.as_ref().and_then(|alert| alert.fired_at).map_or(self.now, |fired_at| fired_at.max(self.now))
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

    /// A timer of a page that rings at once.
    pub(super) fn ring(&mut self, id: &ExternalId, kind: TimerKind) {
        self.ring_after(id, kind, Duration::ZERO);
    }

    pub(super) fn ring_after(&mut self, id: &ExternalId, kind: TimerKind, span: Duration) {
        self.timers.push(Timer { page: id.clone(), kind, due: self.now.plus(span) });
    }

    /// Owes the Raise of a page, with the body that the page carries. `since`: when it should have gone out.
    pub(super) fn raise(&mut self, id: &ExternalId, since: Timestamp) {
        self.live_on(id);
        let alert = self.writable().map(|(_, target)| target);
        let Some(page) = self.page_mut(id) else { return };
        page.phase = Phase::Raising;
        page.signl4.want(PageState::Open);
        let (team, page_id) = (page.team.clone(), page.id.clone());
        let body = page.body.clone().unwrap_or(Value::Null);
        self.owe(Call::Raise { team, page: page_id, body, origin: Some(Origin { since, alert }) });
    }

    /// No timer of a page that has ended rings any more.
    pub(super) fn silence_ended(&mut self) {
        self.cancelled.extend(self.pages.iter().filter(|page| page.is_ended()).map(|page| page.id.clone()));
    }

    /// Raises a held page, which should have gone out when its time was over.
    pub(super) fn raise_held(&mut self, id: &ExternalId) {
        let until =
            self.page(id).and_then(|page| if let Phase::Held { until } = page.phase { Some(until) } else { None });
        self.raise(id, until.unwrap_or(self.now));
    }

    /// Shows a page by the digest that gathers for its team; the first one opens it.
    pub(super) fn join_digest(&mut self, id: &ExternalId, gathers: Duration) {
        let Some(team) = self.page(id).map(|page| page.team.clone()) else { return };
        let opened = self.pages.iter().find(|page| page.team == team && digest::is_digest(&page.alert));
        let gathering = opened.map(|page| page.alert.clone()).or_else(|| self.known.load.gathering(&team).cloned());
        let Some(digest) = gathering.or_else(|| self.open_digest(id, gathers)) else {
            // Nothing to name it by: better a page too many.
            return self.raise(id, self.now);
        };
        self.live_on(id);
        if let Some(page) = self.page_mut(id) {
            page.phase = Phase::Joined;
            page.digest = Some(digest);
        }
    }

    /// A digest for the team of this page, which is its first member.
    fn open_digest(&mut self, first: &ExternalId, gathers: Duration) -> Option<AlertKey> {
        let key = digest::key(self.event?.id, self.opened.len().saturating_add(1));
        let page = self.page(first)?;
        let (team, window) = (page.team.clone(), page.window.clone());
        let alert = self.alert.as_ref()?;
        let until = self.now.plus(gathers);
        let id = ExternalId::of(&key, 1);
        self.opened.push(Alert::begun(key.clone(), alert.connection.clone(), self.now));
        self.pages.push(Page {
            id: id.clone(),
            alert: key.clone(),
            number: 1,
            team,
            route: None,
            policy: Policy::default(),
            phase: Phase::Held { until },
            signl4: Ledger::default(),
            signl4_alert_id: None,
            acknowledged_by: None,
            closed_by: None,
            closed_at: None,
            changed_at: None,
            acted_at: None,
            nobody_on_duty: false,
            acknowledged_for_azure: false,
            told: Vec::new(),
            title: "A digest that gathers".to_owned(),
            severity: None,
            rule: None,
            digest: None,
            window,
            windows: Vec::new(),
            body: None,
            created_at: self.now,
            ended_at: None,
        });
        self.ring_after(&id, TimerKind::DigestDue, gathers);
        Some(key)
    }

    /// A page that people see from now on ends by itself where its policy says so.
    fn live_on(&mut self, id: &ExternalId) {
        if let Some(span) = self.page(id).and_then(|page| page.policy.time_to_live) {
            self.ring_after(id, TimerKind::TimeToLive, span);
        }
    }

    /// What this verdict would raise has gone out already.
    pub(super) fn was_raised(&mut self) {
        for owed in std::mem::take(&mut self.owed) {
            if let Some(page) = owed.call.page().and_then(|id| self.pages.iter_mut().find(|page| page.id == *id)) {
                page.phase = Phase::Raised;
                page.signl4.happened(PageState::Open);
            }
        }
    }

    /// Ends a page without a call.
    pub(super) fn end(&mut self, id: &ExternalId, why: Ending) {
        let Some(page) = self.page(id) else { return };
        let (held, digest) = (page.is_held(), page.digest.clone().filter(|_| page.is_joined()));
        self.left.extend(digest);
        if held {
            self.cancelled.push(id.clone());
        }
        let now = self.now;
        if let Some(page) = self.page_mut(id) {
            page.phase = Phase::Ended { why };
            page.ended_at = page.ended_at.or(Some(now));
            // What a person closed may be paged again.
            if why != Ending::ClosedByPerson || page.policy.page_again.is_none() {
                page.body = None;
            }
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
        if page.is_joined() {
            let unseen = page.digest.as_ref().is_some_and(|digest| self.known.load.is_gathering(digest));
            return self.end(id, if why == Ending::Resolved && unseen { Ending::ResolvedBeforeSent } else { why });
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

    /// What is not under way goes out at once, and as this call: its attempts and its doubts stay its own.
    pub(super) fn amend(&mut self, id: DeliveryId, call: Call) {
        self.amended.push((id, call));
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

    /// Decides Azure's state, with the words that go with it, for the alert and all that joined it. False: the alert
    /// cannot be changed, or it is so already.
    pub(super) fn change_azure(&mut self, state: AzureState, words: &str) -> bool {
        let Some((mut alert, target)) = self.writable() else { return false };
        let before = alert.azure_state();
        if before == state {
            return false;
        }
        let words: Vec<String> = std::mem::take(&mut alert.unsaid).into_iter().chain([words.to_owned()]).collect();
        let comments = self.comments(&alert);
        let seen = alert.azure.seen;
        let (owed, still_seen) = self.change_one(&target, seen, before, state, words.clone(), comments);
        alert.azure.seen = still_seen;
        alert.azure.want(state);
        let members: Vec<AzureTarget> = alert.members.iter().filter_map(|member| member.target.clone()).collect();
        self.alert = Some(alert);
        for call in owed {
            self.owe(call);
        }
        for member in members {
            let (owed, _) = self.change_one(&member, None, before, state, words.clone(), comments);
            for call in owed {
                self.owe(call);
            }
        }
        true
    }

    /// The calls that bring one alert to a state, and what we have still seen of it.
    ///
    /// Unsent older state changes are superseded and their words join this one, so that the history in Azure is whole.
    fn change_one(
        &mut self,
        target: &AzureTarget,
        mut seen: Option<AzureState>,
        before: AzureState,
        state: AzureState,
        words: Vec<String>,
        comments: Comments,
    ) -> (Vec<Call>, Option<AzureState>) {
        let mut said = Vec::new();
        // An acknowledgement that is taken back re-opens nothing, as far as Azure has shown nothing else and nothing else is
        // on its way.
        let takes_back = state == AzureState::New && before == AzureState::Acknowledged;
        let mut keeps_closed = takes_back && seen != Some(AzureState::Closed);
        for open in &self.known.open {
            let Call::ChangeState { comment, state: older, target: of, .. } = &open.call else { continue };
            if of.key != target.key {
                continue;
            }
            keeps_closed &= *older == AzureState::Acknowledged;
            // An acknowledgement alone does not re-open what Azure shows as Closed: the re-opening goes out before it.
            let opens_the_way = state == AzureState::Acknowledged && *older == AzureState::New;
            if open.leased || open.uncertain || opens_the_way {
                seen = None;
            }
            if !open.leased && !opens_the_way && !self.is_finished(open.id) {
                said.extend(comment.clone());
                self.finish(open.id, Finished::Superseded);
            }
        }
        said.extend(words);
        let comment = match comments {
            Comments::All | Comments::WithChanges => Some(said.join("\n")),
            Comments::Off => None,
        };
        let target = target.clone();
        let calls = match comment {
            // Back where Azure still is: nothing to change, and perhaps something to say.
            Some(text) if seen == Some(state) && comments == Comments::All => vec![Call::Comment { target, text }],
            _ if seen == Some(state) => Vec::new(),
            // Nothing but New leads from Closed to Acknowledged.
            comment if state == AzureState::Acknowledged && before == AzureState::Closed => vec![
                Call::ChangeState {
                    target: target.clone(),
                    state: AzureState::New,
                    comment: None,
                    keeps_closed: false,
                },
                Call::ChangeState { target, state, comment, keeps_closed },
            ],
            comment => vec![Call::ChangeState { target, state, comment, keeps_closed }],
        };
        (calls, seen)
    }

    /// The alert fires anew, and Azure shows it as New: what people did to it before was done to an episode that is over.
    ///
    /// Unsent changes are superseded, and their words wait for the next one. What may arrive after the new beginning is
    /// taken back.
    pub(super) fn fires_anew(&mut self, before: &Alert) {
        let Some((mut alert, target)) = self.writable() else { return };
        let landed_later = before.azure_modified_at.zip(alert.fired_at).is_some_and(|(at, fired)| at > fired);
        let mut takes_back = landed_later && before.azure.seen != Some(AzureState::New);
        // Only a close of ours is opened again: another is of a person, and of this episode.
        let mut closes = landed_later && before.azure.seen == Some(AzureState::Closed);
        alert.anew = true;
        alert.unsaid.clone_from(&before.unsaid);
        alert.azure_by.clone_from(&before.azure_by);
        alert.azure_modified_at = alert.azure_modified_at.max(before.azure_modified_at);
        for open in &self.known.open {
            let Call::ChangeState { comment, target: of, state, keeps_closed } = &open.call else { continue };
            if of.key != alert.key {
                continue;
            }
            takes_back |= open.leased || open.uncertain || *state == AzureState::New;
            closes |= match state {
                AzureState::Closed => open.leased || open.uncertain,
                AzureState::New => !keeps_closed,
                AzureState::Acknowledged => false,
            };
            if !open.leased {
                alert.unsaid.extend(comment.clone().filter(|_| alert.unsaid.len() < UNSAID));
                self.finish(open.id, Finished::Superseded);
            }
        }
        if takes_back {
            alert.azure = Ledger { seen: None, wanted: Some(AzureState::New) };
            self.owe(Call::ChangeState { target, state: AzureState::New, comment: None, keeps_closed: !closes });
        }
        self.alert = Some(alert);
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
            let Some(page) = self.page(&id).filter(|page| page.id != *but && page.is_own()) else { continue };
            let team = page.team.clone();
            if self.has_api(&team) {
                self.owe(Call::Annotate { team, page: id, text: text.to_owned() });
            }
        }
    }

    pub(super) fn has_api(&self, team: &TeamName) -> bool {
        self.rules.teams.get(team).is_some_and(|traits| traits.has_api)
    }

    fn writable(&self) -> Option<(Alert, AzureTarget)> {
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
