//! Everything but `/probe`: other paths, flags, history, reload.

use super::super::case::{Bench, Case, Request};
use super::super::server::Server;
use super::super::view::{Fields, View, see};
use super::{module, ok};
use probity_tests::support::http::{encode, try_request};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = paths();
    cases.push(own_families());
    cases.extend(flags());
    cases.extend(history());
    cases.extend(reloads());
    cases
}

fn get(name: &str, path: &str, view: View) -> Case {
    Case::requests(format!("surface::{name}"), vec![Request::get(path, view)])
}

/// Of the landing page.
const PAGE: View = View::Marks(&["<html", "metrics", "config", "/probe?"]);

fn paths() -> Vec<Case> {
    let mut cases = vec![
        get("healthy", "/-/healthy", View::Text),
        get("healthy_slash", "/-/healthy/", PAGE),
        get("reload_by_get", "/-/reload", View::Text),
        get("landing", "/", PAGE),
        get("unknown_path", "/foo", PAGE),
        get("unknown_deep_path", "/foo/bar.txt?a=b", PAGE),
        get("probe_of_other_case", "/Probe", PAGE),
        get("ready", "/-/ready", View::Status),
        get("go_pprof", "/debug/pprof/cmdline", View::Status),
        get("go_pprof_heap", "/debug/pprof/heap?debug=1", View::Status),
        get("go_pprof_unknown", "/debug/pprof/nonsense", View::Status),
        get("go_requests", "/debug/requests", View::Status),
        get("go_events", "/debug/events", View::Status),
        get("go_nothing", "/debug/", PAGE),
        get(
            "config",
            "/config",
            View::Marks(&["modules:", "prober: http", "<secret>"]),
        ),
        get("double_slash", "//config", View::Status),
        get("dots", "/a/../config", View::Status),
        get("logs_of_nothing", "/logs", View::Text),
        get("logs_of_both", "/logs?id=1&target=x", View::Text),
        get("logs_of_module", "/logs?module=x", View::Text),
        get(
            "logs_of_module_and_id",
            "/logs?id=99999999&module=x",
            View::Text,
        ),
        get("logs_of_unknown_id", "/logs?id=99999999", View::Text),
        get("logs_of_word", "/logs?id=x", View::Text),
        get("logs_of_negative", "/logs?id=-1", View::Text),
        get(
            "logs_of_unknown_target",
            "/logs?target=nonsense",
            View::Text,
        ),
        get(
            "metrics",
            "/metrics",
            View::Families(&[
                "blackbox_exporter_config_last_reload_successful",
                "blackbox_module_unknown_total",
                "promhttp_metric_handler_requests_in_flight",
            ]),
        )
        // A process of its own: others count unknown modules too.
        .flags(&[]),
    ];
    for method in ["POST", "DELETE", "HEAD"] {
        for path in [
            "/-/healthy",
            "/config",
            "/",
            "/metrics",
            "/logs?id=x",
            "/-/reload",
        ] {
            let name = format!(
                "{}_of_{}",
                method.to_ascii_lowercase(),
                path.replace(|c: char| !c.is_ascii_alphanumeric(), "")
            );
            if method == "POST" && path == "/-/reload" {
                continue;
            }
            cases.push(get(&name, path, View::Status).request(|request| request.method(method)));
        }
    }
    cases
}

/// What families the exporter has about itself, once it has probed something.
fn own_families() -> Case {
    Case::custom("surface::own_families", |bench| {
        let process = bench.serve("modules: {m: {prober: http, timeout: 5s}}\n", &[])?;
        let target = encode(&(bench.fill)("http://@server@/"));
        let path = format!("/probe?module=m&target={target}");
        let mut fields = Fields::new();
        let answer = try_request(process.address, "GET", &path, &[]);
        see(&mut fields, "probe: ", &answer, &View::Status);
        let answer = try_request(process.address, "GET", "/metrics", &[]);
        let body = answer.map(|answer| String::from_utf8_lossy(&answer.body).into_owned());
        for line in body.unwrap_or_default().lines() {
            if let Some((name, what)) = line.strip_prefix("# ").and_then(|it| {
                let (kind, rest) = it.split_once(' ')?;
                let (name, what) = rest.split_once(' ')?;
                Some((format!("family {name} {}", kind.to_ascii_lowercase()), what))
            }) {
                fields.insert(name, what.to_owned());
            }
        }
        Ok(fields)
    })
    .server(Server::answering(ok("x")))
}

