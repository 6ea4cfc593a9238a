//! The C ABI. `include/probity.h`, which cbindgen makes of this crate, is the
//! reference; its first comment says the conventions.
//!
//! ```text
//! boundary.rs   every pointer that comes in or goes out, panics
//! callback.rs   functions of the host
//! handle.rs     numbers instead of pointers for what lives longer than a call
//! result.rs     what every function returns
//! types.rs      structs that more than one half uses
//! config.rs     files, modules and targets
//! engine.rs     the half without IO, and what it asks and is told:
//!   output.rs   input.rs   report.rs   secure.rs
//! tls.rs        TLS between engine and host; no_tls.rs where there is none
//! log.rs        what the library has to say about itself
//! memory.rs     what a Wasm host needs besides
//! driver.rs     the half with threads, and what it tells the host:
//!   notices.rs  render.rs
//! ```
//!
//! All dereferencing of pointers is in `boundary`: the other files are written
//! as if they were safe code, and `unsafe` in them is only the word that every
//! exported function has to carry.

#![deny(unsafe_op_in_unsafe_fn)]
#![expect(non_camel_case_types, reason = "types have the names that C sees")]
#![allow(
    unreachable_pub,
    reason = "what C sees is public, whatever Rust thinks"
)]
#![allow(
    missing_debug_implementations,
    reason = "nobody sees these types in Rust"
)]

#[cfg(test)]
mod abi;
mod boundary;
mod callback;
#[cfg(feature = "driver")]
mod calls;
mod config;
#[cfg(feature = "driver")]
mod driver;
mod engine;
mod handle;
mod input;
mod log;
#[cfg(target_family = "wasm")]
mod memory;
#[cfg(feature = "driver")]
mod notices;
mod output;
#[cfg(feature = "driver")]
mod render;
mod report;
mod result;
mod secure;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod types;
mod version;
