//! What happens in Azure: alerts fire and resolve, people change states in the portal, action groups call webhooks.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::alert::{Alert, AlertState, Modification, MonitorCondition};
use super::signing::SecureWebhook;
use super::spec::AlertSpec;
use super::{Azure, payload};
use crate::domain::timestamp::Timestamp;
use crate::simulator::calls::redact_url;

/// A webhook receiver of an action group.
#[derive(Clone, Serialize)]
pub struct Webhook {
    #[serde(serialize_with = "redacted")]
    pub url: String,
    /// Only alerts of this subscription; all if absent.
    pub subscription: Option<String>,
    /// `useAadAuth`: an Entra token goes with each call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure: Option<SecureWebhook>,
}

fn redacted<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&redact_url(url))
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({}, {:?})", redact_url(&self.url), self.subscription)
    }
}

/// Why something cannot happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    #[error("there is no alert `{0}`")]
    UnknownAlert(String),
    #[error("there is no subscription to fire an alert in")]
    NoSubscription,
    #[error("an alert with the id `{0}` has already fired")]
    UsedId(String),
    #[error("severity {0} is none of 0 to 4")]
    BadSeverity(u8),
    #[error("alerts of this kind are stateless and never resolve")]
    Stateless,
    #[error("the alert has already been resolved")]
    AlreadyResolved,
}

impl Azure {
    /// Lets an action group call `url`, whose credentials, if any, go into a Basic `Authorization` header.
    pub fn add_webhook(&self, url: &str, subscription: Option<&str>) {
        self.push_webhook(url, subscription, None);
    }

    /// Lets an action group call `url` as a secure webhook, with an Entra token of Azure's caller.
    pub fn add_secure_webhook(&self, url: &str, subscription: Option<&str>, secure: SecureWebhook) {
        self.push_webhook(url, subscription, Some(secure));
    }

    fn push_webhook(&self, url: &str, subscription: Option<&str>, secure: Option<SecureWebhook>) {
        let webhook = Webhook { url: url.to_owned(), subscription: subscription.map(str::to_lowercase), secure };
        self.shared.change(|state| state.webhooks.push(webhook));
    }

    pub fn remove_webhooks(&self) {
        self.shared.change(|state| state.webhooks.clear());
    }

    /// Fires an alert; returns its GUID. The webhooks go out in the background.
    pub fn fire(&self, spec: AlertSpec) -> Result<String, ActionError> {
        let alert = self.create(spec, self.clock.now())?;
        self.tell(&alert, MonitorCondition::Fired);
        Ok(alert.id)
    }

    /// An alert that fired at `at`, when no webhook told of it: as a subscription has them before somebody watches it.
    pub fn fire_unheard(&self, spec: AlertSpec, at: Timestamp) -> Result<String, ActionError> {
        self.create(spec, at).map(|alert| alert.id)
    }

    /// Fires an alert whose webhooks have a body of the caller's: of a kind that [`AlertSpec`] cannot say.
    pub fn fire_with(&self, spec: AlertSpec, body: &Value) -> Result<String, ActionError> {
        let alert = self.create(spec, self.clock.now())?;
        let about = format!("{} {}", MonitorCondition::Fired.as_str(), alert.spec.rule);
        self.post_of(&alert, &Bytes::from(body.to_string()), &about);
        Ok(alert.id)
    }

    fn create(&self, spec: AlertSpec, at: Timestamp) -> Result<Alert, ActionError> {
        if spec.severity > 4 {
            return Err(ActionError::BadSeverity(spec.severity));
        }
        self.shared.change(|state| {
            let subscription = spec
                .subscription
                .clone()
                .or_else(|| state.subscriptions.keys().next().cloned())
                .ok_or(ActionError::NoSubscription)?;
            let id = spec.id.clone().map_or_else(|| Uuid::new_v4().to_string(), |id| id.to_lowercase());
            if state.alerts.contains_key(&id) {
                return Err(ActionError::UsedId(id));
            }
            let created = Modification {
                event: "AlertCreated",
                old: String::new(),
                new: String::new(),
                at,
                by: "System".to_owned(),
                comments: String::new(),
            };
            let alert = Alert {
                id,
                subscription,
                spec,
                state: AlertState::New,
                condition: MonitorCondition::Fired,
                fired_at: at,
                resolved_at: None,
                modified_at: at,
                modified_by: "System".to_owned(),
                history: vec![created],
                listed_from: None,
            };
            state.alerts.insert(alert.clone());
            Ok(alert)
        })
    }

    /// The condition of a stateful alert is no longer met.
    pub fn resolve(&self, id: &str) -> Result<(), ActionError> {
        let now = self.clock.now();
        let alert = self.change_alert(id, |alert| {
            if !alert.spec.signal.is_stateful() {
                return Err(ActionError::Stateless);
            }
            if alert.condition == MonitorCondition::Resolved {
                return Err(ActionError::AlreadyResolved);
            }
            alert.resolve(now);
            Ok(alert.clone())
        })?;
        self.tell(&alert, MonitorCondition::Resolved);
        Ok(())
    }

