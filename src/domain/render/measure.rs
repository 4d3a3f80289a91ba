//! A measured value against its threshold, in the units and words of a person: `CPU 97.2 % > 90 %`.

use super::text;
use crate::domain::event::Criterion;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Plain,
    Percent,
    Bytes,
    Milliseconds,
    Seconds,
}

/// Whose the threshold is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// A person's.
    Set,
    /// Azure's own expectation, which the value left.
    Left,
    /// Azure's own expectation, to which the value came back.
    Kept,
}

/// What is measured: its name for people, its unit, and whether it is counted per second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measure {
    pub(super) name: String,
    unit: Unit,
    per_second: bool,
}

/// Metrics whose own names mislead or do not tell the unit:
/// <https://learn.microsoft.com/azure/azure-monitor/reference/metrics-index>.
const KNOWN: [(&str, &str, Unit); 21] = [
    ("requests/duration", "Request duration", Unit::Milliseconds),
    ("requests/failed", "Failed requests", Unit::Plain),
    ("requests/count", "Requests", Unit::Plain),
    ("requests/rate", "Request rate", Unit::Plain),
    ("dependencies/duration", "Dependency duration", Unit::Milliseconds),
    ("dependencies/failed", "Failed dependencies", Unit::Plain),
    ("exceptions/count", "Exceptions", Unit::Plain),
    ("exceptions/server", "Server exceptions", Unit::Plain),
    ("availabilityresults/availabilitypercentage", "Availability", Unit::Percent),
    ("availabilityresults/duration", "Web test duration", Unit::Milliseconds),
    ("performancecounters/processcpupercentage", "Process CPU", Unit::Percent),
    ("performancecounters/memoryavailablebytes", "Available memory", Unit::Bytes),
    ("successe2elatency", "End-to-end latency", Unit::Milliseconds),
    ("successserverlatency", "Server latency", Unit::Milliseconds),
    ("httpresponsetime", "Response time", Unit::Seconds),
    ("averageresponsetime", "Response time", Unit::Seconds),
    ("vmavailabilitymetric", "VM availability", Unit::Plain),
    ("http5xx", "HTTP 5xx", Unit::Plain),
    ("http4xx", "HTTP 4xx", Unit::Plain),
    ("availability", "Availability", Unit::Percent),
    ("usedcapacity", "Used capacity", Unit::Bytes),
];

/// Words that are written in capitals.
const ACRONYMS: [&str; 17] = [
    "cpu", "dtu", "http", "https", "io", "ip", "sql", "vm", "url", "api", "tcp", "udp", "dns", "os", "dwu", "ru", "tls",
];

impl Measure {
    /// Reads name and unit out of a metric's name; `unit` is Azure's own word for it, where there is one.
    pub(super) fn of(metric: &str, unit: Option<&str>) -> Self {
        let lower = metric.trim().to_ascii_lowercase();
        if let Some((_, name, unit)) = KNOWN.iter().find(|(known, ..)| *known == lower) {
            return Self { name: (*name).to_owned(), unit: *unit, per_second: false };
        }
        let mut words = text::split_words(metric);
        let mut taken = Self { name: String::new(), unit: Unit::Plain, per_second: false };
        taken.take_rate(&mut words);
        taken.take_unit(&mut words);
        match unit.unwrap_or_default().to_ascii_lowercase().as_str() {
            "percent" => taken.unit = Unit::Percent,
            "bytes" => taken.unit = Unit::Bytes,
            "bytespersecond" => (taken.unit, taken.per_second) = (Unit::Bytes, true),
            "countpersecond" => taken.per_second = true,
            "milliseconds" => taken.unit = Unit::Milliseconds,
            "seconds" => taken.unit = Unit::Seconds,
            _ => {}
        }
        let words: Vec<String> = words.iter().map(|word| spelled(word)).collect();
        taken.name = text::capitalised(&words.join(" "));
        taken
    }

    /// `Bytes/sec`, `Operations Per Second`.
    fn take_rate(&mut self, words: &mut Vec<String>) {
        let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
        let tail = match lower.as_slice() {
            [_, .., per, second] if per == "per" && matches!(second.as_str(), "second" | "sec") => 2,
            [_, .., second] if second == "sec" => 1,
            _ => return,
        };
        words.truncate(words.len().saturating_sub(tail));
        self.per_second = true;
    }

