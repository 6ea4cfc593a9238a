//! The functions that a Wasm host sees, as a host of scripted worlds.

use probity_transcript::{
    Asked, CLOSED, Ended, FAMILIES, Fact, HEALTHS, Host, OUTCOMES, PHASES, Reported, Script,
    Secure, State, Stats, TLS_VERSIONS, TRANSPORTS, Target, Tls, Told,
};

use wasmtime::WasmParams;

use crate::module::{Probity, Reader, Struct, addresses};

const OK: i32 = 0;
const NOTHING: i32 = 1;
const NOT_BEGUN: i32 = 2;
/// `PROBITY_NAMES_HOST`.
const NAMES_HOST: u32 = 1;
/// `PROBITY_NOT_COMPLETED`.
const NOT_COMPLETED: u64 = u64::MAX;
/// Bytes for an error in words.
const ERROR_ROOM: u32 = 4096;
/// `sizeof(probity_output)`, `sizeof(probity_target_state)` and
/// `sizeof(probity_engine_stats)`.
const OUTPUT: u32 = 96;
const STATE: u32 = 96;
const STATS: u32 = 80;

/// An engine in the module, for one script.
pub(crate) struct Wasm<'a> {
    probity: &'a mut Probity,
    config: u64,
    engine: u64,
}

impl<'a> Wasm<'a> {
    pub(crate) fn new(probity: &'a mut Probity, script: &Script) -> Self {
        let (name, text) = (
            probity.lend(b"script"),
            probity.lend(script.config.as_bytes()),
        );
        let place = probity.place;
        let parsed: i32 = probity.call("probity_config_parse", (name, text, 0_u32, place, 0_u32));
        assert_eq!(parsed, OK);
        let config = probity.read(place).u64();
        let with = Struct::new()
            .bytes(probity, &script.seed())
            .u32(0)
            .u32(script.in_flight)
            .u32(0)
            .u32(0)
            .u32(0)
            .u32(script.starts_per_destination)
            .u32(script.burst_per_destination)
            .u32(NAMES_HOST)
            .text(probity, "")
            .text(probity, "")
            .give(probity);
        let made: i32 = probity.call("probity_engine_new", (with, 0_u64, place));
        assert_eq!(made, OK);
        let engine = probity.read(place).u64();
        probity.take_back();
        Self {
            probity,
            config,
            engine,
        }
    }

    /// Calls `function` with the target and a place for what is wrong with it.
    fn wanted(&mut self, function: &str, it: &Target, now: u64) -> Result<u64, String> {
        let probity = &mut *self.probity;
        let target = Struct::new()
            .u64(self.config)
            .text(probity, &it.module)
            .text(probity, &it.target)
            .text(probity, &it.hostname)
            .u64(0)
            .u64(it.interval)
            .u64(it.timeout)
            .u64(it.initial_delay)
            .u32(it.success_threshold)
            .u32(it.failure_threshold)
            .u32(it.kind)
            .u32(0)
            .give(probity);
        let room = probity.reserve(ERROR_ROOM);
        let error = [room, ERROR_ROOM, 0].map(u32::to_le_bytes);
        let error = probity.give(error.as_flattened());
        let place = probity.place;
        let result: i32 = probity.call(function, (self.engine, target, now, place, error));
        let given = match result {
            OK => Ok(probity.read(place).u64()),
            _ => Err(said(&mut probity.read(error))),
        };
        probity.take_back();
        given
    }

    /// Calls a function that cannot fail, and frees what it was given.
    fn must<P: WasmParams>(&mut self, function: &str, params: P) {
        let result: i32 = self.probity.call(function, params);
        assert_eq!(result, OK, "{function}");
        self.probity.take_back();
    }

    fn reason(&mut self, number: u32) -> String {
        self.probity.text_of("probity_reason_name", number)
    }

    fn number_of(&mut self, reason: &str) -> u32 {
        let reason = self.probity.lend(reason.as_bytes());
        self.probity.call("probity_reason_number", reason)
    }

    fn tls_info(&mut self, tls: &Tls) -> u32 {
        let probity = &mut *self.probity;
        Struct::new()
            .text(probity, &tls.version)
            .text(probity, &tls.cipher)
            .text(probity, &tls.alpn)
            .i64(tls.earliest_expiry)
            .i64(tls.chain_expiry)
            .text(probity, &tls.fingerprint_sha256)
            .text(probity, &tls.subject)
            .text(probity, &tls.issuer)
            .text(probity, &tls.subject_alternative)
            .text(probity, &tls.serial)
            .give(probity)
    }

