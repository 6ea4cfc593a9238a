//! From results to health: thresholds, events, and the log.

use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("health":
        down_after_the_failure_threshold_and_up_after_the_other,
        interrupted_failures_never_take_a_target_down,
        unknown_until_enough_results_agree,
        events_are_counted_as_kubernetes_does,
        what_a_peer_says_cannot_forge_log_lines,
        a_prober_that_cannot_look_says_so,
    )
}

fn config(peer: &Peer, more: &str) -> String {
    format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: web
    module: web
    interval: 200ms
    timeout: 200ms
    {more}
    static_configs: [{{targets: ['http://{}/'], labels: {{instance: one}}}}]
",
        peer.address
    )
}

/// A peer that answers the n-th connection as the n-th letter says (`+` 200,
/// `-` 503), and after the last letter as it says.
fn scripted(script: &'static str) -> Peer {
    Peer::new(move |mut conn| {
        let letters = script.as_bytes();
        let letter = letters[conn.index.min(letters.len() - 1)];
        conn.request();
        conn.answer(if letter == b'+' { 200 } else { 503 });
    })
}

fn messages(server: &Probity, reason: &str) -> Vec<String> {
    let events = server.events();
    let of_reason = events.iter().filter(|event| event["reason"] == reason);
    of_reason
        .map(|event| event["message"].as_str().expect("text").to_owned())
        .collect()
}

fn down_after_the_failure_threshold_and_up_after_the_other() {
    let peer = scripted("+++---+-++");
    let folder = Folder::with(&config(
        &peer,
        "success_threshold: 2\n    failure_threshold: 3",
    ));
    let server = Probity::serve(&folder.config());
    until("it is up again", || {
        let healthy: Vec<_> = server
            .events()
            .into_iter()
            .filter(|event| event["reason"] == "Healthy")
            .collect();
        let times: u64 = healthy
            .iter()
            .filter_map(|event| event["count"].as_u64())
            .sum();
        (times == 2).then_some(())
    });
    assert_eq!(
        messages(&server, "Down"),
        ["Target is down after 3 failed probes in a row"]
    );
    assert_eq!(
        messages(&server, "Healthy"),
        ["Target is up after 2 successful probes in a row"]
    );
    assert_eq!(
        server
            .samples("/fleet")
            .value("probity_target_up", &[("instance", "one")]),
        Some(1.0)
    );
    // Down and up are one line of the log each.
    let flips = server.log().lines(&["Target changed", "instance=one"]);
    let states: Vec<bool> = flips.iter().map(|line| line.contains("state=up")).collect();
    assert_eq!(states, [true, false, true], "{flips:?}");
    assert!(flips[1].contains("reason=http_status"), "{flips:?}");
    server.stop();
}

fn interrupted_failures_never_take_a_target_down() {
    let peer = Peer::new(|mut conn| {
        conn.request();
        conn.answer(if conn.index % 3 == 0 { 200 } else { 503 });
    });
    let folder = Folder::with(&config(&peer, "failure_threshold: 3"));
    let server = Probity::serve(&folder.config());
    until("it was probed thirty times", || {
        (peer.connections() >= 30).then_some(())
    });
    assert_eq!(messages(&server, "Down"), Vec::<String>::new());
    let fleet = server.samples("/fleet");
    assert_eq!(fleet.value("probity_target_up", &[]), Some(1.0));
    assert!(fleet.sum("probity_results_total", &[("result", "failure")]) >= 15.0);
    server.stop();
}

/// A scrape shows one moment of a target: its results and its health agree.
fn unknown_until_enough_results_agree() {
    let peer = Peer::status(503, Duration::ZERO);
    let text = config(&peer, "failure_threshold: 3").replace("interval: 200ms", "interval: 1s");
    let folder = Folder::with(&text);
    let server = Probity::serve(&folder.config());
    let mut undecided = 0;
    until("it is down", || {
        let fleet = server.samples("/fleet");
        let failures = fleet.value("probity_results_total", &[("result", "failure")])?;
        let up = fleet.value("probity_target_up", &[]);
        assert_eq!(fleet.value("probe_success", &[]), Some(0.0));
        assert_eq!(
            up,
            (failures >= 3.0).then_some(0.0),
            "after {failures} failures"
        );
        undecided += usize::from(up.is_none());
        up
    });
    assert!(
        undecided > 0,
        "no scrape between the first and the third failure"
    );
    server.stop();
}

