//! Asks Azure what no webhook tells: alerts whose webhook was lost, and what people do in the portal.
//!
//! A list is read newest change first, page by page, so that the caller can stop where it has read before. It always
//! spans the 30 days that Azure keeps: whether the time range means the firing or the change is not documented, and an
//! old alert may be acknowledged today. The link to the next page is followed only to the host that was asked, so that
//! no answer can send our token elsewhere. This module changes nothing, neither in Azure nor in the store.

mod follow;
mod parse;
mod request;

use bytes::Bytes;
use reqwest::{Request, Url};

use super::deliver::Azure;
use super::inspect::{buckets_left, error_code};
use crate::config::Connection;
use crate::domain::delivery::{Attempted, Destination, Outcome};
use crate::domain::event::{Detail, Notification};
use crate::domain::id::{ConnectionName, SubscriptionId};
use crate::domain::reading::Reading;
use crate::egress::draft::DraftError;
use crate::egress::outcome::attempted;
use crate::egress::{Aim, Answer, Draft};
use crate::secret::Secret;
use crate::tokens::CredentialKey;

/// Most alerts that Azure gives on one page.
pub const PAGE: usize = 250;

/// Which page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The newest changes, so many at most.
    First(usize),
    /// Where the last page said that the next one is.
    Next(Url),
}

/// One page of a list as it came: a fraction of what it takes when it is read.
#[derive(Clone, Debug)]
pub struct Unread {
    body: Bytes,
    arm: String,
}

impl Unread {
    pub fn read(self) -> Result<Listed, Attempted> {
        let listed = parse::list(&self.body, &self.arm);
        listed.ok_or_else(|| attempted(Outcome::Unknown, "Azure's list of alerts is unreadable"))
    }
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Newest change first. What cannot be read as an alert is left out.
    pub readings: Vec<Listing>,
    /// How many alerts were on the page that could not be read.
    pub unreadable: usize,
    pub next: Next,
}

/// An alert of a list, and the text in which it came.
#[derive(Clone, Debug)]
pub struct Listing {
    pub reading: Reading,
    pub body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    End,
    Page(Url),
    /// The link leads to another server, and is not followed.
    Foreign(String),
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// The answer was longer than is read: ask for fewer at once.
    TooLarge,
    Failed(Attempted),
}

impl Azure {
    /// One page of the alerts of a subscription.
    pub async fn list(
        &self,
        name: &ConnectionName,
        subscription: &SubscriptionId,
        page: &Page,
    ) -> Result<Unread, Unlisted> {
        let asking = self.asking(name, subscription).map_err(Unlisted::Failed)?;
        let answer = match page {
            Page::First(count) => asking.draft(&request::list(asking.connection, subscription, *count)).await,
            Page::Next(url) => asking.link(url).await,
        }
        .map_err(Unlisted::Failed)?;
        if !answer.whole {
            return Err(Unlisted::TooLarge);
        }
        Ok(Unread { body: answer.body, arm: asking.connection.cloud.arm.clone() })
    }

    /// The alert with its context, which a list leaves out; `None` if Azure has it no more. It may come without a
    /// context all the same, see [`Azure::in_context`].
    pub async fn whole(&self, name: &ConnectionName, reading: &Reading) -> Result<Option<Notification>, Attempted> {
        let id = &reading.notification.id;
        let Some(subscription) = id.subscription() else {
            return Ok(Some(reading.notification.clone()));
        };
        let asking = self.asking(name, subscription)?;
        let answer = match asking.draft(&request::alert(asking.connection, subscription, id.name())).await {
            Ok(answer) => answer,
            Err(gone) if gone.outcome == (Outcome::Refused { status: 404 }) => return Ok(None),
            Err(failed) => return Err(failed),
        };
        let read = parse::alert(&answer.body).map(|reading| reading.notification);
        // A page with few facts is better than none.
        Ok(Some(read.unwrap_or_else(|| reading.notification.clone())))
    }

