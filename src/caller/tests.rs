//! Which credentials open.

use super::*;

fn basic(pair: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)).parse().unwrap());
    headers
}

#[test]
fn path_token_and_basic_password_open_and_nothing_else() {
    let tokens = [Secret::new("new-token".into(), "test"), Secret::new("old-token".into(), "test")];
    let none = HeaderMap::new();
    for (path, headers, opens) in [
        (Some("new-token"), &none, true),
        (Some("old-token"), &none, true),
        (Some("new-toke"), &none, false),
        (Some(""), &none, false),
        (None, &none, false),
        (None, &basic("anybody:old-token"), true),
        (None, &basic(":new-token"), true),
        (None, &basic("new-token:"), false),
        (None, &basic("new-token"), false),
        (Some("wrong"), &basic("x:new-token"), true),
    ] {
        let presented = Presented::new(path, headers);
        assert_eq!(presented.verify(Some(((), tokens.as_slice()))).is_some(), opens, "{path:?} {headers:?}");
        assert!(presented.verify::<()>(None).is_none(), "an unknown name opens nothing");
        assert!(presented.verify(Some(((), [].as_slice()))).is_none(), "no token opens nothing");
    }
    let dummy = Presented::new(Some("an unknown name"), &none);
    assert!(dummy.verify::<()>(None).is_none());
}
