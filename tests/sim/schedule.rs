//! When targets are probed.

use std::time::Duration;

use probity_engine::threshold::Kind;
use probity_engine::{Instant, Outcome, Reason, TargetId};
use probity_simulator::spec::Plan;
use probity_simulator::{Behaviour, Faults, Options, World, http};

use crate::lab::{SERVER, http as http_module, pass, server, tcp};

const PERIOD: Duration = Duration::from_secs(10);

/// Long enough for a run that has begun to end, also at the very end of a
/// period.
const MOMENT: Duration = Duration::from_millis(5);

fn world_of(targets: u64, plan: Plan, behaviour: Behaviour) -> World {
    let mut world = World::new(Options::quiet(3));
    world.serve(server(), behaviour);
    let spec = plan.spec(&tcp(), SERVER);
    for id in 0..targets {
        world
            .upsert(TargetId(id), spec.clone())
            .expect("there is room");
    }
    world
}

#[test]
fn a_fleet_is_spread_over_its_period() {
    let targets = 10_000;
    let mut world = world_of(targets, Plan::default(), Behaviour::silent());
    // A long start-up is not a backlog.
    world.run_for(Duration::from_secs(95));
    world.begin();
    let begun = world.now();
    assert_eq!(pass(&mut world, PERIOD, 1), targets as usize);
    let mut seconds = [0_u64; 10];
    for record in &world.reports()[..targets as usize] {
        // The first is due after the beginning, the last at the end.
        seconds[(record.due - begun).as_secs() as usize % 10] += 1;
        assert!(record.started - record.due < Duration::from_millis(2));
    }
    let even = targets / 10;
    for count in seconds {
        assert!(
            (even * 9 / 10..even * 11 / 10).contains(&count),
            "{seconds:?}"
        );
    }
    world.assert_clean();
}

#[test]
fn the_nth_run_is_due_at_the_offset_and_n_periods() {
    let mut world = world_of(3, Plan::default(), Behaviour::silent());
    world.begin();
    world.run_for(PERIOD * 20 + MOMENT);
    for id in 0..3 {
        let due: Vec<Instant> = world.reports_of(TargetId(id)).map(|it| it.due).collect();
        assert_eq!(due.len(), 20);
        for pair in due.windows(2) {
            assert_eq!(pair[1] - pair[0], PERIOD);
        }
    }
    world.assert_clean();
}

#[test]
fn a_restart_or_a_changed_list_moves_nobody() {
    let offsets = |ids: &[u64]| -> Vec<Duration> {
        let mut world = World::new(Options::quiet(ids.len() as u64));
        world.serve(server(), Behaviour::silent());
        for id in ids {
            let spec = Plan::default().spec(&tcp(), SERVER);
            world.upsert(TargetId(*id), spec).expect("there is room");
        }
        world.begin();
        let begun = world.now();
        world.run_for(PERIOD);
        let mut first = world.reports_of(TargetId(7));
        first.next().map(|it| it.due - begun).into_iter().collect()
    };
    let alone = offsets(&[7]);
    assert_eq!(alone.len(), 1);
    assert_eq!(alone, offsets(&[1, 2, 7, 9]));
}

#[test]
fn a_late_driver_is_lateness_and_not_latency() {
    let mut world = World::new(Options {
        faults: Faults {
            lag: 200_000,
            longest_lag: Duration::from_millis(100),
            ..Faults::default()
        },
        ..Options::quiet(5)
    });
    world.serve(server(), Behaviour::silent());
    for id in 0..50 {
        let spec = Plan::default().spec(&tcp(), SERVER);
        world.upsert(TargetId(id), spec).expect("there is room");
    }
    world.begin();
    world.run_for(PERIOD * 5);
    let late = world.reports().iter();
    let late = late.filter(|it| it.started - it.due > Duration::from_millis(10));
    assert!(late.count() > 10, "the driver was late");
    let lag = world.engine().stats(world.now()).start_lag;
    assert_eq!(lag.count(), world.reports().len() as u64);
    assert!(lag.sum() > 0.1);
    for record in world.reports() {
        assert_eq!(record.total, record.finished - record.started);
    }
    world.assert_clean();
}

