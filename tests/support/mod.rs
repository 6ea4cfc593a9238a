//! What the suites that run the whole program share: the program itself, an
//! HTTP client, readers of what it exposes, and peers that misbehave by
//! script.
//!
//! Everything is on loopback and on a port of the kernel's choice, every wait
//! is for a condition with a generous limit, and whatever is started ends when
//! its value is dropped, also by a panic.

pub mod dns;
pub mod http;
pub mod https;
pub mod metrics;
pub mod peer;
pub mod probity;
pub mod tls;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};

pub use self::peer::Peer;
pub use self::probity::Probity;

/// How long anything may take that should take a moment: these machines are
/// small and shared.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Makes a test of each function.
#[macro_export]
macro_rules! trials {
    ($module:literal: $($name:ident),+ $(,)?) => {
        vec![$(libtest_mimic::Trial::test(
            concat!($module, "::", stringify!($name)),
            || { $name(); Ok(()) },
        )),+]
    };
}

/// The `main` of a suite: its tests, or the program if that is what this
/// process was started to be (see [`probity`]).
pub fn main(trials: impl FnOnce() -> Vec<Trial>) -> ExitCode {
    if std::env::var_os(probity::AS_PROBITY).is_some() {
        return ::probity::cli::main();
    }
    libtest_mimic::run(&Arguments::from_args(), trials()).exit_code()
}

/// Asks again and again until there is an answer.
///
/// # Panics
/// If there is none within [`LIMIT`]; `what` says what was waited for.
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    until_within(LIMIT, what, probe)
}

/// As [`until`], with another limit.
///
/// # Panics
/// If there is no answer within `limit`.
pub fn until_within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
