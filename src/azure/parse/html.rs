//! HTML of service health texts as plain text: tags go, blocks become lines, links and characters stay whole.
//!
//! Not a parser of HTML: it must read what Microsoft's writers paste, and must not fail on anything.

use crate::lenient::{TEXT_CHARS, cut};

/// Tags after which a new line begins.
const BLOCKS: [&str; 10] = ["p", "br", "div", "li", "tr", "ul", "ol", "h1", "h2", "h3"];
/// Elements whose text is none.
const SILENT: [&str; 2] = ["style", "script"];

pub(super) fn to_text(html: &str) -> String {
    let mut out = String::new();
    let mut rest = html;
    let mut address = "";
    while let Some((before, tail)) = rest.split_once('<') {
        push_words(&mut out, before);
        // A lone `<`, as in `latency < 5 ms`, is text.
        if !tail.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!')) {
            push_words(&mut out, "<");
            rest = tail;
            continue;
        }
        let Some((tag, tail)) = tail.split_once('>') else {
            rest = "";
            break;
        };
        rest = tail;
        let closing = tag.starts_with('/');
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        let name = name.to_ascii_lowercase();
        if !closing && SILENT.contains(&name.as_str()) {
            rest = skip_to_end(rest, &name);
        } else if name == "li" && !closing {
            new_line(&mut out);
            out.push_str("- ");
        } else if name == "a" && !closing {
            address = attribute(tag, "href").unwrap_or_default();
        } else if name == "a" {
            // The address is what a person can open; it follows the words.
            let address = std::mem::take(&mut address);
            if !address.is_empty() && !out.ends_with(address) {
                push_words(&mut out, &format!(" ({address})"));
            }
        } else if BLOCKS.contains(&name.as_str()) {
            new_line(&mut out);
        } else if name == "td" || name == "th" {
            push_words(&mut out, " ");
        }
    }
    push_words(&mut out, rest);
    cut(out.trim(), TEXT_CHARS)
}

/// Adds text with its entities decoded and runs of blanks as one.
fn push_words(out: &mut String, text: &str) {
    for c in decode(text).chars() {
        if !c.is_whitespace() && !c.is_control() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
    }
}

fn new_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, tail)) = rest.split_once('&') {
        out.push_str(before);
        let named = tail.split_once(';').filter(|(name, _)| name.len() <= 8);
        let (c, after) = named.and_then(|(name, after)| Some((entity(name)?, after))).unwrap_or(('&', tail));
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" | "rsquo" | "lsquo" => Some('\''),
        "nbsp" => Some(' '),
        "ndash" => Some('–'),
        "mdash" => Some('—'),
        "bull" => Some('•'),
        "hellip" => Some('…'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, tail) = tag.split_once(name)?;
    let tail = tail.trim_start().strip_prefix('=')?.trim_start();
    let quote = tail.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (address, _) = tail.strip_prefix(quote)?.split_once(quote)?;
    Some(address.trim()).filter(|address| address.starts_with("https://") || address.starts_with("http://"))
}

/// What follows the end tag of `name`.
fn skip_to_end<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some((_, tail)) = rest.split_once("</") {
        if tail.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return tail.split_once('>').map_or("", |(_, after)| after);
        }
        rest = tail;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn tags_go_and_words_stay() {
        for (html, text) in [
            ("<p>One&nbsp;two</p>\r\n<p>Three</p>", "One two\nThree"),
            ("a<br/>b<br>c", "a\nb\nc"),
            ("<ul><li>first</li><li>second</li></ul>", "- first\n- second"),
            ("latency < 5 ms &amp; rising", "latency < 5 ms & rising"),
            ("<style>p { color: red }</style>Text", "Text"),
            ("see <a href=\"https://example.com/a\">here</a>.", "see here (https://example.com/a)."),
            ("<a href='https://example.com'>https://example.com</a>", "https://example.com"),
            ("<a href='javascript:x'>here</a>", "here"),
            ("&#8211;&#x2013;&#99999999;&nothing;&", "––&#99999999;&nothing;&"),
            ("plain", "plain"),
            ("cut <b", "cut"),
            ("", ""),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }
}
