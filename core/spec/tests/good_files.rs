//! What people write and what becomes of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::http::Claim;
use probity_engine::check::{CheckSpec, Module, TargetParams};
use probity_engine::config::{Files, NoFiles, RsaAlgorithm, Signer, Stamp};
use probity_engine::threshold;
use probity_engine::tls::TlsOptions;
use probity_spec::{DEFAULT, File, Fleet, Groups, Job, Metrics};
use serde_json::json;

fn parse(text: &str) -> File {
    File::parse("f.yml", text, &NoFiles).unwrap_or_else(|errors| panic!("{errors}"))
}

fn job(lines: &str) -> Job {
    let file = parse(&format!(
        "jobs:\n- job_name: a\n  module: tcp_connect\n{lines}"
    ));
    file.jobs()[0].clone()
}

#[test]
fn a_plain_blackbox_file_loads_and_has_its_own_modules_only() {
    let file = parse(
        "
modules:
  ok:
    prober: http
    timeout: 5s
    http:
      valid_status_codes: [200, 204.0, 0x12d]
      method: GET
      headers: {X-Number: 1, X-Bool: yes, X-Null: }
      fail_if_ssl: off
      preferred_ip_protocol: \"ip4\"
      tls_config: ~
  db:
    prober: tcp
    tcp: {tls: yes}
    http:
---
ignored: the second document
",
    );
    let names: Vec<&str> = file.modules().map(|(name, _)| name).collect();
    assert_eq!(names, ["db", "ok"]);
    let ok = file.module("ok").unwrap();
    assert_eq!(ok.timeout(), Some(Duration::from_secs(5)));
    let http = ok.config().http.as_ref().unwrap();
    assert_eq!(http.valid_status_codes, [200, 204, 301]);
    let headers: Vec<(&str, &str)> = http
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), str::from_utf8(value.as_slice()).unwrap()))
        .collect();
    assert_eq!(
        headers,
        [("X-Bool", "yes"), ("X-Null", ""), ("X-Number", "1")]
    );
    assert!(matches!(
        file.module("db").unwrap().module().unwrap(),
        Module::Tcp(_)
    ));
    assert!(
        file.module("db")
            .unwrap()
            .config()
            .tcp
            .as_ref()
            .unwrap()
            .tls
    );
    assert!(file.module("http_2xx").is_none());
}

#[test]
fn without_modules_the_usual_ones_are_there() {
    for text in ["{}", "jobs: []", "jobs:"] {
        assert_eq!(parse(text).modules().count(), 10, "{text}");
    }
    for text in ["modules: {}", "modules:\njobs:\n"] {
        assert_eq!(parse(text).modules().count(), 0, "{text}");
    }
}

