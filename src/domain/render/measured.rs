//! Alerts that compare a value with a threshold: metrics, web tests, log queries.

use super::measure::{Bound, Measure, decimal, read};
use super::title::{place, subject};
use super::{Said, text};
use crate::domain::event::{Condition, Criterion, Notification};
use crate::domain::timestamp::Timestamp;

/// Most dimensions that the message names.
const DIMENSIONS_SHOWN: usize = 6;
/// Parts of the names of columns that say what is wrong, the plainest first.
const TELLING: [&str; 6] = ["message", "error", "exception", "problem", "reason", "description"];

pub(super) fn metric(notification: &Notification, criteria: &[Criterion], window: Option<&str>, dynamic: bool) -> Said {
    let mut said = Said { severity: notification.severity, joint: " ", ..Said::default() };
    let fires = notification.condition == Condition::Fired;
    let bound = match (dynamic, notification.condition) {
        (false, _) => Bound::Set,
        (true, Condition::Fired) => Bound::Left,
        (true, Condition::Resolved) => Bound::Kept,
    };
    let measures: Vec<Measure> = criteria.iter().map(measure).collect();
    let Some((first, measure)) = criteria.first().zip(measures.first()) else {
        said.lines.extend(window.map(|window| format!("Window: {}", text::duration(window))));
        return said;
    };
    if let Some(web_test) = &first.web_test {
        said.has_place = true;
        said.lead = format!("Web test {}", web_test_name(notification, web_test));
        said.fact = web_test_state(notification.condition, first);
    } else {
        let mut fact = vec![measure.comparison(first, bound).unwrap_or_default()];
        if criteria.len() > 1 {
            fact.push(format!("(+{} more)", criteria.len() - 1));
        } else {
            fact.extend(dimensions_in_title(notification, first));
        }
        said.fact = fact.join(" ");
        said.lead.clone_from(&measure.name);
        if first.metric.is_none() {
            said.lead = subject(notification);
            said.joint = ": ";
        }
    }
    said.condition = Some(condition(first, measure, window, dynamic));
    for (criterion, measure) in criteria.iter().zip(&measures) {
        said.lines.push(metric_line(notification, criterion, measure, window, bound));
        said.lines.extend(failing_periods(criterion).filter(|_| fires));
        said.lines.extend(dimension_lines(criterion));
    }
    said
}

fn measure(criterion: &Criterion) -> Measure {
    if criterion.web_test.is_some() {
        return Measure::of("Failed locations", None);
    }
    Measure::of(criterion.metric.as_deref().unwrap_or("Value"), criterion.unit.as_deref())
}

/// What is measured, for templates: names, values and limits as people read them, and as numbers.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) metric: Option<String>,
    pub(super) value: Option<String>,
    pub(super) value_number: Option<f64>,
    pub(super) threshold: Option<String>,
    pub(super) threshold_number: Option<f64>,
}

pub(super) fn compared(criterion: &Criterion, of_log: bool) -> Compared {
    let measure = if of_log { log_measure(criterion).unwrap_or_else(rows) } else { measure(criterion) };
    let limit = criterion.threshold.as_deref();
    let number = limit.and_then(read);
    Compared {
        value: criterion.value.map(|value| measure.number(value, 0)),
        value_number: criterion.value,
        threshold: limit.map(|limit| number.map_or_else(|| text::clip(limit, 24), |number| measure.number(number, 0))),
        threshold_number: number,
        metric: Some(measure.name),
    }
}

/// Azure appends the name of the Application Insights resource: `shop-home-appi-shop`.
fn web_test_name(notification: &Notification, web_test: &str) -> String {
    let name = text::one_line(web_test);
    let component = notification
        .targets
        .iter()
        .filter(|target| target.contains("/microsoft.insights/components/"))
        .find_map(|target| text::arm_name(target));
    let length = component.map_or(0, |component| component.len().saturating_add(1));
    match (component, name.len().checked_sub(length).and_then(|at| name.split_at_checked(at))) {
        (Some(component), Some((test, tail)))
            if !test.is_empty() && tail.trim_start_matches('-').eq_ignore_ascii_case(component) =>
        {
            test.to_owned()
        }
        _ => name,
    }
}

