//! One connection to Azure: the token and what it says, the secret behind it, the clock, and each subscription.

use super::claims::{self, Claims};
use super::finding::Finding;
use super::skew::Skew;
use super::subscription::Visit;
use super::{Desk, Heard, PATIENCE, fault, skew, strength};
use crate::azure::inspect;
use crate::config::{Connection, Credential};
use crate::domain::id::ConnectionName;
use crate::tokens::{CredentialKey, Token, TokenError};

/// Days that are few enough to act.
const SOON: u64 = 30;
const DAY_SECONDS: u64 = 24 * 60 * 60;

pub(super) async fn examine(desk: &Desk, name: &ConnectionName, connection: &Connection) -> Vec<Finding> {
    let target = format!("azure.{name}");
    let mut findings = Vec::new();
    if connection.credential.is_some() {
        findings.extend(credential(desk, name, connection, &target).await);
    } else {
        findings.push(Finding::warn(
            "token",
            &target,
            "no credential: alerts are paged, and nothing that is done on the phone reaches Azure",
            format!("add `credential` to [azure.{name}]"),
        ));
    }
    findings.extend(strength::finding(&target, &connection.tokens));
    findings
}

async fn credential(desk: &Desk, name: &ConnectionName, connection: &Connection, target: &str) -> Vec<Finding> {
    let key = CredentialKey::Azure(name.clone());
    let subscriptions = async {
        let token = token(desk, &key).await?;
        let claims = claims::read(token.value.expose());
        let object = claims.as_ref().and_then(|claims| claims.object.clone());
        Ok((claims, visit_all(desk, name, connection, &token, object).await))
    };
    let (tenant, subscriptions) = tokio::join!(tenant(desk, connection), subscriptions);
    let mut skew = tenant.as_ref().and_then(|heard| heard.skew);
    let mut findings = Vec::new();
    let mut visited = Vec::new();
    match subscriptions {
        Err(error) => findings.push(no_token(target, connection, &error)),
        Ok((claims, (found, clock))) => {
            let id = tenant.and_then(|heard| inspect::tenant_id(&heard.answer));
            findings.push(told(desk, target, connection, id, claims.as_ref()));
            visited = found;
            skew = skew.or(clock);
        }
    }
    findings.extend(expiry(desk, target, connection, &key));
    findings.push(skew::finding(target, "Azure", skew));
    findings.extend(visited);
    findings
}

/// The tenant's public description: its id, where a domain is configured, and the time, even where no token is given.
async fn tenant(desk: &Desk, connection: &Connection) -> Option<Heard> {
    let (aim, request) = inspect::tenant(connection)?;
    desk.ask(aim, request).await.ok()
}

async fn token(desk: &Desk, key: &CredentialKey) -> Result<Token, TokenError> {
    let _permit = desk.permit().await;
    tokio::time::timeout(PATIENCE, desk.tokens.get(key))
        .await
        .unwrap_or_else(|_| Err(TokenError::Transient { why: format!("none within {} s", PATIENCE.as_secs()) }))
}

async fn visit_all(
    desk: &Desk,
    name: &ConnectionName,
    connection: &Connection,
    token: &Token,
    object: Option<String>,
) -> (Vec<Finding>, Option<Skew>) {
    let visits = connection.subscriptions.iter().map(|subscription| {
        let visit = Visit {
            desk: desk.clone(),
            name: name.clone(),
            connection: connection.clone(),
            subscription: subscription.clone(),
            token: token.clone(),
            object: object.clone(),
        };
        tokio::spawn(async move { visit.examine().await })
    });
    let visits: Vec<_> = visits.collect();
    let (mut findings, mut skew) = (Vec::new(), None);
    for visit in visits {
        let (found, clock) = visit.await.unwrap_or_else(|_| (vec![fault(&format!("azure.{name}"))], None));
        findings.extend(found);
        skew = skew.or(clock);
    }
    (findings, skew)
}

