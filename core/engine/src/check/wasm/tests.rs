//! Guests that are scripts in Rust, driven through an engine.

mod elsewhere;
mod together;

use alloc::collections::VecDeque;
use alloc::vec;
use core::sync::atomic::AtomicUsize;
use std::sync::Mutex;

use super::*;
use crate::check::{CheckSpec, ModuleConfig};
use crate::fact::Sample;
use crate::guest::{
    Action, Context, Description, Event, Finding, MAX_ACTIONS, MAX_LABEL_BYTES, MAX_PIECE_BYTES,
    MAX_SAMPLES, MAX_SENTENCE_BYTES, MAX_TIMERS, Session, Sink, Verdict,
};
use crate::io::Output;
use crate::outcome::Phase;
use crate::tls::{ChainInfo, TlsFailure, TlsInfo};
use crate::{Engine, GroupId, Phases, RunId, Schedule, threshold};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// Targets' runs may take so long.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a guest does with an event.
type Script = dyn Fn(Event<'_>, Duration, &mut Sink<'_>) -> Result<(), Fault> + Send + Sync;

/// A host of one guest, with so much room, that notes what it was asked.
struct Scripted {
    description: Description,
    digest: [u8; 32],
    script: Arc<Script>,
    room: AtomicUsize,
    /// Fuel that each call takes.
    fuel: AtomicU64,
    told: Mutex<Vec<String>>,
}

impl fmt::Debug for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

impl Scripted {
    fn new(
        script: impl Fn(Event<'_>, Duration, &mut Sink<'_>) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            description: description(),
            digest: [7; 32],
            script: Arc::new(script),
            room: AtomicUsize::new(usize::MAX),
            fuel: AtomicU64::new(0),
            told: Mutex::default(),
        })
    }

    fn told(&self) -> Vec<String> {
        core::mem::take(&mut self.told.lock().unwrap())
    }
}

fn description() -> Description {
    let metric = |name: &str, kind, labels: &[&str]| {
        Arc::new(Metric {
            name: name.into(),
            help: "A number".into(),
            kind,
            labels: labels.iter().map(|label| Box::from(*label)).collect(),
        })
    };
    Description {
        name: "toy".into(),
        version: "1.0.0".into(),
        default_port: Some(4242),
        metrics: vec![
            metric("depth_bytes", MetricKind::Gauge, &[]),
            metric("seen_total", MetricKind::Counter, &["side", "how"]),
        ],
        phases: vec!["hello".into(), "ask".into()],
        config_schema: String::new(),
    }
}

impl Plugin for Arc<Scripted> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    fn validate(&self, config: &str) -> Result<(), String> {
        match config.contains("wrong") {
            true => Err("name: it is wrong".into()),
            false => Ok(()),
        }
    }

    fn has_room(&self) -> bool {
        self.room.load(Ordering::Relaxed) > 0
    }

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        if self.room.load(Ordering::Relaxed) == 0 {
            return Err(Fault::new(FaultKind::Capacity, "is one too many"));
        }
        let Context {
            run: _,
            host,
            address,
            port,
            config,
            timeout,
            seed: _,
            tls,
        } = context;
        let tls = tls.map(|info| info.version);
        let said = format!("{host} {address} {port} {config} {timeout:?} {tls:?}");
        self.told.lock().unwrap().push(said);
        let fuel = self.fuel.load(Ordering::Relaxed);
        Ok(Box::new(Open {
            script: Arc::clone(&self.script),
            fuel,
            used: fuel,
        }))
    }
}

struct Open {
    script: Arc<Script>,
    fuel: u64,
    used: u64,
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Open")
    }
}

impl Session for Open {
    fn on_event(
        &mut self,
        now: Duration,
        event: Event<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        self.used += self.fuel;
        (self.script)(event, now, sink)
    }

    fn take_fuel(&mut self) -> u64 {
        core::mem::take(&mut self.used)
    }
}

/// A file system with one check in it.
struct Disk(Arc<Scripted>);

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "toy.wasm" => Ok(b"\0asm".to_vec()),
            _ => Err(format!("{path}: no such file")),
        }
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        assert_eq!((source.path, source.bytes), ("toy.wasm", &b"\0asm"[..]));
        match source.pin {
            Some(pin) if *pin != self.0.digest => Err(Refusal::Digest(self.0.digest)),
            _ => Ok(Arc::new(Arc::clone(&self.0))),
        }
    }
}

fn config() -> Config {
    Config {
        path: "toy.wasm".into(),
        ..Config::default()
    }
}

fn compile(config: Config, guest: &Arc<Scripted>) -> Result<crate::check::Module, ConfigError> {
    let module = ModuleConfig {
        prober: "wasm".into(),
        wasm: Some(config),
        ..ModuleConfig::default()
    };
    module.compile(&Disk(Arc::clone(guest)))
}

/// What is seen of a run from outside.
#[derive(Debug)]
struct Seen {
    outcome: Outcome,
    detail: String,
    samples: Vec<Sample>,
    phases: Phases,
    phase: Phase,
    total: Duration,
    notes: Vec<String>,
}

/// One run at a time of a module, and its peer.
struct Lab {
    engine: Engine,
    check: CheckSpec,
    now: Instant,
    run: Option<RunId>,
    sent: Vec<u8>,
    /// Names for which TLS was asked for.
    names: Vec<String>,
    connects: usize,
    /// The run that opened a connection last.
    opened: Option<RunId>,
    /// What is to be done elsewhere.
    errands: VecDeque<(RunId, crate::Errand)>,
    seen: Option<Seen>,
}

const CONN: Conn = Conn(0);

impl Lab {
    fn new(config: Config, guest: &Arc<Scripted>) -> Self {
        let module = compile(config, guest).unwrap();
        Self {
            engine: Engine::new(crate::Config::default(), Instant::ZERO),
            check: module.target("192.0.2.7", TargetParams::default()).unwrap(),
            now: Instant::ZERO,
            run: None,
            sent: Vec::new(),
            names: Vec::new(),
            connects: 0,
            opened: None,
            errands: VecDeque::new(),
            seen: None,
        }
    }

