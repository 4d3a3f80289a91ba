//! Tenants, app registrations, subscriptions and role assignments.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Azure;
use crate::domain::timestamp::Timestamp;

/// One Entra tenant.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// By client id, lower-case.
    pub apps: BTreeMap<String, App>,
}

/// An app registration with its service principal.
#[derive(Clone, Debug)]
pub struct App {
    pub name: String,
    /// Of the service principal.
    pub object_id: String,
    pub secrets: Vec<AppSecret>,
    pub disabled: bool,
    /// By subscription id, lower-case.
    pub roles: BTreeMap<String, Role>,
}

#[derive(Clone)]
pub struct AppSecret {
    pub value: String,
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppSecret(expires {:?})", self.expires_at)
    }
}

/// What a service principal may do in a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads alerts.
    Reader,
    /// Reads alerts and changes their state.
    Bridge,
}

#[derive(Clone, Debug, Serialize)]
pub struct Subscription {
    pub tenant: String,
    pub name: String,
}

impl Azure {
    pub fn add_tenant(&self, tenant: &str) {
        self.shared.change(|state| {
            state.tenants.entry(tenant.to_lowercase()).or_default();
        });
    }

    /// Registers an app; the tenant is made if there is none.
    pub fn register_app(&self, tenant: &str, client_id: &str, secret: &str) {
        let app = App {
            name: "SIGNL4 Azure Monitor Bridge".to_owned(),
            object_id: Uuid::new_v4().to_string(),
            secrets: vec![AppSecret { value: secret.to_owned(), expires_at: None }],
            disabled: false,
            roles: BTreeMap::new(),
        };
        self.shared.change(|state| {
            state.tenants.entry(tenant.to_lowercase()).or_default().apps.insert(client_id.to_lowercase(), app);
        });
    }

    /// Changes an app registration: its secrets, whether it is disabled. Nothing happens to one that is unknown.
    pub fn change_app(&self, client_id: &str, change: impl FnOnce(&mut App)) {
        let client_id = client_id.to_lowercase();
        self.shared.change(|state| {
            if let Some(app) = state.tenants.values_mut().find_map(|tenant| tenant.apps.get_mut(&client_id)) {
                change(app);
            }
        });
    }

    /// Puts a new secret in place of all others, as an operator does who rotates at once.
    pub fn rotate_secret(&self, client_id: &str, secret: &str) {
        self.change_app(client_id, |app| {
            app.secrets = vec![AppSecret { value: secret.to_owned(), expires_at: None }];
        });
    }

    /// Lets the app's secrets expire at `at`.
    pub fn expire_secrets(&self, client_id: &str, at: Timestamp) {
        self.change_app(client_id, |app| {
            for secret in &mut app.secrets {
                secret.expires_at = Some(at);
            }
        });
    }

    pub fn add_subscription(&self, tenant: &str, subscription: &str) {
        let entry = Subscription { tenant: tenant.to_lowercase(), name: "Payments".to_owned() };
        self.shared.change(|state| state.subscriptions.insert(subscription.to_lowercase(), entry));
    }

    /// Assigns a role to an app's service principal, or takes it away.
    pub fn assign_role(&self, client_id: &str, subscription: &str, role: Option<Role>) {
        let subscription = subscription.to_lowercase();
        self.change_app(client_id, |app| {
            if let Some(role) = role {
                app.roles.insert(subscription, role);
            } else {
                app.roles.remove(&subscription);
            }
        });
    }

    /// Makes every token that was handed out invalid, though it has not expired.
    pub fn revoke_tokens(&self) {
        self.shared.change(|state| state.tokens.clear());
    }
}
