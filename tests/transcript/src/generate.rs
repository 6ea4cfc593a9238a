//! Scripts from seeds.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use probity_simulator::Rng;

use crate::script::{
    Answer, Command, Ended, Event, Happening, Plan, Script, Target, Tls, What, text,
};

/// What a script chooses among.
const MODULES: &str = r#"
modules:
  web: {prober: http}
  web4: {prober: http, http: {preferred_ip_protocol: ip4}}
  only6: {prober: http, http: {ip_protocol_fallback: false}}
  post: {prober: http, http: {method: POST, body: "a=1\n", headers: {X-Trace: "7"}}}
  teapot: {prober: http, http: {valid_status_codes: [418], follow_redirects: false}}
  words:
    prober: http
    http:
      fail_if_body_not_matches_regexp: ["wor(l|k)d+"]
      fail_if_body_matches_regexp: ["(?i)out of order"]
      fail_if_header_matches: [{header: Set-Cookie, regexp: "=[0-9]", allow_missing: true}]
  json: {prober: http, http: {fail_if_body_json_not_matches_cel: "body.ready && body.replicas > 2"}}
  gzip: {prober: http, http: {compression: gzip, fail_if_body_not_matches_regexp: [world]}}
  small: {prober: http, http: {body_size_limit: 100B, fail_if_body_matches_regexp: [error]}}
  connect: {prober: tcp}
  tls: {prober: tcp, tcp: {tls: true, tls_config: {insecure_skip_verify: true, min_version: TLS13}}}
  smtp:
    prober: tcp
    timeout: 3s
    tcp:
      query_response:
      - {expect: "^220 ([^ ]+)", send: "EHLO prober\r"}
      - {expect: "^250 STARTTLS", send: "STARTTLS\r"}
      - {expect: "^220 ready", starttls: true}
      - send: "QUIT\r"
  redis: {prober: tcp, tcp: {query_response: [{send: PING}, {expect: "^.PONG"}]}}
"#;

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// "hello world\n", 2,000 times over.
const GZIP: &[u8] = include_bytes!("hello.gz");

/// SETTINGS, a head of `:status 200`, and a body of two bytes that ends the
/// stream (RFC 9113, RFC 7541).
const H2: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x02\0\x01\0\0\0\x01ok";

impl Script {
    /// The script of a seed: up to four targets, and who is behind them. The same
    /// for ever.
    pub fn of_seed(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let digits = rng.seed().map(|byte| format!("{byte:02x}"));
        let mut script = Self {
            seed: digits.concat(),
            config: MODULES.into(),
            in_flight: *rng.pick(&[0, 0, 0, 1, 2]),
            starts_per_destination: *rng.pick(&[0, 0, 0, 1]),
            burst_per_destination: 1,
            until: rng.between(12, 30) * SECOND,
            commands: Vec::new(),
            names: BTreeMap::new(),
            peers: BTreeMap::new(),
        };
        let targets = rng.between(1, 4);
        for number in 0..targets {
            let target = script.target(&mut rng, number);
            let at = rng.below(2) * rng.below(3 * SECOND);
            script.command(at, What::Add { target });
        }
        let target = script.target(&mut rng, targets);
        script.command(rng.below(5 * SECOND), What::Run { target });
        script.command(rng.below(10 * MILLI), What::Begin);
        script.intervene(&mut rng, targets);
        script.commands.sort_by_key(|command| command.at);
        script
    }

    fn command(&mut self, at: u64, what: What) {
        self.commands.push(Command { at, what });
    }

    /// What a host may do besides, sometimes.
    fn intervene(&mut self, rng: &mut Rng, targets: u64) {
        let number = rng.below(targets) as usize;
        let at = rng.below(self.until);
        match rng.below(8) {
            0 => self.command(at, What::Remove { number }),
            1 => self.command(at, What::Trigger { number }),
            2 => {
                let at = rng.below(6 * SECOND);
                self.command(at, What::Cancel { number: 0 });
            }
            3 => self.command(at, What::Drain),
            4 => {
                let target = Target {
                    module: "web".into(),
                    target: "ftp://a.test/".into(),
                    ..Target::default()
                };
                self.command(at, What::Run { target });
            }
            _ => {}
        }
    }

