//! What Azure's notifications oblige us to: Fired, Resolved, foreign subscriptions, bodies nobody understands.

use std::cell::LazyCell;
use std::time::Duration;

use super::Reason;
use super::desk::Desk;
use super::release::released;
use super::threads;
use crate::domain::delivery::{AzureState, AzureTarget, Call};
use crate::domain::event::{Condition, EventKind, Notification};
use crate::domain::id::{AlertId, AlertKey, ConnectionName, ExternalId, SubscriptionId, TeamName};
use crate::domain::page::{Alert, Ending, Ledger, Page, PageState, Phase, SAME_TEST_WITHIN, raise_body};
use crate::domain::reading::{Raises, SAME_FIRING_WITHIN};
use crate::domain::render::{Rendered, TITLE_CHARS, compose, render_foreign, render_unreadable};
use crate::domain::route::{CloseInAzure, OnResolved, Policy, Route, Scenario};
use crate::domain::thread::Step;
use crate::domain::timestamp::Timestamp;

/// The same unreadable body counts as a repeat for this long.
const SAME_UNREADABLE_WITHIN: Duration = Duration::from_hours(24);

pub(super) fn notified(desk: &mut Desk<'_>, connection: &ConnectionName, notification: &Notification) -> Reason {
    match notification.condition {
        Condition::Fired => fired(desk, connection, notification),
        Condition::Resolved => resolved(desk, connection, notification, Duration::ZERO),
    }
}

pub(super) fn fired(desk: &mut Desk<'_>, connection: &ConnectionName, notification: &Notification) -> Reason {
    let portal = desk.rules.connections.get(connection).map_or("https://portal.azure.com", |traits| &traits.portal);
    // Not composed for an alert that is only recorded, nor for a repeat.
    let composed = LazyCell::new(|| compose(notification, portal));
    let thread = desk.heard_thread();
    if threads::is_of_another(desk, notification.id.key()) {
        if desk.alert.as_ref().is_some_and(|alert| threads::is_member(alert, notification.id.key())) {
            return Reason::Repeat;
        }
        let joined = thread.and_then(|thread| threads::joins(desk, connection, notification, thread, &composed.page()));
        if let Some(reason) = joined {
            return reason;
        }
        desk.alert = None;
        desk.pages.clear();
    }
    if let Some(alert) = &desk.alert {
        if notification.is_test() {
            if alert.digest == notification.digest && desk.now.since(alert.heard_at) < SAME_TEST_WITHIN {
                return Reason::Repeat;
            }
        } else {
            // What a poll and a webhook say of one firing may differ a little.
            let slack = if alert.polled || desk.found_late { SAME_FIRING_WITHIN } else { Duration::ZERO };
            let newer = match (notification.fired_at, alert.fired_at) {
                (Some(fired), Some(known)) => fired > known.plus(slack),
                // Without times, an episode ends only where we paged it and then heard its Resolved.
                (Some(_), None) | (None, _) => alert.condition == Condition::Resolved && !desk.pages.is_empty(),
            };
            match (newer, alert.condition) {
                (true, _) => {}
                (false, Condition::Fired) if is_in_hand(alert) => return Reason::InHand,
                // Nobody was paged for what a poll only recorded.
                (false, Condition::Fired) if alert.recorded.is_some() => {}
                (false, Condition::Fired) => return Reason::Repeat,
                (false, Condition::Resolved) => return Reason::SupersededByResolved,
            }
        }
    }
    let before = desk.alert.take();
    desk.alert = Some(Alert {
        condition: Condition::Fired,
        resolved_at: None,
        azure: Ledger { seen: Some(AzureState::New), wanted: None },
        ..heard(desk, connection, notification)
    });
    if let Some(before) = before {
        desk.fires_anew(&before);
    }
    let chosen: Vec<&Route> = desk.rules.matching(connection, notification);
    if let Some(thread) = thread {
        if thread.step == Step::Ends {
            return Reason::ResolvedWithoutPage;
        }
        if let Some(alert) = &mut desk.alert {
            alert.rank = thread.rank;
        }
        let counts = |route: &&Route| route.policy.quiet_period.is_some_and(|quiet| !quiet.is_zero());
        // Where nothing can join, the thread need not be found again.
        if thread.by_nature || chosen.iter().any(counts) {
            desk.thread = Some((thread.key.clone(), notification.id.key().clone()));
        }
    }
    if chosen.is_empty() {
        let policy = Policy::default();
        let plan =
            Plan { team: &desk.rules.fallback_team, route: None, policy: &policy, service: None, scenario: None };
        return match start(desk, notification, &composed.page(), &plan) {
            Started::Raised | Started::Held | Started::Joined => Reason::Unrouted,
            Started::AlreadyPaged => Reason::AlreadyPaged,
        };
    }
    let mut reason = Reason::RecordedByRoute;
    // A test asks whether a page arrives: it pages where the route would only record.
    let pages = |route: &&Route| !route.policy.records_only || notification.is_test();
    for route in chosen.into_iter().filter(pages) {
        let plan = Plan {
            team: &route.team,
            route: Some(&route.name),
            policy: &route.policy,
            service: route.service.get(notification.severity).map(String::as_str),
            scenario: route.scenario.get(notification.severity).copied(),
        };
        let (rendered, faults) = route.page(connection, notification, &composed);
        desk.template_faults.extend(faults);
        let started = match start(desk, notification, &rendered, &plan) {
            Started::Raised => Reason::Raised,
            Started::Held => Reason::Held,
            Started::Joined => Reason::JoinedDigest,
            Started::AlreadyPaged => Reason::AlreadyPaged,
        };
        reason = match (reason, started) {
            (Reason::Raised, _) | (_, Reason::Raised) => Reason::Raised,
            (Reason::JoinedDigest, _) | (_, Reason::JoinedDigest) => Reason::JoinedDigest,
            (Reason::Held, _) | (_, Reason::Held) => Reason::Held,
            (_, started) => started,
        };
    }
    reason
}

