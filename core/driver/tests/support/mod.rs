//! Servers on loopback, specs for them, and waiting for what they cause.
#![allow(dead_code, reason = "not every test needs everything")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use probity_driver::{Config, Driver, Fleet, FleetQuery, Handle, Once, OwnedReport, Stats};
use probity_engine::check::{Module, ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::resolve::ResolverConfig;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Schedule, Spec};

/// Longer than anything takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn config(workers: usize) -> Config {
    Config {
        workers,
        names: ResolverConfig::default().into(),
        ..Config::default()
    }
}

pub(crate) fn start(workers: usize) -> Handle {
    Driver::start(config(workers)).expect("the driver starts")
}

/// A module as it would stand in the file, in JSON.
pub(crate) fn module(json: &str) -> Module {
    let config: ModuleConfig = serde_json::from_str(json).expect("a module");
    config.compile(&NoFiles).expect("a valid module")
}

pub(crate) fn tcp() -> Module {
    module(r#"{"prober": "tcp"}"#)
}

pub(crate) fn http() -> Module {
    module(r#"{"prober": "http"}"#)
}

/// A spec with a period of `millis` and a timeout that is never reached.
pub(crate) fn spec(module: &Module, target: &str, millis: u64, group: u32) -> Arc<Spec> {
    let check = module
        .target(target, TargetParams::default())
        .expect("a target");
    let period = Duration::from_millis(millis);
    Arc::new(Spec {
        check,
        schedule: Schedule::new(period, PATIENCE, Duration::ZERO).expect("a schedule"),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).expect("thresholds"),
        group: GroupId(group),
    })
}

/// Asks for one run.
pub(crate) fn begin(
    handle: &Handle,
    module: &Module,
    target: &str,
    timeout: Duration,
) -> mpsc::Receiver<OwnedReport> {
    let (tx, rx) = mpsc::channel();
    let once = Once {
        spec: spec(module, target, 1_000, 0),
        timeout,
        trace: false,
    };
    handle
        .run_once(once, move |report| tx.send(report).unwrap_or_default())
        .expect("the inbox has room");
    rx
}

/// Runs a check once, with a timeout that is never reached.
pub(crate) fn probe(handle: &Handle, module: &Module, target: &str) -> OwnedReport {
    begin(handle, module, target, PATIENCE)
        .recv_timeout(2 * PATIENCE)
        .expect("every run is reported")
}

pub(crate) fn fleet(handle: &Handle, query: FleetQuery) -> Fleet {
    let (tx, rx) = mpsc::channel();
    handle
        .fleet(query, move |fleet| tx.send(fleet).unwrap_or_default())
        .expect("the inboxes have room");
    rx.recv_timeout(PATIENCE).expect("an answer")
}

pub(crate) fn stats(handle: &Handle) -> Stats {
    let (tx, rx) = mpsc::channel();
    // What was accepted a moment ago may still fill them.
    wait_until("the inboxes have room", || {
        let tx = tx.clone();
        let asked = handle.stats(move |stats| tx.send(stats).unwrap_or_default());
        asked.is_ok()
    });
    rx.recv_timeout(PATIENCE).expect("an answer")
}

/// Waits until `is_so`, and fails if that takes unreasonably long.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A server that gives every connection to `serve`, each on its own thread.
pub(crate) fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    serve_at(TcpListener::bind("127.0.0.1:0").expect("a listener"), serve)
}

fn serve_at(
    listener: TcpListener,
    serve: impl Fn(TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let address = listener.local_addr().expect("its address");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The same for a network of small segments, towards which the client's kernel
/// takes some tens of KiB that are not read.
pub(crate) fn narrow_server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let socket = socket2::SockRef::from(&listener);
    socket.set_tcp_mss(536).expect("an option");
    socket.set_recv_buffer_size(4_096).expect("an option");
    serve_at(listener, serve)
}

/// A server that accepts and closes, on one thread.
pub(crate) fn closing_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// A port on which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    listener.local_addr().expect("its address")
}

/// A server that says nothing and waits for the client to leave.
pub(crate) fn silent_server() -> SocketAddr {
    server(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

/// Reads a request's head.
pub(crate) fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
    head
}

/// An HTTP server that answers every request with these bytes and closes.
pub(crate) fn http_server(answer: &'static [u8]) -> SocketAddr {
    server(move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(answer);
    })
}

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
