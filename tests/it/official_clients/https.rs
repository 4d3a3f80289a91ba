//! Caddy as the end of TLS in front of the simulator: Microsoft's clients send no token over plain HTTP.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::pem;
use crate::requirements;

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Https {
    port: u16,
    child: Child,
    folder: TempDir,
}

impl Https {
    /// `None` where a program is missing and that is allowed.
    pub(super) async fn start(behind: SocketAddr) -> Option<Self> {
        let (caddy, openssl) = (requirements::program("caddy")?, requirements::program("openssl")?);
        // The port is free when it is looked up and may be taken when the program wants it: then once more.
        for _ in 0..10 {
            let folder = tempfile::tempdir().unwrap();
            let key = folder.path().join("localhost.key").display().to_string();
            let certificate = pem(folder.path()).display().to_string();
            let made = Command::new(&openssl)
                .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj".split(' '))
                .args(["/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
                .args(["-out", &certificate, "-keyout", &key])
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let site = format!(
                "{{\n\tadmin off\n\tauto_https off\n}}\nhttps://localhost:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}\n\
                 \treverse_proxy {behind}\n}}\n"
            );
            let file = folder.path().join("Caddyfile");
            std::fs::write(&file, site).unwrap();
            let log = std::fs::File::create(folder.path().join("log")).unwrap();
            let child = Command::new(&caddy)
                .args(["run", "--adapter", "caddyfile", "--config"])
                .arg(&file)
                .env("HOME", folder.path())
                .env("XDG_CONFIG_HOME", folder.path().join("config"))
                .env("XDG_DATA_HOME", folder.path().join("data"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut https = Self { port, child, folder };
            if https.listens().await {
                return Some(https);
            }
            let said = std::fs::read_to_string(https.folder.path().join("log")).unwrap();
            assert!(said.contains("ddress already in use"), "caddy did not start: {said}");
        }
        panic!("no free port in ten tries");
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(super) fn certificate(&self) -> PathBuf {
        pem(self.folder.path())
    }

    /// False if the program ended instead.
    async fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return self.child.try_wait().unwrap().is_none();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody listens on {}", self.port);
    }

    pub(super) async fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = async {
            while self.child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("caddy ends when told");
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        // Already ended after `stop`; after a failed assertion it has to go all the same.
        let _ended: (Result<(), _>, Result<ExitStatus, _>) = (self.child.kill(), self.child.wait());
    }
}
