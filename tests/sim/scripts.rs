//! Scripts, whose calls are errands: they come back when they do, or after the end.

use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{Module, ModuleConfig};
use probity_engine::config::Files;
use probity_engine::guest::{
    Action, Context, Description, Event, Fault, Finding, Plugin, Refusal, Session, Sink, Source,
    Verdict,
};
use probity_engine::{Outcome, Reason, TargetId};
use probity_simulator::spec::Plan;
use probity_simulator::{Behaviour, Faults, Options, Pieces, Record, Step, World};

use crate::lab::{SERVER, TIMEOUT, assert_success, assert_unknown, probe_in, server};

/// Asks `hi`, and is up when it has heard `bye`.
#[derive(Debug, Default)]
struct Polite(Description);

#[derive(Debug, Default)]
struct Run(Vec<u8>);

impl Plugin for Polite {
    fn description(&self) -> &Description {
        &self.0
    }

    fn digest(&self) -> &[u8; 32] {
        &[0; 32]
    }

    fn validate(&self, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn open(&self, _: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        Ok(Box::<Run>::default())
    }
}

impl Session for Run {
    fn on_event(
        &mut self,
        _: Duration,
        event: Event<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Fault> {
        match event {
            Event::Connected => sink.push(Action::Send(b"hi\n")),
            Event::Data(data) => {
                self.0.extend_from_slice(data);
                match self.0.as_slice() {
                    b"bye\n" => sink.push(Action::Done(Verdict::Up)),
                    said if b"bye\n".starts_with(said) => Ok(()),
                    _ => {
                        let verdict = Verdict::Down(Finding::Malformed, "said something else");
                        sink.push(Action::Done(verdict))
                    }
                }
            }
            _ => Ok(()),
        }
    }

    fn take_fuel(&mut self) -> u64 {
        0
    }
}

struct Disk;

impl Files for Disk {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, _: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        Ok(Arc::new(Polite(Description {
            name: "polite".into(),
            ..Description::default()
        })))
    }
}

fn script() -> Module {
    let json = r#"{"prober": "wasm", "wasm": {"path": "polite.wasm", "class": "script"}}"#;
    let config: ModuleConfig = serde_json::from_str(json).expect("a module");
    config.compile(&Disk).expect("a valid module")
}

fn well() -> Behaviour {
    Behaviour::talk([Step::Expect("hi\n".into()), Step::Send("bye\n".into())])
}

fn world(seed: u64, errands_take: Duration) -> World {
    let faults = Faults {
        pieces: Pieces::Random,
        ..Faults::default()
    };
    let mut world = World::new(Options {
        faults,
        ..Options::quiet(seed)
    });
    world.errands_take(errands_take);
    world
}

fn probe(seed: u64, errands_take: Duration, peer: Behaviour) -> Record {
    let mut world = world(seed, errands_take);
    world.serve(server(), peer);
    probe_in(&mut world, &script(), SERVER)
}

#[test]
fn what_errands_take_is_not_the_targets() {
    for seed in 0..40 {
        let record = probe(seed, Duration::from_millis(20), well());
        assert_success(&record);
        let at_once = probe(seed, Duration::ZERO, well());
        assert_success(&at_once);
        let millis = |record: &Record| record.total.as_millis();
        assert!(
            millis(&record) <= millis(&at_once) + 2,
            "seed {seed}: {:?}",
            record.total
        );
        assert_eq!(probe(seed, Duration::from_millis(20), well()), record);
    }
}

#[test]
fn errands_that_come_too_late_say_nothing_of_the_target() {
    let mut late = 0;
    for seed in 0..40 {
        let record = probe(seed, TIMEOUT * 2, well());
        if record.outcome != Outcome::Success {
            assert_unknown(&record, Reason::Overload, "the prober was too busy");
            late += 1;
        }
    }
    assert!((5..40).contains(&late), "{late} of 40 are late");
}

#[test]
fn a_silent_target_is_down_though_its_check_is_a_script() {
    let record = probe(1, Duration::from_millis(20), Behaviour::silent());
    let timed_out = Outcome::Failure(Reason::TimeoutProcessing);
    assert_eq!(record.outcome, timed_out, "{}", record.detail);
}

#[test]
fn a_fleet_of_scripts_keeps_every_rule() {
    for seed in 0..10 {
        let mut world = world(seed, Duration::from_millis(300));
        world.serve(server(), well());
        let spec = Plan::default().spec(&script(), SERVER);
        for id in 0..50 {
            world.upsert(TargetId(id), Arc::clone(&spec)).expect("room");
        }
        world.begin();
        world.run_for(Duration::from_secs(60));
        let [success, warning, failure, unknown] = world.counts();
        assert_eq!((warning, failure), (0, 0));
        assert!(
            success > 4 * unknown && success > 200,
            "{success} {unknown}"
        );
        world.assert_clean();
    }
}
