//! `/metrics`: the exporter itself, and whole jobs.
//!
//! A registry is made for each scrape from figures that were read for it, so
//! that all of them are of one moment and nothing is counted twice. Names that
//! blackbox_exporter has are kept; what is ours begins with `probity_`.

use std::fmt;

use probity_driver::{GroupStats, PhaseStats, Stats};
use probity_engine::{GroupId, Outcome, Phase, Reason};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NativeHistogram, NativeHistogramBuckets,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::buckets::{BOUNDS, Buckets};
use super::guests::Guests;
use super::process::Process;
use crate::exposition::{Histogram, Spans};

/// What the control plane knows about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether the last attempt to load the configuration succeeded.
    pub reload_successful: bool,
    /// When one last did; Unix seconds.
    pub reload_succeeded_at: f64,
    /// Requests to `/probe` for modules that do not exist.
    pub unknown_modules: u64,
    /// Requests to `/probe` that were refused for want of a connection. The engine
    /// does not know of them.
    pub turned_away: u64,
    /// Events that the control plane knows to be lost.
    pub events_dropped: u64,
    /// Single probes of which no line was logged, for want of room.
    pub unlogged: u64,
    /// Discovery files that could not be read, counted at every attempt.
    pub sd_read_errors: u64,
    /// Those that could not at the last one.
    pub sd_failing: u64,
    /// Scrapes of these figures that were answered.
    pub own_answered: u64,
    /// Scrapes of these figures that could not be.
    pub own_refused: u64,
    /// Scrapes of these figures under way.
    pub own_in_flight: u64,
}

/// The families of one scrape. `jobs` are the names of the groups; groups
/// without a name belong to a job that is just being removed and are left out. `guests`
/// are the checks in Wasm, once one was loaded.
pub fn registry(
    mut stats: Stats,
    facts: Facts,
    jobs: Vec<(GroupId, String)>,
    guests: Option<Guests>,
) -> Registry {
    let refused = facts.turned_away;
    stats.engine.count_refused(Reason::Overload, refused);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Own {
        stats,
        facts,
        jobs,
        guests,
        process: Process::read(),
    }));
    registry
}

#[derive(Debug)]
struct Own {
    stats: Stats,
    facts: Facts,
    jobs: Vec<(GroupId, String)>,
    guests: Option<Guests>,
    process: Option<Process>,
}

impl Collector for Own {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Out {
            encoder,
            buckets: Buckets::default(),
        };
        self.control_plane(&mut out)?;
        self.engine(&mut out)?;
        self.resolver(&mut out)?;
        if let Some(guests) = &self.guests {
            guests.encode(&mut out)?;
        }
        self.workers(&mut out)?;
        self.groups(&mut out)?;
        if let Some(process) = &self.process {
            process.encode(&mut out)?;
        }
        Ok(())
    }
}

