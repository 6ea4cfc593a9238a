//! Dialogues, driven through an engine against scripted peers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::check::ModuleConfig;
use crate::config::{Cause, NoFiles, Pattern};
use crate::io::Output;
use crate::limits::{MAX_DIALOGUE_BYTES, MAX_INFO_BYTES, MAX_INFO_VALUE_BYTES, MAX_SENT_BYTES};
use crate::outcome::Reason;
use crate::tls::{TlsFailure, TlsInfo};
use crate::{Conn, Engine, GroupId, Instant, Schedule, threshold};

/// What the peer does, a millisecond after what came before.
#[derive(Clone, Debug)]
enum Does {
    Says(Vec<u8>),
    /// It has been sent this since it last looked.
    Hears(&'static str),
    /// It has no room for what it is sent, from the beginning.
    Stalls,
    /// It has taken all of it since.
    Takes,
    /// It completes the handshake that it was asked for.
    Secures,
    /// It does not.
    Refuses(Reason),
    Closes(Closed),
}

use Does::{Closes, Hears, Refuses, Secures, Stalls, Takes};

fn says(text: &str) -> Does {
    Does::Says(text.as_bytes().to_vec())
}

/// All that can be seen of a run from outside.
#[derive(Debug)]
struct Seen {
    outcome: Outcome,
    detail: String,
    facts: BTreeMap<&'static str, f64>,
    labels: Vec<(String, String)>,
    phases: Vec<Phase>,
    phase: Phase,
    secured: bool,
    /// Names that were to be verified.
    names: Vec<String>,
    trace: Vec<String>,
}

impl Seen {
    /// `probe_failed_due_to_regex` and `probe_failed_due_to_bytes`.
    fn due_to(&self) -> (Option<f64>, Option<f64>) {
        let fact = |name| self.facts.get(name).copied();
        (
            fact("probe_failed_due_to_regex"),
            fact("probe_failed_due_to_bytes"),
        )
    }

    #[track_caller]
    fn failed(&self, reason: Reason, detail: &str, due_to: (f64, f64)) {
        assert_eq!(self.outcome, Outcome::Failure(reason), "{self:?}");
        assert_eq!(self.detail, detail);
        assert_eq!(self.due_to(), (Some(due_to.0), Some(due_to.1)));
    }

    #[track_caller]
    fn succeeded(&self) {
        assert_eq!(self.outcome, Outcome::Success, "{self:?}");
        assert_eq!(self.due_to(), (Some(0.0), Some(0.0)));
    }

