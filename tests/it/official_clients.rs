//! Microsoft's own Python clients beside ours, against the same simulator: they understand its answers, and what they
//! send for each kind of credential is what ours sends, field by field. The differences that are allowed are named here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signl4_azure_bridge::certificate::made::Made;
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric, Role};
use signl4_azure_bridge::simulator::calls::{Call, Operation};
use signl4_azure_bridge::simulator::scene::{CLIENT, CLIENT_SECRET, JANE, SUBSCRIPTION, Scene, TENANT};
use tempfile::TempDir;

use self::https::Https;
use crate::requirements;
use crate::town::{Plan, Signing, Town, write_configuration};

mod https;

const IDENTITY: &str = "eeeeeeee-1111-4222-8333-444444444444";
const OBJECT: &str = "eeeeeeee-2222-4222-8333-444444444444";
const RESOURCE_ID: &str = "/subscriptions/cccccccc-1111-4222-8333-444444444444/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/bridge";
const HEADER: &str = "simulated-identity-header";
const COMMENT: &str = "Acknowledged by Jane Doe in SIGNL4";

/// Both clients' Azure, with every kind of credential furnished.
struct Peers {
    scene: Scene,
    https: Https,
    python: std::path::PathBuf,
    folder: TempDir,
    alert: String,
}

impl Peers {
    /// `None` where something is missing and that is allowed.
    async fn new() -> Option<Self> {
        let python = requirements::python_with_clients()?;
        let free = "127.0.0.1:0".parse().unwrap();
        let scene = Scene::start(free, free, Clock::System).await.unwrap();
        let https = Https::start(scene.azure.address()).await?;
        let folder = tempfile::tempdir().unwrap();
        let now = Clock::System.now();
        let made = Made::new(now.minus(Duration::from_hours(1)), now.plus(Duration::from_hours(24 * 90))).unwrap();
        let (azure, at) = (&scene.azure, folder.path());
        azure.register_certificate(CLIENT, &made.certificate).unwrap();
        for (name, text) in [
            ("app.pem", made.both()),
            ("certificate.pem", made.certificate),
            ("key.pem", made.key),
            ("token", cluster_token(now.as_millis() / 1000)),
        ] {
            std::fs::write(at.join(name), text).unwrap();
        }
        azure.federate(CLIENT, "https://oidc.example.com/", "system:serviceaccount:a:b", "api://AzureADTokenExchange");
        azure.assign_identity(TENANT, IDENTITY, OBJECT, Some(RESOURCE_ID));
        azure.assign_role(IDENTITY, SUBSCRIPTION, Some(Role::Bridge));
        azure.platform(|platform| platform.identity_header = Some(HEADER.to_owned()));
        azure.fire(AlertSpec::metric("Memory above 80 %", "vm-web-2", Metric::default())).unwrap();
        let alert = azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap();
        azure.take_calls();
        Some(Self { scene, https, python, folder, alert })
    }

