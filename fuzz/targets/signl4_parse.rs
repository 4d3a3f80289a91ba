//! A body of SIGNL4's outbound webhook, judged where one alert has fired and two teams have a page of it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use signl4_azure_bridge::domain::decide::Reason;
use signl4_azure_bridge::domain::event::{Condition, EventKind, Notification};
use signl4_azure_bridge::domain::id::TeamName;
use signl4_azure_bridge::domain::page::Known;
use signl4_azure_bridge::signl4::parse::{Signl4Parsed, parse};
use signl4_azure_bridge_fuzz::{ALERTS, NOW, contoso, judge};

/// What is known of an alert that has just been paged.
static PAGED: LazyLock<Known> = LazyLock::new(|| {
    let mut known = Known::default();
    let notification = Box::new(ALERTS[0].clone());
    let verdict = judge(&mut known, &EventKind::Azure { connection: contoso(), notification });
    assert!(matches!(verdict.reason, Reason::Raised | Reason::Held) && !known.pages.is_empty());
    known
});

fuzz_target!(|body: &[u8]| {
    let parsed = match parse(body, NOW, Some("bridge")) {
        Ok(parsed) => parsed,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if let Signl4Parsed::Ours { page, change } = &parsed {
        assert!(page.as_str().starts_with("azmon:"));
        assert!(change.note.as_ref().is_none_or(|note| note.chars().count() <= 2_000));
        assert!(change.person.as_ref().is_none_or(|person| !person.id.is_empty() && !person.name.is_empty()));
        // The same change to each page that there is.
        let mut known = PAGED.clone();
        for page in PAGED.pages.iter().chain(&PAGED.pages) {
            let (team, change) = (page.team.clone(), change.clone());
            judge(&mut known, &EventKind::Signl4 { team, page: page.id.clone(), change });
        }
        // And Azure's own end of it.
        let resolved = Notification { condition: Condition::Resolved, ..ALERTS[0].clone() };
        judge(&mut known, &EventKind::Azure { connection: contoso(), notification: Box::new(resolved) });
    }
    let kind = parsed.into_kind(TeamName::parse("ops").expect("a name"));
    let verdict = judge(&mut Known::default(), &kind);
    assert!(verdict.owed.is_empty() && verdict.pages.is_empty(), "nothing follows from a page that nobody knows");
});
