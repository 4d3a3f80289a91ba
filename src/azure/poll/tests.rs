//! What a list says, and where it leads.

use reqwest::Url;
use serde_json::{Value, json};

use super::parse::{alert, list};
use super::{Next, follow};
use crate::azure::parse::parse as parse_webhook;
use crate::domain::delivery::AzureState;
use crate::domain::event::{Condition, Severity};
use crate::domain::timestamp::Timestamp;

const ARM: &str = "https://management.azure.com";
const SUB: &str = "9e261de7-c804-4b9d-9ebf-6f50fe350a9a";
const GUID: &str = "66114d64-d9d9-478b-95c9-b789d6502100";

fn entry() -> Value {
    json!({
        "name": "CPU above 90 %",
        "id": format!("/subscriptions/{SUB}/resourcegroups/rg/providers/microsoft.compute/virtualmachines/vm-1/providers/Microsoft.AlertsManagement/alerts/{GUID}"),
        "properties": {
            "context": {},
            "essentials": {
                "severity": "Sev1",
                "signalType": "Metric",
                "alertState": "Acknowledged",
                "monitorCondition": "Fired",
                "monitorService": "Platform",
                "targetResource": format!("/subscriptions/{SUB}/resourcegroups/rg/providers/microsoft.compute/virtualmachines/vm-1"),
                "targetResourceName": "vm-1",
                "alertRule": format!("/subscriptions/{SUB}/resourceGroups/rg/providers/microsoft.insights/metricAlerts/CPU above 90 %"),
                "startDateTime": "2026-11-24T03:00:00.1234567Z",
                "lastModifiedDateTime": "2026-11-24T03:05:00Z",
                "lastModifiedUserName": "anna@example.com",
                "actionStatus": { "isSuppressed": false },
                "description": "",
            },
        },
    })
}

#[test]
fn the_next_page_is_only_ever_on_the_server_that_was_asked() {
    for (link, arm, followed) in [
        ("https://management.azure.com:443/subscriptions/x?ctoken=%2bRID%3a", ARM, true),
        ("https://MANAGEMENT.azure.com/x", "https://management.azure.com:443", true),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080", true),
        ("http://management.azure.com/x", ARM, false),
        ("http://management.azure.com:443/x", ARM, false),
        ("https://management.azure.com:8443/x", ARM, false),
        ("https://management.azure.com.attacker.example/x", ARM, false),
        ("https://management.azure.com@attacker.example/x", ARM, false),
        ("https://user:pw@management.azure.com/x", ARM, false),
        ("//attacker.example/x", ARM, false),
        ("/subscriptions/x", ARM, false),
        ("javascript:alert(1)", ARM, false),
    ] {
        let expected = Url::parse(link).ok().filter(|_| followed).map(Next::Page);
        match (follow::next(Some(link), arm), expected) {
            (found, Some(expected)) => assert_eq!(found, expected, "{link}"),
            (found, None) => assert!(matches!(found, Next::Foreign(_)), "{link}: {found:?}"),
        }
    }
    for end in [None, Some(""), Some("  ")] {
        assert_eq!(follow::next(end, ARM), Next::End);
    }
    let link = "https://management.azure.com:443/x?ctoken=%2bRID%3aPlw%3d%3d%23RT";
    let Next::Page(url) = follow::next(Some(link), ARM) else { panic!("it is followed") };
    assert_eq!(url.query(), Some("ctoken=%2bRID%3aPlw%3d%3d%23RT"), "as it stands");
}

