//! The admin listener: readiness, metrics, reads and writes, and the reload that changes nothing when it is wrong.

use serde_json::Value;
use signl4_azure_bridge::domain::delivery::Destination;
use signl4_azure_bridge::domain::id::TeamName;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Door, Fault};

use signl4_azure_bridge::simulator::scene::AZURE_TOKEN;
use signl4_azure_bridge::store::Change;

use crate::town::{Plan, Town};

fn alert() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

pub(crate) async fn get(town: &Town, path: &str) -> (u16, Value) {
    let answer = town.http.get(format!("{}{path}", town.admin)).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

pub(crate) async fn metrics(town: &Town) -> String {
    town.http.get(format!("{}/metrics", town.admin)).send().await.unwrap().text().await.unwrap()
}

async fn post(town: &Town, path: &str, token: Option<&str>) -> u16 {
    let mut request = town.http.post(format!("{}{path}", town.admin));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn ready_is_200_exactly_when_an_event_can_be_stored() {
    let town = Town::new().await;
    assert_eq!(town.http.get(format!("{}/healthz", town.admin)).send().await.unwrap().status(), 200);
    assert_eq!(get(&town, "/readyz").await.0, 200);

    town.scene.signl4.faults().set_door(Door::Refused).await;
    town.scene.azure.faults().set_door(Door::Refused).await;
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.clock.advance(std::time::Duration::from_secs(90));
    let (status, body) = get(&town, "/readyz").await;
    assert_eq!(status, 200, "what we need for sending makes nothing unready");
    assert_eq!(body["due"], 1);
    let age = body["oldest_due_age_seconds"].as_u64().unwrap();
    assert!(age >= 60, "{body}");
    assert!(metrics(&town).await.contains(&format!("\nbridge_oldest_due_age_seconds {age}\n")));
    assert!(body["credentials"].as_array().unwrap().iter().any(|it| it["side"] == "azure"), "{body}");

    let saboteur = rusqlite::Connection::open(town.folder.path().join("bridge.db")).unwrap();
    saboteur.execute_batch("ALTER TABLE pulse RENAME TO hidden").unwrap();
    let (status, body) = get(&town, "/readyz").await;
    assert_eq!((status, &body["ready"]), (503, &Value::Bool(false)));
    assert!(body["problem"].is_string());
    saboteur.execute_batch("ALTER TABLE hidden RENAME TO pulse").unwrap();
    assert_eq!(get(&town, "/readyz").await.0, 200);

    town.scene.signl4.faults().set_door(Door::Open).await;
    town.scene.azure.faults().set_door(Door::Open).await;
    town.after(std::time::Duration::from_mins(10)).await;
    town.close().await;
}

#[tokio::test]
async fn writes_need_the_token_that_is_made_beside_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::new().await;
    let path = town.folder.path().join("bridge.admin-token");
    let token = std::fs::read_to_string(&path).unwrap();
    assert!(token.len() >= 32);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    let alert = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let (_, dead) = get(&town, "/api/deliveries?state=dead").await;
    let id = dead[0]["id"].as_str().unwrap();
    for (path, with_token) in [
        (format!("/api/deliveries/{id}/replay"), 200),
        (format!("/api/deliveries/{id}/replay"), 409),
        ("/api/deliveries/00000000-0000-0000-0000-000000000000/drop".to_owned(), 404),
        ("/api/teams/ops/pause?for=1h".to_owned(), 200),
        ("/api/teams/ops/pause".to_owned(), 400),
        ("/api/teams/ops/pause?for=8d".to_owned(), 400),
        ("/api/teams/ops/pause?for=1h&till=2h".to_owned(), 400),
        ("/api/teams/ops/resume".to_owned(), 200),
        ("/api/teams/nobody/resume".to_owned(), 404),
    ] {
        assert_eq!(post(&town, &path, None).await, 401, "{path}");
        assert_eq!(post(&town, &path, Some("wrong")).await, 401, "{path}");
        assert_eq!(post(&town, &path, Some(&token)).await, with_token, "{path}");
    }
    assert_eq!(get(&town, "/api/deliveries?state=nonsense").await.0, 400);
    assert_eq!(get(&town, "/api/nonsense").await.0, 404);
    for path in ["/api/events?state=dead", "/api/events?limit=abc", "/api/pages?team=ops", "/api/deliveries?limit=-1"] {
        let (status, body) = get(&town, path).await;
        assert_eq!((status, body["error"].is_string()), (400, true), "{path}: {body}");
    }
    town.settle().await;
    town.page(&alert);
    town.close().await;
}

#[tokio::test]
async fn what_was_received_can_be_read_again() {
    let town = Town::new().await;
    let sent = "{\"essentials\": nothing that anybody understands ä";
    let endpoint = format!("{}/azure/contoso", town.url);
    let answer = town.http.post(&endpoint).basic_auth("azure", Some(AZURE_TOKEN)).body(sent).send().await.unwrap();
    let stored: Value = answer.json().await.unwrap();
    let (status, event) = get(&town, &format!("/api/events/{}", stored["event"].as_str().unwrap())).await;
    assert_eq!((status, event["body"].as_str()), (200, Some(sent)), "{event}");
    assert_eq!(
        (&event["reason"], event["body_bytes"].as_u64()),
        (&Value::from("unreadable"), u64::try_from(sent.len()).ok())
    );
    assert!(!event.to_string().contains(AZURE_TOKEN), "{event}");
    for id in ["00000000-0000-0000-0000-000000000000", "nonsense"] {
        assert_eq!(get(&town, &format!("/api/events/{id}")).await.0, 404, "{id}");
    }
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn listings_say_what_is_held_and_until_when() {
    let routes = "[[route]]\nname = \"all\"\nteam = \"ops\"\ngrace = \"5m\"\n";
    let town = Town::with(Plan { routes, ..Plan::default() }).await;
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let (_, pages) = get(&town, "/api/pages").await;
    assert_eq!((&pages[0]["phase"], &pages[0]["until"]), (&Value::from("held"), &Value::from("2026-11-24T03:05:00Z")));
    let ops = Destination::team(&TeamName::parse("ops").unwrap());
    let until = town.clock.now().plus(std::time::Duration::from_hours(1));
    town.bridge.store.change(Change::Pause { destination: ops.clone(), until }).await.unwrap();
    town.after(std::time::Duration::from_mins(6)).await;
    let (_, due) = get(&town, "/api/deliveries?state=due").await;
    assert_eq!(due[0]["waits"], "the team is paused until 2026-11-24T04:00:00Z", "{due}");
    town.bridge.store.change(Change::Resume { destination: ops }).await.unwrap();
    town.settle().await;
    let (_, done) = get(&town, "/api/deliveries").await;
    assert_eq!((&done[0]["waits"], done[0]["title"].is_string()), (&Value::Null, true), "{done}");
    town.close().await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let town = Town::new().await;
    for (accept, kind) in [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let answer = town.http.get(format!("{}/metrics", town.admin)).header("accept", accept).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], kind, "{accept}");
    }
    let body = town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap().text().await.unwrap();
    assert!(body.ends_with("}\n"), "{body}");
    town.close().await;
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let town = Town::new().await;
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let text = metrics(&town).await;
    for line in [
        "bridge_requests_total{endpoint=\"azure\",status=\"200\"} 1",
        "bridge_events_total{side=\"azure\",kind=\"fired\",reason=\"raised\"} 1",
        "bridge_attempts_total{side=\"signl4\",kind=\"raise\",outcome=\"accepted\"} 1",
        "bridge_deliveries{state=\"due\"} 0",
        "bridge_pages_open 1",
        "bridge_oldest_due_age_seconds 0",
    ] {
        assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
    }
    town.close().await;
}

