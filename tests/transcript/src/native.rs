//! The engine itself as a host.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::TargetParams;
use probity_engine::config::Files;
use probity_engine::resolve::ResolverConfig;
use probity_engine::threshold::{self, Kind};
use probity_engine::tls::{ChainInfo, TlsFailure, TlsInfo, TlsParams, TlsVersion};
use probity_engine::{
    Closed, Config, Conn, Engine, Family, Full, GroupId, Input, Instant, Limits, Outcome, Output,
    Phase, Reason, Report, ResolveError, RunId, Schedule, Spec, TargetId, Transport,
};
use probity_spec::{File, Labels, WithoutFiles, identity};

use crate::host::{
    Asked, FAMILIES, Fact, HEALTHS, Host, OUTCOMES, PHASES, Reported, Secure, State, Stats,
    TLS_VERSIONS, TRANSPORTS, Told,
};
use crate::script::{Ended, Script, Target, Tls};

/// The engine in Rust, without any ABI between.
#[derive(Debug)]
pub struct Native {
    engine: Engine,
    file: File,
}

impl Native {
    /// An engine for a script.
    pub fn new(script: &Script) -> Self {
        Self::with_files(script, &WithoutFiles)
    }

    /// One for a script whose modules refer to files.
    pub fn with_files(script: &Script, files: &dyn Files) -> Self {
        let usual = Limits::default();
        let in_flight = match script.in_flight {
            0 => usual.in_flight,
            some => some,
        };
        let config = Config {
            limits: Limits {
                in_flight,
                starts_per_destination: script.starts_per_destination,
                burst_per_destination: script.burst_per_destination,
                ..usual
            },
            resolver: ResolverConfig::delegated(),
            seed: script.seed(),
        };
        Self {
            engine: Engine::new(config, Instant::ZERO),
            file: File::parse("script", &script.config, files).expect("a valid file"),
        }
    }

    fn spec(&self, it: &Target) -> Result<Arc<Spec>, String> {
        let named = self.file.module(&it.module).ok_or_else(String::new)?;
        let module = named.module().ok_or_else(String::new)?;
        let params = TargetParams {
            hostname: Some(it.hostname.as_str()).filter(|it| !it.is_empty()),
            ports: None,
        };
        let or = |nanos, usual| match nanos {
            0 => usual,
            nanos => Duration::from_nanos(nanos),
        };
        let interval = or(it.interval, Duration::from_secs(60));
        let timeout = named.timeout().unwrap_or(Duration::from_secs(10));
        let timeout = or(it.timeout, timeout.min(interval));
        let kinds = [Kind::Plain, Kind::Liveness, Kind::Readiness, Kind::Startup];
        let (kind, success, failure) = (
            kinds[it.kind as usize],
            it.success_threshold,
            it.failure_threshold,
        );
        Ok(Arc::new(Spec {
            check: module
                .target(&it.target, params)
                .map_err(|error| error.to_string())?,
            schedule: Schedule::new(interval, timeout, Duration::from_nanos(it.initial_delay))
                .map_err(|error| error.to_string())?,
            threshold: threshold::Config::new(kind, success, failure)
                .map_err(|error| error.to_string())?,
            group: GroupId(0),
        }))
    }
}

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn nanos(spent: Duration) -> u64 {
    u64::try_from(spent.as_nanos()).expect("a script is short")
}

fn reason(name: &str) -> Reason {
    let found = Reason::ALL.iter().find(|it| it.name() == name);
    *found.expect("a reason that there is")
}

fn reason_name(outcome: Outcome) -> String {
    outcome.reason().map_or("", Reason::name).into()
}

fn health(up: Option<bool>) -> &'static str {
    HEALTHS[up.map_or(0, |up| if up { 1 } else { 2 })]
}

impl Host for Native {
    fn begin(&mut self, now: u64) {
        self.engine.begin(at(now));
    }

    fn add(&mut self, target: &Target, now: u64) -> Result<u64, String> {
        let spec = self.spec(target)?;
        let id = identity::target_id(&target.module, &target.target, &Labels::default());
        let added = self.engine.upsert(id, spec, at(now));
        added.map(|()| id.0).map_err(|Full| String::new())
    }

    fn remove(&mut self, id: u64, now: u64) -> bool {
        let there = self.engine.target(TargetId(id)).is_some();
        self.engine.remove(TargetId(id), at(now));
        there
    }

