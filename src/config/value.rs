//! Values with a form of their own: durations, addresses, URLs, GUIDs, dates.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;

use super::document::Value;
use super::problem::Findings;
use super::section::Item;
use crate::domain::timestamp::Timestamp;

impl Item {
    /// `"30s"`, `"2m"`, `"1h30m"`, `"35d"`.
    pub(super) fn duration(&self, findings: &mut Findings) -> Option<Duration> {
        if let Value::Integer(number) = self.node.value {
            self.error(
                format_args!("needs a unit: write \"{number}s\", \"{number}m\", \"{number}h\" or \"{number}d\""),
                findings,
            );
            return None;
        }
        let text = self.text(findings)?;
        let duration = parse_duration(text);
        if duration.is_none() {
            self.error(
                format_args!(
                    "is \"{text}\", which is no duration; write one such as \"30s\", \"2m\", \"1h30m\" or \"35d\""
                ),
                findings,
            );
        }
        duration
    }

    /// [`Self::duration`] above zero; `None` for `"off"`, too.
    pub(super) fn duration_or_off(&self, findings: &mut Findings) -> Option<Duration> {
        if self.as_text() == Some("off") {
            return None;
        }
        let duration = self.duration(findings)?;
        if duration.is_zero() {
            self.error("must be longer than nothing; write \"off\" to switch it off", findings);
            return None;
        }
        Some(duration)
    }

    /// `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
    pub(super) fn socket(&self, findings: &mut Findings) -> Option<SocketAddr> {
        let text = self.text(findings)?;
        let numeric =
            text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
        let address = numeric.parse().ok();
        if address.is_none() {
            self.error(
                format_args!("is \"{text}\", which is no address; write IP and port, such as \"127.0.0.1:8080\""),
                findings,
            );
        }
        address
    }

    /// An https URL without a trailing slash; plain http only for this machine itself.
    pub(super) fn address(&self, findings: &mut Findings) -> Option<String> {
        let url = self.url(findings)?;
        if !is_safe_address(&url) {
            self.error("must begin with https:// (plain http is for simulators on this machine only)", findings);
            return None;
        }
        Some(trimmed(&url))
    }

    /// An http or https URL. It is not repeated in messages: URLs hold secrets.
    pub(super) fn url(&self, findings: &mut Findings) -> Option<Url> {
        let text = self.text(findings)?;
        let url = parse_url(text);
        if let Err(problem) = &url {
            self.error(problem, findings);
        }
        url.ok()
    }

    /// A GUID, lower-case.
    pub(super) fn guid(&self, findings: &mut Findings) -> Option<String> {
        let text = self.text(findings)?.trim();
        if uuid::Uuid::try_parse(text).is_ok() && text.len() == 36 {
            return Some(text.to_ascii_lowercase());
        }
        self.error(
            format_args!("is \"{text}\", which is no id such as 00000000-0000-0000-0000-000000000000; copy it from the Azure portal"),
            findings,
        );
        None
    }

    /// A TOML date, or RFC 3339 text; a date alone is its midnight in UTC.
    pub(super) fn date(&self, findings: &mut Findings) -> Option<Timestamp> {
        let text = match &self.node.value {
            Value::Date(text) | Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Boolean(_) | Value::Other(_) | Value::List(_) | Value::Table(_) => None,
        };
        let date = text.and_then(|text| Timestamp::parse(text));
        if date.is_none() {
            self.error("must be a date such as 2027-05-01", findings);
        }
        date
    }
}

/// `None` for anything but numbers with units; very long ones are cut to 100 years.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let unit_at = rest.find(|char: char| !char.is_ascii_digit())?;
        let (digits, tail) = rest.split_at_checked(unit_at)?;
        let unit = tail.chars().next()?;
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 60 * 60,
            'd' => 24 * 60 * 60,
            _ => return None,
        };
        seconds = seconds.saturating_add(digits.parse::<u64>().ok()?.saturating_mul(factor));
        rest = tail.strip_prefix(unit)?;
    }
    Some(Duration::from_secs(seconds.min(100 * 365 * 24 * 60 * 60)))
}

pub(super) fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "is no URL; write it with https:// and a host")?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err("is no URL; write it with https:// and a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password");
    }
    Ok(url)
}

/// What a secret may be sent to: https, or this machine.
pub(super) fn is_safe_address(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

pub(super) fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, seconds) in [
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("1h30m", Some(5_400)),
            ("35d", Some(3_024_000)),
            ("0s", Some(0)),
            (" 1h ", Some(3_600)),
            ("", None),
            ("5", None),
            ("m", None),
            ("2 m", None),
            ("-2m", None),
            ("1.5h", None),
            ("2µ", None),
            ("99999999999999999999999d", None),
            ("9999999999999999d", Some(3_153_600_000)),
        ] {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,20}") {
            let seconds = parse_duration(&text).map(|duration| duration.as_secs());
            prop_assert!(seconds.is_none_or(|seconds| seconds <= 3_153_600_000));
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, loopback) in [
            ("http://localhost:9000", true),
            ("http://127.0.0.1", true),
            ("http://127.8.8.8:80/", true),
            ("http://[::1]:9000", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(&parse_url(url).unwrap()), loopback, "{url}");
        }
    }
}
