//! Loading, reloading, discovery: what is to be probed, and telling the engine
//! about every change of it.
//!
//! One task owns all of it, so that a reload, a change of a discovery file
//! and the start-up never overlap.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use probity_driver::{Change, Notice};
use probity_engine::config::{Cause, Files as _};
use probity_engine::{Outcome, Reason, TargetId};
use probity_spec::{
    DEFAULT, Delta, File, FileSd, Fleet, Groups, Job, LoadError, SystemFiles, Target,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::app::{App, Probes, Running, Texts, unix_now};
use crate::bridge::Bridge;
use crate::discovery::Discovery;
use crate::events::{Name, state};
use crate::files::{Host, Stamps};
use crate::render::fleet::{self, Entry, Index, JobView};
use crate::seldom::Seldom;

/// Requests for reloads that wait for their turn.
const REQUESTS: usize = 16;

/// A file is often written in several steps: wait for them.
const SETTLE: Duration = Duration::from_millis(100);

/// How often discovery files are read again if no job says.
const IDLE: Duration = Duration::from_secs(3_600);

/// How often the files of modules are looked at; before a single probe they
/// are in any case.
const LOOK: Duration = Duration::from_secs(5);

/// How long to wait for news of the engine at once.
const NEWS: Duration = Duration::from_millis(500);

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// The usual modules, no jobs.
    Defaults,
    /// A text of the program's own making, with its name.
    Text(&'static str, String),
}

impl Source {
    /// What a file that is asked for, or is not, means: without one
    /// blackbox.yml of the working directory if there is one, as in
    /// blackbox_exporter, else the usual modules.
    pub fn asked(file: Option<&Path>) -> Self {
        const USUAL: &str = "blackbox.yml";
        match file {
            Some(path) => Self::File(path.to_owned()),
            None if Path::new(USUAL).is_file() => Self::File(USUAL.into()),
            None => Self::Defaults,
        }
    }

    /// As a person would name it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Defaults => "the built-in configuration".into(),
            Self::Text(name, _) => (*name).into(),
        }
    }

    /// What the paths of discovery files are relative to: the directory of the
    /// configuration file, as in Prometheus.
    pub fn directory(&self) -> PathBuf {
        match self {
            Self::File(path) => path.parent().unwrap_or(Path::new("")).to_owned(),
            Self::Defaults | Self::Text(..) => PathBuf::new(),
        }
    }
}

