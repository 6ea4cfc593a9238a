//! Scripted worlds over the C ABI give the transcripts of the engine itself.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ptr::null;

use probity_transcript::{
    Asked, CLOSED, Ended, FAMILIES, Fact, HEALTHS, Host, Native, OUTCOMES, PHASES, Reported,
    Script, Secure, State, Stats, TLS_VERSIONS, TRANSPORTS, Target, Tls, Told, difference, play,
    scripts,
};

use super::*;
use crate::secure::*;

/// The functions that C sees. Everything is as they want it.
struct C {
    config: probity_config,
    engine: probity_engine,
    /// What the last step has given, if outputs are asked for so.
    steps: Option<VecDeque<(u64, Asked)>>,
}

impl C {
    fn new(script: &Script) -> Self {
        let mut config = probity_config { bits: 0 };
        let mut engine = probity_engine { bits: 0 };
        let seed = script.seed();
        let with = probity_engine_config {
            seed: bytes_of(&seed),
            in_flight: script.in_flight,
            starts_per_destination: script.starts_per_destination,
            burst_per_destination: script.burst_per_destination,
            names: PROBITY_NAMES_HOST,
            ..zeroed()
        };
        let (name, text) = (lend_text("script"), lend_text(&script.config));
        // SAFETY: all places are of this function.
        let results = unsafe {
            [
                probity_config_parse(name, text, PROBITY_FILES_NONE, &mut config, null_mut()),
                probity_engine_new(&with, 0, &mut engine),
            ]
        };
        assert_eq!(results, [Ok, Ok]);
        Self {
            config,
            engine,
            steps: None,
        }
    }

    /// The next outputs, several at once. It is never late at 0: no timer goes off.
    fn step(&mut self) -> Vec<(u64, Asked)> {
        let mut outputs = [zeroed::<probity_output>(); 3];
        let (mut length, mut next) = (0, 0);
        // SAFETY: places of this function.
        let result = unsafe {
            let first = outputs.as_mut_ptr();
            probity_engine_step(self.engine, 0, first, outputs.len(), &mut length, &mut next)
        };
        assert!(matches!(result, Ok | NotBegun), "{result:?}");
        assert!(length > 0 || next > 0, "nothing, and more of it");
        outputs[..length].iter().map(asked).collect()
    }

    /// Calls `give` with the target and a place for what is wrong with it.
    fn wanted(
        &self,
        target: &Target,
        give: impl FnOnce(*const probity_target, *mut u64, *mut probity_buffer) -> probity_result,
    ) -> Result<u64, String> {
        let wanted = probity_target {
            config: self.config,
            module: lend_text(&target.module),
            target: lend_text(&target.target),
            hostname: lend_text(&target.hostname),
            interval: target.interval,
            timeout: target.timeout,
            initial_delay: target.initial_delay,
            success_threshold: target.success_threshold,
            failure_threshold: target.failure_threshold,
            kind: target.kind,
            ..zeroed()
        };
        let mut room = vec![0_u8; 4096];
        let mut error = probity_buffer {
            data: room.as_mut_ptr().cast(),
            capacity: room.len(),
            length: 0,
        };
        let mut number = 0;
        if give(&wanted, &mut number, &mut error) == Ok {
            return Result::Ok(number);
        }
        room.truncate(error.length);
        Err(String::from_utf8(room).expect("errors are UTF-8"))
    }
}

impl Drop for C {
    fn drop(&mut self) {
        assert_eq!(probity_engine_free(self.engine), Ok);
        assert_eq!(probity_config_free(self.config), Ok);
    }
}

pub(super) fn bytes_of(bytes: &[u8]) -> probity_bytes {
    probity_bytes {
        data: bytes.as_ptr(),
        length: bytes.len(),
    }
}

pub(super) fn vec(bytes: probity_bytes) -> Vec<u8> {
    // SAFETY: the library lends what it gives.
    let bytes = unsafe { crate::boundary::slice(bytes.data, bytes.length) };
    bytes.expect("a list").to_vec()
}

pub(super) fn string(text: probity_text) -> String {
    // SAFETY: the library lends what it gives.
    let text = unsafe { crate::boundary::text(text) };
    text.expect("texts are UTF-8").into()
}

fn reason(number: u32) -> String {
    string(probity_reason_name(number))
}

fn number_of(reason: &str) -> u32 {
    // SAFETY: a text of Rust.
    unsafe { probity_reason_number(lend_text(reason)) }
}

fn socket_address(address: probity_address) -> Option<SocketAddr> {
    let [a, b, c, d, ..] = address.ip;
    let ip = match address.family {
        4 => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
        6 => IpAddr::from(Ipv6Addr::from(address.ip)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, address.port))
}

