//! The kubelet's own cases (`worker_test.go`), W1 to W22 of the project's
//! notes, and those that it lacks. W numbers are in the order of that file.

use std::vec::Vec;

use super::*;
use crate::threshold::Observation::{Error, Failure, Success};
use Published::{Absent, Failure as Down, Success as Up, Unknown};

const TYPES: [Kind; 3] = [Kind::Liveness, Kind::Readiness, Kind::Startup];

fn secs(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// A pod whose container has run for 500 seconds and has started unless this
/// is what the check is there to find out.
fn running(kind: Kind) -> Pod {
    Pod {
        phase: PodPhase::Running,
        deleting: false,
        container: Some(Container {
            id: 1,
            state: ContainerState::Running {
                started_at: secs(500),
            },
            started: Some(kind != Kind::Startup),
            origin: Origin::Fresh,
        }),
    }
}

/// One check of one container, with a target that answers as it is told.
struct Worker {
    lifecycle: Lifecycle,
    threshold: Threshold,
    config: Config,
    delay: Duration,
    pod: Option<Pod>,
    now: Instant,
    /// Attempts that were made.
    attempts: u32,
}

impl Worker {
    fn new(kind: Kind, success: u32, failure: u32) -> Self {
        Self {
            lifecycle: Lifecycle::new(),
            threshold: Threshold::UNPUBLISHED,
            config: Config::new(kind, success, failure).expect("valid thresholds"),
            delay: Duration::ZERO,
            pod: Some(running(kind)),
            now: secs(1000),
            attempts: 0,
        }
    }

    fn with_default_thresholds(kind: Kind) -> Self {
        Self::new(kind, 0, 0)
    }

    fn pod(&mut self) -> &mut Pod {
        self.pod.as_mut().expect("the pod is known")
    }

    fn container(&mut self) -> &mut Container {
        self.pod().container.as_mut().expect("it has a container")
    }

    fn terminate(&mut self, will_restart: bool) {
        self.container().state = ContainerState::Terminated { will_restart };
    }

    fn restart(&mut self, id: u64) {
        let started_at = self.now;
        self.container().id = id;
        self.container().state = ContainerState::Running { started_at };
    }

    /// One pass; each attempt, if any is made, ends with `result`.
    fn pass(&mut self, result: Observation) -> Pass {
        let (lifecycle, threshold) = (&mut self.lifecycle, &mut self.threshold);
        let (pass, _) = lifecycle.pass(
            threshold,
            &self.config,
            self.delay,
            self.pod.as_ref(),
            self.now,
        );
        if pass == Pass::Probe {
            let mut attempt = 1;
            while retries(result, attempt) {
                attempt += 1;
            }
            self.attempts += attempt;
            threshold.observe(&self.config, result);
        }
        pass
    }

    fn published(&self) -> Published {
        self.lifecycle.published(&self.threshold)
    }

    /// One pass for each result, and what is published after each.
    fn passes<const N: usize>(&mut self, results: [Observation; N]) -> Vec<Published> {
        let step = |result| {
            self.pass(result);
            self.published()
        };
        results.into_iter().map(step).collect()
    }
}

#[test]
fn w01_without_a_pod_status_nothing_happens() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.pod = None;
        assert_eq!(worker.pass(Success), Pass::Skip);
        assert_eq!(worker.published(), Absent);
    }
}

#[test]
fn w02_a_failed_pod_ends_the_worker() {
    for kind in TYPES {
        for phase in [PodPhase::Failed, PodPhase::Succeeded] {
            let mut worker = Worker::with_default_thresholds(kind);
            worker.pod().phase = phase;
            assert_eq!(worker.pass(Success), Pass::Exit);
            assert_eq!(worker.published(), Absent);
        }
    }
}

