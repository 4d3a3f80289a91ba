//! What a person reads: title, message and a few short parameters of a page.
//!
//! The title is for a locked phone at three in the morning: how bad, what, the measured value against its threshold,
//! where. The message has the few facts that matter for that kind of alert. Texts are cut at a word and marked with
//! `…`; links are kept whole or left out.

mod activity;
mod measure;
mod measured;
mod others;
pub mod template;
mod text;
mod title;

use super::event::{Condition, Detail, Notification, Severity};
use super::id::{ConnectionName, SubscriptionId};
use super::timestamp::Timestamp;

/// Longest title, in characters.
pub const TITLE_CHARS: usize = 80;
/// Longest message, in characters, before the closing notes.
const MESSAGE_CHARS: usize = 1_600;
/// Longest value of a parameter that is no link.
const PARAMETER_CHARS: usize = 120;
/// Name of the parameter with the alert's page in the portal.
const PORTAL_LINK: &str = "Link";
/// Begin of the title of a test notification.
const TEST_MARK: &str = "[Test]";
/// Most custom properties that are shown.
const CUSTOM_SHOWN: usize = 5;
/// Names under which SIGNL4 looks for title and text; none of our parameters bears one.
pub const TEXT_KEYS: [&str; 12] = [
    "subject",
    "title",
    "task",
    "job",
    "case",
    "incident",
    "text",
    "message",
    "messagetext",
    "description",
    "body",
    "content",
];

/// A page's text, before SIGNL4's own fields are put beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// At most 80 characters: what broke, where, how bad, the measured value against its threshold.
    pub title: String,
    pub message: String,
    /// Short, in order; names are none of SIGNL4's text keys.
    pub parameters: Vec<(String, String)>,
    /// `X-S4-Location`: `52.52,13.405`.
    pub location: Option<String>,
}

/// A page in its parts: a route's templates may replace them one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    pub title: String,
    /// Without the closing note.
    message: String,
    /// Where an acknowledgement will not reach Azure: it closes every message, whoever wrote it.
    note: Option<String>,
    /// All but the deeper link.
    parameters: Vec<(String, String)>,
    /// One link that leads deeper than the alert's own page, and its name.
    deeper: Option<(String, String)>,
    resource: Option<String>,
    said: Said,
}

impl Composed {
    /// The page as it is without templates.
    pub fn page(&self) -> Rendered {
        Rendered {
            title: self.title.clone(),
            message: self.closed(&self.message),
            parameters: self.parameters.iter().chain(&self.deeper).cloned().collect(),
            location: None,
        }
    }

    /// The title with less room.
    fn title_within(&self, notification: &Notification, chars: usize) -> String {
        title::title(notification, &self.said, chars)
    }

    fn closed(&self, message: &str) -> String {
        self.note.as_ref().map_or_else(|| message.to_owned(), |note| format!("{message}\n{note}"))
    }
}

/// What one kind of alert has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    /// What it is about; shortened where the title is too long. Without one the rule's name stands in.
    lead: String,
    /// Says more of `lead`; shortened first, and left out where too little of it would stay.
    more: String,
    /// Between `lead` and `fact`.
    joint: &'static str,
    /// The measured value, or whatever else must not be cut off.
    fact: String,
    /// The first of these that fits as a whole ends the title: `, by jane.doe@contoso.com`, else `, by jane.doe`.
    tails: Vec<String>,
    /// What is affected, where the kind knows it better than the essentials do.
    resource: Option<String>,
    /// The title says where by itself, or there is no where.
    has_place: bool,
    /// Where it says something: Azure itself sets `Sev4` on whatever comes from the activity log, however bad it is.
    severity: Option<Severity>,
    /// The title says by itself that it is over.
    says_over: bool,
    /// The rule's description says no more than `lines`.
    hides_description: bool,
    /// What was tested, or how the state went.
    condition: Option<String>,
    lines: Vec<String>,
    /// ARM id of what the portal can show where it has no page of the alert and the alert has no target.
    scope: Option<String>,
    /// One link that leads deeper than the alert's own page, and its name.
    link: Option<(&'static str, String)>,
}

