//! Pages that go out late: they ask first whether they are still true, and say how late they are.

use std::time::Duration;

use serde_json::Value;

use super::delivery::Origin;
use super::render::TITLE_CHARS;
use super::timestamp::Timestamp;

/// A page is late from here on. Below it a person would not care, and Azure's own retries take a minute.
pub const LATE: Duration = Duration::from_mins(5);

/// How late a page is, if it is late.
pub fn lateness(origin: &Origin, now: Timestamp) -> Option<Duration> {
    let late = now.since(origin.since);
    (late >= LATE).then_some(late)
}

/// The body with `[delayed 23 min]` before its title, which stays within its length.
pub fn marked(mut body: Value, late: Duration) -> Value {
    if let Some(title) = body.get_mut("Title") {
        let marked = format!("[delayed {}] {}", in_words(late), title.as_str().unwrap_or_default());
        let cut: String = if marked.chars().count() > TITLE_CHARS {
            marked.chars().take(TITLE_CHARS.saturating_sub(1)).chain(['…']).collect()
        } else {
            marked
        };
        *title = Value::String(cut);
    }
    body
}

/// `23 min`, `3 h`, `2 d`: the largest unit of which there are two at least.
fn in_words(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_is_late_after_five_minutes() {
        let origin = Origin { since: Timestamp::from_millis(0), alert: None };
        let late = |seconds: i64| lateness(&origin, Timestamp::from_millis(seconds * 1_000));
        assert_eq!(late(299), None);
        assert_eq!(late(-900), None, "a clock was set back");
        assert_eq!(late(1_380), Some(Duration::from_mins(23)));
    }

    #[test]
    fn the_title_says_how_late_and_stays_within_its_length() {
        let title =
            |text: &str, minutes| marked(json!({ "Title": text, "Message": "m" }), Duration::from_mins(minutes));
        assert_eq!(title("db1 is down", 23), json!({ "Title": "[delayed 23 min] db1 is down", "Message": "m" }));
        assert_eq!(title("db1 is down", 125)["Title"], "[delayed 2 h] db1 is down");
        assert_eq!(title("db1 is down", 3_000)["Title"], "[delayed 2 d] db1 is down");
        let long = title(&"ä".repeat(80), 23);
        let text = long["Title"].as_str().unwrap();
        assert_eq!(text.chars().count(), 80);
        assert!(text.starts_with("[delayed 23 min] ää") && text.ends_with('…'));
    }
}
