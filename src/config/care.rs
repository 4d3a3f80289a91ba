//! How secrets are kept: files that every user of the machine can read, and one token for both sides.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::problem::{Findings, shown};
use super::{Connection, Team};
use crate::domain::id::{ConnectionName, TeamName};
use crate::secret::Secret;

/// One warning for each file. `config` itself counts if a secret stands in it.
pub(super) fn warn_of_files(config: &Path, folder: &Path, findings: &mut Findings) {
    // What belongs to somebody else, such as a mounted secret, is not ours to protect.
    let Some(own) = fs::metadata("/proc/self").ok().map(|process| process.uid()) else { return };
    let files: Vec<_> = findings
        .watched
        .iter()
        .filter(|path| **path != *folder && (**path != *config || findings.plain_secrets))
        .filter(|path| {
            fs::metadata(path)
                .is_ok_and(|file| file.is_file() && file.uid() == own && file.permissions().mode() & 0o004 != 0)
        })
        .cloned()
        .collect();
    for path in files {
        let name = shown(&path);
        findings
            .warn(&name, format_args!("holds a secret, and every user of this machine can read it; chmod 600 {name}"));
    }
}

/// With one token for both sides, whoever sees one of the webhook URLs can call both.
pub(super) fn warn_of_shared_tokens(
    connections: &BTreeMap<ConnectionName, Connection>,
    teams: &BTreeMap<TeamName, Team>,
    findings: &mut Findings,
) {
    for (name, connection) in connections {
        let shared = teams.iter().find_map(|(team_name, team)| {
            let same = |token: &&Secret| team.tokens.iter().any(|other| other.expose() == token.expose());
            connection.tokens.iter().find(same).map(|token| (team_name, token))
        });
        if let Some((team, token)) = shared {
            findings.warn(
                &format!("[azure.{name}]"),
                format_args!(
                    "its `token` (from {}) is that of [signl4.{team}] too; give each side one of its own",
                    token.source()
                ),
            );
        }
    }
}
