//! A store that is not whole, or not ours, is refused at the start, by name and with the mend, and is left as it was.

use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use signl4_azure_bridge::simulator::azure::{AlertSpec, Metric};

use super::process::{Ground, serve, try_to_start};

/// A ground whose store holds alerts; killed, so that some of them are in the log only, or stopped.
async fn with_alerts(killed: bool) -> Ground {
    let ground = Ground::new().await;
    let mut process = ground.start();
    for _ in 0..50 {
        ground.scene.azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap();
    }
    let paged = |state: &signl4_azure_bridge::simulator::signl4::State| state.alerts.len() == 50;
    ground.scene.signl4.wait_until("every alert is a page", paged).await.unwrap();
    if killed {
        process.kill();
    } else {
        assert_eq!(process.stop(), Some(0));
    }
    ground
}

/// The start is refused: what is said.
fn refused(command: Command) -> String {
    let (status, said) = try_to_start(command);
    assert_eq!(status, Some(2), "{said}");
    said
}

/// The database and its log; SQLite makes an empty log when it looks.
fn contents(ground: &Ground) -> [Option<Vec<u8>>; 2] {
    ["bridge.db", "bridge.db-wal"].map(|name| {
        let bytes = std::fs::read(ground.folder.path().join(name)).ok();
        bytes.filter(|bytes| name == "bridge.db" || !bytes.is_empty())
    })
}

