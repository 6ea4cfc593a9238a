//! `probity serve`: the exporter.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use probity_driver::{Driver, Handle};
use probity_engine::Level;
use probity_spec::{Dropped, Fleet, Groups, LoadError, words};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::args::{self, Engine, Serve};
use super::{FAILED, log};
use crate::app::{App, Probes};
use crate::bridge::Bridge;
use crate::control::{self, Control, Source};
use crate::discovery::{Complaint, Kind, discover};
use crate::guests::{self, Setup};
use crate::http;
use crate::http::base::Base;
use crate::http::guard::Guard;
use crate::http::lobby::{DOORSTEP, Places};
use crate::http::server::Doors;
use crate::render::own::GOARCH;

/// How long open requests may go on once all runs have ended. With this, the time
/// for the last lines of the log and the grace of runs the process has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long the last lines of the log may take, if who reads it is slow.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs until it is told to end.
pub fn main(args: &Serve) -> ExitCode {
    log::init(&args.log);
    let usual = Setup::from_environment();
    guests::set_up(Setup {
        instances: Some(args.wasm_instances),
        cache: args.wasm_cache.clone().or(usual.cache),
    });
    let source = Source::asked(args.config_file.as_deref());
    if args.config_check {
        return check(&source);
    }
    introduce();
    warn_of_no_file(&source);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed("Error starting", &error.to_string()),
    };
    let options = Options {
        listen: if args.systemd_socket {
            Listen::Systemd
        } else {
            Listen::At(args.listen.clone())
        },
        probes: probes(args),
        base: args.base(),
        web_config: args.web_config().map(Into::into),
        connections: args.max_connections.map(|it| it as usize),
        auto_reload: args.auto_reload(),
        engine: args.engine.clone(),
    };
    let code = runtime.block_on(async {
        // First: until somebody listens for it, it ends the process.
        let hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return failed("Error starting", &error.to_string()),
        };
        let server = match Server::start(options, source).await {
            Ok(server) => server,
            Err(error) => return failed(error.title(), &error.to_string()),
        };
        match server.until_told(hangup).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed("Error serving", &error.to_string()),
        }
    });
    // A file system or a reader of the log may keep a thread for ever.
    runtime.shutdown_background();
    code
}

/// A working directory that is not the one that was meant is easily overlooked.
fn warn_of_no_file(source: &Source) {
    if let Source::Defaults = source {
        tracing::warn!(
            "There is no --config.file, and no blackbox.yml here: the built-in modules are used"
        );
    }
}

/// Says which version this is, and how it was built.
fn introduce() {
    let (version, stands_for) = (env!("CARGO_PKG_VERSION"), args::COMPATIBLE);
    let version = format!("(version={version}, blackbox_exporter={stands_for})");
    tracing::info!(version, "Starting probity");
    let (rustc, os) = (env!("PROBITY_RUSTC"), std::env::consts::OS);
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    let build_context = format!("(rust={rustc}, platform={os}/{GOARCH}, profile={profile})");
    tracing::info!(build_context, "Build context");
}

fn probes(args: &Serve) -> Probes {
    let level = log::prober_level(&args.log).unwrap_or(args::Level::Info);
    Probes {
        timeout_offset: args.timeout_offset,
        history_limit: args.history_limit as usize,
        level: match level {
            args::Level::Debug => Level::Debug,
            args::Level::Info => Level::Info,
            args::Level::Warn => Level::Warn,
            args::Level::Error => Level::Error,
        },
    }
}

/// `--config.check`: the file, the discovery files that it names, and whether
/// every target suits its module.
fn check(source: &Source) -> ExitCode {
    warn_of_no_file(source);
    let file = match control::load(source) {
        Ok(loaded) => loaded.file,
        Err(error) => return failed("Error loading config", &error.to_string()),
    };
    for warning in file.warnings() {
        tracing::warn!(warning = %warning, "Config file has a problem");
    }
    let (mut found, mut complaints) = (BTreeMap::new(), BTreeSet::new());
    discover(
        &source.directory(),
        file.jobs(),
        &mut found,
        &mut complaints,
    );
    complaints.iter().for_each(Complaint::log);
    let fleet = Fleet::build(file.jobs(), &found, &mut Groups::default());
    for Dropped { job, target, why } in &fleet.dropped {
        tracing::warn!(job, target, why, "Target left out");
    }
    let mut bad = complaints.iter().any(|it| it.kind == Kind::Unused);
    for target in &fleet.targets {
        let job = &file.jobs()[target.job];
        // At run time a check that fails: here is who can mend it.
        if let Err(error) = job
            .module()
            .target(&target.name, probity_spec::system_params())
        {
            let (job, target) = (job.name(), &*target.name);
            tracing::error!(job, target, err = %error, "Target cannot be probed");
            bad = true;
        }
    }
    if bad {
        return ExitCode::from(FAILED);
    }
    let (modules, jobs) = (file.modules().count(), file.jobs().len());
    let (warnings, targets) = (file.warnings().len(), fleet.targets.len());
    tracing::info!(
        modules,
        warnings,
        jobs,
        targets,
        "Config file is ok exiting..."
    );
    ExitCode::SUCCESS
}

