//! Points at which a test lets the process die, to see what the next one makes of what is left. In debug builds only:
//! `BRIDGE_FAILPOINT=after_commit:17` ends the process as it passes that point for the 17th time.

#[cfg(debug_assertions)]
use std::sync::OnceLock;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// Within the writer's transaction, with everything written and nothing committed.
pub(crate) const BEFORE_COMMIT: &str = "before_commit";
/// Committed, and nobody has heard of it.
pub(crate) const AFTER_COMMIT: &str = "after_commit";
pub(crate) const BEFORE_SEND: &str = "before_send";
/// The attempt has ended, and is not recorded.
pub(crate) const AFTER_SEND: &str = "after_send";
pub(crate) const AFTER_RECORD: &str = "after_record";

#[cfg(debug_assertions)]
pub(crate) fn pass(point: &str) {
    static PLAN: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let plan = PLAN.get_or_init(|| {
        let wish = std::env::var("BRIDGE_FAILPOINT").ok()?;
        let (name, pass) = wish.split_once(':')?;
        Some((name.to_owned(), pass.parse().ok()?))
    });
    if let Some((name, pass)) = plan
        && name == point
        && PASSED.fetch_add(1, Ordering::SeqCst).saturating_add(1) == *pass
    {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub(crate) fn pass(_point: &str) {}
