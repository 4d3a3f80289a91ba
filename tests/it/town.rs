//! A town to test in: both services as simulators, the real bridge on port 0 between them, one clock moved by hand, and
//! the worker stepped by hand through the very function that its loop calls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use signl4_azure_bridge::app::{App, Bridge, Options, RunError};
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::config::Config;
use signl4_azure_bridge::domain::timestamp::Timestamp;
use signl4_azure_bridge::egress::{Limits, install_provider};
use signl4_azure_bridge::simulator::azure::{AlertState, Role};
use signl4_azure_bridge::simulator::scene::{AZURE_TOKEN, SIGNL4_TOKEN, SUBSCRIPTION, Scene};
use signl4_azure_bridge::simulator::signl4::Alert as Signl;
use signl4_azure_bridge::store::{DeliveryRow, Slots};
use signl4_azure_bridge::worker::{Outbound, Worker};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Real time that nothing here should take.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const ONE_ROUTE: &str = "[[route]]\nname = \"all\"\nteam = \"ops\"\n";

pub(crate) struct Town {
    pub(crate) scene: Scene,
    pub(crate) clock: Clock,
    pub(crate) bridge: Arc<Bridge>,
    pub(crate) worker: Worker,
    /// `http://127.0.0.1:…`, without trailing slash.
    pub(crate) url: String,
    pub(crate) admin: String,
    pub(crate) folder: TempDir,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    running: Option<JoinHandle<Result<(), RunError>>>,
    closed: bool,
}

/// What a test may set otherwise.
pub(crate) struct Plan {
    pub(crate) routes: &'static str,
    /// SIGNL4's REST API is configured.
    pub(crate) api: bool,
    /// The value of the team's `storm`; many tests raise more pages in a minute than a person could read.
    pub(crate) storm: &'static str,
    /// The last word on `bridge.toml`.
    pub(crate) edit: fn(String) -> String,
    pub(crate) options: Options,
    /// Furnishes Azure, and the configuration's folder, for another way to sign in than a client secret.
    pub(crate) signing: Option<Furnish>,
}

type Furnish = Box<dyn FnOnce(&Scene, &Path) -> Signing>;

/// How the bridge of a test signs in to Azure.
#[derive(Default)]
pub(crate) struct Signing {
    /// The value of `credential`.
    pub(crate) credential: String,
    /// `tenant_id` and `client_id` are configured.
    pub(crate) ids: bool,
    pub(crate) env: BTreeMap<String, String>,
}

impl Default for Plan {
    fn default() -> Self {
        let options = Options {
            slots: Slots::stepped(64, 64),
            limits: Limits { total: Duration::from_secs(2), connect: Duration::from_secs(1), ..Limits::default() },
            env: BTreeMap::new(),
            ..Options::default()
        };
        Self { routes: ONE_ROUTE, api: true, storm: "\"off\"", edit: |text| text, options, signing: None }
    }
}

/// For tests that page more in one instant than SIGNL4 takes in a quarter of a minute.
pub(crate) fn without_pace(toml: &str) -> String {
    toml.replace("[signl4.ops]\n", "[signl4.ops]\npace = \"off\"\n")
}

