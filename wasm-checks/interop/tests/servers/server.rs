//! A server of one test, and a check that talks to it.

use std::env;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use probity_check::testing::Run;
use probity_check::{Check, Close, Outcome, Sample};

use crate::module::{self, Seen};

/// Names of programs that must be there.
const REQUIRED: &str = "PROBITY_REQUIRE_PEERS";
/// Generous: databases are made meanwhile.
const PATIENCE: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a module is compared with its check as Rust: a server may just have noticed
/// that a connection is gone.
const COMPARISONS: usize = 20;

/// What a server is started with.
#[derive(Debug)]
pub(crate) struct Setup {
    folder: PathBuf,
    port: u16,
}

impl Setup {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// A command in the server's folder, which says what it has to say into a
    /// file there. As another user if this one is root, whom many servers refuse.
    pub(crate) fn command(
        &self,
        program: &Path,
        user: Option<&str>,
        arguments: &[&str],
    ) -> Command {
        let mut command = match user.filter(|_| is_root()) {
            Some(user) => {
                let mut command = Command::new("setpriv");
                let ids = [format!("--reuid={user}"), format!("--regid={user}")];
                command.args(ids).arg("--clear-groups").arg(program);
                command
            }
            None => Command::new(program),
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("the log is opened");
        let errors = log.try_clone().expect("the log is opened twice");
        command.args(arguments).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        command
    }

    /// Runs a command that makes what the server needs.
    pub(crate) fn make(&self, program: &Path, user: &str, arguments: &[&str]) {
        let status = self.command(program, Some(user), arguments).status();
        let done = status.is_ok_and(|status| status.success());
        assert!(done, "{}: {}", program.display(), self.log());
    }

    /// A key and a certificate of its own, which a server that runs as `user` may read.
    pub(crate) fn certificate(&self, user: &str) -> [String; 2] {
        let [key, certificate] = ["key", "certificate"].map(|name| self.folder.join(name));
        let openssl = Path::new("openssl");
        let [key, certificate] = [key, certificate].map(|path| path.display().to_string());
        let request = ["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"];
        let kind = ["-pkeyopt", "ec_paramgen_curve:prime256v1"];
        let files = [
            "-subj",
            "/CN=localhost",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ];
        self.make(openssl, user, &[&request[..], &kind, &files].concat());
        [key, certificate]
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

/// A process that ends with its test, and its folder with it.
#[derive(Debug)]
pub(crate) struct Server {
    setup: Setup,
    process: Child,
}

impl Server {
    /// Starts a server, if its program is there.
    pub(crate) fn start(
        name: &str,
        user: Option<&str>,
        command: impl FnOnce(&Setup, &Path) -> Command,
    ) -> Option<Self> {
        let Some(program) = installed(name) else {
            assert!(!requires(name), "{name} is not installed");
            println!("skipped: {name} is not installed");
            return None;
        };
        let port = free_port();
        let folder = env::temp_dir().join(format!("probity-{name}-{port}"));
        fs::create_dir_all(&folder).expect("a folder is made");
        if let Some(user) = user.filter(|_| is_root()) {
            let owned = Command::new("chown").arg(user).arg(&folder).status();
            assert!(owned.is_ok_and(|status| status.success()), "chown {user}");
        }
        let setup = Setup { folder, port };
        let process = command(&setup, &program).spawn();
        let process = process.unwrap_or_else(|error| panic!("{name}: {error}"));
        Some(Self { setup, process })
    }

    /// Waits until the check says that the server is up; what it reports then. As a module
    /// it says so too.
    pub(crate) fn until_up<C: Check>(&self, config: &str) -> Vec<Sample> {
        let begun = Instant::now();
        loop {
            match self.try_ask::<C>(config) {
                Ok((Outcome::Up, samples)) => {
                    self.compare::<C>(config);
                    return samples;
                }
                other if begun.elapsed() > PATIENCE => {
                    panic!("not up: {other:?}: {}", self.setup.log());
                }
                _ => sleep(Duration::from_millis(50)),
            }
        }
    }

    /// One run of the check, as Rust; its modules come to the same.
    pub(crate) fn ask<C: Check>(&self, config: &str) -> (Outcome, Vec<Sample>) {
        self.compare::<C>(config);
        self.ask_rust::<C>(config)
    }

    fn ask_rust<C: Check>(&self, config: &str) -> (Outcome, Vec<Sample>) {
        let asked = self.try_ask::<C>(config);
        asked.unwrap_or_else(|error| panic!("{error}: {}", self.setup.log()))
    }

    /// Holds the modules of a check to what it says as Rust, before and after.
    fn compare<C: Check>(&self, config: &str) {
        let Some((program, modules)) = module::of(&C::describe().name) else {
            return;
        };
        let rust = || {
            let (outcome, samples) = self.ask_rust::<C>(config);
            Seen::of(&outcome, &samples)
        };
        for module in &modules {
            // What was seen where it is not the same.
            let differs = || {
                let before = rust();
                let seen = self.run(&program, module, config, &[]);
                let after = rust();
                let is_same = seen.is_between(&before, &after);
                (!is_same).then_some([before, seen, after])
            };
            let mut last = differs();
            for _ in 1..COMPARISONS {
                if last.is_some() {
                    sleep(Duration::from_millis(50));
                    last = differs();
                }
            }
            if let Some(seen) = last {
                panic!("{} {config}: {seen:#?}", module.display());
            }
        }
    }

    /// Waits until the modules of a check, run with these options, say that the server is up:
    /// over TLS, which the check as Rust has nobody for.
    pub(crate) fn until_modules_up(&self, check: &str, config: &str, options: &[&str]) {
        let Some((program, modules)) = module::of(check) else {
            return;
        };
        let begun = Instant::now();
        for module in &modules {
            let run = || self.run(&program, module, config, options);
            let mut seen = run();
            while seen.verdict() != "up" {
                let log = || self.setup.log();
                assert!(begun.elapsed() < PATIENCE, "not up: {seen:?}: {}", log());
                sleep(Duration::from_millis(50));
                seen = run();
            }
        }
    }

    fn run(&self, program: &Path, module: &Path, config: &str, options: &[&str]) -> Seen {
        let cache = self.setup.folder.join("cache");
        let place = (&*cache, self.setup.port);
        module::run((program, module), place, config, options)
    }

    fn try_ask<C: Check>(&self, config: &str) -> Result<(Outcome, Vec<Sample>), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.setup.port));
        let failed = |error: std::io::Error| error.to_string();
        let mut socket = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
        socket.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        let mut run = Run::<C>::open(config);
        run.connected();
        let mut buffer = [0; 4096];
        loop {
            socket.write_all(&run.sent()).map_err(failed)?;
            if let Some(outcome) = run.outcome() {
                return Ok((outcome.clone(), run.samples().to_vec()));
            }
            match socket.read(&mut buffer).map_err(failed)? {
                0 => {
                    run.closed(Close::End);
                    let outcome = run.outcome().cloned();
                    let outcome = outcome.ok_or("the server closed the connection")?;
                    return Ok((outcome, run.samples().to_vec()));
                }
                length => run.data(&buffer[..length]),
            };
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.setup.folder);
    }
}

/// Whether what is called so must be there.
pub(crate) fn requires(name: &str) -> bool {
    let required = env::var(REQUIRED).unwrap_or_default();
    required.split_whitespace().any(|other| other == name)
}

/// Whether there is this sample.
pub(crate) fn has(samples: &[Sample], metric: &str, labels: &[&str], value: f64) -> bool {
    samples
        .iter()
        .any(|sample| sample.metric == metric && sample.labels == labels && sample.value == value)
}

/// A port that was free a moment ago: these servers cannot be asked which one
/// they were given.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout == b"0\n")
}

/// Where a program is: also where only root usually looks, and where Debian has
/// the server of PostgreSQL.
fn installed(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.flatten().map(|entry| entry.path().join("bin"));
    let folders = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let mut paths = folders.chain(versions).map(|folder| folder.join(program));
    paths.find(|path| path.is_file())
}
