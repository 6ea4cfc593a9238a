//! Ends: of drivers, of callbacks, of patience.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use probity_driver::{Busy, Change, Config, Driver, FleetQuery, Once, OwnedReport, Stopped};
use probity_engine::{Outcome, Reason, TargetId};

use crate::support::{
    OK, PATIENCE, begin, closing_server, config, http, probe, read_head, server, silent_server,
    spec, start, stats, tcp, wait_until,
};

#[test]
fn runs_in_flight_are_reported_when_grace_is_over() {
    let handle = start(2);
    let url = format!("http://{}/", silent_server());
    let runs: Vec<_> = (0..10)
        .map(|_| begin(&handle, &http(), &url, 10 * PATIENCE))
        .collect();
    wait_until("all are in flight", || {
        stats(&handle).engine.in_flight == 10
    });
    handle.shutdown(Duration::from_millis(50));
    for run in runs {
        let report = run.try_recv().expect("the report came before the end");
        assert_eq!(report.outcome, Outcome::Unknown(Reason::Shutdown));
        assert!(run.recv().is_err(), "exactly once");
    }
}

#[test]
fn runs_in_flight_may_finish_within_grace() {
    let handle = start(1);
    let address = server(|mut stream| {
        read_head(&mut stream);
        thread::sleep(Duration::from_millis(300));
        let _ = stream.write_all(OK);
    });
    let run = begin(&handle, &http(), &format!("http://{address}/"), PATIENCE);
    wait_until("it is in flight", || stats(&handle).engine.in_flight == 1);
    handle.shutdown(2 * PATIENCE);
    let report = run.try_recv().expect("the report came before the end");
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
}

#[test]
fn a_driver_that_has_stopped_says_so() {
    let handle = start(2);
    handle.shutdown(Duration::ZERO);
    handle.shutdown(Duration::ZERO);
    let target = spec(&tcp(), "127.0.0.1:9", 1_000, 0);
    let change = Change::Upsert(TargetId(1), Arc::clone(&target));
    assert_eq!(handle.apply(vec![change]), Err(Stopped));
    assert_eq!(handle.begin(), Err(Stopped));
    let once = Once {
        spec: target,
        timeout: PATIENCE,
        trace: false,
    };
    assert_eq!(handle.run_once(once, |_| panic!("never begun")), Err(Busy));
    let query = FleetQuery::default();
    assert_eq!(handle.fleet(query, |_| panic!("never asked")), Err(Busy));
    assert_eq!(handle.stats(|_| panic!("never asked")), Err(Busy));
    assert!(handle.notices(PATIENCE).stopped);
}

#[test]
fn dropping_the_last_handle_ends_the_driver() {
    let handle = start(2);
    let url = format!("http://{}/", silent_server());
    let run = begin(&handle, &http(), &url, 10 * PATIENCE);
    let clone = handle.clone();
    drop(handle);
    assert!(run.try_recv().is_err(), "a handle is left");
    drop(clone);
    let report = run.recv_timeout(PATIENCE).expect("a report");
    assert_eq!(report.outcome, Outcome::Unknown(Reason::Shutdown));
}

#[test]
fn a_callback_may_end_the_driver() {
    let handle = start(1);
    let (tx, rx) = mpsc::channel();
    let clone = handle.clone();
    let once = Once {
        spec: spec(&tcp(), &closing_server().to_string(), 1_000, 0),
        timeout: PATIENCE,
        trace: false,
    };
    handle
        .run_once(once, move |_| {
            clone.shutdown(Duration::ZERO);
            drop(clone);
            tx.send(()).unwrap_or_default();
        })
        .expect("room");
    rx.recv_timeout(PATIENCE)
        .expect("it does not wait for itself");
    handle.shutdown(Duration::ZERO);
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    let handle = start(1);
    let target = closing_server().to_string();
    let once = Once {
        spec: spec(&tcp(), &target, 1_000, 0),
        timeout: PATIENCE,
        trace: false,
    };
    handle
        .run_once(once, |_| panic!("a test of what a panic does"))
        .expect("room");
    handle
        .stats(|_| panic!("another test of it"))
        .expect("room");
    assert_eq!(probe(&handle, &tcp(), &target).outcome, Outcome::Success);
    assert!(stats(&handle).complete);
}

