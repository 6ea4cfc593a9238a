//! `probity check`: what a person is told, and what a script.

use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::Peer;
use probity_tests::support::metrics::Samples;
use probity_tests::support::probity::run;
use probity_tests::support::tls::{self, Authority};
use probity_tests::trials;

use crate::{Folder, dead};

pub(crate) fn trials() -> Vec<Trial> {
    trials!("check":
        one_line_says_what_happened_and_in_which_phase,
        exit_codes_tell_scripts_apart,
        json_is_one_object_a_line,
        prometheus_output_is_one_exposition,
    )
}

/// The line that tells how it went: the first one.
fn verdict(args: &[&str]) -> String {
    let mut all = vec!["check"];
    all.extend(args);
    let ended = run(&all);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended.stdout.lines().next().unwrap_or_default().to_owned()
}

fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line:?}");
    }
}

fn one_line_says_what_happened_and_in_which_phase() {
    let dead = dead();
    says(
        &verdict(&[&format!("http://{dead}/")]),
        &["refused", "connect"],
    );

    let unavailable = Peer::status(503, Duration::ZERO);
    says(&verdict(&[&unavailable.url()]), &["503", "transfer"]);

    let slow = Peer::new(|mut conn| {
        conn.request();
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
        conn.send_without_end(b"x", Duration::from_millis(20));
    });
    says(
        &verdict(&["--timeout", "1s", &slow.url()]),
        &["timeout", "transfer"],
    );

    let authority = Authority::new();
    let expired = tls::peer(authority.expired());
    let folder = Folder::new();
    folder.write("ca.pem", &authority.pem());
    let ca = folder.path().join("ca.pem");
    let tls = format!("tls_config: {{ca_file: {}}}", ca.display());
    folder.write(
        "probity.yml",
        &format!("modules: {{trusting: {{prober: http, http: {{{tls}}}}}}}\n"),
    );
    let config = folder.config();
    let args = [
        "--config.file",
        config.to_str().expect("text"),
        "-m",
        "trusting",
    ];
    let url = format!("https://{}/", expired.address);
    says(
        &verdict(&[&args[..], &[&url]].concat()),
        &["expired", "tls"],
    );
}

fn exit_codes_tell_scripts_apart() {
    let peer = Peer::status(200, Duration::ZERO);
    let (good, bad) = (peer.url(), format!("http://{}/", dead()));
    for (args, code) in [
        (&["check", &good][..], 0),
        (&["check", &good, &good], 0),
        (&["check", &good, &bad], 1),
        (&["check"], 2),
        (&["check", "--module", "nosuch", &good], 2),
        (&["check", "--config.file", "/nonexistent/x.yml", &good], 2),
        (&["check", "--timeout", "soon", &good], 2),
        // A target that the module cannot have is a mistake on the command line.
        (&["check", "--module", "tcp_connect", "no-port"], 2),
    ] {
        let ended = run(args);
        assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
    }
}

fn json_is_one_object_a_line() {
    let good = Peer::status(200, Duration::from_millis(50));
    let bad = format!("http://{}/", dead());
    let ended = run(&["check", "-o", "json", &good.url(), &bad]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert_eq!(lines[0]["target"], good.url().as_str());
    assert_eq!(lines[0]["outcome"], "success");
    assert_eq!(lines[1]["target"], bad.as_str());
    assert_eq!(lines[1]["reason"], "connect_refused");
    let processing = lines[0]["phases_seconds"]["processing"].as_f64();
    assert!(
        processing.is_some_and(|seconds| seconds >= 0.05),
        "{ended:?}"
    );
}

fn prometheus_output_is_one_exposition() {
    let good = Peer::status(200, Duration::ZERO);
    let bad = format!("http://{}/", dead());
    let ended = run(&["check", "-o", "prometheus", &good.url(), &bad]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let samples = Samples::parse(&ended.stdout);
    assert_eq!(
        samples.value("probe_success", &[("target", &good.url())]),
        Some(1.0)
    );
    assert_eq!(
        samples.value("probe_success", &[("target", &bad)]),
        Some(0.0)
    );
    let types = ended.stdout.matches("# TYPE probe_success gauge").count();
    assert_eq!(types, 1, "{}", ended.stdout);
}
