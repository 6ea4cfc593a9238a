//! Callers that do everything wrong, and one that does it right. C programs are
//! in `tests/`; what they cannot well do (a call from within a call) is here.

use std::ffi::c_void;
use std::ptr::{null, null_mut};
use std::sync::Barrier;
use std::thread;

use crate::boundary::lend_text;
use crate::config::*;
use crate::engine::*;
use crate::input::*;
use crate::log::probity_log;
use crate::output::*;
use crate::report::*;
use crate::result::probity_result::{self, *};
use crate::types::*;
use crate::version::*;

#[cfg(feature = "driver")]
mod driver;
mod log;
mod mistakes;
#[cfg(feature = "tls")]
mod tls;
mod transcript;

const SEED: [u8; 32] = [7; 32];
const SECOND: u64 = 1_000_000_000;

fn zeroed<T: crate::boundary::Sized_>() -> T {
    // SAFETY: every pattern of bits is a value: see `Sized_`.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: every such struct begins with its size.
    unsafe { (&raw mut value).cast::<usize>().write(size_of::<T>()) };
    value
}

fn modules() -> probity_config {
    let mut config = probity_config { bits: 0 };
    let empty = lend_text("");
    // SAFETY: everything is as the functions want it, here and below, but for
    // what a test is about.
    let result =
        unsafe { probity_config_parse(empty, empty, PROBITY_FILES_NONE, &mut config, null_mut()) };
    assert_eq!(result, Ok);
    config
}

fn engine() -> probity_engine {
    let mut engine = probity_engine { bits: 0 };
    let mut config = probity_engine_config {
        seed: probity_bytes {
            data: SEED.as_ptr(),
            length: SEED.len(),
        },
        reserved: 1,
        ..zeroed()
    };
    // SAFETY: as above.
    let result = unsafe { probity_engine_new(&config, 0, &mut engine) };
    assert_eq!(result, BadArgument, "it may come to mean something");
    config.reserved = 0;
    // SAFETY: as above.
    let result = unsafe { probity_engine_new(&config, 0, &mut engine) };
    assert_eq!(result, Ok);
    engine
}

fn target(config: probity_config, name: &str) -> probity_target {
    probity_target {
        config,
        module: lend_text("http_2xx"),
        target: lend_text(name),
        interval: SECOND,
        ..zeroed()
    }
}

fn add(engine: probity_engine, target: &probity_target) -> (probity_result, u64, String) {
    let mut id = 0;
    let mut room = [0; 200];
    let mut error = probity_buffer {
        data: room.as_mut_ptr(),
        capacity: room.len(),
        length: 0,
    };
    // SAFETY: as above.
    let result = unsafe { probity_engine_add(engine, target, 0, &mut id, &mut error) };
    let said: Vec<u8> = room
        .iter()
        .map(|c| *c as u8)
        .take_while(|c| *c != 0)
        .collect();
    (
        result,
        id,
        String::from_utf8(said).expect("errors are UTF-8"),
    )
}

fn output(engine: probity_engine) -> (probity_result, probity_output) {
    let mut asked = zeroed();
    // SAFETY: as above.
    let result = unsafe { probity_engine_output(engine, &mut asked) };
    (result, asked)
}

