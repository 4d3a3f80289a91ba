//! Alerts that are events of the activity log: what somebody did, what Azure does, how a resource is.

use super::title::place;
use super::{Said, shown_time, text};
use crate::domain::event::{Detail, Notification, Severity};
use crate::domain::timestamp::Timestamp;

/// Most of the event's own properties that are shown.
const FACTS_SHOWN: usize = 6;

pub(super) fn activity_log(notification: &Notification) -> Said {
    let Detail::ActivityLog { category, operation, status, sub_status, level, caller, message, resource, facts } =
        &notification.detail
    else {
        return Said::default();
    };
    let fact = |name: &str| {
        facts.iter().find(|(fact, _)| fact.eq_ignore_ascii_case(name)).map(|(_, value)| text::one_line(value))
    };
    let category = category.as_deref().unwrap_or_default().to_ascii_lowercase();
    let doing = operation.as_deref().map(operation_words);
    let words = message.as_deref().map(text::one_line);
    let mut said = Said { joint: ": ", has_place: true, severity: chosen_severity(notification), ..Said::default() };
    said.scope = resource.clone().filter(|resource| text::resource_name(resource).is_some());
    let mut target = resource.clone();
    let mut first_line = None;
    // The operation is what is done only where a person or a program does something.
    let mut of_operation = false;
    said.lead = match category.as_str() {
        "autoscale" => {
            target = fact("ResourceName").or(target);
            said.resource = target.as_deref().map(short_name);
            match (fact("OldInstancesCount"), fact("NewInstancesCount")) {
                (Some(old), Some(new)) => format!("Autoscale {old} → {new} instances"),
                _ => doing.unwrap_or_else(|| "Autoscale".to_owned()),
            }
        }
        "security" => {
            target = fact("compromisedEntity").or(target);
            let level = fact("severity").map(|level| format!(" ({})", level.to_lowercase())).unwrap_or_default();
            let what = fact("alertDisplayName").or_else(|| fact("threatName")).or(words).or(doing);
            format!("Security alert{level}: {}", what.unwrap_or_default())
        }
        "recommendation" => {
            first_line = fact("recommendationName").or(words).or(doing);
            first_line.clone().unwrap_or_default()
        }
        "policy" => {
            let effect = operation.as_deref().and_then(policy_effect);
            match (fact("Policy"), effect) {
                (Some(policy), Some(effect)) if effect == "deny" => {
                    format!("Policy {} denied", text::clip(&policy, 40))
                }
                (Some(policy), effect) => {
                    let effect = effect.map(|effect| format!(" ({effect})")).unwrap_or_default();
                    format!("Policy {}{effect}", text::clip(&policy, 40))
                }
                (None, Some(effect)) => format!("Policy {effect}"),
                (None, None) => doing.unwrap_or_default(),
            }
        }
        _ => {
            of_operation = true;
            match (doing, status) {
                (Some(doing), Some(status)) => format!("{doing} {}", text::one_line(status).to_lowercase()),
                (Some(doing), None) => doing,
                (None, _) => words.unwrap_or_default(),
            }
        }
    };
    let target = match (&said.resource, place(notification)) {
        // The essentials and the event mean the same: the essentials know of what it is a part.
        (None, Some(place)) if target.as_deref().is_none_or(|target| place.ends_with(&short_name(target))) => place,
        _ => target.as_deref().map(short_name).unwrap_or_default(),
    };
    if category == "recommendation" {
        let about =
            [fact("recommendationCategory"), fact("recommendationImpact").map(|impact| format!("{impact} impact"))];
        let about: Vec<String> = about.into_iter().flatten().map(|about| about.to_lowercase()).collect();
        said.fact = format!("({})", [vec!["Advisor".to_owned()], about].concat().join(", "));
        said.joint = " ";
        said.lead =
            [target.as_str(), &said.lead].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    } else if !said.lead.contains(target.as_str()) {
        said.fact = text::clip(&target, 40);
    }
    // Ids of programs tell a person nothing.
    if let Some((name, domain)) = caller.as_deref().map(text::one_line).as_deref().and_then(|at| at.split_once('@')) {
        said.tails = vec![format!(", by {name}@{domain}"), format!(", by {name}")];
    }
    said.resource = Some(target).filter(|target| !target.is_empty());
    said.condition = status.as_deref().map(|status| match sub_status {
        Some(sub_status) => format!("{status}, {sub_status}"),
        None => status.to_owned(),
    });
    said.lines.extend(first_line);
    said.lines.extend(message.as_deref().map(|message| text::clip(&text::without_ids(message), 600)));
    said.lines.extend(text::stated("By", caller.as_deref().filter(|_| category != "autoscale")));
    said.lines.extend(text::stated("Operation", operation.as_deref().filter(|_| of_operation)));
    let level = level.as_deref().filter(|level| !level.eq_ignore_ascii_case("informational"));
    said.lines.extend(text::stated("Level", level));
    said.link = facts
        .iter()
        .map(|(_, value)| value)
        .find(|value| text::is_web_address(value))
        .map(|link| ("More", link.clone()));
    said.lines.extend(
        facts
            .iter()
            .filter(|(name, value)| !value.starts_with('/') && !text::is_web_address(value) && !told(&category, name))
            .filter(|(_, value)| message.as_ref().is_none_or(|message| message != value))
            .take(FACTS_SHOWN)
            .map(|(name, value)| text::fact(&spelled(name), &text::with_time(value), 160)),
    );
    said
}

