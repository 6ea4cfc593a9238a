//! The same families in three formats, read back by the strict readers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family as ClientFamily;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram as ClientHistogram, NativeHistogramConfig};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use proptest::prelude::*;

use super::check::{Exposition, bits};
use super::*;

type Encode<'a> = &'a dyn Fn(&mut Encoder<Vec<u8>>) -> std::io::Result<()>;

fn body(format: Format, encode: Encode<'_>) -> Vec<u8> {
    let mut encoder = Encoder::new(format, Vec::new());
    encode(&mut encoder).unwrap();
    encoder.finish().unwrap()
}

fn text(format: Format, encode: Encode<'_>) -> String {
    String::from_utf8(body(format, encode)).unwrap()
}

/// Reads all three formats, asserts that they agree, and returns protobuf's,
/// which may have native histograms beside.
fn agreed(encode: Encode<'_>) -> Exposition {
    let [classic, openmetrics, proto] = [Format::Text004, Format::OpenMetrics1, Format::Protobuf]
        .map(|format| Exposition::read(format, &body(format, encode)));
    assert_eq!(classic, openmetrics);
    assert_eq!(classic.families, proto.families);
    proto
}

fn target(instance: &str) -> LabelSet {
    LabelSet::new([("job", "web"), ("instance", instance)], &["le"]).unwrap()
}

const CLASSIC: &[(f64, u64)] = &[(0.005, 1), (0.1, 2), (1.0, 0), (10.0, 3)];

fn fleet(encoder: &mut Encoder<Vec<u8>>) -> std::io::Result<()> {
    let (a, b) = (target("a:80"), target("b:80"));
    let mut family = encoder.family("probe_success", "Whether it \"worked\"\\", Kind::Gauge)?;
    family.sample(&a, &[], 1.0)?;
    family.sample(&b, &[], 0.0)?;
    encoder.family("probe_nothing", "No samples", Kind::Gauge)?;
    let mut family = encoder.family("probity_results_total", "Results", Kind::Counter)?;
    family.sample(&a, &[("result", "success")], 1e6)?;
    family.sample(&b, &[("result", "failure"), ("empty", "")], 3.0)?;
    let mut family = encoder.family("probe_other", "", Kind::Untyped)?;
    family.sample(&LabelSet::default(), &[("v", "\"\\\n")], f64::NAN)?;
    family.sample(&LabelSet::default(), &[], -0.25)?;
    let mut buckets = NativeBuckets::new();
    buckets.push(-3, 4);
    buckets.push(2, 3);
    let native = Native {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        zero_count: 0,
        positive: buckets.spans(),
        negative: Spans::default(),
    };
    let mut histogram = Histogram {
        count: 7,
        sum: 42.5,
        classic: Some(CLASSIC),
        native: Some(native),
    };
    let mut family = encoder.histograms("probity_probe_duration_seconds", "Duration")?;
    family.sample(&a, &[], &histogram)?;
    histogram.classic = None;
    family.sample(&b, &[("phase", "tls")], &histogram)?;
    let mut family = encoder.histograms("probity_native_seconds", "Native only")?;
    family.sample(&a, &[], &histogram)
}

#[test]
fn classic_text_is_exactly_this() {
    let expected = r#"# HELP probe_success Whether it "worked"\\
# TYPE probe_success gauge
probe_success{instance="a:80",job="web"} 1
probe_success{instance="b:80",job="web"} 0
# HELP probity_results_total Results
# TYPE probity_results_total counter
probity_results_total{instance="a:80",job="web",result="success"} 1e+06
probity_results_total{instance="b:80",job="web",result="failure",empty=""} 3
# TYPE probe_other untyped
probe_other{v="\"\\\n"} NaN
probe_other -0.25
# HELP probity_probe_duration_seconds Duration
# TYPE probity_probe_duration_seconds histogram
probity_probe_duration_seconds_bucket{instance="a:80",job="web",le="0.005"} 1
probity_probe_duration_seconds_bucket{instance="a:80",job="web",le="0.1"} 3
probity_probe_duration_seconds_bucket{instance="a:80",job="web",le="1.0"} 3
probity_probe_duration_seconds_bucket{instance="a:80",job="web",le="10.0"} 6
probity_probe_duration_seconds_bucket{instance="a:80",job="web",le="+Inf"} 7
probity_probe_duration_seconds_sum{instance="a:80",job="web"} 42.5
probity_probe_duration_seconds_count{instance="a:80",job="web"} 7
"#;
    assert_eq!(text(Format::Text004, &fleet), expected);
}