#[test]
fn a_target_is_probed_from_end_to_end() {
    let (config, engine) = (modules(), engine());
    let (result, id, _) = add(engine, &target(config, "http://192.0.2.7:8080/"));
    assert_eq!(result, Ok);
    assert_eq!(probity_config_free(config), Ok);
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    let mut now = 0;
    // SAFETY: as above.
    assert_eq!(unsafe { probity_engine_next_timeout(engine, &mut now) }, Ok);
    while output(engine).0 == Nothing {
        // SAFETY: as above.
        assert_eq!(unsafe { probity_engine_next_timeout(engine, &mut now) }, Ok);
        assert_eq!(probity_engine_handle_timeout(engine, now), Ok);
        let (result, asked) = output(engine);
        if result == Ok {
            assert_eq!(asked.kind, PROBITY_OUTPUT_OPEN);
            assert_eq!((asked.address.family, asked.address.port), (4, 8080));
            assert_eq!(
                probity_engine_opened(engine, asked.run, asked.conn, now),
                Ok
            );
            break;
        }
    }
    let (result, asked) = output(engine);
    assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_SEND));
    // SAFETY: lent until the next call.
    let sent = unsafe { std::slice::from_raw_parts(asked.bytes.data, asked.bytes.length) };
    assert!(sent.starts_with(b"GET / HTTP/1.1\r\nHost: 192.0.2.7:8080\r\n"));
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for byte in answer {
        let bytes = probity_bytes {
            data: byte,
            length: 1,
        };
        // SAFETY: as above.
        let told = unsafe { probity_engine_data(engine, asked.run, asked.conn, bytes, now + 1000) };
        assert_eq!(told, Ok);
    }
    assert_eq!(output(engine).1.kind, PROBITY_OUTPUT_CLOSE);
    let (result, asked) = output(engine);
    assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_REPORT));
    // SAFETY: lent until the next call.
    let (report, facts) = unsafe {
        let report = &*asked.report;
        (
            report,
            std::slice::from_raw_parts(report.facts, report.facts_length),
        )
    };
    assert_eq!(report.target, id);
    assert_eq!(report.outcome, PROBITY_OUTCOME_SUCCESS);
    assert_eq!(report.transition, PROBITY_HEALTH_UP);
    assert_eq!(report.phases[PROBITY_PHASE_PROCESSING as usize], 1000);
    assert_eq!(
        report.phases[PROBITY_PHASE_TLS as usize],
        PROBITY_NOT_COMPLETED
    );
    let status = facts.iter().find(|fact| {
        // SAFETY: constant.
        let name = unsafe { crate::boundary::text(fact.name) };
        name == Result::Ok("probe_http_status_code")
    });
    assert_eq!(status.map(|fact| fact.value), Some(200.0));
    let mut state: probity_target_state = zeroed();
    // SAFETY: as above.
    let result = unsafe { probity_engine_target(engine, id, &mut state) };
    assert_eq!((result, state.health), (Ok, PROBITY_HEALTH_UP));
    assert_eq!(state.results, [1, 0, 0, 0]);
    assert_eq!(probity_engine_remove(engine, id, now), Ok);
    assert_eq!(probity_engine_remove(engine, id, now), NoTarget);
    assert_eq!(probity_engine_free(engine), Ok);
}

