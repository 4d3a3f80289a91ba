//! Callers at the front door: Entra tokens of the secure webhook, source networks, floods, rotation of tokens.

use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric, SecureWebhook, SigningKey, Version};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::Fault;
use signl4_azure_bridge::simulator::scene::{AZURE_TOKEN, SIGNL4_TOKEN, TENANT};

use crate::town::{Plan, Town};

const URI: &str = "api://signl4-azure-bridge";
const APP: &str = "eeeeeeee-1111-4222-8333-444444444444";
const BODY: &str = r#"{"eventType":1,"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{}}}"#;
/// As `scene.bridge_toml` writes it.
const TOKEN_LINE: &str = "token         = \"simulated-azure-webhook-token\"";
const SECURE: &str =
    "secure_webhook = { audience = [\"api://signl4-azure-bridge\", \"eeeeeeee-1111-4222-8333-444444444444\"]";

fn secure(version: Version) -> SecureWebhook {
    let audience = match version {
        Version::V1 => URI,
        Version::V2 => APP,
    };
    SecureWebhook { tenant: TENANT.to_owned(), audience: audience.to_owned(), version }
}

/// Only the Entra token opens.
async fn only_bearer() -> Town {
    Town::with(Plan { edit: |text| text.replace(TOKEN_LINE, &format!("{SECURE} }}")), ..Plan::default() }).await
}

/// Either of the two opens.
async fn either() -> Town {
    Town::with(Plan { edit: |text| text.replace(TOKEN_LINE, &format!("{TOKEN_LINE}\n{SECURE} }}")), ..Plan::default() })
        .await
}

/// Both are asked for.
async fn both() -> Town {
    let edit = |text: String| text.replace(TOKEN_LINE, &format!("{TOKEN_LINE}\n{SECURE}, require = true }}"));
    Town::with(Plan { edit, ..Plan::default() }).await
}

/// Posts to `path` with a bearer token.
async fn bearer(town: &Town, path: &str, token: &str) -> reqwest::Response {
    town.http.post(format!("{}{path}", town.url)).bearer_auth(token).body(BODY).send().await.unwrap()
}

async fn stored(town: &Town) -> usize {
    town.bridge.store.events(1_000).await.unwrap().len()
}

#[tokio::test]
async fn a_secure_webhook_pages_with_tokens_of_either_version() {
    let town = only_bearer().await;
    for version in [Version::V1, Version::V2] {
        town.scene.azure.remove_webhooks();
        // As a user of `simulate` says it.
        let group = json!({"url": format!("{}/azure/contoso", town.url), "secure": secure(version)});
        let control = |path: &str| town.http.post(format!("{}/_simulator/{path}", town.scene.azure.url()));
        assert_eq!(control("action-group").json(&group).send().await.unwrap().status(), 200);
        assert_eq!(control("rotate-keys").send().await.unwrap().status(), 200);
        // The key may be newer than those that were fetched at the start.
        town.clock.advance(Duration::from_mins(1));
        let alert = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-1", Metric::default())).unwrap();
        town.settle().await;
        town.page(&alert);
        town.scene.azure.resolve(&alert).unwrap();
        town.settle().await;
    }
    let ready: Value = town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap().json().await.unwrap();
    let keys = ready["secure_webhooks"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "{ready}");
    assert!(keys.iter().all(|keys| keys["fetched_at"].is_string() && keys["problem"].is_null()), "{ready}");
    town.close().await;
}

