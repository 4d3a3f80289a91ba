//! What the story waits for: states of the two simulators, and what the bridge made of an event. Every wait has an end.

use super::DemoError;
use super::stage::Stage;
use crate::domain::id::AlertId;
use crate::domain::page::Known;
use crate::simulator::azure::{self, AlertState, MonitorCondition};
use crate::simulator::calls::{Answered, Operation};
use crate::simulator::outbox::Sent;
use crate::simulator::scene::SUBSCRIPTION;
use crate::simulator::signl4::{self, AlertStatus};

/// More events than the story makes.
const EVENTS: usize = 500;

/// The external id of an alert's first page; those of further pages add `:2`, `:3` …
pub(super) fn page_id(alert: &str) -> String {
    format!("azmon:{SUBSCRIPTION}:{alert}")
}

/// Whether an external id is that of a page of the alert whose first page has the id `first`.
pub(super) fn is_page_of(external_id: Option<&str>, first: &str) -> bool {
    external_id.and_then(|id| id.strip_prefix(first)).is_some_and(|number| number.is_empty() || number.starts_with(':'))
}

pub(super) fn team_name(state: &signl4::State, page: &signl4::Alert) -> String {
    state.team(&page.team).map_or_else(|| page.team.clone(), |team| team.name.clone())
}

