//! The checks, as Rust, against the servers that they are for. As modules they
//! are held to the same transcripts.
//!
//! A server that is not installed is left out, unless `PROBITY_REQUIRE_PEERS`
//! names it.

mod server;

use std::fs;
use std::path::Path;

use check_memcached::Memcached;
use check_mqtt::Mqtt;
use check_mysql::Mysql;
use check_postgres::Postgres;
use check_redis::Redis;
use check_smtp::Smtp;
use probity_check::{Outcome, Reason};

use crate::server::{Server, has};

fn reason(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Down(finding) => Some(finding.reason),
        _ => None,
    }
}

#[test]
fn redis() {
    let Some(server) = Server::start("redis-server", None, |it, program| {
        let port = it.port().to_string();
        let arguments = [
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--requirepass",
            "hunter2",
        ];
        it.command(
            program,
            None,
            &[&arguments[..], &["--port", &port]].concat(),
        )
    }) else {
        return;
    };
    server.until_up::<Redis>(r#"{"password": "hunter2"}"#);
    let (outcome, samples) = server.ask::<Redis>(r#"{"password": "hunter2", "role": "master"}"#);
    assert_eq!(outcome, Outcome::Up);
    assert!(has(&samples, "role", &["master"], 1.0), "{samples:?}");
    assert!(has(&samples, "replicas", &[], 0.0), "{samples:?}");
    let (outcome, _) = server.ask::<Redis>(r#"{"password": "hunter2", "role": "replica"}"#);
    assert_eq!(reason(&outcome), Some(Reason::Unexpected));
    for config in ["{}", r#"{"password": "hunter3"}"#] {
        let (outcome, _) = server.ask::<Redis>(config);
        assert_eq!(reason(&outcome), Some(Reason::Denied), "{outcome:?}");
    }
    // Not its protocol.
    let (outcome, _) = server.ask::<Memcached>("{}");
    assert_eq!(reason(&outcome), Some(Reason::Malformed), "{outcome:?}");
}

#[test]
fn memcached() {
    let Some(server) = Server::start("memcached", None, |it, program| {
        let port = it.port().to_string();
        it.command(
            program,
            None,
            &["-u", "nobody", "-l", "127.0.0.1", "-p", &port],
        )
    }) else {
        return;
    };
    server.until_up::<Memcached>("{}");
    let (outcome, samples) = server.ask::<Memcached>(r#"{"stats": true}"#);
    assert_eq!(outcome, Outcome::Up);
    assert!(
        has(&samples, "limit_bytes", &[], 67_108_864.0),
        "{samples:?}"
    );
    assert!(has(&samples, "evictions_total", &[], 0.0), "{samples:?}");
    let (outcome, _) = server.ask::<Redis>("{}");
    assert_eq!(reason(&outcome), Some(Reason::Malformed), "{outcome:?}");
}

#[test]
fn mosquitto() {
    let Some(server) = Server::start("mosquitto", None, |it, program| {
        it.command(program, None, &["-p", &it.port().to_string()])
    }) else {
        return;
    };
    server.until_up::<Mqtt>("{}");
    let (outcome, samples) = server.ask::<Mqtt>(r#"{"version": "5"}"#);
    assert_eq!(outcome, Outcome::Up);
    assert!(has(&samples, "session_present", &[], 0.0), "{samples:?}");
}

#[test]
fn postgres() {
    let user = "postgres";
    let Some(server) = Server::start("postgres", Some(user), |it, program| {
        let data = it.folder().join("data").display().to_string();
        let initdb = program.with_file_name("initdb");
        it.make(&initdb, user, &["-A", "trust", "-U", "probe", "-D", &data]);
        let sockets = format!("unix_socket_directories={data}");
        let port = it.port().to_string();
        let place = ["-c", "listen_addresses=127.0.0.1", "-c", &sockets];
        let arguments = [&["-D", &data, "-p", &port][..], &place].concat();
        it.command(program, Some(user), &arguments)
    }) else {
        return;
    };
    let session = r#"{"user": "probe", "database": "postgres", "session": true}"#;
    let samples = server.until_up::<Postgres>(session);
    assert!(has(&samples, "session", &[], 1.0), "{samples:?}");
    let primary = session.replace('}', r#", "role": "primary"}"#);
    assert_eq!(server.ask::<Postgres>(&primary).0, Outcome::Up);
    let standby = session.replace('}', r#", "role": "standby"}"#);
    let (outcome, _) = server.ask::<Postgres>(&standby);
    assert_eq!(reason(&outcome), Some(Reason::Unexpected), "{outcome:?}");
    let (outcome, _) = server.ask::<Postgres>(r#"{"user": "nobody"}"#);
    assert_eq!(reason(&outcome), Some(Reason::Denied), "{outcome:?}");
    // It was made without certificates.
    let (outcome, _) = server.ask::<Postgres>(r#"{"user": "probe", "tls": true}"#);
    assert_eq!(reason(&outcome), Some(Reason::Unexpected), "{outcome:?}");
}

#[test]
fn mariadb() {
    let user = "mysql";
    let Some(server) = Server::start("mariadbd", Some(user), |it, program| {
        let data = it.folder().join("data");
        let folder = format!("--datadir={}", data.display());
        let root = "--auth-root-authentication-method=normal";
        let install = Path::new("mariadb-install-db");
        it.make(install, user, &["--no-defaults", &folder, root]);
        let port = format!("--port={}", it.port());
        let socket = format!("--socket={}", data.join("socket").display());
        let address = "--bind-address=127.0.0.1";
        let arguments = ["--no-defaults", &folder, address, &port, &socket];
        it.command(program, Some(user), &arguments)
    }) else {
        return;
    };
    let samples = server.until_up::<Mysql>("{}");
    assert!(has(&samples, "tls_offered", &[], 0.0), "{samples:?}");
    assert_eq!(server.ask::<Mysql>(r#"{"user": "root"}"#).0, Outcome::Up);
    let (outcome, _) = server.ask::<Mysql>(r#"{"tls": true}"#);
    assert_eq!(reason(&outcome), Some(Reason::Unexpected), "{outcome:?}");
}

#[test]
fn opensmtpd() {
    let Some(server) = Server::start("smtpd", None, |it, program| {
        let config = it.folder().join("smtpd.conf");
        let text = format!(
            "listen on 127.0.0.1 port {}\nmatch from any for any reject\n",
            it.port()
        );
        fs::write(&config, text).expect("the configuration is written");
        it.command(program, None, &["-d", "-f", &config.display().to_string()])
    }) else {
        return;
    };
    let samples = server.until_up::<Smtp>("{}");
    let offered = samples.iter().find(|sample| sample.metric == "extensions");
    assert!(
        offered.is_some_and(|sample| sample.value >= 1.0),
        "{samples:?}"
    );
    assert_eq!(
        server.ask::<Smtp>(r#"{"require": ["8BITMIME"]}"#).0,
        Outcome::Up
    );
    let (outcome, _) = server.ask::<Smtp>(r#"{"starttls": true}"#);
    assert_eq!(reason(&outcome), Some(Reason::Unexpected), "{outcome:?}");
}