#[test]
fn openmetrics_differs_only_where_its_grammar_does() {
    let expected = text(Format::Text004, &fleet)
        .replace("it \"worked\"\\\\", "it \\\"worked\\\"\\\\")
        .replace("HELP probity_results_total", "HELP probity_results")
        .replace("TYPE probity_results_total", "TYPE probity_results")
        .replace("probe_other untyped", "probe_other unknown")
        + "# EOF\n";
    assert_eq!(text(Format::OpenMetrics1, &fleet), expected);
}

#[test]
fn three_formats_agree_and_protobuf_has_the_native_histograms_too() {
    let read = agreed(&fleet);
    assert_eq!(read.families.len(), 4);
    assert_eq!(
        read.value(
            "probity_probe_duration_seconds_bucket",
            &[("instance", "a:80"), ("job", "web"), ("le", "1.0")]
        ),
        Some(3.0)
    );
    assert_eq!(read.natives.len(), 3);
    for (_, _, native) in &read.natives {
        assert_eq!((native.schema, native.zero_count, native.count), (3, 0, 7));
        assert_eq!(native.zero_threshold, 2f64.powi(-128));
        assert_eq!(native.buckets, [(-3, 4), (2, 3)]);
    }
}

#[test]
fn an_exposition_without_series_is_legal_and_empty() {
    let nothing: Encode<'_> = &|encoder| {
        encoder.family("a", "h", Kind::Gauge)?;
        encoder.histograms("b", "h")?;
        Ok(())
    };
    assert_eq!(text(Format::Text004, nothing), "");
    assert_eq!(text(Format::OpenMetrics1, nothing), "# EOF\n");
    assert_eq!(body(Format::Protobuf, nothing), b"");
}

#[test]
fn a_native_histogram_without_observations_is_still_native() {
    let empty: Encode<'_> = &|encoder| {
        let histogram = Histogram {
            count: 0,
            sum: 0.0,
            classic: None,
            native: Some(Native {
                schema: 3,
                zero_threshold: 0.0,
                zero_count: 0,
                positive: Spans::default(),
                negative: Spans::default(),
            }),
        };
        let mut family = encoder.histograms("x_seconds", "h")?;
        family.sample(&LabelSet::default(), &[], &histogram)
    };
    let read = Exposition::read(Format::Protobuf, &body(Format::Protobuf, empty));
    assert_eq!(read.natives.len(), 1);
    assert!(read.natives[0].2.buckets.is_empty());
}

#[test]
fn buckets_that_count_more_than_the_total_stay_monotonic() {
    // A reader of live counters may see a bucket before it sees the count.
    let torn: Encode<'_> = &|encoder| {
        let histogram = Histogram {
            count: 4,
            sum: 1.0,
            classic: Some(&[(1.0, 3), (2.0, 9), (f64::INFINITY, 1)]),
            native: None,
        };
        let mut family = encoder.histograms("x_seconds", "h")?;
        family.sample(&LabelSet::default(), &[], &histogram)
    };
    assert_eq!(
        agreed(torn).value("x_seconds_bucket", &[("le", "2.0")]),
        Some(4.0)
    );
}

