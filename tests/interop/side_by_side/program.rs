//! The two programs: how each is started, told to check a file, and found.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use probity_tests::support::probity::{Guard, Log, command};
use probity_tests::support::until;

use super::names::Files;

/// One of the two.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// The real blackbox_exporter.
    Upstream(PathBuf),
    /// This project's.
    Ours,
}

/// Debian builds upstream's program without its `go.mod`, and so with what Go
/// 1.20 did by default. Upstream's own releases are built as `go 1.25` says, which
/// refuses RSA below 1024 bits, and signatures with SHA-1 in TLS 1.2. And those have
/// no other resolver than Go's.
const AS_RELEASED: &str = "rsa1024min=1,tlssha1=0,netdns=go";

/// What a command that ends by itself has said.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// Both outputs.
    pub(crate) said: String,
}

/// A process that serves.
pub(crate) struct Process {
    /// Where.
    pub(crate) address: SocketAddr,
    /// It ends with this value.
    _child: Guard,
}

impl Program {
    pub(crate) fn command(&self, args: &[String]) -> Command {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = match self {
            Self::Ours => command(&args),
            Self::Upstream(path) => {
                let mut command = Command::new(path);
                command.args(&args).stdin(Stdio::null());
                command.env("GODEBUG", AS_RELEASED);
                command
            }
        };
        for variable in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
            command.env_remove(variable);
            command.env_remove(variable.to_ascii_lowercase());
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[String]) -> Ended {
        let mut child = Guard(
            self.command(args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts"),
        );
        let mut stderr = child.0.stderr.take().expect("a pipe");
        let mut stdout = child.0.stdout.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text)
        });
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("text");
        let status = child.wait();
        said.push_str(&reader.join().expect("a reader").expect("text"));
        Ended {
            code: status.code(),
            said,
        }
    }

    /// Starts a server at a port of the kernel's choice.
    ///
    /// # Errors
    /// What it said before it ended.
    pub(crate) fn serve(&self, args: &[String]) -> Result<Process, String> {
        self.serve_in(args, &[], None)
    }

    /// The same, with these variables in its environment and these files in `/etc`.
    ///
    /// # Errors
    /// What it said before it ended.
    pub(crate) fn serve_in(
        &self,
        args: &[String],
        variables: &[(&str, String)],
        files: Option<&Files>,
    ) -> Result<Process, String> {
        let mut args = args.to_vec();
        args.push("--web.listen-address=127.0.0.1:0".to_owned());
        let mut command = self.command(&args);
        if let Some(files) = files {
            command = files.around(&command);
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = Guard(child.expect("the program starts"));
        let log = Log::default();
        log.follow(child.0.stdout.take().expect("a pipe"));
        log.follow(child.0.stderr.take().expect("a pipe"));
        let address = until("the program listens", || {
            if let Some(address) = listens_on(&log) {
                return Some(Ok(address));
            }
            child.0.try_wait().expect("a child").map(|_| {
                // Its last words may still be on their way.
                std::thread::sleep(std::time::Duration::from_millis(200));
                Err(log.lines(&[]).join("\n"))
            })
        });
        Ok(Process {
            address: address?,
            _child: child,
        })
    }
}

/// The address in the line that says it, in either format of the log.
fn listens_on(log: &Log) -> Option<SocketAddr> {
    let said = log.lines(&["Listening on", "127.0.0.1:"]);
    let (_, port) = said.first()?.split_once("127.0.0.1:")?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into())
}
