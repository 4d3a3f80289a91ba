//! The whole story, played fast.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::narrate::Narrator;
use super::stage::{Ports, Stage};
use super::{Wish, play};
use crate::check::{self, CheckStatus};
use crate::clock::Clock;
use crate::domain::timestamp::Timestamp;

/// What the story said, and whether the sides agreed at its end.
async fn played(wish: Wish, stop: &CancellationToken) -> (bool, String) {
    crate::egress::install_provider();
    let mut out = Vec::new();
    let mut tell = Narrator::new(&mut out, false, wish.speed, Clock::ahead());
    let agreed = play(wish, Ports::Any, stop, &mut tell).await.unwrap();
    (agreed, String::from_utf8(out).unwrap())
}

/// The line that holds all of these, and what stands before and behind it.
fn split_at_line<'t>(text: &'t str, words: &[&str]) -> (&'t str, &'t str) {
    let line = text.lines().find(|line| words.iter().all(|word| line.contains(word)));
    let line = line.unwrap_or_else(|| panic!("no line with {words:?} in\n{text}"));
    text.split_once(line).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_story_ends_with_both_sides_in_agreement() {
    let (agreed, text) = played(Wish { exit: true, speed: 20.0 }, &CancellationToken::new()).await;
    assert!(agreed, "{text}");
    assert!(text.contains("agree on all 38 of them"), "{text}");
    assert!(include_str!("../../README.md").contains("a story of 38 alerts"), "the README counts them");
    for (kind, title) in [
        ("service health", "Service issue: Virtual Machines – connectivity failures in"),
        ("resource health", "Unavailable: sql-prod-01/payments (platform)"),
        ("activity log", "Restart virtual machine succeeded: vm-web-03, by"),
        ("dynamic metric", "Sev2 HTTP 5xx 184 > expected 6.28 on app-orders-api"),
        ("web test", "Sev0 Web test shop-home fails from 5 locations (> 2)"),
        ("row of a log", "Sev2 new-exception-in-checkout: The payment provider did"),
        ("log, old API", "Sev2 checkout-slow: Aggregated Value 3,912 > 2,500"),
        ("Prometheus", "Sev2 KubePodCrashLooping: Pod restarts… (6 > 3) on"),
        ("smart detector", "Sev3 Failure Anomalies: 14.3 % of 2,150 requests, normally"),
        ("budget", "Budget payments-monthly: $12,380 forecast, 124 % of $10,000"),
        ("older payload", "Sev1 CPU 97.2 % > 90 % on vm-web-03"),
        ("test button", "[Test] Sev4 CPU 97.4 % > 90 % on test-vm"),
    ] {
        split_at_line(&text, &[kind, &format!("│ {title}")]);
    }
    // These, metrics and log searches.
    let (_, kinds) = text.rsplit_once(" alerts of ").unwrap();
    let kinds: usize = kinds.split_once(" kinds").unwrap().0.parse().unwrap();
    assert_eq!(kinds, 14, "at least twelve are promised");
    split_at_line(&text, &["one of each kind", "New, over", "ended by Azure", "yes"]);
    assert!(!text.contains('\u{1b}'), "no colour where nobody looks");
    let wide = text.lines().find(|line| line.chars().count() > 80);
    assert_eq!(wide, None, "fits the narrowest of terminals");

    let (_, then) = split_at_line(&text, &["Azure", "is Acknowledged"]);
    assert_eq!(then.lines().nth(1).unwrap().trim(), "\"Acknowledged by Jane Doe in SIGNL4: on it\"");
    let (_, then) = split_at_line(&text, &["Azure", "has the comment"]);
    assert_eq!(then.lines().nth(1).unwrap().trim(), "\"Jane Doe in SIGNL4: two more instances are up\"");
    let (_, then) = split_at_line(&text, &["Azure", "is Closed"]);
    assert_eq!(then.lines().nth(1).unwrap().trim(), "\"Closed by Jane Doe in SIGNL4\"");
    split_at_line(&text, &["Memory high on vm-web-2", "New, resolved", "nobody was woken", "yes"]);
    split_at_line(&text, &["Memory high on vm-web-3", "New", "open", "yes"]);
    split_at_line(&text, &["Backup report", "nobody was woken", "yes"]);
    let (during, after) = split_at_line(&text, &["SIGNL4", "is back"]);
    assert!(during.contains("runs again on the same store; 1 delivery is still owed"), "{during}");
    assert!(!during.contains("Sev0 Response time"), "the page cannot come before SIGNL4 is back");
    assert!(after.contains("│ Sev0 Response time 7.9 s > 2 s on shop"), "{after}");
    assert!(!after.contains("2.4 s"), "what was over during the outage wakes nobody");

    let (_, then) = split_at_line(&text, &["phone", "shows it as acknowledged"]);
    assert_eq!(then.lines().nth(1).unwrap().trim(), "\"Acknowledged in Azure by mary.major@contoso.com\"");
    split_at_line(&text, &["Queue backlog on sb-orders", "Acknowledged", "acknowledged", "yes"]);
    let (before, after) = split_at_line(&text, &["bridge", "finds vm-web-4 by poll"]);
    assert!(before.contains("drops the webhook of this one") && !before.contains("│ Sev1 Disk Used 97 %"), "{before}");
    assert!(after.contains("rings, 2 min after it fired") && after.contains("│ Sev1 Disk Used 97 %"), "{after}");
    let (_, then) = split_at_line(&text, &["phone", "rings once for 7: Richard Roe"]);
    assert!(then.lines().nth(2).unwrap().contains("│ 7 alerts, 2 rules, worst Sev0 "), "{then}");
    split_at_line(&text, &["Azure", "all 7 are Acknowledged"]);
    split_at_line(&text, &["3 × first of the storm", "New", "open", "yes"]);
    split_at_line(&text, &["7 × rest of the storm", "Acknowledged", "acknowledged (Richard Roe)", "yes"]);
    let (before, after) = split_at_line(&text, &["clock", "is put forward by 2 min: the window ends"]);
    assert!(!before.contains("│ Sev1 Replication lag"), "while the window is open nobody is woken\n{before}");
    assert!(after.contains("│ 2 alerts of Replication lag still fire after database "), "{after}");
    assert!(after.contains("│ Sev1 Replication lag 64 >") && !after.contains("lag 38"), "{after}");
    split_at_line(&text, &["Replication lag on sql-pay-1", "New", "open", "yes"]);
    split_at_line(&text, &["Replication lag on sql-pay-3", "New, resolved", "nobody was woken", "yes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_story_that_is_broken_off_proves_nothing() {
    let stop = CancellationToken::new();
    stop.cancel();
    let (agreed, text) = played(Wish { exit: true, speed: 1.0 }, &stop).await;
    assert!(!agreed);
    assert!(text.ends_with("Stopped. The temporary folder is removed.\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_holds_a_private_example_that_checks_well_and_goes_with_the_stage() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::set(Ports::Any, 1.0, Clock::System).await.unwrap();
    let folder = stage.folder().to_owned();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("secrets/azure"))), (0o700, 0o600));
    let mut said = Vec::new();
    let status = check::run(&stage.configuration(), None, &BTreeMap::new(), Timestamp::EPOCH, &mut said).unwrap();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(status, CheckStatus::Well, "{said}");
    assert!(said.contains("5 routes, 5 examples as expected, no warnings"), "{said}");
    stage.strike().await.unwrap();
    assert!(!folder.exists());
}
