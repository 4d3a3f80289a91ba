//! The sync table, row by row, on a world in memory: rows, a clock, and sides that take what they are sent.

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
        continues: true,
        examples: Vec::new(),
    }
}

fn rules(routes: Vec<Route>) -> Rules {
    let traits = |account: &str, has_api| TeamTraits {
        account: AccountName::parse(account).unwrap(),
        has_api,
        own_user_id: None,
    };
    Rules {
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
        let event = Event { id: EventId::new(Uuid::now_v7()), received_at: self.now, kind };
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

const ENDED_RESOLVED: Phase = Phase::Ended { why: Ending::Resolved };

#[test]
fn fired_raises_one_page_and_a_repeat_none() {
    let mut world = World::one_team();
    assert_eq!(world.fired(0), Reason::Raised);
    assert_eq!(world.owed(), ["raise ops"]);
    assert_eq!(world.fired(0), Reason::Repeat);
    assert_eq!(world.owed(), ["raise ops"], "the repeat owes nothing");
    world.deliver();
    assert_eq!(world.phase(1), Phase::Raised);
}

#[test]
fn a_later_firing_is_a_new_episode_with_a_new_external_id() {
    let mut world = World::one_team().paged();
    assert_eq!(world.resolved(0), Reason::Resolved);
    world.deliver();
    assert_eq!(world.take_sent(), ["resolve ops"]);
    assert_eq!(world.fired(0), Reason::SupersededByResolved, "the same firing, doubled late");
    assert_eq!(world.fired(600), Reason::Raised);
    world.deliver();
    assert_eq!(world.known.pages.len(), 2);
    assert_eq!(world.phase(2), Phase::Raised);
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn resolved_before_fired_is_remembered_and_wakes_nobody() {
    let mut world = World::one_team();
    assert_eq!(world.resolved(0), Reason::ResolvedUnknown);
    assert_eq!(world.fired(0), Reason::SupersededByResolved);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.fired(120), Reason::Raised, "a later firing is news");
}

#[test]
fn resolved_while_held_wakes_nobody() {
    let policy = Policy { grace: Duration::from_mins(2), ..Policy::default() };
    let mut world = World::new(rules(vec![route("patient", "ops", policy)]));
    assert_eq!(world.fired(0), Reason::Held);
    assert_eq!(world.phase(1), Phase::Held { until: at(120) });
    assert_eq!(world.timers, [(World::id(1), at(120))]);
    assert_eq!(world.resolved(0), Reason::ResolvedBeforePaged);
    assert_eq!(world.timers, []);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ResolvedWhileHeld });
    let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::GraceEnded };
    assert_eq!(world.hear(timer), Reason::TimerVoid);
}

#[test]
fn a_held_page_is_raised_when_its_grace_ends() {
    let policy = Policy { grace: Duration::from_mins(2), ..Policy::default() };
    let mut world = World::new(rules(vec![route("patient", "ops", policy.clone())]));
    world.fired(0);
    let timer = EventKind::Timer { page: World::id(1), timer: TimerKind::GraceEnded };
    world.now = at(119);
    assert_eq!(world.hear(timer.clone()), Reason::Held, "too early: kept");
    world.now = at(120);
    assert_eq!(world.hear(timer), Reason::GraceEnded);
    assert_eq!(world.owed(), ["raise ops"]);

    let mut late = World::new(rules(vec![route("patient", "ops", policy.clone())]));
    late.now = at(300);
    assert_eq!(late.fired(0), Reason::Raised, "the grace counts from the firing, not from the hearing");
    let mut ahead = World::new(rules(vec![route("patient", "ops", policy)]));
    ahead.now = at(-3600);
    ahead.fired(0);
    assert_eq!(ahead.phase(1), Phase::Held { until: at(-3600 + 120) }, "a clock ahead of ours holds no longer");
}

#[test]
fn resolved_before_the_raise_was_sent_wakes_nobody() {
    let mut world = World::one_team();
    world.fired(0);
    assert_eq!(world.resolved(0), Reason::ResolvedBeforePaged);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ResolvedBeforeSent });

    let mut busy = World::one_team();
    busy.fired(0);
    busy.begin(CallKind::Raise);
    busy.end(CallKind::Raise, &Outcome::Busy { after: None }, Next::Again { due: at(5) });
    busy.resolved(0);
    assert_eq!(busy.owed(), Vec::<String>::new(), "surely not received: nothing to resolve");
}

