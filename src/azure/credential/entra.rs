//! Entra's token endpoint: the client-credentials flow with each kind of proof, and what Entra's refusals mean.
//!
//! Refusals are classified by their AADSTS number, with a sentence on the mend: see `aadsts`.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oauth2::basic::{BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType};
use oauth2::{
    AuthType, ClientId, ClientSecret, ErrorResponse, ExtraTokenFields, HttpRequest, HttpResponse, RequestTokenError,
    Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};

use super::aadsts::{self, Class};
use super::assertion;
use crate::certificate::Certificate;
use crate::clock::Clock;
use crate::domain::id::{ConnectionName, Side, digest};
use crate::egress::outcome::code;
use crate::egress::retry_after::retry_after;
use crate::egress::{Aim, Http, SendError};
use crate::secret::Secret;
use crate::tokens::{Fetched, Fetching, Source, TokenError};

const AIM: Aim = Aim { side: Side::Azure, purpose: "token", path: "/{tenant}/oauth2/v2.0/token" };

/// Entra asks for this long when it throttles without a number.
/// <https://learn.microsoft.com/entra/msal/dotnet/advanced/exceptions/client-and-server-throttling>
const THROTTLED: Duration = Duration::from_mins(1);

/// For an answer without `expires_in`, which OAuth allows and Entra does not send.
const SHORT_LIFE: Duration = Duration::from_mins(5);

/// A token of a cluster is a few KB.
const LARGEST_TOKEN_BYTES: u64 = 64 * 1024;

/// `client_assertion_type` of every assertion. <https://www.rfc-editor.org/rfc/rfc7523#section-2.2>
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The client-credentials flow of one connection.
#[derive(Debug)]
pub(super) struct ClientCredentials {
    pub(super) endpoint: Endpoint,
    pub(super) tenant: String,
    pub(super) client: String,
    /// Without trailing slash.
    pub(super) authority: String,
    pub(super) scope: String,
    pub(super) proof: Proof,
}

/// One exchange with the token endpoint, and the words for what goes wrong in it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) connection: ConnectionName,
    pub(super) http: Http,
    pub(super) clock: Clock,
}

/// What shows that we are the application.
#[derive(Debug)]
pub(super) enum Proof {
    ClientSecrets {
        secrets: Vec<Secret>,
        /// Which of them Entra took last: asking with a refused one each hour would fill the tenant's sign-in log.
        taken: AtomicUsize,
    },
    Certificate(Arc<Certificate>),
    FederatedToken(PathBuf),
}

/// The proof of one request.
enum Shown<'a> {
    Secret(&'a Secret),
    Assertion(Secret),
}

/// Why a request brought no token.
#[derive(Debug)]
struct Refused {
    error: TokenError,
    /// Entra does not take this secret, whatever it may say of another.
    secret: bool,
}

impl From<TokenError> for Refused {
    fn from(error: TokenError) -> Self {
        Self { error, secret: false }
    }
}

impl Source for ClientCredentials {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(self.prove())
    }
}

impl ClientCredentials {
    pub(super) fn fingerprint(&self) -> String {
        let proof = match &self.proof {
            Proof::ClientSecrets { secrets, .. } => secrets.iter().map(Secret::expose).collect::<Vec<_>>().join("\n"),
            Proof::Certificate(certificate) => {
                format!("{} {}", certificate.algorithm().as_str(), certificate.encoded_thumbprint())
            }
            Proof::FederatedToken(file) => file.to_string_lossy().into_owned(),
        };
        let parts = [&self.tenant, &self.client, &self.authority, &self.scope, &proof];
        digest(parts.map(String::as_str).join("\n").as_bytes())
    }

    fn url(&self) -> String {
        format!("{}/{}/oauth2/v2.0/token", self.authority, self.tenant)
    }

    async fn prove(&self) -> Result<Fetched, TokenError> {
        match &self.proof {
            Proof::ClientSecrets { secrets, taken } => self.by_secret(secrets, taken).await,
            Proof::Certificate(certificate) => {
                let now = self.endpoint.clock.now();
                let assertion = assertion::signed(certificate, &self.url(), &self.client, now)
                    .map_err(|error| TokenError::Transient { why: error.to_string() })?;
                self.request(Shown::Assertion(assertion)).await.map_err(|refused| refused.error)
            }
            Proof::FederatedToken(file) => {
                let token = self.federated_token(file.clone()).await?;
                self.request(Shown::Assertion(token)).await.map_err(|refused| refused.error)
            }
        }
    }

