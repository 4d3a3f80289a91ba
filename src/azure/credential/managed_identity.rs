//! Tokens of an identity that Azure gave to this machine: from the metadata service of a virtual machine, from App
//! Service and its relatives, or from the agent of Azure Arc.
//!
//! The endpoints are local and are asked without a proxy. What they cannot answer yet is transient: the token cache
//! asks again, ever more slowly, for as long as it takes (the metadata service may be away for 70 seconds while it is
//! updated, and answers 404 or 410 meanwhile).
//! <https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token>
//! <https://learn.microsoft.com/azure/app-service/overview-managed-identity>

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Method, Request, Url};

use super::arc;
use crate::clock::Clock;
use crate::config::{Identity, IdentityEndpoint};
use crate::domain::id::{ConnectionName, Side, digest};
use crate::domain::timestamp::Timestamp;
use crate::egress::outcome::code;
use crate::egress::retry_after::retry_after;
use crate::egress::{Aim, Answer, Http, SendError};
use crate::lenient::{self, Object};
use crate::secret::Secret;
use crate::tokens::{Fetched, Fetching, Source, TokenError};

const IMDS_AIM: Aim = Aim { side: Side::Azure, purpose: "token", path: "/metadata/identity/oauth2/token" };
const APP_SERVICE_AIM: Aim = Aim { side: Side::Azure, purpose: "token", path: "{IDENTITY_ENDPOINT}" };

const IMDS_VERSION: &str = "2018-02-01";
const APP_SERVICE_VERSION: &str = "2019-08-01";
const ARC_VERSION: &str = "2020-06-01";

/// The managed identity of one connection.
#[derive(Debug)]
pub(super) struct ManagedIdentity {
    pub(super) connection: ConnectionName,
    /// Without proxy.
    pub(super) http: Http,
    pub(super) clock: Clock,
    pub(super) resource: String,
    pub(super) identity: Identity,
    pub(super) endpoint: IdentityEndpoint,
}

impl Source for ManagedIdentity {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(self.request())
    }
}

impl ManagedIdentity {
    pub(super) fn fingerprint(&self) -> String {
        let endpoint = match &self.endpoint {
            IdentityEndpoint::Imds { host } => host.clone(),
            IdentityEndpoint::AppService { endpoint, header } => format!("{endpoint}\n{}", header.expose()),
            IdentityEndpoint::Arc { endpoint, keys } => format!("{endpoint}\n{}", keys.display()),
        };
        digest(format!("{}\n{:?}\n{endpoint}", self.resource, self.identity).as_bytes())
    }

    async fn request(&self) -> Result<Fetched, TokenError> {
        let metadata = (HeaderName::from_static("metadata"), HeaderValue::from_static("true"));
        match &self.endpoint {
            IdentityEndpoint::Imds { host } => {
                let url = self.url(&format!("{host}/metadata/identity/oauth2/token"), IMDS_VERSION, "msi_res_id")?;
                let answer = self.ask(IMDS_AIM, url, [metadata]).await?;
                self.token(&answer, "this machine")
            }
            IdentityEndpoint::AppService { endpoint, header } => {
                let url = self.url(endpoint, APP_SERVICE_VERSION, "mi_res_id")?;
                let header = (HeaderName::from_static("x-identity-header"), self.sensitive(header.expose())?);
                let answer = self.ask(APP_SERVICE_AIM, url, [header]).await?;
                self.token(&answer, "this app")
            }
            IdentityEndpoint::Arc { endpoint, keys } => {
                let url = self.url(endpoint, ARC_VERSION, "msi_res_id")?;
                let challenge = self.ask(IMDS_AIM, url.clone(), [metadata.clone()]).await?;
                if challenge.status != 401 {
                    return Err(self.failed(&challenge, "this machine"));
                }
                let key = arc::key(challenge.header("www-authenticate").unwrap_or_default(), keys.clone())
                    .await
                    .map_err(|error| self.denied(401, "no key from Azure Arc", &error.to_string()))?;
                let basic = (AUTHORIZATION, self.sensitive(&format!("Basic {}", key.expose()))?);
                let answer = self.ask(IMDS_AIM, url, [metadata, basic]).await?;
                self.confirmed(&answer)?;
                self.token(&answer, "this machine")
            }
        }
    }

