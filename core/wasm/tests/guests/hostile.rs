//! Guests that do what they may not, each with what is said of it. The host goes
//! on: every one is run beside a guest that is well.

use std::time::{Duration, Instant};

use probity_engine::guest::{Event, FaultKind, Limits, Source};

use crate::support::{Guest, Run, host, source};

/// A thousand times `action`, and the answer.
fn many(times: u32, action: &str) -> String {
    format!(
        "(loop $l
           {action}
           (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $l (i32.lt_u (local.get $i) (i32.const {times}))))
         (call $answer (i32.const {times}))"
    )
}

const RECURSE: &str = "(func $r (param i32) (result i32)
    (i32.add (call $r (local.get 0)) (i32.const 1)))";
const BOMB: &str = "(loop $l
    (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    unreachable";

/// What a guest does when it is told something, and what becomes of it.
fn rows() -> Vec<(Guest, FaultKind, &'static str)> {
    use FaultKind::*;
    let does = |on_event: &str| Guest::answering(on_event);
    let up = "(call $action (local.get $i) (i32.const 6) (i32.const 0) (i32.const 0))";
    let timer = "(call $action (local.get $i) (i32.const 2) (local.get $i) (i32.const 1000))";
    let again = "(call $action (local.get $i) (i32.const 2) (i32.const 0) (i32.const 1000))";
    let send = "(call $action (local.get $i) (i32.const 0) (i32.const 0) (i32.const 65536))";
    vec![
        (does("(loop $l (br $l)) unreachable"), Fuel, "used up the fuel of an event: 2000000"),
        (
            does("(memory.fill (i32.const 0) (i32.const 0) (i32.const 65536)) (loop $l
                (memory.fill (i32.const 8192) (i32.const 0) (i32.const 32768)) (br $l)) unreachable"),
            Fuel,
            "used up the fuel",
        ),
        (
            does("(loop $l (drop (memory.grow (i32.const 0))) (br $l)) unreachable"),
            Fuel,
            "used up the fuel",
        ),
        (does(BOMB), Memory, "wanted more than 2097152 bytes of memory"),
        (does("unreachable"), Panic, "panicked"),
        (
            Guest {
                fields: RECURSE.into(),
                ..does("(call $r (i32.const 0))")
            },
            Stack,
            "nested its calls too deep",
        ),
        (
            does("(i32.load (i32.const 0x7fffff00))"),
            Trap,
            "was stopped: out of bounds memory access",
        ),
        (
            does("(i32.div_u (i32.const 1) (i32.const 0))"),
            Trap,
            "was stopped: integer divide by zero",
        ),
        // Answers that are none.
        (does("(i32.const 0x7fffff00)"), Protocol, "answered what cannot be read"),
        (does("(i32.const 513)"), Protocol, "answered what cannot be read"),
        (
            does("(call $list (i32.const 1024) (i32.const 0x7ffffff))"),
            Protocol,
            "answered what cannot be read",
        ),
        (
            does("(call $list (i32.const 0x7fffff00) (i32.const 1))"),
            Protocol,
            "answered what cannot be read",
        ),
        (
            does("(call $action (i32.const 0) (i32.const 0) (i32.const 65000) (i32.const 65000))
                (call $answer (i32.const 1))"),
            Protocol,
            "answered what cannot be read",
        ),
        (
            does("(call $action (i32.const 0) (i32.const 200) (i32.const 0) (i32.const 0))
                (call $answer (i32.const 1))"),
            Protocol,
            "answered what cannot be read",
        ),
        (
            // A line that is no text.
            does("(i32.store8 (i32.const 600) (i32.const 0xff))
                (call $action (i32.const 0) (i32.const 5) (i32.const 600) (i32.const 1))
                (call $answer (i32.const 1))"),
            Protocol,
            "answered what cannot be read",
        ),
        // Megabytes of output, all of them the same page.
        (does(&many(64, send)), Protocol, "answered what cannot be read"),
        (
            does("(call $list (i32.const 0) (i32.const 2048))"),
            Protocol,
            "answered what cannot be read",
        ),
        (does(&many(40, again)), Protocol, "more than 32 actions"),
        (does(&many(1_000, timer)), Protocol, "more than 8 timers"),
        (does(&many(9, timer)), Protocol, "more than 8 timers"),
        (does(&many(2, up)), Protocol, "after its verdict"),
        (
            Guest {
                realloc: "(i32.const 0x7fffff00)",
                ..Guest::default()
            },
            Protocol,
            "answered what cannot be read",
        ),
        (
            Guest {
                realloc: "unreachable",
                ..Guest::default()
            },
            Panic,
            "panicked",
        ),
    ]
}

#[test]
fn every_guest_that_breaks_is_found_out_and_harms_nobody() {
    let host = host();
    let well = host.load(&source(&Guest::default().module())).unwrap();
    for (guest, kind, words) in rows() {
        let module = guest.module();
        let hostile = host.load(&Source {
            runs_per_instance: 9,
            ..source(&module)
        });
        let hostile = hostile.unwrap_or_else(|why| panic!("{}: {why:?}", guest.on_event));
        let mut beside = Run::open(&well).unwrap();
        beside.on(Event::Connected).unwrap();
        for _ in 0..3 {
            let fault = match Run::open(&hostile) {
                Ok(mut run) => {
                    let fault = run.on(Event::Data(b"x")).expect_err(&guest.on_event);
                    // It is over, and is not asked again.
                    assert_eq!(run.on(Event::Data(b"x")), Ok(Vec::new()));
                    fault
                }
                Err(fault) => fault,
            };
            assert_eq!(fault.kind, kind, "{}: {fault}", guest.on_event);
            assert!(fault.detail.contains(words), "{fault}");
        }
        assert_eq!(beside.on(Event::Data(b"me")).unwrap(), ["Done(Up)"]);
    }
    assert_eq!(host.stats().live, 0);
}

#[test]
fn a_burst_of_guests_that_break_leaves_nothing_behind() {
    let host = host();
    let modules = ["(loop $l (br $l)) unreachable", BOMB, "unreachable"];
    for on_event in modules {
        let plugin = host
            .load(&source(&Guest::answering(on_event).module()))
            .unwrap();
        for _ in 0..200 {
            Run::open(&plugin)
                .unwrap()
                .on(Event::Connected)
                .unwrap_err();
        }
    }
    assert_eq!((host.stats().live, host.stats().full), (0, 0));
}

/// More than an event may take in functions without a loop, after which nothing is called.
#[test]
fn a_guest_that_goes_straight_on_is_stopped_too() {
    let dear = "(drop (ref.func $answer))";
    let long = "(local.set $now (i64.div_u (i64.const 9) (i64.or (local.get $now) (i64.const 3))))";
    // A thousand operators each, of which the last are never come to.
    let passes_over = format!(
        "(block {} (br_if 0 (i32.const 1)) {})",
        long.repeat(100),
        long.repeat(67)
    );
    let comes_back = format!(
        "(func $back (param i32)
           (if (local.get 0) (then (call $back (i32.sub (local.get 0) (i32.const 1)))))
           {})",
        "(local.set 0 (i32.div_u (i32.const 9) (i32.or (local.get 0) (i32.const 3))))".repeat(150)
    );
    let host = host();
    for on_event in [
        dear.repeat(700),
        long.repeat(9_000),
        passes_over.repeat(64),
        "(call $back (i32.const 70))".into(),
    ] {
        let guest = Guest {
            fields: format!("(elem declare func $answer) {comes_back}"),
            ..Guest::answering(format!("{on_event} (i32.const 280)"))
        };
        let module = guest.module();
        let plugin = host.load(&Source {
            limits: Limits {
                fuel_per_event: 100_000,
                ..Limits::DEFAULT
            },
            ..source(&module)
        });
        let mut run = Run::open(&plugin.unwrap()).unwrap();
        let what = &on_event[..25];
        let fault = run.on(Event::Connected).expect_err(what);
        assert_eq!(fault.kind, FaultKind::Fuel, "{what}: {fault}");
    }
}

/// What makes and drops handles of its own sessions, which is none of the guest's code.
const HANDLES: &str = r#"
  (import "[export]probity:check/guest@0.1.0" "[resource-rep]session"
    (func $rep (param i32) (result i32)))
  (import "[export]probity:check/guest@0.1.0" "[resource-drop]session"
    (func $drop (param i32)))"#;

/// What a guest has that burns its fuel.
const FIELDS: &str = r#"
  (type $nothing (func))
  (func $nothing)
  (func $new_too (param i32) (result i32) (return_call $new (local.get 0)))
  (table $own funcref (elem $nothing $new $drop))
  (table $refs 100 funcref)
  (elem $elements func $answer)
  (data $data "x")"#;

/// What fuel can be burnt with.
const DEAR: &[&str] = &[
    "",
    "(local.set $i (i32.load (i32.load (i32.load (i32.load (local.get $i))))))",
    // What wasmtime itself does.
    "(drop (ref.func $answer))",
    "(elem.drop $elements)",
    "(data.drop $data)",
    "(drop (memory.grow (i32.const 0)))",
    "(drop (memory.grow (i32.const 60000)))",
    "(memory.fill (i32.const 8192) (i32.const 0) (i32.const 0))",
    "(memory.fill (i32.const 8192) (i32.const 0) (i32.const 32768))",
    "(memory.copy (i32.const 8192) (i32.const 8193) (local.get $none))",
    "(memory.copy (i32.const 8192) (i32.const 8193) (i32.const 64))",
    "(memory.init $data (i32.const 0) (i32.const 0) (local.get $none))",
    "(drop (table.get $refs (i32.const 0)))",
    "(table.set $refs (i32.const 0) (ref.null func))",
    "(drop (table.grow $refs (ref.null func) (i32.const 0)))",
    "(drop (table.grow $refs (ref.null func) (i32.const 60000)))",
    "(table.init $refs $elements (i32.const 0) (i32.const 0) (local.get $none))",
    "(table.init $refs $elements (i32.const 0) (i32.const 0) (i32.const 1))",
    "(table.fill $refs (i32.const 0) (ref.null func) (i32.const 100))",
    "(table.copy $refs $refs (i32.const 0) (i32.const 1) (i32.const 99))",
    // What the component does.
    "(call $drop (call $new (i32.const 1)))",
    "(call $drop (call $new_too (i32.const 1)))",
    "(call_indirect $own (param i32)
        (call_indirect $own (param i32) (result i32) (i32.const 1) (i32.const 1))
        (i32.const 2))",
    "(drop (call $rep (local.get $session)))",
    "(call $nothing)",
    "(call_indirect $own (type $nothing) (i32.const 0))",
    // What the processor takes long for.
    "(local.set $now (i64.div_u (i64.const -1) (i64.or (local.get $now) (i64.const 3))))",
    "(local.set $x (f64.sqrt (f64.sqrt (f64.sqrt (f64.sqrt (local.get $x))))))",
    "(local.set $x (f64.div (f64.div (local.get $x) (f64.const 3)) (f64.const 3)))",
    "(local.set $x (f64.nearest (f64.nearest (f64.nearest (local.get $x)))))",
    "(local.set $v (f64x2.sqrt (f64x2.sqrt (f64x2.sqrt (local.get $v)))))",
    "(local.set $v (i32x4.trunc_sat_f32x4_u (i32x4.trunc_sat_f32x4_u (local.get $v))))",
];

/// A guest that does nothing else.
fn burning(dear: &str) -> Guest {
    let body = dear.repeat(64);
    Guest {
        imports: HANDLES,
        fields: FIELDS.into(),
        ..Guest::answering(format!(
            "(local $none i32) (local $session i32) (local $x f64) (local $v v128)
             (local.set $session (call $new (i32.const 1)))
             (local.set $x (f64.const 3))
             (loop $l {body} (br $l)) unreachable"
        ))
    }
}

/// A `nop` stands for what an imported function takes.
#[test]
fn what_does_nothing_costs_nothing() {
    let host = host();
    let fuel = |idle: &str| {
        let module = Guest::answering(format!("{idle} (i32.const 280)")).module();
        let plugin = host.load(&source(&module)).unwrap();
        let mut run = Run::open(&plugin).unwrap();
        let before = host.stats().fuel;
        run.on(Event::Connected).unwrap();
        host.stats().fuel - before
    };
    assert_eq!(fuel(&"(nop)".repeat(1_000)), fuel(""));
}

/// A worker does nothing else while a guest burns its fuel, whatever it burns it
/// with. Less than 3 ms was measured, 64 where nothing was dearer than an instruction; the
/// bound leaves room for slow machines. The quickest of several calls: others may have
/// been interrupted.
#[test]
fn the_fuel_of_one_event_does_not_last() {
    let host = host();
    for dear in DEAR {
        let module = burning(dear).module();
        let plugin = host.load(&source(&module)).unwrap();
        let call = || {
            let mut run = Run::open(&plugin).unwrap();
            let begun = Instant::now();
            let fault = run.on(Event::Connected).unwrap_err();
            let took = begun.elapsed();
            assert_eq!(fault.kind, FaultKind::Fuel, "{dear}: {fault}");
            took
        };
        let quickest = (0..20).map(|_| call()).min().unwrap();
        eprintln!("{quickest:?} {dear}");
        assert!(quickest < Duration::from_millis(10), "{dear}: {quickest:?}");
    }
}
