//! Tests of the SIGNL4 calls against a stub of its webhook and its REST API.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::domain::delivery::{AzureState, AzureTarget};
use crate::domain::id::{AccountName, AlertKey, ConnectionName, DeliveryId, SubscriptionId};
use crate::domain::timestamp::Timestamp;
use crate::egress::Limits;
use crate::egress::stub::{Log, Seen, Stub, answer, answer_with, cutting, nobody};
use crate::secret::Secret;
use crate::tokens::Standing;

const EVENT: &str = "2518000000000000000_0a4c1d2e-0000-4000-8000-000000000011";
const ALERT: &str = "2518000000000000001_0a4c1d2e-0000-4000-8000-000000000012";
const USER: &str = "0a4c1d2e-0000-4000-8000-000000000013";

fn start() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

fn name() -> TeamName {
    TeamName::parse("ops").unwrap()
}

fn page() -> ExternalId {
    ExternalId::of(&AlertKey::synthetic("test", "a"), 1)
}

fn body() -> Value {
    json!({"Title": "CPU high on vm1", "Message": "m", "X-S4-ExternalID": page().as_str(), "X-S4-Status": "new"})
}

fn delivery(call: Call) -> Delivery {
    Delivery { id: DeliveryId::new(Uuid::nil()), call, attempt: 1, uncertain: false, created_at: start() }
}

fn raise() -> Delivery {
    delivery(Call::Raise { team: name(), page: page(), body: body(), origin: None })
}

fn uncertain_raise() -> Delivery {
    Delivery { uncertain: true, attempt: 2, ..raise() }
}

fn annotate() -> Delivery {
    delivery(Call::Annotate { team: name(), page: page(), text: "Azure resolved it".to_owned() })
}

fn team(base_url: &str) -> Team {
    Team {
        account: AccountName::parse("acme").unwrap(),
        secret: Secret::new("t3amsecret".to_owned(), "test"),
        tokens: Vec::new(),
        networks: Vec::new(),
        base_url: base_url.to_owned(),
        api_key: Some(Secret::new("k3y".to_owned(), "test")),
        user_id: Some(USER.to_owned()),
        storm: None,
        poll: None,
        pace: None,
    }
}

fn signl4(team: Team) -> Signl4 {
    let clock = Clock::manual(start());
    let tokens = Arc::new(Tokens::new(clock.clone()));
    Signl4::new(&BTreeMap::from([(name(), team)]), Http::new(Limits::default()).unwrap(), tokens, clock)
        .with_look_up_pause(Duration::ZERO)
}

fn raised() -> Response {
    answer(201, &json!({ "eventId": EVENT }))
}

fn results(external_ids: &[&str]) -> Value {
    let results: Vec<Value> = external_ids
        .iter()
        .map(|id| json!({"id": if *id == page().as_str() { ALERT } else { "another" }, "eventId": EVENT, "externalId": id}))
        .collect();
    json!({"results": results, "hasMore": false})
}

/// SIGNL4's error for a wrong secret, which quotes it.
fn unknown_secret() -> Value {
    json!({
        "requestId": "x",
        "code": 3004,
        "details": "An event source with ID t3amsecret was not found.",
        "message": "Error raising event.",
    })
}

struct Ended {
    attempted: Attempted,
    calls: Vec<Seen>,
    signl4: Signl4,
}

impl Ended {
    fn names(&self) -> Vec<&str> {
        let last = |seen: &'_ Seen| {
            if seen.path.starts_with("/webhook/") {
                "webhook"
            } else if seen.path.ends_with("/paged") {
                "look-up"
            } else {
                "annotate"
            }
        };
        self.calls.iter().map(last).collect()
    }

    fn standing(&self, key: &str) -> Standing {
        self.signl4.tokens.status().into_iter().find(|status| status.name.ends_with(key)).unwrap().standing
    }
}

