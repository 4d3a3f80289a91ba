//! The requests to Azure's Alerts Management API, without their token: what `explain` prints is what is sent.
//!
//! <https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts>

use reqwest::Method;
use serde_json::json;

use crate::config::Connection;
use crate::domain::delivery::{AzureTarget, Call};
use crate::domain::id::Side;
use crate::egress::Aim;
use crate::egress::draft::{Draft, Place};

/// The newest version whose comments Azure's own tools send.
pub(in crate::azure) const API_VERSION: &str = "2019-05-05-preview";

/// Azure documents no limit for a comment; this much is read by people, and longer ones are cut.
pub const COMMENT_CHARS: usize = 1_000;

/// All requests of a call, in order. What only an earlier answer can tell stands in braces. None for a call of the
/// other side.
pub fn requests(connection: &Connection, call: &Call) -> Vec<Draft> {
    match call {
        Call::ChangeState { target, state, comment, .. } => {
            vec![read(connection, target), change_state(connection, target, state.as_str(), comment.as_deref())]
        }
        Call::Comment { target, text } => {
            vec![read(connection, target), change_state(connection, target, "{the state just read}", Some(text))]
        }
        Call::Raise { .. } | Call::Acknowledge { .. } | Call::Resolve { .. } | Call::Annotate { .. } => Vec::new(),
    }
}

pub(super) fn read(connection: &Connection, target: &AzureTarget) -> Draft {
    const AIM: Aim = Aim {
        side: Side::Azure,
        purpose: "read",
        path: "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts/{alert}",
    };
    draft(connection, target, AIM, Method::GET, None)
}

pub(super) fn history(connection: &Connection, target: &AzureTarget) -> Draft {
    const AIM: Aim = Aim {
        side: Side::Azure,
        purpose: "history",
        path: "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts/{alert}/history",
    };
    draft(connection, target, AIM, Method::GET, Some("history"))
}

pub(super) fn change_state(connection: &Connection, target: &AzureTarget, state: &str, comment: Option<&str>) -> Draft {
    const AIM: Aim = Aim {
        side: Side::Azure,
        purpose: "changestate",
        path: "/subscriptions/{subscription}/providers/Microsoft.AlertsManagement/alerts/{alert}/changestate",
    };
    let mut draft = draft(connection, target, AIM, Method::POST, Some("changestate"));
    draft.query.push(("newState", state.to_owned()));
    draft.body = comment.map(|comment| json!({ "comments": cut(comment) }));
    draft
}

fn draft(connection: &Connection, target: &AzureTarget, aim: Aim, method: Method, action: Option<&str>) -> Draft {
    let path = [
        "subscriptions",
        target.subscription.as_str(),
        "providers",
        "Microsoft.AlertsManagement",
        "alerts",
        target.alert.as_str(),
    ];
    Draft {
        aim,
        method,
        base: connection.cloud.arm.clone(),
        path: path.into_iter().chain(action).map(str::to_owned).collect(),
        query: vec![("api-version", API_VERSION.to_owned())],
        place: Place::Bearer,
        body: None,
    }
}

/// The comment as it is sent: whole characters, with a sign where something is missing.
pub(super) fn cut(comment: &str) -> String {
    if comment.chars().nth(COMMENT_CHARS).is_none() {
        return comment.to_owned();
    }
    let mut cut: String = comment.chars().take(COMMENT_CHARS.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_comment_is_cut_between_characters() {
        for (text, chars, ends) in [
            (String::new(), 0, ""),
            ("é".repeat(1_000), 1_000, "é"),
            ("é".repeat(1_001), 1_000, "é…"),
            ("😀".repeat(5_000), 1_000, "😀…"),
        ] {
            let cut = cut(&text);
            assert_eq!(cut.chars().count(), chars);
            assert!(cut.ends_with(ends), "{cut}");
        }
    }
}
