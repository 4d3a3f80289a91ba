//! Errors of the configuration: as many as can be found in one go, each with its place and the mend.

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Everything that is wrong with the configuration. Values of secrets are never part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One error: `bridge.toml:12:1: unknown key …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub place: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// A file as it was read, for turning offsets into lines.
#[derive(Debug)]
pub(super) struct Source {
    /// As it is shown.
    pub(super) name: String,
    line_starts: Vec<usize>,
    text: String,
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Rc<Self> {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Rc::new(Self { name, line_starts: std::iter::once(0).chain(breaks).collect(), text })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Line and column, both from 1; the column counts characters.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|at| self.line_starts.get(at)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }
}

/// Where a key or value stands.
#[derive(Clone, Debug)]
pub(super) enum Place {
    File {
        source: Rc<Source>,
        offset: usize,
    },
    Variable {
        name: String,
    },
    /// A file or folder as a whole.
    Whole {
        name: String,
    },
}

impl Place {
    pub(super) fn line(&self) -> usize {
        match self {
            Self::File { source, offset } => source.position(*offset).0,
            Self::Variable { .. } | Self::Whole { .. } => 0,
        }
    }

    /// The line on which the content of a text at this place begins, and whether its lines are lines of the file.
    pub(super) fn text_lines(&self) -> (usize, bool) {
        let line = self.line();
        let Self::File { source, offset } = self else { return (line, false) };
        let rest = source.text().get(*offset..).unwrap_or_default();
        let escaped = |text: &str| text.split("\"\"\"").next().is_some_and(|content| content.contains('\\'));
        let content = match rest.strip_prefix("\"\"\"") {
            // An escape may be a line that the file does not have, or hide one that it has.
            Some(text) if escaped(text) => None,
            Some(text) => Some(text),
            None => rest.strip_prefix("'''"),
        };
        match content {
            Some(text) if text.starts_with(['\n', '\r']) => (line + 1, true),
            Some(_) => (line, true),
            None => (line, false),
        }
    }

    /// Where another line of the same file begins, behind its blanks; this place where there is no such line.
    pub(super) fn on_line(&self, line: usize) -> Self {
        let Self::File { source, .. } = self else { return self.clone() };
        let Some(start) = line.checked_sub(1).and_then(|at| source.line_starts.get(at)) else { return self.clone() };
        let rest = source.text.get(*start..).unwrap_or_default();
        let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        Self::File { source: Rc::clone(source), offset: start + blanks }
    }

    pub(super) fn is_variable(&self) -> bool {
        matches!(self, Self::Variable { .. })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { source, offset } => {
                let (line, column) = source.position(*offset);
                write!(f, "{}:{line}:{column}", source.name)
            }
            Self::Variable { name } => write!(f, "environment variable {name}"),
            Self::Whole { name } => f.write_str(name),
        }
    }
}

/// What is found on the way: errors, warnings, and the files whose change matters.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    pub(super) watched: std::collections::BTreeSet<PathBuf>,
    /// A secret stands in the configuration file itself.
    pub(super) plain_secrets: bool,
}

impl Findings {
    pub(super) fn error(&mut self, place: &impl fmt::Display, message: impl Into<String>) {
        self.problems.push(Problem { place: place.to_string(), message: message.into() });
    }

    pub(super) fn warn(&mut self, place: &impl fmt::Display, message: impl fmt::Display) {
        self.warnings.push(format!("{place}: {message}"));
    }
}

/// The file's name for people: relative paths as they were given.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// `; did you mean …?` for the nearest of the known words, or the list of all of them.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase().replace('-', "_")), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4 || candidate.starts_with(&word) && word.len() >= 3
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` or `c`.
pub(super) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
