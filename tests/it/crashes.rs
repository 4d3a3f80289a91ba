//! Crashes between every two steps of a delivery, and stops under load. Nothing answered 200 is lost. `faults` kills it at any moment.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::scene::{AZURE_TOKEN, JANE, Scene};

use crate::town::Town;

fn alert() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

/// Where the power fails, counted from the webhook's answer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Answered,
    Leased,
    Sent,
    Recorded,
}

const STEPS: [Step; 4] = [Step::Answered, Step::Leased, Step::Sent, Step::Recorded];

/// Goes on to that step with whatever is due, and returns what the disk holds there.
async fn power_fails(town: &Town, at: Step) -> tempfile::TempDir {
    if at == Step::Answered {
        return town.snapshot();
    }
    let claimed = town.bridge.store.claim(10).await.unwrap();
    assert_eq!(claimed.deliveries.len(), 1);
    if at == Step::Leased {
        return town.snapshot();
    }
    let outbound = town.bridge.outbound.load_full();
    let delivery = claimed.deliveries.into_iter().next().unwrap();
    if at == Step::Sent {
        let attempted = match delivery.call.side() {
            signl4_azure_bridge::domain::id::Side::Azure => outbound.azure.attempt(&delivery).await,
            signl4_azure_bridge::domain::id::Side::Signl4 => outbound.signl4.attempt(&delivery).await,
        };
        assert_eq!(attempted.outcome.name(), "accepted");
        return town.snapshot();
    }
    town.worker.carry_out(delivery).await;
    town.snapshot()
}

#[tokio::test]
async fn stored_before_answered_a_page_survives_a_crash_at_every_step() {
    for step in STEPS {
        let town = Town::new().await;
        // SIGNL4's own event would reach the dead bridge: it is lost, and only a look-up can settle.
        town.scene.signl4.webhooks().lose_next(1);
        let id = town.scene.azure.fire(alert()).unwrap();
        town.scene.azure.webhooks().settled(Duration::from_secs(10)).await.unwrap();
        let disk = power_fails(&town, step).await;
        let town = town.revive(disk).await;
        town.settle().await;
        town.after(Duration::from_mins(2)).await;
        town.page(&id);
        // The page lives on: what follows reaches it.
        town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
        town.settle().await;
        assert_eq!(town.azure_state(&id), AlertState::Acknowledged, "{step:?}");
        town.close().await;
    }
}

#[tokio::test]
async fn at_least_once_an_acknowledgement_survives_a_crash_at_every_step() {
    for step in STEPS {
        let town = Town::new().await;
        let id = town.scene.azure.fire(alert()).unwrap();
        town.settle().await;
        town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
        town.scene.signl4.webhooks().settled(Duration::from_secs(10)).await.unwrap();
        let disk = power_fails(&town, step).await;
        let town = town.revive(disk).await;
        town.settle().await;
        town.after(Duration::from_mins(2)).await;
        assert_eq!(town.azure_state(&id), AlertState::Acknowledged, "{step:?}");
        assert_eq!(town.azure_comments(&id), ["Acknowledged by Jane Doe in SIGNL4"], "{step:?}: said once");
        town.close().await;
    }
}

#[tokio::test]
async fn a_held_page_survives_a_restart() {
    let routes = "[[route]]\nname = \"patient\"\nteam = \"ops\"\ngrace = \"2m\"\n";
    let town = Town::with(crate::town::Plan { routes, ..crate::town::Plan::default() }).await;
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let town = town.restart().await;
    town.settle().await;
    assert_eq!(town.pages(&id).len(), 0);
    town.after(Duration::from_mins(2)).await;
    town.page(&id);
    town.close().await;
}

/// A bridge in a process of its own.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(config: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"))
            .args(["--log", "json", "--config"])
            .arg(config)
            .arg("serve")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().expect("the bridge says where it listens").unwrap();
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if said["message"] == "serving" {
                break format!("http://{}", said["listen"].as_str().unwrap());
            }
        };
        // Whoever stops reading a pipe stops its writer.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url }
    }
}

/// Simulators on the real clock, a configuration for a bridge between them, and a body to send.
struct Load {
    scene: Scene,
    folder: tempfile::TempDir,
    config: std::path::PathBuf,
    body: String,
    /// The alert's id in the body: each request has another in its place.
    sample: String,
}

impl Load {
    async fn new() -> Self {
        let free = "127.0.0.1:0".parse().unwrap();
        let scene = Scene::start(free, free, Clock::System).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bridge.toml");
        let server = "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
        // Losing nothing is what this is about, and not how fast SIGNL4 may be called.
        let quick = "[signl4.ops]\nstorm = \"off\"\npace = \"off\"\n";
        let sections = scene.bridge_toml().replace("[signl4.ops]\n", quick);
        std::fs::write(&config, format!("{server}\n{sections}")).unwrap();
        std::fs::create_dir(folder.path().join("routes")).unwrap();
        std::fs::write(folder.path().join("routes/all.toml"), crate::town::ONE_ROUTE).unwrap();
        let sample = scene.azure.fire(alert()).unwrap();
        let body = scene.azure.webhook_body(&sample).unwrap().to_string();
        Self { scene, folder, config, body, sample }
    }
}

/// Eight senders of distinct alerts, each until it is refused; the ids of those that were answered 200.
fn senders(
    client: &reqwest::Client,
    url: &str,
    body: &str,
    sample: &str,
    answered: &Arc<Mutex<Vec<String>>>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let one = || {
        let (url, body, sample) = (url.to_owned(), body.to_owned(), sample.to_owned());
        let (client, answered) = (client.clone(), Arc::clone(answered));
        tokio::spawn(async move {
            loop {
                let id = uuid::Uuid::new_v4().to_string();
                match client.post(&url).body(body.replace(&sample, &id)).send().await {
                    Ok(answer) if answer.status() == 200 => answered.lock().unwrap().push(id),
                    Ok(_) | Err(_) => return,
                }
            }
        })
    };
    (0..8).map(|_| one()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_under_load_it_leaves_no_attempt_behind() {
    let Load { scene, folder, config, body, sample } = Load::new().await;
    let answered = Arc::new(Mutex::new(Vec::new()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..3 {
        let mut process = Process::start(&config);
        let url = format!("{}/azure/contoso/{AZURE_TOKEN}", process.url);
        let before = answered.lock().unwrap().len();
        let senders = senders(&client, &url, &body, &sample, &answered);
        while answered.lock().unwrap().len() < before + 100 {
            tokio::task::yield_now().await;
        }
        let asked = Command::new("kill").args(["-TERM", &process.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        for sender in senders {
            sender.await.unwrap();
        }
        assert_eq!(process.child.wait().unwrap().code(), Some(0));
        let store = rusqlite::Connection::open(folder.path().join("bridge.db")).unwrap();
        let leased: u32 =
            store.query_row("SELECT count(*) FROM delivery WHERE state = 1", [], |row| row.get(0)).unwrap();
        assert_eq!(leased, 0, "each attempt was recorded");
    }
    drop(scene);
}
