//! Runs that want a signature at the same time.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;

use super::super::*;
use crate::check::ModuleConfig;
use crate::config::{RsaAlgorithm, Signer, Stamp};
use crate::io::Output;
use crate::outcome::Outcome;
use crate::{Engine, GroupId, Instant, RunId, Schedule, threshold};

/// A key that counts what it signs.
#[derive(Clone, Debug, Default)]
struct Counted(Arc<AtomicUsize>);

impl Signer for Counted {
    fn stamp(&self) -> Result<Stamp, String> {
        Ok(Stamp {
            unix_seconds: 1_792_490_400,
            random: [0; 16],
        })
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        self.0.fetch_add(1, Relaxed);
        Ok(b"signed".to_vec())
    }
}

impl Files for Counted {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("{path}: no such file"))
    }

    fn signer(&self, _: &[u8], _: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        Ok(Arc::new(self.clone()))
    }
}

/// What is known of a run that is over.
#[derive(Clone, Debug)]
struct Ended {
    outcome: Outcome,
    detail: String,
    total: Duration,
    /// That of all its phases.
    phases: Duration,
    at: Instant,
}

/// Runs that ask for a token with an assertion, all since the same moment.
struct Crowd {
    engine: Engine,
    signed: Arc<AtomicUsize>,
    runs: Vec<RunId>,
    /// Those that have set out for their token, in order.
    asking: Vec<RunId>,
    ended: Vec<Option<Ended>>,
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

impl Crowd {
    fn new(runs: usize, timeout: Duration) -> Self {
        let key = Counted::default();
        let module = ModuleConfig {
            prober: "http".into(),
            http: Some(Config {
                oauth2: Some(OAuth2 {
                    client_id: "me".into(),
                    grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer".into(),
                    client_certificate_key: Secret::new("key"),
                    token_url: "http://198.51.100.9/token".into(),
                    ..OAuth2::default()
                }),
                ..Config::default()
            }),
            ..ModuleConfig::default()
        };
        let module = module.compile(&key).unwrap();
        let second = Duration::from_secs(1);
        let spec = Arc::new(crate::Spec {
            check: module.target("192.0.2.7", TargetParams::default()).unwrap(),
            schedule: Schedule::new(second, second, Duration::ZERO).unwrap(),
            threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).unwrap(),
            group: GroupId(0),
        });
        let mut engine = Engine::new(crate::Config::default(), at(0));
        let runs = (0..runs).map(|_| {
            let run = engine.run_once(Arc::clone(&spec), timeout, false, at(0));
            run.unwrap()
        });
        let runs: Vec<_> = runs.collect();
        let mut crowd = Self {
            engine,
            signed: key.0,
            ended: vec![None; runs.len()],
            runs,
            asking: Vec::new(),
        };
        crowd.drain(at(0));
        crowd
    }

    fn signed(&self) -> usize {
        self.signed.load(Relaxed)
    }

    fn turn(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some((id, output)) = self.engine.poll_output() {
            match output {
                Output::Open(Conn(0), _) => self.asking.push(id),
                Output::Report(report) => {
                    let place = self.runs.iter().position(|it| *it == id).unwrap();
                    self.ended[place] = Some(Ended {
                        outcome: report.outcome,
                        detail: report.detail.into(),
                        total: report.total,
                        phases: report.phases.iter().map(|(_, spent)| spent).sum(),
                        at: now,
                    });
                }
                _ => {}
            }
        }
    }

    /// The endpoint and the target answer a run at once.
    fn answer(&mut self, place: usize, now: Instant) {
        let token = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"access_token\":\"t0k\"}";
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        for (conn, answer) in [(Conn(0), token), (Conn(1), page)] {
            let id = self.runs[place];
            self.engine.handle_input(id, Input::Opened(conn), now);
            let data = Input::Data(conn, answer.as_bytes());
            self.engine.handle_input(id, data, now);
        }
        self.drain(now);
    }

    fn ended(&self, place: usize) -> &Ended {
        self.ended[place].as_ref().unwrap()
    }
}

#[test]
fn one_is_made_in_a_turn_and_the_rest_wait_in_order() {
    let mut crowd = Crowd::new(200, Duration::from_secs(1));
    assert_eq!(crowd.signed(), 1, "before anybody else had a turn");
    for turn in 1..200 {
        assert_eq!(crowd.engine.poll_timeout(), Some(at(0)), "nobody sleeps");
        crowd.turn(at(turn));
        assert_eq!(crowd.signed() as u64, turn + 1);
    }
    assert_eq!(crowd.asking, crowd.runs);
    let next = crowd.engine.poll_timeout();
    assert!(next > Some(at(199)), "nothing is left to do: {next:?}");
    for place in 0..200 {
        crowd.answer(place, at(199));
        assert_eq!(crowd.ended(place).outcome, Outcome::Success);
    }
}

#[test]
fn a_deadline_that_passes_while_it_waits_is_ours() {
    let mut crowd = Crowd::new(3, Duration::from_millis(100));
    crowd.turn(at(1));
    // No turn comes until the time is over.
    crowd.turn(at(102));
    assert_eq!(crowd.signed(), 2);
    for asked in 0..2 {
        let ended = crowd.ended(asked);
        assert_eq!(ended.outcome, Outcome::Failure(Reason::TimeoutOauth2));
    }
    let held = crowd.ended(2);
    assert_eq!(held.outcome, Outcome::Unknown(Reason::Overload));
    assert_eq!(
        held.detail,
        "the prober was too busy to sign the assertion for its token"
    );
    assert_eq!((held.total, held.phases), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn the_wait_is_in_no_phase_and_prolongs_nothing_that_somebody_waits_for() {
    let timeout = Duration::from_millis(100);
    let mut crowd = Crowd::new(4, timeout);
    crowd.turn(at(10));
    crowd.turn(at(40));
    crowd.turn(at(90));
    assert_eq!(crowd.asking, crowd.runs);
    crowd.answer(2, at(95));
    let answered = crowd.ended(2);
    assert_eq!(answered.outcome, Outcome::Success);
    assert_eq!(answered.total, Duration::from_millis(55));
    assert_eq!(answered.phases, Duration::ZERO);
    crowd.turn(at(101));
    // Who had nearly all of the time was too slow.
    for place in [0, 1] {
        let silent = crowd.ended(place);
        assert_eq!(silent.outcome, Outcome::Failure(Reason::TimeoutOauth2));
    }
    let late = crowd.ended(3);
    assert_eq!(late.at, at(101));
    assert_eq!(late.outcome, Outcome::Unknown(Reason::Overload));
    assert_eq!(
        late.detail,
        "the prober was too busy to leave it the time that it was given"
    );
}

#[test]
fn who_gives_up_while_it_waits_leaves_its_turn_to_the_next() {
    let mut crowd = Crowd::new(3, Duration::from_secs(1));
    crowd.engine.cancel(crowd.runs[1], at(50));
    crowd.drain(at(50));
    assert_eq!(crowd.ended(1).total, Duration::ZERO);
    crowd.turn(at(51));
    assert_eq!(crowd.asking, [crowd.runs[0], crowd.runs[2]]);
}