fn failed(what: &str, why: &str) -> ExitCode {
    tracing::error!(err = why, "{what}");
    ExitCode::from(FAILED)
}

/// The control plane is not what should keep the cores busy.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()
}

/// Where to listen.
#[derive(Clone, Debug)]
pub enum Listen {
    /// At these addresses.
    At(Vec<SocketAddr>),
    /// At the sockets that systemd passes on (`sd_listen_fds(3)`).
    Systemd,
}

impl Listen {
    async fn open(&self) -> Result<Vec<TcpListener>, StartError> {
        let mut listeners = Vec::new();
        match self {
            Self::At(addresses) => {
                for address in addresses {
                    let listener = TcpListener::bind(address).await;
                    listeners.push(listener.map_err(|error| taken(*address, &error))?);
                }
            }
            Self::Systemd => {
                let mut passed = ListenFd::from_env();
                for index in 0..passed.len() {
                    let unusable = |error: io::Error| {
                        let why = words(&error);
                        StartError::Other(format!("socket {index} that was passed on: {why}"))
                    };
                    let Some(listener) = passed.take_tcp_listener(index).map_err(unusable)? else {
                        continue;
                    };
                    listener.set_nonblocking(true).map_err(unusable)?;
                    listeners.push(TcpListener::from_std(listener).map_err(unusable)?);
                }
                if listeners.is_empty() {
                    let why = "--web.systemd-socket: no socket was passed on: expected LISTEN_PID and LISTEN_FDS as a systemd socket unit sets them";
                    return Err(StartError::Other(why.into()));
                }
            }
        }
        Ok(listeners)
    }
}

/// Why nobody can be listened for at `address`, and what to do.
fn taken(address: SocketAddr, error: &io::Error) -> StartError {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there: end it, or",
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address:",
        io::ErrorKind::PermissionDenied => {
            "that is not permitted (below port 1024 it takes CAP_NET_BIND_SERVICE): permit it, or"
        }
        _ => &format!("{}:", words(error)),
    };
    StartError::Other(format!(
        "cannot listen on {address}: {why} choose another with --web.listen-address"
    ))
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub listen: Listen,
    /// How single probes are made.
    pub probes: Probes,
    /// Where the pages are.
    pub base: Base,
    /// The web configuration file.
    pub web_config: Option<PathBuf>,
    /// Connections that clients may have at once; as many as suit the process if
    /// nobody says.
    pub connections: Option<usize>,
    /// How often to look whether the configuration file has changed.
    pub auto_reload: Option<Duration>,
    /// The engine's flags.
    pub engine: Engine,
}

/// Why a server could not be started: a sentence for a person.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is of no use.
    Config(LoadError),
    /// Something else is.
    Other(String),
}

