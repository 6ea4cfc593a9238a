//! The `tcp` prober: targets, dialogues, TLS from the start and on the way.

use std::time::Duration;

use super::super::case::Case;
use super::super::server::{Server, Step, Tls};

fn module(options: &str) -> String {
    format!("{{prober: tcp, timeout: 20s, tcp: {{{options}}}}}")
}

/// A probe whose server ends soon, whatever happens.
fn dialogue(name: &str, entries: &str, steps: Vec<Step>) -> Case {
    Case::probe(
        format!("tcp::{name}"),
        module(&format!("query_response: [{entries}]")),
        "@server@",
    )
    .server(Server::steps(steps))
}

/// As [`dialogue`], where nobody ends it but the timeout.
fn stuck(name: &str, entries: &str, steps: Vec<Step>) -> Case {
    Case::probe(
        format!("tcp::{name}"),
        format!("{{prober: tcp, timeout: 700ms, tcp: {{query_response: [{entries}]}}}}"),
        "@server@",
    )
    .server(Server::steps(steps))
}

fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = connections();
    cases.extend(lines());
    cases.extend(answers());
    cases.extend(long_answers());
    cases.extend(labels());
    cases.extend(bytes());
    cases.extend(encrypted());
    cases
}

fn connections() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, target) in [
        ("plain", "@server@"),
        ("localhost", "localhost:@server-port@"),
        ("refused", "127.0.0.1:1"),
        ("port_zero", "127.0.0.1:0"),
        ("port_only", ":0"),
        ("no_port", "127.0.0.1"),
        ("empty_port", "127.0.0.1:"),
        ("port_too_large", "127.0.0.1:99999"),
        ("port_negative", "127.0.0.1:-1"),
        ("port_word_unknown", "127.0.0.1:nonsense"),
        ("ipv6_without_brackets", "::1:@server-port@"),
        ("too_many_colons", "a:b:c"),
        ("bracket_open", "[::1"),
        ("with_scheme", "tcp://@server@"),
        ("with_http_scheme", "http://@server@"),
        ("with_path", "@server@/x"),
        ("bad_name", "a..b:80"),
        ("space", "127.0.0.1 :80"),
        ("mapped", "[::ffff:127.0.0.1]:@server-port@"),
        ("zone", "[::1%lo]:@server-port@"),
    ] {
        cases.push(
            Case::probe(format!("tcp::target_{name}"), module(""), target)
                .server(Server::steps(Vec::new())),
        );
    }
    cases.push(
        Case::probe("tcp::target_ipv6", module(""), "@server@")
            .server(Server::steps(Vec::new()).on_ipv6()),
    );
    for (name, options) in [
        ("ip4", "preferred_ip_protocol: ip4"),
        (
            "ip4_only",
            "preferred_ip_protocol: ip4, ip_protocol_fallback: false",
        ),
        (
            "ip6_only",
            "preferred_ip_protocol: ip6, ip_protocol_fallback: false",
        ),
        ("only_default", "ip_protocol_fallback: false"),
        ("source", "source_ip_address: 127.0.0.9"),
        ("source_empty", "source_ip_address: ''"),
        ("source_bad", "source_ip_address: nonsense"),
        ("source_other_family", "source_ip_address: '::1'"),
    ] {
        cases.push(
            Case::probe(format!("tcp::{name}"), module(options), "@server@")
                .server(Server::steps(Vec::new())),
        );
    }
    cases
}

