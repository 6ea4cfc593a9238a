//! TLS by the library: servers in memory whose bytes come in pieces, hosts that say
//! what is not theirs to say, and what a host that does TLS itself is told.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use probity_transcript::Reported;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::log::{Heard, listening};
use super::transcript::{bytes_of, reported, string, vec};
use super::*;
use crate::secure::*;

/// Who vouches for the servers.
pub(super) struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a CA"))
    }

    /// A file whose modules trust this CA.
    pub(super) fn modules(&self) -> String {
        let ca = self.0.pem().replace('\n', "\\n");
        let tls = format!(r#""tls_config": {{"ca": "{ca}"}}"#);
        let body = "b".repeat(BODY);
        format!(
            r#"{{"modules": {{
                "web": {{"prober": "http", "http": {{{tls}}}}},
                "post": {{"prober": "http", "http": {{{tls}, "method": "POST",
                    "enable_http2": false, "body": "{body}"}}}},
                "proxied": {{"prober": "http", "http": {{{tls},
                    "proxy_url": "https://192.0.2.9:3128"}}}},
                "tcp": {{"prober": "tcp", "tcp": {{"tls": true, {tls}}}}},
                "smtp": {{"prober": "tcp", "tcp": {{{tls},
                    "query_response": [{{"expect": "^220"}}, {{"send": "STARTTLS"}},
                        {{"expect": "^220"}}, {{"starttls": true}}, {{"expect": "^hello$"}}]}}}},
                "nonsense": {{"prober": "http", "http": {{"tls_config": {{"ca": "nonsense"}}}}}}
            }}}}"#
        )
    }

    /// What a server needs whose certificate is for `name` and expires at the end
    /// of `year`.
    pub(super) fn server(&self, name: &str, year: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![cert.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a server's configuration");
        Arc::new(config)
    }
}

/// Bytes of the body that the module `post` sends: several pieces and a rest.
const BODY: usize = 1_000_001;

const OK_OVER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// A body that ends with its connection.
const UNTIL_THE_END: &[u8] = b"HTTP/1.1 200 OK\r\n\r\nall there is";

/// What is at the other end: it is given what was sent, and says what comes back
/// and whether the stream ends after that.
pub(super) type Peer = Box<dyn FnMut(&[u8]) -> (Vec<u8>, bool)>;

/// A server in memory.
struct Server {
    conn: ServerConnection,
    request: Vec<u8>,
}

impl Server {
    fn new(config: &Arc<ServerConfig>) -> Self {
        Self {
            conn: ServerConnection::new(Arc::clone(config)).expect("a connection"),
            request: Vec::new(),
        }
    }

    /// Reads what was sent. False: it is not to its liking.
    fn read(&mut self, mut sent: &[u8]) -> bool {
        while !sent.is_empty() {
            self.conn.read_tls(&mut sent).expect("it is memory");
            if self.conn.process_new_packets().is_err() {
                return false;
            }
            // Nothing more, or a close_notify.
            let _ = self.conn.reader().read_to_end(&mut self.request);
        }
        true
    }

    fn write(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.conn.wants_write() {
            self.conn.write_tls(&mut records).expect("it is memory");
        }
        records
    }

    fn has_request(&self) -> bool {
        self.request.windows(4).any(|four| four == b"\r\n\r\n")
    }
}

/// Answers a request with `answer`, after which it says goodbye.
pub(super) fn https(config: &Arc<ServerConfig>, answer: &'static [u8]) -> Peer {
    let mut server = Server::new(config);
    Box::new(move |sent| {
        let ends = !server.read(sent);
        if server.has_request() {
            server.request.clear();
            server.conn.writer().write_all(answer).expect("it is open");
            server.conn.send_close_notify();
        }
        (server.write(), ends)
    })
}