impl Own {
    fn control_plane(&self, out: &mut Out<'_>) -> fmt::Result {
        let facts = &self.facts;
        out.family(
            "blackbox_exporter_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which blackbox_exporter was built, and the goos and goarch for the build.",
            MetricType::Gauge,
            [(BUILD, 1.0)],
        )?;
        out.gauge(
            "blackbox_exporter_config_last_reload_success_timestamp_seconds",
            "Timestamp of the last successful configuration reload.",
            facts.reload_succeeded_at,
        )?;
        out.gauge(
            "blackbox_exporter_config_last_reload_successful",
            "Blackbox exporter config loaded successfully.",
            f64::from(u8::from(facts.reload_successful)),
        )?;
        out.counter(
            "blackbox_module_unknown",
            "Count of unknown modules requested by probes",
            facts.unknown_modules,
        )?;
        out.gauge(
            "promhttp_metric_handler_requests_in_flight",
            "Current number of scrapes being served.",
            facts.own_in_flight as f64,
        )?;
        let codes = [
            ("200", facts.own_answered),
            ("500", 0),
            ("503", facts.own_refused),
        ];
        out.family(
            "promhttp_metric_handler_requests",
            "Total number of scrapes by HTTP status code.",
            MetricType::Counter,
            codes.map(|(code, count)| ([("code", code)], count as f64)),
        )?;
        out.family(
            "probity_build_info",
            "The running version; always 1",
            MetricType::Gauge,
            [([("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        )?;
        out.counter(
            "probity_events_dropped",
            "Events that came faster than they could be noted",
            facts.events_dropped.max(self.stats.notices_dropped),
        )?;
        out.counter(
            "probity_probe_log_dropped",
            "Probes asked for at /probe whose log lines came faster than they could be written",
            facts.unlogged,
        )?;
        out.counter(
            "probity_sd_file_read_errors",
            "Attempts to read a discovery file, or to list a pattern's, that failed",
            facts.sd_read_errors,
        )?;
        out.gauge(
            "probity_sd_files_failing",
            "Discovery files that cannot be used now, and patterns whose files cannot be listed",
            facts.sd_failing as f64,
        )
    }

    fn engine(&self, out: &mut Out<'_>) -> fmt::Result {
        let engine = &self.stats.engine;
        out.gauge(
            "probity_targets",
            "Targets that are probed",
            engine.targets as f64,
        )?;
        out.gauge(
            "probity_targets_overdue",
            "Targets of which nothing was learnt for two intervals and a timeout",
            engine.overdue as f64,
        )?;
        out.gauge(
            "probity_runs_in_flight",
            "Probes under way",
            f64::from(engine.in_flight),
        )?;
        out.gauge(
            "probity_runs_queued",
            "Targets that are due and wait for a free slot",
            f64::from(engine.queued),
        )?;
        let runs = Outcome::NAMES.into_iter().zip(engine.runs);
        out.family(
            "probity_runs",
            "Finished probes by outcome, scheduled or asked for; unknown are those that could not be made",
            MetricType::Counter,
            runs.map(|(outcome, count)| ([("outcome", outcome)], count as f64)),
        )?;
        let unknown = Reason::ALL.iter().zip(engine.unknown);
        let unknown = unknown.filter(|(_, count)| *count > 0);
        out.family(
            "probity_unknown",
            "Probes that could not be made, by reason",
            MetricType::Counter,
            unknown.map(|(reason, count)| ([("reason", reason.name())], count as f64)),
        )?;
        out.histograms(
            "probity_start_lag_seconds",
            "How much later than due scheduled probes started",
            [([("", ""); 0], &engine.start_lag)],
        )
    }

    fn resolver(&self, out: &mut Out<'_>) -> fmt::Result {
        let resolver = &self.stats.engine.resolver;
        out.counter(
            "probity_resolver_cache_hits",
            "Names answered from the cache",
            resolver.cache_hits,
        )?;
        out.counter(
            "probity_resolver_cache_misses",
            "Names that had to be looked up",
            resolver.cache_misses,
        )?;
        out.gauge(
            "probity_resolver_cached_names",
            "Names in the cache",
            resolver.cached_names as f64,
        )?;
        out.counter(
            "probity_resolver_queries",
            "Questions sent to DNS servers",
            resolver.queries,
        )
    }

    fn workers(&self, out: &mut Out<'_>) -> fmt::Result {
        let workers: Vec<_> = (0..)
            .map(|n: usize| n.to_string())
            .zip(&self.stats.workers)
            .collect();
        let labelled = || {
            let pairs = workers.iter();
            pairs.map(|(name, worker)| ([("worker", name.as_str())], worker))
        };
        out.family(
            "probity_loop_busy_ratio",
            "Share of time in which the worker was not waiting for events",
            MetricType::Gauge,
            labelled().map(|(labels, worker)| (labels, worker.busy_ratio)),
        )?;
        out.family(
            "probity_loop_turns",
            "Turns of the worker's event loop",
            MetricType::Counter,
            labelled().map(|(labels, worker)| (labels, worker.turns as f64)),
        )?;
        out.family(
            "probity_connections_open",
            "Sockets that the worker has open",
            MetricType::Gauge,
            labelled().map(|(labels, worker)| (labels, f64::from(worker.connections_open))),
        )
    }

    /// Named groups with their figures, in the order of the jobs.
    fn named_groups(&self) -> impl Iterator<Item = (&str, &GroupStats)> {
        self.jobs.iter().filter_map(|(id, name)| {
            let (_, group) = self.stats.groups.iter().find(|(group, _)| group == id)?;
            Some((name.as_str(), group))
        })
    }

    fn groups(&self, out: &mut Out<'_>) -> fmt::Result {
        let results = self.named_groups().flat_map(|(job, group)| {
            let runs = Outcome::NAMES.into_iter().zip(group.runs);
            runs.map(move |(result, count)| ([("job", job), ("result", result)], count as f64))
        });
        out.family(
            "probity_job_runs",
            "Finished probes of the job's targets, by result",
            MetricType::Counter,
            results,
        )?;
        let totals = self.named_groups();
        out.histograms(
            "probity_job_duration_seconds",
            "How long the job's targets took for each probe that was made",
            totals.map(|(job, group)| ([("job", job)], &group.total.native)),
        )?;
        let phases = self.named_groups().flat_map(|(job, group)| {
            let phases = Phase::ALL.into_iter().zip(&group.phases);
            phases
                .filter(|(_, stats)| happened(stats))
                .map(move |(phase, stats)| ([("job", job), ("phase", phase.name())], &stats.native))
        });
        out.histograms(
            "probity_phase_duration_seconds",
            "How long each phase of the job's probes took that was completed; what timed out is not in it, and resolve only where a name had to be asked for",
            phases,
        )
    }
}

/// A phase that no probe of the job has, as TLS in a job without TLS, is left
/// out rather than shown as empty.
fn happened(stats: &PhaseStats) -> bool {
    stats.native.count() > 0
}

/// Families in, in prometheus-client's words.
pub(super) struct Out<'a> {
    encoder: DescriptorEncoder<'a>,
    buckets: Buckets,
}

impl Out<'_> {
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, [([("", ""); 0], value)])
    }

    /// `name` is without `_total`.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let series = [([("", ""); 0], value as f64)];
        self.family(name, help, MetricType::Counter, series)
    }

