//! The command line: one binary, its subcommands, and their exit status.
//!
//! 0 well, 1 a check failed, 2 usage or configuration error. Commands that touch a running bridge go through its admin
//! listener, never into its database.

mod operate;
mod run;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::check::{self, CheckStatus};
use crate::clock::Clock;
use crate::config::{Config, NAMED};
use crate::domain::id::ConnectionName;
use crate::simulator::signl4::Habit;
use crate::simulator::simulate::SimulateOptions;
use crate::telemetry::{LogFormat, start_log};

/// A durable two-way bridge between Azure Monitor and SIGNL4.
///
/// Azure Action Groups post alerts to it and it pages the SIGNL4 team on duty; SIGNL4 posts acknowledgements, closes and
/// annotations to it and it changes the alert in Azure.
#[derive(Debug, Parser)]
#[command(name = "signl4-azure-bridge", version, max_term_width = 100)]
struct Cli {
    /// The configuration file [default: bridge.toml].
    #[arg(long, global = true, env = NAMED)]
    config: Option<PathBuf>,
    /// The routes folder [default: `routes` beside the configuration].
    #[arg(long, global = true, env = "BRIDGE_ROUTES")]
    routes: Option<PathBuf>,
    /// How log lines look.
    #[arg(long, global = true, value_enum, default_value_t, env = "BRIDGE_LOG")]
    log: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge.
    Serve,
    /// Show the bridge at work between simulators of both services; needs no configuration.
    Demo {
        /// End after the story; status 1 if the two sides disagree at its end.
        #[arg(long)]
        exit: bool,
        /// Play the story this many times faster; 50 at most.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
    },
    /// Check the configuration and the routes, and run the routes' examples.
    Check,
    /// Try out what the bridge depends on: credentials, permissions, addresses, callers. Pages nobody, changes nothing.
    Doctor {
        /// One JSON array instead of lines for people.
        #[arg(long)]
        json: bool,
    },
    /// Say which route takes a webhook body and print the requests that would go out, sending nothing.
    Explain {
        /// A file with the body of an Azure webhook; `-` reads standard input.
        file: PathBuf,
        /// As if it came through this connection [default: the one that lists the alert's subscription].
        #[arg(long)]
        connection: Option<String>,
    },
    /// Make what callers show to the bridge.
    Token {
        #[command(subcommand)]
        command: Token,
    },
    /// Look at deliveries of the running bridge, send dead ones again, or drop them.
    Deliveries {
        #[command(subcommand)]
        command: Deliveries,
    },
    /// Hold a team's new pages for a while; what Azure resolves meanwhile wakes nobody.
    Pause {
        /// NAME of `[signl4.NAME]`.
        #[arg(long)]
        team: String,
        /// Such as `30m`, `1h`, `2d`; 7d at most.
        #[arg(long = "for", value_name = "SPAN")]
        span: String,
    },
    /// End a pause; what still fires is paged.
    Resume {
        /// NAME of `[signl4.NAME]`.
        #[arg(long)]
        team: String,
    },
    /// Write a whole copy of the store of the running bridge, which goes on meanwhile.
    Backup {
        /// A new file; the bridge writes it, as its user.
        file: PathBuf,
    },
    /// Run simulators of Azure and SIGNL4 to try the bridge against.
    Simulate {
        /// Address of the simulated Azure.
        #[arg(long, default_value = "127.0.0.1:7070")]
        azure: std::net::SocketAddr,
        /// Address of the simulated SIGNL4.
        #[arg(long, default_value = "127.0.0.1:7071")]
        signl4: std::net::SocketAddr,
        /// Where the bridge listens; its webhooks are then registered in both.
        #[arg(long, value_name = "URL")]
        bridge_url: Option<String>,
        /// Azure's retries and its blackout run this many times faster.
        #[arg(long, default_value_t = 1)]
        speed: u32,
        /// Jane Doe, on duty, acknowledges each alert after so many seconds.
        #[arg(long, value_name = "SECONDS")]
        acknowledge_after: Option<u64>,
        /// Jane Doe closes each alert so many seconds later.
        #[arg(long, value_name = "SECONDS")]
        close_after: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Print a new token of 256 random bits, fit for a URL.
    New,
}

#[derive(Debug, Subcommand)]
enum Deliveries {
    /// List deliveries, newest first.
    List {
        /// due, leased, done, dead, superseded, confirmed, dropped, or all.
        #[arg(long, default_value = "dead")]
        state: String,
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// One JSON array instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Send a dead delivery again.
    Replay {
        id: String,
        /// Page although Azure has resolved the alert meanwhile.
        #[arg(long)]
        force: bool,
    },
    /// Give a delivery up for good.
    Drop { id: String },
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Well,
    Failed,
    Unusable,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Well => Self::SUCCESS,
            Status::Failed => Self::from(1),
            Status::Unusable => Self::from(2),
        }
    }
}

/// Parses the command line, runs the command, gives the exit status.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let serves = matches!(cli.command, Command::Serve);
    start_log(cli.log, !serves);
    crate::egress::install_provider();
    match command(cli) {
        Ok(status) => status.into(),
        // A reader that went away, such as `| head`, is no failure of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => complain(&format!("error: {error}")).into(),
    }
}