    fn of(guest: &Arc<Scripted>) -> Self {
        Self::new(config(), guest)
    }

    /// Begins a run; the peer accepts after a millisecond.
    fn connect(&mut self) -> &mut Self {
        self.start().after(MS, Input::Opened(CONN))
    }

    fn start(&mut self) -> &mut Self {
        let spec = Arc::new(crate::Spec {
            check: self.check.clone(),
            schedule: Schedule::new(TIMEOUT, TIMEOUT, Duration::ZERO).unwrap(),
            threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).unwrap(),
            group: GroupId(0),
        });
        self.seen = None;
        self.sent.clear();
        self.run = Some(self.engine.run_once(spec, TIMEOUT, true, self.now).unwrap());
        self.look();
        self
    }

    fn says(&mut self, text: &str) -> &mut Self {
        self.after(MS, Input::Data(CONN, text.as_bytes()))
    }

    fn after(&mut self, time: Duration, input: Input<'_>) -> &mut Self {
        self.wait(time);
        let run = self.run.expect("a run");
        self.engine.handle_input(run, input, self.now);
        self.look();
        self
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.look();
        }
        self.now = end;
        self
    }

    fn look(&mut self) {
        while let Some((run, output)) = self.engine.poll_output() {
            match output {
                Output::Open(..) => {
                    self.connects += 1;
                    self.opened = Some(run);
                }
                Output::Send(_, bytes) => self.sent.extend_from_slice(&bytes),
                Output::Secure(_, params) => self.names.push(params.server_name.to_string()),
                Output::Report(report) => {
                    let notes = report.trace.iter();
                    let notes = notes.filter(|step| step.level == crate::Level::Info);
                    self.seen = Some(Seen {
                        outcome: report.outcome,
                        detail: report.detail.into(),
                        samples: report.samples.as_slice().to_vec(),
                        phases: report.phases,
                        phase: report.phase,
                        total: report.total,
                        notes: notes.map(|step| step.text.clone()).collect(),
                    });
                }
                _ => {}
            }
        }
        while let Some(errand) = self.engine.poll_errand() {
            self.errands.push_back(errand);
        }
    }

    /// Does what is to be done first, and has its answer after this time.
    fn back_after(&mut self, time: Duration) -> &mut Self {
        let (run, mut errand) = self.errands.pop_front().expect("something is to be done");
        errand.run();
        self.wait(time);
        self.engine.handle_errand(run, Ok(errand), self.now);
        self.look();
        self
    }

    #[track_caller]
    fn end(&mut self) -> Seen {
        self.seen.take().expect("the run is over")
    }

    /// Runs until the run is over by itself.
    fn outlast(&mut self) -> Seen {
        self.wait(TIMEOUT + SECOND).end()
    }
}

fn info() -> Arc<TlsInfo> {
    Arc::new(TlsInfo {
        version: "TLS 1.3",
        cipher: "TLS13_AES_256_GCM_SHA384",
        alpn: None,
        chain: Some(Box::new(ChainInfo {
            earliest_expiry: 1_800_000_000,
            chain_expiry: None,
            fingerprint_sha256: String::new(),
            subject: String::new(),
            issuer: String::new(),
            subject_alternative: String::new(),
            serial: String::new(),
        })),
    })
}

fn up(sink: &mut Sink<'_>) -> Result<(), Fault> {
    sink.push(Action::Done(Verdict::Up))
}

#[test]
fn a_guest_talks_measures_and_judges() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Connected => sink.push(Action::Send(b"who\r\n")),
        Event::Data(b"me") => {
            sink.push(Action::Mark("hello"))?;
            sink.push(Action::Log("it says who it is"))?;
            sink.push(Action::Send(b"more\r\n"))
        }
        Event::Data(_) => {
            sink.push(Action::Mark("ask"))?;
            for value in [1.0, 2.0] {
                let (metric, labels) = ("depth_bytes", &[][..]);
                sink.push(Action::Sample {
                    metric,
                    value,
                    labels,
                })?;
            }
            let (metric, labels) = ("seen_total", &["left", "seldom"][..]);
            sink.push(Action::Sample {
                metric,
                value: 3.0,
                labels,
            })?;
            sink.push(Action::Done(Verdict::Degraded(
                Finding::NotReady,
                "it is tired",
            )))
        }
        _ => Ok(()),
    });
    let mut lab = Lab::of(&guest);
    lab.connect().says("me").says("enough");
    assert_eq!(lab.sent, b"who\r\nmore\r\n");
    let seen = lab.end();
    assert_eq!(seen.outcome, Outcome::Warning(Reason::NotReady));
    assert_eq!(seen.detail, "it is tired");
    assert_eq!(seen.notes, ["toy: it says who it is"]);
    assert_eq!(seen.total, MS * 3);
    assert_eq!(seen.phases.get(Phase::Processing), Some(MS));
    assert_eq!(seen.phases.get(Phase::Transfer), Some(MS));
    let samples: Vec<_> = seen
        .samples
        .iter()
        .map(|it| {
            let pairs: Vec<_> = it
                .pairs()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            (&*it.metric.name, pairs.join(","), it.value)
        })
        .collect();
    // The last number of a series counts: there is one of each.
    assert_eq!(
        samples,
        [
            ("phase_duration_seconds", "phase=hello".into(), 0.001),
            ("phase_duration_seconds", "phase=ask".into(), 0.001),
            ("depth_bytes", String::new(), 2.0),
            ("seen_total", "side=left,how=seldom".into(), 3.0),
        ]
    );
    let told = guest.told();
    assert_eq!(told, ["192.0.2.7 192.0.2.7 4242 {} 4.999s None"]);
}

