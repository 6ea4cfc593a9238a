//! What always holds, each rule in a type of its own.
//!
//! A checker is shown everything that passes between world and engine, and
//! keeps its own small model of what must come. It knows nothing of the
//! engine's insides, and the checkers know nothing of each other.

mod blame;
mod books;
mod capacity;
mod connection;
mod deadline;
mod flip;
mod once;
mod progress;
mod schedule;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use blame::{Blame, Condition, Culprit, Truth};
pub use books::Books;
pub use capacity::Capacity;
pub use connection::Connections;
pub use deadline::Deadlines;
pub use flip::Flips;
pub use once::OncePerRun;
pub use progress::Progress;
pub use schedule::OnSchedule;

use probity_engine::{Engine, Input, Instant, Limits, Output, RunId, Spec, TargetId};

/// How much a timer may be late: a tick of the engine's wheel.
pub const TICK: Duration = Duration::from_nanos(1 << 17);

/// Something that happened between world and engine.
#[derive(Debug)]
pub enum Seen<'a> {
    /// The world told a run.
    Input(RunId, &'a Input<'a>),
    /// A run asked the world.
    Output(RunId, &'a Output<'a>),
    /// The world misbehaved towards this address.
    Fault(SocketAddr),
    /// `handle_timeout` was called; this is when it wants to be called again.
    Turn(Option<Instant>),
    /// A target was added or changed.
    Upsert(TargetId, &'a Arc<Spec>),
    /// A target was removed.
    Remove(TargetId),
    /// A target was made due.
    Trigger(TargetId),
    /// A run was asked for, with this timeout.
    Once(RunId, Duration),
    /// Start-up ended.
    Begin,
    /// The engine was shut down.
    Shutdown,
}

/// One rule.
pub trait Checker {
    /// What it is called in a failure.
    fn name(&self) -> &'static str;

    /// Looks at one thing.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    fn see(&mut self, now: Instant, seen: &Seen<'_>) -> Result<(), String>;

    /// Looks at the engine when it has nothing more to say.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    fn settled(&mut self, now: Instant, engine: &Engine) -> Result<(), String> {
        let _ = (now, engine);
        Ok(())
    }

    /// Looks back at the end, after a shutdown.
    ///
    /// # Errors
    /// What is wrong, in one sentence.
    fn finish(&mut self, now: Instant, engine: &Engine) -> Result<(), String> {
        let _ = (now, engine);
        Ok(())
    }
}

/// What the checkers have to know about a world.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The engine's bounds.
    pub limits: Limits,
    /// How late the driver may be.
    pub longest_lag: Duration,
}

/// Every checker.
pub fn all(terms: Terms, truth: Truth) -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(OncePerRun::default()),
        Box::new(Connections::default()),
        Box::new(Deadlines::new(terms)),
        Box::new(Progress::default()),
        Box::new(Books::default()),
        Box::new(Flips::default()),
        Box::new(OnSchedule::new(terms)),
        Box::new(Capacity::new(terms)),
        Box::new(Blame::new(truth)),
    ]
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the checker.
    pub checker: &'static str,
    /// When.
    pub at: Instant,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}: {}", self.at, self.checker, self.message)
    }
}