#[test]
fn a_name_that_would_break_the_scrape_is_refused() {
    let mut encoder = Encoder::new(Format::Text004, Vec::new());
    for name in ["", "a b", "9", "a\n", "_total\n"] {
        let error = encoder.family(name, "h", Kind::Counter).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    assert!(encoder.finish().unwrap().is_empty());
}

#[test]
fn a_large_body_reaches_the_sink_in_large_pieces() {
    struct Sizes(Vec<usize>);
    impl std::io::Write for Sizes {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.push(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut encoder = Encoder::new(Format::Text004, Sizes(Vec::new()));
    let mut family = encoder.family("probe_success", "h", Kind::Gauge).unwrap();
    for i in 0..10_000 {
        family.sample(&target(&i.to_string()), &[], 1.0).unwrap();
    }
    let mut sizes = encoder.finish().unwrap().0;
    sizes.pop();
    assert!(sizes.len() > 4);
    let near = |size: &usize| (body::CHUNK_BYTES..body::CHUNK_BYTES + 200).contains(size);
    assert!(sizes.iter().all(near), "{sizes:?}");
}

fn registry() -> Registry {
    let mut registry = Registry::with_prefix("probity");
    let counter = ClientFamily::<Vec<(String, String)>, Counter>::default();
    let label = |value: &str| vec![("reason".to_owned(), value.to_owned())];
    counter.get_or_create(&label("plain")).inc();
    counter.get_or_create(&label("\"\\\n")).inc_by(1_234_567);
    registry.register("unknown", "Runs that \"could\\not\" look\nat all", counter);
    let gauge = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
    gauge.set(0.25);
    registry.register_with_unit("loop_busy", "Busy", Unit::Ratios, gauge);
    let info = Info::new([("version", "1.2")]);
    registry.register("build", "Build", info);
    let empty = ClientFamily::<Vec<(String, String)>, Counter>::default();
    registry.register("empty", "Nothing", empty);
    let scheme = NativeHistogramConfig::new(1.1);
    let classic = ClientHistogram::new([0.00001, 1.0, 2.5]);
    let both = ClientHistogram::new_classic_and_native([1.0, 2.5], scheme);
    let native = ClientHistogram::new_native(scheme);
    for histogram in [&classic, &both, &native] {
        for value in [0.0, 0.5, 0.6, 2.0, 400.0] {
            histogram.observe(value);
        }
    }
    registry.register("start_lag_seconds", "Lag", classic);
    registry.register("both_seconds", "Both", both);
    registry.register("own_native_seconds", "Native", native);
    registry
}

#[test]
fn a_registry_reads_the_same_in_every_format() {
    let registry = registry();
    let read = agreed(&|encoder| {
        fleet(encoder)?;
        encoder.registry(&registry)
    });
    for (name, labels, value) in [
        (
            "probity_unknown_total",
            &[("reason", "\"\\\n")],
            1_234_567.0,
        ),
        ("probity_build_info", &[("version", "1.2")], 1.0),
        ("probity_start_lag_seconds_bucket", &[("le", "1.0")], 3.0),
        ("probity_start_lag_seconds_bucket", &[("le", "1e-05")], 1.0),
        ("probity_both_seconds_bucket", &[("le", "2.5")], 4.0),
        ("probity_both_seconds_bucket", &[("le", "+Inf")], 5.0),
    ] {
        assert_eq!(read.value(name, labels), Some(value), "{name} {labels:?}");
    }
    assert_eq!(read.value("probity_loop_busy_ratios", &[]), Some(0.25));
    assert_eq!(read.value("probe_other", &[]), Some(-0.25));
    assert!(!read.families.contains_key("probity_empty_total"));
    assert_eq!(
        read.families["probity_unknown_total"].help,
        "Runs that \"could\\not\" look\nat all."
    );
    let natives = |name| read.natives.iter().filter(move |native| native.0 == name);
    for name in ["probity_both_seconds", "probity_own_native_seconds"] {
        let native = &natives(name).next().unwrap().2;
        assert_eq!((native.count, native.zero_count, native.schema), (5, 1, 3));
    }
    assert_eq!(natives("probity_start_lag_seconds").count(), 0);
}

/// The same families as [`fleet`] has, and as series that come one by one.
fn measured(encoder: &mut Encoder<Vec<u8>>) -> std::io::Result<()> {
    let (a, b) = (target("a\\\n\"ü\0:80"), target(&"b".repeat(200)));
    encoder.write_family("probe_success", "Whether", Kind::Gauge, |out| {
        out.sample(&a, &[], 1.0)?;
        out.sample(&b, &[("v", "\"\\\n"), ("empty", "")], f64::NAN)
    })?;
    encoder.write_family("probe_nothing", "No samples", Kind::Gauge, |_| Ok(()))?;
    encoder.write_family("probity_results_total", "Results", Kind::Counter, |out| {
        out.sample(&LabelSet::default(), &[], 1e6)
    })?;
    let mut buckets = NativeBuckets::new();
    (0..200).for_each(|index| buckets.push(index * 5, 1 << (index % 40)));
    encoder.write_histograms("probity_native_seconds", "Both", |out| {
        for labels in [&a, &b] {
            let histogram = histogram(&buckets);
            out.sample(labels, &[("le2", "x")], &histogram)?;
        }
        Ok(())
    })
}

fn held(encoder: &mut Encoder<Vec<u8>>) -> std::io::Result<()> {
    let (a, b) = (target("a\\\n\"ü\0:80"), target(&"b".repeat(200)));
    let mut out = encoder.family("probe_success", "Whether", Kind::Gauge)?;
    out.sample(&a, &[], 1.0)?;
    out.sample(&b, &[("v", "\"\\\n"), ("empty", "")], f64::NAN)?;
    encoder.family("probe_nothing", "No samples", Kind::Gauge)?;
    let mut out = encoder.family("probity_results_total", "Results", Kind::Counter)?;
    out.sample(&LabelSet::default(), &[], 1e6)?;
    let mut buckets = NativeBuckets::new();
    (0..200).for_each(|index| buckets.push(index * 5, 1 << (index % 40)));
    let mut out = encoder.histograms("probity_native_seconds", "Both")?;
    for labels in [&a, &b] {
        let histogram = histogram(&buckets);
        out.sample(labels, &[("le2", "x")], &histogram)?;
    }
    Ok(())
}

fn histogram(buckets: &NativeBuckets) -> Histogram<'_> {
    Histogram {
        count: buckets.spans().total(),
        sum: 2.5,
        classic: Some(CLASSIC),
        native: Some(Native {
            schema: 3,
            zero_threshold: 0.0,
            zero_count: 0,
            positive: buckets.spans(),
            negative: Default::default(),
        }),
    }
}

#[test]
fn what_is_measured_first_is_what_is_held_back_otherwise() {
    for format in [Format::Text004, Format::OpenMetrics1, Format::Protobuf] {
        let mixed = |first: Encode<'_>, second: Encode<'_>| {
            body(format, &|encoder| {
                first(encoder)?;
                second(encoder)
            })
        };
        assert_eq!(body(format, &measured), body(format, &held), "{format:?}");
        let expected = mixed(&held, &fleet);
        assert_eq!(mixed(&measured, &fleet), expected, "{format:?}");
        let expected = mixed(&fleet, &held);
        assert_eq!(mixed(&fleet, &measured), expected, "{format:?}");
    }
}

#[test]
fn gauges_that_are_measured_in_one_walk_are_what_they_are_one_by_one() {
    let targets = ["a", "b\n", "c"].map(target);
    let families = [("first", "Of all"), ("none", "Of none"), ("last", "Of two")];
    let series =
        |out: &mut Family<'_, Vec<u8>>, (name, _): &(&str, &str), labels: &LabelSet| match *name {
            "first" => out.sample(labels, &[], 1.0),
            "last" if labels.as_str() != targets[1].as_str() => {
                (0..2).try_for_each(|v| out.sample(labels, &[("v", &v.to_string())], 2.0))
            }
            _ => Ok(()),
        };
    for format in [Format::Text004, Format::OpenMetrics1, Format::Protobuf] {
        let walked = body(format, &|encoder| {
            encoder
                .family("before", "Open", Kind::Untyped)?
                .sample(&targets[0], &[], 0.0)?;
            encoder.write_gauges(&families, |family| *family, &targets, series)
        });
        let one_by_one = body(format, &|encoder| {
            encoder
                .family("before", "Open", Kind::Untyped)?
                .sample(&targets[0], &[], 0.0)?;
            families.iter().try_for_each(|family| {
                let mut out = encoder.family(family.0, family.1, Kind::Gauge)?;
                targets
                    .iter()
                    .try_for_each(|labels| series(&mut out, family, labels))
            })
        });
        assert_eq!(walked, one_by_one, "{format:?}");
    }
}

#[test]
fn a_family_that_is_not_what_was_measured_fails_its_exposition() {
    for change in [-1_i32, 1] {
        let calls = std::cell::Cell::new(0);
        let mut encoder = Encoder::new(Format::Protobuf, Vec::new());
        let error = encoder.write_family("a", "h", Kind::Gauge, |out| {
            calls.set(calls.get() + 1);
            let series = if calls.get() == 1 { 5 } else { 5 + change };
            (0..series).try_for_each(|_| out.sample(&target("a"), &[], 1.0))
        });
        let kind = error.map_err(|error| error.kind());
        assert_eq!(kind, Err(std::io::ErrorKind::InvalidData), "{change}");
    }
}

#[test]
fn promtool_has_no_complaint() {
    let registry = registry();
    let text = body(Format::Text004, &|encoder| {
        let labels = target("https://a.example/?q=\"\\\n");
        let mut family = encoder.family("probity_target_up", "Up", Kind::Gauge)?;
        family.sample(&labels, &[], 1.0)?;
        let mut family = encoder.histograms("probity_probe_duration_seconds", "Duration")?;
        let histogram = Histogram {
            count: 7,
            sum: 42.5,
            classic: Some(CLASSIC),
            native: None,
        };
        family.sample(&labels, &[], &histogram)?;
        encoder.registry(&registry)
    });
    let Some((passed, said)) = promtool(&text) else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    assert!(passed, "{said}");
    assert_eq!(said, "");
    // It must be able to complain.
    let (passed, said) = promtool(b"# TYPE a gauge\na{b=\"\\x\"} 1\n").unwrap();
    assert!(!passed && !said.is_empty());
}

/// Whether `promtool check metrics` accepts `text`, and what it says.
fn promtool(text: &[u8]) -> Option<(bool, String)> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(text).ok()?;
    let output = child.wait_with_output().ok()?;
    let said = [output.stdout, output.stderr].concat();
    Some((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

fn hostile() -> impl Strategy<Value = String> {
    let special = prop::sample::select(vec![
        '"', '\\', '\n', 'n', '\r', '\0', '{', '}', ',', '=', '#', ' ', 'é', '💥', '\u{feff}',
    ]);
    let chars = prop_oneof![4 => special, 1 => any::<char>()];
    prop::collection::vec(chars, 0..12).prop_map(String::from_iter)
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Gauge, Kind::Counter, Kind::Untyped])
}

/// One series: a label of the target, one of the metric, the value.
type Series = (String, String, f64);

fn series() -> impl Strategy<Value = Series> {
    use prop::num::f64::{INFINITE, NORMAL, QUIET_NAN, SUBNORMAL, ZERO};
    let integers = (-2_000_000i64..2_000_000).prop_map(|v| v as f64);
    let any = NORMAL | SUBNORMAL | ZERO | INFINITE | QUIET_NAN | prop::num::f64::NEGATIVE;
    (hostile(), hostile(), prop_oneof![any, integers])
}

proptest! {
    #[test]
    fn nothing_in_a_label_or_a_help_text_breaks_or_changes_a_scrape(
        families in prop::collection::vec((hostile(), kind(), prop::collection::vec(series(), 0..6)), 1..4)
    ) {
        let encode: Encode<'_> = &|encoder| {
            for (f, (help, kind, series)) in families.iter().enumerate() {
                let mut family = encoder.family(&format!("family_{f}"), help, *kind)?;
                for (s, (ours, extra, value)) in series.iter().enumerate() {
                    let instance = s.to_string();
                    let labels = [("instance", instance.as_str()), ("ours", ours)];
                    let labels = LabelSet::new(labels, &["extra"]).unwrap();
                    family.sample(&labels, &[("extra", extra)], *value)?;
                }
            }
            Ok(())
        };
        let read = agreed(encode);
        let measured: Encode<'_> = &|encoder| {
            for (f, (help, kind, series)) in families.iter().enumerate() {
                encoder.write_family(&format!("family_{f}"), help, *kind, |out| {
                    for (s, (ours, extra, value)) in series.iter().enumerate() {
                        let instance = s.to_string();
                        let labels = [("instance", instance.as_str()), ("ours", ours)];
                        let labels = LabelSet::new(labels, &["extra"]).unwrap();
                        out.sample(&labels, &[("extra", extra)], *value)?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        };
        prop_assert_eq!(body(Format::Protobuf, encode), body(Format::Protobuf, measured));
        let visible = |text: &str| text.replace('\0', "\u{fffd}");
        for (f, (help, kind, series)) in families.iter().enumerate() {
            let total = if *kind == Kind::Counter { "_total" } else { "" };
            let name = format!("family_{f}{total}");
            let Some(family) = read.families.get(&name) else {
                prop_assert!(series.is_empty());
                continue;
            };
            prop_assert_eq!(&family.help, &visible(help));
            prop_assert_eq!(family.series.len(), series.len());
            for (s, (ours, extra, value)) in series.iter().enumerate() {
                let (_, labels, read) = &family.series[s];
                prop_assert_eq!(*read, bits(*value));
                prop_assert_eq!(&labels["instance"], &s.to_string());
                for (name, value) in [("ours", ours), ("extra", extra)] {
                    let expected = (!value.is_empty()).then(|| visible(value));
                    prop_assert_eq!(labels.get(name), expected.as_ref());
                }
            }
        }
    }

    #[test]
    fn any_sparse_histogram_arrives_whole(
        buckets in prop::collection::btree_map(-1500i32..1500, 1u64..1_000_000, 0..40),
        zero_count in 0u64..3,
    ) {
        let total = buckets.values().sum::<u64>() + zero_count;
        let mut native = NativeBuckets::new();
        buckets.iter().for_each(|(&index, &count)| native.push(index, count));
        let histogram = Histogram {
            count: total,
            sum: 1.5,
            classic: None,
            native: Some(Native {
                schema: 3,
                zero_threshold: 1e-9,
                zero_count,
                positive: native.spans(),
                negative: Spans::default(),
            }),
        };
        let encode: Encode<'_> = &|encoder| {
            let mut family = encoder.histograms("x_seconds", "h")?;
            family.sample(&target("a"), &[], &histogram)
        };
        let read = Exposition::read(Format::Protobuf, &body(Format::Protobuf, encode));
        let arrived = read.natives[0].2.buckets.iter().filter(|(_, count)| *count > 0);
        prop_assert_eq!(
            arrived.copied().collect::<Vec<_>>(),
            buckets.iter().map(|(&index, &count)| (index, count as i64)).collect::<Vec<_>>()
        );
    }
}

/// Prints what a scrape of 50,000 targets by 20 families costs. To measure:
/// `cargo test -p probity --lib --config profile.test.opt-level=3 -- --ignored --nocapture cost_of`
#[test]
#[ignore = "a measurement, not a check"]
fn cost_of_a_large_fleet() {
    const TARGETS: usize = 50_000;
    let targets: Vec<LabelSet> = (0..TARGETS)
        .map(|i| {
            let instance = format!("https://10.1.{}.{}:8443/health", i / 250, i % 250);
            let labels = [("job", "web"), ("instance", &instance), ("team", "core")];
            LabelSet::new(labels, &["phase"]).unwrap()
        })
        .collect();
    for (format, encoding) in [
        (Format::Text004, Encoding::Identity),
        (Format::OpenMetrics1, Encoding::Identity),
        (Format::Protobuf, Encoding::Identity),
        (Format::Text004, Encoding::Gzip),
        (Format::Protobuf, Encoding::Gzip),
    ] {
        let (mut bytes, mut largest) = (0, 0);
        let start = std::time::Instant::now();
        let sink = Chunks::new(|chunk: Vec<u8>| {
            bytes += chunk.len();
            largest = largest.max(chunk.len());
            Ok(())
        });
        let mut encoder = Encoder::new(format, Body::new(encoding, sink));
        for f in 0..20 {
            let name = format!("probe_http_family_number_{f}_seconds");
            let mut family = encoder.family(&name, "h", Kind::Gauge).unwrap();
            for (t, labels) in targets.iter().enumerate() {
                // Half are integers, half durations.
                let value = match f % 2 {
                    0 => 200.0,
                    _ => (t * 20 + f) as f64 / 1e6 + 1e-9,
                };
                let extra: &[(&str, &str)] = if f > 15 { &[("phase", "tls")] } else { &[] };
                family.sample(labels, extra, value).unwrap();
            }
        }
        let body = encoder.finish().unwrap();
        body.finish().unwrap().finish().unwrap();
        let took = start.elapsed();
        eprintln!("{format:?} {encoding:?}: {took:?}, {bytes} bytes, pieces up to {largest}");
    }
}
