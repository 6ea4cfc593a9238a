//! `/logs`: what a run that was asked for said, and found.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::query::Params;
use super::{page, plain};
use crate::app::App;
use crate::history::Record;
use crate::render;

pub(super) async fn show(State(app): State<Arc<App>>, query: Params) -> Response {
    match find(&app, &query) {
        Ok(record) => {
            let handle = app.bridge.handle();
            let level = app.journal.level();
            let text = render::probe::debug(&record.probed, level, |at| handle.unix_time(at));
            page(text)
        }
        Err((status, sentence)) => plain(status, format!("{sentence}\n")),
    }
}

fn find(app: &App, query: &Params) -> Result<Arc<Record>, (StatusCode, &'static str)> {
    let bad = |sentence| Err((StatusCode::BAD_REQUEST, sentence));
    // What is no number counts as absent, and so does what upstream notes it as.
    let id: Option<i64> = query.get("id").and_then(|id| id.parse().ok());
    let id = id.filter(|id| *id != -1);
    let (target, module) = (query.given("target"), query.given("module"));
    let (found, sentence) = match (id, target) {
        (Some(_), Some(_)) => {
            return bad("Probe id and target can't be defined at the same time");
        }
        (None, None) => {
            return bad("Probe id or target must be defined as http query parameters");
        }
        (Some(_), None) if module.is_some() => {
            return bad("Probe module filter only works in conjunction with target parameter");
        }
        (Some(id), None) => {
            let id = u64::try_from(id).ok();
            let found = id.and_then(|id| app.history().by_id(id));
            (found, "Probe id not found")
        }
        (None, Some(target)) => (
            app.history().by_target(target, module),
            "Probe target not found",
        ),
    };
    found.ok_or((StatusCode::NOT_FOUND, sentence))
}
