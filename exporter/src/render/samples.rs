//! Series that checks declare themselves: `probity_check_<module>_<name>`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use probity_engine::fact::{Metric, MetricKind, Sample, Samples};

use crate::exposition::{Encoder, Kind, LabelSet};

/// The name of a metric that a check of the module `module` declares: of the
/// module's name letters, digits and `_` are kept, the rest becomes `_`.
pub fn name(module: &str, metric: &Metric) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let module: String = module.chars().map(keep).collect();
    format!("probity_check_{module}_{}", metric.name)
}

/// The series of one number, as it stands in JSON: `name{label="value"}`.
pub fn series(module: &str, sample: &Sample) -> String {
    let mut text = name(module, &sample.metric);
    for (place, (label, value)) in sample.pairs().enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        // Writing to a string cannot fail.
        let _ = write!(text, "{before}{label}={value:?}");
    }
    if !sample.labels.is_empty() {
        text.push('}');
    }
    text
}

/// Writes what runs have found, each with the labels of its target and the name of
/// its module. One name is one family, with the HELP and TYPE that come first.
///
/// # Errors
/// Those of the sink.
pub fn write<'a, W: Write>(
    encoder: &mut Encoder<W>,
    runs: impl Iterator<Item = (&'a LabelSet, &'a str, &'a Samples)>,
) -> io::Result<()> {
    let mut families: BTreeMap<String, Vec<(&LabelSet, &Sample)>> = BTreeMap::new();
    for (labels, module, samples) in runs {
        for sample in samples.as_slice() {
            let family = families.entry(name(module, &sample.metric)).or_default();
            family.push((labels, sample));
        }
    }
    for (name, samples) in families {
        let Some((_, Sample { metric, .. })) = samples.first() else {
            continue;
        };
        let kind = match metric.kind {
            MetricKind::Gauge => Kind::Gauge,
            MetricKind::Counter => Kind::Counter,
        };
        encoder.write_family(&name, &metric.help, kind, |out| {
            for (labels, sample) in &samples {
                let extra = labels.beside(sample.pairs());
                let extra: Vec<_> = extra.iter().map(borrowed).collect();
                out.sample(labels, &extra, sample.value)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn borrowed<'a>((name, value): &'a (Cow<'_, str>, &str)) -> (&'a str, &'a str) {
    (name, value)
}
