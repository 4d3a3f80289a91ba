//! A Rust file as the rules read it: product code only, without comments and the contents of literals.

#![expect(clippy::string_slice, reason = "every offset here was found in the very text that it cuts")]

/// A source file, cut up for the rules.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// `src/domain/page.rs`
    pub(super) path: String,
    /// `["domain", "page"]`; empty for `lib.rs` and `main.rs`.
    pub(super) module: Vec<String>,
    /// Comments and the contents of literals blanked, inline test modules too; the lines are those of the file.
    pub(super) code: String,
}

/// A module of the house that a line names, by its name right below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) line: usize,
    pub(super) module: String,
}

impl Source {
    pub(super) fn read(path: &str, text: &str) -> Self {
        let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
        let module = match inside {
            "lib" | "main" => Vec::new(),
            inside => inside.split('/').map(ToOwned::to_owned).collect(),
        };
        // A test module in a file of its own is no product code either.
        let is_test = module.last().is_some_and(|name| name == "tests");
        let code = if is_test { String::new() } else { without_tests(&without_comments(text)) };
        Self { path: path.to_owned(), module, code }
    }

    /// The first name of the module's path: its place in the house.
    pub(super) fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }

    /// Every module right below the root that the code names: by `crate::`, by the crate's name, or by `super::` as far
    /// as it climbs to the root.
    pub(super) fn imports(&self) -> Vec<Import> {
        let climb = "super::".repeat(self.module.len());
        let mut roots = vec!["crate::", "signl4_azure_bridge::"];
        if !climb.is_empty() {
            roots.push(&climb);
        }
        let mut imports = Vec::new();
        for root in roots {
            for (at, _) in self.code.match_indices(root) {
                // `super::super::` inside a longer climb, or `other_crate::`.
                if self.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                let line = self.code[..at].matches('\n').count() + 1;
                let names = first_names(&self.code[at + root.len()..]);
                imports.extend(names.into_iter().map(|module| Import { line, module }));
            }
        }
        imports
    }

    /// The lines that contain the text, counted from one.
    pub(super) fn lines_with(&self, text: &str) -> Vec<usize> {
        self.code.lines().enumerate().filter(|(_, line)| line.contains(text)).map(|(index, _)| index + 1).collect()
    }
}

/// Of `a::b`, `a`; of `{a::b, c::{d, e}}`, `a` and `c`.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut names = Vec::new();
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(name(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Blanks comments and the contents of string and character literals; line breaks stay.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !ends_in_name(&code)) {
            length
        } else if c == '"' {
            quoted(rest)
        } else if c == '\'' {
            character(rest)
        } else {
            code.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        let (skipped, after) = rest.split_at(length);
        code.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    code
}

fn ends_in_name(code: &str) -> bool {
    code.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of `r"…"`, `r#"…"#`, `br"…"` and so on, if one begins here.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix("br").or_else(|| text.strip_prefix("cr")).or_else(|| text.strip_prefix('r'))?;
    let content = after.trim_start_matches('#').strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(after.len() - content.len() - 1));
    let end = content.find(&close).map_or(content.len(), |end| end + close.len());
    Some(text.len() - content.len() + end)
}

fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal, or of the tick alone where it begins a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => text[3..].find('\'').map_or(text.len(), |end| 3 + end + 1),
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Blanks inline modules marked `#[cfg(test)]`; expects literals to be blank already.
fn without_tests(code: &str) -> String {
    let mut product = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let (before, marked) = rest.split_at(at);
        product.push_str(before);
        let length = item(marked);
        product.extend(marked[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &marked[length..];
    }
    product + rest
}

/// The length of the item that begins here: to its closing brace, or to a semicolon before any brace.
fn item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(path: &str, text: &str) -> Vec<(usize, String)> {
        Source::read(path, text).imports().into_iter().map(|import| (import.line, import.module)).collect()
    }

    fn named(line: usize, module: &str) -> (usize, String) {
        (line, module.to_owned())
    }

    #[test]
    fn imports_are_found_in_every_form() {
        let here = "src/azure/parse.rs";
        assert_eq!(imports(here, "use crate::domain::id::Side;"), [named(1, "domain")]);
        assert_eq!(imports(here, "\nfn f() -> crate::store::Store {}"), [named(2, "store")]);
        assert_eq!(
            imports(here, "use crate::{\n    domain::{id, page},\n    signl4::deliver,\n};"),
            [named(1, "domain"), named(1, "signl4")]
        );
        assert_eq!(imports(here, "use signl4_azure_bridge::config;"), [named(1, "config")]);
        assert_eq!(imports(here, "use super::super::signl4::parse;"), [named(1, "signl4")]);
        assert_eq!(imports(here, "use super::credential;"), []);
        assert_eq!(imports("src/azure.rs", "use super::signl4;"), [named(1, "signl4")]);
        assert_eq!(imports("src/lib.rs", "pub mod azure;\nuse azure::x;"), []);
        assert_eq!(imports(here, "use other_crate::signl4;"), []);
    }

    #[test]
    fn comments_literals_and_tests_are_no_code() {
        let text = "//! [`crate::a`]\n/* crate::b /* crate::c */ crate::d */\nconst E: &str = \"crate::e \\\" crate::f\";\n\
                    const G: &str = r#\"crate::g \" crate::h\"#;\nconst I: char = '\"';\nfn j<'a>(_: &'a crate::j::J) {}\n\
                    #[cfg(test)]\nmod tests {\n    use crate::k;\n    fn l() { crate::l() }\n}\nuse crate::m;\n\
                    #[cfg(test)]\nuse crate::n;\nuse crate::o;\nconst P: char = '\\'';use crate::p;\n";
        let expected = [named(6, "j"), named(12, "m"), named(15, "o"), named(16, "p")];
        assert_eq!(imports("src/azure/parse.rs", text), expected);
        assert_eq!(Source::read("src/x.rs", text).code.lines().count(), text.lines().count());
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_no_product_code() {
        assert_eq!(imports("src/domain/decide/tests.rs", "use crate::config;"), []);
    }

    #[test]
    fn a_name_that_ends_in_r_begins_no_raw_string() {
        assert_eq!(imports("src/x.rs", "macro_for\"a\"; use crate::b;"), [named(1, "b")]);
    }
}
