//! The process: how it ends, and what it leaves open.

use std::io::Write as _;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use probity_tests::support::{LIMIT, Peer, Probity, http, until, until_within};
use probity_tests::trials;
use rustix::process::Signal;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("process":
        sigterm_lets_runs_in_flight_finish,
        sigterm_does_not_wait_for_ever,
        sigterm_takes_seconds,
        a_second_signal_ends_it_at_once,
        bad_peers_leave_no_descriptors_behind,
        a_taken_address_is_an_error,
    )
}

fn in_flight(server: &Probity) -> Option<f64> {
    server
        .samples("/metrics")
        .value("probity_runs_in_flight", &[])
}

fn sigterm_lets_runs_in_flight_finish() {
    let peer = Peer::status(200, Duration::from_secs(2));
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - {{job_name: slow, module: web, interval: 5s, static_configs: [{{targets: ['http://{}/']}}]}}
",
        peer.address
    ));
    let mut server = Probity::serve_with(&folder.config(), &["--engine.shutdown-grace=30s"]);
    until("a run is under way", || {
        (in_flight(&server) == Some(1.0)).then_some(())
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(!server.log().lines(&["SIGTERM"]).is_empty());
    assert!(
        server.log().lines(&["level=ERROR"]).is_empty(),
        "{:?}",
        server.log()
    );
    // The answer of the run in flight was awaited: the target came up.
    let flips = server.log().lines(&["Target changed", "state=up"]);
    assert_eq!(flips.len(), 1, "{:?}", server.log());
}

fn sigterm_does_not_wait_for_ever() {
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let folder = Folder::with(&format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - {{job_name: silent, module: web, interval: 300ms, timeout: 300ms, static_configs: [{{targets: ['http://{0}/']}}]}}
  - {{job_name: stuck, module: web, interval: 10m, timeout: 10m, static_configs: [{{targets: ['http://{0}/']}}]}}
",
        silent.address
    ));
    let server = Probity::serve_with(&folder.config(), &["--engine.shutdown-grace=1s"]);
    // One more that has all the time in the world.
    let target = http::encode(&silent.url());
    let address = server.address;
    let asked = std::thread::spawn(move || {
        let path = format!("/probe?module=web&target={target}");
        http::try_request(address, "GET", &path, &[])
    });
    until("runs are under way", || {
        (in_flight(&server) >= Some(1.0)).then_some(())
    });
    until("the probe is under way", || {
        (silent.connections() >= 3).then_some(())
    });
    assert!(server.stop() < LIMIT);
    // Nobody is told that the target failed: it is we who gave up.
    if let Ok(answer) = asked.join().expect("a thread") {
        assert_eq!(answer.status, 503, "{answer:?}");
    }
}

/// Asks for a probe of a target that never answers.
fn ask_in_vain(server: &Probity) -> (Peer, std::thread::JoinHandle<Option<u16>>) {
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let target = http::encode(&silent.url());
    let address = server.address;
    let asked = std::thread::spawn(move || {
        let path = format!("/probe?module=web&target={target}");
        let answer = http::try_request(address, "GET", &path, &[]);
        answer.ok().map(|answer| answer.status)
    });
    until("the probe is under way", || {
        (silent.connections() > 0).then_some(())
    });
    (silent, asked)
}

/// What a machine that is busy with other things may add.
const BUSY: Duration = Duration::from_secs(4);

fn sigterm_takes_seconds() {
    let folder = Folder::with("modules: {web: {prober: http}}\n");
    let idle = Probity::serve(&folder.config());
    let took = idle.stop();
    assert!(took < BUSY, "{took:?}: nothing is to be waited for");
    let server = Probity::serve(&folder.config());
    let (_silent, asked) = ask_in_vain(&server);
    // Some clients never say what they want, others never hear.
    let mute: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(server.address).expect("a connection");
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\n")
                .expect("sent");
            stream
        })
        .collect();
    let took = server.stop();
    // Three for the run, one for the clients, one for the log.
    assert!(took < Duration::from_secs(5) + BUSY, "{took:?}");
    assert!(took >= Duration::from_secs(3), "{took:?}: the run had time");
    drop(mute);
    // It is we who gave up.
    assert_eq!(asked.join().expect("a thread"), Some(503));
}

