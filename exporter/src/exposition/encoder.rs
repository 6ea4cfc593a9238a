//! The streaming encoder: families in, bytes of one format out.
//!
//! Bytes go to the sink in pieces of about 64 KiB and nothing is allocated per
//! sample. The text formats hold back nothing. In protobuf a family is prefixed by its
//! length, so that one of which the series come one by one ([`Encoder::family`]) is held
//! until it ends: for a fleet of 50,000 targets that would be 4 to 8 MB. What can be
//! gone through twice ([`Encoder::write_family`]) is measured first, without being
//! encoded, and then held back no more than text is.
//!
//! No timestamps (a vanished series must go stale at once) and no units (a unit
//! that is not a suffix of the name fails the whole scrape).

use std::io::{self, Write};

use super::body::CHUNK_BYTES;
use super::format::Format;
use super::histogram::Histogram;
use super::labels::{LabelSet, Rendered, is_label_name, is_metric_name};
use super::proto::Proto;
use super::text::Text;

/// The type of a family with one number per series. Info-style metrics
/// (`probe_ssl_last_chain_info`) are gauges of value 1, as in blackbox_exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// May go up and down.
    Gauge,
    /// Only grows. The series is named with the suffix `_total` in every
    /// format, whether or not the family was named with it.
    Counter,
    /// Of no known type.
    Untyped,
}

/// The type of any family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Gauge,
    Counter,
    Untyped,
    Histogram,
}

/// A name with its meaning.
pub(super) struct Header<'a> {
    /// For a counter without `_total`.
    pub(super) base: &'a str,
    pub(super) help: &'a str,
    pub(super) kind: Type,
}

impl<'a> Header<'a> {
    fn new(name: &'a str, help: &'a str, kind: Kind) -> Self {
        let (base, kind) = match kind {
            Kind::Gauge => (name, Type::Gauge),
            Kind::Untyped => (name, Type::Untyped),
            Kind::Counter => (name.strip_suffix("_total").unwrap_or(name), Type::Counter),
        };
        Self { base, help, kind }
    }

    fn of_histograms(base: &'a str, help: &'a str) -> Self {
        let kind = Type::Histogram;
        Self { base, help, kind }
    }
}

/// Encodes families into one exposition. Dropped without [`Encoder::finish`]
/// it leaves a truncated body.
#[derive(Debug)]
pub struct Encoder<W> {
    out: Output<W>,
    format: Back,
}

#[derive(Debug)]
enum Back {
    Text(Text),
    Proto(Proto),
}

/// Gathers small writes.
#[derive(Debug)]
struct Output<W> {
    sink: W,
    buffer: Vec<u8>,
}

impl<W: Write> Output<W> {
    fn spill(&mut self) -> io::Result<()> {
        if self.buffer.len() >= CHUNK_BYTES {
            self.drain()?;
        }
        Ok(())
    }

