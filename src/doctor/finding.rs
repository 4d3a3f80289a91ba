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
        Self { check, target: target.to_owned(), outcome: Outcome::Pass, detail: detail.into(), mend: None }
    }

    pub(super) fn warn(check: &'static str, target: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warn, mend: Some(mend.into()), ..Self::pass(check, target, detail) }
    }

    pub(super) fn fail(check: &'static str, target: &str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, mend: Some(mend.into()), ..Self::pass(check, target, detail) }
    }

    pub(super) fn untested(check: &'static str, target: &str, detail: impl Into<String>, mend: Option<String>) -> Self {
        Self { outcome: Outcome::Untested, mend, ..Self::pass(check, target, detail) }
    }
}
