//! What a good configuration becomes.

use std::time::Duration;

use super::super::{Cloud, Credential, Pacing, SecureWebhook};
use super::{Folder, LEAST, SUB};
use crate::domain::event::Severity;
use crate::domain::id::{ConnectionName, SubscriptionId, TeamName};
use crate::domain::pace::Events;
use crate::domain::reading::PollRaises;
use crate::domain::route::{CloseInAzure, Comments, Expected, OnResolved, Scenario, SystemClose};
use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

fn team(name: &str) -> TeamName {
    TeamName::parse(name).unwrap()
}

#[test]
fn defaults_fill_the_least_configuration() {
    let folder = Folder::new(LEAST);
    let config = folder.load().unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.server.admin_listen.to_string(), "127.0.0.1:9090");
    assert!(config.server.public_url.is_none() && config.server.admin_token.is_none());
    assert_eq!(config.store.path, folder.path("bridge.db"));
    assert_eq!(config.store.retention, Duration::from_hours(35 * 24));
    assert_eq!(config.alarm.team, team("ops"));
    assert_eq!(config.rules.fallback_team, team("ops"));
    let connection = &config.connections[&ConnectionName::parse("contoso").unwrap()];
    assert_eq!(connection.subscriptions, [SubscriptionId::new(SUB)].into());
    assert_eq!(connection.cloud, Cloud::public());
    assert_eq!(connection.comments, Comments::All);
    assert_eq!(
        connection.tokens.iter().map(crate::secret::Secret::expose).collect::<Vec<_>>(),
        ["azure-webhook-token-0123456789"]
    );
    let ops = &config.teams[&team("ops")];
    assert_eq!((ops.account.as_str(), ops.base_url.as_str()), ("ops", "https://connect.signl4.com"));
    assert_eq!(ops.secret.expose(), "teamsecret99");
    assert!(!ops.has_api());
    assert_eq!(ops.pace, None);
    assert_eq!(folder.warnings(), [""; 0]);
}

#[test]
fn every_key_is_read() {
    let folder = Folder::new(&format!(
        r#"
[server]
listen       = "0.0.0.0:8000"
admin_listen = "[::1]:9000"
public_url   = "https://bridge.example.com/"
admin_token  = {{ file = "secrets/admin" }}
[store]
url       = "sqlite:///var/lib/bridge/bridge.db"
retention = "60d"
[routing]
fallback_team = "ops"
[alarm]
team = "platform"
[azure.contoso]
tenant_id     = "contoso.example.com"
client_id     = "3F0E5A52-8f0b-4b7e-a0d5-6b1f3f1d2c02"
credential    = {{ client_secret = {{ file = "secrets/azure" }}, expires = 2027-05-01 }}
subscriptions = ["{}"]
cloud         = {{ authority = "http://127.0.0.1:9800/", arm = "http://localhost:9801" }}
token         = [{{ env = "AZURE_TOKEN" }}, {{ env = "NEXT_AZURE_TOKEN" }}]
comments      = "with_changes"
[signl4.ops]
secret   = {{ file = "secrets/team" }}
token    = {{ env = "SIGNL4_TOKEN" }}
base_url = "http://127.0.0.1:9802"
account  = "acme"
api_key  = {{ env = "AZURE_SECRET" }}
user_id  = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c04"
poll     = "off"
pace     = "off"
storm    = "off"
[signl4.platform]
secret = {{ env = "TEAM_SECRET" }}
token  = {{ env = "SIGNL4_TOKEN" }}
"#,
        SUB.to_uppercase()
    ))
    .set("NEXT_AZURE_TOKEN", "next-azure-webhook-token-0123456789");
    folder.write("secrets/admin", "operator-token-0123456789\n");
    folder.write("secrets/azure", "client secret with blanks \r\n");
    folder.write("secrets/team", "abc123\n\n");
    folder.write("routes/90.toml", "[[route]]\nname = \"rest\"\nteam = \"ops\"\n");
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:8000");
    assert_eq!(config.server.admin_listen.to_string(), "[::1]:9000");
    assert_eq!(config.server.public_url.as_deref(), Some("https://bridge.example.com"));
    assert_eq!(config.server.admin_token.as_ref().unwrap().expose(), "operator-token-0123456789");
    assert_eq!(config.store.path.to_str(), Some("/var/lib/bridge/bridge.db"));
    assert_eq!(config.store.retention, Duration::from_hours(60 * 24));
    assert_eq!(config.alarm.team, team("platform"));
    let connection = &config.connections[&ConnectionName::parse("contoso").unwrap()];
    assert_eq!(connection.tenant_id, "contoso.example.com");
    assert_eq!(connection.client_id, "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02");
    let Some(Credential::ClientSecret { secrets, expires }) = &connection.credential else { panic!("no credential") };
    assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["client secret with blanks "]);
    assert_eq!(*expires, Timestamp::parse("2027-05-01T00:00:00Z"));
    assert_eq!(connection.cloud.authority, "http://127.0.0.1:9800");
    assert_eq!(connection.cloud.audience, "http://localhost:9801");
    assert_eq!(connection.tokens.len(), 2);
    assert_eq!(connection.comments, Comments::WithChanges);
    let polling = (connection.poll, connection.poll_raises, connection.look_back);
    assert_eq!(polling, (Some(Duration::from_mins(1)), PollRaises::Auto, Duration::from_hours(1)));
    let ops = &config.teams[&team("ops")];
    assert_eq!((ops.account.as_str(), ops.secret.expose()), ("acme", "abc123"));
    assert!(ops.has_api());
    assert_eq!(ops.pace, Some(Pacing::Off));
    let traits = &config.rules.teams[&team("ops")];
    assert!(traits.has_api && traits.own_user_id.as_deref() == Some("3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c04"));
    assert!(config.rules.connections[&ConnectionName::parse("contoso").unwrap()].can_write);
    let watched =
        ["bridge.toml", "routes", "secrets/admin", "secrets/azure", "secrets/team"].map(|name| folder.path(name));
    assert_eq!(config.watched, watched.into());
}