fn flags() -> Vec<Case> {
    let probe = |name: &str, flags: &[&str], paths: &[&str]| {
        let requests = paths
            .iter()
            .map(|path| Request::get(path, View::Status))
            .collect();
        Case::requests(format!("surface::{name}"), requests).flags(flags)
    };
    let under = &[
        "/",
        "/-/healthy",
        "/pre/-/healthy",
        "/pre",
        "/pre/",
        "/pre/foo",
        "/other",
        "/pre/config",
        "/prefix",
    ];
    let mut cases = vec![
        probe("prefix", &["--web.route-prefix=/pre"], under),
        probe("prefix_without_slash", &["--web.route-prefix=pre/"], under),
        probe("prefix_root", &["--web.route-prefix=/"], under),
        probe(
            "external_url",
            &["--web.external-url=http://a.test/pre/"],
            under,
        ),
        probe(
            "external_url_and_prefix",
            &[
                "--web.external-url=http://a.test/other",
                "--web.route-prefix=/pre",
            ],
            under,
        ),
        probe(
            "external_url_without_path",
            &["--web.external-url=http://a.test"],
            under,
        ),
        probe("external_path", &["--web.external-url=/pre"], under),
        probe("two_words", &["--history.limit", "5"], &["/-/healthy"]),
        probe(
            "words_of_a_file",
            &["@@folder@/args.txt"],
            &["/pre/-/healthy", "/-/healthy"],
        ),
        probe("web_config_empty", &["--web.config.file="], &["/-/healthy"]),
        probe("log_format", &["--log.format=json"], &[]),
        probe("log_level", &["--log.level=debug"], &["/-/healthy"]),
        probe(
            "auto_reload",
            &[
                "--config.enable-auto-reload",
                "--config.auto-reload-interval=1",
            ],
            &["/-/healthy"],
        ),
    ];
    for (name, args) in [
        (
            "url_quoted",
            &["--web.external-url=\"https://url/prometheus\""][..],
        ),
        (
            "url_half_quoted",
            &["--web.external-url='http://starts/with/quote"],
        ),
        ("url_ends_quoted", &["--web.external-url=ends/with/quote\""]),
        ("unknown_flag", &["--nonsense"]),
        ("bad_level", &["--log.level=nonsense"]),
        ("bad_format", &["--log.format=xml"]),
        ("bad_number", &["--history.limit=many"]),
        ("negative_number", &["--history.limit=-1"]),
        ("missing_file", &["--config.file=/nowhere/at/all.yml"]),
        ("systemd_without_url", &["--web.systemd-socket"]),
        ("bad_address", &["--web.listen-address=nonsense:port"]),
        (
            "missing_web_config",
            &["--web.config.file=/nowhere/at/all.yml"],
        ),
        ("extra_word", &["nonsense"]),
        (
            "check_web_config_empty",
            &["--config.check", "--web.config.file="],
        ),
        (
            "check_named_port",
            &["--config.check", "--web.listen-address=0.0.0.0:http"],
        ),
        (
            "check_history_large",
            &["--config.check", "--history.limit=200000"],
        ),
        (
            "check_history_hexadecimal",
            &["--config.check", "--history.limit=0x10"],
        ),
        (
            "check_history_octal",
            &["--config.check", "--history.limit=0o17"],
        ),
        (
            "check_history_grouped",
            &["--config.check", "--history.limit=1_000"],
        ),
        (
            "check_history_fraction",
            &["--config.check", "--history.limit=1.5"],
        ),
        (
            "check_reload_never",
            &["--config.check", "--config.auto-reload-interval=0"],
        ),
        (
            "check_reload_words",
            &["--config.check", "--config.auto-reload-interval=1s"],
        ),
        (
            "check_url_with_space",
            &["--config.check", "--web.external-url=http://x y/"],
        ),
        (
            "check_url_with_braces",
            &["--config.check", "--web.external-url=http://x/{a}"],
        ),
        (
            "check_prefix_with_braces",
            &["--config.check", "--web.route-prefix=/{}"],
        ),
        (
            "check_address_bad",
            &["--config.check", "--web.listen-address=nonsense:port"],
        ),
        ("url_with_space", &["--web.external-url=http://x y/"]),
        ("words_missing", &["@/nowhere/at/all.txt"]),
        ("version", &["--version"]),
        ("help", &["--help"]),
        (
            "check_with_no_form",
            &["--config.check", "--no-config.check", "--config.check"],
        ),
    ] {
        cases.push(Case::custom(
            format!("surface::start_{name}"),
            move |bench| Ok(started(bench, args)),
        ));
    }
    cases
}

/// How a start that cannot work ends.
fn started(bench: &Bench<'_>, args: &[&str]) -> Fields {
    let config = bench.write("good.yml", "modules: {m: {prober: http}}\n");
    let config = format!("--config.file={config}");
    let mut all = vec![config.as_str()];
    if args.iter().any(|arg| arg.starts_with("--config.file")) {
        all.clear();
    }
    if !args
        .iter()
        .any(|arg| arg.starts_with("--web.listen-address"))
    {
        all.push("--web.listen-address=127.0.0.1:0");
    }
    all.extend(args);
    let ended = bench.run(&all);
    let code = ended
        .code
        .map_or("a signal".to_owned(), |code| code.to_string());
    let mut fields = Fields::from([("exit".to_owned(), code)]);
    let complains = ended.code != Some(0);
    if let Some(words) = complaint(&ended.said).filter(|_| complains) {
        fields.insert("words".to_owned(), words);
    }
    fields
}

