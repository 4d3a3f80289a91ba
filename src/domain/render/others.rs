//! Prometheus, smart detectors, budgets, and what we do not know.

use super::measure::decimal;
use super::{Said, subject, text};
use crate::domain::event::{Detail, Notification};

/// Most labels or facts that are shown.
const SHOWN: usize = 6;
/// Labels that say where, the nearest first.
const PLACES: [&str; 8] = ["pod", "deployment", "statefulset", "instance", "node", "namespace", "job", "cluster"];

pub(super) fn prometheus(notification: &Notification) -> Said {
    let Detail::Prometheus { expression, value, summary, description, labels, holds, link } = &notification.detail
    else {
        return Said::default();
    };
    let mut said = Said { shows_severity: true, ..Said::default() };
    let rule = subject(notification);
    let alert = rule.rsplit('/').next().unwrap_or(&rule);
    let label = |name: &str| {
        labels.iter().find(|(label, _)| label.eq_ignore_ascii_case(name)).map(|(_, value)| text::one_line(value))
    };
    let place = PLACES.iter().find_map(|name| label(name));
    let what = summary.as_deref().or(description.as_deref()).map(text::one_line);
    said.joint = ": ";
    said.fact = value.as_deref().map(number).filter(|_| what.is_none()).unwrap_or_default();
    said.lead = what.map_or_else(|| alert.to_owned(), |what| format!("{}: {what}", text::clip(alert, 40)));
    said.resource = place;
    said.condition = expression.as_deref().map(text::one_line);
    said.lines.extend(summary.as_deref().map(text::one_line));
    said.lines.extend(description.as_deref().map(|text| text::clip(text, 600)));
    said.lines.extend(value.as_deref().map(|value| format!("Value: {}", number(value))));
    said.lines.extend(text::stated("Expression", expression.as_deref()));
    said.lines.extend(holds.as_deref().map(|holds| format!("For: {}", text::duration(holds))));
    said.lines.extend(
        labels
            .iter()
            .filter(|(name, _)| !matches!(name.to_ascii_lowercase().as_str(), "alertname" | "severity"))
            .take(SHOWN)
            .map(|(name, value)| text::fact(name, value, 120)),
    );
    said.link = link.as_ref().map(|link| ("Runbook", link.clone()));
    said
}

/// `resultcount`, `#searchresultcount`, as the custom JSON of log alerts calls it.
fn counts_results(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    matches!(plain.to_ascii_lowercase().as_str(), "resultcount" | "searchresultcount")
}

/// `3 results`.
fn results(count: &str) -> Option<String> {
    let count: f64 = count.trim().parse().ok().filter(|count: &f64| count.is_finite())?;
    let noun = if count.total_cmp(&1.0).is_eq() { "result" } else { "results" };
    Some(format!("{} {noun}", decimal(count, 0)))
}

fn number(value: &str) -> String {
    // Prometheus' own templates write thousandths as `12.7m`.
    let thousandths = value.trim().strip_suffix('m').and_then(|number| number.parse::<f64>().ok());
    if let Some(number) = thousandths.filter(|number| number.is_finite()) {
        return decimal(number / 1_000.0, 0);
    }
    value.trim().parse::<f64>().map_or_else(|_| text::clip(&text::one_line(value), 24), |value| decimal(value, 0))
}

pub(super) fn smart_detector(notification: &Notification) -> Said {
    let Detail::SmartDetector { detector, summary, detected, normal, occurred } = &notification.detail else {
        return Said::default();
    };
    let shown = |text: &Option<String>| text.as_deref().map(text::one_line).filter(|text| !text.is_empty());
    let name = shown(detector).unwrap_or_else(|| subject(notification));
    let name = text::clip(name.trim_end_matches(" Detector").trim_end_matches("Detector"), 40);
    let mut said = Said { shows_severity: true, ..Said::default() };
    said.lead = match (shown(detected), shown(normal), shown(summary)) {
        (Some(detected), Some(normal), _) => {
            format!("{name}: {}, normally {}", text::clip(&detected, 28), text::clip(&normal, 20))
        }
        (Some(only), None, _) | (None, _, Some(only)) => format!("{name}: {only}"),
        (None, _, None) => name,
    };
    said.condition = match (shown(detected), shown(normal)) {
        (Some(detected), Some(normal)) => Some(format!("{detected}, normally {normal}")),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    };
    said.lines.extend(shown(summary));
    said.lines.extend(text::stated("Detected", detected.as_deref()));
    said.lines.extend(text::stated("Normally", normal.as_deref()));
    said.lines.extend(text::stated("Occurred", occurred.as_deref().map(text::with_time).as_deref()));
    said
}

