//! What every function returns.

use crate::boundary;
use crate::types::probity_text;

macro_rules! results {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $text:literal;)+) => {
        /// What a call came to. Numbers are never given another meaning; new ones
        /// may be added.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        pub enum probity_result { $($(#[doc = $doc])+ $variant = $number,)+ }

        const TEXTS: &[(i32, &str)] = &[$(($number, $text),)+];
    };
}

results! {
    /// Done.
    Ok = 0, "done";
    /// There is nothing to give: no output, no notice, no such result yet. Not
    /// an error.
    Nothing = 1, "there is nothing to give";
    /// A pointer that has to point to something is NULL, or has a length that no
    /// object can have.
    BadPointer = -1, "a required pointer is NULL, or a length is larger than any object";
    /// The handle was never given out, was freed, or is of another kind.
    BadHandle = -2, "the handle was never given out, or was freed";
    /// Another thread is using what the handle stands for, or this call was made
    /// from a callback of such a use. Nothing was done.
    InUse = -3, "the handle is in use by another thread, or by the caller of this callback";
    /// The size that a struct begins with is smaller than its first version, or
    /// larger than what this version knows, and what is beyond is not zero.
    BadSize = -4, "the size of a struct is not one that this version knows";
    /// A number is outside its range, a text is not UTF-8, or two arguments
    /// contradict each other.
    BadArgument = -5, "an argument is outside its range, or not UTF-8";
    /// The configuration has a mistake; the error text says where and what.
    BadConfig = -6, "the configuration has a mistake";
    /// The file has no module of this name.
    NoModule = -7, "there is no module of this name";
    /// A bound of the engine is reached: no room for another target or run.
    Full = -8, "a limit is reached";
    /// No target has this id.
    NoTarget = -9, "no target has this id";
    /// The driver has stopped, or is too busy to take the request now.
    Unavailable = -10, "the driver has stopped, or is too busy";
    /// The system refused a resource: a thread, a descriptor, randomness.
    System = -11, "the system has refused a resource";
    /// A defect of this library: a call has panicked. What it was working on
    /// cannot be used any more, only freed.
    Panicked = -12, "a defect of the library: a call has panicked";
}

/// How functions of this crate fail.
pub(crate) type Result<T> = std::result::Result<T, probity_result>;

/// Says in words what a result is. The text is constant and lives for ever.
/// A number that is none gets an empty text. Threads: any.
#[unsafe(no_mangle)]
pub extern "C" fn probity_result_text(result: i32) -> probity_text {
    let known = TEXTS.iter().find(|(number, _)| *number == result);
    boundary::lend_text(known.map_or("", |(_, text)| text))
}
