//! Our own public address, as far as this machine can judge it: the name, the connection, the certificate, the proxy
//! that forwards the webhooks to this bridge and nothing else.
//!
//! From inside only. A machine may fail to reach its own public address although everybody else does (a router that
//! does not turn packets around), so where the bridge has been called lately, that is no failure.

use std::net::SocketAddr;

use reqwest::{Method, Url};
use serde_json::Value;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::finding::Finding;
use super::{CONNECT, Desk, PATIENCE};
use crate::config::Config;

/// An answer longer than this is not ours.
const BODY_BYTES: usize = 64 * 1024;

pub(super) async fn examine(desk: &Desk, config: &Config, heard_lately: bool) -> Vec<Finding> {
    let Some((public, url)) = config.server.public_url.as_deref().and_then(|text| Some((text, Url::parse(text).ok()?)))
    else {
        let mend = "set `public_url` in [server] to the address that Azure and SIGNL4 call";
        return vec![Finding::warn("public_url", "public address", "none is configured, so none was tried", mend)];
    };
    let outside = Outside { desk, target: public, url, heard_lately };
    let mut findings = Vec::new();
    let addresses = match outside.look_up().await {
        Ok((addresses, finding)) => {
            findings.push(finding);
            addresses
        }
        Err(finding) => return vec![finding],
    };
    match outside.connect(&addresses).await {
        Ok(finding) => findings.push(finding),
        Err(finding) => {
            findings.push(finding);
            return findings;
        }
    }
    let azure = config.connections.keys().next().map(|name| format!("azure/{name}"));
    let signl4 = config.teams.keys().next().map(|name| format!("signl4/{name}"));
    // The answer is the same for every name, so one of each side shows all that can be seen.
    for path in [azure, signl4].into_iter().flatten() {
        findings.push(outside.webhook(&path).await);
    }
    for path in ["metrics", "healthz"] {
        findings.push(outside.hidden(path).await);
    }
    findings.push(outside.elsewhere(config));
    findings
}

struct Outside<'a> {
    desk: &'a Desk,
    /// As it is configured, without a slash at its end.
    target: &'a str,
    url: Url,
    heard_lately: bool,
}