#[test]
fn a_target_that_cannot_be_reached_costs_no_session() {
    let guest = Scripted::new(|_, _, sink| up(sink));
    let mut lab = Lab::of(&guest);
    lab.start().after(MS, Input::Closed(CONN, Closed::Refused));
    assert_eq!(lab.end().outcome, Outcome::Failure(Reason::ConnectRefused));
    assert_eq!(guest.told(), [""; 0]);
    lab.start();
    assert_eq!(
        lab.outlast().outcome,
        Outcome::Failure(Reason::ConnectTimeout)
    );
    assert_eq!(guest.told(), [""; 0]);
}

#[test]
fn every_verdict_is_an_outcome() {
    use Finding::*;
    for (verdict, outcome) in [
        (Verdict::Up, Outcome::Success),
        (
            Verdict::Down(Unexpected, "x"),
            Outcome::Failure(Reason::ExpectMismatch),
        ),
        (
            Verdict::Down(Malformed, "x"),
            Outcome::Failure(Reason::Malformed),
        ),
        (Verdict::Down(Denied, "x"), Outcome::Failure(Reason::Denied)),
        (
            Verdict::Down(NotReady, "x"),
            Outcome::Failure(Reason::NotReady),
        ),
        (
            Verdict::Down(ServerError, "x"),
            Outcome::Failure(Reason::ServerError),
        ),
        (
            Verdict::Down(Closed, "x"),
            Outcome::Failure(Reason::PeerClosed),
        ),
        (
            Verdict::Down(TooMuch, "x"),
            Outcome::Failure(Reason::AnswerLimit),
        ),
        (
            Verdict::Down(TooSlow, "x"),
            Outcome::Failure(Reason::TooSlow),
        ),
        (
            Verdict::Degraded(Denied, "x"),
            Outcome::Warning(Reason::Denied),
        ),
        (
            Verdict::Unknown("x"),
            Outcome::Unknown(Reason::WasmUndecided),
        ),
    ] {
        let guest = Scripted::new(move |_, _, sink| sink.push(Action::Done(verdict)));
        let seen = Lab::of(&guest).connect().end();
        assert_eq!(seen.outcome, outcome);
        let words = if verdict == Verdict::Up { "" } else { "x" };
        assert_eq!(seen.detail, words);
    }
}

#[test]
fn sentences_are_cut_where_a_letter_ends() {
    let long = "ß".repeat(MAX_SENTENCE_BYTES);
    let guest = Scripted::new(move |_, _, sink| {
        for _ in 0..12 {
            sink.push(Action::Log(&long))?;
        }
        sink.push(Action::Done(Verdict::Down(Finding::Denied, &long)))
    });
    let seen = Lab::of(&guest).connect().end();
    assert_eq!(seen.detail, "ß".repeat(MAX_SENTENCE_BYTES / 2));
    let line = format!("toy: {}", "ß".repeat(MAX_SENTENCE_BYTES / 2));
    assert_eq!(seen.notes, vec![line; guest::MAX_LOG_LINES as usize]);
}

#[test]
fn a_guest_may_have_its_connection_secured() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Connected => sink.push(Action::Send(b"STARTTLS")),
        Event::Data(b"go") => sink.push(Action::StartTls),
        Event::Data(_) => up(sink),
        Event::Secured(info) => {
            assert_eq!(info.version, "TLS 1.3");
            sink.push(Action::Send(b"inside"))
        }
        _ => Ok(()),
    });
    let mut lab = Lab::new(
        Config {
            tls_config: TlsConfig {
                server_name: "toy.example".into(),
                ..TlsConfig::default()
            },
            ..config()
        },
        &guest,
    );
    lab.connect()
        .says("go")
        .says("this came before the handshake");
    assert_eq!(lab.names, ["toy.example"]);
    lab.after(MS, Input::Secured(CONN, &info()));
    assert_eq!(lab.sent, b"STARTTLSinside");
    let seen = lab.says("done").end();
    assert_eq!(seen.outcome, Outcome::Success);
    assert_eq!(seen.phases.get(Phase::Tls), Some(MS * 2));
    // What goes wrong in a handshake is no guest's to judge.
    let failure = TlsFailure {
        reason: Reason::TlsAlert,
        detail: "no".into(),
        info: None,
    };
    lab.connect()
        .says("go")
        .after(MS, Input::Closed(CONN, Closed::Tls(Box::new(failure))));
    assert_eq!(lab.end().outcome, Outcome::Failure(Reason::TlsAlert));
    lab.connect().says("go");
    assert_eq!(lab.outlast().outcome, Outcome::Failure(Reason::TimeoutTls));
}

#[test]
fn a_connection_may_be_secured_from_its_beginning() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Connected => up(sink),
        _ => Ok(()),
    });
    let mut lab = Lab::new(
        Config {
            tls: true,
            ..config()
        },
        &guest,
    );
    lab.connect();
    assert_eq!(guest.told(), [""; 0]);
    lab.after(MS, Input::Secured(CONN, &info()));
    assert_eq!(lab.end().outcome, Outcome::Success);
    assert_eq!(
        guest.told(),
        [r#"192.0.2.7 192.0.2.7 4242 {} 4.998s Some("TLS 1.3")"#]
    );
}

/// A guest that sets a timer for all the time that it has, and says what `answer`
/// does when that comes. The peer answers once.
fn at_its_end(
    answer: impl Fn(&mut Sink<'_>) -> Result<(), Fault> + Send + Sync + 'static,
) -> (Seen, Vec<Duration>) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let guest = Scripted::new(move |event, now, sink| match event {
        // It knows what it has to the millisecond: 4,998.3 ms are 4,998.
        Event::Connected => sink.push(Action::SetTimer(7, MS * 4_998)),
        Event::Timer(7) => {
            noted.lock().unwrap().push(now);
            answer(sink)
        }
        _ => Ok(()),
    });
    let mut lab = Lab::of(&guest);
    let accepts = Duration::from_micros(1_700);
    let seen = lab
        .start()
        .after(accepts, Input::Opened(CONN))
        .says("x")
        .outlast();
    let times = core::mem::take(&mut *times.lock().unwrap());
    (seen, times)
}