    fn drain(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Encoder<W> {
    /// An exposition in `format` that goes to `sink` in large writes.
    pub fn new(format: Format, sink: W) -> Self {
        Self {
            out: Output {
                sink,
                buffer: Vec::new(),
            },
            format: match format {
                Format::Text004 => Back::Text(Text::classic()),
                Format::OpenMetrics1 => Back::Text(Text::openmetrics()),
                Format::Protobuf => Back::Proto(Proto::default()),
            },
        }
    }

    /// Begins a family and ends the one before it. Nothing is written for a
    /// family without samples. All series of one name must be in one family.
    ///
    /// # Errors
    /// `InvalidInput` if `name` is not a metric name; those of the sink.
    pub fn family(&mut self, name: &str, help: &str, kind: Kind) -> io::Result<Family<'_, W>> {
        self.open(&Header::new(name, help, kind))?;
        Ok(Family { encoder: self })
    }

    /// Writes a family of many series, of which none is held back: `series` is called
    /// twice where the format needs to know their length first, and must write the same
    /// both times. Otherwise as [`Encoder::family`].
    ///
    /// # Errors
    /// As [`Encoder::family`]; those of `series`; `InvalidData` if it has not written
    /// the same.
    pub fn write_family(
        &mut self,
        name: &str,
        help: &str,
        kind: Kind,
        series: impl Fn(&mut Family<'_, W>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.open(&Header::new(name, help, kind))?;
        self.write_measured(|encoder| series(&mut Family { encoder }))
    }

    /// The same with histograms.
    ///
    /// # Errors
    /// As [`Encoder::write_family`].
    pub fn write_histograms(
        &mut self,
        name: &str,
        help: &str,
        series: impl Fn(&mut Histograms<'_, W>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.open(&Header::of_histograms(name, help))?;
        self.write_measured(|encoder| series(&mut Histograms { encoder }))
    }

    /// Writes many families of gauges, with the series that `series` gives of each of
    /// `things`. Where the format needs to know the length of a family first, all of them
    /// are measured in one walk through `things`: it is the walk that takes long.
    /// `header` says name and help; otherwise as [`Encoder::write_family`].
    ///
    /// # Errors
    /// As [`Encoder::write_family`].
    pub fn write_gauges<'f, F, T>(
        &mut self,
        families: &'f [F],
        header: impl Fn(&'f F) -> (&'f str, &'f str),
        things: &[T],
        series: impl Fn(&mut Family<'_, W>, &F, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        self.close()?;
        // No family is open while they are measured: a value of any kind is as long.
        let mut lengths = vec![0; families.len()];
        if let Back::Proto(_) = self.format {
            for thing in things {
                for (family, length) in families.iter().zip(&mut lengths) {
                    *length +=
                        self.measure(|encoder| series(&mut Family { encoder }, family, thing))?;
                }
            }
        }
        for (family, length) in families.iter().zip(lengths) {
            let (name, help) = header(family);
            self.open(&Header::new(name, help, Kind::Gauge))?;
            self.write_announced(length, |encoder| {
                let mut out = Family { encoder };
                things
                    .iter()
                    .try_for_each(|thing| series(&mut out, family, thing))
            })?;
        }
        Ok(())
    }

    fn write_measured(&mut self, series: impl Fn(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let length = self.measure(&series)?;
        self.write_announced(length, series)
    }

    /// How many bytes these series are where that has to be known before they are
    /// written, or 0.
    fn measure(&mut self, series: impl Fn(&mut Self) -> io::Result<()>) -> io::Result<usize> {
        let Back::Proto(proto) = &mut self.format else {
            return Ok(0);
        };
        proto.measure();
        series(self)?;
        match &self.format {
            Back::Proto(proto) => Ok(proto.measured()),
            Back::Text(_) => Ok(0),
        }
    }

    /// Writes the series of the open family, which were measured, and ends it.
    fn write_announced(
        &mut self,
        length: usize,
        series: impl Fn(&mut Self) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Back::Proto(proto) = &mut self.format {
            proto.announce(length, &mut self.out.buffer);
        }
        series(self)?;
        self.close()
    }

    /// Begins a family of histograms and ends the one before it.
    ///
    /// # Errors
    /// As [`Encoder::family`].
    pub fn histograms(&mut self, name: &str, help: &str) -> io::Result<Histograms<'_, W>> {
        self.open(&Header::of_histograms(name, help))?;
        Ok(Histograms { encoder: self })
    }

    /// Ends the exposition and hands back the sink.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(mut self) -> io::Result<W> {
        self.close()?;
        if let Back::Text(text) = &self.format {
            text.finish(&mut self.out.buffer);
        }
        self.out.drain()?;
        Ok(self.out.sink)
    }

    fn open(&mut self, header: &Header<'_>) -> io::Result<()> {
        if !is_metric_name(header.base) {
            let message = format!("{:?} is not a metric name", header.base);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.close()?;
        match &mut self.format {
            Back::Text(text) => text.open(header),
            Back::Proto(proto) => proto.open(header),
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let Back::Proto(proto) = &mut self.format else {
            return Ok(());
        };
        if let Some(metrics) = proto.close(&mut self.out.buffer)? {
            self.out.drain()?;
            self.out.sink.write_all(metrics)?;
        }
        Ok(())
    }

    pub(super) fn sample(
        &mut self,
        labels: Rendered<'_>,
        extra: &[(&str, &str)],
        value: f64,
    ) -> io::Result<()> {
        debug_assert!(extra.iter().all(|(name, _)| is_label_name(name)));
        match &mut self.format {
            Back::Text(text) => text.sample(&mut self.out.buffer, labels.text, extra, value),
            Back::Proto(proto) => proto.sample(&mut self.out.buffer, labels, extra, value),
        }
        self.out.spill()
    }

    pub(super) fn histogram(
        &mut self,
        labels: Rendered<'_>,
        extra: &[(&str, &str)],
        histogram: &Histogram<'_>,
    ) -> io::Result<()> {
        debug_assert!(extra.iter().all(|(name, _)| is_label_name(name)));
        match &mut self.format {
            Back::Text(text) => text.histogram(&mut self.out.buffer, labels.text, extra, histogram),
            Back::Proto(proto) => proto.histogram(&mut self.out.buffer, labels, extra, histogram),
        }
        self.out.spill()
    }
}

/// A family with one number per series.
#[derive(Debug)]
pub struct Family<'e, W> {
    encoder: &'e mut Encoder<W>,
}

impl<W: Write> Family<'_, W> {
    /// Writes one series: the labels of the target, then those of the metric.
    /// Of `extra`, labels with an empty value are written too, as
    /// blackbox_exporter does (`subject=""`): to Prometheus they are absent. No
    /// name of it may be in `labels` (see [`LabelSet::new`]). The order of
    /// `extra` is kept, so keep it the same from scrape to scrape.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn sample(
        &mut self,
        labels: &LabelSet,
        extra: &[(&str, &str)],
        value: f64,
    ) -> io::Result<()> {
        self.encoder.sample(labels.rendered(), extra, value)
    }
}

/// A family of histograms.
#[derive(Debug)]
pub struct Histograms<'e, W> {
    encoder: &'e mut Encoder<W>,
}

impl<W: Write> Histograms<'_, W> {
    /// Writes one histogram. In the text formats one without classic buckets
    /// is left out; in protobuf it carries whatever it has.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn sample(
        &mut self,
        labels: &LabelSet,
        extra: &[(&str, &str)],
        histogram: &Histogram<'_>,
    ) -> io::Result<()> {
        self.encoder.histogram(labels.rendered(), extra, histogram)
    }
}
