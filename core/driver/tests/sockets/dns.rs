//! Names, asked of a scripted server.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use probity_driver::{Config, Driver, Handle};
use probity_engine::resolve::ResolverConfig;
use probity_engine::{Outcome, Phase, Reason};

use crate::support::{closing_server, config, probe, stats, tcp};

/// Where the question of a query ends: after the name, a type and a class.
fn question_end(query: &[u8]) -> Option<usize> {
    let mut at = 12;
    loop {
        let length = *query.get(at)? as usize;
        at += 1 + length;
        if length == 0 {
            return Some(at + 4);
        }
    }
}

/// Answers A with 127.0.0.1 and everything else with nothing; names that begin
/// with `gone` do not exist.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let end = question_end(query)?;
    let is_a = query.get(end - 4..end)? == [0, 1, 0, 1];
    let is_gone = query.get(13..17)? == b"gone";
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, if is_gone { 0x83 } else { 0x80 }]);
    reply.extend([0, 1, 0, u8::from(is_a && !is_gone), 0, 0, 0, 0]);
    reply.extend(&query[12..end]);
    if is_a && !is_gone {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(reply)
}

fn dns_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let address = socket.local_addr().expect("its address");
    let queries = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&queries);
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            counter.fetch_add(1, Ordering::SeqCst);
            if let Some(reply) = answer(&buffer[..len]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    (address, queries)
}

fn start_with(resolver: ResolverConfig) -> Handle {
    Driver::start(Config {
        names: resolver.into(),
        ..config(1)
    })
    .expect("the driver starts")
}

#[test]
fn who_asks_for_one_run_is_told_what_the_name_is_now() {
    let (server, queries) = dns_server();
    let handle = start_with(ResolverConfig::with_servers(&[server]));
    let address = closing_server();
    let target = format!("web.test:{}", address.port());
    let report = probe(&handle, &tcp(), &target);
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    assert_eq!(report.address, Some(address));
    assert!(report.phases.get(Phase::Resolve).is_some());
    let asked = queries.load(Ordering::SeqCst);
    assert!(asked > 0);
    // What targets of jobs would remember is not taken here.
    let report = probe(&handle, &tcp(), &target);
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    assert_eq!(queries.load(Ordering::SeqCst), 2 * asked);
    assert_eq!(stats(&handle).engine.resolver.cache_hits, 0);
}

#[test]
fn a_name_that_does_not_exist_is_the_targets_fault() {
    let (server, _) = dns_server();
    let handle = start_with(ResolverConfig::with_servers(&[server]));
    let report = probe(&handle, &tcp(), "gone.test:80");
    let failure = Outcome::Failure(Reason::DnsNotFound);
    assert_eq!(report.outcome, failure, "{}", report.detail);
}

#[test]
fn a_dns_server_that_is_not_there_is_found_out_by_icmp() {
    let nobody = {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.local_addr().expect("its address")
    };
    // Far longer than the test may take: only a refusal ends it in time.
    let resolver = ResolverConfig::with_servers(&[nobody])
        .timeout(Duration::from_secs(30))
        .attempts(5);
    let handle = start_with(resolver);
    let report = probe(&handle, &tcp(), "web.test:80");
    let failure = Outcome::Failure(Reason::DnsServerFailure);
    assert_eq!(report.outcome, failure, "{}", report.detail);
}
