//! Commands to the running bridge, through its admin listener.

use std::io::Write;

use serde_json::Value;

use super::{Status, complain};
use crate::app::admin_token_path;
use crate::config::Config;

pub(super) enum Wish {
    List { state: String, limit: usize, json: bool },
    Replay { id: String, force: bool },
    Drop { id: String },
    Pause { team: String, span: String },
    Resume { team: String },
}

impl Wish {
    fn path(&self) -> String {
        match self {
            Self::List { state, limit, .. } => format!("/api/deliveries?state={state}&limit={limit}"),
            Self::Replay { id, force } => format!("/api/deliveries/{id}/replay?force={force}"),
            Self::Drop { id } => format!("/api/deliveries/{id}/drop"),
            Self::Pause { team, span } => format!("/api/teams/{team}/pause?for={span}"),
            Self::Resume { team } => format!("/api/teams/{team}/resume"),
        }
    }

    fn method(&self) -> reqwest::Method {
        match self {
            Self::List { .. } => reqwest::Method::GET,
            Self::Replay { .. } | Self::Drop { .. } | Self::Pause { .. } | Self::Resume { .. } => reqwest::Method::POST,
        }
    }
}

/// Asks the bridge that the configuration describes.
pub(super) fn ask(config: &Config, wish: &Wish, out: &mut dyn Write) -> std::io::Result<Status> {
    let token = match &config.server.admin_token {
        Some(token) => token.expose().to_owned(),
        None => std::fs::read_to_string(admin_token_path(&config.store.path)).unwrap_or_default(),
    };
    let address = config.server.admin_listen;
    let answer = super::run::block_on(async {
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let request = client
            .request(wish.method(), format!("http://{address}{}", wish.path()))
            .timeout(std::time::Duration::from_secs(15))
            .bearer_auth(token.trim());
        let response = request.send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    })?;
    let (status, text) = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let why = error.without_url();
            return Ok(failed(&format!(
                "error: no bridge answers on {address} (`[server] admin_listen`): {why}; is `serve` running with this configuration?"
            )));
        }
    };
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !status.is_success() {
        let why = body.get("error").and_then(Value::as_str).unwrap_or("no reason given");
        return Ok(failed(&match status.as_u16() {
            401 => {
                "error: the bridge does not take this admin token: use the configuration that it runs with".to_owned()
            }
            404 => match wish {
                Wish::Pause { team, .. } | Wish::Resume { team } => format!("error: no team `{team}` is configured"),
                Wish::Replay { id, .. } | Wish::Drop { id } => {
                    format!("error: no delivery `{id}`; see `deliveries list`")
                }
                Wish::List { .. } => format!("error: {why}"),
            },
            status => format!("error: {why} (status {status})"),
        }));
    }
    match wish {
        Wish::List { json: true, .. } => writeln!(out, "{text}")?,
        Wish::List { state, .. } => table(&body, state, out)?,
        Wish::Replay { id, .. } => writeln!(out, "{id} goes out again now")?,
        Wish::Drop { id } => writeln!(out, "{id} is dropped")?,
        Wish::Pause { team, .. } => {
            let until = body.get("until").and_then(Value::as_str).unwrap_or("");
            writeln!(out, "pages of team {team} wait until {until}; `resume --team {team}` ends it")?;
        }
        Wish::Resume { team } => writeln!(out, "pages of team {team} go out again")?,
    }
    Ok(Status::Well)
}

fn failed(text: &str) -> Status {
    complain(text);
    Status::Failed
}

fn table(body: &Value, state: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let rows = body.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return writeln!(out, "no {}deliveries", if state == "all" { String::new() } else { format!("{state} ") });
    }
    writeln!(out, "{:36}  {:10}  {:12}  {:>7}  {:20}  what", "id", "state", "kind", "attempt", "since")?;
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or("");
        let attempt = row.get("attempt").and_then(Value::as_u64).unwrap_or(0);
        let since = text("created_at");
        let since: String = since.chars().take(19).collect();
        let title = row.pointer("/call/body/Title").and_then(Value::as_str);
        let what = format!("{}  {}  {}", text("destination"), title.unwrap_or(""), text("note"));
        writeln!(
            out,
            "{:36}  {:10}  {:12}  {attempt:>7}  {since:20}  {what}",
            text("id"),
            text("state"),
            text("kind")
        )?;
    }
    Ok(())
}
