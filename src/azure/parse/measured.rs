//! Contexts that compare a measured value with a threshold: metric alerts, and log alerts of all generations.

use crate::domain::event::{Criterion, Detail};
use crate::lenient::{self, Json, Object, cut};

/// A query is cut: the link to its results is worth more than its end.
const QUERY_CHARS: usize = 1_024;
const CRITERIA: usize = 10;
const DIMENSIONS: usize = 20;
const ROWS: usize = 3;
const COLUMNS: usize = 8;
/// Rows of a table among which the measured value is looked for.
const ROWS_READ: usize = 1_000;
/// The column that the query of a rule of the kind `Metric measurement` has to give.
const MEASURED: &str = "AggregatedValue";

/// `{conditionType, condition: {windowSize, allOf: […]}}`.
pub(super) fn condition(context: &Object<'_>) -> Detail {
    let condition = context.object("condition");
    let kind = context.text("conditionType").unwrap_or_default();
    let lines = condition.list("allOf");
    let lines: Vec<Object<'_>> = lines.iter().filter_map(|line| Object::of(line)).collect();
    let window = condition.text("windowSize");
    let criteria = lines.iter().take(CRITERIA).map(criterion).collect();
    if kind.eq_ignore_ascii_case("LogQueryCriteria") || lines.iter().any(|line| line.has("searchQuery")) {
        let first = lines.first().cloned().unwrap_or_else(Object::empty);
        return Detail::Log {
            criteria,
            window,
            query: first.text("searchQuery").map(|query| cut(&query, QUERY_CHARS)),
            link: results_link(&first),
            rows: simple_rows(&first),
        };
    }
    let dynamic =
        kind.to_ascii_lowercase().contains("dynamic") || lines.iter().any(|line| line.has("alertSensitivity"));
    Detail::Metric { criteria, window, dynamic }
}

/// The context of an older metric alert: lines under `allOf`, or a single condition with its window in minutes.
pub(super) fn metric_or_log(context: &Object<'_>) -> Detail {
    let single = context.object("condition");
    if single.is_empty() || single.has("allOf") {
        return condition(context);
    }
    let window = single.text("windowSize");
    let minutes =
        window.as_deref().and_then(|window| window.parse::<u32>().ok()).map(|minutes| format!("PT{minutes}M"));
    Detail::Metric { criteria: vec![criterion(&single)], window: minutes.or(window), dynamic: false }
}

fn criterion(line: &Object<'_>) -> Criterion {
    let periods = line.object("failingPeriods");
    Criterion {
        metric: line.first_text(&["metricName", "metricMeasureColumn"]),
        namespace: line.text("metricNamespace"),
        web_test: line.text("webTestName"),
        operator: line.text("operator"),
        threshold: line.text("threshold"),
        aggregation: line.text("timeAggregation"),
        unit: line.text("metricUnit"),
        value: line.number("metricValue"),
        dimensions: dimensions(line, "dimensions"),
        failing_periods: periods
            .whole_number("minFailingPeriodsToAlert")
            .zip(periods.whole_number("numberOfEvaluationPeriods")),
    }
}

fn dimensions(object: &Object<'_>, name: &str) -> Vec<(String, String)> {
    object
        .pairs(name)
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (cut(&name, 128), cut(&value, 256)))
        .take(DIMENSIONS)
        .collect()
}

/// The `event` of a simple log alert: a list of rows, each a list of names and values.
fn simple_rows(line: &Object<'_>) -> Vec<Vec<(String, String)>> {
    let named = |row: &[Json<'_>]| -> Vec<(String, String)> {
        row.iter()
            .filter_map(lenient::pair)
            .filter(|(_, value)| !value.is_empty())
            .take(COLUMNS)
            .map(|(name, value)| (cut(&name, 128), cut(&value, 500)))
            .collect()
    };
    let rows = line.list("event");
    // A single row may come without the list around it.
    let flat: Vec<Json<'_>> = rows.iter().filter(|row| row.is_object()).map(|row| row.clone().into_owned()).collect();
    let nested = rows.iter().filter_map(|row| row.as_array()).map(named);
    nested.chain([named(&flat)]).filter(|row| !row.is_empty()).take(ROWS).collect()
}

