//! The shipped nginx and Caddy configurations, run by the real programs in front of a stand-in for the bridge.
//!
//! What they promise: our trouble is 503 and never 502, the bridge's own answers pass, nothing but the two webhook
//! paths is reachable, and no log holds a token. The files are used as shipped but for addresses and folders.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::bridge::{Answer, Bridge, Reserved};
use self::client::{Answered, exchange, post};
use self::proxy::{Kind, Proxy};

mod bridge;
mod client;
pub(crate) mod proxy;

/// Stands in URLs and credentials of every request here, and must stand in no log.
const TOKEN: &str = "k3vJw0tQx7Zr1nYbE5uHs9LcFa2MdGpI8oTiVeXy4Aq";
const WEBHOOK: &str = "/azure/contoso/k3vJw0tQx7Zr1nYbE5uHs9LcFa2MdGpI8oTiVeXy4Aq";
const MIB: usize = 1024 * 1024;

/// The same checks for both programs.
macro_rules! for_both {
    ($($check:ident),+ $(,)?) => {
        mod nginx { $(
            #[tokio::test]
            async fn $check() { super::$check(super::Kind::Nginx).await; }
        )+ }
        mod caddy { $(
            #[tokio::test]
            async fn $check() { super::$check(super::Kind::Caddy).await; }
        )+ }
    };
}

for_both!(
    answers_503_while_nobody_listens,
    answers_503_when_the_bridge_is_silent,
    answers_503_when_the_bridge_cuts_the_connection,
    turns_an_unexpected_500_502_504_into_503,
    passes_the_answers_of_the_bridge,
    passes_request_and_credentials_unchanged,
    says_where_a_request_comes_from_whatever_it_claims,
    leaves_a_body_over_the_limit_to_the_bridge,
    hides_everything_but_the_webhooks,
    continues_a_request_that_expects_it,
    keeps_tokens_out_of_all_logs,
);

async fn answers_503_while_nobody_listens(kind: Kind) {
    let reserved = Reserved::new();
    let Some(proxy) = Proxy::start(kind, reserved.address).await else { return };
    for path in [WEBHOOK, "/signl4/ops/k3vJw0tQx7Zr1nYbE5uHs9LcFa2MdGpI8oTiVeXy4Aq", "/azure/contoso"] {
        assert_unavailable(&exchange(proxy.address, post(path, "{}")).await);
    }
    proxy.stop().await;
}

async fn answers_503_when_the_bridge_is_silent(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Silence);
    let Some(proxy) = Proxy::start_impatient(kind, bridge.address).await else { return };
    assert_unavailable(&exchange(proxy.address, post(WEBHOOK, "{}")).await);
    assert_eq!(bridge.seen().len(), 1, "the bridge got the request and was waited for");
    proxy.stop().await;
}

async fn answers_503_when_the_bridge_cuts_the_connection(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Cut);
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    assert_unavailable(&exchange(proxy.address, post(WEBHOOK, "{}")).await);
    proxy.stop().await;
}

async fn turns_an_unexpected_500_502_504_into_503(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Status(500));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    for status in [500, 502, 504] {
        bridge.answer(Answer::Status(status));
        assert_unavailable(&exchange(proxy.address, post(WEBHOOK, "{}")).await);
    }
    proxy.stop().await;
}

async fn passes_the_answers_of_the_bridge(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Status(200));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    for status in [200, 401, 404, 405, 408, 413, 503] {
        bridge.answer(Answer::Status(status));
        let answered = exchange(proxy.address, post(WEBHOOK, "{}")).await;
        assert_eq!(answered.status, status);
        assert_eq!(answered.body, format!("the bridge says {status}"));
        assert_eq!(answered.header("retry-after"), Some("17"), "the bridge's own header");
    }
    proxy.stop().await;
}

async fn passes_request_and_credentials_unchanged(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Status(200));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    let basic = format!("Basic {}", STANDARD.encode(format!("azure:{TOKEN}")));
    let bearer = format!("Bearer {TOKEN}");
    let text = "{\"data\":\"Größe\"}";
    for authorization in [basic, bearer] {
        let request = post("/azure/contoso", text).header("Authorization", &authorization);
        assert_eq!(exchange(proxy.address, request).await.status, 200);
        let seen = bridge.seen().pop().unwrap();
        assert_eq!(seen.authorization.as_deref(), Some(authorization.as_str()));
        assert_eq!(
            (seen.method.as_str(), seen.path.as_str(), seen.body.as_slice()),
            ("POST", "/azure/contoso", text.as_bytes())
        );
    }
    assert_eq!(exchange(proxy.address, post(WEBHOOK, text)).await.status, 200);
    assert_eq!(bridge.seen().pop().unwrap().path, WEBHOOK);
    let chunked = post(WEBHOOK, "5\r\nhello\r\n0\r\n\r\n").chunked();
    assert_eq!(exchange(proxy.address, chunked).await.status, 200);
    assert_eq!(bridge.seen().pop().unwrap().body, b"hello");
    proxy.stop().await;
}