/// Azure sets `Sev4` on all alerts of the activity log, of service health and of resource health, however bad they are.
fn chosen_severity(notification: &Notification) -> Option<Severity> {
    notification.severity.filter(|severity| *severity != Severity::Sev4)
}

/// Facts that title and parameters tell already.
fn told(category: &str, name: &str) -> bool {
    let by_title: &[&str] = match category {
        "autoscale" => &["oldinstancescount", "newinstancescount", "resourcename"],
        "security" => &["alertdisplayname", "severity", "compromisedentity"],
        "recommendation" => &["recommendationname", "recommendationcategory", "recommendationimpact"],
        _ => &[],
    };
    by_title.iter().chain(&["description"]).any(|told| name.eq_ignore_ascii_case(told))
}

/// `compromisedEntity` as `Compromised entity`.
fn spelled(name: &str) -> String {
    text::capitalised(&words(name))
}

fn short_name(resource: &str) -> String {
    text::one_line(text::arm_name(resource).unwrap_or(resource))
}

/// `deny` of `Microsoft.Authorization/policies/deny/action`.
fn policy_effect(operation: &str) -> Option<String> {
    let effect = operation.to_ascii_lowercase();
    Some(text::one_line(effect.split_once("/policies/")?.1.split('/').next()?)).filter(|effect| !effect.is_empty())
}

/// `Microsoft.Compute/virtualMachines/restart/action` as `Restart virtual machine`; a name in words stays.
fn operation_words(operation: &str) -> String {
    let segments: Vec<&str> = operation.trim().split('/').filter(|segment| !segment.is_empty()).collect();
    let ([_, kinds @ .., kind, last], true) = (segments.as_slice(), operation.contains('/')) else {
        return text::one_line(operation);
    };
    let (verb, kind) = match (last.to_ascii_lowercase().as_str(), kinds.last()) {
        ("action", Some(before)) => ((*kind).to_owned(), *before),
        ("action", None) => return text::capitalised(&words(kind)),
        ("write", _) => ("Create or update".to_owned(), *kind),
        (_, _) => ((*last).to_owned(), *kind),
    };
    format!("{} {}", text::capitalised(&words(&verb)), singular(&words(kind)))
}

fn words(name: &str) -> String {
    text::split_words(name)
        .iter()
        .map(|word| if word.chars().skip(1).any(char::is_uppercase) { word.clone() } else { word.to_lowercase() })
        .collect::<Vec<_>>()
        .join(" ")
}

fn singular(words: &str) -> String {
    if let Some(stem) = words.strip_suffix("ies") {
        return format!("{stem}y");
    }
    let keeps = words.ends_with("ss") || words.ends_with("us") || words.ends_with("is");
    words.strip_suffix('s').filter(|_| !keeps).unwrap_or(words).to_owned()
}

