//! How SQLite answers what the store asks: no question that is asked while alerts wait reads all rows of a table that grows.

use rusqlite::Connection;

use super::super::schema;

/// The files whose questions are asked while alerts wait: not those of operators (`read.rs`), nor the audit's.
const SOURCES: [(&str, &str); 12] = [
    ("claim.rs", include_str!("../claim.rs")),
    ("clock_jump.rs", include_str!("../clock_jump.rs")),
    ("digests.rs", include_str!("../digests.rs")),
    ("holds.rs", include_str!("../holds.rs")),
    ("numbers.rs", include_str!("../numbers.rs")),
    ("operate.rs", include_str!("../operate.rs")),
    ("polls.rs", include_str!("../polls.rs")),
    ("recent.rs", include_str!("../recent.rs")),
    ("retention.rs", include_str!("../retention.rs")),
    ("rows.rs", include_str!("../rows.rs")),
    ("timers.rs", include_str!("../timers.rs")),
    ("writer.rs", include_str!("../writer.rs")),
];

/// Tables that hold a row for each destination, rule or subscription, and not for each alert. `hop` is made by its question.
const SMALL: [&str; 6] = ["hold", "watermark", "gap", "rule_heard", "alive", "hop"];

/// Asked at the start, after trouble, or when the clock has jumped, and not of each alert.
const SELDOM: [&str; 3] = [
    "UPDATE timer SET due = due - ?1",
    "SELECT created_at, call FROM delivery WHERE kind = ?1 ORDER BY seq DESC LIMIT ?2",
    "SELECT page.state FROM timer JOIN page",
];

/// Indexes of what is open, dead or under way, and of nothing that has ended.
const OPEN: [&str; 7] = [
    "page_open",
    "delivery_claim",
    "delivery_lane",
    "delivery_open",
    "delivery_dead",
    "delivery_dead_page",
    "delivery_leased",
];

/// What is written between quotes.
fn literals(source: &str) -> Vec<String> {
    const QUOTE: &str = "\u{1}";
    let code = source.split("#[cfg(test)]").next().unwrap_or_default().replace("\\\"", QUOTE);
    assert!(code.matches('"').count().is_multiple_of(2), "a quote stands alone");
    code.split('"').skip(1).step_by(2).map(|text| text.replace(QUOTE, "\"")).collect()
}

fn is_question(text: &str) -> bool {
    ["SELECT ", "UPDATE ", "DELETE ", "WITH ", "INSERT "].iter().any(|word| text.trim_start().starts_with(word))
}

fn is_seldom(text: &str) -> bool {
    SELDOM.iter().any(|seldom| text.starts_with(seldom))
}

/// The steps of SQLite's plan that read a whole growing table, or build an index to avoid it.
fn costly(connection: &Connection, sql: &str) -> Vec<String> {
    let mut plan =
        connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap_or_else(|why| panic!("{sql}: {why}"));
    let unbound = vec![None::<i64>; plan.parameter_count()];
    let steps = plan.query_map(rusqlite::params_from_iter(unbound), |row| row.get::<_, String>(3)).unwrap();
    let is_costly = |step: &String| {
        let whole = step.strip_prefix("SCAN ").is_some_and(|rest| {
            let table = rest.split(' ').next().unwrap_or_default();
            let index = rest.split_once(" INDEX ").and_then(|(_, index)| index.split(' ').next());
            !SMALL.contains(&table)
                && !index.is_some_and(|index| OPEN.contains(&index))
                && !rest.starts_with("CONSTANT ROW")
        });
        whole || step.contains("AUTOMATIC")
    };
    steps.map(Result::unwrap).filter(is_costly).collect()
}

#[test]
fn no_question_reads_a_whole_table_that_grows() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    let mut asked = 0;
    let mut found = Vec::new();
    for (file, source) in SOURCES {
        for sql in literals(source).into_iter().filter(|text| is_question(text) && !is_seldom(text)) {
            asked += 1;
            found.extend(costly(&connection, &sql).into_iter().map(|step| format!("{file}: {step}: {sql}")));
        }
    }
    assert!(asked > 50, "only {asked} were recognized");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_costly_question_is_seen() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    assert_eq!(costly(&connection, "SELECT 1 FROM alert WHERE state = ?1"), ["SCAN alert"]);
    assert_eq!(costly(&connection, "SELECT 1 FROM alert WHERE hash = ?1"), [""; 0]);
}