fn lines() -> Vec<Case> {
    let long = "a".repeat(70_000);
    let fits = "a".repeat(65_535);
    vec![
        dialogue("expect", "{expect: '^220 '}", vec![send("220 hello\r\n")]),
        dialogue(
            "expect_second_line",
            "{expect: '^two'}",
            vec![send("one\ntwo\n")],
        ),
        dialogue(
            "expect_nothing_matches",
            "{expect: '^x'}",
            vec![send("one\ntwo\n")],
        ),
        dialogue(
            "expect_without_line_end",
            "{expect: '^one$'}",
            vec![send("one")],
        ),
        dialogue(
            "expect_carriage_return",
            "{expect: '^one$'}",
            vec![send("one\r\n")],
        ),
        dialogue(
            "expect_two_carriage_returns",
            "{expect: '^one$'}",
            vec![send("one\r\r\n")],
        ),
        dialogue("expect_empty_line", "{expect: '^$'}", vec![send("\n")]),
        dialogue("expect_empty_end", "{expect: '^$'}", vec![]),
        dialogue(
            "expect_across_lines",
            "{expect: 'one.two'}",
            vec![send("one\ntwo\n")],
        ),
        dialogue(
            "expect_bad_bytes",
            "{expect: '^a.b$'}",
            vec![send(b"a\xffb\n")],
        ),
        dialogue(
            "expect_too_long",
            "{expect: 'end'}",
            vec![send(format!("{long}\nend\n"))],
        ),
        dialogue(
            "expect_just_fits",
            "{expect: 'end'}",
            vec![send(format!("{fits}\nend\n"))],
        ),
        dialogue(
            "expect_one_less",
            "{expect: 'end'}",
            vec![send(format!("{}\nend\n", &fits[1..]))],
        ),
        dialogue("expect_long_end", "{expect: 'aaa'}", vec![send(&fits)]),
        dialogue(
            "expect_bytewise",
            "{expect: '^hello$'}",
            "hello\n".bytes().map(|byte| send([byte])).collect(),
        ),
        dialogue(
            "expect_three",
            "{expect: one}, {expect: two}, {expect: three}",
            vec![send("one\ntwo\nthree\n")],
        ),
        dialogue(
            "expect_same_line_twice",
            "{expect: one}, {expect: one}",
            vec![send("one\n")],
        ),
        dialogue("entry_empty", "{}", vec![send("one\n")]),
        dialogue("no_entries", "", vec![send("one\n")]),
        stuck("expect_silence", "{expect: one}", vec![Step::Silence]),
        stuck(
            "expect_wrong_then_silence",
            "{expect: one}",
            vec![send("two\n"), Step::Silence],
        ),
        stuck(
            "expect_half_line",
            "{expect: one}",
            vec![send("one"), Step::Silence],
        ),
        stuck(
            "expect_endless",
            "{expect: one}",
            vec![Step::Trickle(
                b"two\n".to_vec(),
                200,
                Duration::from_millis(10),
            )],
        ),
        dialogue(
            "end_answered",
            "{expect: '^one$', send: two}",
            vec![send("one")],
        ),
        dialogue(
            "end_answered_twice",
            "{expect: '^one$', send: two}, {send: three}",
            vec![send("one")],
        ),
        dialogue("hangup", "{expect: one}", vec![Step::Hangup]),
    ]
}