fn a_second_signal_ends_it_at_once() {
    let folder = Folder::with("modules: {web: {prober: http}}\n");
    let mut server = Probity::serve_with(&folder.config(), &["--engine.shutdown-grace=50s"]);
    let (_silent, asked) = ask_in_vain(&server);
    let begun = Instant::now();
    server.signal(Signal::TERM);
    until("it has heard", || {
        (!server.log().lines(&["SIGTERM"]).is_empty()).then_some(())
    });
    until("nobody is sent to it any more", || {
        (server.get("/-/ready").status == 503).then_some(())
    });
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < BUSY, "{:?}", begun.elapsed());
    assert_eq!(asked.join().expect("a thread"), None, "nothing false");
}

fn bad_peers_leave_no_descriptors_behind() {
    let peers = [
        Peer::new(|mut conn| conn.wait_for_close()),
        Peer::new(drop),
        Peer::answering(&b"\xff\x00\x80garbage\r\n\r\n"[..]),
        Peer::answering(&b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"[..]),
        Peer::answering(
            &b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"[..],
        ),
        Peer::new(|mut conn| {
            conn.request();
            conn.send(b"HTTP/1.1 200 OK\r\n\r\n");
            conn.send_without_end(&[b'a'; 1024], Duration::from_millis(5));
        }),
        Peer::status(200, Duration::ZERO),
    ];
    let mut targets: Vec<String> = Vec::new();
    for peer in &peers {
        for n in 0..4 {
            targets.push(format!(
                "'http://{}/{n}', 'https://{}/{n}'",
                peer.address, peer.address
            ));
        }
    }
    targets.push(format!("'http://{}/'", dead()));
    let idle = "modules: {web: {prober: http}}\n";
    let busy = format!(
        "{idle}jobs:\n  - {{job_name: bad, module: web, interval: 250ms, static_configs: [{{targets: [{}]}}]}}\n",
        targets.join(", ")
    );
    let folder = Folder::with(idle);
    let server = Probity::serve(&folder.config());
    let runs = || server.samples("/metrics").sum("probity_runs_total", &[]);
    // The first round opens what stays open: it is not a leak.
    let mut baseline = None;
    for round in 0..3 {
        folder.write("probity.yml", &busy);
        server.reload().ok();
        let before = runs();
        until_within(3 * LIMIT, "a thousand runs have ended", || {
            (runs() >= before + 1_000.0).then_some(())
        });
        folder.write("probity.yml", idle);
        server.reload().ok();
        until("nothing is in flight", || {
            (in_flight(&server) == Some(0.0)).then_some(())
        });
        let open = || {
            server
                .samples("/metrics")
                .sum("probity_connections_open", &[])
        };
        until("no connection is open", || (open() == 0.0).then_some(()));
        match baseline {
            None => baseline = Some(server.descriptors()),
            // Requests of our own may be closing; leaks would be hundreds.
            Some(baseline) => until(
                &format!("round {round} leaves {baseline} descriptors"),
                || (server.descriptors() <= baseline + 2).then_some(()),
            ),
        }
    }
    let unknown = server.samples("/metrics").sum("probity_unknown_total", &[]);
    let cancelled = server
        .samples("/metrics")
        .sum("probity_unknown_total", &[("reason", "cancelled")]);
    assert_eq!(
        unknown, cancelled,
        "only what was removed in flight may be unknown"
    );
    server.stop();
}

fn a_taken_address_is_an_error() {
    let peer = Peer::status(200, Duration::ZERO);
    let listen = format!("--web.listen-address={}", peer.address);
    let ended = probity_tests::support::probity::run(&[&listen]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains(&peer.address.to_string()),
        "{ended:?}"
    );
}
