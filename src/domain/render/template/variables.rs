//! What a template can say: the facts of one alert, each under the name that the README gives it.
//!
//! Every variable is there for every alert: what the alert does not have is the empty text. Only the members of
//! `custom`, `dimensions` and `facts`, whose names others choose, can be missing.

use std::collections::BTreeMap;
use std::fmt;

use super::super::{Composed, PORTAL_LINK, TEST_MARK, measured, shown_time, text};
use crate::domain::event::{Detail, Notification, Severity};
use crate::domain::id::{ConnectionName, SubscriptionId, TeamName};
use crate::domain::route::{resource_group, resource_type};

/// Longest text of a variable, in characters.
const TEXT_CHARS: usize = 4_000;
/// Most members of a map or a list.
const MEMBERS: usize = 100;

/// All variables, in the order of [`variables`].
pub const NAMES: [&str; 29] = [
    "title",
    "message",
    "severity",
    "rule",
    "resource",
    "resources",
    "resource_group",
    "resource_type",
    "subscription",
    "service",
    "signal",
    "condition",
    "metric",
    "value",
    "value_number",
    "threshold",
    "threshold_number",
    "dimensions",
    "description",
    "custom",
    "detail",
    "facts",
    "fired_at",
    "link",
    "portal_link",
    "connection",
    "team",
    "route",
    "test",
];

/// Members of `detail`: what single kinds of alerts know besides.
pub const DETAILS: [&str; 32] = [
    "aggregation",
    "caller",
    "category",
    "cause",
    "communication",
    "current",
    "details",
    "detected",
    "detector",
    "expression",
    "forecast_total",
    "holds",
    "impact_end",
    "impact_start",
    "incident_type",
    "level",
    "limit",
    "normal",
    "occurred",
    "operation",
    "previous",
    "query",
    "region",
    "service",
    "spent",
    "stage",
    "status",
    "sub_status",
    "summary",
    "title",
    "tracking_id",
    "window",
];

/// The value of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Variable {
    Text(String),
    /// `None` reads as the empty text.
    Number(Option<f64>),
    Truth(bool),
    Texts(Vec<String>),
    Named(BTreeMap<String, String>),
}

impl Variable {
    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Number(number) => number.is_none(),
            Self::Truth(_) => false,
            Self::Texts(texts) => texts.is_empty(),
            Self::Named(named) => named.values().all(String::is_empty),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => number.map_or(Ok(()), |number| write!(f, "{number}")),
            Self::Truth(truth) => write!(f, "{truth}"),
            Self::Texts(texts) => write!(f, "{texts:?}"),
            Self::Named(named) => {
                let members = named.iter().filter(|(_, text)| !text.is_empty());
                let members: Vec<String> = members.map(|(name, text)| format!("{name:?}: {text:?}")).collect();
                write!(f, "{{{}}}", members.join(", "))
            }
        }
    }
}

/// Of whom a template speaks.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub notification: &'a Notification,
    pub connection: &'a ConnectionName,
    pub team: &'a TeamName,
    /// Empty: no route takes the alert.
    pub route: &'a str,
}

