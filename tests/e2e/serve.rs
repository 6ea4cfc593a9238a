//! The endpoints, each as its clients use it.

use std::io::Read as _;
use std::time::Duration;

use flate2::read::GzDecoder;
use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::metrics::Samples;
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("serve":
        own_metrics_are_there,
        probe_answers_as_blackbox_exporter,
        the_scrape_timeout_bounds_a_probe,
        targets_can_be_filtered_and_paged,
        what_the_api_does_not_know_is_refused,
        events_are_read_in_pages,
        config_hides_secrets,
        pages_for_people,
        without_a_file_it_has_the_usual_modules,
    )
}

/// Two jobs: `web` with two good targets and a dead one, `raw` with one.
struct Small {
    server: Probity,
    peer: Peer,
    dead: std::net::SocketAddr,
    _folder: Folder,
}

impl Small {
    fn start() -> Self {
        let peer = Peer::status(200, Duration::ZERO);
        let dead = dead();
        let address = peer.address;
        let folder = Folder::with(&format!(
            "\
modules:
  web: {{prober: http}}
  tcp: {{prober: tcp}}
  secret:
    prober: http
    http:
      headers: {{X-Plain: visible}}
      basic_auth: {{username: probe, password: hunter2}}
  bearer:
    prober: http
    http: {{authorization: {{credentials: hunter3}}}}
jobs:
  - job_name: web
    module: web
    interval: 250ms
    failure_threshold: 2
    static_configs:
      - targets: ['http://{address}/a', 'http://{address}/b', 'http://{dead}/']
        labels: {{team: core}}
  - job_name: raw
    module: tcp
    interval: 250ms
    static_configs: [{{targets: ['{address}']}}]
"
        ));
        let server = Probity::serve(&folder.config());
        until("all targets are judged", || {
            let judged = server.targets("health=up").len() + server.targets("health=down").len();
            (judged == 4).then_some(())
        });
        Self {
            server,
            peer,
            dead,
            _folder: folder,
        }
    }
}

fn own_metrics_are_there() {
    let small = Small::start();
    let metrics = small.server.samples("/metrics");
    let value = |name: &str| metrics.value(name, &[]);
    assert_eq!(value("probity_targets"), Some(4.0));
    assert_eq!(
        value("blackbox_exporter_config_last_reload_successful"),
        Some(1.0)
    );
    for name in [
        "probity_targets_overdue",
        "probity_runs_in_flight",
        "probity_runs_queued",
        "probity_start_lag_seconds_sum",
        "probity_resolver_cache_hits_total",
        "probity_resolver_cache_misses_total",
        "process_open_fds",
        "process_max_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_virtual_memory_max_bytes",
        "process_network_receive_bytes_total",
        "process_network_transmit_bytes_total",
        "process_cpu_seconds_total",
        "process_start_time_seconds",
    ] {
        assert!(value(name).is_some(), "no {name}");
    }
    assert!(metrics.sum("probity_runs_total", &[("outcome", "success")]) >= 3.0);
    assert!(metrics.sum("probity_runs_total", &[("outcome", "failure")]) >= 2.0);
    assert_eq!(
        metrics.sum("probity_runs_total", &[("outcome", "unknown")]),
        0.0
    );
    assert!(metrics.all("probity_loop_busy_ratio", &[]).count() >= 1);
    assert!(
        metrics
            .all("probity_start_lag_seconds_bucket", &[("le", "+Inf")])
            .count()
            == 1
    );
    let phases: Vec<_> = metrics
        .all("probity_phase_duration_seconds_count", &[("job", "web")])
        .map(|sample| sample.labels["phase"].clone())
        .collect();
    assert!(
        phases.contains(&"connect".into()) && phases.contains(&"processing".into()),
        "{phases:?}"
    );
    small.server.stop();
}

fn probe_answers_as_blackbox_exporter() {
    let small = Small::start();
    let target = encode(&small.peer.url());
    let answer = small
        .server
        .get(&format!("/probe?target={target}&module=web"))
        .ok();
    let kind = answer.header("content-type").expect("a content type");
    assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    let text = answer.text();
    assert!(
        text.contains("# HELP probe_success Displays whether or not the probe was a success\n"),
        "{text}"
    );
    let samples = Samples::parse(text);
    assert_eq!(samples.value("probe_success", &[]), Some(1.0));
    assert_eq!(samples.value("probe_http_status_code", &[]), Some(200.0));
    assert_eq!(samples.value("probe_ip_protocol", &[]), Some(4.0));
    assert_eq!(samples.value("probe_http_content_length", &[]), Some(2.0));
    for phase in ["resolve", "connect", "tls", "processing", "transfer"] {
        let seconds = samples.value("probe_http_duration_seconds", &[("phase", phase)]);
        assert!(seconds.is_some(), "no phase {phase}: {text}");
    }
    let refused = small
        .server
        .samples(&format!("/probe?target={}&module=tcp", small.dead));
    assert_eq!(refused.value("probe_success", &[]), Some(0.0));

    let debug = small
        .server
        .get(&format!("/probe?target={target}&module=secret&debug=true"))
        .ok();
    for part in [
        "Logs for the probe:",
        "Metrics that would have been returned:",
        "probe_success 1",
        "Module configuration:",
        "visible",
    ] {
        assert!(debug.text().contains(part), "no {part}: {}", debug.text());
    }
    assert!(!debug.text().contains("hunter2"), "{}", debug.text());

    for path in [
        "/probe?module=web",
        "/probe?module=web&target=",
        "/probe?target=a&module=nosuch",
    ] {
        assert_eq!(small.server.get(path).status, 400, "{path}");
    }
    let unknown = small
        .server
        .samples("/metrics")
        .value("blackbox_module_unknown_total", &[]);
    assert_eq!(unknown, Some(1.0));
    small.server.stop();
}

