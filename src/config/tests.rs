//! Loading by table: what is read, what is refused and with which words, what is warned of.

mod credentials;
mod environment;
mod errors;
mod maintenance;
mod shipped;
mod templates;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Config, ConfigError};

/// The least that loads without a warning but the missing routes folder's.
pub(super) const LEAST: &str = r#"
[azure.contoso]
tenant_id     = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c01"
client_id     = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c02"
credential    = { client_secret = { env = "AZURE_SECRET" } }
subscriptions = ["3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c03"]
token         = { env = "AZURE_TOKEN" }

[signl4.ops]
secret = { env = "TEAM_SECRET" }
token  = { env = "SIGNL4_TOKEN" }
"#;

pub(super) const SUB: &str = "3f0e5a52-8f0b-4b7e-a0d5-6b1f3f1d2c03";

pub(super) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}

/// A folder with a configuration, routes and an environment.
#[derive(Debug)]
pub(super) struct Folder {
    dir: TempDir,
    env: BTreeMap<String, String>,
}

impl Folder {
    pub(super) fn new(bridge: &str) -> Self {
        let folder = Self::bare();
        folder.write("bridge.toml", bridge);
        folder
    }

    /// Without a file; the variables of [`LEAST`] are set.
    pub(super) fn bare() -> Self {
        let folder = Self { dir: TempDir::new().unwrap(), env: BTreeMap::new() };
        folder
            .set("AZURE_SECRET", "azure-client-secret-value")
            .set("AZURE_TOKEN", "azure-webhook-token-0123456789")
            .set("TEAM_SECRET", "teamsecret99")
            .set("SIGNL4_TOKEN", "signl4-webhook-token-0123456789")
    }

    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.path("bridge.toml"), None, &self.env)
    }

    /// All errors, with the folder's path taken away.
    pub(super) fn errors(&self) -> Vec<String> {
        let error = self.load().expect_err("this must be refused");
        error.to_string().lines().map(|line| self.shown(line)).collect()
    }

    /// All warnings but that of the missing routes folder.
    pub(super) fn warnings(&self) -> Vec<String> {
        let config = self.load().unwrap_or_else(|error| panic!("{error}"));
        config.warnings.iter().map(|line| self.shown(line)).filter(|line| !line.starts_with("routes:")).collect()
    }

    fn shown(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.dir.path().display()), "")
    }
}
