//! What every function returns.

use crate::boundary;
use crate::types::probity_text;

/// What a call came to. Numbers are never given another meaning; new ones may be
/// added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum probity_result {
    /// Done.
    Ok = 0,
    /// There is nothing to give: no output, no notice, no such result yet. Not
    /// an error.
    Nothing = 1,
    /// Targets were added, and nothing will ever happen: none is due before
    /// `probity_engine_begin` or `probity_driver_begin`. Not an error for who is still
    /// starting. Outputs are written as with `PROBITY_RESULT_OK`.
    NotBegun = 2,
    /// A pointer that has to point to something is NULL or not aligned, or has a length of
    /// more than a gibibyte, which nothing has that this library is given.
    BadPointer = -1,
    /// The handle was never given out, was freed, or is of another kind.
    BadHandle = -2,
    /// Another thread is using what the handle stands for, or this call was made
    /// from a callback of such a use. Nothing was done.
    InUse = -3,
    /// The size that a struct begins with is smaller than its first version, no multiple of
    /// its alignment, beyond 4,096 bytes, or larger than what this version knows, and what is
    /// beyond is not zero.
    BadSize = -4,
    /// A number is outside its range, a text is not UTF-8, or two arguments
    /// contradict each other.
    BadArgument = -5,
    /// The configuration has a mistake; the error text says where and what.
    BadConfig = -6,
    /// The file has no module of this name that can be used: there is none, or it is of a
    /// prober that this version has not.
    NoModule = -7,
    /// A bound of the engine is reached: no room for another target or run.
    Full = -8,
    /// No target has this id.
    NoTarget = -9,
    /// The driver has stopped, or is too busy to take the request now.
    Unavailable = -10,
    /// The system refused a resource: a thread, a descriptor, randomness.
    System = -11,
    /// A defect of this library: a call has panicked, which any may. What it was working on
    /// cannot be used any more, only freed.
    Panicked = -12,
    /// This build of the library does not have what is asked for: a Wasm module has no
    /// TLS, and knows no errno.
    Unsupported = -13,
}

/// cbindgen:ignore
pub(crate) const TEXTS: &[(probity_result, &str)] = &[
    (probity_result::Ok, "done"),
    (probity_result::Nothing, "there is nothing to give"),
    (
        probity_result::NotBegun,
        "no target is due before probity_engine_begin or probity_driver_begin",
    ),
    (
        probity_result::BadPointer,
        "a required pointer is NULL or not aligned, or a length is beyond a gibibyte",
    ),
    (
        probity_result::BadHandle,
        "the handle was never given out, or was freed",
    ),
    (
        probity_result::InUse,
        "the handle is in use by another thread, or by the caller of this callback",
    ),
    (
        probity_result::BadSize,
        "the size of a struct is not one that this version knows",
    ),
    (
        probity_result::BadArgument,
        "an argument is outside its range, or not UTF-8",
    ),
    (probity_result::BadConfig, "the configuration has a mistake"),
    (
        probity_result::NoModule,
        "there is no module of this name that can be used",
    ),
    (probity_result::Full, "a limit is reached"),
    (probity_result::NoTarget, "no target has this id"),
    (
        probity_result::Unavailable,
        "the driver has stopped, or is too busy",
    ),
    (probity_result::System, "the system has refused a resource"),
    (
        probity_result::Panicked,
        "a defect of the library: a call has panicked",
    ),
    (
        probity_result::Unsupported,
        "this build of the library does not have that: TLS and errno are the host's here",
    ),
];

impl probity_result {
    /// In words.
    pub(crate) fn text(self) -> &'static str {
        let known = TEXTS.iter().find(|(known, _)| *known == self);
        known.map_or("", |(_, text)| text)
    }
}

/// How functions of this crate fail.
pub(crate) type Result<T> = std::result::Result<T, probity_result>;

/// Says in words what a result is. The text is constant and lives for ever. Threads: any.
///
/// Results: the text; the empty one for a number that is no result.
#[unsafe(no_mangle)]
pub extern "C" fn probity_result_text(result: i32) -> probity_text {
    let known = TEXTS.iter().find(|(known, _)| *known as i32 == result);
    boundary::lend_text(known.map_or("", |(_, text)| text))
}
