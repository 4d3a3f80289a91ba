//! Identities: names from the configuration, Azure's alert ids in all their forms, SIGNL4 external ids, row ids.
//!
//! Each constructor parses and normalises (Azure's resource ids: lower case); fields are private.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! configured_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// One to 64 of `A-Z a-z 0-9 _ -`: it stands in a URL, in metrics and in file names.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let fits = (1..=64).contains(&text.len())
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
                if fits { Ok(Self(text.to_owned())) } else { Err(NameError(text.to_owned())) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

configured_name! {
    /// One Entra tenant and its credential: `[azure.NAME]`.
    ConnectionName
}
configured_name! {
    /// One SIGNL4 team: `[signl4.NAME]`.
    TeamName
}
configured_name! {
    /// A SIGNL4 account: teams of one account share pace, breaker and outbound URL.
    AccountName
}

/// A name that cannot stand in a URL.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a name: use 1 to 64 letters, digits, `-` or `_`")]
pub struct NameError(String);

/// A side of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Azure,
    Signl4,
}

impl Side {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Signl4 => "signl4",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An Azure subscription GUID, lower-case. Text that is no GUID is kept as it came: the allow-list decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(String);

impl SubscriptionId {
    /// The subscription that Azure's test notifications name.
    pub const TEST: &'static str = "11111111-1111-1111-1111-111111111111";