#[test]
fn w03_deletion_ends_liveness_and_startup_but_not_readiness() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.pod().deleting = true;
        let expected = match kind {
            Kind::Readiness => Pass::Probe,
            _ => Pass::Exit,
        };
        assert_eq!(worker.pass(Success), expected);
        assert_eq!(worker.published(), Up);
    }
}

#[test]
fn w04_without_a_status_of_the_container_nothing_happens() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.pod().container = None;
        assert_eq!(worker.pass(Success), Pass::Skip);
        assert_eq!(worker.published(), Absent);
    }
}

#[test]
fn w05_a_waiting_container_is_down() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.container().state = ContainerState::Waiting;
        assert_eq!(worker.pass(Success), Pass::Skip);
        assert_eq!(worker.published(), Down);
    }
}

#[test]
fn w06_a_container_that_ended_for_good_ends_the_worker() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.terminate(will_restart(RestartPolicy::Never, &[], 0));
        assert_eq!(worker.pass(Success), Pass::Exit);
        assert_eq!(worker.published(), Down);
    }
}

#[test]
fn w07_a_running_container_is_probed() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        assert_eq!(worker.pass(Success), Pass::Probe);
        assert_eq!(worker.published(), Up);
    }
}

/// The kubelet's case has a delay of -100 s, which a `Duration` cannot be; the
/// nearest is none, for a container that has started this instant.
#[test]
fn w08_no_initial_delay_is_no_delay() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.restart(1);
        assert_eq!(worker.pass(Success), Pass::Probe);
        assert_eq!(worker.published(), Up);
    }
}

#[test]
fn w09_within_the_initial_delay_the_initial_value_stands() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.delay = Duration::from_secs(10);
        worker.restart(1);
        assert_eq!(worker.pass(Success), Pass::Skip);
        let initial = match kind {
            Kind::Liveness => Up,
            Kind::Readiness => Down,
            _ => Unknown,
        };
        assert_eq!(worker.published(), initial);

        let started_at = secs(900);
        worker.container().state = ContainerState::Running { started_at };
        assert_eq!(worker.pass(Success), Pass::Probe);
        assert_eq!(worker.published(), Up);
    }
}

#[test]
fn w10_readiness_falls_with_the_third_failure() {
    let mut worker = Worker::new(Kind::Readiness, 1, 3);
    for _ in 0..2 {
        let results = [
            Success, Success, Success, Failure, Failure, Failure, Failure, Failure,
        ];
        assert_eq!(
            worker.passes(results),
            [Up, Up, Up, Up, Up, Down, Down, Down]
        );
    }
}

#[test]
fn w11_readiness_rises_with_the_third_success() {
    let mut worker = Worker::new(Kind::Readiness, 3, 1);
    for _ in 0..2 {
        let results = [Success, Success, Success, Success, Success, Failure];
        assert_eq!(worker.passes(results), [Down, Down, Up, Up, Up, Down]);
    }
}

#[test]
fn w12_startup_holds_after_success() {
    let mut worker = Worker::new(Kind::Startup, 1, 3);
    assert_eq!(worker.passes([Success]), [Up]);
    assert!(worker.threshold.on_hold());
    assert_eq!(worker.threshold.run(), 0);
}

#[test]
fn w13_startup_holds_after_its_last_failure() {
    let mut worker = Worker::new(Kind::Startup, 1, 3);
    for (published, run, hold) in [(Unknown, 1, false), (Unknown, 2, false), (Down, 0, true)] {
        assert_eq!(worker.passes([Failure]), [published]);
        assert_eq!(worker.threshold.run(), run);
        assert_eq!(worker.threshold.on_hold(), hold);
    }
}

#[test]
fn w14_only_a_new_container_lifts_the_hold() {
    for kind in [Kind::Liveness, Kind::Startup] {
        let mut worker = Worker::new(kind, 1, 1);
        assert_eq!(worker.passes([Failure]), [Down]);
        assert!(worker.threshold.on_hold());

        assert_eq!(worker.pass(Success), Pass::Skip, "not probed");
        assert_eq!(worker.published(), Down);

        worker.container().id = 2;
        assert_eq!(worker.pass(Success), Pass::Probe);
        assert_eq!(worker.published(), Up);
        assert_eq!(worker.threshold.on_hold(), kind == Kind::Startup);
    }
}

