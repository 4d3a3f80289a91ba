//! `explain FILE`: which route takes a webhook body and why the earlier ones did not, what templates can say of it, and
//! the requests that would go out.
//!
//! It runs the very functions of the server (parse, routes, `decide`, the request builders) and sends nothing.

use std::io::{self, Write};

use crate::azure;
use crate::config::Config;
use crate::domain::after::Next;
use crate::domain::decide::{Owed, Timer, Verdict, decide, record};
use crate::domain::delivery::{Attempted, Call, Learned, Outcome};
use crate::domain::event::{Condition, Detail, Event, EventKind, Notification, TimerKind};
use crate::domain::id::{ConnectionName, EventId, digest};
use crate::domain::page::Known;
use crate::domain::render::compose;
use crate::domain::render::template::{About, variables};
use crate::domain::timestamp::Timestamp;
use crate::signl4;

/// Explains `body` as if it had come through `connection`, or through the connection that lists its subscription.
pub fn explain(
    config: &Config,
    body: &[u8],
    connection: Option<&ConnectionName>,
    now: Timestamp,
    out: &mut dyn Write,
) -> io::Result<()> {
    match azure::parse::parse(body) {
        Err(error) => {
            writeln!(out, "Unreadable: {error}")?;
            writeln!(out, "It would be kept, answered 200, and paged to the fallback team as an unreadable alert.")?;
            let Some(name) = connection.or_else(|| config.connections.keys().next()) else { return Ok(()) };
            let kind =
                EventKind::Unreadable { connection: name.clone(), digest: digest(body), problem: error.to_string() };
            requests(config, &judge(config, &Known::default(), kind, now), out)
        }
        Ok(notification) => understood(config, notification, connection, now, out),
    }
}

fn understood(
    config: &Config,
    notification: Notification,
    connection: Option<&ConnectionName>,
    now: Timestamp,
    out: &mut dyn Write,
) -> io::Result<()> {
    describe(&notification, out)?;
    let by_subscription = config.connections.iter().find(|(_, connection)| {
        notification.id.subscription().is_some_and(|subscription| connection.subscriptions.contains(subscription))
    });
    let Some(name) = connection
        .cloned()
        .or_else(|| by_subscription.map(|(name, _)| name.clone()))
        .or_else(|| config.connections.keys().next().cloned())
    else {
        return writeln!(out, "No connection is configured: add an [azure.NAME] section.");
    };
    writeln!(out, "Connection  {name}")?;
    let listed = config
        .connections
        .get(&name)
        .zip(notification.id.subscription())
        .is_none_or(|(connection, id)| connection.subscriptions.contains(id) || notification.is_test());
    if !listed {
        let subscription = notification.id.subscription().cloned();
        let shown = subscription.as_ref().map_or("(none)", |id| id.as_str());
        writeln!(
            out,
            "\nThe connection does not list the subscription {shown}: the alert would be kept and not paged,"
        )?;
        writeln!(out, "and once a day the fallback team would get this notice:")?;
        let kind = EventKind::Foreign { connection: name, subscription };
        return requests(config, &judge(config, &Known::default(), kind, now), out);
    }
    routes(config, &name, &notification, out)?;
    templates(config, &name, &notification, out)?;
    match notification.condition {
        Condition::Fired => {
            let verdict = judge(config, &Known::default(), azure(&name, notification), now);
            writeln!(out, "\nVerdict     {}", verdict.reason.as_str())?;
            requests(config, &verdict, out)
        }
        Condition::Resolved => {
            let known = after_its_fired(config, &name, &notification, now);
            let verdict = judge(config, &known, azure(&name, notification), now);
            writeln!(out, "\nVerdict     {} (given that the alert was paged when it fired)", verdict.reason.as_str())?;
            requests(config, &verdict, out)
        }
    }
}

fn describe(notification: &Notification, out: &mut dyn Write) -> io::Result<()> {
    let condition = match notification.condition {
        Condition::Fired => "Fired",
        Condition::Resolved => "Resolved",
    };
    writeln!(out, "Alert       {}", notification.id.key())?;
    writeln!(out, "Condition   {condition}{}", if notification.is_test() { " (test notification)" } else { "" })?;
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not named)".to_owned());
    writeln!(out, "Rule        {}", text(&notification.rule))?;
    writeln!(out, "Severity    {}", notification.severity.map_or("(none)", |severity| severity.as_str()))?;
    writeln!(out, "Service     {}", text(&notification.monitoring_service))?;
    writeln!(out, "Signal      {}", text(&notification.signal))?;
    for target in &notification.targets {
        writeln!(out, "Target      {target}")?;
    }
    for (name, value) in &notification.custom {
        writeln!(out, "Custom      {name} = {value}")?;
    }
    if let Some(legacy) = &notification.legacy {
        let budget = matches!(notification.detail, Detail::Budget { .. });
        let mend = if budget { "" } else { ": switch the common alert schema on in the action group" };
        writeln!(out, "Schema      {legacy}{mend}")?;
    }
    let back = if notification.is_test() {
        "no: the alert behind a test notification does not exist"
    } else if notification.id.is_writable() {
        "yes"
    } else if matches!(notification.detail, Detail::Budget { .. }) {
        "no: Azure keeps no alert for a budget"
    } else if notification.legacy.is_some() {
        "no: the old payload does not tell the alert's id"
    } else {
        "no: this id cannot be changed in Azure"
    };
    writeln!(out, "Write-back  {back}")
}

