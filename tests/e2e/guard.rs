//! `--web.config.file`: TLS, certificates of clients, users, headers and
//! bounds.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use libtest_mimic::Trial;
use probity_tests::support::http::Answer;
use probity_tests::support::https::Client;
use probity_tests::support::probity::{self, Probity};
use probity_tests::support::tls::{Authority, self_signed_pem};
use probity_tests::support::until;
use probity_tests::trials;

use crate::Folder;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("guard":
        tls_is_spoken_with_what_the_file_names,
        plain_http_is_told_that_tls_is_spoken_here,
        certificates_of_clients_are_judged_as_the_policy_says,
        certificates_of_version_1_are_shown_on_both_sides,
        damaged_cas_of_clients_are_left_out_with_a_warning,
        users_need_their_password,
        headers_and_bounds_are_for_every_page,
        the_file_is_read_again_when_it_changes,
        wrong_files_are_refused_with_their_place,
    )
}

/// A folder with a server's certificate, and what signed it.
struct Site {
    folder: Folder,
    authority: Authority,
}

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

impl Site {
    fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new());
        let site = Self { folder, authority };
        site.write_certificate();
        site.folder.write("ca.crt", &site.authority.pem());
        site
    }

    fn write_certificate(&self) {
        let (cert, key) = self.authority.pem_for(&["127.0.0.1"]);
        self.folder.write("server.crt", &cert);
        self.folder.write("server.key", &key);
    }

    fn start(&self, config: &str) -> Probity {
        self.folder.write("web.yml", config);
        let file = self.folder.path().join("web.yml");
        let file = format!("--web.config.file={}", file.display());
        Probity::start(&["--web.listen-address=127.0.0.1:0", &file])
    }

    fn client(&self) -> Client {
        Client::new(&self.authority.pem(), None, None)
    }
}

fn status(client: &Client, server: SocketAddr) -> Option<u16> {
    let answer = client.get(server, "/-/healthy", &[]);
    answer.ok().map(|answer| answer.status)
}

fn tls_is_spoken_with_what_the_file_names() {
    let site = Site::new();
    let pem = site.authority.pem();
    let old = Client::new(&pem, None, Some(&rustls::version::TLS12));
    let new = Client::new(&pem, None, Some(&rustls::version::TLS13));
    for (more, by_old, by_new, protocol) in [
        ("", Some(200), Some(200), Some("h2")),
        ("  min_version: TLS13\n", None, Some(200), Some("h2")),
        (
            "  min_version: TLS10\n  max_version: TLS12\n",
            Some(200),
            None,
            Some("h2"),
        ),
        (
            "http_server_config: {http2: false}\n",
            Some(200),
            Some(200),
            Some("http/1.1"),
        ),
        (
            "  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_RSA_WITH_AES_128_CBC_SHA]\n  curve_preferences: [CurveP384, CurveP521]\n",
            Some(200),
            Some(200),
            Some("h2"),
        ),
        // Keys of the peer's kind have no such suite.
        (
            "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n",
            None,
            None,
            None,
        ),
    ] {
        let server = site.start(&format!("{TLS}{more}"));
        assert_eq!(status(&old, server.address), by_old, "{more}");
        assert_eq!(status(&new, server.address), by_new, "{more}");
        let chosen = site.client().negotiate(server.address, &["h2", "http/1.1"]);
        assert_eq!(chosen.ok().flatten().as_deref(), protocol, "{more}");
        server.stop();
    }
}

fn plain_http_is_told_that_tls_is_spoken_here() {
    let site = Site::new();
    let server = site.start(TLS);
    let told = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    let long = format!("POST /-/reload HTTP/1.1\r\nA: {}", "a".repeat(40_000));
    for (sent, answer) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", told),
        ("HEAD /metrics HTTP/1.0\r\n\r\n", told),
        (&long, told),
        // Neither TLS nor HTTP.
        ("EHLO a\r\n", ""),
    ] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        // Too late where the server has hung up already.
        let _ = stream.shutdown(Shutdown::Write);
        let mut found = String::new();
        let read = stream.read_to_string(&mut found);
        assert_eq!(found, answer, "{sent:.20}");
        // Whoever is told has the connection closed as it should be.
        assert!(answer.is_empty() || read.is_ok(), "{sent:.20}: {read:?}");
    }
    assert_eq!(status(&site.client(), server.address), Some(200));
    server.stop();
}

