//! Every refusal names place and mend; several are reported in one go; no secret is in a message.

use super::{Folder, LEAST, SUB, chmod};

/// A configuration where one line of [`LEAST`] is replaced, or lines are added in front.
fn with(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    LEAST.replacen(from, to, 1)
}

/// A connection that only listens, by Entra tokens of nobody knows whom.
const NO_IDS: &str = r#"
[azure.contoso]
subscriptions = ["3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c03"]
secure_webhook = { audience = "api://x" }
[signl4.ops]
secret = { env = "TEAM_SECRET" }
token  = { env = "SIGNL4_TOKEN" }
"#;

fn front(lines: &str) -> String {
    format!("{lines}{LEAST}")
}

#[test]
fn each_error_names_place_and_mend() {
    let credential = "credential    = { client_secret = { env = \"AZURE_SECRET\" } }";
    let subscriptions = format!("subscriptions = [\"{SUB}\"]");
    let azure_token = "token         = { env = \"AZURE_TOKEN\" }";
    let secret = "secret = { env = \"TEAM_SECRET\" }";
    for (text, expected) in [
        (
            front("[server]\nlistn = \"127.0.0.1:1\""),
            "bridge.toml:2:1: unknown key `listn` in [server]; did you mean `listen`?",
        ),
        (front("[sever]\nlisten = 1"), "bridge.toml:1:2: unknown section `sever`; did you mean [server]?"),
        (
            front("[server]\nlisten = \"8080\""),
            "bridge.toml:2:10: `listen` in [server] is \"8080\", which is no address; write IP and port, such as \"127.0.0.1:8080\"",
        ),
        (
            front("[server]\nlisten = 8080"),
            "bridge.toml:2:10: `listen` in [server] must be a text in quotes and not an integer",
        ),
        (
            front("[server]\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:1\""),
            "bridge.toml:3:16: `admin_listen` in [server] is the address of both `listen` and `admin_listen`; give them different ports",
        ),
        (
            front("[server]\nadmin_listen = \"0.0.0.0:9090\""),
            "bridge.toml:2:16: `admin_listen` in [server] is 0.0.0.0:9090, which other machines reach; set `admin_token` or listen on 127.0.0.1:9090",
        ),
        (
            front("[server]\npublic_url = \"bridge.example.com\""),
            "bridge.toml:2:14: `public_url` in [server] is no URL; write it with https:// and a host",
        ),
        (
            front("[store]\nurl = \"postgres://bridge:hunter2@db/bridge\""),
            "bridge.toml:2:7: `url` in [store] names PostgreSQL, which is not available yet; use \"sqlite:bridge.db\"",
        ),
        (
            front("[store]\nurl = \"bridge.db\""),
            "bridge.toml:2:7: `url` in [store] must begin with sqlite:, for example \"sqlite:bridge.db\"",
        ),
        (
            front("[store]\nurl = \"sqlite::memory:\""),
            "bridge.toml:2:7: `url` in [store] must name a file on a local disk, for example \"sqlite:bridge.db\"",
        ),
        (
            front("[store]\nretention = \"30d\""),
            "bridge.toml:2:13: `retention` in [store] must be at least \"31d\": Azure may resolve an alert that is 30 days old",
        ),
        (
            front("[store]\nretention = 35"),
            "bridge.toml:2:13: `retention` in [store] needs a unit: write \"35s\", \"35m\", \"35h\" or \"35d\"",
        ),
        (
            front("[store]\nretention = \"a month\""),
            "bridge.toml:2:13: `retention` in [store] is \"a month\", which is no duration; write one such as \"30s\", \"2m\", \"1h30m\" or \"35d\"",
        ),
        (
            front("[routing]\nfallback_team = \"opps\""),
            "bridge.toml:2:17: `fallback_team` in [routing] names the team `opps`, which is not configured; did you mean `ops`?",
        ),
        (
            front("[alarm]\nteam = \"platform\""),
            "bridge.toml:2:8: `team` in [alarm] names the team `platform`, which is not configured; add [signl4.platform] or name one of ops",
        ),
        (
            format!("{LEAST}[signl4.night]\n{secret}\ntoken = {{ env = \"SIGNL4_TOKEN\" }}\n"),
            "bridge.toml: `fallback_team` is missing in [routing]; with several teams (night, ops) say who gets what no route takes",
        ),
        (
            with("[signl4.ops]", "[signl4.\"o p s\"]"),
            "bridge.toml:9:9: `o p s` is not a name: use 1 to 64 letters, digits, `-` or `_`",
        ),
        (
            with("client_id     = \"3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02\"\n", ""),
            "bridge.toml:2:8: `client_id` is missing in [azure.contoso]; add `client_id = \"00000000-0000-0000-0000-000000000000\"` (or set BRIDGE__AZURE__CONTOSO__CLIENT_ID)",
        ),
        (
            with("\"3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02\"", "\"my app\""),
            "bridge.toml:4:17: `client_id` in [azure.contoso] is \"my app\", which is no id such as 00000000-0000-0000-0000-000000000000; copy it from the Azure portal",
        ),
        (
            with(&subscriptions, "subscriptions = []"),
            "bridge.toml:6:17: `subscriptions` in [azure.contoso] is an empty list; name at least one or leave the key out",
        ),
        (
            with(&subscriptions, &format!("subscriptions = [\"{SUB}\", \"{SUB}\"]")),
            &format!("bridge.toml:6:58: `subscriptions` in [azure.contoso] has {SUB} twice; leave one"),
        ),
        (
            with(credential, "credential = \"managed-identity\""),
            "bridge.toml:5:14: `credential` in [azure.contoso] must be { client_secret = { file = \"…\" } } or one of \"managed_identity\", \"workload_identity\", \"environment\"; did you mean \"managed_identity\"?",
        ),
        (
            with(credential, "credential = \"hunter2\""),
            "bridge.toml:5:14: `credential` in [azure.contoso] must be { client_secret = { file = \"…\" } } or one of \"managed_identity\", \"workload_identity\", \"environment\"; a secret does not stand there by itself",
        ),
        (
            with(credential, "credential = { certificate = { env = \"AZURE_SECRET\" } }"),
            "bridge.toml:5:30: `certificate` in `credential` of [azure.contoso] (environment variable AZURE_SECRET) holds no private key; put the key into the same file, or name its own with `key`",
        ),
        (
            with(credential, "credential = { client_secret = { env = \"AZURE_SECRET\" }, expires = \"soon\" }"),
            "bridge.toml:5:68: `expires` in `credential` of [azure.contoso] must be a date such as 2027-05-01",
        ),
        (
            with(azure_token, &format!("{azure_token}\ncloud = \"publik\"")),
            "bridge.toml:8:9: `cloud` in [azure.contoso] is `publik`, but must be `public`, `usgov` or `china`; did you mean `public`?",
        ),
        (
            with(
                azure_token,
                &format!(
                    "{azure_token}\ncloud = {{ authority = \"http://login.example.com\", arm = \"https://arm.example.com\" }}"
                ),
            ),
            "bridge.toml:8:23: `authority` in `cloud` of [azure.contoso] must begin with https:// (plain http is for simulators on this machine only)",
        ),
        (
            with(azure_token, "secure_webhook = { audiences = [\"api://x\"] }"),
            "bridge.toml:7:20: unknown key `audiences` in `secure_webhook` of [azure.contoso]; did you mean `audience`?",
        ),
        (
            with(azure_token, "secure_webhook = { tenant = \"contoso.example.com\" }"),
            "bridge.toml:7:18: `audience` is missing in `secure_webhook` of [azure.contoso]; add `audience = [\"api://…\"]`",
        ),
        (
            with(azure_token, "secure_webhook = { audience = [] }"),
            "bridge.toml:7:31: `audience` in `secure_webhook` of [azure.contoso] is an empty list; name at least one or leave the key out",
        ),
        (
            with(azure_token, "secure_webhook = { audience = \"api://x\", caller = \"AzNS\" }"),
            "bridge.toml:7:51: `caller` in `secure_webhook` of [azure.contoso] is \"AzNS\", which is no id such as 00000000-0000-0000-0000-000000000000; copy it from the Azure portal",
        ),
        (
            with(azure_token, "secure_webhook = { audience = \"api://x\", require = 1 }"),
            "bridge.toml:7:52: `require` in `secure_webhook` of [azure.contoso] must be true or false (without quotes) and not an integer",
        ),
        (
            NO_IDS.to_owned(),
            "bridge.toml:4:18: `secure_webhook` in [azure.contoso] does not say whose tokens it takes; add `tenant_id` to the connection",
        ),
        (
            with(azure_token, &format!("{azure_token}\nnetworks = [\"198.51.100.0/24\", \"somewhere\"]")),
            "bridge.toml:8:32: `networks` in [azure.contoso] is \"somewhere\", which is no network; write one such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ),
        (
            with(secret, &format!("{secret}\nnetworks = \"198.51.100.0/33\"")),
            "bridge.toml:11:12: `networks` in [signl4.ops] is \"198.51.100.0/33\", which is no network; write one such as \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ),
        (
            front("[server]\ntrusted_proxies = []"),
            "bridge.toml:2:19: `trusted_proxies` in [server] is an empty list; name at least one or leave the key out",
        ),
        (
            front("[server]\nca_file = \"empty\""),
            "bridge.toml:2:11: `ca_file` in [server] empty is no PEM file of certificates; each begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            front("[server]\nca_file = \"broken\""),
            "bridge.toml:2:11: `ca_file` in [server] broken is no PEM file of certificates; each begins with -----BEGIN CERTIFICATE-----",
        ),
        (
            with(azure_token, &format!("token = \"{}\"", "aB3-".repeat(300))),
            "bridge.toml:7:9: `token` in [azure.contoso] (from bridge.toml:7:9) is longer than 1024 characters; none is taken",
        ),
        (
            with(azure_token, "token = { env = \"TOKEN_NOBODY_SET\" }"),
            "bridge.toml:7:17: `env` in `token` of [azure.contoso] names the environment variable TOKEN_NOBODY_SET, which is not set; set it",
        ),
        (
            with(azure_token, "token = { env = \"hunter2-itself\" }"),
            "bridge.toml:7:17: `env` in `token` of [azure.contoso] must be the name of an environment variable that is set, such as \"SIGNL4_SECRET\"",
        ),
        (
            with(secret, &format!("{secret}\napi_key = \"hunter2 key\"")),
            "bridge.toml:11:11: `api_key` in [signl4.ops] holds blanks or characters that cannot stand in a header; copy it again",
        ),
        (
            with(azure_token, "token = { fiel = \"x\", file = \"missing\" }"),
            "bridge.toml:7:11: unknown key `fiel` in `token` of [azure.contoso]; did you mean `file`?",
        ),
        (
            with(azure_token, "token = \"hunter2/with?signs-and-more\""),
            "bridge.toml:7:9: `token` in [azure.contoso] holds characters that cannot stand in a URL; use letters, digits, `-` and `_`, for example from `signl4-azure-bridge token new`",
        ),
        (
            with(secret, "secret = \"https://connect.signl4.com/webhook/hunter2\""),
            "bridge.toml:10:10: `secret` in [signl4.ops] is a whole URL; give only its last part, behind /webhook/",
        ),
        (
            with(secret, "secret = { file = \"a\", env = \"TEAM_SECRET\" }"),
            "bridge.toml:10:10: `secret` in [signl4.ops] has both `file` and `env`; leave one",
        ),
        (
            with(secret, "secret = { file = \"empty\" }"),
            "bridge.toml:10:19: `file` in `secret` of [signl4.ops] is empty (file empty); put the secret there",
        ),
        (
            with(secret, "secret = 5"),
            "bridge.toml:10:10: `secret` in [signl4.ops] must be a text, { file = \"…\" } or { env = \"…\" } and not an integer",
        ),
        (
            with(secret, &format!("{secret}\nbase_url = \"http://signl4.example.com\"")),
            "bridge.toml:11:12: `base_url` in [signl4.ops] must begin with https:// (plain http is for simulators on this machine only)",
        ),
        (
            with(secret, &format!("{secret}\nbase_url = \"https://me:hunter2@signl4.example.com\"")),
            "bridge.toml:11:12: `base_url` in [signl4.ops] must not hold a user name or password",
        ),
        (
            with(secret, &format!("{secret}\npace = {{ per_15s = 0 }}")),
            "bridge.toml:11:20: `per_15s` in `pace` of [signl4.ops] must be a whole number from 1",
        ),
        (
            with(secret, &format!("{secret}\npace = {{ per_second = 10 }}")),
            "bridge.toml:11:10: unknown key `per_second` in `pace` of [signl4.ops]; known are `per_15s` and `per_minute`",
        ),
        (
            with(secret, &format!("{secret}\npace = \"on\"")),
            "bridge.toml:11:8: `pace` in [signl4.ops] must be { per_15s = …, per_minute = … } or \"off\" and not a text",
        ),
        (
            format!(
                "{}[signl4.rest]\n{secret}\naccount = \"acme\"\npace = \"off\"\n[routing]\nfallback_team = \"ops\"\n",
                with(secret, &format!("{secret}\naccount = \"acme\"\npace = {{ per_15s = 10 }}"))
            ),
            "bridge.toml:17:8: `pace` in [signl4.rest] differs from `pace` in [signl4.ops], and both are of the account `acme`, whose events SIGNL4 counts together; give one of them, or the same in both",
        ),
        (
            with(secret, &format!("{secret}\nstorm = {{ pages_per_minute = 0 }}")),
            "bridge.toml:11:30: `pages_per_minute` in `storm` of [signl4.ops] must be a whole number from 1",
        ),
        (
            with(secret, &format!("{secret}\npoll = \"0s\"")),
            "bridge.toml:11:8: `poll` in [signl4.ops] must be longer than nothing; write \"off\" to switch it off",
        ),
        (
            with(secret, &format!("{secret}\npoll = \"1m\"")),
            "bridge.toml:11:8: `poll` in [signl4.ops] needs `api_key` and `user_id`, the id of the SIGNL4 user under whom it asks; add it or write \"off\"",
        ),
        (
            with(secret, &format!("{secret}\napi_key = {{ env = \"TEAM_SECRET\" }}\npoll = \"1m\"")),
            "bridge.toml:12:8: `poll` in [signl4.ops] needs `user_id`, the id of the SIGNL4 user under whom it asks; add it or write \"off\"",
        ),
        (
            with(&format!("{credential}\n"), "poll = \"1m\"\n"),
            "bridge.toml:5:8: `poll` in [azure.contoso] needs a `credential`: without one nobody may ask Azure; add it or write \"off\"",
        ),
        (
            with(azure_token, &format!("{azure_token}\npoll_raises = \"some\"")),
            "bridge.toml:8:15: `poll_raises` in [azure.contoso] is `some`, but must be `auto`, `all` or `none`; did you mean `none`?",
        ),
        (
            with(azure_token, &format!("{azure_token}\nlook_back = 5")),
            "bridge.toml:8:13: `look_back` in [azure.contoso] needs a unit: write \"5s\", \"5m\", \"5h\" or \"5d\"",
        ),
        (
            "[signl4.ops]\nsecret = { env = \"TEAM_SECRET\" }\ntoken = { env = \"SIGNL4_TOKEN\" }".to_owned(),
            "bridge.toml: there is no [azure.NAME]; add one, for example [azure.contoso]",
        ),
        (front("server = 5"), "bridge.toml:1:1: `server` must be a section; write [server] on a line of its own"),
        (
            front("[azure]\ntenant_id = \"x\""),
            "bridge.toml:2:1: `tenant_id` stands in [azure] itself; put it under [azure.NAME]",
        ),
    ] {
        let folder = Folder::new(&text);
        folder.write("empty", "\n");
        folder.write("broken", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let errors = folder.errors();
        assert!(errors.iter().any(|error| error == expected), "expected\n{expected}\ngot\n{}", errors.join("\n"));
        assert!(!errors.iter().any(|error| error.contains("hunter2")), "a secret is shown: {errors:?}");
    }
}

#[test]
fn each_error_of_a_route_names_place_and_mend() {
    for (line, expected) in [
        (
            "match = { sevrity = [\"Sev0\"] }",
            "3:11: unknown key `sevrity` in `match` of route `r`; did you mean `severity`?",
        ),
        (
            "match = { severity = [\"Sev9\"] }",
            "3:23: `severity` in `match` of route `r` is \"Sev9\", but must be Sev0, Sev1, Sev2, Sev3 or Sev4",
        ),
        (
            "match = { severity = [] }",
            "3:22: `severity` in `match` of route `r` is an empty list; name at least one or leave the key out",
        ),
        (
            "match = { scope = \"rg-payments\" }",
            "3:19: `scope` in `match` of route `r` is \"rg-payments\", but must be a resource id: /subscriptions/… as the Azure portal shows it",
        ),
        (
            "match = { connection = \"contosso\" }",
            "3:24: `connection` in `match` of route `r` names the connection `contosso`, which is not configured; did you mean `contoso`?",
        ),
        (
            "match = { not = {} }",
            "3:17: `not` in `match` of route `r` is empty and would leave out every alert; name what it leaves out",
        ),
        (
            "match = \"all\"",
            "3:9: `match` in route `r` must be a table such as { severity = [\"Sev0\", \"Sev1\"] } and not a text",
        ),
        (
            "team = \"opss\"",
            "3:8: `team` in route `r` names the team `opss`, which is not configured; did you mean `ops`?",
        ),
        (
            "scenario = \"singel_ack\"",
            "3:12: `scenario` in route `r` is `singel_ack`, but must be `single_ack`, `multi_ack` or `emergency`; did you mean `single_ack`?",
        ),
        (
            "service = { Sev7 = \"x\" }",
            "3:13: unknown key `Sev7` in `service` of route `r`; known are `Sev0` to `Sev4` and `default`",
        ),
        ("grace = 2", "3:9: `grace` in route `r` needs a unit: write \"2s\", \"2m\", \"2h\" or \"2d\""),
        ("page = \"no\"", "3:8: `page` in route `r` must be true or false (without quotes) and not a text"),
        (
            "on_resolved = \"annotate\"",
            "3:15: `on_resolved` in route `r` is \"annotate\", which needs `api_key` and `user_id` in [signl4.ops]; add them or use \"resolve\"",
        ),
        ("continues = true", "3:1: unknown key `continues` in route `r`; did you mean `continue`?"),
        (
            "example = [{ alert = {} }]",
            "3:12: `example` in route `r` expects nothing; add `team = \"…\"` or `matches = false`",
        ),
        (
            "example = [{ team = \"ops\" }]",
            "3:12: `alert` is missing in `example` of route `r`; add `alert = { severity = \"Sev1\" }`",
        ),
        ("[[route]]\nname = \"r\"", "3:1: there is a route `r` already in a.toml:1; give this one another name"),
        ("[[route]]\nname = \"a\\nb\"", "4:8: `name` in [[route]] must be one line of at most 100 characters"),
        ("[[route]]\nteam = \"ops\"", "3:1: `name` is missing in [[route]]; add `name = \"payments\"`"),
        ("[[rout]]", "3:3: unknown key `rout` in the routes file a.toml; did you mean `route`?"),
    ] {
        let folder = Folder::new(LEAST);
        folder.write("routes/a.toml", &format!("[[route]]\nname = \"r\"\n{line}\n"));
        assert_eq!(folder.errors(), [format!("routes/a.toml:{expected}")]);
    }
}

#[test]
fn many_errors_are_reported_in_one_go() {
    let folder = Folder::new(&front("[server]\nlistn = \"x\"\nadmin_listen = \"y\"\n[store]\nretention = \"1d\"\n"));
    folder.write("routes/a.toml", "[[route]]\nname = \"r\"\nteam = \"x\"\n");
    folder.write("routes/b.toml", "[[route]\n");
    let errors = folder.errors();
    for place in ["bridge.toml:2:1", "bridge.toml:3:16", "bridge.toml:5:13", "routes/a.toml:3:8", "routes/b.toml:1"] {
        assert!(errors.iter().any(|error| error.starts_with(place)), "{place} is not in {errors:?}");
    }
}

#[test]
fn broken_toml_is_named_without_its_text() {
    let errors = Folder::new("[signl4.ops]\nsecret = hunter2\n").errors();
    assert!(errors[0].starts_with("bridge.toml:2:10: this is not TOML: "), "{errors:?}");
    assert_eq!(errors.len(), 1, "the first says all: {errors:?}");
    assert!(!errors.concat().contains("hunter2"), "{errors:?}");
}

#[test]
fn a_broken_routes_file_is_named_once() {
    let folder = Folder::new(LEAST);
    folder.write("routes/a.toml", "[[route]]\nname = \"r\nteam = \"ops\"\nmatch = { severity = \"Sev1\" \n");
    let errors = folder.errors();
    assert!(errors[0].starts_with("routes/a.toml:2:"), "{errors:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
}

#[test]
fn a_secret_file_that_is_not_there_is_named() {
    let errors = Folder::new(&with("{ env = \"TEAM_SECRET\" }", "{ file = \"nowhere\" }")).errors();
    let expected = "bridge.toml:10:19: `file` in `secret` of [signl4.ops] names nowhere, which cannot be read: ";
    assert!(errors[0].starts_with(expected), "{errors:?}");
}

#[test]
fn a_missing_file_says_where_to_begin() {
    let errors = Folder::bare().errors();
    assert_eq!(
        errors,
        [
            "bridge.toml: there is no such file; the README shows one, --config names another, BRIDGE__… variables can take \
          its place, and `demo` needs none"
        ]
    );
}

#[test]
fn a_file_that_was_named_must_be_there_whatever_the_environment_says() {
    let errors = Folder::bare()
        .set("BRIDGE_CONFIG", "elsewhere/bridge.toml")
        .set("BRIDGE__SERVER__LISTEN", "127.0.0.1:7000")
        .errors();
    assert_eq!(errors, ["bridge.toml: there is no such file, and --config or BRIDGE_CONFIG names it"]);
}

#[test]
fn a_routes_folder_that_was_named_must_be_there() {
    let folder = Folder::new(LEAST);
    let error =
        super::Config::load(&folder.path("bridge.toml"), Some(&folder.path("nowhere")), &folder.env).unwrap_err();
    assert!(error.to_string().contains("nowhere: cannot be read as the routes folder"), "{error}");
}

#[test]
fn what_is_risky_is_a_warning() {
    let azure_token = "token         = { env = \"AZURE_TOKEN\" }";
    let secret = "secret = { env = \"TEAM_SECRET\" }";
    for (text, expected) in [
        (
            with(secret, "secret = \"teamsecret99\""),
            "bridge.toml:10:10: `secret` in [signl4.ops] is written in plain text; better move it to a file: { file = \"…\" }".to_owned(),
        ),
        (
            with("AZURE_TOKEN", "TEAM_SECRET"),
            "bridge.toml:7:17: `token` in [azure.contoso] (from environment variable TEAM_SECRET) has less than 128 bits: of characters such as these it takes 25; make one with `signl4-azure-bridge token new`".to_owned(),
        ),
        (
            with(azure_token, "token = { env = \"DULL\" }"),
            "bridge.toml:7:9: `token` in [azure.contoso] (from environment variable DULL) repeats a few characters and can be guessed; make one with `signl4-azure-bridge token new`".to_owned(),
        ),
        (
            with("credential    = { client_secret = { env = \"AZURE_SECRET\" } }\n", ""),
            "bridge.toml:2:8: [azure.contoso] has no `credential`: its alerts are paged, and nothing that is done on the phone reaches Azure".to_owned(),
        ),
        (
            with(azure_token, "poll = \"off\""),
            "bridge.toml:2:8: [azure.contoso] has neither `token` nor `secure_webhook`: Azure cannot call its webhook, and nothing arrives".to_owned(),
        ),
        (
            with("token  = { env = \"SIGNL4_TOKEN\" }", ""),
            "bridge.toml:9:9: [signl4.ops] has no `token`: SIGNL4 cannot call, and nothing that is done on the phone arrives; add one, or `poll`".to_owned(),
        ),
        (
            with(azure_token, "secure_webhook = { audience = \"api://x\", require = true }"),
            "bridge.toml:7:18: `secure_webhook` in [azure.contoso] has `require`, which asks for the Entra token besides `token`; there is no `token`, so it changes nothing".to_owned(),
        ),
        (
            with(azure_token, &format!("{azure_token}\nnetworks = \"198.51.100.0/24\"")),
            "bridge.toml: `networks` in [azure.contoso] sees only the proxy on this machine; name it in [server]: `trusted_proxies = [\"127.0.0.1\"]`".to_owned(),
        ),
        (with(secret, &format!("{secret}\nstorm = {{ pages_per_minute = 9, digest_every = \"1m\" }}")), "bridge.toml:11:30: `pages_per_minute` in `storm` of [signl4.ops] is more than SIGNL4 lets through: after five notifications within a minute it silences a person".to_owned()),
        (
            front("[alarm]\nheartbeat = { env = \"PLAIN_URL\" }"),
            "bridge.toml:2:13: `heartbeat` in [alarm] (from environment variable PLAIN_URL) does not begin with https://: it goes through the network in the clear".to_owned(),
        ),
        (
            with(secret, &format!("{secret}\nuser_id = \"u1\"")),
            "bridge.toml:11:11: `user_id` in [signl4.ops] is not used without `api_key`".to_owned(),
        ),
        (
            front("[server]\npublic_url = \"http://bridge.example.com\""),
            "bridge.toml:2:14: `public_url` in [server] does not begin with https://: Azure and SIGNL4 would send tokens in the clear".to_owned(),
        ),
    ] {
        let folder = Folder::new(&text)
            .set("PLAIN_URL", "http://monitor.example.com/ping/1")
            .set("DULL", "abcABC-abcABC-abcABC-abcABC");
        assert_eq!(folder.warnings(), [expected]);
    }
}

#[test]
fn one_token_for_both_sides_is_a_warning() {
    assert_eq!(
        Folder::new(&with("SIGNL4_TOKEN", "AZURE_TOKEN")).warnings(),
        [
            "[azure.contoso]: its `token` (from environment variable AZURE_TOKEN) is that of [signl4.ops] too; give each \
          side one of its own"
        ]
    );
}

#[test]
fn files_with_secrets_that_everybody_can_read_are_a_warning() {
    let folder = Folder::new(&with("{ env = \"TEAM_SECRET\" }", "{ file = \"team\" }"));
    folder.write("team", "teamsecret99");
    chmod(&folder.path("bridge.toml"), 0o644);
    assert_eq!(folder.warnings(), [""; 0], "no secret stands in bridge.toml");
    chmod(&folder.path("team"), 0o644);
    assert_eq!(folder.warnings(), ["team: holds a secret, and every user of this machine can read it; chmod 600 team"]);
    let folder = Folder::new(&with("{ env = \"TEAM_SECRET\" }", "\"teamsecret99\""));
    chmod(&folder.path("bridge.toml"), 0o644);
    assert!(folder.warnings().iter().any(|warning| warning.starts_with("bridge.toml: holds a secret")));
}

#[test]
fn a_routes_folder_without_routes_is_a_warning() {
    let folder = Folder::new(LEAST);
    folder.write("routes/readme.md", "no routes");
    let config = folder.load().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].ends_with("routes: holds no file *.toml: every alert goes to the fallback team"));
}

#[test]
fn a_severity_that_azure_never_sets_is_a_warning() {
    for (criteria, warned) in [
        ("{ monitoring_service = \"ServiceHealth\", severity = [\"Sev0\", \"Sev1\"] }", true),
        ("{ monitoring_service = \"resource health\", severity = \"Sev2\" }", true),
        ("{ monitoring_service = [\"ServiceHealth\", \"Activity Log - Sec*\"], severity = \"Sev1\" }", true),
        ("{ signal = \"Activity Log\", severity = \"Sev1\" }", true),
        ("{ monitoring_service = \"ServiceHealth\", severity = [\"Sev1\", \"Sev4\"] }", false),
        ("{ monitoring_service = \"ServiceHealth\" }", false),
        ("{ monitoring_service = [\"ServiceHealth\", \"Platform\"], severity = \"Sev1\" }", false),
        ("{ monitoring_service = \"*\", severity = \"Sev1\" }", false),
        ("{ severity = \"Sev1\" }", false),
    ] {
        let folder = Folder::new(LEAST);
        folder.write("routes/a.toml", &format!("[[route]]\nname = \"r\"\nmatch = {criteria}\n"));
        let warnings = folder.warnings();
        assert_eq!(!warnings.is_empty(), warned, "{criteria}: {warnings:?}");
        assert!(
            warnings.iter().all(|warning| warning.starts_with("routes/a.toml:1: route `r` asks for ")),
            "{warnings:?}"
        );
    }
    let folder = Folder::new(LEAST);
    let example = "[[route]]\nname = \"r\"\n[[route.example]]\nalert = { monitoring_service = \"ServiceHealth\", severity = \"Sev1\" }\nmatches = true\n";
    folder.write("routes/a.toml", example);
    assert_eq!(
        folder.warnings(),
        [
            "routes/a.toml:3: example of route `r` is of ServiceHealth with Sev1, and Azure sets Sev4 on all of them; write Sev4"
        ]
    );
}

#[test]
fn a_scope_outside_every_allow_list_is_a_warning() {
    let folder = Folder::new(LEAST);
    let other = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2cff";
    folder.write(
        "routes/a.toml",
        &format!("[[route]]\nname = \"r\"\nmatch = {{ scope = \"/subscriptions/{other}\" }}\n"),
    );
    let warnings = folder.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("routes/a.toml:3:19: `scope` in `match` of route `r` names the subscription"),
        "{warnings:?}"
    );
}

mod properties {
    use proptest::prelude::*;

    use super::super::{Folder, LEAST};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_text_panics(cut in 0..LEAST.len(), text in "\\PC{0,30}|[\\[\\]{}=\"a-z_\n. ]{0,30}") {
            let broken: String = LEAST.chars().take(cut).chain(text.chars()).chain(LEAST.chars().skip(cut)).collect();
            let folder = Folder::new(&broken);
            folder.write("routes/a.toml", &text);
            // Either it loads, or it says why.
            prop_assert!(folder.load().is_ok_and(|config| !config.teams.is_empty()) || !folder.errors().is_empty());
        }

        #[test]
        fn no_variable_panics(name in "(SERVER|STORE|AZURE__CONTOSO|SIGNL4|SIGNL4__OPS|X)?(__)?[A-Z_]{0,12}", value in "\\PC{0,20}|[\\[\\]{}=\"a-z,]{0,12}") {
            let folder = Folder::new(LEAST).set(&format!("BRIDGE__{name}"), &value);
            prop_assert!(folder.load().is_ok_and(|config| !config.teams.is_empty()) || !folder.errors().is_empty());
        }
    }
}
