//! A check is a small state machine: it is told what happens on a connection,
//! and answers with what is to be done. probity resolves, connects, secures,
//! times and limits; a check has no socket, no clock and no other way to the
//! world, and so can be tested with a few bytes.
//!
//! ```
//! use probity_check::prelude::*;
//!
//! /// Is the peer called what it should be?
//! struct Hello {
//!     config: Config,
//!     reader: Reader,
//! }
//!
//! #[derive(serde::Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct Config {
//!     name: String,
//! }
//!
//! impl Default for Config {
//!     fn default() -> Self {
//!         Self { name: "world".into() }
//!     }
//! }
//!
//! impl Check for Hello {
//!     type Config = Config;
//!
//!     fn describe() -> Description {
//!         Description::new("hello", env!("CARGO_PKG_VERSION")).port(4242)
//!     }
//!
//!     fn open(config: Config, _: &Context) -> Self {
//!         Self { config, reader: Reader::new(1024) }
//!     }
//!
//!     fn on_connected(&mut self, out: &mut Out) -> Step {
//!         out.send("who\r\n");
//!         Ok(())
//!     }
//!
//!     fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step {
//!         self.reader.push(data);
//!         if let Some(line) = self.reader.line()? {
//!             if line != self.config.name.as_bytes() {
//!                 return Err(unexpected(format!("it is called {}", shown(line))));
//!             }
//!             out.up();
//!         }
//!         Ok(())
//!     }
//! }
//!
//! probity_check::export!(Hello);
//!
//! use probity_check::testing::Run;
//! let mut run = Run::<Hello>::open(r#"{"name": "earth"}"#);
//! run.connected().data("ear").data("th\r\n");
//! assert_eq!(run.sent(), b"who\r\n");
//! assert_eq!(run.outcome(), Some(&Outcome::Up));
//! ```
//!
//! Data arrives in any pieces; [`Reader`] puts messages together and bounds what
//! it holds. A handler that returns an error ([`Finding`]) says that the target
//! is down. Whoever says nothing goes on waiting, until the run's time is over.
//!
//! [`export!`] makes the crate a component for `wasm32-unknown-unknown` and is
//! nothing elsewhere. The [`testing`] kit holds a check to the limits that
//! probity holds it to.

#![no_std]

extern crate alloc;

#[doc(hidden)]
pub mod bindings;
mod config;
mod describe;
mod out;
mod reader;
#[cfg(all(target_family = "wasm", feature = "runtime"))]
mod runtime;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod text;

pub use bindings::probity::check::types::{
    Action, Close, Context, Description, Event, Finding, Metric, MetricKind, Outcome, Reason,
    Sample, Target, Timer, TlsInfo,
};
pub use config::parse as parse_config;
pub use out::Out;
pub use reader::{Reader, TooMuch};
pub use text::{denied, malformed, not_ready, server_error, shown, unexpected};

use alloc::string::String;

/// What a check imports.
pub mod prelude {
    pub use alloc::borrow::ToOwned;
    pub use alloc::boxed::Box;
    pub use alloc::format;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec;
    pub use alloc::vec::Vec;

    pub use crate::{
        Check, Close, Context, Description, Finding, Out, Outcome, Reader, Reason, Step, TlsInfo,
        TooMuch, denied, malformed, not_ready, server_error, shown, unexpected,
    };
}

/// What a handler comes to: go on, or the target is down for this reason.
pub type Step = Result<(), Finding>;

/// One run of a check.
pub trait Check: Sized + 'static {
    /// Its options. Give every field a default and deny unknown fields
    /// (`#[serde(default, deny_unknown_fields)]`), so that a slip of the pen is
    /// seen when the file is loaded.
    type Config: serde::de::DeserializeOwned;

    /// What it says about itself.
    fn describe() -> Description;

    /// What types cannot say of a configuration. Called when a file is loaded.
    ///
    /// # Errors
    /// One sentence that names the field and says what is wrong with it.
    fn validate(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// Begins a run.
    fn open(config: Self::Config, context: &Context) -> Self;

    /// The connection is up. Always first, and once.
    ///
    /// # Errors
    /// If the target is down.
    fn on_connected(&mut self, _out: &mut Out) -> Step {
        Ok(())
    }

    /// The peer sent bytes, at least one. Messages arrive in any pieces.
    ///
    /// # Errors
    /// If the target is down.
    fn on_data(&mut self, data: &[u8], out: &mut Out) -> Step;

    /// The handshake that [`Out::start_tls`] asked for is complete.
    ///
    /// # Errors
    /// If the target is down.
    fn on_secured(&mut self, _tls: &TlsInfo, _out: &mut Out) -> Step {
        Ok(())
    }

    /// The time of a timer has come.
    ///
    /// # Errors
    /// If the target is down.
    fn on_timer(&mut self, _id: u32, _out: &mut Out) -> Step {
        Ok(())
    }

    /// The connection is over. Last. A check that gives no verdict now leaves it
    /// to probity: down, because the peer closed or reset the connection.
    ///
    /// # Errors
    /// If the target is down for another reason.
    fn on_closed(&mut self, _close: Close, _out: &mut Out) -> Step {
        Ok(())
    }
}

/// Hands an event to its handler, and says what the check wants done.
pub(crate) fn handle<C: Check>(
    check: &mut C,
    now_ns: u64,
    event: &Event,
) -> alloc::vec::Vec<Action> {
    let mut out = Out::new(now_ns);
    let step = match event {
        Event::Connected => check.on_connected(&mut out),
        Event::Data(data) => check.on_data(data, &mut out),
        Event::Secured(tls) => check.on_secured(tls, &mut out),
        Event::Timer(id) => check.on_timer(*id, &mut out),
        Event::Closed(close) => check.on_closed(*close, &mut out),
    };
    if let Err(Finding { reason, detail }) = step {
        out.down(reason, detail);
    }
    out.into_actions()
}

/// Makes the crate a component that probity loads. At its root, once.
///
/// It is nothing for other targets than Wasm, where a check is an ordinary
/// library.
#[macro_export]
macro_rules! export {
    ($check:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            type Exported = $crate::bindings::Exported<$check>;
    $crate::bindings::export_plugin!(Exported with_types_in $crate::bindings);
        };
    };
}
