//! The rules. Each takes text and says what is wrong with it, in a sentence that names the place and the mend.

use super::source::Source;

/// Who must not know whom, from the root down. `domain` has a rule of its own: nothing but itself.
const STRANGERS: [(&str, &[&str]); 4] = [
    ("azure", &["signl4", "simulator"]),
    ("signl4", &["azure", "simulator"]),
    ("store", &["azure", "signl4", "simulator"]),
    ("simulator", &["azure", "signl4"]),
];

/// Longer files hide more than one thing; about 350 lines is the aim.
const LINES: usize = 600;

const EMPTY_NAMES: [&str; 8] = ["utils", "util", "helpers", "helper", "common", "types", "misc", "shared"];

/// What a pure function has no use for.
const IMPURE: [&str; 13] = [
    "async ",
    ".await",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "tokio",
    "reqwest",
    "rusqlite",
    "axum",
];

pub(super) fn layers(source: &Source) -> Vec<String> {
    let room = source.room();
    let strangers =
        STRANGERS.iter().find(|(name, _)| *name == room).map(|(_, strangers)| *strangers).unwrap_or_default();
    let forbidden = |module: &str| strangers.contains(&module) || (room == "domain" && module != "domain");
    let imports = source.imports().into_iter().filter(|import| forbidden(&import.module));
    imports
        .map(|import| {
            format!(
                "{}:{}: `{room}` must not know `{}`; what both need goes to the domain",
                source.path, import.line, import.module
            )
        })
        .collect()
}

pub(super) fn domain_is_pure(source: &Source) -> Vec<String> {
    if source.room() != "domain" {
        return Vec::new();
    }
    let impure =
        IMPURE.iter().flat_map(|word| source.lines_with(word).into_iter().map(move |line| (line, word.trim())));
    impure
        .map(|(line, word)| {
            format!("{}:{line}: `{word}` in the domain, which is pure: take the value as a parameter", source.path)
        })
        .collect()
}

/// The time of day is asked in one place. `Instant` tells no time of day: it measures how long a wait or a call took.
pub(super) fn one_clock(source: &Source) -> Vec<String> {
    if source.path == "src/clock.rs" {
        return Vec::new();
    }
    let measures: Vec<usize> = source.lines_with("Instant::now()");
    let lines = source.lines_with("::now()").into_iter();
    lines
        .filter(|line| !measures.contains(line))
        .map(|line| format!("{}:{line}: only src/clock.rs asks for the time: take `now` or a `Clock`", source.path))
        .collect()
}

pub(super) fn length(path: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES).then(|| format!("{path}: {lines} lines, {LINES} at most: split it by concern"))
}

pub(super) fn name(path: &str, _text: &str) -> Option<String> {
    let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if parts.last() == Some(&"mod") {
        return Some(format!("{path}: name it after its folder, beside it, instead of mod.rs"));
    }
    let empty = parts.iter().find(|part| EMPTY_NAMES.contains(part))?;
    Some(format!("{path}: `{empty}` does not say what is inside"))
}

pub(super) fn says_what_it_is_for(path: &str, text: &str) -> Option<String> {
    let says =
        text.lines().next().and_then(|line| line.strip_prefix("//!")).is_some_and(|line| !line.trim().is_empty());
    (!says).then(|| format!("{path}: the first line is not `//!` and a sentence that says what the file is for"))
}