fn the_scrape_timeout_bounds_a_probe() {
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let folder = Folder::with("modules: {web: {prober: http}}\n");
    let server = Probity::serve(&folder.config());
    let path = format!("/probe?module=web&target={}", encode(&silent.url()));
    let answer = server
        .request(
            "GET",
            &path,
            &[("X-Prometheus-Scrape-Timeout-Seconds", "2")],
        )
        .ok();
    let samples = Samples::parse(answer.text());
    assert_eq!(samples.value("probe_success", &[]), Some(0.0));
    // 2 s less the offset of half a second.
    let took = samples
        .value("probe_duration_seconds", &[])
        .expect("a duration");
    assert!((1.5..30.0).contains(&took), "{took}");
    server.stop();
}

fn targets_can_be_filtered_and_paged() {
    let small = Small::start();
    let ask = |query: &str| small.server.get(&format!("/api/v1/targets?{query}"));
    let total = |query: &str| {
        ask(query).ok().json()["data"]["total"]
            .as_u64()
            .expect("a number")
    };
    assert_eq!(total(""), 4);
    assert_eq!(total("job=web"), 3);
    assert_eq!(total("outcome=failure"), 1);
    assert_eq!(total("outcome=unknown"), 0);
    assert_eq!(total("health=up"), 3);
    assert_eq!(total("health=down"), 1);
    assert_eq!(total("health=unknown"), 0);
    assert_eq!(total("reason=connect_refused"), 1);
    assert_eq!(total("job=raw&health=down"), 0);
    assert_eq!(total(&format!("target={}", encode("/a"))), 1);

    // Pages tile the whole.
    let mut seen = Vec::new();
    for offset in 0..5 {
        let answer = ask(&format!("limit=1&offset={offset}")).ok().json();
        assert_eq!(answer["data"]["total"], 4);
        let page = answer["data"]["targets"]
            .as_array()
            .expect("a list")
            .clone();
        assert_eq!(page.len(), usize::from(offset < 4));
        seen.extend(
            page.iter()
                .map(|target| target["id"].as_str().expect("an id").to_owned()),
        );
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);

    let down = small.server.targets("health=down");
    let target = &down[0];
    assert_eq!(target["job"], "web");
    assert_eq!(target["labels"]["team"], "core");
    assert_eq!(target["labels"]["job"], "web");
    assert_eq!(target["last"]["outcome"], "failure");
    assert_eq!(target["last"]["phase"], "connect");
    assert!(target["results"]["failure"].as_u64() >= Some(2));
    assert!(target["next"].as_f64() > target["last"]["finished"].as_f64());
    let last = &target["last"];
    let phases = last["phases_seconds"].as_object().expect("phases");
    let sum: f64 = phases.values().filter_map(serde_json::Value::as_f64).sum();
    let total = last["duration_seconds"].as_f64().expect("a number");
    assert!((sum - total).abs() < 1e-9, "{last}");
    small.server.stop();
}

fn what_the_api_does_not_know_is_refused() {
    let small = Small::start();
    let outcomes = "expected one of success, warning, failure, unknown, found \"bad\"";
    for (path, status, words) in [
        (
            "/api/v1/targets?state=up",
            400,
            "unknown query parameter \"state\": expected one of job, health, outcome, reason, target, offset, limit",
        ),
        (
            "/api/v1/targets?health=sick",
            400,
            "health: expected one of up, down, unknown, found \"sick\"",
        ),
        ("/api/v1/targets?outcome=bad", 400, outcomes),
        (
            "/api/v1/targets?reason=bogus",
            400,
            "connect_refused, connect_timeout",
        ),
        (
            "/api/v1/targets?offset=-1",
            400,
            "offset: expected a number, found \"-1\"",
        ),
        ("/api/v1/targets?limit=x", 400, "limit: expected a number"),
        (
            "/api/v1/targets?job=web&job=raw",
            400,
            "job: expected once, found twice",
        ),
        (
            "/api/v1/targets?job=nosuch",
            404,
            "there is no job \"nosuch\"",
        ),
        (
            "/api/v1/events?reason=Down",
            400,
            "unknown query parameter \"reason\": expected one of job, since, offset, limit",
        ),
        (
            "/api/v1/events?since=1&offset=1",
            400,
            "expected one of since (in order) and offset",
        ),
        (
            "/api/v1/events?job=nosuch",
            404,
            "there is no job \"nosuch\"",
        ),
    ] {
        let answer = small.server.get(path);
        assert_eq!(answer.status, status, "{path}");
        let answer = answer.json();
        assert_eq!(answer["status"], "error");
        let sentence = answer["error"].as_str().expect("a sentence");
        assert!(sentence.contains(words), "{path}: {sentence}");
    }
    let answer = small.server.get("/fleet?jbo=web");
    let sentence = "unknown query parameter \"jbo\": expected one of job, page, pages\n";
    assert_eq!((answer.status, answer.text()), (400, sentence));
    // Prometheus may send what it likes where it may send anything.
    assert_eq!(small.server.get("/metrics?x=1&x=2&%zz").status, 200);
    small.server.stop();
}

