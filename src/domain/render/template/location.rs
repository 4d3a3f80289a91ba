//! Where an alert is on the map: `X-S4-Location`.

use std::fmt;

use super::engine::Template;
use crate::domain::event::Notification;
use crate::domain::route::{Glob, resource_name};

/// A point on the map, as SIGNL4 takes it: `52.52,13.405`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinates(String);

impl Coordinates {
    /// Reads `52.52, 13.405`: latitude and longitude in degrees.
    pub fn parse(text: &str) -> Option<Self> {
        let (latitude, longitude) = text.split_once(',')?;
        let degrees = |text: &str, most: f64| {
            let text = text.trim();
            let plain =
                !text.is_empty() && text.len() <= 24 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-'));
            let number: f64 = text.parse().ok().filter(|_| plain)?;
            (number.abs() <= most).then(|| text.to_owned())
        };
        Some(Self(format!("{},{}", degrees(latitude, 90.0)?, degrees(longitude, 180.0)?)))
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a route finds the place of an alert.
#[derive(Clone, Debug, PartialEq)]
pub enum Location {
    /// A text, or a template that gives one.
    Template(Template),
    /// The first pattern that fits the value of a custom property, or, without a property, the name of a resource.
    Table { property: Option<String>, table: Vec<(Glob, Coordinates)> },
}

/// The place by table; none where nothing fits.
pub(super) fn look_up<'t>(
    property: Option<&str>,
    table: &'t [(Glob, Coordinates)],
    notification: &Notification,
) -> Option<&'t Coordinates> {
    let keys: Vec<&str> = if let Some(property) = property {
        let same = |name: &str| name.to_lowercase() == property.to_lowercase();
        notification.custom.iter().filter(|(name, _)| same(name)).map(|(_, value)| value.trim()).collect()
    } else {
        let targets = notification.targets.iter().filter_map(|id| resource_name(id));
        targets.chain(notification.items.iter().map(String::as_str)).collect()
    };
    table.iter().find(|(glob, _)| keys.iter().any(|key| glob.matches(key))).map(|(_, coordinates)| coordinates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_degrees_of_latitude_and_longitude() {
        for (text, read) in [
            ("52.52,13.405", Some("52.52,13.405")),
            (" -33.86 ,  151.2 ", Some("-33.86,151.2")),
            ("0,0", Some("0,0")),
            ("90,-180", Some("90,-180")),
            ("90.1,0", None),
            ("0,180.5", None),
            ("52,52,13,40", None),
            ("52.52", None),
            ("52.52,", None),
            ("1e1,2", None),
            ("NaN,inf", None),
            ("Berlin", None),
            ("", None),
        ] {
            assert_eq!(Coordinates::parse(text).map(|found| found.to_string()).as_deref(), read, "{text}");
        }
    }
}
