//! What can be typed. Flags that blackbox_exporter has are called as there.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{Parser, Subcommand, ValueEnum};
use probity_driver::{NameFiles, Names};
use probity_spec::words;

use crate::http::base::{self, Base, External};

/// The release of blackbox_exporter whose series, flags and pages these are.
pub const COMPATIBLE: &str = "0.28.0";

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (a drop-in for blackbox_exporter 0.28.0)"
);

/// Probes fleets: HTTP, TCP and TLS checks by the ten thousand, with the
/// kubelet's thresholds, for Prometheus.
#[derive(Debug, Parser)]
#[command(version = VERSION, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// Without a command: serve.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Flags of `serve`.
    #[command(flatten)]
    pub serve: Serve,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Probe the fleet of a configuration file and serve the results (the
    /// default).
    Serve(Serve),
    /// Run one check of each target now and say what happened.
    ///
    /// Exit status: 0 if all succeeded, 1 if any failed, 2 for a mistake on
    /// the command line or in the file, 3 if any could not be looked at.
    Check(Check),
    /// Probe a fleet of local targets, started by this process, and print a
    /// line a second.
    Demo(Demo),
    /// For authors of checks in Wasm.
    #[command(subcommand)]
    Wasm(super::wasm::Command),
}

/// Flags of `probity serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Configuration file: blackbox.yml, with jobs. Without it: blackbox.yml in
    /// the working directory, or else the usual modules and no jobs.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Check the configuration file and the discovery files that it names, and
    /// exit: with 1 after a mistake in any of them.
    #[arg(long = "config.check", overrides_with = "no_config_check")]
    pub config_check: bool,
    #[arg(long = "no-config.check", hide = true)]
    no_config_check: bool,
    /// Look at the configuration file again and again, and reload it when it
    /// has changed.
    #[arg(
        long = "config.enable-auto-reload",
        overrides_with = "no_enable_auto_reload"
    )]
    enable_auto_reload: bool,
    #[arg(long = "no-config.enable-auto-reload", hide = true)]
    no_enable_auto_reload: bool,
    /// How often to look at it; 0 is never.
    #[arg(
        long = "config.auto-reload-interval",
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = whole
    )]
    auto_reload_interval: u32,
    /// Seconds taken off the scrape timeout that Prometheus announces to /probe.
    #[arg(
        long = "timeout-offset",
        value_name = "SECONDS",
        default_value_t = 0.5,
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    pub timeout_offset: f64,
    /// Where to serve; may be repeated. An address without a host (:9115) is
    /// every address of the machine.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = ":9115",
        value_parser = listen_address
    )]
    pub listen: Vec<SocketAddr>,
    /// Serve on the sockets that systemd passes on (`Accept=no`) instead of on
    /// addresses; needs --web.external-url.
    #[arg(
        long = "web.systemd-socket",
        overrides_with = "no_systemd_socket",
        requires = "external_url"
    )]
    pub systemd_socket: bool,
    #[arg(long = "no-web.systemd-socket", hide = true)]
    no_systemd_socket: bool,
    /// The URL under which this is reached from outside; its path becomes the
    /// route prefix.
    #[arg(
        long = "web.external-url",
        value_name = "URL",
        value_parser = External::parse
    )]
    external_url: Option<External>,
    /// What all paths begin with; without it, the path of the external URL.
    #[arg(
        long = "web.route-prefix",
        value_name = "PATH",
        value_parser = base::prefix
    )]
    route_prefix: Option<String>,
    /// File with TLS, users and headers of the pages (the web configuration
    /// file of the Prometheus exporters); an empty name is none.
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from)
    )]
    web_config_file: Option<PathBuf>,
    /// Connections that clients may have at once; without it, a quarter of the
    /// descriptors, between 64 and 8192. Each probe that somebody waits for takes one.
    /// Further probes are answered with 503.
    #[arg(
        long = "web.max-connections",
        value_name = "N",
        value_parser = within::<1, { u32::MAX }>
    )]
    pub max_connections: Option<u32>,
    /// Results of /probe that are kept for its page and /logs; as many failed
    /// ones are kept on when they fall out. No more than 64 MiB together.
    #[arg(
        long = "history.limit",
        value_name = "N",
        default_value_t = 100,
        value_parser = whole
    )]
    pub history_limit: u32,
    /// Instances of checks in Wasm at once, all together; fewer where a process may
    /// not have two memory mappings for each (vm.max_map_count). A run for which there
    /// is none waits.
    #[arg(
        long = "wasm.instances",
        value_name = "N",
        default_value_t = 10_000,
        value_parser = within::<1, 100_000>
    )]
    pub wasm_instances: u32,
    /// Where compiled checks are kept: a directory that is the user's alone. Without
    /// it, wasm in $CACHE_DIRECTORY (of a systemd service), or else probity/wasm in
    /// the user's cache.
    #[arg(long = "wasm.cache", value_name = "DIRECTORY")]
    pub wasm_cache: Option<PathBuf>,
    /// How the process runs.
    #[command(flatten)]
    pub engine: Engine,
    /// How it logs.
    #[command(flatten)]
    pub log: Log,
}