fn web_test_state(condition: Condition, criterion: &Criterion) -> String {
    match (condition, criterion.value) {
        (Condition::Resolved, _) => "answers again".to_owned(),
        (Condition::Fired, None) => "fails".to_owned(),
        (Condition::Fired, Some(locations)) => {
            let noun = if locations.total_cmp(&1.0).is_eq() { "location" } else { "locations" };
            let over = criterion.threshold.as_deref().and_then(read).is_some_and(|threshold| locations > threshold);
            let limit = measure(criterion).limit(criterion).filter(|_| over);
            let limit = limit.map(|limit| format!(" ({limit})")).unwrap_or_default();
            format!("fails from {} {noun}{limit}", decimal(locations, 0))
        }
    }
}

/// `Average`; counting locations needs no such word.
fn aggregation(criterion: &Criterion) -> Option<String> {
    let word = criterion.aggregation.as_deref().filter(|_| criterion.web_test.is_none())?;
    Some(text::clip(&text::one_line(word), 24)).filter(|word| !word.is_empty())
}

/// `Average CPU > 90 % over 5 min`.
fn condition(criterion: &Criterion, measure: &Measure, window: Option<&str>, dynamic: bool) -> String {
    let limit = measure.limit(criterion).map(|limit| match limit.split_once(' ') {
        Some((sign, value)) if dynamic => format!("{sign} expected {value}"),
        _ => limit,
    });
    let over = window.map(|window| format!("over {}", text::duration(window)));
    [aggregation(criterion), Some(measure.name.clone()), limit, over]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

/// `CPU: average 97.2 % over 5 min, limit > 90 %`, or `…, expected by Azure ≤ 6.28`.
fn metric_line(
    notification: &Notification,
    criterion: &Criterion,
    measure: &Measure,
    window: Option<&str>,
    bound: Bound,
) -> String {
    let mut words = vec![format!("{}:", text::clip(&measure.name, 80))];
    if let Some(value) = criterion.value {
        words.extend(aggregation(criterion).map(|word| word.to_lowercase()));
        words.push(measure.number(value, 0));
    } else {
        words.push(match notification.condition {
            Condition::Fired => "no value sent".to_owned(),
            Condition::Resolved => "back to normal".to_owned(),
        });
    }
    words.extend(window.map(|window| format!("over {}", text::duration(window))));
    let line = words.join(" ");
    match (measure.expected(criterion, bound), measure.limit(criterion)) {
        (Some(expected), _) if bound != Bound::Set => format!("{line}, expected by Azure {expected}"),
        (_, Some(limit)) => format!("{line}, limit {limit}"),
        (_, None) => line,
    }
}

fn failing_periods(criterion: &Criterion) -> Option<String> {
    criterion
        .failing_periods
        .filter(|(_, evaluated)| *evaluated > 1)
        .map(|(failing, evaluated)| format!("Fires when {failing} of {evaluated} checks fail"))
}

/// Dimensions that name a resource say nothing new.
fn telling_dimensions(criterion: &Criterion) -> impl Iterator<Item = &(String, String)> {
    criterion.dimensions.iter().filter(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        let of_resource = matches!(
            lower.as_str(),
            "resourceid"
                | "_resourceid"
                | "microsoft.resourceid"
                | "microsoft.resourcetype"
                | "microsoft.resourcegroup"
        );
        !of_resource && !value.trim().is_empty() && value != "*"
    })
}

/// `(PutBlob, ServerBusyError)`: one or two short values that the title does not name otherwise.
fn dimensions_in_title(notification: &Notification, criterion: &Criterion) -> Option<String> {
    let named = place(notification).unwrap_or_default().to_lowercase();
    let values: Vec<String> = telling_dimensions(criterion)
        .map(|(_, value)| text::one_line(value))
        .filter(|value| !named.contains(&value.to_lowercase()))
        .collect();
    let shown = values.join(", ");
    ((1..=2).contains(&values.len()) && shown.chars().count() <= 28).then(|| format!("({shown})"))
}

fn dimension_lines(criterion: &Criterion) -> Vec<String> {
    telling_dimensions(criterion).take(DIMENSIONS_SHOWN).map(|(name, value)| text::fact(name, value, 120)).collect()
}