/// The variables of one alert.
pub fn variables(about: &About<'_>, composed: &Composed) -> Vec<(&'static str, Variable)> {
    let notification = about.notification;
    let text = |text: Option<&str>| Variable::Text(clipped(text.unwrap_or_default()));
    let line = |text: Option<&str>| Variable::Text(clipped(&text::one_line(text.unwrap_or_default())));
    let parameter = |name: &str| {
        composed.parameters.iter().find(|(parameter, _)| parameter == name).map(|(_, value)| value.as_str())
    };
    let measured = measured_of(notification);
    let target = notification.targets.first().map(String::as_str);
    let resources = notification.items.iter().map(|item| text::one_line(text::arm_name(item).unwrap_or(item)));
    let resources: Vec<String> = if notification.items.is_empty() {
        notification.targets.iter().filter_map(|id| text::resource_name(id)).map(str::to_owned).collect()
    } else {
        resources.collect()
    };
    let id = &notification.id;
    vec![
        ("title", text(Some(composed.title.strip_prefix(TEST_MARK).unwrap_or(&composed.title)))),
        ("message", text(Some(&composed.message))),
        ("severity", text(notification.severity.map(Severity::as_str))),
        ("rule", line(notification.rule.as_deref())),
        ("resource", line(composed.resource.as_deref())),
        ("resources", Variable::Texts(resources.into_iter().take(MEMBERS).collect())),
        ("resource_group", line(target.and_then(resource_group))),
        ("resource_type", line(target.and_then(resource_type).as_deref())),
        ("subscription", line(id.subscription().map(SubscriptionId::as_str))),
        ("service", line(notification.monitoring_service.as_deref())),
        ("signal", line(notification.signal.as_deref())),
        ("condition", line(composed.said.condition.as_deref())),
        ("metric", line(measured.metric.as_deref())),
        ("value", line(measured.value.as_deref())),
        ("value_number", Variable::Number(measured.value_number)),
        ("threshold", line(measured.threshold.as_deref())),
        ("threshold_number", Variable::Number(measured.threshold_number)),
        ("dimensions", named(dimensions(&notification.detail))),
        ("description", text(notification.description.as_deref())),
        ("custom", named(notification.custom.iter().map(|(name, value)| (name.clone(), value.clone())).collect())),
        ("detail", Variable::Named(details(&notification.detail))),
        ("facts", named(facts(&notification.detail))),
        ("fired_at", text(notification.fired_at.map(shown_time).as_deref())),
        ("link", link(composed.deeper.as_ref().map(|(_, link)| link.as_str()))),
        ("portal_link", link(parameter(PORTAL_LINK))),
        ("connection", text(Some(about.connection.as_str()))),
        ("team", text(Some(about.team.as_str()))),
        ("route", text(Some(about.route))),
        ("test", Variable::Truth(notification.is_test())),
    ]
}

/// A link is whole or not there.
fn link(link: Option<&str>) -> Variable {
    Variable::Text(link.filter(|link| text::is_web_address(link)).unwrap_or_default().to_owned())
}

fn clipped(text: &str) -> String {
    let text = text.trim();
    if text::is_web_address(text) { text.to_owned() } else { text::clip(text, TEXT_CHARS) }
}

fn named(members: Vec<(String, String)>) -> Variable {
    Variable::Named(members.into_iter().take(MEMBERS).map(|(name, value)| (name, clipped(&value))).collect())
}

fn measured_of(notification: &Notification) -> measured::Compared {
    let number = |text: &Option<String>| text.as_deref().and_then(super::super::measure::read);
    match &notification.detail {
        Detail::Metric { criteria, .. } => {
            criteria.first().map(|first| measured::compared(first, false)).unwrap_or_default()
        }
        Detail::Log { criteria, .. } => {
            criteria.first().map(|first| measured::compared(first, true)).unwrap_or_default()
        }
        Detail::Prometheus { value, .. } => {
            measured::Compared { value: value.clone(), value_number: number(value), ..measured::Compared::default() }
        }
        Detail::Budget { spent, threshold, .. } => measured::Compared {
            metric: None,
            value: spent.clone(),
            value_number: number(spent),
            threshold: threshold.clone(),
            threshold_number: number(threshold),
        },
        Detail::ActivityLog { .. }
        | Detail::ServiceHealth { .. }
        | Detail::ResourceHealth { .. }
        | Detail::SmartDetector { .. }
        | Detail::Generic { .. }
        | Detail::Other => measured::Compared::default(),
    }
}

fn dimensions(detail: &Detail) -> Vec<(String, String)> {
    match detail {
        Detail::Metric { criteria, .. } | Detail::Log { criteria, .. } => {
            criteria.iter().flat_map(|criterion| criterion.dimensions.iter().cloned()).collect()
        }
        Detail::Prometheus { labels, .. } => labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        Detail::ActivityLog { .. }
        | Detail::ServiceHealth { .. }
        | Detail::ResourceHealth { .. }
        | Detail::SmartDetector { .. }
        | Detail::Budget { .. }
        | Detail::Generic { .. }
        | Detail::Other => Vec::new(),
    }
}

