//! Real Prometheus servers scrape `/fleet`, `/metrics` and `/probe`, and what
//! they then know is what was injected.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::{self, encode};
use probity_tests::support::probity::{Guard, Log};
use probity_tests::support::{Peer, Probity, until};
use serde_json::Value;

use crate::neighbours;
use crate::promtool::RULES;

/// How long the slow servers think.
const DELAY: Duration = Duration::from_millis(100);

/// Flags that make both of Debian's releases scrape native histograms.
const NATIVE: &[&str] = &["--enable-feature=native-histograms"];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (release, path) in [
        ("stable", neighbours::installed("prometheus")),
        ("sid", neighbours::unpacked("prometheus")),
    ] {
        // Only the stable release is insisted on.
        let program = if release == "stable" {
            "prometheus"
        } else {
            "a newer prometheus"
        };
        let mut add = |name: &str, test: fn(&Path)| {
            let name = format!("prometheus::{release}::{name}");
            trials.push(neighbours::trial_at(name, program, path.clone(), test));
        };
        add("probe_success_is_what_was_injected", success);
        add("classic_histograms_show_the_delay", classic);
        add("native_histograms_show_the_delay", native);
    }
    trials
}

/// Targets of a known state, a server that probes them, and a Prometheus that
/// scrapes it.
struct Setting {
    prometheus: Prometheus,
    probity: Probity,
    /// `probe_success` by target.
    injected: BTreeMap<String, f64>,
    _peers: [Peer; 3],
    _folder: tempfile::TempDir,
}

impl Setting {
    fn start(program: &Path, flags: &[&str]) -> Self {
        let slow = Peer::status(200, DELAY);
        let good = Peer::status(200, Duration::ZERO);
        let bad = Peer::status(503, Duration::ZERO);
        let dead = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|it| it.local_addr())
            .expect("a port");
        let injected: BTreeMap<String, f64> = [
            (good.url(), 1.0),
            (slow.url(), 1.0),
            (bad.url(), 0.0),
            (format!("http://{dead}/"), 0.0),
        ]
        .into();
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("probity.yml");
        let urls: Vec<&str> = injected.keys().map(String::as_str).collect();
        let thinking: Vec<String> = (0..8).map(|n| format!("'{}{n}'", slow.url())).collect();
        let text = format!(
            "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: web
    module: web
    interval: 500ms
    failure_threshold: 1
    static_configs: [{{targets: ['{}'], labels: {{team: core}}}}]
  - job_name: slow
    module: web
    interval: 500ms
    classic_buckets: [0.025, 0.05, 0.1, 0.2, 0.4]
    static_configs: [{{targets: [{}]}}]
",
            urls.join("', '"),
            thinking.join(", ")
        );
        fs::write(&config, text).expect("a file");
        let probity = Probity::serve(&config);
        let prometheus = Prometheus::start(program, folder.path(), probity.address, &urls, flags);
        Self {
            prometheus,
            probity,
            injected,
            _peers: [slow, good, bad],
            _folder: folder,
        }
    }

    /// Waits until a query has one value and that is in a range: the first
    /// scrapes of a busy machine may not be typical.
    fn settles(&self, query: &str, range: std::ops::RangeInclusive<f64>) {
        let mut last = Vec::new();
        let settled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(query, || {
                last = self.prometheus.query(query);
                matches!(last[..], [(_, value)] if range.contains(&value)).then_some(())
            });
        }));
        assert!(
            settled.is_ok(),
            "{query}: expected one value in {range:?}, found {last:?}"
        );
    }

    /// The recordings of quantiles that are shipped have something to say. What
    /// a busy machine adds to the last of a hundred is not limited.
    fn recordings_speak(&self) {
        self.settles(
            "job_phase:probity_phase_duration_seconds:p99_5m{job=\"slow\",phase=\"processing\"}",
            0.0625..=60.0,
        );
        self.settles("instance:probity_start_lag_seconds:p99_5m", 0.0..=60.0);
    }

    fn end(self) {
        self.probity.stop();
    }
}

/// A running Prometheus.
pub(crate) struct Prometheus {
    address: SocketAddr,
    _child: Guard,
}

impl Prometheus {
    fn start(
        program: &Path,
        folder: &Path,
        probity: SocketAddr,
        urls: &[&str],
        flags: &[&str],
    ) -> Self {
        let text = format!(
            "\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [probity.rules.yml]
scrape_configs:
  - job_name: fleet
    honor_labels: true
    metrics_path: /fleet
    static_configs: [{{targets: ['{probity}']}}]
  - job_name: probity
    honor_labels: true
    static_configs: [{{targets: ['{probity}']}}]
  - job_name: blackbox
    metrics_path: /probe
    params: {{module: [web]}}
    static_configs: [{{targets: ['{}']}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: '{probity}'}}
",
            urls.join("', '")
        );
        fs::write(folder.join("probity.rules.yml"), RULES).expect("a file");
        Self::with_config(program, folder, &text, flags)
    }

