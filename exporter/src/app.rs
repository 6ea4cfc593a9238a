//! What all parts of the process share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use probity_engine::check::Module;
use probity_engine::{GroupId, Level};
use probity_spec::File;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::bridge::Bridge;
use crate::control::Request;
use crate::events::Events;
use crate::files::Stamps;
use crate::history::{History, Probed};
use crate::journal::Journal;
use crate::render::fleet::{Entry, Index};
use crate::render::guests::{Guest, Guests};
use crate::render::own::Facts;
use crate::seldom::Seldom;

/// Scrapes of the fleet at once; further ones are refused.
const SCRAPES: usize = 4;

/// Copies of the whole fleet for people at once; further ones wait. At 50,000
/// targets one is tens of megabytes.
const LOOKS: usize = 2;

/// Scrapes of the exporter itself at once; further ones wait. Each may hold a
/// thread while its reader is slow, and there are few of those.
const OWN_SCRAPES: usize = 4;

/// Looks at the files of modules at once; further ones wait. Each holds a
/// thread for as long as a file system takes to answer.
const FILE_LOOKS: usize = 8;

/// The process.
#[derive(Debug)]
pub struct App {
    /// The data plane.
    pub bridge: Bridge,
    /// Seconds taken off what Prometheus allows a scrape of `/probe`.
    pub timeout_offset: f64,
    /// The way of single probes to the log.
    pub journal: Journal,
    /// Requests for modules that do not exist.
    pub unknown_modules: AtomicU64,
    turned_away: TurnedAway,
    /// Scrapes of the exporter itself.
    pub own_requests: Requests,
    /// Places for scrapes of the fleet.
    pub scrapes: Arc<Semaphore>,
    /// Places for scrapes of the exporter itself.
    pub own_scrapes: Arc<Semaphore>,
    /// Places for people who look at the whole fleet.
    pub looks: Semaphore,
    running: RwLock<Arc<Running>>,
    ready: AtomicBool,
    history: Mutex<History>,
    events: Mutex<Events>,
    events_dropped: AtomicU64,
    unlogged: AtomicU64,
    file_looks: Arc<Semaphore>,
    last_reload: Mutex<Reload>,
    discovery: Sources,
    control: mpsc::Sender<Request>,
}

/// How single probes (`/probe`) are made.
#[derive(Clone, Copy, Debug)]
pub struct Probes {
    /// See [`App::timeout_offset`].
    pub timeout_offset: f64,
    /// Runs that are remembered.
    pub history_limit: usize,
    /// Lowest level of the lines about a run that are shown and logged.
    pub level: Level,
}

impl Default for Probes {
    /// blackbox_exporter's.
    fn default() -> Self {
        Self {
            timeout_offset: 0.5,
            history_limit: 100,
            level: Level::Info,
        }
    }
}

/// Requests that are counted.
#[derive(Debug, Default)]
pub struct Requests {
    answered: AtomicU64,
    refused: AtomicU64,
    in_flight: AtomicU64,
}

/// A request that is being answered.
#[derive(Debug)]
pub struct UnderWay<'r> {
    requests: &'r Requests,
}

impl Requests {
    /// Somebody asks.
    pub fn begin(&self) -> UnderWay<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        UnderWay { requests: self }
    }
}

