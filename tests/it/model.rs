//! The bridge as a state machine: arbitrary days against a model of both services, with the real store, `decide`,
//! `record` and `after` between them. The invariants of the design are checked by name after every step, and at the end,
//! when everything has arrived.
//!
//! `BRIDGE_MODEL_CASES=5000` runs that many days, `BRIDGE_MODEL_SEED=7` others than usual. The same seed gives the same
//! days; a day that fails is shrunk and printed.

mod agreement;
mod breaches;
mod carry;
mod days;
mod invariants;
mod rows;
mod rules;
mod services;
mod steps;
mod violation;
mod world;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{FailurePersistence, RngSeed, TestCaseError, TestError, TestRunner};
use signl4_azure_bridge::domain::backoff::Roll;
use signl4_azure_bridge::domain::delivery::Destination;
use signl4_azure_bridge::domain::event::Happened;
use signl4_azure_bridge::domain::id::ExternalId;
use signl4_azure_bridge::domain::page::{Page, PageState};
use signl4_azure_bridge::store::Change;

use self::breaches::Breach;
use self::rows::{DEAD, DUE};
use self::rules::{KINDS, team};
use self::services::{AzureAlert, Mail};
use self::steps::{Post, Step, Wish, day};
use self::violation::{Checked, Violation};
use self::world::World;

const CASES: u32 = 128;
const STEPS: usize = 60;
const SHRINKS: u32 = 1_000;

/// Kind and reason of events: without them the days would say little.
const TO_BE_MET: [&str; 24] = [
    "fired raised",
    "fired held",
    "fired joined_digest",
    "fired recorded_by_route",
    "fired repeat",
    "fired already_paged",
    "fired superseded_by_resolved",
    "fired resolved_without_page",
    "resolved resolved",
    "resolved resolved_before_paged",
    "resolved resolved_unknown",
    "resolved stale",
    "acknowledged acknowledged",
    "acknowledged stale",
    "closed closed",
    "closed confirmed",
    "closed without_person",
    "reopened reopened",
    "nobody_on_duty nobody_on_duty",
    "timer grace_ended",
    "timer digest_raised",
    "timer digest_dissolved",
    "timer resolved",
    "timer time_to_live_ended",
];

fn config(cases: u32, shrinks: u32) -> ProptestConfig {
    let seed = std::env::var("BRIDGE_MODEL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    ProptestConfig {
        cases,
        max_shrink_iters: shrinks,
        failure_persistence: None::<Box<dyn FailurePersistence>>,
        rng_seed: RngSeed::Fixed(seed),
        ..ProptestConfig::default()
    }
}