#[test]
fn what_is_accepted_is_answered_once_and_what_is_not_never() {
    let handle = start(1);
    let target = spec(&tcp(), &closing_server().to_string(), 1_000, 0);
    let once = || Once {
        spec: Arc::clone(&target),
        timeout: PATIENCE,
        trace: false,
    };
    // Hold the worker in a callback, so that its inbox fills.
    let (held, holding) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    handle
        .run_once(once(), move |_| {
            held.send(()).unwrap_or_default();
            let _ = released.recv();
        })
        .expect("room");
    holding.recv_timeout(PATIENCE).expect("the callback runs");
    let called = Arc::new(AtomicUsize::new(0));
    let mut accepted = 0;
    loop {
        let called = Arc::clone(&called);
        let done = move |_| {
            called.fetch_add(1, Ordering::SeqCst);
        };
        match handle.run_once(once(), done) {
            Ok(_) => accepted += 1,
            Err(Busy) => break,
        }
        assert!(accepted < 1_000_000, "an inbox has a bound");
    }
    assert!(accepted > 0);
    assert_eq!(called.load(Ordering::SeqCst), 0);
    drop(release);
    wait_until("all are answered", || {
        called.load(Ordering::SeqCst) == accepted
    });
    handle.shutdown(PATIENCE);
    assert_eq!(called.load(Ordering::SeqCst), accepted);
}

#[test]
fn a_large_change_waits_for_room_and_is_made_in_full() {
    let handle = start(1);
    let target = spec(&tcp(), &closing_server().to_string(), 1_000, 0);
    let once = Once {
        spec: Arc::clone(&target),
        timeout: PATIENCE,
        trace: false,
    };
    let (held, holding) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    handle
        .run_once(once, move |_| {
            held.send(()).unwrap_or_default();
            let _ = released.recv();
        })
        .expect("room");
    holding.recv_timeout(PATIENCE).expect("the callback runs");
    // More than an inbox holds; only the last one leaves a trace.
    let mut changes: Vec<_> = (0..400_000)
        .map(|id| Change::Remove(TargetId(id)))
        .collect();
    changes.push(Change::Upsert(TargetId(7), target));
    let applying = handle.clone();
    let applying = thread::spawn(move || applying.apply(changes));
    wait_until("the inbox is full", || handle.stats(|_| ()).is_err());
    assert!(!applying.is_finished());
    drop(release);
    assert_eq!(applying.join().expect("no panic"), Ok(()));
    assert_eq!(stats(&handle).engine.targets, 1);
}

#[test]
fn what_waits_in_an_inbox_at_the_end_is_answered() {
    let handle = start(1);
    let target = spec(&tcp(), &closing_server().to_string(), 1_000, 0);
    let once = || Once {
        spec: Arc::clone(&target),
        timeout: PATIENCE,
        trace: false,
    };
    let (held, holding) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    handle
        .run_once(once(), move |_| {
            held.send(()).unwrap_or_default();
            let _ = released.recv();
        })
        .expect("room");
    holding.recv_timeout(PATIENCE).expect("the callback runs");
    let (tx, rx) = mpsc::channel();
    for _ in 0..300 {
        let tx = tx.clone();
        handle
            .run_once(once(), move |report| {
                tx.send(report.outcome).unwrap_or_default()
            })
            .expect("room");
    }
    let (fleet_tx, fleet_rx) = mpsc::channel();
    handle
        .fleet(FleetQuery::default(), move |fleet| {
            fleet_tx.send(fleet.complete).unwrap_or_default();
        })
        .expect("room");
    drop(tx);
    let stopping = handle.clone();
    let stopping = thread::spawn(move || stopping.shutdown(PATIENCE));
    wait_until("no more is accepted", || handle.begin().is_err());
    drop(release);
    stopping.join().expect("it ends");
    let outcomes: Vec<_> = rx.try_iter().collect();
    assert_eq!(outcomes.len(), 300);
    let unknown = Outcome::Unknown(Reason::Shutdown);
    assert!(outcomes.iter().all(|outcome| *outcome == unknown));
    assert_eq!(fleet_rx.try_recv(), Ok(false), "told, and told the truth");
}

