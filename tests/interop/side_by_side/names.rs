//! Names: DNS servers that follow a script and remember what they were asked, and
//! a `/etc/resolv.conf` and `/etc/hosts` that a program has to itself.
//!
//! A program can only be told of its servers by those files. So it runs in a mount
//! namespace of its own, which `unshare` makes; that, and port 53, takes root.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::dns::{Asked, Dns, Say};
use super::server::{Places, fill};

/// The program that makes namespaces.
pub(crate) const UNSHARE: &str = "unshare";

/// How many DNS servers there are: `@dns@`, `@dns2@`.
const SERVERS: [&str; 2] = ["dns", "dns2"];

/// What those programs read that are given nothing else. The second server is not
/// asked by them.
const COMMON: &str =
    "nameserver @dns@\nsearch one.search.test two.search.test\noptions timeout:1\n";

/// Names that need no server. Each has the label of its case.
const HOSTS: &str = "\
127.0.0.1 localhost
::1 localhost ip6-localhost
127.0.0.1 hosts-v4.test
::1 hosts-v6.test
127.0.0.1 hosts-both.test # and so on
::1 hosts-both.test
127.0.0.2 hosts-several.test
127.0.0.1 hosts-several.test
127.0.0.1 a.test Hosts-Capitals.Test hosts-alias
127.0.0.1 hosts-before-dns.test
127.0.0.1 hosts-without-family.test
127.0.0.1 hosts-with-dot.test
";

/// What a case says of names: `@zone@` is a domain of its own, `@label@` its name.
#[derive(Default)]
pub(crate) struct Names {
    /// The `resolv.conf`, if it is not the one that most cases share.
    pub(crate) resolv_conf: Option<&'static str>,
    /// Of each server.
    pub(crate) zones: [Vec<(&'static str, Say)>; SERVERS.len()],
}

/// The label of a case: what all its names have.
fn label(case: &str) -> String {
    let (_, name) = case.split_once("::").unwrap_or(("", case));
    name.replace('_', "-")
}

/// The servers, and the files of the programs that share theirs.
pub(crate) struct Surroundings {
    servers: Vec<Dns>,
    nobody: Ipv4Addr,
    shared: Files,
}

/// The files that a program finds in `/etc`.
#[derive(Clone)]
pub(crate) struct Files {
    resolv_conf: PathBuf,
    hosts: PathBuf,
}

/// Says why a program cannot have its own files, if it cannot.
pub(crate) fn missing() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    WHY.get_or_init(|| {
        let at = address(SERVERS.len() + 1);
        if let Err(error) = UdpSocket::bind((at, 53)).and(TcpListener::bind((at, 53))) {
            return Some(format!("a DNS server cannot listen at {at}:53: {error}"));
        }
        let etc = ["/etc/resolv.conf", "/etc/hosts"].map(PathBuf::from);
        let [resolv_conf, hosts] = etc;
        let files = Files { resolv_conf, hosts };
        let mut command = files.around(&Command::new("true"));
        let output = command.stdin(Stdio::null()).output();
        match output {
            Err(error) => Some(format!("{UNSHARE} cannot be run: {error}")),
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(format!(
                "{UNSHARE} cannot give a program its own /etc/resolv.conf: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            )),
        }
    })
    .as_deref()
}

/// A loopback address that is nobody else's: another for each process.
fn address(number: usize) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 53 + number as u8, high, low)
}

impl Files {
    fn write(folder: &Path, name: &str, resolv_conf: &str) -> Self {
        let at = |kind: &str| folder.join(format!("{name}.{kind}"));
        let files = Self {
            resolv_conf: at("resolv.conf"),
            hosts: at("hosts"),
        };
        fs::write(&files.resolv_conf, resolv_conf).expect("a file");
        fs::write(&files.hosts, HOSTS).expect("a file");
        files
    }

    /// The same command, which finds these files.
    pub(crate) fn around(&self, inner: &Command) -> Command {
        let script = "mount --bind \"$1\" /etc/resolv.conf && \
                      mount --bind \"$2\" /etc/hosts && shift 2 && exec \"$@\"";
        let mut command = Command::new(UNSHARE);
        command
            .args(["--mount", "--", "sh", "-c", script, "sh"])
            .args([&self.resolv_conf, &self.hosts])
            .arg(inner.get_program())
            .args(inner.get_args())
            .stdin(Stdio::null());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }
}

impl Surroundings {
    /// Starts the servers.
    pub(crate) fn start(folder: &Path) -> Self {
        // Two suites of one process have servers at once.
        static STARTED: std::sync::Mutex<usize> = std::sync::Mutex::new(0);
        let mut started = STARTED.lock().expect("no server failed to start");
        let addresses: Vec<Ipv4Addr> = (0..=SERVERS.len())
            .map(|number| address(*started + number))
            .collect();
        *started += addresses.len();
        let (nobody, addresses) = addresses.split_last().expect("a list");
        let servers: Vec<Dns> = addresses
            .iter()
            .map(|address| Dns::start(SocketAddr::from((*address, 53))))
            .collect();
        let mut surroundings = Self {
            servers,
            nobody: *nobody,
            shared: Files {
                resolv_conf: PathBuf::new(),
                hosts: PathBuf::new(),
            },
        };
        surroundings.shared = Files::write(folder, "shared", &surroundings.filled(COMMON));
        surroundings
    }

    fn filled(&self, text: &str) -> String {
        let mut places: Places = (SERVERS.iter().zip(&self.servers))
            .map(|(name, server)| ((*name).to_owned(), server.address.ip().to_string()))
            .collect();
        places.insert("nobody".to_owned(), self.nobody.to_string());
        fill(text, &places)
    }

    /// Has the servers know the names of a case.
    pub(crate) fn know(&self, case: &str, names: &Names, places: &mut Places) {
        let label = label(case);
        places.insert("zone".to_owned(), format!("{label}.test"));
        places.insert("label".to_owned(), label.clone());
        for (server, zone) in self.servers.iter().zip(&names.zones) {
            let fill = |text: &str| fill(text, places).to_ascii_lowercase();
            let zone = zone
                .iter()
                .map(|(name, say)| (fill(name), say.filled(&fill)));
            server.know(&label, zone.collect());
        }
    }

    /// The files that both programs share.
    pub(crate) const fn shared(&self) -> &Files {
        &self.shared
    }

    /// Those of a case: the same, or some of its own.
    pub(crate) fn files(&self, folder: &Path, case: &str, names: &Names) -> Files {
        match names.resolv_conf {
            None => self.shared.clone(),
            Some(text) => Files::write(folder, &label(case), &self.filled(text)),
        }
    }

    /// What the servers were asked on behalf of a case since the last time.
    pub(crate) fn asked(&self, case: &str) -> impl Iterator<Item = (&'static str, Asked)> {
        let label = label(case);
        let servers = SERVERS.iter().zip(&self.servers);
        servers.flat_map(move |(name, server)| {
            let asked = server.asked(&label).into_iter();
            asked.map(move |asked| (*name, asked))
        })
    }
}