#[test]
fn a_pace_of_which_one_half_is_given_has_the_documented_other_half() {
    for (pace, expected) in [
        ("{ per_15s = 10 }", Events { per_15s: 10, per_minute: 600 }),
        ("{ per_minute = 240 }", Events { per_15s: 150, per_minute: 240 }),
        ("{}", Events { per_15s: 150, per_minute: 600 }),
    ] {
        let folder = Folder::new(&format!("{LEAST}pace = {pace}\n"));
        let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.teams[&team("ops")].pace, Some(Pacing::Events(expected)), "{pace}");
        assert_eq!(folder.warnings(), [""; 0]);
    }
}

#[test]
fn callers_are_known_by_entra_tokens_networks_and_proxies() {
    let folder = Folder::new(&format!(
        r#"
[server]
trusted_proxies = ["127.0.0.1/32", "fd00::/8"]
[azure.contoso]
tenant_id     = "3F0E5A52-8f0b-4b7e-a0d5-6b1f3f1d2c01"
subscriptions = ["{SUB}"]
networks      = ["198.51.100.7", "203.0.113.9/24"]
secure_webhook = {{ audience = ["api://bridge", "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c09"] }}
[azure.fabrikam]
subscriptions = ["{SUB}"]
token          = {{ env = "AZURE_TOKEN" }}
secure_webhook = {{ audience = "api://bridge", tenant = "Fabrikam.example.com", caller = "3F0E5A52-8f0b-4b7e-a0d5-6b1f3f1d2c08", require = true }}
[signl4.ops]
secret   = {{ env = "TEAM_SECRET" }}
token    = {{ env = "SIGNL4_TOKEN" }}
networks = "2001:db8::/32"
"#
    ))
    .set("BRIDGE__AZURE__FABRIKAM__NETWORKS", "192.0.2.1,192.0.2.8/29");
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    let shown = |networks: &[ipnet::IpNet]| networks.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(shown(&config.server.trusted_proxies), ["127.0.0.1/32", "fd00::/8"]);
    let contoso = &config.connections[&ConnectionName::parse("contoso").unwrap()];
    assert_eq!(shown(&contoso.networks), ["198.51.100.7/32", "203.0.113.0/24"]);
    assert_eq!(
        contoso.secure_webhook,
        Some(SecureWebhook {
            tenant: "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c01".to_owned(),
            audience: ["api://bridge", "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c09"].map(str::to_owned).into(),
            caller: "461e8683-5575-4561-ac7f-899cc907d62a".to_owned(),
            require: false,
        })
    );
    assert!(contoso.tokens.is_empty());
    let fabrikam = &config.connections[&ConnectionName::parse("fabrikam").unwrap()];
    assert_eq!(shown(&fabrikam.networks), ["192.0.2.1/32", "192.0.2.8/29"]);
    let settings = fabrikam.secure_webhook.as_ref().unwrap();
    assert_eq!((settings.tenant.as_str(), settings.require), ("fabrikam.example.com", true));
    assert_eq!(settings.caller, "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c08");
    assert_eq!(shown(&config.teams[&team("ops")].networks), ["2001:db8::/32"]);
}

