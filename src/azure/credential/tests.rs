//! Tests of the client-credentials flow against a stub of Entra's token endpoint.

mod kinds;
mod platform;

use std::collections::BTreeSet;
use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};

use super::*;
use crate::config::Cloud;
use crate::domain::id::Side;
use crate::domain::route::Comments;
use crate::domain::timestamp::Timestamp;
use crate::egress::Limits;
use crate::egress::stub::{Stub, answer, answer_with, cutting, nobody};
use crate::secret::Secret;
use crate::tokens::{Standing, TokenError, Tokens};

const SECRET: &str = "entra s3cret&value";
const CLIENT: &str = "0a4c1d2e-0000-4000-8000-000000000002";

fn key() -> CredentialKey {
    CredentialKey::Azure(ConnectionName::parse("contoso").unwrap())
}

fn start() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned(), "test")
}

fn tokens(authority: &str) -> Tokens {
    tokens_by(authority, Credential::ClientSecret { secrets: vec![secret(SECRET)], expires: None })
}

fn tokens_by(authority: &str, credential: Credential) -> Tokens {
    let cloud = Cloud {
        authority: authority.to_owned(),
        arm: "https://arm.example.com".to_owned(),
        audience: "https://arm.example.com".to_owned(),
        portal: "https://portal.example.com".to_owned(),
    };
    tokens_in(cloud, credential)
}

fn tokens_in(cloud: Cloud, credential: Credential) -> Tokens {
    let connection = Connection {
        tenant_id: "0a4c1d2e-0000-4000-8000-000000000001".to_owned(),
        client_id: CLIENT.to_owned(),
        credential: Some(credential),
        subscriptions: BTreeSet::new(),
        cloud,
        tokens: Vec::new(),
        secure_webhook: None,
        networks: Vec::new(),
        comments: Comments::All,
        poll: None,
        poll_raises: crate::domain::reading::PollRaises::Auto,
        look_back: std::time::Duration::ZERO,
    };
    let clock = Clock::manual(start());
    let tokens = Tokens::new(clock.clone());
    let connections = BTreeMap::from([(ConnectionName::parse("contoso").unwrap(), connection)]);
    tokens.set(Side::Azure, origins(&connections, &Http::new(Limits::default()).unwrap(), &clock));
    tokens
}

fn granted(value: &str) -> Response {
    answer(200, &json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": value}))
}

/// `name=value` pairs of a form or a query, decoded and sorted.
fn pairs(text: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{text}")).unwrap();
    let mut pairs: Vec<_> = url.query_pairs().into_owned().collect();
    pairs.sort();
    pairs
}

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refusal(code: u32) -> Value {
    json!({
        "error": "invalid_client",
        "error_description": format!("AADSTS{code}: a text that quotes {SECRET}."),
        "error_codes": [code],
        "trace_id": "0a4c1d2e-0000-4000-8000-000000000003",
    })
}

async fn error_of(answer: impl Fn() -> Response + Send + Sync + 'static) -> TokenError {
    let entra = Stub::start(move |_| answer()).await;
    let tokens = tokens(&entra.url);
    let error = tokens.get(&key()).await.unwrap_err();
    for shown in [format!("{error} {error:?}"), format!("{tokens:?}"), format!("{:?}", tokens.status())] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    error
}

#[tokio::test]
async fn the_request_is_entras_and_the_token_is_kept() {
    let entra = Stub::start(|_| {
        answer(
            200,
            &json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": "t0ken"}),
        )
    })
    .await;
    // A trailing slash, as some environments have it, makes no double slash.
    let tokens = tokens(&format!("{}/", entra.url));
    assert_eq!(tokens.get(&key()).await.unwrap().value.expose(), "t0ken");
    assert_eq!(tokens.get(&key()).await.unwrap().value.expose(), "t0ken");
    let seen = entra.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].method, "POST");
    assert_eq!(seen[0].path, "/0a4c1d2e-0000-4000-8000-000000000001/oauth2/v2.0/token");
    assert_eq!(seen[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen[0].header("authorization"), None);
    let mut form: Vec<&str> = seen[0].body.split('&').collect();
    form.sort_unstable();
    assert_eq!(
        form,
        [
            "client_id=0a4c1d2e-0000-4000-8000-000000000002",
            "client_secret=entra+s3cret%26value",
            "grant_type=client_credentials",
            "scope=https%3A%2F%2Farm.example.com%2F.default",
        ]
    );
    let status = tokens.status().remove(0);
    assert_eq!((status.name.as_str(), status.standing), ("[azure.contoso] credential", Standing::Valid));
    assert_eq!(status.expires_at.unwrap().to_string(), "2026-11-24T03:59:59Z");
}