#[test]
fn a_raise_of_unknown_fate_is_not_repeated_after_resolved() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Unknown, Next::Again { due: at(15) });
    assert_eq!(world.resolved(0), Reason::Resolved);
    assert_eq!(world.owed(), ["resolve ops"], "the resolve goes out alone");

    let mut under_way = World::one_team();
    under_way.fired(0);
    under_way.begin(CallKind::Raise);
    under_way.resolved(0);
    assert_eq!(under_way.owed(), ["raise ops", "resolve ops"], "behind the raise, in its lane");
    under_way.end(CallKind::Raise, &Outcome::Accepted, Next::Done);
    assert_eq!(under_way.phase(1), ENDED_RESOLVED, "the late success does not bring the page back");
}

#[test]
fn a_persons_acknowledgement_reaches_azure_once_with_the_name() {
    let mut world = World::one_team().paged();
    assert_eq!(world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10), Reason::Acknowledged);
    assert_eq!(world.owed(), ["Acknowledged: Acknowledged by Jane Doe in SIGNL4"]);
    assert_eq!(world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10), Reason::Repeat);
    world.deliver();
    assert_eq!(world.take_sent().len(), 1);
    assert_eq!(world.azure(), AzureState::Acknowledged);
}

#[test]
fn a_persons_close_closes_azure_and_the_other_pages() {
    let mut world =
        World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())])).paged();
    assert_eq!(world.known.pages.len(), 2);
    assert_eq!(world.signl4(1, Happened::Closed, Some("Jane Doe"), 10), Reason::Closed);
    assert_eq!(world.owed(), ["Closed: Closed by Jane Doe in SIGNL4", "resolve dba"]);
    world.deliver();
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ClosedByPerson });
    assert_eq!(world.phase(2), Phase::Ended { why: Ending::ClosedElsewhere });
    assert_eq!(world.signl4(2, Happened::Closed, None, 12), Reason::Confirmed, "our own resolve coming back");
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn unsent_state_changes_give_way_to_newer_ones_and_keep_their_words() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    world.signl4(1, Happened::Closed, Some("John Roe"), 20);
    assert_eq!(world.owed(), ["Closed: Acknowledged by Jane Doe in SIGNL4\nClosed by John Roe in SIGNL4"]);
}

#[test]
fn an_acknowledgement_taken_back_before_it_was_sent_needs_no_state_change() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 20), Reason::Reopened);
    assert_eq!(
        world.owed(),
        ["comment: Acknowledged by Jane Doe in SIGNL4\nAcknowledgement withdrawn by Jane Doe in SIGNL4"]
    );
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn taking_back_an_acknowledgement_makes_azure_new_unless_another_page_is_acknowledged() {
    let mut world =
        World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())])).paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10);
    assert_eq!(
        world.owed(),
        [
            "Acknowledged: Acknowledged by Jane Doe in SIGNL4",
            "annotate dba: Acknowledged by Jane Doe in SIGNL4 (team ops)"
        ],
        "told to the other team, never acknowledged for it"
    );
    world.signl4(2, Happened::Acknowledged, Some("John Roe"), 20);
    world.deliver();
    world.take_sent();
    world.signl4(1, Happened::Reopened, Some("Jane Doe"), 30);
    assert_eq!(world.owed(), ["comment: Acknowledgement withdrawn by Jane Doe in SIGNL4"]);
    world.deliver();
    world.take_sent();
    world.signl4(2, Happened::Reopened, Some("John Roe"), 40);
    assert_eq!(world.owed(), ["New: Acknowledgement withdrawn by John Roe in SIGNL4"]);
}

#[test]
fn an_earlier_action_that_comes_late_undoes_nothing() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 20);
    assert_eq!(world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 10), Reason::Stale);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 15), Reason::Stale);
    assert_eq!(world.azure(), AzureState::Closed);
    assert_eq!(world.signl4(1, Happened::Reopened, Some("Jane Doe"), 30), Reason::Reopened);
    assert_eq!(world.azure(), AzureState::New);
    assert_eq!(world.phase(1), Phase::Raised);
}

#[test]
fn signl4_events_without_a_person_change_no_state_in_azure() {
    let mut world = World::one_team().paged();
    assert_eq!(world.signl4(1, Happened::Closed, None, 10), Reason::WithoutPerson);
    assert_eq!(world.owed(), ["comment: Closed in SIGNL4 without a person"]);
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::ClosedBySystem });
    assert_eq!(world.azure(), AzureState::New);

    let policy = Policy { system_close: SystemClose::Close, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", policy)])).paged();
    world.signl4(1, Happened::Closed, None, 10);
    assert_eq!(world.owed(), ["Closed: Closed in SIGNL4 without a person"]);
}

#[test]
fn our_own_resolve_coming_back_causes_no_call() {
    let mut world = World::one_team().paged();
    world.resolved(0);
    world.begin(CallKind::Resolve);
    assert_eq!(world.signl4(1, Happened::Closed, None, 70), Reason::Confirmed, "before its own answer");
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn signl4s_own_event_settles_a_raise_of_unknown_fate() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Unknown, Next::Again { due: at(15) });
    assert_eq!(world.signl4(1, Happened::Created, None, 1), Reason::Confirmed);
    assert_eq!(world.owed(), Vec::<String>::new(), "no second page");
    assert_eq!(world.phase(1), Phase::Raised);
}

