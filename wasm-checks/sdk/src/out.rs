//! What a check wants done.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::bindings::probity::check::types::{Action, Finding, Outcome, Reason, Sample, Timer};
use crate::text::cut;

/// Bytes of the sentence of a verdict, and of a line of the log.
const MAX_SENTENCE_BYTES: usize = 256;

/// What a check asks for while it handles one event, in order: at most 32
/// things. After a verdict nothing is taken any more.
#[derive(Debug)]
pub struct Out {
    now: Duration,
    actions: Vec<Action>,
    done: bool,
}

impl Out {
    pub(crate) const fn new(now_ns: u64) -> Self {
        Self {
            now: Duration::from_nanos(now_ns),
            actions: Vec::new(),
            done: false,
        }
    }

    /// Time since the run began.
    pub const fn now(&self) -> Duration {
        self.now
    }

    /// Sends bytes; at most 64 KiB in a run.
    pub fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        self.act(Action::Send(bytes.into()));
    }

    /// Secures the connection, as the module's `tls_config` says. Once in a run;
    /// nothing may be sent until [`on_secured`](crate::Check::on_secured).
    pub fn start_tls(&mut self) {
        self.act(Action::StartTls);
    }

    /// Wakes the check so long from now, to the millisecond and after one at least; at
    /// most 8 timers at once. A timer that is set already is moved.
    pub fn set_timer(&mut self, id: u32, after: Duration) {
        let after_ms = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
        self.act(Action::SetTimer(Timer { id, after_ms }));
    }

    /// Ends the phase that began at the last mark, or when the connection was up.
    pub fn mark(&mut self, phase: &str) {
        self.act(Action::Mark(phase.into()));
    }

    /// Reports a number: a metric of the description, a value for each of its
    /// labels. At most 16 in a run.
    pub fn sample(&mut self, metric: &str, value: f64, labels: &[&str]) {
        self.act(Action::Sample(Sample {
            metric: metric.into(),
            value,
            labels: labels.iter().map(|&label| label.into()).collect(),
        }));
    }

    /// Says something to who looks at the run. Never a secret.
    pub fn log(&mut self, line: impl Into<String>) {
        self.act(Action::Log(cut(line.into(), MAX_SENTENCE_BYTES)));
    }

    /// All is well.
    pub fn up(&mut self) {
        self.done(Outcome::Up);
    }

    /// It does its work, but somebody should know.
    pub fn degraded(&mut self, reason: Reason, detail: impl Into<String>) {
        self.done(Outcome::Degraded(finding(reason, detail.into())));
    }

    /// It does not do its work.
    pub fn down(&mut self, reason: Reason, detail: impl Into<String>) {
        self.done(Outcome::Down(finding(reason, detail.into())));
    }

    /// The check could not find out, for a reason that is not the target's.
    pub fn unknown(&mut self, detail: impl Into<String>) {
        self.done(Outcome::Unknown(cut(detail.into(), MAX_SENTENCE_BYTES)));
    }

    /// Whether there is a verdict.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    fn done(&mut self, outcome: Outcome) {
        self.act(Action::Done(outcome));
        self.done = true;
    }

    fn act(&mut self, action: Action) {
        if !self.done {
            self.actions.push(action);
        }
    }

    pub(crate) fn into_actions(self) -> Vec<Action> {
        self.actions
    }
}

fn finding(reason: Reason, detail: String) -> Finding {
    Finding {
        reason,
        detail: cut(detail, MAX_SENTENCE_BYTES),
    }
}
