//! Cutting, joining and naming: small tools for text that a person reads.

use crate::domain::timestamp::Timestamp;

/// At most `chars` characters: cut at a word where one ends near, marked with `…`. A link is never cut: one that does
/// not fit is left out whole.
pub(super) fn clip(text: &str, chars: usize) -> String {
    let text = text.trim();
    // No text has more characters than bytes.
    if text.len() <= chars || text.chars().count() <= chars {
        return text.to_owned();
    }
    let kept: String = text.chars().take(chars.saturating_sub(1)).collect();
    let at_boundary = text.chars().nth(kept.chars().count()).is_none_or(char::is_whitespace);
    let kept = if at_boundary { kept.as_str() } else { whole_words(&kept) };
    let mut kept = without_joint(kept);
    if ends_with_link(kept) && kept.chars().count().saturating_add(2) > chars {
        kept = without_joint(kept.rsplit_once(char::is_whitespace).map_or("", |(words, _)| words));
    }
    // A mark that touches a link would be opened with it.
    let blank = if ends_with_link(kept) { " " } else { "" };
    format!("{kept}{blank}…")
}

/// Without what would join a next word; a link may end as it likes.
fn without_joint(kept: &str) -> &str {
    let kept = kept.trim_end();
    if ends_with_link(kept) {
        return kept;
    }
    kept.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':' | '-' | '–' | '('))
}

fn ends_with_link(text: &str) -> bool {
    text.rsplit(char::is_whitespace).next().is_some_and(is_link)
}

/// Without the word at the end that was cut, unless that would cost too much.
fn whole_words(kept: &str) -> &str {
    let Some((words, cut_word)) = kept.rsplit_once(char::is_whitespace) else {
        return if is_link(kept) { "" } else { kept };
    };
    if is_link(cut_word) || cut_word.chars().count() <= 24 { words } else { kept }
}

fn is_link(word: &str) -> bool {
    word.contains("://")
}

/// Characters that show nothing and can turn a line around: they have no business in a name.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Runs of blanks and hidden characters as one blank.
pub(super) fn one_line(text: &str) -> String {
    if is_one_line(text) {
        return text.to_owned();
    }
    text.split(|c: char| c.is_whitespace() || is_hidden(c))
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// As most texts are, without looking at each character's kind.
fn is_one_line(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
}

/// A time in a fact's value, as people read it; other text as it is.
pub(super) fn with_time(value: &str) -> String {
    let looks_like_time = value.len() >= 19 && value.contains('T') && value.contains(':');
    let time = if looks_like_time { Timestamp::parse(value) } else { None };
    time.map_or_else(|| value.to_owned(), super::shown_time)
}

/// Whether the text has a word that `told` has not; small words do not count.
pub(super) fn says_more(text: &str, told: &str) -> bool {
    const SMALL: [&str; 12] = ["a", "an", "and", "at", "for", "in", "is", "of", "on", "the", "to", "with"];
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    let told = words(told);
    words(text).iter().any(|word| !SMALL.contains(&word.as_str()) && !told.contains(word))
}

/// ARM ids within a text as the names of what they stand for.
pub(super) fn without_ids(text: &str) -> String {
    let shortened = |word: &str| -> Option<String> {
        let (before, id) = word.split_once("/subscriptions/").filter(|(before, _)| before.len() <= 2)?;
        let path = id.trim_end_matches(|c: char| !c.is_alphanumeric());
        let after = id.get(path.len()..)?;
        let name = path.rsplit_once('/').map(|(_, name)| name).filter(|name| !name.is_empty())?;
        Some(format!("{before}{name}{after}"))
    };
    text.split(' ').map(|word| shortened(word).unwrap_or_else(|| word.to_owned())).collect::<Vec<_>>().join(" ")
}

/// Longest address that is one, in bytes: what is longer may have been cut while it was read.
const ADDRESS_BYTES: usize = 2_048;

/// Whether the text is the whole address of a page.
pub(super) fn is_web_address(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && text.len() <= ADDRESS_BYTES
        && !text.contains(|c: char| c.is_whitespace() || is_hidden(c))
}

/// Lines without hidden characters, joined.
pub(super) fn lines(lines: &[String]) -> String {
    let joined = lines.join("\n");
    if joined.bytes().all(|byte| matches!(byte, b' ' | b'\n') || byte.is_ascii_graphic()) {
        return joined;
    }
    joined.chars().filter(|c| !is_hidden(*c) || *c == '\n').collect()
}

/// Longest link that a line of the message may hold, in characters.
const LINK_CHARS: usize = 600;

/// `name: value` on one line; a link is kept whole, or named as too long.
pub(super) fn fact(name: &str, value: &str, chars: usize) -> String {
    let value = value.trim();
    if is_web_address(value) {
        let fits = value.chars().count() <= LINK_CHARS;
        return format!("{}: {}", clip(&one_line(name), 40), if fits { value } else { "(a long link)" });
    }
    format!("{}: {}", clip(&one_line(name), 40), clip(&one_line(value), chars))
}

/// `Name: value`, where there is a value.
pub(super) fn stated(name: &str, value: Option<&str>) -> Option<String> {
    value.map(one_line).filter(|value| !value.is_empty()).map(|value| fact(name, &value, 300))
}

/// The last segment of an ARM id; `None` for other text.
pub(super) fn arm_name(id: &str) -> Option<&str> {
    if !id.starts_with('/') {
        return None;
    }
    id.rsplit('/').find(|segment| !segment.is_empty())
}

/// The last segment of the ARM id of a resource or a resource group; `None` for a whole subscription.
pub(super) fn resource_name(id: &str) -> Option<&str> {
    let segments = id.split('/').filter(|segment| !segment.is_empty()).count();
    if segments > 2 { arm_name(id) } else { None }
}

/// The name of what `name` is a part of, if the ARM id is that of a part: `…/servers/sql-prod-01/databases/payments`.
pub(super) fn parent_name<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let (_, below) = id.rsplit_once("/providers/")?;
    let mut segments = below.rsplit('/').filter(|segment| !segment.is_empty());
    let last = segments.next().filter(|last| last.eq_ignore_ascii_case(name))?;
    let _kind = segments.next().filter(|_| !last.is_empty())?;
    let parent = segments.next()?;
    // Namespace, type and name: a whole.
    segments.nth(1).map(|_| parent)
}

