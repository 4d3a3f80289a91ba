//! One poll of a SIGNL4 team: which of our pages have changed, and what happened to each.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::catch_up::Tally;
use super::source::{Due, SourceName};
use super::{Reconciler, Stepped};
use crate::config::Team;
use crate::domain::delivery::{Attempted, Destination, Outcome};
use crate::domain::event::EventKind;
use crate::domain::id::{Side, TeamName};
use crate::domain::page::Page;
use crate::domain::timestamp::Timestamp;
use crate::egress::outcome::attempted;
use crate::intake;
use crate::signl4::poll::{Entry, Info, changes};
use crate::store::{Incoming, PollChange, StoreError};

/// SIGNL4 may show a change a little later than it happened: so much is read twice.
const OVERLAP: Duration = Duration::from_mins(5);
/// How far the first poll looks back: pages that are open longer than that are rare, and their next change is found.
const LOOK_BACK: Duration = Duration::from_hours(7 * 24);
/// A list longer than this is no list that SIGNL4 would give.
const PAGES: usize = 1_000;

/// After so many tries in vain an alert is read as it is listed: its state is known, if not how it came about.
const TRIES: u32 = 3;
/// More that cannot be read in one poll are SIGNL4's trouble, and not that of the one.
const UNREAD: usize = 2;

/// What of a team's list was read. It is memory only: lost, it is read again.
#[derive(Debug, Default)]
pub(super) struct Handled {
    /// Alerts by their id, and the change up to which each was read.
    read: BTreeMap<String, Timestamp>,
    /// How often an alert could not be read.
    tries: BTreeMap<String, u32>,
}

impl Handled {
    fn has(&self, info: &Info) -> bool {
        info.modified_at.is_some() && self.read.get(&info.id).copied() >= info.modified_at
    }

    fn read(&mut self, info: &Info) {
        self.tries.remove(&info.id);
        if let Some(modified_at) = info.modified_at {
            self.read.insert(info.id.clone(), modified_at);
        }
    }

    /// Counts a try in vain. True: it was the last.
    fn in_vain(&mut self, info: &Info) -> bool {
        let tries = self.tries.entry(info.id.clone()).or_default();
        *tries = tries.saturating_add(1);
        *tries >= TRIES
    }
}

/// Alerts that could not be read in this poll.
#[derive(Debug, Default)]
struct Unread {
    count: usize,
    /// One of them waits for another try: the next poll lists it again.
    waits: bool,
    last: Option<Attempted>,
}

enum Stop {
    Park(Timestamp),
    Fail(Attempted),
}

impl From<Attempted> for Stop {
    fn from(failed: Attempted) -> Self {
        Self::Fail(failed)
    }
}

impl Reconciler {
    /// One poll of a team. Parked by a limit it begins again, and passes over what it has read.
    pub(super) async fn ask_team(&self, due: &Due, name: &TeamName) -> Stepped {
        let source = &due.source;
        let begun_at = self.clock.now();
        let config = self.config.load_full();
        let Some(team) = config.teams.get(name) else {
            return Stepped::Failed(attempted(Outcome::OurFault, "not configured any more"));
        };
        let mut tally = Tally::default();
        let ended = self.read_team(source, name, team, begun_at, &mut tally).await;
        let now = self.clock.now();
        match ended {
            Ok(()) => {
                self.shared.catch_ups.ended(source, begun_at, Some(tally), now);
                Stepped::Read { again: None }
            }
            Err(Stop::Park(until)) => Stepped::Parked { until },
            Err(Stop::Fail(failed)) => {
                self.shared.catch_ups.ended(source, begun_at, None, now);
                Stepped::Failed(failed)
            }
        }
    }

    fn handled<T>(&self, source: &SourceName, act: impl FnOnce(&mut Handled) -> T) -> T {
        let mut all = self.shared.handled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        act(all.entry(source.clone()).or_default())
    }

