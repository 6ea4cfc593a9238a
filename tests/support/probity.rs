//! The program, as a process of its own.
//!
//! The process is this very test executable, which becomes the program when
//! the variable [`AS_PROBITY`] is set: `main` of the binary is one call into
//! the exporter's library, and the suites make the same call. Cargo tells only
//! the tests of a binary's own package where the binary is, and whether it has
//! been built before the tests of another package run depends on what else is
//! being built. This way it is always there, it is never stale, and it has the
//! profile of the test. `PROBITY_BIN=/path/to/probity` runs the suites against
//! a binary that was built in another way.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::http::{self, Answer};
use super::metrics::Samples;
use super::{LIMIT, until};

/// A process with this variable is the program.
pub const AS_PROBITY: &str = "PROBITY_TESTS_RUN_PROBITY";

/// Lines of a log that are kept.
const LINES: usize = 50_000;

/// A command line of the program, ready for more.
///
/// # Panics
/// If this executable has been moved away.
pub fn command(args: &[&str]) -> Command {
    let mut command = match std::env::var_os("PROBITY_BIN") {
        Some(path) => Command::new(path),
        None => {
            let mut command = Command::new(std::env::current_exe().expect("our own path"));
            command.env(AS_PROBITY, "1");
            command
        }
    };
    command.args(args).stdin(Stdio::null());
    command
}

/// One that serves, on a port that is free.
fn serve(config: &Path, flags: &[&str]) -> Command {
    let config = config.to_str().expect("a path of text");
    let mut args = vec![
        "serve",
        "--config.file",
        config,
        "--web.listen-address=127.0.0.1:0",
    ];
    args.extend(flags);
    command(&args)
}

/// What a command that ends by itself has said.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

/// Runs a command to its end.
///
/// # Panics
/// If it does not end, or prints what is not text, or panics itself.
pub fn run(args: &[&str]) -> Ended {
    let begun = Instant::now();
    let mut child = Guard(
        command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts"),
    );
    let mut stdout = child.0.stdout.take().expect("a pipe");
    let mut stderr = child.0.stderr.take().expect("a pipe");
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    let status = child.wait();
    let ended = Ended {
        code: status.code(),
        stdout: read.join().expect("a reader").expect("text"),
        stderr: errors.join().expect("a reader").expect("text"),
        took: begun.elapsed(),
    };
    assert!(
        !ended.stderr.contains("panicked"),
        "{args:?}: {}",
        ended.stderr
    );
    ended
}

/// A child that does not outlive its owner.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Guard {
    /// Waits for its end.
    ///
    /// # Panics
    /// If that takes longer than [`LIMIT`].
    pub fn wait(&mut self) -> ExitStatus {
        until("a process ends", || self.0.try_wait().expect("a child"))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `probity serve` or `probity demo`.
#[derive(Debug)]
pub struct Probity {
    /// Where it serves.
    pub address: SocketAddr,
    child: Guard,
    log: Log,
}

/// Lines that a process has written, the latest 50,000 of them.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Held by whoever still reads a pipe.
    readers: Arc<()>,
}

impl Log {
    /// Collects lines on a thread until the pipe ends.
    pub fn follow(&self, pipe: impl std::io::Read + Send + 'static) {
        let lines = Arc::clone(&self.lines);
        let reader = Arc::clone(&self.readers);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            drop(reader);
        });
    }

    /// Waits until the process has closed what is followed: what it wrote
    /// before its end may be read a little after it.
    fn until_complete(&self) {
        until("the log ends", || {
            (Arc::strong_count(&self.readers) == 1).then_some(())
        });
    }

    /// The lines that contain all of these.
    pub fn lines(&self, parts: &[&str]) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .cloned()
            .collect()
    }

    /// The address that the program says it listens on: in the log, or for
    /// the demo on the screen.
    pub fn address(&self) -> Option<SocketAddr> {
        let logged = self.lines(&["\"Listening on\"", "address="]);
        let logged = logged.first().and_then(|line| line.split_once("address="));
        let printed = self.lines(&["http://", "/metrics"]);
        let printed = printed.first().and_then(|line| line.split_once("http://"));
        let (_, address) = logged.or(printed)?;
        let end = |c: char| c.is_whitespace() || c == '/';
        address.split(end).next()?.trim_matches('"').parse().ok()
    }
}

