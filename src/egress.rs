//! The one HTTP client for all outgoing calls: tokens, Azure's resource manager, SIGNL4.
//!
//! It calls no host but those that the configuration names ([`Http::only`]), whatever a server answers: redirects are not
//! followed, and an address from an answer is checked like any other. It has limits for time and size, and says of every
//! failure whether the other side can have received the request. It retries nothing: that is `worker`'s business.
//! It never logs a header, a body, a query or a path with a secret in it, only templates of paths.
//!
//! The usual environment variables (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`) name a proxy, but never for
//! this machine itself and never for link-local addresses: at 169.254.169.254 the cloud hands out credentials.

pub mod draft;
pub mod hosts;
pub mod outcome;
pub mod retry_after;
#[cfg(test)]
pub(crate) mod stub;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use crate::domain::id::Side;
use crate::secret::Secret;

pub use draft::Draft;
use hosts::{Allowed, is_near};

/// What the client allows itself and the other side.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Name look-up, connection and TLS handshake.
    pub connect: Duration,
    /// The whole exchange, the answer's body included.
    pub total: Duration,
    /// An answer's body is read up to this size and cut there.
    pub body_bytes: usize,
    /// As many as the worker sends at once, so that none of them pays for a new handshake.
    pub idle_per_host: usize,
    /// Shorter than the patience of common servers and balancers (a minute): a request on a connection that the other
    /// side is just closing ends with an unknown outcome.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(20),
            body_bytes: 1024 * 1024,
            idle_per_host: 64,
            idle: Duration::from_secs(50),
        }
    }
}

/// Metadata services are local, and a machine that has none does not answer at all.
const DIRECT_CONNECT: Duration = Duration::from_secs(2);

/// The client. Clones share one pool of connections.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    /// Without a proxy, for what is near.
    direct: reqwest::Client,
    allowed: Allowed,
    limits: Limits,
}

/// What a request is for: the words of the trace, none of them secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    pub side: Side,
    /// `raise`, `read`, `token` …
    pub purpose: &'static str,
    /// The path with names in place of what varies: `/webhook/{secret}`.
    pub path: &'static str,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body came to its end within the limits.
    pub whole: bool,
}

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be built")]
pub struct HttpError(#[from] reqwest::Error);

/// No answer. The texts name no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Surely not received: no name, no connection, no TLS.
    #[error("not sent: {0}")]
    Unsent(String),
    /// Perhaps received: cut or silent after the connection stood.
    #[error("sent, but no answer: {0}")]
    Unknown(String),
    /// Not a request that HTTP could carry: a fault of ours or of the configuration.
    #[error("not sent: {0}")]
    Malformed(String),
}

/// Makes aws-lc-rs the one TLS provider of the process. Called first thing in `main`, and in tests; calling it again
/// changes nothing.
pub fn install_provider() {
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        tracing::trace!("the TLS provider was installed before");
    }
}

impl Http {
    pub fn new(limits: Limits) -> Result<Self, HttpError> {
        Self::trusting(limits, None)
    }

    /// One that trusts the certificate authorities of a PEM file besides the system's.
    pub fn trusting(limits: Limits, certificates: Option<&[u8]>) -> Result<Self, HttpError> {
        let client = builder(&limits, certificates)?.build()?;
        Self::over(client, limits, certificates)
    }

    /// One that sends all but what is near through a proxy, as the environment may ask for.
    #[cfg(test)]
    pub(crate) fn proxied(limits: Limits, proxy: &str) -> Result<Self, HttpError> {
        let client = builder(&limits, None)?.proxy(reqwest::Proxy::all(proxy)?).build()?;
        Self::over(client, limits, None)
    }

    fn over(client: reqwest::Client, limits: Limits, certificates: Option<&[u8]>) -> Result<Self, HttpError> {
        let direct =
            builder(&limits, certificates)?.no_proxy().connect_timeout(limits.connect.min(DIRECT_CONNECT)).build()?;
        Ok(Self { client, direct, allowed: Allowed::default(), limits })
    }

    /// The same for addresses of this machine and its platform: never through a proxy, and impatient for a connection.
    #[must_use]
    pub fn direct(&self) -> Self {
        let connect = self.limits.connect.min(DIRECT_CONNECT);
        let limits = Limits { connect, ..self.limits.clone() };
        Self { client: self.direct.clone(), direct: self.direct.clone(), allowed: self.allowed.clone(), limits }
    }

