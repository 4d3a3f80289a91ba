//! The simulated SIGNL4 through its front door: webhook, REST, people, outbound events.

use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};

use super::*;
use crate::domain::timestamp::Timestamp;
use crate::simulator::receiver::Receiver;

const SECRET: &str = "opssecret1";
const KEY: &str = "k3y";

struct Scene {
    signl4: Signl4,
    receiver: Receiver,
    team: String,
    jane: String,
}

/// A team with Jane on duty, an API key and an outbound webhook.
async fn scene() -> Scene {
    let noon = Timestamp::parse("2026-11-24T12:00:00Z").unwrap();
    let signl4 = Signl4::start(([127, 0, 0, 1], 0).into(), Clock::manual(noon)).await.unwrap();
    let team = signl4.add_team("ops", SECRET);
    let jane = signl4.add_person("ops", "Jane Doe", "jane.doe@example.com").unwrap();
    signl4.add_api_key(KEY);
    let receiver = Receiver::start().await.unwrap();
    signl4.add_hook(&receiver.url, None).unwrap();
    Scene { signl4, receiver, team, jane }
}

impl Scene {
    async fn send(&self, body: &Value) -> Response {
        let url = format!("{}/webhook/{SECRET}", self.signl4.url());
        client().post(url).json(body).send().await.unwrap()
    }

    /// Raises an alert; returns its id.
    async fn raise(&self, external_id: &str) -> String {
        let response = self.send(&json!({ "Title": "CPU", "X-S4-ExternalID": external_id })).await;
        assert_eq!(response.status(), 201);
        self.signl4.alert(external_id).unwrap().id
    }

    /// What went out so far.
    async fn told(&self) -> Vec<Value> {
        self.signl4.webhooks().settled(Duration::from_secs(10)).await.unwrap();
        self.receiver.calls().iter().map(Call::json).collect()
    }

    /// Event types and status codes of what went out so far.
    async fn told_codes(&self) -> Vec<(u64, Option<u64>)> {
        let told = self.told().await;
        told.iter()
            .map(|body| {
                (body["eventType"].as_u64().unwrap(), body.pointer("/alert/statusCode").and_then(Value::as_u64))
            })
            .collect()
    }

    async fn rest(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request =
            client().request(method, format!("{}/api/v2/{path}", self.signl4.url())).header("X-S4-Api-Key", KEY);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.rest(reqwest::Method::POST, path, Some(body)).await
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.rest(reqwest::Method::GET, path, None).await
    }
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn a_new_event_raises_an_alert_with_its_parameters_in_order() {
    let scene = scene().await;
    let response = scene
        .send(&json!({
            "Title": "CPU 97 % on vm-web-1",
            "Message": "Above 90 %",
            "Severity": "Sev1",
            "Link": "https://portal.azure.com/",
            "X-S4-ExternalID": "azmon:1",
            "X-S4-Status": "new",
            "X-S4-Service": "Payments",
            "X-S4-AlertingScenario": "emergency",
            "X-S4-SourceSystem": "AzureMonitor",
        }))
        .await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-ratelimit-limit"], "150");
    let reset: i64 = response.headers()["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
    assert_eq!(reset, scene.signl4.clock.now().as_millis() / 1000 + 15);
    let event_id = response.json::<Value>().await.unwrap()["eventId"].as_str().unwrap().to_owned();

    let [alert] = &scene.signl4.alerts()[..] else { panic!("one alert") };
    assert_eq!((alert.title.as_str(), alert.text.as_str()), ("CPU 97 % on vm-web-1", "Above 90 %"));
    assert_eq!(alert.parameters.keys().collect::<Vec<_>>(), ["Severity", "Link"]);
    assert_eq!((alert.service.as_deref(), alert.scenario), (Some("Payments"), Scenario::Emergency));
    assert_eq!(alert.event_id, event_id);
    assert_ne!(alert.id, event_id);

    let [told] = &scene.told().await[..] else { panic!("one event") };
    assert_eq!(told["eventType"], 200);
    assert_eq!(told["eventRaisedUtc"], "2026-11-24T12:00:00.0000000Z");
    assert_eq!(told.get("user"), None);
    assert_eq!(
        told["alert"],
        json!({
            "statusCode": 1, "eventId": event_id, "externalEventId": "azmon:1", "acknowledgedUserIds": [],
            "id": alert.id,
        })
    );
    let (_, overview) = scene.get(&format!("events/{event_id}/overview")).await;
    assert_eq!((&overview["eventStatus"], &overview["alertId"]), (&json!(2), &json!(alert.id)));
}

#[tokio::test]
async fn a_wrong_secret_and_a_broken_body_are_refused() {
    let scene = scene().await;
    let url = format!("{}/webhook/96sbq49u", scene.signl4.url());
    let response = client().post(url).json(&json!({ "Title": "x" })).send().await.unwrap();
    assert_eq!(response.status(), 404);
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["code"], &body["message"]), (&json!(3004), &json!("Error raising event.")));
    assert_eq!(body["details"], "An event source with ID 96sbq49u was not found.");
    let url = format!("{}/webhook/{SECRET}", scene.signl4.url());
    let response = client().post(url).header("content-type", "application/json").body("{").send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert!(scene.signl4.alerts().is_empty());
    assert!(!format!("{:?}", scene.signl4.calls()).contains(SECRET));
}