/// Renders an Azure alert; `portal` is the address of the cloud's portal, `https://portal.azure.com`.
pub fn render(notification: &Notification, portal: &str) -> Rendered {
    compose(notification, portal).page()
}

/// What [`render`] shows, in parts.
pub fn compose(notification: &Notification, portal: &str) -> Composed {
    let said = match &notification.detail {
        Detail::Metric { criteria, window, dynamic } => {
            measured::metric(notification, criteria, window.as_deref(), *dynamic)
        }
        Detail::Log { criteria, window, query, link, rows } => {
            measured::log(notification, criteria, window.as_deref(), query.as_deref(), link.as_ref(), rows)
        }
        Detail::ActivityLog { .. } => activity::activity_log(notification),
        Detail::ServiceHealth { .. } => activity::service_health(notification, portal),
        Detail::ResourceHealth { .. } => activity::resource_health(notification),
        Detail::Prometheus { .. } => others::prometheus(notification),
        Detail::SmartDetector { .. } => others::smart_detector(notification),
        Detail::Budget { .. } => others::budget(notification, portal),
        Detail::Generic { facts } => others::generic(notification, facts),
        Detail::Other => others::generic(notification, &[]),
    };
    let title = title::title(notification, &said, TITLE_CHARS);
    let resource = said.resource.clone().or_else(|| title::place(notification)).map(short);
    let parameters = parameters(notification, &said, resource.as_ref(), portal);
    Composed {
        message: message(notification, &said, &title),
        note: write_back_note(notification),
        title,
        parameters,
        deeper: deeper(notification, said.link.as_ref()),
        resource,
        said,
    }
}

/// A page for an authenticated body that could not be understood.
pub fn render_unreadable(problem: &str, connection: &ConnectionName) -> Rendered {
    Rendered {
        title: text::clip(&format!("Unreadable Azure alert on connection {connection}"), TITLE_CHARS),
        message: format!(
            "Azure sent an alert that the bridge cannot read: {}.\n\
             Look into the Azure portal now: something fired. The body is kept: see \
             /api/events on the admin listener.\n\
             Acknowledging will not reach Azure.",
            text::clip(&text::one_line(problem), 500)
        ),
        parameters: vec![("Connection".to_owned(), connection.to_string())],
        location: None,
    }
}

/// A notice that somebody's alerts arrive here and are not paged; it shows nothing of the alerts.
pub fn render_foreign(subscription: Option<&SubscriptionId>, connection: &ConnectionName) -> Rendered {
    let name = subscription.map(|id| text::clip(id.as_str(), 64));
    let (title, what, mend) = match &name {
        Some(name) => (
            format!("Alerts of subscription {name} are not paged"),
            format!(
                "Alerts of the Azure subscription {name} arrive on the connection {connection}, which does not list it"
            ),
            format!("Add it to `subscriptions` of [azure.{connection}]"),
        ),
        None => (
            format!("Alerts without a subscription are not paged ({connection})"),
            format!("Alerts that name no Azure subscription arrive on the connection {connection}"),
            "Turn on the common alert schema in the action group".to_owned(),
        ),
    };
    let parameters = [("Subscription", name), ("Connection", Some(connection.to_string()))];
    Rendered {
        title: text::clip(&title, TITLE_CHARS),
        message: format!(
            "{what}. They are kept and nobody is paged.\n\
             {mend}, or detach the action group that calls this bridge.\n\
             This notice comes at most once a day for each subscription."
        ),
        parameters: parameters.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect(),
        location: None,
    }
}

