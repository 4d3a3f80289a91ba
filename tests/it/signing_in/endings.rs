//! Secrets that end: told ahead of time, once for each warning, also over restarts; and at once when they are refused.

use signl4_azure_bridge::check;

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn expiring(days: u32) -> impl FnOnce(&Scene, &Path) -> Signing + 'static {
    move |_, _| {
        let end = start_of_time().plus(DAY * days);
        let credential = format!("{{ client_secret = \"{CLIENT_SECRET}\", expires = \"{end}\" }}");
        Signing { credential, ids: true, ..Signing::default() }
    }
}

/// Title and text of the alarms so far.
fn alarms(town: &Town) -> Vec<(String, String)> {
    let alerts = town.scene.signl4.alerts().into_iter();
    alerts.filter(|page| page.title.starts_with("Bridge: ")).map(|page| (page.title, page.text)).collect()
}

fn titles(town: &Town) -> Vec<String> {
    alarms(town).into_iter().map(|(title, _)| title).collect()
}

/// What the housekeeping does every few seconds.
async fn look(town: &Town) {
    town.bridge.alarms.credentials().await;
    town.settle().await;
}

#[tokio::test]
async fn an_end_is_told_30_7_and_1_days_before_each_once() {
    let mut town = town(expiring(40)).await;
    let mut expected: Vec<String> = Vec::new();
    for (days, told) in [
        (0, None),
        (9, None),
        (1, Some("Bridge: [azure.contoso] credential ends in 30 days (2027-01-03)")),
        (10, None),
        (12, None),
        (1, Some("Bridge: [azure.contoso] credential ends in 7 days (2027-01-03)")),
        (5, None),
        (1, Some("Bridge: [azure.contoso] credential ends in 1 day (2027-01-03)")),
        (1, Some("Bridge: [azure.contoso] credential ended on 2027-01-03")),
        (3, None),
    ] {
        town.clock.advance(DAY * days);
        expected.extend(told.map(str::to_owned));
        for _ in 0..2 {
            look(&town).await;
            assert_eq!(titles(&town), expected, "after {days} days more");
        }
        // A restart forgets nothing and tells nothing twice.
        town = town.restart().await;
        look(&town).await;
        assert_eq!(titles(&town), expected, "after a restart");
    }
    let (_, text) = &alarms(&town)[0];
    assert!(text.contains(&format!("az ad app credential reset --append --id {CLIENT}")), "{text}");
    let raised = town.scene.signl4.read(|state| state.calls_of(Operation::Webhook).map(Call::json).collect::<Vec<_>>());
    assert_eq!(raised.len(), 4);
    assert!(raised.iter().all(|body| body["X-S4-AlertingScenario"] == "single_ack"), "{raised:?}");
    town.close().await;
}

#[tokio::test]
async fn an_end_that_was_always_near_is_told_once_with_the_latest_warning() {
    let town = town(expiring(5)).await;
    look(&town).await;
    look(&town).await;
    assert_eq!(titles(&town), ["Bridge: [azure.contoso] credential ends in 5 days (2026-11-29)"]);
    town.close().await;
}

#[tokio::test]
async fn the_end_stands_in_readyz_metrics_and_check() {
    let town = town(|scene, folder| {
        let made = made(20);
        scene.azure.register_certificate(CLIENT, &made.certificate).unwrap();
        write(folder, "app.pem", &made.both());
        let credential = "{ certificate = { file = \"app.pem\" } }".to_owned();
        Signing { credential, ids: true, ..Signing::default() }
    })
    .await;
    let get =
        async |path: &str| town.http.get(format!("{}{path}", town.admin)).send().await.unwrap().text().await.unwrap();
    let ready: Value = serde_json::from_str(&get("/readyz").await).unwrap();
    let credential = ready["credentials"].as_array().unwrap().iter().find(|it| it["side"] == "azure").unwrap();
    assert_eq!(credential["secret_expires_at"], "2026-12-14T03:00:00Z");
    assert_eq!(credential["secret_expires_in_days"], 20);
    let line = "bridge_credential_expires_seconds{credential=\"[azure.contoso] credential\"} 1728000";
    let metrics = get("/metrics").await;
    assert!(metrics.lines().any(|said| said == line), "{metrics}");
    let run = |now| {
        let mut out = Vec::new();
        let path = town.folder.path().join("bridge.toml");
        check::run(&path, None, &BTreeMap::new(), now, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let warned = run(town.clock.now());
    assert!(
        warned.contains("`credential` in [azure.contoso] ends in 20 days (2026-12-14): make a new certificate"),
        "{warned}"
    );
    assert!(warned.contains("expires 2026-12-14T03:00:00Z"), "{warned}");
    let early = run(town.clock.now().minus(DAY * 11));
    assert!(early.contains("is not valid before 2026-11-24T03:00:00Z") && !early.contains("ends in"), "{early}");
    look(&town).await;
    town.close().await;
}

#[tokio::test]
async fn an_expired_secret_is_told_at_once_with_the_mend_and_once() {
    let town = town(|scene, _| {
        scene.azure.expire_secrets(CLIENT, start_of_time());
        Signing { credential: format!("{{ client_secret = \"{CLIENT_SECRET}\" }}"), ids: true, ..Signing::default() }
    })
    .await;
    // Nothing waits for Azure yet: the credential is tried all the same, and its refusal told.
    town.bridge.tokens.tend();
    town.bridge.tokens.settled().await;
    look(&town).await;
    assert_eq!(titles(&town), ["Bridge: [azure.contoso] credential is refused"]);
    let (_, text) = &alarms(&town)[0];
    assert!(text.contains("AADSTS7000222: the client secret has expired: create a new one"), "{text}");

    // A delivery that finds the same trouble says nothing new, whatever its subscription.
    let id = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    look(&town).await;
    assert_eq!(titles(&town).len(), 1, "{:?}", titles(&town));
    town.after(Duration::from_hours(1)).await;
    look(&town).await;
    assert_eq!(titles(&town).len(), 2, "an hour later it is told again");
    town.scene.azure.rotate_secret(CLIENT, CLIENT_SECRET);
    town.after(Duration::from_mins(5)).await;
    assert_eq!(town.azure_state(&id), AlertState::Acknowledged);
    town.close().await;
}

#[tokio::test]
async fn access_denied_is_told_at_once_with_the_mend() {
    let town = Town::new().await;
    let id = town.scene.azure.fire(AlertSpec::metric("CPU", "vm-web-1", Metric::default())).unwrap();
    town.settle().await;
    town.scene.azure.assign_role(CLIENT, SUBSCRIPTION, None);
    town.scene.signl4.acknowledge(&town.page(&id).id, JANE, None).unwrap();
    town.settle().await;
    let [(title, text)] = &alarms(&town)[..] else { panic!("{:?}", alarms(&town)) };
    assert_eq!(title, "Bridge: Azure refuses [azure.contoso]: acknowledgements wait");
    for words in
        ["403 AuthorizationFailed", "Microsoft.AlertsManagement/alerts/read and …/changestate/action", SUBSCRIPTION]
    {
        assert!(text.contains(words), "{text}");
    }
    town.scene.azure.assign_role(CLIENT, SUBSCRIPTION, Some(Role::Bridge));
    town.after(Duration::from_mins(2)).await;
    town.close().await;
}
