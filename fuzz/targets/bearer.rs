//! An Entra token and a tenant's key set, both from strangers: named errors, no panic, and nobody gets in without the key.
#![no_main]

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use signl4_azure_bridge::azure::authenticate::bearer::{Expectations, Issuer, Version, validate};
use signl4_azure_bridge::azure::authenticate::keys::issuer;
use signl4_azure_bridge::simulator::azure::SigningKey;
use signl4_azure_bridge_fuzz::NOW;

const NAME: &str = "https://login.example.com/aaaaaaaa-1111-4222-8333-444444444444/v2.0";

/// A key that is made anew for each run: whatever the fuzzer finds was not signed with it.
static ISSUERS: LazyLock<Vec<Issuer>> = LazyLock::new(|| {
    let (n, e) = SigningKey::generate().expect("a key").components();
    let keys = json!({ "keys": [{ "kty": "RSA", "use": "sig", "kid": "one", "n": n, "e": e }] }).to_string();
    let of = |version| issuer(version, NAME, keys.as_bytes()).expect("a key set");
    vec![of(Version::V1), of(Version::V2)]
});

fuzz_target!(|data: &[u8]| {
    let expected = Expectations { audiences: ["api://bridge".to_owned()].into(), caller: "caller".to_owned() };
    let refused = |token: &[u8]| assert!(validate(token, &ISSUERS, &expected, NOW).is_err(), "opened without the key");
    refused(data);
    // The same as the parts of a token: header, claims, signature, a line each.
    let parts: Vec<String> = data.splitn(3, |byte| *byte == b'\n').map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
    refused(parts.join(".").as_bytes());
    // And as the answer of whoever stands in for Entra.
    if let Ok(issuer) = issuer(Version::V2, NAME, data) {
        assert!(validate(parts.join(".").as_bytes(), &[issuer], &expected, NOW).is_err());
    }
});
