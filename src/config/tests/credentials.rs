//! Every kind of `credential`: what is read, and what is refused with which words.

use std::time::Duration;

use super::super::{Credential, Identity, IdentityEndpoint};
use super::{Folder, LEAST};
use crate::certificate::Algorithm;
use crate::certificate::made::Made;
use crate::config::Connection;
use crate::domain::id::ConnectionName;
use crate::domain::timestamp::Timestamp;
use crate::secret::Secret;

const CREDENTIAL: &str = "credential    = { client_secret = { env = \"AZURE_SECRET\" } }\n";
const TENANT: &str = "tenant_id     = \"3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c01\"\n";
const CLIENT: &str = "client_id     = \"3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02\"\n";
const OTHER: &str = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c0f";

fn with(credential: &str) -> Folder {
    assert!(LEAST.contains(CREDENTIAL));
    Folder::new(&LEAST.replacen(CREDENTIAL, &format!("credential = {credential}\n"), 1))
}

/// Neither tenant nor client in the configuration.
fn without_ids(credential: &str, more: &str) -> Folder {
    let text = LEAST.replacen(CREDENTIAL, &format!("credential = {credential}\n{more}"), 1);
    Folder::new(&text.replace(TENANT, "").replace(CLIENT, ""))
}

fn connection(folder: &Folder) -> Connection {
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    config.connections[&ConnectionName::parse("contoso").unwrap()].clone()
}

fn credential(folder: &Folder) -> Credential {
    connection(folder).credential.unwrap()
}

/// The one error, without its place.
fn refused(folder: &Folder) -> String {
    let errors = folder.errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].clone()
}

#[test]
fn two_secrets_stand_in_order_with_the_later_end() {
    for (expires, end) in [
        ("", None),
        (", expires = 2027-05-01", Some("2027-05-01T00:00:00Z")),
        (", expires = [2027-05-01, 2026-12-24]", Some("2027-05-01T00:00:00Z")),
        (", expires = [2026-12-24, 2027-05-01]", Some("2027-05-01T00:00:00Z")),
    ] {
        let folder = with(&format!("{{ client_secret = [{{ env = \"NEW\" }}, {{ file = \"old\" }}]{expires} }}"))
            .set("NEW", "new,with,commas");
        folder.write("old", "old\n");
        let Credential::ClientSecret { secrets, expires } = credential(&folder) else { panic!("another kind") };
        assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["new,with,commas", "old"]);
        assert_eq!(expires.map(|end| end.to_string()).as_deref(), end);
    }
    let folder = Folder::new(LEAST).set("BRIDGE__AZURE__CONTOSO__CREDENTIAL__CLIENT_SECRET", "one,with,commas");
    let Credential::ClientSecret { secrets, .. } = credential(&folder) else { panic!("another kind") };
    assert_eq!(secrets.iter().map(Secret::expose).collect::<Vec<_>>(), ["one,with,commas"]);
    let three = with(
        "{ client_secret = [{ env = \"AZURE_SECRET\" }, { env = \"AZURE_SECRET\" }, { env = \"AZURE_SECRET\" }] }",
    );
    assert!(refused(&three).contains("a list of two while it is rotated"));
    let dates = with("{ client_secret = { env = \"AZURE_SECRET\" }, expires = [2027-05-01, 2027-06-01] }");
    assert!(refused(&dates).contains("more dates than there are secrets"));
}

