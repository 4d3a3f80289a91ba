//! Payloads that others have published, which tests try besides our own fixtures where they are at hand. The project
//! holds none of them, and works without: what is missing is said, and no failure.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Where they are looked for beside the checkout, unless `BRIDGE_SAMPLES` names a folder.
const BESIDE: &str = "../shared/data/azure/payloads";
/// Of a bare context, which has none itself; the one of our fixtures.
const SUBSCRIPTION: &str = "4b7d9c12-6e0f-4a58-b3c1-92f5d8e7a604";

/// A whole payload.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Its path below the folder, without `.json`: `common-full/test-log-v2`.
    pub(crate) name: String,
    pub(crate) body: Value,
}

/// All of them in the order of their names; none, and a word about it, where there is no folder.
pub(crate) fn samples() -> Vec<Sample> {
    let named = std::env::var_os("BRIDGE_SAMPLES").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join(BESIDE);
    let Some(folder) = named.or_else(|| Some(beside).filter(|beside| beside.is_dir())) else {
        missing(&format!("no folder of published payloads in {BESIDE}, and BRIDGE_SAMPLES names none"));
        return Vec::new();
    };
    let samples: Vec<Sample> = below(&folder).iter().map(|path| read(&folder, path)).collect();
    assert!(!samples.is_empty(), "no payload in {}", folder.display());
    samples
}

#[expect(clippy::print_stderr, reason = "a skipped test has no other way to be noticed")]
pub(crate) fn missing(what: &str) {
    eprintln!("SKIPPED: {what}");
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

/// A bare context is put into an envelope.
fn read(folder: &Path, path: &Path) -> Sample {
    let name = path.strip_prefix(folder).unwrap().with_extension("").to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).expect(&name);
    let Some(context) = body.get("alertContext") else { return Sample { name, body } };
    let rule = path.file_stem().unwrap().to_str().unwrap();
    let of_activity_log = context.get("operationName").is_some();
    let body = json!({"schemaId": "azureMonitorCommonAlertSchema", "data": {
        "essentials": {
            "alertId": format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{rule}"),
            "alertRule": rule,
            "severity": if of_activity_log { "Sev4" } else { "Sev2" },
        },
        "alertContext": context,
    }});
    Sample { name, body }
}