/// Breaks the store, and expects a start to say so and to change nothing.
fn check(ground: &Ground, break_it: impl FnOnce(&Path), says: &[&str]) {
    break_it(&ground.database());
    let before = contents(ground);
    let said = refused(ground.command());
    assert!(said.contains(ground.database().to_str().unwrap()), "names the file: {said}");
    for part in says {
        assert!(said.contains(part), "`{part}` in: {said}");
    }
    assert!(before == contents(ground), "left as it was: {said}");
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_refused_by_name_and_never_begun_anew() {
    const MEND: &str = "restore a backup, or move it and its -wal away to start empty";
    let check_stopped = async |break_it: fn(&Path), says: &[&str]| check(&with_alerts(false).await, break_it, says);
    check_stopped(|path| std::fs::write(path, "notes of mine\n".repeat(100)).unwrap(), &["no SQLite database", MEND])
        .await;
    check_stopped(|path| truncate(path, |bytes| bytes / 2), &["the rest is cut off", MEND]).await;
    check_stopped(|path| truncate(path, |_| 60), &["no SQLite database", MEND]).await;
    // The magic, and a page of a table.
    check_stopped(|path| overwrite(path, 3, b"\x7f"), &["no SQLite database", MEND]).await;
    check_stopped(|path| overwrite(path, 5 * 4096, &[0x5a; 64]), &["is damaged", MEND]).await;
    check_stopped(|path| sql(path, "DROP TABLE timer"), &["is damaged (`timer` is missing)", MEND]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_its_database_is_not_thrown_away() {
    for removed in [true, false] {
        let ground = with_alerts(true).await;
        let break_it = |path: &Path| {
            if removed {
                std::fs::remove_file(path).unwrap();
            } else {
                truncate(path, |_| 0);
            }
        };
        check(&ground, break_it, &["it is missing or empty, but its log", "-wal holds"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_cut_short_under_its_log_is_refused() {
    let ground = with_alerts(true).await;
    // Some of it into the file, the latest into the log.
    sql(&ground.database(), "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut process = ground.start();
    ground.scene.azure.fire(AlertSpec::metric("CPU above 90 %", "vm-web-1", Metric::default())).unwrap();
    let paged = |state: &signl4_azure_bridge::simulator::signl4::State| state.alerts.len() == 51;
    ground.scene.signl4.wait_until("the last alert is a page", paged).await.unwrap();
    process.kill();
    check(&ground, |path| truncate(path, |bytes| bytes / 2), &["is damaged"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_another_version_or_program_is_left_alone() {
    let ground = with_alerts(false).await;
    check(&ground, |path| sql(path, "PRAGMA user_version = 99"), &["newer version (schema 99", "run that version"]);
    let ground = Ground::new().await;
    check(
        &ground,
        |path| sql(path, "CREATE TABLE photos (id INTEGER)"),
        &["a database of another program", "set `[store] url` to a file of its own"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_another_program_locks_is_refused_by_name() {
    let ground = with_alerts(true).await;
    let other = rusqlite::Connection::open(ground.database()).unwrap();
    // Rows to take back make the start write: a bridge was killed while it sent.
    other.execute("UPDATE delivery SET state = 1, finished_at = NULL WHERE seq = 1", []).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let said = refused(ground.command());
    assert!(said.contains("another program holds a lock on") && said.contains("fuser"), "{said}");
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    assert_eq!(ground.start().stop(), Some(0));
}

/// Permissions bind nobody who is root: then the bridge runs as somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_written_is_refused_by_name() {
    const MEND: &str = "the folder of `[store] url` must exist, be writable for this user";
    let ground = with_alerts(false).await;
    let folder = ground.folder.path();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let binary = folder.join("bridge");
    std::fs::copy(env!("CARGO_BIN_EXE_signl4-azure-bridge"), &binary).unwrap();
    let is_root = user_id() == 0;
    let run = || {
        let mut command = serve(&binary, &ground.config());
        if is_root {
            command.uid(65_534).gid(65_534);
        }
        refused(command)
    };
    for path in [folder.join("bridge.toml"), folder.join("routes/all.toml"), folder.join("bridge.admin-token")] {
        mode(&path, 0o644);
    }
    mode(&folder.join("routes"), 0o755);
    mode(&binary, 0o755);
    // Everything may be written but the database.
    mode(folder, 0o777);
    mode(&folder.join("bridge.db.lock"), 0o666);
    mode(&ground.database(), 0o444);
    let said = run();
    assert!(said.contains("bridge.db: Permission denied") && said.contains(MEND), "{said}");
    // The database, and not its folder.
    mode(&ground.database(), 0o666);
    mode(folder, 0o555);
    let said = run();
    assert!(said.contains("bridge.db") && said.contains(MEND), "{said}");
    mode(folder, 0o755);
}

/// The real user id, from the one place that needs no unsafe code.
fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}

fn truncate(path: &Path, to: impl FnOnce(u64) -> u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(to(file.metadata().unwrap().len())).unwrap();
}

fn sql(path: &Path, text: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
}

/// SQLite's pages have no checksums: a bit that flips within a text is nobody's to see, one in the structure is.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_flipped_bits_starts_or_is_refused_by_name() {
    let seed = fastrand::u64(..);
    let mut chance = fastrand::Rng::with_seed(seed);
    let ground = with_alerts(false).await;
    let whole = std::fs::read(ground.database()).unwrap();
    let anywhere: Vec<usize> = (0..6).map(|_| chance.usize(100..whole.len())).collect();
    // The byte that says what kind of page it is.
    let kinds: Vec<usize> = (0..6).map(|_| 4096 * chance.usize(1..whole.len() / 4096)).collect();
    let mut refusals = 0;
    for at in anywhere.into_iter().chain(kinds) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << chance.u8(0..8);
        std::fs::write(ground.database(), &bytes).unwrap();
        match try_to_start(ground.command()) {
            (None, _) => {}
            (Some(2), said) => {
                assert!(said.contains("bridge.db is damaged"), "seed {seed}, byte {at}: {said}");
                refusals += 1;
            }
            (Some(other), said) => panic!("seed {seed}, byte {at}: status {other}: {said}"),
        }
        for beside in ["bridge.db-wal", "bridge.db-shm"] {
            let _absent = std::fs::remove_file(ground.folder.path().join(beside));
        }
    }
    assert!(refusals >= 3, "seed {seed}: {refusals}");
}
