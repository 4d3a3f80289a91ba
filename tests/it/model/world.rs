//! The bridge between both services: its real store on a file, the real duties, `after`, and a worker moved by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::domain::after::{RetryPolicy, after};
use signl4_azure_bridge::domain::backoff::Roll;
use signl4_azure_bridge::domain::delivery::{Attempted, AzureState, Call, Delivery, Learned, Outcome};
use signl4_azure_bridge::domain::event::{Condition, EventKind, Happened, Notification};
use signl4_azure_bridge::domain::id::{AlertKey, EventId, ExternalId, Side};
use signl4_azure_bridge::domain::page::Page;
use signl4_azure_bridge::domain::reading::{Found, Standing};
use signl4_azure_bridge::domain::route::Rules;
use signl4_azure_bridge::domain::timestamp::Timestamp;
use signl4_azure_bridge::store::{Change, Claimed, Duties, Finish, Incoming, Place, Receipt, Recorded, Slots, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::breaches::{Breach, judged, recorded};
use super::carry::{attempt, ended};
use super::invariants;
use super::mail::Mail;
use super::rows::{LEASED, Rows};
use super::rules::{START, contoso, rules};
use super::services::{Act, Services, state_of};
use super::steps::Luck;
use super::violation::{Checked, Violation, holds};

/// As in `worker`: an attempt that takes longer is cut off, well before its lease ends.
const LONGEST_ATTEMPT: i64 = 75_000;
const RINGS: usize = 8;

pub(super) struct World {
    runtime: Runtime,
    folder: TempDir,
    files: u32,
    process: Option<Process>,
    clock: Arc<AtomicI64>,
    pub(super) rules: Arc<Rules>,
    breach: Option<Breach>,
    pub(super) rows: Rows,
    pub(super) services: Services,
    pub(super) flights: Vec<Flight>,
    pub(super) past: Past,
}

/// What lives no longer than the process does.
struct Process {
    path: PathBuf,
    store: Store,
    writer: JoinHandle<()>,
    reader: rusqlite::Connection,
}

/// An attempt under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) delivery: Delivery,
    begun_at: Timestamp,
    begun: i64,
    /// If it is cut off: whether it has arrived.
    lucky: bool,
    sent: Option<Attempted>,
}

/// What the checks need to remember.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Answered with a receipt.
    pub(super) stored: BTreeSet<EventId>,
    /// What was stored of Azure's alerts: the alert, whether it fired, when it fired; and when that was.
    pub(super) heard: Vec<(usize, bool, Timestamp, Timestamp)>,
    /// Pages of which SIGNL4 has told the bridge.
    pub(super) told_of: BTreeSet<ExternalId>,
    /// Pages whose Raise an operator has sent again.
    pub(super) replayed: BTreeSet<ExternalId>,
    /// Those of them that went out by force.
    pub(super) forced: BTreeSet<ExternalId>,
    /// Alerts that an operator has sent an old change to: perhaps that of an earlier firing.
    pub(super) replayed_to: BTreeSet<AlertKey>,
    /// How long the day had lasted when the clock was set back last.
    pub(super) set_back: Option<i64>,
    /// Pages that may be doubled, and count as such.
    pub(super) possibly_doubled: BTreeSet<ExternalId>,
}

impl Flight {
    pub(super) fn may_be_on_its_way(&self, elapsed: i64) -> bool {
        elapsed - self.begun < LONGEST_ATTEMPT
    }
}

