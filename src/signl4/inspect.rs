//! Requests that only look: what `doctor` asks of SIGNL4. None of them makes an event.

use reqwest::{Method, Request, Url};
use serde::Deserialize;

use super::deliver::request::API_KEY;
use crate::config::Team;
use crate::domain::id::Side;
use crate::egress::draft::{Draft, Place};
use crate::egress::{Aim, Answer};

const TEAMS: Aim = Aim { side: Side::Signl4, purpose: "teams", path: "/api/v2/teams" };

/// The teams that the API key sees.
pub fn teams(team: &Team) -> Draft {
    get(team, TEAMS, &["teams"])
}

/// The same without a key: whatever answers, SIGNL4 refuses it.
pub fn reach(team: &Team) -> Option<(Aim, Request)> {
    let url = format!("{}/api/v2/teams", team.base_url.trim_end_matches('/'));
    Some((TEAMS, Request::new(Method::GET, Url::parse(&url).ok()?)))
}

pub fn user(team: &Team, id: &str) -> Draft {
    get(team, Aim { side: Side::Signl4, purpose: "user", path: "/api/v2/users/{user}" }, &["users", id])
}

fn get(team: &Team, aim: Aim, path: &[&str]) -> Draft {
    Draft {
        aim,
        method: Method::GET,
        base: team.base_url.clone(),
        path: ["api", "v2"].iter().chain(path).map(|segment| (*segment).to_owned()).collect(),
        query: Vec::new(),
        place: Place::Header(API_KEY),
        body: None,
    }
}

/// A team as SIGNL4 knows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownTeam {
    pub id: String,
    pub name: Option<String>,
    member_ids: Option<Vec<String>>,
}

impl KnownTeam {
    pub fn has(&self, user: &KnownUser) -> bool {
        let listed = self.member_ids.iter().flatten().any(|id| id.eq_ignore_ascii_case(&user.id));
        listed || user.duty_infos.iter().flatten().any(|duty| duty.team_id.eq_ignore_ascii_case(&self.id))
    }
}

/// A user as SIGNL4 knows it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownUser {
    pub id: String,
    pub name: Option<String>,
    duty_infos: Option<Vec<Duty>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Duty {
    team_id: String,
    /// 0 off duty, 1 on duty, 100 on duty as manager.
    duty_mode: Option<i64>,
}

impl KnownUser {
    pub fn is_on_duty(&self) -> bool {
        self.duty_infos.iter().flatten().any(|duty| duty.duty_mode.is_some_and(|mode| mode != 0))
    }
}

/// `None` if the answer is no list of teams.
pub fn known_teams(answer: &Answer) -> Option<Vec<KnownTeam>> {
    answer.json().filter(|_| answer.is_success())
}

/// `None` if the answer is no user.
pub fn known_user(answer: &Answer) -> Option<KnownUser> {
    answer.json().filter(|_| answer.is_success())
}
