//! Prometheus, smart detectors, budgets, and what we do not know.

use super::measure::{self, decimal};
use super::title::subject;
use super::{Said, text};
use crate::domain::event::{Condition, Detail, Notification};

/// Most labels or facts that are shown.
const SHOWN: usize = 6;
/// Longest name of an item that stands in the title.
const ITEM_CHARS: usize = 28;
/// Labels that say where, the nearest first.
const PLACES: [&str; 8] = ["pod", "deployment", "statefulset", "instance", "node", "namespace", "job", "cluster"];

pub(super) fn prometheus(notification: &Notification) -> Said {
    let Detail::Prometheus { expression, value, summary, description, labels, holds, link } = &notification.detail
    else {
        return Said::default();
    };
    let mut said = Said { severity: notification.severity, ..Said::default() };
    let fires = notification.condition == Condition::Fired;
    let rule = subject(notification);
    let alert = rule.rsplit('/').next().unwrap_or(&rule);
    let label = |name: &str| {
        labels.iter().find(|(label, _)| label.eq_ignore_ascii_case(name)).map(|(_, value)| text::one_line(value))
    };
    let limit = expression.as_deref().and_then(limit);
    alert.clone_into(&mut said.lead);
    // The words are those of what fires, also when it is over.
    let words = summary.as_deref().or(description.as_deref()).filter(|_| fires).map(text::one_line);
    let compared = value.as_deref().map(|value| against(value, limit));
    (said.joint, said.fact) = match (compared, fires) {
        (Some(compared), true) if words.is_some() => {
            // `(6 > 3)`, `(0, limit > 3)`
            let within = compared.trim_end_matches(')').replacen(" (", ", ", 1);
            (" ", limit.map(|_| format!("({within})")).unwrap_or_default())
        }
        (Some(compared), true) => (": ", compared),
        (Some(compared), false) => (" ", compared),
        (None, _) => ("", String::new()),
    };
    said.more = words.map(|words| clean_start(&words, alert)).unwrap_or_default();
    said.resource = PLACES.iter().find_map(|name| label(name));
    said.condition = expression.as_deref().map(text::one_line);
    if fires {
        said.lines.extend(summary.as_deref().map(text::one_line));
        said.lines.extend(description.as_deref().map(|text| text::clip(text, 600)));
    }
    let limit_words = limit.map(|(sign, limit)| format!(", limit {sign} {}", decimal(limit, 0))).unwrap_or_default();
    said.lines.extend(value.as_deref().map(|value| format!("Value: {}{limit_words}", number(value))));
    if fires {
        // As a parameter it may have been cut.
        let long = said.condition.as_deref().is_some_and(|shown| shown.chars().count() > super::PARAMETER_CHARS);
        said.lines.extend(text::stated("Expression", expression.as_deref().filter(|_| long)));
        said.lines.extend(holds.as_deref().map(|holds| format!("Fires after {}", text::duration(holds))));
    }
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

/// Summaries often begin with the name of the alert again.
fn clean_start(words: &str, alert: &str) -> String {
    let start = words.get(..alert.len()).filter(|start| start.eq_ignore_ascii_case(alert));
    let rest = start.and_then(|_| words.get(alert.len()..)).unwrap_or(words);
    rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | ':')).to_owned()
}