fn answers() -> Vec<Case> {
    let echo = |name: &str, entry: &str, line: &str| {
        dialogue(name, entry, vec![send(line), Step::Line, send("bye\n")])
    };
    let ssh = "SSH-2.0-OpenSSH_6.9p1 Debian-2\n";
    let pattern = "'^SSH-2.0-(?P<software>[^ -]+)(?: (.*))?$'";
    let with = |name: &str, template: &str| {
        echo(
            name,
            &format!("{{expect: {pattern}, send: '{template}'}}"),
            ssh,
        )
    };
    vec![
        dialogue("send_first", "{send: HELO}", vec![Step::Line]),
        dialogue(
            "send_then_expect",
            "{send: PING}, {expect: PONG}",
            vec![Step::Line, send("PONG\n")],
        ),
        dialogue(
            "send_and_expect_in_one",
            "{expect: hi, send: there}",
            vec![send("hi\n"), Step::Line],
        ),
        dialogue("send_empty", "{send: ''}, {expect: hi}", vec![send("hi\n")]),
        dialogue("send_carriage_return", "{send: \"A\\r\"}", vec![Step::Line]),
        dialogue(
            "send_with_line_end",
            "{send: \"A\\n\"}",
            vec![Step::Line, Step::Line],
        ),
        dialogue("send_binary", "{send: !!binary AAH/}", vec![Step::Read(4)]),
        dialogue(
            "send_dollar_without_expect",
            "{send: 'a $1 ${2} $$ b'}",
            vec![Step::Line],
        ),
        dialogue(
            "send_to_closed",
            "{expect: hi}, {send: a}, {send: b}",
            vec![send("hi\n")],
        ),
        with("expand_braces", "CONFIRM ${1}"),
        with("expand_plain", "CONFIRM $1"),
        with("expand_name", "$software"),
        with("expand_name_braces", "[${software}]"),
        with("expand_all", "$0"),
        with("expand_unknown", "a${9}b$nope c"),
        with("expand_run_on", "$1x ${1}x"),
        with("expand_dollars", "$$1 $$$1 $"),
        with("expand_malformed", "${1 ${} $- ${a-b} $"),
        with("expand_second", "${2}|$2"),
        with("expand_leading_zero", "$01 ${01}"),
        with("expand_umlaut", "$1ä ${ä}"),
        echo(
            "expand_unmatched_group",
            "{expect: '^a(b)?(c)$', send: '<$1|$2>'}",
            "ac\n",
        ),
        echo(
            "expand_bad_bytes",
            "{expect: '^a(.+)$', send: '<${1}>'}",
            "az\n",
        ),
        dialogue(
            "expand_peer_bytes",
            "{expect: '^a(.+)$', send: '<${1}>'}",
            vec![send(b"a\xff\xfe\n"), Step::Line],
        ),
        dialogue(
            "expand_only_own_entry",
            "{expect: '^(one)'}, {send: '<${1}>'}",
            vec![send("one\n"), Step::Line],
        ),
        dialogue(
            "irc",
            "{send: 'NICK prober'}, {send: 'USER prober prober prober :prober'}, {expect: '^:[^ ]+ 001'}",
            vec![
                send(":a.test NOTICE AUTH :*** Looking up your hostname...\r\n"),
                Step::Line,
                Step::Line,
                send(":a.test 001 prober :Welcome\r\n"),
            ],
        ),
        dialogue(
            "irc_error",
            "{send: 'NICK prober'}, {send: 'USER prober prober prober :prober'}, {expect: '^:[^ ]+ 001'}",
            vec![
                Step::Line,
                Step::Line,
                send("ERROR: Your IP address is not welcome\r\n"),
            ],
        ),
    ]
}

/// What is sent is more than the kernel takes at once.
fn long_answers() -> Vec<Case> {
    let long = format!("{{send: '{}'}}", "x".repeat(200_000));
    let busy = |first: &[Step]| {
        // Longer than the timeout, and then it leaves.
        let rest = [Step::Pause(Duration::from_millis(1_500)), Step::Hangup];
        Server::steps([first, &rest].concat()).narrow()
    };
    let stuck = |name: &str, options: &str, server: Server| {
        let module = format!("{{prober: tcp, timeout: 700ms, tcp: {{{options}}}}}");
        Case::probe(format!("tcp::{name}"), module, "@server@").server(server)
    };
    let skip = "tls: true, tls_config: {insecure_skip_verify: true}";
    vec![
        Case::probe(
            "tcp::send_long",
            module(&format!("query_response: [{long}]")),
            "@server@",
        )
        .server(Server::steps(vec![Step::Pause(Duration::from_millis(300)), Step::Line]).narrow()),
        stuck(
            "send_long_not_read",
            &format!("query_response: [{long}]"),
            busy(&[]),
        ),
        stuck(
            "send_long_not_read_but_answered",
            &format!("query_response: [{long}, {{expect: ok}}]"),
            busy(&[send("ok\n")]),
        ),
        stuck(
            "send_long_not_read_in_tls",
            &format!("query_response: [{long}], {skip}"),
            busy(&[]).tls(Tls::with("good")),
        ),
        stuck(
            "send_long_hangup",
            &format!("query_response: [{long}]"),
            Server::steps(vec![Step::Pause(Duration::from_millis(100)), Step::Hangup]).narrow(),
        ),
    ]
}

/// An expression that Go keeps small, and that unrolled is many megabytes.
const LARGE: &str = "{expect: '(?i)(\\p{L}|\\p{N}){1,500}'}";