#[test]
fn only_what_the_configuration_names_is_called() {
    let folder = Folder::new(LEAST)
        .set("BRIDGE__ALARM__HEARTBEAT", "https://ping.example.com/heartbeat-secret")
        .set("BRIDGE__SIGNL4__OPS__BASE_URL", "https://signl4.example.com");
    let called = folder.load().unwrap().called();
    let expected = [
        "https://login.microsoftonline.com",
        "https://management.azure.com",
        "https://ping.example.com/heartbeat-secret",
        "https://signl4.example.com",
    ];
    assert_eq!(called, expected.map(str::to_owned).into());
}

#[test]
fn the_three_clouds_have_their_addresses() {
    for (name, arm, portal) in [
        ("public", "https://management.azure.com", "https://portal.azure.com"),
        ("usgov", "https://management.usgovcloudapi.net", "https://portal.azure.us"),
        ("china", "https://management.chinacloudapi.cn", "https://portal.azure.cn"),
    ] {
        let folder = Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__CLOUD", name);
        let config = folder.load().unwrap();
        let cloud = &config.connections[&ConnectionName::parse("contoso").unwrap()].cloud;
        assert_eq!((cloud.arm.as_str(), cloud.portal.as_str()), (arm, portal));
    }
}

#[test]
fn routes_come_in_name_order_with_every_key() {
    let folder = Folder::new(LEAST);
    folder.write("routes/.hidden.toml", "no toml at all");
    folder.write("routes/notes.txt", "no toml at all");
    folder.write("routes/b.toml", "[[route]]\nname = \"last\"\npage = false\n");
    folder.write(
        "routes/a.toml",
        &format!(
            r#"# payments
[[route]]
name  = "payments"
team  = "ops"
service  = "Payments"
scenario = {{ sev0 = "emergency", default = "single_ack" }}
grace    = "2m"
on_resolved = "ignore"
close_in_azure = "never"
system_close = "close"
continue = true
match = {{ scope = "/subscriptions/{SUB}/resourceGroups/RG/", severity = ["Sev0", "sev1"], custom = {{ owner = ["a*", "b"] }}, not = {{ rule = "test*" }} }}

[[route.example]]
alert = {{ target = "/subscriptions/{SUB}/resourceGroups/RG/providers/Microsoft.Sql/servers/db1", severity = "Sev1", custom = {{ owner = "b" }} }}
team  = "ops"
[[route.example]]
alert = {{ resource_type = "Microsoft.Sql/servers/databases", resource = "Orders", connection = "contoso" }}
matches = false

[[route]]
name = "second"
"#
        ),
    );
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<(&str, &str, usize)> =
        config.rules.routes.iter().map(|route| (route.name.as_str(), route.file.as_str(), route.line)).collect();
    assert_eq!(names, [("payments", "a.toml", 2), ("second", "a.toml", 21), ("last", "b.toml", 1)]);
    let route = &config.rules.routes[0];
    assert_eq!(route.criteria.scope, [format!("/subscriptions/{SUB}/resourcegroups/rg")]);
    assert_eq!(route.criteria.severity, [Severity::Sev0, Severity::Sev1]);
    assert!(route.criteria.custom["owner"][0].matches("Alpha"));
    assert!(route.criteria.not.is_some() && route.continues);
    assert_eq!(route.service.get(None).map(String::as_str), Some("Payments"));
    assert_eq!(route.scenario.get(Some(Severity::Sev0)), Some(&Scenario::Emergency));
    assert_eq!(route.scenario.get(Some(Severity::Sev3)), Some(&Scenario::SingleAck));
    assert_eq!(route.policy.grace, Duration::from_mins(2));
    assert_eq!(
        (route.policy.on_resolved, route.policy.close_in_azure, route.policy.system_close),
        (OnResolved::Ignore, CloseInAzure::Never, SystemClose::Close)
    );
    assert_eq!(route.examples[0].expected, Expected::Paged(team("ops")));
    assert_eq!(route.examples[0].line, 14);
    let sketched = &route.examples[1];
    assert_eq!(sketched.expected, Expected::Left);
    assert_eq!(
        sketched.notification.targets,
        [format!(
            "/subscriptions/{SUB}/resourcegroups/example/providers/microsoft.sql/servers/orders/databases/orders"
        )]
    );
    assert!(config.rules.routes[2].policy.records_only);
}

#[test]
fn no_secret_is_in_the_debug_form_of_a_configuration() {
    let folder = Folder::new(LEAST).set("BRIDGE__ALARM__HEARTBEAT", "https://example.com/ping/heartbeat-secret");
    let config = folder.load().unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("contoso"));
    for secret in
        ["azure-client-secret-value", "azure-webhook-token", "teamsecret99", "signl4-webhook-token", "heartbeat-secret"]
    {
        assert!(!shown.contains(secret), "{secret} is shown");
    }
}
