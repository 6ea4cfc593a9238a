//! A quiet world with one server, for scenarios.

use std::net::SocketAddr;
use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Outcome, Phase, Reason};
use probity_simulator::spec::{Plan, module};
use probity_simulator::{Behaviour, Faults, Options, Pieces, Record, World};
use serde_json::{Value, json};

/// Time that one probe may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// Where the server is.
pub(crate) const SERVER: &str = "192.0.2.1:80";

pub(crate) fn server() -> SocketAddr {
    address(SERVER)
}

#[track_caller]
pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

pub(crate) fn http() -> Module {
    module(json!({"prober": "http"}))
}

pub(crate) fn http_with(section: Value) -> Module {
    module(json!({"prober": "http", "http": section}))
}

pub(crate) fn tcp() -> Module {
    module(json!({"prober": "tcp"}))
}

pub(crate) fn tls() -> Module {
    module(json!({"prober": "tcp", "tcp": {"tls": true}}))
}

/// Probes `target` once, with `behaviour` at [`SERVER`].
#[track_caller]
pub(crate) fn probe(module: &Module, target: &str, behaviour: Behaviour) -> Record {
    let mut world = World::new(Options::quiet(1));
    world.serve(server(), behaviour);
    probe_in(&mut world, module, target)
}

/// Lets `periods` of a fleet pass and its last runs end, and counts the runs
/// that were due meanwhile.
pub(crate) fn pass(world: &mut World, period: Duration, periods: u32) -> usize {
    let end = world.now() + period * periods;
    let before = world.reports().len();
    world.run_until(end + Duration::from_millis(500));
    let reports = world.reports()[before..].iter();
    reports.filter(|record| record.due <= end).count()
}

/// Probes `target` once. Whatever comes of it, no rule may be broken, and no
/// time may pass after the verdict.
#[track_caller]
pub(crate) fn probe_in(world: &mut World, module: &Module, target: &str) -> Record {
    let spec = Plan::default().spec(module, target);
    let run = world.run_once(spec, TIMEOUT).expect("there is room");
    world.run_for(TIMEOUT * 2);
    let record = world.reports().iter().find(|record| record.run == run);
    let record = record.expect("the run has reported").clone();
    world.assert_clean();
    assert_eq!(world.connections(), 0, "a connection is left");
    record
}

/// The same probe through networks that cut streams differently gives the
/// same verdict.
#[track_caller]
pub(crate) fn probe_pieces(module: &Module, target: &str, behaviour: &Behaviour) -> Record {
    probe_among(module, target, &[(SERVER, behaviour.clone())])
}

/// The same with several servers. The verdict depends on no seed, and equal
/// seeds give equal records.
#[track_caller]
pub(crate) fn probe_among(module: &Module, target: &str, peers: &[(&str, Behaviour)]) -> Record {
    let through = |seed: u64, pieces: Pieces| {
        let faults = Faults {
            pieces,
            ..Faults::default()
        };
        let mut world = World::new(Options {
            faults,
            ..Options::quiet(seed)
        });
        for (at, behaviour) in peers {
            world.serve(address(at), behaviour.clone());
        }
        for (name, to) in NAMES {
            world.name(name, address(to).ip());
        }
        probe_in(&mut world, module, target)
    };
    let first = through(1, Pieces::Whole);
    for (seed, pieces) in [
        (2, Pieces::Segments),
        (3, Pieces::Random),
        (4, Pieces::Random),
    ] {
        let other = through(seed, pieces);
        assert_eq!(other.outcome, first.outcome, "{}", other.detail);
        assert_eq!(through(seed, pieces), other, "seed {seed}");
    }
    first
}

/// What a proxy can look up.
const NAMES: &[(&str, &str)] = &[("a.example", SERVER)];

/// How long a phase took, if it ended.
pub(crate) fn phase(record: &Record, wanted: Phase) -> Option<Duration> {
    let found = record.phases.iter().find(|(phase, _)| *phase == wanted);
    found.map(|(_, spent)| *spent)
}

/// Expects a success.
#[track_caller]
pub(crate) fn assert_success(record: &Record) {
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

/// Expects a failure for this reason, in these words.
#[track_caller]
pub(crate) fn assert_failure(record: &Record, reason: Reason, words: &str) {
    let detail = &record.detail;
    assert_eq!(record.outcome, Outcome::Failure(reason), "{detail}");
    assert!(detail.contains(words), "expected {words:?} in {detail:?}");
}

/// Asserts that nothing is known of the target, for a reason, said with these words.
pub(crate) fn assert_unknown(record: &Record, reason: Reason, words: &str) {
    let detail = &record.detail;
    assert_eq!(record.outcome, Outcome::Unknown(reason), "{detail}");
    assert!(detail.contains(words), "expected {words:?} in {detail:?}");
}
