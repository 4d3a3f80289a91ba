//! Outgoing connections of the real process: certificate authorities of one's own, and the proxy of the environment.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use signl4_azure_bridge::config::Config;
use signl4_azure_bridge::domain::id::Side;
use signl4_azure_bridge::egress::{Aim, Http, Limits, SendError, install_provider};

use crate::requirements;

const AIM: Aim = Aim { side: Side::Azure, purpose: "test", path: "/" };

/// A certificate authority `ca.pem` of its own and a server certificate for `localhost` below it; `false` if openssl is
/// missing.
fn make_certificates(folder: &Path) -> bool {
    let Some(openssl) = requirements::program("openssl") else { return false };
    std::fs::write(folder.join("names.cnf"), "subjectAltName = DNS:localhost\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for line in [
        format!("req -x509 {key} -days 2 -subj /CN=Example-CA -out ca.pem -keyout ca.key"),
        format!("req {key} -subj /CN=localhost -out server.csr -keyout server.key"),
        "x509 -req -days 1 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names.cnf -out server.pem"
            .to_owned(),
    ] {
        let made = Command::new(&openssl).args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
    true
}

/// An HTTPS server that answers every request with 200; returns its address.
fn serve_tls(folder: &Path) -> String {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), connection.unwrap());
            let mut request = [0; 4096];
            // A client that does not trust us ends the handshake here.
            if stream.read(&mut request).is_ok_and(|count| count > 0) {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").unwrap();
                stream.flush().unwrap();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_private_certificate_authority_is_trusted_where_it_is_configured() {
    install_provider();
    let folder = tempfile::tempdir().unwrap();
    if !make_certificates(folder.path()) {
        return;
    }
    let address = serve_tls(folder.path());
    let get = || reqwest::Request::new(reqwest::Method::GET, reqwest::Url::parse(&address).unwrap());
    let limits = Limits { total: Duration::from_secs(10), ..Limits::default() };
    let stranger = Http::new(limits.clone()).unwrap().send(AIM, get()).await.unwrap_err();
    assert!(matches!(stranger, SendError::Unsent(_)), "{stranger}");
    let config = folder.path().join("bridge.toml");
    std::fs::write(
        &config,
        "[server]\nca_file = \"ca.pem\"\n[azure.contoso]\nsubscriptions = [\"cccccccc-1111-4222-8333-444444444444\"]\n\
         [signl4.ops]\nsecret = \"exampleops\"\n",
    )
    .unwrap();
    let config = Config::load(&config, None, &BTreeMap::new()).unwrap();
    let trusting = Http::trusting(limits, config.server.certificates.as_deref()).unwrap();
    let trusting = trusting.send(AIM, get()).await.unwrap();
    assert_eq!((trusting.status, &trusting.body[..]), (200, &b"ok"[..]));
}

/// `serve` with the clouds' own addresses, and a proxy that only listens.
#[test]
fn the_proxy_of_the_environment_is_asked_for_the_configured_host() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("bridge.toml");
    std::fs::write(
        &config,
        r#"
[server]
listen       = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[azure.contoso]
tenant_id      = "aaaaaaaa-1111-4222-8333-444444444444"
client_id      = "bbbbbbbb-1111-4222-8333-444444444444"
credential     = { client_secret = "an-example" }
cloud          = { authority = "https://login.example.invalid", arm = "https://arm.example.invalid" }
subscriptions  = ["cccccccc-1111-4222-8333-444444444444"]
secure_webhook = { audience = "api://signl4-azure-bridge" }
[signl4.ops]
secret = "exampleops"
"#,
    )
    .unwrap();
    std::fs::create_dir(folder.path().join("routes")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"));
    for name in ["NO_PROXY", "ALL_PROXY", "HTTP_PROXY", "no_proxy", "all_proxy", "http_proxy", "https_proxy"] {
        command.env_remove(name);
    }
    let mut child = command
        .args(["--config", config.to_str().unwrap(), "serve"])
        .env("HTTPS_PROXY", format!("http://{}", proxy.local_addr().unwrap()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The token and both versions' metadata are fetched at the start.
    let mut asked = Vec::new();
    for _ in 0..3 {
        let (connection, _) = proxy.accept().unwrap();
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line).unwrap();
        asked.push(line.trim_end().to_owned());
    }
    child.kill().unwrap();
    child.wait().unwrap();
    asked.dedup();
    assert_eq!(asked, ["CONNECT login.example.invalid:443 HTTP/1.1"]);
}