fn results_link(object: &Object<'_>) -> Option<String> {
    ["linkToFilteredSearchResultsUI", "linkToSearchResultsUI", "linkToSearchResults"]
        .iter()
        .find_map(|name| object.link(name))
}

/// The flat context of the first log alerts, also as the body of their older payloads.
pub(super) fn log_v1(object: &Object<'_>) -> Detail {
    // `ResultCount` is compared with the threshold only where rows are counted.
    let measures = object.text("AlertType").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("metric"));
    let operator = object.first_text(&["Operator", "AlertThresholdOperator"]);
    let dimensions = dimensions(object, "Dimensions");
    let table = table(object);
    let measured = if measures { furthest(&table, &dimensions, operator.as_deref()) } else { None };
    let (value, rows) = match measured {
        Some((value, row)) => (Some(value), vec![row]),
        None => (object.number("ResultCount").filter(|_| !measures), table),
    };
    let criterion = Criterion {
        metric: measures.then(|| MEASURED.to_owned()),
        operator,
        threshold: object.first_text(&["Threshold", "AlertThresholdValue"]),
        aggregation: (!measures).then(|| "Count".to_owned()),
        value,
        dimensions,
        ..Criterion::default()
    };
    let seconds = object.whole_number("SearchIntervalInSeconds").or_else(|| {
        let start = object.time("SearchIntervalStartTimeUtc")?;
        let end = object.time("SearchIntervalEndtimeUtc")?;
        i64::try_from(end.since(start).as_secs()).ok()
    });
    Detail::Log {
        criteria: vec![criterion],
        window: seconds.filter(|seconds| *seconds > 0).map(|seconds| format!("PT{seconds}S")),
        query: object.text("SearchQuery").map(|query| cut(&query, QUERY_CHARS)),
        link: results_link(object),
        rows: rows.into_iter().map(shown).filter(|row| !row.is_empty()).take(ROWS).collect(),
    }
}

/// The measured value that is furthest beyond the threshold, with its row, among those of the alert's dimensions.
fn furthest(
    rows: &[Vec<(String, String)>],
    dimensions: &[(String, String)],
    operator: Option<&str>,
) -> Option<(f64, Vec<(String, String)>)> {
    let column = |row: &[(String, String)], name: &str| {
        row.iter().find(|(column, _)| column.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
    };
    let of_alert = |row: &&Vec<(String, String)>| {
        dimensions.iter().all(|(name, value)| column(row, name).is_none_or(|found| found == *value))
    };
    let below = operator.is_some_and(|operator| operator.to_ascii_lowercase().contains("less"));
    rows.iter()
        .filter(of_alert)
        .filter_map(|row| Some((column(row, MEASURED)?.parse().ok().filter(|value: &f64| value.is_finite())?, row)))
        .max_by(|(one, _), (other, _)| if below { other.total_cmp(one) } else { one.total_cmp(other) })
        .map(|(value, row)| (value, row.clone()))
}

/// The first rows of `SearchResults.tables[0]`: columns with names, rows without.
fn table(object: &Object<'_>) -> Vec<Vec<(String, String)>> {
    let results = ["SearchResults", "SearchResult"].into_iter().find(|name| object.has(name)).unwrap_or_default();
    let results = object.object(results);
    let tables = results.list("tables");
    let Some(table) = tables.first().and_then(|table| Object::of(table)) else {
        return Vec::new();
    };
    let columns = table.list("columns");
    let columns: Vec<Option<String>> =
        columns.iter().map(|column| Object::of(column).and_then(|column| column.text("name"))).collect();
    let named = |row: &Json<'_>| -> Vec<(String, String)> {
        let cells = row.as_array().unwrap_or_default();
        columns.iter().zip(cells).filter_map(|(name, cell)| Some((name.clone()?, lenient::text(cell)?))).collect()
    };
    table.list("rows").iter().take(ROWS_READ).map(|row| named(row)).collect()
}

fn shown(row: Vec<(String, String)>) -> Vec<(String, String)> {
    row.into_iter()
        .filter(|(name, _)| !matches!(name.as_str(), "$table" | "TenantId"))
        .take(COLUMNS)
        .map(|(name, value)| (cut(&name, 128), cut(&value, 500)))
        .collect()
}
