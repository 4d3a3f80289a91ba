//! One line of the report: what was looked at, how it stands, and the one thing that mends it.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Pass,
    Warn,
    Fail,
    /// Could not be found out from here, and why is said.
    Untested,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of check it is: a name that stays.
    pub check: &'static str,
    /// What it was done to: `azure.contoso`, `signl4.ops`, an address, a file.
    pub target: String,
    pub outcome: Outcome,
    pub detail: String,
    /// One command or one click.
    pub mend: Option<String>,
}

impl Finding {
    pub(super) fn pass(check: &'static str, target: &str, detail: impl Into<String>) -> Self {
        Self { check, target: target.to_owned(), outcome: Outcome::Pass, detail: plain(detail), mend: None }
    }

    pub(super) fn warn(check: &'static str, target: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warn, mend: Some(plain(mend)), ..Self::pass(check, target, detail) }
    }

    pub(super) fn fail(check: &'static str, target: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, mend: Some(plain(mend)), ..Self::pass(check, target, detail) }
    }

    pub(super) fn untested(check: &'static str, target: &str, detail: impl Into<String>, mend: Option<String>) -> Self {
        Self { outcome: Outcome::Untested, mend: mend.map(plain), ..Self::pass(check, target, detail) }
    }
}

/// One line, fit for a terminal: names of teams and people, and words of proxies, come from outside.
fn plain(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.retain(|char| !char.is_control());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_a_terminal() {
        let finding = Finding::warn("api_key", "signl4.ops", "it sees \u{1b}[2Jops\nand more", "do\r this");
        assert_eq!((finding.detail.as_str(), finding.mend.as_deref()), ("it sees [2Jopsand more", Some("do this")));
    }
}
