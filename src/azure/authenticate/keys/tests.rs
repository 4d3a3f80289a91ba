//! Keys over a real socket, with a clock moved by hand.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::egress::Limits;
use crate::egress::stub::{Stub, answer, nobody};
use crate::simulator::azure::{Azure, SigningKey, Version as Simulated};
use crate::simulator::calls::Operation;
use crate::simulator::faults::Fault;

const TENANT: &str = "0a4c1d2e-0000-4000-8000-000000000001";

fn clock() -> Clock {
    Clock::manual(Timestamp::parse("2026-11-24T03:00:00Z").unwrap())
}

fn keys(authority: &str, tenant: &str, version: Version, clock: &Clock) -> Arc<KeySet> {
    KeySet::new(authority, tenant, version, Http::new(Limits::default()).unwrap(), clock.clone())
}

async fn entra(clock: &Clock) -> Azure {
    let azure = Azure::start("127.0.0.1:0".parse().unwrap(), clock.clone()).await.unwrap();
    azure.add_tenant(TENANT);
    azure
}

fn fetches(azure: &Azure) -> Vec<String> {
    azure.take_calls().into_iter().map(|call| call.path).collect()
}

/// What a background fetch did is waited for by its calls.
async fn until_fetched(azure: &Azure, calls: usize) {
    azure.wait_until("the fetch", |state| state.calls.len() >= calls).await.unwrap();
}

#[tokio::test]
async fn each_version_has_its_own_metadata_issuer_and_keys() {
    let clock = clock();
    let azure = entra(&clock).await;
    let kid = azure.signing_key().unwrap().kid;
    for (version, simulated, paths) in [
        (Version::V1, Simulated::V1, ["/.well-known/openid-configuration", "/discovery/keys"]),
        (Version::V2, Simulated::V2, ["/v2.0/.well-known/openid-configuration", "/discovery/v2.0/keys"]),
    ] {
        let known = keys(&azure.url(), TENANT, version, &clock).get().await.unwrap();
        assert_eq!(known.issuer.name, simulated.issuer(&azure.url(), TENANT));
        assert_eq!(known.issuer.tenant, TENANT);
        assert_eq!(known.issuer.keys.keys().collect::<Vec<_>>(), [&kid]);
        assert_eq!(fetches(&azure), paths.map(|path| format!("/{TENANT}{path}")));
    }
}

#[tokio::test]
async fn keys_are_asked_for_once_a_day_however_many_wait() {
    let clock = clock();
    let azure = entra(&clock).await;
    let keys = keys(&azure.url(), TENANT, Version::V1, &clock);
    let (one, two, three) = tokio::join!(keys.get(), keys.get(), keys.get());
    assert!(one.is_ok() && two.is_ok() && three.is_ok());
    clock.advance(FRESH.saturating_sub(Duration::from_secs(1)));
    keys.get().await.unwrap();
    keys.tend();
    assert_eq!(fetches(&azure).len(), 2, "metadata and keys, once");
    clock.advance(Duration::from_secs(1));
    let old = keys.get().await.unwrap();
    keys.get().await.unwrap();
    until_fetched(&azure, 2).await;
    // The fetch under way is over when the lock is free.
    drop(keys.flight.lock().await);
    assert_eq!(fetches(&azure).len(), 2, "again, in the background and once");
    assert!(keys.get().await.unwrap().generation > old.generation);
}

#[tokio::test]
async fn an_unknown_kid_asks_for_new_keys_once_a_minute() {
    let clock = clock();
    let azure = entra(&clock).await;
    let keys = keys(&azure.url(), TENANT, Version::V2, &clock);
    let first = keys.get().await.unwrap();
    let kid = azure.rotate_keys().unwrap();
    assert!(keys.newer(first.generation).await.unwrap().is_none(), "asked for less than a minute ago");
    clock.advance(UNKNOWN);
    let (one, two) = tokio::join!(keys.newer(first.generation), keys.newer(first.generation));
    let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
    assert_eq!(one.generation, two.generation);
    assert!(one.issuer.keys.contains_key(&kid) && one.issuer.keys.len() == 2);
    for _ in 0..100 {
        assert!(keys.newer(one.generation).await.unwrap().is_none());
    }
    assert_eq!(fetches(&azure).len(), 4, "two fetches of two documents");
}

#[tokio::test]
async fn a_kid_is_looked_for_in_the_fetch_that_is_under_way() {
    let clock = clock();
    let azure = entra(&clock).await;
    let keys = keys(&azure.url(), TENANT, Version::V1, &clock);
    let first = keys.get().await.unwrap();
    let kid = azure.rotate_keys().unwrap();
    clock.advance(FRESH);
    azure.faults().plan(Fault::latency(Duration::from_millis(200)).on(Operation::Discovery));
    keys.tend();
    let newer = keys.newer(first.generation).await.unwrap().unwrap();
    assert!(newer.issuer.keys.contains_key(&kid));
    assert_eq!(fetches(&azure).len(), 4, "the first fetch and the daily one");
}