    /// What Microsoft's client said, and what it sent.
    fn theirs(&self, kind: &str, env: &[(&str, String)]) -> (Value, Vec<Call>) {
        self.scene.azure.take_calls();
        let output = Command::new(&self.python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/official_clients/peer.py"))
            .arg(kind)
            .env_clear()
            .env("NO_PROXY", "*")
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("REQUESTS_CA_BUNDLE", self.https.certificate())
            .env("PEER_AZURE", self.https.url())
            .env("PEER_TENANT", TENANT)
            .env("PEER_CLIENT", CLIENT)
            .env("PEER_SECRET", CLIENT_SECRET)
            .env("PEER_SUBSCRIPTION", SUBSCRIPTION)
            .env("PEER_ALERT", &self.alert)
            .env("PEER_COMMENT", COMMENT)
            .env("PEER_FOLDER", self.folder.path())
            .envs(env.iter().map(|(name, value)| (*name, value.as_str())))
            .output()
            .unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        (serde_json::from_slice(&output.stdout).unwrap(), self.scene.azure.take_calls())
    }

    /// What the bridge sends for an acknowledgement on the phone.
    async fn ours(&self, credential: &str, ids: bool, env: &[(&str, String)]) -> Vec<Call> {
        let folder = tempfile::tempdir().unwrap();
        let env: BTreeMap<String, String> =
            env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let credential = credential.replace("FOLDER", &self.folder.path().display().to_string());
        let signing = Signing { credential, ids, env: env.clone() };
        let mut plan = Plan::default();
        write_configuration(&self.scene, folder.path(), &plan, Some(&signing));
        plan.options.env = env;
        self.scene.azure.take_calls();
        let town = Town::on(self.scene.clone(), Clock::System, folder, plan.options).await;
        let id = self.scene.azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap();
        town.settle().await;
        self.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
        town.settle().await;
        assert_eq!(town.azure_comments(&id), [COMMENT]);
        town.close().await;
        self.scene.azure.take_calls()
    }

    /// A request with everything that may differ by run taken out: who is where, which alert, which server.
    fn plain(&self, call: &Call) -> Plain {
        let base = self.scene.azure.url();
        let uniform = |text: &str| text.replace(&self.https.url(), "{azure}").replace(&base, "{azure}");
        let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
        let segments: Vec<&str> = path.split('/').collect();
        let path = segments.iter().map(|segment| match segment.len() {
            36 if *segment != TENANT && *segment != SUBSCRIPTION => "{alert}",
            _ => segment,
        });
        let mut fields = pairs(query);
        let body = String::from_utf8(call.body.to_vec()).unwrap();
        if call.header("content-type") == Some("application/x-www-form-urlencoded") {
            fields.extend(pairs(&body));
        } else if !body.is_empty() {
            fields.insert("body".to_owned(), serde_json::from_str::<Value>(&body).unwrap().to_string());
        }
        if let Some(assertion) = fields.remove("client_assertion") {
            let part = |at: usize| -> BTreeMap<String, Value> {
                let text = assertion.split('.').nth(at).unwrap();
                serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
            };
            for (place, members) in [("header", part(0)), ("claim", part(1))] {
                fields.extend(members.into_iter().map(|(name, value)| {
                    // Theirs pads thumbprints with `=`, which JSON Web Signatures leave out.
                    let text = uniform(value.as_str().unwrap_or(&value.to_string())).trim_end_matches('=').to_owned();
                    (format!("{place} {name}"), text)
                }));
            }
        }
        let headers = ["content-type", "metadata", "x-identity-header"];
        let headers = headers.iter().filter_map(|name| {
            let value = call.header(name)?;
            Some(((*name).to_owned(), value.to_owned()))
        });
        Plain {
            method: call.method.clone(),
            path: path.collect::<Vec<_>>().join("/"),
            fields,
            headers: headers.collect(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Plain {
    method: String,
    path: String,
    fields: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{text}")).unwrap();
    url.query_pairs().into_owned().collect()
}

/// A token of a cluster; its signature is noise.
fn cluster_token(seconds: i64) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "aud": ["api://AzureADTokenExchange"], "iss": "https://oidc.example.com/", "sub": "system:serviceaccount:a:b",
        "iat": seconds, "exp": seconds + 3_600,
    });
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256"})), part(&claims))
}

/// Asserts that two requests are the same but for what stands in the lists: what only they send, and what only we do.
fn assert_same(theirs: &Plain, ours: &Plain, only_theirs: &[&str], only_ours: &[&str], varying: &[&str]) {
    assert_eq!((&theirs.method, &theirs.path), (&ours.method, &ours.path));
    let names =
        |plain: &Plain| -> BTreeSet<String> { plain.fields.keys().chain(plain.headers.keys()).cloned().collect() };
    let (mine, other) = (names(ours), names(theirs));
    let without = |all: &BTreeSet<String>, of: &BTreeSet<String>| all.difference(of).cloned().collect::<Vec<_>>();
    assert_eq!(without(&other, &mine), only_theirs, "only they send this");
    assert_eq!(without(&mine, &other), only_ours, "only we send this");
    for (name, value) in ours.fields.iter().chain(&ours.headers) {
        let theirs = theirs.fields.get(name).or_else(|| theirs.headers.get(name));
        if let Some(theirs) = theirs.filter(|_| !varying.contains(&name.as_str())) {
            assert_eq!(theirs, value, "{name}");
        }
    }
}

fn only(calls: &[Call], operation: Operation) -> &Call {
    let found: Vec<&Call> = calls.iter().filter(|call| call.operation == operation).collect();
    assert_eq!(found.len(), 1, "{operation:?}: {calls:?}");
    assert_eq!(found[0].status(), Some(200), "{operation:?}: {}", found[0].answer_json());
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_clients_understand_the_simulator_and_send_what_the_bridge_sends() {
    let Some(peers) = Peers::new().await else { return };
    answers_are_understood_and_alerts_changed_alike(&peers).await;
    entra_is_asked_alike(&peers).await;
    platforms_are_asked_alike(&peers).await;
    peers.https.stop().await;
}

async fn answers_are_understood_and_alerts_changed_alike(peers: &Peers) {
    let (said, sent) = peers.theirs("secret", &[]);
    let id = format!("/providers/Microsoft.AlertsManagement/alerts/{}", peers.alert);
    // In two pages of one alert each.
    let listed: BTreeSet<&str> =
        said["listed"].as_array().unwrap().iter().map(|alert| alert["name"].as_str().unwrap()).collect();
    assert_eq!(listed, BTreeSet::from(["CPU above 90 %", "Memory above 80 %"]));
    assert_eq!(sent.iter().filter(|call| call.operation == Operation::ListAlerts).count(), 2);
    let read = &said["read"];
    assert!(read["id"].as_str().unwrap().ends_with(&id), "{read}");
    for (member, value) in
        [("severity", "Sev1"), ("state", "New"), ("condition", "Fired"), ("signal", "Metric"), ("target", "vm-web-1")]
    {
        assert_eq!(read[member], value, "{member}");
    }
    assert_eq!(said["changed"]["state"], "Acknowledged");
    let history = said["history"].as_array().unwrap();
    let change = json!({"event": "StateChange", "old": "New", "new": "Acknowledged", "comments": COMMENT});
    assert!(history.contains(&change), "{history:?}");
    assert!(history.iter().any(|item| item["event"] == "AlertCreated"), "{history:?}");

    let ours = peers.ours(&format!("{{ client_secret = \"{CLIENT_SECRET}\" }}"), true, &[]).await;
    for operation in [Operation::GetAlert, Operation::ChangeState] {
        let (theirs, ours) = (peers.plain(only(&sent, operation)), peers.plain(only(&ours, operation)));
        assert_same(&theirs, &ours, &[], &[], &[]);
    }
    // `client_info` asks for data of a signed-in user, and there is none.
    let (theirs, ours) = (only(&sent, Operation::Token), only(&ours, Operation::Token));
    assert_same(&peers.plain(theirs), &peers.plain(ours), &["client_info"], &[], &[]);
}

async fn entra_is_asked_alike(peers: &Peers) {
    // Theirs leaves `nbf` out, which Entra documents. Its SHA-256 form comes with the certificate itself, which only
    // Microsoft's own applications need.
    for (kind, credential, only_theirs, only_ours) in [
        (
            "certificate",
            "{ certificate = { file = \"FOLDER/app.pem\" }, algorithm = \"RS256\" }",
            &["client_info"][..],
            &["claim nbf"][..],
        ),
        (
            "msal",
            "{ certificate = { file = \"FOLDER/certificate.pem\" }, key = { file = \"FOLDER/key.pem\" } }",
            &["client_info", "header x5c"],
            &["claim nbf"],
        ),
        ("federated", "{ federated_token_file = \"FOLDER/token\" }", &[], &[]),
    ] {
        let (said, theirs) = peers.theirs(kind, &[]);
        assert!(said["read"].is_object() || said["token_type"] == "Bearer", "{kind}: {said}");
        let ours = peers.ours(credential, true, &[]).await;
        let (theirs, ours) = (only(&theirs, Operation::Token), only(&ours, Operation::Token));
        let varying = if kind == "federated" { &[][..] } else { &["claim jti", "claim iat", "claim exp"] };
        assert_same(&peers.plain(theirs), &peers.plain(ours), only_theirs, only_ours, varying);
    }
}

async fn platforms_are_asked_alike(peers: &Peers) {
    let imds = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", peers.scene.azure.url())];
    let app_service = [
        ("IDENTITY_ENDPOINT", format!("{}/msi/token", peers.scene.azure.url())),
        ("IDENTITY_HEADER", HEADER.to_owned()),
    ];
    for (kind, credential) in [
        ("system_identity".to_owned(), "\"managed_identity\"".to_owned()),
        (format!("client_id={IDENTITY}"), format!("{{ managed_identity = {{ client_id = \"{IDENTITY}\" }} }}")),
        (format!("object_id={OBJECT}"), format!("{{ managed_identity = {{ object_id = \"{OBJECT}\" }} }}")),
        (
            format!("resource_id={RESOURCE_ID}"),
            format!("{{ managed_identity = {{ resource_id = \"{RESOURCE_ID}\" }} }}"),
        ),
    ] {
        // Theirs sends `Metadata` to App Service too, which does not ask for it.
        for (env, only_theirs) in [(&imds[..], &[][..]), (&app_service[..], &["metadata"][..])] {
            let (said, theirs) = peers.theirs(&kind, env);
            assert!(said["read"].is_object(), "{kind}: {said}");
            let ours = peers.ours(&credential, false, env).await;
            let (theirs, ours) = (only(&theirs, Operation::IdentityToken), only(&ours, Operation::IdentityToken));
            assert_same(&peers.plain(theirs), &peers.plain(ours), only_theirs, &[], &[]);
        }
    }
}

/// The certificate of the terminator is what the clients are told to trust.
fn pem(folder: &Path) -> std::path::PathBuf {
    folder.join("localhost.pem")
}
