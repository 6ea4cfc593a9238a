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
    vec![neighbours::trial(
        "promtool::check_metrics_has_no_complaint",
        "promtool",
        no_complaint,
    )]
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
jobs:
  - job_name: web
    module: web
    interval: 300ms
    classic_buckets: true
    static_configs: [{{targets: ['http://{}/', 'http://{}/', 'https://{secure}/']}}]
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
    let target = encode(&format!("https://{}/", secure.address));
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
    server.stop();
}