impl World {
    pub(super) fn new(breach: Option<Breach>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // What is tested is the logic and not the disk: in memory, where the system has a folder there.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let mut world = Self {
            runtime,
            folder,
            files: 0,
            process: None,
            clock: Arc::new(AtomicI64::new(START)),
            rules: Arc::new(rules()),
            breach,
            rows: Rows::default(),
            services: Services::default(),
            flights: Vec::new(),
            past: Past::default(),
        };
        let path = world.folder.path().join("bridge.db");
        world.open(path);
        world
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    /// Says how many attempts were under way when the last process ended.
    fn open(&mut self, path: PathBuf) -> usize {
        let clock = Clock::Manual(Arc::clone(&self.clock));
        let (for_judge, for_record, breach) = (Arc::clone(&self.rules), Arc::clone(&self.rules), self.breach);
        let duties = Duties {
            judge: Box::new(move |known, event, now| judged(&for_judge, known, event, now, breach)),
            record: Box::new(move |known, finish, now| {
                let call = &finish.delivery.call;
                recorded(&for_record, known, call, &finish.attempted, &finish.next, now, breach)
            }),
        };
        let opened = Store::open(&path, clock, Slots::stepped(64, 64), duties).unwrap();
        let reader = Rows::connect(&path);
        self.process = Some(Process { path, store: opened.store, writer: opened.writer, reader });
        self.look();
        opened.interrupted
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    fn look(&mut self) {
        self.rows = Rows::read(&self.process().reader);
    }

    /// The process ends and comes back. It dies: only what was on the disk at that moment is there again.
    pub(super) fn restart(&mut self, well: bool) -> Checked {
        let Process { path, store, writer, reader } = self.process.take().unwrap();
        let next = if well {
            store.stop();
            path
        } else {
            self.files += 1;
            let copy = self.folder.path().join(format!("bridge-{}.db", self.files));
            for ending in ["", "-wal"] {
                let part = |path: &PathBuf| PathBuf::from(format!("{}{ending}", path.display()));
                std::fs::copy(part(&path), part(&copy)).unwrap();
            }
            copy
        };
        drop((store, reader));
        writer.join().unwrap();
        self.flights.clear();
        let leased = self.rows.deliveries.iter().filter(|row| row.state == LEASED).count();
        let interrupted = self.open(next);
        holds(
            "stored_before_answered",
            self.past.stored.iter().all(|event| self.rows.events.contains_key(event)),
            || "an event that was answered is gone".to_owned(),
        )?;
        holds("one_page_when_it_can_be_known", interrupted == leased, || {
            format!("{leased} attempts were under way, and {interrupted} are known to have been")
        })
    }

    /// Mail arrives. Says when it should be looked for again, if it may be that a webhook comes first.
    pub(super) fn hear(&mut self, mail: &Mail) -> Result<Option<Timestamp>, Violation> {
        match mail.heard(self.standing(mail).as_ref(), self.now()) {
            Ok(kinds) => kinds.iter().try_for_each(|kind| self.store(mail, kind)).map(|()| None),
            Err(until) => Ok(Some(until)),
        }
    }

    /// What the store says of the alert that a poll has read.
    fn standing(&self, mail: &Mail) -> Option<Standing> {
        let key = invariants::key(mail.alert()?);
        let standings = self.process().store.standings(vec![key.clone()]);
        self.runtime.block_on(standings).unwrap().remove(&key)
    }

    fn store(&mut self, mail: &Mail, kind: &EventKind) -> Checked {
        let before = std::mem::take(&mut self.rows);
        let from = if let EventKind::Signl4 { team, .. } = kind { Some(team.to_string()) } else { None };
        let side = if from.is_some() { Side::Signl4 } else { Side::Azure };
        let source = from.unwrap_or_else(|| contoso().to_string());
        let incoming = Incoming { kind: kind.clone(), side, source, body: Bytes::new(), headers: BTreeMap::new() };
        let store = &self.process().store;
        let receipt: Receipt = self.runtime.block_on(store.intake(incoming)).unwrap();
        self.look();
        self.past.stored.insert(receipt.event);
        invariants::heard(self, &before, mail, kind, receipt)?;
        if let EventKind::Signl4 { page, .. } = kind {
            self.past.told_of.insert(page.clone());
        }
        let now = Timestamp::from_millis(START + self.services.elapsed);
        let told = mail.alert().zip(told(kind));
        self.past.heard.extend(told.and_then(|(alert, (told, fired))| Some((alert, fired, told.fired_at?, now))));
        Ok(())
    }

    /// Both sides are polled. Says when one of them should be asked again.
    pub(super) fn poll(&mut self) -> Result<Option<Timestamp>, Violation> {
        let told = self.rows.pages.iter().flat_map(|page| self.services.read_signl4(page)).collect::<Vec<_>>();
        let mut again = None;
        for mail in self.services.read_azure().into_iter().chain(told) {
            again = again.max(self.hear(&mail)?);
        }
        Ok(again)
    }

    /// All that was said has been heard and followed.
    pub(super) fn is_at_rest(&self) -> bool {
        let now = self.now();
        let no_news = |mail: &Mail| mail.heard(self.standing(mail).as_ref(), now).is_ok_and(|kinds| kinds.is_empty());
        self.services.mail.is_empty()
            && self.flights.is_empty()
            && self.rows.open().next().is_none()
            && self.rows.timers.iter().all(|timer| timer.due > now)
            && self.services.read_azure().iter().all(no_news)
            && self.rows.pages.iter().all(|page| self.services.read_signl4(page).is_empty())
    }

    /// A person acts. What is done to a page is meant for every alert that it shows. False: it cannot be done.
    pub(super) fn act(&mut self, act: Act) -> bool {
        let at_rest = self.is_at_rest();
        if !self.services.act(act) {
            return false;
        }
        let concerned = match act {
            Act::Phone { does, .. } if state_of(does).is_none() => Vec::new(),
            Act::Phone { page, does } => self.alerts_on(page, does),
            Act::Portal { alert, .. } => vec![invariants::key(alert)],
        };
        self.services.remember(act, at_rest, &concerned);
        for key in concerned {
            let Some(alert) = self.services.azure.get_mut(&key) else { continue };
            let mut heard = self.past.heard.iter().filter(|(of, ..)| *of == alert.number).peekable();
            alert.raced |= heard.peek().is_some() && heard.all(|(_, _, at, _)| *at != alert.fired_at);
            // What the bridge did to an earlier firing has arrived too late, and is being taken back.
            alert.raced |= self.rows.open().any(|row| is_taken_back(&row.call, &key));
        }
        true
    }

    /// The alerts for which an act on that page is meant.
    fn alerts_on(&self, page: usize, does: Happened) -> Vec<AlertKey> {
        let id = &self.services.raised[page];
        let raised_at = self.services.signl4[id].raised_at;
        // One that is opened again lives again.
        let digest = self.rows.page(id).map(|page| &page.alert);
        let shows = |page: &Page| page.id == *id || page.digest.is_some() && page.digest.as_ref() == digest;
        let lives = |key: &AlertKey| self.rows.pages_of(key).any(|page| shows(page) && !page.is_ended());
        let is_over = |key: &AlertKey| does != Happened::Reopened && !lives(self.rows.home(key));
        // Not for a firing that came after the page, or has one of its own.
        let newer =
            |key: &AlertKey| self.rows.pages_of(self.rows.home(key)).any(|page| !shows(page) && !page.is_ended());
        let is_later = |key: &AlertKey| self.services.azure.get(key).is_some_and(|alert| alert.fired_at > raised_at);
        let of_another = |key: &AlertKey| is_over(key) && (is_later(key) || newer(key));
        self.rows.alerts_on(id).into_iter().filter(|key| !of_another(key)).collect()
    }

    /// Rings what is due and claims, as the worker does. Says when something is due next.
    pub(super) fn claim(&mut self, limit: usize, lucky: bool) -> Result<Claimed, Violation> {
        for _ in 0..RINGS {
            let before = std::mem::take(&mut self.rows);
            let rung = self.runtime.block_on(self.process().store.ring_timers()).unwrap();
            self.look();
            invariants::rung(self, &before)?;
            if rung == 0 {
                break;
            }
        }
        let before = self.rows.clone();
        let claimed = self.runtime.block_on(self.process().store.claim(limit)).unwrap();
        self.look();
        for delivery in &claimed.deliveries {
            invariants::claimed(self, &before, delivery)?;
            let (begun_at, begun) = (self.now(), self.services.elapsed);
            self.flights.push(Flight { delivery: delivery.clone(), begun_at, begun, lucky, sent: None });
        }
        invariants::nothing_is_left_lying(self, &claimed, limit)?;
        if self.breach == Some(Breach::Leases) {
            let other = rusqlite::Connection::open(&self.process().path).unwrap();
            other.execute("UPDATE delivery SET state = 0, due = 0 WHERE state = 1", []).unwrap();
        }
        Ok(claimed)
    }

    /// The call of an attempt goes out, unless it has.
    pub(super) fn send(&mut self, which: usize, luck: Luck) -> Checked {
        let now = self.now();
        let flight = &mut self.flights[which];
        if flight.sent.is_none() {
            let attempted = attempt(&mut self.services, &self.rules, &flight.delivery, luck, now)?;
            if attempted.possibly_doubled {
                self.past.possibly_doubled.extend(flight.delivery.call.page().cloned());
            }
            flight.sent = Some(attempted);
        }
        Ok(())
    }

    /// What an attempt came to is written down; one that was never sent is a fault of ours.
    pub(super) fn record(&mut self, which: usize, roll: Roll) -> Checked {
        let flight = self.flights.remove(which);
        let attempted = flight.sent.unwrap_or_else(|| ended(Outcome::OurFault, Learned::default()));
        let next = after(&flight.delivery, &attempted.outcome, &RetryPolicy::default(), self.now(), roll);
        let before = std::mem::take(&mut self.rows);
        let (id, attempt) = (flight.delivery.id, flight.delivery.attempt);
        let store = &self.process().store;
        store.slots().give_back(&Place::of(&flight.delivery), self.now());
        let finish = Finish { delivery: flight.delivery, attempted, next, begun_at: flight.begun_at };
        let recorded = self.runtime.block_on(store.record(finish)).unwrap();
        self.look();
        let ours = before.delivery(id).is_some_and(|row| row.state == LEASED && row.attempt == attempt);
        holds("in_order_one_at_a_time_per_lane", (recorded == Recorded::Ours) == ours, || {
            format!("attempt {attempt} of {id} was recorded as {recorded:?}")
        })?;
        invariants::rung(self, &before)
    }

    /// The record of an attempt never happens.
    pub(super) fn forget(&mut self, which: usize) {
        let flight = self.flights.remove(which);
        self.process().store.slots().give_back(&Place::of(&flight.delivery), self.now());
    }

    /// Time goes by. Attempts that take too long are cut off.
    pub(super) fn wait(&mut self, span: Duration) -> Checked {
        let millis = i64::try_from(span.as_millis()).unwrap();
        for which in 0..self.flights.len() {
            if self.services.elapsed + millis - self.flights[which].begun >= LONGEST_ATTEMPT {
                let luck = if self.flights[which].lucky { Luck::Unheard } else { Luck::Vanished };
                self.send(which, luck)?;
            }
        }
        self.services.elapsed += millis;
        self.clock.fetch_add(millis, Ordering::SeqCst);
        Ok(())
    }

    pub(super) fn set_back(&mut self, span: Duration) {
        self.clock.fetch_sub(i64::try_from(span.as_millis()).unwrap(), Ordering::SeqCst);
        self.past.set_back = Some(self.services.elapsed);
    }

    pub(super) fn change(&mut self, change: Change) -> Checked {
        self.runtime.block_on(self.process().store.change(change)).unwrap();
        let before = std::mem::take(&mut self.rows);
        self.look();
        invariants::rung(self, &before)
    }

    /// What the store finds wrong with itself.
    pub(super) fn audit(&self) -> Vec<String> {
        let found = self.runtime.block_on(self.process().store.audit(self.now())).unwrap();
        found.into_iter().map(|violation| format!("{}: {}", violation.id, violation.what)).collect()
    }
}

fn is_taken_back(call: &Call, key: &AlertKey) -> bool {
    let Call::ChangeState { target, state, comment, keeps_closed } = call else { return false };
    target.key == *key && *state == AzureState::New && comment.is_none() && !keeps_closed
}

/// What an event tells of an alert's condition, and whether that is that it fires.
fn told(kind: &EventKind) -> Option<(&Notification, bool)> {
    match kind {
        EventKind::Azure { notification, .. } => Some((notification, notification.condition == Condition::Fired)),
        EventKind::Polled { polled, .. } => match polled.found {
            Found::Fired(raises) => raises.pages().then_some((&polled.notification, true)),
            Found::Resolved => Some((&polled.notification, false)),
            Found::State => None,
        },
        EventKind::Signl4 { .. }
        | EventKind::Foreign { .. }
        | EventKind::Unreadable { .. }
        | EventKind::Alarm { .. }
        | EventKind::Ignored { .. }
        | EventKind::Timer { .. } => None,
    }
}
