//! One alert between the services, with a bridge that is nothing but its pure core and its rows, as a state on which moves
//! are made. Small enough to be searched whole: no store, and a clock that stands still but for what happens in a service.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use signl4_azure_bridge::domain::after::Next;
use signl4_azure_bridge::domain::decide::Verdict;
use signl4_azure_bridge::domain::delivery::{Attempted, CallKind, Delivery, Outcome};
use signl4_azure_bridge::domain::event::{Condition, Event, EventKind};
use signl4_azure_bridge::domain::id::{DeliveryId, EventId, ExternalId};
use signl4_azure_bridge::domain::page::{Known, OpenDelivery};
use signl4_azure_bridge::domain::reading::Standing;
use signl4_azure_bridge::domain::route::Rules;
use uuid::Uuid;

use super::super::agreement::{self, Rest, Shown};
use super::super::breaches::{Breach, judged, recorded};
use super::super::carry::attempt;
use super::super::evening::REST;
use super::super::mail::{Mail, WEBHOOK_WITHIN};
use super::super::rules::rules;
use super::super::services::{Act, Services};
use super::super::steps::Luck;
use super::super::violation::{Checked, Violation, holds};

/// Many more than any exchange needs.
const ROUNDS: usize = 60;
/// A poll comes after every webhook that comes at all.
const LATER: Duration = WEBHOOK_WITHIN.saturating_mul(2);

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
    /// An attempt of that open delivery begins.
    Begin(usize),
    /// The call of that attempt goes out.
    Send(usize, Luck),
    /// What came of that attempt is written down.
    Record(usize),
    /// The process dies and comes back: attempts under way are cut off, sent or not.
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

/// An attempt under way.
#[derive(Clone, Debug)]
struct Flight {
    delivery: Delivery,
    sent: Option<Attempted>,
}

#[derive(Clone)]
pub(super) struct State {
    breach: Option<Breach>,
    rules: Arc<Rules>,
    alert: usize,
    services: Services,
    known: Known,
    flights: Vec<Flight>,
    budget: Budget,
    ids: u128,
    violation: Option<Violation>,
}

impl State {
    /// The alert has fired, and its webhook is on its way.
    pub(super) fn fired(alert: usize, budget: Budget, breach: Option<Breach>) -> Self {
        let mut services = Services::default();
        services.fire(alert);
        Self {
            breach,
            rules: Arc::new(rules()),
            alert,
            services,
            known: Known::default(),
            flights: Vec::new(),
            budget,
            ids: 1,
            violation: None,
        }
    }

    /// Whoever is on duty has the page, and nothing is on its way.
    pub(super) fn paged(alert: usize, budget: Budget, breach: Option<Breach>) -> Self {
        Self::fired(alert, budget, breach).rested().expect("nothing but a page")
    }

    /// What tells one state from another. Of times only their order counts.
    pub(super) fn fingerprint(&self) -> u64 {
        let Services { azure, signl4, mail, .. } = &self.services;
        let mut mail: Vec<String> = mail.iter().map(unnamed).collect();
        mail.sort_unstable();
        let mut open: Vec<String> = self
            .known
            .open
            .iter()
            .map(|open| format!("{:?} {:?} {} {}", open.call, open.attempt.min(1), open.leased, open.uncertain))
            .collect();
        // The order counts within a lane.
        let lane = |at: usize| self.known.open.get(at).map(|open| open.call.lane());
        let mut order: Vec<usize> = (0..open.len()).collect();
        order.sort_by_key(|at| lane(*at));
        open = order.into_iter().filter_map(|at| open.get(at).cloned()).collect();
        let mut flights: Vec<String> = self
            .flights
            .iter()
            .map(|flight| format!("{:?} {} {:?}", flight.delivery.call, flight.delivery.uncertain, flight.sent))
            .collect();
        flights.sort_unstable();
        let rows = serde_json::to_string(&(&self.known.alert, &self.known.pages)).unwrap();
        let text = format!("{azure:?} {signl4:?} {mail:?} {rows} {open:?} {flights:?} {:?}", self.budget);
        ranked(&text)
    }

