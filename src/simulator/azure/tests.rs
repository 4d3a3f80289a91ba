//! The simulated Azure through its front door: shapes, errors, webhooks and their retries.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use super::*;
use crate::simulator::faults::Fault;
use crate::simulator::receiver::Receiver;

const TENANT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const CLIENT: &str = "bbbbbbbb-0000-4000-8000-000000000001";
const SUBSCRIPTION: &str = "cccccccc-0000-4000-8000-000000000001";
const SCOPE: &str = "https://management.azure.com/.default";
const VERSION: &str = "2019-05-05-preview";

fn noon() -> Timestamp {
    Timestamp::parse("2026-11-24T12:00:00Z").unwrap()
}

async fn azure() -> Azure {
    azure_at(Clock::manual(noon())).await
}

async fn azure_at(clock: Clock) -> Azure {
    let azure = Azure::start(([127, 0, 0, 1], 0).into(), clock).await.unwrap();
    azure.register_app(TENANT, CLIENT, "s3cret");
    azure.add_subscription(TENANT, SUBSCRIPTION);
    azure.assign_role(CLIENT, SUBSCRIPTION, Some(Role::Bridge));
    azure
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

async fn ask_token(azure: &Azure, tenant: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let url = format!("{}/{tenant}/oauth2/v2.0/token", azure.url());
    let response = client().post(url).form(form).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

async fn token(azure: &Azure) -> String {
    let form =
        [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", "s3cret"), ("scope", SCOPE)];
    let (status, body) = ask_token(azure, TENANT, &form).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

fn alerts_url(azure: &Azure, tail: &str) -> String {
    format!("{}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts{tail}", azure.url())
}

async fn get(azure: &Azure, token: &str, tail: &str, query: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = client().get(alerts_url(azure, tail)).query(&[("api-version", VERSION)]).query(query);
    answer(request.bearer_auth(token).send().await.unwrap()).await
}

async fn answer(response: Response) -> (StatusCode, Value) {
    (response.status(), response.json().await.unwrap())
}

async fn change(azure: &Azure, token: &str, id: &str, state: &str, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = client()
        .post(alerts_url(azure, &format!("/{id}/changestate")))
        .query(&[("api-version", VERSION), ("newState", state)])
        .bearer_auth(token);
    if let Some(body) = body {
        request = request.json(&body);
    }
    answer(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_is_granted_by_form_and_by_basic_credentials() {
    let azure = azure().await;
    azure.knobs(|knobs| knobs.token_seconds = 300);
    let form = [("grant_type", "client_credentials"), ("scope", SCOPE)];
    let url = format!("{}/{TENANT}/oauth2/v2.0/token", azure.url());
    let response = client().post(url).basic_auth(CLIENT, Some("s3cret")).form(&form).send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(300)));
    assert!(token(&azure).await.split('.').count() == 3);
    assert!(azure.calls().iter().all(|call| call.operation == Operation::Token));
    assert!(!format!("{:?}", azure.calls()).contains("s3cret"));
}

#[tokio::test]
async fn refused_tokens_carry_the_code_of_the_reason() {
    let azure = azure().await;
    let good =
        [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", "s3cret"), ("scope", SCOPE)];
    let with = |name: &'static str, value: Option<&'static str>| {
        let mut form = good.to_vec();
        form.retain(|(key, _)| *key != name);
        form.extend(value.map(|value| (name, value)));
        form
    };
    let table = [
        (TENANT, with("client_secret", Some("wrong")), 401, "invalid_client", 7_000_215),
        (TENANT, with("client_secret", None), 401, "invalid_client", 7_000_218),
        (TENANT, with("client_id", Some("dddddddd-0000-4000-8000-000000000001")), 400, "unauthorized_client", 700_016),
        (TENANT, with("client_id", None), 400, "invalid_request", 900_144),
        (TENANT, with("scope", Some("https://management.azure.com/")), 400, "invalid_scope", 1_002_012),
        (TENANT, with("scope", Some("https://example.com/.default")), 400, "invalid_resource", 500_011),
        (TENANT, with("grant_type", Some("password")), 400, "unsupported_grant_type", 70_003),
        ("no-such-tenant", good.to_vec(), 400, "invalid_request", 90_002),
    ];
    for (tenant, form, status, error, code) in table {
        let (got, body) = ask_token(&azure, tenant, &form).await;
        assert_eq!((got.as_u16(), &body["error"], &body["error_codes"]), (status, &json!(error), &json!([code])));
        let description = body["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
    }
    azure.expire_secrets(CLIENT, noon());
    let (_, body) = ask_token(&azure, TENANT, &good).await;
    assert_eq!(body["error_codes"], json!([7_000_222]));
    azure.rotate_secret(CLIENT, "s3cret");
    azure.change_app(CLIENT, |app| app.disabled = true);
    let (_, body) = ask_token(&azure, TENANT, &good).await;
    assert_eq!(body["error_codes"], json!([7_000_112]));
}

#[tokio::test]
async fn tokens_can_be_refused_with_any_code() {
    let azure = azure().await;
    let forced = TokenError {
        code: 53_003,
        error: "invalid_grant".to_owned(),
        status: 400,
        text: "Access has been blocked by Conditional Access policies.".to_owned(),
    };
    azure.knobs(|knobs| knobs.token_error = Some(forced));
    let (status, body) = ask_token(&azure, TENANT, &[]).await;
    assert_eq!((status.as_u16(), &body["error_codes"]), (400, &json!([53_003])));
    azure.knobs(|knobs| {
        knobs.token_error = None;
        knobs.token_seconds = 86_399;
        knobs.refresh_seconds = Some(43_199);
    });
    let form =
        [("grant_type", "client_credentials"), ("client_id", CLIENT), ("client_secret", "s3cret"), ("scope", SCOPE)];
    let (_, body) = ask_token(&azure, TENANT, &form).await;
    assert_eq!((&body["expires_in"], &body["refresh_in"]), (&json!(86_399), &json!(43_199)));
}

#[tokio::test]
async fn discovery_names_the_address_that_was_asked() {
    let azure = azure().await;
    let body: Value = client()
        .get(format!("{}/{TENANT}/v2.0/.well-known/openid-configuration", azure.url()))
        .header("host", "login.example.com")
        .header("x-forwarded-proto", "https")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(body["token_endpoint"], format!("https://login.example.com/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(body["issuer"], format!("https://login.example.com/{TENANT}/v2.0"));
}

#[tokio::test]
async fn a_bearer_must_be_known_and_alive() {
    let azure = azure().await;
    let token = token(&azure).await;
    let response = client().get(alerts_url(&azure, "?api-version=2019-03-01")).send().await.unwrap();
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer authorization_uri="));
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "InvalidAuthenticationToken");
    let (status, body) = get(&azure, "wrong", "", &[]).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (401, &json!("InvalidAuthenticationToken")));
    assert_eq!(get(&azure, &token, "", &[]).await.0, 200);
    azure.clock.advance(Duration::from_secs(3599));
    let (status, body) = get(&azure, &token, "", &[]).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (401, &json!("ExpiredAuthenticationToken")));
    azure.revoke_tokens();
    let (_, body) = get(&azure, &token, "", &[]).await;
    assert_eq!(body["error"]["code"], "InvalidAuthenticationToken");
}

#[tokio::test]
async fn access_needs_a_role_in_a_known_subscription() {
    let azure = azure().await;
    let token = token(&azure).await;
    let id = azure.fire(AlertSpec::default()).unwrap();
    azure.assign_role(CLIENT, SUBSCRIPTION, Some(Role::Reader));
    assert_eq!(get(&azure, &token, &format!("/{id}"), &[]).await.0, 200);
    let (status, body) = change(&azure, &token, &id, "Closed", None).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (403, &json!("AuthorizationFailed")));
    assert!(body["error"]["message"].as_str().unwrap().contains("alerts/changestate/action"));
    azure.assign_role(CLIENT, SUBSCRIPTION, None);
    assert_eq!(get(&azure, &token, "", &[]).await.0, 403);
    let url = format!(
        "{}/subscriptions/dddddddd-0000-4000-8000-000000000001/providers/Microsoft.AlertsManagement/alerts?api-version=1",
        azure.url()
    );
    let (status, body) = answer(client().get(url).bearer_auth(&token).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (404, &json!("SubscriptionNotFound")));
}

#[tokio::test]
async fn changestate_changes_the_alert_and_its_history() {
    let azure = azure().await;
    let token = token(&azure).await;
    let id = azure.fire(AlertSpec::metric("CPU", "db1", Metric::default()).severity(2)).unwrap();
    azure.clock.advance(Duration::from_mins(1));
    let comments = json!({ "comments": "Acknowledged by Jane Doe in SIGNL4" });
    let (status, body) = change(&azure, &token, &id, "Acknowledged", Some(comments)).await;
    assert_eq!(status, 200, "{body}");
    let essentials = &body["properties"]["essentials"];
    assert_eq!(
        (&essentials["alertState"], &essentials["monitorCondition"], &essentials["severity"]),
        (&json!("Acknowledged"), &json!("Fired"), &json!("Sev2"))
    );
    assert_eq!(essentials["lastModifiedDateTime"], "2026-11-24T12:01:00.0000000Z");
    assert_eq!(essentials["startDateTime"], "2026-11-24T12:00:00.0000000Z");
    let object_id = azure.read(|state| state.tenants[TENANT].apps[CLIENT].object_id.clone());
    assert_eq!(essentials["lastModifiedUserName"], object_id);
    assert_eq!(body["name"], "CPU");
    assert!(
        body["id"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/virtualmachines/db1/providers/Microsoft.AlertsManagement/alerts/{id}"))
    );

    let (_, history) = get(&azure, &token, &format!("/{id}/history"), &[]).await;
    let modifications = history["properties"]["modifications"].as_array().unwrap();
    let told: Vec<(&str, &str, &str)> = modifications
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap();
            (text("modificationEvent"), text("newValue"), text("comments"))
        })
        .collect();
    assert_eq!(told, [("AlertCreated", "", ""), ("StateChange", "Acknowledged", "Acknowledged by Jane Doe in SIGNL4")]);
    assert_eq!(azure.alert(&id).unwrap().comments(), ["Acknowledged by Jane Doe in SIGNL4"]);
    let change_calls: Vec<Option<String>> =
        azure.read(|state| state.calls_of(Operation::ChangeState).map(|call| call.query("newState")).collect());
    assert_eq!(change_calls, [Some("Acknowledged".to_owned())]);
}

#[tokio::test]
async fn changestate_refuses_what_it_does_not_understand() {
    let azure = azure().await;
    let token = token(&azure).await;
    let id = azure.fire(AlertSpec::default()).unwrap();
    for (state, body) in [("Resolved", None), ("", None), ("Closed", Some(json!({ "comments": 5 })))] {
        let (status, answer) = change(&azure, &token, &id, state, body).await;
        assert_eq!((status.as_u16(), &answer["error"]["code"]), (400, &json!("BadRequest")), "{state}");
    }
    let (status, answer) = change(&azure, &token, "eeeeeeee-0000-4000-8000-000000000001", "Closed", None).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!("ResourceNotFound")));
    let request = client().post(alerts_url(&azure, &format!("/{id}/changestate?newState=Closed"))).bearer_auth(&token);
    let (status, answer) = self::answer(request.send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (400, &json!("MissingApiVersionParameter")));
    assert_eq!(azure.alert(&id).unwrap().state, AlertState::New);
}

#[tokio::test]
async fn a_change_to_the_same_state_is_as_the_knob_says() {
    let azure = azure().await;
    let token = token(&azure).await;
    let id = azure.fire(AlertSpec::default()).unwrap();
    let comments = json!({ "comments": "annotated" });
    assert_eq!(change(&azure, &token, &id, "New", Some(comments.clone())).await.0, 200);
    assert_eq!(azure.alert(&id).unwrap().comments(), ["annotated"]);
    azure.knobs(|knobs| knobs.same_state = SameState::Conflict);
    assert_eq!(change(&azure, &token, &id, "New", Some(comments)).await.0, 409);
    assert_eq!(azure.alert(&id).unwrap().comments(), ["annotated"]);
}

#[tokio::test]
async fn the_list_is_filtered_sorted_and_paged() {
    let azure = azure().await;
    let token = token(&azure).await;
    let mut ids = Vec::new();
    for number in 0..5_u8 {
        ids.push(
            azure.fire(AlertSpec::metric(&format!("rule {number}"), "vm", Metric::default()).severity(number)).unwrap(),
        );
        azure.clock.advance(Duration::from_mins(1));
    }
    azure.set_state(&ids[0], AlertState::Closed, "jane.doe@example.com", "").unwrap();
    let names = |body: &Value| -> Vec<String> {
        body["value"].as_array().unwrap().iter().map(|alert| alert["name"].as_str().unwrap().to_owned()).collect()
    };
    // The one that was changed last comes first.
    let (_, first) = get(&azure, &token, "", &[("pageCount", "2")]).await;
    assert_eq!(names(&first), ["rule 0", "rule 4"]);
    let next = first["nextLink"].as_str().unwrap();
    assert!(next.starts_with(&azure.url()), "{next}");
    let (_, second) = answer(client().get(next).bearer_auth(&token).send().await.unwrap()).await;
    assert_eq!(names(&second), ["rule 3", "rule 2"]);
    let next = second["nextLink"].as_str().unwrap();
    let (_, third) = answer(client().get(next).bearer_auth(&token).send().await.unwrap()).await;
    assert_eq!((names(&third), third.get("nextLink")), (vec!["rule 1".to_owned()], None));

    for (query, wanted) in [
        (vec![("alertState", "Closed")], vec!["rule 0"]),
        (vec![("severity", "Sev3")], vec!["rule 3"]),
        (vec![("alertRule", "rule 2")], vec!["rule 2"]),
        (vec![("monitorCondition", "Resolved")], vec![]),
        (vec![("sortBy", "startDateTime"), ("sortOrder", "asc"), ("severity", "sev1")], vec!["rule 1"]),
        (vec![("sortBy", "name"), ("pageCount", "1")], vec!["rule 0"]),
        (vec![("timeRange", "1h"), ("targetResourceType", "virtualmachines"), ("severity", "Sev4")], vec!["rule 4"]),
        (vec![("customTimeRange", "2026-11-24T12:02:00Z/2026-11-24T12:03:00Z")], vec!["rule 3", "rule 2"]),
    ] {
        let (status, body) = get(&azure, &token, "", &query).await;
        assert_eq!(
            (status.as_u16(), names(&body)),
            (200, wanted.iter().map(ToString::to_string).collect()),
            "{query:?}"
        );
    }
    for query in [
        vec![("pageCount", "0")],
        vec![("pageCount", "251")],
        vec![("timeRange", "2d")],
        vec![("timeRange", "1d"), ("customTimeRange", "2026-11-24T12:02:00Z/2026-11-24T12:03:00Z")],
        vec![("sortBy", "colour")],
        vec![("sortOrder", "up")],
    ] {
        assert_eq!(get(&azure, &token, "", &query).await.0, 400, "{query:?}");
    }
    azure.clock.advance(Duration::from_hours(48));
    let token = self::token(&azure).await;
    assert_eq!(names(&get(&azure, &token, "", &[]).await.1), Vec::<String>::new());
    assert_eq!(names(&get(&azure, &token, "", &[("timeRange", "7d")]).await.1).len(), 5);
}

#[tokio::test]
async fn a_list_has_the_alerts_of_its_subscription_and_of_no_other() {
    const SECOND: &str = "cccccccc-0000-4000-8000-000000000002";
    let azure = azure().await;
    let token = token(&azure).await;
    azure.add_subscription(TENANT, SECOND);
    let own = azure.fire(AlertSpec::default().subscription(&SUBSCRIPTION.to_uppercase())).unwrap();
    let other = azure.fire(AlertSpec::default().subscription(SECOND)).unwrap();
    let target = Some(format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-1/providers/x/y/z"));
    let about = azure.fire(AlertSpec { target, ..AlertSpec::default().subscription(SECOND) }).unwrap();
    let then = noon().minus(Duration::from_hours(7));
    let unheard = azure.fire_unheard(AlertSpec::default().subscription(SUBSCRIPTION), then).unwrap();
    let listed = async |state: &str| {
        let (_, body) = get(&azure, &token, "", &[("alertState", state), ("sortBy", "startDateTime")]).await;
        let ids = body["value"].as_array().unwrap().iter().map(|alert| alert["id"].as_str().unwrap().to_owned());
        ids.map(|id| id.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let found = listed("New").await;
    assert_eq!(found.len(), 3, "{found:?} without {other}");
    assert!(found.contains(&own) && found.contains(&about));
    assert_eq!(found.last(), Some(&unheard), "it fired seven hours before the others");
    azure.forget(&own).unwrap();
    assert_eq!(listed("New").await.len(), 2);
    assert!(listed("Closed").await.is_empty());
}

#[tokio::test]
async fn next_links_can_be_peculiar() {
    let azure = azure().await;
    let token = token(&azure).await;
    for _ in 0..2 {
        azure.fire(AlertSpec::default()).unwrap();
    }
    azure.knobs(|knobs| knobs.next_link_with_port = true);
    let request = client()
        .get(alerts_url(&azure, "?api-version=1&pageCount=1"))
        .bearer_auth(&token)
        .header("host", "management.example.com")
        .header("x-forwarded-proto", "https");
    let (_, body) = answer(request.send().await.unwrap()).await;
    assert!(body["nextLink"].as_str().unwrap().starts_with("https://management.example.com:443/subscriptions/"));
    azure.knobs(|knobs| knobs.next_link_base = Some("https://attacker.example.net".to_owned()));
    let (_, body) = get(&azure, &token, "", &[("pageCount", "1")]).await;
    assert!(body["nextLink"].as_str().unwrap().starts_with("https://attacker.example.net:443/subscriptions/"));
}

#[tokio::test]
async fn a_fired_alert_calls_the_webhook_and_a_resolved_one_again() {
    let azure = azure().await;
    let receiver = Receiver::start().await.unwrap();
    azure.add_webhook(&format!("{}/azure/contoso/t0ken", receiver.url), None);
    azure.add_webhook(&format!("{}/other", receiver.url), Some("dddddddd-0000-4000-8000-000000000001"));
    let id = azure
        .fire(AlertSpec::metric("CPU", "DB1", Metric::default()).severity(1).custom_property("team", "payments"))
        .unwrap();
    let call = receiver.called(1).await.pop().unwrap();
    assert_eq!(call.path, "/azure/contoso/t0ken");
    assert_eq!(call.header("user-agent"), Some("IcMBroadcaster/1.0"));
    assert_eq!(call.header("expect"), Some("100-continue"));
    assert_eq!(call.header("content-type"), Some("application/json; charset=utf-8"));
    let body = call.json();
    assert_eq!(body["schemaId"], "azureMonitorCommonAlertSchema");
    let essentials = &body["data"]["essentials"];
    assert_eq!(
        essentials["alertId"],
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{id}")
    );
    assert_eq!(
        (&essentials["severity"], &essentials["monitorCondition"], &essentials["monitoringService"]),
        (&json!("Sev1"), &json!("Fired"), &json!("Platform"))
    );
    assert_eq!(essentials["firedDateTime"], "2026-11-24T12:00:00.0000000Z");
    assert_eq!(essentials.get("resolvedDateTime"), None);
    assert_eq!(
        essentials["alertTargetIDs"],
        json!([format!(
            "/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-payments/providers/microsoft.compute/virtualmachines/db1"
        )])
    );
    let criterion = &body["data"]["alertContext"]["condition"]["allOf"][0];
    assert_eq!((&criterion["threshold"], &criterion["metricValue"]), (&json!("90"), &json!(97.4)));
    assert_eq!(body["data"]["customProperties"], json!({ "team": "payments" }));

    azure.clock.advance(Duration::from_mins(5));
    azure.resolve(&id).unwrap();
    let body = receiver.called(2).await.pop().unwrap().json();
    assert_eq!(body["data"]["essentials"]["monitorCondition"], "Resolved");
    assert_eq!(body["data"]["essentials"]["resolvedDateTime"], "2026-11-24T12:05:00.0000000Z");
    assert_eq!(azure.resolve(&id), Err(ActionError::AlreadyResolved));
    azure.webhooks().settled(Duration::from_secs(10)).await.unwrap();
    assert_eq!(receiver.calls().len(), 2);
    assert!(azure.attempts().iter().all(Attempt::accepted));
    assert!(azure.attempts().iter().all(|attempt| !attempt.target.contains("t0ken")));
    // The condition is Azure's own; the state is for people.
    assert_eq!(azure.alert(&id).unwrap().state, AlertState::New);
}

#[tokio::test]
async fn each_kind_of_alert_has_its_own_context() {
    let azure = azure().await;
    let body = |spec: AlertSpec| {
        let id = azure.fire(spec).unwrap();
        (azure.webhook_body(&id).unwrap(), id)
    };
    let (log, _) = body(AlertSpec::log("Exceptions", "law-prod", Log::default()));
    assert_eq!(log.pointer("/data/essentials/monitoringService").unwrap(), "Log Alerts V2");
    assert_eq!(log.pointer("/data/alertContext/conditionType").unwrap(), "LogQueryCriteria");
    assert_eq!(log.pointer("/data/alertContext/condition/allOf/0/metricValue").unwrap(), 12.0);

    let (activity, id) = body(AlertSpec::activity_log("VM deleted", "vm-web-1", Activity::default()));
    assert_eq!(activity.pointer("/data/essentials/monitoringService").unwrap(), "Activity Log - Administrative");
    assert_eq!(activity.pointer("/data/alertContext/caller").unwrap(), "jane.doe@example.com");
    assert_eq!(azure.resolve(&id), Err(ActionError::Stateless));

    let (service, _) = body(AlertSpec::service_health("Azure incidents", Incident::default()));
    assert_eq!(service.pointer("/data/essentials/configurationItems"), None);
    assert_eq!(
        service.pointer("/data/essentials/alertTargetIDs").unwrap(),
        &json!([format!("/subscriptions/{SUBSCRIPTION}")])
    );
    let services = service.pointer("/data/alertContext/properties/impactedServices").unwrap().as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(services).unwrap()[0]["ServiceName"], "SQL Database");

    let (health, _) = body(AlertSpec::resource_health("VM health", "vm-web-1", Health::default()));
    assert_eq!(health.pointer("/data/essentials/monitoringService").unwrap(), "Resource Health");
    assert_eq!(health.pointer("/data/alertContext/properties/currentHealthStatus").unwrap(), "Unavailable");
}

#[tokio::test]
async fn suppressed_alerts_and_tests_are_as_in_azure() {
    let azure = azure().await;
    let receiver = Receiver::start().await.unwrap();
    azure.add_webhook(&receiver.url, None);
    let suppressed = azure.fire(AlertSpec::default().suppressed()).unwrap();
    azure.fire_test();
    azure.fire_test();
    let calls = receiver.called(2).await;
    azure.webhooks().settled(Duration::from_secs(10)).await.unwrap();
    assert_eq!(receiver.calls().len(), 2);
    for call in calls {
        assert_eq!(
            call.json()["data"]["essentials"]["alertId"],
            "/subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.AlertsManagement/alerts/\
             12345678-1234-1234-1234-1234567890ab"
        );
    }
    let token = token(&azure).await;
    let (_, body) = get(&azure, &token, &format!("/{suppressed}"), &[]).await;
    assert_eq!(body["properties"]["essentials"]["actionStatus"], json!({ "isSuppressed": true }));
    assert_eq!(azure.read(|state| state.alerts.len()), 1);
}

#[tokio::test]
async fn faults_answer_in_the_services_own_words() {
    let azure = azure().await;
    azure.faults().plan(Fault::status(429).on(Operation::Token));
    let (status, body) = ask_token(&azure, TENANT, &[]).await;
    assert_eq!((status.as_u16(), &body["error_codes"]), (429, &json!([90_055])));
    let token = token(&azure).await;
    azure.faults().plan(Fault::status(503).on(Operation::ListAlerts));
    let (status, body) = get(&azure, &token, "", &[]).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (503, &json!("ServiceUnavailable")));
    assert_eq!(get(&azure, &token, "", &[]).await.0, 200);
}

#[tokio::test]
async fn the_simulator_stops_with_its_last_handle() {
    let azure = azure().await;
    let url = azure.url();
    let second = azure.clone();
    drop(azure);
    assert!(client().get(format!("{url}/_simulator/")).send().await.is_ok());
    let mut stopped = Box::pin(second.stop.clone().cancelled_owned());
    drop(second);
    stopped.as_mut().await;
    assert!(client().get(format!("{url}/_simulator/")).send().await.is_err());
}

/// A hundred lists a minute; 250 reads at once of any kind, and 25 more each second.
#[tokio::test]
async fn lists_and_reads_beyond_their_limits_are_refused() {
    let clock = Clock::manual(noon());
    let azure = azure_at(clock.clone()).await;
    let token = token(&azure).await;
    let throttled = json!("SubscriptionRequestsThrottled");
    for _ in 0..100 {
        assert_eq!(get(&azure, &token, "", &[]).await.0, 200);
    }
    let (status, body) = get(&azure, &token, "", &[]).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (429, &throttled));
    for _ in 0..149 {
        assert_eq!(get(&azure, &token, "/unknown", &[]).await.0, 404, "lists have a limit of their own");
    }
    let (status, body) = get(&azure, &token, "/unknown", &[]).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (429, &throttled));
    clock.advance(Duration::from_secs(1));
    for _ in 0..25 {
        assert_eq!(get(&azure, &token, "/unknown", &[]).await.0, 404);
    }
    assert_eq!(get(&azure, &token, "/unknown", &[]).await.0, 429);
    clock.advance(Duration::from_mins(1));
    assert_eq!(get(&azure, &token, "", &[]).await.0, 200);
}