#[test]
fn what_a_stopped_process_missed_is_counted_and_nobodys_fault() {
    let stall = PERIOD * 4 + PERIOD / 2;
    let mut world = World::new(Options {
        faults: Faults {
            longest_lag: stall,
            ..Faults::default()
        },
        ..Options::quiet(5)
    });
    world.serve(server(), Behaviour::silent());
    for id in 0..50 {
        let spec = Plan::default().spec(&tcp(), SERVER);
        world.upsert(TargetId(id), spec).expect("there is room");
    }
    world.begin();
    world.run_for(PERIOD * 2);
    world.stall(stall);
    world.run_for(PERIOD * 2);
    let periods = (PERIOD * 4 + stall).as_secs() / PERIOD.as_secs();
    for id in 0..50 {
        let target = world.engine().target(TargetId(id)).expect("it is known");
        let [success, _, failure, unknown] = target.results;
        let counted = success + unknown;
        assert!(
            counted == periods || counted == periods + 1,
            "{counted} of {periods}"
        );
        assert_eq!(failure, 0);
        assert!(unknown >= 3, "{unknown} were missed");
        assert_eq!(target.up, Some(true));
    }
    world.assert_clean();
}

#[test]
fn nothing_starts_within_the_initial_delay() {
    let plan = Plan {
        initial_delay: Duration::from_secs(35),
        ..Plan::default()
    };
    let mut world = world_of(20, plan, Behaviour::silent());
    world.begin();
    let begun = world.now();
    world.run_for(PERIOD * 6);
    let first = world.reports().iter().map(|it| it.started).min();
    assert!(first.is_some_and(|first| first >= begun + plan.initial_delay));
    for id in 0..20 {
        let count = world.reports_of(TargetId(id)).count();
        assert!((2..=3).contains(&count), "{count} runs in 25 s");
    }
    world.assert_clean();
}

#[test]
fn a_run_longer_than_the_period_is_followed_at_once_by_one_more() {
    let plan = Plan {
        period: Duration::from_secs(1),
        timeout: Duration::from_millis(3_500),
        ..Plan::default()
    };
    let mut world = world_of(1, plan, Behaviour::Blackhole);
    world.begin();
    world.run_for(Duration::from_secs(60));
    let records: Vec<_> = world.reports_of(TargetId(0)).collect();
    assert!(records.len() >= 15, "{} runs", records.len());
    for pair in records.windows(2) {
        assert_eq!(pair[1].started, pair[0].finished, "one remembered tick");
    }
    world.assert_clean();
}

#[test]
fn removing_a_target_cancels_its_run() {
    let mut world = world_of(1, Plan::default(), Behaviour::Blackhole);
    world.begin();
    while world.connections() == 0 {
        world.run_for(Duration::from_millis(100));
    }
    world.remove(TargetId(0));
    assert_eq!(world.connections(), 0);
    let outcomes: Vec<Outcome> = world.reports().iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Unknown(Reason::Cancelled)]);
    world.run_for(PERIOD * 3);
    assert_eq!(world.reports().len(), 1, "a removed target is not probed");
    assert!(world.engine().target(TargetId(0)).is_none());
    world.assert_clean();
}

#[test]
fn a_changed_target_keeps_its_past_and_an_unchanged_one_its_run() {
    let mut world = world_of(1, Plan::default(), Behaviour::silent());
    world.begin();
    world.run_for(PERIOD * 3 + MOMENT);
    let id = TargetId(0);
    assert_eq!(world.engine().target(id).and_then(|it| it.up), Some(true));
    world.serve(server(), Behaviour::Blackhole);
    while world.connections() == 0 {
        world.run_for(Duration::from_millis(100));
    }
    let same = Plan::default().spec(&tcp(), SERVER);
    world.upsert(id, same).expect("it is known");
    assert_eq!(world.connections(), 1, "nothing has changed");
    let other = Plan {
        failure: 1,
        ..Plan::default()
    };
    let spec = other.spec(&tcp(), SERVER);
    world.upsert(id, spec).expect("it is known");
    assert_eq!(world.connections(), 0, "the run was of another target");
    let target = world.engine().target(id).expect("it is known");
    assert_eq!(target.up, Some(true));
    assert_eq!(target.results, [3, 0, 0, 1]);
    assert_eq!(target.last.map(|it| it.outcome), Some(Outcome::Success));
    world.run_for(PERIOD * 2);
    let up = world.engine().target(id).and_then(|it| it.up);
    assert_eq!(up, Some(false), "the new threshold counts");
    world.assert_clean();
}

