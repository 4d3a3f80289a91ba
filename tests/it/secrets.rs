//! Secrets stay in: everything that a process printed, stored and served is searched for every secret that it was given.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use signl4_azure_bridge::certificate::made::Made;
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric, SecureWebhook, Version};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Action, Fault};
use signl4_azure_bridge::simulator::scene::{
    API_KEY, AZURE_TOKEN, CLIENT, CLIENT_SECRET, JANE, SIGNL4_TOKEN, SUBSCRIPTION, Scene, TEAM, TEAM_SECRET, TENANT,
};
use tokio::sync::Notify;

const IDENTITY_HEADER: &str = "simulated-identity-header";
/// Refused, as nobody registered its issuer: only that it stays in is looked at.
const FEDERATED_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL29pZGMuZXhhbXBsZS5jb20ifQ.c2lnbmF0dXJl";
/// In the URL of a monitor that answers 404: only that it stays in is looked at.
const HEARTBEAT: &str = "simulated-heartbeat-key-of-a-monitor";
const ADMIN_TOKEN: &str = "simulated-admin-token-of-some-length";

/// What a process has printed so far, and a bell that rings with every piece of it.
#[derive(Clone, Default)]
struct Printed(Arc<(Mutex<Vec<u8>>, Notify)>);

impl Printed {
    /// Reads a pipe to its end in the background.
    fn gather(&self, mut pipe: impl Read + Send + 'static) {
        let printed = self.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                printed.0.0.lock().unwrap().extend_from_slice(&chunk[..count]);
                printed.0.1.notify_waiters();
            }
        });
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.0.lock().unwrap()).into_owned()
    }

    async fn wait_for<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        let waited = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let rung = self.0.1.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if let Some(found) = look(&self.text()) {
                    return found;
                }
                rung.await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("{what} was not printed"))
    }
}

