//! Services that answer far more than anybody asked for, and a burst of alerts: memory stays bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::outbox::{Attempt, Sent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::process::Ground;

const GIGABYTE: u64 = 1 << 30;

/// A service whose every answer is a gigabyte; what of it was taken.
#[derive(Clone, Default)]
struct Gusher {
    answers: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Gusher {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gusher = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(gusher.clone().answer(stream));
            }
        });
        format!("http://{address}")
    }

    async fn answer(self, mut stream: TcpStream) {
        let mut request = [0; 16 * 1024];
        let _read = stream.read(&mut request).await;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {GIGABYTE}\r\n\r\n[");
        let chunk = vec![b' '; 64 * 1024];
        let mut written: u64 = 0;
        if stream.write_all(head.as_bytes()).await.is_ok() {
            while written < GIGABYTE && stream.write_all(&chunk).await.is_ok() {
                written += u64::try_from(chunk.len()).unwrap();
            }
        }
        self.bytes.fetch_max(written, Ordering::SeqCst);
        self.answers.fetch_add(1, Ordering::SeqCst);
    }

    async fn answered(&self, wanted: u64) {
        let answered = async {
            while self.answers.load(Ordering::SeqCst) < wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), answered).await.expect("the bridge asks");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_a_gigabyte_is_cut_off() {
    let ground = Ground::new().await;
    let gusher = Gusher::default();
    let url = gusher.start().await;
    // SIGNL4, Entra and Azure's resource manager in one.
    let toml = std::fs::read_to_string(ground.config()).unwrap();
    let toml = toml.replace(&ground.scene.azure.url(), &url).replace(&ground.scene.signl4.url(), &url);
    std::fs::write(ground.config(), toml).unwrap();
    let mut process = ground.start();
    for _ in 0..20 {
        ground.scene.azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap();
    }
    gusher.answered(21).await;
    let taken = gusher.bytes.load(Ordering::SeqCst);
    assert!(taken < 16 * 1024 * 1024, "what fills the buffers between both, and no more: {taken}");
    assert_eq!(process.readyz(&ground.http).await.0, 200);
    let most = process.most_memory();
    assert!(most < 300 * 1024 * 1024, "{most} bytes");
    assert_eq!(process.stop(), Some(0));
}

/// `BRIDGE_FAULT_BURST` alerts at once; a long run of `./dev faults` takes 10,000.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_alerts_is_taken_whole_and_paged_once_each() {
    let burst: usize = std::env::var("BRIDGE_FAULT_BURST").ok().and_then(|text| text.parse().ok()).unwrap_or(2_000);
    let ground = Ground::new().await;
    let mut schedule = ground.scene.azure.webhooks().schedule();
    schedule.delays = vec![Duration::from_secs(2); 60];
    // What counts here is what the bridge answers, however busy the machine is.
    schedule.answer_timeout = Duration::from_mins(2);
    ground.scene.azure.webhooks().set_schedule(schedule);
    let mut process = ground.start();
    for _ in 0..burst {
        let spec = AlertSpec::metric("CPU above 90 %", &format!("vm-{}", fastrand::u64(..)), Metric::default());
        ground.scene.azure.fire(spec).unwrap();
    }
    ground.scene.azure.webhooks().settled(Duration::from_mins(2)).await.unwrap();
    // More connections at once than the system queues may be refused or cut by it; Azure comes again then, too.
    let answers: std::collections::BTreeSet<String> = ground.scene.azure.read(|state| {
        let answered = |attempt: &Attempt| matches!(attempt.sent, Sent::Answered(_));
        state.attempts.iter().filter(|attempt| answered(attempt)).map(|attempt| format!("{:?}", attempt.sent)).collect()
    });
    assert!(answers.iter().all(|answer| ["Answered(200)", "Answered(503)"].contains(&answer.as_str())), "{answers:?}");
    let paged = |state: &signl4_azure_bridge::simulator::signl4::State| state.alerts.len() >= burst;
    let all = async { while ground.scene.signl4.wait_until("every alert is a page", paged).await.is_err() {} };
    tokio::time::timeout(Duration::from_mins(2), all).await.expect("every alert is a page");
    ground.scene.signl4.webhooks().settled(Duration::from_mins(2)).await.unwrap();
    let ids: std::collections::BTreeSet<_> =
        ground.scene.signl4.alerts().into_iter().map(|page| page.external_id.unwrap()).collect();
    assert_eq!((ids.len(), ground.scene.signl4.alerts().len()), (burst, burst), "none twice");
    let most = process.most_memory();
    assert!(most < 512 * 1024 * 1024, "{most} bytes");
    assert_eq!(process.stop(), Some(0));
}