#[test]
fn whatever_happens_the_invariants_hold() {
    let cases = std::env::var("BRIDGE_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let met = RefCell::new(BTreeSet::new());
    let ran = TestRunner::new(config(cases, SHRINKS)).run(&day(STEPS), |steps| {
        let events = live(&steps, None).map_err(|violation| TestCaseError::fail(violation.to_string()))?;
        met.borrow_mut().extend(events);
        Ok(())
    });
    if let Err(TestError::Fail(why, steps)) = &ran {
        let steps: Vec<String> = steps.iter().map(|step| format!("    {step:?},")).collect();
        panic!("{why}\n{}", steps.join("\n"));
    }
    ran.unwrap();
    let missing: Vec<&str> = TO_BE_MET.into_iter().filter(|event| !met.borrow().contains(*event)).collect();
    assert!(missing.is_empty(), "the days are not what they were: none of {missing:?}");
}

/// A whole day; the kinds and reasons of all events in it.
fn live(steps: &[Step], breach: Option<Breach>) -> Result<BTreeSet<String>, Violation> {
    let mut world = World::new(breach);
    for step in steps {
        world.take(*step)?;
    }
    agreement::it_comes_to_rest(&mut world)?;
    agreement::nothing_silently_dropped(&world)?;
    agreement::the_sides_come_to_agree(&world)?;
    Ok(world.rows.events.into_values().collect())
}

impl World {
    fn take(&mut self, step: Step) -> Checked {
        match step {
            Step::Fire { alert, post } => {
                let mail = self.services.fire(alert);
                self.post(mail, post)
            }
            Step::Resolve { alert, post } => match self.services.resolve(alert) {
                Some(mail) => self.post(mail, post),
                None => Ok(()),
            },
            Step::Storm { first, count } => {
                for alert in first..first + count {
                    let mail = self.services.fire(alert);
                    self.post(mail, Post::AtOnce)?;
                }
                Ok(())
            }
            Step::Calm => {
                for mail in (0..KINDS).filter_map(|alert| self.services.resolve(alert)).collect::<Vec<_>>() {
                    self.post(mail, Post::AtOnce)?;
                }
                Ok(())
            }
            Step::Test { same } => {
                let mail = self.services.test(same);
                self.post(mail, Post::AtOnce)
            }
            Step::Arrive { .. } | Step::Double { .. } if self.services.mail.is_empty() => Ok(()),
            Step::Arrive { which } => {
                let mail = self.services.mail.remove(which % self.services.mail.len());
                self.hear(&mail)
            }
            Step::Double { which } => {
                let mail = self.services.mail[which % self.services.mail.len()].clone();
                let doubled = self.services.doubled(&mail);
                self.services.mail.push(doubled);
                Ok(())
            }
            Step::Person { .. } | Step::System { .. } if self.services.raised.is_empty() => Ok(()),
            Step::Person { which, does, post } => {
                let page = self.services.raised[which % self.services.raised.len()].clone();
                let Some(mail) = self.services.person(&page, does) else { return Ok(()) };
                self.remember(&page, does);
                self.post(mail, post)
            }
            Step::System { which, does, post } => {
                let page = self.services.raised[which % self.services.raised.len()].clone();
                match self.services.system(&page, does) {
                    Some(mail) => self.post(mail, post),
                    None => Ok(()),
                }
            }
            Step::Claim { limit, lucky } => self.claim(limit, lucky).map(|_| ()),
            Step::Send { .. } | Step::Record { .. } | Step::Forget { .. } if self.flights.is_empty() => Ok(()),
            Step::Send { which, luck } => self.send(which % self.flights.len(), luck),
            Step::Record { which, roll } => {
                let which = which % self.flights.len();
                self.record(which, Roll::new(f64::from(roll) / 255.0))
            }
            Step::Forget { which } => {
                self.forget(which % self.flights.len());
                Ok(())
            }
            Step::Work { luck } => {
                self.claim(128, true)?;
                while !self.flights.is_empty() {
                    self.send(0, luck)?;
                    self.record(0, Roll::new(0.5))?;
                }
                Ok(())
            }
            Step::Wait { seconds } => self.wait(Duration::from_secs(seconds.into())),
            Step::SetBack { seconds } => {
                self.set_back(Duration::from_secs(seconds.into()));
                Ok(())
            }
            Step::Restart { well } => self.restart(well),
            Step::Operate { which, wish } => self.operate(which, wish),
        }
    }

    fn post(&mut self, mail: Mail, post: Post) -> Checked {
        match post {
            Post::AtOnce => self.hear(&mail),
            Post::Later => {
                self.services.mail.push(mail);
                Ok(())
            }
        }
    }

    /// What a person does to a page is meant for every alert that it shows.
    fn remember(&mut self, page: &ExternalId, does: Happened) {
        let state = match does {
            Happened::Acknowledged => PageState::Acknowledged,
            Happened::Closed => PageState::Closed,
            Happened::Reopened => PageState::Open,
            Happened::Created | Happened::NobodyOnDuty | Happened::Escalated | Happened::Annotated => return,
        };
        let at = self.now();
        let raised_at = self.services.signl4[page].raised_at;
        // One that is opened again lives again.
        let is_over = does != Happened::Reopened && self.rows.page(page).is_none_or(Page::is_ended);
        for key in self.rows.alerts_on(page) {
            // Not for a firing that came after the page, and has one of its own.
            let later = |alert: &&mut AzureAlert| is_over && alert.fired_at > raised_at;
            if let Some(alert) = self.services.azure.get_mut(&key).filter(|alert| !later(alert)) {
                alert.last_human = Some((state, at));
                let mut heard = self.past.heard.iter().filter(|(of, ..)| *of == alert.number).map(|(_, _, at, _)| *at);
                alert.raced |= heard.all(|at| at != alert.fired_at);
            }
        }
    }

    fn operate(&mut self, which: usize, wish: Wish) -> Checked {
        let to = Destination::team(&team(if which.is_multiple_of(2) { "ops" } else { "dba" }));
        let change = match wish {
            Wish::Replay { force } => {
                let dead: Vec<_> = self.rows.deliveries.iter().filter(|row| row.state == DEAD).collect();
                let Some(row) = dead.get(which % dead.len().max(1)) else { return Ok(()) };
                let id = row.id;
                self.past.replayed.extend(row.call.page().cloned());
                self.past.replayed_to.extend(row.call.alert().cloned());
                Change::Replay { id, force }
            }
            Wish::Drop => {
                let states = [DEAD, DUE];
                let some: Vec<_> = self.rows.deliveries.iter().filter(|row| states.contains(&row.state)).collect();
                let Some(row) = some.get(which % some.len().max(1)) else { return Ok(()) };
                Change::Drop(row.id)
            }
            Wish::Pause { seconds } => {
                let until = self.now().plus(Duration::from_secs(seconds.into()));
                Change::Pause { destination: to, until }
            }
            Wish::Resume => Change::Resume { destination: to },
            Wish::ProbeAll => Change::ProbeAll,
        };
        self.change(change)
    }
}

#[test]
fn days_that_went_wrong_once_go_well() {
    for (what, steps) in days::once_wrong() {
        if let Err(violation) = live(&steps, None) {
            panic!("{what}: {violation}");
        }
    }
}

/// A bridge that breaks a rule on purpose is found out, under the name of the rule.
fn is_found(breach: Breach, invariant: &str) {
    let ran = TestRunner::new(config(400, 0)).run(&day(STEPS), |steps| {
        live(&steps, Some(breach)).map(|_| ()).map_err(|violation| TestCaseError::fail(violation.to_string()))
    });
    match ran {
        Err(TestError::Fail(why, _)) => assert!(why.message().starts_with(invariant), "{breach:?} was found as {why}"),
        other => panic!("{breach:?} was not found: {other:?}"),
    }
}

#[test]
fn a_forgotten_delivery_is_found() {
    is_found(Breach::Owed, "nothing_silently_dropped");
}

#[test]
fn a_forgotten_confirmation_is_found() {
    is_found(Breach::Confirmed, "one_page_when_it_can_be_known");
}

#[test]
fn a_forgotten_lease_is_found() {
    is_found(Breach::Leases, "in_order_one_at_a_time_per_lane");
}

#[test]
fn a_forgotten_timer_is_found() {
    is_found(Breach::Timers, "every_open_row_is_due_leased_or_behind");
}

#[test]
fn a_forgotten_digest_is_found() {
    is_found(Breach::Left, "digests_end_with_their_last_member");
}

#[test]
fn a_forgotten_load_is_found() {
    is_found(Breach::Load, "load_stays_within_its_limits");
}

#[test]
fn a_forgotten_close_is_found() {
    is_found(Breach::Closes, "the_sides_come_to_agree");
}
