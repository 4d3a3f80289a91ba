//! Faults of the disk while the bridge runs: 503 with the mend in `/readyz`, one error line, and back again by itself, with
//! nothing lost and nothing doubled.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::scene::{JANE, SUBSCRIPTION};

use super::process::{Ground, Process};
use super::shim::{Disk, Errno};

fn fire(ground: &Ground) -> String {
    ground.scene.azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap()
}

/// How often each alert was paged.
fn pages(ground: &Ground) -> BTreeMap<String, usize> {
    let mut pages = BTreeMap::new();
    for id in ground.scene.signl4.alerts().into_iter().filter_map(|page| page.external_id) {
        // A body that was answered 503 may be stored and paged all the same; it is no alert's.
        if id.starts_with(&format!("azmon:{SUBSCRIPTION}:")) {
            *pages.entry(id).or_default() += 1;
        }
    }
    pages
}

async fn until_paged(ground: &Ground, alerts: &[String]) {
    let paged = |state: &signl4_azure_bridge::simulator::signl4::State| {
        alerts.iter().all(|id| {
            let id = format!("azmon:{SUBSCRIPTION}:{id}");
            state.alerts.iter().any(|page| page.external_id.as_deref() == Some(&id))
        })
    };
    ground.scene.signl4.wait_until("every alert is a page", paged).await.unwrap();
}

/// Lets a store fall ill under load and recover: `says` stands in `/readyz` meanwhile.
async fn check(ground: &Ground, process: &mut Process, fall_ill: impl FnOnce(), says: &[&str], recover: impl FnOnce()) {
    check_over(ground, process, fall_ill, says, 100, recover).await;
}

/// The same, with so many tries of webhooks meanwhile.
async fn check_over(
    ground: &Ground,
    process: &mut Process,
    fall_ill: impl FnOnce(),
    says: &[&str],
    tries: usize,
    recover: impl FnOnce(),
) {
    // Azure waits seconds between its tries: here it is in a hurry, and does not give up.
    let mut schedule = ground.scene.azure.webhooks().schedule();
    schedule.delays = vec![Duration::from_millis(200); 300];
    ground.scene.azure.webhooks().set_schedule(schedule.clone());
    ground.scene.signl4.webhooks().set_schedule(schedule);
    let before: Vec<String> = (0..5).map(|_| fire(ground)).collect();
    until_paged(ground, &before).await;
    fall_ill();
    let during: Vec<String> = (0..20).map(|_| fire(ground)).collect();
    let page = ground.scene.signl4.alerts()[0].id.clone();
    ground.scene.signl4.acknowledge(&page, JANE, None).unwrap();
    let ready = process.until_ready(&ground.http, 503).await;
    for part in says {
        assert!(ready["problem"].as_str().unwrap().contains(part), "`{part}` in {ready}");
    }
    assert_eq!(process.metric(&ground.http, "bridge_store_well").await, 0);
    assert!(process.metric(&ground.http, "bridge_store_failures_total").await > 0);
    let refused = ground.post(process, "{}").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "5");
    // Several tries of each webhook, and of the worker, are one line.
    let tried = |state: &signl4_azure_bridge::simulator::azure::State| state.attempts.len() > tries;
    ground.scene.azure.wait_until("many tries", tried).await.unwrap();
    assert_eq!(process.said("ERROR").len(), 1, "{:#?}", process.said("ERROR"));
    assert!(process.said("WARN").len() <= 30, "{:#?}", process.said("WARN"));
    recover();
    process.until_ready(&ground.http, 200).await;
    assert_eq!(process.metric(&ground.http, "bridge_store_well").await, 1);
    until_paged(ground, &during).await;
    ground.scene.azure.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    ground.scene.signl4.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    let acknowledged = |state: &signl4_azure_bridge::simulator::azure::State| {
        before.iter().any(|id| state.alerts[id].comments() == ["Acknowledged by Jane Doe in SIGNL4"])
    };
    ground.scene.azure.wait_until("the acknowledgement is in Azure", acknowledged).await.unwrap();
    assert!(pages(ground).values().all(|times| *times == 1), "{:?}", pages(ground));
    assert_eq!(pages(ground).len(), 25);
    // It holds after a restart too.
    assert_eq!(process.stop(), Some(0));
    let store = rusqlite::Connection::open(ground.database()).unwrap();
    let count = |sql: &str| -> i64 { store.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(DISTINCT alert) FROM event WHERE kind = 'fired'"), 25);
    assert_eq!(count("SELECT count(*) FROM delivery WHERE state < 2"), 0);
    let whole: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

async fn check_disk(what: &str, errno: Errno, says: &[&str]) {
    let ground = Ground::new().await;
    let mut command = ground.command();
    let disk = Disk::under(&mut command);
    let mut process = ground.start_as(command);
    check(&ground, &mut process, || disk.fail(what, errno), says, || disk.mend(what)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_waited_out() {
    check_disk("write", Errno::NO_SPACE, &["the disk is full", "bridge.db", "free space on its file system"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_fail_are_waited_out() {
    check_disk("write", Errno::IO, &["the disk of the store fails", "bridge.db", "kernel's log"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncs_that_fail_are_waited_out() {
    check_disk("sync", Errno::IO, &["the disk of the store fails", "bridge.db", "kernel's log"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_that_turns_read_only_is_waited_out() {
    check_disk("write", Errno::READ_ONLY, &["the disk of the store fails", "bridge.db"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_moved_away_is_missed_at_once() {
    let ground = Ground::new().await;
    let mut process = ground.start();
    let (path, away) = (ground.database(), ground.folder.path().join("away"));
    let says = ["the store's file was moved, removed or replaced", "bridge.db", "put the file back"];
    let (from, to) = (path.clone(), away.clone());
    let fall_ill = move || std::fs::rename(from, to).unwrap();
    check(&ground, &mut process, fall_ill, &says, move || std::fs::rename(away, path).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_program_is_waited_out() {
    let ground = Ground::new().await;
    let mut process = ground.start();
    let other = rusqlite::Connection::open(ground.database()).unwrap();
    let says = ["another program locks the store", "bridge.db", "end what else has it open"];
    let fall_ill = || other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // A try lasts seconds here.
    let recover = || other.execute_batch("ROLLBACK").unwrap();
    check_over(&ground, &mut process, fall_ill, &says, 40, recover).await;
}

/// Every page but the first is garbage; returns what stood there.
fn spoil(path: &Path) -> Vec<u8> {
    let whole = std::fs::read(path).unwrap();
    overwrite(path, &vec![0x5a; whole.len() - 4096]);
    whole[4096..].to_vec()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_is_found_while_it_runs_stops_it_from_taking_anything_until_every_page_is_well() {
    let ground = Ground::new().await;
    let mut process = ground.start();
    let whole = std::cell::RefCell::new(Vec::new());
    let fall_ill = || {
        // Into the file with all of it, and a change by somebody else: then nobody's cache holds good any more.
        let other = rusqlite::Connection::open(ground.database()).unwrap();
        other.busy_timeout(Duration::from_secs(5)).unwrap();
        other.execute_batch("UPDATE pulse SET at = at; DELETE FROM timer; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        *whole.borrow_mut() = spoil(&ground.database());
    };
    let says = ["the store is damaged", "bridge.db", "restore a backup"];
    check(&ground, &mut process, fall_ill, &says, || overwrite(&ground.database(), &whole.borrow())).await;
}
