//! Numbers that a check learns, and how an exporter should call them.
//!
//! A check declares a table of [`Fact`]s; a run fills [`Facts`] by position.
//! Whoever renders results walks the table and knows no check by name.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::outcome::{Phase, Phases, PhasesShape};

/// Numbers that one run can hold. Every target keeps those of its last run, so
/// there are no more than the largest table needs.
pub const SLOTS: usize = 12;

/// The description of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fact {
    /// Metric name, as blackbox_exporter has it where it has one.
    pub name: &'static str,
    /// HELP text.
    pub help: &'static str,
    /// A label beside the target's own, if the metric is split by one.
    /// Facts of one name stand together in their table.
    pub label: Option<(&'static str, &'static str)>,
    /// Where the value is.
    pub value: Value,
}

/// Where the value of a [`Fact`] is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A number of this run: an index below [`SLOTS`]. Absent until set.
    Slot(usize),
    /// The duration of a phase in seconds
    /// ([`Phases::get_or_partial`]). Absent until there is one or, once the run
    /// has begun to connect, 0: a plain HTTP probe has a `tls` phase of 0 seconds
    /// (blackbox_exporter registers all phases when it sends the request).
    Phase(Phase),
    /// In the [`Labels`] of this run; the number is 1. Absent without any.
    Labels,
}

/// Where the value of a [`Fact`] that a run has is: what is left of a [`Value`] once it
/// is known that there is one, in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(u8);

impl Source {
    /// The number of a run of which its [`Shape`] says that it has one.
    #[inline(always)]
    pub fn read(self, facts: &Facts, phases: &Phases) -> f64 {
        let index = usize::from(self.0);
        match facts.values.get(index) {
            Some(value) => *value,
            None => phases.seconds(index - SLOTS),
        }
    }
}

/// Which numbers of a table a run has: two runs of one table and one shape have the
/// same. A host that keeps a list of them from one report to the next has only to
/// [fill the values in](Source::read).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape(u64);

impl Shape {
    /// That of a run.
    #[inline(always)]
    pub fn of(facts: &Facts, phases: &Phases) -> Self {
        Self(u64::from(phases.shape().0) << 16 | u64::from(facts.set))
    }

    /// Where the value of `fact` is in runs of this shape; `None` if they have none, as
    /// for [`Fact::read`].
    pub fn source(self, fact: &Fact) -> Option<Source> {
        let phases = PhasesShape((self.0 >> 16) as u32);
        match fact.value {
            Value::Slot(slot) => {
                let is_set = slot < SLOTS && self.0 & (1 << slot) != 0;
                is_set.then_some(Source(slot as u8))
            }
            Value::Phase(phase) => {
                let is_there = phases.has(phase) || phases.counts_as_none(phase);
                is_there.then_some(Source(SLOTS as u8 + phase as u8))
            }
            Value::Labels => None,
        }
    }
}

/// What one run has found out in words, by name: one series of value 1. One
/// pointer, and nothing more while there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Option<Arc<Vec<Label>>>);

type Label = (Arc<str>, Box<str>);

impl Labels {
    /// Nothing known yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Adds a label, of a name that there is not.
    pub(crate) fn add(&mut self, name: &Arc<str>, value: Box<str>) {
        let labels = self.0.get_or_insert_default();
        Arc::make_mut(labels).push((Arc::clone(name), value));
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes of the values.
    pub(crate) fn bytes(&self) -> usize {
        self.iter().map(|(_, value)| value.len()).sum()
    }

    /// Names and values, in the order in which they were found. Names are those
    /// of labels in Prometheus' text format, and occur once.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let labels = self.0.as_deref().map(Vec::as_slice).unwrap_or_default();
        labels.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A series that a check declares when it is loaded, under a name of its own: an
/// exporter puts something in front of it that tells modules apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its own name, `[a-z][a-z0-9_]*`.
    pub name: Box<str>,
    /// HELP text.
    pub help: Box<str>,
    /// TYPE.
    pub kind: MetricKind,
    /// Names of labels.
    pub labels: Box<[Box<str>]>,
}

/// The type of a [`Metric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Goes up and down.
    Gauge,
    /// Only rises, but for restarts of what counts; its name ends in `_total`.
    Counter,
}

/// One number of a [`Metric`].
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What it is.
    pub metric: Arc<Metric>,
    /// A value for each of the metric's labels, in order.
    pub labels: Box<[Box<str>]>,
    /// The number.
    pub value: f64,
}

impl Sample {
    /// Names and values of its labels.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let names = self.metric.labels.iter().map(|name| &**name);
        names.zip(self.labels.iter().map(|value| &**value))
    }

    fn is_of(&self, metric: &Arc<Metric>, labels: &[&str]) -> bool {
        Arc::ptr_eq(&self.metric, metric)
            && self
                .labels
                .iter()
                .map(|label| &**label)
                .eq(labels.iter().copied())
    }
}

/// The numbers of one run that no table has: each series once, in the order in
/// which they were found. One pointer, and nothing more while there are none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(Option<Arc<Vec<Sample>>>);

impl Samples {
    /// Nothing known yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Sets a series, whatever it was before.
    pub(crate) fn set(&mut self, metric: &Arc<Metric>, labels: &[&str], value: f64) {
        *self.value(metric, labels) = value;
    }

