//! Results of true runs for tests, without sockets: a real engine in a world
//! that follows a script.

use std::sync::Arc;
use std::time::Duration;

use probity_driver::{OwnedReport, Row};
use probity_engine::check::TargetParams;
use probity_engine::config::Files;
use probity_engine::fact::{Metric, MetricKind};
use probity_engine::guest::{
    Action, Context, Description, Event as Told, Fault, Plugin, Refusal, Session, Sink, Source,
    Verdict,
};
use probity_engine::threshold::{self, Kind};
use probity_engine::tls::{ChainInfo, TlsInfo};
use probity_engine::{
    Closed, Config, Engine, GroupId, Input, Instant, Output, RunId, Schedule, Spec, TargetId,
};
use probity_spec::File;

use crate::history::Probed;

const MODULES: &str = "
modules:
  http: {prober: http}
  tcp: {prober: tcp}
  tls: {prober: tcp, tcp: {tls: true}}
  ssh: {prober: tcp, tcp: {query_response: [{expect: '^SSH-([^-]+)-([^ ]*)', labels: [{name: software, value: '$2'}, {name: job, value: 'v$1'}]}]}}
  my-toy: {prober: wasm, wasm: {path: toy.wasm}}
  careless: {prober: tcp, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}
";

/// What the world does, after as many microseconds.
pub(crate) type Script<'a> = &'a [(u64, Event<'a>)];

/// Something that happens to the connection of the run.
#[derive(Clone, Debug)]
pub(crate) enum Event<'a> {
    Opened,
    Secured(Arc<TlsInfo>),
    Data(&'a [u8]),
    Closed(Closed),
}

pub(crate) fn spec(module: &str, target: &str) -> Arc<Spec> {
    let file = File::parse("test", MODULES, &Toys).unwrap();
    let module = file.module(module).unwrap().module().unwrap();
    Arc::new(Spec {
        check: module.target(target, TargetParams::default()).unwrap(),
        schedule: Schedule::new(
            Duration::from_secs(10),
            Duration::from_secs(5),
            Duration::ZERO,
        )
        .unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 3).unwrap(),
        group: GroupId(0),
    })
}

/// A host of one check that counts the bytes of an answer.
struct Toys;

#[derive(Debug)]
struct Toy(Description);

impl Files for Toys {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, _: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        let metric = |name: &str, kind, labels: &[&str]| {
            Arc::new(Metric {
                name: name.into(),
                help: "Of an answer".into(),
                kind,
                labels: labels.iter().map(|label| Box::from(*label)).collect(),
            })
        };
        Ok(Arc::new(Toy(Description {
            name: "toy".into(),
            metrics: vec![
                metric("length_bytes", MetricKind::Gauge, &["target"]),
                metric("answers_total", MetricKind::Counter, &[]),
            ],
            ..Description::default()
        })))
    }
}

impl Plugin for Toy {
    fn description(&self) -> &Description {
        &self.0
    }

    fn digest(&self) -> &[u8; 32] {
        &[0; 32]
    }

    fn validate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn open(&self, _: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        Ok(Box::new(Counting))
    }
}

#[derive(Debug)]
struct Counting;

impl Session for Counting {
    fn on_event(&mut self, _: Duration, event: Told<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        let Told::Data(data) = event else {
            return Ok(());
        };
        for (metric, value, labels) in [
            ("length_bytes", data.len() as f64, &["\"it\""][..]),
            ("answers_total", 1.0, &[]),
        ] {
            let sample = Action::Sample {
                metric,
                value,
                labels,
            };
            sink.push(sample)?;
        }
        sink.push(Action::Done(Verdict::Up))
    }
    fn take_fuel(&mut self) -> u64 {
        0
    }
}

/// A handshake with a certificate that expires then.
pub(crate) fn handshake(expiry: i64, chain_expiry: Option<i64>) -> Arc<TlsInfo> {
    Arc::new(TlsInfo {
        version: "TLS 1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        alpn: None,
        chain: Some(Box::new(ChainInfo {
            earliest_expiry: expiry,
            chain_expiry,
            fingerprint_sha256: "ab".into(),
            subject: "CN=a".into(),
            issuer: "CN=ca".into(),
            subject_alternative: "a,b".into(),
            serial: "0b".into(),
        })),
    })
}

/// One run of `module` that is told `script`, then nothing until it times out.
pub(crate) fn run(module: &str, target: &str, script: Script<'_>) -> OwnedReport {
    let spec = spec(module, target);
    let mut world = World::new();
    world.engine.begin(world.now);
    let timeout = spec.schedule.timeout();
    world
        .engine
        .run_once(spec, timeout, true, world.now)
        .unwrap();
    world.play(script)
}

pub(crate) fn tcp(script: Script<'_>) -> OwnedReport {
    run("tcp", "192.0.2.7:80", script)
}

pub(crate) fn tls(script: Script<'_>) -> OwnedReport {
    run("tls", "192.0.2.7:443", script)
}

pub(crate) fn http(script: Script<'_>) -> OwnedReport {
    run("http", "http://192.0.2.7/", script)
}

/// What `/probe` makes of a run.
pub(crate) fn probed(report: OwnedReport) -> Probed {
    Probed {
        module: "tcp".into(),
        target: "a:80".into(),
        timeout: Duration::from_millis(2_500),
        report: report.into(),
        config: "".into(),
    }
}

/// A target after runs with these scripts.
pub(crate) fn row(id: u64, module: &str, target: &str, scripts: &[Script<'_>]) -> Row {
    let mut world = World::new();
    world
        .engine
        .upsert(TargetId(id), spec(module, target), world.now)
        .unwrap();
    world.engine.begin(world.now);
    for script in scripts {
        world.play(script);
    }
    Row::from(&world.engine.target(TargetId(id)).unwrap())
}

struct World {
    engine: Engine,
    now: Instant,
    open: Option<(RunId, probity_engine::Conn)>,
}

impl World {
    fn new() -> Self {
        let now = Instant::ZERO;
        Self {
            engine: Engine::new(Config::default(), now),
            now,
            open: None,
        }
    }

    /// Does what the engine asks until it asks for nothing.
    fn drain(&mut self) -> Option<OwnedReport> {
        let mut finished = None;
        while let Some((run, output)) = self.engine.poll_output() {
            match output {
                Output::Open(conn, _) => self.open = Some((run, conn)),
                Output::Report(report) => finished = Some((&report).into()),
                _ => {}
            }
        }
        finished
    }

    /// Lets time pass until the engine wants something.
    fn wait(&mut self) -> Option<OwnedReport> {
        if let Some(at) = self.engine.poll_timeout() {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
        }
        self.drain()
    }

    fn play(&mut self, script: Script<'_>) -> OwnedReport {
        self.open = None;
        let mut finished = self.drain();
        for _ in 0..100 {
            if self.open.is_some() || finished.is_some() {
                break;
            }
            finished = self.wait();
        }
        for (after, event) in script {
            if finished.is_some() {
                break;
            }
            self.now += Duration::from_micros(*after);
            let (run, conn) = self.open.expect("the run opens a connection");
            let input = match event {
                Event::Opened => Input::Opened(conn),
                Event::Secured(info) => Input::Secured(conn, info),
                Event::Data(bytes) => Input::Data(conn, bytes),
                Event::Closed(why) => Input::Closed(conn, why.clone()),
            };
            self.engine.handle_input(run, input, self.now);
            finished = self.drain();
        }
        for _ in 0..100 {
            match finished {
                Some(report) => return report,
                None => finished = self.wait(),
            }
        }
        panic!("the run does not end");
    }
}