fn tls_info(tls: &Tls) -> probity_tls_info {
    probity_tls_info {
        version: lend_text(&tls.version),
        cipher: lend_text(&tls.cipher),
        alpn: lend_text(&tls.alpn),
        earliest_expiry: tls.earliest_expiry,
        chain_expiry: tls.chain_expiry,
        fingerprint_sha256: lend_text(&tls.fingerprint_sha256),
        subject: lend_text(&tls.subject),
        issuer: lend_text(&tls.issuer),
        subject_alternative: lend_text(&tls.subject_alternative),
        serial: lend_text(&tls.serial),
        ..zeroed()
    }
}

fn tls(info: &probity_tls_info) -> Tls {
    Tls {
        version: string(info.version),
        cipher: string(info.cipher),
        alpn: string(info.alpn),
        earliest_expiry: info.earliest_expiry,
        chain_expiry: info.chain_expiry,
        fingerprint_sha256: string(info.fingerprint_sha256),
        subject: string(info.subject),
        issuer: string(info.issuer),
        subject_alternative: string(info.subject_alternative),
        serial: string(info.serial),
    }
}

fn secure(request: &probity_tls_request) -> Secure {
    // SAFETY: the library lends what it gives.
    let alpn = unsafe { crate::boundary::slice(request.alpn, request.alpn_length) };
    let text = |name: &probity_bytes| String::from_utf8(vec(*name)).expect("a name");
    let version = |number| match number {
        PROBITY_TLS_1_2 => TLS_VERSIONS[0],
        PROBITY_TLS_1_3 => TLS_VERSIONS[1],
        other => panic!("a version {other}"),
    };
    Secure {
        server_name: string(request.server_name),
        alpn: alpn.expect("a list").iter().map(text).collect(),
        skip_verify: request.skip_verify == 1,
        min_version: version(request.min_version),
        max_version: version(request.max_version),
    }
}

pub(super) fn reported(report: &probity_report) -> Reported {
    // SAFETY: the library lends what it gives.
    let facts = unsafe { crate::boundary::slice(report.facts, report.facts_length) };
    let facts = facts.expect("a list").iter().map(|fact| Fact {
        name: string(fact.name),
        label: string(fact.label),
        label_value: string(fact.label_value),
        value: fact.value,
    });
    Reported {
        target: report.target,
        outcome: OUTCOMES[report.outcome as usize],
        reason: reason(report.reason),
        detail: string(report.detail),
        phase: PHASES[report.phase as usize],
        transition: HEALTHS[report.transition as usize],
        runs: report.runs,
        due: report.due,
        started: report.started,
        finished: report.finished,
        total: report.total,
        phases: report
            .phases
            .map(|spent| Some(spent).filter(|spent| *spent != PROBITY_NOT_COMPLETED)),
        address: socket_address(report.address),
        // SAFETY: NULL, or the library lends it.
        tls: unsafe { report.tls.as_ref() }.map(tls),
        facts: facts.collect(),
    }
}

fn closed(conn: u32, ended: &Ended, tell: impl FnOnce(u32, &probity_closed) -> probity_result) {
    let why = CLOSED.iter().position(|it| *it == ended.why);
    let info = ended.tls.as_ref().map(tls_info);
    let closed = probity_closed {
        why: why.expect("one of CLOSED") as u32,
        reason: number_of(&ended.reason),
        detail: lend_text(&ended.detail),
        tls: info.as_ref().map_or(null(), std::ptr::from_ref),
        ..zeroed()
    };
    assert_eq!(tell(conn, &closed), Ok);
}

/// What an output asks, in a copy.
fn asked(output: &probity_output) -> (u64, Asked) {
    let conn = output.conn;
    let what = match output.kind {
        PROBITY_OUTPUT_RESOLVE => {
            Asked::Resolve(string(output.name), FAMILIES[output.families as usize])
        }
        PROBITY_OUTPUT_OPEN => Asked::Open {
            conn,
            transport: TRANSPORTS[output.transport as usize],
            to: socket_address(output.address).expect("somewhere to connect to"),
            from: socket_address(output.source).map(|source| source.ip()),
        },
        PROBITY_OUTPUT_SECURE => {
            // SAFETY: lent until the next call.
            let request = unsafe { output.tls.as_ref() };
            Asked::Secure(conn, secure(request.expect("how")))
        }
        PROBITY_OUTPUT_SEND => Asked::Send(conn, vec(output.bytes)),
        PROBITY_OUTPUT_FLUSH => Asked::Flush(conn),
        PROBITY_OUTPUT_CLOSE => Asked::Close(conn),
        PROBITY_OUTPUT_REPORT => {
            // SAFETY: lent until the next call.
            let report = unsafe { output.report.as_ref() };
            Asked::Report(Box::new(reported(report.expect("there is a report"))))
        }
        other => panic!("an output of kind {other}"),
    };
    (output.run, what)
}

impl Host for C {
    fn begin(&mut self, now: u64) {
        assert_eq!(probity_engine_begin(self.engine, now), Ok);
    }

    fn add(&mut self, target: &Target, now: u64) -> Result<u64, String> {
        self.wanted(target, |target, id, error| {
            // SAFETY: made by `wanted`.
            unsafe { probity_engine_add(self.engine, target, now, id, error) }
        })
    }

