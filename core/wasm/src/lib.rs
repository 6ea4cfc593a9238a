#![warn(missing_docs)]
#![deny(unsafe_code)]
//! Runs probity's checks in Wasm: loads them, gives them instances, and holds them
//! to their limits. The engine knows them by
//! [`guest::Plugin`](probity_engine::guest::Plugin) and decides everything else.
//!
//! A check is a component of the world `probity:check/plugin`
//! (`wasm-checks/wit/check.wit`), or a core module that carries the description of
//! that world, of which a component is made. It imports no function, and so can do
//! nothing but answer.
//!
//! Instances come from a pool of small slots: 2 MiB of address space each, memory
//! that stays resident from one run to the next, explicit bounds checks and no
//! copy-on-write. With wasmtime's defaults ten thousand of them would need 43 TiB of
//! address space and most of the mappings that a process may have, and two threads
//! would be slower than one. What a call may take is counted in fuel, not in time:
//! the same input fails in the same way everywhere.
//!
//! ```
//! use probity_engine::guest::{Class, Limits, Source};
//! use probity_wasm::{Config, Host};
//!
//! let host = Host::new(&Config { instances: 8, ..Config::default() })?;
//! let refused = host.load(&Source {
//!     path: "check.wasm",
//!     bytes: b"\0asm, or not",
//!     pin: None,
//!     class: Class::Native,
//!     limits: Limits::DEFAULT,
//!     runs_per_instance: 1,
//!     sessions_per_instance: 1,
//! });
//! assert!(refused.is_err());
//! # Ok::<(), String>(())
//! ```

mod bounds;
mod cache;
mod code;
mod convert;
mod host;
mod house;
mod instance;
mod load;
mod looks;
mod meter;
mod nesting;
mod plugin;
mod pool;

#[allow(
    unreachable_pub,
    unused_qualifications,
    missing_docs,
    clippy::use_self,
    reason = "wasmtime writes it"
)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wasm-checks/wit",
        world: "plugin",
    });
}

pub use host::{Config, Host, Stats};
