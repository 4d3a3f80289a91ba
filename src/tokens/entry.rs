//! One entry of the cache: its token, its last failure, and the one fetch that may be on its way.
//!
//! Two locks. `state` is held for moments and never across an await. `flight` is held by whoever fetches; who comes
//! while it is held waits for it and then takes what landed, be it a token or a failure. A fetch that is dropped half
//! way (a cancelled attempt) frees the lock, and the next in the queue fetches for itself.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{CredentialKey, Fetched, Origin, Problem, Source, Standing, Status, Token, TokenError};
use crate::clock::Clock;
use crate::domain::timestamp::Timestamp;
use crate::expiry::days_left;

/// A permanent failure is answered from memory this long.
const DENIED_HOLD: Duration = Duration::from_mins(1);
/// A passing failure, too, is not asked for again by every delivery that waits: this long at first, twice as long after
/// each further one.
const TRANSIENT_HOLD: Duration = Duration::from_secs(1);
/// And never longer than this, so that what works again is used again soon.
const LONGEST_TRANSIENT_HOLD: Duration = Duration::from_secs(30);
/// Between two tries to renew a token that is still valid.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// A token is not used in its last seconds: the call still has to travel, and clocks differ.
const LAST_SECONDS: Duration = Duration::from_secs(10);
/// Short-lived tokens are renewed this long before their end.
const EARLY: Duration = Duration::from_mins(5);
/// From this life on a token is renewed at its half.
const LONG_LIFE: Duration = Duration::from_hours(2);

#[derive(Debug)]
pub(super) struct Entry {
    key: CredentialKey,
    pub(super) origin: Origin,
    state: Mutex<State>,
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// Number of the last token; a fixed secret is generation 0 for ever.
    generation: u64,
    /// Fetches that came to an end, well or not.
    rounds: u64,
    failure: Option<Failure>,
    /// Passing failures in a row.
    stumbles: u32,
    renew_not_before: Option<Timestamp>,
    rejected: Option<Problem>,
}

#[derive(Debug)]
struct Held {
    token: Token,
    expires_at: Timestamp,
    usable_until: Timestamp,
    renew_at: Timestamp,
}

#[derive(Debug)]
struct Failure {
    error: TokenError,
    at: Timestamp,
    until: Timestamp,
}

/// What a look at the entry says.
#[derive(Debug)]
pub(super) enum Look {
    /// Send this; `renew` asks for a background fetch of that round, and asks only one caller.
    Ready {
        token: Token,
        renew: Option<u64>,
    },
    /// From memory.
    Failed(TokenError),
    Fetch {
        round: u64,
    },
}

impl Entry {
    pub(super) fn new(key: CredentialKey, origin: Origin) -> Self {
        Self { key, origin, state: Mutex::default(), flight: tokio::sync::Mutex::new(()) }
    }

    pub(super) fn look(&self, now: Timestamp) -> Look {
        if let Origin::Fixed { value, .. } = &self.origin {
            return Look::Ready { token: Token { value: value.clone(), generation: 0 }, renew: None };
        }
        let mut state = self.state();
        if let Some(held) = state.held.as_ref().filter(|held| now < held.usable_until) {
            let token = held.token.clone();
            let due = now >= held.renew_at
                && state.renew_not_before.is_none_or(|earliest| now >= earliest)
                && state.failure.as_ref().is_none_or(|failure| now >= failure.until);
            if !due {
                return Look::Ready { token, renew: None };
            }
            state.renew_not_before = Some(now.plus(RENEWAL_PAUSE));
            return Look::Ready { token, renew: Some(state.rounds) };
        }
        match state.failure.as_ref().filter(|failure| now < failure.until) {
            Some(failure) => Look::Failed(failure.remembered(now)),
            None => Look::Fetch { round: state.rounds },
        }
    }

    /// Fetches unless another did since `round`, and gives what came of it.
    pub(super) async fn fetch_once(&self, round: u64, clock: &Clock) -> Result<Token, TokenError> {
        let Origin::Fetched { source, .. } = &self.origin else {
            return Err(TokenError::Transient { why: "a fixed secret is not fetched".to_owned() });
        };
        let _flight = self.flight.lock().await;
        if let Some(landed) = self.landed_since(round, clock.now()) {
            return landed;
        }
        self.fetch(source.as_ref(), clock).await
    }