    pub fn new(text: &str) -> Self {
        Self(text.trim().to_ascii_lowercase())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_guid(&self) -> bool {
        Uuid::try_parse(&self.0).is_ok()
    }
}

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What correlates all that we hear of one alert: `{subscription}:{last segment of the alert id}`, lower-case, or a
/// hash for ids of another form. It is looked up, never parsed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AlertKey(String);

impl AlertKey {
    /// A key read back from the store.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// A key for something that is no Azure alert but is paged like one: `notice:…`, `unreadable:…`.
    pub fn synthetic(kind: &str, name: &str) -> Self {
        Self(format!("{kind}:{}", name.to_ascii_lowercase()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An Azure alert id in any of the forms that Azure sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertId {
    key: AlertKey,
    subscription: Option<SubscriptionId>,
    name: String,
    writable: bool,
}

impl AlertId {
    /// Reads an id such as `/subscriptions/{guid}/providers/Microsoft.AlertsManagement/alerts/{guid}`, also in its
    /// extension-resource form. Only this form, with a GUID at the end, can be written back.
    pub fn parse(text: &str) -> Self {
        let lower = text.trim().trim_end_matches('/').to_ascii_lowercase();
        let segments: Vec<&str> = lower.split('/').filter(|segment| !segment.is_empty()).collect();
        let subscription = segments
            .iter()
            .position(|segment| *segment == "subscriptions")
            .and_then(|at| segments.get(at.saturating_add(1)))
            .map(|segment| SubscriptionId::new(segment));
        let name = segments.last().map_or_else(String::new, |segment| (*segment).to_owned());
        let managed = segments
            .windows(3)
            .next_back()
            .is_some_and(|tail| tail.first() == Some(&"microsoft.alertsmanagement") && tail.get(1) == Some(&"alerts"));
        let writable = managed
            && Uuid::try_parse(&name).is_ok()
            && subscription.as_ref().is_some_and(SubscriptionId::is_guid)
            && subscription.as_ref().is_none_or(|subscription| subscription.as_str() != SubscriptionId::TEST);
        let plain = |text: &str| {
            (1..=80).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        let key = match &subscription {
            Some(subscription) if plain(subscription.as_str()) && plain(&name) && segments.len() > 2 => {
                AlertKey(format!("{subscription}:{name}"))
            }
            _ => AlertKey(digest(lower.as_bytes())),
        };
        Self { key, subscription, name, writable }
    }

    /// An id made from what a payload without an alert id has: the same parts give the same key.
    pub fn derived(subscription: Option<SubscriptionId>, parts: &[&str]) -> Self {
        let mut joined = String::new();
        for part in parts {
            joined.push_str(&part.to_ascii_lowercase());
            joined.push('\n');
        }
        let name = digest(joined.as_bytes());
        Self { key: AlertKey(name.clone()), subscription, name, writable: false }
    }

    /// An id for something that is no Azure alert; see [`AlertKey::synthetic`].
    pub fn synthetic(kind: &str, name: &str) -> Self {
        let key = AlertKey::synthetic(kind, name);
        Self { name: key.as_str().to_owned(), key, subscription: None, writable: false }
    }

    pub fn key(&self) -> &AlertKey {
        &self.key
    }

    pub fn subscription(&self) -> Option<&SubscriptionId> {
        self.subscription.as_ref()
    }

    /// The last path segment, lower-case: what changestate takes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether Azure's Alerts Management API can change this alert.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The fixed id of the portal's "Test action group".
    pub fn is_test(&self) -> bool {
        self.subscription.as_ref().is_some_and(|subscription| subscription.as_str() == SubscriptionId::TEST)
            || self.name == "12345678-1234-1234-1234-1234567890ab"
    }

    /// The alert's page in the portal at `portal` (`https://portal.azure.com`), for ids that the portal knows.
    pub fn portal_link(&self, portal: &str) -> Option<String> {
        let subscription = self.subscription.as_ref().filter(|_| self.writable)?;
        let portal = portal.trim_end_matches('/');
        Some(format!(
            "{portal}/#view/Microsoft_Azure_Monitoring_Alerts/AlertDetails.ReactView/alertId~/\
             %2Fsubscriptions%2F{subscription}%2Fproviders%2FMicrosoft.AlertsManagement%2Falerts%2F{}",
            self.name
        ))
    }
}

/// `X-S4-ExternalID`: the identity of one page, ours, stable over all attempts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExternalId(String);

impl ExternalId {
    const PREFIX: &'static str = "azmon:";

    /// What the key of its alert may be. A hint where to look, and nothing more.
    pub fn made_of(&self) -> impl Iterator<Item = &str> {
        let name = self.0.strip_prefix(Self::PREFIX).unwrap_or(&self.0);
        [Some(name), name.rsplit_once(':').map(|(alert, _)| alert)].into_iter().flatten()
    }

    /// The `number`th page of an alert, counted from 1; SIGNL4 may not open a used id anew, so later ones get `:2` ….
    pub fn of(alert: &AlertKey, number: u32) -> Self {
        if number <= 1 {
            Self(format!("{}{alert}", Self::PREFIX))
        } else {
            Self(format!("{}{alert}:{number}", Self::PREFIX))
        }
    }

    /// An id as SIGNL4 gave it back; `None` if the alert is not from this bridge.
    pub fn returned(text: &str) -> Option<Self> {
        let text = text.trim();
        text.get(..Self::PREFIX.len())
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(Self::PREFIX))
            .then(|| Self(text.to_ascii_lowercase()))
    }

    /// An id read back from the store.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }

            pub fn parse(text: &str) -> Option<Self> {
                Uuid::try_parse(text.trim()).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

row_id! {
    /// One stored event (UUID version 7).
    EventId
}
row_id! {
    /// One stored delivery (UUID version 7).
    DeliveryId
}

/// The first 32 hex digits of SHA-256: an identity, not a secret.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(16)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUB: &str = "9E261DE7-c804-4b9d-9ebf-6f50fe350a9a";
    const GUID: &str = "66114D64-d9d9-478b-95c9-b789d6502100";

    #[test]
    fn every_form_of_one_alert_has_one_key() {
        let plain = AlertId::parse(&format!("/subscriptions/{SUB}/providers/Microsoft.AlertsManagement/alerts/{GUID}"));
        let extension = AlertId::parse(&format!(
            "/subscriptions/{SUB}/resourcegroups/rg/providers/microsoft.insights/components/app/providers/\
             microsoft.alertsmanagement/ALERTS/{GUID}/"
        ));
        assert_eq!(plain.key(), extension.key());
        assert_eq!(plain.key().as_str(), format!("{SUB}:{GUID}").to_lowercase());
        assert!(plain.is_writable() && extension.is_writable());
    }

    #[test]
    fn only_the_normal_form_can_be_written_back() {
        for id in [
            format!(
                "/subscriptions/{SUB}/providers/Microsoft.AlertsManagement/alerts/1234abcd5678efgh1234abcd5678efgh"
            ),
            format!("/subscriptions/{SUB}/resourceGroups/rg/providers/microsoft.insights/activityLogAlerts/Test_Alert"),
            format!("/subscriptions/{SUB}/providers/Microsoft.CostManagement/alerts/{GUID}"),
            format!("/subscriptions/{}/providers/Microsoft.AlertsManagement/alerts/{GUID}", SubscriptionId::TEST),
            "nonsense".to_owned(),
            String::new(),
        ] {
            assert!(!AlertId::parse(&id).is_writable(), "{id}");
        }
    }

    #[test]
    fn foreign_external_ids_are_told_from_ours() {
        assert!(ExternalId::returned("ZabbixEventID: 222").is_none());
        assert!(ExternalId::returned("é").is_none());
        let ours = ExternalId::of(&AlertKey::synthetic("unreadable", "AB"), 2);
        assert_eq!(ours.as_str(), "azmon:unreadable:ab:2");
        assert_eq!(ExternalId::returned(" AZMON:unreadable:AB:2 "), Some(ours));
    }
}
