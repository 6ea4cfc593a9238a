//! The half with threads, for callers that do everything wrong.

use std::ffi::{c_char, c_void};
use std::ptr::dangling_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::mistakes::saying;
use super::*;
use crate::driver::*;
use crate::notices::probity_notice;

pub(super) fn start(change: impl FnOnce(&mut probity_driver_config)) -> probity_driver {
    let (result, driver, said) = try_start(change);
    assert_eq!(result, Ok, "{said}");
    driver
}

fn try_start(
    change: impl FnOnce(&mut probity_driver_config),
) -> (probity_result, probity_driver, String) {
    let mut driver = probity_driver { bits: 0 };
    let mut with = probity_driver_config {
        workers: 1,
        ..zeroed()
    };
    change(&mut with);
    let (result, said) = saying(|error| {
        // SAFETY: all places are of this function; who hears lives longer.
        unsafe { probity_driver_start(&with, &mut driver, error) }
    });
    (result, driver, said)
}

pub(super) fn add(driver: probity_driver, target: &probity_target) -> probity_result {
    // SAFETY: a struct of the test.
    unsafe { probity_driver_add(driver, target, null_mut(), null_mut()) }
}

/// The module of [`target`], and a job that has one.
fn jobs() -> probity_config {
    let text = "modules: {http_2xx: {prober: http}}\n\
        jobs: [{job_name: j, module: http_2xx, static_configs: [{targets: ['http://127.0.0.1:1/']}]}]";
    let mut config = probity_config { bits: 0 };
    let (name, text) = (lend_text("jobs.yml"), lend_text(text));
    let (result, said) = saying(|error| {
        // SAFETY: all places are of this function.
        unsafe { probity_config_parse(name, text, PROBITY_FILES_NONE, &mut config, error) }
    });
    assert_eq!(result, Ok, "{said}");
    config
}

unsafe extern "C" fn never_done(_: *mut c_void, _: *const probity_report) {
    panic!("nothing was asked");
}

unsafe extern "C" fn never_each(_: *mut c_void, _: *const probity_target_state) {
    panic!("nothing was asked");
}

unsafe extern "C" fn any_done(_: *mut c_void, _: *const probity_report) {}

unsafe extern "C" fn any_each(_: *mut c_void, _: *const probity_target_state) {}

