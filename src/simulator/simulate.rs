//! The body of the `simulate` subcommand: both services in a box, for trying the bridge by hand.

use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;

use super::scene::{JANE, SIGNL4_TOKEN, Scene};
use super::signl4::{Habit, Limits};
use crate::clock::Clock;

#[derive(Clone, Debug)]
pub struct SimulateOptions {
    /// Port 0 takes a free one.
    pub azure: SocketAddr,
    pub signl4: SocketAddr,
    /// Where the bridge listens, without trailing slash: its webhooks are registered.
    pub bridge_url: Option<String>,
    /// Azure's retry delays and its blackout are divided by this.
    pub time_scale: u32,
    /// What Jane Doe does without being told.
    pub habit: Option<Habit>,
}

impl Default for SimulateOptions {
    /// Fixed ports, so that a configuration outlives a restart; Azure waits a tenth of its time between retries.
    fn default() -> Self {
        Self {
            azure: ([127, 0, 0, 1], 8181).into(),
            signl4: ([127, 0, 0, 1], 8282).into(),
            bridge_url: None,
            time_scale: 10,
            habit: None,
        }
    }
}

/// Starts both simulators, writes to `out` how to use them, and keeps them until `until` is ready.
pub async fn simulate(
    options: SimulateOptions,
    out: &mut (dyn Write + Send),
    until: impl Future<Output = ()>,
) -> io::Result<()> {
    let scene = Scene::start(options.azure, options.signl4, Clock::System).await?;
    scene.azure.webhooks().set_time_scale(options.time_scale);
    scene.signl4.knobs(|knobs| knobs.limits = Limits::Commercial);
    scene.signl4.set_habit(JANE, options.habit).map_err(io::Error::other)?;
    if let Some(bridge_url) = &options.bridge_url {
        scene.connect(bridge_url);
    }
    out.write_all(introduction(&scene, options.bridge_url.as_deref()).as_bytes())?;
    out.flush()?;
    until.await;
    scene.azure.stop();
    scene.signl4.stop();
    Ok(())
}

fn introduction(scene: &Scene, bridge_url: Option<&str>) -> String {
    let azure = scene.azure.url();
    let signl4 = scene.signl4.url();
    let webhooks = match bridge_url {
        Some(url) => format!("Both call the bridge at {url}.\n"),
        None => format!(
            "No webhooks are registered yet. Once the bridge listens at 127.0.0.1:8080:\n\
             \x20 curl -X POST {azure}/_simulator/action-group -d '{{\"url\":\"http://any:{}@127.0.0.1:8080/azure/contoso\"}}'\n\
             \x20 curl -X POST {signl4}/_simulator/hook -d '{{\"url\":\"http://any:{SIGNL4_TOKEN}@127.0.0.1:8080/signl4/ops\"}}'\n",
            super::scene::AZURE_TOKEN
        ),
    };
    let lines = [
        (format!("curl {azure}/_simulator/"), "everything that can be asked of Azure"),
        (format!("curl {signl4}/_simulator/"), "and of SIGNL4"),
        (
            format!(
                "curl -X POST {azure}/_simulator/fire -d '{{\"rule\":\"CPU above 90 %\",\"resource\":\"vm-web-1\",\"severity\":1}}'"
            ),
            "",
        ),
        (format!("curl {signl4}/_simulator/state"), "the page, once the bridge has raised it"),
        (
            format!(
                "curl -X POST {signl4}/_simulator/acknowledge/ALERT -d '{{\"person\":\"{JANE}\",\"note\":\"on it\"}}'"
            ),
            "",
        ),
        (format!("curl -X POST {azure}/_simulator/resolve/ALERT"), ""),
        (
            format!(
                "curl -X POST {signl4}/_simulator/faults -d '{{\"times\":3,\"action\":{{\"status\":{{\"status\":503}}}}}}'"
            ),
            "",
        ),
    ];
    let commented = lines.iter().filter(|(_, comment)| !comment.is_empty()).map(|(line, _)| line.len());
    let width = commented.max().unwrap_or(0);
    let shown = lines.iter().map(|(line, comment)| {
        if comment.is_empty() { format!("  {line}\n") } else { format!("  {line:width$}  # {comment}\n") }
    });
    let to_try: String = shown.collect();
    format!(
        "Azure   {azure}   (Entra, Alerts Management, action group)\n\
         SIGNL4  {signl4}   (inbound webhook, REST v2, outbound webhook)\n\
         {webhooks}\n\
         For bridge.toml:\n\n{}\n\
         To try:\n{to_try}",
        scene.bridge_toml()
    )
}

#[cfg(test)]
mod tests;
