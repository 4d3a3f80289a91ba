//! Digests: one page for many alerts, because nobody reads forty-seven of them.
//!
//! A digest is an alert of its own, `digest:…`, with one page. Its members keep their rows, their place in Azure and
//! their policies; only SIGNL4 sees them as one.

use super::event::Severity;
use super::id::{AlertKey, EventId, ExternalId};
use super::render::{Rendered, TITLE_CHARS};
use super::route::Scenario;

/// Members that are named in the message; of the rest there is the number.
pub const NAMED: usize = 10;

/// What a digest has gathered: its live members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    pub live: usize,
    /// Different rules among them.
    pub rules: usize,
    /// The name of the rule, where it is one.
    pub rule: Option<String>,
    pub worst: Option<Severity>,
    /// The most urgent of them.
    pub scenario: Option<Scenario>,
    /// The one that all of them have.
    pub service: Option<String>,
    /// Titles of the worst, [`NAMED`] at most.
    pub titles: Vec<String>,
    /// The only member.
    pub alone: Option<ExternalId>,
}

/// The key of the `number`th digest that an event opens.
pub fn key(event: EventId, number: usize) -> AlertKey {
    if number <= 1 {
        AlertKey::synthetic(KIND, &event.to_string())
    } else {
        AlertKey::synthetic(KIND, &format!("{event}-{number}"))
    }
}

const KIND: &str = "digest";

/// Whether an alert is a digest.
pub fn is_digest(key: &AlertKey) -> bool {
    key.as_str().strip_prefix(KIND).is_some_and(|rest| rest.starts_with(':'))
}

impl Gathered {
    /// `47 alerts, 3 rules, worst Sev0`. `window`: the maintenance window that held them; `portal`: its address.
    pub fn rendered(&self, window: Option<&str>, portal: &str) -> Rendered {
        let Self { live, rules, .. } = self;
        let what = match &self.rule {
            Some(rule) => format!("{live} alerts of {rule}"),
            None if *rules > 1 => format!("{live} alerts, {rules} rules"),
            None => format!("{live} alerts"),
        };
        let worst = self.worst.map(|worst| format!(", worst {}", worst.as_str())).unwrap_or_default();
        let after = window.map(|window| format!(" still fire after {window}")).unwrap_or_default();
        let room = TITLE_CHARS.saturating_sub(worst.chars().count());
        let mut lines = self.titles.clone();
        let unnamed = live.saturating_sub(self.titles.len());
        if unnamed > 0 {
            lines.push(format!("… and {unnamed} more"));
        }
        lines.push("Acknowledging or closing this page does so for all of them in Azure.".to_owned());
        let mut parameters = vec![("Alerts".to_owned(), live.to_string()), ("Rules".to_owned(), rules.to_string())];
        parameters.extend(self.worst.map(|worst| ("Worst".to_owned(), worst.as_str().to_owned())));
        parameters.extend(window.map(|window| ("Maintenance".to_owned(), cut(window, 120))));
        parameters.push((
            "Link".to_owned(),
            format!("{portal}/#blade/Microsoft_Azure_Monitoring/AzureMonitoringBrowseBlade/alertsV2"),
        ));
        let title = format!("{}{worst}", cut(&format!("{what}{after}"), room));
        Rendered { title, message: lines.join("\n"), parameters, location: None }
    }
}

fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTAL: &str = "https://portal.azure.com";

    #[test]
    fn a_digest_says_how_many_how_different_and_how_bad() {
        let storm = Gathered {
            live: 47,
            rules: 3,
            worst: Some(Severity::Sev0),
            titles: (0..10).map(|number| format!("vm{number} is down")).collect(),
            ..Gathered::default()
        };
        let page = storm.rendered(None, PORTAL);
        assert_eq!(page.title, "47 alerts, 3 rules, worst Sev0");
        assert!(page.message.starts_with("vm0 is down\nvm1 is down\n"));
        assert!(page.message.contains("\n… and 37 more\n"));
        let names: Vec<&str> = page.parameters.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["Alerts", "Rules", "Worst", "Link"]);

        let one = Gathered { rules: 1, rule: Some("cpu-high".to_owned()), ..storm };
        assert_eq!(one.rendered(None, PORTAL).title, "47 alerts of cpu-high, worst Sev0");
        let after = one.rendered(Some("sunday patching"), PORTAL);
        assert_eq!(after.title, "47 alerts of cpu-high still fire after sunday patching, worst Sev0");
    }

    #[test]
    fn a_long_name_leaves_room_for_the_worst() {
        let rule = Some("n".repeat(120));
        let gathered = Gathered { live: 2, rules: 1, rule, worst: Some(Severity::Sev1), ..Gathered::default() };
        let title = gathered.rendered(None, PORTAL).title;
        assert_eq!(title.chars().count(), TITLE_CHARS);
        assert!(title.ends_with("n…, worst Sev1"), "{title}");
    }

    #[test]
    fn digests_are_known_by_their_keys() {
        let event = EventId::new(uuid::Uuid::nil());
        assert!(is_digest(&key(event, 1)) && is_digest(&key(event, 2)));
        assert_ne!(key(event, 1), key(event, 2));
        assert!(!is_digest(&AlertKey::synthetic("notice", "digest:1")));
        assert!(!is_digest(&AlertKey::stored("digested".to_owned())));
    }
}