    pub(super) fn moves(&self) -> Vec<Move> {
        let Budget { acts, faults, polls, resolves } = self.budget;
        let mut moves = Vec::new();
        if acts > 0 {
            moves.extend(self.services.acts().into_iter().map(Move::Act));
        }
        if resolves > 0 && self.services.azure.values().any(|alert| alert.condition == Condition::Fired) {
            moves.push(Move::Resolve);
        }
        for at in 0..self.services.mail.len() {
            moves.push(Move::Deliver(at));
            if faults > 0 {
                moves.extend([Move::Double(at), Move::Lose(at)]);
            }
        }
        if polls > 0 {
            moves.extend([Move::PollAzure, Move::PollSignl4]);
        }
        moves.extend((0..self.known.open.len()).filter(|at| self.may_begin(*at)).map(Move::Begin));
        for (at, flight) in self.flights.iter().enumerate() {
            if flight.sent.is_some() {
                moves.push(Move::Record(at));
                continue;
            }
            moves.push(Move::Send(at, Luck::Good));
            if faults > 0 {
                moves.extend([Luck::Unheard, Luck::Vanished, Luck::Unsent].map(|luck| Move::Send(at, luck)));
            }
        }
        if faults > 0 && !self.flights.is_empty() {
            moves.push(Move::Crash);
        }
        moves
    }

    /// Whether no earlier call of its lane is open: comments go after changes.
    fn may_begin(&self, at: usize) -> bool {
        let rank = |at: usize| {
            let call = &self.known.open[at].call;
            (matches!(call.kind(), CallKind::Annotate | CallKind::Comment), at)
        };
        let lane = self.known.open[at].call.lane();
        !self.known.open[at].leased
            && (0..self.known.open.len())
                .filter(|other| *other != at && self.known.open[*other].call.lane() == lane)
                .all(|other| !self.known.open[other].leased && rank(at) < rank(other))
    }

    pub(super) fn make(&mut self, what: Move) {
        match what {
            Move::Act(act) => {
                self.budget.acts -= 1;
                let at_rest = self.is_at_rest();
                self.services.act(act);
                let alerts: Vec<_> = self.services.azure.keys().cloned().collect();
                self.services.remember(act, at_rest, &alerts);
            }
            Move::Resolve => {
                self.budget.resolves -= 1;
                self.services.resolve(self.alert);
            }
            Move::Deliver(at) => {
                let mail = self.services.mail.remove(at);
                self.hear(&mail);
            }
            Move::Double(at) => {
                self.budget.faults -= 1;
                self.services.double(at);
            }
            Move::Lose(at) => {
                self.budget.faults -= 1;
                self.services.mail.remove(at);
            }
            Move::PollAzure => {
                self.budget.polls -= 1;
                let read = self.services.read_azure();
                self.services.mail.extend(read);
            }
            Move::PollSignl4 => {
                self.budget.polls -= 1;
                let told = self.read_signl4();
                self.services.mail.extend(told);
            }
            Move::Begin(at) => {
                let open = &mut self.known.open[at];
                open.attempt += 1;
                open.leased = true;
                let OpenDelivery { id, call, attempt, uncertain, .. } = open.clone();
                let created_at = self.services.now();
                let delivery = Delivery { id, call, attempt, uncertain, created_at };
                self.flights.push(Flight { delivery, sent: None });
            }
            Move::Send(at, luck) => {
                self.budget.faults -= u8::from(luck != Luck::Good);
                let now = self.services.now();
                match attempt(&mut self.services, &self.rules, &self.flights[at].delivery, luck, now) {
                    Ok(attempted) => self.flights[at].sent = Some(attempted),
                    Err(violation) => self.violation = Some(violation),
                }
            }
            Move::Record(at) => self.record(at),
            Move::Crash => {
                self.budget.faults -= 1;
                self.flights.clear();
                for open in self.known.open.iter_mut().filter(|open| open.leased) {
                    open.leased = false;
                    open.uncertain = true;
                }
            }
        }
    }

    fn read_signl4(&self) -> Vec<Mail> {
        self.known.pages.iter().flat_map(|page| self.services.read_signl4(page)).collect()
    }

    fn events(&self, mail: &Mail) -> Vec<EventKind> {
        let standing =
            self.known.alert.clone().map(|alert| Standing::new(alert, !self.known.pages.is_empty(), &self.known.open));
        mail.heard(standing.as_ref(), self.services.now().plus(LATER)).unwrap_or_default()
    }