#[test]
fn a_timer_for_all_the_time_comes_at_the_end_and_may_bring_the_verdict() {
    let (seen, times) = at_its_end(|sink| {
        let depth = ("depth_bytes", 3.0, &[][..]);
        let (metric, value, labels) = depth;
        sink.push(Action::Sample {
            metric,
            value,
            labels,
        })?;
        let verdict = Verdict::Down(Finding::Unexpected, "it was wrong from the beginning");
        sink.push(Action::Done(verdict))
    });
    assert_eq!(seen.outcome, Outcome::Failure(Reason::ExpectMismatch));
    assert_eq!(seen.detail, "it was wrong from the beginning");
    assert_eq!(seen.samples[0].value, 3.0);
    assert_eq!(times, [seen.total], "once, and not before the end");
    assert!(seen.total >= TIMEOUT, "{:?}", seen.total);
}

#[test]
fn who_says_nothing_at_the_end_leaves_it_to_the_engine() {
    let (seen, times) = at_its_end(|_| Ok(()));
    assert_eq!(seen.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert!(
        seen.detail.ends_with("toy has no verdict yet"),
        "{}",
        seen.detail
    );
    assert_eq!(times, [seen.total]);
    // Not even with a timer for no time at all.
    let (seen, times) = at_its_end(|sink| sink.push(Action::SetTimer(7, Duration::ZERO)));
    assert_eq!(seen.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert_eq!(times.len(), 1);
    let (seen, _) = at_its_end(|_| Err(Fault::new(FaultKind::Fuel, "used up its fuel")));
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmFuel));
}

/// Runs that all begin at once, of a guest that burns all its fuel on every call and is
/// content with the third thing that its peer says.
struct Hogs {
    engine: Engine,
    guest: Arc<Scripted>,
    calls: Arc<AtomicUsize>,
    runs: Vec<RunId>,
    now: Instant,
    seen: Vec<(Outcome, String)>,
}

impl Hogs {
    fn new(count: usize) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let guest = Scripted::new(move |event, _, sink| {
            counted.fetch_add(1, Ordering::Relaxed);
            match event {
                Event::Data(said) if said.ends_with(b"3") => up(sink),
                _ => Ok(()),
            }
        });
        let fuel = Limits::DEFAULT.fuel_per_event;
        guest.fuel.store(fuel, Ordering::Relaxed);
        let mut lab = Lab::of(&guest);
        let mut runs = Vec::new();
        for _ in 0..count {
            runs.extend(lab.start().run);
        }
        Self {
            engine: lab.engine,
            guest,
            calls,
            runs,
            now: lab.now,
            seen: Vec::new(),
        }
    }

    /// Tells every run of something.
    fn all(&mut self, input: impl Fn() -> Input<'static>) {
        for run in &self.runs {
            self.engine.handle_input(*run, input(), self.now);
        }
        self.look();
    }

    fn look(&mut self) {
        while let Some((_, output)) = self.engine.poll_output() {
            if let Output::Report(report) = output {
                self.seen.push((report.outcome, report.detail.into()));
            }
        }
    }

    /// How many calls one turn takes.
    fn turn(&mut self) -> usize {
        let before = self.calls.load(Ordering::Relaxed);
        self.engine.handle_timeout(self.now);
        self.look();
        self.calls.load(Ordering::Relaxed) - before
    }
}

#[test]
fn guests_that_burn_their_fuel_take_turns() {
    let mut hogs = Hogs::new(50);
    hogs.all(|| Input::Opened(CONN));
    // The first one began in this turn, and used it up.
    assert_eq!(hogs.calls.load(Ordering::Relaxed), 1);
    for said in [b"1", b"2", b"3"] {
        hogs.all(|| Input::Data(CONN, said));
    }
    hogs.all(|| Input::Closed(CONN, Closed::End));
    assert!(hogs.runs.iter().all(|run| hogs.engine.is_behind(*run)));
    let mut turns = 0;
    while hogs.seen.len() < hogs.runs.len() {
        let next = hogs.engine.poll_timeout();
        assert!(
            next.is_some_and(|at| at <= hogs.now),
            "it is wanted at once"
        );
        let calls = hogs.turn();
        // What it has, and one more.
        assert!(calls <= 2, "{calls} calls in one turn");
        turns += 1;
        assert!(turns <= 4 * hogs.runs.len(), "it does not end");
    }
    assert!(
        hogs.seen.iter().all(|(it, _)| *it == Outcome::Success),
        "{:?}",
        hogs.seen
    );
    assert_eq!(hogs.guest.told().len(), 50, "each has one session");
}

#[test]
fn a_run_that_had_no_turn_says_nothing_of_its_target() {
    let mut hogs = Hogs::new(20);
    hogs.now += TIMEOUT - MS;
    hogs.all(|| Input::Opened(CONN));
    hogs.now += MS * 3;
    hogs.turn();
    assert_eq!(hogs.seen.len(), 20);
    let (outcome, detail) = &hogs.seen[7];
    assert_eq!(*outcome, Outcome::Unknown(Reason::Overload), "{detail}");
    assert_eq!(detail, "the prober was too busy to run its check");
    // The one that had one did not answer.
    let slow =
        |(outcome, _): &(Outcome, String)| *outcome == Outcome::Failure(Reason::TimeoutProcessing);
    assert_eq!(hogs.seen.iter().filter(|seen| slow(seen)).count(), 1);
}

#[test]
fn timers_for_no_time_at_all_come_one_in_a_turn() {
    let told = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&told);
    let guest = Scripted::new(move |event, _, sink| match event {
        Event::Connected | Event::Timer(_) => {
            counted.fetch_add(1, Ordering::Relaxed);
            sink.push(Action::SetTimer(1, Duration::ZERO))
        }
        _ => Ok(()),
    });
    let mut lab = Lab::of(&guest);
    lab.connect();
    let mut turns = 0;
    let end = lab.now + MS * 100;
    while let Some(at) = lab.engine.poll_timeout().filter(|at| *at <= end) {
        let before = told.load(Ordering::Relaxed);
        lab.now = lab.now.max(at);
        lab.engine.handle_timeout(lab.now);
        let calls = told.load(Ordering::Relaxed) - before;
        assert!(calls <= 1, "{calls} calls in one turn");
        turns += 1;
    }
    assert!((90..=110).contains(&turns), "{turns} turns in 100 ms");
}

