//! The audit sees what is forgotten, and nothing else.

use std::time::Duration;

use rusqlite::{Connection, Params};
use signl4_azure_bridge::domain::delivery::Destination;
use signl4_azure_bridge::domain::id::TeamName;
use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};
use signl4_azure_bridge::simulator::scene::{TEAM, TEAM_SECRET};
use signl4_azure_bridge::store::Change;

use crate::storms::STORM;
use crate::town::{Plan, Town};

const ROUTES: &str = "[[route]]\nname = \"patient\"\nteam = \"ops\"\nmatch = { rule = [\"patient\"] }\ngrace = \"2m\"\n\n\
                      [[route]]\nname = \"all\"\nteam = \"ops\"\n";
const OVERDUE: &str = "a delivery is due, first in its lane, held back by nothing, and nobody comes for it";
const HOUR: i64 = 3_600_000;

/// Fires one alert; its webhook arrives, and nothing goes out.
async fn fire(town: &Town, rule: &str) -> String {
    let id = town.scene.azure.fire(AlertSpec::metric(rule, "vm-web-1", Metric::default())).unwrap();
    town.scene.azure.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    id
}

async fn audit(town: &Town) -> Vec<(&'static str, String)> {
    let found = town.bridge.store.audit(town.clock.now()).await.unwrap();
    found.into_iter().map(|violation| (violation.what, violation.id)).collect()
}