#[test]
fn a_dead_raise_takes_its_lane_with_it() {
    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.resolved(0);
    world.end(CallKind::Raise, &Outcome::Refused { status: 400 }, Next::Dead { why: Why::Refused { status: 400 } });
    assert_eq!(world.owed(), Vec::<String>::new());

    let mut world = World::one_team();
    world.fired(0);
    world.begin(CallKind::Raise);
    world.end(CallKind::Raise, &Outcome::Refused { status: 400 }, Next::Dead { why: Why::Refused { status: 400 } });
    assert_eq!(world.phase(1), Phase::Ended { why: Ending::NotRaised });
}

#[test]
fn nobody_on_duty_pages_the_fallback_team_once() {
    let mut world = World::new(rules(vec![route("db", "dba", Policy::default())])).paged();
    assert_eq!(world.signl4(1, Happened::NobodyOnDuty, None, 5), Reason::NobodyOnDuty);
    assert_eq!(
        world.owed(),
        ["comment: Nobody is on duty in the SIGNL4 team dba; passed to the team ops", "raise ops"]
    );
    assert_eq!(world.signl4(1, Happened::NobodyOnDuty, None, 6), Reason::Repeat);
    world.deliver();
    assert_eq!(world.known.pages.len(), 2);

    let mut own = World::one_team().paged();
    own.signl4(1, Happened::NobodyOnDuty, None, 5);
    assert_eq!(own.owed(), ["comment: Nobody is on duty in the SIGNL4 team ops"], "there is nobody else");
}

#[test]
fn annotations_and_escalations_become_comments() {
    let mut world = World::one_team().paged();
    assert_eq!(world.signl4(1, Happened::Annotated, Some("Jane Doe"), 5), Reason::Annotated);
    assert_eq!(world.signl4(1, Happened::Escalated, None, 6), Reason::Escalated);
    assert_eq!(
        world.owed(),
        ["comment: Jane Doe in SIGNL4: on it", "comment: Escalated in SIGNL4: nobody acknowledged in time"]
    );
    assert_eq!(world.signl4(1, Happened::Annotated, None, 7), Reason::Confirmed, "our own annotation coming back");
}

#[test]
fn comments_obey_the_connection() {
    for (comments, change, alone) in [
        (Comments::All, "Acknowledged: Acknowledged by Jane Doe in SIGNL4", 1),
        (Comments::WithChanges, "Acknowledged: Acknowledged by Jane Doe in SIGNL4", 0),
        (Comments::Off, "Acknowledged: -", 0),
    ] {
        let mut rules = rules(vec![route("all", "ops", Policy::default())]);
        rules.connections.get_mut(&contoso()).unwrap().comments = comments;
        let mut world = World::new(rules).paged();
        world.signl4(1, Happened::Annotated, Some("Jane Doe"), 5);
        assert_eq!(world.owed().len(), alone, "{comments:?}");
        world.deliver();
        world.take_sent();
        world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 6);
        assert_eq!(world.owed(), [change], "{comments:?}");
    }
}

#[test]
fn policies_for_resolved_and_for_close() {
    let keep = Policy { on_resolved: OnResolved::Ignore, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", keep)])).paged();
    world.resolved(0);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.phase(1), Phase::Raised);

    let annotate = Policy { on_resolved: OnResolved::Annotate, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "dba", annotate)])).paged();
    world.resolved(0);
    assert_eq!(world.owed(), [format!("annotate dba: Resolved in Azure at {}", at(60))]);

    let close_too = Policy { close_in_azure: CloseInAzure::OnResolveToo, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", close_too)])).paged();
    world.resolved(0);
    assert_eq!(
        world.owed(),
        ["Closed: Resolved; closed by the SIGNL4 bridge as its route says", "resolve ops"]
            .map(String::from)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );

    let never = Policy { close_in_azure: CloseInAzure::Never, ..Policy::default() };
    let mut world = World::new(rules(vec![route("all", "ops", never)])).paged();
    world.signl4(1, Happened::Closed, Some("Jane Doe"), 5);
    assert_eq!(world.owed(), ["comment: Closed by Jane Doe in SIGNL4"]);
    assert_eq!(world.azure(), AzureState::New);
}

#[test]
fn unrouted_alerts_go_to_the_fallback_team_and_recorded_ones_to_nobody() {
    let mut world = World::new(rules(Vec::new()));
    assert_eq!(world.fired(0), Reason::Unrouted);
    assert_eq!(world.owed(), ["raise ops"]);
    let quiet = Policy { records_only: true, ..Policy::default() };
    let mut world = World::new(rules(vec![route("quiet", "ops", quiet)]));
    assert_eq!(world.fired(0), Reason::RecordedByRoute);
    assert_eq!(world.owed(), Vec::<String>::new());
    assert_eq!(world.resolved(0), Reason::ResolvedWithoutPage);
}

