//! `POST /api/backup?file=…`: a whole copy of the store. The bridge writes the file: as its user, on its machine.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::{Asked, asked, may_write, said};
use crate::app::Bridge;
use crate::problem::Problem;
use crate::store::BackupError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    file: PathBuf,
}

pub(super) async fn back_up(
    State(bridge): State<Arc<Bridge>>,
    headers: HeaderMap,
    query: Asked<Wish>,
) -> Result<Response, Problem> {
    const TAKES: &str = "the query takes `file`, a path from the root, and nothing else";
    may_write(&bridge, &headers)?;
    let file = asked(query, TAKES)?.file;
    if !file.is_absolute() {
        return Err(Problem::BadRequest(TAKES));
    }
    match bridge.store.back_up(file.clone()).await {
        Ok(bytes) => {
            tracing::info!(file = %file.display(), bytes, "wrote a backup of the store");
            Ok(said(StatusCode::OK, &json!({ "done": true, "file": file, "bytes": bytes })))
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(file = %file.display(), cause, "no backup was written: {error}");
            Err(problem(&error))
        }
    }
}

fn problem(error: &BackupError) -> Problem {
    match error {
        BackupError::Exists { .. } => Problem::Conflict("the file exists already, and a backup overwrites nothing"),
        BackupError::File { source, .. } => Problem::Conflict(why_not_made(source.kind())),
        BackupError::UnderWay => Problem::Conflict("another backup is under way"),
        BackupError::Store(_) | BackupError::NotWhole { .. } => {
            Problem::Conflict("the store was not copied; the bridge's log says why")
        }
    }
}

fn why_not_made(kind: ErrorKind) -> &'static str {
    let is = |kinds: &[ErrorKind]| kinds.contains(&kind);
    if is(&[ErrorKind::NotFound]) {
        "the bridge sees no such folder"
    } else if is(&[ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem]) {
        "the bridge may not write there: name a file that its user, and its unit, may write"
    } else if is(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded]) {
        "there is no room for the file"
    } else {
        "the file cannot be made; the bridge's log says why"
    }
}
