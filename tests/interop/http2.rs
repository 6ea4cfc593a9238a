//! HTTP/2 with a real nginx: the protocol is agreed on by ALPN, heads are
//! compressed as nginx compresses them, bodies are larger than any window.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::probity::Guard;
use probity_tests::support::tls::Authority;
use probity_tests::support::{Probity, until};

use crate::neighbours;

pub(crate) fn trials() -> Vec<Trial> {
    vec![neighbours::trial(
        "http2::nginx_speaks_it_with_us",
        "nginx",
        speaks,
    )]
}

/// More than our window of 4 MiB, so that it has to be opened again.
const LARGE: usize = 9 << 20;

/// More than the 64 KiB that nginx allows at first.
const UPLOAD: usize = 300_000;

/// An nginx with a secured server at a port of the machine's choice, and a
/// plain one behind it that reads request bodies to their end.
fn nginx(program: &Path, folder: &Path, authority: &Authority) -> (Guard, SocketAddr) {
    let (cert, key) = authority.pem_for(&["127.0.0.1"]);
    fs::write(folder.join("cert.pem"), cert).expect("a file");
    fs::write(folder.join("key.pem"), key).expect("a file");
    fs::write(folder.join("large"), vec![b'x'; LARGE]).expect("a file");
    fs::write(folder.join("small"), "hello").expect("a file");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {};\n", folder.join(name).display()))
        .concat();
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let log = folder.join("stderr");
    // nginx cannot say which port it was given: should somebody else take one
    // before it does, it is started again with others.
    let (child, address) = until("nginx listens", || {
        let (secured, plain) = (free(), free());
        let text = format!(
            "\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 1m;
{temporary}  server {{
    listen {secured} ssl http2;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    root {folder};
    location /moved {{ return 302 /small; }}
    location /away {{ return 302 http://{plain}/; }}
    location /upload {{ proxy_pass http://{plain}; }}
  }}
  server {{
    listen {plain};
    location / {{ return 200 \"read\\n\"; }}
  }}
}}
",
            folder = folder.display(),
        );
        fs::write(folder.join("nginx.conf"), text).expect("a file");
        let child = Command::new(program)
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a file"))
            .spawn();
        let mut child = Guard(child.expect("nginx starts"));
        let ended = until("nginx listens or ends", || {
            let ended = child.0.try_wait().expect("a child").is_some();
            let listens = std::net::TcpStream::connect(secured).is_ok();
            (ended || listens).then_some(ended)
        });
        let said = fs::read_to_string(&log).unwrap_or_default();
        assert!(!ended || said.contains("in use"), "nginx ended: {said}");
        (!ended).then_some((child, secured))
    });
    (child, address)
}

fn speaks(program: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let (_nginx, address) = nginx(program, folder.path(), &authority);
    fs::write(folder.path().join("ca.pem"), authority.pem()).expect("a file");
    let tls = format!(
        "tls_config: {{ca_file: {}/ca.pem}}",
        folder.path().display()
    );
    let body = "x".repeat(UPLOAD);
    let config = format!(
        "\
modules:
  two: {{prober: http, http: {{valid_http_versions: [HTTP/2.0], {tls}}}}}
  one: {{prober: http, http: {{enable_http2: false, valid_http_versions: [HTTP/1.1], {tls}}}}}
  any: {{prober: http, http: {{{tls}}}}}
  head: {{prober: http, http: {{method: HEAD, {tls}}}}}
  post: {{prober: http, http: {{method: POST, body: {body}, {tls}}}}}
  match:
    prober: http
    http:
      fail_if_body_not_matches_regexp: [^hello$]
      fail_if_header_not_matches: [{{header: Server, regexp: ^nginx}}]
      {tls}
"
    );
    let path = folder.path().join("probity.yml");
    fs::write(&path, config).expect("a file");
    let server = Probity::serve(&path);
    let large = LARGE as f64;
    // Module, path; success, version, status, Content-Length, body.
    for (module, path, expected) in [
        ("two", "/small", [1.0, 2.0, 200.0, 5.0, 5.0]),
        ("two", "/large", [1.0, 2.0, 200.0, large, large]),
        ("two", "/moved", [1.0, 2.0, 200.0, 5.0, 5.0]),
        ("any", "/away", [1.0, 1.1, 200.0, 5.0, 5.0]),
        ("one", "/small", [1.0, 1.1, 200.0, 5.0, 5.0]),
        ("match", "/small", [1.0, 2.0, 200.0, 5.0, 5.0]),
        ("head", "/large", [1.0, 2.0, 200.0, large, 0.0]),
        ("post", "/upload", [1.0, 2.0, 200.0, 5.0, 5.0]),
    ] {
        let target = encode(&format!("https://{address}{path}"));
        let query = format!("/probe?module={module}&target={target}");
        let samples = server.samples(&query);
        let found = [
            "probe_success",
            "probe_http_version",
            "probe_http_status_code",
            "probe_http_content_length",
            "probe_http_uncompressed_body_length",
        ]
        .map(|name| samples.value(name, &[]).unwrap_or(f64::NAN));
        assert_eq!(found, expected, "{module} {path}: {samples:?}");
    }
    let target = encode(&format!("https://{address}/missing"));
    let samples = server.samples(&format!("/probe?module=two&target={target}"));
    assert_eq!(samples.value("probe_http_status_code", &[]), Some(404.0));
    assert_eq!(samples.value("probe_success", &[]), Some(0.0));
    let target = encode(&format!("https://{address}/small"));
    let samples = server.samples(&format!("/probe?module=two&target={target}"));
    let modified = samples.value("probe_http_last_modified_timestamp_seconds", &[]);
    assert!(
        modified.is_some_and(|seconds| seconds > 1.6e9),
        "{modified:?}"
    );
    server.stop();
}
