#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Health checking as a state machine: what to probe and when, how each
//! protocol is spoken, how names are resolved, when a target is up. No
//! sockets, no threads, no clock.
//!
//! # Driving an engine
//!
//! An [`Engine`] is told what happens and asked what it wants:
//!
//! 1. Give it every event that is ready with [`Engine::handle_input`], each
//!    with the clock reading nearest to it. Any number of inputs may come
//!    before the next step; that is always legal. Data of runs for which
//!    [`Engine::is_behind`] says so may wait.
//! 2. If [`Engine::poll_timeout`] is not in the future, call
//!    [`Engine::handle_timeout`].
//! 3. Do what [`Engine::poll_output`] asks until it returns `None`.
//! 4. Sleep until there is an event or [`Engine::poll_timeout`] has come.
//!
//! A driver with sockets, a simulator with none, a C program and a Wasm host
//! all run this loop. Here it is, with a world in which every connection
//! succeeds at once:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use probity_engine::check::{ModuleConfig, TargetParams};
//! use probity_engine::config::NoFiles;
//! use probity_engine::threshold::{self, Kind};
//! use probity_engine::{
//!     Config, Engine, GroupId, Input, Instant, Outcome, Output, Schedule, Spec, TargetId,
//! };
//!
//! let module = ModuleConfig { prober: "tcp".into(), ..ModuleConfig::default() };
//! let module = module.compile(&NoFiles)?;
//! let spec = Arc::new(Spec {
//!     check: module.target("192.0.2.7:443", TargetParams::default())?,
//!     schedule: Schedule::new(Duration::from_secs(10), Duration::from_secs(1), Duration::ZERO)?,
//!     threshold: threshold::Config::new(Kind::Plain, 1, 3)?,
//!     group: GroupId(0),
//! });
//!
//! let mut now = Instant::ZERO;
//! let mut engine = Engine::new(Config::default(), now);
//! engine.upsert(TargetId(7), spec, now)?;
//! engine.begin(now);
//!
//! let mut events = Vec::new();
//! let outcome = 'run: loop {
//!     for (run, conn) in events.drain(..) {
//!         engine.handle_input(run, Input::Opened(conn), now);
//!     }
//!     if engine.poll_timeout().is_some_and(|at| at <= now) {
//!         engine.handle_timeout(now);
//!     }
//!     while let Some((run, output)) = engine.poll_output() {
//!         match output {
//!             Output::Open(conn, _) => events.push((run, conn)),
//!             Output::Report(report) => break 'run report.outcome,
//!             _ => {}
//!         }
//!     }
//!     if events.is_empty() {
//!         now = engine.poll_timeout().expect("a target is always due some time");
//!     }
//! };
//! assert_eq!(outcome, Outcome::Success);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A host that loads scripts ([`guest::Class::Script`]) also does their
//! [work](Engine::poll_errand). Without any there is none.
//!
//! # What an engine promises
//!
//! - Every run reports exactly once, at the latest when
//!   [`Engine::handle_timeout`] is called for its deadline (timers fire up to
//!   131 us late, never early), and nothing is asked on behalf of a run after
//!   its report.
//! - Every connection that is opened is closed: by [`Output::Close`] or by the
//!   world's own [`Input::Closed`].
//! - Input for a run that is over is ignored, so a host keeps no run state.
//! - Input from a peer never panics and never makes the engine hold more
//!   memory than [`limits`] allows.
//! - A failure of ours is [`Outcome::Unknown`] and never counts against a
//!   target.
//! - The same inputs and the same seed give the same outputs.

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod check;
pub mod config;
mod engine;
mod errand;
pub mod fact;
pub mod guest;
mod h2;
pub mod histogram;
mod id;
mod io;
pub mod lifecycle;
pub mod limits;
mod map;
mod outcome;
mod report;
pub mod resolve;
mod rng;
mod spec;
pub mod threshold;
mod time;
pub mod tls;
mod wheel;

pub use engine::{Config, Engine, Full, Last, Record, Stats, Taker, TargetView};
pub use errand::Errand;
pub use id::{Conn, GroupId, RunId, TargetId};
pub use io::{
    Bytes, Closed, Endpoint, Families, Family, Input, Lease, Output, ResolveError, ServerTrouble,
    Transport,
};
pub use limits::Limits;
pub use outcome::{Outcome, Phase, Phases, Reason};
pub use report::{Level, Report, Step};
pub use spec::{InvalidSchedule, Schedule, Spec};
pub use time::Instant;
