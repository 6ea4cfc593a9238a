//! What is exposed for results of true runs, and what promtool says about it.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use probity_driver::{GroupStats, Row, Stats, WorkerStats};
use probity_engine::check::TABLES;
use probity_engine::histogram::Exponential;
use probity_engine::tls::TlsFailure;
use probity_engine::{Closed, GroupId, Level, Outcome, Reason, Step};

use super::bench::{self, Event, Script};
use super::families::{FAMILIES, TAKEN};
use super::fleet::{self, Entry, Index, JobView};
use super::{own, probe};
use crate::exposition::{Encoder, Format};

fn probe_text(module: &str, target: &str, script: Script<'_>) -> String {
    let report = bench::run(module, target, script);
    let mut encoder = Encoder::new(Format::Text004, Vec::new());
    probe::write(&mut encoder, &bench::probed(report)).unwrap();
    String::from_utf8(encoder.finish().unwrap()).unwrap()
}

/// The series of an exposition, without their values.
fn series(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0).collect()
}

fn value<'t>(text: &'t str, series: &str) -> Option<&'t str> {
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
}

const LOOKUP: [&str; 3] = [
    "probe_dns_lookup_time_seconds",
    "probe_ip_addr_hash",
    "probe_ip_protocol",
];
const OPENED: (u64, Event<'static>) = (1_000, Event::Opened);

fn secured(chain: Option<i64>) -> (u64, Event<'static>) {
    (2_000, Event::Secured(bench::handshake(5_000, chain)))
}

#[test]
fn families_and_series_are_sorted() {
    assert!(FAMILIES.is_sorted_by(|a, b| a.name < b.name));
    let text = probe_text("http", "http://192.0.2.7/", &[OPENED]);
    let phases: Vec<_> = series(&text)
        .into_iter()
        .filter_map(|it| it.strip_prefix("probe_http_duration_seconds{phase=\""))
        .collect();
    assert!(phases.len() >= 4, "{text}");
    assert!(phases.is_sorted(), "{phases:?}");
}

#[test]
fn every_label_of_a_fact_is_taken() {
    for fact in TABLES.iter().copied().flatten() {
        if let Some((name, _)) = fact.label {
            assert!(TAKEN.contains(&name), "{name}");
        }
    }
    assert!(TAKEN.contains(&"phase") && TAKEN.contains(&"result"));
}

#[test]
fn a_plain_tcp_probe_has_the_series_of_blackbox_exporter() {
    let text = probe_text("tcp", "192.0.2.1:80", &[OPENED]);
    let [lookup, hash, protocol] = LOOKUP;
    assert_eq!(
        series(&text),
        [
            lookup,
            "probe_duration_seconds",
            "probe_failed_due_to_bytes",
            "probe_failed_due_to_regex",
            hash,
            protocol,
            "probe_success",
            "probe_timeout_seconds",
        ]
    );
    assert_eq!(value(&text, "probe_success"), Some("1"));
    assert_eq!(value(&text, "probe_duration_seconds"), Some("0.001"));
    assert_eq!(value(&text, "probe_ip_addr_hash"), Some("1.969986452e+09"));
    assert!(text.contains("# HELP probe_success Displays whether or not the probe was a success\n# TYPE probe_success gauge\n"));
}

#[test]
fn what_a_dialogue_found_out_is_one_series() {
    let banner = [OPENED, (2_000, Event::Data(b"SSH-2.0-Open\"SSH\xff x\r\n"))];
    let text = probe_text("ssh", "192.0.2.1:22", &banner);
    let series = "probe_expect_info{job=\"v2.0\",software=\"Open\\\"SSH\u{fffd}\"}";
    assert_eq!(value(&text, series), Some("1"), "{text}");
    assert!(text.contains("# HELP probe_expect_info Explicit content matched\n"));
    let text = probe_text("ssh", "192.0.2.1:22", &[OPENED]);
    assert!(!text.contains("probe_expect_info"), "{text}");
    // Beside the labels of a target that of the answer gives way.
    let row = bench::row(1, "ssh", "192.0.2.1:22", &[&banner]);
    let text = String::from_utf8(fleet_text(Format::Text004, &[row])).unwrap();
    assert!(text.contains("exported_job=\"v2.0\",software="), "{text}");
}

#[test]
fn tcp_over_tls_shows_the_chain_but_not_the_cipher() {
    let text = probe_text("tls", "192.0.2.7:443", &[OPENED, secured(Some(9_000))]);
    assert_eq!(value(&text, "probe_ssl_earliest_cert_expiry"), Some("5000"));
    assert_eq!(
        value(&text, "probe_ssl_last_chain_expiry_timestamp_seconds"),
        Some("9000")
    );
    let info = r#"probe_ssl_last_chain_info{fingerprint_sha256="ab",issuer="CN=ca",serialnumber="0b",subject="CN=a",subjectalternative="a,b"}"#;
    assert_eq!(value(&text, info), Some("1"));
    assert_eq!(
        value(&text, r#"probe_tls_version_info{version="TLS 1.3"}"#),
        Some("1")
    );
    assert!(!text.contains("probe_tls_cipher_info"), "{text}");
}

#[test]
fn an_unverified_chain_expires_at_the_year_one() {
    let text = probe_text("careless", "192.0.2.7:443", &[OPENED, secured(None)]);
    assert_eq!(
        value(&text, "probe_ssl_last_chain_expiry_timestamp_seconds"),
        Some("-6.21355968e+10")
    );
}

#[test]
fn http_over_tls_shows_the_cipher() {
    let answer = Event::Data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let script = [OPENED, secured(Some(9_000)), (3_000, answer)];
    let text = probe_text("http", "https://192.0.2.7/", &script);
    assert_eq!(value(&text, "probe_success"), Some("1"), "{text}");
    let cipher = r#"probe_tls_cipher_info{cipher="TLS_AES_128_GCM_SHA256"}"#;
    assert_eq!(value(&text, cipher), Some("1"), "{text}");
    let phase = |name: &str| format!("probe_http_duration_seconds{{phase=\"{name}\"}}");
    assert_eq!(value(&text, &phase("tls")), Some("0.002"), "{text}");
    assert_eq!(value(&text, &phase("processing")), Some("0.003"), "{text}");
    assert_eq!(value(&text, "probe_http_status_code"), Some("200"));
}

#[test]
fn a_refused_certificate_still_says_when_it_expires() {
    let failure = Closed::Tls(Box::new(TlsFailure {
        reason: Reason::TlsCertificateExpired,
        detail: "it has expired".into(),
        info: Some(bench::handshake(5_000, None)),
    }));
    let text = probe_text(
        "tls",
        "192.0.2.7:443",
        &[OPENED, (1, Event::Closed(failure))],
    );
    assert_eq!(value(&text, "probe_success"), Some("0"));
    assert_eq!(value(&text, "probe_ssl_earliest_cert_expiry"), Some("5000"));
    for name in ["last_chain_expiry", "last_chain_info", "tls_version"] {
        assert!(!text.contains(name), "{text}");
    }
}

#[test]
fn a_failed_dial_has_the_phases_that_blackbox_exporter_has() {
    let refused = [(1_000, Event::Closed(Closed::Refused))];
    let text = probe_text("http", "http://192.0.2.7/", &refused);
    for phase in ["connect", "tls", "processing", "transfer"] {
        let name = format!("probe_http_duration_seconds{{phase=\"{phase}\"}}");
        assert_eq!(value(&text, &name), Some("0"), "{text}");
    }
    assert_eq!(value(&text, "probe_http_status_code"), Some("0"));
    assert_eq!(value(&text, "probe_ip_protocol"), Some("4"));
}

fn entry(id: u64, job: usize, instance: &str) -> Entry {
    let pairs = [
        ("instance", instance),
        ("job", "web"),
        ("phase", "of the moon"),
    ];
    let pairs: probity_spec::Labels = pairs.into_iter().collect();
    Entry {
        id: probity_engine::TargetId(id),
        job,
        target: instance.into(),
        labels: fleet::labels(&pairs).unwrap(),
        pairs,
        spec: bench::spec("tcp", "192.0.2.7:80"),
    }
}

fn index() -> Index {
    let job = |name: &str, minimal, classic_buckets: &[f64]| JobView {
        name: name.into(),
        module: "my-toy".into(),
        minimal,
        classic_buckets: classic_buckets.into(),
    };
    let jobs = vec![
        job("web", false, &[]),
        job("classic", false, &[0.002, 1.0]),
        job("minimal", true, &[]),
    ];
    let entries = vec![
        entry(9, 2, "min:80"),
        entry(3, 0, "b:80"),
        entry(1, 0, "a:80"),
        entry(5, 1, "c:80"),
        entry(7, 0, "gone:80"),
    ];
    Index::new(jobs, entries)
}

fn fleet_text(format: Format, rows: &[Row]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, Vec::new());
    fleet::write(&mut encoder, &index(), rows).unwrap();
    encoder.finish().unwrap()
}

fn rows() -> Vec<Row> {
    let ok: Script<'_> = &[OPENED];
    let refused: Script<'_> = &[(1_000, Event::Closed(Closed::Refused))];
    let local: Script<'_> = &[(1_000, Event::Closed(Closed::Local(Reason::NoDescriptors)))];
    vec![
        bench::row(1, "tcp", "192.0.2.7:80", &[ok, ok, refused]),
        bench::row(3, "tcp", "192.0.2.8:80", &[ok, local]),
        // Removed from the configuration a moment ago.
        bench::row(4, "tcp", "192.0.2.8:80", &[ok]),
        bench::row(5, "tcp", "192.0.2.9:80", &[ok, ok]),
        // Registered, without a result.
        bench::row(8, "tcp", "192.0.2.9:80", &[]),
        bench::row(9, "tls", "192.0.2.9:443", &[&[OPENED, secured(Some(1))]]),
    ]
}

#[test]
fn the_fleet_is_joined_and_stable() {
    let rows = rows();
    let text = String::from_utf8(fleet_text(Format::Text004, &rows)).unwrap();
    let of = |instance: &str| -> Vec<&str> {
        let label = format!("instance=\"{instance}\"");
        series(&text)
            .into_iter()
            .filter(|line| line.contains(&label))
            .collect()
    };
    assert!(of("a:80").len() > 8 && of("gone:80").is_empty(), "{text}");
    let a = r#"exported_phase="of the moon",instance="a:80",job="web""#;
    let b = r#"exported_phase="of the moon",instance="b:80",job="web""#;
    for (name, expected) in [
        (format!("probe_success{{{a}}}"), Some("0")),
        (format!("probity_target_up{{{a}}}"), Some("1")),
        (
            format!("probity_results_total{{{a},result=\"success\"}}"),
            Some("2"),
        ),
        (
            format!("probity_results_total{{{a},result=\"failure\"}}"),
            Some("1"),
        ),
        (
            format!("probity_last_failure_info{{{a},reason=\"connect_refused\"}}"),
            Some("1"),
        ),
        // The last time we could not look: nothing is said about the target.
        (format!("probe_success{{{b}}}"), None),
        (format!("probity_target_up{{{b}}}"), Some("1")),
        (
            format!("probity_results_total{{{b},result=\"unknown\"}}"),
            Some("1"),
        ),
    ] {
        assert_eq!(value(&text, &name), expected, "{name}\n{text}");
    }
    assert_eq!(fleet_text(Format::Text004, &rows), text.as_bytes());
}

#[test]
fn histograms_of_targets_are_native_unless_asked_for() {
    let rows = rows();
    let text = String::from_utf8(fleet_text(Format::Text004, &rows)).unwrap();
    let buckets: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("probity_probe_duration_seconds"))
        .collect();
    let labels = r#"exported_phase="of the moon",instance="c:80",job="web""#;
    assert_eq!(
        buckets,
        [
            format!("probity_probe_duration_seconds_bucket{{{labels},le=\"0.002\"}} 2"),
            format!("probity_probe_duration_seconds_bucket{{{labels},le=\"1.0\"}} 2"),
            format!("probity_probe_duration_seconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            format!("probity_probe_duration_seconds_sum{{{labels}}} 0.002"),
            format!("probity_probe_duration_seconds_count{{{labels}}} 2"),
        ]
    );
    let wire = fleet_text(Format::Protobuf, &rows);
    let name = b"probity_probe_duration_seconds";
    assert!(wire.windows(name.len()).any(|part| part == name));
}

#[test]
fn a_minimal_job_has_five_families() {
    let text = String::from_utf8(fleet_text(Format::Text004, &rows())).unwrap();
    let mut families: Vec<&str> = series(&text)
        .into_iter()
        .filter(|line| line.contains("instance=\"min:80\""))
        .map(|line| line.split_once('{').unwrap().0)
        .collect();
    families.dedup();
    assert_eq!(
        families,
        [
            "probe_duration_seconds",
            "probe_ssl_earliest_cert_expiry",
            "probe_success",
            "probity_results_total",
            "probity_target_up",
        ]
    );
}

#[test]
fn the_index_finds_what_it_was_given() {
    let index = index();
    assert!(index.entries().is_sorted_by_key(|entry| entry.id));
    let entry = index.get(probity_engine::TargetId(5)).unwrap();
    assert_eq!(index.job(entry).name, "classic");
    assert!(index.get(probity_engine::TargetId(4)).is_none());
    let none = Index::new(vec![], vec![self::entry(1, 0, "a")]);
    assert!(none.entries().is_empty(), "its job does not exist");
}

fn stats() -> Stats {
    let mut lag = Exponential::new();
    lag.record(Duration::from_micros(300));
    let mut unknown = [0; Reason::ALL.len()];
    unknown[Reason::Overload as usize] = 2;
    let mut group = GroupStats {
        runs: [5, 0, 1, 2],
        ..GroupStats::default()
    };
    for millis in [1, 2, 300] {
        group.total.record(Duration::from_millis(millis));
        group.phases[1].record(Duration::from_millis(millis));
    }
    Stats {
        engine: probity_engine::Stats {
            runs: [5, 0, 1, 2],
            unknown,
            start_lag: lag,
            targets: 10,
            overdue: 1,
            in_flight: 3,
            queued: 4,
            resolver: Default::default(),
        },
        workers: vec![WorkerStats {
            worker: 0,
            busy_ratio: 0.25,
            turns: 77,
            connections_open: 3,
        }],
        groups: vec![(GroupId(0), GroupStats::default()), (GroupId(2), group)],
        notices_dropped: 6,
        complete: true,
    }
}

fn own_text(format: Format) -> Vec<u8> {
    let facts = own::Facts {
        reload_successful: true,
        reload_succeeded_at: 1e9,
        unknown_modules: 7,
        events_dropped: 4,
        unlogged: 3,
        ..own::Facts::default()
    };
    let jobs = vec![
        (GroupId(2), "web".to_owned()),
        (GroupId(5), "new".to_owned()),
    ];
    let mut encoder = Encoder::new(format, Vec::new());
    encoder
        .registry(&own::registry(stats(), facts, jobs, None))
        .unwrap();
    encoder.finish().unwrap()
}

#[test]
fn own_metrics_say_what_the_figures_say() {
    let text = String::from_utf8(own_text(Format::Text004)).unwrap();
    for (name, expected) in [
        ("blackbox_exporter_config_last_reload_successful", "1"),
        (
            "blackbox_exporter_config_last_reload_success_timestamp_seconds",
            "1e+09",
        ),
        ("blackbox_module_unknown_total", "7"),
        ("probity_events_dropped_total", "6"),
        ("probity_probe_log_dropped_total", "3"),
        ("probity_targets", "10"),
        ("probity_targets_overdue", "1"),
        ("probity_runs_in_flight", "3"),
        ("probity_runs_queued", "4"),
        (r#"probity_runs_total{outcome="failure"}"#, "1"),
        (r#"probity_unknown_total{reason="overload"}"#, "2"),
        ("probity_start_lag_seconds_count", "1"),
        (
            r#"probity_start_lag_seconds_bucket{le="0.00048828125"}"#,
            "1",
        ),
        (r#"probity_loop_busy_ratio{worker="0"}"#, "0.25"),
        ("probity_resolver_cache_hits_total", "0"),
        (r#"probity_job_runs_total{job="web",result="success"}"#, "5"),
        (r#"probity_job_duration_seconds_count{job="web"}"#, "3"),
        (
            r#"probity_phase_duration_seconds_bucket{job="web",phase="connect",le="0.00390625"}"#,
            "2",
        ),
    ] {
        assert_eq!(value(&text, name), Some(expected), "{name}\n{text}");
    }
    assert!(!text.contains("phase=\"tls\""), "no probe had that phase");
    let seconds = value(&text, "process_start_time_seconds").unwrap();
    assert!(seconds.parse::<f64>().unwrap() > 1e9);
}

#[test]
fn own_histograms_are_native_too() {
    let wire = own_text(Format::Protobuf);
    let text = String::from_utf8(own_text(Format::OpenMetrics1)).unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert!(wire.len() > 1_000);
}

#[test]
fn promtool_has_no_complaint() {
    let texts = [
        own_text(Format::Text004),
        fleet_text(Format::Text004, &rows()),
    ];
    for text in texts {
        match promtool(&text) {
            None => eprintln!("skipped: promtool is not installed"),
            Some(said) => {
                let ours: Vec<&str> = said.lines().filter(|line| !is_upstream(line)).collect();
                assert!(
                    ours.is_empty(),
                    "{ours:#?}\n{}",
                    String::from_utf8_lossy(&text)
                );
            }
        }
    }
}

/// Names that blackbox_exporter chose are as they are.
fn is_upstream(line: &str) -> bool {
    line.starts_with("probe_") || line.starts_with("blackbox_")
}

fn promtool(text: &[u8]) -> Option<String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(text).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() || !said.is_empty());
    Some(said)
}

#[test]
fn debug_text_has_its_three_parts() {
    let mut report = bench::tcp(&[(1_000, Event::Closed(Closed::Refused))]);
    assert_eq!(report.outcome, Outcome::Failure(Reason::ConnectRefused));
    let at = report.started;
    for (level, text) in [(Level::Info, "a \"step\""), (Level::Debug, "quiet")] {
        let text = text.into();
        report.trace.push(Step { at, level, text });
    }
    let mut probed = bench::probed(report);
    (probed.target, probed.config) = ("a b:80".into(), "prober: tcp\n".into());
    let text = probe::debug(&probed, Level::Info, |_| 1.5);
    let (logs, rest) = text.split_once("\n\n\n").unwrap();
    let (metrics, module) = rest.split_once("\n\n\n").unwrap();
    assert!(logs.starts_with(
        "Logs for the probe:\ntime=1970-01-01T00:00:01.500Z level=INFO msg=\"a \\\"step\\\"\" module=tcp target=\"a b:80\"\n"
    ), "{logs}");
    assert!(
        logs.contains("level=ERROR msg=\"Probe failed\"")
            && logs.contains("reason=connect_refused phase=connect")
    );
    assert!(!logs.contains("quiet") && !logs.contains("Beginning"));
    let metrics = metrics.trim_start();
    let module = module.trim_start();
    assert!(metrics.starts_with("Metrics that would have been returned:\n# HELP probe_"));
    assert!(metrics.contains("\nprobe_timeout_seconds 2.5"), "{metrics}");
    assert_eq!(module, "Module configuration:\nprober: tcp\n");

    let text = probe::debug(&probed, Level::Debug, |_| 1.5);
    assert!(text.contains("msg=quiet") && text.contains("timeout_seconds=2.5"));
    let text = probe::debug(&probed, Level::Error, |_| 1.5);
    assert!(text.contains("Probe failed") && !text.contains("step"));
}

#[test]
fn a_run_that_was_not_made_has_no_series() {
    let local: Script<'_> = &[(1_000, Event::Closed(Closed::Local(Reason::NoDescriptors)))];
    assert!(!bench::probed(bench::tcp(local)).report.detail.is_empty());
    assert_eq!(probe_text("tcp", "192.0.2.7:80", local), "");
    let probed = bench::probed(bench::tcp(local));
    let text = probe::debug(&probed, Level::Info, |_| 1.5);
    assert!(
        !text.lines().any(|line| line.starts_with("probe_")),
        "{text}"
    );
    let why = format!(
        "\n\n\nMetrics that would have been returned:\nNone. The probe could not be made (no_descriptors): {}\nNo run was made",
        probed.report.detail
    );
    assert!(text.contains(&why), "{text}");
    assert!(text.contains("msg=\"Probe could not be made\""), "{text}");
    // Beside one that was, only that one has them.
    let runs = [("a", local), ("b", &[OPENED][..])].map(|(target, script)| {
        let labels = crate::exposition::LabelSet::new([("target", target)], &TAKEN).unwrap();
        (labels, bench::tcp(script))
    });
    let runs: Vec<_> = runs
        .iter()
        .map(|(labels, run)| (labels.clone(), run))
        .collect();
    let mut encoder = Encoder::new(Format::Text004, Vec::new());
    probe::write_all(&mut encoder, "tcp", &runs).unwrap();
    let text = String::from_utf8(encoder.finish().unwrap()).unwrap();
    assert_eq!(value(&text, "probe_success{target=\"b\"}"), Some("1"));
    assert!(!text.contains("target=\"a\""), "{text}");
}

#[test]
fn times_are_rfc3339() {
    for (seconds, text) in [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (951_782_399.5, "2000-02-28T23:59:59.500Z"),
        (951_782_400.0, "2000-02-29T00:00:00.000Z"),
        (1_785_412_800.25, "2026-07-30T12:00:00.250Z"),
        (-1.0, "1969-12-31T23:59:59.000Z"),
        (f64::NAN, "1970-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(probe::Rfc3339(seconds).to_string(), text);
    }
    let micros = probe::Rfc3339(1_785_412_800.147_11);
    assert_eq!(format!("{micros:.6}"), "2026-07-30T12:00:00.147110Z");
    assert_eq!(micros.to_string(), "2026-07-30T12:00:00.147Z");
}

/// The file refuses exactly the labels that series use themselves; `quantile`
/// and `le` are those of every Prometheus server.
#[test]
fn the_file_refuses_the_labels_that_series_take() {
    assert_eq!(*TAKEN, probity_spec::TAKEN_LABELS);
}

#[test]
fn what_a_check_declares_is_named_after_its_module() {
    let answer: Script<'_> = &[OPENED, (1_000, Event::Data(b"1234567"))];
    let mut probed = bench::probed(bench::run("my-toy", "192.0.2.7:80", answer));
    probed.module = "my-toy".into();
    let text = |probed| {
        let mut encoder = Encoder::new(Format::Text004, Vec::new());
        probe::write(&mut encoder, probed).unwrap();
        String::from_utf8(encoder.finish().unwrap()).unwrap()
    };
    let one = text(&probed);
    let expected = "\
# HELP probity_check_my_toy_answers_total Of an answer
# TYPE probity_check_my_toy_answers_total counter
probity_check_my_toy_answers_total 1
# HELP probity_check_my_toy_length_bytes Of an answer
# TYPE probity_check_my_toy_length_bytes gauge
probity_check_my_toy_length_bytes{target=\"\\\"it\\\"\"} 7
";
    assert!(one.ends_with(expected), "{one}");
    let silent: Script<'_> = &[OPENED, (1_000, Event::Closed(Closed::End))];
    let silent = bench::probed(bench::run("my-toy", "192.0.2.7:80", silent));
    assert!(!text(&silent).contains("probity_check"));
    // And of a fleet, beside the labels of its targets, unless a job wants little.
    let rows = [
        bench::row(1, "my-toy", "192.0.2.7:80", &[answer]),
        bench::row(3, "my-toy", "192.0.2.8:80", &[answer, answer]),
        bench::row(9, "my-toy", "192.0.2.9:80", &[answer]),
    ];
    let fleet = String::from_utf8(fleet_text(Format::Text004, &rows)).unwrap();
    let found: Vec<_> = series(&fleet)
        .into_iter()
        .filter_map(|series| series.strip_prefix("probity_check_my_toy_length_bytes"))
        .collect();
    assert_eq!(found.len(), 2, "{fleet}");
    assert!(found[0].contains(r#"instance="a:80""#), "{fleet}");
    assert!(found[1].contains(r#"target="\"it\"""#), "{fleet}");
    assert_eq!(fleet.matches("# TYPE probity_check").count(), 2);
}