    fn trigger(&mut self, id: u64, now: u64) -> bool {
        let there = self.engine.target(TargetId(id)).is_some();
        self.engine.trigger(TargetId(id), at(now));
        there
    }

    fn run(&mut self, target: &Target, now: u64) -> Result<u64, String> {
        let spec = self.spec(target)?;
        let timeout = spec.schedule.timeout();
        let started = self.engine.run_once(spec, timeout, false, at(now));
        started.map(RunId::to_bits).map_err(|Full| String::new())
    }

    fn cancel(&mut self, run: u64, now: u64) {
        self.engine.cancel(RunId::from_bits(run), at(now));
    }

    fn drain(&mut self, now: u64) {
        self.engine.drain(at(now));
    }

    fn shutdown(&mut self, now: u64) {
        self.engine.shutdown(at(now));
    }

    fn handle_timeout(&mut self, now: u64) {
        self.engine.handle_timeout(at(now));
    }

    fn next_timeout(&mut self) -> Option<u64> {
        self.engine.poll_timeout().map(Instant::as_nanos)
    }

    fn output(&mut self) -> Option<(u64, Asked)> {
        let (run, output) = self.engine.poll_output()?;
        Some((run.to_bits(), asked(&output)))
    }

    fn tell(&mut self, run: u64, told: Told<'_>, now: u64) {
        let (run, now) = (RunId::from_bits(run), at(now));
        let conn = |conn: u32| Conn(u8::try_from(conn).expect("as it was given"));
        let info;
        let input = match told {
            Told::Resolved(addresses) => Input::Resolved(Ok(addresses)),
            Told::Unresolved(name) => Input::Resolved(Err(ResolveError {
                reason: reason(name),
                server: None,
                trouble: None,
            })),
            Told::Opened(number) => Input::Opened(conn(number)),
            Told::Secured(number, tls) => {
                info = tls_info(tls);
                Input::Secured(conn(number), &info)
            }
            Told::Flushed(number) => Input::Flushed(conn(number)),
            Told::Data(number, bytes) => Input::Data(conn(number), bytes),
            Told::Closed(number, ended) => Input::Closed(conn(number), closed(ended)),
        };
        self.engine.handle_input(run, input, now);
    }

    fn state(&mut self, id: u64) -> Option<State> {
        let view = self.engine.target(TargetId(id))?;
        let last = view.last;
        Some(State {
            health: health(view.up),
            outcome: OUTCOMES[last.map_or(0, |last| last.outcome.index())],
            reason: last.map_or(String::new(), |last| reason_name(last.outcome)),
            detail: last.map_or("", |last| &last.detail).into(),
            finished: last.map_or(0, |last| last.finished.as_nanos()),
            total: last.map_or(0, |last| nanos(last.total)),
            next: view.next.as_nanos(),
            results: view.results,
        })
    }

    fn stats(&mut self, now: u64) -> Stats {
        let stats = self.engine.stats(at(now));
        let lag = stats.start_lag.quantile(0.99).unwrap_or(0.0);
        Stats {
            runs: stats.runs,
            targets: stats.targets,
            overdue: stats.overdue,
            in_flight: stats.in_flight.into(),
            queued: stats.queued.into(),
            start_lag_p99: nanos(Duration::try_from_secs_f64(lag).unwrap_or_default()),
        }
    }
}

fn asked(output: &Output<'_>) -> Asked {
    match output {
        Output::Resolve(name, families) => {
            let index = match (families.preferred, families.fallback) {
                (Family::V6, true) => 0,
                (Family::V4, true) => 1,
                (Family::V6, false) => 2,
                (Family::V4, false) => 3,
            };
            Asked::Resolve((*name).into(), FAMILIES[index])
        }
        Output::Open(conn, endpoint) => Asked::Open {
            conn: conn.0.into(),
            transport: match endpoint.transport {
                Transport::Tcp => TRANSPORTS[0],
                Transport::Udp => TRANSPORTS[1],
            },
            to: endpoint.to,
            from: endpoint.from,
        },
        Output::Secure(conn, params) => Asked::Secure(conn.0.into(), secure(params)),
        Output::Send(conn, bytes) => Asked::Send(conn.0.into(), bytes.to_vec()),
        Output::Flush(conn) => Asked::Flush(conn.0.into()),
        Output::Close(conn) => Asked::Close(conn.0.into()),
        Output::Report(report) => Asked::Report(Box::new(reported(report))),
    }
}

