//! A token for each way to be wrong, signed by keys of the simulated Entra.

use std::sync::LazyLock;

use base64::prelude::BASE64_STANDARD_NO_PAD;
use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::simulator::azure::{AZURE_CALLER, SecureWebhook, SigningKey, Version as Simulated};

const TENANT: &str = "0a4c1d2e-0000-4000-8000-000000000001";
const AUTHORITY: &str = "https://login.microsoftonline.com";
const APP: &str = "0a4c1d2e-0000-4000-8000-000000000009";
const URI: &str = "api://signl4-azure-bridge";

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());
static OTHER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

fn now() -> Timestamp {
    Timestamp::parse("2026-11-24T03:00:00Z").unwrap()
}

fn issuers() -> Vec<Issuer> {
    let (n, e) = KEY.components();
    let keys = BTreeMap::from([(KEY.kid.clone(), DecodingKey::from_rsa_components(&n, &e).unwrap())]);
    [(Version::V1, Simulated::V1), (Version::V2, Simulated::V2)]
        .map(|(version, simulated)| Issuer {
            version,
            name: simulated.issuer(AUTHORITY, TENANT),
            tenant: TENANT.to_owned(),
            keys: keys.clone(),
        })
        .into()
}

fn expected() -> Expectations {
    Expectations { audiences: [URI.to_owned(), APP.to_owned()].into(), caller: AZURE_CALLER.to_owned() }
}

fn webhook(version: Simulated) -> SecureWebhook {
    let audience = match version {
        Simulated::V1 => URI,
        Simulated::V2 => APP,
    };
    SecureWebhook { tenant: TENANT.to_owned(), audience: audience.to_owned(), version }
}

fn check(token: &str) -> Result<Valid, Claim> {
    validate(token.as_bytes(), &issuers(), &expected(), now())
}

/// The claims of a good token, one of them changed; `null` takes it away.
fn with(version: Simulated, claim: &str, value: Value) -> Value {
    let mut claims = webhook(version).claims(AUTHORITY, now());
    let all = claims.as_object_mut().unwrap();
    if value.is_null() {
        assert!(all.remove(claim).is_some(), "{claim} was there");
    } else {
        all.insert(claim.to_owned(), value);
    }
    claims
}

fn signed(claims: &Value) -> String {
    KEY.token(&KEY.header(), claims)
}

fn epoch(offset_seconds: i64) -> Value {
    json!(now().as_millis() / 1_000 + offset_seconds)
}

#[test]
fn tokens_of_both_versions_are_right_until_they_end() {
    for version in [Simulated::V1, Simulated::V2] {
        let valid = check(&signed(&webhook(version).claims(AUTHORITY, now()))).unwrap();
        assert_eq!(valid.expires_at, now().plus(Duration::from_hours(1)));
    }
}

#[test]
fn each_wrong_claim_is_named() {
    use Simulated::{V1, V2};
    let other_tenant = "0a4c1d2e-0000-4000-8000-0000000000ff";
    for (version, claim, value, expected) in [
        (V1, "iss", json!(V2.issuer(AUTHORITY, TENANT)), Claim::Issuer),
        (V2, "iss", json!(V1.issuer(AUTHORITY, TENANT)), Claim::Issuer),
        (V1, "iss", json!(V1.issuer(AUTHORITY, other_tenant)), Claim::Issuer),
        (V1, "iss", json!(format!("https://sts.windows.net/{TENANT}")), Claim::Issuer),
        (V1, "iss", json!(format!("https://sts.windows.net.evil.example/{TENANT}/")), Claim::Issuer),
        (V1, "iss", Value::Null, Claim::Issuer),
        (V1, "ver", json!("2.0"), Claim::Issuer),
        (V2, "ver", json!("1.0"), Claim::Issuer),
        (V1, "ver", json!("3.0"), Claim::Version),
        (V1, "ver", Value::Null, Claim::Version),
        (V1, "aud", json!("api://another-app"), Claim::Audience),
        (V1, "aud", json!("API://SIGNL4-AZURE-BRIDGE"), Claim::Audience),
        (V1, "aud", json!(format!("{URI}//")), Claim::Audience),
        (V1, "aud", Value::Null, Claim::Audience),
        (V1, "tid", json!(other_tenant), Claim::Tenant),
        (V2, "tid", Value::Null, Claim::Tenant),
        (V1, "exp", epoch(-300), Claim::Expired),
        (V1, "exp", json!(-1), Claim::Expired),
        (V1, "exp", Value::Null, Claim::Expired),
        (V2, "nbf", epoch(301), Claim::NotYetValid),
        (V2, "nbf", json!(i64::MAX), Claim::NotYetValid),
        (V1, "appid", json!("0a4c1d2e-0000-4000-8000-000000000002"), Claim::Caller),
        (V1, "appid", Value::Null, Claim::Caller),
        (V2, "azp", json!("0a4c1d2e-0000-4000-8000-000000000002"), Claim::Caller),
        (V2, "azp", Value::Null, Claim::Caller),
        (V1, "roles", json!([]), Claim::Roles),
        (V1, "roles", json!(["actiongroupssecurewebhook", "ActionGroupsSecureWebhooks"]), Claim::Roles),
        (V2, "roles", Value::Null, Claim::Roles),
        // A claim of a wrong kind.
        (V1, "exp", json!("2027-01-01"), Claim::Form),
        (V1, "aud", json!([URI]), Claim::Form),
        (V1, "roles", json!("ActionGroupsSecureWebhook"), Claim::Form),
    ] {
        assert_eq!(check(&signed(&with(version, claim, value.clone()))), Err(expected), "{version:?} {claim} {value}");
    }
}

