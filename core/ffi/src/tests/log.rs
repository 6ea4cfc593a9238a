//! What hosts hear of the library, and logs that call back.

use std::ffi::c_void;
use std::sync::Mutex;

use super::transcript::{bytes_of, string};
use super::*;
use crate::log::*;

/// Lines as `level part target message`.
#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no test panics in it").clone()
    }

    /// As a host is given it.
    pub(super) fn context(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }
}

/// Writes down what it is told.
pub(super) unsafe extern "C" fn listening(context: *mut c_void, log: *const probity_log) {
    // SAFETY: what the tests gave, and what the library lends.
    let (heard, log) = unsafe { (&*context.cast::<Heard>(), &*log) };
    assert_eq!(log.size, size_of::<probity_log>());
    let (part, message) = (string(log.part), string(log.message));
    let line = format!("{} {part} {} {message}", log.level, log.target);
    heard.0.lock().expect("no test panics in it").push(line);
}

pub(super) fn engine_with(
    heard: &Heard,
    change: impl FnOnce(&mut probity_engine_config),
) -> (probity_result, probity_engine) {
    let mut engine = probity_engine { bits: 0 };
    let mut with = probity_engine_config {
        seed: bytes_of(&SEED),
        on_log: Some(listening),
        log_context: heard.context(),
        ..zeroed()
    };
    change(&mut with);
    // SAFETY: all places are of this function; who hears lives longer.
    let made = unsafe { probity_engine_new(&with, 0, &mut engine) };
    (made, engine)
}

