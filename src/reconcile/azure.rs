//! One sweep over a subscription's alerts: newest change first, down to where the last sweep began.
//!
//! A sweep goes on over several steps where a limit of Azure's, or its own, parks it. The high-water mark is Azure's own
//! time of the newest change, so that no two clocks are compared, and it is written when everything before it is durable.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::catch_up::Tally;
use super::gaps::STORED_WITHIN;
use super::source::{Due, SourceName};
use super::{Reconciler, Stepped};
use crate::azure::poll::{self, Listing, Next, Page, Unlisted};
use crate::config::Connection;
use crate::domain::delivery::{Attempted, AzureState, Destination, Outcome};
use crate::domain::event::{Condition, Detail, EventKind, Notification};
use crate::domain::id::{ConnectionName, Side, SubscriptionId};
use crate::domain::reading::{Facts, Found, Gap, News, Polled, Raises, Reading, Standing, news};
use crate::domain::timestamp::Timestamp;
use crate::egress::outcome::attempted;
use crate::intake;
use crate::store::{Incoming, PollChange};

/// Azure may show a change a little later than it happened: so much is read twice.
const OVERLAP: Duration = Duration::from_mins(5);
/// Pages of one step: others are due, too.
const PAGES_AT_ONCE: usize = 10;
/// A list longer than this is no list that Azure would give.
const PAGES: usize = 5_000;
/// Events that wait for the store together, and share its commits.
const EVENTS_AT_ONCE: usize = 64;
/// Asked for in place of a page that is too large to read.
const SMALLER: usize = 5;
/// After so many tries in vain an alert is told of with what the list says: a page with few facts is better than none.
const TRIES: u32 = 3;
const NEXT_TRY: Duration = Duration::from_secs(20);

/// A sweep under way.
#[derive(Debug)]
pub(super) struct Sweep {
    begun_at: Timestamp,
    /// The newest change that was read before; `None` on the first sweep.
    mark: Option<Timestamp>,
    /// Changes older than this were read before.
    known: Option<Timestamp>,
    gaps: Vec<Gap>,
    /// Refusals that may become a gap.
    trouble: Option<Gap>,
    /// On the first sweep: what fired earlier wakes nobody.
    earliest: Option<Timestamp>,
    page: Option<Page>,
    page_count: usize,
    pages: usize,
    newest: Option<Timestamp>,
    /// Found, and to be read with its context.
    left: VecDeque<Task>,
    /// What could not be read: tried again when all else is told.
    aside: VecDeque<Task>,
    /// Why the last of these could not.
    unread: Option<Attempted>,
    /// Something waits for its webhook until then.
    again: Option<Timestamp>,
    tally: Tally,
}

/// What a reading tells anew.
#[derive(Debug)]
struct Task {
    listing: Listing,
    found: Vec<Found>,
    /// In vain so far.
    tries: u32,
}

impl Task {
    /// Whoever is paged wants to know more than a list says.
    fn needs_context(&self) -> bool {
        let state = self.listing.reading.state;
        self.found.iter().any(|found| match found {
            Found::Fired(raises) => raises.pages(),
            Found::Resolved => false,
            Found::State => state == AzureState::New,
        })
    }
}

