//! What a person reads: title, message and a few short parameters of a page.

use super::event::Notification;

/// A page's text, before SIGNL4's own fields are put beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// At most 80 characters: what broke, where, how bad, the measured value against its threshold.
    pub title: String,
    pub message: String,
    /// Short, in order; names are none of SIGNL4's text keys.
    pub parameters: Vec<(String, String)>,
}

/// Renders an Azure alert; `portal` is the address of the cloud's portal.
pub fn render(_notification: &Notification, _portal: &str) -> Rendered {
    Rendered { title: String::new(), message: String::new(), parameters: Vec::new() }
}
pub fn render_unreadable(_problem: &str, _connection: &super::id::ConnectionName) -> Rendered {
    Rendered { title: String::new(), message: String::new(), parameters: Vec::new() }
}
pub fn render_foreign(_s: Option<&super::id::SubscriptionId>, _connection: &super::id::ConnectionName) -> Rendered {
    Rendered { title: String::new(), message: String::new(), parameters: Vec::new() }
}
