//! More than the engine may do: every bound has its answer.

use std::collections::BTreeMap;
use std::time::Duration;

use probity_engine::resolve::ResolverConfig;
use probity_engine::{Config, Limits, Outcome, Reason, TargetId};
use probity_simulator::spec::Plan;
use probity_simulator::{Answer, Behaviour, Faults, Options, World, Zone, http};

use crate::lab::{SERVER, TIMEOUT, address, http as http_module, pass, server, tcp};

const PERIOD: Duration = Duration::from_secs(10);

fn crowded(limits: Limits, targets: u64, behaviour: Behaviour) -> World {
    let mut world = World::new(Options::quiet(9).limits(limits));
    world.serve(server(), behaviour);
    let spec = Plan::default().spec(&tcp(), SERVER);
    for id in 0..targets {
        world
            .upsert(TargetId(id), spec.clone())
            .expect("there is room");
    }
    world
}

#[test]
fn who_finds_no_room_waits_and_is_reported_as_unknown() {
    let limits = Limits {
        in_flight: 10,
        ..Limits::default()
    };
    // Ten at a time for a second each: a hundred in a period, of four hundred.
    let mut world = crowded(limits, 400, Behaviour::Blackhole);
    world.begin();
    world.run_for(PERIOD * 5);
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for record in world.reports() {
        let reason = record.outcome.reason().map_or("", Reason::name);
        *outcomes.entry(reason).or_default() += 1;
        if record.outcome == Outcome::Unknown(Reason::Overload) {
            assert!(record.detail.contains("overloaded"), "{}", record.detail);
            let waited = record.finished - record.due;
            assert!(waited >= Duration::from_secs(1), "after its own timeout");
        }
    }
    assert_eq!(outcomes.len(), 2, "{outcomes:?}");
    let started = outcomes["connect_timeout"];
    assert!((450..=500).contains(&started), "{outcomes:?}");
    let all: usize = outcomes.values().sum();
    assert!(
        all >= 400 * 5 - 50,
        "nobody is silently skipped: {outcomes:?}"
    );
    let unknown = world.engine().stats(world.now()).unknown;
    assert_eq!(
        unknown[Reason::Overload as usize],
        outcomes["overload"] as u64
    );
    for id in 0..400 {
        let up = world.engine().target(TargetId(id)).and_then(|it| it.up);
        assert_ne!(up, Some(true));
    }
    world.assert_clean();
}

#[test]
fn a_target_that_is_not_looked_at_any_more_is_overdue() {
    let mut world = crowded(Limits::default(), 3, Behaviour::silent());
    world.begin();
    world.run_for(PERIOD * 2);
    let overdue = |world: &World| world.engine().stats(world.now()).overdue;
    assert_eq!(overdue(&world), 0);
    // Every run ends at once, and none of them shows anything.
    world.set_faults(Faults {
        local: 1_000_000,
        ..Faults::default()
    });
    world.run_for(PERIOD * 4);
    assert_eq!(overdue(&world), 3, "reports come, but nothing is known");
    for id in 0..3 {
        let up = world.engine().target(TargetId(id)).and_then(|it| it.up);
        assert_eq!(up, Some(true), "which is no reason to call it down");
    }
    world.set_faults(Faults::default());
    world.run_for(PERIOD * 2);
    assert_eq!(overdue(&world), 0);
    world.assert_clean();
}

#[test]
fn a_short_crowd_only_waits() {
    let limits = Limits {
        in_flight: 1,
        ..Limits::default()
    };
    let mut world = crowded(limits, 1_000, Behaviour::silent());
    world.begin();
    assert_eq!(pass(&mut world, PERIOD, 2), 2_000);
    assert_eq!(world.counts()[1..], [0, 0, 0]);
    world.assert_clean();
}

#[test]
fn runs_on_demand_have_room_of_their_own_and_a_bound() {
    let limits = Limits {
        in_flight: 1,
        once_in_flight: 2,
        ..Limits::default()
    };
    let mut world = crowded(limits, 10, Behaviour::Blackhole);
    world.begin();
    world.run_for(PERIOD);
    let spec = Plan::default().spec(&tcp(), SERVER);
    for _ in 0..2 {
        let run = world.run_once(spec.clone(), TIMEOUT);
        run.expect("there is room");
    }
    assert!(
        world.run_once(spec.clone(), TIMEOUT).is_err(),
        "a third one"
    );
    world.run_for(TIMEOUT * 2);
    world.run_once(spec, TIMEOUT).expect("there is room again");
    world.assert_clean();
}

