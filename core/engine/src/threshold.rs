//! From results to health: the kubelet's thresholds as a pure machine.
//!
//! One result is weather; a run of equal results is climate. A [`Threshold`]
//! counts the run and changes what it *publishes* when the run is long enough.
//!
//! # What each kind does
//!
//! | kind | before any result | `success` results | `failure` failures | success threshold |
//! |---|---|---|---|---|
//! | [`Kind::Plain`] | unknown | up | down | any |
//! | [`Kind::Readiness`] | down: not ready until proven | up | down | any |
//! | [`Kind::Liveness`] | up: alive until proven dead | up | down, then **on hold** | 1 |
//! | [`Kind::Startup`] | unknown | up, then **on hold** | down, then **on hold** | 1 |
//!
//! # Rules
//!
//! - Only an unbroken run counts: one opposite result makes it 1 again. It
//!   goes on growing after it has crossed its threshold.
//! - An [`Observation::Error`] says nothing about the target and changes
//!   nothing: no run begins, none ends.
//! - *On hold* means that a decision has been made and somebody else acts on
//!   it: the run is forgotten and nothing more is observed until there is a
//!   new container ([`crate::lifecycle`]).
//! - A new container gets the kind's initial value but **inherits the run**:
//!   after two failures, a crash and one more failure, a failure threshold of
//!   three has been reached.
//!
//! This is how Kubernetes 1.32 and later behave (`pkg/kubelet/prober`); before
//! 1.32 a startup check was not on hold after success. `tests` in
//! [`crate::lifecycle`] go through the kubelet's own cases one by one.

use core::fmt;
use core::num::NonZeroU32;

/// What a check decides about, and so how it begins and when it stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Whether a target is up: a job of our own, never on hold.
    #[default]
    Plain,
    /// Whether a container must be restarted.
    Liveness,
    /// Whether a container may get traffic.
    Readiness,
    /// Whether a container has started, so that the other two may begin.
    Startup,
}

impl Kind {
    /// `plain`, `liveness`, `readiness` or `startup`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
        }
    }

    /// What is published before the first result; `None` is unknown.
    pub const fn initial(self) -> Option<bool> {
        match self {
            Self::Plain | Self::Startup => None,
            Self::Liveness => Some(true),
            Self::Readiness => Some(false),
        }
    }

    /// Whether nothing is left to be observed once `published` was decided.
    const fn holds_after(self, published: bool) -> bool {
        match self {
            Self::Plain | Self::Readiness => false,
            Self::Liveness => !published,
            Self::Startup => true,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many results in a row it takes. Valid by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    kind: Kind,
    success: NonZeroU32,
    failure: NonZeroU32,
}

impl Config {
    /// Successes in a row that make a target up, where nothing else is said.
    pub const DEFAULT_SUCCESS: u32 = 1;
    /// Failures in a row that make a target down, where nothing else is said.
    pub const DEFAULT_FAILURE: u32 = 3;

    /// Thresholds for a check of `kind`. As in the Kubernetes API, 0 stands
    /// for the default.
    ///
    /// # Errors
    ///
    /// If the success threshold of a liveness or startup check is not 1.
    pub const fn new(kind: Kind, success: u32, failure: u32) -> Result<Self, Invalid> {
        let success = or_default(success, Self::DEFAULT_SUCCESS);
        let failure = or_default(failure, Self::DEFAULT_FAILURE);
        if matches!(kind, Kind::Liveness | Kind::Startup) && success.get() != 1 {
            let given = success.get();
            return Err(Invalid::SuccessThreshold { kind, given });
        }
        Ok(Self {
            kind,
            success,
            failure,
        })
    }

    /// What the check decides about.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Successes in a row that make a target up.
    pub const fn success(&self) -> u32 {
        self.success.get()
    }

    /// Failures in a row that make a target down.
    pub const fn failure(&self) -> u32 {
        self.failure.get()
    }
}

impl Default for Config {
    /// A plain check with the default thresholds.
    fn default() -> Self {
        Self {
            kind: Kind::Plain,
            success: or_default(0, Self::DEFAULT_SUCCESS),
            failure: or_default(0, Self::DEFAULT_FAILURE),
        }
    }
}

const fn or_default(value: u32, default: u32) -> NonZeroU32 {
    match (NonZeroU32::new(value), NonZeroU32::new(default)) {
        (Some(value), _) | (None, Some(value)) => value,
        (None, None) => NonZeroU32::MIN,
    }
}

/// Why thresholds were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// Liveness and startup checks are decided by their first success.
    SuccessThreshold {
        /// The kind of check.
        kind: Kind,
        /// The success threshold that was asked for.
        given: u32,
    },
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SuccessThreshold { kind, given } => {
                write!(
                    f,
                    "the success threshold of a {kind} check must be 1, not {given}"
                )
            }
        }
    }
}

