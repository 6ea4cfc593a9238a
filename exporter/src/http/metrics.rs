//! `/metrics`: the exporter's own figures and those of whole jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Wanted, plain, stream};
use crate::app::App;
use crate::render;

pub(super) async fn own(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let asked = app.own_requests.begin();
    // Nobody closes it; without a place there would only be no bound.
    let place = Arc::clone(&app.own_scrapes).acquire_owned().await;
    let stats = match app.bridge.stats().await {
        Ok(stats) => stats,
        Err(error) => {
            asked.end(false);
            return plain(StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
        }
    };
    let facts = app.own_facts();
    let running = app.running();
    let (jobs, guests) = (running.job_names(), running.guests());
    asked.end(true);
    stream(Wanted::of_own(&headers), move |encoder| {
        let _place = place;
        encoder.registry(&render::own::registry(stats, facts, jobs, guests))
    })
}
