//! Descriptors run out, and none leaks. A process of its own, because both
//! concern all descriptors of a process.

mod support;

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use probity_driver::{Change, Driver};
use probity_engine::resolve::ResolverConfig;
use probity_engine::{Outcome, Reason, TargetId};
use rustix::process::{Resource, Rlimit, setrlimit};
use support::{
    OK, closed_port, closing_server, config, http, http_server, probe, spec, start, stats, tcp,
    wait_until,
};

static ALONE: Mutex<()> = Mutex::new(());

const LIMIT: u64 = 400;

/// One test at a time, with few descriptors: soft and hard.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = Rlimit {
        current: Some(LIMIT),
        maximum: Some(LIMIT),
    };
    setrlimit(Resource::Nofile, limit).expect("a limit may be lowered");
    guard
}

fn open_descriptors() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").expect("procfs");
    entries.count()
}

#[test]
fn no_descriptor_is_never_the_targets_fault() {
    let _alone = alone();
    let target = closing_server().to_string();
    let handle = start(1);
    assert_eq!(handle.capacity().descriptors, LIMIT);
    assert_eq!(probe(&handle, &tcp(), &target).outcome, Outcome::Success);

    let null = File::open("/dev/null").expect("/dev/null");
    let mut hoard = Vec::new();
    while let Ok(copy) = null.try_clone() {
        hoard.push(copy);
    }
    let report = probe(&handle, &tcp(), &target);
    let unknown = Outcome::Unknown(Reason::NoDescriptors);
    assert_eq!(report.outcome, unknown, "{}", report.detail);

    // A look-up that cannot be made is not the target's fault either.
    let resolver = ResolverConfig::with_servers(&["127.0.0.1:53".parse().expect("an address")]);
    drop(hoard.split_off(hoard.len() - 20));
    let with_names = Driver::start(probity_driver::Config {
        names: resolver.into(),
        ..config(1)
    });
    let with_names = with_names.expect("the driver starts");
    while let Ok(copy) = null.try_clone() {
        hoard.push(copy);
    }
    let report = probe(&with_names, &tcp(), "web.test:80");
    assert!(matches!(report.outcome, Outcome::Unknown(_)), "{report:?}");

    // Nor do scheduled targets ever fail for it.
    let spec = spec(&tcp(), &target, 20, 0);
    let changes = (0..50).map(|id| Change::Upsert(TargetId(id), spec.clone()));
    handle.apply(changes.collect()).expect("running");
    handle.begin().expect("running");
    wait_until("some runs", || stats(&handle).engine.runs[3] >= 100);
    let seen = stats(&handle).engine;
    assert_eq!(seen.runs[2], 0, "failures");
    assert!(seen.unknown[Reason::NoDescriptors as usize] >= 100);

    drop(hoard);
    assert_eq!(probe(&handle, &tcp(), &target).outcome, Outcome::Success);
}

/// Who asks for more than there is room for sees it in the figures.
#[test]
fn refused_single_runs_are_counted() {
    let _alone = alone();
    let url = format!("http://{}/", support::silent_server());
    let handle = start(1);
    let asked = LIMIT;
    let waiting: Vec<_> = (0..asked)
        .map(|_| support::begin(&handle, &http(), &url, support::PATIENCE))
        .collect();
    wait_until("each has a place or was refused", || {
        let seen = stats(&handle).engine;
        let refused = seen.unknown[Reason::Overload as usize];
        refused > 0 && refused == seen.runs[3] && refused + u64::from(seen.in_flight) == asked
    });
    let told: Vec<_> = waiting.iter().filter_map(|it| it.try_recv().ok()).collect();
    let counted = stats(&handle).engine.unknown[Reason::Overload as usize];
    assert_eq!(told.len() as u64, counted);
    for report in told {
        assert_eq!(report.outcome, Outcome::Unknown(Reason::Overload));
        assert!(report.detail.contains("ulimit -n"), "{report:?}");
    }
    handle.shutdown(std::time::Duration::ZERO);
}

#[test]
fn thousands_of_runs_leave_no_descriptor_behind() {
    let _alone = alone();
    let good = closing_server().to_string();
    let url = format!("http://{}/", http_server(OK));
    let silent = format!("http://{}/", support::silent_server());
    let before_driver = open_descriptors();
    let handle = start(2);
    assert_eq!(probe(&handle, &tcp(), &good).outcome, Outcome::Success);
    let base = open_descriptors();

    let mut changes = Vec::new();
    for id in 0..20 {
        let refused = closed_port().to_string();
        changes.push(Change::Upsert(TargetId(id), spec(&tcp(), &good, 10, 0)));
        changes.push(Change::Upsert(
            TargetId(100 + id),
            spec(&http(), &url, 10, 0),
        ));
        changes.push(Change::Upsert(
            TargetId(200 + id),
            spec(&tcp(), &refused, 10, 0),
        ));
        changes.push(Change::Upsert(
            TargetId(300 + id),
            spec(&http(), &silent, 10, 0),
        ));
    }
    let ids: Vec<_> = (0..20)
        .flat_map(|id| [id, 100 + id, 200 + id, 300 + id])
        .collect();
    handle.apply(changes).expect("running");
    handle.begin().expect("running");
    wait_until("thousands of runs", || {
        stats(&handle).engine.runs.iter().sum::<u64>() >= 5_000
    });
    // Cancels those that are in flight.
    let remove = ids.into_iter().map(|id| Change::Remove(TargetId(id)));
    handle.apply(remove.collect()).expect("running");
    wait_until("nothing is open", || {
        let open: u32 = stats(&handle)
            .workers
            .iter()
            .map(|it| it.connections_open)
            .sum();
        open == 0
    });
    // The servers' ends close a little later.
    wait_until("all descriptors are back", || open_descriptors() <= base);
    drop(handle);
    wait_until("so are the driver's own", || {
        open_descriptors() <= before_driver
    });
}