/// Answers with a body that ends with the stream, of which the last `cut` bytes are
/// missing; the end is `announced` or just comes.
fn ending(config: &Arc<ServerConfig>, announced: bool, cut: usize) -> Peer {
    let mut server = Server::new(config);
    Box::new(move |sent| {
        if !server.read(sent) {
            return (server.write(), true);
        }
        let mut records = server.write();
        if !server.has_request() {
            return (records, false);
        }
        server.request.clear();
        let mut writer = server.conn.writer();
        writer.write_all(UNTIL_THE_END).expect("it is open");
        if announced {
            server.conn.send_close_notify();
        }
        records.extend(server.write());
        records.truncate(records.len() - cut);
        (records, !announced)
    })
}

/// Sends the same whatever it is sent, and then ends the stream.
fn always(answer: &'static [u8]) -> Peer {
    Box::new(|_| (answer.into(), true))
}

/// An engine that does TLS, with what it is given.
struct World {
    config: probity_config,
    engine: probity_engine,
    heard: Box<Heard>,
}

impl World {
    fn new(ca: &Ca) -> Self {
        let mut config = probity_config { bits: 0 };
        let (name, text) = (lend_text("tls.json"), ca.modules());
        let text = lend_text(&text);
        let mut engine = probity_engine { bits: 0 };
        let heard = Box::<Heard>::default();
        let with = probity_engine_config {
            seed: bytes_of(&SEED),
            tls: PROBITY_TLS_LIBRARY,
            on_log: Some(listening),
            log_context: heard.context(),
            ..zeroed()
        };
        // SAFETY: all places are of this function; what hears lives longer.
        let results = unsafe {
            [
                probity_config_parse(name, text, PROBITY_FILES_NONE, &mut config, null_mut()),
                probity_engine_new(&with, 0, &mut engine),
            ]
        };
        assert_eq!(results, [Ok, Ok]);
        Self {
            config,
            engine,
            heard,
        }
    }

    fn start(&self, module: &str, name: &str) -> u64 {
        let wanted = probity_target {
            module: lend_text(module),
            ..target(self.config, name)
        };
        let mut run = 0;
        // SAFETY: all places are of this function.
        let result =
            unsafe { probity_engine_run(self.engine, &wanted, SECOND, &mut run, null_mut()) };
        assert_eq!(result, Ok);
        run
    }

    fn data(&self, run: u64, conn: u32, bytes: &[u8], now: u64) {
        // SAFETY: bytes of Rust.
        let told = unsafe { probity_engine_data(self.engine, run, conn, bytes_of(bytes), now) };
        assert_eq!(told, Ok);
    }

    fn closed(&self, run: u64, conn: u32, why: u32, now: u64) -> probity_result {
        let closed = probity_closed {
            why,
            reason: probity_reason("tls_handshake"),
            ..zeroed()
        };
        // SAFETY: a struct of this function.
        unsafe { probity_engine_closed(self.engine, run, conn, &closed, now) }
    }

    /// Runs a check against `peer`, what it sends cut into pieces of `piece` bytes.
    fn play(&self, module: &str, name: &str, piece: usize, peer: Peer) -> Played {
        let mut peer = Some(peer);
        self.play_with(module, name, piece, |_| {
            peer.take().expect("one connection")
        })
    }

