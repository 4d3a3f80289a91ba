//! Trouble: a body that nobody can read, an outage of SIGNL4, and a restart of the bridge in the middle of it.

use bytes::Bytes;

use super::{OPS, Story};
use crate::demo::DemoError;
use crate::demo::agree::Part;
use crate::demo::narrate::{Shown, Who, span};
use crate::simulator::azure::{AlertSpec, Metric, MonitorCondition};
use crate::simulator::faults::Door;

impl Story<'_, '_, '_> {
    pub(super) async fn unreadable(&mut self) -> Result<(), DemoError> {
        self.tell.say(Who::Azure, "sends half a body, cut off on its way")?;
        let body = br#"{"schemaId":"azureMonitorCommonAlertSchema","data":{"essentials":{"alertRule":"Cert"#;
        self.stage.scene.azure.send_raw(&Bytes::from_static(body));
        let page = self
            .stage
            .page_that("the page for a body that cannot be read", OPS, |page| page.title.starts_with("Unreadable"))
            .await?;
        self.parts.push(Part {
            name: "half a body".to_owned(),
            kind: None,
            alert: None,
            page: page.external_id.clone().unwrap_or_default(),
            pages: 1,
            over: false,
        });
        self.tell.say(Who::Bridge, "keeps it and pages the fallback team: an answer of 400 would\nlose it for ever")?;
        self.tell.page(OPS, &page, Shown::Locked)?;
        self.tell.pause(1.2).await;
        Ok(())
    }

    pub(super) async fn outage(&mut self) -> Result<(), DemoError> {
        self.tell.heading("6  SIGNL4 is away, and the bridge restarts in the middle of it")?;
        self.stage.scene.signl4.faults().set_door(Door::Unavailable).await;
        self.tell.say(Who::Signl4, "answers everything with 503 from now on")?;
        let latency = |resource: &str, value| {
            let metric = Metric { name: "HttpResponseTime".to_owned(), threshold: 2.0, value, ..Metric::default() };
            AlertSpec::metric("Slow responses", resource, metric)
                .resource_group("rg-web")
                .resource_type("Microsoft.Web/sites")
        };
        let lasting = self.fire(latency("shop", 7.9).severity(0), 1).await?;
        let passing = self.fire(latency("search", 2.4), 0).await?;
        let tries = self.stage.turned_away(&lasting, 2).await?;
        let text = format!(
            "stored both and answered 200; SIGNL4 turned the page of shop\naway {tries} times, and it stays due"
        );
        self.tell.say(Who::Bridge, &text)?;
        self.tell.pause(1.0).await;
        self.stage.turned_away(&passing, 1).await?;
        self.resolve(&passing, "resolves the alert on search").await?;
        let known = self.stage.known(&passing).await?;
        if known.pages.iter().any(|page| !page.is_ended()) {
            return Err(DemoError::Unexpected("the bridge did not withdraw the page of search".to_owned()));
        }
        self.tell.say(Who::Bridge, "withdraws that page: it never arrived, and never will")?;
        self.tell.pause(1.0).await;
        let missed = self.restart(latency("basket", 3.1)).await?;
        let tries = self.stage.turned_away(&lasting, tries + 1).await?;
        self.tell.say(Who::Bridge, &format!("goes on trying: {tries} tries by now"))?;
        self.tell.pause(0.7).await;
        self.stage.scene.signl4.faults().set_door(Door::Open).await;
        self.tell.say(Who::Signl4, "is back")?;
        let page = self.rings(&lasting, OPS, Shown::Locked).await?;
        self.rings(&missed, OPS, Shown::Locked).await?;
        if self.stage.pages_of(&passing) > 0 {
            return Err(DemoError::Unexpected("the alert on search was paged after it was over".to_owned()));
        }
        self.tell.say(
            Who::Bridge,
            "paged what still fires; search was over during the outage, and\nnobody was woken for it",
        )?;
        self.tell.pause(1.2).await;
        self.jane_acknowledges(&lasting, &page, None).await?;
        self.tell.pause(1.0).await;
        Ok(())
    }

    /// Stops the bridge, lets an alert fire meanwhile, and starts it again on the same store.
    async fn restart(&mut self, spec: AlertSpec) -> Result<String, DemoError> {
        self.stage.stop_bridge().await?;
        self.tell.say(Who::Bridge, "is stopped, with a page undelivered")?;
        let missed = self.fire_unheard(spec, 1)?;
        self.stage.not_reached(&missed).await?;
        self.tell.say(Who::Azure, "finds nobody at the bridge's address; action groups try again")?;
        self.tell.pause(self.tell.speed().min(1.0)).await;
        self.stage.restart_bridge().await?;
        let open = self.stage.bridge()?.store.health().await?;
        let owed = open.due + open.leased;
        let deliveries = if owed == 1 { "delivery is" } else { "deliveries are" };
        let text = format!("runs again on the same store; {owed} {deliveries} still owed");
        self.tell.say(Who::Bridge, &text)?;
        self.stage.stored(&missed, MonitorCondition::Fired).await?;
        let fired_at = self.stage.scene.azure.alert(&missed).map(|alert| alert.fired_at);
        let late = fired_at.map_or_else(String::new, |at| {
            format!(", {} after the alert fired", span(self.stage.clock().now().since(at)))
        });
        self.tell.say(Who::Azure, &format!("delivers at its next try{late}"))?;
        Ok(missed)
    }
}
