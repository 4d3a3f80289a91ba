//! Reads the body of an Action Group webhook: the common alert schema in every form that Azure sends, and the older
//! shapes that come when that schema is switched off.
//!
//! Pure, and never panics. Lenient on purpose: every member may be missing, null or of another type, every set of
//! names is open; a page with few facts is better than none. What no shape fits is an error whose text is shown on the
//! page for an unreadable alert.

mod activity;
mod common_schema;
mod context;
mod html;
mod legacy;
mod measured;

use crate::domain::event::Notification;
use crate::domain::id::{SubscriptionId, digest};
use crate::lenient::{self, Json, Object};

/// Why a body is no alert that we can read; each says what a person can look for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("the body is empty")]
    Empty,
    #[error("the body is not JSON: {problem}")]
    NotJson { problem: String },
    #[error("the body is JSON, but {found} where an object was expected")]
    NotAnObject { found: &'static str },
    #[error("the common alert schema without its part `data.essentials`")]
    NoEssentials,
    #[error("an alert without an id, a rule or a target, so nothing tells it from another one")]
    NoAlertId,
    #[error("the schema `{schema}` is not one that Azure Monitor is known to send")]
    UnknownSchema { schema: String },
    #[error("no known alert shape; its members are: {members}. Turn on the common alert schema in the action group")]
    UnknownShape { members: String },
}

/// Reads one webhook body.
pub fn parse(body: &[u8]) -> Result<Notification, ParseError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::Empty);
    }
    let text = lenient::utf8(body);
    let value = lenient::read(&text).map_err(|error| ParseError::NotJson { problem: error.to_string() })?;
    let root = Object::of(&value).ok_or_else(|| ParseError::NotAnObject { found: kind(&value) })?;
    let mut notification = notification(&root)?;
    if notification.is_test() || notification.fired_at.is_none() {
        notification.digest = digest(body);
    }
    Ok(notification)
}

/// Reads what has the members of `data` in the common alert schema. `None` if nothing tells the alert from another one.
pub(super) fn notification_of(data: &Object<'_>) -> Option<Notification> {
    common_schema::notification(data).ok()
}

fn notification(root: &Object<'_>) -> Result<Notification, ParseError> {
    let data = root.object("data");
    if data.has("essentials") {
        return common_schema::notification(&data);
    }
    // Somebody unpacked the envelope on the way to us.
    if root.has("essentials") {
        return common_schema::notification(root);
    }
    let schema = root.text("schemaId");
    if schema.as_deref().is_some_and(|schema| schema.eq_ignore_ascii_case(common_schema::SCHEMA)) {
        return Err(ParseError::NoEssentials);
    }
    legacy::notification(root, schema)
}

fn kind(value: &Json<'_>) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::Text(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

/// The subscription that an ARM id lies in.
pub(super) fn subscription_of(arm_id: &str) -> Option<SubscriptionId> {
    let mut segments = arm_id.split('/').skip_while(|segment| !segment.eq_ignore_ascii_case("subscriptions"));
    segments.nth(1).filter(|segment| !segment.trim().is_empty()).map(SubscriptionId::new)
}

/// The last segment of an ARM id.
fn name_of(arm_id: &str) -> Option<String> {
    arm_id.rsplit('/').find(|segment| !segment.trim().is_empty()).map(|segment| segment.trim().to_owned())
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