    /// A target, with the name and the peers that it needs.
    fn target(&mut self, rng: &mut Rng, number: u64) -> Target {
        let module = *rng.pick(&[
            "web", "web", "web4", "only6", "post", "teapot", "words", "json", "gzip", "small",
            "connect", "tls", "smtp", "redis",
        ]);
        let dialogue = ["connect", "tls", "smtp", "redis"].contains(&module);
        let secure = module == "tls" || !dialogue && rng.below(4) == 0;
        let port = rng.between(1, 65_535) as u16;
        let host = self.host(rng, number, port, |rng| match dialogue {
            true => dialogue_plan(rng, module),
            false => web_plan(rng, secure),
        });
        let target = match (dialogue, secure) {
            (true, _) => format!("{host}:{port}"),
            (false, true) => format!("https://{host}:{port}/{number}?q=1"),
            (false, false) => format!("http://{host}:{port}/{number}"),
        };
        Target {
            module: module.into(),
            target,
            hostname: (*rng.pick(&["", "", "", "other.test"])).into(),
            interval: rng.between(1, 8) * 500 * MILLI,
            timeout: *rng.pick(&[0, 100 * MILLI, 400 * MILLI, 500 * MILLI]),
            initial_delay: rng.below(2) * rng.below(2 * SECOND),
            success_threshold: rng.below(3) as u32,
            failure_threshold: rng.below(4) as u32,
            kind: *rng.pick(&[0, 0, 0, 2]),
        }
    }

    /// A name or an address at which somebody is, as it is written in a target.
    fn host(
        &mut self,
        rng: &mut Rng,
        number: u64,
        port: u16,
        mut plan: impl FnMut(&mut Rng) -> Plan,
    ) -> String {
        let low = number as u8 + 1;
        let v4 = IpAddr::from(Ipv4Addr::new(192, 0, 2, low));
        let v6 = IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, low.into()));
        for ip in [v4, v6] {
            let plans = (0..rng.between(1, 6)).map(|_| plan(rng)).collect();
            self.peers.insert(SocketAddr::new(ip, port), plans);
        }
        let name = format!("{}.test", char::from(b'a' + number as u8));
        match rng.below(4) {
            0 => v4.to_string(),
            1 => format!("[{v6}]"),
            _ => {
                let answers = (0..rng.between(1, 4))
                    .map(|_| answer(rng, v4, v6))
                    .collect();
                self.names.insert(name.clone(), answers);
                name
            }
        }
    }
}

fn answer(rng: &mut Rng, v4: IpAddr, v6: IpAddr) -> Answer {
    let found = |addresses: &[IpAddr]| (addresses.to_vec(), "");
    let (addresses, reason) = match rng.below(8) {
        0 => (Vec::new(), "dns_not_found"),
        1 => (Vec::new(), *rng.pick(&["dns_timeout", "no_descriptors"])),
        2 | 3 => found(&[v4]),
        4 => found(&[v6]),
        _ => found(&[v4, v6]),
    };
    Answer {
        after: delay(rng),
        addresses,
        reason: reason.into(),
    }
}

/// Mostly short, sometimes too long for any run.
fn delay(rng: &mut Rng) -> u64 {
    match rng.below(12) {
        0 => 0,
        1 => rng.below(SECOND),
        2 => 30 * SECOND,
        _ => rng.below(20 * MILLI),
    }
}

fn event(after: u64, what: Happening) -> Event {
    Event { after, what }
}

fn ended(why: &str, reason: &str, detail: &str) -> Happening {
    Happening::Closed(Box::new(Ended {
        why: why.into(),
        reason: reason.into(),
        detail: detail.into(),
        tls: None,
    }))
}

/// The end of a dialling: mostly good.
fn open(rng: &mut Rng) -> Vec<Event> {
    let what = match rng.below(20) {
        0 => ended("refused", "", ""),
        1 => ended("unreachable", "", ""),
        2 => ended("timed_out", "", ""),
        3 => ended("other", "", "Operation \u{201e}not\u{201c} permitted"),
        4 => {
            let reason: &&str = rng.pick(&["no_source_port", "local_denied"]);
            ended("local", reason, "")
        }
        5 => ended("reset", "", ""),
        6 => return Vec::new(),
        _ => Happening::Opened {},
    };
    vec![event(delay(rng), what)]
}