    /// One with this configuration.
    pub(crate) fn with_config(program: &Path, folder: &Path, text: &str, flags: &[&str]) -> Self {
        let config = folder.join("prometheus.yml");
        fs::write(&config, text).expect("a file");
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.join("data").display()
            ))
            .arg("--web.listen-address=127.0.0.1:0")
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = Guard(child.expect("prometheus starts"));
        let log = Log::default();
        log.follow(child.0.stderr.take().expect("a pipe"));
        let address = until("prometheus listens", || {
            let ended = child.0.try_wait().expect("a child");
            assert!(ended.is_none(), "prometheus ended: {log:?}");
            log.address()
        });
        Self {
            address,
            _child: child,
        }
    }

    /// The values of a label on the series that a selector picks, sorted: what
    /// a dashboard offers to choose from.
    pub(crate) fn label_values(&self, selector: &str, label: &str) -> Vec<String> {
        let path = format!("/api/v1/label/{label}/values?match[]={}", encode(selector));
        let answer = http::get(self.address, &path).ok().json();
        let values = answer["data"].as_array().cloned().unwrap_or_default();
        values
            .iter()
            .filter_map(|value| value.as_str().map(str::to_owned))
            .collect()
    }

    /// An instant query: labels and values, none while there is no answer.
    pub(crate) fn query(&self, expression: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let path = format!("/api/v1/query?query={}", encode(expression));
        let Ok(answer) = http::try_request(self.address, "GET", &path, &[]) else {
            return Vec::new();
        };
        // It is not ready at once.
        if answer.status == 503 {
            return Vec::new();
        }
        let answer = answer.ok().json();
        let results = answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        results.iter().filter_map(sample).collect()
    }

    /// The value by the label `instance`.
    fn by_instance(&self, expression: &str) -> BTreeMap<String, f64> {
        let results = self.query(expression).into_iter();
        results
            .map(|(labels, value)| (labels.get("instance").cloned().unwrap_or_default(), value))
            .collect()
    }
}

fn sample(result: &Value) -> Option<(BTreeMap<String, String>, f64)> {
    let labels = result["metric"].as_object()?.iter();
    let labels =
        labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
    Some((labels.collect(), result["value"][1].as_str()?.parse().ok()?))
}

fn success(program: &Path) {
    let setting = Setting::start(program, &[]);
    let Setting {
        prometheus,
        injected,
        ..
    } = &setting;
    for (source, selector) in [
        ("/fleet", "job=\"web\",team=\"core\""),
        ("/probe", "job=\"blackbox\""),
    ] {
        let query = format!("probe_success{{{selector}}}");
        until(&format!("{source} tells {injected:?}"), || {
            (prometheus.by_instance(&query) == *injected).then_some(())
        });
    }
    until("health follows", || {
        (prometheus.by_instance("probity_target_up{job=\"web\"}") == *injected).then_some(())
    });
    // The scrapes themselves are well: three of them, and one for each target.
    setting.settles("count(up == 1)", 6.0..=6.0);
    assert_eq!(prometheus.query("up == 0"), Vec::new());
    // Labels are ours: none was renamed because the scrape has one too.
    assert_eq!(
        prometheus.query("{__name__=~\".+\",exported_job!=\"\"}"),
        Vec::new()
    );
    assert_eq!(
        prometheus.query("{__name__=~\".+\",exported_instance!=\"\"}"),
        Vec::new()
    );
    // Prometheus has taken every line that there is.
    let lines = setting.probity.samples("/fleet").0.len() as f64;
    setting.settles("scrape_samples_scraped{job=\"fleet\"}", lines..=lines);
    let lines = setting.probity.samples("/metrics").0.len() as f64;
    setting.settles("scrape_samples_scraped{job=\"probity\"}", lines..=lines);
    setting.end();
}

fn classic(program: &Path) {
    let setting = Setting::start(program, &[]);
    let of = |name: &str, selector: &str| {
        format!("histogram_quantile(0.5, sum by (le) (rate({name}_bucket{{{selector}}}[20s])))")
    };
    // 100 ms are in the bucket from 62.5 to 125 ms.
    setting.settles(
        &of(
            "probity_phase_duration_seconds",
            "job=\"slow\",phase=\"processing\"",
        ),
        0.0625..=0.125,
    );
    setting.settles(
        &of("probity_job_duration_seconds", "job=\"slow\""),
        0.0625..=0.125,
    );
    // By target, with the buckets of the job: from 100 to 200 ms.
    setting.settles(
        &of("probity_probe_duration_seconds", "job=\"slow\""),
        0.1..=0.2,
    );
    let connects = of(
        "probity_phase_duration_seconds",
        "job=\"slow\",phase=\"connect\"",
    );
    setting.settles(&connects, 0.0..=0.0625);
    setting.recordings_speak();
    setting.end();
}

fn native(program: &Path) {
    let setting = Setting::start(program, NATIVE);
    let of = |name: &str, selector: &str| {
        format!("histogram_quantile(0.5, sum(rate({name}{{{selector}}}[20s])))")
    };
    // A bucket of schema 3 is 9 % wide.
    setting.settles(
        &of("probity_probe_duration_seconds", "job=\"slow\""),
        0.09..=0.125,
    );
    setting.settles(
        &of("probity_job_duration_seconds", "job=\"slow\""),
        0.09..=0.125,
    );
    setting.settles(
        &of(
            "probity_phase_duration_seconds",
            "job=\"slow\",phase=\"processing\"",
        ),
        0.09..=0.125,
    );
    setting.recordings_speak();
    // One series for each target, also where the text formats have none.
    setting.settles(
        "count(probity_probe_duration_seconds{job=\"web\"})",
        4.0..=4.0,
    );
    let injected = setting.prometheus.by_instance("probe_success{job=\"web\"}");
    assert_eq!(injected, setting.injected);
    assert_eq!(setting.prometheus.query("up == 0"), Vec::new());
    setting.end();
}
