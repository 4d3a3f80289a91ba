//! `[signl4.NAME]`: a team's secret, tokens, account and REST access.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::{Findings, Place};
use super::secrets::{Origins, is_path_segment};
use super::section::{Item, Section};
use super::{Pacing, Team, callers, polling};
use crate::domain::id::{AccountName, TeamName};
use crate::domain::load::{MOST_PAGES, Storm};
use crate::domain::pace::Events;
use crate::secret::Secret;

const BASE_URL: &str = "https://connect.signl4.com";
/// <https://support.signl4.com/hc/de/articles/4406223295633>
const SIGNL4_SILENCES_AFTER: u32 = 5;
const DIGEST_EVERY: RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(1);

/// `None` after an error that leaves nothing to go on with.
pub(super) fn team(
    name: &TeamName,
    mut section: Section<'_>,
    origins: &Origins<'_>,
    findings: &mut Findings,
) -> Option<Team> {
    let secret = section
        .demand("secret", "{ file = \"…\" }", findings)
        .and_then(|item| webhook_secret(&item, origins, findings));
    let token = section.take("token");
    let tokens = token.as_ref().map(|item| item.tokens(origins, findings)).unwrap_or_default();
    let base_url = section.take("base_url").map_or_else(|| Some(BASE_URL.to_owned()), |item| item.address(findings));
    let account = section.take("account").map_or_else(
        || AccountName::parse(name.as_str()).ok(),
        |item| {
            let account = AccountName::parse(item.text(findings)?);
            if let Err(error) = &account {
                item.error(error, findings);
            }
            account.ok()
        },
    );
    let key_item = section.take("api_key");
    let api_key = key_item.as_ref().and_then(|item| item.header_secret(origins, findings));
    let user_item = section.take("user_id");
    let user_id = user_item.as_ref().and_then(|item| item.text(findings)).map(|text| text.trim().to_owned());
    match (&key_item, &user_item) {
        (Some(item), None) => {
            item.warn("is not used without `user_id`; add the id of the SIGNL4 user it writes as", findings);
        }
        (None, Some(item)) => item.warn("is not used without `api_key`", findings),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let networks = callers::networks(&mut section, "networks", findings);
    let poll = polling::of_team(&mut section, key_item.is_some(), user_item.is_some(), findings);
    if token.is_none() && poll.is_none() {
        findings.warn(
            &section.place,
            format_args!(
                "{} has no `token`: SIGNL4 cannot call, and nothing that is done on the phone arrives; add one, or `poll`",
                section.name
            ),
        );
    }
    let pace = section.take("pace").and_then(|item| pace(&item, findings));
    let storm = section.take("storm").map_or_else(|| Some(Storm::default()), |item| storm(&item, findings));
    section.finish(findings);
    Some(Team {
        account: account?,
        secret: secret?,
        tokens,
        networks,
        base_url: base_url?,
        api_key,
        user_id,
        storm,
        poll,
        pace,
    })
}

/// The secret is a path segment of the inbound webhook; people also paste the whole URL.
fn webhook_secret(item: &Item, origins: &Origins<'_>, findings: &mut Findings) -> Option<Secret> {
    let secret = item.secret(origins, findings)?;
    if is_path_segment(secret.expose()) {
        return Some(secret);
    }
    let mend = if secret.expose().contains("://") {
        "is a whole URL; give only its last part, behind /webhook/"
    } else {
        "holds characters that no SIGNL4 secret has; copy the last part of the team's webhook URL"
    };
    item.error(format_args!("{}{mend}", item.origin(&secret)), findings);
    None
}

/// A limit that is left out is the documented one. `None` after an error.
fn pace(item: &Item, findings: &mut Findings) -> Option<Pacing> {
    if item.as_text() == Some("off") {
        return Some(Pacing::Off);
    }
    let mut table = item.table("{ per_15s = …, per_minute = … } or \"off\"", findings)?;
    let (per_15s, per_minute) = (table.take("per_15s"), table.take("per_minute"));
    table.finish(findings);
    let documented = Events::default();
    let count = |limit: Option<Item>, documented, findings: &mut Findings| match limit {
        Some(limit) => limit.count(findings),
        None => Some(documented),
    };
    let per_15s = count(per_15s, documented.per_15s, findings);
    let per_minute = count(per_minute, documented.per_minute, findings);
    Some(Pacing::Events(Events { per_15s: per_15s?, per_minute: per_minute? }))
}

/// SIGNL4 counts the events of an account, whichever of its teams they go to: two paces for it cannot both be meant.
pub(super) fn one_pace_an_account(
    teams: &BTreeMap<TeamName, Team>,
    place: &dyn Fn(&TeamName) -> Place,
    findings: &mut Findings,
) {
    let mut said: BTreeMap<&AccountName, (&TeamName, Pacing)> = BTreeMap::new();
    for (name, team) in teams {
        let Some(pace) = team.pace else { continue };
        let (first, agreed) = said.entry(&team.account).or_insert((name, pace));
        if *agreed != pace {
            findings.error(
                &place(name),
                format!(
                    "`pace` in [signl4.{name}] differs from `pace` in [signl4.{first}], and both are of the account `{}`, \
                     whose events SIGNL4 counts together; give one of them, or the same in both",
                    team.account
                ),
            );
        }
    }
}

/// `{ pages_per_minute = 3, digest_every = "1m" }`, or `"off"`: then `None`.
fn storm(item: &Item, findings: &mut Findings) -> Option<Storm> {
    if item.as_text() == Some("off") {
        return None;
    }
    let mut storm = Storm::default();
    let mut table = item.table("{ pages_per_minute = …, digest_every = \"…\" } or \"off\"", findings)?;
    if let Some(limit) = table.take("pages_per_minute")
        && let Some(pages) = limit.count(findings)
    {
        if pages > MOST_PAGES {
            limit.error(
                format_args!("must be at most {MOST_PAGES}; write storm = \"off\" to page each alert"),
                findings,
            );
        }
        if pages > SIGNL4_SILENCES_AFTER {
            limit.warn(
                "is more than SIGNL4 lets through: after five notifications within a minute it silences a person",
                findings,
            );
        }
        storm.pages_per_minute = pages;
    }
    if let Some(every) = table.take("digest_every")
        && let Some(span) = every.duration(findings)
    {
        if !DIGEST_EVERY.contains(&span) {
            every.error("must be from \"10s\" to \"1h\": so long those that come on top wait for their page", findings);
        }
        storm.digest_every = span;
    }
    table.finish(findings);
    Some(storm)
}
