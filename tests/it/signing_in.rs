//! Every way to sign in to Azure, through the front door: from an acknowledgement on the phone to the alert in Azure,
//! the requests field by field, secrets replaced while the bridge runs, and the warnings before they end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use signl4_azure_bridge::certificate::made::Made;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, ArcKey, Metric, Role};
use signl4_azure_bridge::simulator::calls::{Call, Operation};
use signl4_azure_bridge::simulator::scene::{CLIENT, CLIENT_SECRET, JANE, SUBSCRIPTION, Scene, TENANT};

use crate::town::{Plan, Signing, Town, start_of_time};

mod endings;
mod proxied;
mod replaced;

const ISSUER: &str = "https://oidc.example.com/cluster/";
const SUBJECT: &str = "system:serviceaccount:monitoring:signl4-azure-bridge";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const IDENTITY: &str = "eeeeeeee-1111-4222-8333-444444444444";
const OBJECT: &str = "eeeeeeee-2222-4222-8333-444444444444";
const RESOURCE_ID: &str = "/subscriptions/cccccccc-1111-4222-8333-444444444444/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/bridge";
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A town whose bridge signs in as `furnish` says.
async fn town(furnish: impl FnOnce(&Scene, &Path) -> Signing + 'static) -> Town {
    Town::with(Plan { signing: Some(Box::new(furnish)), ..Plan::default() }).await
}

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn made(days: u32) -> Made {
    Made::new(start_of_time(), start_of_time().plus(Duration::from_hours(24) * days)).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

/// A token of the cluster; its signature is noise.
fn cluster_token(nonce: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let seconds = start_of_time().as_millis() / 1000;
    let claims =
        json!({"aud": [AUDIENCE], "iss": ISSUER, "sub": SUBJECT, "iat": seconds, "exp": seconds + 3_600, "jti": nonce});
    format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256"})), part(&claims))
}

/// An alert fires, Jane acknowledges, Azure knows.
async fn both_ways_once(town: &Town) {
    let id = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&id), AlertState::Acknowledged, "{:?}", town.open().await);
    assert_eq!(town.azure_comments(&id), ["Acknowledged by Jane Doe in SIGNL4"]);
}

fn calls(town: &Town, operation: Operation) -> Vec<Call> {
    town.scene.azure.read(|state| state.calls_of(operation).cloned().collect())
}

/// The one request for a token.
fn asked(town: &Town, operation: Operation) -> Call {
    let mut calls = calls(town, operation);
    assert_eq!(calls.len(), 1, "one token serves all: {calls:?}");
    let call = calls.remove(0);
    assert_eq!(call.status(), Some(200), "{}", call.answer_json());
    call
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{text}")).unwrap();
    url.query_pairs().into_owned().collect()
}