impl Probity {
    /// Serves a configuration file; ready when this returns.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve(config: &Path) -> Self {
        Self::serve_with(config, &[])
    }

    /// As [`Probity::serve`], with more flags.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve_with(config: &Path, flags: &[&str]) -> Self {
        Self::serve_in(config, flags, &[])
    }

    /// As [`Probity::serve_with`], in an environment with these variables too.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve_in(config: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = serve(config, flags);
        Self::ready(command.envs(variables.iter().copied()))
    }

    /// As [`Probity::serve_with`], where it may have only so many descriptors.
    ///
    /// # Panics
    /// If it does not start.
    pub fn serve_within(descriptors: u32, config: &Path, flags: &[&str]) -> Self {
        let served = serve(config, flags);
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""))
            .arg(served.get_program())
            .args(served.get_args())
            .envs(served.get_envs().filter_map(|(name, it)| Some((name, it?))))
            .stdin(Stdio::null());
        Self::ready(&mut shell)
    }

    fn ready(command: &mut Command) -> Self {
        let server = Self::spawn(command);
        until("the server is ready", || {
            (server.get("/-/ready").status == 200).then_some(())
        });
        server
    }

    /// Starts any command that listens, and waits until it does.
    ///
    /// # Panics
    /// If it does not.
    pub fn start(args: &[&str]) -> Self {
        Self::spawn(&mut command(args))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = Guard(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts"),
        );
        let log = Log::default();
        log.follow(child.0.stdout.take().expect("a pipe"));
        log.follow(child.0.stderr.take().expect("a pipe"));
        let address = until("the program listens", || {
            let ended = child.0.try_wait().expect("a child");
            let address = log.address();
            assert!(
                ended.is_none() || address.is_some(),
                "{command:?} ended ({ended:?}): {log:?}"
            );
            address
        });
        Self {
            address,
            child,
            log,
        }
    }

    /// What it has printed and logged.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for its end, and for the end of its log.
    ///
    /// # Panics
    /// If that takes longer than [`LIMIT`].
    pub fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait();
        self.log.until_complete();
        status
    }

    /// GET.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        http::get(self.address, path)
    }

    /// Any request.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        http::request(self.address, method, path, headers)
    }

    /// The series at a path.
    ///
    /// # Panics
    /// If the answer is no text exposition.
    pub fn samples(&self, path: &str) -> Samples {
        Samples::parse(self.get(path).ok().text())
    }

    /// The targets that a query selects, as JSON.
    ///
    /// # Panics
    /// If the answer is not what the API promises.
    pub fn targets(&self, query: &str) -> Vec<serde_json::Value> {
        let answer = self
            .get(&format!("/api/v1/targets?limit=10000&{query}"))
            .ok()
            .json();
        answer["data"]["targets"]
            .as_array()
            .expect("a list of targets")
            .clone()
    }

    /// The events, the latest first.
    ///
    /// # Panics
    /// If the answer is not what the API promises.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let answer = self.get("/api/v1/events?limit=10000").ok().json();
        answer["data"]["events"]
            .as_array()
            .expect("a list of events")
            .clone()
    }

    /// Asks for a reload.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn reload(&self) -> Answer {
        self.request("POST", "/-/reload", &[])
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a signal");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// Open file descriptors.
    ///
    /// # Panics
    /// If the process is gone.
    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.0.id());
        std::fs::read_dir(path).expect("a process").count()
    }

    /// Tells it to end and waits until it has. All of its log must be clean.
    ///
    /// # Panics
    /// If it does not end, not well, or has panicked before.
    pub fn stop(mut self) -> Duration {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{:?}", self.log);
        assert_eq!(self.log.lines(&["panicked"]), Vec::<String>::new());
        assert!(begun.elapsed() < LIMIT);
        begun.elapsed()
    }
}
