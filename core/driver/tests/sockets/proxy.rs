//! Proxies on the way to real servers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use probity_engine::check::Module;
use probity_engine::{Outcome, Phase, Reason};

use crate::support::{OK, closed_port, http_server, module, probe, read_head, server, start};
use crate::tls::Ca;

fn http(section: &str) -> Module {
    module(&format!(r#"{{"prober": "http", "http": {{{section}}}}}"#))
}

/// Passes bytes on in both directions until one side has ended.
fn relay(client: &mut (impl Read + Write), to: SocketAddr) {
    let mut far = TcpStream::connect(to).expect("the target listens");
    let briefly = Some(Duration::from_millis(2));
    far.set_read_timeout(briefly).expect("a timeout");
    let mut bytes = [0; 4096];
    loop {
        for towards_target in [true, false] {
            let read = match towards_target {
                true => client.read(&mut bytes),
                false => far.read(&mut bytes),
            };
            let count = match read {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if nothing_yet(&error) => continue,
                Err(_) => return,
            };
            let written = match towards_target {
                true => far.write_all(&bytes[..count]),
                false => client.write_all(&bytes[..count]),
            };
            if written.is_err() {
                return;
            }
        }
    }
}

fn nothing_yet(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn set_brief(stream: &TcpStream) {
    let briefly = Some(Duration::from_millis(2));
    stream.set_read_timeout(briefly).expect("a timeout");
}

/// A proxy that connects everybody to `to`.
fn http_proxy(to: SocketAddr) -> SocketAddr {
    server(move |mut stream| {
        let head = read_head(&mut stream);
        if head.starts_with(b"CONNECT ") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            set_brief(&stream);
            relay(&mut stream, to);
        }
    })
}

fn socks_proxy(to: SocketAddr) -> SocketAddr {
    server(move |mut stream| {
        let mut greeting = [0; 3];
        let mut request = [0; 10];
        let talked = stream.read_exact(&mut greeting).and_then(|()| {
            stream.write_all(&[5, 0])?;
            stream.read_exact(&mut request)?;
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
        });
        if talked.is_ok() {
            set_brief(&stream);
            relay(&mut stream, to);
        }
    })
}

#[test]
fn a_target_is_reached_through_tunnels_of_each_kind() {
    let (handle, ca) = (start(1), Ca::new());
    let target = ca.server(4095);
    let secured = ca.answering(4095, move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        set_brief(&stream.sock);
        relay(stream, target);
    });
    for proxy in [
        format!("http://{}", http_proxy(target)),
        format!("socks5://{}", socks_proxy(target)),
        format!("https://{secured}"),
    ] {
        let pem = ca.pem();
        let module = http(&format!(
            r#""proxy_url": "{proxy}", "tls_config": {{"ca": "{pem}"}}"#
        ));
        let report = probe(&handle, &module, &format!("https://{target}/"));
        assert_eq!(
            report.outcome,
            Outcome::Success,
            "{proxy}: {}",
            report.detail
        );
        assert!(report.phases.get(Phase::Tls).is_some());
        assert_eq!(report.address, Some(target));
    }
}

#[test]
fn a_plain_target_is_asked_for_at_the_proxy() {
    let handle = start(1);
    let proxy = http_server(OK);
    let module = http(&format!(
        r#""proxy_url": "http://{proxy}", "skip_resolve_phase_with_proxy": true"#
    ));
    // Nobody but the proxy could know this name.
    let report = probe(&handle, &module, "http://name.invalid/");
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    assert!(report.phases.get(Phase::Resolve).is_none());
}

#[test]
fn a_proxy_that_is_not_there_is_not_the_targets_fault() {
    let handle = start(1);
    let module = http(&format!(r#""proxy_url": "http://{}""#, closed_port()));
    let report = probe(&handle, &module, "https://127.0.0.1:1/");
    assert_eq!(report.outcome, Outcome::Failure(Reason::ProxyConnect));
    assert!(
        report.detail.starts_with("the proxy http://"),
        "{}",
        report.detail
    );
}
