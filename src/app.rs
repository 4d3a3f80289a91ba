//! The whole: parse → `Config` → `App::build` (open the store, bind) → `run` → drain.
//!
//! Stopping has two phases. First nothing new comes in: readiness off, listeners closed, requests under way answered.
//! Then nothing new goes out: no further claims, attempts under way end within the grace; the rest waits in the store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarm::Alarms;
use crate::azure::authenticate::secure_webhook::SecureWebhooks;
use crate::caller::{Floods, Runs};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::configured::Configured;
use crate::domain::after::RetryPolicy;
use crate::domain::delivery::Delivery;
use crate::domain::route::Rules;
use crate::egress::{Http, HttpError, Limits};
use crate::heartbeat::Heartbeat;
use crate::paces::Paces;
use crate::reconcile::Reconciler;
use crate::secret::{Secret, fresh_token};
use crate::store::{Change, OpenError, Slots, Store};
use crate::telemetry::Telemetry;
use crate::tokens::Tokens;
use crate::watch::Watch;
use crate::worker::{Outbound, Unrecorded, Worker};
use crate::{admin, azure, heartbeat, http, intake, signl4, watch};

/// Attempts under way towards one side, and towards one destination.
const SLOTS: (usize, usize) = (128, 96);
const REQUESTS_GRACE: Duration = Duration::from_secs(8);
const ATTEMPTS_GRACE: Duration = Duration::from_secs(20);
const TEND_TOKENS_EVERY: Duration = Duration::from_secs(5);
const RETAIN_EVERY: Duration = Duration::from_mins(10);

/// What the endpoints, the worker and the reload share.
#[derive(Debug)]
pub struct Bridge {
    pub config: Arc<ArcSwap<Config>>,
    pub rules: Arc<ArcSwap<Rules>>,
    pub outbound: Arc<ArcSwap<Outbound>>,
    pub store: Store,
    pub tokens: Arc<Tokens>,
    /// How fast each account is called: also for those who call beside the worker.
    pub paces: Arc<Paces>,
    pub secure_webhooks: ArcSwap<SecureWebhooks>,
    /// Who sends wrong credentials.
    pub floods: Floods,
    /// What is in memory for requests that are not answered yet.
    pub(crate) bodies: http::Bodies,
    /// Which endpoints refuse one call after another.
    pub runs: Runs,
    pub heartbeat: Heartbeat,
    pub telemetry: Arc<Telemetry>,
    pub clock: Clock,
    pub stopping: AtomicBool,
    pub alarms: Alarms,
    pub reconciler: Reconciler,
    pub admin_token: ArcSwap<Secret>,
    /// Where the admin listener is bound, whatever a reload says.
    pub admin_address: SocketAddr,
    /// How the last reading of the configuration went.
    pub configured: ArcSwap<Configured>,
    /// As it was when the ports were bound and the store was opened.
    started: Arc<Config>,
    pub(crate) body_time: Duration,
    pub(crate) parse_azure: azure::receive::Parse,
    pub(crate) parse_signl4: signl4::receive::Parse,
    pub(crate) http: Http,
    env: BTreeMap<String, String>,
}

