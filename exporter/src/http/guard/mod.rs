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
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use probity_spec::Errors;
use rustls::ServerConfig;

use self::users::{Checks, Verdict};
use self::written::{Config, Written};
use super::plain;

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
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// `None` while the file is wrong; the log says why.
    loaded: Option<Arc<Loaded>>,
}

/// One version of the file with all that it names.
#[derive(Debug)]
struct Loaded {
    config: Config,
    server: Option<Arc<ServerConfig>>,
}

/// What tells two versions of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    size: u64,
    inode: u64,
}

impl Guard {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it, or with the certificates that it names.
    pub fn load(path: &Path) -> Result<Self, String> {
        let mut files = vec![path.to_owned()];
        // Looked at first: what changes meanwhile is read again.
        let stamp_of_file = stamp(path);
        let loaded = Loaded::read(path)?;
        files.extend(loaded.files());
        let mut files: Vec<_> = files.into_iter().map(|path| (stamp(&path), path)).collect();
        files[0].0 = stamp_of_file;
        Ok(Self {
            path: path.to_owned(),
            secured: loaded.server.is_some(),
            seen: Mutex::new(Seen {
                files: files
                    .into_iter()
                    .map(|(stamp, path)| (path, stamp))
                    .collect(),
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
        let now: Vec<_> = seen.files.iter().map(|(path, _)| stamp(path)).collect();
        if seen.files.iter().map(|(_, was)| was).eq(&now) {
            return seen.loaded.clone();
        }
        match Loaded::read(&self.path) {
            Ok(mut loaded) => {
                if let Some(before) = &seen.loaded {
                    loaded.keep_tokens_of(before);
                }
                let mut files = vec![self.path.clone()];
                files.extend(loaded.files());
                let old = std::mem::take(&mut seen.files);
                let old: Vec<_> = old.into_iter().map(|(path, _)| path).zip(now).collect();
                let known = |path: &Path| old.iter().find(|(it, _)| it == path);
                let stamped = files.into_iter().map(|path| {
                    let stamp = known(&path).map_or_else(|| stamp(&path), |(_, stamp)| *stamp);
                    (path, stamp)
                });
                seen.files = stamped.collect();
                seen.loaded = Some(Arc::new(loaded));
            }
            Err(error) => {
                tracing::error!(err = error, "Unable to parse configuration");
                for ((_, was), now) in seen.files.iter_mut().zip(now) {
                    *was = now;
                }
                seen.loaded = None;
            }
        }
        seen.loaded.clone()
    }
}

impl Loaded {
    fn read(path: &Path) -> Result<Self, String> {
        let name = path.display().to_string();
        let whole = |why: String| Errors::whole(&name, why).to_string();
        let size = fs::metadata(path).map_err(|error| whole(error.to_string()))?;
        if size.len() > MAX_BYTES {
            return Err(whole(format!(
                "expected at most {MAX_BYTES} bytes, found {}",
                size.len()
            )));
        }
        let text = fs::read_to_string(path).map_err(|error| whole(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let check = |written: Written| written.check(folder);
        let config = probity_spec::read_document(&name, &text, check);
        let config = config.map_err(|errors| errors.to_string())?;
        let server = config.tls.as_ref().map(tls::Tls::build).transpose();
        let server = server.map_err(|why| whole(format!("tls_server_config: {why}")))?;
        Ok(Self { config, server })
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

/// `None` if there is no such file.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        size: metadata.len(),
        inode: metadata.ino(),
    })
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