async fn run_as(
    team: impl Fn(Team) -> Team,
    delivery: &Delivery,
    script: impl Fn(&[Seen]) -> Response + Send + Sync + 'static,
) -> Ended {
    let server = Stub::start(script).await;
    let signl4 = signl4(team(self::team(&server.url)));
    let attempted = signl4.attempt(delivery).await;
    let shown = format!("{attempted:?} {signl4:?} {:?}", signl4.tokens.status());
    for secret in ["t3amsecret", "k3y"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    Ended { attempted, calls: server.seen(), signl4 }
}

async fn run(delivery: &Delivery, script: impl Fn(&[Seen]) -> Response + Send + Sync + 'static) -> Ended {
    run_as(|team| team, delivery, script).await
}

/// The webhook raises; look-ups are answered by `look_up`, counted from 0.
async fn run_settling(delivery: &Delivery, look_up: impl Fn(usize) -> Response + Send + Sync + 'static) -> Ended {
    let looks = AtomicUsize::new(0);
    run(delivery, move |calls| {
        let path = &calls.last().unwrap().path;
        if path.starts_with("/webhook/") {
            raised()
        } else if path.ends_with("/paged") {
            look_up(looks.fetch_add(1, Ordering::SeqCst))
        } else {
            answer(200, &json!({}))
        }
    })
    .await
}

#[tokio::test]
async fn a_page_is_posted_to_the_teams_webhook() {
    let ended = run(&raise(), |_| raised()).await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    assert_eq!(ended.attempted.learned.signl4_event_id.as_deref(), Some(EVENT));
    assert!(!ended.attempted.possibly_doubled);
    let [call] = &ended.calls[..] else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.path.as_str(), call.query.as_str()), ("POST", "/webhook/t3amsecret", ""));
    assert_eq!(call.header("content-type"), Some("application/json"));
    assert_eq!(call.header("x-s4-api-key"), None);
    assert_eq!(call.body, body().to_string());
}

#[tokio::test]
async fn status_changes_name_the_page_and_nothing_else() {
    for (call, status) in [
        (Call::Acknowledge { team: name(), page: page() }, "acknowledged"),
        (Call::Resolve { team: name(), page: page() }, "resolved"),
    ] {
        let ended = run(&delivery(call), |_| raised()).await;
        assert_eq!(ended.attempted.outcome, Outcome::Accepted);
        assert_eq!(ended.names(), ["webhook"]);
        let expected = json!({
            "X-S4-ExternalID": "azmon:test:a",
            "X-S4-Status": status,
            "X-S4-SourceSystem": "AzureMonitor",
        });
        assert_eq!(ended.calls[0].json(), expected);
    }
}

