//! `/fleet` of a large fleet: what a scrape takes, and whether checks notice.
//!
//! The program has one core for all that it does. Who scrapes it is on the other,
//! with the servers.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use prost::Message as _;

use crate::Plan;
use crate::client;
use crate::cpu::{self, Spent};
use crate::exporter::{Exporter, Fleet, Program};
use crate::farm::Farm;
use crate::report::{Bar, Report, median};

/// Longest time until all targets have a result.
const PATIENCE: Duration = Duration::from_secs(120);

/// As Prometheus asks for them.
const FORMATS: [(&str, &str); 3] = [
    ("text", "Accept: text/plain;version=0.0.4\r\n"),
    (
        "OpenMetrics",
        "Accept: application/openmetrics-text;version=1.0.0\r\n",
    ),
    ("protobuf", PROTOBUF),
];
const PROTOBUF: &str = "Accept: application/vnd.google.protobuf;\
    proto=io.prometheus.client.MetricFamily;encoding=delimited\r\n";
const GZIP: &str = "Accept-Encoding: gzip\r\n";

const MIB: f64 = 1_048_576.0;

pub(crate) fn measure(plan: &Plan, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let program = match Program::probity() {
        Ok(program) => program,
        Err(sentence) => {
            report.note(sentence);
            return Ok(());
        }
    };
    let (targets, seconds) = if plan.quick { (500, 1) } else { (50_000, 10) };
    let interval = Duration::from_secs(seconds);
    let fleet = Fleet::new()?;
    fleet.list(&farm.places.http, 0..targets)?;
    let exporter = program.start(&fleet.config(interval, interval), &["--engine.workers=1"])?;
    cpu::beside(|| {
        client::wait_for(exporter.address, "health=up", targets as u64, PATIENCE)?;
        report.add("/fleet: targets", targets as f64, "", Bar::None);
        let mut scraper = Scraper {
            exporter: &exporter,
            buffer: Vec::new(),
        };
        scraper.all(plan, report)
    })
}

struct Scraper<'a> {
    exporter: &'a Exporter,
    buffer: Vec<u8>,
}

/// What one scrape took.
#[derive(Clone, Copy, Debug)]
struct Scrape {
    wall: f64,
    bytes: usize,
}

