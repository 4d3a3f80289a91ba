//! Secrets replaced while the bridge runs, without a restart: by the watcher, and by what reads anew each time.

use signl4_azure_bridge::simulator::azure::AppSecret;

use super::*;

/// Puts a file in the place of another, as operators and Kubernetes do, and waits until the bridge has taken it over.
async fn replace(town: &Town, name: &str, text: &str) {
    let before = town.bridge.config.load_full();
    let path = town.folder.path();
    write(path, ".new", text);
    std::fs::rename(path.join(".new"), path.join(name)).unwrap();
    let taken = tokio::time::timeout(Duration::from_secs(20), async {
        while std::sync::Arc::ptr_eq(&before, &town.bridge.config.load_full()) {
            tokio::task::yield_now().await;
        }
    });
    assert!(taken.await.is_ok(), "the watcher saw the new {name}");
}

#[tokio::test]
async fn a_new_secret_file_is_taken_without_a_restart() {
    let town = town(|_, folder| {
        write(folder, "secret", CLIENT_SECRET);
        let credential = "{ client_secret = { file = \"secret\" } }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    })
    .await;
    both_ways_once(&town).await;
    town.scene.azure.rotate_secret(CLIENT, "rotated~client~secret");
    town.scene.azure.revoke_tokens();
    let id = town.scene.azure.fire(AlertSpec::metric("Memory", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    assert_eq!(town.azure_state(&id), AlertState::New, "the old secret is refused, and nothing is lost");
    replace(&town, "secret", "rotated~client~secret\n").await;
    town.after(Duration::from_mins(5)).await;
    assert_eq!(town.azure_state(&id), AlertState::Acknowledged);
    town.close().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart() {
    let town = town(|scene, folder| {
        let made = made(365);
        scene.azure.register_certificate(CLIENT, &made.certificate).unwrap();
        write(folder, "app.pem", &made.both());
        let credential = "{ certificate = { file = \"app.pem\" } }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    })
    .await;
    both_ways_once(&town).await;
    let fresh = made(730);
    town.scene.azure.change_app(CLIENT, |app| app.certificates.clear());
    town.scene.azure.register_certificate(CLIENT, &fresh.certificate).unwrap();
    town.scene.azure.revoke_tokens();
    replace(&town, "app.pem", &fresh.both()).await;
    both_ways_again(&town).await;
    let ends: Vec<_> =
        town.bridge.tokens.status().into_iter().filter_map(|status| status.secret_expires_in_days).collect();
    assert_eq!(ends, [730]);
    town.close().await;
}

#[tokio::test]
async fn a_new_federated_token_is_read_for_the_next_request() {
    let town = town(|scene, folder| {
        federate(scene);
        write(folder, "token", &cluster_token("one"));
        let credential = "{ federated_token_file = \"token\" }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    })
    .await;
    both_ways_once(&town).await;
    write(town.folder.path(), "token", &cluster_token("two"));
    town.scene.azure.revoke_tokens();
    both_ways_again(&town).await;
    let assertions: Vec<_> =
        calls(&town, Operation::Token).iter().map(|call| form(call)["client_assertion"].clone()).collect();
    assert_eq!(assertions, [cluster_token("one"), cluster_token("two")]);
    town.close().await;
}

/// As [`both_ways_once`], with a second alert.
async fn both_ways_again(town: &Town) {
    both_ways_once(town).await;
}

#[tokio::test]
async fn of_two_secrets_either_may_be_the_one_that_works() {
    for good in ["new~secret", "old~secret"] {
        let town = town(move |scene, folder| {
            scene.azure.change_app(CLIENT, |app| {
                app.secrets = vec![AppSecret { value: good.to_owned(), expires_at: None }];
                // The other is known and has expired: AADSTS7000222 instead of 7000215.
                let other = if good == "new~secret" { "old~secret" } else { "new~secret" };
                app.secrets.push(AppSecret { value: other.to_owned(), expires_at: Some(start_of_time()) });
            });
            write(folder, "new", "new~secret");
            write(folder, "old", "old~secret");
            let credential = "{ client_secret = [{ file = \"new\" }, { file = \"old\" }] }".to_owned();
            Signing { credential, ids: true, ..Signing::default() }
        })
        .await;
        both_ways_once(&town).await;
        let shown: Vec<_> =
            calls(&town, Operation::Token).iter().map(|call| form(call)["client_secret"].clone()).collect();
        let expected: &[&str] = if good == "new~secret" { &["new~secret"] } else { &["new~secret", "old~secret"] };
        assert_eq!(shown, expected);
        town.close().await;
    }
}