#[test]
fn clocks_may_differ_by_five_minutes_and_a_slash_does_not_count() {
    use Simulated::{V1, V2};
    for (version, claim, value) in [
        (V1, "exp", epoch(-299)),
        (V2, "nbf", epoch(300)),
        (V2, "nbf", Value::Null),
        (V1, "aud", json!(format!("{URI}/"))),
        (V1, "appid", json!(AZURE_CALLER.to_uppercase())),
        (V1, "roles", json!(["Other", "ActionGroupsSecureWebhook"])),
        // The v2 claim in a v1 token says nothing.
        (V1, "azp", json!("somebody else")),
    ] {
        assert!(check(&signed(&with(version, claim, value.clone()))).is_ok(), "{version:?} {claim} {value}");
    }
}

#[test]
fn the_caller_of_one_version_is_not_looked_for_in_the_claim_of_the_other() {
    let mut claims = with(Simulated::V1, "appid", Value::Null);
    claims["azp"] = json!(AZURE_CALLER);
    assert_eq!(check(&signed(&claims)), Err(Claim::Caller));
}

#[test]
fn without_the_issuer_of_its_version_no_token_is_right() {
    let token = signed(&webhook(Simulated::V2).claims(AUTHORITY, now()));
    let only_v1 = &issuers()[..1];
    assert_eq!(validate(token.as_bytes(), only_v1, &expected(), now()), Err(Claim::Issuer));
}

#[test]
fn a_signature_by_any_other_key_is_wrong() {
    let claims = webhook(Simulated::V1).claims(AUTHORITY, now());
    let by_other = OTHER.token(&KEY.header(), &claims);
    assert_eq!(check(&by_other), Err(Claim::Signature));
    let good = signed(&claims);
    let (message, signature) = good.rsplit_once('.').unwrap();
    // Changed content under a good signature.
    let forged = signed(&with(Simulated::V1, "uti", json!("another")));
    assert_eq!(check(&format!("{}.{signature}", forged.rsplit_once('.').unwrap().0)), Err(Claim::Signature));
    let mut bent = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    bent[0] ^= 1;
    for signature in [String::new(), BASE64_URL_SAFE_NO_PAD.encode(bent), format!("{signature}="), "AA".into()] {
        assert_eq!(check(&format!("{message}.{signature}")), Err(Claim::Signature), "{signature}");
    }
}

#[test]
fn an_unknown_or_missing_kid_is_no_key() {
    let claims = webhook(Simulated::V1).claims(AUTHORITY, now());
    for header in [
        json!({"alg": "RS256", "kid": OTHER.kid}),
        json!({"alg": "RS256"}),
        json!({"alg": "RS256", "kid": ""}),
        // Only the kid names a key.
        json!({"alg": "RS256", "x5t": KEY.kid}),
    ] {
        assert_eq!(check(&KEY.token(&header, &claims)), Err(Claim::Key), "{header}");
    }
}

#[test]
fn only_rs256_is_an_algorithm() {
    let claims = webhook(Simulated::V1).claims(AUTHORITY, now());
    for alg in
        ["none", "None", "NONE", "", "rs256", "RS384", "RS512", "PS256", "ES256", "EdDSA", "HS256", "HS384", "HS512"]
    {
        let token = KEY.token(&json!({"typ": "JWT", "alg": alg, "kid": KEY.kid}), &claims);
        assert_eq!(check(&token), Err(Claim::Algorithm), "{alg}");
        let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
        assert_eq!(check(&unsigned), Err(Claim::Algorithm), "{alg} without a signature");
    }
    assert_eq!(check(&KEY.token(&json!({"kid": KEY.kid}), &claims)), Err(Claim::Form), "no alg at all");
}

