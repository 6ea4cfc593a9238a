//! The checks against the servers that they are for: as Rust, and as the modules that
//! `build` makes, run by `probity wasm check`, which must come to the same. TLS is for modules
//! only, because the check as Rust has nobody who secures its connection.
//!
//! A server that is not installed is left out, unless `PROBITY_REQUIRE_PEERS`
//! names it; so are the modules if they, or the program (`PROBITY`, or that of
//! `target/debug`), are not built, unless it names `modules`.

mod module;
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
fn redis_over_tls() {
    let Some(server) = Server::start("redis-server", None, |it, program| {
        let port = it.port().to_string();
        let [key, certificate] = it.certificate("root");
        let place = ["--bind", "127.0.0.1", "--port", "0", "--tls-port", &port];
        let files = ["--tls-key-file", &key, "--tls-cert-file", &certificate];
        let others = ["--tls-auth-clients", "no", "--save", ""];
        it.command(program, None, &[&place[..], &files, &others].concat())
    }) else {
        return;
    };
    server.until_modules_up(
        "redis",
        r#"{"role": "master"}"#,
        &["--tls", "--insecure-skip-verify"],
    );
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

/// One with a certificate, or one without.
fn start_postgres(has_tls: bool) -> Option<Server> {
    let user = "postgres";
    Server::start("postgres", Some(user), |it, program| {
        let data = it.folder().join("data").display().to_string();
        let initdb = program.with_file_name("initdb");
        it.make(&initdb, user, &["-A", "trust", "-U", "probe", "-D", &data]);
        let sockets = format!("unix_socket_directories={data}");
        let port = it.port().to_string();
        let mut options = vec!["listen_addresses=127.0.0.1".into(), sockets];
        if has_tls {
            let [key, certificate] = it.certificate(user);
            options.push("ssl=on".into());
            options.push(format!("ssl_key_file={key}"));
            options.push(format!("ssl_cert_file={certificate}"));
        }
        let options = options.iter().flat_map(|option| ["-c", option]);
        let arguments: Vec<&str> = ["-D", &data, "-p", &port]
            .into_iter()
            .chain(options)
            .collect();
        it.command(program, Some(user), &arguments)
    })
}

#[test]
fn postgres_over_tls() {
    let Some(server) = start_postgres(true) else {
        return;
    };
    let session = r#"{"user": "probe", "database": "postgres", "session": true, "tls": true}"#;
    server.until_modules_up("postgres", session, &["--insecure-skip-verify"]);
}

#[test]
fn postgres() {
    let Some(server) = start_postgres(false) else {
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

/// One with a certificate, or one without.
fn start_mariadb(has_tls: bool) -> Option<Server> {
    let user = "mysql";
    Server::start("mariadbd", Some(user), |it, program| {
        let data = it.folder().join("data");
        let folder = format!("--datadir={}", data.display());
        // One that starts removes the temporary tables of others.
        let temporary = format!("--tmpdir={}", it.folder().display());
        let root = "--auth-root-authentication-method=normal";
        let install = Path::new("mariadb-install-db");
        it.make(install, user, &["--no-defaults", &folder, &temporary, root]);
        let port = format!("--port={}", it.port());
        let socket = format!("--socket={}", data.join("socket").display());
        let address = "--bind-address=127.0.0.1";
        let mut arguments = vec![
            "--no-defaults",
            &folder,
            &temporary,
            address,
            &port,
            &socket,
        ];
        let files = has_tls.then(|| {
            let [key, certificate] = it.certificate(user);
            [
                format!("--ssl-key={key}"),
                format!("--ssl-cert={certificate}"),
            ]
        });
        arguments.extend(files.iter().flatten().map(String::as_str));
        it.command(program, Some(user), &arguments)
    })
}

#[test]
fn mariadb_over_tls() {
    let Some(server) = start_mariadb(true) else {
        return;
    };
    let config = r#"{"user": "root", "tls": true}"#;
    server.until_modules_up("mysql", config, &["--insecure-skip-verify"]);
}

#[test]
fn mariadb() {
    let Some(server) = start_mariadb(false) else {
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

/// OpenSMTPD of Debian 12 answers every client's handshake with an alert.
#[test]
fn aiosmtpd_with_starttls() {
    let Some(server) = Server::start("aiosmtpd", None, |it, program| {
        let place = format!("127.0.0.1:{}", it.port());
        let [key, certificate] = it.certificate("root");
        let files = ["--tlskey", &key, "--tlscert", &certificate];
        let sink = ["-c", "aiosmtpd.handlers.Sink"];
        it.command(
            program,
            None,
            &[&["-n", "-l", &place][..], &files, &sink].concat(),
        )
    }) else {
        return;
    };
    let config = r#"{"starttls": true, "require": ["8BITMIME"]}"#;
    server.until_modules_up("smtp", config, &["--insecure-skip-verify"]);
}
