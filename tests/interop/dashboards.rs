//! What popular dashboards show and popular rules alert on: a real Prometheus
//! evaluates their expressions over what it scrapes as their users scrape, and
//! alerts fire for what was injected and for nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::tls::{self, Authority};
use probity_tests::support::{Peer, Probity, until};

use crate::neighbours;
use crate::prometheus::Prometheus;

pub(crate) fn trials() -> Vec<Trial> {
    [
        ("stable", "prometheus", neighbours::installed("prometheus")),
        (
            "sid",
            "a newer prometheus",
            neighbours::unpacked("prometheus"),
        ),
    ]
    .into_iter()
    .map(|(release, program, path)| {
        let name = format!("dashboards::{release}::panels_have_data_and_alerts_tell_the_truth");
        neighbours::trial_at(name, program, path, truth)
    })
    .collect()
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Longer than the rules call slow.
const SLOW: Duration = Duration::from_millis(1300);

/// What panels ask for; `$SELECT` picks the jobs that probe.
const PANELS: &[&str] = &[
    "probe_success{$SELECT}",
    "probe_duration_seconds{$SELECT}",
    "avg_over_time(probe_duration_seconds{$SELECT}[1m])",
    "sum by (instance) (probe_http_duration_seconds{$SELECT})",
    "avg by (phase) (probe_http_duration_seconds{$SELECT,phase=\"resolve\"})",
    "avg by (phase) (probe_http_duration_seconds{$SELECT,phase=\"connect\"})",
    "avg by (phase) (probe_http_duration_seconds{$SELECT,phase=\"tls\"}) > 0",
    "avg by (phase) (probe_http_duration_seconds{$SELECT,phase=\"processing\"}) > 0",
    "avg by (phase) (probe_http_duration_seconds{$SELECT,phase=\"transfer\"})",
    "probe_http_status_code{$SELECT} > 0",
    "probe_http_version{$SELECT} > 0",
    "probe_http_ssl{$SELECT} == 1",
    "probe_http_redirects{$SELECT}",
    "probe_http_content_length{$SELECT}",
    "probe_failed_due_to_regex{$SELECT}",
    "probe_dns_lookup_time_seconds{$SELECT}",
    "probe_ip_protocol{$SELECT} == 4",
    "(probe_ssl_earliest_cert_expiry{$SELECT} - time()) / 86400 > 0",
    "probe_tls_version_info{$SELECT,version=\"TLS 1.3\"} == 1",
    "avg_over_time(probe_success{$SELECT}[30d]) * 100",
    "count(probe_success{$SELECT} == 0)",
    "count by (job) (probe_success{$SELECT} == 1)",
];

/// Name and expression of each rule.
const RULES: &[(&str, &str)] = &[
    ("Failed", "probe_success == 0"),
    (
        "ReloadFailed",
        "blackbox_exporter_config_last_reload_successful != 1",
    ),
    ("Slow", "probe_duration_seconds > 1"),
    (
        "BadStatus",
        "probe_http_status_code <= 199 or probe_http_status_code >= 400",
    ),
    (
        "ExpiresSoon",
        "3 <= round((last_over_time(probe_ssl_earliest_cert_expiry[10m]) - time()) / 86400, 0.1) < 20",
    ),
    (
        "ExpiresVerySoon",
        "0 <= round((last_over_time(probe_ssl_earliest_cert_expiry[10m]) - time()) / 86400, 0.1) < 3",
    ),
    (
        "Expired",
        "round((last_over_time(probe_ssl_earliest_cert_expiry[10m]) - time()) / 86400, 0.1) < 0",
    ),
    ("SlowPhase", "probe_http_duration_seconds > 1"),
    ("SlowPing", "probe_icmp_duration_seconds > 1"),
    (
        "LowUptime",
        "avg_over_time(probe_success[30d]) * 100 < 99.9",
    ),
    (
        "ExpiresInThreeWeeks",
        "probe_ssl_earliest_cert_expiry - time() < 21 * 24 * 3600",
    ),
    ("ProberDown", "up == 0"),
];

/// A target and the rules that it is to set off.
struct Target {
    url: String,
    alerts: &'static [&'static str],
    _peer: Option<Peer>,
}

fn targets() -> Vec<Target> {
    let authority = Authority::new();
    let plain = |peer: Peer, alerts| Target {
        url: peer.url(),
        alerts,
        _peer: Some(peer),
    };
    let secure = |identity, alerts| {
        let peer = tls::peer(identity);
        Target {
            url: format!("https://{}/", peer.address),
            alerts,
            _peer: Some(peer),
        }
    };
    // A port of the kernel's choice would be given to the next who asks.
    let dead = "127.66.0.1:1";
    vec![
        plain(Peer::status(200, Duration::ZERO), &[]),
        plain(Peer::status(200, SLOW), &["Slow", "SlowPhase"]),
        plain(
            Peer::status(404, Duration::ZERO),
            &["Failed", "BadStatus", "LowUptime"],
        ),
        Target {
            url: format!("http://{dead}/"),
            alerts: &["Failed", "BadStatus", "LowUptime"],
            _peer: None,
        },
        secure(authority.good(), &[]),
        secure(
            authority.ending_in(10 * DAY),
            &["ExpiresSoon", "ExpiresInThreeWeeks"],
        ),
        secure(
            authority.ending_in(2 * DAY),
            &["ExpiresVerySoon", "ExpiresInThreeWeeks"],
        ),
        secure(authority.expired(), &["Expired", "ExpiresInThreeWeeks"]),
    ]
}