    /// Sends the webhook of an alert's present condition once more, as a second action group does.
    pub fn repeat(&self, id: &str) -> Result<(), ActionError> {
        let alert = self.alert(id).ok_or_else(|| ActionError::UnknownAlert(id.to_owned()))?;
        self.tell(&alert, alert.condition);
        Ok(())
    }

    /// Somebody changes the state in the portal. No webhook tells of it.
    pub fn set_state(&self, id: &str, state: AlertState, by: &str, comments: &str) -> Result<(), ActionError> {
        let now = self.clock.now();
        self.change_alert(id, |alert| {
            alert.change_state(state, by, comments, now);
            Ok(())
        })
    }

    /// Lists show the alert from then on only, though it has changed before.
    pub fn list_late(&self, id: &str, from: Timestamp) -> Result<(), ActionError> {
        self.change_alert(id, |alert| {
            alert.listed_from = Some(from);
            Ok(())
        })
    }

    /// Forgets an alert, as Azure does after 30 days.
    pub fn forget(&self, id: &str) -> Result<(), ActionError> {
        self.shared
            .change(|state| state.alerts.remove(id))
            .map(|_| ())
            .ok_or_else(|| ActionError::UnknownAlert(id.to_owned()))
    }

    /// The portal's "Test action group": its ids are the same each time, and no such alert exists.
    pub fn fire_test(&self) {
        let now = self.clock.now();
        let spec = AlertSpec {
            resource_group: "test-RG".to_owned(),
            resource: "test-VM".to_owned(),
            rule: "test-metricAlertRule".to_owned(),
            description: "Alert rule description".to_owned(),
            severity: 4,
            ..AlertSpec::default()
        };
        let alert = Alert {
            id: payload::TEST_ALERT.to_owned(),
            subscription: payload::TEST_SUBSCRIPTION.to_owned(),
            spec,
            state: AlertState::New,
            condition: MonitorCondition::Fired,
            fired_at: now,
            resolved_at: None,
            modified_at: now,
            modified_by: "System".to_owned(),
            history: Vec::new(),
            listed_from: None,
        };
        let body = payload::common_schema(&alert, MonitorCondition::Fired);
        self.post(|_| true, &Bytes::from(body.to_string()), "test notification");
    }

    /// Sends any JSON to all webhooks.
    pub fn send_body(&self, body: &Value) {
        self.send_raw(&Bytes::from(body.to_string()));
    }

    /// Sends any bytes to all webhooks.
    pub fn send_raw(&self, body: &Bytes) {
        self.post(|_| true, body, "a body of the caller's");
    }

    /// The webhook body of an alert as it stands.
    pub fn webhook_body(&self, id: &str) -> Option<Value> {
        self.alert(id).map(|alert| payload::common_schema(&alert, alert.condition))
    }

    fn tell(&self, alert: &Alert, condition: MonitorCondition) {
        if alert.spec.suppressed {
            return;
        }
        let body = payload::common_schema(alert, condition);
        let about = format!("{} {}", condition.as_str(), alert.spec.rule);
        self.post_of(alert, &Bytes::from(body.to_string()), &about);
    }

    fn post_of(&self, alert: &Alert, body: &Bytes, about: &str) {
        let subscription = alert.subscription.to_lowercase();
        let wanted = |webhook: &Webhook| webhook.subscription.as_ref().is_none_or(|wanted| *wanted == subscription);
        self.post(wanted, body, about);
    }

    /// Headers as they were seen on Azure's own requests.
    fn post(&self, wanted: impl Fn(&Webhook) -> bool, body: &Bytes, about: &str) {
        let webhooks: Vec<Webhook> =
            self.read(|state| state.webhooks.iter().filter(|each| wanted(each)).cloned().collect());
        for webhook in webhooks {
            let mut headers = vec![
                ("user-agent", "IcMBroadcaster/1.0".to_owned()),
                ("content-type", "application/json; charset=utf-8".to_owned()),
                ("expect", "100-continue".to_owned()),
                ("x-correlationcontext", Uuid::new_v4().simple().to_string()),
                ("x-ms-request-id", Uuid::new_v4().to_string()),
            ];
            if let Some(secure) = &webhook.secure {
                headers.push(("authorization", format!("Bearer {}", self.webhook_token(secure))));
            }
            self.outbox.post(&webhook.url, headers, body.clone(), about);
        }
    }

    fn change_alert<T>(
        &self,
        id: &str,
        change: impl FnOnce(&mut Alert) -> Result<T, ActionError>,
    ) -> Result<T, ActionError> {
        self.shared.change(|state| match state.alerts.get_mut(id) {
            Some(alert) => change(alert),
            None => Err(ActionError::UnknownAlert(id.to_owned())),
        })
    }
}