impl Source {
    /// Tells whether a file has changed; `None` if it cannot be read, or is
    /// none.
    fn checksum(&self) -> Option<u64> {
        let Self::File(path) = self else {
            return None;
        };
        let content = SystemFiles.read(&path.display().to_string()).ok()?;
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// What the control task is asked.
#[derive(Debug)]
pub enum Request {
    /// Read the configuration again and say how it went.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Look whether files of modules have changed and say when that is done.
    Refresh(oneshot::Sender<()>),
}

/// A configuration, and what its files looked like.
#[derive(Debug)]
pub struct Loaded {
    /// The file.
    pub file: File,
    /// That of its text, if it is a file's.
    checksum: Option<u64>,
    /// What the files of its modules looked like.
    pub stamps: Stamps,
}

/// Reads a configuration and checks all of it, TLS included.
///
/// # Errors
/// Every mistake, with its place.
pub fn load(source: &Source) -> Result<Loaded, LoadError> {
    let host = Host::default();
    // Before it is parsed: what changes meanwhile is then seen to have.
    let checksum = source.checksum();
    let file = match source {
        Source::File(_) => File::load(&source.name(), &host)?,
        Source::Defaults => {
            File::parse(&source.name(), DEFAULT, &host).map_err(LoadError::Wrong)?
        }
        Source::Text(name, text) => File::parse(name, text, &host).map_err(LoadError::Wrong)?,
    };
    Ok(Loaded {
        stamps: host.stamps(&file),
        file,
        checksum,
    })
}

/// The state of the control task.
#[derive(Debug)]
pub struct Control {
    app: Arc<App>,
    source: Source,
    requests: mpsc::Receiver<Request>,
    /// How often the configuration file is looked at, if it is.
    auto_reload: Option<Duration>,
    /// The file in force.
    file: File,
    /// Of its text when it was last found good.
    checksum: Option<u64>,
    /// What was wrong with it when it was last read, and that of the text then:
    /// said once, not at every look.
    complaint: Option<(String, Option<u64>)>,
    /// What the files of its modules looked like.
    stamps: Stamps,
    /// The modules whose files are not those in use, for with them the file would be
    /// refused.
    refused: BTreeSet<String>,
    /// See [`Source::directory`].
    base: PathBuf,
    groups: Groups,
    /// What discovery found, by job.
    found: BTreeMap<String, FileSd>,
    discovery: Discovery,
}

impl Control {
    /// The control task for `file`, and the process around it. Nothing is
    /// probed before [`Control::run`].
    pub fn new(source: Source, loaded: Loaded, bridge: Bridge, probes: Probes) -> (Self, Arc<App>) {
        let (send, requests) = mpsc::channel(REQUESTS);
        let Loaded {
            file,
            checksum,
            stamps,
        } = loaded;
        let running = running(&file, &stamps, Vec::new(), &mut Groups::default());
        let app = Arc::new(App::new(bridge, probes, running, send));
        let control = Self {
            app: Arc::clone(&app),
            base: source.directory(),
            source,
            requests,
            auto_reload: None,
            file,
            checksum,
            complaint: None,
            stamps,
            refused: BTreeSet::new(),
            groups: Groups::default(),
            found: BTreeMap::new(),
            discovery: Discovery::start(),
        };
        (control, app)
    }

    /// The same task, which also looks this often whether the configuration
    /// file has changed.
    #[must_use]
    pub fn polling(mut self, every: Option<Duration>) -> Self {
        self.auto_reload = every;
        self
    }

    /// Hands the fleet to the engine, then keeps it up to date.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let loaded = Loaded {
            file: self.file.clone(),
            checksum: self.checksum,
            stamps: self.stamps.clone(),
        };
        if self.adopt(loaded).await.is_err() || self.app.bridge.handle().begin().is_err() {
            // The driver has stopped: so does the process.
            return;
        }
        self.app.set_ready(true);
        self.app.reloaded(true, unix_now());
        let jobs = self.file.jobs().len();
        let (config, modules) = (self.source.name(), self.file.modules().count());
        let targets = self.targets();
        tracing::info!(config, modules, jobs, targets, "Fleet loaded");
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polled = Instant::now();
        let mut discovered = polled;
        let mut settled_at = None;
        loop {
            let rediscover_at = discovered + refresh_interval(&self.file);
            let poll_at = self.auto_reload.map(|interval| polled + interval);
            let changed = Arc::clone(&self.discovery.changed);
            tokio::select! {
                request = self.requests.recv() => match request {
                    Some(Request::Reload(answer)) => {
                        let result = self.reload().await;
                        // Whoever asked may have gone.
                        let _ = answer.send(result);
                    }
                    Some(Request::Refresh(answer)) => {
                        self.refresh().await;
                        let _ = answer.send(());
                    }
                    None => return,
                },
                _ = look.tick() => self.refresh().await,
                // The first of several steps begins the wait, the others do
                // not prolong it.
                () = changed.notified(), if settled_at.is_none() => {
                    settled_at = Some(Instant::now() + SETTLE);
                }
                () = at(settled_at) => {
                    settled_at = None;
                    self.rediscover().await;
                }
                () = tokio::time::sleep_until(rediscover_at.into()) => {
                    self.rediscover().await;
                    discovered = Instant::now();
                }
                () = at(poll_at) => {
                    self.poll().await;
                    polled = Instant::now();
                }
                () = told(&mut stopped) => return,
            }
        }
    }

    /// Reads the configuration again if its file is not what was read last. An
    /// unreadable file is told of by the reload that it leads to.
    async fn poll(&mut self) {
        if self.is_unchanged() && self.refused.is_empty() {
            // Also one that was bad meanwhile and is again what is in force.
            self.app.reloaded(true, unix_now());
            self.mended();
            return;
        }
        let found = tokio::task::block_in_place(|| self.source.checksum());
        let known = self.complaint.take();
        if !matches!(&known, Some((_, read)) if *read == found) {
            tracing::info!("Configuration file change detected, reloading the configuration.");
        }
        let result = self.read_again().await;
        match (&result, known) {
            (Err(error), Some((said, read))) if *error == said && read == found => {}
            _ => self.log_reload(&result),
        }
        self.complaint = result.err().map(|error| (error, found));
    }

    /// Says that the file is again what is in force, if it was not.
    fn mended(&mut self) {
        if self.complaint.take().is_some() {
            tracing::info!("Configuration file is good again, and what is in force.");
        }
    }

    fn is_unchanged(&self) -> bool {
        let found = tokio::task::block_in_place(|| self.source.checksum());
        found.is_some() && found == self.checksum
    }

    async fn reload(&mut self) -> Result<(), String> {
        let is_unchanged = self.is_unchanged();
        if is_unchanged {
            // What it refers to may have changed all the same.
            self.refresh().await;
        }
        if is_unchanged && self.refused.is_empty() {
            self.rediscover().await;
            self.app.reloaded(true, unix_now());
            self.mended();
            tracing::info!("Configuration checksum check passed. No changes detected.");
            return Ok(());
        }
        let found = tokio::task::block_in_place(|| self.source.checksum());
        let result = self.read_again().await;
        self.log_reload(&result);
        self.complaint = result.clone().err().map(|error| (error, found));
        result
    }

