//! Length-delimited `io.prometheus.client.MetricFamily` messages.
//!
//! Field numbers are those of `io/prometheus/client/metrics.proto` in
//! github.com/prometheus/client_model. Written by hand, since building message
//! structs costs about a kilobyte per series.

use std::io;

use super::encoder::{Header, Type};
use super::histogram::{Histogram, Spans};
use super::labels::{Rendered, pairs};
use super::text::cumulative;

// Wire types (protobuf.dev/programming-guides/encoding).
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// State of a protobuf exposition.
#[derive(Debug, Default)]
pub(super) struct Proto {
    kind: Option<Type>,
    /// Name, help and type of the family.
    header: Vec<u8>,
    metrics: Metrics,
    /// The labels of a target, as they are rendered, and as they are in a metric: most
    /// families have several series of one target, one after the other.
    target: (String, Vec<u8>),
    /// One metric.
    metric: Vec<u8>,
    /// One message inside a metric.
    inner: Vec<u8>,
}

/// Where a family's metrics go, each with tag and length.
#[derive(Debug)]
enum Metrics {
    /// Held, because nobody knows yet how many bytes they will be.
    Held(Vec<u8>),
    /// Nowhere: so many bytes were seen.
    Measured(usize),
    /// Out: so many bytes more were announced.
    Announced(usize),
    /// Out, and more than were announced.
    Exceeding,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::Held(Vec::new())
    }
}

impl Proto {
    pub(super) fn open(&mut self, header: &Header<'_>) {
        let (kind, suffix) = match header.kind {
            Type::Counter => (0, "_total"),
            Type::Gauge => (1, ""),
            Type::Untyped => (3, ""),
            Type::Histogram => (4, ""),
        };
        self.kind = Some(header.kind);
        match &mut self.metrics {
            Metrics::Held(metrics) => metrics.clear(),
            // A family that was given up.
            other => *other = Metrics::default(),
        }
        self.header.clear();
        tag(&mut self.header, 1, BYTES);
        varint(&mut self.header, (header.base.len() + suffix.len()) as u64);
        self.header.extend_from_slice(header.base.as_bytes());
        self.header.extend_from_slice(suffix.as_bytes());
        // As in the text formats, see `text::escape`.
        let help = header.help.replace('\0', "\u{fffd}");
        bytes(&mut self.header, 2, help.as_bytes());
        tag(&mut self.header, 3, VARINT);
        varint(&mut self.header, kind);
    }

    /// The family's metrics come twice, and now for the first time.
    pub(super) fn measure(&mut self) {
        self.metrics = Metrics::Measured(0);
    }

    /// How many bytes they are so far, each with tag and length.
    pub(super) fn measured(&self) -> usize {
        match self.metrics {
            Metrics::Measured(len) => len,
            _ => 0,
        }
    }

    /// Writes what precedes metrics of so many bytes. They come now.
    pub(super) fn announce(&mut self, len: usize, out: &mut Vec<u8>) {
        if len > 0 {
            varint(out, (self.header.len() + len) as u64);
            out.extend_from_slice(&self.header);
        }
        self.metrics = Metrics::Announced(len);
    }