pub(super) fn log(
    notification: &Notification,
    criteria: &[Criterion],
    window: Option<&str>,
    query: Option<&str>,
    link: Option<&String>,
    rows: &[Vec<(String, String)>],
) -> Said {
    let mut said =
        Said { severity: notification.severity, joint: ": ", lead: subject(notification), ..Said::default() };
    let fires = notification.condition == Condition::Fired;
    said.link = link.map(|link| ("Results", link.clone()));
    if let Some(first) = criteria.first() {
        let found = found(first);
        let within = window.map(|window| format!(" in {}", text::duration(window))).unwrap_or_default();
        // Without a threshold the rows themselves are the matter.
        let telling = rows.first().filter(|_| first.threshold.is_none()).and_then(|row| telling(row));
        let one = telling.is_some() && first.value.is_some_and(|value| value.total_cmp(&1.0).is_eq());
        if !found.is_empty() && !one {
            said.lines.push(text::capitalised(&format!("{found}{within}")));
        }
        if let Some(telling) = telling {
            said.more = telling;
            said.joint = " ";
            said.fact = if one || found.is_empty() { String::new() } else { format!("({found})") };
        } else {
            said.fact = [Some(found), dimensions_in_title(notification, first)]
                .into_iter()
                .flatten()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" ");
        }
        said.condition = log_condition(first).map(|condition| format!("{condition}{within}"));
        said.lines.extend(failing_periods(first).filter(|_| fires));
        said.lines.extend(dimension_lines(first));
    }
    if fires {
        said.lines.extend(rows.iter().take(1).flat_map(|row| row_lines(row, criteria.first())));
        said.lines.extend(query.map(|query| text::fact("Query", query, 300)));
    }
    said
}

fn rows() -> Measure {
    Measure::of("Rows", None)
}

/// What a log alert measures: a column, an aggregate of one, or the rows.
fn log_measure(criterion: &Criterion) -> Option<Measure> {
    if let Some(metric) = &criterion.metric {
        return Some(Measure::of(metric, criterion.unit.as_deref()));
    }
    let aggregation = criterion.aggregation.as_deref()?;
    (!aggregation.eq_ignore_ascii_case("count")).then(|| Measure::of(aggregation, None))
}

/// `17 rows > 5`, `Free Space 3.41 % < 10 %`.
fn found(criterion: &Criterion) -> String {
    if let Some(measure) = log_measure(criterion) {
        let comparison = measure.comparison(criterion, Bound::Set).unwrap_or_default();
        return format!("{} {comparison}", text::clip(&measure.name, 24)).trim().to_owned();
    }
    let comparison = rows().comparison(criterion, Bound::Set).unwrap_or_default();
    let Some(value) = criterion.value else {
        return if comparison.is_empty() { comparison } else { format!("rows {comparison}") };
    };
    let noun = if value.total_cmp(&1.0).is_eq() { "row" } else { "rows" };
    let number = decimal(value, 0);
    let rest = comparison.strip_prefix(number.as_str()).unwrap_or_default();
    format!("{number} {noun}{rest}")
}

fn log_condition(criterion: &Criterion) -> Option<String> {
    let measure = log_measure(criterion).unwrap_or_else(rows);
    measure.limit(criterion).map(|limit| format!("{} {limit}", text::clip(&measure.name, 40)))
}

/// What the row says in words: the column whose name promises it, else the first that is no time, number, id or link.
fn telling(row: &[(String, String)]) -> Option<String> {
    let said = || row.iter().filter(|(_, value)| has_words(value));
    TELLING
        .iter()
        .find_map(|word| said().find(|(name, _)| name.to_ascii_lowercase().contains(word)))
        .or_else(|| said().next())
        .map(|(_, value)| text::one_line(value))
}

fn has_words(value: &str) -> bool {
    let value = value.trim();
    value.chars().filter(|c| c.is_alphabetic()).count() > 2
        && !value.starts_with(['/', '{', '['])
        && !text::is_web_address(value)
        && Timestamp::parse(value).is_none()
        && value.parse::<f64>().is_err()
        && uuid::Uuid::try_parse(value).is_err()
}

/// The first row that the query found, a column a line; not the one that is measured.
fn row_lines<'r>(row: &'r [(String, String)], criterion: Option<&Criterion>) -> impl Iterator<Item = String> + 'r {
    let measured = criterion.and_then(|criterion| criterion.metric.clone());
    row.iter()
        .filter(move |(name, _)| measured.as_ref() != Some(name))
        .take(DIMENSIONS_SHOWN)
        .map(|(name, value)| text::fact(name, &text::with_time(value), 160))
}
