//! The HTTP API. Paths are those of blackbox_exporter where it has them.

mod api;
pub mod base;
mod fleet;
pub mod guard;
mod landing;
pub mod lobby;
mod logs;
mod metrics;
mod probe;
mod query;
mod reload;
pub mod server;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_stream::wrappers::ReceiverStream;

use self::base::Base;
use self::guard::Guard;
use crate::app::App;
use crate::exposition::{self, Chunks, Encoder, Encoding, Format, format};

/// All paths, under the prefix of `base`.
///
/// With a `guard` nothing is answered that it does not let in.
pub fn router(app: Arc<App>, base: &Base, guard: Option<Arc<Guard>>) -> Router {
    guarded(open_router(app, base), guard)
}

/// The same for clients for whom there is no place: no probe is made for them, and
/// they do not stay.
pub fn doorstep(app: Arc<App>, base: &Base, guard: Option<Arc<Guard>>) -> Router {
    let refused: Arc<str> = base.path("/probe").into();
    let router = open_router(Arc::clone(&app), base);
    let router = router.layer(from_fn_with_state((app, refused), turn_away));
    guarded(router, guard)
}

fn guarded(router: Router, guard: Option<Arc<Guard>>) -> Router {
    match guard {
        Some(guard) => router.layer(from_fn_with_state(guard, guard::admit)),
        None => router,
    }
}

/// What is said to whoever asks for a probe on the doorstep.
const CROWDED: &str = "The probe could not be made (overload): all connections that clients may have are taken: ask for fewer at once, or let there be more of them (--web.max-connections, ulimit -n)\n";

async fn turn_away(
    State((app, refused)): State<(Arc<App>, Arc<str>)>,
    request: Request,
    next: Next,
) -> Response {
    // HTTP/2 has no such field (RFC 9113 section 8.2.2).
    let may_stay = request.version() >= Version::HTTP_2;
    let mut response = if request.uri().path() == &*refused {
        app.turn_away();
        plain(StatusCode::SERVICE_UNAVAILABLE, CROWDED)
    } else {
        next.run(request).await
    };
    if !may_stay {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn open_router(app: Arc<App>, base: &Base) -> Router {
    let at = |page| base.path(page);
    let everything_else = base.clone();
    Router::new()
        // A prefix may have segments that look like captures of old.
        .without_v07_checks()
        .route(base.prefix(), any(landing::page))
        .route(&at("/probe"), any(probe::run))
        .route(&at("/logs"), any(logs::show))
        .route(&at("/metrics"), any(metrics::own))
        .route(&at("/fleet"), any(fleet::all))
        .route(&at("/config"), any(config))
        .route(&at("/api/v1/targets"), get(api::targets))
        .route(&at("/api/v1/events"), get(api::events))
        .route(&at("/-/healthy"), any(healthy))
        .route(&at("/-/ready"), any(ready))
        .route(
            &at("/-/reload"),
            post(reload::post).fallback(reload::wrong_method),
        )
        .fallback(move |State(app): State<Arc<App>>, uri: Uri| async move {
            elsewhere(&app, &everything_else, &uri)
        })
        .with_state(app)
}

/// Unknown paths. As in blackbox_exporter those under the prefix are the page
/// for people, since health checks ask for odd ones. Programs that ask our API
/// for what it does not have are told so.
fn elsewhere(app: &App, base: &Base, uri: &Uri) -> Response {
    let path = uri.path();
    if let Some(sentence) = of_go(path) {
        return plain(StatusCode::NOT_FOUND, sentence);
    }
    let tidied = tidied(path);
    let lacks_slash = base.prefix().strip_suffix('/') == Some(&tidied) && !base.is_root();
    if tidied != path || lacks_slash {
        let slash = if lacks_slash { "/" } else { "" };
        let query = uri.query().map(|query| format!("?{query}"));
        let to = format!("{tidied}{slash}{}", query.unwrap_or_default());
        return moved(StatusCode::MOVED_PERMANENTLY, &to);
    }
    let Some(rest) = path.strip_prefix(base.prefix()) else {
        return if path == "/" {
            moved(StatusCode::FOUND, base.external())
        } else {
            plain(StatusCode::NOT_FOUND, "404 page not found\n")
        };
    };
    if rest.starts_with("api/") {
        let path = path.escape_debug();
        let text = format!("{path} does not exist; {} lists what does\n", base.prefix());
        return plain(StatusCode::NOT_FOUND, text);
    }
    landing::without_fleet(app, rest)
}

/// Why there is no page of Go's own: blackbox_exporter has those at the root,
/// whatever its prefix. Who asks for a profile must not take a page for one.
fn of_go(path: &str) -> Option<&'static str> {
    let is_below = |page: &str| {
        let rest = path.strip_prefix(page);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if is_below("/debug/pprof") {
        return Some(
            "There is no pprof here, because there is no Go runtime to profile: profile the process itself, with perf for example; its process_* and probity_loop_* series are in /metrics.\n",
        );
    }
    (is_below("/debug/requests") || is_below("/debug/events")).then_some(
        "There are no traces of Go's x/net/trace here: what a probe did is shown by debug=true of /probe, and by /logs.\n",
    )
}

/// A path without empty segments, `.` and `..`, as Go's `ServeMux` has them.
fn tidied(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let mut tidied = format!("/{}", segments.join("/"));
    if path.ends_with('/') && !segments.is_empty() {
        tidied.push('/');
    }
    tidied
}

async fn healthy() -> &'static str {
    "Healthy"
}

/// Ready once the fleet of the file has been handed to the engine, until the process
/// is told to end.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.is_ready() {
        "Ready".into_response()
    } else {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "Not ready: the fleet is being loaded, or the process is ending",
        )
    }
}

