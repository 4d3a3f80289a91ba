//! Managed identities: the requests of each platform, field by field, and what follows from its answers.

use super::*;
use crate::config::{Identity, IdentityEndpoint};

const RESOURCE_ID: &str = "/subscriptions/0a4c1d2e-0000-4000-8000-000000000009/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/bridge";
const OBJECT: &str = "0a4c1d2e-0000-4000-8000-000000000008";

fn imds(host: &str, identity: Identity) -> Tokens {
    let endpoint = IdentityEndpoint::Imds { host: host.to_owned() };
    tokens_by("https://login.example.com", Credential::ManagedIdentity { identity, endpoint })
}

fn app_service(endpoint: &str, identity: Identity) -> Tokens {
    let endpoint = IdentityEndpoint::AppService { endpoint: endpoint.to_owned(), header: secret("h3ader") };
    tokens_by("https://login.example.com", Credential::ManagedIdentity { identity, endpoint })
}

/// Numbers as texts, as the platforms send them.
fn by_expires_in(seconds: u32) -> Value {
    json!({
        "access_token": "t0ken", "expires_in": seconds.to_string(), "expires_on": "1", "not_before": "0",
        "resource": "https://arm.example.com", "token_type": "Bearer",
    })
}

#[tokio::test]
async fn the_metadata_service_is_asked_as_it_wants() {
    for (identity, name, value) in [
        (Identity::SystemAssigned, "", ""),
        (Identity::ClientId(CLIENT.to_owned()), "client_id", CLIENT),
        (Identity::ObjectId(OBJECT.to_owned()), "object_id", OBJECT),
        (Identity::ResourceId(RESOURCE_ID.to_owned()), "msi_res_id", RESOURCE_ID),
    ] {
        let service = Stub::start(|_| answer(200, &by_expires_in(3_599))).await;
        let tokens = imds(&service.url, identity);
        assert_eq!(tokens.get(&key()).await.unwrap().value.expose(), "t0ken");
        let seen = service.seen().remove(0);
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/metadata/identity/oauth2/token"));
        assert_eq!(
            (seen.header("metadata"), seen.header("authorization"), seen.body.as_str()),
            (Some("true"), None, "")
        );
        let mut expected = vec![("api-version", "2018-02-01"), ("resource", "https://arm.example.com")];
        expected.extend((!name.is_empty()).then_some((name, value)));
        let mut expected = form(&expected);
        expected.sort();
        assert_eq!(pairs(&seen.query), expected);
        let status = tokens.status().remove(0);
        assert_eq!(status.expires_at.unwrap().to_string(), "2026-11-24T03:59:59Z");
        assert_eq!(status.secret_expires_at, None, "the platform renews what is behind it");
    }
}

#[tokio::test]
async fn app_service_is_asked_as_it_wants() {
    for (identity, name, value) in [
        (Identity::SystemAssigned, "", ""),
        (Identity::ClientId(CLIENT.to_owned()), "client_id", CLIENT),
        (Identity::ObjectId(OBJECT.to_owned()), "object_id", OBJECT),
        (Identity::ResourceId(RESOURCE_ID.to_owned()), "mi_res_id", RESOURCE_ID),
    ] {
        // A day after the clock's now, as text.
        let body =
            json!({"access_token": "t0ken", "expires_on": "1795575600", "token_type": "Bearer", "client_id": CLIENT});
        let service = Stub::start(move |_| answer(200, &body)).await;
        let tokens = app_service(&format!("{}/msi/token", service.url), identity);
        assert_eq!(tokens.get(&key()).await.unwrap().value.expose(), "t0ken");
        let seen = service.seen().remove(0);
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/msi/token"));
        assert_eq!(seen.header("x-identity-header"), Some("h3ader"));
        let mut expected = vec![("api-version", "2019-08-01"), ("resource", "https://arm.example.com")];
        expected.extend((!name.is_empty()).then_some((name, value)));
        let mut expected = form(&expected);
        expected.sort();
        assert_eq!(pairs(&seen.query), expected);
        assert_eq!(tokens.status()[0].expires_at.unwrap().to_string(), "2026-11-25T03:00:00Z");
        assert!(!format!("{tokens:?}").contains("h3ader"));
    }
}

#[tokio::test]
async fn what_the_platform_cannot_answer_yet_is_asked_again() {
    for status in [404, 408, 410, 429, 500, 502, 503, 599] {
        let service = Stub::start(move |_| answer(status, &json!({}))).await;
        for tokens in
            [imds(&service.url, Identity::SystemAssigned), app_service(&service.url, Identity::SystemAssigned)]
        {
            let error = tokens.get(&key()).await.unwrap_err();
            assert!(matches!(error, TokenError::Transient { .. }), "{status}: {error:?}");
            assert!(error.to_string().contains(&status.to_string()), "{error}");
        }
    }
    let throttled = Stub::start(|_| answer_with(429, ("retry-after", "17"), &json!({}))).await;
    let error = imds(&throttled.url, Identity::SystemAssigned).get(&key()).await.unwrap_err();
    assert_eq!(error, TokenError::Throttled { after: Duration::from_secs(17) });
    let error = imds(&nobody().await, Identity::SystemAssigned).get(&key()).await.unwrap_err();
    assert!(matches!(&error, TokenError::Transient { why } if why.contains("is this one?")), "{error:?}");
    for body in ["", "[]", "{}", "{\"access_token\":\"t0ken\"}", "{\"access_token\":\"\",\"expires_in\":\"9\"}"] {
        let service = Stub::start(move |_| axum::response::IntoResponse::into_response(body)).await;
        let error = imds(&service.url, Identity::SystemAssigned).get(&key()).await.unwrap_err();
        assert!(matches!(error, TokenError::Transient { .. }), "{body}: {error:?}");
        assert!(!error.to_string().contains("t0ken"));
    }
}