/// Why a step stops before the sweep is at its end.
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
    /// One step of a subscription's sweep.
    pub(super) async fn sweep(&self, due: &Due, connection: &ConnectionName, subscription: &SubscriptionId) -> Stepped {
        let source = &due.source;
        let config = self.config.load_full();
        let Some(settings) = config.connections.get(connection) else {
            return Stepped::Failed(attempted(Outcome::OurFault, "not configured any more"));
        };
        let parked = self.sweeps(|sweeps| sweeps.remove(source));
        let mut sweep = match parked {
            Some(sweep) => sweep,
            None => match self.begin(source, settings).await {
                Ok(sweep) => sweep,
                Err(failed) => return Stepped::Failed(failed),
            },
        };
        let ended = self.go_on(&mut sweep, connection, subscription, settings).await;
        let now = self.clock.now();
        match ended {
            Ok(()) => {
                self.shared.catch_ups.ended(source, sweep.begun_at, Some(sweep.tally), now);
                tell(source, &sweep, now);
                sweep.unread.map_or(Stepped::Read { again: sweep.again }, Stepped::Failed)
            }
            Err(Stop::Park(until)) => {
                self.sweeps(|sweeps| sweeps.insert(source.clone(), sweep));
                Stepped::Parked { until }
            }
            Err(Stop::Fail(failed)) => {
                // A service that is only busy is asked on where it was; anything else from the top.
                if matches!(failed.outcome, Outcome::Busy { .. }) {
                    self.sweeps(|sweeps| sweeps.insert(source.clone(), sweep));
                } else {
                    self.shared.catch_ups.ended(source, sweep.begun_at, None, now);
                }
                Stepped::Failed(failed)
            }
        }
    }

    fn sweeps<T>(&self, act: impl FnOnce(&mut BTreeMap<SourceName, Sweep>) -> T) -> T {
        act(&mut self.shared.sweeps.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    async fn begin(&self, source: &SourceName, settings: &Connection) -> Result<Sweep, Attempted> {
        let begun_at = self.clock.now();
        let polled = self.store.polled(source.to_string()).await.map_err(|error| ours(&error))?;
        let polled_at = self.last_read(source).max(polled.polled_at);
        Ok(Sweep {
            begun_at,
            mark: polled.at,
            known: polled.at.zip(polled_at).map(|(mark, polled_at)| known(mark, polled_at, &polled.gaps)),
            gaps: polled.gaps,
            trouble: self.outages.begun(),
            earliest: polled.at.is_none().then(|| begun_at.minus(settings.look_back)),
            page: Some(Page::First(poll::PAGE)),
            page_count: poll::PAGE,
            pages: 0,
            newest: polled.at,
            left: VecDeque::new(),
            aside: VecDeque::new(),
            unread: None,
            again: None,
            tally: Tally::default(),
        })
    }

    async fn go_on(
        &self,
        sweep: &mut Sweep,
        connection: &ConnectionName,
        subscription: &SubscriptionId,
        settings: &Connection,
    ) -> Result<(), Stop> {
        let destination = Destination::subscription(connection, subscription);
        for _ in 0..PAGES_AT_ONCE {
            while let Some(task) = sweep.left.pop_front() {
                if let Err(until) = self.may_read(&destination) {
                    sweep.left.push_front(task);
                    return Err(Stop::Park(until));
                }
                self.read_and_tell(sweep, connection, task).await?;
            }
            let Some(page) = sweep.page.clone() else {
                if sweep.aside.is_empty() {
                    return self.mark(sweep, connection, subscription).await;
                }
                sweep.left = std::mem::take(&mut sweep.aside);
                return Err(Stop::Park(self.clock.now().plus(NEXT_TRY)));
            };
            self.may_list(&destination, subscription).map_err(Stop::Park)?;
            let unread = match self.outbound.load_full().azure.list(connection, subscription, &page).await {
                Ok(unread) => unread,
                Err(Unlisted::TooLarge) if sweep.page_count > SMALLER => {
                    sweep.page_count /= SMALLER;
                    sweep.page = Some(Page::First(sweep.page_count));
                    continue;
                }
                Err(Unlisted::TooLarge) => {
                    return Err(attempted(Outcome::Unknown, "Azure's list is too large to read").into());
                }
                Err(Unlisted::Failed(failed)) => return Err(failed.into()),
            };
            // The permit ends with the page; nobody closes the semaphore. Before Azure's answer it would be held as long as Azure
            // likes.
            let _permit = self.shared.compares.0.acquire().await.ok();
            let listed = unread.read()?;
            sweep.pages += 1;
            sweep.page = follow(sweep, &page, &listed, subscription)?;
            self.compare(sweep, connection, settings, listed.readings).await?;
        }
        Err(Stop::Park(self.clock.now()))
    }

    /// Compares a page with the ledger. What needs no further question is told at once.
    async fn compare(
        &self,
        sweep: &mut Sweep,
        connection: &ConnectionName,
        settings: &Connection,
        listings: Vec<Listing>,
    ) -> Result<(), Attempted> {
        let keys = listings.iter().map(|listing| listing.reading.notification.id.key().clone()).collect();
        let standings = self.store.standings(keys).await.map_err(|error| ours(&error))?;
        // A page has many alerts of few rules.
        let rules: BTreeSet<&String> = listings.iter().flat_map(|listing| &listing.reading.rules).collect();
        let rules = rules.into_iter().cloned().collect();
        let heard = self.store.heard(connection.to_string(), rules).await.map_err(|error| ours(&error))?;
        self.learn(connection, &listings, &standings, &heard).await?;
        let now = self.clock.now();
        let mut plain = Vec::new();
        for listing in listings {
            let reading = &listing.reading;
            let facts = Facts {
                now,
                raises: settings.poll_raises,
                has_webhook: !settings.tokens.is_empty() || settings.secure_webhook.is_some(),
                heard: reading.rules.iter().any(|rule| heard.contains(rule)),
                gaps: &sweep.gaps,
                trouble: sweep.trouble,
                earliest: sweep.earliest,
            };
            match news(reading, standings.get(reading.notification.id.key()), &facts) {
                News::Wait(until) => sweep.again = Some(sweep.again.map_or(until, |again| again.min(until))),
                News::Found(found) if found.is_empty() => {}
                News::Found(found) => {
                    let task = Task { listing, found, tries: 0 };
                    if task.needs_context() {
                        sweep.left.push_back(task);
                    } else {
                        plain.push(task);
                    }
                }
            }
        }
        self.tell_all(sweep, connection, plain).await
    }

    /// A rule whose alert came by webhook calls, by whatever name the list knows it.
    async fn learn(
        &self,
        connection: &ConnectionName,
        listings: &[Listing],
        standings: &BTreeMap<crate::domain::id::AlertKey, Standing>,
        heard: &BTreeSet<String>,
    ) -> Result<(), Attempted> {
        let by_webhook = |reading: &&Reading| {
            standings.get(reading.notification.id.key()).is_some_and(|standing| !standing.alert.polled)
        };
        let rules: Vec<String> = listings
            .iter()
            .map(|listing| &listing.reading)
            .filter(by_webhook)
            .flat_map(|reading| reading.rules.iter().filter(|rule| !heard.contains(*rule)).cloned())
            .collect();
        if rules.is_empty() {
            return Ok(());
        }
        let change = PollChange::Heard { connection: connection.to_string(), rules };
        self.store.poll(change).await.map_err(|error| ours(&error))?;
        Ok(())
    }

    /// Those of one alert in their order, those of different alerts side by side.
    async fn tell_all(
        &self,
        sweep: &mut Sweep,
        connection: &ConnectionName,
        tasks: Vec<Task>,
    ) -> Result<(), Attempted> {
        let mut tasks = tasks.into_iter();
        loop {
            let mut together: JoinSet<Result<Tally, Attempted>> = JoinSet::new();
            for task in tasks.by_ref().take(EVENTS_AT_ONCE) {
                let (reconciler, connection) = (self.clone(), connection.clone());
                together.spawn(async move { reconciler.tell(&connection, &task, None).await });
            }
            if together.is_empty() {
                return Ok(());
            }
            for told in together.join_all().await {
                sweep.tally.add(told?);
            }
        }
    }

    async fn read_and_tell(&self, sweep: &mut Sweep, connection: &ConnectionName, mut task: Task) -> Result<(), Stop> {
        let mut whole = match self.outbound.load_full().azure.whole(connection, &task.listing.reading).await {
            Ok(Some(whole)) => whole,
            // Gone from Azure between two questions.
            Ok(None) => return Ok(()),
            Err(failed) => {
                task.tries = task.tries.saturating_add(1);
                if task.tries < TRIES && matches!(failed.outcome, Outcome::Busy { .. }) {
                    sweep.left.push_front(task);
                    return Err(failed.into());
                }
                if task.tries < TRIES {
                    sweep.aside.push_back(task);
                    // One that hangs must not use up the time of a step.
                    return Err(Stop::Park(self.clock.now()));
                }
                let listed = task.listing.reading.notification.clone();
                let note = format!("{} was told of as it is listed: {}", listed.id.key(), failed.note);
                sweep.unread = Some(Attempted { note, ..failed });
                listed
            }
        };
        if whole.detail == Detail::Other && self.may_list_once_more(connection, &whole) {
            let found = self.outbound.load_full().azure.in_context(connection, &whole).await;
            whole = found.unwrap_or(whole);
        }
        let tally = self.tell(connection, &task, Some(whole)).await?;
        sweep.tally.add(tally);
        Ok(())
    }

    /// Whether one more list is within the limits now. Without it the page has what the list said.
    fn may_list_once_more(&self, connection: &ConnectionName, notification: &Notification) -> bool {
        let subscription = notification.id.subscription();
        subscription.is_some_and(|subscription| {
            self.may_list(&Destination::subscription(connection, subscription), subscription).is_ok()
        })
    }

    /// Makes the events of one alert.
    async fn tell(
        &self,
        connection: &ConnectionName,
        task: &Task,
        whole: Option<Notification>,
    ) -> Result<Tally, Attempted> {
        let Task { listing, found, .. } = task;
        let reading = &listing.reading;
        let notification = whole.unwrap_or_else(|| reading.notification.clone());
        let mut tally = Tally::default();
        for found in found {
            // Resolved between the list and the question: nobody is woken for it.
            let over = notification.condition == Condition::Resolved;
            let found = if over && matches!(found, Found::Fired(_)) { Found::Resolved } else { *found };
            // The first sweep keeps many; what they look like is still in Azure.
            let before = found == Found::Fired(Raises::BeforeLookBack);
            let body = if before { Bytes::new() } else { listing.body.clone() };
            let polled = Box::new(Polled::new(found, reading, notification.clone()));
            let incoming = Incoming {
                kind: EventKind::Polled { connection: connection.clone(), polled },
                side: Side::Azure,
                source: format!("{connection} by poll"),
                body,
                headers: BTreeMap::new(),
            };
            let receipt = intake::take(&self.store, &self.telemetry, incoming)
                .await
                .map_err(|_| attempted(Outcome::OurFault, "the store did not take what was found"))?;
            if receipt.seen_before || !receipt.reason.is_news() {
                continue;
            }
            match found {
                Found::Fired(raises) => {
                    if raises.pages() {
                        tally.paged += 1;
                        if raises == Raises::WebhookMissing {
                            tally.missing += 1;
                            tally.oldest_missing = notification.fired_at;
                        }
                        tally.oldest = notification.fired_at;
                    } else {
                        tally.recorded += 1;
                    }
                    if raises != Raises::BeforeLookBack {
                        let rule = notification.rule.as_deref().unwrap_or("");
                        self.telemetry.found_by_poll(connection.as_str(), rule, raises);
                    }
                }
                Found::Resolved => tally.resolved += 1,
                Found::State => tally.changed += 1,
            }
        }
        Ok(tally)
    }

    async fn mark(
        &self,
        sweep: &Sweep,
        connection: &ConnectionName,
        subscription: &SubscriptionId,
    ) -> Result<(), Stop> {
        let source = SourceName::Azure { connection: connection.clone(), subscription: subscription.clone() };
        // Nothing there at all: what comes from now on is new. A time from the future would hide what comes.
        let at = sweep.newest.unwrap_or_else(|| sweep.begun_at.minus(OVERLAP)).min(sweep.begun_at.plus(OVERLAP));
        if sweep.mark != Some(at) {
            let change = PollChange::Read { source: source.to_string(), at, polled_at: sweep.begun_at };
            self.store.poll(change).await.map_err(|error| Stop::Fail(ours(&error)))?;
        }
        self.was_read(&source, sweep.begun_at);
        Ok(())
    }
}

/// Down to where a list has to be read, when the last one was asked for at `polled_at` and its newest change was `mark`:
/// what Azure showed late is not older than that list by more than the overlap. Where nothing has happened since, nothing is read
/// twice, unless a gap has become known since: what was recorded in it is to be judged again.
fn known(mark: Timestamp, polled_at: Timestamp, gaps: &[Gap]) -> Timestamp {
    let known = polled_at.minus(OVERLAP).clamp(mark.minus(OVERLAP), mark.plus(Duration::from_millis(1)));
    let news = gaps.iter().filter(|gap| gap.to.plus(STORED_WITHIN) > polled_at);
    news.map(Gap::since).fold(known, Timestamp::min)
}

/// Where the sweep goes on, if it does.
fn follow(
    sweep: &mut Sweep,
    page: &Page,
    listed: &poll::Listed,
    subscription: &SubscriptionId,
) -> Result<Option<Page>, Attempted> {
    if listed.unreadable > 0 {
        tracing::warn!(%subscription, alerts = listed.unreadable, "alerts of Azure's list could not be read");
    }
    let times = || listed.readings.iter().filter_map(|listing| listing.reading.modified_at);
    sweep.newest = sweep.newest.max(times().max());
    if sweep.known.is_some_and(|known| times().next_back().is_some_and(|oldest| oldest < known)) {
        return Ok(None);
    }
    match &listed.next {
        Next::End => Ok(None),
        Next::Page(url) if sweep.pages >= PAGES || *page == Page::Next(url.clone()) => {
            Err(attempted(Outcome::Unknown, "Azure's list has no end"))
        }
        Next::Page(url) => Ok(Some(Page::Next(url.clone()))),
        Next::Foreign(host) => {
            tracing::error!(
                %subscription, host,
                "Azure's list goes on at another host, which is not followed: what stands there is not read"
            );
            Err(attempted(
                Outcome::Denied { status: 0 },
                format!("the list goes on at {host}, which is not `cloud`'s address and is not followed"),
            ))
        }
    }
}

fn ours(error: &crate::store::StoreError) -> Attempted {
    attempted(Outcome::OurFault, format!("the store: {error}"))
}

/// One line for a sweep that found something.
fn tell(source: &SourceName, sweep: &Sweep, now: Timestamp) {
    let Tally { paged, missing, resolved, changed, recorded, oldest_missing, .. } = sweep.tally;
    let pages = sweep.pages;
    if sweep.mark.is_none() {
        tracing::info!(source = %source, pages, paged, recorded, "read for the first time; what fired earlier is recorded and wakes nobody");
    } else if paged + resolved + changed + recorded > 0 {
        tracing::info!(source = %source, pages, paged, resolved, changed, recorded, "a poll found what no webhook had told");
    }
    if missing > 0 {
        tracing::warn!(
            source = %source,
            missing,
            oldest_late_seconds = oldest_missing.map_or(0, |oldest| now.since(oldest).as_secs()),
            "webhooks are missing: Azure could not reach this bridge, or rules have lost their action group; a poll has found their alerts, which are paged"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_down_to_what_may_be_shown_late_or_is_to_be_judged_again() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let gap = [Gap { from: at(50_000), to: at(60_000) }];
        for (mark, polled_at, gaps, expected) in [
            (100_000, 100_060, &[][..], at(99_760)),
            (100_000, 100_000, &[], at(99_700)),
            (100_000, 200_000, &[], Timestamp::from_millis(100_000_001)),
            (100_000, 99_000, &[], at(99_700)),
            (55_000, 59_000, &gap, at(49_700)),
            (60_000, 60_100, &gap, at(49_700)),
            (60_000, 60_200, &gap, at(59_900)),
        ] {
            assert_eq!(known(at(mark), at(polled_at), gaps), expected, "{mark} {polled_at}");
        }
    }
}