    /// Adds to a series, which is 0 until then.
    pub(crate) fn add(&mut self, metric: &Arc<Metric>, labels: &[&str], value: f64) {
        *self.value(metric, labels) += value;
    }

    fn value(&mut self, metric: &Arc<Metric>, labels: &[&str]) -> &mut f64 {
        let samples = Arc::make_mut(self.0.get_or_insert_default());
        let known = samples.iter().position(|it| it.is_of(metric, labels));
        let at = known.unwrap_or(samples.len());
        if at == samples.len() {
            samples.push(Sample {
                metric: Arc::clone(metric),
                labels: labels.iter().map(|label| Box::from(*label)).collect(),
                value: 0.0,
            });
        }
        &mut samples[at].value
    }

    /// The samples.
    pub fn as_slice(&self) -> &[Sample] {
        self.0.as_deref().map(Vec::as_slice).unwrap_or_default()
    }
}

/// The numbers of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    set: u16,
    values: [f64; SLOTS],
}

impl Facts {
    /// Nothing known yet.
    pub(crate) const fn new() -> Self {
        Self {
            set: 0,
            values: [0.0; SLOTS],
        }
    }

    /// Sets a number. `slot` must be below [`SLOTS`].
    pub fn set(&mut self, slot: usize, value: f64) {
        debug_assert!(slot < SLOTS, "facts have {SLOTS} slots, not {slot}");
        if let Some(place) = self.values.get_mut(slot) {
            *place = value;
            self.set |= 1 << slot;
        }
    }

    /// A number, if it was set.
    pub fn get(&self, slot: usize) -> Option<f64> {
        let value = self.values.get(slot)?;
        (self.set & (1 << slot) != 0).then_some(*value)
    }
}

impl Fact {
    /// A fact without a label of its own.
    pub const fn plain(name: &'static str, help: &'static str, slot: usize) -> Self {
        Self {
            name,
            help,
            label: None,
            value: Value::Slot(slot),
        }
    }

    /// What was found out in words.
    pub const fn labels(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            label: None,
            value: Value::Labels,
        }
    }

    /// The duration of a phase, told apart by the label `phase`.
    pub const fn phase(name: &'static str, help: &'static str, phase: Phase) -> Self {
        Self {
            name,
            help,
            label: Some(("phase", phase.name())),
            value: Value::Phase(phase),
        }
    }

    /// The value for one run, or `None` if the series does not exist for it or
    /// is made of [`Labels`].
    #[inline(always)]
    pub fn read(&self, facts: &Facts, phases: &Phases) -> Option<f64> {
        match self.value {
            Value::Slot(slot) => facts.get(slot),
            Value::Labels => None,
            Value::Phase(phase) => match phases.get_or_partial(phase) {
                Some(spent) => Some(spent.as_secs_f64()),
                None => phases.counts_as_none(phase).then_some(0.0),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    /// Every way in which phases can be begun, completed and counted in part.
    fn all_phases() -> impl Iterator<Item = Phases> {
        let partials = Phase::ALL.map(Some).into_iter().chain([None]);
        partials.flat_map(|partial| {
            (0..1_u32 << 10).map(move |bits| {
                let mut phases = Phases::new();
                phases.cut(Duration::from_millis(7));
                for (number, phase) in Phase::ALL.into_iter().enumerate() {
                    if bits & 1 << number != 0 {
                        phases.begin(phase);
                    }
                    if bits & 1 << (5 + number) != 0 {
                        phases.add(phase, Duration::from_micros(1 + number as u64));
                    }
                }
                partial.into_iter().for_each(|it| phases.count_partial(it));
                phases
            })
        })
    }

    #[test]
    fn a_shape_says_what_there_is_and_where() {
        let mut facts = Facts::new();
        facts.set(0, 1.5);
        facts.set(SLOTS - 1, -2.0);
        let slots = (0..=SLOTS).map(|slot| Fact::plain("", "", slot));
        let parts = Phase::ALL.map(|phase| Fact::phase("", "", phase));
        let table: Vec<Fact> = slots.chain(parts).chain([Fact::labels("", "")]).collect();
        for phases in all_phases() {
            let shape = Shape::of(&facts, &phases);
            for fact in &table {
                let source = shape.source(fact);
                let value = source.map(|source| source.read(&facts, &phases));
                assert_eq!(value, fact.read(&facts, &phases), "{fact:?} {phases:?}");
            }
        }
    }

    #[test]
    fn runs_of_other_numbers_have_another_shape() {
        let (mut facts, mut phases) = (Facts::new(), Phases::new());
        let mut seen = Vec::from([Shape::of(&facts, &phases)]);
        let mut differs = |facts: &Facts, phases: &Phases| {
            let shape = Shape::of(facts, phases);
            let is_new = !seen.contains(&shape);
            seen.push(shape);
            is_new
        };
        for slot in 0..SLOTS {
            facts.set(slot, 0.0);
            assert!(differs(&facts, &phases), "{slot}");
            facts.set(slot, 1.0);
            assert!(!differs(&facts, &phases), "{slot}");
        }
        for phase in Phase::ALL {
            phases.begin(phase);
            assert!(differs(&facts, &phases), "{phase:?}");
            phases.count_partial(phase);
            assert!(differs(&facts, &phases), "{phase:?}");
            phases.add(phase, Duration::ZERO);
            assert!(differs(&facts, &phases), "{phase:?}");
        }
    }
}
