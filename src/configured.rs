//! Whether what the files say is in force: what a refused reload, or a start with failing examples, leaves behind for people.

use serde::Serialize;

use crate::config::Problem;
use crate::domain::timestamp::{Timestamp, readable};

/// How the configuration stands, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Configured {
    /// What the files say is in force, and every example of the routes goes where it says.
    pub well: bool,
    #[serde(serialize_with = "readable::time")]
    pub since: Timestamp,
    /// Where the first problem is: `bridge.toml:5:1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// All problems, a line each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Configured {
    /// Well, if there are no problems.
    pub fn new(problems: &[Problem], since: Timestamp) -> Self {
        let problem = (!problems.is_empty()).then(|| {
            let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
            lines.join("\n")
        });
        Self { well: problems.is_empty(), since, file: problems.first().map(|first| first.place.clone()), problem }
    }
}
