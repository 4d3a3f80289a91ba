//! A request without its secret: what `explain` prints and what a delivery sends are the same value.
//!
//! The secret joins only in [`Draft::request`], so that nothing before it can print one.

use std::fmt;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use serde_json::Value;

use super::Aim;
use crate::secret::Secret;

/// Stands where a secret will.
pub const MASK: &str = "••••";

/// A request that lacks only its secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub aim: Aim,
    pub method: Method,
    /// Scheme, host and what stands before the path; no trailing slash.
    pub base: String,
    /// Segments of the path, not yet percent-encoded.
    pub path: Vec<String>,
    pub query: Vec<(&'static str, String)>,
    pub place: Place,
    pub body: Option<Value>,
}

/// Where the secret goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The last segment of the path.
    Path,
    /// `Authorization: Bearer …`
    Bearer,
    /// A header of its own.
    Header(&'static str),
}

/// A draft that cannot become a request. The texts hold no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    #[error("the configured address is not a URL")]
    Url,
    #[error("the secret has characters that a header cannot carry")]
    Secret,
}

impl Draft {
    /// The whole request. Headers with a secret are marked sensitive, so that no `Debug` of the HTTP crates shows them.
    pub fn request(&self, secret: &Secret) -> Result<reqwest::Request, DraftError> {
        let mut url = reqwest::Url::parse(&self.base).map_err(|_| DraftError::Url)?;
        {
            let mut segments = url.path_segments_mut().map_err(|()| DraftError::Url)?;
            segments.pop_if_empty().extend(&self.path);
            if self.place == Place::Path {
                segments.push(secret.expose());
            }
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = reqwest::Request::new(self.method.clone(), url);
        match self.place {
            Place::Path => {}
            Place::Bearer => {
                let value = sensitive(&format!("Bearer {}", secret.expose()))?;
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            Place::Header(name) => {
                let value = sensitive(secret.expose())?;
                request.headers_mut().insert(name, value);
            }
        }
        if let Some(body) = &self.body {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body.to_string().into());
        } else if self.method == Method::POST {
            // Left to itself the client says nothing of an absent body, and Azure answers 411 to that.
            request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(request)
    }

    /// The URL with a mask in place of the secret, readable rather than percent-encoded.
    pub fn masked_url(&self) -> String {
        let mut url = self.base.trim_end_matches('/').to_owned();
        for segment in &self.path {
            url.push('/');
            url.push_str(segment);
        }
        if self.place == Place::Path {
            url.push('/');
            url.push_str(MASK);
        }
        for (index, (name, value)) in self.query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.push_str(value);
        }
        url
    }

    /// The headers that matter, secrets masked.
    pub fn masked_headers(&self) -> Vec<(&'static str, String)> {
        let secret = match self.place {
            Place::Path => None,
            Place::Bearer => Some(("Authorization", format!("Bearer {MASK}"))),
            Place::Header(name) => Some((name, MASK.to_owned())),
        };
        let json = self.body.as_ref().map(|_| ("Content-Type", "application/json".to_owned()));
        secret.into_iter().chain(json).collect()
    }
}

impl fmt::Display for Draft {
    /// The request as a person reads it: request line, headers, an empty line, the body indented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.masked_url())?;
        for (name, value) in self.masked_headers() {
            writeln!(f, "{name}: {value}")?;
        }
        if let Some(body) = &self.body {
            write!(f, "\n{body:#}")?;
        }
        Ok(())
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, DraftError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| DraftError::Secret)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::id::Side;

    fn secret() -> Secret {
        Secret::new("s3cret/with?odd#signs".to_owned(), "test")
    }

    fn draft(place: Place) -> Draft {
        Draft {
            aim: Aim { side: Side::Signl4, purpose: "raise", path: "/webhook/{secret}" },
            method: Method::POST,
            base: "https://connect.example.com/".to_owned(),
            path: vec!["webhook".to_owned()],
            query: vec![("userId", "a b".to_owned())],
            place,
            body: Some(json!({"Title": "CPU high", "X-S4-Status": "new"})),
        }
    }

    #[test]
    fn the_secret_is_encoded_into_the_path() {
        let request = draft(Place::Path).request(&secret()).unwrap();
        let url = request.url().as_str();
        assert_eq!(url, "https://connect.example.com/webhook/s3cret%2Fwith%3Fodd%23signs?userId=a+b");
        assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap();
        assert_eq!(body, br#"{"Title":"CPU high","X-S4-Status":"new"}"#);
    }

    #[test]
    fn the_secret_is_a_sensitive_header() {
        let bearer = draft(Place::Bearer).request(&secret()).unwrap();
        assert_eq!(bearer.headers()[AUTHORIZATION], "Bearer s3cret/with?odd#signs");
        assert!(bearer.headers()[AUTHORIZATION].is_sensitive());
        let key = draft(Place::Header("X-S4-Api-Key")).request(&secret()).unwrap();
        assert_eq!(key.headers()["x-s4-api-key"], "s3cret/with?odd#signs");
        assert!(!format!("{bearer:?}{key:?}").contains("s3cret"));
    }

    #[test]
    fn a_person_reads_the_masked_request() {
        let shown = draft(Place::Path).to_string();
        assert_eq!(
            shown,
            "POST https://connect.example.com/webhook/••••?userId=a b\nContent-Type: application/json\n\n\
             {\n  \"Title\": \"CPU high\",\n  \"X-S4-Status\": \"new\"\n}"
        );
        let bearer = Draft { body: None, ..draft(Place::Bearer) }.to_string();
        assert_eq!(bearer, "POST https://connect.example.com/webhook?userId=a b\nAuthorization: Bearer ••••\n");
    }

    #[test]
    fn what_cannot_be_sent_is_said_without_the_secret() {
        let bad = Secret::new("line\nbreak".to_owned(), "test");
        assert_eq!(draft(Place::Bearer).request(&bad).unwrap_err(), DraftError::Secret);
        let nowhere = Draft { base: "not a url".to_owned(), ..draft(Place::Path) };
        assert_eq!(nowhere.request(&secret()).unwrap_err(), DraftError::Url);
    }
}