#[test]
fn timers_come_in_order_and_never_early() {
    let guest = Scripted::new(|event, now, sink| match event {
        Event::Connected => {
            sink.push(Action::SetTimer(1, MS * 300))?;
            sink.push(Action::SetTimer(2, MS * 200))?;
            sink.push(Action::SetTimer(3, MS * 100))?;
            // It is moved, and comes last.
            sink.push(Action::SetTimer(3, MS * 400))
        }
        Event::Timer(id) => {
            let line = format!("{id} {}", now.as_millis());
            sink.push(Action::Log(&line))?;
            match id {
                3 => up(sink),
                2 => sink.push(Action::SetTimer(2, MS * 150)),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    });
    let mut lab = Lab::of(&guest);
    lab.connect().wait(MS * 500);
    let seen = lab.end();
    assert_eq!(seen.outcome, Outcome::Success);
    let times: Vec<(u32, u32)> = seen
        .notes
        .iter()
        .map(|line| {
            let (id, at) = line.strip_prefix("toy: ").unwrap().split_once(' ').unwrap();
            (id.parse().unwrap(), at.parse().unwrap())
        })
        .collect();
    for ((id, at), (expected, due)) in times.iter().zip([(2, 201), (1, 301), (2, 351), (3, 401)]) {
        assert_eq!(*id, expected, "{times:?}");
        assert!((due..due + 4).contains(at), "{times:?}");
    }
    assert_eq!(times.len(), 4);
}

#[test]
fn what_a_peer_says_comes_in_pieces_of_bounded_length() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Data(data) => {
            let line = format!("{}", data.len());
            sink.push(Action::Log(&line))?;
            match data.len() < MAX_PIECE_BYTES {
                true => up(sink),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    });
    let seen = Lab::of(&guest)
        .connect()
        .says(&"x".repeat(MAX_PIECE_BYTES * 2 + 7))
        .end();
    assert_eq!(seen.notes, ["toy: 16384", "toy: 16384", "toy: 7"]);
    assert_eq!(seen.outcome, Outcome::Success);
}

#[test]
fn the_host_judges_what_a_guest_does_not() {
    let guest = Scripted::new(|_, _, _| Ok(()));
    let mut lab = Lab::of(&guest);
    for (why, reason, how) in [
        (Closed::End, Reason::PeerClosed, "closed by the peer"),
        (Closed::Reset, Reason::PeerReset, "reset by the peer"),
        (Closed::TimedOut, Reason::PeerClosed, "lost"),
    ] {
        lab.connect().after(MS, Input::Closed(CONN, why));
        let seen = lab.end();
        assert_eq!(seen.outcome, Outcome::Failure(reason));
        assert_eq!(
            seen.detail,
            format!("the connection was {how} before toy had a verdict")
        );
    }
    lab.connect();
    let silent = lab.outlast();
    assert_eq!(silent.outcome, Outcome::Failure(Reason::TimeoutProcessing));
    assert!(
        silent
            .detail
            .ends_with(": the check toy has no verdict yet"),
        "{}",
        silent.detail
    );
    assert_eq!(silent.phase, Phase::Processing);
    lab.connect().says("x");
    assert_eq!(
        lab.outlast().outcome,
        Outcome::Failure(Reason::TimeoutTransfer)
    );
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Closed(Close::End) => up(sink),
        _ => Ok(()),
    });
    let seen = Lab::of(&guest)
        .connect()
        .after(MS, Input::Closed(CONN, Closed::End))
        .end();
    assert_eq!(seen.outcome, Outcome::Success);
}

#[test]
fn a_guest_that_breaks_says_nothing_of_its_target() {
    use FaultKind::*;
    for (kind, reason) in [
        (Fuel, Reason::WasmFuel),
        (Memory, Reason::WasmMemory),
        (Panic, Reason::WasmPanic),
        (Trap, Reason::WasmTrap),
        (Stack, Reason::WasmStack),
        (Protocol, Reason::WasmProtocol),
        (Load, Reason::WasmLoad),
    ] {
        let guest = Scripted::new(move |event, _, sink| match event {
            Event::Data(_) => {
                // What it wanted before it broke does not count.
                sink.push(Action::Done(Verdict::Down(Finding::Denied, "x")))?;
                Err(Fault::new(kind, "broke"))
            }
            _ => Ok(()),
        });
        let seen = Lab::of(&guest).connect().says("x").end();
        assert_eq!(seen.outcome, Outcome::Unknown(reason));
        assert_eq!(seen.detail, "the check toy broke");
    }
}

