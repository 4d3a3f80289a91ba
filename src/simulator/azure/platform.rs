//! Identities that Azure gives to machines, and the endpoints that hand out their tokens: the metadata service of
//! virtual machines, App Service, the agent of Azure Arc.
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity>
//! <https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication>

use std::fmt;
use std::path::PathBuf;

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use super::entra::{self, is_audience};
use super::{Azure, State};
use crate::simulator::calls::{Answer, Asked, Operation};

/// A managed identity that is assigned to this machine.
#[derive(Clone, Debug)]
pub struct Identity {
    pub tenant: String,
    pub client_id: String,
    pub object_id: String,
    /// `None`: the machine's own, system-assigned.
    pub resource_id: Option<String>,
}

/// The machine that the bridge runs on, as Azure sees it.
#[derive(Clone, Default)]
pub struct Platform {
    pub identities: Vec<Identity>,
    /// `IDENTITY_HEADER` of App Service.
    pub identity_header: Option<String>,
    /// Set: the metadata path is that of Azure Arc's agent, with its challenge.
    pub arc: Option<ArcKey>,
}

/// The key file that the agent of Azure Arc points to, and what is in it.
#[derive(Clone)]
pub struct ArcKey {
    pub file: PathBuf,
    pub key: String,
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("identities", &self.identities).finish_non_exhaustive()
    }
}

impl fmt::Debug for ArcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArcKey({})", self.file.display())
    }
}

const METADATA: [&str; 4] = ["metadata", "identity", "oauth2", "token"];
const APP_SERVICE: [&str; 2] = ["msi", "token"];

pub(super) fn operation(asked: &Asked) -> Option<Operation> {
    let segments: Vec<String> = asked.segments().iter().map(|segment| segment.to_lowercase()).collect();
    let is = |path: &[&str]| segments == path;
    (asked.method == Method::GET && (is(&METADATA) || is(&APP_SERVICE))).then_some(Operation::IdentityToken)
}

