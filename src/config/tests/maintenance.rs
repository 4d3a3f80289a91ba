//! `[[maintenance]]`: what is read, and what is refused with which words.

use super::{Config, Folder, LEAST};
use crate::domain::timestamp::Timestamp;

const WEEKLY: &str = "name = \"w\"\nfrom = \"22:00\"\nto = \"02:00\"\ntime_zone = \"Europe/Berlin\"\n";

fn load(window: &str) -> Result<Config, super::ConfigError> {
    let folder = Folder::new(LEAST);
    std::fs::create_dir_all(folder.path("routes")).unwrap();
    folder.write("routes/a.toml", &format!("[[maintenance]]\n{window}"));
    Config::load(&folder.path("bridge.toml"), None, &folder.env)
}

fn check_error(window: &str, expected: &str) {
    let error = load(window).unwrap_err().to_string();
    assert!(error.contains(&format!("a.toml:{expected}")), "{window}\nsaid {error}");
}

#[test]
fn windows_are_read_with_their_criteria() {
    let config = load(&format!("{WEEKLY}days = [\"Sat\"]\nmatch = {{ not = {{ severity = [\"Sev0\"] }} }}\n")).unwrap();
    let window = &config.rules.windows[0];
    assert_eq!((window.name.as_str(), window.line, window.criteria.not.is_some()), ("w", 1, true));
    let at = |text: &str| window.times.open_until(Timestamp::parse(text).unwrap());
    assert_eq!(at("2026-11-28T22:00:00Z"), Timestamp::parse("2026-11-29T01:00:00Z"));
    assert_eq!(at("2026-11-29T22:00:00Z"), None);

    let once = "name = \"move\"\nstart = 2026-12-01T22:00:00+01:00\nend = 2026-12-02T02:00:00+01:00\n";
    let config = load(once).unwrap();
    let open = config.rules.windows[0].times.open_until(Timestamp::parse("2026-12-01T21:00:00Z").unwrap());
    assert_eq!(open, Timestamp::parse("2026-12-02T01:00:00Z"));
}

#[test]
fn each_error_of_a_window_names_place_and_mend() {
    for (change, expected) in [
        (
            ("22:00", "25:00"),
            "3:8: `from` in maintenance window `w` is \"25:00\", but must be a time of day such as \"22:00\" or \"06:30\"",
        ),
        (("22:00", "9:00"), "3:8: `from` in maintenance window `w` is \"9:00\", but must be a time of day"),
        (
            ("Europe/Berlin", "Europe/Berln"),
            "5:13: `time_zone` in maintenance window `w` is \"Europe/Berln\", which is no time zone; write one such as \"Europe/Berlin\" or \"UTC\"",
        ),
        (("name = \"w\"\n", ""), "1:1: `name` is missing in [[maintenance]]"),
        (("to = \"02:00\"\n", ""), "1:1: `to` is missing in maintenance window `w`"),
    ] {
        check_error(&WEEKLY.replace(change.0, change.1), expected);
    }
    check_error(
        &format!("{WEEKLY}days = [\"Sunday\"]\n"),
        "6:9: `days` in maintenance window `w` is `Sunday`, but must be `Mon`",
    );
    check_error(&format!("{WEEKLY}tems = 1\n"), "6:1: unknown key `tems` in maintenance window `w`");
    check_error(
        &format!("{WEEKLY}start = 2026-12-01\nend = 2026-12-02\n"),
        "3:8: `from` in maintenance window `w` goes with a window of each week",
    );
    check_error("name = \"w\"\nstart = 2026-12-01\n", "1:1: maintenance window `w` needs both `start` and `end`");
    check_error(
        "name = \"w\"\nstart = 2026-12-02\nend = 2026-12-01\n",
        "4:7: `end` in maintenance window `w` is not later than `start`",
    );
    check_error(
        &format!("{WEEKLY}[[maintenance]]\n{WEEKLY}"),
        "6:1: there is a maintenance window `w` already in a.toml:1",
    );
}
