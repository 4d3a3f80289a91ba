//! The two public doors: every kind of caller and body has the status of the contract, nothing panics, and nothing of an
//! authenticated caller is lost.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use signl4_azure_bridge::app::Options;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::scene::{AZURE_TOKEN, JANE, SIGNL4_TOKEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::metrics;
use crate::log::Log;
use crate::town::{Plan, Town};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

async fn reasons(town: &Town) -> Vec<String> {
    let mut events = town.bridge.store.events(100).await.unwrap();
    events.reverse();
    events.into_iter().map(|event| event.reason).collect()
}

/// A body in the scene's own subscription.
fn alert_body(town: &Town) -> Value {
    let id = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-1", Metric::default())).unwrap();
    town.scene.azure.webhook_body(&id).unwrap()
}

#[tokio::test]
async fn an_event_is_answered_with_its_id_and_its_repeat_with_the_same() {
    let town = Town::new().await;
    town.scene.azure.remove_webhooks();
    let body = alert_body(&town).to_string();
    let first = town.post(&town.azure_url(), body.clone()).await;
    assert_eq!(first.status(), 200);
    let first: Value = first.json().await.unwrap();
    assert_eq!(first["seen_before"], false);
    assert_eq!(first["event"].as_str().unwrap().len(), 36);
    let again: Value = town.post(&town.azure_url(), body).await.json().await.unwrap();
    assert_eq!(again["event"], first["event"]);
    assert_eq!(again["seen_before"], true);
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), 1);
    town.close().await;
}

#[tokio::test]
async fn wrong_missing_and_unknown_credentials_are_the_same_401() {
    let town = Town::new().await;
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("anybody:{password}")));
    let mut answers = Vec::new();
    for (path, authorization) in [
        ("/azure/contoso/wrong".to_owned(), None),
        ("/azure/contoso".to_owned(), None),
        ("/azure/contoso".to_owned(), Some(basic("wrong"))),
        ("/azure/contoso".to_owned(), Some("Bearer something".to_owned())),
        (format!("/azure/nobody/{AZURE_TOKEN}"), None),
        ("/azure/nobody".to_owned(), Some(basic(AZURE_TOKEN))),
        ("/signl4/ops/wrong".to_owned(), None),
        (format!("/signl4/nobody/{SIGNL4_TOKEN}"), None),
        (format!("/signl4/ops/{AZURE_TOKEN}"), None),
        (format!("/azure/contoso/{SIGNL4_TOKEN}"), None),
        ("/azure/contoso/%FF".to_owned(), None),
        (format!("/azure/%FF/{AZURE_TOKEN}"), None),
        ("/azure/%FF".to_owned(), Some(basic(AZURE_TOKEN))),
        ("/signl4/ops/%FF".to_owned(), None),
        ("/signl4/%FF".to_owned(), Some(basic(SIGNL4_TOKEN))),
    ] {
        let mut request = town.http.post(format!("{}{path}", town.url)).body("{}");
        if let Some(value) = &authorization {
            request = request.header("authorization", value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{path} {authorization:?}");
        answers.push(response.text().await.unwrap());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the caller learns nothing: {answers:?}");
    assert_eq!(reasons(&town).await, Vec::<String>::new());

    for (path, password) in [("/azure/contoso", AZURE_TOKEN), ("/signl4/ops", SIGNL4_TOKEN)] {
        let request = town.http.post(format!("{}{path}", town.url)).header("authorization", basic(password));
        let body = r#"{"eventType":1,"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{}}}"#;
        assert_eq!(request.body(body).send().await.unwrap().status(), 200, "{path}");
    }
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn other_methods_and_paths_are_405_and_404() {
    let town = Town::new().await;
    for (path, status) in [
        (format!("/azure/contoso/{AZURE_TOKEN}"), 405),
        ("/azure/contoso".to_owned(), 405),
        (format!("/signl4/ops/{SIGNL4_TOKEN}"), 405),
        ("/".to_owned(), 404),
        ("/healthz".to_owned(), 404),
        ("/metrics".to_owned(), 404),
        ("/azure".to_owned(), 404),
        (format!("/azure/contoso/{AZURE_TOKEN}/more"), 404),
    ] {
        let got = town.http.get(format!("{}{path}", town.url)).send().await.unwrap().status();
        assert_eq!(got, status, "GET {path}");
    }
    town.close().await;
}

#[tokio::test]
async fn bodies_nobody_can_understand_are_kept_answered_200_and_paged() {
    let town = Town::new().await;
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"this is not JSON".to_vec(),
        br#"{"schemaId":"azureMonitorCommonAlertSchema","data":{"essen"#.to_vec(),
        Vec::new(),
        b"[]".to_vec(),
        b"null".to_vec(),
        br#""text""#.to_vec(),
        deep.into_bytes(),
        vec![0xff, 0xfe, 0x00, 0x80],
        br#"{"schemaId":"somethingElse","hello":"world"}"#.to_vec(),
    ];
    let count = bodies.len();
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).chars().take(40).collect::<String>();
        assert_eq!(town.post(&town.azure_url(), body).await.status(), 200, "{shown}");
    }
    assert_eq!(reasons(&town).await, vec!["unreadable"; count]);
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), count, "each is a page that says so");
    town.close().await;
}

