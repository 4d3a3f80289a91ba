//! Digests: what they have gathered, what the teams' load is, and how a change of a digest reaches its members.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::{numbers, rows};
use crate::domain::decide::Verdict;
use crate::domain::delivery::{Call, CallKind};
use crate::domain::digest::{Gathered, NAMED, is_digest};
use crate::domain::event::{Severity, TimerKind};
use crate::domain::id::{AlertKey, ExternalId, TeamName};
use crate::domain::load::{Load, MOST_PAGES, SPAN};
use crate::domain::page::{Ending, Page, Phase};
use crate::domain::route::Scenario;
use crate::domain::timestamp::Timestamp;

/// Members that hear of a change in one go.
pub(super) const MEMBERS_AT_ONCE: usize = 64;

/// The live members of a digest, together.
pub(super) fn gather(connection: &Connection, digest: &AlertKey) -> Result<Gathered, StoreError> {
    let (live, rules, rule, worst): (i64, i64, Option<String>, Option<String>) = connection
        .prepare_cached(
            "SELECT count(*), count(DISTINCT json_extract(state, '$.rule')), min(json_extract(state, '$.rule')),
                    min(json_extract(state, '$.severity'))
             FROM page WHERE digest = ?1 AND +ended = 0",
        )?
        .query_row([digest.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let words = |name: &str| -> Result<Vec<Option<String>>, StoreError> {
        let found = connection
            .prepare_cached(
                "SELECT DISTINCT json_extract(state, '$.body.\"' || ?2 || '\"') FROM page
                 WHERE digest = ?1 AND +ended = 0 LIMIT 8",
            )?
            .query_map([digest.as_str(), name], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        Ok(found)
    };
    let services = words("X-S4-Service")?;
    let scenarios = words("X-S4-AlertingScenario")?;
    let titles = connection
        .prepare_cached(
            "SELECT json_extract(state, '$.title') FROM page WHERE digest = ?1 AND +ended = 0
             ORDER BY json_extract(state, '$.severity') IS NULL, json_extract(state, '$.severity'),
                      json_extract(state, '$.created_at'), id LIMIT ?2",
        )?
        .query_map(params![digest.as_str(), i64::try_from(NAMED).unwrap_or(i64::MAX)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let alone: Option<String> = connection
        .prepare_cached("SELECT id FROM page WHERE digest = ?1 AND +ended = 0 LIMIT 1")?
        .query_row([digest.as_str()], |row| row.get(0))
        .optional()?;
    Ok(Gathered {
        live: usize::try_from(live).unwrap_or_default(),
        rules: usize::try_from(rules).unwrap_or_default(),
        rule: rule.filter(|_| rules == 1),
        worst: worst.as_deref().and_then(Severity::parse),
        scenario: scenarios.iter().flatten().filter_map(|scenario| Scenario::parse(scenario)).max(),
        service: if let [Some(service)] = services.as_slice() { Some(service.clone()) } else { None },
        titles,
        alone: alone.filter(|_| live == 1).map(ExternalId::stored),
    })
}

/// What a timer needs to know of a digest.
pub(super) fn needs_gathering(timer: &TimerKind) -> bool {
    matches!(timer, TimerKind::DigestDue | TimerKind::LastMemberEnded)
}

/// The teams' load as the rows have it, after a start or an undone command.
pub(super) fn load(connection: &Connection, now: Timestamp) -> Result<Load, StoreError> {
    let mut load = Load::default();
    let mut raised: Vec<(Timestamp, Call)> = connection
        .prepare_cached("SELECT created_at, call FROM delivery WHERE kind = ?1 ORDER BY seq DESC LIMIT ?2")?
        .query_map(params![CallKind::Raise.as_str(), MOST_PAGES], |row| {
            Ok((Timestamp::from_millis(row.get(0)?), rows::json(row, 1)?))
        })?
        .filter_map(Result::ok)
        .take_while(|(at, _)| now.since(*at) < SPAN)
        .collect();
    raised.reverse();
    for (at, call) in raised {
        if let Call::Raise { team, .. } = call {
            load.raised(&team, at);
        }
    }
    let due = serde_json::to_string(&TimerKind::DigestDue)?;
    let gathering: Vec<Page> = connection
        .prepare_cached(
            "SELECT page.state FROM timer JOIN page ON page.alert_id = timer.alert_id AND page.id = timer.page
             WHERE timer.kind = ?1",
        )?
        .query_map([due], |row| rows::json(row, 0))?
        .filter_map(Result::ok)
        .collect();
    for page in gathering {
        load.gathers(&page.team, page.alert);
    }
    Ok(load)
}

/// Takes a verdict into the load.
pub(super) fn weigh(load: &mut Load, verdict: &Verdict, now: Timestamp) {
    for owed in &verdict.owed {
        if let Call::Raise { team, .. } = &owed.call {
            load.raised(team, now);
        }
    }
    for digest in &verdict.opened {
        let team = verdict.pages.iter().find(|page| page.alert == digest.key).map(|page| page.team.clone());
        if let Some(team) = team {
            load.gathers(&team, digest.key.clone());
        }
    }
}

/// Digests that lost their last member are told so; those that nobody gets take their members with them.
pub(super) fn follow(connection: &Connection, verdict: &Verdict, now: Timestamp) -> Result<(), StoreError> {
    let given_up = |page: &&Page| is_digest(&page.alert) && page.phase == Phase::Ended { why: Ending::NotRaised };
    for page in verdict.pages.iter().filter(given_up) {
        end_members(connection, &page.alert, now)?;
    }
    for digest in &verdict.left {
        let has_members = connection
            .prepare_cached("SELECT 1 FROM page WHERE digest = ?1 AND +ended = 0 LIMIT 1")?
            .exists([digest.as_str()])?;
        if !has_members {
            let page = ExternalId::of(digest, 1);
            rows::set_timer(connection, Some(digest), &page, &TimerKind::LastMemberEnded, now)?;
        }
    }
    Ok(())
}

/// The Raise of a digest was given up, and nobody has a page of its members: they end with it, so that what fires from now
/// on pages by itself.
pub(super) fn end_members(connection: &Connection, digest: &AlertKey, now: Timestamp) -> Result<(), StoreError> {
    // It may have been passed on to another team.
    let is_shown = connection
        .prepare_cached("SELECT 1 FROM page WHERE alert_id = ?1 AND +ended = 0 LIMIT 1")?
        .exists([numbers::of_alert(connection, digest)?])?;
    if is_shown {
        return Ok(());
    }
    for page in members(connection, digest)?.into_iter().filter(Page::is_joined) {
        rows::put_page(connection, &page.shown_to_nobody(now))?;
    }
    Ok(())
}

/// The members that ended with their digest, as they are when it is sent again.
pub(super) fn shown_again(connection: &Connection, digest: &AlertKey) -> Result<Vec<Page>, StoreError> {
    let ended_with_it = |page: &Page| page.phase == Phase::Ended { why: Ending::NotRaised };
    let ended = members(connection, digest)?.into_iter().filter(ended_with_it);
    ended.map(|page| Ok(page.clone().shown_again(&rows::known(connection, &page.alert)?))).collect()
}

/// Writes members that are shown again; each lives as long as its route lets it.
pub(super) fn put_members(connection: &Connection, members: &[Page], now: Timestamp) -> Result<(), StoreError> {
    for page in members {
        rows::put_page(connection, page)?;
        if let Some(span) = page.policy.time_to_live.filter(|_| page.is_joined()) {
            rows::set_timer(connection, Some(&page.alert), &page.id, &TimerKind::TimeToLive, now.plus(span))?;
        }
    }
    Ok(())
}

/// All members, but for rows that this version cannot read.
fn members(connection: &Connection, digest: &AlertKey) -> Result<Vec<Page>, StoreError> {
    let pages: Vec<Option<Page>> = connection
        .prepare_cached("SELECT id, state FROM page WHERE digest = ?1 ORDER BY id")?
        .query_map([digest.as_str()], readable)?
        .collect::<Result<_, _>>()?;
    Ok(pages.into_iter().flatten().collect())
}

/// The page in columns `id, state`, if this version can read it.
fn readable(row: &Row<'_>) -> rusqlite::Result<Option<Page>> {
    match rows::json(row, 1) {
        Err(rusqlite::Error::FromSqlConversionFailure(..)) => {
            tracing::error!(page.id = row.get_ref(0)?.as_str()?, "a stored page cannot be read by this version");
            Ok(None)
        }
        page => page.map(Some),
    }
}

/// The next members that a change has not reached, ended ones included: a re-opening concerns them. One without a team
/// cannot be read by this version.
pub(super) fn members_beyond(
    connection: &Connection,
    digest: &AlertKey,
    beyond: Option<&ExternalId>,
) -> Result<Vec<(ExternalId, Option<TeamName>)>, StoreError> {
    let pages = connection
        .prepare_cached("SELECT id, state FROM page WHERE digest = ?1 AND id > ?2 ORDER BY id LIMIT ?3")?
        .query_map(
            params![
                digest.as_str(),
                beyond.map_or("", ExternalId::as_str),
                i64::try_from(MEMBERS_AT_ONCE).unwrap_or(i64::MAX)
            ],
            |row| Ok((ExternalId::stored(row.get(0)?), readable(row)?.map(|page| page.team))),
        )?
        .collect::<Result<_, _>>()?;
    Ok(pages)
}
