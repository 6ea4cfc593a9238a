//! The pages as blackbox_exporter has them: what is refused and in which
//! words, what is remembered, and where all of it is.

use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::{self, encode};
use probity_tests::support::metrics::Samples;
use probity_tests::support::{Peer, Probity, until};
use probity_tests::support::{probity, tls};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("web":
        requests_are_refused_in_order,
        a_module_that_is_rejected_says_where_and_what_to_do,
        a_target_that_cannot_be_probed_is_a_failed_probe,
        scrape_timeouts_are_believed,
        hostnames_are_sent_and_may_not_contradict,
        targets_are_decoded_twice,
        the_answer_has_the_content_type_that_was_asked_for,
        a_client_that_goes_away_ends_the_run,
        runs_are_remembered,
        a_run_shows_as_much_as_is_wanted,
        a_run_that_was_not_made_has_no_series_on_any_page,
        failed_probes_are_logged,
        steps_are_logged_with_the_time_at_which_they_happened,
        unknown_paths_are_the_page,
        paths_are_tidied_before_they_are_looked_at,
        the_exporter_says_what_it_stands_for,
        everything_is_under_the_prefix,
        a_socket_that_was_passed_on_is_served,
    )
}

const MODULES: &str = "\
modules:
  http_2xx: {prober: http}
  named:
    prober: http
    http: {headers: {Host: configured.example}}
  tcp: {prober: tcp}
  tls:
    prober: tcp
    tcp: {preferred_ip_protocol: ip4, tls: true, tls_config: {insecure_skip_verify: true}}
  slow: {prober: http, timeout: 10s}
  secret:
    prober: http
    http: {bearer_token: mysecret, follow_redirects: true}
";

fn serve(flags: &[&str]) -> (Probity, Folder) {
    let folder = Folder::with(MODULES);
    (Probity::serve_with(&folder.config(), flags), folder)
}

/// Path, header fields, status, body.
type Refused<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

