//! What no webhook tells: somebody acts in the portal, a webhook is lost. The bridge asks Azure, and finds both.

use std::time::Duration;

use super::{OPS, Story};
use crate::demo::DemoError;
use crate::demo::narrate::{Shown, Who};
use crate::simulator::azure::{AlertSpec, AlertState, Metric};
use crate::simulator::signl4::AlertStatus;

/// Somebody who has the Azure portal open.
const MARY: &str = "mary.major@contoso.com";
const RULE: &str = "Disk almost full";

impl Story<'_, '_, '_> {
    pub(super) async fn found_by_poll(&mut self) -> Result<(), DemoError> {
        self.tell.heading("7  What no webhook tells, the bridge's poll of Azure finds")?;
        let backlog = self.part_of("Queue backlog")?;
        let page = self.stage.page(&backlog, OPS).await?;
        self.stage.scene.azure.set_state(&backlog, AlertState::Acknowledged, MARY, "")?;
        self.tell.say(
            Who::Azure,
            "Mary Major acknowledges \"Queue backlog\" in the portal; Azure has\nno webhook that would tell of it",
        )?;
        self.tell.pause(1.0).await;
        self.stage.scene.azure.webhooks().lose_next(1);
        let metric =
            Metric { name: "Disk Used Percentage".to_owned(), threshold: 90.0, value: 97.0, ..Metric::default() };
        let lost = self.fire_unheard(AlertSpec::metric(RULE, "vm-web-4", metric).resource_group("rg-web"), 1)?;
        self.stage.lost(&lost).await?;
        self.tell.say(Who::Azure, "drops the webhook of this one: the bridge hears nothing")?;
        self.tell.pause(1.0).await;
        self.later(Duration::from_secs(30), "time for a poll").await?;
        let acknowledged = self.stage.page_is(&page, AlertStatus::Acknowledged).await?;
        self.polled(&backlog, "acknowledged_in_azure").await?;
        self.tell.say(Who::Bridge, "finds the acknowledgement by poll, and tells SIGNL4")?;
        let note = self.stage.note(&acknowledged, "in Azure").await?;
        self.tell.say(Who::Phone, &format!("shows it as acknowledged, with a note:\n\"{note}\""))?;
        self.tell.pause(1.2).await;
        if self.stage.pages_of(&lost) > 0 {
            return Err(DemoError::Unexpected("an alert was paged before its webhook could be late".to_owned()));
        }
        self.later(Duration::from_secs(90), "so long a late webhook is waited for").await?;
        self.stage.page(&lost, OPS).await?;
        self.polled(&lost, "raised").await?;
        self.found(RULE, "webhook_missing")?;
        self.tell.say(
            Who::Bridge,
            "finds vm-web-4 by poll: its rule has called before, but not now\n\
             (/api/events: \"contoso by poll\"; /metrics: \"webhook_missing\")",
        )?;
        self.rings(&lost, OPS, Shown::Locked).await?;
        self.tell.pause(1.2).await;
        Ok(())
    }

    /// The Azure alert of an earlier part.
    fn part_of(&self, rule: &str) -> Result<String, DemoError> {
        let part = self.parts.iter().find(|part| part.name.starts_with(rule));
        let alert = part.and_then(|part| part.alert.clone());
        alert.ok_or_else(|| DemoError::Unexpected(format!("the story has no alert of the rule {rule}")))
    }

    /// Fails unless an event of the alert with this reason came from a poll.
    async fn polled(&self, alert: &str, reason: &str) -> Result<(), DemoError> {
        self.stage.judged_from(alert, reason, Some("contoso by poll")).await
    }

    /// Fails unless the bridge's metrics count an alert of the rule as found by poll for this reason.
    fn found(&self, rule: &str, why: &str) -> Result<(), DemoError> {
        let metrics = self.stage.bridge()?.telemetry.render(None, &[], self.stage.clock().now());
        let (rule_label, why_label) = (format!("rule=\"{rule}\""), format!("why=\"{why}\""));
        let counted = |line: &str| {
            line.starts_with("bridge_alerts_found_by_poll_total")
                && line.contains(&rule_label)
                && line.contains(&why_label)
        };
        if metrics.lines().any(counted) {
            return Ok(());
        }
        Err(DemoError::Unexpected(format!("the metrics do not count {rule} as found by poll, {why}")))
    }
}
