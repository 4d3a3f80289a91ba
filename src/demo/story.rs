//! The story: what fires, who acts, and what is seen of it on both sides.

mod kinds;
mod many;
mod ordinary;
mod trouble;
mod unheard;

use std::time::Duration;

use super::DemoError;
use super::agree::Part;
use super::narrate::{Narrator, Shown, Who, span};
use super::stage::Stage;
use crate::simulator::azure::{AlertSpec, AlertState, MonitorCondition, Signal};
use crate::simulator::scene::{JANE, TEAM};
use crate::simulator::signl4;

/// The story while it is told.
pub(super) struct Story<'s, 'n, 'o> {
    stage: &'s mut Stage,
    tell: &'n mut Narrator<'o>,
    parts: Vec<Part>,
}

impl<'s, 'n, 'o> Story<'s, 'n, 'o> {
    pub(super) fn new(stage: &'s mut Stage, tell: &'n mut Narrator<'o>) -> Self {
        Self { stage, tell, parts: Vec::new() }
    }

    /// Tells it all; returns what there is to compare at the end.
    pub(super) async fn tell(mut self) -> Result<Vec<Part>, DemoError> {
        self.opening()?;
        self.tell.pause(1.5).await;
        self.there_and_back().await?;
        self.resolved_in_azure().await?;
        self.short_peaks().await?;
        self.every_kind().await?;
        self.nothing_falls_through().await?;
        self.outage().await?;
        self.found_by_poll().await?;
        self.storm().await?;
        self.maintenance().await?;
        Ok(self.parts)
    }

    fn opening(&mut self) -> Result<(), DemoError> {
        let (webhooks, _) = self.stage.addresses();
        let routes = self.stage.bridge()?.config.load().rules.routes.len();
        self.tell.line(
            "Azure Monitor and SIGNL4 are simulated. The bridge between them is the real one,\n\
             its configuration, routes and store in a temporary folder. Times are measured;\n\
             instead of waiting for minutes, the story puts the clock of all three forward.\n",
        )?;
        let text = format!(
            "listens at http://{webhooks}, with {routes} routes;\nall its files are in {}",
            self.stage.folder().display()
        );
        Ok(self.tell.say(Who::Bridge, &text)?)
    }

    /// Lets an alert fire that is worth so many pages; returns its id once the bridge has stored it.
    async fn fire(&mut self, spec: AlertSpec, pages: usize) -> Result<String, DemoError> {
        let id = self.fire_unheard(spec, pages)?;
        self.stage.stored(&id, MonitorCondition::Fired).await?;
        Ok(id)
    }

    fn fire_unheard(&mut self, spec: AlertSpec, pages: usize) -> Result<String, DemoError> {
        let severity = spec.severity;
        let (id, named) = self.fire_untold(spec, pages)?;
        self.tell.say(Who::Azure, &format!("fires Sev{severity} {named}"))?;
        Ok(id)
    }

    /// Returns the id and the name in words.
    fn fire_untold(&mut self, spec: AlertSpec, pages: usize) -> Result<(String, String), DemoError> {
        let named = match &spec.signal {
            Signal::ServiceHealth(_) => format!("\"{}\"", spec.rule),
            Signal::Metric(_) | Signal::Log(_) | Signal::ActivityLog(_) | Signal::ResourceHealth(_) => {
                format!("\"{}\" on {}", spec.rule, spec.resource)
            }
        };
        let name = named.replace('"', "");
        let kind = match &spec.signal {
            Signal::Metric(_) => "metric",
            Signal::Log(_) => "log",
            Signal::ServiceHealth(_) => "service health",
            Signal::ActivityLog(_) => "activity log",
            Signal::ResourceHealth(_) => "resource health",
        };
        let id = self.stage.scene.azure.fire(spec)?;
        self.parts.push(Part::of_alert(name, kind, &id, pages));
        Ok((id, named))
    }

    /// Waits for the page of an alert and shows it.
    async fn rings(&mut self, alert: &str, team: &str, shown: Shown) -> Result<signl4::Alert, DemoError> {
        let page = self.stage.page(alert, team).await?;
        let fired_at = self.stage.scene.azure.alert(alert).map(|alert| alert.fired_at);
        let late =
            fired_at.map_or_else(String::new, |at| format!(", {} after it fired", span(page.created_at.since(at))));
        let whom = match self.stage.on_duty(team).as_slice() {
            [] => format!("nobody is on duty in the team {team}"),
            people => format!("rings{late}: {}", people.join(", ")),
        };
        self.tell.say(Who::Phone, &whom)?;
        self.tell.page(team, &page, shown)?;
        Ok(page)
    }

    /// Puts the clock forward, and says so.
    async fn later(&mut self, by: Duration, why: &str) -> Result<(), DemoError> {
        self.tell.say(Who::Clock, &format!("is put forward by {}: {why}", span(by)))?;
        self.stage.later(by).await
    }

    /// What the bridge decided, checked against its own record.
    async fn decides(&mut self, alert: &str, reason: &str, text: &str) -> Result<(), DemoError> {
        self.stage.judged(alert, reason).await?;
        Ok(self.tell.say(Who::Bridge, text)?)
    }

    async fn paged_by_route(&mut self, alert: &str) -> Result<(), DemoError> {
        let known = self.stage.known(alert).await?;
        let page = known.pages.first().ok_or_else(|| DemoError::Unexpected(format!("no page for {alert}")))?;
        let text = match &page.route {
            Some(route) => format!("stored; the route \"{route}\" pages the team {}", page.team),
            None => format!("stored; no route takes it: the fallback team {} is paged", page.team),
        };
        let reason = if page.route.is_some() { "raised" } else { "unrouted" };
        self.decides(alert, reason, &text).await
    }

    /// Azure finds that the alert's condition is no longer met.
    async fn resolve(&mut self, alert: &str, text: &str) -> Result<(), DemoError> {
        self.stage.scene.azure.resolve(alert)?;
        self.tell.say(Who::Azure, text)?;
        self.stage.stored(alert, MonitorCondition::Resolved).await
    }

    /// Jane acknowledges; Azure follows.
    async fn jane_acknowledges(
        &mut self,
        alert: &str,
        page: &signl4::Alert,
        note: Option<&str>,
    ) -> Result<(), DemoError> {
        let words = note.map_or_else(String::new, |note| format!(": \"{note}\""));
        self.tell.say(Who::Phone, &format!("{JANE} acknowledges{words}"))?;
        let acknowledged = self.stage.scene.signl4.acknowledge(&page.id, JANE, note)?;
        let change = self.stage.azure_is(alert, AlertState::Acknowledged).await?;
        let since = acknowledged.acknowledged_at.unwrap_or(acknowledged.modified_at);
        let text = format!("is Acknowledged, {} later:\n\"{}\"", span(change.at.since(since)), change.comments);
        Ok(self.tell.say(Who::Azure, &text)?)
    }
}

/// The team of operations, which is also the fallback.
const OPS: &str = TEAM;