/// A guest that pushes what `action` says so many times at once.
fn pushing(
    times: u32,
    action: impl Fn(u32, &mut Sink<'_>) -> Result<(), Fault> + Send + Sync + 'static,
) -> Seen {
    let guest = Scripted::new(move |_, _, sink| (0..times).try_for_each(|n| action(n, sink)));
    let mut lab = Lab::of(&guest);
    lab.connect();
    lab.seen.take().unwrap_or_else(|| lab.outlast())
}

#[track_caller]
fn breaks(seen: &Seen, words: &str) {
    assert_eq!(
        seen.outcome,
        Outcome::Unknown(Reason::WasmProtocol),
        "{seen:?}"
    );
    assert!(seen.detail.contains(words), "{}", seen.detail);
}

#[track_caller]
fn keeps(seen: &Seen) {
    assert_eq!(
        seen.outcome,
        Outcome::Failure(Reason::TimeoutProcessing),
        "{seen:?}"
    );
}

#[test]
fn what_a_guest_may_do_is_bounded() {
    let log = |_, sink: &mut Sink<'_>| sink.push(Action::Log("x"));
    keeps(&pushing(MAX_ACTIONS, log));
    breaks(&pushing(MAX_ACTIONS + 1, log), "more than 32 actions");
    let timer = |n, sink: &mut Sink<'_>| sink.push(Action::SetTimer(n, TIMEOUT * 2));
    keeps(&pushing(MAX_TIMERS as u32, timer));
    breaks(&pushing(MAX_TIMERS as u32 + 1, timer), "more than 8 timers");
    let send = |_, sink: &mut Sink<'_>| sink.push(Action::Send(&[b'x'; 16 << 10]));
    keeps(&pushing(4, send));
    breaks(&pushing(5, send), "more sent than the 65536 bytes");
    fn depth<'a>(value: f64, labels: &'a [&'a str]) -> Action<'a> {
        let metric = "depth_bytes";
        Action::Sample {
            metric,
            value,
            labels,
        }
    }
    let sample = |n: u32, sink: &mut Sink<'_>| sink.push(depth(n.into(), &[]));
    let many = pushing(MAX_SAMPLES, sample);
    keeps(&many);
    assert_eq!(many.samples.len(), 1);
    breaks(&pushing(MAX_SAMPLES + 1, sample), "more than 16 samples");
    let labelled = |_, sink: &mut Sink<'_>| sink.push(depth(0.0, &["x"]));
    breaks(
        &pushing(1, labelled),
        "depth_bytes with 1 labels: expected 0",
    );
    fn side(bytes: usize) -> impl Fn(u32, &mut Sink<'_>) -> Result<(), Fault> {
        move |_, sink| {
            let label = "x".repeat(bytes);
            let (metric, value) = ("seen_total", 1.0);
            let labels = &[label.as_str(), ""][..];
            sink.push(Action::Sample {
                metric,
                value,
                labels,
            })
        }
    }
    keeps(&pushing(1, side(MAX_LABEL_BYTES)));
    breaks(
        &pushing(1, side(MAX_LABEL_BYTES + 1)),
        "a label of more than 128 bytes",
    );
    let unknown = |_, sink: &mut Sink<'_>| {
        let (metric, value, labels) = ("width", 1.0, &[][..]);
        sink.push(Action::Sample {
            metric,
            value,
            labels,
        })
    };
    breaks(&pushing(1, unknown), r#"the metric "width""#);
    let phase = |_, sink: &mut Sink<'_>| sink.push(Action::Mark("lunch"));
    breaks(&pushing(1, phase), r#"the phase "lunch""#);
    let twice = |_, sink: &mut Sink<'_>| up(sink);
    assert_eq!(pushing(1, twice).outcome, Outcome::Success);
    breaks(&pushing(2, twice), "after its verdict");
    let secure = |_, sink: &mut Sink<'_>| sink.push(Action::StartTls);
    breaks(&pushing(2, secure), "secured that is or is about to be");
    let early = |n, sink: &mut Sink<'_>| match n {
        0 => sink.push(Action::StartTls),
        _ => sink.push(Action::Send(b"x")),
    };
    breaks(&pushing(2, early), "during a handshake");
}

#[test]
fn limits_are_a_modules_own() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Connected => sink.push(Action::Send(b"12345678")),
        _ => Ok(()),
    });
    let limited = |sent, received| Config {
        limits: ConfigLimits {
            sent_bytes: Some(sent),
            received_bytes: Some(received),
            ..ConfigLimits::default()
        },
        ..config()
    };
    let mut lab = Lab::new(limited(7, 10), &guest);
    breaks(&lab.connect().end(), "more sent than the 7 bytes");
    let mut lab = Lab::new(limited(8, 10), &guest);
    lab.connect().says("1234567890");
    assert!(lab.seen.is_none());
    breaks(&lab.says("1").end(), "no verdict after the 10 bytes");
    let Ok(crate::check::Module::Wasm(module)) = compile(limited(1, 1), &guest) else {
        panic!("a module");
    };
    assert_eq!(module.limits.fuel_per_run, Limits::DEFAULT.fuel_per_run);
    assert_eq!((module.limits.sent, module.limits.received), (1, 1));
}

#[test]
fn a_run_waits_for_room_and_the_wait_is_ours() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Data(b"first second") => up(sink),
        _ => Ok(()),
    });
    let mut lab = Lab::of(&guest);
    guest.room.store(0, Ordering::Relaxed);
    lab.connect().says("first ").wait(SECOND).says("second");
    assert!(lab.seen.is_none());
    guest.room.store(1, Ordering::Relaxed);
    let seen = lab.wait(MS * 20).end();
    assert_eq!(seen.outcome, Outcome::Success);
    assert!(seen.total < MS * 30, "{:?}", seen.total);
    // Who is silent then has not had the time that it was to have.
    guest.room.store(0, Ordering::Relaxed);
    lab.connect().wait(SECOND);
    guest.room.store(1, Ordering::Relaxed);
    let seen = lab.outlast();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::Overload));
    // In time or not at all; and what the peer says is not kept without end.
    guest.room.store(0, Ordering::Relaxed);
    lab.connect();
    let seen = lab.outlast();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmCapacity));
    assert_eq!(
        seen.detail,
        "there was no room for another instance of the check toy"
    );
    let seen = lab
        .connect()
        .says(&"x".repeat(MAX_HELD_BYTES))
        .says("x")
        .end();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmCapacity));
    // Who has left meanwhile has left.
    lab.connect().after(MS, Input::Closed(CONN, Closed::Reset));
    guest.room.store(1, Ordering::Relaxed);
    assert_eq!(
        lab.wait(MS * 20).end().outcome,
        Outcome::Failure(Reason::PeerReset)
    );
}

