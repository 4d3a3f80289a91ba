//! The `simulate` subcommand: what it says works when tried.

use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::*;
use crate::simulator::faults::Door;
use crate::simulator::receiver::Receiver;
use crate::simulator::scene::{AZURE_TOKEN, SUBSCRIPTION};

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn post(url: String, body: Value) -> (u16, Value) {
    let response = client().post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(url: String) -> Value {
    client().get(url).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn simulate_says_how_to_connect_and_stays_until_it_is_told() {
    let (stop, stopped) = oneshot::channel::<()>();
    let options = SimulateOptions {
        azure: ANY.into(),
        signl4: ANY.into(),
        bridge_url: Some("http://127.0.0.1:8080".to_owned()),
        time_scale: 10,
        habit: None,
    };
    let running = tokio::spawn(async move {
        let mut out = Vec::new();
        simulate(options, &mut out, async { assert!(stopped.await.is_ok()) }).await.unwrap();
        String::from_utf8(out).unwrap()
    });
    stop.send(()).unwrap();
    let text = running.await.unwrap();
    let (_, rest) = text.split_once("For bridge.toml:\n\n").unwrap();
    let (fragment, curl) = rest.split_once("\nTo try:\n").unwrap();
    let toml: toml::Table = toml::from_str(fragment).unwrap();
    assert_eq!(toml["azure"]["contoso"]["subscriptions"][0].as_str(), Some(SUBSCRIPTION));
    let arm = toml["azure"]["contoso"]["cloud"]["arm"].as_str().unwrap();
    assert!(arm.starts_with("http://127.0.0.1:"));
    assert!(toml["signl4"]["ops"]["secret"].is_str());
    assert!(curl.contains(&format!("{arm}/_simulator/fire")));
    let comments: Vec<usize> = curl.lines().filter_map(|line| line.find("  # ")).collect();
    assert_eq!((comments.len(), comments.iter().all(|at| Some(at) == comments.first())), (3, true), "{curl}");
    for side in ["azure", "signl4"] {
        let section = toml[side].as_table().unwrap().values().next().unwrap();
        assert!(section["token"].as_str().unwrap().len() >= 22, "`check` calls a shorter token guessable");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = tokio::net::TcpListener::bind(std::net::SocketAddr::from(ANY)).await.unwrap();
    let azure = taken.local_addr().unwrap();
    let options = SimulateOptions { azure, signl4: ANY.into(), ..SimulateOptions::default() };
    let error = simulate(options, &mut Vec::new(), async {}).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().starts_with(&format!("cannot listen on {azure}: ")), "{error}");
}

#[tokio::test]
async fn azure_is_driven_by_its_control_endpoints() {
    let scene = Scene::start(ANY.into(), ANY.into(), Clock::System).await.unwrap();
    let receiver = Receiver::start().await.unwrap();
    scene.connect(&receiver.url);
    let url = |path: &str| format!("{}/_simulator/{path}", scene.azure.url());
    let help = client().get(url("")).send().await.unwrap().text().await.unwrap();
    assert!(help.contains("fire-test") && help.contains("cut_processed"));

    let spec = json!({ "rule": "CPU", "severity": 0, "signal": { "metric": { "value": 99.5 } } });
    let (status, fired) = post(url("fire"), spec).await;
    assert_eq!(status, 200);
    let id = fired["id"].as_str().unwrap();
    let call = receiver.called(1).await.pop().unwrap();
    assert_eq!(call.path, "/azure/contoso");
    assert!(call.header("authorization").unwrap().starts_with("Basic "));
    assert_eq!(call.json()["data"]["essentials"]["severity"], "Sev0");

    let (_, alert) = post(url(&format!("state/{id}")), json!({ "state": "Acknowledged" })).await;
    assert_eq!((&alert["state"], &alert["modified_by"]), (&json!("Acknowledged"), &json!("jane.doe@example.com")));
    assert_eq!(post(url(&format!("resolve/{id}")), json!({})).await.1["condition"], "Resolved");
    let (status, mistake) = post(url("resolve/unknown"), json!({})).await;
    assert_eq!((status, &mistake["error"]), (400, &json!("there is no alert `unknown`")));
    assert_eq!(post(url("fire"), json!({ "sevrity": 1 })).await.0, 400);
    assert_eq!(post(url("nonsense"), json!({})).await.0, 404);
    let state = get(url("state")).await;
    assert_eq!(state["alerts"][0]["id"], id);
    assert!(!state.to_string().contains(AZURE_TOKEN));

    receiver.called(2).await;
    scene.azure.webhooks().settled(std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!(get(url("webhooks")).await[1]["sent"], json!({ "answered": 200 }));
}

#[tokio::test]
async fn signl4_is_driven_by_its_control_endpoints() {
    let scene = Scene::start(ANY.into(), ANY.into(), Clock::System).await.unwrap();
    let url = |path: &str| format!("{}/_simulator/{path}", scene.signl4.url());
    let webhook = format!("{}/webhook/{}", scene.signl4.url(), crate::simulator::scene::TEAM_SECRET);
    let page = json!({ "Title": "x", "X-S4-ExternalID": "azmon:1" });
    assert_eq!(post(webhook.clone(), page.clone()).await.0, 201);
    let (status, alert) = post(url("acknowledge/azmon:1"), json!({ "note": "on it" })).await;
    assert_eq!((status, &alert["status"]), (200, &json!("acknowledged")));
    assert_eq!(alert["annotations"][0]["text"], "on it");
    assert_eq!(post(url("close/azmon:1"), json!({ "person": "John Doe" })).await.1["status"], "closed");
    assert_eq!(post(url("close/azmon:1"), json!({})).await.0, 400);

    let fault =
        json!({ "operation": "webhook", "action": { "status": { "status": 503, "retry_after": { "seconds": 1 } } } });
    assert_eq!(post(url("faults"), fault).await.0, 200);
    assert_eq!(client().post(&webhook).json(&page).send().await.unwrap().status(), 503);
    assert_eq!(post(url("door"), json!({ "door": "unavailable" })).await.0, 200);
    assert_eq!(client().post(&webhook).json(&page).send().await.unwrap().status(), 503);
    assert_eq!(post(url("door"), json!({ "door": "refused" })).await.0, 400);
    assert_eq!(post(url("door"), json!({ "door": "open" })).await.0, 200);
    assert_eq!(client().post(&webhook).json(&page).send().await.unwrap().status(), 201);

    let (_, knobs) = post(
        url("knobs"),
        json!({ "new_again": "merged_always", "limits": { "custom": { "per_15s": 5, "per_minute": 9 } } }),
    )
    .await;
    assert_eq!((&knobs["new_again"], &knobs["echo"]), (&json!("merged_always"), &json!(true)));
    assert_eq!(scene.signl4.read(|state| state.knobs.new_again), crate::simulator::signl4::NewAgain::MergedAlways);
    assert_eq!(post(url("knobs"), json!({ "new_agin": true })).await.0, 400);

    let calls = get(url("calls")).await;
    assert_eq!(calls[0]["path"], "/webhook/•••");
    assert_eq!(calls.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_door_that_was_refused_by_control_opens_by_itself() {
    let scene = Scene::start(ANY.into(), ANY.into(), Clock::System).await.unwrap();
    let url = format!("{}/_simulator/door", scene.signl4.url());
    let mut standing = tokio::net::TcpStream::connect(scene.signl4.address()).await.unwrap();
    standing.write_all(b"POST").await.unwrap();
    assert_eq!(post(url.clone(), json!({ "door": "refused", "seconds": 0 })).await.0, 200);
    // A connection that stood is cut: the door was shut. Then it opens without anybody's help.
    assert!(matches!(standing.read(&mut [0; 64]).await, Ok(0) | Err(_)));
    scene.signl4.faults().watch_door().wait_for(|door| *door == Door::Open).await.unwrap();
    scene.signl4.faults().set_door(Door::Open).await;
    assert_eq!(post(url, json!({ "door": "open" })).await.0, 200);
}
