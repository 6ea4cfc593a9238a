//! `/fleet`: the same truth in three formats, by job and by page.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::metrics::{Samples, protobuf};
use probity_tests::support::{LIMIT, Peer, Probity, until};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("fleet":
        three_formats_tell_the_same,
        jobs_and_pages_tile_the_fleet,
        jobs_choose_their_series,
        what_has_not_run_emits_nothing,
        the_readme_names_every_metric_of_ours,
        labels_of_targets_are_kept_and_escaped,
        who_does_not_read_does_not_keep_others_from_it,
        scrapes_during_reloads_are_whole,
    )
}

const PROTOBUF: &str =
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
const OPENMETRICS: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

fn three_formats_tell_the_same() {
    let peer = Peer::status(200, Duration::from_millis(30));
    let dead = dead();
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: web
    module: web
    interval: 200ms
    failure_threshold: 1
    static_configs: [{{targets: ['http://{}/', 'http://{dead}/']}}]
",
        peer.address
    ));
    let server = Probity::serve(&folder.config());
    until("both have been probed", || {
        let fleet = server.samples("/fleet");
        (fleet.all("probity_target_up", &[]).count() == 2).then_some(())
    });
    let ask = |accept: &str| server.request("GET", "/fleet", &[("Accept", accept)]).ok();

    let text = server.get("/fleet").ok();
    let kind = text.header("content-type").expect("a type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = Samples::parse(text.text());
    let good = format!("http://{}/", peer.address);
    let bad = format!("http://{dead}/");
    let (good, bad) = (
        [("job", "web"), ("instance", &*good)],
        [("job", "web"), ("instance", &*bad)],
    );
    assert_eq!(text.value("probe_success", &good), Some(1.0));
    assert_eq!(text.value("probe_success", &bad), Some(0.0));
    assert_eq!(text.value("probity_target_up", &good), Some(1.0));
    assert_eq!(text.value("probity_target_up", &bad), Some(0.0));
    let refused = [bad[0], bad[1], ("reason", "connect_refused")];
    assert_eq!(text.value("probity_last_failure_info", &refused), Some(1.0));
    assert_eq!(text.all("probity_last_failure_info", &good).count(), 0);
    assert_eq!(text.value("probe_http_status_code", &good), Some(200.0));
    for result in ["success", "warning", "failure", "unknown"] {
        let labels = [good[0], good[1], ("result", result)];
        assert_eq!(
            text.all("probity_results_total", &labels).count(),
            1,
            "{result}"
        );
    }
    assert!(
        !text
            .names()
            .iter()
            .any(|name| name.starts_with("probity_probe_duration_seconds"))
    );

    let open = ask(OPENMETRICS);
    let kind = open.header("content-type").expect("a type");
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert_eq!(Samples::parse(open.text()).names(), text.names());

    let proto = ask(PROTOBUF);
    assert_eq!(
        proto.header("content-type"),
        Some(
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
        )
    );
    let families = protobuf(&proto.body);
    let mut names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    names.retain(|name| *name != "probity_probe_duration_seconds");
    names.sort_unstable();
    assert_eq!(names, text.names());
    let native = families
        .iter()
        .find(|family| family.name == "probity_probe_duration_seconds");
    let native = native.expect("native histograms");
    assert_eq!(native.metric.len(), 2);
    for metric in &native.metric {
        let histogram = metric.histogram.as_ref().expect("a histogram");
        assert_eq!(histogram.schema, 3);
        assert!(!histogram.positive_span.is_empty());
        assert!(histogram.sample_count > 0);
        if metric.label.iter().any(|label| label.value == good[1].1) {
            let mean = histogram.sample_sum / histogram.sample_count as f64;
            assert!((0.03..10.0).contains(&mean), "{histogram:?}");
        }
    }
    server.stop();
}