#[test]
fn a_guest_that_breaks_again_and_again_is_left_alone_for_a_while() {
    let breaking = Arc::new(AtomicUsize::new(1));
    let breaks = Arc::clone(&breaking);
    let guest = Scripted::new(move |_, _, sink| match breaks.load(Ordering::Relaxed) {
        0 => up(sink),
        _ => Err(Fault::new(FaultKind::Panic, "panicked")),
    });
    let mut lab = Lab::of(&guest);
    let panicked = Outcome::Unknown(Reason::WasmPanic);
    let left_alone = Outcome::Unknown(Reason::WasmBackoff);
    for _ in 0..FAULTS_IN_A_ROW {
        assert_eq!(lab.connect().end().outcome, panicked);
    }
    let before = lab.connects;
    let seen = lab.start().end();
    assert_eq!(seen.outcome, left_alone);
    assert_eq!(
        seen.detail,
        "the check toy broke 5 times in a row and is tried again in 1.0s"
    );
    assert_eq!(lab.connects, before, "the target is left alone, too");
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        lab.wait(Duration::from_secs(seconds) - MS);
        assert_eq!(lab.start().end().outcome, left_alone, "{seconds}");
        lab.wait(MS);
        assert_eq!(lab.connect().end().outcome, panicked, "{seconds}");
    }
    lab.wait(SECOND * 60);
    breaking.store(0, Ordering::Relaxed);
    assert_eq!(lab.connect().end().outcome, Outcome::Success);
    // A verdict ends the row.
    breaking.store(1, Ordering::Relaxed);
    for _ in 0..FAULTS_IN_A_ROW {
        assert_eq!(lab.connect().end().outcome, panicked);
    }
    assert_eq!(lab.start().end().outcome, left_alone);
    lab.wait(SECOND);
    assert_eq!(lab.connect().end().outcome, panicked);
}

#[test]
fn mistakes_are_found_at_their_field() {
    let guest = Scripted::new(|_, _, _| Ok(()));
    let limits = |limits| Config { limits, ..config() };
    let none = ConfigLimits::default;
    let sharing = |runs_per_instance, sessions_per_instance| Config {
        runs_per_instance,
        sessions_per_instance,
        ..config()
    };
    for (config, expected) in [
        (
            Config::default(),
            "wasm.path: expected the path of a check, found none",
        ),
        (
            Config {
                path: "no.wasm".into(),
                ..config()
            },
            "wasm.path: no.wasm: no such file",
        ),
        (
            Config {
                sha256: "12".into(),
                ..config()
            },
            r#"wasm.sha256: expected the 64 hex digits of a SHA-256 digest, found "12""#,
        ),
        (
            Config {
                sha256: "08".repeat(32),
                ..config()
            },
            "wasm.sha256: toy.wasm is another file: its digest is 0707070707070707070707070707070707070707070707070707070707070707",
        ),
        (
            Config {
                config: Options(Value::from("wrong")),
                ..config()
            },
            "wasm.config: name: it is wrong",
        ),
        (
            Config {
                runs_per_instance: 0,
                ..config()
            },
            "wasm.runs_per_instance: expected 1 or more, found 0",
        ),
        (
            sharing(1_000, 0),
            "wasm.sessions_per_instance: expected 1 to 256, found 0",
        ),
        (
            sharing(1_000, 257),
            "wasm.sessions_per_instance: expected 1 to 256, found 257",
        ),
        (
            Config {
                class: "scripts".into(),
                ..config()
            },
            "wasm.class: expected native or script, found \"scripts\"",
        ),
        (
            Config {
                class: "script".into(),
                ..sharing(7, 2)
            },
            "wasm.sessions_per_instance: expected 1 for scripts, found 2",
        ),
        (
            Config {
                class: "script".into(),
                ..limits(ConfigLimits {
                    memory_bytes: Some((64 << 20) + 1),
                    ..none()
                })
            },
            "wasm.limits.memory_bytes: expected 65536 to 67108864, found 67108865",
        ),
        (
            sharing(7, 8),
            "wasm.sessions_per_instance: expected no more at once than an instance serves in all (runs_per_instance: 7), found 8",
        ),
        (
            limits(ConfigLimits {
                memory_bytes: Some(65_535),
                ..none()
            }),
            "wasm.limits.memory_bytes: expected 65536 to 2097152, found 65535",
        ),
        (
            limits(ConfigLimits {
                fuel_per_event: Some(20_000_001),
                ..none()
            }),
            "wasm.limits.fuel_per_event: expected 10000 to 20000000, found 20000001",
        ),
        (
            limits(ConfigLimits {
                fuel_per_run: Some(0),
                ..none()
            }),
            "wasm.limits.fuel_per_run: expected 10000 to 1000000000, found 0",
        ),
        (
            limits(ConfigLimits {
                sent_bytes: Some(1 << 21),
                ..none()
            }),
            "wasm.limits.sent_bytes: expected 0 to 1048576, found 2097152",
        ),
        (
            limits(ConfigLimits {
                received_bytes: Some(0),
                ..none()
            }),
            "wasm.limits.received_bytes: expected 1 to 67108864, found 0",
        ),
    ] {
        let error = compile(config, &guest).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.cause, config::Cause::Mistake);
    }
    let module = ModuleConfig {
        prober: "wasm".into(),
        ..ModuleConfig::default()
    };
    let error = module.compile(&config::NoFiles).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wasm.path: expected the path of a check, found none"
    );
    let pinned = Config {
        sha256: "07".repeat(32),
        ..config()
    };
    assert!(compile(pinned, &guest).is_ok());
    // A host that runs none says so, reads none, and has others serve.
    struct Bare;
    impl Files for Bare {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            panic!("{path} was read, and nobody can run it");
        }
    }
    let module = ModuleConfig {
        wasm: Some(config()),
        ..module
    };
    let error = module.compile(&Bare).unwrap_err();
    assert_eq!(
        error.to_string(),
        "wasm.path: toy.wasm: checks in Wasm cannot be run here"
    );
    assert_eq!(error.cause, config::Cause::Unsupported);
}