    /// Ends the family, if there is one with metrics: if they were held, appends what
    /// precedes them and hands them out to be written after it.
    ///
    /// # Errors
    /// `InvalidData` if they are not what was announced: whoever reads on takes the rest
    /// of the exposition for something else.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) -> io::Result<Option<&[u8]>> {
        let is_open = self.kind.take().is_some();
        match &mut self.metrics {
            Metrics::Held(metrics) if is_open && !metrics.is_empty() => {
                varint(out, (self.header.len() + metrics.len()) as u64);
                out.extend_from_slice(&self.header);
                Ok(Some(metrics))
            }
            Metrics::Announced(1..) | Metrics::Exceeding if is_open => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a family was not written as it was measured",
            )),
            _ => Ok(None),
        }
    }

    pub(super) fn sample(
        &mut self,
        out: &mut Vec<u8>,
        labels: Rendered<'_>,
        extra: &[(&str, &str)],
        value: f64,
    ) {
        let field = match self.kind {
            Some(Type::Gauge) => 2,
            Some(Type::Counter) => 3,
            _ => 5,
        };
        self.begin_metric(labels, extra);
        tag(&mut self.metric, field, BYTES);
        varint(&mut self.metric, 9);
        double(&mut self.metric, 1, value);
        self.end_metric(labels, out);
    }

    pub(super) fn histogram(
        &mut self,
        out: &mut Vec<u8>,
        labels: Rendered<'_>,
        extra: &[(&str, &str)],
        histogram: &Histogram<'_>,
    ) {
        self.begin_metric(labels, extra);
        let inner = &mut self.inner;
        inner.clear();
        unsigned(inner, 1, histogram.count);
        double(inner, 2, histogram.sum);
        if let Some(classic) = histogram.classic {
            let infinity = (f64::INFINITY, histogram.count);
            for (bound, count) in cumulative(classic, histogram.count).chain([infinity]) {
                tag(inner, 3, BYTES);
                varint(inner, (1 + varint_len(count) + 9) as u64);
                unsigned(inner, 1, count);
                double(inner, 2, bound);
            }
        }
        if let Some(native) = &histogram.native {
            let (positive, negative) = (&native.positive, &native.negative);
            debug_assert_eq!(
                histogram.count,
                native.zero_count + positive.total() + negative.total(),
                "native buckets do not add up"
            );
            tag(inner, 5, VARINT);
            varint(inner, zigzag(i64::from(native.schema)));
            double(inner, 6, native.zero_threshold);
            unsigned(inner, 7, native.zero_count);
            buckets(inner, 9, negative);
            buckets(inner, 12, positive);
            // An empty span says "native" where nothing else does.
            if positive.spans.is_empty()
                && negative.spans.is_empty()
                && native.zero_count == 0
                && native.zero_threshold == 0.0
            {
                bytes(inner, 12, &[]);
            }
        }
        bytes(&mut self.metric, 7, &self.inner);
        self.end_metric(labels, out);
    }

    /// Begins a metric with its labels. Of those of its target the length is known: where
    /// nothing else is asked for they are left out.
    fn begin_metric(&mut self, labels: Rendered<'_>, extra: &[(&str, &str)]) {
        self.metric.clear();
        if !matches!(self.metrics, Metrics::Measured(_)) {
            let (rendered, encoded) = &mut self.target;
            if *rendered != labels.text {
                labels.text.clone_into(rendered);
                encoded.clear();
                for (name, escaped) in pairs(labels.text) {
                    label(encoded, name, escaped);
                }
            }
            self.metric.extend_from_slice(encoded);
        }
        for (name, value) in extra {
            self.inner.clear();
            super::text::escape(&mut self.inner, value, true);
            // Escaping keeps UTF-8 intact.
            if let Ok(escaped) = std::str::from_utf8(&self.inner) {
                label(&mut self.metric, name, escaped);
            }
        }
    }

    fn end_metric(&mut self, labels: Rendered<'_>, out: &mut Vec<u8>) {
        match &mut self.metrics {
            Metrics::Held(metrics) => bytes(metrics, 4, &self.metric),
            Metrics::Measured(total) => {
                *total += bytes_len(labels.wire_bytes + self.metric.len());
            }
            Metrics::Announced(left) => match left.checked_sub(bytes_len(self.metric.len())) {
                Some(rest) => {
                    *left = rest;
                    bytes(out, 4, &self.metric);
                }
                None => self.metrics = Metrics::Exceeding,
            },
            Metrics::Exceeding => {}
        }
    }
}

/// Bytes of rendered labels as `LabelPair`s.
pub(super) fn labels_len(text: &str) -> usize {
    let lengths = pairs(text).map(|(name, escaped)| pair_len(name, unescaped_len(escaped)));
    lengths.map(bytes_len).sum()
}

/// Bytes of a value that is escaped as in the text formats, without that.
fn unescaped_len(escaped: &str) -> usize {
    let mut length = escaped.len();
    let mut rest = escaped;
    while let Some(at) = rest.find('\\') {
        length -= 1;
        // What is escaped is a byte.
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    length
}

/// Bytes of a `LabelPair` with a value of that length.
fn pair_len(name: &str, value: usize) -> usize {
    bytes_len(name.len()) + bytes_len(value)
}

/// A `LabelPair` whose value is escaped as in the text formats.
fn label(out: &mut Vec<u8>, name: &str, escaped: &str) {
    let value = escaped.as_bytes();
    let length = unescaped_len(escaped);
    let unescaped = length == value.len();

    tag(out, 1, BYTES);
    varint(out, pair_len(name, length) as u64);
    bytes(out, 1, name.as_bytes());
    if unescaped {
        bytes(out, 2, value);
        return;
    }
    tag(out, 2, BYTES);
    varint(out, length as u64);
    let mut escape = false;
    for &byte in value {
        match byte {
            b'\\' if !escape => escape = true,
            b'n' if escape => {
                out.push(b'\n');
                escape = false;
            }
            byte => {
                out.push(byte);
                escape = false;
            }
        }
    }
}

/// Spans in `field`, deltas in the next one.
fn buckets(out: &mut Vec<u8>, field: u8, buckets: &Spans<'_>) {
    for &(offset, length) in buckets.spans {
        let (offset, length) = (zigzag(i64::from(offset)), u64::from(length));
        tag(out, field, BYTES);
        varint(out, (2 + varint_len(offset) + varint_len(length)) as u64);
        unsigned(out, 1, offset);
        unsigned(out, 2, length);
    }
    if !buckets.deltas.is_empty() {
        let deltas = || buckets.deltas.iter().map(|&delta| zigzag(delta));
        tag(out, field + 1, BYTES);
        varint(out, deltas().map(varint_len).sum::<usize>() as u64);
        deltas().for_each(|delta| varint(out, delta));
    }
}

fn tag(out: &mut Vec<u8>, field: u8, wire: u8) {
    debug_assert!(field < 16, "tag of one byte");
    out.push(field << 3 | wire);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes of `value` as a varint: seven bits each.
fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Bytes of a field of that many bytes.
fn bytes_len(value: usize) -> usize {
    1 + varint_len(value as u64) + value
}

fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    tag(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn unsigned(out: &mut Vec<u8>, field: u8, value: u64) {
    tag(out, field, VARINT);
    varint(out, value);
}

fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    tag(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}
