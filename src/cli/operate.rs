//! Commands to the running bridge, through its admin listener.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::{Status, complain};
use crate::admin::LONGEST_PAUSE;
use crate::app::admin_token_path;
use crate::config::Config;

pub(super) enum Wish {
    List {
        state: String,
        limit: usize,
        json: bool,
    },
    Replay {
        id: String,
        force: bool,
    },
    Drop {
        id: String,
    },
    Pause {
        team: String,
        span: String,
    },
    Resume {
        team: String,
    },
    /// A path from the root.
    Backup {
        file: String,
    },
}

impl Wish {
    fn path(&self) -> String {
        match self {
            Self::List { state, limit, .. } => format!("/api/deliveries?state={state}&limit={limit}"),
            Self::Replay { id, force } => format!("/api/deliveries/{id}/replay?force={force}"),
            Self::Drop { id } => format!("/api/deliveries/{id}/drop"),
            Self::Pause { team, span } => format!("/api/teams/{team}/pause?for={span}"),
            Self::Resume { team } => format!("/api/teams/{team}/resume"),
            Self::Backup { file } => {
                let url = reqwest::Url::parse_with_params("http://bridge/api/backup", [("file", file)]);
                format!("/api/backup?{}", url.ok().as_ref().and_then(reqwest::Url::query).unwrap_or(""))
            }
        }
    }

    fn method(&self) -> reqwest::Method {
        match self {
            Self::List { .. } => reqwest::Method::GET,
            Self::Replay { .. }
            | Self::Drop { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Backup { .. } => reqwest::Method::POST,
        }
    }

    /// A large store takes its time to be copied.
    fn patience(&self) -> Duration {
        if matches!(self, Self::Backup { .. }) { Duration::from_hours(1) } else { Duration::from_secs(15) }
    }
}

/// Asks the bridge that the configuration describes.
pub(super) fn ask(config: &Config, wish: &Wish, out: &mut dyn Write) -> std::io::Result<Status> {
    if let Wish::Pause { span, .. } = wish
        && crate::config::parse_duration(span).is_none_or(|span| span > LONGEST_PAUSE)
    {
        return Ok(complain(&format!(
            "error: --for is `{span}`; write a span such as `30m`, `1h` or `2d`, 7d at most"
        )));
    }
    let file = admin_token_path(&config.store.path);
    // Reads on loopback need no token, so a missing one counts only where the bridge asks for it.
    let token = match &config.server.admin_token {
        Some(token) => Ok(token.expose().to_owned()),
        None => std::fs::read_to_string(&file),
    };
    let address = config.server.admin_listen;
    let answer = super::run::block_on(async {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let request = client
            .request(wish.method(), format!("http://{address}{}", wish.path()))
            .timeout(wish.patience())
            .bearer_auth(token.as_deref().unwrap_or_default().trim());
        let response = request.send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    })?;
    let (status, text) = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let why = if error.is_timeout() { "no answer in time".to_owned() } else { innermost(&error) };
            return Ok(failed(&format!(
                "error: no bridge answers on {address} (`[server] admin_listen`): {why}; is `serve` running with this configuration?"
            )));
        }
    };
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !status.is_success() {
        let why = body.get("error").and_then(Value::as_str).unwrap_or("no reason given");
        return Ok(failed(&match status.as_u16() {
            401 => match token {
                Ok(_) => "error: the bridge does not take this admin token: use the configuration that it runs with"
                    .to_owned(),
                Err(error) => format!(
                    "error: cannot read the admin token file {}: {error}; run this as the bridge's user and with the \
                     configuration that it runs with, or set `[server] admin_token`",
                    file.display()
                ),
            },
            404 => match wish {
                Wish::Pause { team, .. } | Wish::Resume { team } => format!("error: no team `{team}` is configured"),
                Wish::Replay { id, .. } | Wish::Drop { id } => {
                    format!("error: no delivery `{id}`; see `deliveries list`")
                }
                Wish::List { .. } | Wish::Backup { .. } => format!("error: {why}"),
            },
            400 | 409 => format!("error: {why}"),
            status => format!("error: {why} (status {status})"),
        }));
    }
    match wish {
        Wish::List { json: true, .. } => writeln!(out, "{}", text.trim_end())?,
        Wish::List { state, .. } => table(&body, state, out)?,
        Wish::Replay { id, .. } => writeln!(out, "{id} goes out again now")?,
        Wish::Drop { id } => writeln!(out, "{id} is dropped")?,
        Wish::Pause { team, .. } => {
            let until = body.get("until").and_then(Value::as_str).unwrap_or("");
            writeln!(out, "pages of team {team} wait until {until}; `resume --team {team}` ends it")?;
        }
        Wish::Resume { team } => writeln!(out, "pages of team {team} go out again")?,
        Wish::Backup { file } => {
            writeln!(out, "{file}: {} bytes, whole", body.get("bytes").and_then(Value::as_u64).unwrap_or(0))?;
        }
    }
    Ok(Status::Well)
}

fn failed(text: &str) -> Status {
    complain(text);
    Status::Failed
}

/// What went wrong at the bottom: the layers above only say that a request failed.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn table(body: &Value, state: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let rows = body.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return writeln!(out, "no {}deliveries", if state == "all" { String::new() } else { format!("{state} ") });
    }
    let heads = ["id", "state", "kind", "attempt", "since", "destination", "what"];
    let lines: Vec<[String; 7]> = rows.iter().map(cells).collect();
    let widths: [usize; 7] = std::array::from_fn(|at| {
        let cells = lines.iter().filter_map(|line| line.get(at)).map(|cell| cell.chars().count());
        cells.chain(heads.get(at).map(|head| head.len())).max().unwrap_or(0)
    });
    for line in std::iter::once(heads.map(str::to_owned)).chain(lines) {
        let padded: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", padded.join("  ").trim_end())?;
    }
    Ok(())
}

/// A delivery as a line of the table; what was said of it last stands at the end, because it is long.
fn cells(row: &Value) -> [String; 7] {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let attempt = row.get("attempt").and_then(Value::as_u64).unwrap_or(0).to_string();
    // Without fractions of a second: `2026-11-24T03:00:00Z`.
    let created = text("created_at");
    let since: String = created.chars().take(19).chain(std::iter::once('Z')).collect();
    let title = row.pointer("/call/body/Title").or_else(|| row.get("title")).and_then(Value::as_str).unwrap_or("");
    let waits = text("waits");
    let said = [title.to_owned(), if waits.is_empty() { text("note") } else { waits }];
    let what: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    [text("id"), text("state"), text("kind"), attempt, since, text("destination"), what.join(": ")]
}
