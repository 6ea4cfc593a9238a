//! Guests that do what they may.

use std::sync::Arc;

use probity_engine::guest::{Event, FaultKind, Limits, Plugin, Source};
use probity_wasm::{Config, Host};

use crate::support::{Guest, Run, host, open, small, source};

/// Tells how many events its instance has been told, as the number of a timer.
const COUNTING: &str = "
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (call $action (i32.const 0) (i32.const 2) (global.get $count) (i32.const 0))
    (call $answer (i32.const 1))";

#[test]
fn a_guest_says_what_it_is_and_talks() {
    let plugin = host().load(&source(&Guest::default().module())).unwrap();
    let description = plugin.description();
    assert_eq!(
        (&*description.name, &*description.version),
        ("toy", "1.0.0")
    );
    assert_eq!(description.default_port, Some(4242));
    assert_eq!(description.phases, ["hello"]);
    let metric = &description.metrics[0];
    assert_eq!(
        (&*metric.name, &*metric.help),
        ("depth_bytes", "How deep it is")
    );
    assert_eq!(description.check(), Ok(()));
    assert_eq!(plugin.validate("{}"), Ok(()));
    assert_eq!(plugin.validate("{\"a\": 1}"), Err("How deep it is".into()));
    let mut run = Run::open(&plugin).unwrap();
    assert_eq!(run.on(Event::Connected).unwrap(), ["Send([119, 104, 111])"]);
    assert_eq!(run.on(Event::Data(b"me")).unwrap(), ["Done(Up)"]);
}

#[test]
fn data_and_time_arrive_as_they_are() {
    // Sends back what it is given, and sets a timer with the milliseconds so far.
    let plugin = host()
        .load(&source(
            &Guest::answering(
                "(call $action (i32.const 0) (i32.const 0) (local.get $p0) (local.get $p1))
         (call $action (i32.const 1) (i32.const 2) (local.get $event)
           (i32.wrap_i64 (i64.div_u (local.get $now) (i64.const 1000000))))
         (call $answer (i32.const 2))",
            )
            .module(),
        ))
        .unwrap();
    let mut run = Run::open(&plugin).unwrap();
    assert_eq!(
        run.on(Event::Data(b"\0\xff")).unwrap(),
        ["Send([0, 255])", "SetTimer(1, 1ms)"]
    );
}

#[test]
fn each_run_has_an_instance_of_its_own_unless_told_otherwise() {
    let module = Guest::answering(COUNTING).module();
    let host = host();
    let counts = |runs_per_instance, runs: usize| {
        let plugin = host
            .load(&Source {
                runs_per_instance,
                ..source(&module)
            })
            .unwrap();
        let one = |_| {
            Run::open(&plugin)
                .unwrap()
                .on(Event::Connected)
                .unwrap()
                .remove(0)
        };
        (0..runs).map(one).collect::<Vec<_>>()
    };
    let timer = |count| format!("SetTimer({count}, 0ns)");
    assert_eq!(counts(1, 3), [1, 1, 1].map(timer));
    assert_eq!(counts(2, 5), [1, 2, 1, 2, 1].map(timer));
    assert_eq!(host.stats().live, 0, "a module that is gone keeps none");
}

/// Who has one run goes with it; who has another is told that the last one is over.
#[test]
fn a_session_is_ended_where_there_is_another_after_it() {
    let ends = Guest {
        fields: r#"(func (export "probity:check/guest@0.1.0#[dtor]session") (param i32)
              (global.set $count (i32.add (global.get $count) (i32.const 100))))"#
            .into(),
        ..Guest::answering(COUNTING)
    };
    let module = ends.module();
    let host = host();
    let counts = |runs_per_instance| {
        let source = Source {
            runs_per_instance,
            ..source(&module)
        };
        let plugin = host.load(&source).unwrap();
        [0; 3].map(|_| {
            let mut run = Run::open(&plugin).unwrap();
            run.on(Event::Connected).unwrap().remove(0)
        })
    };
    let timer = |count| format!("SetTimer({count}, 0ns)");
    // One after the other, of the same file, whatever was loaded before.
    for _ in 0..2 {
        assert_eq!(counts(1), [1, 1, 1].map(timer));
        assert_eq!(counts(3), [1, 102, 203].map(timer));
    }
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let host = host();
    let plugin = host.load(&source(&Guest::default().module())).unwrap();
    let mut open: Vec<_> = (0..4).map(|_| open(&plugin).unwrap()).collect();
    assert_eq!((host.stats().live, host.stats().most), (4, 4));
    let full = Run::open(&plugin).err().unwrap();
    assert_eq!(full.kind, FaultKind::Capacity, "{full}");
    assert_eq!(host.stats().full, 1);
    assert_eq!(host.stats().faults, 0, "nothing is wrong with the guest");
    open.pop();
    Run::open(&plugin).unwrap();
}

