//! Tests of the Azure calls against a stub that is Entra and the resource manager in one.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::config::{Cloud, Credential};
use crate::domain::id::{AlertKey, DeliveryId, SubscriptionId};
use crate::domain::route::Comments;
use crate::domain::timestamp::Timestamp;
use crate::egress::Limits;
use crate::egress::stub::{Log, Seen, Stub, answer, answer_with, cutting, nobody};
use crate::secret::Secret;

const SUBSCRIPTION: &str = "9e261de7-c804-4b9d-9ebf-6f50fe350a9a";
const ALERT: &str = "66114d64-d9d9-478b-95c9-b789d6502100";
const MODIFIED: &str = "2026-11-24T03:00:01.25Z";

fn start() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

fn target() -> AzureTarget {
    AzureTarget {
        connection: ConnectionName::parse("contoso").unwrap(),
        subscription: SubscriptionId::new(SUBSCRIPTION),
        alert: ALERT.to_owned(),
        key: AlertKey::synthetic("test", "a"),
    }
}

fn delivery(call: Call) -> Delivery {
    Delivery { id: DeliveryId::new(Uuid::nil()), call, attempt: 1, uncertain: false, created_at: start() }
}

fn change_to(state: AzureState, comment: Option<&str>) -> Delivery {
    delivery(Call::ChangeState { target: target(), state, comment: comment.map(str::to_owned), keeps_closed: false })
}

fn acknowledge() -> Delivery {
    change_to(AzureState::Acknowledged, Some("Acknowledged by Jane Doe in SIGNL4"))
}

fn comment_with(text: &str) -> Delivery {
    delivery(Call::Comment { target: target(), text: text.to_owned() })
}

fn alert(state: &str) -> Value {
    json!({"id": "x", "properties": {"essentials": {"alertState": state, "lastModifiedDateTime": MODIFIED}}})
}

fn problem(code: &str) -> Value {
    json!({"error": {"code": code, "message": "with t0ken-1 and <html>"}})
}

fn learned(state: AzureState) -> Learned {
    Learned { azure: Some((state, Timestamp::parse(MODIFIED))), ..Learned::default() }
}

fn is_token(seen: &Seen) -> bool {
    seen.path.ends_with("/oauth2/v2.0/token")
}

fn connection(base: &str) -> Connection {
    Connection {
        tenant_id: "0a4c1d2e-0000-4000-8000-000000000001".to_owned(),
        client_id: "0a4c1d2e-0000-4000-8000-000000000002".to_owned(),
        credential: Some(Credential::ClientSecret {
            secrets: vec![Secret::new("client-s3cret".to_owned(), "test")],
            expires: None,
        }),
        subscriptions: BTreeSet::new(),
        cloud: Cloud {
            authority: base.to_owned(),
            arm: base.to_owned(),
            audience: base.to_owned(),
            portal: base.to_owned(),
        },
        tokens: Vec::new(),
        secure_webhook: None,
        networks: Vec::new(),
        comments: Comments::All,
        poll: None,
        poll_raises: crate::domain::reading::PollRaises::Auto,
        look_back: std::time::Duration::ZERO,
    }
}

fn azure(connection: Connection) -> Azure {
    let clock = Clock::manual(start());
    let connections = BTreeMap::from([(ConnectionName::parse("contoso").unwrap(), connection)]);
    let tokens = Arc::new(Tokens::new(clock.clone()));
    Azure::new(&connections, Http::new(Limits::default()).unwrap(), tokens, clock)
}

/// What came of an attempt, and the calls that it made, tokens left out.
struct Ended {
    attempted: Attempted,
    calls: Vec<Seen>,
    tokens: usize,
}

impl Ended {
    fn names(&self) -> Vec<String> {
        let last = |seen: &Seen| seen.path.rsplit('/').next().unwrap().to_owned();
        self.calls.iter().map(|seen| if last(seen) == ALERT { "read".to_owned() } else { last(seen) }).collect()
    }
}

