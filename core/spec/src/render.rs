//! The running configuration as YAML, secrets hidden.

use std::collections::BTreeMap;

use probity_engine::check::ModuleConfig;
use probity_engine::config::TimeLimit;
use serde::Serialize;

use crate::duration::JobDuration;
use crate::file::{File, NamedModule};
use crate::groups::Group;
use crate::job::{FileSource, Job, Metrics};

#[derive(Serialize)]
struct Rendered<'f> {
    modules: BTreeMap<&'f str, ModuleConfig>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<RenderedJob<'f>>,
}

/// A job with its defaults filled in, under our own names.
#[derive(Serialize)]
struct RenderedJob<'f> {
    job_name: &'f str,
    module: &'f str,
    interval: JobDuration,
    timeout: JobDuration,
    initial_delay: JobDuration,
    success_threshold: u32,
    failure_threshold: u32,
    metrics: Metrics,
    #[serde(skip_serializing_if = "Option::is_none")]
    classic_buckets: Option<&'f [f64]>,
    #[serde(skip_serializing_if = "<[Group]>::is_empty")]
    static_configs: &'f [Group],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    file_sd_configs: Vec<RenderedSource<'f>>,
}

#[derive(Serialize)]
struct RenderedSource<'f> {
    files: Vec<&'f str>,
    refresh_interval: JobDuration,
}

impl File {
    /// The configuration as YAML: defaults filled in as by blackbox_exporter,
    /// passwords and keys as `<secret>`. But for those, parsing it gives the
    /// same file.
    ///
    /// # Errors
    /// If the serialiser refuses, which no file that was parsed makes it do.
    pub fn render(&self) -> Result<String, String> {
        let rendered = Rendered {
            modules: self
                .modules()
                .map(|(name, module)| (name, shown(module.config())))
                .collect(),
            jobs: self.jobs().iter().map(job).collect(),
        };
        serde_saphyr::to_string(&rendered).map_err(|error| error.to_string())
    }
}

impl NamedModule {
    /// The module as YAML, passwords and keys as `<secret>`.
    ///
    /// # Errors
    /// As [`File::render`].
    pub fn render(&self) -> Result<String, String> {
        serde_saphyr::to_string(&shown(self.config())).map_err(|error| error.to_string())
    }

    /// The same, with the `hostname` of one request where it has an effect.
    ///
    /// # Errors
    /// As [`File::render`].
    pub fn render_for(&self, hostname: &str) -> Result<String, String> {
        let mut config = shown(self.config());
        match config.prober.as_str() {
            "http" => {
                let headers = &mut config.http.get_or_insert_default().headers;
                headers.retain(|name, _| !name.eq_ignore_ascii_case("host"));
                headers.insert("Host".into(), hostname.into());
            }
            "tcp" => {
                let tls = &mut config.tcp.get_or_insert_default().tls_config;
                if tls.server_name.is_empty() {
                    tls.server_name = hostname.into();
                }
            }
            _ => {}
        }
        serde_saphyr::to_string(&config).map_err(|error| error.to_string())
    }
}

/// The module as blackbox_exporter shows it: with the sections that it has
/// whatever the prober, but for `dns`, which would not load again without its
/// `query_name`; what has an older name stands under the newer one.
fn shown(config: &ModuleConfig) -> ModuleConfig {
    let mut config = config.clone();
    config.tcp.get_or_insert_default();
    config.icmp.get_or_insert_default();
    let http = config.http.get_or_insert_default();
    if let Some(not) = http.no_follow_redirects.take() {
        http.follow_redirects = !not;
    }
    let bearer = std::mem::take(&mut http.bearer_token);
    let file = std::mem::take(&mut http.bearer_token_file);
    if !bearer.reveal().is_empty() || !file.is_empty() {
        let authorization = http.authorization.get_or_insert_default();
        authorization.credentials = bearer;
        authorization.credentials_file = file;
    }
    if let Some(authorization) = &mut http.authorization {
        authorization.scheme = authorization.scheme().to_owned();
    }
    // One of 0 is none.
    let limits = |it: &TimeLimit| it.limit().is_some() || it.is_negative();
    config.timeout = config.timeout.filter(limits);
    config
}

fn job(job: &Job) -> RenderedJob<'_> {
    let schedule = job.schedule();
    RenderedJob {
        job_name: job.name(),
        module: job.module_name(),
        interval: JobDuration(schedule.period()),
        timeout: JobDuration(schedule.timeout()),
        initial_delay: JobDuration(schedule.initial_delay()),
        success_threshold: job.threshold().success(),
        failure_threshold: job.threshold().failure(),
        metrics: job.metrics(),
        classic_buckets: job.classic_buckets(),
        static_configs: job.groups(),
        file_sd_configs: job.files().iter().map(source).collect(),
    }
}

fn source(source: &FileSource) -> RenderedSource<'_> {
    RenderedSource {
        files: source
            .patterns
            .iter()
            .map(|pattern| pattern.as_str())
            .collect(),
        refresh_interval: JobDuration(source.refresh_interval),
    }
}