fn configure(folder: &Path, targets: &[Target]) -> (Probity, String) {
    let urls: Vec<&str> = targets.iter().map(|target| target.url.as_str()).collect();
    let urls = urls.join("', '");
    let config = folder.join("probity.yml");
    let text = format!(
        "\
modules:
  web: {{prober: http, timeout: 5s, http: {{tls_config: {{insecure_skip_verify: true}}}}}}
  quic: {{prober: http, http: {{enable_http3: true, enable_http2: false}}}}
jobs:
  - job_name: fleet
    module: web
    interval: 2s
    timeout: 2s
    static_configs: [{{targets: ['{urls}']}}]
"
    );
    fs::write(&config, text).expect("a file");
    let probity = Probity::serve(&config);
    // What is in force stays so, and the rule for reloads has something to tell.
    fs::write(&config, "modules: 3\n").expect("a file");
    assert_eq!(probity.reload().status, 500);
    let rules: String = RULES
        .iter()
        .map(|(name, expression)| format!("  - {{alert: {name}, expr: '{expression}'}}\n"))
        .collect();
    let path = folder.join("rules.yml");
    fs::write(
        &path,
        format!("groups:\n- name: popular\n  rules:\n{rules}"),
    )
    .expect("a file");
    let prometheus = format!(
        "\
global: {{scrape_interval: 3s, scrape_timeout: 3s, evaluation_interval: 1s}}
rule_files: ['{rules}']
scrape_configs:
  - job_name: probity
    honor_labels: true
    static_configs: [{{targets: ['{address}']}}]
  - job_name: fleets
    honor_labels: true
    metrics_path: /fleet
    static_configs: [{{targets: ['{address}']}}]
  - job_name: unmade
    metrics_path: /probe
    params: {{module: [quic], target: ['http://127.0.0.1/']}}
    static_configs: [{{targets: ['{address}']}}]
  - job_name: blackbox
    metrics_path: /probe
    params: {{module: [web]}}
    static_configs: [{{targets: ['{urls}']}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: '{address}'}}
",
        rules = path.display(),
        address = probity.address,
    );
    (probity, prometheus)
}

fn truth(program: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let targets = targets();
    let (probity, config) = configure(folder.path(), &targets);
    let prometheus = Prometheus::with_config(program, folder.path(), &config, &[]);
    for job in ["blackbox", "fleet"] {
        for panel in PANELS {
            let query = panel.replace("$SELECT", &format!("job=\"{job}\""));
            until(&format!("{query} has data"), || {
                (!prometheus.query(&query).is_empty()).then_some(())
            });
        }
        let mut expected: Vec<String> = targets.iter().map(|target| target.url.clone()).collect();
        expected.sort();
        let selector = format!("probe_success{{job=\"{job}\"}}");
        until(&format!("{job} offers {expected:?}"), || {
            let mut offered = prometheus.label_values(&selector, "instance");
            offered.sort();
            (offered == expected).then_some(())
        });
        let phases = prometheus.label_values("probe_http_duration_seconds", "phase");
        assert_eq!(
            phases,
            ["connect", "processing", "resolve", "tls", "transfer"]
        );
    }
    let expected: BTreeSet<(String, String, String)> = targets
        .iter()
        .flat_map(|target| target.alerts.iter().map(|alert| (*alert, &target.url)))
        .flat_map(|(alert, url)| {
            ["blackbox", "fleet"].map(|job| (alert.to_owned(), job.to_owned(), url.clone()))
        })
        // Of the prober itself: a file that it refused, and a probe that it could
        // not make, which is no failure of the target.
        .chain(
            [("ReloadFailed", "probity"), ("ProberDown", "unmade")].map(|(alert, job)| {
                (
                    alert.to_owned(),
                    job.to_owned(),
                    probity.address.to_string(),
                )
            }),
        )
        .collect();
    let mut firing = BTreeSet::new();
    let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until("the alerts are those of what was injected", || {
            let alerts = prometheus
                .query("ALERTS{alertstate=\"firing\"}")
                .into_iter();
            firing = alerts
                .map(|(labels, _)| {
                    ["alertname", "job", "instance"]
                        .map(|name| labels.get(name).cloned().unwrap_or_default())
                        .into()
                })
                .collect();
            (firing == expected).then_some(())
        });
    }));
    let missing: Vec<_> = expected.difference(&firing).collect();
    let wrong: Vec<_> = firing.difference(&expected).collect();
    assert!(
        settled.is_ok(),
        "did not fire: {missing:#?}\nfired without reason: {wrong:#?}"
    );
    probity.stop();
}
