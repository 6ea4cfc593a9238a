#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! A world around the real engine: a virtual clock, a network, servers good
//! and bad, and checkers that know what always holds.
//!
//! Nothing here is random but what a seed determines, and no time passes but
//! what the world lets pass: a failure is replayed by its seed.
//!
//! - [`World`] drives an engine as a driver would.
//! - [`Behaviour`] is what answers at an address.
//! - [`Faults`] is what goes wrong on the way, and on our own machine.
//! - [`checker`] holds the rules. A world that was [finished](World::finish)
//!   without [violations](checker::Violation) has kept all of them.
//! - [`swarm`] makes a whole world from a seed: first safety is demanded under
//!   faults, then the faults stop and liveness is demanded.
//! - [`sabotage`] puts known defects between engine and world, to prove that
//!   the checkers see them.

pub mod checker;
mod faults;
mod link;
mod network;
mod payload;
mod peer;
mod prober;
mod queue;
mod rng;
pub mod sabotage;
pub mod spec;
pub mod swarm;
mod world;

pub use faults::{Faults, Pieces};
pub use payload::Payload;
pub use peer::{
    Answer, Behaviour, Certificate, Proxy, Script, Step, Tls, Zone, coded, h2, http, oauth2, proxy,
};
pub use prober::Prober;
pub use rng::{Ppm, Rng};
pub use world::{Options, Record, World};