    fn labels(&self) -> Vec<(&str, &str)> {
        let labels = self.labels.iter();
        labels.map(|(name, value)| (&**name, &**value)).collect()
    }
}

fn module(config: Config) -> Result<crate::check::Module, ConfigError> {
    let module = ModuleConfig {
        prober: "tcp".into(),
        tcp: Some(config),
        ..ModuleConfig::default()
    };
    module.compile(&NoFiles)
}

fn talk(query_response: Vec<QueryResponse>) -> Config {
    Config {
        query_response,
        ..Config::default()
    }
}

fn run(exchanges: Vec<QueryResponse>, script: &[Does]) -> Seen {
    run_with(talk(exchanges), "192.0.2.7:25", script)
}

/// Probes `target`, whose server follows `script` to its end and then waits.
fn run_with(config: Config, target: &str, script: &[Does]) -> Seen {
    let (seen, sent, left) = drive(config, target, script);
    let heard = |does: &Does| matches!(does, Hears(text) if sent == text.as_bytes());
    let sent = sent.escape_ascii();
    assert!(
        left.iter().all(heard),
        "left {left:?}, sent {sent}, {seen:?}"
    );
    seen
}

/// What was seen, what was sent that the server did not look at, and what is
/// left of the script.
fn drive<'s>(config: Config, target: &str, script: &'s [Does]) -> (Seen, Vec<u8>, &'s [Does]) {
    let module = module(config).unwrap();
    let second = Duration::from_secs(1);
    let spec = Arc::new(crate::Spec {
        check: module.attempt(target, TargetParams::default()).unwrap(),
        schedule: Schedule::new(second, second, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    });
    let mut now = Instant::ZERO;
    let mut engine = Engine::new(crate::Config::default(), now);
    let id = engine.run_once(spec, second, true, now).unwrap();
    let conn = Conn(0);
    let (mut sent, mut names, mut securing) = (Vec::new(), Vec::new(), false);
    let stalls = script.iter().any(|does| matches!(does, Stalls));
    let mut script = script.iter();
    let mut opened = false;
    loop {
        while let Some((_, output)) = engine.poll_output() {
            match output {
                Output::Send(_, bytes) => sent.extend_from_slice(&bytes),
                Output::Flush(conn) if !stalls => {
                    engine.handle_input(id, Input::Flushed(conn), now);
                }
                Output::Secure(_, params) => {
                    names.push(params.server_name.to_string());
                    securing = true;
                }
                Output::Report(report) => {
                    let read = |fact: &Fact| {
                        let value = fact.read(report.facts, &report.phases)?;
                        Some((fact.name, value))
                    };
                    let seen = Seen {
                        outcome: report.outcome,
                        detail: report.detail.into(),
                        facts: Tcp::FACTS.iter().filter_map(read).collect(),
                        labels: report
                            .labels
                            .iter()
                            .map(|(name, value)| (name.into(), value.into()))
                            .collect(),
                        phases: report.phases.iter().map(|(phase, _)| phase).collect(),
                        phase: report.phase,
                        secured: report.tls.is_some(),
                        names,
                        trace: report.trace.iter().map(|step| step.text.clone()).collect(),
                    };
                    return (seen, sent, script.as_slice());
                }
                _ => {}
            }
        }
        now += Duration::from_millis(1);
        if !opened {
            opened = true;
            engine.handle_input(id, Input::Opened(conn), now);
            continue;
        }
        match script.next() {
            None => {
                now = engine.poll_timeout().expect("a deadline").max(now);
                engine.handle_timeout(now);
            }
            Some(Does::Says(bytes)) => engine.handle_input(id, Input::Data(conn, bytes), now),
            Some(Hears(text)) => {
                let heard = core::mem::take(&mut sent);
                assert_eq!(
                    heard.escape_ascii().to_string(),
                    text.escape_default().to_string()
                );
            }
            Some(Stalls) => {}
            Some(Takes) => engine.handle_input(id, Input::Flushed(conn), now),
            Some(Secures) => {
                assert!(core::mem::take(&mut securing), "nobody asked for TLS");
                engine.handle_input(id, Input::Secured(conn, &info()), now);
            }
            Some(Refuses(reason)) => {
                assert!(core::mem::take(&mut securing), "nobody asked for TLS");
                let failure = TlsFailure {
                    reason: *reason,
                    detail: "no".into(),
                    info: None,
                };
                let why = Closed::Tls(Box::new(failure));
                engine.handle_input(id, Input::Closed(conn, why), now);
            }
            Some(Closes(why)) => engine.handle_input(id, Input::Closed(conn, why.clone()), now),
        }
    }
}

fn info() -> Arc<TlsInfo> {
    Arc::new(TlsInfo {
        version: "TLS 1.2",
        cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        alpn: None,
        chain: None,
    })
}

fn expect(pattern: &str) -> QueryResponse {
    QueryResponse {
        expect: Some(Pattern::new(pattern).unwrap()),
        ..QueryResponse::default()
    }
}

fn expect_bytes(bytes: &str) -> QueryResponse {
    QueryResponse {
        expect_bytes: bytes.into(),
        ..QueryResponse::default()
    }
}

fn send(text: &str) -> QueryResponse {
    QueryResponse {
        send: text.into(),
        ..QueryResponse::default()
    }
}

fn starttls() -> QueryResponse {
    QueryResponse {
        starttls: true,
        ..QueryResponse::default()
    }
}

impl QueryResponse {
    fn send(self, text: &str) -> Self {
        Self {
            send: text.into(),
            ..self
        }
    }

    fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.push(Label {
            name: name.into(),
            value: value.into(),
        });
        self
    }
}

#[test]
fn a_run_is_small() {
    assert!(size_of::<Tcp>() <= 128, "{}", size_of::<Tcp>());
}

#[test]
fn nothing_to_say_is_a_success_however_the_peer_behaves() {
    let seen = run(vec![], &[]);
    seen.succeeded();
    assert_eq!(seen.phases, [Phase::Resolve, Phase::Connect]);
    run(vec![QueryResponse::default(); 3], &[]).succeeded();
}