/// `6 > 3`; `0 (limit > 3)` where the comparison does not hold; `6` without a limit.
fn against(value: &str, limit: Option<(&'static str, f64)>) -> String {
    let shown = number(value);
    let Some((sign, limit)) = limit else { return shown };
    let holding = of_prometheus(value).and_then(|value| measure::holds(sign, value, limit));
    match holding {
        Some(sign) => format!("{shown} {sign} {}", decimal(limit, 0)),
        None => format!("{shown} (limit {sign} {})", decimal(limit, 0)),
    }
}

/// The sign and the number of an expression that ends in a comparison with a number, and has no second condition:
/// `sum(rate(x{code=~"5.."}[5m])) > 3`. <https://prometheus.io/docs/prometheus/latest/querying/operators/>
fn limit(expression: &str) -> Option<(&'static str, f64)> {
    let (mut depth, mut quote, mut plain) = (0_u32, None, String::new());
    for c in expression.chars() {
        match (c, quote) {
            (_, Some(open)) => quote = (c != open).then_some(open),
            ('"' | '\'' | '`', None) => quote = Some(c),
            ('(' | '[' | '{', None) => depth = depth.saturating_add(1),
            (')' | ']' | '}', None) => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let words: Vec<&str> = plain.split_whitespace().collect();
    let second = words.iter().any(|word| matches!(word.to_ascii_lowercase().as_str(), "and" | "or" | "unless"));
    let at = plain.rfind(['<', '>', '='])?;
    let (left, number) = (plain.get(..=at)?, plain.get(at.saturating_add(1)..)?);
    let (left, sign) = [(">=", "≥"), ("<=", "≤"), ("==", "="), ("!=", "≠"), (">", ">"), ("<", "<")]
        .into_iter()
        .find_map(|(operator, sign)| left.strip_suffix(operator).map(|left| (left, sign)))?;
    let number = number.trim();
    let number = number.strip_prefix("bool").unwrap_or(number).trim().parse::<f64>().ok()?;
    (!second && !left.contains(['<', '>', '=']) && number.is_finite()).then_some((sign, number))
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
    of_prometheus(value).map_or_else(|| text::clip(&text::one_line(value), 24), |value| decimal(value, 0))
}

/// Prometheus' own templates write thousandths as `12.7m`.
fn of_prometheus(value: &str) -> Option<f64> {
    let value = value.trim();
    let (digits, part) = value.strip_suffix('m').map_or((value, 1.0), |digits| (digits, 1_000.0));
    digits.parse::<f64>().ok().map(|number| number / part).filter(|number| number.is_finite())
}

pub(super) fn smart_detector(notification: &Notification) -> Said {
    let Detail::SmartDetector { detector, summary, detected, normal, occurred } = &notification.detail else {
        return Said::default();
    };
    let shown = |text: &Option<String>| text.as_deref().map(text::one_line).filter(|text| !text.is_empty());
    let name = shown(detector).unwrap_or_else(|| subject(notification));
    let name = text::clip(name.trim_end_matches(" Detector").trim_end_matches("Detector"), 40);
    // The description is the same for all findings of this detector.
    let mut said =
        Said { severity: notification.severity, hides_description: shown(summary).is_some(), ..Said::default() };
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
    said.lines.extend(text::stated("Occurred", occurred.as_deref().map(text::with_time).as_deref()));
    said
}

pub(super) fn budget(notification: &Notification, portal: &str) -> Said {
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
    let share = amount(reached.as_deref())
        .zip(amount(limit.as_deref()))
        .filter(|(_, limit)| *limit > 0.0)
        .map(|(reached, limit)| decimal((reached / limit * 100.0).round(), 0));
    said.fact = match (money(&reached), money(limit), share) {
        (Some(reached), Some(limit), Some(share)) => format!("{reached} {verb}, {share} % of {limit}"),
        (Some(reached), Some(limit), None) => format!("{reached} {verb} of {limit}"),
        (Some(reached), None, _) => format!("{reached} {verb}"),
        (None, Some(limit), _) => format!("limit {limit}"),
        (None, None, _) => String::new(),
    };
    said.resource = Some(name);
    let kind = if *forecast { "Forecast cost" } else { "Actual cost" };
    said.condition =
        Some(money(threshold).map_or_else(|| kind.to_owned(), |threshold| format!("{kind} > {threshold}")));
    // What the title and the condition do not say.
    said.lines.extend(money(spent).filter(|_| *forecast).map(|spent| format!("Spent so far: {spent}")));
    let expected = money(forecast_total).filter(|_| !*forecast);
    said.lines.extend(expected.map(|total| format!("Forecast for the period: {total}")));
    said.lines.extend(text::stated("Scope", scope.as_deref().map(scope_words).as_deref()));
    said.scope = scope
        .as_deref()
        .filter(|scope| scope.to_ascii_lowercase().starts_with("/subscriptions/"))
        .map(|scope| scope.trim_end_matches('/').to_owned())
        .or_else(|| notification.id.subscription().map(|subscription| format!("/subscriptions/{subscription}")));
    // Budgets are watched in the public cloud's Cost Management, which remembers the scope that was looked at last.
    let public = portal.trim_end_matches('/') == "https://portal.azure.com";
    said.link = public.then(|| {
        ("Budgets", "https://portal.azure.com/#view/Microsoft_Azure_CostManagement/Menu/~/budgets".to_owned())
    });
    said
}

/// `resource group rg-shop, subscription 4b7d9c12-…`, the nearest first; what is no ARM id stays.
fn scope_words(scope: &str) -> String {
    if !scope.starts_with('/') {
        return text::one_line(scope);
    }
    let segments: Vec<&str> = scope.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut words = Vec::new();
    let mut left = segments.as_slice();
    while let [kind, rest @ ..] = left {
        // `/providers/Microsoft.Billing/billingAccounts/1`: the name of the provider tells nothing.
        if kind.eq_ignore_ascii_case("providers") {
            left = rest.get(1..).unwrap_or_default();
            continue;
        }
        let kind = text::split_words(kind).join(" ").to_lowercase();
        words.push(format!("{} {}", kind.trim_end_matches('s'), rest.first().copied().unwrap_or_default()));
        left = rest.get(1..).unwrap_or_default();
    }
    words.reverse();
    words.iter().map(|words| text::one_line(words)).collect::<Vec<_>>().join(", ")
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
    let mut said = Said { severity: notification.severity, lead: subject(notification), ..Said::default() };
    // A service that we do not know: its name says more than that of the rule.
    let service = notification.monitoring_service.as_deref().map(text::one_line).filter(|_| !facts.is_empty());
    if let Some(service) = service.filter(|service| !said.lead.to_lowercase().contains(&service.to_lowercase())) {
        said.lead = format!("{}: {}", text::clip(&service, 32), said.lead);
    }
    said.link = facts.iter().find(|(_, value)| text::is_web_address(value)).map(|(name, link)| {
        let of_query = name.to_ascii_lowercase().contains("result");
        (if of_query { "Results" } else { "More" }, link.clone())
    });
    let found = facts.iter().find(|(name, _)| counts_results(name)).and_then(|(_, count)| results(count));
    let item = facts.iter().find(|(name, value)| names_item(name) && value.chars().count() <= ITEM_CHARS);
    if let Some(found) = found {
        (said.joint, said.fact) = (": ", found);
    } else if let Some((_, item)) = item {
        (said.joint, said.fact) = (" ", format!("({})", text::one_line(item)));
    }
    said.lines.extend(
        facts
            .iter()
            .filter(|(name, value)| !text::is_web_address(value) && !counts_results(name))
            .take(SHOWN)
            .map(|(name, value)| text::fact(name, &text::with_time(value), 160)),
    );
    said
}

/// `backupItem`, `ProtectedItemName`: what it is about, and not merely where.
fn names_item(name: &str) -> bool {
    let words: Vec<String> = text::split_words(name).iter().map(|word| word.to_lowercase()).collect();
    let of_item = |word: &String| matches!(word.as_str(), "item" | "instance" | "entity" | "database" | "host" | "job");
    let last = words.iter().rev().find(|word| *word != "name");
    last.is_some_and(of_item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_comparisons_have_a_limit() {
        for (expression, found) in [
            ("sum(rate(errors{code=~\"5..\"}[5m])) > 3", Some((">", 3.0))),
            ("up == 0", Some(("=", 0.0))),
            ("a{x=\"b > 2\"} >= 0.5", Some(("≥", 0.5))),
            ("free/total<1e-2", Some(("<", 0.01))),
            ("x != bool 1", Some(("≠", 1.0))),
            ("avg by (node) (x) <= -1", Some(("≤", -1.0))),
            ("a > 3 and b < 2", None),
            ("(a > 3) or vector(1)", None),
            ("a > b", None),
            ("1 < a", None),
            ("3 > a > 1", None),
            ("a > 3 * b", None),
            ("absent(up)", None),
            ("a{x=\"unclosed > 2", None),
            ("", None),
        ] {
            assert_eq!(limit(expression), found, "{expression}");
        }
    }

    #[test]
    fn scopes_are_read_from_the_nearest() {
        for (scope, words) in [
            ("/subscriptions/4b7d/", "subscription 4b7d"),
            ("/subscriptions/4b7d/resourceGroups/rg-shop", "resource group rg-shop, subscription 4b7d"),
            ("/providers/Microsoft.Management/managementGroups/shop", "management group shop"),
            ("/providers/Microsoft.Billing/billingAccounts/12", "billing account 12"),
            ("rg-shop, contoso", "rg-shop, contoso"),
            ("/", ""),
        ] {
            assert_eq!(scope_words(scope), words);
        }
    }

    #[test]
    fn values_stand_against_limits() {
        assert_eq!(against("6", Some((">", 3.0))), "6 > 3");
        assert_eq!(against("0", Some((">", 3.0))), "0 (limit > 3)");
        assert_eq!(against("12.7m", Some((">", 0.01))), "0.0127 > 0.01");
        assert_eq!(against("NaN", Some((">", 3.0))), "NaN (limit > 3)");
        assert_eq!(against("6", None), "6");
    }

    #[test]
    fn names_of_items_are_told_from_other_facts() {
        for (name, is) in [("backupItem", true), ("ProtectedItemName", true), ("jobState", false), ("errorCode", false)]
        {
            assert_eq!(names_item(name), is, "{name}");
        }
    }
}
