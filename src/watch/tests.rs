//! Against real files in a temporary folder: every wait is for an event, with a limit that only a failure reaches.

use std::fs;

use tempfile::TempDir;

use super::*;

struct Folder {
    dir: TempDir,
}

impl Folder {
    /// A folder as deployments have it: configuration, secret and store side by side, routes below.
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::create_dir(dir.path().join("routes")).unwrap();
        for name in ["bridge.toml", "secret", "bridge.db", "routes/a.toml"] {
            fs::write(dir.path().join(name), "first").unwrap();
        }
        Self { dir }
    }

    /// As the watcher names it: without links on the way.
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    fn watch(&self) -> Watch {
        quick(watch(&["bridge.toml", "secret", "routes"].map(|name| self.path(name)).into()))
    }
}

/// Looks often enough for a test.
fn quick(watch: Watch) -> Watch {
    Watch { every: Duration::from_millis(10), ..watch }
}

async fn wanted(watch: &mut Watch) -> Reload {
    tokio::time::timeout(Duration::from_secs(20), watch.wanted()).await.expect("no reload is wanted")
}

/// The next change; the signal of the test below reaches all tests of this process.
async fn changed(watch: &mut Watch) -> PathBuf {
    loop {
        if let Reload::Changed(path) = wanted(watch).await {
            return path;
        }
    }
}

#[tokio::test]
async fn a_file_written_in_place_asks_for_a_reload() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    fs::write(folder.path("secret"), "second").unwrap();
    assert_eq!(changed(&mut watch).await, folder.path("secret"));
}

#[tokio::test]
async fn a_file_replaced_by_renaming_asks_each_time() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    for text in ["second", "third"] {
        fs::write(folder.path("bridge.toml.new"), text).unwrap();
        fs::rename(folder.path("bridge.toml.new"), folder.path("bridge.toml")).unwrap();
        assert_eq!(changed(&mut watch).await, folder.path("bridge.toml"));
    }
}

#[tokio::test]
async fn routes_that_come_and_go_ask_for_a_reload() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    fs::write(folder.path("routes/b.toml"), "new").unwrap();
    assert_eq!(changed(&mut watch).await, folder.path("routes/b.toml"));
    fs::remove_file(folder.path("routes/a.toml")).unwrap();
    assert_eq!(changed(&mut watch).await, folder.path("routes/a.toml"));
}

#[tokio::test]
async fn the_store_and_reading_do_not_ask() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    fs::write(folder.path("bridge.db"), "busy").unwrap();
    fs::write(folder.path("routes/.a.toml.swp"), "editor").unwrap();
    assert_eq!(fs::read_to_string(folder.path("bridge.toml")).unwrap(), "first");
    // It comes first in the order of names: had one of those counted, it would wait behind it or be named here.
    fs::write(folder.path("secret"), "second").unwrap();
    assert_eq!(changed(&mut watch).await, folder.path("secret"));
}

#[tokio::test]
async fn changes_close_together_count_as_one() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    for name in ["bridge.toml", "secret", "routes/a.toml"] {
        fs::write(folder.path(name), "second").unwrap();
    }
    assert_eq!(changed(&mut watch).await, folder.path("bridge.toml"));
    fs::write(folder.path("routes/z.toml"), "last").unwrap();
    assert_eq!(changed(&mut watch).await, folder.path("routes/z.toml"));
}

#[tokio::test]
async fn a_file_that_never_rests_is_told_all_the_same() {
    let folder = Folder::new();
    let mut watch = folder.watch();
    let first = Instant::now().checked_sub(LONGEST).unwrap();
    watch.pending = Some(Pending { path: folder.path("secret"), first });
    // Never quiet: what was seen last differs from whatever is found.
    watch.seen.clear();
    assert_eq!(changed(&mut watch).await, folder.path("secret"));
    assert!(watch.pending.is_none());
}

#[cfg(unix)]
#[tokio::test]
async fn the_swap_of_a_kubernetes_volume_asks_for_a_reload() {
    use std::os::unix::fs::symlink;
    let dir = TempDir::new().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for version in ["..v1", "..v2"] {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("bridge.toml"), version).unwrap();
    }
    symlink("..v1", root.join("..data")).unwrap();
    symlink("..data/bridge.toml", root.join("bridge.toml")).unwrap();
    let mut watch = quick(watch(&[root.join("bridge.toml")].into()));
    symlink("..v2", root.join("..tmp")).unwrap();
    fs::rename(root.join("..tmp"), root.join("..data")).unwrap();
    assert_eq!(changed(&mut watch).await, root.join("bridge.toml"));
    assert_eq!(fs::read_to_string(root.join("bridge.toml")).unwrap(), "..v2");
}

#[tokio::test]
async fn other_paths_can_be_followed_later() {
    let folder = Folder::new();
    let other = TempDir::new().unwrap();
    let moved = other.path().canonicalize().unwrap().join("secret");
    fs::write(&moved, "first").unwrap();
    let mut watch = folder.watch();
    watch.follow(&[folder.path("bridge.toml"), moved.clone()].into());
    fs::write(folder.path("secret"), "second").unwrap();
    fs::write(&moved, "second").unwrap();
    assert_eq!(changed(&mut watch).await, moved);
}

#[cfg(unix)]
#[tokio::test]
async fn sighup_asks_at_once() {
    let mut watch = watch(&BTreeSet::new());
    let killed = std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(wanted(&mut watch).await, Reload::Hangup);
}
