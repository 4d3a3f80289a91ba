//! The requests to SIGNL4, without their secret: what `explain` prints is what is sent.
//!
//! Webhook: <https://docs.signl4.com/integrations/webhook/webhook.html>; REST: <https://connect.signl4.com/api/docs/>

use reqwest::Method;
use serde_json::{Value, json};

use crate::config::Team;
use crate::domain::delivery::Call;
use crate::domain::id::{ExternalId, Side};
use crate::egress::Aim;
use crate::egress::draft::{Draft, Place};

/// `X-S4-SourceSystem`
const SOURCE_SYSTEM: &str = "AzureMonitor";
pub(in crate::signl4) const API_KEY: &str = "X-S4-Api-Key";
/// An annotation of text; 2 would be an image.
const TEXT: u8 = 1;

/// All requests of a call, in order. What only an earlier answer can tell stands in braces. None for a call of the
/// other side, nor for an annotation without a user to make it as.
pub fn requests(team: &Team, call: &Call) -> Vec<Draft> {
    match (call, &team.user_id) {
        (Call::Raise { body, .. }, _) => vec![raise(team, body)],
        (Call::Acknowledge { page, .. }, _) => vec![acknowledge(team, page)],
        (Call::Resolve { page, .. }, _) => vec![resolve(team, page)],
        (Call::Annotate { page, text, .. }, Some(user)) => {
            vec![look_up(team, user, page), annotate(team, user, "{the id just found}", text)]
        }
        (Call::Annotate { .. }, None) | (Call::ChangeState { .. } | Call::Comment { .. }, _) => Vec::new(),
    }
}

pub(super) fn raise(team: &Team, body: &Value) -> Draft {
    webhook(team, "raise", body.clone())
}

pub(super) fn acknowledge(team: &Team, page: &ExternalId) -> Draft {
    webhook(team, "acknowledge", status(page, "acknowledged"))
}

pub(super) fn resolve(team: &Team, page: &ExternalId) -> Draft {
    webhook(team, "resolve", status(page, "resolved"))
}

/// Finds the SIGNL4 alerts that were raised with this external id.
pub(super) fn look_up(team: &Team, user: &str, page: &ExternalId) -> Draft {
    let aim = Aim { side: Side::Signl4, purpose: "look_up", path: "/api/v2/alerts/paged" };
    let body = json!({ "externalId": page.as_str() });
    let mut draft = rest(team, aim, &["alerts", "paged"], body);
    draft.query = vec![("userId", user.to_owned())];
    draft
}

pub(super) fn annotate(team: &Team, user: &str, alert: &str, text: &str) -> Draft {
    let aim = Aim { side: Side::Signl4, purpose: "annotate", path: "/api/v2/alerts/{alert}/annotate" };
    let body = json!({ "text": text, "type": TEXT, "userId": user });
    rest(team, aim, &["alerts", alert, "annotate"], body)
}

/// The body of a status change. It has no title: it is found by its external id and shown to nobody.
fn status(page: &ExternalId, status: &str) -> Value {
    json!({ "X-S4-ExternalID": page.as_str(), "X-S4-Status": status, "X-S4-SourceSystem": SOURCE_SYSTEM })
}

fn webhook(team: &Team, purpose: &'static str, body: Value) -> Draft {
    Draft {
        aim: Aim { side: Side::Signl4, purpose, path: "/webhook/{secret}" },
        method: Method::POST,
        base: team.base_url.clone(),
        path: vec!["webhook".to_owned()],
        query: Vec::new(),
        place: Place::Path,
        body: Some(body),
    }
}

fn rest(team: &Team, aim: Aim, path: &[&str], body: Value) -> Draft {
    Draft {
        aim,
        method: Method::POST,
        base: team.base_url.clone(),
        path: ["api", "v2"].iter().chain(path).map(|segment| (*segment).to_owned()).collect(),
        query: Vec::new(),
        place: Place::Header(API_KEY),
        body: Some(body),
    }
}