impl Scraper<'_> {
    fn all(&mut self, plan: &Plan, report: &mut Report) -> Result<(), String> {
        let window = plan.round * plan.rounds;
        let (before, spent, begun) = (self.lag()?, self.exporter.spent(), Instant::now());
        std::thread::sleep(window);
        // Of checks alone: what a scrape takes comes on top.
        let checks = self.exporter.spent().since(spent).total() / begun.elapsed().as_secs_f64();
        let quiet = p99_between(&before, &self.lag()?);
        report.add(
            "/fleet: CPU for checks alone",
            checks * 100.0,
            "%",
            Bar::None,
        );
        self.memory(report)?;
        for (name, accept) in FORMATS {
            self.cost(plan, checks, name, accept, report)?;
        }
        self.gzipped(plan, checks, report)?;
        let before = self.lag()?;
        let (end, mut scrapes) = (Instant::now() + window, 0);
        while Instant::now() < end {
            let (_, accept) = FORMATS[scrapes % FORMATS.len()];
            self.scrape(accept)?;
            scrapes += 1;
        }
        let scraped = p99_between(&before, &self.lag()?);
        report.add("/fleet: scrapes in a loop", scrapes as f64, "", Bar::None);
        for (name, lag, bar) in [
            ("not scraped", quiet, Bar::None),
            ("scraped in a loop", scraped, Bar::AtMost(5.0)),
        ] {
            if let Some(lag) = lag {
                report.add(
                    format!("/fleet: start lag, p99, {name}"),
                    lag * 1e3,
                    "ms",
                    bar,
                );
            }
        }
        Ok(())
    }

    fn scrape(&mut self, headers: &str) -> Result<Scrape, String> {
        let begun = Instant::now();
        let answer = client::get(self.exporter.address, "/fleet", headers, &mut self.buffer)?;
        Ok(Scrape {
            bytes: answer.len(),
            wall: begun.elapsed().as_secs_f64(),
        })
    }

    /// CPU seconds of a scrape, and how it went, on average.
    fn repeat(&mut self, plan: &Plan, checks: f64, headers: &str) -> Result<(f64, Scrape), String> {
        let (before, begun) = (self.exporter.spent(), Instant::now());
        let mut walls = Vec::new();
        let mut bytes = 0;
        for _ in 0..plan.rounds {
            let scrape = self.scrape(headers)?;
            walls.push(scrape.wall);
            bytes = scrape.bytes;
        }
        let spent: Spent = self.exporter.spent().since(before);
        let spent = spent.total() - checks * begun.elapsed().as_secs_f64();
        let wall = median(walls);
        Ok((
            spent.max(0.0) / f64::from(plan.rounds),
            Scrape { wall, bytes },
        ))
    }

    fn cost(
        &mut self,
        plan: &Plan,
        checks: f64,
        name: &str,
        accept: &str,
        report: &mut Report,
    ) -> Result<(), String> {
        let (spent, scrape) = self.repeat(plan, checks, accept)?;
        let mib = scrape.bytes as f64 / MIB;
        report.add(format!("/fleet, {name}: size"), mib, "MiB", Bar::None);
        report.add(format!("/fleet, {name}: time"), scrape.wall, "s", Bar::None);
        report.add(format!("/fleet, {name}: CPU"), spent, "s", Bar::AtMost(0.5));
        Ok(())
    }

    /// As Prometheus asks unless it is told not to; not what the bar is about.
    fn gzipped(&mut self, plan: &Plan, checks: f64, report: &mut Report) -> Result<(), String> {
        for (name, accept) in FORMATS {
            let headers = format!("{accept}{GZIP}");
            let (spent, scrape) = self.repeat(plan, checks, &headers)?;
            let mib = scrape.bytes as f64 / MIB;
            report.add(format!("/fleet, {name}, gzip: size"), mib, "MiB", Bar::None);
            report.add(format!("/fleet, {name}, gzip: CPU"), spent, "s", Bar::None);
        }
        Ok(())
    }

    /// What is resident on top while a scrape is streamed; the first one of a
    /// process counts as the others.
    fn memory(&mut self, report: &mut Report) -> Result<(), String> {
        let process = format!("/proc/{}", self.exporter.id());
        let status = |field: &str| {
            let status = fs::read_to_string(format!("{process}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
            Some(kib / 1_024.0)
        };
        for (name, accept) in FORMATS {
            // The peak is what is resident now (proc_pid_clear_refs(5)).
            let reset = fs::write(format!("{process}/clear_refs"), "5");
            let before = status("VmRSS:");
            self.scrape(accept)?;
            let Some((before, peak)) = before.zip(status("VmHWM:")).filter(|_| reset.is_ok())
            else {
                report.note("/fleet: this kernel does not tell the peak of memory".into());
                return Ok(());
            };
            let (bar, more) = (Bar::AtMost(8.0), peak - before);
            report.add(format!("/fleet, {name}: extra memory"), more, "MiB", bar);
            report.add(
                format!("/fleet, {name}: resident before"),
                before,
                "MiB",
                Bar::None,
            );
        }
        Ok(())
    }

    /// How late checks have started so far: counts by bucket.
    fn lag(&mut self) -> Result<BTreeMap<i32, u64>, String> {
        let answer = client::get(
            self.exporter.address,
            "/metrics",
            PROTOBUF,
            &mut self.buffer,
        )?;
        let body = answer.body();
        let mut left = &body[..];
        while !left.is_empty() {
            let family = MetricFamily::decode_length_delimited(&mut left)
                .map_err(|error| error.to_string())?;
            if family.name == "probity_start_lag_seconds" {
                return buckets(&family).ok_or_else(|| "a histogram without buckets".into());
            }
        }
        Err("expected probity_start_lag_seconds on /metrics, found none".into())
    }
}

/// The index of what the zero bucket holds.
const ZERO: i32 = i32::MIN;

/// Of a native histogram of schema 3: bucket `i` ends at `2^(i/8)` seconds.
fn buckets(family: &MetricFamily) -> Option<BTreeMap<i32, u64>> {
    let histogram = family.metric.first()?.histogram.as_ref()?;
    if histogram.schema != 3 {
        return None;
    }
    let mut all = BTreeMap::from([(ZERO, histogram.zero_count)]);
    let mut deltas = histogram.positive_delta.iter();
    let (mut index, mut count) = (0, 0);
    for span in &histogram.positive_span {
        index += span.offset;
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            all.insert(index, u64::try_from(count).ok()?);
            index += 1;
        }
    }
    Some(all)
}

/// The 99th percentile, in seconds and rounded up to the end of its bucket, of what
/// came between two looks; `None` if nothing came.
fn p99_between(before: &BTreeMap<i32, u64>, after: &BTreeMap<i32, u64>) -> Option<f64> {
    let new = |(index, count): (&i32, &u64)| {
        let known = before.get(index).copied().unwrap_or(0);
        (*index, count.saturating_sub(known))
    };
    let total: u64 = after.iter().map(new).map(|(_, count)| count).sum();
    let mut left = (total as f64 * 0.99).ceil() as u64;
    for (index, count) in after.iter().map(new) {
        if count > 0 && count >= left {
            let bound = || (f64::from(index) / 8.0).exp2();
            return Some(if index == ZERO { 0.0 } else { bound() });
        }
        left -= count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_came_in_between() {
        let before = BTreeMap::from([(ZERO, 5), (-80, 100), (0, 7)]);
        let mut after = before.clone();
        assert_eq!(p99_between(&before, &after), None);
        *after.entry(-80).or_default() += 99;
        after.insert(-8, 1);
        assert_eq!(p99_between(&before, &after), Some((-10f64).exp2()));
        *after.entry(-8).or_default() += 1;
        assert_eq!(p99_between(&before, &after), Some(0.5));
        let zeros = BTreeMap::from([(ZERO, 1_000)]);
        assert_eq!(p99_between(&BTreeMap::new(), &zeros), Some(0.0));
    }

    #[test]
    fn buckets_are_read_from_spans() {
        use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
        let span = |offset, length| model::BucketSpan { offset, length };
        let histogram = model::Histogram {
            schema: 3,
            zero_count: 4,
            positive_span: vec![span(-9, 2), span(3, 1)],
            positive_delta: vec![2, -1, 5],
            ..Default::default()
        };
        let metric = model::Metric {
            histogram: Some(histogram),
            ..Default::default()
        };
        let family = MetricFamily {
            metric: vec![metric],
            ..Default::default()
        };
        let expected = BTreeMap::from([(ZERO, 4), (-9, 2), (-8, 1), (-4, 6)]);
        assert_eq!(buckets(&family), Some(expected));
    }
}