    /// From now on only the hosts of these addresses are called, by all clones. Without this every host is, as a test
    /// may want it.
    pub fn only<'u>(&self, addresses: impl IntoIterator<Item = &'u str>) {
        self.allowed.set(addresses);
    }

    /// Sends one request, once, and reads the answer.
    pub async fn send(&self, aim: Aim, request: reqwest::Request) -> Result<Answer, SendError> {
        let span = tracing::debug_span!(
            "request",
            side = aim.side.as_str(),
            purpose = aim.purpose,
            method = %request.method(),
            host = request.url().host_str().unwrap_or_default(),
            path = aim.path,
            status = field::Empty,
            duration_ms = field::Empty,
        );
        self.exchange(request).instrument(span).await
    }

    /// Fetches a URL that is a secret as a whole, once: no word of it is in the trace.
    pub async fn fetch(&self, purpose: &'static str, url: &Secret) -> Result<Answer, SendError> {
        let url = reqwest::Url::parse(url.expose().trim())
            .map_err(|_| SendError::Malformed("the configured address is not a URL".to_owned()))?;
        let span = tracing::debug_span!("request", purpose, status = field::Empty, duration_ms = field::Empty);
        self.exchange(reqwest::Request::new(reqwest::Method::GET, url)).instrument(span).await
    }

    async fn exchange(&self, request: reqwest::Request) -> Result<Answer, SendError> {
        let started = Instant::now();
        let result = self.answer(request).await;
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Span::current().record("duration_ms", duration_ms);
        match &result {
            Ok(answer) => {
                Span::current().record("status", answer.status);
                tracing::debug!(whole = answer.whole, "the other side answered");
            }
            Err(error) => tracing::debug!(%error, "no answer"),
        }
        result
    }

    async fn answer(&self, request: reqwest::Request) -> Result<Answer, SendError> {
        let url = request.url();
        if !self.allowed.allows(url) {
            let host = url.host_str().unwrap_or_default();
            return Err(SendError::Malformed(format!("{host} is not one of the configured hosts")));
        }
        let client = if is_near(url) { &self.direct } else { &self.client };
        let mut response = client.execute(request).await.map_err(|error| self.classify(&error))?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let mut body = BytesMut::new();
        let whole = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = self.limits.body_bytes.saturating_sub(body.len());
                    body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                    if chunk.len() > room {
                        break false;
                    }
                }
                Ok(None) => break true,
                // The status has been read: a body cut short does not take that back.
                Err(_) => break false,
            }
        };
        Ok(Answer { status, headers, body: body.freeze(), whole })
    }

    fn classify(&self, error: &reqwest::Error) -> SendError {
        let cause = root_cause(error);
        if error.is_connect() {
            let limit = self.limits.connect.as_secs();
            SendError::Unsent(if error.is_timeout() {
                format!("no connection within {limit} s")
            } else {
                format!("no connection: {cause}")
            })
        } else if error.is_builder() {
            SendError::Malformed(cause)
        } else if error.is_timeout() {
            SendError::Unknown(format!("none within {} s", self.limits.total.as_secs()))
        } else {
            SendError::Unknown(cause)
        }
    }
}

fn builder(limits: &Limits, certificates: Option<&[u8]>) -> Result<reqwest::ClientBuilder, HttpError> {
    install_provider();
    let builder = reqwest::Client::builder()
        .user_agent(concat!("signl4-azure-bridge/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(limits.connect)
        .timeout(limits.total)
        .pool_max_idle_per_host(limits.idle_per_host)
        .pool_idle_timeout(limits.idle);
    Ok(match certificates {
        Some(pem) => builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(pem)?),
        None => builder,
    })
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON; `None` if it is something else or was cut.
    pub fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// A header's value as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// The innermost cause says what happened; the outer ones only repeat that a request failed, with its URL.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // An error without a source is reqwest's own and could print the URL.
    if std::ptr::addr_eq(cause, error) { "the request is not well formed".to_owned() } else { cause.to_string() }
}

#[cfg(test)]
mod tests;
