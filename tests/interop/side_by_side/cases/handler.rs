//! `/probe` itself: its parameters, its errors in their order, its timeouts,
//! its formats.

use std::time::Duration;

use super::super::case::{Case, Request};
use super::super::server::{Server, Step, Tls};
use super::super::view::View;
use super::{module, ok};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = errors();
    cases.extend(parameters());
    cases.extend(timeouts());
    cases.extend(formats());
    cases.extend(debug());
    cases
}

/// One request for a path, with a module and a server that are there if they
/// are asked for.
fn ask(name: &str, path: &str) -> Case {
    Case::requests(
        format!("handler::{name}"),
        vec![Request::get(path, View::Metrics)],
    )
    .module(&module(""))
    .server(Server::answering(ok("x")))
}

const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

fn errors() -> Vec<Case> {
    let bad_timeout = |request: Request| request.header(TIMEOUT, "soon");
    let hosts = "headers: {Host: a.test}";
    vec![
        ask("no_target", "/probe?module=@module@"),
        ask("empty_target", "/probe?module=@module@&target="),
        ask("unknown_module", "/probe?module=nonsense&target=x"),
        ask("unknown_module_without_target", "/probe?module=nonsense"),
        ask(
            "unknown_module_quoted",
            "/probe?module=a%22b%0A%C3%A4&target=x",
        ),
        ask(
            "unknown_module_and_timeout",
            "/probe?module=nonsense&target=x",
        )
        .request(bad_timeout),
        ask("no_target_and_timeout", "/probe?module=@module@").request(bad_timeout),
        ask("default_module", "/probe?target=http://@server@/"),
        ask("nothing", "/probe"),
        ask(
            "timeout_words",
            "/probe?module=@module@&target=http://@server@/",
        )
        .request(bad_timeout),
        ask(
            "host_twice",
            "/probe?module=@module@&target=http://@server@/&hostname=b.test",
        )
        .module(&module(hosts)),
        ask(
            "host_twice_same",
            "/probe?module=@module@&target=http://@server@/&hostname=a.test",
        )
        .module(&module(hosts)),
        ask(
            "host_twice_without_target",
            "/probe?module=@module@&hostname=b.test",
        )
        .module(&module(hosts)),
        ask(
            "host_twice_and_bad_target",
            "/probe?module=@module@&target=http://%5B::1&hostname=b.test",
        )
        .module(&module(hosts)),
        ask(
            "host_twice_small_letters",
            "/probe?module=@module@&target=http://@server@/&hostname=b.test",
        )
        .module(&module("headers: {host: a.test}")),
        ask(
            "debug_of_unknown_module",
            "/probe?module=nonsense&target=x&debug=true",
        ),
    ]
}