async fn says_where_a_request_comes_from_whatever_it_claims(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Status(200));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    for claimed in [None, Some("203.0.113.66"), Some("203.0.113.66, 127.0.0.1")] {
        let mut request = post("/azure/contoso", "{}");
        if let Some(claimed) = claimed {
            request = request.header("X-Forwarded-For", claimed);
        }
        assert_eq!(exchange(proxy.address, request).await.status, 200);
        assert_eq!(bridge.seen().pop().unwrap().forwarded_for.as_deref(), Some("127.0.0.1"), "{claimed:?}");
    }
    proxy.stop().await;
}

async fn leaves_a_body_over_the_limit_to_the_bridge(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::LimitBody(MIB));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    assert_eq!(exchange(proxy.address, post(WEBHOOK, &"x".repeat(MIB))).await.status, 200);
    let answered = exchange(proxy.address, post(WEBHOOK, &"x".repeat(MIB + 1))).await;
    assert_eq!((answered.status, answered.body.as_str()), (413, "the bridge says 413"));
    // Far beyond, whoever answers: it is 413, which the bridge says too, and not a 503 that would be repeated in vain.
    assert_eq!(exchange(proxy.address, post(WEBHOOK, &"x".repeat(4 * MIB))).await.status, 413);
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 4 * MIB, "x".repeat(4 * MIB));
    assert_eq!(exchange(proxy.address, post(WEBHOOK, &chunk).chunked()).await.status, 413);
    proxy.stop().await;
}

async fn hides_everything_but_the_webhooks(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Status(200));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    for path in ["/", "/metrics", "/healthz", "/readyz", "/api/deliveries", "/azure", "/azure/../metrics", "/Metrics"] {
        for request in [post(path, "{}"), post(path, "").method("GET")] {
            let answered = exchange(proxy.address, request).await;
            assert_eq!(answered.status, 404, "{path}");
        }
    }
    assert!(bridge.seen().is_empty(), "the bridge was asked: {:?}", bridge.seen());
    proxy.stop().await;
}

async fn continues_a_request_that_expects_it(kind: Kind) {
    let bridge = Bridge::start(Reserved::new(), Answer::Status(200));
    let Some(proxy) = Proxy::start(kind, bridge.address).await else { return };
    let request = post(WEBHOOK, "{\"expected\":true}").header("Expect", "100-continue");
    let answered = client::exchange_after_continue(proxy.address, request).await;
    assert_eq!(answered.status, 200);
    assert_eq!(bridge.seen().pop().unwrap().body, b"{\"expected\":true}");
    proxy.stop().await;
}

/// Every way into a log: all paths that may hold a token, all that can go wrong, all headers.
async fn keeps_tokens_out_of_all_logs(kind: Kind) {
    let reserved = Reserved::new();
    let Some(proxy) = Proxy::start(kind, reserved.address).await else { return };
    let paths = [
        WEBHOOK.to_owned(),
        format!("{WEBHOOK}/"),
        format!("{WEBHOOK}?token={TOKEN}"),
        format!("/azure/{TOKEN}"),
        format!("/azure/{TOKEN}/"),
        format!("/azure//{TOKEN}"),
        format!("//azure/contoso/{TOKEN}"),
        format!("/azur/contoso/{TOKEN}"),
        format!("/signl4/ops/{TOKEN}/more"),
        format!("/signl4/{}/{TOKEN}", "x".repeat(65)),
        format!("/{TOKEN}"),
        format!("/?{TOKEN}"),
    ];
    let send_all = async || {
        for path in &paths {
            let request = post(path, TOKEN)
                .header("Authorization", &format!("Basic {}", STANDARD.encode(format!("{TOKEN}:{TOKEN}"))))
                .header("Referer", &format!("https://bridge.example.com{path}"))
                .header("Cookie", &format!("token={TOKEN}"));
            exchange(proxy.address, request).await;
        }
        exchange(proxy.address, post(WEBHOOK, &"x".repeat(4 * MIB))).await;
        exchange(proxy.address, post(WEBHOOK, "no chunk\r\n").chunked()).await;
        exchange(proxy.address, post(WEBHOOK, "").header("Host", "another.example.com")).await;
        exchange(proxy.address, post(WEBHOOK, "").header("X-Large", &"x".repeat(MIB))).await;
        client::hang_up(proxy.address, post(WEBHOOK, "{\"cut\":").header("Content-Length", "1000")).await;
    };
    send_all().await;
    let bridge = Bridge::start(reserved, Answer::Status(200));
    for answer in [Answer::Status(200), Answer::Status(401), Answer::Status(500), Answer::LimitBody(1), Answer::Cut] {
        bridge.answer(answer);
        send_all().await;
    }
    let logs = proxy.stop().await;
    assert!(logs.contains("/azure/contoso/***"), "the masked path is there: {logs}");
    assert!(logs.contains("/azure/***") && logs.contains("/signl4/ops/***"), "and the others: {logs}");
    assert!(logs.contains("503") && logs.contains("401"), "and the statuses: {logs}");
}

#[tokio::test]
async fn nginx_accepts_the_shipped_file_with_its_tls_part() {
    proxy::check_nginx_with_tls();
}

#[tokio::test]
async fn caddy_accepts_the_shipped_file_with_its_defaults() {
    proxy::check_caddy_defaults();
}

fn assert_unavailable(answered: &Answered) {
    assert_eq!(answered.status, 503, "{answered:?}");
    let seconds: u32 = answered.header("retry-after").expect("a Retry-After").parse().expect("in seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
}
