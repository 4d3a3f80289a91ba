//! How a connection proves itself to Entra: the client-credentials flow, as a source of the token cache.
//!
//! The proof is a client secret; a certificate or a federated token is another `Proof` in the same request. Entra's
//! refusals are classified by their AADSTS number, with a sentence on the mend: see `aadsts`.
//! <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow>

pub mod aadsts;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use oauth2::basic::{BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType};
use oauth2::{
    AuthType, ClientId, ClientSecret, ErrorResponse, ExtraTokenFields, HttpRequest, HttpResponse, RequestTokenError,
    Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};

use self::aadsts::Class;
use crate::clock::Clock;
use crate::config::{Connection, Credential};
use crate::domain::id::{ConnectionName, Side, digest};
use crate::egress::outcome::code;
use crate::egress::retry_after::retry_after;
use crate::egress::{Aim, Http, SendError};
use crate::secret::Secret;
use crate::tokens::{CredentialKey, Fetched, Fetching, Origin, Source, TokenError};

const AIM: Aim = Aim { side: Side::Azure, purpose: "token", path: "/{tenant}/oauth2/v2.0/token" };

/// Entra asks for this long when it throttles without a number.
/// <https://learn.microsoft.com/entra/msal/dotnet/advanced/exceptions/client-and-server-throttling>
const THROTTLED: Duration = Duration::from_mins(1);

/// For an answer without `expires_in`, which OAuth allows and Entra does not send.
const SHORT_LIFE: Duration = Duration::from_mins(5);

/// The cache entries of all connections that have a credential.
pub fn origins(
    connections: &BTreeMap<ConnectionName, Connection>,
    http: &Http,
    clock: &Clock,
) -> BTreeMap<CredentialKey, Origin> {
    connections
        .iter()
        .filter_map(|(name, connection)| {
            let (proof, expires) = match connection.credential.as_ref()? {
                Credential::ClientSecret { secret, expires } => (Proof::ClientSecret(secret.clone()), *expires),
            };
            let source = ClientCredentials {
                endpoint: Endpoint { connection: name.clone(), http: http.clone(), clock: clock.clone() },
                tenant: connection.tenant_id.clone(),
                client: connection.client_id.clone(),
                authority: connection.cloud.authority.trim_end_matches('/').to_owned(),
                scope: format!("{}/.default", connection.cloud.audience),
                proof,
            };
            let origin = Origin::Fetched {
                fingerprint: source.fingerprint(),
                source: Arc::new(source),
                secret_expires_at: expires,
            };
            Some((CredentialKey::Azure(name.clone()), origin))
        })
        .collect()
}

/// The client-credentials flow of one connection.
#[derive(Debug)]
struct ClientCredentials {
    endpoint: Endpoint,
    tenant: String,
    client: String,
    authority: String,
    scope: String,
    proof: Proof,
}

/// One exchange with the token endpoint, and the words for what goes wrong in it.
#[derive(Clone, Debug)]
struct Endpoint {
    connection: ConnectionName,
    http: Http,
    clock: Clock,
}

/// What shows that we are the application.
#[derive(Debug)]
enum Proof {
    ClientSecret(Secret),
}

impl Source for ClientCredentials {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(self.request())
    }
}

impl ClientCredentials {
    fn fingerprint(&self) -> String {
        let proof = match &self.proof {
            Proof::ClientSecret(secret) => secret.expose(),
        };
        let parts = [&self.tenant, &self.client, &self.authority, &self.scope, proof];
        digest(parts.join("\n").as_bytes())
    }

    async fn request(&self) -> Result<Fetched, TokenError> {
        let url = format!("{}/{}/oauth2/v2.0/token", self.authority, self.tenant);
        let Ok(url) = TokenUrl::new(url) else {
            return Err(self.endpoint.misconfigured(0, "the authority and the tenant id do not make a URL"));
        };
        let client = Client::new(ClientId::new(self.client.clone()));
        let client = match &self.proof {
            Proof::ClientSecret(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
        };
        let client = client.set_auth_type(AuthType::RequestBody).set_token_uri(url);
        // The future must own what it uses: one that borrows from `self` is not `Send` in the eyes of the compiler.
        let endpoint = self.endpoint.clone();
        let exchange = move |request: HttpRequest| {
            let endpoint = endpoint.clone();
            async move { endpoint.exchange(request).await }
        };
        let result = client
            .exchange_client_credentials()
            .add_scope(Scope::new(self.scope.clone()))
            .request_async(&exchange)
            .await;
        match result {
            Ok(token) => Ok(Fetched {
                value: Secret::new(
                    token.access_token().secret().clone(),
                    &format!("Entra, for [azure.{}]", self.endpoint.connection),
                ),
                expires_in: token.expires_in().unwrap_or(SHORT_LIFE),
                refresh_in: token.extra_fields().refresh_in.map(Duration::from_secs),
            }),
            Err(RequestTokenError::Request(Exchange::Ended(error))) => Err(error),
            Err(RequestTokenError::ServerResponse(refusal)) => Err(self.endpoint.refused(&refusal)),
            // Neither a token nor a refusal of Entra's form. The body stays unshown: it could hold a token.
            Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
                Err(TokenError::Transient { why: "the token endpoint's answer is not a token".to_owned() })
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

    fn misconfigured(&self, status: u16, what: &str) -> TokenError {
        self.denied(
            status,
            "no token endpoint".to_owned(),
            &format!("{what}; check `cloud`, `tenant_id` and the proxy"),
        )
    }

    fn denied(&self, status: u16, code: String, mend: &str) -> TokenError {
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

#[cfg(test)]
mod tests;