    async fn read_team(
        &self,
        source: &SourceName,
        name: &TeamName,
        team: &Team,
        begun_at: Timestamp,
        tally: &mut Tally,
    ) -> Result<(), Stop> {
        let destination = Destination::team(name);
        let leave = || self.may_read(&destination).map_err(Stop::Park);
        let mark = self.store.polled(source.to_string()).await.map_err(|error| ours(&error))?.at;
        let since = mark.map_or_else(|| begun_at.minus(LOOK_BACK), |mark| mark.minus(OVERLAP));
        let signl4 = self.outbound.load_full();
        let (mut next, mut newest): (Option<Value>, _) = (None, mark);
        let mut unread = Unread::default();
        for _ in 0..PAGES {
            leave()?;
            let listed = signl4.signl4.list(name, since, next.as_ref()).await?;
            let ids = listed.alerts.iter().map(|info| info.page.clone()).collect();
            let pages = self.store.pages(ids).await.map_err(|error| ours(&error))?;
            for info in &listed.alerts {
                newest = newest.max(info.modified_at);
                let Some(page) = pages.get(&info.page).filter(|page| self.is_of(page, name, team)) else { continue };
                if self.handled(source, |handled| handled.has(info)) {
                    continue;
                }
                // The details, and the names of those who acted.
                leave()?;
                if let Some(entries) = self.read_page(source, name, info, &mut unread).await? {
                    for _ in 0..signl4.signl4.unnamed(name, &info.users(&entries)) {
                        leave()?;
                    }
                    tally.add(self.tell_page(name, team, info, page, &entries).await?);
                    self.handled(source, |handled| handled.read(info));
                }
            }
            if next.is_some() && next == listed.next {
                return Err(attempted(Outcome::Unknown, "SIGNL4's list has no end").into());
            }
            next = listed.next;
            if next.is_none() {
                break;
            }
        }
        // Not read to its end: the next poll begins where this one began.
        if let Some(failed) = unread.last.take_if(|_| unread.waits) {
            return Err(failed.into());
        }
        // A time from the future would hide what comes.
        let at = newest.unwrap_or_else(|| begun_at.minus(OVERLAP)).min(begun_at);
        if mark != Some(at) {
            let change = PollChange::Read { source: source.to_string(), at, polled_at: begun_at };
            self.store.poll(change).await.map_err(|error| Stop::Fail(ours(&error)))?;
        }
        self.handled(source, |handled| {
            handled.read.retain(|_, modified_at| *modified_at >= at.minus(OVERLAP * 2));
            handled.tries.clear();
        });
        unread.last.map_or(Ok(()), |failed| Err(failed.into()))
    }

    /// What happened to one alert. `None`: it could not be read, and the others go on.
    async fn read_page(
        &self,
        source: &SourceName,
        name: &TeamName,
        info: &Info,
        unread: &mut Unread,
    ) -> Result<Option<Vec<Entry>>, Attempted> {
        let signl4 = self.outbound.load_full();
        let mut failed = match signl4.signl4.timeline(name, &info.id).await {
            Ok(entries) => return Ok(Some(entries)),
            Err(failed) => failed,
        };
        let is_of_this_one = match failed.outcome {
            Outcome::Unknown | Outcome::Busy { .. } => true,
            Outcome::Accepted
            | Outcome::NotYet { .. }
            | Outcome::Unsent
            | Outcome::Refused { .. }
            | Outcome::Denied { .. }
            | Outcome::OurFault => false,
        };
        let is_last = is_of_this_one && self.handled(source, |handled| handled.in_vain(info));
        let is_busy = matches!(failed.outcome, Outcome::Busy { .. });
        if !is_last && (!is_of_this_one || is_busy || unread.count >= UNREAD) {
            return Err(failed);
        }
        failed.note = format!("{}: {}", info.page, failed.note);
        unread.last = Some(failed);
        if is_last {
            return Ok(Some(Vec::new()));
        }
        unread.count = unread.count.saturating_add(1);
        unread.waits = true;
        Ok(None)
    }

    /// A key may see the teams of others, too.
    fn is_of(&self, page: &Page, name: &TeamName, team: &Team) -> bool {
        page.team == *name
            || self.config.load().teams.get(&page.team).is_some_and(|other| other.account == team.account)
    }

    async fn tell_page(
        &self,
        name: &TeamName,
        team: &Team,
        info: &Info,
        page: &Page,
        entries: &[Entry],
    ) -> Result<Tally, Attempted> {
        let signl4 = self.outbound.load_full();
        let names = signl4.signl4.names(name, &info.users(entries)).await;
        let mut tally = Tally::default();
        for mut change in changes(info, entries, &names, team.user_id.as_deref(), page, self.clock.now()) {
            change.notification_id = change.notification_id.map(|id| format!("{} {id}", team.account));
            let incoming = Incoming {
                kind: EventKind::Signl4 { team: name.clone(), page: info.page.clone(), change },
                side: Side::Signl4,
                source: format!("{name} by poll"),
                body: Bytes::copy_from_slice(info.body.as_bytes()),
                headers: BTreeMap::new(),
            };
            let receipt = intake::take(&self.store, &self.telemetry, incoming)
                .await
                .map_err(|_| attempted(Outcome::OurFault, "the store did not take what was found"))?;
            tally.changed += usize::from(!receipt.seen_before && receipt.reason.is_news());
        }
        Ok(tally)
    }
}

fn ours(error: &StoreError) -> Attempted {
    attempted(Outcome::OurFault, format!("the store: {error}"))
}