/// Never paged, because a person had taken care of it in Azure before the bridge heard of it.
pub(super) fn is_in_hand(alert: &Alert) -> bool {
    alert.recorded == Some(Raises::InHand) && alert.azure_state() != AzureState::New
}

/// How one page of a new episode is to be made.
struct Plan<'a> {
    team: &'a TeamName,
    route: Option<&'a str>,
    policy: &'a Policy,
    service: Option<&'a str>,
    scenario: Option<Scenario>,
}

enum Started {
    Raised,
    Held,
    /// A digest shows it.
    Joined,
    AlreadyPaged,
}

fn start(desk: &mut Desk<'_>, notification: &Notification, rendered: &Rendered, plan: &Plan<'_>) -> Started {
    let open_already = desk.pages.iter().any(|page| page.team == *plan.team && !page.is_ended());
    let made_now = desk.pages.iter().any(|page| page.team == *plan.team && !desk.known.pages.contains(page));
    if made_now {
        return Started::AlreadyPaged;
    }
    if open_already && !notification.is_test() {
        let open: Vec<ExternalId> = desk.live();
        let acknowledged = |id: &ExternalId| {
            desk.page(id)
                .is_some_and(|page| page.team == *plan.team && page.signl4.settled() == Some(PageState::Acknowledged))
        };
        let put_aside: Vec<ExternalId> = open.into_iter().filter(acknowledged).collect();
        if put_aside.is_empty() {
            // One that had ended and was opened again has no text any more, should it be paged again.
            for page in desk.pages.iter_mut().filter(|page| page.team == *plan.team && !page.is_ended()) {
                let body = || raise_body(rendered, &page.id, plan.service, plan.scenario);
                page.body = page.body.take().or_else(|| Some(body()));
            }
            return Started::AlreadyPaged;
        }
        // Whoever acknowledged an earlier firing may sleep again: the new one is a new page.
        for id in &put_aside {
            desk.withdraw(id, Ending::Replaced);
        }
    }
    let id = new_page(desk, notification.id.key(), rendered, plan);
    if let Some(page) = desk.page_mut(&id) {
        page.severity = notification.severity;
        page.rule.clone_from(&notification.rule);
    }
    // A clock ahead of ours must not hold a page for longer than its grace.
    let fired_at = notification.fired_at.map_or(desk.now, |fired_at| fired_at.min(desk.now));
    let graced = fired_at.plus(plan.policy.grace);
    let graced = if desk.found_late { graced } else { graced.max(desk.now) };
    // A test asks whether a page arrives: neither windows nor storms hold it up.
    let alert = desk.alert.as_ref().filter(|_| !notification.is_test());
    let windows = alert.map(|alert| desk.rules.windows_of(&alert.connection, notification)).unwrap_or_default();
    let window = desk.rules.held_by(&windows, graced.max(desk.now)).map(|(end, window)| (end, window.name.clone()));
    let until = window.as_ref().map_or(graced, |(end, _)| *end);
    if let Some(page) = desk.page_mut(&id) {
        page.window = window.map(|(_, name)| name);
        page.windows = windows;
        page.phase = Phase::Held { until };
    }
    if until > desk.now {
        desk.hold(&id, until);
        return Started::Held;
    }
    if notification.is_test() {
        desk.raise(&id, desk.now);
        return Started::Raised;
    }
    if released(desk, &id) == Reason::JoinedDigest { Started::Joined } else { Started::Raised }
}

