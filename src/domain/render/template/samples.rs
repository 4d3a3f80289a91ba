//! One alert of each kind, for trying templates before a real one comes; all names invented.

use std::collections::BTreeMap;

use crate::domain::event::{Condition, Criterion, Detail, Notification, Severity};
use crate::domain::id::AlertId;
use crate::domain::timestamp::Timestamp;

const GROUP: &str = "/subscriptions/4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604/resourcegroups/rg-shop";
const ALERT: &str = "/subscriptions/4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604/providers/Microsoft.AlertsManagement/alerts/\
                     a1c3e5f7-0b2d-4c6e-8f90-1a3b5c7d9e02";

/// Each kind of `Detail`, with a name that people know; the last has nothing that it may be without.
pub(super) fn samples() -> Vec<(&'static str, Notification)> {
    vec![
        ("metric alert", alert("cpu-high", "Platform", "Metric", "vm-web-03", metric())),
        ("log alert", alert("failed-orders", "Log Alerts V2", "Log", "log-shop", log())),
        (
            "activity log alert",
            alert("vm-restarted", "Activity Log - Administrative", "Activity Log", "vm-web-03", activity_log()),
        ),
        ("service health alert", alert("azure-outage", "ServiceHealth", "Activity Log", "", service_health())),
        (
            "resource health alert",
            alert("vm-health", "Resource Health", "Activity Log", "vm-web-03", resource_health()),
        ),
        ("Prometheus alert", alert("pods-restarting", "Prometheus", "Metric", "aks-shop", prometheus())),
        ("smart detector alert", alert("failure-anomalies", "SmartDetector", "Log", "appi-shop", smart_detector())),
        ("budget alert", alert("monthly-budget", "CostAlerts", "Budget", "", budget())),
        (
            "alert of an unknown kind",
            alert(
                "something-new",
                "Something New",
                "Other",
                "thing-1",
                Detail::Generic { facts: pairs(&[("state", "bad")]) },
            ),
        ),
        ("alert without details", bare()),
    ]
}

fn alert(rule: &str, service: &str, signal: &str, item: &str, detail: Detail) -> Notification {
    let named = !item.is_empty();
    Notification {
        fired_at: Some(Timestamp::from_millis(1_795_489_200_000)),
        rule: some(rule),
        rule_id: some(&format!("{GROUP}/providers/microsoft.insights/metricalerts/{rule}")),
        severity: Some(Severity::Sev1),
        signal: some(signal),
        monitoring_service: some(service),
        targets: named.then(|| format!("{GROUP}/providers/microsoft.example/things/{item}")).into_iter().collect(),
        items: named.then(|| item.to_owned()).into_iter().collect(),
        description: some("Orders slow down."),
        detail,
        ..bare()
    }
}

fn bare() -> Notification {
    Notification {
        id: AlertId::parse(ALERT),
        condition: Condition::Fired,
        fired_at: None,
        resolved_at: None,
        rule: None,
        rule_id: None,
        severity: None,
        signal: None,
        monitoring_service: None,
        targets: Vec::new(),
        items: Vec::new(),
        description: None,
        custom: BTreeMap::new(),
        detail: Detail::Other,
        legacy: None,
        investigation_link: None,
        digest: String::new(),
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn metric() -> Detail {
    let criterion = Criterion {
        metric: some("Percentage CPU"),
        namespace: some("Microsoft.Compute/virtualMachines"),
        operator: some("GreaterThan"),
        threshold: some("90"),
        aggregation: some("Average"),
        value: Some(97.2),
        dimensions: pairs(&[("Instance", "web-1")]),
        ..Criterion::default()
    };
    Detail::Metric { criteria: vec![criterion], window: some("PT5M"), dynamic: false }
}

fn log() -> Detail {
    let criterion = Criterion {
        operator: some("GreaterThan"),
        threshold: some("5"),
        aggregation: some("Count"),
        value: Some(17.0),
        dimensions: pairs(&[("Region", "west")]),
        failing_periods: Some((1, 1)),
        ..Criterion::default()
    };
    Detail::Log {
        criteria: vec![criterion],
        window: some("PT15M"),
        query: some("orders | where failed"),
        link: some("https://portal.azure.com/#view/results"),
        rows: vec![pairs(&[("Order", "4711")])],
    }
}

fn activity_log() -> Detail {
    Detail::ActivityLog {
        category: some("Administrative"),
        operation: some("Microsoft.Compute/virtualMachines/restart/action"),
        status: some("Succeeded"),
        sub_status: None,
        level: some("Informational"),
        caller: some("jane.doe@example.com"),
        message: None,
        resource: some(&format!("{GROUP}/providers/Microsoft.Compute/virtualMachines/vm-web-03")),
        facts: pairs(&[("hierarchy", "shop")]),
    }
}

fn service_health() -> Detail {
    Detail::ServiceHealth {
        title: some("Virtual Machines in West Europe cannot be started"),
        service: some("Virtual Machines"),
        region: some("West Europe"),
        stage: some("Active"),
        status: some("Active"),
        incident_type: some("Incident"),
        tracking_id: some("AB1C-D2E"),
        impact_start: some("2026-11-24T02:40:00Z"),
        impact_end: None,
        communication: some("We are looking into it."),
    }
}

fn resource_health() -> Detail {
    Detail::ResourceHealth {
        title: some("Unavailable"),
        details: some("The machine was restarted by the platform."),
        current: some("Unavailable"),
        previous: some("Available"),
        cause: some("PlatformInitiated"),
        status: some("Active"),
    }
}

fn prometheus() -> Detail {
    Detail::Prometheus {
        expression: some("rate(restarts[5m]) > 0"),
        value: some("3"),
        summary: some("Pods restart"),
        description: None,
        labels: pairs(&[("pod", "web-1"), ("namespace", "shop")]).into_iter().collect(),
        holds: some("PT5M"),
        link: some("https://example.com/runbooks/pods"),
    }
}

fn smart_detector() -> Detail {
    Detail::SmartDetector {
        detector: some("Failure Anomalies"),
        summary: some("More requests fail than usual"),
        detected: some("12 % failed"),
        normal: some("0.3 % failed"),
        occurred: some("2026-11-24T02:55:00Z"),
    }
}

fn budget() -> Detail {
    Detail::Budget {
        name: some("shop"),
        forecast: false,
        limit: some("1000"),
        threshold: some("800"),
        spent: some("812.40"),
        forecast_total: None,
        unit: some("EUR"),
        scope: some(GROUP),
    }
}
