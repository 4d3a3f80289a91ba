//! A route's own words, laid over alerts of several kinds: refused with a place, or a page that keeps every promise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signl4_azure_bridge::config::read_routes;
use signl4_azure_bridge::domain::render::compose;
use signl4_azure_bridge_fuzz::{ALERTS, BARE, PORTALS, check_page, contoso};

fuzz_target!(|template: &str| {
    // What JSON quotes, TOML reads as well.
    let quoted = serde_json::to_string(template).expect("a text");
    let words =
        format!("title = {quoted}\nmessage = {quoted}\nrunbook = {quoted}\nparameters = {{ Note = {quoted} }}\n");
    let file = format!("[[route]]\nname = \"own words\"\nteam = \"ops\"\n{words}");
    let Ok((routes, _)) = read_routes("fuzz.toml", &file, &BARE) else { return };
    for (route, alert) in routes.iter().flat_map(|route| ALERTS.iter().map(move |alert| (route, alert))) {
        let (page, faults) = route.page(&contoso(), alert, &compose(alert, PORTALS[0]));
        check_page(&page, template.as_bytes());
        assert!(faults.iter().all(|fault| fault.place.starts_with("fuzz.toml:") && !fault.problem.is_empty()));
    }
});
