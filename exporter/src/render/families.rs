//! The table of what one result looks like as series.
//!
//! Names, HELP texts, types and the rules about which series exist are those of
//! blackbox_exporter (`prober/*.go`, `prober/handler.go`). No check is known by
//! name here: a kind of check brings a table of facts, and everything else
//! follows from the outcome, the phases and the handshake.
//!
//! One deliberate difference: the expiry of a certificate is also reported when
//! the certificate was refused. blackbox_exporter then says nothing, so an alert
//! on expiry goes silent at the very moment of expiry.

use std::collections::BTreeMap;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use probity_driver::OwnedReport;
use probity_engine::check::{KINDS, TABLES};
use probity_engine::fact::{Fact, Facts, Labels, Samples, Value};
use probity_engine::tls::{ChainInfo, TlsInfo};
use probity_engine::{Last, Outcome, Phase, Phases, Spec};

use crate::exposition::LabelSet;
use crate::history::Kept;

/// Go's zero `time.Time` in Unix seconds: what blackbox_exporter exposes as the
/// expiry of the verified chain when nothing was verified.
const NO_CHAIN: f64 = -62_135_596_800.0;

/// One family of gauges that a result may yield.
#[derive(Debug)]
pub struct Family {
    /// Metric name.
    pub name: &'static str,
    /// HELP text.
    pub help: &'static str,
    source: Source,
}

/// Where the series of a family come from.
#[derive(Debug)]
enum Source {
    Success,
    Duration,
    Timeout,
    /// Facts of that name by position of the kind in [`KINDS`], sorted by
    /// label.
    Facts(Vec<Vec<Fact>>),
    EarliestExpiry,
    ChainExpiry,
    ChainInfo,
    TlsVersion,
    TlsCipher,
}

/// All families, sorted by name.
pub static FAMILIES: LazyLock<Vec<Family>> = LazyLock::new(|| {
    let mut families: BTreeMap<&str, Family> = COMMON
        .into_iter()
        .map(|(name, help, source)| (name, Family { name, help, source }))
        .collect();
    for (kind, table) in TABLES.iter().enumerate() {
        for fact in *table {
            let family = families.entry(fact.name).or_insert_with(|| Family {
                name: fact.name,
                help: fact.help,
                source: Source::Facts(vec![Vec::new(); TABLES.len()]),
            });
            if let Source::Facts(kinds) = &mut family.source {
                kinds[kind].push(*fact);
                kinds[kind].sort_by_key(|fact| fact.label);
            }
        }
    }
    families.into_values().collect()
});

/// What every kind of check has.
const COMMON: [(&str, &str, Source); 8] = [
    (
        "probe_success",
        "Displays whether or not the probe was a success",
        Source::Success,
    ),
    (
        "probe_duration_seconds",
        "Returns how long the probe took to complete in seconds",
        Source::Duration,
    ),
    (
        "probe_timeout_seconds",
        "Returns how long the probe timeout is in seconds",
        Source::Timeout,
    ),
    (
        "probe_ssl_earliest_cert_expiry",
        "Returns last SSL chain expiry in unixtime",
        Source::EarliestExpiry,
    ),
    (
        "probe_ssl_last_chain_expiry_timestamp_seconds",
        "Returns last SSL chain expiry in timestamp",
        Source::ChainExpiry,
    ),
    (
        "probe_ssl_last_chain_info",
        "Contains SSL leaf certificate information",
        Source::ChainInfo,
    ),
    (
        "probe_tls_version_info",
        "Returns the TLS version used or NaN when unknown",
        Source::TlsVersion,
    ),
    (
        "probe_tls_cipher_info",
        "Returns the TLS cipher negotiated during handshake",
        Source::TlsCipher,
    ),
];

/// Names of labels that families of results put beside a target's own. A
/// target's label of such a name has to be renamed
/// ([`LabelSet::new`](crate::exposition::LabelSet::new)).
pub static TAKEN: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let of_facts = TABLES
        .iter()
        .flat_map(|table| table.iter())
        .filter_map(|fact| fact.label);
    let mut names: Vec<&str> = of_facts.map(|(name, _)| name).collect();
    names.extend(["cipher", "le", "quantile", "reason", "result", "version"]);
    names.extend(CHAIN_LABELS);
    names.sort_unstable();
    names.dedup();
    names
});

const CHAIN_LABELS: [&str; 5] = [
    "fingerprint_sha256",
    "issuer",
    "serialnumber",
    "subject",
    "subjectalternative",
];

/// What the series of a run depend on beside its result.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Position in [`KINDS`].
    kind: u8,
    skips_verification: bool,
    timeout: Duration,
}

impl Origin {
    /// That of runs of `spec`.
    pub fn of(spec: &Spec) -> Self {
        let name = spec.check.kind();
        let tls = spec.check.tls();
        // There are a few.
        let mut kinds = (0..).zip(KINDS).filter(|(_, kind)| **kind == name);
        Self {
            kind: kinds.next().map_or(0, |(kind, _)| kind),
            skips_verification: tls.is_some_and(|options| options.skip_verify),
            timeout: spec.schedule.timeout(),
        }
    }
}

/// The result of one run, scheduled or not.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    origin: Origin,
    outcome: Outcome,
    phase: Phase,
    total: Duration,
    phases: &'a Phases,
    facts: &'a Facts,
    labels: &'a Labels,
    samples: &'a Samples,
    tls: Option<&'a TlsInfo>,
}

