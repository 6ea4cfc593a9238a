//! When a check of a container may run: the kubelet's rules for pods, restarts
//! and start-up, for hosts that know containers.
//!
//! A target that is only an address needs none of this: it has a
//! [`Threshold`] and is checked whenever its schedule says so. A host that
//! follows containers keeps a [`Lifecycle`] beside the threshold, and asks
//! [`Lifecycle::pass`] before each run what to do. Everything here is a
//! decision about plain data; nothing is scheduled, and no time passes.
//!
//! # One pass
//!
//! The first row that matches decides:
//!
//! | | condition | effect | then |
//! |---|---|---|---|
//! | P1 | nothing is known about the pod | | skip |
//! | P2 | the pod has succeeded or failed for good | | **exit** |
//! | P3 | the pod's status does not have the container yet | | skip |
//! | P4 | it is another container than last time | publish the kind's initial value, lift the hold, **keep the run** | go on |
//! | P5 | on hold | | skip |
//! | P6 | the container is not running | publish down | skip, or **exit** if it will not be restarted |
//! | P7 | the pod is being deleted, and this is liveness or startup | publish up | **exit** |
//! | P8 | within the initial delay | | skip |
//! | P9 | startup, and the container has started | | skip |
//! | P10 | not startup, and the container has not started | | skip |
//! | P11 | otherwise | | **probe** |
//!
//! Readiness goes on while a pod is being deleted, so that it leaves its
//! load balancers; liveness does not, so that nobody restarts it. The initial
//! delay counts from the start of the container, and again after each restart;
//! it is not affected by start-up.
//!
//! These are the rules of Kubernetes 1.35 (`pkg/kubelet/prober/worker.go`).
//! For those of an older release the host answers differently:
//! [`Terminated::will_restart`](ContainerState::Terminated) before 1.34, and
//! always [`Origin::Fresh`] before 1.35.

use core::time::Duration;

use crate::threshold::{Config, Kind, Observation, Threshold, Transition};
use crate::time::Instant;

/// Attempts in one pass, the first included, where they end in errors.
pub const MAX_ATTEMPTS: u32 = 3;

/// A container that has run for longer than this when its prober starts was
/// there before: the prober restarted, not the container.
pub const ADOPTION_AGE: Duration = Duration::from_secs(10);

/// What the host knows about the pod of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod {
    /// How far the pod has come.
    pub phase: PodPhase,
    /// Whether the pod has been told to end (`deletionTimestamp`).
    pub deleting: bool,
    /// The container that is checked, once the pod's status has it.
    pub container: Option<Container>,
}

/// `status.phase` of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers have been made yet.
    Pending,
    /// At least one container runs, starts or restarts.
    Running,
    /// All containers have ended well, for good.
    Succeeded,
    /// All containers have ended, one of them badly, for good.
    Failed,
    /// The pod's state could not be read.
    Unknown,
}

/// One incarnation of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Container {
    /// Differs for every incarnation; for example a hash of the runtime's id.
    pub id: u64,
    /// What it is doing.
    pub state: ContainerState,
    /// `status.started`: whether the startup check, if there is one, has
    /// succeeded. `None` counts as not started.
    pub started: Option<bool>,
    /// Whether it is older than the prober.
    pub origin: Origin,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// It has not started yet, or waits to be restarted.
    Waiting,
    /// It runs.
    Running {
        /// Since when.
        started_at: Instant,
    },
    /// It has ended.
    Terminated {
        /// Whether it will be replaced; [`will_restart`] knows.
        will_restart: bool,
    },
}

/// Whether a container was there before the prober (Kubernetes 1.35).
///
/// If it was, the prober has no business to call a ready container unready
/// until it has looked: no initial value is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// It started under the eyes of the prober.
    #[default]
    Fresh,
    /// It ran before.
    Adopted,
    /// It ran before, and is a sidecar (an init container that is always
    /// restarted): if it has started, its startup check has succeeded.
    AdoptedSidecar,
}

impl Origin {
    /// Where a container comes from that runs since `started_at`, for a prober
    /// that runs since `prober_started`.
    ///
    /// The origin of time must be early enough to tell: a driver that counts
    /// from its own start cannot see what was before.
    pub fn of(started_at: Instant, prober_started: Instant, sidecar: bool) -> Self {
        if prober_started.since(started_at) <= ADOPTION_AGE {
            Self::Fresh
        } else if sidecar {
            Self::AdoptedSidecar
        } else {
            Self::Adopted
        }
    }
}

/// When an ended container is replaced (`restartPolicy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Always; also that of a sidecar, whatever its pod says.
    Always,
    /// When it exits with another code than 0.
    OnFailure,
    /// Never.
    Never,
}

/// One of a container's `restartPolicyRules` (Kubernetes 1.34): exit codes
/// upon which it, or its whole pod, is restarted against its policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartRule<'a> {
    /// Any of these codes.
    In(&'a [i32]),
    /// Any code but these.
    NotIn(&'a [i32]),
}

/// Whether a container that ended with `exit_code` will be replaced.
///
/// `policy` is the container's own or, without one, its pod's. A host that is
/// restarting all containers of the pod knows the answer without asking.
pub fn will_restart(policy: RestartPolicy, rules: &[RestartRule<'_>], exit_code: i32) -> bool {
    let matches = |rule: &RestartRule<'_>| match rule {
        RestartRule::In(codes) => codes.contains(&exit_code),
        RestartRule::NotIn(codes) => !codes.contains(&exit_code),
    };
    rules.iter().any(matches)
        || match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => exit_code != 0,
            RestartPolicy::Never => false,
        }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Run the check and let the threshold observe the result.
    Probe,
    /// Nothing this time.
    Skip,
    /// Nothing ever again: call [`Lifecycle::stop`] and forget the target.
    Exit,
}

