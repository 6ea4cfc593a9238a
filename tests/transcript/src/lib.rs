#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! The same engine in Rust, behind the C ABI and in Wasm must do the same. Here
//! are [`Script`]s, worlds as plain data that a seed determines; what a world does
//! with an engine ([`play`]); and the transcript of all that the engine asked,
//! found out and said, which must not differ by a byte.
//!
//! What is played with is a [`Host`]. [`Native`] is the engine itself; the one over
//! the C ABI is a test of `core/ffi`, the one in Wasm under wasmtime a test of this
//! crate, which keeps wasmtime from all that only want its library; and
//! `core/ffi/examples/transcript.mjs` reads the same scripts under Node with a world
//! of its own.
//!
//! # A transcript
//!
//! One line for each thing: the virtual time in nanoseconds behind an `@`, then
//! what. Bytes and texts are ASCII, with `\n`, `\r`, `\\` and `\xNN` for the rest.
//! Numbers of facts are integers, or the 64 bits of the floating-point number. See
//! [`play`] for the order of things.

mod generate;
mod host;
mod line;
mod module;
mod native;
mod script;
mod world;

pub use host::{
    Asked, CLOSED, FAMILIES, Fact, Families, HEALTHS, Host, OUTCOMES, PHASES, Reported, Secure,
    State, Stats, TLS_VERSIONS, TRANSPORTS, Told,
};
pub use module::{http_check, redis_check, required, wasm_module};
pub use native::Native;
pub use script::{Answer, Command, Ended, Event, Happening, Plan, Script, Target, Tls, What};
pub use world::play;

/// Scripts that every host is tried with.
pub const SCRIPTS: u64 = 200;

/// All of them, in order.
pub fn scripts() -> Vec<Script> {
    (0..SCRIPTS).map(Script::of_seed).collect()
}

/// They as JSON: what a host outside of Rust reads.
pub fn json() -> String {
    serde_json::to_string(&scripts()).expect("plain data")
}

/// The first lines in which two transcripts differ, with their number; `None` if
/// they are the same.
pub fn difference(native: &str, other: &str) -> Option<(usize, String, String)> {
    let line = |text: &str, index| text.lines().nth(index).unwrap_or("(its end)").to_owned();
    let same = native
        .lines()
        .zip(other.lines())
        .take_while(|(a, b)| a == b);
    let index = same.count();
    (native != other).then(|| (index + 1, line(native, index), line(other, index)))
}