fn told(
    desk: &Desk,
    target: &str,
    connection: &Connection,
    tenant_id: Option<String>,
    claims: Option<&Claims>,
) -> Finding {
    const CHECK: &str = "token";
    let Some(claims) = claims else {
        return Finding::pass(CHECK, target, "got one that does not show its claims");
    };
    let word = |claim: &Option<String>| claim.clone().unwrap_or_else(|| "not named".to_owned());
    let mut parts = vec![
        format!("tenant (tid) {}", word(&claims.tenant)),
        format!("application (appid) {}", word(&claims.application)),
        format!("for (aud) {}", word(&claims.audience)),
    ];
    if let Some(end) = claims.expires_at {
        let minutes = end.since(desk.clock.now()).as_secs() / 60;
        parts.push(format!("ends (exp) {end}, in {minutes} min"));
    }
    if !claims.roles.is_empty() {
        parts.push(format!("roles {}", claims.roles.join(" ")));
    }
    let detail = parts.join(", ");
    let configured = connection.tenant_id.as_str();
    let tenant_id = tenant_id.or_else(|| (!configured.contains('.')).then(|| configured.to_owned()));
    let audience = &connection.cloud.audience;
    let mismatches = claims::mismatches(claims, tenant_id.as_deref(), &connection.client_id, audience);
    if mismatches.is_empty() {
        return Finding::pass(CHECK, target, detail);
    }
    let texts: Vec<&str> = mismatches.iter().map(|mismatch| mismatch.text.as_str()).collect();
    let detail = format!("{}: {detail}", texts.join("; "));
    let mend = format!("correct `tenant_id`, `client_id` or `cloud` in [{target}]");
    if mismatches.iter().any(|mismatch| mismatch.is_grave) {
        Finding::fail(CHECK, target, detail, mend)
    } else {
        Finding::warn(CHECK, target, detail, mend)
    }
}

fn no_token(target: &str, connection: &Connection, error: &TokenError) -> Finding {
    let client = &connection.client_id;
    let mend = match error {
        TokenError::Denied { code, mend, .. } => match code.as_str() {
            "AADSTS7000215" | "AADSTS7000218" | "AADSTS7000222" => format!(
                "az ad app credential reset --id {client} --append --display-name bridge --query password --output tsv, \
                 and put what it prints where `credential` reads its secret"
            ),
            "AADSTS90002" | "AADSTS900023" => {
                format!(
                    "az account show --query tenantId --output tsv, and put what it prints into `tenant_id` of [{target}]"
                )
            }
            "AADSTS700016" => format!(
                "az ad app list --display-name signl4-azure-bridge --query '[].appId' --output tsv, and compare with \
                 `client_id` of [{target}]"
            ),
            "AADSTS7000112" | "AADSTS70001" | "AADSTS1000031" => {
                format!("az ad sp update --id {client} --set accountEnabled=true")
            }
            _ => mend.clone(),
        },
        TokenError::Throttled { after } => format!("wait {} s and run `doctor` again", after.as_secs()),
        TokenError::Transient { .. } => format!("curl -sS -o /dev/null {}", connection.cloud.authority),
    };
    Finding::fail("token", target, error.to_string(), mend)
}

/// The end of the secret that fetches the token, as far as it is known.
fn expiry(desk: &Desk, target: &str, connection: &Connection, key: &CredentialKey) -> Option<Finding> {
    const CHECK: &str = "secret_expiry";
    let status = desk.tokens.status().into_iter().find(|status| status.name == key.to_string())?;
    let client = &connection.client_id;
    let Some(end) = status.secret_expires_at else {
        // Nothing else ends without saying when.
        if !matches!(connection.credential, Some(Credential::ClientSecret { .. })) {
            return None;
        }
        let mend = format!(
            "az ad app credential list --id {client} --query '[].endDateTime' --output tsv, and put the day into \
             `expires` of [{target}] credential"
        );
        return Some(Finding::untested(
            CHECK,
            target,
            "the configuration does not say when the secret ends",
            Some(mend),
        ));
    };
    let now = desk.clock.now();
    let days = end.since(now).as_secs() / DAY_SECONDS;
    let mend = format!(
        "az ad app credential reset --id {client} --append --display-name bridge --query password --output tsv"
    );
    Some(if end <= now {
        Finding::fail(CHECK, target, format!("the secret has ended on {}", end.day()), mend)
    } else if days <= SOON {
        Finding::warn(CHECK, target, format!("the secret ends on {}, in {days} days", end.day()), mend)
    } else {
        Finding::pass(CHECK, target, format!("the secret ends on {}, in {days} days", end.day()))
    })
}
