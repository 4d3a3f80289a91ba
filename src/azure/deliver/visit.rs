//! One attempt's dealings with one alert: the token, renewed once if it is refused, and what the answers say.

use std::time::Duration;

use serde::Deserialize;

use super::super::inspect::{buckets_left, error_code};
use super::request;
use crate::clock::Clock;
use crate::config::Connection;
use crate::domain::delivery::{Attempted, AzureState, AzureTarget, Destination, Outcome};
use crate::domain::timestamp::Timestamp;
use crate::egress::outcome::attempted;
use crate::egress::{Answer, Draft, Http};
use crate::paces::Paces;
use crate::tokens::{CredentialKey, Token, Tokens};

/// Clocks of two machines may differ by this much.
const SKEW: Duration = Duration::from_mins(5);

/// Everything that the calls of one attempt share.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    pub(super) connection: &'a Connection,
    pub(super) target: &'a AzureTarget,
    pub(super) http: &'a Http,
    pub(super) tokens: &'a Tokens,
    pub(super) clock: &'a Clock,
    pub(super) paces: &'a Paces,
    /// A refused token is forgotten once in an attempt.
    pub(super) renewed: bool,
}

/// An alert as Azure has it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) state: AzureState,
    pub(super) modified: Option<Timestamp>,
    /// The condition is over, since then; since the last change, where Azure does not say.
    pub(super) resolved_at: Option<Timestamp>,
}

/// Why there is no reading.
#[derive(Debug)]
pub(super) enum Unread {
    /// Any further call would end the same way.
    Stop(Attempted),
    /// A change may still go through.
    Failed(Attempted),
}

