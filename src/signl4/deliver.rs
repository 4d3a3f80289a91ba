//! Calls to SIGNL4: raise a page, acknowledge it, resolve it, annotate it.
//!
//! A Raise that may have arrived before is looked up first, where there is an API key and a user id: twice, because
//! SIGNL4 works asynchronously and an alert may show a moment after its event was taken. The race that is accepted:
//! an alert that shows only after the second look is paged twice, and the attempt says that it may be.
//!
//! A webhook secret that is refused denies the whole team. An API key that is refused does not: pages need only the
//! secret, so a look-up without a result leads to a repeat and an annotation is given up.

mod answer;
pub mod request;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use self::answer::{Found, error_code, event_id, events_left, found, outcome};
use super::credential;
use crate::clock::Clock;
use crate::config::Team;
use crate::domain::delivery::{Attempted, Call, Delivery, Destination, Learned, Outcome};
use crate::domain::id::{ExternalId, Side, TeamName};
use crate::egress::outcome::attempted;
use crate::egress::{Answer, Draft, Http};
use crate::paces::Paces;
use crate::tokens::{CredentialKey, Tokens};

pub use request::requests;

/// Between the two look-ups of a Raise that may have arrived.
pub const LOOK_UP_PAUSE: Duration = Duration::from_secs(3);

/// An annotation waits for its alert this long and this often: SIGNL4 makes alerts of events asynchronously.
const NOT_YET: Duration = Duration::from_secs(15);
const NOT_YET_ATTEMPTS: u32 = 5;

/// A Raise that may have arrived is looked up again this late while SIGNL4 cannot answer, for about two minutes; then the
/// page is worth more than the doubt.
const LOOK_UP_AGAIN: Duration = Duration::from_secs(15);
const LOOK_UP_ATTEMPTS: u32 = 8;

/// The SIGNL4 side of the worker.
#[derive(Clone, Debug)]
pub struct Signl4 {
    pub(super) teams: BTreeMap<TeamName, Team>,
    http: Http,
    tokens: Arc<Tokens>,
    clock: Clock,
    paces: Arc<Paces>,
    look_up_pause: Duration,
    /// Names of people, by account and id: polls find ids.
    pub(super) people: Arc<Mutex<BTreeMap<(String, String), String>>>,
}

impl Signl4 {
    /// Makes the teams' secrets and API keys the SIGNL4 entries of `tokens`.
    pub fn new(teams: &BTreeMap<TeamName, Team>, http: Http, tokens: Arc<Tokens>, clock: Clock) -> Self {
        tokens.set(Side::Signl4, credential::origins(teams));
        let (teams, paces, people) = (teams.clone(), Arc::default(), Arc::default());
        Self { teams, http, tokens, clock, paces, look_up_pause: LOOK_UP_PAUSE, people }
    }

    /// Tells these paces how many events SIGNL4 says it still takes.
    #[must_use]
    pub fn telling(self, paces: Arc<Paces>) -> Self {
        Self { paces, ..self }
    }

    /// With another pause between the two look-ups.
    #[must_use]
    pub fn with_look_up_pause(self, look_up_pause: Duration) -> Self {
        Self { look_up_pause, ..self }
    }

    /// One attempt of a delivery to SIGNL4.
    pub async fn attempt(&self, delivery: &Delivery) -> Attempted {
        let (name, page) = match &delivery.call {
            Call::Raise { team, page, .. }
            | Call::Acknowledge { team, page }
            | Call::Resolve { team, page }
            | Call::Annotate { team, page, .. } => (team, page),
            Call::ChangeState { .. } | Call::Comment { .. } => {
                return attempted(Outcome::OurFault, "a call to Azure came to the SIGNL4 side");
            }
        };
        let Some(team) = self.teams.get(name) else {
            return attempted(Outcome::Denied { status: 0 }, format!("[signl4.{name}] is not configured any more"));
        };
        let on = On { signl4: self, name, team, page };
        match &delivery.call {
            Call::Raise { body, .. } => on.raise(body, delivery).await,
            Call::Acknowledge { .. } => on.event(&request::acknowledge(team, page)).await,
            Call::Resolve { .. } => on.event(&request::resolve(team, page)).await,
            Call::Annotate { text, .. } => on.annotate(text, delivery.attempt).await,
            Call::ChangeState { .. } | Call::Comment { .. } => {
                attempted(Outcome::OurFault, "a call to Azure came to the SIGNL4 side")
            }
        }
    }
}