    fn take_unit(&mut self, words: &mut Vec<String>) {
        let unit = words.iter().position(|word| unit_of(word) != Unit::Plain);
        let Some(at) = unit else { return };
        self.unit = words.get(at).map_or(Unit::Plain, |word| unit_of(word));
        // `Percentage` alone is a poor name, and yet the only one.
        if words.len() > 1 {
            words.remove(at);
        }
    }

    /// The value and the threshold as texts, with digits enough to tell them apart.
    fn pair(&self, value: f64, threshold: f64) -> (String, String) {
        for more in 0..6 {
            let (left, right) = (self.number(value, more), self.number(threshold, more));
            if left != right || value.total_cmp(&threshold).is_eq() {
                return (left, right);
            }
        }
        (self.number(value, 6), self.number(threshold, 6))
    }

    /// A value with its unit; `more` digits than usual.
    pub(super) fn number(&self, value: f64, more: usize) -> String {
        let rate = if self.per_second { "/s" } else { "" };
        match self.unit {
            Unit::Plain => format!("{}{rate}", decimal(value, more)),
            Unit::Percent => format!("{} %", decimal(value, more)),
            Unit::Bytes => format!("{}{rate}", bytes(value, more)),
            Unit::Milliseconds if value.abs() >= 10_000.0 => format!("{} s", decimal(value / 1_000.0, more)),
            Unit::Milliseconds => format!("{} ms", decimal(value, more)),
            Unit::Seconds => format!("{} s", decimal(value, more)),
        }
    }

    /// `> 90 %`: the threshold with its operator, without a value.
    pub(super) fn limit(&self, criterion: &Criterion) -> Option<String> {
        let threshold = criterion.threshold.as_deref()?;
        let shown = read(threshold).map_or_else(|| text::clip(threshold, 24), |number| self.number(number, 0));
        let sign = criterion.operator.as_deref().and_then(sign).unwrap_or("limit");
        Some(format!("{sign} {shown}"))
    }

    /// `97.2 % > 90 %`. A comparison that does not hold, as in a resolved alert, is not written as one:
    /// `12 % (limit > 90 %)`, and `2 (expected ≤ 6.28)` where the limit is Azure's own expectation.
    pub(super) fn comparison(&self, criterion: &Criterion, bound: Bound) -> Option<String> {
        let Some(value) = criterion.value else {
            return self.limit(criterion);
        };
        let Some(threshold) = criterion.threshold.as_deref().and_then(read) else {
            return Some(self.number(value, 0));
        };
        let (shown, limit) = self.pair(value, threshold);
        let sign = criterion.operator.as_deref().and_then(sign);
        let holding = sign.and_then(|sign| holds(sign, value, threshold));
        Some(match (bound, holding, sign) {
            (Bound::Set, Some(sign), _) => format!("{shown} {sign} {limit}"),
            (Bound::Left, Some(sign), _) => format!("{shown} {sign} expected {limit}"),
            (Bound::Set, None, Some(sign)) => format!("{shown} (limit {sign} {limit})"),
            (Bound::Left | Bound::Kept, _, Some(sign)) => match opposite(sign) {
                Some(sign) => format!("{shown} (expected {sign} {limit})"),
                None => format!("{shown} (limit {limit})"),
            },
            (_, _, None) => format!("{shown} (limit {limit})"),
        })
    }

    /// `≤ 6.28`: what Azure expected, without the value that left it.
    pub(super) fn expected(&self, criterion: &Criterion, bound: Bound) -> Option<String> {
        let threshold = criterion.threshold.as_deref().and_then(read)?;
        let sign = criterion.operator.as_deref().and_then(sign)?;
        // Which of the two bounds was left shows in the value alone.
        let left = match criterion.value {
            Some(value) if bound == Bound::Left => holds(sign, value, threshold).unwrap_or(sign),
            _ => sign,
        };
        Some(format!("{} {}", opposite(left)?, self.number(threshold, 0)))
    }
}

