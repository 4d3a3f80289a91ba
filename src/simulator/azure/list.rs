//! The list of alerts: filters, time range, sorting and paging.
//! <https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts/get-all>

use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::alert::Alert;
use super::arm::{Refusal, Route, Shown, parse_range, show};
use super::{Knobs, RangeOf, State};
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::Asked;

const PAGE_DEFAULT: usize = 25;
const PAGE_MAX: usize = 250;
const PAGE_MAX_WITH_CONTEXT: usize = 25;
const DAY: Duration = Duration::from_hours(24);

type Field = fn(&Alert) -> String;

/// Filters by name, each with what it compares.
const FILTERS: [(&str, Field); 9] = [
    ("targetResource", Alert::target),
    ("targetResourceName", |alert| alert.target_parts().0),
    ("targetResourceGroup", |alert| alert.target_parts().1),
    ("targetResourceType", |alert| alert.target_parts().2),
    ("monitorService", |alert| alert.spec.signal.monitor_service().to_owned()),
    ("monitorCondition", |alert| alert.condition.as_str().to_owned()),
    ("severity", Alert::severity),
    ("alertState", |alert| alert.state.as_str().to_owned()),
    ("smartGroupId", |_| String::new()),
];

fn bad(message: String) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// <https://learn.microsoft.com/azure/azure-monitor/service-limits#alerts-api>
pub(super) fn throttle(state: &mut State, route: &Route<'_>, now: Timestamp) -> Result<(), Refusal> {
    let most = usize::try_from(state.knobs.lists_per_minute).unwrap_or(usize::MAX);
    let listed = state.listed.entry(route.subscription.unwrap_or_default().to_lowercase()).or_default();
    listed.retain(|at| now.since(*at) < Duration::from_mins(1));
    if listed.len() >= most {
        let message = "The number of requests for the subscription has exceeded the limit.".to_owned();
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "SubscriptionRequestsThrottled", message));
    }
    listed.push(now);
    Ok(())
}

/// What an older service of Azure's may leave out or write as text.
fn thin(alert: &mut Value) {
    let Some(Value::Object(essentials)) = alert.pointer_mut("/properties/essentials") else { return };
    for name in ["targetResourceName", "description", "sourceCreatedId", "signalType", "smartGroupId", "actionStatus"] {
        essentials.remove(name);
    }
    for name in ["lastModifiedUserName", "monitorConditionResolvedDateTime"] {
        essentials.insert(name.to_owned(), Value::Null);
    }
    let severity = essentials.get("severity").and_then(Value::as_str).map(|severity| severity.replace("Sev", ""));
    essentials.insert("severity".to_owned(), json!(severity));
}

pub(super) fn list(state: &State, asked: &Asked, route: &Route<'_>, own: &str) -> Result<Value, Refusal> {
    let with_context = asked.query("includeContext").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let page = page_count(asked, with_context)?;
    let range = time_range(asked)?;
    let subscription = route.subscription.map(str::to_lowercase);
    let mut alerts: Vec<&Alert> = state
        .alerts
        .below(subscription.as_deref())
        .into_iter()
        .filter(|alert| {
            let at = match state.knobs.range_of {
                RangeOf::StartDateTime => alert.fired_at,
                RangeOf::LastModifiedDateTime => alert.modified_at,
            };
            let is_listed = alert.listed_from.is_none_or(|from| from <= asked.at);
            is_listed && in_scope(alert, &route.scope) && range.0 <= at && at <= range.1
        })
        .filter(|alert| matches_filters(alert, asked))
        .collect();
    sort(&mut alerts, asked)?;
    let offset = match asked.query("ctoken") {
        None => 0,
        Some(token) => read_token(token).ok_or_else(|| bad("The continuation token is invalid.".to_owned()))?,
    };
    let context = with_context.then_some(state.knobs.nested_context);
    let shown = Shown { context, whole_seconds: state.knobs.whole_seconds, ..Shown::of(asked) };
    let select = asked.query("select");
    let value: Vec<Value> = alerts
        .iter()
        .skip(offset)
        .take(page)
        .map(|alert| {
            let mut alert = show(alert, &shown);
            select_essentials(&mut alert, select);
            if state.knobs.sparse {
                thin(&mut alert);
            }
            alert
        })
        .collect();
    let next = offset.saturating_add(page);
    let mut body = json!({ "value": value });
    if next < alerts.len()
        && let Value::Object(body) = &mut body
    {
        body.insert("nextLink".to_owned(), json!(next_link(asked, &state.knobs, own, next)));
    }
    Ok(body)
}

fn page_count(asked: &Asked, with_context: bool) -> Result<usize, Refusal> {
    let Some(text) = asked.query("pageCount") else { return Ok(PAGE_DEFAULT) };
    let max = if with_context { PAGE_MAX_WITH_CONTEXT } else { PAGE_MAX };
    text.parse()
        .ok()
        .filter(|count| (1..=PAGE_MAX).contains(count))
        .map(|count: usize| count.min(max))
        .ok_or_else(|| bad(format!("pageCount must be from 1 to {PAGE_MAX}, and is '{text}'.")))
}

