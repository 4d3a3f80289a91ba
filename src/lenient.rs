//! JSON as other people send it: any member may be missing, null, spelled in another case or of another type.
//!
//! A pager must not lose an alert because a number came as a string. Every reader here answers "nothing" instead of
//! failing, so the worst that bad input can do is a page with fewer facts. Texts are capped: a body may have 1 MiB.

mod json;
#[cfg(test)]
pub(crate) mod mutate;

use std::borrow::Cow;

pub use json::{Json, Member};

use crate::domain::timestamp::Timestamp;

/// Longest text that is kept of one member, in characters.
pub const TEXT_CHARS: usize = 4_096;
/// Longest link that is kept, in bytes: a link cut short is worthless, so a longer one is dropped.
pub const LINK_BYTES: usize = 2_048;
/// Most entries that are kept of one list.
const LIST_ENTRIES: usize = 100;

/// A body as text. A byte order mark is skipped; invalid UTF-8 is replaced rather than refused.
pub fn utf8(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed)
}

/// Reads a body's text as JSON.
pub fn read(text: &str) -> Result<Json<'_>, serde_json::Error> {
    serde_json::from_str(text)
}

/// An object whose members are found without regard to case and blanks.
#[derive(Clone, Debug)]
pub struct Object<'a>(Members<'a>);

#[derive(Clone, Debug)]
enum Members<'a> {
    Borrowed(&'a [Member<'a>]),
    /// Of an object that came as text.
    Owned(Vec<Member<'a>>),
}

impl<'a> Object<'a> {
    /// The object in `value`: itself, or the one that a string holds.
    pub fn of(value: &'a Json<'a>) -> Option<Self> {
        match value {
            Json::Object(members) => Some(Self(Members::Borrowed(members))),
            Json::Text(text) if text.trim_start().starts_with('{') => match serde_json::from_str(text) {
                Ok(Json::Object(members)) => Some(Self(Members::Owned(members))),
                Ok(_) | Err(_) => None,
            },
            Json::Text(_) | Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => None,
        }
    }

    pub fn empty() -> Self {
        Self(Members::Borrowed(&[]))
    }

    pub fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    fn all(&self) -> &[Member<'_>] {
        match &self.0 {
            Members::Borrowed(members) => members,
            Members::Owned(members) => members,
        }
    }

    /// The member of that name; `null` is no member.
    pub fn value(&self, name: &str) -> Option<&Json<'_>> {
        let exact = || self.all().iter().rev().find(|(member, _)| member == name);
        let alike = || self.all().iter().find(|(member, _)| same_name(member, name));
        exact().or_else(alike).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The object of that name, empty if there is none.
    pub fn object(&self, name: &str) -> Object<'_> {
        self.value(name).and_then(Object::of).unwrap_or_else(Object::empty)
    }

    /// The text of that name, trimmed and never empty.
    pub fn text(&self, name: &str) -> Option<String> {
        self.value(name).and_then(text)
    }

    /// The first of these names that has a text.
    pub fn first_text(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.text(name))
    }

    /// The text of that name without cutting, for what is to be worked on before it is cut.
    pub fn whole_text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Json::as_str)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Json::Number(number) => number.as_f64(),
            Json::Text(text) => text.trim().replace(',', "").parse().ok(),
            Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
        }
        .filter(|number: &f64| number.is_finite())
    }

    /// A whole number, also one written `5.0` or `"5"`.
    pub fn whole_number(&self, name: &str) -> Option<i64> {
        let number = self.number(name)?;
        format!("{number:.0}").parse().ok().filter(|_| number.fract() == 0.0)
    }

    pub fn time(&self, name: &str) -> Option<Timestamp> {
        self.text(name).and_then(|text| time(&text))
    }

    /// An `https://` or `http://` address that is short enough to be kept whole.
    pub fn link(&self, name: &str) -> Option<String> {
        let link = self.whole_text(name)?.trim();
        let scheme = link.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"))
            || link.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("http://"));
        let plain = link.len() <= LINK_BYTES && !link.chars().any(|c| c.is_whitespace() || c.is_control());
        (scheme && plain).then(|| link.to_owned())
    }

    /// The entries of a list: an array, one that a string holds, or a single value that should have been one.
    pub fn list(&self, name: &str) -> Vec<Cow<'_, Json<'_>>> {
        match self.value(name) {
            None => Vec::new(),
            Some(Json::Array(entries)) => entries.iter().take(LIST_ENTRIES).map(Cow::Borrowed).collect(),
            Some(value @ Json::Text(text)) => match serde_json::from_str(text) {
                Ok(Json::Array(entries)) if text.trim_start().starts_with('[') => {
                    entries.into_iter().take(LIST_ENTRIES).map(Cow::Owned).collect()
                }
                Ok(_) | Err(_) => vec![Cow::Borrowed(value)],
            },
            Some(value) => vec![Cow::Borrowed(value)],
        }
    }

    /// The texts of a list.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(|entry| text(entry)).collect()
    }

    /// Names and values: `[{"name": …, "value": …}]` or an object.
    pub fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let object = self.object(name);
        if !object.is_empty() && !object.has("name") {
            return object.entries();
        }
        self.list(name).iter().filter_map(|entry| pair(entry)).collect()
    }

    /// Members with a text, in the order in which they came.
    pub fn entries(&self) -> Vec<(String, String)> {
        self.all()
            .iter()
            .take(LIST_ENTRIES)
            .filter_map(|(name, value)| Some((cut(name.trim(), 128), text(value)?)))
            .filter(|(name, _)| !name.is_empty())
            .collect()
    }

    /// Names of the members, for saying what came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all().iter().map(|(name, _)| name.as_ref())
    }

    /// Members as they are.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Json<'_>)> {
        self.all().iter().map(|(name, value)| (name.as_ref(), value))
    }
}

