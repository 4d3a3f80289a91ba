//! The common alert schema: `data.essentials`, and the context beside it.

use std::collections::BTreeMap;

use super::{ParseError, context, subscription_of};
use crate::domain::event::{Condition, Detail, Notification, Severity};
use crate::domain::id::AlertId;
use crate::lenient::Object;

pub(super) const SCHEMA: &str = "azureMonitorCommonAlertSchema";
/// Most targets, items and custom properties that are kept.
const KEPT: usize = 20;

pub(super) fn notification(data: &Object<'_>) -> Result<Notification, ParseError> {
    let essentials = data.object("essentials");
    if essentials.is_empty() {
        return Err(ParseError::NoEssentials);
    }
    let context = data.object("alertContext");
    let targets: Vec<String> =
        essentials.texts("alertTargetIDs").into_iter().take(KEPT).map(|id| id.to_ascii_lowercase()).collect();
    let monitoring_service = essentials.text("monitoringService");
    let detail = context::detail(monitoring_service.as_deref(), &context);
    Ok(Notification {
        id: id(&essentials, &targets)?,
        condition: condition(essentials.text("monitorCondition").as_deref()),
        fired_at: essentials.time("firedDateTime"),
        resolved_at: essentials.time("resolvedDateTime"),
        rule: essentials.text("alertRule"),
        rule_id: essentials.text("alertRuleId").map(|id| id.to_ascii_lowercase()),
        severity: essentials.text("severity").and_then(|text| Severity::parse(&text)),
        signal: essentials.text("signalType"),
        monitoring_service,
        items: items(&essentials, &context),
        description: essentials.text("description"),
        custom: custom(data, &context, &detail),
        detail,
        legacy: None,
        investigation_link: essentials.link("investigationLink"),
        targets,
        digest: String::new(),
    })
}

/// What is affected. Log alerts of the first generation name only the first there, and all of them in their context.
fn items(essentials: &Object<'_>, context: &Object<'_>) -> Vec<String> {
    let name = |item: &str| item.rsplit('/').next().unwrap_or(item).to_lowercase();
    let mut items: Vec<String> = essentials.texts("configurationItems").into_iter().take(KEPT).collect();
    let affected = context.texts("AffectedConfigurationItems");
    // Where the first is not among them, they are something else, such as values of a dimension.
    let same = affected.iter().any(|item| items.first().is_some_and(|first| name(first) == name(item)));
    for item in affected.into_iter().filter(|_| same) {
        if items.len() < KEPT && !items.iter().any(|known| name(known) == name(&item)) {
            items.push(item);
        }
    }
    items
}

/// The id that Azure gave; where it is missing, one made of what is the same in Fired and Resolved.
fn id(essentials: &Object<'_>, targets: &[String]) -> Result<AlertId, ParseError> {
    if let Some(id) = essentials.text("alertId") {
        return Ok(AlertId::parse(&id));
    }
    let origin = essentials.text("originAlertId");
    let rule = essentials.first_text(&["alertRuleId", "alertRule"]);
    let target = targets.first().cloned();
    let parts: Vec<&str> = [&origin, &rule, &target].into_iter().flatten().map(String::as_str).collect();
    if parts.is_empty() {
        return Err(ParseError::NoAlertId);
    }
    let subscription = [&target, &rule].into_iter().flatten().find_map(|id| subscription_of(id));
    Ok(AlertId::derived(subscription, &parts))
}

/// `Fired` unless it says that it is over: a page too many is better than one too few.
pub(super) fn condition(text: Option<&str>) -> Condition {
    let over = ["Resolved", "Deactivated"];
    if text.is_some_and(|text| over.iter().any(|word| text.eq_ignore_ascii_case(word))) {
        Condition::Resolved
    } else {
        Condition::Fired
    }
}

/// Custom properties stand in a part of their own, in older deliveries only in the context of metric and log alerts.
fn custom(data: &Object<'_>, context: &Object<'_>, detail: &Detail) -> BTreeMap<String, String> {
    let own = data.object("customProperties");
    let in_context = context.object("properties");
    let pairs = match detail {
        Detail::Metric { .. } | Detail::Log { .. } if own.is_empty() => in_context.entries(),
        Detail::Metric { .. }
        | Detail::Log { .. }
        | Detail::ActivityLog { .. }
        | Detail::ServiceHealth { .. }
        | Detail::ResourceHealth { .. }
        | Detail::Prometheus { .. }
        | Detail::SmartDetector { .. }
        | Detail::Budget { .. }
        | Detail::Generic { .. }
        | Detail::Other => own.entries(),
    };
    pairs.into_iter().take(KEPT).collect()
}
