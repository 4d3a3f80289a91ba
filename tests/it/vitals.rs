//! Somebody is told: the heartbeat comes only while the whole chain is well, and what a person must mend is paged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use signl4_azure_bridge::clock::Clock;
use signl4_azure_bridge::domain::delivery::Destination;
use signl4_azure_bridge::domain::id::TeamName;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::calls::Operation;
use signl4_azure_bridge::simulator::faults::{Door, Fault};
use signl4_azure_bridge::simulator::scene::{TEAM, TEAM_SECRET};
use signl4_azure_bridge::store::Change;

use crate::admin::{get, metrics};
use crate::town::{Plan, Town};

fn alert() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

/// A monitor's URL: counts who fetches it, and answers as it is told.
#[derive(Clone, Debug, Default)]
struct Monitor {
    url: String,
    fetched: Arc<AtomicUsize>,
    strayed: Arc<AtomicUsize>,
    status: Arc<AtomicU16>,
}

impl Monitor {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/ping/s3cret-of-the-monitor", listener.local_addr().unwrap());
        let monitor = Self { url, status: Arc::new(AtomicU16::new(200)), ..Self::default() };
        let answers = monitor.clone();
        let router = Router::new().fallback(move |request: Request| async move { answers.answer(&request) });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        monitor
    }

    fn answer(&self, request: &Request) -> Response {
        let monitor = self;
        if request.uri().path() == "/ping/s3cret-of-the-monitor" && request.method() == "GET" {
            monitor.fetched.fetch_add(1, Ordering::SeqCst);
        } else {
            monitor.strayed.fetch_add(1, Ordering::SeqCst);
        }
        let status = axum::http::StatusCode::from_u16(monitor.status.load(Ordering::SeqCst)).unwrap();
        (status, [("location", "/elsewhere")], "").into_response()
    }

    fn count(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    async fn town(&self) -> Town {
        let mut plan = Plan {
            edit: |toml| format!("[alarm]\nheartbeat = {{ env = \"HEARTBEAT\" }}\n\n{toml}"),
            ..Plan::default()
        };
        plan.options.env.insert("HEARTBEAT".to_owned(), self.url.clone());
        let town = Town::with(plan).await;
        town.bridge.beat().await;
        town
    }
}