#[tokio::test]
async fn a_key_that_was_taken_back_is_gone_with_the_next_fetch() {
    let clock = clock();
    let azure = entra(&clock).await;
    let keys = keys(&azure.url(), TENANT, Version::V1, &clock);
    let first = keys.get().await.unwrap();
    let kid = azure.rotate_keys().unwrap();
    azure.retire_keys();
    clock.advance(UNKNOWN);
    let newer = keys.newer(first.generation).await.unwrap().unwrap();
    assert_eq!(newer.issuer.keys.keys().collect::<Vec<_>>(), [&kid]);
}

#[tokio::test]
async fn unreachable_keys_are_our_trouble_and_not_hammered() {
    let clock = clock();
    let azure = entra(&clock).await;
    azure.faults().plan(Fault::status(503).on(Operation::Discovery));
    let keys = keys(&azure.url(), TENANT, Version::V1, &clock);
    let unavailable = keys.get().await.unwrap_err();
    assert!(unavailable.to_string().contains("answered 503"), "{unavailable}");
    assert_eq!(keys.get().await.unwrap_err(), unavailable, "from memory");
    keys.tend();
    assert_eq!(fetches(&azure).len(), 1);
    assert_eq!(keys.problem().unwrap(), unavailable.to_string());
    clock.advance(RETRY);
    keys.get().await.unwrap();
    assert_eq!(keys.problem(), None);
}

#[tokio::test]
async fn a_kid_that_cannot_be_looked_up_is_our_trouble_too() {
    let clock = clock();
    let azure = entra(&clock).await;
    let keys = keys(&azure.url(), TENANT, Version::V1, &clock);
    let first = keys.get().await.unwrap();
    azure.take_calls();
    clock.advance(UNKNOWN);
    azure.faults().plan(Fault::status(500).on(Operation::Discovery));
    assert!(keys.newer(first.generation).await.is_err());
    assert!(keys.newer(first.generation).await.is_err(), "still not known");
    assert_eq!(fetches(&azure).len(), 1, "and asked for once in the minute");
    assert!(keys.get().await.is_ok(), "the keys that we have go on");
    clock.advance(UNKNOWN);
    assert!(keys.newer(first.generation).await.unwrap().is_some());
}

#[tokio::test]
async fn old_keys_serve_on_for_a_day_and_no_longer() {
    let clock = clock();
    let azure = entra(&clock).await;
    let keys = keys(&azure.url(), TENANT, Version::V1, &clock);
    keys.get().await.unwrap();
    azure.stop();
    clock.advance(FRESH);
    assert!(keys.get().await.is_ok());
    clock.advance(USABLE.saturating_sub(FRESH).saturating_sub(Duration::from_secs(1)));
    assert!(keys.get().await.is_ok());
    drop(keys.flight.lock().await);
    clock.advance(Duration::from_secs(1));
    assert!(keys.get().await.is_err());
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let clock = clock();
    let unavailable = keys(&nobody().await, TENANT, Version::V1, &clock).get().await.unwrap_err();
    assert!(unavailable.to_string().contains("no connection"), "{unavailable}");
}

#[tokio::test]
async fn the_tenant_may_be_named_by_its_domain() {
    let clock = clock();
    let server = Stub::start(|seen| {
        let seen = seen.last().unwrap();
        let host = seen.header("host").unwrap();
        answer(200, &if seen.path.ends_with("keys") { json!({"keys": [rsa("k1")]}) } else { metadata(host) })
    })
    .await;
    let known = keys(&server.url, "contoso.example.com", Version::V1, &clock).get().await.unwrap();
    assert_eq!(known.issuer.tenant, TENANT);
    assert_eq!(server.seen()[0].path, "/contoso.example.com/.well-known/openid-configuration");
}

fn metadata(host: &str) -> Value {
    json!({"issuer": format!("https://sts.windows.net/{TENANT}/"), "jwks_uri": format!("http://{host}/common/keys")})
}

fn rsa(kid: &str) -> Value {
    static KEY: LazyLock<(String, String)> = LazyLock::new(|| SigningKey::generate().unwrap().components());
    json!({"kty": "RSA", "use": "sig", "kid": kid, "n": KEY.0, "e": KEY.1})
}