    fn remove(&mut self, id: u64, now: u64) -> bool {
        probity_engine_remove(self.engine, id, now) == Ok
    }

    fn trigger(&mut self, id: u64, now: u64) -> bool {
        probity_engine_trigger(self.engine, id, now) == Ok
    }

    fn run(&mut self, target: &Target, now: u64) -> Result<u64, String> {
        self.wanted(target, |target, run, error| {
            // SAFETY: made by `wanted`.
            unsafe { probity_engine_run(self.engine, target, now, run, error) }
        })
    }

    fn cancel(&mut self, run: u64, now: u64) {
        assert_eq!(probity_engine_cancel(self.engine, run, now), Ok);
    }

    fn drain(&mut self, now: u64) {
        assert_eq!(probity_engine_drain(self.engine, now), Ok);
    }

    fn shutdown(&mut self, now: u64) {
        assert_eq!(probity_engine_shutdown(self.engine, now), Ok);
    }

    fn handle_timeout(&mut self, now: u64) {
        assert_eq!(probity_engine_handle_timeout(self.engine, now), Ok);
    }

    fn next_timeout(&mut self) -> Option<u64> {
        let mut at = 0;
        // SAFETY: a place of this function.
        let result = unsafe { probity_engine_next_timeout(self.engine, &mut at) };
        (result == Ok).then_some(at)
    }

    fn output(&mut self) -> Option<(u64, Asked)> {
        if let Some(mut given) = self.steps.take() {
            if given.is_empty() {
                given.extend(self.step());
            }
            let first = given.pop_front();
            self.steps = Some(given);
            return first;
        }
        let (result, output) = output(self.engine);
        if result == Nothing {
            return None;
        }
        assert_eq!(result, Ok);
        Some(asked(&output))
    }

    fn tell(&mut self, run: u64, told: Told<'_>, now: u64) {
        let engine = self.engine;
        let result = match told {
            Told::Resolved(found) => {
                let found = found.iter().map(|ip| SocketAddr::new(*ip, 0).into());
                let found: Vec<probity_address> = found.collect();
                // SAFETY: a list of this function.
                unsafe { probity_engine_resolved(engine, run, found.as_ptr(), found.len(), now) }
            }
            Told::Unresolved(reason) => {
                probity_engine_unresolved(engine, run, number_of(reason), now)
            }
            Told::Opened(conn) => probity_engine_opened(engine, run, conn, now),
            Told::Secured(conn, tls) => {
                let info = tls_info(tls);
                // SAFETY: a struct of this function.
                unsafe { probity_engine_secured(engine, run, conn, &info, now) }
            }
            Told::Flushed(conn) => probity_engine_flushed(engine, run, conn, now),
            // SAFETY: bytes of Rust.
            Told::Data(conn, bytes) => unsafe {
                probity_engine_data(engine, run, conn, bytes_of(bytes), now)
            },
            Told::Closed(conn, ended) => {
                closed(conn, ended, |conn, closed| {
                    // SAFETY: a struct of `closed`.
                    unsafe { probity_engine_closed(engine, run, conn, closed, now) }
                });
                Ok
            }
        };
        assert_eq!(result, Ok);
    }

    fn state(&mut self, id: u64) -> Option<State> {
        let mut state: probity_target_state = zeroed();
        // SAFETY: a struct of this function.
        let result = unsafe { probity_engine_target(self.engine, id, &mut state) };
        (result == Ok).then(|| State {
            health: HEALTHS[state.health as usize],
            outcome: OUTCOMES[state.outcome as usize],
            reason: reason(state.reason),
            detail: string(state.detail),
            finished: state.finished,
            total: state.total,
            next: state.next,
            results: state.results,
        })
    }

    fn stats(&mut self, now: u64) -> Stats {
        let mut stats: probity_engine_stats = zeroed();
        // SAFETY: a struct of this function.
        let result = unsafe { probity_engine_stats_of(self.engine, now, &mut stats) };
        assert_eq!(result, Ok);
        Stats {
            runs: stats.runs,
            targets: stats.targets,
            overdue: stats.overdue,
            in_flight: stats.in_flight,
            queued: stats.queued,
            start_lag_p99: stats.start_lag_p99,
        }
    }
}

#[test]
fn scripted_worlds_give_the_transcripts_of_the_engine_itself() {
    for (seed, script) in scripts().iter().enumerate() {
        let (native, c) = (
            play(&mut Native::new(script), script),
            play(&mut C::new(script), script),
        );
        assert_eq!(difference(&native, &c), None, "seed {seed}");
    }
}

#[test]
fn outputs_of_steps_are_those_that_are_asked_for_one_by_one() {
    for (seed, script) in scripts().iter().enumerate() {
        let mut stepping = C::new(script);
        stepping.steps = Some(VecDeque::new());
        let native = play(&mut Native::new(script), script);
        let c = play(&mut stepping, script);
        assert_eq!(difference(&native, &c), None, "seed {seed}");
    }
}
