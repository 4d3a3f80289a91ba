//! After the story: the addresses, lines to try by hand, and what happens while somebody tries.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::narrate::{Narrator, Shown, Style, Who, span};
use super::stage::Stage;
use super::watch::{page_id, team_name};
use crate::simulator::azure::{self, Modification};
use crate::simulator::scene::JANE;
use crate::simulator::signl4::{self, AlertStatus};

/// The id of the alert that the printed lines are about.
const ALERT: &str = "dddddddd-1111-4222-8333-444444444444";

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Prints where everything is and what to try.
pub(super) fn introduce(stage: &Stage, tell: &mut Narrator<'_>) -> Result<(), DemoError> {
    let (webhooks, admin) = stage.addresses();
    let (azure, signl4) = (stage.scene.azure.url(), stage.scene.signl4.url());
    let page = page_id(ALERT);
    let configuration = stage.configuration();
    let (folder, program, configuration) = (stage.folder().display(), program(), configuration.display());
    tell.heading("Now by hand")?;
    for (name, place, what) in [
        ("Azure", azure.clone(), "simulated; /_simulator/ tells what it can do"),
        ("SIGNL4", signl4.clone(), "simulated, likewise"),
        ("bridge", format!("http://{webhooks}"), "webhooks"),
        ("", format!("http://{admin}"), "health, metrics, what operators ask"),
        // Temporary folders have long names.
        ("files", folder.to_string(), ""),
        ("", String::new(), "bridge.toml, routes/, bridge.db"),
    ] {
        tell.line(format!("  {name:<7} {place:<23} {what}").trim_end())?;
    }
    let ahead = stage.ahead();
    if ahead >= Duration::from_mins(1) {
        tell.line(&format!("  clock   {:<23} ahead of yours: the story put it forward", span(ahead)))?;
    }
    let fire = format!(
        "{{\"id\":\"{ALERT}\",\"rule\":\"CPU above 90 %\",\"resource\":\"vm-web-9\",\"resource_group\":\"rg-web\"}}"
    );
    let steps = [
        (
            "An alert fires: a page comes (once; for another, leave out \"id\")",
            vec![format!("curl -X POST {azure}/_simulator/fire -d '{fire}'")],
        ),
        (
            "Jane acknowledges it on her phone",
            vec![format!(
                "curl -X POST {signl4}/_simulator/acknowledge/{page} -d '{{\"person\":\"{JANE}\",\"note\":\"on it\"}}'"
            )],
        ),
        ("Azure resolves it: the page ends", vec![format!("curl -X POST {azure}/_simulator/resolve/{ALERT}")]),
        (
            "Both sides, and the webhooks that Azure sent",
            vec![
                format!("curl {azure}/_simulator/alert/{ALERT}"),
                format!("curl {signl4}/_simulator/alert/{page}"),
                format!("curl {azure}/_simulator/webhooks"),
            ],
        ),
        (
            "What an operator asks",
            vec![
                format!("curl http://{admin}/readyz"),
                format!("curl http://{admin}/metrics"),
                format!("curl 'http://{admin}/api/events?limit=5'"),
                format!("{program} --config {configuration} deliveries list --state all"),
                format!("{program} --config {configuration} check"),
            ],
        ),
        (
            "SIGNL4 is away for ten seconds; fire, and the page comes after them",
            vec![format!("curl -X POST {signl4}/_simulator/door -d '{{\"door\":\"unavailable\",\"seconds\":10}}'")],
        ),
    ];
    for (title, lines) in steps {
        let title = tell.styled(Style::Dim, &format!("# {title}"));
        tell.line(&format!("\n  {title}"))?;
        for line in lines {
            tell.line(&format!("  {line}"))?;
        }
    }
    let text = tell.styled(Style::Bold, "Ctrl-C ends everything and removes the folder.");
    Ok(tell.line(&format!("\n  {text}"))?)
}

/// Keeps everything running until `stop`, and tells what happens meanwhile.
pub(super) async fn stay(stage: &Stage, tell: &mut Narrator<'_>, stop: &CancellationToken) -> Result<(), DemoError> {
    let mut seen = Seen::now(stage);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK_EVERY) => seen.tell_news(stage, tell)?,
        }
    }
    Ok(())
}

/// How much of both sides has been told.
#[derive(Debug)]
struct Seen {
    pages: usize,
    statuses: BTreeMap<String, AlertStatus>,
    /// Entries of each Azure alert's history.
    histories: BTreeMap<String, usize>,
}

impl Seen {
    fn now(stage: &Stage) -> Self {
        let (pages, statuses) = stage.scene.signl4.read(|state| {
            let statuses = state.alerts.iter().map(|page| (page.id.clone(), page.status)).collect();
            (state.alerts.len(), statuses)
        });
        let histories = stage
            .scene
            .azure
            .read(|state| state.alerts.iter().map(|(id, alert)| (id.clone(), alert.history.len())).collect());
        Self { pages, statuses, histories }
    }