/// As many labels.
fn of_names(count: usize) -> String {
    let label = |number| format!("{{name: n{number}, value: '${{1}}'}}");
    (0..count).map(label).collect::<Vec<_>>().join(", ")
}

fn labels() -> Vec<Case> {
    let ssh = vec![send("SSH-2.0-OpenSSH_6.9p1 Debian-2\n")];
    let case = |name: &str, rest: &str| {
        dialogue(
            name,
            &format!("{{expect: '^SSH-2.0-([^ -]+)(?: (.*))?$', labels: {rest}}}"),
            ssh.clone(),
        )
    };
    let one = "{expect: '^(a)$', labels: [{name: first, value: '${1}'}]}";
    let two = "{expect: '^(b)$', labels: [{name: second, value: '${1}'}]}";
    vec![
        case(
            "labels",
            "[{name: ssh_version, value: '${1}'}, {name: ssh_comments, value: '${2}'}]",
        ),
        case(
            "labels_around",
            "[{name: a, value: 'got ${1} here'}, {name: b, value: '${1} on ${2}'}]",
        ),
        case("labels_fixed", "[{name: a, value: fixed}]"),
        case("labels_twenty", &format!("[{}]", of_names(20))),
        dialogue(
            "labels_long",
            "{expect: '^(a*)$', labels: [{name: first, value: '${1}'}]}",
            vec![send(format!("{}\n", "a".repeat(1_030)))],
        ),
        dialogue(
            "entries_three_hundred",
            &vec!["{send: x}"; 300].join(", "),
            vec![Step::Read(600)],
        ),
        dialogue("expect_large", LARGE, vec![send("a\n")]),
        case("labels_empty_value", "[{name: a, value: '${9}'}]"),
        case("labels_none", "[]"),
        case("labels_escapes", "[{name: a, value: \"q\\\"b\\\\s\\nn\"}]"),
        case("labels_bad_name", "[{name: 'a-b', value: x}]"),
        case("labels_name_utf8", "[{name: 'ä', value: x}]"),
        case("labels_reserved_name", "[{name: __a, value: x}]"),
        case(
            "labels_name_twice",
            "[{name: a, value: x}, {name: a, value: y}]",
        ),
        case("labels_without_name", "[{value: x}]"),
        case("labels_without_value", "[{name: a}]"),
        dialogue("labels_no_match", one, vec![send("b\n")]),
        dialogue(
            "labels_two_entries",
            &format!("{one}, {two}"),
            vec![send("a\nb\n")],
        ),
        dialogue(
            "labels_two_entries_same_names",
            &format!("{one}, {one}"),
            vec![send("a\na\n")],
        ),
        dialogue(
            "labels_then_failure",
            &format!("{one}, {two}"),
            vec![send("a\n")],
        ),
        dialogue(
            "labels_bad_bytes",
            "{expect: '^a(.)$', labels: [{name: first, value: '${1}'}]}",
            vec![send(b"a\xff\n")],
        ),
        dialogue(
            "labels_without_expect",
            "{send: hi, labels: [{name: first, value: x}]}",
            vec![Step::Line],
        ),
        dialogue(
            "labels_with_bytes",
            "{expect_bytes: abc, labels: [{name: first, value: x}]}",
            vec![send("abc")],
        ),
    ]
}

