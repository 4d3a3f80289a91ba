//! The commands that run for a while: `serve`, `doctor`, `demo`, `simulate`.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Status, complain};
use crate::app::{App, Options};
use crate::clock::Clock;
use crate::config::Config;
use crate::demo;
use crate::doctor::{Style, diagnose, report};
use crate::simulator::simulate::{self, SimulateOptions};

/// Of the demo's story.
const FASTEST: f64 = 50.0;

/// Runs a future on a runtime of its own.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> std::io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future))
}

pub(super) fn serve(config: Config, env: BTreeMap<String, String>) -> std::io::Result<Status> {
    block_on(async {
        let app = match App::build(config, Options { env, ..Options::default() }).await {
            Ok(app) => app,
            Err(error) => return Ok(complain(&chain(&error))),
        };
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        match app.run(stop, true).await {
            Ok(()) => Ok(Status::Well),
            Err(error) => {
                tracing::error!("{error}");
                Ok(Status::Failed)
            }
        }
    })?
}

pub(super) fn doctor(
    path: &Path,
    routes: Option<&Path>,
    env: &BTreeMap<String, String>,
    json: bool,
    out: &mut dyn Write,
) -> std::io::Result<Status> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let diagnosis = runtime.block_on(diagnose(path, routes, env, &Clock::System));
    // A name server that does not answer holds a thread for longer than we care.
    runtime.shutdown_background();
    let diagnosis = match diagnosis {
        Ok(diagnosis) => diagnosis,
        Err(error) => return Ok(complain(&chain(&error))),
    };
    let colour = std::io::stdout().is_terminal() && !env.contains_key("NO_COLOR");
    report(&diagnosis.findings, if json { Style::Json } else { Style::Text { colour } }, out)?;
    Ok(match (diagnosis.is_usable, diagnosis.has_failures()) {
        (false, _) => Status::Unusable,
        (true, true) => Status::Failed,
        (true, false) => Status::Well,
    })
}

pub(super) fn demo(exit: bool, speed: f64) -> std::io::Result<Status> {
    if !(speed.is_finite() && speed > 0.0) {
        return Ok(complain("error: --speed takes a number above 0"));
    }
    if speed > FASTEST {
        return Ok(complain(&format!(
            "error: --speed takes {FASTEST} at most: a faster story is over before the bridge has done its part"
        )));
    }
    block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        let agreed = demo::run(demo::Wish { exit, speed }, stop, &mut std::io::stdout()).await?;
        Ok(if agreed { Status::Well } else { Status::Failed })
    })?
}

pub(super) fn simulate(options: SimulateOptions) -> std::io::Result<Status> {
    let is_url = |text: &str| {
        reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    if let Some(url) = options.bridge_url.as_deref().filter(|url| !is_url(url)) {
        return Ok(complain(&format!("error: --bridge-url is `{url}`; write it such as http://127.0.0.1:8080")));
    }
    block_on(async {
        let stop = CancellationToken::new();
        stop_on_signal(stop.clone())?;
        simulate::simulate(options, &mut std::io::stdout(), stop.cancelled()).await?;
        Ok(Status::Well)
    })?
}

/// The first SIGTERM or SIGINT asks for an orderly stop, the second ends the process at once.
fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        let mut asked = false;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if asked {
                end_at_once();
            }
            asked = true;
            stop.cancel();
        }
    });
    Ok(())
}

#[expect(clippy::exit, reason = "a second signal asks for just this; what is under way is settled by its lease")]
fn end_at_once() {
    std::process::exit(1);
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // SQLite's errors say the same twice: once plain, once with the number in front.
        let plain = text.rsplit(": ").next().unwrap_or(&text);
        if !said.ends_with(plain) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}
