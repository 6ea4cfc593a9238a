//! Runs the engine on this machine: worker threads, sockets, TLS and the
//! clock. The only crate that has any of these, and it decides nothing.
//!
//! ```text
//!   Handle ----commands---> Inbox ---> Worker: Engine + mio::Poll + sockets   (one per core)
//!      ^                                  | reports that are not plain successes
//!      '----------- Notices <-------------'
//! ```
//!
//! [`Driver::start`] gives a [`Handle`]: plain `std` types, for any thread and
//! any runtime. Each worker owns a shard of the targets (`id % workers`) and
//! shares nothing with the others while it works.
//!
//! ```
//! use std::sync::{Arc, mpsc};
//! use std::time::Duration;
//! use probity_driver::{Config, Driver, Once};
//! use probity_engine::check::{ModuleConfig, TargetParams};
//! use probity_engine::config::NoFiles;
//! use probity_engine::threshold::{self, Kind};
//! use probity_engine::{GroupId, Schedule, Spec};
//!
//! let server = std::net::TcpListener::bind("127.0.0.1:0")?;
//! let module = ModuleConfig { prober: "tcp".into(), ..ModuleConfig::default() };
//! let check = module
//!     .compile(&NoFiles)?
//!     .target(&server.local_addr()?.to_string(), TargetParams::default())?;
//! let second = Duration::from_secs(1);
//! let spec = Arc::new(Spec {
//!     check,
//!     schedule: Schedule::new(10 * second, 5 * second, Duration::ZERO)?,
//!     threshold: threshold::Config::new(Kind::Plain, 1, 3)?,
//!     group: GroupId(0),
//! });
//!
//! let handle = Driver::start(Config { workers: 1, ..Config::default() })?;
//! let (tx, rx) = mpsc::channel();
//! let once = Once { spec, timeout: 5 * second, trace: false };
//! handle.run_once(once, move |report| tx.send(report).unwrap_or_default())?;
//! assert!(rx.recv()?.outcome.is_success());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How far off a clock reading can be
//!
//! A worker reads the clock once for every event, after it has done what the
//! event says and just before it tells the engine, and carries out what the
//! engine asks in answer before it looks at the next event. So a phase ends
//! late by the time for which its event waited
//!
//! * behind others of its batch: at most [`EVENTS`](limits::EVENTS) of them,
//!   some microseconds each, and some hundred where certificates are verified;
//! * in the kernel, while the worker was busy with what it does between two
//!   batches. Every part of that is bounded in [`limits`]: large answers that
//!   are read on, failed connects, changes of the fleet, starts of runs, a part
//!   of a copy; what is decoded of bodies, and
//!   matched with patterns, in the engine's
//!   [limits](probity_engine::limits::DECODED_PER_TURN). What takes its time in one
//!   piece: a CEL expression, which looks at up to [`MAX_JSON_BODY_BYTES`] for some
//!   tens of milliseconds at most; and patterns for the values of headers and for the
//!   lines of dialogues, each up to 64 KiB, which a pattern with hundreds of
//!   repetitions may need microseconds a byte for. Of bodies of
//!   requests all connections together write or encrypt
//!   [`SENT_PER_TURN`](limits::SENT_PER_TURN) bytes between two batches, and at most
//!   a [`PIECE`](limits::PIECE) more: they go piece by piece, in turn, and what
//!   waits in that line is in no phase: the engine is told
//!   ([`Engine::keep`](probity_engine::Engine::keep)). What a run sends otherwise, heads and the lines of dialogues, goes at
//!   once, and leaves the less room for bodies: a batch may cause one such send for
//!   each of its events;
//! * in no case while a script runs, of a check of [that
//!   class](probity_engine::guest::Class::Script): [`CREW`](limits::CREW) threads call
//!   scripts, and workers are told as of any other event;
//! * while an assertion is signed for a token (`oauth2` with `jwt-bearer`): about a
//!   millisecond for a key of 2048 bits, several for one of 4096. There is [one at
//!   most](probity_engine::limits::SIGNATURE_WORK) between two batches, and after a
//!   flood one for each batch for which timers have waited.
//!
//! A run begins at the reading just before its connection is opened: the
//! starts of a turn have one each, so that none is billed what those before it took. Those
//! that waited for others to end, or for a name, have that of what they waited for, and are
//! told the opening of those that waited with them.
//!
//! A worker that is not busy does nothing of this, and the reading is off by
//! what waking up takes. A run starts, and a deadline is noticed, up to 1 ms
//! late on top, because `epoll_wait` counts in milliseconds and is made to
//! round up: rounding down would spin. Under a flood that fills every batch,
//! timers moreover wait for [`UNTIMED_TURNS`](limits::UNTIMED_TURNS) batches.
//! The lag of starts is measured ([`Stats::engine`]), and it is not billed to
//! the target.
//!
//! [`MAX_JSON_BODY_BYTES`]: probity_engine::limits::MAX_JSON_BODY_BYTES
//!
//! # Threads, panics, logs
//!
//! Callbacks are called on threads of the driver and must not block. A
//! callback that panics is caught; the panic hook has printed it. A worker
//! that panics is a defect: the hook prints it, the whole driver stops, every
//! callback that is still owed is called, and every call of a [`Handle`]
//! returns [`Stopped`] or [`Busy`] from then on, so that half a fleet is never
//! silently left unprobed. With `panic = "abort"` the process ends instead.
//! Nothing is logged: a library does not own a logger.
//!
//! # Closing
//!
//! Sockets are closed in order: a FIN, for TLS preceded by close_notify.
//! `SO_LINGER` is not set, although the kubelet sets it to one second: on
//! Linux that makes `close` wait for the peer's acknowledgement, also on a
//! non-blocking socket, so that one dead peer would stop a worker and all its
//! targets for a second; and nothing in the kernel makes TIME_WAIT shorter
//! for it. An HTTP check asks the server to close first, and then the
//! server's side owns the TIME_WAIT.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a mio token holds a slot and its generation, which needs 64 bits");

mod clerk;
mod clock;
mod config;
mod crew;
mod errors;
mod handle;
mod inbox;
pub mod limits;
mod names;
mod net;
mod notices;
mod report;
mod snapshot;
mod sockets;
mod stats;
mod tls;
mod worker;

pub use config::{Capacity, Config, StartError};
pub use errors::{closed, is_pending};
pub use handle::{Busy, Change, Driver, Handle, Once, Stopped, Ticket};
pub use limits::raise_descriptor_limit;
pub use names::{NameFiles, Names};
pub use notices::{Notice, Notices};
pub use report::OwnedReport;
pub use snapshot::{Fleet, FleetQuery, Row};
pub use stats::{GroupStats, PhaseStats, Stats, WorkerStats};
pub use tls::{check_tls, signer};