    fn play_with(
        &self,
        module: &str,
        name: &str,
        piece: usize,
        mut accept: impl FnMut(probity_address) -> Peer,
    ) -> Played {
        let run = self.start(module, name);
        let (mut now, mut peers) = (SECOND, HashMap::new());
        let mut coming: VecDeque<(u32, Option<Vec<u8>>)> = VecDeque::new();
        let mut played = Played::default();
        loop {
            now += 1000;
            let (result, asked) = output(self.engine);
            let conn = asked.conn;
            if result == Ok {
                assert_eq!(asked.run, run);
                played.kinds.push(asked.kind);
            }
            match (result, asked.kind) {
                (Ok, PROBITY_OUTPUT_OPEN) => {
                    peers.insert(conn, accept(asked.address));
                    assert_eq!(probity_engine_opened(self.engine, run, conn, now), Ok);
                    let (first, ends) = peers.get_mut(&conn).expect("just made")(b"");
                    arrive(&mut coming, conn, piece, &first, ends);
                }
                (Ok, PROBITY_OUTPUT_SEND) => {
                    let sent = vec(asked.bytes);
                    if let Some(peer) = peers.get_mut(&conn) {
                        let (answer, ends) = peer(&sent);
                        arrive(&mut coming, conn, piece, &answer, ends);
                    }
                    played.sent.push(sent);
                }
                (Ok, PROBITY_OUTPUT_FLUSH) => {
                    assert!(peers.contains_key(&conn), "it is open");
                    assert_eq!(probity_engine_flushed(self.engine, run, conn, now), Ok);
                }
                (Ok, PROBITY_OUTPUT_CLOSE) => {
                    assert!(peers.remove(&conn).is_some(), "closed once");
                    coming.retain(|(from, _)| *from != conn);
                }
                (Ok, PROBITY_OUTPUT_REPORT) => {
                    assert!(peers.is_empty(), "all was closed");
                    // SAFETY: lent until the next call.
                    let report = unsafe { asked.report.as_ref() };
                    played.reported = Some(reported(report.expect("there is a report")));
                    return played;
                }
                (Ok, other) => panic!("an output of kind {other}"),
                (result, _) => {
                    assert_eq!(result, Nothing);
                    let (conn, bytes) = coming.pop_front().expect("nobody waits for ever");
                    if let Some(bytes) = bytes {
                        self.data(run, conn, &bytes, now);
                    } else if peers.remove(&conn).is_some() {
                        assert_eq!(self.closed(run, conn, PROBITY_CLOSED_END, now), Ok);
                    }
                }
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        assert_eq!(probity_engine_free(self.engine), Ok);
        assert_eq!(probity_config_free(self.config), Ok);
    }
}

fn arrive(
    coming: &mut VecDeque<(u32, Option<Vec<u8>>)>,
    conn: u32,
    piece: usize,
    bytes: &[u8],
    ends: bool,
) {
    let pieces = bytes.chunks(piece).map(|piece| (conn, Some(piece.into())));
    coming.extend(pieces);
    if ends {
        coming.push_back((conn, None));
    }
}

fn probity_reason(name: &str) -> u32 {
    // SAFETY: a text of Rust.
    unsafe { probity_reason_number(lend_text(name)) }
}

/// What a run has asked for and come to.
#[derive(Default)]
struct Played {
    kinds: Vec<u32>,
    sent: Vec<Vec<u8>>,
    reported: Option<Reported>,
}

impl Played {
    fn report(&self) -> &Reported {
        self.reported.as_ref().expect("it was reported")
    }

    fn verdict(&self) -> (&str, &str) {
        let report = self.report();
        (report.outcome, &report.reason)
    }
}

#[test]
fn https_is_probed_in_pieces_of_any_size_and_tells_of_the_certificate() {
    let ca = Ca::new();
    let (world, config) = (World::new(&ca), ca.server("192.0.2.7", 4095));
    for piece in [1, 7, 1000, usize::MAX] {
        let played = world.play("web", "https://192.0.2.7/", piece, https(&config, OK_OVER));
        let report = played.report();
        assert_eq!(played.verdict(), ("success", ""), "{}", report.detail);
        let tls = report.tls.as_ref().expect("a handshake");
        assert_eq!(tls.version, "TLS 1.3");
        assert!(tls.cipher.starts_with("TLS_"), "{}", tls.cipher);
        assert_eq!(tls.fingerprint_sha256.len(), 64);
        assert!(tls.earliest_expiry > 67_000_000_000, "the year 4095");
        assert!(tls.chain_expiry >= tls.earliest_expiry);
        assert!(report.phases[PROBITY_PHASE_TLS as usize].is_some());
        let plain = |sent: &Vec<u8>| sent.windows(4).any(|four| four == b"GET ");
        assert!(!played.sent.iter().any(plain), "nothing is sent as it is");
        assert_eq!(
            played.kinds.last_chunk().copied(),
            Some([PROBITY_OUTPUT_CLOSE, PROBITY_OUTPUT_REPORT])
        );
    }
    assert!(world.heard.lines().is_empty());
}

#[test]
fn what_a_handshake_lacks_has_its_reason_and_the_server_is_told() {
    let ca = Ca::new();
    let world = World::new(&ca);
    let good = ca.server("192.0.2.7", 4095);
    let cases: [(&str, Peer); 6] = [
        (
            "tls_unknown_issuer",
            https(&Ca::new().server("192.0.2.7", 4095), OK_OVER),
        ),
        (
            "tls_certificate_expired",
            https(&ca.server("192.0.2.7", 2001), OK_OVER),
        ),
        (
            "tls_name_mismatch",
            https(&ca.server("192.0.2.8", 4095), OK_OVER),
        ),
        ("tls_not_tls", always(b"220 mail.example ESMTP\r\n")),
        ("tls_handshake", always(b"")),
        // Half of the first flight, and then the end.
        ("tls_handshake", {
            let mut server = https(&good, OK_OVER);
            Box::new(move |sent| {
                let mut flight = server(sent).0;
                flight.truncate(flight.len() / 2);
                (flight, true)
            })
        }),
    ];
    for (number, (reason, mut peer)) in cases.into_iter().enumerate() {
        let refused = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&refused);
        let listening: Peer = Box::new(move |sent| {
            // Nobody is spoken to before he has said hello.
            if sent.is_empty() {
                return (Vec::new(), false);
            }
            let (answer, ends) = peer(sent);
            noted.fetch_or(ends, Ordering::Relaxed);
            (answer, ends)
        });
        let played = world.play("web", "https://192.0.2.7/", 50, listening);
        assert_eq!(played.verdict(), ("failure", reason), "{number}");
        if number < 3 {
            let tls = played.report().tls.as_ref().expect("what was learnt");
            assert_ne!(tls.earliest_expiry, 0, "{number}");
            assert!(refused.load(Ordering::Relaxed), "{number}: an alert");
        }
    }
}

#[test]
fn the_end_of_a_stream_means_what_it_means_in_tls() {
    let ca = Ca::new();
    let (world, config) = (World::new(&ca), ca.server("192.0.2.7", 4095));
    for (announced, cut, verdict) in [
        (true, 0, ("success", "")),
        (false, 0, ("success", "")),
        (false, 1, ("failure", "peer_reset")),
    ] {
        let peer = ending(&config, announced, cut);
        let played = world.play("web", "https://192.0.2.7/", 64, peer);
        let detail = &played.report().detail;
        assert_eq!(played.verdict(), verdict, "{announced} {cut}: {detail}");
    }
}

#[test]
fn options_that_cannot_be_used_are_our_own_fault_and_said_in_the_log() {
    let ca = Ca::new();
    let world = World::new(&ca);
    let peer: Peer = Box::new(|sent| {
        assert!(sent.is_empty(), "nothing can be sent");
        (Vec::new(), false)
    });
    let played = world.play("nonsense", "https://192.0.2.7/", 64, peer);
    assert_eq!(played.verdict(), ("unknown", "local_tls"));
    let (open, close) = (PROBITY_OUTPUT_OPEN, PROBITY_OUTPUT_CLOSE);
    assert_eq!(played.kinds, [open, close, PROBITY_OUTPUT_REPORT]);
    let lines = world.heard.lines();
    assert!(lines[0].starts_with("1 tls 0 "), "{lines:?}");
    assert!(lines[0].contains(": ca: expected "), "{lines:?}");
    assert!(lines[1].starts_with("2 engine 0 a run could not be made: local_tls"));
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_long_request_is_sent_in_pieces_and_given_up_with_its_connection() {
    let ca = Ca::new();
    let (world, config) = (World::new(&ca), ca.server("192.0.2.7", 4095));
    let mut server = Server::new(&config);
    let peer: Peer = Box::new(move |sent| {
        assert!(server.read(sent));
        if server.request.len() > BODY {
            let body = &server.request[server.request.len() - BODY..];
            assert!(body.iter().all(|byte| *byte == b'b'));
            server.request.clear();
            server.conn.writer().write_all(OK_OVER).expect("it is open");
        }
        (server.write(), false)
    });
    let played = world.play("post", "https://192.0.2.7/", usize::MAX, peer);
    assert_eq!(
        played.verdict(),
        ("success", ""),
        "{}",
        played.report().detail
    );
    let largest = played.sent.iter().map(Vec::len).max().expect("something");
    assert!((40_000..50_000).contains(&largest), "{largest}");
    assert!(played.sent.len() > BODY / 50_000);

    // Half of it, and then the server is gone.
    let mut server = Server::new(&config);
    let mut peer = |sent: &[u8]| {
        assert!(server.read(sent));
        (server.write(), server.request.len())
    };
    let run = world.start("post", "https://192.0.2.7/");
    let mut now = SECOND;
    loop {
        now += 1000;
        let (result, asked) = output(world.engine);
        assert_eq!(result, Ok);
        if asked.kind == PROBITY_OUTPUT_OPEN {
            assert_eq!(probity_engine_opened(world.engine, run, 0, now), Ok);
            continue;
        }
        assert_eq!(asked.kind, PROBITY_OUTPUT_SEND);
        let (answer, has) = peer(&vec(asked.bytes));
        world.data(run, 0, &answer, now);
        if has > BODY / 2 {
            break;
        }
    }
    assert_eq!(world.closed(run, 0, PROBITY_CLOSED_RESET, now), Ok);
    let (result, asked) = output(world.engine);
    assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_REPORT));
    assert_eq!(output(world.engine).0, Nothing);
}

