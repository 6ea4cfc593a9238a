//! Strict readers of the three formats, for tests: stricter than any server,
//! so that what passes here is legal everywhere. A violation panics.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model as model;
use prost::Message;

use super::format::Format;
use super::labels::{is_label_name, is_metric_name};
use super::number::write_bound;

pub(super) type Labels = BTreeMap<String, String>;

/// An exposition without the accidents of its format.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Exposition {
    /// By the name of the family, with `_total` for counters.
    pub(super) families: BTreeMap<String, Family>,
    /// Native histograms by name and labels.
    pub(super) natives: Vec<(String, Labels, NativeHistogram)>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Family {
    pub(super) help: String,
    pub(super) kind: String,
    /// Name, labels and value; the value as bits, so that NaN equals NaN.
    pub(super) series: Vec<(String, Labels, u64)>,
}

#[derive(Debug, PartialEq)]
pub(super) struct NativeHistogram {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: u64,
    pub(super) count: u64,
    pub(super) buckets: Vec<(i32, i64)>,
}

impl Exposition {
    pub(super) fn read(format: Format, body: &[u8]) -> Self {
        let mut exposition = match format {
            Format::Text004 => read_text(body, false),
            Format::OpenMetrics1 => read_text(body, true),
            Format::Protobuf => read_proto(body),
        };
        // To Prometheus an empty label is no label.
        let series = exposition.families.values_mut();
        let series = series.flat_map(|family| &mut family.series);
        let natives = exposition.natives.iter_mut().map(|(_, labels, _)| labels);
        for labels in series.map(|(_, labels, _)| labels).chain(natives) {
            labels.retain(|_, value| !value.is_empty());
        }
        for (name, family) in &exposition.families {
            family.check(name);
        }
        exposition
    }

    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut series = self.families.values().flat_map(|family| &family.series);
        series
            .find(|series| series.0 == name && series.1 == labels)
            .map(|series| f64::from_bits(series.2))
    }
}

pub(super) fn bits(value: f64) -> u64 {
    match value {
        v if v.is_nan() => f64::NAN.to_bits(),
        v => (v + 0.0).to_bits(),
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(is_metric_name(name), "{name:?}");
        assert!(!self.series.is_empty(), "{name} has no series");
        assert_eq!(self.kind == "counter", name.ends_with("_total"), "{name}");
        let mut seen = BTreeSet::new();
        for (series, labels, _) in &self.series {
            assert!(seen.insert((series, labels)), "{series}{labels:?} twice");
            assert!(labels.keys().all(|name| is_label_name(name)), "{labels:?}");
            let belongs = match self.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .any(|suffix| series.strip_suffix(suffix) == Some(name)),
                _ => series == name,
            };
            assert!(belongs, "{series} in family {name}");
        }
        if self.kind == "histogram" {
            self.check_buckets(name);
        }
    }

    /// Bounds ascend, counts do not fall, `+Inf` is there and is the count.
    fn check_buckets(&self, name: &str) {
        let mut groups: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for (series, labels, value) in &self.series {
            let (mut labels, value) = (labels.clone(), f64::from_bits(*value));
            let le = labels.remove("le");
            if series.ends_with("_bucket") {
                let le = le.expect("a bucket without le");
                assert!(le == "+Inf" || le.contains(['.', 'e']), "le {le}");
                let bound = le.parse().unwrap();
                groups.entry(labels).or_default().push((bound, value));
            } else if series.ends_with("_count") {
                counts.insert(labels, value);
            }
        }
        assert_eq!(groups.len(), counts.len(), "{name}");
        for (labels, buckets) in groups {
            let ascending = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
            assert!(buckets.windows(2).all(ascending), "{name} {buckets:?}");
            let last = buckets.last().copied();
            assert_eq!(last, Some((f64::INFINITY, counts[&labels])), "{name}");
        }
    }
}

fn read_text(body: &[u8], openmetrics: bool) -> Exposition {
    let text = std::str::from_utf8(body).expect("UTF-8");
    let text = match openmetrics {
        true => text.strip_suffix("# EOF\n").expect("EOF at the end"),
        false => text,
    };
    assert!(text.is_empty() || text.ends_with('\n'), "no final newline");
    assert!(!text.contains("\n\n"), "empty line");
    let mut exposition = Exposition::default();
    let mut help = None;
    let mut current = String::new();
    for line in text.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, text) = rest.split_once(' ').expect("help text");
            let text = unescape(text, if openmetrics { "\\n\"" } else { "\\n" });
            assert!(help.replace((name, text)).is_none(), "two HELP lines");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            let help = help.take().unwrap_or((name, String::new()));
            assert_eq!(help.0, name, "HELP and TYPE of different families");
            current = match (openmetrics, kind) {
                (true, "counter") => {
                    assert!(!name.ends_with("_total"), "{name}");
                    format!("{name}_total")
                }
                _ => name.to_owned(),
            };
            let unknown = if openmetrics { "unknown" } else { "untyped" };
            let kind = if kind == unknown { "untyped" } else { kind };
            assert!(["gauge", "counter", "histogram", "untyped"].contains(&kind));
            let family = Family {
                help: help.1,
                kind: kind.to_owned(),
                series: Vec::new(),
            };
            let before = exposition.families.insert(current.clone(), family);
            assert!(before.is_none(), "family {name} twice");
        } else {
            assert!(!line.starts_with('#'), "{line}");
            assert!(help.is_none(), "HELP without TYPE");
            let family = exposition.families.get_mut(&current).expect("a family");
            family.series.push(read_sample(line));
        }
    }
    assert!(help.is_none(), "HELP without TYPE");
    exposition
}