impl UnderWay<'_> {
    /// There is an answer, or none.
    pub fn end(self, answered: bool) {
        let requests = self.requests;
        let count = if answered {
            &requests.answered
        } else {
            &requests.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for UnderWay<'_> {
    /// Also if the client has gone.
    fn drop(&mut self) {
        self.requests.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How reading discovery files goes.
#[derive(Debug, Default)]
struct Sources {
    errors: AtomicU64,
    failing: AtomicU64,
}

/// How the last reload went.
#[derive(Clone, Copy, Debug, Default)]
struct Reload {
    successful: bool,
    /// Unix seconds of the last one that was.
    succeeded_at: f64,
}

/// The configuration in force and the fleet that it describes.
#[derive(Debug)]
pub struct Running {
    /// The file.
    pub file: File,
    /// What the files of its modules looked like.
    pub stamps: Stamps,
    /// The targets, for whoever renders them.
    pub index: Index,
    /// Jobs by name; their place is the order of the file.
    pub jobs: Vec<(String, GroupId)>,
    /// Modules that somebody has looked at.
    pub texts: Texts,
}

/// Modules as YAML, rendered once for all runs that are remembered.
#[derive(Debug, Default)]
pub struct Texts(Mutex<BTreeMap<String, Arc<str>>>);

/// A module, ready to be applied to a target.
#[derive(Debug)]
pub struct ModuleRef<'a> {
    /// The module, or why there is no check for it.
    pub module: Result<&'a Module, String>,
    /// Its own limit on the duration of a run.
    pub timeout: Option<Duration>,
}

impl Running {
    /// A module by name.
    pub fn module(&self, name: &str) -> Option<ModuleRef<'_>> {
        let named = self.file.module(name)?;
        Some(ModuleRef {
            module: named
                .module()
                .ok_or_else(|| named.rejection().unwrap_or_default()),
            timeout: named.timeout(),
        })
    }

    /// A module as YAML, without its secrets.
    ///
    /// With a `hostname` it is the module as that request changes it.
    pub fn module_text(&self, name: &str, hostname: Option<&str>) -> Arc<str> {
        let Some(module) = self.file.module(name) else {
            return "".into();
        };
        let shown = |text: Result<String, String>| -> Arc<str> {
            text.unwrap_or_else(|error| format!("# {error}\n")).into()
        };
        if let Some(hostname) = hostname {
            return shown(module.render_for(hostname));
        }
        let mut texts = lock(&self.texts.0);
        if let Some(text) = texts.get(name) {
            return Arc::clone(text);
        }
        let text = shown(module.render());
        texts.insert(name.to_owned(), Arc::clone(&text));
        text
    }

    /// The whole file as YAML, without its secrets.
    ///
    /// # Errors
    /// See [`File::render`].
    pub fn config_text(&self) -> Result<String, String> {
        self.file.render()
    }

    /// The group of a job.
    pub fn group(&self, job: &str) -> Option<GroupId> {
        let (_, group) = self.jobs.iter().find(|(name, _)| name == job)?;
        Some(*group)
    }

    /// The name of a target's job.
    pub fn job_name(&self, entry: &Entry) -> &str {
        &self.index.job(entry).name
    }

    /// Names of all jobs by group.
    pub fn job_names(&self) -> Vec<(GroupId, String)> {
        let jobs = self.jobs.iter();
        jobs.map(|(name, group)| (*group, name.clone())).collect()
    }

    /// What the modules' checks in Wasm take, once one was loaded.
    pub fn guests(&self) -> Option<Guests> {
        let checks = self.file.modules().filter_map(|(name, module)| {
            let Module::Wasm(check) = module.module()? else {
                return None;
            };
            Some(Guest::new(name, &**check.plugin()))
        });
        let room = crate::guests::room()?;
        Some(Guests {
            room,
            modules: checks.collect(),
        })
    }
}

impl App {
    /// A process that has not loaded its fleet yet.
    pub fn new(
        bridge: Bridge,
        probes: Probes,
        running: Running,
        control: mpsc::Sender<Request>,
    ) -> Self {
        let handle = bridge.handle().clone();
        Self {
            bridge,
            timeout_offset: probes.timeout_offset,
            journal: Journal::start(probes.level, move |at| handle.unix_time(at)),
            history: Mutex::new(History::new(probes.history_limit)),
            unknown_modules: AtomicU64::new(0),
            turned_away: TurnedAway::default(),
            own_requests: Requests::default(),
            scrapes: Arc::new(Semaphore::new(SCRAPES)),
            own_scrapes: Arc::new(Semaphore::new(OWN_SCRAPES)),
            looks: Semaphore::new(LOOKS),
            running: RwLock::new(Arc::new(running)),
            ready: AtomicBool::new(false),
            events: Mutex::new(Events::starting_at(unix_now())),
            events_dropped: AtomicU64::new(0),
            unlogged: AtomicU64::new(0),
            file_looks: Arc::new(Semaphore::new(FILE_LOOKS)),
            // Whoever is here has read a good file.
            last_reload: Mutex::new(Reload {
                successful: true,
                succeeded_at: unix_now(),
            }),
            discovery: Sources::default(),
            control,
        }
    }

    /// The configuration in force.
    pub fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration in force.
    pub fn replace(&self, running: Running) {
        *self.running.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(running);
    }

    /// Whether the fleet has been handed to the engine, and the process does not end.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The fleet has been handed to the engine, or the process is told to end.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }

    /// Reads the configuration again; all or nothing.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn reload(&self) -> Result<(), String> {
        let (send, receive) = oneshot::channel();
        let stopped = || "the process is shutting down".to_owned();
        let sent = self.control.send(Request::Reload(send)).await;
        sent.map_err(|_| stopped())?;
        receive.await.map_err(|_| stopped())?
    }

    /// The configuration in force, with what the files of the module `name`
    /// hold now; with what they held before if that takes longer than
    /// `patience`. Then it is for a later probe. Also how long it took, in whole
    /// milliseconds: what takes less is no wait.
    pub async fn running_with(&self, name: &str, patience: Duration) -> (Arc<Running>, Duration) {
        let running = self.running();
        let module = running.file.module(name);
        if module.is_none_or(|module| module.files().is_empty()) {
            return (running, Duration::ZERO);
        }
        let begun = Instant::now();
        // Late or refused: what is in force has to do.
        let _ = tokio::time::timeout(patience, self.refresh(&running, name)).await;
        let waited = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        (self.running(), Duration::from_millis(waited))
    }

    /// Has the files of a module read again if they have changed.
    async fn refresh(&self, running: &Arc<Running>, name: &str) {
        let Ok(place) = Arc::clone(&self.file_looks).acquire_owned().await else {
            return;
        };
        let (running, name) = (Arc::clone(running), name.to_owned());
        let look = tokio::task::spawn_blocking(move || {
            // Given back when the file system has answered, and not before.
            let _place = place;
            running.stamps.are_old(&running.file, &name)
        });
        if !look.await.is_ok_and(|old| old) {
            return;
        }
        let (send, receive) = oneshot::channel();
        if self.control.send(Request::Refresh(send)).await.is_ok() {
            // If nobody answers the process is shutting down.
            let _ = receive.await;
        }
    }

    /// Notes how a reload went. `at` is Unix seconds.
    pub fn reloaded(&self, successful: bool, at: f64) {
        let mut last = lock(&self.last_reload);
        last.successful = successful;
        if successful {
            last.succeeded_at = at;
        }
    }

    /// Notes how many discovery files could not be read in a look at all of
    /// them.
    pub fn discovered(&self, failing: u64) {
        self.discovery.errors.fetch_add(failing, Ordering::Relaxed);
        self.discovery.failing.store(failing, Ordering::Relaxed);
    }

    /// Notes a single run that has ended.
    pub fn probed(&self, probed: Probed) -> Arc<crate::history::Record> {
        let record = lock(&self.history).add(probed);
        if !self.journal.note(&record) {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
        }
        record
    }

    /// The single runs of late.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// What happened to targets of late.
    pub fn events(&self) -> MutexGuard<'_, Events> {
        lock(&self.events)
    }

    /// Counts a probe that was refused at the door, and says so now and then.
    pub fn turn_away(&self) {
        let TurnedAway { count, log } = &self.turned_away;
        let probes = count.fetch_add(1, Ordering::Relaxed) + 1;
        if lock(log).says(Instant::now()) {
            let why = "all connections that clients may have are taken";
            tracing::warn!(probes, why, "Probes are refused");
        }
    }

    /// Counts notices that the driver had no room for.
    pub fn count_dropped(&self, notices: u64) {
        self.events_dropped.fetch_add(notices, Ordering::Relaxed);
    }

    /// What the process knows about itself beside the engine's figures.
    pub fn own_facts(&self) -> Facts {
        let last = *lock(&self.last_reload);
        Facts {
            reload_successful: last.successful,
            reload_succeeded_at: last.succeeded_at,
            unknown_modules: self.unknown_modules.load(Ordering::Relaxed),
            turned_away: self.turned_away.count.load(Ordering::Relaxed),
            events_dropped: self.events_dropped.load(Ordering::Relaxed),
            unlogged: self.unlogged.load(Ordering::Relaxed),
            sd_read_errors: self.discovery.errors.load(Ordering::Relaxed),
            sd_failing: self.discovery.failing.load(Ordering::Relaxed),
            own_answered: self.own_requests.answered.load(Ordering::Relaxed),
            own_refused: self.own_requests.refused.load(Ordering::Relaxed),
            own_in_flight: self.own_requests.in_flight.load(Ordering::Relaxed),
        }
    }
}

/// Probes that were refused because there was no connection for who asked.
#[derive(Debug, Default)]
struct TurnedAway {
    count: AtomicU64,
    log: Mutex<Seldom>,
}

/// Unix time in seconds, by the wall clock.
pub(crate) fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

/// What these locks guard stays consistent if a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