/// The other ways to sign in, each with a subscription of its own.
fn more_connections(scene: &Scene) -> String {
    let azure = scene.azure.url();
    let cloud = format!(
        "cloud = {{ authority = \"{azure}\", arm = \"{azure}\", audience = \"https://management.azure.com\" }}"
    );
    let ids = format!("tenant_id = \"{TENANT}\"\nclient_id = \"{CLIENT}\"");
    [
        ("certified", ids.as_str(), "{ certificate = { file = \"app.pem\" } }"),
        ("federated", ids.as_str(), "{ federated_token_file = \"token\" }"),
        ("platform", "", "\"managed_identity\""),
    ]
    .iter()
    .enumerate()
    .map(|(at, (name, ids, credential))| {
        format!(
            "[azure.{name}]\n{ids}\ncredential = {credential}\n{cloud}\n\
             subscriptions = [\"dddddddd-1111-4222-8333-44444444444{at}\"]\ntoken = \"{AZURE_TOKEN}\"\n\n"
        )
    })
    .collect::<Vec<_>>()
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_stay_in() {
    let free = "127.0.0.1:0".parse().unwrap();
    let scene = Scene::start(free, free, Clock::System).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.toml");
    let heartbeat = format!("[alarm]\nheartbeat = \"{}/ping/{HEARTBEAT}\"\n", scene.azure.url());
    let server = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\nadmin_token = \"{ADMIN_TOKEN}\"\n{heartbeat}"
    );
    let secure = "secure_webhook = { audience = \"api://signl4-azure-bridge\" }\n";
    let sections = scene.bridge_toml().replace("[azure.contoso]\n", &format!("[azure.contoso]\n{secure}"));
    std::fs::write(&config, format!("{server}\n{}\n{}", sections, more_connections(&scene))).unwrap();
    let now = Clock::System.now();
    let made = Made::new(now, now.plus(Duration::from_hours(48))).unwrap();
    scene.azure.register_certificate(CLIENT, &made.certificate).unwrap();
    std::fs::write(folder.path().join("app.pem"), made.both()).unwrap();
    std::fs::write(folder.path().join("token"), FEDERATED_TOKEN).unwrap();
    scene.azure.assign_identity(TENANT, "eeeeeeee-1111-4222-8333-444444444444", "an object", None);
    scene.azure.platform(|platform| platform.identity_header = Some(IDENTITY_HEADER.to_owned()));
    std::fs::create_dir(folder.path().join("routes")).unwrap();
    std::fs::write(folder.path().join("routes/all.toml"), crate::town::ONE_ROUTE).unwrap();

    let printed = Printed::default();
    let program = env!("CARGO_BIN_EXE_signl4-azure-bridge");
    let mut child = Command::new(program)
        .args(["--log", "json", "--config"])
        .arg(&config)
        .arg("serve")
        // As loud as an operator in despair can make it.
        .env("RUST_LOG", "trace")
        .env("IDENTITY_ENDPOINT", format!("{}/msi/token", scene.azure.url()))
        .env("IDENTITY_HEADER", IDENTITY_HEADER)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    printed.gather(child.stdout.take().unwrap());
    printed.gather(child.stderr.take().unwrap());
    let serving = |said: &str| {
        let line = said.lines().find(|line| line.contains("\"message\":\"serving\""))?;
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let address = |name: &str| Some(format!("http://{}", line[name].as_str()?));
        Some((address("listen")?, address("admin_listen")?))
    };
    let (url, admin) = printed.wait_for("where it listens", serving).await;

    // Both directions, refused callers, failing attempts, a refused secret.
    scene.connect(&url);
    scene.signl4.faults().plan(Fault::status(503).on(Operation::Webhook));
    scene.signl4.faults().plan(Fault::new(Action::CutProcessed).on(Operation::Webhook).skip(1));
    scene.azure.fire(AlertSpec::metric("CPU", "vm-1", Metric::default())).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for path in [
        format!("/azure/contoso/{AZURE_TOKEN}"),
        format!("/azure/wrong/{AZURE_TOKEN}"),
        format!("/azure/{AZURE_TOKEN}"),
        format!("/signl4/ops/{SIGNL4_TOKEN}"),
        format!("/signl4/wrong/{SIGNL4_TOKEN}"),
        format!("/{SIGNL4_TOKEN}"),
    ] {
        client.post(format!("{url}{path}")).body("not JSON").send().await.unwrap();
    }
    // Entra tokens: a right one, one for somebody else, one that is changed.
    let webhook = |audience: &str| SecureWebhook {
        tenant: TENANT.to_owned(),
        audience: audience.to_owned(),
        version: Version::V2,
    };
    let right = scene.azure.webhook_token(&webhook("api://signl4-azure-bridge"));
    let foreign = scene.azure.webhook_token(&webhook("api://another"));
    let changed = format!("{right}AAAA");
    for (token, status) in [(&right, 200), (&foreign, 401), (&changed, 401)] {
        let posted = client.post(format!("{url}/azure/contoso")).bearer_auth(token).body("not JSON");
        assert_eq!(posted.send().await.unwrap().status(), status);
    }
    printed.wait_for("the failing claim", |said| said.contains("aud of the bearer token").then_some(())).await;
    printed.wait_for("the wrong signature", |said| said.contains("the signature of the bearer").then_some(())).await;
    // A flood of strangers is a few lines in the log, though each of them is refused.
    for number in 0..100 {
        let refused = client.post(format!("{url}/azure/contoso/stranger-{number}")).body("{}").send().await.unwrap();
        assert_eq!(refused.status(), 401);
    }
    printed.wait_for("the flood", |said| said.contains("more of them are only counted").then_some(())).await;
    let lines = printed.text().lines().filter(|line| line.contains("refused a webhook")).count();
    assert!(lines < 60, "{lines} lines, where the minute may have changed once");
    let of_azure = |state: &signl4_azure_bridge::simulator::signl4::State| {
        state
            .alerts
            .iter()
            .find(|page| page.external_id.as_deref().is_some_and(|id| id.contains(SUBSCRIPTION)))
            .cloned()
    };
    let page = scene.signl4.wait_for("the alert's page", of_azure).await.unwrap().id;
    scene.signl4.acknowledge(&page, JANE, None).unwrap();
    let acknowledged =
        |state: &signl4_azure_bridge::simulator::azure::State| state.calls_of(Operation::ChangeState).next().is_some();
    scene.azure.wait_until("the acknowledgement", acknowledged).await.unwrap();
    scene.signl4.rotate_secret(TEAM, "rotated");
    scene.azure.fire(AlertSpec::metric("Memory", "vm-2", Metric::default())).unwrap();
    printed.wait_for("the refusal", |said| said.contains("denied").then_some(())).await;

    let mut served = String::new();
    for path in ["/", "/readyz", "/metrics", "/api/deliveries", "/api/events", "/api/pages", "/api/callers"] {
        served += &client.get(format!("{admin}{path}")).send().await.unwrap().text().await.unwrap();
    }
    for path in ["/api/deliveries/x/replay", "/api/teams/ops/resume"] {
        for token in ["wrong", ADMIN_TOKEN] {
            let answer = client.post(format!("{admin}{path}")).bearer_auth(token).send().await.unwrap();
            served += &answer.text().await.unwrap();
        }
    }
    for arguments in [
        vec!["check"],
        vec!["doctor"],
        vec!["doctor", "--json"],
        vec!["explain", concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/azure/metric-static-fired.json")],
    ] {
        let output = Command::new(program)
            .arg("--config")
            .arg(&config)
            .args(arguments)
            .env("IDENTITY_ENDPOINT", format!("{}/msi/token", scene.azure.url()))
            .env("IDENTITY_HEADER", IDENTITY_HEADER)
            .output()
            .unwrap();
        served += &String::from_utf8_lossy(&output.stdout);
        served += &String::from_utf8_lossy(&output.stderr);
    }
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains("bridge.db") {
            stored.extend(std::fs::read(path).unwrap());
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let stored = String::from_utf8_lossy(&stored).into_owned();
    assert!(stored.contains("azmon:"), "the store was read");
    for token in [right, foreign] {
        for part in token.split('.').skip(1) {
            for (place, said) in [("printed", &printed.text()), ("served", &served), ("stored", &stored)] {
                assert!(!said.contains(part), "{place}: a part of an Entra token");
            }
        }
    }
    let mut secrets: Vec<String> = [
        CLIENT_SECRET,
        AZURE_TOKEN,
        TEAM_SECRET,
        SIGNL4_TOKEN,
        API_KEY,
        ADMIN_TOKEN,
        FEDERATED_TOKEN,
        IDENTITY_HEADER,
        HEARTBEAT,
    ]
    .map(str::to_owned)
    .into();
    // The key line by line, what was signed with it, and every token that was given for any of them.
    secrets.extend(made.key.lines().filter(|line| line.len() == 64).map(str::to_owned));
    let calls = scene.azure.calls();
    let assertions = calls.iter().filter_map(|call| {
        let body = String::from_utf8_lossy(&call.body).into_owned();
        body.split('&').find_map(|field| field.strip_prefix("client_assertion=").map(str::to_owned))
    });
    let tokens = calls.iter().filter_map(|call| call.answer_json()["access_token"].as_str().map(str::to_owned));
    let made_for_us: Vec<String> = assertions.chain(tokens).collect();
    assert!(made_for_us.len() >= 5, "two assertions, three tokens: {}", made_for_us.len());
    secrets.extend(made_for_us);
    for secret in &secrets {
        let secret = secret.as_str();
        let basic = STANDARD.encode(format!("bridge:{secret}"));
        for (place, said) in [("printed", &printed.text()), ("served", &served), ("stored", &stored)] {
            for form in [secret, &basic] {
                let found = said.lines().find(|line| line.contains(form));
                assert!(found.is_none(), "{place}: {}", found.unwrap_or_default());
            }
        }
    }
}