#[test]
fn a_target_that_cannot_be_spoken_to_is_not_known() {
    let seen = run_with(Config::default(), "[::1%lo]:80", &[]);
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::Unspoken));
    assert!(seen.detail.contains("zones of IPv6 addresses"), "{seen:?}");
}

#[test]
fn a_target_without_a_good_port_is_looked_up_before_it_fails() {
    let looked_up = |target: &str| {
        let seen = run_with(Config::default(), target, &[]);
        assert_eq!(seen.outcome, Outcome::Failure(Reason::TargetInvalid));
        assert!(seen.detail.contains(&format!("{target:?}")), "{seen:?}");
        assert_eq!(seen.due_to(), (None, None));
        let fact = |name| seen.facts.get(name).copied();
        (fact("probe_ip_protocol"), fact("probe_ip_addr_hash"))
    };
    for port in ["0", "", "65536", "-1", "gopherspace", "80/x"] {
        let found = looked_up(&format!("127.0.0.1:{port}"));
        assert_eq!(found, (Some(4.0), Some(3_668_918_509.0)), "{port:?}");
    }
    let zoned = looked_up("[::1%lo]:99999");
    assert_eq!(zoned, (Some(6.0), Some(1_751_717_746.0)));
    let zoneless = looked_up("127.0.0.1%lo:80");
    assert_eq!(zoneless, (Some(4.0), Some(3_668_918_509.0)));
    assert_eq!(looked_up(":80"), (Some(0.0), Some(0.0)));
    for nothing in ["127.0.0.1", "::1:80", "tcp://127.0.0.1:80"] {
        assert_eq!(looked_up(nothing), (None, None), "{nothing:?}");
    }
}

#[test]
fn an_address_that_is_mapped_into_ipv6_is_of_ipv4() {
    let only = |family: &str| Config {
        preferred_ip_protocol: family.into(),
        ip_protocol_fallback: false,
        ..Config::default()
    };
    let target = "[::ffff:192.0.2.7]:25";
    for config in [Config::default(), only("ip4")] {
        let seen = run_with(config, target, &[]);
        seen.succeeded();
        assert_eq!(seen.facts["probe_ip_protocol"], 4.0);
    }
    let seen = run_with(only("ip6"), target, &[]);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::DnsNoAddress));
    assert_eq!(seen.facts["probe_ip_protocol"], 0.0);
}

#[test]
fn nothing_rests_on_what_was_not_taken() {
    let exchanges = || vec![send("hello"), expect("^hi$").send("bye")];
    let untaken = ": query_response[0]: the peer did not take all that it sends";
    let silent = run(exchanges(), &[Stalls, Hears("hello\n")]);
    let waiting = "timed out after 1.0s waiting for an answer from 192.0.2.7:25";
    let detail = format!("{waiting}{untaken}");
    silent.failed(Reason::TimeoutProcessing, &detail, (0.0, 0.0));
    // That it answers is not enough.
    let heard = [Stalls, Hears("hello\n"), says("hi\n")];
    let then = |rest: &[Does]| run(exchanges(), &[&heard, rest].concat());
    let reading = "timed out after 1.0s reading the answer of 192.0.2.7:25";
    let detail = format!("{reading}{untaken}");
    then(&[]).failed(Reason::TimeoutTransfer, &detail, (0.0, 0.0));
    let reset = then(&[Closes(Closed::Reset)]);
    let detail = format!("{}{untaken}", Closed::Reset);
    reset.failed(Reason::PeerReset, &detail, (0.0, 0.0));
    let seen = then(&[Takes, Hears("bye\n")]);
    let detail = format!("{reading}{}", untaken.replace('0', "1"));
    seen.failed(Reason::TimeoutTransfer, &detail, (0.0, 0.0));
    then(&[Takes, Hears("bye\n"), Takes]).succeeded();
    // It was told of the end before it could ask.
    then(&[Closes(Closed::End)]).succeeded();
}

fn smtp() -> Vec<QueryResponse> {
    vec![
        expect("^220.*ESMTP").send("EHLO prober\r"),
        expect("^250-STARTTLS").send("STARTTLS\r"),
        expect("^220"),
        starttls(),
        send("EHLO prober\r"),
        expect("^250-AUTH").send("QUIT\r"),
    ]
}