/// What a function was, and what came of it.
type Got = Vec<(&'static str, probity_result)>;

const NEVER: (probity_report_callback, probity_state_callback) =
    (Some(never_done), Some(never_each));
const ANY: (probity_report_callback, probity_state_callback) = (Some(any_done), Some(any_each));

/// What every function with a driver says, given what it wants otherwise.
fn every(
    driver: probity_driver,
    config: probity_config,
    (done, each): (probity_report_callback, probity_state_callback),
) -> Got {
    let wanted = target(config, "http://127.0.0.1:1/");
    let (mut now, mut lost, mut descriptor) = (0, 0, 0);
    let mut notice: probity_notice = zeroed();
    let mut text = probity_buffer {
        data: null_mut(),
        capacity: 0,
        length: 0,
    };
    let context = null_mut();
    // SAFETY: all places are of this function, and the callbacks need no context.
    unsafe {
        vec![
            ("begin", probity_driver_begin(driver)),
            ("apply", probity_driver_apply(driver, config)),
            ("add", add(driver, &wanted)),
            ("remove", probity_driver_remove(driver, 1)),
            (
                "run",
                probity_driver_run(driver, &wanted, done, context, null_mut()),
            ),
            ("now", probity_driver_now(driver, &mut now)),
            (
                "descriptor",
                probity_driver_descriptor(driver, &mut descriptor),
            ),
            (
                "notice",
                probity_driver_notice(driver, &mut notice, null_mut()),
            ),
            ("lost", probity_driver_lost(driver, &mut lost)),
            ("fleet", probity_driver_fleet(driver, each, context)),
            ("render", probity_driver_render(driver, &mut text)),
            ("shutdown", probity_driver_shutdown(driver, 0)),
            ("shutdown again", probity_driver_shutdown(driver, u64::MAX)),
            ("free", probity_driver_free(driver)),
        ]
    }
}

#[test]
fn drivers_that_were_freed_or_never_made_are_told_apart_from_one_that_is_there() {
    let (config, first) = (jobs(), start(|_| ()));
    assert_eq!(probity_driver_free(first), Ok);
    // In the place of the first one, most likely, and yet another.
    let second = start(|_| ());
    let numbers = [0, 1, u64::MAX, second.bits ^ 1 << 63, second.bits + 1000];
    for bits in numbers.into_iter().chain([first.bits]) {
        for (what, result) in every(probity_driver { bits }, config, NEVER) {
            assert_eq!(result, BadHandle, "{what} {bits:#x}");
        }
    }
    assert_eq!(probity_driver_begin(second), Ok);
    assert_eq!(probity_config_free(config), Ok);
    // Of a configuration that is gone it takes nothing.
    assert_eq!(probity_driver_apply(second, config), BadHandle);
    assert_eq!(
        add(second, &target(config, "http://127.0.0.1:1/")),
        BadHandle
    );
    assert_eq!(probity_driver_free(second), Ok);
}

#[test]
fn a_driver_that_has_stopped_says_so_and_calls_nobody() {
    let (config, driver) = (jobs(), start(|_| ()));
    assert_eq!(probity_driver_shutdown(driver, 0), Ok);
    for (what, result) in every(driver, config, NEVER) {
        let expected = match what {
            "now" | "descriptor" | "lost" | "shutdown" | "shutdown again" | "free" => Ok,
            "notice" => Nothing,
            _ => Unavailable,
        };
        assert_eq!(result, expected, "{what}");
    }
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn a_driver_that_takes_no_change_shows_none_of_it() {
    let (config, driver) = (jobs(), start(|_| ()));
    assert_eq!(probity_driver_apply(driver, config), Ok);
    let wanted = target(config, "http://127.0.0.1:2/");
    assert_eq!(add(driver, &wanted), Ok);
    let before = labels_of(driver);
    assert_eq!(before.len(), 2);
    assert_eq!(probity_driver_shutdown(driver, 0), Ok);
    let none = modules();
    assert_eq!(probity_driver_apply(driver, none), Unavailable);
    let third = target(config, "http://127.0.0.1:3/");
    assert_eq!(add(driver, &third), Unavailable);
    for id in before.keys() {
        assert_eq!(probity_driver_remove(driver, *id), Unavailable);
    }
    assert_eq!(labels_of(driver), before);
    assert_eq!(probity_driver_free(driver), Ok);
    for config in [config, none] {
        assert_eq!(probity_config_free(config), Ok);
    }
}

#[test]
fn who_has_forgotten_to_begin_is_told_that_there_will_be_no_notice() {
    let (config, driver) = (jobs(), start(|_| ()));
    let notice = || {
        let mut notice: probity_notice = zeroed();
        // SAFETY: a struct of this function.
        unsafe { probity_driver_notice(driver, &mut notice, null_mut()) }
    };
    assert_eq!(notice(), Nothing, "there are no targets");
    assert_eq!(probity_driver_apply(driver, config), Ok);
    assert_eq!(notice(), NotBegun);
    for id in labels_of(driver).keys() {
        assert_eq!(probity_driver_remove(driver, *id), Ok);
    }
    assert_eq!(notice(), Nothing, "there are none any more");
    let wanted = target(config, "http://127.0.0.1:2/");
    assert_eq!(add(driver, &wanted), Ok);
    assert_eq!(notice(), NotBegun);
    assert_eq!(probity_driver_begin(driver), Ok);
    assert_ne!(notice(), NotBegun);
    assert_eq!(probity_driver_free(driver), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn null_and_crooked_places_are_never_followed() {
    let (config, driver) = (modules(), start(|_| ()));
    let wanted = target(config, "http://127.0.0.1:1/");
    let with = probity_driver_config {
        workers: 1,
        ..zeroed()
    };
    let (nobody, no_words) = (null_mut::<c_void>(), null_mut::<probity_buffer>());
    let (mut made, mut number, mut descriptor) = (probity_driver { bits: 0 }, 0_u64, 0_i32);
    let mut notice: probity_notice = zeroed();
    let mut byte: c_char = 0;
    let mut nowhere = probity_buffer {
        data: null_mut(),
        capacity: 1,
        length: 0,
    };
    let mut endless = probity_buffer {
        data: &mut byte,
        capacity: usize::MAX,
        length: 0,
    };
    // SAFETY: that is what is tried.
    let all = unsafe {
        [
            probity_driver_start(null(), &mut made, no_words),
            probity_driver_start(astray((&raw const with).cast_mut()), &mut made, no_words),
            probity_driver_start(&with, null_mut(), no_words),
            probity_driver_start(&with, astray(&mut made), no_words),
            probity_driver_add(driver, null(), null_mut(), no_words),
            probity_driver_add(
                driver,
                astray((&raw const wanted).cast_mut()),
                null_mut(),
                no_words,
            ),
            probity_driver_add(driver, &wanted, astray(&mut number), no_words),
            probity_driver_run(driver, null(), Some(never_done), nobody, no_words),
            probity_driver_run(driver, &wanted, None, nobody, no_words),
            probity_driver_now(driver, null_mut()),
            probity_driver_now(driver, astray(&mut number)),
            probity_driver_descriptor(driver, null_mut()),
            probity_driver_descriptor(driver, astray(&mut descriptor)),
            probity_driver_notice(driver, null_mut(), no_words),
            probity_driver_notice(driver, &mut notice, &mut nowhere),
            probity_driver_notice(driver, &mut notice, &mut endless),
            probity_driver_notice(driver, &mut notice, astray(&mut endless)),
            probity_driver_lost(driver, null_mut()),
            probity_driver_fleet(driver, None, nobody),
            probity_driver_render(driver, null_mut()),
            probity_driver_render(driver, &mut nowhere),
            probity_driver_render(driver, &mut endless),
            probity_driver_render(driver, astray(&mut endless)),
        ]
    };
    for (number, result) in all.into_iter().enumerate() {
        assert_eq!(result, BadPointer, "number {number}");
    }
    assert_eq!((made.bits, number, byte), (0, 0, 0));
    // Nothing was done either: there is no target.
    let mut text = probity_buffer {
        data: null_mut(),
        capacity: 0,
        length: 7,
    };
    // SAFETY: a struct of this function.
    assert_eq!(unsafe { probity_driver_render(driver, &mut text) }, Ok);
    assert_eq!(text.length, 0);
    // An error without a place to say it in is still that error.
    for place in [
        &raw mut nowhere,
        &raw mut endless,
        dangling_mut::<u8>().cast(),
    ] {
        // SAFETY: as above.
        let result = unsafe { probity_driver_add(driver, null(), null_mut(), place) };
        assert_eq!(result, BadPointer);
    }
    assert_eq!(probity_driver_free(driver), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[test]
fn sizes_and_numbers_that_cannot_be_are_refused() {
    let (config, driver) = (modules(), start(|_| ()));
    let first = <probity_driver_config as crate::boundary::Sized_>::FIRST;
    for size in [0, 1, size_of::<usize>(), first - 1, 4_097, usize::MAX] {
        assert_eq!(try_start(|with| with.size = size).0, BadSize, "{size}");
        let mut wanted = target(config, "http://127.0.0.1:1/");
        wanted.size = size;
        assert_eq!(add(driver, &wanted), BadSize, "{size}");
        // SAFETY: structs of this function, which are larger than they say, or not looked at.
        let (ran, told) = unsafe {
            let mut notice: probity_notice = zeroed();
            notice.size = size;
            (
                probity_driver_run(driver, &wanted, Some(never_done), null_mut(), null_mut()),
                probity_driver_notice(driver, &mut notice, null_mut()),
            )
        };
        assert_eq!((ran, told), (BadSize, BadSize), "{size}");
    }
    // Those that would take a callback in part.
    for size in first + 1..first + 8 {
        assert_eq!(try_start(|with| with.size = size).0, BadSize, "{size}");
    }
    // A program of before there was a log.
    let (result, older, _) = try_start(|with| with.size = first);
    assert_eq!((result, probity_driver_free(older)), (Ok, Ok));
    for workers in [1_025, u32::MAX] {
        let (result, made, said) = try_start(|with| with.workers = workers);
        assert_eq!((result, made.bits), (BadArgument, 0));
        assert_eq!(
            said,
            format!("workers: expected at most 1024, found {workers}")
        );
    }
    assert_eq!(try_start(|with| with.reserved = 1).0, BadArgument);
    let huge = probity_target {
        target: probity_text {
            length: usize::MAX,
            ..lend_text("http://127.0.0.1:1/")
        },
        ..target(config, "")
    };
    assert_eq!(add(driver, &huge), BadPointer);
    let (result, said) = saying(|error| {
        let wanted = probity_target {
            interval: 1,
            ..target(config, "http://127.0.0.1:1/")
        };
        // SAFETY: structs of this function.
        unsafe { probity_driver_run(driver, &wanted, Some(never_done), null_mut(), error) }
    });
    assert_eq!(result, BadArgument);
    assert!(said.contains("interval"), "{said}");
    assert_eq!(probity_driver_free(driver), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// What a callback calls back with, and where it says what came of that.
struct Host {
    driver: AtomicU64,
    config: probity_config,
    got: Mutex<Sender<Got>>,
}

impl Host {
    fn new(config: probity_config) -> (Box<Self>, Receiver<Got>) {
        let (sender, receiver) = channel();
        let host = Box::new(Self {
            driver: AtomicU64::new(0),
            config,
            got: Mutex::new(sender),
        });
        (host, receiver)
    }

    fn has(&self, driver: probity_driver) {
        self.driver.store(driver.bits, Ordering::Release);
    }

    fn driver(&self) -> probity_driver {
        probity_driver {
            bits: self.driver.load(Ordering::Acquire),
        }
    }

    fn context(&self) -> *mut c_void {
        (&raw const *self).cast_mut().cast()
    }
}

/// Calls everything that can be called, the end of the driver included.
///
/// # Safety
/// `context` must be a [`Host`]'s.
unsafe fn call_back(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let host = unsafe { &*context.cast::<Host>() };
    let got = every(host.driver(), host.config, ANY);
    // When it is called again the test may be over.
    let _ = host.got.lock().expect("nobody panics").send(got);
}

unsafe extern "C" fn done_calls_back(context: *mut c_void, _: *const probity_report) {
    // SAFETY: what the test gave.
    unsafe { call_back(context) };
}

unsafe extern "C" fn each_calls_back(context: *mut c_void, state: *const probity_target_state) {
    if state.is_null() {
        // SAFETY: what the test gave.
        unsafe { call_back(context) };
    }
}

unsafe extern "C" fn notice_calls_back(context: *mut c_void, _: *const probity_notice) {
    // SAFETY: what the test gave.
    unsafe { call_back(context) };
}

/// In a callback nothing waits: what would is refused, everything else is done, the end
/// of the driver included, of which the rest then happens by itself.
fn check(host: &Host, got: &Receiver<Got>) {
    let got = got.recv_timeout(Duration::from_secs(60));
    for (what, result) in got.expect("it is called") {
        let expected = match what {
            "render" => InUse,
            "notice" => Nothing,
            _ => Ok,
        };
        let has_callback = what == "descriptor" && result == Nothing;
        assert!(result == expected || has_callback, "{what}: {result:?}");
    }
    assert_eq!(probity_driver_free(host.driver()), BadHandle);
}

#[test]
fn callbacks_that_call_back_get_codes_and_may_end_their_driver() {
    let config = jobs();
    // Nobody listens there.
    let wanted = probity_target {
        interval: SECOND / 20,
        ..target(config, "http://127.0.0.1:1/")
    };
    // The hosts live longer than their callbacks: until the end of the process.
    let new = || {
        let (host, got) = Host::new(config);
        (&*Box::leak(host), got)
    };

    let (host, got) = new();
    host.has(start(|_| ()));
    // SAFETY: as said above, here and below.
    let asked = unsafe {
        let done = Some(done_calls_back as _);
        probity_driver_run(host.driver(), &wanted, done, host.context(), null_mut())
    };
    assert_eq!(asked, Ok);
    check(host, &got);

    let (host, got) = new();
    host.has(start(|_| ()));
    // SAFETY: see above.
    let asked = unsafe {
        let each = Some(each_calls_back as _);
        probity_driver_fleet(host.driver(), each, host.context())
    };
    assert_eq!(asked, Ok);
    check(host, &got);

    let (host, got) = new();
    host.has(start(|with| {
        with.on_notice = Some(notice_calls_back);
        with.context = host.context();
    }));
    assert_eq!(add(host.driver(), &wanted), Ok);
    assert_eq!(probity_driver_begin(host.driver()), Ok);
    check(host, &got);
    assert_eq!(probity_config_free(config), Ok);
}

/// From a callback of one driver.
unsafe extern "C" fn done_ends_the_other(context: *mut c_void, _: *const probity_report) {
    // SAFETY: what the test gave.
    let host = unsafe { &*context.cast::<Host>() };
    let mut buffer = probity_buffer {
        data: null_mut(),
        capacity: 0,
        length: 0,
    };
    // SAFETY: a place of this function.
    let rendered = unsafe { probity_driver_render(host.driver(), &mut buffer) };
    let got = vec![
        ("render", rendered),
        ("free", probity_driver_free(host.driver())),
    ];
    let _ = host.got.lock().expect("nobody panics").send(got);
}

/// Whose callbacks did it to each other would wait for ever.
#[test]
fn a_callback_does_not_wait_for_another_driver() {
    let config = jobs();
    let (host, got) = Host::new(config);
    let host: &Host = Box::leak(host);
    let (one, other) = (start(|_| ()), start(|_| ()));
    host.has(other);
    // SAFETY: it lives as long as the process.
    let asked = unsafe {
        let wanted = target(config, "http://127.0.0.1:1/");
        let done = Some(done_ends_the_other as _);
        probity_driver_run(one, &wanted, done, host.context(), null_mut())
    };
    assert_eq!(asked, Ok);
    let got = got.recv_timeout(Duration::from_secs(60));
    assert_eq!(got.unwrap(), [("render", InUse), ("free", InUse)]);
    assert_eq!(probity_driver_free(other), Ok);
    assert_eq!(probity_driver_free(one), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// A driver, and whether the callback that changes it is over.
struct Busy {
    driver: probity_driver,
    over: AtomicBool,
}

/// More changes than a worker takes between two looks at what it was told.
unsafe extern "C" fn done_changes_much(context: *mut c_void, _: *const probity_report) {
    // SAFETY: what the test gave.
    let busy = unsafe { &*context.cast::<Busy>() };
    for id in 0..3_000 {
        assert_eq!(probity_driver_remove(busy.driver, id), Ok);
    }
    busy.over.store(true, Ordering::Release);
}

/// The worker that calls back empties what others wait to fill.
#[test]
fn a_callback_and_another_thread_may_both_change_much() {
    let config = jobs();
    let busy: &Busy = Box::leak(Box::new(Busy {
        driver: start(|_| ()),
        over: AtomicBool::new(false),
    }));
    // SAFETY: it lives as long as the process.
    let asked = unsafe {
        let wanted = target(config, "http://127.0.0.1:1/");
        let context = (&raw const *busy).cast_mut().cast();
        let done = Some(done_changes_much as _);
        probity_driver_run(busy.driver, &wanted, done, context, null_mut())
    };
    assert_eq!(asked, Ok);
    let (told, both_done) = channel();
    thread::spawn(move || {
        while !busy.over.load(Ordering::Acquire) {
            assert_eq!(probity_driver_remove(busy.driver, 7), Ok);
        }
        let _ = told.send(());
    });
    let done = both_done.recv_timeout(Duration::from_secs(60));
    assert!(done.is_ok(), "nobody waits for ever");
    assert_eq!(probity_driver_free(busy.driver), Ok);
    assert_eq!(probity_config_free(config), Ok);
}