/// What two look-ups say of a Raise that may have arrived.
#[derive(Debug)]
enum Settled {
    Arrived(Found),
    /// Nothing was found, or nobody may look: no proof of anything.
    Unknown,
    /// SIGNL4 could not say for now.
    NoAnswer(Attempted),
}

/// One attempt's dealings with one page of one team.
#[derive(Debug)]
struct On<'a> {
    signl4: &'a Signl4,
    name: &'a TeamName,
    team: &'a Team,
    page: &'a ExternalId,
}

impl On<'_> {
    async fn raise(&self, body: &Value, delivery: &Delivery) -> Attempted {
        if !delivery.uncertain {
            return self.event(&request::raise(self.team, body)).await;
        }
        match self.settle().await {
            Settled::Arrived(found) => {
                return Attempted {
                    learned: Learned {
                        signl4_alert_id: Some(found.id),
                        signl4_event_id: found.event_id,
                        ..Learned::default()
                    },
                    ..attempted(Outcome::Accepted, "an earlier attempt had arrived: SIGNL4 has the page")
                };
            }
            // Whoever cannot answer now may say in a moment that the page is there.
            Settled::NoAnswer(failed) if delivery.attempt < LOOK_UP_ATTEMPTS => {
                let note = format!("{}; looked up again before the page is sent again", failed.note);
                return attempted(Outcome::NotYet { after: LOOK_UP_AGAIN }, note);
            }
            Settled::NoAnswer(_) | Settled::Unknown => {}
        }
        let sent = self.event(&request::raise(self.team, body)).await;
        let possibly_doubled = matches!(sent.outcome, Outcome::Accepted | Outcome::Unknown);
        let note = if possibly_doubled {
            format!("{}; sent again without proof that an earlier attempt had not arrived", sent.note)
        } else {
            sent.note.clone()
        };
        Attempted { note, possibly_doubled, ..sent }
    }

    /// Looks for the page in SIGNL4, twice; nothing found is no proof.
    async fn settle(&self) -> Settled {
        let Some((key, user)) = self.api() else { return Settled::Unknown };
        for pause in [self.signl4.look_up_pause, Duration::ZERO] {
            match self.look_up(&key, user).await {
                Ok(Some(found)) => return Settled::Arrived(found),
                Ok(None) => tokio::time::sleep(pause).await,
                Err(failed) => {
                    return match failed.outcome {
                        Outcome::Denied { .. } | Outcome::Refused { .. } | Outcome::OurFault => Settled::Unknown,
                        Outcome::Accepted
                        | Outcome::Busy { .. }
                        | Outcome::NotYet { .. }
                        | Outcome::Unsent
                        | Outcome::Unknown => Settled::NoAnswer(failed),
                    };
                }
            }
        }
        Settled::Unknown
    }

    /// One event through the inbound webhook.
    async fn event(&self, draft: &Draft) -> Attempted {
        let key = CredentialKey::Signl4Secret(self.name.clone());
        match self.call(&key, draft).await {
            Ok(answer) => {
                let learned = Learned { signl4_event_id: event_id(&answer), ..Learned::default() };
                Attempted { learned, ..attempted(Outcome::Accepted, format!("SIGNL4 took the {}", draft.aim.purpose)) }
            }
            Err(failed) => failed,
        }
    }

    async fn annotate(&self, text: &str, attempt: u32) -> Attempted {
        let Some((key, user)) = self.api() else {
            let note = format!("[signl4.{}] has no api_key and user_id: configure both to annotate pages", self.name);
            return attempted(Outcome::Refused { status: 0 }, note);
        };
        let found = match self.look_up(&key, user).await {
            Ok(Some(found)) => found,
            Ok(None) if attempt < NOT_YET_ATTEMPTS => {
                return attempted(Outcome::NotYet { after: NOT_YET }, "SIGNL4 has no alert of this page yet");
            }
            Ok(None) => return attempted(Outcome::Refused { status: 404 }, "SIGNL4 has no alert of this page"),
            // Only the look-up may have arrived; the annotation was surely not sent.
            Err(failed) if failed.outcome == Outcome::Unknown => {
                return Attempted { outcome: Outcome::Unsent, ..failed };
            }
            Err(failed) => return given_up_if_denied(failed),
        };
        let learned = Learned { signl4_alert_id: Some(found.id.clone()), ..Learned::default() };
        let ended = match self.call(&key, &request::annotate(self.team, user, &found.id, text)).await {
            Ok(_) => attempted(Outcome::Accepted, "SIGNL4 took the annotation"),
            Err(failed) => given_up_if_denied(failed),
        };
        Attempted { learned, ..ended }
    }

    async fn look_up(&self, key: &CredentialKey, user: &str) -> Result<Option<Found>, Attempted> {
        let answer = self.call(key, &request::look_up(self.team, user, self.page)).await?;
        // Cut off, or somebody else's: the next one may say more.
        found(&answer, self.page)
            .map_err(|()| attempted(Outcome::Unknown, "SIGNL4's answer to the look-up is unreadable"))
    }

    /// The key and the user for REST calls, where both are configured.
    fn api(&self) -> Option<(CredentialKey, &str)> {
        let user = self.team.user_id.as_deref()?;
        self.team.api_key.as_ref()?;
        Some((CredentialKey::Signl4ApiKey(self.name.clone()), user))
    }

    async fn call(&self, key: &CredentialKey, draft: &Draft) -> Result<Answer, Attempted> {
        self.signl4.call(self.name, key, draft).await
    }
}

