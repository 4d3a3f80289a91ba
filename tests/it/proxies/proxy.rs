//! Starts the real programs on loopback with the shipped configurations and reads their logs.
//!
//! Caddy's file takes addresses and folders from the environment and runs untouched. nginx has no such thing: its file
//! is rewritten, each replaced text is named here and has to be there.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::TOKEN;
use crate::requirements;

const NGINX: &str = include_str!("../../../deploy/nginx.conf");
const CADDYFILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/Caddyfile");
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Nginx,
    Caddy,
}

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Proxy {
    /// `None` where the program is missing and that is allowed.
    pub(super) async fn start(kind: Kind, bridge: SocketAddr) -> Option<Self> {
        Self::start_waiting(kind, bridge, "15s").await
    }

    /// Waits one second for the bridge instead of the shipped fifteen.
    pub(super) async fn start_impatient(kind: Kind, bridge: SocketAddr) -> Option<Self> {
        Self::start_waiting(kind, bridge, "1s").await
    }

    /// nginx with TLS at `https://localhost`, and the file of its certificate.
    pub(crate) async fn start_with_tls(bridge: SocketAddr) -> Option<(Self, PathBuf)> {
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let folder = folder();
            let site = nginx_site_with_tls(folder.path(), address)?;
            let site = replace(&site, "http://127.0.0.1:8080", &format!("http://{bridge}"));
            let mut command = Command::new(requirements::program("nginx")?);
            command.args(nginx_arguments(folder.path(), &site));
            let mut proxy = Self { address, child: spawn(&mut command, folder.path()), folder };
            if proxy.listens().await {
                let certificate = proxy.folder.path().join("fullchain.pem");
                return Some((proxy, certificate));
            }
            let logs = proxy.logs();
            assert!(logs.contains("ddress already in use"), "nginx did not start: {logs}");
        }
        panic!("no free port for nginx in ten tries");
    }

    async fn start_waiting(kind: Kind, bridge: SocketAddr, patience: &str) -> Option<Self> {
        // The port is free when it is looked up and may be taken when the program wants it: then once more.
        for _ in 0..10 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let folder = folder();
            let child = match kind {
                Kind::Nginx => spawn_nginx(folder.path(), address, bridge, patience)?,
                Kind::Caddy => spawn_caddy(folder.path(), address, bridge, patience)?,
            };
            let mut proxy = Self { address, child, folder };
            if proxy.listens().await {
                return Some(proxy);
            }
            let logs = proxy.logs();
            assert!(logs.contains("ddress already in use"), "{kind:?} did not start: {logs}");
        }
        panic!("no free port for {kind:?} in ten tries");
    }

    /// False if the program ended instead.
    async fn listens(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(self.address).await.is_ok() {
                // Somebody else's listener would accept too: ours is still running.
                return self.child.try_wait().unwrap().is_none();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("nobody listens on {}: {}", self.address, self.logs());
    }

    /// Ends the program in good order, so that all is written, and gives all that it logged: no token in it.
    pub(crate) async fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = async {
            while self.child.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the program ends when told");
        let logs = self.logs();
        let [user, password] = ["", TOKEN].map(|user| STANDARD.encode(format!("{user}:{TOKEN}")));
        for secret in [TOKEN, &STANDARD.encode(format!("azure:{TOKEN}")), &user, &password] {
            assert!(!logs.contains(secret), "a secret is logged: {logs}");
        }
        logs
    }

    fn logs(&self) -> String {
        let files = fs::read_dir(self.folder.path().join("logs")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Already ended after `stop`; after a failed assertion it has to go all the same.
        let _ended: (Result<(), _>, Result<ExitStatus, _>) = (self.child.kill(), self.child.wait());
    }
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    folder
}

fn spawn(command: &mut Command, folder: &Path) -> Child {
    let log = |name: &str| File::create(folder.join("logs").join(name)).unwrap();
    command.stdin(Stdio::null()).stdout(log("stdout")).stderr(log("stderr")).spawn().unwrap()
}

fn spawn_nginx(folder: &Path, address: SocketAddr, bridge: SocketAddr, patience: &str) -> Option<Child> {
    let program = requirements::program("nginx")?;
    let site = replace(NGINX, "listen 443 ssl;", &format!("listen {address};"));
    let site = replace(&site, "http://127.0.0.1:8080", &format!("http://{bridge}"));
    let site = replace(&site, "proxy_read_timeout    15s;", &format!("proxy_read_timeout {patience};"));
    let plain: Vec<&str> = site.lines().filter(|line| !line.trim().starts_with("ssl_")).collect();
    let mut command = Command::new(program);
    command.args(nginx_arguments(folder, &plain.join("\n")));
    Some(spawn(&mut command, folder))
}

/// Writes the site and a main file around it as a distribution has one.
fn nginx_arguments(folder: &Path, site: &str) -> [String; 6] {
    let home = folder.display();
    let site = replace(site, "/var/log/nginx/", &format!("{home}/logs/"));
    fs::write(folder.join("site.conf"), site).unwrap();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|name| format!("    {name}_temp_path {home}/{name};\n")).concat();
    // More talkative than a distribution's (error): what the site lets through to the global log would be seen.
    let main = format!(
        "daemon off;\nmaster_process off;\npid {home}/nginx.pid;\nerror_log {home}/logs/global.log info;\n\
         events {{}}\nhttp {{\n    access_log {home}/logs/others.log;\n{temporary}    include {home}/site.conf;\n}}\n"
    );
    fs::write(folder.join("nginx.conf"), main).unwrap();
    ["-p", &home.to_string(), "-c", &format!("{home}/nginx.conf"), "-e", &format!("{home}/logs/start.log")]
        .map(ToOwned::to_owned)
}