fn routes(
    config: &Config,
    connection: &ConnectionName,
    notification: &Notification,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "\nRoutes")?;
    let mut taken = false;
    for (route, decision) in config.rules.explain(connection, notification) {
        let place = format!("{}:{}", route.file, route.line);
        taken |= decision.takes();
        writeln!(out, "  {} {} ({place}): {decision}", if decision.takes() { "→" } else { " " }, route.name)?;
    }
    if !taken {
        writeln!(out, "  → no route takes it: the fallback team `{}` is paged", config.rules.fallback_team)?;
    }
    Ok(())
}

/// The templates of the routes that take the alert, and the variables as they are for it.
fn templates(
    config: &Config,
    connection: &ConnectionName,
    notification: &Notification,
    out: &mut dyn Write,
) -> io::Result<()> {
    let portal = config.connections.get(connection).map_or("", |connection| &connection.cloud.portal);
    let composed = compose(notification, portal);
    let taking = config.rules.matching(connection, notification);
    let paging = taking.iter().find(|route| !route.policy.records_only);
    let about = About {
        notification,
        connection,
        team: paging.map_or(&config.rules.fallback_team, |route| &route.team),
        route: paging.map_or("", |route| &route.name),
    };
    writeln!(out, "\nVariables for templates")?;
    let mut empty = Vec::new();
    for (name, variable) in variables(&about, &composed) {
        if variable.is_empty() {
            empty.push(name);
        } else {
            writeln!(out, "  {name} = {variable}")?;
        }
    }
    if !empty.is_empty() {
        writeln!(out, "  empty: {}", empty.join(", "))?;
    }
    let own = taking.iter().filter_map(|route| Some((route, route.templates.as_ref()?)));
    for (at, (route, templates)) in own.enumerate() {
        if at == 0 {
            writeln!(out, "\nTemplates")?;
        }
        writeln!(out, "  {} ({}:{}): {}", route.name, route.file, route.line, templates.in_words())?;
        for fault in route.page(connection, notification, &composed).1 {
            writeln!(out, "    {fault}")?;
        }
    }
    Ok(())
}

fn azure(connection: &ConnectionName, notification: Notification) -> EventKind {
    EventKind::Azure { connection: connection.clone(), notification: Box::new(notification) }
}

fn judge(config: &Config, known: &Known, kind: EventKind, now: Timestamp) -> Verdict {
    let event = Event::new(EventId::new(uuid::Uuid::nil()), now, kind);
    decide(&config.rules, known, &event, now)
}

/// The rows as they are once the alert has fired and every page has been raised.
fn after_its_fired(config: &Config, name: &ConnectionName, resolved: &Notification, now: Timestamp) -> Known {
    let fired = Notification { condition: Condition::Fired, ..resolved.clone() };
    let fired_at = fired.fired_at.unwrap_or(now);
    let verdict = judge(config, &Known::default(), azure(name, fired), fired_at);
    let mut known = Known { alert: verdict.alert, pages: verdict.pages, ..Known::default() };
    let accepted = Attempted {
        outcome: Outcome::Accepted,
        learned: Learned::default(),
        note: String::new(),
        possibly_doubled: false,
    };
    for Owed { call, .. } in &verdict.owed {
        let recorded = record(&config.rules, &known, call, &accepted, &Next::Done, fired_at);
        for page in recorded.pages {
            known.pages.retain(|old| old.id != page.id);
            known.pages.push(page);
        }
    }
    known
}

fn requests(config: &Config, verdict: &Verdict, out: &mut dyn Write) -> io::Result<()> {
    let held: Vec<&Timer> = verdict.timers.iter().filter(|timer| timer.kind == TimerKind::GraceEnded).collect();
    for timer in &held {
        let page = verdict.pages.iter().find(|page| page.id == timer.page);
        let by = page.and_then(|page| page.window.as_ref()).map(|name| format!(" by the maintenance window `{name}`"));
        let by = by.unwrap_or_default();
        writeln!(out, "\nHeld{by} until {}; if Azure resolves the alert by then, nobody is woken. Then:", timer.due)?;
        if let Some(page) = page {
            let body = page.body.clone().unwrap_or_default();
            request(config, &Call::Raise { team: page.team.clone(), page: page.id.clone(), body, origin: None }, out)?;
        }
    }
    for owed in &verdict.owed {
        request(config, &owed.call, out)?;
    }
    if held.is_empty() && verdict.owed.is_empty() {
        writeln!(out, "\nNothing would be sent.")?;
    }
    Ok(())
}

fn request(config: &Config, call: &Call, out: &mut dyn Write) -> io::Result<()> {
    let drafts = match call {
        Call::Raise { team, .. }
        | Call::Acknowledge { team, .. }
        | Call::Resolve { team, .. }
        | Call::Annotate { team, .. } => {
            config.teams.get(team).map(|team| signl4::deliver::request::requests(team, call))
        }
        Call::ChangeState { target, .. } | Call::Comment { target, .. } => config
            .connections
            .get(&target.connection)
            .map(|connection| azure::deliver::request::requests(connection, call)),
    };
    for draft in drafts.unwrap_or_default() {
        writeln!(out, "\n{draft}")?;
    }
    Ok(())
}
