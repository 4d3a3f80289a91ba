//! Calls to Azure: change an alert's state, comment on it.
//!
//! The alert is read first, so that an acknowledgement never re-opens what somebody closed and nothing is sent that is
//! already so; a read that fails does not hold a change up. There is no comment-only call: a comment is a changestate to
//! the state just read. The race that is left is one round trip wide: who changes the alert in the portal within it
//! is overruled until the next poll sees it. A change may go twice without harm.

pub mod request;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::visit::{Reading, Unread, Visit, modified_by, reading};
use super::credential;
use crate::clock::Clock;
use crate::config::Connection;
use crate::domain::delivery::{Attempted, AzureState, AzureTarget, Call, Delivery, Learned, Outcome};
use crate::domain::id::{ConnectionName, Side};
use crate::egress::outcome::attempted;
use crate::egress::{Answer, Http};
use crate::paces::Paces;
use crate::tokens::Tokens;

pub use request::requests;

/// Azure rarely takes more than seconds over a conflict. However long it takes, only this alert waits for it.
const CONFLICT: Duration = Duration::from_secs(1);

/// A page that is late already does not wait longer for Azure's word on it.
const ASKS_FOR: Duration = Duration::from_secs(2);

/// The Azure side of the worker.
#[derive(Clone, Debug)]
pub struct Azure {
    pub(super) connections: BTreeMap<ConnectionName, Connection>,
    pub(super) http: Http,
    pub(super) tokens: Arc<Tokens>,
    pub(super) clock: Clock,
    pub(super) paces: Arc<Paces>,
}

impl Azure {
    /// Makes the connections' credentials the Azure entries of `tokens`; those that did not change keep their token.
    pub fn new(
        connections: &BTreeMap<ConnectionName, Connection>,
        http: Http,
        tokens: Arc<Tokens>,
        clock: Clock,
    ) -> Self {
        tokens.set(Side::Azure, credential::origins(connections, &http, &clock));
        Self { connections: connections.clone(), http, tokens, clock, paces: Arc::default() }
    }

    /// Tells these paces how many calls Azure says it still takes.
    #[must_use]
    pub fn telling(self, paces: Arc<Paces>) -> Self {
        Self { paces, ..self }
    }

    /// One attempt of a delivery to Azure.
    pub async fn attempt(&self, delivery: &Delivery) -> Attempted {
        match &delivery.call {
            Call::ChangeState { target, state, comment, keeps_closed } => match self.visit(target) {
                Ok(visit) => {
                    change(visit, delivery, Wish { state: *state, keeps_closed: *keeps_closed }, comment.as_deref())
                        .await
                }
                Err(denied) => denied,
            },
            Call::Comment { target, text } => match self.visit(target) {
                Ok(visit) => comment(visit, delivery, text).await,
                Err(denied) => denied,
            },
            Call::Raise { .. } | Call::Acknowledge { .. } | Call::Resolve { .. } | Call::Annotate { .. } => {
                attempted(Outcome::OurFault, "a call to SIGNL4 came to the Azure side")
            }
        }
    }

    /// How an alert stands in Azure, for a page of it that goes out late; `None` where nobody says so in time.
    pub async fn standing(&self, target: &AzureTarget) -> Option<Learned> {
        let mut visit = self.visit(target).ok()?;
        let read = tokio::time::timeout(ASKS_FOR, visit.read()).await.ok()?.ok()?;
        Some(Learned { azure: Some((read.state, read.modified)), resolved_at: read.resolved_at, ..Learned::default() })
    }

    fn visit<'a>(&'a self, target: &'a AzureTarget) -> Result<Visit<'a>, Attempted> {
        let name = &target.connection;
        let denied = |mend: String| attempted(Outcome::Denied { status: 0 }, mend);
        let connection =
            self.connections.get(name).ok_or_else(|| denied(format!("[azure.{name}] is not configured any more")))?;
        if connection.credential.is_none() {
            return Err(denied(format!("[azure.{name}] has no credential: configure one")));
        }
        let Self { http, tokens, clock, paces, .. } = self;
        Ok(Visit { connection, target, http, tokens, clock, paces, renewed: false })
    }
}

