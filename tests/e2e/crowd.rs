//! More clients than there are connections for.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use probity_tests::support::http::{encode, try_request};
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;

use crate::Folder;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("crowd":
        probes_beyond_the_connections_are_told_and_counted,
        idle_clients_keep_nobody_out,
        more_connections_than_descriptors_are_not_promised,
    )
}

fn probes_beyond_the_connections_are_told_and_counted() {
    const PLACES: usize = 4;
    let folder = Folder::with("modules: {http_2xx: {prober: http, timeout: 60s}}\n");
    let places = format!("--web.max-connections={PLACES}");
    let server = Probity::serve_with(&folder.config(), &[&places]);
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let path = format!("/probe?target={}", encode(&silent.url()));
    let address = server.address;
    let ask = || {
        let path = path.clone();
        thread::spawn(move || try_request(address, "GET", &path, &[]))
    };
    let busy: Vec<_> = (0..PLACES).map(|_| ask()).collect();
    until("all connections are in use", || {
        (silent.connections() == PLACES).then_some(())
    });
    for refused in (0..3).map(|_| ask()).collect::<Vec<_>>() {
        let answer = refused.join().expect("a thread").expect("an answer");
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(
            answer.text().contains("--web.max-connections"),
            "{answer:?}"
        );
    }
    // Who looks after the process is answered all the same.
    assert_eq!(server.get("/-/healthy").status, 200);
    let own = server.samples("/metrics");
    let overload = own.value("probity_unknown_total", &[("reason", "overload")]);
    assert_eq!(overload, Some(3.0));
    assert_eq!(
        server
            .log()
            .lines(&["level=WARN", "Probes are refused"])
            .len(),
        1
    );
    server.stop();
    drop(busy);
}

fn idle_clients_keep_nobody_out() {
    let folder = Folder::with("modules: {http_2xx: {prober: http}}\n");
    let server = Probity::serve_with(&folder.config(), &["--web.max-connections=200"]);
    let idle: Vec<_> = (0..700)
        .map(|_| TcpStream::connect(server.address).expect("a connection"))
        .collect();
    let begun = Instant::now();
    assert_eq!(server.get("/-/healthy").status, 200);
    // Five hundred are sent away first: all at once, when each has been idle for a
    // second, and not a few in a second.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    drop(idle);
    server.stop();
}

fn more_connections_than_descriptors_are_not_promised() {
    let folder = Folder::with("modules: {http_2xx: {prober: http}}\n");
    let server = Probity::serve_with(&folder.config(), &["--web.max-connections=4000000000"]);
    let said = [
        "level=WARN",
        "Too few descriptors for --web.max-connections",
    ];
    assert_eq!(server.log().lines(&said).len(), 1, "{:?}", server.log());
    server.stop();
}
