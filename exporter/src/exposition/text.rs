//! The two text formats. They differ in the name of a counter's family, in the
//! escaping of help texts, in the name of the unknown type and in the last line.
//!
//! Text 0.0.4: prometheus.io/docs/instrumenting/exposition_formats.
//! OpenMetrics 1.0.0: github.com/prometheus/OpenMetrics, section 4.1 (ABNF).

use super::encoder::{Header, Type};
use super::histogram::Histogram;
use super::number::{write_bound, write_count, write_value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Classic,
    OpenMetrics,
}

/// State of a text exposition.
#[derive(Debug)]
pub(super) struct Text {
    dialect: Dialect,
    /// HELP and TYPE of the family, until its first sample.
    header: Vec<u8>,
    /// What every line of the family begins with.
    series: Vec<u8>,
}

impl Text {
    pub(super) fn classic() -> Self {
        Self::new(Dialect::Classic)
    }

    pub(super) fn openmetrics() -> Self {
        Self::new(Dialect::OpenMetrics)
    }

    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            header: Vec::new(),
            series: Vec::new(),
        }
    }

    pub(super) fn open(&mut self, header: &Header<'_>) {
        let suffix = match header.kind {
            Type::Counter => "_total",
            Type::Gauge | Type::Untyped | Type::Histogram => "",
        };
        self.series.clear();
        self.series.extend_from_slice(header.base.as_bytes());
        self.series.extend_from_slice(suffix.as_bytes());

        let family = match self.dialect {
            Dialect::Classic => self.series.as_slice(),
            Dialect::OpenMetrics => header.base.as_bytes(),
        };
        let kind: &[u8] = match (header.kind, self.dialect) {
            (Type::Gauge, _) => b" gauge\n",
            (Type::Counter, _) => b" counter\n",
            (Type::Histogram, _) => b" histogram\n",
            (Type::Untyped, Dialect::Classic) => b" untyped\n",
            (Type::Untyped, Dialect::OpenMetrics) => b" unknown\n",
        };
        self.header.clear();
        if !header.help.is_empty() {
            self.header.extend_from_slice(b"# HELP ");
            self.header.extend_from_slice(family);
            self.header.push(b' ');
            // Only OpenMetrics escapes quotes here.
            escape(
                &mut self.header,
                header.help,
                self.dialect == Dialect::OpenMetrics,
            );
            self.header.push(b'\n');
        }
        self.header.extend_from_slice(b"# TYPE ");
        self.header.extend_from_slice(family);
        self.header.extend_from_slice(kind);
    }

    pub(super) fn sample(
        &mut self,
        out: &mut Vec<u8>,
        labels: &str,
        extra: &[(&str, &str)],
        value: f64,
    ) {
        out.append(&mut self.header);
        self.series(out, b"", labels, extra, None);
        write_value(out, value);
        out.push(b'\n');
    }

    pub(super) fn histogram(
        &mut self,
        out: &mut Vec<u8>,
        labels: &str,
        extra: &[(&str, &str)],
        histogram: &Histogram<'_>,
    ) {
        let Some(classic) = histogram.classic else {
            return;
        };
        out.append(&mut self.header);
        let infinity = (f64::INFINITY, histogram.count);
        for (bound, count) in cumulative(classic, histogram.count).chain([infinity]) {
            self.series(out, b"_bucket", labels, extra, Some(bound));
            write_count(out, count);
            out.push(b'\n');
        }
        self.series(out, b"_sum", labels, extra, None);
        write_value(out, histogram.sum);
        out.push(b'\n');
        self.series(out, b"_count", labels, extra, None);
        write_count(out, histogram.count);
        out.push(b'\n');
    }

    pub(super) fn finish(&self, out: &mut Vec<u8>) {
        match self.dialect {
            Dialect::Classic => {}
            Dialect::OpenMetrics => out.extend_from_slice(b"# EOF\n"),
        }
    }

    /// Writes `name{labels} ` with the space.
    fn series(
        &self,
        out: &mut Vec<u8>,
        suffix: &[u8],
        labels: &str,
        extra: &[(&str, &str)],
        bound: Option<f64>,
    ) {
        out.extend_from_slice(&self.series);
        out.extend_from_slice(suffix);
        // The first label brings the opening brace, the others a comma.
        let mut before = b'{';
        if !labels.is_empty() {
            out.push(before);
            out.extend_from_slice(labels.as_bytes());
            before = b',';
        }
        for (name, value) in extra {
            out.push(before);
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"=\"");
            escape(out, value, true);
            out.push(b'"');
            before = b',';
        }
        if let Some(bound) = bound {
            out.push(before);
            out.extend_from_slice(b"le=\"");
            write_bound(out, bound);
            out.push(b'"');
            before = b',';
        }
        out.extend_from_slice(if before == b',' { b"} " } else { b" " });
    }
}

/// Finite bounds with cumulative counts, never above `count`: `+Inf` must not
/// be less than the bucket before it.
pub(super) fn cumulative(
    classic: &[(f64, u64)],
    count: u64,
) -> impl Iterator<Item = (f64, u64)> + '_ {
    let mut below = 0u64;
    classic
        .iter()
        .filter(|(bound, _)| bound.is_finite())
        .map(move |&(bound, in_bucket)| {
            below = below.saturating_add(in_bucket).min(count);
            (bound, below)
        })
}

/// Appends `text` with backslash and newline escaped, and the quote if asked.
///
/// NUL becomes U+FFFD: to the lexer of Prometheus it is the end of the input.
pub(super) fn escape(out: &mut Vec<u8>, text: &str, quote: bool) {
    let special = |byte: &u8| match byte {
        b'\\' | b'\n' | 0 => true,
        b'"' => quote,
        _ => false,
    };
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(special) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\n' => b"\\n",
            b'"' => b"\\\"",
            0 => "\u{fffd}".as_bytes(),
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}