    /// The secret that worked last, and the others where Entra refuses it.
    async fn by_secret(&self, secrets: &[Secret], taken: &AtomicUsize) -> Result<Fetched, TokenError> {
        let first = taken.load(Ordering::Relaxed);
        let mut refusals = Vec::new();
        for at in (0..secrets.len()).map(|step| (first + step) % secrets.len()) {
            let Some(secret) = secrets.get(at) else { continue };
            match self.request(Shown::Secret(secret)).await {
                Ok(fetched) => {
                    if !refusals.is_empty() {
                        tracing::warn!(
                            connection = %self.endpoint.connection, works = %secret.source(),
                            "Entra refuses one of two client secrets and takes the other: configure a new one"
                        );
                        taken.store(at, Ordering::Relaxed);
                    }
                    return Ok(fetched);
                }
                Err(Refused { error, secret: true }) => refusals.push(error),
                Err(Refused { error, secret: false }) => return Err(error),
            }
        }
        // Of two refusals the first is that of the secret that worked last.
        Err(match refusals.into_iter().next() {
            Some(TokenError::Denied { status, code, mend }) if secrets.len() > 1 => TokenError::Denied {
                status,
                code,
                mend: format!("Entra refuses both client secrets; of the first: {mend}"),
            },
            Some(error) => error,
            None => self.endpoint.misconfigured(0, "there is no client secret"),
        })
    }

    /// The file's content as it is now: the platform replaces it within the hour.
    async fn federated_token(&self, file: PathBuf) -> Result<Secret, TokenError> {
        let shown = file.display().to_string();
        let denied = |what: String| {
            let mend = format!("{what}; check `federated_token_file` and that the bridge may read it");
            self.endpoint.denied(0, "no federated token".to_owned(), &mend)
        };
        // A plain file on a local disk; a thread of its own would take longer than the read.
        let read = tokio::task::spawn_blocking(move || {
            let size = std::fs::metadata(&file)?.len();
            if size > LARGEST_TOKEN_BYTES {
                return Err(std::io::Error::other("it is too large for a token"));
            }
            std::fs::read_to_string(&file)
        });
        let text = match read.await {
            Ok(Ok(text)) => text,
            Ok(Err(error)) => return Err(denied(format!("{shown} cannot be read: {error}"))),
            Err(_) => return Err(TokenError::Transient { why: format!("reading {shown} was cut off") }),
        };
        if text.trim().is_empty() {
            return Err(denied(format!("{shown} is empty")));
        }
        Ok(Secret::new(text.trim().to_owned(), &format!("file {shown}")))
    }

    async fn request(&self, shown: Shown<'_>) -> Result<Fetched, Refused> {
        let Ok(url) = TokenUrl::new(self.url()) else {
            return Err(self.endpoint.misconfigured(0, "the authority and the tenant id do not make a URL").into());
        };
        let client = Client::new(ClientId::new(self.client.clone()));
        let (client, assertion) = match &shown {
            Shown::Secret(secret) => (client.set_client_secret(ClientSecret::new(secret.expose().to_owned())), None),
            Shown::Assertion(assertion) => (client, Some(assertion.expose().to_owned())),
        };
        let client = client.set_auth_type(AuthType::RequestBody).set_token_uri(url);
        // The future must own what it uses: one that borrows from `self` is not `Send` in the eyes of the compiler.
        let endpoint = self.endpoint.clone();
        let exchange = move |request: HttpRequest| {
            let endpoint = endpoint.clone();
            async move { endpoint.exchange(request).await }
        };
        let mut request = client.exchange_client_credentials().add_scope(Scope::new(self.scope.clone()));
        if let Some(assertion) = assertion {
            request = request
                .add_extra_param("client_assertion_type", JWT_BEARER)
                .add_extra_param("client_assertion", assertion);
        }
        match request.request_async(&exchange).await {
            Ok(token) => Ok(Fetched {
                value: Secret::new(
                    token.access_token().secret().clone(),
                    &format!("Entra, for [azure.{}]", self.endpoint.connection),
                ),
                expires_in: token.expires_in().unwrap_or(SHORT_LIFE),
                refresh_in: token.extra_fields().refresh_in.map(Duration::from_secs),
            }),
            Err(RequestTokenError::Request(Exchange::Ended(error))) => Err(error.into()),
            Err(RequestTokenError::ServerResponse(refusal)) => Err(Refused {
                error: self.endpoint.refused(&refusal),
                secret: refusal.number().is_some_and(aadsts::is_of_the_secret),
            }),
            // Neither a token nor a refusal of Entra's form. The body stays unshown: it could hold a token.
            Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
                Err(TokenError::Transient { why: "the token endpoint's answer is not a token".to_owned() }.into())
            }
        }
    }
}