/// One `{"name": …, "value": …}`.
pub fn pair(value: &Json<'_>) -> Option<(String, String)> {
    let object = Object::of(value)?;
    Some((object.text("name")?, object.text("value").unwrap_or_default()))
}

/// A scalar as text; a list of scalars is joined; an object has none.
pub fn text(value: &Json<'_>) -> Option<String> {
    let text = match value {
        Json::Text(text) => cut(text.trim(), TEXT_CHARS),
        Json::Number(number) => number.to_string(),
        Json::Bool(bool) => bool.to_string(),
        Json::Array(entries) => {
            let texts: Vec<String> =
                entries.iter().take(LIST_ENTRIES).filter(|entry| entry.as_array().is_none()).filter_map(text).collect();
            cut(&texts.join(", "), TEXT_CHARS)
        }
        Json::Null | Json::Object(_) => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// RFC 3339 with 0 to 9 fraction digits, or the American form of old log alerts: `3/22/2019 1:36:31 PM`, in UTC.
pub fn time(text: &str) -> Option<Timestamp> {
    Timestamp::parse(text).or_else(|| {
        ["%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M %p"].iter().find_map(|format| {
            let local = jiff::civil::DateTime::strptime(format, text.trim()).ok()?;
            let timestamp = jiff::tz::TimeZone::UTC.to_timestamp(local).ok()?;
            Some(Timestamp::from_millis(timestamp.as_millisecond()))
        })
    })
}

/// At most so many characters.
pub fn cut(text: &str, chars: usize) -> String {
    // Most texts are short: they need no counting, and none is copied character by character.
    let end = if text.len() <= chars { None } else { text.char_indices().nth(chars) };
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text).to_owned()
}

fn same_name(left: &str, right: &str) -> bool {
    // Where no blank makes one longer, the lengths decide most of them.
    if left.len() == right.len() {
        return left.eq_ignore_ascii_case(right);
    }
    if !left.contains(' ') && !right.contains(' ') {
        return false;
    }
    let left = left.bytes().filter(|byte| *byte != b' ').map(|byte| byte.to_ascii_lowercase());
    let right = right.bytes().filter(|byte| *byte != b' ').map(|byte| byte.to_ascii_lowercase());
    left.eq(right)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_found_without_regard_to_case_and_blanks() {
        let value = json!({"Activity Log Event Description": "x", "alertRuleID": "r", "nothing": null});
        let value = Json::from(&value);
        let object = Object::of(&value).unwrap();
        assert_eq!(object.text("activityLogEventDescription").as_deref(), Some("x"));
        assert_eq!(object.text("alertRuleId").as_deref(), Some("r"));
        assert!(!object.has("nothing") && !object.has("alertRule"));
    }

    #[test]
    fn types_are_forgiven() {
        let value = json!({
            "number": "1,250.5", "string": 3, "whole": 5.0, "one": "a", "many": "[\"a\", \"b\"]",
            "inside": "{\"deep\": {\"er\": true}}", "infinite": "inf", "pairs": {"k": 1}, "list": [{"name": "n"}],
        });
        let value = Json::from(&value);
        let object = Object::of(&value).unwrap();
        assert_eq!(object.number("number"), Some(1250.5));
        assert_eq!(object.text("string").as_deref(), Some("3"));
        assert_eq!(object.whole_number("whole"), Some(5));
        assert_eq!(object.texts("one"), ["a"]);
        assert_eq!(object.texts("many"), ["a", "b"]);
        assert_eq!(object.object("inside").object("deep").text("er").as_deref(), Some("true"));
        assert_eq!(object.number("infinite"), None);
        assert_eq!(object.pairs("pairs"), [("k".to_owned(), "1".to_owned())]);
        assert_eq!(object.pairs("list"), [("n".to_owned(), String::new())]);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        for (text, rfc3339) in [
            ("3/22/2019 1:36:31 PM", Some("2019-03-22T13:36:31Z")),
            ("12/1/2019 12:05:00 AM", Some("2019-12-01T00:05:00Z")),
            ("11/24/2026 03:10:00", Some("2026-11-24T03:10:00Z")),
            ("2026-11-24T03:10:00.1234567+00:00", Some("2026-11-24T03:10:00.123Z")),
            ("24/11/2026 03:10:00", None),
            ("soon", None),
        ] {
            assert_eq!(time(text).map(|time| time.to_string()).as_deref(), rfc3339, "{text}");
        }
    }

    #[test]
    fn only_whole_web_addresses_are_links() {
        let long = format!("https://example.com/{}", "x".repeat(LINK_BYTES));
        let value = json!({"good": " https://example.com/a?b=c ", "script": "javascript:alert(1)", "long": long,
            "blank": "https://example.com/a b", "number": 5});
        let value = Json::from(&value);
        let object = Object::of(&value).unwrap();
        assert_eq!(object.link("good").as_deref(), Some("https://example.com/a?b=c"));
        for name in ["script", "long", "blank", "number", "missing"] {
            assert_eq!(object.link(name), None, "{name}");
        }
    }

    #[test]
    fn marks_and_broken_utf8_are_forgiven() {
        assert_eq!(read(&utf8(b"\xef\xbb\xbf{\"a\": 1}")).unwrap(), Json::from(&json!({"a": 1})));
        assert_eq!(read(&utf8(b"{\"a\": \"caf\xe9\"}")).unwrap(), Json::from(&json!({"a": "caf\u{fffd}"})));
        assert!(read(&utf8(b"{\"a\": \"caf\xe9\"")).is_err());
        assert!(read("").is_err());
    }
}
