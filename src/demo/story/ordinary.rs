//! An ordinary night: pages, acknowledgements, notes, closes, and what wakes nobody.

use super::{OPS, Story};
use crate::demo::DemoError;
use crate::demo::narrate::{Shown, Who, span};
use crate::demo::stage::PAYMENTS;
use crate::simulator::azure::{AlertSpec, AlertState, Log, Metric, MonitorCondition};
use crate::simulator::scene::JANE;
use crate::simulator::signl4::AlertStatus;

impl Story<'_, '_, '_> {
    pub(super) async fn there_and_back(&mut self) -> Result<(), DemoError> {
        self.tell.heading("1  There and back: a page, an acknowledgement, a note, a close")?;
        let spec = AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
            .resource_group("rg-web")
            .description("The web tier is short of processor time.");
        let alert = self.fire(spec, 1).await?;
        self.paged_by_route(&alert).await?;
        let page = self.rings(&alert, OPS, Shown::Whole).await?;
        self.tell.pause(2.0).await;
        self.jane_acknowledges(&alert, &page, Some("on it")).await?;
        self.tell.pause(1.2).await;
        let note = "two more instances are up";
        self.tell.say(Who::Phone, &format!("{JANE} adds a note: \"{note}\""))?;
        let annotation = self.stage.scene.signl4.annotate(&page.id, JANE, note)?;
        let comment = self.stage.azure_comment(&alert, note).await?;
        let text =
            format!("has the comment, {} later:\n\"{}\"", span(comment.at.since(annotation.at)), comment.comments);
        self.tell.say(Who::Azure, &text)?;
        self.tell.pause(1.0).await;
        self.tell.say(Who::Phone, &format!("{JANE} closes it"))?;
        let closed = self.stage.scene.signl4.close(&page.id, JANE, None)?;
        let change = self.stage.azure_is(&alert, AlertState::Closed).await?;
        let text = format!("is Closed, {} later:\n\"{}\"", span(change.at.since(closed.modified_at)), change.comments);
        self.tell.say(Who::Azure, &text)?;
        self.tell.pause(1.2).await;
        Ok(())
    }

    pub(super) async fn resolved_in_azure(&mut self) -> Result<(), DemoError> {
        self.tell.heading("2  Azure says it is over, and the page ends by itself")?;
        let log = Log {
            query: "AppEvents | where Name == 'PaymentFailed'".to_owned(),
            threshold: 20.0,
            value: 37.0,
            ..Log::default()
        };
        let alert = self.fire(AlertSpec::log("Failed payments", "log-shop", log), 1).await?;
        self.paged_by_route(&alert).await?;
        let page = self.rings(&alert, PAYMENTS, Shown::Whole).await?;
        self.tell.pause(1.2).await;
        self.resolve(&alert, "resolves it: payments succeed again").await?;
        let ended = self.stage.page_is(&page, AlertStatus::Closed).await?;
        let resolved_at = self.stage.scene.azure.alert(&alert).and_then(|alert| alert.resolved_at);
        let late = resolved_at.map_or_else(String::new, |at| format!(", {} later", span(ended.modified_at.since(at))));
        self.tell.say(Who::Phone, &format!("the page ends by itself{late}"))?;
        self.tell.pause(1.2).await;
        Ok(())
    }

    pub(super) async fn short_peaks(&mut self) -> Result<(), DemoError> {
        self.tell.heading("3  Short peaks wake nobody, lasting ones do")?;
        let memory = |resource: &str, value| {
            let metric = Metric { name: "Memory Percentage".to_owned(), threshold: 85.0, value, ..Metric::default() };
            AlertSpec::metric("Memory high", resource, metric).resource_group("rg-web").severity(2)
        };
        let peak = self.fire(memory("vm-web-2", 88.1), 0).await?;
        let lasting = self.fire(memory("vm-web-3", 93.6), 1).await?;
        let grace = span(self.stage.grace());
        let text = format!(
            "stored; the route \"web: peaks\" holds both pages for {grace}:\nwhat is over by then wakes nobody"
        );
        self.stage.judged(&peak, "held").await?;
        self.decides(&lasting, "held", &text).await?;
        // Within the grace at any speed: the end of the peak is what this scene is about.
        self.tell.pause(self.tell.speed().min(1.0)).await;
        self.resolve(&peak, "resolves the alert on vm-web-2").await?;
        self.decides(&peak, "resolved_before_paged", "drops the held page of vm-web-2: nobody is woken").await?;
        self.tell.say(Who::Bridge, "waits for the other one …")?;
        // It fired later: its page also proves that the time of the first has come and gone.
        self.rings(&lasting, OPS, Shown::Locked).await?;
        if self.stage.pages_of(&peak) > 0 {
            return Err(DemoError::Unexpected("the peak on vm-web-2 was paged".to_owned()));
        }
        self.tell.pause(1.2).await;
        Ok(())
    }

    pub(super) async fn nothing_falls_through(&mut self) -> Result<(), DemoError> {
        self.tell.heading("5  Nothing falls through")?;
        self.unrouted().await?;
        self.nobody_on_duty().await?;
        self.told_twice().await?;
        self.unreadable().await
    }

    async fn unrouted(&mut self) -> Result<(), DemoError> {
        let metric =
            Metric { name: "Messages in queue".to_owned(), threshold: 500.0, value: 1312.0, ..Metric::default() };
        let spec = AlertSpec::metric("Queue backlog", "sb-orders", metric)
            .resource_group("rg-orders")
            .resource_type("Microsoft.ServiceBus/namespaces")
            .severity(2);
        let alert = self.fire(spec, 1).await?;
        self.paged_by_route(&alert).await?;
        self.rings(&alert, OPS, Shown::Locked).await?;
        self.tell.pause(1.0).await;
        Ok(())
    }

    async fn nobody_on_duty(&mut self) -> Result<(), DemoError> {
        let person = crate::demo::stage::RICHARD;
        self.stage.scene.signl4.set_duty(person, false)?;
        self.tell.say(Who::Phone, &format!("{person} goes off duty; {PAYMENTS} has nobody else"))?;
        let metric = Metric { name: "Http5xx".to_owned(), threshold: 5.0, value: 18.0, ..Metric::default() };
        let spec = AlertSpec::metric("Checkout errors", "checkout", metric).resource_type("Microsoft.Web/sites");
        let alert = self.fire(spec, 2).await?;
        self.paged_by_route(&alert).await?;
        self.tell.say(Who::Signl4, &format!("reports that nobody is on duty in {PAYMENTS}"))?;
        let comment = self.stage.azure_comment(&alert, "Nobody is on duty").await?;
        self.tell.say(Who::Bridge, &format!("pages the fallback team, and tells Azure:\n\"{}\"", comment.comments))?;
        let page = self.rings(&alert, OPS, Shown::Locked).await?;
        self.tell.pause(1.0).await;
        self.jane_acknowledges(&alert, &page, None).await?;
        self.tell.pause(1.0).await;
        Ok(())
    }

    async fn told_twice(&mut self) -> Result<(), DemoError> {
        self.stage.scene.azure.webhooks().duplicate_next(1);
        let metric =
            Metric { name: "Disk Used Percentage".to_owned(), threshold: 90.0, value: 94.0, ..Metric::default() };
        let spec = AlertSpec::metric("Disk almost full", "vm-web-1", metric).resource_group("rg-web");
        let alert = self.fire(spec, 1).await?;
        self.tell.say(Who::Azure, "sends the webhook twice, as two action groups do")?;
        self.stage.stored_times(&alert, MonitorCondition::Fired, 2).await?;
        self.rings(&alert, OPS, Shown::Locked).await?;
        let pages = self.stage.pages_of(&alert);
        if pages != 1 {
            return Err(DemoError::Unexpected(format!("a webhook that came twice made {pages} pages")));
        }
        self.tell.say(Who::Bridge, "answered both with 200 and paged once")?;
        self.tell.pause(1.0).await;
        Ok(())
    }
}
