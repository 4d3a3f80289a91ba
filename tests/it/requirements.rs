//! How a test says that it needs a program of the machine, and what happens where that is missing.
//!
//! On a developer's machine the test is skipped and says so. Under `./dev test`, which installs what is missing and
//! sets `BRIDGE_REQUIRE_ALL=1`, it fails: a check that CI silently left out is worth nothing.

use std::env;
use std::path::{Path, PathBuf};

/// The program's path, or `None` if the test has to be skipped. Panics where nothing may be skipped.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    // Debian keeps servers in /usr/sbin, which is not in everybody's PATH.
    let folders = env::split_paths(&folders).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    decide(name, search(name, folders, Path::is_file))
}

/// Python with Microsoft's clients, which `./dev setup` installs in a folder of their own.
pub(crate) fn python_with_clients() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/python");
    decide("Microsoft's Python clients", Some(python).filter(|python| python.is_file()))
}

fn decide(name: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    match judge(name, found, env::var("BRIDGE_REQUIRE_ALL").ok().as_deref()) {
        Need::Met(path) => Some(path),
        Need::Skip(why) => {
            skipped(&why);
            None
        }
        Need::Fail(why) => panic!("{why}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Need {
    Met(PathBuf),
    Skip(String),
    Fail(String),
}

fn judge(name: &str, found: Option<PathBuf>, require_all: Option<&str>) -> Need {
    match (found, require_all) {
        (Some(path), _) => Need::Met(path),
        (None, Some("1")) => Need::Fail(format!("this test needs {name} (./dev setup), and BRIDGE_REQUIRE_ALL is set")),
        (None, _) => Need::Skip(format!("SKIPPED: this test needs {name} (./dev setup)")),
    }
}

fn search(name: &str, folders: impl Iterator<Item = PathBuf>, is_program: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    folders.map(|folder| folder.join(name)).find(|path| is_program(path))
}

#[expect(clippy::print_stderr, reason = "a skipped test has no other way to be noticed")]
pub(crate) fn skipped(why: &str) {
    eprintln!("{why}");
}

#[test]
fn a_missing_program_skips_the_test_or_fails_it_where_all_are_required() {
    let met = Some(PathBuf::from("/usr/sbin/nginx"));
    assert_eq!(judge("nginx", met.clone(), None), Need::Met(PathBuf::from("/usr/sbin/nginx")));
    assert_eq!(judge("nginx", met, Some("1")), Need::Met(PathBuf::from("/usr/sbin/nginx")));
    assert!(
        matches!(judge("nginx", None, None), Need::Skip(why) if why.starts_with("SKIPPED") && why.contains("nginx"))
    );
    assert!(matches!(judge("nginx", None, Some("0")), Need::Skip(_)));
    assert!(matches!(judge("nginx", None, Some("1")), Need::Fail(why) if why.contains("nginx")));
}

#[test]
fn the_first_folder_that_holds_the_program_wins() {
    let folders = || ["/a", "/b", "/c"].map(PathBuf::from).into_iter();
    let holds = |path: &Path| path == Path::new("/b/caddy") || path == Path::new("/c/caddy");
    assert_eq!(search("caddy", folders(), holds), Some(PathBuf::from("/b/caddy")));
    assert_eq!(search("nginx", folders(), holds), None);
}