#[test]
fn too_many_single_runs_are_our_own_overload() {
    let handle = Driver::start(Config {
        in_flight: 1,
        ..config(1)
    });
    let handle = handle.expect("the driver starts");
    let url = format!("http://{}/", silent_server());
    let (tx, rx) = mpsc::channel();
    let target = spec(&http(), &url, 1_000, 0);
    let count = 2_000;
    for _ in 0..count {
        let (tx, target) = (tx.clone(), Arc::clone(&target));
        wait_until("there is room", || {
            let once = Once {
                spec: Arc::clone(&target),
                timeout: 10 * PATIENCE,
                trace: false,
            };
            let tx = tx.clone();
            handle
                .run_once(once, move |report| {
                    tx.send(report.outcome).unwrap_or_default()
                })
                .is_ok()
        });
    }
    let first = rx.recv_timeout(PATIENCE).expect("a report");
    assert_eq!(first, Outcome::Unknown(Reason::Overload));
    handle.shutdown(Duration::ZERO);
    assert_eq!(1 + rx.try_iter().count(), count);
}

/// Each worker has its part of the room: who has some gets the next run, whatever
/// order others end in.
#[test]
fn single_runs_go_where_there_is_room() {
    const WORKERS: usize = 4;
    let handle = Driver::start(Config {
        in_flight: WORKERS,
        ..config(WORKERS)
    });
    let handle = handle.expect("the driver starts");
    let url = format!("http://{}/", silent_server());
    let target = spec(&http(), &url, 1_000, 0);
    let (tx, rx) = mpsc::channel();
    let begin = || {
        let once = Once {
            spec: Arc::clone(&target),
            timeout: 10 * PATIENCE,
            trace: false,
        };
        let tx = tx.clone();
        let done = move |report: OwnedReport| tx.send(report.outcome).unwrap_or_default();
        handle.run_once(once, done).expect("the inbox has room")
    };
    // Most of what there is room for.
    let spendable = handle.capacity().descriptors - Config::RESERVE;
    let room = usize::try_from((spendable / 32).clamp(16, 1_024)).expect("few");
    let count = (room * 7 / 8).next_multiple_of(8).min(room / 8 * 8);
    let all_in_flight = || stats(&handle).engine.in_flight as usize == count;
    let tickets: Vec<_> = (0..count).map(|_| begin()).collect();
    wait_until("all are in flight", all_in_flight);
    // Half of the workers are relieved; in turn, half of what comes next would go
    // to the others.
    for (_, ticket) in tickets.iter().enumerate().filter(|(at, _)| at % 4 < 2) {
        handle.cancel(*ticket);
    }
    let cancelled = Outcome::Unknown(Reason::Cancelled);
    for _ in 0..count / 2 {
        assert_eq!(rx.recv_timeout(PATIENCE), Ok(cancelled));
    }
    for _ in 0..count / 2 {
        begin();
    }
    wait_until("all are in flight", all_in_flight);
    assert_eq!(rx.try_recv(), Err(mpsc::TryRecvError::Empty));
    handle.shutdown(Duration::ZERO);
}

#[test]
fn a_single_run_can_be_cancelled() {
    let handle = start(2);
    let url = format!("http://{}/", silent_server());
    let (tx, rx) = mpsc::channel();
    let once = Once {
        spec: spec(&http(), &url, 1_000, 0),
        timeout: PATIENCE,
        trace: false,
    };
    let ticket = handle
        .run_once(once, move |report| tx.send(report).unwrap_or_default())
        .expect("the inbox has room");
    handle.cancel(ticket);
    let report = rx.recv_timeout(2 * PATIENCE).expect("a report");
    assert_eq!(report.outcome, Outcome::Unknown(Reason::Cancelled));
    assert!(report.total < PATIENCE, "{:?}", report.total);
    // Over is over.
    handle.cancel(ticket);
}