fn unit_of(word: &str) -> Unit {
    match word.to_ascii_lowercase().trim_matches(['(', ')']) {
        "percent" | "percentage" | "%" => Unit::Percent,
        "bytes" => Unit::Bytes,
        "milliseconds" | "ms" => Unit::Milliseconds,
        "seconds" => Unit::Seconds,
        _ => Unit::Plain,
    }
}

fn spelled(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    if ACRONYMS.contains(&lower.as_str()) { lower.to_ascii_uppercase() } else { word.to_owned() }
}

/// A threshold comes as a string.
pub(super) fn read(text: &str) -> Option<f64> {
    text.trim().replace(',', "").parse().ok().filter(|number: &f64| number.is_finite())
}

/// The operator's sign, as people write it.
pub(super) fn sign(operator: &str) -> Option<&'static str> {
    let plain: String = operator.chars().filter(char::is_ascii_alphabetic).collect();
    match plain.to_ascii_lowercase().as_str() {
        "greaterthan" => Some(">"),
        "greaterthanorequal" | "greaterorequal" | "greaterthanorequalto" => Some("≥"),
        "lessthan" => Some("<"),
        "lessthanorequal" | "lessorequal" | "lessthanorequalto" => Some("≤"),
        "equal" | "equals" | "equalto" => Some("="),
        "notequal" | "notequals" | "notequalto" => Some("≠"),
        "greaterorlessthan" => Some("≷"),
        _ => None,
    }
}

/// What holds where the comparison does not; `None` where there are two bounds.
fn opposite(sign: &str) -> Option<&'static str> {
    match sign {
        ">" => Some("≤"),
        "≥" => Some("<"),
        "<" => Some("≥"),
        "≤" => Some(">"),
        "=" => Some("≠"),
        "≠" => Some("="),
        _ => None,
    }
}

/// The sign to write between value and threshold, if the comparison is true.
pub(super) fn holds(sign: &'static str, value: f64, threshold: f64) -> Option<&'static str> {
    let order = value.total_cmp(&threshold);
    let true_now = match sign {
        ">" => order.is_gt(),
        "≥" => order.is_ge(),
        "<" => order.is_lt(),
        "≤" => order.is_le(),
        "=" => order.is_eq(),
        "≠" => order.is_ne(),
        _ => return if order.is_gt() { Some(">") } else { order.is_lt().then_some("<") },
    };
    true_now.then_some(sign)
}

/// Three significant digits at least, no trailing zeros, thousands set off.
pub(super) fn decimal(value: f64, more: usize) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size.fract() == 0.0 || size >= 1_000.0 => 0,
        _ if size >= 10.0 => 1,
        _ if size >= 0.1 => 2,
        _ if size >= 0.001 => 4,
        _ => 6,
    };
    if size >= 1e15 || (size > 0.0 && size < 0.000_001) {
        return format!("{value:.2e}");
    }
    // Many values are whole, which is written faster than rounded.
    let fixed = if size.fract() == 0.0 { value.to_string() } else { format!("{value:.*}", decimals + more) };
    let (whole, fraction) = fixed.split_once('.').unwrap_or((&fixed, ""));
    let fraction = fraction.trim_end_matches('0');
    let whole = grouped(whole);
    let whole = if whole == "-0" && fraction.is_empty() { "0".to_owned() } else { whole };
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