/// The line that says why nothing starts, from where it says so: not its time,
/// and not the name of the program.
fn complaint(said: &str) -> Option<String> {
    let of = |line: &str| {
        ["level=ERROR", "error: "].into_iter().find_map(|mark| {
            let (_, words) = line.split_once(mark)?;
            let words = match words.trim_start().split_once(' ') {
                // Where in its source is upstream's own affair.
                Some((first, rest)) if first.starts_with("source=") => rest,
                _ => words,
            };
            Some(words.trim().to_owned())
        })
    };
    said.lines().find_map(of)
}

fn history() -> Vec<Case> {
    let ids = |fields: &mut Fields, address, step: &str, count: usize| {
        for id in 0..count {
            let answer = try_request(address, "GET", &format!("/logs?id={id}"), &[]);
            let marks = View::Marks(&["probe_success 1", "probe_success 0"]);
            see(fields, &format!("{step}: id {id}: "), &answer, &marks);
        }
    };
    let run = move |bench: &Bench<'_>, limit: &str, plan: &str| {
        let config = format!(
            "modules:\n  good: {}\n  bad: {}\n",
            module(""),
            module("valid_status_codes: [404]")
        );
        let limit = format!("--history.limit={limit}");
        let process = bench.serve(&config, &[&limit])?;
        let target = encode(&(bench.fill)("http://@server@/"));
        for module in plan.chars() {
            let module = if module == '+' { "good" } else { "bad" };
            let path = format!("/probe?module={module}&target={target}");
            let _ = try_request(process.address, "GET", &path, &[]);
        }
        let mut fields = Fields::new();
        ids(&mut fields, process.address, "end", plan.len() + 1);
        for query in [
            format!("target={target}"),
            format!("target={target}&module=bad"),
            format!("target={target}&module=good"),
            format!("target={target}&module=other"),
        ] {
            let answer = try_request(process.address, "GET", &format!("/logs?{query}"), &[]);
            let marks = View::Marks(&["probe_success 1", "probe_success 0", "valid_status_codes"]);
            see(&mut fields, &format!("{query}: "), &answer, &marks);
        }
        // The order of the table, newest first.
        let page = try_request(process.address, "GET", "/", &[]);
        let page = page.map(|page| String::from_utf8_lossy(&page.body).into_owned());
        let order: Vec<String> = page
            .unwrap_or_default()
            .split("logs?id=")
            .skip(1)
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect())
            .collect();
        fields.insert("table".to_owned(), order.join(" "));
        Ok(fields)
    };
    let mut cases = Vec::new();
    for (name, limit, plan) in [
        ("keeps_latest", "3", "++++"),
        ("preserves_failures", "3", "+++---"),
        ("preserves_failures_longer", "3", "+++------"),
        ("preserves_failures_full", "3", "+++---------+++"),
        ("limit_one", "1", "-+-+"),
        ("limit_zero", "0", "+-"),
    ] {
        cases.push(
            Case::custom(format!("surface::history_{name}"), move |bench| {
                run(bench, limit, plan)
            })
            .server(Server::answering(ok("x"))),
        );
    }
    cases
}

fn reloads() -> Vec<Case> {
    let state = |fields: &mut Fields, process: &super::super::program::Process, step: &str| {
        let families = View::Families(&["blackbox_exporter_config_last_reload_successful"]);
        let answer = try_request(process.address, "GET", "/metrics", &[]);
        see(fields, &format!("{step} metrics: "), &answer, &families);
        let answer = try_request(process.address, "GET", "/config", &[]);
        let marks = View::Marks(&["first:", "second:", "timeout: 7s"]);
        see(fields, &format!("{step} config: "), &answer, &marks);
    };
    let reload = |fields: &mut Fields, process: &super::super::program::Process, step: &str| {
        let answer = try_request(process.address, "POST", "/-/reload", &[]);
        let marks = View::Marks(&["failed to reload config: error parsing config file: "]);
        see(fields, &format!("{step} reload: "), &answer, &marks);
    };
    vec![Case::custom("surface::reload", move |bench| {
        let mut fields = Fields::new();
        let process = bench.serve("modules: {first: {prober: http}}\n", &[])?;
        state(&mut fields, &process, "start");
        reload(&mut fields, &process, "same");
        state(&mut fields, &process, "same");
        bench.write(
            "own.yml",
            "modules: {second: {prober: http, timeout: 7s}}\n",
        );
        reload(&mut fields, &process, "new");
        state(&mut fields, &process, "new");
        bench.write("own.yml", "modules: {third: {prober: http, nope: 1}}\n");
        reload(&mut fields, &process, "bad");
        state(&mut fields, &process, "bad");
        bench.write("own.yml", "modules: {first: {prober: http}}\n");
        reload(&mut fields, &process, "good");
        state(&mut fields, &process, "good");
        Ok(fields)
    })]
}