#[test]
fn starttls_begins_in_the_middle() {
    let ca = Ca::new();
    let (world, config) = (World::new(&ca), ca.server("192.0.2.7", 4095));
    let mut server = Server::new(&config);
    let (mut plain, mut greeted) = (Vec::new(), false);
    let peer: Peer = Box::new(move |sent| {
        if sent.is_empty() {
            return (b"220 mail.test\r\n".into(), false);
        }
        if plain.is_empty() {
            plain.extend_from_slice(sent);
            assert_eq!(plain, b"STARTTLS\n", "as it is");
            return (b"220 go ahead\r\n".into(), false);
        }
        assert!(server.read(sent));
        if !greeted && !server.conn.is_handshaking() {
            greeted = true;
            server.conn.writer().write_all(b"hello\n").expect("open");
        }
        (server.write(), false)
    });
    let played = world.play("smtp", "192.0.2.7:25", usize::MAX, peer);
    assert_eq!(
        played.verdict(),
        ("success", ""),
        "{}",
        played.report().detail
    );
    assert!(played.report().tls.is_some());
}

/// Two layers: what is inside the proxy's is opaque to it.
#[test]
fn an_https_target_behind_an_https_proxy_is_tls_inside_of_tls() {
    let ca = Ca::new();
    let (world, proxy) = (World::new(&ca), ca.server("192.0.2.9", 4095));
    let origin = ca.server("192.0.2.7", 4094);
    for piece in [1, usize::MAX] {
        let mut outer = Server::new(&proxy);
        let mut inner = https(&origin, OK_OVER);
        let mut dug = false;
        let peer: Peer = Box::new(move |sent| {
            assert!(outer.read(sent));
            let answer = match dug {
                true => inner(&std::mem::take(&mut outer.request)).0,
                false if outer.has_request() => {
                    assert!(outer.request.starts_with(b"CONNECT 192.0.2.7:443 "));
                    (dug, outer.request) = (true, Vec::new());
                    b"HTTP/1.1 200 OK\r\n\r\n".into()
                }
                false => Vec::new(),
            };
            outer.conn.writer().write_all(&answer).expect("it is open");
            (outer.write(), false)
        });
        let played = world.play("proxied", "https://192.0.2.7/", piece, peer);
        let report = played.report();
        assert_eq!(played.verdict(), ("success", ""), "{}", report.detail);
        let tls = report.tls.as_ref().expect("the target's");
        assert!(tls.earliest_expiry < 67_060_000_000, "the origin's, 4094");
    }
}

