//! What is sent to Entra with each kind of proof, field by field, and what follows from its answers.

use std::sync::Mutex;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm as Alg, DecodingKey, Validation};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_cert::der::Decode;

use super::*;
use crate::certificate::made::Made;
use crate::certificate::{Algorithm, Certificate};

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn part(assertion: &str, at: usize) -> Value {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(assertion.split('.').nth(at).unwrap()).unwrap()).unwrap()
}

/// Checks form, header, claims and signature of the one request.
async fn checked(algorithm: Algorithm, made: &Made) -> Value {
    let entra = Stub::start(|_| granted("t0ken")).await;
    let certificate = Certificate::read(&secret(&made.both()), None, algorithm).unwrap();
    let tokens = tokens_by(&format!("{}/", entra.url), Credential::Certificate(Arc::new(certificate)));
    assert_eq!(tokens.get(&key()).await.unwrap().value.expose(), "t0ken");

    let seen = entra.seen().remove(0);
    assert_eq!((seen.method.as_str(), seen.header("authorization")), ("POST", None));
    assert_eq!(seen.path, "/0a4c1d2e-0000-4000-8000-000000000001/oauth2/v2.0/token");
    let fields = pairs(&seen.body);
    let assertion = fields.iter().find(|(name, _)| name == "client_assertion").unwrap().1.clone();
    assert_eq!(
        fields,
        form(&[
            ("client_assertion", &assertion),
            ("client_assertion_type", JWT_BEARER),
            ("client_id", CLIENT),
            ("grant_type", "client_credentials"),
            ("scope", "https://arm.example.com/.default"),
        ])
    );
    let mut claims = part(&assertion, 1);
    let jti = claims["jti"].take();
    assert_eq!(uuid::Uuid::parse_str(jti.as_str().unwrap()).unwrap().get_version_num(), 4);
    // 2026-11-24T03:00:00Z
    let now = 1_795_489_200;
    assert_eq!(
        claims,
        json!({
            "aud": format!("{}/0a4c1d2e-0000-4000-8000-000000000001/oauth2/v2.0/token", entra.url),
            "iss": CLIENT, "sub": CLIENT, "jti": null, "iat": now, "nbf": now, "exp": now + 600,
        })
    );
    let parsed = x509_cert::Certificate::from_der(&der(made)).unwrap();
    let public_key = parsed.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes();
    let expected = if algorithm == Algorithm::Ps256 { Alg::PS256 } else { Alg::RS256 };
    let mut validation = Validation::new(expected);
    (validation.validate_exp, validation.validate_aud) = (false, false);
    jsonwebtoken::decode::<Value>(&assertion, &DecodingKey::from_rsa_der(public_key), &validation).unwrap();
    assert!(!format!("{tokens:?} {:?}", tokens.status()).contains("PRIVATE KEY"));
    part(&assertion, 0)
}

fn made() -> Made {
    Made::new(start(), start().plus(Duration::from_hours(24 * 90))).unwrap()
}

fn der(made: &Made) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()
}

fn thumbprint(made: &Made, algorithm: &'static aws_lc_rs::digest::Algorithm) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(algorithm, &der(made)))
}

#[tokio::test]
async fn a_certificate_signs_ps256_and_is_named_by_its_sha256() {
    let made = made();
    let header = checked(Algorithm::Ps256, &made).await;
    let expected = thumbprint(&made, &aws_lc_rs::digest::SHA256);
    assert_eq!(header, json!({"alg": "PS256", "typ": "JWT", "x5t#S256": expected}));
}

#[tokio::test]
async fn a_certificate_signs_rs256_and_is_named_by_its_sha1_where_asked() {
    let made = made();
    let header = checked(Algorithm::Rs256, &made).await;
    let expected = thumbprint(&made, &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "x5t": expected}));
}

#[tokio::test]
async fn the_end_of_a_certificate_is_known() {
    let certificate = Certificate::read(&secret(&made().both()), None, Algorithm::Ps256).unwrap();
    let status = tokens_by("http://127.0.0.1:1", Credential::Certificate(Arc::new(certificate))).status().remove(0);
    assert_eq!(status.secret_expires_at, Some(start().plus(Duration::from_hours(24 * 90))));
    assert_eq!(status.secret_expires_in_days, Some(90));
    assert!(status.renewal.unwrap().contains(&format!("--append --id {CLIENT}")));
}

#[tokio::test]
async fn a_federated_token_is_read_anew_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "first.federated.token\n").unwrap();
    let entra =
        Stub::start(|_| answer(200, &json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "t"}))).await;
    let tokens = tokens_by(&entra.url, Credential::FederatedToken { file: file.clone() });
    let token = tokens.get(&key()).await.unwrap();
    std::fs::write(&file, "second.federated.token").unwrap();
    assert!(tokens.forget(&key(), &token));
    let token = tokens.get(&key()).await.unwrap();
    for (seen, expected) in entra.seen().iter().zip(["first.federated.token", "second.federated.token"]) {
        assert_eq!(
            pairs(&seen.body),
            form(&[
                ("client_assertion", expected),
                ("client_assertion_type", JWT_BEARER),
                ("client_id", CLIENT),
                ("grant_type", "client_credentials"),
                ("scope", "https://arm.example.com/.default"),
            ])
        );
    }
    assert_eq!(entra.count(), 2);
    for content in [None, Some(" \n".to_owned()), Some("x".repeat(65 * 1024))] {
        match &content {
            None => std::fs::remove_file(&file).unwrap(),
            Some(content) => std::fs::write(&file, content).unwrap(),
        }
        let tokens = tokens_by(&entra.url, Credential::FederatedToken { file: file.clone() });
        let error = tokens.get(&key()).await.unwrap_err();
        assert!(matches!(&error, TokenError::Denied { status: 0, .. }), "{error}");
        assert!(error.to_string().contains("token"), "{error}");
    }
    assert_eq!(entra.count(), 2, "nothing was asked without a token");
    drop(token);
}

