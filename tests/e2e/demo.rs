//! `probity demo`: the first command of whoever tries this.

use std::process::Stdio;

use libtest_mimic::Trial;
use probity_tests::support::probity::run;
use probity_tests::support::{Probity, until};
use probity_tests::trials;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("demo":
        a_line_a_second_and_a_summary,
        it_serves_while_it_runs,
    )
}

fn a_line_a_second_and_a_summary() {
    let ended = run(&[
        "demo",
        "--targets=300",
        "--interval=1s",
        "--duration=8s",
        "--web.listen-address=127.0.0.1:0",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!((6..60).contains(&lines.len()), "{}", ended.stdout);
}

fn it_serves_while_it_runs() {
    let server = Probity::start(
        &["demo", "--targets=300", "--interval=1s", "--web.listen-address=127.0.0.1:0"],
        Stdio::null(),
    );
    let metrics = until("every target was probed three times", || {
        let metrics = server.samples("/metrics");
        (metrics.sum("probity_runs_total", &[]) >= 900.0).then_some(metrics)
    });
    assert_eq!(metrics.value("probity_targets", &[]), Some(300.0));
    assert_eq!(metrics.sum("probity_runs_total", &[("outcome", "unknown")]), 0.0);
    let fleet = server.samples("/fleet");
    assert_eq!(fleet.all("probe_success", &[]).count(), 300);
    let up = fleet.sum("probity_target_up", &[]);
    assert!((150.0..300.0).contains(&up), "most are healthy, some are not: {up}");
    let reasons = fleet.values_of("reason");
    assert!(reasons.contains(&"connect_refused") && reasons.contains(&"http_status"), "{reasons:?}");
    server.stop();
}