impl Visit<'_> {
    /// The alert's present state.
    pub(super) async fn read(&mut self) -> Result<Reading, Unread> {
        let answer = match self.call(&request::read(self.connection, self.target)).await {
            Ok(answer) => answer,
            Err(stop @ Attempted { outcome: Outcome::Unknown, .. }) => return Err(Unread::Failed(stop)),
            Err(stop) => return Err(Unread::Stop(stop)),
        };
        if let Some(reading) = reading(&answer) {
            return Ok(reading);
        }
        let failed = self.failed(&answer, "read");
        Err(if matches!(answer.status, 401 | 429) { Unread::Stop(failed) } else { Unread::Failed(failed) })
    }

    pub(super) async fn change_state(&mut self, state: AzureState, comment: Option<&str>) -> Result<Answer, Attempted> {
        self.call(&request::change_state(self.connection, self.target, state.as_str(), comment)).await
    }

    /// Whether the alert's history has this comment since `since`. A history that cannot be read has nothing.
    pub(super) async fn has_comment(&mut self, comment: &str, since: Timestamp) -> bool {
        #[derive(Deserialize)]
        struct History {
            properties: Modifications,
        }
        #[derive(Deserialize)]
        struct Modifications {
            #[serde(default)]
            modifications: Vec<Modification>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Modification {
            modified_at: Option<String>,
            comments: Option<String>,
        }

        let sent = request::cut(comment);
        let since = since.minus(SKEW);
        let answer = self.call(&request::history(self.connection, self.target)).await;
        let history = answer.ok().filter(Answer::is_success).and_then(|answer| answer.json::<History>());
        history.is_some_and(|history| {
            history.properties.modifications.iter().any(|modification| {
                modification.comments.as_deref() == Some(sent.as_str())
                    && modification.modified_at.as_deref().and_then(Timestamp::parse).is_some_and(|at| at >= since)
            })
        })
    }

    /// Sends a request. A refused token is dropped and the request sent once more, at most once in an attempt: Azure
    /// answers 401 before it does anything.
    async fn call(&mut self, draft: &Draft) -> Result<Answer, Attempted> {
        let key = CredentialKey::Azure(self.target.connection.clone());
        loop {
            let token = self
                .tokens
                .get(&key)
                .await
                .map_err(|error| attempted(error.outcome(), format!("no token for Azure: {error}")))?;
            let answer = self.send(draft, &token).await?;
            let AzureTarget { connection, subscription, .. } = self.target;
            let (reads, writes) = buckets_left(&answer);
            let of = Destination::subscription(connection, subscription);
            self.paces.told_of_buckets(&of, reads, writes, self.clock.now());
            if answer.status == 401 && !self.renewed {
                self.renewed = true;
                self.tokens.forget(&key, &token);
                continue;
            }
            match answer.status {
                401 => self.tokens.reject(&key, &token, &self.mend(401)),
                200..300 => self.tokens.confirm(&key, &token),
                _ => {}
            }
            return Ok(answer);
        }
    }

    async fn send(&self, draft: &Draft, token: &Token) -> Result<Answer, Attempted> {
        let request = draft.request(&token.value).map_err(|error| attempted(error.outcome(), error.to_string()))?;
        self.http
            .send(draft.aim, request)
            .await
            .map_err(|error| attempted(error.outcome(), format!("Azure {}: {error}", draft.aim.purpose)))
    }

    /// An answer that is no success, or says nothing, as the end of an attempt.
    pub(super) fn failed(&self, answer: &Answer, purpose: &str) -> Attempted {
        let code = error_code(answer);
        let outcome = match answer.outcome(self.clock.now()) {
            // The whole subscription is out of reach, not this one alert.
            Outcome::Refused { status: 404 } if code == "SubscriptionNotFound" => Outcome::Denied { status: 404 },
            // A success that nobody could read.
            Outcome::Accepted => Outcome::Unknown,
            outcome @ (Outcome::Busy { .. }
            | Outcome::NotYet { .. }
            | Outcome::Unsent
            | Outcome::Unknown
            | Outcome::Refused { .. }
            | Outcome::Denied { .. }
            | Outcome::OurFault) => outcome,
        };
        let mut note = format!("Azure answered the {purpose} with {}", answer.status);
        if !code.is_empty() {
            note.push(' ');
            note.push_str(&code);
        }
        if let Outcome::Denied { status } = outcome {
            note.push_str(": ");
            note.push_str(&self.mend(status));
        }
        attempted(outcome, note)
    }

    fn mend(&self, status: u16) -> String {
        let AzureTarget { connection, subscription, .. } = self.target;
        match status {
            401 => format!("a fresh token of [azure.{connection}] was refused; check `tenant_id` and `cloud`"),
            403 => format!(
                "give the application of [azure.{connection}] a role with \
                 Microsoft.AlertsManagement/alerts/read and …/changestate/action on subscription {subscription}"
            ),
            404 => format!("subscription {subscription} is not in the tenant of [azure.{connection}]"),
            407 => "the HTTP proxy wants credentials".to_owned(),
            _ => format!("the address of Azure leads elsewhere; check `cloud` of [azure.{connection}]"),
        }
    }
}

/// What an answer with an alert says of its state.
pub(super) fn reading(answer: &Answer) -> Option<Reading> {
    #[derive(Deserialize)]
    struct Alert {
        properties: Properties,
    }
    #[derive(Deserialize)]
    struct Properties {
        essentials: Essentials,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Essentials {
        alert_state: String,
        last_modified_date_time: Option<String>,
        monitor_condition: Option<String>,
        monitor_condition_resolved_date_time: Option<String>,
    }

    if !answer.is_success() {
        return None;
    }
    let essentials = answer.json::<Alert>()?.properties.essentials;
    let state = AzureState::parse(&essentials.alert_state)?;
    let time = |text: Option<String>| text.as_deref().and_then(Timestamp::parse);
    let modified = time(essentials.last_modified_date_time);
    let over = essentials.monitor_condition.is_some_and(|condition| condition.eq_ignore_ascii_case("resolved"));
    let since = time(essentials.monitor_condition_resolved_date_time).or(modified).unwrap_or(Timestamp::EPOCH);
    Some(Reading { state, modified, resolved_at: over.then_some(since) })
}

/// `lastModifiedUserName` of an answer with an alert.
pub(super) fn modified_by(answer: &Answer) -> Option<Box<str>> {
    let value: serde_json::Value = answer.json()?;
    let by = value.pointer("/properties/essentials/lastModifiedUserName")?.as_str()?.trim();
    (!by.is_empty()).then(|| by.into())
}