#[tokio::test]
async fn headers_are_no_parameters() {
    let scene = scene().await;
    let url = format!("{}/webhook/{SECRET}", scene.signl4.url());
    let response = client()
        .post(url)
        .header("X-S4-ExternalID", "azmon:1")
        .header("X-S4-Status", "resolved")
        .json(&json!({ "Title": "x" }))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(scene.signl4.alerts()[0].external_id, None);
}

#[tokio::test]
async fn acknowledged_and_resolved_touch_all_alerts_with_the_id() {
    let scene = scene().await;
    scene.raise("azmon:1").await;
    scene.raise("azmon:1").await;
    scene.raise("azmon:2").await;
    let response = scene.send(&json!({ "X-S4-ExternalID": "azmon:1", "X-S4-Status": "acknowledged" })).await;
    let event = response.json::<Value>().await.unwrap()["eventId"].as_str().unwrap().to_owned();
    let (_, overview) = scene.get(&format!("events/{event}/overview")).await;
    assert_eq!((&overview["eventStatus"], overview["acknowledgedAlerts"].as_array().unwrap().len()), (&json!(6), 2));
    scene.send(&json!({ "x-s4-externalid": "azmon:1", "x-s4-status": "resolved" })).await;
    let statuses: Vec<AlertStatus> = scene.signl4.alerts().iter().map(|alert| alert.status).collect();
    assert_eq!(statuses, [AlertStatus::Closed, AlertStatus::Closed, AlertStatus::Open]);
    assert_eq!(
        scene.told_codes().await,
        [200, 200, 200, 201, 201, 201, 201].into_iter().zip([1, 1, 1, 2, 2, 4, 4].map(Some)).collect::<Vec<_>>()
    );
    assert!(scene.told().await.iter().all(|body| body.get("user").is_none()));
}

#[tokio::test]
async fn other_states_and_unknown_ids_are_taken_and_discarded() {
    let scene = scene().await;
    for body in [
        json!({ "Title": "x", "X-S4-ExternalID": "azmon:1", "X-S4-Status": "closed" }),
        json!({ "X-S4-ExternalID": "azmon:unknown", "X-S4-Status": "resolved" }),
        json!({ "X-S4-Status": "resolved" }),
    ] {
        let response = scene.send(&body).await;
        assert_eq!(response.status(), 201);
    }
    let statuses: Vec<EventStatus> = scene.signl4.read(|state| state.events.iter().map(|event| event.status).collect());
    assert_eq!(statuses, [EventStatus::Discarded; 3]);
    assert!(scene.signl4.alerts().is_empty() && scene.told().await.is_empty());
}

