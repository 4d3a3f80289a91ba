//! What the project ships loads as it is, with its examples.

use std::collections::BTreeMap;
use std::path::Path;

use super::super::{Config, read_routes};
use crate::certificate::made::Made;
use crate::check::{self, CheckStatus};
use crate::domain::timestamp::Timestamp;

fn environment() -> BTreeMap<String, String> {
    [
        ("AZURE_CLIENT_SECRET", "azure-client-secret-value"),
        ("BRIDGE_AZURE_TOKEN", "azure-webhook-token-0123456789"),
        ("SIGNL4_OPS_SECRET", "opssecret99"),
        ("SIGNL4_PAYMENTS_SECRET", "paysecret99"),
        ("BRIDGE_SIGNL4_TOKEN", "signl4-webhook-token-0123456789"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

#[test]
fn the_example_configuration_and_the_routes_pass_the_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut out = Vec::new();
    let (path, routes) = (root.join("deploy/bridge.example.toml"), root.join("routes"));
    let status = check::run(&path, Some(&routes), &environment(), Timestamp::EPOCH, &mut out).unwrap();
    let report = String::from_utf8(out).unwrap();
    assert_eq!(status, CheckStatus::Well, "{report}");
    let config = Config::load(&path, Some(&routes), &environment()).unwrap();
    assert_eq!(config.warnings, [""; 0]);
    assert!(config.rules.routes.iter().all(|route| !route.examples.is_empty()), "{report}");
    assert!(config.rules.routes.iter().any(|route| route.continues), "`continue` is shown");
}

#[test]
fn the_shipped_routes_silence_only_what_a_person_has_called_unimportant() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, routes) = (root.join("deploy/bridge.example.toml"), root.join("routes"));
    let rules = Config::load(&path, Some(&routes), &environment()).unwrap().rules;
    let connection = rules.connections.keys().next().unwrap();
    for (fixture, teams) in [
        ("activity-log-security-fired", &["ops"][..]),
        ("activity-log-administrative-failed-fired", &["ops"]),
        ("resource-health-unavailable-fired", &["ops"]),
        ("service-health-incident-fired", &["payments", "ops"]),
        ("metric-static-fired", &["ops"]),
        ("smart-detector-fired", &["ops"]),
        ("test-activity-log", &["ops"]),
    ] {
        let body = std::fs::read(root.join(format!("fixtures/azure/{fixture}.json"))).unwrap();
        let notification = crate::azure::parse::parse(&body).unwrap();
        let paged: Vec<&str> = rules
            .matching(connection, &notification)
            .into_iter()
            .filter(|route| !route.policy.records_only)
            .map(|route| route.team.as_str())
            .collect();
        assert_eq!(paged, teams, "{fixture}");
    }
}

#[test]
fn every_key_that_is_commented_out_is_a_real_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::TempDir::new().unwrap();
    let text = std::fs::read_to_string(root.join("deploy/bridge.example.toml")).unwrap();
    // `# key = …` becomes `key = …`; prose has no such form. The cloud stands there twice, so the plain one goes. The
    // kinds of credential have a test of their own.
    let enabled: Vec<&str> = text
        .lines()
        // A certificate is nothing that a test writes down; tests/it/egress.rs makes one.
        .filter(|line| *line != "cloud = \"public\"" && !line.contains("ca_file = "))
        .map(|line| {
            let key = line.strip_prefix("# ").filter(|rest| {
                rest.split_once('=').is_some_and(|(key, _)| {
                    let key = key.trim_end();
                    !key.is_empty()
                        && key != "credential"
                        && key.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'0'..=b'9'))
                })
            });
            key.unwrap_or(line)
        })
        .collect();
    std::fs::write(dir.path().join("bridge.toml"), enabled.join("\n")).unwrap();
    std::fs::create_dir(dir.path().join("secrets")).unwrap();
    for name in ["admin", "signl4-api-key"] {
        std::fs::write(dir.path().join("secrets").join(name), "value\n").unwrap();
    }
    std::fs::write(dir.path().join("secrets/heartbeat"), "https://example.com/ping\n").unwrap();
    let config = Config::load(&dir.path().join("bridge.toml"), Some(&root.join("routes")), &environment())
        .unwrap_or_else(|error| panic!("{error}"));
    let enabled: usize = text.lines().filter(|line| line.starts_with("# poll")).count();
    assert_eq!(enabled, 3, "poll twice and poll_raises");
    let team = config.teams.values().find(|team| team.has_api());
    assert!(team.is_some(), "the API key was switched on");
}

#[test]
fn every_kind_of_credential_that_is_commented_out_is_a_real_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("deploy/bridge.example.toml")).unwrap();
    let made = Made::new(Timestamp::EPOCH, Timestamp::EPOCH).unwrap();
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# credential = ")).collect();
    assert_eq!(kinds.len(), 8);
    for kind in kinds {
        let by_platform = kind.contains("managed_identity");
        let lines = text.lines().filter(|line| !(by_platform && line.starts_with("client_id")));
        let with_kind: Vec<String> = lines
            .map(
                |line| if line.starts_with("credential = ") { format!("credential = {kind}") } else { line.to_owned() },
            )
            .collect();
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("bridge.toml"), with_kind.join("\n")).unwrap();
        std::fs::create_dir(dir.path().join("secrets")).unwrap();
        for (name, content) in [
            ("new", "value"),
            ("old", "value"),
            ("app.pem", made.both().as_str()),
            ("app.crt", made.certificate.as_str()),
            ("app.key", made.key.as_str()),
        ] {
            std::fs::write(dir.path().join("secrets").join(name), content).unwrap();
        }
        let mut env = environment();
        env.insert("AZURE_FEDERATED_TOKEN_FILE".to_owned(), "token".to_owned());
        let config = Config::load(&dir.path().join("bridge.toml"), Some(&root.join("routes")), &env)
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert!(config.connections.values().all(|connection| connection.credential.is_some()), "{kind}");
    }
}

#[test]
fn one_file_alone_reads_as_in_the_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, folder) = (root.join("deploy/bridge.example.toml"), root.join("routes"));
    let rules = Config::load(&path, Some(&folder), &environment()).unwrap().rules;
    let text = std::fs::read_to_string(folder.join("10-payments.toml")).unwrap();
    let (routes, warnings) = read_routes("10-payments.toml", &text, &rules).unwrap();
    assert_eq!(warnings, [""; 0]);
    let of_file: Vec<_> = rules.routes.iter().filter(|route| route.file == "10-payments.toml").collect();
    assert_eq!(format!("{:?}", routes.iter().collect::<Vec<_>>()), format!("{of_file:?}"));

    let error = read_routes("new.toml", &text.replacen("\"payments\"", "\"paymets\"", 1), &rules).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("paymets") && !shown.contains('\n'), "{shown}");
    let line = text.lines().position(|line| line.contains("= \"payments\"")).unwrap() + 1;
    assert!(shown.starts_with(&format!("new.toml:{line}:")), "{shown}");
}
