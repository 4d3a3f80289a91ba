//! Arbitrary days: webhooks doubled, reordered and late, attempts that fail or vanish, people who act in between. At the
//! end everything arrives, and the sides agree.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::reading::{Facts, Found, News, PollRaises, Polled, Reading, Standing, news};

#[derive(Clone, Copy, Debug)]
enum Act {
    Fire,
    Resolve,
    Acknowledge(u32),
    Close(u32),
    TakeBack(u32),
    /// A webhook on its way arrives; which one is chance.
    Arrive(usize),
    /// A webhook on its way is doubled.
    Double(usize),
    /// A person changes the alert in the portal, of which nobody is told.
    Portal(AzureState),
    Poll,
    /// The first open delivery of some lane begins its attempt.
    Begin(usize, Luck),
    /// An attempt under way ends; which one is chance.
    End(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Luck {
    Good,
    /// It arrived, and its answer did not.
    Unheard,
    /// It vanished, and nobody knows.
    Vanished,
    Busy,
}

fn act() -> impl Strategy<Value = Act> {
    let luck = prop_oneof![
        6 => Just(Luck::Good),
        1 => Just(Luck::Unheard),
        1 => Just(Luck::Vanished),
        1 => Just(Luck::Busy),
    ];
    prop_oneof![
        1 => Just(Act::Fire),
        1 => Just(Act::Resolve),
        2 => (1..=2_u32).prop_map(Act::Acknowledge),
        1 => (1..=2_u32).prop_map(Act::Close),
        2 => (1..=2_u32).prop_map(Act::TakeBack),
        6 => any::<usize>().prop_map(Act::Arrive),
        2 => any::<usize>().prop_map(Act::Double),
        6 => (any::<usize>(), luck).prop_map(|(lane, luck)| Act::Begin(lane, luck)),
        6 => any::<usize>().prop_map(Act::End),
    ]
}

fn act_or_portal() -> impl Strategy<Value = Act> {
    let portal = prop_oneof![
        2 => Just(Act::Portal(AzureState::Acknowledged)),
        1 => Just(Act::Portal(AzureState::Closed)),
        1 => Just(Act::Portal(AzureState::New)),
    ];
    prop_oneof![8 => act(), 1 => portal, 2 => Just(Act::Poll)]
}

/// Both services as they really are, and the mail between them and the bridge.
struct Day {
    world: World,
    clock: i64,
    azure: AzureState,
    azure_at: i64,
    azure_by: &'static str,
    resolved: bool,
    signl4: BTreeMap<ExternalId, PageState>,
    /// What a person did last, on whichever page.
    last_human: Option<PageState>,
    mail: Vec<EventKind>,
    /// Attempts under way, with what they will have learned.
    flying: Vec<(DeliveryId, Luck, Learned)>,
    doubled: u32,
    fired: bool,
}

impl Day {
    fn new() -> Self {
        let routes = vec![route("a", "ops", Policy::default()), route("b", "dba", Policy::default())];
        Self {
            world: World::new(rules(routes)),
            clock: 0,
            azure: AzureState::New,
            azure_at: 0,
            azure_by: "System",
            resolved: false,
            signl4: BTreeMap::new(),
            last_human: None,
            mail: Vec::new(),
            flying: Vec::new(),
            doubled: 0,
            fired: false,
        }
    }

    fn act(&mut self, act: Act) {
        self.clock += 1;
        self.world.now = at(self.clock);
        match act {
            Act::Fire => {
                self.fired = true;
                self.post_azure(Condition::Fired);
            }
            Act::Resolve if self.fired => {
                self.resolved = true;
                self.post_azure(Condition::Resolved);
            }
            Act::Resolve => {}
            Act::Acknowledge(number) => self.person(number, Happened::Acknowledged),
            Act::Close(number) => self.person(number, Happened::Closed),
            Act::TakeBack(number) => self.person(number, Happened::Reopened),
            Act::Portal(state) => {
                // Two people who act on both sides at once are searched for in `agreement`.
                self.catch_up();
                if self.azure != state {
                    self.azure = state;
                    (self.azure_at, self.azure_by) = (self.clock, "anna@example.com");
                    self.last_human = Some(match state {
                        AzureState::New => PageState::Open,
                        AzureState::Acknowledged => PageState::Acknowledged,
                        AzureState::Closed => PageState::Closed,
                    });
                }
            }
            Act::Poll => self.poll(),
            Act::Arrive(_) | Act::Double(_) if self.mail.is_empty() => {}
            Act::Arrive(which) => {
                let event = self.mail.remove(which % self.mail.len());
                self.world.hear(event);
            }
            Act::Double(which) => self.mail.push(self.mail[which % self.mail.len()].clone()),
            Act::Begin(lane, luck) => self.begin(lane, luck),
            Act::End(_) if self.flying.is_empty() => {}
            Act::End(which) => self.finish(which),
        }
    }

    fn post_azure(&mut self, condition: Condition) {
        let notification = Box::new(notification(condition, 0));
        self.mail.push(EventKind::Azure { connection: contoso(), notification });
    }

    fn post_signl4(&mut self, page: &ExternalId, happened: Happened, person: bool) {
        let team = self
            .world
            .known
            .pages
            .iter()
            .find(|known| known.id == *page)
            .map_or_else(|| team("ops"), |page| page.team.clone());
        let change = Signl4Change {
            notification_id: None,
            happened,
            raised_at: at(self.clock),
            person: person.then(|| Person { id: "jane".to_owned(), name: "Jane Doe".to_owned() }),
            alert_id: None,
            note: None,
            polled: false,
        };
        self.mail.push(EventKind::Signl4 { team, page: page.clone(), change });
    }

    /// A person does what the page in SIGNL4 allows.
    fn person(&mut self, number: u32, happened: Happened) {
        if self.azure_by == "anna@example.com" {
            self.catch_up();
        }
        let page = World::id(number);
        let Some(state) = self.signl4.get_mut(&page) else { return };
        let next = match (happened, *state) {
            (Happened::Acknowledged, PageState::Open) => PageState::Acknowledged,
            (Happened::Closed, PageState::Open | PageState::Acknowledged) => PageState::Closed,
            (Happened::Reopened, PageState::Acknowledged | PageState::Closed) => PageState::Open,
            _ => return,
        };
        *state = next;
        self.last_human = Some(next);
        self.post_signl4(&page, happened, true);
    }

    fn begin(&mut self, which: usize, luck: Luck) {
        let mut lanes: Vec<String> = self.world.known.open.iter().map(|open| open.call.lane()).collect();
        lanes.sort();
        lanes.dedup();
        // One at a time in a lane.
        let busy = |lane: &String| self.world.known.open.iter().any(|open| open.leased && open.call.lane() == *lane);
        lanes.retain(|lane| !busy(lane));
        if lanes.is_empty() {
            return;
        }
        let lane = &lanes[which % lanes.len()];
        let words = |open: &OpenDelivery| matches!(open.call.kind(), CallKind::Comment | CallKind::Annotate);
        let open = &self.world.known.open;
        let index = (0..open.len())
            .filter(|index| open[*index].call.lane() == *lane)
            .min_by_key(|index| (words(&open[*index]), *index))
            .unwrap();
        let open = &mut self.world.known.open[index];
        open.attempt += 1;
        open.leased = true;
        let (id, call, uncertain) = (open.id, open.call.clone(), open.uncertain);
        let learned = match luck {
            Luck::Good | Luck::Unheard => self.take(&call, uncertain),
            Luck::Vanished | Luck::Busy => Learned::default(),
        };
        self.flying.push((id, luck, learned));
    }

    fn finish(&mut self, which: usize) {
        let (id, luck, learned) = self.flying.remove(which % self.flying.len());
        // An event has confirmed it meanwhile: the fence turns the record away.
        let Some(index) = self.world.known.open.iter().position(|open| open.id == id) else { return };
        let (outcome, next) = match luck {
            Luck::Good => (Outcome::Accepted, Next::Done),
            Luck::Unheard | Luck::Vanished => (Outcome::Unknown, Next::Again { due: self.world.now }),
            Luck::Busy => (Outcome::Busy { after: None }, Next::Again { due: self.world.now }),
        };
        let open = &mut self.world.known.open[index];
        open.leased = false;
        open.uncertain |= outcome == Outcome::Unknown;
        let call = open.call.clone();
        if !matches!(next, Next::Again { .. }) {
            self.world.known.open.remove(index);
        }
        let learned = if outcome == Outcome::Accepted { learned } else { Learned::default() };
        let attempted = Attempted { outcome, learned, note: String::new(), possibly_doubled: false };
        let verdict = record(&self.world.rules, &self.world.known, &call, &attempted, &next, self.world.now);
        self.world.apply(verdict);
    }

    /// The other side takes a call, as the real one would.
    fn take(&mut self, call: &Call, uncertain: bool) -> Learned {
        match call {
            Call::Raise { page, .. } => {
                // An uncertain Raise is settled by a look-up before it is repeated.
                if uncertain && self.signl4.contains_key(page) {
                    return Learned::default();
                }
                if self.signl4.insert(page.clone(), PageState::Open).is_some() {
                    self.doubled += 1;
                }
                self.post_signl4(page, Happened::Created, false);
            }
            Call::Resolve { page, .. } => {
                if self.signl4.get(page).is_some_and(|state| *state != PageState::Closed) {
                    self.signl4.insert(page.clone(), PageState::Closed);
                    self.post_signl4(page, Happened::Closed, false);
                }
            }
            Call::ChangeState { state, keeps_closed, .. } => {
                let changes = self.azure != *state && !(*keeps_closed && self.azure == AzureState::Closed);
                let mut azure_by = None;
                if changes && !(self.azure == AzureState::Closed && *state == AzureState::Acknowledged) {
                    self.azure = *state;
                    (self.azure_at, self.azure_by) = (self.clock, "the bridge");
                    azure_by = Some(self.azure_by.into());
                }
                return Learned { azure: Some((self.azure, Some(at(self.azure_at)))), azure_by, ..Learned::default() };
            }
            Call::Acknowledge { page, .. } => {
                if self.signl4.get(page) == Some(&PageState::Open) {
                    self.signl4.insert(page.clone(), PageState::Acknowledged);
                    self.post_signl4(page, Happened::Acknowledged, false);
                }
            }
            Call::Annotate { .. } | Call::Comment { .. } => {}
        }
        Learned::default()
    }

    /// Open ~ New, Acknowledged ~ Acknowledged, closed by a person ~ Closed. Pages that only Azure's Resolved ended agree
    /// with any state.
    fn agree(&self) -> bool {
        let any = |state| self.signl4.values().any(|page| *page == state);
        if any(PageState::Acknowledged) {
            self.azure == AzureState::Acknowledged
        } else if any(PageState::Open) {
            self.azure == AzureState::New
        } else {
            self.last_human != Some(PageState::Closed) || self.azure == AzureState::Closed
        }
    }

    /// Azure as it is, compared with the ledger as it is.
    fn poll(&mut self) {
        if !self.fired {
            return;
        }
        let condition = if self.resolved { Condition::Resolved } else { Condition::Fired };
        let reading = Reading {
            notification: notification(condition, 0),
            rules: Vec::new(),
            state: self.azure,
            modified_at: Some(at(self.azure_at)),
            modified_by: Some(self.azure_by.to_owned()),
            suppressed: false,
        };
        let paged = !self.world.known.pages.is_empty();
        let standing = self.world.known.alert.clone().map(|alert| Standing { alert, paged });
        let facts = Facts {
            now: self.world.now,
            raises: PollRaises::All,
            has_webhook: false,
            heard: false,
            gaps: &[],
            trouble: None,
            earliest: None,
        };
        let News::Found(found) = news(&reading, standing.as_ref(), &facts) else { return };
        for found in found {
            let condition = if found == Found::Resolved { Condition::Resolved } else { Condition::Fired };
            let polled = Box::new(Polled::new(found, &reading, notification(condition, 0)));
            self.world.hear(EventKind::Polled { connection: contoso(), polled });
        }
    }

    fn catch_up(&mut self) {
        for _ in 0..3 {
            self.end();
            self.poll();
        }
    }

    /// Everything arrives, in the order in which it was sent, until nothing moves any more.
    fn end(&mut self) {
        for _ in 0..500 {
            if !self.flying.is_empty() {
                self.act(Act::End(0));
            } else if !self.mail.is_empty() {
                self.act(Act::Arrive(0));
            } else if !self.world.known.open.is_empty() {
                self.act(Act::Begin(0, Luck::Good));
            } else {
                return;
            }
        }
        panic!("the bridge does not come to rest: {:?}", self.world.owed());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_polls_and_people_in_the_portal_the_sides_come_to_agree(
        acts in proptest::collection::vec(act_or_portal(), 0..60),
    ) {
        let mut day = Day::new();
        for act in acts {
            day.act(act);
        }
        for _ in 0..4 {
            day.end();
            day.act(Act::Poll);
        }
        prop_assert!(day.world.known.open.is_empty() && day.mail.is_empty(), "nothing moves any more");
        prop_assert!(day.agree(), "Azure {:?}, SIGNL4 {:?}", day.azure, day.signl4);
        // Without a page nobody has anything to follow.
        if let Some(alert) = day.world.known.alert.as_ref().filter(|_| !day.world.known.pages.is_empty()) {
            prop_assert_eq!(alert.azure_state(), day.azure, "the ledger tells the truth");
        }
        prop_assert_eq!(day.doubled, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_sides_come_to_agree_and_nobody_is_paged_twice(acts in proptest::collection::vec(act(), 0..60)) {
        let mut day = Day::new();
        for act in acts {
            day.act(act);
        }
        day.end();
        prop_assert_eq!(day.doubled, 0);
        prop_assert!(day.signl4.len() <= 2, "one page a team");
        prop_assert!(day.agree(), "Azure {:?}, SIGNL4 {:?}", day.azure, day.signl4);
        let alert = day.world.known.alert.as_ref();
        if let Some(alert) = alert {
            prop_assert_eq!(alert.azure_state(), day.azure, "the ledger tells the truth");
        }
        for page in &day.world.known.pages {
            if page.phase == Phase::Raising {
                prop_assert!(false, "{:?} is neither raised nor ended", page.id);
            }
            let truth = day.signl4.get(&page.id).copied();
            if let (Some(truth), Phase::Raised) = (truth, page.phase) {
                prop_assert_eq!(page.signl4.settled(), Some(truth), "the ledger tells the truth of {:?}", &page.id);
            }
            if alert.is_some_and(|alert| alert.condition == Condition::Resolved) && !page.is_ended() {
                // Only a person can have brought it back.
                prop_assert!(truth.is_some(), "{:?}", page);
            }
        }
    }
}