#[tokio::test]
async fn a_used_external_id_is_as_the_knob_says() {
    let scene = scene().await;
    let count = || scene.signl4.alerts().len();
    scene.raise("azmon:1").await;
    scene.raise("azmon:1").await;
    assert_eq!(count(), 2);
    scene.signl4.knobs(|knobs| knobs.new_again = NewAgain::MergedWhileOpen);
    scene.raise("azmon:1").await;
    assert_eq!(count(), 2);
    scene.send(&json!({ "X-S4-ExternalID": "azmon:1", "X-S4-Status": "resolved" })).await;
    scene.raise("azmon:1").await;
    assert_eq!(count(), 3);
    scene.signl4.knobs(|knobs| knobs.new_again = NewAgain::MergedAlways);
    scene.send(&json!({ "X-S4-ExternalID": "azmon:1", "X-S4-Status": "resolved" })).await;
    scene.raise("azmon:1").await;
    assert_eq!(count(), 3);
}

#[tokio::test]
async fn echo_and_system_user_are_as_the_knobs_say() {
    let scene = scene().await;
    scene.raise("azmon:1").await;
    scene.signl4.knobs(|knobs| knobs.echo = false);
    scene.send(&json!({ "X-S4-ExternalID": "azmon:1", "X-S4-Status": "acknowledged" })).await;
    assert_eq!(scene.told_codes().await, [(200, Some(1))]);
    scene.signl4.knobs(|knobs| {
        knobs.echo = true;
        knobs.system_user = SystemUser::ZeroGuid;
    });
    scene.send(&json!({ "X-S4-ExternalID": "azmon:1", "X-S4-Status": "resolved" })).await;
    assert_eq!(
        scene.told().await[1]["user"],
        json!({
            "username": "System", "mailaddress": "system@signl4.com", "id": "00000000-0000-0000-0000-000000000000",
        })
    );
    scene.signl4.knobs(|knobs| knobs.system_user = SystemUser::Null);
    let id = scene.raise("azmon:2").await;
    scene.signl4.close_by_system(&id).unwrap();
    assert_eq!(scene.told().await[3]["user"], Value::Null);
}

