//! A backup is whole, made while the bridge works, private, and overwrites nothing.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};

use crate::town::{Plan, Town};

fn alert() -> AlertSpec {
    AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_it_works_restores_to_all_that_was_there() {
    let town = Town::new().await;
    let before: Vec<String> = (0..20).map(|_| town.scene.azure.fire(alert()).unwrap()).collect();
    town.settle().await;
    // The commands are told where the admin listener came to be.
    let text = std::fs::read_to_string(town.folder.path().join("bridge.toml")).unwrap();
    let admin = town.admin.trim_start_matches("http://");
    let config = town.folder.path().join("commands.toml");
    let text = text.replacen("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{admin}\""), 1);
    std::fs::write(&config, text).unwrap();
    let backup = |file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_signl4-azure-bridge"))
            .arg("--config")
            .arg(&config)
            .args(["backup", file])
            .current_dir(town.folder.path())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    // Relative to where the command runs, while alerts come in and one has not been raised yet.
    let late = town.scene.azure.fire(alert()).unwrap();
    town.scene.azure.webhooks().settled(std::time::Duration::from_secs(20)).await.unwrap();
    let (status, said) = backup("the backup & more.db");
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("bytes, whole"), "{said}");
    let made = town.folder.path().join("the backup & more.db");
    assert_eq!(std::fs::metadata(&made).unwrap().permissions().mode() & 0o777, 0o600);
    let (status, said) = backup("the backup & more.db");
    assert_eq!(status, Some(1));
    assert!(said.contains("overwrites nothing"), "{said}");
    let (status, said) = backup("nowhere/backup.db");
    assert_eq!(status, Some(1));
    assert!(said.contains("no such folder"), "{said}");
    let left = std::fs::read_dir(town.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "nothing is left behind");

    // Restored elsewhere: all rows, and what was due goes out, unless it went out since.
    let restored = tempfile::tempdir().unwrap();
    std::fs::copy(&made, restored.path().join("bridge.db")).unwrap();
    std::fs::copy(town.folder.path().join("bridge.toml"), restored.path().join("bridge.toml")).unwrap();
    std::fs::create_dir(restored.path().join("routes")).unwrap();
    std::fs::write(restored.path().join("routes/all.toml"), crate::town::ONE_ROUTE).unwrap();
    let rows = |path: &std::path::Path| -> Vec<i64> {
        let store = rusqlite::Connection::open(path).unwrap();
        ["event", "alert", "page", "delivery"]
            .map(|table| store.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap())
            .to_vec()
    };
    assert_eq!(rows(&restored.path().join("bridge.db")), rows(&town.folder.path().join("bridge.db")));
    let (scene, clock) = (town.scene.clone(), town.clock.clone());
    town.settle().await;
    town.close().await;
    let town = Town::on(scene, clock, restored, Plan::default().options).await;
    town.settle().await;
    for id in before.iter().chain([&late]) {
        town.page(id);
    }
    town.close().await;
}

#[tokio::test]
async fn a_backup_is_asked_for_with_the_admin_token_and_by_a_whole_path() {
    let town = Town::new().await;
    let file = town.folder.path().join("backup.db");
    let ask = |file: String, token: String| {
        let request = town.http.post(format!("{}/api/backup", town.admin)).query(&[("file", file)]);
        async move { request.bearer_auth(token).send().await.unwrap().status().as_u16() }
    };
    let token = std::fs::read_to_string(town.folder.path().join("bridge.admin-token")).unwrap();
    assert_eq!(ask(file.display().to_string(), "wrong".to_owned()).await, 401);
    assert_eq!(ask("backup.db".to_owned(), token.clone()).await, 400);
    assert!(!file.exists());
    assert_eq!(ask(file.display().to_string(), token).await, 200);
    town.close().await;
}