fn replace(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "deploy/nginx.conf no longer says `{from}`");
    text.replace(from, to)
}

fn spawn_caddy(folder: &Path, address: SocketAddr, bridge: SocketAddr, patience: &str) -> Option<Child> {
    let mut command = caddy(folder)?;
    command
        .args(["run", "--adapter", "caddyfile", "--config", CADDYFILE])
        .env("BRIDGE_SITE", format!("http://bridge.example.com:{}", address.port()))
        .env("BRIDGE_BIND", address.ip().to_string())
        .env("BRIDGE_UPSTREAM", bridge.to_string())
        .env("BRIDGE_PATIENCE", patience)
        .env("BRIDGE_CADDY_ADMIN", "off");
    Some(spawn(&mut command, folder))
}

fn caddy(folder: &Path) -> Option<Command> {
    let mut command = Command::new(requirements::program("caddy")?);
    command
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("BRIDGE_ACCESS_LOG", folder.join("logs").join("access.log"));
    Some(command)
}

/// The shipped file of nginx with a certificate that is made for `localhost` and lies in `folder` as `fullchain.pem`.
fn nginx_site_with_tls(folder: &Path, address: SocketAddr) -> Option<String> {
    let openssl = requirements::program("openssl")?;
    let [certificate, key] = ["fullchain.pem", "privkey.pem"].map(|name| folder.join(name).display().to_string());
    let made = Command::new(openssl)
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj".split(' '))
        .args(["/CN=bridge.example.com", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", &certificate, "-keyout", &key])
        .output();
    assert_success(&made.unwrap());
    let site = replace(NGINX, "listen 443 ssl;", &format!("listen {address} ssl;"));
    let site = replace(&site, "/etc/ssl/bridge.example.com/fullchain.pem", &certificate);
    Some(replace(&site, "/etc/ssl/bridge.example.com/privkey.pem", &key))
}

/// `nginx -t` over the shipped file with a certificate made for it.
pub(super) fn check_nginx_with_tls() {
    let Some(nginx) = requirements::program("nginx") else { return };
    let folder = folder();
    // nginx -t binds the ports that it reads.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let Some(site) = nginx_site_with_tls(folder.path(), address) else { return };
    let tested = Command::new(nginx).args(nginx_arguments(folder.path(), &site)).arg("-t").output().unwrap();
    assert_success(&tested);
    assert!(!String::from_utf8_lossy(&tested.stderr).contains("[warn]"), "{tested:?}");
}

/// `caddy validate` over the shipped file without any of its environment variables but the log's.
pub(super) fn check_caddy_defaults() {
    let folder = folder();
    let Some(mut caddy) = caddy(folder.path()) else { return };
    let validated = caddy.args(["validate", "--adapter", "caddyfile", "--config", CADDYFILE]).output();
    assert_success(&validated.unwrap());
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}