/// What a test or the demo sets otherwise than `serve`.
#[derive(Debug)]
pub struct Options {
    pub clock: Clock,
    pub slots: Slots,
    pub limits: Limits,
    pub policy: RetryPolicy,
    /// A webhook's body must be complete by then.
    pub body_time: Duration,
    /// Environment for a reload.
    pub env: BTreeMap<String, String>,
    pub parse_azure: azure::receive::Parse,
    pub parse_signl4: signl4::receive::Parse,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::System,
            slots: Slots::new(SLOTS.0, SLOTS.1),
            limits: Limits::default(),
            policy: RetryPolicy::default(),
            body_time: Duration::from_secs(10),
            env: std::env::vars().collect(),
            parse_azure: azure::parse::parse,
            parse_signl4: signl4::parse::parse,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Store(OpenError),
    /// The operating system or SQLite refuses: the error itself names the file and no mend.
    #[error(
        "the folder of `[store] url` must exist, be writable for this user and have room, and so must the store's files in it"
    )]
    StoreFolder(#[source] OpenError),
    #[error("cannot listen on {address} (`[server] {key}`)")]
    Listen { address: SocketAddr, key: &'static str, source: std::io::Error },
    #[error("cannot make the admin token file {path}")]
    AdminToken { path: String, source: std::io::Error },
    #[error(transparent)]
    Http(#[from] HttpError),
}

impl From<OpenError> for BuildError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::File { .. } | OpenError::Sqlite { .. } => Self::StoreFolder(error),
            OpenError::InUse { .. }
            | OpenError::Locked { .. }
            | OpenError::Foreign { .. }
            | OpenError::NetworkFileSystem { .. }
            | OpenError::Newer { .. }
            | OpenError::Damaged { .. } => Self::Store(error),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{task} ended although nobody asked it to")]
    EndedEarly { task: &'static str },
}

/// Ready to run: the store is open, the ports are bound, nothing is served yet.
#[derive(Debug)]
pub struct App {
    pub bridge: Arc<Bridge>,
    pub worker: Worker,
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    listener: TcpListener,
    admin_listener: TcpListener,
    leased: UnboundedReceiver<Vec<Delivery>>,
    writer: std::thread::JoinHandle<()>,
    changes: Watch,
}

impl App {
    pub async fn build(config: Config, options: Options) -> Result<Self, BuildError> {
        let rules = Arc::new(ArcSwap::from_pointee(config.rules.clone()));
        let telemetry = Arc::new(Telemetry::default());
        let paces = Arc::new(Paces::new(&config));
        let slots = options.slots.paced(Arc::clone(&paces)).resting(options.policy.rests);
        let opened = Store::open(&config.store.path, options.clock.clone(), slots, intake::duties(&rules, &telemetry))?;
        // After the store: where its folder is at fault, the store says so.
        let admin_token = admin_token(&config)?;
        if opened.interrupted > 0 {
            tracing::warn!(
                attempts = opened.interrupted,
                "attempts were under way when the last process ended; each is settled before it is repeated"
            );
        }
        let (listener, address) = bind(config.server.listen, "listen").await?;
        let (admin_listener, admin_address) = bind(config.server.admin_listen, "admin_listen").await?;
        let http = Http::trusting(options.limits, config.server.certificates.as_deref())?;
        http.only(config.called().iter().map(String::as_str));
        let tokens = Arc::new(Tokens::new(options.clock.clone()));
        let outbound = Arc::new(ArcSwap::from_pointee(outbound(&config, &http, &tokens, &paces, &options.clock)));
        let secure_webhooks = ArcSwap::from_pointee(SecureWebhooks::new(
            &config.connections,
            &SecureWebhooks::default(),
            &http,
            &options.clock,
        ));
        let changes = watch::watch(&config.watched);
        let configured = ArcSwap::from_pointee(Configured::new(&config.failures(), options.clock.now()));
        let started = Arc::new(config);
        let config = Arc::new(ArcSwap::new(Arc::clone(&started)));
        let alarms = Alarms::new(
            opened.store.clone(),
            Arc::clone(&telemetry),
            Arc::clone(&config),
            Arc::clone(&tokens),
            options.clock.clone(),
        );
        let reconciler = Reconciler::new(
            opened.store.clone(),
            Arc::clone(&outbound),
            Arc::clone(&config),
            Arc::clone(&telemetry),
            alarms.clone(),
            options.clock.clone(),
        );
        let worker = Worker {
            alarms: alarms.clone(),
            store: opened.store.clone(),
            outbound: Arc::clone(&outbound),
            telemetry: Arc::clone(&telemetry),
            clock: options.clock.clone(),
            policy: options.policy,
            tasks: TaskTracker::new(),
            unrecorded: Unrecorded::default(),
        };
        let bridge = Arc::new(Bridge {
            config,
            alarms,
            reconciler,
            rules,
            outbound,
            store: opened.store,
            tokens,
            paces,
            secure_webhooks,
            floods: Floods::default(),
            bodies: http::Bodies::default(),
            runs: Runs::default(),
            heartbeat: Heartbeat::default(),
            telemetry,
            clock: options.clock,
            stopping: AtomicBool::new(false),
            admin_token: ArcSwap::from_pointee(admin_token),
            admin_address,
            configured,
            started,
            body_time: options.body_time,
            parse_azure: options.parse_azure,
            parse_signl4: options.parse_signl4,
            http,
            env: options.env,
        });
        Ok(Self {
            bridge,
            worker,
            address,
            admin_address,
            listener,
            admin_listener,
            leased: opened.leased,
            writer: opened.writer,
            changes,
        })
    }

    /// Serves until `stop`, then drains. `works` is false where a test steps the worker and the polls by hand.
    pub async fn run(self, stop: CancellationToken, works: bool) -> Result<(), RunError> {
        let Self { bridge, worker, listener, admin_listener, leased, writer, changes, address, admin_address } = self;
        announce(&bridge, address, admin_address);
        let (closing, closing_admin, idle) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let mut webhooks = tokio::spawn(serve(listener, http::router(Arc::clone(&bridge)), closing.clone()));
        let mut admin = tokio::spawn(serve(admin_listener, admin::router(Arc::clone(&bridge)), closing_admin.clone()));
        let tasks = worker.tasks.clone();
        let mut working = tokio::spawn({
            let idle = idle.clone();
            async move {
                if works {
                    worker.run(leased, idle).await;
                } else {
                    idle.cancelled().await;
                }
            }
        });
        let mut polling = tokio::spawn({
            let (reconciler, idle) = (bridge.reconciler.clone(), idle.clone());
            async move {
                if works {
                    reconciler.run(idle).await;
                } else {
                    idle.cancelled().await;
                }
            }
        });
        let mut keeping = tokio::spawn(keep_house(Arc::clone(&bridge), changes, idle.clone()));
        let mut beating = tokio::spawn(heartbeat::keep(Arc::clone(&bridge), idle.clone()));

        let ended_early = tokio::select! {
            () = stop.cancelled() => None,
            _ = &mut webhooks => Some("the webhook listener"),
            _ = &mut admin => Some("the admin listener"),
            _ = &mut working => Some("the worker"),
            _ = &mut polling => Some("the polling"),
            _ = &mut keeping => Some("the housekeeping"),
            _ = &mut beating => Some("the heartbeat"),
        };

        bridge.stopping.store(true, Ordering::SeqCst);
        tracing::info!("stopping: no new requests");
        closing.cancel();
        if tokio::time::timeout(REQUESTS_GRACE, end_of(&mut webhooks)).await.is_err() {
            tracing::warn!("some requests did not end within the grace; their senders come again");
        }
        bridge.store.slots().close();
        idle.cancel();
        // The worker's last claim is carried out too: left to its lease, it would have to be settled at the next start.
        end_of(&mut working).await;
        end_of(&mut polling).await;
        tasks.close();
        if tokio::time::timeout(ATTEMPTS_GRACE, tasks.wait()).await.is_err() {
            tracing::warn!(
                attempts = bridge.store.slots().in_flight(),
                "some attempts did not end within the grace; each is settled at the next start"
            );
        }
        closing_admin.cancel();
        bridge.store.stop();
        if !matches!(tokio::task::spawn_blocking(move || writer.join()).await, Ok(Ok(()))) {
            tracing::error!("the store's writer did not end well");
        }
        tracing::info!("stopped");
        ended_early.map_or(Ok(()), |task| Err(RunError::EndedEarly { task }))
    }
}

async fn end_of(task: &mut tokio::task::JoinHandle<()>) {
    if !task.is_finished() && task.await.is_err() {
        tracing::debug!("a task was gone before");
    }
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), BuildError> {
    let listen = |source| BuildError::Listen { address, key, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    Ok((listener, bound))
}

async fn serve(listener: TcpListener, router: axum::Router, closing: CancellationToken) {
    use axum::serve::ListenerExt;
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(error = %error, "a connection kept its delay");
        }
    });
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(error = %error, "a listener failed");
    }
}

