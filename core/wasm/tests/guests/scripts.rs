//! Checks of the class that may take more, and are not called by whoever drives an engine.

use std::sync::Arc;

use probity_engine::guest::{Class, Event, FaultKind, Limits, Plugin, Source};
use probity_wasm::{Config, Host};

use crate::support::{Guest, Run, small, source};

const ROOM: u32 = 3;

fn host() -> Host {
    Host::new(&Config {
        scripts: ROOM,
        ..small()
    })
    .unwrap()
}

fn load(host: &Host, guest: &Guest, class: Class, runs: u32) -> Arc<dyn Plugin> {
    let module = guest.module();
    let source = Source {
        class,
        limits: class.usual(),
        runs_per_instance: runs,
        ..source(&module)
    };
    host.load(&source).unwrap()
}

/// Wants so many pages in its first event.
fn wanting(pages: u32) -> Guest {
    Guest::answering(format!(
        "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then unreachable))
         (call $answer (i32.const 0))"
    ))
}

#[test]
fn a_script_may_have_more_memory_and_has_a_pool_of_its_own() {
    let host = host();
    assert_eq!(
        host.stats().most_scripts,
        0,
        "there is none before a script is"
    );
    for (pages, class, works) in [
        (30, Class::Native, true),
        (32, Class::Native, false),
        (1_000, Class::Script, true),
        (1_024, Class::Script, false),
    ] {
        let plugin = load(&host, &wanting(pages), class, 1);
        let done = Run::open(&plugin).unwrap().on(Event::Connected);
        match done {
            Ok(_) => assert!(works, "{pages} {class:?}"),
            Err(fault) => {
                assert!(!works, "{pages} {class:?}: {fault}");
                assert_eq!(fault.kind, FaultKind::Memory);
            }
        }
    }
    assert_eq!((host.stats().most, host.stats().most_scripts), (4, ROOM));
}

#[test]
fn a_script_may_burn_more_fuel() {
    let spin = "
        (loop $l
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 1000000))))
        (call $answer (i32.const 0))";
    let host = host();
    for (class, works) in [(Class::Native, false), (Class::Script, true)] {
        let plugin = load(&host, &Guest::answering(spin), class, 1);
        let done = Run::open(&plugin).unwrap().on(Event::Connected);
        assert_eq!(done.is_ok(), works, "{class:?}");
    }
    let endless = Guest::answering("(loop $l (br $l)) unreachable");
    let plugin = load(&host, &endless, Class::Script, 1);
    let fault = Run::open(&plugin)
        .unwrap()
        .on(Event::Connected)
        .unwrap_err();
    let most = Class::Script.usual().fuel_per_event;
    assert_eq!(
        fault.detail,
        format!("used up the fuel of an event: {most}")
    );
    assert!(most > Limits::MOST.fuel_per_event);
}

#[test]
fn what_a_script_has_is_given_back_by_whoever_begins_the_next_run() {
    let host = host();
    let one = load(&host, &Guest::default(), Class::Script, 1);
    drop(Run::open(&one).unwrap());
    assert_eq!(host.stats().live, 1, "not by whoever ends one");
    let another = load(&host, &wanting(1), Class::Script, 1);
    let live: Vec<Run> = (0..ROOM).map(|_| Run::open(&another).unwrap()).collect();
    assert_eq!(host.stats().live, ROOM, "whichever check it is of");
    assert!(!one.has_room() && !another.has_room());
    let full = Run::open(&one).err().unwrap();
    assert_eq!(full.kind, FaultKind::Capacity);
    drop(live);
    assert_eq!(host.stats().live, ROOM);
    assert!(one.has_room(), "there will be");
    drop(Run::open(&one).unwrap());
    assert_eq!(host.stats().live, 1);
    // One that broke has nothing left.
    let broken = load(&host, &Guest::answering("unreachable"), Class::Script, 1);
    Run::open(&broken)
        .unwrap()
        .on(Event::Connected)
        .unwrap_err();
    assert_eq!(host.stats().live, 0);
}

#[test]
fn instances_of_scripts_serve_several_runs_if_they_are_to() {
    let counting = "
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (call $action (i32.const 0) (i32.const 2) (global.get $count) (i32.const 0))
        (call $answer (i32.const 1))";
    let host = host();
    let plugin = load(&host, &Guest::answering(counting), Class::Script, 2);
    let counts = [(); 5].map(|()| {
        let mut run = Run::open(&plugin).unwrap();
        run.on(Event::Connected).unwrap().remove(0)
    });
    assert_eq!(
        counts,
        [1, 2, 1, 2, 1].map(|it| format!("SetTimer({it}, 0ns)"))
    );
    // What is left goes with the module and whoever comes after it.
    drop(plugin);
    let other = load(&host, &Guest::default(), Class::Script, 1);
    let _run = Run::open(&other).unwrap();
    assert_eq!(host.stats().live, 1);
}