fn certificates_of_clients_are_judged_as_the_policy_says() {
    let site = Site::new();
    let root = site.authority.pem();
    let known = site.authority.pem_for(&["client.example", "192.0.2.9"]);
    let stranger = Authority::new().pem_for(&["client.example"]);
    let with = |(cert, key): &(String, String)| Client::new(&root, Some((cert, key)), None);
    let (nobody, known, stranger) = (site.client(), with(&known), with(&stranger));
    let ca = "  client_ca_file: ca.crt\n";
    for (policy, more, expected) in [
        ("NoClientCert", "", [true, true, true]),
        ("RequestClientCert", "", [true, true, true]),
        ("RequireAnyClientCert", "", [false, true, true]),
        ("RequireClientCert", "", [false, true, true]),
        ("VerifyClientCertIfGiven", ca, [true, true, false]),
        ("RequireAndVerifyClientCert", ca, [false, true, false]),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [x.example, client.example]\n",
            [false, true, false],
        ),
        (
            "RequireAndVerifyClientCert",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [192.0.2.9]\n",
            [false, true, false],
        ),
        (
            "VerifyClientCertIfGiven",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [x.example]\n",
            [false, false, false],
        ),
        // Of no names is nobody's.
        (
            "VerifyClientCertIfGiven",
            "  client_ca_file: ca.crt\n  client_allowed_sans: []\n",
            [false, false, false],
        ),
        // Who shows nothing has none of the names.
        (
            "VerifyClientCertIfGiven",
            "  client_ca_file: ca.crt\n  client_allowed_sans: [client.example]\n",
            [false, true, false],
        ),
        (
            "RequestClientCert",
            "  client_allowed_sans: [client.example]\n",
            [false, true, true],
        ),
        (
            "RequireAnyClientCert",
            "  client_allowed_sans: [client.example]\n",
            [false, true, true],
        ),
    ] {
        let server = site.start(&format!("{TLS}  client_auth_type: {policy}\n{more}"));
        let clients = [&nobody, &known, &stranger];
        let found = clients.map(|client| status(client, server.address) == Some(200));
        assert_eq!(found, expected, "{policy} {more}");
        let refused = expected.iter().filter(|let_in| !**let_in).count();
        until("each refusal is logged", || {
            let lines = server.log().lines(&["TLS handshake error", "client="]);
            (lines.len() == refused).then_some(())
        });
        server.stop();
    }
}

/// A certificate of version 1 that vouches for itself, with its key, as `openssl x509 -req`
/// makes them.
const OLD: &str = include_str!("../../core/tls/tests/layer/data/version1_rsa_pkcs1.pem");

fn certificates_of_version_1_are_shown_on_both_sides() {
    let site = Site::new();
    site.folder.write("old.pem", OLD);
    let server = site.start(
        "\
tls_server_config:
  cert_file: old.pem
  key_file: old.pem
  client_ca_file: old.pem
  client_auth_type: RequireAndVerifyClientCert
  curve_preferences: [CurveP521]
",
    );
    let own = site.folder.path().join("old.pem");
    let own = format!("cert_file: {0}, key_file: {0}", own.display());
    let target = format!("https://{}/-/healthy", server.address);
    for (own, success) in [(&*own, 1), ("", 0)] {
        let modules = format!(
            "modules: {{web: {{prober: http, http: {{tls_config: {{insecure_skip_verify: true, {own}}}}}}}}}\n"
        );
        let folder = Folder::with(&modules);
        let config = folder.config();
        let config = config.to_str().expect("text");
        let line = [
            "check",
            "--config.file",
            config,
            "-m",
            "web",
            "-o",
            "prometheus",
        ];
        let ended = probity::run(&[&line[..], &[&target]].concat());
        let says = format!("\nprobe_success{{target=\"{target}\"}} {success}\n");
        assert!(ended.stdout.contains(&says), "{own}: {ended:?}");
    }
    server.stop();
}

fn damaged_cas_of_clients_are_left_out_with_a_warning() {
    let site = Site::new();
    let root = site.authority.pem();
    let damaged = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    site.folder.write("ca.crt", &format!("{damaged}{root}"));
    let more = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let server = site.start(&format!("{TLS}{more}"));
    let (cert, key) = site.authority.pem_for(&["client.example"]);
    let known = Client::new(&root, Some((&cert, &key)), None);
    assert_eq!(status(&known, server.address), Some(200));
    assert_ne!(status(&site.client(), server.address), Some(200));
    let parts = [
        "is left out",
        "ca.crt: expected certificates in PEM",
        "in line 1",
    ];
    until("the log says what is left out", || {
        (server.log().lines(&parts).len() == 1).then_some(())
    });
    server.stop();
}

/// "open", at the least cost.
const USERS: &str =
    "basic_auth_users:\n  probe: $2y$04$ZzM5Zkr/b0ZNvNFmRJ0GT.7wu3sq0FroAirJFcG3g1rvRg1FDIz6O\n";

