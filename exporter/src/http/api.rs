//! `/api/v1`: the fleet and what happened to it, as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use probity_driver::{FleetQuery, Handle, Row};
use probity_engine::{Outcome, Reason};
use serde::Serialize;
use serde_json::json;

use super::query::Params;
use crate::app::App;
use crate::events::Place;
use crate::render::fleet::Entry;
use crate::render::spent::spent;

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
    /// As in `probity check --output json`.
    phases_seconds: serde_json::Map<String, serde_json::Value>,
    address: Option<String>,
    /// Those of `probe_expect_info`, if a dialogue has found any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

type Refusal = (StatusCode, String);

fn bad(sentence: String) -> Refusal {
    (StatusCode::BAD_REQUEST, sentence)
}

/// Which targets are wanted.
struct Filter<'q> {
    job: Option<&'q str>,
    health: Option<&'static str>,
    outcome: Option<&'static str>,
    reason: Option<Reason>,
    /// A part of its name.
    target: Option<&'q str>,
}

impl<'q> Filter<'q> {
    fn parse(query: &'q Params) -> Result<Self, String> {
        let health = query.one_of("health", &HEALTHS)?;
        let outcome = query.one_of("outcome", &Outcome::NAMES)?;
        let reasons: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        let reason = query.one_of("reason", &reasons)?;
        Ok(Self {
            job: query.get("job"),
            health: health.map(|place| HEALTHS[place]),
            outcome: outcome.map(|place| Outcome::NAMES[place]),
            reason: reason.map(|place| Reason::ALL[place]),
            target: query.get("target"),
        })
    }

    fn matches(&self, job: &str, entry: &Entry, row: &Row) -> bool {
        let last = row.last().map(|last| last.outcome);
        let (outcome, reason) = (last.map(Outcome::name), last.and_then(Outcome::reason));
        self.job.is_none_or(|wanted| wanted == job)
            && self.health.is_none_or(|wanted| wanted == health(row))
            && (self.outcome.is_none() || self.outcome == outcome)
            && (self.reason.is_none() || self.reason == reason)
            && self.target.is_none_or(|part| entry.target.contains(part))
    }
}

/// `?job=`, `?health=up|down|unknown`, and of the last result `?outcome=` and
/// `?reason=`, `?target=` (a part of it), `?offset=`, `?limit=` (100; at most
/// 10,000).
pub(super) async fn targets(State(app): State<Arc<App>>, query: Params) -> Response {
    let answer = some_targets(&app, &query).await;
    answer.unwrap_or_else(|(status, sentence)| error(status, &sentence))
}

async fn some_targets(app: &App, query: &Params) -> Result<Response, Refusal> {
    query
        .only(&[
            "job", "health", "outcome", "reason", "target", "offset", "limit",
        ])
        .map_err(bad)?;
    let filter = Filter::parse(query).map_err(bad)?;
    let offset = query.number("offset").map_err(bad)?.unwrap_or(0);
    let limit = limit(query)?;
    // Nobody closes it; without a place there would only be no bound.
    let _place = app.looks.acquire().await;
    let running = app.running();
    let groups = match filter.job {
        None => None,
        Some(job) => Some(vec![running.group(job).ok_or_else(|| no_job(job))?]),
    };
    let asked = FleetQuery {
        groups,
        ..FleetQuery::default()
    };
    let fleet = app.bridge.fleet(asked).await;
    let fleet = fleet.map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    let matching: Vec<(&Entry, &Row)> = running
        .index
        .join(&fleet.rows)
        .filter(|(entry, row)| filter.matches(running.job_name(entry), entry, row))
        .collect();
    let page: Vec<Target<'_>> = matching
        .iter()
        .skip(offset)
        .take(limit)
        .map(|(entry, row)| view(running.job_name(entry), entry, row, app.bridge.handle()))
        .collect();
    let data = json!({ "total": matching.len(), "offset": offset, "targets": page });
    Ok(success(&data))
}

/// `?job=`, `?limit=` as for targets, and either `?offset=`, with the latest
/// first, or `?since=`, in order and from what `next` said.
pub(super) async fn events(State(app): State<Arc<App>>, query: Params) -> Response {
    let answer = some_events(&app, &query);
    answer.unwrap_or_else(|(status, sentence)| error(status, &sentence))
}

fn some_events(app: &App, query: &Params) -> Result<Response, Refusal> {
    query
        .only(&["job", "since", "offset", "limit"])
        .map_err(bad)?;
    let since = query.number("since").map_err(bad)?;
    let offset = query.number("offset").map_err(bad)?;
    let limit = limit(query)?;
    let job = query.get("job");
    let is_configured = job.is_none_or(|job| app.running().group(job).is_some());
    let events = app.events();
    let place = match (since, offset) {
        (None, offset) => Place::Latest(offset.unwrap_or(0)),
        (Some(since), None) => Place::Since(since),
        (Some(_), Some(_)) => {
            return Err(bad(
                "expected one of since (in order) and offset (the latest first), found both".into(),
            ));
        }
    };
    // What happened to a job outlives it.
    if let Some(job) = job
        && !is_configured
        && !events.know_job(job)
    {
        return Err(no_job(job));
    }
    let page = events.page(job, place, limit);
    drop(events);
    Ok(success(&page))
}

fn limit(query: &Params) -> Result<usize, Refusal> {
    let limit = query.number("limit").map_err(bad)?;
    Ok(limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT))
}

fn no_job(job: &str) -> Refusal {
    (StatusCode::NOT_FOUND, format!("there is no job {job:?}"))
}

fn success(data: &impl Serialize) -> Response {
    #[derive(Serialize)]
    struct Success<'a, T> {
        status: &'static str,
        data: &'a T,
    }
    let status = "success";
    Json(Success { status, data }).into_response()
}

fn error(status: StatusCode, sentence: &str) -> Response {
    (
        status,
        Json(json!({ "status": "error", "error": sentence })),
    )
        .into_response()
}

/// What [`health`] says.
const HEALTHS: [&str; 3] = ["up", "down", "unknown"];

/// `up`, `down` or `unknown`.
pub(super) fn health(row: &Row) -> &'static str {
    match row.up {
        Some(up) => crate::events::state(up),
        None => "unknown",
    }
}

fn view<'a>(job: &'a str, entry: &'a Entry, row: &'a Row, handle: &Handle) -> Target<'a> {
    let [success, warning, failure, unknown] = row.results();
    let schedule = row.spec.schedule;
    let pairs = entry.pairs.iter();
    Target {
        id: format!("{:016x}", row.id.0),
        job,
        target: &entry.target,
        labels: pairs
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
        health: health(row),
        results: Results {
            success,
            warning,
            failure,
            unknown,
        },
        last: row.last().map(|last| LastResult {
            outcome: last.outcome.name(),
            reason: last.outcome.reason().map(|reason| reason.name()),
            detail: &last.detail,
            phase: last.phase.name(),
            finished: handle.unix_time(last.finished),
            duration_seconds: last.total.as_secs_f64(),
            phases_seconds: spent(&last.phases, (last.outcome, last.phase))
                .map(|it| (it.phase.name().to_owned(), it.all().as_secs_f64().into()))
                .collect(),
            address: last.address.map(|address| address.to_string()),
            labels: last.labels.iter().collect(),
        }),
        interval_seconds: schedule.period().as_secs_f64(),
        timeout_seconds: schedule.timeout().as_secs_f64(),
        next: handle.unix_time(row.next),
    }
}