/// What an alert is to become.
#[derive(Clone, Copy, Debug)]
struct Wish {
    state: AzureState,
    keeps_closed: bool,
}

async fn change(mut visit: Visit<'_>, delivery: &Delivery, wish: Wish, comment: Option<&str>) -> Attempted {
    let state = wish.state;
    let before = match visit.read().await {
        Ok(reading) => Some(reading),
        Err(Unread::Stop(stop)) => return stop,
        Err(Unread::Failed(failed)) => {
            tracing::debug!(note = %failed.note, "the alert could not be read before its change");
            None
        }
    };
    if let Some(before) = before.filter(|before| satisfies(*before, wish)) {
        let Some(comment) = comment.filter(|_| before.state == state) else {
            return accepted(before, already(before, state));
        };
        if delivery.uncertain && visit.has_comment(comment, delivery.created_at).await {
            return accepted(before, "an earlier attempt had arrived".to_owned());
        }
    }
    let answer = match visit.change_state(state, comment).await {
        Ok(answer) => answer,
        Err(ended) => return ended,
    };
    if let Outcome::Accepted = answer.outcome(visit.clock.now()) {
        let now = reading(&answer).unwrap_or(Reading { state, modified: None, resolved_at: None });
        return made(&answer, accepted(now, format!("Azure: {}", state.as_str())));
    }
    if let Some(before) = before.filter(|before| before.state == state && matches!(answer.status, 400 | 409)) {
        return accepted(before, format!("{}; Azure refuses a comment without a change", already(before, state)));
    }
    if answer.status == 409 {
        if let Ok(now) = visit.read().await
            && satisfies(now, wish)
        {
            return accepted(now, already(now, state));
        }
        return attempted(Outcome::NotYet { after: CONFLICT }, "Azure answered 409: the alert is being changed");
    }
    visit.failed(&answer, "changestate")
}

async fn comment(mut visit: Visit<'_>, delivery: &Delivery, text: &str) -> Attempted {
    let before = match visit.read().await {
        Ok(reading) => reading,
        // Only the read may have arrived; the comment was surely not sent.
        Err(Unread::Failed(failed) | Unread::Stop(failed)) if failed.outcome == Outcome::Unknown => {
            return Attempted { outcome: Outcome::Unsent, ..failed };
        }
        Err(Unread::Failed(failed) | Unread::Stop(failed)) => return failed,
    };
    if delivery.uncertain && visit.has_comment(text, delivery.created_at).await {
        return accepted(before, "an earlier attempt had arrived".to_owned());
    }
    let answer = match visit.change_state(before.state, Some(text)).await {
        Ok(answer) => answer,
        Err(ended) => return ended,
    };
    if let Outcome::Accepted = answer.outcome(visit.clock.now()) {
        let now = reading(&answer).unwrap_or(Reading { modified: None, ..before });
        return made(&answer, accepted(now, "Azure: comment added".to_owned()));
    }
    visit.failed(&answer, "comment")
}

/// Whether nothing is left to change. An acknowledgement finds its end in Closed, too: it never re-opens an alert.
fn satisfies(reading: Reading, wish: Wish) -> bool {
    let keeps_closed = wish.keeps_closed || wish.state == AzureState::Acknowledged;
    reading.state == wish.state || (keeps_closed && reading.state == AzureState::Closed)
}

fn already(reading: Reading, wanted: AzureState) -> String {
    if reading.state == wanted {
        format!("already {} in Azure", wanted.as_str())
    } else {
        format!("{} in Azure: an acknowledgement, given or taken back, does not re-open it", reading.state.as_str())
    }
}

/// Azure's answer to a change names who made it: us.
fn made(answer: &Answer, accepted: Attempted) -> Attempted {
    let learned = Learned { azure_by: modified_by(answer), ..accepted.learned };
    Attempted { learned, ..accepted }
}

fn accepted(now: Reading, note: String) -> Attempted {
    let learned = Learned { azure: Some((now.state, now.modified)), ..Learned::default() };
    Attempted { learned, ..attempted(Outcome::Accepted, note) }
}

#[cfg(test)]
mod tests;
