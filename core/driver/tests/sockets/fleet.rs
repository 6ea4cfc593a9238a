//! Scheduled targets: applying, reading, removing.

use std::collections::BTreeSet;
use std::time::Duration;

use probity_driver::limits::COPIES;
use probity_driver::{Change, FleetQuery, Handle};
use probity_engine::{GroupId, Outcome, Phase, Reason, TargetId};

use crate::support::{
    OK, PATIENCE, closed_port, closing_server, fleet, http, http_server, spec, start, stats, tcp,
    wait_until,
};

/// Adds targets `0..count`, in two groups, on one listener.
fn add(handle: &Handle, count: u64) {
    let target = closing_server().to_string();
    let groups = [0, 1].map(|group| spec(&tcp(), &target, 1_000, group));
    let upsert = |id| Change::Upsert(TargetId(id), groups[(id % 2) as usize].clone());
    handle
        .apply((0..count).map(upsert).collect())
        .expect("running");
}

fn ids(handle: &Handle, query: FleetQuery) -> Vec<u64> {
    fleet(handle, query)
        .rows
        .iter()
        .map(|row| row.id.0)
        .collect()
}

fn two_thousand(workers: usize) {
    let handle = start(workers);
    add(&handle, 2_000);
    let before = fleet(&handle, FleetQuery::default());
    assert_eq!(before.rows.len(), 2_000);
    assert!(
        before.rows.iter().all(|row| row.last().is_none()),
        "not begun"
    );
    handle.begin().expect("running");
    wait_until("every target is up", || {
        let fleet = fleet(&handle, FleetQuery::default());
        assert!(fleet.complete);
        assert!(fleet.rows.is_sorted_by_key(|row| row.id));
        assert_eq!(fleet.rows.len(), 2_000);
        fleet.rows.iter().all(|row| row.up == Some(true))
    });
    let stats = stats(&handle);
    assert!(stats.complete);
    assert_eq!(stats.workers.len(), workers);
    assert_eq!(stats.engine.targets, 2_000);
    assert!(stats.engine.runs[0] >= 2_000);
    assert_eq!(stats.engine.runs[2], 0, "nothing fails");
    let groups: Vec<_> = stats.groups.iter().map(|(id, _)| *id).collect();
    assert_eq!(groups, [GroupId(0), GroupId(1)]);
    for (_, group) in &stats.groups {
        assert!(group.runs[0] >= 1_000);
        let connects = &group.phases[Phase::Connect as usize];
        assert_eq!(connects.native.count(), connects.hdr.len());
        assert_eq!(group.total.native.count(), group.runs[0] + group.runs[2]);
    }
    handle.shutdown(PATIENCE);
}

#[test]
fn two_thousand_targets_come_up_on_one_worker() {
    two_thousand(1);
}

#[test]
fn two_thousand_targets_come_up_on_two_shards() {
    two_thousand(2);
}

#[test]
fn a_fleet_is_read_whole_or_in_parts() {
    let handle = start(2);
    add(&handle, 3_000);
    let group = FleetQuery {
        groups: Some(vec![GroupId(1)]),
        ..FleetQuery::default()
    };
    let odd: Vec<u64> = (0..3_000).filter(|id| id % 2 == 1).collect();
    assert_eq!(ids(&handle, group), odd);
    let mut seen = BTreeSet::new();
    for page in 0..7 {
        let query = FleetQuery {
            page: Some((page, 7)),
            ..FleetQuery::default()
        };
        for id in ids(&handle, query) {
            assert!(seen.insert(id), "{id} is on two pages");
        }
    }
    assert_eq!(seen.len(), 3_000);
    let some = FleetQuery {
        ids: Some([2_999, 5, 77_777, 5].map(TargetId).to_vec()),
        ..FleetQuery::default()
    };
    let rows = fleet(&handle, some).rows;
    let found: Vec<_> = rows.iter().map(|row| row.id.0).collect();
    assert_eq!(found, [5, 2_999]);
}