    fn hear(&mut self, mail: &Mail) {
        for kind in self.events(mail) {
            let now = self.services.now();
            let event = Event::new(EventId::new(Uuid::nil()), now, kind);
            let verdict = judged(&self.rules, &self.known, &event, now, self.breach);
            self.apply(verdict);
        }
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

    /// Nothing of an attempt that an event has confirmed meanwhile.
    fn record(&mut self, at: usize) {
        let Flight { delivery, sent } = self.flights.remove(at);
        let Some(attempted) = sent else { return };
        let Some(place) = self.known.open.iter().position(|open| open.id == delivery.id) else { return };
        let now = self.services.now();
        let next = if attempted.outcome == Outcome::Accepted { Next::Done } else { Next::Again { due: now } };
        let open = &mut self.known.open[place];
        open.leased = false;
        open.uncertain |= attempted.outcome == Outcome::Unknown;
        if next == Next::Done {
            self.known.open.remove(place);
        }
        let verdict = recorded(&self.rules, &self.known, &delivery.call, &attempted, &next, now, self.breach);
        self.apply(verdict);
    }

    /// Lets everything arrive, in order, and polls both sides until nothing is news. `None`: it never comes to rest.
    fn rested(&self) -> Option<Self> {
        let mut state = self.clone();
        for _ in 0..ROUNDS {
            while !state.services.mail.is_empty() {
                state.make(Move::Deliver(0));
            }
            while !state.flights.is_empty() {
                if state.flights[0].sent.is_none() {
                    state.make(Move::Send(0, Luck::Good));
                }
                state.make(Move::Record(0));
            }
            if let Some(at) = (0..state.known.open.len()).find(|at| state.may_begin(*at)) {
                state.make(Move::Begin(at));
                continue;
            }
            if state.services.mail.is_empty() {
                let before = (state.known.alert.clone(), state.known.pages.clone());
                for mail in state.services.read_azure().into_iter().chain(state.read_signl4()) {
                    state.hear(&mail);
                }
                let is_as_before = before == (state.known.alert.clone(), state.known.pages.clone());
                if is_as_before && state.known.open.is_empty() {
                    return Some(state);
                }
            }
        }
        None
    }

    fn is_at_rest(&self) -> bool {
        self.services.mail.is_empty()
            && self.flights.is_empty()
            && self.known.open.is_empty()
            && self.services.read_azure().iter().all(|mail| self.events(mail).is_empty())
            && self.read_signl4().is_empty()
    }

    /// What is wrong now, or once everything that is on its way has arrived.
    pub(super) fn comes_to_agree(&self) -> Checked {
        let rested = self.rested();
        holds(REST, rested.is_some(), || "there is no end of it".to_owned())?;
        let Some(rested) = rested else { return Ok(()) };
        if let Some(violation) = rested.violation {
            return Err(violation);
        }
        let azure = rested.services.azure.values().next().expect("it has fired");
        let by = |id: &ExternalId| vec![id.clone()];
        let pages = rested.known.pages.iter().map(|page| Shown { page, by: by(&page.id) }).collect();
        let row = rested.known.alert.as_ref();
        agreement::holds_at_rest(&Rest { services: &rested.services, azure, row, shares: false, pages })
    }
}

/// A webhook without the name that SIGNL4 has given it.
fn unnamed(mail: &Mail) -> String {
    if let Mail::Signl4 { team, page, entry, polled, .. } = mail {
        return format!("{team} {page} {entry:?} {polled}");
    }
    format!("{mail:?}")
}

/// A hash in which times count by their order alone: thirteen digits, in milliseconds.
fn ranked(text: &str) -> u64 {
    let is_time = |digits: &&str| digits.len() == 13;
    let times: BTreeSet<&str> = text.split(|c: char| !c.is_ascii_digit()).filter(is_time).collect();
    let times: Vec<&str> = times.into_iter().collect();
    let mut hasher = DefaultHasher::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = piece.trim_end_matches(|c: char| !c.is_ascii_digit());
        match times.binary_search(&digits) {
            Ok(rank) => (rank, piece.len()).hash(&mut hasher),
            Err(_) => piece.hash(&mut hasher),
        }
    }
    hasher.finish()
}
