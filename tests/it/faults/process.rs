//! The real binary in a process of its own, between simulators of both services that run in the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::simulator::scene::{AZURE_TOKEN, Scene};
use tempfile::TempDir;

/// Real time that nothing here should take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A third of the machines of `life` is given time to recover.
const HOLDS: &str = "[[route]]\nname = \"patient\"\nteam = \"ops\"\ngrace = \"1s\"\n\
                     match = { resource = [\"vm-1*\", \"vm-2*\"] }\n\n\
                     [[route]]\nname = \"all\"\nteam = \"ops\"\n";

/// A configuration for a bridge between two simulators on the real clock.
pub(super) struct Ground {
    pub(super) scene: Scene,
    pub(super) folder: TempDir,
    pub(super) http: reqwest::Client,
}

impl Ground {
    pub(super) async fn new() -> Self {
        Self::with(0, true, false).await
    }

    /// The bridge listens on the same port after each start, so that both services find it again. `holds`: some pages have
    /// a grace, and more than a few in a minute share a digest.
    pub(super) async fn with_ports(api: bool, holds: bool) -> Self {
        // Below the ports that outgoing connections take.
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| fastrand::u16(20_000..30_000)).find(free).unwrap();
        Self::with(port, api, holds).await
    }

    async fn with(port: u16, api: bool, holds: bool) -> Self {
        let free = "127.0.0.1:0".parse().unwrap();
        let scene = Scene::start(free, free, Clock::System).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let server = format!("[server]\nlisten = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:0\"\n\n");
        let toml = scene.bridge_toml();
        let of_api = |line: &&str| line.starts_with("api_key") || line.starts_with("user_id");
        let lines: Vec<&str> = toml.lines().filter(|line| api || !of_api(line)).collect();
        let storm = if holds { "{ pages_per_minute = 60, digest_every = \"10s\" }" } else { "\"off\"" };
        let toml = format!("{server}{}\npace = \"off\"\nstorm = {storm}\n", lines.join("\n"));
        std::fs::write(folder.path().join("bridge.toml"), toml).unwrap();
        std::fs::create_dir(folder.path().join("routes")).unwrap();
        let routes = if holds { HOLDS } else { crate::town::ONE_ROUTE };
        std::fs::write(folder.path().join("routes/all.toml"), routes).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { scene, folder, http }
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.path().join("bridge.toml")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("bridge.db")
    }

    /// The command that serves with this configuration.
    pub(super) fn command(&self) -> Command {
        serve(Path::new(env!("CARGO_BIN_EXE_signl4-azure-bridge")), &self.config())
    }

    /// Starts a bridge and lets both services call it.
    pub(super) fn start(&self) -> Process {
        self.start_as(self.command())
    }

    pub(super) fn start_as(&self, command: Command) -> Process {
        let process = Process::start(command);
        self.scene.azure.remove_webhooks();
        self.scene.signl4.remove_hooks();
        self.scene.connect(&process.url);
        process
    }

    /// Sends an alert; what it is answered.
    pub(super) async fn post(&self, process: &Process, body: impl Into<reqwest::Body>) -> reqwest::Response {
        let url = format!("{}/azure/contoso/{AZURE_TOKEN}", process.url);
        self.http.post(url).body(body).send().await.unwrap()
    }
}

pub(super) fn serve(binary: &Path, config: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["--log", "json", "--config"]).arg(config).arg("serve").env_remove("RUST_LOG");
    command
}

/// Starts a bridge that may refuse to: its exit status and what it said, or no status if it serves (and is killed then).
pub(super) fn try_to_start(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        said.push_str(&line.unwrap());
        said.push('\n');
        if said.contains("\"serving\"") {
            child.kill().unwrap();
            break;
        }
    }
    (child.wait().unwrap().code(), said)
}

/// A bridge that runs; killed when it is dropped.
pub(super) struct Process {
    child: Child,
    pub(super) url: String,
    pub(super) admin: String,
    log: Arc<Mutex<Vec<Value>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (url, admin) = loop {
            let Some(line) = lines.next() else { panic!("the bridge did not start: {:?}", log.lock().unwrap()) };
            let line = line.unwrap();
            let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| Value::from(line));
            log.lock().unwrap().push(said.clone());
            if said["message"] == "serving" {
                let address = |name: &str| format!("http://{}", said[name].as_str().unwrap());
                break (address("listen"), address("admin_listen"));
            }
        };
        let reader = Some(std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.map_while(Result::ok) {
                    let said = serde_json::from_str(&line).unwrap_or_else(|_| Value::from(line));
                    log.lock().unwrap().push(said);
                }
            }
        }));
        Self { child, url, admin, log, reader }
    }

    pub(super) fn kill(&mut self) {
        // One that has ended by itself needs no signal.
        let _gone = self.child.kill();
        self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }

    /// Asks for an orderly stop; its exit status.
    pub(super) fn stop(&mut self) -> Option<i32> {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap().code()
    }

    /// Bytes of memory that the process had at its largest.
    pub(super) fn most_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Log lines of a level, as `ERROR`.
    pub(super) fn said(&self, level: &str) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|line| line["level"] == level).map(ToString::to_string).collect()
    }

    /// Status and body of `/readyz`.
    pub(super) async fn readyz(&self, http: &reqwest::Client) -> (u16, Value) {
        let answer = http.get(format!("{}/readyz", self.admin)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Waits until `/readyz` has this status; its body.
    pub(super) async fn until_ready(&self, http: &reqwest::Client, status: u16) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.readyz(http).await {
                    (found, body) if found == status => return body,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("/readyz never became {status}: {:?}", self.said("ERROR")))
    }

    pub(super) async fn metric(&self, http: &reqwest::Client, name: &str) -> u64 {
        let text = http.get(format!("{}/metrics", self.admin)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