    /// Reads the file and makes it the one in force.
    async fn read_again(&mut self) -> Result<(), String> {
        let source = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&source)).await;
        let loaded = loaded
            .map_err(|error| error.to_string())
            .and_then(|it| it.map_err(|error| error.to_string()));
        let result = match loaded {
            Ok(loaded) => self.adopt(loaded).await,
            Err(error) => Err(error),
        };
        self.app.reloaded(result.is_ok(), unix_now());
        result
    }

    fn log_reload(&self, result: &Result<(), String>) {
        match result {
            Ok(()) => {
                let (jobs, targets) = (self.file.jobs().len(), self.targets());
                tracing::info!(jobs, targets, "Reloaded config file");
            }
            Err(error) => tracing::error!(err = error, "Error reloading config"),
        }
    }

    /// Makes `file` the one in force.
    async fn adopt(&mut self, loaded: Loaded) -> Result<(), String> {
        let Loaded {
            file,
            checksum,
            stamps,
        } = loaded;
        for warning in file.warnings() {
            tracing::warn!(warning = %warning, "Config file has a problem");
        }
        // What was found stays for jobs that are still there; a file that has
        // become bad keeps its last good content also across reloads.
        let mut found = std::mem::take(&mut self.found);
        found.retain(|name, _| file.jobs().iter().any(|job| job.name() == name));
        self.look(file.jobs(), &mut found);
        self.file = file;
        self.checksum = checksum;
        self.stamps = stamps;
        self.refused.clear();
        self.found = found;
        self.apply().await
    }

    /// Reads the files of modules again that are not what they were. Those
    /// that cannot be used leave their modules unready, or as they were where a
    /// reload would be refused for them.
    async fn refresh(&mut self) {
        let old = tokio::task::block_in_place(|| self.reread());
        if old.is_empty() {
            return;
        }
        // An error means that the driver has stopped, which ends us all.
        let _ = self.apply().await;
        tracing::info!(modules = old.join(","), "Files of modules have changed");
    }

    fn reread(&mut self) -> Vec<String> {
        let old = self.stamps.old(&self.file);
        for name in &old {
            let host = Host::default();
            self.refused.remove(name);
            match self.file.refresh(name, &host) {
                Ok(warnings) => {
                    for warning in warnings {
                        tracing::warn!(module = name, warning, "A file of a module is damaged");
                    }
                }
                Err(error) if error.cause == Cause::Mistake => {
                    self.refused.insert(name.clone());
                    tracing::warn!(module = name, warning = %error, "A file of a module cannot be used, and the module stays what it was");
                }
                Err(error) => {
                    tracing::warn!(module = name, warning = %error, "A file of a module cannot be used");
                }
            }
            self.stamps.note(name, host);
        }
        old
    }

    /// Looks at all discovery files; whether anything changed. Reading a slow
    /// disk must not keep requests waiting.
    fn look(&mut self, jobs: &[Job], found: &mut BTreeMap<String, FileSd>) -> bool {
        let look = tokio::task::block_in_place(|| self.discovery.look(&self.base, jobs, found));
        self.app.discovered(look.failing);
        look.changed
    }

    async fn rediscover(&mut self) {
        let file = self.file.clone();
        let mut found = std::mem::take(&mut self.found);
        let changed = self.look(file.jobs(), &mut found);
        self.found = found;
        if changed {
            // An error means that the driver has stopped, which ends us all.
            let _ = self.apply().await;
            tracing::info!(targets = self.targets(), "Discovered targets changed");
        }
    }

    /// How many there are.
    fn targets(&self) -> usize {
        self.app.running().index.entries().len()
    }

    /// Brings the engine to what the file and the discovered groups say.
    async fn apply(&mut self) -> Result<(), String> {
        // A large fleet takes a while, and scrapes go on meanwhile.
        let changes = tokio::task::block_in_place(|| self.plan());
        self.app
            .bridge
            .apply(changes)
            .await
            .map_err(|error| error.to_string())
    }

    /// What has changed for the engine. The rest of the process sees the new
    /// fleet from here on.
    fn plan(&mut self) -> Vec<Change> {
        let mut fleet = Fleet::build(self.file.jobs(), &self.found, &mut self.groups);
        for dropped in &fleet.dropped {
            tracing::warn!(
                job = dropped.job,
                target = dropped.target,
                why = dropped.why,
                "Target left out"
            );
        }
        // What the engine was told is what the rest of the process sees.
        let before = self.app.running();
        let entries = before.index.entries().iter();
        let known = entries.map(|entry| (entry.id, &entry.spec));
        let delta = Delta::since(known, &mut fleet.targets);
        let removed = delta.remove.iter().map(|id| Change::Remove(*id));
        let added = delta.upsert.iter();
        let gone = self.groups.retain(self.file.jobs());
        let changes = removed
            .chain(added.map(|target| Change::Upsert(target.id, Arc::clone(&target.spec))))
            .chain(gone.into_iter().map(Change::Forget))
            .collect();
        self.app.replace(running(
            &self.file,
            &self.stamps,
            fleet.targets,
            &mut self.groups,
        ));
        changes
    }
}