/// An ARM id in a URL: what does not belong there is escaped.
pub(super) fn url_path(id: &str) -> String {
    let mut path = String::new();
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
    }
    path
}

/// `virtualMachines` as `virtual Machines`, `dtu_used` as `dtu used`: the words of a programmer's name.
pub(super) fn split_words(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    for (at, c) in chars.iter().enumerate() {
        if c.is_whitespace() || matches!(c, '_' | '/' | '-') {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let after = chars.get(at.saturating_add(1));
        let begins = c.is_uppercase()
            && (before.is_some_and(|before| before.is_lowercase())
                || (before.is_some_and(|before| before.is_uppercase())
                    && after.is_some_and(|after| after.is_lowercase())));
        if begins {
            words.push(std::mem::take(&mut word));
        }
        word.push(*c);
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The first character in upper case.
pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// `PT5M` as `5 min`, `P1D` as `1 day`; other text as it is.
pub(super) fn duration(text: &str) -> String {
    let seconds = if text.starts_with(['P', 'p']) {
        text.parse::<jiff::Span>().ok().and_then(|span| span_seconds(&span))
    } else {
        clock_seconds(text)
    };
    let Some(seconds) = seconds.filter(|seconds| *seconds > 0) else {
        return clip(&one_line(text), 24);
    };
    let unit =
        [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")].into_iter().find(|(size, _)| seconds % size == 0);
    let (size, name) = unit.unwrap_or((1, "s"));
    match (seconds / size, name) {
        (1, "days") => "1 day".to_owned(),
        (number, name) => format!("{number} {name}"),
    }
}

/// A measured time, in the two largest units: `45 s`, `31 min`, `3 h 5 min`, `2 days 4 h`.
pub(super) fn span(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    let two = |large: String, small: u64, unit: &str| {
        if small == 0 { large } else { format!("{large} {small} {unit}") }
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => two(format!("{hours} h"), minutes % 60, "min"),
        (1, ..) => two("1 day".to_owned(), hours % 24, "h"),
        (..) => two(format!("{days} days"), hours % 24, "h"),
    }
}

fn span_seconds(span: &jiff::Span) -> Option<i64> {
    let days = i64::from(span.get_weeks()).checked_mul(7)?.checked_add(i64::from(span.get_days()))?;
    let hours = days.checked_mul(24)?.checked_add(i64::from(span.get_hours()))?;
    let minutes = hours.checked_mul(60)?.checked_add(span.get_minutes())?;
    minutes.checked_mul(60)?.checked_add(span.get_seconds())
}

/// `00:05:00`.
fn clock_seconds(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds): (i64, i64, i64) =
        (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    hours.checked_mul(3_600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_at_a_word_and_never_inside_a_link() {
        for (text, chars, cut) in [
            ("short", 10, "short"),
            ("one two three", 13, "one two three"),
            ("one two three", 12, "one two…"),
            ("one two, three", 9, "one two…"),
            ("einführungsmaßnahmen", 6, "einfü…"),
            ("see https://example.com/long/link now", 20, "see…"),
            ("https://example.com/long/link", 20, "…"),
            ("see https://example.com/ for more", 27, "see https://example.com/ …"),
            ("see https://example.com/ for more", 26, "see https://example.com/ …"),
            ("see https://example.com/ for more", 25, "see…"),
            ("see https://example.com/ ::::::::::::::::::::::::::::::", 50, "see https://example.com/ …"),
            ("see https://example.com/- for more", 27, "see https://example.com/- …"),
        ] {
            assert_eq!(clip(text, chars), cut, "{text}");
        }
    }

    #[test]
    fn links_in_facts_stay_whole() {
        let link = format!("https://example.com/{}", "p".repeat(300));
        assert_eq!(fact("runbook", &link, 120), format!("runbook: {link}"));
        let long = format!("https://example.com/{}", "p".repeat(700));
        assert_eq!(fact("runbook", &long, 120), "runbook: (a long link)");
    }

    #[test]
    fn hidden_characters_go() {
        assert_eq!(one_line("vm\u{202e}gnp\r\n\tname\u{0}"), "vm gnp name");
        for text in ["vm name", " vm name", "vm name ", "vm  name", "vm\tname", "vm\u{a0}name"] {
            assert_eq!(one_line(text), "vm name", "{text:?}");
        }
    }

    #[test]
    fn durations_are_for_people() {
        for (text, shown) in [
            ("PT5M", "5 min"),
            ("PT1H", "1 h"),
            ("PT90M", "90 min"),
            ("P1D", "1 day"),
            ("PT48H", "2 days"),
            ("PT45S", "45 s"),
            ("00:05:00", "5 min"),
            ("PT0S", "PT0S"),
            ("P99999999Y", "P99999999Y"),
            ("soon", "soon"),
        ] {
            assert_eq!(duration(text), shown, "{text}");
        }
    }

    #[test]
    fn measured_times_are_for_people() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (1_866, "31 min"),
            (3_600, "1 h"),
            (11_100, "3 h 5 min"),
            (90_000, "1 day 1 h"),
            (187_200, "2 days 4 h"),
        ] {
            assert_eq!(span(std::time::Duration::from_secs(seconds)), shown);
        }
    }

    #[test]
    fn programmers_names_become_words() {
        assert_eq!(split_words("SuccessE2ELatency"), ["Success", "E2E", "Latency"]);
        assert_eq!(split_words("dtu_consumption_percent"), ["dtu", "consumption", "percent"]);
        assert_eq!(split_words("Percentage CPU"), ["Percentage", "CPU"]);
    }

    #[test]
    fn a_title_that_says_nothing_new_is_known() {
        let told = "Maintenance: Azure Database for PostgreSQL flexible servers, North Europe planned";
        assert!(!says_more("Planned maintenance of Azure Database for PostgreSQL", told));
        assert!(says_more("Failover of Azure Database for PostgreSQL", told));
        assert!(!says_more("", told));
    }

    #[test]
    fn arm_ids_in_a_text_become_names() {
        for (text, short) in [
            ("resource '/subscriptions/x/resourceGroups/rg/providers/a/b/vmss-web' from", "resource 'vmss-web' from"),
            ("/subscriptions/x", "/subscriptions/x"),
            ("https://example.com/subscriptions/x/y", "https://example.com/subscriptions/x/y"),
            ("no id", "no id"),
        ] {
            assert_eq!(without_ids(text), short);
        }
    }

    #[test]
    fn arm_ids_are_escaped_for_a_url() {
        assert_eq!(url_path("/subscriptions/a b/é"), "/subscriptions/a%20b/%c3%a9");
        assert_eq!(resource_name("/subscriptions/x"), None);
        assert_eq!(resource_name("/subscriptions/x/resourcegroups/rg"), Some("rg"));
    }

    #[test]
    fn parts_know_their_whole() {
        let group = "/subscriptions/x/resourcegroups/rg";
        let database = format!("{group}/providers/microsoft.sql/servers/sql-1/databases/orders");
        assert_eq!(parent_name(&database, "Orders"), Some("sql-1"));
        assert_eq!(parent_name(&database, "other"), None);
        assert_eq!(parent_name(&format!("{group}/providers/microsoft.sql/servers/sql-1"), "sql-1"), None);
        assert_eq!(parent_name(group, "rg"), None);
    }
}
