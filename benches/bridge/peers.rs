//! What people use instead: each started as its documentation says, with the shortest configuration that passes alerts
//! on. `./dev bench` installs them into `target/bench-peers`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::alert::Template;
use crate::process::{Server, free_address};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    Alertmanager,
    NodeRed,
    FastApi,
    Webhook,
}

fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-peers")
}

impl Peer {
    pub(crate) const ALL: [Self; 4] = [Self::Alertmanager, Self::NodeRed, Self::FastApi, Self::Webhook];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alertmanager => "Alertmanager, webhook receiver, group_wait 0s",
            Self::NodeRed => "Node-RED, answers at once",
            Self::FastApi => "FastAPI + httpx, answers after delivery",
            Self::Webhook => "webhook + curl, answers after delivery",
        }
    }

    fn program(self) -> PathBuf {
        installed().join(match self {
            Self::Alertmanager => "debian/usr/bin/prometheus-alertmanager",
            Self::NodeRed => "node-red/node_modules/node-red/red.js",
            Self::FastApi => "python/bin/uvicorn",
            Self::Webhook => "debian/usr/bin/webhook",
        })
    }

    pub(crate) fn is_installed(self) -> bool {
        self.program().exists()
    }

    /// What it is sent.
    pub(crate) fn template(self) -> Template {
        match self {
            Self::Alertmanager => Template::alertmanager("/api/v2/alerts"),
            Self::NodeRed | Self::FastApi => Template::azure("/alert"),
            Self::Webhook => Template::azure("/hooks/alert"),
        }
    }

    /// Starts it with its files in `folder`.
    pub(crate) fn start(self, folder: &Path, sink: SocketAddr) -> (Server, SocketAddr) {
        fs::create_dir_all(folder).expect("a folder");
        let address = free_address();
        let port = address.port().to_string();
        let put = |from: &str, to: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(from);
            let text = fs::read_to_string(path).expect("a peer's configuration");
            let text = text.replace("@SINK@", &sink.to_string()).replace("@PORT@", &port);
            fs::write(folder.join(to), text).expect("a file");
        };
        let mut command = Command::new(if self == Self::NodeRed { PathBuf::from("node") } else { self.program() });
        command.current_dir(folder);
        let ready = match self {
            Self::Alertmanager => {
                put("alertmanager.yml", "alertmanager.yml");
                let templates = installed().join("debian/usr/share/prometheus/alertmanager");
                std::os::unix::fs::symlink(templates, folder.join("alertmanager")).expect("a link");
                command.args(["--config.file=alertmanager.yml", "--storage.path=data", "--log.level=error"]);
                command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
                "/-/ready"
            }
            Self::NodeRed => {
                put("node-red-settings.js", "settings.js");
                put("node-red-flows.json", "flows.json");
                command.arg(self.program()).args(["--userDir", ".", "--settings", "settings.js"]);
                "/ready"
            }
            Self::FastApi => {
                put("fastapi_app.py", "fastapi_app.py");
                command.args(["fastapi_app:app", "--host", "127.0.0.1", "--port", &port, "--no-access-log"]);
                "/ready"
            }
            Self::Webhook => {
                put("webhook.json", "hooks.json");
                command.args(["-hooks", "hooks.json", "-ip", "127.0.0.1", "-port", &port]);
                "/"
            }
        };
        let server = Server::start(&mut command, &folder.join("log"), (address, ready));
        (server, address)
    }
}