impl core::error::Error for Invalid {}

/// What one run, all its attempts included, says about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The target is well (warnings included).
    Success,
    /// The target is not.
    Failure,
    /// Nothing was learnt.
    Error,
}

/// A published value that is new or has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What was published before; `None` is unknown.
    pub from: Option<bool>,
    /// What is published now.
    pub to: bool,
    /// Length of the run of equal results that led to it; 0 if it was not
    /// results but the state of the container.
    pub run: u32,
}

/// The health of one target: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    run: u32,
    last: bool,
    hold: bool,
    published: Option<bool>,
}

const _: () = assert!(size_of::<Threshold>() <= 16);

impl Threshold {
    /// A target without results: `kind`'s initial value is published.
    pub const fn new(kind: Kind) -> Self {
        Self {
            published: kind.initial(),
            ..Self::UNPUBLISHED
        }
    }

    /// A target of which not even the container is known: nothing is
    /// published until [`crate::lifecycle::Lifecycle::pass`] has seen one.
    pub const UNPUBLISHED: Self = Self {
        run: 0,
        last: true,
        hold: false,
        published: None,
    };

    /// Takes the result of a run; returns what it changed.
    ///
    /// While on hold nothing is observed: a result that comes all the same (of
    /// a run that was under way) is ignored.
    pub fn observe(&mut self, config: &Config, observation: Observation) -> Option<Transition> {
        let result = match observation {
            Observation::Success => true,
            Observation::Failure => false,
            Observation::Error => return None,
        };
        if self.hold {
            return None;
        }
        if result != self.last {
            self.last = result;
            self.run = 0;
        }
        self.run = self.run.saturating_add(1);
        let threshold = if result {
            config.success
        } else {
            config.failure
        };
        if self.run < threshold.get() {
            return None;
        }
        let run = self.run;
        if config.kind.holds_after(result) {
            self.hold = true;
            self.run = 0;
        }
        let before = self.publish(Some(result));
        self.transition(before, run)
    }

    /// Whether the target is up; `None` is unknown.
    pub const fn published(&self) -> Option<bool> {
        self.published
    }

    /// How many results in a row were like [`Threshold::last`]. Stops at
    /// `u32::MAX`.
    pub const fn run(&self) -> u32 {
        self.run
    }

    /// The last result that counted; success before the first.
    pub const fn last(&self) -> bool {
        self.last
    }

    /// Whether there is nothing to observe until there is a new container.
    pub const fn on_hold(&self) -> bool {
        self.hold
    }

    /// A new container: `initial` is published, nothing is on hold, and the
    /// run goes on.
    pub(crate) fn rebind(&mut self, initial: Option<bool>) {
        self.hold = false;
        self.published = initial;
    }

    /// Publishes what did not come from results; returns what was published.
    pub(crate) fn publish(&mut self, value: Option<bool>) -> Option<bool> {
        core::mem::replace(&mut self.published, value)
    }

    /// How what is published now differs from `before`. Becoming unknown is
    /// not a transition.
    pub(crate) fn transition(&self, before: Option<bool>, run: u32) -> Option<Transition> {
        let to = self.published.filter(|_| self.published != before)?;
        Some(Transition {
            from: before,
            to,
            run,
        })
    }
}