/// Runs one attempt; `script` gets the requests to the resource manager so far, the newest last.
async fn run(delivery: &Delivery, script: impl Fn(&[Seen]) -> Response + Send + Sync + 'static) -> Ended {
    let server = Stub::start(move |all| {
        if is_token(all.last().unwrap()) {
            let number = all.iter().filter(|seen| is_token(seen)).count();
            let token = format!("t0ken-{number}");
            return answer(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token}));
        }
        let calls: Vec<Seen> = all.iter().filter(|seen| !is_token(seen)).cloned().collect();
        script(&calls)
    })
    .await;
    let attempted = azure(connection(&server.url)).attempt(delivery).await;
    for secret in ["s3cret", "t0ken"] {
        assert!(!format!("{attempted:?}").contains(secret), "{attempted:?}");
    }
    let (tokens, calls): (Vec<Seen>, Vec<Seen>) = server.seen().into_iter().partition(is_token);
    Ended { attempted, calls, tokens: tokens.len() }
}

/// A read that says `state`, and `change` as the answer to the changestate.
async fn run_with(
    delivery: &Delivery,
    state: &'static str,
    change: impl Fn() -> Response + Send + Sync + 'static,
) -> Ended {
    run(
        delivery,
        move |calls| {
            if calls.last().unwrap().method == "GET" { answer(200, &alert(state)) } else { change() }
        },
    )
    .await
}

