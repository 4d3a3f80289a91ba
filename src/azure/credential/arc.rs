//! The challenge of Azure Arc's agent: whoever may read a file that only the right group can read gets a token.
//!
//! The agent names the file in its answer. Whoever pretended to be the agent could name any file and be sent its
//! content, so that only keys in the agent's own folder are read, and no large ones.
//! <https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication>

use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// <https://learn.microsoft.com/azure/azure-arc/servers/managed-identity-authentication>
const LARGEST_KEY_BYTES: u64 = 4 * 1024;

/// Why there is no key. Each text ends with the mend.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    #[error("the answer names no key file; check that the agent of Azure Arc is what listens there")]
    NoRealm,
    #[error("the answer points to a file that is no key of the agent, and it is not read; check what listens there")]
    Elsewhere,
    #[error("the key file is larger than {LARGEST_KEY_BYTES} bytes and is not read; check what listens there")]
    TooLarge,
    #[error("the key file cannot be read ({0}); add the bridge's user to the group himds")]
    Unreadable(String),
}

/// The key that the challenge `Basic realm=/var/opt/azcmagent/tokens/….key` points to.
pub(super) async fn key(challenge: &str, folder: PathBuf) -> Result<Secret, KeyError> {
    let path = path(challenge, &folder)?;
    let read = tokio::task::spawn_blocking(move || read(&path, &folder));
    read.await.unwrap_or_else(|_| Err(KeyError::Unreadable("the read was cut off".to_owned())))
}

fn path(challenge: &str, folder: &Path) -> Result<PathBuf, KeyError> {
    let (scheme, realm) = challenge.split_once('=').ok_or(KeyError::NoRealm)?;
    let mut words = scheme.split_whitespace().map(str::to_ascii_lowercase);
    if (words.next().as_deref(), words.next().as_deref(), words.next()) != (Some("basic"), Some("realm"), None) {
        return Err(KeyError::NoRealm);
    }
    let path = PathBuf::from(realm.trim().trim_matches('"'));
    let is_key = path.extension().is_some_and(|extension| extension == "key");
    // The folder as it stands, no further one and no `..` between it and the name.
    if is_key && path.parent() == Some(folder) { Ok(path) } else { Err(KeyError::Elsewhere) }
}

fn read(path: &Path, folder: &Path) -> Result<Secret, KeyError> {
    let unreadable = |error: std::io::Error| KeyError::Unreadable(error.kind().to_string());
    let real = path.canonicalize().map_err(unreadable)?;
    // A link in the agent's folder leads nowhere else.
    if real.parent() != Some(folder.canonicalize().map_err(unreadable)?.as_path()) {
        return Err(KeyError::Elsewhere);
    }
    if std::fs::metadata(&real).map_err(unreadable)?.len() > LARGEST_KEY_BYTES {
        return Err(KeyError::TooLarge);
    }
    let text = std::fs::read_to_string(&real).map_err(unreadable)?;
    Ok(Secret::new(text.trim().to_owned(), "the key file of Azure Arc"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    async fn ask(challenge: &str, folder: &TempDir) -> Result<String, KeyError> {
        key(challenge, folder.path().to_path_buf()).await.map(|key| key.expose().to_owned())
    }

    #[tokio::test]
    async fn only_keys_in_the_agents_folder_are_read() {
        let folder = TempDir::new().unwrap();
        let elsewhere = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(at("good.key"), "the-key\n").unwrap();
        std::fs::write(at("good.txt"), "no key").unwrap();
        std::fs::create_dir(at("deeper")).unwrap();
        std::fs::write(at("deeper/one.key"), "too deep").unwrap();
        std::fs::write(at("large.key"), "x".repeat(4097)).unwrap();
        std::fs::write(at("just.key"), "x".repeat(4096)).unwrap();
        std::fs::write(elsewhere.path().join("other.key"), "not ours").unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("other.key"), at("link.key")).unwrap();

        assert_eq!(ask(&format!("Basic realm={}", at("good.key")), &folder).await.unwrap(), "the-key");
        assert_eq!(ask(&format!("basic Realm=\"{}\"", at("good.key")), &folder).await.unwrap(), "the-key");
        assert_eq!(ask(&format!("Basic realm={}", at("just.key")), &folder).await.unwrap().len(), 4096);
        for path in [
            at("good.txt"),
            at("deeper/one.key"),
            at("deeper/../good.key"),
            at("link.key"),
            elsewhere.path().join("other.key").display().to_string(),
            "/etc/passwd".to_owned(),
            "good.key".to_owned(),
        ] {
            let refused = ask(&format!("Basic realm={path}"), &folder).await.unwrap_err();
            assert_eq!(refused, KeyError::Elsewhere, "{path}");
        }
        assert_eq!(ask(&format!("Basic realm={}", at("large.key")), &folder).await.unwrap_err(), KeyError::TooLarge);
        let missing = ask(&format!("Basic realm={}", at("missing.key")), &folder).await.unwrap_err();
        assert!(matches!(missing, KeyError::Unreadable(_)), "{missing}");
        for challenge in ["", "Basic", "Bearer realm=x", "Basic realm", "realm=/x.key"] {
            assert_eq!(ask(challenge, &folder).await.unwrap_err(), KeyError::NoRealm, "{challenge}");
        }
    }
}