fn refresh_interval(file: &File) -> Duration {
    let sources = file.jobs().iter().flat_map(Job::files);
    sources
        .map(|source| source.refresh_interval)
        .min()
        .unwrap_or(IDLE)
}

/// What the rest of the process reads.
fn running(file: &File, stamps: &Stamps, targets: Vec<Target>, groups: &mut Groups) -> Running {
    let jobs = file.jobs().iter();
    let views = jobs.clone().map(|job| JobView {
        name: job.name().to_owned(),
        module: job.module_name().to_owned(),
        minimal: job.metrics() == probity_spec::Metrics::Minimal,
        classic_buckets: job.classic_buckets().unwrap_or_default().into(),
    });
    let entries = targets.into_iter().map(|target| Entry {
        id: target.id,
        job: target.job,
        target: target.name,
        // The file's names were checked when it was parsed.
        labels: fleet::labels(&target.labels).unwrap_or_default(),
        pairs: target.labels,
        spec: target.spec,
    });
    Running {
        file: file.clone(),
        stamps: stamps.clone(),
        index: Index::new(views.collect(), entries.collect()),
        jobs: jobs
            .map(|job| (job.name().to_owned(), groups.id(job.name())))
            .collect(),
        texts: Texts::default(),
    }
}

/// Waits until then, or for ever.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => tokio::time::sleep_until(then.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits until the process is told to end, or the one who would tell is gone.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// Passes what happens to targets to the log and to the list of events, until
/// the driver has stopped and its last news are told, or whoever holds the
/// other end of `owner` is gone. Blocks: a fleet that fails at once writes a
/// line for each target, and nobody else may wait for who reads them.
pub fn follow(app: &App, owner: &watch::Receiver<bool>) {
    let mut blind = Blind::default();
    while owner.has_changed().is_ok() {
        let notices = app.bridge.handle().notices(NEWS);
        app.count_dropped(notices.dropped);
        let running = app.running();
        for notice in &notices.list {
            blind.note(notice);
            let Some(name) = name(&running, notice.target) else {
                continue;
            };
            let at = app.bridge.handle().unix_time(notice.at);
            app.events().record(notice, &name, at);
            log_flip(notice, &name);
        }
        if notices.stopped {
            return;
        }
        blind.warn(Instant::now());
    }
}

/// Says in the log that a target's health has changed, if it has.
fn log_flip(notice: &Notice, Name { job, instance }: &Name) {
    let Some(flip) = notice.transition else {
        return;
    };
    let state = state(flip.to);
    let (results, phase) = (flip.run, notice.phase.name());
    match notice.outcome {
        Outcome::Success | Outcome::Warning(_) => {
            tracing::info!(job, instance, state, results, "Target changed");
        }
        Outcome::Failure(reason) | Outcome::Unknown(reason) => {
            let (reason, detail) = (reason.name(), &*notice.detail);
            tracing::warn!(
                job,
                instance,
                state,
                results,
                reason,
                phase,
                detail,
                "Target changed"
            );
        }
    }
}

/// Runs that could not be made: said at once, and then [seldom](Seldom), for as
/// long as there are more.
#[derive(Debug, Default)]
struct Blind {
    runs: BTreeMap<Reason, u64>,
    log: Seldom,
}

impl Blind {
    fn note(&mut self, notice: &Notice) {
        match notice.outcome {
            // Those are nobody's trouble: the target or the process went.
            Outcome::Unknown(Reason::Cancelled | Reason::Shutdown) => {}
            Outcome::Unknown(reason) => *self.runs.entry(reason).or_default() += notice.runs,
            _ => {}
        }
    }

    fn warn(&mut self, now: Instant) {
        if self.runs.is_empty() || !self.log.says(now) {
            return;
        }
        let runs: u64 = self.runs.values().sum();
        let reasons: Vec<String> = self
            .runs
            .iter()
            .map(|(reason, runs)| format!("{reason}={runs}"))
            .collect();
        let reasons = reasons.join(" ");
        tracing::warn!(runs, reasons, "Runs could not be made");
        self.runs.clear();
    }
}

fn name(running: &Running, target: TargetId) -> Option<Name> {
    let entry = running.index.get(target)?;
    let instance = entry.pairs.get("instance").unwrap_or(&entry.target);
    Some(Name {
        job: running.job_name(entry).to_owned(),
        instance: instance.to_owned(),
    })
}
