//! Control endpoints of the simulated SIGNL4.

use axum::http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Common, Done, Mistake, common, finish, help, read, turned, unknown};
use crate::simulator::calls::{Answer, Asked};
use crate::simulator::signl4::{Habit, Signl4};

const HELP: &str = "SIGNL4 in a box. Below /_simulator/, where {alert} is an alert's id or external id (then the newest):
  GET    state                    teams, people, alerts and incoming events
  GET    alert/{alert}            one alert
  POST   acknowledge/{alert}      {\"person\": \"Jane Doe\", \"note\": \"on it\"}; the first person who is on duty if absent
  POST   close/{alert}            the same
  POST   unacknowledge/{alert}    {\"person\": \"Jane Doe\"}
  POST   reopen/{alert}           {\"person\": \"Jane Doe\"}
  POST   annotate/{alert}         {\"person\": \"Jane Doe\", \"note\": \"restarted\"}
  POST   escalate/{alert}         nobody confirmed in time
  POST   nobody-on-duty/{alert}   SIGNL4 found nobody to notify
  POST   no-reply/{alert}         nobody answered until it expired
  POST   system-close/{alert}     SIGNL4 itself closes it
  POST   duty                     {\"person\": \"Jane Doe\", \"on\": false}
  POST   habit                    {\"person\": \"Jane Doe\", \"habit\": {\"acknowledge_after_ms\": 5000, \"close_after_ms\": 20000}};
                                  null for none
  POST   test-event               the test event of the outbound webhook
  POST   send                     any JSON to all outbound webhooks
  POST   hook                     {\"url\": \"http://any:token@127.0.0.1:8080/signl4/ops\", \"team\": \"ops\"}: called from now on
  DELETE hook                     no outbound webhook is called any more
";

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Act {
    person: Option<String>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Duty {
    person: String,
    on: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetHabit {
    person: String,
    habit: Option<Habit>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddHook {
    url: String,
    team: Option<String>,
}

pub(in crate::simulator) async fn answer(signl4: &Signl4, asked: &Asked) -> Answer {
    let segments = asked.segments();
    let path = segments.get(1..).unwrap_or_default();
    if path.is_empty() {
        return help(HELP);
    }
    let shared = Common {
        faults: signl4.faults(),
        outbox: signl4.webhooks(),
        calls: signl4.calls(),
        attempts: signl4.attempts(),
    };
    if let Some(done) = common(&shared, &asked.method, path, asked).await {
        return finish(done);
    }
    finish(own(signl4, path, asked))
}

fn own(signl4: &Signl4, path: &[&str], asked: &Asked) -> Done {
    match (&asked.method, path) {
        (&Method::GET, ["state"]) => Ok(signl4.read(|state| {
            json!({
                "subscription": state.subscription, "teams": state.teams, "people": state.people,
                "alerts": state.alerts, "events": state.events,
            })
        })),
        (&Method::GET, ["alert", alert]) if signl4.alert(alert).is_some() => {
            serde_json::to_value(signl4.alert(alert)).map_err(Mistake::new)
        }
        (&Method::DELETE, ["calls"]) => Ok(json!({ "forgotten": signl4.take_calls().len() })),
        (&Method::POST, [action, alert]) => act(signl4, action, alert, asked),
        (&Method::POST, ["duty"]) => {
            let duty: Duty = read(asked)?;
            signl4.set_duty(&duty.person, duty.on).map_err(Mistake::new)?;
            Ok(json!({ "on": duty.on }))
        }
        (&Method::POST, ["habit"]) => {
            let set: SetHabit = read(asked)?;
            signl4.set_habit(&set.person, set.habit.clone()).map_err(Mistake::new)?;
            Ok(json!({ "habit": set.habit }))
        }
        (&Method::POST, ["test-event"]) => {
            signl4.send_test_event();
            Ok(json!({ "sent": true }))
        }
        (&Method::POST, ["send"]) => {
            signl4.send_body(&read::<Value>(asked)?);
            Ok(json!({ "sent": true }))
        }
        (&Method::POST, ["hook"]) => {
            let hook: AddHook = read(asked)?;
            signl4.add_hook(&hook.url, hook.team.as_deref()).map_err(Mistake::new)?;
            Ok(json!({ "added": true }))
        }
        (&Method::DELETE, ["hook"]) => {
            signl4.remove_hooks();
            Ok(json!({ "removed": true }))
        }
        (&Method::GET, ["knobs"]) => signl4.read(|state| serde_json::to_value(&state.knobs)).map_err(Mistake::new),
        (&Method::POST, ["knobs"]) => {
            let knobs = turned(&signl4.read(|state| state.knobs.clone()), asked)?;
            let shown = serde_json::to_value(&knobs).map_err(Mistake::new)?;
            signl4.knobs(|now| *now = knobs);
            Ok(shown)
        }
        _ => Err(unknown(asked)),
    }
}

fn act(signl4: &Signl4, action: &str, alert: &str, asked: &Asked) -> Done {
    let given: Act = read(asked)?;
    let person = given.person.clone().or_else(|| {
        signl4.read(|state| {
            let team = state.alert(alert)?.team.clone();
            state.on_duty(&team).first().map(|person| person.id.clone())
        })
    });
    let person = person.as_deref().unwrap_or_default();
    let note = given.note.as_deref();
    match action {
        "acknowledge" => signl4.acknowledge(alert, person, note).map(|_| ()),
        "close" => signl4.close(alert, person, note).map(|_| ()),
        "unacknowledge" => signl4.unacknowledge(alert, person).map(|_| ()),
        "reopen" => signl4.reopen(alert, person).map(|_| ()),
        "annotate" => signl4.annotate(alert, person, note.unwrap_or_default()).map(|_| ()),
        "escalate" => signl4.escalate(alert),
        "nobody-on-duty" => signl4.nobody_on_duty(alert),
        "no-reply" => signl4.no_reply(alert),
        "system-close" => signl4.close_by_system(alert).map(|_| ()),
        _ => return Err(unknown(asked)),
    }
    .map_err(Mistake::new)?;
    Ok(signl4.alert(alert).and_then(|alert| serde_json::to_value(alert).ok()).unwrap_or_default())
}
