//! HTTP servers, good and bad.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use probity_engine::{Outcome, Phase, Reason};

use crate::support::{
    OK, PATIENCE, begin, http, http_server, module, probe, read_head, server, silent_server, start,
};

fn url(address: std::net::SocketAddr) -> String {
    format!("http://{address}/")
}

#[test]
fn an_answer_is_judged_by_its_status() {
    let handle = start(1);
    let report = probe(&handle, &http(), &url(http_server(OK)));
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    let broken = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    let report = probe(&handle, &http(), &url(http_server(broken)));
    let failure = Outcome::Failure(Reason::HttpStatus);
    assert_eq!(report.outcome, failure, "{}", report.detail);
}

#[test]
fn a_server_that_says_nothing_times_out_while_processing() {
    let handle = start(1);
    let timeout = Duration::from_millis(300);
    let report = begin(&handle, &http(), &url(silent_server()), timeout)
        .recv_timeout(PATIENCE)
        .expect("a report");
    let timed_out = Outcome::Failure(Reason::TimeoutProcessing);
    assert_eq!(report.outcome, timed_out, "{}", report.detail);
}

#[test]
fn an_answer_may_come_one_byte_at_a_time() {
    let handle = start(1);
    let address = server(|mut stream| {
        stream.set_nodelay(true).expect("no delay");
        read_head(&mut stream);
        for byte in OK {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
    let report = probe(&handle, &http(), &url(address));
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    assert!(report.phases.get(Phase::Transfer).is_some());
}

#[test]
fn an_endless_body_ends_at_its_deadline_and_starves_nobody() {
    let handle = start(1);
    let endless = server(|mut stream| {
        read_head(&mut stream);
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(1 << 20, b'x');
        while stream.write_all(&answer).is_ok() {}
    });
    let good = url(http_server(OK));
    let timeout = Duration::from_secs(2);
    let endless = begin(&handle, &http(), &url(endless), timeout);
    for _ in 0..20 {
        let report = probe(&handle, &http(), &good);
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    }
    let report = endless.recv_timeout(PATIENCE).expect("a report");
    let timed_out = Outcome::Failure(Reason::TimeoutTransfer);
    assert_eq!(report.outcome, timed_out, "{}", report.detail);
}

#[test]
fn garbage_is_malformed() {
    let handle = start(1);
    let report = probe(
        &handle,
        &http(),
        &url(http_server(b"\0\x01\x02nonsense\r\n\r\n")),
    );
    let malformed = Outcome::Failure(Reason::HttpMalformed);
    assert_eq!(report.outcome, malformed, "{}", report.detail);
}

#[test]
fn a_server_that_leaves_early_has_closed() {
    let handle = start(1);
    let report = probe(&handle, &http(), &url(http_server(b"")));
    let closed = Outcome::Failure(Reason::PeerClosed);
    assert_eq!(report.outcome, closed, "{}", report.detail);
    let truncated = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    let report = probe(&handle, &http(), &url(http_server(truncated)));
    let truncated = Outcome::Failure(Reason::BodyTruncated);
    assert_eq!(report.outcome, truncated, "{}", report.detail);
}

#[test]
fn what_was_sent_before_the_end_is_read_before_it() {
    let handle = start(1);
    // Without a length the end of the connection is the end of the body.
    let module =
        module(r#"{"prober": "http", "http": {"fail_if_body_not_matches_regexp": ["x{1000}y$"]}}"#);
    let address = server(|mut stream| {
        read_head(&mut stream);
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(300_000, b'x');
        answer.push(b'y');
        let _ = stream.write_all(&answer);
    });
    for _ in 0..20 {
        let report = probe(&handle, &module, &url(address));
        assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    }
}

/// A POST whose body is more than any socket buffer holds.
fn large_post() -> probity_engine::check::Module {
    let body = "b".repeat(24 << 20);
    module(&format!(
        r#"{{"prober": "http", "http": {{"method": "POST", "body": "{body}"}}}}"#
    ))
}

#[test]
fn a_request_that_the_kernel_does_not_take_at_once_is_sent_in_full() {
    let handle = start(1);
    let address = server(|mut stream| {
        thread::sleep(Duration::from_millis(100));
        let head = read_head(&mut stream);
        assert!(String::from_utf8_lossy(&head).contains("25165824"));
        let mut body = vec![0; 24 << 20];
        stream.read_exact(&mut body).expect("the whole body");
        assert!(body.iter().all(|byte| *byte == b'b'));
        let _ = stream.write_all(OK);
    });
    let report = probe(&handle, &large_post(), &url(address));
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
}

#[test]
fn an_answer_to_a_request_that_nobody_reads_is_still_read() {
    let handle = start(1);
    let address = server(|mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
        // Closing with a body unread resets the connection.
    });
    let report = probe(&handle, &large_post(), &url(address));
    let status = Outcome::Failure(Reason::HttpStatus);
    assert_eq!(report.outcome, status, "{}", report.detail);
}
