//! What an access token says of itself. Read for people only: the signature is not checked, which is Azure's business,
//! and the token itself is never shown.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::domain::timestamp::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub(super) tenant: Option<String>,
    /// `appid` of a version 1 token, `azp` of a version 2 one.
    pub(super) application: Option<String>,
    /// Of the service principal, which roles are assigned to.
    pub(super) object: Option<String>,
    pub(super) audience: Option<String>,
    pub(super) roles: Vec<String>,
    pub(super) expires_at: Option<Timestamp>,
}

/// `None` if the token is not a JWT: Azure promises none.
pub(super) fn read(token: &str) -> Option<Claims> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    let claims = claims.as_object()?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(plain);
    let list = |name: &str| -> Vec<String> {
        match claims.get(name) {
            Some(Value::String(text)) => vec![plain(text)],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(plain).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
        }
    };
    let seconds = claims.get("exp").and_then(Value::as_i64);
    Some(Claims {
        tenant: text("tid"),
        application: text("appid").or_else(|| text("azp")),
        object: text("oid"),
        audience: list("aud").into_iter().next(),
        roles: list("roles"),
        expires_at: seconds.and_then(|seconds| seconds.checked_mul(1_000)).map(Timestamp::from_millis),
    })
}

/// Fit for a terminal: one line, not long.
fn plain(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(200).collect()
}

/// A claim that is not what the configuration makes one expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    /// With another tenant or application nothing can work; an audience has aliases, of which Azure has the last word.
    pub(super) is_grave: bool,
    pub(super) text: String,
}

/// `tenant` is the tenant's id, where it is known.
pub(super) fn mismatches(claims: &Claims, tenant: Option<&str>, application: &str, audience: &str) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut differ = |is_grave, name: &str, key: &str, has: &Option<String>, wanted: &str| {
        let different = has.as_deref().filter(|has| !wanted.is_empty() && !same(has, wanted));
        found.extend(
            different.map(|has| Mismatch { is_grave, text: format!("{name} is {has}, but {key} is {wanted}") }),
        );
    };
    differ(true, "tid", "the tenant", &claims.tenant, tenant.unwrap_or_default());
    differ(true, "appid", "`client_id`", &claims.application, application);
    differ(false, "aud", "the audience of `cloud`", &claims.audience, audience);
    found
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        format!("{}.{}.signature", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn both_versions_of_token_are_read() {
        let first = read(&token(&json!({
            "tid": "t", "appid": "a", "oid": "o", "aud": "https://management.azure.com/", "exp": 1_800_000_000,
        })))
        .unwrap();
        assert_eq!(first.application.as_deref(), Some("a"));
        assert_eq!(first.audience.as_deref(), Some("https://management.azure.com/"));
        assert_eq!(first.expires_at, Some(Timestamp::from_millis(1_800_000_000_000)));
        let second = read(&token(&json!({ "azp": "a", "aud": ["x", "y"], "roles": ["one", "two"] }))).unwrap();
        assert_eq!((second.application.as_deref(), second.audience.as_deref()), (Some("a"), Some("x")));
        assert_eq!(second.roles, ["one", "two"]);
    }

    #[test]
    fn what_is_no_jwt_has_no_claims_and_nothing_panics() {
        for token in ["", "opaque", "a.b.c", "a.e30", "..", &token(&json!([])), &token(&json!("text"))] {
            let claims = read(token);
            assert!(claims.is_none() || claims == Some(Claims::default()), "{token}");
        }
        let odd = read(&token(&json!({ "exp": i64::MAX, "tid": 5, "aud": {}, "roles": null }))).unwrap();
        assert_eq!(odd, Claims::default());
        let escape = read(&token(&json!({ "tid": "a\u{1b}[31m\nb" }))).unwrap();
        assert_eq!(escape.tenant.as_deref(), Some("a[31mb"));
    }

    #[test]
    fn each_claim_that_does_not_fit_is_named() {
        let claims = Claims {
            tenant: Some("T".to_owned()),
            application: Some("a".to_owned()),
            audience: Some("https://management.azure.com/".to_owned()),
            ..Claims::default()
        };
        let against = |tenant, application, audience| mismatches(&claims, tenant, application, audience).len();
        assert_eq!(against(Some("t"), "A", "https://management.azure.com"), 0);
        assert_eq!(against(None, "", "https://management.azure.com"), 0, "what is not known is not compared");
        assert_eq!(against(Some("u"), "b", "https://graph.microsoft.com"), 3);
        let said = mismatches(&claims, Some("u"), "a", "https://management.core.windows.net");
        let said: Vec<_> = said.iter().map(|said| (said.is_grave, said.text.as_str())).collect();
        let audience =
            "aud is https://management.azure.com/, but the audience of `cloud` is https://management.core.windows.net";
        assert_eq!(said, [(true, "tid is T, but the tenant is u"), (false, audience)]);
        assert!(mismatches(&Claims::default(), Some("t"), "a", "b").is_empty());
    }
}
