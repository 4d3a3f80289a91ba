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
async fn only_hosts_that_were_named_are_called() {
    let named = Stub::start(|_| answer(200, &json!({}))).await;
    let other = Stub::start(|_| answer(200, &json!({}))).await;
    let http = http();
    let clone = http.clone();
    http.only([named.url.as_str()]);
    assert!(clone.send(AIM, get(&named.url)).await.is_ok());
    let error = clone.send(AIM, get(&other.url)).await.unwrap_err();
    assert_eq!(error, SendError::Malformed("127.0.0.1 is not one of the configured hosts".to_owned()));
    assert_eq!((named.count(), other.count()), (1, 0));
    http.only([other.url.as_str()]);
    assert!(clone.send(AIM, get(&other.url)).await.is_ok(), "a reload names others");
    assert!(clone.send(AIM, get(&named.url)).await.is_err());
}

#[tokio::test]
async fn a_proxy_is_used_but_never_for_what_is_near() {
    let proxy = Stub::start(|_| answer(200, &json!({"by": "the proxy"}))).await;
    let limits = Limits { connect: Duration::from_millis(200), total: Duration::from_millis(400), ..Limits::default() };
    let http = Http::proxied(limits, &proxy.url).unwrap();
    let through = http.send(AIM, get("http://name.invalid/some/path")).await.unwrap();
    assert_eq!(through.json::<Value>(), Some(json!({"by": "the proxy"})));
    assert_eq!(proxy.seen()[0].header("host"), Some("name.invalid"));
    let near = Stub::start(|_| answer(200, &json!({"by": "itself"}))).await;
    let direct = http.send(AIM, get(&near.url)).await.unwrap();
    assert_eq!(direct.json::<Value>(), Some(json!({"by": "itself"})));
    // Whether or not anybody answers there, the proxy must not hear of it.
    for address in ["http://169.254.169.254/metadata/identity/oauth2/token", "http://[fe80::1]/"] {
        let answered = http.send(AIM, get(address)).await.ok().and_then(|answer| answer.json::<Value>());
        assert_ne!(answered, Some(json!({"by": "the proxy"})), "{address}");
    }
    assert_eq!(proxy.count(), 1);
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