#[test]
fn the_public_key_is_no_shared_secret() {
    // The classic confusion: HS256, keyed with what everybody can read, in each form it is written down.
    let claims = webhook(Simulated::V1).claims(AUTHORITY, now());
    let der = KEY.public_der();
    assert!(der.len() > 256);
    let pem =
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD_NO_PAD.encode(&der));
    let modulus = KEY.components().0;
    for secret in [der.as_slice(), pem.as_bytes(), modulus.as_bytes()] {
        for alg in ["HS256", "RS256"] {
            let header = json!({"typ": "JWT", "alg": alg, "kid": KEY.kid});
            let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let message = format!("{}.{}", part(&header), part(&claims));
            let secret = EncodingKey::from_secret(secret);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
            let expected = if alg == "HS256" { Claim::Algorithm } else { Claim::Signature };
            assert_eq!(check(&format!("{message}.{signature}")), Err(expected), "{alg}");
        }
    }
}

#[test]
fn what_a_token_says_of_keys_is_not_read() {
    let claims = webhook(Simulated::V1).claims(AUTHORITY, now());
    let (n, e) = OTHER.components();
    let jwk = json!({"kty": "RSA", "n": n, "e": e, "kid": OTHER.kid});
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("x5c", json!(["MIIB"])),
        ("jku", json!(5)),
    ] {
        let mut header = KEY.header();
        header[name] = value;
        assert!(check(&KEY.token(&header, &claims)).is_ok(), "{name} does no harm to a good token");
        assert_eq!(check(&OTHER.token(&header, &claims)), Err(Claim::Signature), "{name} helps no other key");
        header["kid"] = json!(OTHER.kid);
        assert_eq!(check(&OTHER.token(&header, &claims)), Err(Claim::Key), "{name} names no key");
    }
}

#[test]
fn a_critical_header_is_refused() {
    let mut header = KEY.header();
    header["crit"] = json!(["b64"]);
    header["b64"] = json!(false);
    assert_eq!(check(&KEY.token(&header, &webhook(Simulated::V1).claims(AUTHORITY, now()))), Err(Claim::Critical));
}

#[test]
fn what_is_no_token_has_no_form() {
    let good = signed(&webhook(Simulated::V1).claims(AUTHORITY, now()));
    let parts: Vec<&str> = good.split('.').collect();
    let doubled = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","alg":"RS256","kid":"{}"}}"#, KEY.kid));
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "a.b.c".to_owned(),
        "garbage".to_owned(),
        format!("{good}."),
        format!(".{good}"),
        format!("{}.{}", parts[0], parts[1]),
        format!(" {good}"),
        good.replace('.', " ."),
        format!("{}=.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}.{}.{}", parts[1], parts[0], parts[2]),
        format!("{doubled}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.{}", BASE64_URL_SAFE_NO_PAD.encode("[]"), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode("null"), parts[2]),
        format!("{}.{}.{}", parts[0], BASE64_URL_SAFE_NO_PAD.encode("[".repeat(5_000)), parts[2]),
        "a".repeat(LONGEST + 1),
        signed(&with(Simulated::V1, "padding", json!("x".repeat(LONGEST)))),
    ] {
        assert_eq!(check(&text), Err(Claim::Form), "{text:.60}");
    }
    let invalid_utf8 = [good.as_bytes(), b"\xff"].concat();
    assert_eq!(validate(&invalid_utf8, &issuers(), &expected(), now()), Err(Claim::Form));
}

#[test]
fn a_key_that_is_too_short_proves_nothing() {
    let mut weak = issuers();
    let modulus = BASE64_URL_SAFE_NO_PAD.encode([0xff; 128]);
    weak[0].keys.insert(KEY.kid.clone(), DecodingKey::from_rsa_components(&modulus, "AQAB").unwrap());
    let token = signed(&webhook(Simulated::V1).claims(AUTHORITY, now()));
    assert_eq!(validate(token.as_bytes(), &weak, &expected(), now()), Err(Claim::Signature));
}

#[test]
fn nothing_of_a_token_is_shown() {
    let issuer = &issuers()[0];
    let token = signed(&webhook(Simulated::V1).claims(AUTHORITY, now()));
    let unproven = judge(token.as_bytes(), issuer, &expected(), now()).unwrap();
    let shown = format!("{issuer:?} {unproven:?}");
    assert!(token.split('.').all(|part| !shown.contains(part)), "{shown}");
    assert!(!shown.contains(&KEY.kid), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_panic_and_none_are_right(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(validate(&bytes, &issuers(), &expected(), now()).is_err());
    }

    #[test]
    fn no_single_change_leaves_a_token_right(at in 0_usize..900, to in any::<u8>()) {
        let mut token = signed(&webhook(Simulated::V1).claims(AUTHORITY, now())).into_bytes();
        let at = at % token.len();
        prop_assume!(token[at] != to);
        token[at] = to;
        prop_assert!(validate(&token, &issuers(), &expected(), now()).is_err());
    }
}