fn time_range(asked: &Asked) -> Result<(Timestamp, Timestamp), Refusal> {
    let back = |days: u32| (asked.at.minus(DAY * days), asked.at);
    match (asked.query("timeRange"), asked.query("customTimeRange")) {
        (Some(_), Some(_)) => Err(bad("timeRange and customTimeRange exclude each other.".to_owned())),
        (None | Some("1d"), None) => Ok(back(1)),
        (Some("1h"), None) => Ok((asked.at.minus(Duration::from_hours(1)), asked.at)),
        (Some("7d"), None) => Ok(back(7)),
        (Some("30d"), None) => Ok(back(30)),
        (Some(other), None) => Err(bad(format!("timeRange '{other}' is none of 1h, 1d, 7d, 30d."))),
        (None, Some(text)) => parse_range(text)
            .filter(|(start, end)| *start >= asked.at.minus(DAY * 30) && end.since(*start) <= DAY * 30)
            .ok_or_else(|| bad(format!("customTimeRange '{text}' is no <start>/<end> within 30 days."))),
    }
}

fn in_scope(alert: &Alert, scope: &str) -> bool {
    let target = alert.target().to_lowercase();
    target.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        || scope == format!("/subscriptions/{}", alert.subscription.to_lowercase())
}

fn matches_filters(alert: &Alert, asked: &Asked) -> bool {
    let is =
        |wanted: Option<&str>, field: Field| wanted.is_none_or(|wanted| wanted.eq_ignore_ascii_case(&field(alert)));
    FILTERS.iter().all(|(name, field)| is(asked.query(name), *field))
        && asked.query("alertRule").is_none_or(|wanted| {
            wanted.eq_ignore_ascii_case(&alert.rule_id()) || wanted.eq_ignore_ascii_case(&alert.spec.rule)
        })
}

fn sort(alerts: &mut [&Alert], asked: &Asked) -> Result<(), Refusal> {
    let by = asked.query("sortBy").unwrap_or("lastModifiedDateTime").to_lowercase();
    let by_time = by == "startdatetime" || by == "lastmodifieddatetime";
    let descending = match asked.query("sortOrder").map(str::to_lowercase).as_deref() {
        Some("asc") => false,
        Some("desc") => true,
        None => by_time,
        Some(other) => return Err(bad(format!("sortOrder '{other}' is neither asc nor desc."))),
    };
    let key = |alert: &Alert| -> Option<(i64, String)> {
        match by.as_str() {
            "startdatetime" => return Some((alert.fired_at.as_millis(), String::new())),
            "lastmodifieddatetime" => return Some((alert.modified_at.as_millis(), String::new())),
            _ => {}
        }
        let (name, group, kind) = alert.target_parts();
        let text = match by.as_str() {
            "name" => alert.spec.rule.clone(),
            "severity" => alert.severity(),
            "alertstate" => alert.state.as_str().to_owned(),
            "monitorcondition" => alert.condition.as_str().to_owned(),
            "targetresource" => alert.target(),
            "targetresourcename" => name,
            "targetresourcegroup" => group,
            "targetresourcetype" => kind,
            _ => return None,
        };
        Some((0, text))
    };
    if alerts.iter().any(|alert| key(alert).is_none()) {
        return Err(bad(format!("sortBy '{by}' is no field to sort by.")));
    }
    alerts.sort_by_cached_key(|alert| (key(alert), alert.id.clone()));
    if descending {
        alerts.reverse();
    }
    Ok(())
}

fn select_essentials(alert: &mut Value, select: Option<&str>) {
    let Some(select) = select.filter(|select| !select.is_empty()) else { return };
    let wanted: Vec<&str> = select.split(',').map(str::trim).collect();
    if let Some(Value::Object(essentials)) = alert.pointer_mut("/properties/essentials") {
        essentials.retain(|name, _| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)));
    }
}

/// Absolute, as Azure's is; a client must follow it verbatim, and only to the server that it asked.
fn next_link(asked: &Asked, knobs: &Knobs, own: &str, offset: usize) -> String {
    let base = knobs.next_link_base.clone().unwrap_or_else(|| own.to_owned());
    let has_port = base.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = match (knobs.next_link_with_port && !has_port, base.starts_with("https://")) {
        (true, true) => ":443",
        (true, false) => ":80",
        (false, _) => "",
    };
    let Ok(mut url) = reqwest::Url::parse("http://localhost/") else { return String::new() };
    url.query_pairs_mut()
        .extend_pairs(asked.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("ctoken")))
        .append_pair("ctoken", &BASE64_URL_SAFE_NO_PAD.encode(format!("offset:{offset}")));
    format!("{base}{port}{}?{}", asked.path, url.query().unwrap_or_default())
}

fn read_token(token: &str) -> Option<usize> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("offset:")?.parse().ok()
}