/// `2026-11-24 03:00 UTC`.
pub fn shown_time(time: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(time.as_millis())
        .map_or_else(|_| time.to_string(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn message(notification: &Notification, said: &Said, title: &str) -> String {
    let resolved = notification.condition == Condition::Resolved;
    let mut lines: Vec<String> = Vec::new();
    if resolved {
        lines.extend(resolved_line(notification));
    } else if let Some(description) = notification.description.as_ref().filter(|_| !said.hides_description) {
        // Of what is over, nobody needs to read that it fails.
        lines.push(text::clip(description, 600));
    }
    for line in said.lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        // Neither the title nor a parameter nor a line before is said again.
        let told = title.contains(line) || said.condition.as_deref() == Some(line);
        if !told && !lines.iter().any(|before| before == line) {
            lines.push(line.to_owned());
        }
    }
    lines.extend(
        notification.custom.iter().take(CUSTOM_SHOWN).map(|(name, value)| text::fact(name, value, PARAMETER_CHARS)),
    );
    let mut body = text::clip(&text::lines(&lines), MESSAGE_CHARS);
    if body.is_empty() && resolved {
        "Azure says that it is over.".clone_into(&mut body);
    } else if let Some((name, _)) = said.link.as_ref().filter(|_| body.is_empty()) {
        body = format!("Azure sent no further details; see the link \"{name}\".");
    } else if body.is_empty() {
        let of = notification.id.subscription().map(|id| format!(" of subscription {}", text::clip(id.as_str(), 64)));
        body = format!("Azure sent no details; look at the alerts{} in the Azure portal.", of.unwrap_or_default());
    }
    body
}

/// `Resolved 2026-11-24 03:31 UTC, after 31 min`.
fn resolved_line(notification: &Notification) -> Option<String> {
    let resolved_at = notification.resolved_at?;
    let lasted = notification.fired_at.map(|fired_at| resolved_at.since(fired_at)).filter(|lasted| !lasted.is_zero());
    let after = lasted.map(|lasted| format!(", after {}", text::span(lasted))).unwrap_or_default();
    Some(format!("Resolved {}{after}", shown_time(resolved_at)))
}

/// One line where an acknowledgement on the phone will not change the alert in Azure.
fn write_back_note(notification: &Notification) -> Option<String> {
    if notification.is_test() {
        return Some("Test notification: acknowledging it will not reach Azure.".to_owned());
    }
    // The common alert schema would not make a budget one that can be changed.
    let is_budget = matches!(notification.detail, Detail::Budget { .. });
    if let Some(shape) = notification.legacy.as_ref().filter(|_| !is_budget) {
        return Some(format!(
            "Acknowledging will not reach Azure: this action group sends the old payload ({shape}). \
             Turn on its common alert schema."
        ));
    }
    (!notification.id.is_writable())
        .then(|| "Acknowledging will not reach Azure: this alert cannot be changed there.".to_owned())
}

fn parameters(
    notification: &Notification,
    said: &Said,
    resource: Option<&String>,
    portal: &str,
) -> Vec<(String, String)> {
    let portal = portal.trim_end_matches('/');
    let target = notification.targets.iter().find(|target| text::resource_name(target).is_some());
    let link = notification
        .id
        .portal_link(portal)
        .or_else(|| target.or(said.scope.as_ref()).map(|id| format!("{portal}/#resource{}", text::url_path(id))));
    [
        ("Severity", said.severity.map(|severity| severity.as_str().to_owned())),
        ("Resource", resource.cloned()),
        ("Condition", said.condition.clone().map(short)),
        ("Fired", notification.fired_at.map(shown_time)),
        ("Rule", notification.rule.clone().map(short)),
        (PORTAL_LINK, link),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !value.is_empty())?)))
    .collect()
}

/// The value of a parameter that is no link.
fn short(value: impl AsRef<str>) -> String {
    text::clip(&text::one_line(value.as_ref()), PARAMETER_CHARS)
}

fn deeper(notification: &Notification, link: Option<&(&'static str, String)>) -> Option<(String, String)> {
    let (name, deeper) = link.map(|(name, link)| (*name, link)).unzip();
    let link = deeper.or(notification.investigation_link.as_ref()).filter(|link| !link.is_empty())?;
    Some((name.unwrap_or("More").to_owned(), link.clone()))
}

#[cfg(test)]
mod tests;
