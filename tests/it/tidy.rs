//! The rules of the house that no lint knows: the layers, the sizes, the names, the snapshots.
//!
//! Every rule is a pure function over text, so that it can be shown to fail; see `tidy/rules.rs` for how a rule reads.

use std::fs;
use std::path::Path;

mod rules;
mod source;

use self::source::Source;

/// A file of the project, its path relative to the root and with `/`.
#[derive(Clone, Debug)]
struct Text {
    path: String,
    text: String,
}

/// All files with this ending below the folders, in the order of their paths.
fn files(folders: &[&str], ending: &str) -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push(Text { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn check_sources(rule: fn(&Source) -> Vec<String>) {
    let sources: Vec<Source> = files(&["src"], ".rs").iter().map(|file| Source::read(&file.path, &file.text)).collect();
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "the sources are where they are looked for");
    assert_none(&sources.iter().flat_map(rule).collect::<Vec<_>>());
}

fn check_files(rule: fn(&str, &str) -> Option<String>) {
    let files = files(&["src", "tests", "benches"], ".rs");
    assert_none(&files.iter().filter_map(|file| rule(&file.path, &file.text)).collect::<Vec<_>>());
}

#[test]
fn modules_import_only_what_their_layer_allows() {
    check_sources(rules::layers);
}

#[test]
fn the_domain_is_pure() {
    check_sources(rules::domain_is_pure);
}

#[test]
fn only_the_clock_asks_for_the_time() {
    check_sources(rules::one_clock);
}

#[test]
fn files_stay_short() {
    check_files(rules::length);
}

#[test]
fn files_and_modules_have_telling_names() {
    check_files(rules::name);
}

#[test]
fn files_say_what_they_are_for() {
    check_files(rules::says_what_it_is_for);
}

/// SECURITY.md names the test that shows each requirement, README.md those of each promise, so that
/// `cargo nextest run NAME` runs it.
#[test]
fn tables_of_tests_name_tests_that_exist() {
    let sources = files(&["src", "tests"], ".rs");
    let exists = |name: &&str| {
        let (module, test) = name.rsplit_once("::").unwrap();
        let is_there = |file: &&Text| {
            let path = module_of(file);
            (path == module || path.ends_with(&format!("::{module}"))) && file.text.contains(&format!("fn {test}("))
        };
        sources.iter().any(|file| is_there(&file))
    };
    for (document, at_least) in [("SECURITY.md", 30), ("README.md", 30)] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap();
        let rows = text.lines().filter(|line| line.starts_with("| ") && line.contains("::")).collect::<Vec<_>>();
        let named: Vec<&str> = rows
            .iter()
            .filter_map(|row| row.trim_end_matches(" |").rsplit_once("| "))
            .flat_map(|(_, tests)| tests.split(", "))
            .map(|test| test.trim_matches('`'))
            .collect();
        assert!(named.len() >= at_least, "the table of {document} is where it is looked for: {}", named.len());
        let missing: Vec<String> =
            named.iter().filter(|name| !exists(name)).map(|name| format!("{document}: {name}")).collect();
        assert_none(&missing);
    }
}

/// `faults::rounds` of `tests/it/faults/rounds.rs`, `store::file::tests` of a file with its own tests.
fn module_of(file: &Text) -> String {
    let path = file.path.trim_end_matches(".rs");
    let path = path.strip_prefix("src/").or_else(|| path.strip_prefix("tests/it/")).unwrap_or(path).replace('/', "::");
    if file.text.contains("\nmod tests {") { format!("{path}::tests") } else { path }
}

#[test]
fn snapshots_belong_to_a_test() {
    let sources = files(&["src", "tests"], ".rs");
    let snapshots = files(&["src", "tests"], ".snap");
    let source = |path: &str| sources.iter().find(|source| source.path == path).map(|source| source.text.as_str());
    let fixtures = files(&["fixtures"], ".json");
    let is_fixture = |name: &str| fixtures.iter().any(|fixture| fixture.path.ends_with(&format!("/{name}.json")));
    let violations =
        snapshots.iter().filter_map(|snapshot| rules::snapshot(&snapshot.path, &snapshot.text, source, is_fixture));
    assert_none(&violations.collect::<Vec<_>>());
}
