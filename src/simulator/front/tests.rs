//! The front of a simulator: faults, doors, and the log of calls.

use std::time::Duration;

use reqwest::Client;

use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::{Answered, Operation};
use crate::simulator::faults::{Action, Door, Fault, RetryAfter};
use crate::simulator::receiver::Receiver;

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn post(receiver: &Receiver) -> reqwest::Result<reqwest::Response> {
    client().post(format!("{}/hook?a=b", receiver.url)).body("{}").send().await
}

#[tokio::test]
async fn a_request_is_logged_whole() {
    let receiver = Receiver::start().await.unwrap();
    let answer = post(&receiver).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap(), r#"{"ok":true}"#);
    let [call] = &receiver.calls()[..] else { panic!("one call") };
    assert_eq!((call.method.as_str(), call.path.as_str()), ("POST", "/hook?a=b"));
    assert_eq!(call.query("a").as_deref(), Some("b"));
    assert_eq!((call.answered, call.processed), (Answered::Status(200), true));
    assert_eq!(call.body, "{}");
}

#[tokio::test]
async fn retry_after_comes_in_each_form() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::throttled(RetryAfter::Seconds(30)));
    receiver.faults.plan(Fault::throttled(RetryAfter::Date(90)));
    receiver.faults.plan(Fault::throttled(RetryAfter::Raw("1e300".to_owned())));
    let mut values = Vec::new();
    for _ in 0..3 {
        let answer = post(&receiver).await.unwrap();
        assert_eq!(answer.status(), 429);
        values.push(answer.headers()["retry-after"].to_str().unwrap().to_owned());
    }
    assert_eq!((values[0].as_str(), values[2].as_str()), ("30", "1e300"));
    assert!(values[1].ends_with(" GMT"), "{}", values[1]);
    let date = jiff::fmt::rfc2822::parse(&values[1]).unwrap();
    let ahead = date.timestamp().as_millisecond() - receiver.calls()[1].at.as_millis();
    assert!((88_000..=91_000).contains(&ahead), "{ahead}");
    // The plan is used up.
    assert_eq!(post(&receiver).await.unwrap().status(), 200);
    assert!(receiver.faults.planned().is_empty());
    assert!(receiver.calls().iter().take(3).all(|call| !call.processed));
}

#[tokio::test]
async fn a_connection_is_cut_before_the_answer_with_and_without_effect() {
    let receiver = Receiver::start().await.unwrap();
    for (action, processed) in [(Action::CutUnprocessed, false), (Action::CutProcessed, true)] {
        receiver.faults.plan(Fault::new(action));
        let error = post(&receiver).await.unwrap_err();
        assert!(error.is_request() && !error.is_connect() && !error.is_timeout(), "{error:?}");
        let call = receiver.calls().pop().unwrap();
        assert_eq!((call.answered, call.processed), (Answered::Cut, processed));
    }
}

#[tokio::test]
async fn a_connection_is_cut_within_the_body() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::new(Action::CutMidBody));
    let answer = post(&receiver).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.content_length(), Some(11));
    assert!(answer.bytes().await.is_err());
    assert_eq!(receiver.calls()[0].answered, Answered::CutMidBody(200));
}

#[tokio::test]
async fn bodies_can_be_garbage_html_and_huge() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::new(Action::Garbage));
    receiver.faults.plan(Fault::new(Action::Html { status: 502 }));
    receiver.faults.plan(Fault::new(Action::Body { status: 409, body: serde_json::json!({ "code": 7 }) }));
    receiver.faults.plan(Fault::new(Action::Huge { bytes: 3_000_000 }));
    let garbage = post(&receiver).await.unwrap();
    assert_eq!(garbage.status(), 200);
    assert!(serde_json::from_slice::<serde_json::Value>(&garbage.bytes().await.unwrap()).is_err());
    let html = post(&receiver).await.unwrap();
    assert_eq!((html.status().as_u16(), html.headers()["content-type"].to_str().unwrap()), (502, "text/html"));
    assert!(html.text().await.unwrap().contains("<h1>502 Bad Gateway</h1>"));
    let body = post(&receiver).await.unwrap();
    assert_eq!((body.status().as_u16(), body.text().await.unwrap().as_str()), (409, r#"{"code":7}"#));
    let huge = post(&receiver).await.unwrap();
    assert_eq!((huge.status().as_u16(), huge.bytes().await.unwrap().len()), (200, 3_000_000));
}

#[tokio::test]
async fn a_fault_strikes_only_what_it_matches_after_those_it_skips() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::status(500).on(Operation::Token).always());
    receiver.faults.plan(Fault::status(501).on_path("/other").always());
    receiver.faults.plan(Fault::status(502).on(Operation::Webhook).skip(1).times(2));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(post(&receiver).await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [200, 502, 502, 200]);
    assert_eq!(receiver.faults.planned().len(), 2);
    receiver.faults.clear();
    assert!(receiver.faults.planned().is_empty());
}

#[tokio::test]
async fn a_late_answer_took_effect_though_the_caller_gave_up() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::late_answer(Duration::from_mins(1)));
    let error = client().post(&receiver.url).timeout(Duration::from_secs(1)).send().await.unwrap_err();
    assert!(error.is_timeout());
    let call = receiver.called(1).await.pop().unwrap();
    assert_eq!((call.answered, call.processed), (Answered::Status(200), true));
}

#[tokio::test]
async fn a_hanging_request_has_no_effect_and_no_answer() {
    let receiver = Receiver::start().await.unwrap();
    receiver.faults.plan(Fault::new(Action::Hang));
    let error = client().post(&receiver.url).timeout(Duration::from_secs(1)).send().await.unwrap_err();
    assert!(error.is_timeout());
    let call = receiver.called(1).await.pop().unwrap();
    assert_eq!((call.answered, call.processed, call.status()), (Answered::Hung, false, None));
}

#[tokio::test]
async fn a_shut_door_refuses_or_is_unavailable_until_it_opens() {
    let receiver = Receiver::start().await.unwrap();
    // This client keeps its connection: it must be cut too.
    let client = client();
    let get = || client.post(&receiver.url).send();
    assert_eq!(get().await.unwrap().status(), 200);
    receiver.faults.set_door(Door::Unavailable).await;
    assert_eq!(get().await.unwrap().status(), 503);
    receiver.faults.set_door(Door::Refused).await;
    assert!(get().await.unwrap_err().is_connect());
    receiver.faults.set_door(Door::Open).await;
    assert_eq!(get().await.unwrap().status(), 200);
    let statuses: Vec<_> = receiver.calls().iter().map(|call| (call.status(), call.processed)).collect();
    assert_eq!(statuses, [(Some(200), true), (Some(503), false), (Some(200), true)]);
}

#[test]
fn an_http_date_is_an_imf_fixdate() {
    let clock = crate::clock::Clock::manual(Timestamp::parse("1994-11-06T08:49:30Z").unwrap());
    // The example of RFC 9110, section 5.6.7.
    assert_eq!(super::retry_after_value(&RetryAfter::Date(7), &clock), "Sun, 06 Nov 1994 08:49:37 GMT");
}