/// Another minute; how often the URL was fetched by then, and what `/readyz` says of it.
async fn minute(town: &Town, monitor: &Monitor) -> (usize, String) {
    town.after(Duration::from_mins(1)).await;
    town.bridge.beat().await;
    let (status, ready) = get(town, "/readyz").await;
    assert!(status == 200 || status == 503);
    (monitor.count(), ready["heartbeat"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_heartbeat_comes_once_a_minute_while_all_is_well() {
    let monitor = Monitor::start().await;
    let town = monitor.town().await;
    assert_eq!(monitor.count(), 1);
    for beats in 2..5 {
        assert_eq!(minute(&town, &monitor).await, (beats, "beats".to_owned()));
        town.bridge.beat().await;
        assert_eq!(monitor.count(), beats, "once a minute");
    }
    monitor.status.store(302, Ordering::SeqCst);
    assert_eq!(minute(&town, &monitor).await, (5, "not taken: its URL answers 302".to_owned()));
    assert_eq!(monitor.strayed.load(Ordering::SeqCst), 0, "redirects are not followed");
    town.close().await;
    let town = Town::new().await;
    assert_eq!(get(&town, "/readyz").await.1["heartbeat"], "off");
    town.close().await;
}

#[tokio::test]
async fn the_heartbeat_is_silent_while_a_credential_is_refused_and_comes_again() {
    let monitor = Monitor::start().await;
    let town = monitor.town().await;
    town.scene.signl4.rotate_secret(TEAM, "rotated");
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    let silent = "silent because signl4:ops refuses us since 2026-11-24T03:00:00Z";
    assert_eq!(minute(&town, &monitor).await, (1, silent.to_owned()));
    town.scene.signl4.rotate_secret(TEAM, TEAM_SECRET);
    town.after(Duration::from_secs(30)).await;
    assert_eq!(minute(&town, &monitor).await, (2, "beats".to_owned()));
    town.close().await;
}

#[tokio::test]
async fn the_heartbeat_is_silent_when_an_outage_lasts_and_when_nothing_can_be_stored() {
    let monitor = Monitor::start().await;
    let town = monitor.town().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    for _ in 0..12 {
        town.after(Duration::from_secs(5)).await;
    }
    for beats in 2..6 {
        assert_eq!(minute(&town, &monitor).await, (beats, "beats".to_owned()), "it may pass");
    }
    let (count, said) = minute(&town, &monitor).await;
    assert!(said.starts_with("silent because signl4:ops is out of reach since 2026-11-24T03:00:"), "{said}");
    assert!(said.ends_with("; a delivery waits for more than 5 minutes"), "{said}");
    assert_eq!(count, 5);
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(Duration::from_mins(1)).await;
    assert_eq!(minute(&town, &monitor).await.1, "beats");

    let before = monitor.count();
    let saboteur = rusqlite::Connection::open(town.folder.path().join("bridge.db")).unwrap();
    saboteur.execute_batch("ALTER TABLE pulse RENAME TO hidden").unwrap();
    let (count, said) = minute(&town, &monitor).await;
    assert_eq!(count, before);
    assert!(said.starts_with("silent because nothing can be stored: "), "{said}");
    saboteur.execute_batch("ALTER TABLE hidden RENAME TO pulse").unwrap();
    assert_eq!(minute(&town, &monitor).await, (before + 1, "beats".to_owned()));
    town.close().await;
}

#[tokio::test]
async fn the_heartbeat_is_silent_while_polls_fail_and_comes_again() {
    let monitor = Monitor::start().await;
    let town = monitor.town().await;
    town.poll().await;
    assert_eq!(minute(&town, &monitor).await.1, "beats");
    town.scene.azure.faults().plan(Fault::status(500).on(Operation::ListAlerts).always());
    let mut said = Vec::new();
    for _ in 0..8 {
        town.poll_after(Duration::from_secs(30)).await;
        town.bridge.reconciler.step().await;
        said.push(minute(&town, &monitor).await.1);
    }
    assert_eq!(said[0], "beats", "it may pass");
    let silent = said.last().unwrap();
    assert!(silent.starts_with("silent because polling fails since 2026-11-24T03:0"), "{said:?}");
    let before = monitor.count();
    town.scene.azure.faults().clear();
    town.poll_after(Duration::from_mins(5)).await;
    assert_eq!(minute(&town, &monitor).await, (before + 1, "beats".to_owned()));
    town.close().await;
}

fn set_back(town: &Town, by: Duration) {
    let Clock::Manual(millis) = &town.clock else { panic!("a clock that is moved by hand") };
    millis.fetch_sub(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
}

#[tokio::test]
async fn a_clock_that_is_set_back_silences_nothing() {
    let monitor = Monitor::start().await;
    let town = monitor.town().await;
    town.scene.signl4.rotate_secret(TEAM, "rotated");
    let id = town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    town.scene.signl4.rotate_secret(TEAM, TEAM_SECRET);
    set_back(&town, Duration::from_hours(1));
    assert_eq!(monitor.count(), 1);
    for _ in 0..2 {
        minute(&town, &monitor).await;
    }
    town.page(&id);
    assert_eq!(minute(&town, &monitor).await.1, "beats", "the denial ended with the next probe");
    town.close().await;
}

#[tokio::test]
async fn what_an_operator_holds_back_is_no_trouble() {
    let monitor = Monitor::start().await;
    let town = monitor.town().await;
    let ops = Destination::team(&TeamName::parse("ops").unwrap());
    let until = town.clock.now().plus(Duration::from_hours(1));
    town.bridge.store.change(Change::Pause { destination: ops, until }).await.unwrap();
    town.scene.azure.fire(alert()).unwrap();
    for _ in 0..8 {
        minute(&town, &monitor).await;
    }
    assert_eq!(minute(&town, &monitor).await, (10, "beats".to_owned()));
    assert!(metrics(&town).await.contains("\nbridge_oldest_due_age_seconds 0\n"));
    town.after(Duration::from_hours(1)).await;
    town.close().await;
}

fn alarms(town: &Town, team: &str) -> Vec<String> {
    let state = town.scene.signl4.alerts();
    let of_team = state.into_iter().filter(|page| page.team == team);
    of_team.map(|page| page.title).filter(|title| title.starts_with("Bridge: ")).collect()
}

/// Alarms go to a team of another account; the team's id in SIGNL4.
async fn with_another_account() -> (Town, String) {
    let edit = |toml: String| {
        let base_url = toml.lines().find(|line| line.starts_with("base_url")).unwrap().to_owned();
        format!("[alarm]\nteam = \"platform\"\n\n{toml}[signl4.platform]\nsecret = \"platformsecret1\"\n{base_url}\n")
    };
    let town = Town::with(Plan { edit, ..Plan::default() }).await;
    let platform = town.scene.signl4.add_team("platform", "platformsecret1");
    (town, platform)
}

#[tokio::test]
async fn a_team_that_refuses_its_secret_is_told_each_hour_to_a_team_of_another_account() {
    let (town, platform) = with_another_account().await;
    town.scene.signl4.rotate_secret(TEAM, "rotated");
    for _ in 0..3 {
        town.scene.azure.fire(alert()).unwrap();
    }
    for _ in 0..5 {
        town.after(Duration::from_mins(1)).await;
    }
    let refuses = "Bridge: SIGNL4 refuses [signl4.ops]: its pages wait";
    assert_eq!(alarms(&town, &platform), [refuses], "once, however many pages wait");
    town.after(Duration::from_hours(1)).await;
    assert_eq!(alarms(&town, &platform), [refuses; 2]);
    town.scene.signl4.rotate_secret(TEAM, TEAM_SECRET);
    town.after(Duration::from_mins(2)).await;
    town.close().await;
}

#[tokio::test]
async fn a_destination_that_stays_out_of_reach_is_told_each_hour_to_a_team_of_another_account() {
    let (town, platform) = with_another_account().await;
    let fault = Fault::status(503).on(Operation::Webhook).on_path(TEAM_SECRET).always();
    town.scene.signl4.faults().plan(fault);
    town.scene.azure.fire(alert()).unwrap();
    for _ in 0..24 {
        town.after(Duration::from_secs(15)).await;
        town.bridge.tell_of_others().await;
    }
    assert_eq!(alarms(&town, &platform), Vec::<String>::new(), "it may pass");
    for _ in 0..180 {
        town.after(Duration::from_secs(20)).await;
        town.bridge.tell_of_others().await;
        town.settle().await;
    }
    let told = alarms(&town, &platform);
    assert_eq!(told, ["Bridge: signl4:ops is out of reach"; 2], "each hour");
    town.scene.signl4.faults().clear();
    town.after(Duration::from_mins(1)).await;
    town.close().await;
}

#[tokio::test]
async fn an_alarm_that_goes_to_the_account_out_of_reach_is_one_and_waits_for_the_return() {
    let town = Town::new().await;
    town.scene.signl4.faults().set_door(Door::Refused).await;
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    for _ in 0..300 {
        town.after(Duration::from_secs(30)).await;
        town.bridge.tell_of_others().await;
    }
    town.scene.signl4.faults().set_door(Door::Open).await;
    town.after(Duration::from_mins(1)).await;
    let titles: Vec<String> = town.scene.signl4.alerts().into_iter().map(|page| page.title).collect();
    let told = titles.iter().filter(|title| title.contains("Bridge: ")).count();
    assert_eq!((titles.len(), told), (2, 1), "{titles:?}");
    town.close().await;
}

#[tokio::test]
async fn a_run_of_refused_calls_is_told_once_an_hour() {
    let town = Town::new().await;
    let refuse = async |times: usize| {
        for _ in 0..times {
            let answer = town.post(&format!("{}/azure/contoso/an-old-token", town.url), "{}").await;
            assert_eq!(answer.status(), 401);
        }
        town.bridge.tell_of_others().await;
        town.settle().await;
        town.scene.signl4.alerts().into_iter().map(|page| page.title).collect::<Vec<_>>()
    };
    assert_eq!(refuse(4).await, Vec::<String>::new());
    town.scene.azure.fire(alert()).unwrap();
    town.settle().await;
    assert_eq!(refuse(4).await.len(), 1, "one that was let in ends the run");
    assert_eq!(refuse(1).await[1], "Bridge: /azure/contoso refuses its caller");
    assert_eq!(refuse(9).await.len(), 2);
    town.after(Duration::from_hours(1)).await;
    assert_eq!(refuse(1).await.len(), 3, "still, an hour later");
    for _ in 0..9 {
        let stranger = town.post(&format!("{}/azure/nobody/guess", town.url), "{}").await;
        assert_eq!(stranger.status(), 401);
    }
    assert_eq!(refuse(0).await.len(), 3, "names that are not ours are nobody's business");
    town.close().await;
}