impl Serve {
    /// How often to look whether the configuration file has changed; `None`
    /// is never.
    pub fn auto_reload(&self) -> Option<Duration> {
        let interval = Duration::from_secs(self.auto_reload_interval.into());
        (self.enable_auto_reload && !interval.is_zero()).then_some(interval)
    }

    /// The web configuration file, if there is one.
    pub fn web_config(&self) -> Option<&Path> {
        let file = self.web_config_file.as_deref();
        file.filter(|file| !file.as_os_str().is_empty())
    }

    /// Where the pages are.
    pub fn base(&self) -> Base {
        let external = self.external_url.clone().unwrap_or_default();
        Base::new(external, self.route_prefix.as_deref())
    }
}

/// Flags about the engine, shared by all commands that run it for long.
#[derive(Clone, Debug, clap::Args)]
pub struct Engine {
    /// Threads that probe, at most 1024; 0 is one for each core.
    #[arg(
        long = "engine.workers",
        value_name = "N",
        default_value_t = 0,
        value_parser = size::<0, 1_024>
    )]
    pub workers: usize,
    /// Scheduled runs in flight at once; 0 is what the descriptor limit allows.
    /// Those that /probe is asked for are not among them: of these as many may
    /// be in flight as a 32nd of the descriptors that are left for probes (at least 16,
    /// at most 1024), and on top what the targets of jobs cannot use. /probe answers further ones with 503.
    #[arg(
        long = "engine.in-flight",
        value_name = "N",
        default_value_t = 0,
        value_parser = size::<0, { u32::MAX }>
    )]
    pub in_flight: usize,
    /// Connections per second towards one address; 0 is no limit. Each worker
    /// has an equal share, rounded up: all together at least one a second each,
    /// and one target alone no more than a share.
    #[arg(
        long = "engine.destination-rate",
        value_name = "N",
        default_value_t = 0,
        value_parser = whole
    )]
    pub destination_rate: u32,
    /// Connections that may go out to one address at once before the rate
    /// applies; at least 1. Shared like the rate.
    #[arg(
        long = "engine.destination-burst",
        value_name = "N",
        default_value_t = 100,
        value_parser = within::<1, { u32::MAX }>
    )]
    pub destination_burst: u32,
    /// How long runs in flight may take to finish when the process is told to
    /// end. It has ended at most two seconds later; told again, at once.
    #[arg(long = "engine.shutdown-grace", value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub grace: Duration,
    /// How it finds addresses.
    #[command(flatten)]
    pub dns: Dns,
}

/// Flags about names.
#[derive(Clone, Debug, clap::Args)]
pub struct Dns {
    /// DNS servers and search domains, as in resolv.conf(5); looked at again every
    /// five seconds.
    #[arg(
        long = "dns.resolv-conf",
        value_name = "FILE",
        default_value = Dns::RESOLV_CONF
    )]
    pub resolv_conf: PathBuf,
    /// Names that are not looked up, as in hosts(5); looked at again likewise.
    #[arg(long = "dns.hosts", value_name = "FILE", default_value = Dns::HOSTS)]
    pub hosts: PathBuf,
}

