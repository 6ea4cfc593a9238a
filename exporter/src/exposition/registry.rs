//! A `prometheus_client` registry as part of an exposition.
//!
//! The crate writes OpenMetrics and protobuf but no classic text, does not
//! escape help texts, fails on a native-only histogram in text, and writes
//! bounds and floats in another style than Go's exporters. So its protobuf
//! model is the source for all three formats and [`Encoder`] writes them: one
//! set of rules for every series that leaves the process, and one `# EOF`.
//! Units, exemplars and creation times are dropped, see [`super::encoder`].
//! The model costs about a kilobyte per series; registries here are small.

use std::io::{self, Write};

use prometheus_client::encoding::prometheus_protobuf::encode;
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prometheus_client::registry::Registry;

use super::encoder::{Encoder, Kind};
use super::histogram::{Histogram, Native, Spans};
use super::labels::{Rendered, push_pair};

impl<W: Write> Encoder<W> {
    /// Writes every family of `registry` that has series.
    ///
    /// # Errors
    /// `InvalidData` if a metric fails to encode itself, `InvalidInput` for a
    /// name that is not a metric name; those of the sink.
    pub fn registry(&mut self, registry: &Registry) -> io::Result<()> {
        let families = encode(registry).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "a metric cannot be encoded")
        })?;
        for family in &families {
            self.model(family)?;
        }
        Ok(())
    }

    fn model(&mut self, family: &model::MetricFamily) -> io::Result<()> {
        let (name, help) = (family.name.as_str(), family.help.as_str());
        let kind = match family.r#type() {
            model::MetricType::Counter => Kind::Counter,
            model::MetricType::Gauge => Kind::Gauge,
            model::MetricType::Histogram => return self.model_histograms(family),
            // The crate has no summaries and no gauge histograms.
            _ => Kind::Untyped,
        };
        self.family(name, help, kind)?;
        let mut labels = String::new();
        for metric in &family.metric {
            let value = match (&metric.counter, &metric.gauge, &metric.untyped) {
                (Some(counter), ..) => counter.value,
                (_, Some(gauge), _) => gauge.value,
                (.., Some(untyped)) => untyped.value,
                (None, None, None) => continue,
            };
            render(&mut labels, &metric.label);
            self.sample(Rendered::of(&labels), &[], value)?;
        }
        Ok(())
    }

    fn model_histograms(&mut self, family: &model::MetricFamily) -> io::Result<()> {
        self.histograms(&family.name, &family.help)?;
        let mut labels = String::new();
        for metric in &family.metric {
            let Some(histogram) = &metric.histogram else {
                continue;
            };
            let mut below = 0;
            let classic: Vec<(f64, u64)> = histogram
                .bucket
                .iter()
                .map(|bucket| {
                    let count = bucket.cumulative_count.saturating_sub(below);
                    below = bucket.cumulative_count;
                    (bucket.upper_bound, count)
                })
                .collect();
            let (positive, negative) = (
                spans(&histogram.positive_span),
                spans(&histogram.negative_span),
            );
            let native = Native {
                schema: histogram.schema,
                zero_threshold: histogram.zero_threshold,
                zero_count: histogram.zero_count,
                positive: Spans {
                    spans: &positive,
                    deltas: &histogram.positive_delta,
                },
                negative: Spans {
                    spans: &negative,
                    deltas: &histogram.negative_delta,
                },
            };
            // The model marks a native histogram as the wire format does.
            let is_native = !positive.is_empty()
                || !negative.is_empty()
                || native.zero_count > 0
                || native.zero_threshold > 0.0;
            render(&mut labels, &metric.label);
            self.histogram(
                Rendered::of(&labels),
                &[],
                &Histogram {
                    count: histogram.sample_count,
                    sum: histogram.sample_sum,
                    classic: (!classic.is_empty()).then_some(&classic),
                    native: is_native.then_some(native),
                },
            )?;
        }
        Ok(())
    }
}

/// Labels as [`super::LabelSet`] renders them, in the order of the registry.
fn render(text: &mut String, labels: &[model::LabelPair]) {
    text.clear();
    for label in labels.iter().filter(|label| !label.value.is_empty()) {
        push_pair(text, &label.name, &label.value);
    }
}

fn spans(spans: &[model::BucketSpan]) -> Vec<(i32, u32)> {
    spans
        .iter()
        .map(|span| (span.offset, span.length))
        .collect()
}