#[test]
fn w15_liveness_counts_and_holds() {
    let mut worker = Worker::new(Kind::Liveness, 1, 3);
    let steps = [
        (Success, Up, 1, false),
        (Failure, Up, 1, false),
        (Failure, Up, 2, false),
        (Failure, Down, 0, true),
    ];
    for (result, published, run, hold) in steps {
        assert_eq!(worker.passes([result]), [published]);
        assert_eq!(worker.threshold.run(), run);
        assert_eq!(worker.threshold.on_hold(), hold);
    }
}

#[test]
fn w16_liveness_waits_for_the_start() {
    let mut worker = Worker::new(Kind::Liveness, 1, 1);
    for started in [None, Some(false)] {
        worker.container().started = started;
        assert_eq!(worker.pass(Failure), Pass::Skip, "not probed");
        assert_eq!(worker.published(), Up);
    }
    worker.container().started = Some(true);
    assert_eq!(worker.passes([Failure]), [Down]);
}

#[test]
fn w17_startup_is_over_once_the_container_has_started() {
    let mut worker = Worker::new(Kind::Startup, 1, 2);
    assert_eq!(worker.passes([Failure, Success]), [Unknown, Up]);
    worker.container().started = Some(true);
    assert_eq!(worker.pass(Failure), Pass::Skip, "not probed");
    assert_eq!(worker.published(), Up);
    // That was the hold (P5); the container having started is enough (P9).
    let mut other = Worker::new(Kind::Startup, 1, 1);
    other.container().started = Some(true);
    assert_eq!(other.pass(Failure), Pass::Skip);
    assert_eq!(other.published(), Unknown);
}

#[test]
fn w18_a_worker_stops_once_however_often_it_is_told() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.pass(Success);
        assert_eq!(worker.published(), Up);
        let stops = (0..10).filter(|_| worker.lifecycle.stop(&mut worker.threshold));
        assert_eq!(stops.count(), 1);
        assert_eq!(worker.published(), Absent);
        assert_eq!(worker.threshold.published(), None);
        assert_eq!(worker.pass(Success), Pass::Exit);
        assert_eq!(worker.published(), Absent);
    }
}

#[test]
fn w19_a_sidecar_that_ended_keeps_its_worker() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        // Whatever the pod's policy, a sidecar's own is Always.
        worker.terminate(will_restart(RestartPolicy::Always, &[], 0));
        assert_eq!(worker.pass(Success), Pass::Skip);
        assert_eq!(worker.published(), Down);
    }
}

#[test]
fn w20_a_container_of_a_pod_that_never_restarts_loses_its_worker() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.pass(Success);
        worker.terminate(will_restart(RestartPolicy::Never, &[], 1));
        // A startup check that has succeeded is on hold, and P5 is before P6.
        let expected = match kind {
            Kind::Startup => (Pass::Skip, Up),
            _ => (Pass::Exit, Down),
        };
        assert_eq!((worker.pass(Success), worker.published()), expected);

        let mut fresh = Worker::with_default_thresholds(kind);
        fresh.terminate(will_restart(RestartPolicy::Never, &[], 1));
        assert_eq!(fresh.pass(Success), Pass::Exit);
        assert_eq!(fresh.published(), Down);
    }
}