/// `error` and `error_description`, with a status.
struct Refusal(StatusCode, &'static str, String);

/// An identity token by whichever of the endpoints was asked.
pub(super) fn token(azure: &Azure, asked: &Asked) -> Answer {
    let own = asked.base_url(&azure.url());
    let is_app_service = asked.segments().len() == APP_SERVICE.len();
    azure.shared.change(|state| {
        if is_app_service {
            return app_service(state, asked, &own);
        }
        if let Some(challenge) = challenge(state, asked) {
            return challenge;
        }
        metadata(state, asked, &own).unwrap_or_else(|Refusal(status, error, text)| {
            Answer::json(status, &json!({ "error": error, "error_description": text }))
        })
    })
}

/// The body for a status that a fault demands.
pub(super) fn trouble(status: StatusCode) -> Answer {
    Answer::json(
        status,
        &json!({ "error": "unknown", "error_description": "Failed to retrieve token from the Active directory." }),
    )
}

fn challenge(state: &State, asked: &Asked) -> Option<Answer> {
    let arc = state.platform.arc.as_ref()?;
    if asked.header("authorization") == Some(format!("Basic {}", arc.key).as_str()) {
        return None;
    }
    let realm = format!("Basic realm={}", arc.file.display());
    Some(Answer::empty(StatusCode::UNAUTHORIZED).with("www-authenticate", realm))
}

fn metadata(state: &mut State, asked: &Asked, own: &str) -> Result<Answer, Refusal> {
    let bad = |error, text: &str| Refusal(StatusCode::BAD_REQUEST, error, text.to_owned());
    if asked.header("metadata") != Some("true") {
        return Err(bad("bad_request_102", "Required metadata header not specified"));
    }
    if asked.header("x-forwarded-for").is_some() {
        return Err(bad("invalid_request", "The request came through a proxy"));
    }
    let version = if state.platform.arc.is_some() { "2020-06-01" } else { "2018-02-01" };
    if asked.query("api-version") != Some(version) {
        return Err(bad("invalid_request", "Unsupported api-version"));
    }
    let resource = asked.query("resource").unwrap_or_default().to_owned();
    if !is_audience(&resource, own) {
        return Err(bad("invalid_resource", "AADSTS500011: The resource principal was not found in the tenant"));
    }
    let by = [("client_id", "client_id"), ("object_id", "object_id"), ("msi_res_id", "resource_id")];
    let Some(identity) = chosen(state, asked, &by) else {
        return Err(bad("invalid_request", "Identity not found"));
    };
    let (token, seconds, expires_on) = grant(state, asked, &identity, &resource);
    let mut body = json!({
        "access_token": token,
        "client_id": identity.client_id,
        "expires_in": seconds.to_string(),
        "expires_on": expires_on.to_string(),
        "ext_expires_in": seconds.to_string(),
        "not_before": (asked.at.as_millis() / 1000).to_string(),
        "resource": resource,
        "token_type": "Bearer",
    });
    if let (Some(refresh), Value::Object(body)) = (state.knobs.refresh_seconds, &mut body) {
        body.insert("refresh_in".to_owned(), json!(refresh.to_string()));
    }
    Ok(Answer::ok(&body))
}

fn app_service(state: &mut State, asked: &Asked, own: &str) -> Answer {
    let refuse = |status: StatusCode, message: &str| {
        Answer::json(status, &json!({ "statusCode": status.as_u16(), "message": message }))
    };
    let header = state.platform.identity_header.as_deref();
    if header.is_none() || asked.header("x-identity-header") != header {
        return refuse(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    if asked.query("api-version") != Some("2019-08-01") {
        return refuse(StatusCode::BAD_REQUEST, "Unsupported api-version");
    }
    let resource = asked.query("resource").unwrap_or_default().to_owned();
    let by = [
        ("client_id", "client_id"),
        ("principal_id", "object_id"),
        ("object_id", "object_id"),
        ("mi_res_id", "resource_id"),
    ];
    // A wrong identity or resource is told no clearer than this.
    let vague = || refuse(StatusCode::INTERNAL_SERVER_ERROR, "An unexpected error occurred.");
    let Some(identity) = chosen(state, asked, &by).filter(|_| is_audience(&resource, own)) else { return vague() };
    let (token, _, expires_on) = grant(state, asked, &identity, &resource);
    Answer::ok(&json!({
        "access_token": token,
        "client_id": identity.client_id,
        "expires_on": expires_on.to_string(),
        "resource": resource,
        "token_type": "Bearer",
    }))
}

/// The identity that the query names; without a name the machine's own, else the only one there is.
fn chosen(state: &State, asked: &Asked, by: &[(&str, &str)]) -> Option<Identity> {
    let identities = &state.platform.identities;
    let wanted = by.iter().find_map(|(parameter, field)| Some((*field, asked.query(parameter)?)));
    let found = match (wanted, identities.as_slice()) {
        (Some((field, id)), identities) => identities.iter().find(|identity| {
            let value = match field {
                "client_id" => Some(identity.client_id.as_str()),
                "object_id" => Some(identity.object_id.as_str()),
                _ => identity.resource_id.as_deref(),
            };
            value.is_some_and(|value| value.eq_ignore_ascii_case(id))
        }),
        (None, [only]) => Some(only),
        (None, identities) => identities.iter().find(|identity| identity.resource_id.is_none()),
    };
    found.cloned()
}

/// The token, its life in seconds and its end.
fn grant(state: &mut State, asked: &Asked, identity: &Identity, resource: &str) -> (String, u64, i64) {
    let token = entra::issue(state, &identity.tenant, &identity.client_id, resource, asked.at);
    let seconds = state.knobs.token_seconds;
    (token, seconds, asked.at.as_millis() / 1000 + i64::try_from(seconds).unwrap_or(0))
}