#[test]
fn refused_targets_are_said_in_words() {
    let (heard, config) = (Heard::default(), modules());
    let (made, engine) = engine_with(&heard, |with| with.targets = 1);
    assert_eq!(made, Ok);
    let (first, id, _) = add(engine, &target(config, "http://192.0.2.7/"));
    assert_eq!(first, Ok);
    assert!(heard.lines().is_empty());
    let second = target(config, "http://192.0.2.8/");
    assert_eq!(add(engine, &second).0, Full);
    assert_eq!(add(engine, &target(config, "http://[/")).0, BadArgument);
    let nameless = probity_target {
        module: lend_text("nobody"),
        ..second
    };
    assert_eq!(add(engine, &nameless).0, NoModule);
    let lines = heard.lines();
    let (start, end) = lines[0].split_once(" no room ").expect("said so");
    assert!(start.starts_with("2 engine ") && !start.ends_with(&id.to_string()));
    assert!(end.starts_with("for another target"), "{lines:?}");
    assert!(
        lines[1].starts_with("2 engine 0 a target was refused: ") && lines[1].contains("http://["),
        "{lines:?}"
    );
    let refused = "2 engine 0 a target was refused: expected a module of ";
    assert!(lines[2].starts_with(refused), "{lines:?}");
    assert!(lines[2].contains("http_2xx") && lines[2].ends_with("found \"nobody\""));
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn targets_that_there_was_no_room_for_are_tried_again() {
    let text = "modules: {http_2xx: {prober: http}}\n\
        jobs: [{job_name: j, module: http_2xx, static_configs: [{targets: [a, b, c]}]}]";
    let (heard, mut config) = (Heard::default(), probity_config { bits: 0 });
    let (name, text) = (lend_text("jobs.yml"), lend_text(text));
    // SAFETY: all places are of this function.
    let parsed = unsafe { probity_config_parse(name, text, 0, &mut config, null_mut()) };
    assert_eq!(parsed, Ok);
    let (made, engine) = engine_with(&heard, |with| with.targets = 2);
    assert_eq!(made, Ok);
    let mut stats: probity_engine_stats = zeroed();
    for _ in 0..2 {
        assert_eq!(probity_engine_apply(engine, config, 0), Full);
        // SAFETY: a struct of this function.
        let told = unsafe { probity_engine_stats_of(engine, 0, &mut stats) };
        assert_eq!((told, stats.targets), (Ok, 2));
    }
    assert_eq!(heard.lines().len(), 2);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn runs_that_cannot_be_made_are_said_once_a_minute() {
    let (heard, config) = (Heard::default(), modules());
    let (made, engine) = engine_with(&heard, |_| ());
    assert_eq!(made, Ok);
    let wanted = target(config, "http://192.0.2.7/");
    let closed = probity_closed {
        why: PROBITY_CLOSED_LOCAL,
        // SAFETY: a text of Rust.
        reason: unsafe { probity_reason_number(lend_text("no_descriptors")) },
        ..zeroed()
    };
    let fail = |now: u64| {
        let mut run = 0;
        // SAFETY: all places are of this function.
        unsafe {
            let ran = probity_engine_run(engine, &wanted, now, &mut run, null_mut());
            assert_eq!(ran, Ok);
            assert_eq!(output(engine).1.kind, PROBITY_OUTPUT_OPEN);
            let told = probity_engine_closed(engine, run, 0, &closed, now);
            assert_eq!(told, Ok);
        }
        assert_eq!(output(engine).1.kind, PROBITY_OUTPUT_REPORT);
        heard.lines().len()
    };
    assert_eq!(fail(SECOND), 1);
    for second in 2..60 {
        assert_eq!(fail(second * SECOND), 1, "{second}");
    }
    assert_eq!(fail(61 * SECOND), 2);
    let lines = heard.lines();
    let start = "2 engine 0 a run could not be made: no_descriptors";
    assert!(lines[0].starts_with(start), "{lines:?}");
    let start = "2 engine 0 59 runs (this is the last) could not be made: no_descriptors";
    assert!(lines[1].starts_with(start), "{lines:?}");
    // What the host has asked for itself is not worth a word.
    let mut run = 0;
    // SAFETY: all places are of this function.
    let ran = unsafe { probity_engine_run(engine, &wanted, 200 * SECOND, &mut run, null_mut()) };
    assert_eq!(ran, Ok);
    assert_eq!(probity_engine_cancel(engine, run, 200 * SECOND), Ok);
    while output(engine).0 == Ok {}
    assert_eq!(heard.lines().len(), 2);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn what_a_hosts_tls_says_is_understood_or_quoted() {
    let heard = Heard::default();
    let (made, engine) = engine_with(&heard, |_| ());
    assert_eq!(made, Ok);
    let secured = |version, cipher| {
        let info = probity_tls_info {
            version: lend_text(version),
            cipher: lend_text(cipher),
            ..zeroed()
        };
        // SAFETY: all places are of this function.
        unsafe { probity_engine_secured(engine, 0, 0, &info, 0) }
    };
    // As OpenSSL, Go and blackbox_exporter call them.
    let suite = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
    for version in ["TLSv1.2", "TLS 1.2", ""] {
        assert_eq!(secured(version, suite), Ok);
    }
    // A handshake that was good stays good with a suite that has no name here.
    assert_eq!(secured("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256"), Ok);
    assert!(heard.lines().is_empty());
    assert_eq!(secured("SSLv3", suite), BadArgument);
    let lines = heard.lines();
    let start = "2 engine 0 probity_tls_info.version: expected ";
    let said = lines.len() == 1 && lines[0].starts_with(start);
    assert!(said && lines[0].ends_with("found \"SSLv3\""), "{lines:?}");
    assert_eq!(probity_engine_free(engine), Ok);
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_what_it_lacks() {
    let heard = Heard::default();
    let (made, engine) = engine_with(&heard, |with| with.tls = PROBITY_TLS_LIBRARY);
    assert_eq!((made, engine.bits), (Unsupported, 0));
    let lines = heard.lines();
    let line = "1 tls 0 expected TLS to be left to the host (PROBITY_TLS_HOST), found \
        PROBITY_TLS_LIBRARY: this build has none";
    assert_eq!(lines, [line]);
}

unsafe extern "C" fn frees(context: *mut c_void, _: *const probity_log) {
    // SAFETY: what the test gave.
    let engine = unsafe { &*context.cast::<Mutex<u64>>() };
    let bits = *engine.lock().expect("nobody panics");
    assert_eq!(probity_engine_free(probity_engine { bits }), Ok);
}

#[test]
fn an_engine_that_its_log_frees_is_gone_after_the_call() {
    let (config, heard, freed) = (modules(), Heard::default(), Mutex::new(0));
    let (made, engine) = engine_with(&heard, |with| {
        with.targets = 1;
        with.on_log = Some(frees);
        with.log_context = (&raw const freed).cast_mut().cast();
    });
    assert_eq!(made, Ok);
    *freed.lock().expect("nobody panics") = engine.bits;
    assert_eq!(add(engine, &target(config, "http://192.0.2.7/")).0, Ok);
    assert_eq!(add(engine, &target(config, "http://192.0.2.8/")).0, Full);
    assert_eq!(probity_engine_begin(engine, 0), BadHandle);
    // So is what a step has written: its code says so.
    let (made, engine) = engine_with(&heard, |with| {
        with.in_flight = 1;
        with.on_log = Some(frees);
        with.log_context = (&raw const freed).cast_mut().cast();
    });
    assert_eq!(made, Ok);
    for name in ["http://192.0.2.7/", "http://192.0.2.8/"] {
        assert_eq!(add(engine, &target(config, name)).0, Ok);
    }
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    *freed.lock().expect("nobody panics") = engine.bits;
    let mut room = [zeroed::<probity_output>(); 4];
    let (mut length, mut next) = (0, 0);
    // The runs that it has no room for are overdue, of which it speaks.
    let times = [0, 100, 1_000].map(|seconds| seconds * SECOND);
    let steps = times.map(|now| {
        let first = room.as_mut_ptr();
        // SAFETY: four structs, and places of this function.
        unsafe { probity_engine_step(engine, now, first, 4, &mut length, &mut next) }
    });
    let end = steps.iter().position(|it| *it != Ok).expect("it spoke");
    assert!(steps[end..].iter().all(|it| *it == BadHandle), "{steps:?}");
    assert_eq!(probity_config_free(config), Ok);
}

/// An engine's log that calls back, and what came of it.
struct Nosy {
    engine: Mutex<u64>,
    other: probity_engine,
    got: Mutex<Vec<probity_result>>,
}

unsafe extern "C" fn calls_back(context: *mut c_void, _: *const probity_log) {
    // SAFETY: what the test gave.
    let nosy = unsafe { &*context.cast::<Nosy>() };
    let engine = probity_engine {
        bits: *nosy.engine.lock().expect("nobody panics"),
    };
    let mut state: probity_target_state = zeroed();
    // SAFETY: a struct of this function.
    let target = unsafe { probity_engine_target(engine, 1, &mut state) };
    let mut got = nosy.got.lock().expect("nobody panics");
    got.extend([
        probity_engine_begin(engine, 0),
        target,
        output(engine).0,
        probity_engine_handle_timeout(engine, 0),
        probity_engine_begin(nosy.other, 0),
    ]);
}

#[test]
fn a_log_that_calls_back_gets_a_code_and_may_use_other_handles() {
    let (config, heard) = (modules(), Heard::default());
    let nosy = Nosy {
        engine: Mutex::new(0),
        other: engine(),
        got: Mutex::default(),
    };
    let (made, engine) = engine_with(&heard, |with| {
        with.targets = 1;
        with.on_log = Some(calls_back);
        with.log_context = (&raw const nosy).cast_mut().cast();
    });
    assert_eq!(made, Ok);
    *nosy.engine.lock().expect("nobody panics") = engine.bits;
    assert_eq!(add(engine, &target(config, "http://192.0.2.7/")).0, Ok);
    assert_eq!(add(engine, &target(config, "http://192.0.2.8/")).0, Full);
    let got = std::mem::take(&mut *nosy.got.lock().expect("nobody panics"));
    assert_eq!(got, [InUse, InUse, InUse, InUse, Ok]);
    // The engine is as it was.
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    assert_eq!(probity_engine_free(nosy.other), Ok);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[cfg(feature = "driver")]
mod driver {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use super::super::driver::{add, start};
    use super::*;
    use crate::callback::InCallback;
    use crate::driver::*;
    use crate::notices::{Destination, Forwarder, Queue, probity_notice};

    #[test]
    fn a_driver_says_what_it_can_do_what_it_refuses_and_that_it_has_stopped() {
        let (heard, config) = (Heard::default(), modules());
        let driver = start(|with| {
            with.in_flight = u32::MAX;
            with.on_log = Some(listening);
            with.log_context = heard.context();
        });
        assert_eq!(add(driver, &target(config, "http://[/")), BadArgument);
        assert_eq!(probity_driver_free(driver), Ok);
        let lines = heard.lines();
        let starts = [
            "2 driver 0 expected room for 4294967295 runs in flight, found ",
            "3 driver 0 started: 1 workers, room for ",
            "2 driver 0 a target was refused: ",
            "3 driver 0 stopped",
        ];
        assert_eq!(lines.len(), starts.len(), "{lines:?}");
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
        assert_eq!(probity_config_free(config), Ok);
    }

    #[test]
    fn runs_that_the_workers_cannot_make_are_said_once() {
        let heard = Heard::default();
        let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = server.local_addr().expect("it is bound").to_string();
        let text = r#"{"modules": {"http_2xx":
            {"prober": "tcp", "tcp": {"tls": true, "tls_config": {"ca": "nonsense"}}}}}"#;
        let mut config = probity_config { bits: 0 };
        let (name, text) = (lend_text("x.json"), lend_text(text));
        // SAFETY: all places are of this function.
        let parsed = unsafe { probity_config_parse(name, text, 0, &mut config, null_mut()) };
        assert_eq!(parsed, Ok);
        let driver = start(|with| {
            with.on_log = Some(listening);
            with.log_context = heard.context();
        });
        let wanted = probity_target {
            id: 77,
            interval: SECOND / 20,
            ..target(config, &address)
        };
        assert_eq!(add(driver, &wanted), Ok);
        assert_eq!(probity_driver_begin(driver), Ok);
        let (begun, mut notices) = (Instant::now(), 0);
        while notices < 3 {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is probed");
            let mut notice: probity_notice = zeroed();
            // SAFETY: a struct of this function.
            if unsafe { probity_driver_notice(driver, &mut notice, null_mut()) } == Ok {
                notices += 1;
            }
        }
        assert_eq!(probity_driver_free(driver), Ok);
        let lines = heard.lines();
        let about =
            |line: &&String| line.starts_with("2 driver 77 a run could not be made: local_tls");
        assert_eq!(lines.iter().filter(about).count(), 1, "{lines:?}");
        assert_eq!(probity_config_free(config), Ok);
    }

    #[test]
    fn a_driver_that_stops_by_itself_is_an_error() {
        let handle = ::probity_driver::Driver::start(::probity_driver::Config {
            workers: 1,
            ..::probity_driver::Config::default()
        });
        let handle = handle.expect("the system has room");
        for (stopping, line) in [
            (true, "3 driver 0 stopped"),
            (
                false,
                "1 driver 0 a worker has panicked and all have stopped",
            ),
        ] {
            let heard = Heard::default();
            let forwarder = Forwarder {
                handle: handle.clone(),
                destination: Destination::Queue(Arc::new(Queue::new().expect("a pipe"))),
                in_callback: Arc::new(InCallback::default()),
                lost: Arc::default(),
                stopping: Arc::new(AtomicBool::new(stopping)),
                log: Arc::new(Log::new(Some(listening), heard.context())),
            };
            handle.shutdown(Duration::ZERO);
            forwarder.run();
            let lines = heard.lines();
            assert!(lines.len() == 1 && lines[0].starts_with(line), "{lines:?}");
        }
    }

    #[test]
    fn lost_notices_are_said_once_a_minute() {
        let heard = Heard::default();
        let log = Log::new(Some(listening), heard.context());
        let at = |seconds: u64| ::probity_engine::Instant::from_nanos(seconds * SECOND);
        log.lost(0, at(0));
        log.lost(5, at(1));
        log.lost(2, at(60));
        log.lost(1, at(61));
        log.lost(0, at(1000));
        let end = "notices were lost: nobody took those before them";
        let said = [5, 3].map(|count| format!("2 driver 0 {count} {end}"));
        assert_eq!(heard.lines(), said);
    }

    /// A driver's log that calls back, and what came of it.
    struct Nosy {
        driver: Mutex<u64>,
        got: Mutex<Vec<probity_result>>,
        called: AtomicBool,
    }

    unsafe extern "C" fn never(_: *mut c_void, _: *const probity_report) {
        panic!("nothing was asked");
    }

    unsafe extern "C" fn calls_back(context: *mut c_void, _: *const probity_log) {
        // SAFETY: what the test gave.
        let nosy = unsafe { &*context.cast::<Nosy>() };
        let driver = probity_driver {
            bits: *nosy.driver.lock().expect("nobody panics"),
        };
        let wanted: probity_target = zeroed();
        let (mut now, mut room) = (0, [0; 8]);
        let mut text = probity_buffer {
            data: room.as_mut_ptr(),
            capacity: room.len(),
            length: 0,
        };
        // SAFETY: all places are of this function.
        let with_places = unsafe {
            [
                probity_driver_add(driver, &wanted, null_mut(), null_mut()),
                probity_driver_run(driver, &wanted, Some(never), null_mut(), null_mut()),
                probity_driver_now(driver, &mut now),
                probity_driver_render(driver, &mut text),
            ]
        };
        let mut got = nosy.got.lock().expect("nobody panics");
        got.extend(with_places);
        got.extend([
            probity_driver_begin(driver),
            probity_driver_remove(driver, 1),
            probity_driver_shutdown(driver, 0),
            probity_driver_free(driver),
        ]);
        nosy.called.store(true, Ordering::Release);
    }

    #[test]
    fn a_log_that_calls_its_driver_back_gets_a_code() {
        let (nosy, config) = (
            Nosy {
                driver: Mutex::new(0),
                got: Mutex::default(),
                called: AtomicBool::new(false),
            },
            modules(),
        );
        let driver = start(|with| {
            with.on_log = Some(calls_back);
            with.log_context = (&raw const nosy).cast_mut().cast();
        });
        let take = || std::mem::take(&mut *nosy.got.lock().expect("nobody panics"));
        // There was no handle yet.
        assert!(take().iter().all(|got| *got == BadHandle));
        *nosy.driver.lock().expect("nobody panics") = driver.bits;
        assert_eq!(add(driver, &target(config, "http://[/")), BadArgument);
        let got = take();
        assert!(
            got.len() == 8 && got.iter().all(|got| *got == InUse),
            "{got:?}"
        );
        // On a thread of the library, when it ends.
        nosy.called.store(false, Ordering::Release);
        assert_eq!(probity_driver_shutdown(driver, 0), Ok);
        while !nosy.called.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let got = take();
        assert!(
            got.len() == 8 && got.iter().all(|got| *got == InUse),
            "{got:?}"
        );
        assert_eq!(probity_driver_free(driver), Ok);
        assert_eq!(probity_config_free(config), Ok);
    }

    /// A log whose call goes on until it is told.
    #[derive(Default)]
    struct Slow {
        slow: AtomicBool,
        inside: AtomicBool,
        over: AtomicBool,
        left: AtomicBool,
    }

    unsafe extern "C" fn stays(context: *mut c_void, _: *const probity_log) {
        // SAFETY: what the test gave.
        let slow = unsafe { &*context.cast::<Slow>() };
        if slow.slow.swap(false, Ordering::AcqRel) {
            slow.inside.store(true, Ordering::Release);
            wait_for(|| slow.over.load(Ordering::Acquire));
            slow.left.store(true, Ordering::Release);
        }
    }

    fn wait_for(it: impl Fn() -> bool) {
        while !it() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn who_frees_a_driver_waits_for_calls_of_others_and_their_callbacks() {
        let (slow, config) = (Slow::default(), modules());
        let driver = start(|with| {
            with.on_log = Some(stays);
            with.log_context = (&raw const slow).cast_mut().cast();
        });
        slow.slow.store(true, Ordering::Release);
        thread::scope(|scope| {
            scope.spawn(|| add(driver, &target(config, "http://[/")));
            wait_for(|| slow.inside.load(Ordering::Acquire));
            let free = scope.spawn(|| {
                let freed = probity_driver_free(driver);
                (freed, slow.left.load(Ordering::Acquire))
            });
            // It is gone for everybody at once,
            wait_for(|| probity_driver_begin(driver) == BadHandle);
            // and who freed it has time for a mistake.
            thread::sleep(Duration::from_millis(50));
            slow.over.store(true, Ordering::Release);
            assert_eq!(free.join().expect("no call panics"), (Ok, true));
        });
        assert_eq!(probity_driver_free(driver), BadHandle);
        assert_eq!(probity_config_free(config), Ok);
    }
}
