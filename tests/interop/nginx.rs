//! nginx at many loopback addresses: a fleet that is really there, goes away
//! as a whole, and comes back.
//!
//! Every target has an address of its own in 127.0.0.0/8, and nginx listens on
//! each by a `listen` line: a wildcard would need one line only, but would
//! listen on the machine's other addresses too. A line costs a descriptor, so
//! 10,000 of them fit where 20,000 are allowed.
//!
//! `PROBITY_SCALE=full` is the size that the project promises: 10,000 targets
//! every 5 s for a minute.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use probity_tests::support::probity::Guard;
use probity_tests::support::{LIMIT, Probity, until, until_within};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;

use crate::neighbours;

pub(crate) fn trials() -> Vec<Trial> {
    vec![neighbours::trial(
        "nginx::nginx_fleet_goes_and_comes_back",
        "nginx",
        fleet,
    )]
}

/// Failures in a row that take a target down.
const THRESHOLD: u64 = 3;

/// How large the fleet is and how long it is watched.
struct Scale {
    targets: u32,
    interval: Duration,
    watch: Duration,
}

impl Scale {
    fn chosen() -> Self {
        match std::env::var("PROBITY_SCALE").as_deref() {
            Ok("full") => Self {
                targets: 10_000,
                interval: Duration::from_secs(5),
                watch: Duration::from_secs(60),
            },
            _ => Self {
                targets: 400,
                interval: Duration::from_secs(1),
                watch: Duration::from_secs(10),
            },
        }
    }

    fn address(number: u32) -> Ipv4Addr {
        Ipv4Addr::new(127, 101, (number / 250) as u8, (number % 250) as u8 + 1)
    }

    fn places(&self, port: u16) -> impl Iterator<Item = SocketAddrV4> {
        (0..self.targets).map(move |number| SocketAddrV4::new(Self::address(number), port))
    }
}

/// An nginx in a folder of its own.
struct Nginx<'a> {
    program: &'a Path,
    folder: PathBuf,
    first: SocketAddrV4,
    running: Option<Guard>,
}

impl<'a> Nginx<'a> {
    /// Starts it at a port that is free at all addresses.
    fn start(program: &'a Path, folder: &Path, scale: &Scale) -> (Self, u16) {
        // Outside of the ports that connections are given, so that none of
        // those is in the way when nginx comes back.
        let port = (20_000..30_000)
            .step_by(7)
            .map(|port| port + std::process::id() as u16 % 7)
            .find(|port| {
                scale
                    .places(*port)
                    .all(|place| TcpListener::bind(place).is_ok())
            })
            .expect("a free port");
        let listen: String = scale
            .places(port)
            .map(|place| format!("    listen {place};\n"))
            .collect();
        let mut temporary = String::new();
        for name in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            temporary.push_str(&format!(
                "  {name}_temp_path {};\n",
                folder.join(name).display()
            ));
        }
        // One process, so that ending it ends all of it.
        let text = format!(
            "\
daemon off;
master_process off;
pid {pid};
error_log stderr error;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
{temporary}  server {{
{listen}    location / {{ return 200 \"ok\\n\"; }}
  }}
}}
",
            pid = folder.join("nginx.pid").display(),
            connections = scale.targets + 4_096,
        );
        fs::write(folder.join("nginx.conf"), text).expect("a file");
        let mut nginx = Self {
            program,
            folder: folder.to_owned(),
            first: SocketAddrV4::new(Scale::address(0), port),
            running: None,
        };
        nginx.resume();
        (nginx, port)
    }

    fn resume(&mut self) {
        let log = fs::File::create(self.folder.join("stderr")).expect("a file");
        let child = Command::new(self.program)
            .arg("-p")
            .arg(&self.folder)
            .arg("-c")
            .arg(self.folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut child = Guard(child.expect("nginx starts"));
        until("nginx listens", || {
            let ended = child.0.try_wait().expect("a child");
            let said = || fs::read_to_string(self.folder.join("stderr"));
            assert!(ended.is_none(), "nginx ended: {:?}", said());
            std::net::TcpStream::connect(self.first).ok()
        });
        self.running = Some(child);
    }

    fn stop(&mut self) {
        self.running = None;
    }
}

/// Raises the soft limit on descriptors, which nginx inherits, to the hard one.
fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("a limit below the hard one");
    limit.maximum.unwrap_or(u64::MAX)
}