fn users_need_their_password() {
    let site = Site::new();
    let server = site.start(USERS);
    for (path, headers, status) in [
        ("/metrics", &[][..], 401),
        ("/nosuch", &[], 401),
        ("/-/healthy", &[("Authorization", "Bearer x")], 401),
        // probe:shut
        (
            "/-/healthy",
            &[("Authorization", "Basic cHJvYmU6c2h1dA==")],
            401,
        ),
        // other:open
        (
            "/-/healthy",
            &[("Authorization", "Basic b3RoZXI6b3Blbg==")],
            401,
        ),
        // probe:open
        (
            "/-/healthy",
            &[("Authorization", "Basic cHJvYmU6b3Blbg==")],
            200,
        ),
        (
            "/metrics",
            &[("Authorization", "basic cHJvYmU6b3Blbg==")],
            200,
        ),
    ] {
        let answer = server.request("GET", path, headers);
        assert_eq!(answer.status, status, "{path} {headers:?}");
        if status == 401 {
            assert_eq!(answer.text(), "Unauthorized\n");
            assert_eq!(answer.header("www-authenticate"), Some("Basic"));
        }
    }
    server.stop();
}

fn headers_and_bounds_are_for_every_page() {
    let site = Site::new();
    let server = site.start(
        "\
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=60
rate_limit: {interval: 1h, burst: 3}
",
    );
    let answers: Vec<Answer> = (0..5).map(|_| server.get("/-/healthy")).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(answers[0].header("x-frame-options"), Some("deny"));
    assert_eq!(
        answers[0].header("strict-transport-security"),
        Some("max-age=60")
    );
    assert_eq!(answers[4].text(), "Too Many Requests\n");
    server.stop();
}

fn the_file_is_read_again_when_it_changes() {
    let site = Site::new();
    let server = site.start(TLS);
    let client = site.client();
    assert_eq!(status(&client, server.address), Some(200));
    // Another certificate, by the same authority.
    site.write_certificate();
    assert_eq!(status(&client, server.address), Some(200));
    site.folder.write("web.yml", &format!("{TLS}{USERS}"));
    assert_eq!(status(&client, server.address), Some(401));
    site.folder.write("web.yml", "nonsense: 1\n");
    assert_eq!(status(&client, server.address), None);
    until("the log says why", || {
        let lines = server
            .log()
            .lines(&["Unable to parse configuration", "nonsense"]);
        (!lines.is_empty()).then_some(())
    });
    site.folder.write("web.yml", TLS);
    assert_eq!(status(&client, server.address), Some(200));
    let (cert, _) = self_signed_pem();
    site.folder.write("server.crt", &cert);
    assert_eq!(status(&client, server.address), None);
    site.write_certificate();
    assert_eq!(status(&client, server.address), Some(200));
    // TLS itself comes and goes with the process.
    site.folder.write("web.yml", USERS);
    assert_eq!(status(&client, server.address), None);
    until("the log says why", || {
        let lines = server.log().lines(&["no tls_server_config any more"]);
        (lines.len() == 1).then_some(())
    });
    server.stop();
    let server = site.start("rate_limit: {}\n");
    site.folder.write("web.yml", TLS);
    assert_eq!(server.get("/-/healthy").status, 200);
    until("the log says that once", || {
        let lines = server.log().lines(&["has a tls_server_config now"]);
        (lines.len() == 1).then_some(())
    });
    server.stop();

    // Without TLS a file that has become wrong answers by itself.
    let server = site.start("null\n");
    assert_eq!(server.get("/-/healthy").status, 200);
    site.folder.write("web.yml", "nonsense: 1\n");
    let answer = server.get("/-/healthy");
    assert_eq!(
        (answer.status, answer.text()),
        (500, "Internal Server Error\n")
    );
    server.stop();
}

