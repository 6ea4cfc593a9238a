//! Runs that share an instance.

use std::sync::MutexGuard;

use super::*;

/// A host with one instance, for all runs at once, that breaks when a peer says so.
#[derive(Debug, Default)]
struct OneInstance(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    present: Vec<RunId>,
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Together {
    description: Description,
    instance: Arc<OneInstance>,
}

#[derive(Debug)]
struct Member {
    run: RunId,
    instance: Arc<OneInstance>,
}

impl OneInstance {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }
}

impl Plugin for Together {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &[u8; 32] {
        &[0; 32]
    }

    fn validate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn open(&self, context: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        let run = context.run;
        self.instance.inside().present.push(run);
        let instance = Arc::clone(&self.instance);
        Ok(Box::new(Member { run, instance }))
    }
}

impl Session for Member {
    fn on_event(
        &mut self,
        _: Duration,
        event: Event<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        match event {
            Event::Data(b"break") => {
                let mut fault = Fault::new(FaultKind::Panic, "panicked");
                let mut inside = self.instance.inside();
                let others = inside.present.iter().filter(|it| **it != self.run);
                fault.others = others.copied().collect();
                let shared = "was in one instance with another run, in which it panicked";
                inside.fault = Some(Fault::new(FaultKind::Panic, shared));
                Err(fault)
            }
            Event::Data(_) => up(sink),
            _ => Ok(()),
        }
    }

    fn take_fuel(&mut self) -> u64 {
        0
    }

    fn fault(&self) -> Option<Fault> {
        self.instance.inside().fault.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.instance.inside().present.retain(|it| *it != self.run);
    }
}

struct Files(Arc<OneInstance>);

impl config::Files for Files {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, source: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        assert_eq!(
            (source.runs_per_instance, source.sessions_per_instance),
            (99, 9)
        );
        Ok(Arc::new(Together {
            description: description(),
            instance: Arc::clone(&self.0),
        }))
    }
}

struct Runs {
    engine: Engine,
    spec: Arc<crate::Spec>,
    instance: Arc<OneInstance>,
    seen: Vec<(RunId, Outcome, String, Duration)>,
}

impl Runs {
    fn new() -> Self {
        let instance = Arc::default();
        let module = ModuleConfig {
            prober: "wasm".into(),
            wasm: Some(Config {
                runs_per_instance: 99,
                sessions_per_instance: 9,
                ..config()
            }),
            ..ModuleConfig::default()
        };
        let module = module.compile(&Files(Arc::clone(&instance))).unwrap();
        Self {
            engine: Engine::new(crate::Config::default(), Instant::ZERO),
            spec: Arc::new(crate::Spec {
                check: module.target("192.0.2.7", TargetParams::default()).unwrap(),
                schedule: Schedule::new(TIMEOUT, TIMEOUT, Duration::ZERO).unwrap(),
                threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).unwrap(),
                group: GroupId(0),
            }),
            instance,
            seen: Vec::new(),
        }
    }

    /// So many runs whose connections are up.
    fn begin(&mut self, count: usize, now: Instant) -> Vec<RunId> {
        let mut runs = Vec::new();
        for _ in 0..count {
            let spec = Arc::clone(&self.spec);
            let run = self.engine.run_once(spec, TIMEOUT, false, now).unwrap();
            self.tell(run, Input::Opened(CONN), now);
            runs.push(run);
        }
        runs
    }

    fn tell(&mut self, run: RunId, input: Input<'_>, now: Instant) {
        self.engine.handle_input(run, input, now);
        while let Some((run, output)) = self.engine.poll_output() {
            if let Output::Report(report) = output {
                let (outcome, detail) = (report.outcome, report.detail.into());
                self.seen.push((run, outcome, detail, report.total));
            }
        }
    }
}

#[test]
fn what_breaks_one_run_ends_all_in_its_instance_at_once() {
    let mut runs = Runs::new();
    let now = Instant::ZERO + MS;
    let begun = runs.begin(4, now);
    runs.tell(begun[0], Input::Data(CONN, b"well"), now);
    assert_eq!(runs.seen.remove(0).1, Outcome::Success);
    let later = now + MS * 7;
    runs.tell(begun[2], Input::Data(CONN, b"break"), later);
    let mut seen = core::mem::take(&mut runs.seen);
    seen.sort_by_key(|(run, ..)| *run);
    let ended: Vec<RunId> = seen.iter().map(|(run, ..)| *run).collect();
    assert_eq!(ended, begun[1..], "each reports once, and no other");
    for (run, outcome, detail, total) in &seen {
        assert_eq!(*outcome, Outcome::Unknown(Reason::WasmPanic));
        let words = match *run == begun[2] {
            true => "the check toy panicked",
            false => "the check toy was in one instance with another run, in which it panicked",
        };
        assert_eq!((&**detail, *total), (words, MS * 7));
    }
    assert_eq!(runs.engine.in_flight(), 0);
    assert_eq!(runs.instance.inside().present, []);
}

#[test]
fn an_instance_that_breaks_is_one_fault_however_many_were_in_it() {
    let mut runs = Runs::new();
    let now = Instant::ZERO + MS;
    for _ in 1..FAULTS_IN_A_ROW {
        runs.instance.inside().fault = None;
        let begun = runs.begin(8, now);
        runs.tell(begun[0], Input::Data(CONN, b"break"), now);
        assert_eq!(runs.seen.len(), 8);
        let is_panic = |reason| reason == Outcome::Unknown(Reason::WasmPanic);
        assert!(
            runs.seen
                .drain(..)
                .all(|(_, outcome, ..)| is_panic(outcome))
        );
    }
    // One fewer than it takes to be left alone.
    runs.instance.inside().fault = None;
    let begun = runs.begin(1, now);
    runs.tell(begun[0], Input::Data(CONN, b"well"), now);
    assert_eq!(runs.seen[0].1, Outcome::Success);
}

/// Whoever has not said which runs they were.
#[test]
fn a_run_whose_instance_is_broken_is_unknown_at_its_end_and_not_timed_out() {
    let mut runs = Runs::new();
    let now = Instant::ZERO + MS;
    let begun = runs.begin(1, now);
    let fault = Fault::new(FaultKind::Stack, "nested its calls too deep");
    runs.instance.inside().fault = Some(fault);
    let end = now + TIMEOUT + MS * 100;
    while let Some(at) = runs.engine.poll_timeout().filter(|at| *at <= end) {
        runs.engine.handle_timeout(at);
    }
    runs.tell(begun[0], Input::Woken, end);
    assert_eq!(runs.seen[0].1, Outcome::Unknown(Reason::WasmStack));
}