#[test]
fn a_host_that_left_tls_to_the_library_says_nothing_of_it() {
    let ca = Ca::new();
    let (world, config) = (World::new(&ca), ca.server("192.0.2.7", 4095));
    let run = world.start("web", "https://192.0.2.7/");
    assert_eq!(output(world.engine).1.kind, PROBITY_OUTPUT_OPEN);
    assert_eq!(probity_engine_opened(world.engine, run, 0, SECOND), Ok);
    let info: probity_tls_info = zeroed();
    for run in [run, 0, u64::MAX] {
        // SAFETY: a struct of this function.
        let told = unsafe { probity_engine_secured(world.engine, run, 0, &info, SECOND) };
        assert_eq!(told, BadArgument);
        let told = world.closed(run, 0, PROBITY_CLOSED_TLS, SECOND);
        assert_eq!(told, BadArgument);
    }
    // It was not told: the handshake goes on.
    let (result, asked) = output(world.engine);
    assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_SEND));
    let (flight, _) = https(&config, OK_OVER)(&vec(asked.bytes));
    world.data(run, 0, &flight, SECOND);
    assert_eq!(output(world.engine).1.kind, PROBITY_OUTPUT_SEND);
    // What comes after the end is nothing, however often it comes.
    for _ in 0..3 {
        assert_eq!(world.closed(run, 0, PROBITY_CLOSED_RESET, SECOND), Ok);
        world.data(run, 0, &flight, SECOND);
    }
    let (result, asked) = output(world.engine);
    assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_REPORT));
    assert_eq!(output(world.engine).0, Nothing);
    // And after the report.
    world.data(run, 0, &flight, SECOND);
    assert_eq!(world.closed(run, 0, PROBITY_CLOSED_END, SECOND), Ok);
    assert_eq!(output(world.engine).0, Nothing);
}