impl Dns {
    const RESOLV_CONF: &str = "/etc/resolv.conf";
    const HOSTS: &str = "/etc/hosts";

    /// Both files. A machine may lack the usual ones; one that was asked for must be
    /// there.
    ///
    /// # Errors
    /// Which file cannot be read, and why.
    pub fn names(&self) -> Result<Names, String> {
        for (path, usual) in [
            (&self.resolv_conf, Self::RESOLV_CONF),
            (&self.hosts, Self::HOSTS),
        ] {
            // A pipe is read once, and not here.
            let looked = std::fs::metadata(path).and_then(|found| match found.is_file() {
                true => std::fs::File::open(path).map(drop),
                false => Ok(()),
            });
            match looked {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound && path == Path::new(usual) => {}
                Err(error) => {
                    return Err(format!("cannot read {}: {}", path.display(), words(&error)));
                }
            }
        }
        Ok(Names::Files(NameFiles {
            resolv_conf: self.resolv_conf.clone(),
            hosts: self.hosts.clone(),
        }))
    }
}

/// Flags about logging.
#[derive(Clone, Debug, clap::Args)]
pub struct Log {
    /// Lowest level that is logged.
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        default_value = "info",
        ignore_case = true
    )]
    pub level: Level,
    /// Lowest level that is kept and logged of single probes (/probe): debug,
    /// info, warn or error.
    #[arg(long = "log.prober", value_name = "LEVEL", default_value = "info")]
    pub prober: String,
    /// Form of the lines, on standard error.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "logfmt")]
    pub format: LogFormat,
}

/// A level of severity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What should be looked at.
    Warn,
    /// What does not work.
    Error,
}

impl Level {
    /// A level by its name, however it is spelled.
    pub fn named(name: &str) -> Option<Self> {
        <Self as ValueEnum>::from_str(name, true).ok()
    }
}

/// A form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// `time=... level=INFO msg="..." key=value`
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Flags of `probity check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Check {
    /// What to check: a URL for http, host:port for tcp.
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
    /// The module to check with.
    #[arg(long, short, value_name = "NAME", default_value = "http_2xx")]
    pub module: String,
    /// Configuration file with the module; without it, blackbox.yml in the
    /// working directory, or else the usual modules.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// Longest time for one target, unless the module says less.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// Host header (http) or TLS server name (tcp), as `hostname` of /probe.
    #[arg(long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// Form of the result.
    #[arg(long, short, value_name = "FORM", default_value = "human")]
    pub output: Output,
    /// How addresses are found.
    #[command(flatten)]
    pub dns: Dns,
}

/// A form of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// The phases as a waterfall.
    Human,
    /// One JSON object a line: target, module, outcome, reason, detail, phase,
    /// duration_seconds, phases_seconds, address, facts, labels, tls.
    Json,
    /// What /probe would answer, with the label `target`.
    Prometheus,
}

/// Flags of `probity demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Demo {
    /// Number of targets.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = within::<1, 200_000>)]
    pub targets: u32,
    /// Time between two probes of one target.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub interval: Duration,
    /// Stop after this time; without it, on Ctrl-C.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Where to serve /metrics, /fleet and the rest.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9115",
        value_parser = listen_address
    )]
    pub listen: Vec<SocketAddr>,
    /// How the process runs.
    #[command(flatten)]
    pub engine: Engine,
}

fn seconds(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "expected a number of seconds".to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    let shortest = Duration::from_millis(10);
    let interval = duration(text)?;
    if interval < shortest {
        return Err(format!("expected at least {shortest:?}"));
    }
    Ok(interval)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    probity_engine::config::GoDuration::parse(text).map(|duration| duration.0)
}