pub(super) fn service_health(notification: &Notification, portal: &str) -> Said {
    let Detail::ServiceHealth {
        title,
        service,
        region,
        stage,
        status,
        incident_type,
        tracking_id,
        impact_start,
        impact_end,
        communication,
    } = &notification.detail
    else {
        return Said::default();
    };
    let stage_word = stage.as_deref().or(status.as_deref()).unwrap_or_default().to_ascii_lowercase();
    let kind = incident_words(incident_type.as_deref().unwrap_or_default());
    let state = match stage_word.as_str() {
        "resolved" => "Resolved: ",
        "mitigated" => "Mitigated: ",
        "complete" | "completed" => "Completed: ",
        "canceled" | "cancelled" => "Cancelled: ",
        "rca" => "Root cause: ",
        "inprogress" => "Started: ",
        "rescheduled" => "Rescheduled: ",
        _ => "",
    };
    let planned = kind == "Planned maintenance";
    let kind = match impact_start.as_deref().filter(|_| planned && matches!(state, "" | "Rescheduled: ")) {
        Some(start) => format!("Maintenance {}", shown_or_as_it_is(start)),
        None => kind.to_owned(),
    };
    let kind = if state.is_empty() { kind } else { format!("{state}{}", lower_first(&kind)) };
    let shown = |text: &Option<String>| text.as_deref().map(text::one_line).filter(|text| !text.is_empty());
    let (service_name, region_name) = (shown(service).unwrap_or_default(), shown(region).unwrap_or_default());
    let mut said = Said {
        has_place: true,
        severity: chosen_severity(notification),
        says_over: !state.is_empty(),
        ..Said::default()
    };
    let room = super::TITLE_CHARS.saturating_sub(kind.chars().count().saturating_add(2));
    let subject = service_health_subject(&shown(title).unwrap_or_default(), &service_name, &region_name, room);
    // `Planned maintenance: Planned maintenance of …`
    let repeats = subject.to_lowercase().starts_with(&kind.to_lowercase());
    said.lead = if repeats || subject.is_empty() { subject } else { format!("{kind}: {subject}") };
    if said.lead.is_empty() {
        said.lead = kind;
    }
    let names = format!("{service_name} {region_name}");
    let affected = [service_name, region_name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    said.resource = Some(affected.join(", ")).filter(|affected| !affected.is_empty());
    said.condition = match (stage.as_deref(), status.as_deref()) {
        (Some(stage), _) => Some(stage.to_owned()),
        (None, status) => status.map(str::to_owned),
    };
    said.lines.extend(shown(title).filter(|title| {
        let of_kind = if planned { "planned scheduled pending maintenance" } else { "" };
        text::says_more(title, &format!("{} {of_kind} {names}", said.lead))
    }));
    // As a parameter they may have been cut.
    if names.chars().count() > super::PARAMETER_CHARS {
        said.lines.extend(text::stated("Service", service.as_deref()));
        said.lines.extend(text::stated("Region", region.as_deref()));
    }
    let (since, until) = if planned { ("Planned from", "Planned until") } else { ("Impact since", "Impact until") };
    said.lines.extend(impact(since, until, impact_start.as_deref(), impact_end.as_deref()));
    said.lines.extend(communication.as_deref().map(|words| text::clip(words, 900)));
    said.lines.extend(text::stated("Tracking id", tracking_id.as_deref()));
    said.link = tracking_id.as_deref().and_then(|tracking_id| tracking_link(notification, tracking_id, portal));
    said
}

/// The title where it names service and region, or else those first and what is new in the title.
fn service_health_subject(title: &str, service: &str, region: &str, room: usize) -> String {
    let lower = title.to_lowercase();
    let names = |text: &str| lower.contains(&text.to_lowercase());
    if names(service) && names(region) && !title.is_empty() && title.chars().count() <= room {
        return title.to_owned();
    }
    let what = [text::clip(service, 32), text::clip(region, 24)];
    let what = what.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(", ");
    // A title often begins with the service or the stage again.
    let mut rest = title;
    for known in [service, "Mitigated", "Resolved", "Post incident review", service] {
        let start = rest.get(..known.len()).filter(|start| !known.is_empty() && start.eq_ignore_ascii_case(known));
        rest = start.and_then(|_| rest.get(known.len()..)).unwrap_or(rest);
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '–' | '—' | ':' | ','));
    }
    let room = room.saturating_sub(what.chars().count().saturating_add(3));
    let fits = rest.chars().count() <= room || room >= 24;
    match (what.is_empty(), rest.is_empty() || !fits) {
        (true, _) => title.to_owned(),
        (false, true) => what,
        (false, false) => format!("{what} – {}", text::clip(rest, room)),
    }
}

