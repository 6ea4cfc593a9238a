//! `probity demo`: the first command of whoever tries this.

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
    let (words, text) = (|line: &str| line.split_whitespace().count(), &ended.stdout);
    // One line a second, of eleven columns, under a header.
    let table: Vec<&str> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("0:0"))
        .collect();
    assert!((3..=9).contains(&table.len()), "{text}");
    assert!(table.iter().all(|line| words(line) == 11), "{text}");
    let columns: Vec<&str> = table[table.len() - 1].split_whitespace().collect();
    assert_eq!(columns[1], "300", "{text}");
    let number = |column: usize| columns[column].parse::<f64>().expect("a number");
    assert_eq!(number(4) + number(5) + number(6), 300.0, "{text}");
    assert!(number(4) > 200.0 && number(5) >= 1.0, "{text}");
    assert_eq!(columns[10], "0", "no run could not be made: {text}");
    // 300 targets, 8 s, 1 s: 2,400 runs, give or take a slow machine.
    let summary = text
        .lines()
        .find(|line| line.contains(" probes in "))
        .unwrap_or_default();
    let runs: f64 = summary
        .split_whitespace()
        .next()
        .and_then(|n| n.parse().ok())
        .unwrap_or(0.0);
    assert!((1_200.0..=2_700.0).contains(&runs), "{text}");
    assert!(summary.contains("; 0 more could not be made"), "{text}");
}

fn it_serves_while_it_runs() {
    let listen = "--web.listen-address=127.0.0.1:0";
    let server = Probity::start(&["demo", "--targets=300", "--interval=1s", listen]);
    let metrics = until("every target was probed three times", || {
        let metrics = server.samples("/metrics");
        (metrics.sum("probity_runs_total", &[]) >= 900.0).then_some(metrics)
    });
    assert_eq!(metrics.value("probity_targets", &[]), Some(300.0));
    assert_eq!(
        metrics.sum("probity_runs_total", &[("outcome", "unknown")]),
        0.0
    );
    let fleet = server.samples("/fleet");
    assert_eq!(fleet.all("probe_success", &[]).count(), 300);
    let up = fleet.sum("probity_target_up", &[]);
    assert!(
        (150.0..300.0).contains(&up),
        "most are healthy, some are not: {up}"
    );
    let reasons = fleet.values_of("reason");
    assert!(
        reasons.contains(&"connect_refused") && reasons.contains(&"http_status"),
        "{reasons:?}"
    );
    server.stop();
}
