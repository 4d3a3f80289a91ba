//! The simulators' own endpoints below `/_simulator/`: driving them with curl.
//!
//! They belong to no real service, are not logged and are not struck by faults; only a refused door shuts them out too.

pub(super) mod azure;
pub(super) mod signl4;

use std::time::Duration;

use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::calls::{Answer, Asked, Call};
use super::faults::{Door, Fault, Faults};
use super::outbox::{Attempt, Order, Outbox};

const COMMON_HELP: &str = "
What goes wrong, on demand (same on both simulators):
  GET    calls                    the requests, secrets masked; DELETE forgets them
  GET    webhooks                 the webhooks that were sent, try by try
  GET    faults                   the faults that are planned; DELETE forgets them
  POST   faults                   {\"operation\": \"…\", \"times\": 1, \"skip\": 0, \"delay_ms\": 0, \"answer_delay_ms\": 0, \"action\": …}
                                  action: \"answer\", {\"status\": {\"status\": 429, \"retry_after\": {\"seconds\": 30}}},
                                  \"cut_unprocessed\", \"cut_processed\", \"cut_mid_body\", \"garbage\",
                                  {\"body\": {\"status\": 400, \"body\": {}}}, {\"html\": {\"status\": 502}},
                                  {\"huge\": {\"bytes\": 1000000}}, \"hang\"
  POST   door                     {\"door\": \"open\" | \"unavailable\" | \"refused\", \"seconds\": 30}: refused needs seconds, as nobody
                                  could open it again
  POST   webhooks                 {\"duplicate_next\": 1, \"lose_next\": 1, \"hold\": true, \"release\": \"as_held\" | \"reversed\",
                                  \"time_scale\": 10, \"lift_blackouts\": true}, any of them
  GET    knobs                    what the documentation leaves open; POST changes the members that are given
";

/// Why a control request cannot be done, in a sentence.
pub(super) struct Mistake(StatusCode, String);

impl Mistake {
    #[expect(clippy::needless_pass_by_value, reason = "this is what `map_err` hands over")]
    pub(super) fn new(text: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, text.to_string())
    }

    fn answer(&self) -> Answer {
        Answer::json(self.0, &json!({ "error": self.1 }))
    }
}

pub(super) type Done = Result<Value, Mistake>;

/// Reads the body, `{}` if it is empty.
pub(super) fn read<T: DeserializeOwned>(asked: &Asked) -> Result<T, Mistake> {
    let body: &[u8] = if asked.body.is_empty() { b"{}" } else { &asked.body };
    serde_json::from_slice(body).map_err(Mistake::new)
}

pub(super) fn unknown(asked: &Asked) -> Mistake {
    Mistake(StatusCode::NOT_FOUND, format!("nothing here for {} {}; GET /_simulator/ tells", asked.method, asked.path))
}

/// What a knob's new value is merged into; unknown members are refused by its type.
pub(super) fn turned<K: serde::Serialize + DeserializeOwned>(knobs: &K, asked: &Asked) -> Result<K, Mistake> {
    let given: Value = read(asked)?;
    let mut merged = serde_json::to_value(knobs).map_err(Mistake::new)?;
    if let (Value::Object(merged), Value::Object(given)) = (&mut merged, given) {
        merged.extend(given);
    }
    serde_json::from_value(merged).map_err(Mistake::new)
}

pub(super) fn finish(done: Done) -> Answer {
    match done {
        Ok(value) => {
            let mut answer = Answer::ok(&value);
            answer.body = format!("{value:#}\n").into();
            answer
        }
        Err(mistake) => mistake.answer(),
    }
}

pub(super) fn help(own: &str) -> Answer {
    Answer::text(StatusCode::OK, &format!("{own}{COMMON_HELP}"))
}

/// What both simulators have.
pub(super) struct Common<'a> {
    pub(super) faults: &'a Faults,
    pub(super) outbox: &'a Outbox,
    pub(super) calls: Vec<Call>,
    pub(super) attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetDoor {
    door: Door,
    seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Release {
    AsHeld,
    Reversed,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct SetWebhooks {
    duplicate_next: Option<u32>,
    lose_next: Option<u32>,
    hold: bool,
    release: Option<Release>,
    time_scale: Option<u32>,
    lift_blackouts: bool,
}

/// Answers what both simulators share; `None` if it is none of that.
pub(super) async fn common(common: &Common<'_>, method: &Method, path: &[&str], asked: &Asked) -> Option<Done> {
    let faults = common.faults;
    match (method, path) {
        (&Method::GET, ["calls"]) => Some(Ok(common.calls.iter().map(Call::redacted).collect())),
        (&Method::GET, ["webhooks"]) => Some(serde_json::to_value(&common.attempts).map_err(Mistake::new)),
        (&Method::POST, ["webhooks"]) => Some(set_webhooks(common.outbox, asked).await),
        (&Method::GET, ["faults"]) => Some(serde_json::to_value(faults.planned()).map_err(Mistake::new)),
        (&Method::POST, ["faults"]) => Some(read::<Fault>(asked).and_then(|fault| {
            faults.plan(fault);
            serde_json::to_value(faults.planned()).map_err(Mistake::new)
        })),
        (&Method::DELETE, ["faults"]) => {
            faults.clear();
            Some(Ok(json!([])))
        }
        (&Method::POST, ["door"]) => Some(set_door(faults, asked).await),
        _ => None,
    }
}

async fn set_webhooks(outbox: &Outbox, asked: &Asked) -> Done {
    let set: SetWebhooks = read(asked)?;
    if let Some(count) = set.duplicate_next {
        outbox.duplicate_next(count);
    }
    if let Some(count) = set.lose_next {
        outbox.lose_next(count);
    }
    if let Some(scale) = set.time_scale {
        outbox.set_time_scale(scale);
    }
    if set.lift_blackouts {
        outbox.lift_blackouts();
    }
    if set.hold {
        outbox.hold();
    }
    match set.release {
        Some(Release::AsHeld) => outbox.release(Order::AsHeld).await,
        Some(Release::Reversed) => outbox.release(Order::Reversed).await,
        None => {}
    }
    Ok(outbox.describe())
}

async fn set_door(faults: &Faults, asked: &Asked) -> Done {
    let SetDoor { door, seconds } = read(asked)?;
    if door == Door::Refused && seconds.is_none() {
        return Err(Mistake::new("a refused door needs `seconds`: nobody could open it again"));
    }
    let faults = faults.clone();
    if door != Door::Refused {
        faults.set_door(door).await;
    }
    tokio::spawn(async move {
        if door == Door::Refused {
            // This cuts the very connection that asked for it: the answer goes first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            faults.set_door(door).await;
        }
        if let Some(seconds) = seconds.filter(|_| door != Door::Open) {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            faults.set_door(Door::Open).await;
        }
    });
    Ok(json!({ "door": door, "seconds": seconds }))
}