/// What is known to others about a container.
///
/// The difference between the first two is one of start-up: a container
/// without a value has started if it had, one whose value is unknown has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// There is no value.
    Absent,
    /// There is one, and it says that nothing has been decided.
    Unknown,
    /// Up.
    Success,
    /// Down.
    Failure,
}

/// Follows the container of one target. To be kept beside a
/// [`Threshold::UNPUBLISHED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No container has been seen.
    #[default]
    Unbound,
    /// This was the last container. `silent`: no initial value was published.
    Bound { id: u64, silent: bool },
    /// The target is gone.
    Stopped,
}

impl Lifecycle {
    /// A target whose container has not been seen.
    pub const fn new() -> Self {
        Self {
            state: State::Unbound,
        }
    }

    /// Decides whether to run the check now, by the table at the top.
    ///
    /// Returns also what the state of the container has changed in
    /// `threshold`. Steps that undo each other within one pass are one change
    /// or none, and becoming unknown (a startup check's new container) is
    /// visible in [`Threshold::published`] only.
    pub fn pass(
        &mut self,
        threshold: &mut Threshold,
        config: &Config,
        initial_delay: Duration,
        pod: Option<&Pod>,
        now: Instant,
    ) -> (Pass, Option<Transition>) {
        let before = threshold.published();
        let pass = self.decide(threshold, config.kind(), initial_delay, pod, now);
        (pass, threshold.transition(before, 0))
    }

    fn decide(
        &mut self,
        threshold: &mut Threshold,
        kind: Kind,
        initial_delay: Duration,
        pod: Option<&Pod>,
        now: Instant,
    ) -> Pass {
        if self.state == State::Stopped {
            return Pass::Exit;
        }
        let Some(pod) = pod else {
            return Pass::Skip; // P1
        };
        if matches!(pod.phase, PodPhase::Succeeded | PodPhase::Failed) {
            return Pass::Exit; // P2
        }
        let Some(container) = &pod.container else {
            return Pass::Skip; // P3
        };
        self.bind(threshold, kind, container); // P4
        if threshold.on_hold() {
            return Pass::Skip; // P5
        }
        let started_at = match container.state {
            ContainerState::Running { started_at } => started_at,
            // P6
            ContainerState::Terminated {
                will_restart: false,
            } => {
                threshold.publish(Some(false));
                return Pass::Exit;
            }
            ContainerState::Waiting | ContainerState::Terminated { .. } => {
                threshold.publish(Some(false));
                return Pass::Skip;
            }
        };
        if pod.deleting && matches!(kind, Kind::Liveness | Kind::Startup) {
            threshold.publish(Some(true));
            return Pass::Exit; // P7
        }
        if within_initial_delay(started_at, initial_delay, now) {
            return Pass::Skip; // P8
        }
        match (kind, container.started == Some(true)) {
            (Kind::Startup, true) => Pass::Skip, // P9
            (Kind::Startup, false) => Pass::Probe,
            (_, false) => Pass::Skip, // P10
            (_, true) => Pass::Probe,
        }
    }

    fn bind(&mut self, threshold: &mut Threshold, kind: Kind, container: &Container) {
        if matches!(self.state, State::Bound { id, .. } if id == container.id) {
            return;
        }
        let started = container.started == Some(true);
        let (initial, silent) = match container.origin {
            Origin::Fresh => (kind.initial(), false),
            Origin::AdoptedSidecar if kind == Kind::Startup && started => (Some(true), false),
            Origin::Adopted | Origin::AdoptedSidecar => (None, true),
        };
        threshold.rebind(initial);
        self.state = State::Bound {
            id: container.id,
            silent,
        };
    }

    /// Ends the target: its value is gone, and every pass says exit. Returns
    /// whether it had not ended before.
    pub fn stop(&mut self, threshold: &mut Threshold) -> bool {
        threshold.publish(None);
        core::mem::replace(&mut self.state, State::Stopped) != State::Stopped
    }

    /// What is known to others about the target whose threshold this is.
    pub fn published(&self, threshold: &Threshold) -> Published {
        match (self.state, threshold.published()) {
            (State::Unbound | State::Stopped, _) => Published::Absent,
            (State::Bound { silent: true, .. }, None) => Published::Absent,
            (State::Bound { silent: false, .. }, None) => Published::Unknown,
            (State::Bound { .. }, Some(true)) => Published::Success,
            (State::Bound { .. }, Some(false)) => Published::Failure,
        }
    }
}

/// Whether a container that runs since `started_at` is too young to be
/// checked. Its age counts in whole seconds, as the kubelet has it: a delay of
/// 10 s ends when the age reaches 10 s, one of 9.5 s does too.
pub fn within_initial_delay(started_at: Instant, initial_delay: Duration, now: Instant) -> bool {
    Duration::from_secs(now.since(started_at).as_secs()) < initial_delay
}

/// Whether a check is to run out of turn, to be asked whenever the state of
/// the pod has been looked at: a container that runs but is not ready should
/// not wait for its next tick. Readiness only; liveness is in no hurry.
pub fn wants_trigger(kind: Kind, container: &Container, published: Published) -> bool {
    kind == Kind::Readiness
        && matches!(container.state, ContainerState::Running { .. })
        && container.started == Some(true)
        && published != Published::Success
}

/// Whether an attempt, the `attempt`-th of its pass (from 1), is followed by
/// another, at once and with the whole timeout. Only errors are tried again; a
/// failure is an answer.
pub const fn retries(observation: Observation, attempt: u32) -> bool {
    matches!(observation, Observation::Error) && attempt < MAX_ATTEMPTS
}

#[cfg(test)]
mod tests;
