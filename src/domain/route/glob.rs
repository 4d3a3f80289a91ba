//! Patterns with `*` (any text) and `?` (one character), compared without regard to case.
//!
//! Our own and not a library's: names of rules carry brackets, braces and umlauts, which file globs take for syntax or
//! for single bytes, and the check for shadowed routes must ask whether one pattern covers another.

use std::fmt;

/// A pattern such as `prod-*`.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    pattern: String,
    items: Vec<Item>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Item {
    Char(char),
    /// `?`
    One,
    /// `*`
    Many,
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        let mut items: Vec<Item> = Vec::with_capacity(pattern.len());
        for item in lower(pattern).map(|char| match char {
            '*' => Item::Many,
            '?' => Item::One,
            other => Item::Char(other),
        }) {
            if item != Item::Many || items.last() != Some(&Item::Many) {
                items.push(item);
            }
        }
        Self { pattern: pattern.to_owned(), items }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    pub fn matches(&self, text: &str) -> bool {
        covers(&self.items, &lower(text).map(Item::Char).collect::<Vec<_>>())
    }

    /// The same without regard to blanks and hyphens: Azure writes both `Activity Log - Policy` and
    /// `ActivityLog Policy`, both `Resource Health` and `ResourceHealth`.
    pub fn matches_loosely(&self, text: &str) -> bool {
        covers(&without_fillers(self.items.iter().copied()), &without_fillers(lower(text).map(Item::Char)))
    }

    /// Whether everything that `other` matches is matched by this pattern too. `false` may mean that it is not certain.
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.items, &other.items)
    }

    /// [`Self::covers`] for patterns that are used with [`Self::matches_loosely`].
    pub fn covers_loosely(&self, other: &Self) -> bool {
        covers(&without_fillers(self.items.iter().copied()), &without_fillers(other.items.iter().copied()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.pattern)
    }
}

fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn without_fillers(items: impl Iterator<Item = Item>) -> Vec<Item> {
    items.filter(|item| !matches!(item, Item::Char(' ' | '-'))).collect()
}

/// Goes through both from the left; at a mismatch the last `*` takes one item more. A wildcard of the subject stands
/// for texts unknown, so only `*` may take a `*`, and only `?` or `*` a `?`.
fn covers(pattern: &[Item], subject: &[Item]) -> bool {
    let (mut at, mut reached) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(item) = subject.get(reached) {
        let fits = match pattern.get(at) {
            Some(Item::Many) => {
                star = Some((at, reached));
                at += 1;
                continue;
            }
            Some(Item::One) => *item != Item::Many,
            Some(expected @ Item::Char(_)) => expected == item,
            None => false,
        };
        if fits {
            at += 1;
            reached += 1;
        } else if let Some((star_at, taken)) = star {
            star = Some((star_at, taken + 1));
            at = star_at + 1;
            reached = taken + 1;
        } else {
            return false;
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|item| *item == Item::Many))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_match_without_regard_to_case() {
        for (pattern, text, matches) in [
            ("prod-*", "PROD-db", true),
            ("prod-*", "prod-", true),
            ("prod-*", "preprod-db", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("?", "", false),
            ("db?", "db1", true),
            ("db?", "db12", false),
            ("*cpu*high*", "Prod CPU is high", true),
            ("*cpu*high", "Prod CPU is high today", false),
            ("[prod] {cpu}", "[PROD] {CPU}", true),
            ("größe ?", "GRÖSSE Ü", false),
            ("GRÖßE ?", "größe ü", true),
            ("a**b", "ab", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn blanks_and_hyphens_are_skipped_on_demand() {
        for (pattern, text) in [
            ("Activity Log - *", "ActivityLog Administrative"),
            ("ResourceHealth", "Resource Health"),
            ("activitylog", "Activity Log"),
        ] {
            assert!(Glob::new(pattern).matches_loosely(text), "{pattern} on {text}");
        }
        assert!(!Glob::new("Platform").matches_loosely("Log Alerts V2"));
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow, covers) in [
            ("*", "prod-*", true),
            ("prod-*", "prod-db-*", true),
            ("prod-*", "PROD-DB", true),
            ("prod-??", "prod-d?", true),
            ("prod-?", "prod-*", false),
            ("prod-db-*", "prod-*", false),
            ("prod-db", "prod-db", true),
            ("prod-db", "prod-d?", false),
        ] {
            assert_eq!(Glob::new(wide).covers(&Glob::new(narrow)), covers, "{wide} over {narrow}");
        }
    }

    /// The plainest definition there is, exponential and obviously right.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some('*'), _) => slow(&pattern[1..], text) || (!text.is_empty() && slow(pattern, &text[1..])),
            (Some('?'), Some(_)) => slow(&pattern[1..], &text[1..]),
            (Some(one), Some(other)) if one == other => slow(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let expected = slow(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), expected);
        }

        #[test]
        fn what_the_narrower_matches_the_wider_matches(wide in "[a*?]{0,4}", narrow in "[a*?]{0,4}", text in "[ab]{0,4}") {
            let (wide, narrow) = (Glob::new(&wide), Glob::new(&narrow));
            let certain = wide.covers(&narrow) && narrow.matches(&text);
            prop_assert!(!certain || wide.matches(&text));
        }

        #[test]
        fn loosely_too(wide in "[a*? -]{0,5}", narrow in "[a*? -]{0,5}", text in "[a -]{0,6}") {
            let (wide, narrow) = (Glob::new(&wide), Glob::new(&narrow));
            let certain = wide.covers_loosely(&narrow) && narrow.matches_loosely(&text);
            prop_assert!(!certain || wide.matches_loosely(&text));
        }

        #[test]
        fn a_pattern_without_wildcards_matches_itself(text in "[^*?]{0,20}") {
            prop_assert!(Glob::new(&text).matches(&text));
        }
    }
}
