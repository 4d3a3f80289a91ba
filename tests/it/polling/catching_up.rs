//! Catching up: the bridge was down, answered 503, or half of all webhooks never arrived.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, AlertState, Metric};
use signl4_azure_bridge::simulator::scene::{JANE, JOHN};
use signl4_azure_bridge::simulator::signl4::AlertStatus;
use tracing_subscriber::fmt::MakeWriter;

use super::{MINUTE, cpu, disk, events, metrics};
use crate::town::{Plan, Town};

/// What the bridge logs on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Until the guard goes.
    fn begin() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn lines(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn after_an_outage_what_still_fires_is_paged_and_what_resolved_ends() {
    let (log, _guard) = Log::begin();
    let town = super::town().await;
    let before = town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.poll().await;

    // Down for ten minutes: nobody is there to be called.
    town.scene.azure.remove_webhooks();
    town.clock.advance(MINUTE * 2);
    let fires = town.scene.azure.fire(disk()).unwrap();
    let over = town.scene.azure.fire(disk()).unwrap();
    town.clock.advance(MINUTE * 6);
    town.scene.azure.resolve(&before).unwrap();
    town.scene.azure.resolve(&over).unwrap();
    town.clock.advance(MINUTE * 2);
    let town = town.restart().await;
    town.poll().await;
    town.page(&fires);
    assert_eq!(town.pages(&over).len(), 0, "what was over again wakes nobody");
    assert_eq!(town.page(&before).status, AlertStatus::Closed);
    let told = log.lines("has caught up");
    assert_eq!(told.len(), 1, "{told:?}");
    for part in
        ["was not running", "outage_seconds=600", "recovered=3", "paged=1", "resolved=2", "oldest_late_seconds=480"]
    {
        assert!(told[0].contains(part), "{part} in {}", told[0]);
    }
    assert!(metrics(&town).await.contains("rule=\"Disk almost full\",why=\"gap\"} 1"));
    town.close().await;
}

/// A proxy that is down is seen by nobody but Azure.
#[tokio::test]
async fn webhooks_that_could_not_reach_the_bridge_are_told_of_in_one_line() {
    let (log, _guard) = Log::begin();
    let town = super::town().await;
    town.scene.azure.fire(cpu()).unwrap();
    town.settle().await;
    town.poll_after(MINUTE).await;
    town.scene.azure.remove_webhooks();
    let unheard = [town.scene.azure.fire(cpu()).unwrap(), town.scene.azure.fire(cpu()).unwrap()];
    for _ in 0..4 {
        town.poll_after(MINUTE).await;
    }
    for alert in &unheard {
        town.page(alert);
    }
    let told = log.lines("webhooks are missing");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("missing=2") && told[0].contains("oldest_late_seconds=120"), "{}", told[0]);
    town.close().await;
}

#[tokio::test]
async fn a_process_that_stood_still_catches_up() {
    let (log, _guard) = Log::begin();
    let town = super::town().await;
    town.poll().await;
    // As it runs in `serve`: by itself, twice a second.
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(town.bridge.reconciler.clone().run(stop.clone()));
    town.scene.azure.remove_webhooks();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.clock.advance(MINUTE * 10);
    let told = || log.lines("has caught up");
    let caught_up = async {
        while told().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), caught_up).await.expect("it finds out by itself");
    stop.cancel();
    running.await.unwrap();
    town.settle().await;
    assert!(told()[0].contains("stood still") && told()[0].contains("outage_seconds=600"), "{:?}", told());
    town.page(&alert);
    town.close().await;
}

#[tokio::test]
async fn what_fired_shortly_before_an_outage_or_in_the_silence_after_it_is_paged() {
    let town = super::town().await;
    town.poll().await;
    let quiet = |name: &str| AlertSpec::metric(name, "vm-web-1", Metric::default());
    // No webhook comes from now on: not to a bridge that is down, and not within 15 minutes of that.
    town.scene.azure.remove_webhooks();
    let long_before = town.scene.azure.fire(quiet("long before")).unwrap();
    town.poll_after(MINUTE * 10).await;
    let before = town.scene.azure.fire(quiet("shortly before")).unwrap();
    town.poll_after(MINUTE).await;
    assert_eq!(events(&town).await.len(), 2, "both are recorded: their rules have never called");
    town.clock.advance(MINUTE * 10);
    let town = town.restart().await;
    town.scene.azure.remove_webhooks();
    town.poll().await;
    town.page(&before);
    town.clock.advance(MINUTE * 14);
    let after = town.scene.azure.fire(quiet("after it")).unwrap();
    town.poll_after(Duration::from_secs(30)).await;
    town.page(&after);
    town.clock.advance(MINUTE * 2);
    let later = town.scene.azure.fire(quiet("long after")).unwrap();
    town.poll_after(MINUTE).await;
    town.poll_after(MINUTE).await;
    assert_eq!((town.pages(&long_before).len(), town.pages(&later).len()), (0, 0), "nobody asked to be woken by these");
    town.close().await;
}