#[test]
fn a_certificate_is_read_with_its_key_and_its_end() {
    let from = Timestamp::parse("2026-11-24T03:00:00Z").unwrap();
    let made = Made::new(from, from.plus(Duration::from_hours(48))).unwrap();
    for (text, algorithm) in [
        ("{ certificate = { file = \"both.pem\" } }", Algorithm::Ps256),
        ("{ certificate = { file = \"c.pem\" }, key = { file = \"k.pem\" } }", Algorithm::Ps256),
        ("{ certificate = { file = \"both.pem\" }, algorithm = \"RS256\" }", Algorithm::Rs256),
    ] {
        let folder = with(text);
        folder.write("both.pem", &made.both());
        folder.write("c.pem", &made.certificate);
        folder.write("k.pem", &made.key);
        let Credential::Certificate(certificate) = credential(&folder) else { panic!("another kind") };
        assert_eq!(certificate.algorithm(), algorithm);
        assert_eq!(certificate.ends_at().to_string(), "2026-11-26T03:00:00Z");
        assert!(
            folder
                .load()
                .unwrap()
                .watched
                .iter()
                .any(|path| path.ends_with(certificate.source().rsplit('/').next().unwrap()))
        );
    }
    for (text, words) in [
        ("{ certificate = { file = \"c.pem\" } }", "(file c.pem) holds no private key; put the key into the same file"),
        (
            "{ certificate = { file = \"c.pem\" }, key = { file = \"other.pem\" } }",
            "(file c.pem, file other.pem) holds a key that belongs to another certificate",
        ),
        (
            "{ certificate = { file = \"both.pem\" }, expires = 2027-05-01 }",
            "`expires` in `credential` of [azure.contoso] is not needed with a certificate",
        ),
        ("{ certificate = { file = \"both.pem\" }, algorithm = \"HS256\" }", "must be `PS256` or `RS256`"),
        (
            "{ certificate = { file = \"both.pem\" }, client_secret = \"x\" }",
            "has both `client_secret` and `certificate`; leave one",
        ),
        ("{ client_secret = { env = \"AZURE_SECRET\" }, key = { file = \"k.pem\" } }", "unknown key `key`"),
    ] {
        let folder = with(text);
        folder.write("both.pem", &made.both());
        folder.write("c.pem", &made.certificate);
        folder.write("other.pem", &Made::new(from, from).unwrap().key);
        let refused = refused(&folder);
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_federated_token_file_may_come_later() {
    let folder = with("{ federated_token_file = \"token\" }");
    let Credential::FederatedToken { file } = credential(&folder) else { panic!("another kind") };
    assert_eq!(file, folder.path("token"));
    assert!(folder.warnings()[0].contains("which is not there"), "{:?}", folder.warnings());
    folder.write("token", "x");
    assert_eq!(folder.warnings(), [""; 0]);
    assert!(!folder.load().unwrap().watched.contains(&file), "it is read for each request and asks for no reload");
}

#[test]
fn workload_identity_is_told_by_the_platforms_variables() {
    let folder = || {
        without_ids("\"workload_identity\"", "")
            .set("AZURE_FEDERATED_TOKEN_FILE", "/var/run/secrets/azure/tokens/azure-identity-token")
    };
    let whole = folder().set("AZURE_CLIENT_ID", OTHER).set("AZURE_TENANT_ID", "contoso.example.com");
    let read = connection(&whole);
    assert_eq!((read.client_id.as_str(), read.tenant_id.as_str()), (OTHER, "contoso.example.com"));
    let Some(Credential::FederatedToken { file }) = read.credential else { panic!("another kind") };
    assert_eq!(file.to_str(), Some("/var/run/secrets/azure/tokens/azure-identity-token"));
    assert_eq!(read.cloud.authority, "https://login.microsoftonline.com");

    // What the configuration says counts more.
    let both = with("\"workload_identity\"").set("AZURE_FEDERATED_TOKEN_FILE", "/token").set("AZURE_CLIENT_ID", OTHER);
    assert_eq!(connection(&both).client_id, "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02");

    let errors = folder().errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("`tenant_id` is missing in [azure.contoso], and AZURE_TENANT_ID is not set; set one"));
    let wrong = folder().set("AZURE_CLIENT_ID", "me").set("AZURE_TENANT_ID", OTHER);
    let wrong = refused(&wrong);
    assert!(wrong.contains("`AZURE_CLIENT_ID` in the environment, for [azure.contoso], is \"me\""), "{wrong}");
    let bare = with("\"workload_identity\"");
    assert!(refused(&bare).contains("AZURE_FEDERATED_TOKEN_FILE is not set"), "{}", refused(&bare));
}

#[test]
fn the_authority_of_the_environment_names_the_cloud() {
    let custom = "cloud = { authority = \"https://login.example.com\", arm = \"https://arm.example.com\" }\n";
    for (host, more, authority, arm) in [
        // A slash at its end would make a double one in the middle of the address.
        ("https://login.microsoftonline.com/", "", "https://login.microsoftonline.com", "https://management.azure.com"),
        ("login.microsoftonline.us", "", "https://login.microsoftonline.us", "https://management.usgovcloudapi.net"),
        (
            "https://login.chinacloudapi.cn/",
            "",
            "https://login.chinacloudapi.cn",
            "https://management.chinacloudapi.cn",
        ),
        (
            "https://login.partner.microsoftonline.cn",
            "",
            "https://login.partner.microsoftonline.cn",
            "https://management.chinacloudapi.cn",
        ),
        ("https://login.example.com/", custom, "https://login.example.com", "https://arm.example.com"),
        ("http://127.0.0.1:7070/", custom, "http://127.0.0.1:7070", "https://arm.example.com"),
    ] {
        let folder = without_ids("\"environment\"", more)
            .set("AZURE_CLIENT_SECRET", "s3cret")
            .set("AZURE_CLIENT_ID", OTHER)
            .set("AZURE_TENANT_ID", OTHER)
            .set("AZURE_AUTHORITY_HOST", host);
        let read = connection(&folder);
        assert_eq!((read.cloud.authority.as_str(), read.cloud.arm.as_str()), (authority, arm), "{host}");
        assert_eq!(folder.warnings().len(), usize::from(host.starts_with("http://")), "{:?}", folder.warnings());
    }
    for (host, words) in [
        ("https://login.example.com", "of which the other addresses are not known; set `cloud`"),
        ("http://login.microsoftonline.com", "is no https URL"),
        ("https://", "is no https URL"),
    ] {
        let folder = with("\"environment\"").set("AZURE_CLIENT_SECRET", "s3cret").set("AZURE_AUTHORITY_HOST", host);
        assert!(refused(&folder).contains(words), "{}", refused(&folder));
    }
    // It is nobody else's business.
    let plain = Folder::new(LEAST).set("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us");
    assert_eq!(connection(&plain).cloud.arm, "https://management.azure.com");
}

#[test]
fn the_environment_has_a_secret_a_certificate_or_a_token_file() {
    let from = Timestamp::parse("2026-11-24T03:00:00Z").unwrap();
    let made = Made::new(from, from.plus(Duration::from_hours(48))).unwrap();
    let folder = || with("\"environment\"");
    assert!(
        refused(&folder()).contains(
            "none of AZURE_CLIENT_SECRET, AZURE_CLIENT_CERTIFICATE_PATH and AZURE_FEDERATED_TOKEN_FILE is set"
        )
    );
    let all = folder()
        .set("AZURE_CLIENT_SECRET", "s3cret")
        .set("AZURE_CLIENT_CERTIFICATE_PATH", "app.pem")
        .set("AZURE_FEDERATED_TOKEN_FILE", "token");
    let Credential::ClientSecret { secrets, .. } = credential(&all) else { panic!("another kind") };
    assert_eq!(secrets[0].source(), "environment variable AZURE_CLIENT_SECRET");
    let two = || {
        let folder = folder()
            // Set to nothing is not set.
            .set("AZURE_CLIENT_SECRET", "")
            .set("AZURE_CLIENT_CERTIFICATE_PATH", "app.pem")
            .set("AZURE_FEDERATED_TOKEN_FILE", "token");
        folder.write("app.pem", &made.both());
        folder
    };
    let Credential::Certificate(certificate) = credential(&two()) else { panic!("another kind") };
    assert_eq!((certificate.algorithm(), certificate.ends_at().day().as_str()), (Algorithm::Ps256, "2026-11-26"));
    let encrypted = refused(&two().set("AZURE_CLIENT_CERTIFICATE_PASSWORD", "hunter2"));
    assert!(encrypted.contains("encrypted keys are not supported") && !encrypted.contains("hunter2"), "{encrypted}");
    let binary = two();
    std::fs::write(binary.path("app.pem"), [0x30, 0x82, 0xff, 0xfe]).unwrap();
    assert!(refused(&binary).contains("is not text; it must be PEM"), "{}", refused(&binary));
    let one = folder().set("AZURE_FEDERATED_TOKEN_FILE", "token");
    assert!(matches!(credential(&one), Credential::FederatedToken { .. }));
}

#[test]
fn a_managed_identity_needs_no_ids() {
    let resource = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/x";
    for (text, expected) in [
        ("\"managed_identity\"".to_owned(), Identity::SystemAssigned),
        (
            format!("{{ managed_identity = {{ client_id = \"{}\" }} }}", OTHER.to_uppercase()),
            Identity::ClientId(OTHER.to_owned()),
        ),
        (format!("{{ managed_identity = {{ object_id = \"{OTHER}\" }} }}"), Identity::ObjectId(OTHER.to_owned())),
        (
            format!("{{ managed_identity = {{ resource_id = \"{resource}\" }} }}"),
            Identity::ResourceId(resource.to_owned()),
        ),
    ] {
        let read = connection(&without_ids(&text, ""));
        let Some(Credential::ManagedIdentity { identity, endpoint }) = read.credential else { panic!("another kind") };
        assert_eq!(identity, expected);
        assert!(matches!(endpoint, IdentityEndpoint::Imds { host } if host == "http://169.254.169.254"));
        assert_eq!((read.tenant_id.as_str(), read.client_id.as_str()), ("", ""));
    }
    for (text, words) in [
        ("{ managed_identity = {} }", "without any, write credential = \"managed_identity\""),
        ("{ managed_identity = { client_id = \"x\" } }", "which is no id"),
        ("{ managed_identity = { resource_id = \"bridge\" } }", "whole resource id"),
        (
            "{ managed_identity = { name = \"x\", client_id = \"3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c0f\" } }",
            "unknown key `name`",
        ),
    ] {
        let refused = refused(&without_ids(text, ""));
        assert!(refused.contains(words), "{refused}");
    }
    let with_client = refused(&with("\"managed_identity\""));
    assert!(with_client.contains("write { managed_identity = { client_id = \"…\" } }"), "{with_client}");
}

#[test]
fn the_platform_is_found_as_azures_libraries_find_it() {
    let app = [("IDENTITY_ENDPOINT", "http://localhost:42356/msi/token"), ("IDENTITY_HEADER", "h3ader")];
    let arc = [
        ("IDENTITY_ENDPOINT", "http://localhost:40342/metadata/identity/oauth2/token"),
        ("IMDS_ENDPOINT", "http://localhost:40342"),
    ];
    let on = |variables: &[(&str, &str)]| {
        variables.iter().fold(without_ids("\"managed_identity\"", ""), |folder, (name, value)| folder.set(name, value))
    };
    let endpoint = |variables: &[(&str, &str)]| {
        let Credential::ManagedIdentity { endpoint, .. } = credential(&on(variables)) else { panic!("another kind") };
        endpoint
    };
    let IdentityEndpoint::AppService { endpoint: found, header } = endpoint(&app) else { panic!("another platform") };
    assert_eq!((found.as_str(), header.expose()), ("http://localhost:42356/msi/token", "h3ader"));
    let both =
        [app.as_slice(), &[("IMDS_ENDPOINT", "http://localhost:40342"), ("MSI_ENDPOINT", "x"), ("MSI_SECRET", "y")]]
            .concat();
    assert!(matches!(endpoint(&both), IdentityEndpoint::AppService { .. }));
    let IdentityEndpoint::Arc { endpoint: found, keys } = endpoint(&arc) else { panic!("another platform") };
    assert_eq!(
        (found.as_str(), keys.to_str()),
        ("http://localhost:40342/metadata/identity/oauth2/token", Some("/var/opt/azcmagent/tokens"))
    );
    let pod = endpoint(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:7070/")]);
    assert!(matches!(pod, IdentityEndpoint::Imds { host } if host == "http://127.0.0.1:7070"));
    let fabric = [app.as_slice(), &[("IDENTITY_SERVER_THUMBPRINT", "ab")]].concat();
    assert!(refused(&on(&fabric)).contains("Service Fabric"));
    assert!(refused(&on(&[("MSI_ENDPOINT", "http://localhost/msi")])).contains("MSI_ENDPOINT is set"));
    let nowhere = [("IDENTITY_ENDPOINT", "nowhere"), ("IDENTITY_HEADER", "h3ader")];
    assert!(refused(&on(&nowhere)).contains("is told by IDENTITY_ENDPOINT, which is no URL"));
}