fn jobs_and_pages_tile_the_fleet() {
    let peer = Peer::status(200, Duration::ZERO);
    let targets: Vec<String> = (0..40)
        .map(|n| format!("'http://{}/{n}'", peer.address))
        .collect();
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - {{job_name: a, module: web, interval: 1s, static_configs: [{{targets: [{}]}}]}}
  - {{job_name: b, module: web, interval: 1s, static_configs: [{{targets: ['http://{}/b']}}]}}
",
        targets.join(", "),
        peer.address
    ));
    let server = Probity::serve(&folder.config());
    let instances = |path: &str| -> Vec<String> {
        let samples = server.samples(path);
        samples
            .values_of("instance")
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let whole = until("all have been probed", || {
        let all = instances("/fleet");
        (all.len() == 41).then_some(all)
    });
    assert_eq!(instances("/fleet?job=a").len(), 40);
    assert_eq!(instances("/fleet?job=b").len(), 1);
    let pages: Vec<Vec<String>> = (0..4)
        .map(|page| instances(&format!("/fleet?page={page}&pages=4")))
        .collect();
    assert!(
        pages.iter().all(|page| !page.is_empty() && page.len() < 41),
        "{pages:?}"
    );
    let mut together = pages.concat();
    together.sort();
    assert_eq!(together, whole);
    assert_eq!(server.get("/fleet?job=nosuch").status, 404);
    assert_eq!(server.get("/fleet?page=4&pages=4").status, 400);
    assert_eq!(server.get("/fleet?page=1").status, 400);
    server.stop();
}

fn jobs_choose_their_series() {
    let peer = Peer::status(200, Duration::from_millis(30));
    let address = peer.address;
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - {{job_name: minimal, module: web, interval: 200ms, metrics: minimal, static_configs: [{{targets: ['http://{address}/']}}]}}
  - {{job_name: classic, module: web, interval: 200ms, classic_buckets: [0.01, 5], static_configs: [{{targets: ['http://{address}/']}}]}}
  - {{job_name: usual, module: web, interval: 200ms, classic_buckets: true, static_configs: [{{targets: ['http://{address}/']}}]}}
  - {{job_name: plain, module: web, interval: 200ms, static_configs: [{{targets: ['http://{address}/']}}]}}
"
    ));
    let server = Probity::serve(&folder.config());
    let fleet = until("all have been probed", || {
        let fleet = server.samples("/fleet");
        (fleet.values_of("job").len() == 4).then_some(fleet)
    });
    let names = |job: &str| {
        let of_job = fleet.0.iter().filter(|sample| sample.labels["job"] == job);
        let mut names: Vec<&str> = of_job.map(|sample| sample.name.as_str()).collect();
        names.dedup();
        names.sort_unstable();
        names.dedup();
        names
    };
    assert_eq!(
        names("minimal"),
        [
            "probe_duration_seconds",
            "probe_success",
            "probity_results_total",
            "probity_target_up"
        ]
    );
    let histogram = "probity_probe_duration_seconds_bucket";
    assert!(!names("plain").contains(&histogram));
    assert!(names("plain").contains(&"probe_http_duration_seconds"));
    let bounds = |job: &str| -> Vec<String> {
        fleet
            .all(histogram, &[("job", job)])
            .map(|sample| sample.labels["le"].clone())
            .collect()
    };
    assert_eq!(bounds("classic"), ["0.01", "5.0", "+Inf"]);
    assert_eq!(bounds("usual").len(), 12);
    let count = |le: &str| {
        fleet
            .value(histogram, &[("job", "classic"), ("le", le)])
            .expect("a bucket")
    };
    assert_eq!(count("0.01"), 0.0, "every answer takes 30 ms");
    assert!(count("5.0") >= 1.0);
    server.stop();
}

fn what_has_not_run_emits_nothing() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - {{job_name: now, module: web, interval: 200ms, static_configs: [{{targets: ['http://{0}/']}}]}}
  - {{job_name: later, module: web, interval: 1s, initial_delay: 1h, static_configs: [{{targets: ['http://{0}/']}}]}}
",
        peer.address
    ));
    let server = Probity::serve(&folder.config());
    let fleet = until("one job has run", || {
        let fleet = server.samples("/fleet");
        (fleet.value("probity_target_up", &[("job", "now")]) == Some(1.0)).then_some(fleet)
    });
    assert_eq!(fleet.values_of("job"), ["now"]);
    let later = server.targets("job=later");
    assert_eq!(later.len(), 1);
    assert_eq!(later[0]["health"], "unknown");
    assert!(later[0]["last"].is_null());
    server.stop();
}