fn command(cli: Cli) -> std::io::Result<Status> {
    let mut env: BTreeMap<String, String> = std::env::vars().collect();
    if let Some(named) = &cli.config {
        // From here on `--config` and its variable are one.
        env.insert(NAMED.to_owned(), named.display().to_string());
    }
    let config = cli.config.unwrap_or_else(|| PathBuf::from("bridge.toml"));
    let out = &mut std::io::stdout();
    match cli.command {
        Command::Check => Ok(match check::run(&config, cli.routes.as_deref(), &env, Clock::System.now(), out)? {
            CheckStatus::Well => Status::Well,
            CheckStatus::Failed => Status::Failed,
            CheckStatus::Unusable => Status::Unusable,
        }),
        Command::Doctor { json } => run::doctor(&config, cli.routes.as_deref(), &env, json, out),
        Command::Demo { exit, speed } => run::demo(exit, speed),
        Command::Simulate { azure, signl4, bridge_url, speed, acknowledge_after, close_after } => {
            let milliseconds = |seconds: Option<u64>| seconds.map(|seconds| seconds.saturating_mul(1000));
            let habit = (acknowledge_after.is_some() || close_after.is_some()).then(|| Habit {
                acknowledge_after_ms: milliseconds(acknowledge_after),
                close_after_ms: milliseconds(close_after),
                note: None,
            });
            run::simulate(SimulateOptions { azure, signl4, bridge_url, time_scale: speed.max(1), habit })
        }
        Command::Serve => with_config(&config, cli.routes.as_deref(), &env, |config| run::serve(config, env.clone())),
        Command::Explain { file, connection } => with_config(&config, cli.routes.as_deref(), &env, |config| {
            explain(&config, &file, connection.as_deref(), out)
        }),
        Command::Token { command: Token::New } => match crate::secret::fresh_token() {
            Ok(token) => writeln!(out, "{token}").map(|()| Status::Well),
            Err(error) => Ok(complain(&format!("error: {error}"))),
        },
        Command::Deliveries { command } => with_config(&config, cli.routes.as_deref(), &env, |config| {
            let wish = match command {
                Deliveries::List { state, limit, json } => operate::Wish::List { state, limit, json },
                Deliveries::Replay { id, force } => operate::Wish::Replay { id, force },
                Deliveries::Drop { id } => operate::Wish::Drop { id },
            };
            operate::ask(&config, &wish, out)
        }),
        Command::Pause { team, span } => with_config(&config, cli.routes.as_deref(), &env, |config| {
            operate::ask(&config, &operate::Wish::Pause { team, span }, out)
        }),
        Command::Backup { file } => {
            let file = match std::path::absolute(&file) {
                Ok(file) => file.to_string_lossy().into_owned(),
                Err(error) => return Ok(complain(&format!("error: {}: {error}", file.display()))),
            };
            with_config(&config, cli.routes.as_deref(), &env, |config| {
                operate::ask(&config, &operate::Wish::Backup { file }, out)
            })
        }
        Command::Resume { team } => with_config(&config, cli.routes.as_deref(), &env, |config| {
            operate::ask(&config, &operate::Wish::Resume { team }, out)
        }),
    }
}

fn with_config(
    path: &std::path::Path,
    routes: Option<&std::path::Path>,
    env: &BTreeMap<String, String>,
    then: impl FnOnce(Config) -> std::io::Result<Status>,
) -> std::io::Result<Status> {
    match Config::load(path, routes, env) {
        Ok(config) => then(config),
        Err(error) => Ok(complain(&error.to_string())),
    }
}

fn explain(
    config: &Config,
    file: &std::path::Path,
    connection: Option<&str>,
    out: &mut dyn Write,
) -> std::io::Result<Status> {
    let body = if file.as_os_str() == "-" {
        let mut body = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut body).map(|_| body)
    } else {
        std::fs::read(file)
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => return Ok(complain(&format!("error: cannot read {}: {error}", file.display()))),
    };
    let connection = match connection.map(ConnectionName::parse).transpose() {
        Ok(connection) => connection,
        Err(error) => return Ok(complain(&format!("error: {error}"))),
    };
    if let Some(name) = connection.as_ref().filter(|name| !config.connections.contains_key(*name)) {
        let known: Vec<&str> = config.connections.keys().map(ConnectionName::as_str).collect();
        return Ok(complain(&format!("error: no connection `{name}`; configured: {}", known.join(", "))));
    }
    let now = crate::clock::Clock::System.now();
    crate::explain::explain(config, &body, connection.as_ref(), now, out)?;
    Ok(Status::Well)
}

/// Tells the user, on standard error, what they have to mend.
fn complain(text: &str) -> Status {
    // With standard error gone there is nobody left to tell.
    if writeln!(std::io::stderr(), "{}", text.trim_end()).is_err() {
        tracing::debug!("standard error is closed");
    }
    Status::Unusable
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