/// A whole number as Go's flags have it: also `0x10`, `0o17`, `017`, `0b11` and
/// `1_000`. What is larger than there is a use for is the largest.
fn whole(text: &str) -> Result<u32, String> {
    let (radix, digits) = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &text[2..]),
        Some("0o") => (8, &text[2..]),
        Some("0b") => (2, &text[2..]),
        Some(_) if text.starts_with('0') => (8, &text[1..]),
        _ => (10, text),
    };
    // With a prefix an underscore may follow it, as in Go.
    let digits = if radix == 10 {
        digits
    } else {
        digits.strip_prefix('_').unwrap_or(digits)
    };
    let groups = || digits.split('_');
    let expected = || format!("expected a whole number from 0, found {text:?}");
    if groups().any(|group| group.is_empty() || !group.chars().all(|c| c.is_digit(radix))) {
        return Err(expected());
    }
    let number = u64::from_str_radix(&groups().collect::<String>(), radix);
    let number = number.map_err(|_| expected())?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A whole number with these bounds.
fn within<const LEAST: u32, const MOST: u32>(text: &str) -> Result<u32, String> {
    let number = whole(text)?;
    match number {
        _ if number < LEAST => Err(format!("expected at least {LEAST}, found {number}")),
        _ if number > MOST => Err(format!("expected at most {MOST}, found {number}")),
        number => Ok(number),
    }
}

/// The same, as what it counts is counted with.
fn size<const LEAST: u32, const MOST: u32>(text: &str) -> Result<usize, String> {
    within::<LEAST, MOST>(text).map(|number| number as usize)
}

/// `host:port` or `:port`. Host names are resolved when the program starts.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if text.starts_with("vsock:") {
        return Err("vsock sockets are not served: expected host:port or :port".into());
    }
    let (host, port) = text
        .rsplit_once(':')
        .ok_or_else(|| format!("expected host:port or :port, found {text:?}"))?;
    let port = port_number(port)?;
    if host.is_empty() {
        // A dual-stack socket where there is IPv6.
        let host = match std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
            Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
            Err(_) => Ipv4Addr::UNSPECIFIED.into(),
        };
        return Ok(SocketAddr::new(host, port));
    }
    std::net::ToSocketAddrs::to_socket_addrs(&format!("{host}:{port}"))
        .map_err(|error| format!("expected host:port or :port: {error}"))?
        .next()
        .ok_or_else(|| format!("{text} has no address"))
}

/// A port, or the name of one: those of the machine's services file, and what
/// Go knows without one.
fn port_number(text: &str) -> Result<u16, String> {
    if let Ok(port) = text.parse() {
        return Ok(port);
    }
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    named_port(&services, text)
        .or(match text {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        })
        .ok_or_else(|| {
            format!("expected a port from 0 to 65535 or a name in /etc/services, found {text:?}")
        })
}