    /// A family of gauges or counters, which has no header if it is empty.
    pub(super) fn family<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        series: impl IntoIterator<Item = ([(&'l str, &'l str); N], f64)>,
    ) -> fmt::Result {
        let mut out = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in series {
            let mut metric = out.encode_family(&labels)?;
            match kind {
                MetricType::Counter => metric.encode_counter(&value, NO_EXEMPLAR)?,
                _ => metric.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<
            Item = (
                [(&'l str, &'l str); N],
                &'l probity_engine::histogram::Exponential,
            ),
        >,
    ) -> fmt::Result {
        let kind = MetricType::Histogram;
        let mut out = self.encoder.encode_descriptor(name, help, None, kind)?;
        for (labels, source) in series {
            let histogram = self.buckets.load(source, &BOUNDS);
            encode_histogram(&mut out.encode_family(&labels)?, &histogram)?;
        }
        Ok(())
    }
}

/// The release that this takes the place of, and what it is in truth. No
/// program in Go is claimed to be behind it.
const BUILD: [(&str, &str); 7] = [
    ("branch", "probity"),
    ("goarch", GOARCH),
    ("goos", std::env::consts::OS),
    ("goversion", "rust"),
    ("revision", env!("CARGO_PKG_VERSION")),
    ("tags", "probity"),
    ("version", crate::cli::args::COMPATIBLE),
];

/// Go's name of the machine.
pub(crate) const GOARCH: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    std::env::consts::ARCH
};

const NO_EXEMPLAR: Option<&Exemplar<NoLabels, f64>> = None;
type NoLabels = [(&'static str, &'static str); 0];

fn encode_histogram(metric: &mut MetricEncoder<'_>, histogram: &Histogram<'_>) -> fmt::Result {
    fn side(spans: Spans<'_>) -> NativeHistogramBuckets<'_> {
        NativeHistogramBuckets {
            spans: spans.spans,
            deltas: spans.deltas,
        }
    }
    let Some(native) = histogram.native else {
        return Ok(());
    };
    metric.encode_histogram_with_native::<NoLabels>(
        histogram.sum,
        histogram.count,
        histogram.classic.unwrap_or_default(),
        None,
        NativeHistogram {
            schema: native.schema,
            zero_threshold: native.zero_threshold,
            zero_count: native.zero_count,
            negative: side(native.negative),
            positive: side(native.positive),
            created: None,
        },
    )
}