fn grouped(digits: &str) -> String {
    let (minus, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut out = String::from(minus);
    let count = digits.chars().count();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && count.saturating_sub(at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// In steps of 1,024, as the portal shows memory and disks.
fn bytes(value: f64, more: usize) -> String {
    let mut size = value;
    let mut unit = "B";
    for next in ["KB", "MB", "GB", "TB", "PB"] {
        if size.abs() < 1_024.0 {
            break;
        }
        size /= 1_024.0;
        unit = next;
    }
    format!("{} {unit}", decimal(size, more))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criterion(operator: &str, value: f64, threshold: &str) -> Criterion {
        Criterion {
            operator: Some(operator.to_owned()),
            value: Some(value),
            threshold: Some(threshold.to_owned()),
            ..Criterion::default()
        }
    }

    #[test]
    fn names_and_units_are_read_out_of_metric_names() {
        for (metric, operator, value, threshold, shown) in [
            ("Percentage CPU", "GreaterThan", 97.23, "90", "CPU 97.2 % > 90 %"),
            ("cpu_percent", "GreaterThan", 90.04, "90", "CPU 90.04 % > 90 %"),
            ("dtu_consumption_percent", "GreaterThanOrEqual", 95.0, "95.0", "DTU consumption 95 % ≥ 95 %"),
            ("Available Memory Bytes", "LessThan", 536_870_912.0, "1073741824", "Available Memory 512 MB < 1 GB"),
            ("Disk Read Bytes/sec", "GreaterThan", 2_097_152.0, "1048576", "Disk Read 2 MB/s > 1 MB/s"),
            ("Disk Read Operations/Sec", "GreaterThan", 612.5, "500", "Disk Read Operations 612.5/s > 500/s"),
            ("requests/duration", "GreaterThan", 12_345.0, "3000", "Request duration 12.3 s > 3,000 ms"),
            ("SuccessE2ELatency", "GreaterThan", 812.4, "500", "End-to-end latency 812.4 ms > 500 ms"),
            ("Transactions", "GreaterThan", 1_234_567.0, "1000000", "Transactions 1,234,567 > 1,000,000"),
            ("Percentage CPU", "GreaterThan", 7.727, "25", "CPU 7.73 % (limit > 25 %)"),
            ("FailedRequests", "Sideways", 3.0, "2", "Failed Requests 3 (limit 2)"),
            ("Transactions", "GreaterThan", 2.222_222e21, "5", "Transactions 2.22e21 > 5"),
            ("Percentage", "LessThan", 0.000_4, "1", "Percentage 0.0004 % < 1 %"),
        ] {
            let measure = Measure::of(metric, None);
            let comparison = measure.comparison(&criterion(operator, value, threshold), Bound::Set).unwrap();
            assert_eq!(format!("{} {comparison}", measure.name), shown);
        }
    }

    #[test]
    fn dynamic_bounds_are_expectations() {
        let measure = Measure::of("Requests", None);
        let shown = |operator, value, bound| {
            let criterion = criterion(operator, value, "800");
            (measure.comparison(&criterion, bound).unwrap(), measure.expected(&criterion, bound).unwrap_or_default())
        };
        for (operator, value, bound, comparison, expected) in [
            ("GreaterThan", 1_240.0, Bound::Left, "1,240 > expected 800", "≤ 800"),
            ("GreaterThan", 12.0, Bound::Kept, "12 (expected ≤ 800)", "≤ 800"),
            ("LessThan", 12.0, Bound::Left, "12 < expected 800", "≥ 800"),
            ("LessThan", 900.0, Bound::Kept, "900 (expected ≥ 800)", "≥ 800"),
            // Two bounds, of which Azure tells one.
            ("GreaterOrLessThan", 1_240.0, Bound::Left, "1,240 > expected 800", "≤ 800"),
            ("GreaterOrLessThan", 12.0, Bound::Left, "12 < expected 800", "≥ 800"),
            ("GreaterOrLessThan", 12.0, Bound::Kept, "12 (limit 800)", ""),
        ] {
            assert_eq!(shown(operator, value, bound), (comparison.to_owned(), expected.to_owned()));
        }
    }

    #[test]
    fn missing_parts_leave_the_rest() {
        let measure = Measure::of("Percentage CPU", None);
        let no_value = Criterion { value: None, ..criterion("GreaterThan", 0.0, "90") };
        assert_eq!(measure.comparison(&no_value, Bound::Set).as_deref(), Some("> 90 %"));
        let no_threshold = Criterion { threshold: None, ..criterion("GreaterThan", 97.0, "") };
        assert_eq!(measure.comparison(&no_threshold, Bound::Set).as_deref(), Some("97 %"));
        assert_eq!(measure.comparison(&Criterion::default(), Bound::Set), None);
    }

    #[test]
    fn azures_own_unit_wins() {
        let measure = Measure::of("Load", Some("Percent"));
        assert_eq!(measure.number(12.0, 0), "12 %");
    }
}
