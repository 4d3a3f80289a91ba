//! The sync table, row by row, on a world in memory: rows, a clock, and sides that take what they are sent.

mod alerts;
mod firings;
mod people;
mod policies;
mod portal;
mod releases;
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::{Finished, Reason, Verdict, decide, record};
use crate::domain::after::{Next, Why};
use crate::domain::delivery::{Attempted, AzureState, Call, CallKind, Learned, Outcome};
use crate::domain::event::{
    Condition, Detail, Event, EventKind, Happened, Notification, Person, Severity, Signl4Change, TimerKind,
};
use crate::domain::id::{
    AccountName, AlertId, ConnectionName, DeliveryId, EventId, ExternalId, SubscriptionId, TeamName,
};
use crate::domain::page::{Ending, Known, OpenDelivery, PageState, Phase};
use crate::domain::route::{
    BySeverity, CloseInAzure, Comments, ConnectionTraits, Criteria, OnResolved, Policy, Route, Rules, SystemClose,
    TeamTraits,
};
use crate::domain::timestamp::Timestamp;

const SUB: &str = "7f3b0c52-2f6e-4a57-9a1b-0c8e5a1d9e11";
const GUID: &str = "c0ffee00-1111-4222-8333-444455556666";

fn team(name: &str) -> TeamName {
    TeamName::parse(name).unwrap()
}

fn contoso() -> ConnectionName {
    ConnectionName::parse("contoso").unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + seconds * 1000)
}

fn route(name: &str, to: &str, policy: Policy) -> Route {
    Route {
        name: name.to_owned(),
        file: "test.toml".to_owned(),
        line: 1,
        criteria: Criteria::default(),
        team: team(to),
        service: BySeverity::default(),
        scenario: BySeverity::default(),
        policy,
        templates: None,
        continues: true,
        examples: Vec::new(),
    }
}

fn rules(routes: Vec<Route>) -> Rules {
    let traits = |account: &str, has_api| TeamTraits {
        storm: None,
        account: AccountName::parse(account).unwrap(),
        has_api,
        own_user_id: None,
    };
    Rules {
        windows: Vec::new(),
        routes,
        fallback_team: team("ops"),
        teams: BTreeMap::from([
            (team("ops"), traits("acme", false)),
            (team("dba"), traits("acme", true)),
            (team("other"), traits("elsewhere", false)),
        ]),
        connections: BTreeMap::from([(
            contoso(),
            ConnectionTraits {
                subscriptions: BTreeSet::from([SubscriptionId::new(SUB)]),
                comments: Comments::All,
                can_write: true,
                portal: "https://portal.azure.com".to_owned(),
            },
        )]),
    }
}

fn notification(condition: Condition, fired: i64) -> Notification {
    Notification {
        id: AlertId::parse(&format!("/subscriptions/{SUB}/providers/Microsoft.AlertsManagement/alerts/{GUID}")),
        condition,
        fired_at: Some(at(fired)),
        resolved_at: (condition == Condition::Resolved).then(|| at(fired + 60)),
        rule: Some("cpu-high".to_owned()),
        rule_id: None,
        severity: Some(Severity::Sev1),
        signal: Some("Metric".to_owned()),
        monitoring_service: Some("Platform".to_owned()),
        targets: Vec::new(),
        items: Vec::new(),
        description: None,
        custom: BTreeMap::new(),
        detail: Detail::Other,
        legacy: None,
        investigation_link: None,
        digest: format!("{condition:?}{fired}"),
    }
}

/// Rows in memory and a clock.
struct World {
    rules: Rules,
    known: Known,
    now: Timestamp,
    timers: Vec<(ExternalId, Timestamp)>,
    /// What the sides were sent, in order.
    sent: Vec<Call>,
}

impl World {
    fn new(rules: Rules) -> Self {
        Self { rules, known: Known::default(), now: at(0), timers: Vec::new(), sent: Vec::new() }
    }

    fn one_team() -> Self {
        Self::new(rules(vec![route("all", "ops", Policy::default())]))
    }

    fn hear(&mut self, kind: EventKind) -> Reason {
        let event = Event::new(EventId::new(Uuid::now_v7()), self.now, kind);
        let verdict = decide(&self.rules, &self.known, &event, self.now);
        self.apply(verdict)
    }

    fn apply(&mut self, verdict: Verdict) -> Reason {
        if let Some(alert) = verdict.alert {
            self.known.alert = Some(alert);
        }
        for page in verdict.pages {
            match self.known.pages.iter_mut().find(|old| old.id == page.id) {
                Some(old) => *old = page,
                None => self.known.pages.push(page),
            }
        }
        for (id, how) in verdict.finished {
            let open = self.known.open.iter().find(|open| open.id == id).expect("finishes what is open");
            assert!(how == Finished::Confirmed || !open.leased, "superseded under way: {open:?}");
            self.known.open.retain(|open| open.id != id);
        }
        for (id, call) in verdict.amended {
            let open = self.known.open.iter_mut().find(|open| open.id == id).expect("amends what is open");
            assert!(!open.leased, "amended under way: {open:?}");
            open.call = call;
        }
        for owed in verdict.owed {
            let id = DeliveryId::new(Uuid::now_v7());
            self.known.open.push(OpenDelivery { id, call: owed.call, attempt: 0, leased: false, uncertain: false });
        }
        self.timers.retain(|(page, _)| !verdict.cancelled.contains(page));
        self.timers.extend(verdict.timers.into_iter().map(|timer| (timer.page, timer.due)));
        verdict.reason
    }