async fn config(State(app): State<Arc<App>>) -> Response {
    match app.running().config_text() {
        Ok(text) => page(text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// Text for a person, as blackbox_exporter sends it.
fn page(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], text).into_response()
}

/// Leads somewhere else, as Go's `http.Redirect` does.
fn moved(status: StatusCode, to: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(to) else {
        return plain(StatusCode::NOT_FOUND, "404 page not found\n");
    };
    let reason = status.canonical_reason().unwrap_or_default();
    let text = format!("<a href=\"{}\">{reason}</a>.\n\n", landing::escape(to));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    let headers = [(header::CONTENT_TYPE, html), (header::LOCATION, location)];
    (status, headers, text).into_response()
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

/// What the client wants a body to look like.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    format: Format,
    content_type: &'static str,
    encoding: Encoding,
}

impl Wanted {
    fn by(headers: &HeaderMap, allowed: &[Format]) -> Self {
        let format = format::negotiate(text(headers, header::ACCEPT), allowed);
        Self::new(format, format.content_type(), headers)
    }

    /// As blackbox_exporter has it, but for OpenMetrics if that is asked for.
    fn of_own(headers: &HeaderMap) -> Self {
        let wanted = Self::by(headers, Format::ALL);
        match wanted.format {
            Format::OpenMetrics1 => wanted,
            Format::Text004 | Format::Protobuf => Self::of_probe(headers),
        }
    }

    /// As blackbox_exporter negotiates `/probe`.
    fn of_probe(headers: &HeaderMap) -> Self {
        let (format, content_type) = format::negotiate_probe(text(headers, header::ACCEPT));
        Self::new(format, content_type, headers)
    }

    fn new(format: Format, content_type: &'static str, headers: &HeaderMap) -> Self {
        Self {
            format,
            content_type,
            encoding: format::negotiate_encoding(text(headers, header::ACCEPT_ENCODING)),
        }
    }

    /// A response in this form around `body`.
    fn response(self, body: Body) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(self.content_type),
        );
        if let Some(encoding) = self.encoding.content_encoding() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Pieces of a body on their way to a slow reader: a few, then the encoder
/// waits.
const PIECES: usize = 4;
/// How long it waits for a reader to take one. Places for scrapes are few: one
/// that is held by somebody who does not read is lost to everybody else.
const STALLED: Duration = Duration::from_secs(15);
/// How long it waits for a reader of a whole body, who may take each piece in
/// time and yet never come to the end.
const SLOW: Duration = Duration::from_secs(60);
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
        let latest = Instant::now() + SLOW;
        let piece: SendPiece = Box::new(move |bytes| hand_over(&send, bytes, latest));
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

/// Waits for room, but not for ever, and not beyond `latest`. On a thread of its own and without the
/// runtime's clock, which is gone before the thread is when the process ends.
fn hand_over(
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    bytes: Vec<u8>,
    latest: Instant,
) -> io::Result<()> {
    let latest = latest.min(Instant::now() + STALLED);
    let mut piece = Ok(bytes.into());
    loop {
        piece = match pieces.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(TrySendError::Full(piece)) => piece,
        };
        if Instant::now() > latest {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(NAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_slowly_is_not_waited_for_beyond_the_whole_body() {
        let (send, mut receive) = mpsc::channel(1);
        let over = Instant::now();
        // What there is room for is not late.
        assert!(hand_over(&send, vec![1], over).is_ok());
        let late = hand_over(&send, vec![2], over).map_err(|error| error.kind());
        assert_eq!(late, Err(io::ErrorKind::TimedOut));
        assert!(over.elapsed() < STALLED);
        assert!(receive.try_recv().is_ok());
        assert!(hand_over(&send, vec![3], over).is_ok());
    }

    #[test]
    fn paths_are_tidied_as_by_go() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("//config", "/config"),
            ("/a//b/", "/a/b/"),
            ("/a/./b/../c", "/a/c"),
            ("/../..", "/"),
            ("/a/..", "/"),
            ("/a", "/a"),
        ] {
            assert_eq!(tidied(path), expected, "{path}");
        }
    }
}