/// The TCP port of this name or alias in a file as in services(5).
fn named_port(services: &str, wanted: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?;
        let port = words.next()?.strip_suffix("/tcp")?;
        let mut names = std::iter::once(name).chain(words);
        names.any(|it| it == wanted).then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn plain_flags_are_those_of_serve() {
        let args = Args::try_parse_from([
            "probity",
            "--config.file=x.yml",
            "--web.listen-address=127.0.0.1:0",
        ])
        .unwrap();
        assert!(args.command.is_none());
        assert_eq!(args.serve.config_file, Some("x.yml".into()));
        let args = Args::try_parse_from(["probity", "serve", "--config.file", "y.yml"]).unwrap();
        assert!(
            matches!(args.command, Some(Command::Serve(serve)) if serve.config_file == Some("y.yml".into()))
        );
    }

    #[test]
    fn switches_can_be_turned_off_again() {
        let serve = |line: &[&str]| {
            let line = ["probity"].iter().chain(line);
            Args::try_parse_from(line).unwrap().serve
        };
        assert_eq!(serve(&[]).auto_reload(), None);
        let on = serve(&["--config.enable-auto-reload"]);
        assert_eq!(on.auto_reload(), Some(Duration::from_secs(30)));
        let on = serve(&[
            "--no-config.enable-auto-reload",
            "--config.enable-auto-reload",
            "--config.auto-reload-interval",
            "5",
        ]);
        assert_eq!(on.auto_reload(), Some(Duration::from_secs(5)));
        let off = serve(&[
            "--config.enable-auto-reload",
            "--no-config.enable-auto-reload",
        ]);
        assert_eq!(off.auto_reload(), None);
        assert!(!serve(&["--config.check", "--no-config.check"]).config_check);
        assert!(!serve(&["--no-web.systemd-socket"]).systemd_socket);
    }

    #[test]
    fn flags_of_charts_are_taken_as_by_blackbox_exporter() {
        let serve = |line: &[&str]| {
            let line = ["probity"].iter().chain(line);
            Args::try_parse_from(line).unwrap().serve
        };
        assert_eq!(serve(&["--web.config.file="]).web_config(), None);
        let given = serve(&["--web.config.file=a"]);
        assert_eq!(given.web_config(), Some(Path::new("a")));
        let never = serve(&[
            "--config.enable-auto-reload",
            "--config.auto-reload-interval=0",
        ]);
        assert_eq!(never.auto_reload(), None);
        let many = serve(&["--history.limit=200000"]);
        assert_eq!(many.history_limit, 200_000);
        let named = serve(&["--web.listen-address=127.0.0.1:http"]);
        assert_eq!(named.listen, ["127.0.0.1:80".parse().unwrap()]);
    }

    #[test]
    fn whole_numbers_are_written_as_in_go() {
        for (text, number) in [
            ("0", 0),
            ("0x10", 16),
            ("0X1f", 31),
            ("017", 15),
            ("0o17", 15),
            ("0b11", 3),
            ("1_000", 1_000),
            ("0x_ff", 255),
            ("99999999999", u32::MAX),
        ] {
            assert_eq!(whole(text), Ok(number), "{text}");
        }
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            "0x",
            "08",
            "1__0",
            "_1",
            "1_",
            "99999999999999999999",
        ] {
            assert!(whole(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ports_have_names_and_aliases() {
        let services = "# tcp\nwww 8\nhttp-alt\t8080/tcp\twebcache  # alias\nntp 123/udp\n";
        assert_eq!(named_port(services, "http-alt"), Some(8080));
        assert_eq!(named_port(services, "webcache"), Some(8080));
        for name in ["ntp", "www", "alias", "#", ""] {
            assert_eq!(named_port(services, name), None, "{name}");
        }
    }

    #[test]
    fn only_the_usual_files_of_names_may_be_missing() {
        let dns = |flags: &[&str]| {
            let line = ["probity"].iter().chain(flags);
            Args::try_parse_from(line).unwrap().serve.engine.dns
        };
        assert!(dns(&[]).names().is_ok());
        for flag in ["--dns.hosts", "--dns.resolv-conf"] {
            let path = "/etc/probity-nosuch/file";
            let error = dns(&[flag, path]).names().unwrap_err();
            assert!(
                error.starts_with(&format!("cannot read {path}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn usage_mistakes_are_refused() {
        for line in [
            &["probity", "--nonsense"][..],
            &["probity", "--web.listen-address=nowhere"],
            &["probity", "--log.level=loud"],
            &["probity", "--timeout-offset=NaN"],
            &["probity", "--web.listen-address=vsock://:9115"],
            &["probity", "--web.external-url='http://a'"],
            &["probity", "--web.systemd-socket"],
            &["probity", "--config.auto-reload-interval=1s"],
            &["probity", "--web.listen-address=9115"],
            &["probity", "--web.listen-address=127.0.0.1:nonsense"],
            &["probity", "--config.check=true"],
            &["probity", "--engine.destination-burst=0"],
            &["probity", "check"],
            &["probity", "demo", "--interval=often"],
            &["probity", "demo", "--interval=0s"],
        ] {
            assert!(Args::try_parse_from(line).is_err(), "{line:?}");
        }
    }
}