#[test]
fn a_triggered_target_runs_now_and_keeps_its_schedule() {
    let mut world = world_of(1, Plan::default(), Behaviour::silent());
    world.begin();
    world.run_for(PERIOD * 2);
    let before = world.reports().len();
    world.trigger(TargetId(0));
    world.run_for(Duration::from_millis(10));
    assert_eq!(world.reports().len(), before + 1);
    world.run_for(PERIOD * 2);
    assert_eq!(world.reports().len(), before + 3);
    world.assert_clean();
}

#[test]
fn thresholds_turn_results_into_health_and_back() {
    let plan = Plan {
        success: 2,
        failure: 3,
        ..Plan::default()
    };
    let id = TargetId(0);
    let mut world = World::new(Options::quiet(1));
    world.serve(server(), http::ok());
    let url = format!("http://{SERVER}/");
    let spec = plan.spec(&http_module(), &url);
    world.upsert(id, spec).expect("there is room");
    let up = |world: &World| world.engine().target(id).and_then(|it| it.up);
    world.begin();
    assert_eq!(up(&world), None);
    world.run_for(PERIOD + MOMENT);
    assert_eq!(up(&world), None, "one success of two");
    world.run_for(PERIOD);
    assert_eq!(up(&world), Some(true));
    world.serve(server(), http::status("503 No"));
    world.run_for(PERIOD * 2);
    assert_eq!(up(&world), Some(true), "two failures of three");
    world.run_for(PERIOD);
    assert_eq!(up(&world), Some(false));
    world.serve(server(), http::ok());
    world.run_for(PERIOD * 2);
    assert_eq!(up(&world), Some(true));
    let flips: Vec<_> = world
        .reports()
        .iter()
        .filter_map(|it| it.transition)
        .collect();
    let flips: Vec<_> = flips.iter().map(|it| (it.from, it.to, it.run)).collect();
    let expected = [
        (None, true, 2),
        (Some(true), false, 3),
        (Some(false), true, 2),
    ];
    assert_eq!(flips, expected);
    world.assert_clean();
}

#[test]
fn a_dead_container_is_not_probed_any_more() {
    let plan = Plan {
        kind: Kind::Liveness,
        failure: 2,
        ..Plan::default()
    };
    let mut world = world_of(1, plan, Behaviour::Refuse);
    world.begin();
    world.run_for(PERIOD * 10);
    assert_eq!(
        world.counts(),
        [0, 0, 2, 0],
        "it is on hold after two failures"
    );
    world.assert_clean();
}

#[test]
fn a_shutdown_reports_everything_and_starts_nothing() {
    let mut world = world_of(100, Plan::default(), Behaviour::Blackhole);
    world.begin();
    let spec = Plan::default().spec(&tcp(), SERVER);
    world
        .run_once(spec, Duration::from_secs(9))
        .expect("there is room");
    world.run_for(Duration::from_millis(500));
    let (flying, before) = (world.connections(), world.reports().len());
    assert!(flying > 2);
    world.shutdown();
    assert_eq!(world.connections(), 0);
    let last = &world.reports()[before..];
    assert_eq!(last.len(), flying);
    for record in last {
        assert_eq!(record.outcome, Outcome::Unknown(Reason::Shutdown));
    }
    world.run_for(PERIOD * 3);
    assert_eq!(world.reports().len(), before + flying);
    world.assert_clean();
}
