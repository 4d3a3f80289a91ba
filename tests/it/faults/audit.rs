//! The audit sees what is forgotten.

use std::time::Duration;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};

use crate::town::{Plan, Town};

const ROUTES: &str = "[[route]]\nname = \"patient\"\nteam = \"ops\"\nmatch = { rule = [\"patient\"] }\ngrace = \"2m\"\n\n\
                      [[route]]\nname = \"all\"\nteam = \"ops\"\n";

#[tokio::test]
async fn every_forgotten_row_is_named() {
    let town = Town::with(Plan { routes: ROUTES, ..Plan::default() }).await;
    let fire = |rule: &str| town.scene.azure.fire(AlertSpec::metric(rule, "vm-web-1", Metric::default())).unwrap();
    let (held, due, leased, raising) = (fire("patient"), fire("due"), fire("leased"), fire("raising"));
    town.scene.azure.webhooks().settled(Duration::from_secs(20)).await.unwrap();
    let audit = async || town.bridge.store.audit(town.clock.now()).await.unwrap();
    assert_eq!(audit().await, []);
    let other = rusqlite::Connection::open(town.folder.path().join("bridge.db")).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    let plant = |sql: &str, alert: &str| assert_eq!(other.execute(sql, [format!("%{alert}")]).unwrap(), 1, "{sql}");
    plant("DELETE FROM timer WHERE page LIKE ?1", &held);
    plant("UPDATE delivery SET due = due - 3600000 WHERE page LIKE ?1", &due);
    plant("UPDATE delivery SET due = due - 3600000, state = 1 WHERE page LIKE ?1", &leased);
    plant("DELETE FROM delivery WHERE page LIKE ?1", &raising);
    let found: Vec<String> = audit().await.into_iter().map(|violation| violation.id).collect();
    assert_eq!(found.len(), 4, "{found:?}");
    for (id, alert) in found.iter().zip([&due, &leased, &held, &raising]) {
        assert!(id.ends_with(alert.as_str()), "{id} {alert}");
    }
    let listed = town.http.get(format!("{}/api/audit", town.admin)).send().await.unwrap().text().await.unwrap();
    assert!(listed.contains("a held page has no timer"), "{listed}");
    // What can be done again is done.
    town.settle().await;
    town.page(&due);
    town.close().await;
}