fn bytes() -> Vec<Case> {
    vec![
        dialogue(
            "bytes",
            "{expect_bytes: not-a-line}",
            vec![send("not-a-line")],
        ),
        dialogue(
            "bytes_other",
            "{expect_bytes: not-a-line}",
            vec![send("something-else")],
        ),
        dialogue(
            "bytes_short",
            "{expect_bytes: not-a-line}",
            vec![send("not")],
        ),
        dialogue("bytes_none", "{expect_bytes: not-a-line}", vec![]),
        dialogue("bytes_empty", "{expect_bytes: ''}", vec![send("x")]),
        dialogue("bytes_more", "{expect_bytes: abc}", vec![send("abcdef")]),
        dialogue(
            "bytes_binary",
            "{expect_bytes: !!binary AAH/}",
            vec![send(b"\x00\x01\xff")],
        ),
        dialogue(
            "bytes_twice",
            "{expect_bytes: abc}, {expect_bytes: def}",
            vec![send("abcdef")],
        ),
        dialogue(
            "bytes_in_pieces",
            "{expect_bytes: abcdef}",
            vec![
                send("abc"),
                Step::Pause(Duration::from_millis(100)),
                send("def"),
            ],
        ),
        dialogue(
            "bytes_after_line",
            "{expect: one}, {expect_bytes: two}",
            vec![send("one\ntwo")],
        ),
        dialogue(
            "line_after_bytes",
            "{expect_bytes: \"a\\n\"}, {expect: '^two$'}",
            vec![send("a\ntwo\n")],
        ),
        dialogue(
            "bytes_then_send",
            "{expect_bytes: abc, send: hi}",
            vec![send("abc"), Step::Line],
        ),
        dialogue(
            "bytes_not_expanded",
            "{expect_bytes: abc, send: '$0 ${1}'}",
            vec![send("abc"), Step::Line],
        ),
        stuck("bytes_silence", "{expect_bytes: abc}", vec![Step::Silence]),
        stuck(
            "bytes_half",
            "{expect_bytes: abc}",
            vec![send("ab"), Step::Silence],
        ),
    ]
}