fn read_sample(line: &str) -> (String, Labels, u64) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (name, value) = inside.split_once("=\"").expect("a label");
            let end = closing_quote(value);
            let before = labels.insert(name.to_owned(), unescape(&value[..end], "\\n\""));
            assert!(before.is_none(), "label {name} twice in {line}");
            inside = &value[end + 1..];
            match inside.strip_prefix(',') {
                Some(more) => inside = more,
                None => break,
            }
        }
        rest = inside.strip_prefix('}').expect("closing brace");
    }
    let value = rest.strip_prefix(' ').expect("one space");
    let number = match value {
        "NaN" | "+Inf" | "-Inf" => value.parse::<f64>().unwrap(),
        _ => {
            assert!(value.bytes().all(|b| b"0123456789+-.e".contains(&b)));
            value.parse().unwrap()
        }
    };
    (name.to_owned(), labels, bits(number))
}

fn closing_quote(text: &str) -> usize {
    let mut escaped = false;
    text.bytes()
        .position(|byte| {
            let end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        })
        .expect("closing quote")
}

/// Undoes escapes; only those in `legal` may occur, and the characters that
/// have one must not occur bare.
fn unescape(text: &str, legal: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        assert_ne!(c, '\0', "the lexer of Prometheus stops here");
        if c == '\\' {
            let escape = chars.next().expect("something escaped");
            assert!(legal.contains(escape), "\\{escape} in {text:?}");
            out.push(if escape == 'n' { '\n' } else { escape });
        } else {
            assert!(c != '"' || !legal.contains('"'), "bare quote in {text:?}");
            out.push(c);
        }
    }
    out
}

fn read_proto(mut body: &[u8]) -> Exposition {
    let mut exposition = Exposition::default();
    let mut names = BTreeSet::new();
    while !body.is_empty() {
        let message = model::MetricFamily::decode_length_delimited(&mut body).expect("a message");
        assert!(names.insert(message.name.clone()), "{} twice", message.name);
        assert!(message.unit.is_empty());
        let mut family = Family {
            help: message.help.clone(),
            kind: message.r#type().as_str_name().to_lowercase(),
            series: Vec::new(),
        };
        for metric in &message.metric {
            assert_eq!(metric.timestamp_ms, 0);
            let mut labels = Labels::new();
            for pair in &metric.label {
                let before = labels.insert(pair.name.clone(), pair.value.clone());
                assert!(before.is_none(), "label {} twice", pair.name);
            }
            let value = match message.r#type() {
                model::MetricType::Counter => metric.counter.as_ref().map(|v| v.value),
                model::MetricType::Gauge => metric.gauge.as_ref().map(|v| v.value),
                model::MetricType::Untyped => metric.untyped.as_ref().map(|v| v.value),
                _ => {
                    let histogram = metric.histogram.as_ref().expect("a histogram");
                    read_classic(&message.name, &labels, histogram, &mut family);
                    if let Some(native) = read_native(histogram) {
                        let entry = (message.name.clone(), labels, native);
                        exposition.natives.push(entry);
                    }
                    continue;
                }
            };
            let value = bits(value.expect("the value of its type"));
            family.series.push((message.name.clone(), labels, value));
        }
        assert!(!message.metric.is_empty(), "{} is empty", message.name);
        if !family.series.is_empty() {
            exposition.families.insert(message.name.clone(), family);
        }
    }
    exposition
}

fn read_classic(name: &str, labels: &Labels, histogram: &model::Histogram, family: &mut Family) {
    if histogram.bucket.is_empty() {
        return;
    }
    for bucket in &histogram.bucket {
        let mut le = Vec::new();
        write_bound(&mut le, bucket.upper_bound);
        let mut labels = labels.clone();
        labels.insert("le".to_owned(), String::from_utf8(le).unwrap());
        let value = bits(bucket.cumulative_count as f64);
        family
            .series
            .push((format!("{name}_bucket"), labels, value));
    }
    for (suffix, value) in [
        ("sum", histogram.sample_sum),
        ("count", histogram.sample_count as f64),
    ] {
        let series = format!("{name}_{suffix}");
        family.series.push((series, labels.clone(), bits(value)));
    }
}

fn read_native(histogram: &model::Histogram) -> Option<NativeHistogram> {
    let is_native = !histogram.positive_span.is_empty()
        || histogram.zero_threshold > 0.0
        || histogram.zero_count > 0;
    if !is_native {
        return None;
    }
    let mut deltas = histogram.positive_delta.iter();
    let (mut index, mut count) = (0, 0);
    let mut buckets = Vec::new();
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("a delta for each bucket");
            assert!(count >= 0);
            buckets.push((index, count));
            index += 1;
        }
    }
    assert!(deltas.next().is_none(), "a bucket for each delta");
    let total: i64 = buckets.iter().map(|(_, count)| count).sum();
    assert_eq!(
        total as u64 + histogram.zero_count,
        histogram.sample_count,
        "a server refuses this scrape"
    );
    Some(NativeHistogram {
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count,
        count: histogram.sample_count,
        buckets,
    })
}