fn new_page(desk: &mut Desk<'_>, alert: &AlertKey, rendered: &Rendered, plan: &Plan<'_>) -> ExternalId {
    let number = desk.pages.iter().map(|page| page.number).max().unwrap_or(0).saturating_add(1);
    let id = ExternalId::of(alert, number);
    desk.pages.push(Page {
        id: id.clone(),
        alert: alert.clone(),
        number,
        team: plan.team.clone(),
        route: plan.route.map(str::to_owned),
        policy: plan.policy.clone(),
        phase: Phase::Raising,
        signl4: Ledger::default(),
        signl4_alert_id: None,
        acknowledged_by: None,
        closed_by: None,
        closed_at: None,
        changed_at: None,
        acted_at: None,
        nobody_on_duty: false,
        acknowledged_for_azure: false,
        told: Vec::new(),
        title: rendered.title.clone(),
        severity: None,
        rule: None,
        digest: None,
        window: None,
        windows: Vec::new(),
        body: Some(raise_body(rendered, &id, plan.service, plan.scenario)),
        created_at: desk.begins(),
        ended_at: None,
    });
    id
}

/// Things got worse: a new page takes the place of one that a person may have put aside.
pub(super) fn replace_page(desk: &mut Desk<'_>, id: &ExternalId, rendered: &Rendered) {
    let Some(page) = desk.page(id).cloned() else { return };
    if page.is_held() {
        return;
    }
    desk.withdraw(id, Ending::Replaced);
    let old = page.body.as_ref().and_then(serde_json::Value::as_object);
    let text = |name: &str| old.and_then(|old| old.get(name)).and_then(serde_json::Value::as_str);
    let scenario = text("X-S4-AlertingScenario").and_then(Scenario::parse);
    let plan = Plan {
        team: &page.team,
        route: page.route.as_deref(),
        policy: &page.policy,
        service: text("X-S4-Service"),
        scenario,
    };
    let new = new_page(desk, &page.alert, rendered, &plan);
    desk.raise(&new, desk.now);
}

/// A person closed the page a while ago: where Azure still fires, whoever is on duty now should know.
pub(super) fn page_again(desk: &mut Desk<'_>, id: &ExternalId) -> Reason {
    let Some(page) = desk.page(id).cloned() else { return Reason::TimerVoid };
    let fires = desk.alert.as_ref().is_some_and(|alert| alert.condition == Condition::Fired);
    let closed = matches!(page.phase, Phase::Ended { why: Ending::ClosedByPerson | Ending::ClosedBySystem });
    let has_it = desk.pages.iter().any(|other| other.team == page.team && !other.is_ended());
    // Closed before it fired anew; and since then on another page, which applies to this one.
    let firing = desk.alert.as_ref().and_then(|alert| alert.fired_at.zip(alert.closed_at));
    let closed_since = firing.is_some_and(|(fired_at, at)| page.closed_at < Some(fired_at) && at > fired_at);
    let is_over = has_it || closed_since || desk.alert.as_ref().is_some_and(is_in_hand);
    let Some(body) = page.body.clone().filter(|_| fires && closed && !is_over) else {
        return Reason::TimerVoid;
    };
    let number = desk.pages.iter().map(|page| page.number).max().unwrap_or(0).saturating_add(1);
    let new = ExternalId::of(&page.alert, number);
    let span = desk.now.since(page.closed_at.unwrap_or(page.created_at));
    desk.pages.push(Page {
        id: new.clone(),
        number,
        phase: Phase::Held { until: desk.now },
        signl4: Ledger::default(),
        signl4_alert_id: None,
        acknowledged_by: None,
        closed_by: None,
        closed_at: None,
        changed_at: None,
        acted_at: None,
        nobody_on_duty: false,
        digest: None,
        window: None,
        body: Some(still_firing(body, &new, span)),
        created_at: desk.begins(),
        ended_at: None,
        ..page.clone()
    });
    if let Some(old) = desk.page_mut(id) {
        old.body = None;
    }
    desk.change_azure(AzureState::New, "Closed in SIGNL4 and still firing: paged again");
    released(desk, &new);
    Reason::PagedAgain
}

