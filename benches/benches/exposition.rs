//! What a scrape of the fleet costs, by format.

use std::io;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use probity::exposition::{Body, Encoder, Encoding, Format, Kind, LabelSet};

const TARGETS: usize = 1_000;
const FAMILIES: usize = 20;

fn encode(format: Format, encoding: Encoding, targets: &[LabelSet]) -> io::Result<u64> {
    let mut encoder = Encoder::new(format, Body::new(encoding, Counted(0)));
    for family in 0..FAMILIES {
        let name = format!("probe_family_{family}_seconds");
        let mut family = encoder.family(&name, "Something in seconds.", Kind::Gauge)?;
        for (index, labels) in targets.iter().enumerate() {
            family.sample(labels, &[], index as f64 * 0.000_123)?;
        }
    }
    Ok(encoder.finish()?.finish()?.0)
}

/// Takes bytes and forgets them.
struct Counted(u64);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn formats(c: &mut Criterion) {
    let targets: Vec<LabelSet> = (0..TARGETS)
        .map(|index| {
            let instance = format!("http://web-{index}.example:8080/healthz");
            let pairs = [("job", "web"), ("instance", &instance), ("team", "core")];
            LabelSet::new(pairs, &[]).expect("valid names")
        })
        .collect();
    let mut group = c.benchmark_group("exposition");
    group.throughput(Throughput::Elements((TARGETS * FAMILIES) as u64));
    for (name, format, encoding) in [
        ("text", Format::Text004, Encoding::Identity),
        ("text_gzip", Format::Text004, Encoding::Gzip),
        ("openmetrics", Format::OpenMetrics1, Encoding::Identity),
        ("protobuf", Format::Protobuf, Encoding::Identity),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| encode(format, encoding, &targets).expect("the sink takes everything"));
        });
    }
    group.finish();
    // What a page costs of which there is little more than names and HELP texts.
    c.bench_function("exposition/of_one_target", |b| {
        let one = &targets[..1];
        b.iter(|| encode(Format::Text004, Encoding::Identity, one));
    });
}

criterion_group!(benches, formats);
criterion_main!(benches);