#[tokio::test]
async fn a_restart_within_azures_patience_is_no_outage() {
    let town = super::town().await;
    town.poll().await;
    town.scene.azure.remove_webhooks();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    town.clock.advance(Duration::from_secs(70));
    let town = town.restart().await;
    town.poll().await;
    assert_eq!(town.pages(&alert).len(), 0, "its rule has never called, and Azure had patience enough");
    town.close().await;
}

#[tokio::test]
async fn what_fired_while_webhooks_were_answered_503_is_paged() {
    let town = super::town().await;
    town.poll().await;
    // Whoever stops the listener's store: the handler answers 503 while it says that it is stopping.
    let stopping = |is: bool| town.bridge.stopping.store(is, std::sync::atomic::Ordering::SeqCst);
    town.scene.azure.webhooks().hold();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    let body = town.scene.azure.webhook_body(&alert).unwrap().to_string();
    stopping(true);
    for wait in [0, 5, 20, 5, 40, 5] {
        town.clock.advance(Duration::from_secs(wait));
        assert_eq!(town.post(&town.azure_url(), body.clone()).await.status(), 503);
    }
    stopping(false);
    town.poll_after(MINUTE).await;
    town.page(&alert);
    assert!(metrics(&town).await.contains("why=\"gap\"} 1"));
    town.scene.azure.webhooks().release(signl4_azure_bridge::simulator::outbox::Order::AsHeld).await;
    town.settle().await;
    town.page(&alert);
    town.close().await;
}

/// Answers Azure's tries of one webhook 503, as a bridge that is stopping does, and lets it poll meanwhile.
async fn refuse_and_poll(town: &Town, url: &str, body: &str) {
    town.bridge.stopping.store(true, std::sync::atomic::Ordering::SeqCst);
    for wait in [10, 5, 20, 5, 40, 5] {
        town.clock.advance(Duration::from_secs(wait));
        assert_eq!(town.post(url, body.to_owned()).await.status(), 503);
        town.poll().await;
    }
    town.bridge.stopping.store(false, std::sync::atomic::Ordering::SeqCst);
}

#[tokio::test]
async fn what_a_poll_recorded_while_webhooks_were_answered_503_is_paged_and_told_in_one_line() {
    let (log, _guard) = Log::begin();
    for polled_before in [false, true] {
        let town = super::town().await;
        town.poll().await;
        town.scene.azure.webhooks().hold();
        let alert = town.scene.azure.fire(cpu()).unwrap();
        let body = town.scene.azure.webhook_body(&alert).unwrap().to_string();
        if polled_before {
            town.poll_after(MINUTE).await;
        }
        assert_eq!(town.pages(&alert).len(), 0);
        refuse_and_poll(&town, &town.azure_url(), &body).await;
        town.poll_after(MINUTE).await;
        town.page(&alert);
        let recorded = events(&town).await.into_iter().filter(|(_, reason)| reason == "recorded_by_poll").count();
        assert_eq!(recorded, usize::from(polled_before), "it waits while its webhook may be refused");
        town.scene.azure.webhooks().release(signl4_azure_bridge::simulator::outbox::Order::AsHeld).await;
        town.settle().await;
        town.poll_after(MINUTE).await;
        town.page(&alert);
        town.close().await;
    }
    let told = log.lines("has caught up");
    assert_eq!(told.len(), 2, "one for each town: {told:?}");
    assert!(told.iter().all(|line| line.contains("answered 503") && line.contains("paged=1")), "{told:?}");
}

#[tokio::test]
async fn who_is_not_azure_opens_no_gap() {
    let town = super::town().await;
    town.poll().await;
    town.scene.azure.remove_webhooks();
    let mut alert = String::new();
    town.bridge.stopping.store(true, std::sync::atomic::Ordering::SeqCst);
    for number in 0..5 {
        if number == 2 {
            alert = town.scene.azure.fire(cpu()).unwrap();
        }
        assert_eq!(town.post(&town.signl4_url(), "{}").await.status(), 503);
        town.clock.advance(Duration::from_secs(25));
    }
    town.bridge.stopping.store(false, std::sync::atomic::Ordering::SeqCst);
    town.poll_after(MINUTE).await;
    assert_eq!(town.pages(&alert).len(), 0, "its rule has never called, and nobody was kept from calling");
    town.close().await;
}

