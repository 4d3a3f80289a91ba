//! Spoils JSON for property tests: members dropped, nulled, retyped, enlarged, swapped.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// One change: what to do, where, and with what else; the numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub(crate) struct Mutation {
    pub(crate) kind: usize,
    pub(crate) at: usize,
    pub(crate) other: usize,
}

pub(crate) fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    vec((0..KINDS, any::<usize>(), any::<usize>()).prop_map(|(kind, at, other)| Mutation { kind, at, other }), 1..16)
}

const KINDS: usize = 20;
const LARGEST_BYTES: usize = 1 << 20;

pub(crate) fn spoil(value: &mut Value, mutations: &[Mutation]) {
    for Mutation { kind, at, other } in mutations {
        // Larger bodies never come this far.
        if value.to_string().len() > LARGEST_BYTES {
            return;
        }
        let places = places(value);
        let place = places[at % places.len()].clone();
        let second = places[other % places.len()].clone();
        if *kind == 0 {
            drop_member(value, &place);
            continue;
        }
        let elsewhere = value.pointer(&second).cloned().unwrap_or(Value::Null);
        let Some(target) = value.pointer_mut(&place) else { continue };
        let text = target.as_str().map_or_else(|| target.to_string(), str::to_owned);
        *target = match kind {
            1 => Value::Null,
            2 => json!(other % 1_000),
            3 => json!(-1.5e300),
            4 => json!(other % 2 == 0),
            5 => json!(""),
            6 => json!("   \n\t\u{0}\u{7}  "),
            7 => json!([]),
            8 => json!({}),
            9 => json!([target.clone()]),
            10 => json!({"value": target.clone(), "name": elsewhere}),
            11 => json!(target.to_string()),
            12 => json!(text.repeat(1 + (other % 40).min(LARGEST_BYTES / (1 + text.len())))),
            13 => json!(format!("{text} {}", "wörd 長い ".repeat(other % 900))),
            14 => json!("x".repeat(other % 20_000)),
            15 => json!(text.to_uppercase()),
            16 => json!(format!("https://example.com/{}", "p".repeat(other % 4_000))),
            17 => json!("9".repeat(1 + other % 400)),
            18 => json!(vec![target.clone(); (other % 200).min(LARGEST_BYTES / (1 + text.len()))]),
            _ => elsewhere,
        };
    }
}

/// JSON pointers of the value and all that is in it.
pub(crate) fn places(value: &Value) -> Vec<String> {
    let mut places = Vec::new();
    collect(value, "", &mut places);
    places
}

fn collect(value: &Value, path: &str, places: &mut Vec<String>) {
    places.push(path.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, &format!("{path}/{}", name.replace('~', "~0").replace('/', "~1")), places);
            }
        }
        Value::Array(entries) => {
            for (at, entry) in entries.iter().take(50).enumerate() {
                collect(entry, &format!("{path}/{at}"), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn drop_member(value: &mut Value, place: &str) {
    let Some((parent, name)) = place.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.shift_remove(&name);
        }
        Some(Value::Array(entries)) => {
            entries.remove(name.parse().unwrap());
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) | None => {}
    }
}