#[tokio::test]
async fn aadsts_numbers_say_who_must_act() {
    let unknown = error_of(move || answer(401, &refusal(123_456))).await.to_string();
    assert!(unknown.contains("look the code up"), "{unknown}");
    let permanent = [
        7_000_215, 7_000_222, 7_000_218, 700_016, 7_000_112, 70_001, 1_000_031, 700_027, 50_012, 700_024, 700_030,
        700_025, 70_021, 700_213, 700_211, 90_002, 900_023, 90_038, 900_382, 900_432, 500_011, 50_001, 70_011, 700_022,
        1_002_012, 53_003, 530_035, 1_000_502,
    ];
    for number in permanent {
        let TokenError::Denied { status: 401, code, mend } = error_of(move || answer(401, &refusal(number))).await
        else {
            panic!("{number} is not denied");
        };
        assert_eq!(code, format!("AADSTS{number}"));
        assert!(mend.ends_with("([azure.contoso])") && !mend.contains("look the code up"), "{mend}");
    }
    for number in [90_061, 90_006, 90_012, 90_024, 90_033, 90_090, 50_000] {
        let error = error_of(move || answer(400, &refusal(number))).await;
        assert!(matches!(error, TokenError::Transient { .. }), "{number}: {error:?}");
    }
    for (number, minutes) in [(50_196, 5), (90_055, 1)] {
        let error = error_of(move || answer(400, &refusal(number))).await;
        assert_eq!(error, TokenError::Throttled { after: Duration::from_mins(minutes) }, "{number}");
    }
}

#[tokio::test]
async fn the_mend_of_the_commonest_mistakes() {
    for (number, words) in [(7_000_215, "not its id"), (7_000_222, "expired"), (700_016, "`client_id`")] {
        let error = error_of(move || answer(401, &refusal(number))).await;
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_number_only_in_the_text_counts_too() {
    let body = json!({"error": "invalid_client", "error_description": "AADSTS7000222: the keys are expired."});
    let error = error_of(move || answer(401, &body)).await;
    assert!(matches!(error, TokenError::Denied { code, .. } if code == "AADSTS7000222"));
    let error = error_of(|| answer(400, &json!({"error": "temporarily_unavailable"}))).await;
    assert!(matches!(error, TokenError::Transient { .. }), "{error:?}");
    let error = error_of(|| answer(400, &json!({"error": "invalid_request"}))).await;
    assert!(matches!(error, TokenError::Denied { code, .. } if code == "invalid_request"));
}

#[tokio::test]
async fn entra_throttles_for_a_minute_or_as_it_says() {
    for (wish, seconds) in [("7", 7), ("1e300", 60), ("999999999999", 3_600)] {
        let error = error_of(move || answer_with(429, ("retry-after", wish), &json!({}))).await;
        assert_eq!(error, TokenError::Throttled { after: Duration::from_secs(seconds) }, "{wish}");
    }
    let error = error_of(|| answer_with(503, ("retry-after", "9"), &json!({}))).await;
    assert_eq!(error, TokenError::Throttled { after: Duration::from_secs(9) });
}

#[tokio::test]
async fn trouble_on_the_way_passes() {
    for status in [408, 500, 502, 503] {
        let error = error_of(move || answer(status, &json!({}))).await;
        assert!(matches!(error, TokenError::Transient { .. }), "{status}: {error:?}");
    }
    for authority in
        [nobody().await, cutting("").await, cutting("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{").await]
    {
        let error = tokens(&authority).get(&key()).await.unwrap_err();
        assert!(matches!(error, TokenError::Transient { .. }), "{authority}: {error:?}");
    }
    let error = error_of(|| answer(200, &json!({"access_token": "s3cret", "broken": true}))).await;
    assert!(matches!(error, TokenError::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn an_address_that_is_not_entra_is_for_a_person() {
    for status in [307, 403, 404, 407] {
        let error = error_of(move || answer_with(status, ("location", "http://127.0.0.1:1/"), &json!("no"))).await;
        assert!(matches!(&error, TokenError::Denied { status: denied, .. } if *denied == status), "{error:?}");
    }
    for authority in ["nowhere", "ftp://login.example.com"] {
        let error = tokens(authority).get(&key()).await.unwrap_err();
        assert!(matches!(error, TokenError::Denied { status: 0, .. }), "{authority}: {error:?}");
    }
}

#[tokio::test]
async fn refresh_in_is_entras_wish() {
    let entra = Stub::start(|_| {
        answer(200, &json!({"token_type": "bearer", "expires_in": 86400, "refresh_in": 0, "access_token": "t0ken"}))
    })
    .await;
    let tokens = tokens(&entra.url);
    tokens.get(&key()).await.unwrap();
    tokens.get(&key()).await.unwrap();
    tokens.settled().await;
    assert_eq!(entra.count(), 2);
}