    fn closed(&mut self, run: u64, conn: u32, ended: &Ended, now: u64) {
        let why = CLOSED.iter().position(|it| *it == ended.why);
        let why = why.expect("one of CLOSED") as u32;
        let reason = self.number_of(&ended.reason);
        let tls = ended.tls.as_ref().map_or(0, |tls| self.tls_info(tls));
        let closed = Struct::new()
            .u32(why)
            .u32(reason)
            .text(self.probity, &ended.detail)
            .u32(tls)
            .give(self.probity);
        let engine = self.engine;
        self.must("probity_engine_closed", (engine, run, conn, closed, now));
    }
}

/// What was written to a `probity_buffer`.
fn said(buffer: &mut Reader<'_>) -> String {
    let mut text = buffer.pointer().expect("its room");
    let (capacity, length) = (buffer.u32(), buffer.u32());
    assert!(length < capacity, "an error of {length} bytes");
    let text = str::from_utf8(text.take(length));
    text.expect("texts are UTF-8").to_owned()
}

fn report(it: &mut Reader<'_>) -> (u32, Reported) {
    let _size = it.u32();
    let target = it.u64();
    let outcome = OUTCOMES[it.u32() as usize];
    let reason = it.u32();
    let reported = Reported {
        target,
        outcome,
        reason: String::new(),
        detail: it.text(),
        phase: PHASES[it.u32() as usize],
        transition: HEALTHS[it.u32() as usize],
        runs: it.u64(),
        due: it.u64(),
        started: it.u64(),
        finished: it.u64(),
        total: it.u64(),
        phases: it
            .numbers()
            .map(|spent| (spent != NOT_COMPLETED).then_some(spent)),
        address: it.address(),
        tls: it.pointer().as_mut().map(tls),
        facts: it.list(|fact| Fact {
            name: fact.text(),
            label: fact.text(),
            label_value: fact.text(),
            value: fact.f64(),
        }),
    };
    (reason, reported)
}

fn tls(it: &mut Reader<'_>) -> Tls {
    let _size = it.u32();
    Tls {
        version: it.text(),
        cipher: it.text(),
        alpn: it.text(),
        earliest_expiry: it.i64(),
        chain_expiry: it.i64(),
        fingerprint_sha256: it.text(),
        subject: it.text(),
        issuer: it.text(),
        subject_alternative: it.text(),
        serial: it.text(),
    }
}

fn secure(it: &mut Reader<'_>) -> Secure {
    let _size = it.u32();
    let _options = it.u64();
    let version = |number| match number {
        0x0303 => TLS_VERSIONS[0],
        0x0304 => TLS_VERSIONS[1],
        other => panic!("a version {other}"),
    };
    Secure {
        server_name: it.text(),
        alpn: it.list(Reader::text),
        skip_verify: it.u32() == 1,
        min_version: version(it.u32()),
        max_version: version(it.u32()),
    }
}