    fn fired(&mut self, fired: i64) -> Reason {
        let notification = Box::new(notification(Condition::Fired, fired));
        self.hear(EventKind::Azure { connection: contoso(), notification })
    }

    fn resolved(&mut self, fired: i64) -> Reason {
        let notification = Box::new(notification(Condition::Resolved, fired));
        self.hear(EventKind::Azure { connection: contoso(), notification })
    }

    /// SIGNL4 says something of the `number`th page; `by` is the person.
    fn signl4(&mut self, number: u32, happened: Happened, by: Option<&str>, raised: i64) -> Reason {
        let page = World::id(number);
        let of = self
            .known
            .pages
            .iter()
            .find(|known| known.id == page)
            .map_or_else(|| team("ops"), |page| page.team.clone());
        self.signl4_at(of, page, happened, by, raised)
    }

    fn signl4_at(
        &mut self,
        team: TeamName,
        page: ExternalId,
        happened: Happened,
        by: Option<&str>,
        raised: i64,
    ) -> Reason {
        let change = Signl4Change {
            notification_id: None,
            happened,
            raised_at: at(raised),
            person: by.map(|name| Person { id: format!("id of {name}"), name: name.to_owned() }),
            alert_id: Some("signl4 alert".to_owned()),
            note: (happened == Happened::Annotated).then(|| "on it".to_owned()),
            polled: false,
        };
        self.hear(EventKind::Signl4 { team, page, change })
    }

    fn id(number: u32) -> ExternalId {
        ExternalId::of(notification(Condition::Fired, 0).id.key(), number)
    }

    /// Begins an attempt of the first open delivery of that kind, and says nothing of its end.
    fn begin(&mut self, kind: CallKind) {
        let open = self.known.open.iter_mut().find(|open| open.call.kind() == kind).expect("something to send");
        open.attempt += 1;
        open.leased = true;
    }

    fn end(&mut self, kind: CallKind, outcome: &Outcome, next: Next) {
        let index = self.known.open.iter().position(|open| open.call.kind() == kind && open.leased).unwrap();
        let learned = match &self.known.open[index].call {
            Call::ChangeState { state, .. } if *outcome == Outcome::Accepted => {
                Learned { azure: Some((*state, None)), ..Learned::default() }
            }
            Call::Raise { .. }
            | Call::Acknowledge { .. }
            | Call::Resolve { .. }
            | Call::Annotate { .. }
            | Call::ChangeState { .. }
            | Call::Comment { .. } => Learned::default(),
        };
        self.end_learning(kind, outcome, next, learned);
    }

    fn end_learning(&mut self, kind: CallKind, outcome: &Outcome, next: Next, learned: Learned) {
        let index = self.known.open.iter().position(|open| open.call.kind() == kind && open.leased).unwrap();
        let attempted = Attempted { outcome: outcome.clone(), learned, note: String::new(), possibly_doubled: false };
        let open = &mut self.known.open[index];
        open.leased = false;
        open.uncertain |= *outcome == Outcome::Unknown;
        let call = open.call.clone();
        if !matches!(next, Next::Again { .. }) {
            self.known.open.remove(index);
        }
        if *outcome == Outcome::Accepted {
            self.sent.push(call.clone());
        }
        let verdict = record(&self.rules, &self.known, &call, &attempted, &next, self.now);
        self.apply(verdict);
    }

    /// Everything owed arrives, in order.
    fn deliver(&mut self) {
        while let Some(open) = self.known.open.first() {
            let kind = open.call.kind();
            self.begin(kind);
            self.end(kind, &Outcome::Accepted, Next::Done);
        }
    }

    fn take_sent(&mut self) -> Vec<String> {
        std::mem::take(&mut self.sent).iter().map(shown).collect()
    }

    fn owed(&self) -> Vec<String> {
        self.known.open.iter().map(|open| shown(&open.call)).collect()
    }

    fn phase(&self, number: u32) -> Phase {
        let id = World::id(number);
        self.known.pages.iter().find(|page| page.id == id).unwrap().phase
    }

    fn azure(&self) -> AzureState {
        self.known.alert.as_ref().unwrap().azure_state()
    }

    /// Fired, paged, delivered.
    fn paged(mut self) -> Self {
        self.fired(0);
        self.deliver();
        self.take_sent();
        self
    }
}

/// `raise ops`, `Acknowledged: Acknowledged by …`: what a call says, without its ids.
fn shown(call: &Call) -> String {
    match call {
        Call::Raise { team, .. } | Call::Acknowledge { team, .. } | Call::Resolve { team, .. } => {
            format!("{} {team}", call.kind().as_str())
        }
        Call::Annotate { team, text, .. } => format!("annotate {team}: {text}"),
        Call::ChangeState { state, comment, .. } => {
            format!("{}: {}", state.as_str(), comment.as_deref().unwrap_or("-"))
        }
        Call::Comment { text, .. } => format!("comment: {text}"),
    }
}