#[test]
fn targets_have_a_bound() {
    let limits = Limits {
        targets: 5,
        ..Limits::default()
    };
    let mut world = crowded(limits, 5, Behaviour::silent());
    let spec = Plan::default().spec(&tcp(), SERVER);
    assert!(world.upsert(TargetId(99), spec.clone()).is_err());
    world.remove(TargetId(0));
    world
        .upsert(TargetId(99), spec)
        .expect("there is room again");
    world.begin();
    assert_eq!(pass(&mut world, PERIOD, 1), 5);
    world.assert_clean();
}

#[test]
fn one_destination_sees_no_more_than_its_rate() {
    let limits = Limits {
        starts_per_destination: 20,
        burst_per_destination: 5,
        ..Limits::default()
    };
    // 200 targets in 10 s is just the rate; bunching waits.
    let mut world = crowded(limits, 200, http::ok());
    world.begin();
    world.run_for(PERIOD * 5);
    let held = world.reports().iter();
    let held = held.filter(|it| it.finished - it.started > it.total);
    assert!(held.count() > 10, "some were held back");
    for record in world.reports() {
        // What we hold back is not the target's latency.
        let fair = record.total < Duration::from_millis(5);
        let given_up = record.outcome == Outcome::Unknown(Reason::OverloadDestination);
        assert!(fair || given_up, "{record:?}");
    }
    assert_eq!(world.counts()[2], 0, "and never its failure");
    world.assert_clean();
}

#[test]
fn far_beyond_the_rate_is_unknown() {
    let limits = Limits {
        starts_per_destination: 2,
        burst_per_destination: 1,
        ..Limits::default()
    };
    let mut world = crowded(limits, 200, http::ok());
    world.begin();
    world.run_for(PERIOD * 3);
    let counts = world.counts();
    assert!((40..=65).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[2], 0, "{counts:?}");
    assert!(counts[3] > 400, "{counts:?}");
    world.assert_clean();
}

#[test]
fn many_names_and_few_look_ups_end_well() {
    let dns = address("10.0.0.53:53");
    let names: Vec<String> = (0..200).map(|n| format!("host{n}.example")).collect();
    let late = |addresses| {
        let answer = Answer::Addresses(addresses, 0);
        Answer::Late(Duration::from_millis(20), Box::new(answer))
    };
    let zone = Zone::new(
        names
            .iter()
            .map(|name| (&**name, late(vec![server().ip()]))),
    );
    let limits = Limits {
        lookups: 2,
        cached_names: 10,
        ..Limits::default()
    };
    let mut world = World::new(Options {
        engine: Config {
            limits,
            resolver: ResolverConfig::with_servers(&[dns]),
            ..Config::default()
        },
        ..Options::quiet(2)
    });
    world.serve(server(), http::ok());
    world.serve(dns, zone.serve());
    for (id, name) in names.iter().enumerate() {
        let url = format!("http://{name}/");
        let spec = Plan::default().spec(&http_module(), &url);
        world
            .upsert(TargetId(id as u64), spec)
            .expect("there is room");
    }
    world.begin();
    assert_eq!(pass(&mut world, PERIOD, 3), 600);
    let before = world.counts();
    assert_eq!(before[1..], [0, 0, 0]);
    // A shutdown with look-ups under way and in the queue leaves nothing.
    for name in &names {
        let url = format!("http://{name}/");
        let spec = Plan::default().spec(&http_module(), &url);
        world.run_once(spec, TIMEOUT).expect("there is room");
    }
    world.shutdown();
    world.run_for(Duration::from_secs(30));
    assert_eq!(world.connections(), 0);
    assert!(world.counts()[3] >= before[3] + 200, "all were cut off");
    world.assert_clean();
}

#[test]
fn slots_are_as_few_as_runs_and_unread_reports() {
    let limits = Limits {
        in_flight: 1,
        once_in_flight: 0,
        lookups: 1,
        ..Limits::default()
    };
    let plan = Plan {
        period: Duration::from_secs(1),
        ..Plan::default()
    };
    let mut world = World::new(Options::quiet(9).limits(limits));
    world.serve(server(), Behaviour::Blackhole);
    for id in 0..2_000 {
        let spec = plan.spec(&tcp(), SERVER);
        world.upsert(TargetId(id), spec).expect("there is room");
    }
    world.begin();
    world.run_for(PERIOD);
    assert!(world.counts()[3] > 9_000, "{:?}", world.counts());
    world.assert_clean();
}