#[tokio::test]
async fn strange_alerts_are_still_pages() {
    let town = Town::new().await;
    town.scene.azure.remove_webhooks();
    let plain = alert_body(&town);
    let with = |pointer: &str, value: Value, id: u32| {
        let mut body = plain.clone();
        let alert_id = body["data"]["essentials"]["alertId"].as_str().unwrap().to_owned();
        let (head, _) = alert_id.rsplit_once('/').unwrap();
        body["data"]["essentials"]["alertId"] = json!(format!("{head}/c0ffee00-0000-4000-8000-{id:012}"));
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    let mut nulls = with("/data/essentials/description", Value::Null, 1);
    for (name, value) in nulls["data"]["essentials"].as_object_mut().unwrap() {
        if name != "alertId" {
            *value = Value::Null;
        }
    }
    nulls["data"]["alertContext"] = Value::Null;
    let bodies = [
        nulls.to_string(),
        with("/data/essentials/severity", json!(1), 2).to_string(),
        with("/data/essentials/alertTargetIDs", json!("not a list"), 3).to_string(),
        with("/data/alertContext", json!([1, "two", null]), 4).to_string(),
        with("/data/essentials/firedDateTime", json!(12.5), 5).to_string(),
        with("/data/essentials/monitoringService", json!("Something New"), 6).to_string(),
        with("/data/essentials/description", json!("x".repeat(200_000)), 7).to_string(),
        with("/data/essentials/description", json!("first"), 8).to_string().replacen(
            "\"description\":",
            "\"description\":\"doubled key\",\"description\":",
            1,
        ),
    ];
    for body in &bodies {
        assert_eq!(town.post(&town.azure_url(), body.clone()).await.status(), 200);
    }
    let mut invalid_utf8 = with("/data/essentials/description", json!("UTF8"), 9).to_string().into_bytes();
    let at = invalid_utf8.windows(4).position(|window| window == b"UTF8").unwrap();
    invalid_utf8[at] = 0xff;
    assert_eq!(town.post(&town.azure_url(), invalid_utf8).await.status(), 200);
    assert_eq!(reasons(&town).await, vec!["raised"; bodies.len() + 1]);
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), bodies.len() + 1);
    assert!(town.scene.signl4.alerts().iter().all(|page| !page.title.is_empty()));
    town.close().await;
}

#[tokio::test]
async fn every_fixture_is_200_and_none_is_lost() {
    let town = Town::new().await;
    for (folder, url) in [("azure", town.azure_url()), ("signl4", town.signl4_url())] {
        let path = format!("{}/fixtures/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in std::fs::read_dir(path).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_string_lossy());
            assert_eq!(town.post(&url, fixture(&name)).await.status(), 200, "{name}");
            count += 1;
        }
        assert!(count >= 12, "{count} fixtures in {folder}");
    }
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn a_foreign_subscription_pages_nobody_but_makes_one_notice_a_day() {
    let town = Town::new().await;
    let body = String::from_utf8(fixture("azure/metric-static-fired.json")).unwrap();
    assert_eq!(town.post(&town.azure_url(), body.clone()).await.status(), 200);
    assert_eq!(town.post(&town.azure_url(), body.clone()).await.status(), 200);
    assert_eq!(reasons(&town).await, ["foreign_subscription"; 2]);
    town.settle().await;
    let notices = town.scene.signl4.alerts();
    assert_eq!(notices.len(), 1);
    let parsed: Value = serde_json::from_str(&body).unwrap();
    let rule = parsed["data"]["essentials"]["alertRule"].as_str().unwrap();
    assert!(!format!("{notices:?}").contains(rule), "no text of a stranger's alert");
    town.clock.advance(Duration::from_hours(24));
    assert_eq!(town.post(&town.azure_url(), body).await.status(), 200);
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), 2, "the next day's notice");
    town.close().await;
}

#[tokio::test]
async fn one_mebibyte_is_taken_and_one_byte_more_is_413() {
    let (log, _guard) = Log::capture();
    let town = Town::new().await;
    let mebibyte = vec![b'x'; 1024 * 1024];
    assert_eq!(town.post(&town.azure_url(), mebibyte.clone()).await.status(), 200);
    let more = [mebibyte, vec![b'x']].concat();
    for _ in 0..2 {
        assert_eq!(town.post(&town.azure_url(), more.clone()).await.status(), 413);
    }
    let wrong = format!("{}/azure/contoso/wrong", town.url);
    assert_eq!(town.post(&wrong, more).await.status(), 401, "a stranger's body is not read");
    town.settle().await;
    // The one loss there is: somebody is told.
    let titles: Vec<String> = town.scene.signl4.alerts().into_iter().map(|page| page.title).collect();
    let told = titles.iter().filter(|title| *title == "Bridge: a webhook was too large and is lost").count();
    assert_eq!(told, 1, "{titles:?}");
    let lines = log.lines("a webhook body over 1 MiB was refused and is lost");
    assert!(lines.len() == 2 && lines.iter().all(|line| line.contains("ERROR")), "{lines:?}");
    let metrics = metrics(&town).await;
    assert!(metrics.contains("\nbridge_requests_total{endpoint=\"azure\",status=\"413\"} 2\n"), "{metrics}");
    town.close().await;
}