#[test]
fn the_same_alert_reads_the_same_as_by_webhook() {
    let reading = alert(entry().to_string().as_bytes()).unwrap();
    let target = format!("/subscriptions/{SUB}/resourcegroups/rg/providers/microsoft.compute/virtualmachines/vm-1");
    let webhook = parse_webhook(
        json!({ "schemaId": "azureMonitorCommonAlertSchema", "data": { "essentials": {
            "alertId": format!("/subscriptions/{SUB}/providers/Microsoft.AlertsManagement/alerts/{GUID}"),
            "alertRule": "CPU above 90 %",
            "alertRuleId": format!("/subscriptions/{SUB}/resourceGroups/rg/providers/microsoft.insights/metricAlerts/CPU above 90 %"),
            "severity": "Sev1", "signalType": "Metric", "monitorCondition": "Fired", "monitoringService": "Platform",
            "alertTargetIDs": [target], "configurationItems": ["vm-1"], "firedDateTime": "2026-11-24T03:00:00.1234567Z",
        }, "alertContext": {} } })
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    let polled = crate::domain::event::Notification { digest: webhook.digest.clone(), ..reading.notification.clone() };
    assert_eq!(polled.id.key(), webhook.id.key());
    assert_eq!(crate::domain::event::Notification { id: webhook.id.clone(), ..polled }, webhook);
    assert_eq!((reading.state, reading.suppressed), (AzureState::Acknowledged, false));
    assert_eq!(reading.modified_at, Timestamp::parse("2026-11-24T03:05:00Z"));
    assert_eq!(reading.modified_by.as_deref(), Some("anna@example.com"));
    let names = crate::domain::reading::rule_names(&webhook);
    assert!(reading.rules.iter().any(|rule| names.contains(rule)), "{:?} {names:?}", reading.rules);
}

#[test]
fn names_that_the_list_spells_otherwise_are_those_of_the_webhook() {
    for (service, signal, expected, expected_signal) in [
        ("ActivityLog Administrative", "Unknown", "Activity Log - Administrative", "Activity Log"),
        ("ServiceHealth", "Unknown", "ServiceHealth", "Activity Log"),
        ("Resource Health", "Unknown", "Resource Health", "Activity Log"),
        ("Log Alerts V2", "Log", "Log Alerts V2", "Log"),
    ] {
        let mut entry = entry();
        entry["properties"]["essentials"]["monitorService"] = json!(service);
        entry["properties"]["essentials"]["signalType"] = json!(signal);
        let notification = alert(entry.to_string().as_bytes()).unwrap().notification;
        assert_eq!(notification.monitoring_service.as_deref(), Some(expected));
        assert_eq!(notification.signal.as_deref(), Some(expected_signal));
    }
}

#[test]
fn everything_but_the_id_may_be_missing_or_of_another_type() {
    let bare = json!({ "id": entry()["id"], "properties": { "essentials": { "alertState": null, "x": 1 } } });
    let reading = alert(bare.to_string().as_bytes()).unwrap();
    assert_eq!((reading.state, reading.modified_at, reading.suppressed), (AzureState::New, None, false));
    assert_eq!(reading.notification.condition, Condition::Fired);

    let mut odd = entry();
    let essentials = &mut odd["properties"]["essentials"];
    essentials["severity"] = json!(1);
    essentials["alertState"] = json!("closed");
    essentials["actionStatus"] = json!({ "isSuppressed": "True" });
    essentials["lastModifiedDateTime"] = json!("11/24/2026 3:05:00 AM");
    essentials["alertRule"] = json!("https://insights.portal.mms.microsoft.com/#Workspace/Edit Alert Rule/index?x=");
    essentials["targetResource"] = json!(["not", "a", "text"]);
    let reading = alert(odd.to_string().as_bytes()).unwrap();
    assert_eq!((reading.state, reading.suppressed), (AzureState::Closed, true));
    assert_eq!(reading.modified_at, Timestamp::parse("2026-11-24T03:05:00Z"));
    assert_eq!(reading.notification.severity, Some(Severity::Sev1));
    assert_eq!(reading.notification.rule_id, None);
    assert_eq!(reading.rules, [format!("{SUB}/cpu above 90 %")]);

    let body = json!({ "value": [entry(), 5, null, { "id": "x" }, entry()] }).to_string();
    let listed = list(body.as_bytes(), ARM).unwrap();
    assert_eq!((listed.readings.len(), listed.unreadable, listed.next), (2, 3, Next::End));
    for body in ["", "[]", "{}", "{\"value\": {}}", "<html>"] {
        assert!(list(body.as_bytes(), ARM).is_none(), "{body}");
    }
}

#[test]
fn a_context_is_read_on_either_level() {
    let context = json!({ "conditionType": "SingleResourceMultipleMetricCriteria", "condition": {
        "windowSize": "PT5M", "allOf": [{ "metricName": "Percentage CPU", "threshold": "90", "metricValue": 97.4 }] } });
    let mut plain = entry();
    plain["properties"]["context"] = context.clone();
    let mut nested = entry();
    nested["properties"]["context"] = json!({ "context": context });
    let detail = |entry: &Value| alert(entry.to_string().as_bytes()).unwrap().notification.detail;
    assert_eq!(detail(&plain), detail(&nested));
    assert_ne!(detail(&plain), detail(&entry()));
}
