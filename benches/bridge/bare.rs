//! The ceiling: a handler of the same web framework that reads the body, parses it into types, and answers.

use std::borrow::Cow;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    schema_id: Cow<'a, str>,
    data: Data<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    essentials: Essentials<'a>,
    alert_context: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Essentials<'a> {
    #[serde(borrow)]
    alert_id: Cow<'a, str>,
    alert_rule: Cow<'a, str>,
    severity: Cow<'a, str>,
    signal_type: Cow<'a, str>,
    monitor_condition: Cow<'a, str>,
    monitoring_service: Cow<'a, str>,
    #[serde(rename = "alertTargetIDs")]
    alert_target_ids: Vec<Cow<'a, str>>,
    fired_date_time: Cow<'a, str>,
    description: Option<Cow<'a, str>>,
}

impl Body<'_> {
    /// Uses every field, so that none is optimised away.
    fn is_alert(&self) -> bool {
        let Data { essentials, alert_context: IgnoredAny } = &self.data;
        let texts = [
            &self.schema_id,
            &essentials.alert_id,
            &essentials.alert_rule,
            &essentials.severity,
            &essentials.signal_type,
            &essentials.monitor_condition,
            &essentials.monitoring_service,
            &essentials.fired_date_time,
        ];
        texts.iter().all(|text| !text.is_empty())
            && essentials.alert_target_ids.iter().all(|target| !target.is_empty())
            && essentials.description.as_ref().is_none_or(|text| !text.is_empty())
    }
}

/// Serves until the process is ended.
pub(crate) fn serve(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        use axum::serve::ListenerExt;
        let router = Router::new().route("/ready", get(|| async {})).route("/alert", post(take));
        let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("a socket without delay"));
        axum::serve(listener, router).await.expect("it serves");
    });
}

async fn take(body: Bytes) -> StatusCode {
    match serde_json::from_slice::<Body<'_>>(&body) {
        Ok(body) if body.is_alert() => StatusCode::OK,
        Ok(_) | Err(_) => StatusCode::BAD_REQUEST,
    }
}