fn announce(bridge: &Bridge, address: SocketAddr, admin_address: SocketAddr) {
    let config = bridge.config.load();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = %address,
        admin_listen = %admin_address,
        store = %config.store.path.display(),
        connections = config.connections.len(),
        teams = config.teams.len(),
        routes = config.rules.routes.len(),
        "serving"
    );
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(problem) = &bridge.configured.load().problem {
        tracing::error!(
            "some routes do not do what their examples say, and are in force all the same; `check` tells the same:\n{problem}"
        );
    }
}

/// Tokens ahead of their expiry, alarms ahead of a secret's, old rows out, configuration when it changes.
async fn keep_house(bridge: Arc<Bridge>, mut changes: Watch, idle: CancellationToken) {
    let mut tend = tokio::time::interval(TEND_TOKENS_EVERY);
    let mut retain = tokio::time::interval(RETAIN_EVERY);
    loop {
        tokio::select! {
            () = idle.cancelled() => return,
            _ = tend.tick() => {
                bridge.tokens.tend();
                bridge.alarms.store(&bridge.rules.load(), &bridge.outbound.load().signl4).await;
                bridge.alarms.credentials().await;
                bridge.tell_of_others().await;
                bridge.secure_webhooks.load().tend();
            }
            _ = retain.tick() => retain_all(&bridge, &idle).await,
            why = changes.wanted() => {
                let why = why.to_string();
                tracing::info!(why, "reading the configuration anew");
                if bridge.reload().await.is_ok() {
                    changes.follow(&bridge.config.load().watched);
                }
            }
        }
    }
}

