//! One alert between two services, its bridge and the people on both sides, as a state that moves can be made on.
//!
//! Small enough to be searched whole: no bodies, no network, a clock that stands still but for what changes in a service.

use super::super::*;
use crate::domain::reading::{Facts, News, PollRaises, Polled, Reading, Standing, news};

/// What the bridge is; a test may put a broken one in its place.
pub(super) type Judge = fn(&Rules, &Known, &Event, Timestamp) -> Verdict;

/// A message on its way to the bridge: it may arrive in any order, twice, or never.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Message {
    Fired,
    Resolved,
    /// SIGNL4's outbound event of the page of that place.
    Signl4 {
        page: usize,
        status: PageState,
        created: bool,
        by_person: bool,
        at: i64,
    },
    /// What a poll of Azure read a while ago.
    Reading {
        condition: Condition2,
        state: AzureState,
        modified: i64,
        by: &'static str,
    },
}

/// `Condition`, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition2 {
    Fired,
    Resolved,
}

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// On the phone, to the page of that place; `Open` takes an acknowledgement back, or re-opens.
    Phone(usize, PageState),
    Portal(AzureState),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Act(Act),
    /// The condition is over.
    Resolve,
    Deliver(usize),
    Double(usize),
    Lose(usize),
    PollAzure,
    PollSignl4,
    /// The first call of the lane of that open delivery goes out.
    Begin(usize),
    /// It arrives, and the answer with it.
    Arrive(usize),
    /// It arrives, and nobody hears of it.
    Unanswered(usize),
    /// It does not arrive.
    Fail(usize),
    Crash,
}

/// How much of each may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) acts: u8,
    pub(super) faults: u8,
    pub(super) polls: u8,
    pub(super) resolves: u8,
}

/// A page as SIGNL4 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signl {
    pub(super) id: ExternalId,
    pub(super) status: PageState,
    changed: i64,
    by_person: bool,
}

#[derive(Clone)]
pub(super) struct State {
    judge: Judge,
    rules: Arc<Rules>,
    pub(super) condition: Condition2,
    pub(super) azure: AzureState,
    modified: i64,
    pub(super) modified_by: &'static str,
    pub(super) signls: Vec<Signl>,
    pub(super) known: Known,
    pub(super) flying: Vec<Message>,
    pub(super) budget: Budget,
    /// What a person did last, and whether all was at rest then.
    pub(super) last: Option<(Act, bool)>,
    /// A person has opened a page again.
    pub(super) reopened: bool,
    clock: i64,
    ids: u128,
}

const US: &str = "bridge";
pub(super) const JANE: &str = "jane";

impl State {
    /// The alert has fired, and its webhook is on its way.
    pub(super) fn new(rules: Rules, judge: Judge, budget: Budget) -> Self {
        Self {
            judge,
            rules: Arc::new(rules),
            condition: Condition2::Fired,
            azure: AzureState::New,
            modified: 0,
            modified_by: "System",
            signls: Vec::new(),
            known: Known::default(),
            flying: vec![Message::Fired],
            budget,
            last: None,
            reopened: false,
            clock: 0,
            ids: 1,
        }
    }

    /// All that tells one state from another.
    pub(super) fn key(&self) -> String {
        let open: Vec<_> = self
            .known
            .open
            .iter()
            .map(|open| (serde_json::to_string(&open.call).unwrap(), open.attempt.min(1), open.leased, open.uncertain))
            .collect();
        let mut flying = self.flying.clone();
        flying.sort();
        let rows = serde_json::to_string(&(&self.known.alert, &self.known.pages)).unwrap();
        format!(
            "{:?} {:?} {} {} {:?} {rows} {open:?} {flying:?} {:?} {:?} {}",
            self.condition,
            self.azure,
            self.modified,
            self.modified_by,
            self.signls,
            self.budget,
            self.last,
            self.reopened
        )
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let Budget { acts, faults, polls, resolves } = self.budget;
        if acts > 0 {
            moves.extend(self.acts().into_iter().map(Move::Act));
        }
        if resolves > 0 && self.condition == Condition2::Fired {
            moves.push(Move::Resolve);
        }
        for at in 0..self.flying.len() {
            moves.push(Move::Deliver(at));
            if faults > 0 {
                moves.extend([Move::Double(at), Move::Lose(at)]);
            }
        }
        if polls > 0 {
            moves.extend([Move::PollAzure, Move::PollSignl4]);
        }
        for (at, open) in self.known.open.iter().enumerate() {
            if open.leased {
                moves.push(Move::Arrive(at));
                if faults > 0 {
                    moves.extend([Move::Unanswered(at), Move::Fail(at)]);
                }
            } else if self.is_first(at) {
                moves.push(Move::Begin(at));
            }
        }
        if faults > 0 && self.known.open.iter().any(|open| open.leased) {
            moves.push(Move::Crash);
        }
        moves
    }

