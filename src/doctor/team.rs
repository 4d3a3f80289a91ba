//! One SIGNL4 team: the address, the API key and what it sees, the user under whom the bridge writes, the clock.

use super::finding::Finding;
use super::skew::{self, Skew};
use super::{Desk, Heard, strength};
use crate::config::Team;
use crate::domain::id::TeamName;
use crate::egress::Answer;
use crate::secret::Secret;
use crate::signl4::inspect::{self, KnownTeam};

pub(super) async fn examine(desk: &Desk, name: &TeamName, team: &Team) -> Vec<Finding> {
    let visit = Visit { desk, name, team, target: format!("signl4.{name}") };
    let (mut findings, skew) = match &team.api_key {
        Some(key) => visit.with_key(key).await,
        None => visit.without_key().await,
    };
    findings.push(skew::finding(&visit.target, "SIGNL4", skew));
    findings.push(Finding::untested(
        "secret",
        &visit.target,
        "the webhook secret cannot be tried without paging somebody",
        Some("send the test alert of the README, step 6".to_owned()),
    ));
    findings.extend(strength::finding(&visit.target, &team.tokens));
    findings
}

struct Visit<'a> {
    desk: &'a Desk,
    name: &'a TeamName,
    team: &'a Team,
    target: String,
}

impl Visit<'_> {
    async fn without_key(&self) -> (Vec<Finding>, Option<Skew>) {
        const CHECK: &str = "base_url";
        let Some((aim, request)) = inspect::reach(self.team) else {
            return (vec![self.elsewhere("is no URL")], None);
        };
        let heard = match self.desk.ask(aim, request).await {
            Ok(heard) => heard,
            Err(error) => return (vec![self.unreachable(&error.to_string())], None),
        };
        let status = heard.answer.status;
        let finding = match status {
            // Which of them is not documented.
            400 | 401 | 403 => {
                let detail = format!("{} answers, and asks for an API key", self.team.base_url);
                Finding::pass(CHECK, &self.target, detail)
            }
            408 | 429 | 500.. => self.busy(CHECK, status),
            _ => self.elsewhere(&format!("answers {status} as SIGNL4 would not")),
        };
        (vec![finding], heard.skew)
    }

    async fn with_key(&self, key: &Secret) -> (Vec<Finding>, Option<Skew>) {
        let teams = inspect::teams(self.team);
        let user = async {
            let id = self.team.user_id.as_deref()?;
            Some((id, self.desk.send(&inspect::user(self.team, id), key).await))
        };
        let (teams, user) = tokio::join!(self.desk.send(&teams, key), user);
        let heard = match teams {
            Ok(heard) => heard,
            Err(error) => return (vec![self.unreachable(&error)], None),
        };
        let (found, known) = self.api_key(key, &heard.answer);
        let mut findings = found;
        if let (Some((id, user)), Some(known)) = (user, known) {
            findings.push(self.user(id, key, user, &known));
        }
        (findings, heard.skew)
    }

    fn api_key(&self, key: &Secret, answer: &Answer) -> (Vec<Finding>, Option<Vec<KnownTeam>>) {
        const CHECK: &str = "api_key";
        let target = &self.target;
        let reached = || Finding::pass("base_url", target, format!("{} answers", self.team.base_url));
        if let Some(teams) = inspect::known_teams(answer) {
            if teams.is_empty() {
                let mend = "SIGNL4 portal, Integrations → API Keys: create a key of this team";
                return (vec![reached(), Finding::warn(CHECK, target, "taken, but it sees no team", mend)], None);
            }
            let names: Vec<&str> = teams.iter().map(|team| team.name.as_deref().unwrap_or(&team.id)).collect();
            let detail = format!("taken; it sees {}", names.join(", "));
            return (vec![reached(), Finding::pass(CHECK, target, detail)], Some(teams));
        }
        let status = answer.status;
        let findings = match status {
            401 | 403 => {
                let mend = format!(
                    "SIGNL4 portal, Integrations → API Keys: create a key with write access and put it into {}",
                    key.source().trim_start_matches("file ")
                );
                vec![reached(), Finding::fail(CHECK, target, format!("SIGNL4 answers {status}: not taken"), mend)]
            }
            408 | 429 | 500.. => vec![self.busy(CHECK, status)],
            _ => vec![self.elsewhere(&format!("answers {status} as SIGNL4 would not"))],
        };
        (findings, None)
    }

    fn user(&self, id: &str, key: &Secret, user: Result<Heard, String>, teams: &[KnownTeam]) -> Finding {
        const CHECK: &str = "user";
        let target = &self.target;
        let list = format!(
            "curl -H \"X-S4-Api-Key: $(cat {})\" {}/api/v2/users, and put the right id into `user_id` of [{target}]",
            key.source().strip_prefix("file ").unwrap_or("KEY_FILE"),
            self.team.base_url
        );
        let answer = match user {
            Ok(heard) => heard.answer,
            Err(error) => return Finding::untested(CHECK, target, format!("SIGNL4 was asked in vain: {error}"), None),
        };
        let Some(user) = inspect::known_user(&answer) else {
            return match answer.status {
                400 | 404 => Finding::fail(CHECK, target, format!("no user has the id {id}"), list),
                status => Finding::untested(CHECK, target, format!("SIGNL4 answers {status}"), Some(list)),
            };
        };
        let name = user.name.as_deref().unwrap_or(id);
        let teams: Vec<&str> =
            teams.iter().filter(|team| team.has(&user)).map(|team| team.name.as_deref().unwrap_or(&team.id)).collect();
        if teams.is_empty() {
            let detail = format!("{name} is in no team that the API key sees");
            return Finding::fail(CHECK, target, detail, "SIGNL4 portal, Teams → Users: invite the user to the team");
        }
        let detail = format!("{name}, in {}", teams.join(", "));
        if user.is_on_duty() {
            let mend = "SIGNL4 portal, Duty schedule: take the user off duty, or configure one who is nobody's phone";
            let detail = format!("{detail}, is on duty: what this user does never counts as a person's action");
            return Finding::warn(CHECK, target, detail, mend);
        }
        Finding::pass(CHECK, target, detail)
    }

    fn busy(&self, check: &'static str, status: u16) -> Finding {
        Finding::warn(check, &self.target, format!("SIGNL4 answers {status}"), "run `doctor` again in a minute")
    }

    fn unreachable(&self, error: &str) -> Finding {
        let detail = format!("{}: {error}", self.team.base_url);
        Finding::fail("base_url", &self.target, detail, format!("curl -sS -o /dev/null {}", self.team.base_url))
    }

    fn elsewhere(&self, what: &str) -> Finding {
        let detail = format!("{} {what}", self.team.base_url);
        let mend = format!("correct `base_url` in [signl4.{}], or leave it out", self.name);
        Finding::fail("base_url", &self.target, detail, mend)
    }
}
