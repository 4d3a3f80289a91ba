//! The requests of a poll, without their token.
//!
//! <https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-all>

use reqwest::Method;

use crate::azure::deliver::request::API_VERSION;
use crate::config::Connection;
use crate::domain::event::Notification;
use crate::domain::id::{Side, SubscriptionId};
use crate::egress::Aim;
use crate::egress::draft::{Draft, Place};

pub(super) const LIST: Aim = Aim {
    side: Side::Azure,
    purpose: "list",
    path: "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts",
};
/// With the context Azure gives so many at once.
const WITH_CONTEXT: usize = 25;

/// The newest changes of all alerts that Azure keeps.
pub(super) fn list(connection: &Connection, subscription: &SubscriptionId, count: usize) -> Draft {
    let query = [
        ("sortBy", "lastModifiedDateTime".to_owned()),
        ("sortOrder", "desc".to_owned()),
        ("pageCount", count.to_string()),
        ("timeRange", "30d".to_owned()),
    ];
    draft(connection, subscription, LIST, None, &query)
}

pub(super) fn alert(connection: &Connection, subscription: &SubscriptionId, alert: &str) -> Draft {
    const AIM: Aim = Aim {
        side: Side::Azure,
        purpose: "read",
        path: "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts/{alert}",
    };
    draft(connection, subscription, AIM, Some(alert), &[])
}

/// The alerts of the same target, newest first, each with its context.
pub(super) fn with_context(
    connection: &Connection,
    subscription: &SubscriptionId,
    notification: &Notification,
) -> Option<Draft> {
    let query = [
        ("targetResource", notification.targets.first()?.clone()),
        ("includeContext", "true".to_owned()),
        ("sortBy", "startDateTime".to_owned()),
        ("sortOrder", "desc".to_owned()),
        ("pageCount", WITH_CONTEXT.to_string()),
        ("timeRange", "30d".to_owned()),
    ];
    Some(draft(connection, subscription, LIST, None, &query))
}

fn draft(
    connection: &Connection,
    subscription: &SubscriptionId,
    aim: Aim,
    alert: Option<&str>,
    query: &[(&'static str, String)],
) -> Draft {
    let path = ["subscriptions", subscription.as_str(), "providers", "Microsoft.AlertsManagement", "alerts"];
    let version = ("api-version", API_VERSION.to_owned());
    Draft {
        aim,
        method: Method::GET,
        base: connection.cloud.arm.clone(),
        path: path.into_iter().chain(alert).map(str::to_owned).collect(),
        query: [version].into_iter().chain(query.iter().cloned()).collect(),
        place: Place::Bearer,
        body: None,
    }
}
