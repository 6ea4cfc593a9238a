//! Every mistake is named with its line, column and field, what was expected
//! and what was found. Each case is a file as somebody might write it, in
//! which one thing (or a few) went wrong.

use probity_engine::config::Files;
use probity_spec::File;

/// One file, `ca.pem`.
struct OneFile;

impl Files for OneFile {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "ca.pem" => Ok(b"certificates".to_vec()),
            _ => Err(format!("cannot read {path}: no such file or directory")),
        }
    }
}

fn check(cases: &[(&str, &str)]) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let text = text.trim_start_matches('\n');
        let found = match File::parse("f.yml", text, &OneFile) {
            Ok(_) => "(accepted)".to_owned(),
            Err(errors) => errors.to_string(),
        };
        if found != *expected {
            wrong += &format!("{text}\nexpected: {expected}\nfound:    {found}\n\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn the_file_as_a_whole() {
    check(&[
        ("", "f.yml: EOF: the file is empty"),
        ("# nothing\n", "f.yml: EOF: the file is empty"),
        (
            "- modules\n",
            "f.yml:1:1: expected a mapping with modules and jobs, found a list",
        ),
        (
            "modules\n",
            "f.yml:1:1: expected a mapping with modules and jobs, found a text",
        ),
        (
            "modules: {\n",
            "f.yml:1:10: not valid YAML: unclosed bracket '{'",
        ),
        (
            "modules:\n  a: 'b\n",
            "f.yml:2:6: not valid YAML: unclosed quote",
        ),
        (
            "modules:\n\ta: b\n",
            "f.yml:2:2: not valid YAML: tabs disallowed within this context (block indentation)",
        ),
        (
            "a: *b\n",
            "f.yml:1:4: not valid YAML: while parsing node, found unknown anchor",
        ),
        (
            "modules: {}\nmodules: {}\n",
            "f.yml:2:1: duplicate key `modules`, first in line 1",
        ),
        (
            "module: {}\n",
            "f.yml:1:1: field module not found, did you mean `modules`?",
        ),
        (
            "scrape_configs: []\n",
            "f.yml:1:1: field scrape_configs not found, expected one of modules, jobs",
        ),
        (
            "[a]: b\n",
            "f.yml:1:1: expected a text as key, found a list",
        ),
        (
            "modules: !x {}\n",
            "f.yml:1:13: modules: the tag !x means nothing here",
        ),
        (
            "modules: &m {a: *m}\n",
            "f.yml:1:17: modules.a: the alias stands inside of what it refers to",
        ),
        (
            "modules: []\njobs: {}\n",
            "f.yml:1:10: modules: expected a mapping of names to modules, found a list\nf.yml:2:7: jobs: expected a list of jobs, found a mapping",
        ),
        (
            "jobs:\n- &j {job_name: a}\n- <<: 7\n",
            "f.yml:2:6: jobs[0]: missing field `module`\nf.yml:3:3: jobs[1]: missing field `job_name`\nf.yml:3:7: jobs[1]: expected a mapping to merge, found \"7\"",
        ),
    ]);
}

#[test]
fn modules() {
    check(&[
        (
            "modules: {a: http}",
            "f.yml:1:14: modules.a: expected a module, found \"http\"",
        ),
        (
            "modules: {a: {prober: htpp}}",
            "f.yml:1:23: modules.a.prober: prober 'htpp' is not valid, did you mean `http`?",
        ),
        (
            "modules:\n  a:\n    prober: dns\n    dns: {query_name: x}\njobs:\n- {job_name: j, module: a}\n",
            "f.yml:6:25: jobs[0].module: the module \"a\" cannot be used: the prober \"dns\" of blackbox_exporter is not supported by this version, which has http, tcp, wasm",
        ),
        (
            "modules:\n  a:\n    probr: http\n",
            "f.yml:3:5: modules.a: field probr not found, did you mean `prober`?",
        ),
        (
            "modules: {a: {probr: http, timeout: 5, http: {method: GET}}}",
            "f.yml:1:15: modules.a: field probr not found, did you mean `prober`?",
        ),
        (
            "modules: {a: {prober: ftp, ftp: {}}}",
            "f.yml:1:23: modules.a.prober: prober 'ftp' is not valid, expected one of http, tcp, wasm, icmp, dns, grpc, unix, websocket",
        ),
        (
            "modules: {a: {prober: htpp, timout: 5s}}",
            "f.yml:1:29: modules.a: field timout not found, did you mean `timeout`?",
        ),
        (
            "modules: {a: {prober: htpp, http: {metod: GET}}}",
            "f.yml:1:36: modules.a.http: field metod not found, did you mean `method`?",
        ),
        (
            "modules: {a: {prober: htpp, timeout: 5}}",
            "f.yml:1:23: modules.a.prober: prober 'htpp' is not valid, did you mean `http`?",
        ),
        (
            "modules: {a: {timeout: soon, prober: htpp, http: {valid_status_codes: x}}}",
            "f.yml:1:38: modules.a.prober: prober 'htpp' is not valid, did you mean `http`?",
        ),
        (
            "modules: {a: {prober: tcp, timeout: 5, timout: 5s}}",
            "f.yml:1:40: modules.a: field timout not found, did you mean `timeout`?",
        ),
        (
            "modules: {a: {prober: tcp, tcp: {tls: maybe, query_respons: []}}}",
            "f.yml:1:46: modules.a.tcp: field query_respons not found, did you mean `query_response`?",
        ),
        (
            "modules: {a: {prober: [tcp]}}",
            "f.yml:1:23: modules.a.prober: expected a text, found a list",
        ),
        (
            "modules: {a: }\njobs: [{job_name: j, module: a}]\n",
            "f.yml:2:30: jobs[0].module: the module \"a\" cannot be used: Unknown prober \"\"",
        ),
        (
            "modules: {a: {prober: tcp, timeout: 5}}",
            "f.yml:1:37: modules.a.timeout: expected a duration such as 5s, 1m30s or 250ms, found \"5\"",
        ),
        (
            "modules: {a: {prober: tcp, timeout: 1d}}",
            "f.yml:1:37: modules.a.timeout: expected a duration such as 5s, 1m30s or 250ms, found \"1d\"",
        ),
        (
            "modules: {a.b: {prober: tcp, timout: 5s}}",
            "f.yml:1:30: modules.\"a.b\": field timout not found, did you mean `timeout`?",
        ),
        (
            "modules: {a: {prober: tcp, tcp: {tls: maybe}}}",
            "f.yml:1:39: modules.a.tcp.tls: expected true or false, found \"maybe\"",
        ),
        (
            "modules: {a: {prober: tcp, tcp: {tls: [true]}}}",
            "f.yml:1:39: modules.a.tcp.tls: expected true or false, found a list",
        ),
        (
            "modules: {a: {prober: tcp, tcp: {query_response: [{expects: x}]}}}",
            "f.yml:1:52: modules.a.tcp.query_response[0]: field expects not found, did you mean `expect`?",
        ),
        (
            "modules: {a: {prober: tcp, tcp: {source_ip_address: here}}}",
            "f.yml:1:53: modules.a.tcp.source_ip_address: expected an IP address, found \"here\"",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      valid_status_codes: [200, 2xx]
",
            "f.yml:5:33: modules.web.http.valid_status_codes[1]: expected an integer, found \"2xx\"",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      valid_status_codes:
        - 200
        - 99999999999999999999
",
            "f.yml:7:11: modules.web.http.valid_status_codes[1]: expected an integer, found 99999999999999999999",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      valid_status_codes: 200
",
            "f.yml:5:27: modules.web.http.valid_status_codes: expected a list, found a single value",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      basic_auth: user:s3cret
",
            "f.yml:5:19: modules.web.http.basic_auth: expected a mapping, found a single value",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      fail_if_body_matches_regexp:
        - ok
        - \":[\"
",
            "f.yml:7:11: modules.web.http.fail_if_body_matches_regexp[1]: \"Could not compile regular expression\" regexp=\":[\": missing closing ] of the character class at character 2",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      headers: {X-Ok: a, X-Bad: \"a\\nb\"}
",
            "f.yml:5:33: modules.web.http.headers.X-Bad: expected text without line breaks or other control characters",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      headers: {Host: a, host: b}
      headers: {}
",
            "f.yml:6:7: modules.web.http: duplicate key `headers`, first in line 5",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      fail_if_header_matches:
        - {header: A, regexp: b}
        - header: A
",
            "f.yml:7:11: modules.web.http.fail_if_header_matches[1].regexp: regexp must be set for HTTP header matchers",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      tls_config: {min_version: TLS14}
  other:
    prober: tcp
    tcp:
      tls_config: {cert_file: ca.pem}
",
            "f.yml:5:33: modules.web.http.tls_config.min_version: unknown TLS version: TLS14: expected TLS10, TLS11, TLS12 or TLS13\nf.yml:9:19: modules.other.tcp.tls_config.cert: exactly one of key or key_file must be configured when a client certificate is configured",
        ),
        (
            "
modules:
  web:
    prober: http
    http:
      basic_auth: {username: u, password: p, pasword_file: f}
",
            "f.yml:5:46: modules.web.http.basic_auth: field pasword_file not found, did you mean `password_file`?",
        ),
        (
            "
modules:
  base: &base
    prober: http
    http: &http
      method: GET /
  web:
    <<: *base
",
            "f.yml:5:15: modules.base.http.method: expected a method such as GET or POST, found \"GET /\"\nf.yml:5:15: modules.web.http.method: expected a method such as GET or POST, found \"GET /\"",
        ),
        (
            "
modules:
  smtp:
    prober: tcp
    tcp:
      tls: true
      query_response:
      - {expect: '^220', starttls: true}
  pop3:
    prober: tcp
    tcp:
      query_response:
      - expect: '[+'
",
            "f.yml:7:36: modules.smtp.tcp.query_response[0].starttls: tls: true has secured the connection before: expected one of the two\nf.yml:12:17: modules.pop3.tcp.query_response[0].expect: \"Could not compile regular expression\" regexp=\"[+\": missing closing ] of the character class at character 1",
        ),
        (
            "modules: {a: {prober: http, http: {body: !!binary '*'}}}",
            "f.yml:1:51: modules.a.http.body: expected base64: Invalid symbol 42, offset 0.",
        ),
    ]);
}

/// A file whose only job has `line` in its fourth line.
fn job(line: &str) -> String {
    format!("jobs:\n- job_name: a\n  module: tcp_connect\n  {line}\n")
}

fn check_jobs(cases: &[(&str, &str)]) {
    let texts: Vec<String> = cases.iter().map(|(line, _)| job(line)).collect();
    let cases: Vec<(&str, &str)> = texts
        .iter()
        .zip(cases)
        .map(|(text, (_, expected))| (text.as_str(), *expected))
        .collect();
    check(&cases);
}

#[test]
fn jobs() {
    check(&[
        (
            "jobs: [7]",
            "f.yml:1:8: jobs[0]: expected a mapping that describes a job, found a single value",
        ),
        ("jobs: [{}]", "f.yml:1:8: jobs[0]: missing field `job_name`"),
        (
            "jobs: [{job_name: a}]",
            "f.yml:1:8: jobs[0]: missing field `module`",
        ),
        (
            "jobs: [{job_name: '', module: tcp_connect}]",
            "f.yml:1:19: jobs[0].job_name: expected a name, found \"\"",
        ),
        (
            "jobs: [{job_name: a, module: tcp_conect}]",
            "f.yml:1:30: jobs[0].module: unknown module `tcp_conect`, did you mean `tcp_connect`?",
        ),
        (
            "modules: {}\njobs: [{job_name: a, module: tcp_connect}]",
            "f.yml:2:30: jobs[0].module: unknown module `tcp_connect`, there are none",
        ),
        (
            "modules: {a: {prober: x}}\njobs: [{job_name: a, module: a, interval: 0s}]",
            "f.yml:1:23: modules.a.prober: prober 'x' is not valid, expected one of http, tcp, wasm, icmp, dns, grpc, unix, websocket\nf.yml:2:43: jobs[0].interval: expected a duration from 1ms to 366d, found 0s",
        ),
        (
            "
jobs:
- {job_name: a, module: tcp_connect}
- {job_name: b, module: tcp_connect}
- {job_name: a, module: tcp_connect}
",
            "f.yml:4:14: jobs[2].job_name: expected a unique name, found \"a\", which is that of jobs[0]",
        ),
        (
            "
jobs:
- job_name: a
  module: tcp_connect
  interval: never
- job_name: b
  module: tcp_connect
  intervall: 5s
- job_name: c
  module: nothing_of_the_sort
  timeout: 5m
  success_threshold: 0
",
            "f.yml:4:13: jobs[0].interval: expected a duration such as 15s, 1m30s, 250ms or 1d, found \"never\"\nf.yml:7:3: jobs[1]: field intervall not found, did you mean `interval`?\nf.yml:9:11: jobs[2].module: unknown module `nothing_of_the_sort`, expected one of http_2xx, http_post_2xx, imap_starttls, irc_banner, pop3s_banner, smtp_starttls, ssh_banner, ssh_banner_extract, tcp_connect, tls_connect\nf.yml:10:12: jobs[2].timeout: expected at most the interval, 1m (the default), found 5m\nf.yml:11:22: jobs[2].success_threshold: expected an integer from 1 to 2147483647, found 0",
        ),
    ]);
}

#[test]
fn schedules() {
    check_jobs(&[
        (
            "interval: 15",
            "f.yml:4:13: jobs[0].interval: expected a duration such as 15s, 1m30s, 250ms or 1d, found \"15\"",
        ),
        (
            "interval: 0s",
            "f.yml:4:13: jobs[0].interval: expected a duration from 1ms to 366d, found 0s",
        ),
        (
            "interval: 2y",
            "f.yml:4:13: jobs[0].interval: expected a duration from 1ms to 366d, found 2y",
        ),
        (
            "interval: -5s",
            "f.yml:4:13: jobs[0].interval: expected a duration such as 15s, 1m30s, 250ms or 1d, found \"-5s\"",
        ),
        (
            "interval: [5s]",
            "f.yml:4:13: jobs[0].interval: expected a text, found a list",
        ),
        (
            "timeout: 61s",
            "f.yml:4:12: jobs[0].timeout: expected at most the interval, 1m (the default), found 1m1s",
        ),
        (
            "timeout: 0",
            "f.yml:4:12: jobs[0].timeout: expected a duration from 1ms to 366d, found 0s",
        ),
        (
            "{interval: 5s}",
            "f.yml:4:3: not valid YAML: simple key expected ':'",
        ),
        (
            "interval: 5s\n  timeout: 10s",
            "f.yml:5:12: jobs[0].timeout: expected at most the interval, 5s, found 10s",
        ),
        (
            "interval: 5s\n  timeoutSeconds: 10",
            "f.yml:5:19: jobs[0].timeoutSeconds: expected at most the interval, 5s, found 10s",
        ),
        (
            "interval: 5s\n  periodSeconds: 5",
            "f.yml:5:18: jobs[0].periodSeconds: expected one of interval and periodSeconds, found both",
        ),
        (
            "periodSeconds: 5s",
            "f.yml:4:18: jobs[0].periodSeconds: expected an integer from 0 to 31622400, found \"5s\"",
        ),
        (
            "periodSeconds: -1",
            "f.yml:4:18: jobs[0].periodSeconds: expected an integer from 0 to 31622400, found -1",
        ),
        (
            "timeoutSeconds: 1.5",
            "f.yml:4:19: jobs[0].timeoutSeconds: expected an integer from 0 to 31622400, found \"1.5\"",
        ),
        (
            "initial_delay: 2y",
            "f.yml:4:18: jobs[0].initial_delay: expected a duration from 0s to 366d, found 2y",
        ),
        (
            "initial_delay: 1s\n  initialDelaySeconds: 1",
            "f.yml:5:24: jobs[0].initialDelaySeconds: expected one of initial_delay and initialDelaySeconds, found both",
        ),
        (
            "success_threshold: 0",
            "f.yml:4:22: jobs[0].success_threshold: expected an integer from 1 to 2147483647, found 0",
        ),
        (
            "failure_threshold: many",
            "f.yml:4:22: jobs[0].failure_threshold: expected an integer from 1 to 2147483647, found \"many\"",
        ),
        (
            "failure_threshold: 3\n  failureThreshold: 3",
            "f.yml:5:21: jobs[0].failureThreshold: expected one of failure_threshold and failureThreshold, found both",
        ),
        (
            "failureThreshold: 5000000000",
            "f.yml:4:21: jobs[0].failureThreshold: expected an integer from 0 to 2147483647, found 5000000000",
        ),
        (
            "initialDelaySeconds: 31622401",
            "f.yml:4:24: jobs[0].initialDelaySeconds: expected an integer from 0 to 31622400, found 31622401",
        ),
        (
            "metrics: minimal\n  classic_buckets: true",
            "f.yml:5:20: jobs[0].classic_buckets: expected one of classic_buckets and metrics: minimal, which leaves histograms out, found both: drop classic_buckets for few series, or metrics for histograms",
        ),
        (
            "classic_buckets: [1, 2]\n  metrics: minimal",
            "f.yml:4:20: jobs[0].classic_buckets: expected one of classic_buckets and metrics: minimal, which leaves histograms out, found both: drop classic_buckets for few series, or metrics for histograms",
        ),
        (
            "initialDelay: 5s",
            "f.yml:4:3: jobs[0]: field initialDelay not found, did you mean `initial_delay`?",
        ),
    ]);
}

#[test]
fn targets() {
    check_jobs(&[
        (
            "static_configs: {targets: []}",
            "f.yml:4:19: jobs[0].static_configs: expected a list, found a mapping",
        ),
        (
            "static_configs: [a:1]",
            "f.yml:4:20: jobs[0].static_configs[0]: expected a mapping of targets and labels, found a single value",
        ),
        (
            "static_configs: [{target: ['a:1']}]",
            "f.yml:4:21: jobs[0].static_configs[0]: field target not found, did you mean `targets`?",
        ),
        (
            "static_configs: [{targets: 'a:1'}]",
            "f.yml:4:30: jobs[0].static_configs[0].targets: expected a list, found a single value",
        ),
        (
            "static_configs: [{targets: ['a:1', ' ', b]}]",
            "f.yml:4:38: jobs[0].static_configs[0].targets[1]: expected a target, found \" \"\nf.yml:4:43: jobs[0].static_configs[0].targets[2]: expected host:port (an IPv6 address in brackets), found \"b\": no port",
        ),
        (
            "static_configs: [{targets: [{a: 1}]}]",
            "f.yml:4:31: jobs[0].static_configs[0].targets[0]: expected a text, found a mapping",
        ),
        (
            "static_configs: [{targets: [\"a\\tb:1\"]}]",
            "f.yml:4:31: jobs[0].static_configs[0].targets[0]: expected at most 8192 bytes without control characters, found \"a\\tb:1\"",
        ),
        (
            "static_configs: [{labels: {a-b: x}}]",
            "f.yml:4:35: jobs[0].static_configs[0].labels.a-b: expected a label name of letters, digits and _, not beginning with a digit",
        ),
        (
            "static_configs: [{labels: {le: x, ok: y}}]",
            "f.yml:4:34: jobs[0].static_configs[0].labels.le: the label is used by the series themselves, choose another name",
        ),
        (
            "static_configs: [{labels: {a: [x]}}]",
            "f.yml:4:33: jobs[0].static_configs[0].labels.a: expected a text, found a list",
        ),
        (
            "static_configs: [{targets: ['a:1', 'b:1'], labels: {instance: x}}]",
            "f.yml:4:38: jobs[0].static_configs[0].targets[1]: the labels are those of the target \"a:1\" of jobs[0]: their series could not be told apart",
        ),
        (
            "file_sd_configs: [{files: []}]",
            "f.yml:4:29: jobs[0].file_sd_configs[0].files: expected at least one path",
        ),
        (
            "file_sd_configs: [{files: [a.json, a.txt, 'b/*/c.yml']}]",
            "f.yml:4:38: jobs[0].file_sd_configs[0].files[1]: expected a path that ends in .json, .yml or .yaml, found \"a.txt\"\nf.yml:4:45: jobs[0].file_sd_configs[0].files[2]: expected * and ? in the last part of the path only, found \"b/*/c.yml\"",
        ),
        (
            "file_sd_configs: [{files: [a.json], refresh_interval: 10ms}]",
            "f.yml:4:57: jobs[0].file_sd_configs[0].refresh_interval: expected at least 1s, found 10ms",
        ),
        (
            "file_sd_configs: [{files: [a.json], refresh: 5m}]",
            "f.yml:4:39: jobs[0].file_sd_configs[0]: field refresh not found, expected one of files, refresh_interval",
        ),
        (
            "metrics: ful",
            "f.yml:4:12: jobs[0].metrics: unknown value `ful`, did you mean `full`?",
        ),
        (
            "metrics: [full]",
            "f.yml:4:12: jobs[0].metrics: expected one of full, minimal, found a list",
        ),
        (
            "classic_buckets: 5",
            "f.yml:4:20: jobs[0].classic_buckets: expected a list of seconds, or true, found 5",
        ),
        (
            "classic_buckets: []",
            "f.yml:4:20: jobs[0].classic_buckets: expected 1 to 64 bounds, found 0",
        ),
        (
            "classic_buckets: [0.1, 0.1, -1, .inf]",
            "f.yml:4:26: jobs[0].classic_buckets[1]: expected a number of seconds above 0.1, found 0.1\nf.yml:4:31: jobs[0].classic_buckets[2]: expected a number of seconds above 0.1, found -1\nf.yml:4:35: jobs[0].classic_buckets[3]: expected a number of seconds above 0.1, found inf",
        ),
        (
            "classic_buckets: [x]",
            "f.yml:4:21: jobs[0].classic_buckets[0]: expected a number, found \"x\"",
        ),
        (
            "classic_buckets: [.nan]",
            "f.yml:4:20: jobs[0].classic_buckets: expected numbers of seconds, found .nan",
        ),
        (
            "relabel_configs: []",
            "f.yml:4:3: jobs[0]: field relabel_configs not found, expected one of job_name, module, interval, timeout, initial_delay, success_threshold, failure_threshold, static_configs, file_sd_configs, metrics, classic_buckets, periodSeconds, timeoutSeconds, initialDelaySeconds, successThreshold, failureThreshold",
        ),
    ]);
}

#[test]
fn not_text() {
    struct Binary;
    impl Files for Binary {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            match path {
                "f.yml" => Ok(b"modules:\n  \xc3\xa9\xff: {}\n".to_vec()),
                _ => Err(format!("cannot read {path}: permission denied")),
            }
        }
    }
    let refused = |path| File::load(path, &Binary).unwrap_err().to_string();
    assert_eq!(
        refused("f.yml"),
        "error parsing config file: f.yml:2:4: expected UTF-8, found the byte 0xff"
    );
    assert_eq!(
        refused("g.yml"),
        "error reading config file: g.yml: cannot read it: permission denied"
    );
}