#[test]
fn a_mail_server_is_asked_to_secure_the_connection() {
    let script = [
        says("220 mail.example ESMTP ready\r\n"),
        Hears("EHLO prober\r\n"),
        says("250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n"),
        Hears("STARTTLS\r\n"),
        // What is left of the answer to EHLO is not what is expected.
        says("220 go\r\n"),
        Secures,
        Hears("EHLO prober\r\n"),
        says("250-mail.example\r\n250-AUTH PLAIN\r\n250 HELP\r\n"),
        Hears("QUIT\r\n"),
    ];
    let seen = run(smtp(), &script);
    seen.succeeded();
    assert!(seen.secured);
    assert_eq!(seen.names, ["192.0.2.7"]);
    assert_eq!(seen.phases, Phase::ALL);
}

#[test]
fn a_name_can_be_configured_for_starttls() {
    let mut config = talk(vec![starttls()]);
    config.tls_config.server_name = "other.example".into();
    let seen = run_with(config, "192.0.2.7:25", &[Secures]);
    seen.succeeded();
    assert_eq!(seen.names, ["other.example"]);
}

#[test]
fn what_comes_before_tls_is_not_believed_after_it() {
    let dialogue = || {
        vec![
            expect("^220"),
            starttls(),
            expect("^250 (.*)").label("said", "$1"),
        ]
    };
    let injected = [
        says("220 go\r\n250 injected\r\n250 hal"),
        says("f\r\n250 injected too\r\n"),
        Secures,
        says("250 true\r\n"),
    ];
    let seen = run(dialogue(), &injected);
    seen.succeeded();
    assert_eq!(seen.labels(), [("said", "true")]);
}

#[test]
fn a_handshake_that_fails_fails_the_probe() {
    let dialogue = || vec![expect("^220"), starttls()];
    let plain = [says("220 go\r\n"), Refuses(Reason::TlsNotTls)];
    let seen = run(dialogue(), &plain);
    seen.failed(Reason::TlsNotTls, "no", (0.0, 0.0));
    assert_eq!(seen.phase, Phase::Tls);
    let beyond = [says("220 go\r\n"), Refuses(Reason::LocalBound)];
    let seen = run(dialogue(), &beyond);
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::LocalBound));
    assert_eq!(seen.detail, "no");
    let gone = [says("220 go\r\n"), Closes(Closed::Reset)];
    run(dialogue(), &gone).failed(
        Reason::TlsHandshake,
        "TLS handshake: reset by the peer before it was complete",
        (0.0, 0.0),
    );
    let silent = run(dialogue(), &[says("220 go\r\n")]);
    assert_eq!(silent.outcome, Outcome::Failure(Reason::TimeoutTls));
    let ended = [says("220 go"), Closes(Closed::End)];
    let ended = run(dialogue(), &ended);
    assert_eq!(ended.outcome, Outcome::Failure(Reason::TlsHandshake));
}

#[test]
fn tls_from_the_start_comes_before_the_dialogue() {
    let config = || Config {
        tls: true,
        ..talk(vec![expect("^\\+OK").send("QUIT")])
    };
    let script = [Secures, says("+OK ready\n"), Hears("QUIT\n")];
    run_with(config(), "192.0.2.7:995", &script).succeeded();
    let seen = run_with(
        config(),
        "192.0.2.7:995",
        &[Refuses(Reason::TlsNameMismatch)],
    );
    assert_eq!(seen.due_to(), (None, None), "nothing was connected");
}

fn irc() -> Vec<QueryResponse> {
    vec![
        send("NICK prober"),
        send("USER prober prober prober :prober"),
        expect("^:[^ ]+ 001"),
    ]
}

#[test]
fn lines_that_do_not_match_are_passed_over() {
    let hello = Hears("NICK prober\nUSER prober prober prober :prober\n");
    let welcome = [
        hello.clone(),
        says(":ircd.example NOTICE AUTH :*** Looking up\r\n"),
        says(":ircd.example 001 prober :Welcome\r\n"),
    ];
    run(irc(), &welcome).succeeded();
    let error = [
        hello,
        says("ERROR: Your IP is\tbanned\r\n"),
        Closes(Closed::End),
    ];
    run(irc(), &error).failed(
        Reason::ExpectMismatch,
        r#"query_response[2]: expected a line that matches "^:[^ ]+ 001", the peer closed the connection having sent the line "ERROR: Your IP is\tbanned""#,
        (1.0, 0.0),
    );
}

