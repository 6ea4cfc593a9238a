//! Scripts, which are called on threads of their own. These are in Rust.

use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use probity_driver::limits::{CREW, ERRANDS_WAITING};
use probity_engine::check::{Module, ModuleConfig};
use probity_engine::config::Files;
use probity_engine::guest::{
    Action, Class, Context, Description, Event, Fault, Plugin, Refusal, Session, Sink, Source,
    Verdict,
};
use probity_engine::{Outcome, Reason};

use crate::support::{PATIENCE, begin, closing_server, probe, start, tcp};

/// What the calls of a script wait for, and who made them.
#[derive(Debug, Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    callers: Mutex<Vec<String>>,
}

impl Gate {
    fn pass(&self) {
        let caller = thread::current().name().unwrap_or_default().to_owned();
        self.callers.lock().unwrap().push(caller);
        let is_open = self.is_open.lock().unwrap();
        let waited = self
            .opened
            .wait_timeout_while(is_open, PATIENCE, |is_open| !*is_open);
        assert!(*waited.unwrap().0, "nobody has opened it");
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn callers(&self) -> Vec<String> {
        self.callers.lock().unwrap().clone()
    }
}

#[derive(Debug)]
struct Script {
    description: Description,
    gate: Arc<Gate>,
    /// Whether its calls panic.
    panics: bool,
}

#[derive(Debug)]
struct Run {
    gate: Arc<Gate>,
    panics: bool,
}

impl Plugin for Script {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &[u8; 32] {
        &[0; 32]
    }

    fn validate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn open(&self, _: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        Ok(Box::new(Run {
            gate: Arc::clone(&self.gate),
            panics: self.panics,
        }))
    }
}

impl Session for Run {
    fn on_event(&mut self, _: Duration, _: Event<'_>, sink: &mut Sink<'_>) -> Result<(), Fault> {
        self.gate.pass();
        assert!(!self.panics, "a test of what a panic does");
        sink.push(Action::Done(Verdict::Up))
    }

    fn take_fuel(&mut self) -> u64 {
        0
    }
}

struct Disk(Arc<Gate>, bool);

impl Files for Disk {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        assert_eq!(source.class, Class::Script);
        Ok(Arc::new(Script {
            description: Description {
                name: "slow".into(),
                ..Description::default()
            },
            gate: Arc::clone(&self.0),
            panics: self.1,
        }))
    }
}

fn script(gate: &Arc<Gate>, panics: bool) -> Module {
    let json = r#"{"prober": "wasm", "wasm": {"path": "slow.wasm", "class": "script"}}"#;
    let config: ModuleConfig = serde_json::from_str(json).expect("a module");
    let disk = Disk(Arc::clone(gate), panics);
    config.compile(&disk).expect("a valid module")
}

#[test]
fn a_script_keeps_no_worker_from_its_sockets() {
    let handle = start(1);
    let target = closing_server().to_string();
    let gate = Arc::default();
    let module = script(&gate, false);
    // More than there are threads for.
    let slow = [(); CREW + 3].map(|()| begin(&handle, &module, &target, 2 * PATIENCE));
    for _ in 0..20 {
        let well = probe(&handle, &tcp(), &target);
        assert_eq!(well.outcome, Outcome::Success, "{}", well.detail);
    }
    assert!(slow.iter().all(|run| run.try_recv().is_err()));
    gate.open();
    for run in slow {
        let report = run.recv_timeout(PATIENCE).expect("every run is reported");
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    }
    let callers = gate.callers();
    assert_eq!(callers.len(), CREW + 3);
    assert!(
        callers.iter().all(|it| it == "probity-errand"),
        "{callers:?}"
    );
    handle.shutdown(Duration::ZERO);
}

#[test]
fn errands_that_find_no_place_say_nothing_of_the_target() {
    let handle = start(1);
    let target = closing_server().to_string();
    let gate = Arc::default();
    let module = script(&gate, false);
    const BEYOND: usize = 7;
    let mut runs = Vec::new();
    for _ in 0..CREW + ERRANDS_WAITING + BEYOND {
        // As a client that waits where there is no room.
        runs.push(begin(&handle, &module, &target, 2 * PATIENCE));
        thread::sleep(Duration::from_micros(200));
    }
    crate::support::wait_until("some are refused", || gate.callers().len() == CREW);
    let mut refused = 0;
    let mut left = Vec::new();
    crate::support::wait_until("those beyond are refused", || {
        for run in runs.drain(..) {
            match run.try_recv() {
                Ok(report) => {
                    let overload = Outcome::Unknown(Reason::Overload);
                    assert_eq!(report.outcome, overload, "{}", report.detail);
                    refused += 1;
                }
                Err(_) => left.push(run),
            }
        }
        runs.append(&mut left);
        refused == BEYOND
    });
    gate.open();
    for run in runs {
        let report = run.recv_timeout(PATIENCE).expect("every run is reported");
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    }
    handle.shutdown(Duration::ZERO);
}

#[test]
fn an_errand_that_panics_is_a_run_that_says_so() {
    let handle = start(1);
    let target = closing_server().to_string();
    let gate = Arc::default();
    Gate::open(&gate);
    let module = script(&gate, true);
    // More often than there are threads.
    for _ in 0..CREW + 1 {
        let report = probe(&handle, &module, &target);
        assert_eq!(report.outcome, Outcome::Unknown(Reason::Internal));
    }
    let report = probe(&handle, &script(&gate, false), &target);
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    handle.shutdown(Duration::ZERO);
}

#[test]
fn scripts_in_flight_may_finish_within_grace_and_are_left_after_it() {
    let handle = start(1);
    let target = closing_server().to_string();
    let gate = Arc::default();
    let module = script(&gate, false);
    let run = begin(&handle, &module, &target, PATIENCE);
    crate::support::wait_until("it is called", || gate.callers().len() == 1);
    let opens = Arc::clone(&gate);
    let opener = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        opens.open();
    });
    handle.shutdown(2 * PATIENCE);
    let report = run.try_recv().expect("the report came before the end");
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    opener.join().expect("it ends");

    let handle = start(1);
    let gate = Arc::default();
    let run = begin(&handle, &script(&gate, false), &target, PATIENCE);
    crate::support::wait_until("it is called", || gate.callers().len() == 1);
    let ender = handle.clone();
    let ending = thread::spawn(move || ender.shutdown(Duration::ZERO));
    let report = run.recv_timeout(PATIENCE).expect("every run is reported");
    assert_eq!(report.outcome, Outcome::Unknown(Reason::Shutdown));
    // The call goes on, and who ends the driver does not wait until it is over.
    let waited = Instant::now();
    ending.join().expect("it ends");
    assert!(waited.elapsed() < PATIENCE / 2, "{:?}", waited.elapsed());
    gate.open();
}
