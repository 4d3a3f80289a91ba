//! What an alert is fired from: the rule, what it watches, and the target.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What fires: every field has a usable default, so that a person need only name what matters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertSpec {
    /// The alert's GUID; a random one if absent.
    pub id: Option<String>,
    /// The first known subscription if absent.
    pub subscription: Option<String>,
    pub resource_group: String,
    pub resource: String,
    /// `Microsoft.Compute/virtualMachines`
    pub resource_type: String,
    /// Whole ARM id of the target, in place of the one made from group, type and name.
    pub target: Option<String>,
    pub rule: String,
    pub description: String,
    /// 0 (critical) to 4 (verbose).
    pub severity: u8,
    pub signal: Signal,
    pub custom_properties: BTreeMap<String, String>,
    /// Suppressed by an alert processing rule: kept, and no webhook is sent.
    pub suppressed: bool,
}

impl Default for AlertSpec {
    fn default() -> Self {
        Self {
            id: None,
            subscription: None,
            resource_group: "rg-payments".to_owned(),
            resource: "vm-web-1".to_owned(),
            resource_type: "Microsoft.Compute/virtualMachines".to_owned(),
            target: None,
            rule: "CPU above 90 %".to_owned(),
            description: String::new(),
            severity: 1,
            signal: Signal::Metric(Metric::default()),
            custom_properties: BTreeMap::new(),
            suppressed: false,
        }
    }
}

impl AlertSpec {
    pub fn metric(rule: &str, resource: &str, metric: Metric) -> Self {
        Self { rule: rule.to_owned(), resource: resource.to_owned(), signal: Signal::Metric(metric), ..Self::default() }
    }

    pub fn log(rule: &str, workspace: &str, log: Log) -> Self {
        Self {
            rule: rule.to_owned(),
            resource: workspace.to_owned(),
            resource_type: "Microsoft.OperationalInsights/workspaces".to_owned(),
            signal: Signal::Log(log),
            ..Self::default()
        }
    }

    pub fn activity_log(rule: &str, resource: &str, activity: Activity) -> Self {
        Self {
            rule: rule.to_owned(),
            resource: resource.to_owned(),
            severity: 4,
            signal: Signal::ActivityLog(activity),
            ..Self::default()
        }
    }

    pub fn service_health(rule: &str, incident: Incident) -> Self {
        Self { rule: rule.to_owned(), severity: 4, signal: Signal::ServiceHealth(incident), ..Self::default() }
    }

    pub fn resource_health(rule: &str, resource: &str, health: Health) -> Self {
        Self {
            rule: rule.to_owned(),
            resource: resource.to_owned(),
            severity: 4,
            signal: Signal::ResourceHealth(health),
            ..Self::default()
        }
    }

    #[must_use]
    pub fn severity(mut self, severity: u8) -> Self {
        self.severity = severity;
        self
    }

    #[must_use]
    pub fn resource_group(mut self, name: &str) -> Self {
        name.clone_into(&mut self.resource_group);
        self
    }

    #[must_use]
    pub fn resource_type(mut self, name: &str) -> Self {
        name.clone_into(&mut self.resource_type);
        self
    }

    #[must_use]
    pub fn subscription(mut self, id: &str) -> Self {
        self.subscription = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn description(mut self, text: &str) -> Self {
        text.clone_into(&mut self.description);
        self
    }

    #[must_use]
    pub fn custom_property(mut self, name: &str, value: &str) -> Self {
        self.custom_properties.insert(name.to_owned(), value.to_owned());
        self
    }

    #[must_use]
    pub fn suppressed(mut self) -> Self {
        self.suppressed = true;
        self
    }
}

/// What an alert rule watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    Metric(Metric),
    Log(Log),
    ActivityLog(Activity),
    ServiceHealth(Incident),
    ResourceHealth(Health),
}

impl Signal {
    /// Stateless alerts never resolve: Azure fires them each time anew.
    pub fn is_stateful(&self) -> bool {
        match self {
            Self::Metric(_) | Self::Log(_) => true,
            Self::ActivityLog(_) | Self::ServiceHealth(_) | Self::ResourceHealth(_) => false,
        }
    }