fn events_are_counted_as_kubernetes_does() {
    let dead = dead();
    let folder = Folder::with(&format!(
        "\
modules: {{tcp: {{prober: tcp}}}}
jobs:
  - {{job_name: raw, module: tcp, interval: 300ms, static_configs: [{{targets: ['{dead}']}}]}}
"
    ));
    let server = Probity::serve(&folder.config());
    let event = until("the same happened many times", || {
        let events = server.events();
        let unhealthy: Vec<_> = events
            .into_iter()
            .filter(|event| event["reason"] == "Unhealthy")
            .collect();
        assert!(unhealthy.len() < 2, "one event, counted: {unhealthy:?}");
        unhealthy
            .into_iter()
            .find(|event| event["count"].as_u64() >= Some(8))
    });
    assert_eq!(event["type"], "Warning");
    assert_eq!(event["message"], "Probe failed: connect_refused in connect");
    assert_eq!(event["job"], "raw");
    assert_eq!(event["instance"], dead.to_string().as_str());
    let (first, last) = (
        event["first"].as_f64().expect("a time"),
        event["last"].as_f64().expect("a time"),
    );
    assert!(last - first >= 1.0, "{event}");
    let words = format!("x{} over {}s", event["count"], (last - first) as u64);
    assert_eq!(event["repeated"], words.as_str());
    server.stop();
}

fn what_a_peer_says_cannot_forge_log_lines() {
    let peer =
        Peer::answering(&b"HTTP/1.1 503 a\x1b[31m\" state=up\r\nContent-Length: 0\r\n\r\n"[..]);
    let folder = Folder::with(&config(&peer, "failure_threshold: 1"));
    let server = Probity::serve(&folder.config());
    let lines = until("it is down", || {
        let lines = server.log().lines(&["Target changed"]);
        (!lines.is_empty()).then_some(lines)
    });
    for line in lines {
        assert!(!line.contains('\x1b'), "{line:?}");
        assert!(line.contains(" state=down"), "{line:?}");
    }
    server.stop();
}

/// More targets that never answer than there is room for: what is left is not
/// called down, and nobody who looks is left in the dark.
fn a_prober_that_cannot_look_says_so() {
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let targets: Vec<String> = (0..20).map(|n| format!("'{}{n}'", silent.url())).collect();
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: web
    module: web
    interval: 500ms
    timeout: 400ms
    static_configs: [{{targets: [{}]}}]
",
        targets.join(", ")
    ));
    let flags = ["--engine.workers=1", "--engine.in-flight=1"];
    let server = Probity::serve_with(&folder.config(), &flags);
    until("most targets are overdue", || {
        let overdue = server
            .samples("/metrics")
            .value("probity_targets_overdue", &[]);
        (overdue >= Some(10.0)).then_some(())
    });
    until("a warning is in the log", || {
        let said = server
            .log()
            .lines(&["level=WARN", "Runs could not be made", "overload="]);
        (!said.is_empty()).then_some(())
    });
    // However a run was lost, all books say so. They are written one after
    // the other, so the earlier ones are asked again until nothing came
    // between.
    until("the books agree", || {
        let own = server.samples("/metrics");
        let of_job = own.value(
            "probity_job_runs_total",
            &[("job", "web"), ("result", "unknown")],
        );
        let all = own.value("probity_runs_total", &[("outcome", "unknown")]);
        let overload = own.value("probity_unknown_total", &[("reason", "overload")]);
        (of_job > Some(20.0) && of_job == all && all == overload).then_some(())
    });
}
