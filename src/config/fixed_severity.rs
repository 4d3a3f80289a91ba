//! Routes and examples that ask for a severity which Azure never sets on that kind of alert: such a route stays silent for
//! ever, and nothing else would tell.

use std::path::Path;

use super::problem::{Findings, shown};
use crate::domain::event::Severity;
use crate::domain::route::{Criteria, Glob, Route};

/// All of these are activity log alerts for Azure, and all come with Sev4. As `monitoring_service` and `signal` name them.
const FIXED: [&str; 3] = ["Activity Log*", "ServiceHealth", "Resource Health"];

/// One warning for each route and each example.
pub(super) fn warn(routes: &[Route], folder: &Path, findings: &mut Findings) {
    let fixed: Vec<Glob> = FIXED.into_iter().map(Glob::new).collect();
    for route in routes {
        let file = shown(&folder.join(&route.file));
        if let Some(kind) = asks_in_vain(&route.criteria, &fixed) {
            findings.warn(
                &format!("{file}:{}", route.line),
                format_args!(
                    "route `{}` asks for {kind} with a severity other than Sev4, and Azure sets Sev4 on all of them: it \
                     never matches; leave `severity` out",
                    route.name
                ),
            );
        }
        for example in &route.examples {
            let alert = &example.notification;
            let kind = [&alert.monitoring_service, &alert.signal]
                .into_iter()
                .flatten()
                .find(|name| fixed.iter().any(|fixed| fixed.matches_loosely(name)));
            if let (Some(kind), Some(severity)) = (kind, alert.severity)
                && severity != Severity::Sev4
            {
                findings.warn(
                    &format!("{file}:{}", example.line),
                    format_args!(
                        "example of route `{}` is of {kind} with {}, and Azure sets Sev4 on all of them; write Sev4",
                        route.name,
                        severity.as_str()
                    ),
                );
            }
        }
    }
}

/// What the criteria are limited to, if that always comes with Sev4 and they leave Sev4 out.
fn asks_in_vain<'c>(criteria: &'c Criteria, fixed: &[Glob]) -> Option<&'c Glob> {
    if criteria.severity.is_empty() || criteria.severity.contains(&Severity::Sev4) {
        return None;
    }
    [&criteria.monitoring_service, &criteria.signal].into_iter().find_map(|patterns| {
        let all = patterns.iter().all(|pattern| fixed.iter().any(|fixed| fixed.covers_loosely(pattern)));
        patterns.first().filter(|_| all)
    })
}