/// Lines of the summary.
struct Table(Vec<(&'static str, String)>);

impl Table {
    fn row(&mut self, what: &'static str, value: impl Into<String>) {
        self.0.push((what, value.into()));
    }

    fn print(&self) {
        for (what, value) in &self.0 {
            println!("{what:<46} {value:>12}");
        }
    }
}

fn fleet(program: &Path) {
    let scale = Scale::chosen();
    let descriptors = raise_limit();
    let needed = u64::from(scale.targets) + 4_200;
    assert!(
        descriptors >= needed,
        "the fleet needs {needed} descriptors, {descriptors} are allowed"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let (mut nginx, port) = Nginx::start(program, folder.path(), &scale);
    let server = Probity::serve(&configure(folder.path(), &scale, port));
    let patience = LIMIT + 10 * scale.interval;
    let all = scale.targets as usize;
    let state = |health: &str| {
        let answer = server
            .get(&format!("/api/v1/targets?limit=0&health={health}"))
            .ok()
            .json();
        answer["data"]["total"]
            .as_u64()
            .map_or(0, |total| total as usize)
    };
    let becomes = |health: &str| {
        let begun = Instant::now();
        until_within(patience, &format!("all are {health}"), || {
            (state(health) == all).then_some(())
        });
        format!("{:.1} s", begun.elapsed().as_secs_f64())
    };

    let mut table = Table(Vec::new());
    table.row("targets, each at an address of its own", all.to_string());
    table.row("interval", format!("{:?}", scale.interval));
    table.row("all up after", becomes("up"));
    watch(&server, &scale, &mut table);
    nginx.stop();
    table.row("nginx stops: all down after", becomes("down"));
    went_down_by_the_threshold(&server, all);
    nginx.resume();
    table.row("nginx is back: all up after", becomes("up"));
    let metrics = server.samples("/metrics");
    let unknown = metrics.sum("probity_unknown_total", &[]);
    table.row("runs that could not be made", unknown.to_string());
    table.print();
    assert_eq!(unknown, 0.0);
    server.stop();
}

fn configure(folder: &Path, scale: &Scale, port: u16) -> PathBuf {
    let millis = scale.interval.as_millis();
    let targets: String = scale
        .places(port)
        .map(|place| format!("          - http://{place}/\n"))
        .collect();
    let text = format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: nginx
    module: web
    interval: {millis}ms
    timeout: {millis}ms
    failure_threshold: {THRESHOLD}
    static_configs:
      - targets:
{targets}"
    );
    let path = folder.join("probity.yml");
    fs::write(&path, text).expect("a file");
    path
}

/// Unix seconds of the end of its last run.
fn finished(target: &Value) -> f64 {
    target["last"]["finished"].as_f64().expect("a number")
}

fn number(target: &Value, result: &str) -> u64 {
    target["results"][result].as_u64().expect("a number")
}

/// Every target runs on schedule and none is unknown for as long as the scale
/// says.
fn watch(server: &Probity, scale: &Scale, table: &mut Table) {
    let sight = || {
        let begun = Instant::now();
        let mut targets = server.targets("");
        targets.sort_by_key(|target| target["id"].as_str().map(str::to_owned));
        (begun, targets, Instant::now())
    };
    let (before_from, before, before_to) = sight();
    std::thread::sleep(scale.watch);
    let (after_from, after, after_to) = sight();
    assert_eq!(
        (before.len(), after.len()),
        (scale.targets as usize, scale.targets as usize)
    );
    let periods = |time: Duration| time.as_secs_f64() / scale.interval.as_secs_f64();
    // A run may end on this or on that side of each look.
    let least = (periods(after_from - before_to).floor() as u64).saturating_sub(1);
    let most = periods(after_to - before_from).ceil() as u64 + 1;
    let mut counts = Vec::new();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before["id"], after["id"]);
        let made = number(after, "success") - number(before, "success");
        assert!(
            (least..=most).contains(&made),
            "{made} runs, expected {least} to {most}: {after}"
        );
        assert_eq!(
            (number(after, "failure"), number(after, "unknown")),
            (0, 0),
            "{after}"
        );
        // One that was left out would make two periods of one run.
        let spent = finished(after) - finished(before);
        let due = (spent / scale.interval.as_secs_f64()).round() as u64;
        assert_eq!(made, due, "a run was left out in {spent} s: {after}");
        counts.push(made);
    }
    let runs: u64 = counts.iter().sum();
    let (fewest, most) = (counts.iter().min(), counts.iter().max());
    let (fewest, most) = fewest.zip(most).expect("targets");
    let metrics = server.samples("/metrics");
    assert_eq!(metrics.value("probity_targets_overdue", &[]), Some(0.0));
    assert_eq!(
        metrics.sum("probity_runs_total", &[("outcome", "unknown")]),
        0.0
    );
    table.row("watched for", format!("{:?}", scale.watch));
    table.row(
        "runs a target, fewest to most",
        format!("{fewest} to {most}"),
    );
    table.row(
        "runs a second",
        format!(
            "{:.0}",
            runs as f64 / (after_from - before_from).as_secs_f64()
        ),
    );
    let lag = |bound: &str| metrics.sum("probity_start_lag_seconds_bucket", &[("le", bound)]);
    let (in_time, started) = (lag("0.0078125"), lag("+Inf"));
    table.row(
        "started within 8 ms of being due",
        format!("{:.3} %", 100.0 * in_time / started),
    );
    let busy = metrics.sum("probity_loop_busy_ratio", &[]);
    table.row("busy, of one core", format!("{:.1} %", 100.0 * busy));
}

/// Each target went down once, by as many failures as the threshold says: so
/// the log tells, which unlike the list of events has room for all of them.
fn went_down_by_the_threshold(server: &Probity, all: usize) {
    for target in server.targets("") {
        assert!(number(&target, "failure") >= THRESHOLD, "{target}");
        assert_eq!(number(&target, "unknown"), 0, "{target}");
    }
    let results = format!(" results={THRESHOLD} ");
    until("the log tells of every target", || {
        let down = server.log().lines(&["Target changed", "state=down"]);
        let wrong = down.iter().find(|line| !line.contains(&results));
        assert_eq!(wrong, None);
        (down.len() == all).then_some(())
    });
}