#[test]
fn json_is_a_subset() {
    let file = parse(
        "{\n\t\"modules\": {\"m\": {\"prober\": \"tcp\", \"timeout\": \"1s\"}},\n\t\"jobs\": [\n\t\t{\"job_name\": \"a\", \"module\": \"m\", \"periodSeconds\": 5,\n\t\t\"static_configs\": [{\"targets\": [\"a:1\", \"b\\u003a2\"]}]}\n\t]\n}\n",
    );
    let targets = file.jobs()[0].groups()[0].targets.iter();
    assert!(targets.map(|it| &**it).eq(["a:1", "b:2"]));
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let file = parse(
        "
modules:
  base: &base
    prober: http
    timeout: 3s
    http: &http
      method: HEAD
      fail_if_ssl: true
  derived:
    <<: *base
    timeout: 4s
    http:
      <<: [{method: PUT}, *http]
      fail_if_ssl: false
jobs:
- &job
  job_name: a
  module: derived
  static_configs: &targets [{targets: [http://a/]}]
- <<: *job
  job_name: b
",
    );
    let derived = file.module("derived").unwrap();
    assert_eq!(derived.timeout(), Some(Duration::from_secs(4)));
    let http = derived.config().http.as_ref().unwrap();
    assert_eq!((http.method.as_str(), http.fail_if_ssl), ("PUT", false));
    assert_eq!(file.jobs()[1].groups(), file.jobs()[0].groups());
    assert_eq!(file.jobs()[1].name(), "b");
}

#[test]
fn a_job_that_says_nothing_has_the_defaults() {
    let job = job("");
    assert_eq!(job.schedule().period(), Duration::from_secs(60));
    assert_eq!(job.schedule().timeout(), Duration::from_secs(10));
    assert_eq!(job.schedule().initial_delay(), Duration::ZERO);
    assert_eq!(job.threshold(), threshold::Config::default());
    assert_eq!(job.metrics(), Metrics::Full);
    assert_eq!(job.classic_buckets(), None);
    assert!(job.groups().is_empty() && job.files().is_empty());
}

#[test]
fn both_vocabularies_say_the_same() {
    let own = job(
        "  interval: 15s\n  timeout: 5s\n  initial_delay: 2s\n  success_threshold: 2\n  failure_threshold: 4\n",
    );
    let kube = job(
        "  periodSeconds: 15\n  timeoutSeconds: 5\n  initialDelaySeconds: 2\n  successThreshold: 2\n  failureThreshold: 4\n",
    );
    assert_eq!(own, kube);
    assert_eq!(own.schedule().period(), Duration::from_secs(15));
    assert_eq!(
        (own.threshold().success(), own.threshold().failure()),
        (2, 4)
    );
    let zeros = "  periodSeconds: 0\n  timeoutSeconds: 0\n  initialDelaySeconds: 0\n  successThreshold: 0\n  failureThreshold: 0\n";
    assert_eq!(
        job(zeros),
        job(""),
        "0 is the default in the Kubernetes API"
    );
}

#[test]
fn the_timeout_is_the_jobs_or_the_modules_but_never_beyond_the_interval() {
    for (module, job, expected) in [
        ("", "interval: 5s", 5),
        ("", "interval: 15s", 10),
        ("timeout: 3s", "interval: 5s", 3),
        ("timeout: 0", "interval: 5s", 5),
        ("timeout: 8s", "interval: 5s", 5),
        ("timeout: 20s", "interval: 30s", 20),
        ("timeout: 3s", "timeout: 4s", 4),
    ] {
        let text = format!(
            "modules: {{m: {{prober: tcp, {module}}}}}\njobs: [{{job_name: a, module: m, {job}}}]"
        );
        assert_eq!(
            parse(&text).jobs()[0].schedule().timeout(),
            Duration::from_secs(expected),
            "{text}"
        );
    }
}

#[test]
fn files_and_buckets() {
    let few = job("  metrics: minimal\n  classic_buckets: false\n");
    assert_eq!(few.metrics(), Metrics::Minimal);
    assert_eq!(few.classic_buckets(), None);
    let job = job(
        "  metrics: full\n  classic_buckets: [0.1, 1, 2.5e0]\n  file_sd_configs:\n  - files: [a.json, 'b/*.yml']\n    refresh_interval: 1h\n  - files: [c.yaml]\n",
    );
    assert_eq!(job.metrics(), Metrics::Full);
    assert_eq!(job.classic_buckets(), Some([0.1, 1.0, 2.5].as_slice()));
    assert_eq!(job.files()[0].refresh_interval, Duration::from_secs(3600));
    assert_eq!(job.files()[0].patterns[1].as_str(), "b/*.yml");
    assert_eq!(
        job.files()[1].refresh_interval,
        Job::DEFAULT_REFRESH_INTERVAL
    );
    let buckets = |value: &str| {
        self::job(&format!("  classic_buckets: {value}\n"))
            .classic_buckets()
            .map(<[f64]>::to_vec)
    };
    assert_eq!(buckets("true").as_deref(), Some(Job::DEFAULT_BUCKETS));
    assert_eq!(buckets("false"), None);
    assert_eq!(buckets(""), None);
}

#[test]
fn labels_are_those_of_prometheus() {
    let file = parse(
        "
jobs:
- job_name: web
  module: tcp_connect
  static_configs:
  - targets: ['b:1', 'a:1', 'b:1']
    labels: {zone: 7, empty: ''}
  - targets: ['b:1']
  - targets: ['c:1']
    labels: {instance: chosen, job: other}
  - targets: ['b:1']
    labels: {zone: 7}
",
    );
    let fleet = Fleet::build(file.jobs(), &BTreeMap::new(), &mut Groups::default());
    let shown: Vec<String> = fleet
        .targets
        .iter()
        .map(|target| {
            let labels: Vec<String> = target
                .labels
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            format!("{} {}", target.name, labels.join(","))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "b:1 instance=b:1,job=web,zone=7",
            "a:1 instance=a:1,job=web,zone=7",
            "b:1 instance=b:1,job=web",
            "c:1 instance=chosen,job=other",
        ]
    );
    assert!(fleet.dropped.is_empty());
    assert_eq!(fleet.targets[0].label("zone"), Some("7"));
    assert_eq!(fleet.targets[0].label("empty"), None);
}

#[test]
fn what_is_rendered_parses_to_the_same_and_hides_secrets() {
    let text = "
modules:
  m:
    prober: http
    timeout: 90s
    http:
      basic_auth: {username: 'no', password: hunter2}
      headers: {X-A: 'true', X-B: '007', X-C: \"a: 'b' # c\", Authorization: hunter2, X-Api-Key: hunter2}
      body: |
        two
        lines
  n: {prober: tcp}
  o:
    prober: tcp
    tcp:
      query_response:
      - {expect: '^\\+OK (?P<who>.*)$', labels: [{name: who, value: $who}], send: \"QUIT\\r\"}
      - {expect_bytes: !!binary /wD+, send_bytes: !!binary AAECgA==, starttls: true}
      - {expect: ''}
  p:
    prober: http
    http: {oauth2: {client_id: a, token_url: 'http://t/', claims: {a: .nan, b: [-.inf, 1.5], c: 2026-01-02, d: '1'}}}
jobs:
- job_name: 'on'
  module: m
  interval: 2m
  classic_buckets: [0.5, 1]
  static_configs: [{targets: ['http://a/'], labels: {shard: '0x1', note: '- x'}}]
  file_sd_configs: [{files: ['*.yml']}]
- {job_name: b, module: n, initial_delay: 1500ms, metrics: minimal}
";
    let file = parse(text);
    let rendered = file.render().unwrap();
    assert!(
        !rendered.contains("hunter2") && rendered.contains("<secret>"),
        "{rendered}"
    );
    let again = File::parse("rendered", &rendered, &NoFiles)
        .unwrap_or_else(|errors| panic!("{errors}\n{rendered}"));
    assert_eq!(again.render().unwrap(), rendered);
    let secret = text.replace("hunter2", "<secret>");
    assert_eq!(again.jobs(), parse(&secret).jobs(), "{rendered}");
    assert_eq!(claims(&again, "p"), claims(&file, "p"), "{rendered}");
    let dialogue = |file: &File| {
        let module = file.module("o").unwrap().config().tcp.clone();
        module.unwrap().query_response
    };
    assert_eq!(dialogue(&again), dialogue(&file), "{rendered}");
    let [first, second, third] = &dialogue(&file)[..] else {
        panic!("there are three");
    };
    assert_eq!(first.send.as_slice(), b"QUIT\r");
    assert_eq!(first.labels[0].value.as_slice(), b"$who");
    assert_eq!(second.expect_bytes.as_slice(), b"\xff\x00\xfe");
    assert_eq!(second.send_bytes.as_slice(), b"\x00\x01\x02\x80");
    assert!(second.starttls && second.expect.is_none());
    assert_eq!(third.expect.as_ref().unwrap().source(), "");
    assert!(
        rendered.contains("interval: 2m\n") && rendered.contains("initial_delay: 1s500ms\n"),
        "{rendered}"
    );
    assert!(parse(DEFAULT).render().unwrap().contains("http_2xx"));
}

/// What blackbox_exporter shows of the same, but for `dns`, which it shows
/// without the name that it asks for.
#[test]
fn defaults_and_newer_names_are_shown() {
    let text = "
modules:
  a: {prober: http, timeout: 0s, http: {no_follow_redirects: true, bearer_token: hush}}
  b: {prober: tcp, timeout: -5s, http: {bearer_token_file: t, tls_config: {server_name: x}}}
  c: {prober: http, http: {authorization: {type: ' ', credentials: hush}}}
";
    let file = parse(text);
    let expected = "\
modules:
  a:
    prober: http
    http:
      ip_protocol_fallback: true
      follow_redirects: false
      enable_http2: true
      authorization:
        type: Bearer
        credentials: <secret>
    tcp:
      ip_protocol_fallback: true
    icmp:
      ip_protocol_fallback: true
      ttl: 64
  b:
    prober: tcp
    timeout: -5s
    http:
      ip_protocol_fallback: true
      follow_redirects: true
      enable_http2: true
      authorization:
        type: Bearer
        credentials_file: t
      tls_config:
        server_name: x
        insecure_skip_verify: false
    tcp:
      ip_protocol_fallback: true
    icmp:
      ip_protocol_fallback: true
      ttl: 64
  c:
    prober: http
    http:
      ip_protocol_fallback: true
      follow_redirects: true
      enable_http2: true
      authorization:
        type: Bearer
        credentials: <secret>
    tcp:
      ip_protocol_fallback: true
    icmp:
      ip_protocol_fallback: true
      ttl: 64
";
    assert_eq!(file.render().unwrap(), expected);
    assert_eq!(parse(expected).render().unwrap(), expected);
}

/// A file that is not there.
const GONE: &str = "cannot read gone.pem: no such file or directory";

struct Gone;

impl Files for Gone {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "gone.pem" => Err(GONE.to_owned()),
            _ => Ok(b"now it is there".to_vec()),
        }
    }
}

#[test]
fn a_module_without_its_file_loads_and_waits_for_it() {
    let text = "\
modules:
  web:
    prober: http
    http: {tls_config: {ca_file: gone.pem}, bearer_token_file: token}
  unused:
    prober: tcp
    http: {tls_config: {ca_file: gone.pem}}
jobs:
- {job_name: j, module: web, static_configs: [{targets: [a.example]}]}
";
    let mut file = File::parse("f.yml", text, &Gone).unwrap();
    let warnings: Vec<String> = file.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [format!(
            "f.yml:4:34: modules.web.http.tls_config.ca_file: {GONE}"
        )]
    );
    assert!(matches!(
        file.module("web").unwrap().module(),
        Some(Module::Unready(_))
    ));
    assert_eq!(file.module("web").unwrap().files(), ["gone.pem"]);
    assert!(matches!(file.jobs()[0].module(), Module::Unready(_)));

    struct Back;
    impl Files for Back {
        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Ok(b"now it is there".to_vec())
        }
    }
    file.refresh("web", &Back).unwrap();
    assert!(matches!(
        file.module("web").unwrap().module(),
        Some(Module::Http(_))
    ));
    assert!(matches!(file.jobs()[0].module(), Module::Http(_)));
    assert_eq!(file.module("web").unwrap().files(), ["gone.pem", "token"]);
    let error = file.refresh("web", &Gone).unwrap_err();
    assert_eq!(error.field, "http.tls_config.ca_file");
    assert!(matches!(file.jobs()[0].module(), Module::Unready(_)));
}

/// What others are made from has to stand somewhere, and no other key may.
#[test]
fn a_module_without_a_prober_is_rejected_alone() {
    let text = "\
modules:
  usual: &usual {timeout: 3s}
  empty: {}
  web: {<<: *usual, prober: http}
";
    let file = File::parse("f.yml", text, &NoFiles).unwrap();
    let web = file.module("web").unwrap();
    assert_eq!(web.timeout(), Some(Duration::from_secs(3)));
    assert!(web.module().is_some());
    let said: Vec<_> = file.warnings().iter().map(ToString::to_string).collect();
    let expected =
        "modules.usual.prober: expected one of http, tcp, wasm, found none; the module is rejected";
    assert!(said[0].contains(expected), "{said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
    for name in ["usual", "empty"] {
        let rejection = file.module(name).unwrap().rejection();
        assert_eq!(rejection.unwrap(), "Unknown prober \"\"", "{name}");
    }
}

#[test]
fn kinds_without_a_check_are_read_all_the_same() {
    let text = "\
modules:
  nothing:
  ping: {prober: icmp, timeout: 1s, icmp: {ttl: 0, payload_size: 100, dont_fragment: yes}}
  soa:
    prober: dns
    dns:
      query_name: example.org
      query_type: SOA
      query_class: CH
      valid_rcodes: []
      validate_answer_rrs: {fail_if_all_match_regexp: ['(']}
      tls_config: {min_version: TLS10}
  health:
    prober: grpc
    grpc: {service: s, tls: on, metadata: {key: [a, b]}}
  absent: {prober: dns}
";
    let file = File::parse("f.yml", text, &NoFiles).unwrap();
    for (name, why) in [
        ("nothing", "Unknown prober \"\""),
        (
            "ping",
            "the prober \"icmp\" of blackbox_exporter is not supported by this version",
        ),
        ("soa", "the prober \"dns\""),
        ("health", "the prober \"grpc\""),
        ("absent", "the prober \"dns\""),
    ] {
        let module = file.module(name).unwrap();
        assert_eq!(module.module(), None, "{name}");
        let found = module.unsupported().unwrap();
        assert!(found.starts_with(why), "{name}: {found}");
    }
    assert_eq!(
        file.module("ping").unwrap().rejection().unwrap(),
        "the module is rejected: f.yml:3:18: modules.ping.prober: the prober \"icmp\" of blackbox_exporter is not supported by this version: expected one of http, tcp, wasm; change that and load the file again, or ask for another module"
    );
    let nothing = file.module("nothing").unwrap();
    assert_eq!(nothing.rejection(), nothing.unsupported());
    let prober = |place: &str, name: &str| {
        format!(
            "f.yml:{place}.prober: the prober \"{name}\" of blackbox_exporter is not supported by this version: expected one of http, tcp, wasm; the module is rejected and cannot be probed, the others of the file serve"
        )
    };
    assert_eq!(
        warnings(text),
        [
            prober("3:18: modules.ping", "icmp"),
            prober("5:13: modules.soa", "dns"),
            prober("14:13: modules.health", "grpc"),
            prober("16:20: modules.absent", "dns"),
        ]
    );
}

#[test]
fn what_is_not_what_it_seems_is_a_warning() {
    let text = "\
modules:
  old: {prober: http, http: {no_follow_redirects: true, tls_config: {min_version: TLS11}}}
";
    assert_eq!(
        warnings(text),
        [
            "f.yml:2:83: modules.old.http.tls_config.min_version: TLS11 is obsolete (RFC 8996) and cannot be spoken: TLS 1.2 is the lowest version offered",
            "f.yml:2:51: modules.old.http.no_follow_redirects: no_follow_redirects is deprecated: follow_redirects says the opposite",
        ]
    );
}

fn warnings(text: &str) -> Vec<String> {
    let file = File::parse("f.yml", text, &NoFiles).unwrap();
    file.warnings().iter().map(ToString::to_string).collect()
}

/// A dash that stands alone is no item, as in blackbox_exporter: what was an item
/// before somebody emptied it.
#[test]
fn null_is_no_item_of_a_list() {
    let lists = |item: &str| {
        format!(
            "modules:
  web:
    prober: http
    http:
      valid_status_codes: [{item}200]
      valid_http_versions: [{item}HTTP/1.1]
      fail_if_body_matches_regexp: [{item}fatal]
      fail_if_header_matches: [{item}{{header: A, regexp: b}}]
      http_headers: {{X: {{values: [{item}x], secrets: [{item}y], files: [{item}z]}}}}
  tcp: {{prober: tcp, tcp: {{query_response: [{item}{{expect: a, labels: [{item}{{name: a, value: b}}]}}]}}}}
"
        )
    };
    let shown = |text: &str| parse(text).render().unwrap();
    assert_eq!(shown(&lists("null, ")), shown(&lists("")));
    assert_eq!(shown(&lists("~, ")), shown(&lists("")));
    // Wrong ones keep the place at which they stand.
    let text = "modules:\n  a:\n    prober: http\n    http:\n      valid_status_codes:\n        -\n        - 9991\n";
    let place = "f.yml:7:11: modules.a.http.valid_status_codes[0]: ";
    assert!(warnings(text)[0].starts_with(place), "{:?}", warnings(text));
}

/// What blackbox_exporter finds out at a probe, or never: the file loads, and
/// says so.
#[test]
fn what_can_never_succeed_loads_with_a_warning() {
    let text = "\
modules:
  none: {prober: http, timeout: -5s, http: {valid_status_codes: [200.9, -1, 9991, null]}}
  null: {prober: http, http: {fail_if_header_matches: [{header: A, regexp: b}, null], http_headers: {X: }}}
  back: {prober: http, http: {tls_config: {min_version: TLS13, max_version: TLS12}}}
  old: {prober: tcp, tcp: {tls: true, tls_config: {max_version: TLS11}}}
  three: {prober: http, http: {enable_http3: true, enable_http2: false}}
  ftp: {prober: http, http: {proxy_url: 'ftp://u:hush@p'}}
  token: {prober: http, http: {oauth2: {client_id: a, token_url: nonsense}}}
  unused: {prober: tcp, tcp: {query_response: [null], tls_config: {max_version: TLS11}}}
  '': {prober: tcp}
";
    assert_eq!(
        warnings(text),
        [
            "f.yml:2:33: modules.none.timeout: a timeout below 0 limits nothing, as 0 does",
            "f.yml:2:73: modules.none.http.valid_status_codes[1]: no response has the status -1",
            "f.yml:2:77: modules.none.http.valid_status_codes[2]: no response has the status 9991",
            "f.yml:4:77: modules.back.http.tls_config.max_version: tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified; the module is rejected and cannot be probed, the others of the file serve",
            "f.yml:5:65: modules.old.tcp.tls_config.max_version: expected TLS12 or TLS13, found TLS11, which RFC 8996 made obsolete: TLS 1.2 is the lowest version that can be spoken; the module is rejected and cannot be probed, the others of the file serve",
            "f.yml:6:46: modules.three.http.enable_http3: HTTP/3 is not spoken by this version: expected false; the module is rejected and cannot be probed, the others of the file serve",
            "f.yml:7:41: modules.ftp.http.proxy_url: expected a proxy of scheme http, https, socks5 or socks5h, found \"ftp\"; the module is rejected and cannot be probed, the others of the file serve",
            "f.yml:8:66: modules.token.http.oauth2.token_url: expected an http or https URL: there is no scheme; the module is rejected and cannot be probed, the others of the file serve",
            "f.yml:10:3: modules.\"\": nobody can ask for a module without a name",
        ]
    );
    let file = File::parse("f.yml", text, &NoFiles).unwrap();
    let statuses = &file.module("none").unwrap().config().http;
    assert_eq!(
        statuses.as_ref().unwrap().valid_status_codes,
        [200, -1, 9991]
    );
    assert_eq!(file.module("none").unwrap().timeout(), None);
    for name in ["back", "old", "three", "ftp", "token"] {
        let module = file.module(name).unwrap().module();
        assert!(matches!(module, Some(Module::Unready(_))), "{name}");
    }
    let unused = file.module("unused").unwrap().module();
    assert!(matches!(unused, Some(Module::Tcp(_))));
    // Who asks for such a probe is told what, where, and what to do.
    let said = |name: &str| {
        let module = file.module(name).unwrap().module().unwrap().clone();
        match module.attempt("http://a.test/", TargetParams::default()) {
            Ok(CheckSpec::Unusable(_, why)) => why.to_string(),
            other => panic!("{name}: {other:?}"),
        }
    };
    assert_eq!(
        said("three"),
        "the module is rejected: f.yml:6:46: modules.three.http.enable_http3: HTTP/3 is not spoken by this version: expected false; change that and load the file again, or ask for another module"
    );
    for (name, place) in [
        (
            "back",
            "f.yml:4:77: modules.back.http.tls_config.max_version: ",
        ),
        ("ftp", "f.yml:7:41: modules.ftp.http.proxy_url: "),
    ] {
        let said = said(name);
        let begins = format!("the module is rejected: {place}");
        assert!(said.starts_with(&begins), "{said}");
        assert!(!said.contains("hush"), "{said}");
    }
}

/// Of a file that cannot be used it is said where it is asked for, also when it
/// is found out later.
#[test]
fn what_cannot_be_read_now_is_named_with_the_place_of_its_field() {
    struct Disk(Cell<bool>);
    impl Files for Disk {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            match self.0.get() {
                true => Ok(b"token".to_vec()),
                false => Err(format!("cannot read {path}: gone")),
            }
        }
    }
    let said = |file: &File| {
        let module = file.module("m").unwrap().module().unwrap();
        match module.attempt("http://a.test/", TargetParams::default()) {
            Ok(CheckSpec::Unusable(_, why)) => why.to_string(),
            _ => String::new(),
        }
    };
    let text = "modules:\n  m: {prober: http, http: {bearer_token_file: t}}\n";
    let why = "modules.m.http.bearer_token_file: cannot read t: gone";
    let disk = Disk(Cell::new(false));
    let mut file = File::parse("f.yml", text, &disk).unwrap();
    assert_eq!(said(&file), format!("f.yml:2:47: {why}"));
    disk.0.set(true);
    file.refresh("m", &disk).unwrap();
    assert_eq!(said(&file), "");
    disk.0.set(false);
    assert!(file.refresh("m", &disk).is_err());
    assert_eq!(said(&file), format!("f.yml:2:47: {why}"));
    // Nothing was wrong with it when it was read: the module is named.
    disk.0.set(true);
    let mut file = File::parse("f.yml", text, &disk).unwrap();
    disk.0.set(false);
    assert!(file.refresh("m", &disk).is_err());
    assert_eq!(said(&file), format!("f.yml:2:6: {why}"));
}

/// What a host leaves out of certificates is no reason to refuse the module.
#[test]
fn what_is_damaged_in_files_is_a_warning_that_names_them() {
    struct Damaged;
    impl Files for Damaged {
        fn read(&self, path: &str) -> Result<Vec<u8>, String> {
            Ok(path.as_bytes().to_vec())
        }

        fn check_tls(&self, options: &TlsOptions) -> Result<Vec<String>, String> {
            let ca = options.ca.as_deref().unwrap_or_default();
            Ok(match ca {
                b"whole.pem" => Vec::new(),
                _ => vec!["ca: expected this, found that".to_owned()],
            })
        }
    }
    let text = "\
modules:
  web: {prober: http, http: {tls_config: {ca_file: bad.pem, insecure_skip_verify: true}}}
  whole: {prober: http, http: {tls_config: {ca_file: whole.pem}}}
  inline: {prober: tcp, tcp: {tls_config: {ca: PEM}}}
";
    let mut file = File::parse("f.yml", text, &Damaged).unwrap();
    let warnings: Vec<String> = file.warnings().iter().map(ToString::to_string).collect();
    let web = "tls_config (ca_file bad.pem): ca: expected this, found that";
    assert_eq!(
        warnings,
        [
            format!("f.yml:2:8: modules.web: {web}"),
            "f.yml:4:11: modules.inline: tls_config: ca: expected this, found that".to_owned(),
        ]
    );
    assert!(matches!(
        file.module("web").unwrap().module(),
        Some(Module::Http(_))
    ));
    assert_eq!(file.refresh("web", &Damaged).unwrap(), [web]);
    assert_eq!(file.refresh("whole", &Damaged).unwrap(), [""; 0]);
}

/// A host that signs whatever it is given.
#[derive(Debug)]
struct Signs;

impl Files for Signs {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        NoFiles.read(path)
    }

    fn signer(&self, _: &[u8], _: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        Ok(Arc::new(Self))
    }
}

