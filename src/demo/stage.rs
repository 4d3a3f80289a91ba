//! What the story is played on: both simulators, a temporary folder with a real configuration, and the real bridge.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::DemoError;
use crate::app::{App, Bridge, BuildError, Options, RunError};
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::after::RetryPolicy;
use crate::domain::backoff::Backoff;
use crate::domain::hold::Rests;
use crate::domain::timestamp::Timestamp;
use crate::simulator::scene::{
    API_KEY, BRIDGE_USER_ID, CLIENT, CLIENT_SECRET, SUBSCRIPTION, Scene, TEAM_SECRET, TENANT,
};
use crate::simulator::signl4::Limits;

/// The second team, and the one person in it.
pub(super) const PAYMENTS: &str = "payments";
pub(super) const RICHARD: &str = "Richard Roe";

const PAYMENTS_SECRET: &str = "paymentssecret1";
/// Proves to the bridge that it is Azure, or SIGNL4, that calls; in real life they are two, and random.
const AZURE_TOKEN: &str = "demo-token-of-azures-webhook";
const SIGNL4_TOKEN: &str = "demo-token-of-signl4s-webhook";

const BRIDGE_TOML: &str = include_str!("example/bridge.toml");
const ROUTES: [(&str, &str); 3] = [
    ("10-payments.toml", include_str!("example/routes/10-payments.toml")),
    ("20-ops.toml", include_str!("example/routes/20-ops.toml")),
    ("90-quiet.toml", include_str!("example/routes/90-quiet.toml")),
];

/// Written while the bridge runs.
const MAINTENANCE: (&str, &str) = ("30-maintenance.toml", include_str!("example/routes/30-maintenance.toml"));
/// As that file names it.
pub(super) const WINDOW: &str = "database upgrade";

/// How often the demo is set up anew because a port was taken.
const TRIES: u32 = 5;

/// Azure waits 5 s before its second try; so many times less here.
const AZURE_FASTER: f64 = 3.0;

/// Which ports are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    /// Those of the documentation, where they are free.
    Usual,
    /// Any.
    #[cfg(test)]
    Any,
}

/// Everything that the story needs.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) scene: Scene,
    folder: Folder,
    listen: SocketAddr,
    admin_listen: SocketAddr,
    grace: Duration,
    speed: f64,
    /// Of the bridge and of both simulators.
    clock: Clock,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    bridge: Arc<Bridge>,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

impl Stage {
    /// Everything started and the bridge running.
    pub(super) async fn set(ports: Ports, speed: f64, clock: Clock) -> Result<Self, DemoError> {
        let mut tries = 1;
        loop {
            match Self::try_set(ports, speed, clock.clone()).await {
                // Somebody was quicker: a port is only surely free once it is taken.
                Err(error) if is_taken(&error) && tries < TRIES => tries += 1,
                ended => return ended,
            }
        }
    }

    async fn try_set(ports: Ports, speed: f64, clock: Clock) -> Result<Self, DemoError> {
        let [azure, signl4, listen, admin_listen] = addresses(ports)?;
        let scene = Scene::start(azure, signl4, clock.clone()).await?;
        scene.signl4.knobs(|knobs| knobs.limits = Limits::Commercial);
        scene.signl4.add_team(PAYMENTS, PAYMENTS_SECRET);
        scene.signl4.add_person(PAYMENTS, RICHARD, "richard.roe@example.com")?;
        scene.azure.webhooks().set_time_scale(whole(AZURE_FASTER * faster(speed)));
        scene.azure.add_webhook(&format!("http://azure:{AZURE_TOKEN}@{listen}/azure/contoso"), None);
        // One outbound webhook for both teams of the account.
        scene.signl4.add_hook(&format!("http://signl4:{SIGNL4_TOKEN}@{listen}/signl4/ops"), None)?;
        // In whole seconds, as routes have it, and long enough for a busy machine to resolve something within it.
        let grace = Duration::from_secs(u64::from(whole(4.0 / faster(speed)).max(2)));
        let folder = Folder::make()?;
        let mut stage = Self { scene, folder, listen, admin_listen, grace, speed, clock, running: None };
        stage.write_configuration()?;
        stage.start_bridge().await?;
        Ok(stage)
    }

    fn write_configuration(&self) -> io::Result<()> {
        self.folder.write("bridge.toml", &self.fill(BRIDGE_TOML))?;
        for (name, text) in ROUTES {
            self.folder.write(&format!("routes/{name}"), &self.fill(text))?;
        }
        for (name, secret) in [
            ("azure", CLIENT_SECRET),
            ("azure-webhook", AZURE_TOKEN),
            ("signl4-ops", TEAM_SECRET),
            ("signl4-payments", PAYMENTS_SECRET),
            ("signl4-webhook", SIGNL4_TOKEN),
            ("signl4-api-key", API_KEY),
        ] {
            self.folder.write(&format!("secrets/{name}"), secret)?;
        }
        Ok(())
    }

    /// The text of an example, with what only this demo knows.
    fn fill(&self, text: &str) -> String {
        text.replace("@LISTEN@", &self.listen.to_string())
            .replace("@ADMIN_LISTEN@", &self.admin_listen.to_string())
            .replace("@TENANT@", TENANT)
            .replace("@CLIENT@", CLIENT)
            .replace("@SUBSCRIPTION@", SUBSCRIPTION)
            .replace("@AZURE@", &self.scene.azure.url())
            .replace("@SIGNL4@", &self.scene.signl4.url())
            .replace("@BRIDGE_USER@", BRIDGE_USER_ID)
            .replace("@GRACE@", &format!("{}s", self.grace.as_secs()))
    }