async fn retain_all(bridge: &Bridge, idle: &CancellationToken) {
    let retention = bridge.config.load().store.retention;
    while !idle.is_cancelled() {
        match bridge.store.retain(retention).await {
            Ok(0) => return,
            Ok(removed) => tracing::debug!(removed, "removed finished rows older than the retention"),
            Err(_) if bridge.store.trouble().is_some() => return,
            Err(error) => return tracing::error!(error = %error, "old rows could not be removed"),
        }
    }
}

impl Bridge {
    /// Alarms of destinations that stay out of reach, of endpoints that refuse one call after another, and of what was given
    /// up after the first in an hour.
    pub async fn tell_of_others(&self) {
        if let Ok(holds) = self.store.holds().await {
            self.alarms.out_of_reach(&holds, &self.paces).await;
        }
        self.alarms.refusing(&self.runs).await;
        self.alarms.given_up().await;
    }

    /// Parses everything anew, runs the examples of the routes and swaps it in whole, or changes nothing and says why.
    pub async fn reload(&self) -> Result<(), ConfigError> {
        let (path, routes) = {
            let config = self.config.load();
            (config.path.clone(), config.routes.clone())
        };
        let now = self.clock.now();
        let read = Config::load(&path, Some(&routes), &self.env).and_then(|fresh| match fresh.failures() {
            failures if failures.is_empty() => Ok(fresh),
            problems => Err(ConfigError { problems }),
        });
        let fresh = match read {
            Ok(fresh) => fresh,
            Err(error) => {
                self.telemetry.reload_refused();
                self.configured.store(Arc::new(Configured::new(&error.problems, now)));
                tracing::error!("the new configuration is refused, the old one stays in force:\n{error}");
                return Err(error);
            }
        };
        for (key, differs) in [
            ("[server] listen", self.started.server.listen != fresh.server.listen),
            ("[server] admin_listen", self.started.server.admin_listen != fresh.server.admin_listen),
            ("[server] ca_file", self.started.server.certificates != fresh.server.certificates),
            ("[store] url", self.started.store.path != fresh.store.path),
        ] {
            if differs {
                tracing::warn!(key, "this key takes effect at the next start; until then the old value stays in force");
            }
        }
        self.configured.store(Arc::new(Configured::new(&[], now)));
        self.http.only(fresh.called().iter().map(String::as_str));
        let former = self.secure_webhooks.load_full();
        self.secure_webhooks.store(Arc::new(SecureWebhooks::new(&fresh.connections, &former, &self.http, &self.clock)));
        // Destinations first: a new team must be known before the first page for it is decided.
        self.paces.follow(&fresh);
        self.outbound.store(Arc::new(outbound(&fresh, &self.http, &self.tokens, &self.paces, &self.clock)));
        self.rules.store(Arc::new(fresh.rules.clone()));
        if let Some(token) = &fresh.server.admin_token {
            self.admin_token.store(Arc::new(token.clone()));
        }
        tracing::info!(routes = fresh.rules.routes.len(), "took over a new configuration");
        self.config.store(Arc::new(fresh));
        if let Err(error) = self.store.change(Change::ProbeAll).await {
            tracing::warn!(error = %error, "destinations that denied us are tried again within a minute");
        }
        Ok(())
    }
}

/// Both sides as the configuration describes them; their credentials become the entries of `tokens`.
pub(crate) fn outbound(
    config: &Config,
    http: &Http,
    tokens: &Arc<Tokens>,
    paces: &Arc<Paces>,
    clock: &Clock,
) -> Outbound {
    Outbound {
        azure: azure::deliver::Azure::new(&config.connections, http.clone(), Arc::clone(tokens), clock.clone())
            .telling(Arc::clone(paces)),
        signl4: signl4::deliver::Signl4::new(&config.teams, http.clone(), Arc::clone(tokens), clock.clone())
            .telling(Arc::clone(paces)),
    }
}

/// The configured token, or one that is made once and kept beside the store, readable by its owner only.
fn admin_token(config: &Config) -> Result<Secret, BuildError> {
    if let Some(token) = &config.server.admin_token {
        return Ok(token.clone());
    }
    let path = admin_token_path(&config.store.path);
    let failed = |source| BuildError::AdminToken { path: path.display().to_string(), source };
    let mut file = crate::store::private_file(&path).map_err(failed)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut file, &mut text).map_err(failed)?;
    if text.trim().is_empty() {
        text = fresh_token().map_err(|error| failed(std::io::Error::other(error)))?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    }
    Ok(Secret::new(text.trim().to_owned(), &format!("file {}", path.display())))
}

/// Where the made admin token is kept.
pub fn admin_token_path(store: &Path) -> std::path::PathBuf {
    store.with_extension("admin-token")
}