#[tokio::test]
async fn every_wrong_token_is_the_same_401() {
    let town = only_bearer().await;
    let azure = &town.scene.azure;
    let key = azure.signing_key().unwrap();
    let other = SigningKey::generate().unwrap();
    let now = town.clock.now();
    let good = secure(Version::V1).claims(&azure.url(), now);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.token(&key.header(), &claims)
    };
    let token = key.token(&key.header(), &good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let header = |name: &str, value: &str| {
        let mut header = key.header();
        header[name] = json!(value);
        header
    };
    let v2 = secure(Version::V2).claims(&azure.url(), now);
    let wrong = [
        ("no signature", format!("{message}.")),
        ("bad signature", format!("{message}.{}", signature.chars().rev().collect::<String>())),
        ("another key", other.token(&key.header(), &good)),
        ("none", format!("{}.", key.token(&header("alg", "none"), &good).rsplit_once('.').unwrap().0)),
        ("HS256", key.token(&header("alg", "HS256"), &good)),
        ("PS256", key.token(&header("alg", "PS256"), &good)),
        ("unknown kid", key.token(&header("kid", "unknown"), &good)),
        ("expired", with("exp", json!(now.as_millis() / 1_000 - 301))),
        ("not yet valid", with("nbf", json!(now.as_millis() / 1_000 + 301))),
        ("another issuer", with("iss", json!("https://evil.example/"))),
        ("issuer of the other version", with("iss", v2["iss"].clone())),
        ("another audience", with("aud", json!("api://another"))),
        ("another tenant", with("tid", json!(APP))),
        ("another caller", with("appid", json!(APP))),
        ("no role", with("roles", json!(["Other"]))),
        ("garbage", "garbage".to_owned()),
        ("empty", String::new()),
        ("long", "x".repeat(20_000)),
        ("dots", ".".repeat(10_000)),
        ("the path token as bearer", AZURE_TOKEN.to_owned()),
    ];
    let mut answers = Vec::new();
    for (what, token) in &wrong {
        for path in ["/azure/contoso", "/azure/nobody"] {
            let response = bearer(&town, path, token).await;
            assert_eq!(response.status(), 401, "{what} at {path}");
            let headers = format!("{:?}", response.headers().get("www-authenticate"));
            answers.push((headers, response.text().await.unwrap()));
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the caller learns nothing: {answers:?}");
    assert_eq!(bearer(&town, "/azure/nobody", &token).await.status(), 401, "a right token opens no unknown name");
    assert_eq!(bearer(&town, "/signl4/ops", &token).await.status(), 401, "nor the other side");
    assert_eq!(stored(&town).await, 0);
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 200, "and the right one opens");
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn a_head_that_no_token_needs_is_refused_and_the_next_call_is_taken() {
    let town = only_bearer().await;
    let token = town.scene.azure.webhook_token(&secure(Version::V1));
    let huge = town.http.post(format!("{}/azure/contoso", town.url)).bearer_auth("x".repeat(2_000_000)).body(BODY);
    // The connection may be closed before all of it was sent.
    let status = huge.send().await.map(|response| response.status().as_u16());
    assert!(status.as_ref().map_or(true, |status| *status == 431), "{status:?}");
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 200);
    let long = format!("{}/azure/contoso/{}", town.url, "y".repeat(60_000));
    assert!(town.post(&long, BODY).await.status().is_client_error());
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn either_credential_opens_unless_both_are_asked_for() {
    let by_path = format!("/azure/contoso/{AZURE_TOKEN}");
    for (town, name) in [(either().await, "either"), (both().await, "both")] {
        let right = town.scene.azure.webhook_token(&secure(Version::V2));
        for (path, token, opens_either, opens_both) in [
            ("/azure/contoso", None, false, false),
            (by_path.as_str(), None, true, false),
            ("/azure/contoso", Some(right.as_str()), true, false),
            (by_path.as_str(), Some(right.as_str()), true, true),
            (by_path.as_str(), Some("wrong"), true, false),
            ("/azure/contoso/wrong", Some(right.as_str()), true, false),
            ("/azure/contoso/wrong", Some("wrong"), false, false),
        ] {
            let opens = if name == "both" { opens_both } else { opens_either };
            let response = match token {
                Some(token) => bearer(&town, path, token).await,
                None => town.post(&format!("{}{path}", town.url), BODY).await,
            };
            let status = response.status().as_u16();
            assert_eq!(status, if opens { 200 } else { 401 }, "{name}: {path} {token:?}");
        }
        town.settle().await;
        town.close().await;
    }
}

#[tokio::test]
async fn without_keys_a_token_is_our_trouble_and_a_path_token_still_opens() {
    let town = either().await;
    town.scene.azure.faults().plan(Fault::status(503).on(Operation::Discovery).always());
    // What the bridge may have fetched at its start is too old by now.
    town.clock.advance(Duration::from_hours(49));
    let token = town.scene.azure.webhook_token(&secure(Version::V1));
    for path in ["/azure/contoso", "/azure/nobody"] {
        town.clock.advance(Duration::from_mins(1));
        let refused = bearer(&town, path, &token).await;
        assert_eq!(refused.status(), 503, "{path}");
        assert!(refused.headers().contains_key("retry-after"));
    }
    assert_eq!(bearer(&town, "/azure/contoso", "garbage").await.status(), 401, "what is no token needs no key");
    assert_eq!(town.post(&town.azure_url(), BODY).await.status(), 200);
    let ready = town.http.get(format!("{}/readyz", town.admin)).send().await.unwrap();
    assert_eq!(ready.status(), 200, "keys never make it unready");
    assert!(ready.text().await.unwrap().contains("answered 503"));
    town.scene.azure.faults().clear();
    town.clock.advance(Duration::from_mins(1));
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 200);
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn rotated_keys_are_picked_up_and_unknown_ones_ask_once_a_minute() {
    let town = only_bearer().await;
    let azure = &town.scene.azure;
    // Both versions' metadata and keys, fetched at the start.
    azure.wait_until("the first keys", |state| state.calls_of(Operation::Discovery).count() == 4).await.unwrap();
    let before = azure.webhook_token(&secure(Version::V1));
    assert_eq!(bearer(&town, "/azure/contoso", &before).await.status(), 200);
    let _kid = azure.rotate_keys().unwrap();
    town.clock.advance(Duration::from_mins(1));
    let after = azure.webhook_token(&secure(Version::V1));
    assert_eq!(bearer(&town, "/azure/contoso", &after).await.status(), 200);
    assert_eq!(bearer(&town, "/azure/contoso", &before).await.status(), 200, "the old key is still in the set");

    azure.take_calls();
    let unknown = SigningKey::generate().unwrap();
    for minute in 1..=3 {
        town.clock.advance(Duration::from_mins(1));
        for _ in 0..20 {
            let claims = secure(Version::V1).claims(&azure.url(), town.clock.now());
            let token = unknown.token(&unknown.header(), &claims);
            assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 401);
        }
        let asked = azure.read(|state| state.calls_of(Operation::Discovery).count());
        assert_eq!(asked, 2 * minute, "metadata and keys once a minute");
    }
    town.settle().await;
    town.close().await;
}

/// Listens, and tells whether anybody has called.
struct Trap(TcpListener);

impl Trap {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.0.local_addr().unwrap())
    }

    fn was_called(&self) -> bool {
        self.0.accept().is_ok()
    }
}

