//! `/-/reload`: all or nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::plain;
use crate::app::App;

pub(super) async fn post(State(app): State<Arc<App>>) -> Response {
    match app.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(reason) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("failed to reload config: {reason}\n"),
        ),
    }
}

pub(super) async fn wrong_method() -> Response {
    let text = "This endpoint requires a POST request.\n";
    (StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}
