//! Entrances: what is remembered, what is forgotten, what a flood may cost.

use std::net::IpAddr;
use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::json;

use super::*;
use crate::caller::{Floods, Source};
use crate::egress::Limits;
use crate::simulator::azure::{AZURE_CALLER, Azure, SecureWebhook as Simulated, Version as SimulatedVersion};
use crate::simulator::calls::Operation;
use crate::simulator::faults::Fault;

const TENANT: &str = "0a4c1d2e-0000-4000-8000-000000000001";
const URI: &str = "api://signl4-azure-bridge";

struct Place {
    azure: Azure,
    clock: Clock,
    floods: Floods,
    entrance: Entrance,
}

async fn place() -> Place {
    let clock = Clock::manual(Timestamp::parse("2026-11-24T03:00:00Z").unwrap());
    let azure = Azure::start("127.0.0.1:0".parse().unwrap(), clock.clone()).await.unwrap();
    let entrance = Entrance::new(&settings(), &azure.url(), &http(), &clock);
    Place { azure, clock, floods: Floods::default(), entrance }
}

fn http() -> Http {
    Http::new(Limits::default()).unwrap()
}

fn settings() -> SecureWebhook {
    SecureWebhook {
        tenant: TENANT.to_owned(),
        audience: [URI.to_owned()].into(),
        caller: AZURE_CALLER.to_owned(),
        require: false,
    }
}

fn webhook() -> Simulated {
    Simulated { tenant: TENANT.to_owned(), audience: URI.to_owned(), version: SimulatedVersion::V1 }
}

fn source() -> Source {
    Source::new(IpAddr::from([203, 0, 113, 1]), &HeaderMap::new(), &[])
}

impl Place {
    async fn check(&self, token: &str) -> Result<(), BearerError> {
        self.entrance.check(token.as_bytes(), &self.floods.budget(source(), self.clock.now())).await
    }

    /// As many refusals as make a flood, and all signatures that floods are allowed.
    async fn flood(&self, claims: &serde_json::Value) {
        for _ in 0..30 {
            self.floods.refused(source(), self.clock.now());
        }
        let key = self.azure.signing_key().unwrap();
        let message = key.token(&key.header(), claims);
        let message = message.rsplit_once('.').unwrap().0;
        for _ in 0..10_000 {
            let answer = self.check(&format!("{message}.AAAA")).await;
            if answer == Err(BearerError::Busy) {
                return;
            }
            assert_eq!(answer, Err(BearerError::Wrong(Claim::Signature)));
        }
        panic!("signatures are not limited");
    }
}

#[tokio::test]
async fn a_right_token_is_remembered_until_it_ends_and_a_wrong_one_is_not() {
    let place = place().await;
    let token = place.azure.webhook_token(&webhook());
    assert_eq!(place.check(&token).await, Ok(()));
    let wrong = format!("{}.AAAA", token.rsplit_once('.').unwrap().0);
    assert_eq!(place.check(&wrong).await, Err(BearerError::Wrong(Claim::Signature)));
    assert_eq!(place.entrance.right.lock().unwrap().len(), 1);
    // No signature can be checked any more: what passes now is remembered.
    place.flood(&webhook().claims(&place.azure.url(), place.clock.now())).await;
    assert_eq!(place.check(&token).await, Ok(()));
    place.clock.advance(Duration::from_hours(1));
    assert_eq!(place.check(&token).await, Ok(()), "within the skew, and checked anew");
    place.clock.advance(Duration::from_mins(5));
    assert_eq!(place.check(&token).await, Err(BearerError::Wrong(Claim::Expired)));
}

#[tokio::test]
async fn new_keys_make_it_forget() {
    let place = place().await;
    let token = place.azure.webhook_token(&webhook());
    assert_eq!(place.check(&token).await, Ok(()));
    place.azure.rotate_keys().unwrap();
    place.azure.retire_keys();
    place.clock.advance(Duration::from_mins(2));
    assert_eq!(place.check(&place.azure.webhook_token(&webhook())).await, Ok(()), "the new key is fetched");
    assert_eq!(place.check(&token).await, Err(BearerError::Wrong(Claim::Key)), "the old one was taken back");
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let place = place().await;
    let key = place.azure.signing_key().unwrap();
    for number in 0..=REMEMBERED {
        let mut claims = webhook().claims(&place.azure.url(), place.clock.now());
        claims["uti"] = json!(number);
        assert_eq!(place.check(&key.token(&key.header(), &claims)).await, Ok(()));
    }
    assert_eq!(place.entrance.right.lock().unwrap().len(), REMEMBERED);
}

#[tokio::test]
async fn wrong_claims_cause_no_fetch_however_their_key_is_called() {
    let place = place().await;
    assert_eq!(place.check(&place.azure.webhook_token(&webhook())).await, Ok(()));
    place.azure.take_calls();
    place.clock.advance(Duration::from_mins(2));
    let key = place.azure.signing_key().unwrap();
    let mut claims = webhook().claims(&place.azure.url(), place.clock.now());
    claims["aud"] = json!("api://another");
    let header = json!({"alg": "RS256", "kid": "unknown", "jku": place.azure.url()});
    assert_eq!(place.check(&key.token(&header, &claims)).await, Err(BearerError::Wrong(Claim::Audience)));
    assert_eq!(place.azure.calls().len(), 0);
    claims["aud"] = json!(URI);
    for _ in 0..3 {
        assert_eq!(place.check(&key.token(&header, &claims)).await, Err(BearerError::Wrong(Claim::Key)));
    }
    assert_eq!(place.azure.calls().len(), 2, "one fetch, from the tenant's own addresses");
    assert!(place.azure.calls().iter().all(|call| call.path.starts_with(&format!("/{TENANT}/"))));
}

#[tokio::test]
async fn without_keys_nothing_is_refused_that_could_be_right() {
    let place = place().await;
    place.azure.faults().plan(Fault::status(503).on(Operation::Discovery));
    let token = place.azure.webhook_token(&webhook());
    assert!(matches!(place.check(&token).await, Err(BearerError::Keys(_))));
    assert_eq!(place.check("garbage").await, Err(BearerError::Wrong(Claim::Form)));
    place.clock.advance(Duration::from_secs(10));
    assert_eq!(place.check(&token).await, Ok(()));
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let clock = Clock::System;
    let name = ConnectionName::parse("contoso").unwrap();
    let entrance = Arc::new(Entrance::new(&settings(), "https://login.example.com", &http(), &clock));
    assert!(entrance.is_for(&settings(), "https://login.example.com"));
    assert!(!entrance.is_for(&settings(), "https://login.other.example"));
    let other = SecureWebhook { audience: ["api://other".to_owned()].into(), ..settings() };
    assert!(!entrance.is_for(&other, "https://login.example.com"));
    let all = SecureWebhooks { entrances: [(name, entrance)].into() };
    let status = all.status();
    assert_eq!(status.iter().map(|keys| keys.version).collect::<Vec<_>>(), ["1.0", "2.0"]);
    assert!(SecureWebhooks::new(&BTreeMap::new(), &all, &http(), &clock).any().is_none());
}
