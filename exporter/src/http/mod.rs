//! The HTTP API. Paths are those of blackbox_exporter where it has them.

mod api;
mod fleet;
mod landing;
mod metrics;
mod probe;
mod reload;
pub mod server;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::wrappers::ReceiverStream;

use crate::app::App;
use crate::exposition::{self, Chunks, Encoder, Encoding, Format, format};

/// All paths.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", any(landing::page))
        .route("/probe", any(probe::run))
        .route("/metrics", any(metrics::own))
        .route("/fleet", any(fleet::all))
        .route("/config", any(config))
        .route("/api/v1/targets", get(api::targets))
        .route("/api/v1/events", get(api::events))
        .route("/-/healthy", any(healthy))
        .route("/-/ready", any(ready))
        .route(
            "/-/reload",
            post(reload::post).fallback(reload::wrong_method),
        )
        .fallback(unknown)
        .with_state(app)
}

async fn healthy() -> &'static str {
    "Healthy"
}

/// Ready once the fleet of the file has been handed to the engine.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_ready() {
        "Ready".into_response()
    } else {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Starting: the fleet is being loaded",
        )
    }
}

async fn config(State(app): State<Arc<App>>) -> Response {
    match app.running().config_text() {
        Ok(text) => plain(StatusCode::OK, text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn unknown(uri: axum::http::Uri) -> Response {
    let path = uri.path().escape_debug();
    let text = format!("{path} does not exist; / lists what does\n");
    plain(StatusCode::NOT_FOUND, text)
}

/// A sentence, as Go's `http.Error` sends it.
fn plain(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// The first value of a query parameter.
type Query = axum::extract::Query<Vec<(String, String)>>;

fn param<'q>(query: &'q Query, name: &str) -> Option<&'q str> {
    let (_, value) = query.0.iter().find(|(key, _)| key == name)?;
    Some(value.as_str())
}

/// What the client wants a body to look like.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    format: Format,
    encoding: Encoding,
}

impl Wanted {
    fn by(headers: &HeaderMap, allowed: &[Format]) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            format: format::negotiate(text(header::ACCEPT), allowed),
            encoding: format::negotiate_encoding(text(header::ACCEPT_ENCODING)),
        }
    }

    /// A response in this form around `body`.
    fn response(self, body: Body) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.format.content_type()),
        );
        if let Some(encoding) = self.encoding.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    }
}

/// Pieces of a body on their way to a slow reader: a few, then the encoder
/// waits.
const PIECES: usize = 4;
/// How long it waits for a reader to take one. Places for scrapes are few: one
/// that is held by somebody who does not read is lost to everybody else.
const STALLED: Duration = Duration::from_secs(15);
/// How often it looks meanwhile.
const NAP: Duration = Duration::from_millis(2);

type Sink = exposition::Body<Chunks<SendPiece>>;
type SendPiece = Box<dyn FnMut(Vec<u8>) -> io::Result<()> + Send>;

/// Answers with what `write` encodes, on a blocking thread and at the reader's
/// pace. A body that cannot be finished is broken off rather than ended.
fn stream(
    wanted: Wanted,
    write: impl FnOnce(&mut Encoder<Sink>) -> io::Result<()> + Send + 'static,
) -> Response {
    let (send, receive) = mpsc::channel(PIECES + 1);
    // The place of an error, kept free for it: a body that just stops looks
    // like a whole one to whoever reads on late.
    let place = send.clone().try_reserve_owned().ok();
    tokio::task::spawn_blocking(move || {
        let piece: SendPiece = Box::new(move |bytes| hand_over(&send, bytes));
        let body = exposition::Body::new(wanted.encoding, Chunks::new(piece));
        let mut encoder = Encoder::new(wanted.format, body);
        let written = write(&mut encoder)
            .and_then(|()| encoder.finish())
            .and_then(exposition::Body::finish)
            .and_then(Chunks::finish);
        if let (Err(error), Some(place)) = (written, place) {
            // The reader may be the one who has gone: then nobody listens.
            place.send(Err(error));
        }
    });
    wanted.response(Body::from_stream(ReceiverStream::new(receive)))
}

/// Waits for room, but not for ever. On a thread of its own and without the
/// runtime's clock, which is gone before the thread is when the process ends.
fn hand_over(pieces: &mpsc::Sender<io::Result<Bytes>>, bytes: Vec<u8>) -> io::Result<()> {
    let begun = Instant::now();
    let mut piece = Ok(bytes.into());
    loop {
        piece = match pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(TrySendError::Full(piece)) => piece,
        };
        if begun.elapsed() > STALLED {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(NAP);
    }
}
