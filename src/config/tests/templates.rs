//! Templates of routes: what is read, and what is refused with file and line.

use super::{Folder, LEAST};
use crate::domain::render::template::{Location, Templates};

fn folder(keys: &str) -> Folder {
    let folder = Folder::new(LEAST);
    folder.write("routes/a.toml", &format!("[[route]]\nname = \"r\"\n{keys}\n"));
    folder
}

fn read(keys: &str) -> Option<Templates> {
    let config = folder(keys).load().unwrap_or_else(|error| panic!("{error}"));
    config.rules.routes[0].templates.clone()
}

#[test]
fn templates_are_read_and_know_their_lines() {
    assert_eq!(read("grace = \"2m\""), None);
    let templates = read(
        r#"title = "{{ severity }}"
message = """
{{ message }}
{{ rule }}"""
parameters = { Owner = "{{ custom.owner | default('-') }}", Rule = "" }
runbook = '''https://wiki.contoso.com/{{ rule }}'''
location = "{{ custom.at | default('') }}""#,
    )
    .unwrap();
    assert_eq!(templates.in_words(), "title, message, runbook, location, 2 parameters");
    assert_eq!(templates.title.unwrap().line(), 3);
    assert_eq!(templates.message.unwrap().line(), 5, "the first line of the text, not of the quotes");
    assert_eq!(templates.runbook.unwrap().line(), 8);
    let names: Vec<&str> = templates.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Owner", "Rule"]);
    assert!(matches!(templates.location, Some(Location::Template(_))));
}

#[test]
fn places_are_read_in_file_order() {
    let Some(Location::Table { property, table }) =
        read("location = { property = \"site\", table = { west = \"52.52, 13.40\", \"*\" = \"0,0\" } }")
            .and_then(|templates| templates.location)
    else {
        panic!("no table")
    };
    assert_eq!(property.as_deref(), Some("site"));
    let places: Vec<String> = table.iter().map(|(glob, place)| format!("{glob} {place}")).collect();
    assert_eq!(places, ["west 52.52,13.40", "* 0,0"]);
    let by_name = read("location = { table = { \"*-west\" = \"52.52,13.40\" } }").and_then(|found| found.location);
    assert!(matches!(by_name, Some(Location::Table { property: None, .. })));
}

#[test]
fn what_cannot_work_is_refused_with_its_place() {
    for (keys, error) in [
        (
            "title = \"{{ sevrity }}\"",
            "routes/a.toml:3:9: `title` in route `r` is no template: there is no variable `sevrity`; did you mean `severity`?",
        ),
        (
            "message = \"\"\"\nok\n{{ tilte }}\"\"\"",
            "routes/a.toml:5:1: `message` in route `r` is no template: there is no variable `tilte`; did you mean `title`?",
        ),
        ("message = \"\"\"ok\n  {{ tilte }}\n\"\"\"", "routes/a.toml:4:3: `message` in route `r` is no template: "),
        ("message = '''\n\\ {{ title }}\n{{ tilte }}'''", "routes/a.toml:5:1: `message` in route `r` is no template: "),
        // An escape moves the lines of the text: the place is the value's.
        ("message = \"\"\"a\\nb\n{{ tilte }}\"\"\"", "routes/a.toml:3:11: `message` in route `r` is no template: "),
        ("message = \"\"\"a \\\n  b\n{{ tilte }}\"\"\"", "routes/a.toml:3:11: `message` in route `r` is no template: "),
        (
            "runbook = \"https://example.com/{{ detail.trackingid }}\"",
            "there is no variable `detail.trackingid`; did you mean `detail.tracking_id`?",
        ),
        ("title = \"{{ zzz }}\"", "there is no variable `zzz`; there are title, message, severity"),
        ("title = \"{{ title\"", "routes/a.toml:3:9: `title` in route `r` is no template: syntax error: "),
        ("title = \"\"", "`title` in route `r` is empty"),
        ("title = 3", "`title` in route `r` must be a text in quotes and not an integer"),
        ("titel = \"x\"", "unknown key `titel` in route `r`; did you mean `title`?"),
        ("parameters = \"x\"", "`parameters` in route `r` must be a table such as"),
        (
            "parameters = { Description = \"x\" }",
            "routes/a.toml:3:16: `Description` in `parameters` of route `r` is a name under which SIGNL4 looks for title and text",
        ),
        ("parameters = { x-s4-Status = \"x\" }", "`x-s4-Status` in `parameters` of route `r` begins like SIGNL4's own"),
        ("parameters = { Owner = \"a\", owner = \"b\" }", "`owner` in `parameters` of route `r` stands there twice"),
        ("parameters = { \"\" = \"a\" }", "must be a name of one line and 1 to 40 characters"),
        ("parameters = { Owner = true }", "`Owner` in `parameters` of route `r` must be a text in quotes"),
        (
            "runbook = \"https://example.com\"\nparameters = { RunBook = \"x\" }",
            "`parameters` in route `r` names `Runbook`, and `runbook` gives it already",
        ),
        ("location = \"Berlin\"", "routes/a.toml:3:12: `location` in route `r` must be a latitude and a longitude"),
        ("location = { table = { a = \"91,0\" } }", "`a` in `table` of `location` of route `r` must be a latitude"),
        ("location = { property = \"site\" }", "`table` is missing in `location` of route `r`"),
        ("location = { table = {} }", "`table` in `location` of route `r` is empty"),
        ("location = { prop = \"a\", table = { a = \"1,1\" } }", "unknown key `prop`"),
    ] {
        let errors = folder(keys).errors();
        assert!(errors.len() == 1 && errors[0].contains(error), "{keys}\n{errors:?}");
    }
}