/// A snapshot's header names the file of its test, and its own name holds the test's name or the name given to it. The
/// exact check is in `./dev test`, which knows what the tests compared; this one is at hand in every `cargo test`.
pub(super) fn snapshot<'a>(
    path: &str,
    text: &str,
    source: impl Fn(&str) -> Option<&'a str>,
    is_fixture: impl Fn(&str) -> bool,
) -> Option<String> {
    let from = text.lines().find_map(|line| line.strip_prefix("source: ")).unwrap_or("");
    let Some(test) = source(from) else {
        return Some(format!("{path}: its test file `{from}` does not exist: delete the snapshot"));
    };
    let file = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".snap");
    let name = file.rsplit("__").next().unwrap_or(file);
    let without_count = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-');
    let known = [format!("\"{name}\""), format!("fn {without_count}("), format!("fn test_{without_count}(")];
    // One test over all fixtures names each snapshot after its fixture.
    let is_known = known.iter().any(|known| test.contains(known)) || is_fixture(name);
    (!is_known).then(|| format!("{path}: nothing in {from} is called `{name}`: delete the snapshot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(rule: fn(&Source) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&Source::read(path, text))
    }

    #[test]
    fn layers_are_kept() {
        let crossed = |path, text| said(layers, path, text).len();
        assert_eq!(crossed("src/domain/page.rs", "use crate::domain::id::Side;\nuse super::event::Event;"), 0);
        assert_eq!(crossed("src/domain/page.rs", "use crate::secret::Secret;"), 1);
        assert_eq!(crossed("src/domain.rs", "use crate::{clock, config};"), 2);
        assert_eq!(crossed("src/azure/parse.rs", "use crate::domain::id;\nuse crate::tokens::Tokens;"), 0);
        assert_eq!(crossed("src/azure/parse.rs", "use crate::signl4::parse;"), 1);
        assert_eq!(crossed("src/signl4/deliver.rs", "use super::super::azure::deliver;"), 1);
        assert_eq!(crossed("src/signl4.rs", "fn f() { crate::azure::parse::parse() }"), 1);
        assert_eq!(crossed("src/store.rs", "use crate::azure;"), 1);
        assert_eq!(crossed("src/store/sqlite.rs", "use crate::{domain::page, signl4::x};"), 1);
        assert_eq!(crossed("src/simulator/azure.rs", "use crate::azure::parse;"), 1);
        assert_eq!(crossed("src/simulator/azure.rs", "use super::signl4::Team;\nuse crate::simulator::signl4;"), 0);
        assert_eq!(crossed("src/worker.rs", "use crate::{azure, signl4};"), 0);
        let said = said(layers, "src/azure/parse.rs", "\n\nuse crate::signl4::parse;");
        assert!(said[0].starts_with("src/azure/parse.rs:3: `azure` must not know `signl4`"), "{said:?}");
    }

    #[test]
    fn the_domain_has_no_io_and_no_async() {
        let impure = |path, text| said(domain_is_pure, path, text).len();
        assert_eq!(impure("src/domain/decide.rs", "pub fn decide() {}\nuse std::time::Duration;"), 0);
        assert_eq!(impure("src/domain/decide.rs", "pub async fn decide() {}"), 1);
        assert_eq!(impure("src/domain/decide.rs", "use std::fs;\nuse tokio::sync::mpsc;"), 2);
        assert_eq!(
            impure("src/domain/decide.rs", "// async code calls this\n#[cfg(test)]\nmod tests { use std::fs; }"),
            0
        );
        assert_eq!(impure("src/worker.rs", "pub async fn work() {}"), 0);
    }

    #[test]
    fn the_time_is_asked_in_one_place() {
        let asked = |path, text| said(one_clock, path, text).len();
        assert_eq!(asked("src/worker.rs", "let now = jiff::Timestamp::now();"), 1);
        assert_eq!(asked("src/worker.rs", "let now = SystemTime::now();"), 1);
        assert_eq!(asked("src/worker.rs", "let start = Instant::now();"), 0);
        assert_eq!(asked("src/worker.rs", "let id = Uuid::now_v7();"), 0);
        assert_eq!(asked("src/worker.rs", "let now = self.clock.now();"), 0);
        assert_eq!(asked("src/clock.rs", "jiff::Timestamp::now()"), 0);
    }

    #[test]
    fn long_files_are_named() {
        assert_eq!(length("src/a.rs", &"\n".repeat(LINES)), None);
        assert!(length("src/a.rs", &"\n".repeat(LINES + 1)).is_some());
    }

    #[test]
    fn empty_names_are_named() {
        assert_eq!(name("src/azure/parse.rs", ""), None);
        assert_eq!(name("src/model.rs", ""), None, "only the whole name counts");
        for path in ["src/azure/mod.rs", "src/utils.rs", "src/helpers/time.rs", "tests/it/common.rs", "src/types.rs"] {
            assert!(name(path, "").is_some(), "{path}");
        }
    }

    #[test]
    fn a_file_without_a_sentence_is_named() {
        assert_eq!(says_what_it_is_for("src/a.rs", "//! What it is for.\n"), None);
        for text in ["", "use a;\n//! Late.", "//!\n", "// No doc comment.\n"] {
            assert!(says_what_it_is_for("src/a.rs", text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_snapshot_without_a_test_is_named() {
        let sources = |path: &str| {
            (path == "src/render.rs")
                .then_some("#[test]\nfn test_title() { assert_snapshot!(\"metric\", x); }\nfn plain() {}")
        };
        let fixture = |name: &str| name == "budget-actual-cost";
        let header = "---\nsource: src/render.rs\nexpression: x\n---\ntext";
        let at = |name: &str| format!("src/snapshots/signl4_azure_bridge__render__tests__{name}.snap");
        for name in ["metric", "title", "title-2", "plain", "plain-12", "budget-actual-cost"] {
            assert_eq!(snapshot(&at(name), header, sources, fixture), None, "{name}");
        }
        assert!(snapshot(&at("gone"), header, sources, fixture).is_some());
        assert!(snapshot(&at("metric"), &header.replace("render", "gone"), sources, fixture).is_some());
        assert!(snapshot(&at("metric"), "", sources, fixture).is_some());
    }
}