fn encrypted() -> Vec<Case> {
    let root = "tls_config: {ca_file: '@folder@/root.pem'}";
    let skip = "tls_config: {insecure_skip_verify: true}";
    let smtp = |then: Step| {
        vec![
            send("220 a.test ESMTP ready\r\n"),
            Step::Line,
            send("250-a.test\r\n250-STARTTLS\r\n250 HELP\r\n"),
            Step::Line,
            send("220 2.0.0 go on\r\n"),
            then,
            Step::Line,
            send("250-a.test\r\n250-AUTH PLAIN\r\n250 HELP\r\n"),
            Step::Line,
        ]
    };
    let talk = "query_response: [{expect: '^220.*ESMTP.*$'}, {send: \"EHLO prober\\r\"}, {expect: '^250-STARTTLS'}, {send: \"STARTTLS\\r\"}, {expect: '^220'}, {starttls: true}, {send: \"EHLO prober\\r\"}, {expect: '^250-AUTH'}, {send: \"QUIT\\r\"}]";
    let probe = |name: &str, options: &str, target: &str, server: Server| {
        Case::probe(format!("tcp::{name}"), module(options), target).server(server)
    };
    let tls = |tls: Tls| Server::steps(Vec::new()).tls(tls);
    let upgrade = || Step::StartTls(Tls::with("good"));
    vec![
        probe(
            "tls",
            &format!("tls: true, {root}"),
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_by_name",
            &format!("tls: true, {root}"),
            "localhost:@server-port@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_unverified",
            "tls: true",
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_skip",
            &format!("tls: true, {skip}"),
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_1_2",
            &format!("tls: true, {root}"),
            "@server@",
            tls(Tls::with("good").only_tls12()),
        ),
        probe(
            "tls_1_3",
            &format!("tls: true, {root}"),
            "@server@",
            tls(Tls::with("good").only_tls13()),
        ),
        probe(
            "tls_wrong_name",
            &format!("tls: true, {root}"),
            "@server@",
            tls(Tls::with("name-only")),
        ),
        probe(
            "tls_server_name",
            "tls: true, tls_config: {ca_file: '@folder@/root.pem', server_name: localhost}",
            "@server@",
            tls(Tls::with("name-only")),
        ),
        probe(
            "tls_server_name_wrong",
            "tls: true, tls_config: {ca_file: '@folder@/root.pem', server_name: elsewhere.test}",
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_expired",
            &format!("tls: true, {root}"),
            "@server@",
            tls(Tls::with("expired")),
        ),
        probe(
            "tls_expired_skip",
            &format!("tls: true, {skip}"),
            "@server@",
            tls(Tls::with("expired")),
        ),
        probe(
            "tls_to_plain",
            &format!("tls: true, {skip}"),
            "@server@",
            Server::steps(vec![send("220 hi\r\n")]),
        ),
        probe(
            "tls_to_hangup",
            &format!("tls: true, {skip}"),
            "@server@",
            Server::steps(vec![Step::Hangup]),
        ),
        probe(
            "tls_ca_missing",
            "tls: true, tls_config: {ca_file: '@folder@/none.pem'}",
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_ca_no_pem",
            "tls: true, tls_config: {ca_file: '@folder@/not-pem.txt'}",
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "tls_own_authority",
            "tls: true, tls_config: {ca_file: '@folder@/own-authority.pem'}",
            "localhost:@server-port@",
            tls(Tls::with("own-authority").only_tls12()),
        ),
        probe(
            "tls_two_roots",
            "tls: true, tls_config: {ca_file: '@folder@/both-roots.pem'}",
            "localhost:@server-port@",
            tls(Tls::with("two-roots")),
        ),
        probe(
            "tls_dialogue",
            &format!("tls: true, {root}, query_response: [{{send: hello}}, {{expect: '^world$'}}]"),
            "@server@",
            Server::steps(vec![Step::Line, send("world\n")]).tls(Tls::with("good")),
        ),
        probe(
            "tls_dialogue_fails",
            &format!("tls: true, {root}, query_response: [{{expect: '^world$'}}]"),
            "@server@",
            Server::steps(vec![send("nothing\n")]).tls(Tls::with("good")),
        ),
        probe(
            "tls_labels",
            &format!(
                "tls: true, {root}, query_response: [{{expect: '^(w)orld$', labels: [{{name: a, value: '$1'}}]}}]"
            ),
            "@server@",
            Server::steps(vec![send("world\n")]).tls(Tls::with("good")),
        ),
        probe(
            "starttls",
            &format!("{root}, {talk}"),
            "@server@",
            Server::steps(smtp(upgrade())),
        ),
        probe(
            "starttls_by_name",
            &format!("{root}, {talk}"),
            "localhost:@server-port@",
            Server::steps(smtp(upgrade())),
        ),
        probe(
            "starttls_unverified",
            talk,
            "@server@",
            Server::steps(smtp(upgrade())),
        ),
        probe(
            "starttls_skip",
            &format!("{skip}, {talk}"),
            "@server@",
            Server::steps(smtp(upgrade())),
        ),
        probe(
            "starttls_wrong_name",
            &format!("{root}, {talk}"),
            "@server@",
            Server::steps(smtp(Step::StartTls(Tls::with("name-only")))),
        ),
        probe(
            "starttls_server_name",
            &format!(
                "tls_config: {{ca_file: '@folder@/root.pem', server_name: localhost}}, {talk}"
            ),
            "@server@",
            Server::steps(smtp(Step::StartTls(Tls::with("name-only")))),
        ),
        probe(
            "starttls_to_plain",
            &format!("{skip}, {talk}"),
            "@server@",
            Server::steps(smtp(send("500 what?\r\n"))),
        ),
        probe(
            "starttls_to_hangup",
            &format!("{skip}, {talk}"),
            "@server@",
            Server::steps(smtp(Step::Hangup)),
        ),
        probe(
            "starttls_with_injected_text",
            &format!("{skip}, query_response: [{{starttls: true}}, {{expect: injected}}]"),
            "@server@",
            Server::steps(vec![upgrade(), send("real\n")]),
        ),
        probe(
            "starttls_within_tls",
            &format!("tls: true, {skip}, query_response: [{{starttls: true}}]"),
            "@server@",
            tls(Tls::with("good")),
        ),
        probe(
            "hostname_without_server_name",
            &format!("tls: true, {root}"),
            "@server@",
            tls(Tls::with("name-only")),
        )
        .request(|request| request.query("&hostname=localhost")),
        probe(
            "hostname_beside_server_name",
            "tls: true, tls_config: {ca_file: '@folder@/root.pem', server_name: localhost}",
            "@server@",
            tls(Tls::with("name-only")),
        )
        .request(|request| request.query("&hostname=elsewhere.test")),
        probe(
            "hostname_without_tls",
            "",
            "@server@",
            Server::steps(Vec::new()),
        )
        .request(|request| request.query("&hostname=elsewhere.test")),
    ]
}
