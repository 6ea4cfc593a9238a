//! `/api/v1`: the fleet and what happened to it, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use probity_driver::{FleetQuery, Handle, Row};
use probity_engine::Outcome;
use serde::Serialize;
use serde_json::json;

use super::query::Params;
use crate::app::App;
use crate::render::fleet::Entry;

/// Targets in one answer, if the request does not say.
const DEFAULT_LIMIT: usize = 100;
/// Most targets in one answer.
const MAX_LIMIT: usize = 10_000;

#[derive(Debug, Serialize)]
struct Target<'a> {
    id: String,
    job: &'a str,
    target: &'a str,
    labels: serde_json::Map<String, serde_json::Value>,
    /// `up`, `down` or `unknown`, after thresholds.
    health: &'static str,
    results: Results,
    last: Option<LastResult<'a>>,
    interval_seconds: f64,
    timeout_seconds: f64,
    /// Unix seconds.
    next: f64,
}

#[derive(Debug, Serialize)]
struct Results {
    success: u64,
    warning: u64,
    failure: u64,
    unknown: u64,
}

#[derive(Debug, Serialize)]
struct LastResult<'a> {
    outcome: &'static str,
    reason: Option<&'static str>,
    detail: &'a str,
    phase: &'static str,
    /// Unix seconds.
    finished: f64,
    duration_seconds: f64,
    phases_seconds: serde_json::Map<String, serde_json::Value>,
    address: Option<String>,
    /// Those of `probe_expect_info`, if a dialogue has found any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

/// `?job=`, `?health=up|down|unknown`, `?reason=`, `?target=` (a part of it),
/// `?offset=`, `?limit=`.
pub(super) async fn targets(State(app): State<Arc<App>>, query: Params) -> Response {
    let number = |name: &str, default: usize| match query.get(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| format!("{name}: expected a number, found {text:?}")),
    };
    let (offset, limit) = match (number("offset", 0), number("limit", DEFAULT_LIMIT)) {
        (Ok(offset), Ok(limit)) => (offset, limit.min(MAX_LIMIT)),
        (Err(sentence), _) | (_, Err(sentence)) => {
            return error(StatusCode::BAD_REQUEST, &sentence);
        }
    };
    if let Some(health) = query.get("health")
        && !["up", "down", "unknown"].contains(&health)
    {
        let sentence = format!("health: expected up, down or unknown, found {health:?}");
        return error(StatusCode::BAD_REQUEST, &sentence);
    }
    // Nobody closes it; without a place there would only be no bound.
    let _place = app.looks.acquire().await;
    let running = app.running();
    let groups = query
        .get("job")
        .map(|job| running.group(job).into_iter().collect());
    let asked = FleetQuery {
        groups,
        ..FleetQuery::default()
    };
    let fleet = match app.bridge.fleet(asked).await {
        Ok(fleet) => fleet,
        Err(unavailable) => {
            return error(StatusCode::SERVICE_UNAVAILABLE, &unavailable.to_string());
        }
    };
    let matching: Vec<(&Entry, &Row)> = running
        .index
        .join(&fleet.rows)
        .filter(|(entry, row)| matches(&query, running.job_name(entry), entry, row))
        .collect();
    let page: Vec<Target<'_>> = matching
        .iter()
        .skip(offset)
        .take(limit)
        .map(|(entry, row)| view(running.job_name(entry), entry, row, app.bridge.handle()))
        .collect();
    Json(json!({
        "status": "success",
        "data": { "total": matching.len(), "offset": offset, "targets": page },
    }))
    .into_response()
}

/// The latest first.
pub(super) async fn events(State(app): State<Arc<App>>) -> Response {
    Json(json!({ "status": "success", "data": { "events": app.events() } })).into_response()
}

fn error(status: StatusCode, sentence: &str) -> Response {
    (
        status,
        Json(json!({ "status": "error", "error": sentence })),
    )
        .into_response()
}

/// `up`, `down` or `unknown`.
pub(super) fn health(row: &Row) -> &'static str {
    match row.up {
        Some(up) => crate::events::state(up),
        None => "unknown",
    }
}

fn matches(query: &Params, job: &str, entry: &Entry, row: &Row) -> bool {
    let last = row.last.as_ref().map(|last| last.outcome);
    let reason = last.and_then(Outcome::reason).map(|reason| reason.name());
    query.get("job").is_none_or(|wanted| wanted == job)
        && query
            .get("health")
            .is_none_or(|wanted| wanted == health(row))
        && query
            .get("reason")
            .is_none_or(|wanted| Some(wanted) == reason)
        && query
            .get("target")
            .is_none_or(|part| entry.target.contains(part))
}

fn view<'a>(job: &'a str, entry: &'a Entry, row: &'a Row, handle: &Handle) -> Target<'a> {
    let [success, warning, failure, unknown] = row.results;
    let schedule = row.spec.schedule;
    let pairs = entry.pairs.iter();
    Target {
        id: format!("{:016x}", row.id.0),
        job,
        target: &entry.target,
        labels: pairs
            .map(|(name, value)| (name.to_string(), (**value).into()))
            .collect(),
        health: health(row),
        results: Results {
            success,
            warning,
            failure,
            unknown,
        },
        last: row.last.as_ref().map(|last| LastResult {
            outcome: last.outcome.name(),
            reason: last.outcome.reason().map(|reason| reason.name()),
            detail: &last.detail,
            phase: last.phase.name(),
            finished: handle.unix_time(last.finished),
            duration_seconds: last.total.as_secs_f64(),
            phases_seconds: last
                .phases
                .iter()
                .map(|(phase, spent)| (phase.name().to_owned(), spent.as_secs_f64().into()))
                .collect(),
            address: last.address.map(|address| address.to_string()),
            labels: last.labels.iter().collect(),
        }),
        interval_seconds: schedule.period().as_secs_f64(),
        timeout_seconds: schedule.timeout().as_secs_f64(),
        next: handle.unix_time(row.next),
    }
}