    /// Adds a maintenance window that opens now to the routes' files. Says which file it is, and when the window ends.
    pub(super) fn write_window(&self, length: Duration) -> Result<(&'static str, Timestamp), DemoError> {
        let (name, text) = MAINTENANCE;
        let start = self.clock.now();
        let end = start.plus(length);
        let text = text.replace("@START@", &start.to_string()).replace("@END@", &end.to_string());
        self.folder.write(&format!("routes/{name}"), &self.fill(&text))?;
        Ok((name, end))
    }

    /// Runs the bridge again, on the same store and the same ports.
    pub(super) async fn restart_bridge(&mut self) -> Result<(), DemoError> {
        let mut tries = 1;
        loop {
            match self.start_bridge().await {
                Err(error) if is_taken(&error) && tries < 20 * TRIES => {
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                ended => return ended,
            }
        }
    }

    /// Reads the configuration and runs the bridge on the store in the folder.
    async fn start_bridge(&mut self) -> Result<(), DemoError> {
        // The environment of whoever tries the demo is not part of it.
        let env = BTreeMap::new();
        let config = Config::load(&self.configuration(), None, &env)?;
        // The real cap is five minutes: nobody wants to wait that long for the end of a story.
        let scaled = |seconds: f64| Duration::from_secs_f64(seconds / faster(self.speed));
        let backoff = Backoff { base: scaled(1.0), cap: scaled(2.0) };
        let rests = Rests { first: backoff.base, longest: backoff.cap };
        let policy = RetryPolicy { backoff, rests, ..RetryPolicy::default() };
        let app = App::build(config, Options { policy, env, clock: self.clock.clone(), ..Options::default() }).await?;
        let (bridge, stop) = (Arc::clone(&app.bridge), CancellationToken::new());
        let task = tokio::spawn(app.run(stop.clone(), true));
        self.running = Some(Running { bridge, stop, task });
        Ok(())
    }

    /// Stops the bridge and waits for its end. Can be cut off and called again.
    pub(super) async fn stop_bridge(&mut self) -> Result<(), DemoError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        running.stop.cancel();
        let ended = (&mut running.task).await;
        self.running = None;
        match ended {
            Ok(ended) => Ok(ended?),
            Err(_) => Err(DemoError::Unexpected("a fault in the bridge ended it".to_owned())),
        }
    }

    /// Ends everything; the folder goes with the stage.
    pub(super) async fn strike(mut self) -> Result<(), DemoError> {
        let stopped = self.stop_bridge().await;
        self.scene.azure.stop();
        self.scene.signl4.stop();
        stopped
    }

    pub(super) fn bridge(&self) -> Result<&Bridge, DemoError> {
        let running = self.running.as_ref();
        running
            .map(|running| &*running.bridge)
            .ok_or_else(|| DemoError::Unexpected("the bridge does not run".to_owned()))
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.folder.path.join("bridge.toml")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// Where the bridge takes webhooks, and where its operators ask.
    pub(super) fn addresses(&self) -> (SocketAddr, SocketAddr) {
        (self.listen, self.admin_listen)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How far the story has put its clock forward.
    pub(super) fn ahead(&self) -> Duration {
        self.clock.now().since(Clock::System.now())
    }

    pub(super) fn grace(&self) -> Duration {
        self.grace
    }
}

/// Whether a port was taken by somebody else.
fn is_taken(error: &DemoError) -> bool {
    let (DemoError::Io(error) | DemoError::Build(BuildError::Listen { source: error, .. })) = error else {
        return false;
    };
    error.kind() == io::ErrorKind::AddrInUse
}

/// What the bridge and Azure wait for gets shorter with speed and never longer: time limits would be missed.
fn faster(speed: f64) -> f64 {
    speed.max(1.0)
}

/// Rounded up to a whole number from 1.
fn whole(number: f64) -> u32 {
    (1..10_000).find(|whole| f64::from(*whole) >= number).unwrap_or(10_000)
}

/// Of the simulated Azure, the simulated SIGNL4, the bridge's webhooks and its operators.
fn addresses(ports: Ports) -> io::Result<[SocketAddr; 4]> {
    // All are held until the last is found, so that no two are the same.
    let mut held = Vec::new();
    let mut found = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); 4];
    for (address, usual) in found.iter_mut().zip([7070, 7071, 8080, 9090]) {
        let listener = match ports {
            Ports::Usual => TcpListener::bind((Ipv4Addr::LOCALHOST, usual)).or_else(|_| other_port())?,
            #[cfg(test)]
            Ports::Any => other_port()?,
        };
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(found)
}

/// A free port below those that the system gives away: the bridge's must stay free while it restarts.
fn other_port() -> io::Result<TcpListener> {
    let tried = (0..100).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(10_000..32_000))));
    let mut last = None;
    for listener in tried {
        match listener {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::AddrInUse)))
}

/// A temporary folder that only its owner can read, and that is removed with this value.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> io::Result<Self> {
        let mut name = format!("bridge-demo-{}", uuid::Uuid::new_v4().simple());
        name.truncate(20);
        let path = std::env::temp_dir().join(name);
        let mut private = std::fs::DirBuilder::new();
        private.mode(0o700);
        private.create(&path).map_err(|error| {
            let path = path.display();
            io::Error::new(
                error.kind(),
                format!("cannot make {path}: {error}; TMPDIR must name a folder that is there"),
            )
        })?;
        let folder = Self { path };
        for inner in ["routes", "secrets"] {
            private.create(folder.path.join(inner))?;
        }
        Ok(folder)
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.path.join(name))?;
        io::Write::write_all(&mut file, text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the demo's folder is left behind");
        }
    }
}