#[tokio::test]
async fn keys_are_never_fetched_from_where_a_token_says() {
    let town = only_bearer().await;
    let trap = Trap::new();
    let attacker = SigningKey::generate().unwrap();
    let (n, e) = attacker.components();
    let claims = secure(Version::V1).claims(&town.scene.azure.url(), town.clock.now());
    let kid = town.scene.azure.signing_key().unwrap().kid;
    for kid in [kid.as_str(), attacker.kid.as_str()] {
        let header = json!({
            "alg": "RS256", "kid": kid, "jku": trap.url(), "x5u": trap.url(),
            "jwk": {"kty": "RSA", "n": n, "e": e, "kid": attacker.kid},
        });
        assert_eq!(bearer(&town, "/azure/contoso", &attacker.token(&header, &claims)).await.status(), 401, "{kid}");
    }
    assert!(!trap.was_called());
    town.close().await;
}

#[tokio::test]
async fn metadata_that_points_elsewhere_is_not_followed() {
    let town = only_bearer().await;
    let trap = Trap::new();
    town.scene.azure.knobs(|knobs| knobs.jwks_uri = Some(trap.url()));
    town.clock.advance(Duration::from_hours(49));
    let token = town.scene.azure.webhook_token(&secure(Version::V1));
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 503);
    assert!(!trap.was_called());
    town.close().await;
}