fn wrong_files_are_refused_with_their_place() {
    let site = Site::new();
    let cert = "tls_server_config: {cert_file: server.crt";
    let tls = |field: &str, rest: &str| format!("tls_server_config.{field}: {rest}");
    site.folder.write("old.pem", OLD);
    site.folder
        .write("other.key", &Authority::new().pem_for(&["a.test"]).1);
    for (config, place, what) in [
        ("nonsense: 1\n".to_owned(), "1:1", "field nonsense not found".to_owned()),
        (
            "tls_server_config: {cert_fle: a}\n".into(),
            "1:21",
            "tls_server_config: field cert_fle not found".into(),
        ),
        (
            "tls_server_config: {prefer_server_cipher_suites: sure}\n".into(),
            "1:50",
            tls("prefer_server_cipher_suites", "expected true or false, found \"sure\""),
        ),
        (
            "tls_server_config: [\n".into(),
            "1:20",
            "not valid YAML".into(),
        ),
        (
            "basic_auth_users:\n  a: x\n  a: y\n".into(),
            "3:3",
            "basic_auth_users: duplicate key `a`, first in line 2".into(),
        ),
        (
            "tls_server_config: {key_file: a}\n".into(),
            "1:20",
            tls("cert_file", "missing one of cert or cert_file"),
        ),
        (
            format!("{cert}}}\n"),
            "1:20",
            tls("key_file", "missing one of key or key_file"),
        ),
        (
            format!("{cert}, key_file: server.key, client_ca_file: ca.crt}}\n"),
            "1:20",
            tls(
                "client_auth_type",
                "client CA's have been configured without a Client Auth Policy",
            ),
        ),
        (
            format!("{cert}, key_file: server.key, client_auth_type: x}}\n"),
            "1:84",
            tls("client_auth_type", "invalid ClientAuth: x"),
        ),
        (
            format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n"),
            "4:21",
            tls("client_auth_type", "expected client_ca or client_ca_file"),
        ),
        (
            format!("{TLS}  min_version: TLS9\n"),
            "4:16",
            tls("min_version", "unknown TLS version: TLS9"),
        ),
        (
            format!("{TLS}  max_version: TLS11\n"),
            "4:16",
            tls("max_version", "no version is left: expected TLS12 or TLS13"),
        ),
        (
            format!("{TLS}  cipher_suites: [TLS_X]\n"),
            "4:19",
            tls("cipher_suites[0]", "unknown cipher: TLS_X"),
        ),
        (
            format!("{TLS}  curve_preferences: [P1]\n"),
            "4:23",
            tls("curve_preferences[0]", "unknown curve: P1"),
        ),
        (
            "http_server_config: {headers: {Server: x}}\n".into(),
            "1:40",
            "http_server_config.headers.Server: HTTP header \"Server\" can not be configured".into(),
        ),
        (
            "http_server_config: {headers: {X-Frame-Options: maybe}}\n".into(),
            "1:49",
            "http_server_config.headers.X-Frame-Options: invalid value for X-Frame-Options, expected deny or sameorigin".into(),
        ),
        (
            "basic_auth_users: {a: open}\n".into(),
            "1:23",
            "basic_auth_users.a: expected a bcrypt hash".into(),
        ),
        (
            "rate_limit: {interval: 1s}\n".into(),
            "1:13",
            "rate_limit.burst: expected a burst of at least 1".into(),
        ),
        // What the files hold is told where they are named.
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: nosuch.key\n".into(),
            "3:13",
            tls("key_file", "cannot read FOLDER/nosuch.key: no such file or directory"),
        ),
        (
            "tls_server_config:\n  cert_file: server.key\n  key_file: server.key\n".into(),
            "2:14",
            tls("cert_file", "FOLDER/server.key: expected a certificate in PEM, found none"),
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: server.crt\n".into(),
            "3:13",
            tls("key_file", "FOLDER/server.crt: expected a private key in PEM"),
        ),
        (
            "tls_server_config:\n  cert_file: server.crt\n  key_file: other.key\n".into(),
            "3:13",
            tls(
                "key_file",
                "FOLDER/other.key: expected the key of the certificate in FOLDER/server.crt, \
                 found another key",
            ),
        ),
        (
            "tls_server_config:\n  cert: nonsense\n  key_file: server.key\n".into(),
            "2:9",
            tls("cert", "the PEM in the file: expected a certificate in PEM, found none"),
        ),
        (
            format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.key\n"),
            "5:19",
            tls(
                "client_ca_file",
                "FOLDER/server.key: expected a CERTIFICATE in PEM, found PRIVATE KEY",
            ),
        ),
        // Also where the certificate is of version 1.
        (
            "tls_server_config:\n  cert_file: old.pem\n  key_file: other.key\n".into(),
            "3:13",
            tls(
                "key_file",
                "FOLDER/other.key: expected the key of the certificate in FOLDER/old.pem, \
                 found another key",
            ),
        ),
    ] {
        site.folder.write("web.yml", &config);
        let file = site.folder.path().join("web.yml");
        let file = format!("--web.config.file={}", file.display());
        let ended = probity::run(&["--web.listen-address=127.0.0.1:0", &file]);
        assert_eq!(ended.code, Some(1), "{config}: {ended:?}");
        let folder = site.folder.path().display().to_string();
        let expected = format!("err=\"{folder}/web.yml:{place}: {what}");
        let expected = expected.replace("FOLDER", &folder);
        let said = ended.stderr.replace("\\\"", "\"");
        assert!(said.contains(&expected), "{config}: no {expected} in {said}");
    }
}
