//! `--web.config.file`: who may ask, over what, and how often.
//!
//! The file and those that it names are read again when they have changed,
//! which is looked at for every handshake and every request. Whether TLS is
//! spoken at all is decided when the process starts.

mod rate;
mod tls;
mod users;
mod written;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use probity_spec::{Errors, words};
use rustls::ServerConfig;

use self::users::{Checks, Verdict};
use self::written::{Config, Written};
use super::plain;
use crate::files::Stamp;

/// Largest web configuration file.
const MAX_BYTES: u64 = 1 << 20;

/// The file, and what became of it.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    secured: bool,
    seen: Mutex<Seen>,
    checks: Checks,
}

/// The last look at the files.
#[derive(Debug)]
struct Seen {
    files: Vec<Looked>,
    /// `None` while the file is wrong; the log says why.
    loaded: Option<Arc<Loaded>>,
}

/// One version of the file with all that it names.
#[derive(Debug)]
struct Loaded {
    config: Config,
    server: Option<Arc<ServerConfig>>,
    /// What is left out of the files that it names.
    warnings: Vec<String>,
}

impl Guard {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, or with the certificates that it names.
    pub fn load(path: &Path) -> Result<Self, String> {
        let (loaded, files) = Loaded::look(path, vec![path.to_owned()])?;
        Ok(Self {
            path: path.to_owned(),
            secured: loaded.server.is_some(),
            seen: Mutex::new(Seen {
                files,
                loaded: Some(Arc::new(loaded)),
            }),
            checks: Checks::default(),
        })
    }

    /// Whether TLS is spoken.
    pub const fn is_secured(&self) -> bool {
        self.secured
    }

    /// How to speak TLS now; `None` if the file is wrong.
    pub async fn server(self: &Arc<Self>) -> Option<Arc<ServerConfig>> {
        self.current().await?.server.clone()
    }

    /// The file as it is now. Disks may be slow: not on the runtime's threads.
    async fn current(self: &Arc<Self>) -> Option<Arc<Loaded>> {
        let guard = Arc::clone(self);
        let looked = tokio::task::spawn_blocking(move || guard.look()).await;
        // It fails when the process ends.
        looked.ok()?
    }

    fn look(&self) -> Option<Arc<Loaded>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let same = seen.files.iter().all(|(path, was)| Stamp::of(path) == *was);
        if same && seen.loaded.is_some() {
            return seen.loaded.clone();
        }
        let paths = seen.files.iter().map(|(path, _)| path.clone()).collect();
        match Loaded::look(&self.path, paths) {
            Ok((mut loaded, files)) => {
                if let Some(before) = &seen.loaded {
                    loaded.keep_tokens_of(before);
                }
                seen.files = files;
                self.warn_of_tls(loaded.server.is_some());
                seen.loaded = Some(Arc::new(loaded));
            }
            // Read at every look until it is mended: what it lacks may be in a
            // file that nobody knows of yet. Said once.
            Err(_) if same => {}
            Err(error) => {
                tracing::error!(err = error, "Unable to parse configuration");
                for (path, was) in &mut seen.files {
                    *was = Stamp::of(path);
                }
                seen.loaded = None;
            }
        }
        seen.loaded.clone()
    }
}

impl Guard {
    /// The file that was read anew wants TLS, or not, which the sockets cannot follow.
    fn warn_of_tls(&self, wanted: bool) {
        let file = self.path.display();
        match (self.secured, wanted) {
            (true, false) => tracing::error!(
                %file,
                "The web configuration has no tls_server_config any more: clients are \
                 refused until it has one again, or the process is started anew"
            ),
            (false, true) => tracing::warn!(
                %file,
                "The web configuration has a tls_server_config now: TLS is spoken once \
                 the process is started anew, and nothing is encrypted until then"
            ),
            (true, true) | (false, false) => {}
        }
    }
}

/// A file that was read, and what it looked like before.
type Looked = (PathBuf, Option<Stamp>);

/// How often a file is read again because it names others than before.
const LOOKS: usize = 3;

impl Loaded {
    /// Reads the file. All that it names was looked at before it was read, so
    /// that a change in between is seen at the next look; `paths` is what it is
    /// known to name, itself first.
    fn look(path: &Path, mut paths: Vec<PathBuf>) -> Result<(Self, Vec<Looked>), String> {
        let mut looks = 0;
        loop {
            let stamps: Vec<_> = paths.iter().map(Stamp::of).collect();
            let loaded = Self::read(path)?;
            let named: Vec<_> = std::iter::once(path.to_owned())
                .chain(loaded.files())
                .collect();
            looks += 1;
            if looks == LOOKS || named.iter().all(|it| paths.contains(it)) {
                for warning in &loaded.warnings {
                    tracing::warn!(file = %path.display(), warning, "Part of what the web configuration names is left out");
                }
                return Ok((loaded, paths.into_iter().zip(stamps).collect()));
            }
            paths = named;
        }
    }

    fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let whole = |why: String| Errors::whole(&name, why).to_string();
        let unread = |error: io::Error| whole(format!("cannot read it: {}", words(&error)));
        let size = fs::metadata(path).map_err(unread)?.len();
        if size > MAX_BYTES {
            let why = format!("expected at most {MAX_BYTES} bytes, found {size}");
            return Err(whole(why));
        }
        let content = fs::read(path).map_err(unread)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        // Also what its files hold is a mistake in the field that names them.
        let check = |written: Written| {
            let config = written.check(folder)?;
            let mut warnings = Vec::new();
            let tls = config.tls.as_ref();
            let server = tls.map(|tls| tls.build(&mut warnings)).transpose();
            let server = server.map_err(|error| error.within("tls_server_config"))?;
            Ok(Self {
                config,
                server,
                warnings,
            })
        };
        let loaded = probity_spec::read_document(&name, &content, check);
        loaded.map_err(|errors| errors.to_string())
    }

    fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let tls = self.config.tls.iter();
        tls.flat_map(|tls| tls.files().map(Path::to_owned))
    }

    /// A change elsewhere in the file is no reason to let more in.
    fn keep_tokens_of(&mut self, before: &Self) {
        if let (Some(rate), Some(was)) = (&self.config.rate, &before.config.rate)
            && rate.is_like(was)
        {
            self.config.rate = Some(was.clone());
        }
    }
}

/// Lets a request in, or answers it. Covers every path.
pub(super) async fn admit(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(loaded) = guard.current().await else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error\n");
    };
    let config = &loaded.config;
    let now = Instant::now();
    if config.rate.as_ref().is_some_and(|rate| !rate.allow(now)) {
        return plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n");
    }
    let asked = request.headers().get(header::AUTHORIZATION);
    let asked = asked.map(HeaderValue::as_bytes);
    let verdict = if config.users.is_empty() {
        Verdict::Known
    } else {
        guard.checks.check(&config.users, asked).await
    };
    let mut response = match verdict {
        Verdict::Known => next.run(request).await,
        Verdict::Busy => plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n"),
        Verdict::Unknown => {
            let mut response = plain(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            let basic = HeaderValue::from_static("Basic");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, basic);
            response
        }
    };
    for (name, value) in &config.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}