impl Signer for Signs {
    fn stamp(&self) -> Result<Stamp, String> {
        Err("it is always now".into())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        Ok(message.into())
    }
}

fn claims(file: &File, module: &str) -> BTreeMap<String, Claim> {
    let http = file.module(module).unwrap().config().http.clone();
    http.unwrap().oauth2.unwrap().claims
}

/// What JSON has no number for keeps a token from being had, and nothing else.
#[test]
fn claims_are_judged_where_they_are_used() {
    let text = "\
modules:
  idle: {prober: http, http: {oauth2: {client_id: a, token_url: 'http://t/', claims: {a: .nan, b: 1e400}}}}
  list: {prober: http, http: {oauth2: {client_id: a, token_url: 'http://t/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: k, claims: {a: [1, .nan]}}}}
  deep: {prober: http, http: {oauth2: {client_id: a, token_url: 'http://t/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: k, claims: {a: {b: -.inf}}}}}
  good: {prober: http, http: {oauth2: {client_id: a, token_url: 'http://t/', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_certificate_key: k, claims: {a: 99999999999999999999}}}}
";
    let file = File::parse("f.yml", text, &Signs).unwrap();
    let said: Vec<_> = file.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "f.yml:3:180: modules.list.http.oauth2.claims.a[1]: expected a number that JSON has, found NaN; the module is rejected and cannot be probed, the others of the file serve",
            "f.yml:4:180: modules.deep.http.oauth2.claims.a.b: expected a number that JSON has, found -inf; the module is rejected and cannot be probed, the others of the file serve",
        ]
    );
    for name in ["idle", "good"] {
        let module = file.module(name).unwrap().module();
        assert!(matches!(module, Some(Module::Http(_))), "{name}");
    }
}

/// As yaml.v3 reads them and Go writes them in JSON.
#[test]
fn claims_are_what_they_would_be_for_blackbox_exporter() {
    let file = parse(
        "
modules:
  m:
    prober: http
    http:
      oauth2:
        client_id: a
        token_url: http://t/
        claims:
          date: 2026-01-02
          quoted: '2026-01-02'
          time: 2026-1-2 3:04:05.50
          zoned: [2026-01-02T03:04:05+02:00]
          no_date: 2026-02-30
          whole: 1e3
          large: 99999999999999999999
          largest: 18446744073709551615
          wide_hex: 0x1ffffffffffffffffff
          half: -1.5
          yes: yes
          nothing:
          deep: {a: true, b: [~]}
",
    );
    let expected = json!({
        "date": "2026-01-02T00:00:00Z",
        "quoted": "2026-01-02",
        "time": "2026-01-02T03:04:05.5Z",
        "zoned": ["2026-01-02T03:04:05+02:00"],
        "no_date": "2026-02-30",
        "whole": 1000,
        "large": 1e20,
        "largest": u64::MAX,
        "wide_hex": "0x1ffffffffffffffffff",
        "half": -1.5,
        "yes": "yes",
        "nothing": null,
        "deep": {"a": true, "b": [null]},
    });
    assert_eq!(Claim::Map(claims(&file, "m")), expected.into());
}

#[test]
fn a_target_that_stands_twice_is_probed_once_with_a_warning() {
    let text = "\
modules: {m: {prober: tcp}}
jobs:
- job_name: a
  module: m
  static_configs:
  - targets: ['h:1', 'h:2', 'h:1']
  - {targets: ['h:2'], labels: {zone: z}}
  - targets: ['h:2']
";
    assert_eq!(
        warnings(text),
        [
            "f.yml:6:29: jobs[0].static_configs[0].targets[2]: the target is that of static_configs[0].targets[0] with the same labels: it is probed once",
            "f.yml:8:15: jobs[0].static_configs[2].targets[0]: the target is that of static_configs[0].targets[1] with the same labels: it is probed once",
        ]
    );
}