pub(super) fn budget(notification: &Notification) -> Said {
    let Detail::Budget { name, forecast, limit, threshold, spent, forecast_total, unit, scope } = &notification.detail
    else {
        return Said::default();
    };
    let money = |amount: &Option<String>| amount.as_deref().map(|amount| with_unit(amount, unit.as_deref()));
    let name = name.as_deref().map_or_else(|| subject(notification), text::one_line);
    let reached = if *forecast { forecast_total.as_ref().or(spent.as_ref()) } else { spent.as_ref() }.cloned();
    let verb = if *forecast { "forecast" } else { "spent" };
    let mut said = Said { has_place: true, joint: ": ", ..Said::default() };
    said.lead = format!("Budget {}", text::clip(&name, 40));
    let fact = match (money(&reached), money(limit)) {
        (Some(reached), Some(limit)) => format!("{reached} {verb} of {limit}"),
        (Some(reached), None) => format!("{reached} {verb}"),
        (None, Some(limit)) => format!("limit {limit}"),
        (None, None) => String::new(),
    };
    let share = amount(reached.as_deref())
        .zip(amount(limit.as_deref()))
        .filter(|(_, limit)| *limit > 0.0)
        .map(|(reached, limit)| format!("({} %)", decimal((reached / limit * 100.0).round(), 0)));
    said.fact = [Some(fact), share].into_iter().flatten().collect::<Vec<_>>().join(" ");
    said.resource = Some(name);
    let kind = if *forecast { "Forecast cost" } else { "Actual cost" };
    said.condition =
        Some(money(threshold).map_or_else(|| kind.to_owned(), |threshold| format!("{kind} > {threshold}")));
    said.lines.extend(money(spent).map(|spent| format!("Spent: {spent}")));
    said.lines.extend(money(forecast_total).map(|total| format!("Forecast for the period: {total}")));
    said.lines.extend(money(limit).map(|limit| format!("Budget: {limit}")));
    said.lines.extend(money(threshold).map(|threshold| format!("Notifies at: {threshold}")));
    said.lines.extend(text::stated("Scope", scope.as_deref()));
    said
}

/// An amount as Azure wrote it; where it is a bare number, with thousands set off and its unit.
fn with_unit(amount: &str, unit: Option<&str>) -> String {
    let Some(number) = amount.trim().parse::<f64>().ok().filter(|number| number.is_finite()) else {
        return text::clip(text::one_line(amount).trim_end_matches(".00"), 24);
    };
    let cents = if number.fract() == 0.0 { decimal(number, 0) } else { two_places(number) };
    match unit.map(text::one_line) {
        Some(unit) => format!("{cents} {}", text::clip(&unit, 8)),
        None => cents,
    }
}

fn two_places(number: f64) -> String {
    let fixed = format!("{number:.2}");
    let (whole, fraction) = fixed.split_once('.').unwrap_or((&fixed, "00"));
    let whole = whole.parse::<f64>().map_or_else(|_| whole.to_owned(), |whole| decimal(whole, 0));
    format!("{whole}.{fraction}")
}

/// The number in `$11,111.00`.
fn amount(text: Option<&str>) -> Option<f64> {
    let digits: String = text?.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | '-')).collect();
    digits.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The essentials say it all, and what the context has in texts; its first link is worth opening.
pub(super) fn generic(notification: &Notification, facts: &[(String, String)]) -> Said {
    let mut said = Said { shows_severity: true, lead: subject(notification), ..Said::default() };
    said.link = facts.iter().find(|(_, value)| text::is_web_address(value)).map(|(_, link)| ("More", link.clone()));
    if let Some(found) = facts.iter().find(|(name, _)| counts_results(name)).and_then(|(_, count)| results(count)) {
        said.joint = ": ";
        said.fact = found;
    }
    said.lines.extend(
        facts
            .iter()
            .filter(|(_, value)| !text::is_web_address(value))
            .take(SHOWN)
            .map(|(name, value)| text::fact(name, &text::with_time(value), 160)),
    );
    said
}
