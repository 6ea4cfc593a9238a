//! Names, from the command line to a DNS server and back.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::dns::{Answer, Dns};
use probity_tests::support::probity::{command, run};
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;

use crate::Folder;

/// Who may not listen at port 53 has little to test here.
pub(crate) fn trials() -> Vec<Trial> {
    let may_listen = Dns::start(script).is_some();
    let mut trials = trials!("names":
        every_answer_of_a_server_has_its_reason,
        the_hosts_file_goes_before_the_server_and_answers_are_kept,
        both_files_are_followed,
    );
    trials = trials
        .into_iter()
        .map(|trial| trial.with_ignored_flag(!may_listen))
        .collect();
    trials.extend(trials!("names":
        a_file_that_was_asked_for_must_be_there,
        a_pipe_says_what_it_says_once,
    ));
    trials
}

fn script(name: &str) -> Answer {
    match name.split('.').next() {
        Some("good") => Answer::Address(Ipv4Addr::LOCALHOST),
        Some("long") => Answer::Truncated(Ipv4Addr::LOCALHOST),
        Some("broken") => Answer::Failure,
        Some("silent") => Answer::Silence,
        _ => Answer::NotFound,
    }
}

/// A server, and flags that send every question to it, with this hosts file.
fn asked(hosts: &str) -> (Dns, Folder, [String; 2]) {
    let dns = Dns::start(script).expect("port 53 of a loopback address");
    let folder = Folder::new();
    let options = "options timeout:1 attempts:1\n";
    folder.write("resolv.conf", &format!("{}{options}", dns.line()));
    folder.write("hosts", hosts);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let flags = [
        format!("--dns.resolv-conf={}", path("resolv.conf")),
        format!("--dns.hosts={}", path("hosts")),
    ];
    (dns, folder, flags)
}

fn every_answer_of_a_server_has_its_reason() {
    let (_dns, _folder, [resolv_conf, hosts]) = asked("");
    let peer = Peer::status(200, Duration::ZERO);
    let port = peer.address.port();
    let check = |name: &str| {
        let target = format!("http://{name}.example:{port}/");
        let ended = run(&["check", &resolv_conf, &hosts, "--output=json", &target]);
        let result: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
        (ended.code, result)
    };
    for name in ["good", "long"] {
        let (code, result) = check(name);
        assert_eq!(code, Some(0), "{name}: {result}");
        assert_eq!(result["address"], peer.address.to_string(), "{name}");
    }
    for (name, reason) in [
        ("other", "dns_not_found"),
        ("broken", "dns_server_failure"),
        ("silent", "dns_timeout"),
    ] {
        let (code, result) = check(name);
        assert_eq!(code, Some(1), "{name}: {result}");
        assert_eq!(result["reason"], reason, "{name}: {result}");
        assert_eq!(result["phase"], "resolve", "{name}: {result}");
    }
}

fn the_hosts_file_goes_before_the_server_and_answers_are_kept() {
    let (_dns, folder, [resolv_conf, hosts]) = asked("127.0.0.1 other.example\n");
    let peer = Peer::status(200, Duration::ZERO);
    let port = peer.address.port();
    folder.write(
        "probity.yml",
        &format!(
            "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: web
    module: web
    interval: 200ms
    static_configs: [{{targets: ['http://other.example:{port}/', 'http://good.example:{port}/']}}]
"
        ),
    );
    let server = Probity::serve_with(&folder.config(), &[&resolv_conf, &hosts]);
    until("both targets are up and the name was found again", || {
        let up = server.targets("health=up").len() == 2;
        let own = server.samples("/metrics");
        let hits = own.value("probity_resolver_cache_hits_total", &[]);
        (up && hits >= Some(3.0)).then_some(())
    });
    // One question for each family, however often the target ran; another
    // worker than the first may never have been asked.
    let own = server.samples("/metrics");
    assert_eq!(own.value("probity_resolver_queries_total", &[]), Some(2.0));
}

fn both_files_are_followed() {
    let (dns, folder, [resolv_conf, hosts]) = asked("127.0.0.1 moved.example\n");
    let peer = Peer::status(200, Duration::ZERO);
    let port = peer.address.port();
    // A resolv.conf of before the server was there.
    folder.write(
        "resolv.conf",
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    );
    folder.write(
        "probity.yml",
        "modules: {web: {prober: http, timeout: 2s}}\n",
    );
    let server = Probity::serve_with(&folder.config(), &[&resolv_conf, &hosts]);
    let success = |name: &str| {
        let page = format!("/probe?module=web&target=http://{name}.example:{port}/");
        server.samples(&page).value("probe_success", &[])
    };
    assert_eq!(success("moved"), Some(1.0));
    assert_eq!(success("good"), Some(0.0));
    let options = "options timeout:1 attempts:1\n";
    folder.write("resolv.conf", &format!("{}{options}", dns.line()));
    folder.write("hosts", "127.0.0.1 other.example\n");
    for (name, value) in [("good", 1.0), ("other", 1.0), ("moved", 0.0)] {
        until(name, || (success(name) == Some(value)).then_some(()));
    }
}

fn a_file_that_was_asked_for_must_be_there() {
    let ended = run(&["check", "--dns.hosts=/nonexistent/hosts", "127.0.0.1:1"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let said = "cannot read /nonexistent/hosts";
    assert!(ended.stderr.contains(said), "{ended:?}");
}

fn a_pipe_says_what_it_says_once() {
    let peer = Peer::status(200, Duration::ZERO);
    let target = format!("http://piped.example:{}/", peer.address.port());
    let mut child = command(&["check", "--dns.hosts=/dev/stdin", &target])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(b"127.0.0.1 piped.example\n")
        .expect("it reads");
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}
