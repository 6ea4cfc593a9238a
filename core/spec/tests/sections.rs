//! The sections of kinds that have no check yet: read, judged and shown as
//! those that have one.

use probity_engine::config::NoFiles;
use probity_spec::File;

fn load(module: &str) -> Result<File, String> {
    let text = format!("modules:\n  m: {module}\n");
    File::parse("f.yml", &text, &NoFiles).map_err(|errors| errors.to_string())
}

#[test]
fn unix_has_the_dialogue_of_tcp() {
    let written = "{prober: unix, unix: {tls: yes, tls_config: {server_name: a.test}, query_response: [\
        {expect: '^220 (\\S+)', labels: [{name: host, value: $1}], send: HELO}, {expect_bytes: OK}]}}";
    let file = load(written).unwrap();
    let module = file.module("m").unwrap();
    assert_eq!(module.module(), None);
    let why = module.unsupported().unwrap();
    assert!(
        why.starts_with("the prober \"unix\" of blackbox_exporter is not supported"),
        "{why}"
    );
    let unix = module.config().unix.as_ref().unwrap();
    assert_eq!(unix.query_response.len(), 2);
    for (section, place) in [
        (
            "query_response: [{expect: 'a['}]",
            "query_response[0].expect: \"Could not compile regular expression\" regexp=\"a[\"",
        ),
        (
            "query_response: [{}, {expect: a, expect_bytes: b}]",
            "query_response[1].expect_bytes: expect and expect_bytes are mutually exclusive",
        ),
        (
            "tls: true, query_response: [{starttls: true}]",
            "query_response[0].starttls: tls: true has secured the connection before",
        ),
        (
            "tls_config: {key: a}",
            "tls_config.key: exactly one of cert or cert_file must be configured when a client key is configured",
        ),
        (
            "preferred_ip_protocol: ip4",
            "field preferred_ip_protocol not found",
        ),
    ] {
        // Also where the prober is another one.
        for prober in ["unix", "http"] {
            let error = load(&format!("{{prober: {prober}, unix: {{{section}}}}}")).unwrap_err();
            assert!(error.contains("modules.m.unix"), "{section}: {error}");
            assert!(error.contains(place), "{section}: {error}");
        }
    }
}

#[test]
fn websocket_has_the_http_client_of_prometheus() {
    let file = load(
        "{prober: websocket, websocket: {\
           http_config: {basic_auth: {username: u, password: hush}, proxy_url: 'http://a:hush@p.test', \
             tls_config: {insecure_skip_verify: true}, follow_redirects: no}, \
           headers: {X-Key: {secrets: [hush]}, Host: {values: [a.test]}}, \
           preferred_ip_protocol: ip4, query_response: [{expect: x, send: y}]}}",
    )
    .unwrap();
    let module = file.module("m").unwrap();
    assert!(module.unsupported().is_some());
    let websocket = module.config().websocket.as_ref().unwrap();
    assert!(websocket.ip_protocol_fallback && websocket.http_config.enable_http2);
    assert!(!websocket.http_config.follow_redirects);
    assert_eq!(websocket.headers["Host"].values, ["a.test".into()]);
    let shown = file.render().unwrap();
    assert!(!shown.contains("hush"), "{shown}");
    assert!(shown.contains("a:xxxxx@p.test"), "{shown}");
    for (section, sentence) in [
        (
            "http_config: {bearer_token: a, bearer_token_file: b}",
            "at most one of bearer_token & bearer_token_file must be configured",
        ),
        (
            "http_config: {authorization: {type: Basic}}",
            "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
        ),
        (
            "http_config: {oauth2: {token_url: 'http://a.test'}}",
            "oauth2 client_id must be configured",
        ),
        (
            "http_config: {no_proxy: a.test}",
            "if no_proxy is configured, proxy_url must also be configured",
        ),
        (
            "http_config: {http_headers: {user-agent: {values: [a]}}}",
            "setting header \"User-Agent\" is not allowed",
        ),
        (
            "query_response: [{expect: '*'}]",
            "\"Could not compile regular expression\" regexp=\"*\"",
        ),
        ("headers: {X: a}", "headers.X: expected a mapping"),
        ("http_config: {body: a}", "field body not found"),
    ] {
        let error = load(&format!("{{prober: websocket, websocket: {{{section}}}}}")).unwrap_err();
        assert!(error.contains("modules.m.websocket"), "{section}: {error}");
        assert!(error.contains(sentence), "{section}: {error}");
    }
}

#[test]
fn a_job_cannot_name_what_is_not_probed() {
    for prober in ["unix", "websocket"] {
        let text = format!(
            "modules: {{m: {{prober: {prober}}}}}\njobs:\n- job_name: j\n  module: m\n  static_configs: [{{targets: [a]}}]\n"
        );
        let error = File::parse("f.yml", &text, &NoFiles).unwrap_err();
        let expected = format!(
            "f.yml:4:11: jobs[0].module: the module \"m\" cannot be used: the prober \"{prober}\" of blackbox_exporter is not supported"
        );
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
}

#[test]
fn what_templates_leave_empty_and_what_is_no_text_loads() {
    let parse = |text: &str| File::parse("f.yml", text, &NoFiles).unwrap();
    let file = parse(
        "\
modules:
  tcp: {prober: tcp, tcp: {source_ip_address: ''}}
  icmp: {prober: icmp, icmp: {source_ip_address: }}
  dns: {prober: dns, dns: {query_name: a.test, source_ip_address: ''}}
  bytes: {prober: http, http: {body: !!binary gIGC, headers: {X: !!binary gIGC}}}
  web: {prober: http, http: {source_ip_address: 127.0.0.1}}
",
    );
    let config = |name: &str| file.module(name).unwrap().config().clone();
    assert_eq!(config("tcp").tcp.unwrap().source_ip_address, None);
    assert_eq!(config("icmp").icmp.unwrap().source_ip_address, None);
    assert_eq!(config("dns").dns.unwrap().source_ip_address, None);
    let web = config("web").http.unwrap().source_ip_address;
    assert_eq!(web, Some([127, 0, 0, 1].into()));
    let bytes = config("bytes").http.unwrap();
    assert_eq!(bytes.body.as_slice(), b"\x80\x81\x82");
    assert_eq!(bytes.headers["X"].as_slice(), b"\x80\x81\x82");
    let again = parse(&file.render().unwrap());
    let again = again.module("bytes").unwrap().config().http.clone();
    assert_eq!(again.unwrap(), bytes);
}
