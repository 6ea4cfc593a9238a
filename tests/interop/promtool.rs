//! promtool reads what is exposed, and has nothing to say about it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::tls::{self, Authority};
use probity_tests::support::{Peer, Probity, until};

use crate::neighbours;

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name, test: fn(&Path)| neighbours::trial(name, "promtool", test);
    vec![
        trial("promtool::check_metrics_has_no_complaint", no_complaint),
        trial("promtool::shipped_rules_do_what_they_say", rules),
    ]
}

/// The rules that are shipped, and the test of them.
pub(crate) const RULES: &str = include_str!("../../exporter/alerts/probity.rules.yml");
const TEST: &str = include_str!("../../exporter/alerts/probity.test.yml");

fn rules(promtool: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let judge = |rules: &str| {
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file");
        };
        write("probity.rules.yml", rules);
        write("probity.test.yml", TEST);
        [
            "check rules probity.rules.yml",
            "test rules probity.test.yml",
        ]
        .map(|line| {
            let output = Command::new(promtool)
                .args(line.split(' '))
                .current_dir(folder.path())
                .output()
                .expect("promtool runs");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            (output.status.success(), said)
        })
    };
    let [checked, tested] = judge(RULES);
    assert!(checked.0 && tested.0, "{checked:?} {tested:?}");
    // The test notices what is wrong.
    for (right, wrong) in [
        ("probity_target_up == 0", "probity_target_up == 1"),
        ("probity_targets_overdue > 0", "probity_targets_overdue > 3"),
        ("14 * 24 * 3600", "9 * 24 * 3600"),
        (
            "unless on (job, instance) probity_results_total",
            "unless on (job, instance) probity_target_up",
        ),
    ] {
        assert!(RULES.contains(right), "{right}");
        let [checked, tested] = judge(&RULES.replace(right, wrong));
        assert!(checked.0 && !tested.0, "{wrong}: {checked:?} {tested:?}");
    }
}

/// Every series that the rules name is one that we have.
fn are_named(exposed: &str) {
    let names = RULES.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':'));
    let own = ["probity_", "probe_", "blackbox_"];
    let names: Vec<&str> = names
        .filter(|name| own.iter().any(|own| name.starts_with(own)))
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(exposed.contains(name), "nothing is called {name}");
    }
}

fn no_complaint(promtool: &Path) {
    let web = Peer::status(200, Duration::ZERO);
    let bad = Peer::status(503, Duration::ZERO);
    let secure = tls::peer(Authority::new().good());
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("probity.yml");
    let text = format!(
        "\
modules:
  web: {{prober: http, http: {{tls_config: {{insecure_skip_verify: true}}}}}}
  raw: {{prober: tcp, tcp: {{tls: true, tls_config: {{insecure_skip_verify: true}}}}}}
  # An address that is not ours: there is no way to look.
  blind: {{prober: tcp, tcp: {{source_ip_address: 192.0.2.55}}}}
jobs:
  - job_name: web
    module: web
    interval: 300ms
    classic_buckets: true
    static_configs: [{{targets: ['http://{}/', 'http://{}/', 'https://{secure}/']}}]
  - {{job_name: blind, module: blind, interval: 300ms, static_configs: [{{targets: ['{secure}']}}]}}
  - {{job_name: raw, module: raw, interval: 300ms, static_configs: [{{targets: ['{secure}']}}]}}
",
        web.address,
        bad.address,
        secure = secure.address
    );
    std::fs::write(&config, text).expect("a file");
    let server = Probity::serve(&config);
    until("all are judged", || {
        let fleet = server.samples("/fleet");
        (fleet.all("probity_target_up", &[]).count() == 4).then_some(())
    });
    until("one could not be looked at", || {
        let own = server.samples("/metrics");
        (own.all("probity_unknown_total", &[]).count() > 0).then_some(())
    });
    let target = encode(&format!("https://{}/", secure.address));
    let mut exposed = String::new();
    for path in [
        "/metrics",
        "/fleet",
        &format!("/probe?module=web&target={target}"),
    ] {
        let text = server.get(path).ok().text().to_owned();
        assert!(
            text.contains("probe_success") || text.contains("probity_targets"),
            "{text}"
        );
        exposed.push_str(&text);
        let mut child = Command::new(promtool)
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool starts");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(text.as_bytes())
            .expect("promtool reads");
        let output = child.wait_with_output().expect("promtool ends");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(
            output.status.success() && said.trim().is_empty(),
            "{path}: {}: {said}",
            output.status
        );
    }
    are_named(&exposed);
    server.stop();
}