/// The end of a handshake: mostly good.
fn secure(rng: &mut Rng, alpn: &str) -> Vec<Event> {
    let tls = Tls {
        version: (*rng.pick(&["TLS 1.2", "TLS 1.3"])).into(),
        cipher: "TLS_AES_128_GCM_SHA256".into(),
        alpn: alpn.into(),
        earliest_expiry: 1_800_000_000 + rng.below(1_000_000) as i64,
        chain_expiry: (1_900_000_000 * rng.below(2)) as i64,
        fingerprint_sha256: "00ff".repeat(16),
        subject: "CN=caf\u{e9}.test".into(),
        issuer: "CN=issuer \\ one".into(),
        subject_alternative: "a.test,b.test".into(),
        serial: "0a".into(),
    };
    let what = match rng.below(8) {
        0 => Happening::Closed(Box::new(Ended {
            why: "tls".into(),
            reason: "tls_certificate_expired".into(),
            detail: "the certificate has expired".into(),
            tls: Some(tls),
        })),
        1 => ended("tls", "tls_not_tls", "not TLS"),
        2 => ended("reset", "", ""),
        _ => Happening::Secured(Box::new(tls)),
    };
    vec![event(delay(rng), what)]
}

/// Bytes in pieces, perhaps cut off, and how the connection ends.
fn pieces(rng: &mut Rng, bytes: &[u8]) -> Vec<Event> {
    let most = match rng.below(6) {
        0 => rng.below(bytes.len() as u64 + 1) as usize,
        _ => bytes.len(),
    };
    let mut rest = &bytes[..most];
    let mut after = delay(rng);
    let mut events = Vec::new();
    while !rest.is_empty() {
        let size = match rng.below(3) {
            0 => rest.len(),
            _ => rng.between(1, rest.len() as u64) as usize,
        };
        let (piece, others) = rest.split_at(size);
        events.push(event(after, Happening::Data(text(piece))));
        rest = others;
        after += rng.below(2) * rng.below(30 * MILLI);
    }
    match rng.below(8) {
        0 => events.push(event(after, ended("reset", "", ""))),
        1 => {}
        _ => events.push(event(after, ended("end", "", ""))),
    }
    events
}

fn web_plan(rng: &mut Rng, secured: bool) -> Plan {
    let h2 = secured && rng.below(3) == 0;
    let bytes = match h2 {
        true => H2.to_vec(),
        false => web_answer(rng),
    };
    Plan {
        open: open(rng),
        secure: secure(rng, if h2 { "h2" } else { "" }),
        send: vec![pieces(rng, &bytes)],
    }
}

fn web_answer(rng: &mut Rng) -> Vec<u8> {
    let with = |head: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    };
    match rng.below(14) {
        0 => with("503 Service Unavailable\r\nRetry-After: 5", b"out of order"),
        1 => with("418 I'm a teapot", b"short and stout"),
        2 => with("302 Found\r\nLocation: /next", b""),
        3 => with("301 Moved\r\nLocation: http://b.test/\r\nSet-Cookie: a=1", b""),
        4 => with("302 Found\r\nLocation: ftp://b.test/", b""),
        5 => with("200 OK", br#"{"ready": true, "replicas": 3}"#),
        6 => with("200 OK", br#"{"ready": true, "replicas": 1, "more": [1.5e3, null]}"#),
        7 | 8 => with("200 OK\r\nContent-Encoding: gzip", GZIP),
        9 => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n"
            .to_vec(),
        10 => b"HTTP/1.0 200 OK\r\nLast-Modified: Tue, 24 Nov 2026 10:00:00 GMT\r\n\r\nhello world"
            .to_vec(),
        11 => b"SSH-2.0-nobody\r\n".to_vec(),
        12 => with("200 OK\r\nSet-Cookie: b=2", &b"error ".repeat(40)),
        _ => with("200 OK", b"hello world \xff\x00"),
    }
}

fn dialogue_plan(rng: &mut Rng, module: &str) -> Plan {
    let mut plan = Plan {
        open: open(rng),
        secure: secure(rng, ""),
        send: Vec::new(),
    };
    match module {
        "smtp" => {
            let opened = plan.open.iter().find_map(|event| match event.what {
                Happening::Opened {} => Some(event.after),
                _ => None,
            });
            if let Some(at) = opened {
                let greeting = b"220 mail.test ESMTP\r\n";
                plan.open
                    .push(event(at + delay(rng), Happening::Data(text(greeting))));
            }
            let offers: &[u8] = match rng.below(4) {
                0 => b"250 HELP\r\n",
                _ => b"250-mail.test\r\n250 STARTTLS\r\n",
            };
            plan.send
                .push(vec![event(delay(rng), Happening::Data(text(offers)))]);
            let ready = Happening::Data(text(b"220 ready\r\n"));
            plan.send.push(vec![event(delay(rng), ready)]);
        }
        "redis" => {
            let answer: &[u8] = match rng.below(3) {
                0 => b"-NOAUTH Authentication required.\r\n",
                _ => b"+PONG\r\n",
            };
            plan.send.push(pieces(rng, answer));
        }
        _ => {}
    }
    plan
}
