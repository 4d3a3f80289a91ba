//! Whether a webhook token can be guessed, as far as its looks tell.

use std::collections::BTreeSet;

use super::finding::Finding;
use crate::secret::Secret;

const ENOUGH_BITS: f64 = 128.0;
/// Within reach of somebody who tries.
const GUESSABLE_BITS: f64 = 64.0;

/// One finding for all tokens of a caller.
pub(super) fn finding(target: &str, tokens: &[Secret]) -> Option<Finding> {
    const CHECK: &str = "token_strength";
    let weakest = tokens.iter().min_by(|one, other| bits(one.expose()).total_cmp(&bits(other.expose())))?;
    let bits = bits(weakest.expose());
    let file = weakest.source().strip_prefix("file ").unwrap_or("FILE");
    let mend = format!("openssl rand -hex 32 > {file}, then register the new URL with the caller");
    let source = weakest.source();
    Some(if bits >= ENOUGH_BITS {
        let count = tokens.len();
        let noun = if count == 1 { "token" } else { "tokens" };
        Finding::pass(CHECK, target, format!("{count} {noun}, each long enough for 128 bits of chance"))
    } else if bits >= GUESSABLE_BITS {
        Finding::warn(CHECK, target, format!("the token from {source} has less than 128 bits of chance"), mend)
    } else {
        Finding::fail(CHECK, target, format!("the token from {source} can be guessed"), mend)
    })
}

/// The most chance that a text of this length and these kinds of characters can hold. Words hold far less, which
/// cannot be seen; few different characters can.
fn bits(token: &str) -> f64 {
    let all = |test: fn(&u8) -> bool| token.bytes().all(|byte| test(&byte));
    let has = |test: fn(&u8) -> bool| token.bytes().any(|byte| test(&byte));
    let is_hex =
        all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) || all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'));
    let kinds: u32 = if is_hex && has(u8::is_ascii_alphabetic) {
        16
    } else {
        [
            (has(u8::is_ascii_digit), 10),
            (has(u8::is_ascii_lowercase), 26),
            (has(u8::is_ascii_uppercase), 26),
            (has(|byte| !byte.is_ascii_alphanumeric()), 4),
        ]
        .iter()
        .filter_map(|(there, size)| there.then_some(*size))
        .sum()
    };
    let different = u32::try_from(token.chars().collect::<BTreeSet<_>>().len()).unwrap_or(u32::MAX);
    let length = u32::try_from(token.chars().count()).unwrap_or(u32::MAX);
    // Chance repeats characters, but not as aaaa… and abab… do.
    let size = if different < length.min(8) { different } else { kinds };
    f64::from(length) * f64::from(size.max(1)).log2()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    #[test]
    fn short_and_monotonous_tokens_are_named() {
        for (token, outcome) in [
            ("changeme", Outcome::Fail),
            ("12345678901234567890", Outcome::Warn),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", Outcome::Fail),
            ("abababababababababababababababab", Outcome::Fail),
            ("0123456789abcdef", Outcome::Warn),
            ("8f3a1c5e7b9d2046a8c0e2f4b6d81357", Outcome::Pass),
            ("dGhpcyBpcyBub3QgcmFuZG", Outcome::Pass),
        ] {
            let secret = Secret::new(token.to_owned(), "file secrets/token");
            let finding = finding("azure.contoso", &[secret]).unwrap();
            assert_eq!(finding.outcome, outcome, "{token}");
            assert!(!format!("{finding:?}").contains(token), "{finding:?}");
        }
    }

    #[test]
    fn the_weakest_of_several_counts() {
        let strong = Secret::new("8f3a1c5e7b9d2046a8c0e2f4b6d81357".to_owned(), "file strong");
        let weak = Secret::new("changeme".to_owned(), "file weak");
        let finding = finding("azure.contoso", &[strong, weak]).unwrap();
        assert_eq!(finding.outcome, Outcome::Fail);
        assert!(finding.mend.unwrap().contains("> weak"));
        assert!(super::finding("azure.contoso", &[]).is_none());
    }
}
