use std::fmt::Write as _;
use std::path::Path;

use super::*;
use crate::domain::render::render;

const PORTAL: &str = "https://portal.azure.com";

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/azure");
    let mut fixtures: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    fixtures.sort();
    fixtures
}

/// The page, and what correlates it.
fn shown(body: &[u8]) -> String {
    let mut out = String::new();
    let notification = match parse(body) {
        Ok(notification) => notification,
        Err(error) => return format!("error: {error}\n"),
    };
    let page = render(&notification, PORTAL);
    let severity = notification.severity.map_or("none", crate::domain::event::Severity::as_str);
    writeln!(out, "key:       {}", notification.id.key()).unwrap();
    writeln!(out, "writable:  {}", notification.id.is_writable()).unwrap();
    writeln!(out, "condition: {:?}", notification.condition).unwrap();
    writeln!(out, "severity:  {severity}").unwrap();
    writeln!(out, "\n{}\n{}\n{}\n", page.title, "=".repeat(page.title.chars().count()), page.message).unwrap();
    for (name, value) in page.parameters {
        writeln!(out, "[{name}] {value}").unwrap();
    }
    out
}

#[test]
fn fixtures_are_paged_as_golden() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 45, "only {} fixtures", fixtures.len());
    for (name, body) in fixtures {
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, shown(&body));
        });
    }
}