    /// What is new: first what Azure fired, then the phones, then what reached Azure from them.
    fn tell_news(&mut self, stage: &Stage, tell: &mut Narrator<'_>) -> io::Result<()> {
        let entries: Vec<(String, Modification)> = stage.scene.azure.read(|state| {
            let new = |(id, alert): (&String, &azure::Alert)| {
                let told = self.histories.get(id).copied().unwrap_or_default();
                let name = format!("\"{}\" on {}", alert.spec.rule, alert.spec.resource);
                alert.history.iter().skip(told).map(|entry| (name.clone(), entry.clone())).collect::<Vec<_>>()
            };
            state.alerts.iter().flat_map(new).collect()
        });
        let (pages, changed) = stage.scene.signl4.read(|state| {
            let pages: Vec<_> =
                state.alerts.iter().skip(self.pages).map(|page| (team_name(state, page), page.clone())).collect();
            let changed: Vec<_> = state
                .alerts
                .iter()
                .filter(|page| {
                    self.statuses.get(&page.id).map_or(page.status != AlertStatus::Open, |told| *told != page.status)
                })
                .map(|page| (page.title.clone(), status_words(state, page)))
                .collect();
            (pages, changed)
        });
        *self = Self::now(stage);
        let (from_azure, to_azure): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(_, entry)| entry.event != "StateChange");
        for (name, entry) in from_azure {
            let verb = if entry.event == "AlertCreated" { "fires" } else { "resolves" };
            tell.say(Who::Azure, &format!("{verb} {name}"))?;
        }
        for (team, page) in pages {
            tell.say(Who::Phone, &format!("rings in the team {team}"))?;
            tell.page(&team, &page, Shown::Whole)?;
        }
        for (title, words) in changed {
            tell.say(Who::Phone, &format!("\"{title}\" is {words}"))?;
        }
        for (name, entry) in to_azure {
            let words = if entry.comments.is_empty() { String::new() } else { format!(":\n\"{}\"", entry.comments) };
            tell.say(Who::Azure, &format!("{name} is {}{words}", entry.new))?;
        }
        Ok(())
    }
}

fn status_words(state: &signl4::State, page: &signl4::Alert) -> String {
    let name = |id: Option<&String>| id.and_then(|id| state.person(id)).map(|person| format!(" by {}", person.name));
    match page.status {
        AlertStatus::Open => "open again".to_owned(),
        AlertStatus::Acknowledged => {
            format!("acknowledged{}", name(page.acknowledged_by.first()).unwrap_or_default())
        }
        AlertStatus::Closed => {
            name(page.closed_by.as_ref()).map_or_else(|| "ended".to_owned(), |by| format!("closed{by}"))
        }
    }
}

/// How this program can be called from where the demo was started.
fn program() -> String {
    let own = std::env::current_exe().unwrap_or_else(|_| Path::new("signl4-azure-bridge").to_path_buf());
    let here = std::env::current_dir().ok();
    match here.and_then(|here| own.strip_prefix(here).ok().map(Path::to_path_buf)) {
        Some(below) => format!("./{}", below.display()),
        None => own.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::demo::stage::Ports;
    use crate::simulator::azure::{AlertSpec, AlertState};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_somebody_tries_by_hand_is_told() {
        crate::egress::install_provider();
        let stage = Stage::set(Ports::Any, 20.0, Clock::System).await.unwrap();
        let mut out = Vec::new();
        let mut tell = Narrator::new(&mut out, false, 20.0, Clock::System);
        introduce(&stage, &mut tell).unwrap();
        let mut seen = Seen::now(&stage);
        let spec = AlertSpec { id: Some(ALERT.to_owned()), ..AlertSpec::default() }.resource_group("rg-web");
        stage.scene.azure.fire(spec).unwrap();
        stage.page(ALERT, "ops").await.unwrap();
        stage.scene.signl4.acknowledge(&page_id(ALERT), JANE, Some("on it")).unwrap();
        stage.azure_is(ALERT, AlertState::Acknowledged).await.unwrap();
        seen.tell_news(&stage, &mut tell).unwrap();
        seen.tell_news(&stage, &mut tell).unwrap();
        let (azure, configuration) = (stage.scene.azure.url(), stage.configuration());
        stage.strike().await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("curl -X POST {azure}/_simulator/fire -d '{{\"id\":\"{ALERT}\"")), "{text}");
        assert!(text.contains(&format!("--config {} deliveries list", configuration.display())), "{text}");
        let news: Vec<&str> =
            text.lines().filter(|line| line.contains(" s  ")).filter_map(|line| line.get(9..)).collect();
        assert_eq!(
            news,
            [
                "Azure  fires \"CPU above 90 %\" on vm-web-1",
                "phone  rings in the team ops",
                "phone  \"Sev1 CPU 97.4 % > 90 % on vm-web-1\" is acknowledged by Jane Doe",
                "Azure  \"CPU above 90 %\" on vm-web-1 is Acknowledged:",
            ],
            "each once, in this order\n{text}"
        );
    }
}
