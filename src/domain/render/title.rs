//! The title: at most 80 characters that tell a locked phone how bad, what, the measured value against its threshold,
//! and where.

use super::{Said, TEST_MARK, text};
use crate::domain::event::{Condition, Notification};

/// Fewer characters of `Said::more` say nothing.
const FEWEST: usize = 12;

pub(super) fn title(notification: &Notification, said: &Said, chars: usize) -> String {
    let mut prefix = String::new();
    if notification.is_test() {
        prefix.push_str(TEST_MARK);
        prefix.push(' ');
    }
    if notification.condition == Condition::Resolved && !said.says_over {
        prefix.push_str("Resolved: ");
    }
    if let Some(severity) = said.severity {
        prefix.push_str(severity.as_str());
        prefix.push(' ');
    }
    let [mut lead, more, fact] = [&said.lead, &said.more, &said.fact].map(|text| text::one_line(text));
    if lead.is_empty() && fact.is_empty() {
        lead = subject(notification);
    }
    let joint = if lead.is_empty() || fact.is_empty() { "" } else { said.joint };
    let place = said.resource.clone().or_else(|| place(notification)).filter(|place| {
        let told = [&lead, &more, &fact].into_iter().any(|text| text.contains(place.as_str()));
        !said.has_place && !place.is_empty() && !told
    });
    let on = if place.is_some() { " on " } else { "" };
    let place = place.unwrap_or_default();
    // What is measured stays whole; what it is about and where share the rest, the shorter of them unharmed. Further words
    // get what both leave.
    let fixed: usize = [prefix.as_str(), joint, &fact, on].into_iter().map(length).sum();
    let room = chars.saturating_sub(fixed);
    let place_room = length(&place).min(room.saturating_sub(length(&lead)).max(room / 2));
    let place = text::clip(&place, place_room);
    let room = room.saturating_sub(place_room);
    let enough = length(&lead).saturating_add(2).saturating_add(FEWEST.min(length(&more)));
    let whole = with_more(&lead, &more).map(|whole| text::clip(&whole, room)).filter(|whole| length(whole) >= enough);
    let lead = whole.unwrap_or_else(|| text::clip(&lead, room));
    let title = text::clip(&[prefix.as_str(), &lead, joint, &fact, on, &place].concat(), chars);
    let fits = |tail: &&String| length(&title).saturating_add(length(tail)) <= chars;
    said.tails.iter().find(fits).map(|tail| format!("{title}{tail}")).unwrap_or(title)
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// `KubePodCrashLooping: Pod restarts again and again`.
fn with_more(lead: &str, more: &str) -> Option<String> {
    (!more.is_empty() && more != lead)
        .then(|| if lead.is_empty() { more.to_owned() } else { format!("{lead}: {more}") })
}

/// What the alert is about, when its kind has no phrase of its own: the rule, else the service.
pub(super) fn subject(notification: &Notification) -> String {
    notification
        .rule
        .as_deref()
        .or(notification.monitoring_service.as_deref())
        .map(text::one_line)
        .filter(|subject| !subject.is_empty())
        .unwrap_or_else(|| nameless(notification))
}

/// What is affected, short: the item that Azure names, else the name of the target; a part with its whole,
/// `sql-prod-01/payments`.
pub(super) fn place(notification: &Notification) -> Option<String> {
    let items: Vec<String> =
        notification.items.iter().map(|item| text::one_line(text::arm_name(item).unwrap_or(item))).collect();
    let targets = notification.targets.iter().filter_map(|target| text::resource_name(target));
    let names: Vec<String> = if items.is_empty() { targets.map(str::to_owned).collect() } else { items };
    let first = names.first().filter(|name| !name.is_empty())?;
    let whole = notification.targets.iter().find_map(|target| text::parent_name(target, first));
    let first = whole.map_or_else(|| first.clone(), |whole| format!("{whole}/{first}"));
    match names.len().saturating_sub(1) {
        0 => Some(first),
        more => Some(format!("{first} +{more}")),
    }
}

/// Two alerts of which nothing is known shall not look the same on a phone.
fn nameless(notification: &Notification) -> String {
    let id: String = text::one_line(notification.id.name()).chars().take(8).collect();
    format!("Azure alert {id} without details")
}
