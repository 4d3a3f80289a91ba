//! With a proxy in the environment: Entra is asked through it, the platform's own endpoints never are.

use std::process::{Child, Command, Stdio};

use signl4_azure_bridge::clock::Clock;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;

use super::*;

/// Ends with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ended: (Result<(), _>, Result<std::process::ExitStatus, _>) = (self.0.kill(), self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_service_is_never_asked_through_a_proxy() {
    let free = "127.0.0.1:0".parse().unwrap();
    let scene = Scene::start(free, free, Clock::System).await.unwrap();
    assign(&scene, None);
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n";
    let platform = format!(
        "[azure.platform]\ncredential = \"managed_identity\"\nsubscriptions = [\"{OBJECT}\"]\ntoken = \"x\"\ncloud = {{ authority = \
         \"{0}\", arm = \"{0}\", audience = \"https://management.azure.com\" }}\n",
        scene.azure.url()
    );
    // A name that only a proxy could know: were it asked directly, nobody would be found.
    let by_secret = scene.bridge_toml().replacen(
        &format!("authority = \"{}\"", scene.azure.url()),
        "authority = \"https://login.example.com\"",
        1,
    );
    write(folder.path(), "bridge.toml", &format!("{server}{by_secret}\n{platform}"));
    std::fs::create_dir(folder.path().join("routes")).unwrap();
    write(folder.path(), "routes/all.toml", crate::town::ONE_ROUTE);
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let child = Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"))
        .arg("--config")
        .arg(folder.path().join("bridge.toml"))
        .arg("serve")
        .env("HTTP_PROXY", &address)
        .env("HTTPS_PROXY", &address)
        .env("http_proxy", &address)
        .env("https_proxy", &address)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("AZURE_POD_IDENTITY_AUTHORITY_HOST", scene.azure.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _child = Ended(child);
    let given = |state: &signl4_azure_bridge::simulator::azure::State| {
        state.calls_of(Operation::IdentityToken).any(|call| call.status() == Some(200))
    };
    scene.azure.wait_until("the token of the machine's identity", given).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_secs(20), async {
        let (connection, _) = proxy.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).await.unwrap();
        line
    });
    assert_eq!(asked.await.expect("the proxy is asked").trim_end(), "CONNECT login.example.com:443 HTTP/1.1");
}