fn requests_are_refused_in_order() {
    let (server, _folder) = serve(&[]);
    let bad_time = [("X-Prometheus-Scrape-Timeout-Seconds", "soon")];
    let header = "Failed to parse timeout from Prometheus header: strconv.ParseFloat: parsing \"soon\": invalid syntax\n";
    let table: [Refused<'_>; 9] = [
        ("/probe?module=x", &bad_time, 400, "Unknown module \"x\"\n"),
        (
            "/probe?module=x&target=a",
            &[],
            400,
            "Unknown module \"x\"\n",
        ),
        ("/probe", &bad_time, 500, header),
        ("/probe", &[], 400, "Target parameter is missing\n"),
        ("/probe?target=", &[], 400, "Target parameter is missing\n"),
        (
            "/probe?module=&target=",
            &[],
            400,
            "Target parameter is missing\n",
        ),
        // Pairs with a semicolon and those that cannot be decoded do not count.
        (
            "/probe?target=a;b",
            &[],
            400,
            "Target parameter is missing\n",
        ),
        (
            "/probe?target=%zz",
            &[],
            400,
            "Target parameter is missing\n",
        ),
        (
            "/probe?module=named&target=a&hostname=other.example",
            &[],
            400,
            "host header defined both in module configuration (configured.example) and with URL-parameter 'hostname' (other.example)\n",
        ),
    ];
    for (path, headers, status, body) in table {
        for method in ["GET", "POST"] {
            let answer = server.request(method, path, headers);
            assert_eq!((answer.status, answer.text()), (status, body), "{path}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            let kind = answer.header("content-type");
            assert_eq!(kind, Some("text/plain; charset=utf-8"), "{path}");
        }
    }
    let unknown = server.samples("/metrics");
    let unknown = unknown.value("blackbox_module_unknown_total", &[]);
    assert_eq!(unknown, Some(4.0));
    server.stop();
}

fn a_module_that_is_rejected_says_where_and_what_to_do() {
    let folder = Folder::with(
        "\
modules:
  three:
    prober: http
    http:
      enable_http2: false
      enable_http3: true
  soa: {prober: dns, dns: {query_name: a.example}}
  tcp: {prober: tcp}
",
    );
    let server = Probity::serve(&folder.config());
    let rest = "; change that and load the file again, or ask for another module\n";
    for (module, status, begins, what) in [
        (
            "three",
            503,
            "The probe could not be made (unspoken): the module is rejected: ",
            ":6:21: modules.three.http.enable_http3: HTTP/3 is not spoken by this version: expected false",
        ),
        (
            "soa",
            400,
            "the module is rejected: ",
            ":7:17: modules.soa.prober: the prober \"dns\" of blackbox_exporter is not supported by this version: expected one of http, tcp, wasm",
        ),
    ] {
        let answer = server.get(&format!("/probe?module={module}&target=http://{}/", dead()));
        let expected = format!("{begins}{}{what}{rest}", folder.config().display());
        assert_eq!((answer.status, answer.text()), (status, &*expected));
    }
    // Who scrapes does not see that text.
    let refused = ["level=WARN", "Probe refused", "module=soa", "not supported"];
    assert_eq!(server.log().lines(&refused).len(), 1, "{:?}", server.log());
    server.stop();
}

fn a_target_that_cannot_be_probed_is_a_failed_probe() {
    let (server, _folder) = serve(&[]);
    for path in [
        "/probe?target=ftp://a.example/",
        "/probe?target=http://%5B/",
        "/probe?module=tcp&target=no-port",
    ] {
        let samples = server.samples(path);
        assert_eq!(samples.value("probe_success", &[]), Some(0.0), "{path}");
        assert!(samples.value("probe_duration_seconds", &[]).is_some());
        // Whether a look-up has been tried or not.
        let protocol = samples.value("probe_ip_protocol", &[]).unwrap_or(0.0);
        assert_eq!(protocol, 0.0, "{path}");
    }
    server.stop();
}

fn scrape_timeouts_are_believed() {
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let (server, _folder) = serve(&["--timeout-offset", "0.5"]);
    let path = format!("/probe?module=slow&target={}", encode(&silent.url()));
    for (announced, given) in [("1", 0.5), ("0.7", 0.2)] {
        let headers = [("X-Prometheus-Scrape-Timeout-Seconds", announced)];
        let answer = server.request("GET", &path, &headers).ok();
        let samples = Samples::parse(answer.text());
        assert_eq!(samples.value("probe_success", &[]), Some(0.0));
        let timeout = samples
            .value("probe_timeout_seconds", &[])
            .expect("a timeout");
        assert!((timeout - given).abs() < 1e-9, "{announced}: {timeout}");
    }
    // Nothing is left, also of the module: over at once.
    let path = format!("/probe?module=http_2xx&target={}", encode(&silent.url()));
    let headers = [("X-Prometheus-Scrape-Timeout-Seconds", "0.3")];
    let answer = server.request("GET", &path, &headers);
    assert!(!answer.text().contains("probe_success 1"), "{answer:?}");
    server.stop();
}

fn hostnames_are_sent_and_may_not_contradict() {
    let (send, seen) = std::sync::mpsc::channel();
    let peer = Peer::new(move |mut conn| {
        let _ = send.send(String::from_utf8_lossy(&conn.request()).into_owned());
        conn.answer(200);
    });
    let (server, _folder) = serve(&[]);
    let target = encode(&peer.url());
    let samples = server.samples(&format!("/probe?target={target}&hostname=asked.example"));
    assert_eq!(samples.value("probe_success", &[]), Some(1.0));
    let head = seen.recv().expect("a request");
    assert!(head.contains("\r\nHost: asked.example\r\n"), "{head}");
    let secured = tls::peer(tls::self_signed());
    let path = format!(
        "/probe?module=tls&target={}&hostname=asked.example&debug=true",
        secured.address
    );
    let debug = server.get(&path).ok();
    for part in ["probe_success 1", "server_name: asked.example"] {
        assert!(debug.text().contains(part), "no {part} in {debug:?}");
    }
    server.stop();
}

fn targets_are_decoded_twice() {
    let peer = Peer::status(200, Duration::ZERO);
    let (server, _folder) = serve(&[]);
    let port = peer.address.port();
    for target in [
        format!("http://127.0.0.1:{port}"),
        format!("http://127.0.0.1%253A{port}"),
        format!("http://127.0.0.1:{port}/api/v1%3Alatest"),
        format!("http%3A%2F%2F127.0.0.1%3A{port}%2Fpath"),
        // The second time this cannot be decoded, and stays.
        format!("http://127.0.0.1:{port}/?%25zz%25"),
    ] {
        let answer = server.get(&format!("/probe?target={target}")).ok();
        let samples = Samples::parse(answer.text());
        assert_eq!(samples.value("probe_success", &[]), Some(1.0), "{target}");
    }
    server.stop();
}

fn the_answer_has_the_content_type_that_was_asked_for() {
    let peer = Peer::status(200, Duration::ZERO);
    let (server, _folder) = serve(&[]);
    let path = format!("/probe?target={}", encode(&peer.url()));
    for (accept, expected) in [
        (
            "*/*",
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
            "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=underscores",
        ),
    ] {
        let answer = server.request("GET", &path, &[("Accept", accept)]).ok();
        assert_eq!(answer.header("content-type"), Some(expected), "{accept}");
    }
    server.stop();
}

fn a_client_that_goes_away_ends_the_run() {
    use std::io::Write as _;
    let (send, gone) = std::sync::mpsc::channel();
    let silent = Peer::new(move |mut conn| {
        conn.wait_for_close();
        let _ = send.send(());
    });
    let (server, _folder) = serve(&[]);
    let mut client = std::net::TcpStream::connect(server.address).expect("a connection");
    let target = encode(&silent.url());
    write!(
        client,
        "GET /probe?target={target} HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    .expect("a request");
    until("the run is in flight", || {
        let metrics = server.samples("/metrics");
        (metrics.value("probity_runs_in_flight", &[]) == Some(1.0)).then_some(())
    });
    drop(client);
    // Long before the two minutes that the run has.
    gone.recv_timeout(Duration::from_secs(60))
        .expect("the run has ended");
    until("it is counted", || {
        let metrics = server.samples("/metrics");
        let cancelled = metrics.value("probity_unknown_total", &[("reason", "cancelled")]);
        (cancelled == Some(1.0)).then_some(())
    });
    server.stop();
}

fn runs_are_remembered() {
    let peer = Peer::status(200, Duration::ZERO);
    let (server, _folder) = serve(&["--history.limit=2"]);
    let (good, bad) = (encode(&peer.url()), dead());
    server.get(&format!("/probe?module=tcp&target={bad}")).ok();
    for _ in 0..3 {
        server
            .get(&format!("/probe?module=secret&target={good}"))
            .ok();
    }
    let logs = |query: &str| {
        let answer = server.get(&format!("/logs{query}"));
        (answer.status, answer.text().to_owned())
    };
    // The failure has outlived a success; of the others the last two are there.
    for (query, status, part) in [
        ("?id=0", 200, "level=ERROR msg=\"Probe failed\" module=tcp"),
        ("?id=1", 404, "Probe id not found\n"),
        ("?id=2", 200, "credentials: <secret>"),
        ("?id=3", 200, "probe_success 1"),
        ("?id=4", 404, "Probe id not found\n"),
        ("?id=-2", 404, "Probe id not found\n"),
        (
            "",
            400,
            "Probe id or target must be defined as http query parameters\n",
        ),
        (
            "?id=x",
            400,
            "Probe id or target must be defined as http query parameters\n",
        ),
        (
            "?id=0&target=a",
            400,
            "Probe id and target can't be defined at the same time\n",
        ),
        (
            "?id=0&module=tcp",
            400,
            "Probe module filter only works in conjunction with target parameter\n",
        ),
        ("?target=nobody", 404, "Probe target not found\n"),
    ] {
        let (found, text) = logs(query);
        assert!(
            found == status && text.contains(part),
            "{query}: {found} {text}"
        );
        assert!(!text.contains("mysecret"), "{text}");
    }
    let (_, text) = logs(&format!("?target={bad}"));
    assert!(text.contains("reason=connect_refused"), "{text}");
    assert_eq!(logs(&format!("?target={bad}&module=tls")).0, 404);
    assert_eq!(logs(&format!("?target={good}&module=secret")).0, 200);

    let page = server.get("/").ok();
    let rows: Vec<&str> = page.text().matches("logs?id=").collect();
    assert_eq!(rows.len(), 3, "{}", page.text());
    let latest = page.text().find("logs?id=3").expect("the latest");
    assert!(latest < page.text().find("logs?id=0").expect("the oldest"));
    assert!(page.text().contains("<strong>Failure</strong>"));
    server.stop();
}

fn a_run_shows_as_much_as_is_wanted() {
    let elsewhere = Peer::status(200, Duration::ZERO);
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        elsewhere.url()
    );
    let peer = Peer::answering(answer);
    let target = encode(&peer.url());
    for (level, redirect, steps) in [
        ("info", true, false),
        ("DEBUG", true, true),
        ("error", false, false),
        // A level that is none is said, and stays at info.
        ("loud", true, false),
    ] {
        let (server, _folder) = serve(&[&format!("--log.prober={level}")]);
        let path = format!("/probe?module=secret&target={target}&debug=true");
        let debug = server.get(&path).ok();
        let text = debug.text();
        assert_eq!(text.contains("redirected to"), redirect, "{level}: {text}");
        assert_eq!(text.contains("Beginning probe"), steps, "{level}: {text}");
        assert!(text.contains("probe_success 1") && text.contains("<secret>"));
        assert!(!text.contains("mysecret"), "{text}");
        let odd = server.log().lines(&["Log level of the prober", "loud"]);
        assert_eq!(odd.len(), usize::from(level == "loud"));
        server.stop();
    }
}

fn a_run_that_was_not_made_has_no_series_on_any_page() {
    let folder =
        Folder::with("modules: {web: {prober: http, http: {bearer_token_file: /nosuch/token}}}\n");
    let server = Probity::serve(&folder.config());
    let path = format!("/probe?module=web&target=http://{}/", dead());
    let plain = server.get(&path);
    let sentence = plain.text().trim_end().to_owned();
    assert_eq!(plain.status, 503, "{sentence}");
    assert!(
        sentence.starts_with("The probe could not be made (local_file): ")
            && sentence.contains("/nosuch/token"),
        "{sentence}"
    );
    let debug = server.get(&format!("{path}&debug=true"));
    assert_eq!(debug.status, 503);
    // What was remembered of it is there, and says the same.
    let remembered = server.get("/logs?id=1").ok();
    for page in [debug.text(), remembered.text()] {
        let none = format!("Metrics that would have been returned:\nNone. {sentence}\n");
        assert!(page.contains(&none), "{page}");
        assert!(!page.contains("\nprobe_"), "{page}");
        assert!(
            page.contains("Module configuration:\nprober: http"),
            "{page}"
        );
    }
    let target = format!("http://{}/", dead());
    let config = folder.config();
    let config = config.to_str().expect("text");
    let check = [
        "check",
        "--config.file",
        config,
        "-m",
        "web",
        "-o",
        "prometheus",
        &target,
    ];
    let ended = probity::run(&check);
    assert_eq!((ended.code, &*ended.stdout), (Some(3), ""));
    assert!(ended.stderr.contains(&sentence), "{ended:?}");
    server.stop();
}

fn failed_probes_are_logged() {
    let (server, _folder) = serve(&[]);
    let target = dead();
    server
        .get(&format!("/probe?module=tcp&target={target}"))
        .ok();
    until("the failure is logged", || {
        let parts = [
            "level=ERROR msg=\"Probe failed\"",
            "module=tcp",
            &format!("target={target}"),
            "reason=connect_refused",
        ];
        (server.log().lines(&parts).len() == 1).then_some(())
    });
    server.stop();
}

fn steps_are_logged_with_the_time_at_which_they_happened() {
    let delay = Duration::from_millis(300);
    let peer = Peer::status(200, delay);
    let (server, _folder) = serve(&["--log.prober=debug"]);
    let target = encode(&peer.url());
    let page = server
        .get(&format!(
            "/probe?module=http_2xx&target={target}&debug=true"
        ))
        .ok();
    // 2026-07-30T12:34:56.789
    let time = |said: &str| {
        let line = page.text().lines().find(|line| line.contains(said));
        let time = line.and_then(|line| line.strip_prefix("time=")?.split_once('Z'));
        time.unwrap_or_else(|| panic!("no {said}: {}", page.text()))
            .0
            .to_owned()
    };
    let millis = |time: &str| {
        let mut parts = time[11..]
            .split([':', '.'])
            .map(|part| part.parse::<u64>().expect("digits"));
        let mut next = || parts.next().expect("a part");
        ((next() * 60 + next()) * 60 + next()) * 1_000 + next()
    };
    let day = 86_400_000;
    let (begun, ended) = (time("Beginning probe"), time("Probe succeeded"));
    let took = (millis(&ended) + day - millis(&begun)) % day;
    assert!(u128::from(took) >= delay.as_millis(), "{}", page.text());
    for (said, time) in [("Beginning probe", begun), ("Probe succeeded", ended)] {
        // There the time has three more digits.
        until("it is in the log", || {
            let lines = server.log().lines(&[said, "module=http_2xx"]);
            let at_last = lines.first()?;
            assert!(
                at_last.starts_with(&format!("time={time}")),
                "{time}: {lines:?}"
            );
            Some(())
        });
    }
    server.stop();
}

fn unknown_paths_are_the_page() {
    let (server, _folder) = serve(&[]);
    for path in ["/nosuch", "/a/b/c", "/-/nosuch", "/probe/"] {
        let page = server.get(path).ok();
        assert!(page.text().contains("Recent Probes"), "{path}");
    }
    assert_eq!(server.get("/api/v1/nosuch").status, 404);
    // Who wants a profile of Go's runtime must not be given a page instead.
    for (path, words) in [
        ("/debug/pprof", "There is no pprof here"),
        ("/debug/pprof/", "There is no pprof here"),
        ("/debug/pprof/profile?seconds=1", "There is no pprof here"),
        ("/debug/requests", "There are no traces"),
        ("/debug/events", "There are no traces"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().starts_with(words), "{path}: {answer:?}");
    }
    assert_eq!(server.get("/debug/pprofile").status, 200);
    server.stop();
}

fn paths_are_tidied_before_they_are_looked_at() {
    let (server, _folder) = serve(&[]);
    for (path, to) in [
        ("//config", "/config"),
        ("/a/../metrics?x=1", "/metrics?x=1"),
        ("/./", "/"),
    ] {
        let answer = server.get(path);
        let found = (answer.status, answer.header("location"));
        assert_eq!(found, (301, Some(to)), "{path}");
    }
    server.stop();
}

fn the_exporter_says_what_it_stands_for() {
    let (server, _folder) = serve(&[]);
    for parts in [
        [
            "msg=\"Starting probity\"",
            "version=\"(version=",
            ", blackbox_exporter=0.28.0)\"",
        ],
        [
            "msg=\"Build context\"",
            "build_context=\"(rust=1.",
            ", platform=linux/",
        ],
    ] {
        assert_eq!(server.log().lines(&parts).len(), 1, "{:?}", server.log());
    }
    let metrics = server.samples("/metrics");
    let build = metrics.all("blackbox_exporter_build_info", &[("version", "0.28.0")]);
    let goversions: Vec<_> = build.map(|it| it.labels["goversion"].clone()).collect();
    assert_eq!(goversions, ["rust"]);
    for (name, code, value) in [
        ("promhttp_metric_handler_requests_in_flight", None, 1.0),
        ("promhttp_metric_handler_requests_total", Some("200"), 0.0),
        ("promhttp_metric_handler_requests_total", Some("503"), 0.0),
        ("blackbox_exporter_config_last_reload_successful", None, 1.0),
    ] {
        let labels: Vec<_> = code.iter().map(|code| ("code", *code)).collect();
        assert_eq!(metrics.value(name, &labels), Some(value), "{name}");
    }
    let metrics = server.samples("/metrics");
    let answered = metrics.value("promhttp_metric_handler_requests_total", &[("code", "200")]);
    assert_eq!(answered, Some(1.0));
    server.stop();
}

fn everything_is_under_the_prefix() {
    let folder = Folder::with(MODULES);
    let config = folder.config();
    let config = format!("--config.file={}", config.display());
    for (flags, leads) in [
        (
            &[
                "--web.external-url=http://proxy.example/up/",
                "--web.route-prefix=/x",
            ][..],
            "http://proxy.example/up",
        ),
        (&["--web.route-prefix", "x/"], "/x/"),
        (
            &["--web.external-url=http://proxy.example/x"],
            "http://proxy.example/x",
        ),
    ] {
        let mut line = vec![&*config, "--web.listen-address=127.0.0.1:0"];
        line.extend(flags);
        let server = Probity::start(&line);
        until("it is ready", || {
            (server.get("/x/-/ready").status == 200).then_some(())
        });
        let root = server.get("/");
        assert_eq!(
            (root.status, root.header("location")),
            (302, Some(leads)),
            "{flags:?}"
        );
        assert_eq!(server.get("/x").header("location"), Some("/x/"));
        for path in [
            "/x/",
            "/x/metrics",
            "/x/config",
            "/x/-/healthy",
            "/x/nosuch",
        ] {
            assert_eq!(server.get(path).status, 200, "{path}");
        }
        let pprof = server.get("/debug/pprof/heap");
        assert!(pprof.text().starts_with("There is no pprof"), "{pprof:?}");
        let lost = server.get("/x/a/b").ok();
        assert!(lost.text().contains("<base href=\"../\">"), "{lost:?}");
        for path in ["/metrics", "/probe", "/xy", "/nosuch"] {
            let answer = server.get(path);
            assert_eq!(
                (answer.status, answer.text()),
                (404, "404 page not found\n")
            );
        }
        server.stop();
    }
}

/// Ends the process when it is dropped.
struct Ending(std::process::Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn a_socket_that_was_passed_on_is_served() {
    let flags = [
        "--web.systemd-socket",
        "--web.external-url=http://a.example",
    ];
    let ended = probity::run(&flags);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("LISTEN_FDS"), "{ended:?}");

    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let inner = probity::command(&flags);
    // As systemd does it: the socket is the descriptor 3 of that very process.
    let script = "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" 3<&0 0</dev/null";
    let child = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(socket)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _child = Ending(child.expect("a shell"));
    until("it answers", || {
        let answer = http::try_request(address, "GET", "/-/healthy", &[]).ok()?;
        (answer.text() == "Healthy").then_some(())
    });
}