    /// The identity's parameter bears another name for a resource id on each platform.
    fn url(&self, endpoint: &str, version: &str, by_resource_id: &str) -> Result<Url, TokenError> {
        let mut url = Url::parse(endpoint)
            .map_err(|_| self.denied(0, "no token endpoint", "the address of the identity endpoint is no URL"))?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("api-version", version).append_pair("resource", &self.resource);
            match &self.identity {
                Identity::SystemAssigned => {}
                Identity::ClientId(id) => {
                    query.append_pair("client_id", id);
                }
                // App Service calls it `principal_id` and takes this name as an alias.
                Identity::ObjectId(id) => {
                    query.append_pair("object_id", id);
                }
                Identity::ResourceId(id) => {
                    query.append_pair(by_resource_id, id);
                }
            }
        }
        Ok(url)
    }

    async fn ask<const N: usize>(
        &self,
        aim: Aim,
        url: Url,
        headers: [(HeaderName, HeaderValue); N],
    ) -> Result<Answer, TokenError> {
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().extend(headers);
        self.http.send(aim, request).await.map_err(|error| match error {
            SendError::Malformed(_) => self.denied(0, "no token endpoint", "the identity endpoint is no HTTP address"),
            SendError::Unsent(_) | SendError::Unknown(_) => {
                TokenError::Transient { why: format!("the identity endpoint of {} {error}", self.place()) }
            }
        })
    }

    fn token(&self, answer: &Answer, machine: &str) -> Result<Fetched, TokenError> {
        if answer.status != 200 {
            return Err(self.failed(answer, machine));
        }
        let nothing = || TokenError::Transient { why: "the identity endpoint's answer is not a token".to_owned() };
        let text = lenient::utf8(&answer.body);
        let value = lenient::read(&text).map_err(|_| nothing())?;
        let body = Object::of(&value).filter(|_| answer.whole).ok_or_else(nothing)?;
        let seconds = |name: &str| body.whole_number(name).and_then(|number| u64::try_from(number).ok());
        let token = body.whole_text("access_token").filter(|token| !token.is_empty()).ok_or_else(nothing)?;
        let now = self.clock.now();
        let expires_in = seconds("expires_in")
            .map(Duration::from_secs)
            .or_else(|| {
                let at = body.whole_number("expires_on")?.checked_mul(1_000)?;
                Some(Timestamp::from_millis(at).since(now))
            })
            .ok_or_else(nothing)?;
        Ok(Fetched {
            value: Secret::new(token.to_owned(), &format!("the managed identity, for [azure.{}]", self.connection)),
            expires_in,
            refresh_in: seconds("refresh_in").map(Duration::from_secs),
        })
    }

    /// An older agent of Azure Arc knows only the machine's own identity and gives its token, whichever was asked for.
    /// One that knows more says whose token it is.
    fn confirmed(&self, answer: &Answer) -> Result<(), TokenError> {
        let (wanted, names): (_, &[&str]) = match &self.identity {
            Identity::SystemAssigned => return Ok(()),
            Identity::ClientId(id) => (id, &["client_id"]),
            Identity::ObjectId(id) => (id, &["object_id"]),
            Identity::ResourceId(id) => (id, &["msi_res_id", "mi_res_id"]),
        };
        let text = lenient::utf8(&answer.body);
        let value = if answer.status == 200 { lenient::read(&text).ok() } else { return Ok(()) };
        let given = value.as_ref().and_then(Object::of).and_then(|body| body.first_text(names));
        if given.is_some_and(|given| given.eq_ignore_ascii_case(wanted)) {
            return Ok(());
        }
        Err(self.denied(
            200,
            "another identity",
            "the agent of Azure Arc gave the token of another identity: update the agent, or use the machine's own \
             identity with credential = \"managed_identity\"",
        ))
    }

    fn failed(&self, answer: &Answer, machine: &str) -> TokenError {
        let status = answer.status;
        let text = lenient::utf8(&answer.body);
        let value = lenient::read(&text).ok();
        let error = value.as_ref().and_then(Object::of).and_then(|body| body.first_text(&["error", "code"]));
        let named = error.map(|error| code(&error)).filter(|error| !error.is_empty());
        let after = retry_after(&answer.headers, self.clock.now());
        match (status, after) {
            (404 | 408 | 410 | 429 | 500.., Some(after)) => TokenError::Throttled { after },
            // App Service says no more than this of an identity or a resource that does not exist.
            (500, None) if matches!(self.endpoint, IdentityEndpoint::AppService { .. }) => TokenError::Transient {
                why: "the identity endpoint answered 500; if that lasts, check that the identity is assigned to this \
                      app and named as it is"
                    .to_owned(),
            },
            (404 | 408 | 410 | 429 | 500.., None) => {
                TokenError::Transient { why: format!("the identity endpoint answered {status}") }
            }
            // The platform may change the header's value, and gives the new one to a process that it starts.
            (401 | 403, _) if matches!(self.endpoint, IdentityEndpoint::AppService { .. }) => self.denied(
                status,
                "IDENTITY_HEADER refused",
                "restart the bridge: the platform has changed IDENTITY_HEADER",
            ),
            _ => {
                let code = named.unwrap_or_else(|| format!("status {status}"));
                let which = match &self.identity {
                    Identity::SystemAssigned => "switch the system-assigned identity on".to_owned(),
                    Identity::ClientId(id) => format!("assign the identity with client id {id}"),
                    Identity::ObjectId(id) => format!("assign the identity with object id {id}"),
                    Identity::ResourceId(id) => format!("assign the identity {id}"),
                };
                self.denied(status, &code, &format!("{which} for {machine}, or name another in `credential`"))
            }
        }
    }

    fn place(&self) -> &'static str {
        match self.endpoint {
            IdentityEndpoint::Imds { .. } => "Azure's virtual machines does not answer, is this one?",
            IdentityEndpoint::AppService { .. } => "this app does not answer:",
            IdentityEndpoint::Arc { .. } => "Azure Arc does not answer, does its agent run?",
        }
    }

    fn sensitive(&self, text: &str) -> Result<HeaderValue, TokenError> {
        let mut value = HeaderValue::from_str(text).map_err(|_| {
            self.denied(0, "no token endpoint", "the identity endpoint's secret cannot stand in a header")
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn denied(&self, status: u16, code: &str, mend: &str) -> TokenError {
        TokenError::Denied { status, code: code.to_owned(), mend: format!("{mend} ([azure.{}])", self.connection) }
    }
}