#[test]
fn null_is_never_followed() {
    let (config, engine) = (modules(), engine());
    let empty = lend_text("");
    // SAFETY: NULL is legal everywhere, and answered.
    unsafe {
        let parsed = probity_config_parse(empty, empty, 0, null_mut(), null_mut());
        assert_eq!(parsed, BadPointer);
        assert_eq!(probity_config_targets(config, null_mut()), BadPointer);
        assert_eq!(probity_config_target(config, 0, null_mut()), BadPointer);
        assert_eq!(probity_engine_new(null(), 0, null_mut()), BadPointer);
        let mut made = probity_engine { bits: 0 };
        assert_eq!(probity_engine_new(null(), 0, &mut made), BadPointer);
        assert_eq!(made.bits, 0);
        let added = probity_engine_add(engine, null(), 0, null_mut(), null_mut());
        assert_eq!(added, BadPointer);
        let mut run = 0;
        let ran = probity_engine_run(engine, null(), 0, &mut run, null_mut());
        assert_eq!(ran, BadPointer);
        let wanted = target(config, "http://192.0.2.7/");
        let ran = probity_engine_run(engine, &wanted, 0, null_mut(), null_mut());
        assert_eq!(ran, BadPointer);
        let id = astray(&mut run);
        let added = probity_engine_add(engine, &wanted, 0, id, null_mut());
        assert_eq!(added, BadPointer);
        let mut stats: probity_engine_stats = zeroed();
        assert_eq!(probity_engine_stats_of(engine, 0, &mut stats), Ok);
        assert_eq!(stats.targets, 0, "nothing was done");
        assert_eq!(probity_engine_next_timeout(engine, null_mut()), BadPointer);
        assert_eq!(probity_engine_output(engine, null_mut()), BadPointer);
        assert_eq!(probity_engine_target(engine, 1, null_mut()), NoTarget);
        assert_eq!(probity_engine_stats_of(engine, 0, null_mut()), BadPointer);
        assert_eq!(probity_engine_resolved(engine, 0, null(), 1, 0), BadPointer);
        assert_eq!(
            probity_engine_resolved(engine, 0, null(), 0, 0),
            BadArgument
        );
        assert_eq!(probity_engine_secured(engine, 0, 0, null(), 0), BadPointer);
        assert_eq!(probity_engine_closed(engine, 0, 0, null(), 0), BadPointer);
        let nothing = probity_bytes {
            data: null(),
            length: 0,
        };
        assert_eq!(probity_engine_data(engine, 0, 0, nothing, 0), Ok);
        let something = probity_bytes {
            data: null(),
            length: 1,
        };
        assert_eq!(probity_engine_data(engine, 0, 0, something, 0), BadPointer);
        // The empty text has no module.
        let nameless = probity_target { config, ..zeroed() };
        assert_eq!(add(engine, &nameless).0, NoModule);
    }
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn what_was_freed_or_never_made_is_told_apart_from_what_is_there() {
    let (config, first) = (modules(), engine());
    assert_eq!(probity_engine_free(first), Ok);
    assert_eq!(probity_engine_free(first), BadHandle);
    // In the place of the first one, most likely, and yet another.
    let second = engine();
    assert_eq!(probity_engine_begin(first, 0), BadHandle);
    assert_eq!(output(first).0, BadHandle);
    assert_eq!(probity_engine_apply(first, config, 0), BadHandle);
    for bits in [0, 1, u64::MAX, second.bits ^ 1 << 63, second.bits + 1000] {
        let wrong = probity_engine { bits };
        assert_eq!(probity_engine_begin(wrong, 0), BadHandle, "{bits:#x}");
        assert_eq!(probity_engine_free(wrong), BadHandle, "{bits:#x}");
    }
    // One of another kind, though it came as early.
    let mistaken = probity_engine { bits: config.bits };
    assert_eq!(probity_engine_free(mistaken), BadHandle);
    assert_eq!(probity_engine_begin(mistaken, 0), BadHandle);
    assert_eq!(probity_config_free(config), Ok);
    assert_eq!(probity_engine_apply(second, config, 0), BadHandle);
    assert_eq!(
        add(second, &target(config, "http://192.0.2.7/")).0,
        BadHandle
    );
    assert_eq!(probity_engine_begin(second, 0), Ok);
    assert_eq!(probity_engine_free(second), Ok);
}

extern "C" fn never_told(_: *mut c_void, _: *const probity_log) {
    panic!("there is nothing to tell");
}

#[test]
fn sizes_of_other_versions_are_understood_or_refused() {
    let (config, engine) = (modules(), engine());
    let mut wanted = target(config, "http://192.0.2.7/");
    for size in [
        0,
        1,
        size_of::<usize>(),
        size_of_val(&wanted) - 1,
        5000,
        usize::MAX,
    ] {
        wanted.size = size;
        assert_eq!(add(engine, &wanted).0, BadSize, "{size}");
    }
    let first = <probity_engine_config as crate::boundary::Sized_>::FIRST;
    let whole = size_of::<probity_engine_config>();
    for size in (first..whole).filter(|size| !size.is_multiple_of(align_of::<usize>())) {
        // Those that would take a callback, or what it is given, in part.
        let with = probity_engine_config {
            size,
            seed: transcript::bytes_of(&SEED),
            on_log: Some(never_told),
            ..zeroed()
        };
        let mut made = probity_engine { bits: 0 };
        // SAFETY: all places are of this function.
        let result = unsafe { probity_engine_new(&with, 0, &mut made) };
        assert_eq!((result, made.bits), (BadSize, 0), "{size}");
    }
    #[repr(C)]
    struct Newer {
        wanted: probity_target,
        beyond: u64,
    }
    let mut newer = Newer {
        wanted: target(config, "http://192.0.2.7/"),
        beyond: 0,
    };
    newer.wanted.size = size_of::<Newer>();
    let place = (&raw const newer).cast::<probity_target>();
    // SAFETY: as large as it says.
    let result = unsafe { probity_engine_add(engine, place, 0, null_mut(), null_mut()) };
    assert_eq!(result, Ok);
    newer.beyond = 1;
    let place = (&raw const newer).cast::<probity_target>();
    // SAFETY: as large as it says.
    let result = unsafe { probity_engine_add(engine, place, 0, null_mut(), null_mut()) };
    assert_eq!(result, BadSize);
    let mut asked: probity_output = zeroed();
    asked.size = <probity_output as crate::boundary::Sized_>::FIRST - 8;
    // SAFETY: larger than it says.
    assert_eq!(
        // SAFETY: as everywhere.
        unsafe { probity_engine_output(engine, &mut asked) },
        BadSize
    );
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn lengths_that_no_object_has_are_refused() {
    let (config, engine) = (modules(), engine());
    let huge = |text: &str| probity_text {
        length: (1 << 30) + 1,
        ..lend_text(text)
    };
    let wanted = probity_target {
        target: huge("http://192.0.2.7/"),
        ..target(config, "")
    };
    assert_eq!(add(engine, &wanted).0, BadPointer);
    let bytes = probity_bytes {
        data: SEED.as_ptr(),
        length: usize::MAX,
    };
    // SAFETY: it is not followed.
    unsafe {
        assert_eq!(probity_engine_data(engine, 0, 0, bytes, 0), BadPointer);
        let mut parsed = probity_config { bits: 0 };
        let result = probity_config_parse(huge("name"), huge("text"), 0, &mut parsed, null_mut());
        assert_eq!(result, BadPointer);
        let place = std::ptr::dangling();
        let result = probity_engine_resolved(engine, 0, place, usize::MAX, 0);
        assert_eq!(result, BadPointer);
    }
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn numbers_out_of_range_are_refused() {
    let (config, engine) = (modules(), engine());
    // SAFETY: as everywhere.
    unsafe {
        for conn in [256, u32::MAX] {
            assert_eq!(probity_engine_opened(engine, 0, conn, 0), BadArgument);
        }
        assert_eq!(probity_engine_unresolved(engine, 0, 0, 0), BadArgument);
        assert_eq!(
            probity_engine_unresolved(engine, 0, u32::MAX, 0),
            BadArgument
        );
        for why in [9, u32::MAX] {
            let closed = probity_closed { why, ..zeroed() };
            assert_eq!(probity_engine_closed(engine, 0, 0, &closed, 0), BadArgument);
        }
        // A failure of the target is not one of ours, and the other way round.
        for (why, reason) in [
            (PROBITY_CLOSED_LOCAL, "connect_refused"),
            (PROBITY_CLOSED_TLS, "no_memory"),
        ] {
            let reason = probity_reason_number(lend_text(reason));
            let closed = probity_closed {
                why,
                reason,
                ..zeroed()
            };
            assert_eq!(probity_engine_closed(engine, 0, 0, &closed, 0), BadArgument);
        }
    }
    let wrong = |change: fn(&mut probity_target)| {
        let mut wanted = target(config, "http://192.0.2.7/");
        change(&mut wanted);
        let (result, _, said) = add(engine, &wanted);
        assert_eq!(result, BadArgument, "{said}");
        said
    };
    assert!(wrong(|it| it.kind = 4).contains("PROBITY_KIND"));
    assert!(wrong(|it| it.interval = 1).contains("interval"));
    assert!(wrong(|it| it.timeout = u64::MAX).contains("timeout"));
    assert!(wrong(|it| it.target = lend_text("http://[/")).contains("http://["));
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// Begins a run by itself, whose connection is about to be opened.
fn ran(engine: probity_engine, config: probity_config) -> u64 {
    let (wanted, mut run) = (target(config, "http://192.0.2.7/"), 0);
    // SAFETY: places of this function.
    let asked = unsafe { probity_engine_run(engine, &wanted, 0, &mut run, null_mut()) };
    assert_eq!((asked, output(engine).1.kind), (Ok, PROBITY_OUTPUT_OPEN));
    run
}

#[test]
fn errors_of_the_system_are_billed_to_whom_they_belong() {
    let (config, engine) = (modules(), engine());
    let run = ran(engine, config);
    let closed = |run, errno| {
        let closed = probity_closed {
            why: PROBITY_CLOSED_ERRNO,
            reason: errno,
            ..zeroed()
        };
        // SAFETY: a struct of this function.
        unsafe { probity_engine_closed(engine, run, 0, &closed, 0) }
    };
    if cfg!(not(feature = "driver")) {
        assert_eq!(closed(run, 111), Unsupported);
    } else {
        for number in [0, 1 << 31, u32::MAX] {
            assert_eq!(closed(run, number), BadArgument);
        }
        assert_eq!(probity_engine_cancel(engine, run, 0), Ok);
        while output(engine).0 == Ok {}
        // As Linux counts them: ECONNREFUSED, EHOSTUNREACH, EMFILE, EINVAL, EBADF.
        for (errno, outcome, reason) in [
            (111, PROBITY_OUTCOME_FAILURE, "connect_refused"),
            (113, PROBITY_OUTCOME_FAILURE, "connect_unreachable"),
            (24, PROBITY_OUTCOME_UNKNOWN, "no_descriptors"),
            (22, PROBITY_OUTCOME_FAILURE, "connect_failed"),
            (9, PROBITY_OUTCOME_UNKNOWN, "internal"),
        ] {
            assert_eq!(closed(ran(engine, config), errno), Ok);
            let (result, asked) = output(engine);
            assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_REPORT));
            // SAFETY: lent until the next call.
            let report = unsafe { &*asked.report };
            // SAFETY: a text of ours.
            let number = unsafe { probity_reason_number(lend_text(reason)) };
            assert_eq!(
                (report.outcome, report.reason),
                (outcome, number),
                "{errno}"
            );
        }
    }
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// A step with room for so many outputs: result, kinds of outputs, and the next time.
fn step(engine: probity_engine, now: u64, room: &mut [probity_output]) -> (Vec<u32>, u64) {
    let (mut length, mut next) = (usize::MAX, 0);
    let (first, capacity) = (room.as_mut_ptr(), room.len());
    // SAFETY: places of this function and its caller.
    let result =
        unsafe { probity_engine_step(engine, now, first, capacity, &mut length, &mut next) };
    assert_eq!(result, Ok);
    (room[..length].iter().map(|it| it.kind).collect(), next)
}

#[test]
fn a_host_may_live_on_steps_alone() {
    let (config, engine) = (modules(), engine());
    for port in 1..=3 {
        let name = format!("http://192.0.2.7:{port}/");
        assert_eq!(add(engine, &target(config, &name)).0, Ok);
    }
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    let mut room = [zeroed::<probity_output>(); 16];
    let (mut now, mut reports) = (0, 0);
    while reports < 9 {
        let (kinds, next) = step(engine, now, &mut room);
        for (index, kind) in kinds.iter().enumerate() {
            let asked = room[index];
            assert_eq!(asked.size, size_of::<probity_output>());
            match *kind {
                PROBITY_OUTPUT_OPEN => {
                    assert_eq!(
                        probity_engine_opened(engine, asked.run, asked.conn, now),
                        Ok
                    );
                }
                PROBITY_OUTPUT_SEND => {
                    // SAFETY: lent, whatever was told of those before it.
                    let sent =
                        unsafe { crate::boundary::slice(asked.bytes.data, asked.bytes.length) };
                    assert!(sent.is_ok_and(|sent| sent.starts_with(b"GET / HTTP/1.1")));
                    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                    let bytes = probity_bytes {
                        data: answer.as_ptr(),
                        length: answer.len(),
                    };
                    // SAFETY: as above.
                    let told =
                        unsafe { probity_engine_data(engine, asked.run, asked.conn, bytes, now) };
                    assert_eq!(told, Ok);
                }
                PROBITY_OUTPUT_REPORT => {
                    assert_eq!(index, kinds.len() - 1, "nothing comes after a report");
                    let before = kinds[..index].iter();
                    assert!(before.clone().all(|it| *it == PROBITY_OUTPUT_CLOSE));
                    // SAFETY: lent until the next call.
                    let report = unsafe { &*asked.report };
                    assert_eq!(report.outcome, PROBITY_OUTCOME_SUCCESS);
                    reports += 1;
                }
                _ => {}
            }
        }
        if kinds.is_empty() {
            assert!(next > now, "there is nothing to do before the next time");
            now = next;
        }
    }
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// Who was away from his sockets for long carries out what waits before anything expires: he
/// has had no look at what came.
#[test]
fn nothing_expires_while_there_are_outputs_left() {
    let (config, engine) = (modules(), engine());
    for port in 1..=3 {
        let (name, mut run) = (format!("http://192.0.2.7:{port}/"), 0);
        let wanted = target(config, &name);
        // SAFETY: places of this function, here and below.
        let asked = unsafe { probity_engine_run(engine, &wanted, 0, &mut run, null_mut()) };
        assert_eq!(asked, Ok);
    }
    let mut end = 0;
    // SAFETY: see above.
    assert_eq!(unsafe { probity_engine_next_timeout(engine, &mut end) }, Ok);
    // Their time is a second.
    let late = SECOND + SECOND / 10;
    let mut room = [zeroed::<probity_output>()];
    let open = || vec![PROBITY_OUTPUT_OPEN];
    assert_eq!(step(engine, 0, &mut room), (open(), 0));
    assert_eq!(step(engine, late, &mut room), (open(), 0));
    assert_eq!(step(engine, late, &mut room), (open(), end));
    // Now he has looked.
    assert_eq!(step(engine, late, &mut room).1, 0, "they are over");
    // And a clock that goes back stands still.
    let (wanted, mut run) = (target(config, "http://192.0.2.7/"), 0);
    while step(engine, late, &mut room).1 == 0 {}
    // SAFETY: see above.
    let asked = unsafe { probity_engine_run(engine, &wanted, 0, &mut run, null_mut()) };
    assert_eq!(asked, Ok);
    let (kinds, next) = step(engine, 0, &mut room);
    assert_eq!(kinds, open());
    assert!(next > late, "its time begins where the clock stands");
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// A place that is not aligned.
fn astray<T>(place: *mut T) -> *mut T {
    place.wrapping_byte_add(1)
}

/// Bytes of a [`probity_output`] in the first version.
const FIRST: usize = <probity_output as crate::boundary::Sized_>::FIRST;

/// A program that was built when outputs were shorter.
#[test]
fn an_older_host_gets_steps_in_structs_of_its_own() {
    const WORDS: usize = FIRST / 8;
    let (config, engine) = (modules(), engine());
    for name in ["http://192.0.2.7/", "http://192.0.2.8/"] {
        assert_eq!(add(engine, &target(config, name)).0, Ok);
    }
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    let mut room = [[7_u64; WORDS]; 3];
    room[0][0] = FIRST as u64;
    let (mut length, mut next, mut now) = (0, 0, 0);
    while length == 0 {
        let first = room.as_mut_ptr().cast();
        // SAFETY: two structs of as many bytes as the first one says.
        let result = unsafe { probity_engine_step(engine, now, first, 2, &mut length, &mut next) };
        assert_eq!(result, Ok);
        now = next.max(now);
    }
    for one in &room[..length] {
        let mut whole = zeroed::<probity_output>();
        // SAFETY: the first bytes of one, and zeros.
        unsafe {
            std::ptr::copy_nonoverlapping(one.as_ptr(), (&raw mut whole).cast(), WORDS);
        }
        assert_eq!((whole.size, whole.kind), (FIRST, PROBITY_OUTPUT_OPEN));
        assert_eq!(probity_engine_cancel(engine, whole.run, now), Ok);
    }
    assert!(
        room[length..]
            .iter()
            .flatten()
            .skip(usize::from(length == 1))
            .all(|it| *it == 7)
    );
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn steps_with_mistakes_are_refused_and_lose_nothing() {
    let (config, engine) = (modules(), engine());
    assert_eq!(add(engine, &target(config, "http://192.0.2.7/")).0, Ok);
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    let now = 10 * SECOND;
    let mut room = [zeroed::<probity_output>(); 2];
    let (mut length, mut next) = (0, 0);
    let first = room.as_mut_ptr();
    // SAFETY: NULL and places that are not aligned are legal, and answered; the rest is as
    // wanted.
    unsafe {
        let steps = [
            probity_engine_step(engine, now, null_mut(), 2, &mut length, &mut next),
            probity_engine_step(engine, now, first, 2, null_mut(), &mut next),
            probity_engine_step(engine, now, first, 2, &mut length, null_mut()),
            probity_engine_step(engine, now, first, usize::MAX, &mut length, &mut next),
            probity_engine_step(engine, now, astray(first), 2, &mut length, &mut next),
            probity_engine_step(engine, now, first, 2, astray(&mut length), &mut next),
            probity_engine_step(engine, now, first, 2, &mut length, astray(&mut next)),
        ];
        assert_eq!(steps, [BadPointer; 7]);
        let none = probity_engine_step(engine, now, first, 0, &mut length, &mut next);
        assert_eq!(none, BadArgument);
        for size in [0, 8, FIRST - 8, size_of::<probity_output>() + 1, 4104] {
            (*first).size = size;
            let result = probity_engine_step(engine, now, first, 2, &mut length, &mut next);
            assert_eq!(result, BadSize, "{size}");
        }
        (*first).size = size_of::<probity_output>();
    }
    assert_eq!(
        step(engine, now, &mut room).0,
        [PROBITY_OUTPUT_REPORT],
        "those missed"
    );
    assert_eq!(step(engine, now, &mut room[..1]).0, [PROBITY_OUTPUT_OPEN]);
    // A newer host, whose structs are longer: what this version does not know is zeros.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct Newer(probity_output, u64);
    let mut newer = [Newer(zeroed(), 7); 2];
    newer[0].0.size = size_of::<Newer>();
    assert_eq!(probity_engine_cancel(engine, room[0].run, now), Ok);
    // SAFETY: as large as it says.
    let result = unsafe {
        let first = newer.as_mut_ptr().cast();
        probity_engine_step(engine, now, first, 2, &mut length, &mut next)
    };
    assert_eq!((result, length), (Ok, 2));
    let kinds = newer.map(|it| (it.0.size, it.0.kind, it.1));
    let size = size_of::<Newer>();
    assert_eq!(
        kinds,
        [
            (size, PROBITY_OUTPUT_CLOSE, 0),
            (size, PROBITY_OUTPUT_REPORT, 0)
        ]
    );
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
    // SAFETY: as above.
    let late = unsafe { probity_engine_step(engine, now, first, 2, &mut length, &mut next) };
    assert_eq!(late, BadHandle);
}

#[test]
fn nobody_is_behind_who_was_given_nothing() {
    let engine = engine();
    assert_eq!(probity_engine_is_behind(engine, u64::MAX), Nothing);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_engine_is_behind(engine, 0), BadHandle);
}

#[test]
fn late_and_invented_events_change_nothing() {
    let engine = engine();
    for run in [0, 1, u64::MAX] {
        assert_eq!(probity_engine_opened(engine, run, 0, 5), Ok);
        assert_eq!(probity_engine_cancel(engine, run, 5), Ok);
    }
    assert_eq!(output(engine).0, Nothing);
    assert_eq!(probity_engine_free(engine), Ok);
}

#[test]
fn a_call_from_another_thread_or_from_within_waits_for_nobody() {
    let engine = engine();
    let within = ENGINES.with(engine.bits, |_| {
        let from_another = thread::scope(|scope| {
            let call = scope.spawn(|| probity_engine_begin(engine, 0));
            call.join().expect("no call panics")
        });
        assert_eq!(from_another, InUse);
        Result::Ok(probity_engine_begin(engine, 0))
    });
    assert_eq!(within, Result::Ok(InUse));
    // Freed while it is in use: the use goes on, and it is gone.
    let freed = ENGINES.with(engine.bits, |_| {
        assert_eq!(probity_engine_free(engine), Ok);
        Result::Ok(())
    });
    assert_eq!(freed, Err(BadHandle));
    assert_eq!(probity_engine_begin(engine, 0), BadHandle);
}

#[test]
fn a_panic_ends_at_the_border_and_leaves_a_handle_that_can_only_be_freed() {
    let engine = engine();
    let result = crate::boundary::guard(|| {
        ENGINES.with(engine.bits, |_| -> crate::result::Result<()> {
            panic!("planted")
        })
    });
    assert_eq!(result, Panicked);
    assert_eq!(probity_engine_begin(engine, 0), Panicked);
    assert_eq!(output(engine).0, Panicked);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_engine_free(engine), BadHandle);
}

#[test]
fn many_threads_make_use_and_free_at_once() {
    let (config, barrier) = (modules(), Barrier::new(8));
    let shared = engine();
    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for round in 0..50 {
                    let own = engine();
                    let result = add(own, &target(config, "http://192.0.2.7/")).0;
                    assert!(matches!(result, Ok | InUse), "{result:?}");
                    let result = probity_engine_handle_timeout(shared, round);
                    assert!(matches!(result, Ok | InUse | BadHandle), "{result:?}");
                    if worker == 7 && round == 25 {
                        assert_eq!(probity_engine_free(shared), Ok);
                    }
                    assert_eq!(probity_engine_free(own), Ok);
                    assert_eq!(probity_engine_begin(own, 0), BadHandle);
                }
            });
        }
    });
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn errors_are_cut_between_characters_and_say_their_length() {
    let mut config = probity_config { bits: 0 };
    let text = "modules: {\u{e4}\u{e4}: {prober: http, h\u{e4}tp: {}}}";
    let mut whole = None;
    for capacity in [
        0, 1, 2, 11, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 500,
    ] {
        let mut room = vec![1; 600];
        let mut error = probity_buffer {
            data: if capacity == 0 {
                null_mut()
            } else {
                room.as_mut_ptr()
            },
            capacity,
            length: 0,
        };
        // SAFETY: as everywhere.
        let result = unsafe {
            probity_config_parse(
                lend_text("x.yml"),
                lend_text(text),
                0,
                &mut config,
                &mut error,
            )
        };
        assert_eq!(result, BadConfig);
        assert_eq!(*whole.get_or_insert(error.length), error.length);
        let bytes: Vec<u8> = room.iter().map(|c| *c as u8).collect();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        let said = str::from_utf8(&bytes[..end]).expect("whole characters");
        assert!(
            bytes[capacity..].iter().all(|byte| *byte == 1),
            "beyond its room"
        );
        assert!(said.len() < capacity.max(1));
        if capacity == 500 {
            assert_eq!(said.len(), error.length);
            assert!(said.starts_with("x.yml:1:"), "{said}");
        }
    }
}

#[test]
fn names_and_numbers_of_reasons_belong_together() {
    for reason in ::probity_engine::Reason::ALL {
        let number = reason_number(*reason);
        // SAFETY: a text of ours.
        assert_eq!(
            // SAFETY: as everywhere.
            unsafe { probity_reason_number(lend_text(reason.name())) },
            number
        );
        // SAFETY: constant.
        let name = unsafe { crate::boundary::text(probity_reason_name(number)) };
        assert_eq!(name, Result::Ok(reason.name()));
    }
    for number in [0, u32::MAX] {
        assert_eq!(probity_reason_name(number).length, 0);
    }
    assert_eq!(probity_phase_name(PROBITY_PHASE_TRANSFER).length, 8);
    assert_eq!(probity_phase_name(5).length, 0);
}