    /// The same from a list of its target's alerts, which has the contexts; for an alert that came without one. It is not
    /// documented whether a single alert has its context.
    pub async fn in_context(&self, name: &ConnectionName, bare: &Notification) -> Option<Notification> {
        let asking = self.asking(name, bare.id.subscription()?).ok()?;
        let draft = request::with_context(asking.connection, asking.subscription, bare)?;
        let answer = asking.draft(&draft).await.ok()?;
        let listed = parse::list(&answer.body, &asking.connection.cloud.arm)?;
        let mut found = listed.readings.into_iter().map(|listing| listing.reading.notification);
        found.find(|found| found.id.key() == bare.id.key() && found.detail != Detail::Other)
    }

    fn asking<'a>(
        &'a self,
        name: &'a ConnectionName,
        subscription: &'a SubscriptionId,
    ) -> Result<Asking<'a>, Attempted> {
        let connection = self.connections.get(name).filter(|connection| connection.credential.is_some());
        let mend = || attempted(Outcome::Denied { status: 0 }, format!("[azure.{name}] has no credential any more"));
        Ok(Asking { azure: self, name, connection: connection.ok_or_else(mend)?, subscription })
    }
}

/// Questions to one subscription.
struct Asking<'a> {
    azure: &'a Azure,
    name: &'a ConnectionName,
    connection: &'a Connection,
    subscription: &'a SubscriptionId,
}

impl Asking<'_> {
    async fn draft(&self, draft: &Draft) -> Result<Answer, Attempted> {
        self.call(draft.aim, |secret| draft.request(secret)).await
    }

    async fn link(&self, url: &Url) -> Result<Answer, Attempted> {
        self.call(request::LIST, |secret| follow::request(url, secret)).await
    }

    /// Sends a request; a refused token is dropped and the request sent once more. Only a success is `Ok`.
    async fn call(
        &self,
        aim: Aim,
        request: impl Fn(&Secret) -> Result<Request, DraftError>,
    ) -> Result<Answer, Attempted> {
        let Azure { http, tokens, clock, paces, .. } = self.azure;
        let key = CredentialKey::Azure(self.name.clone());
        let mut renewed = false;
        loop {
            let token = tokens
                .get(&key)
                .await
                .map_err(|error| attempted(error.outcome(), format!("no token for Azure: {error}")))?;
            let request = request(&token.value).map_err(|error| attempted(error.outcome(), error.to_string()))?;
            let answer = http
                .send(aim, request)
                .await
                .map_err(|error| attempted(error.outcome(), format!("Azure {}: {error}", aim.purpose)))?;
            let (reads, writes) = buckets_left(&answer);
            let of = Destination::subscription(self.name, self.subscription);
            paces.told_of_buckets(&of, reads, writes, clock.now());
            if answer.status == 401 && !renewed {
                renewed = true;
                tokens.forget(&key, &token);
                continue;
            }
            match answer.status {
                401 => tokens.reject(&key, &token, &self.mend(401)),
                200..300 => tokens.confirm(&key, &token),
                _ => {}
            }
            let outcome = answer.outcome(clock.now());
            return if outcome == Outcome::Accepted { Ok(answer) } else { Err(self.failed(&answer, aim, outcome)) };
        }
    }

    fn failed(&self, answer: &Answer, aim: Aim, outcome: Outcome) -> Attempted {
        let code = error_code(answer);
        let outcome = if answer.status == 404 && code == "SubscriptionNotFound" {
            Outcome::Denied { status: 404 }
        } else {
            outcome
        };
        let mut note = format!("Azure answered the {} with {}", aim.purpose, answer.status);
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
        let Self { name, subscription, .. } = self;
        match status {
            401 => format!("a fresh token of [azure.{name}] was refused; check `tenant_id` and `cloud`"),
            403 => format!(
                "give the application of [azure.{name}] a role with Microsoft.AlertsManagement/alerts/read on \
                 subscription {subscription}, or set `poll = \"off\"`"
            ),
            404 => format!("subscription {subscription} is not in the tenant of [azure.{name}]"),
            407 => "the HTTP proxy wants credentials".to_owned(),
            _ => format!("the address of Azure leads elsewhere; check `cloud` of [azure.{name}]"),
        }
    }
}

#[cfg(test)]
mod tests;