impl StartError {
    /// What the log says beside it.
    fn title(&self) -> &'static str {
        match self {
            Self::Config(_) => "Error loading config",
            Self::Other(_) => "Error starting",
        }
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StartError {}

/// A running exporter.
#[derive(Debug)]
pub struct Server {
    /// What it shares.
    pub app: Arc<App>,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    grace: Duration,
    stop: watch::Sender<bool>,
    control: tokio::task::JoinHandle<()>,
    follower: tokio::task::JoinHandle<()>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Server {
    /// Loads the configuration, starts the engine, hands it the fleet and
    /// serves. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// If the configuration is wrong, an address cannot be listened on or the
    /// engine cannot be started; nothing is left running then.
    pub async fn start(options: Options, source: Source) -> Result<Self, StartError> {
        let loaded = control::load(&source).map_err(StartError::Config)?;
        let guard = options.web_config.as_deref().map(Guard::load).transpose();
        let guard = guard.map_err(StartError::Other)?.map(Arc::new);
        let listeners = options.listen.open().await?;
        let connections = connections(options.connections);
        let handle = start_engine(&options.engine, connections)?;
        let places = Arc::new(Places::new(connections));
        let (control, app) = Control::new(source, loaded, Bridge::new(handle), options.probes);
        let control = control.polling(options.auto_reload);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();
        let mut addresses = Vec::new();
        for listener in listeners {
            if let Ok(address) = listener.local_addr() {
                let tls = guard.as_ref().is_some_and(|guard| guard.is_secured());
                tracing::info!(address = %address, tls, "Listening on");
                addresses.push(address);
            }
            let doors = Doors {
                router: http::router(Arc::clone(&app), &options.base, guard.clone()),
                doorstep: http::doorstep(Arc::clone(&app), &options.base, guard.clone()),
                places: Arc::clone(&places),
                guard: guard.clone(),
            };
            let stopped = stopped.clone();
            tasks.push(tokio::spawn(http::server::serve(listener, doors, stopped)));
        }
        let control = tokio::spawn(control.run(stopped.clone()));
        let followed = Arc::clone(&app);
        let follower = tokio::task::spawn_blocking(move || control::follow(&followed, &stopped));
        Ok(Self {
            app,
            addresses,
            grace: options.engine.grace,
            stop,
            control,
            follower,
            tasks,
        })
    }

    /// Serves until SIGTERM or SIGINT, of which the second one ends it at once;
    /// SIGHUP, which is `hangup`, reloads.
    ///
    /// # Errors
    /// If signals cannot be listened for, or if nobody is left who could
    /// reload: better to be started again than to go on with an old fleet.
    pub async fn until_told(mut self, mut hangup: Signal) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    tracing::info!("Received SIGTERM, exiting gracefully...");
                    break;
                }
                _ = interrupt.recv() => {
                    tracing::info!("Received SIGINT, exiting gracefully...");
                    break;
                }
                _ = &mut self.control => {
                    return Err(io::Error::other("the control task has ended"));
                }
                _ = hangup.recv() => {
                    let app = Arc::clone(&self.app);
                    // The control task logs how it went.
                    tokio::spawn(async move { app.reload().await });
                }
            }
        }
        tokio::select! {
            () = self.stop() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    }

    /// Ends the runs in flight, within the grace, and within two seconds more the
    /// requests, and the log.
    pub async fn stop(self) {
        self.app.set_ready(false);
        self.app.bridge.shutdown(self.grace).await;
        // Without receivers there is nobody to tell.
        let _ = self.stop.send(true);
        let answers = async {
            for task in self.tasks {
                // A panic was printed when it happened.
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(LAST_ANSWERS, answers).await;
        // What the last runs showed, and what was answered, is told before the end.
        let app = Arc::clone(&self.app);
        let words = async {
            let _ = self.follower.await;
            let _ = tokio::task::spawn_blocking(move || app.journal.close()).await;
        };
        let _ = tokio::time::timeout(LAST_WORDS, words).await;
    }
}

/// How many connections clients may have, of whom `wanted` is what the user wants:
/// each has a descriptor, and so has what is probed for it.
fn connections(wanted: Option<usize>) -> usize {
    let descriptors = probity_driver::raise_descriptor_limit();
    let possible = usize::try_from(descriptors / 2)
        .unwrap_or(usize::MAX)
        .max(1);
    let flag = wanted.map_or("", |_| " for --web.max-connections");
    let wanted = wanted.unwrap_or_else(|| http::server::connections(descriptors));
    if wanted > possible {
        tracing::warn!(
            wanted,
            possible,
            "Too few descriptors{flag}: raise `ulimit -n` or LimitNOFILE"
        );
    }
    wanted.min(possible)
}

/// Starts the driver and says what it has to work with.
fn start_engine(flags: &Engine, connections: usize) -> Result<Handle, StartError> {
    // What clients may hold is not there to probe with.
    let clients = connections + DOORSTEP;
    let config = probity_driver::Config {
        names: flags.dns.names().map_err(StartError::Other)?,
        workers: flags.workers,
        in_flight: flags.in_flight,
        reserve: probity_driver::Config::RESERVE + clients as u64,
        starts_per_destination: flags.destination_rate,
        burst_per_destination: flags.destination_burst,
        ..probity_driver::Config::default()
    };
    let handle = Driver::start(config)
        .map_err(|error| StartError::Other(format!("cannot start the engine: {error}")))?;
    let capacity = handle.capacity();
    tracing::info!(
        workers = capacity.workers,
        descriptors = capacity.descriptors,
        in_flight = capacity.in_flight,
        connections,
        "Engine started"
    );
    if flags.in_flight > capacity.in_flight {
        let (wanted, possible) = (flags.in_flight, capacity.in_flight);
        tracing::warn!(
            wanted,
            possible,
            "Too few descriptors for --engine.in-flight"
        );
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn who_cannot_listen_says_where_and_what_to_do() {
        let first = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        let nowhere: SocketAddr = "192.0.2.55:9115".parse().unwrap();
        let runtime = runtime().unwrap();
        for (address, expected) in [
            (address, "another process listens there: end it, or"),
            (nowhere, "this machine does not have that address:"),
        ] {
            let opened = runtime.block_on(Listen::At(vec![address]).open());
            let sentence = opened.unwrap_err().to_string();
            let whole = format!(
                "cannot listen on {address}: {expected} choose another with --web.listen-address"
            );
            assert_eq!(sentence, whole);
        }
    }

    #[test]
    fn a_server_that_could_not_reload_any_more_ends() {
        let line = [
            "probity",
            "--web.listen-address=127.0.0.1:0",
            "--engine.workers=1",
        ];
        let args = args::Args::parse_from(line).serve;
        let options = Options {
            listen: Listen::At(args.listen),
            probes: Probes::default(),
            base: Base::default(),
            web_config: None,
            connections: None,
            auto_reload: None,
            engine: args.engine,
        };
        let runtime = runtime().unwrap();
        runtime.block_on(async {
            let server = Server::start(options, Source::Defaults).await.unwrap();
            let app = Arc::clone(&server.app);
            server.control.abort();
            let hangup = signal(SignalKind::hangup()).unwrap();
            let told = server.until_told(hangup);
            let ended = tokio::time::timeout(Duration::from_secs(20), told);
            assert!(ended.await.expect("it ends").is_err());
            app.bridge.shutdown(Duration::ZERO).await;
        });
    }
}
