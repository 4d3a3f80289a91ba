//! The link to the next page: followed as it stands, and only to the server that was asked.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, Request, Url};

use super::Next;
use crate::egress::draft::DraftError;
use crate::secret::Secret;

/// Where `link` leads, seen from `arm`. Azure names the port although it is the scheme's own.
pub(super) fn next(link: Option<&str>, arm: &str) -> Next {
    let Some(link) = link.map(str::trim).filter(|link| !link.is_empty()) else { return Next::End };
    let (Ok(url), Ok(arm)) = (Url::parse(link), Url::parse(arm)) else {
        return Next::Foreign("an address that is no URL".to_owned());
    };
    let server = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let bare = url.username().is_empty() && url.password().is_none();
    if server(&url) == server(&arm) && bare {
        return Next::Page(url);
    }
    Next::Foreign(url.host_str().unwrap_or("no host").to_owned())
}

/// The link as a request, with the token.
pub(super) fn request(url: &Url, secret: &Secret) -> Result<Request, DraftError> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", secret.expose())).map_err(|_| DraftError::Secret)?;
    value.set_sensitive(true);
    let mut request = Request::new(Method::GET, url.clone());
    request.headers_mut().insert(AUTHORIZATION, value);
    Ok(request)
}
