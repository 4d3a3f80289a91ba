//! Which hosts may be called, and which of them are near.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use reqwest::Url;

/// Origins (scheme, host, port) that calls may go to; clones share them. Everything is allowed until they are set.
#[derive(Clone, Debug, Default)]
pub(super) struct Allowed(Arc<ArcSwapOption<BTreeSet<String>>>);

impl Allowed {
    /// What is no URL allows nothing.
    pub(super) fn set<'u>(&self, addresses: impl IntoIterator<Item = &'u str>) {
        let origins = addresses.into_iter().filter_map(|address| Url::parse(address).ok()).map(|url| origin(&url));
        self.0.store(Some(Arc::new(origins.collect())));
    }

    pub(super) fn allows(&self, url: &Url) -> bool {
        self.0.load().as_ref().is_none_or(|origins| origins.contains(&origin(url)))
    }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// This machine itself, or link-local, where the metadata services of clouds are: no proxy has to know of those calls.
pub(super) fn is_near(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match host.trim_matches(['[', ']']).parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unicast_link_local(),
        Err(_) => host == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_the_very_origin_is_allowed() {
        let allowed = Allowed::default();
        assert!(allowed.allows(&url("https://anywhere.example.com")), "until they are set");
        allowed.set(["https://login.example.com", "http://127.0.0.1:7070/some/path", "not a URL"]);
        for (address, allows) in [
            ("https://login.example.com/tenant/keys", true),
            ("https://LOGIN.example.com:443/", true),
            ("http://127.0.0.1:7070/other", true),
            ("http://login.example.com/", false),
            ("https://login.example.com:444/", false),
            ("https://example.com/", false),
            ("https://login.example.com.evil.example/", false),
            ("https://login.example.com@evil.example/", false),
            ("http://127.0.0.1:7071/", false),
            ("http://169.254.169.254/", false),
            ("file:///etc/passwd", false),
        ] {
            assert_eq!(allowed.allows(&url(address)), allows, "{address}");
        }
        allowed.set([]);
        assert!(!allowed.allows(&url("https://login.example.com/")), "nothing is named, nothing is called");
    }

    #[test]
    fn the_metadata_address_is_near_however_it_is_written() {
        for (address, near) in [
            ("http://169.254.169.254/metadata/identity/oauth2/token", true),
            ("http://0xA9FEA9FE/", true),
            ("http://2852039166/", true),
            ("http://[::ffff:169.254.169.254]/", true),
            ("http://[fe80::1]/", true),
            ("http://127.0.0.1:40342/", true),
            ("http://[::1]:7070/", true),
            ("http://localhost:7070/", true),
            ("http://10.0.0.1/", false),
            ("http://169.253.169.254/", false),
            ("https://login.microsoftonline.com/", false),
            ("http://169.254.169.254.example.com/", false),
        ] {
            assert_eq!(is_near(&url(address)), near, "{address}");
        }
    }
}
