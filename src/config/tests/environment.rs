//! The environment form of the keys.

use super::super::Credential;
use super::{Folder, LEAST, SUB};
use crate::domain::id::{ConnectionName, TeamName};

const OTHER: &str = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c0f";

#[test]
fn a_variable_wins_over_the_file() {
    let folder = Folder::new(&format!("[server]\nlisten = \"127.0.0.1:1\"\n{LEAST}"))
        .set("BRIDGE__SERVER__LISTEN", "127.0.0.1:7000")
        .set("BRIDGE__SIGNL4__OPS__SECRET", "fromvariable")
        .set("BRIDGE__AZURE__CONTOSO__CREDENTIAL__EXPIRES", "2027-05-01");
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.server.listen.port(), 7000);
    let ops = &config.teams[&TeamName::parse("ops").unwrap()];
    assert_eq!(ops.secret.expose(), "fromvariable");
    assert_eq!(ops.secret.source(), "environment variable BRIDGE__SIGNL4__OPS__SECRET");
    let connection = &config.connections[&ConnectionName::parse("contoso").unwrap()];
    let Some(Credential::ClientSecret { secrets, expires }) = &connection.credential else { panic!("no credential") };
    assert_eq!((secrets[0].expose(), expires.is_some()), ("azure-client-secret-value", true));
    assert_eq!(folder.warnings(), [""; 0]);
}

#[test]
fn names_are_found_without_regard_to_case_and_dashes() {
    let text = LEAST.replace("[azure.contoso]", "[azure.Contoso-West]").replace("[signl4.ops]", "[signl4.ops__night]");
    let config = Folder::new(&text)
        .set("BRIDGE__AZURE__CONTOSO_WEST__COMMENTS", "off")
        .set("BRIDGE__SIGNL4__OPS__NIGHT__ACCOUNT", "acme")
        .load()
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.connections.len(), 1);
    assert_eq!(config.teams[&TeamName::parse("ops__night").unwrap()].account.as_str(), "acme");
}

#[test]
fn lists_are_toml_or_json_or_divided_by_commas() {
    for text in [
        format!("{SUB},{OTHER}"),
        format!(" {SUB} , {OTHER} ,"),
        format!("['{SUB}', '{OTHER}']"),
        format!("[\"{SUB}\",\"{OTHER}\"]"),
    ] {
        let config = Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__SUBSCRIPTIONS", &text).load();
        let config = config.unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(config.connections[&ConnectionName::parse("contoso").unwrap()].subscriptions.len(), 2, "{text}");
    }
}

#[test]
fn tables_are_toml_or_json_or_one_variable_a_key() {
    let json = r#"{"client_secret": {"env": "AZURE_SECRET"}}"#;
    let toml = r#"{ client_secret = { env = "AZURE_SECRET" }, expires = 2027-05-01 }"#;
    for folder in [
        Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__CREDENTIAL", json),
        Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__CREDENTIAL", toml),
        Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__CREDENTIAL__CLIENT_SECRET__ENV", "AZURE_SECRET"),
        Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__CREDENTIAL__CLIENT_SECRET", "azure-client-secret-value"),
    ] {
        let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
        let connection = &config.connections[&ConnectionName::parse("contoso").unwrap()];
        let Some(Credential::ClientSecret { secrets, .. }) = &connection.credential else { panic!("no credential") };
        assert_eq!((secrets.len(), secrets[0].expose()), (1, "azure-client-secret-value"));
    }
}

#[test]
fn a_secrets_origin_is_replaced_and_not_mixed() {
    let folder = Folder::new(LEAST).set("BRIDGE__SIGNL4__OPS__SECRET__FILE", "team");
    folder.write("team", "fromfile\n");
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.teams[&TeamName::parse("ops").unwrap()].secret.expose(), "fromfile");
}

#[test]
fn no_file_is_needed_when_the_environment_says_everything() {
    let folder = Folder::bare()
        .set("BRIDGE__AZURE__CONTOSO__TENANT_ID", "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c01")
        .set("BRIDGE__AZURE__CONTOSO__CLIENT_ID", "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02")
        .set("BRIDGE__AZURE__CONTOSO__CREDENTIAL__CLIENT_SECRET", "value")
        .set("BRIDGE__AZURE__CONTOSO__SUBSCRIPTIONS", SUB)
        .set("BRIDGE__AZURE__CONTOSO__TOKEN", "one-token-of-enough-characters,another-token-of-enough-characters")
        .set("BRIDGE__SIGNL4__OPS__SECRET", "abc123")
        .set("BRIDGE__SIGNL4__OPS__TOKEN", "a-third-token-of-enough-characters");
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.connections[&ConnectionName::parse("contoso").unwrap()].tokens.len(), 2);
    assert_eq!(folder.warnings(), [""; 0]);
}

#[test]
fn unknown_variables_are_errors_with_the_nearest_one() {
    for (name, value, expected) in [
        (
            "BRIDGE__SERVER__LISTN",
            "127.0.0.1:1",
            "unknown key `listn` in [server]; did you mean `BRIDGE__SERVER__LISTEN`?",
        ),
        ("BRIDGE__SEVER__LISTEN", "127.0.0.1:1", "there is no section [sever]; did you mean `BRIDGE__SERVER__LISTEN`?"),
        ("BRIDGE__SERVER", "x", "names no key of [server]; write it as `BRIDGE__SERVER__KEY`"),
        ("BRIDGE__AZURE__CONTOSO", "x", "names no key of [azure]; write it as `BRIDGE__AZURE__NAME__KEY`"),
        (
            "BRIDGE__AZURE__CONTOSO__TENANT",
            "x",
            "unknown key `tenant` in [azure.contoso]; did you mean `BRIDGE__AZURE__CONTOSO__TENANT_ID`?",
        ),
        (
            "BRIDGE__STORE__RETENTION",
            "5d",
            "`retention` in [store] must be at least \"31d\": Azure may resolve an alert that is 30 days old",
        ),
        ("BRIDGE__STORE__URL", "", "`url` in [store] is empty; give it a value or leave the key out"),
    ] {
        let errors = Folder::new(LEAST).set(name, value).errors();
        assert_eq!(errors, [format!("environment variable {name}: {expected}")]);
    }
}

#[test]
fn a_misspelt_name_says_what_is_missing_and_which_names_there_are() {
    let errors = Folder::new(LEAST).set("BRIDGE__SIGNL4__OSP__ACCOUNT", "acme").errors();
    assert!(
        errors[0].starts_with("environment variable BRIDGE__SIGNL4__OSP__ACCOUNT: `secret` is missing in [signl4.osp]"),
        "{errors:?}"
    );
}