pub(crate) fn start_of_time() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::with(Plan::default()).await
    }

    pub(crate) async fn with(mut plan: Plan) -> Self {
        install_provider();
        let clock = Clock::manual(start_of_time());
        let free = "127.0.0.1:0".parse().unwrap();
        let scene = Scene::start(free, free, clock.clone()).await.unwrap();
        // Azure's and SIGNL4's own patience is real time: a test has none to give.
        scene.azure.webhooks().set_time_scale(1_000);
        scene.signl4.webhooks().set_time_scale(1_000);
        let folder = tempfile::tempdir().unwrap();
        let signing = plan.signing.take().map(|furnish| furnish(&scene, folder.path()));
        write_configuration(&scene, folder.path(), &plan, signing.as_ref());
        plan.options.env.extend(signing.into_iter().flat_map(|signing| signing.env));
        Self::on(scene, clock, folder, plan.options).await
    }

    /// A bridge on what lies in `folder`, in a town that is there already.
    pub(crate) async fn on(scene: Scene, clock: Clock, folder: TempDir, options: Options) -> Self {
        let config = Config::load(&folder.path().join("bridge.toml"), None, &options.env).unwrap();
        let app = App::build(config, Options { clock: clock.clone(), ..options }).await.unwrap();
        let url = format!("http://{}", app.address);
        let admin = format!("http://{}", app.admin_address);
        let (bridge, worker) = (Arc::clone(&app.bridge), app.worker.clone());
        without_pause(&bridge);
        let stop = CancellationToken::new();
        let running = Some(tokio::spawn(app.run(stop.clone(), false)));
        scene.azure.remove_webhooks();
        scene.signl4.remove_hooks();
        scene.connect(&url);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { scene, clock, bridge, worker, url, admin, folder, http, stop, running, closed: false }
    }

    /// Webhooks arrive, deliveries go out, until nothing moves any more.
    pub(crate) async fn settle(&self) {
        for _ in 0..200 {
            self.scene.azure.webhooks().settled(PATIENCE).await.unwrap();
            self.scene.signl4.webhooks().settled(PATIENCE).await.unwrap();
            let attempted = self.worker.step().await.unwrap();
            if attempted == 0
                && self.scene.azure.webhooks().in_flight() == 0
                && self.scene.signl4.webhooks().in_flight() == 0
            {
                return;
            }
        }
        panic!("the town does not come to rest: {:?}", self.open().await);
    }

    /// Both services are polled where that is due, and what follows follows.
    pub(crate) async fn poll(&self) {
        self.bridge.reconciler.step().await;
        self.settle().await;
    }

    /// Moves the clock, polls, and lets follow what follows.
    pub(crate) async fn poll_after(&self, span: Duration) {
        self.clock.advance(span);
        self.poll().await;
    }

    /// No webhook comes from either side any more.
    pub(crate) fn without_webhooks(&self) {
        self.scene.azure.remove_webhooks();
        self.scene.signl4.remove_hooks();
    }

    /// Moves the clock and lets follow what follows.
    pub(crate) async fn after(&self, span: Duration) {
        self.clock.advance(span);
        self.settle().await;
    }

    /// The page of an alert as SIGNL4 has it; fails unless there is exactly one.
    pub(crate) fn page(&self, alert: &str) -> Signl {
        let mut pages = self.pages(alert);
        assert_eq!(pages.len(), 1, "one page of {alert}");
        pages.remove(0)
    }

    pub(crate) fn pages(&self, alert: &str) -> Vec<Signl> {
        let external_id = format!("azmon:{SUBSCRIPTION}:{alert}");
        let of = |page: &Signl| page.external_id.as_deref().is_some_and(|id| id.starts_with(&external_id));
        self.scene.signl4.alerts().into_iter().filter(of).collect()
    }

    pub(crate) fn azure_state(&self, alert: &str) -> AlertState {
        self.scene.azure.alert(alert).unwrap().state
    }

    pub(crate) fn azure_comments(&self, alert: &str) -> Vec<String> {
        self.scene.azure.alert(alert).unwrap().comments().into_iter().map(str::to_owned).collect()
    }

    pub(crate) async fn deliveries(&self, state: &'static str) -> Vec<DeliveryRow> {
        self.bridge.store.deliveries(Some(state), 1_000).await.unwrap()
    }

    /// `(kind, state)` of what is neither done nor given up.
    pub(crate) async fn open(&self) -> Vec<(String, &'static str)> {
        let rows = self.bridge.store.deliveries(None, 1_000).await.unwrap();
        rows.into_iter()
            .filter(|row| row.state == "due" || row.state == "leased")
            .map(|row| (row.kind, row.state))
            .collect()
    }

    pub(crate) fn azure_url(&self) -> String {
        format!("{}/azure/contoso/{AZURE_TOKEN}", self.url)
    }

    pub(crate) fn signl4_url(&self) -> String {
        format!("{}/signl4/ops/{SIGNL4_TOKEN}", self.url)
    }

    pub(crate) async fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
        self.http.post(url).body(body).send().await.unwrap()
    }

    /// Stops the bridge and starts it anew on the same store; the simulators go on.
    pub(crate) async fn restart(mut self) -> Self {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
        self.closed = true;
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let options = Plan::default().options;
        Self::on(self.scene.clone(), self.clock.clone(), folder, options).await
    }

    /// What a power failure at this instant would leave on the disk.
    pub(crate) fn snapshot(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }

    /// A new bridge on a snapshot, in the same town, while the old one is dead to the world.
    pub(crate) async fn revive(mut self, snapshot: TempDir) -> Self {
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
        self.closed = true;
        Self::on(self.scene.clone(), self.clock.clone(), snapshot, Plan::default().options).await
    }

    /// Ends the test: nothing may be left over.
    pub(crate) async fn close(mut self) {
        let open = self.open().await;
        self.stop.cancel();
        self.running.take().unwrap().await.unwrap().unwrap();
        self.closed = true;
        assert_eq!(open, [], "deliveries are left over");
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        assert!(self.closed || std::thread::panicking(), "a test ends with `close`, which looks for what is left over");
    }
}

/// Settling pauses are for SIGNL4, which works asynchronously; the simulator does not.
pub(crate) fn without_pause(bridge: &Bridge) {
    let outbound = bridge.outbound.load_full();
    let signl4 = outbound.signl4.clone().with_look_up_pause(Duration::ZERO);
    bridge.outbound.store(Arc::new(Outbound { azure: outbound.azure.clone(), signl4 }));
}

pub(crate) fn write_configuration(scene: &Scene, folder: &Path, plan: &Plan, signing: Option<&Signing>) {
    let storm = format!("[signl4.ops]\nstorm = {}\n", plan.storm);
    let mut scene_toml = scene.bridge_toml().replace("[signl4.ops]\n", &storm);
    if !plan.api {
        let rest = |line: &&str| !line.starts_with("api_key") && !line.starts_with("user_id");
        scene_toml = scene_toml.lines().filter(rest).collect::<Vec<_>>().join("\n");
    }
    if let Some(Signing { credential, ids, .. }) = signing {
        let line = |line: &str| match line.split_whitespace().next() {
            Some("credential") => Some(format!("credential = {credential}")),
            Some("tenant_id" | "client_id") if !ids => None,
            _ => Some(line.to_owned()),
        };
        scene_toml = scene_toml.lines().filter_map(line).collect::<Vec<_>>().join("\n");
    }
    let server =
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n\n[routing]\nfallback_team = \"ops\"\n\n";
    std::fs::write(folder.join("bridge.toml"), (plan.edit)(format!("{server}{scene_toml}\n"))).unwrap();
    std::fs::create_dir(folder.join("routes")).unwrap();
    std::fs::write(folder.join("routes/10-test.toml"), plan.routes).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target: PathBuf = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Takes the credential's role on the subscription away, or gives it back.
pub(crate) fn set_role(scene: &Scene, role: Option<Role>) {
    scene.azure.assign_role(signl4_azure_bridge::simulator::scene::CLIENT, SUBSCRIPTION, role);
}
