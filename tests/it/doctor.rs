//! `doctor` against the simulators: what it finds, what it asks, and that it pages nobody and changes nothing.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::doctor::{Diagnosis, Finding, Outcome, diagnose};
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric, Role};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Fault};
use signl4_azure_bridge::simulator::scene::{
    API_KEY, AZURE_TOKEN, BRIDGE_USER_ID, CLIENT, CLIENT_SECRET, JANE, SIGNL4_TOKEN, SUBSCRIPTION, Scene, TEAM_SECRET,
    TENANT,
};

use crate::proxies::proxy::Proxy;
use crate::town::{ONE_ROUTE, Town, set_role, start_of_time};

/// Looks with the town's configuration, changed by `edit`, at the town's time moved by `ahead` milliseconds.
async fn look_at(town: &Town, ahead: i64, edit: impl Fn(String) -> String) -> Diagnosis {
    // The configuration names port 0: doctor is told where it came to be.
    let text = std::fs::read_to_string(town.folder.path().join("bridge.toml")).unwrap();
    let admin = format!(
        "admin_listen = \"{}\"\npublic_url = \"{}\"",
        town.admin.trim_start_matches("http://"),
        town.url.replace("127.0.0.1", "localhost")
    );
    let text = text.replacen("admin_listen = \"127.0.0.1:0\"", &admin, 1);
    let path = town.folder.path().join("doctor.toml");
    std::fs::write(&path, edit(text)).unwrap();
    let now = signl4_azure_bridge::domain::timestamp::Timestamp::from_millis(town.clock.now().as_millis() + ahead);
    diagnose(&path, None, &BTreeMap::new(), &Clock::manual(now)).await.unwrap()
}

async fn look(town: &Town) -> Diagnosis {
    look_at(town, 0, |text| text).await
}

async fn look_with(town: &Town, from: &str, to: &str) -> Diagnosis {
    look_at(town, 0, |text| {
        assert!(text.contains(from), "{from} is in {text}");
        text.replace(from, to)
    })
    .await
}

/// The one finding of this check and target.
fn the<'d>(diagnosis: &'d Diagnosis, check: &str, target: &str) -> &'d Finding {
    let mut found =
        diagnosis.findings.iter().filter(|finding| finding.check == check && finding.target.contains(target));
    let first = found.next().unwrap_or_else(|| panic!("no {check} of {target}: {:#?}", diagnosis.findings));
    assert!(found.next().is_none(), "one {check} of {target}: {:#?}", diagnosis.findings);
    first
}

fn assert_finding(diagnosis: &Diagnosis, check: &str, target: &str, outcome: Outcome, says: &[&str]) {
    let finding = the(diagnosis, check, target);
    assert_eq!(finding.outcome, outcome, "{finding:?}");
    let said = format!("{} → {}", finding.detail, finding.mend.as_deref().unwrap_or_default());
    for part in says {
        assert!(said.contains(part), "`{part}` in {said}");
    }
    match outcome {
        Outcome::Pass => assert_eq!(finding.mend, None, "{finding:?}"),
        Outcome::Warn | Outcome::Fail => assert!(finding.mend.is_some(), "{finding:?}"),
        Outcome::Untested => {}
    }
}

fn failures(diagnosis: &Diagnosis) -> Vec<(&str, &str)> {
    let failed = diagnosis.findings.iter().filter(|finding| finding.outcome == Outcome::Fail);
    failed.map(|finding| (finding.check, finding.target.as_str())).collect()
}

