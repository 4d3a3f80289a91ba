//! Entra's token endpoint for client credentials, with its error bodies.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::time::Duration;

use axum::http::{Method, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::signing::Version;
use super::tenancy::App;
use super::{Azure, State, Token, assertion};
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::{Answer, Asked, Operation};

/// Audiences of Azure Resource Manager in the clouds.
const AUDIENCES: [&str; 6] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net",
    "https://management.chinacloudapi.cn",
    "https://management.core.chinacloudapi.cn",
];

pub(super) fn operation(asked: &Asked) -> Option<Operation> {
    match (asked.method.clone(), asked.segments().as_slice()) {
        (Method::POST, [_, "oauth2", "v2.0", "token"]) => Some(Operation::Token),
        (
            Method::GET,
            [_, "v2.0", ".well-known", "openid-configuration"]
            | [_, ".well-known", "openid-configuration"]
            | [_, "discovery", "keys"]
            | [_, "discovery", "v2.0", "keys"]
            | ["common", "discovery", "instance"],
        ) => Some(Operation::Discovery),
        _ => None,
    }
}

/// `error` and status of an AADSTS code.
pub(super) struct Refusal {
    code: u32,
    error: String,
    status: StatusCode,
    text: String,
}

impl Refusal {
    pub(super) fn new(code: u32, error: &str, status: StatusCode, text: impl Into<String>) -> Self {
        Self { code, error: error.to_owned(), status, text: text.into() }
    }
}

/// `POST /{tenant}/oauth2/v2.0/token`
pub(super) fn token(azure: &Azure, asked: &Asked) -> Answer {
    let own = asked.base_url(&azure.url());
    azure.shared.change(|state| match grant(state, asked, &own) {
        Ok(answer) => answer,
        Err(refusal) => refuse(&refusal, asked.at),
    })
}

fn grant(state: &mut State, asked: &Asked, own: &str) -> Result<Answer, Refusal> {
    let bad = StatusCode::BAD_REQUEST;
    if let Some(forced) = &state.knobs.token_error {
        let status = StatusCode::from_u16(forced.status).unwrap_or(bad);
        return Err(Refusal::new(forced.code, &forced.error, status, forced.text.clone()));
    }
    let form = asked.form();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let missing = |name: &str| {
        let text = format!("The request body must contain the following parameter: '{name}'.");
        Refusal::new(900_144, "invalid_request", bad, text)
    };
    let tenant_id = asked.segments().first().map_or_else(String::new, |tenant| tenant.to_lowercase());
    let Some(tenant) = state.tenants.get(&tenant_id) else {
        let text = format!(
            "Tenant '{tenant_id}' not found. Check to make sure you have the correct tenant ID and are signing into \
             the correct cloud. Check with your subscription administrator, this may happen if there are no active \
             subscriptions for the tenant."
        );
        return Err(Refusal::new(90_002, "invalid_request", bad, text));
    };
    match field("grant_type") {
        Some("client_credentials") => {}
        Some(other) => {
            let text = format!("The app requested an unsupported grant type '{other}'.");
            return Err(Refusal::new(70_003, "unsupported_grant_type", bad, text));
        }
        None => return Err(missing("grant_type")),
    }
    let basic = asked.basic();
    let client_id = basic
        .as_ref()
        .map(|(id, _)| id.as_str())
        .or_else(|| field("client_id"))
        .ok_or_else(|| missing("client_id"))?
        .to_lowercase();
    let Some(app) = tenant.apps.get(&client_id) else {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant_id}'. This can happen \
             if the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant. You may have sent your authentication request to the wrong tenant."
        );
        return Err(Refusal::new(700_016, "unauthorized_client", bad, text));
    };
    if app.disabled {
        let text = format!("Application '{client_id}'({}) is disabled.", app.name);
        return Err(Refusal::new(7_000_112, "unauthorized_client", bad, text));
    }
    prove(app, &client_id, &tenant_id, asked, own)?;
    let scope = field("scope").ok_or_else(|| missing("scope"))?;
    let Some(audience) = scope.strip_suffix("/.default") else {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        );
        return Err(Refusal::new(1_002_012, "invalid_scope", bad, text));
    };
    if !is_audience(audience, own) {
        let text = format!(
            "The resource principal named {audience} was not found in the tenant named {tenant_id}. This can happen \
             if the application has not been installed by the administrator of the tenant or consented to by any user \
             in the tenant."
        );
        return Err(Refusal::new(500_011, "invalid_resource", bad, text));
    }
    let seconds = state.knobs.token_seconds;
    let access_token = issue(state, &tenant_id, &client_id, audience, asked.at);
    let mut body = json!({
        "token_type": "Bearer",
        "expires_in": seconds,
        "ext_expires_in": seconds,
        "access_token": access_token,
    });
    if let (Some(refresh), Value::Object(body)) = (state.knobs.refresh_seconds, &mut body) {
        body.insert("refresh_in".to_owned(), json!(refresh));
    }
    Ok(Answer::ok(&body).with("cache-control", "no-store, no-cache".to_owned()))
}

