//! The requests of a poll, without their key.
//!
//! <https://connect.signl4.com/api/docs/>

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::config::Team;
use crate::domain::id::Side;
use crate::domain::timestamp::Timestamp;
use crate::egress::Aim;
use crate::egress::draft::{Draft, Place};
use crate::signl4::deliver::request::API_KEY;

/// Most alerts that SIGNL4 gives on one page.
const PAGE: usize = 100;

/// Alerts that were changed since then.
pub(super) fn list(team: &Team, user: &str, since: Timestamp, next: Option<&Value>) -> Draft {
    let mut body = Map::new();
    body.insert("modifiedSince".to_owned(), json!(since.to_string()));
    if let Some(next) = next {
        body.insert("continuationToken".to_owned(), next.clone());
    }
    let aim = Aim { side: Side::Signl4, purpose: "list", path: "/api/v2/alerts/paged" };
    let query = vec![("userId", user.to_owned()), ("maxResults", PAGE.to_string())];
    rest(team, aim, Method::POST, &["alerts", "paged"], query, Some(Value::Object(body)))
}

/// One alert with its timeline.
pub(super) fn details(team: &Team, user: &str, alert: &str) -> Draft {
    let aim = Aim { side: Side::Signl4, purpose: "details", path: "/api/v2/alerts/{alert}/details" };
    rest(team, aim, Method::GET, &["alerts", alert, "details"], vec![("userId", user.to_owned())], None)
}

fn rest(
    team: &Team,
    aim: Aim,
    method: Method,
    path: &[&str],
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
) -> Draft {
    Draft {
        aim,
        method,
        base: team.base_url.clone(),
        path: ["api", "v2"].iter().chain(path).map(|segment| (*segment).to_owned()).collect(),
        query,
        place: Place::Header(API_KEY),
        body,
    }
}
