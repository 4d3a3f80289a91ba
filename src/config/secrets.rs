//! Secrets: `{ file = "…" }`, `{ env = "…" }`, an environment variable of ours, or (with a warning) plain text.
//!
//! Values never enter a message; files are put on the list of what is watched.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::problem::{Findings, Place, shown};
use super::section::Item;
use crate::caller::LONGEST_TOKEN;
use crate::secret::Secret;

/// What a secret may come from.
#[derive(Debug)]
pub(super) struct Origins<'e> {
    /// Relative paths start here.
    pub(super) folder: PathBuf,
    pub(super) env: &'e BTreeMap<String, String>,
}

/// A file of more is no secret but a mistake.
const LARGEST_FILE_BYTES: u64 = 64 * 1024;

/// Random tokens of this many bits cannot be guessed.
const TOKEN_BITS: usize = 128;

/// A random text of any length that is a token has more different characters than this.
const FEW_CHARACTERS: usize = 8;

impl Item {
    pub(super) fn secret(&self, origins: &Origins<'_>, findings: &mut Findings) -> Option<Secret> {
        if self.as_text().is_some() {
            let text = self.text(findings)?;
            let source = match self.place() {
                Place::Variable { .. } => self.place().to_string(),
                Place::File { .. } | Place::Whole { .. } => {
                    findings.plain_secrets = true;
                    self.warn("is written in plain text; better move it to a file: { file = \"…\" }", findings);
                    self.place().to_string()
                }
            };
            return self.filled(text, &source, findings);
        }
        let mut section = self.table("a text, { file = \"…\" } or { env = \"…\" }", findings)?;
        let (file, env) = (section.take("file"), section.take("env"));
        section.finish(findings);
        match (file, env) {
            (Some(file), None) => {
                let path = origins.folder.join(file.text(findings)?);
                findings.watched.insert(path.clone());
                match read(&path) {
                    Ok(text) => file.filled(&text, &format!("file {}", shown(&path)), findings),
                    Err(problem) => {
                        file.error(format_args!("names {}, which {problem}", shown(&path)), findings);
                        None
                    }
                }
            }
            (None, Some(env)) => {
                let name = env.text(findings)?;
                // Whoever puts the secret itself there must not find it in a log.
                if !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
                    && !origins.env.contains_key(name)
                {
                    env.error(
                        "must be the name of an environment variable that is set, such as \"SIGNL4_SECRET\"",
                        findings,
                    );
                    return None;
                }
                let Some(text) = origins.env.get(name) else {
                    env.error(
                        format_args!("names the environment variable {name}, which is not set; set it"),
                        findings,
                    );
                    return None;
                };
                env.filled(text, &format!("environment variable {name}"), findings)
            }
            (Some(_), Some(_)) => {
                self.error("has both `file` and `env`; leave one", findings);
                None
            }
            (None, None) => {
                self.error("needs `file` or `env`", findings);
                None
            }
        }
    }

    /// One token or a list of them, each fit for a URL path.
    pub(super) fn tokens(&self, origins: &Origins<'_>, findings: &mut Findings) -> Vec<Secret> {
        let items = self.list();
        if items.is_empty() {
            self.error("is an empty list; name at least one or leave the key out", findings);
        }
        items.into_iter().filter_map(|item| item.token(origins, findings)).collect()
    }

    fn token(&self, origins: &Origins<'_>, findings: &mut Findings) -> Option<Secret> {
        let token = self.secret(origins, findings)?;
        if !is_path_segment(token.expose()) {
            self.error(
                format_args!(
                    "{}holds characters that cannot stand in a URL; use letters, digits, `-` and `_`, \
                     for example from `signl4-azure-bridge token new`",
                    self.origin(&token)
                ),
                findings,
            );
            return None;
        }
        if token.expose().len() > LONGEST_TOKEN {
            self.error(
                format_args!("(from {}) is longer than {LONGEST_TOKEN} characters; none is taken", token.source()),
                findings,
            );
            return None;
        }
        self.warn_if_weak(&token, findings);
        Some(token)
    }

    /// A secret that travels in a header.
    pub(super) fn header_secret(&self, origins: &Origins<'_>, findings: &mut Findings) -> Option<Secret> {
        let secret = self.secret(origins, findings)?;
        if secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(secret);
        }
        self.error(
            format_args!(
                "{}holds blanks or characters that cannot stand in a header; copy it again",
                self.origin(&secret)
            ),
            findings,
        );
        None
    }

    fn warn_if_weak(&self, token: &Secret, findings: &mut Findings) {
        let shortest = shortest(token.expose());
        if token.expose().len() < shortest {
            self.warn(
                format_args!(
                    "{}has less than {TOKEN_BITS} bits: of characters such as these it takes {shortest}; make \
                     one with `signl4-azure-bridge token new`",
                    self.origin(token)
                ),
                findings,
            );
        } else if has_few_characters(token.expose()) {
            self.warn(
                format_args!(
                    "{}repeats a few characters and can be guessed; make one with `signl4-azure-bridge token new`",
                    self.origin(token)
                ),
                findings,
            );
        }
    }

    /// What operators send to the admin listener.
    pub(super) fn admin_token(&self, origins: &Origins<'_>, findings: &mut Findings) -> Option<Secret> {
        let token = self.header_secret(origins, findings)?;
        self.warn_if_weak(&token, findings);
        Some(token)
    }

    /// `(from file secrets/x) `, or nothing where the message names that place already.
    pub(super) fn origin(&self, secret: &Secret) -> String {
        if secret.source() == self.place().to_string() { String::new() } else { format!("(from {}) ", secret.source()) }
    }

    fn filled(&self, text: &str, source: &str, findings: &mut Findings) -> Option<Secret> {
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            self.error(format_args!("is empty ({source}); put the secret there"), findings);
            return None;
        }
        Some(Secret::new(text.to_owned(), source))
    }
}

/// Whether the text can be the last segment of a URL as it is.
pub(super) fn is_path_segment(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
        && text.bytes().any(|byte| byte != b'.')
}

/// How many characters of the alphabet that the token seems to be made of are [`TOKEN_BITS`].
fn shortest(token: &str) -> usize {
    let all = |of: fn(&u8) -> bool| token.as_bytes().iter().all(of);
    if all(u8::is_ascii_digit) {
        39
    } else if all(u8::is_ascii_hexdigit) {
        32
    } else if all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
        || all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    {
        25
    } else {
        22
    }
}

fn has_few_characters(token: &str) -> bool {
    token.bytes().collect::<BTreeSet<u8>>().len() <= FEW_CHARACTERS
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    if std::fs::metadata(path).map_err(cannot)?.len() > LARGEST_FILE_BYTES {
        return Err(format!("is larger than {LARGEST_FILE_BYTES} bytes and surely not the secret"));
    }
    String::from_utf8(std::fs::read(path).map_err(cannot)?).map_err(|_| "is not text".to_owned())
}