impl<'a> Sight<'a> {
    /// The result in a report.
    pub fn of(report: &'a OwnedReport) -> Self {
        Self {
            origin: Origin::of(&report.spec),
            outcome: report.outcome,
            phase: report.phase,
            total: report.total,
            phases: &report.phases,
            facts: &report.facts,
            labels: &report.labels,
            samples: &report.samples,
            tls: report.tls.as_deref(),
        }
    }

    /// The result in what is kept of a report.
    pub fn kept(report: &'a Kept) -> Self {
        Self {
            origin: report.origin,
            outcome: report.outcome,
            phase: report.phase,
            total: report.total,
            phases: &report.phases,
            facts: &report.facts,
            labels: &report.labels,
            samples: &report.samples,
            tls: report.tls.as_deref(),
        }
    }

    /// The last result of a target.
    pub fn last(origin: Origin, last: &'a Last) -> Self {
        Self {
            origin,
            outcome: last.outcome,
            phase: last.phase,
            total: last.total,
            phases: &last.phases,
            facts: &last.facts,
            labels: &last.labels,
            samples: &last.samples,
            tls: last.tls.as_deref(),
        }
    }

    /// The same, of a run that was given another time than its spec says.
    #[must_use]
    pub const fn within(self, timeout: Duration) -> Self {
        let origin = Origin {
            timeout,
            ..self.origin
        };
        Self { origin, ..self }
    }

    /// Whether anything was seen: of a run that was not made there is nothing
    /// to show.
    pub const fn is_made(&self) -> bool {
        !matches!(self.outcome, Outcome::Unknown(_))
    }

    /// What the check declared itself.
    pub const fn samples(&self) -> &'a Samples {
        self.samples
    }

    /// The last handshake, if it was completed.
    fn secured(&self) -> Option<&'a TlsInfo> {
        let completed = self.phases.get(Phase::Tls).is_some() && self.phase != Phase::Tls;
        self.tls.filter(|_| completed)
    }

    fn chain(&self) -> Option<&'a ChainInfo> {
        self.tls.and_then(|info| info.chain.as_deref())
    }

    /// Whether the kind reports the handshake as a phase of its own. Those are
    /// the kinds of which blackbox_exporter also exposes the cipher: `http`
    /// does, `tcp` and `grpc` do not.
    fn times_handshakes(&self) -> bool {
        let table = TABLES
            .get(usize::from(self.origin.kind))
            .copied()
            .unwrap_or_default();
        table
            .iter()
            .any(|fact| fact.value == Value::Phase(Phase::Tls))
    }
}

impl Family {
    /// Calls `sample` with the labels and value of each series that `sight`
    /// has, sorted by label. They stand beside those of the target in `own`.
    ///
    /// # Errors
    /// Those of `sample`.
    pub fn samples(
        &self,
        sight: &Sight<'_>,
        own: &LabelSet,
        mut sample: impl FnMut(&[(&str, &str)], f64) -> io::Result<()>,
    ) -> io::Result<()> {
        let value = match &self.source {
            Source::Success => Some(f64::from(u8::from(sight.outcome.is_success()))),
            Source::Duration => Some(sight.total.as_secs_f64()),
            Source::Timeout => Some(sight.origin.timeout.as_secs_f64()),
            Source::EarliestExpiry => sight.chain().map(|chain| chain.earliest_expiry as f64),
            Source::ChainExpiry => chain_expiry(sight),
            Source::Facts(kinds) => {
                for fact in kinds
                    .get(usize::from(sight.origin.kind))
                    .into_iter()
                    .flatten()
                {
                    if fact.value == Value::Labels && !sight.labels.is_empty() {
                        let labels = own.beside(sight.labels.iter());
                        let labels: Vec<_> = labels.iter().map(|(k, v)| (&**k, *v)).collect();
                        sample(&labels, 1.0)?;
                    }
                    if let Some(value) = fact.read(sight.facts, sight.phases) {
                        sample(fact.label.as_slice(), value)?;
                    }
                }
                None
            }
            Source::ChainInfo => {
                return match (sight.secured(), sight.chain()) {
                    (Some(_), Some(chain)) => sample(&chain_labels(chain), 1.0),
                    _ => Ok(()),
                };
            }
            Source::TlsVersion => {
                return match sight.secured() {
                    Some(info) => sample(&[("version", info.version)], 1.0),
                    None => Ok(()),
                };
            }
            Source::TlsCipher => {
                return match sight.secured() {
                    Some(info) if sight.times_handshakes() => {
                        sample(&[("cipher", info.cipher)], 1.0)
                    }
                    _ => Ok(()),
                };
            }
        };
        value.map_or(Ok(()), |value| sample(&[], value))
    }

    /// Whether a job with `metrics: minimal` has it.
    pub const fn is_minimal(&self) -> bool {
        matches!(
            self.source,
            Source::Success | Source::Duration | Source::EarliestExpiry
        )
    }
}

fn chain_expiry(sight: &Sight<'_>) -> Option<f64> {
    sight.secured()?;
    match sight.chain()?.chain_expiry {
        Some(expiry) => Some(expiry as f64),
        None => sight.origin.skips_verification.then_some(NO_CHAIN),
    }
}

fn chain_labels(chain: &ChainInfo) -> [(&str, &str); 5] {
    let values = [
        &chain.fingerprint_sha256,
        &chain.issuer,
        &chain.serial,
        &chain.subject,
        &chain.subject_alternative,
    ];
    let mut labels = CHAIN_LABELS.map(|name| (name, ""));
    for (label, value) in labels.iter_mut().zip(values) {
        label.1 = value;
    }
    labels
}