impl Host for Wasm<'_> {
    fn begin(&mut self, now: u64) {
        self.must("probity_engine_begin", (self.engine, now));
    }

    fn add(&mut self, target: &Target, now: u64) -> Result<u64, String> {
        self.wanted("probity_engine_add", target, now)
    }

    fn remove(&mut self, id: u64, now: u64) -> bool {
        let call = (self.engine, id, now);
        self.probity.call::<_, i32>("probity_engine_remove", call) == OK
    }

    fn trigger(&mut self, id: u64, now: u64) -> bool {
        let call = (self.engine, id, now);
        self.probity.call::<_, i32>("probity_engine_trigger", call) == OK
    }

    fn run(&mut self, target: &Target, now: u64) -> Result<u64, String> {
        self.wanted("probity_engine_run", target, now)
    }

    fn cancel(&mut self, run: u64, now: u64) {
        self.must("probity_engine_cancel", (self.engine, run, now));
    }

    fn drain(&mut self, now: u64) {
        self.must("probity_engine_drain", (self.engine, now));
    }

    fn shutdown(&mut self, now: u64) {
        self.must("probity_engine_shutdown", (self.engine, now));
    }

    fn handle_timeout(&mut self, now: u64) {
        self.must("probity_engine_handle_timeout", (self.engine, now));
    }

    fn next_timeout(&mut self) -> Option<u64> {
        let place = self.probity.place;
        let call = (self.engine, place);
        match self.probity.call("probity_engine_next_timeout", call) {
            OK => Some(self.probity.read(place).u64()),
            NOTHING | NOT_BEGUN => None,
            other => panic!("result {other}"),
        }
    }

    fn output(&mut self) -> Option<(u64, Asked)> {
        self.probity.expect(OUTPUT);
        let place = self.probity.place;
        let call = (self.engine, place);
        match self.probity.call("probity_engine_output", call) {
            OK => {}
            NOTHING => return None,
            other => panic!("result {other}"),
        }
        let mut it = self.probity.read(place);
        let _size = it.u32();
        let (kind, conn, run) = (it.u32(), it.u32(), it.u64());
        let transport = TRANSPORTS[it.u32() as usize];
        let families = FAMILIES[it.u32() as usize];
        let (address, source) = (it.address(), it.address());
        let (name, bytes) = (it.text(), it.bytes());
        let (mut reported, mut request) = (it.pointer(), it.pointer());
        let mut why = 0;
        let mut asked = match kind {
            1 => Asked::Resolve(name, families),
            2 => Asked::Open {
                conn,
                transport,
                to: address.expect("somewhere to connect to"),
                from: source.map(|source| source.ip()),
            },
            3 => Asked::Secure(conn, secure(request.as_mut().expect("how"))),
            4 => Asked::Send(conn, bytes.to_vec()),
            5 => Asked::Close(conn),
            6 => {
                let (reason, reported) = report(reported.as_mut().expect("there is a report"));
                why = reason;
                Asked::Report(Box::new(reported))
            }
            7 => Asked::Flush(conn),
            other => panic!("an output of kind {other}"),
        };
        if let Asked::Report(reported) = &mut asked {
            reported.reason = self.reason(why);
        }
        Some((run, asked))
    }

    fn tell(&mut self, run: u64, told: Told<'_>, now: u64) {
        let engine = self.engine;
        match told {
            Told::Resolved(found) => {
                let list = self.probity.give(&addresses(found));
                let length = u32::try_from(found.len()).expect("a few");
                let call = (engine, run, list, length, now);
                self.must("probity_engine_resolved", call);
            }
            Told::Unresolved(reason) => {
                let call = (engine, run, self.number_of(reason), now);
                self.must("probity_engine_unresolved", call);
            }
            Told::Opened(conn) => self.must("probity_engine_opened", (engine, run, conn, now)),
            Told::Secured(conn, tls) => {
                let call = (engine, run, conn, self.tls_info(tls), now);
                self.must("probity_engine_secured", call);
            }
            Told::Data(conn, bytes) => {
                let call = (engine, run, conn, self.probity.lend(bytes), now);
                self.must("probity_engine_data", call);
            }
            Told::Flushed(conn) => self.must("probity_engine_flushed", (engine, run, conn, now)),
            Told::Closed(conn, ended) => self.closed(run, conn, ended, now),
        }
    }

    fn state(&mut self, id: u64) -> Option<State> {
        self.probity.expect(STATE);
        let place = self.probity.place;
        let call = (self.engine, id, place);
        if self.probity.call::<_, i32>("probity_engine_target", call) != OK {
            return None;
        }
        let mut it = self.probity.read(place);
        let (_size, _id) = (it.u32(), it.u64());
        let health = HEALTHS[it.u32() as usize];
        let _group = it.u32();
        let outcome = OUTCOMES[it.u32() as usize];
        let reason = it.u32();
        let state = State {
            health,
            outcome,
            reason: String::new(),
            detail: it.text(),
            finished: it.u64(),
            total: it.u64(),
            next: it.u64(),
            results: it.numbers(),
        };
        let reason = self.reason(reason);
        Some(State { reason, ..state })
    }

    fn stats(&mut self, now: u64) -> Stats {
        self.probity.expect(STATS);
        let place = self.probity.place;
        self.must("probity_engine_stats_of", (self.engine, now, place));
        let mut it = self.probity.read(place);
        let _size = it.u32();
        Stats {
            runs: it.numbers(),
            targets: it.u64(),
            overdue: it.u64(),
            in_flight: it.u64(),
            queued: it.u64(),
            start_lag_p99: it.u64(),
        }
    }
}

impl Drop for Wasm<'_> {
    fn drop(&mut self) {
        // After a panic the module may not be fit for another call.
        if std::thread::panicking() {
            return;
        }
        self.must("probity_engine_free", self.engine);
        self.must("probity_config_free", self.config);
    }
}