#[test]
fn a_stream_that_ends_is_due_to_the_expression_and_one_that_breaks_is_not() {
    let ended = run(vec![expect("^x")], &[Closes(Closed::End)]);
    ended.failed(
        Reason::ExpectMismatch,
        r#"query_response[0]: expected a line that matches "^x", the peer closed the connection having sent no line"#,
        (1.0, 0.0),
    );
    let reset = run(
        vec![expect("^x")],
        &[says("a\nb\nc"), Closes(Closed::Reset)],
    );
    reset.failed(
        Reason::PeerReset,
        r#"reset by the peer: query_response[0]: expected a line that matches "^x", heard 2 lines, the last "b""#,
        (0.0, 0.0),
    );
    let cut = Closed::Other("cut off".into());
    let cut = run(vec![expect("^x")], &[Closes(cut)]);
    assert_eq!(cut.outcome, Outcome::Failure(Reason::PeerReset));
    let silent = run(vec![expect("^x")], &[]);
    silent.failed(
        Reason::TimeoutProcessing,
        r#"timed out after 1.0s waiting for an answer from 192.0.2.7:25: query_response[0]: expected a line that matches "^x", heard no line"#,
        (0.0, 0.0),
    );
    let chatty = run(vec![expect("^x")], &[says("nothing of interest\n")]);
    assert_eq!(chatty.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert_eq!(chatty.due_to(), (Some(0.0), Some(0.0)));
}

fn ssh() -> QueryResponse {
    expect("^SSH-2.0-([^ -]+)(?: (.*))?$")
}

#[test]
fn what_was_captured_is_sent_and_told() {
    let dialogue = ssh()
        .send("CONFIRM ${1}")
        .label("ssh_version", "${1}")
        .label("ssh_comments", "${2}");
    let script = [
        says("SSH-2.0-OpenSSH_6.9p1 Debian-2\r\n"),
        Hears("CONFIRM OpenSSH_6.9p1\n"),
    ];
    let seen = run(vec![dialogue], &script);
    seen.succeeded();
    let expected = [
        ("ssh_version", "OpenSSH_6.9p1"),
        ("ssh_comments", "Debian-2"),
    ];
    assert_eq!(seen.labels(), expected);

    let templates = ssh()
        .label("got", "got ${1} here")
        .label("both", "${1} on ${2}");
    let seen = run(vec![templates], &[says("SSH-2.0-OpenSSH_6.9p1 Debian-2\n")]);
    let expected = [
        ("got", "got OpenSSH_6.9p1 here"),
        ("both", "OpenSSH_6.9p1 on Debian-2"),
    ];
    assert_eq!(seen.labels(), expected);
}

#[test]
fn several_entries_may_have_labels() {
    let dialogue = || {
        vec![
            expect("^a(.)").label("first", "$1"),
            expect("^b(.)").label("second", "$1"),
        ]
    };
    let seen = run(dialogue(), &[says("a1\nb2\n")]);
    seen.succeeded();
    assert_eq!(seen.labels(), [("first", "1"), ("second", "2")]);
    // What was found out before a failure is told.
    let seen = run(dialogue(), &[says("a1\n"), Closes(Closed::End)]);
    assert_eq!(seen.labels(), [("first", "1")]);
}

#[test]
fn what_a_peer_sends_makes_no_series_that_cannot_be_told() {
    let dialogue = || vec![expect("(.*)").label("said", "<$1>")];
    let garbage = Does::Says(b"\xff\xfeok\xc3\n".to_vec());
    let seen = run(dialogue(), &[garbage]);
    assert_eq!(seen.labels(), [("said", "<\u{fffd}\u{fffd}ok\u{fffd}>")]);
    for size in 0..4 {
        let long = format!("{}{}\n", "x".repeat(size), "\u{20ac}".repeat(2_000));
        let seen = run(dialogue(), &[says(&long)]);
        let value = &seen.labels[0].1;
        let whole = value.chars().all(|c| c != char::REPLACEMENT_CHARACTER);
        assert!(whole && value.len() <= MAX_INFO_VALUE_BYTES, "{value}");
        assert!(value.len() > MAX_INFO_VALUE_BYTES - 3);
    }
}

#[test]
fn nothing_is_expanded_where_nothing_was_captured() {
    let bytes = expect_bytes("ok").send("$1 ${1} $$");
    let script = [says("ok"), Hears("$1 ${1} $$\n")];
    run(vec![bytes], &script).succeeded();
    run(vec![send("$$")], &[Hears("$$\n")]).succeeded();
    // An expansion that is empty is not sent.
    let nothing = expect("x(y)?").send("$1");
    run(vec![nothing], &[says("x\n"), Hears("")]).succeeded();
}

#[test]
fn bytes_are_sent_as_they_are() {
    let raw = |bytes: &[u8]| QueryResponse {
        send_bytes: bytes.into(),
        ..QueryResponse::default()
    };
    run(vec![raw(b"a$1\0")], &[Hears("a$1\0")]).succeeded();
    let binary = QueryResponse {
        send: (&b"\xff"[..]).into(),
        ..expect("(?s)(.+)")
    };
    let seen = run(vec![binary], &[Does::Says(b"\xfe\n".to_vec())]);
    assert!(
        seen.trace.contains(&r#"sending "\xff\n""#.into()),
        "{seen:?}"
    );
}

#[test]
fn expected_bytes_are_read_exactly() {
    let expected = || vec![expect_bytes("not-a-line")];
    run(expected(), &[says("not-a-line")]).succeeded();
    run(
        expected(),
        &[says("not-a"), says("-li"), says("ne and more")],
    )
    .succeeded();
    run(expected(), &[says("something-else")]).failed(
        Reason::ExpectMismatch,
        r#"query_response[0]: expected the bytes "not-a-line", found "something-""#,
        (0.0, 1.0),
    );
    run(expected(), &[says("not-a"), Closes(Closed::End)]).failed(
        Reason::PeerClosed,
        r#"query_response[0]: expected the bytes "not-a-line", the peer closed the connection after "not-a""#,
        (0.0, 0.0),
    );
    let late = run(expected(), &[says("not")]);
    assert_eq!(late.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    assert!(late.detail.ends_with(r#"found "not""#), "{}", late.detail);
    // What came with a line is not lost to whoever wants bytes, nor the other
    // way round.
    let mixed = vec![expect("^a$"), expect_bytes("bc"), expect("^d$")];
    run(mixed, &[says("a\nbcd\n")]).succeeded();
}

#[test]
fn a_last_line_needs_no_end_but_that_of_the_stream() {
    let script = [says("SSH-2.0-x"), Closes(Closed::End)];
    run(vec![ssh()], &script).succeeded();
    let asleep = run(vec![ssh()], &script[..1]);
    assert_eq!(asleep.outcome, Outcome::Failure(Reason::TimeoutTransfer));
    // Who has closed one direction hears what is said then.
    let (seen, sent, _) = drive(talk(vec![ssh().send("bye")]), "192.0.2.7:25", &script);
    seen.succeeded();
    assert_eq!(sent, b"bye\n");
    let more = vec![ssh().send("bye"), send("and more"), expect("x")];
    let (seen, sent, _) = drive(talk(more), "192.0.2.7:25", &script);
    assert_eq!(seen.due_to(), (Some(1.0), Some(0.0)));
    assert_eq!(sent, b"bye\nand more\n");
}

#[test]
fn a_line_without_end_is_not_held_forever() {
    let endless = Does::Says(vec![b'x'; 40_000]);
    let seen = run(vec![expect("^y")], &[endless.clone(), endless]);
    seen.failed(
        Reason::AnswerLimit,
        r#"query_response[0]: expected a line that matches "^y", found one that is longer than 65536 bytes"#,
        (0.0, 0.0),
    );
}

#[test]
fn a_chatty_peer_is_not_listened_to_forever() {
    let mut line = vec![b'x'; 60_000];
    line.push(b'\n');
    let times = MAX_DIALOGUE_BYTES as usize / line.len() + 1;
    let script = vec![Does::Says(line); times];
    let seen = run(vec![expect("^y")], &script);
    assert_eq!(seen.outcome, Outcome::Failure(Reason::AnswerLimit));
}

#[test]
fn a_peer_cannot_make_us_send_without_end() {
    let greedy = expect("(.*)").send(&"$1".repeat(1 + MAX_SENT_BYTES / 60_000));
    let mut line = "x".repeat(60_000);
    line.push('\n');
    run(vec![greedy], &[says(&line)]).failed(
        Reason::AnswerLimit,
        "query_response[0]: with what was captured more than 262144 bytes would be sent",
        (0.0, 0.0),
    );
}

#[test]
fn mistakes_of_a_dialogue_are_named() {
    let label = |name: &str| expect("x").label(name, "");
    let both = QueryResponse {
        expect_bytes: "x".into(),
        ..expect("x")
    };
    let twice = QueryResponse {
        send_bytes: "x".into(),
        ..send("x")
    };
    for (config, field, message) in [
        (
            talk(vec![send("x"), both]),
            "query_response[1].expect_bytes",
            "expect and expect_bytes are mutually exclusive",
        ),
        (
            talk(vec![twice]),
            "query_response[0].send_bytes",
            "send and send_bytes are mutually exclusive",
        ),
        (
            Config {
                tls: true,
                ..talk(vec![starttls()])
            },
            "query_response[0].starttls",
            "tls: true has secured the connection before: expected one of the two",
        ),
        (
            talk(vec![starttls(), send("x"), starttls()]),
            "query_response[2].starttls",
            "an entry before this one has secured the connection",
        ),
        (
            talk(vec![label("a"), label("a")]),
            "query_response[1].labels[0].name",
            "there is a label a already, and all are on one series",
        ),
        (
            talk(vec![expect_bytes(&"x".repeat(65_537))]),
            "query_response[0].expect_bytes",
            "expected at most 65536 bytes, found 65537",
        ),
    ] {
        let error = module(config).unwrap_err();
        assert_eq!(error.field, format!("tcp.{field}"));
        assert_eq!(error.message, message);
    }
    for name in ["", "9a", "a-b", "__a", "\u{e4}", "a b"] {
        let error = module(talk(vec![label(name)])).unwrap_err();
        assert_eq!(error.field, "tcp.query_response[0].labels[0].name");
        assert!(
            error.message.starts_with("expected letters, digits"),
            "{error}"
        );
    }
}

#[test]
fn what_is_right_and_larger_than_there_is_room_for_is_not_refused() {
    let large = || expect(r"(?i)(\p{L}|\p{N}){1,500}");
    let error = module(talk(vec![send("x"), large()])).unwrap_err();
    assert_eq!(
        (error.cause, &*error.field),
        (Cause::Unspoken, "tcp.query_response[1].expect")
    );
    let error = module(talk(vec![expect_bytes(&"x".repeat(65_537))])).unwrap_err();
    assert_eq!(error.cause, Cause::Unspoken);
    // A mistake goes before that.
    let error = module(talk(vec![large(), expect("").label("9a", "")])).unwrap_err();
    assert_eq!(error.cause, Cause::Mistake);
}

#[test]
fn many_labels_share_the_room_that_there_is() {
    let label = |n: usize| expect("(.*)").label(&format!("l{n}"), "$1");
    let line = says(&format!("{}\n", "x".repeat(1_000)).repeat(300));
    let seen = run((0..300).map(label).collect(), &[line]);
    seen.succeeded();
    assert_eq!(seen.labels.len(), 300);
    let bytes: usize = seen.labels.iter().map(|(_, value)| value.len()).sum();
    assert_eq!(bytes, MAX_INFO_BYTES);
}

proptest! {
    /// However the stream is cut, the run ends the same; and it always ends.
    #[test]
    fn pieces_and_garbage_change_nothing(
        mut bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a'), any::<u8>()], 0..200),
        cuts in prop::collection::vec(0_usize..200, 0..6),
        closes in any::<bool>(),
    ) {
        let dialogue = || vec![
            expect("^(a*)").label("as", "$1").send("<$1>"),
            expect_bytes("a\n"),
            expect(""),
        ];
        if closes {
            bytes.push(b'a');
        }
        let end = closes.then_some(Closes(Closed::End));
        let whole: Vec<Does> = core::iter::once(Does::Says(bytes.clone())).chain(end.clone()).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| Does::Says(bytes[pair[0]..pair[1]].to_vec()));
        let pieces: Vec<Does> = pieces.chain(end).collect();
        let end_of = |script: &[Does]| drive(talk(dialogue()), "192.0.2.7:25", script).0;
        let (a, b) = (end_of(&whole), end_of(&pieces));
        prop_assert_eq!((a.outcome, a.labels, a.facts.get("probe_failed_due_to_bytes")),
            (b.outcome, b.labels, b.facts.get("probe_failed_due_to_bytes")));
    }
}