#[test]
fn copies_under_way_are_bounded() {
    use std::sync::mpsc;

    let handle = start(1);
    add(&handle, 10);
    // The clerk waits in the first callback, and all others behind it.
    let (go, gate) = mpsc::channel::<()>();
    handle
        .stats(move |_| gate.recv().unwrap_or_default())
        .expect("nothing else is under way");
    let (tx, rx) = mpsc::channel();
    let mut accepted = 0;
    for _ in 0..4 * COPIES {
        let tx = tx.clone();
        let asked = handle.fleet(FleetQuery::default(), move |fleet| {
            tx.send(fleet.rows.len()).unwrap_or_default();
        });
        accepted += usize::from(asked.is_ok());
        // The worker's inbox is not what refuses.
        std::thread::sleep(Duration::from_micros(100));
    }
    assert_eq!(accepted, COPIES - 1);
    go.send(()).expect("the clerk waits");
    for _ in 0..accepted {
        assert_eq!(rx.recv_timeout(PATIENCE), Ok(10));
    }
    wait_until("there is room again", || handle.stats(|_| ()).is_ok());
    assert!(rx.try_recv().is_err(), "what was refused is never answered");
}

#[test]
fn removed_targets_are_gone_and_changed_ones_keep_their_results() {
    let handle = start(2);
    add(&handle, 1_000);
    handle.begin().expect("running");
    wait_until("every target is up", || {
        let fleet = fleet(&handle, FleetQuery::default());
        fleet.rows.iter().all(|row| row.up == Some(true))
    });
    let remove = (0..500).map(|id| Change::Remove(TargetId(id)));
    handle.apply(remove.collect()).expect("running");
    let other = spec(&http(), &format!("http://{}/", http_server(OK)), 1_000, 5);
    let change = Change::Upsert(TargetId(999), other);
    handle.apply(vec![change]).expect("running");
    let left = fleet(&handle, FleetQuery::default());
    assert_eq!(left.rows.len(), 500);
    assert_eq!(left.rows[0].id, TargetId(500));
    let changed = left.rows.last().expect("rows");
    assert_eq!(changed.spec.group, GroupId(5));
    assert!(changed.results()[0] > 0, "results are kept");
    wait_until("the changed target is probed over HTTP", || {
        let stats = stats(&handle);
        stats
            .groups
            .iter()
            .any(|(id, it)| *id == GroupId(5) && it.runs[0] > 0)
    });
    let gone = vec![Change::Remove(TargetId(999)), Change::Forget(GroupId(5))];
    handle.apply(gone).expect("running");
    let groups = stats(&handle).groups;
    assert!(!groups.is_empty());
    assert!(groups.iter().all(|(id, _)| *id != GroupId(5)), "forgotten");
}

#[test]
fn failures_and_flips_are_noticed_and_successes_are_not() {
    let handle = start(2);
    let good = spec(&tcp(), &closing_server().to_string(), 50, 0);
    let bad = spec(&tcp(), &closed_port().to_string(), 50, 0);
    let changes = vec![
        Change::Upsert(TargetId(1), good),
        Change::Upsert(TargetId(2), bad),
    ];
    handle.apply(changes).expect("running");
    handle.begin().expect("running");
    let mut noticed = Vec::new();
    wait_until("some notices", || {
        let notices = handle.notices(Duration::from_millis(100));
        assert_eq!(notices.dropped, 0);
        assert!(!notices.stopped);
        noticed.extend(notices.list);
        let good = noticed.iter().filter(|it| it.target == TargetId(1)).count();
        noticed.len() >= good + 5 && good >= 1
    });
    for notice in noticed {
        if notice.target == TargetId(1) {
            assert_eq!(notice.outcome, Outcome::Success);
            assert!(notice.transition.is_some());
        } else {
            assert_eq!(notice.outcome, Outcome::Failure(Reason::ConnectRefused));
            assert!(!notice.detail.is_empty());
        }
    }
    handle.shutdown(Duration::ZERO);
    while !handle.notices(PATIENCE).stopped {}
}

#[test]
fn a_worker_with_little_to_do_sleeps() {
    let handle = start(1);
    add(&handle, 10);
    handle.begin().expect("running");
    wait_until("every target was probed", || {
        stats(&handle).engine.runs[0] >= 10
    });
    let before = stats(&handle);
    std::thread::sleep(Duration::from_millis(1_000));
    let after = stats(&handle);
    let turns = after.workers[0].turns - before.workers[0].turns;
    let runs = after.engine.runs[0] - before.engine.runs[0];
    // Some for each run, and not thousands per second.
    assert!(turns < 100 + 20 * runs, "{turns} turns for {runs} runs");
}
