//! After the story: the addresses, lines to try by hand, and what happens while somebody tries.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::DemoError;
use super::narrate::{Narrator, Shown, Style, Who};
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
    tell.line(&format!(
        "  Azure    {azure}   (simulated; {azure}/_simulator/ tells all that it can do)\n\
         \x20 SIGNL4   {signl4}   (simulated; {signl4}/_simulator/ as well)\n\
         \x20 bridge   http://{webhooks}   webhooks\n\
         \x20          http://{admin}   health, metrics, what operators ask\n\
         \x20 files    {folder}   (bridge.toml, routes/, bridge.db)"
    ))?;
    let fire = format!(
        "{{\"id\":\"{ALERT}\",\"rule\":\"CPU above 90 %\",\"resource\":\"vm-web-9\",\"resource_group\":\"rg-web\"}}"
    );
    let steps = [
        ("An alert fires: a page comes", vec![format!("curl -X POST {azure}/_simulator/fire -d '{fire}'")]),
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
            "SIGNL4 is away for half a minute; fire and watch",
            vec![format!("curl -X POST {signl4}/_simulator/door -d '{{\"door\":\"unavailable\",\"seconds\":30}}'")],
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
            let words = if entry.comments.is_empty() { String::new() } else { format!(": \"{}\"", entry.comments) };
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