#[test]
fn w21_restart_rules_decide_whether_the_worker_stays() {
    use RestartPolicy::{Always, Never, OnFailure};
    let cases: [(RestartPolicy, &[RestartRule<'_>], i32, Pass); 10] = [
        (OnFailure, &[], 1, Pass::Skip),
        (OnFailure, &[], 0, Pass::Exit),
        (Always, &[], 1, Pass::Skip),
        (Always, &[], 0, Pass::Skip),
        (Never, &[], 1, Pass::Exit),
        (Never, &[], 0, Pass::Exit),
        (Never, &[RestartRule::In(&[1])], 1, Pass::Skip),
        (Never, &[RestartRule::In(&[99])], 1, Pass::Exit),
        (Never, &[RestartRule::NotIn(&[99])], 1, Pass::Skip),
        (Never, &[RestartRule::NotIn(&[1])], 1, Pass::Exit),
    ];
    for kind in TYPES {
        for (policy, rules, exit_code, expected) in cases {
            let mut worker = Worker::with_default_thresholds(kind);
            worker.terminate(will_restart(policy, rules, exit_code));
            let pass = worker.pass(Success);
            assert_eq!(pass, expected, "{policy:?} {rules:?} {exit_code}");
            assert_eq!(worker.published(), Down);
        }
        // All containers are being restarted, by this one or by another.
        let mut worker = Worker::with_default_thresholds(kind);
        worker.terminate(true);
        assert_eq!(worker.pass(Success), Pass::Skip);
        // The old ones are gone, the new ones not there yet.
        worker.container().state = ContainerState::Waiting;
        worker.pod().phase = PodPhase::Pending;
        assert_eq!(worker.pass(Success), Pass::Skip);
        assert_eq!(worker.published(), Down);
    }
}

#[test]
fn w22_a_restarted_prober_does_not_judge_before_it_has_looked() {
    let prober_started = secs(1000);
    let published = |kind: Kind, age: u64, sidecar: bool, started: bool| {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.delay = Duration::from_secs(1000);
        let started_at = secs(1000 - age);
        worker.container().state = ContainerState::Running { started_at };
        worker.container().started = Some(started);
        worker.container().origin = Origin::of(started_at, prober_started, sidecar);
        assert_eq!(worker.pass(Success), Pass::Skip, "within the delay");
        worker.published()
    };
    let initial = |kind| match kind {
        Kind::Liveness => Up,
        Kind::Readiness => Down,
        _ => Unknown,
    };
    for kind in TYPES {
        for started in [false, true] {
            assert_eq!(published(kind, 300, false, started), Absent);
            let sidecar = match kind {
                Kind::Startup if started => Up,
                _ => Absent,
            };
            assert_eq!(published(kind, 300, true, started), sidecar);
            // Not a restart of the prober: ten seconds are a container's own.
            assert_eq!(published(kind, 10, false, started), initial(kind));
            assert_eq!(published(kind, 0, true, started), initial(kind));
            assert_eq!(published(kind, 11, false, started), Absent);
        }
    }
}

#[test]
fn an_adopted_container_gets_a_value_with_its_first_decision() {
    let mut worker = Worker::with_default_thresholds(Kind::Readiness);
    worker.container().origin = Origin::Adopted;
    assert_eq!(worker.passes([Failure, Failure]), [Absent, Absent]);
    assert_eq!(worker.passes([Failure]), [Down]);
    let mut worker = Worker::with_default_thresholds(Kind::Liveness);
    worker.container().origin = Origin::Adopted;
    assert_eq!(worker.passes([Success]), [Up]);
}

#[test]
fn failures_before_a_crash_count_against_the_next_container() {
    let mut worker = Worker::new(Kind::Liveness, 1, 3);
    assert_eq!(worker.passes([Failure, Failure]), [Up, Up]);
    worker.terminate(true);
    assert_eq!(worker.pass(Failure), Pass::Skip);
    assert_eq!(worker.published(), Down);
    assert_eq!(worker.threshold.run(), 2, "not running does not count");
    worker.restart(2);
    assert_eq!(worker.passes([Failure]), [Down]);
    assert!(worker.threshold.on_hold());
}

#[test]
fn successes_before_a_crash_count_for_the_next_container() {
    let mut worker = Worker::new(Kind::Readiness, 3, 3);
    assert_eq!(
        worker.passes([Success, Success, Success, Success]),
        [Down, Down, Up, Up]
    );
    worker.terminate(true);
    assert_eq!(worker.passes([Success]), [Down]);
    worker.restart(2);
    assert_eq!(worker.passes([Success]), [Up], "the first is the fifth");
}

#[test]
fn errors_are_tried_three_times_and_then_forgotten() {
    for kind in TYPES {
        let mut worker = Worker::with_default_thresholds(kind);
        worker.passes([Failure, Failure]);
        let (threshold, attempts) = (worker.threshold, worker.attempts);
        worker.passes([Error, Error]);
        assert_eq!(worker.attempts - attempts, 2 * MAX_ATTEMPTS);
        assert_eq!(worker.threshold, threshold);
        worker.passes([Failure]);
        assert_eq!(worker.attempts - attempts, 7, "a failure is not retried");
        assert_eq!(worker.published(), Down);
    }
}

#[test]
fn the_age_of_a_container_counts_in_whole_seconds() {
    let delay = Duration::from_secs(10);
    let age = |millis| secs(5) + Duration::from_millis(millis);
    assert!(within_initial_delay(secs(5), delay, age(9_999)));
    assert!(!within_initial_delay(secs(5), delay, age(10_000)));
    let fraction = Duration::from_millis(9_500);
    assert!(within_initial_delay(secs(5), fraction, age(9_999)));
    assert!(!within_initial_delay(secs(5), fraction, age(10_000)));
    assert!(!within_initial_delay(secs(5), Duration::ZERO, secs(5)));
}

#[test]
fn the_initial_delay_applies_to_each_container() {
    let mut worker = Worker::with_default_thresholds(Kind::Readiness);
    worker.delay = Duration::from_secs(10);
    assert_eq!(worker.pass(Success), Pass::Probe);
    worker.restart(2);
    assert_eq!(worker.pass(Success), Pass::Skip);
    worker.now += Duration::from_secs(10);
    assert_eq!(worker.pass(Success), Pass::Probe);
}

#[test]
fn a_pass_reports_the_net_change() {
    let mut worker = Worker::with_default_thresholds(Kind::Liveness);
    let pass = |worker: &mut Worker| {
        let pod = worker.pod;
        worker.lifecycle.pass(
            &mut worker.threshold,
            &worker.config,
            Duration::ZERO,
            pod.as_ref(),
            worker.now,
        )
    };
    let change = |from, to| Some(Transition { from, to, run: 0 });
    assert_eq!(pass(&mut worker), (Pass::Probe, change(None, true)));
    assert_eq!(pass(&mut worker), (Pass::Probe, None));
    worker.container().id = 2;
    assert_eq!(pass(&mut worker), (Pass::Probe, None), "up as before");
    worker.container().id = 3;
    worker.terminate(true);
    let down = (Pass::Skip, change(Some(true), false));
    assert_eq!(pass(&mut worker), down, "initially up, but not running");
    assert_eq!(pass(&mut worker), (Pass::Skip, None));
}

#[test]
fn only_an_unready_running_container_is_worth_a_trigger() {
    let ready = running(Kind::Readiness).container.expect("it has one");
    assert!(wants_trigger(Kind::Readiness, &ready, Down));
    assert!(wants_trigger(Kind::Readiness, &ready, Absent));
    assert!(!wants_trigger(Kind::Readiness, &ready, Up));
    for kind in [Kind::Plain, Kind::Liveness, Kind::Startup] {
        assert!(!wants_trigger(kind, &ready, Down));
    }
    let mut other = ready;
    other.started = None;
    assert!(!wants_trigger(Kind::Readiness, &other, Down));
    other = ready;
    other.state = ContainerState::Waiting;
    assert!(!wants_trigger(Kind::Readiness, &other, Down));
}