/// Asks a server with this metadata and these keys.
async fn asked(metadata: Value, keys_body: Value) -> (Result<Vec<String>, String>, usize) {
    let server = Stub::start(move |seen| {
        let is_keys = seen.last().unwrap().path.ends_with("keys");
        answer(200, if is_keys { &keys_body } else { &metadata })
    })
    .await;
    let clock = clock();
    let set = keys(&server.url, TENANT, Version::V1, &clock);
    let fetched = set.fetch().await.map(|issuer| issuer.keys.into_keys().collect());
    (fetched, server.count())
}

#[tokio::test]
async fn keys_are_called_at_the_authority_only() {
    let elsewhere = Stub::start(|_| answer(200, &json!({"keys": [rsa("k1")]}))).await;
    for address in [format!("{}/keys", elsewhere.url), "http://169.254.169.254/keys".into(), "nonsense".into()] {
        let body = json!({"issuer": format!("https://sts.windows.net/{TENANT}/"), "jwks_uri": address});
        let (fetched, calls) = asked(body, json!({})).await;
        assert!(fetched.unwrap_err().contains("does not lie at the authority"), "{address}");
        assert_eq!(calls, 1, "the metadata and nothing else");
    }
    assert_eq!(elsewhere.count(), 0);
}

#[tokio::test]
async fn metadata_of_nobody_in_particular_is_refused() {
    for (issuer, says) in [
        ("https://sts.windows.net/{tenantid}/", "no single tenant"),
        ("https://sts.windows.net/", "no single tenant"),
        ("nonsense", "no single tenant"),
        ("https://sts.windows.net/0a4c1d2e-0000-4000-8000-0000000000ff/", "another tenant"),
    ] {
        let (fetched, _) = asked(json!({"issuer": issuer, "jwks_uri": "http://127.0.0.1/keys"}), json!({})).await;
        assert!(fetched.unwrap_err().contains(says), "{issuer}");
    }
    let (fetched, _) = asked(json!("not metadata"), json!({})).await;
    assert!(fetched.unwrap_err().contains("is not what it should be"));
}

#[tokio::test]
async fn only_signing_keys_of_our_tenant_are_taken() {
    let changed = |kid: &str, name: &str, value: Value| {
        let mut key = rsa(kid);
        key[name] = value;
        key
    };
    let list = json!({"keys": [
        rsa("plain"),
        changed("templated", "issuer", json!("https://login.microsoftonline.com/{tenantid}/v2.0")),
        changed("ours", "issuer", json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0"))),
        changed("foreign", "issuer", json!("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0")),
        changed("for encryption", "use", json!("enc")),
        changed("elliptic", "kty", json!("EC")),
        changed("symmetric", "kty", json!("oct")),
        changed("bent", "n", json!("!!!")),
        changed("nameless", "kid", Value::Null),
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "edwards"},
    ]});
    let server = Stub::start(move |seen| {
        let seen = seen.last().unwrap();
        if seen.path.ends_with("keys") {
            answer(200, &list)
        } else {
            answer(200, &metadata(seen.header("host").unwrap()))
        }
    })
    .await;
    let issuer = keys(&server.url, TENANT, Version::V1, &clock()).fetch().await.unwrap();
    assert_eq!(issuer.keys.into_keys().collect::<Vec<_>>(), ["ours", "plain", "templated"]);
}

#[tokio::test]
async fn an_empty_key_set_is_none_and_keeps_the_old_one() {
    let clock = clock();
    let empty = Arc::new(AtomicBool::new(false));
    let server = Stub::start({
        let empty = Arc::clone(&empty);
        move |seen| {
            let seen = seen.last().unwrap();
            let keys = if empty.load(Ordering::SeqCst) { json!([]) } else { json!([rsa("k1")]) };
            let host = seen.header("host").unwrap();
            answer(200, &if seen.path.ends_with("keys") { json!({"keys": keys}) } else { metadata(host) })
        }
    })
    .await;
    let set = keys(&server.url, TENANT, Version::V1, &clock);
    let known = set.get().await.unwrap();
    empty.store(true, Ordering::SeqCst);
    clock.advance(UNKNOWN);
    assert!(set.newer(known.generation).await.unwrap_err().to_string().contains("no RSA key"));
    assert_eq!(set.get().await.unwrap().generation, known.generation);
}

#[test]
fn a_key_set_is_read_from_its_text() {
    let name = Simulated::V2.issuer("https://login.microsoftonline.com", TENANT);
    let text = json!({"keys": [rsa("k1")]}).to_string();
    let issuer = issuer(Version::V2, &name, text.as_bytes()).unwrap();
    assert_eq!((issuer.name, issuer.tenant.as_str(), issuer.keys.len()), (name.clone(), TENANT, 1));
    for (name, text) in [(name.as_str(), "[]"), (name.as_str(), "{\"keys\": []}"), ("nobody", text.as_str())] {
        assert!(super::issuer(Version::V2, name, text.as_bytes()).is_err(), "{name} {text}");
    }
}
