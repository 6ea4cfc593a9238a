//! Expressions that need a state for nearly every byte of a body.

use std::time::Duration;

use probity_engine::TargetId;
use probity_simulator::h2::{self, END_STREAM};
use probity_simulator::spec::Plan;
use probity_simulator::{Certificate, Options, Tls, World, http};
use serde_json::json;

use crate::lab::{address, assert_success, http_with, probe_pieces};

const HEAVY: &str = "[axb][^q]{200}[yc][^q]{200}[^axbyc ]";

/// What [`HEAVY`] is in, at its very end.
fn body() -> String {
    let at = |at: u32| at.wrapping_mul(2_654_435_761) >> 24;
    let text = (0..12_000_u32).map(|it| char::from(b"axbyc"[at(it) as usize % 5]));
    let b = "b".repeat(200);
    text.chain(format!("x{b}y{b}!").chars()).collect()
}

/// Four targets that are matched for hundreds of turns, and thirty that are not, all
/// due at the same moment.
#[test]
fn who_is_matched_for_long_keeps_nobody_waiting() {
    let heavy = http_with(json!({"fail_if_body_not_matches_regexp": [HEAVY]}));
    let light = http_with(json!({"fail_if_body_not_matches_regexp": ["^healthy$"]}));
    let plan = Plan {
        initial_delay: Duration::from_secs(1),
        ..Plan::default()
    };
    let mut world = World::new(Options::quiet(5));
    let answer = |body: &str| http::answering(http::response("200 OK", &[], body));
    let slow = "192.0.2.1:80";
    world.serve(address(slow), answer(&body()));
    let quick = "192.0.2.2:80";
    world.serve(address(quick), answer("healthy"));
    for id in 0..4 {
        let spec = plan.spec(&heavy, &format!("http://{slow}/"));
        world.upsert(TargetId(id), spec).expect("there is room");
    }
    for id in 4..34 {
        let spec = plan.spec(&light, &format!("http://{quick}/"));
        world.upsert(TargetId(id), spec).expect("there is room");
    }
    world.begin();
    world.run_for(Duration::from_secs(30));
    let reports = world.reports();
    let is_heavy = |id: Option<TargetId>| id.is_some_and(|TargetId(id)| id < 4);
    let (long, short): (Vec<_>, Vec<_>) =
        reports.iter().partition(|record| is_heavy(record.target));
    assert!(long.len() >= 8 && short.len() >= 60, "{}", reports.len());
    for record in &long {
        assert_success(record);
    }
    for record in &short {
        assert_success(record);
        let most = Duration::from_millis(100);
        assert!(record.total < most, "{:?}", record.total);
    }
    world.assert_clean();
}

/// What a server says after its answer does not count, though it comes before
/// the verdict.
#[test]
fn an_answer_is_matched_as_it_came() {
    let heavy = http_with(json!({"fail_if_body_not_matches_regexp": [HEAVY]}));
    let plain = http::closing(http::response("200 OK", &[], &body()));
    assert_success(&probe_pieces(&heavy, "http://192.0.2.1:80/", &plain));
    let frames = [
        h2::head(0, &[(":status", "200")]),
        h2::data(END_STREAM, body().as_bytes()),
        h2::reset(2),
        h2::goaway(1, 2),
    ];
    let secured = h2::answering(&frames).secured(Tls::Speaks(Certificate::Good));
    assert_success(&probe_pieces(&heavy, "https://192.0.2.1:80/", &secured));
}
