//! `alertContext`: which kind it is, and the kinds that need few lines.
//!
//! The shape decides before the name of the monitoring service does: the names are an open set, and new kinds of rule
//! have so far come in one of the known shapes.

use super::{activity, measured};
use crate::domain::event::Detail;
use crate::lenient::{Object, cut};

/// Most facts that are kept of a context of unknown form.
const FACTS: usize = 12;

pub(super) fn detail(service: Option<&str>, context: &Object<'_>) -> Detail {
    if context.is_empty() {
        return Detail::Other;
    }
    let service: String = service.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let service = service.to_ascii_lowercase();
    if context.object("condition").has("allOf") {
        return measured::condition(context);
    }
    if context.has("SearchQuery") || context.has("SearchIntervalStartTimeUtc") {
        return measured::log_v1(context);
    }
    if context.has("SmartDetectorId") || service == "smartdetector" {
        return smart_detector(context);
    }
    if context.has("AlertData") || service == "costalerts" {
        return budget(&context.object("AlertData"));
    }
    if service == "prometheus" || (context.has("expression") && context.has("labels")) {
        return prometheus(context);
    }
    if service.starts_with("activitylog")
        || service == "servicehealth"
        || service == "resourcehealth"
        || context.has("operationName")
        || context.has("eventSource")
    {
        return activity(Some(&service), context);
    }
    generic(context, &[])
}

/// An event of the activity log; `service` is the monitoring service in lower case without blanks and signs.
pub(super) fn activity(service: Option<&str>, event: &Object<'_>) -> Detail {
    let service = service.unwrap_or_default();
    let source = event.text("eventSource").unwrap_or_default().to_ascii_lowercase().replace(' ', "");
    let operation = event.text("operationName").unwrap_or_default().to_ascii_lowercase();
    let is = |name: &str| {
        service == name || source == name || operation.strip_prefix("microsoft.").is_some_and(|at| at.starts_with(name))
    };
    if is("servicehealth") {
        activity::service_health(event)
    } else if is("resourcehealth") {
        activity::resource_health(event)
    } else {
        activity::activity_log(service.strip_prefix("activitylog"), event)
    }
}

fn prometheus(context: &Object<'_>) -> Detail {
    let annotations = context.object("annotations");
    Detail::Prometheus {
        expression: context.text("expression"),
        value: context.text("expressionValue"),
        summary: annotations.text("summary"),
        description: annotations.first_text(&["description", "message"]),
        labels: context.object("labels").entries().into_iter().collect(),
        holds: context.text("for"),
        link: ["runbook_url", "runbook", "dashboard_url"].iter().find_map(|name| annotations.link(name)),
    }
}

fn smart_detector(context: &Object<'_>) -> Detail {
    Detail::SmartDetector {
        detector: context.first_text(&["SmartDetectorName", "SmartDetectorId"]),
        summary: context.text("DetectionSummary"),
        detected: context.text("DetectedValue"),
        normal: context.text("NormalValue"),
        occurred: context.first_text(&["FormattedOccurrenceTime", "AnalysisTimestamp"]),
    }
}

/// `AlertData` of a cost alert, and `data` of the older budget notification.
pub(super) fn budget(data: &Object<'_>) -> Detail {
    Detail::Budget {
        name: data.text("BudgetName"),
        forecast: data.text("ThresholdType").is_some_and(|kind| kind.to_ascii_lowercase().starts_with("forecast")),
        limit: data.first_text(&["BudgetThreshold", "Budget"]),
        threshold: data.text("NotificationThresholdAmount"),
        spent: data.first_text(&["SpentAmount", "SpendingAmount"]),
        forecast_total: data.text("ForecastedTotalForPeriod"),
        unit: data.text("Unit"),
        scope: data.text("Scope").or_else(|| {
            let named: Vec<String> =
                ["ResourceGroup", "SubscriptionName"].iter().filter_map(|name| data.text(name)).collect();
            (!named.is_empty()).then(|| named.join(", "))
        }),
    }
}

/// The members that have a text, but for those that stand elsewhere.
pub(super) fn generic(object: &Object<'_>, known: &[&str]) -> Detail {
    let facts: Vec<(String, String)> = object
        .entries()
        .into_iter()
        .filter(|(name, _)| !known.iter().chain(&["severity"]).any(|known| name.eq_ignore_ascii_case(known)))
        .take(FACTS)
        // A link is worthless when it is cut.
        .map(|(name, value)| if value.contains("://") { (name, value) } else { (name, cut(&value, 500)) })
        .collect();
    if facts.is_empty() { Detail::Other } else { Detail::Generic { facts } }
}
