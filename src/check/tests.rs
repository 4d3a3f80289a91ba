//! The report of `check`, word by word where people read it.

use std::fs;

use tempfile::TempDir;

use super::*;

const SUB: &str = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c03";

const BRIDGE: &str = r#"
[routing]
fallback_team = "ops"
[azure.contoso]
tenant_id     = "contoso.example.com"
client_id     = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02"
credential    = { client_secret = { env = "AZURE_SECRET" }, expires = 2027-05-01 }
subscriptions = ["3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c03"]
token         = { env = "TOKEN" }
[signl4.ops]
secret = { env = "TEAM_SECRET" }
token  = { env = "TEAM_TOKEN" }
[signl4.night]
secret = { env = "TEAM_SECRET" }
token  = { env = "TEAM_TOKEN" }
"#;

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

/// Runs the check in a folder of its own; the folder's path is taken away from the report.
fn check(bridge: &str, routes: &str) -> (CheckStatus, String) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("bridge.toml"), bridge).unwrap();
    fs::create_dir(dir.path().join("routes")).unwrap();
    fs::write(dir.path().join("routes/a.toml"), routes).unwrap();
    let env = [
        ("AZURE_SECRET", "hunter2-azure"),
        ("TOKEN", "hunter2-token-0123456789"),
        ("TEAM_TOKEN", "hunter2-other-0123456789"),
        ("TEAM_SECRET", "hunter2-team"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let mut out = Vec::new();
    let status = run(&dir.path().join("bridge.toml"), None, &env, now(), &mut out).unwrap();
    let report = String::from_utf8(out).unwrap().replace(&format!("{}/", dir.path().display()), "");
    assert!(!report.contains("hunter2"), "a secret is shown:\n{report}");
    (status, report)
}

#[test]
fn a_good_configuration_is_said_in_a_few_lines() {
    let (status, report) = check(
        BRIDGE,
        &format!(
            r#"[[route]]
name = "payments"
match = {{ scope = "/subscriptions/{SUB}", severity = ["Sev0", "Sev1"] }}
team = "night"
service = "Payments"
scenario = {{ Sev0 = "emergency", default = "single_ack" }}
grace = "1h30m"
continue = true
[[route.example]]
alert = {{ severity = "Sev0" }}
team = "night"
[[route]]
name = "rest"
page = false
"#
        ),
    );
    assert_eq!(
        report,
        format!(
            "Configuration bridge.toml
  webhooks on 127.0.0.1:8080 (no public_url), admin on 127.0.0.1:9090
  store bridge.db, finished rows kept 35d
  alarms to team ops

Connections
  contoso: tenant contoso.example.com, client secret from environment variable AZURE_SECRET, expires 2027-05-01T00:00:00Z; subscriptions {SUB}; https://management.azure.com; 1 token; polled every 1m
    for the action group: https://azure:TOKEN@PUBLIC_URL/azure/contoso

Teams
  night: account night; https://connect.signl4.com; secret from environment variable TEAM_SECRET; no API key; 1 token
    for SIGNL4's outbound webhook: https://signl4:TOKEN@PUBLIC_URL/signl4/night
  ops: account ops; https://connect.signl4.com; secret from environment variable TEAM_SECRET; no API key; 1 token
    for SIGNL4's outbound webhook: https://signl4:TOKEN@PUBLIC_URL/signl4/ops

Routes in routes
  1. payments (a.toml:1): severity Sev0, Sev1; target in /subscriptions/{SUB} -> page night, hold 1h30m, service Payments, scenario Sev0 emergency / else single_ack, then go on
  2. rest (a.toml:12): everything -> record only, page nobody
  what no route takes: to the fallback team ops

Well: 2 routes, 1 example as expected, no warnings
"
        )
    );
    assert_eq!((status, status.code()), (CheckStatus::Well, 0));
}

#[test]
fn who_may_call_is_said_with_the_address_to_register() {
    let token = "token         = { env = \"TOKEN\" }";
    for (lines, said) in [
        (
            "secure_webhook = { audience = [\"api://b\", \"api://a\"] }\nnetworks = [\"198.51.100.0/24\", \"192.0.2.1\"]",
            "no tokens, secure webhook for api://a, api://b from tenant contoso.example.com, only from 198.51.100.0/24, 192.0.2.1/32; polled every 1m
    for the action group, as secure webhook: https://PUBLIC_URL/azure/contoso
",
        ),
        (
            &format!("{token}\nsecure_webhook = {{ audience = \"api://a\" }}"),
            "1 token, secure webhook for api://a from tenant contoso.example.com; polled every 1m
    for the action group, as secure webhook: https://PUBLIC_URL/azure/contoso
    for the action group, or as webhook: https://azure:TOKEN@PUBLIC_URL/azure/contoso
",
        ),
        (
            &format!("{token}\nsecure_webhook = {{ audience = \"api://a\", tenant = \"fabrikam.example.com\", require = true }}"),
            "1 token, secure webhook required for api://a from tenant fabrikam.example.com; polled every 1m
    for the action group, as secure webhook: https://PUBLIC_URL/azure/contoso/TOKEN
",
        ),
    ] {
        let proxied = format!("[server]\ntrusted_proxies = \"127.0.0.1\"\n{}", BRIDGE.replace(token, lines));
        let (status, report) = check(&proxied, "[[route]]\nname = \"r\"\nteam = \"ops\"\n");
        assert_eq!(status, CheckStatus::Well, "{report}");
        assert!(report.contains(said), "{said}\nis not in\n{report}");
    }
}

#[test]
fn errors_end_the_check() {
    let (status, report) = check(&format!("{BRIDGE}\nbase_ulr = \"x\"\n"), "[[route]]\nname = \"r\"\nteam = \"osp\"\n");
    assert_eq!((status, status.code()), (CheckStatus::Unusable, 2));
    assert!(
        report.contains("bridge.toml:17:1: unknown key `base_ulr` in [signl4.night]; did you mean `base_url`?"),
        "{report}"
    );
    assert!(
        report.contains(
            "routes/a.toml:3:8: `team` in route `r` names the team `osp`, which is not configured; did you mean `ops`?"
        ),
        "{report}"
    );
    assert!(report.ends_with("2 errors; nothing else was checked\n"), "{report}");
}

#[test]
fn each_failing_example_says_who_takes_it_instead() {
    let (status, report) = check(
        BRIDGE,
        r#"[[route]]
name = "severe"
match = { severity = ["Sev0", "Sev1"] }
team = "night"
[[route.example]]
alert = { severity = "Sev2" }
team = "night"
[[route.example]]
alert = { severity = "Sev4" }
team = "night"
[[route.example]]
alert = { severity = "Sev1" }
team = "ops"
[[route.example]]
alert = { severity = "Sev1" }
matches = false

[[route]]
name = "disks"
match = { rule = "disk*", not = { severity = "Sev4" } }
page = false
[[route.example]]
alert = { rule = "Disk full", severity = "Sev0" }
matches = true
[[route.example]]
alert = { rule = "Disk full", severity = "Sev2" }
team = "ops"

[[route]]
name = "warnings"
match = { severity = "Sev2" }
team = "ops"
"#,
    );
    assert_eq!((status, status.code()), (CheckStatus::Failed, 1));
    let failures = report.split_once("Failures\n").unwrap().1;
    assert_eq!(
        failures,
        "  routes/a.toml:5: example of route `severe`: severity is Sev2, the route takes Sev0, Sev1; `warnings` (a.toml:29) takes it instead
  routes/a.toml:8: example of route `severe`: severity is Sev4, the route takes Sev0, Sev1; no route takes it, it would go to the fallback team ops
  routes/a.toml:11: example of route `severe`: it pages night
  routes/a.toml:14: example of route `severe`: the route takes it, and the example says that it must not
  routes/a.toml:22: example of route `disks`: the route fits, but `severe` (a.toml:1) takes it before
  routes/a.toml:25: example of route `disks`: the route takes it and pages nobody (`page = false`); write `matches = true` instead of `team`

Failed: 6 failures in 3 routes and 6 examples
"
    );
}

#[test]
fn a_shadowed_route_is_a_failure() {
    let (status, report) = check(
        BRIDGE,
        "[[route]]\nname = \"all\"\nteam = \"ops\"\n[[route]]\nname = \"severe\"\nmatch = { severity = \"Sev0\" }\nteam = \"night\"\n",
    );
    assert_eq!(status, CheckStatus::Failed);
    assert!(
        report
            .contains("routes/a.toml:4: route `severe` never gets an alert: `all` (a.toml:1) takes all of them before"),
        "{report}"
    );
}

#[test]
fn warnings_are_shown_and_no_failure() {
    let (status, report) = check(&BRIDGE.replacen("token  = { env = \"TEAM_TOKEN\" }\n", "", 1), "");
    assert_eq!(status, CheckStatus::Well);
    assert!(
        report.contains("Warnings\n  bridge.toml:10:9: [signl4.ops] has no `token`: SIGNL4 cannot call"),
        "{report}"
    );
    assert!(report.ends_with("Well: no routes, no examples, 1 warning\n"), "{report}");
}

#[test]
fn templates_are_tried_on_samples_and_examples() {
    let routes = r#"[[route]]
name = "payments"
team = "night"
title = "{{ title }} ({{ custom.owner | default('nobody') }})"
message = """
{{ message }}
Zone {{ dimensions.zone }}
"""
parameters = { Owner = "{{ custom.ower | default('nobody') }}" }
runbook = "https://wiki.contoso.com/{{ rule | urlencode }}"
[[route.example]]
alert = { rule = "Disk full", severity = "Sev2", custom = { owner = "web" } }
team = "night"
"#;
    let (status, report) = check(BRIDGE, routes);
    assert_eq!(status, CheckStatus::Failed);
    let failures = report.split_once("Failures\n").unwrap().1;
    assert_eq!(
        failures,
        "  routes/a.toml:9: parameter `Owner` of route `payments`: no example of the route has `custom.ower`; did you mean `custom.owner`?
  routes/a.toml:7: message of route `payments`: the alert has no `dimensions.zone`; say what stands there then: `dimensions.zone | default(\"…\")` or `{% if dimensions.zone %}`; seen with the sample metric alert (Sev1) and 10 more

Failed: 2 failures in 1 route and 1 example
"
    );
    let mended = routes.replace("dimensions.zone", "dimensions.zone | default('?')").replace("ower", "owner");
    let (status, report) = check(BRIDGE, &mended);
    assert_eq!(status, CheckStatus::Well, "{report}");
    assert!(report.contains("-> page night, own title, message, runbook, 1 parameter\n"), "{report}");
}