/// Sends raw bytes and returns the answer's head.
async fn raw(town: &Town, bytes: &[u8]) -> (TcpStream, String) {
    let address = town.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let head = read_head(&mut stream).await;
    (stream, head)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_stalled_body_is_408() {
    let options = Options { body_time: Duration::from_millis(100), ..Plan::default().options };
    let town = Town::with(Plan { options, ..Plan::default() }).await;
    let request =
        format!("POST /azure/contoso/{AZURE_TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{\"schemaId\":");
    let (_stream, head) = raw(&town, request.as_bytes()).await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert_eq!(reasons(&town).await, Vec::<String>::new());
    town.close().await;
}

#[tokio::test]
async fn expect_100_continue_is_honoured_for_callers_and_spared_for_strangers() {
    let town = Town::new().await;
    let body = br#"{"eventType":1}"#;
    let head = |token: &str| {
        format!(
            "POST /signl4/ops/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        )
    };
    let (mut stream, first) = raw(&town, head(SIGNL4_TOKEN).as_bytes()).await;
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    stream.write_all(body).await.unwrap();
    let second = read_head(&mut stream).await;
    assert!(second.starts_with("HTTP/1.1 200"), "{second}");
    let (_stream, refused) = raw(&town, head("wrong").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    town.close().await;
}

#[tokio::test]
async fn a_fault_in_the_parser_costs_only_its_own_event() {
    let options = Options {
        parse_azure: |body| {
            assert!(!body.starts_with(b"bang"), "a planted fault");
            signl4_azure_bridge::azure::parse::parse(body)
        },
        parse_signl4: |_, _, _| panic!("a planted fault"),
        ..Plan::default().options
    };
    let town = Town::with(Plan { options, ..Plan::default() }).await;
    town.scene.azure.remove_webhooks();
    town.scene.signl4.remove_hooks();
    let body = alert_body(&town).to_string();
    let url = town.azure_url();
    let (bang, good) = tokio::join!(town.post(&url, "bang"), town.post(&url, body));
    assert_eq!((bang.status().as_u16(), good.status().as_u16()), (200, 200));
    assert_eq!(town.post(&town.signl4_url(), "{}").await.status(), 200);
    town.settle().await;
    let mut titles: Vec<String> = town.scene.signl4.alerts().into_iter().map(|page| page.title).collect();
    titles.sort();
    assert_eq!(titles.len(), 2, "the alert, and the one that could not be read: {titles:?}");
    town.close().await;
}

#[tokio::test]
async fn a_store_that_cannot_write_is_503_with_retry_after_and_recovers() {
    let town = Town::new().await;
    town.scene.azure.remove_webhooks();
    let body = alert_body(&town).to_string();
    let saboteur = rusqlite::Connection::open(town.folder.path().join("bridge.db")).unwrap();
    saboteur.execute_batch("ALTER TABLE event RENAME TO hidden").unwrap();
    let refused = town.post(&town.azure_url(), body.clone()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    saboteur.execute_batch("ALTER TABLE hidden RENAME TO event").unwrap();
    let taken: Value = town.post(&town.azure_url(), body).await.json().await.unwrap();
    assert_eq!(taken["seen_before"], false, "the refused one left nothing behind");
    town.settle().await;
    assert_eq!(town.scene.signl4.alerts().len(), 1);
    town.close().await;
}

#[tokio::test]
async fn signl4_events_of_no_consequence_are_200_and_send_nothing() {
    let town = Town::new().await;
    for name in ["signl4/300-duty-started.json", "signl4/201-foreign.json"] {
        assert_eq!(town.post(&town.signl4_url(), fixture(name)).await.status(), 200, "{name}");
    }
    assert_eq!(town.post(&town.signl4_url(), "not JSON").await.status(), 200);
    town.scene.signl4.send_test_event();
    town.settle().await;
    assert_eq!(reasons(&town).await, ["no_consequence"; 4]);
    assert!(town.scene.azure.calls().iter().all(|call| call.path.ends_with("/token")), "only the token is asked for");
    town.close().await;
}

#[tokio::test]
async fn the_same_signl4_event_told_twice_is_one_change() {
    let town = Town::new().await;
    let alert = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.signl4.webhooks().duplicate_next(1);
    town.scene.signl4.acknowledge(&town.page(&alert).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_comments(&alert).len(), 1);
    town.close().await;
}
