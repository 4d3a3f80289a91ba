//! One alert of each kind that Azure has, in the very bodies that its webhooks bring, as they look on a locked phone.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{OPS, Story};
use crate::demo::DemoError;
use crate::demo::agree::Part;
use crate::demo::narrate::{Who, span};
use crate::domain::timestamp::Timestamp;
use crate::simulator::azure::{AlertSpec, Log, MonitorCondition};
use crate::simulator::scene::SUBSCRIPTION;
use crate::simulator::signl4::{self, AlertStatus};

/// The subscription of the fixtures; the simulated Azure has another one.
const FIXTURES: &str = "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604";

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/azure/", $name, ".json"))
    };
}

/// A name that fits beside the screen, and a webhook body.
const KINDS: [(&str, &str); 11] = [
    (ISSUE, fixture!("service-health-incident-fired")),
    (HEALTH, fixture!("resource-health-unavailable-fired")),
    ("activity log", fixture!("activity-log-administrative-fired")),
    ("dynamic metric", fixture!("metric-dynamic-fired")),
    ("web test", fixture!("metric-web-test-fired")),
    ("row of a log", fixture!("simple-log-alert-fired")),
    ("log, old API", fixture!("log-v1-metric-measurement-fired")),
    ("Prometheus", fixture!("prometheus-fired")),
    ("smart detector", fixture!("smart-detector-fired")),
    ("budget", fixture!("cost-alert-forecast-fired")),
    ("older payload", fixture!("legacy-metric-v2-activated")),
];
const ISSUE: &str = "service health";
const HEALTH: &str = "resource health";
const TEST: &str = "test button";

/// What ends the matter of an earlier one, as an alert of its own that fires.
const ENDINGS: [(&str, &str); 2] = [
    (ISSUE, fixture!("service-health-incident-mitigated-fired")),
    (HEALTH, fixture!("resource-health-available-fired")),
];

impl Story<'_, '_, '_> {
    pub(super) async fn every_kind(&mut self) -> Result<(), DemoError> {
        self.tell.heading("4  Every kind of alert reads well on a locked phone")?;
        self.tell.say(Who::Azure, "fires one of each kind")?;
        self.tell.screen_top(&format!(" team {OPS} "))?;
        let mut slowest = Duration::ZERO;
        let mut open = Vec::new();
        for (kind, body) in KINDS {
            let page = self.one_of(kind, Some(body), &mut slowest).await?;
            open.push((kind, page));
        }
        self.one_of(TEST, None, &mut slowest).await?;
        self.tell.screen_bottom()?;
        let text = format!("{} kinds, each on the phones within {}", KINDS.len() + 1, span(slowest));
        self.tell.say(Who::Bridge, &text)?;
        self.tell.pause(1.0).await;
        self.tell
            .say(Who::Azure, "fires two more: the service issue is resolved, and the\ndatabase is available again")?;
        for (kind, body) in ENDINGS {
            self.send(&fixture(body, self.stage.clock().now())?).await?;
            let page = open.iter().find(|(opened, _)| *opened == kind).map(|(_, page)| page);
            if let Some(page) = page {
                self.stage.page_is(page, AlertStatus::Closed).await?;
                self.parts.iter_mut().filter(|part| part.kind == Some(kind)).for_each(Part::is_over);
            }
        }
        self.tell.say(Who::Phone, "the pages of both end by themselves")?;
        self.tell.pause(1.0).await;
        let backup = Log { query: "BackupJobs | where Status == 'Completed'".to_owned(), ..Log::default() };
        let quiet = self.fire(AlertSpec::log("Backup report", "log-main", backup).severity(4), 0).await?;
        let text = "recorded, as the route \"informational\" says: nobody is woken";
        self.decides(&quiet, "recorded_by_route", text).await?;
        self.tell.pause(1.5).await;
        Ok(())
    }

    /// Lets it fire and shows its page; without a body it is what the portal's test button sends.
    async fn one_of(
        &mut self,
        kind: &'static str,
        body: Option<&str>,
        slowest: &mut Duration,
    ) -> Result<signl4::Alert, DemoError> {
        let before = self.stage.scene.signl4.read(page_ids);
        let fired_at = self.stage.clock().now();
        let alert = if let Some(body) = body {
            self.send(&fixture(body, fired_at)?).await?
        } else {
            self.stage.scene.azure.fire_test();
            None
        };
        let what = format!("the page of the alert of the kind {kind}");
        let page = self.stage.page_that(&what, OPS, |page| !before.contains(&page.id)).await?;
        *slowest = page.created_at.since(fired_at).max(*slowest);
        self.parts.push(Part {
            name: if alert.is_some() { "one of each kind" } else { "not kept in Azure" }.to_owned(),
            kind: Some(kind),
            alert,
            page: page.external_id.clone().unwrap_or_default(),
            pages: 1,
            over: false,
        });
        self.tell.screen_row(kind, &page.title)?;
        self.tell.pause(0.3).await;
        Ok(page)
    }

    /// Sends the body; returns the alert's id, where it is one that Azure then has.
    async fn send(&mut self, body: &Value) -> Result<Option<String>, DemoError> {
        let essential = |name: &str| {
            let value = body.pointer(&format!("/data/essentials/{name}")).and_then(Value::as_str);
            value.map(|value| value.rsplit('/').next().unwrap_or(value).to_owned())
        };
        let azure = &self.stage.scene.azure;
        let Some(id) = essential("alertId").filter(|id| uuid::Uuid::try_parse(id).is_ok()) else {
            azure.send_body(body);
            return Ok(None);
        };
        let rule = essential("alertRule").unwrap_or_default();
        let resource = body.pointer("/data/essentials/configurationItems/0").and_then(Value::as_str);
        let spec =
            AlertSpec { id: Some(id), rule, resource: resource.unwrap_or_default().to_owned(), ..AlertSpec::default() };
        let id = azure.fire_with(spec, body)?;
        self.stage.stored(&id, MonitorCondition::Fired).await?;
        Ok(Some(id))
    }
}

/// The body as if it fired now: to a poll that lists the alert with another time it would be another firing.
fn fixture(text: &str, now: Timestamp) -> Result<Value, DemoError> {
    let mut body: Value = serde_json::from_str(&text.replace(FIXTURES, SUBSCRIPTION))
        .map_err(|error| DemoError::Unexpected(format!("an example is no JSON: {error}")))?;
    if let Some(fired_at) = body.pointer_mut("/data/essentials/firedDateTime") {
        *fired_at = Value::from(now.to_string());
    }
    Ok(body)
}

fn page_ids(state: &signl4::State) -> BTreeSet<String> {
    state.alerts.iter().map(|page| page.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_fire_now_and_in_the_simulated_subscription() {
        let now = Timestamp::parse("2026-12-01T22:00:00Z").unwrap();
        for (kind, text) in KINDS.into_iter().chain(ENDINGS) {
            let body = fixture(text, now).unwrap();
            let fired_at = body.pointer("/data/essentials/firedDateTime").and_then(Value::as_str);
            assert!(fired_at.is_none_or(|fired_at| fired_at == "2026-12-01T22:00:00Z"), "{kind}");
            assert!(!body.to_string().contains(FIXTURES), "{kind}");
        }
    }
}
