//! Where a call comes from: the address of the peer, or what a trusted proxy says of it.

use std::fmt;
use std::net::IpAddr;

use axum::http::HeaderMap;
use ipnet::IpNet;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a call comes from, as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(IpAddr);

impl Source {
    /// `X-Forwarded-For` is read from its right end, where the nearest proxy has written, and only as far as it was
    /// written by proxies that are trusted: whatever stands further left may be the caller's own invention.
    pub fn new(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
        let mut source = peer.to_canonical();
        if !is_trusted(&source) {
            return Self(source);
        }
        let values: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
            // What is no address names nobody; the proxy that passed it on is the last one known.
            let Some(address) = address(entry.trim()) else { break };
            source = address;
            if !is_trusted(&source) {
                break;
            }
        }
        Self(source)
    }

    /// Whether it lies in one of the networks; everything does where there are none.
    pub fn is_within(self, networks: &[IpNet]) -> bool {
        networks.is_empty() || networks.iter().any(|network| network.contains(&self.0))
    }

    /// What one party surely has: a whole /64 of IPv6.
    pub(super) fn party(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`
fn address(entry: &str) -> Option<IpAddr> {
    let without_port = match entry.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => match entry.split_once(':') {
            Some((address, port)) if !port.contains(':') => address,
            Some(_) | None => entry,
        },
    };
    without_port.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        Source::new(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn the_header_counts_only_as_far_as_trusted_proxies_wrote_it() {
        let proxy = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"];
        for (peer, forwarded, expected) in [
            ("198.51.100.7", vec![], "198.51.100.7"),
            ("198.51.100.7", vec!["203.0.113.1"], "198.51.100.7"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["203.0.113.1"], "203.0.113.1"),
            ("127.0.0.1", vec!["192.0.2.66, 203.0.113.1"], "203.0.113.1"),
            ("127.0.0.1", vec!["192.0.2.66,203.0.113.1 , 10.1.1.1"], "203.0.113.1"),
            ("127.0.0.1", vec!["192.0.2.66", "203.0.113.1, 10.1.1.1"], "203.0.113.1"),
            ("127.0.0.1", vec!["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            ("127.0.0.1", vec!["203.0.113.1, nonsense"], "127.0.0.1"),
            ("127.0.0.1", vec!["203.0.113.1, nonsense, 10.1.1.1"], "10.1.1.1"),
            ("127.0.0.1", vec![""], "127.0.0.1"),
            ("127.0.0.1", vec!["203.0.113.1:4711"], "203.0.113.1"),
            ("127.0.0.1", vec!["[2001:db8::1]:4711"], "2001:db8::1"),
            ("127.0.0.1", vec!["2001:db8::1"], "2001:db8::1"),
            ("127.0.0.1", vec!["::ffff:203.0.113.1"], "203.0.113.1"),
            ("::ffff:127.0.0.1", vec!["203.0.113.1"], "203.0.113.1"),
            ("fd00::1", vec!["203.0.113.1"], "203.0.113.1"),
        ] {
            assert_eq!(source(peer, &forwarded, &proxy), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(source("127.0.0.1", &["203.0.113.1"], &[]), "127.0.0.1", "nobody is trusted unless configured");
    }

    #[test]
    fn networks_hold_what_lies_in_them() {
        let within = |address: &str, networks: &[&str]| {
            let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
            Source(address.parse().unwrap()).is_within(&networks)
        };
        assert!(within("203.0.113.1", &[]));
        assert!(within("203.0.113.1", &["192.0.2.0/24", "203.0.113.0/24"]));
        assert!(!within("203.0.114.1", &["192.0.2.0/24", "203.0.113.0/24"]));
        assert!(within("2001:db8::1", &["2001:db8::/32"]) && !within("2001:db9::1", &["2001:db8::/32"]));
    }

    #[test]
    fn a_party_is_an_address_or_a_whole_subnet() {
        let party = |address: &str| Source(address.parse().unwrap()).party();
        assert_ne!(party("203.0.113.1"), party("203.0.113.2"));
        assert_eq!(party("2001:db8:0:1::1"), party("2001:db8:0:1:ffff::9"));
        assert_ne!(party("2001:db8:0:1::1"), party("2001:db8:0:2::1"));
    }
}