impl Default for Threshold {
    /// A plain target without results.
    fn default() -> Self {
        Self::new(Kind::Plain)
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::Observation::{Error, Failure, Success};
    use super::*;

    const KINDS: [Kind; 4] = [Kind::Plain, Kind::Liveness, Kind::Readiness, Kind::Startup];

    fn config(kind: Kind, success: u32, failure: u32) -> Config {
        Config::new(kind, success, failure).expect("valid thresholds")
    }

    #[test]
    fn zero_is_the_default_and_only_one_success_starts_or_revives() {
        let plain = config(Kind::Plain, 0, 0);
        assert_eq!((plain.success(), plain.failure()), (1, 3));
        assert_eq!(plain, Config::default());
        for kind in [Kind::Liveness, Kind::Startup] {
            assert_eq!(config(kind, 0, 5).success(), 1);
            let invalid = Config::new(kind, 2, 1).expect_err("must be 1");
            assert_eq!(invalid, Invalid::SuccessThreshold { kind, given: 2 });
            assert!(format!("{invalid}").contains("must be 1, not 2"));
        }
        assert_eq!(config(Kind::Readiness, 2, 1).success(), 2);
    }

    #[test]
    fn a_plain_target_is_unknown_until_a_threshold_is_reached() {
        let config = config(Kind::Plain, 2, 3);
        let mut threshold = Threshold::new(Kind::Plain);
        assert_eq!(threshold.published(), None);
        for result in [Success, Failure, Failure, Success] {
            assert_eq!(threshold.observe(&config, result), None);
        }
        let up = threshold.observe(&config, Success);
        let (from, to, run) = (None, true, 2);
        assert_eq!(up, Some(Transition { from, to, run }));
        assert_eq!(threshold.observe(&config, Success), None, "nothing new");
        assert_eq!(threshold.run(), 3, "the run goes on growing");
        assert_eq!(threshold.observe(&config, Failure), None);
        assert_eq!(threshold.observe(&config, Failure), None);
        let (from, to, run) = (Some(true), false, 3);
        let down = threshold.observe(&config, Failure);
        assert_eq!(down, Some(Transition { from, to, run }));
        assert!(!threshold.on_hold());
    }

    #[test]
    fn one_opposite_result_starts_the_count_again() {
        let config = config(Kind::Readiness, 3, 2);
        let mut threshold = Threshold::new(Kind::Readiness);
        for result in [Success, Success, Failure, Success, Success] {
            assert_eq!(threshold.observe(&config, result), None);
        }
        assert_eq!(threshold.published(), Some(false));
        assert!(threshold.observe(&config, Success).is_some());
    }

    #[test]
    fn an_error_leaves_everything_as_it_is() {
        for kind in KINDS {
            let config = config(kind, 1, 3);
            let mut threshold = Threshold::new(kind);
            threshold.observe(&config, Failure);
            threshold.observe(&config, Failure);
            let before = threshold;
            for _ in 0..5 {
                assert_eq!(threshold.observe(&config, Error), None);
            }
            assert_eq!(threshold, before);
            let transition = threshold.observe(&config, Failure);
            // Readiness has been down from the beginning.
            assert_eq!(transition.is_some(), kind != Kind::Readiness);
            assert_eq!(threshold.published(), Some(false));
        }
    }

    #[test]
    fn a_held_threshold_ignores_results_until_it_is_rebound() {
        let config = config(Kind::Liveness, 1, 1);
        let mut threshold = Threshold::new(Kind::Liveness);
        assert!(threshold.observe(&config, Failure).is_some());
        assert!(threshold.on_hold());
        let held = threshold;
        assert_eq!(threshold.observe(&config, Success), None);
        assert_eq!(threshold, held);
        threshold.rebind(Kind::Liveness.initial());
        assert_eq!(threshold.published(), Some(true));
        assert!(threshold.observe(&config, Failure).is_some());
    }

    #[test]
    fn the_run_saturates() {
        let config = config(Kind::Plain, 1, 3);
        let mut threshold = Threshold {
            run: u32::MAX,
            ..Threshold::new(Kind::Plain)
        };
        threshold.observe(&config, Success);
        assert_eq!(threshold.run(), u32::MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// The definition, over the whole history: what is published is the
        /// initial value, or that of the latest run that was long enough.
        #[test]
        fn a_flip_needs_the_configured_run(
            kind in proptest::sample::select(&KINDS[..]),
            success in 1_u32..5,
            failure in 1_u32..5,
            results in proptest::collection::vec(
                prop_oneof![4 => Just(Success), 4 => Just(Failure), 1 => Just(Error)],
                0..60,
            ),
        ) {
            let single = matches!(kind, Kind::Liveness | Kind::Startup);
            let config = config(kind, if single { 1 } else { success }, failure);
            let mut threshold = Threshold::new(kind);
            let mut history: Vec<Observation> = Vec::new();
            for result in results {
                let before = threshold;
                let transition = threshold.observe(&config, result);
                if before.on_hold() || result == Error {
                    prop_assert_eq!(threshold, before);
                    prop_assert_eq!(transition, None);
                    continue;
                }
                history.push(result);
                let run = history.iter().rev().take_while(|r| **r == result).count() as u32;
                let needed = if result == Success { config.success() } else { failure };
                let value = if run >= needed { Some(result == Success) } else { before.published() };
                prop_assert_eq!(threshold.published(), value);
                prop_assert_eq!(transition.is_some(), value != before.published());
                if let Some(transition) = transition {
                    prop_assert_eq!(transition.from, before.published());
                    prop_assert_eq!(Some(transition.to), value);
                    prop_assert_eq!(transition.run, run);
                }
            }
        }
    }
}
