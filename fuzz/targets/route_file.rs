//! The text of a routes file: refused with a place and a reason, or routes that judge alerts and run their examples.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use signl4_azure_bridge::config::read_routes;
use signl4_azure_bridge::domain::route::Rules;
use signl4_azure_bridge_fuzz::{ALERTS, BARE, contoso};

fuzz_target!(|text: &[u8]| -> Corpus {
    // The loader refuses a file that is not UTF-8 before it reads on.
    let Ok(text) = std::str::from_utf8(text) else { return Corpus::Reject };
    match read_routes("fuzz.toml", text, &BARE) {
        Err(error) => {
            assert!(!error.problems.is_empty());
            for problem in &error.problems {
                let position = problem.place.strip_prefix("fuzz.toml:").expect("a place in the file");
                let (line, column) = position.split_once(':').expect("line and column");
                let line: usize = line.parse().expect("a line");
                let column: usize = column.parse().expect("a column");
                assert!((1..=1 + text.matches('\n').count()).contains(&line) && column >= 1, "{problem}");
                assert!(!problem.message.is_empty(), "{problem}");
            }
        }
        Ok((routes, warnings)) => {
            assert!(warnings.iter().all(|warning| warning.starts_with("fuzz.toml:")), "{warnings:?}");
            try_out(&Rules { routes, ..BARE.clone() });
        }
    }
    Corpus::Keep
});

/// What `check` and `explain` do with routes, and what a judgement asks of them.
fn try_out(rules: &Rules) {
    for shadow in rules.shadowed() {
        assert!(rules.routes.iter().any(|route| std::ptr::eq(route, shadow.route)));
    }
    for route in &rules.routes {
        assert!(!route.name.is_empty() && !route.criteria.to_string().is_empty());
        assert!(rules.teams.contains_key(&route.team), "{}", route.team);
        for example in &route.examples {
            if let Err(surprise) = rules.run(route, example) {
                assert!(!surprise.to_string().is_empty());
            }
        }
    }
    for alert in ALERTS.iter() {
        let takers = rules.matching(&contoso(), alert);
        let explained = rules.explain(&contoso(), alert);
        assert_eq!(explained.len(), rules.routes.len());
        let said: Vec<bool> = explained.iter().map(|(_, decision)| decision.takes()).collect();
        let took: Vec<bool> =
            rules.routes.iter().map(|route| takers.iter().any(|taker| std::ptr::eq(*taker, route))).collect();
        assert_eq!(said, took, "what is explained is what is done");
    }
}