#[tokio::test]
async fn what_people_do_goes_out_in_order_and_in_the_documented_shape() {
    let scene = scene().await;
    let id = scene.raise("azmon:1").await;
    let signl4 = &scene.signl4;
    signl4.acknowledge(&id, "jane doe", Some("on it")).unwrap();
    signl4.unacknowledge(&id, &scene.jane).unwrap();
    signl4.annotate("azmon:1", "Jane Doe", "restarted").unwrap();
    signl4.escalate(&id).unwrap();
    signl4.nobody_on_duty(&id).unwrap();
    signl4.close(&id, "Jane Doe", None).unwrap();
    signl4.reopen(&id, "Jane Doe").unwrap();
    assert_eq!(
        scene.told_codes().await,
        [(200, 1), (201, 2), (201, 1), (203, 0), (202, 1), (201, 16), (201, 4), (201, 1)]
            .map(|(event_type, code)| (event_type, Some(code)))
    );
    let told = scene.told().await;
    let jane = json!({ "username": "Jane Doe", "mailaddress": "jane.doe@example.com", "id": scene.jane });
    assert_eq!((&told[1]["user"], &told[1]["annotation"]["message"]), (&jane, &json!("on it")));
    assert_eq!(told[1]["alert"]["acknowledgedUserIds"], json!([scene.jane]));
    assert_eq!((&told[3]["user"], &told[3]["annotation"]["message"]), (&jane, &json!("restarted")));
    assert_eq!((&told[4]["team"]["id"], told[4].get("user")), (&json!(scene.team), None));
    let subscription = scene.signl4.read(|state| state.subscription.clone());
    assert!(told.iter().all(|body| body["subscription"]["id"] == subscription));
    let mut ids: Vec<&str> = told.iter().map(|body| body["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), told.len());
    assert_eq!(scene.signl4.alert(&id).unwrap().notes(), ["on it", "restarted"]);
    assert_eq!(scene.signl4.unacknowledge(&id, "Jane Doe"), Err(ActionError::LifeCycle(AlertStatus::Open)));
}

#[tokio::test]
async fn a_note_goes_where_the_knob_says() {
    let scene = scene().await;
    for (note_in, told) in [
        (NoteIn::StatusEvent, vec![(201, true)]),
        (NoteIn::OwnEvent, vec![(201, false), (203, true)]),
        (NoteIn::Both, vec![(201, true), (203, true)]),
    ] {
        let before = scene.told().await.len();
        scene.signl4.knobs(|knobs| knobs.note_in = note_in);
        let id = scene.raise("azmon:1").await;
        scene.signl4.acknowledge(&id, "Jane Doe", Some("on it")).unwrap();
        let events: Vec<(u64, bool)> = scene.told().await[before + 1..]
            .iter()
            .map(|body| (body["eventType"].as_u64().unwrap(), body.get("annotation").is_some()))
            .collect();
        assert_eq!(events, told, "{note_in:?}");
    }
}

#[tokio::test]
async fn with_multi_ack_everybody_on_duty_must_acknowledge() {
    let scene = scene().await;
    scene.signl4.add_person("ops", "John Doe", "john.doe@example.com").unwrap();
    scene.signl4.knobs(|knobs| knobs.each_acknowledgement = false);
    scene.send(&json!({ "Title": "x", "X-S4-ExternalID": "1", "X-S4-AlertingScenario": "multi_ack" })).await;
    assert_eq!(scene.signl4.acknowledge("1", "Jane Doe", None).unwrap().status, AlertStatus::Open);
    assert_eq!(scene.signl4.acknowledge("1", "John Doe", None).unwrap().status, AlertStatus::Acknowledged);
    assert_eq!(scene.told_codes().await, [(200, Some(1)), (201, Some(2))]);
}

#[tokio::test]
async fn duty_decides_who_is_reached() {
    let scene = scene().await;
    scene.signl4.set_duty("Jane Doe", false).unwrap();
    scene.raise("azmon:1").await;
    assert!(scene.signl4.alert("azmon:1").unwrap().nobody_on_duty);
    scene.signl4.set_duty("Jane Doe", true).unwrap();
    scene.signl4.duty_period("ops", true).unwrap();
    scene.signl4.send_test_event();
    let told = scene.told().await;
    assert_eq!(
        scene.told_codes().await,
        [(303, None), (200, Some(1)), (201, Some(16)), (302, None), (300, None), (1, None)]
    );
    assert_eq!((&told[0]["team"]["id"], &told[0]["user"]), (&json!(scene.team), &json!({ "id": scene.jane })));
    assert_eq!((told[0].get("subscription"), told[4].get("user")), (None, None));
    assert_eq!(told[2].get("user"), None);
}

#[tokio::test]
async fn people_act_by_habit() {
    let scene = scene().await;
    let habit = Habit { acknowledge_after_ms: Some(1), close_after_ms: Some(1), note: Some("looking".to_owned()) };
    scene.signl4.set_habit("Jane Doe", Some(habit)).unwrap();
    scene.raise("azmon:1").await;
    scene
        .signl4
        .wait_until("the closing", |state| {
            state.alert("azmon:1").is_some_and(|alert| alert.status == AlertStatus::Closed)
        })
        .await
        .unwrap();
    assert_eq!(scene.signl4.alert("azmon:1").unwrap().acknowledged_by, std::slice::from_ref(&scene.jane));
    scene.receiver.called(3).await;
    assert_eq!(scene.told_codes().await, [(200, Some(1)), (201, Some(2)), (201, Some(4))]);
}

#[tokio::test]
async fn an_event_takes_effect_later_if_the_knob_says_so() {
    let scene = scene().await;
    scene.signl4.knobs(|knobs| knobs.processing_ms = 100);
    let response = scene.send(&json!({ "Title": "x", "X-S4-ExternalID": "azmon:1" })).await;
    assert_eq!(response.status(), 201);
    let status = scene.signl4.read(|state| state.events[0].status);
    // 100 ms is long for a look at memory, and still only a race: the alert must come in any case.
    assert!(status == EventStatus::Processing || status == EventStatus::Signled);
    scene.signl4.wait_until("the alert", |state| state.alert("azmon:1").is_some()).await.unwrap();
}

#[tokio::test]
async fn throttling_blocks_for_the_period_when_it_is_on() {
    let scene = scene().await;
    scene.signl4.knobs(|knobs| knobs.limits = Limits::Custom { per_15s: 1, per_minute: 100 });
    assert_eq!(scene.send(&json!({ "Title": "1" })).await.status(), 201);
    let refused = scene.send(&json!({ "Title": "2" })).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["x-ratelimit-remaining"], "0");
    scene.signl4.clock.advance(Duration::from_secs(15));
    assert_eq!(scene.send(&json!({ "Title": "3" })).await.status(), 201);
    assert_eq!(scene.signl4.alerts().len(), 2);
}

#[tokio::test]
async fn the_rest_api_has_a_limit_beside_that_of_events() {
    let scene = scene().await;
    scene.signl4.knobs(|knobs| knobs.limits = Limits::Commercial);
    for _ in 0..150 {
        assert_eq!(scene.get("teams").await.0, 200);
    }
    assert_eq!(scene.get("teams").await.0, 429);
    assert_eq!(scene.send(&json!({ "Title": "CPU" })).await.status(), 201, "events are counted by themselves");
    scene.signl4.clock.advance(Duration::from_secs(15));
    assert_eq!(scene.get("teams").await.0, 200);
}

#[tokio::test]
async fn the_rest_api_needs_its_key() {
    let scene = scene().await;
    let url = format!("{}/api/v2/teams", scene.signl4.url());
    assert_eq!(client().get(&url).send().await.unwrap().status(), 401);
    assert_eq!(client().get(&url).header("X-S4-Api-Key", "wrong").send().await.unwrap().status(), 401);
    let (status, teams) = scene.get("teams").await;
    assert_eq!((status, &teams[0]["id"], &teams[0]["name"]), (200, &json!(scene.team), &json!("ops")));
    assert_eq!(teams[0]["memberIds"], json!([scene.jane]));
    scene.signl4.remove_api_keys();
    assert_eq!(scene.get("teams").await.0, 401);
}

#[tokio::test]
async fn alerts_are_found_by_external_id_and_time() {
    let scene = scene().await;
    for number in 1..=3 {
        scene.raise(&format!("azmon:{number}")).await;
        scene.signl4.clock.advance(Duration::from_mins(1));
    }
    let ids = |body: &Value| -> Vec<String> {
        body["results"]
            .as_array()
            .unwrap()
            .iter()
            .map(|alert| alert["externalId"].as_str().unwrap().to_owned())
            .collect()
    };
    let (status, found) = scene.post("alerts/paged", json!({ "externalId": "azmon:2" })).await;
    assert_eq!((status, ids(&found), &found["hasMore"]), (200, vec!["azmon:2".to_owned()], &json!(false)));
    assert_eq!(found["results"][0]["status"]["statusCode"], 1);
    assert_eq!(scene.post("alerts/paged", json!({ "externalId": "azmon:4" })).await.0, 204);
    let since = json!({ "modifiedSince": "2026-11-24T12:01:00Z", "teamIds": [scene.team] });
    assert_eq!(ids(&scene.post("alerts/paged", since).await.1), ["azmon:3", "azmon:2"]);
    assert_eq!(scene.post("alerts/paged", json!({ "teamIds": ["other"] })).await.0, 204);

    let (_, first) = scene.post("alerts/paged?maxResults=2", json!({})).await;
    assert_eq!((ids(&first).len(), &first["hasMore"]), (2, &json!(true)));
    let next = json!({ "continuationToken": first["continuationToken"] });
    let (_, second) = scene.post("alerts/paged?maxResults=2", next).await;
    assert_eq!((ids(&second), &second["hasMore"]), (vec!["azmon:1".to_owned()], &json!(false)));
    assert_eq!(scene.post("alerts/paged?maxResults=101", json!({})).await.0, 400);

    scene.signl4.knobs(|knobs| knobs.user_id_required = true);
    assert_eq!(scene.post("alerts/paged", json!({})).await.0, 400);
    assert_eq!(scene.post(&format!("alerts/paged?userId={}", scene.jane), json!({})).await.0, 200);
}

#[tokio::test]
async fn alerts_are_changed_in_the_name_of_a_user() {
    let scene = scene().await;
    let id = scene.raise("azmon:1").await;
    let uid = json!({ "uid": scene.jane, "descr": "" });
    assert_eq!(scene.post(&format!("alerts/{id}/acknowledge"), json!({})).await.0, 400);
    assert_eq!(scene.post("alerts/unknown/acknowledge", uid.clone()).await.0, 404);
    let (status, alert) = scene.post(&format!("alerts/{id}/acknowledge"), uid.clone()).await;
    assert_eq!((status, &alert["status"]["statusCode"]), (200, &json!(2)));
    assert_eq!(alert["history"]["acknowledgements"], json!([scene.jane]));
    assert_eq!(scene.post(&format!("alerts/{id}/acknowledge"), uid.clone()).await.0, 409);
    assert_eq!(scene.post(&format!("alerts/{id}/undoAcknowledge"), uid.clone()).await.0, 200);
    assert_eq!(scene.post(&format!("alerts/{id}/undoAcknowledge"), uid.clone()).await.0, 403);
    let note = json!({ "text": "acknowledged by another team", "type": 1, "userId": scene.jane });
    assert_eq!(scene.post(&format!("alerts/{id}/annotate"), note).await.0, 200);
    assert_eq!(scene.post(&format!("alerts/{id}/close"), uid.clone()).await.0, 200);
    assert_eq!(scene.post(&format!("alerts/{id}/undoClose"), uid).await.0, 200);
    let (status, alert) = scene.get(&format!("alerts/{id}")).await;
    assert_eq!((status, &alert["status"]["statusCode"], &alert["externalId"]), (200, &json!(1), &json!("azmon:1")));
    assert_eq!(
        scene.told_codes().await,
        [(200, 1), (201, 2), (201, 1), (203, 0), (201, 4), (201, 1)].map(|(kind, code)| (kind, Some(code)))
    );
    assert!(scene.told().await[1..].iter().all(|body| body["user"]["id"] == scene.jane));
}

#[tokio::test]
async fn an_event_by_rest_answers_with_its_overview() {
    let scene = scene().await;
    let (status, event) = scene.post(&format!("events/{}", scene.team), json!({ "Title": "x" })).await;
    assert_eq!((status, &event["eventStatus"], &event["title"]), (201, &json!(2), &json!("x")));
    assert_eq!(scene.post("events/unknown", json!({ "Title": "x" })).await.1["code"], 3004);
}

#[tokio::test]
async fn the_querys_parameters_rename_id_and_status() {
    let scene = scene().await;
    let send = async |body: Value| {
        let url = format!(
            "{}/webhook/{SECRET}?ExtIdParam=Id&ExtStatusParam=Status&ResolvedStatus=UP&AckStatus=PENDING",
            scene.signl4.url()
        );
        client().post(url).json(&body).send().await.unwrap().status()
    };
    assert_eq!(send(json!({ "Title": "x", "Id": "7", "Status": "DOWN" })).await, 201);
    assert_eq!(scene.signl4.alert("7").unwrap().status, AlertStatus::Open);
    assert_eq!(send(json!({ "Id": "7", "Status": "PENDING" })).await, 201);
    assert_eq!(scene.signl4.alert("7").unwrap().status, AlertStatus::Acknowledged);
    assert_eq!(send(json!({ "Id": "7", "Status": "UP" })).await, 201);
    assert_eq!(scene.signl4.alert("7").unwrap().status, AlertStatus::Closed);
}