fn form(call: &Call) -> BTreeMap<String, String> {
    assert_eq!(call.method, "POST");
    assert_eq!(call.path, format!("/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(call.header("content-type"), Some("application/x-www-form-urlencoded"));
    pairs(std::str::from_utf8(&call.body).unwrap())
}

fn query(call: &Call) -> BTreeMap<String, String> {
    assert_eq!((call.method.as_str(), call.body.len()), ("GET", 0));
    pairs(call.path.split_once('?').unwrap().1)
}

fn federate(scene: &Scene) {
    scene.azure.federate(CLIENT, ISSUER, SUBJECT, AUDIENCE);
}

/// The machine's own identity, or one that stands for itself, with the bridge's role.
fn assign(scene: &Scene, resource_id: Option<&str>) {
    scene.azure.assign_identity(TENANT, IDENTITY, OBJECT, resource_id);
    scene.azure.assign_role(IDENTITY, SUBSCRIPTION, Some(Role::Bridge));
}

#[tokio::test]
async fn by_client_secret() {
    let town = Town::new().await;
    both_ways_once(&town).await;
    let expected = environment(&[
        ("client_id", CLIENT),
        ("client_secret", CLIENT_SECRET),
        ("grant_type", "client_credentials"),
        ("scope", "https://management.azure.com/.default"),
    ]);
    assert_eq!(form(&asked(&town, Operation::Token)), expected);
    town.close().await;
}

#[tokio::test]
async fn by_certificate() {
    for (algorithm, member) in [("PS256", "x5t#S256"), ("RS256", "x5t")] {
        let town = town(move |scene, folder| {
            let made = made(365);
            scene.azure.register_certificate(CLIENT, &made.certificate).unwrap();
            write(folder, "app.pem", &made.both());
            let credential = format!("{{ certificate = {{ file = \"app.pem\" }}, algorithm = \"{algorithm}\" }}");
            Signing { credential, ids: true, ..Signing::default() }
        })
        .await;
        both_ways_once(&town).await;
        let mut form = form(&asked(&town, Operation::Token));
        let assertion = form.remove("client_assertion").unwrap();
        let expected = environment(&[
            ("client_assertion_type", JWT_BEARER),
            ("client_id", CLIENT),
            ("grant_type", "client_credentials"),
            ("scope", "https://management.azure.com/.default"),
        ]);
        assert_eq!(form, expected);
        let part = |at: usize| -> Value {
            let text = assertion.split('.').nth(at).unwrap();
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        assert_eq!(header.as_object().unwrap().keys().collect::<Vec<_>>(), ["alg", "typ", member]);
        assert_eq!(header["alg"], algorithm);
        assert_eq!(claims["aud"], format!("{}/{TENANT}/oauth2/v2.0/token", town.scene.azure.url()));
        town.close().await;
    }
}

#[tokio::test]
async fn by_federated_token_file_and_by_workload_identity() {
    let by_file = town(|scene, folder| {
        federate(scene);
        write(folder, "token", &cluster_token("one"));
        let credential = "{ federated_token_file = \"token\" }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    })
    .await;
    let by_platform = town(|scene, folder| {
        federate(scene);
        write(folder, "token", &cluster_token("one"));
        let file = folder.join("token").display().to_string();
        // The platform ends it with a slash.
        let authority = format!("{}/", scene.azure.url());
        let env = environment(&[
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_FEDERATED_TOKEN_FILE", &file),
            ("AZURE_AUTHORITY_HOST", &authority),
        ]);
        Signing { credential: "\"workload_identity\"".to_owned(), ids: false, env }
    })
    .await;
    for town in [by_file, by_platform] {
        both_ways_once(&town).await;
        let expected = environment(&[
            ("client_assertion", &cluster_token("one")),
            ("client_assertion_type", JWT_BEARER),
            ("client_id", CLIENT),
            ("grant_type", "client_credentials"),
            ("scope", "https://management.azure.com/.default"),
        ]);
        assert_eq!(form(&asked(&town, Operation::Token)), expected);
        town.close().await;
    }
}

#[tokio::test]
async fn by_the_variables_of_azures_libraries() {
    let common = |scene: &Scene| {
        environment(&[
            ("AZURE_CLIENT_ID", CLIENT),
            ("AZURE_TENANT_ID", TENANT),
            ("AZURE_AUTHORITY_HOST", &scene.azure.url()),
        ])
    };
    let signing = |env| Signing { credential: "\"environment\"".to_owned(), ids: false, env };
    let by_secret = town(move |scene, _| {
        let mut env = common(scene);
        env.insert("AZURE_CLIENT_SECRET".to_owned(), CLIENT_SECRET.to_owned());
        signing(env)
    })
    .await;
    let by_certificate = town(move |scene, folder| {
        let made = made(365);
        scene.azure.register_certificate(CLIENT, &made.certificate).unwrap();
        write(folder, "app.pem", &made.both());
        let mut env = common(scene);
        let path = folder.join("app.pem").display().to_string();
        env.insert("AZURE_CLIENT_CERTIFICATE_PATH".to_owned(), path);
        signing(env)
    })
    .await;
    let by_token = town(move |scene, folder| {
        federate(scene);
        write(folder, "token", &cluster_token("one"));
        let mut env = common(scene);
        env.insert("AZURE_FEDERATED_TOKEN_FILE".to_owned(), folder.join("token").display().to_string());
        signing(env)
    })
    .await;
    for (town, field) in
        [(by_secret, "client_secret"), (by_certificate, "client_assertion"), (by_token, "client_assertion")]
    {
        both_ways_once(&town).await;
        assert!(form(&asked(&town, Operation::Token)).contains_key(field));
        town.close().await;
    }
}

#[tokio::test]
async fn by_managed_identity_of_a_virtual_machine() {
    for (credential, assigned, parameter) in [
        ("\"managed_identity\"".to_owned(), None, None),
        (
            format!("{{ managed_identity = {{ client_id = \"{IDENTITY}\" }} }}"),
            Some(RESOURCE_ID),
            Some(("client_id", IDENTITY)),
        ),
        (
            format!("{{ managed_identity = {{ object_id = \"{OBJECT}\" }} }}"),
            Some(RESOURCE_ID),
            Some(("object_id", OBJECT)),
        ),
        (
            format!("{{ managed_identity = {{ resource_id = \"{RESOURCE_ID}\" }} }}"),
            Some(RESOURCE_ID),
            Some(("msi_res_id", RESOURCE_ID)),
        ),
    ] {
        let town = town(move |scene, _| {
            assign(scene, assigned);
            let env = environment(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &scene.azure.url())]);
            Signing { credential, ids: false, env }
        })
        .await;
        both_ways_once(&town).await;
        let call = asked(&town, Operation::IdentityToken);
        assert_eq!(call.path.split('?').next(), Some("/metadata/identity/oauth2/token"));
        let mut expected = environment(&[("api-version", "2018-02-01"), ("resource", "https://management.azure.com")]);
        expected.extend(parameter.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(query(&call), expected);
        assert_eq!((call.header("metadata"), call.header("authorization")), (Some("true"), None));
        assert_eq!(calls(&town, Operation::Token).len(), 0, "Entra is not asked");
        town.close().await;
    }
}

#[tokio::test]
async fn by_managed_identity_of_app_service() {
    let town = town(|scene, _| {
        assign(scene, Some(RESOURCE_ID));
        scene.azure.platform(|platform| platform.identity_header = Some("simulated-identity-header".to_owned()));
        let endpoint = format!("{}/msi/token", scene.azure.url());
        let env = environment(&[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", "simulated-identity-header")]);
        let credential = format!("{{ managed_identity = {{ resource_id = \"{RESOURCE_ID}\" }} }}");
        Signing { credential, ids: false, env }
    })
    .await;
    both_ways_once(&town).await;
    let call = asked(&town, Operation::IdentityToken);
    assert_eq!(call.path.split('?').next(), Some("/msi/token"));
    let expected = environment(&[
        ("api-version", "2019-08-01"),
        ("mi_res_id", RESOURCE_ID),
        ("resource", "https://management.azure.com"),
    ]);
    assert_eq!(query(&call), expected);
    assert_eq!(call.header("x-identity-header"), Some("simulated-identity-header"));
    town.close().await;
}

/// The housekeeping may be about to tell of the refusal: it is told here, so that nothing of it is left over.
async fn close_after_the_alarm(town: Town) {
    town.bridge.alarms.credentials().await;
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn what_entra_refuses_is_told_with_its_mend() {
    let federated = |folder: &Path, token: &str| {
        write(folder, "token", token);
        let credential = "{ federated_token_file = \"token\" }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    };
    let certified = |folder: &Path, made: &Made| {
        write(folder, "app.pem", &made.both());
        let credential = "{ certificate = { file = \"app.pem\" } }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    };
    let towns = [
        // No certificate is registered, or another one.
        ("AADSTS700027", "register its public key", town(move |_, folder| certified(folder, &made(365))).await),
        // The registered one has ended.
        (
            "AADSTS1000502",
            "has expired",
            town(move |scene, folder| {
                let made = made(0);
                scene.azure.register_certificate(CLIENT, &made.certificate).unwrap();
                certified(folder, &made)
            })
            .await,
        ),
        ("AADSTS700211", "compare its issuer", town(move |_, folder| federated(folder, &cluster_token("one"))).await),
        (
            "AADSTS700213",
            "subject",
            town(move |scene, folder| {
                scene.azure.federate(CLIENT, ISSUER, "system:serviceaccount:default:default", AUDIENCE);
                federated(folder, &cluster_token("one"))
            })
            .await,
        ),
        (
            "AADSTS70021",
            "audience",
            town(move |scene, folder| {
                scene.azure.federate(CLIENT, ISSUER, SUBJECT, "api://other");
                federated(folder, &cluster_token("one"))
            })
            .await,
        ),
        ("AADSTS50027", "look the code up", town(move |_, folder| federated(folder, "no token")).await),
    ];
    for (code, mend, town) in towns {
        town.bridge.tokens.tend();
        town.bridge.tokens.settled().await;
        let status = town.bridge.tokens.status().remove(0);
        let problem = status.problem.unwrap().text;
        assert!(problem.starts_with(&format!("{code}: ")) && problem.contains(mend), "{code}: {problem}");
        close_after_the_alarm(town).await;
    }
}

/// The agent's key folder is fixed and belongs to the system: where the tests may not write there, only the request and
/// the refusal to read anything else are seen. The whole exchange is tested beside the code.
#[tokio::test]
async fn a_challenge_of_arc_that_points_elsewhere_is_not_followed() {
    let town = town(|scene, folder| {
        assign(scene, None);
        write(folder, "stolen.key", "not for them");
        let file = folder.join("stolen.key");
        scene.azure.platform(|platform| platform.arc = Some(ArcKey { file, key: "not for them".to_owned() }));
        let endpoint = format!("{}/metadata/identity/oauth2/token", scene.azure.url());
        let env = environment(&[("IDENTITY_ENDPOINT", &endpoint), ("IMDS_ENDPOINT", &scene.azure.url())]);
        Signing { credential: "\"managed_identity\"".to_owned(), ids: false, env }
    })
    .await;
    town.bridge.tokens.tend();
    town.bridge.tokens.settled().await;
    let calls = calls(&town, Operation::IdentityToken);
    assert!(!calls.is_empty() && calls.iter().all(|call| call.header("authorization").is_none()), "{calls:?}");
    let expected = environment(&[("api-version", "2020-06-01"), ("resource", "https://management.azure.com")]);
    assert_eq!(query(&calls[0]), expected);
    let problem = town.bridge.tokens.status().into_iter().find_map(|status| status.problem).unwrap().text;
    assert!(problem.contains("no key of the agent"), "{problem}");
    close_after_the_alarm(town).await;
}

#[tokio::test]
async fn a_metadata_service_that_is_updated_is_waited_for() {
    use signl4_azure_bridge::simulator::faults::Fault;
    let town = town(|scene, _| {
        assign(scene, None);
        for (status, times) in [(410, 3), (404, 1), (500, 1), (429, 1)] {
            scene.azure.faults().plan(Fault::status(status).on(Operation::IdentityToken).times(times));
        }
        let env = environment(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &scene.azure.url())]);
        Signing { credential: "\"managed_identity\"".to_owned(), ids: false, env }
    })
    .await;
    let id = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&id), AlertState::New);
    for _ in 0..12 {
        town.after(Duration::from_secs(30)).await;
    }
    assert_eq!(town.azure_state(&id), AlertState::Acknowledged);
    assert_eq!(town.pages(&id).len(), 1);
    let titles: Vec<String> = town.scene.signl4.alerts().into_iter().map(|page| page.title).collect();
    assert_eq!(titles.len(), 1, "nobody is told of what passes: {titles:?}");
    town.close().await;
}
