//! Which version this is, and the names of things that are numbers.

use ::probity_engine::{Phase, Reason};

use crate::boundary;
use crate::types::probity_text;

/// The version of this ABI: programs that were built for one of the same
/// number work with it. It rises when a function or field changes its meaning or
/// goes, not when one is added.
pub const PROBITY_ABI_VERSION: u32 = 1;

/// The ABI version of the library that was loaded, to be compared with
/// `PROBITY_ABI_VERSION` of the header. Threads: any.
///
/// Results: the number, 1 or more. It cannot fail.
#[unsafe(no_mangle)]
pub extern "C" fn probity_abi_version() -> u32 {
    PROBITY_ABI_VERSION
}

/// The version of the library in words, `0.1.0`. The text is constant and lives for ever.
/// Threads: any.
///
/// Results: the text. It cannot fail.
#[unsafe(no_mangle)]
pub extern "C" fn probity_version() -> probity_text {
    boundary::lend_text(env!("CARGO_PKG_VERSION"))
}

/// The stable name of a reason (`probity_report.reason`), fit to be the label of a metric:
/// `connect_refused`, `timeout_transfer`. The numbers of reasons may change with the version
/// of the library, the names do not. core/engine/README.md lists them. The text is constant
/// and lives for ever. Threads: any.
///
/// Results: the name; the empty text for 0, which is no reason, and for numbers that are none.
#[unsafe(no_mangle)]
pub extern "C" fn probity_reason_name(reason: u32) -> probity_text {
    boundary::lend_text(reason_from(reason).map_or("", Reason::name))
}

/// The number of the reason that has this name. It is only looked at during the call. Threads:
/// any.
///
/// Results: the number, 1 or more; 0 if no reason has that name, or `name` cannot be read.
///
/// # Safety
/// `name` must point to as many bytes as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_reason_number(name: probity_text) -> u32 {
    // SAFETY: the caller's promise.
    let name = unsafe { boundary::text(name) };
    let known = Reason::ALL
        .iter()
        .find(|reason| name.is_ok_and(|name| name == reason.name()));
    known.copied().map_or(0, reason_number)
}

/// The name of a phase (`PROBITY_PHASE_...`): `resolve`, `connect`, `tls`, `processing`,
/// `transfer`. The text is constant and lives for ever. Threads: any.
///
/// Results: the name; the empty text for other numbers.
#[unsafe(no_mangle)]
pub extern "C" fn probity_phase_name(phase: u32) -> probity_text {
    let phase = Phase::ALL.get(phase as usize);
    boundary::lend_text(phase.map_or("", |phase| phase.name()))
}

pub(crate) fn reason_number(reason: Reason) -> u32 {
    u32::from(reason as u8) + 1
}

pub(crate) fn reason_from(number: u32) -> Option<Reason> {
    let index = number.checked_sub(1)?;
    Reason::ALL.get(index as usize).copied()
}
