//! Real servers that are probed: nginx, haproxy and openssl. A case that needs
//! one which is not installed counts as ignored.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use probity_tests::support::probity::Guard;
use probity_tests::support::until;

use super::server::Places;
use crate::neighbours;

/// Those that run.
pub(crate) struct RealPeers {
    /// `nginx-https` and so on, to addresses.
    pub(crate) places: Places,
    _children: Vec<Guard>,
}

/// The programs, and the names that they add to the places.
const PROGRAMS: &[(&str, &str)] = &[
    ("nginx", "@nginx-"),
    ("haproxy", "@haproxy-"),
    ("openssl", "@openssl-"),
];

/// The program that a text with places needs and that is not installed.
pub(crate) fn missing_for(text: &str) -> Option<&'static str> {
    let needed = PROGRAMS.iter().filter(|(_, place)| text.contains(place));
    needed
        .map(|(program, _)| *program)
        .find(|program| neighbours::installed(program).is_none())
}

/// A port that was free a moment ago: these programs do not say which one the
/// kernel would have given them.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

impl RealPeers {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut peers = Self {
            places: Places::new(),
            _children: Vec::new(),
        };
        if let Some(program) = neighbours::installed("nginx") {
            peers.nginx(&program, folder);
        }
        if let Some(program) = neighbours::installed("haproxy") {
            peers.haproxy(&program, folder);
        }
        if let Some(program) = neighbours::installed("openssl") {
            peers.openssl(&program, folder);
        }
        peers
    }

    fn place(&mut self, name: &str) -> u16 {
        let port = free_port();
        self.places
            .insert(name.to_owned(), format!("127.0.0.1:{port}"));
        self.places.insert(format!("{name}-port"), port.to_string());
        port
    }

    fn run(&mut self, command: &mut Command, name: &str, ports: &[u16]) {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = Guard(child.unwrap_or_else(|error| panic!("{name}: {error}")));
        for port in ports {
            until(&format!("{name} listens"), || {
                let ended = child.0.try_wait().expect("a child");
                assert!(ended.is_none(), "{name} ended: {command:?}");
                TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).ok()
            });
        }
        self._children.push(child);
    }

    fn nginx(&mut self, program: &Path, folder: &Path) {
        let [http, https, h2, mutual] =
            ["nginx-http", "nginx-https", "nginx-h2", "nginx-mutual"].map(|name| self.place(name));
        let at = |name: &str| folder.join(name).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {};\n", at(name)))
            .concat();
        fs::create_dir_all(folder.join("www")).expect("a folder");
        fs::write(
            folder.join("www/text.txt"),
            "hello from a file\n".repeat(100),
        )
        .expect("a file");
        let text = format!(
            "\
daemon off;
master_process off;
pid {pid};
error_log stderr error;
events {{ worker_connections 64; }}
http {{
  access_log off;
  {temporary}
  ssl_certificate {good}.pem;
  ssl_certificate_key {good}.key;
  gzip on;
  gzip_types text/plain;
  gzip_min_length 1;
  types {{ text/plain txt; }}
  root {www};
  server {{
    listen 127.0.0.1:{http};
    location = / {{ return 200 \"plain\\n\"; }}
    location = /secure {{ return 301 https://127.0.0.1:{https}/; }}
    location = /gone {{ return 410 \"gone\\n\"; }}
  }}
  server {{
    listen 127.0.0.1:{https} ssl;
    location = / {{ return 200 \"secure\\n\"; }}
  }}
  server {{
    listen 127.0.0.1:{h2} ssl http2;
    location = / {{ return 200 \"two\\n\"; }}
    location = /echo {{ return 200 \"$http_x_one|$http_host|$http_user_agent|$request_method|$http_accept|$http_accept_encoding\\n\"; }}
    location = /moved {{ return 302 /; }}
    location = /away {{ return 302 https://localhost:{https}/; }}
    location = /gone {{ return 410 \"gone\\n\"; }}
  }}
  server {{
    listen 127.0.0.1:{mutual} ssl;
    ssl_client_certificate {root}.pem;
    ssl_verify_client on;
    location = / {{ return 200 \"$ssl_client_s_dn\\n\"; }}
  }}
}}
",
            pid = at("nginx.pid"),
            good = at("good"),
            root = at("root"),
            www = at("www"),
        );
        let config = folder.join("nginx.conf");
        fs::write(&config, text).expect("a file");
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-c").arg(config);
        self.run(&mut command, "nginx", &[http, https, h2, mutual]);
    }

    fn haproxy(&mut self, program: &Path, folder: &Path) {
        let [http, h2, tls12] =
            ["haproxy-http", "haproxy-h2", "haproxy-tls12"].map(|name| self.place(name));
        let both = folder.join("haproxy.pem");
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file");
        fs::write(&both, [read("rsa.pem"), read("rsa.key")].concat()).expect("a file");
        let text = format!(
            "\
global
  maxconn 100
defaults
  mode http
  timeout client 30s
  timeout connect 30s
  timeout server 30s
frontend http
  bind 127.0.0.1:{http}
  http-request return status 200 content-type text/plain string \"hello\" hdr X-Served-By haproxy
frontend h2
  bind 127.0.0.1:{h2} ssl crt {both} alpn h2,http/1.1
  http-request return status 404 content-type text/plain string \"two\" if {{ path /none }}
  http-request return status 200 content-type text/plain string \"two\"
frontend tls12
  bind 127.0.0.1:{tls12} ssl crt {both} ssl-max-ver TLSv1.2 ciphers ECDHE-RSA-CHACHA20-POLY1305
  http-request return status 200 content-type text/plain string \"old\"
",
            both = both.display()
        );
        let config = folder.join("haproxy.cfg");
        fs::write(&config, text).expect("a file");
        let mut command = Command::new(program);
        // One process in the foreground.
        command.arg("-db").arg("-f").arg(config);
        self.run(&mut command, "haproxy", &[http, h2, tls12]);
    }

    fn openssl(&mut self, program: &Path, folder: &Path) {
        let weak = ["-cipher", "DEFAULT:@SECLEVEL=0"];
        for (name, identity, flags) in [
            ("openssl-tls13", "rsa", &["-tls1_3"][..]),
            (
                "openssl-aes256",
                "rsa",
                &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"],
            ),
            (
                "openssl-chacha",
                "rsa",
                &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            ),
            (
                "openssl-cbc",
                "rsa",
                &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
            ),
            ("openssl-tls11", "rsa", &["-tls1_1", weak[0], weak[1]]),
            ("openssl-rsa1024", "rsa-1024", &weak),
            ("openssl-rsa1024-issued", "rsa-1024-issued", &weak),
            ("openssl-rsa768", "rsa-768", &weak),
            ("openssl-rsa768-issued", "rsa-768-issued", &weak),
            (
                "openssl-rsakex",
                "rsa",
                &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
            ),
            (
                "openssl-pkcs1",
                "rsa-1024",
                &["-sigalgs", "RSA+SHA384", weak[0], weak[1]],
            ),
            (
                "openssl-sha1",
                "rsa",
                &["-sigalgs", "RSA+SHA1", weak[0], weak[1]],
            ),
            ("openssl-p521", "p521", &[]),
            ("openssl-p521-issued", "p521-issued", &[]),
            ("openssl-p521-group", "rsa", &["-groups", "P-521"]),
            (
                "openssl-sha512",
                "subject-pairs",
                &["-sigalgs", "ECDSA+SHA512"],
            ),
        ] {
            let port = self.place(name);
            let mut command = Command::new(program);
            command
                .args(["s_server", "-www", "-accept"])
                .arg(format!("127.0.0.1:{port}"))
                .arg("-cert")
                .arg(folder.join(format!("{identity}.pem")))
                .arg("-key")
                .arg(folder.join(format!("{identity}.key")))
                .args(flags);
            self.run(&mut command, name, &[port]);
        }
    }
}