#[tokio::test]
async fn a_bad_reload_changes_nothing_and_a_good_one_everything() {
    let town = Town::new().await;
    let routes = town.folder.path().join("routes/10-test.toml");
    std::fs::write(&routes, "[[route]]\nname = \"x\"\nteam = \"nobody\"\n").unwrap();
    let refused = town.bridge.reload().await.unwrap_err().to_string();
    assert!(refused.contains("10-test.toml:3") && refused.contains("nobody"), "{refused}");
    let (status, ready) = get(&town, "/readyz").await;
    assert_eq!((status, &ready["configuration"]["well"]), (200, &Value::Bool(false)), "{ready}");
    assert!(ready["configuration"]["file"].as_str().unwrap().ends_with("10-test.toml:3:8"), "{ready}");
    assert_eq!(ready["configuration"]["problem"].as_str(), Some(refused.as_str()));
    assert_eq!(ready["configuration"]["since"], "2026-11-24T03:00:00Z");
    let failing = "[[route]]\nname = \"quiet\"\npage = false\n[[route.example]]\nalert = { severity = \"Sev1\" }\nmatches = false\n";
    std::fs::write(&routes, failing).unwrap();
    let refused = town.bridge.reload().await.unwrap_err().to_string();
    assert!(refused.contains("10-test.toml:4: example of route `quiet`: the route takes it"), "{refused}");
    assert!(metrics(&town).await.contains("\nbridge_configuration_well 0\n"));
    let before = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.page(&before);
    std::fs::write(&routes, "[[route]]\nname = \"quiet\"\nteam = \"ops\"\npage = false\n").unwrap();
    town.bridge.reload().await.unwrap();
    let (_, ready) = get(&town, "/readyz").await;
    assert_eq!(
        (&ready["configuration"]["well"], &ready["configuration"]["problem"]),
        (&Value::Bool(true), &Value::Null)
    );
    assert!(metrics(&town).await.contains("\nbridge_configuration_well 1\n"));
    let after = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    assert_eq!(town.pages(&after).len(), 0, "recorded only, as the new route says");
    town.close().await;
}

#[tokio::test]
async fn a_changed_route_file_is_taken_over_without_a_word() {
    let town = Town::new().await;
    let routes = town.folder.path().join("routes/10-test.toml");
    let fresh = town.folder.path().join("routes/.new");
    std::fs::write(&fresh, "[[route]]\nname = \"one\"\nteam = \"ops\"\nmatch = { severity = [\"Sev4\"] }\n[[route]]\nname = \"two\"\nteam = \"ops\"\n").unwrap();
    std::fs::rename(&fresh, &routes).unwrap();
    let waited = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while town.bridge.rules.load().routes.len() != 2 {
            tokio::task::yield_now().await;
        }
    });
    assert!(waited.await.is_ok(), "the watcher saw the change");
    town.close().await;
}
