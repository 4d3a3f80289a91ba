//! The bridge as its users run it: the release binary in a process of its own, with a configuration and a store.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;

use crate::alert::{self, SUBSCRIPTION};
use crate::process::{Server, free_address};

const TOKEN: &str = "bench-7Rk2pQ9vT4mX8sW3zL6nB1cD5fG0hJ";
/// Where Azure posts to.
pub(crate) const PATH: &str = "/azure/contoso/bench-7Rk2pQ9vT4mX8sW3zL6nB1cD5fG0hJ";

/// What the one route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Stores an alert and pages nobody.
    Records,
    Pages,
}

/// The bridge that was built with this.
pub(crate) fn this_build() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"))
}

/// A bridge that runs.
pub(crate) struct Served {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Slows every sync of the bridge down and counts them.
pub(crate) struct SlowSync {
    /// The shim, compiled.
    pub(crate) library: PathBuf,
    pub(crate) micros: u64,
    /// Eight bytes that the shim counts in.
    pub(crate) counter: PathBuf,
}

impl SlowSync {
    pub(crate) fn count(&self) -> u64 {
        let bytes = fs::read(&self.counter).expect("the shim's counter");
        u64::from_ne_bytes(bytes.try_into().expect("eight bytes"))
    }
}

impl Served {
    /// Starts a bridge whose files are in `folder`; its store may be there already.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        route: Route,
        signl4: SocketAddr,
        slow: Option<&SlowSync>,
    ) -> Self {
        let azure = format!("[azure.contoso]\nsubscriptions = [\"{SUBSCRIPTION}\"]\ntoken = \"{TOKEN}\"\n");
        let page = route == Route::Pages;
        let routes = format!("[[route]]\nname = \"all\"\nteam = \"ops\"\npage = {page}\n");
        Self::with(program, folder, &azure, &routes, signl4, slow)
    }

    /// With other connections and routes.
    pub(crate) fn with(
        program: &Path,
        folder: &Path,
        azure: &str,
        routes: &str,
        signl4: SocketAddr,
        slow: Option<&SlowSync>,
    ) -> Self {
        let (address, admin) = (free_address(), free_address());
        // As it is deployed: the store's folder is not the configuration's, which is watched.
        for inner in ["routes", "store"] {
            fs::create_dir_all(folder.join(inner)).expect("a folder");
        }
        // Limits that spare people are off: they are no part of what is measured.
        let config = format!(
            r#"[server]
listen = "{address}"
admin_listen = "{admin}"

[store]
url = "sqlite:store/bridge.db"

{azure}
[signl4.ops]
secret = "benchsecret1"
base_url = "http://{signl4}"
pace = "off"
storm = "off"
"#
        );
        fs::write(folder.join("bridge.toml"), config).expect("a configuration");
        fs::write(folder.join("routes/all.toml"), routes).expect("a routes file");
        let mut command = Command::new(program);
        command.arg("--config").arg(folder.join("bridge.toml")).arg("serve");
        if let Some(slow) = slow {
            fs::write(&slow.counter, 0_u64.to_ne_bytes()).expect("a counter");
            command
                .env("LD_PRELOAD", &slow.library)
                .env("SLOW_SYNC_MICROS", slow.micros.to_string())
                .env("SLOW_SYNC_COUNTER", &slow.counter);
        }
        let server = Server::start(&mut command, &folder.join("store/log"), (admin, "/readyz"));
        Self { server, address, admin }
    }
}

/// The store of a bridge with its files in `folder`.
pub(crate) fn store_of(folder: &Path) -> PathBuf {
    folder.join("store/bridge.db")
}

/// How many of these alerts the store of a bridge that has ended holds.
pub(crate) fn stored(folder: &Path, run: u16, accepted: &[u64]) -> u64 {
    let store = Connection::open(store_of(folder)).expect("the store");
    let mut query = store.prepare("SELECT alert FROM event WHERE alert IS NOT NULL").expect("the table of events");
    let mut rows = query.query([]).expect("events");
    let mut found = std::collections::HashSet::new();
    let mut numbers = Vec::new();
    while let Some(row) = rows.next().expect("an event") {
        let key: String = row.get(0).expect("the key of an alert");
        alert::numbers(&key, run, &mut numbers);
        found.extend(numbers.iter().copied());
    }
    accepted.iter().filter(|number| found.contains(number)).count() as u64
}