#[test]
fn fuel_is_counted_and_the_same_each_time() {
    let host = host();
    let plugin = host.load(&source(&Guest::default().module())).unwrap();
    let used = || {
        let before = host.stats().fuel;
        let mut run = Run::open(&plugin).unwrap();
        run.on(Event::Connected).unwrap();
        run.on(Event::Data(b"me")).unwrap();
        host.stats().fuel - before
    };
    let first = used();
    assert!((50..5_000).contains(&first), "{first}");
    assert_eq!(used(), first);
}

#[test]
fn a_run_has_fuel_for_all_its_events_together() {
    // A tenth of what a run may take, in each event.
    let spin = "
        (local.set $i (i32.const 1000))
        (loop $l
          (local.set $i (i32.sub (local.get $i) (i32.const 1)))
          (br_if $l (local.get $i)))
        (call $answer (i32.const 0))";
    let module = Guest::answering(spin).module();
    let host = host();
    let limits = Limits {
        fuel_per_run: 60_000,
        ..Limits::DEFAULT
    };
    let limited = Source {
        limits,
        runs_per_instance: 9,
        ..source(&module)
    };
    let plugin = host.load(&limited).unwrap();
    let lasts = |plugin: &Arc<dyn Plugin>| {
        let mut run = Run::open(plugin).unwrap();
        let mut events = 0;
        loop {
            match run.on(Event::Timer(0)) {
                Ok(_) => events += 1,
                Err(fault) => return (events, fault),
            }
        }
    };
    let (events, fault) = lasts(&plugin);
    assert!((4..20).contains(&events), "{events}");
    assert_eq!(fault.kind, FaultKind::Fuel);
    assert_eq!(fault.detail, "used up the fuel of a run: 60000");
    // A run that ends in time leaves the next one all of it.
    let mut run = Run::open(&plugin).unwrap();
    run.on(Event::Connected).unwrap();
    drop(run);
    assert_eq!(lasts(&plugin).0, events);
}

#[test]
fn a_module_may_have_less_memory() {
    // Two pages are there once it has asked for one.
    let grow = "
        (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
        (call $answer (i32.const 0))";
    let module = Guest::answering(grow).module();
    let host = host();
    for (memory, works) in [(128 << 10, true), (64 << 10, false)] {
        let limits = Limits {
            memory,
            ..Limits::DEFAULT
        };
        let plugin = host
            .load(&Source {
                limits,
                ..source(&module)
            })
            .unwrap();
        let done = Run::open(&plugin).unwrap().on(Event::Connected);
        match done {
            Ok(_) => assert!(works),
            Err(fault) => {
                assert!(!works);
                assert_eq!(fault.kind, FaultKind::Memory);
                assert_eq!(fault.detail, "wanted more than 65536 bytes of memory");
            }
        }
    }
}

#[test]
fn a_burst_of_runs_leaves_nothing_behind() {
    let host = Host::new(&Config {
        instances: 2,
        ..small()
    })
    .unwrap();
    let plugin = host.load(&source(&Guest::default().module())).unwrap();
    for _ in 0..5_000 {
        let mut run = Run::open(&plugin).unwrap();
        run.on(Event::Connected).unwrap();
    }
    assert_eq!(host.stats().live, 0);
    assert_eq!(host.stats().full, 0);
}
