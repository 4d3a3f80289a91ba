//! A disk that fails on demand: a library that is loaded before the C library into the bridge's process.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// What the disk of one bridge does wrong.
pub(super) struct Disk {
    faults: TempDir,
}

/// What a call fails with, by its number on Linux.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errno(&'static str);

impl Errno {
    /// `ENOSPC`
    pub(super) const NO_SPACE: Self = Self("28");
    /// `EIO`
    pub(super) const IO: Self = Self("5");
    /// `EROFS`
    pub(super) const READ_ONLY: Self = Self("30");
}

impl Disk {
    /// Puts the disk under a bridge that is about to start.
    pub(super) fn under(command: &mut Command) -> Self {
        let faults = tempfile::tempdir().unwrap();
        command.env("LD_PRELOAD", library()).env("FAULTS", faults.path());
        Self { faults }
    }

    pub(super) fn fail(&self, what: &str, errno: Errno) {
        // Renamed into place, so that nobody reads half of it.
        let made = self.faults.path().join("made");
        std::fs::write(&made, errno.0).unwrap();
        std::fs::rename(made, self.faults.path().join(what)).unwrap();
    }

    pub(super) fn mend(&self, what: &str) {
        std::fs::remove_file(self.faults.path().join(what)).unwrap();
    }
}

/// The library, compiled once for all tests of this process.
fn library() -> PathBuf {
    static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = LIBRARY.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/shim.c");
        let made =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&path).arg(source).arg("-ldl").status();
        assert!(made.expect("a C compiler, which SQLite needs too").success());
        (folder, path)
    });
    path.clone()
}
