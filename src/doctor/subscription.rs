//! One subscription of a connection: whether its alerts can be read, and whether their state may be changed. The latter
//! is asked of the permissions API, so that no alert is touched.

use super::Desk;
use super::finding::Finding;
use super::skew::Skew;
use crate::azure::inspect::{self, CHANGE_STATE, Permissions, READ, READ_HISTORY, READ_PERMISSIONS};
use crate::config::Connection;
use crate::domain::id::{ConnectionName, SubscriptionId};
use crate::egress::Answer;
use crate::tokens::Token;

/// The name that the README gives the role.
const ROLE: &str = "SIGNL4 bridge";

#[derive(Debug)]
pub(super) struct Visit {
    pub(super) desk: Desk,
    pub(super) name: ConnectionName,
    pub(super) connection: Connection,
    pub(super) subscription: SubscriptionId,
    pub(super) token: Token,
    /// The service principal's object id, as the token tells it.
    pub(super) object: Option<String>,
}

impl Visit {
    pub(super) async fn examine(&self) -> (Vec<Finding>, Option<Skew>) {
        let list = inspect::list(&self.connection, &self.subscription);
        let permissions = inspect::permissions(&self.connection, &self.subscription);
        let (list, permissions) =
            tokio::join!(self.desk.send(&list, &self.token.value), self.desk.send(&permissions, &self.token.value));
        let skew = [&list, &permissions].into_iter().find_map(|heard| heard.as_ref().ok()?.skew);
        let list = list.map(|heard| heard.answer);
        let permissions = permissions.map(|heard| heard.answer);
        (vec![self.alerts(&list), self.change_state(&list, &permissions)], skew)
    }

    fn target(&self) -> String {
        format!("azure.{} subscription {}", self.name, self.subscription)
    }

    fn alerts(&self, list: &Result<Answer, String>) -> Finding {
        const CHECK: &str = "alerts";
        let target = self.target();
        let answer = match list {
            Ok(answer) if answer.is_success() => return Finding::pass(CHECK, &target, "can be listed"),
            Ok(answer) => answer,
            Err(error) => {
                let mend = format!("curl -sS -o /dev/null {}", self.connection.cloud.arm);
                return Finding::fail(CHECK, &target, format!("Azure was asked in vain: {error}"), mend);
            }
        };
        let code = inspect::error_code(answer);
        let detail = format!("Azure answers {} {code}", answer.status).trim_end().to_owned();
        let subscription = &self.subscription;
        match answer.status {
            403 => Finding::fail(CHECK, &target, format!("{detail}: no role with {READ}"), self.assign()),
            401 | 404 => Finding::fail(
                CHECK,
                &target,
                format!("{detail}: not a subscription of this connection's tenant"),
                format!(
                    "az account list --all --query '[].[id, tenantId, name]' --output tsv, and compare {subscription} \
                     in `subscriptions` of [azure.{}]",
                    self.name
                ),
            ),
            429 | 500.. => Finding::warn(CHECK, &target, detail, "run `doctor` again in a minute"),
            _ => Finding::fail(CHECK, &target, detail, format!("correct `cloud` in [azure.{}]", self.name)),
        }
    }

    fn change_state(&self, list: &Result<Answer, String>, permissions: &Result<Answer, String>) -> Finding {
        const CHECK: &str = "change_state";
        let target = self.target();
        let untested = |why: &str, mend: Option<String>| Finding::untested(CHECK, &target, why, mend);
        let answer = match permissions {
            Ok(answer) => answer,
            Err(error) => return untested(&format!("Azure does not say what the identity may do: {error}"), None),
        };
        if let Some(permissions) = answer.json::<Permissions>().filter(|_| answer.is_success()) {
            return self.judge(&permissions);
        }
        if !list.as_ref().is_ok_and(Answer::is_success) {
            return untested("see `alerts`", None);
        }
        let mend = format!(
            "add \"{READ_PERMISSIONS}\" to the `Actions` in role.json, then az role definition update --role-definition \
             role.json"
        );
        let why = format!(
            "the identity may not ask for its own permissions (status {}): the first acknowledgement will show it",
            answer.status
        );
        untested(&why, Some(mend))
    }

    fn judge(&self, permissions: &Permissions) -> Finding {
        const CHECK: &str = "change_state";
        let target = self.target();
        if permissions.allow(CHANGE_STATE) {
            let history = if permissions.allow(READ_HISTORY) {
                "allowed, and the history can be read".to_owned()
            } else {
                format!("allowed; without {READ_HISTORY} a comment whose sending was cut off may stand twice")
            };
            return Finding::pass(CHECK, &target, history);
        }
        if !permissions.is_whole() {
            return Finding::untested(CHECK, &target, "the identity has more roles than Azure lists at once", None);
        }
        let detail = format!("no role with {CHANGE_STATE}: acknowledgements will wait");
        Finding::fail(CHECK, &target, detail, self.assign())
    }

    fn assign(&self) -> String {
        let assignee = match &self.object {
            Some(object) => {
                format!("--assignee-object-id {object} --assignee-principal-type ServicePrincipal")
            }
            None => format!("--assignee {}", self.connection.client_id),
        };
        format!("az role assignment create {assignee} --role \"{ROLE}\" --scope /subscriptions/{}", self.subscription)
    }
}