#[tokio::test]
async fn a_changed_audience_takes_effect_with_the_reload() {
    let town = only_bearer().await;
    let token = town.scene.azure.webhook_token(&secure(Version::V1));
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 200);
    let config = town.folder.path().join("bridge.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace(URI, "api://another");
    std::fs::write(&config, text).unwrap();
    town.bridge.reload().await.unwrap();
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 401, "though it was right before");
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn two_tokens_are_taken_while_one_is_rotated() {
    let edit = |text: String| {
        text.replace(TOKEN_LINE, "token = [\"a-new-token-of-some-length-9\", \"simulated-azure-webhook-token\"]")
            .replace(
                "token    = \"simulated-signl4-webhook-token\"",
                "token = [\"simulated-signl4-webhook-token\", \"another-signl4-token-0815\"]",
            )
    };
    let town = Town::with(Plan { edit, ..Plan::default() }).await;
    for (path, status) in [
        ("/azure/contoso/a-new-token-of-some-length-9", 200),
        ("/azure/contoso/simulated-azure-webhook-token", 200),
        ("/azure/contoso/another-signl4-token-0815", 401),
        ("/signl4/ops/another-signl4-token-0815", 200),
        ("/signl4/ops/simulated-signl4-webhook-token", 200),
        ("/signl4/ops/simulated-azure-webhook-token", 401),
    ] {
        assert_eq!(town.post(&format!("{}{path}", town.url), BODY).await.status(), status, "{path}");
    }
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn callers_outside_the_networks_are_the_same_401() {
    let edit = |text: String| {
        text.replace("[server]\n", "[server]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n")
            .replace(TOKEN_LINE, &format!("{TOKEN_LINE}\nnetworks = [\"198.51.100.0/24\", \"2001:db8::/32\"]"))
            .replace("[signl4.ops]\n", "[signl4.ops]\nnetworks = \"203.0.113.7\"\n")
    };
    let town = Town::with(Plan { edit, ..Plan::default() }).await;
    let mut refusals = Vec::new();
    for (url, forwarded, opens) in [
        (town.azure_url(), Some("198.51.100.9"), true),
        (town.azure_url(), Some("192.0.2.1, 198.51.100.9"), true),
        (town.azure_url(), Some("198.51.100.9, 10.1.2.3"), true),
        (town.azure_url(), Some("2001:db8::7"), true),
        (town.azure_url(), Some("198.51.100.9, 192.0.2.1"), false),
        (town.azure_url(), Some("192.0.2.1"), false),
        (town.azure_url(), Some("nonsense"), false),
        (town.azure_url(), None, false),
        (town.signl4_url(), Some("203.0.113.7"), true),
        (town.signl4_url(), Some("203.0.113.8"), false),
    ] {
        let mut request = town.http.post(&url).body(BODY);
        if let Some(forwarded) = forwarded {
            request = request.header("x-forwarded-for", forwarded);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), if opens { 200 } else { 401 }, "{forwarded:?}");
        if !opens {
            refusals.push(response.text().await.unwrap());
        }
    }
    refusals.push(town.post(&format!("{}/azure/contoso/wrong", town.url), BODY).await.text().await.unwrap());
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn without_trusted_proxies_nobody_may_say_where_he_comes_from() {
    let edit = |text: String| text.replace(TOKEN_LINE, &format!("{TOKEN_LINE}\nnetworks = [\"198.51.100.0/24\"]"));
    let town = Town::with(Plan { edit, ..Plan::default() }).await;
    let claimed = town.http.post(town.azure_url()).header("x-forwarded-for", "198.51.100.9").body(BODY);
    assert_eq!(claimed.send().await.unwrap().status(), 401);
    town.close().await;
}

#[tokio::test]
async fn a_flood_of_strangers_is_no_outage() {
    let town = either().await;
    let azure = &town.scene.azure;
    town.poll().await;
    azure.remove_webhooks();
    let mut alert = String::new();
    for number in 0..4 {
        if number == 2 {
            alert = azure.fire(AlertSpec::metric("CPU", "vm-1", Metric::default())).unwrap();
        }
        let key = azure.signing_key().unwrap();
        let forged = key.token(&key.header(), &secure(Version::V1).claims(&azure.url(), town.clock.now()));
        let forged = format!("{}.AAAA", forged.rsplit_once('.').unwrap().0);
        let mut status = 401;
        for _ in 0..1_000 {
            status = bearer(&town, "/azure/contoso", &forged).await.status().as_u16();
            if status != 401 {
                break;
            }
        }
        assert_eq!(status, 503);
        town.clock.advance(Duration::from_secs(30));
    }
    town.poll_after(Duration::from_mins(1)).await;
    assert_eq!(town.pages(&alert).len(), 0, "its rule has never called, and nobody was kept from calling");
    town.close().await;
}

#[tokio::test]
async fn a_flood_of_strangers_never_shuts_out_who_is_right() {
    let town = either().await;
    let azure = &town.scene.azure;
    let (key, now) = (azure.signing_key().unwrap(), town.clock.now());
    let claims = secure(Version::V1).claims(&azure.url(), now);
    let forged = key.token(&key.header(), &claims);
    let forged = format!("{}.AAAA", forged.rsplit_once('.').unwrap().0);
    for number in 0..100 {
        let wrong = format!("{}/azure/contoso/wrong-{number}", town.url);
        assert_eq!(town.post(&wrong, BODY).await.status(), 401, "{number}");
        assert_eq!(bearer(&town, "/azure/contoso", &forged).await.status(), 401, "{number}");
    }
    assert_eq!(town.post(&town.azure_url(), BODY).await.status(), 200, "the path token");
    assert_eq!(town.post(&town.signl4_url(), BODY).await.status(), 200, "the other side");
    let token = azure.webhook_token(&secure(Version::V1));
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 200, "the Entra token");
    // Beyond the signatures that floods are allowed, strangers are asked to come again, and who is known is let in.
    let mut status = 401;
    for _ in 0..1_000 {
        status = bearer(&town, "/azure/contoso", &forged).await.status().as_u16();
        if status != 401 {
            break;
        }
    }
    assert_eq!(status, 503);
    assert_eq!(bearer(&town, "/azure/contoso", &token).await.status(), 200);
    for _ in 0..300 {
        assert_eq!(town.post(&town.azure_url(), BODY).await.status(), 200, "who is right is never limited");
    }
    assert_eq!(town.post(&format!("{}/signl4/ops/{SIGNL4_TOKEN}", town.url), BODY).await.status(), 200);
    town.settle().await;
    town.close().await;
}
