//! Tests of the client against a real socket.

use reqwest::{Method, Request, Url};
use serde_json::{Value, json};

use super::stub::{Stub, answer, answer_with, cutting, nobody};
use super::*;

const AIM: Aim = Aim { side: Side::Signl4, purpose: "raise", path: "/webhook/{secret}" };

fn get(url: &str) -> Request {
    Request::new(Method::GET, Url::parse(url).unwrap())
}

fn http() -> Http {
    Http::new(Limits::default()).unwrap()
}

#[tokio::test]
async fn an_answer_comes_whole_and_we_say_who_we_are() {
    let server = Stub::start(|_| answer(201, &json!({"eventId": "1"}))).await;
    let answer = http().send(AIM, get(&server.url)).await.unwrap();
    assert_eq!((answer.status, answer.whole), (201, true));
    assert_eq!(answer.json::<Value>(), Some(json!({"eventId": "1"})));
    let agent = format!("signl4-azure-bridge/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(server.seen()[0].header("user-agent"), Some(agent.as_str()));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Stub::start(|_| answer(200, &json!({}))).await;
    let location = format!("{}/elsewhere", target.url);
    let server = Stub::start(move |_| answer_with(307, ("location", &location), &json!({}))).await;
    let answer = http().send(AIM, get(&server.url)).await.unwrap();
    assert_eq!(answer.status, 307);
    assert_eq!(target.count(), 0);
}

#[tokio::test]
async fn a_huge_answer_is_cut_at_the_limit() {
    let server = Stub::start(|_| answer(200, &json!("x".repeat(3 * 1024 * 1024)))).await;
    let answer = http().send(AIM, get(&server.url)).await.unwrap();
    assert_eq!((answer.status, answer.whole, answer.body.len()), (200, false, 1024 * 1024));
}

#[tokio::test]
async fn nobody_there_is_surely_not_sent() {
    for url in [nobody().await, "http://name.invalid/".to_owned()] {
        let error = http().send(AIM, get(&url)).await.unwrap_err();
        assert!(matches!(error, SendError::Unsent(_)), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_surely_not_sent() {
    let server = Stub::start(|_| answer(200, &json!({}))).await;
    let error = http().send(AIM, get(&server.url.replace("http:", "https:"))).await.unwrap_err();
    assert!(matches!(error, SendError::Unsent(_)), "{error:?}");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_cut_after_sending_is_unknown() {
    let error = http().send(AIM, get(&cutting("").await)).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn silence_after_sending_is_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limits = Limits { total: Duration::from_millis(50), ..Limits::default() };
    let error = Http::new(limits).unwrap().send(AIM, get(&url)).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_cut_short_keeps_its_status() {
    let url = cutting("HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"ev").await;
    let answer = http().send(AIM, get(&url)).await.unwrap();
    assert_eq!((answer.status, answer.whole, &answer.body[..]), (201, false, &b"{\"ev"[..]));
}

#[tokio::test]
async fn no_error_names_the_url() {
    for url in [nobody().await, cutting("").await, cutting("garbage\r\n\r\n").await, "ftp://example.com".to_owned()] {
        let error = http().send(AIM, get(&format!("{url}/webhook/s3cret"))).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}