/// Whether this try was to tell that the alert fired, or was resolved.
fn tells(attempt: &crate::simulator::outbox::Attempt, alert: &str, condition: MonitorCondition) -> bool {
    let essential = |name: &str| {
        attempt
            .body
            .pointer(&format!("/data/essentials/{name}"))
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    essential("alertId").ends_with(alert) && essential("monitorCondition") == condition.as_str()
}

impl Stage {
    /// Until the bridge has answered 200, which it does only when the event is stored.
    pub(super) async fn stored(&self, alert: &str, condition: MonitorCondition) -> Result<(), DemoError> {
        self.stored_times(alert, condition, 1).await
    }

    /// Until the bridge has answered that many webhooks of the alert with 200.
    pub(super) async fn stored_times(
        &self,
        alert: &str,
        condition: MonitorCondition,
        times: usize,
    ) -> Result<(), DemoError> {
        let what = format!("the bridge's 200 to the {} of {}", condition.as_str(), self.named(alert));
        let found = |state: &azure::State| {
            let taken = state.attempts.iter().filter(|attempt| attempt.accepted() && tells(attempt, alert, condition));
            taken.count() >= times
        };
        Ok(self.scene.azure.wait_until(&what, found).await?)
    }

    /// Until Azure has found nobody who listens.
    pub(super) async fn not_reached(&self, alert: &str) -> Result<(), DemoError> {
        let found = |state: &azure::State| {
            let failed = |sent: &Sent| matches!(sent, Sent::Failed(_));
            let mut tries = state.attempts.iter().filter(|attempt| tells(attempt, alert, MonitorCondition::Fired));
            tries.any(|attempt| failed(&attempt.sent))
        };
        Ok(self.scene.azure.wait_until("Azure's try to reach the stopped bridge", found).await?)
    }

    /// Until the webhook that tells of it is lost.
    pub(super) async fn lost(&self, alert: &str) -> Result<(), DemoError> {
        let found = |state: &azure::State| {
            let mut tries = state.attempts.iter().filter(|attempt| tells(attempt, alert, MonitorCondition::Fired));
            tries.any(|attempt| attempt.sent == Sent::Lost)
        };
        Ok(self.scene.azure.wait_until("the loss of a webhook", found).await?)
    }

    /// Until the page has a note with these words; returns it.
    pub(super) async fn note(&self, page: &signl4::Alert, words: &str) -> Result<String, DemoError> {
        let what = format!("the note \"{words}\" on \"{}\"", page.title);
        let found = |state: &signl4::State| {
            let page = state.alert(&page.id)?;
            page.notes().into_iter().find(|note| note.contains(words)).map(str::to_owned)
        };
        Ok(self.scene.signl4.wait_for(&what, found).await?)
    }

    pub(super) async fn page(&self, alert: &str, team: &str) -> Result<signl4::Alert, DemoError> {
        let first = page_id(alert);
        self.page_that(&format!("the page of {} in the team {team}", self.named(alert)), team, |page| {
            is_page_of(page.external_id.as_deref(), &first)
        })
        .await
    }

    /// Until SIGNL4 has such a page in the team; the newest, if there are several.
    pub(super) async fn page_that(
        &self,
        what: &str,
        team: &str,
        wanted: impl Fn(&signl4::Alert) -> bool,
    ) -> Result<signl4::Alert, DemoError> {
        let found = |state: &signl4::State| {
            state.alerts.iter().rev().find(|page| team_name(state, page) == team && wanted(page)).cloned()
        };
        Ok(self.scene.signl4.wait_for(what, found).await?)
    }

    pub(super) async fn page_is(&self, page: &signl4::Alert, status: AlertStatus) -> Result<signl4::Alert, DemoError> {
        let what = format!("the change of \"{}\" to {status:?} on the phone", page.title);
        let found = |state: &signl4::State| state.alert(&page.id).filter(|page| page.status == status).cloned();
        Ok(self.scene.signl4.wait_for(&what, found).await?)
    }

    pub(super) async fn azure_is(&self, alert: &str, state: AlertState) -> Result<azure::Modification, DemoError> {
        let what = format!("the change of {} to {} in Azure", self.named(alert), state.as_str());
        self.azure_history(&what, alert, |entry| entry.event == "StateChange" && entry.new == state.as_str()).await
    }

    pub(super) async fn azure_comment(&self, alert: &str, words: &str) -> Result<azure::Modification, DemoError> {
        let what = format!("the comment \"{words}\" on {} in Azure", self.named(alert));
        self.azure_history(&what, alert, |entry| entry.comments.contains(words)).await
    }

    async fn azure_history(
        &self,
        what: &str,
        alert: &str,
        wanted: impl Fn(&azure::Modification) -> bool,
    ) -> Result<azure::Modification, DemoError> {
        let found = |state: &azure::State| {
            state.alerts.get(alert).and_then(|alert| alert.history.iter().rev().find(|entry| wanted(entry)).cloned())
        };
        Ok(self.scene.azure.wait_for(what, found).await?)
    }

    /// Until SIGNL4 has answered that many tries to raise the page with 503; says how many there were.
    pub(super) async fn turned_away(&self, alert: &str, times: usize) -> Result<usize, DemoError> {
        let first = page_id(alert);
        let tries = |state: &signl4::State| {
            let raises = state.calls_of(Operation::Webhook);
            raises
                .filter(|call| call.answered == Answered::Status(503))
                .filter(|call| call.json().get("X-S4-ExternalID").and_then(serde_json::Value::as_str) == Some(&first))
                .count()
        };
        let found = |state: &signl4::State| Some(tries(state)).filter(|count| *count >= times);
        Ok(self.scene.signl4.wait_for("the bridge's tries to reach SIGNL4", found).await?)
    }

    /// An alert in words, as the story tells it.
    fn named(&self, alert: &str) -> String {
        let found = self.scene.azure.alert(alert);
        found.map_or_else(|| alert.to_owned(), |found| format!("\"{}\" on {}", found.spec.rule, found.spec.resource))
    }

    /// How many pages of the alert there are in SIGNL4.
    pub(super) fn pages_of(&self, alert: &str) -> usize {
        let first = page_id(alert);
        self.scene
            .signl4
            .read(|state| state.alerts.iter().filter(|page| is_page_of(page.external_id.as_deref(), &first)).count())
    }

    /// What the bridge knows of an alert that it has stored.
    pub(super) async fn known(&self, alert: &str) -> Result<Known, DemoError> {
        let Some(alert) = self.scene.azure.alert(alert) else {
            return Err(DemoError::Unexpected(format!("Azure does not know the alert {alert}")));
        };
        Ok(self.bridge()?.store.known(AlertId::parse(&alert.arm_id()).key().clone()).await?)
    }

    /// Fails unless the bridge's verdict on one of the alert's events has this reason.
    pub(super) async fn judged(&self, alert: &str, reason: &str) -> Result<(), DemoError> {
        self.judged_from(alert, reason, None).await
    }

    /// The same of the events of one source, if any is given.
    pub(super) async fn judged_from(&self, alert: &str, reason: &str, source: Option<&str>) -> Result<(), DemoError> {
        if self.is_judged(alert, reason, source).await? {
            return Ok(());
        }
        let source = source.map_or_else(String::new, |source| format!(" and source `{source}`"));
        Err(DemoError::Unexpected(format!(
            "the bridge has no event of {} that it judged `{reason}`{source}",
            self.named(alert)
        )))
    }

    /// Until one of the alert's events is judged so.
    pub(super) async fn until_judged(&self, alert: &str, reason: &str) -> Result<(), DemoError> {
        let what = format!("the judgement `{reason}` of {}", self.named(alert));
        self.until(&what, async || self.is_judged(alert, reason, None).await).await
    }

    async fn is_judged(&self, alert: &str, reason: &str, source: Option<&str>) -> Result<bool, DemoError> {
        let events = self.bridge()?.store.events(EVENTS).await?;
        let mut of_alert = events.iter().filter(|event| event.alert.as_deref().is_some_and(|key| key.ends_with(alert)));
        Ok(of_alert.any(|event| event.reason == reason && source.is_none_or(|source| event.source == source)))
    }

    /// Until the bridge goes by a maintenance window.
    pub(super) async fn window_in_force(&self, name: &str) -> Result<(), DemoError> {
        let in_force = async || Ok(self.bridge()?.rules.load().windows.iter().any(|window| window.name == name));
        self.until("the bridge's look into the changed routes", in_force).await
    }

    /// Names of the people on duty.
    pub(super) fn on_duty(&self, team: &str) -> Vec<String> {
        self.scene.signl4.read(|state| state.on_duty(team).iter().map(|person| person.name.clone()).collect())
    }
}