    async fn fetch(&self, source: &dyn Source, clock: &Clock) -> Result<Token, TokenError> {
        let asked_at = clock.now();
        let result = source.fetch().await;
        let now = clock.now();
        let mut state = self.state();
        state.rounds = state.rounds.saturating_add(1);
        match result {
            Ok(fetched) => {
                tracing::debug!(credential = %self.key, expires_in_seconds = fetched.expires_in.as_secs(), "token fetched");
                state.generation = state.generation.saturating_add(1);
                let held = Held::new(fetched, state.generation, asked_at);
                let token = held.token.clone();
                state.held = Some(held);
                state.failure = None;
                state.stumbles = 0;
                state.rejected = None;
                state.renew_not_before = None;
                Ok(token)
            }
            Err(error) => {
                // Said aloud once, and again only when the trouble changes.
                let is_news = state.failure.as_ref().is_none_or(|failure| failure.error != error);
                match &error {
                    TokenError::Denied { .. } if is_news => {
                        tracing::error!(credential = %self.key, %error, "no token until somebody acts");
                    }
                    TokenError::Throttled { .. } | TokenError::Transient { .. } if is_news => {
                        tracing::warn!(credential = %self.key, %error, "no token for now");
                    }
                    TokenError::Denied { .. } | TokenError::Throttled { .. } | TokenError::Transient { .. } => {
                        tracing::debug!(credential = %self.key, %error, "still no token");
                    }
                }
                let hold = match &error {
                    TokenError::Denied { .. } => DENIED_HOLD,
                    TokenError::Throttled { after } => *after,
                    TokenError::Transient { .. } => {
                        let hold = TRANSIENT_HOLD.saturating_mul(1 << state.stumbles.min(10));
                        state.stumbles = state.stumbles.saturating_add(1);
                        hold.min(LONGEST_TRANSIENT_HOLD)
                    }
                };
                state.failure = Some(Failure { until: now.plus(hold), error: error.clone(), at: now });
                Err(error)
            }
        }
    }

    /// What the flight that we waited for brought; nothing if there was none, or its token was forgotten since.
    fn landed_since(&self, round: u64, now: Timestamp) -> Option<Result<Token, TokenError>> {
        let state = self.state();
        if state.rounds == round {
            return None;
        }
        if let Some(held) = state.held.as_ref().filter(|held| now < held.usable_until) {
            return Some(Ok(held.token.clone()));
        }
        state.failure.as_ref().map(|failure| Err(failure.remembered(now)))
    }

    pub(super) fn forget(&self, generation: u64) -> bool {
        let mut state = self.state();
        let is_current = state.held.as_ref().is_some_and(|held| held.token.generation == generation);
        if is_current {
            state.held = None;
        }
        is_current
    }

    pub(super) fn reject(&self, generation: u64, problem: Problem) {
        let mut state = self.state();
        if state.generation == generation {
            state.rejected = Some(problem);
        }
    }

    pub(super) fn confirm(&self, generation: u64) {
        let mut state = self.state();
        if state.generation == generation {
            state.rejected = None;
        }
    }

    pub(super) fn status(&self, now: Timestamp) -> Status {
        let state = self.state();
        let valid = state.held.as_ref().filter(|held| now < held.usable_until);
        let (expires_at, secret_end, standing) = match &self.origin {
            Origin::Fixed { expires_at, .. } => {
                let expired = expires_at.is_some_and(|end| now >= end);
                (*expires_at, None, if expired { Standing::Expired } else { Standing::Valid })
            }
            Origin::Fetched { secret_end, .. } => {
                let standing = match (valid, &state.failure) {
                    (Some(_), _) => Standing::Valid,
                    (None, Some(Failure { error: TokenError::Denied { .. }, .. })) => Standing::Denied,
                    (None, Some(_)) => Standing::Failing,
                    (None, None) if state.held.is_some() => Standing::Expired,
                    (None, None) => Standing::Unused,
                };
                (state.held.as_ref().map(|held| held.expires_at), secret_end.clone(), standing)
            }
        };
        let failed = state.failure.as_ref().map(|failure| Problem { at: failure.at, text: failure.error.to_string() });
        Status {
            name: self.key.to_string(),
            side: self.key.side(),
            standing: if state.rejected.is_some() { Standing::Denied } else { standing },
            expires_at,
            secret_expires_at: secret_end.as_ref().map(|end| end.at),
            secret_expires_in_days: secret_end.as_ref().map(|end| days_left(end.at, now)),
            renewal: secret_end.map(|end| end.renewal),
            problem: state.rejected.clone().or(failed),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn new(fetched: Fetched, generation: u64, asked_at: Timestamp) -> Self {
        let Fetched { value, expires_in: life, refresh_in } = fetched;
        let half = life / 2;
        let renew_in = refresh_in.unwrap_or_else(|| {
            // A life so short that five minutes before its end is no time at all is halved, too.
            if life >= LONG_LIFE { half } else { life.saturating_sub(EARLY).max(half) }
        });
        let expires_at = asked_at.plus(life);
        Self {
            token: Token { value, generation },
            expires_at,
            usable_until: expires_at.minus(LAST_SECONDS.min(half)),
            renew_at: asked_at.plus(renew_in),
        }
    }
}

impl Failure {
    /// The failure as it is to be told now: of a wait only the rest is left.
    fn remembered(&self, now: Timestamp) -> TokenError {
        match &self.error {
            TokenError::Throttled { .. } => TokenError::Throttled { after: self.until.since(now) },
            error @ (TokenError::Denied { .. } | TokenError::Transient { .. }) => error.clone(),
        }
    }
}