impl Signl4 {
    /// Sends a request; only a success is `Ok`.
    pub(super) async fn call(&self, name: &TeamName, key: &CredentialKey, draft: &Draft) -> Result<Answer, Attempted> {
        let Self { http, tokens, clock, paces, .. } = self;
        let purpose = draft.aim.purpose;
        let token = tokens.get(key).await.map_err(|error| attempted(error.outcome(), error.to_string()))?;
        let request = draft
            .request(&token.value)
            .map_err(|error| attempted(error.outcome(), format!("[signl4.{name}]: {error}")))?;
        let answer = http
            .send(draft.aim, request)
            .await
            .map_err(|error| attempted(error.outcome(), format!("SIGNL4 {purpose}: {error}")))?;
        let outcome = outcome(&answer, clock.now());
        // The headers are those of events; nothing says that REST calls have them.
        if *key == CredentialKey::Signl4Secret(name.clone())
            && let Some(told) = events_left(&answer, &outcome, clock.now())
        {
            paces.told_of_events(&Destination::team(name), told, clock.now());
        }
        let code = error_code(&answer);
        let suffix = code.map_or_else(String::new, |code| format!(", code {code}"));
        let note = format!("SIGNL4 answered the {purpose} with {}{suffix}", answer.status);
        match outcome {
            Outcome::Accepted => {
                tokens.confirm(key, &token);
                Ok(answer)
            }
            Outcome::Denied { status } => {
                let mend = mend(name, key, status, code);
                tokens.reject(key, &token, &mend);
                Err(attempted(Outcome::Denied { status }, format!("{note}: {mend}")))
            }
            outcome @ (Outcome::Busy { .. }
            | Outcome::NotYet { .. }
            | Outcome::Unsent
            | Outcome::Unknown
            | Outcome::Refused { .. }
            | Outcome::OurFault) => Err(attempted(outcome, note)),
        }
    }
}

fn mend(name: &TeamName, key: &CredentialKey, status: u16, code: Option<i64>) -> String {
    match (status, code) {
        (300..400, _) | (404, None) => {
            format!("the address does not lead to SIGNL4; check `base_url` of [signl4.{name}]")
        }
        (407, _) => "the HTTP proxy wants credentials".to_owned(),
        _ => format!("SIGNL4 does not take {key}; copy it anew from the SIGNL4 portal"),
    }
}

/// A refused API key must not pause the team's pages, which do not need it.
fn given_up_if_denied(failed: Attempted) -> Attempted {
    match failed.outcome {
        Outcome::Denied { status } => Attempted { outcome: Outcome::Refused { status }, ..failed },
        Outcome::Accepted
        | Outcome::Busy { .. }
        | Outcome::NotYet { .. }
        | Outcome::Unsent
        | Outcome::Unknown
        | Outcome::Refused { .. }
        | Outcome::OurFault => failed,
    }
}

#[cfg(test)]
mod tests;