/// The event's own page, addressed by the first and last three digits of the subscription; Service Health alerts exist
/// in the public cloud only: <https://learn.microsoft.com/azure/service-health/service-notifications>.
fn tracking_link(notification: &Notification, tracking_id: &str, portal: &str) -> Option<(&'static str, String)> {
    let subscription = notification.id.subscription().filter(|id| id.is_guid())?.as_str();
    let plain = tracking_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let public = !notification.is_test() && portal.trim_end_matches('/') == "https://portal.azure.com";
    let ends = (subscription.get(..3)?, subscription.get(subscription.len().checked_sub(3)?..)?);
    (plain && public).then(|| ("Tracking", format!("https://app.azure.com/h/{tracking_id}/{}{}", ends.0, ends.1)))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn incident_words(kind: &str) -> &'static str {
    match kind.to_ascii_lowercase().as_str() {
        "maintenance" => "Planned maintenance",
        "informational" | "information" => "Health advisory",
        "actionrequired" => "Action required",
        "security" => "Security advisory",
        "billing" => "Billing notice",
        _ => "Service issue",
    }
}

fn impact(since: &str, until: &str, start: Option<&str>, end: Option<&str>) -> Vec<String> {
    let start_line = start.map(|start| format!("{since} {}", shown_or_as_it_is(start)));
    let end_line = end.filter(|end| Some(*end) != start).map(|end| format!("{until} {}", shown_or_as_it_is(end)));
    start_line.into_iter().chain(end_line).collect()
}

fn shown_or_as_it_is(time: &str) -> String {
    Timestamp::parse(time).map_or_else(|| text::clip(&text::one_line(time), 40), shown_time)
}

pub(super) fn resource_health(notification: &Notification) -> Said {
    let Detail::ResourceHealth { title, details, current, previous, cause, status } = &notification.detail else {
        return Said::default();
    };
    let shown = |text: &Option<String>| text.as_deref().map(text::one_line).filter(|text| !text.is_empty());
    let now = shown(current).or_else(|| shown(status)).unwrap_or_else(|| "Health changed".to_owned());
    let recovered = now.eq_ignore_ascii_case("Available") || now.eq_ignore_ascii_case("Resolved");
    let cause = shown(cause).map(|cause| words(&cause)).filter(|cause| cause != "unknown");
    let mut said =
        Said { has_place: true, severity: chosen_severity(notification), says_over: recovered, ..Said::default() };
    said.joint = ": ";
    said.lead = if recovered { "Available again".to_owned() } else { now.clone() };
    let cause_note = cause.as_deref().filter(|_| !recovered).map(|cause| match cause {
        "platform initiated" => "(platform)".to_owned(),
        "user initiated" => "(by a user)".to_owned(),
        other => format!("({})", text::clip(other, 24)),
    });
    let named = place(notification).map(|place| text::clip(&place, 44));
    said.fact = named.into_iter().chain(cause_note).collect::<Vec<_>>().join(" ");
    said.condition = Some(match shown(previous) {
        Some(previous) if previous != now => format!("{previous} → {now}"),
        _ => now,
    });
    said.lines.extend(shown(title));
    said.lines.extend(details.as_deref().map(|details| text::clip(details, 900)));
    said.lines.extend(cause.map(|cause| format!("Cause: {cause}")));
    said
}