/// The body of a page as that of a further one, which says why it comes.
fn still_firing(mut body: serde_json::Value, id: &ExternalId, span: Duration) -> serde_json::Value {
    let text =
        |body: &serde_json::Value, name: &str| body.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let minutes = span.as_secs() / 60;
    let message = text(&body, "Message").unwrap_or_default();
    let title = text(&body, "Title").unwrap_or_default();
    if let Some(members) = body.as_object_mut() {
        let title: String = format!("[still firing] {}", title.trim_start_matches("[still firing] "))
            .chars()
            .take(TITLE_CHARS)
            .collect();
        let said = "Closed in SIGNL4";
        let message = message
            .split_once('\n')
            .filter(|(first, _)| first.starts_with(said))
            .map_or(message.as_str(), |(_, rest)| rest);
        members.insert("Title".to_owned(), title.into());
        members.insert(
            "Message".to_owned(),
            format!("{said} {minutes} min ago, and Azure still fires.\n{message}").into(),
        );
        members.insert("X-S4-ExternalID".to_owned(), id.as_str().into());
    }
    body
}

/// A page for the fallback team beside the rules of any route.
pub(super) fn page_fallback_team(desk: &mut Desk<'_>, alert: &AlertKey, rendered: &Rendered) -> ExternalId {
    let policy = Policy::default();
    let plan = Plan { team: &desk.rules.fallback_team, route: None, policy: &policy, service: None, scenario: None };
    let id = new_page(desk, alert, rendered, &plan);
    desk.raise(&id, desk.now);
    id
}

/// `slack`: by so much the times of one firing may differ in the words of whoever tells.
pub(super) fn resolved(
    desk: &mut Desk<'_>,
    connection: &ConnectionName,
    notification: &Notification,
    slack: Duration,
) -> Reason {
    let Some(alert) = desk.alert.clone() else {
        desk.alert = Some(Alert {
            condition: Condition::Resolved,
            resolved_at: Some(notification.resolved_at.unwrap_or(desk.now)),
            ..heard(desk, connection, notification)
        });
        return Reason::ResolvedUnknown;
    };
    let own = alert.key == *notification.id.key();
    let slack = match (own, alert.polled) {
        (true, true) => SAME_FIRING_WITHIN,
        (true, false) => slack,
        (false, _) => Duration::ZERO,
    };
    let times = notification.fired_at.zip(alert.fired_at);
    let earlier_episode =
        own && !alert.members.is_empty() || times.is_some_and(|(fired, known)| fired.plus(slack) < known);
    if earlier_episode {
        return Reason::Stale;
    }
    if alert.key != *notification.id.key() {
        // Of a thread's alerts the newest speaks for the matter: the rule, the target and the dimensions are the same.
        let newest = alert.members.last().is_some_and(|member| member.key == *notification.id.key());
        if !newest {
            return Reason::Stale;
        }
    }
    let later = times.map_or(notification.fired_at > alert.fired_at, |(fired, known)| fired > known.plus(slack));
    let again = alert.condition == Condition::Resolved && !later;
    if again && own {
        return Reason::Repeat;
    }
    // The firing that it ends was not heard of yet.
    let anew = own && later && times.is_some();
    let azure = if anew { Ledger { seen: Some(AzureState::New), wanted: None } } else { alert.azure };
    desk.alert = Some(Alert {
        condition: Condition::Resolved,
        // As it was told first: whoever tells it otherwise means the same firing.
        fired_at: if later { notification.fired_at } else { alert.fired_at.or(notification.fired_at) },
        resolved_at: Some(notification.resolved_at.unwrap_or(desk.now)),
        azure,
        heard_at: desk.now,
        ..alert.clone()
    });
    if anew {
        desk.fires_anew(&alert);
    }
    let live = desk.live();
    if live.is_empty() {
        close_too(desk);
        return if again { Reason::Repeat } else { Reason::ResolvedWithoutPage };
    }
    let mut nobody_woken = true;
    for id in live {
        resolve_page(desk, &id, notification.resolved_at.unwrap_or(desk.now));
        let spared = desk.page(&id).is_some_and(|page| {
            matches!(page.phase, Phase::Ended { why: Ending::ResolvedWhileHeld | Ending::ResolvedBeforeSent })
        });
        nobody_woken &= spared;
    }
    let acknowledged = |page: &Page| !page.is_ended() && page.signl4.settled() == Some(PageState::Acknowledged);
    if anew && desk.pages.iter().any(acknowledged) {
        desk.change_azure(AzureState::Acknowledged, "Its page is acknowledged in SIGNL4 since an earlier firing");
    }
    close_too(desk);
    if nobody_woken { Reason::ResolvedBeforePaged } else { Reason::Resolved }
}