fn parameters() -> Vec<Case> {
    let url = "http://@server@/";
    let mut cases = vec![
        ask(
            "hostname",
            "/probe?module=@module@&target=http://@server@/&hostname=foo.test",
        ),
        ask(
            "hostname_empty",
            "/probe?module=@module@&target=http://@server@/&hostname=",
        ),
        ask(
            "hostname_odd",
            "/probe?module=@module@&target=http://@server@/&hostname=a%20b",
        ),
        ask(
            "target_twice",
            "/probe?module=@module@&target=http://@server@/one&target=http://@server@/two",
        ),
        ask(
            "module_twice",
            "/probe?module=@module@&module=nonsense&target=http://@server@/",
        ),
        ask(
            "semicolon",
            "/probe?module=@module@;target=http://@server@/",
        ),
        ask(
            "semicolon_in_another",
            "/probe?a=b;c&module=@module@&target=http://@server@/",
        ),
        ask(
            "bad_escape_in_another",
            "/probe?a=%zz&module=@module@&target=http://@server@/",
        ),
        ask(
            "bad_escape_in_target",
            "/probe?module=@module@&target=http://@server@/%zz",
        ),
        ask(
            "plus_in_target",
            "/probe?module=@module@&target=http://@server@/a+b",
        ),
        ask(
            "parameter_in_capitals",
            "/probe?Module=@module@&Target=http://@server@/",
        ),
        ask(
            "unknown_parameter",
            "/probe?module=@module@&target=http://@server@/&more=1",
        ),
        ask(
            "fragment",
            "/probe?module=@module@&target=http://@server@/%23part",
        ),
        ask(
            "slash_after",
            "/probe/?module=@module@&target=http://@server@/",
        ),
    ];
    // Decoded once by the query, and once more.
    for (name, target) in [
        ("plain", url),
        ("colon_twice", "http://127.0.0.1%253A@server-port@"),
        ("path_once", "http://@server@/api/v1%3Alatest"),
        ("path_twice", "http://@server@/api/v1%253Alatest"),
        ("path_thrice", "http://@server@/api/v1%25253Alatest"),
        ("all", "http%3A%2F%2F@server@%2Fpath"),
        ("percent", "http://@server@/100%25"),
        ("percent_twice", "http://@server@/100%2525"),
        ("plus", "http://@server@/?a=1%2B2"),
        ("plus_twice", "http://@server@/?a=1%252B2"),
        ("space", "http://@server@/a%2520b"),
        ("ampersand", "http://@server@/?a=b%26c=d"),
    ] {
        cases.push(ask(
            &format!("decoded_{name}"),
            &format!("/probe?module=@module@&target={target}"),
        ));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        cases.push(
            ask(
                &format!("method_{}", method.to_ascii_lowercase()),
                "/probe?module=@module@&target=http://@server@/",
            )
            .request(|request| request.method(method)),
        );
    }
    cases.push(
        ask(
            "method_head",
            "/probe?module=@module@&target=http://@server@/",
        )
        .request(|request| request.method("HEAD").view(View::Status)),
    );
    cases
}

fn timeouts() -> Vec<Case> {
    let slow = || {
        Server::steps(vec![
            Step::Request,
            Step::Pause(Duration::from_millis(1500)),
            Step::Send(ok("late")),
        ])
    };
    let case = |name: &str, timeout: &str, header: &str, server: Server| {
        Case::probe(
            format!("handler::timeout_{name}"),
            format!("{{prober: http{timeout}}}"),
            "http://@server@/",
        )
        .server(server)
        .request(|request| request.header(TIMEOUT, header))
    };
    let quick = || Server::answering(ok("x"));
    vec![
        case("of_scrape", ", timeout: 10s", "1", slow()),
        case("of_module", ", timeout: 500ms", "10", slow()),
        case("only_scrape", "", "1", slow()),
        case("enough", "", "10", quick()),
        case("below_offset", "", "0.3", quick()),
        case("below_offset_with_module", ", timeout: 5s", "0.3", quick()),
        case("at_offset", "", "0.5", quick()),
        case("zero", "", "0", quick()),
        case("negative", ", timeout: 5s", "-1", quick()),
        case("negative_without_module", "", "-1", quick()),
        case("empty", "", "", quick()),
        case("exponent", "", "1e1", quick()),
        case("hexadecimal", "", "0x10p0", quick()),
        case("underscore", "", "1_0", quick()),
        case("infinite", ", timeout: 5s", "+Inf", quick()),
        case("nan", ", timeout: 5s", "NaN", quick()),
        case("huge", "", "1e300", quick()),
        case("with_unit", "", "10s", quick()),
        case("with_space", "", "1 0", quick()),
        case("comma", "", "1,5", quick()),
        case("of_module_zero", ", timeout: 0s", "10", quick()),
        case("of_module_negative", ", timeout: -5s", "10", quick()),
        case("of_module_tiny", ", timeout: 1ns", "10", quick()),
        with_offset("offset_zero", "--timeout-offset=0", "1", slow()),
        with_offset("offset_large", "--timeout-offset=9.5", "10", slow()),
        with_offset("offset_negative", "--timeout-offset=-1", "1", quick()),
        with_offset("offset_words", "--timeout-offset=much", "1", quick()),
    ]
}

fn with_offset(name: &str, flag: &str, header: &str, server: Server) -> Case {
    Case::probe(
        format!("handler::timeout_{name}"),
        "{prober: http}",
        "http://@server@/",
    )
    .server(server)
    .request(|request| request.header(TIMEOUT, header))
    .flags(&[flag])
}