#[tokio::test]
async fn each_cloud_has_its_own_audience() {
    let entra = Stub::start(|seen| {
        if seen.last().unwrap().method == "GET" {
            answer(200, &json!({"access_token": "t0ken", "expires_in": "3599"}))
        } else {
            granted("t0ken")
        }
    })
    .await;
    for (cloud, audience) in [
        (Cloud::public(), "https://management.azure.com"),
        (Cloud::usgov(), "https://management.core.usgovcloudapi.net"),
        (Cloud::china(), "https://management.core.chinacloudapi.cn"),
        // A slash at its end belongs to the audience: it becomes a double one, as Entra wants it.
        (Cloud { audience: "https://arm.example.com/".to_owned(), ..Cloud::public() }, "https://arm.example.com/"),
    ] {
        let here = Cloud { authority: entra.url.clone(), ..cloud };
        let identity = Credential::ManagedIdentity {
            identity: crate::config::Identity::SystemAssigned,
            endpoint: crate::config::IdentityEndpoint::Imds { host: entra.url.clone() },
        };
        let client = Credential::ClientSecret { secrets: vec![secret(SECRET)], expires: None };
        for (credential, name, value) in
            [(client, "scope", format!("{audience}/.default")), (identity, "resource", audience.to_owned())]
        {
            tokens_in(here.clone(), credential).get(&key()).await.unwrap();
            let seen = entra.seen().pop().unwrap();
            let fields = [pairs(&seen.query), pairs(&seen.body)].concat();
            assert!(fields.contains(&(name.to_owned(), value.clone())), "{fields:?}");
        }
    }
}

/// Answers 401 with a code to each secret that is listed, a token to any other.
async fn picky(refused: &'static Mutex<Vec<(&'static str, u32)>>) -> Stub {
    Stub::start(move |seen| {
        let shown = pairs(&seen.last().unwrap().body).into_iter().find(|(name, _)| name == "client_secret").unwrap().1;
        let refused = refused.lock().unwrap();
        refused
            .iter()
            .find(|(secret, _)| *secret == shown)
            .map_or_else(|| granted(&format!("t0ken-by-{shown}")), |(_, code)| answer(401, &refusal(*code)))
    })
    .await
}

#[tokio::test]
async fn of_two_secrets_the_second_is_tried_where_entra_refuses_the_first() {
    static REFUSED: Mutex<Vec<(&str, u32)>> = Mutex::new(Vec::new());
    let entra = picky(&REFUSED).await;
    let both = || Credential::ClientSecret { secrets: vec![secret("new"), secret("old")], expires: None };
    let ask = async |tokens: &Tokens| {
        let token = tokens.get(&key()).await?;
        tokens.forget(&key(), &token);
        Ok::<_, TokenError>(token.value.expose().to_owned())
    };

    let tokens = tokens_by(&entra.url, both());
    assert_eq!(ask(&tokens).await.unwrap(), "t0ken-by-new");
    assert_eq!(entra.count(), 1, "the second is not shown while the first is good");
    for code in [7_000_215, 7_000_222] {
        *REFUSED.lock().unwrap() = vec![("new", code)];
        let (tokens, before) = (tokens_by(&entra.url, both()), entra.count());
        assert_eq!(ask(&tokens).await.unwrap(), "t0ken-by-old");
        assert_eq!(entra.count(), before + 2);
        // Which one works is remembered, until it does not.
        assert_eq!(ask(&tokens).await.unwrap(), "t0ken-by-old");
        assert_eq!(entra.count(), before + 3);
        *REFUSED.lock().unwrap() = vec![("old", 7_000_222)];
        assert_eq!(ask(&tokens).await.unwrap(), "t0ken-by-new");
        assert_eq!(entra.count(), before + 5);
    }
    // Another refusal says nothing of the secret.
    *REFUSED.lock().unwrap() = vec![("new", 700_016)];
    let before = entra.count();
    let error = ask(&tokens_by(&entra.url, both())).await.unwrap_err();
    assert!(error.to_string().starts_with("AADSTS700016"), "{error}");
    assert_eq!(entra.count(), before + 1);
    *REFUSED.lock().unwrap() = vec![("new", 7_000_215), ("old", 7_000_222)];
    let error = ask(&tokens_by(&entra.url, both())).await.unwrap_err();
    assert!(error.to_string().starts_with("AADSTS7000215") && error.to_string().contains("both"), "{error}");
}