/// An alert that is paged and acknowledged: both sides have called.
async fn call_from_both_sides(town: &Town) {
    let alert = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.signl4.acknowledge(&town.page(&alert).id, JANE, None).unwrap();
    town.settle().await;
    town.poll().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_well_and_nobody_is_paged() {
    let town = Town::new().await;
    call_from_both_sides(&town).await;
    town.scene.azure.take_calls();
    town.scene.signl4.take_calls();
    let events = town.bridge.store.events(1_000).await.unwrap().len();

    let diagnosis = look(&town).await;
    assert_eq!(failures(&diagnosis), []);
    let of = |operations: &[Operation], calls: Vec<signl4_azure_bridge::simulator::calls::Call>| {
        let mut seen: Vec<Operation> = calls.iter().map(|call| call.operation).collect();
        seen.sort_by_key(|operation| operations.iter().position(|known| known == operation));
        assert_eq!(seen, operations);
    };
    let reads = [Operation::Discovery, Operation::Token, Operation::ListAlerts, Operation::Permissions];
    of(&reads, town.scene.azure.take_calls());
    of(&[Operation::ListTeams, Operation::ReadUser], town.scene.signl4.take_calls());
    assert_eq!(town.bridge.store.events(1_000).await.unwrap().len(), events, "nothing was stored");

    let order: Vec<(&str, &str)> =
        diagnosis.findings.iter().map(|finding| (finding.check, finding.target.as_str())).collect();
    let again = look(&town).await;
    let same: Vec<(&str, &str)> =
        again.findings.iter().map(|finding| (finding.check, finding.target.as_str())).collect();
    assert_eq!(order, same);

    for (check, target) in [
        ("token", "azure.contoso"),
        ("clock", "azure.contoso"),
        ("alerts", SUBSCRIPTION),
        ("change_state", SUBSCRIPTION),
        ("base_url", "signl4.ops"),
        ("api_key", "signl4.ops"),
        ("user", "signl4.ops"),
        ("clock", "signl4.ops"),
        ("dns", "http://localhost"),
        ("connect", "http://localhost"),
        ("from_outside", "http://localhost"),
        ("ready", "running bridge"),
        ("destinations", "running bridge"),
        ("credentials", "running bridge"),
        ("polls", "running bridge"),
        ("deliveries", "running bridge"),
        ("last_webhook", "azure.contoso"),
        ("last_webhook", "signl4.ops"),
    ] {
        assert_finding(&diagnosis, check, target, Outcome::Pass, &[]);
    }
    assert_finding(&diagnosis, "token", "azure.contoso", Outcome::Pass, &[TENANT, CLIENT, "in 59 min"]);
    assert_finding(&diagnosis, "last_webhook", "azure.contoso", Outcome::Pass, &["2026-11-24T03:00:00Z", "0 s ago"]);
    assert_finding(&diagnosis, "api_key", "signl4.ops", Outcome::Pass, &["it sees ops"]);
    assert_finding(&diagnosis, "secret", "signl4.ops", Outcome::Untested, &["cannot be tried without paging"]);
    assert_finding(
        &diagnosis,
        "secret_expiry",
        "azure.contoso",
        Outcome::Untested,
        &["az ad app credential list", CLIENT],
    );
    let webhooks: Vec<&Finding> = diagnosis.findings.iter().filter(|finding| finding.check == "webhook").collect();
    assert_eq!(webhooks.len(), 2, "one of each side");
    assert!(webhooks.iter().all(|finding| finding.detail.contains("refused with 401")), "{webhooks:?}");
    let hidden: Vec<&Finding> = diagnosis.findings.iter().filter(|finding| finding.check == "not_published").collect();
    assert!(hidden.len() == 2 && hidden.iter().all(|finding| finding.outcome == Outcome::Pass), "{hidden:?}");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_refuses_is_named_with_the_command_that_mends_it() {
    let town = Town::new().await;
    let object = town.scene.azure.read(|state| state.tenants[TENANT].apps[CLIENT].object_id.clone());
    let assign = format!(
        "az role assignment create --assignee-object-id {object} --assignee-principal-type ServicePrincipal --role \
         \"SIGNL4 bridge\" --scope /subscriptions/{SUBSCRIPTION}"
    );
    let subscription = format!("azure.contoso subscription {SUBSCRIPTION}");

    set_role(&town.scene, None);
    let none = look(&town).await;
    assert_eq!(failures(&none), [("alerts", subscription.as_str())]);
    assert_finding(&none, "alerts", SUBSCRIPTION, Outcome::Fail, &["403 AuthorizationFailed", &assign]);
    assert_finding(&none, "change_state", SUBSCRIPTION, Outcome::Untested, &["see `alerts`"]);

    set_role(&town.scene, Some(Role::Reader));
    let reader = look(&town).await;
    assert_eq!(failures(&reader), [("change_state", subscription.as_str())]);
    assert_finding(&reader, "change_state", SUBSCRIPTION, Outcome::Fail, &["changestate/action", &assign]);

    set_role(&town.scene, Some(Role::Bridge));
    town.scene.azure.knobs(|knobs| knobs.permissions_readable = false);
    let silent = look(&town).await;
    assert_eq!(failures(&silent), []);
    let says = ["may not ask", "Microsoft.Authorization/permissions/read", "az role definition update"];
    assert_finding(&silent, "change_state", SUBSCRIPTION, Outcome::Untested, &says);

    let other = "eeeeeeee-1111-4222-8333-444444444444";
    let wrong = look_with(&town, SUBSCRIPTION, other).await;
    assert_finding(&wrong, "alerts", other, Outcome::Fail, &["404 SubscriptionNotFound", "az account list", other]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_refused_or_ends_is_named() {
    let town = Town::new().await;
    let other = "eeeeeeee-1111-4222-8333-444444444444";
    let reset = format!("az ad app credential reset --id {CLIENT} --append");

    let tenant = look_with(&town, TENANT, other).await;
    assert_finding(&tenant, "token", "azure.contoso", Outcome::Fail, &["AADSTS90002", "az account show"]);
    assert!(!tenant.findings.iter().any(|finding| finding.check == "alerts"), "nothing to ask with");
    assert_finding(&tenant, "clock", "azure.contoso", Outcome::Pass, &[]);

    let client = look_with(&town, CLIENT, other).await;
    assert_finding(&client, "token", "azure.contoso", Outcome::Fail, &["AADSTS700016", "az ad app list"]);

    let secret = look_with(&town, CLIENT_SECRET, "another-secret").await;
    assert_finding(&secret, "token", "azure.contoso", Outcome::Fail, &["AADSTS7000215", &reset]);
    assert!(!format!("{secret:?}").contains("another-secret"));

    town.scene.azure.expire_secrets(CLIENT, start_of_time());
    let expired = look(&town).await;
    assert_finding(&expired, "token", "azure.contoso", Outcome::Fail, &["AADSTS7000222", &reset]);
    town.scene.azure.rotate_secret(CLIENT, CLIENT_SECRET);

    let quoted = format!("client_secret = \"{CLIENT_SECRET}\"");
    for (day, outcome, says) in [
        ("2026-11-23", Outcome::Fail, "has ended on 2026-11-23"),
        ("2026-12-04", Outcome::Warn, "in 9 days"),
        ("2027-11-24", Outcome::Pass, "in 364 days"),
    ] {
        let dated = look_with(&town, &quoted, &format!("{quoted}, expires = {day}")).await;
        assert_finding(&dated, "secret_expiry", "azure.contoso", outcome, &[says]);
        let is_mended =
            the(&dated, "secret_expiry", "azure.contoso").mend.as_ref().is_some_and(|mend| mend.contains(&reset));
        assert_eq!(is_mended, outcome != Outcome::Pass, "{day}");
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_signl4_refuses_is_named() {
    let town = Town::new().await;
    let key = look_with(&town, API_KEY, "another-key").await;
    assert_finding(&key, "api_key", "signl4.ops", Outcome::Fail, &["401", "Integrations → API Keys"]);
    assert_finding(&key, "base_url", "signl4.ops", Outcome::Pass, &[]);

    let user = look_with(&town, BRIDGE_USER_ID, "eeeeeeee-1111-4222-8333-444444444444").await;
    assert_finding(&user, "user", "signl4.ops", Outcome::Fail, &["no user has the id eeeeeeee", "/api/v2/users"]);

    let jane = town.scene.signl4.read(|state| state.person(JANE).unwrap().id.clone());
    let on_duty = look_with(&town, BRIDGE_USER_ID, &jane).await;
    assert_finding(&on_duty, "user", "signl4.ops", Outcome::Warn, &[JANE, "on duty"]);

    town.scene.signl4.add_team("other", "othersecret1");
    let elsewhere = town.scene.signl4.add_person("other", "Richard Roe", "richard.roe@example.com").unwrap();
    town.scene.signl4.faults().plan(
        Fault::new(Action::Body {
            status: 200,
            body: serde_json::json!([{ "id": "x", "name": "ops", "memberIds": [] }]),
        })
        .on(Operation::ListTeams),
    );
    let stranger = look_with(&town, BRIDGE_USER_ID, &elsewhere).await;
    assert_finding(&stranger, "user", "signl4.ops", Outcome::Fail, &["Richard Roe is in no team"]);

    let signl4 = town.scene.signl4.url();
    let nobody = look_with(&town, &signl4, "http://127.0.0.1:1").await;
    assert_finding(&nobody, "base_url", "signl4.ops", Outcome::Fail, &["http://127.0.0.1:1", "no connection"]);
    let ours = look_with(&town, &signl4, &town.url).await;
    assert_finding(&ours, "base_url", "signl4.ops", Outcome::Fail, &["answers 404 as SIGNL4 would not", "`base_url`"]);

    // Without a key there is still something to see.
    let without = |text: String| {
        let rest = |line: &&str| !line.starts_with("api_key") && !line.starts_with("user_id");
        text.lines().filter(rest).collect::<Vec<_>>().join("\n")
    };
    let bare = look_at(&town, 0, without).await;
    assert_finding(&bare, "base_url", "signl4.ops", Outcome::Pass, &["asks for an API key"]);
    assert_finding(&bare, "clock", "signl4.ops", Outcome::Pass, &[]);
    assert_eq!(town.scene.signl4.read(|state| state.calls_of(Operation::Webhook).count()), 0, "nobody is paged");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_warns_and_then_fails() {
    let town = Town::new().await;
    for (ahead, outcome, says) in [
        (30_000, Outcome::Pass, "within"),
        (120_000, Outcome::Warn, "ahead of"),
        (-120_000, Outcome::Warn, "behind"),
        (600_000, Outcome::Fail, "ahead of"),
        (-600_000, Outcome::Fail, "behind"),
    ] {
        let diagnosis = look_at(&town, ahead, |text| text).await;
        for target in ["azure.contoso", "signl4.ops"] {
            assert_finding(&diagnosis, "clock", target, outcome, &[says]);
        }
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_that_does_not_lead_here_fails() {
    let town = Town::new().await;
    let here = town.url.replace("127.0.0.1", "localhost");
    let name = look_with(&town, &here, "https://bridge.invalid").await;
    assert_finding(
        &name,
        "dns",
        "https://bridge.invalid",
        Outcome::Fail,
        &["bridge.invalid does not resolve", "A or AAAA"],
    );

    let closed = look_with(&town, &here, "https://127.0.0.1:1").await;
    assert_finding(&closed, "connect", "https://127.0.0.1:1", Outcome::Fail, &["refused", "firewall"]);
    call_from_both_sides(&town).await;
    let called = look_with(&town, &here, "https://127.0.0.1:1").await;
    assert_finding(&called, "connect", "https://127.0.0.1:1", Outcome::Warn, &["reached from outside"]);

    let no_tls = look_with(&town, &here, &here.replace("http:", "https:")).await;
    let webhook = no_tls.findings.iter().find(|finding| finding.check == "webhook").unwrap();
    assert_eq!(webhook.outcome, Outcome::Fail, "{webhook:?}");
    assert!(webhook.mend.as_ref().unwrap().contains("certificate"), "{webhook:?}");

    // A proxy that publishes the admin listener.
    let published = look_with(&town, &here, &town.admin).await;
    let hidden: Vec<&Finding> = published.findings.iter().filter(|finding| finding.check == "not_published").collect();
    assert_eq!(hidden.iter().map(|finding| finding.outcome).collect::<Vec<_>>(), [Outcome::Fail, Outcome::Fail]);
    let webhook = published.findings.iter().find(|finding| finding.check == "webhook").unwrap();
    assert_eq!(webhook.outcome, Outcome::Fail, "{webhook:?}");

    let none = look_with(&town, &format!("public_url = \"{here}\""), "").await;
    assert_finding(&none, "public_url", "public address", Outcome::Warn, &["`public_url` in [server]"]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_bridge_is_asked_how_it_stands() {
    let town = Town::new().await;
    let admin = town.admin.trim_start_matches("http://").to_owned();
    let away = look_with(&town, &admin, "127.0.0.1:1").await;
    assert_finding(&away, "ready", "running bridge", Outcome::Warn, &["127.0.0.1:1", "signl4-azure-bridge serve"]);
    assert_eq!(failures(&away), [], "a bridge that does not run yet is no failure");

    let never = look(&town).await;
    let public = town.url.replace("127.0.0.1", "localhost").replace("http://", "");
    let url = format!("http://azure:TOKEN@{public}/azure/contoso");
    assert_finding(
        &never,
        "last_webhook",
        "azure.contoso",
        Outcome::Warn,
        &["never called", &url, "usecommonalertschema"],
    );
    let url = format!("http://signl4:TOKEN@{public}/signl4/ops");
    assert_finding(&never, "last_webhook", "signl4.ops", Outcome::Warn, &["never called", &url]);
    assert_finding(&never, "from_outside", "http://localhost", Outcome::Untested, &["this machine only", "curl"]);

    let token = std::fs::read_to_string(town.folder.path().join("bridge.admin-token")).unwrap();
    let post = |path: &str| town.http.post(format!("{}{path}", town.admin)).bearer_auth(&token).send();
    assert_eq!(post("/api/teams/ops/pause?for=1h").await.unwrap().status(), 200);
    let paused = look(&town).await;
    let says = ["signl4:ops is paused until 2026-11-24T04:00:00Z", "signl4-azure-bridge resume --team ops"];
    assert_finding(&paused, "destinations", "running bridge", Outcome::Warn, &says);
    assert_eq!(post("/api/teams/ops/resume").await.unwrap().status(), 200);

    town.scene.signl4.faults().plan(Fault::status(400).on(Operation::Webhook));
    town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    let dead = look(&town).await;
    assert_finding(&dead, "deliveries", "running bridge", Outcome::Warn, &["signl4-azure-bridge deliveries list"]);

    town.scene.signl4.rotate_secret("ops", "rotated");
    town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-2", Metric::default())).unwrap();
    town.settle().await;
    town.clock.advance(Duration::from_mins(10));
    let denied = look(&town).await;
    assert_finding(&denied, "destinations", "running bridge", Outcome::Fail, &["signl4:ops refuses our credential"]);
    let waiting = denied.findings.iter().filter(|finding| finding.check == "deliveries").collect::<Vec<_>>();
    assert!(waiting.iter().any(|finding| finding.detail.contains("the oldest since 10 min")), "{waiting:?}");
    town.scene.signl4.rotate_secret("ops", TEAM_SECRET);
    town.after(Duration::from_mins(5)).await;
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_costs_five_seconds_and_not_more() {
    let town = Town::new().await;
    town.scene.azure.faults().plan(Fault::new(Action::Hang).on(Operation::ListAlerts));
    town.scene.azure.faults().plan(Fault::new(Action::Hang).on(Operation::Discovery));
    town.scene.signl4.faults().plan(Fault::new(Action::Hang).on(Operation::ListTeams));
    let bound = tokio::time::timeout(Duration::from_secs(20), look(&town));
    let diagnosis = bound.await.expect("each request has its bound");
    assert_finding(&diagnosis, "alerts", SUBSCRIPTION, Outcome::Fail, &["none within 5 s"]);
    assert_finding(&diagnosis, "base_url", "signl4.ops", Outcome::Fail, &["none within 5 s"]);
    assert_finding(&diagnosis, "clock", "azure.contoso", Outcome::Pass, &[]);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_ends_with_the_right_status_and_shows_no_secret() {
    let free = "127.0.0.1:0".parse().unwrap();
    let scene = Scene::start(free, free, Clock::System).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bridge.toml");
    let server = "[server]\nadmin_listen = \"127.0.0.1:1\"\n\n";
    std::fs::write(&path, format!("{server}{}", scene.bridge_toml())).unwrap();
    std::fs::create_dir(folder.path().join("routes")).unwrap();
    std::fs::write(folder.path().join("routes/all.toml"), ONE_ROUTE).unwrap();
    let run = |arguments: &[&str]| {
        let program = env!("CARGO_BIN_EXE_signl4-azure-bridge");
        let output = Command::new(program).arg("--config").arg(&path).args(arguments).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let mut secrets = vec![CLIENT_SECRET, AZURE_TOKEN, TEAM_SECRET, SIGNL4_TOKEN, API_KEY].into_iter();
        assert!(!secrets.any(|secret| said.contains(secret)), "{said}");
        assert!(!said.contains("eyJ"), "no token: {said}");
        assert!(!said.contains('\u{1b}'), "plain without a terminal: {said}");
        (output.status.code(), said)
    };

    let (status, said) = run(&["doctor"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.contains("  ✓ change_state ") && said.contains("  ! ready ") && said.contains("  ? secret "),
        "{said}"
    );
    assert!(said.contains("  → signl4-azure-bridge serve\n"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("Well: "), "{said}");

    set_role(&scene, None);
    let (status, said) = run(&["doctor"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("  ✗ alerts ") && said.lines().last().unwrap().starts_with("Failed: "), "{said}");
    let (status, said) = run(&["doctor", "--json"]);
    assert_eq!(status, Some(1), "{said}");
    let array: Vec<BTreeMap<String, serde_json::Value>> = serde_json::from_str(&said).unwrap();
    let keys: Vec<&str> = array[0].keys().map(String::as_str).collect();
    assert_eq!(keys, ["check", "detail", "mend", "outcome", "target"]);
    let failed: Vec<&str> =
        array.iter().filter(|it| it["outcome"] == "fail").filter_map(|it| it["check"].as_str()).collect();
    assert_eq!(failed, ["alerts"]);

    std::fs::write(&path, format!("[server]\nlistn = \"127.0.0.1:1\"\n\n{}", scene.bridge_toml())).unwrap();
    let (status, said) = run(&["doctor", "--json"]);
    assert_eq!(status, Some(2), "{said}");
    let array: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&array[0]["check"], &array[0]["outcome"]), (&"configuration".into(), &"fail".into()));
    assert!(array[0]["target"].as_str().unwrap().ends_with("bridge.toml:2:1"), "{said}");
    assert!(array[0]["detail"].as_str().unwrap().contains("`listen`"), "{said}");

    assert_eq!(scene.azure.read(|state| state.calls_of(Operation::ChangeState).count()), 0);
    assert_eq!(scene.signl4.read(|state| state.calls_of(Operation::Webhook).count()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_as_it_is_shipped_passes_and_an_unknown_certificate_fails() {
    let town = Town::new().await;
    let bridge = town.url.trim_start_matches("http://").parse().unwrap();
    let Some((proxy, certificate)) = Proxy::start_with_tls(bridge).await else { return town.close().await };
    let public = format!("https://localhost:{}", proxy.address.port());
    let text = std::fs::read_to_string(town.folder.path().join("bridge.toml")).unwrap();
    let path = town.folder.path().join("doctor.toml");
    std::fs::write(&path, text.replacen("[server]", &format!("[server]\npublic_url = \"{public}\""), 1)).unwrap();
    let run = |roots: Option<&std::path::Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"));
        command.arg("--config").arg(&path).args(["doctor", "--json"]).envs(roots.map(|file| ("SSL_CERT_FILE", file)));
        let said = command.output().unwrap().stdout;
        let findings: Vec<serde_json::Value> = serde_json::from_slice(&said).unwrap();
        let of_public = findings.into_iter().filter(|finding| finding["target"] == public.as_str());
        let shown = |finding: serde_json::Value| {
            let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
            (text("check"), text("outcome"), text("detail"))
        };
        of_public.map(shown).collect::<Vec<_>>()
    };
    let outcomes = |findings: &[(String, String, String)]| {
        findings.iter().map(|(check, outcome, _)| format!("{check} {outcome}")).collect::<Vec<_>>()
    };

    let trusted = run(Some(&certificate));
    let expected = [
        "dns pass",
        "connect pass",
        "webhook pass",
        "webhook pass",
        "not_published pass",
        "not_published pass",
        "from_outside untested",
    ];
    assert_eq!(outcomes(&trusted), expected, "{trusted:?}");
    assert!(trusted[2].2.contains("over TLS with a valid certificate"), "{trusted:?}");

    let unknown = run(None);
    assert_eq!(outcomes(&unknown)[2], "webhook fail", "{unknown:?}");
    assert!(unknown[2].2.contains("certificate"), "{unknown:?}");
    town.close().await;
    drop(proxy);
}