#[test]
fn who_does_tls_is_a_number_that_is_known() {
    let with = probity_engine_config {
        seed: bytes_of(&SEED),
        tls: 2,
        ..zeroed()
    };
    let mut engine = probity_engine { bits: 0 };
    // SAFETY: all places are of this function.
    let made = unsafe { probity_engine_new(&with, 0, &mut engine) };
    assert_eq!((made, engine.bits), (BadArgument, 0));
}

/// A server that asks for new keys again and again makes us answer each time.
#[test]
fn a_flood_of_key_updates_ends_and_leaves_little_to_be_sent() {
    let ca = Ca::new();
    let (world, config) = (World::new(&ca), ca.server("192.0.2.7", 4095));
    let mut server = Server::new(&config);
    let run = world.start("web", "https://192.0.2.7/");
    let mut to_send = 0;
    let mut turns = 0;
    loop {
        turns += 1;
        let (result, asked) = output(world.engine);
        match (result, asked.kind) {
            (Ok, PROBITY_OUTPUT_OPEN) => {
                assert_eq!(probity_engine_opened(world.engine, run, 0, SECOND), Ok);
            }
            (Ok, PROBITY_OUTPUT_SEND) if to_send == 0 => {
                server.read(&vec(asked.bytes));
                let flight = server.write();
                world.data(run, 0, &flight, SECOND);
            }
            (Ok, PROBITY_OUTPUT_SEND) => to_send += asked.bytes.length,
            (Ok, PROBITY_OUTPUT_CLOSE) => {}
            (Ok, PROBITY_OUTPUT_REPORT) => break,
            (result, kind) => {
                assert_eq!((result, kind), (Nothing, 0));
                to_send = 1;
                let mut flood = Vec::new();
                for _ in 0..1000 {
                    server.conn.refresh_traffic_keys().expect("TLS 1.3");
                    flood.extend(server.write());
                }
                world.data(run, 0, &flood, SECOND);
            }
        }
        assert!(turns < 200, "it ends");
    }
    assert!(to_send < 4096, "{to_send}");
}

