//! The checkers are worth their name: every defect that is put in is caught,
//! by the checker whose business it is.

use std::time::Duration;

use probity_engine::TargetId;
use probity_simulator::checker::{Condition, Violation};
use probity_simulator::sabotage::{Defect, Saboteur};
use probity_simulator::spec::Plan;
use probity_simulator::{Behaviour, Faults, Options, World, http, swarm};

use crate::lab::{http as http_module, tcp};

/// A world in which much happens: servers of every condition, some of which
/// change, on a machine that sometimes has no descriptors.
fn busy(defect: Option<Defect>) -> Vec<Violation> {
    let options = Options {
        faults: Faults {
            local: 50_000,
            ..Faults::default()
        },
        ..Options::quiet(42)
    };
    let mut world = World::around(options, |engine| match defect {
        Some(defect) => Box::new(Saboteur::new(engine, defect)),
        None => Box::new(engine),
    });
    let plan = Plan {
        period: Duration::from_secs(2),
        ..Plan::default()
    };
    for number in 0..12_u8 {
        let (id, at) = (TargetId(number.into()), ([192, 0, 2, number], 80).into());
        let (behaviour, condition) = match number % 4 {
            0 => (http::ok(), Condition::Healthy(vec![at])),
            1 => (http::status("503 No"), Condition::Failing),
            2 => (Behaviour::Blackhole, Condition::Failing),
            _ => (http::slow(Duration::from_millis(300)), Condition::Mixed),
        };
        world.serve(at, behaviour);
        let spec = match number % 4 {
            2 => plan.spec(&tcp(), &at.to_string()),
            _ => plan.spec(&http_module(), &format!("http://{at}/")),
        };
        world.upsert(id, spec).expect("there is room");
        world.expect(id, condition);
    }
    world.begin();
    for round in 0..10 {
        world.run_for(Duration::from_secs(12));
        for number in [3_u8, 7, 11] {
            let server = if round % 2 == 0 {
                Behaviour::Refuse
            } else {
                http::ok()
            };
            world.serve(([192, 0, 2, number], 80).into(), server);
        }
    }
    world.finish().to_vec()
}

#[track_caller]
fn assert_caught(defect: Defect, checker: &str) {
    let violations = busy(Some(defect));
    let caught = violations.iter().any(|found| found.checker == checker);
    assert!(
        caught,
        "{defect:?} was not caught by {checker:?}: {violations:#?}"
    );
}

#[test]
fn without_a_defect_there_is_no_violation() {
    assert_eq!(busy(None), []);
}

#[test]
fn a_lost_timer_is_caught() {
    assert_caught(Defect::LostTimer, "deadlines");
}

#[test]
fn a_lost_run_is_caught() {
    assert_caught(Defect::LostRun, "deadlines");
    assert_caught(Defect::LostRun, "once per run");
}

#[test]
fn a_double_report_is_caught() {
    assert_caught(Defect::DoubleReport, "once per run");
}

#[test]
fn a_leaked_connection_is_caught() {
    assert_caught(Defect::LeakedConnection, "connections");
}

#[test]
fn a_late_report_is_caught() {
    assert_caught(Defect::LateReport, "deadlines");
}

#[test]
fn a_false_success_is_caught() {
    assert_caught(Defect::FalseSuccess, "blame");
    assert_caught(Defect::FalseSuccess, "books");
}

#[test]
fn a_false_failure_is_caught() {
    assert_caught(Defect::FalseFailure, "blame");
}

#[test]
fn a_wrong_bill_is_caught() {
    assert_caught(Defect::WrongBill, "blame");
}

#[test]
fn flips_without_reason_and_without_notice_are_caught() {
    assert_caught(Defect::EarlyFlip, "flips");
    assert_caught(Defect::SilentFlip, "flips");
}

#[test]
fn a_timer_that_spins_is_caught() {
    assert_caught(Defect::Spin, "progress");
}

#[test]
fn use_after_close_is_caught() {
    assert_caught(Defect::UseAfterClose, "connections");
}

#[test]
fn an_output_after_the_report_is_caught() {
    assert_caught(Defect::GhostOutput, "once per run");
}

#[test]
fn a_run_off_its_schedule_is_caught() {
    assert_caught(Defect::OffSchedule, "on schedule");
}

#[test]
fn two_runs_at_once_are_caught() {
    assert_caught(Defect::TwoAtOnce, "on schedule");
}

#[test]
fn a_forgotten_target_is_caught() {
    assert_caught(Defect::ForgottenTarget, "on schedule");
}

/// Worlds of the swarm in which a defect must have shown.
const WORLDS: u64 = 60;

/// The swarm meets every kind of target, and sees what is done to it.
#[track_caller]
fn assert_caught_by_swarm(defect: Defect) {
    let caught = (0..WORLDS).any(|seed| {
        let lived = swarm::run_around(seed, |engine| Box::new(Saboteur::new(engine, defect)));
        lived.is_err_and(|found| found.contains("blame"))
    });
    assert!(caught, "{defect:?} was not seen in {WORLDS} worlds");
}

#[test]
fn a_word_that_is_not_said_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::LostWord);
}

#[test]
fn a_connection_that_is_not_secured_midway_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::LostHandshake);
}

#[test]
fn a_frame_that_is_lost_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::LostFrame);
}

#[test]
fn a_bit_that_flips_in_a_coded_body_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::FlippedBit);
}

#[test]
fn a_proxy_that_is_taken_for_the_target_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::OriginForm);
}

#[test]
fn a_proxy_that_is_trusted_too_far_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::TrustedProxy);
}

#[test]
fn a_token_of_somebody_else_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::WrongToken);
}

#[test]
fn a_certificate_that_is_not_looked_at_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::BlindTrust);
}

#[test]
fn a_target_that_is_blamed_for_its_proxy_is_seen_by_the_swarm() {
    assert_caught_by_swarm(Defect::WrongCulprit);
}

#[test]
fn an_engine_beyond_its_bounds_is_caught() {
    use probity_engine::{Config, Limits};
    // The engine believes in other bounds than its world.
    let options = Options::quiet(1).limits(Limits {
        in_flight: 3,
        once_in_flight: 0,
        ..Limits::default()
    });
    let mut world = World::around(options, |engine| {
        let now = probity_engine::Instant::from_nanos(1_000_000_000);
        drop(engine);
        Box::new(probity_engine::Engine::new(Config::default(), now))
    });
    for number in 0..50_u8 {
        let at: std::net::SocketAddr = ([192, 0, 2, number], 80).into();
        world.serve(at, Behaviour::Blackhole);
        let spec = Plan::default().spec(&tcp(), &at.to_string());
        world
            .upsert(TargetId(number.into()), spec)
            .expect("there is room");
    }
    world.begin();
    world.run_for(Duration::from_secs(20));
    let caught = world
        .finish()
        .iter()
        .any(|found| found.checker == "capacity");
    assert!(caught);
}