fn saboteur(town: &Town) -> Connection {
    let other = Connection::open(town.folder.path().join("bridge.db")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    other
}

fn plant(town: &Town, sql: &str, values: impl Params) {
    assert_eq!(saboteur(town).execute(sql, values).unwrap(), 1, "{sql}");
}

#[tokio::test]
async fn every_forgotten_row_is_named() {
    let town = Town::with(Plan { routes: ROUTES, ..Plan::default() }).await;
    let (held, due) = (fire(&town, "patient").await, fire(&town, "due").await);
    let (leased, raising) = (fire(&town, "leased").await, fire(&town, "raising").await);
    assert_eq!(audit(&town).await, []);
    let of = |alert: &str| [format!("%{alert}")];
    plant(&town, "DELETE FROM timer WHERE page LIKE ?1", of(&held));
    plant(&town, "UPDATE delivery SET due = due - 3600000 WHERE page LIKE ?1", of(&due));
    plant(&town, "UPDATE delivery SET due = due - 3600000, state = 1 WHERE page LIKE ?1", of(&leased));
    plant(&town, "DELETE FROM delivery WHERE page LIKE ?1", of(&raising));
    let found = audit(&town).await;
    assert_eq!(found.len(), 4, "{found:?}");
    for ((_, id), alert) in found.iter().zip([&due, &leased, &held, &raising]) {
        assert!(id.ends_with(alert.as_str()), "{id} {alert}");
    }
    let listed = town.http.get(format!("{}/api/audit", town.admin)).send().await.unwrap().text().await.unwrap();
    assert!(listed.contains("a held page has no timer"), "{listed}");
    // What can be done again is done.
    town.settle().await;
    town.page(&due);
    town.close().await;
}

#[tokio::test]
async fn a_timer_that_does_not_ring_is_named() {
    let town = Town::with(Plan { routes: ROUTES, ..Plan::default() }).await;
    let id = fire(&town, "patient").await;
    town.clock.advance(Duration::from_mins(6));
    assert_eq!(audit(&town).await, [], "it rings within minutes");
    town.clock.advance(Duration::from_mins(2));
    let found = audit(&town).await;
    assert_eq!(found.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["a timer is due and does not ring"]);
    assert!(found[0].1.ends_with(&id), "{found:?}");
    town.settle().await;
    assert_eq!(audit(&town).await, []);
    town.close().await;
}

#[tokio::test]
async fn a_page_that_an_ended_digest_shows_is_named() {
    let town = Town::with(Plan { storm: STORM, ..Plan::default() }).await;
    for number in 0..5 {
        fire(&town, &format!("rule {number}")).await;
    }
    town.settle().await;
    town.after(Duration::from_mins(1)).await;
    assert_eq!(audit(&town).await, []);
    let (digest, state): (String, String) = saboteur(&town)
        .query_row("SELECT id, state FROM page WHERE id LIKE 'azmon:digest:%'", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let end = "UPDATE page SET ended = 1 WHERE id = ?1";
    plant(&town, end, [&digest]);
    let found = audit(&town).await;
    assert_eq!(found.len(), 2, "both of its members: {found:?} {state}");
    assert!(found.iter().all(|(what, _)| *what == "a page is shown by a digest that has ended"), "{found:?}");
    let tells = "INSERT INTO timer (page, alert, kind, due) VALUES (?1, '', '\"last_member_ended\"', ?2)";
    plant(&town, tells, (&digest, town.clock.now().as_millis()));
    assert_eq!(audit(&town).await, [], "what happened to it is on its way to them");
    town.close().await;
}

#[tokio::test]
async fn a_destination_excuses_only_what_it_holds_back_now() {
    let town = Town::new().await;
    let id = fire(&town, "due").await;
    let now = town.clock.now().as_millis();
    plant(&town, "UPDATE delivery SET due = due - 3600000 WHERE page LIKE ?1", [format!("%{id}")]);
    let named = async || !audit(&town).await.is_empty();
    let hold = |paused: Option<i64>, denied: Option<i64>, waits: Option<i64>| {
        let other = saboteur(&town);
        other.execute("DELETE FROM hold", []).unwrap();
        let sql =
            "INSERT INTO hold (destination, paused_until, denied_since, waits_until) VALUES ('signl4:ops', ?1, ?2, ?3)";
        assert_eq!(other.execute(sql, (paused, denied, waits)).unwrap(), 1);
    };
    assert_eq!(audit(&town).await.iter().map(|(what, _)| *what).collect::<Vec<_>>(), [OVERDUE]);
    for (paused, denied, waits, is_named) in [
        (Some(now + HOUR), None, None, false),
        (Some(now - HOUR), None, None, true),
        (None, None, Some(now + HOUR), false),
        (None, None, Some(now - HOUR), true),
        (None, Some(now - 2 * HOUR), Some(now + 1_000), false),
        (None, Some(now - 2 * HOUR), Some(now - HOUR), true),
    ] {
        hold(paused, denied, waits);
        assert_eq!(named().await, is_named, "{paused:?} {denied:?} {waits:?}");
    }
    // An operator's pause holds back pages alone.
    hold(Some(now + HOUR), None, None);
    plant(&town, "UPDATE delivery SET class = 1 WHERE page LIKE ?1", [format!("%{id}")]);
    assert!(named().await);
    plant(&town, "UPDATE delivery SET class = 0, due = due + 3600000 WHERE page LIKE ?1", [format!("%{id}")]);
    saboteur(&town).execute("DELETE FROM hold", []).unwrap();
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn an_attempt_excuses_only_what_waits_behind_it() {
    let town = Town::new().await;
    let (due, other) = (fire(&town, "due").await, fire(&town, "other").await);
    let busy = |created: &str| {
        let sql = format!("UPDATE delivery SET state = 1, due = ?2, created_at = {created} WHERE page LIKE ?1");
        plant(&town, &sql, (format!("%{other}"), town.clock.now().as_millis() + 60_000));
    };
    plant(&town, "UPDATE delivery SET due = due - 3600000 WHERE page LIKE ?1", [format!("%{due}")]);
    busy("created_at - 7200000");
    assert_eq!(audit(&town).await, [], "an older one is under way");
    busy("created_at + 7200000");
    let found = audit(&town).await;
    assert_eq!(found.len(), 1, "a younger one has overtaken it: {found:?}");
    assert!(found[0].1.ends_with(&due), "{found:?}");
    let ended = "UPDATE delivery SET state = 2, finished_at = ?2, created_at = created_at - 7200000 WHERE page LIKE ?1";
    plant(&town, ended, (format!("%{other}"), town.clock.now().as_millis()));
    let found = audit(&town).await;
    assert!(found.iter().all(|(what, _)| *what != OVERDUE), "an older one has just ended: {found:?}");
    town.settle().await;
    town.close().await;
}

#[tokio::test]
async fn nothing_is_named_while_a_destination_is_paused_or_denies_us() {
    let town = Town::new().await;
    town.scene.signl4.rotate_secret(TEAM, "rotated");
    for _ in 0..3 {
        fire(&town, "due").await;
    }
    for _ in 0..12 {
        town.after(Duration::from_mins(1)).await;
        assert_eq!(audit(&town).await, []);
    }
    town.scene.signl4.rotate_secret(TEAM, TEAM_SECRET);
    let destination = Destination::team(&TeamName::parse("ops").unwrap());
    let until = town.clock.now().plus(Duration::from_mins(30));
    town.bridge.store.change(Change::Pause { destination, until }).await.unwrap();
    for _ in 0..12 {
        town.after(Duration::from_mins(3)).await;
        assert_eq!(audit(&town).await, []);
    }
    assert_eq!(town.scene.signl4.alerts().len(), 3);
    town.close().await;
}