#[test]
fn a_description_keeps_to_the_rules() {
    let wrong = |change: &dyn Fn(&mut Description)| {
        let mut description = description();
        change(&mut description);
        description.check().unwrap_err()
    };
    let metric =
        |change: &dyn Fn(&mut Metric)| wrong(&|it| change(Arc::make_mut(&mut it.metrics[1])));
    assert_eq!(description().check(), Ok(()));
    for (found, words) in [
        (wrong(&|it| it.name = "Toy".into()), "found \"Toy\""),
        (
            wrong(&|it| it.name = "x".repeat(33)),
            "a name of at most 32",
        ),
        (
            wrong(&|it| it.version = "1".repeat(65)),
            "a version of at most 64 visible characters of ASCII, found \"111",
        ),
        (wrong(&|it| it.version = "1\n2".into()), "found \"1\\n2\""),
        (
            wrong(&|it| it.config_schema = " ".repeat(32_769)),
            "a schema of at most 32768 bytes, found 32769",
        ),
        (wrong(&|it| it.default_port = Some(0)), "a default port"),
        (
            wrong(&|it| it.metrics = vec![it.metrics[0].clone(); 17]),
            "at most 16 metrics, found 17",
        ),
        (
            wrong(&|it| it.metrics.push(it.metrics[0].clone())),
            "two metrics depth_bytes",
        ),
        (
            wrong(&|it| it.phases = vec!["x".into(); 9]),
            "at most 8 phases, found 9",
        ),
        (wrong(&|it| it.phases.push("a b".into())), "found \"a b\""),
        (
            metric(&|it| it.name = "9_total".into()),
            "found \"9_total\"",
        ),
        (
            metric(&|it| it.name = "seen".into()),
            "counters, and only they",
        ),
        (
            metric(&|it| it.kind = MetricKind::Gauge),
            "counters, and only they",
        ),
        (metric(&|it| it.help = "".into()), "found 0"),
        (
            metric(&|it| it.labels[0] = "job".into()),
            "the label job is taken",
        ),
        (
            metric(&|it| it.labels[1] = "side".into()),
            "the label side is taken",
        ),
        (metric(&|it| it.labels[1] = "a-b".into()), "found \"a-b\""),
        (
            metric(&|it| it.labels = vec!["x".into(); 5].into()),
            "at most 4 labels, found 5",
        ),
        (
            metric(&|it| (it.name, it.kind) = ("seen_count".into(), MetricKind::Gauge)),
            "_count at the end",
        ),
        (
            metric(&|it| (it.name, it.kind) = (guest::PHASE_METRIC.into(), MetricKind::Gauge)),
            "is that of marks",
        ),
    ] {
        assert!(found.contains(words), "{found}: expected {words}");
    }
    // What is said of it is bounded, however long the name is.
    let long = "x".repeat(100_000);
    for found in [
        wrong(&|it| it.name.clone_from(&long)),
        wrong(&|it| it.version.clone_from(&long)),
        wrong(&|it| it.phases.push(long.clone())),
        metric(&|it| it.name = long.as_str().into()),
        metric(&|it| it.help = long.as_str().into()),
        metric(&|it| it.labels[0] = long.as_str().into()),
    ] {
        assert!(found.len() < 400, "{found}");
    }
    let mut broken = Scripted::new(|_, _, _| Ok(()));
    Arc::get_mut(&mut broken).unwrap().description.name = "Toy".into();
    let error = compile(config(), &broken).unwrap_err().to_string();
    assert!(
        error.starts_with("wasm.path: toy.wasm: its description breaks a rule: "),
        "{error}"
    );
}

#[test]
fn targets_may_leave_the_usual_port_out() {
    let guest = Scripted::new(|_, _, _| Ok(()));
    let module = compile(config(), &guest).unwrap();
    let place = |module: &crate::check::Module, target: &str| match module
        .target(target, TargetParams::default())
    {
        Ok(CheckSpec::Wasm(spec)) => Ok((spec.host.to_string(), spec.port)),
        Ok(_) => panic!("another check"),
        Err(error) => Err(error.to_string()),
    };
    for (target, host, port) in [
        ("a.example", "a.example", 4242),
        ("a.example:1", "a.example", 1),
        ("192.0.2.1", "192.0.2.1", 4242),
        ("[2001:db8::1]", "2001:db8::1", 4242),
        ("2001:db8::1", "2001:db8::1", 4242),
        ("[2001:db8::1]:9", "2001:db8::1", 9),
    ] {
        assert_eq!(place(&module, target), Ok((host.into(), port)), "{target}");
    }
    for target in ["", ":1", "a:b:c", "[a", "[a]", "a:0"] {
        let error = place(&module, target).unwrap_err();
        assert!(error.starts_with("expected host:port"), "{target}: {error}");
    }
    let mut guest = Scripted::new(|_, _, _| Ok(()));
    Arc::get_mut(&mut guest).unwrap().description.default_port = None;
    let module = compile(config(), &guest).unwrap();
    assert!(place(&module, "a.example").is_err());
    assert_eq!(place(&module, "a.example:1"), Ok(("a.example".into(), 1)));
}

#[test]
fn a_module_is_what_it_was_loaded_from() {
    let guest = Scripted::new(|_, _, _| Ok(()));
    let module = compile(config(), &guest).unwrap();
    assert!(module == compile(config(), &guest).unwrap());
    let options = serde_json::json!({"name": "earth", "port": 1, "deep": [null, true]});
    let told = Config {
        config: Options(options),
        ..config()
    };
    let shown = serde_json::to_string(&told.config).unwrap();
    assert_eq!(
        shown,
        r#"{"deep":[null,true],"name":"<secret>","port":"<secret>"}"#
    );
    assert_eq!(format!("{:?}", told.config), "<secret>");
    let other = compile(told, &guest).unwrap();
    assert!(module != other);
    let mut newer = Scripted::new(|_, _, _| Ok(()));
    Arc::get_mut(&mut newer).unwrap().digest = [8; 32];
    assert!(module != compile(config(), &newer).unwrap());
    let mut lab = Lab::of(&guest);
    let spec = other
        .target("a.example:1", TargetParams::default())
        .unwrap();
    lab.check = spec;
    let name: Options = serde_json::from_str("null").unwrap();
    assert_eq!(name, Options::default());
}