#[tokio::test]
async fn every_answer_has_its_outcome() {
    for (status, outcome) in [
        (200, Outcome::Accepted),
        (201, Outcome::Accepted),
        (202, Outcome::Accepted),
        (302, Outcome::Denied { status: 302 }),
        (400, Outcome::Refused { status: 400 }),
        (401, Outcome::Denied { status: 401 }),
        (403, Outcome::Denied { status: 403 }),
        (404, Outcome::Refused { status: 404 }),
        (405, Outcome::Refused { status: 405 }),
        (410, Outcome::Refused { status: 410 }),
        (413, Outcome::Refused { status: 413 }),
        (422, Outcome::Refused { status: 422 }),
        (429, Outcome::Busy { after: Some(Duration::from_secs(15)) }),
        (500, Outcome::Unknown),
        (502, Outcome::Unknown),
        (503, Outcome::Busy { after: None }),
        (504, Outcome::Unknown),
    ] {
        let ended = run(&raise(), move |_| answer(status, &json!({"code": 17, "message": "t3amsecret"}))).await;
        assert_eq!(ended.attempted.outcome, outcome, "{status}");
        assert_eq!(ended.calls.len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_secret_denies_the_team_and_shows_without_the_secret() {
    let ended = run(&raise(), |_| answer(404, &unknown_secret())).await;
    assert_eq!(ended.attempted.outcome, Outcome::Denied { status: 404 });
    assert_eq!(
        ended.attempted.note,
        "SIGNL4 answered the raise with 404, code 3004: SIGNL4 does not take [signl4.ops] secret; \
         copy it anew from the SIGNL4 portal"
    );
    assert_eq!(ended.standing("secret"), Standing::Denied);
    assert_eq!(ended.standing("api_key"), Standing::Valid);
}

#[tokio::test]
async fn a_404_that_is_not_signl4s_own_blames_the_address() {
    let ended = run(&raise(), |_| answer(404, &json!("no such page"))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Denied { status: 404 });
    assert!(ended.attempted.note.ends_with("check `base_url` of [signl4.ops]"), "{}", ended.attempted.note);
}

#[tokio::test]
async fn a_throttled_team_waits_as_signl4_says() {
    let reset = (start().as_millis() / 1_000 + 40).to_string();
    for (header, value, seconds) in
        [("retry-after", "7".to_owned(), 7), ("x-ratelimit-reset", reset, 40), ("retry-after", "1e300".to_owned(), 15)]
    {
        let ended = run(&raise(), move |_| answer_with(429, (header, &value), &json!({}))).await;
        assert_eq!(ended.attempted.outcome, Outcome::Busy { after: Some(Duration::from_secs(seconds)) }, "{header}");
    }
}

#[tokio::test]
async fn a_page_of_a_proxy_is_no_answer_of_signl4() {
    let ended = run(&raise(), |_| answer_with(200, ("content-type", "text/html"), &json!("<h1>Sign in</h1>"))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_call_that_did_not_arrive_is_told_from_one_that_may_have() {
    for (base, outcome) in [
        (nobody().await, Outcome::Unsent),
        (cutting("").await, Outcome::Unknown),
        (cutting("HTTP/1.1 201 Created\r\ncontent-length: 80\r\n\r\n{\"ev").await, Outcome::Accepted),
        ("nowhere".to_owned(), Outcome::Denied { status: 0 }),
    ] {
        let attempted = signl4(team(&base)).attempt(&raise()).await;
        assert_eq!(attempted.outcome, outcome, "{base}");
        assert!(!format!("{attempted:?}").contains("t3amsecret"), "{attempted:?}");
    }
}

#[tokio::test]
async fn an_uncertain_raise_that_had_arrived_is_not_repeated() {
    for arrives_at in [0, 1] {
        let ended = run_settling(&uncertain_raise(), move |look| {
            let ids: &[&str] = if look < arrives_at { &["azmon:test:ab"] } else { &["azmon:test:ab", "AZMON:test:a"] };
            answer(
                200,
                &json!({"results": ids.iter().map(|id| json!({"id": ALERT, "externalId": id})).collect::<Vec<_>>()}),
            )
        })
        .await;
        assert_eq!(ended.attempted.outcome, Outcome::Accepted);
        assert_eq!(ended.attempted.learned.signl4_alert_id.as_deref(), Some(ALERT));
        assert!(!ended.attempted.possibly_doubled);
        assert_eq!(ended.names(), vec!["look-up"; arrives_at + 1]);
        let look = &ended.calls[0];
        assert_eq!(
            (look.path.as_str(), look.query.as_str()),
            ("/api/v2/alerts/paged", format!("userId={USER}").as_str())
        );
        assert_eq!(look.header("x-s4-api-key"), Some("k3y"));
        assert_eq!(look.json(), json!({"externalId": "azmon:test:a"}));
    }
}

#[tokio::test]
async fn an_uncertain_raise_that_is_not_found_is_repeated_and_says_so() {
    let nothing: [fn() -> Response; 2] = [|| answer(200, &results(&["azmon:test:ab"])), || answer(204, &Value::Null)];
    for look_up in nothing {
        let ended = run_settling(&uncertain_raise(), move |_| look_up()).await;
        assert_eq!(ended.names(), ["look-up", "look-up", "webhook"]);
        assert_eq!(ended.attempted.outcome, Outcome::Accepted);
        assert!(ended.attempted.possibly_doubled);
        assert!(ended.attempted.note.contains("without proof"), "{}", ended.attempted.note);
    }
}

#[tokio::test]
async fn a_look_up_that_nobody_may_make_does_not_hold_the_page_up() {
    for status in [401, 403] {
        let ended = run_settling(&uncertain_raise(), move |_| answer(status, &json!([]))).await;
        assert_eq!(ended.names(), ["look-up", "webhook"], "{status}");
        assert_eq!(ended.attempted.outcome, Outcome::Accepted);
        assert!(ended.attempted.possibly_doubled);
        assert_eq!(ended.standing("api_key"), Standing::Denied, "{status}");
        assert_eq!(ended.standing("secret"), Standing::Valid);
    }
}

#[tokio::test]
async fn a_look_up_that_finds_no_answer_is_made_again_before_the_page_is_repeated() {
    for status in [429, 500, 503] {
        let ended = run_settling(&uncertain_raise(), move |_| answer(status, &json!([]))).await;
        assert_eq!(ended.names(), ["look-up"], "{status}: not sent again");
        assert_eq!(ended.attempted.outcome, Outcome::NotYet { after: Duration::from_secs(15) });
        let last = Delivery { attempt: 8, ..uncertain_raise() };
        let ended = run_settling(&last, move |_| answer(status, &json!([]))).await;
        assert_eq!(ended.names(), ["look-up", "webhook"], "{status}: at last the page is worth more than the doubt");
    }
}

#[tokio::test]
async fn without_a_key_or_a_user_an_uncertain_raise_is_repeated() {
    let incomplete: [fn(Team) -> Team; 2] =
        [|team| Team { api_key: None, ..team }, |team| Team { user_id: None, ..team }];
    for team in incomplete {
        let ended = run_as(team, &uncertain_raise(), |_| raised()).await;
        assert_eq!(ended.names(), ["webhook"]);
        assert!(ended.attempted.possibly_doubled);
        let ended = run_as(team, &annotate(), |_| raised()).await;
        assert_eq!(ended.attempted.outcome, Outcome::Refused { status: 0 });
        assert!(ended.calls.is_empty());
    }
}

#[tokio::test]
async fn only_what_may_have_arrived_can_be_doubled() {
    for (status, doubled) in [(201, true), (500, true), (400, false), (403, false), (429, false), (503, false)] {
        let no_key = |team| Team { api_key: None, ..team };
        let ended = run_as(no_key, &uncertain_raise(), move |_| answer(status, &json!({}))).await;
        assert_eq!(ended.attempted.possibly_doubled, doubled, "{status}");
    }
}

#[tokio::test]
async fn an_annotation_finds_its_alert_first() {
    let ended = run_settling(&annotate(), |_| answer(200, &results(&["azmon:test:a"]))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Accepted);
    assert_eq!(ended.attempted.learned.signl4_alert_id.as_deref(), Some(ALERT));
    assert_eq!(ended.names(), ["look-up", "annotate"]);
    let call = &ended.calls[1];
    assert_eq!(call.path, format!("/api/v2/alerts/{ALERT}/annotate"));
    assert_eq!(call.header("x-s4-api-key"), Some("k3y"));
    assert_eq!(call.json(), json!({"text": "Azure resolved it", "type": 1, "userId": USER}));
}

#[tokio::test]
async fn an_annotation_waits_for_its_alert_but_not_for_ever() {
    for (attempt, outcome) in
        [(1, Outcome::NotYet { after: Duration::from_secs(15) }), (5, Outcome::Refused { status: 404 })]
    {
        let delivery = Delivery { attempt, ..annotate() };
        let ended = run_settling(&delivery, |_| answer(200, &results(&[]))).await;
        assert_eq!(ended.attempted.outcome, outcome);
        assert_eq!(ended.names(), ["look-up"]);
    }
}

#[tokio::test]
async fn a_refused_api_key_gives_the_annotation_up_and_leaves_the_team_alone() {
    for status in [401, 403] {
        let ended = run_settling(&annotate(), move |_| answer(status, &json!({}))).await;
        assert_eq!(ended.attempted.outcome, Outcome::Refused { status });
        assert_eq!((ended.standing("api_key"), ended.standing("secret")), (Standing::Denied, Standing::Valid));
    }
    let ended = run_settling(&annotate(), |_| answer(500, &json!({}))).await;
    assert_eq!(ended.attempted.outcome, Outcome::Unsent);
}

#[tokio::test]
async fn what_is_explained_is_what_is_sent() {
    for delivery in [raise(), delivery(Call::Resolve { team: name(), page: page() })] {
        let ended = run(&delivery, |_| raised()).await;
        let [draft] = &requests(&team("https://connect.example.com"), &delivery.call)[..] else { panic!("one draft") };
        assert_eq!(draft.masked_url(), "https://connect.example.com/webhook/••••");
        assert_eq!(draft.body.as_ref().map(Value::to_string), Some(ended.calls[0].body.clone()));
    }
    let drafts = requests(&team("https://connect.example.com"), &annotate().call);
    assert_eq!(drafts[1].masked_url(), "https://connect.example.com/api/v2/alerts/{the id just found}/annotate");
    assert!(!format!("{drafts:?}{}", drafts[0]).contains("k3y"));
}

#[tokio::test]
async fn what_the_configuration_lacks_is_a_denial() {
    let clock = Clock::manual(start());
    let tokens = Arc::new(Tokens::new(clock.clone()));
    let empty = Signl4::new(&BTreeMap::new(), Http::new(Limits::default()).unwrap(), tokens, clock);
    let attempted = empty.attempt(&raise()).await;
    assert_eq!(attempted.outcome, Outcome::Denied { status: 0 });
    assert_eq!(attempted.note, "[signl4.ops] is not configured any more");
    let target = AzureTarget {
        connection: ConnectionName::parse("contoso").unwrap(),
        subscription: SubscriptionId::new("9e261de7-c804-4b9d-9ebf-6f50fe350a9a"),
        alert: "a".to_owned(),
        key: AlertKey::synthetic("test", "a"),
    };
    let foreign = delivery(Call::ChangeState { target, state: AzureState::New, comment: None, keeps_closed: false });
    assert_eq!(empty.attempt(&foreign).await.outcome, Outcome::OurFault);
}

#[tokio::test]
async fn the_log_has_templates_and_no_secrets() {
    let log = Log::capture();
    run_settling(&uncertain_raise(), |_| answer(204, &json!({}))).await;
    run_settling(&annotate(), |_| answer(401, &json!({}))).await;
    run(&raise(), |_| answer(404, &unknown_secret())).await;
    let text = log.text();
    for field in ["path=\"/webhook/{secret}\"", "purpose=\"raise\"", "host=\"127.0.0.1\"", "status=404", "duration_ms="]
    {
        assert!(text.contains(field), "{field} is missing in {text}");
    }
    for secret in ["t3amsecret", "k3y"] {
        assert!(!text.contains(secret), "{text}");
    }
}