/// Whether the request shows what the app is registered with: a client secret or an assertion.
fn prove(app: &App, client_id: &str, tenant_id: &str, asked: &Asked, own: &str) -> Result<(), Refusal> {
    let denied = StatusCode::UNAUTHORIZED;
    let (form, basic) = (asked.form(), asked.basic());
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if let Some(assertion) = field("client_assertion") {
        if field("client_assertion_type") != Some(assertion::JWT_BEARER) {
            let text = "The value of 'client_assertion_type' is not supported.";
            return Err(Refusal::new(900_144, "invalid_request", StatusCode::BAD_REQUEST, text));
        }
        let audience = format!("{own}/{tenant_id}/oauth2/v2.0/token");
        return assertion::check(app, client_id, assertion, &audience, asked.at);
    }
    let Some(secret) = basic.as_ref().map(|(_, secret)| secret.as_str()).or_else(|| field("client_secret")) else {
        let text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return Err(Refusal::new(7_000_218, "invalid_client", denied, text));
    };
    let Some(known) = app.secrets.iter().find(|known| known.value == secret) else {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{client_id}'."
        );
        return Err(Refusal::new(7_000_215, "invalid_client", denied, text));
    };
    if known.expires_at.is_some_and(|expires_at| expires_at <= asked.at) {
        let text = format!(
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new \
             keys for your app, or consider using certificate credentials for added security."
        );
        return Err(Refusal::new(7_000_222, "invalid_client", denied, text));
    }
    Ok(())
}

/// Whether it is this simulator or Azure Resource Manager in some cloud.
pub(super) fn is_audience(audience: &str, own: &str) -> bool {
    let plain = audience.trim_end_matches('/');
    plain == own || AUDIENCES.contains(&plain)
}

/// An access token, known from now on.
pub(super) fn issue(state: &mut State, tenant: &str, client_id: &str, audience: &str, now: Timestamp) -> String {
    let expires_at = now.plus(Duration::from_secs(state.knobs.token_seconds));
    let object_id =
        state.tenants.get(tenant).and_then(|tenant| tenant.apps.get(client_id)).map(|app| app.object_id.clone());
    let access_token = jwt(&json!({
        "aud": audience,
        "iss": format!("https://sts.windows.net/{tenant}/"),
        "iat": now.as_millis() / 1000,
        "nbf": now.as_millis() / 1000,
        "exp": expires_at.as_millis() / 1000,
        "appid": client_id,
        "oid": object_id,
        "tid": tenant,
        "uti": Uuid::new_v4().simple().to_string(),
        "ver": "1.0",
    }));
    let token = Token { tenant: tenant.to_owned(), client_id: client_id.to_owned(), expires_at };
    state.tokens.insert(access_token.clone(), token);
    access_token
}

/// A token that looks like one; the signature is noise, as only Azure checks it.
fn jwt(claims: &Value) -> String {
    let part = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        part(json!({ "typ": "JWT", "alg": "RS256", "kid": "simulated" }).to_string()),
        part(claims.to_string()),
        part(format!("{}{}", Uuid::new_v4(), Uuid::new_v4()))
    )
}

fn refuse(refusal: &Refusal, now: Timestamp) -> Answer {
    let trace_id = Uuid::new_v4();
    let correlation_id = Uuid::new_v4();
    let timestamp = jiff::Timestamp::from_millisecond(now.as_millis())
        .map_or_else(|_| String::new(), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    Answer::json(
        refusal.status,
        &json!({
            "error": refusal.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
                refusal.code, refusal.text
            ),
            "error_codes": [refusal.code],
            "timestamp": timestamp,
            "trace_id": trace_id.to_string(),
            "correlation_id": correlation_id.to_string(),
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", refusal.code),
        }),
    )
}

/// The body for a status that a fault demands.
pub(super) fn trouble(status: StatusCode, now: Timestamp) -> Answer {
    let (code, error, text) = if status == StatusCode::TOO_MANY_REQUESTS {
        (90_055, "temporarily_unavailable", "The request was throttled because of too many requests.")
    } else {
        (90_033, "temporarily_unavailable", "A transient error has occurred. Please try again.")
    };
    refuse(&Refusal::new(code, error, status, text), now)
}

/// `/.well-known/openid-configuration` and instance discovery, as far as Microsoft's clients read them.
pub(super) fn discovery(azure: &Azure, asked: &Asked) -> Answer {
    let own = asked.base_url(&azure.url());
    let segments = asked.segments();
    let tenant = segments.first().copied().unwrap_or_default();
    let version = if segments.contains(&"v2.0") { Version::V2 } else { Version::V1 };
    if segments.last() == Some(&"keys") {
        return azure.key_set(&own, tenant, version);
    }
    if segments.get(1) == Some(&"discovery") {
        let host = own.split("://").nth(1).unwrap_or_default();
        return Answer::ok(&json!({
            "tenant_discovery_endpoint": format!("{own}/common/v2.0/.well-known/openid-configuration"),
            "api-version": "1.1",
            "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
        }));
    }
    let path = match version {
        Version::V1 => "discovery/keys",
        Version::V2 => "discovery/v2.0/keys",
    };
    let jwks_uri = azure.read(|state| state.knobs.jwks_uri.clone()).unwrap_or_else(|| format!("{own}/{tenant}/{path}"));
    Answer::ok(&json!({
        "token_endpoint": format!("{own}/{tenant}/oauth2/v2.0/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": jwks_uri,
        "response_types_supported": ["code", "id_token"],
        "issuer": version.issuer(&own, tenant),
        "authorization_endpoint": format!("{own}/{tenant}/oauth2/v2.0/authorize"),
        "tenant_region_scope": "EU",
    }))
}