impl Endpoint {
    /// The HTTP client that `oauth2` is given: one request over ours.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Exchange> {
        let transient = |why: String| Exchange::Ended(TokenError::Transient { why });
        let request = reqwest::Request::try_from(request)
            .map_err(|_| Exchange::Ended(self.misconfigured(0, "the authority and the tenant id do not make a URL")))?;
        let answer = self.http.send(AIM, request).await.map_err(|error| match error {
            SendError::Malformed(_) => Exchange::Ended(self.misconfigured(0, "the authority is no HTTP address")),
            SendError::Unsent(_) | SendError::Unknown(_) => transient(error.to_string()),
        })?;
        let wish = retry_after(&answer.headers, self.clock.now());
        match (answer.status, wish) {
            (429, wish) => return Err(Exchange::Ended(TokenError::Throttled { after: wish.unwrap_or(THROTTLED) })),
            (500.., Some(after)) => return Err(Exchange::Ended(TokenError::Throttled { after })),
            (408 | 500.., _) => return Err(transient(format!("the token endpoint answered {}", answer.status))),
            (200, _) if !answer.whole => return Err(transient("the token endpoint's answer was cut".to_owned())),
            _ => {}
        }
        let body = if answer.status == 200 {
            answer.body.to_vec()
        } else {
            // A refusal of another form comes from a proxy or a wrong address.
            let mut refusal = answer.json::<EntraError>().unwrap_or_default();
            refusal.status = answer.status;
            serde_json::to_vec(&refusal).map_err(|_| transient("the refusal cannot be read".to_owned()))?
        };
        let mut response = HttpResponse::new(body);
        *response.status_mut() =
            reqwest::StatusCode::from_u16(answer.status).map_err(|_| transient("no HTTP status".to_owned()))?;
        Ok(response)
    }

    fn refused(&self, refusal: &EntraError) -> TokenError {
        let status = refusal.status;
        match (refusal.number(), code(&refusal.error).as_str()) {
            (Some(number), _) => {
                let code = format!("AADSTS{number}");
                match aadsts::classify(number) {
                    Class::Permanent { mend } => self.denied(status, code, mend),
                    Class::Throttled { after } => TokenError::Throttled { after },
                    Class::Transient => TokenError::Transient { why: format!("Entra answered {code}") },
                }
            }
            (None, "temporarily_unavailable") => {
                TokenError::Transient { why: "Entra is temporarily unavailable".to_owned() }
            }
            (None, "") => self.misconfigured(status, "the token endpoint does not answer as Entra does"),
            (None, code) => self.denied(status, code.to_owned(), "check `tenant_id`, `client_id` and `credential`"),
        }
    }

    pub(super) fn misconfigured(&self, status: u16, what: &str) -> TokenError {
        self.denied(
            status,
            "no token endpoint".to_owned(),
            &format!("{what}; check `cloud`, `tenant_id` and the proxy"),
        )
    }

    pub(super) fn denied(&self, status: u16, code: String, mend: &str) -> TokenError {
        TokenError::Denied { status, code, mend: format!("{mend} ([azure.{}])", self.connection) }
    }
}

/// What ends an exchange before `oauth2` sees an answer.
#[derive(Debug, thiserror::Error)]
enum Exchange {
    #[error(transparent)]
    Ended(TokenError),
}

type Client = oauth2::Client<
    EntraError,
    StandardTokenResponse<EntraFields, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// What Entra adds to OAuth's token answer.
#[derive(Debug, Serialize, Deserialize)]
struct EntraFields {
    #[serde(default)]
    refresh_in: Option<u64>,
}

impl ExtraTokenFields for EntraFields {}

/// Entra's refusal. <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
#[derive(Debug, Default, Serialize, Deserialize)]
struct EntraError {
    error: String,
    #[serde(default)]
    error_description: Option<String>,
    #[serde(default)]
    error_codes: Vec<u32>,
    /// The answer's status, which `oauth2` drops: written here by us.
    #[serde(default)]
    status: u16,
}

impl ErrorResponse for EntraError {}

impl fmt::Display for EntraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&code(&self.error))
    }
}

impl EntraError {
    /// The AADSTS number: from its own field, else from the start of the description.
    fn number(&self) -> Option<u32> {
        self.error_codes.first().copied().or_else(|| {
            let digits = self.error_description.as_deref()?.strip_prefix("AADSTS")?;
            digits.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
        })
    }
}