impl Outside<'_> {
    async fn look_up(&self) -> Result<(Vec<SocketAddr>, Finding), Finding> {
        const CHECK: &str = "dns";
        let _permit = self.desk.permit().await;
        let host = self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().unwrap_or(443);
        let mend = format!("create an A or AAAA record for {host}, or correct `public_url` in [server]");
        let failed = |why: String| Finding::fail(CHECK, self.target, format!("{host} does not resolve: {why}"), mend);
        let addresses: Vec<SocketAddr> = match timeout(PATIENCE, lookup_host((host, port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        let texts: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
        let detail = format!("{host} is {}", texts.join(", "));
        Ok((addresses, Finding::pass(CHECK, self.target, detail)))
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<Finding, Finding> {
        const CHECK: &str = "connect";
        let _permit = self.desk.permit().await;
        let any = async {
            let mut why = "no address".to_owned();
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(_) => return Ok(*address),
                    Err(error) => why = format!("{address}: {error}"),
                }
            }
            Err(why)
        };
        let nobody = format!("no connection within {} s", CONNECT.as_secs());
        match timeout(CONNECT, any).await.unwrap_or(Err(nobody)) {
            Ok(address) => Ok(Finding::pass(CHECK, self.target, format!("{address} takes connections"))),
            Err(why) if self.heard_lately => Err(Finding::warn(
                CHECK,
                self.target,
                format!("{why}; but the bridge was called in the last day, so it is reached from outside"),
                "nothing, if your router does not let this machine reach its own public address",
            )),
            Err(why) => Err(Finding::fail(
                CHECK,
                self.target,
                why,
                "start the reverse proxy (deploy/nginx.conf, deploy/Caddyfile) and open its port in the firewall",
            )),
        }
    }

    /// A webhook without a credential: the bridge refuses it, which shows that it got there.
    async fn webhook(&self, path: &str) -> Finding {
        const CHECK: &str = "webhook";
        let proxy = "compare the reverse proxy with deploy/nginx.conf or deploy/Caddyfile";
        let fail = |why: String, mend: &str| Finding::fail(CHECK, self.target, format!("POST /{path}: {why}"), mend);
        let (status, body) = match self.ask(Method::POST, path).await {
            Ok(answer) => answer,
            Err(why) if self.url.scheme() == "https" => {
                return fail(why, "give the reverse proxy a certificate of a public authority, with its chain");
            }
            Err(why) => return fail(why, proxy),
        };
        let is_ours = serde_json::from_str::<Value>(&body)
            .is_ok_and(|body| body.get("error").and_then(Value::as_str) == Some("unauthorized"));
        match status {
            401 if is_ours => {
                let how =
                    if self.url.scheme() == "https" { "over TLS with a valid certificate" } else { "without TLS" };
                let detail = format!("POST /{path} without a token reaches the bridge {how} and is refused with 401");
                if self.url.scheme() == "https" {
                    Finding::pass(CHECK, self.target, detail)
                } else {
                    let mend = "put a reverse proxy with TLS in front, and https:// into `public_url`";
                    Finding::warn(CHECK, self.target, format!("{detail}; tokens would travel in the clear"), mend)
                }
            }
            429 => Finding::warn(CHECK, self.target, format!("POST /{path}: 429"), "run `doctor` again in a minute"),
            502..=504 => fail(
                format!("the proxy answers {status}: the bridge behind it does not"),
                "sudo systemctl start signl4-azure-bridge",
            ),
            300..=399 => {
                fail(format!("{status}, a redirect, which Azure does not follow"), "correct `public_url` in [server]")
            }
            _ => fail(format!("{status} from somebody who is not this bridge"), proxy),
        }
    }

    /// A path of the admin listener, which nobody may see from outside.
    async fn hidden(&self, path: &str) -> Finding {
        const CHECK: &str = "not_published";
        let mend =
            "let the reverse proxy forward /azure/ and /signl4/ of `[server] listen` only, as deploy/nginx.conf does";
        match self.ask(Method::GET, path).await {
            Ok((200..300, body)) if body.contains("bridge_") || body == "alive\n" => {
                let detail = format!("GET /{path} shows the admin listener to everybody");
                Finding::fail(CHECK, self.target, detail, mend)
            }
            Ok((status @ 200..300, _)) => {
                let detail = format!("GET /{path} is answered {status} by something else than the bridge");
                Finding::warn(CHECK, self.target, detail, mend)
            }
            Ok((status, _)) => Finding::pass(CHECK, self.target, format!("GET /{path} is answered {status}")),
            Err(why) => Finding::untested(CHECK, self.target, format!("GET /{path}: {why}"), None),
        }
    }

    fn elsewhere(&self, config: &Config) -> Finding {
        const CHECK: &str = "from_outside";
        if self.heard_lately {
            return Finding::pass(CHECK, self.target, "the bridge was called in the last day");
        }
        let name = config.connections.keys().next().map_or("NAME", |name| name.as_str());
        let mend = format!(
            "elsewhere, curl -s -X POST {}/azure/{name} must print {{\"error\":\"unauthorized\"}}",
            self.target
        );
        let detail = "all of this was tried from this machine only, which may stand inside the firewall";
        Finding::untested(CHECK, self.target, detail, Some(mend))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(u16, String), String> {
        let _permit = self.desk.permit().await;
        let request = self.desk.plain.request(method, format!("{}/{path}", self.target));
        let mut response = request.send().await.map_err(cause)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(cause)? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_BYTES {
                break;
            }
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// The innermost cause: it says what happened, and names no URL.
pub(super) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