#[test]
fn two_routes_to_one_team_make_one_page() {
    let mut world = World::new(rules(vec![route("a", "ops", Policy::default()), route("b", "ops", Policy::default())]));
    assert_eq!(world.fired(0), Reason::Raised);
    assert_eq!(world.owed(), ["raise ops"]);
}

#[test]
fn pages_are_told_apart_by_account_and_unknown_ones_are_left_alone() {
    let mut world = World::one_team().paged();
    let page = World::id(1);
    assert_eq!(
        world.signl4_at(team("other"), page.clone(), Happened::Acknowledged, Some("Eve"), 5),
        Reason::OtherAccount
    );
    assert_eq!(
        world.signl4_at(team("dba"), page, Happened::Acknowledged, Some("Jane Doe"), 5),
        Reason::Acknowledged,
        "the account's webhook may come through another team of it"
    );
    let mut empty = World::one_team();
    assert_eq!(empty.signl4(1, Happened::Closed, Some("Jane Doe"), 5), Reason::UnknownPage);
}

#[test]
fn test_notifications_page_each_time_and_never_write_back() {
    let test = |digest: &str| {
        let mut notification = notification(Condition::Fired, 0);
        notification.id = AlertId::parse(&format!(
            "/subscriptions/{}/providers/Microsoft.AlertsManagement/alerts/12345678-1234-1234-1234-1234567890ab",
            SubscriptionId::TEST
        ));
        notification.digest = digest.to_owned();
        EventKind::Azure { connection: contoso(), notification: Box::new(notification) }
    };
    let mut world = World::one_team();
    assert_eq!(world.hear(test("one")), Reason::Raised);
    assert_eq!(world.hear(test("one")), Reason::Repeat);
    assert_eq!(world.hear(test("two")), Reason::Raised, "another body is another test");
    world.now = at(121);
    assert_eq!(world.hear(test("two")), Reason::Raised, "after two minutes it is a new test");
    world.deliver();
    assert_eq!(world.take_sent(), ["raise ops"; 3]);
    let first = world.known.pages[0].id.clone();
    world.signl4_at(team("ops"), first, Happened::Acknowledged, Some("Jane Doe"), 200);
    assert_eq!(world.owed(), Vec::<String>::new());
}

#[test]
fn foreign_and_unreadable_bodies_make_one_notice() {
    let mut world = World::one_team();
    let foreign = EventKind::Foreign { connection: contoso(), subscription: Some(SubscriptionId::new("x")) };
    assert_eq!(world.hear(foreign.clone()), Reason::ForeignSubscription);
    assert_eq!(world.hear(foreign), Reason::ForeignSubscription);
    assert_eq!(world.owed(), ["raise ops"], "one notice a day");
    let mut world = World::one_team();
    let unreadable = |digest: &str| EventKind::Unreadable {
        connection: contoso(),
        digest: digest.to_owned(),
        problem: "not JSON".to_owned(),
    };
    assert_eq!(world.hear(unreadable("a")), Reason::Unreadable);
    assert_eq!(world.hear(unreadable("a")), Reason::Repeat);
    assert_eq!(world.owed(), ["raise ops"]);
}

#[test]
fn a_comment_that_azure_refuses_joins_the_next_change() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Annotated, Some("Jane Doe"), 5);
    world.begin(CallKind::Comment);
    world.end(CallKind::Comment, &Outcome::Refused { status: 400 }, Next::Dead { why: Why::Refused { status: 400 } });
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 6);
    assert_eq!(world.owed(), ["Acknowledged: Jane Doe in SIGNL4: on it\nAcknowledged by Jane Doe in SIGNL4"]);
}

#[test]
fn an_alert_found_closed_in_the_portal_ends_its_pages() {
    let mut world = World::one_team().paged();
    world.signl4(1, Happened::Acknowledged, Some("Jane Doe"), 5);
    world.begin(CallKind::ChangeState);
    let open = world.known.open.remove(0);
    let attempted = Attempted {
        outcome: Outcome::Accepted,
        learned: Learned { azure: Some((AzureState::Closed, None)), ..Learned::default() },
        note: String::new(),
        possibly_doubled: false,
    };
    let verdict = record(&world.rules, &world.known, &open.call, &attempted, &Next::Done, world.now);
    world.apply(verdict);
    assert_eq!(world.owed(), ["resolve ops"]);
    assert_eq!(world.azure(), AzureState::Closed);
    assert_eq!(world.known.pages[0].signl4.settled(), Some(PageState::Closed));
}
