//! The one place where errors become status codes. What the caller learns is what stands here, and no more.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a request is not answered 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Wrong or missing credential, unknown connection or team: the same for all.
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    /// The body was not complete in time.
    BodyTimeout,
    BodyTooLarge,
    /// A body that ended early or broke its framing: the caller's connection is at fault, and nothing was stored.
    BodyBroken,
    /// Our trouble: the store, a stop, too much load. Azure tries again only on 408, 429, 503, 504.
    Unavailable,
    /// An operator's request that makes no sense; the text is for that operator.
    BadRequest(&'static str),
    /// An operator's request that the state of things forbids.
    Conflict(&'static str),
}

impl Problem {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout | Self::BodyBroken => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not found",
            Self::MethodNotAllowed => "method not allowed",
            Self::BodyTimeout => "the body did not arrive in time",
            Self::BodyBroken => "the body did not arrive whole",
            Self::BodyTooLarge => "the body is larger than 1 MiB",
            Self::Unavailable => "not stored; please try again",
            Self::BadRequest(text) | Self::Conflict(text) => text,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = format!("{}\n", json!({ "error": self.text() }));
        let mut response = (self.status(), [(header::CONTENT_TYPE, "application/json")], body).into_response();
        let headers = response.headers_mut();
        match self {
            Self::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            Self::BodyTimeout | Self::BodyTooLarge | Self::BodyBroken => {
                // What is left of the body is not worth reading.
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"bridge\""));
            }
            Self::NotFound | Self::MethodNotAllowed | Self::BadRequest(_) | Self::Conflict(_) => {}
        }
        response
    }
}
