//! The command line as a user meets it: what each subcommand prints, and its exit status.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::Fault;

use crate::town::Town;

fn bridge(arguments: &[&str]) -> Output {
    let example = [
        ("AZURE_CLIENT_SECRET", "an example, not a secret"),
        ("BRIDGE_AZURE_TOKEN", "an-example-token-of-22-chars"),
        ("BRIDGE_SIGNL4_TOKEN", "another-example-token-of-22"),
        ("SIGNL4_OPS_SECRET", "exampleops"),
        ("SIGNL4_PAYMENTS_SECRET", "examplepayments"),
    ];
    Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge")).args(arguments).envs(example).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn with_example(arguments: &[&str]) -> Output {
    let (config, routes) = (project("deploy/bridge.example.toml"), project("routes"));
    let mut all = vec!["--config", config.to_str().unwrap(), "--routes", routes.to_str().unwrap()];
    all.extend(arguments);
    bridge(&all)
}

#[test]
fn help_names_every_subcommand() {
    let help = bridge(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in ["serve", "demo", "check", "doctor", "explain", "token", "deliveries", "pause", "resume", "simulate"]
    {
        assert!(said(&help).contains(&format!("  {command}")), "{command}");
        assert_eq!(bridge(&[command, "--help"]).status.code(), Some(0), "{command}");
    }
}

#[test]
fn a_new_token_is_taken_without_a_warning() {
    let new = || String::from_utf8(bridge(&["token", "new"]).stdout).unwrap();
    let token = new();
    assert_eq!(token.trim_end().len(), 43, "{token}");
    assert_ne!(token, new());
    let (config, routes) = (project("deploy/bridge.example.toml"), project("routes"));
    let checked = Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"))
        .args(["--config", config.to_str().unwrap(), "--routes", routes.to_str().unwrap(), "check"])
        .envs([("AZURE_CLIENT_SECRET", "x"), ("SIGNL4_OPS_SECRET", "o"), ("SIGNL4_PAYMENTS_SECRET", "p")])
        .envs([("BRIDGE_AZURE_TOKEN", token.trim_end()), ("BRIDGE_SIGNL4_TOKEN", new().trim_end())])
        .output()
        .unwrap();
    assert!(said(&checked).contains("no warnings"), "{}", said(&checked));
}

#[test]
fn wrong_usage_and_wrong_configuration_are_status_2() {
    assert_eq!(bridge(&["dance"]).status.code(), Some(2));
    assert_eq!(bridge(&["pause", "--team", "ops"]).status.code(), Some(2), "for how long?");
    for (arguments, mend) in [
        (["demo", "--speed", "1000"], "50 at most"),
        (["demo", "--speed", "0"], "above 0"),
        (["simulate", "--bridge-url", "notaurl"], "http://127.0.0.1:8080"),
    ] {
        let wrong = bridge(&arguments);
        assert_eq!(wrong.status.code(), Some(2), "{arguments:?}");
        assert!(said(&wrong).contains(mend), "{}", said(&wrong));
    }
    let missing = bridge(&["--config", "/nowhere/bridge.toml", "check"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(said(&missing).contains("/nowhere/bridge.toml"), "{}", said(&missing));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.toml");
    std::fs::write(&config, "[server]\nlistn = \"127.0.0.1:8080\"\n").unwrap();
    for command in ["check", "doctor", "serve"] {
        let wrong = bridge(&["--config", config.to_str().unwrap(), command]);
        assert_eq!(wrong.status.code(), Some(2), "{command}");
        let said = said(&wrong);
        assert!(said.contains("bridge.toml:2:") && said.contains("`listn`") && said.contains("`listen`"), "{said}");
    }
}

#[test]
fn a_store_without_a_folder_is_blamed_on_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.toml");
    let text = std::fs::read_to_string(project("deploy/bridge.example.toml")).unwrap();
    let text = text.replacen("sqlite:", "sqlite:nowhere/", 1);
    std::fs::write(&config, text).unwrap();
    let serve = bridge(&["--config", config.to_str().unwrap(), "serve"]);
    assert_eq!(serve.status.code(), Some(2));
    let said = said(&serve);
    assert!(said.contains("the folder of `[store] url` must exist, be writable"), "{said}");
    assert!(said.contains("nowhere/") && said.contains("No such file"), "{said}");
    assert!(!said.contains("admin token"), "{said}");
}

#[test]
fn check_passes_on_what_is_shipped_and_fails_on_a_failing_example() {
    let shipped = with_example(&["check"]);
    assert_eq!(shipped.status.code(), Some(0), "{}", said(&shipped));
    let folder = tempfile::tempdir().unwrap();
    let route = "[[route]]\nname = \"all\"\nteam = \"ops\"\n[[route.example]]\nalert = { severity = \"Sev1\" }\nteam = \"payments\"\n";
    std::fs::write(folder.path().join("all.toml"), route).unwrap();
    let config = project("deploy/bridge.example.toml");
    let failing = bridge(&["--config", config.to_str().unwrap(), "--routes", folder.path().to_str().unwrap(), "check"]);
    assert_eq!(failing.status.code(), Some(1), "{}", said(&failing));
    assert!(said(&failing).contains("all.toml:4"), "{}", said(&failing));
}

#[test]
fn explain_names_the_route_and_prints_the_requests_with_masked_secrets() {
    let file = project("fixtures/azure/metric-static-fired.json");
    let explained = with_example(&["explain", file.to_str().unwrap(), "--connection", "contoso"]);
    let said = said(&explained);
    assert_eq!(explained.status.code(), Some(0), "{said}");
    assert!(!said.contains("exampleops") && !said.contains("not a secret"), "{said}");
    assert!(said.contains("POST https://connect.signl4.com/webhook/••••"), "{said}");
    for (fixture, why) in [
        ("test-metric-static.json", "no: the alert behind a test notification does not exist"),
        ("legacy-budget.json", "no: Azure keeps no alert for a budget"),
        ("legacy-activity-log.json", "no: the old payload does not tell the alert's id"),
        ("metric-static-fired.json", "yes"),
    ] {
        let file = project("fixtures/azure").join(fixture);
        let told = String::from_utf8(with_example(&["explain", file.to_str().unwrap()]).stdout).unwrap();
        assert!(told.contains(&format!("Write-back  {why}\n")), "{fixture}: {told}");
        assert!(!told.contains("\n\n\n"), "two blank lines for {fixture}: {told}");
    }
    let unreadable = tempfile::NamedTempFile::new().unwrap();
    let told = String::from_utf8(with_example(&["explain", unreadable.path().to_str().unwrap()]).stdout).unwrap();
    assert!(told.contains("as an unreadable alert.\n\nPOST ") && !told.contains("\n\n\n"), "{told}");
    let wrong = with_example(&["explain", file.to_str().unwrap(), "--connection", "fabrikam"]);
    assert_eq!(wrong.status.code(), Some(2));
    let missing = with_example(&["explain", "/nowhere.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nowhere.json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_to_a_running_bridge_go_through_its_admin_listener() {
    let town = Town::new().await;
    // The configuration names port 0: the commands are told where it came to be.
    let text = std::fs::read_to_string(town.folder.path().join("bridge.toml")).unwrap();
    let admin = town.admin.trim_start_matches("http://");
    let config = town.folder.path().join("commands.toml");
    let text = text.replacen("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{admin}\""), 1);
    std::fs::write(&config, text).unwrap();
    let run = |arguments: &[&str]| {
        let mut all = vec!["--config", config.to_str().unwrap()];
        all.extend(arguments);
        let output = bridge(&all);
        (output.status.code(), said(&output))
    };
    assert_eq!(run(&["deliveries", "list"]), (Some(0), "no dead deliveries\n".to_owned()));
    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    let alert = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    let (status, list) = run(&["deliveries", "list"]);
    assert_eq!(status, Some(0), "{list}");
    assert!(list.contains("vm-web-1"), "{list}");
    let id = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(run(&["deliveries", "replay", &id]).0, Some(0));
    town.settle().await;
    town.page(&alert);
    let (status, again) = run(&["deliveries", "replay", &id]);
    assert_eq!(status, Some(1));
    assert!(again.contains("only a dead delivery"), "{again}");
    for span in ["1x", "8d"] {
        let (status, wrong) = run(&["pause", "--team", "ops", "--for", span]);
        assert_eq!(status, Some(2));
        assert!(wrong.contains(&format!("--for is `{span}`; write a span such as")), "{wrong}");
    }
    assert_eq!(run(&["pause", "--team", "ops", "--for", "1h"]).0, Some(0));
    assert_eq!(run(&["resume", "--team", "ops"]).0, Some(0));
    let (status, unknown) = run(&["resume", "--team", "dba"]);
    assert_eq!(status, Some(1));
    assert!(unknown.contains("dba"), "{unknown}");
    let token = town.folder.path().join("bridge.admin-token");
    std::fs::rename(&token, town.folder.path().join("elsewhere")).unwrap();
    let (status, missing) = run(&["resume", "--team", "ops"]);
    assert_eq!(status, Some(1));
    assert!(missing.contains("cannot read the admin token file") && missing.contains("No such file"), "{missing}");
    let text = std::fs::read_to_string(&config).unwrap().replacen(admin, "127.0.0.1:1", 1);
    std::fs::write(&config, text).unwrap();
    let (status, gone) = run(&["deliveries", "list"]);
    assert_eq!(status, Some(1));
    assert!(gone.contains("no bridge answers on 127.0.0.1:1"), "{gone}");
    assert!(gone.contains("Connection refused"), "{gone}");
    town.close().await;
}