fn labels_of_targets_are_kept_and_escaped() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&format!(
        r#"
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: "we\"b\\ \n"
    module: web
    interval: 200ms
    static_configs:
      - targets: ['http://{}/']
        labels: {{instance: "käse \"1\"", empty: "", path: 'C:\x'}}
"#,
        peer.address
    ));
    let server = Probity::serve(&folder.config());
    let labels = until("it has run", || {
        let fleet = server.samples("/fleet");
        fleet
            .all("probe_success", &[])
            .next()
            .map(|sample| sample.labels.clone())
    });
    let labels: Vec<(&str, &str)> = labels
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(
        labels,
        [
            ("instance", "käse \"1\""),
            ("job", "we\"b\\ \n"),
            ("path", "C:\\x")
        ]
    );
    server.stop();
}

/// More than the buffers of a connection hold: 300 targets with labels of
/// 3 KiB and some twenty series each.
fn who_does_not_read_does_not_keep_others_from_it() {
    let peer = Peer::status(200, Duration::ZERO);
    let long = "x".repeat(1_000);
    let targets: Vec<String> = (0..300)
        .map(|n| format!("'http://{}/{n}'", peer.address))
        .collect();
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: web
    module: web
    interval: 1s
    static_configs: [{{targets: [{}], labels: {{a: {long}, b: {long}, c: {long}}}}}]
",
        targets.join(", ")
    ));
    let server = Probity::serve(&folder.config());
    until("all have been probed", || {
        (server.samples("/fleet").all("probe_success", &[]).count() == 300).then_some(())
    });
    let mut stalled = Vec::new();
    until("all places are taken", || {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let request = format!("GET /fleet HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
        stream.write_all(request.as_bytes()).expect("a request");
        stalled.push(stream);
        (stalled.len() >= 4 && server.get("/fleet").status == 503).then_some(())
    });
    // Nothing else has to wait for them.
    assert_eq!(server.get("/metrics").status, 200);
    assert_eq!(server.get("/-/healthy").status, 200);
    until("a place is free again", || {
        (server.get("/fleet").status == 200).then_some(())
    });
    // What they were sent is broken off, not ended: no last chunk.
    let mut stream = stalled.remove(0);
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    assert!(
        end.is_err() || !bytes.ends_with(b"\r\n0\r\n\r\n"),
        "a whole body"
    );
    drop(stalled);
    server.stop();
}

fn scrapes_during_reloads_are_whole() {
    let peer = Peer::status(200, Duration::ZERO);
    let config = |targets: usize| {
        let targets: Vec<String> = (0..targets)
            .map(|n| format!("'http://{}/{n}'", peer.address))
            .collect();
        format!(
            "\
modules: {{web: {{prober: http}}}}
jobs: [{{job_name: web, module: web, interval: 500ms, static_configs: [{{targets: [{}]}}]}}]
",
            targets.join(", ")
        )
    };
    let folder = Folder::with(&config(50));
    let server = Probity::serve(&folder.config());
    until("all have been probed", || {
        (server.samples("/fleet").all("probe_success", &[]).count() == 50).then_some(())
    });
    for round in 0..20 {
        folder.write("probity.yml", &config(if round % 2 == 0 { 80 } else { 50 }));
        std::thread::scope(|scope| {
            let reload = scope.spawn(|| server.reload().ok());
            while !reload.is_finished() {
                // Targets that stay are in every scrape.
                let fleet = server.samples("/fleet");
                let kept = (0..50).filter(|n| {
                    let instance = format!("http://{}/{n}", peer.address);
                    fleet.value("probe_success", &[("instance", &instance)]) == Some(1.0)
                });
                assert_eq!(kept.count(), 50);
            }
        });
    }
    server.stop();
}

fn the_readme_names_every_metric_of_ours() {
    let readme = include_str!("../../README.md");
    let folder = Folder::with(
        "modules: {m: {prober: tcp}}
jobs:
- {job_name: a, module: m, interval: 1s, static_configs: [{targets: ['127.0.0.1:1']}]}
",
    );
    let server = Probity::serve(&folder.config());
    until("a run has failed", || {
        let fleet = server.samples("/fleet");
        fleet.value("probe_success", &[("job", "a")])
    });
    for page in ["/metrics", "/fleet"] {
        let answer = server.get(page).ok();
        let names = answer.text().lines().filter_map(|line| {
            let name = line.strip_prefix("# TYPE ")?.split(' ').next()?;
            name.starts_with("probity_").then_some(name)
        });
        for name in names {
            let is_named = [format!("`{name}`"), format!("`{name}{{")];
            let is_named = is_named.iter().any(|written| readme.contains(written));
            assert!(is_named, "{name} of {page} is not in README.md");
        }
    }
    server.stop();
}