#[tokio::test]
async fn a_change_is_read_sent_and_learned_from() {
    let ended = run_with(&acknowledge(), "New", || answer(200, &alert("Acknowledged"))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    assert_eq!(ended.attempted.learned, learned(AzureState::Acknowledged));
    assert_eq!(ended.names(), ["read", "changestate"]);
    let path = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{ALERT}");
    let [read, change] = &ended.calls[..] else { panic!("two calls") };
    assert_eq!((read.path.as_str(), read.query.as_str()), (path.as_str(), "api-version=2019-05-05-preview"));
    assert_eq!(change.method, "POST");
    assert_eq!(change.path, format!("{path}/changestate"));
    assert_eq!(change.query, "api-version=2019-05-05-preview&newState=Acknowledged");
    assert_eq!(change.json(), json!({"comments": "Acknowledged by Jane Doe in SIGNL4"}));
    assert_eq!(change.header("authorization"), Some("Bearer t0ken-1"));
    assert_eq!(ended.tokens, 1);
}

#[tokio::test]
async fn a_change_without_comment_has_an_empty_body_of_known_length() {
    let ended = run_with(&change_to(AzureState::Closed, None), "New", || answer(200, &alert("Closed"))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    let change = ended.calls.last().unwrap();
    assert_eq!((change.body.as_str(), change.header("content-length")), ("", Some("0")));
}

#[tokio::test]
async fn what_is_explained_is_what_is_sent() {
    let ended = run_with(&acknowledge(), "New", || answer(200, &alert("Acknowledged"))).await;
    let connection = connection("https://management.example.com");
    let shown = requests(&connection, &acknowledge().call);
    assert_eq!(shown.len(), ended.calls.len());
    for (draft, seen) in shown.iter().zip(&ended.calls) {
        assert_eq!(draft.method, seen.method);
        let url = format!("https://management.example.com{}?{}", seen.path, seen.query);
        assert_eq!(draft.masked_url(), url);
        assert_eq!(draft.body, (!seen.body.is_empty()).then(|| seen.json()));
    }
    let comment = requests(&connection, &comment_with("Escalated").call);
    assert!(comment[1].masked_url().ends_with("&newState={the state just read}"));
    assert!(requests(&connection, &foreign().call).is_empty());
}

fn foreign() -> Delivery {
    let team = crate::domain::id::TeamName::parse("ops").unwrap();
    let page = crate::domain::id::ExternalId::of(&AlertKey::synthetic("test", "a"), 1);
    delivery(Call::Resolve { team, page })
}

#[tokio::test]
async fn an_acknowledgement_never_reopens_a_closed_alert() {
    let ended = run_with(&acknowledge(), "Closed", || answer(500, &json!({}))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    assert_eq!(ended.attempted.learned, learned(AzureState::Closed));
    assert_eq!(ended.names(), ["read"]);
}

#[tokio::test]
async fn an_acknowledgement_that_is_taken_back_reopens_nothing_either() {
    let call = Call::ChangeState {
        target: target(),
        state: AzureState::New,
        comment: Some("x".to_owned()),
        keeps_closed: true,
    };
    let ended = run_with(&delivery(call.clone()), "Closed", || answer(500, &json!({}))).await;
    assert_eq!(ended.attempted.learned, learned(AzureState::Closed));
    assert_eq!(ended.names(), ["read"]);
    let ended = run_with(&delivery(call), "Acknowledged", || answer(200, &alert("New"))).await;
    assert_eq!(ended.names(), ["read", "changestate"]);
}

#[tokio::test]
async fn an_explicit_reopening_is_sent() {
    let ended = run_with(&change_to(AzureState::New, None), "Closed", || answer(200, &alert("New"))).await;
    assert_eq!(ended.names(), ["read", "changestate"]);
    assert_eq!(ended.attempted.learned, learned(AzureState::New));
}

#[tokio::test]
async fn what_is_already_so_needs_no_call() {
    let ended = run_with(&change_to(AzureState::Acknowledged, None), "acknowledged", || answer(500, &json!({}))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    assert_eq!(ended.attempted.learned, learned(AzureState::Acknowledged));
    assert_eq!(ended.names(), ["read"]);
}

#[tokio::test]
async fn what_is_already_so_still_gets_its_comment() {
    for (status, outcome) in [
        (200, Outcome::Accepted),
        (400, Outcome::Accepted),
        (409, Outcome::Accepted),
        (500, Outcome::Unknown),
        (403, Outcome::Denied { status: 403 }),
    ] {
        let ended = run_with(&acknowledge(), "Acknowledged", move || answer(status, &alert("Acknowledged"))).await;
        assert_eq!(ended.attempted.outcome, outcome, "{status}");
        assert_eq!(ended.names(), ["read", "changestate"]);
        assert_eq!(ended.calls[1].query, "api-version=2019-05-05-preview&newState=Acknowledged");
    }
}

#[tokio::test]
async fn a_comment_keeps_the_state_that_was_read() {
    for state in ["New", "Acknowledged", "Closed"] {
        let ended =
            run_with(&comment_with("Escalated to the manager"), state, move || answer(200, &alert(state))).await;
        assert_eq!(ended.attempted.outcome, Outcome::Accepted);
        assert_eq!(ended.calls[1].query, format!("api-version=2019-05-05-preview&newState={state}"));
        assert_eq!(ended.calls[1].json(), json!({"comments": "Escalated to the manager"}));
        assert_eq!(ended.attempted.learned, learned(AzureState::parse(state).unwrap()));
    }
}

#[tokio::test]
async fn a_comment_that_azure_refuses_is_refused() {
    for status in [400, 409] {
        let ended = run_with(&comment_with("x"), "New", move || answer(status, &problem("BadRequest"))).await;
        assert_eq!(ended.attempted.outcome, Outcome::Refused { status });
        assert_eq!(ended.attempted.note, format!("Azure answered the comment with {status} BadRequest"));
    }
}

#[tokio::test]
async fn without_a_reading_a_comment_is_not_sent() {
    for (status, outcome) in [
        (500, Outcome::Unsent),
        (503, Outcome::Busy { after: None }),
        (429, Outcome::Busy { after: None }),
        (403, Outcome::Denied { status: 403 }),
        (404, Outcome::Refused { status: 404 }),
        (200, Outcome::Unsent),
    ] {
        let ended = run(&comment_with("x"), move |_| answer(status, &problem("Trouble"))).await;
        assert_eq!(ended.attempted.outcome, outcome, "{status}");
        assert_eq!(ended.names(), ["read"]);
    }
}

#[tokio::test]
async fn a_failed_read_does_not_hold_a_change_up() {
    for status in [200, 400, 403, 404, 500, 503] {
        let ended = run(&acknowledge(), move |calls| {
            if calls.last().unwrap().method == "GET" {
                answer(status, &problem("Trouble"))
            } else {
                answer(200, &alert("Acknowledged"))
            }
        })
        .await;
        assert_eq!(ended.attempted.outcome, Outcome::Accepted, "{status}");
        assert_eq!(ended.names(), ["read", "changestate"]);
    }
}

#[tokio::test]
async fn a_throttled_read_holds_the_change_back() {
    let ended = run(&acknowledge(), |_| answer_with(429, ("retry-after", "17"), &json!({}))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Busy { after: Some(Duration::from_secs(17)) });
    assert_eq!(ended.names(), ["read"]);
}

#[tokio::test]
async fn every_answer_to_a_change_has_its_outcome() {
    for (status, outcome) in [
        (200, Outcome::Accepted),
        (204, Outcome::Accepted),
        (302, Outcome::Denied { status: 302 }),
        (400, Outcome::Refused { status: 400 }),
        (403, Outcome::Denied { status: 403 }),
        (404, Outcome::Refused { status: 404 }),
        (405, Outcome::Refused { status: 405 }),
        (408, Outcome::Busy { after: None }),
        (410, Outcome::Refused { status: 410 }),
        (413, Outcome::Refused { status: 413 }),
        (422, Outcome::Refused { status: 422 }),
        (429, Outcome::Busy { after: None }),
        (500, Outcome::Unknown),
        (502, Outcome::Unknown),
        (503, Outcome::Busy { after: None }),
        (504, Outcome::Unknown),
    ] {
        let ended = run_with(&acknowledge(), "New", move || answer(status, &problem("ResourceNotFound"))).await;
        assert_eq!(ended.attempted.outcome, outcome, "{status}");
        let taught = (outcome == Outcome::Accepted).then_some((AzureState::Acknowledged, None));
        assert_eq!(ended.attempted.learned.azure, taught, "{status}");
    }
}

#[tokio::test]
async fn an_unreachable_subscription_is_a_denial_with_its_mend() {
    let ended = run(&acknowledge(), |_| answer(404, &problem("SubscriptionNotFound"))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Denied { status: 404 });
    assert!(ended.attempted.note.contains("is not in the tenant of [azure.contoso]"), "{}", ended.attempted.note);
    let ended = run(&acknowledge(), |_| answer(403, &problem("AuthorizationFailed"))).await;
    assert!(ended.attempted.note.contains("alerts/read and …/changestate/action"), "{}", ended.attempted.note);
}

#[tokio::test]
async fn a_conflict_is_read_again() {
    // What the second read shows, the attempt, the outcome.
    for (second, attempt, outcome) in [
        ("Acknowledged", 1, Outcome::Accepted),
        ("Closed", 1, Outcome::Accepted),
        ("New", 1, Outcome::NotYet { after: Duration::from_secs(1) }),
        ("New", 5_000, Outcome::NotYet { after: Duration::from_secs(1) }),
    ] {
        let delivery = Delivery { attempt, ..acknowledge() };
        let ended = run(&delivery, move |calls| match calls.len() {
            1 => answer(200, &alert("New")),
            2 => answer(409, &problem("Conflict")),
            _ => answer(200, &alert(second)),
        })
        .await;
        assert_eq!(ended.attempted.outcome, outcome, "{second}");
        assert_eq!(ended.names(), ["read", "changestate", "read"]);
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let ended = run(&acknowledge(), |calls| {
        let last = calls.last().unwrap();
        match (last.header("authorization").unwrap(), last.method.as_str()) {
            ("Bearer t0ken-1", _) => answer(401, &problem("ExpiredAuthenticationToken")),
            (_, "GET") => answer(200, &alert("New")),
            _ => answer(200, &alert("Acknowledged")),
        }
    })
    .await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    assert_eq!(ended.names(), ["read", "read", "changestate"]);
    assert_eq!(ended.tokens, 2);
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_is_a_denial() {
    let ended = run(&acknowledge(), |_| answer(401, &problem("InvalidAuthenticationToken"))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Denied { status: 401 });
    assert_eq!(ended.names(), ["read", "read"]);
    assert_eq!(ended.tokens, 2);
}

#[tokio::test]
async fn an_earlier_attempt_that_arrived_is_not_said_twice() {
    let text = "Acknowledged by Jane Doe in SIGNL4";
    let history = move |at: &str, comments: &str| {
        json!({"properties": {"modifications": [
            {"modificationEvent": "AlertCreated", "modifiedAt": "2026-11-24T02:00:00Z", "comments": null},
            {"modificationEvent": "StateChange", "modifiedAt": at, "comments": comments},
        ]}})
    };
    let comment = comment_with(text);
    for (delivery, history, sent) in [
        (acknowledge(), history("2026-11-24T03:00:05Z", text), false),
        (acknowledge(), history("2026-11-24T03:00:05Z", "another"), true),
        (acknowledge(), history("2026-11-23T03:00:05Z", text), true),
        (acknowledge(), json!("no history"), true),
        (comment.clone(), history("2026-11-24T03:00:05Z", text), false),
        (comment, history("2026-11-24T03:00:05Z", "another"), true),
    ] {
        let uncertain = Delivery { uncertain: true, attempt: 2, ..delivery };
        let ended = run(&uncertain, move |calls| {
            let body =
                if calls.last().unwrap().path.ends_with("/history") { history.clone() } else { alert("Acknowledged") };
            answer(200, &body)
        })
        .await;
        assert_eq!(ended.attempted.outcome, Outcome::Accepted);
        let names = if sent { vec!["read", "history", "changestate"] } else { vec!["read", "history"] };
        assert_eq!(ended.names(), names);
    }
}

#[tokio::test]
async fn a_call_that_did_not_arrive_is_told_from_one_that_may_have() {
    // Entra answers, the resource manager does not.
    let entra = Stub::start(|_| answer(200, &json!({"token_type": "Bearer", "access_token": "t0ken"}))).await;
    for (arm, outcome) in [
        (nobody().await, Outcome::Unsent),
        (cutting("").await, Outcome::Unknown),
        ("nowhere".to_owned(), Outcome::Denied { status: 0 }),
    ] {
        let mut connection = connection(&entra.url);
        connection.cloud.arm.clone_from(&arm);
        assert_eq!(azure(connection).attempt(&acknowledge()).await.outcome, outcome, "{arm}");
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let bad_secret = json!({"error": "invalid_client", "error_codes": [7_000_215]});
    for (status, body, outcome) in [
        (401, bad_secret, Outcome::Denied { status: 401 }),
        (429, json!({}), Outcome::Busy { after: Some(Duration::from_mins(1)) }),
        (500, json!({}), Outcome::Unsent),
    ] {
        let server = Stub::start(move |_| answer(status, &body)).await;
        let attempted = azure(connection(&server.url)).attempt(&acknowledge()).await;
        assert_eq!(attempted.outcome, outcome);
        assert!(server.seen().iter().all(is_token));
        if status == 401 {
            assert!(attempted.note.contains("AADSTS7000215") && attempted.note.contains("not its id"), "{attempted:?}");
        }
    }
}

#[tokio::test]
async fn what_the_configuration_lacks_is_a_denial() {
    let without = azure(Connection { credential: None, ..connection("https://example.com") });
    let attempted = without.attempt(&acknowledge()).await;
    assert_eq!(attempted.outcome, Outcome::Denied { status: 0 });
    assert_eq!(attempted.note, "[azure.contoso] has no credential: configure one");
    let clock = Clock::manual(start());
    let tokens = Arc::new(Tokens::new(clock.clone()));
    let empty = Azure::new(&BTreeMap::new(), Http::new(Limits::default()).unwrap(), tokens, clock);
    assert_eq!(empty.attempt(&acknowledge()).await.note, "[azure.contoso] is not configured any more");
    assert_eq!(empty.attempt(&foreign()).await.outcome, Outcome::OurFault);
}

#[tokio::test]
async fn the_log_has_templates_and_no_secrets() {
    let log = Log::capture();
    run_with(&acknowledge(), "New", || answer(403, &problem("AuthorizationFailed"))).await;
    run(&acknowledge(), |_| answer(401, &problem("InvalidAuthenticationToken"))).await;
    let text = log.text();
    for field in ["path=\"/{tenant}/oauth2/v2.0/token\"", "purpose=\"changestate\"", "status=403", "duration_ms="] {
        assert!(text.contains(field), "{field} is missing in {text}");
    }
    for secret in ["client-s3cret", "t0ken"] {
        assert!(!text.contains(secret), "{text}");
    }
}