fn events_are_read_in_pages() {
    let small = Small::start();
    let ask = |query: &str| {
        let answer = small.server.get(&format!("/api/v1/events?{query}"));
        answer.ok().json()["data"].clone()
    };
    let mut since = 0;
    let mut seen = Vec::new();
    until("all targets have been told of", || {
        let page = ask(&format!("job=web&since={since}&limit=1"));
        since = page["next"].as_u64().expect("a number");
        assert_eq!(page["lost"], 0);
        let events = page["events"].as_array().expect("a list").clone();
        assert!(events.len() <= 1);
        for event in &events {
            assert_eq!(event["job"], "web");
            assert_eq!(event["sequence"], since);
            let known = event["reason"] == "Healthy" || event["reason"] == "Down";
            seen.extend(known.then(|| event["instance"].to_string()));
        }
        seen.sort();
        seen.dedup();
        (seen.len() == 3).then_some(())
    });
    let latest = ask("offset=1&limit=2");
    assert_eq!(latest["events"].as_array().map(Vec::len), Some(2));
    assert!(latest["events"][0]["sequence"].as_u64() > latest["events"][1]["sequence"].as_u64());
    assert!(latest["total"].as_u64() >= Some(4));
    // A cursor of another process begins with what this one knows.
    for since in ["7", "99999999999999999"] {
        let page = ask(&format!("since={since}&limit=10000"));
        assert!(page["lost"].is_null(), "{page}");
        assert!(page["total"].as_u64() >= Some(4), "{page}");
        let next = page["next"].as_u64().expect("a number");
        assert_eq!(ask(&format!("since={next}"))["lost"], 0);
    }
    small.server.stop();
}

fn config_hides_secrets() {
    let small = Small::start();
    let config = small.server.get("/config").ok();
    let text = config.text();
    for part in [
        "job_name: web",
        "probe",
        "visible",
        "<secret>",
        "prober: http",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("hunter"), "{text}");
    small.server.stop();
}

fn pages_for_people() {
    let small = Small::start();
    let server = &small.server;
    assert_eq!(server.get("/-/healthy").status, 200);
    assert_eq!(server.get("/-/ready").status, 200);
    assert_eq!(server.get("/-/reload").status, 405);
    assert_eq!(server.get("/api/v1/nosuch").status, 404);
    let page = server.get("/").ok();
    assert!(
        page.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
    );
    let text = page.text();
    for part in [
        "<td>web</td><td>3</td><td>2</td>",
        "<td>raw</td><td>1</td><td>1</td>",
        "Unhealthy",
        "<form action=\"probe\">",
        "<option>web</option>",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    // Every link leads somewhere.
    let links = text
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    for link in links.filter(|link| *link != "./") {
        assert_eq!(server.get(&format!("/{link}")).status, 200, "{link}");
    }
    for path in ["/metrics", "/fleet"] {
        let plain = server.get(path).ok();
        assert_eq!(plain.header("content-encoding"), None);
        let zipped = server
            .request("GET", path, &[("Accept-Encoding", "gzip")])
            .ok();
        assert_eq!(zipped.header("content-encoding"), Some("gzip"));
        let mut text = String::new();
        GzDecoder::new(&zipped.body[..])
            .read_to_string(&mut text)
            .expect("gzip");
        assert_eq!(
            Samples::parse(&text).names(),
            Samples::parse(plain.text()).names(),
            "{path}"
        );
    }
    small.server.stop();
}

fn without_a_file_it_has_the_usual_modules() {
    let peer = Peer::status(200, Duration::ZERO);
    let server = Probity::start(&["--web.listen-address=127.0.0.1:0"]);
    until("it is ready", || {
        (server.get("/-/ready").status == 200).then_some(())
    });
    let target = encode(&peer.url());
    for (module, target) in [
        ("http_2xx", &target),
        ("http_post_2xx", &target),
        ("tcp_connect", &peer.address.to_string()),
    ] {
        let samples = server.samples(&format!("/probe?module={module}&target={target}"));
        assert_eq!(samples.value("probe_success", &[]), Some(1.0), "{module}");
    }
    assert_eq!(server.get("/fleet").ok().text(), "");
    let log = server.log();
    assert_eq!(log.lines(&["level=WARN", "no blackbox.yml here"]).len(), 1);
    let config = "config=\"the built-in configuration\"";
    assert_eq!(log.lines(&["Fleet loaded", config]).len(), 1, "{log:?}");
    server.stop();
}