    /// What a person could do now.
    fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        for (at, signl) in self.signls.iter().enumerate() {
            let possible: &[PageState] = match signl.status {
                PageState::Open => &[PageState::Acknowledged, PageState::Closed],
                PageState::Acknowledged => &[PageState::Open, PageState::Closed],
                PageState::Closed => &[PageState::Open],
            };
            acts.extend(possible.iter().map(|state| Act::Phone(at, *state)));
        }
        let states = [AzureState::New, AzureState::Acknowledged, AzureState::Closed];
        acts.extend(states.into_iter().filter(|state| *state != self.azure).map(Act::Portal));
        acts
    }

    /// Whether no earlier call of its lane is open: comments go after changes.
    fn is_first(&self, at: usize) -> bool {
        let of = |index: usize| {
            let call = &self.known.open[index].call;
            (call.lane(), matches!(call.kind(), CallKind::Annotate | CallKind::Comment), index)
        };
        let (lane, words, _) = of(at);
        (0..self.known.open.len())
            .filter(|other| *other != at && of(*other).0 == lane)
            .all(|other| !self.known.open[other].leased && (words, at) < (of(other).1, other))
    }

    pub(super) fn make(&mut self, what: Move) {
        match what {
            Move::Act(act) => {
                let at_rest = self.is_at_rest();
                self.budget.acts -= 1;
                self.act(act);
                self.last = Some((act, at_rest));
            }
            Move::Resolve => {
                self.budget.resolves -= 1;
                self.condition = Condition2::Resolved;
                self.touch("System");
                self.flying.push(Message::Resolved);
            }
            Move::Deliver(at) => {
                let message = self.flying.remove(at);
                self.hear(&message);
            }
            Move::Double(at) => {
                self.budget.faults -= 1;
                let message = self.flying[at].clone();
                self.hear(&message);
            }
            Move::Lose(at) => {
                self.budget.faults -= 1;
                self.flying.remove(at);
            }
            Move::PollAzure => {
                self.budget.polls -= 1;
                let reading = self.reading();
                self.flying.push(reading);
            }
            Move::PollSignl4 => {
                self.budget.polls -= 1;
                self.flying.extend(self.shown());
            }
            Move::Begin(at) => {
                let open = &mut self.known.open[at];
                open.attempt += 1;
                open.leased = true;
            }
            Move::Arrive(at) => {
                let learned = self.arrive(at);
                self.end(at, Outcome::Accepted, learned);
            }
            Move::Unanswered(at) => {
                self.budget.faults -= 1;
                self.arrive(at);
                self.end(at, Outcome::Unknown, Learned::default());
            }
            Move::Fail(at) => {
                self.budget.faults -= 1;
                self.end(at, Outcome::Unsent, Learned::default());
            }
            Move::Crash => {
                self.budget.faults -= 1;
                for open in self.known.open.iter_mut().filter(|open| open.leased) {
                    open.leased = false;
                    open.uncertain = true;
                }
            }
        }
    }

    fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    fn touch(&mut self, by: &'static str) {
        self.modified = self.tick();
        self.modified_by = by;
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Phone(page, status) => {
                self.reopened |= self.signls[page].status == PageState::Closed;
                self.set_signl(page, status, true);
            }
            Act::Portal(state) => {
                self.azure = state;
                self.touch(JANE);
            }
        }
    }

    fn set_signl(&mut self, page: usize, status: PageState, by_person: bool) {
        let at = self.tick();
        let signl = &mut self.signls[page];
        (signl.status, signl.changed, signl.by_person) = (status, at, by_person);
        self.flying.push(Message::Signl4 { page, status, created: false, by_person, at });
    }

    fn reading(&self) -> Message {
        Message::Reading { condition: self.condition, state: self.azure, modified: self.modified, by: self.modified_by }
    }

    /// What a poll of SIGNL4 says of each page whose state the ledger does not show.
    fn shown(&self) -> Vec<Message> {
        let differs = |signl: &Signl| {
            self.known.pages.iter().find(|page| page.id == signl.id).is_some_and(|page| {
                page.signl4.seen != Some(signl.status) && page.changed_at.is_none_or(|at| at < self::at(signl.changed))
            })
        };
        self.signls
            .iter()
            .enumerate()
            .filter(|(_, signl)| differs(signl))
            .map(|(page, signl)| Message::Signl4 {
                page,
                status: signl.status,
                created: false,
                by_person: signl.by_person,
                at: signl.changed,
            })
            .collect()
    }

    fn hear(&mut self, message: &Message) {
        let kind = match message {
            Message::Fired | Message::Resolved => {
                let condition = if *message == Message::Fired { Condition::Fired } else { Condition::Resolved };
                EventKind::Azure { connection: contoso(), notification: Box::new(notification(condition, 0)) }
            }
            Message::Signl4 { page, status, created, by_person, at } => {
                let signl = &self.signls[*page];
                let Some(known) = self.known.pages.iter().find(|page| page.id == signl.id) else { return };
                let happened = match status {
                    _ if *created => Happened::Created,
                    PageState::Open => Happened::Reopened,
                    PageState::Acknowledged => Happened::Acknowledged,
                    PageState::Closed => Happened::Closed,
                };
                let person = by_person.then(|| Person { id: "jane".to_owned(), name: "Jane".to_owned() });
                let change = Signl4Change {
                    notification_id: None,
                    happened,
                    raised_at: self::at(*at),
                    person,
                    alert_id: None,
                    note: None,
                    polled: false,
                };
                EventKind::Signl4 { team: known.team.clone(), page: signl.id.clone(), change }
            }
            Message::Reading { condition, state, modified, by } => return self.read(*condition, *state, *modified, by),
        };
        self.judge(kind);
    }

    /// A poll compares with the ledger first, and tells only what is news.
    fn read(&mut self, condition: Condition2, state: AzureState, modified: i64, by: &str) {
        let condition = if condition == Condition2::Fired { Condition::Fired } else { Condition::Resolved };
        let reading = Reading {
            notification: notification(condition, 0),
            rules: Vec::new(),
            state,
            modified_at: Some(at(modified)),
            modified_by: Some(by.to_owned()),
            suppressed: false,
        };
        let standing = self.known.alert.clone().map(|alert| Standing { alert, paged: !self.known.pages.is_empty() });
        let facts = Facts {
            now: at(self.clock + 1_000),
            raises: PollRaises::Auto,
            has_webhook: true,
            heard: true,
            gaps: &[],
            trouble: None,
            earliest: None,
        };
        let News::Found(found) = news(&reading, standing.as_ref(), &facts) else { return };
        for found in found {
            let polled = Polled::new(found, &reading, reading.notification.clone());
            self.judge(EventKind::Polled { connection: contoso(), polled: Box::new(polled) });
        }
    }

    fn judge(&mut self, kind: EventKind) {
        let event = Event::new(EventId::new(Uuid::nil()), at(self.clock), kind);
        let verdict = (self.judge)(&self.rules, &self.known, &event, at(self.clock));
        self.apply(verdict);
    }

    fn apply(&mut self, verdict: Verdict) {
        if let Some(alert) = verdict.alert {
            self.known.alert = Some(alert);
        }
        for page in verdict.pages {
            match self.known.pages.iter_mut().find(|old| old.id == page.id) {
                Some(old) => *old = page,
                None => self.known.pages.push(page),
            }
        }
        self.known.open.retain(|open| !verdict.finished.iter().any(|(id, _)| *id == open.id));
        for owed in verdict.owed {
            let id = DeliveryId::new(Uuid::from_u128(self.ids));
            self.ids += 1;
            self.known.open.push(OpenDelivery { id, call: owed.call, attempt: 0, leased: false, uncertain: false });
        }
    }

    /// The services take a call as they do.
    fn arrive(&mut self, at: usize) -> Learned {
        let call = self.known.open[at].call.clone();
        let place = call.page().and_then(|id| self.signls.iter().position(|signl| signl.id == *id));
        match (&call, place) {
            // Looked up first, where an earlier attempt may have arrived.
            (Call::Raise { page, .. }, None) => {
                let at = self.tick();
                let created = Signl { id: page.clone(), status: PageState::Open, changed: at, by_person: false };
                self.signls.push(created);
                let page = self.signls.len() - 1;
                self.flying.push(Message::Signl4 {
                    page,
                    status: PageState::Open,
                    created: true,
                    by_person: false,
                    at,
                });
            }
            (Call::Acknowledge { .. }, Some(page)) if self.signls[page].status == PageState::Open => {
                self.set_signl(page, PageState::Acknowledged, false);
            }
            (Call::Resolve { .. }, Some(page)) if self.signls[page].status != PageState::Closed => {
                self.set_signl(page, PageState::Closed, false);
            }
            (Call::ChangeState { state, keeps_closed, .. }, _) => {
                let keeps_closed = *keeps_closed || *state == AzureState::Acknowledged;
                let satisfied = self.azure == *state || keeps_closed && self.azure == AzureState::Closed;
                if !satisfied {
                    self.azure = *state;
                    self.touch(US);
                }
                return self.answer(!satisfied);
            }
            (Call::Comment { .. }, _) => return self.answer(false),
            (Call::Raise { .. } | Call::Acknowledge { .. } | Call::Resolve { .. } | Call::Annotate { .. }, _) => {}
        }
        Learned::default()
    }

    fn answer(&self, ours: bool) -> Learned {
        Learned {
            azure: Some((self.azure, Some(at(self.modified)))),
            azure_by: ours.then(|| US.into()),
            ..Learned::default()
        }
    }

    fn end(&mut self, at: usize, outcome: Outcome, learned: Learned) {
        let next = if outcome == Outcome::Accepted { Next::Done } else { Next::Again { due: self::at(self.clock) } };
        let open = &mut self.known.open[at];
        open.leased = false;
        open.uncertain |= outcome == Outcome::Unknown;
        let call = open.call.clone();
        if next == Next::Done {
            self.known.open.remove(at);
        }
        let attempted = Attempted { outcome, learned, note: String::new(), possibly_doubled: false };
        let verdict = record(&self.rules, &self.known, &call, &attempted, &next, self::at(self.clock));
        self.apply(verdict);
    }

    /// Lets everything arrive, in order, and polls both sides until nothing is news. `None`: it never comes to rest.
    pub(super) fn rested(&self) -> Option<Self> {
        let mut state = self.clone();
        for _ in 0..ROUNDS {
            let before = state.key();
            while !state.flying.is_empty() {
                let message = state.flying.remove(0);
                state.hear(&message);
            }
            for _ in 0..ROUNDS {
                let Some(at) =
                    (0..state.known.open.len()).find(|at| state.known.open[*at].leased || state.is_first(*at))
                else {
                    break;
                };
                if !state.known.open[at].leased {
                    state.make(Move::Begin(at));
                }
                state.make(Move::Arrive(at));
            }
            if state.flying.is_empty() {
                let reading = state.reading();
                state.hear(&reading);
                for message in state.shown() {
                    state.hear(&message);
                }
            }
            if state.key() == before {
                return Some(state);
            }
        }
        None
    }

    fn is_at_rest(&self) -> bool {
        self.rested().is_some_and(|rested| rested.key() == self.key())
    }
}

/// Many more than any exchange needs.
const ROUNDS: usize = 60;
