//! What was asked of a simulator and what it answered.

use std::fmt;

use axum::http::{HeaderMap, Method, StatusCode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::timestamp::Timestamp;

/// What a request is for, as far as the simulators tell requests apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    // Entra and Azure Resource Manager
    Token,
    /// A token of a managed identity, by the platform's own endpoint.
    IdentityToken,
    Discovery,
    ListAlerts,
    GetAlert,
    AlertHistory,
    ChangeState,
    Permissions,
    // SIGNL4
    Webhook,
    CreateEvent,
    EventOverview,
    ListTeams,
    ListUsers,
    ReadUser,
    PagedAlerts,
    ReadAlert,
    AlertDetails,
    Acknowledge,
    Close,
    Annotate,
    UndoAcknowledge,
    UndoClose,
    /// Everything else.
    Other,
}

/// More than any test looks at; a simulator that runs for days forgets what is older.
const LOG_MAX: usize = 20_000;

/// Appends to a log, forgetting the oldest tenth when it is full.
pub(super) fn append<T>(log: &mut Vec<T>, entry: T) {
    if log.len() >= LOG_MAX {
        log.drain(..LOG_MAX / 10);
    }
    log.push(entry);
}

/// A request, read whole.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) at: Timestamp,
    pub(super) method: Method,
    /// Without the query.
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) path_and_query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|segment| !segment.is_empty()).collect()
    }

    /// A query parameter; Azure and SIGNL4 both take their names without regard to case.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// User name and password of a Basic `Authorization` header.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let encoded = self.header("authorization")?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        Some((name.to_owned(), password.to_owned()))
    }

    /// The address under which the caller reached us, also through a proxy that ends TLS.
    pub(super) fn base_url(&self, own: &str) -> String {
        let scheme = self.header("x-forwarded-proto").unwrap_or("http");
        self.header("host").map_or_else(|| own.to_owned(), |host| format!("{scheme}://{host}"))
    }
}

/// Reads `a=b&c=d`, percent-encoded, as query strings and forms have it.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let Ok(mut url) = reqwest::Url::parse("http://localhost/") else { return Vec::new() };
    url.set_query(Some(text));
    url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json; charset=utf-8".to_owned())],
            body: Bytes::from(body.to_string()),
        }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    pub(super) fn text(status: StatusCode, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/plain; charset=utf-8".to_owned())],
            body: Bytes::from(body.to_owned()),
        }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// How a request ended for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    Status(u16),
    /// The connection was cut before the answer.
    Cut,
    /// The connection was cut within the answer's body.
    CutMidBody(u16),
    /// No answer ever came.
    Hung,
}

/// One request of the log.
#[derive(Clone)]
pub struct Call {
    pub at: Timestamp,
    pub operation: Operation,
    pub method: String,
    /// With the query, and with whatever secrets it holds.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub answered: Answered,
    pub answer: Bytes,
    /// Whether the request took effect; a fault may keep it from that.
    pub processed: bool,
}

impl Call {
    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The answer's body as JSON; `Null` if it is none.
    pub fn answer_json(&self) -> Value {
        serde_json::from_slice(&self.answer).unwrap_or(Value::Null)
    }

    pub fn status(&self) -> Option<u16> {
        match self.answered {
            Answered::Status(status) | Answered::CutMidBody(status) => Some(status),
            Answered::Cut | Answered::Hung => None,
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A query parameter, decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        pairs(query).into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// For people: without webhook secrets, keys, tokens and passwords.
    pub fn redacted(&self) -> Value {
        let is_token = matches!(self.operation, Operation::Token | Operation::IdentityToken);
        let body = if is_token { Value::from("•••") } else { readable(&self.body) };
        let answer =
            if is_token && self.status() == Some(200) { Value::from("•••") } else { readable(&self.answer) };
        json!({
            "at": self.at.to_string(),
            "operation": self.operation,
            "method": self.method,
            "path": redact_path(&self.path),
            "body": body,
            "answered": self.answered,
            "answer": answer,
            "processed": self.processed,
        })
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.redacted())
    }
}

/// JSON as such, everything else as the start of its text.
pub(super) fn readable(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        if body.is_empty() {
            Value::Null
        } else {
            Value::from(String::from_utf8_lossy(body).chars().take(500).collect::<String>())
        }
    })
}

/// Masks the segment that follows `webhook` or `events`, where SIGNL4 takes a secret.
fn redact_path(path: &str) -> String {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    let mut masks = false;
    let mut parts = Vec::new();
    for segment in path.split('/') {
        let long_id = segment.contains('_');
        parts.push(if masks && !long_id && !segment.is_empty() { "•••" } else { segment });
        masks = segment == "webhook" || segment == "events";
    }
    let mut text = parts.join("/");
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    text
}

/// A URL for people: without credentials, query and last path segment, any of which may be a secret.
pub(super) fn redact_url(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else { return "•••".to_owned() };
    let had_user = !parsed.username().is_empty() || parsed.password().is_some();
    if parsed.set_username("").is_err() || parsed.set_password(None).is_err() {
        return "•••".to_owned();
    }
    parsed.set_query(None);
    parsed.set_fragment(None);
    let segments = parsed.path().split('/').filter(|segment| !segment.is_empty()).count();
    let text = parsed.to_string();
    match text.rsplit_once('/') {
        // `/azure/{connection}` with Basic credentials has nothing secret in its path.
        Some((start, _)) if !had_user && segments > 2 => format!("{start}/•••"),
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_paths_and_urls_are_masked() {
        for (path, shown) in [
            ("/webhook/g93sdfm2843", "/webhook/•••"),
            ("/webhook/g93sdfm2843?ExtIDParam=Id", "/webhook/•••?ExtIDParam=Id"),
            ("/api/v2/events/g93sdfm2843/", "/api/v2/events/•••/"),
            ("/api/v2/events/2518_7647c33f/overview", "/api/v2/events/2518_7647c33f/overview"),
            ("/api/v2/teams", "/api/v2/teams"),
        ] {
            assert_eq!(redact_path(path), shown);
        }
        for (url, shown) in [
            ("http://127.0.0.1:8080/azure/contoso/s3cret", "http://127.0.0.1:8080/azure/contoso/•••"),
            ("http://any:s3cret@127.0.0.1:8080/azure/contoso", "http://127.0.0.1:8080/azure/contoso"),
            ("http://127.0.0.1:8080/azure/contoso?token=s3cret", "http://127.0.0.1:8080/azure/contoso"),
            ("s3cret", "•••"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
    }

    #[test]
    fn a_full_log_forgets_the_oldest() {
        let mut log = Vec::new();
        for number in 0..=LOG_MAX {
            append(&mut log, number);
        }
        assert_eq!((log.len(), log[0], log.last()), (18_001, 2_000, Some(&20_000)));
    }

    #[test]
    fn forms_are_decoded() {
        assert_eq!(
            pairs("scope=https%3A%2F%2Fexample.com%2F.default&client_secret=a+b%2Bc"),
            [
                ("scope".to_owned(), "https://example.com/.default".to_owned()),
                ("client_secret".to_owned(), "a b+c".to_owned())
            ]
        );
    }
}
