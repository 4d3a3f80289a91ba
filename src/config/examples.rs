//! `[[route.example]]`: an alert as a person sketches it, and what must become of it.

use std::collections::BTreeMap;

use super::problem::Findings;
use super::routes::{Named, connection, severity};
use super::section::{Item, Section};
use crate::domain::event::{Condition, Detail, Notification};
use crate::domain::id::{AlertId, ConnectionName, SubscriptionId};
use crate::domain::route::{Example, Expected};

/// The alert id's last segment; nothing is looked up by it.
const NAME: &str = "00000000-0000-4000-8000-000000000000";

pub(super) fn example(item: &Item, names: &Named<'_>, findings: &mut Findings) -> Option<Example> {
    let mut section = item.table("written as [[route.example]]", findings)?;
    let place = section.place.clone();
    let alert = section.demand("alert", "{ severity = \"Sev1\" }", findings);
    let team = section.take("team");
    let matches = section.take("matches");
    section.finish(findings);
    let expected = match (team, matches) {
        (Some(team), None) => Expected::Paged(team.team(names.teams.keys(), findings)?),
        (None, Some(matches)) => {
            if matches.boolean(findings)? {
                Expected::Taken
            } else {
                Expected::Left
            }
        }
        (Some(_), Some(_)) => {
            item.error("has both `team` and `matches`; leave one", findings);
            return None;
        }
        (None, None) => {
            item.error("expects nothing; add `team = \"…\"` or `matches = false`", findings);
            return None;
        }
    };
    let alert = alert?;
    let section = alert.table("a table such as { severity = \"Sev1\" }", findings)?;
    let (connection, notification) = notification(section, names, findings)?;
    Some(Example { line: place.line(), notification, connection, expected })
}

fn notification(
    mut section: Section<'_>,
    names: &Named<'_>,
    findings: &mut Findings,
) -> Option<(Option<ConnectionName>, Notification)> {
    let before = findings.problems.len();
    let text = |section: &mut Section<'_>, key, findings: &mut Findings| {
        section.take(key).and_then(|item: Item| item.text(findings).map(str::to_owned))
    };
    let connection = section.take("connection").and_then(|item| connection(&item, names, findings));
    let severity = section.take("severity").and_then(|item| severity(&item, findings));
    let rule = text(&mut section, "rule", findings);
    let signal = text(&mut section, "signal", findings);
    let monitoring_service = text(&mut section, "monitoring_service", findings);
    let resource = text(&mut section, "resource", findings);
    let target = section.take("target");
    let resource_type = section.take("resource_type");
    let mut targets: Vec<String> = Vec::new();
    for item in target.iter().flat_map(|item| item.texts(findings)) {
        if let Some(text) = item.as_text() {
            targets.push(text.trim().trim_end_matches('/').to_lowercase());
        }
    }
    let subscription = match targets.iter().find_map(|target| AlertId::parse(target).subscription().cloned()) {
        Some(subscription) => Some(subscription),
        None => first_subscription(connection.as_ref(), names),
    };
    if let (Some(item), Some(subscription)) = (&target, &subscription)
        && !names.has_subscription(subscription)
    {
        item.warn(
            format_args!("names the subscription {subscription}, which no [azure.NAME] lists: such alerts are refused"),
            findings,
        );
    }
    let path = subscription.map_or_else(String::new, |subscription| format!("/subscriptions/{subscription}"));
    if let Some(item) = &resource_type
        && let Some(kind) = item.text(findings)
    {
        if targets.is_empty() {
            targets.push(target_of(&path, kind, resource.as_deref()));
        } else {
            item.error("stands beside `target`, which has a type already; leave one", findings);
        }
    }
    let mut custom = BTreeMap::new();
    if let Some(item) = section.take("custom")
        && let Some(table) = item.table("a table such as { owner = \"payments\" }", findings)
    {
        for entry in table.entries() {
            if let Some(text) = Item::new(entry, &entry.key, &table.name).text(findings) {
                custom.insert(entry.key.clone(), text.to_owned());
            }
        }
    }
    section.finish(findings);
    let notification = Notification {
        id: AlertId::parse(&format!("{path}/providers/Microsoft.AlertsManagement/alerts/{NAME}")),
        condition: Condition::Fired,
        fired_at: None,
        resolved_at: None,
        rule,
        rule_id: None,
        severity,
        signal,
        monitoring_service,
        targets,
        items: resource.into_iter().collect(),
        description: None,
        custom,
        detail: Detail::Other,
        legacy: None,
        investigation_link: None,
        digest: String::new(),
    };
    (findings.problems.len() == before).then_some((connection, notification))
}

fn first_subscription(connection: Option<&ConnectionName>, names: &Named<'_>) -> Option<SubscriptionId> {
    let list = match connection {
        Some(name) => names.connections.get(name)?,
        None => names.connections.values().next()?,
    };
    list.as_ref()?.first().cloned()
}

/// `…/providers/Microsoft.Sql/servers/x/databases/x` for `Microsoft.Sql/servers/databases`.
fn target_of(path: &str, kind: &str, resource: Option<&str>) -> String {
    let mut target = format!("{path}/resourcegroups/example/providers");
    for (at, part) in kind.split('/').enumerate() {
        target.push('/');
        target.push_str(part);
        if at > 0 {
            target.push('/');
            target.push_str(resource.unwrap_or("example"));
        }
    }
    target.to_lowercase()
}
