//! Word of a store that takes nothing: an alarm that cannot be stored goes to the alarm team at once, once an hour, and into
//! the store when that takes events again.
//!
//! Best effort: an attempt that fails is made again each minute, and a crash forgets what was told.

use std::sync::PoisonError;
use std::time::Duration;

use uuid::Uuid;

use super::Alarms;
use crate::domain::decide::decide;
use crate::domain::delivery::{Call, Delivery, Outcome};
use crate::domain::event::{Event, EventKind};
use crate::domain::id::{AlertKey, DeliveryId, EventId};
use crate::domain::page::Known;
use crate::domain::route::Rules;
use crate::domain::timestamp::Timestamp;
use crate::signl4::deliver::Signl4;
use crate::store::Trouble;

/// A lock or a full disk that is over by then wakes nobody.
const PATIENCE: Duration = Duration::from_secs(30);
const TRY_AGAIN: Duration = Duration::from_mins(1);
const ABOUT: &str = "store";

/// An alarm that the store does not have.
#[derive(Clone, Debug)]
pub(super) struct Told {
    key: AlertKey,
    tried_at: Timestamp,
    taken: bool,
    kind: EventKind,
}

impl Alarms {
    /// Tells of the store's trouble while there is one, and stores what was told when there is none. Asked every few seconds.
    pub async fn store(&self, rules: &Rules, signl4: &Signl4) {
        match self.store.trouble() {
            Some(trouble) => self.tell_past_the_store(&trouble, rules, signl4).await,
            None => self.keep_what_was_told().await,
        }
    }

    async fn tell_past_the_store(&self, trouble: &Trouble, rules: &Rules, signl4: &Signl4) {
        let now = self.clock.now();
        let key = EventKind::alarm_key(ABOUT, false, now);
        if now.since(trouble.since) < PATIENCE {
            return;
        }
        let text = format!(
            "{}.\nSince {} webhooks are answered 503. Azure repeats each for some two minutes, then calls nobody for 15: \
             look at the portal for what fires meanwhile.",
            trouble.text, trouble.since
        );
        let team = self.config.load().alarm.team.clone();
        let title = "Bridge: alerts are not stored".to_owned();
        let kind = |paged| {
            let (team, title, text) = (team.clone(), title.clone(), text.clone());
            EventKind::Alarm { team, about: ABOUT.to_owned(), title, text, once: false, paged }
        };
        let Some(call) = page(rules, kind(None), now) else { return };
        if !self.is_news(Told { key: key.clone(), tried_at: now, taken: false, kind: kind(Some(now)) }) {
            return;
        }
        let id = DeliveryId::new(Uuid::now_v7());
        let attempt = Delivery { id, call, attempt: 1, uncertain: false, created_at: now };
        let ended = signl4.attempt(&attempt).await;
        let taken = ended.outcome == Outcome::Accepted;
        tracing::warn!(outcome = ended.outcome.name(), note = ended.note, "told the alarm team past the store");
        for told in self.past_the_store().iter_mut().filter(|told| told.key == key) {
            told.taken |= taken;
        }
    }

    /// Whether it is to be told now; noted down before it is, so that nobody tells it at the same time.
    fn is_news(&self, news: Told) -> bool {
        let mut told = self.past_the_store();
        let waits = |told: &Told| told.taken || news.tried_at.since(told.tried_at) < TRY_AGAIN;
        if told.iter().any(|told| told.key == news.key && waits(told)) {
            return false;
        }
        told.retain(|told| told.key != news.key);
        told.push(news);
        true
    }

    async fn keep_what_was_told(&self) {
        let told = std::mem::take(&mut *self.past_the_store());
        for told in told {
            // What did not get through is no news any more: the log has it.
            if told.taken && self.keep(told.kind.clone()).await.is_none() {
                self.past_the_store().push(told);
            }
        }
    }

    fn past_the_store(&self) -> std::sync::MutexGuard<'_, Vec<Told>> {
        self.past_the_store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The call that the alarm is worth, as the store would have owed it.
fn page(rules: &Rules, kind: EventKind, now: Timestamp) -> Option<Call> {
    let event = Event::new(EventId::new(Uuid::now_v7()), now, kind);
    decide(rules, &Known::default(), &event, now).owed.into_iter().next().map(|owed| owed.call)
}
