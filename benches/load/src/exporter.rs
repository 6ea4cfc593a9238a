//! Exporters, as processes of their own on the core of what is measured:
//! probity's program and blackbox_exporter.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::client;
use crate::cpu::{self, Spent};

/// Longest time that one may take to begin.
const PATIENCE: Duration = Duration::from_secs(60);

/// Debian builds blackbox_exporter without its `go.mod`, and so with what Go 1.20
/// did by default: this is what upstream's own releases do, as in `tests/interop`.
const AS_RELEASED: &str = "rsa1024min=1,tlssha1=0,netdns=go";

/// A program that there is.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// What its figures are called.
    pub(crate) name: &'static str,
    path: PathBuf,
}

impl Program {
    /// The one that was built beside this one, or a sentence that says how it is.
    pub(crate) fn probity() -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
        let path = this.with_file_name("probity");
        if path.is_file() {
            return Ok(Self {
                name: "probity",
                path,
            });
        }
        let release = if cfg!(debug_assertions) {
            ""
        } else {
            " --release"
        };
        Err(format!(
            "there is no {}: `cargo build{release} -p probity` builds it; what needs it was left out",
            path.display()
        ))
    }

    /// The release that `.ci/sid` has unpacked, else one that is installed.
    pub(crate) fn blackbox_exporter() -> Result<Self, String> {
        const FILE: &str = "prometheus-blackbox-exporter";
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let unpacked = root.join(format!("target/peers/{FILE}/usr/bin/{FILE}"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let installed = std::env::split_paths(&path)
            .flat_map(|folder| [folder.join(FILE), folder.join("blackbox_exporter")]);
        let mut places = std::iter::once(unpacked).chain(installed);
        match places.find(|path| path.is_file()) {
            Some(path) => Ok(Self {
                name: "blackbox_exporter",
                path,
            }),
            None => Err(format!(
                "blackbox_exporter is not installed (`.ci/sid target/peers {FILE}` unpacks it): \
                 nothing was measured beside it"
            )),
        }
    }

    /// What it says of itself, in a line.
    pub(crate) fn version(&self) -> String {
        let said = Command::new(&self.path).arg("--version").output();
        let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
        let said = said.unwrap_or_default();
        said.lines()
            .next()
            .unwrap_or("of no known version")
            .to_owned()
    }

    /// Starts it with a configuration; it is ready when this returns.
    pub(crate) fn start(&self, config: &str, flags: &[&str]) -> Result<Exporter, String> {
        let why = |error: std::io::Error| format!("{}: {error}", self.path.display());
        let folder = tempfile::tempdir().map_err(why)?;
        let file = folder.path().join("config.yml");
        fs::write(&file, config).map_err(why)?;
        let log = folder.path().join("log");
        let output = File::create(&log).map_err(why)?;
        let mut command = Command::new(&self.path);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .args(flags)
            .env("GODEBUG", AS_RELEASED)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(why)?)
            .stderr(output);
        for variable in ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"] {
            command.env_remove(variable);
            command.env_remove(variable.to_ascii_lowercase());
        }
        let mut exporter = Exporter {
            name: self.name,
            address: (Ipv4Addr::UNSPECIFIED, 0).into(),
            child: command.spawn().map_err(why)?,
            _folder: folder,
        };
        exporter.wait(&log)?;
        Ok(exporter)
    }
}

/// One that runs. It ends with this value.
#[derive(Debug)]
pub(crate) struct Exporter {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Exporter {
    /// Waits until it says where it listens, and until it is ready.
    fn wait(&mut self, log: &Path) -> Result<(), String> {
        let latest = Instant::now() + PATIENCE;
        let mut buffer = Vec::new();
        loop {
            let said = fs::read_to_string(log).unwrap_or_default();
            if let Some(address) = listens_on(&said) {
                self.address = address;
                // blackbox_exporter has no /-/ready.
                if client::get(address, "/-/healthy", "", &mut buffer).is_ok() {
                    return Ok(());
                }
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > latest {
                let name = self.name;
                return Err(format!("{name} does not serve, but says: {}", said.trim()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent::of(self.id())
    }

    /// Bytes.
    pub(crate) fn resident(&self) -> u64 {
        cpu::resident_of(&self.id().to_string())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Both fail only if it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job of HTTP targets in a file, for probity. They live where the servers of
/// `places` do, and each has a path of its own.
#[derive(Debug)]
pub(crate) struct Fleet {
    folder: TempDir,
}

impl Fleet {
    pub(crate) fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        Ok(Self { folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("targets.json")
    }

    /// Targets of these numbers, in place of those before.
    pub(crate) fn list(
        &self,
        places: &[SocketAddrV4],
        numbers: impl Iterator<Item = usize>,
    ) -> Result<(), String> {
        let one = |id| format!("\"http://{}/{id}\"", places[id % places.len()]);
        let all: Vec<String> = numbers.map(one).collect();
        let text = format!("[{{\"targets\": [{}]}}]", all.join(",\n"));
        let file = self.file();
        fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// What probes them.
    pub(crate) fn config(&self, interval: Duration, timeout: Duration) -> String {
        format!(
            "\
modules: {{http: {{prober: http}}}}
jobs:
  - job_name: fleet
    module: http
    interval: {}s
    timeout: {}s
    file_sd_configs: [{{files: ['{}']}}]
",
            interval.as_secs(),
            timeout.as_secs(),
            self.file().display()
        )
    }
}

/// The address in the line that says it, in the log of either.
fn listens_on(log: &str) -> Option<SocketAddr> {
    let mut lines = log.lines().filter(|line| line.contains("Listening on"));
    let (_, port) = lines.find_map(|line| line.split_once("127.0.0.1:"))?;
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    Some((Ipv4Addr::LOCALHOST, port.parse().ok()?).into())
}

#[cfg(test)]
mod tests {
    use super::listens_on;

    #[test]
    fn addresses_are_found_in_either_log() {
        for line in [
            r#"time=2026-11-22T15:24:03Z level=INFO source=tls_config.go:354 msg="Listening on" address=127.0.0.1:40123"#,
            r#"ts=2026-11-22T15:24:03Z caller=tls_config.go:232 level=info msg="Listening on" address=127.0.0.1:40123"#,
        ] {
            let log = format!("level=INFO msg=Starting\n{line}\n");
            assert_eq!(listens_on(&log), "127.0.0.1:40123".parse().ok());
        }
        assert_eq!(listens_on("level=INFO msg=\"Listening on\"\n"), None);
    }
}
