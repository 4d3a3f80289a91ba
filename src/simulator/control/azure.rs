//! Control endpoints of the simulated Azure.

use std::time::Duration;

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Common, Done, Mistake, common, finish, help, read, turned, unknown};
use crate::certificate::made::Made;
use crate::simulator::azure::{AlertSpec, AlertState, Azure, SecureWebhook};
use crate::simulator::calls::{Answer, Asked};
use crate::simulator::scene::CLIENT;

const HELP: &str = "Azure in a box. Below /_simulator/:
  GET    state                    subscriptions, webhooks and alerts
  POST   fire                     an alert: {\"rule\": \"CPU above 90 %\", \"severity\": 1, \"resource\": \"vm-web-1\",
                                  \"resource_group\": \"rg-payments\", \"signal\": {\"metric\": {\"threshold\": 90, \"value\": 97.4}}}
                                  signal: metric, log, activity_log, service_health, resource_health; all has defaults
  POST   fire-test                the portal's \"Test action group\"
  GET    alert/{alert}            one alert with its history
  POST   resolve/{alert}          its condition is no longer met
  POST   repeat/{alert}           its webhook once more
  POST   state/{alert}            {\"state\": \"Acknowledged\", \"by\": \"jane.doe@example.com\", \"comments\": \"\"}, as in the portal
  POST   send                     any JSON to all webhooks
  POST   action-group             {\"url\": \"http://any:token@127.0.0.1:8080/azure/contoso\"}: called from now on;
                                  with \"secure\": {\"tenant\": \"…\", \"audience\": \"api://…\", \"version\": \"2.0\"} by an Entra token
  DELETE action-group             no webhook is called any more
  POST   revoke-tokens            every access token becomes invalid
  POST   certificate              makes a certificate, registers it for the app and shows it with its key: {\"days\": 90}
  POST   rotate-keys              Entra signs with a new key from now on; the old ones stay valid
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetState {
    state: AlertState,
    #[serde(default = "portal_user")]
    by: String,
    #[serde(default)]
    comments: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeCertificate {
    #[serde(default = "quarter")]
    days: u32,
}

fn quarter() -> u32 {
    90
}

fn portal_user() -> String {
    "jane.doe@example.com".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionGroup {
    url: String,
    subscription: Option<String>,
    secure: Option<SecureWebhook>,
}

pub(in crate::simulator) async fn answer(azure: &Azure, asked: &Asked) -> Answer {
    let segments = asked.segments();
    let path = segments.get(1..).unwrap_or_default();
    if path.is_empty() {
        return help(HELP);
    }
    let shared =
        Common { faults: azure.faults(), outbox: azure.webhooks(), calls: azure.calls(), attempts: azure.attempts() };
    if let Some(done) = common(&shared, &asked.method, path, asked).await {
        return finish(done);
    }
    finish(own(azure, path, asked))
}

fn own(azure: &Azure, path: &[&str], asked: &Asked) -> Done {
    match (&asked.method, path) {
        (&Method::GET, ["state"]) => azure.read(|state| {
            let alerts: Vec<_> = state.alerts.values().collect();
            serde_json::to_value(json!({
                "subscriptions": state.subscriptions, "action_groups": state.webhooks, "alerts": alerts,
            }))
            .map_err(Mistake::new)
        }),
        (&Method::GET, ["alert", id]) if azure.alert(id).is_some() => Ok(shown(azure, id)),
        (&Method::DELETE, ["calls"]) => Ok(json!({ "forgotten": azure.take_calls().len() })),
        (&Method::POST, ["fire"]) => {
            let id = azure.fire(read::<AlertSpec>(asked)?).map_err(Mistake::new)?;
            Ok(json!({ "id": id, "alertId": azure.alert(&id).map(|alert| alert.arm_id()) }))
        }
        (&Method::POST, ["fire-test"]) => {
            azure.fire_test();
            Ok(json!({ "sent": true }))
        }
        (&Method::POST, ["resolve", id]) => azure.resolve(id).map_err(Mistake::new).map(|()| shown(azure, id)),
        (&Method::POST, ["repeat", id]) => azure.repeat(id).map_err(Mistake::new).map(|()| shown(azure, id)),
        (&Method::POST, ["state", id]) => {
            let set: SetState = read(asked)?;
            azure.set_state(id, set.state, &set.by, &set.comments).map_err(Mistake::new)?;
            Ok(shown(azure, id))
        }
        (&Method::POST, ["send"]) => {
            azure.send_raw(&asked.body);
            Ok(json!({ "sent": true }))
        }
        (&Method::POST, ["action-group"]) => {
            let group: ActionGroup = read(asked)?;
            match group.secure {
                Some(secure) => azure.add_secure_webhook(&group.url, group.subscription.as_deref(), secure),
                None => azure.add_webhook(&group.url, group.subscription.as_deref()),
            }
            Ok(json!({ "added": true }))
        }
        (&Method::DELETE, ["action-group"]) => {
            azure.remove_webhooks();
            Ok(json!({ "removed": true }))
        }
        (&Method::POST, ["revoke-tokens"]) => {
            azure.revoke_tokens();
            Ok(json!({ "revoked": true }))
        }
        (&Method::POST, ["certificate"]) => {
            let wish: MakeCertificate = read(asked)?;
            let made =
                Made::new(asked.at, asked.at.plus(Duration::from_hours(24) * wish.days)).map_err(Mistake::new)?;
            azure.register_certificate(CLIENT, &made.certificate).map_err(Mistake::new)?;
            Ok(json!({ "client_id": CLIENT, "pem": made.both() }))
        }
        (&Method::POST, ["rotate-keys"]) => Ok(json!({ "kid": azure.rotate_keys() })),
        (&Method::GET, ["knobs"]) => azure.read(|state| serde_json::to_value(&state.knobs)).map_err(Mistake::new),
        (&Method::POST, ["knobs"]) => {
            let knobs = turned(&azure.read(|state| state.knobs.clone()), asked)?;
            let shown = serde_json::to_value(&knobs).map_err(Mistake::new)?;
            azure.knobs(|now| *now = knobs);
            Ok(shown)
        }
        _ => Err(unknown(asked)),
    }
}

fn shown(azure: &Azure, id: &str) -> Value {
    azure.alert(id).and_then(|alert| serde_json::to_value(alert).ok()).unwrap_or_default()
}