    /// `essentials.signalType` of the webhook.
    pub(super) fn signal_type(&self) -> &'static str {
        match self {
            Self::Metric(_) => "Metric",
            Self::Log(_) => "Log",
            Self::ActivityLog(_) | Self::ServiceHealth(_) | Self::ResourceHealth(_) => "Activity Log",
        }
    }

    /// `essentials.monitoringService` of the webhook.
    pub(super) fn monitoring_service(&self) -> &'static str {
        match self {
            Self::Metric(_) => "Platform",
            Self::Log(_) => "Log Alerts V2",
            Self::ActivityLog(_) => "Activity Log - Administrative",
            Self::ServiceHealth(_) => "ServiceHealth",
            Self::ResourceHealth(_) => "Resource Health",
        }
    }

    /// `essentials.monitorService` of the REST API, which spells some services otherwise.
    pub(super) fn monitor_service(&self) -> &'static str {
        match self {
            Self::ActivityLog(_) => "ActivityLog Administrative",
            Self::Metric(_) | Self::Log(_) | Self::ServiceHealth(_) | Self::ResourceHealth(_) => {
                self.monitoring_service()
            }
        }
    }

    /// The type of the rule in `alertRuleId`.
    pub(super) fn rule_type(&self) -> &'static str {
        match self {
            Self::Metric(_) => "metricAlerts",
            Self::Log(_) => "scheduledQueryRules",
            Self::ActivityLog(_) | Self::ServiceHealth(_) | Self::ResourceHealth(_) => "activityLogAlerts",
        }
    }
}

/// A static threshold on a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metric {
    pub name: String,
    /// The resource type if absent.
    pub namespace: Option<String>,
    pub operator: String,
    pub threshold: f64,
    pub aggregation: String,
    pub value: f64,
    /// The value that a Resolved carries.
    pub resolved_value: f64,
    pub dimensions: BTreeMap<String, String>,
}

impl Default for Metric {
    fn default() -> Self {
        Self {
            name: "Percentage CPU".to_owned(),
            namespace: None,
            operator: "GreaterThan".to_owned(),
            threshold: 90.0,
            aggregation: "Average".to_owned(),
            value: 97.4,
            resolved_value: 41.2,
            dimensions: BTreeMap::new(),
        }
    }
}

/// A log search rule (API 2020 and later, `Log Alerts V2`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub query: String,
    pub operator: String,
    pub threshold: f64,
    pub value: f64,
    pub dimensions: BTreeMap<String, String>,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            query: "AppExceptions | where SeverityLevel >= 3".to_owned(),
            operator: "GreaterThan".to_owned(),
            threshold: 5.0,
            value: 12.0,
            dimensions: BTreeMap::new(),
        }
    }
}

/// An administrative operation in the activity log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Activity {
    pub operation: String,
    pub caller: String,
    pub status: String,
    pub level: String,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            operation: "Microsoft.Compute/virtualMachines/delete".to_owned(),
            caller: "jane.doe@example.com".to_owned(),
            status: "Succeeded".to_owned(),
            level: "Informational".to_owned(),
        }
    }
}

/// An Azure Service Health communication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Incident {
    pub title: String,
    pub service: String,
    pub region: String,
    /// HTML, as Azure writes it.
    pub communication: String,
    /// `Incident`, `Maintenance`, `Informational`, `ActionRequired`, `Security`
    pub incident_type: String,
    pub tracking_id: String,
    /// `Active`, `Resolved`, `Planned` …
    pub stage: String,
}

impl Default for Incident {
    fn default() -> Self {
        Self {
            title: "Connection failures in West Europe".to_owned(),
            service: "SQL Database".to_owned(),
            region: "West Europe".to_owned(),
            communication: "<p>Some connections to <strong>SQL Database</strong> may fail.</p>".to_owned(),
            incident_type: "Incident".to_owned(),
            tracking_id: "ABCD-123".to_owned(),
            stage: "Active".to_owned(),
        }
    }
}

/// A change of a resource's health; a recovery is an alert of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Health {
    pub title: String,
    pub details: String,
    pub current: String,
    pub previous: String,
    pub cause: String,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            title: "Unavailable: the host of the virtual machine is unhealthy".to_owned(),
            details: String::new(),
            current: "Unavailable".to_owned(),
            previous: "Available".to_owned(),
            cause: "PlatformInitiated".to_owned(),
        }
    }
}