#[tokio::test]
async fn an_identity_that_is_not_there_is_for_a_person() {
    let body = json!({"error": "invalid_request", "error_description": "Identity not found"});
    let service = Stub::start(move |_| answer(400, &body)).await;
    for (tokens, words) in [
        (imds(&service.url, Identity::SystemAssigned), "switch the system-assigned identity on for this machine"),
        (imds(&service.url, Identity::ClientId(CLIENT.to_owned())), CLIENT),
        (app_service(&service.url, Identity::ResourceId(RESOURCE_ID.to_owned())), RESOURCE_ID),
    ] {
        let error = tokens.get(&key()).await.unwrap_err();
        assert!(
            matches!(&error, TokenError::Denied { status: 400, code, .. } if code == "invalid_request"),
            "{error:?}"
        );
        assert!(error.to_string().contains(words) && error.to_string().contains("[azure.contoso]"), "{error}");
    }
}

#[tokio::test]
async fn a_header_that_the_platform_changed_is_for_a_person() {
    let service = Stub::start(|_| answer(401, &json!({"statusCode": 401, "message": "Unauthorized"}))).await;
    let error = app_service(&service.url, Identity::SystemAssigned).get(&key()).await.unwrap_err();
    assert!(matches!(error, TokenError::Denied { status: 401, .. }), "{error:?}");
    assert!(error.to_string().contains("restart the bridge"), "{error}");
}

/// Azure Arc's agent: challenges, and gives a token to who shows the key.
async fn arc_agent(challenge: String, identity: Value) -> Stub {
    Stub::start(move |seen| {
        if seen.last().unwrap().header("authorization") == Some("Basic arc-k3y") {
            let mut body = by_expires_in(86_400);
            body.as_object_mut().unwrap().extend(identity.as_object().unwrap().clone());
            answer(200, &body)
        } else {
            answer_with(401, ("www-authenticate", &challenge), &json!({}))
        }
    })
    .await
}

fn arc(agent: &Stub, keys: &std::path::Path, identity: Identity) -> Tokens {
    let endpoint = IdentityEndpoint::Arc {
        endpoint: format!("{}/metadata/identity/oauth2/token", agent.url),
        keys: keys.to_path_buf(),
    };
    tokens_by("https://login.example.com", Credential::ManagedIdentity { identity, endpoint })
}

#[tokio::test]
async fn the_agent_of_arc_is_shown_the_key_that_it_points_to() {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("1.key"), "arc-k3y").unwrap();
    let challenge = format!("Basic realm={}", keys.path().join("1.key").display());
    let agent = arc_agent(challenge, json!({})).await;
    let tokens = arc(&agent, keys.path(), Identity::SystemAssigned);
    assert_eq!(tokens.get(&key()).await.unwrap().value.expose(), "t0ken");
    let seen = agent.seen();
    assert_eq!(seen.len(), 2);
    for seen in &seen {
        assert_eq!((seen.method.as_str(), seen.header("metadata")), ("GET", Some("true")));
        assert_eq!(pairs(&seen.query), form(&[("api-version", "2020-06-01"), ("resource", "https://arm.example.com")]));
    }
    assert_eq!((seen[0].header("authorization"), seen[1].header("authorization")), (None, Some("Basic arc-k3y")));
    assert!(!format!("{tokens:?}").contains("arc-k3y"));

    let elsewhere = arc_agent("Basic realm=/etc/passwd.key".to_owned(), json!({})).await;
    let error = arc(&elsewhere, keys.path(), Identity::SystemAssigned).get(&key()).await.unwrap_err();
    assert!(matches!(error, TokenError::Denied { status: 401, .. }), "{error:?}");
    assert_eq!(elsewhere.count(), 1, "nothing was sent to whoever named that file");
}

#[tokio::test]
async fn an_agent_of_arc_must_say_whose_token_it_gives() {
    let keys = tempfile::tempdir().unwrap();
    std::fs::write(keys.path().join("1.key"), "arc-k3y").unwrap();
    let challenge = format!("Basic realm={}", keys.path().join("1.key").display());
    for (identity, said, good) in [
        (Identity::ClientId(CLIENT.to_owned()), json!({"client_id": CLIENT.to_uppercase()}), true),
        (Identity::ClientId(CLIENT.to_owned()), json!({"client_id": OBJECT}), false),
        (Identity::ClientId(CLIENT.to_owned()), json!({}), false),
        (Identity::ObjectId(OBJECT.to_owned()), json!({"object_id": OBJECT}), true),
        (Identity::ResourceId(RESOURCE_ID.to_owned()), json!({"msi_res_id": RESOURCE_ID}), true),
        (Identity::ResourceId(RESOURCE_ID.to_owned()), json!({"mi_res_id": RESOURCE_ID}), true),
    ] {
        let agent = arc_agent(challenge.clone(), said.clone()).await;
        let token = arc(&agent, keys.path(), identity).get(&key()).await;
        assert_eq!(token.is_ok(), good, "{said}");
    }
}