fn reported(report: &Report<'_>) -> Reported {
    let facts = report.spec.check.facts().iter().filter_map(|fact| {
        let value = fact.read(report.facts, &report.phases)?;
        let (label, label_value) = fact.label.unwrap_or_default();
        Some(Fact {
            name: fact.name.into(),
            label: label.into(),
            label_value: label_value.into(),
            value,
        })
    });
    // Those of checks in Wasm, which have names of their own.
    let samples = report.samples.as_slice().iter().map(|sample| Fact {
        name: sample.metric.name.to_string(),
        label: sample.metric.labels.join(","),
        label_value: sample.labels.join(","),
        value: sample.value,
    });
    Reported {
        target: report.target.map_or(0, |id| id.0),
        outcome: OUTCOMES[report.outcome.index()],
        reason: reason_name(report.outcome),
        detail: report.detail.into(),
        phase: PHASES[report.phase as usize],
        transition: health(report.transition.map(|it| it.to)),
        runs: report.runs,
        due: report.due.as_nanos(),
        started: report.started.as_nanos(),
        finished: report.finished.as_nanos(),
        total: nanos(report.total),
        phases: Phase::ALL.map(|phase| report.phases.get(phase).map(nanos)),
        address: report.address,
        tls: report.tls.map(|info| tls(info)),
        facts: facts.chain(samples).collect(),
    }
}

fn tls(info: &TlsInfo) -> Tls {
    let chain = info.chain.as_deref();
    let text = |of: fn(&ChainInfo) -> &String| chain.map(of).cloned().unwrap_or_default();
    let alpn = info.alpn.as_deref().unwrap_or_default();
    Tls {
        version: info.version.into(),
        cipher: info.cipher.into(),
        alpn: String::from_utf8_lossy(alpn).into_owned(),
        earliest_expiry: chain.map_or(0, |chain| chain.earliest_expiry),
        chain_expiry: chain.and_then(|chain| chain.chain_expiry).unwrap_or(0),
        fingerprint_sha256: text(|chain| &chain.fingerprint_sha256),
        subject: text(|chain| &chain.subject),
        issuer: text(|chain| &chain.issuer),
        subject_alternative: text(|chain| &chain.subject_alternative),
        serial: text(|chain| &chain.serial),
    }
}

fn tls_info(tls: &Tls) -> Arc<TlsInfo> {
    let known = |text: &str| {
        let known = ["", "TLS 1.2", "TLS 1.3", "TLS_AES_128_GCM_SHA256"];
        let found = known.iter().find(|it| **it == text);
        *found.expect("one that scripts use")
    };
    let chain = ChainInfo {
        earliest_expiry: tls.earliest_expiry,
        chain_expiry: (tls.chain_expiry != 0).then_some(tls.chain_expiry),
        fingerprint_sha256: tls.fingerprint_sha256.clone(),
        subject: tls.subject.clone(),
        issuer: tls.issuer.clone(),
        subject_alternative: tls.subject_alternative.clone(),
        serial: tls.serial.clone(),
    };
    Arc::new(TlsInfo {
        version: known(&tls.version),
        cipher: known(&tls.cipher),
        alpn: (!tls.alpn.is_empty()).then(|| tls.alpn.as_bytes().into()),
        chain: (tls.earliest_expiry != 0).then(|| Box::new(chain)),
    })
}

fn closed(ended: &Ended) -> Closed {
    match ended.why.as_str() {
        "end" => Closed::End,
        "reset" => Closed::Reset,
        "refused" => Closed::Refused,
        "unreachable" => Closed::Unreachable,
        "timed_out" => Closed::TimedOut,
        "tls" => Closed::Tls(Box::new(TlsFailure {
            reason: reason(&ended.reason),
            detail: ended.detail.clone(),
            info: ended.tls.as_ref().map(tls_info),
        })),
        "other" => Closed::Other(ended.detail.as_str().into()),
        "local" => Closed::Local(reason(&ended.reason)),
        other => panic!("a script ends a connection as {other:?}"),
    }
}

fn secure(params: &TlsParams<'_>) -> Secure {
    let version = |version| match version {
        TlsVersion::Tls12 => TLS_VERSIONS[0],
        TlsVersion::Tls13 => TLS_VERSIONS[1],
    };
    let (min, max) = params.options.versions();
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    Secure {
        server_name: params.server_name.into(),
        alpn: params.options.alpn.iter().map(|name| text(name)).collect(),
        skip_verify: params.options.skip_verify,
        min_version: version(min),
        max_version: version(max),
    }
}