/// Facts whose names Azure or the query chooses: the first row that a query found, an event's own properties.
fn facts(detail: &Detail) -> Vec<(String, String)> {
    match detail {
        Detail::Log { rows, .. } => rows.first().cloned().unwrap_or_default(),
        Detail::ActivityLog { facts, .. } | Detail::Generic { facts } => facts.clone(),
        Detail::Metric { .. }
        | Detail::ServiceHealth { .. }
        | Detail::ResourceHealth { .. }
        | Detail::Prometheus { .. }
        | Detail::SmartDetector { .. }
        | Detail::Budget { .. }
        | Detail::Other => Vec::new(),
    }
}

/// Every member of [`DETAILS`], empty where this kind of alert has no such thing.
fn details(detail: &Detail) -> BTreeMap<String, String> {
    let mut details: BTreeMap<String, String> =
        DETAILS.iter().map(|name| ((*name).to_owned(), String::new())).collect();
    for (name, value) in known(detail) {
        let value = value.unwrap_or_default();
        let shown = match name {
            "window" | "holds" if !value.is_empty() => text::duration(value),
            _ => text::with_time(value),
        };
        details.insert(name.to_owned(), clipped(&shown));
    }
    details
}

fn known(detail: &Detail) -> Vec<(&'static str, Option<&str>)> {
    match detail {
        Detail::Metric { criteria, window, .. } => vec![
            ("window", window.as_deref()),
            ("aggregation", criteria.first().and_then(|first| first.aggregation.as_deref())),
        ],
        Detail::Log { criteria, window, query, .. } => vec![
            ("window", window.as_deref()),
            ("aggregation", criteria.first().and_then(|first| first.aggregation.as_deref())),
            ("query", query.as_deref()),
        ],
        Detail::ActivityLog { category, operation, status, sub_status, level, caller, message, .. } => vec![
            ("category", category.as_deref()),
            ("operation", operation.as_deref()),
            ("status", status.as_deref()),
            ("sub_status", sub_status.as_deref()),
            ("level", level.as_deref()),
            ("caller", caller.as_deref()),
            ("details", message.as_deref()),
        ],
        Detail::ServiceHealth {
            title,
            service,
            region,
            stage,
            status,
            incident_type,
            tracking_id,
            impact_start,
            impact_end,
            communication,
        } => vec![
            ("title", title.as_deref()),
            ("service", service.as_deref()),
            ("region", region.as_deref()),
            ("stage", stage.as_deref()),
            ("status", status.as_deref()),
            ("incident_type", incident_type.as_deref()),
            ("tracking_id", tracking_id.as_deref()),
            ("impact_start", impact_start.as_deref()),
            ("impact_end", impact_end.as_deref()),
            ("communication", communication.as_deref()),
        ],
        Detail::ResourceHealth { title, details, current, previous, cause, status } => vec![
            ("title", title.as_deref()),
            ("details", details.as_deref()),
            ("current", current.as_deref()),
            ("previous", previous.as_deref()),
            ("cause", cause.as_deref()),
            ("status", status.as_deref()),
        ],
        Detail::Prometheus { expression, summary, description, holds, .. } => vec![
            ("expression", expression.as_deref()),
            ("summary", summary.as_deref()),
            ("details", description.as_deref()),
            ("holds", holds.as_deref()),
        ],
        Detail::SmartDetector { detector, summary, detected, normal, occurred } => vec![
            ("detector", detector.as_deref()),
            ("summary", summary.as_deref()),
            ("detected", detected.as_deref()),
            ("normal", normal.as_deref()),
            ("occurred", occurred.as_deref()),
        ],
        Detail::Budget { name, limit, spent, forecast_total, .. } => vec![
            ("title", name.as_deref()),
            ("limit", limit.as_deref()),
            ("spent", spent.as_deref()),
            ("forecast_total", forecast_total.as_deref()),
        ],
        Detail::Generic { .. } | Detail::Other => Vec::new(),
    }
}