#[tokio::test]
async fn a_store_that_failed_is_one_outage() {
    let (log, _guard) = Log::begin();
    let town = super::town().await;
    town.poll().await;
    town.scene.azure.webhooks().hold();
    let alert = town.scene.azure.fire(cpu()).unwrap();
    let body = town.scene.azure.webhook_body(&alert).unwrap().to_string();
    let (store, away) = (town.folder.path().join("bridge.db"), town.folder.path().join("away"));
    std::fs::rename(&store, &away).unwrap();
    for _ in 0..6 {
        town.clock.advance(Duration::from_secs(20));
        assert_eq!(town.post(&town.azure_url(), body.clone()).await.status(), 503);
        town.bridge.reconciler.step().await;
    }
    std::fs::rename(&away, &store).unwrap();
    for _ in 0..4 {
        town.poll_after(MINUTE).await;
    }
    town.page(&alert);
    let told = log.lines("has caught up");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("could store nothing") && told[0].contains("paged=1"), "{}", told[0]);
    town.close().await;
}

const ALL: fn(String) -> String =
    |toml| format!("{toml}\npoll = \"1m\"\n").replacen("[azure.contoso]", "[azure.contoso]\npoll_raises = \"all\"", 1);
const AUTO: fn(String) -> String = |toml| format!("{toml}\npoll = \"1m\"\n");

#[tokio::test]
async fn with_a_random_half_of_all_webhooks_lost_both_sides_agree() {
    for (seed, raises, edit, whole_seconds) in
        [(1, "all", ALL, false), (7, "all", ALL, true), (42, "auto", AUTO, true), (99, "auto", AUTO, false)]
    {
        let mut chance = fastrand::Rng::with_seed(seed);
        let seed = format!("{seed}, {raises}, whole seconds {whole_seconds}");
        let town = super::town_with(Plan { edit, ..Plan::default() }).await;
        town.scene.azure.knobs(|knobs| knobs.whole_seconds = whole_seconds);
        town.poll().await;
        // The rule has called once: what it does not tell is missed.
        let mut alerts: Vec<String> = vec![town.scene.azure.fire(cpu()).unwrap()];
        town.settle().await;
        for _ in 0..60 {
            town.scene.azure.webhooks().lose_next(u32::from(chance.bool()));
            town.scene.signl4.webhooks().lose_next(u32::from(chance.bool()));
            town.clock.advance(Duration::from_millis(chance.u64(5_000..70_000)));
            let some = (!alerts.is_empty()).then(|| alerts[chance.usize(0..alerts.len())].clone());
            match (chance.u32(0..8), some) {
                (0 | 1, _) | (_, None) => alerts.push(town.scene.azure.fire(cpu()).unwrap()),
                (2, Some(alert)) => drop(town.scene.azure.resolve(&alert)),
                (3, Some(alert)) => {
                    let state = [AlertState::Acknowledged, AlertState::Closed][chance.usize(0..2)];
                    // In the portal people do not take back what others did on the phone; `portal.rs` shows that.
                    if town.azure_state(&alert) == AlertState::New {
                        town.scene.azure.set_state(&alert, state, "anna@example.com", "").unwrap();
                    }
                }
                (what, Some(alert)) => {
                    let open = town.pages(&alert).into_iter().next_back();
                    let Some(page) = open else { continue };
                    match what {
                        4 | 5 => drop(town.scene.signl4.acknowledge(&page.id, JANE, None)),
                        6 => drop(town.scene.signl4.unacknowledge(&page.id, JANE)),
                        _ => drop(town.scene.signl4.close(&page.id, JOHN, None)),
                    }
                }
            }
            town.settle().await;
            if chance.u32(0..3) == 0 {
                town.poll().await;
            }
        }
        town.scene.azure.webhooks().lose_next(0);
        town.scene.signl4.webhooks().lose_next(0);
        for _ in 0..6 {
            town.poll_after(MINUTE).await;
        }
        for alert in &alerts {
            let azure = town.scene.azure.alert(alert).unwrap();
            let pages = town.pages(alert);
            let resolved = azure.resolved_at.is_some();
            for page in &pages {
                let agree = match (azure.state, page.status) {
                    // A page that Azure's Resolved has ended agrees with any state.
                    (_, AlertStatus::Closed) if resolved => true,
                    (AlertState::New, AlertStatus::Open) | (AlertState::Acknowledged, AlertStatus::Acknowledged) => {
                        !resolved
                    }
                    (AlertState::Closed, AlertStatus::Closed) => true,
                    (_, AlertStatus::Closed) => pages.len() > 1,
                    _ => false,
                };
                assert!(agree, "seed {seed}: {:?} resolved {resolved}, but the page is {:?}", azure.state, page.status);
            }
            assert!(!pages.is_empty() || resolved || azure.state != AlertState::New, "seed {seed}: nobody was paged");
        }
        town.close().await;
    }
}
