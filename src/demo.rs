//! The demo: both services as simulators, the bridge between them, and a story of real alerts.
//!
//! The bridge is the real one: its configuration and routes are files, its store is on disk, its worker runs. Only the
//! two services are simulated. What the story claims is read from the simulators, never taken for granted: each step
//! waits for the state that it tells, and a state that does not come about ends the demo with its name. Where an operator
//! would wait for minutes, the clock of all three is put forward, and the story says so.

mod agree;
mod by_hand;
mod narrate;
mod passing;
mod stage;
mod story;
mod summary;
mod watch;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};

use tokio_util::sync::CancellationToken;

use self::narrate::Narrator;
use self::stage::{Ports, Stage};
use self::story::Story;
use crate::app::{BuildError, RunError};
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::simulator::watched::TimedOut;
use crate::simulator::{azure, signl4};
use crate::store::StoreError;

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// End after the story.
    pub exit: bool,
    /// Pauses are divided by this.
    pub speed: f64,
}

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
    #[error("the simulated Azure refused: {0}")]
    Azure(#[from] azure::ActionError),
    #[error("the simulated SIGNL4 refused: {0}")]
    Signl4(#[from] signl4::ActionError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("the bridge's store could not be read: {0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Unexpected(String),
}

/// Plays the story; true if both sides agree at its end.
pub async fn run(wish: Wish, stop: CancellationToken, out: &mut (dyn Write + Send)) -> io::Result<bool> {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = io::stdout().is_terminal() && !unwanted && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    play(wish, Ports::Usual, &stop, &mut Narrator::new(out, colour, wish.speed, Clock::ahead())).await
}

async fn play(wish: Wish, ports: Ports, stop: &CancellationToken, tell: &mut Narrator<'_>) -> io::Result<bool> {
    let mut stage = match Stage::set(ports, tell.speed(), tell.clock()).await {
        Ok(stage) => stage,
        Err(error) => return failed(tell, error),
    };
    let told = perform(wish, stop, &mut stage, tell).await;
    let struck = stage.strike().await;
    let agreed = match told.and_then(|agreed| struck.map(|()| agreed)) {
        Ok(agreed) => agreed,
        Err(error) => return failed(tell, error),
    };
    if stop.is_cancelled() {
        tell.line("\nStopped. The temporary folder is removed.")?;
    }
    Ok(agreed)
}

/// The story, the summary and, unless the demo is to end, the time to try things by hand.
async fn perform(
    wish: Wish,
    stop: &CancellationToken,
    stage: &mut Stage,
    tell: &mut Narrator<'_>,
) -> Result<bool, DemoError> {
    let story = async {
        let parts = Story::new(stage, tell).tell().await?;
        let rows = agree::settle(&stage.scene, &parts).await;
        let kinds: BTreeSet<&str> = parts.iter().filter_map(|part| part.kind).collect();
        summary::show(stage, tell, &rows, kinds.len()).await
    };
    let agreed = tokio::select! {
        agreed = story => agreed?,
        // An unfinished story proves nothing.
        () = stop.cancelled() => return Ok(!wish.exit),
    };
    if !wish.exit {
        by_hand::introduce(stage, tell)?;
        by_hand::stay(stage, tell, stop).await?;
    }
    Ok(agreed)
}

/// Says loudly what went wrong; a reader that went away is the caller's matter.
fn failed(tell: &mut Narrator<'_>, error: DemoError) -> io::Result<bool> {
    if let DemoError::Io(error) = error {
        return Err(error);
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    tell.alarm(&format!("The demo failed: {text}"))?;
    Ok(false)
}

#[cfg(test)]
mod tests;