/// What a host with TLS of its own is to do is all there.
#[test]
fn a_host_that_does_tls_is_told_how() {
    let text = r#"{"modules": {
        "web": {"prober": "http", "http": {"tls_config":
            {"insecure_skip_verify": true, "min_version": "TLS13", "server_name": "other.test"}}},
        "mutual": {"prober": "tcp", "tcp": {"tls": true, "tls_config":
            {"ca": "some CA", "cert": "a certificate", "key": "its key", "max_version": "TLS12"}}}
    }}"#;
    let (mut config, engine) = (probity_config { bits: 0 }, engine());
    // SAFETY: all places are of this function.
    let parsed = unsafe {
        probity_config_parse(
            lend_text("tls.json"),
            lend_text(text),
            PROBITY_FILES_NONE,
            &mut config,
            null_mut(),
        )
    };
    assert_eq!(parsed, Ok);
    let ask = |module: &str, name: &str| {
        let wanted = probity_target {
            module: lend_text(module),
            ..target(config, name)
        };
        let mut run = 0;
        // SAFETY: all places are of this function.
        let ran = unsafe { probity_engine_run(engine, &wanted, 0, &mut run, null_mut()) };
        assert_eq!(ran, Ok);
        assert_eq!(output(engine).1.kind, PROBITY_OUTPUT_OPEN);
        assert_eq!(probity_engine_opened(engine, run, 0, 0), Ok);
        let (result, asked) = output(engine);
        assert_eq!((result, asked.kind), (Ok, PROBITY_OUTPUT_SECURE));
        // SAFETY: lent until the next call.
        let request = *unsafe { asked.tls.as_ref() }.expect("what is asked");
        assert_eq!(string(asked.name), string(request.server_name));
        // SAFETY: as above.
        let alpn = unsafe { crate::boundary::slice(request.alpn, request.alpn_length) };
        let alpn: Vec<Vec<u8>> = alpn.expect("a list").iter().copied().map(vec).collect();
        let pem = [request.ca, request.certificate, request.key].map(vec);
        (request, string(request.server_name), alpn, pem)
    };
    let (web, name, alpn, pem) = ask("web", "https://192.0.2.7/");
    assert_eq!((&*name, web.skip_verify), ("other.test", 1));
    assert_eq!(alpn, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let versions = (web.min_version, web.max_version);
    assert_eq!(versions, (PROBITY_TLS_1_3, PROBITY_TLS_1_3));
    assert_eq!(pem, [b"", b"", b""]);
    let (mutual, name, alpn, pem) = ask("mutual", "192.0.2.8:443");
    assert_eq!((&*name, mutual.skip_verify), ("192.0.2.8", 0));
    assert!(alpn.is_empty());
    let versions = (mutual.min_version, mutual.max_version);
    assert_eq!(versions, (PROBITY_TLS_1_2, PROBITY_TLS_1_2));
    assert_eq!(pem, [&b"some CA"[..], b"a certificate", b"its key"]);
    assert_ne!(web.options, mutual.options);
    assert_eq!(ask("web", "https://192.0.2.9/").0.options, web.options);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

#[cfg(feature = "driver")]
mod beside_the_driver {
    use std::ffi::c_void;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::mpsc;

    use super::*;
    use crate::driver::*;

    type Made = Box<dyn Fn() -> Peer + Send + Sync>;

    /// Serves what is made on a port of its own.
    fn serve(make: Arc<Made>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        // It ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                talk(stream, make());
            }
        });
        port
    }

    fn talk(mut stream: TcpStream, mut peer: Peer) {
        let (mut buffer, mut length) = ([0; 16_384], 0);
        loop {
            let (answer, ends) = peer(&buffer[..length]);
            // A client that leaves is no concern of ours.
            let _ = stream.write_all(&answer);
            if ends {
                let _ = stream.shutdown(Shutdown::Write);
            }
            match stream.read(&mut buffer) {
                Result::Ok(got @ 1..) if !ends => length = got,
                Result::Ok(1..) => {}
                _ => return,
            }
        }
    }

    unsafe extern "C" fn done(context: *mut c_void, report: *const probity_report) {
        // SAFETY: what the test gave, and what the library lends.
        let (sender, report) = unsafe { (&*context.cast::<mpsc::Sender<Reported>>(), &*report) };
        sender.send(reported(report)).expect("the test waits");
    }

    /// What does not depend on how long anything took.
    fn essence(it: &Reported) -> String {
        let facts = it.facts.iter().filter(|fact| {
            let name = &fact.name;
            !name.contains("duration") && !name.contains("seconds")
        });
        let facts: Vec<String> = facts.map(|fact| format!("{fact:?}")).collect();
        let (verdict, tls) = ((it.outcome, &it.reason, &it.detail, it.phase), &it.tls);
        format!("{verdict:?} {:?} {tls:?} {facts:?}", it.address)
    }

    #[test]
    fn the_half_with_threads_comes_to_the_same() {
        let ca = Ca::new();
        let good = ca.server("127.0.0.1", 4095);
        let servers = [
            Arc::clone(&good),
            Ca::new().server("127.0.0.1", 4095),
            ca.server("127.0.0.1", 2001),
            ca.server("127.0.0.9", 4095),
        ];
        let mut made: Vec<Made> = Vec::new();
        for config in servers {
            made.push(Box::new(move || https(&config, OK_OVER)));
        }
        for (announced, cut) in [(true, 0), (false, 0), (false, 1), (false, 40)] {
            let config = Arc::clone(&good);
            made.push(Box::new(move || ending(&config, announced, cut)));
        }
        made.push(Box::new(|| always(b"220 mail.example ESMTP\r\n")));
        made.push(Box::new(|| always(b"")));

        let world = World::new(&ca);
        let mut driver = probity_driver { bits: 0 };
        let with = probity_driver_config {
            workers: 1,
            ..zeroed()
        };
        // SAFETY: all places are of this function.
        let started = unsafe { probity_driver_start(&with, &mut driver, null_mut()) };
        assert_eq!(started, Ok);
        // The worker may still be sending when the test has it.
        let (sender, receiver) = mpsc::channel::<Reported>();
        let context = (&raw const sender).cast_mut().cast();
        let mut seen = Vec::new();
        for make in made {
            let make = Arc::new(make);
            let url = format!("https://127.0.0.1:{}/", serve(Arc::clone(&make)));
            let wanted = probity_target {
                module: lend_text("web"),
                ..target(world.config, &url)
            };
            // SAFETY: what is sent on lives until it was.
            let ran =
                unsafe { probity_driver_run(driver, &wanted, Some(done), context, null_mut()) };
            assert_eq!(ran, Ok);
            let threaded = receiver.recv().expect("it is reported");
            let played = world.play("web", &url, 100, make());
            assert_eq!(essence(played.report()), essence(&threaded));
            seen.push(threaded.reason);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 7, "all kinds of them: {seen:?}");
        assert_eq!(probity_driver_free(driver), Ok);
        drop(sender);
    }
}