/// Where the route of a page says so, the end of the alert closes it in Azure, whoever has ended the page before.
pub(super) fn close_too(desk: &mut Desk<'_>) {
    if desk.pages.iter().any(|page| page.policy.close_in_azure == CloseInAzure::OnResolveToo) {
        desk.change_azure(AzureState::Closed, "Resolved; closed by the SIGNL4 bridge as its route says");
    }
}

pub(super) fn resolve_page(desk: &mut Desk<'_>, id: &ExternalId, at: Timestamp) {
    let Some(page) = desk.page(id) else { return };
    let team = page.team.clone();
    let gathers = page.digest.as_ref().is_some_and(|digest| desk.known.load.is_gathering(digest));
    let unseen = !page.is_joined() && page.signl4.seen.is_none() && !desk.open_of(id).any(|open| open.attempt > 0);
    let untouched = page.is_held() || gathers || unseen;
    match page.policy.on_resolved {
        OnResolved::Annotate if !untouched && !page.is_joined() && desk.has_api(&team) => {
            let text = format!("Resolved in Azure at {at}");
            desk.owe(Call::Annotate { team, page: id.clone(), text });
        }
        OnResolved::Ignore if !untouched => {}
        OnResolved::Resolve | OnResolved::Annotate | OnResolved::Ignore => desk.withdraw(id, Ending::Resolved),
    }
}

/// One notice a day for each foreign subscription, to the fallback team.
pub(super) fn foreign(
    desk: &mut Desk<'_>,
    connection: &ConnectionName,
    subscription: Option<&SubscriptionId>,
) -> Reason {
    let key = EventKind::foreign_key(connection, subscription, &desk.now.day());
    if desk.alert.is_none() {
        desk.alert = Some(notice(desk, connection, &key, ""));
        let rendered = render_foreign(subscription, connection);
        page_fallback_team(desk, &key, &rendered);
    }
    Reason::ForeignSubscription
}

/// Pages a body that could not be understood, once a day for the same body.
pub(super) fn unreadable(desk: &mut Desk<'_>, connection: &ConnectionName, digest: &str, problem: &str) -> Reason {
    let key = AlertKey::synthetic("unreadable", digest);
    if desk.alert.as_ref().is_some_and(|alert| desk.now.since(alert.heard_at) < SAME_UNREADABLE_WITHIN) {
        return Reason::Repeat;
    }
    desk.alert = Some(notice(desk, connection, &key, digest));
    let rendered = render_unreadable(problem, connection);
    page_fallback_team(desk, &key, &rendered);
    Reason::Unreadable
}

/// One page for the same trouble and time, to the alarm team.
pub(super) fn alarm(
    desk: &mut Desk<'_>,
    team: &TeamName,
    key: &AlertKey,
    title: &str,
    text: &str,
    scenario: Option<Scenario>,
) -> Reason {
    let Some(connection) = desk.rules.connections.keys().next().cloned() else { return Reason::NoConsequence };
    if desk.alert.is_some() {
        return Reason::Repeat;
    }
    desk.alert = Some(notice(desk, &connection, key, ""));
    let rendered = Rendered { title: title.to_owned(), message: text.to_owned(), ..Rendered::default() };
    let policy = Policy::default();
    let plan = Plan { team, route: None, policy: &policy, service: None, scenario };
    let id = new_page(desk, key, &rendered, &plan);
    desk.raise(&id, desk.now);
    Reason::Alarm
}

fn notice(desk: &Desk<'_>, connection: &ConnectionName, key: &AlertKey, digest: &str) -> Alert {
    Alert { digest: digest.to_owned(), ..Alert::begun(key.clone(), connection.clone(), desk.now) }
}

pub(super) fn heard(desk: &Desk<'_>, connection: &ConnectionName, notification: &Notification) -> Alert {
    Alert {
        target: target(connection, &notification.id),
        condition: notification.condition,
        fired_at: notification.fired_at,
        ..notice(desk, connection, notification.id.key(), &notification.digest)
    }
}

pub(super) fn target(connection: &ConnectionName, id: &AlertId) -> Option<AzureTarget> {
    if !id.is_writable() || id.is_test() {
        return None;
    }
    Some(AzureTarget {
        connection: connection.clone(),
        subscription: id.subscription()?.clone(),
        alert: id.name().to_owned(),
        key: id.key().clone(),
    })
}

/// A close in the portal ends every live page of the alert.
pub(super) fn end_all_pages(desk: &mut Desk<'_>) {
    for id in desk.live() {
        desk.withdraw(&id, Ending::ClosedElsewhere);
    }
}
