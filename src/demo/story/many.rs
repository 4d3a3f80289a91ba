//! Many alerts at once: a storm, and what a maintenance window has held, each as one page.

use std::time::Duration;

use super::Story;
use crate::demo::DemoError;
use crate::demo::narrate::{Shown, Who, span};
use crate::demo::stage::{PAYMENTS, RICHARD, WINDOW};
use crate::demo::watch::page_id;
use crate::simulator::azure::{AlertSpec, AlertState, Metric, MonitorCondition};
use crate::simulator::signl4;

/// As long as the default of `digest_every`.
const GATHERS: Duration = Duration::from_mins(1);
/// Pages that the default of `storm` lets through in a minute.
const FIRST: usize = 3;
const BURST: usize = 10;
const WINDOW_LENGTH: Duration = Duration::from_mins(2);
/// What a window held is gathered for so long at its end.
const WINDOW_GATHERS: Duration = Duration::from_secs(5);

impl Story<'_, '_, '_> {
    pub(super) async fn storm(&mut self) -> Result<(), DemoError> {
        self.tell.heading("8  A storm: many alerts, few pages")?;
        self.stage.scene.signl4.set_duty(RICHARD, true)?;
        let begun = self.stage.clock().now();
        let mut burst = Vec::new();
        for number in 1..=BURST {
            let alone = number <= FIRST;
            let (id, _) = self.fire_untold(broken(number), usize::from(alone))?;
            self.stage.stored(&id, MonitorCondition::Fired).await?;
            self.rename(&id, if alone { "first of the storm" } else { "rest of the storm" });
            burst.push(id);
        }
        let text = format!(
            "fires {BURST} alerts, on pay-api-1 to pay-api-{BURST}, within {}",
            span(self.stage.clock().now().since(begun))
        );
        self.tell.say(Who::Azure, &text)?;
        let (first, rest) = burst.split_at(FIRST);
        self.tell.say(Who::Phone, &format!("rings for the first {FIRST}, as many as a minute may have: {RICHARD}"))?;
        self.tell.screen_top(&format!(" Payments · team {PAYMENTS} "))?;
        for alert in first {
            let page = self.stage.page(alert, PAYMENTS).await?;
            self.tell.screen_row("", &page.title)?;
        }
        self.tell.screen_bottom()?;
        for alert in rest {
            self.stage.judged(alert, "joined_digest").await?;
        }
        let rest_count = rest.len();
        self.tell.say(Who::Bridge, &format!("gathers the other {rest_count} for {}", span(GATHERS)))?;
        self.tell.pause(1.2).await;
        self.later(GATHERS, "the gathering ends").await?;
        let digest = self.digest_rings(rest).await?;
        self.tell.pause(2.0).await;
        self.tell.say(Who::Phone, &format!("{RICHARD} acknowledges it, once"))?;
        let acknowledged = self.stage.scene.signl4.acknowledge(&digest.id, RICHARD, None)?;
        let since = acknowledged.acknowledged_at.unwrap_or(acknowledged.modified_at);
        let (mut slowest, mut comment) = (Duration::ZERO, String::new());
        for alert in rest {
            let change = self.stage.azure_is(alert, AlertState::Acknowledged).await?;
            slowest = slowest.max(change.at.since(since));
            comment = change.comments;
        }
        let text = format!("all {rest_count} are Acknowledged, {} later:\n\"{comment}\"", span(slowest));
        self.tell.say(Who::Azure, &text)?;
        self.tell.pause(1.2).await;
        Ok(())
    }

    pub(super) async fn maintenance(&mut self) -> Result<(), DemoError> {
        self.tell.heading("9  A maintenance window holds pages, and loses none")?;
        let (file, end) = self.stage.write_window(WINDOW_LENGTH)?;
        let text = format!("writes routes/{file}:\n\"{WINDOW}\" on sql-pay-*, for {}", span(WINDOW_LENGTH));
        self.tell.say(Who::Operator, &text)?;
        self.stage.window_in_force(WINDOW).await?;
        self.tell.say(Who::Bridge, "has found the file, and goes by it without a restart")?;
        let lag = |resource: &str, value| {
            let metric = Metric { name: "Replication lag".to_owned(), threshold: 30.0, value, ..Metric::default() };
            AlertSpec::metric("Replication lag", resource, metric).resource_type("Microsoft.Sql/servers")
        };
        let lasting = [self.fire(lag("sql-pay-1", 71.0), 0).await?, self.fire(lag("sql-pay-2", 64.0), 0).await?];
        let passing = self.fire(lag("sql-pay-3", 38.0), 0).await?;
        for alert in lasting.iter().chain([&passing]) {
            self.stage.judged(alert, "held").await?;
        }
        self.tell.say(Who::Bridge, "holds all three pages: nobody is woken")?;
        self.tell.pause(1.2).await;
        self.resolve(&passing, "resolves the alert on sql-pay-3").await?;
        self.decides(&passing, "resolved_before_paged", "drops its page: nobody will be woken").await?;
        self.tell.pause(1.0).await;
        if lasting.iter().any(|alert| self.stage.pages_of(alert) > 0) {
            return Err(DemoError::Unexpected("a page went out while the maintenance window was open".to_owned()));
        }
        let left = end.since(self.stage.clock().now());
        let text = format!("is put forward by {}: the window ends", span(left.saturating_add(WINDOW_GATHERS)));
        self.tell.say(Who::Clock, &text)?;
        self.stage.later(left).await?;
        for alert in &lasting {
            self.stage.until_judged(alert, "joined_digest").await?;
        }
        self.stage.later(WINDOW_GATHERS).await?;
        self.digest_rings(&lasting).await?;
        if self.stage.pages_of(&passing) > 0 {
            return Err(DemoError::Unexpected("what was over within the window was paged".to_owned()));
        }
        self.tell.say(Who::Bridge, "paged what still fires, as one; sql-pay-3 woke nobody")?;
        self.tell.pause(1.2).await;
        Ok(())
    }

    /// Waits for the one page of several alerts, shows it, and remembers that it is theirs.
    async fn digest_rings(&mut self, members: &[String]) -> Result<signl4::Alert, DemoError> {
        let title = format!("{} alerts", members.len());
        let known = |page: &signl4::Alert| self.parts.iter().any(|part| page.external_id.as_ref() == Some(&part.page));
        let digest = self
            .stage
            .page_that("the page of the digest", PAYMENTS, |page| page.title.starts_with(&title) && !known(page))
            .await?;
        let id = digest.external_id.clone().unwrap_or_default();
        for member in members {
            let own = page_id(member);
            for part in self.parts.iter_mut().filter(|part| part.page == own) {
                part.is_shown_by(&id);
            }
        }
        self.tell.say(Who::Phone, &format!("rings once for {}: {RICHARD}", members.len()))?;
        self.tell.page(PAYMENTS, &digest, Shown::Whole)?;
        Ok(digest)
    }

    fn rename(&mut self, alert: &str, name: &str) {
        let mine = |part: &&mut crate::demo::agree::Part| part.alert.as_deref() == Some(alert);
        self.parts.iter_mut().filter(mine).for_each(|part| name.clone_into(&mut part.name));
    }
}

/// One of the burst.
fn broken(number: usize) -> AlertSpec {
    let resource = format!("pay-api-{number}");
    let severe = number.is_multiple_of(4);
    let (rule, name, threshold, value) =
        if severe { ("Slow payments", "HttpResponseTime", 2.0, 9.5) } else { ("Payment errors", "Http5xx", 5.0, 46.0) };
    let metric = Metric { name: name.to_owned(), threshold, value, ..Metric::default() };
    AlertSpec::metric(rule, &resource, metric).resource_type("Microsoft.Web/sites").severity(u8::from(!severe))
}