fn formats() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, accept) in [
        ("none", ""),
        ("any", "*/*"),
        ("text", "text/plain"),
        ("text_version", "text/plain;version=0.0.4"),
        ("openmetrics", "application/openmetrics-text;version=1.0.0"),
        (
            "openmetrics_first",
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        ),
        (
            "text_1_0_0",
            "text/plain;version=1.0.0;escaping=allow-utf-8",
        ),
        (
            "escaping_values",
            "text/plain;version=0.0.4;escaping=values",
        ),
        ("escaping_dots", "text/plain;version=0.0.4;escaping=dots"),
        ("json", "application/json"),
        ("html", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ] {
        cases.push(
            ask(
                &format!("accept_{name}"),
                "/probe?module=@module@&target=http://@server@/",
            )
            .request(|request| request.header("Accept", accept)),
        );
    }
    let proto = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    cases.push(
        ask(
            "accept_protobuf",
            "/probe?module=@module@&target=http://@server@/",
        )
        .request(|request| request.header("Accept", proto).view(View::Status)),
    );
    cases.push(
        ask(
            "accept_encoding_gzip",
            "/probe?module=@module@&target=http://@server@/",
        )
        .request(|request| request.header("Accept-Encoding", "gzip").view(View::Status)),
    );
    cases.push(
        ask(
            "accept_encoding_gzip_refused",
            "/probe?module=@module@&target=http://@server@/",
        )
        .request(|request| request.header("Accept-Encoding", "gzip;q=0")),
    );
    cases
}

fn debug() -> Vec<Case> {
    let marks = &[
        "Logs for the probe:\n",
        "Metrics that would have been returned:\n",
        "Module configuration:\n",
        "probe_success 1",
        "probe_success 0",
        "<secret>",
        "a-secret",
        "prober: http",
        "prober: tcp",
        "level=INFO",
        "level=ERROR",
        "level=DEBUG",
        "server_name: foo.test",
        "Host: foo.test",
        "# HELP probe_duration_seconds",
    ];
    let debug = |name: &str, module: &str, target: &str, server: Server| {
        Case::probe(format!("handler::debug_{name}"), module, target)
            .server(server)
            .request(|request| request.query("&debug=true").view(View::Marks(marks)))
    };
    let plain = || Server::answering(ok("x"));
    vec![
        debug("plain", &module(""), "http://@server@/", plain()),
        debug("failed", &module("valid_status_codes: [404]"), "http://@server@/", plain()),
        debug("bearer", &module("bearer_token: a-secret"), "http://@server@/", plain()),
        debug("basic_auth", &module("basic_auth: {username: u, password: a-secret}"), "http://@server@/", plain()),
        debug("http_headers", &module("http_headers: {X: {secrets: [a-secret]}}"), "http://@server@/", plain()),
        debug("headers_are_no_secrets", &module("headers: {X: a-secret}"), "http://@server@/", plain()),
        debug("oauth2", &module("oauth2: {client_id: a, client_secret: a-secret, token_url: 'http://127.0.0.1:1/'}"), "http://@server@/", plain()),
        debug("hostname", &module(""), "http://@server@/", plain())
            .request(|request| request.query("&hostname=foo.test")),
        debug(
            "tcp_hostname",
            "{prober: tcp, timeout: 20s, tcp: {tls: true, tls_config: {insecure_skip_verify: true}}}",
            "@server@",
            Server::steps(Vec::new()).tls(Tls::with("good")),
        )
        .request(|request| request.query("&hostname=foo.test")),
        debug("unparsable", &module(""), "http://[::1", plain()),
        debug("not_true", &module(""), "http://@server@/", plain())
            .request(|mut request| {
                request.path = "/probe?module=@module@&debug=1".to_owned();
                request.view(View::Metrics)
            }),
        debug("logs_debug_level", &module(""), "http://@server@/", plain())
            .flags(&["--log.prober=debug"]),
        debug("logs_error_level", &module("valid_status_codes: [404]"), "http://@server@/", plain())
            .flags(&["--log.prober=error"]),
        debug("logs_odd_level", &module(""), "http://@server@/", plain())
            .flags(&["--log.prober=nonsense"]),
    ]
}
